package discover_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/reconcile/cluster"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// convs is a kind of two versions, of which nobody who is there converts the one that is
// preferred from the one that is stored.
const convs = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: convs.conv.example.com}
spec:
  group: conv.example.com
  names: {kind: Conv, plural: convs, singular: conv, listKind: ConvList}
  scope: Namespaced
  conversion:
    strategy: Webhook
    webhook: {conversionReviewVersions: [v1], clientConfig: {service: {namespace: default, name: uninstalled, path: /convert}}}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
  - {name: v2, served: true, storage: false, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

// An operator that was uninstalled leaves its CRD, and with it a kind that nobody can list.
func TestAKindWhoseWebhookIsGoneHoldsUpNothingElse(t *testing.T) {
	cp, c := plane(t)
	apply := func(text string) {
		t.Helper()
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		err := cluster.Wait(t.Context(), 100*time.Millisecond, time.Minute, func(ctx context.Context) (bool, string, error) {
			c.Refresh()
			_, err := c.Apply(ctx, u, "test")
			return err == nil, "apply " + cluster.Describe(u), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	webhook := convs[strings.Index(convs, "  conversion:"):strings.Index(convs, "  versions:")]
	apply(strings.Replace(convs, webhook, "", 1))
	apply("{apiVersion: conv.example.com/v1, kind: Conv, metadata: {namespace: default, name: one}}")
	apply(convs)
	started := time.Now()
	inv := discovered(t, cp.Config(), discover.Options{SkipGit: true})
	if took := time.Since(started); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	f := find(inv, "", discover.APIKindDown.Name)
	if f == nil || f.Subject != "convs.conv.example.com" || !strings.Contains(f.Message, "conver") && !strings.Contains(f.Message, "cache") && !strings.Contains(f.Message, "initializ") {
		t.Errorf("%+v", f)
	}
	t.Log(f)
}
