package migrate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// maxName is the longest name of a Kustomization: it becomes the value of a
// label on every object (source: Kubernetes label syntax).
const maxName = 63

// dnsName turns words into a DNS label: lower case, joined by "-", other
// characters replaced, cut to 63 characters with a hash of the whole when it
// is longer. Equal words give equal names.
func dnsName(words ...string) string {
	whole := strings.Join(words, "/")
	var b strings.Builder
	dash := true // so that none leads
	for _, r := range strings.ToLower(strings.Join(words, "-")) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
			dash = false
		} else if !dash {
			b.WriteByte('-')
			dash = true
		}
	}
	name := strings.TrimRight(b.String(), "-")
	if name == "" {
		name = "app"
	}
	if len(name) > maxName {
		name = strings.TrimRight(name[:maxName-9], "-") + "-" + shortHash(whole)
	}
	return name
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// ControlObject is a live object of the kinds that fluxover makes for a
// repository, in [AgentNamespace]: what bears a name that a plan may want.
type ControlObject struct {
	// Kind is "Kustomization", "GitRepository", "ServiceAccount" or "Secret".
	Kind, Name string
	// Repository is the id for which fluxover made it; empty if it did not.
	Repository string
	// Path and Account are spec.path and spec.serviceAccountName of a
	// Kustomization.
	Path, Account string
}

// ControlOf reads a control object.
func ControlOf(u *unstructured.Unstructured) ControlObject {
	c := ControlObject{Kind: u.GetKind(), Name: u.GetName()}
	if u.GetLabels()[LabelManaged] == "true" {
		c.Repository = u.GetAnnotations()[AnnotationRepository]
	}
	c.Path, _, _ = unstructured.NestedString(u.Object, "spec", "path")
	c.Account, _, _ = unstructured.NestedString(u.Object, "spec", "serviceAccountName")
	return c
}

// naming gives names that never depend on the order of discovery, on which
// repositories are planned, or on what other repositories hold in Git: only on
// the repository itself, the ids of all agents, and what is live. A repository
// that has its objects in the cluster keeps their names, whoever comes or goes
// (design, section 7).
type naming struct {
	// repository is the name of each agent's GitRepository and account, by id.
	repository map[string]string
	live       []ControlObject
}

// CapacitorName is the name of everything with which the ClusterAgent syncs
// the flux-capacitor: Secret, account, rights, GitRepository, Kustomization. What
// applies the folder of one repository has a name that begins with it and a dash.
const CapacitorName = "flux-capacitor"

// toolsOwn reports whether a name in [AgentNamespace] is that of something by
// which the ClusterAgent itself works, there already or not.
func toolsOwn(name string) bool {
	switch name {
	case "fluxover-agent", "fluxover-no-rights", "source-controller", "kustomize-controller":
		return true
	}
	return capacitorsOwn(name)
}

// capacitorsOwn reports whether a name is of what syncs the flux-capacitor, or a
// folder of it.
func capacitorsOwn(name string) bool {
	return name == CapacitorName || strings.HasPrefix(name, CapacitorName+"-")
}

// notToolsOwn gives the names but for those of the tool itself, which are "".
func notToolsOwn(name func(Flux1Agent) string) func(Flux1Agent) string {
	return func(a Flux1Agent) string {
		if n := name(a); !toolsOwn(n) {
			return n
		}
		return ""
	}
}

func newNaming(inv Inventory) naming {
	n := naming{live: inv.Cluster.Control}
	kept, taken := map[string]string{}, map[string]bool{"default": true} // each namespace has such an account
	known := func(id string) bool {
		return slices.ContainsFunc(inv.Agents, func(a Flux1Agent) bool { return a.ID == id })
	}
	for _, c := range n.live {
		// That of a repository's folder in the flux-capacitor is not its own. Any
		// other stays, one of the tool itself too: it was given before the tool
		// kept that for itself.
		if c.Kind != "Kustomization" || c.Repository == "" || c.Account == "" || capacitorsOwn(c.Account) {
			continue
		}
		taken[c.Account] = true
		if known(c.Repository) && (kept[c.Repository] == "" || c.Account < kept[c.Repository]) {
			kept[c.Repository] = c.Account
		}
	}
	n.repository = unique(inv.Agents, kept, taken, func(a Flux1Agent) string { return a.ID },
		notToolsOwn(func(a Flux1Agent) string {
			if s := strings.TrimPrefix(a.Release, "flux-"); s != "" && s != "flux" {
				return dnsName(s)
			}
			// A repository that was read from a folder has neither.
			return dnsName(cmp.Or(a.Namespace, path.Base(a.ID)))
		}),
		notToolsOwn(func(a Flux1Agent) string { return dnsName(a.ID) }),
		func(a Flux1Agent) string {
			if name := dnsName(a63(a.ID), shortHash(a.ID)); !toolsOwn(name) {
				return name
			}
			return dnsName(shortHash(a.ID), a63(a.ID))
		},
	)
	return n
}

// unique gives each item that has none in kept, by its key, the first of the
// names that no other item would have or has and that is not taken; an empty
// name is none. An item for which there is no such name gets the last.
func unique[T any](items []T, kept map[string]string, taken map[string]bool, key func(T) string, names ...func(T) string) map[string]string {
	out, used := maps.Clone(kept), maps.Clone(taken)
	for _, name := range kept {
		used[name] = true
	}
	for _, name := range names {
		// All items count, also those that have a name: what one is called must
		// not hang on who got a name before it.
		count := map[string]int{}
		for _, i := range items {
			count[name(i)]++
		}
		for _, i := range items {
			if n := name(i); n != "" && out[key(i)] == "" && count[n] == 1 && !used[n] {
				out[key(i)], used[n] = n, true
			}
		}
	}
	for _, i := range items {
		if out[key(i)] == "" {
			out[key(i)] = names[len(names)-1](i)
		}
	}
	return out
}

// plainName is an application's name where nothing else could have it: the
// repository's name and the folder below the agent's path.
func plainName(repository string, a application) string { return dnsName(repository, a.below()) }

// applications sets the Name of each application: that of its live
// Kustomization, else the plain name, else with the whole path, else with a
// hash of the repository's id and the path.
func (n naming) applications(id string, apps []application) {
	repository := n.repository[id]
	free := func(name func(application) string) func(application) string {
		return func(a application) string {
			if w := name(a); n.free(id, w, a) {
				return w
			}
			return ""
		}
	}
	by := func(key func(application) string) []func(application) string {
		hash := func(a application) string { return shortHash(id + " " + key(a)) }
		return []func(application) string{
			func(a application) string { return plainName(repository, a) },
			func(a application) string { return dnsName(repository, key(a)) },
			func(a application) string { return dnsName(repository, a63(key(a)), hash(a)) },
			// The hash before the folder leaves the names that begin alike.
			func(a application) string { return dnsName(a63(repository), hash(a), a63(a.below())) },
		}
	}
	names := by(application.key)
	// The keys of loose files had no slash at their end once.
	earlier := by(func(a application) string { return strings.TrimSuffix(a.key(), "/") })
	kept, taken := map[string]string{}, map[string]bool{}
	for _, name := range slices.Concat(names, earlier) {
		for _, a := range apps {
			w := name(a)
			if kept[a.key()] == "" && !taken[w] && slices.ContainsFunc(n.live, func(c ControlObject) bool {
				return c.Kind == "Kustomization" && c.Name == w && c.Repository == id && c.Path == a.path()
			}) {
				kept[a.key()], taken[w] = w, true
			}
		}
	}
	for i := range names[:len(names)-1] {
		names[i] = free(names[i])
	}
	given := unique(apps, kept, taken, application.key, names...)
	for i := range apps {
		apps[i].Name = given[apps[i].key()]
	}
}

// free reports whether neither the tool itself nor another repository can have a
// name, now or later: none has it in the cluster, and it neither is another
// repository's name, which what builds its root is called, nor begins with one
// that is longer. So "shop-payments" and "shop-payments-api" are of the repository
// "shop-payments", not of "shop", whether the former has a folder "api" or not. What
// is live for the repository itself is free to it, but for the tool's names.
func (n naming) free(id, name string, a application) bool {
	if toolsOwn(name) {
		return false
	}
	for _, c := range n.live {
		if c.Kind == "Kustomization" && c.Name == name && c.Repository != "" {
			return c.Repository == id
		}
	}
	own := n.repository[id]
	for other, repository := range n.repository {
		if other == id {
			continue
		}
		if name == repository || len(repository) > len(own) && strings.HasPrefix(name, repository+"-") || a.ownSource() && sourceName(name) == repository {
			return false
		}
	}
	return true
}

// lengthened says which applications do not have their plain name because it
// could be another repository's.
func (n naming) lengthened(id string, apps []application) []Finding {
	var findings []Finding
	for _, a := range apps {
		plain := plainName(n.repository[id], a)
		if a.Name == plain || n.free(id, plain, a) {
			continue
		}
		whose := "another repository"
		if toolsOwn(plain) {
			whose = "the flux-capacitor itself"
		}
		findings = append(findings, Finding{
			Severity: Info, Code: "NAME_LENGTHENED", Subject: id + " " + a.shown(), Repository: id,
			Message: fmt.Sprintf("the Kustomization of %s is named %s, since %s is or may become that of %s", a.shown(), a.Name, plain, whose),
		})
	}
	return findings
}

// sourceName is the name of the GitRepository of one application alone.
func sourceName(application string) string { return dnsName(application, "source") }

// a63 keeps a path short enough that a hash after it survives dnsName's cut.
func a63(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

// cleanPath writes a path from the repository's root without leading "./" or
// trailing "/"; the root itself is "".
func cleanPath(p string) string {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	return p
}

// NearIDs says, for a hint, which of the ids are spelled like the one that does
// not exist, nearest first; if none is, which there are.
func NearIDs(id string, ids []string) string {
	const most = 5
	if len(ids) == 0 {
		return "there is no repository at all"
	}
	near := slices.Clone(ids)
	slices.SortFunc(near, func(a, b string) int { return cmp.Or(distance(id, a)-distance(id, b), strings.Compare(a, b)) })
	like := slices.DeleteFunc(slices.Clone(near), func(other string) bool { return distance(id, other) > max(2, len(id)/3) })
	word := "near it: "
	if len(like) == 0 {
		word, like = "there are: ", slices.Sorted(slices.Values(ids))
	}
	more := ""
	if len(like) > most {
		more = fmt.Sprintf(" and %d more", len(like)-most)
	}
	return word + strings.Join(like[:min(most, len(like))], ", ") + more
}

// distance is how many characters must be put in, left out or changed to make
// one word of the other; ids that differ only in the part before or after the
// slash are near.
func distance(a, b string) int {
	_, nameA, _ := strings.Cut(a, "/")
	_, nameB, _ := strings.Cut(b, "/")
	if a == nameB || nameA == nameB && nameA != "" {
		return 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
