package discover

import (
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/migrate"
)

// agentOf is an agent flux/flux of a pod with one container.
func agentOf(w *witness, pod *corev1.PodSpec) *agent {
	a := &agent{}
	a.ID, a.Namespace, a.Workload = "flux/flux", "flux", "flux"
	a.env = w.environmentOf("flux", a.ID, pod, &pod.Containers[0])
	return a
}

func TestASecretThatIsMissingIsAFindingOfItsAgent(t *testing.T) {
	yes := true
	named := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	variable := func(name, secret, key string, optionally *bool) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: named(secret), Key: key, Optional: optionally}}}
	}
	volume := func(name, secret string, optionally *bool, keys ...string) corev1.Volume {
		source := &corev1.SecretVolumeSource{SecretName: secret, Optional: optionally}
		for _, k := range keys {
			source.Items = append(source.Items, corev1.KeyToPath{Key: k, Path: k})
		}
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: source}}
	}
	projected := corev1.Volume{Name: "p", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{Secret: &corev1.SecretProjection{LocalObjectReference: named("projected")}}, {ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: named("settings")}},
	}}}}
	pod := &corev1.PodSpec{
		Containers: []corev1.Container{{
			Env: []corev1.EnvVar{
				variable("A", "gone", "a", nil), variable("B", "there", "b", nil), variable("C", "there", "key", nil), variable("D", "gone-too", "d", &yes),
				variable("E", "password", "p", nil), variable("F", "there", "f", &yes),
			},
			EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named("source")}}, {SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named("source-too"), Optional: &yes}}},
		}},
		Volumes: []corev1.Volume{volume("g", "gone", nil), volume("k", "there", nil, "x", "key"), volume("o", "volume", &yes), volume("v", "volume-there", nil), projected},
	}
	double := func() (*witness, *fake.Clientset) {
		secret := func(name string) *corev1.Secret {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: name}, Data: map[string][]byte{"key": []byte("hunter2")}}
		}
		kube := fake.NewClientset(secret("there"), secret("volume-there"))
		return &witness{kube: kube}, kube
	}
	w, _ := double()
	w.find(CredentialMissing.Finding("flux/flux", "Secret/flux/password", "said already"))
	if err := w.missingSecrets(t.Context(), agentOf(w, pod)); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range w.findings[1:] {
		if f.Code != "AGENT_SECRET_MISSING" || f.Repository != "flux/flux" || f.Severity != migrate.Warning {
			t.Errorf("%+v", f)
		}
		said = append(said, f.Message)
	}
	want := []string{
		"Secret flux/gone is not there; it is named by env A, volume g",
		"Secret flux/projected is not there; it is named by volume p",
		"Secret flux/source is not there; it is named by envFrom",
		"Secret flux/there has no b, x; it is named by env B, volume k",
	}
	if !slices.Equal(said, want) {
		t.Errorf("it is said:\n%s\nwant:\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}

	w, kube := double()
	kube.PrependReactor("get", "secrets", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(corev1.Resource("secrets"), "", errors.New("no right"))
	})
	if err := w.missingSecrets(t.Context(), agentOf(w, pod)); err != nil || len(w.findings) > 0 {
		t.Errorf("without the right to read Secrets: %v, %+v", err, w.findings)
	}
	w, kube = double()
	kube.PrependReactor("get", "secrets", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("no answer") })
	if err := w.missingSecrets(t.Context(), agentOf(w, pod)); err == nil {
		t.Errorf("a Secret that cannot be read is not there: %+v", w.findings)
	}
}
