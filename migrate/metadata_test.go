package migrate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestOfMetadataOnlyWhatIsNoTextIsReadOtherwise(t *testing.T) {
	values := map[string]any{"text": "a", "true": true, "whole": int64(3), "part": 1.5, "null": nil, "map": map[string]any{"a": "b"}}
	want := map[string]string{"text": "a", "true": "true", "whole": "3", "part": "1.5", "null": ""}
	u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"annotations": values, "labels": values}}}
	for name, got := range map[string]map[string]string{"annotations": Annotations(u), "labels": Labels(u)} {
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	for _, none := range []map[string]any{{}, {"metadata": "a"}, {"metadata": map[string]any{"annotations": "a"}}} {
		if got := Annotations(&unstructured.Unstructured{Object: none}); len(got) > 0 {
			t.Errorf("%v: %v", none, got)
		}
	}
}
