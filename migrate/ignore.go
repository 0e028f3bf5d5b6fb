package migrate

import (
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
)

// ignores gives the patterns, in gitignore syntax, that keep from Flux v2 the
// files that fluxd passes over: folders of Helm charts, files in which no
// document has a kind, kustomization files that the agent does not honour,
// and files whose every object the agent leaves out.
func ignores(agent *Flux1Agent) (patterns []string, findings []Finding) {
	charts := map[string]bool{}
	for _, f := range agent.Files {
		dir := path.Dir(f.Path)
		switch {
		case f.Kind == FileChart:
			charts[dir] = true
		case f.Kustomization && !agent.ManifestGeneration:
			patterns = append(patterns, "/"+escapeIgnore(f.Path))
			findings = append(findings, Finding{
				Severity: Info, Code: "KUSTOMIZATION_FILE_IGNORED", Subject: agent.ID, Repository: agent.ID, Where: f.Path,
				Message: "fluxd does not honour this kustomization file; the new source ignores it, so that the same objects are built",
			})
		case f.Kind == FileSilent:
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
	return slices.Compact(patterns), findings
}

// allLeftOut reports whether the file holds objects, and the agent applies
// none of them because they are not its to apply.
func allLeftOut(agent *Flux1Agent, file string) bool {
	seen := false
	for _, o := range agent.Objects {
		if o.File != file {
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
// none. It repeats the default exclusions, which any pattern switches off
// (reference H19; fluxcd/pkg: sourceignore/sourceignore.go).
func ignoreText(patterns []string) *string {
	if len(patterns) == 0 {
		return nil
	}
	defaults := strings.Join([]string{sourceignore.ExcludeExt, sourceignore.ExcludeCI, sourceignore.ExcludeExtra}, ",")
	lines := append(strings.Split(defaults, ","), patterns...)
	text := strings.Join(lines, "\n") + "\n"
	return &text
}
