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
// it as a part: a git.url, below a name of Flux, beside values that no other chart has, or with a
// branch and a path, as one that syncs manifests has them. It is empty if they hold none.
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
			(named || slices.ContainsFunc(fluxChartKeys, has(part)) || slices.ContainsFunc(fluxGitKeys, has(git)) || has(git)("branch") && has(git)("path")) {
			return key
		}
		if at := fluxPart(part, depth+1); at != "" {
			return key + "." + at
		}
	}
	return ""
}

// FluxPartOf is as FluxPart, of values of which the names alone are given, with dots.
func FluxPartOf(names ...string) string {
	values := map[string]any{}
	for _, name := range names {
		at, keys := values, strings.Split(name, ".")
		for _, key := range keys[:len(keys)-1] {
			below, ok := at[key].(map[string]any)
			if !ok {
				below = map[string]any{}
				at[key] = below
			}
			at = below
		}
		if last := keys[len(keys)-1]; at[last] == nil {
			at[last] = name
		}
	}
	return FluxPart(values)
}
