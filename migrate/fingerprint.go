package migrate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// Fingerprint is what must be as planned of an agent when its plan is carried
// out: its image, chart, arguments and other settings, account, bindings with
// their rules, and the places of its credential. It is kept part by part, each
// by a name for people, so that [Fingerprint.Moved] can say what is different.
// Commits take no part, and no secret value does.
type Fingerprint map[string]string

// earlierVersion is the only part of a fingerprint that an earlier version
// wrote: one hash over everything, which this one does not compute.
const earlierVersion = "hash of an earlier version"

// longestPart is how many characters of a part are kept; of a longer one a
// hash of the whole follows.
const longestPart = 160

// FingerprintOf takes an agent's fingerprint.
func FingerprintOf(a *Flux1Agent) Fingerprint {
	f := Fingerprint{}
	f.add("image", a.Image)
	f.add("release", a.Release)
	f.add("chart version", a.ChartVersion)
	f.add("workload", a.Workload)
	f.add("account", a.ServiceAccount)
	f.add("default namespace", a.DefaultNamespace)
	f.add("allowed namespaces", a.AllowedNamespaces...)
	g := a.Git
	f.add("Git URL", g.URL)
	f.add("Git branch", g.Branch)
	f.add("Git paths", g.Paths...)
	f.add("Git poll interval", g.PollInterval.Duration.String())
	f.add("Git timeout", g.Timeout.Duration.String())
	f.add("Git read-only", strconv.FormatBool(g.ReadOnly))
	f.add("Git Secret", g.SecretName)
	f.add("sync tag", g.SyncTag)
	f.add("sync interval", a.Sync.Interval.Duration.String())
	f.add("sync timeout", a.Sync.Timeout.Duration.String())
	f.add("sync state", a.Sync.State)
	f.add("garbage collection", string(a.Sync.GarbageCollection))
	values := map[string][]string{}
	for _, s := range a.Settings {
		values[s.Name] = append(values[s.Name], s.Value)
	}
	for name, given := range values {
		f[settingPart(name)] = cut(strings.Join(given, ", "))
	}
	bindings := map[string][]string{}
	for _, b := range a.Rights {
		name := bindingName(b)
		bindings[name] = append(bindings[name], bindingText(b))
	}
	for name, texts := range bindings {
		slices.Sort(texts)
		f.add(name, strings.Join(slices.Compact(texts), "; "))
	}
	c := a.Credential
	f.add("credential", c.Kind)
	if c.Kind == "ssh" {
		f.add("credential identity", c.Identity.String())
	}
	if !c.tokenInPlainText() {
		f.add("credential username", c.Username.String())
	}
	f.add("credential password", c.Password.String())
	f.add("known hosts", strings.TrimSpace(c.KnownHosts))
	f.add("CA", c.CA.String())
	f.add("proxy", c.Proxy.String())
	for _, name := range sortedKeys(a.Decryption) {
		f.add("decryption "+name, a.Decryption[name].String())
	}
	for _, name := range sortedKeys(a.Identity) {
		f.add("account annotation "+name, a.Identity[name])
	}
	return f
}

// settingPart names a setting's part: an argument by itself, others so that
// they cannot be taken for one of the parts above.
func settingPart(name string) string {
	if isArgument(name) {
		return name
	}
	return "setting " + name
}

func isArgument(part string) bool { return strings.HasPrefix(part, "--") }

func (f Fingerprint) add(part string, values ...string) {
	if value := strings.Join(values, ", "); value != "" {
		f[part] = cut(value)
	}
}

// cut keeps the beginning of a long value, and a hash of all of it.
func cut(s string) string {
	if r := []rune(s); len(r) > longestPart {
		return string(r[:longestPart]) + "… (hash " + shortHash(s) + ")"
	}
	return s
}

// Earlier reports whether an earlier version of fluxover took it, in a form that
// this one cannot compare.
func (f Fingerprint) Earlier() bool { return f[earlierVersion] != "" }

// Moved says what is different now, part by part in the order of their names,
// with the value before and after. A value that an argument sets is said once.
func (f Fingerprint) Moved(now Fingerprint) []string {
	if f.Earlier() {
		return []string{"the version of fluxover: an earlier version planned this, and what it recorded of the agent cannot be compared"}
	}
	parts := map[string]bool{}
	for part := range f {
		parts[part] = true
	}
	for part := range now {
		parts[part] = true
	}
	var moved []string
	said := map[string]bool{}
	for _, part := range slices.Sorted(maps.Keys(parts)) { // arguments first
		was, before := f[part]
		is, after := now[part]
		if before == after && was == is {
			continue
		}
		what := fmt.Sprintf("%s, now %s", was, is)
		switch {
		case !before:
			what = "new: " + is
		case !after:
			what = "gone, was " + was
		case said[what] && !isArgument(part):
			continue
		}
		// Only what follows from an argument is left out beside it: two
		// arguments may well change alike.
		if isArgument(part) {
			said[what] = true
		}
		moved = append(moved, fmt.Sprintf("%s (%s)", part, what))
	}
	return moved
}

// UnmarshalJSON also reads the hash that an earlier version wrote in its place,
// and keeps that it is one.
func (f *Fingerprint) UnmarshalJSON(raw []byte) error {
	var hash string
	if err := json.Unmarshal(raw, &hash); err == nil {
		*f = nil
		if hash != "" {
			*f = Fingerprint{earlierVersion: hash}
		}
		return nil
	}
	parts := map[string]string{}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return fmt.Errorf("read a fingerprint: %w", err)
	}
	*f = parts
	return nil
}

// String says where a credential stands, never what it is.
func (k SecretKey) String() string {
	return fmt.Sprintf("Secret/%s/%s key %s", k.Namespace, k.Name, k.Key)
}

// String says where a value stands; a user name is the value itself.
func (v Value) String() string {
	switch {
	case v.Netrc != "" && v.Secret != nil:
		return v.Secret.String() + ", the login for " + v.Netrc
	case v.Secret != nil:
		return v.Secret.String()
	case v.Argument:
		return "in the --git-url argument"
	case v.ConfigMap != nil:
		return strings.Replace(v.ConfigMap.String(), "Secret/", "ConfigMap/", 1)
	case v.Variable != "":
		return "in the variable " + v.Variable
	default:
		return v.Literal
	}
}

// bindingText says what a binding grants.
func bindingText(b Binding) string {
	text := b.Role.Kind + "/" + b.Role.Name
	if b.Aggregated {
		text += ", aggregated"
	}
	if b.Group != "" {
		text += ", to group " + b.Group
	}
	var rules []string
	for _, r := range b.Rules {
		rules = append(rules, ruleText(r, "*"))
	}
	if len(rules) == 0 {
		return text
	}
	return text + ": " + strings.Join(rules, "; ")
}

// ruleText writes a rule as "get,list apps/deployments", all names included. ofCore is written for
// all resources of the core group, which fingerprints have as "*", as they have all URLs.
func ruleText(r rbacv1.PolicyRule, ofCore string) string {
	var on []string
	for _, group := range r.APIGroups {
		for _, resource := range r.Resources {
			switch {
			case group != "":
				resource = group + "/" + resource
			case resource == "*":
				resource = ofCore
			}
			on = append(on, resource)
		}
	}
	text := strings.Join(r.Verbs, ",") + " " + strings.Join(append(on, r.NonResourceURLs...), ",")
	if len(r.ResourceNames) > 0 {
		text += " named " + strings.Join(r.ResourceNames, ",")
	}
	return text
}
