package reconcile

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxover/fluxover/e2e/sops"
)

func TestEncryptedFilesAreDecryptedWithTheKeysOfASecret(t *testing.T) {
	namespace := nextTeam(t)
	const value = "hunter-two-is-told-nowhere"
	pgp, err := sops.NewPGP()
	if err != nil {
		t.Fatal(err)
	}
	age, err := sops.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	encrypted := func(k sops.Key) string {
		text, err := sops.Encrypt("apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n  namespace: "+namespace+"\nstringData:\n  password: "+value+"\n", "yaml", sops.For(k))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	e := newTeam(t, map[string]string{"app/db.yaml": encrypted(pgp)})
	until(e, e.repository("app"), "ready", ready)
	k := e.kustomization("app", "./app", func(k *kustomizev1.Kustomization) {
		k.Spec.Decryption = &kustomizev1.Decryption{Provider: "sops", SecretRef: &fluxmeta.LocalObjectReference{Name: "keys"}}
	})
	e.create(k)
	fails := func(words ...string) {
		t.Helper()
		until(e, k, "failed: "+strings.Join(words, " "), func(k *kustomizev1.Kustomization) bool {
			message := conditions.GetMessage(k, fluxmeta.ReadyCondition)
			for _, w := range words {
				if !strings.Contains(message, w) {
					return false
				}
			}
			return conditions.GetReason(k, fluxmeta.ReadyCondition) == fluxmeta.BuildFailedReason
		})
	}
	fails("cannot get sops decryption Secret '"+namespace+"/keys'", "not found")

	// Another key: told by the names of keys, which are public.
	keys := &corev1.Secret{ObjectMeta: e.meta("keys"), StringData: map[string]string{"a.agekey": age.Private}}
	e.create(keys)
	fails("decryption failed for 'Secret", "PGP "+pgp.Public)

	// The right one, under a name that says what it is.
	e.patch(keys, func() { keys.StringData = map[string]string{"fluxd.asc": pgp.Private} })
	head := e.push("more", map[string]string{"README.md": "x"})
	e.request(e.repository("app"), "more")
	e.untilReady(k, head)
	db := &corev1.Secret{ObjectMeta: e.meta("db")}
	e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(db), db))
	if string(db.Data["password"]) != value {
		t.Errorf("the Secret holds %q", db.Data)
	}

	// A key that is replaced in Git and in the Secret.
	e.patch(keys, func() { keys.Data = map[string][]byte{"b.agekey": []byte(age.Private)} })
	next := e.push("another key", map[string]string{"app/db.yaml": encrypted(age)})
	e.request(e.repository("app"), "next")
	e.untilReady(k, next)

	// No part of a value comes out in status or events.
	events := &corev1.EventList{}
	e.must(e.client.List(e.ctx, events, client.InNamespace(namespace)))
	if text := e.yaml(events) + e.yaml(k); strings.Contains(text, value) || strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "AGE-SECRET") {
		t.Errorf("a value is told: %s", text)
	}
}
