package discover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
	sigsyaml "sigs.k8s.io/yaml"
)

// index is what the whole repository holds beside manifests, below the agent's
// paths or not.
type index struct {
	// files in the order of paths; links to folders apart.
	files, linkedFolders []string
	// charts are the folders of Helm charts that lie in no other chart.
	charts []string
	// read are those that were read whole, by folder.
	read map[string]localChart
	// folders are the kustomization files, by folder.
	folders  map[string]*overlay
	builds   map[string]built
	parsed   map[string][]flux1.Parsed
	contents map[string][]byte
	lines    map[string]*textLines
	// tooLarge are the files that exceed the limits, and why.
	tooLarge map[string]error
	bytes    int64
	// whole is all of the repository, for builds; budget is what those of folders may take together.
	whole  *build.Artifact
	budget *build.Budget
	// looks are what was held against each other so far, to tell of the agents that are declared (see look);
	// toldOfLooks is true once it is told that there were too many.
	looks       int
	toldOfLooks bool
}

// maxLooks bounds what of a repository is held against each other: each Kustomization of Flux v2 against each
// object that it may apply, bindings against agents (see maxBindingLooks), what is given to each release of a chart. A look takes about a microsecond. It is a
// variable for tests.
var maxLooks = 20_000_000

// look counts so many looks; it reports whether there are any left. What is not looked at then is
// told by agentsOf.
func (r *reading) look(n int) bool {
	r.index.looks += n
	return r.index.looks <= maxLooks
}

// overlay is one kustomization file.
type overlay struct {
	file, dir string
	content   []byte
	// folders and files it is made of, from the repository's root.
	folders, files []string
	remote         []string
	patches        []patch
	// old fields in use, in their order.
	old []string
	// namespace, prefix and suffix that it sets.
	namespace, prefix, suffix string
	// hasResources is true if it names any under resources.
	hasResources bool
	// generates is true if it makes objects by generators or of charts of Helm.
	generates bool
}

// patch of a kustomization file: in a file of its own, or inline.
type patch struct {
	file   string
	inline string
	// target kind, if it names one; targeted is true if it has any target.
	target   string
	targeted bool
}

type built struct {
	objects []flux1.Parsed
	// reads are the files that were read for it, whatever names them, up to the one
	// at which it failed; nil if none was.
	reads []string
	// merged are the lists that Kustomize 5 merges, and fluxd's Kustomize does not.
	merged []mergedList
	err    error
}

// mergedList is a list of a built object that a patch holds: fluxd's Kustomize
// replaces the object's own by it, Kustomize 5 merges the two.
type mergedList struct {
	object *unstructured.Unstructured
	// at are the names that lead to it.
	at []string
	// old and new are what becomes of it.
	old, new []any
}

// traced is a tree that notes which files are read.
type traced struct {
	fs.FS
	files map[string]bool
}

func (t traced) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(t.FS, name) }

func (t traced) ReadFile(name string) ([]byte, error) {
	t.files[name] = true
	return fs.ReadFile(t.FS, name)
}

// oldFields are the fields that Kustomize 5 calls deprecated.
var oldFields = []string{"bases", "commonLabels", "helmChartInflationGenerator", "imageTags", "patchesJson6902", "patchesStrategicMerge", "vars"}

// maxFolders is how many kustomization folders are looked at.
const maxFolders = 5000

// makeIndex looks at every file's name, once.
func (r *reading) makeIndex(ctx context.Context) error {
	if r.index != nil {
		return nil
	}
	x := &index{folders: map[string]*overlay{}, builds: map[string]built{}, parsed: map[string][]flux1.Parsed{}, contents: map[string][]byte{}, lines: map[string]*textLines{}, tooLarge: map[string]error{}}
	r.index = x
	tree := r.tree
	return fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err != nil {
			return nil // reported where fluxd would look
		}
		if d.IsDir() {
			if len(x.charts) == 0 || !below(p, x.charts[len(x.charts)-1]) {
				if isFile(tree, path.Join(p, "Chart.yaml")) && isFile(tree, path.Join(p, "values.yaml")) {
					x.charts = append(x.charts, p)
				}
			}
			return nil
		}
		if len(x.files) >= r.config.Limits.Files {
			return fs.SkipAll // Load reports it
		}
		if d.Type()&fs.ModeSymlink != 0 {
			if info, err := fs.Stat(tree, p); err == nil && info.IsDir() {
				x.linkedFolders = append(x.linkedFolders, p)
				return nil
			}
		}
		x.files = append(x.files, p)
		switch path.Base(p) {
		case "kustomization.yaml", "kustomization.yml", "Kustomization":
			if len(x.folders) < maxFolders && x.folders[path.Dir(p)] == nil {
				x.folders[path.Dir(p)] = r.readOverlay(x, p)
			}
		}
		return nil
	})
}

func isFile(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && info.Mode().IsRegular()
}

// below reports whether p is dir or lies in it.
func below(p, dir string) bool {
	return dir == "." || p == dir || strings.HasPrefix(p, dir+"/")
}

// readFile reads a file within the limits on one file and on all together.
func (r *reading) readFile(x *index, name string) ([]byte, error) {
	info, err := fs.Stat(r.tree, name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", name)
	case info.Size() > r.config.Limits.FileBytes:
		return nil, fmt.Errorf("%s is larger than %d bytes", name, r.config.Limits.FileBytes)
	}
	if x.bytes += info.Size(); x.bytes > r.config.Limits.TotalBytes {
		return nil, fmt.Errorf("the files read hold more than %d bytes together", r.config.Limits.TotalBytes)
	}
	return fs.ReadFile(r.tree, name)
}

// readOverlay reads a kustomization file; one that cannot be read is empty, and
// fails when its folder is built.
func (r *reading) readOverlay(x *index, file string) *overlay {
	o := &overlay{file: file, dir: path.Dir(file)}
	content, err := r.readFile(x, file)
	if err != nil {
		return o
	}
	o.content = content
	var doc map[string]any
	if err := sigsyaml.Unmarshal(content, &doc); err != nil {
		return o
	}
	for _, name := range oldFields {
		if _, ok := doc[name]; ok {
			o.old = append(o.old, name)
		}
	}
	o.hasResources = len(entriesOf(doc["resources"])) > 0
	o.generates = slices.ContainsFunc([]string{"generators", "helmCharts", "helmChartInflationGenerator"}, func(name string) bool { return doc[name] != nil })
	o.namespace, _ = doc["namespace"].(string)
	o.prefix, _ = doc["namePrefix"].(string)
	o.suffix, _ = doc["nameSuffix"].(string)
	for _, name := range []string{"resources", "bases", "components"} {
		for _, entry := range entriesOf(doc[name]) {
			if remoteBase(entry) {
				o.remote = append(o.remote, entry)
				continue
			}
			at := path.Join(o.dir, entry)
			if info, err := fs.Stat(r.tree, at); err == nil && info.IsDir() {
				o.folders = append(o.folders, at)
			} else {
				o.files = append(o.files, at)
			}
		}
	}
	for _, name := range []string{"patchesStrategicMerge", "patches", "patchesJson6902"} {
		entries, _ := doc[name].([]any)
		for _, entry := range entries {
			var p patch
			switch e := entry.(type) {
			case string:
				if strings.Contains(e, "\n") {
					p.inline = e
				} else {
					p.file = path.Join(o.dir, e)
				}
			case map[string]any:
				if file, ok := e["path"].(string); ok && file != "" {
					p.file = path.Join(o.dir, file)
				}
				p.inline, _ = e["patch"].(string)
				var target map[string]any
				target, p.targeted = e["target"].(map[string]any)
				p.target, _ = target["kind"].(string)
			}
			o.patches = append(o.patches, p)
		}
	}
	return o
}

func entriesOf(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// remoteBase reports whether an entry of a kustomization file is taken from
// elsewhere: a URL, Git's short form, or a host's name in front.
func remoteBase(entry string) bool {
	host, _, _ := strings.Cut(entry, "/")
	return strings.Contains(entry, "://") || strings.Contains(entry, "?ref=") || strings.HasPrefix(entry, "git@") ||
		strings.HasPrefix(entry, "git::") || host == "github.com" || host == "gitlab.com" || host == "bitbucket.org"
}

// lineWith is the first line of content that begins with text; 0 if there is none.
func lineWith(content []byte, text string) int {
	for i, line := range bytes.Split(content, []byte("\n")) {
		if bytes.HasPrefix(line, []byte(text)) {
			return i + 1
		}
	}
	return 0
}

// fileLine is a place for people.
func fileLine(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// objectsIn reads the objects of a file, once. What cannot be read is left out
// here; Load reports it where fluxd looks.
func (r *reading) objectsIn(file string) []flux1.Parsed {
	x := r.index
	if objects, ok := x.parsed[file]; ok {
		return objects
	}
	x.parsed[file] = nil
	content, err := r.readFile(x, file)
	if err != nil {
		if info, statErr := fs.Stat(r.tree, file); statErr == nil && info.Mode().IsRegular() {
			x.tooLarge[file] = err
		}
		return nil
	}
	objects, err := flux1.Parse(file, content, r.config.Limits) // what stands before a fault is used
	if errors.Is(err, flux1.ErrTooLarge) {
		x.tooLarge[file] = err
	}
	x.parsed[file] = objects
	return objects
}

// fits reports why a folder is not to be built: kustomize bounds neither the
// nesting of its files nor their number of documents.
func (r *reading) fits(dir string) error {
	for _, o := range r.reached(dir) {
		names := append([]string{o.file}, o.files...)
		for _, p := range o.patches {
			if p.file != "" {
				names = append(names, p.file)
			}
		}
		for _, name := range names {
			if r.objectsIn(name); r.index.tooLarge[name] != nil {
				return r.index.tooLarge[name]
			}
		}
	}
	return nil
}

// reached are the kustomization files that a folder is built from, its own
// first.
func (r *reading) reached(dir string) []*overlay {
	var out []*overlay
	seen := map[string]bool{}
	var visit func(string)
	visit = func(dir string) {
		o := r.index.folders[dir]
		if o == nil || seen[dir] {
			return
		}
		seen[dir] = true
		out = append(out, o)
		for _, f := range o.folders {
			visit(f)
		}
	}
	visit(dir)
	return out
}

var errNoOverlay = errors.New("the folder has no kustomization file")

// keepAll is an ignore pattern that takes back in what source-controller leaves
// out by default: fluxd builds from the whole clone.
const keepAll = "!*"

// build renders a kustomization folder in memory, once. Each object says which
// file it comes from; it is not to be changed.
func (r *reading) build(ctx context.Context, dir string) ([]flux1.Parsed, error) {
	if r.index.folders[dir] == nil {
		return nil, fmt.Errorf("folder %s: %w", dir, errNoOverlay)
	}
	if b, ok := r.index.builds[dir]; ok {
		return b.objects, b.err
	}
	b := built{err: r.fits(dir)}
	if b.err == nil {
		b.objects, b.reads, b.err = r.render(ctx, dir, nil)
	}
	if errors.Is(b.err, build.ErrTooLarge) {
		r.tooLarge(dir, b.err)
	}
	r.index.builds[dir] = b
	return b.objects, b.err
}

// tooLarge tells of a folder that is not built because that would take too much.
func (r *reading) tooLarge(dir string, err error) {
	f := flux1.TooLarge.Finding(r.agent.ID, r.index.folders[dir].file, err.Error())
	if !r.inPaths(dir, true) && !slices.ContainsFunc(r.agent.Builds, func(b *migrate.KustomizeBuild) bool { return b.Folder == dir }) {
		f.Severity = migrate.Warning // the agent applies none of it, but an agent may be declared there
		f.Hint = "have the folder made of fewer folders, files, objects and patches, or ask the cluster as well which agents there are"
	}
	r.find(f)
}

// buildsOfRepository is how many builds, as large as one may be, all those of one
// repository may come to.
const buildsOfRepository = 2

// buildAsFluxd renders a kustomization folder as fluxd's Kustomize does, which lacks the
// schemas of some kinds that are patched here, and notes the lists that differ by that.
func (r *reading) buildAsFluxd(ctx context.Context, dir string) ([]flux1.Parsed, error) {
	objects, err := r.build(ctx, dir)
	if err != nil || !r.patchesWithoutSchema(dir) {
		return objects, err
	}
	old, _, err := r.render(ctx, dir, flux1.WithoutSchema)
	if err != nil {
		return nil, err
	}
	b := r.index.builds[dir]
	b.merged = listsMerged(old, objects)
	r.index.builds[dir] = b
	return old, nil
}

// patchesWithoutSchema reports whether what a folder is built of patches a list of what
// may be an object of a kind that fluxd's Kustomize has no schema of.
func (r *reading) patchesWithoutSchema(dir string) bool {
	for _, o := range r.reached(dir) {
		for _, p := range o.patches {
			for _, patched := range r.patchObjects(o, p) {
				if (p.targeted || slices.Contains(flux1.WithoutSchema, patched.Manifest.GroupVersionKind())) && holdsList(patched.Manifest.Object) {
					return true
				}
			}
		}
	}
	return false
}

func holdsList(v any) bool {
	switch v := v.(type) {
	case []any:
		return true
	case map[string]any:
		for _, inner := range v {
			if holdsList(inner) {
				return true
			}
		}
	}
	return false
}

// listsMerged are the outermost lists in which two builds of a folder differ.
func listsMerged(old, merged []flux1.Parsed) []mergedList {
	var out []mergedList
	for _, o := range old {
		i := slices.IndexFunc(merged, func(n flux1.Parsed) bool { return migrate.ObjectID(n.Manifest) == migrate.ObjectID(o.Manifest) })
		if i < 0 {
			continue
		}
		var walk func(old, merged any, at []string)
		walk = func(old, merged any, at []string) {
			switch m := merged.(type) {
			case map[string]any:
				o, _ := old.(map[string]any)
				for _, key := range slices.Sorted(maps.Keys(m)) {
					walk(o[key], m[key], append(slices.Clone(at), key))
				}
			case []any:
				if l, _ := old.([]any); !reflect.DeepEqual(l, m) {
					out = append(out, mergedList{object: o.Manifest, at: at, old: l, new: m})
				}
			}
		}
		walk(o.Manifest.Object, merged[i].Manifest.Object, nil)
	}
	return out
}

// says tells what the list holds after either build, without a value: items by their
// names, or by their number, with the fields that only Kustomize 5 gives one of them.
func (m mergedList) says() string {
	return fmt.Sprintf("fluxd's own Kustomize (up to 3.8.7) has no schema of %s %s and gives %s; Kustomize 5 merges by key and gives %s",
		m.object.GetAPIVersion(), m.object.GetKind(), itemsSay(m.old, nil), itemsSay(m.new, m.old))
}

// itemsSay names the items of a list, with the fields that those of another list lack or
// have otherwise.
func itemsSay(list, beside []any) string {
	if len(list) == 0 {
		return "nothing"
	}
	nameOf := func(item any) string {
		fields, ok := item.(map[string]any)
		if !ok {
			return fmt.Sprint(item)
		}
		for _, key := range []string{"name", "mountPath", "devicePath", "containerPort", "ip", "topologyKey", "uid", "type"} {
			if fields[key] != nil {
				return fmt.Sprint(fields[key])
			}
		}
		return ""
	}
	var names []string
	for _, item := range list {
		name := nameOf(item)
		if name == "" {
			return fmt.Sprintf("%d items", len(list))
		}
		if i := slices.IndexFunc(beside, func(b any) bool { return nameOf(b) == name }); i >= 0 {
			a, _ := item.(map[string]any)
			b, _ := beside[i].(map[string]any)
			var more []string
			for _, key := range slices.Sorted(maps.Keys(a)) {
				if !reflect.DeepEqual(a[key], b[key]) {
					more = append(more, key)
				}
			}
			if len(more) > 0 {
				name += fmt.Sprintf(" (with other %s)", few(more))
			}
		}
		names = append(names, name)
	}
	return few(names)
}

// render builds a folder, as if Kustomize had no schema of some kinds.
func (r *reading) render(ctx context.Context, dir string, without []schema.GroupVersionKind) (out []flux1.Parsed, reads []string, err error) {
	ks := &kustomizev1.Kustomization{}
	ks.Name, ks.Namespace = "checkout", "checkout"
	ks.Spec.Path = dir
	ks.Spec.BuildMetadata = []kustomizev1.BuildMetadataOption{kustomizev1.BuildMetadataOriginAnnotations}
	limits := r.builds
	if limits == (build.Limits{}) {
		limits = build.DefaultLimits
	}
	if r.index.whole == nil {
		ignore := keepAll
		if r.index.whole, err = build.NewArtifact(r.tree, &ignore); err != nil {
			return nil, nil, err
		}
		r.index.budget = &build.Budget{Steps: buildsOfRepository * limits.Steps}
	}
	tree := traced{r.tree, map[string]bool{}}
	objects, err := build.Objects(ctx, build.Input{Artifact: r.index.whole.Through(tree), Kustomization: ks, WithoutSchema: without, Limits: limits, Budget: r.index.budget})
	reads = sortedNames(tree.files)
	if err != nil {
		return nil, reads, err
	}
	for _, u := range objects {
		annotations := u.GetAnnotations()
		p := flux1.Parsed{File: r.index.folders[dir].file, Manifest: u, Origin: annotations["config.kubernetes.io/origin"]}
		var origin struct{ Path, ConfiguredIn string }
		if err := sigsyaml.Unmarshal([]byte(p.Origin), &origin); err == nil {
			switch {
			case origin.Path != "":
				p.File = path.Join(dir, origin.Path)
			case origin.ConfiguredIn != "":
				p.File = path.Join(dir, origin.ConfiguredIn)
			}
		}
		delete(annotations, "config.kubernetes.io/origin")
		u.SetAnnotations(annotations)
		labels := u.GetLabels()
		delete(labels, kustomizev1.GroupVersion.Group+"/name")
		delete(labels, kustomizev1.GroupVersion.Group+"/namespace")
		u.SetLabels(labels)
		p.Line = r.lineOf(p)
		out = append(out, p)
	}
	return out, reads, nil
}

// lineOf finds where an object begins in the file that it comes from. Its name
// may have been changed by a prefix; then its kind has to be enough.
func (r *reading) lineOf(p flux1.Parsed) int {
	line, alike := 0, 0
	for _, d := range r.objectsIn(p.File) {
		if d.Manifest.GetKind() != p.Manifest.GetKind() {
			continue
		}
		if d.Manifest.GetName() == p.Manifest.GetName() {
			return d.Line
		}
		line, alike = d.Line, alike+1
	}
	if alike == 1 {
		return line
	}
	return 0
}

// shellSigns in a command make it more than one plain program.
var shellSigns = regexp.MustCompile("[|;&$<>`(){}*?\\\\\"'\n]")

// quotedWord is text that means the same to a shell without its quotes.
var quotedWord = regexp.MustCompile(`"([\w./=-]+)"|'([\w./=-]+)'`)

// kustomizeFolder is the folder that a generator builds, if it is a plain
// "kustomize build".
func kustomizeFolder(command, dir string) (string, error) {
	command = strings.TrimSpace(quotedWord.ReplaceAllString(command, "$1$2"))
	words := strings.Fields(command)
	if len(words) == 0 {
		return "", errors.New("a generator has no command")
	}
	if shellSigns.MatchString(command) || path.Base(words[0]) != "kustomize" || len(words) < 2 || words[1] != "build" {
		return "", fmt.Errorf("a generator (%s …) is not a plain kustomize build", program(words[0]))
	}
	folder := "."
	named := false
	for i := 2; i < len(words); i++ {
		w := words[i]
		name, _, joined := strings.Cut(w, "=")
		switch {
		case name == "--load_restrictor" || name == "--load-restrictor":
			if !joined {
				i++
			}
		case strings.HasPrefix(w, "-"):
			return "", fmt.Errorf("a generator gives kustomize the option %s", name)
		case named:
			return "", errors.New("a generator names two folders for kustomize")
		default:
			folder, named = w, true
		}
	}
	if remoteBase(folder) {
		return "", errors.New("a generator builds a folder of another repository")
	}
	at := path.Join(dir, folder)
	if path.IsAbs(folder) || !fs.ValidPath(at) {
		return "", errors.New("a generator builds a folder outside of the repository")
	}
	return at, nil
}

// program is a command's first word, if that can be shown.
func program(word string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./-]{1,40}$`).MatchString(word) {
		return word
	}
	return "a shell expression"
}

// decrypters are the programs that people have a generator decrypt with.
var decrypters = regexp.MustCompile(`\b(k?sops|gpg2?|git-crypt|git[- ]secret|helm[- ]secrets|ejson|blackbox_[a-z_]+|vault|openssl)\b|\bage (-d|--decrypt)\b`)

// decrypting is the word by which the commands of a .flux.yaml, or the scripts of the
// repository that they name, are seen to decrypt; empty if none is.
func (r *reading) decrypting(g flux1.Generation) string {
	for _, command := range g.Commands {
		if with := decrypters.FindString(command); with != "" {
			return with
		}
		for _, word := range strings.FieldsFunc(command, func(c rune) bool { return strings.ContainsRune(" \t\n\"'`;|&<>(){}", c) }) {
			script := path.Join(g.Dir, word)
			if r.index == nil || !fs.ValidPath(script) || !isFile(r.tree, script) {
				continue
			}
			content, err := r.contentOf(script)
			if err != nil {
				continue // too large for a script
			}
			if with := decrypters.Find(content); with != nil {
				return string(with) + " in " + script
			}
		}
	}
	return ""
}

// generate gives what a .flux.yaml makes of its folders, with its patch file
// applied as fluxd does.
func (r *reading) generate(ctx context.Context, g flux1.Generation, builds []*migrate.KustomizeBuild) ([]flux1.Parsed, error) {
	var out []flux1.Parsed
	for _, b := range builds {
		objects, err := r.buildAsFluxd(ctx, b.Folder)
		if reads := r.index.builds[b.Folder].reads; len(reads) > 0 {
			b.Reads = reads
		}
		switch {
		case errors.Is(err, build.ErrRemoteBase) || errors.Is(err, build.ErrTooLarge) || ctx.Err() != nil || err != nil && r.fits(b.Folder) != nil:
			return nil, err // fluxd may build what is refused here
		case err != nil:
			return nil, flux1.NotBuilt{Err: err}
		}
		for _, o := range objects {
			out = append(out, flux1.Parsed{File: o.File, Line: o.Line, Manifest: o.Manifest.DeepCopy(), Build: b, Origin: o.Origin})
		}
	}
	patches, err := r.patchesOf(g)
	if err != nil {
		return nil, flux1.NotBuilt{Err: err}
	}
	for _, p := range patches {
		// By what both say: fluxd fills no namespace in before (flux:
		// pkg/cluster/kubernetes/patch.go, applyManifestPatch).
		i := slices.IndexFunc(out, func(o flux1.Parsed) bool {
			return o.Manifest.GetKind() == p.Manifest.GetKind() && o.Manifest.GetName() == p.Manifest.GetName() && o.Manifest.GetNamespace() == p.Manifest.GetNamespace()
		})
		if i < 0 {
			return nil, flux1.NotBuilt{Err: fmt.Errorf("%s patches %s, which is not generated", fileLine(p.File, p.Line), resourceName(p.Manifest))}
		}
		if err := patchObject(out[i].Manifest, p.Manifest); err != nil {
			return nil, flux1.NotBuilt{Err: fmt.Errorf("%s cannot be applied: %w", fileLine(p.File, p.Line), err)}
		}
		out[i].Patches = append(out[i].Patches, p.Manifest)
	}
	return out, nil
}

// patchesOf reads the patch file of a .flux.yaml, which may be absent; its
// folder may not. Unlike elsewhere, what stands before a fault is not used:
// fluxd gives up, and a part of the patches would be a guess.
func (r *reading) patchesOf(g flux1.Generation) ([]flux1.Parsed, error) {
	name := g.PatchFile
	switch info, err := fs.Stat(r.tree, path.Dir(name)); {
	case name == "":
		return nil, nil
	case !fs.ValidPath(name):
		return nil, errors.New("its patch file lies outside of the repository")
	case err != nil || !info.IsDir():
		return nil, fmt.Errorf("the folder of its patch file %s does not exist", name)
	}
	content, err := r.readFile(r.index, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("its patch file cannot be read: %w", err)
	}
	return flux1.Parse(name, content, r.config.Limits)
}

// buildsOf are the folders that a .flux.yaml has Kustomize build, where that is
// all that its commands do.
func (r *reading) buildsOf(g flux1.Generation) ([]*migrate.KustomizeBuild, error) {
	if len(g.Commands) == 0 {
		return nil, errors.New("it names no generators")
	}
	var builds []*migrate.KustomizeBuild
	for _, command := range g.Commands {
		dir, err := kustomizeFolder(command, g.Dir)
		if err != nil {
			return nil, err
		}
		o := r.index.folders[dir]
		if o == nil {
			return nil, flux1.NotBuilt{Err: fmt.Errorf("folder %s: %w", dir, errNoOverlay)}
		}
		b := &migrate.KustomizeBuild{Root: g.Root, File: g.File, Folder: dir, Reads: []string{"."}, Namespace: o.namespace, NamePrefix: o.prefix, NameSuffix: o.suffix, NoResources: !o.hasResources}
		if g.PatchFile != "" && isFile(r.tree, g.PatchFile) {
			b.PatchFile = g.PatchFile
		}
		builds = append(builds, b)
	}
	return builds, nil
}

// patchObject applies a patch of fluxd's patch file: a strategic merge patch
// for kinds of Kubernetes' own, a merge patch for others (flux:
// pkg/cluster/kubernetes/patch.go).
func patchObject(o, patch *unstructured.Unstructured) (err error) {
	defer func() {
		if recover() != nil { // the library trusts its input's types
			err = errors.New("its fields do not fit the object")
		}
	}()
	like, known := scheme.Scheme.New(o.GroupVersionKind())
	if known != nil {
		o.Object = mergePatch(o.Object, patch.Object).(map[string]any)
		return nil
	}
	merged, err := strategicpatch.StrategicMergeMapPatch(o.Object, patch.DeepCopy().Object, like)
	if err != nil {
		return errors.New("its fields do not fit the object")
	}
	o.Object = merged
	return nil
}

// mergePatch is RFC 7386.
func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = mergePatch(t[k], v)
		}
	}
	return t
}

// tops are the kustomization folders that no other one is made of.
func (r *reading) tops() []string {
	used := map[string]bool{}
	for _, o := range r.index.folders {
		for _, f := range o.folders {
			used[f] = true
		}
	}
	var tops []string
	for dir := range r.index.folders {
		if !used[dir] {
			tops = append(tops, dir)
		}
	}
	slices.Sort(tops)
	// Folders that lead in a circle are each made of another: one of them counts.
	reached := map[string]bool{}
	mark := func(top string) {
		for _, o := range r.reached(top) {
			reached[o.dir] = true
		}
	}
	for _, top := range tops {
		mark(top)
	}
	for _, dir := range slices.Sorted(maps.Keys(r.index.folders)) {
		if !reached[dir] {
			tops = append(tops, dir)
			mark(dir)
		}
	}
	return tops
}
