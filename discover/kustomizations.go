package discover

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/envsubst"
	"github.com/fluxcd/pkg/sourceignore"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	"github.com/fluxover/fluxover/reconcile/build"
	"github.com/fluxover/fluxover/reconcile/source"
	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	sigsyaml "sigs.k8s.io/yaml"
)

// What a Kustomization of Flux v2 makes of the objects that it applies: changes by its spec, and
// variables (kustomize-controller: api/v1, kustomization_types.go; fluxcd/pkg: kustomize,
// kustomize_generator.go and kustomize_varsub.go).

func isKustomization2(u *unstructured.Unstructured) bool {
	return u.GetKind() == "Kustomization" && u.GroupVersionKind().Group == "kustomize.toolkit.fluxcd.io"
}

// kustomizations2 are the Kustomizations of Flux v2 beside a set, and what was found out by them, since they
// are asked for each object, and for each other.
type kustomizations2 struct {
	read bool
	all  []*kustomization2
	// of are those that apply an object of a folder, or may; variables are what each puts in their place.
	of        map[objectOf][]applier
	variables map[*unstructured.Unstructured]postBuild
}

type objectOf struct {
	dir    string
	object *unstructured.Unstructured
}

// applier is a Kustomization that applies an object, or may.
type applier struct {
	*kustomization2
	doubt *doubt
}

// doubt says why it is not certain that a Kustomization applies an object; any is true if it may make
// anything of it.
type doubt struct {
	why string
	any bool
}

// certain is no doubt.
var certain = &doubt{}

// kustomization2 is a Kustomization that applies what lies in a folder of this repository, as far as is known;
// unsure says why it may be another one, below it or elsewhere. ignore are the patterns of
// its source; nil for none.
type kustomization2 struct {
	flux1.Parsed
	dir, unsure string
	ignore      *string
}

// applies reports whether a Kustomization applies an object of a set, and what doubt there is.
func (c *checkout) applies(set declaration, k *kustomization2, o flux1.Parsed) (bool, *doubt) {
	if k.unsure != "" {
		return isOver(k, set, o), &doubt{why: k.unsure}
	}
	does, unsure := c.takes(set, k, o)
	if !does && !isOver(k, set, o) {
		return false, certain
	}
	switch files := c.givenBy(k.ignore); {
	case !files.known:
		return true, &doubt{why: "what its source leaves out is not known"}
	case !does || !files.has(o.File):
		return false, certain // it is left out by a .sourceignore file, or the source's spec.ignore
	}
	return true, unsure
}

// isOver reports whether an object, or what makes it, lies in the folder of a Kustomization.
func isOver(k *kustomization2, set declaration, o flux1.Parsed) bool {
	return below(o.File, k.dir) || set.dir != "" && below(set.dir, k.dir)
}

// takes reports whether an object of a set is among what a Kustomization applies, if its source leaves nothing
// of that out, and what doubt there is.
func (c *checkout) takes(set declaration, k *kustomization2, o flux1.Parsed) (bool, *doubt) {
	top := c.topmost(k, cmp.Or(set.dir, path.Dir(o.File)))
	file, folder := false, false // whether this is among what it builds
	reached := c.reached(cmp.Or(top, k.dir))
	c.look(len(reached))
	for _, r := range reached {
		file = file || slices.Contains(r.files, o.File)
		folder = folder || r.dir == set.dir
	}
	switch {
	case set.dir == "":
		return file || below(o.File, k.dir) && top == "", certain
	case folder && below(set.dir, k.dir):
		return true, certain
	case file && slices.ContainsFunc(c.reached(set.dir), func(r *overlay) bool { return r.dir == k.dir }):
		return true, &doubt{fmt.Sprintf("it builds %s, of which folder %s makes this", k.dir, set.dir), true}
	}
	return false, certain
}

// topmost is the first folder with a kustomization file that its source gives it on the way from the folder of a
// Kustomization down to another; empty if there is none. Flux v2 builds it, and takes nothing below it one by one (fluxcd/pkg: kustomize,
// kustomize_generator.go, scanManifests).
func (c *checkout) topmost(k *kustomization2, to string) (top string) {
	c.look(strings.Count(to, "/") / 10)
	for ; below(to, k.dir); to = path.Dir(to) {
		if f := c.index.folders[to]; f != nil && c.givenBy(k.ignore).has(f.file) {
			top = to
		}
		if to == k.dir {
			break
		}
	}
	return top
}

// withBeside is a set with what stands beside it.
func (d declaration) withBeside(objects []flux1.Parsed) declaration {
	d.beside, d.by = objects, &kustomizations2{of: map[objectOf][]applier{}, variables: map[*unstructured.Unstructured]postBuild{}}
	return d
}

// kustomizationsBeside are those beside a set, without those that apply another repository.
func (c *checkout) kustomizationsBeside(set declaration) []*kustomization2 {
	if set.by.read {
		return set.by.all
	}
	set.by.read = true
	sources := map[string][]flux1.Parsed{}
	key := func(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }
	for _, o := range set.beside {
		if u := o.Manifest; u.GroupVersionKind().Group == sourceGroup {
			of := key(u.GetKind(), cmp.Or(u.GetNamespace(), c.agent.DefaultNamespace), u.GetName())
			sources[of] = append(sources[of], o)
		}
	}
	for _, k := range set.beside {
		u := k.Manifest
		if !isKustomization2(u) {
			continue
		}
		text := func(path ...string) string {
			s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, path...)...)
			return s
		}
		if !c.look(5) {
			return nil
		}
		kind, namespace, name := text("sourceRef", "kind"), cmp.Or(text("sourceRef", "namespace"), u.GetNamespace(), c.agent.DefaultNamespace), text("sourceRef", "name")
		of := c.sourceIn(sources[key(kind, namespace, name)], kind, namespace, name)
		unsure := ""
		if of != nil && kind == "GitRepository" {
			if url, _, _ := unstructured.NestedString(of.Object, "spec", "url"); !strings.Contains(url, "${") {
				var may bool
				if may, unsure = c.mayBeThis(url); !may {
					continue // it applies another one
				}
			}
		}
		dir, _, open := strings.Cut(text("path"), "${")
		switch {
		case open:
			dir, unsure = dir[:strings.LastIndex(dir, "/")+1], "its path holds a variable"
		case kind != "" && kind != "GitRepository":
			unsure = "its source is no Git repository"
		}
		var ignore *string
		if of != nil {
			if patterns, given, _ := unstructured.NestedString(of.Object, "spec", "ignore"); given {
				ignore = &patterns
			}
		}
		set.by.all = append(set.by.all, &kustomization2{k, cmp.Or(strings.TrimPrefix(path.Clean("/"+dir), "/"), "."), unsure, ignore})
	}
	return set.by.all
}

// given says which of a repository's files a source gives, by a bit for each: there may be hundreds of sources.
type given struct {
	known bool
	bits  []uint64
	place map[string]int
}

func (g *given) has(file string) bool {
	i, ok := g.place[file]
	return ok && g.known && g.bits[i/64]>>(i%64)&1 > 0
}

// givenBy is what a source with these patterns gives of the repository.
func (c *checkout) givenBy(ignore *string) *given {
	key := "\x00"
	if ignore != nil {
		key = *ignore
	}
	if g := c.given[key]; g != nil {
		return g
	}
	if c.given == nil {
		c.given, c.places = map[string]*given{}, map[string]int{}
		for i, file := range c.index.files {
			c.places[file] = i
			if path.Base(file) != sourceignore.IgnoreFile {
				continue
			}
			if info, err := fs.Stat(c.tree, file); err == nil {
				c.patterns += int(info.Size())
			}
		}
	}
	g := &given{place: c.places}
	c.given[key] = g
	if !c.look(len(c.places) * (1 + (len(key)+c.patterns)/20)) { // as each is held against each
		return g
	}
	artifact, err := build.NewArtifact(c.tree, ignore)
	if err != nil {
		return g // a finding about .sourceignore files says why
	}
	g.known, g.bits = true, make([]uint64, len(c.places)/64+1)
	for file, i := range c.places {
		if _, has := artifact.Has(file); has {
			g.bits[i/64] |= 1 << (i % 64)
		}
	}
	return g
}

// appliedBy are the Kustomizations of Flux v2 that apply an object of a set, or may, as far as the
// repository tells: see unsureOf.
func (c *checkout) appliedBy(set declaration, o flux1.Parsed) []applier {
	if out, known := set.by.of[objectOf{set.dir, o.Manifest}]; known {
		return out
	}
	var out []applier
	type place struct {
		file string
		line int
	}
	had := map[place]bool{}
	for _, k := range c.kustomizationsBeside(set) {
		if !c.look(1) {
			return nil
		}
		at := place{k.File, k.Line} // as of the set, and of all
		if does, doubt := c.applies(set, k, o); does && !had[at] && !c.leaves(leftAlone, set, k.Parsed, o) {
			had[at] = true
			out = append(out, applier{k, doubt})
		}
	}
	set.by.of[objectOf{set.dir, o.Manifest}] = out
	return out
}

// unsureOf says why it is not certain that a Kustomization applies an object of a set as it is written
// itself; empty if it is.
func (c *checkout) unsureOf(set declaration, k applier) *doubt {
	if k.doubt.why != "" {
		return k.doubt
	}
	beside := declaration{beside: set.beside, by: set.by}
	for _, parent := range c.appliedBy(beside, k.Parsed) {
		by := c.changes(beside, parent.Parsed, k.Parsed)
		if slices.Equal(by, []string{"patches"}) {
			patches, known := c.patchesBy(beside, parent.Parsed, k.Parsed)
			if known && !slices.ContainsFunc(patches, func(p apiskustomize.Patch) bool { return decides(p.Patch) }) {
				continue // what it gives to variables is asked for itself
			}
		}
		if len(by) > 0 {
			return &doubt{c.changesIt(parent.Parsed, by, ""), true}
		}
	}
	return certain
}

// decidesNothing are the fields of a Kustomization that change neither what it applies nor what it makes of
// it; variables are asked for by themselves.
var decidesNothing = []string{"postBuild", "decryption", "interval", "retryInterval", "timeout", "wait", "prune", "force", "dependsOn", "healthChecks", "healthCheckExprs", "deletionPolicy"}

// decides reports whether a patch of a Kustomization may change what that applies, or makes of it, or whether
// it is applied itself: in doubt it does. Kustomize takes each document of a strategic merge, and keeps kind,
// name and namespace of what it merges that into (kustomize: api, resource.go and PatchTransformer.go).
func decides(patch string) bool {
	if text := strings.TrimSpace(patch); strings.HasPrefix(text, "[") && !json.Valid([]byte(text)) {
		return true // Kustomize refuses it
	}
	for decoder := yaml.NewDecoder(strings.NewReader(patch)); ; {
		var document any
		if err := decoder.Decode(&document); err != nil {
			return !errors.Is(err, io.EOF)
		}
		var changed [][]string // fields
		switch d := document.(type) {
		case nil: // nothing stands between two lines of dashes
		case []any:
			for _, operation := range d {
				o, _ := operation.(map[string]any)
				to, _ := o["path"].(string)
				changed = append(changed, strings.Split(to, "/")[1:])
				if from, moves := o["from"].(string); moves {
					changed = append(changed, strings.Split(from, "/")[1:])
				}
			}
		case map[string]any:
			if version, _ := d["apiVersion"].(string); strings.HasPrefix(version, kustomizev1.GroupVersion.Group+"/") {
				delete(d, "apiVersion")
			}
			delete(d, "kind")
			if of, _ := d["metadata"].(map[string]any); of != nil {
				delete(of, "name")
				delete(of, "namespace")
				if len(of) == 0 {
					delete(d, "metadata")
				}
			}
			changed = mergedFields(d)
		default:
			return true
		}
		if slices.ContainsFunc(changed, fieldDecides) {
			return true
		}
	}
}

// mergedFields are the fields that a merge changes, as far as three of them lie in each other.
func mergedFields(merged map[string]any, in ...string) (fields [][]string) {
	for name, value := range merged {
		at := append(slices.Clone(in), name)
		if inner, _ := value.(map[string]any); len(inner) > 0 && len(at) < 3 {
			fields = append(fields, mergedFields(inner, at...)...)
		} else {
			fields = append(fields, at)
		}
	}
	return fields
}

// fieldDecides reports whether a field of a Kustomization decides what that applies, or whether it is applied.
func fieldDecides(field []string) bool {
	switch {
	case len(field) > 1 && field[0] == "spec":
		return !slices.Contains(decidesNothing, field[1])
	case len(field) == 3 && field[0] == "metadata" && (field[1] == "labels" || field[1] == "annotations"):
		return strings.Contains(field[2], kustomizev1.GroupVersion.Group) || strings.HasPrefix(field[2], "$") // which deletes or replaces all
	}
	return true
}

// leftAlone are the marks, as labels or annotations, of what Flux v2 does not apply (kustomize-controller:
// kustomization_controller.go; fluxcd/pkg: ssa, manager_apply.go).
var leftAlone = map[string]string{
	kustomizev1.GroupVersion.Group + "/reconcile": kustomizev1.DisabledValue,
	kustomizev1.GroupVersion.Group + "/ssa":       kustomizev1.IgnoreValue,
}

// madeOnce are the marks of what Flux v2 makes where it is missing, and changes no more (fluxcd/pkg: ssa,
// manager_apply.go, shouldSkipApply).
var madeOnce = map[string]string{kustomizev1.GroupVersion.Group + "/ssa": kustomizev1.IfNotPresentValue}

// mayHaveMade says of what is marked so that a Kustomization may have made it.
func mayHaveMade(name string) string {
	return fmt.Sprintf("Kustomization %s of Flux v2 may have made it, and changes it no more (%s/ssa: %s)", name, kustomizev1.GroupVersion.Group, kustomizev1.IfNotPresentValue)
}

// leaves reports whether an object has one of these marks, and a Kustomization leaves it there.
func (c *checkout) leaves(marks map[string]string, set declaration, k, o flux1.Parsed) bool {
	if !ssautil.AnyInMetadata(o.Manifest, marks) {
		return false
	}
	common, _, _ := unstructured.NestedFieldNoCopy(k.Manifest.Object, "spec", "commonMetadata")
	by := c.changes(set, k, o)
	return !slices.Contains(by, "patches") && !slices.Contains(by, "components") && !holds(common, kustomizev1.GroupVersion.Group)
}

// changes are the fields by which a Kustomization of Flux v2 changes what is told of an object that
// it applies to what is not known. What becomes of images is asked here where a folder has others.
func (c *checkout) changes(set declaration, k, o flux1.Parsed) []string {
	u := k.Manifest
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, path...)...)
		return s
	}
	var by []string
	if target := text("targetNamespace"); target != "" && target != o.Manifest.GetNamespace() {
		by = append(by, "targetNamespace")
	}
	if to, _, _ := unstructured.NestedMap(u.Object, "spec", "kubeConfig"); len(to) > 0 {
		by = append(by, "kubeConfig") // of another cluster, or as somebody else
	}
	for _, field := range []string{"namePrefix", "nameSuffix"} {
		if text(field) != "" {
			by = append(by, field)
		}
	}
	if patches, known := c.patchesBy(set, k, o); !known || len(patches) > 0 {
		by = append(by, "patches")
	}
	if components, _, _ := unstructured.NestedSlice(u.Object, "spec", "components"); len(components) > 0 {
		by = append(by, "components")
	}
	labels, _, _ := unstructured.NestedStringMap(u.Object, "spec", "commonMetadata", "labels")
	if chartVersionOf(labels) != chartVersionOf(o.Manifest.GetLabels()) && chartVersionOf(labels) != "" {
		by = append(by, "commonMetadata")
	}
	if images, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "images"); images != nil && set.dir != "" &&
		slices.ContainsFunc(c.reached(set.dir), func(r *overlay) bool { return imagesKey.Match(r.content) }) {
		by = append(by, "images") // which are put among those
	}
	return by
}

// imagesKey begins the images of a kustomization file.
var imagesKey = regexp.MustCompile(`(?m)^\s*["']?images["']?\s*:`)

// changedBy says which Kustomization of Flux v2 applies an object, as far as the repository
// tells, and changes what is told of it; empty if none does.
func (c *checkout) changedBy(set declaration, o flux1.Parsed) string {
	for _, k := range c.appliedBy(set, o) {
		if by := c.changes(set, k.Parsed, o); len(by) > 0 {
			return c.changesIt(k.Parsed, by, k.doubt.why)
		}
	}
	return ""
}

// changesIt says by which fields a Kustomization changes an object to what is not known.
func (c *checkout) changesIt(k flux1.Parsed, fields []string, unsure string) string {
	does, and := "applies", ""
	if unsure != "" {
		does, and = "may apply", " ("+unsure+")"
	}
	if suspended(k) {
		and += " and is suspended"
	}
	return fmt.Sprintf("Kustomization %s, which "+does+" it%s, changes it to what is not known here (spec.%s)", c.nameOf(k), and, strings.Join(fields, ", spec."))
}

// nameOf is a Kustomization for people.
func (c *checkout) nameOf(k flux1.Parsed) string {
	return strings.TrimPrefix(cmp.Or(k.Manifest.GetNamespace(), c.agent.DefaultNamespace)+"/"+k.Manifest.GetName(), "/")
}

// suspended reports whether a Kustomization, or a HelmRelease, is, or may be, suspended: then it applies
// nothing. It may have done so before, and go on at any time, so that of what it changes nothing is known.
func suspended(k flux1.Parsed) bool {
	value, _, _ := unstructured.NestedFieldNoCopy(k.Manifest.Object, "spec", "suspend")
	return value != nil && value != false
}

// suspendedBy says of an agent that a Kustomization which is suspended applies it.
func suspendedBy(name, id string) string {
	return fmt.Sprintf("Kustomization %s of Flux v2, which applies it, is suspended: what is told of agent %s is what it says; what runs may be of an earlier commit, or nothing, until that goes on", name, id)
}

// namesVariable is a patch that names what it is for by a variable.
var namesVariable = regexp.MustCompile(`(?m)\b(?:kind|name|namespace)["']?:[^\n]*\$\{`)

// patchesBy are the patches of a Kustomization of Flux v2 that are of an object, by what Kustomize
// goes by; known is false if that is not told of all.
func (c *checkout) patchesBy(set declaration, k, o flux1.Parsed) (out []apiskustomize.Patch, known bool) {
	objects := []*unstructured.Unstructured{o.Manifest}
	if set.dir != "" { // by what it was before it was changed, too
		for _, written := range c.objectsIn(o.File) {
			if written.Line == o.Line && written.Manifest.GetKind() == o.Manifest.GetKind() {
				objects = append(objects, written.Manifest)
			}
		}
	}
	known = true
	for _, field := range []string{"patches", "patchesStrategicMerge", "patchesJson6902"} { // the last two of before v1
		value, _, _ := unstructured.NestedFieldNoCopy(k.Manifest.Object, "spec", field)
		list, isList := value.([]any)
		known = known && (isList || value == nil)
		for _, x := range list {
			m, _ := x.(map[string]any)
			if field == "patchesStrategicMerge" {
				m = map[string]any{"patch": x}
			}
			p, ok := patchOf(m)
			if !c.look(10 + len(p.Patch)/10) {
				return nil, false
			}
			if !ok || substitutes(k.Manifest) && (holds(m["target"], "${") || p.Target == nil && namesVariable.MatchString(p.Patch)) {
				known = false
				continue
			}
			for _, u := range objects {
				selects, err := build.Selects(p, u)
				known = known && err == nil
				if selects {
					out = append(out, p)
					break
				}
			}
		}
	}
	return out, known
}

// patchOf reads a patch of a Kustomization; ok is false if it is none.
func patchOf(m map[string]any) (p apiskustomize.Patch, ok bool) {
	m = maps.Clone(m)
	if _, isText := m["patch"].(string); !isText && m["patch"] != nil { // as they were before v1
		text, err := sigsyaml.Marshal(m["patch"])
		if err != nil {
			return p, false
		}
		m["patch"] = string(text)
	}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &p)
	return p, err == nil && p.Patch != ""
}

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

// maySubstitute says why what holds a variable is not known.
const maySubstitute = "kustomize-controller may substitute it"

// substitutes reports whether a Kustomization of Flux v2 may put values in the place of variables
// of an object (kustomize-controller: spec.postBuild; it leaves those out that say so).
func substitutes(u *unstructured.Unstructured) bool {
	const key, disabled = "kustomize.toolkit.fluxcd.io/substitute", "disabled"
	return u.GetLabels()[key] != disabled && u.GetAnnotations()[key] != disabled
}

// substituted are values of an object of Flux v2, of which those that hold variables are not known.
func substituted(v any) any {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "${") {
			return chart.Unknown{Cause: maySubstitute}
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = substituted(e)
		}
		return out
	case map[string]any:
		out, open := map[string]any{}, false
		for k, e := range v {
			if strings.Contains(k, "${") {
				open = true
				continue
			}
			out[k] = substituted(e)
		}
		if open {
			return chart.Partial{Known: out, Cause: maySubstitute}
		}
		return out
	}
	return v
}

// postBuild is what is put in the place of variables of an object.
type postBuild struct {
	values map[string]string
	// whole is true if no other variable gets a value, so that defaults are taken.
	whole bool
	// none is true if nothing is put in the place of any.
	none bool
}

// variablesOf are those of a Kustomization, if the repository holds it as it is applied: without any
// variable the controller leaves all as it is written, unless it is told otherwise
// (kustomize-controller: kustomization_controller.go; fluxcd/pkg: kustomize_varsub.go).
func (c *checkout) variablesOf(set declaration, k flux1.Parsed) postBuild {
	out, known := set.by.variables[k.Manifest]
	if !known {
		out = c.readVariables(set, k)
		set.by.variables[k.Manifest] = out
	}
	return out
}

func (c *checkout) readVariables(set declaration, k flux1.Parsed) postBuild {
	if c.changedBy(declaration{beside: set.beside, by: set.by}, k) != "" {
		return postBuild{}
	}
	value, _, _ := unstructured.NestedFieldNoCopy(k.Manifest.Object, "spec", "postBuild")
	if value == nil {
		return postBuild{none: true}
	}
	post, isMap := value.(map[string]any)
	given, givenMap := post["substitute"].(map[string]any)
	from, fromList := post["substituteFrom"].([]any)
	strategy := cmp.Or[any](post["substituteStrategy"], "")
	always := strategy == string(kustomizev1.SubstituteStrategyAlways)
	if !isMap || !givenMap && post["substitute"] != nil || !fromList && post["substituteFrom"] != nil || !always && strategy != "" && strategy != string(kustomizev1.SubstituteStrategyWithVariables) {
		return postBuild{}
	}
	out := postBuild{values: map[string]string{}, whole: len(from) == 0, none: len(from)+len(given) == 0 && !always}
	for name, v := range given {
		text, ok := v.(string)
		if !ok || strings.Contains(text, "${") && substitutes(k.Manifest) || chart.NamesSecret(name) {
			out.whole = false // nor is a secret put where it would be told
			continue
		}
		out.values[name] = strings.ReplaceAll(text, "\n", "")
	}
	return out
}

// mayFill reports whether Flux v2 may put values in the place of variables of an object: who is not
// known to apply it may do so.
func (c *checkout) mayFill(set declaration, o flux1.Parsed) bool {
	by := c.appliedBy(set, o)
	return substitutes(o.Manifest) && (len(by) == 0 || slices.ContainsFunc(by, func(k applier) bool { return !c.variablesOf(set, k.Parsed).none }))
}

// filled is an object with values in the place of variables.
func (v postBuild) filled(u *unstructured.Unstructured) *unstructured.Unstructured {
	object, _ := v.fill(u.Object).(map[string]any)
	return &unstructured.Unstructured{Object: object}
}

// ofVariables is what variables may make, from the first to the last of a text.
var ofVariables = regexp.MustCompile(`(?s)\$\{.*\}`)

// fill puts values in the place of variables, and the placeholder where they are not known. As the
// controller reads the YAML that comes of it once more, a text may become something else.
func (v postBuild) fill(value any) any {
	if v.none {
		return value
	}
	switch value := value.(type) {
	case string:
		if !strings.Contains(value, "${") {
			return value
		}
		open := false
		text, err := envsubst.Eval(value, func(name string) (string, bool) {
			s, ok := v.values[name]
			open = open || !ok && !v.whole
			return s, ok
		})
		var read any
		if err != nil || open || sigsyaml.Unmarshal([]byte(text), &read) != nil {
			return ofVariables.ReplaceAllLiteralString(value, placeholder)
		}
		switch read := read.(type) {
		case string:
			if read == text {
				return text
			}
		case float64:
			if read == float64(int64(read)) {
				return int64(read)
			}
		case bool:
			return read
		}
		return ofVariables.ReplaceAllLiteralString(value, placeholder)
	case []any:
		out := make([]any, len(value))
		for i, e := range value {
			out[i] = v.fill(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(value))
		for k, e := range value {
			out[fmt.Sprint(v.fill(k))] = v.fill(e)
		}
		return out
	}
	return value
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
