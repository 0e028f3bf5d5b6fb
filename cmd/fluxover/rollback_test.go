package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func TestAWayBackThatIsNotOpenIsNamedAndEndsWithOne(t *testing.T) {
	plan := cutover.RollbackPlan{Repositories: []cutover.RepositoryReturn{{ID: "flux/a"}, {ID: "flux/b", Blocked: "its snapshot is gone"}}}
	err := cannotReturn(plan)
	var exit *exitError
	if !errors.As(err, &exit) || exit.Code != exitFailed || !strings.Contains(exit.Err.Error(), "flux/b") || strings.Contains(exit.Err.Error(), "flux/a") {
		t.Errorf("got %v", err)
	}
	plan.Repositories = plan.Repositories[:1]
	if err := cannotReturn(plan); err != nil {
		t.Errorf("an open way: %v", err)
	}
}

// A team commits, or a Git server is mended, while somebody reads the plan: marks
// that went back by the older head would let Flux v1 delete what left Git.
func TestARollbackReadsTheHeadAnewWhenARepositorysTurnComes(t *testing.T) {
	web, api := migrate.Object{ID: "web"}, migrate.Object{ID: "api"}
	committed := []migrate.Object{web, api}
	var broken error
	var asked [][]string
	read := func(_ context.Context, ids []string) (migrate.Inventory, error) {
		asked = append(asked, ids)
		return migrate.Inventory{Agents: []migrate.Flux1Agent{{ID: "flux/a", HeadObjects: committed}, {ID: "flux/b", HeadObjects: committed}}}, broken
	}
	planned, done := headOnce(read, nil), headAnew(read)
	head := func(f cutover.HeadFunc, id string) string {
		t.Helper()
		objects, err := f(t.Context(), id)
		if err != nil {
			return err.Error()
		}
		var ids []string
		for _, o := range objects {
			ids = append(ids, o.ID)
		}
		return strings.Join(ids, " ")
	}
	if got := head(planned, "flux/a"); got != "web api" {
		t.Errorf("planned by %q", got)
	}
	if got := head(done, "flux/a"); got != "web api" {
		t.Errorf("flux/a goes back by %q", got)
	}
	committed = []migrate.Object{web}
	if got := head(done, "flux/a"); got != "web" {
		t.Errorf("flux/a goes back by %q after a commit", got)
	}
	broken = errors.New("git: connection refused")
	if got := head(done, "flux/b"); got != "git: connection refused" {
		t.Errorf("flux/b goes back by %q", got)
	}
	broken = nil
	if got := head(done, "flux/b"); got != "web" {
		t.Errorf("flux/b goes back by %q once Git answers", got)
	}
	if got := head(planned, "flux/b"); got != "web api" || len(asked) != 5 || asked[0] != nil || !slices.Equal(asked[4], []string{"flux/b"}) {
		t.Errorf("a plan is one picture, by %d readings: %q, %q", len(asked), asked, got)
	}
	if got := head(done, "flux/c"); !strings.Contains(got, "Deployment of flux/c was not found") {
		t.Errorf("one that is not there: %q", got)
	}
}

func TestEachRepositoryThatGoesBackAsksTheClusterItself(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	client, err := cluster.ForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	store, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := &facts{client: client, store: store}
	defer f.close()
	o := f.returning(cutover.RollbackOptions{})
	for _, id := range []string{"flux/a", "flux/b"} {
		asked.Store(0)
		if _, err := o.Head(t.Context(), id); err == nil || asked.Load() == 0 {
			t.Errorf("%s: the cluster was asked %d things: %v", id, asked.Load(), err)
		}
	}
}

func TestNumbersThatARollbackCannotTakeAreRefusedBeforeAnythingIsTouched(t *testing.T) {
	kubeconfig := nowhere(t)
	for flag, want := range map[string]int{"--max-parallel=-1": exitUsage, "--max-parallel=0": exitUsage, "--wait-sync=-1s": exitUsage, "--max-parallel=1": exitFailed} {
		if code, _, stderr := try(t, "rollback", "--yes", "--kubeconfig", kubeconfig, flag); code != want {
			t.Errorf("%s: exit code %d, want %d:\n%s", flag, code, want, stderr)
		}
	}
}

func TestPodTemplatesAreAskedForByAFlag(t *testing.T) {
	for _, asked := range []bool{false, true} {
		var o cutover.RollbackOptions
		cmd := rollbackCommand(streams{}, &kube{}, &o)
		var args []string
		if asked {
			args = []string{"--pod-templates"}
		}
		if err := cmd.ParseFlags(args); err != nil || o.PodTemplates != asked {
			t.Errorf("asked %t: %t, %v", asked, o.PodTemplates, err)
		}
	}
}
