package cutover

import (
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// The kubelet takes the last entry of a name, and fluxd the last of an argument
// that is given twice; what other containers have is not fluxd's.
func TestWhatFluxdIsGivenTwiceIsTheLast(t *testing.T) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "a"}}
	d.Spec.Template.Spec.Containers = []corev1.Container{
		{Name: "sidecar", Env: []corev1.EnvVar{{Name: "HTTPS_PROXY", Value: "http://u:other@p"}}},
		{Name: "flux", Args: []string{"--git-url=https://old:first@h/x", "--git-url", "https://bot:second@h/x"}, Env: []corev1.EnvVar{
			{Name: "HTTPS_PROXY", Value: "http://u:first@p"}, {Name: "HTTPS_PROXY", Value: "http://u:second@p"},
			{Name: "MOVED", Value: "text"}, {Name: "MOVED", ValueFrom: &corev1.EnvVarSource{}},
		}},
	}
	r := &repository{env: &env{c: &cluster.Client{Kube: fake.NewClientset(d)}}, j: &journal{Agent: agentFacts{Namespace: "flux", Workload: "a"}}}
	shell := d.DeepCopy()
	shell.Name, shell.Spec.Template.Spec.Containers[1].Args = "b", []string{"exec fluxd --git-url=https://h/x"}
	if err := r.c.Kube.(*fake.Clientset).Tracker().Add(shell); err != nil {
		t.Fatal(err)
	}
	for key, c := range map[string]struct {
		from migrate.Value
		want string
	}{
		"username": {migrate.Value{Argument: true}, "bot"},
		"password": {migrate.Value{Argument: true}, "second"},
		"address":  {migrate.Value{Variable: "HTTPS_PROXY"}, "http://u:second@p"},
		"moved":    {migrate.Value{Variable: "MOVED"}, ""},
	} {
		got, err := r.value(t.Context(), key, c.from)
		if (err == nil) != (c.want != "") || string(got) != c.want {
			t.Errorf("%s is %q, %v; want %q", key, got, err, c.want)
		}
	}
	sidecar := d.DeepCopy()
	sidecar.Name, sidecar.Spec.Template.Spec.Containers, sidecar.Spec.Template.Spec.InitContainers = "c", d.Spec.Template.Spec.Containers[:1], d.Spec.Template.Spec.Containers[1:]
	if err := r.c.Kube.(*fake.Clientset).Tracker().Add(sidecar); err != nil {
		t.Fatal(err)
	}
	r.j.Agent.Workload = "c"
	if got, err := r.value(t.Context(), "password", migrate.Value{Argument: true}); err != nil || string(got) != "second" {
		t.Errorf("of a sidecar: %q, %v", got, err)
	}
	r.j.Agent.Workload = "b"
	if got, err := r.variable(t.Context(), "HTTPS_PROXY"); err != nil || string(got) != "http://u:second@p" {
		t.Errorf("of a shell: %q, %v", got, err)
	}
}
