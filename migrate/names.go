package migrate

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
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
// without a leading "flux-", with the namespace when two would be equal.
func repositoryNames(agents []Flux1Agent) map[string]string {
	short := func(a Flux1Agent) string {
		if s := strings.TrimPrefix(a.Release, "flux-"); s != "" && s != "flux" {
			return s
		}
		return a.Namespace
	}
	count := map[string]int{}
	for _, a := range agents {
		count[dnsName(short(a))]++
	}
	names := make(map[string]string, len(agents))
	for _, a := range agents {
		name := dnsName(short(a))
		if count[name] > 1 {
			name = dnsName(a.Namespace, a.Release)
		}
		names[a.ID] = name
	}
	return names
}

// nameApplications sets the Name of each application: the repository's name
// and the folder below the agent's path. Where two would be equal, all of
// them get the whole path instead; the rest get a hash.
func nameApplications(repository string, apps []application) {
	assign := func(name func(application) string) {
		count := map[string]int{}
		for _, a := range apps {
			count[name(a)]++
		}
		for i := range apps {
			if apps[i].Name == "" && count[name(apps[i])] == 1 {
				apps[i].Name = name(apps[i])
			}
		}
	}
	taken := func(n string) bool {
		return slices.ContainsFunc(apps, func(a application) bool { return a.Name == n })
	}
	assign(func(a application) string { return dnsName(repository, a.below()) })
	assign(func(a application) string {
		if n := dnsName(repository, a.key()); !taken(n) {
			return n
		}
		return dnsName(repository, a.key(), shortHash(a.key()))
	})
	for i := range apps {
		if apps[i].Name == "" {
			apps[i].Name = dnsName(repository, a63(apps[i].key()), shortHash(apps[i].key()))
		}
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
