package discover

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
	"github.com/fluxover/fluxover/reconcile/source"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// What becomes of an object by all that apply it, a fluxd and Kustomizations of Flux v2.

// makesAnother are the fields by which a Kustomization makes another object of one.
var makesAnother = []string{"targetNamespace", "kubeConfig", "namePrefix", "nameSuffix"}

// made is what becomes of an object of a set by those who apply it.
type made struct {
	// object is it, with the placeholder where it is not known, which why says.
	object *unstructured.Unstructured
	why    string
	// notRead says why nothing of it is known.
	notRead string
	// placed is the Kustomization that puts it into its namespace.
	placed string
	// kept are the Kustomizations that apply it, suspended those that do not now, perhaps says which may
	// do so, and apart of others that they make another object of it.
	kept, suspended, perhaps, apart []string
	// both is true if a fluxd applies it as well as one of these, and they make different things of it.
	both bool
}

// madeOf finds out what becomes of an object by the fluxd that reads this repository, if that applies
// it, and by the Kustomizations of Flux v2 that do: where they do not agree, it is not known which
// wins, nor whether a Kustomization that is suspended has had its way before.
func (c *checkout) madeOf(ctx context.Context, set declaration, o flux1.Parsed) (m made) {
	ours := c.byFluxd(set, o)
	by := c.appliedBy(set, o)
	if len(by) == 0 {
		m.why, m.object = maySubstitute, o.Manifest
		if substitutes(o.Manifest) && holds(o.Manifest.Object, "${") {
			m.object = postBuild{}.filled(o.Manifest)
		}
		return m
	}
	var all []*unstructured.Unstructured
	if ours != nil {
		all = append(all, ours)
	}
	for _, by := range by {
		if ctx.Err() != nil {
			return m
		}
		k, unsure := by.Parsed, c.unsureOf(set, by)
		target, _, _ := unstructured.NestedString(k.Manifest.Object, "spec", "targetNamespace")
		isThere := ours == nil && !suspended(k) && !strings.Contains(target, "${") || ours != nil && target == cmp.Or(ours.GetNamespace(), c.agent.DefaultNamespace)
		fields := slices.DeleteFunc(c.changes(set, k, o), func(field string) bool { return field == "targetNamespace" && isThere })
		other := slices.DeleteFunc(slices.Clone(fields), func(field string) bool { return !slices.Contains(makesAnother, field) })
		if ours == nil && len(fields) > 0 {
			m.notRead = c.changesIt(k, fields, unsure.why)
			return m
		}
		its, err := c.overlaid(ctx, set, k, o)
		if ctx.Err() != nil {
			return m
		}
		if err != nil && ours == nil {
			m.notRead = c.changesIt(k, []string{"images"}, unsure.why) // as all else is known
			return m
		}
		if errors.Is(err, errDeletes) && ours != nil && unsure.why == "" && !suspended(k) {
			continue // it applies all but this
		}
		if len(other) == 0 && ours != nil && err == nil && isAnother(its, o.Manifest, ours) {
			other = []string{"patches"}
		}
		if len(other) > 0 {
			m.apart = append(m.apart, fmt.Sprintf("Kustomization %s of Flux v2 makes another one of it (spec.%s), which is not read here", c.nameOf(k), strings.Join(other, ", spec.")))
			continue
		}
		if err != nil || slices.Contains(fields, "components") || slices.Contains(fields, "images") || unsure.any {
			its = anyOf(o.Manifest)
			if ours == nil && target != "" {
				its.SetNamespace(target)
			}
		}
		written := o.Manifest // which may be live, where this puts it
		if ours == nil && its.GetNamespace() != written.GetNamespace() {
			written = written.DeepCopy()
			written.SetNamespace(its.GetNamespace())
		}
		switch {
		case unsure.why != "":
			m.perhaps = append(m.perhaps, fmt.Sprintf("Kustomization %s of Flux v2 may apply it, or something else (%s)", c.nameOf(k), unsure.why))
			all = append(all, written)
		case c.leaves(madeOnce, set, k, o):
			m.perhaps = append(m.perhaps, mayHaveMade(c.nameOf(k)))
			all = append(all, written)
		case suspended(k):
			m.suspended = append(m.suspended, c.nameOf(k))
			all = append(all, written)
		default:
			m.kept = append(m.kept, c.nameOf(k))
		}
		if target != "" && target != o.Manifest.GetNamespace() && ours == nil {
			m.placed = c.nameOf(k)
		}
		if substitutes(its) && holds(its.Object, "${") {
			its = c.variablesOf(set, k).filled(its)
		}
		m.both = m.both || ours != nil && makesOther(its, ours)
		all = append(all, its)
	}
	m.object = all[0]
	for _, its := range all[1:] {
		if ours == nil && its.GetNamespace() != m.object.GetNamespace() {
			m.notRead = "Kustomizations of Flux v2, which apply it, put it into different namespaces"
			return m
		}
		m.object = eitherOf(m.object, its)
	}
	switch {
	case ours != nil && len(m.kept) > 0:
		m.why = "a fluxd and Kustomization " + firstFew(m.kept) + " of Flux v2 both apply it, and may make different things of it: which of them is live is not known"
	case len(m.perhaps) > 0:
		m.why = firstFew(m.perhaps)
	case len(m.suspended) > 0:
		m.why = "Kustomization " + firstFew(m.suspended) + " of Flux v2, which makes something else of it, is suspended: it may have done so before, and may go on at any time"
	case len(m.kept) > 1 && !holds(m.object.Object, "${"):
		m.why = "Kustomizations of Flux v2, which apply it, may make different things of it"
	default:
		m.why = maySubstitute
	}
	return m
}

// isAnother reports whether an object has another kind, name or namespace than the one that it was made of; it
// may have the namespace into which a fluxd puts that.
func isAnother(its, of, in *unstructured.Unstructured) bool {
	return its.GetKind() != of.GetKind() || its.GetName() != of.GetName() || its.GetNamespace() != of.GetNamespace() && its.GetNamespace() != in.GetNamespace()
}

// byFluxd is an object of a set as the fluxd that reads this repository applies it; nil if it is not
// known to do so: overlays of several clusters make objects of one name.
func (c *checkout) byFluxd(set declaration, o flux1.Parsed) *unstructured.Unstructured {
	for _, its := range c.applied {
		if its.Manifest == o.Manifest || its.File == o.File && identity(its.Manifest) == identity(o.Manifest) && (its.Build == nil || its.Build.Folder == set.dir) {
			return its.Manifest
		}
	}
	return nil
}

// errDeletes says of an object that a patch takes it out.
var errDeletes = errors.New("a patch deletes it")

// overlaid is an object as Kustomize makes it by the patches, images, labels and namespace of a
// Kustomization that applies it.
func (c *checkout) overlaid(ctx context.Context, set declaration, k, o flux1.Parsed) (*unstructured.Unstructured, error) {
	u, open := k.Manifest, substitutes(k.Manifest) && holds(k.Manifest.Object["spec"], "${")
	if open { // by who applies it
		u = postBuild{}.filled(u)
	}
	spec := map[string]any{}
	for _, field := range []string{"targetNamespace", "images"} {
		if value, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", field); value != nil {
			spec[field] = value
		}
	}
	ks, ok := typed[kustomizev1.Kustomization](&unstructured.Unstructured{Object: map[string]any{"spec": spec}})
	if !ok {
		return nil, errors.New("it has fields of other types")
	}
	var known bool
	if ks.Spec.Patches, known = c.patchesBy(set, k, o); !known {
		return nil, errors.New("whether it patches the object is not known")
	}
	for i := range ks.Spec.Patches {
		p := &ks.Spec.Patches[i]
		if open && strings.Contains(p.Patch, "${") {
			return nil, errors.New("what it patches is not known")
		}
		if p.Target != nil { // which is this object
			p.Target = &apiskustomize.Selector{Kind: o.Manifest.GetKind()}
		}
	}
	out := o.Manifest
	if len(spec)+len(ks.Spec.Patches) > 0 {
		text, err := json.Marshal(o.Manifest.Object)
		if err != nil {
			return nil, err
		}
		files := source.NewFiles(time.Time{})
		if err := files.Put("object.yaml", 0o644, int64(len(text)), func() ([]byte, error) { return text, nil }); err != nil {
			return nil, err
		}
		built, err := build.Built(ctx, build.Input{Tree: files, Kustomization: ks, Limits: c.builds})
		if err != nil {
			return nil, err
		}
		if len(built) == 0 {
			return nil, errDeletes
		}
		if len(built) != 1 {
			return nil, fmt.Errorf("it makes %d objects of it", len(built))
		}
		out = built[0]
	}
	if labels, _, _ := unstructured.NestedStringMap(u.Object, "spec", "commonMetadata", "labels"); len(labels) > 0 {
		out = out.DeepCopy()
		ssautil.SetCommonMetadata([]*unstructured.Unstructured{out}, labels, nil)
	}
	return out, nil
}

// openEntry is one of a list of which nothing is known, of environment, volumes, their mounts or aliases of hosts.
var openEntry = map[string]any{"name": placeholder, "mountPath": placeholder, "prefix": placeholder, "ip": placeholder}

// anyOf is a Deployment of which nothing is known that a patch may change, but for its name.
func anyOf(u *unstructured.Unstructured) *unstructured.Unstructured {
	out := u.DeepCopy()
	labels := out.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels["helm.sh/chart"] = placeholder
	out.SetLabels(labels)
	spec, _ := out.Object["spec"].(map[string]any)
	pod, _, _ := unstructured.NestedFieldNoCopy(out.Object, "spec", "template", "spec")
	of, _ := pod.(map[string]any)
	if spec == nil || of == nil {
		return out
	}
	spec["replicas"] = placeholder
	of["serviceAccountName"], of["volumes"] = placeholder, []any{openEntry}
	openRequests(of)
	for _, m := range podContainers(of) {
		m["image"], m["args"] = placeholder, []any{placeholder}
		m["env"], m["envFrom"], m["volumeMounts"] = []any{openEntry}, []any{openEntry}, []any{openEntry}
	}
	return out
}

// eitherOf is a Deployment of which two make different things, with the placeholder where they do so
// in what is told of an agent; what only one of them has is there.
func eitherOf(a, b *unstructured.Unstructured) *unstructured.Unstructured {
	out := a.DeepCopy()
	field := func(u *unstructured.Unstructured, path ...string) map[string]any {
		v, _, _ := unstructured.NestedFieldNoCopy(u.Object, path...)
		m, _ := v.(map[string]any)
		return m
	}
	if labels, ok := either(field(a, "metadata", "labels"), field(b, "metadata", "labels")).(map[string]any); ok {
		_ = unstructured.SetNestedMap(out.Object, labels, "metadata", "labels")
	}
	spec, pod, its := field(out, "spec"), field(out, "spec", "template", "spec"), field(b, "spec", "template", "spec")
	if pod == nil {
		return out
	}
	if !equality.Semantic.DeepEqual(spec["replicas"], field(b, "spec")["replicas"]) {
		spec["replicas"] = placeholder
	}
	for _, name := range []string{"labels", "annotations"} {
		if of, ok := either(field(out, "spec", "template", "metadata", name), field(b, "spec", "template", "metadata", name)).(map[string]any); ok && len(of) > 0 {
			_ = unstructured.SetNestedMap(out.Object, of, "spec", "template", "metadata", name)
		}
	}
	merge := func(to, its map[string]any, leave ...string) {
		for _, name := range slices.Compact(slices.Sorted(slices.Values(append(sortedNames(to), sortedNames(its)...)))) {
			if slices.Contains(leave, name) {
				continue
			}
			if name == "env" {
				to[name] = eitherEnv(asList(to[name]), asList(its[name]))
			} else if to[name] = either(to[name], its[name]); unset(to[name]) {
				to[name] = its[name]
			}
		}
	}
	merge(pod, its, slices.Concat(containerLists, podRuns)...)
	if !equality.Semantic.DeepEqual(asks(pod), asks(its)) {
		openRequests(pod)
	}
	runs, other := fluxd(bareDeployment(out)), fluxd(bareDeployment(b))
	named := func(list []any, name any) int {
		return slices.IndexFunc(list, func(y any) bool {
			n, _ := y.(map[string]any)
			return n != nil && equality.Semantic.DeepEqual(n["name"], name) // of whatever type
		})
	}
	for _, list := range containerLists {
		theirs := slices.Clone(asList(its[list]))
		for _, x := range asList(pod[list]) {
			m, _ := x.(map[string]any)
			at := named(theirs, m["name"])
			if at < 0 && runs != nil && m["name"] == runs.Name && other != nil && named(asList(pod[list]), other.Name) < 0 {
				at = named(theirs, other.Name) // one of them has another name for it
			}
			partner := map[string]any{}
			if at >= 0 {
				partner, _ = theirs[at].(map[string]any)
				theirs = slices.Delete(theirs, at, at+1)
			}
			if m != nil && (at >= 0 || runs != nil && m["name"] == runs.Name) {
				merge(m, partner, append([]string{"name", "resources"}, containerRuns...)...)
			}
		}
		for _, y := range theirs {
			if n, _ := y.(map[string]any); n != nil {
				n = runtime.DeepCopyJSON(n)
				n["resources"] = placeholder
				pod[list] = append(asList(pod[list]), n)
			}
		}
	}
	return out
}

// eitherEnv are the variables of a container of which two make different ones: of one that not both have, or
// not alike, the value is not known. Where they are no variables of different names, none is.
func eitherEnv(a, b []any) []any {
	byName := func(list []any) (out map[string]any, all bool) {
		out = map[string]any{}
		for _, x := range list {
			m, _ := x.(map[string]any)
			if name, _ := m["name"].(string); name != "" {
				out[name] = x
			}
		}
		return out, len(out) == len(list)
	}
	ours, all := byName(a)
	theirs, allToo := byName(b)
	if !all || !allToo {
		return []any{openEntry}
	}
	var out []any
	add := func(name string) {
		v, _ := either(ours[name], theirs[name]).(map[string]any)
		v["name"] = name
		if ours[name] == nil || theirs[name] == nil {
			v["value"] = placeholder // also of one that has none
			delete(v, "valueFrom")
		}
		out = append(out, v)
	}
	for _, x := range append(slices.Clone(a), b...) {
		name, _ := x.(map[string]any)["name"].(string)
		if len(out) < len(a) || ours[name] == nil {
			add(name)
		}
	}
	return out
}

// makesOther reports whether two make different things of an object, but for its namespace.
func makesOther(a, b *unstructured.Unstructured) bool {
	return !equality.Semantic.DeepEqual(a.Object["spec"], b.Object["spec"]) || !maps.Equal(a.GetLabels(), b.GetLabels()) || !maps.Equal(a.GetAnnotations(), b.GetAnnotations())
}

// containerLists are the fields of a pod that hold containers.
var containerLists = []string{"containers", "initContainers"}

// podContainers are the containers of a pod, of all kinds, without what is none.
func podContainers(pod map[string]any) (out []map[string]any) {
	for _, list := range containerLists {
		for _, x := range asList(pod[list]) {
			if m, _ := x.(map[string]any); m != nil {
				out = append(out, m)
			}
		}
	}
	return out
}

// asks is what of a pod its requests hang on, in which the order of containers that start counts, too.
func asks(pod map[string]any) []any {
	out := []any{pod["overhead"], pod["resources"]}
	for _, list := range containerLists {
		for _, x := range asList(pod[list]) {
			m, _ := x.(map[string]any)
			out = append(out, []any{list, m["name"], m["resources"], m["restartPolicy"]})
		}
	}
	return out
}

// openRequests has the requests of a pod not known.
func openRequests(pod map[string]any) {
	for _, m := range podContainers(pod) {
		m["resources"] = placeholder
	}
}

// either is a value of which two make different ones, with the placeholder in the place of texts
// that differ. Of an argument its name stays.
func either(a, b any) any {
	if equality.Semantic.DeepEqual(a, b) {
		return a
	}
	switch a := a.(type) {
	case string:
		name, _, assigned := strings.Cut(a, "=")
		if b, ok := b.(string); ok && assigned && strings.HasPrefix(b, name+"=") {
			return name + "=" + placeholder
		}
		return placeholder
	case map[string]any:
		its, _ := b.(map[string]any)
		out := map[string]any{}
		for _, k := range append(sortedNames(a), sortedNames(its)...) {
			out[k] = either(a[k], its[k])
		}
		return out
	case []any:
		its, _ := b.([]any)
		if len(its) != len(a) {
			if _, texts := append(slices.Clone(a), its...)[0].(string); texts {
				return []any{placeholder}
			}
			return []any{openEntry}
		}
		out := make([]any, len(a))
		for i := range a {
			out[i] = either(a[i], its[i])
		}
		return out
	case nil:
		return either(b, nil)
	}
	return a
}

// deploymentIn is the Deployment that an object is, which holds the placeholder where it is not known;
// nil if it is none. open are the numbers among its fields that are not known: of quantities and times
// elsewhere, which can hold no placeholder, nothing is told, nor of what a patch may change with them.
func deploymentIn(u *unstructured.Unstructured) (d *appsv1.Deployment, open []string) {
	if d, open = readDeployment(u); d == nil && holds(u.Object, placeholder) {
		u = anyOf(u)
		unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata", "creationTimestamp")
		d, open = readDeployment(u)
	}
	return d, open
}

func readDeployment(u *unstructured.Unstructured) (d *appsv1.Deployment, open []string) {
	isOpen := func(v any) bool { return holds(v, placeholder) }
	if isOpen(u.Object) {
		u = u.DeepCopy()
		if spec, _ := u.Object["spec"].(map[string]any); isOpen(spec["replicas"]) {
			delete(spec, "replicas")
			open = append(open, "replicas")
		}
		pod, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "template", "spec")
		of, _ := pod.(map[string]any)
		for _, m := range podContainers(of) {
			if isOpen(m["resources"]) {
				delete(m, "resources")
				open = append(open, "requests")
			}
		}
		open = slices.Compact(open)
	}
	d, ok := typed[appsv1.Deployment](u)
	if !ok {
		return nil, nil
	}
	return d, open
}

// holds reports whether a text stands anywhere in a value.
func holds(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, text)
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return holds(e, text) })
	case map[string]any:
		for k, e := range v {
			if strings.Contains(k, text) || holds(e, text) {
				return true
			}
		}
	}
	return false
}

// notSubstituted says of what is around the arguments of a container in Git why it is not known,
// and returns the fields of which entries are left out: what they are about is not known.
func (e *environment) notSubstituted(why string) (left []string) {
	e.why = why
	isOpen := func(v any) bool {
		text, err := json.Marshal(v)
		return err != nil || strings.Contains(string(text), placeholder)
	}
	if known := slices.DeleteFunc(slices.Clone(e.container.Env), func(v corev1.EnvVar) bool { return strings.Contains(v.Name, placeholder) }); len(known) < len(e.container.Env) {
		e.container.Env, e.unnamed, left = known, why, append(left, "env")
	}
	e.enter()
	for i, v := range e.container.Env {
		if isOpen(v) {
			if e.causes == nil {
				e.causes = map[int]string{}
			}
			e.causes[i] = why
		}
	}
	if known := slices.DeleteFunc(slices.Clone(e.container.EnvFrom), func(f corev1.EnvFromSource) bool { return isOpen(f) }); len(known) < len(e.container.EnvFrom) {
		e.container.EnvFrom, e.unsourced, left = known, why, append(left, "envFrom")
	}
	if isOpen([]any{e.container.VolumeMounts, e.pod.Volumes}) {
		e.unmounted, e.unkeyed, e.kubeconfig = why, why, why
	}
	if known := slices.DeleteFunc(slices.Clone(e.container.VolumeMounts), func(m corev1.VolumeMount) bool { return isOpen(m) }); len(known) < len(e.container.VolumeMounts) {
		e.container.VolumeMounts, left = known, append(left, "volumeMounts")
	}
	return left
}
