package flux1

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fluxover/fluxover/migrate"
)

// findingsAbout loads one file and gives the findings of a code, as "subject:
// message".
func findingsAbout(t *testing.T, text string, code Code) (out []string) {
	t.Helper()
	_, _, findings, err := Load(fstest.MapFS{"a.yaml": {Data: []byte(text)}}, LoadConfig{
		Repository: "team/flux", DefaultNamespace: "team", Kinds: append([]migrate.ServedKind{
			{Version: "v1", Kind: "ConfigMap", Namespaced: true}, {Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}}, kinds...),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Code == code.Name {
			out = append(out, f.Subject+": "+f.Message)
		}
	}
	return out
}

func TestWhatAClusterWroteIntoManifestsIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		metadata, rest string
		want           string // fields, empty for none
	}{
		"nothing":                      {"labels: {a: b}", "data: {status: x}", ""},
		"an empty time and status":     {"creationTimestamp: null", "status: {loadBalancer: {}, conditions: [], phase: ''}", ""},
		"a time":                       {"creationTimestamp: \"2021-04-27T08:00:00Z\"", "", "metadata.creationTimestamp"},
		"what must not be applied":     {"uid: abc, resourceVersion: \"12\", managedFields: [{manager: kubectl}]", "", "metadata.managedFields, metadata.resourceVersion, metadata.uid"},
		"a generation and a self link": {"generation: 3, selfLink: /api/v1/x", "", "metadata.generation, metadata.selfLink"},
		"fluxd's checksum":             {"annotations: {fluxcd.io/sync-checksum: abc}", "", "the annotation fluxcd.io/sync-checksum"},
		"that of an older fluxd":       {"annotations: {flux.weave.works/sync-checksum: abc}", "", "the annotation flux.weave.works/sync-checksum"},
		"kubectl's note":               {"annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}'}", "", "the annotation kubectl.kubernetes.io/last-applied-configuration"},
		"a status":                     {"labels: {a: b}", "status: {readyReplicas: 0}", "status"},
	} {
		got := findingsAbout(t, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, %s}\n%s\n", c.metadata, c.rest), Exported)
		if want := "holds " + c.want + " in Git"; c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := findingsAbout(t, "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}\nspec: {}\nstatus: {acceptedNames: {kind: X, plural: xs}}\n", Exported); len(got) > 0 {
		t.Errorf("definitions are generated with a status: %q", got)
	}
}

func TestWhatKubectlCannotNoteIsNamed(t *testing.T) {
	const rest = 400 // about what is in the note beside the data
	for name, c := range map[string]struct {
		data, annotation int
		want             string // empty for none
	}{
		"small":                        {1000, 0, ""},
		"large":                        {maxAnnotations/8*7 - 2*rest, 0, ""},
		"nearly too large":             {maxAnnotations / 8 * 7, 0, "beyond which"},
		"just not too large":           {maxAnnotations - 2*rest, 0, "beyond which"},
		"too large":                    {maxAnnotations, 0, "cannot apply it"},
		"an annotation counts twice":   {maxAnnotations / 2, maxAnnotations / 4, "cannot apply it"},
		"an annotation of middle size": {maxAnnotations / 4, maxAnnotations / 4, ""},
	} {
		text := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: {a: '%s'}}\ndata: {k: '%s'}\n", strings.Repeat("a", c.annotation), strings.Repeat("x", c.data))
		got := findingsAbout(t, text, LargeObject)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if len(got) > 0 && strings.Contains(got[0], "xxx") {
			t.Errorf("%s: the content is told", name)
		}
	}
}

// The first API of the helm-operator is not its last: what it was for has no effect
// where a later one runs.
func TestReleasesOfTheAlphaApiAreToldFromLaterOnes(t *testing.T) {
	const alpha = "apiVersion: helm.integrations.flux.weave.works/v1alpha2\nkind: FluxHelmRelease\nmetadata: {name: redis}\nspec: {releaseName: redis}\n"
	_, objects, findings, err := Load(fstest.MapFS{"a.yaml": {Data: []byte(alpha)}}, LoadConfig{Repository: "team/flux", DefaultNamespace: "team", Kinds: kinds, KindsAssumed: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 || objects[0].ID != "team_redis_helm.integrations.flux.weave.works_FluxHelmRelease" {
		t.Errorf("objects: %v", objects)
	}
	told := map[string]string{}
	for _, f := range findings {
		told[f.Code] = f.Message
	}
	if _, ok := told[HelmRelease1.Name]; ok || !strings.Contains(told[FluxHelmRelease.Name], "team:fluxhelmrelease/redis") {
		t.Errorf("findings: %q", told)
	}
	if got := findingsAbout(t, alpha, FluxHelmRelease); len(got) > 0 { // which the cluster does not serve
		t.Errorf("findings: %q", got)
	}
}
