package discover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/migrate"
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
			{Name: "API_TOKEN", Value: "plain"}, {Name: "WITH_ONE", Value: "https://bot:$(API_TOKEN)@$(HOST)"},
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
		"$(API_TOKEN)": "$(API_TOKEN)", "$(WITH_ONE)": "https://bot:$(API_TOKEN)@git.example.com",
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
	for text, want := range map[string]string{"$(WITH_ONE)": "https://bot:plain@git.example.com", "$(CREDENTIALED)": "https://bot:pa$$(HOST)@git.example.com/x", "a$$b": "a$b", "$(PASSWORD)": "pa$$(HOST)"} {
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

func TestAVariableOfWhichTheSourceIsMissingIsNotSaidToBeUnset(t *testing.T) {
	yes := true
	key := func(name, from, key string, optional *bool) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: from}, Key: key, Optional: optional}}}
	}
	secret := func(name, from, key string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: from}, Key: key, Optional: &yes}}}
	}
	source := func(prefix, name string, optional *bool) corev1.EnvFromSource {
		return corev1.EnvFromSource{Prefix: prefix, ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: optional}}
	}
	container := &corev1.Container{
		EnvFrom: []corev1.EnvFromSource{source("", "settings", nil), source("GONE_", "gone", nil), source("MAYBE_", "gone", &yes),
			{Prefix: "SECRET_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "gone"}}},
			{Prefix: "PERHAPS_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "gone"}, Optional: &yes}}},
		Env: []corev1.EnvVar{
			key("NO_MAP", "gone", "k", nil), key("NO_KEY", "settings", "gone", nil), key("MAY_MAP", "gone", "k", &yes), key("MAY_KEY", "settings", "gone", &yes),
			{Name: "BEFORE", Value: "before"}, key("BEFORE", "gone", "k", &yes), key("BRANCH", "gone", "k", &yes),
			{Name: "S", Value: "plain"}, secret("S", "gone", "user"), {Name: "K", Value: "plain"}, secret("K", "git", "gone"), secret("THERE", "git", "user"),
		},
	}
	w := &witness{kube: fake.NewClientset(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "flux"}, Data: map[string]string{"BRANCH": "main"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "git", Namespace: "flux"}, Data: map[string][]byte{"user": []byte("bot")}},
	)}
	env := w.environmentOf("flux", "flux/flux", &corev1.PodSpec{}, container)
	for name, want := range map[string]string{
		"NO_MAP": "unknown", "NO_KEY": "unknown", "MAY_MAP": "unset", "MAY_KEY": "unset", "BEFORE": "before", "BRANCH": "main", "S": "plain", "K": "plain", "THERE": "secret",
		"GONE_X": "unknown", "MAYBE_X": "unset", "SECRET_X": "unknown", "PERHAPS_X": "unset",
	} {
		v, err := env.look(t.Context(), name)
		got := "unset"
		switch {
		case err != nil:
			t.Fatal(err)
		case v == nil:
		case v.secret != nil:
			got = "secret"
		case v.plain:
			got = v.value
		case v.unknown != "":
			got = "unknown"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got, err := env.expand(t.Context(), "$(NO_MAP)/x"); err != nil || len(flux1.Symbols(got)) == 0 {
		t.Errorf("%q is taken for known: %v", got, err)
	}
}

// doubled are variables of which each holds the one before twice.
func doubled(count int, first string) []corev1.EnvVar {
	env := []corev1.EnvVar{{Name: "V0", Value: first}}
	for i := range count {
		env = append(env, corev1.EnvVar{Name: fmt.Sprint("V", i+1), Value: fmt.Sprintf("$(V%[1]d)$(V%[1]d)", i)})
	}
	return env
}

func TestAVariableThatGrowsWithoutBoundIsNotKnown(t *testing.T) {
	for name, env := range map[string][]corev1.EnvVar{
		"known": doubled(60, "x"), "unset": doubled(60, "$(NOPE)"),
		"unknown": append([]corev1.EnvVar{{Name: "U", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}}}, doubled(60, "$(U)")...),
		"empty":   doubled(60, ""),
		"many": append(doubled(17, "x"), func() (many []corev1.EnvVar) {
			for i := range 10_000 {
				many = append(many, corev1.EnvVar{Name: fmt.Sprint("W", i), Value: "$(V16)"})
			}
			return append(many, corev1.EnvVar{Name: "V60", Value: "$(W0)$(W9999)"})
		}()...),
	} {
		container := &corev1.Container{Env: env}
		w := &witness{kube: fake.NewClientset()}
		e := w.environmentOf("flux", "", &corev1.PodSpec{}, container)
		start := time.Now()
		filled, err := e.expand(t.Context(), "$(V60)")
		if err != nil {
			t.Fatal(err)
		}
		if known := len(flux1.Symbols(filled)) == 0; known != (name == "empty") || len(filled) > 3*flux1.MaxValue {
			t.Errorf("%s: known %v, %d bytes", name, known, len(filled))
		}
		v, err := e.look(t.Context(), "V60")
		if err != nil || len(v.unknown) > 1000 {
			t.Errorf("%s: %d bytes say why it is unknown, %v", name, len(v.unknown), err)
		}
		if _, ok, err := e.fill(t.Context(), "$(V60)"); ok != (name == "empty") || err != nil {
			t.Errorf("%s: filled %v, %v", name, ok, err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s took %s", name, d)
		}
	}
	var text strings.Builder
	for _, v := range doubled(60, "x") {
		fmt.Fprintf(&text, ", {name: %s, value: %q}", v.Name, v.Value)
	}
	inv := declaredBy(t, map[string]string{"main.tf": "resource \"kubectl_manifest\" \"flux\" {\n yaml_body = <<-EOT\n" +
		strings.Replace(fluxdManifest("value: $(V60)"), "[{name: APP", "["+text.String()[2:]+", {name: APP", 1) + "EOT\n}\n"})
	if len(inv.Agents) != 1 || !strings.Contains(fmt.Sprint(unknownOf(inv.Agents[0])), "git.paths") {
		t.Errorf("of Terraform: %v", inv.Agents)
	}
}

func TestTheDeployKeyIsTheOneThatIsMounted(t *testing.T) {
	secret := func(name string, items ...corev1.KeyToPath) corev1.VolumeSource {
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name, Items: items}}
	}
	for name, c := range map[string]struct {
		volume corev1.VolumeSource
		mount  corev1.VolumeMount
		want   string
	}{
		"as the arguments name it":      {secret("flux-git-deploy"), corev1.VolumeMount{MountPath: "/etc/fluxd/ssh"}, "flux-git-deploy/identity"},
		"another than they name":        {secret("flux-git-deploy-7h2k"), corev1.VolumeMount{MountPath: "/etc/fluxd/ssh/"}, "flux-git-deploy-7h2k/identity"},
		"under another key":             {secret("github", corev1.KeyToPath{Key: "ssh-privatekey", Path: "identity"}), corev1.VolumeMount{MountPath: "/etc/fluxd/ssh"}, "github/ssh-privatekey"},
		"as a single file":              {secret("github"), corev1.VolumeMount{MountPath: "/etc/fluxd/ssh/identity", SubPath: "ssh-privatekey"}, "github/ssh-privatekey"},
		"elsewhere":                     {secret("other"), corev1.VolumeMount{MountPath: "/etc/fluxd/gpg"}, "flux-git-deploy/identity"},
		"of a volume that is no Secret": {corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, corev1.VolumeMount{MountPath: "/etc/fluxd/ssh"}, "flux-git-deploy/identity"},
		"among others": {corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "first"}}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "second"}, Items: []corev1.KeyToPath{{Key: "key", Path: "identity"}}}},
		}}}, corev1.VolumeMount{MountPath: "/etc/fluxd/ssh"}, "second/key"},
	} {
		c.mount.Name = "key"
		pod := &corev1.PodSpec{Volumes: []corev1.Volume{{Name: "key", VolumeSource: c.volume}}}
		secretName, key := mountedKey(pod, &corev1.Container{VolumeMounts: []corev1.VolumeMount{c.mount}}, &flux1.Config{SecretName: "flux-git-deploy", SecretKey: "identity"})
		if got := secretName + "/" + key; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestEachVariableThatAConfigMapBringsIsAccountedFor(t *testing.T) {
	source := func(prefix, name string) corev1.EnvFromSource {
		return corev1.EnvFromSource{Prefix: prefix, ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}
	}
	configMap := func(name string, data map[string]string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: name}, Data: data}
	}
	pod := &corev1.PodSpec{Containers: []corev1.Container{{
		Args: []string{"--git-label=$(TAG)"},
		Env:  []corev1.EnvVar{{Name: "OWN", Value: "x"}},
		EnvFrom: []corev1.EnvFromSource{source("", "first"), source("GIT_", "second"), source("", "gone"),
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}}}},
	}}}
	kube := fake.NewClientset(
		configMap("first", map[string]string{"TAG": "hunter2", "OWN": "hunter2", "HTTPS_PROXY": "http://u:hunter2@proxy", "OTHER": "hunter2", "GIT_TRACE": "overridden"}),
		configMap("second", map[string]string{"TRACE": "hunter2"}),
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "keys"}, Data: map[string][]byte{"TOKEN": []byte("hunter2")}})
	w := &witness{kube: kube}
	a := agentOf(w, pod)
	listed, err := a.env.listed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	readSurroundings(&a.Flux1Agent, &flux1.Config{URL: "https://git.example.com/a"}, pod, &pod.Containers[0], listed, func(where string) migrate.Origin { return migrate.Origin{Where: where} }, w.find)
	var got []string
	for _, s := range a.Settings {
		got = append(got, fmt.Sprintf("%s %s of %s", s.Name, s.Fate, s.From[0].Where))
	}
	want := []string{
		"env.OWN dropped of env OWN", "env.GIT_TRACE dropped of envFrom ConfigMap second", "env.HTTPS_PROXY carried of envFrom ConfigMap first",
		"env.OTHER dropped of envFrom ConfigMap first", "env.TAG carried of envFrom ConfigMap first",
		"envFrom carried of envFrom ConfigMap first", "envFrom dropped of envFrom ConfigMap second", "envFrom carried of envFrom ConfigMap gone", "envFrom carried of envFrom Secret keys",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the ledger has:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if text := fmt.Sprintf("%+v %+v", a.Settings, w.findings); strings.Contains(text, "hunter2") {
		t.Errorf("a value is shown: %s", text)
	}
	kube.PrependReactor("get", "configmaps", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("no answer") })
	if listed, err := agentOf(w, pod).env.listed(t.Context()); err == nil {
		t.Errorf("of a ConfigMap that cannot be read it lists %v", listed)
	}
}

func TestWhatACommandGivesFluxd(t *testing.T) {
	const shell = "fluxd is started by a shell"
	program := func(name string) string {
		return "the container's command is " + name + ", which is not fluxd; whether it starts fluxd, and with what arguments, is not known"
	}
	for _, tc := range []struct {
		command, args []string
		want          string
		offset        int
		hidden        string
	}{
		{nil, []string{"--git-user", "fluxd"}, "--git-user fluxd", 0, ""},
		{[]string{"/sbin/tini", "--", "fluxd", "--git-url=a"}, []string{"--git-branch=b"}, "--git-url=a --git-branch=b", 1, ""},
		{[]string{"/sbin/tini", "--"}, []string{"fluxd", "--git-url=a", "--git-branch=b"}, "--git-url=a --git-branch=b", -1, ""},
		{[]string{"dumb-init", "--single-child", "--", "/usr/local/bin/fluxd", "--git-url=a"}, nil, "--git-url=a", 1, ""},
		{[]string{"/entrypoint.sh"}, []string{"--git-url", "git@h:o/fluxd", "--git-branch=b"}, "--git-url git@h:o/fluxd --git-branch=b", 0, program("/entrypoint.sh")},
		{[]string{"/other", "--"}, []string{"--git-url=a"}, "--git-url=a", 0, program("/other")},
		{[]string{"/run.sh TOKEN=hunter2"}, []string{"--git-url=a"}, "--git-url=a", 0, program("another program")},
		{[]string{placeholder}, []string{"--git-url=a"}, "--git-url=a", 0, "which program the container's command is, is not known; whether it starts fluxd, and with what arguments, is not known"},
		{[]string{"sh", "-c", "exec fluxd --git-url=a"}, nil, "", 0, shell},
		{[]string{"/bin/dash", "-ec"}, []string{"exec fluxd"}, "exec fluxd", 0, shell},
		{[]string{"busybox", "sh", "-c", "exec fluxd"}, nil, "", 0, shell},
		{[]string{"/usr/bin/env", "sh", "-c", "exec fluxd"}, nil, "", 0, shell},
		{[]string{"/sbin/tini", "--", "sh", "-c", "exec fluxd"}, nil, "", 0, shell},
		{[]string{"/sbin/tini", "--"}, []string{"sh", "-c", "exec fluxd"}, "sh -c exec fluxd", 0, shell},
		{[]string{"sh", "-c", "fluxd \"$@\" --git-path=x", "fluxd", "--git-url=a"}, nil, "--git-url=a", 1, shell},
		{[]string{"fluxd", "--git-user", "sh"}, nil, "--git-user sh", 2, ""},
	} {
		args, offset, hidden := commandLine(&corev1.Container{Command: tc.command, Args: tc.args})
		if got := strings.Join(args, " "); got != tc.want || offset != tc.offset || hidden != tc.hidden {
			t.Errorf("%q %q: %q, %d, %q; want %q, %d, %q", tc.command, tc.args, got, offset, hidden, tc.want, tc.offset, tc.hidden)
		}
	}
	for where, want := range map[string]string{"args[0]": "args[1]", "args[2]": "args[3]"} {
		if got := argument(where, -1); got != want {
			t.Errorf("%s behind the program's name in args is %s, want %s", where, got, want)
		}
	}
}

func TestTheRightThatIsMissingForAReleaseIsNamed(t *testing.T) {
	for _, tc := range []struct {
		unread map[string][]string
		want   string
	}{
		{nil, "HELM_RELEASE_MISSING no Secret and no ConfigMap holds"},
		{map[string][]string{"": {"secrets"}}, "you may not list secrets in others"},
		{map[string][]string{"": {"configmaps"}}, "you may not list configmaps in others"},
		{map[string][]string{"": {"secrets", "configmaps"}}, "you may not list secrets and configmaps in others"},
		{map[string][]string{"": {"secrets"}, "flux": {"secrets"}}, "RBAC_MISSING you may not list secrets in namespace flux"},
		{map[string][]string{"": {"configmaps"}, "flux": {"configmaps"}}, "RBAC_MISSING you may not list configmaps in namespace flux"},
		{map[string][]string{"flux": {"secrets", "configmaps"}}, "you may not list configmaps in namespace flux, so this is unknown: " + unknownRelease("flux", "flux") + " RBAC_MISSING you may not list secrets in namespace flux"},
	} {
		w := &witness{}
		a := &agent{deployment: &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Annotations: map[string]string{"meta.helm.sh/release-name": "flux"}}}}
		if err := w.readHelm(t.Context(), a, &helm.Storage{Unread: tc.unread}); err != nil {
			t.Fatal(err)
		}
		w.find(w.lacked()...)
		var told []string
		for _, f := range w.findings {
			told = append(told, f.Code+" "+f.Message)
		}
		if got := strings.Join(told, " "); !strings.Contains(got, tc.want) || tc.unread["flux"] != nil && strings.Contains(got, "HELM_RELEASE_MISSING") {
			t.Errorf("%v: %s, want %s", tc.unread, got, tc.want)
		}
	}
}

func TestASecondFluxdInAPodBlocks(t *testing.T) {
	pod := &corev1.PodSpec{Containers: []corev1.Container{
		{Name: "flux", Image: "fluxcd/flux:1", Args: []string{"--git-url=git@h:a"}},
		{Name: "flux-b", Image: "fluxcd/flux:1", Args: []string{"--git-url=https://bot:MARKED-SECRET@h/b", "--listen=:3031"}},
		{Name: "beside", Image: "nginx:1"},
	}}
	w := &witness{}
	a := w.newAgent(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "flux"}, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: *pod}}}, &pod.Containers[0])
	a.config, _, _ = flux1.ParseArgs(pod.Containers[0].Args)
	if err := w.readContainer(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, f := range w.findings {
		told = append(told, string(f.Severity)+" "+f.Code+" "+f.Message)
	}
	want := []string{
		"blocker SEVERAL_FLUXDS container flux-b runs a fluxd of its own, for https://bot@h/b, beside flux, for git@h:a",
		"warning SIDECAR container beside (nginx) runs beside fluxd",
	}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("findings: %q, want %q", told, want)
	}
}

func TestAnEmptyVolumeHoldsNoSSHConfiguration(t *testing.T) {
	fluxd := corev1.Container{Name: "flux", VolumeMounts: []corev1.VolumeMount{{Name: "home", MountPath: "/root"}}}
	pod := func(source corev1.VolumeSource, others ...corev1.Container) *corev1.PodSpec {
		return &corev1.PodSpec{Volumes: []corev1.Volume{{Name: "home", VolumeSource: source}}, InitContainers: others, Containers: []corev1.Container{fluxd}}
	}
	empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	for name, c := range map[string]struct {
		pod  *corev1.PodSpec
		want string
	}{
		"that nothing fills":           {pod(empty), ""},
		"beside an init container":     {pod(empty, corev1.Container{Name: "init"}), ""},
		"that an init container fills": {pod(empty, corev1.Container{Name: "init", VolumeMounts: []corev1.VolumeMount{{Name: "home", MountPath: "/out"}}}), "home"},
		"of the node":                  {pod(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/x"}}), "home"},
	} {
		if got := opaqueSSH(c.pod, &fluxd); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
