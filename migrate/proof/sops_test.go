package proof

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	validation "k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/fluxover/fluxover/e2e/sops"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
)

// encryptedInventory is inventoryOf with its encrypted files read with the keys
// of a Secret.
func encryptedInventory(t *testing.T, files map[string]string, keys map[string]sops.Key) migrate.Inventory {
	t.Helper()
	inv := inventoryOf(t, files)
	a := &inv.Agents[0]
	data := map[string][]byte{}
	a.SOPS, a.Decryption = true, map[string]migrate.Value{}
	for name, k := range keys {
		data[name] = []byte(k.Private)
		a.Decryption[name] = migrate.Value{Secret: &migrate.SecretKey{Namespace: "flux", Name: "gpg", Key: name}}
		a.DecryptsWith = append(a.DecryptsWith, name)
	}
	var err error
	if a.Keys, err = build.ReadKeys(data); err != nil {
		t.Fatal(err)
	}
	var findings []migrate.Finding
	a.Files, a.Objects, findings, err = flux1.Load(a.Tree, flux1.LoadConfig{
		Repository: a.ID, Paths: a.Git.Paths, DefaultNamespace: "default", Kinds: kinds, SOPS: true,
		Decrypt: func(content []byte) ([]byte, error) { return build.DecryptFile(t.Context(), content, a.Keys) },
	})
	if err != nil {
		t.Fatal(err)
	}
	inv.Findings = append(inv.Findings, findings...)
	return inv
}

func sealed(t *testing.T, plain string, k sops.Key) string {
	t.Helper()
	return sealedBy(t, plain, sops.For(k))
}

func sealedBy(t *testing.T, plain string, o sops.Options) string {
	t.Helper()
	text, err := sops.Encrypt(plain, "yaml", o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func pgpKey(t *testing.T) sops.Key {
	t.Helper()
	k, err := sops.NewPGP()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEncryptedFilesAreComparedInPlainTextAndToldWithoutIt(t *testing.T) {
	key := pgpKey(t)
	encoded := base64.StdEncoding.EncodeToString([]byte(marked))
	inv := encryptedInventory(t, map[string]string{
		"p/app/s.yaml":     sealed(t, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  namespace: team\nstringData:\n  kept: "+marked+"\n", key),
		"p/app/c.yaml":     sealed(t, configMap("c", "{kept: "+marked+"}"), key),
		"p/app/drift.yaml": sealed(t, configMap("drift", "{kept: "+marked+"}"), key),
		"p/app/refused.yaml": sealed(t, configMap("refused", "{kept: "+marked+"}"),
			key),
		"p/plain/d.yaml": configMap("d", `{kept: "1"}`),
	}, map[string]sops.Key{"fluxd.asc": key})
	quoting := apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "refused", validation.ErrorList{validation.Invalid(validation.NewPath("data").Key("kept"), marked, "no")})
	secret := liveConfigMap("s", map[string]any{"kept": encoded}, nil)
	secret.SetKind("Secret")
	w := &fakeWorld{
		live: map[string]*unstructured.Unstructured{
			"team_s__Secret":          secret,
			"team_c__ConfigMap":       liveConfigMap("c", map[string]any{"kept": marked}, nil),
			"team_drift__ConfigMap":   liveConfigMap("drift", map[string]any{"kept": "MARKED-other"}, nil),
			"team_d__ConfigMap":       liveConfigMap("d", map[string]any{"kept": "1"}, nil),
			"team_refused__ConfigMap": liveConfigMap("refused", map[string]any{"kept": marked}, nil),
		},
		refuse: map[string]error{"team_refused__ConfigMap": quoting},
	}
	if len(inv.Findings) > 0 {
		t.Fatal(inv.Findings)
	}
	r, err := Prove(t.Context(), inv, migrate.Options{}, w)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"Secret/team/s": "adopt", "ConfigMap/team/c": "adopt", "ConfigMap/team/drift": "change .data.kept", "ConfigMap/team/d": "adopt",
		"ConfigMap/team/refused": "conflict",
	}
	if d := cmp.Diff(want, verbsOf(r)); d != "" {
		t.Errorf("%s%s", d, codesOf(r.Plan))
	}
	for _, k := range r.Plan.Repositories[0].Kustomizations {
		name, found, _ := unstructured.NestedString(k.Object, "spec", "decryption", "secretRef", "name")
		if encrypted := strings.HasSuffix(k.GetName(), "-app"); found != encrypted || encrypted && name != "team-sops" {
			t.Errorf("%s decrypts with %q", k.GetName(), name)
		}
	}
	raw, err := json.Marshal(r.Plan)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), "data[kept]") {
		t.Errorf("the refusal does not name the field: %s", codesOf(r.Plan))
	}
	for _, secret := range []string{"MARKED", encoded, "PRIVATE KEY"} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("the plan holds %q", secret)
		}
	}
	// What is hashed tells nothing of the values, and does tell of the rest.
	other := r.Evidence["flux/flux-team"]["team_c__ConfigMap"]
	changed := other.New.DeepCopy()
	_ = unstructured.SetNestedField(changed.Object, "other", "data", "kept")
	if digest(other.New, true) != digest(changed, true) || digest(other.New, false) == digest(changed, false) {
		t.Error("a hash of an encrypted object depends on its values")
	}
	_ = unstructured.SetNestedField(changed.Object, "other", "data", "more")
	if digest(other.New, true) == digest(changed, true) {
		t.Error("a hash of an encrypted object does not depend on its keys")
	}
}

func TestWhatTheNewAgentCannotDecryptBlocks(t *testing.T) {
	key, other := pgpKey(t), pgpKey(t)
	inv := encryptedInventory(t, map[string]string{"p/app/c.yaml": sealed(t, configMap("c", "{kept: "+marked+"}"), key)}, map[string]sops.Key{"fluxd.asc": key})
	var err error
	if inv.Agents[0].Keys, err = build.ReadKeys(map[string][]byte{"a.asc": []byte(other.Private)}); err != nil {
		t.Fatal(err)
	}
	p, err := Plan(t.Context(), inv, migrate.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if codesOf(p) != "BUILD_FAILED CREDENTIAL_OWNER" || !p.Repositories[0].Blocked || !strings.Contains(p.Findings[0].Message, key.Public) {
		t.Errorf("findings: %v", p.Findings)
	}
}

// In one application there may be objects that fluxd decrypts and such that it
// applies as they stand, which the new agent would decrypt all the same.
func TestNoPlainTextOfAMixedApplicationIsTold(t *testing.T) {
	key := pgpKey(t)
	deployment := func(name, image string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: " + name + "\n  namespace: team\nspec:\n  selector: {matchLabels: {a: b}}\n" +
			"  template:\n    metadata: {labels: {a: b}}\n    spec:\n      containers:\n      - {name: " + marked + "-container, image: " + image + "}\n"
	}
	whole := sops.Options{EncryptedRegex: "^spec$", Keys: []sops.Key{key}}
	first := configMap("first", "{a: b}") + "---\n" // by which fluxd takes a file for one that is not encrypted
	inv := encryptedInventory(t, map[string]string{
		"p/app/s.yaml":       sealed(t, configMap("s", "{kept: "+marked+"}"), key),
		"p/app/two.yaml":     first + sealed(t, configMap("two", "{kept: "+marked+"}"), key),
		"p/app/images.yaml":  strings.Replace(first, "first", "other", 1) + sealedBy(t, deployment("images", marked+"/new"), whole),
		"p/app/carried.yaml": sealedBy(t, deployment("carried", marked+"/new"), whole),
	}, map[string]sops.Key{"fluxd.asc": key})
	refusal := func(kind, name, field string) error {
		return apierrors.NewInvalid(schema.GroupKind{Kind: kind}, name, validation.ErrorList{validation.Invalid(validation.NewPath(field).Key("kept"), marked, "no")})
	}
	liveDeployment := func(name string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: object(t, deployment(name, marked+"/old"))}
		return u
	}
	w := &fakeWorld{
		live: map[string]*unstructured.Unstructured{
			"team_s__ConfigMap":            liveConfigMap("s", map[string]any{"kept": marked}, nil),
			"team_two__ConfigMap":          liveConfigMap("two", map[string]any{"kept": "x"}, nil),
			"team_first__ConfigMap":        liveConfigMap("first", map[string]any{"a": "b"}, nil),
			"team_other__ConfigMap":        liveConfigMap("other", map[string]any{"a": "b"}, nil),
			"team_images_apps_Deployment":  liveDeployment("images"),
			"team_carried_apps_Deployment": liveDeployment("carried"),
		},
		refuse: map[string]error{"team_two__ConfigMap": refusal("ConfigMap", "two", "data")},
	}
	r, err := Prove(t.Context(), inv, migrate.Options{}, w)
	if err != nil {
		t.Fatal(err)
	}
	for id, plain := range map[string]bool{
		"team_s__ConfigMap": false, "team_two__ConfigMap": false, "team_images_apps_Deployment": false, "team_carried_apps_Deployment": false,
		"team_first__ConfigMap": true, "team_other__ConfigMap": true,
	} {
		e := r.Evidence["flux/flux-team"][id]
		if e == nil || e.New == nil || e.Encrypted == plain {
			t.Errorf("%s: %+v, want it rendered and encrypted %v", id, e, !plain)
		}
	}
	raw, err := json.Marshal(r.Plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"DRY_RUN_REFUSED", "IMAGE_DIFFERS", "SOPS_CIPHERTEXT"} {
		if !strings.Contains(string(raw), code) {
			t.Errorf("no finding %s: %s", code, codesOf(r.Plan))
		}
	}
	if !r.Plan.Repositories[0].Blocked {
		t.Error("the plan goes on")
	}
	if i := strings.Index(string(raw), marked); i >= 0 {
		t.Errorf("the plan tells plain text: %s", raw[max(0, i-200):i+100])
	}
	for _, id := range []string{"team_two__ConfigMap", "team_images_apps_Deployment"} {
		e := r.Evidence["flux/flux-team"][id]
		raw, err := e.New.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		other := &unstructured.Unstructured{}
		if err := other.UnmarshalJSON([]byte(strings.ReplaceAll(string(raw), marked, "another"))); err != nil {
			t.Fatal(err)
		}
		if digest(e.New, e.Encrypted) != digest(other, e.Encrypted) || digest(e.New, false) == digest(other, false) {
			t.Errorf("the hash of %s tells its values", id)
		}
	}
}
