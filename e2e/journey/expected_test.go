package journey

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
)

// TestCommitsExcuseNothingButWhatTheyChanged tries the auditor's judgement of a
// hand-over during which CI committed, on a made-up log.
func TestCommitsExcuseNothingButWhatTheyChanged(t *testing.T) {
	const seed = 8
	teams, err := fleet.Generate(fleet.Options{Seed: seed, Teams: 2, Apps: 6})
	if err != nil {
		t.Fatal(err)
	}
	before, after := map[string]map[string][]byte{}, map[string]map[string][]byte{}
	for _, team := range teams {
		before[team.Name], after[team.Name] = team.Files, maps.Clone(team.Files)
	}
	// The first commits of one team, until there was one of each kind.
	kinds := map[string]fleet.Changed{}
	var commits []auditor.Expectation
	for n := 1; len(kinds) < 2; n++ {
		files, err := fleet.Change(teams[0], n, seed)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(after[teams[0].Name], files)
		commits = expected(t, teams, before, after)
		changes, err := fleet.Changes(teams[0].Files, after[teams[0].Name], teams[0].Path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			kinds[c.Kind] = c
		}
	}
	deployment, configMap := kinds["Deployment"], kinds["ConfigMap"]
	objects, err := fleet.ObjectsIn(teams[1].Files, teams[1].Path)
	if err != nil {
		t.Fatal(err)
	}
	unnamed := objects[slices.IndexFunc(objects, func(o fleet.Object) bool { return o.Kind == "Deployment" })]

	set := func(value any, path ...string) func(*unstructured.Unstructured) error {
		return func(u *unstructured.Unstructured) error {
			return unstructured.SetNestedField(u.Object, value, path...)
		}
	}
	image := func(u *unstructured.Unstructured) error {
		containers, _, err := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
		if err == nil {
			containers[0].(map[string]any)["image"] = "registry.example.com/app:9.9.9"
			err = unstructured.SetNestedSlice(u.Object, containers, "spec", "template", "spec", "containers")
		}
		return err
	}
	timeout := set("99s", "data", "REQUEST_TIMEOUT")
	all := func(each ...func(*unstructured.Unstructured) error) func(*unstructured.Unstructured) error {
		return func(u *unstructured.Unstructured) error {
			for _, change := range each {
				if err := change(u); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, c := range []struct {
		desc   string
		object fleet.Object
		change func(*unstructured.Unstructured) error
		fails  []string
	}{
		{"the image that a commit raised", deployment.Object, image, nil},
		{"the value that a commit raised", configMap.Object, timeout, nil},
		{"replicas besides", deployment.Object, all(image, set(int64(0), "spec", "replicas")), []string{auditor.CheckChanged, auditor.CheckUnpredicted}},
		{"a restart", deployment.Object, set("now", "spec", "template", "metadata", "annotations", "restarted"), []string{auditor.CheckChanged, auditor.CheckUnpredicted}},
		{"an annotation besides", deployment.Object, all(image, set("x", "metadata", "annotations", "example.com/unforeseen")), []string{auditor.CheckUnpredicted}},
		{"a ConfigMap that is emptied", configMap.Object, set(map[string]any{}, "data"), []string{auditor.CheckChanged, auditor.CheckUnpredicted}},
		{"another value besides", configMap.Object, all(timeout, set("debug", "data", "LOG_LEVEL")), []string{auditor.CheckChanged, auditor.CheckUnpredicted}},
		{"the image of a Deployment that no commit named", unnamed, image, []string{auditor.CheckChanged, auditor.CheckUnpredicted}},
	} {
		t.Run(c.desc, func(t *testing.T) {
			plan, err := auditor.ParsePlan([]byte(`{"kind":"Plan","repositories":[{"id":"flux/x","objects":[{"id":"` + c.object.ID() + `","verb":"adopt"}]}]}`))
			if err != nil {
				t.Fatal(err)
			}
			a := auditor.New(auditor.Options{Expected: commits, Plan: plan, Flux1Users: map[string]string{"old": "flux/x"}, AgentUsers: []string{"new"}})
			live := liveObject(t, teams, c.object)
			a.Observe(written(t, "create", "old", 1, live))
			if err := c.change(live); err != nil {
				t.Fatal(err)
			}
			a.Observe(written(t, "patch", "new", 2, live))
			var failed []string
			for _, check := range a.Report().Checks {
				if !check.OK {
					failed = append(failed, check.Name)
				}
			}
			if !slices.Equal(failed, c.fails) {
				t.Errorf("the auditor fails %q, want %q", failed, c.fails)
			}
		})
	}
}

// liveObject is an object of the first commit, as Flux v1 applied it.
func liveObject(t *testing.T, teams []fleet.Team, object fleet.Object) *unstructured.Unstructured {
	t.Helper()
	for _, team := range teams {
		for name, content := range team.Files {
			if !strings.HasPrefix(name, team.Path+"/") {
				continue
			}
			for _, document := range strings.Split("\n"+string(content), "\n---\n") {
				u := &unstructured.Unstructured{}
				if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
					t.Fatal(err)
				}
				if u.GetKind() == object.Kind && u.GetNamespace() == object.Namespace && u.GetName() == object.Name {
					labels := u.GetLabels()
					labels[flux1Label] = "mark"
					u.SetLabels(labels)
					u.SetUID("uid")
					return u
				}
			}
		}
	}
	t.Fatalf("no team has %s", object)
	return nil
}

// written is a line of the audit log about an object.
func written(t *testing.T, verb, user string, version int, u *unstructured.Unstructured) *auditor.Event {
	t.Helper()
	u.SetResourceVersion(strings.Repeat("1", version))
	u.SetGeneration(int64(version))
	raw, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	return &auditor.Event{
		Level: "RequestResponse", Stage: "ResponseComplete", Verb: verb, User: auditor.User{Username: user}, UserAgent: user + "/v1",
		ObjectRef: &auditor.ObjectRef{
			Resource: strings.ToLower(u.GetKind()) + "s", Namespace: u.GetNamespace(), Name: u.GetName(), APIGroup: u.GroupVersionKind().Group,
		},
		ResponseStatus: &auditor.ResponseStatus{Code: 200}, ResponseObject: raw,
		StageTimestamp: time.Date(2026, 1, 2, 3, 4, version, 0, time.UTC),
	}
}
