package migrate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
)

// application is an Application on its way: which files it loads, and why.
type application struct {
	Application
	// root is the agent's path it lies below, clean.
	root string
	// dir is the folder it builds, clean; the parent of file if that is set.
	dir string
	// file is set when the agent's path names a single file.
	file string
	// loose is true for the files that lie beside application folders in dir;
	// the folders are in except.
	loose  bool
	except []string
	// objects that fluxd applies or knowingly leaves alone from its files.
	objects []*Object
	depends []string
}

// below is what distinguishes it from others of the same root, for names.
func (a application) below() string {
	switch {
	case a.file != "":
		return strings.TrimSuffix(path.Base(a.file), path.Ext(a.file))
	case a.loose:
		return "files"
	case a.dir == a.root:
		return path.Base("/" + a.root)
	default:
		return strings.TrimPrefix(strings.TrimPrefix(a.dir, a.root), "/")
	}
}

// path is the Kustomization's spec.path.
func (a application) path() string { return "./" + a.dir }

// ownSource reports whether it reads a GitRepository of its own, since the
// repository's holds more than it loads.
func (a application) ownSource() bool { return a.loose || a.file != "" }

// key is unique per application of a repository.
func (a application) key() string {
	switch {
	case a.file != "":
		return a.file
	case a.loose:
		return a.dir + "/files"
	default:
		return a.dir
	}
}

// holds reports whether a file of the repository belongs to the application.
func (a application) holds(file string) bool {
	if a.file != "" {
		return file == a.file
	}
	if a.loose {
		return path.Dir("/"+file) == "/"+a.dir
	}
	return a.dir == "" || strings.HasPrefix(file, a.dir+"/")
}

// applications splits what an agent syncs (design, section 6). The result is
// sorted by key; every file that fluxd loads belongs to exactly one.
func applications(agent *Flux1Agent, groupBy string) ([]application, []Finding) {
	var apps []application
	var findings []Finding
	roots := agent.Git.Paths
	if len(roots) == 0 {
		roots = []string{""}
	}
	for _, raw := range roots {
		root := cleanPath(strings.TrimSpace(raw))
		found, note := split(agent, raw, root, groupBy)
		apps = append(apps, found...)
		if note != "" {
			findings = append(findings, Finding{
				Severity: Info, Code: "ONE_APPLICATION", Subject: agent.ID, Repository: agent.ID, Where: display(root),
				Message: fmt.Sprintf("path %q becomes one Kustomization: %s", display(root), note),
			})
		}
	}
	slices.SortFunc(apps, func(a, b application) int { return strings.Compare(a.key(), b.key()) })
	apps = slices.CompactFunc(apps, func(a, b application) bool { return a.key() == b.key() })
	for i := range agent.Objects {
		o := &agent.Objects[i]
		for j := range apps {
			if apps[j].holds(o.File) {
				apps[j].objects = append(apps[j].objects, o)
				break
			}
		}
	}
	return apps, findings
}

func display(root string) string {
	if root == "" {
		return "."
	}
	return root
}

// split cuts one path of an agent into applications; the note says why it is
// only one, where that is worth a word.
func split(agent *Flux1Agent, raw, root, groupBy string) ([]application, string) {
	var files []File
	for _, f := range agent.Files {
		if f.Root == raw && f.Kind != FileChart {
			files = append(files, f)
		}
	}
	if len(files) == 1 && files[0].Path == root {
		return []application{{root: path.Dir(root), dir: cleanPath(path.Dir(root)), file: root,
			Application: Application{Why: "the agent's path is this file"}}}, "it is a file"
	}
	if len(files) == 0 {
		return nil, ""
	}
	whole := func(why string) []application {
		return []application{{root: root, dir: root, Application: Application{Why: why}}}
	}
	if groupBy == "path" {
		return whole("--group-by path"), ""
	}
	dirs := map[string]bool{} // folders that hold a file fluxd loads
	for _, f := range files {
		dir := cleanPath(path.Dir(f.Path))
		if f.Kustomization && dir == root {
			return whole("a kustomization file stands at its root"), "a kustomization file stands at its root"
		}
		if !f.Kustomization {
			dirs[dir] = true
		}
	}
	var apps []application
	var top []string
	for dir := range dirs {
		if dir != root && !underAny(dir, dirs, root) {
			top = append(top, dir)
		}
	}
	slices.Sort(top)
	for _, dir := range top {
		apps = append(apps, application{root: root, dir: dir,
			Application: Application{Why: "topmost folder below the path that holds manifests"}})
	}
	if dirs[root] {
		if len(top) == 0 {
			return whole("all manifests lie in the path itself"), ""
		}
		apps = append(apps, application{root: root, dir: root, loose: true, except: top,
			Application: Application{Why: "files beside application folders"}})
	}
	return apps, ""
}

// underAny reports whether a folder above dir, below root, holds files too.
func underAny(dir string, dirs map[string]bool, root string) bool {
	for p := cleanPath(path.Dir(dir)); p != root && p != ""; p = cleanPath(path.Dir(p)) {
		if dirs[p] {
			return true
		}
	}
	return false
}

// setDependencies makes each application depend on those that define the
// namespaces and kinds its objects need. fluxd needed no such order: it
// applied namespaces and CRDs first and tried again what failed.
// It returns the applications in an order that respects the dependencies; ok
// is false if they form a cycle, which is returned as names.
func setDependencies(apps []application) (ordered []application, cycle []string) {
	namespaces, kinds := map[string]int{}, map[string]int{}
	for i, a := range apps {
		for _, o := range a.objects {
			if o.Manifest == nil || o.Class != ClassApplied && o.Class != ClassSyncOnly {
				continue
			}
			gk := o.Manifest.GroupVersionKind().GroupKind()
			switch {
			case gk.Group == "" && gk.Kind == "Namespace":
				namespaces[o.Manifest.GetName()] = i
			case object.IsCRD(o.Manifest):
				if defined, ok := object.GetCRDGroupKind(o.Manifest); ok {
					kinds[defined.String()] = i
				}
			}
		}
	}
	for i := range apps {
		needs := map[string]bool{}
		for _, o := range apps[i].objects {
			if o.Manifest == nil {
				continue
			}
			if j, ok := namespaces[o.Manifest.GetNamespace()]; ok && j != i && o.Manifest.GetNamespace() != "" {
				needs[apps[j].Name] = true
			}
			if j, ok := kinds[o.Manifest.GroupVersionKind().GroupKind().String()]; ok && j != i {
				needs[apps[j].Name] = true
			}
		}
		for n := range needs {
			apps[i].depends = append(apps[i].depends, n)
		}
		slices.Sort(apps[i].depends)
	}
	placed := map[string]bool{}
	for len(ordered) < len(apps) {
		before := len(ordered)
		for _, a := range apps {
			ready := !placed[a.Name]
			for _, d := range a.depends {
				ready = ready && placed[d]
			}
			if ready {
				ordered = append(ordered, a)
			}
		}
		for _, a := range ordered[before:] {
			placed[a.Name] = true
		}
		if len(ordered) == before {
			for _, a := range apps {
				if !placed[a.Name] {
					cycle = append(cycle, a.Name)
				}
			}
			return nil, cycle
		}
	}
	return ordered, nil
}
