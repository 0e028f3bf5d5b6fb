package terraform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fluxover/fluxover/e2e/controlplane"
	"github.com/fluxover/fluxover/e2e/tfprovider"
)

// applied is what Terraform and the real helm provider made of the forms: of
// each release, by its address, what Helm got.
type applied struct {
	Terraform string                               `json:"terraform"`
	Providers string                               `json:"providers"`
	Forms     map[string]map[string]appliedRelease `json:"forms"`
}

type appliedRelease struct {
	Name      string         `json:"name"`
	Namespace string         `json:"namespace"`
	Values    map[string]any `json:"values"` // "(sensitive value)" where the provider hides one
}

// What Terraform made stands in appliedFile, and what OpenTofu made of the forms
// that only it can read in tofuFile.
const (
	appliedFile = "testdata/provider.json"
	tofuFile    = "testdata/provider.tofu.json"
)

// recording is the file in which stands what was made of a form.
func (f form) recording() string {
	if f.OpenTofu {
		return tofuFile
	}
	return appliedFile
}

// hiddenValue is what the provider writes for a value of set_sensitive.
const hiddenValue = "(sensitive value)"

// readRun reads a form with the variables that the real program is run with.
func readRun(t *testing.T, folder string) (form, Options) {
	t.Helper()
	f, opts := readForm(t, folder)
	if f.RunVars != nil {
		opts.Arguments = f.arguments(f.RunVars)
	}
	if opts.Workspace == "" {
		opts.Workspace = "default"
	}
	return f, opts
}

// releasesOf evaluates a form, with the variables that it is applied with, and
// without what is left out of it.
func releasesOf(t *testing.T, folder string) (*Result, map[string]appliedRelease) {
	t.Helper()
	f, opts := readRun(t, folder)
	r, err := Load(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]appliedRelease{}
	for _, h := range HelmReleases(t.Context(), r) {
		if f.LeftOut[blockOf(h.Address)] != "" {
			continue
		}
		if len(h.Unknown) > 0 {
			t.Errorf("whether %s exists is unknown: %v", h.Address, h.Unknown)
		}
		x := appliedRelease{Values: map[string]any{}}
		x.Name, _ = h.Name.Str()
		x.Namespace, _ = h.Namespace.Str()
		if m, ok := shownValues(h.Values).(map[string]any); ok {
			x.Values = m
		}
		out[h.Address] = x
	}
	return r, out
}

// shownValues writes values as the provider's state does.
func shownValues(n *Node) any {
	switch n.Kind {
	case Map:
		out := map[string]any{}
		for k, v := range n.Map {
			out[k] = shownValues(v)
		}
		if len(n.Causes) > 0 {
			out["$open"] = causeTexts(n.Causes)
		}
		return out
	case List:
		out := make([]any, len(n.List))
		for i, v := range n.List {
			out[i] = shownValues(v)
		}
		return out
	case Sensitive:
		return hiddenValue
	}
	return n.tree()
}

// readRecording reads what record wrote.
func readRecording(t *testing.T, file string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(readText(t, file)), into); err != nil {
		t.Fatal(err)
	}
}

// formFolders are the folders of forms that the real program applies and those
// that it only plans, and of the others why it does neither.
func formFolders(t *testing.T) (applied, planned []string, reasons map[string]string) {
	t.Helper()
	dirs, err := filepath.Glob("testdata/forms/*")
	if err != nil {
		t.Fatal(err)
	}
	reasons = map[string]string{}
	for _, dir := range dirs {
		name := filepath.Base(dir)
		switch f, _ := readForm(t, dir); {
		case f.NotRun != "":
			reasons[name] = f.NotRun
		case f.Planned:
			planned = append(planned, name)
		default:
			applied = append(applied, name)
		}
	}
	return applied, planned, reasons
}

// What each form gives Helm equals what Terraform and the real helm provider
// gave it. A form that they cannot run says why.
func TestReleasesAreThoseThatTerraformAndTheHelmProviderMake(t *testing.T) {
	made := map[string]applied{}
	for _, file := range []string{appliedFile, tofuFile} {
		recording := applied{}
		readRecording(t, file, &recording)
		made[file] = recording
	}
	run, _, reasons := formFolders(t)
	for _, name := range run {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join("testdata/forms", name)
			f, _ := readForm(t, folder)
			want := made[f.recording()]
			recorded, ok := want.Forms[name]
			if !ok {
				t.Fatalf("%s is not recorded in %s; run this package's tests with -update where the program that reads it is on PATH", name, f.recording())
			}
			_, got := releasesOf(t, folder)
			if d := cmp.Diff(generic(t, recorded), generic(t, got)); d != "" {
				t.Errorf("%s is evaluated differently (-%s, %s +here):\n%s", name, want.Terraform, want.Providers, d)
			}
		})
	}
	if len(run) < 39 {
		t.Errorf("only %d forms are compared", len(run))
	}
	for name, why := range reasons {
		t.Logf("%s is not run: %s", name, why)
	}
}

// terraformProgram is the real program: what TERRAFORM names or, with onPath,
// what is on PATH. Without one the test is skipped, and the recording, which
// another test compares, stands for it.
func terraformProgram(t *testing.T, recording string, onPath bool) string {
	t.Helper()
	names := []string{"terraform", "tofu"}
	if named := os.Getenv("TERRAFORM"); named != "" {
		names = []string{named}
	} else if !onPath {
		t.Skipf("TERRAFORM names no terraform or tofu to run; what they said is recorded in %s and compared by another test", recording)
	}
	for _, name := range names {
		if program, err := exec.LookPath(name); err == nil {
			if program, err = filepath.Abs(program); err == nil {
				return program
			}
		}
	}
	if os.Getenv("TERRAFORM") != "" {
		t.Fatalf("TERRAFORM=%s is no program", names[0])
	}
	t.Skipf("neither terraform nor tofu is on PATH; what they said is recorded in %s and compared by another test", recording)
	return ""
}

// TestTheRecordedReleasesAreTheHelmProviders applies the forms with the
// terraform or tofu that TERRAFORM names and the real helm provider, on a real
// control plane: a sample of them, or all with LONG=1 or -update. With -update,
// tofu applies only what no Terraform reads.
func TestTheRecordedReleasesAreTheHelmProviders(t *testing.T) {
	program := terraformProgram(t, appliedFile, *update)
	run, _, _ := formFolders(t)
	file, isTofu := appliedFile, filepath.Base(program) == "tofu"
	if isTofu {
		file = tofuFile
	}
	run = slices.DeleteFunc(run, func(name string) bool {
		f, _ := readForm(t, filepath.Join("testdata/forms", name))
		return f.OpenTofu && !isTofu || *update && f.recording() != file
	})
	if !*update && os.Getenv("LONG") == "" {
		pick := rand.New(rand.NewPCG(7, uint64(len(run))))
		pick.Shuffle(len(run), func(i, j int) { run[i], run[j] = run[j], run[i] })
		run = run[:6]
	}
	providers := []tfprovider.Provider{tfprovider.Helm, tfprovider.Kubernetes, tfprovider.Null}
	lab := newTerraformLab(t, program, providers...)
	got := applied{Terraform: lab.version(t), Providers: providersText(providers), Forms: map[string]map[string]appliedRelease{}}
	for _, name := range run {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join("testdata/forms", name)
			if f, _ := readForm(t, folder); f.Needs != "" && os.Getenv("TERRAFORM_PLUGINS") == "" {
				t.Skipf("TERRAFORM_PLUGINS names no folder with the provider %s; what it made is recorded in %s and compared by another test", f.Needs, file)
			}
			releases := lab.apply(t, folder)
			got.Forms[name] = releases
			_, ours := releasesOf(t, folder)
			if d := cmp.Diff(generic(t, releases), generic(t, ours)); d != "" {
				t.Errorf("%s is evaluated differently (-terraform +here):\n%s", name, d)
			}
		})
	}
	if *update && !t.Failed() {
		// What -run left out stays as it was recorded, by the same programs, of
		// which it may have needed fewer.
		before := applied{}
		readRecording(t, file, &before)
		for _, name := range run {
			if _, ok := got.Forms[name]; ok {
				continue
			}
			if before.Terraform != got.Terraform || !strings.HasPrefix(got.Providers, before.Providers) {
				t.Fatalf("%s was recorded with %s and %s; record all forms with %s and %s", name, before.Terraform, before.Providers, got.Terraform, got.Providers)
			}
			got.Forms[name] = before.Forms[name]
		}
		record(t, file, got)
	}
}

// record writes what the real program said.
func record(t *testing.T, file string, what any) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(what); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, b.String())
}

func providersText(providers []tfprovider.Provider) string {
	var out []string
	for _, p := range providers {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

// withContexts writes a kubeconfig in which the current context has more names.
func withContexts(t *testing.T, kubeconfig string, names ...string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		config.Contexts[n] = config.Contexts[config.CurrentContext]
	}
	out := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, out); err != nil {
		t.Fatal(err)
	}
	return out
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimRight(p, "\n"))
	return len(p), nil
}

// terraformLab runs terraform against a control plane.
type terraformLab struct {
	program, kubeconfig, home string
	plugins                   []string
	client                    kubernetes.Interface
}

func newTerraformLab(t *testing.T, program string, providers ...tfprovider.Provider) *terraformLab {
	t.Helper()
	plugins, err := tfprovider.Plugins(t.Context(), testLog{t}, providers...)
	if err != nil {
		t.Fatal(err)
	}
	if more := os.Getenv("TERRAFORM_PLUGINS"); more != "" {
		plugins = append(plugins, more)
	}
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Dir: filepath.Join(t.TempDir(), "cp"), Log: testLog{t}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &terraformLab{
		program: program, plugins: plugins, kubeconfig: withContexts(t, cp.Kubeconfig, "main", "apps"), home: t.TempDir(),
		client: kubernetes.NewForConfigOrDie(cp.Config()),
	}
}

func (l *terraformLab) run(t *testing.T, dir string, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), l.program, args...)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "TF_") || strings.HasPrefix(e, "HELM_") }),
		"CHECKPOINT_DISABLE=1", "KUBE_CONFIG="+l.kubeconfig, "KUBE_CONFIG_PATH="+l.kubeconfig, "KUBECONFIG="+l.kubeconfig, "HOME="+l.home)
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("terraform %v: %v\n%s%s", args, err, out, stderr.Bytes())
	}
	return out
}

func (l *terraformLab) version(t *testing.T) string {
	t.Helper()
	var v struct {
		Version string `json:"terraform_version"`
	}
	if err := json.Unmarshal(l.run(t, l.home, nil, "version", "-json"), &v); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(l.program) + " " + v.Version
}

// apply applies a copy of a form and returns the releases that it made. What
// says which chart is installed is overridden: a chart without objects lies
// beside the configuration, since no chart repository can be reached.
func (l *terraformLab) apply(t *testing.T, folder string) map[string]appliedRelease {
	t.Helper()
	f, opts := readRun(t, folder)
	r, ours := releasesOf(t, folder)
	tree := t.TempDir()
	if err := os.CopyFS(tree, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(tree, f.Dir)
	leaveOut(t, dir, f.LeftOut)
	writeFile(t, filepath.Join(dir, "testchart", "Chart.yaml"), "apiVersion: v2\nname: flux\nversion: 1.13.3\n")
	overrides := map[string]string{}
	for _, b := range r.Blocks {
		if b.Type != "helm_release" || f.LeftOut[b.Address] != "" {
			continue
		}
		name := b.Address[strings.LastIndex(b.Address, "helm_release.")+len("helm_release."):]
		at := filepath.Join(tree, filepath.Dir(filepath.FromSlash(b.Position.File)), "zz_override.tf")
		block := fmt.Sprintf("resource \"helm_release\" %q {\n  chart = %q\n  repository = null\n  version = null\n  wait = false\n  create_namespace = true\n}\n", name, "./testchart")
		if !strings.Contains(overrides[at], block) {
			overrides[at] += block
		}
	}
	for at, text := range overrides {
		writeFile(t, at, text)
	}
	defer l.forget(t)
	env, args := inputs(opts)
	l.init(t, dir)
	if opts.Workspace != "" && opts.Workspace != "default" {
		l.run(t, dir, nil, "workspace", "new", "-no-color", opts.Workspace)
	}
	l.run(t, dir, env, append([]string{"apply", "-auto-approve", "-input=false", "-no-color"}, args...)...)
	show := l.run(t, dir, nil, "show", "-json")
	l.compareStates(t, r, show, dir, ours, f)

	var all struct {
		Values struct {
			Root providerModule `json:"root_module"`
		}
	}
	if err := json.Unmarshal(show, &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]appliedRelease{}
	all.Values.Root.collect(t, out)
	return out
}

// inputs are the variables of a run, by the environment and by arguments.
func inputs(opts Options) (env, args []string) {
	for _, a := range opts.Arguments {
		if a.File != "" {
			args = append(args, "-var-file", a.File)
			continue
		}
		args = append(args, "-var", a.Name+"="+a.Value)
	}
	for _, k := range sortedKeys(opts.Env) {
		env = append(env, k+"="+opts.Env[k])
	}
	return env, args
}

func (l *terraformLab) init(t *testing.T, dir string) {
	t.Helper()
	args := []string{"init", "-input=false", "-no-color"}
	for _, p := range l.plugins {
		args = append(args, "-plugin-dir="+p)
	}
	l.run(t, dir, nil, args...)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// providerModule is a module in what "terraform show -json" prints.
type providerModule struct {
	Resources []struct {
		Address, Type string
		Values        struct {
			Name, Namespace string
			Metadata        []struct{ Values string }
		}
	}
	ChildModules []providerModule `json:"child_modules"`
}

func (m providerModule) collect(t *testing.T, into map[string]appliedRelease) {
	t.Helper()
	for _, r := range m.Resources {
		if r.Type != "helm_release" {
			continue
		}
		x := appliedRelease{Name: r.Values.Name, Namespace: r.Values.Namespace, Values: map[string]any{}}
		if len(r.Values.Metadata) != 1 {
			t.Fatalf("%s has no metadata", r.Address)
		}
		if text := r.Values.Metadata[0].Values; text != "" && text != "null" {
			if err := json.Unmarshal([]byte(text), &x.Values); err != nil {
				t.Fatalf("%s: %v", r.Address, err)
			}
		}
		into[r.Address] = x
	}
	for _, c := range m.ChildModules {
		c.collect(t, into)
	}
}

// compareStates reads the state both ways, and demands that every instance is
// paired with its configuration and holds the values that were evaluated.
func (l *terraformLab) compareStates(t *testing.T, r *Result, show []byte, dir string, ours map[string]appliedRelease, f form) {
	t.Helper()
	texts := map[string][]byte{"show": show}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "terraform.tfstate" || strings.Contains(p, ".terraform"+string(filepath.Separator)) {
			return err
		}
		data, err := os.ReadFile(p)
		if strings.Contains(p, "terraform.tfstate.d") || texts["4"] == nil {
			texts["4"] = data
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for version, text := range texts {
		s, err := ReadState(t.Context(), bytes.NewReader(text), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if s.Version != version {
			t.Errorf("the state is of format %q, want %q", s.Version, version)
		}
		paired := 0
		for _, m := range MatchState(r, s, "helm_release") {
			if f.LeftOut[blockOf(m.Address)] != "" {
				continue
			}
			if m.Config == nil || m.State == nil || m.Config.Address != m.Address {
				t.Errorf("%s: %s is not paired: %+v", version, m.Address, m)
				continue
			}
			paired++
			x := m.State.Release
			got := appliedRelease{Name: x.Name, Namespace: x.Namespace, Values: map[string]any{}}
			if x.Values != nil {
				if v, ok := shownValues(x.Values).(map[string]any); ok {
					got.Values = v
				}
			}
			if d := cmp.Diff(generic(t, ours[m.Address]), generic(t, got)); d != "" {
				t.Errorf("%s: the state of %s differs (-evaluated +state):\n%s", version, m.Address, d)
			}
			if x.Chart != "flux" || x.Version != "1.13.3" || x.Revision != 1 || x.Status != "deployed" {
				t.Errorf("%s: the release of %s is %+v", version, m.Address, x)
			}
		}
		if paired != len(ours) {
			t.Errorf("%s: %d instances are paired, want %d", version, paired, len(ours))
		}
	}
}

// forget removes every release, and every namespace but the cluster's own, so
// that the next form can use the names.
func (l *terraformLab) forget(t *testing.T) {
	ctx := t.Context()
	all, err := l.client.CoreV1().Secrets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all.Items {
		if err := l.client.CoreV1().Secrets(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	namespaces := l.client.CoreV1().Namespaces()
	// Namespaces go by and by, once their controller has emptied them.
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		left, err := namespaces.List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		left.Items = slices.DeleteFunc(left.Items, func(n corev1.Namespace) bool {
			return n.Name == metav1.NamespaceDefault || strings.HasPrefix(n.Name, "kube-")
		})
		if len(left.Items) == 0 {
			return
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("namespace %s is still there after a minute", left.Items[0].Name)
		}
		for _, n := range left.Items {
			if n.DeletionTimestamp != nil {
				continue
			}
			if err := namespaces.Delete(ctx, n.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				t.Fatal(err)
			}
		}
	}
}
