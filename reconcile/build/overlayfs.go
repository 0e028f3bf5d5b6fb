package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/fluxcd/pkg/kustomize"
	"sigs.k8s.io/kustomize/api/konfig"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// virtualRoot is where kustomize sees the artifact. It is not "/", so that a
// path with too many ".." leads out of the artifact, to nothing, instead of
// back into it.
const virtualRoot = "/artifact"

// overlayFS is the artifact as kustomize's file system, with the generated
// kustomization file laid over it in memory. It cannot be written to. It looks
// at each kustomization file that is read and refuses those that would load
// something from elsewhere; the reason is kept in refused, because kustomize
// swallows some errors. One build uses it from one goroutine.
type overlayFS struct {
	artifact *Artifact
	// written over the artifact: path below the root to content.
	written map[string][]byte
	// allowHTTP lets single files be loaded over HTTP.
	allowHTTP bool
	// ownSchema says that the build has kustomize's OpenAPI schema to itself.
	ownSchema bool
	refused   error
	// reads are the files that were read, in order.
	reads []string
	// ctx ends reading; nil never does.
	ctx context.Context
	// limits on what is read, and how many bytes were. Nothing is counted without.
	limits Limits
	bytes  int
}

var _ filesys.FileSystem = (*overlayFS)(nil)

// errReadOnly is the answer to every attempt to write.
var errReadOnly = errors.New("the artifact is read-only")

// below gives the path below the root; ok is false outside of it.
func below(name string) (string, bool) {
	if !path.IsAbs(name) {
		name = path.Join(virtualRoot, name)
	}
	name = path.Clean(name)
	if name == virtualRoot {
		return ".", true
	}
	return strings.CutPrefix(name, virtualRoot+"/")
}

func (o *overlayFS) look(name string) (p string, isFolder, ok bool) {
	p, ok = below(name)
	if !ok {
		return "", false, false
	}
	if _, ok := o.written[p]; ok {
		return p, false, true
	}
	isFolder, ok = o.artifact.Has(p)
	return p, isFolder, ok
}

func (o *overlayFS) Exists(name string) bool {
	_, _, ok := o.look(name)
	return ok
}

func (o *overlayFS) IsDir(name string) bool {
	_, isFolder, ok := o.look(name)
	return ok && isFolder
}

func (o *overlayFS) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	p, isFolder, ok := o.look(name)
	if !ok {
		return "", "", &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	abs := path.Join(virtualRoot, p)
	if isFolder {
		return filesys.ConfirmedDir(abs), "", nil
	}
	return filesys.ConfirmedDir(path.Dir(abs)), path.Base(abs), nil
}

func (o *overlayFS) ReadDir(name string) ([]string, error) {
	p, isFolder, ok := o.look(name)
	if !ok || !isFolder {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var names []string
	for _, c := range o.list(p) {
		names = append(names, c.name)
	}
	return names, nil
}

// list gives a folder's children, those written over it included.
func (o *overlayFS) list(p string) []child {
	list := append([]child(nil), o.artifact.children[p]...)
	for w := range o.written {
		if path.Dir(w) != p {
			continue
		}
		if _, known := o.artifact.Has(w); !known {
			list = append(list, child{name: path.Base(w)})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	return list
}

func (o *overlayFS) ReadFile(name string) ([]byte, error) {
	if o.refused != nil {
		return nil, o.refused
	}
	p, isFolder, ok := o.look(name)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if isFolder {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	}
	if o.ctx != nil && o.ctx.Err() != nil {
		o.refused = fmt.Errorf("read %s: %w", p, o.ctx.Err())
		return nil, o.refused
	}
	o.reads = append(o.reads, p)
	data, err := o.content(p)
	if err != nil {
		o.refused = err
		return nil, err
	}
	// What is read by another way than was counted is bounded here.
	if o.bytes += len(data); o.limits.Bytes > 0 && o.bytes > o.limits.Bytes {
		o.refused = Cost{Bytes: o.bytes}.Exceeds(o.limits)
		return nil, o.refused
	}
	if err := o.inspect(p, data); err != nil {
		o.refused = err
		return nil, err
	}
	return data, nil
}

// kustomization is the kustomization file of a folder, as kustomize will read it.
func (o *overlayFS) kustomization(dir string) (string, bool) {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if p, isFolder, ok := o.look(path.Join(virtualRoot, dir, name)); ok && !isFolder {
			return p, true
		}
	}
	return "", false
}

// size is that of a file below the root, 0 if there is none.
func (o *overlayFS) size(p string) (int, error) {
	if data, ok := o.written[p]; ok {
		return len(data), nil
	}
	if isFolder, ok := o.artifact.Has(p); !ok || isFolder {
		return 0, nil
	}
	return o.artifact.size(p)
}

// content is that of a file below the root.
func (o *overlayFS) content(p string) ([]byte, error) {
	if data, ok := o.written[p]; ok {
		return data, nil
	}
	return o.artifact.read(p)
}

func (o *overlayFS) Glob(pattern string) ([]string, error) {
	var found []string
	err := o.Walk(virtualRoot, func(name string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		ok, err := path.Match(pattern, name)
		if ok {
			found = append(found, name)
		}
		return err
	})
	return found, err
}

func (o *overlayFS) Walk(name string, visit filepath.WalkFunc) error {
	p, isFolder, ok := o.look(name)
	if !ok {
		return visit(name, nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist})
	}
	err := o.walk(p, isFolder, visit)
	if errors.Is(err, filepath.SkipDir) || errors.Is(err, filepath.SkipAll) {
		return nil
	}
	return err
}

func (o *overlayFS) walk(p string, isFolder bool, visit filepath.WalkFunc) error {
	err := visit(path.Join(virtualRoot, p), fileInfo{name: path.Base(p), folder: isFolder}, nil)
	if err != nil || !isFolder {
		return err
	}
	for _, c := range o.list(p) {
		err := o.walk(path.Join(p, c.name), c.folder, visit)
		if errors.Is(err, filepath.SkipDir) {
			if c.folder {
				continue
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *overlayFS) Open(name string) (filesys.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.ErrUnsupported}
}

func (o *overlayFS) Create(name string) (filesys.File, error) { return nil, denied("create", name) }
func (o *overlayFS) Mkdir(name string) error                  { return denied("mkdir", name) }
func (o *overlayFS) MkdirAll(name string) error               { return denied("mkdir", name) }
func (o *overlayFS) RemoveAll(name string) error              { return denied("remove", name) }
func (o *overlayFS) WriteFile(name string, _ []byte) error    { return denied("write", name) }

func denied(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: errReadOnly}
}

type fileInfo struct {
	name   string
	folder bool
}

func (i fileInfo) Name() string { return i.name }
func (i fileInfo) Size() int64  { return 0 }
func (i fileInfo) Mode() fs.FileMode {
	if i.folder {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return i.folder }
func (i fileInfo) Sys() any           { return nil }

// inspect refuses what would make kustomize load something that is not in the
// artifact, and stops a build that needs the OpenAPI schema to itself.
func (o *overlayFS) inspect(p string, data []byte) error {
	if isKustomizationFile(p) {
		return o.inspectKustomization(p, data)
	}
	return o.inspectPluginConfig(p, data)
}

func isKustomizationFile(p string) bool {
	base := path.Base(p)
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if base == name {
			return true
		}
	}
	return false
}

func (o *overlayFS) inspectKustomization(p string, data []byte) error {
	var k kustypes.Kustomization
	if err := yaml.Unmarshal(data, &k); err != nil {
		// kustomize will refuse it with a better message.
		return nil
	}
	if len(k.OpenAPI) > 0 && !o.ownSchema {
		return errOwnSchema
	}
	dir := path.Dir(p)
	var bases, single, configs []string
	//lint:ignore SA1019 old kustomization files still have this field
	bases = append(append(append(bases, k.Resources...), k.Bases...), k.Components...)
	for _, list := range [][]string{k.Generators, k.Transformers, k.Validators} {
		for _, e := range list {
			if strings.ContainsRune(e, '\n') {
				configs = append(configs, e)
			} else {
				bases = append(bases, e)
			}
		}
	}
	single = append(append(append(single, k.Crds...), k.Configurations...), k.OpenAPI["path"])
	for _, g := range k.ConfigMapGenerator {
		single = append(append(append(single, g.FileSources...), g.EnvSources...), g.EnvSource)
	}
	for _, g := range k.SecretGenerator {
		single = append(append(append(single, g.FileSources...), g.EnvSources...), g.EnvSource)
	}
	//lint:ignore SA1019 old kustomization files still have this field
	for _, patch := range append(append([]kustypes.Patch(nil), k.Patches...), k.PatchesJson6902...) {
		single = append(single, patch.Path)
	}
	//lint:ignore SA1019 old kustomization files still have this field
	for _, patch := range k.PatchesStrategicMerge {
		single = append(single, string(patch))
	}
	for _, text := range inline(&k) {
		if err := checkAliases([]byte(text)); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	for _, r := range k.Replacements {
		single = append(single, r.Path)
	}

	for _, e := range bases {
		if err := o.inspectBase(p, dir, e); err != nil {
			return err
		}
	}
	for _, e := range single {
		if err := o.inspectURL(p, e); err != nil {
			return err
		}
	}
	for _, e := range configs {
		if err := o.inspectPluginConfig(p, []byte(e)); err != nil {
			return err
		}
	}
	return nil
}

// inline gives the texts inside a kustomization file that kustomize parses as
// YAML of their own.
func inline(k *kustypes.Kustomization) []string {
	texts := append(append(append([]string(nil), k.Generators...), k.Transformers...), k.Validators...)
	//lint:ignore SA1019 old kustomization files still have this field
	for _, patch := range append(append([]kustypes.Patch(nil), k.Patches...), k.PatchesJson6902...) {
		texts = append(texts, patch.Patch)
	}
	//lint:ignore SA1019 old kustomization files still have this field
	for _, patch := range k.PatchesStrategicMerge {
		texts = append(texts, string(patch))
	}
	return texts
}

// inspectBase looks at an entry that may be a file, a folder, a URL or a Git
// repository. kustomize tries a file first and a Git repository before a
// folder.
func (o *overlayFS) inspectBase(file, dir, e string) error {
	if isHTTP(e) {
		return o.inspectURL(file, e)
	}
	if _, isFolder, ok := o.look(path.Join(virtualRoot, dir, e)); ok && !isFolder {
		return nil
	}
	if !kustomize.IsLocalRelativePath(e) || strings.Contains(e, "@") || strings.Contains(e, "://") ||
		strings.Contains(strings.ToLower(e), "github.com") {
		return fmt.Errorf("%s: %q: %w: copy the base into the repository", file, redact(e), ErrRemoteBase)
	}
	return nil
}

func (o *overlayFS) inspectURL(file, e string) error {
	// Generators name files as key=path.
	if _, value, ok := strings.Cut(e, "="); ok && isHTTP(value) {
		e = value
	}
	if isHTTP(e) && !o.allowHTTP {
		return fmt.Errorf("%s: %q: %w: copy the file into the repository", file, redact(e), ErrRemoteBase)
	}
	return nil
}

func isHTTP(s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

// urlScheme is what may stand before the "://" of a base's URL.
var urlScheme = regexp.MustCompile(`^(git::)?[A-Za-z][A-Za-z0-9+.-]*://`)

// redact hides what a URL may hold of a user, a password and a query. A password may
// hold any sign, so all up to the last "@" is hidden, but for where no password can
// be: behind a host's name without a colon, and before one alone that ends "git".
func redact(e string) string {
	scheme := urlScheme.FindString(e)
	rest := e[len(scheme):]
	authority, slash := rest, false
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, slash = rest[:i], rest[i] == '/'
	}
	query, at, hidden := strings.IndexByte(rest, '?'), strings.LastIndex(rest, "@"), "***@"
	switch {
	case at < 0:
	case slash && strings.Contains(authority, ".") && !strings.Contains(authority, "@") && !strings.Contains(rest[:at], ":"),
		scheme == "" && rest[:at] == "git":
		at = -1
	case at < len(authority):
		hidden = "" // it is the sign before the host
	}
	if query >= 0 && query < at { // a part of the password, or before one of its own
		return scheme + "***"
	}
	if query >= 0 {
		rest = rest[:query]
	}
	if at >= 0 {
		rest = hidden + rest[at+1:]
	}
	return scheme + rest
}

// inspectPluginConfig looks at documents of apiVersion builtin: configurations
// of kustomize's built-in generators and transformers, which name files too.
func (o *overlayFS) inspectPluginConfig(p string, data []byte) error {
	if o.allowHTTP || !bytes.Contains(data, []byte("builtin")) || !bytes.Contains(bytes.ToLower(data), []byte("http")) {
		return nil
	}
	decoder := kyaml.NewDecoder(bytes.NewReader(data))
	for {
		var document map[string]any
		if err := decoder.Decode(&document); err != nil {
			// The end, or a document that kustomize will refuse.
			return nil
		}
		if document["apiVersion"] != "builtin" {
			continue
		}
		if err := o.inspectStrings(p, document); err != nil {
			return err
		}
	}
}

func (o *overlayFS) inspectStrings(p string, v any) error {
	switch v := v.(type) {
	case string:
		return o.inspectURL(p, v)
	case []any:
		for _, e := range v {
			if err := o.inspectStrings(p, e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := o.inspectStrings(p, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// cleanedError is an error of kustomize with paths as they are in the
// repository, and without the content of objects, which may be Secrets.
type cleanedError struct{ err error }

func (e cleanedError) Error() string {
	text := withoutContent(e.err.Error())
	text = strings.ReplaceAll(text, virtualRoot+"/", "")
	return strings.ReplaceAll(text, virtualRoot, ".")
}

func (e cleanedError) Unwrap() error { return e.err }

func cleanError(err error) error { return cleanedError{err} }

// quoted is what kustomize prints of a file in the middle of a message: the
// configuration of a transformer or generator, the bytes of a line.
var quoted = regexp.MustCompile("(?s) with config: `.*`|\\[[0-9 ]+\\] |(?:in|for) '\\{.*\\}'")

// quoting are the words of kustomize after which it prints what stands in a
// file to the message's end: literals of a generator, an inline patch, a line of
// an environment file, all objects before and after a validator (kustomize/api:
// kv/kv.go, PatchTransformer.go, PatchJson6902Transformer.go, target/kusttarget.go).
var quoting = regexp.MustCompile(`merging from generator |literal sources? |\[patch: |must specify one of patch and path in\n|` +
	`can't be set at the same time\n|must specify a target for patch |has invalid utf8 bytes :|validator shouldn't modify the resource map: |produces ID conflict: |node contents: |out of bounds for value `)

// withoutContent cuts a message of kustomize where it begins to print an
// object, or what else a file holds that may be a Secret.
func withoutContent(text string) string {
	for _, begin := range []string{" in object ", "\n**** Too many possible referral targets"} {
		text, _, _ = strings.Cut(text, begin)
	}
	text = quoted.ReplaceAllString(text, "")
	at := quoting.FindStringIndex(text)
	if at == nil {
		return text
	}
	told := strings.TrimRight(text[:at[1]], " :\n")
	told = strings.TrimSuffix(strings.TrimRight(strings.TrimSuffix(told, "[patch"), " "), " from")
	if strings.HasSuffix(text, ", expected key=value") {
		told += ": one is not of the form key=value"
	}
	return told
}
