package differential

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
)

// again has the new agent reconcile each Kustomization that is Ready once more,
// and gives what became of all: of an object that told nobody's fields it takes
// away what Git does not say at its second apply only.
func (w *world) again(states map[string]string) map[string]string {
	w.t.Helper()
	token := time.Now().UTC().Format(time.RFC3339Nano)
	ask, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{"reconcile.fluxcd.io/requestedAt": token}}})
	if err != nil {
		w.t.Fatal(err)
	}
	for name, why := range states {
		if why != "" {
			continue
		}
		if _, err := w.client.Resource(kustomizations).Namespace(agentNamespace).Patch(w.t.Context(), name, types.MergePatchType, ask, metav1.PatchOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	after := map[string]string{}
	w.eventually(3*time.Minute, "an end of every Kustomization, a second time", func(ctx context.Context) (bool, error) {
		list, err := w.client.Resource(kustomizations).Namespace(agentNamespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		byName := map[string]*unstructured.Unstructured{}
		for i := range list.Items {
			byName[list.Items[i].GetName()] = &list.Items[i]
		}
		for name, why := range states {
			if why != "" {
				after[name] = why
				continue
			}
			handled, _, _ := unstructured.NestedString(byName[name].Object, "status", "lastHandledReconcileAt")
			now, done := ended(byName, name)
			if handled != token || !done {
				return false, fmt.Errorf("%s is at %q", name, now)
			}
			after[name] = now
		}
		return true, nil
	})
	return after
}

// eitherTime is what changed by the first time or by both, by object: what the
// first time changes the second may take back.
func eitherTime(first, both []auditor.Difference) map[string]auditor.Difference {
	moved := map[string]auditor.Difference{}
	for _, d := range slices.Concat(first, both) {
		before := moved[d.ID]
		d.Fields = slices.Concat(before.Fields, d.Fields)
		if before.Kind == "removed" {
			d.Kind = before.Kind
		}
		moved[d.ID] = d
	}
	return moved
}

// addition is a label or annotation that a plan puts on an object on purpose.
type addition struct{ Object, Type, Key, Value string }

// additions demands what the plan says that it puts on objects, on each that the
// new agent applied, unless the plan says that it does not come to that.
func (c *comparison) additions(one *played, r *repository) {
	applied := map[string]bool{}
	for _, o := range r.Objects {
		why, has := c.states[o.Application]
		switch o.Verb {
		case "adopt", "change", "restart", "create":
			applied[o.ID] = has && why == "" && !slices.ContainsFunc(c.of(one), func(f finding) bool {
				return f.Code == "ADDITION_NOT_CARRIED" && strings.HasSuffix(f.Subject, " "+o.ID)
			})
		}
	}
	for _, a := range r.Adds {
		if !applied[a.Object] {
			continue
		}
		metadata, _ := c.after[a.Object]["metadata"].(map[string]any)
		held, _ := metadata[a.Type+"s"].(map[string]any)
		if held[a.Key] != a.Value {
			c.fail(one, "%s was to get %s %s: %s, and has %v", a.Object, a.Type, a.Key, a.Value, held[a.Key])
		}
	}
}

func TestAnAdditionThatIsMissingIsSeen(t *testing.T) {
	const id, key = "c000-a_data__PersistentVolumeClaim", "kustomize.toolkit.fluxcd.io/prune"
	object := func(annotations map[string]any) map[string]any {
		return map[string]any{"metadata": map[string]any{"name": "data", "annotations": annotations}}
	}
	for name, c := range map[string]struct {
		verb, state string
		after       map[string]any
		findings    []finding
		wrong       string
	}{
		"put there":                       {"adopt", "", object(map[string]any{key: "disabled"}), nil, ""},
		"not put there":                   {"adopt", "", object(map[string]any{"other": "disabled"}), nil, "was to get annotation " + key},
		"another value":                   {"change", "", object(map[string]any{key: "enabled"}), nil, "and has enabled"},
		"the object is gone":              {"create", "", nil, nil, "was to get"},
		"skipped, so that nothing is put": {"skip", "", object(nil), nil, ""},
		"it is told not to come to that":  {"adopt", "", object(nil), []finding{{Code: "ADDITION_NOT_CARRIED", Repository: "flux/flux-c000", Subject: "flux/flux-c000 " + id}}, ""},
		"that is told of another":         {"adopt", "", object(nil), []finding{{Code: "ADDITION_NOT_CARRIED", Repository: "flux/flux-c000", Subject: "flux/flux-c000 other"}}, "was to get"},
		"its Kustomization fails":         {"adopt", "ReconciliationFailed", object(nil), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			one := &played{prefix: "c000", team: fleet.Team{Release: "flux-c000"}}
			all := comparison{plan: &plan{Findings: c.findings}, after: auditor.Dump{}, states: map[string]string{"k": c.state}, wrong: map[*played][]string{}}
			if c.after != nil {
				all.after[id] = c.after
			}
			all.additions(one, &repository{ID: one.id(), Objects: []planned{{ID: id, Application: "k", Verb: c.verb}},
				Adds: []addition{{Object: id, Type: "annotation", Key: key, Value: "disabled"}}})
			got := strings.Join(all.wrong[one], "; ")
			if (got == "") != (c.wrong == "") || !strings.Contains(got, c.wrong) {
				t.Errorf("it says %q, want %q", got, c.wrong)
			}
		})
	}
}

func TestWhatTheSecondTimeTakesBackHasHappened(t *testing.T) {
	difference := func(id, kind string, paths ...string) auditor.Difference {
		d := auditor.Difference{ID: id, Kind: kind}
		for _, p := range paths {
			d.Fields = append(d.Fields, auditor.Field{Path: p})
		}
		return d
	}
	got := eitherTime([]auditor.Difference{difference("a", "changed", "x"), difference("gone", "removed"), difference("back", "changed", "z")},
		[]auditor.Difference{difference("a", "changed", "y"), difference("gone", "added"), difference("late", "removed")})
	for id, want := range map[string]string{"a": "changed x y", "gone": "removed", "back": "changed z", "late": "removed"} {
		said := got[id].Kind
		for _, f := range got[id].Fields {
			said += " " + f.Path
		}
		if said != want {
			t.Errorf("%s: %q, want %q", id, said, want)
		}
	}
}
