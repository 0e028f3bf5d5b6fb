package journey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// fluxCommand names the flux command of Flux v2.
const fluxCommand = "FLUX"

// fluxTranscript is what the command says when stock controllers are the engine.
var fluxTranscript = filepath.Join("testdata", "compared", "flux-command.txt")

// TestTheFluxCommandSaysAndDoesTheSameWithEitherEngine: whoever comes from stock
// controllers, or goes to them, types the same and reads the same. What the
// command said with the stock controllers is recorded (see
// testdata/compared/ORIGIN.md); with the bundled agent it says it too. Where the
// stock controllers are named they run as well, and are held to their own
// recording, or make it anew with -update.
func TestTheFluxCommandSaysAndDoesTheSameWithEitherEngine(t *testing.T) {
	if os.Getenv(fluxCommand) == "" {
		t.Skip("needs the flux command of Flux v2: " + fluxCommand + " not set")
	}
	if *update || os.Getenv("SOURCE_CONTROLLER") != "" {
		t.Run("stock controllers", func(t *testing.T) {
			needStock(t)
			got := fluxSession(t, func(w *world) {
				w.installStock()
				w.run(0, append([]string{"migrate", "--yes", "--engine", "existing"}, acceptAll...)...)
			})
			if *update {
				if err := os.WriteFile(fluxTranscript, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			matchesTranscript(t, got)
		})
	}
	t.Run("bundled agent", func(t *testing.T) {
		matchesTranscript(t, fluxSession(t, func(w *world) { w.migrate() }))
	})
}

func matchesTranscript(t *testing.T, got string) {
	t.Helper()
	want, err := os.ReadFile(fluxTranscript)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	now := filepath.Join(t.TempDir(), "now.txt")
	if err := os.WriteFile(now, []byte(got), 0o600); err != nil {
		t.Fatal(err)
	}
	diff, err := exec.CommandContext(t.Context(), "git", "diff", "--no-index", "--unified=2", fluxTranscript, now).Output()
	t.Errorf("the flux command says otherwise (-recorded with stock controllers +now; %v):\n%s", err, diff)
}

// talk is a session with the flux command, and what was said in it.
type talk struct {
	*world
	names      []string // what differs by cluster, and what stands for it in the transcript
	transcript strings.Builder
}

// name lets a text be written as another one in the transcript.
func (s *talk) name(text, as string) { s.names = append(s.names, text, as) }

// nameCommit names a commit, in full and as columns have it.
func (s *talk) nameCommit(sha, as string) {
	s.name(sha, "<"+as+">")
	s.name(sha[:8], "<"+as+", short>")
}

// says runs the command, and fails the test unless it ends with the code and
// writes all of the texts.
func (s *talk) says(code int, texts []string, args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), os.Getenv(fluxCommand), append([]string{"--timeout=2m"}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Kubeconfig)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("flux %s: %v", strings.Join(args, " "), err)
	}
	got, out := cmd.ProcessState.ExitCode(), b.String()
	fmt.Fprintf(&s.transcript, "$ flux %s\n%s[%d]\n", s.plain(strings.Join(args, " ")), s.plain(out), got)
	if got != code {
		s.t.Errorf("flux %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
		return out
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			s.t.Errorf("flux %s does not say %q:\n%s", strings.Join(args, " "), text, out)
		}
	}
	return out
}

// varying are texts that differ in each run: times, how long something took,
// sizes and digests of archives, and the width of columns.
var varying = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{timePattern, "<time>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC`), "<time>"},
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "<digest>"},
	{regexp.MustCompile(`(fluxover\.dev/run: )[0-9a-f]+`), "${1}<run>"},
	{regexp.MustCompile(`\b[0-9.]+ [KM]?i?B\b`), "<size>"},
	{regexp.MustCompile(`\bin [0-9.]+(ms|s|m[0-9.]+s)\b`), "in <duration>"},
	{regexp.MustCompile(`(?m)^(\s*lastReconciledDuration: ).*$`), "${1}<duration>"},
	{regexp.MustCompile(`(?m)^(\s*totalReconciliations: ).*$`), "${1}<number>"},
	{regexp.MustCompile(`(?m)[ \t]+$`), ""},
	{regexp.MustCompile(`[ \t]*\t[ \t]*`), " | "},
}

// plain is an output as the transcript has it.
func (s *talk) plain(text string) string {
	text = strings.NewReplacer(s.names...).Replace(text)
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.by)
	}
	return addressOfIP.ReplaceAllString(text, "<address>")
}

// nested is a text of an object, or empty.
func nested(u *unstructured.Unstructured, path ...string) string {
	text, _, _ := unstructured.NestedString(u.Object, path...)
	return text
}

// fluxSession hands a small fleet over and lives a day with the flux command. It
// returns the transcript.
func fluxSession(t *testing.T, handOver func(*world)) string {
	w := up(t, laboratory.Options{Teams: 2, Apps: 2, Seed: 31, SyncInterval: 10 * time.Minute})
	emitted := w.emitted()
	handOver(w)
	s := &talk{world: w}
	s.name(w.Git.HTTPAddr(), "<git by http>")
	s.name(w.Git.SSHAddr(), "<git by ssh>")
	team := w.Teams[0]
	list, err := w.dynamic().Resource(kustomizations).List(t.Context(), metav1.ListOptions{LabelSelector: "fluxover.dev/release=" + team.Release})
	if err != nil || len(list.Items) == 0 {
		t.Fatalf("the Kustomizations of %s: %d, %v", team.Name, len(list.Items), err)
	}
	k := &list.Items[slices.IndexFunc(list.Items, func(k unstructured.Unstructured) bool {
		return slices.ContainsFunc(inventory(&k), func(id string) bool { return strings.HasSuffix(id, "_apps_Deployment") })
	})]
	for _, other := range w.Teams {
		head, err := w.Git.Head(t.Context(), other.Repo, other.Branch)
		if err != nil {
			t.Fatal(err)
		}
		s.nameCommit(head, "commit 1 of "+other.Name)
	}
	s.readsWhatIsThere(k, list, team)
	s.reconcilesAndSuspends(k, team)
	s.buildsAndCompares(k, team, emitted)
	s.seesFailures(k, team)
	s.makesAndDeletes(k, team)
	return s.transcript.String()
}

// emitted is the flux-capacitor's tree as the plan would write it: the files by
// the names of the Kustomizations in them.
func (w *world) emitted() map[string]string {
	w.t.Helper()
	dir := w.t.TempDir()
	w.run(0, append([]string{"plan", "--emit", dir, "--capacitor", w.Git.SSHURL("flux-capacitor"), "--capacitor-cluster", "lab"}, acceptAll...)...)
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(file) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, u := range objects(w.t, string(content)) {
			if u.GetKind() == "Kustomization" && strings.HasPrefix(u.GetAPIVersion(), kustomizations.Group+"/") {
				files[u.GetName()] = file
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

// readsWhatIsThere and where it comes from.
func (s *talk) readsWhatIsThere(k *unstructured.Unstructured, all *unstructured.UnstructuredList, team fleet.Team) {
	s.t.Helper()
	name, source, revision := k.GetName(), nested(k, "spec", "sourceRef", "name"), nested(k, "status", "lastAppliedRevision")
	names := []string{"True", "Applied revision: "}
	for i := range all.Items {
		names = append(names, all.Items[i].GetName())
	}
	s.flux(0, names, "get", "kustomizations")
	s.flux(0, []string{source, "stored artifact for revision '" + team.Branch + "@sha1:"}, "get", "sources", "git")
	s.flux(0, []string{name, source}, "get", "all", "--all-namespaces")
	s.says(0, []string{"Kustomization", "GitRepository"}, "stats", "--all-namespaces")
	s.flux(0, []string{"kind: Kustomization", "name: " + name}, "export", "kustomization", name)
	s.flux(0, []string{"lastAppliedRevision: " + revision}, "debug", "kustomization", name, "--show-status")
	ids := fluxIDs(k)
	s.flux(0, ids, "tree", "kustomization", name)
	deployment := ids[slices.IndexFunc(ids, func(id string) bool { return strings.HasPrefix(id, "Deployment/") })]
	namespace, object, _ := strings.Cut(strings.TrimPrefix(deployment, "Deployment/"), "/")
	s.says(0, []string{"Managed by Flux", "Kustomization:   " + name, "GitRepository:   " + source, "Revision:        " + revision},
		"--namespace="+namespace, "trace", "deployment", object)
}

// flux is says in the namespace of the objects.
func (s *talk) flux(code int, texts []string, args ...string) string {
	s.t.Helper()
	return s.says(code, texts, append([]string{"--namespace=flux-system"}, args...)...)
}

// fluxIDs is an inventory as the command writes it: Kind/namespace/name.
func fluxIDs(k *unstructured.Unstructured) []string {
	var ids []string
	for _, id := range inventory(k) {
		parts := strings.Split(id, "_")
		namespace, name, kind := parts[0], parts[1], parts[len(parts)-1]
		ids = append(ids, strings.ReplaceAll(kind+"/"+namespace+"/"+name, "//", "/"))
	}
	return ids
}

// commits makes CI's next commit, with a name of its own in the transcript.
func (s *talk) commits(team fleet.Team) string {
	s.t.Helper()
	return s.known(team, s.commit(team))
}

func (s *talk) known(team fleet.Team, commit string) string {
	s.t.Helper()
	n, err := s.Git.Commits(s.t.Context(), team.Repo, team.Branch)
	if err != nil {
		s.t.Fatal(err)
	}
	s.nameCommit(commit, fmt.Sprintf("commit %d of %s", n, team.Name))
	return commit
}

// reconcilesAndSuspends: a commit is brought at once, and not while somebody
// holds it back.
func (s *talk) reconcilesAndSuspends(k *unstructured.Unstructured, team fleet.Team) {
	s.t.Helper()
	name, source := k.GetName(), nested(k, "spec", "sourceRef", "name")
	revision := func(commit string) string { return "revision " + team.Branch + "@sha1:" + commit }
	first := s.commits(team)
	s.flux(0, []string{"fetched " + revision(first), "applied " + revision(first)}, "reconcile", "kustomization", name, "--with-source")
	s.flux(0, []string{"kustomization suspended"}, "suspend", "kustomization", name)
	s.flux(1, []string{"resource is suspended"}, "reconcile", "kustomization", name)
	second := s.commits(team)
	s.flux(0, []string{"fetched " + revision(second)}, "reconcile", "source", "git", source)
	if got := nested(s.kustomization(name), "status", "lastAppliedRevision"); !strings.HasSuffix(got, first) {
		s.t.Errorf("%s is suspended, and has applied %s", name, got)
	}
	s.flux(0, []string{name, "True"}, "get", "kustomization", name)
	s.flux(0, []string{"applied " + revision(second)}, "resume", "kustomization", name)
	s.flux(0, []string{"source git suspended"}, "suspend", "source", "git", source)
	s.flux(1, []string{"resource is suspended"}, "reconcile", "source", "git", source)
	s.flux(0, []string{"fetched " + revision(second)}, "resume", "source", "git", source)
	s.flux(0, nil, "suspend", "kustomization", "--all")
	s.flux(0, nil, "resume", "kustomization", "--all", "--wait")
}

// buildsAndCompares: what the repository holds is what is live, and what it
// would change is told; nothing is written.
func (s *talk) buildsAndCompares(k *unstructured.Unstructured, team fleet.Team, emitted map[string]string) {
	t, name, since := s.t, k.GetName(), time.Now()
	t.Helper()
	files, err := s.Git.Tree(t.Context(), team.Repo, team.Branch)
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	s.name(tree, "<checkout>")
	for file, content := range files {
		writeBelow(t, tree, file, content)
	}
	path := filepath.Join(tree, filepath.FromSlash(nested(k, "spec", "path")))
	built := s.flux(0, nil, "build", "kustomization", name, "--path", path)
	ids := fluxIDs(s.kustomization(name))
	if n := len(objects(t, built)); n != len(ids) {
		t.Errorf("flux builds %d objects, and the agent's inventory holds %d:\n%s", n, len(ids), built)
	}
	file := emitted[name]
	if file == "" {
		t.Fatalf("no file of the flux-capacitor holds Kustomization %s: %v", name, emitted)
	}
	s.name(file, "<file of "+name+">")
	offline := s.flux(0, nil, "build", "kustomization", name, "--path", path, "--dry-run", "--kustomization-file", file)
	if offline != built {
		t.Errorf("flux builds other objects from the flux-capacitor's file than from the live Kustomization:\n%s", cmp.Diff(built, offline))
	}
	s.flux(0, nil, "diff", "kustomization", name, "--path", path, "--progress-bar=false")
	s.flux(0, nil, "diff", "kustomization", name, "--path", path, "--progress-bar=false", "--kustomization-file", file)
	changed := false
	for _, file := range slices.Sorted(maps.Keys(files)) {
		text := strings.ReplaceAll(string(files[file]), "replicas: ", "replicas: 1")
		if !strings.HasPrefix(filepath.Join(tree, filepath.FromSlash(file)), path) || text == string(files[file]) {
			continue
		}
		changed = true
		writeBelow(t, tree, file, []byte(text))
	}
	if !changed {
		t.Fatalf("no file below %s says how many replicas", path)
	}
	s.flux(1, []string{"drifted", "spec.replicas"}, "diff", "kustomization", name, "--path", path, "--progress-bar=false")
	for _, write := range s.audit(auditor.Options{Since: since}).Writes {
		if write.Engine != auditor.Controller {
			t.Errorf("a difference was shown, and an object was written: %+v", write)
		}
	}
}

func writeBelow(t *testing.T, dir, file string, content []byte) {
	t.Helper()
	at := filepath.Join(dir, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// seesFailures: a commit that cannot be applied fails the command, which waits
// for another one to the end of its time, and the engine's reason can be read.
func (s *talk) seesFailures(k *unstructured.Unstructured, team fleet.Team) {
	s.t.Helper()
	name := k.GetName()
	bad := strings.TrimPrefix(nested(k, "spec", "path"), "./") + "/zz-bad.yaml"
	s.known(team, s.commitFiles(team, "One kind that nobody has", map[string][]byte{
		bad: []byte("apiVersion: example.org/v1\nkind: Nothing\nmetadata: {name: nothing, namespace: " + team.Namespace + "}\n"),
	}))
	s.flux(1, []string{"context deadline exceeded"}, "reconcile", "kustomization", name, "--with-source", "--timeout=30s")
	s.rest(team, name)
	s.flux(0, []string{name, "False", "Nothing/" + team.Namespace + "/nothing dry-run failed"}, "get", "kustomizations", "--status-selector", "ready=false")
	s.says(0, nil, "stats", "--all-namespaces")
	s.events([]string{"ReconciliationFailed"}, "--for", "Kustomization/"+name, "--types=Warning")
	commit := s.known(team, s.commitFiles(team, "As before", map[string][]byte{bad: nil}))
	s.flux(0, []string{"applied revision " + team.Branch + "@sha1:" + commit}, "reconcile", "kustomization", name, "--with-source")
	s.events([]string{"ReconciliationSucceeded", "NewArtifact"}, "--for", "Kustomization/"+name)
}

// events is flux events, of which the transcript has each line of a
// Kustomization once, without when, in order of the text: how often the same came
// depends on the clock. Of a source the stock controller also tells that nothing
// has changed, again and again; the bundled agent tells what happened.
func (s *talk) events(texts []string, args ...string) {
	s.t.Helper()
	before := s.transcript.Len()
	out := s.flux(0, texts, append([]string{"events"}, args...)...)
	head := s.transcript.String()[:before]
	s.transcript.Reset()
	s.transcript.WriteString(head)
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(s.plain(out)), "\n") {
		if _, line, _ = strings.Cut(line, " | "); !strings.Contains(line, "| GitRepository/") {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	fmt.Fprintf(&s.transcript, "$ flux events %s\n%s\n", strings.Join(args, " "), strings.Join(slices.Compact(lines), "\n"))
}

// makesAndDeletes: a Kustomization that the command makes is applied, one that
// prunes takes its objects along, and one of a handed-over repository does not.
func (s *talk) makesAndDeletes(k *unstructured.Unstructured, team fleet.Team) {
	t := s.t
	t.Helper()
	configMap := func(name string) bool {
		_, err := s.kube().CoreV1().ConfigMaps(team.Namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	commit := s.known(team, s.commitFiles(team, "A folder beside", map[string][]byte{
		"beside/x.yaml": []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: beside, namespace: " + team.Namespace + "}\n"),
	}))
	source := nested(k, "spec", "sourceRef", "name")
	s.flux(0, []string{commit}, "reconcile", "source", "git", source)
	s.flux(0, []string{"applied revision " + team.Branch + "@sha1:" + commit}, "create", "kustomization", "beside", "--source=GitRepository/"+source,
		"--path=./beside", "--prune=true", "--interval=10m", "--service-account="+nested(k, "spec", "serviceAccountName"))
	if !configMap("beside") {
		t.Error("a Kustomization that flux made and found applied has made no object")
	}
	s.flux(0, []string{"kustomization deleted"}, "delete", "kustomization", "beside", "--silent")
	s.eventually(time.Minute, "the object of a deleted Kustomization that prunes is gone", func(context.Context) bool { return !configMap("beside") })

	name := k.GetName()
	ids := fluxIDs(s.kustomization(name))
	s.flux(0, []string{"kustomization deleted"}, "delete", "kustomization", name, "--silent")
	s.eventually(time.Minute, "a deleted Kustomization is gone", func(ctx context.Context) bool {
		_, err := s.dynamic().Resource(kustomizations).Namespace(k.GetNamespace()).Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	for _, id := range ids {
		kind, rest, _ := strings.Cut(id, "/")
		namespace, name, found := strings.Cut(rest, "/")
		if !found {
			s.kubectl("get", kind, namespace)
			continue
		}
		s.kubectl("--namespace="+namespace, "get", kind, name)
	}
	s.rest(team, name)
	s.flux(0, []string{nested(k, "spec", "sourceRef", "name")}, "get", "all")
}

// rest waits until the Kustomizations of a team, all but one, have applied its
// head: how soon, after what they depend on, differs with the engine.
func (s *talk) rest(team fleet.Team, but string) {
	s.t.Helper()
	head, err := s.Git.Head(s.t.Context(), team.Repo, team.Branch)
	if err != nil {
		s.t.Fatal(err)
	}
	s.eventually(2*time.Minute, "the other Kustomizations of "+team.Name+" have applied the head", func(ctx context.Context) bool {
		list, err := s.dynamic().Resource(kustomizations).List(ctx, metav1.ListOptions{LabelSelector: "fluxover.dev/release=" + team.Release})
		if err != nil {
			return false
		}
		return !slices.ContainsFunc(list.Items, func(k unstructured.Unstructured) bool {
			return k.GetName() != but && !strings.HasSuffix(nested(&k, "status", "lastAppliedRevision"), head)
		})
	})
}

// objects are those of a stream of documents.
func objects(t *testing.T, stream string) []unstructured.Unstructured {
	t.Helper()
	var all []unstructured.Unstructured
	for _, document := range regexp.MustCompile(`(?m)^---\s*$`).Split(stream, -1) {
		var u unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		if u.GetKind() != "" {
			all = append(all, u)
		}
	}
	return all
}
