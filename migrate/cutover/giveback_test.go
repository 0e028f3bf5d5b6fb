package cutover

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"

	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func TestEachObjectIsTriedAgainAndOneRefusalStopsNoOther(t *testing.T) {
	var mu sync.Mutex
	calls := map[string]int{}
	refusal := errors.New("refused")
	failed, err := eachObject(t.Context(), []string{"good", "late", "bad"}, func(_ context.Context, id string) error {
		mu.Lock()
		defer mu.Unlock()
		calls[id]++
		if id == "bad" || id == "late" && calls[id] < 2 {
			return refusal
		}
		return nil
	})
	if err != nil || len(failed) != 1 || !errors.Is(failed["bad"], refusal) {
		t.Errorf("failed: %v, %v", failed, err)
	}
	if calls["good"] != 1 || calls["late"] != 2 || calls["bad"] != giveBackTries {
		t.Errorf("calls: %v", calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := eachObject(ctx, []string{"bad"}, func(context.Context, string) error { return refusal }); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupt must not pass for a refusal: %v", err)
	}
}

func TestOnlyWhatFlux1WouldDeleteHoldsARollbackUp(t *testing.T) {
	gvk := schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	object := func(name string, labels map[string]string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(gvk)
		u.SetNamespace("shop")
		u.SetName(name)
		u.SetLabels(labels)
		return u
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{gvk.GroupVersion()})
	mapper.Add(gvk, meta.RESTScopeNamespace)
	c := &cluster.Client{Mapper: mapper, Dynamic: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme(),
		object("marked", map[string]string{flux1.MarkLabel: "x"}), object("plain", nil))}
	refused := errors.New("the webhook is down")
	head := &headState{known: true, manifests: map[string]string{"shop_loaded__ConfigMap": "hash"}}
	for id, held := range map[string]bool{
		"shop_loaded__ConfigMap": false,
		"shop_plain__ConfigMap":  false,
		"shop_gone__ConfigMap":   false,
		"shop_marked__ConfigMap": true,
	} {
		r := &repository{env: &env{c: c, emit: func(Event) {}}, head: head, j: &journal{}}
		err := r.leaveToOldAgent(t.Context(), map[string]error{id: refused})
		if (err != nil) != held || err != nil && !errors.Is(err, refused) {
			t.Errorf("%s: held up is to be %v, got %v", id, held, err)
		}
		if !strings.Contains(r.j.leftovers(), "ConfigMap/shop/") {
			t.Errorf("%s: the report does not name it: %q", id, r.j.leftovers())
		}
	}
	r := &repository{env: &env{c: c, emit: func(Event) {}}, head: head, j: &journal{NotGivenBack: []string{"old"}}}
	if err := r.leaveToOldAgent(t.Context(), nil); err != nil || r.j.leftovers() != "" {
		t.Errorf("a later try that succeeds clears the report: %v, %q", err, r.j.leftovers())
	}
}

func TestAnObjectThatRefusesUpdatesDoesNotHoldTheRollbackUp(t *testing.T) {
	tm := newTeam(t)
	tm.must(tm.migrate())
	name := "refuse-" + tm.shop
	api := tm.lab.c.Kube.AdmissionregistrationV1()
	fail := admissionv1.Fail
	_, err := api.ValidatingAdmissionPolicies().Create(tm.ctx(), &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &fail,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
				},
			}}},
			Validations: []admissionv1.Validation{{Expression: `object.metadata.namespace != "` + tm.shop + `" || object.metadata.name != "settings"`, Message: "hands off"}},
		},
	}, metav1.CreateOptions{})
	tm.must(err)
	_, err = api.ValidatingAdmissionPolicyBindings().Create(tm.ctx(), &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}, metav1.CreateOptions{})
	tm.must(err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(tm.ctx())
		if err := errors.Join(api.ValidatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{}),
			api.ValidatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
			t.Error(err)
		}
	})
	tm.must(tm.await(func() bool {
		_, err := tm.lab.c.Kube.CoreV1().ConfigMaps(tm.shop).Patch(tm.ctx(), "settings", types.MergePatchType, []byte(`{"metadata":{"annotations":{"x":"y"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "hands off")
	}))
	tm.must(tm.rollback())
	if got := tm.status(); got.Phase != PhaseRolledBack || !strings.Contains(got.Message, "ConfigMap/"+tm.shop+"/settings") {
		t.Errorf("status does not name what could not be put back: %+v", got)
	}
	if tm.live("Deployment", "web").GetLabels()[flux1.MarkLabel] == "" {
		t.Error("the other objects must have their marks back")
	}
	tm.awaitReady()
	if err := tm.write(nil); err == nil || refusedByFence(err, tm.id) {
		t.Errorf("want the old agent refused by the policy alone, no more by the fence: %v", err)
	}
}
