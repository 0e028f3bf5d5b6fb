package cutover

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestTheSnapshotHoldsTheReleaseHoweverHelmKeepsIt: in Secrets or ConfigMaps,
// of Helm 3 or 2, in the agent's namespace or elsewhere, with what was begun
// since the revision that is live.
func TestTheSnapshotHoldsTheReleaseHoweverHelmKeepsIt(t *testing.T) {
	l := laboratory(t)
	ctx, kube := t.Context(), l.c.Kube
	const agents, elsewhere = "payload-agents", "payload-elsewhere"
	for _, ns := range []string{agents, elsewhere} {
		if _, err := kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	owns := func(namespace, workload string) string {
		return base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
			`{"namespace":%q,"chart":{"metadata":{"name":"flux","version":"1.13.3"}},"manifest":"kind: Deployment\nmetadata: {name: %s}\n"}`, namespace, workload))
	}
	put := func(kind, ns, name string, labels map[string]string, data string) {
		t.Helper()
		m := metav1.ObjectMeta{Name: name, Labels: labels}
		var err error
		if kind == "Secret" {
			_, err = kube.CoreV1().Secrets(ns).Create(ctx, &corev1.Secret{ObjectMeta: m, Data: map[string][]byte{"release": []byte(data)}}, metav1.CreateOptions{})
		} else {
			_, err = kube.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: m, Data: map[string]string{"release": data}}, metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	revision := func(kind, ns, release string, version int, status, data string) {
		t.Helper()
		put(kind, ns, fmt.Sprintf("%s.v%d", release, version), map[string]string{"owner": "helm", "name": release, "version": fmt.Sprint(version), "status": status}, data)
	}
	revision("ConfigMap", agents, "in-maps", 9, "superseded", "x")
	revision("ConfigMap", agents, "in-maps", 10, "deployed", "x")
	revision("Secret", agents, "failed", 1, "superseded", "x")
	revision("Secret", agents, "failed", 2, "deployed", "x")
	revision("Secret", agents, "failed", 3, "failed", "x")
	revision("Secret", agents, "failed", 4, "pending-upgrade", "x")
	revision("Secret", elsewhere, "far", 1, "deployed", owns(agents, "far"))
	revision("ConfigMap", elsewhere, "far", 7, "deployed", owns(elsewhere, "far")) // somebody's of the same name
	revision("Secret", elsewhere, "in-maps", 11, "deployed", owns(elsewhere, "in-maps"))
	put("ConfigMap", "kube-system", "payload-tiller.v1", map[string]string{"OWNER": "TILLER", "NAME": "payload-tiller", "VERSION": "1", "STATUS": "DEPLOYED"},
		// chart {metadata {name flux, version 1}}, manifest, namespace
		base64.StdEncoding.EncodeToString([]byte("\x1a\x0b\x0a\x09\x0a\x04flux\x22\x011\x2a\x31kind: Deployment\nmetadata: {name: payload-tiller}\x42\x0epayload-agents")))

	for _, c := range []struct {
		release string
		want    []string
	}{
		{"in-maps", []string{"ConfigMap payload-agents/in-maps.v10"}},
		{"failed", []string{"Secret payload-agents/failed.v4", "Secret payload-agents/failed.v3", "Secret payload-agents/failed.v2"}},
		{"far", []string{"Secret payload-elsewhere/far.v1"}},
		{"payload-tiller", []string{"ConfigMap kube-system/payload-tiller.v1"}},
		{"not-there", nil},
		{"", nil},
	} {
		objects, err := releasePayload(ctx, l.c, agentFacts{Namespace: agents, Release: c.release, Workload: c.release})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range objects {
			got = append(got, o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName())
			if data, ok := o.Object["data"].(map[string]any); !ok || data["release"] == "" {
				t.Errorf("%s: nothing is kept of %s", c.release, got[len(got)-1])
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("release %q: %s", c.release, diff)
		}
	}
}
