package discover

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/e2e/sops"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/build"
	"github.com/fluxover/fluxover/reconcile/source"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestKeysForEncryptedFilesAreFoundByPlace(t *testing.T) {
	pgp, err := sops.NewPGP()
	if err != nil {
		t.Fatal(err)
	}
	age, err := sops.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	secret := func(name string, data map[string]string) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: name}, Data: map[string][]byte{}}
		for k, v := range data {
			s.Data[k] = []byte(v)
		}
		return s
	}
	kube := fake.NewClientset(
		secret("gpg", map[string]string{"private.key": pgp.Private, "note": "MARKED: no key"}),
		secret("gpg-too", map[string]string{"private.key.asc": pgp.Private}),
		secret("age", map[string]string{"keys.txt": age.Private}),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "public"}, Data: map[string]string{"a.asc": pgp.Private}},
	)
	// "gpg in keys" has its files in a folder of the volume, "gpg at private.key" is
	// one file alone.
	volume := func(given string) corev1.Volume {
		name, _, _ := strings.Cut(given, " ")
		v := corev1.Volume{Name: given, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}}}
		if _, folder, ok := strings.Cut(given, " in "); ok {
			v.VolumeSource.Secret.Items = []corev1.KeyToPath{{Key: "private.key", Path: folder + "/private.key"}}
		}
		if name == "public" {
			v.VolumeSource = corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}
		}
		return v
	}
	at := func(name, key string) migrate.Value {
		return migrate.Value{Secret: &migrate.SecretKey{Namespace: "flux", Name: name, Key: key}}
	}
	named := func(variable, secret, key string) corev1.EnvVar {
		return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key}}}
	}
	ageVariable := named("SOPS_AGE_KEY", "age", "keys.txt")
	for name, c := range map[string]struct {
		off     bool
		imports string
		mounts  map[string]string // folder or file to Secret
		env     []corev1.EnvVar
		want    map[string]migrate.Value
	}{
		"nothing is decrypted":                {off: true, imports: "/gpg", mounts: map[string]string{"/gpg": "gpg"}},
		"no keys":                             {want: map[string]migrate.Value{}},
		"PGP keys as the chart mounts them":   {imports: "/root/gpg-import/private,/root/gpg-import/public", mounts: map[string]string{"/root/gpg-import/private": "gpg", "/root/gpg-import/public": "public"}, want: map[string]migrate.Value{"private.key.asc": at("gpg", "private.key")}},
		"PGP keys of two Secrets":             {imports: "/gpg/a,/gpg/b/", mounts: map[string]string{"/gpg/a": "gpg", "/gpg/b": "gpg-too"}, want: map[string]migrate.Value{"private.key.asc": at("gpg", "private.key"), "private.key-2.asc": at("gpg-too", "private.key.asc")}},
		"folders below one that is imported":  {imports: "/gpg", mounts: map[string]string{"/gpg/a": "gpg", "/gpg/b": "gpg-too"}, want: map[string]migrate.Value{}},
		"a file that is imported":             {imports: "/gpg/private.key", mounts: map[string]string{"/gpg": "gpg"}, want: map[string]migrate.Value{"private.key.asc": at("gpg", "private.key")}},
		"a file in a folder of a volume":      {imports: "/gpg/keys", mounts: map[string]string{"/gpg": "gpg in keys"}, want: map[string]migrate.Value{"private.key.asc": at("gpg", "private.key")}},
		"folders of a volume are not entered": {imports: "/gpg", mounts: map[string]string{"/gpg": "gpg in keys"}, want: map[string]migrate.Value{}},
		"one file beside others":              {imports: "/gpg", mounts: map[string]string{"/gpg/one": "gpg at private.key"}, want: map[string]migrate.Value{"private.key.asc": at("gpg", "private.key")}},
		"a file that no Secret gives":         {mounts: map[string]string{"/root/.config/sops/age": "age"}, env: []corev1.EnvVar{{Name: "SOPS_AGE_KEY_FILE", Value: "/elsewhere/keys.txt"}}, want: map[string]migrate.Value{}},
		"a file whose name is secret":         {mounts: map[string]string{"/root/.config/sops/age": "age"}, env: []corev1.EnvVar{named("SOPS_AGE_KEY_FILE", "age", "keys.txt")}, want: map[string]migrate.Value{}},
		"a file without a name":               {mounts: map[string]string{"/root/.config/sops/age": "age"}, env: []corev1.EnvVar{{Name: "SOPS_AGE_KEY_FILE"}}, want: map[string]migrate.Value{}},
		"a variable before a file":            {mounts: map[string]string{"/root/.config/sops/age": "age"}, env: []corev1.EnvVar{{Name: "SOPS_AGE_KEY", Value: age.Private}}, want: map[string]migrate.Value{"SOPS_AGE_KEY.agekey": {Variable: "SOPS_AGE_KEY"}}},
		"a variable that names another":       {env: []corev1.EnvVar{{Name: "AGE", Value: age.Private}, {Name: "SOPS_AGE_KEY", Value: "$(AGE)"}}, want: map[string]migrate.Value{}},
		"a variable that is not known":        {mounts: map[string]string{"/root/.config/sops/age": "age"}, env: []corev1.EnvVar{named("SOPS_AGE_KEY", "none", "none")}, want: map[string]migrate.Value{}},
		"another folder for configuration":    {mounts: map[string]string{"/conf/sops/age": "age"}, env: []corev1.EnvVar{{Name: "XDG_CONFIG_HOME", Value: "/conf"}}, want: map[string]migrate.Value{"keys.txt.agekey": at("age", "keys.txt")}},
		"another home":                        {mounts: map[string]string{"/root/.config/sops/age": "age"}, env: []corev1.EnvVar{{Name: "HOME", Value: "/home/flux"}}, want: map[string]migrate.Value{}},
		"PGP keys of a place that is secret":  {imports: "/gpg,$(SECRET)", mounts: map[string]string{"/gpg": "gpg"}, want: map[string]migrate.Value{"private.key.asc": at("gpg", "private.key")}},
		"PGP keys that are not imported":      {imports: "/elsewhere", mounts: map[string]string{"/gpg": "gpg"}, want: map[string]migrate.Value{}},
		"an age key where sops looks":         {mounts: map[string]string{"/root/.config/sops/age": "age"}, want: map[string]migrate.Value{"keys.txt.agekey": at("age", "keys.txt")}},
		"an age key in a file that is named":  {mounts: map[string]string{"/age": "age"}, env: []corev1.EnvVar{{Name: "SOPS_AGE_KEY_FILE", Value: "/age/keys.txt"}}, want: map[string]migrate.Value{"keys.txt.agekey": at("age", "keys.txt")}},
		"an age key in a variable":            {env: []corev1.EnvVar{ageVariable}, want: map[string]migrate.Value{"keys.txt.agekey": at("age", "keys.txt")}},
		"an age key in the Deployment itself": {env: []corev1.EnvVar{{Name: "SOPS_AGE_KEY", Value: age.Private}}, want: map[string]migrate.Value{"SOPS_AGE_KEY.agekey": {Variable: "SOPS_AGE_KEY"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &witness{kube: kube}
			container, pod := &corev1.Container{Name: "flux", Env: c.env}, &corev1.PodSpec{}
			for _, folder := range sortedNames(c.mounts) {
				_, file, _ := strings.Cut(c.mounts[folder], " at ")
				container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: c.mounts[folder], MountPath: folder, SubPath: file})
				pod.Volumes = append(pod.Volumes, volume(c.mounts[folder]))
			}
			a := &agent{Flux1Agent: migrate.Flux1Agent{ID: "flux/flux", Namespace: "flux", Workload: "flux", SOPS: !c.off}}
			if c.imports != "" {
				a.Settings = []migrate.Setting{{Name: "--git-gpg-key-import", Value: c.imports}}
			}
			a.env = w.environmentOf("flux", a.ID, pod, container)
			if err := w.readDecryption(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, a.Decryption); d != "" {
				t.Error(d)
			}
			if strings.Contains(c.imports, "$(") && !a.keysUnknown {
				t.Error("nothing says that there may be keys which were not found")
			}
			if (a.Keys != nil) == c.off || len(w.findings) > 0 {
				t.Errorf("keys %v, findings %v", a.Keys, w.findings)
			}
			if text := fmt.Sprintf("%+v %v", a.Flux1Agent, w.findings); strings.Contains(text, "MARKED") || strings.Contains(text, "PRIVATE") || strings.Contains(text, "AGE-SECRET") {
				t.Errorf("a key is told: %s", text)
			}
		})
	}
}

// sealedFor encrypts an object's data for a key.
func sealedFor(t *testing.T, name string, k sops.Key) string {
	t.Helper()
	text, err := sops.Encrypt("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: "+name+"\n  namespace: b\ndata:\n  k: MARKED-VALUE\n", "yaml", sops.For(k))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOnlyKeysThatDecryptSomethingAreCarriedAndTheLedgerSaysSo(t *testing.T) {
	newKey := func(make func() (sops.Key, error)) sops.Key {
		k, err := make()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	used, signing, later, other := newKey(sops.NewPGP), newKey(sops.NewPGP), newKey(sops.NewAge), newKey(sops.NewAge)
	secret := func(name, key string, k sops.Key) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: name}, Data: map[string][]byte{key: []byte(k.Private)}}
	}
	kube := fake.NewClientset(secret("gpg", "key", used), secret("signing", "key", signing), secret("environment", "SOPS_AGE_KEY", later),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "public"}, Data: map[string]string{"a": used.Public}})
	mounts := []corev1.VolumeMount{{Name: "gpg", MountPath: "/gpg"}, {Name: "signing", MountPath: "/sign"}, {Name: "public", MountPath: "/root/gpg-import/public"}, {Name: "signing", MountPath: "/root/.config/sops/age"}}
	from := func(name string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}}}
	}
	pod := &corev1.PodSpec{Volumes: []corev1.Volume{from("gpg"), from("signing"), {Name: "public", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "public"}}}}}}
	container := &corev1.Container{Name: "flux", VolumeMounts: mounts, EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "environment"}}}}}
	read := func(synced, head string) (*agent, *witness) {
		w := &witness{kube: kube}
		a := &agent{Flux1Agent: migrate.Flux1Agent{ID: "flux/flux", Namespace: "flux", Workload: "flux", SOPS: true, DefaultNamespace: "default"}}
		a.Settings = []migrate.Setting{{Name: "--git-gpg-key-import", Value: "/gpg,/sign,/root/gpg-import/public"}}
		a.env = w.environmentOf("flux", a.ID, pod, container)
		readSurroundings(&a.Flux1Agent, &a.config, pod, container, nil, func(string) migrate.Origin { return migrate.Origin{} }, w.find)
		if err := w.readDecryption(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		for i, text := range []string{synced, head} {
			from, load := origin{git: fixedTree{treeOf(text)}}, w.checkHead
			if i == 0 {
				load = func(ctx context.Context, a *agent, facts migrate.Cluster, from origin, ref source.Reference) error {
					return w.loadTree(ctx, a, nil, facts, from, ref)
				}
			}
			if err := load(t.Context(), a, migrate.Cluster{}, from, source.Reference{Commit: strings.Repeat("a", 40)}); err != nil {
				t.Fatal(err)
			}
		}
		if len(a.Decryption) != 3 {
			t.Errorf("found are the keys %v", sortedNames(a.Decryption))
		}
		if err := a.settleDecryption(); err != nil {
			t.Fatal(err)
		}
		return a, w
	}
	fates := func(a *agent) string {
		var out []string
		for _, s := range a.Settings[1:] {
			out = append(out, fmt.Sprintf("%s %s: %s", s.Name, s.Value, s.Fate))
		}
		return strings.Join(out, "\n")
	}
	first := "-- a.yaml --\n" + sealedFor(t, "a", used)

	// The file that the second key is for stands at the head alone.
	a, w := read(first, first+"-- b.yaml --\n"+sealedFor(t, "b", later))
	if want := []string{"SOPS_AGE_KEY.agekey", "key.asc"}; !slices.Equal(a.DecryptsWith, want) {
		t.Errorf("decrypts with %v, want %v", a.DecryptsWith, want)
	}
	if !a.Keys.Are(map[string][]byte{"key.asc": []byte(used.Private), "SOPS_AGE_KEY.agekey": []byte(later.Private)}) {
		t.Error("the keys in use are others than those that decrypt something")
	}
	if a.HeadProblem != "" || len(a.HeadObjects) != 2 || len(w.findings) > 0 {
		t.Errorf("head: %q, %d objects, %v", a.HeadProblem, len(a.HeadObjects), w.findings)
	}
	want := "envFrom Secret environment: carried\nvolume.gpg /gpg: carried\nvolume.signing /sign: dropped\nvolume.public /root/gpg-import/public: dropped\nvolume.signing /root/.config/sops/age: dropped"
	if got := fates(a); got != want {
		t.Errorf("the ledger says\n%s\nwant\n%s", got, want)
	}

	// Nothing is encrypted: nothing is carried.
	a, _ = read("-- a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "-- a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
	if got := fates(a); len(a.DecryptsWith) > 0 || strings.Contains(got, "carried") || strings.Contains(got, "unknown") {
		t.Errorf("without encrypted files: %v\n%s", a.DecryptsWith, got)
	}

	// A head that no key opens is one that fluxd cannot load.
	a, w = read(first, first+"-- c.yaml --\n"+sealedFor(t, "c", other))
	if !strings.Contains(a.HeadProblem, "c.yaml cannot be decrypted") || a.HeadObjects != nil {
		t.Errorf("head: %q, %d objects", a.HeadProblem, len(a.HeadObjects))
	}
	if !slices.ContainsFunc(w.findings, func(f migrate.Finding) bool {
		return f.Code == StuckAtHead.Name && f.Where == "c.yaml" && strings.Contains(f.Message, "c.yaml cannot be decrypted")
	}) {
		t.Errorf("findings: %v", w.findings)
	}
	if text := fmt.Sprintf("%+v %v", a.Flux1Agent.Settings, w.findings); strings.Contains(text, "MARKED") || strings.Contains(text, "PRIVATE") || strings.Contains(text, "AGE-SECRET") {
		t.Errorf("a secret is told: %s", text)
	}

	// As long as a file stays closed, what may give its key is not said to be of no use.
	a, _ = read("-- c.yaml --\n"+sealedFor(t, "c", other), first)
	if got := fates(a); !strings.Contains(got, "/root/gpg-import/public: unknown") {
		t.Errorf("the ledger says\n%s", got)
	}
}

func TestWhatAnEncryptedObjectSaysIsNotToldByTheSurvey(t *testing.T) {
	key, err := sops.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := build.ReadKeys(map[string][]byte{"a.agekey": []byte(key.Private)})
	if err != nil {
		t.Fatal(err)
	}
	seal := func(plain, regex string, to ...sops.Key) string {
		text, err := sops.Encrypt(plain, "yaml", sops.Options{EncryptedRegex: regex, Keys: to})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	release := "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata:\n  name: r\n  namespace: b\nspec:\n  releaseName: MARKED-release\n  targetNamespace: MARKED-namespace\n  chart:\n    git: https://git.example.com/MARKED\n    ref: MARKED-ref\n"
	repository := "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n  name: g\n  namespace: b\nspec:\n  url: https://git.example.com/MARKED\n"
	noted := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: n\n  namespace: b\n  labels:\n    l: MARKED-label\n  annotations:\n    fluxcd.io/automated: MARKED-note\n"
	arn := sops.AWS("arn:aws:kms:eu-west-1:1:key/a")
	look := func(text string) (*agent, *witness) {
		w := &witness{}
		a := &agent{Flux1Agent: migrate.Flux1Agent{ID: "flux/flux", SOPS: true, DefaultNamespace: "default", Keys: keys}}
		if err := w.loadTree(t.Context(), a, nil, migrate.Cluster{}, origin{git: fixedTree{treeOf("-- a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")}}, source0()); err != nil {
			t.Fatal(err)
		}
		if err := w.loadTree(t.Context(), a, nil, migrate.Cluster{}, origin{git: fixedTree{treeOf(text)}}, source0()); err != nil {
			t.Fatal(err)
		}
		return a, w
	}
	a, w := look("-- r.yaml --\n" + seal(release, "^spec$", key) + "-- g.yaml --\n" + seal(repository, "^spec$", key) + "-- n.yaml --\n" + seal(noted, "^(labels|annotations)$", key))
	text := fmt.Sprint(w.findings)
	for _, code := range []string{"HELMRELEASE_V1_RELEASE", "FLUX2_OBJECT_IN_GIT", "SOPS_KIND_ENCRYPTED"} {
		if !strings.Contains(text, code) {
			t.Errorf("no finding %s: %s", code, text)
		}
	}
	if strings.Contains(text, "MARKED") || !slices.ContainsFunc(a.Objects, func(o migrate.Object) bool { return o.Encrypted }) {
		t.Errorf("told: %s", text)
	}
	// A key of a cloud may be the agent's, so that it is not said to be stuck.
	if err := w.checkHead(t.Context(), a, migrate.Cluster{}, origin{git: fixedTree{treeOf("-- k.yaml --\n" + seal(release, "^spec$", arn))}}, source0()); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(w.findings, func(f migrate.Finding) bool { return f.Code == StuckAtHead.Name }) || !strings.Contains(a.HeadProblem, "is not known") {
		t.Errorf("head: %q, %v", a.HeadProblem, w.findings)
	}
}

func source0() source.Reference { return source.Reference{Commit: strings.Repeat("a", 40)} }
