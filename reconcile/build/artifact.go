package build

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"
)

// DefaultIgnore is what source-controller leaves out of an artifact when
// neither spec.ignore nor any .sourceignore file says anything, in the syntax
// of .gitignore. As soon as one pattern is given anywhere these no longer hold,
// so a generated `ignore` must begin with them. Git's own files are always left
// out and are not named here (source: fluxcd/pkg sourceignore/sourceignore.go).
const DefaultIgnore = `*.jpg
*.jpeg
*.gif
*.png
*.wmv
*.flv
*.tar.gz
*.zip
.github/
.circleci/
.travis.yml
.gitlab-ci.yml
appveyor.yml
.drone.yml
cloudbuild.yaml
codeship-services.yml
codeship-steps.yml
**/.goreleaser.yml
**/.sops.yaml
**/.flux.yaml
`

// Visible returns the files of the tree that survive the artifact filter, as
// slash-separated paths below the root, in the order of a depth-first walk.
// See NewArtifact.
func Visible(tree fs.FS, specIgnore *string) ([]string, error) {
	a, err := NewArtifact(tree, specIgnore)
	if err != nil {
		return nil, err
	}
	return a.Files(), nil
}

// Artifact is a tree as a Kustomization sees it: regular files only, less what
// the ignore rules leave out. It holds names, not contents: the tree must stay
// as it is for as long as the Artifact is used. It is safe for concurrent use
// and meant to be shared by all Kustomizations of one source and revision.
type Artifact struct {
	tree fs.FS
	// children of each visible folder by name; the key of the root is ".".
	children map[string][]child
	// folder says, for each path that is visible, whether it is a folder.
	folder map[string]bool
	// entries in the order of a depth-first walk, as they are archived.
	entries []entry
}

type child struct {
	name   string
	folder bool
}

type entry struct {
	path   string
	folder bool
}

// maxSteps bounds how the patterns of .sourceignore files are held against a tree, in
// steps of some 30 ns: each pattern against each part of each path, and of those with
// wildcards, at worst, each character against each of a path, stepChars in one. It
// is enough for a thousand plain patterns, or some hundred with wildcards, and 50,000 files.
const (
	maxSteps  = 250_000_000
	stepChars = 16
)

// wildcards is how many characters the patterns with wildcards have together.
func wildcards(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		if strings.ContainsAny(line, "*?[\\") && !strings.HasPrefix(line, "#") {
			n += len(line)
		}
	}
	return n
}

// Steps are about how many, of some 30 ns, it takes to hold the patterns of a text, as of a .sourceignore file,
// against paths that have so many parts and characters together.
func Steps(text string, parts, chars int) int {
	return steps(len(sourceignore.ReadPatterns(strings.NewReader(text), nil)), wildcards(text), parts, chars)
}

func steps(patterns, wild, parts, chars int) int {
	return patterns*parts + wild*chars/stepChars
}

// steps are those that it takes to hold the patterns against the entries.
func (w *filterWalk) steps() int {
	parts, chars := 0, 0
	for _, e := range w.entries {
		parts += strings.Count(e.path, "/") + 1
		chars += len(e.path)
	}
	return steps(len(w.patterns), w.wild, parts, chars)
}

// NewArtifact applies the artifact filter to a tree (source:
// fluxcd/pkg artifact/storage/archive.go, sourceignore/sourceignore.go): Git's
// own files go; symbolic links and other irregular files go; if any .sourceignore
// file in the tree or specIgnore (GitRepository.spec.ignore, nil for none) holds
// a pattern, the files that match go, the pattern of a deeper file and then
// those of specIgnore overruling earlier ones; otherwise DefaultIgnore holds.
// Patterns count per file, so a file can be taken back in from an ignored
// folder. An error is one of reading the tree and names the path, or says that the
// tree's .sourceignore files hold more patterns than its files can be held against.
func NewArtifact(tree fs.FS, specIgnore *string) (*Artifact, error) {
	if tree == nil {
		return nil, errors.New("filter the artifact: no tree given")
	}
	w := &filterWalk{tree: tree}
	if err := w.read(".", nil); err != nil {
		return nil, err
	}
	if specIgnore != nil { // its plain patterns are few, or made by a plan
		w.wild += wildcards(*specIgnore)
	}
	if w.steps() > maxSteps {
		return nil, fmt.Errorf("the .sourceignore files of the tree hold %d patterns, which are too many, or too long, as may be those of spec.ignore, to hold each of its %d files and folders against", len(w.patterns), len(w.entries))
	}
	patterns := w.patterns
	if specIgnore != nil {
		patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(*specIgnore), nil)...)
	}
	matcher := sourceignore.NewDefaultMatcher(nil, nil)
	if len(patterns) > 0 {
		matcher = sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), patterns...))
	}

	a := &Artifact{tree: tree, children: map[string][]child{".": nil}, folder: map[string]bool{".": true}}
	a.entries = append(a.entries, entry{path: ".", folder: true})
	for _, e := range w.entries {
		if matcher.Match(strings.Split(e.path, "/"), e.folder) {
			continue
		}
		a.entries = append(a.entries, e)
		a.show(e.path, e.folder)
	}
	for _, list := range a.children {
		sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	}
	return a, nil
}

// Through gives the same files as they are read through another tree, such as one that notes which are.
func (a *Artifact) Through(tree fs.FS) *Artifact {
	through := *a
	through.tree = tree
	return &through
}

// Ignoring applies the artifact filter to the same tree with another ignore text,
// as [NewArtifact] does.
func (a *Artifact) Ignoring(specIgnore *string) (*Artifact, error) {
	return NewArtifact(a.tree, specIgnore)
}

// show makes a path visible, and with it the folders it lies in: unpacking an
// archive makes them even if they were left out themselves.
func (a *Artifact) show(p string, isFolder bool) {
	if _, known := a.folder[p]; known {
		return
	}
	a.folder[p] = isFolder
	if isFolder && a.children[p] == nil {
		a.children[p] = nil
	}
	parent := path.Dir(p)
	a.show(parent, true)
	a.children[parent] = append(a.children[parent], child{name: path.Base(p), folder: isFolder})
}

// Files are the visible files, as Visible returns them.
func (a *Artifact) Files() []string {
	files := make([]string, 0, len(a.entries))
	for _, e := range a.entries {
		if !e.folder {
			files = append(files, e.path)
		}
	}
	return files
}

// Has says whether the path (slash-separated, below the root, clean) is
// visible, and whether it is a folder.
func (a *Artifact) Has(p string) (isFolder, ok bool) {
	isFolder, ok = a.folder[p]
	return isFolder, ok
}

// Names reports whether an object of a name may stand in the files that a folder is
// built of: always where a kustomization file is in it or below, which can lead out
// of it and change names, else where one of the manifests holds the name.
func (a *Artifact) Names(folder, text string) (bool, error) {
	files, nested := manifests(a, folder)
	if nested {
		return true, nil
	}
	for _, p := range files {
		data, err := fs.ReadFile(a.tree, p)
		if err != nil {
			return false, fmt.Errorf("read %s: %w", p, err)
		}
		if bytes.Contains(data, []byte(text)) {
			return true, nil
		}
	}
	return false, nil
}

// size is how many bytes a file has; ErrTooLarge if it is not to be read.
func (a *Artifact) size(p string) (int, error) {
	info, err := fs.Stat(a.tree, p)
	if err != nil {
		return 0, err
	}
	if info.Size() > maxFile {
		return 0, fmt.Errorf("%s: %w: it has %d bytes; the limit is %d: take it out of what is built, or split it", p, ErrTooLarge, info.Size(), maxFile)
	}
	return int(info.Size()), nil
}

// read gives a visible file's content, unless it is too large or its aliases are
// dangerous.
func (a *Artifact) read(p string) ([]byte, error) {
	if isFolder, ok := a.folder[p]; !ok || isFolder {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	if _, err := a.size(p); err != nil {
		return nil, err
	}
	data, err := fs.ReadFile(a.tree, p)
	if err != nil {
		return nil, err
	}
	if err := checkAliases(data); err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return data, nil
}

// filterWalk lists a tree and collects the patterns of its .sourceignore
// files, those of a folder before those of the folders below it.
type filterWalk struct {
	tree     fs.FS
	entries  []entry
	patterns []gitignore.Pattern
	// wild is how many characters the patterns with wildcards have together.
	wild int
}

func (w *filterWalk) read(dir string, domain []string) error {
	list, err := fs.ReadDir(w.tree, dir)
	if err != nil {
		return fmt.Errorf("list folder %s of the tree: %w", dir, err)
	}
	for _, d := range list {
		if d.Name() != sourceignore.IgnoreFile || d.IsDir() {
			continue
		}
		// A link is followed, inside the tree: upstream opens the file by
		// name. One that leads nowhere counts as absent.
		text, err := fs.ReadFile(w.tree, path.Join(dir, d.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil && d.Type().IsRegular():
			return fmt.Errorf("read %s: %w", path.Join(dir, d.Name()), err)
		case err != nil:
			return fmt.Errorf("read %s: the link cannot be followed inside the tree: %w", path.Join(dir, d.Name()), err)
		default:
			// The domain is shared by the patterns and must not be appended
			// to by a sibling.
			w.patterns = append(w.patterns, sourceignore.ReadPatterns(bytes.NewReader(text), append([]string(nil), domain...))...)
			w.wild += wildcards(string(text))
		}
	}
	for _, d := range list {
		p := path.Join(dir, d.Name())
		switch {
		case d.IsDir():
			// .git can hold anything and is never part of an artifact.
			if d.Name() == ".git" {
				continue
			}
			w.entries = append(w.entries, entry{path: p, folder: true})
			if err := w.read(p, append(append([]string(nil), domain...), d.Name())); err != nil {
				return err
			}
		case d.Type().IsRegular():
			w.entries = append(w.entries, entry{path: p})
		}
	}
	return nil
}
