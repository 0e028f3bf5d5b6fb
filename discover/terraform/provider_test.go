package terraform

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	Provider  string         `json:"provider,omitempty"` // its configuration, where that is not the default one
	Values    map[string]any `json:"values"`             // "(sensitive value)" where the provider hides one
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

// releasesOf evaluates a form, with the variables that it is applied with, and
// without what is left out of it.
func releasesOf(t *testing.T, of run) (*Result, map[string]appliedRelease) {
	t.Helper()
	r, err := Load(t.Context(), of.options(t))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]appliedRelease{}
	for _, h := range HelmReleases(t.Context(), r) {
		if of.leaves(h.Address) {
			continue
		}
		if len(h.Unknown) > 0 {
			t.Errorf("whether %s exists is unknown: %v", h.Address, h.Unknown)
		}
		x := appliedRelease{Values: map[string]any{}}
		x.Name, _ = h.Name.Str()
		x.Namespace, _ = h.Namespace.Str()
		x.setProvider(h.Provider)
		if m, ok := shownValues(h.Values).(map[string]any); ok {
			x.Values = m
		}
		for _, path := range of.open(h.Address) {
			n := h.Namespace
			if path[0] == "values" {
				n = h.Values.Lookup(path[1:]...)
			}
			if n == nil || n.Kind != Unknown {
				t.Errorf("%s: %q is said to be open, and known", h.Address, path)
			}
		}
		out[h.Address] = of.comparable(h.Address, x, x)
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

// What each form gives Helm equals what Terraform and the real helm provider
// gave it. A form that they cannot run says why.
func TestReleasesAreThoseThatTerraformAndTheHelmProviderMake(t *testing.T) {
	made := map[string]applied{}
	for _, file := range []string{appliedFile, tofuFile} {
		recording := applied{}
		readRecording(t, file, &recording)
		made[file] = recording
	}
	runs, _, reasons := formRuns(t)
	forms, left := map[string]bool{}, map[string]map[string]bool{}
	for file, recording := range made {
		left[file] = map[string]bool{}
		for name := range recording.Forms {
			left[file][name] = true
		}
	}
	for _, run := range runs {
		t.Run(run.Name, func(t *testing.T) {
			want := made[run.recording()]
			recorded, ok := want.Forms[run.Name]
			if !ok {
				t.Fatalf("%s is not recorded in %s; run this package's tests with -update where the program that reads it is on PATH", run.Name, run.recording())
			}
			_, got := releasesOf(t, run)
			if d := cmp.Diff(generic(t, recorded), generic(t, got)); d != "" {
				t.Errorf("%s is evaluated differently (-%s, %s +here):\n%s", run.Name, want.Terraform, want.Providers, d)
			}
		})
		forms[run.Folder] = true
		delete(left[run.recording()], run.Name)
	}
	if len(forms) < 60 {
		t.Errorf("only %d forms are compared", len(forms))
	}
	for file, names := range left {
		if len(names) > 0 {
			t.Errorf("%s holds %q, which nothing runs", file, sortedKeys(names))
		}
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
	runs, _, _ := formRuns(t)
	file, isTofu := appliedFile, filepath.Base(program) == "tofu"
	if isTofu {
		file = tofuFile
	}
	runs = slices.DeleteFunc(runs, func(r run) bool {
		return r.OpenTofu && !isTofu || *update && r.recording() != file
	})
	if !*update && os.Getenv("LONG") == "" {
		pick := rand.New(rand.NewPCG(7, uint64(len(runs))))
		pick.Shuffle(len(runs), func(i, j int) { runs[i], runs[j] = runs[j], runs[i] })
		runs = runs[:6]
	}
	providers := []tfprovider.Provider{tfprovider.Helm, tfprovider.Kubernetes, tfprovider.Null}
	lab := newTerraformLab(t, program, providers...)
	got := applied{Terraform: lab.version(t), Providers: providersText(providers), Forms: map[string]map[string]appliedRelease{}}
	for _, run := range runs {
		t.Run(run.Name, func(t *testing.T) {
			releases := lab.with(t, run, file).apply(t, run)
			got.Forms[run.Name] = releases
			_, ours := releasesOf(t, run)
			if d := cmp.Diff(generic(t, releases), generic(t, ours)); d != "" {
				t.Errorf("%s is evaluated differently (-terraform +here):\n%s", run.Name, d)
			}
		})
	}
	if *update && !t.Failed() {
		// What -run left out stays as it was recorded, by the same programs, of
		// which it may have needed fewer.
		before := applied{}
		readRecording(t, file, &before)
		for _, run := range runs {
			name := run.Name
			if _, ok := got.Forms[name]; ok {
				continue
			}
			if before.Terraform != got.Terraform || !strings.HasPrefix(got.Providers, before.Providers) {
				t.Fatalf("%s was recorded with %s and %s; record all forms with %s and %s", name, before.Terraform, before.Providers, got.Terraform, got.Providers)
			}
			if was, ok := before.Forms[name]; ok {
				got.Forms[name] = was
			}
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
	plugins                   []string          // folders, for -plugin-dir
	given                     string            // TERRAFORM_PLUGINS
	versions                  map[string]string // of providers, by their sources
	flat                      bool              // Terraform 0.11: it finds providers by the names of their files, and prints no JSON
	env                       []string
	repository                string // the URL of a chart repository without charts
	client                    kubernetes.Interface
}

func newTerraformLab(t *testing.T, program string, providers ...tfprovider.Provider) *terraformLab {
	t.Helper()
	plugins, err := tfprovider.Plugins(t.Context(), testLog{t}, providers...)
	if err != nil {
		t.Fatal(err)
	}
	given := os.Getenv("TERRAFORM_PLUGINS")
	if given != "" {
		plugins = append(plugins, given)
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
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "apiVersion: v1\nentries: {}\n")
	}))
	t.Cleanup(repository.Close)
	lab := &terraformLab{
		program: program, plugins: plugins, given: given, versions: versionsOf(providers), repository: repository.URL,
		kubeconfig: withContexts(t, cp.Kubeconfig, "main", "apps"), home: t.TempDir(), client: kubernetes.NewForConfigOrDie(cp.Config()),
	}
	writeFile(t, filepath.Join(lab.home, ".kube", "config"), readText(t, lab.kubeconfig))
	return lab
}

func (l *terraformLab) run(t *testing.T, dir string, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), l.program, args...)
	cmd.Dir = dir
	foreign := regexp.MustCompile("^(TF|HELM|TERRAGRUNT|TG)_")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), foreign.MatchString),
		"CHECKPOINT_DISABLE=1", "KUBE_CONFIG="+l.kubeconfig, "KUBE_CONFIG_PATH="+l.kubeconfig, "KUBECONFIG="+l.kubeconfig, "HOME="+l.home)
	cmd.Env = append(append(cmd.Env, l.env...), env...)
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

// giveCharts overrides what says which chart is installed: a chart without
// objects lies beside the configuration, and a chart repository without charts
// is served, since no other can be reached.
func (l *terraformLab) giveCharts(t *testing.T, of run, r *Result, tree, dir string) {
	t.Helper()
	writeFile(t, filepath.Join(dir, "testchart", "Chart.yaml"), "apiVersion: v2\nname: flux\nversion: 1.13.3\n")
	unset := "null"
	if l.flat {
		unset = `""`
	}
	bodies := map[string]string{
		"helm_release":    "  chart = \"./testchart\"\n  repository = " + unset + "\n  version = " + unset + "\n  wait = false\n  create_namespace = true\n",
		"helm_template":   "  chart = \"./testchart\"\n  repository = null\n  version = null\n",
		"helm_repository": fmt.Sprintf("  url = %q\n", l.repository),
	}
	overrides := map[string]string{}
	for _, b := range r.Blocks {
		body := bodies[b.Type]
		if body == "" || of.leaves(b.Address) {
			continue
		}
		name, kind := b.Address[strings.LastIndex(b.Address, b.Type+".")+len(b.Type+"."):], "resource"
		if b.Mode == "data" {
			kind = "data"
		}
		at := filepath.Join(tree, filepath.Dir(filepath.FromSlash(b.Position.File)), "zz_override.tf")
		block := fmt.Sprintf("%s %q %q {\n%s}\n", kind, b.Type, name, body)
		if !strings.Contains(overrides[at], block) {
			overrides[at] += block
		}
	}
	for at, text := range overrides {
		writeFile(t, at, text)
	}
}

// apply applies a copy of a form and returns the releases that it made, of
// another chart than it names.
func (l *terraformLab) apply(t *testing.T, of run) map[string]appliedRelease {
	t.Helper()
	opts := of.options(t)
	r, ours := releasesOf(t, of)
	tree, dir := of.copy(t)
	l.giveCharts(t, of, r, tree, dir)
	defer l.forget(t)
	env, args := inputs(opts)
	l.init(t, dir, filepath.Join(tree, filepath.FromSlash(r.loader.dir)))
	if selected := l.run(t, dir, nil, "workspace", "show"); string(bytes.TrimSpace(selected)) != opts.Workspace {
		l.run(t, dir, nil, "workspace", "new", "-no-color", opts.Workspace)
	}
	l.run(t, dir, env, append([]string{"apply", "-auto-approve", "-input=false", "-no-color"}, args...)...)
	pulled := l.run(t, dir, nil, "state", "pull")
	out := map[string]appliedRelease{}
	if l.flat {
		compareStates(t, r, map[string][]byte{"3": pulled}, ours, of)
		collectState3(t, pulled, out)
	} else {
		show := l.run(t, dir, nil, "show", "-json")
		compareStates(t, r, map[string][]byte{"show": show, "4": pulled}, ours, of)
		var all struct {
			Values struct {
				Root providerModule `json:"root_module"`
			}
		}
		if err := json.Unmarshal(show, &all); err != nil {
			t.Fatal(err)
		}
		all.Values.Root.collect(t, l, out)
		setProviders(t, pulled, out)
	}
	for address, x := range out {
		out[address] = of.comparable(address, x, ours[address])
	}
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
			Metadata        json.RawMessage // a list of one, or since helm 3 that one
			WriteOnly       int             `json:"set_wo_revision"`
		}
	}
	ChildModules []providerModule `json:"child_modules"`
}

func (m providerModule) collect(t *testing.T, l *terraformLab, into map[string]appliedRelease) {
	t.Helper()
	for _, r := range m.Resources {
		if r.Type != "helm_release" {
			continue
		}
		var metadata struct{ Values string }
		if err := json.Unmarshal(bytes.Trim(r.Values.Metadata, "[]"), &metadata); err != nil {
			t.Fatalf("%s has no metadata: %v", r.Address, err)
		}
		if r.Values.WriteOnly > 0 {
			metadata.Values = l.kept(t, r.Values.Namespace, r.Values.Name)
		}
		into[r.Address] = newAppliedRelease(t, r.Values.Name, r.Values.Namespace, metadata.Values)
	}
	for _, c := range m.ChildModules {
		c.collect(t, l, into)
	}
}

// kept are the values of a release that Helm keeps: with set_wo, the provider
// keeps none.
func (l *terraformLab) kept(t *testing.T, namespace, name string) string {
	t.Helper()
	secret, err := l.client.CoreV1().Secrets(namespace).Get(t.Context(), "sh.helm.release.v1."+name+".v1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(secret.Data["release"])))
	if err != nil {
		t.Fatal(err)
	}
	var release struct{ Config json.RawMessage }
	if err := json.NewDecoder(unzipped).Decode(&release); err != nil {
		t.Fatal(err)
	}
	return string(release.Config)
}

// newAppliedRelease is a release with the values that the provider keeps of it.
func newAppliedRelease(t *testing.T, name, namespace, values string) appliedRelease {
	t.Helper()
	x := appliedRelease{Name: name, Namespace: namespace, Values: map[string]any{}}
	if values != "" && values != "null" {
		if err := json.Unmarshal([]byte(values), &x.Values); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return x
}

func (x *appliedRelease) setProvider(ref ProviderRef) {
	if x.Provider = ref.String(); x.Provider == "helm" {
		x.Provider = ""
	}
}

// setProviders reads of which configuration of its provider each release is,
// which "show" does not tell.
func setProviders(t *testing.T, state []byte, releases map[string]appliedRelease) {
	t.Helper()
	s, err := ReadState(t.Context(), bytes.NewReader(state), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Resources {
		if x, ok := releases[r.Address]; ok {
			x.setProvider(providerRef(r.Provider))
			releases[r.Address] = x
		}
	}
}

// collectState3 reads the releases of a state of Terraform 0.11.
func collectState3(t *testing.T, state []byte, into map[string]appliedRelease) {
	t.Helper()
	var all struct {
		Modules []struct {
			Resources map[string]struct {
				Type    string
				Primary struct{ Attributes map[string]string }
			}
		}
	}
	if err := json.Unmarshal(state, &all); err != nil || len(all.Modules) != 1 {
		t.Fatalf("the state has %d modules: %v", len(all.Modules), err)
	}
	for key, x := range all.Modules[0].Resources {
		if x.Type == "helm_release" {
			address := regexp.MustCompile(`\.(\d+)$`).ReplaceAllString(key, "[$1]")
			into[address] = newAppliedRelease(t, x.Primary.Attributes["name"], x.Primary.Attributes["namespace"], x.Primary.Attributes["metadata.0.values"])
		}
	}
}

// compareStates reads the state in each format, and demands that every instance
// is paired with its configuration and holds the values that were evaluated.
func compareStates(t *testing.T, r *Result, texts map[string][]byte, ours map[string]appliedRelease, of run) {
	t.Helper()
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
			if of.leaves(m.Address) {
				continue
			}
			if m.Config == nil || m.State == nil || m.Config.Address != m.Address {
				t.Errorf("%s: %s is not paired: %+v", version, m.Address, m)
				continue
			}
			paired++
			x := m.State.Release
			got := appliedRelease{Name: x.Name, Namespace: x.Namespace, Values: map[string]any{}}
			if got.setProvider(providerRef(m.State.Provider)); version == "show" {
				got.Provider = ours[m.Address].Provider // it names no configuration
			}
			if x.Values == nil && m.Config.Field("set_wo_revision") != nil {
				got.Values = ours[m.Address].Values
			}
			if x.Values != nil {
				switch v := shownValues(x.Values).(type) {
				case map[string]any:
					got.Values = v
				case string: // hidden as a whole, since a part of them is sensitive
					if v == hiddenValue && strings.Contains(fmt.Sprint(ours[m.Address].Values), hiddenValue) {
						got.Values = ours[m.Address].Values
					}
				}
			}
			if d := cmp.Diff(generic(t, ours[m.Address]), generic(t, of.comparable(m.Address, got, ours[m.Address]))); d != "" {
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
	if err := l.client.CoreV1().ConfigMaps(metav1.NamespaceDefault).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "owner=helm"}); err != nil {
		t.Fatal(err)
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
