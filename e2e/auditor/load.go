package auditor

import (
	"cmp"
	"slices"
	"time"
)

// Load is how often one user asked for one thing in the window.
type Load struct {
	// User is who sent the request, not whom it impersonated.
	User string `json:"user"`
	// Verb is get, list, watch, create and so on, "patch (dry-run)" for a
	// request that persisted nothing.
	Verb string `json:"verb"`
	// Resource is resource.group, with /subresource; "-" for other paths.
	Resource string `json:"resource"`
	// Count includes refused and failed requests.
	Count int `json:"count"`
	// PerSecond is Count over the length of the window.
	PerSecond float64 `json:"perSecond"`
}

type loadKey struct{ user, verb, resource string }

func loadKeyOf(e *Event) loadKey {
	k := loadKey{user: e.User.Username, verb: e.Verb, resource: "-"}
	if isWriteVerb(e.Verb) && e.dryRun() {
		k.verb += " (dry-run)"
	}
	if ref := e.ObjectRef; ref != nil && ref.Resource != "" {
		k.resource = resourceName(key{group: ref.APIGroup, resource: ref.Resource}, ref.Subresource)
	}
	return k
}

func loads(counts map[loadKey]int, length time.Duration) []Load {
	out := make([]Load, 0, len(counts))
	for k, n := range counts {
		l := Load{User: k.user, Verb: k.verb, Resource: k.resource, Count: n}
		if length > 0 {
			l.PerSecond = float64(n) / length.Seconds()
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Load) int {
		return cmp.Or(-cmp.Compare(a.Count, b.Count), cmp.Compare(a.User, b.User), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Verb, b.Verb))
	})
	return out
}
