package flux1

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/migrate"
)

// LoadConfig says how an agent reads a tree.
type LoadConfig struct {
	// Repository is the id for findings.
	Repository string
	// Paths as configured; empty means the whole repository.
	Paths []string
	// ManifestGeneration, SOPS and ImageAutomation as configured.
	ManifestGeneration, SOPS, ImageAutomation bool
	// DefaultNamespace is filled into namespaced objects that name none. It
	// must not be empty, unless KindsAssumed is set: then such objects are
	// listed without a namespace, and a finding says so.
	DefaultNamespace string
	// AllowedNamespaces limits where the agent acts; empty means everywhere.
	AllowedNamespaces []string
	// Kinds is what the cluster serves; objects of other kinds, not defined by
	// a CRD of the tree, are ClassUnknownKind.
	Kinds []migrate.ServedKind
	// KindsAssumed is true if no cluster was asked. Then every kind is taken
	// for served, in any version, and a finding lists those that neither Kinds
	// holds nor a CRD of the tree defines. The namespace of an object whose
	// scope is not known stays as it is written.
	KindsAssumed bool
	// Removed are those of Kinds that a cluster which was not asked will not serve, with
	// the version of Kubernetes that was the first without them.
	Removed map[schema.GroupVersionKind]string
	// Generate, if set, gives the objects of a path that a .flux.yaml governs,
	// as far as that can be told without running its commands. Its error says
	// why they cannot be told.
	Generate func(Generation) ([]Parsed, error)
	// Governs, if set, is told of each .flux.yaml that the agent reads, also of one
	// that is not valid or says that the path's files are scanned after all.
	Governs func(file string)
	// Decrypt decrypts a whole file as the agent does with its keys, where SOPS
	// is set; nil if they are not known. Its error says why it cannot, and
	// neither holds a value nor a key.
	Decrypt func(content []byte) ([]byte, error)
	// Closed, if set, is told of each file that Decrypt fails for, in their order:
	// fluxd gives up its sync there, as far as its keys are known.
	Closed func(Closed)
	// LiveIgnored gives the value of the ignore annotation on the live object
	// with that Flux inventory id: "true", "sync_only" or "". It may be nil.
	LiveIgnored func(id string) string
	// Limits on what is read; zero fields mean DefaultLimits.
	Limits Limits
}

// Closed is an encrypted file that the agent cannot decrypt.
type Closed struct {
	File string
	Err  error
	// OtherKeys is true if it is encrypted for keys of a cloud or the like, too,
	// so that the agent may decrypt it all the same.
	OtherKeys bool
}

// Limits bound the work that a hostile tree can cause.
type Limits struct {
	// FileBytes of one file, TotalBytes of all files read.
	FileBytes, TotalBytes int64
	// Documents in one file, Objects in all, Files looked at.
	Documents, Objects, Files int
	// Depth of nesting in one document.
	Depth int
}

// DefaultLimits are far beyond any real repository.
var DefaultLimits = Limits{
	FileBytes: 16 << 20, TotalBytes: 512 << 20,
	Documents: 20_000, Objects: 200_000, Files: 500_000,
	Depth: 200,
}

// Load reads a tree as fluxd would (flux:
// pkg/cluster/kubernetes/resource/load.go) and returns its files, sorted by
// path, and its objects, in the order of paths, files and documents, with
// what fluxd does to each. Where fluxd would give up its sync, Load reports a
// finding (FLUX1_STUCK, DUPLICATE_OBJECT) and reads on, so that all faults
// are seen at once.
//
// Symbolic links are seen if the tree is an [fs.ReadLinkFS]. Nothing is run.
// The error is not nil only if cfg is unusable.
func Load(tree fs.FS, cfg LoadConfig) ([]migrate.File, []migrate.Object, []migrate.Finding, error) {
	if tree == nil {
		return nil, nil, nil, errors.New("load repository: no tree is given")
	}
	if cfg.DefaultNamespace == "" && !cfg.KindsAssumed {
		return nil, nil, nil, errors.New("load repository: no default namespace is given")
	}
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits
	}
	l := &loader{tree: tree, cfg: cfg, seen: map[string]bool{}, defined: map[identity]place{}}
	roots := cfg.Paths
	if len(roots) == 0 {
		roots = []string{""}
	}
	for _, root := range roots {
		l.root(root)
		if l.full {
			break
		}
	}
	objects := l.classify()
	l.summarise()
	slices.SortFunc(l.files, func(a, b migrate.File) int { return strings.Compare(a.Path, b.Path) })
	return l.files, objects, l.findings, nil
}

// loader is one Load under way.
type loader struct {
	tree     fs.FS
	cfg      LoadConfig
	files    []migrate.File
	objects  []*loaded
	findings []migrate.Finding
	seen     map[string]bool    // files already listed, by path
	defined  map[identity]place // before namespaces are filled in
	bytes    int64
	looked   int
	full     bool // a limit on the whole tree was hit
	// generators is how many paths' objects are generated so far.
	generators int

	// gitCrypted are the files that git-crypt encrypts, as they were read.
	gitCrypted []string

	automated, releases, alphaReleases, encrypted, assumed, removed, homeless, scopeless []string                  // for findings that gather objects
	isAssumed                                                                            map[schema.GroupKind]bool // of assumed
}

// identity is fluxd's resource id among what it reads together: all that is not
// generated, or what is generated for one path (flux: pkg/manifests/configaware.go).
type identity struct {
	by int
	id string
}

// place is where a document begins; Line 0 means the line is not known.
type place struct {
	file string
	line int
}

func (p place) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

func (l *loader) find(code Code, where place, format string, args ...any) {
	l.findings = append(l.findings, code.Finding(l.cfg.Repository, where.String(), fmt.Sprintf(format, args...)))
}

const pathRemedy = "compare it with the folders of the branch: give the old agent, or the description of a checkout, the --git-path that is meant, or put the path back into Git"

// root reads one of the agent's paths.
func (l *loader) root(raw string) {
	name := CleanPath(raw)
	if strings.HasPrefix(raw, "/") || !fs.ValidPath(name) {
		l.find(Stuck, place{file: raw}, "path %q is not inside the repository", raw)
		l.findings[len(l.findings)-1].Hint = pathRemedy
		return
	}
	info, err := fs.Stat(l.tree, name)
	if err != nil {
		l.find(Stuck, place{file: name}, "path %q does not exist", raw)
		l.findings[len(l.findings)-1].Hint = pathRemedy
		return
	}
	if l.cfg.ManifestGeneration && l.generated(raw, name, info.IsDir()) {
		return
	}
	if l.insideChart(name) {
		l.listChart(raw, name)
		return
	}
	// filepath.Walk does not follow a root that is itself a link to a folder:
	// fluxd then loads nothing from it (flux:
	// pkg/cluster/kubernetes/resource/load.go).
	if lst, err := fs.Lstat(l.tree, name); err == nil && lst.Mode()&fs.ModeSymlink != 0 && info.IsDir() {
		l.find(LinkedFile, place{file: name}, "path %q is a link to a folder, from which fluxd loads nothing and Flux v2 cannot build", raw)
		return
	}
	err = fs.WalkDir(l.tree, name, func(p string, d fs.DirEntry, err error) error {
		if l.looked++; l.looked > l.cfg.Limits.Files {
			l.tooMuch("it holds more than %d files", l.cfg.Limits.Files)
		}
		if l.full {
			return fs.SkipAll
		}
		if err == nil && d.IsDir() {
			if l.looksLikeChart(p) {
				l.listChart(raw, p)
				return fs.SkipDir
			}
			return nil
		}
		if !isManifestName(p) {
			if path.Base(p) == "Kustomization" {
				l.list(migrate.File{Path: p, Kind: migrate.FileSilent, Root: raw, Kustomization: true})
			}
			return nil
		}
		if err != nil {
			l.find(Stuck, place{file: p}, "%s cannot be read", p)
			return nil
		}
		l.file(raw, p, d.Type()&fs.ModeSymlink != 0)
		return nil
	})
	if err != nil {
		l.find(Stuck, place{file: name}, "path %q cannot be read", raw)
	}
}

func (l *loader) tooMuch(format string, args ...any) {
	if !l.full {
		l.full = true
		l.find(TooLarge, place{}, "the repository is not read whole: "+format, args...)
	}
}

// isManifestName reports whether fluxd looks into a file of that name.
func isManifestName(p string) bool {
	ext := path.Ext(p)
	return ext == ".yaml" || ext == ".yml"
}

// isKustomizationName reports whether kustomize builds a folder from a file
// of that name.
func isKustomizationName(p string) bool {
	switch path.Base(p) {
	case "kustomization.yaml", "kustomization.yml", "Kustomization":
		return true
	}
	return false
}

// list records a file; one that several paths reach is listed once. It
// reports whether the file is new.
func (l *loader) list(f migrate.File) bool {
	if l.seen[f.Path] {
		return false
	}
	l.seen[f.Path] = true
	f.Kustomization = isKustomizationName(f.Path)
	l.files = append(l.files, f)
	return true
}

// looksLikeChart reports whether a folder holds both files of a Helm chart.
func (l *loader) looksLikeChart(dir string) bool {
	for _, name := range []string{"Chart.yaml", "values.yaml"} {
		if _, err := fs.Stat(l.tree, path.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// insideChart reports whether a path lies in a Helm chart, whose folder may be
// above the path.
func (l *loader) insideChart(name string) bool {
	for dir := name; ; dir = path.Dir(dir) {
		if info, err := fs.Stat(l.tree, dir); err == nil && info.IsDir() && l.looksLikeChart(dir) {
			return true
		}
		if dir == "." {
			return false
		}
	}
}

// listChart lists the files of a Helm chart, which fluxd passes over.
func (l *loader) listChart(root, dir string) {
	err := fs.WalkDir(l.tree, dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // fluxd does not look here either
		}
		if l.looked++; l.looked > l.cfg.Limits.Files {
			l.tooMuch("it holds more than %d files", l.cfg.Limits.Files)
			return fs.SkipAll
		}
		if !d.IsDir() && isManifestName(p) {
			l.list(migrate.File{Path: p, Kind: migrate.FileChart, Root: root})
		}
		return nil
	})
	if err != nil {
		l.find(TooLarge, place{file: dir}, "the chart in %s cannot be listed", dir)
	}
}

// file reads one file that fluxd would load.
func (l *loader) file(root, p string, link bool) {
	f := migrate.File{Path: p, Kind: migrate.FileUnread, Root: root}
	if link {
		f.Kind = migrate.FileLink
		if target, err := fs.ReadLink(l.tree, p); err == nil && leavesTree(p, target) {
			l.list(f)
			l.find(LinkOutside, place{file: p}, "%s is a link to a file outside the repository", p)
			return
		}
	}
	content, ok := l.read(p)
	if !ok {
		l.list(f)
		return
	}
	if l.cfg.SOPS && bytes.Contains(content, []byte("sops:")) && l.encryptedFile(p, content) {
		f.Kind = migrate.FileEncrypted
		if link {
			l.find(LinkedFile, place{file: p}, "%s is a symbolic link to a manifest", p)
		}
		l.list(f)
		return
	}
	if strings.HasPrefix(string(content), gitCryptHead) {
		l.gitCrypted = append(l.gitCrypted, p)
		l.list(f)
		return
	}
	docs, fault := decode(content, l.cfg.Limits)
	if fault != nil {
		l.find(fault.code, place{p, fault.line}, "%s: %s", p, fault.message)
	}
	l.checkKeys(p, content, fault)
	found := 0
	for _, d := range docs {
		found += len(d.objects)
		l.document(p, d)
	}
	switch {
	case link:
	case found > 0:
		f.Kind = migrate.FileManifest
	case fault == nil:
		f.Kind = migrate.FileSilent
	}
	if found > 0 {
		if link {
			l.find(LinkedFile, place{file: p}, "%s is a symbolic link to a manifest", p)
		}
		for _, d := range docs {
			if d.kindless {
				l.find(KindlessDocument, place{p, d.line}, "%s holds objects and also a document without a kind", p)
			}
		}
	}
	l.list(f)
}

// read gives a file's content; if it cannot, it says why and returns false.
func (l *loader) read(p string) ([]byte, bool) {
	info, err := fs.Stat(l.tree, p)
	if err != nil {
		l.find(Stuck, place{file: p}, "%s cannot be read: a link to nothing", p)
		return nil, false
	}
	if info.IsDir() {
		l.find(Stuck, place{file: p}, "%s cannot be read: a link to a folder", p)
		return nil, false
	}
	if !info.Mode().IsRegular() {
		l.find(Stuck, place{file: p}, "%s cannot be read: it is a named pipe, a device or the like, which Git does not hold", p)
		return nil, false
	}
	if info.Size() > l.cfg.Limits.FileBytes {
		l.find(TooLarge, place{file: p}, "%s is larger than %d bytes and was not read", p, l.cfg.Limits.FileBytes)
		return nil, false
	}
	if l.bytes += info.Size(); l.bytes > l.cfg.Limits.TotalBytes {
		l.tooMuch("its files hold more than %d bytes", l.cfg.Limits.TotalBytes)
		return nil, false
	}
	content, err := fs.ReadFile(l.tree, p)
	if err != nil {
		l.find(Stuck, place{file: p}, "%s cannot be read", p)
		return nil, false
	}
	if int64(len(content)) > l.cfg.Limits.FileBytes {
		l.find(TooLarge, place{file: p}, "%s is larger than %d bytes and was not read", p, l.cfg.Limits.FileBytes)
		return nil, false
	}
	return content, true
}

// leavesTree reports whether a link's target lies outside the tree.
func leavesTree(link, target string) bool {
	return path.IsAbs(target) || !inside(path.Join(path.Dir(link), target))
}
