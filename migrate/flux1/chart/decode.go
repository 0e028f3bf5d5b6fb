package chart

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// Release is what the chart's templates read beside the values.
type Release struct {
	// Name and Namespace; empty if not known, and then what is named after
	// them is unknown too.
	Name, Namespace string
	// Cause says why one of them is not known.
	Cause string
	// Version of the chart, such as "1.13.3".
	Version string
	// ConfigMap gives what is known of a ConfigMap of the namespace, and whether that is
	// all it holds; nil if none is known. Arguments that refer to variables are filled in
	// from it.
	ConfigMap func(name string) (data map[string]string, whole bool)
}

func (r Release) cause(what string) string {
	if r.Cause != "" {
		return r.Cause
	}
	return "the release's " + what + " is not known"
}

// Rendered is the agent that a release would be. Printing it shows no secret:
// texts that may hold one are of types that hide them.
type Rendered struct {
	// Version of the chart, in full; empty if it is not known, and then nothing
	// else is, but for Settings, Findings and Config.Unknown.
	Version string
	// Renders is false if Helm cannot install the chart with these values, for
	// which there are findings. Values that only shape other objects than the
	// agent, or parts of its pod that are not read here, are not judged.
	Renders bool
	// Args are fluxd's arguments in the chart's order.
	Args []Argument
	// Config is what the arguments mean, the daemon's defaults filled in. What
	// is not known is zero and named in Config.Unknown, as in an Inventory's
	// JSON.
	Config flux1.Config
	// Workload is the Deployment's name, Image that of its container.
	Workload, Image string
	// Replicas is nil if not known.
	Replicas *int64
	// ServiceAccount of the pod.
	ServiceAccount string
	// Rights are the chart's own bindings of the account, and Confinement sums them
	// up. Both are empty if unknown: the account may be bound by others, or to
	// BoundClusterRole, whose rules are not the release's.
	Confinement      migrate.Confinement
	Rights           []migrate.Binding
	BoundClusterRole string
	// KeySecret is the Secret mounted for the deploy key. Charts before 0.6.1
	// mount git.secretName and tell fluxd another name.
	KeySecret string
	// KnownHosts are the lines of ssh.known_hosts; SSHConfig is true if an ssh
	// configuration stands beside them; GitConfig if fluxd gets a git
	// configuration.
	KnownHosts           string
	SSHConfig, GitConfig bool
	// FallbackNamespace is the namespace of objects that name none, when
	// Config.DefaultNamespace is empty.
	FallbackNamespace string
	// Requests of fluxd's own container, as written.
	Requests migrate.Requests
	// Memcached is what that of the release asks for, as written; nothing if it has none.
	Memcached migrate.Requests
	Env       []Variable
	EnvFrom   []Source
	Mounts    []Mount
	Sidecars  []Sidecar
	// InitContainers by name, sorted.
	InitContainers []string
	// HelmOperator is the Deployment of a helm-operator in the same release.
	HelmOperator string
	// Objects that the release makes.
	Objects []Object
	// Unknown says of each field above, by name, why it is not known.
	Unknown map[string]string
	// Settings of fluxd's flags ("--git-branch"), as [flux1.ParseArgs] makes
	// them, and of every value that was given ("git.branch"); none is left
	// out. Their origins are of the witness "values".
	Settings []migrate.Setting
	// Findings have no subject yet: the caller knows whose values these are.
	Findings []migrate.Finding
}

// Witness is the witness of the origins that [Decode] gives.
const Witness = "values"

// Decode says what the flux chart makes of values. The values are those that
// the user gave, all sources merged: a map[string]any, which may hold
// [Unknown], [Partial] and [Sensitive] anywhere, or one of these itself.
// Numbers are to be of the Go type that Helm has them in, since it prints
// them: float64 from YAML and JSON, int64 from --set and Terraform's "set".
// Bad values never stop it.
func Decode(release Release, values any) Rendered {
	at, err := parseVersion(release.Version)
	d := &decoder{given: regular(values), scope: &scope{at: at, release: release}}
	d.out.Unknown = map[string]string{}
	d.whole = true
	if err != nil || !at.known() {
		d.withoutVersion()
	} else {
		d.render()
	}
	if d.given.tooBig {
		d.find(TooLarge, "", "the chart values are nested deeper than %d, or more than %d", maxDepth, maxLeaves)
	}
	d.digests()
	d.out.Findings = migrate.SortFindings(d.out.Findings)
	return d.out
}

// digests gives those that are not shown their digests.
func (d *decoder) digests() {
	hidden := map[string]*migrate.Setting{}
	for i := range d.out.Settings {
		if s := &d.out.Settings[i]; s.Hidden() && !strings.HasPrefix(s.Name, "-") {
			hidden[s.Name] = s
		}
	}
	leaves(d.given.tree, "", func(at string, leaf any) {
		if _, unknown := leaf.(Unknown); !unknown && hidden[at] != nil {
			hidden[at].Digest = migrate.Digest(fmt.Sprint(leaf))
		}
	})
}

type decoder struct {
	given *given
	scope *scope
	out   Rendered
	// whole is false while the version is unknown.
	whole bool
	// flags are the settings of flags, by name without dashes.
	flags map[string]migrate.Setting
}

func (d *decoder) find(code flux1.Code, where, format string, args ...any) {
	d.out.Findings = append(d.out.Findings, code.Finding("", where, fmt.Sprintf(format, args...)))
}

// withoutVersion accounts for the values when the chart's version does not say
// what they come to.
func (d *decoder) withoutVersion() {
	d.whole = false
	cause := "the chart's version is not known"
	if d.scope.release.Version != "" {
		cause = fmt.Sprintf("flux charts are known here %s, and not version %q", knownVersions, d.scope.release.Version)
	}
	for _, part := range []string{"version", "requests", "memcached"} {
		d.out.Unknown[part] = cause
	}
	given, _ := d.given.tree.(tree)
	if operator, ok := given["helmOperator"].(tree); ok && !(value{of: operator["create"]}).truth().no() {
		d.out.Unknown["helmOperator"] = cause
	}
	for _, f := range flux1.Flags {
		d.out.Config.ForgetFlag(f.Name)
	}
	found := VersionUnknown.Finding("", "", cause+", and without it neither are its defaults")
	if _, err := parseVersion(d.scope.release.Version); err == nil { // it is given in full
		found.Hint = "let discovery read the agent's Deployment"
	}
	d.out.Findings = append(d.out.Findings, found)
	d.account(d.given.tree, "")
}

func (d *decoder) render() {
	s, out := d.scope, &d.out
	s.values = coalesce(d.given.tree, defaultsOf(s.at))
	out.Version = s.at.String()
	out.Args = s.arguments()
	out.Env, out.EnvFrom = s.environment()
	d.fill()
	d.readArguments()

	known := func(name string, x value) string {
		text, unknown := x.printed()
		if unknown != "" {
			out.Unknown[name] = unknown
		}
		return text
	}
	yes := func(name string, t truth) bool {
		if t.unknown != "" {
			out.Unknown[name] = t.unknown
		}
		return t.yes()
	}
	out.Workload = known("workload", s.word(s.named("")))
	repository, tag := known("image", s.get("image.repository")), known("image", s.get("image.tag"))
	if out.Unknown["image"] == "" {
		out.Image = repository + ":" + tag
	}
	d.replicas()
	out.ServiceAccount = known("serviceAccount", s.account())
	g, unknown := s.granted()
	out.Confinement, out.Rights, out.BoundClusterRole = g.confinement, g.rights, g.boundRole
	if unknown != "" {
		out.Unknown["confinement"] = unknown
	}
	out.KeySecret = known("keySecret", s.keySecret())
	if has := s.is("ssh.known_hosts"); !has.no() {
		out.KnownHosts = known("knownHosts", s.textual("ssh.known_hosts", false))
		if !s.at.before(v("1.4.0")) {
			out.SSHConfig = yes("sshConfig", has.and(s.is("ssh.config")))
		}
	}
	out.GitConfig = yes("gitConfig", s.hasGitConfig())
	out.FallbackNamespace = known("fallbackNamespace", s.kubeconfigNamespace())
	if out.Requests, unknown = s.requests("resources"); unknown != "" {
		out.Unknown["requests"] = unknown
	}
	if out.Memcached, unknown = s.memcached(); unknown != "" {
		out.Unknown["memcached"] = unknown
	}
	if why := otherKubeconfig(out.Env); why != "" {
		out.FallbackNamespace, out.Unknown["fallbackNamespace"] = "", why
	}
	out.Mounts = s.mounts()
	if out.Sidecars, unknown = s.containers(); unknown != "" {
		out.Unknown["sidecars"] = unknown
	}
	if !s.at.before(v("0.9.0")) {
		init := s.get("initContainers")
		if c, ok := unknownIn(init.of); ok || init.unknown != "" {
			out.Unknown["initContainers"] = cause(init.unknown + c)
		}
		m, ok := init.of.(tree)
		if p, partial := init.of.(Partial); partial {
			m, ok = p.Known, true
		}
		if ok && len(m) > 0 {
			out.InitContainers = sortedKeys(m)
		}
	}
	if s.at.before(v("1.0.0")) && yes("helmOperator", s.is("helmOperator.create")) {
		out.HelmOperator = known("helmOperator", s.named("-helm-operator"))
	}
	out.Objects = s.objects()

	for _, f := range s.reasons() {
		d.find(NotRendered, f.key, "%s: %s", f.key, f.why)
	}
	out.Renders = len(s.failures) == 0
	d.account(d.given.tree, "")
}

// replicas reads the count, which the template prints as it is.
func (d *decoder) replicas() {
	printed, unknown := d.scope.get("replicaCount").printed()
	if unknown != "" {
		d.out.Unknown["replicas"] = unknown
		return
	}
	n, err := strconv.ParseInt(printed, 10, 32)
	if err != nil {
		if printed == "" {
			n = 1 // Kubernetes' own default
		} else {
			d.out.Unknown["replicas"] = "replicaCount is no whole number"
			return
		}
	}
	d.out.Replicas = &n
}

// readArguments gives the arguments their meaning and turns the origins of
// settings from places on the command line into chart values.
func (d *decoder) readArguments() {
	var line []string
	var of []*Argument
	for i := range d.out.Args {
		if a := &d.out.Args[i]; a.Unknown == "" {
			line, of = append(line, string(a.Text)), append(of, a)
		}
	}
	config, settings, findings := flux1.ParseArgs(line)
	d.out.Config = config
	place := func(where string) (string, *Argument) {
		var i int
		if _, err := fmt.Sscanf(where, "args[%d]", &i); err == nil && i >= 0 && i < len(of) {
			return d.origin(of[i].Keys), of[i]
		}
		return where, nil
	}

	unknown := d.unknownFlags()
	for i := range settings {
		s := &settings[i]
		flag := strings.TrimPrefix(s.Name, "--")
		for j := range s.From {
			where, a := place(s.From[j].Where)
			s.From[j] = migrate.Origin{Witness: Witness, Where: where}
			if a != nil && slices.ContainsFunc(a.Keys, d.given.isHidden) {
				s.Digest, _ = s.Compared()
				s.Value = hiddenText
			}
		}
		switch {
		case flux1.FlagNamed(flag) == nil && !harmless.MatchString(s.Value):
			s.Value = hiddenText
		case strings.Contains(s.Value, "://"):
			s.Value = flux1.DisplayURL(s.Value)
		}
		if cause, ok := unknown[flag]; ok {
			s.Fate, s.To, s.Why = migrate.Unknown, "a known value", cause
		}
	}
	for _, f := range flux1.Flags {
		cause, ok := unknown[f.Name]
		if !ok {
			continue
		}
		if !slices.ContainsFunc(settings, func(s migrate.Setting) bool { return s.Name == "--"+f.Name }) {
			s := migrate.Setting{Name: "--" + f.Name, Fate: migrate.Unknown, To: "a known value", Why: cause}
			for _, a := range d.out.Args {
				if a.Unknown != "" && (a.Flag == f.Name || a.Flag == "") {
					s.From = append(s.From, migrate.Origin{Witness: Witness, Where: d.origin(a.Keys)})
				}
			}
			settings = append(settings, s)
		}
		d.out.Config.ForgetFlag(f.Name)
	}
	for _, f := range findings {
		if _, ok := unknown[strings.TrimPrefix(f.Where, "--")]; ok && strings.HasPrefix(f.Where, "--") {
			continue // judged by what stands in for the unknown value
		}
		if slices.ContainsFunc(d.out.Args, func(a Argument) bool {
			return "--"+a.Flag == f.Where && slices.ContainsFunc(a.Keys, d.given.isHidden)
		}) {
			f.Message = f.Where + " is of a kind that has a finding, and its value is sensitive"
		}
		f.Where, _ = place(f.Where)
		d.out.Findings = append(d.out.Findings, f)
	}
	for _, a := range d.out.Args {
		if a.Flag == "connect" && a.Unknown != "" && a.Unknown != notRendered {
			d.find(flux1.Notifications, d.origin(a.Keys), "whether the agent reports to an upstream service is not known: %s", a.Unknown)
		}
		if flag := flux1.FlagNamed(a.Flag); a.Unknown != "" && a.Unknown != notRendered && (flag == nil || flag.Fate != migrate.Dropped || matters[a.Flag]) {
			if flag == nil {
				d.find(ValueNotKnown, d.origin(a.Keys), "an argument is unknown and may set any flag: %s", a.Unknown)
			} else {
				d.find(ValueNotKnown, d.origin(a.Keys), "--%s is unknown: %s", a.Flag, a.Unknown)
			}
		}
	}
	slices.SortStableFunc(settings, func(a, b migrate.Setting) int { return strings.Compare(a.Name, b.Name) })
	d.flags = map[string]migrate.Setting{}
	for _, s := range settings {
		d.flags[strings.TrimPrefix(s.Name, "--")] = s
	}
	d.out.Settings = append(d.out.Settings, settings...)
}

// matters are flags that count although they are dropped in most cases: set
// in another way they block, or decide how facts are found out.
var matters = map[string]bool{
	"git-secret": true, "sops": true, "manifest-generation": true, "git-verify-signatures": true, "git-verify-signatures-mode": true,
	"git-label": true, "git-readonly": true, "sync-state": true,
}

// origin names the chart values of an argument, and says which of them the
// user did not give.
func (d *decoder) origin(keys []string) string {
	if len(keys) == 0 {
		return "chart " + d.scope.at.String()
	}
	var parts []string
	for _, k := range keys {
		if !d.isGiven(k) {
			k += " (default of chart " + d.scope.at.String() + ")"
		}
		parts = append(parts, k)
	}
	return strings.Join(parts, ", ")
}

func (d *decoder) isGiven(path string) bool {
	path, _, _ = strings.Cut(path, "[")
	current := d.given.tree
	for _, part := range strings.Split(path, ".") {
		switch m := current.(type) {
		case tree:
			next, ok := m[part]
			if !ok {
				return false
			}
			current = next
		default:
			return true // Partial, Unknown, or no mapping at all
		}
	}
	return true
}

// unknownFlags are the flags whose value on the whole command line is not
// known, with the cause. The last occurrence of a scalar counts; a list is
// all occurrences together.
func (d *decoder) unknownFlags() map[string]string {
	out := map[string]string{}
	for i := range flux1.Flags {
		f := &flux1.Flags[i]
		for _, a := range d.out.Args {
			switch {
			case a.Unknown != "" && (a.Flag == f.Name || a.Flag == ""):
				out[f.Name] = a.Unknown
			case a.Unknown == "" && a.Flag == f.Name && f.Type != flux1.TypeList:
				delete(out, f.Name)
			}
		}
	}
	return out
}
