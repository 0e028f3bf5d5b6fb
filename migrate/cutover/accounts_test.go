package cutover

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
)

func TestWhatTwoAccountsGetIsComparedWithoutWhatMovesByItself(t *testing.T) {
	// A clock in tenths of a second, which each answer takes one of; the stamps
	// are whole seconds.
	var now int
	answer := func(values map[string]any) *unstructured.Unstructured {
		now++
		return &unstructured.Unstructured{Object: map[string]any{"kind": "ConfigMap", "metadata": map[string]any{
			"uid": strconv.Itoa(now), "resourceVersion": strconv.Itoa(now), "creationTimestamp": strconv.Itoa(now), "annotations": values,
		}}}
	}
	stamp := func(skew int) string { return strconv.Itoa((now + skew) / 10) }
	for name, c := range map[string]struct {
		start    int
		one, two func() map[string]any
		want     []string
	}{
		"the same": {0, func() map[string]any { return map[string]any{"a": "b"} }, func() map[string]any { return map[string]any{"a": "b"} }, nil},
		"one of them is spared": {0, func() map[string]any { return nil }, func() map[string]any { return map[string]any{"sidecar": "yes"} },
			[]string{".metadata.annotations.sidecar"}},
		"another value": {0, func() map[string]any { return map[string]any{"level": "low"} }, func() map[string]any { return map[string]any{"level": "high"} },
			[]string{".metadata.annotations.level"}},
		"the second changes between the accounts": {9, func() map[string]any { return map[string]any{"at": stamp(0)} }, func() map[string]any { return map[string]any{"at": stamp(0)} }, nil},
		"clocks that are a second apart":          {1, func() map[string]any { return map[string]any{"at": stamp(0)} }, func() map[string]any { return map[string]any{"at": stamp(10)} }, nil},
		"a random name":                           {0, func() map[string]any { return map[string]any{"name": strconv.Itoa(now)} }, func() map[string]any { return map[string]any{"name": strconv.Itoa(now)} }, nil},
		"a stamp and a label for one": {9, func() map[string]any { return map[string]any{"at": stamp(0)} }, func() map[string]any { return map[string]any{"at": stamp(0), "more": "x"} },
			[]string{".metadata.annotations.more"}},
		"who wrote, in each of its forms": {0, func() map[string]any { return wrote("flux", "flux", "flux") }, func() map[string]any { return wrote("flux-system", "flux-system", "flux") }, nil},
		"the old account wrote, and who writes": {0,
			func() map[string]any {
				return map[string]any{"creator": "system:serviceaccount:flux:flux", "by": "system:serviceaccount:flux:flux"}
			},
			func() map[string]any {
				return map[string]any{"creator": "system:serviceaccount:flux:flux", "by": "system:serviceaccount:flux-system:flux"}
			}, nil},
		"a third one": {0, func() map[string]any { return map[string]any{"by": "system:serviceaccount:flux:flux"} }, func() map[string]any { return map[string]any{"by": "system:serviceaccount:other:flux"} },
			[]string{".metadata.annotations.by"}},
		"a namespace alone": {0, func() map[string]any { return map[string]any{"pool": "flux"} }, func() map[string]any { return map[string]any{"pool": "flux-system"} },
			[]string{".metadata.annotations.pool"}},
	} {
		t.Run(name, func(t *testing.T) {
			now = c.start
			as := func(namespace string, values func() map[string]any) *account {
				return &account{namespace, "flux", func(context.Context, *unstructured.Unstructured) (*unstructured.Unstructured, error) {
					return answer(values()), nil
				}}
			}
			err := runTrials(t.Context(), []*trial{{id: "shop:configmap/settings", old: as("flux", c.one), new: as("flux-system", c.two)}}, func(context.Context) bool {
				now += int(10 * stampStep / time.Second)
				return true
			})
			if c.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), " in "+strings.Join(c.want, ", ")+": ") {
				t.Errorf("want a difference in %q, got %v", c.want, err)
			}
		})
	}
}

// wrote are notes of who wrote, as policies make them.
func wrote(namespace, group, name string) map[string]any {
	return map[string]any{
		"lastModifier": "system:serviceaccount:" + namespace + ":" + name,
		"created-by":   `{"groups":["system:serviceaccounts","system:serviceaccounts:` + group + `","system:authenticated"],"username":"system:serviceaccount:` + namespace + ":" + name + `"}`,
		"short":        namespace + "/" + name,
		"sentence":     "by " + namespace + ":" + name + " at admission",
	}
}

// What is not the object's own metadata is what it does: pods of a template with
// another value would be replaced.
func TestWhoWroteIsADifferenceInWhatTheObjectSays(t *testing.T) {
	who := func(a string) string { return "system:serviceaccount:" + a + ":flux" }
	for name, c := range map[string]struct {
		object func(who string) string
		want   string
	}{
		"annotations of pods": {func(who string) string {
			return "kind: Deployment\nspec: {template: {metadata: {annotations: {by: " + who + "}}}}\n"
		}, ".spec.template.metadata.annotations.by"},
		"labels of pods": {func(who string) string {
			return "kind: Deployment\nspec: {template: {metadata: {labels: {by: " + who + "}}}}\n"
		}, ".spec.template.metadata.labels.by"},
		"a variable": {func(who string) string {
			return "kind: Pod\nspec: {containers: [{name: a, env: [{name: BY, value: " + who + "}]}]}\n"
		}, ".spec.containers[0].env[0].value"},
		"data":              {func(who string) string { return "kind: ConfigMap\ndata: {by: " + who + "}\n" }, ".data.by"},
		"its finalizers":    {func(who string) string { return "kind: ConfigMap\nmetadata: {finalizers: [" + who + "]}\n" }, ".metadata.finalizers[0]"},
		"its annotations":   {func(who string) string { return "kind: ConfigMap\nmetadata: {annotations: {by: " + who + "}}\n" }, ""},
		"its labels":        {func(who string) string { return "kind: ConfigMap\nmetadata: {labels: {by: " + who + "}}\n" }, ""},
		"a namespace's own": {func(who string) string { return "kind: Namespace\nmetadata: {annotations: {by: " + who + "}}\n" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			as := func(namespace string) *account {
				return &account{namespace, "flux", func(context.Context, *unstructured.Unstructured) (*unstructured.Unstructured, error) {
					return manifest(t, c.object(who(namespace))), nil
				}}
			}
			err := runTrials(t.Context(), []*trial{{id: "shop:configmap/settings", old: as("flux"), new: as("flux-system")}}, func(context.Context) bool { return true })
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), " in "+c.want+": ")) {
				t.Errorf("want a difference in %q, got %v", c.want, err)
			}
		})
	}
}

// A webhook of two versions during a rollout, or a list in a program's order of the
// moment: one of a few values, at each try anew.
func TestWhatIsDrawnFromAFewValuesIsNotTheAccounts(t *testing.T) {
	const objects = 200
	for name, draw := range map[string]func(r *rand.Rand) map[string]any{
		"one of two values": func(r *rand.Rand) map[string]any { return map[string]any{"version": strconv.Itoa(r.IntN(2))} },
		"two items in any order": func(r *rand.Rand) map[string]any {
			i := r.IntN(2)
			return map[string]any{"list": []any{strconv.Itoa(i), strconv.Itoa(1 - i)}}
		},
		"a list of two lengths": func(r *rand.Rand) map[string]any {
			list := []any{strconv.Itoa(r.IntN(2)), strconv.Itoa(r.IntN(2))}
			return map[string]any{"list": list[r.IntN(2):]}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var trials []*trial
			for i := range objects {
				random := rand.New(rand.NewPCG(1, uint64(i)))
				try := func(context.Context, *unstructured.Unstructured) (*unstructured.Unstructured, error) {
					return &unstructured.Unstructured{Object: map[string]any{"kind": "ConfigMap", "data": draw(random)}}, nil
				}
				trials = append(trials, &trial{id: "shop:configmap/settings", old: &account{"flux", "flux", try}, new: &account{"flux-system", "flux", try}})
			}
			waits := 0
			if err := runTrials(t.Context(), trials, func(context.Context) bool { waits++; return true }); err != nil || waits != 1 {
				t.Errorf("%d waits: %v", waits, err)
			}
		})
	}
}

// A run that is ended has not asked enough to say that anything moved.
func TestAnEndedRunIsNoDifferenceBetweenTwoAccounts(t *testing.T) {
	ctx, end := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	as := func(namespace string) *account {
		return &account{namespace, "flux", func(context.Context, *unstructured.Unstructured) (*unstructured.Unstructured, error) {
			return manifest(t, "kind: ConfigMap\ndata: {by: "+namespace+"}\n"), nil
		}}
	}
	err := runTrials(ctx, []*trial{{id: "shop:configmap/settings", old: as("flux"), new: as("flux-system")}}, func(context.Context) bool { end(why); return false })
	if !errors.Is(err, why) || errors.Is(err, ErrMoved) {
		t.Errorf("got %v", err)
	}
}

// Only who may act as the account learns what it is refused.
func TestAMissingRightToActAsTheAccountIsNotTheAccounts(t *testing.T) {
	forbidden := func(words string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 403, Reason: metav1.StatusReasonForbidden, Message: words}}
	}
	for words, theirs := range map[string]bool{
		`serviceaccounts "flux" is forbidden: User "op" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "flux-system"`:                  false,
		`configmaps "settings" is forbidden: User "system:serviceaccount:flux-system:flux" cannot patch resource "configmaps" in API group "" in the namespace "shop"`: true,
	} {
		tries := 0
		as := &account{"flux-system", "flux", func(context.Context, *unstructured.Unstructured) (*unstructured.Unstructured, error) {
			tries++
			return nil, forbidden(words)
		}}
		trial := &trial{id: "shop:configmap/settings", manifest: manifest(t, "kind: ConfigMap\n"), old: as, new: as, wordless: func(err error) error { return err }}
		err := trial.first(t.Context())
		var account *AccountError
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), words) || errors.As(err, &account) != theirs {
			t.Errorf("want it the account's: %t, got %v", theirs, err)
		}
		if waited := tries > 1; waited != theirs {
			t.Errorf("%s: it was tried %d times", words, tries)
		}
	}
}

// Where admission stamps everything, each object is a suspect.
func TestAnyNumberOfSuspectsIsWaitedForOnce(t *testing.T) {
	const objects = 100
	var mu sync.Mutex
	var tries, random int
	as := func(namespace string) *account {
		return &account{namespace, "flux", func(_ context.Context, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
			mu.Lock()
			defer mu.Unlock()
			tries++
			u = u.DeepCopy()
			if u.GetName() != "calm" {
				random++
				u.SetAnnotations(map[string]string{"stamp": strconv.Itoa(random)})
			}
			return u, nil
		}}
	}
	one, two := as("flux"), as("flux-system")
	var trials []*trial
	for i := range objects {
		u := &unstructured.Unstructured{Object: map[string]any{"kind": "ConfigMap"}}
		u.SetName("calm")
		if i%2 == 0 {
			u.SetName("stamped")
		}
		trials = append(trials, &trial{id: "shop:configmap/" + u.GetName(), manifest: u, old: one, new: two})
	}
	waits := 0
	err := runTrials(t.Context(), trials, func(context.Context) bool {
		waits++
		if tries != 2*objects {
			t.Errorf("%d tries before the wait, want two of each object", tries)
		}
		return true
	})
	if err != nil || waits != 1 || tries != 2*objects+objects {
		t.Errorf("%d waits, %d tries: %v", waits, tries, err)
	}

	tries = 0
	calm := slices.DeleteFunc(trials, func(tr *trial) bool { return tr.manifest.GetName() != "calm" })
	err = runTrials(t.Context(), calm, func(context.Context) bool { waits++; return true })
	if err != nil || waits != 1 || tries != objects {
		t.Errorf("without a suspect: %d waits, %d tries: %v", waits, tries, err)
	}
}

func TestStageHasTimeForEachObject(t *testing.T) {
	i := slices.IndexFunc(steps, func(s step) bool { return s.Name == "stage" })
	r := &repository{env: &env{}, j: &journal{plan: &planSlice{}}}
	few := steps[i].Limit(r)
	r.j.plan.Repository.Objects = make([]migrate.ObjectPlan, 10000)
	if more := steps[i].Limit(r) - few; more < 15*time.Minute || more > 30*time.Minute {
		t.Errorf("10,000 objects have %s more", more)
	}
}

// Something at admission spares the old agent's account, as deployers often are.
func TestWhatTheNewAccountAloneWouldGetIsRefusedWhileTheOldAgentRuns(t *testing.T) {
	tm := newTeam(t)
	remove := tm.admit("injected", `{"injected": "secret-value-of-label"}`, "labels", `request.userInfo.username != "system:serviceaccount:`+tm.flux+`:flux"`)

	err := tm.migrate()
	if !errors.Is(err, ErrMoved) {
		t.Fatalf("want ErrMoved, got %v", err)
	}
	for _, want := range []string{"Secret/" + tm.shop + "/key", ".metadata.labels.injected", "system:serviceaccount:flux-system:" + tm.name, "system:serviceaccount:" + tm.flux + ":flux"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret-value") {
		t.Errorf("it tells a value: %v", err)
	}
	if tm.live("Secret", "key").GetLabels()["injected"] != "" {
		t.Error("the object changed all the same")
	}
	tm.must(tm.write(nil)) // the old agent is not fenced

	tm.must(remove())
	tm.must(tm.migrate())
	if got := tm.status(); got.Phase != PhaseSettled {
		t.Errorf("it does not go on: %+v", got)
	}
}

// Knative, Rancher and common policies of Kyverno note in each object who wrote it.
func TestWhoWroteIsNoDifferenceBetweenTwoAccounts(t *testing.T) {
	tm := newTeam(t)
	tm.admit("lastModifier", `{"lastModifier": request.userInfo.username, "created-by": "{groups: [" + request.userInfo.groups.join(",") + "]}"}`, "annotations", "true")
	tm.crash = func(_, step string, when When) bool { return step == "fence" && when == BeforeStarted }
	if err := tm.migrate(); !errors.Is(err, errCrash) {
		t.Errorf("it does not come to the fence: %v", err)
	}
	tm.breakLease()
}

// What a definition in the same repository makes is not there to be tried.
func TestWhatNeedsANamespaceOrAKindThatIsMadeFirstIsStaged(t *testing.T) {
	tm := newTeam(t)
	group, made := tm.name+".example.com", tm.shop+"-made"
	definition := manifest(t, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.`+group+`}
spec:
  group: `+group+`
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`)
	needed := []*unstructured.Unstructured{manifest(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+made+"}\n"), definition}
	needing := []*unstructured.Unstructured{
		manifest(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first, namespace: "+made+"}\n"),
		manifest(t, "apiVersion: "+group+"/v1\nkind: Widget\nmetadata: {name: first, namespace: "+tm.shop+"}\n"),
	}
	for _, u := range slices.Concat(needed, needing) {
		tm.verbs[u.GetKind()+"/"+u.GetName()] = migrate.ObjectPlan{Verb: migrate.Create}
	}
	tm.git["web"] = append(tm.git["web"], needing...)
	stage := func() error {
		tm.plan = tm.makePlan()
		defer tm.breakLease()
		tm.crash = func(_, step string, when When) bool { return step == "fence" && when == BeforeStarted }
		return tm.migrate()
	}
	if err := stage(); err == nil || errors.Is(err, errCrash) || !strings.Contains(err.Error(), `namespaces "`+made+`" not found`) || !strings.Contains(err.Error(), "Widget") {
		t.Errorf("what nobody makes is not missed: %v", err)
	}
	tm.must(tm.rollback())
	tm.git["base"] = append(tm.git["base"], needed...)
	if err := stage(); !errors.Is(err, errCrash) {
		t.Errorf("what is made first is missed: %v", err)
	}
}

// A fence of an earlier try that was just lowered may still be known to one of
// several API servers.
func TestAComparisonThatAFencePreventsIsSaid(t *testing.T) {
	tm := newTeam(t)
	r := tm.atTheFence()
	tm.must(stage(tm.ctx(), r))
	agent := tm.agent()
	r.take(&agent)
	for _, e := range tm.events {
		t.Errorf("without a fence: %s", e.Message)
	}
	tm.must(r.raise(tm.ctx(), nil))
	tm.must(r.awaitFence(tm.ctx(), true))
	tm.must(r.tryObjects(tm.ctx()))
	if n := len(tm.events); n != 1 || !strings.Contains(tm.events[0].Message, "6 of 6 objects were tried as the future account alone: a fence refuses the old one") {
		t.Errorf("told: %v", tm.events)
	}
	tm.must(removeMade("stage")(tm.ctx(), r))
	tm.must(removeMade("credentials")(tm.ctx(), r))
}

// admit has a policy put labels or annotations, of which key is one, on Secrets of
// the team's namespace as they are written under a condition, until remove or the
// test's end.
func (tm *team) admit(key, values, field, condition string) (remove func() error) {
	tm.t.Helper()
	name := "admit-" + tm.shop
	api := tm.lab.c.Kube.AdmissionregistrationV1()
	fail, never := admissionv1.Fail, admissionv1.NeverReinvocationPolicy
	_, err := api.MutatingAdmissionPolicies().Create(tm.ctx(), &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy: &fail, ReinvocationPolicy: never,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
				},
			}}},
			MatchConditions: []admissionv1.MatchCondition{
				{Name: "here", Expression: `request.namespace == "` + tm.shop + `"`},
				{Name: "who", Expression: condition},
			},
			Mutations: []admissionv1.Mutation{{
				PatchType:          admissionv1.PatchTypeApplyConfiguration,
				ApplyConfiguration: &admissionv1.ApplyConfiguration{Expression: `Object{metadata: Object.metadata{` + field + `: ` + values + `}}`},
			}},
		},
	}, metav1.CreateOptions{})
	tm.must(err)
	_, err = api.MutatingAdmissionPolicyBindings().Create(tm.ctx(), &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
	}, metav1.CreateOptions{})
	tm.must(err)
	there := func() bool {
		u, err := tm.lab.c.DryRunApply(tm.ctx(), manifest(tm.t, "apiVersion: v1\nkind: Secret\nmetadata: {name: admitted, namespace: "+tm.shop+"}\n"), "test", true)
		if err != nil {
			return false
		}
		_, put, _ := unstructured.NestedString(u.Object, "metadata", field, key)
		return put
	}
	removed := false
	remove = func() error {
		if removed {
			return nil
		}
		removed = true
		ctx := context.WithoutCancel(tm.ctx())
		err := errors.Join(api.MutatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{}), api.MutatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{}))
		if err != nil || tm.t.Context().Err() != nil {
			return err
		}
		return tm.await(func() bool { return !there() })
	}
	tm.t.Cleanup(func() {
		if err := remove(); err != nil {
			tm.t.Error(err)
		}
	})
	tm.must(tm.await(there))
	return remove
}
