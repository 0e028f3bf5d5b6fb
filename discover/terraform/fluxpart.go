package terraform

import (
	"slices"
	"strings"
)

var (
	// fluxChartKeys are values that the flux chart alone has, and fluxGitKeys those of its git that
	// no other chart is known to have (flux: chart/flux/values.yaml). flux2ChartKeys are of charts
	// of Flux v2.
	fluxChartKeys  = []string{"helmOperator", "syncGarbageCollection", "manifestGeneration"}
	fluxGitKeys    = []string{"ciSkip", "ciSkipMessage", "setAuthor", "signingKey", "verifySignatures", "verifySignaturesMode", "secretDataKey", "readonly", "pollInterval"}
	flux2ChartKeys = []string{"gitRepository", "kustomization", "helmController", "kustomizeController", "sourceController", "notificationController"}
)

// maxFluxPart bounds how deep in values a part is looked for.
const maxFluxPart = 5

// FluxPart says under which key values hold those of the flux chart, as those of a chart do that has
// it as a part: a git.url, below a name of Flux or beside values that no other chart has. It is
// empty if they hold none.
func FluxPart(values map[string]any) string { return fluxPart(values, 0) }

// FluxPart is as the function of that name, of values that may be known in part.
func (n *Node) FluxPart() string {
	if n == nil || n.Kind != Map {
		return ""
	}
	values, _ := n.tree().(map[string]any)
	return FluxPart(values)
}

func fluxPart(values map[string]any, depth int) string {
	if depth > maxFluxPart {
		return ""
	}
	has := func(of map[string]any) func(string) bool {
		return func(key string) bool { return of[key] != nil }
	}
	for _, key := range sortedKeys(values) {
		part, ok := values[key].(map[string]any)
		if !ok || strings.HasPrefix(key, "$") { // what is said of values that are not known
			continue
		}
		git, _ := part["git"].(map[string]any)
		named := fluxWord.MatchString(key) && !strings.Contains(strings.ToLower(key), "system") // which is where Flux v2 is
		if url := git["url"]; url != nil && url != "" && !slices.ContainsFunc(flux2ChartKeys, has(part)) &&
			(named || slices.ContainsFunc(fluxChartKeys, has(part)) || slices.ContainsFunc(fluxGitKeys, has(git))) {
			return key
		}
		if at := fluxPart(part, depth+1); at != "" {
			return key + "." + at
		}
	}
	return ""
}

// FluxPartOf is the part of a chart that a key of several words leads to, which is given a git.url, if it is
// by its name the flux chart; empty of another.
func FluxPartOf(key string) string {
	values := map[string]any{"git": map[string]any{"url": key}}
	names := strings.Split(key, ".")
	for i := len(names) - 1; i >= 0; i-- {
		values = map[string]any{names[i]: values}
	}
	return FluxPart(values)
}
