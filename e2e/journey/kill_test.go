package journey

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// Steps of the runbook, and the places around a journal entry at which the
// program can be killed (FLUXOVER_CRASH="repository|step|when"), if it was
// built with the tag faults.
var (
	steps = []string{"lock", "recheck", "snapshot", "credentials", "stage", "fence", "top-up", "adopt", "verify", "unpin", "hold", "settle"}
	whens = []string{"before-started", "after-started", "before-done", "after-done"}
)

// points are places to be killed at around the runbook's steps: all with
// LONG=1, else a seeded sample.
func points(t *testing.T, prefix string, n int) []string {
	t.Helper()
	var all []string
	for _, s := range steps {
		all = append(all, around(prefix+s)...)
	}
	if prefix == "" {
		// That the old agent is told to end is written down within step fence.
		all = append(all, "fence-stopped|before-done", "fence-stopped|after-done")
	}
	return sample(t, n, all)
}

// around are the points before and after both journal entries of a step.
func around(step string) []string {
	var all []string
	for _, w := range whens {
		all = append(all, step+"|"+w)
	}
	return all
}

// after are the points behind acts that have no journal entry of their own.
func after(step string, acts ...string) []string {
	var all []string
	for _, act := range acts {
		all = append(all, step+"-"+act+"|after-done")
	}
	return all
}

// sample is everything with LONG=1, else n, chosen by SEED.
func sample[T any](t *testing.T, n int, all []T) []T {
	t.Helper()
	if os.Getenv("LONG") != "" {
		return all
	}
	seed := seed(t)
	t.Logf("%d of %d, chosen with SEED=%d; LONG=1 takes all", min(n, len(all)), len(all), seed)
	all = slices.Clone(all)
	random := rand.New(rand.NewPCG(seed, uint64(len(all))))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

// seed of samples: SEED, else always the same, so that a run does not fail by
// another choice than the one before.
func seed(t *testing.T) uint64 {
	t.Helper()
	given := os.Getenv("SEED")
	if given == "" {
		return 1
	}
	seed, err := strconv.ParseUint(given, 10, 64)
	if err != nil {
		t.Fatalf("SEED: %v", err)
	}
	return seed
}

// settledContent is a dump without what differs between two runs that came to
// the same end: journals with their times, ids of runs and times of requests.
func settledContent(dump auditor.Dump) auditor.Dump {
	out := auditor.Dump{}
	for id, content := range dump {
		if strings.Contains(id, "fluxover-system") {
			continue
		}
		scrubbed, ok := scrub(content).(map[string]any)
		if !ok {
			continue
		}
		// Control objects are made anew by each run; workloads never are.
		if m, isMap := scrubbed["metadata"].(map[string]any); isMap && (strings.HasPrefix(id, "flux-system_") || strings.Contains(id, "_fluxover__") || strings.HasPrefix(id, "_fluxover-fence.")) {
			delete(m, "uid")
		}
		out[id] = scrubbed
	}
	return out
}

var perRun = map[string]bool{
	"fluxover.dev/run": true, "reconcile.fluxcd.io/requestedAt": true,
	// Which of two runs of one program wrote last shows in nothing but this.
	"f:fluxover.dev/run": true, "f:reconcile.fluxcd.io/requestedAt": true,
}

func scrub(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if !perRun[k] {
				out[k] = scrub(x)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = scrub(v[i])
		}
		return out
	}
	return v
}

// killed runs the program with a crash point, which it must come to.
func (w *world) killed(point string, args ...string) {
	w.t.Helper()
	if r := w.try([]string{"FLUXOVER_CRASH=|" + point}, args...); !r.killed {
		w.t.Errorf("it never came to %s, and ended with exit code %d\n%s", point, r.code, r.stderr)
	}
}

func TestKilledMigrationsAndRollbacksEndAsUnbrokenOnes(t *testing.T) {
	beside(t)
	w := upWith(t, programs.crashing, laboratory.Options{Teams: 1, Apps: 2, Seed: 7, SyncInterval: 10 * time.Minute})
	before := settledContent(withoutOwn(w.dump()))
	w.migrate()
	whole := settledContent(w.dump())
	if kept := w.keptFor(w.Teams[0]); len(kept) < 3 {
		t.Fatalf("a team that was handed over has only %q, so that nothing shows whether it is left", kept)
	}
	back := func(point string) {
		t.Helper()
		w.run(0, "rollback", "--yes")
		w.becomes(before, "after "+point, func(d auditor.Dump) auditor.Dump { return settledContent(withoutOwn(d)) })
		if kept := w.keptFor(w.Teams[0]); len(kept) > 0 {
			t.Errorf("after %s there is still %q", point, kept)
		}
		want := "rolled-back"
		if point == "lock|before-started" {
			want = "pending" // a journal was opened, and nothing begun
		}
		if phase := w.phases()[id(w.Teams[0])]; phase != "rolled-back" && phase != want {
			t.Errorf("after %s the repository is %s, want %s", point, phase, want)
		}
	}
	back("an unbroken run")
	migrate := append([]string{"migrate", "--yes", "--image", image}, acceptAll...)
	for _, point := range points(t, "", 4) {
		t.Run(fmt.Sprintf("migrate killed at %s goes on", point), func(t *testing.T) {
			w := &world{Lab: w.Lab, t: t, cache: w.cache}
			w.killed(point, migrate...)
			w.run(0, migrate...)
			same(t, "after going on", whole, settledContent(w.dump()))
		})
		back(point)
		t.Run(fmt.Sprintf("migrate killed at %s goes back", point), func(t *testing.T) {
			w := &world{Lab: w.Lab, t: t, cache: w.cache}
			w.killed(point, migrate...)
		})
		back(point)
	}
	for _, point := range points(t, "undo-", 4) {
		w.migrate()
		t.Run(fmt.Sprintf("rollback killed at %s", point), func(t *testing.T) {
			w := &world{Lab: w.Lab, t: t, cache: w.cache}
			w.killed(point, "rollback", "--yes")
		})
		back(point)
	}
}

// What is found behind the fence makes a migration let the old agent in again by
// itself, with entries of its own.
func TestMigrationsKilledWhileTheyLetTheOldAgentInAgain(t *testing.T) {
	beside(t)
	w := upWith(t, programs.crashing, laboratory.Options{Teams: 1, Apps: 2, Seed: 12, SyncInterval: 10 * time.Minute})
	team := w.Teams[0]
	before := settledContent(withoutOwn(w.dump()))
	w.migrate()
	whole := settledContent(w.dump())
	back := func(w *world) {
		w.t.Helper()
		w.run(0, "rollback", "--yes")
		w.becomes(before, "after going back", func(d auditor.Dump) auditor.Dump { return settledContent(withoutOwn(d)) })
		if kept := w.keptFor(team); len(kept) > 0 {
			w.t.Errorf("there is still %q", kept)
		}
	}
	back(w)
	migrate := append([]string{"migrate", "--yes", "--image", image}, acceptAll...)
	killed := func(w *world, point string) {
		w.t.Helper()
		undo := w.editedBehindTheFence(team)
		w.killed(point, migrate...)
		undo()
	}
	for _, point := range sample(t, 2, slices.Concat(around("undo-top-up"), around("undo-fence"))) {
		t.Run("killed at "+point+" goes on, and back", func(t *testing.T) {
			w := &world{Lab: w.Lab, t: t, cache: w.cache}
			killed(w, point)
			w.run(0, migrate...)
			same(t, "after going on", whole, settledContent(w.dump()))
			back(w)
		})
		t.Run("killed at "+point+" goes back", func(t *testing.T) {
			w := &world{Lab: w.Lab, t: t, cache: w.cache}
			killed(w, point)
			back(w)
		})
	}
}

// editedBehindTheFence has somebody edit an object of a team once its old agent is
// stopped and before anybody looks at the objects again: a finalizer keeps the
// agent's Pod there until it is done. undo waits for that, and takes it back.
func (w *world) editedBehindTheFence(team fleet.Team) (undo func()) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	kube := w.kube()
	selector, err := metav1.LabelSelectorAsSelector(w.oldAgent(ctx, team).Spec.Selector)
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := kube.CoreV1().Pods(team.AgentNamespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil || len(list.Items) != 1 {
		w.t.Fatalf("the old agent's Pods: %d, %v", len(list.Items), err)
	}
	pod := "pod/" + list.Items[0].Name
	w.kubectl("-n", team.AgentNamespace, "patch", pod, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/wait"]}}`)
	edited := w.kubectl("-n", team.Namespace, "get", "configmaps", "-o", `jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}`)
	var object string
	for _, name := range strings.Fields(edited) {
		if name != "kube-root-ca.crt" {
			object = "configmap/" + name
		}
	}
	done := make(chan error, 1)
	go func() {
		for {
			d, err := kube.AppsV1().Deployments(team.AgentNamespace).Get(ctx, team.Release, metav1.GetOptions{})
			if err != nil {
				done <- err
				return
			}
			if *d.Spec.Replicas == 0 {
				break
			}
			time.Sleep(50 * time.Millisecond) // until it is told to end
		}
		_, labelled := w.tryKubectl(ctx, "-n", team.Namespace, "label", object, "by-hand=yes")
		_, released := w.tryKubectl(ctx, "-n", team.AgentNamespace, "patch", pod, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
		done <- errors.Join(labelled, released)
	}()
	return func() {
		w.t.Helper()
		defer cancel()
		if err := <-done; err != nil {
			w.t.Fatalf("edit %s behind the fence: %v", object, err)
		}
		w.kubectl("-n", team.Namespace, "label", object, "by-hand-")
	}
}

// oldAgent is the Deployment of a team's old agent.
func (w *world) oldAgent(ctx context.Context, team fleet.Team) *appsv1.Deployment {
	w.t.Helper()
	d, err := w.kube().AppsV1().Deployments(team.AgentNamespace).Get(ctx, team.Release, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// keptFor lists what was made for a team, or of its state, among the objects of
// fluxover and of its agent, where withoutOwn does not look.
func (w *world) keptFor(team fleet.Team) []string {
	w.t.Helper()
	var kept []string
	for id, content := range w.dump() {
		if !ownObjects(id) || stateStays(id) || strings.HasSuffix(id, "_CustomResourceDefinition") || strings.HasSuffix(id, "_APIService") {
			continue
		}
		metadata, _ := content["metadata"].(map[string]any)
		labels, _ := metadata["labels"].(map[string]any)
		if strings.HasPrefix(id, "fluxover-system_") || labels["fluxover.dev/release"] != nil || strings.Contains(id, account(team)) || strings.Contains(id, ".toolkit.fluxcd.io_") {
			kept = append(kept, id)
		}
	}
	slices.Sort(kept)
	return kept
}

// stateStays reports whether an object of fluxover's own state stays after a
// rollback of all repositories, as docs/cutover.md says: the closed journals, the
// record of the run, and what Kubernetes makes in each namespace.
func stateStays(id string) bool {
	return strings.HasPrefix(id, "fluxover-system_journal.") && strings.HasSuffix(id, "__ConfigMap") || slices.Contains([]string{
		"_fluxover-system__Namespace", "fluxover-system_default__ServiceAccount", "fluxover-system_kube-root-ca.crt__ConfigMap",
		"fluxover-system_run__ConfigMap",
	}, id)
}

// leftBehind are what a rollback that also uninstalled the agent leaves: that of
// the state, and the namespace of the agent.
func leftBehind(id string) bool {
	return stateStays(id) || slices.Contains([]string{
		"_flux-system__Namespace", "flux-system_default__ServiceAccount", "flux-system_kube-root-ca.crt__ConfigMap",
	}, id)
}

// remade is a dump without what differs each time that the agent is installed
// anew: Helm's record with its times, addresses, and the UIDs of what was not
// there before.
func remade(before, dump auditor.Dump) auditor.Dump {
	out := auditor.Dump{}
	for id, content := range settledContent(dump) {
		if strings.Contains(id, "sh.helm.release.v1.flux-agent") || strings.Contains(id, "networking.k8s.io_IPAddress") && before[id] == nil {
			continue
		}
		if before[id] == nil {
			content = without(content, "uid", "clusterIP", "clusterIPs").(map[string]any)
		}
		out[id] = content
	}
	return out
}

// uidInKey is how managedFields name an owner reference.
var uidInKey = regexp.MustCompile(`"uid":"[0-9a-f-]+"`)

// without leaves keys out, at any depth, and UIDs that are a part of keys.
func without(v any, keys ...string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if !slices.Contains(keys, k) {
				out[uidInKey.ReplaceAllString(k, `"uid":"…"`)] = without(x, keys...)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = without(v[i], keys...)
		}
		return out
	}
	return v
}

func TestKilledWhileTheAgentOrTheFluxCapacitorIsSetUpOrTakenAway(t *testing.T) {
	beside(t)
	w := upWith(t, programs.crashing, laboratory.Options{Teams: 1, Apps: 1, Seed: 9, SyncInterval: 10 * time.Minute})
	c := newCapacitor(w)
	before := w.dump()
	asBefore := func(d auditor.Dump) auditor.Dump {
		out := auditor.Dump{}
		for id, content := range d {
			if !leftBehind(id) && !strings.Contains(id, "networking.k8s.io_IPAddress") {
				out[id] = content
			}
		}
		return settledContent(out)
	}
	migrate := append(append([]string{"migrate", "--yes", "--image", image}, acceptAll...), c.flags(c.writer, c.knownHosts)...)
	rollback := []string{"rollback", "--yes", "--uninstall-agent"}
	w.run(0, migrate...)
	whole, wholeFiles := remade(before, w.dump()), c.files()
	w.run(0, rollback...)
	w.becomes(asBefore(before), "an unbroken run, there and back", asBefore)
	empty := c.files()
	if len(empty) >= len(wholeFiles) {
		t.Fatalf("an unbroken rollback leaves %d files of %d in the flux-capacitor", len(empty), len(wholeFiles))
	}

	// In a world of its own, so that a failure is the point's.
	in := func(name string, do func(w *world, c *capacitor)) {
		t.Run(name, func(t *testing.T) {
			w := &world{Lab: w.Lab, t: t, cache: w.cache}
			do(w, &capacitor{w: w, repo: c.repo})
		})
	}
	forth := func(w *world, c *capacitor) {
		w.t.Helper()
		w.run(0, migrate...)
		same(w.t, "after going on", whole, remade(before, w.dump()))
		sameFiles(w.t, wholeFiles, c.files())
	}
	back := func(w *world, c *capacitor) {
		w.t.Helper()
		w.run(0, rollback...)
		w.becomes(asBefore(before), "after going back", asBefore)
		if kept := w.keptFor(w.Teams[0]); len(kept) > 0 {
			w.t.Errorf("there is still %q", kept)
		}
		sameFiles(w.t, empty, c.files())
	}
	setUp := slices.Concat(around("agent"), around("definitions"), around("capacitor"),
		after("capacitor", "secret", "push", "serviceaccount", "role", "rolebinding", "gitrepository", "kustomization", "sync"))
	for _, point := range sample(t, 2, setUp) {
		in("migrate killed at "+point+" goes on, and back", func(w *world, c *capacitor) {
			w.killed(point, migrate...)
			forth(w, c)
			back(w, c)
		})
		in("migrate killed at "+point+" goes back", func(w *world, c *capacitor) {
			w.killed(point, migrate...)
			back(w, c)
		})
	}
	takenAway := slices.Concat(around("undo-capacitor"), after("undo-capacitor", "sync", "kustomization", "gitrepository", "rolebinding", "role", "serviceaccount", "push", "secret"),
		around("undo-agent"), after("undo-agent", "pods", "release"))
	killedAt := sample(t, 1, takenAway)
	// Where a migration once found the flux-capacitor's Kustomization suspended, and left it so.
	if kept := "undo-capacitor-sync|after-done"; !slices.Contains(killedAt, kept) {
		killedAt = append(killedAt, kept)
	}
	for _, point := range killedAt {
		in("rollback killed at "+point+" goes on", func(w *world, c *capacitor) {
			forth(w, c)
			w.killed(point, rollback...)
			back(w, c)
		})
		in("rollback killed at "+point+" is followed by a migration", func(w *world, c *capacitor) {
			forth(w, c)
			w.killed(point, rollback...)
			forth(w, c)
			back(w, c)
		})
	}
}

// sameFiles fails the test if two trees differ.
func sameFiles(t *testing.T, want, got map[string][]byte) {
	t.Helper()
	for p := range got {
		if want[p] == nil {
			t.Errorf("%s is in the flux-capacitor", p)
		}
	}
	for p, content := range want {
		if string(got[p]) != string(content) {
			t.Errorf("%s of the flux-capacitor differs: want\n%s\ngot\n%s", p, content, got[p])
		}
	}
}
