package proof

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	ssaerrors "github.com/fluxcd/pkg/ssa/errors"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// refused reports that the API server refuses an object. Each of its
// Kustomization's objects is tried, so that all refusals are known at once; the
// agent itself stops at the first.
func (p *prover) refused(o *migrate.ObjectPlan, old *migrate.Object, e *Evidence, err error) {
	name := migrate.DisplayID(o.ID)
	o.Verb, o.Why = migrate.Conflict, "the dry-run was refused"
	if e.Live != nil && policy(keyForce, "Enabled", e.New, e.Live) && ssaerrors.IsImmutableError(err) {
		o.Why = "it would be deleted and made anew"
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OBJECT_RECREATED", Subject: o.ID, Where: where(old),
			Message: fmt.Sprintf("the new agent would delete %s and make it anew, since it says %s: Enabled and the API server refuses the change: %s", name, keyForce, refusal(e, err)),
			Hint:    "take that annotation from Git and from the live object, and make Git say what is live",
		})
		return
	}
	if meta.IsNoMatchError(err) && p.held(o.ID, "UNKNOWN_KIND", "") {
		o.Why = "the cluster does not serve its kind" // a finding says so, and what can be done
		return
	}
	tried := p.account()
	p.find(migrate.Finding{
		Severity: migrate.Blocker, Code: "DRY_RUN_REFUSED", Subject: o.ID, Where: where(old),
		Message: fmt.Sprintf("the API server refuses %s, tried as %s/%s: %s", name, tried.Namespace, tried.Name, refusal(e, err)),
		Hint:    remedy(e.New, err),
	})
}

// refusal writes an API server's refusal without the values it may quote.
func refusal(e *Evidence, err error) string {
	if !e.Encrypted && e.New.GetKind() != "Secret" {
		return err.Error()
	}
	if status := apierrors.APIStatus(nil); e.Encrypted && !errors.As(err, &status) {
		return "its words are not shown, since they may quote a value that is encrypted in Git"
	}
	return cluster.Wordless(err).Error()
}

// immutable are the words of API servers for a field that cannot be changed.
var immutable = regexp.MustCompile(`immutable|may not (be )?change|cannot change|updates to .* (are |is )?[fF]orbidden|[fF]orbidden: updates to`)

// lacksRight are the words of API servers where a right is missing: to the object itself, to
// what it refers to, or to what it would hand on (Kubernetes: apiserver,
// pkg/endpoints/handlers/responsewriters/errors.go; plugin/pkg/admission/gc and
// certificates; pkg/registry/rbac/escalation_check.go).
var lacksRight = regexp.MustCompile(`cannot \S+ (resource|path)|resource you can't|not permitted to|permissions not currently held`)

// remedy says what can be done about a refusal (reference H27 to H29, H32, H33).
func remedy(u *unstructured.Unstructured, err error) string {
	text := err.Error()
	switch {
	case immutable.MatchString(text):
		return "the field cannot be changed once it is set, so fluxd has failed on it at every sync: make Git say what is live, or recreate the object yourself in a planned step; never with force, which deletes first"
	case strings.Contains(text, "does not support dry run"), strings.Contains(text, "sideEffects"):
		return "an admission webhook refuses dry-runs, which Flux v2 makes of every object: set its sideEffects to None or NoneOnDryRun"
	case strings.Contains(text, "field not declared in schema"), strings.Contains(text, "unknown field"):
		return "the kind has no such field, which kubectl let pass and server-side apply does not: remove it from Git"
	case meta.IsNoMatchError(err):
		return "the cluster serves no such kind in this version: write the version that it serves, or install the CRD first"
	case apierrors.IsNotFound(err) && u.GetNamespace() != "":
		return fmt.Sprintf("see whether namespace %s exists: nothing in this repository makes it", u.GetNamespace())
	case strings.Contains(text, "exceeded quota"):
		return "the namespace's ResourceQuota is used up"
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), strings.Contains(text, "because it is being terminated"):
		return fmt.Sprintf("namespace %s is being deleted, and takes nothing new: let it go, and make it anew if it is wanted, or take the object out of the repository", u.GetNamespace())
	case apierrors.IsForbidden(err) && !lacksRight.MatchString(text):
		return "what checks objects for the API server (a policy, a LimitRange, an admission webhook) refuses it whoever asks, so fluxd fails on this object alone, and the new agent would on its whole Kustomization: mend it in Git, or change what refuses it"
	case apierrors.IsForbidden(err):
		return "the account lacks the right, so fluxd fails on this object alone, and the new agent would on its whole Kustomization: grant it on purpose, or take the object out of the repository"
	}
	return "one refused object would hold back its whole Kustomization; mend it in Git"
}

// whyChanges says where fields that change come from, by the live object's
// managedFields. Those that are gone Git does not hold, nor those that are unsaid,
// which get a value all the same; of the others it has another value.
func whyChanges(live *unstructured.Unstructured, fields, gone, unsaid []string) string {
	byHand, others, scaled := map[string]bool{}, map[string]bool{}, ""
	for _, e := range live.GetManagedFields() {
		set, err := fieldSet(e)
		if err != nil || !ownsAny(set, fields) {
			continue
		}
		who := e.Manager
		if e.Subresource != "" {
			who += " (" + e.Subresource + ")"
		}
		switch {
		case e.Manager == "kubectl-client-side-apply" || ownApply(e): // fluxd's own kubectl, or an earlier adoption
		case takenOver(e):
			byHand[who] = true
		default:
			others[who] = true
			if e.Subresource == "scale" {
				scaled = ", as an autoscaler does (or \"kubectl scale\")"
			}
		}
	}
	list := func(names map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(names)), ", ") }
	switch {
	case slices.ContainsFunc(fields, func(f string) bool { return strings.Contains(f, "kubectl.kubernetes.io/restartedAt") }):
		return `"kubectl rollout restart" left its mark there, which goes with all that kubectl owns and Git does not say`
	case len(byHand) > 0:
		who := "set by hand, by " + list(byHand)
		switch {
		case len(unsaid) == len(fields):
			return who + ", and not in Git, so that the API server or an admission webhook fills it in anew"
		case len(gone)+len(unsaid) == 0:
			return who + ", to something else than Git says"
		case len(gone) == len(fields):
			return who + ": Flux v2 takes over what kubectl owns, and removes what Git does not say"
		}
		return who + ": Flux v2 takes over what kubectl owns, removes what Git does not say, and sets what it does"
	case len(others) > 0:
		return "the live object has drifted from Git; written by " + list(others) + scaled
	case len(live.GetManagedFields()) == 0 && len(gone) > 0:
		return "the live object does not tell who wrote its fields (no managedFields, as of Kubernetes before 1.18), so Flux v2 takes over all of them (before-first-apply), and removes what Git does not say: at its second apply, not at the first"
	}
	return "fields set by hand go, or the live object has drifted from Git"
}

// ownsAny reports whether a set of fields holds one of those at the paths, or
// one below or around them.
func ownsAny(set *fieldpath.Set, fields []string) bool {
	found := false
	set.Leaves().Iterate(func(p fieldpath.Path) {
		owned := plainPath(p.String())
		for _, f := range fields {
			f = plainPath(f)
			found = found || owned == f || strings.HasPrefix(owned, f+".") || strings.HasPrefix(f, owned+".")
		}
	})
	return found
}

// plainPath gives the paths of this package and those of managedFields one
// spelling, in which the items of a list are not told apart.
func plainPath(path string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(path, "[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if quoted, isKey := strings.CutPrefix(rest, `"`); isKey {
			key, after, _ := strings.Cut(quoted, `"]`)
			b.WriteString("." + key)
			path = after
			continue
		}
		_, path, _ = strings.Cut(rest, "]")
	}
}

// imageChanges lists the containers whose image differs, "name: live, then".
func imageChanges(live, after map[string]any) []string {
	was, is := images(live), images(after)
	var out []string
	for _, c := range slices.SortedFunc(maps.Keys(was), func(a, b container) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.list, b.list))
	}) {
		if now, still := is[c]; still && now != was[c] {
			out = append(out, fmt.Sprintf("container %s runs %s and would run %s", c.name, was[c], now))
		}
	}
	return out
}

// container is one of an object: custom resources may hold several pod
// templates, with containers of one name.
type container struct {
	// list is the path of the list that holds it.
	list, name string
}

// images finds the image of every container of an object, whatever its kind:
// custom resources hold pod templates too.
func images(v any) map[container]string {
	found := map[container]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				if list, ok := inner.([]any); ok && (key == "containers" || key == "initContainers") {
					for _, item := range list {
						fields, _ := item.(map[string]any)
						name, _ := fields["name"].(string)
						if image, ok := fields["image"].(string); ok {
							found[container{path + "." + key, name}] = image
						}
					}
				}
				walk(path+"."+key, inner)
			}
		case []any:
			for i, item := range v {
				walk(path+listItem(i, item), item)
			}
		}
	}
	walk("", v)
	return found
}

// listItem tells an item of a list from the others, by its name if it has one.
func listItem(index int, item any) string {
	fields, _ := item.(map[string]any)
	for _, key := range []string{"name", "groupName"} {
		if name, is := fields[key].(string); is && name != "" {
			return fmt.Sprintf("[%q]", name)
		}
	}
	return fmt.Sprintf("[%d]", index)
}

func annotationOrLabel(u *unstructured.Unstructured, key string) string {
	return cmp.Or(u.GetAnnotations()[key], u.GetLabels()[key])
}

// Proven reports whether it is known what will happen to an object. If not, its
// verb is only assumed, and its Why says why.
func Proven(o migrate.ObjectPlan) bool { return !strings.HasPrefix(o.Why, notProven) }

// Offline reports whether what happens to an object is told of its renderings alone,
// since no cluster was asked.
func Offline(o migrate.ObjectPlan) bool { return o.Why == offline }

// Compared reports whether all versions of an object that could be asked for
// were compared: of what is not, that no difference is known says nothing. Its
// Kustomization could not be built, or a right to read or try it lacks. An
// object that comes anew, in what is itself made first, has nothing to be
// compared with.
func Compared(o migrate.ObjectPlan) bool {
	return Proven(o) || Offline(o) || o.Verb == migrate.Create
}
