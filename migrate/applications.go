package migrate

import (
	"fmt"
	"path"
	"slices"
	"strings"
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
	// build is set where a .flux.yaml has Kustomize build dir.
	build *KustomizeBuild
	// objects that fluxd applies or knowingly leaves alone from its files.
	objects []*Object
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
// repository's holds more than it loads, or may, since that lacks something.
func (a application) ownSource() bool { return a.loose || a.file != "" || a.build != nil }

// key is unique per application of a repository. That of loose files ends with a
// slash, which no path does: a folder beside them may be called "files", too.
func (a application) key() string {
	switch {
	case a.file != "":
		return a.file
	case a.loose:
		return a.dir + "/files/"
	default:
		return a.dir
	}
}

// shown is what it builds, for people.
func (a application) shown() string { return display(strings.TrimSuffix(a.key(), "/")) }

// holds reports whether an object belongs to the application: by the folder
// that it is built of, else by its file.
func (a application) holds(o *Object) bool {
	switch {
	case a.build != nil || o.Build != nil:
		return a.build != nil && o.Build != nil && cleanPath(o.Build.Folder) == a.dir
	case a.file != "":
		return o.File == a.file
	case a.loose:
		return path.Dir("/"+o.File) == "/"+a.dir
	default:
		return a.dir == "" || strings.HasPrefix(o.File, a.dir+"/")
	}
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
		root := cleanPath(raw)
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
			if apps[j].holds(o) {
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
	if apps := built(agent, raw, root); len(apps) > 0 {
		return apps, ""
	}
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

// built are the folders that Kustomize builds for a path of the agent. What a
// path is grouped by makes no difference to them: each is built by itself, and
// one Kustomization has one path.
func built(agent *Flux1Agent, raw, root string) []application {
	var apps []application
	for _, b := range agent.Builds {
		if b.Root != raw {
			continue
		}
		why := b.File + " has Kustomize build this folder"
		if b.PatchFile != "" {
			why += ", and patches it with " + b.PatchFile
		}
		apps = append(apps, application{root: root, dir: cleanPath(b.Folder), build: b, Application: Application{Why: why}})
	}
	return apps
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

// setDependencies makes each application depend on those that its objects need
// (see [needs]), and gives the applications in an order that respects it. If
// their needs form a circle, it is given as the names in it, and there is no
// order; with drop the circle is cut instead, and the findings say where.
func setDependencies(agent *Flux1Agent, apps []application, drop bool) (ordered []application, circle []string, findings []Finding) {
	groups := make([][]*Object, len(apps))
	for i := range apps {
		groups[i] = apps[i].objects
	}
	edges := needs(groups)
	order, left, stuck := inOrder(edges, drop)
	for _, i := range stuck {
		circle = append(circle, apps[i].Name)
	}
	if circle != nil {
		return nil, circle, nil
	}
	for i := range apps {
		for _, e := range left[i] {
			findings = append(findings, Finding{
				Severity: Warning, Code: "DEPENDENCY_CIRCLE", Subject: agent.ID + " " + apps[i].Name, Repository: agent.ID, Where: apps[e.to].Name,
				Message: fmt.Sprintf("%s needs %s (%s), which needs it in turn, so that no order can be given to Flux v2", apps[i].Name, apps[e.to].Name, strings.Join(e.whys, "; ")),
				Hint:    "nothing for now, since all of it is live; for a cluster made anew, move what both need to a folder of its own",
			})
			edges[i] = slices.DeleteFunc(edges[i], func(kept edge) bool { return kept.to == e.to })
		}
	}
	for _, i := range order {
		apps[i].DependsOn = nil
		for _, e := range edges[i] {
			apps[i].DependsOn = append(apps[i].DependsOn, Dependency{Name: apps[e.to].Name, Why: strings.Join(e.whys, "; ")})
		}
		slices.SortFunc(apps[i].DependsOn, func(a, b Dependency) int { return strings.Compare(a.Name, b.Name) })
		ordered = append(ordered, apps[i])
	}
	return ordered, nil, findings
}
