package terraform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// tree reads files below one folder. os.Root keeps it from leaving that
// folder, by .. or by symbolic links. What was read is kept, so that a second
// look sees the same.
type tree struct {
	ctx    context.Context
	abs    string // the folder, absolute
	limits Limits
	kept   map[string][]byte
	files  int
	bytes  int64
}

func openTree(ctx context.Context, dir string, limits Limits) (*tree, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder %s: %w", dir, err)
	}
	t := &tree{ctx: ctx, abs: abs, limits: limits, kept: map[string][]byte{}}
	root, err := t.open()
	if err != nil {
		return nil, err
	}
	_ = root.Close()
	return t, nil
}

func (t *tree) open() (*os.Root, error) {
	root, err := os.OpenRoot(t.abs)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	return root, nil
}

// errOutside says that a path leads out of the tree.
var errOutside = errors.New("the path leads out of the folder that may be read")

// locate turns a path as written in the configuration, relative to the folder
// dir of the tree or absolute, into a path in the tree, with slashes.
func (t *tree) locate(dir, name string) (string, error) {
	if strings.HasPrefix(name, "~") {
		return "", errOutside
	}
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(t.abs, name)
		if err != nil {
			return "", errOutside
		}
		dir, name = ".", filepath.ToSlash(rel)
	}
	p := path.Join(dir, filepath.ToSlash(name))
	if p == ".." || strings.HasPrefix(p, "../") {
		return "", errOutside
	}
	return p, nil
}

// read returns a regular file of the tree.
func (t *tree) read(name string) ([]byte, error) { return t.readUpTo(name, t.limits.FileBytes) }

// readUpTo is read with another limit to the size of the file.
func (t *tree) readUpTo(name string, most int64) ([]byte, error) {
	if data, ok := t.kept[name]; ok {
		return data, nil
	}
	if err := t.ctx.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if t.files++; t.files > t.limits.Files {
		return nil, fmt.Errorf("read %s: more than %d files", name, t.limits.Files)
	}
	root, err := t.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	// Not to be held up by a named pipe, the file is opened without waiting.
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("read %s: larger than %d bytes", name, most)
	}
	if t.bytes += int64(len(data)); t.bytes > t.limits.TotalBytes {
		return nil, fmt.Errorf("read %s: all files together are larger than %d bytes", name, t.limits.TotalBytes)
	}
	t.kept[name] = data
	return data, nil
}

// exists reports whether name is a file or, with folder, a folder.
func (t *tree) exists(name string, folder bool) (bool, error) {
	root, err := t.open()
	if err != nil {
		return false, err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Stat(filepath.FromSlash(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look at file: %w", err)
	}
	return info.IsDir() == folder, nil
}

// list returns the names of the files, not folders, of one folder, sorted.
func (t *tree) list(dir string) ([]string, error) {
	root, err := t.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(filepath.FromSlash(dir))
	if err != nil {
		return nil, fmt.Errorf("list folder: %w", err)
	}
	defer func() { _ = f.Close() }()
	entries, err := f.ReadDir(t.limits.Files + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	if len(entries) > t.limits.Files {
		return nil, fmt.Errorf("list %s: more than %d files", dir, t.limits.Files)
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}

// walk returns the paths of all regular files below dir, relative to it and
// sorted. A link to a file of the tree counts as one; any other link is an
// error, since what Terraform would find behind it is not known.
func (t *tree) walk(dir string) ([]string, error) {
	root, err := t.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	var out []string
	seen := 0
	err = fs.WalkDir(root.FS(), dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if seen++; seen > t.limits.Files {
			return fmt.Errorf("more than %d files", t.limits.Files)
		}
		if err := t.ctx.Err(); err != nil {
			return err
		}
		regular := d.Type().IsRegular()
		if d.Type()&fs.ModeSymlink != 0 {
			info, err := root.Stat(filepath.FromSlash(p))
			if err != nil || !info.Mode().IsRegular() {
				return fmt.Errorf("%s leads out of the tree or to a folder", p)
			}
			regular = true
		}
		if regular {
			rel, err := filepath.Rel(filepath.FromSlash(dir), filepath.FromSlash(p))
			if err != nil {
				return err
			}
			out = append(out, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("walk %s: %w", dir, err)
	}
	slices.Sort(out)
	return out, nil
}
