package migrate

import (
	"cmp"
	"fmt"
	"path"
	"strings"
)

// laterCommits finds where commits that come after the hand-over will have
// another effect than with fluxd, since a plan says what is so of the files that
// there are today, and Flux v2 goes by what it says. apps are the repository's
// applications.
func (b *repositoryBuilder) laterCommits(apps []application) {
	b.newFolders(apps)
	b.emptyPaths(apps)
	b.movedFiles(apps)
	b.leftOutFiles()
	b.ignoreAnnotations()
	b.unfenced()
}

// newFolders finds the paths of which no Kustomization covers what is added
// beside the folders that there are. One of the whole path does, and so does the
// one of loose files: its source leaves out the folders of others, and no more.
func (b *repositoryBuilder) newFolders(apps []application) {
	split := map[string]bool{} // by path: whether something covers the whole of it
	for _, a := range apps {
		if a.file == "" && a.build == nil {
			split[a.root] = split[a.root] || a.dir == a.root
		}
	}
	for _, root := range sortedKeys(split) {
		if split[root] {
			continue
		}
		f := Finding{
			Severity: Warning, Code: "NEW_FOLDER_NOT_APPLIED", Where: display(root),
			Message: "each folder of this path has a Kustomization, which applies what is added within it; a folder that is added beside them, and a file that is added to the path itself, would be applied by fluxd and are by none of these: all of them stay Ready",
			Hint:    newFolderRemedy,
		}
		if b.agent.Sync.GarbageCollection == CollectOn {
			f.Message += "; what a file holds that moves there from one of them is deleted, and made anew once a Kustomization builds it"
		}
		b.find(f)
	}
}

// emptyPaths finds the paths that hold nothing yet, and so have no Kustomization. What
// another path covers, or has a finding for, needs none of its own.
func (b *repositoryBuilder) emptyPaths(apps []application) {
	if len(apps) == 0 || b.unknown("git.paths") { // other findings say so
		return
	}
	told := map[string]bool{}
	for _, a := range apps {
		told[cleanPath(cmp.Or(a.file, a.root))] = true
	}
	roots := map[string]bool{}
	for _, raw := range b.agent.Git.Paths {
		roots[cleanPath(raw)] = true
		told[cleanPath(raw)] = told[cleanPath(raw)] || b.inChart(raw)
	}
	for _, f := range b.plan.Findings {
		where, _, _ := strings.Cut(f.Where, ":")
		switch where = cleanPath(where); {
		case f.Repository != b.agent.ID || f.Severity != Blocker || where == "":
		case f.Code == notGenerated: // what is generated for it is not known to be nothing
			told[cleanPath(path.Dir(where))] = true
		default: // it is not there, or what stands in it cannot be read
			for root := range roots {
				told[root] = told[root] || where == root || strings.HasPrefix(where, root+"/")
			}
		}
	}
	for _, root := range sortedKeys(roots) {
		covered := told[root]
		for p := root; p != "" && !covered; {
			p = cleanPath(path.Dir(p))
			covered = told[p] || roots[p]
		}
		if covered {
			continue
		}
		b.find(Finding{
			Severity: Warning, Code: "NEW_FOLDER_NOT_APPLIED", Where: display(root),
			Message: "this path of the agent holds nothing that is applied, and so has no Kustomization: what is added to it later would be applied by fluxd and is not by the new agent",
			Hint:    emptyPathRemedy,
		})
	}
}

// inChart reports whether a path lies in a Helm chart, of which fluxd reads nothing.
func (b *repositoryBuilder) inChart(raw string) bool {
	inside := false
	for _, f := range b.agent.Files {
		if f.Kind != FileChart || f.Root != raw {
			continue
		}
		if dir := path.Dir(f.Path); path.Base(f.Path) == "Chart.yaml" && cleanPath(dir) != cleanPath(raw) {
			return false // the chart lies in the path
		}
		inside = true
	}
	return inside
}

const emptyPathRemedy = "before the hand-over plan again once it holds something; after it add a Kustomization of this path, like those of the others, to the flux-capacitor"

const newFolderRemedy = `before the hand-over plan again; after it put what is new into one of the folders, or add a Kustomization like theirs, with a name and path of its own, to the flux-capacitor; "--group-by path" makes one Kustomization of the path, which applies whatever is added`

// movedFiles finds where a file that moves from one application to another is
// deleted and made anew: fluxd looks at the whole, stock kustomize-controller at
// each application by itself. The bundled agent looks at the others first.
func (b *repositoryBuilder) movedFiles(apps []application) {
	if len(apps) < 2 || b.agent.Sync.GarbageCollection != CollectOn || b.plan.ClusterAgent.Engine == "bundled" {
		return
	}
	b.find(Finding{
		Severity: Warning, Code: "MOVED_FILE_DELETED",
		Message: fmt.Sprintf("what leaves Git is deleted, and this repository becomes %s: a file that moves from one of their folders to another is deleted, if the one that it leaves is applied first, and then made anew; fluxd only notes that it moved", Count(len(apps), "Kustomization")),
		Hint:    movedFileRemedy,
	})
}

const movedFileRemedy = `move a file in two commits: first annotate its objects with kustomize.toolkit.fluxcd.io/prune: disabled, and once that is applied move it; "--group-by path" makes one Kustomization of each path, within which files move freely; the bundled engine does not delete what another Kustomization builds, if that one is there before the file moves, in the same namespace and with the same URL`

// leftOutFiles finds the files that the new source leaves out by name, though
// fluxd would look into them again.
func (b *repositoryBuilder) leftOutFiles() {
	var kindless []string
	for _, f := range b.agent.Files {
		switch {
		case f.Kustomization:
		case f.Kind == FileSilent:
			kindless = append(kindless, f.Path)
		case f.Kind == FileManifest && allLeftOut(b.agent, f.Path):
			why := "it holds no object that the agent may act on"
			for _, o := range b.agent.Objects {
				if o.File == f.Path && o.Class == ClassUnknownKind {
					why = "the cluster does not serve the kinds of what it holds"
				}
			}
			b.find(Finding{
				Severity: Warning, Code: "FILE_LEFT_OUT", Where: f.Path,
				Message: fmt.Sprintf("fluxd applies nothing of this file, since %s, and the new source leaves it out by its name (spec.ignore), then as well when that is no longer so, or when another object is added to it: fluxd would apply these", why),
				Hint:    leftOutRemedy,
			})
		}
	}
	if len(kindless) == 0 {
		return
	}
	const most = 3
	where := strings.Join(kindless[:min(most, len(kindless))], ", ")
	if more := len(kindless) - most; more > 0 {
		where += fmt.Sprintf(" and %d more", more)
	}
	b.find(Finding{
		Severity: Info, Code: "FILE_LEFT_OUT", Where: where,
		Message: "no document of these files has a kind, and the new source leaves them out by their names (spec.ignore); once one of them holds an object, fluxd would apply it, and the new agent does not",
		Hint:    leftOutRemedy,
	})
}

const leftOutRemedy = "before the hand-over plan again once it holds what is to be applied; after it put such an object into a file of another name"

// ignoreAnnotations says how Flux v1's ignore annotations are carried.
func (b *repositoryBuilder) ignoreAnnotations() {
	count, first := b.countObjects(func(o *Object) bool { return o.Class == ClassIgnored || o.Class == ClassSyncOnly })
	if count > 0 {
		b.find(Finding{
			Severity: Warning, Code: "IGNORE_ANNOTATIONS", Where: first,
			Message: fmt.Sprintf("an ignore annotation of Flux v1 stands on %s, and means nothing to Flux v2; a patch for each has it do the same, so that a manifest that comes later with such an annotation is applied, and deleted once it leaves Git", Count(count, "object")),
			Hint:    ignoreRemedy,
		})
	}
}

const ignoreRemedy = "from now on write kustomize.toolkit.fluxcd.io/reconcile: disabled beside fluxcd.io/ignore: \"true\", and prune: disabled of the same group beside sync_only: to fluxd that means nothing"

// unfenced finds the objects that no admission policy can keep the old agent from
// writing: the API server asks no policy about policies and their bindings
// (kubernetes: k8s.io/apiserver/pkg/admission/plugin/policy/generic).
func (b *repositoryBuilder) unfenced() {
	count, first := b.countObjects(func(o *Object) bool {
		if o.Manifest == nil || o.Class != ClassApplied && o.Class != ClassSyncOnly {
			return false // encrypted, or not written by fluxd
		}
		gvk := o.Manifest.GroupVersionKind()
		return gvk.Group == "admissionregistration.k8s.io" && strings.Contains(gvk.Kind, "AdmissionPolicy")
	})
	if count > 0 {
		b.find(Finding{
			Severity: Warning, Code: "FENCE_DOES_NOT_REACH", Where: first,
			Message: fmt.Sprintf("the repository holds %s: the API server asks no policy about these, so that the fence does not refuse what the old agent writes of them if it is started again; two engines would then apply them", Count(count, "admission policy object")),
			Hint:    unfencedRemedy,
		})
	}
}

const unfencedRemedy = "see that nothing starts the old agent again: set its replicas to 0 where its release is declared, and take the release away once the repository has settled"

// countObjects counts the agent's objects of a sort, and says where the first stands.
func (b *repositoryBuilder) countObjects(is func(*Object) bool) (count int, first string) {
	for i := range b.agent.Objects {
		if o := &b.agent.Objects[i]; is(o) {
			if count++; count == 1 {
				first = fmt.Sprintf("%s:%d", o.File, o.Line)
			}
		}
	}
	return count, first
}
