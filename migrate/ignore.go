package migrate

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxover/fluxover/reconcile/build"
)

// ignores gives the patterns, in gitignore syntax, that keep from Flux v2 the
// files that fluxd passes over: folders of Helm charts, files in which no
// document has a kind, kustomization files that the agent does not honour,
// and files whose every object the agent leaves out.
func ignores(agent *Flux1Agent) []string {
	var patterns []string
	charts := map[string]bool{}
	for _, f := range agent.Files {
		dir := path.Dir(f.Path)
		switch {
		case f.Kind == FileChart:
			charts[dir] = true
		case f.Kustomization:
			patterns = append(patterns, "/"+escapeIgnore(f.Path))
		case f.Kind == FileSilent, f.Kind == FileUnread: // the latter for the proof of the rest alone: see Plan.Incomplete
			patterns = append(patterns, "/"+escapeIgnore(f.Path))
		case f.Kind == FileManifest && allLeftOut(agent, f.Path):
			patterns = append(patterns, "/"+escapeIgnore(f.Path))
		}
	}
	for dir := range charts {
		if !anyParent(dir, charts) {
			patterns = append(patterns, "/"+escapeIgnore(dir)+"/")
		}
	}
	slices.Sort(patterns)
	return slices.Compact(patterns)
}

// unhidden are those of the patterns that hide none of the files that are read:
// fluxd passes over a file of a path that it scans, and Kustomize may read the same
// file for another path.
func unhidden(reads, patterns []string) []string {
	return slices.DeleteFunc(slices.Clone(patterns), func(pattern string) bool {
		hidden, isPath := strings.CutPrefix(pattern, "/")
		hidden = strings.TrimSuffix(hidden, "/")
		return isPath && slices.ContainsFunc(reads, func(read string) bool {
			read = escapeIgnore(cleanPath(read))
			return read == "" || read == hidden || strings.HasPrefix(hidden, read+"/") || strings.HasPrefix(read, hidden+"/")
		})
	})
}

// takeBack gives the patterns, to stand behind the others, that take back what
// fluxd applies and the artifact would lack: files that a .sourceignore in the
// repository leaves out, or, like cloudbuild.yaml and .github/, the default
// exclusions (reference H15, H19). A later pattern overrules an earlier one, and
// those of spec.ignore come after all others. (source: fluxcd/pkg
// artifact/storage/archive.go)
func takeBack(agent *Flux1Agent, patterns []string) (more []string, findings []Finding) {
	if agent.Tree == nil {
		return nil, nil
	}
	// With the default exclusions in any case, since the source of an
	// application alone has patterns of its own, and so repeats them.
	text := fullIgnore(patterns)
	artifact, err := build.NewArtifact(agent.Tree, &text)
	if err != nil {
		return nil, []Finding{{
			Severity: Blocker, Code: sourceIgnoreUnreadable, Subject: agent.ID, Repository: agent.ID,
			Message: fmt.Sprintf("what the repository's .sourceignore files leave out cannot be told: %v", err),
			Hint:    "mend or remove the file that the message names, or take patterns out of it",
		}}
	}
	defaults := sourceignore.NewDefaultMatcher(nil, nil)
	read := readFiles(agent)
	for _, name := range slices.Sorted(maps.Keys(read)) {
		if _, there := artifact.Has(name); there || len(unhidden([]string{name}, patterns)) < len(patterns) {
			continue // or the patterns leave it out on purpose, and who builds it has a source of its own
		}
		by := "a .sourceignore file"
		if defaults.Match(strings.Split(name, "/"), false) {
			by = "the default exclusions of Flux v2"
		}
		more = append(more, "!/"+escapeIgnore(name))
		findings = append(findings, Finding{
			Severity: Warning, Code: "FILE_TAKEN_BACK", Subject: agent.ID, Repository: agent.ID, Where: name,
			Message: fmt.Sprintf("fluxd applies %s and %s would leave it out; the new source takes it back, but no others that are added beside it", read[name], by),
			Hint:    "move it to a path that is not excluded, or take the pattern out of .sourceignore",
		})
	}
	return more, findings
}

// readFiles are those of which the agent applies something, as far as it is known
// where objects come from, and what it applies of each, in words.
func readFiles(agent *Flux1Agent) map[string]string {
	read := map[string]string{}
	for _, b := range agent.Builds {
		if !leftOutWhole(agent, &Object{Build: b}) {
			for _, name := range b.Reads {
				read[name] = "what Kustomize makes of this file"
			}
		}
	}
	for _, f := range agent.Files {
		if (f.Kind == FileManifest && !allLeftOut(agent, f.Path) || f.Kind == FileEncrypted) && !f.Kustomization {
			read[f.Path] = "this file"
		}
	}
	return read
}

// allLeftOut reports whether the file holds objects, and the agent applies
// none of them because they are not its to apply.
func allLeftOut(agent *Flux1Agent, file string) bool {
	return allForeign(agent, func(o *Object) bool { return o.Build == nil && o.File == file })
}

// leftOutWhole reports whether the agent applies nothing of what the object
// comes with: of its file, or of the folder that it is built of.
func leftOutWhole(agent *Flux1Agent, o *Object) bool {
	if o.Build == nil {
		return allLeftOut(agent, o.File)
	}
	return allForeign(agent, func(other *Object) bool { return other.Build != nil && other.Build.Folder == o.Build.Folder })
}

// allForeign reports whether there are such objects, and the agent applies none
// of them because they are not its to apply.
func allForeign(agent *Flux1Agent, such func(*Object) bool) bool {
	seen := false
	for i := range agent.Objects {
		o := &agent.Objects[i]
		if !such(o) {
			continue
		}
		if o.Class != ClassForeign && o.Class != ClassUnknownKind {
			return false
		}
		seen = true
	}
	return seen
}

func anyParent(dir string, dirs map[string]bool) bool {
	for p := path.Dir(dir); p != "." && p != "/"; p = path.Dir(p) {
		if dirs[p] {
			return true
		}
	}
	return false
}

// escapeIgnore keeps gitignore's special characters in a path literal.
func escapeIgnore(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}

// ignoreText writes patterns as GitRepository.spec.ignore; nil if there are
// none.
func ignoreText(patterns []string) *string {
	if len(patterns) == 0 {
		return nil
	}
	text := fullIgnore(patterns)
	return &text
}

// fullIgnore writes patterns behind the default exclusions, which any pattern
// switches off (reference H19; fluxcd/pkg: sourceignore/sourceignore.go).
func fullIgnore(patterns []string) string {
	defaults := strings.Join([]string{sourceignore.ExcludeExt, sourceignore.ExcludeCI, sourceignore.ExcludeExtra}, ",")
	return strings.Join(append(strings.Split(defaults, ","), patterns...), "\n") + "\n"
}
