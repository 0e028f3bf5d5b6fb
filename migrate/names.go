package migrate

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
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

// repositoryNames gives each agent the name of its GitRepository: the release
// without a leading "flux-". Where two would be equal, all of them are named
// by their ids, which are unique, and a hash tells ids apart that a name
// cannot.
func repositoryNames(agents []Flux1Agent) map[string]string {
	return unique(agents, func(a Flux1Agent) string { return a.ID },
		func(a Flux1Agent) string {
			if s := strings.TrimPrefix(a.Release, "flux-"); s != "" && s != "flux" {
				return dnsName(s)
			}
			return dnsName(a.Namespace)
		},
		func(a Flux1Agent) string { return dnsName(a.ID) },
		func(a Flux1Agent) string { return dnsName(a63(a.ID), shortHash(a.ID)) },
	)
}

// unique gives each item, by its key, the first of the names that no other
// item would have or has.
func unique[T any](items []T, key func(T) string, names ...func(T) string) map[string]string {
	out, taken := map[string]string{}, map[string]bool{}
	for _, name := range names {
		count := map[string]int{}
		for _, i := range items {
			if out[key(i)] == "" {
				count[name(i)]++
			}
		}
		for _, i := range items {
			if n := name(i); out[key(i)] == "" && count[n] == 1 && !taken[n] {
				out[key(i)], taken[n] = n, true
			}
		}
	}
	return out
}

// nameApplications sets the Name of each application: the repository's name
// and the folder below the agent's path; where two would be equal, the whole
// path instead, and then a hash of it.
func nameApplications(repository string, apps []application) {
	names := unique(apps, application.key,
		func(a application) string { return dnsName(repository, a.below()) },
		func(a application) string { return dnsName(repository, a.key()) },
		func(a application) string { return dnsName(repository, a63(a.key()), shortHash(a.key())) },
	)
	for i := range apps {
		apps[i].Name = names[apps[i].key()]
	}
}

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
