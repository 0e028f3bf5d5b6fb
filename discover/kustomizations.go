package discover

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Which Kustomizations of Flux v2 apply what of a repository, and with what doubt (kustomize-controller:
// api/v1, kustomization_types.go; fluxcd/pkg: kustomize, kustomize_generator.go).

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
			url, _, _ := unstructured.NestedString(of.Object, "spec", "url")
			var may bool
			if may, unsure = c.mayBeThis(url); !may {
				continue // it applies another one
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

// maxCompared bounds, in looks, what of the repository is held against the patterns of sources. What a source
// leaves out for which it does not last is not known. It is a variable for tests.
var maxCompared = 10_000_000

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
			c.parts += strings.Count(file, "/") + 1
			c.chars += len(file)
		}
		for _, file := range c.index.files {
			if path.Base(file) == sourceignore.IgnoreFile {
				content, _ := fs.ReadFile(c.tree, file) // a finding about it says why it is none
				c.steps += build.Steps(string(content), c.parts, c.chars)
				c.ignores++
			}
		}
	}
	g := &given{place: c.places}
	c.given[key] = g
	// As measured, to list a file takes 2.5 looks, to read one of patterns some 50, and a step 0.03.
	looks := len(c.places)*5/2 + c.ignores*50 + (c.steps+build.Steps(key, c.parts, c.chars))/30
	if looks > maxCompared-c.compared {
		return g
	}
	c.compared += looks
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
	if build.IsLocal(o.Manifest.GetAnnotations()) {
		return nil
	}
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
			if known && !slices.ContainsFunc(patches, func(p apiskustomize.Patch) bool { return decides(p, k.Manifest) }) {
				continue // what it gives to variables is asked for itself
			}
		}
		if len(by) > 0 {
			return &doubt{c.changesIt(parent.Parsed, by, ""), true}
		}
	}
	return certain
}
