package chart

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate/flux1"
)

// Text is a text that may hold a secret, so every way of printing it hides it.
// Convert it to a string for use.
type Text string

// String hides the text.
func (t Text) String() string {
	if t == "" {
		return ""
	}
	return hiddenText
}

// GoString hides the text.
func (t Text) GoString() string { return fmt.Sprintf("%q", t.String()) }

// Format hides the text from every verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// MarshalText hides the text from encoders.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Argument is one argument that the chart gives fluxd, or may give.
type Argument struct {
	// Text as the container gets it; empty if unknown. Written is as the chart prints it,
	// before the variables that are known are filled in.
	Text, Written Text
	// Flag that it sets; empty if an element of additionalArgs is unknown and
	// may set any flag, or is no flag of fluxd.
	Flag string
	// Keys are the chart values that it was made of, whether the user or the
	// chart gave them; empty for what the chart always gives.
	Keys []string
	// Unknown says why it is unknown whether it is given, or with what value.
	Unknown string
}

// String names the argument, with its value where that is known and no secret.
func (a Argument) String() string {
	if a.Unknown != "" {
		return "--" + a.Flag + " unknown: " + a.Unknown
	}
	if a.Flag != "" && !strings.HasPrefix(string(a.Text), "--"+a.Flag) {
		return hiddenText // the flag's value, as a word of its own
	}
	return showArgument(string(a.Text))
}

// GoString is String.
func (a Argument) GoString() string { return fmt.Sprintf("%q", a.String()) }

// showArgument shows an argument of which nothing is secret but what flux1
// knows to be.
func showArgument(arg string) string {
	name, value, hasValue := strings.Cut(arg, "=")
	if !strings.HasPrefix(name, "-") {
		return hiddenText
	}
	flag := flux1.FlagNamed(strings.TrimPrefix(name, "--"))
	switch {
	case !hasValue && flag == nil:
		return hiddenText // it may be the value of the word before
	case !hasValue:
		return name
	case flag == nil:
		return flux1.ShownFlag(name) + "=" + hiddenText
	case flag.Secret:
		return name + "=" + hiddenText
	}
	return name + "=" + flux1.DisplayURL(value)
}

// argumentRow is one argument of the Deployment's template.
type argumentRow struct {
	flag string
	// since is the first version that gives it in this way, until the first
	// that no longer does.
	since, until version
	// when is the condition on which it is given; nil for always.
	when func(*scope) truth
	// value behind "--flag="; nil for a bare flag.
	value func(*scope) value
	// reads are the values on which the condition depends.
	reads []string
}

func read(key string) func(*scope) value   { return func(s *scope) value { return s.get(key) } }
func set(key string) func(*scope) truth    { return func(s *scope) truth { return s.is(key) } }
func fixed(text string) func(*scope) value { return func(*scope) value { return value{of: text} } }

func always(flag, since, key string) argumentRow {
	return argumentRow{flag: flag, since: v(since), value: read(key)}
}

func ifSet(flag, since, key string) argumentRow {
	return argumentRow{flag: flag, since: v(since), when: set(key), value: read(key), reads: []string{key}}
}

func bareIfSet(flag, since, key string) argumentRow {
	return argumentRow{flag: flag, since: v(since), when: set(key), reads: []string{key}}
}

// rows is the order of fluxd's arguments in the chart's Deployment, of all
// versions, without additionalArgs, which come last (flux:
// chart/flux/templates/deployment.yaml).
var rows = []argumentRow{
	{flag: "k8s-allow-namespace", since: v("0.11.0"), when: func(s *scope) truth {
		t := s.confined()
		if s.at.in(v("1.11.0"), v("1.11.2")) {
			t = t.and(s.is("allowedNamespaces"))
		}
		return t
	}, value: func(s *scope) value {
		list := s.namespaces()
		if list.unknown == "" {
			items, _ := list.of.([]any)
			list.of = commaJoined(items)
		}
		return list
	}, reads: []string{"clusterRole.create"}},
	ifSet("k8s-default-namespace", "1.9.0", "defaultNamespace"),
	ifSet("log-format", "0.10.0", "logFormat"),
	{flag: "ssh-keygen-dir", value: fixed("/var/fluxd/keygen")},
	always("ssh-keygen-format", "1.3.0", "ssh.keygen.format"),
	// Before 0.6.1 the flag ignores git.secretName, which is mounted all the same.
	{flag: "k8s-secret-name", until: v("0.6.1"), value: func(s *scope) value { return s.named("-git-deploy") }},
	{flag: "k8s-secret-name", since: v("0.6.1"), value: func(s *scope) value { return s.get("git.secretName").or(s.named("-git-deploy")) }},
	ifSet("k8s-secret-data-key", "1.5.0", "git.secretDataKey"),
	{flag: "memcached-hostname", until: v("0.14.0"), value: func(s *scope) value { return s.named("-memcached") }},
	{flag: "memcached-hostname", since: v("0.14.0"), value: func(s *scope) value { return s.get("memcached.hostnameOverride").or(s.named("-memcached")) }},
	always("sync-state", "0.13.0", "sync.state"),
	ifSet("sync-timeout", "0.15.0", "sync.timeout"),
	{flag: "memcached-service", since: v("0.6.0"), when: set("memcached.createClusterIP"), value: fixed(""), reads: []string{"memcached.createClusterIP"}},
	always("git-url", "0.5.0", "git.url"),
	always("git-branch", "0.5.0", "git.branch"),
	always("git-path", "0.5.0", "git.path"),
	always("git-readonly", "0.13.0", "git.readonly"),
	always("git-user", "0.5.0", "git.user"),
	always("git-email", "0.5.0", "git.email"),
	{flag: "git-gpg-key-import", since: v("0.7.0"), until: v("0.10.0"), when: set("gpgKeys.secretName"),
		value: fixed("/root/gpg-import"), reads: []string{"gpgKeys.secretName"}},
	{flag: "git-gpg-key-import", since: v("0.10.0"), when: func(s *scope) truth {
		return s.is("gpgKeys.secretName").or(s.is("gpgKeys.configMapName"))
	}, value: gpgImports, reads: []string{"gpgKeys.secretName", "gpgKeys.configMapName"}},
	ifSet("git-signing-key", "0.7.0", "git.signingKey"),
	{flag: "git-verify-signatures", since: v("0.10.0"), until: v("0.16.0"), when: set("git.verifySignatures"), reads: []string{"git.verifySignatures"}},
	ifSet("git-verify-signatures-mode", "1.13.0", "git.verifySignaturesMode"),
	{flag: "git-verify-signatures", since: v("0.16.0"), when: func(s *scope) truth {
		if s.at.before(v("1.13.0")) {
			return truth{is: true}
		}
		return s.is("git.verifySignaturesMode").not()
	}, value: read("git.verifySignatures")},
	always("git-set-author", "0.5.0", "git.setAuthor"),
	bareIfSet("git-secret", "1.3.0", "git.secret.enabled"),
	always("git-poll-interval", "0.5.0", "git.pollInterval"),
	always("git-timeout", "0.5.0", "git.timeout"),
	{flag: "sync-interval", until: v("1.1.0"), value: read("git.pollInterval")},
	{flag: "sync-interval", since: v("1.1.0"), value: func(s *scope) value { return s.get("sync.interval").or(s.get("git.pollInterval")) }},
	always("git-ci-skip", "0.5.0", "git.ciSkip"),
	ifSet("git-label", "0.5.0", "git.label"),
	ifSet("sops", "1.2.0", "sops.enabled"),
	{flag: "manifest-generation", since: v("0.12.0"), when: set("manifestGeneration"), value: fixed("true"), reads: []string{"manifestGeneration"}},
	{flag: "registry-poll-interval", until: v("0.16.0"), value: read("registry.pollInterval")},
	{flag: "automation-interval", since: v("0.16.0"), value: func(s *scope) value { return s.get("registry.pollInterval").or(s.get("registry.automationInterval")) }},
	always("registry-rps", "0.5.0", "registry.rps"),
	always("registry-burst", "0.5.0", "registry.burst"),
	always("registry-trace", "0.5.0", "registry.trace"),
	{flag: "registry-require", since: v("0.12.0"), when: set("registry.ecr.require"), value: fixed("ecr"), reads: []string{"registry.ecr.require"}},
	ifSet("registry-insecure-host", "0.5.0", "registry.insecureHosts"),
	ifSet("registry-cache-expiry", "0.5.0", "registry.cacheExpiry"),
	bareIfSet("registry-disable-scanning", "1.2.0", "registry.disableScanning"),
	ifSet("registry-exclude-image", "0.6.1", "registry.excludeImage"),
	ifSet("registry-include-image", "1.3.0", "registry.includeImage"),
	ifSet("registry-use-labels", "0.11.0", "registry.useTimestampLabels"),
	ifSet("registry-ecr-region", "0.6.0", "registry.ecr.region"),
	ifSet("registry-ecr-include-id", "0.6.0", "registry.ecr.includeId"),
	ifSet("registry-ecr-exclude-id", "0.6.0", "registry.ecr.excludeId"),
	{flag: "docker-config", since: v("0.7.0"), until: v("0.9.0"), when: set("registry.dockercfg.enabled"),
		value: fixed("/dockercfg/config.json"), reads: []string{"registry.dockercfg.enabled"}},
	{flag: "docker-config", since: v("0.9.0"), when: set("registry.dockercfg.enabled"),
		value: read("registry.dockercfg.configFileName"), reads: []string{"registry.dockercfg.enabled"}},
	{flag: "connect", when: set("token"), value: fixed("wss://cloud.weave.works/api/flux"), reads: []string{"token"}},
	ifSet("token", "0.5.0", "token"),
	{flag: "sync-garbage-collection", since: v("0.9.3"), when: func(s *scope) truth {
		on := s.is("syncGarbageCollection.enabled")
		if !s.at.before(v("0.10.0")) {
			on = on.and(s.is("syncGarbageCollection.dry").not())
		}
		return on
	}, value: read("syncGarbageCollection.enabled"), reads: []string{"syncGarbageCollection.enabled"}},
	ifSet("sync-garbage-collection-dry", "0.10.0", "syncGarbageCollection.dry"),
}

// gpgImports lists where GPG keys are mounted.
func gpgImports(s *scope) value {
	private, public := s.is("gpgKeys.secretName"), s.is("gpgKeys.configMapName")
	for _, t := range []truth{private, public} {
		if t.unknown != "" {
			return value{unknown: t.unknown}
		}
	}
	var at []string
	if private.is {
		at = append(at, "/root/gpg-import/private")
	}
	if public.is {
		at = append(at, "/root/gpg-import/public")
	}
	return value{of: strings.Join(at, ",")}
}

// commaJoined joins as the templates do, which leave null out.
func commaJoined(items []any) string {
	var parts []string
	for _, x := range items {
		if x != nil {
			parts = append(parts, fmt.Sprint(x))
		}
	}
	return strings.Join(parts, ",")
}

// arguments are fluxd's, in the chart's order.
func (s *scope) arguments() []Argument {
	var out []Argument
	for i := range rows {
		if a := s.argument(&rows[i]); a != nil {
			out = append(out, *a)
		}
	}
	return append(out, s.additional()...)
}

func (s *scope) argument(row *argumentRow) *Argument {
	if !s.at.in(row.since, row.until) {
		return nil
	}
	a := &Argument{Flag: row.flag, Keys: row.reads}
	if row.when != nil {
		switch t := row.when(s); {
		case t.no():
			return nil
		case t.unknown != "":
			a.Unknown = t.unknown
			return a
		}
	}
	printed := "--" + row.flag
	if row.value != nil {
		x := row.value(s)
		for _, k := range x.keys {
			if !slices.Contains(a.Keys, k) {
				a.Keys = append(slices.Clone(a.Keys), k)
			}
		}
		text, unknown := x.printed()
		if unknown != "" {
			a.Unknown = unknown
			return a
		}
		printed += "=" + text
	}
	text, ok := inManifest(printed)
	if !ok {
		key := row.flag
		if len(a.Keys) > 0 {
			key = a.Keys[len(a.Keys)-1]
		}
		s.fail(key, "--%s is printed into the manifest unquoted, where it is no text", row.flag)
		a.Unknown = notRendered
		return a
	}
	a.Text = Text(text)
	return a
}

// additional are the arguments of additionalArgs, which are taken as they are.
func (s *scope) additional() []Argument {
	const key = "additionalArgs"
	all := s.get(key)
	switch t := all.truth(); {
	case t.unknown != "":
		return []Argument{{Unknown: t.unknown, Keys: []string{key}}}
	case !t.is:
		return nil
	}
	if _, ok := all.of.(tree); ok {
		// Printed at the depth of the container's own fields, it adds no
		// argument.
		return nil
	}
	items, ok := all.of.([]any)
	if !ok {
		s.fail(key, "it is %s, and the chart prints it into a list", typeName(all.of))
		return []Argument{{Unknown: notRendered, Keys: []string{key}}}
	}
	var out []Argument
	awaiting := ""      // the flag whose value is the next element
	positional := false // behind "--", there are no flags
	for i, item := range items {
		a := Argument{Keys: []string{fmt.Sprintf("%s[%d]", key, i)}, Flag: awaiting}
		switch x := item.(type) {
		case string:
			a.Text = Text(x)
			if awaiting != "" {
				awaiting = ""
				break
			}
			if positional = positional || x == "--"; positional {
				break
			}
			if flag, awaits := flux1.FlagOf(x); flag != nil {
				a.Flag = flag.Name
				if awaits {
					awaiting = flag.Name
				}
			}
		case Unknown:
			a.Unknown = x.Cause
			if awaiting == "" && !positional {
				// Known to its "=", it names its flag.
				if flag, _ := flux1.FlagOf(x.Prefix); flag != nil && strings.Contains(x.Prefix, "=") {
					a.Flag = flag.Name
				}
			}
			awaiting = ""
		default:
			s.fail(a.Keys[0], "it is %s, and an argument is text", typeName(x))
			a.Unknown, awaiting = notRendered, ""
		}
		out = append(out, a)
	}
	return out
}
