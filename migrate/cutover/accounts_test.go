package cutover

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
	} {
		t.Run(name, func(t *testing.T) {
			now = c.start
			as := func(values func() map[string]any) try {
				return func(context.Context) (*unstructured.Unstructured, error) { return answer(values()), nil }
			}
			first, err := as(c.two)(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, err := differently(t.Context(), as(c.one), as(c.two), first, func(context.Context) bool {
				now += int(10 * stampStep / time.Second)
				return true
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("they differ in %q, want %q (%v)", got, c.want, err)
			}
		})
	}
}

// Something at admission spares the old agent's account, as deployers often are.
func TestWhatTheNewAccountAloneWouldGetIsRefusedWhileTheOldAgentRuns(t *testing.T) {
	tm := newTeam(t)
	name := "spares-" + tm.shop
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
				{Name: "spared", Expression: `request.userInfo.username != "system:serviceaccount:` + tm.flux + `:flux"`},
			},
			Mutations: []admissionv1.Mutation{{
				PatchType:          admissionv1.PatchTypeApplyConfiguration,
				ApplyConfiguration: &admissionv1.ApplyConfiguration{Expression: `Object{metadata: Object.metadata{labels: {"injected": "secret-value-of-label"}}}`},
			}},
		},
	}, metav1.CreateOptions{})
	tm.must(err)
	_, err = api.MutatingAdmissionPolicyBindings().Create(tm.ctx(), &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
	}, metav1.CreateOptions{})
	tm.must(err)
	remove := func() error {
		ctx := context.WithoutCancel(tm.ctx())
		return errors.Join(api.MutatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{}), api.MutatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{}))
	}
	removed := false
	t.Cleanup(func() {
		if !removed {
			if err := remove(); err != nil {
				t.Error(err)
			}
		}
	})
	labelled := func() bool {
		u, err := tm.lab.c.DryRunApply(tm.ctx(), manifest(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: "+tm.shop+"}\n"), "test", true)
		return err == nil && u.GetLabels()["injected"] != ""
	}
	tm.must(tm.await(labelled))

	err = tm.migrate()
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
	removed = true
	tm.must(tm.await(func() bool { return !labelled() }))
	tm.must(tm.migrate())
	if got := tm.status(); got.Phase != PhaseSettled {
		t.Errorf("it does not go on: %+v", got)
	}
}
