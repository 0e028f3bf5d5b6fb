package auditor

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, s string) body {
	t.Helper()
	b := decodeBody([]byte(s))
	if b == nil {
		t.Fatalf("no JSON object: %s", s)
	}
	return b
}

func TestDifferencesNameTheFieldAndItsSection(t *testing.T) {
	tests := []struct {
		desc, before, after string
		want                []string // section: path: before → after
	}{
		{"status, generation and managers are no change",
			`{"metadata":{"generation":1,"resourceVersion":"1","managedFields":[1]},"spec":{"a":1},"status":{"b":1}}`,
			`{"metadata":{"generation":2,"resourceVersion":"2"},"spec":{"a":1},"status":{"b":2}}`, nil},
		{"first annotation of an object",
			`{"metadata":{}}`, `{"metadata":{"annotations":{"a.b/c":"1"}}}`,
			[]string{`annotations: metadata.annotations["a.b/c"]:  → "1"`}},
		{"large integers are compared exactly",
			`{"spec":{"n":9007199254740993}}`, `{"spec":{"n":9007199254740992}}`,
			[]string{"spec: spec.n: 9007199254740993 → 9007199254740992"}},
		{"pod template of a CronJob",
			`{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"a"}]}}}}}}`,
			`{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"b"}]}}}}}}`,
			[]string{`podTemplate: spec.jobTemplate.spec.template.spec.containers[c].image: "a" → "b"`}},
		{"a list that grew is one difference",
			`{"spec":{"a":{"b":{"l":[1]}}}}`, `{"spec":{"a":{"b":{"l":[1,2]}}}}`, []string{"spec: spec.a.b.l: [1] → [1,2]"}},
		{"other top-level fields count",
			`{"rules":[{"verbs":["get"]}]}`, `{"rules":[{"verbs":["*"]}]}`, []string{`rules: rules[0].verbs[0]: "get" → "*"`}},
		{"an empty map is not the same as none",
			`{"spec":{"template":{"volumes":{}}}}`, `{"spec":{"template":{}}}`, []string{"podTemplate: spec.template.volumes: {} → "}},
		{"binary data", `{"binaryData":{"a":"x"}}`, `{}`, []string{`data: binaryData.a: "x" → `}},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			var got []string
			for _, f := range differences(parse(t, tt.before).content(false), parse(t, tt.after).content(false)) {
				got = append(got, f.Section+": "+f.Path+": "+f.Before+" → "+f.After)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestContentOfASecretHoldsNoValue(t *testing.T) {
	secret := parse(t, `{"kind":"Secret","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{hunter2}","a":"b"}},"data":{"p":"hunter2"},"stringData":{"q":"hunter2"}}`)
	other := parse(t, `{"kind":"Secret","metadata":{"annotations":{"a":"b"}},"data":{"p":"changed"}}`)
	fields := differences(secret.content(true), other.content(true))
	if len(fields) != 3 {
		t.Fatalf("%d differences, want 3: %v", len(fields), fields)
	}
	for _, f := range fields {
		for _, v := range []string{f.Before, f.After} {
			if v != "" && v[:8] != `"sha256:` {
				t.Errorf("%s shows %s", f.Path, v)
			}
		}
	}
	if text(secret, "data", "p") != "hunter2" {
		t.Error("hiding changed the object itself")
	}
}

func TestPlansMaySpellAPathInAnyForm(t *testing.T) {
	before := parse(t, `{"metadata":{"annotations":{"example.com/a":"1"}},"spec":{"template":{"spec":{"containers":[{"name":"app","image":"a"}]}}}}`)
	after := parse(t, `{"metadata":{"annotations":{"example.com/a":"2"}},"spec":{"template":{"spec":{"containers":[{"name":"app","image":"b"}]}}}}`)
	fields := differences(before.content(false), after.content(false))
	for i, spellings := range [][]string{
		{"metadata.annotations.example.com/a", `metadata.annotations["example.com/a"]`, "/metadata/annotations/example.com~1a", "metadata.annotations"},
		{"spec.template.spec.containers[0].image", "/spec/template/spec/containers/0/image", "spec.template.spec.containers[app].image",
			`spec.template.spec.containers[name="app"].image`, "spec.template"},
	} {
		for _, s := range spellings {
			if !within(fields[i], canonicalAll([]string{s})) {
				t.Errorf("%s is not within %s", fields[i].Path, s)
			}
		}
		if within(fields[i], canonicalAll([]string{"spec.temp", "metadata.labels"})) {
			t.Errorf("%s is within a neighbour", fields[i].Path)
		}
	}
}
