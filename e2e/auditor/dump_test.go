package auditor

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func dumpOf(t *testing.T, objects ...string) Dump {
	t.Helper()
	d := Dump{}
	for _, s := range objects {
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON([]byte(s)); err != nil {
			t.Fatal(err)
		}
		content, err := dumpObject(o, o.GetKind() == "Secret")
		if err != nil {
			t.Fatal(err)
		}
		d[inventoryID(o.GetNamespace(), o.GetName(), o.GroupVersionKind().Group, o.GetKind())] = content
	}
	return d
}

const settingsBefore = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"s","namespace":"n","uid":"u","resourceVersion":"1","generation":1,
	"creationTimestamp":"2026-11-22T10:00:00Z","labels":{"a":"1"},"managedFields":[
	{"manager":"m","operation":"Update","time":"2026-11-22T10:00:00Z","fieldsV1":{"f:data":{".":{},"f:x":{}}}},
	{"manager":"c","operation":"Update","subresource":"status","fieldsV1":{"f:status":{"f:a":{}}}}]},"data":{"x":"1"},"status":{"a":1}}`

func TestDiffExceptsOnlyWhatTheDesignExcepts(t *testing.T) {
	tests := []struct {
		desc, from, to string
		want           []string
	}{
		{"resourceVersion", `"resourceVersion":"1"`, `"resourceVersion":"9"`, nil},
		{"generation", `"generation":1`, `"generation":3`, nil},
		{"time of creation", `"creationTimestamp":"2026-11-22T10:00:00Z"`, `"creationTimestamp":"2026-11-22T11:00:00Z"`, nil},
		{"time of a manager", `"time":"2026-11-22T10:00:00Z"`, `"time":"2026-11-22T11:00:00Z"`, nil},
		{"status", `"status":{"a":1}`, `"status":{"a":2}`, nil},
		{"managers of status", `{"f:a":{}}`, `{"f:b":{}}`, nil},
		{"UID", `"uid":"u"`, `"uid":"v"`, []string{"metadata.uid"}},
		{"label", `"labels":{"a":"1"}`, `"labels":{"a":"2"}`, []string{"metadata.labels.a"}},
		{"data", `"data":{"x":"1"}`, `"data":{"x":"2"}`, []string{"data.x"}},
		{"manager", `"manager":"m"`, `"manager":"k"`, []string{`metadata.managedFields["k Update"]`, `metadata.managedFields["m Update"]`}},
		{"operation", `"manager":"m","operation":"Update"`, `"manager":"m","operation":"Apply"`,
			[]string{"metadata.managedFields.m Apply", "metadata.managedFields.m Update"}},
		{"field set", `"f:x":{}`, `"f:x":{},"f:y":{}`, []string{"metadata.managedFields.m Update.f:data f:y"}},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			after := strings.Replace(settingsBefore, tt.from, tt.to, 1)
			if after == settingsBefore {
				t.Fatal("the case changes nothing")
			}
			var got []string
			for _, d := range Diff(dumpOf(t, settingsBefore), dumpOf(t, after)) {
				for _, f := range d.Fields {
					got = append(got, strings.NewReplacer(`["`, ".", `"]`, "").Replace(f.Path))
				}
			}
			for i, w := range tt.want {
				tt.want[i] = strings.NewReplacer(`["`, ".", `"]`, "").Replace(w)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDiffTellsAddedAndRemovedAndHidesSecrets(t *testing.T) {
	secret := `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"t","namespace":"n"},"data":{"p":"aHVudGVyMg=="}}`
	before := dumpOf(t, settingsBefore, secret)
	after := dumpOf(t, strings.Replace(secret, "aHVudGVyMg==", "b3RoZXI=", 1),
		`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"system:x"}}`)
	var b bytes.Buffer
	if err := WriteDifferences(&b, Diff(before, after)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 || lines[0] != "added _system__x_rbac.authorization.k8s.io_ClusterRole" ||
		lines[1] != "removed n_s__ConfigMap" || lines[2] != "changed n_t__Secret" ||
		!strings.HasPrefix(lines[3], `    data.p: "sha256:`) {
		t.Errorf("got\n%s", b.String())
	}
	raw, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("aHVudGVyMg")) {
		t.Error("a dump holds the value of a Secret")
	}
	again, err := ParseDump(raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := Diff(before, again); len(d) > 0 {
		t.Errorf("a dump read back differs: %v", d)
	}
}
