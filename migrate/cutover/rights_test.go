package cutover

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func TestWhetherAnInstalledEngineLivesIsToldWithRightsInItsNamespaceAlone(t *testing.T) {
	for name, c := range map[string]struct {
		agent        agentRecord
		lease        bool
		alive, fails bool
	}{
		"installed, at work":      {agent: agentRecord{Engine: engineBundled, Namespace: "flux-system", Release: "agent"}, lease: true, alive: true},
		"installed, gone":         {agent: agentRecord{Engine: engineBundled, Namespace: "flux-system", Release: "agent"}},
		"found, of no known home": {agent: agentRecord{Engine: engineExisting}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := json.Marshal(runRecord{Version: 1, Run: "r", Agent: c.agent})
			if err != nil {
				t.Fatal(err)
			}
			objects := []runtime.Object{&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: migrate.StateNamespace, Name: RunRecord}, Data: map[string]string{journalKey: string(raw)}}}
			if c.lease {
				lease := leaseOf("fluxover-agent-leader-election", "laptop_1", metav1.Now().Time)
				lease.Namespace = "flux-system"
				objects = append(objects, lease)
			}
			kube := fake.NewClientset(objects...)
			kube.PrependReactor("list", "*", func(a kubetesting.Action) (bool, runtime.Object, error) {
				if a.GetNamespace() == "flux-system" {
					return false, nil, nil
				}
				return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", nil)
			})
			r := &repository{env: &env{c: &cluster.Client{Kube: kube}}}
			alive, err := r.engineAlive(t.Context())
			if (err != nil) != c.fails || err == nil && alive != c.alive {
				t.Errorf("got %v, %v", alive, err)
			}
		})
	}
}
