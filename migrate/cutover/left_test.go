package cutover

import (
	"context"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func TestAFenceLeftByARunThatDiedWaitingIsTold(t *testing.T) {
	const id = "flux/a"
	kube := fakeWithVersions()
	c := &cluster.Client{Kube: kube}
	s := store{c: c}
	j := &journal{Repository: id, Attempt: 1, Agent: agentFacts{Namespace: "flux", Workload: "a"}}
	if err := j.setPlan(&planSlice{}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"lock", "recheck", "snapshot", "credentials", "stage"} {
		j.add(Entry{Step: step, State: Done})
	}
	j.add(Entry{Step: "fence", State: Started})
	if err := s.save(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	status := func() RepositoryStatus {
		t.Helper()
		report, err := Status(t.Context(), c)
		if err != nil || len(report.Repositories) != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		return report.Repositories[0]
	}
	if got := status(); got.Phase != PhaseStaged || got.Message != "" {
		t.Errorf("without a fence the old agent works: %+v", got)
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: fenceName(id)}}
	if _, err := kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got := status()
	for _, want := range []string{fenceName(id), "refuse", "fluxover migrate", "fluxover rollback --repo " + id} {
		if got.Phase != PhaseStaged || !strings.Contains(got.Message, want) {
			t.Errorf("a fence that nobody tends: want %q in %+v", want, got)
		}
	}
	// Somebody tends it.
	now, seconds, holder := metav1.NewMicroTime(time.Now()), int32(30), "b@elsewhere/1"
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: migrate.StateNamespace, Name: leaseName},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &now, LeaseDurationSeconds: &seconds}}
	if _, err := kube.CoordinationV1().Leases(migrate.StateNamespace).Create(context.Background(), lease, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := status(); got.Phase != PhaseStaged || got.Message != "" {
		t.Errorf("a run that waits for its turn: %+v", got)
	}
}
