package journey

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

var update = flag.Bool("update", false, "write what real programs make of a cluster to testdata/compared (needs FLUXD, SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER and STOCK_CRDS)")

// A migration's moments, at which the whole cluster content is compared.
var moments = []string{"synced", "migrated", "one commit later", "rolled back"}

// setup is which programs play in a comparison.
type setup struct {
	golden string
	// stock has the stock controllers as engine, not the bundled agent.
	stock bool
	// byDesign names, by what an inventory id holds, the objects in which the
	// stand-in and the bundled agent differ from this setup, and why.
	byDesign []exception
}

type exception struct{ part, reason string }

var (
	withRealFluxd = setup{golden: "fluxd.txtar"}
	withStock     = setup{golden: "stock-controllers.txtar", stock: true, byDesign: []exception{
		{"flux-system_fluxover-agent", "the bundled agent's own objects"},
		{"flux-system_sh.helm.release.v1.flux-agent.", "the bundled agent's Helm release"},
		{"_flux-system-fluxover-agent_", "the bundled agent's rights on the cluster"},
		{"_flux-system__Namespace", "who installs an engine first makes its namespace"},
		{"flux-system_source-controller", "a stock controller's own objects"},
		{"flux-system_kustomize-controller", "a stock controller's own objects"},
		{"_stock-", "the stock controllers' rights"},
		{"fluxcd.io_apiextensions.k8s.io_CustomResourceDefinition", "definitions of the two kinds that are bundled, of all kinds with stock"},
		{"flux-system_ReplicaSet:", "the engine's Pods"},
	}}
)

// TestTheClusterHoldsWhatItHeldUnderTheRealPrograms takes one small fleet over
// and back and compares the whole cluster content at four moments with what was
// recorded with the real fluxd, and with the stock controllers as engine (see
// testdata/compared/ORIGIN.md). Where the real programs are named they run too,
// and are held to their own recording, or make it anew with -update.
func TestTheClusterHoldsWhatItHeldUnderTheRealPrograms(t *testing.T) {
	given := map[string]bool{
		withRealFluxd.golden: os.Getenv("FLUXD") != "",
		withStock.golden:     os.Getenv("SOURCE_CONTROLLER") != "" && os.Getenv("KUSTOMIZE_CONTROLLER") != "" && os.Getenv(stockCRDs) != "",
	}
	if *update && !(given[withRealFluxd.golden] && given[withStock.golden]) {
		t.Fatal("-update records the real programs, and both together: name them in FLUXD, SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER and STOCK_CRDS")
	}
	for _, s := range []setup{withRealFluxd, withStock} {
		if !given[s.golden] {
			continue
		}
		t.Run(s.golden, func(t *testing.T) {
			if s.stock {
				t.Setenv("FLUXD", "")
			}
			if *update {
				record(t, s, journeyContents(t, s.stock, nil))
				return
			}
			want := recorded(t, s)
			contents := journeyContents(t, s.stock, func(moment string, got auditor.Dump) bool {
				return len(auditor.Diff(want[moment], got)) == 0
			})
			for _, moment := range moments {
				same(t, moment+", against the recording", want[moment], contents[moment])
			}
		})
	}
	t.Run("stand-in and bundled agent", func(t *testing.T) {
		t.Setenv("FLUXD", "")
		goldens := map[string]map[string]auditor.Dump{}
		for _, s := range []setup{withRealFluxd, withStock} {
			goldens[s.golden] = recorded(t, s)
		}
		compare := func(s setup, moment string, got auditor.Dump) (want, have auditor.Dump) {
			return s.without(goldens[s.golden][moment]), s.without(got)
		}
		contents := journeyContents(t, false, func(moment string, got auditor.Dump) bool {
			for _, s := range []setup{withRealFluxd, withStock} {
				if len(auditor.Diff(compare(s, moment, got))) > 0 {
					return false
				}
			}
			return true
		})
		for _, s := range []setup{withRealFluxd, withStock} {
			for _, moment := range moments {
				want, got := compare(s, moment, contents[moment])
				if len(want) < 50 {
					t.Errorf("%s, %s: only %d objects are compared", s.golden, moment, len(want))
				}
				same(t, fmt.Sprintf("%s, against %s", moment, s.golden), want, got)
			}
		}
		for _, s := range []setup{withRealFluxd, withStock} {
			s.needsItsExceptions(t, goldens[s.golden], contents)
		}
	})
}

// without leaves out what differs by design.
func (s setup) without(dump auditor.Dump) auditor.Dump {
	out := auditor.Dump{}
	for id, content := range dump {
		if !slices.ContainsFunc(s.byDesign, func(e exception) bool { return strings.Contains(id, e.part) }) {
			out[id] = content
		}
	}
	return out
}

// needsItsExceptions fails the test for an exception that excuses nothing.
func (s setup) needsItsExceptions(t *testing.T, want, got map[string]auditor.Dump) {
	t.Helper()
	for _, e := range s.byDesign {
		needed := false
		for _, moment := range moments {
			needed = needed || slices.ContainsFunc(auditor.Diff(want[moment], got[moment]), func(d auditor.Difference) bool {
				return strings.Contains(d.ID, e.part)
			})
		}
		if !needed {
			t.Errorf("%s: no object with %q differs; drop the exception (%s)", s.golden, e.part, e.reason)
		}
	}
}

// journeyContents makes the journey and returns the content at each moment. A
// content is taken when rest says so, or after a minute, or, without rest, when
// it no longer changes: controllers of Kubernetes follow a little later.
func journeyContents(t *testing.T, stock bool, rest func(moment string, content auditor.Dump) bool) map[string]auditor.Dump {
	t.Helper()
	w := up(t, laboratory.Options{Teams: 2, Apps: 2, Seed: 21, SyncInterval: 10 * time.Minute})
	c := &scrubber{w: w, names: map[string]string{}, made: map[string]int{}}
	contents, began := map[string]auditor.Dump{}, time.Now()
	take := func(moment string) {
		t.Helper()
		reached := time.Since(began).Round(time.Second)
		contents[moment] = c.settled(moment, rest)
		t.Logf("%s after %s, at rest after %s", moment, reached, time.Since(began).Round(time.Second))
	}
	take("synced")
	args := append([]string{"migrate", "--yes"}, acceptAll...)
	if stock {
		w.installStock()
		args = append(args, "--engine", "existing")
	} else {
		args = append(args, "--image", image)
	}
	w.run(0, args...)
	take("migrated")
	for _, team := range w.Teams {
		w.arrives(team, w.commit(team))
	}
	take("one commit later")
	w.run(0, "rollback", "--yes")
	if err := w.WaitSynced(t.Context()); err != nil {
		t.Fatalf("after the rollback: %v", err)
	}
	for _, team := range w.Teams {
		w.owned(team, false)
	}
	take("rolled back")
	return contents
}

// scrubber makes contents of one cluster comparable with another's. What is
// different in each cluster gets a name that is not: addresses, commits, UIDs.
type scrubber struct {
	w     *world
	names map[string]string // by what they stand for
	made  map[string]int    // how many UIDs an object's id has had
}

// settled takes the content, see journeyContents.
func (c *scrubber) settled(moment string, rest func(moment string, content auditor.Dump) bool) auditor.Dump {
	c.w.t.Helper()
	const least, quiet, limit = 12 * time.Second, 6 * time.Second, time.Minute
	var last auditor.Dump
	began, since := time.Now(), time.Now()
	c.w.eventually(2*limit, moment+": a content that does not change", func(context.Context) bool {
		now := c.take()
		if last == nil || len(auditor.Diff(last, now)) > 0 {
			last, since = now, time.Now()
		}
		if rest != nil {
			return rest(moment, now) || time.Since(began) > limit
		}
		return time.Since(since) > quiet && time.Since(began) > least
	})
	return last
}

var (
	timePattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
	addressOfIP = regexp.MustCompile(`\b10\.\d{1,3}\.\d{1,3}\.\d{1,3}\b`)
)

// take reads the cluster, and where Git's sync tags are, and names what differs
// by cluster.
func (c *scrubber) take() auditor.Dump {
	c.w.t.Helper()
	dump := c.w.dump()
	c.learn(dump)
	pairs := make([]string, 0, 2*len(c.names))
	// Longer ones first: an address is part of a URL.
	for _, value := range slices.SortedFunc(maps.Keys(c.names), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	}) {
		pairs = append(pairs, value, c.names[value])
	}
	names := strings.NewReplacer(pairs...)
	plain := func(text string) string {
		text = timePattern.ReplaceAllString(names.Replace(text), "<time>")
		return addressOfIP.ReplaceAllString(text, "<address>")
	}
	out := auditor.Dump{}
	for id, content := range dump {
		if strings.HasSuffix(id, "_networking.k8s.io_IPAddress") {
			continue // chance names it; its Service is there
		}
		content, ok := scrub(content).(map[string]any)
		if !ok {
			c.w.t.Fatalf("%s holds no fields", id)
		}
		if reason := machineOnly(id); reason != "" {
			content = map[string]any{"left out": reason}
		}
		if strings.HasSuffix(id, "__Secret") || strings.HasPrefix(id, "fluxover-system_") {
			// Random keys, compressed releases, journals with times: which keys there are.
			for _, k := range []string{"data", "binaryData"} {
				if values, isMap := content[k].(map[string]any); isMap {
					for key := range values {
						values[key] = "<value>"
					}
				}
			}
		}
		if meta, isMap := content["metadata"].(map[string]any); isMap {
			shortOwners(meta)
		}
		content, ok = replaced(content, plain).(map[string]any)
		if !ok {
			c.w.t.Fatalf("%s holds no fields", id)
		}
		raw, err := json.Marshal(content)
		if err != nil {
			c.w.t.Fatal(err)
		}
		// They fill the recording with what nobody reads.
		if ofKubernetes(id, string(raw)) {
			sum := sha256.Sum256(raw)
			content = map[string]any{"digest": hex.EncodeToString(sum[:8])}
		}
		out[plain(id)] = content
	}
	for _, team := range c.w.Teams {
		tag, err := c.w.Git.Tag(c.w.t.Context(), team.Repo, "flux-sync")
		if err != nil {
			c.w.t.Fatal(err)
		}
		out["git "+team.Repo] = map[string]any{"flux-sync": plain(tag)}
	}
	// As the recording is read.
	raw, err := json.Marshal(out)
	if err != nil {
		c.w.t.Fatal(err)
	}
	again, err := auditor.ParseDump(raw)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return again
}

// shortOwners lists the owned fields below their parents, which a dump repeats
// for each.
func shortOwners(meta map[string]any) {
	owners, _ := meta["managedFields"].(map[string]any)
	for owner, v := range owners {
		fields, _ := v.(map[string]any)
		below := map[string]any{}
		for _, path := range slices.Sorted(maps.Keys(fields)) {
			parent, field := "", path
			if i := strings.LastIndex(path, " "); i >= 0 {
				parent, field = path[:i], path[i+1:]
			}
			before, _ := below[parent].(string)
			below[parent] = strings.TrimPrefix(before+" "+field, " ")
		}
		owners[owner] = below
	}
}

// replaced gives every text, keys too, through a function, but those that are
// other each time as a whole.
func replaced(v any, plain func(string) string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			switch {
			case strings.HasPrefix(k, "checksum/"):
				out[k] = "<checksum>" // of a ConfigMap with a host key
			case k == "modifiedAt":
				out[k] = "<time>" // Helm's
			default:
				out[plain(k)] = replaced(x, plain)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = replaced(v[i], plain)
		}
		return out
	case string:
		return plain(v)
	}
	return v
}

// machineOnly says why an object's content is the machine's, or the
// installation's, or nothing.
func machineOnly(id string) string {
	switch {
	case strings.HasSuffix(id, "__Node"), strings.HasSuffix(id, "_storage.k8s.io_CSINode"):
		return "the machine's"
	case id == "default_kubernetes__Service":
		return "the API server's address"
	case strings.HasSuffix(id, "_kube-root-ca.crt__ConfigMap"), strings.HasSuffix(id, "_extension-apiserver-authentication__ConfigMap"):
		return "certificates"
	case id == "kube-system_kube-apiserver-legacy-service-account-token-tracking__ConfigMap":
		return "the day on which the API server was first started"
	case strings.HasSuffix(id, "_CustomResourceDefinition"):
		return "of the version of Flux's API that is installed, and of who did"
	}
	return ""
}

// ofKubernetes tells whether the control plane brought an object along or made
// it from another one.
func ofKubernetes(id, content string) bool {
	return strings.Contains(content, `"kubernetes.io/bootstrapping"`) || strings.HasPrefix(id, "kube-") || strings.HasPrefix(id, "_system:") ||
		strings.Contains(id, "_flowcontrol.apiserver.k8s.io_") || strings.Contains(id, "_apiregistration.k8s.io_") ||
		strings.HasSuffix(id, "_apps_ReplicaSet")
}

// learn names what is new in a dump.
func (c *scrubber) learn(dump auditor.Dump) {
	c.w.t.Helper()
	git := c.w.Git
	c.names[git.HTTPAddr()], c.names[git.SSHAddr()] = "<git by http>", "<git by ssh>"
	c.names[strings.TrimSpace(git.KnownHosts())] = "<known_hosts>"
	c.names[filepath.Base(os.Args[0])] = "<tests>" // as a manager of fields
	for _, team := range c.w.Teams {
		head, err := git.Head(c.w.t.Context(), team.Repo, team.Branch)
		if err != nil {
			c.w.t.Fatal(err)
		}
		n, err := git.Commits(c.w.t.Context(), team.Repo, team.Branch)
		if err != nil {
			c.w.t.Fatal(err)
		}
		c.names[head] = fmt.Sprintf("<commit %d of %s>", n, team.Name)
		for _, id := range c.objects(team, head) {
			c.names[gcMark(c.safeURL(team)+team.Branch+team.Path, id)] = "<mark of " + id + ">"
		}
	}
	for _, id := range slices.Sorted(maps.Keys(dump)) {
		meta, _ := dump[id]["metadata"].(map[string]any)
		// The hash of a template with addresses in it differs.
		name := id
		labels, _ := meta["labels"].(map[string]any)
		if hash, _ := labels["pod-template-hash"].(string); hash != "" && (strings.HasPrefix(id, "flux_") || strings.HasPrefix(id, "flux-system_")) {
			annotations, _ := meta["annotations"].(map[string]any)
			c.names[hash] = fmt.Sprintf("<hash %v>", annotations["deployment.kubernetes.io/revision"])
			name = strings.ReplaceAll(id, hash, c.names[hash])
		}
		if uid, _ := meta["uid"].(string); uid != "" && c.names[uid] == "" {
			c.made[name]++
			c.names[uid] = fmt.Sprintf("<uid %d of %s>", c.made[name], name)
		}
	}
}

// objects are the ids, as Flux v1 writes them, of what a commit holds.
func (c *scrubber) objects(team fleet.Team, commit string) []string {
	c.w.t.Helper()
	files, err := c.w.Git.Tree(c.w.t.Context(), team.Repo, commit)
	if err != nil {
		c.w.t.Fatal(err)
	}
	objects, err := fleet.ObjectsIn(files, team.Path)
	if err != nil {
		c.w.t.Fatal(err)
	}
	var ids []string
	for _, o := range objects {
		namespace := o.Namespace
		if namespace == "" {
			namespace = "<cluster>"
		}
		ids = append(ids, fmt.Sprintf("%s:%s/%s", namespace, strings.ToLower(o.Kind), o.Name))
	}
	return ids
}

// safeURL is a team's repository as it goes into marks: without a password
// (flux: pkg/git/url.go).
func (c *scrubber) safeURL(team fleet.Team) string {
	if team.SSH {
		return c.w.Git.SSHURL(team.Repo)
	}
	scheme, rest, _ := strings.Cut(c.w.Git.HTTPURL(team.Repo), "://")
	return scheme + "://flux-" + team.Name + "@" + rest
}

// gcMark is the mark of an object in a sync set (flux: pkg/sync/sync.go,
// pkg/cluster/kubernetes/sync.go).
func gcMark(set, id string) string {
	sum := func(text string) string {
		s := sha256.Sum256([]byte(text))
		return base64.RawURLEncoding.EncodeToString(s[:])
	}
	return "sha256." + sum(sum(set)+id)
}

// record writes a recording: a section per moment with the objects that are
// other than in a base, null for what is gone. The base of the stock
// controllers' is the real fluxd's at the same moment, so that one can read how
// the engines differ; that one's is its own moment before.
func record(t *testing.T, s setup, contents map[string]auditor.Dump) {
	t.Helper()
	archive := &txtar.Archive{Comment: []byte("See ORIGIN.md.\n")}
	bases := s.bases(t)
	for _, moment := range moments {
		var lines []string
		for _, d := range auditor.Diff(bases(moment, contents), contents[moment]) {
			lines = append(lines, readable(t, d.ID)+": "+readable(t, contents[moment][d.ID]))
		}
		archive.Files = append(archive.Files, txtar.File{Name: moment, Data: []byte("{\n" + strings.Join(lines, ",\n") + "\n}\n")})
	}
	if err := os.WriteFile(filepath.Join("testdata", "compared", s.golden), txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// bases tells on what a section builds, given the sections before.
func (s setup) bases(t *testing.T) func(moment string, own map[string]auditor.Dump) auditor.Dump {
	t.Helper()
	if s.stock {
		others := recorded(t, withRealFluxd)
		return func(moment string, _ map[string]auditor.Dump) auditor.Dump { return others[moment] }
	}
	return func(moment string, own map[string]auditor.Dump) auditor.Dump {
		if i := slices.Index(moments, moment); i > 0 {
			return own[moments[i-1]]
		}
		return auditor.Dump{}
	}
}

// readable is JSON with < and > as they are.
func readable(t *testing.T, v any) string {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// recorded reads a recording.
func recorded(t *testing.T, s setup) map[string]auditor.Dump {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", "compared", s.golden))
	if err != nil {
		t.Fatal(err)
	}
	bases := s.bases(t)
	contents := map[string]auditor.Dump{}
	for i, file := range archive.Files {
		if i >= len(moments) || file.Name != moments[i] {
			t.Fatalf("%s: section %d is %q, want the moments %q", s.golden, i+1, file.Name, moments)
		}
		other, err := auditor.ParseDump(file.Data)
		if err != nil {
			t.Fatalf("%s, %s: %v", s.golden, file.Name, err)
		}
		content := maps.Clone(bases(file.Name, contents))
		for id, object := range other {
			if object == nil {
				delete(content, id)
			} else {
				content[id] = object
			}
		}
		contents[file.Name] = content
	}
	if len(contents) != len(moments) {
		t.Fatalf("%s has %d moments, want %d", s.golden, len(contents), len(moments))
	}
	return contents
}
