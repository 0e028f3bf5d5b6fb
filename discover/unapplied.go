package discover

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// reportNoNamespace names the objects whose namespace is not there, and is made by no
// repository: fluxd cannot apply them, nor can the new agent.
//
// Nothing is told where not all namespaces and repositories are known.
func (w *witness) reportNoNamespace(agents []*agent, there []string) {
	if len(there) == 0 || len(w.opts.Namespaces)+len(w.opts.Repositories)+len(w.unlisted) > 0 {
		return
	}
	if slices.ContainsFunc(agents, func(a *agent) bool { return !a.counted || len(a.troubles) > 0 }) {
		return
	}
	made := map[string]bool{}
	for _, name := range there {
		made[name] = true
	}
	for _, a := range agents {
		for _, objects := range [][]migrate.Object{a.Objects, a.HeadObjects} {
			for _, o := range objects {
				if m, err := object.ParseObjMetadata(o.ID); err == nil && applies(o) && m.GroupKind == (schema.GroupKind{Kind: "Namespace"}) {
					made[m.Name] = true
				}
			}
		}
	}
	for _, a := range agents {
		var homeless []string
		for _, o := range a.Objects {
			if m, err := object.ParseObjMetadata(o.ID); err == nil && applies(o) && m.Namespace != "" && !made[m.Namespace] {
				homeless = append(homeless, o.ID)
			}
		}
		if len(homeless) > 0 {
			slices.Sort(homeless)
			w.find(NoNamespace.Finding(a.ID, "commit "+short(cmp.Or(a.Synced.Commit, a.Synced.Head)), fmt.Sprintf("the namespace of %s is not there, and no repository makes it: %s", counted(len(homeless), "object"), examples(homeless))))
		}
	}
}

// reportUnapplied names the objects of the commit that an agent synced last which are not
// live as they are in it. fluxd moves its mark on when it has tried to apply every object,
// also where it failed for some (flux: pkg/daemon/sync.go).
func (w *witness) reportUnapplied(ctx context.Context, agents []*agent, l *live) error {
	for _, a := range agents {
		if a.Running != nil && !*a.Running || a.Replicas == 0 {
			continue // what is live may be of somebody else by now, as after the hand-over
		}
		if a.unmarked == nil || !a.counted || len(a.troubles) > 0 || slices.Contains(a.Unknown, "synced") || !a.marksAll() {
			continue // what the agent applies is not known, or not told by marks
		}
		if err := w.reportUnappliedOf(ctx, a, l); err != nil {
			return fmt.Errorf("agent %s: %w", a.ID, err)
		}
	}
	return nil
}

// marksAll reports whether the agent marks all that it applies: of an unknown release, whether
// it marks at all.
func (a *agent) marksAll() bool {
	marks, known := flux1.Marks(a.Image)
	return marks && known || len(a.Marked) > 0
}

func (w *witness) reportUnappliedOf(ctx context.Context, a *agent, l *live) error {
	// By fluxd's names: an object may be listed in another group than Git has it in.
	own := make(map[string]*liveObject, len(a.Marked))
	for _, id := range a.Marked {
		own[l.marked[id].resourceID()] = l.marked[id]
	}
	suspects := map[string]migrate.Object{}
	var ids []object.ObjMetadata
	for _, o := range a.Objects {
		m, err := object.ParseObjMetadata(o.ID)
		if err != nil || !applies(o) || goesByItself(o.Manifest) {
			continue
		}
		if of := own[flux1.ResourceID(m.Namespace, m.GroupKind.Kind, m.Name)]; of != nil {
			if of.checksum == "" || o.Checksum == "" || of.checksum == o.Checksum {
				continue
			}
			if m, err = object.ParseObjMetadata(of.id()); err != nil {
				return err
			}
		} else if found, asked := a.unmarked[o.ID]; !asked || found != nil && found.markedByAny() {
			continue // it may not be read, or another finding tells whose it is
		}
		suspects[m.String()] = o
		ids = append(ids, m)
	}
	if len(ids) == 0 {
		return nil
	}
	head := map[string]migrate.Object{}
	for _, o := range a.HeadObjects {
		head[o.ID] = o
	}
	// fluxd may have been at work since they were listed, and be at work on the head.
	var missing, bare, other []string
	err := w.look(ctx, l, ids, "which objects the agent failed to apply", func(id string, r *listable, m *metav1.PartialObjectMetadata) {
		want := suspects[id]
		next, inHead := head[want.ID]
		if a.HeadProblem == "" && !inHead {
			return // fluxd may have deleted it by now
		}
		switch {
		case m == nil:
			missing = append(missing, id)
		case !newLiveObject(m, r).markedByAny():
			bare = append(bare, id)
		case checksumOn(m.Annotations) != "" && want.Checksum != "" && !isAsIn(m, want) && !(inHead && isAsIn(m, next)):
			other = append(other, id)
		}
	})
	if err != nil {
		return err
	}
	var parts []string
	for _, state := range []struct {
		ids      []string
		one, all string
	}{
		{missing, "is not live", "are not live"},
		{bare, "is live without its mark", "are live without its mark"},
		{other, "was last applied from another manifest", "were last applied from another manifest"},
	} {
		if n := len(state.ids); n > 0 {
			slices.Sort(state.ids)
			says := state.all
			if n == 1 {
				says = state.one
			}
			parts = append(parts, fmt.Sprintf("%s %s: %s", counted(n, "object"), says, examples(state.ids)))
		}
	}
	if len(parts) > 0 {
		w.find(Unapplied.Finding(a.ID, "commit "+short(a.Synced.Commit), fmt.Sprintf("of the commit that %s synced last, %s", a.ID, strings.Join(parts, "; "))))
	}
	return nil
}

func (o *liveObject) markedByAny() bool { return o.marks != [2]string{} }

// isAsIn reports whether fluxd applied a live object last as Git has it. Early releases sum up
// a document as it stands, or written in another way, so that kubectl's note counts as well.
func isAsIn(live *metav1.PartialObjectMetadata, o migrate.Object) bool {
	return checksumOn(live.Annotations) == o.Checksum || flux1.Applied(live.Annotations[flux1.LastApplied], o.Manifest)
}

// goesByItself reports whether the cluster deletes an object some time after it has done its
// work, until fluxd applies it anew.
func goesByItself(manifest *unstructured.Unstructured) bool {
	if manifest == nil || manifest.GetKind() != "Job" {
		return false
	}
	_, found, err := unstructured.NestedFieldNoCopy(manifest.Object, "spec", "ttlSecondsAfterFinished")
	return found && err == nil
}
