package journey

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/sops"
)

// sealedTeam is a team with files that SOPS encrypted for a key, which its agent
// has from a Secret.
type sealedTeam struct {
	fleet.Team
	key sops.Key
	// secret and field are where the agent has the key, copied what the key is
	// called where the new agent has it.
	secret, field, copied string
	// value is what its one encrypted Secret holds in plain text, uid that Secret.
	value string
	uid   types.UID
}

// sealedFolder is the application with the encrypted Secret.
const sealedFolder = "sealed"

func (s *sealedTeam) file() string { return s.Path + "/" + sealedFolder + "/database.yaml" }

// beside is another file of that folder.
func (s *sealedTeam) beside(name string) string {
	return s.Path + "/" + sealedFolder + "/" + name + ".yaml"
}

// serviceYAML is a Service; its type is the only value that is of interest.
func (s *sealedTeam) serviceYAML(kind string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata:\n    name: listed\n    namespace: %s\nspec:\n    type: %s\n    selector:\n        app: listed\n    ports:\n        - port: 80\n", s.Namespace, kind)
}

// seal encrypts a text as people do who read how to.
func (w *world) seal(s *sealedTeam, plain string) []byte {
	w.t.Helper()
	text, err := sops.Encrypt(plain, "yaml", sops.For(s.key))
	if err != nil {
		w.t.Fatal(err)
	}
	return []byte(text)
}

func (s *sealedTeam) secretYAML(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata:\n    name: %s\n    namespace: %s\nstringData:\n    password: %s\n", name, s.Namespace, value)
}

// encrypts gives a team's agent --sops and a key, PGP as the chart has them
// imported, age where sops looks for it, and the team an encrypted Secret.
func (w *world) encrypts(team fleet.Team, kind string) *sealedTeam {
	w.t.Helper()
	s := &sealedTeam{Team: team, value: "marked-plaintext-of-" + team.Name, secret: "keys-of-" + team.Name}
	var err error
	s.Values = maps.Clone(team.Values)
	s.Values["sops"] = map[string]any{"enabled": true}
	switch kind {
	case "pgp":
		s.key, err = sops.NewPGP()
		s.field, s.copied = "private.key", "private.key.asc"
		s.Values["gpgKeys"] = map[string]any{"secretName": s.secret}
	case "age":
		s.key, err = sops.NewAge()
		s.field, s.copied = "keys.txt", "keys.txt.agekey"
		s.Values["extraVolumes"] = []any{map[string]any{"name": "age", "secret": map[string]any{"secretName": s.secret}}}
		s.Values["extraVolumeMounts"] = []any{map[string]any{"name": "age", "mountPath": "/root/.config/sops/age", "readOnly": true}}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.secret, Namespace: team.AgentNamespace}, Data: map[string][]byte{s.field: []byte(s.key.Private)}}
	if _, err := w.kube().CoreV1().Secrets(team.AgentNamespace).Create(w.t.Context(), secret, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	if err := fleet.Upgrade(w.t.Context(), w.ControlPlane.Config(), w.Git, s.Team); err != nil {
		w.t.Fatal(err)
	}
	// Beside it stands what nobody encrypts.
	w.commitFiles(team, "Encrypt the password", map[string][]byte{
		s.file():          w.seal(s, s.secretYAML("database", s.value)),
		s.beside("notes"): fmt.Appendf(nil, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes, namespace: %s}\ndata: {a: b}\n", s.Namespace),
	})
	w.synced(team)
	s.uid = w.holdsPlainText(s, "database", s.value).UID
	return s
}

// holdsPlainText demands that a Secret holds a value in plain text, and gives it.
func (w *world) holdsPlainText(s *sealedTeam, name, value string) *corev1.Secret {
	w.t.Helper()
	live, err := w.kube().CoreV1().Secrets(s.Namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if got := string(live.Data["password"]); got != value || len(live.Data) != 1 {
		w.t.Errorf("Secret %s/%s holds %q in %v, want the plain text", s.Namespace, name, got, slices.Sorted(maps.Keys(live.Data)))
	}
	return live
}

// sealedKustomization is the one of the encrypted application.
func (w *world) sealedKustomization(s *sealedTeam) *unstructured.Unstructured {
	w.t.Helper()
	return w.kustomization(strings.TrimPrefix(s.Release, "flux-") + "-" + sealedFolder)
}

// checkSealed demands of a team that was handed over what it was promised.
func (w *world) checkSealed(s *sealedTeam) {
	w.t.Helper()
	ctx, kube := w.t.Context(), w.kube()
	if live := w.holdsPlainText(s, "database", s.value); live.UID != s.uid {
		w.t.Errorf("Secret %s/database was made anew", s.Namespace)
	}
	name := strings.TrimPrefix(s.Release, "flux-") + "-sops"
	keys, err := kube.CoreV1().Secrets("flux-system").Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(keys.Data) != 1 || string(keys.Data[s.copied]) != s.key.Private || keys.Labels["fluxover.dev/release"] != s.Release || keys.Labels["fluxover.dev/namespace"] != s.AgentNamespace {
		w.t.Errorf("Secret flux-system/%s holds %v and is marked %v", name, slices.Sorted(maps.Keys(keys.Data)), keys.Labels)
	}
	// Its own Kustomizations alone may use it, and of these the one that needs it.
	all, err := w.dynamic().Resource(kustomizations).List(ctx, metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	own := w.sealedKustomization(s).GetName()
	for i := range all.Items {
		named, _, _ := unstructured.NestedString(all.Items[i].Object, "spec", "decryption", "secretRef", "name")
		if (named == name) != (all.Items[i].GetName() == own) {
			w.t.Errorf("Kustomization %s decrypts with %q", all.Items[i].GetName(), named)
		}
	}

	// What is encrypted as a list bears no metadata once it is taken apart: it is
	// refused, and the whole application with it.
	list := fmt.Sprintf("apiVersion: v1\nkind: List\nitems:\n    - %s", strings.ReplaceAll(strings.TrimSpace(s.secretYAML("listed", s.value)), "\n", "\n      "))
	listed, service := s.beside("listed"), s.beside("service")
	w.commitFiles(s.Team, "Encrypt a list", map[string][]byte{listed: w.seal(s, list+"\n")})
	w.eventually(2*time.Minute, "a refusal of "+own, func(context.Context) bool {
		_, message := readiness(w.sealedKustomization(s))
		return strings.Contains(message, "would be applied as ciphertext")
	})
	if _, err := kube.CoreV1().Secrets(s.Namespace).Get(ctx, "listed", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		w.t.Errorf("the Secret of an encrypted list was applied: %v", err)
	}
	w.holdsPlainText(s, "database", s.value)

	// What the API server says of a value that is encrypted is not repeated.
	refused, err := sops.Encrypt(s.serviceYAML(s.value), "yaml", sops.Options{EncryptedRegex: "^type$", Keys: []sops.Key{s.key}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.commitFiles(s.Team, "Encrypt what is no type", map[string][]byte{
		listed: w.seal(s, s.secretYAML("listed", s.value)), service: []byte(refused),
	})
	w.eventually(2*time.Minute, "a refusal of the Service", func(context.Context) bool {
		_, message := readiness(w.sealedKustomization(s))
		return strings.Contains(message, "listed was refused: Invalid (spec.type)") && strings.Contains(message, "are not repeated")
	})

	// Each by itself, it comes, and so does a new value.
	s.value += "-anew"
	commit := w.commitFiles(s.Team, "Encrypt each by itself", map[string][]byte{
		listed:   w.seal(s, s.secretYAML("listed", s.value)),
		service:  []byte(s.serviceYAML("ClusterIP")),
		s.file(): w.seal(s, s.secretYAML("database", s.value)),
	})
	w.arrives(s.Team, commit)
	w.holdsPlainText(s, "listed", s.value)
	if live := w.holdsPlainText(s, "database", s.value); live.UID != s.uid {
		w.t.Errorf("Secret %s/database was made anew", s.Namespace)
	}
}

// readiness of an object, and what is said of it.
func readiness(u *unstructured.Unstructured) (status, message string) {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if c, _ := c.(map[string]any); c["type"] == "Ready" {
			status, _ = c["status"].(string)
			message, _ = c["message"].(string)
		}
	}
	return status, message
}

// checkSealedBack demands that a rollback took back what was made, and nothing
// else.
func (w *world) checkSealedBack(s *sealedTeam) {
	w.t.Helper()
	ctx, kube := w.t.Context(), w.kube()
	w.synced(s.Team)
	if live := w.holdsPlainText(s, "database", s.value); live.UID != s.uid {
		w.t.Errorf("Secret %s/database was made anew", s.Namespace)
	}
	name := strings.TrimPrefix(s.Release, "flux-") + "-sops"
	if _, err := kube.CoreV1().Secrets("flux-system").Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		w.t.Errorf("Secret flux-system/%s was left: %v", name, err)
	}
	before, err := kube.CoreV1().Secrets(s.AgentNamespace).Get(ctx, s.secret, metav1.GetOptions{})
	if err != nil || string(before.Data[s.field]) != s.key.Private {
		w.t.Errorf("the old agent's key is another: %v", err)
	}
}
