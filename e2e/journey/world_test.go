// Package journey tests the built program from end to end, as its users run
// it: on a real control plane, with a fleet under Flux v1, judged by the
// auditor and by comparing whole cluster contents.
package journey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// image is what the chart is told to run; the laboratory runs the program of
// that name.
const image = "registry.example.com/fluxover:test"

// acceptAll takes the one decision that the uniform fleet asks for.
var acceptAll = []string{"--accept", "CLUSTER_ADMIN=*"}

var (
	kustomizations  = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	gitRepositories = schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "gitrepositories"}
)

// world is a laboratory with the program to test.
type world struct {
	*laboratory.Lab
	t     *testing.T
	cache string
}

// programs are built once for all tests, without crash points and with them.
var programs struct{ plain, crashing func() (string, error) }

func TestMain(m *testing.M) {
	// Hundreds of short programs run here, and memory is not what is scarce.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
		if err := os.Setenv("GOGC", "400"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	dir, err := os.MkdirTemp("", "journey-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built := func(name string, faults bool) func() (string, error) {
		return sync.OnceValues(func() (string, error) {
			at := filepath.Join(dir, name)
			return at, laboratory.Build(context.Background(), at, faults)
		})
	}
	programs.plain, programs.crashing = built("plain", false), built("crashing", true)
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// beside lets a test run beside others, each with a laboratory of its own.
func beside(t *testing.T) {
	t.Helper()
	t.Parallel()
}

// up starts a laboratory with a synced fleet; it ends with the test.
func up(t *testing.T, o laboratory.Options) *world {
	t.Helper()
	return upWith(t, programs.plain, o)
}

// upWith is up with the programs named.
func upWith(t *testing.T, built func() (string, error), o laboratory.Options) *world {
	t.Helper()
	var err error
	if o.BinDir, err = built(); err != nil {
		t.Fatal(err)
	}
	o.Dir = t.TempDir()
	o.WaitSynced = true
	if o.PollInterval == 0 {
		o.PollInterval = 5 * time.Second
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	lab, err := laboratory.Up(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Down(); err != nil {
			t.Errorf("end the laboratory: %v", err)
		}
	})
	w := &world{Lab: lab, t: t, cache: t.TempDir()}
	w.followed()
	// A program with the race detector built in (GOFLAGS=-race) ends with an exit
	// code of its own; the agent's is seen by nobody.
	t.Cleanup(func() {
		if log := w.agentLog(); strings.Contains(log, "DATA RACE") {
			t.Errorf("the agent:\n%s", log)
		}
	})
	return w
}

// followed waits until Kubernetes has made what follows from what was synced: the
// Pods of each Deployment and the root certificate of each namespace. A dump from
// before would never be that of the cluster again.
func (w *world) followed() {
	w.t.Helper()
	kube := w.kube()
	w.eventually(2*time.Minute, "the Pods of every Deployment, the root certificate in every namespace", func(ctx context.Context) bool {
		deployments, err := kube.AppsV1().Deployments("").List(ctx, metav1.ListOptions{})
		if err != nil || slices.ContainsFunc(deployments.Items, func(d appsv1.Deployment) bool {
			s, want := d.Status, *d.Spec.Replicas
			return s.ObservedGeneration < d.Generation || s.Replicas != want || s.UpdatedReplicas != want || s.AvailableReplicas != want
		}) {
			return false
		}
		namespaces, err := kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false
		}
		certificates, err := kube.CoreV1().ConfigMaps("").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=kube-root-ca.crt"})
		return err == nil && len(certificates.Items) == len(namespaces.Items)
	})
}

// result of a run of the program.
type result struct {
	code        int
	out, stderr string
	killed      bool
}

// command prepares a run; env are further variables.
func (w *world) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(w.BinDir, "fluxover"), args...)
	cmd.Env = append(append(os.Environ(), "KUBECONFIG="+w.Kubeconfig, "XDG_CACHE_HOME="+w.cache), env...)
	return cmd
}

// try runs the program with a limit and returns what came of it.
func (w *world) try(env []string, args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
	defer cancel()
	var out, stderr bytes.Buffer
	cmd := w.command(ctx, env, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	r := result{out: out.String(), stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
		r.killed = exit.ExitCode() == -1
	case err != nil:
		w.t.Fatalf("fluxover %s: %v", strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		w.t.Fatalf("fluxover %s did not end:\n%s", strings.Join(args, " "), r.stderr)
	}
	return r
}

// run is try with the exit code demanded.
func (w *world) run(want int, args ...string) result {
	w.t.Helper()
	r := w.try(nil, args...)
	if r.code != want {
		w.t.Fatalf("fluxover %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, want, r.out, r.stderr)
	}
	return r
}

func (w *world) migrate(more ...string) result {
	w.t.Helper()
	return w.run(0, append(append([]string{"migrate", "--yes", "--image", image}, acceptAll...), more...)...)
}

// status by repository id.
func (w *world) phases() map[string]string {
	w.t.Helper()
	var report struct {
		Repositories []struct{ ID, Phase string }
	}
	r := w.run(0, "status", "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		w.t.Fatalf("status: %v\n%s", err, r.out)
	}
	phases := map[string]string{}
	for _, repo := range report.Repositories {
		phases[repo.ID] = repo.Phase
	}
	return phases
}

func (w *world) dynamic() dynamic.Interface {
	w.t.Helper()
	client, err := dynamic.NewForConfig(w.ControlPlane.Config())
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

// arrives waits until every Kustomization of a team has applied the commit.
func (w *world) arrives(team fleet.Team, commit string) {
	w.t.Helper()
	client := w.dynamic()
	w.eventually(2*time.Minute, "commit "+commit+" of "+team.Name+" through the new agent", func(ctx context.Context) bool {
		list, err := client.Resource(kustomizations).List(ctx, metav1.ListOptions{LabelSelector: "fluxover.dev/release=" + team.Release})
		if err != nil || len(list.Items) == 0 {
			return false
		}
		for _, k := range list.Items {
			revision, _, _ := unstructured.NestedString(k.Object, "status", "lastAppliedRevision")
			if !strings.HasSuffix(revision, commit) {
				return false
			}
		}
		return true
	})
}

// eventually waits for a condition with a limit.
func (w *world) eventually(limit time.Duration, what string, done func(context.Context) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// commit makes CI's next commit in a team's repository.
func (w *world) commit(team fleet.Team) string {
	w.t.Helper()
	sha, err := w.CommitNext(w.t.Context(), team)
	if err != nil {
		w.t.Fatal(err)
	}
	return sha
}

// audited gives each event of the audit log. A last one of which only the beginning
// is there is being written for somebody else: what was answered is in the log.
func audited[E any](w *world, each func(*E)) {
	w.t.Helper()
	log, err := os.Open(w.ControlPlane.AuditLog)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	for dec := json.NewDecoder(log); dec.More(); {
		var e E
		if err := dec.Decode(&e); errors.Is(err, io.ErrUnexpectedEOF) {
			return
		} else if err != nil {
			w.t.Fatal(err)
		}
		each(&e)
	}
}

// audit judges the log since a time.
func (w *world) audit(o auditor.Options) *auditor.Report {
	w.t.Helper()
	survey, err := auditor.TakeSurvey(w.t.Context(), w.ControlPlane.Config())
	if err != nil {
		w.t.Fatal(err)
	}
	o.Survey = survey
	a := auditor.New(o)
	log, err := os.Open(w.ControlPlane.AuditLog)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	if err := a.Read(w.t.Context(), log); err != nil {
		w.t.Fatal(err)
	}
	return a.Report()
}

// pass fails the test if the auditor found anything, or if the product's figures,
// where they are given, are not those of the log.
func (w *world) pass(o auditor.Options) *auditor.Report {
	w.t.Helper()
	most, each := figureTolerance()
	o.Tolerance = each
	report := w.audit(o)
	if o.Status != nil {
		if gaps, exact := exactGaps(o.Status, report, most); 2*exact < gaps {
			w.t.Errorf("of %d gaps that the product tells only %d are within %s of the log's, want half of them", gaps, exact, most)
		}
	}
	if report.Verdict != "pass" {
		var b bytes.Buffer
		if err := report.WriteText(&b); err != nil {
			w.t.Fatal(err)
		}
		w.t.Errorf("the auditor:\n%s", b.String())
	}
	return report
}

// plan reads the proved plan in the auditor's form.
func (w *world) plan() *auditor.Plan {
	w.t.Helper()
	r := w.run(0, append([]string{"plan", "-o", "json"}, acceptAll...)...)
	plan, err := auditor.ParsePlan([]byte(r.out))
	if err != nil {
		w.t.Fatal(err)
	}
	return plan
}

// dump is the whole cluster content, for comparing.
func (w *world) dump() auditor.Dump {
	w.t.Helper()
	dump, err := auditor.TakeDump(w.t.Context(), w.ControlPlane.Config(), auditor.DumpOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return dump
}
