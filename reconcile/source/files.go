package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Files is a tree of files that no file system holds; their content may be read
// as it is needed. Links are followed, also in the middle of a path, but never
// out of the tree. It is safe for concurrent use once it is made.
type Files struct {
	nodes   map[string]*node
	touched time.Time
	names   int // bytes of all paths
}

// node is a file, link or folder; submodules are empty folders.
type node struct {
	name string
	mode fs.FileMode
	size int64
	when time.Time
	// read gives a file's content, or where a link leads to; of a folder that cannot
	// be listed, why.
	read     func() ([]byte, error)
	children []fs.DirEntry
}

func (n *node) Name() string               { return n.name }
func (n *node) Size() int64                { return n.size }
func (n *node) Mode() fs.FileMode          { return n.mode }
func (n *node) ModTime() time.Time         { return n.when }
func (n *node) IsDir() bool                { return n.mode.IsDir() }
func (n *node) Sys() any                   { return nil }
func (n *node) Type() fs.FileMode          { return n.mode.Type() }
func (n *node) Info() (fs.FileInfo, error) { return n, nil }

// Limits on links, as Linux has them.
const (
	maxLinkTarget = 4096
	maxLinks      = 40
)

// NewFiles makes an empty tree, whose files were all touched at one time. Put
// fills it, and Sort completes it.
func NewFiles(touched time.Time) *Files {
	return &Files{nodes: map[string]*node{".": {name: ".", mode: fs.ModeDir | 0o755, when: touched}}, touched: touched}
}

// Put adds a file, link or folder, and the folders above it. read gives a
// file's content, or where a link leads to; a folder has none, unless it cannot be
// listed: then read says why. What no fetch gives is [ErrTooLarge] here, too.
func (t *Files) Put(name string, mode fs.FileMode, size int64, read func() ([]byte, error)) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("%q is no path in a repository", name)
	}
	if strings.Count(name, "/") > maxDepth {
		return fmt.Errorf("%w: folders are nested deeper than %d", ErrTooLarge, maxDepth)
	}
	dir := path.Dir(name)
	if above := t.nodes[dir]; above == nil || !above.IsDir() {
		if err := t.putAbove(name); err != nil {
			return err
		}
	}
	if t.nodes[name] != nil {
		return fmt.Errorf("%q is there twice", name)
	}
	return t.link(dir, name, &node{name: path.Base(name), mode: mode, when: t.touched, size: size, read: read})
}

// putAbove adds the folders above a path.
func (t *Files) putAbove(name string) error {
	dir := "."
	for i, c := range name {
		if c != '/' {
			continue
		}
		below := name[:i]
		if t.nodes[below] == nil {
			if err := t.link(dir, below, &node{name: path.Base(below), mode: fs.ModeDir | 0o755, when: t.touched}); err != nil {
				return err
			}
		}
		if dir = below; !t.nodes[dir].IsDir() {
			return fmt.Errorf("%q lies below a file", name)
		}
	}
	return nil
}

// PutContent is Put of a file or link with its content.
func (t *Files) PutContent(name string, mode fs.FileMode, content []byte) error {
	return t.Put(name, mode, int64(len(content)), func() ([]byte, error) { return content, nil })
}

// link puts a node into a folder; name is its whole path.
func (t *Files) link(dir, name string, n *node) error {
	if t.names += len(name); t.names > maxNames {
		return fmt.Errorf("%w: the paths of the files are longer than %d bytes together", ErrTooLarge, maxNames)
	}
	t.nodes[name] = n
	t.nodes[dir].children = append(t.nodes[dir].children, n)
	return nil
}

// Sort orders every folder by name.
func (t *Files) Sort() {
	for _, n := range t.nodes {
		slices.SortFunc(n.children, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
}

// find follows links, also in the middle of a path, but never out of the tree;
// the last one only if follow is set.
func (t *Files) find(op, name string, follow bool) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if n := t.nodes[name]; n != nil && (n.mode&fs.ModeSymlink == 0 || !follow) {
		return n, nil // what is there under its whole name has no link above it
	} else if above := t.nodes[path.Dir(name)]; n == nil && above != nil && above.mode&fs.ModeSymlink == 0 {
		return nil, notThere(op, name) // nor has the folder above it
	}
	return t.walk(op, name, follow)
}

// walk is find for every path, part by part.
func (t *Files) walk(op, name string, follow bool) (*node, error) {
	links := 0
	at, rest := ".", name
	for rest != "." && rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		next := path.Join(at, part)
		n := t.nodes[next]
		if n == nil || !t.nodes[at].IsDir() {
			return nil, notThere(op, name)
		}
		if n.mode&fs.ModeSymlink == 0 || rest == "" && !follow {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return nil, &fs.PathError{Op: op, Path: name, Err: errors.New("too many links")}
		}
		target, err := t.target(n)
		if err != nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: err}
		}
		whole := path.Join(at, target, rest)
		if path.IsAbs(target) || whole == ".." || strings.HasPrefix(whole, "../") {
			return nil, &fs.PathError{Op: op, Path: name, Err: errors.New("the link leads out of the repository")}
		}
		at, rest = ".", whole
	}
	return t.nodes[at], nil
}

func notThere(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

func (t *Files) target(n *node) (string, error) {
	if n.size > maxLinkTarget {
		return "", errors.New("the link is too long")
	}
	content, err := n.read()
	return string(content), err
}

// Open implements [fs.FS].
func (t *Files) Open(name string) (fs.File, error) {
	n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	f := &openNode{node: n}
	if !n.IsDir() {
		content, err := n.read()
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		f.Reader = bytes.NewReader(content)
	}
	return f, nil
}

// Stat implements [fs.StatFS].
func (t *Files) Stat(name string) (fs.FileInfo, error) {
	n, err := t.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Lstat implements [fs.ReadLinkFS].
func (t *Files) Lstat(name string) (fs.FileInfo, error) {
	n, err := t.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// ReadLink implements [fs.ReadLinkFS].
func (t *Files) ReadLink(name string) (string, error) {
	n, err := t.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.mode&fs.ModeSymlink == 0 {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return t.target(n)
}

// ReadDir implements [fs.ReadDirFS].
func (t *Files) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	if !n.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a folder")}
	}
	if err := n.unlisted(); err != nil {
		return nil, err
	}
	return slices.Clone(n.children), nil
}

// ReadFile implements [fs.ReadFileFS]. The content is the caller's.
func (t *Files) ReadFile(name string) ([]byte, error) {
	n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	if n.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a folder")}
	}
	content, err := n.read()
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return bytes.Clone(content), nil
}

// unlisted is why a folder cannot be listed.
func (n *node) unlisted() error {
	if n.read == nil {
		return nil
	}
	_, err := n.read()
	return &fs.PathError{Op: "readdir", Path: n.name, Err: err}
}

// openNode is an open file or folder.
type openNode struct {
	node *node
	*bytes.Reader
	offset int
}

func (f *openNode) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openNode) Close() error               { return nil }

func (f *openNode) Read(p []byte) (int, error) {
	if f.Reader == nil {
		return 0, &fs.PathError{Op: "read", Path: f.node.name, Err: errors.New("is a folder")}
	}
	return f.Reader.Read(p)
}

func (f *openNode) ReadDir(count int) ([]fs.DirEntry, error) {
	if err := f.node.unlisted(); err != nil {
		return nil, err
	}
	left := f.node.children[f.offset:]
	if count > 0 {
		if len(left) == 0 {
			return nil, io.EOF
		}
		left = left[:min(count, len(left))]
	}
	f.offset += len(left)
	return slices.Clone(left), nil
}
