package terraform

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxVarFiles  = 200 // looked at for what they would set
	maxVarFolder = 3   // folders below the root module
)

// VarFile is a variables file in the folder of the root module that Terraform
// does not read by itself, and the variables without a value that it sets.
type VarFile struct {
	File string // relative to the tree
	Sets []string
}

// VarFiles finds the variables files that would give a value to variables which
// have none, by file. Their values are not kept.
func (r *Result) VarFiles() []VarFile {
	l := r.loader
	var open []string
	for _, v := range r.Variables {
		if causes := Causes(v.Value); len(causes) > 0 && causes[0].Kind == CauseVariable && !v.Set {
			open = append(open, v.Name)
		}
	}
	if len(open) == 0 {
		return nil
	}
	var out []VarFile
	for _, name := range l.varFiles() {
		src, err := l.tree.read(name)
		if err != nil {
			continue // it is only looked at
		}
		var keys []string
		if strings.HasSuffix(name, ".json") {
			if root, err := decodeJSON(src, l.limits.Nesting); err == nil {
				for _, m := range root.object {
					keys = append(keys, m.key)
				}
			}
		} else if body := newSyntax(l.budget, l.limits, &diagnostics{}).parse(src, name); body != nil {
			keys = sortedKeys(body.Attributes)
		}
		f := VarFile{File: name}
		for _, k := range open {
			if slices.Contains(keys, k) {
				f.Sets = append(f.Sets, k)
			}
		}
		if len(f.Sets) > 0 {
			out = append(out, f)
		}
	}
	return out
}

// varFiles lists the variables files below the root module, sorted.
func (l *loader) varFiles() []string {
	root, err := l.tree.open()
	if err != nil {
		return nil
	}
	defer func() { _ = root.Close() }()
	var out []string
	seen := 0
	_ = fs.WalkDir(root.FS(), l.dir, func(p string, d fs.DirEntry, err error) error { // what cannot be listed is only a hint less
		seen++
		switch rel := strings.TrimPrefix(p, l.dir+"/"); {
		case err != nil || seen > l.limits.Files || len(out) >= maxVarFiles:
			return fs.SkipAll
		case d.IsDir() && p != l.dir && (strings.HasPrefix(d.Name(), ".") || strings.Count(rel, "/") >= maxVarFolder):
			return fs.SkipDir
		case d.Type().IsRegular() && (strings.HasSuffix(p, ".tfvars") || strings.HasSuffix(p, ".tfvars.json")):
			out = append(out, path.Clean(filepath.ToSlash(p)))
		}
		return nil
	})
	slices.Sort(out)
	return out
}
