package discover

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/fluxover/fluxover/migrate/flux1"
)

func TestArgumentsAreFilledInFromTheContainersEnvironment(t *testing.T) {
	secret := func(name, key string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "git"}, Key: key}}}
	}
	container := &corev1.Container{
		EnvFrom: []corev1.EnvFromSource{{Prefix: "CFG_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
		Env: []corev1.EnvVar{
			{Name: "BEFORE", Value: "$(LATER)"}, // kubelet knows those above alone
			{Name: "LATER", Value: "later"},
			{Name: "HOST", Value: "git.example.com"},
			{Name: "WHOLE", Value: "https://$(HOST)/$(CFG_REPO)"},
			{Name: "ESCAPED", Value: "$$(HOST)"},
			secret("USER", "user"), secret("PASSWORD", "password"),
			{Name: "CREDENTIALED", Value: "https://$(USER):$(PASSWORD)@$(HOST)/x"},
			{Name: "CHANGED", Value: "$(USER)"},
			{Name: "HOST", Value: "new.example.com"},
		},
	}
	w := &witness{kube: fake.NewClientset(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "flux"}, Data: map[string]string{"REPO": "team/app"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "git", Namespace: "flux"}, Data: map[string][]byte{"user": []byte("bot"), "password": []byte("pa$$(HOST)")}},
	)}
	env := w.environmentOf("flux", "flux/flux", &corev1.PodSpec{Containers: []corev1.Container{*container}}, container)
	for arg, want := range map[string]string{
		"$(WHOLE)": "https://git.example.com/team/app", "$(BEFORE)": "$(LATER)", "$(ESCAPED)": "$(HOST)", "$$(HOST)": "$(HOST)", "$(HOST)": "new.example.com",
		"$(NOT_THERE)": "$(NOT_THERE)", "$(CREDENTIALED)": "https://$(USER):$(PASSWORD)@git.example.com/x", "$$$(LATER)": "$later",
	} {
		got, err := env.expand(t.Context(), arg)
		if err != nil || flux1.Literal(got) != want {
			t.Errorf("%s gave %q, %v, want %q", arg, flux1.Literal(got), err, want)
		}
	}
	for arg, known := range map[string]bool{"$(WHOLE)": true, "$(NOT_THERE)": true, "$$(USER)": true, "$(CREDENTIALED)": false, "$(USER)": false, "$(MEMCACHED_SERVICE_HOST)": false, "$(KUBERNETES_PORT_443_TCP_ADDR)": false} {
		got, err := env.expand(t.Context(), arg)
		if err != nil || (len(flux1.Symbols(got)) == 0) != known {
			t.Errorf("%s is %q, %v; known is to be %v", arg, got, err, known)
		}
	}
	for text, want := range map[string]string{"$(CREDENTIALED)": "https://bot:pa$$(HOST)@git.example.com/x", "a$$b": "a$b", "$(PASSWORD)": "pa$$(HOST)"} {
		if got, ok, err := env.fill(t.Context(), text); got != want || !ok || err != nil {
			t.Errorf("%s is %q for use, %v %v, want %q", text, got, ok, err, want)
		}
	}
	for _, text := range []string{"$(NOT_THERE)", "x$(MEMCACHED_SERVICE_PORT)"} {
		if _, ok, err := env.fill(t.Context(), text); ok || err != nil {
			t.Errorf("%s is said to be filled in: %v", text, err)
		}
	}
}

func TestAVariableThatMeansSomethingElseBelowIsNotMixedUp(t *testing.T) {
	from := &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "git"}, Key: "user"}}
	container := &corev1.Container{Env: []corev1.EnvVar{{Name: "S", ValueFrom: from}, {Name: "A", Value: "x$(S)"}, {Name: "S", Value: "$(A)"}}}
	w := &witness{kube: fake.NewClientset()}
	env := w.environmentOf("flux", "", &corev1.PodSpec{}, container)
	for _, name := range []string{"A", "S"} {
		v, err := env.look(t.Context(), name)
		if err != nil || v == nil || v.unknown == "" || v.plain || name == "A" && v.refers {
			t.Errorf("%s is %+v, %v", name, v, err)
		}
	}
	if got, ok, err := env.fill(t.Context(), "$(S)"); ok || err != nil {
		t.Errorf("it gave %q, %v", got, err)
	}
}
