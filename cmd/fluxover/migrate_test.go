package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
)

// nowhere is a kubeconfig of a server that nobody listens at: a command that
// asks it fails with another exit code than one that was refused before.
func nowhere(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	err := os.WriteFile(file, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}],"users":[{"name":"u","user":{}}]}`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// try runs a command in process.
func try(t *testing.T, args ...string) (code int, out, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func planFile(t *testing.T, plan migrate.Plan) string {
	t.Helper()
	if err := plan.SealUp(); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func storedPlan(engine string) migrate.Plan {
	return migrate.Plan{
		APIVersion: migrate.APIVersion, Kind: "Plan", Proof: "server", ClusterAgent: migrate.ClusterAgent{Engine: engine},
		Inputs:       migrate.PlanInputs{Options: migrate.Options{Engine: engine}, Agents: map[string]migrate.Fingerprint{"flux/flux-shop": {"image": "a"}}},
		Repositories: []migrate.Repository{{ID: "flux/flux-shop", Wave: 1}, {ID: "flux/flux-web", Wave: 2}},
	}
}

func TestFlagsThatAPlanFileCannotTakeAreRefusedBeforeAnythingIsTouched(t *testing.T) {
	kubeconfig := nowhere(t)
	bundled, existing := planFile(t, storedPlan("bundled")), planFile(t, storedPlan("existing"))
	old := filepath.Join(t.TempDir(), "old.json")
	if err := os.WriteFile(old, []byte(`{"apiVersion":"fluxover.dev/v1","kind":"Plan","proof":"server","inputs":{"agents":{"flux/flux-shop":"3f2a"}},"repositories":[{"id":"flux/flux-shop"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const image = "--image=registry.example.com/fluxover:1"
	for name, c := range map[string]struct {
		args []string
		code int
		says []string
	}{
		"accept":                        {[]string{bundled, image, "--accept", "CLUSTER_ADMIN=*"}, 64, []string{"--accept", "plan again"}},
		"decisions":                     {[]string{bundled, image, "--decisions", "/dev/null"}, 64, []string{"--decisions", "plan again"}},
		"engine, even as it was":        {[]string{bundled, image, "--engine", "bundled"}, 64, []string{"--engine", "plan again"}},
		"group-by and wave-size":        {[]string{bundled, image, "--group-by", "path", "--wave-size", "3"}, 64, []string{"--group-by, --wave-size", "plan again"}},
		"a repository mistyped":         {[]string{bundled, image, "--repo", "flux/flux-shpo"}, 64, []string{"no repository flux/flux-shpo", "near it: flux/flux-shop", "nothing has changed"}},
		"a wave that is not there":      {[]string{bundled, image, "--wave", "3"}, 64, []string{"--wave 3: the plan has waves 1 to 2"}},
		"a repository of another wave":  {[]string{bundled, image, "--repo", "flux/flux-shop", "--wave", "2"}, 64, []string{"choose no repository"}},
		"no image":                      {[]string{bundled}, 64, []string{"--image is needed"}},
		"an image nobody would run":     {[]string{existing, image}, 64, []string{"--image goes with the bundled agent"}},
		"a plan of an earlier version":  {[]string{old, image}, 64, []string{"earlier version", "fluxover plan --out"}},
		"existing controllers":          {[]string{existing}, 1, []string{"127.0.0.1:1"}},
		"a repository of the plan":      {[]string{bundled, image, "--repo", "flux/flux-shop"}, 1, []string{"127.0.0.1:1"}},
		"a wave of the plan":            {[]string{existing, "--wave", "2"}, 1, []string{"127.0.0.1:1"}},
		"without a plan file, existing": {[]string{"--engine", "existing"}, 1, []string{"127.0.0.1:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := try(t, append([]string{"migrate", "--yes", "--kubeconfig", kubeconfig}, c.args...)...)
			text := strings.Join(strings.Fields(stderr), " ")
			if code != c.code {
				t.Errorf("exit code %d, want %d:\n%s", code, c.code, stderr)
			}
			for _, s := range c.says {
				if !strings.Contains(text, s) {
					t.Errorf("does not say %q:\n%s", s, stderr)
				}
			}
		})
	}
}

func TestWhichCommitsAreTakenIsHandedOn(t *testing.T) {
	for _, c := range []struct {
		args []string
		want cutover.Commits
		ok   bool
	}{
		{nil, "equivalent", true}, {[]string{"--commits", "exact"}, "exact", true}, {[]string{"--commits", "any"}, "any", true},
		{[]string{"--commits", "none"}, "none", false}, {[]string{"--commits", ""}, "", false},
	} {
		var o migrateOptions
		cmd := o.command(streams{}, &kube{})
		if err := cmd.ParseFlags(append([]string{"--image", "registry.example.com/fluxover:1"}, c.args...)); err != nil {
			t.Fatal(err)
		}
		_, _, err := o.check(cmd.Flags(), nil)
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "want exact, equivalent or any") {
			t.Errorf("%q: %v", c.args, err)
		}
		if got := o.wishes().Commits; got != c.want {
			t.Errorf("%q: the executor gets %q", c.args, got)
		}
	}
}

func TestARepositoryThatIsNotThereIsRefusedByName(t *testing.T) {
	inv := migrate.Inventory{Agents: []migrate.Flux1Agent{{ID: "flux/flux-shop", Namespace: "flux", Release: "flux-shop"}, {ID: "flux/flux-web", Namespace: "flux", Release: "flux-web"}}}
	o := migrateOptions{plan: planFlags{repos: []string{"flux/flux-shop", "shop", "flux/flux-wbe"}}}
	plan := migrate.Build(inv, migrate.Options{Repositories: o.plan.repos})
	err := o.selectable(&plan)
	var exit *exitError
	if !errors.As(err, &exit) || exit.Code != exitUsage {
		t.Fatalf("got %v", err)
	}
	text := fmt.Sprint(exit.Err, exit.Hints)
	for _, want := range []string{"no repository shop, flux/flux-wbe", "near it: flux/flux-web", "there are: flux/flux-shop, flux/flux-web", "nothing has changed"} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q: %s", want, text)
		}
	}
}

func TestARefusalSaysWhatMovedOfTheChosenRepositories(t *testing.T) {
	stored := storedPlan("bundled")
	stored.Inputs.Agents = map[string]migrate.Fingerprint{
		"flux/flux-shop": {"--git-branch": "main", "Git branch": "main", "image": "fluxcd/flux:1.25.4"}, "flux/flux-web": {"image": "fluxcd/flux:1.25.4"},
	}
	now := stored
	now.Inputs.Agents = map[string]migrate.Fingerprint{
		"flux/flux-shop": {"--git-branch": "prod", "Git branch": "prod", "image": "fluxcd/flux:1.25.4", "ClusterRoleBinding/more": "ClusterRole/cluster-admin"},
	}
	var o migrateOptions
	var text bytes.Buffer
	err := stillHolds(&stored, &now, o.chosen(&stored))
	var exit *exitError
	if !errors.As(err, &exit) || exit.Code != exitFailed {
		t.Fatalf("got %v", err)
	}
	sayError(&text, exit.Err, exit.Hints...)
	const want = `error: moved since the plan was made:
  flux/flux-shop: --git-branch (main, now prod); ClusterRoleBinding/more (new:
  ClusterRole/cluster-admin)
  flux/flux-web: its agent is gone
hint: nothing has changed
hint: plan again and look at what is different
`
	if text.String() != want {
		t.Errorf("got\n%s", text.String())
	}
	o.plan.repos = []string{"flux/flux-web"}
	now.Inputs.Agents["flux/flux-web"] = migrate.Fingerprint{"image": "fluxcd/flux:1.25.4"}
	if err := stillHolds(&stored, &now, o.chosen(&stored)); err != nil {
		t.Errorf("what was not chosen holds back: %v", err)
	}
}

func TestARefusalDoesNotCallGoneWhatMayNotBeRead(t *testing.T) {
	stored := storedPlan("bundled")
	stored.Inputs.Agents = map[string]migrate.Fingerprint{"flux/flux-shop": {"image": "fluxcd/flux:1.25.4", "ClusterRoleBinding/more": "ClusterRole/cluster-admin"}, "flux/flux-web": {"image": "fluxcd/flux:1.25.4"}}
	unread := func(code, right, hint string) migrate.Finding {
		return migrate.Finding{Severity: migrate.Blocker, Code: code, Message: "you may not list " + right, Hint: hint}
	}
	var o migrateOptions
	for want, change := range map[string]func(now *migrate.Plan){
		`error: it is not known whether the plan still holds:
  flux/flux-shop: whether its agent is still there
  flux/flux-web: whether its agent is still there
  you may not list deployments.apps
hint: nothing has changed
hint: have list on deployments.apps granted
`: func(now *migrate.Plan) {
			now.Inputs.Agents = nil
			now.Findings = append(now.Findings, unread("AGENTS_UNKNOWN", "deployments.apps", "have list on deployments.apps granted"))
		},
		`error: it is not known whether the plan still holds:
  flux/flux-shop: whether it is as planned, since what may not be read looks as
  if it were gone: ClusterRoleBinding/more (gone, was ClusterRole/cluster-admin)
  flux/flux-web: its agent is gone
  you may not list clusterrolebindings
hint: nothing has changed
hint: have the right granted
`: func(now *migrate.Plan) {
			now.Inputs.Agents = map[string]migrate.Fingerprint{"flux/flux-shop": {"image": "fluxcd/flux:1.25.4"}}
			now.Findings = append(now.Findings, unread("RBAC_MISSING", "clusterrolebindings", "have the right granted"))
		},
		`error: moved since the plan was made:
  flux/flux-shop: ClusterRoleBinding/more (gone, was ClusterRole/cluster-admin);
  image (fluxcd/flux:1.25.4, now fluxcd/flux:1.25.3)
hint: nothing has changed
hint: plan again and look at what is different
`: func(now *migrate.Plan) {
			now.Inputs.Agents = maps.Clone(now.Inputs.Agents)
			now.Inputs.Agents["flux/flux-shop"] = migrate.Fingerprint{"image": "fluxcd/flux:1.25.3"}
			now.Findings = append(now.Findings, unread("RBAC_MISSING", "clusterrolebindings", "have the right granted"))
		},
	} {
		now := stored
		change(&now)
		var exit *exitError
		if err := stillHolds(&stored, &now, o.chosen(&stored)); !errors.As(err, &exit) || exit.Code != exitFailed {
			t.Fatalf("got %v", err)
		}
		var text bytes.Buffer
		sayError(&text, exit.Err, exit.Hints...)
		if text.String() != want {
			t.Errorf("got\n%s\nwant\n%s", text.String(), want)
		}
	}
}

func TestEveryFailedRepositoryGetsItsRemedyOnce(t *testing.T) {
	admin := migrate.Finding{Severity: migrate.Blocker, Code: "CLUSTER_ADMIN", Subject: "flux/c", Repository: "flux/c", Message: "the agent may do everything in the cluster", Hint: "confine the old agent first", Acceptable: true}
	step := func(id, name, leaves string, err error) error {
		return &cutover.StepError{Repository: id, Step: name, Leaves: leaves, Err: err}
	}
	const staged = "suspended Kustomizations that apply nothing; the old agent works as before"
	err := errors.Join(errors.Join(
		step("flux/a", "stage", staged, errors.New(`as flux-system/a: deployments.apps "web" is forbidden: User "system:serviceaccount:flux-system:a" cannot patch resource "deployments"`)),
		errors.Join(step("flux/b", "fence", "the fence was taken down again and the old agent's replicas put back", errors.New("the pod is terminating since 8s")),
			step("flux/b", "undo-stage", "what was undone so far stays undone; nothing is lost", errors.New("connection refused"))),
		step("flux/d", "stage", staged, errors.New("GitRepository/flux-system/d has not fetched")),
		fmt.Errorf("hand over flux/c: %w: %s", cutover.ErrBlocked, admin),
	), nil)
	failed := cutoverError(t.Context(), err, quoted{findings: []migrate.Finding{admin, {Severity: migrate.Blocker, Code: "OTHER", Hint: "of no concern"}}})
	var exit *exitError
	if !errors.As(failed, &exit) || exit.Code != exitFailed || !errors.Is(failed, cutover.ErrBlocked) {
		t.Fatalf("got %v", failed)
	}
	var text bytes.Buffer
	sayError(&text, exit.Err, exit.Hints...)
	const want = `error: hand over flux/a: step stage: as flux-system/a: deployments.apps "web"
  is forbidden: User "system:serviceaccount:flux-system:a" cannot patch resource
  "deployments"
error: hand over flux/d: step stage: GitRepository/flux-system/d has not
  fetched
hint: suspended Kustomizations that apply nothing; the old agent works as
  before
error: hand over flux/b: step fence: the pod is terminating since 8s
hint: the fence was taken down again and the old agent's replicas put back
error: hand over flux/b: step undo-stage: connection refused
hint: what was undone so far stays undone; nothing is lost
error: hand over flux/c: held back: blocker CLUSTER_ADMIN flux/c: the agent
  may do everything in the cluster
hint: confine the old agent first
hint: accept it: --accept 'CLUSTER_ADMIN=flux/c'
hint: run "fluxover migrate" to go on, or "fluxover rollback --repo
  flux/a,flux/b,flux/d" to go back
`
	if text.String() != want {
		t.Errorf("got\n%s", text.String())
	}
	for line := range strings.Lines(text.String()) {
		if len([]rune(line)) > 81 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}

// Who migrates has all rights; the account that is made for the repository lacks one.
// A flag that accepts something is shown whole, to be copied, and where a plan file is
// carried out it is said that the file takes none.
func TestAFlagThatAcceptsIsShownForWhereItWorks(t *testing.T) {
	differs := migrate.Finding{Severity: migrate.Blocker, Code: "IMAGE_DIFFERS", Subject: "payments/flux-of-the-payments-team payments_a-deployment-of-a-long-name_apps_Deployment", Message: "m", Hint: "h", Acceptable: true}
	const flag = "  --accept 'IMAGE_DIFFERS=payments/flux-of-the-payments-team payments_a-deployment-of-a-long-name_apps_Deployment'\n"
	for ofFile, want := range map[bool]string{false: "hint: accept it:\n" + flag, true: "hint: to accept it, make the plan file anew as it was made, and with\n" + flag} {
		var exit *exitError
		if !errors.As(cutoverError(t.Context(), fmt.Errorf("hand over x: %w: %s", cutover.ErrBlocked, differs), quoted{[]migrate.Finding{differs}, ofFile}), &exit) {
			t.Fatal("no exit code")
		}
		var text bytes.Buffer
		sayError(&text, exit.Err, exit.Hints...)
		if !strings.Contains(text.String(), want) {
			t.Errorf("of a file: %t, got\n%s", ofFile, text.String())
		}
	}
}

func TestWhoIsRefusedIsTold(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "web", errors.New("no"))
	mine := []string{"have this right granted, or use an account that has it (--context, --as)"}
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"who migrates":            {forbidden, mine},
		"the account":             {&cutover.AccountError{Account: "flux-system/shop", Err: forbidden}, []string{"it is account flux-system/shop that is refused, not you: see what its roles and bindings lack, or which policy or webhook refuses it, and have it treated as the old agent's account is"}},
		"not for want of a right": {&cutover.AccountError{Account: "flux-system/shop", Err: errors.New("no")}, nil},
	} {
		if got := hintsOf(&cutover.StepError{Repository: "flux/shop", Step: "stage", Err: errors.Join(c.err)}); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// A server that goes away in the midst of a step has not left everything as it was.
func TestOnlyBeforeAStepNothingHasChanged(t *testing.T) {
	gone, silent := fmt.Errorf("discover: %w", discover.ErrUnreachable), fmt.Errorf("discover: %w", discover.ErrNotAnswered)
	step := func(err error) error { return &cutover.StepError{Repository: "flux/shop", Step: "top-up", Err: err} }
	for err, want := range map[error]bool{gone: true, silent: true, step(gone): false, step(silent): false} {
		got := hintsOf(err)
		if slices.Contains(got, "nothing has changed") != want || !strings.Contains(strings.Join(got, " "), "run the same command again") {
			t.Errorf("%v: %q", err, got)
		}
	}
}

func TestAHeadThatMayNotBeLookedForIsNotGone(t *testing.T) {
	for want, inv := range map[string]migrate.Inventory{
		"the Deployment of flux/shop was not found":                                   {},
		"whether the Deployment of flux/shop is there is not known: you may not look": {Findings: []migrate.Finding{{Severity: migrate.Blocker, Code: "AGENTS_UNKNOWN"}}},
	} {
		if _, err := headIn(inv, "flux/shop"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A machine that slept lost its Lease in the middle of a step: that is not the
// refusal of one who came second.
func TestALeaseThatWasLostLeavesWhatTheStepLeaves(t *testing.T) {
	lost := fmt.Errorf("%w: carol@bastion took it over at 2026-01-02T03:04:05Z", cutover.ErrLeaseLost)
	err := errors.Join(
		&cutover.StepError{Repository: "flux/a", Step: "adopt", Leaves: "the new agent is resumed, the old one fenced", Err: fmt.Errorf("%w: %w", context.Canceled, lost)},
		&cutover.StepError{Repository: "flux/b", Step: "stage", Leaves: "suspended Kustomizations that apply nothing", Err: errors.New("no")})
	var exit *exitError
	if !errors.As(cutoverError(t.Context(), err, quoted{}), &exit) || exit.Code != exitFailed {
		t.Fatalf("got %v", exit)
	}
	var text bytes.Buffer
	sayError(&text, exit.Err, exit.Hints...)
	said := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range []string{"step adopt: context canceled: the Lease was lost: carol@bastion took it over", "the new agent is resumed, the old one fenced", "suspended Kustomizations that apply nothing", `"fluxover status" shows who`, "--repo flux/a,flux/b"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, text.String())
		}
	}
	if strings.Contains(said, "nothing has changed") {
		t.Errorf("it says that nothing has changed:\n%s", text.String())
	}
	// At the door nothing was begun.
	for _, refused := range []error{&cutover.LockedError{User: "carol"}, fmt.Errorf("take the Lease: %w: somebody took it at the same moment", cutover.ErrLocked)} {
		if !errors.As(cutoverError(t.Context(), refused, quoted{}), &exit) || !slices.Contains(exit.Hints, "nothing has changed") {
			t.Errorf("%v: %q", refused, exit.Hints)
		}
	}
}

func TestTheEndOfARunKeepsItsExitCodes(t *testing.T) {
	blocked := fmt.Errorf("hand over flux/c: %w: blocker X", cutover.ErrBlocked)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	step := func(name string, err error) error {
		return &cutover.StepError{Repository: "flux/a", Step: name, Err: err}
	}
	rechecked := fmt.Errorf("%w: blocker Y", cutover.ErrBlocked)
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		code int
	}{
		"all held back":                         {t.Context(), errors.Join(blocked, blocked), exitBlocked},
		"one failed":                            {t.Context(), errors.Join(blocked, &cutover.StepError{Repository: "flux/a", Step: "stage", Err: errors.New("no")}), exitFailed},
		"held back, and one that did not begin": {t.Context(), errors.Join(errors.Join(&cutover.NotBegunError{Repository: "flux/b", Err: errors.New("its plan is gone")}), blocked), exitFailed},
		"held back, and the Lease lost":         {t.Context(), errors.Join(blocked, cutover.ErrLeaseLost), exitFailed},
		"held back at the recheck":              {t.Context(), errors.Join(blocked, step("recheck", rechecked)), exitBlocked},
		"so, and not put back":                  {t.Context(), errors.Join(step("top-up", rechecked), step("undo-fence", errors.New("no"))), exitFailed},
		"so, and not written down":              {t.Context(), step("recheck", errors.Join(rechecked, errors.New("write journal of flux/a: no"))), exitFailed},
		"moved":                                 {t.Context(), step("recheck", cutover.ErrMoved), exitFailed},
		"locked":                                {t.Context(), &cutover.LockedError{}, exitFailed},
		"interrupted":                           {gone, context.Canceled, exitInterrupted},
		"something else":                        {t.Context(), errors.New("no"), exitFailed},
	} {
		var exit *exitError
		if err := cutoverError(c.ctx, c.err, quoted{}); !errors.As(err, &exit) || exit.Code != c.code {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// What is on its way back is not gone on with by the same command.
	var exit *exitError
	way := &cutover.StepError{Repository: "flux/a", Step: "undo-adopt", GoingBack: true, Err: context.Canceled}
	if err := cutoverError(gone, way, quoted{}); !errors.As(err, &exit) || exit.Code != exitInterrupted || !strings.Contains(strings.Join(exit.Hints, "\n"), "fluxover rollback --repo flux/a") || slices.Contains(exit.Hints, hintGoOn) {
		t.Errorf("interrupted on the way back: %v, %q", err, exit.Hints)
	}
}

// migrate refuses what is on its way back.
func TestAWayBackThatFailedIsGoneOnWithByRollbackAlone(t *testing.T) {
	failed := func(id, step string, back bool) error {
		return &cutover.StepError{Repository: id, Step: step, GoingBack: back, Err: errors.New("connection refused")}
	}
	for name, c := range map[string]struct {
		err           error
		forward, back string
	}{
		"a rollback":                         {errors.Join(failed("flux/a", "undo-adopt", true), failed("flux/b", "undo-fence", true)), "", `"fluxover rollback --repo flux/a,flux/b" to go on going back`},
		"migrate with --on-failure rollback": {errors.Join(failed("flux/a", "adopt", false), failed("flux/a", "undo-adopt", true)), "", `"fluxover rollback --repo flux/a" to go on going back`},
		"migrate that let the old agent in":  {errors.Join(failed("flux/a", "fence", false), failed("flux/a", "undo-fence", false)), `"fluxover migrate" to go on, or "fluxover rollback --repo flux/a"`, ""},
		"both":                               {errors.Join(failed("flux/a", "stage", false), failed("flux/b", "undo-stage", true)), `"fluxover migrate" to go on, or "fluxover rollback --repo flux/a"`, `"fluxover rollback --repo flux/b" to go on going back`},
	} {
		var exit *exitError
		if !errors.As(cutoverError(t.Context(), c.err, quoted{}), &exit) || exit.Code != exitFailed {
			t.Fatalf("%s: %v", name, exit)
		}
		hints := strings.Join(exit.Hints, "\n")
		for word, want := range map[string]string{`"fluxover migrate"`: c.forward, "going back": c.back} {
			if said := strings.Contains(hints, word); said != (want != "") || !strings.Contains(hints, want) {
				t.Errorf("%s: want %q in the hints:\n%s", name, want, hints)
			}
		}
	}
}

func TestHowLongASyncIsWaitedForReachesTheExecutor(t *testing.T) {
	for flag, want := range map[string]time.Duration{"": 30 * time.Second, "--wait-sync=0s": -1, "--wait-sync=90s": 90 * time.Second} {
		var o migrateOptions
		cmd := o.command(streams{}, nil)
		if err := cmd.ParseFlags(strings.Fields(flag)); err != nil {
			t.Fatal(err)
		}
		if got := o.wishes().SyncWait; got != want {
			t.Errorf("migrate %s: the executor is told to wait %s, want %s", flag, got, want)
		}
	}
}
