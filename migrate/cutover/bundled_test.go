package cutover

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/gitserver"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile"
	"github.com/fluxover/fluxover/reconcile/source"
)

// TestTheBundledAgentTakesOverFromARealGitServer goes there and back with the
// agent itself, a Git server with a password, and sync marks read from it.
func TestTheBundledAgentTakesOverFromARealGitServer(t *testing.T) {
	l := laboratory(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	server, err := gitserver.Start(ctx, gitserver.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	git, err := source.Open(t.TempDir(), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	commit := func(tm *team) {
		files := map[string][]byte{}
		for app, objs := range tm.git {
			for _, u := range objs {
				raw, err := yaml.Marshal(u.Object)
				tm.must(err)
				files[app+"/"+u.GetKind()+"-"+u.GetName()+".yaml"] = raw
			}
		}
		sha, err := server.Commit(ctx, tm.name, "main", "change", files)
		tm.must(err)
		tm.head = sha
	}
	tag := func(tm *team) {
		tm.commit = tm.head
		cmd := exec.CommandContext(ctx, "git", "-C", filepath.Join(dir, tm.name+".git"), "-c", "user.name=flux", "-c", "user.email=flux@example.com",
			"tag", "--force", "--annotate", "--message=Sync pointer", "flux-sync", tm.commit)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			tm.t.Fatalf("%v\n%s", err, out)
		}
	}
	tm := newTeam(t, func(tm *team) {
		tm.must(server.CreateRepo(ctx, tm.name, "main"))
		tm.must(server.AllowUser(tm.name, "bot", "p@ss word", true))
		tm.url = server.HTTPURL(tm.name)
		tm.credential = &migrate.Credential{Kind: "basic", From: map[string]migrate.Value{
			"username": {Literal: "bot"},
			"password": {Secret: &migrate.SecretKey{Namespace: tm.flux, Name: "git-password", Key: "p"}, PercentEncoded: true},
		}}
		tm.must((store{c: l.c}).ensureNamespace(ctx, tm.flux))
		_, err := l.c.Kube.CoreV1().Secrets(tm.flux).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "git-password"}, Data: map[string][]byte{"p": []byte("p%40ss%20word\n")},
		}, metav1.CreateOptions{FieldManager: "helm"})
		tm.must(err)
		commit(tm)
		tag(tm)
	})
	l.engine.pause(true)
	opts := reconcile.NewOptions()
	opts.StoragePath, opts.StorageAddr, opts.MetricsAddr, opts.HealthAddr = t.TempDir(), "", "0", "0"
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- reconcile.Run(running, l.cp.Config(), opts) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the agent: %v", err)
		}
		l.engine.pause(false)
	})

	before, uids := tm.picture(), tm.uids()
	withMarks := func(o *Options) { o.Marks = GitMarks(git) }
	tm.must(tm.migrate(withMarks))
	status := tm.status()
	t.Logf("gap %s, waited %s for the old pod", status.Gap.Duration, status.WaitingForOldPod.Duration)
	if status.Gap.Duration > 10*time.Second {
		t.Errorf("the gap is %s", status.Gap.Duration)
	}
	if tm.live("Deployment", "web").GetLabels()[flux1.MarkLabel] != "" {
		t.Error("the Deployment was not adopted")
	}
	// A later commit is an ordinary sync.
	settings := tm.git["web"][2]
	changed := settings.DeepCopy()
	changed.Object["data"] = map[string]any{"colour": "red"}
	tm.git["web"][2] = changed
	commit(tm)
	now := time.Now().UTC().Format(time.RFC3339Nano)
	src, err := l.c.Get(ctx, sourceKind, migrate.AgentNamespace, tm.name)
	tm.must(err)
	src.SetResourceVersion("")
	_, err = l.c.MergePatch(ctx, src, map[string]any{"metadata": map[string]any{"annotations": map[string]any{requestedAt: now}}}, "somebody")
	tm.must(err)
	tm.must(tm.await(func() bool {
		colour, _, _ := unstructured.NestedString(tm.live("ConfigMap", "settings").Object, "data", "colour")
		return colour == "red"
	}))
	// Back to the first commit's content, so that everything can be compared.
	tm.git["web"][2] = settings
	commit(tm)
	tm.must(tm.rollback())
	tm.sync()
	tag(tm)
	after := tm.picture()
	tm.same("there and back", before, after)
	for id, uid := range tm.uids() {
		if uids[id] != uid {
			t.Errorf("%s was made anew", id)
		}
	}
	tm.plan = tm.makePlan()
	tm.must(tm.migrate(withMarks))
	tm.must(tm.rollback())
	tm.same("and there and back again", before, tm.picture())
}
