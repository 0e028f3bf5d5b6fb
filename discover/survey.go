package discover

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	sigsyaml "sigs.k8s.io/yaml"
)

// survey reports what stands in the repository beside what fluxd makes of it.
func (r *reading) survey(ctx context.Context) error {
	if err := r.makeIndex(ctx); err != nil {
		return err
	}
	r.surveyFiles()
	r.surveyIgnored()
	r.surveyGenerations()
	r.inUse, r.inBuilds, r.inPatchFiles = r.overlaysInUse(), nil, nil
	for _, o := range r.inUse {
		r.surveyOverlay(o)
	}
	r.surveyOldFields()
	r.surveyObjects()
	return ctx.Err()
}

// about reports a finding about the repository.
func (r *reading) about(code flux1.Code, where, format string, args ...any) {
	r.find(code.Finding(r.agent.ID, where, fmt.Sprintf(format, args...)))
}

// inPaths reports whether a file lies below one of the agent's paths whose
// files are scanned, or, with generation, below any of them.
func (r *reading) inPaths(name string, generated bool) bool {
	paths := r.agent.Git.Paths
	if len(paths) == 0 {
		paths = []string{""}
	}
	for _, p := range paths {
		isGenerated := slices.ContainsFunc(r.generations, func(g flux1.Generation) bool { return g.Root == p })
		if below(name, flux1.CleanPath(p)) && (generated || !isGenerated) {
			return true
		}
	}
	return false
}

// few shows some of many names.
func few(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func (r *reading) surveyFiles() {
	var templates, secrets, pointers, attributes []string
	for _, name := range r.index.files {
		base := path.Base(name)
		switch {
		case name == ".gitmodules":
			r.surveySubmodules(name)
		case base == ".gitattributes":
			for _, pattern := range r.lfsPatterns(name) {
				attributes = append(attributes, path.Join(path.Dir(name), pattern))
			}
		case strings.HasPrefix(name, ".gitsecret/") || strings.Contains(name, "/.gitsecret/"):
			secrets = append(secrets, name)
		case strings.HasSuffix(base, ".yaml.tmpl") || strings.HasSuffix(base, ".yml.tmpl"):
			if r.inPaths(name, true) {
				templates = append(templates, name)
			}
		case base == ".flux.yaml" && !r.governing[name] && (r.config.ManifestGeneration || !slices.Contains(r.agent.Unknown, "manifestGeneration")):
			r.about(flux1.FluxYAMLUnused, name, "%s is not read by the agent", name)
		}
	}
	for _, name := range r.index.files {
		if r.inPaths(name, true) && r.isPointer(name) {
			pointers = append(pointers, name)
		}
	}
	switch {
	case len(pointers) > 0:
		r.about(flux1.LFSFiles, pointers[0], "files below the agent's paths are pointers of Git LFS: %s", few(pointers))
	case len(attributes) > 0:
		r.about(flux1.LFSFiles, "", "Git LFS keeps the files that fit %s; none below the agent's paths is a pointer here", few(attributes))
	}
	if len(secrets) > 0 {
		for _, name := range r.index.files {
			if strings.HasSuffix(name, ".secret") {
				secrets = append(secrets, name)
			}
		}
		r.about(flux1.GitSecretFiles, "", "git-secret is used: %s", few(secrets))
	}
	if len(templates) > 0 {
		r.about(flux1.TemplateFiles, "", "templates of manifests: %s", few(templates))
	}
	for _, dir := range r.index.charts {
		if r.inPaths(dir, false) {
			r.about(flux1.ChartInTree, dir, "the folder %s is a Helm chart", dir)
		}
	}
	for _, link := range r.index.linkedFolders {
		if r.inPaths(link, false) {
			r.about(flux1.LinkedFolder, link, "%s is a link to a folder", link)
		}
	}
}

// surveyIgnored explains the files that choose and change for Flux v2 what it builds, and
// that fluxd does not honour.
func (r *reading) surveyIgnored() {
	read := map[string]bool{}
	var idle []string
	for _, f := range r.agent.Files {
		switch {
		case f.Kustomization && f.Kind != migrate.FileChart:
			if does := r.wouldDo(f.Path); does != "" {
				r.about(flux1.KustomizationIgnored, f.Path, "fluxd does not honour this kustomization file, which %s; the new source ignores it, so that the same objects are built", does)
			} else {
				idle = append(idle, f.Path)
			}
		case f.Kind == migrate.FileManifest || f.Kind == migrate.FileEncrypted:
			read[f.Path] = true
		}
	}
	if len(idle) > 0 {
		slices.Sort(idle)
		r.about(flux1.KustomizationIgnored, idle[0], "fluxd does not honour %s, which would leave out and change nothing; the new source ignores such files all the same: %s", counted(len(idle), "kustomization file"), few(idle))
	}
	for _, b := range r.agent.Builds {
		for _, name := range b.Reads {
			read[name] = true
		}
	}
	ignores := slices.DeleteFunc(slices.Clone(r.index.files), func(name string) bool { return path.Base(name) != sourceignore.IgnoreFile })
	if len(ignores) == 0 {
		return
	}
	artifact, err := build.NewArtifact(r.tree, nil)
	if err != nil {
		r.about(flux1.SourceIgnoreUnreadable, ignores[0], "what Flux v2 leaves out by %s cannot be told: %v", few(ignores), err)
		return
	}
	for _, name := range ignores {
		content, err := r.readFile(r.index, name)
		if err != nil {
			continue // a link to nothing, or too large for the plan as well
		}
		var domain []string
		if dir := path.Dir(name); dir != "." {
			domain = strings.Split(dir, "/")
		}
		matcher := sourceignore.NewMatcher(sourceignore.ReadPatterns(bytes.NewReader(content), domain))
		var out []string
		for _, file := range slices.Sorted(maps.Keys(read)) {
			if _, there := artifact.Has(file); !there && matcher.Match(strings.Split(file, "/"), false) {
				out = append(out, file)
			}
		}
		says := "none of the files that the agent reads"
		if len(out) > 0 {
			says = fmt.Sprintf("%s of %d that the agent reads: %s", counted(len(out), "file"), len(read), few(out))
		}
		r.about(flux1.SourceIgnore, name, "Flux v2 leaves out by %s, which fluxd does not heed, %s", name, says)
	}
}

// wouldDo says what a kustomization file would leave out of its folder, and which of its
// fields would change the rest; empty if it does neither.
func (r *reading) wouldDo(file string) string {
	o := r.index.folders[path.Dir(file)]
	var fields map[string]any
	if o == nil || o.file != file || sigsyaml.Unmarshal(o.content, &fields) != nil || fields == nil {
		return "cannot be read, or is not the only one of its folder"
	}
	for _, name := range []string{"apiVersion", "kind", "metadata", "resources", "bases"} {
		delete(fields, name)
	}
	used, folders := map[string]bool{}, slices.Clone(o.folders)
	for name, value := range fields {
		named := pathsIn(o.dir, value, nil)
		for _, p := range named {
			used[p] = true // as a patch, or by what makes or changes objects
		}
		if slices.Contains([]string{"generators", "transformers", "validators"}, name) {
			folders = append(folders, named...)
		}
	}
	var left []string
	for _, f := range r.agent.Files {
		if f.Kind == migrate.FileManifest && !f.Kustomization && below(f.Path, o.dir) && !slices.Contains(o.files, f.Path) && !used[f.Path] &&
			!slices.ContainsFunc(folders, func(dir string) bool { return below(f.Path, dir) }) {
			left = append(left, f.Path)
		}
	}
	var does []string
	if len(left) > 0 {
		does = append(does, "leave out "+few(left))
	}
	if len(fields) > 0 {
		does = append(does, "change what it builds by its "+few(slices.Sorted(maps.Keys(fields))))
	}
	if len(does) == 0 {
		return ""
	}
	return "would " + strings.Join(does, " and ")
}

// pathsIn adds the paths that the texts of a field of a kustomization file may lead to, also behind a key (a=file).
func pathsIn(dir string, field any, to []string) []string {
	switch field := field.(type) {
	case map[string]any:
		for _, v := range field {
			to = pathsIn(dir, v, to)
		}
	case []any:
		for _, v := range field {
			to = pathsIn(dir, v, to)
		}
	case string:
		if _, file, keyed := strings.Cut(field, "="); keyed {
			field = file
		}
		if field != "" && !strings.Contains(field, "\n") {
			to = append(to, path.Join(dir, field))
		}
	}
	return to
}

// lfsPatterns are those of a .gitattributes file whose files are kept in Git LFS.
func (r *reading) lfsPatterns(file string) []string {
	content, err := r.readFile(r.index, file)
	if err != nil {
		return nil
	}
	var patterns []string
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && !strings.HasPrefix(fields[0], "#") && slices.Contains(fields[1:], "filter=lfs") {
			patterns = append(patterns, fields[0])
		}
	}
	return patterns
}

// pointerHead begins every pointer file, which is of at most maxPointer bytes
// (git-lfs: docs/spec.md).
const (
	pointerHead = "version https://git-lfs.github.com/spec/"
	maxPointer  = 1024
)

// isPointer reports whether a file is a pointer of Git LFS.
func (r *reading) isPointer(name string) bool {
	info, err := fs.Stat(r.tree, name)
	if err != nil || !info.Mode().IsRegular() || info.Size() < int64(len(pointerHead)) || info.Size() >= maxPointer {
		return false
	}
	content, err := r.readFile(r.index, name)
	return err == nil && strings.HasPrefix(string(content), pointerHead)
}

const submodulesRemedy = "commit what is used of them into this repository, at the commits that are applied now, and take the commands that fetch them out of the .flux.yaml; let the old agent sync, and plan again; the new source fetches no submodules"

func (r *reading) surveySubmodules(file string) {
	content, err := r.readFile(r.index, file)
	if err != nil {
		return
	}
	var paths []string
	for _, line := range strings.Split(string(content), "\n") {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "path" {
			paths = append(paths, strings.TrimSpace(value))
		}
	}
	if len(paths) == 0 {
		return
	}
	f := flux1.Submodules.Finding(r.agent.ID, file, "submodules: "+few(paths))
	for _, g := range r.generations {
		if slices.ContainsFunc(g.Commands, func(command string) bool { return strings.Contains(command, "submodule") }) {
			f.Hint = submodulesRemedy
			f.Message += fmt.Sprintf("; a command of %s fetches them, so that what they hold may be applied today", g.File)
			break
		}
	}
	r.find(f)
}

func (r *reading) surveyGenerations() {
	for _, g := range r.generations {
		if g.Variety == "commandUpdated" && g.Updaters == 0 {
			r.about(flux1.NoUpdaters, g.File, "%s names no updaters for path %q", g.File, cmp.Or(g.Root, "."))
		}
		if g.PatchFile == "" {
			continue
		}
		for _, p := range r.objectsIn(g.PatchFile) {
			sets, removes := patchSays(p.Manifest)
			for _, said := range []struct{ verb, what string }{{"sets on", sets}, {"takes away from", removes}} {
				if said.what != "" {
					r.find(flux1.FluxPatch.About(r.agent.ID, migrate.ObjectID(p.Manifest), fileLine(p.File, p.Line),
						fmt.Sprintf("for path %q, %s alone %s %s: %s", cmp.Or(g.Root, "."), p.File, said.verb, resourceName(p.Manifest), said.what)))
				}
			}
		}
	}
}

func resourceName(u *unstructured.Unstructured) string {
	return flux1.ResourceID(u.GetNamespace(), u.GetKind(), u.GetName())
}

// patchSays sums up what a strategic merge patch sets: images by container,
// annotations by key, other fields by name; and what it takes away, by name.
func patchSays(u *unstructured.Unstructured) (sets, removes string) {
	var images, annotations, others, removed []string
	had := map[string]bool{} // of others
	var walk func(v any, where string, depth int)
	walk = func(v any, where string, depth int) {
		if depth > flux1.DefaultLimits.Depth {
			return
		}
		switch v := v.(type) {
		case map[string]any:
			name, _ := v["name"].(string)
			for _, key := range slices.Sorted(maps.Keys(v)) {
				at := strings.TrimPrefix(where+"."+key, ".")
				image, isText := v[key].(string)
				switch {
				case strings.HasPrefix(key, "$setElementOrder") || at == "apiVersion" || at == "kind" || at == "metadata.name" || at == "metadata.namespace":
				case key == "image" && isText:
					images = append(images, name+"="+image)
				case key == "name" && len(v) > 1 && isText:
				default:
					walk(v[key], at, depth+1)
				}
			}
		case []any:
			for _, e := range v {
				walk(e, where, depth+1)
			}
		case nil:
			removed = append(removed, where)
		default:
			if key, ok := strings.CutPrefix(where, "metadata.annotations."); ok {
				annotations = append(annotations, key)
			} else if !had[where] {
				had[where] = true
				others = append(others, where)
			}
		}
	}
	walk(u.Object, "", 0)
	var parts []string
	for _, part := range []struct {
		what  string
		names []string
	}{{"images ", images}, {"annotations ", annotations}, {"fields ", others}} {
		if len(part.names) > 0 {
			parts = append(parts, part.what+few(part.names))
		}
	}
	if len(removed) > 0 {
		removes = few(removed)
	}
	return strings.Join(parts, "; "), removes
}

// overlaysInUse are the kustomization files behind the agent's generated paths,
// and those below the paths that it scans; sorted. Where it is not clear what a
// path is generated from, all below it count.
func (r *reading) overlaysInUse() []*overlay {
	found := map[string]*overlay{}
	for _, g := range r.generations {
		reached := 0
		for _, command := range g.Commands {
			if dir, err := kustomizeFolder(command, g.Dir); err == nil {
				for _, o := range r.reached(dir) {
					found[o.dir] = o
					reached++
				}
				if b, built := r.index.builds[dir]; built && b.err != nil {
					r.failed = append(r.failed, dir)
				}
			}
		}
		for dir, o := range r.index.folders {
			if reached == 0 && below(dir, g.Dir) {
				found[dir] = o
			}
		}
	}
	for dir, o := range r.index.folders {
		if r.inPaths(dir, false) {
			found[dir] = o
		}
	}
	var out []*overlay
	for _, o := range found {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b *overlay) int { return strings.Compare(a.dir, b.dir) })
	return out
}

// candidates are the objects of the files from which paths are generated whose
// objects cannot be told: each stands in Git, and may be applied.
func (r *reading) candidates() []flux1.Parsed {
	var files []string
	for _, g := range r.untold {
		reached := false
		for _, command := range g.Commands {
			if dir, err := kustomizeFolder(command, g.Dir); err == nil {
				for _, o := range r.reached(dir) {
					files, reached = append(files, o.files...), true
				}
			}
		}
		if reached {
			continue
		}
		patches := map[string]bool{g.PatchFile: true}
		for _, o := range r.index.folders {
			for _, p := range o.patches {
				patches[p.file] = true
			}
		}
		for _, name := range r.index.files {
			ext := path.Ext(name)
			if (ext == ".yaml" || ext == ".yml") && below(name, g.Dir) && !patches[name] && !r.inChart(name) {
				files = append(files, name)
			}
		}
	}
	slices.Sort(files)
	seen := map[string]bool{} // by Load, since another path is scanned
	for _, f := range r.agent.Files {
		seen[f.Path] = f.Kind == migrate.FileManifest
	}
	var out []flux1.Parsed
	for _, name := range slices.Compact(files) {
		if seen[name] {
			continue
		}
		out = append(out, r.objectsIn(name)...)
	}
	patched := newPatched(out)
	for _, g := range r.untold {
		patches, err := r.patchesOf(g)
		if err != nil {
			continue // that what is generated is not told says so
		}
		for _, p := range patches {
			patched.by(p)
		}
	}
	return patched.objects
}

// patched are objects, as patches of patch files leave them.
type patched struct {
	objects []flux1.Parsed
	at      map[objectName][]int // those of a name, in order
}

func newPatched(objects []flux1.Parsed) *patched {
	p := &patched{at: map[objectName][]int{}}
	for _, o := range objects {
		p.add(o)
	}
	return p
}

func (p *patched) add(o flux1.Parsed) {
	name := namedAs(o.Manifest)
	p.at[name] = append(p.at[name], len(p.objects))
	p.objects = append(p.objects, o)
}

// by applies a patch to the first object that it is for: where none has its namespace, one that names none,
// which may yet get it. What it says of an object that does not stand here counts by itself.
func (p *patched) by(patch flux1.Parsed) {
	name := namedAs(patch.Manifest)
	its := p.at[name]
	if len(its) == 0 {
		name.namespace = ""
		its = p.at[name]
	}
	if len(its) == 0 {
		p.add(patch)
		return
	}
	i := its[0]
	with := p.objects[i].Manifest.DeepCopy()
	if err := patchObject(with, patch.Manifest); err != nil {
		p.add(patch)
		return
	}
	if with.GetNamespace() == "" {
		with.SetNamespace(patch.Manifest.GetNamespace())
	}
	p.objects[i].Manifest = with
	if is := namedAs(with); is != name {
		p.at[name] = its[1:]
		place, _ := slices.BinarySearch(p.at[is], i)
		p.at[is] = slices.Insert(p.at[is], place, i)
	}
}

func (r *reading) inChart(name string) bool {
	return slices.ContainsFunc(r.index.charts, func(dir string) bool { return below(name, dir) })
}

// surveyOldFields names the kustomization files in use that are of an older Kustomize: each
// that a path is built of, and the others, which fluxd passes over as it scans, together.
func (r *reading) surveyOldFields() {
	builds := map[*overlay]bool{}
	for _, g := range r.generations {
		for _, command := range g.Commands {
			if dir, err := kustomizeFolder(command, g.Dir); err == nil {
				for _, o := range r.reached(dir) {
					builds[o] = true
				}
			}
		}
	}
	var others []string
	for _, o := range r.inUse {
		switch {
		case len(o.old) == 0:
		case builds[o]:
			r.about(flux1.OldKustomizeFields, fileLine(o.file, lineWith(o.content, o.old[0]+":")), "%s uses the fields %s", o.file, strings.Join(o.old, ", "))
		default:
			others = append(others, o.file)
		}
	}
	if len(others) > 0 {
		f := flux1.OldKustomizeFields.Finding(r.agent.ID, "", fmt.Sprintf("kustomization files that no build of the agent is known to read use such fields (%d): %s", len(others), few(others)))
		f.Hint = `nothing, unless something builds them; then "kustomize edit fix" rewrites them`
		r.find(f)
	}
}

func (r *reading) surveyOverlay(o *overlay) {
	if len(o.remote) > 0 {
		var shownURLs []string
		for _, base := range o.remote {
			shownURLs = append(shownURLs, flux1.DisplayURL(base))
		}
		r.about(flux1.RemoteBase, o.file, "%s is made of %s", o.file, few(shownURLs))
	}
	for _, p := range o.patches {
		objects := r.patchObjects(o, p)
		for _, patched := range objects {
			if isHelmRelease1(patched.Manifest) {
				r.find(flux1.HelmRelease1Patch.About(r.agent.ID, migrate.ObjectID(patched.Manifest), fileLine(patched.File, patched.Line),
					fmt.Sprintf("%s patches %s", o.file, resourceName(patched.Manifest))))
			}
		}
		if len(objects) == 0 && p.target == "HelmRelease" {
			r.about(flux1.HelmRelease1Patch, o.file, "%s patches HelmRelease objects", o.file)
		}
	}
}

func isHelmRelease1(u *unstructured.Unstructured) bool {
	group := u.GroupVersionKind().Group
	return u.GetKind() == "HelmRelease" && (group == "helm.fluxcd.io" || group == "flux.weave.works")
}

func (r *reading) surveyObjects() {
	var sealed, releases, automated []string
	ofFlux2 := map[string][]int{} // the findings about an object of Flux v2
	name := func(i int) {
		if f := r.findings[i]; f.Code == flux1.Flux2InGit.Name {
			ofFlux2[f.Subject] = append(ofFlux2[f.Subject], i)
		}
	}
	for i := range r.findings {
		name(i)
	}
	look := func(u *unstructured.Unstructured, id, where string, encrypted bool) {
		about := func(code flux1.Code, format string, args ...any) {
			r.find(code.About(r.agent.ID, id, where, fmt.Sprintf(format, args...)))
		}
		gk := u.GroupVersionKind().GroupKind()
		switch {
		case gk == schema.GroupKind{Group: "bitnami.com", Kind: "SealedSecret"}:
			sealed = append(sealed, resourceName(u))
		case isHelmRelease1(u) && encrypted:
			about(flux1.HelmRelease1Object, "%s is encrypted in Git, and what it says is not told", resourceName(u))
		case isHelmRelease1(u):
			about(flux1.HelmRelease1Object, "%s is %s", resourceName(u), releaseMeaning(u, r.agent.Git.URL))
		case strings.HasSuffix(gk.Group, ".toolkit.fluxcd.io") && !encrypted:
			for _, i := range ofFlux2[r.agent.ID+" "+id] {
				r.findings[i].Message += doesInFlux2(u)
			}
		}
		surveyAnnotations(u, func(code flux1.Code, keys []string, format string, args ...any) {
			r.find(code.About(r.agent.ID, id, cmp.Or(r.patchedAt(u, keys), where), fmt.Sprintf(format, args...)))
		})
	}
	for i := range r.agent.Objects {
		if o := &r.agent.Objects[i]; o.Manifest != nil && o.Class != migrate.ClassForeign && o.Class != migrate.ClassIgnored {
			look(o.Manifest, o.ID, fileLine(o.File, o.Line), o.Encrypted)
			if o.Class != migrate.ClassUnknownKind {
				r.surveyDirectives(o)
				r.surveyMergedLists(o)
			}
		}
	}
	for _, p := range r.candidates() { // Load has not seen these
		u := p.Manifest
		if u.GroupVersionKind().Group == "kustomize.config.k8s.io" {
			continue
		}
		if strings.HasSuffix(u.GroupVersionKind().Group, ".toolkit.fluxcd.io") {
			r.find(flux1.Flux2InGit.About(r.agent.ID, migrate.ObjectID(u), fileLine(p.File, p.Line), resourceName(u)+" is an object of Flux v2"))
			name(len(r.findings) - 1)
		}
		if flux1.IgnoreValue(migrate.Annotations(u)) == "true" {
			continue
		}
		look(u, migrate.ObjectID(u), fileLine(p.File, p.Line), false)
		if isHelmRelease1(u) {
			releases = append(releases, resourceName(u))
		}
		if flux1.Automated(u.GroupVersionKind().GroupKind(), migrate.Annotations(u)) {
			automated = append(automated, resourceName(u))
		}
	}
	gather := func(code flux1.Code, what string, names []string) {
		if len(names) > 0 {
			slices.Sort(names)
			r.about(code, "", "%d %s: %s", len(names), what, few(names))
		}
	}
	gather(flux1.SealedSecrets, "SealedSecret objects", sealed)
	gather(flux1.HelmRelease1, "HelmRelease objects of the helm-operator stand where a path is generated from", releases)
	gather(flux1.ImageAutomation, "objects stand where a path is generated from whose images are updated automatically", automated)
}

// patchedAt is where a patch sets one of some annotations of an object: the patch file of
// a .flux.yaml, which comes last, or one that a kustomization file names; empty if none does.
func (r *reading) patchedAt(u *unstructured.Unstructured, keys []string) string {
	if r.inPatchFiles == nil {
		r.inPatchFiles = &patchesByName{at: map[objectName][]int{}}
		for _, g := range r.generations {
			if g.PatchFile != "" {
				r.inPatchFiles.add(r.objectsIn(g.PatchFile))
			}
		}
	}
	for _, p := range append(r.inPatchFiles.of(u), r.builtIn(u)...) {
		annotations := migrate.Annotations(p.Manifest)
		i := slices.IndexFunc(keys, func(key string) bool { return annotations[key] != "" })
		if i < 0 || p.Line == 0 {
			continue
		}
		line := p.Line
		if lines := r.linesIn(p.File); lines != nil {
			line = max(line, lines.of(line, []string{"metadata", "annotations", keys[i]}))
		}
		return fileLine(p.File, line)
	}
	return ""
}

// builtIn are the patches of an object that kustomization files name or hold; the
// latter have no line.
func (r *reading) builtIn(u *unstructured.Unstructured) []flux1.Parsed {
	if r.inBuilds == nil {
		r.inBuilds = &patchesByName{at: map[objectName][]int{}}
		for _, o := range r.inUse {
			for _, p := range o.patches {
				r.inBuilds.add(r.patchObjects(o, p))
			}
		}
	}
	return r.inBuilds.of(u)
}

// patchesByName are patches by what they are of.
type patchesByName struct {
	all []flux1.Parsed
	at  map[objectName][]int
}

func (x *patchesByName) add(patches []flux1.Parsed) {
	for _, p := range patches {
		name := namedAs(p.Manifest)
		x.at[name] = append(x.at[name], len(x.all))
		x.all = append(x.all, p)
	}
}

// of are those that are of an object, as far as they say, in order.
func (x *patchesByName) of(u *unstructured.Unstructured) (out []flux1.Parsed) {
	name := namedAs(u)
	its := slices.Clone(x.at[name])
	if name.namespace != "" {
		name.namespace = ""
		its = append(its, x.at[name]...)
	}
	slices.Sort(its)
	for _, i := range its {
		out = append(out, x.all[i])
	}
	return out
}

// patchObjects are what a patch of a kustomization file changes; none of a JSON patch.
func (r *reading) patchObjects(o *overlay, p patch) []flux1.Parsed {
	switch {
	case p.file != "":
		return r.objectsIn(p.file)
	case p.inline != "":
		objects, _ := flux1.Parse(o.file, []byte(p.inline), r.config.Limits)
		for i := range objects {
			objects[i].Line = 0
		}
		return objects
	}
	return nil
}

// directives are the keys in a value by which a strategic merge patch steers how it is
// merged (Kubernetes: apimachinery, pkg/util/strategicpatch/patch.go); sorted.
func directives(v any) []string {
	var found []string
	var walk func(v any, depth int)
	walk = func(v any, depth int) {
		if depth > flux1.DefaultLimits.Depth {
			return
		}
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				if key == "$patch" || key == "$retainKeys" || strings.HasPrefix(key, "$setElementOrder/") || strings.HasPrefix(key, "$deleteFromPrimitiveList/") {
					found = append(found, key)
				}
				walk(inner, depth+1)
			}
		case []any:
			for _, inner := range v {
				walk(inner, depth+1)
			}
		}
	}
	walk(v, 0)
	slices.Sort(found)
	return slices.Compact(found)
}

// surveyDirectives reports what an object and its patches hold that steers a patch and
// is no field: with the place that brings it in. What Kustomize leaves in an object of
// Kubernetes' own, the agent drops before it applies, as kustomize-controller does.
func (r *reading) surveyDirectives(o *migrate.Object) {
	name := resourceName(o.Manifest)
	report := func(code flux1.Code, file string, line int, names []string, message string) {
		if lines := r.linesIn(file); lines != nil {
			line = lines.holding(line, names[0])
		}
		f := code.About(r.agent.ID, o.ID, fileLine(file, line), message)
		if slices.ContainsFunc(r.generations, func(g flux1.Generation) bool { return g.PatchFile == file }) {
			f.Hint = fmt.Sprintf("take %s out of the patches of the kustomization file: fluxd applies it by itself after the build, and the plan carries what it holds; let the old agent sync, and plan again", file)
		}
		r.find(f)
	}
	custom := !slices.ContainsFunc(ownKinds().served, func(k migrate.ServedKind) bool {
		gvk := o.Manifest.GroupVersionKind()
		return k.Group == gvk.Group && k.Version == gvk.Version && k.Kind == gvk.Kind && k.Group != "apiextensions.k8s.io" // a definition holds fields of any name
	})
	keeps := func(file string, line int, names []string) {
		if custom {
			report(flux1.DirectiveUnread, file, line, names, fmt.Sprintf("%s has %s as a field, which its definition may not allow", name, few(names)))
		} else {
			report(flux1.DirectiveLeft, file, line, names, fmt.Sprintf("%s has %s as a field, which no API server takes", name, few(names)))
		}
	}
	found := directives(o.Manifest.Object)
	if applied := o.Manifest.DeepCopy(); o.Build == nil && len(found) > 0 {
		if err := build.Normalize(applied); err == nil && len(directives(applied.Object)) == 0 {
			report(flux1.DirectiveLeft, o.File, o.Line, found, fmt.Sprintf("%s has %s as a field: kubectl refuses it, and the new agent would apply it without", name, few(found)))
			return
		}
	}
	var patches []flux1.Parsed
	if o.Build != nil { // else no kustomization file has a say in it
		patches = r.builtIn(o.Manifest)
	}
	for _, p := range patches {
		names := directives(p.Manifest.Object)
		left := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(found, name) })
		unread := slices.DeleteFunc(names, func(name string) bool { return name == "$patch" || strings.HasPrefix(name, "$setElementOrder/") })
		switch {
		case len(left) > 0:
			keeps(p.File, p.Line, left)
			found = slices.DeleteFunc(found, func(name string) bool { return slices.Contains(left, name) })
		case len(unread) > 0:
			report(flux1.DirectiveUnread, p.File, p.Line, unread, fmt.Sprintf("a patch of %s has %s, which Kustomize 5 does not read: what it is to remove stays", name, few(unread)))
		}
	}
	if len(found) > 0 {
		keeps(o.File, o.Line, found)
	}
}

// surveyMergedLists reports the lists of an object that fluxd's Kustomize and Kustomize 5
// build differently, with the patch that holds each.
func (r *reading) surveyMergedLists(o *migrate.Object) {
	if o.Build == nil {
		return
	}
	for _, m := range r.index.builds[o.Build.Folder].merged {
		u := o.Manifest
		if m.object.GroupVersionKind() != u.GroupVersionKind() || m.object.GetName() != u.GetName() || m.object.GetNamespace() != u.GetNamespace() && m.object.GetNamespace() != "" {
			continue
		}
		where := fileLine(o.File, o.Line)
		for _, p := range r.builtIn(u) {
			if held, ok, _ := unstructured.NestedFieldNoCopy(p.Manifest.Object, m.at...); ok && held != nil {
				where = fileLine(p.File, p.Line)
			}
		}
		r.find(flux1.ListMerged.About(r.agent.ID, o.ID, where, fmt.Sprintf("a patch holds the list %s of %s: %s", strings.Join(m.at, "."), resourceName(u), m.says())))
	}
}

// releaseMeaning says which Helm release a HelmRelease of the helm-operator is
// (helm-operator: pkg/apis/helm.fluxcd.io/v1/types_helmrelease.go,
// pkg/release/release.go).
func releaseMeaning(u *unstructured.Unstructured, repository string) string {
	name, namespace := releaseOfHelmRelease(u)
	said := fmt.Sprintf("Helm release %s, its history in namespace %s", name, namespace)
	if namespace == "" {
		said = fmt.Sprintf("Helm release %s, its history in the namespace of the object", name)
	}
	// Where nothing says otherwise the operator keeps it with Helm 2; one before 1.0 knows no other
	// (helm-operator: pkg/apis/helm.fluxcd.io/v1, GetHelmVersion).
	const convert = "convert it to Helm 3 first (annotation helm.fluxcd.io/migrate), or helm-controller would install it a second time"
	note := ""
	switch version, _, _ := unstructured.NestedString(u.Object, "spec", "helmVersion"); {
	case version == "v2", version == "" && u.GroupVersionKind().Group != "helm.fluxcd.io":
		said, note = fmt.Sprintf("release %s of Helm 2, whose history Tiller keeps", name), "; "+convert
	case version != "v3":
		note = "; it does not say that it is of Helm 3 (spec.helmVersion): if Tiller keeps its history, " + convert
	}
	chart, _, _ := unstructured.NestedMap(u.Object, "spec", "chart")
	text := func(key string) string { s, _ := chart[key].(string); return s }
	switch {
	case text("git") != "":
		said += fmt.Sprintf(", of the chart in %s of %s", cmp.Or(text("path"), "the root"), flux1.DisplayURL(text("git")))
		if ref := text("ref"); ref != "" {
			said += " at " + ref
		}
		if SameRepository(text("git"), repository) {
			said += ", which is this very repository"
		}
	case text("name") != "":
		said += fmt.Sprintf(", of chart %s %s from %s", text("name"), text("version"), flux1.DisplayURL(text("repository")))
	}
	return said + note
}

// SameRepository reports whether two Git URLs are of one repository.
func SameRepository(a, b string) bool {
	return repositoryKey(a) != "" && repositoryKey(a) == repositoryKey(b)
}

// caselessHosts are those on which no two repositories have names that differ in their case
// alone, and each is reached by its name in any case (GitLab: app/models/concerns/routable.rb).
// Others may tell such names apart.
var caselessHosts = []string{"github.com", "gitlab.com"}

// repositoryKey is what Git URLs of one repository have in common, empty of what is no such
// URL: host and path without ".git", as servers compare them.
func repositoryKey(raw string) string {
	source, err := migrate.SourceURL(raw)
	if err != nil || raw == "" {
		return ""
	}
	_, rest, _ := strings.Cut(source, "://")
	_, host, path := migrate.SplitAuthority(rest)
	host = strings.ToLower(host)
	if slices.Contains(caselessHosts, host) {
		path = strings.ToLower(path)
	}
	return host + strings.TrimSuffix(strings.TrimSuffix(path, "/"), ".git")
}

// releaseOfHelmRelease is the release's name and namespace; the latter is empty
// where the object names none.
func releaseOfHelmRelease(u *unstructured.Unstructured) (name, namespace string) {
	name, _, _ = unstructured.NestedString(u.Object, "spec", "releaseName")
	target, _, _ := unstructured.NestedString(u.Object, "spec", "targetNamespace")
	own := u.GetNamespace()
	namespace = cmp.Or(target, own)
	if name == "" {
		parts := []string{own, u.GetName()}
		if target != "" && target != own {
			parts = []string{own, target, u.GetName()}
		}
		name = strings.TrimPrefix(strings.Join(parts, "-"), "-")
	}
	return name, namespace
}

// doesInFlux2 is what to add to the finding about an object of Flux v2: what it does.
func doesInFlux2(u *unstructured.Unstructured) string {
	text := func(fields ...string) string {
		s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, fields...)...)
		return s
	}
	meaning := ""
	switch u.GetKind() {
	case "Kustomization":
		prune, _, _ := unstructured.NestedBool(u.Object, "spec", "prune")
		meaning = fmt.Sprintf("it applies %s of %s %s", cmp.Or(text("path"), "the whole"), text("sourceRef", "kind"), text("sourceRef", "name"))
		if prune {
			meaning += " and deletes what leaves it"
		}
	case "GitRepository", "HelmRepository", "OCIRepository", "Bucket":
		meaning = "it fetches " + flux1.DisplayURL(cmp.Or(text("url"), text("endpoint")))
	case "HelmRelease":
		meaning = fmt.Sprintf("it installs Helm release %s of chart %s", cmp.Or(text("releaseName"), u.GetName()), cmp.Or(text("chart", "spec", "chart"), text("chartRef", "name")))
	case "ImageUpdateAutomation":
		meaning = "it commits new images"
	}
	if meaning == "" {
		return ""
	}
	return ": " + meaning
}

// saysNo reports whether the value of an ignore annotation plainly means that the object
// is not to be ignored, as fluxd takes every value but "true".
func saysNo(value string) bool {
	return slices.Contains([]string{"", "0", "f", "false", "n", "no", "off"}, strings.ToLower(strings.TrimSpace(value)))
}

// surveyAnnotations reports Flux v1's annotations: of automation, under both
// prefixes (flux: pkg/cluster/kubernetes/resource/resource.go,
// pkg/policy/policy.go), and ignore annotations that have no effect.
// Each is reported with the keys that it is about.
func surveyAnnotations(u *unstructured.Unstructured, about func(code flux1.Code, keys []string, format string, args ...any)) {
	annotations := migrate.Annotations(u)
	var policies, unordered, policyKeys, timeKeys, automatedKeys []string
	containers, known := containersOf(u)
	filtered := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value := annotations[key]
		name, isPolicy := "", false
		for _, prefix := range []string{"fluxcd.io/", "flux.weave.works/"} {
			if rest, ok := strings.CutPrefix(key, prefix); ok {
				name, isPolicy = rest, true
			}
		}
		if rest, ok := strings.CutPrefix(key, "filter.fluxcd.io/"); ok {
			name, isPolicy = "tag."+rest, true
		}
		switch {
		case !isPolicy:
			continue
		case name == "ignore":
			if value != "true" && value != "sync_only" && !saysNo(value) {
				about(flux1.IgnoreWithoutEffect, []string{key}, "%s has %s: %q, which has no effect", resourceName(u), key, value)
			}
			continue
		case (name == "automated" || name == "locked") && value != "true":
			continue // it has no effect (flux: pkg/cluster/kubernetes/resource/resource.go)
		case name == "automated":
			automatedKeys = append(automatedKeys, key)
		case name == "locked":
		case strings.HasPrefix(name, "locked_"):
			continue // who and why, for people
		case strings.HasPrefix(name, "tag."):
			container := strings.TrimPrefix(name, "tag.")
			filtered[container] = true
			switch {
			case known && !slices.Contains(containers, container):
				policies, policyKeys = append(policies, key+": "+value+" (which names no container, and has no effect)"), append(policyKeys, key)
				continue
			case !strings.HasPrefix(value, "semver:"):
				unordered, timeKeys = append(unordered, key+": "+value), append(timeKeys, key)
			}
		default:
			continue
		}
		policies, policyKeys = append(policies, key+": "+value), append(policyKeys, key)
	}
	if len(policies) > 0 {
		about(flux1.ImagePolicy, policyKeys, "%s carries %s", resourceName(u), few(policies))
	}
	// A container without a filter of its own is given the newest image, whatever the others
	// have (flux: pkg/policy/policy.go, GetTagPattern).
	free := slices.DeleteFunc(slices.Clone(containers), func(name string) bool { return filtered[name] })
	switch {
	case len(filtered) == 0 || known && len(free) == len(containers) && len(free) > 0:
		unordered, timeKeys = []string{"it has no filter"}, automatedKeys
		if len(filtered) > 0 {
			unordered[0] = "no filter names a container of it"
		}
	case len(free) > 0:
		for _, name := range free {
			unordered = append(unordered, "container "+name+" has no filter")
		}
		timeKeys = append(timeKeys, automatedKeys...)
	}
	if flux1.Automated(u.GroupVersionKind().GroupKind(), annotations) && len(unordered) > 0 {
		about(flux1.ImageFilter, timeKeys, "%s is updated by build time: %s", resourceName(u), few(unordered))
	}
}

// containersOf are the names of the containers that fluxd updates in a workload (flux:
// pkg/cluster/kubernetes/resource/spec.go); known is false of what has no pod template, as a
// HelmRelease, whose values tell them, and of a patch, which need not name all.
func containersOf(u *unstructured.Unstructured) (names []string, known bool) {
	at, required := []string{"spec", "template", "spec"}, "selector"
	if u.GetKind() == "CronJob" {
		at, required = []string{"spec", "jobTemplate", "spec", "template", "spec"}, "schedule"
	}
	pod, _, _ := unstructured.NestedMap(u.Object, at...)
	if _, whole, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", required); !whole {
		return nil, false
	}
	for _, field := range []string{"containers", "initContainers"} {
		list, _ := pod[field].([]any)
		for _, c := range list {
			fields, _ := c.(map[string]any)
			if name, ok := fields["name"].(string); ok {
				names = append(names, name)
			}
		}
	}
	return names, len(names) > 0
}
