package cutover

import (
	"errors"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/reconcile/cluster"
)

func serverLease(name string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Namespace: metav1.NamespaceSystem, Name: name, Labels: map[string]string{"apiserver.kubernetes.io/identity": "kube-apiserver"},
	}}
}

func serverAddresses(addresses ...string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "kubernetes", Labels: map[string]string{"kubernetes.io/service-name": "kubernetes"}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: addresses}},
	}
}

func TestOneAPIServerIsBelievedOnlyWhereItIsKnown(t *testing.T) {
	other := serverLease("kube-scheduler")
	other.Labels = nil
	for name, c := range map[string]struct {
		objects []runtime.Object
		several bool
	}{
		"one that says so":                   {objects: []runtime.Object{serverLease("apiserver-a"), serverAddresses("10.0.0.1"), other}},
		"one that is not registered":         {objects: []runtime.Object{serverLease("apiserver-a")}},
		"several behind one address":         {objects: []runtime.Object{serverLease("apiserver-a"), serverLease("apiserver-b"), serverAddresses("10.0.0.1")}, several: true},
		"one address of what nobody says":    {objects: []runtime.Object{serverAddresses("10.0.0.1"), other}, several: true},
		"several addresses of one host name": {objects: []runtime.Object{serverLease("apiserver-a"), serverAddresses("10.0.0.1", "10.0.0.2")}, several: true},
		"nothing is known":                   {several: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &repository{env: &env{c: &cluster.Client{Kube: fake.NewClientset(c.objects...)}}}
			if got, err := r.severalServers(t.Context()); err != nil || got != c.several {
				t.Errorf("got %v, %v; want %v", got, err, c.several)
			}
		})
	}
	kube := fake.NewClientset(serverLease("apiserver-a"))
	kube.PrependReactor("list", "leases", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("forbidden") })
	r := &repository{env: &env{c: &cluster.Client{Kube: kube}}}
	if several, err := r.severalServers(t.Context()); !several || err == nil {
		t.Errorf("who may not look: %v, %v", several, err)
	}
}

func TestTheLaboratoryIsKnownToHaveOneAPIServer(t *testing.T) {
	l := laboratory(t)
	r := &repository{env: &env{c: l.c}}
	if several, err := r.severalServers(t.Context()); err != nil || several {
		t.Errorf("got %v, %v", several, err)
	}
}
