package flux1

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluxover/fluxover/migrate"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Config is the meaning of a fluxd command line, with the daemon's defaults
// filled in. What could not be read is zero and named in Unknown.
type Config struct {
	// URL as configured. Its credentials are in the kubelet's syntax: symbols
	// such as $(VAR) are kept, and a dollar sign may be written twice.
	URL    RawURL
	Branch string
	// Paths as configured and in order; blanks are kept, since marks hash
	// them. Empty means the whole repository.
	Paths                     []string
	PollInterval, GitTimeout  time.Duration
	ReadOnly                  bool
	SecretName, SecretKey     string
	SyncTag, NotesRef         string
	SyncInterval, SyncTimeout time.Duration
	GarbageCollection         migrate.GarbageCollection
	// State is "git" or "secret"; a read-only agent always uses "secret".
	State                               string
	ManifestGeneration, SOPS, GitSecret bool
	// VerifySignatures is "none", "all" or "first-parent"; empty if unknown.
	VerifySignatures string
	// AllowedNamespaces unites --k8s-allow-namespace with its old name.
	// Empty means all.
	AllowedNamespaces []string
	// DefaultNamespace as given; empty means the kubeconfig's, else "default".
	DefaultNamespace string
	// KubeConfig is the kubeconfig that names the cluster which the agent writes to,
	// if one is given by its flag; nil if the flag is not given.
	KubeConfig *string
	// OutOfCluster is true where --k8s-in-cluster is false, which counts up to 1.17.
	OutOfCluster bool
	// ImageAutomation is true if the agent scans registries and may push.
	ImageAutomation bool
	// Connect is true if it reports to an upstream service.
	Connect bool
	// ExcludedKinds are those that it is told to leave out of its view, beyond
	// what it leaves out by default.
	ExcludedKinds []string
	// Unknown names the settings that could not be read, as in an
	// Inventory's JSON: "git.url".
	Unknown []string
}

// HTTP reports whether the agent speaks to its Git server over HTTP, and so
// uses no SSH key (flux: cmd/fluxd/main.go).
func (c *Config) HTTP() bool {
	u, err := url.Parse(migrate.SymbolForm.ReplaceAllString(string(c.URL), "symbol"))
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// inventoryNames maps a flag to the name its value has in an Inventory.
var inventoryNames = map[string]string{
	"git-url": "git.url", "git-branch": "git.branch", "git-path": "git.paths", "git-poll-interval": "git.pollInterval",
	"git-timeout": "git.timeout", "git-readonly": "git.readonly", "k8s-secret-name": "git.secretName",
	"git-label": "git.syncTag", "git-sync-tag": "git.syncTag", "sync-interval": "sync.interval", "sync-timeout": "sync.timeout",
	"sync-garbage-collection": "sync.garbageCollection", "sync-garbage-collection-dry": "sync.garbageCollection",
	"sync-state": "sync.state", "manifest-generation": "manifestGeneration", "sops": "sops",
	"k8s-allow-namespace": "allowedNamespaces", "k8s-namespace-whitelist": "allowedNamespaces",
	"k8s-default-namespace": "defaultNamespace", "registry-disable-scanning": "imageAutomation",
}

// HandedOn reports whether objects of Flux v2, in which it stands in plain text, get the
// text that a flag says.
func HandedOn(flag string) bool {
	f, name := FlagNamed(flag), inventoryNames[flag]
	return f != nil && (f.Type == TypeString || f.Type == TypeList) && name != "" && name != "git.syncTag" && name != "sync.state"
}

// given is one flag as it was found on a command line.
type given struct {
	flag   *Flag
	values []string
	where  []string
	bad    string // why its value cannot be read
	ends   string // why fluxd ends at its start with it
}

// ParseArgs decodes a fluxd command line, without the program's own name.
// Arguments are in the kubelet's syntax, as in a manifest or of [Fill]: what
// they hold of $(VAR) is not known. Every argument becomes one
// Setting, those of one flag together, with its fate; origins name the
// argument's place, "args[3]". Findings have no subject yet: the caller knows
// whose command line it is. Unknown flags and bad values never stop it.
func ParseArgs(args []string) (Config, []migrate.Setting, []migrate.Finding) {
	flags := pflagSet()
	var order []*given
	byName := map[string]*given{}
	var unknown []migrate.Setting
	var findings []migrate.Finding

	keepUnknown := func(i int, name, value string) {
		if value != "" {
			value = "***" // what it means is not known, so it may be a secret
		}
		shown, more := name, ""
		if strings.HasPrefix(name, "--") {
			shown = ShownFlag(name)
		}
		if strings.ContainsAny(name, " \t\n") {
			more = ": a flag and its value are one word"
		}
		unknown = append(unknown, migrate.Setting{
			Name: shown, Value: value, Fate: migrate.Unknown, To: migrate.ByFinding,
			Why: "fluxd has no such flag" + more, From: []migrate.Origin{origin(i)},
		})
		findings = append(findings, UnknownFlag.Finding("", origin(i).Where, fmt.Sprintf("%s is not a flag of fluxd%s", shown, more)))
	}

	dangling := false // the argument before is no flag of fluxd, and has no value yet
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			for j := i + 1; j < len(args); j++ {
				keepUnknown(j, "argument", args[j])
			}
			break
		}
		name, value, hasValue := strings.Cut(arg, "=")
		flag, awaits := FlagOf(arg)
		if attached, short := strings.CutPrefix(arg, "-l"); short && name != "-l" {
			value = attached
			if dangling {
				flag = nil // it may be the value that is missing
			}
		}
		switch {
		case flag == nil && strings.HasPrefix(name, "-"):
			at := i
			if letters, short := strings.CutPrefix(name, "-"); short && len(letters) > 1 && letters[0] != '-' {
				keepUnknown(at, ShownFlag(name), "***") // to pflag it is letters, of which the first is no flag
				dangling = false
				continue
			}
			if !hasValue && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++
				value = args[i]
			}
			keepUnknown(at, name, value)
			dangling = value == ""
			continue
		case flag == nil:
			keepUnknown(i, "argument", arg)
			continue
		}
		dangling = false
		g := byName[flag.Name]
		if g == nil {
			g = &given{flag: flag}
			byName[flag.Name] = g
			order = append(order, g)
		}
		g.where = append(g.where, origin(i).Where)
		switch {
		case flag.Type == TypeBool && !hasValue:
			value = "true"
		case !awaits:
		case i+1 < len(args):
			i++
			value = args[i]
		default:
			g.bad = "it needs a value"
			continue
		}
		if symbolic(flag, value) {
			g.values = append(g.values, value)
			g.bad = "it is filled in from the environment"
			continue
		}
		value = literal(flag, value)
		g.values = append(g.values, value)
		if err := flags.Set(flag.Name, value); err != nil {
			// pflag's error quotes the value, which is never secret for the
			// types that can fail.
			g.bad = "its value cannot be read as a " + string(flag.Type)
		}
	}

	c := configFrom(flags)
	known := func(name string) bool { return byName[name] == nil || byName[name].bad == "" }
	for _, g := range order {
		if g.bad == "" {
			g.ends = endsFluxd(flags, g.flag.Name, known)
		}
	}
	for _, g := range order {
		if g.bad != "" || g.ends != "" {
			c.ForgetFlag(g.flag.Name)
		}
	}
	for _, g := range order {
		s := migrate.Setting{Name: "--" + g.flag.Name}
		s.Value, s.Digest = display(flags, g)
		s.Fate, s.To, s.Why = fateOf(g.flag, &c)
		for _, w := range g.where {
			s.From = append(s.From, migrate.Origin{Witness: "cluster", Where: w})
		}
		if g.flag.Type != TypeList && len(g.where) > 1 {
			s.Why = strings.TrimPrefix(s.Why+"; given more than once, the last one counts", "; ")
		}
		last := g.where[len(g.where)-1]
		if g.bad != "" {
			s.Fate, s.To, s.Why = migrate.Unknown, migrate.ByFinding, g.bad
			code := BadFlag
			if g.bad == "it is filled in from the environment" {
				code = SymbolicFlag
			}
			findings = append(findings, code.Finding("", last, fmt.Sprintf("--%s is unknown: %s", g.flag.Name, g.bad)))
		}
		if g.ends != "" {
			s.Fate, s.To, s.Why = migrate.Blocks, "", g.ends
			findings = append(findings, BadFlag.Finding("", last, fmt.Sprintf("--%s: %s", g.flag.Name, g.ends)))
		}
		unknown = append(unknown, s)
	}
	findings = append(findings, judge(&c)...)
	slices.SortStableFunc(unknown, func(a, b migrate.Setting) int { return strings.Compare(a.Name, b.Name) })
	return c, unknown, findings
}

// endsFluxd says why fluxd ends at its start with the value of a flag that it can read;
// empty if it does not (flux: cmd/fluxd/main.go; for --connect
// pkg/http/daemon/upstream.go, for --registry-burst pkg/registry/cache/warming.go). The
// values of other flags count where they are known. An absolute --git-path, at which
// fluxd ends too, has a finding of its own.
func endsFluxd(flags *pflag.FlagSet, name string, known func(string) bool) string {
	value := flags.Lookup(name).Value.String()
	if len(Symbols(value)) > 0 {
		return "" // what stands there is not known
	}
	switch name {
	case "version":
		if value == "true" {
			return "fluxd prints its version and ends"
		}
	case "git-verify-signatures-mode":
		if !slices.Contains([]string{"", "none", "all", "first-parent"}, value) {
			return "fluxd knows none, all and first-parent, and ends at its start with another value"
		}
	case "sync-state":
		if value != "git" && value != "secret" {
			return "fluxd knows git and secret, and ends at its start with another value"
		}
	case "registry-require":
		list, _ := flags.GetStringSlice(name) // the type is the table's
		if slices.ContainsFunc(list, func(registry string) bool { return registry != "ecr" }) {
			return "fluxd knows ecr alone, and ends at its start with another value"
		}
	case "registry-burst":
		burst, _ := flags.GetInt(name) // the type is the table's
		if scans := flags.Lookup("registry-disable-scanning").Value.String() == "false"; burst < 1 && scans && known("registry-disable-scanning") {
			return "fluxd, which scans registries, ends at its start with less than 1"
		}
	case "listen", "listen-metrics":
		host, port, err := net.SplitHostPort(value)
		number, notANumber := strconv.Atoi(port)
		switch {
		case value == "": // any address, or none for the metrics
		case err != nil:
			return "it is no address of the form host:port, and fluxd ends when it cannot listen there"
		case notANumber == nil && (number < 0 || number > 65535):
			return "its port is none from 0 to 65535, and fluxd ends when it cannot listen there"
		case name == "listen-metrics" && number > 0 && known("listen"):
			everywhere := []string{"", "0.0.0.0", "::"}
			api, apiPort, err := net.SplitHostPort(flags.Lookup("listen").Value.String())
			if err == nil && port == apiPort && (host == api || slices.Contains(everywhere, host) || slices.Contains(everywhere, api)) {
				return "it is where --listen is, and fluxd ends when it cannot listen there twice"
			}
		}
	case "connect":
		u, err := url.Parse(value)
		if value != "" && (err != nil || !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme)) {
			return "fluxd takes URLs of ws, wss, http and https, and ends at its start with another value"
		}
	}
	return ""
}

// literal is the text of a value. The credentials of the Git URL stay in the
// kubelet's syntax, in which they are filled in where they are needed.
func literal(flag *Flag, value string) string {
	if flag.Name != "git-url" {
		return Literal(value)
	}
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok {
		return Literal(value)
	}
	info, _, _ := migrate.SplitAuthority(rest)
	return Literal(scheme) + "://" + info + Literal(strings.TrimPrefix(rest, info))
}

// symbolic reports whether a value's meaning hangs on the environment. The
// credentials of the Git URL may: they are looked up where they are needed.
func symbolic(flag *Flag, value string) bool {
	if len(Symbols(value)) == 0 {
		return false
	}
	if flag.Type != TypeString && flag.Type != TypeList {
		return true
	}
	if flag.Name == "git-url" {
		bare, _, err := FluxV2URL(value)
		return err != nil || len(Symbols(bare)) > 0
	}
	switch flag.Name {
	case "k8s-secret-data-key", "git-verify-signatures-mode":
		return true // no setting of an Inventory, but what is done hangs on them
	}
	return inventoryNames[flag.Name] != ""
}

// ForgetFlag makes all unknown that a flag decides, when its value cannot be
// known: the setting that it sets, and what follows from it and from no other
// flag that was read.
func (c *Config) ForgetFlag(flag string) {
	switch flag {
	case "git-readonly":
		// A read-only agent keeps its state in a Secret and writes no images.
		// Both are known if they are so anyhow.
		if c.ReadOnly || c.State != "secret" {
			c.Forget("sync.state")
		}
		if c.ReadOnly || c.ImageAutomation {
			c.Forget("imageAutomation")
		}
	case "git-label", "git-notes-ref":
		c.NotesRef = ""
	case "k8s-secret-data-key":
		c.SecretKey = ""
	case "git-verify-signatures":
		if c.VerifySignatures == "none" { // else its mode was given, which comes before it
			c.VerifySignatures = ""
		}
	case "git-verify-signatures-mode":
		c.VerifySignatures = ""
	case "git-secret":
		c.GitSecret = false
	case "connect":
		c.Connect = false
	}
	if name, ok := inventoryNames[flag]; ok {
		c.Forget(name)
	}
}

// Forget makes a setting unknown, by its name in an Inventory's JSON: it is
// named in Unknown, and its value is zero.
func (c *Config) Forget(name string) {
	if !slices.Contains(c.Unknown, name) {
		c.Unknown = append(c.Unknown, name)
	}
	switch name {
	case "git.url":
		c.URL = ""
	case "git.branch":
		c.Branch = ""
	case "git.paths":
		c.Paths = nil
	case "git.pollInterval":
		c.PollInterval = 0
	case "git.timeout":
		c.GitTimeout = 0
	case "git.readonly":
		c.ReadOnly = false
	case "git.secretName":
		c.SecretName = ""
	case "git.syncTag":
		c.SyncTag = ""
	case "sync.interval":
		c.SyncInterval = 0
	case "sync.timeout":
		c.SyncTimeout = 0
	case "sync.garbageCollection":
		c.GarbageCollection = ""
	case "sync.state":
		c.State = ""
	case "manifestGeneration":
		c.ManifestGeneration = false
	case "sops":
		c.SOPS = false
	case "allowedNamespaces":
		c.AllowedNamespaces = nil
	case "defaultNamespace":
		c.DefaultNamespace = ""
	case "imageAutomation":
		c.ImageAutomation = false
	}
}

func origin(i int) migrate.Origin {
	return migrate.Origin{Witness: "cluster", Where: "args[" + strconv.Itoa(i) + "]"}
}

// flagWord is a word of a flag's name.
var flagWord = regexp.MustCompile(`^(?:[a-z]{1,16}[0-9]{0,3}|[a-z][0-9][a-z])$`)

// ShownFlag is what may be shown of the name of a flag that fluxd does not have,
// with its dashes. A value may stand in it, where nothing parts the two
// ("--git-urlhttps://user:password@host"), so it ends where a flag of fluxd does,
// or before what is no word of small letters. Of a flag with one dash the letter
// is shown: the rest may be the value of the flag before it.
func ShownFlag(name string) string {
	long, ok := strings.CutPrefix(name, "--")
	if !ok {
		letters := []rune(strings.TrimPrefix(name, "-"))
		return "-" + string(letters[:min(len(letters), 1)])
	}
	known := ""
	for i := range Flags {
		if rest, ok := strings.CutPrefix(long, Flags[i].Name); ok && rest != "" && rest[0] != '-' && len(Flags[i].Name) > len(known) {
			known = Flags[i].Name
		}
	}
	if known != "" {
		return "--" + known + "***"
	}
	for end := 0; end < len(long); end++ {
		size := strings.IndexAny(long[end:], "-._")
		if size < 0 {
			size = len(long) - end
		}
		if !flagWord.MatchString(long[end : end+size]) {
			return "--" + long[:end] + "***"
		}
		end += size
	}
	return name
}

// FlagOf is the flag that a word of a command line begins, as pflag reads it: --name,
// --name=value, -l, -l=value, -lvalue. It is nil if fluxd has no such flag. awaits says
// that the next word is its value.
func FlagOf(word string) (flag *Flag, awaits bool) {
	name, _, hasValue := strings.Cut(word, "=")
	if long, ok := strings.CutPrefix(name, "--"); ok {
		flag = FlagNamed(long)
	} else if strings.HasPrefix(word, "-l") {
		flag, hasValue = FlagNamed("listen"), word != "-l"
	}
	return flag, flag != nil && !hasValue && flag.Type != TypeBool
}

// pflagSet is fluxd's flag set as real pflag flags.
func pflagSet() *pflag.FlagSet {
	fs := pflag.NewFlagSet("fluxd", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, f := range Flags {
		switch f.Type {
		case TypeString:
			fs.StringP(f.Name, f.Short, f.Default, "")
		case TypeBool:
			fs.Bool(f.Name, f.Default == "true", "")
		case TypeDuration:
			d, _ := time.ParseDuration(f.Default) // a test reads every default
			fs.Duration(f.Name, d, "")
		case TypeInt:
			n, _ := strconv.Atoi(f.Default)
			fs.Int(f.Name, n, "")
		case TypeUint:
			n, _ := strconv.ParseUint(f.Default, 0, 64)
			fs.Uint64(f.Name, n, "")
		case TypeFloat:
			x, _ := strconv.ParseFloat(f.Default, 64)
			fs.Float64(f.Name, x, "")
		case TypeList:
			var d []string
			if f.Default != "" {
				d = strings.Split(f.Default, ",")
			}
			fs.StringSlice(f.Name, d, "")
		}
	}
	return fs
}

// display shows a flag's value without what may be secret, with its digest where
// that leaves something out.
func display(flags *pflag.FlagSet, g *given) (shown, digest string) {
	if g.bad != "" {
		if g.flag.Secret {
			return "***", ""
		}
		return DisplayURL(strings.Join(g.values, ",")), ""
	}
	value := flags.Lookup(g.flag.Name).Value.String()
	if g.flag.Type == TypeList {
		list, _ := flags.GetStringSlice(g.flag.Name) // the type is the table's
		value = strings.Join(list, ",")
	}
	shown = value
	switch {
	case g.flag.Secret:
		shown = "***"
	case g.flag.Type == TypeList || g.flag.Type == TypeString:
		shown = DisplayURL(value)
	}
	if shown != value && len(Symbols(value)) == 0 {
		digest = migrate.Digest(value)
	}
	return shown, digest
}

// configFrom reads the flags as fluxd does after parsing them (flux:
// cmd/fluxd/main.go). The getters cannot fail: names and types are those of
// the table, which a test checks.
func configFrom(fs *pflag.FlagSet) Config {
	str := func(n string) string { v, _ := fs.GetString(n); return v }
	boolean := func(n string) bool { v, _ := fs.GetBool(n); return v }
	duration := func(n string) time.Duration { v, _ := fs.GetDuration(n); return v }
	list := func(n string) []string { v, _ := fs.GetStringSlice(n); return v }
	c := Config{
		URL: RawURL(str("git-url")), Branch: str("git-branch"), Paths: list("git-path"),
		PollInterval: duration("git-poll-interval"), GitTimeout: duration("git-timeout"), ReadOnly: boolean("git-readonly"),
		SecretName: str("k8s-secret-name"), SecretKey: str("k8s-secret-data-key"),
		SyncTag: str("git-sync-tag"), NotesRef: str("git-notes-ref"),
		SyncInterval: duration("sync-interval"), SyncTimeout: duration("sync-timeout"),
		State: str("sync-state"), ManifestGeneration: boolean("manifest-generation"), SOPS: boolean("sops"),
		GitSecret: boolean("git-secret"), DefaultNamespace: str("k8s-default-namespace"), OutOfCluster: !boolean("k8s-in-cluster"),
		VerifySignatures: str("git-verify-signatures-mode"), Connect: str("connect") != "",
		GarbageCollection: migrate.CollectOff,
		ImageAutomation:   !boolean("registry-disable-scanning") && !boolean("git-readonly"),
	}
	if file := str("kube-config"); fs.Changed("kube-config") {
		c.KubeConfig = &file
	}
	if boolean("sync-garbage-collection") {
		c.GarbageCollection = migrate.CollectOn
	}
	if boolean("sync-garbage-collection-dry") {
		c.GarbageCollection = migrate.CollectDry
	}
	if c.ReadOnly && c.State == "git" {
		c.State = "secret"
	}
	if fs.Changed("git-label") {
		c.SyncTag, c.NotesRef = str("git-label"), str("git-label")
	}
	if boolean("git-verify-signatures") && !fs.Changed("git-verify-signatures-mode") {
		c.VerifySignatures = "all"
	}
	if c.VerifySignatures == "" {
		c.VerifySignatures = "none"
	}
	for _, ns := range slices.Concat(list("k8s-allow-namespace"), list("k8s-namespace-whitelist")) {
		if !slices.Contains(c.AllowedNamespaces, ns) {
			c.AllowedNamespaces = append(c.AllowedNamespaces, ns)
		}
	}
	usual := strings.Split(FlagNamed(excludeFlag).Default, ",")
	for _, kind := range list(excludeFlag) {
		if !slices.Contains(usual, kind) {
			c.ExcludedKinds = append(c.ExcludedKinds, kind)
		}
	}
	return c
}

// excludeFlag names the kinds that the agent does not look at.
const excludeFlag = "k8s-unsafe-exclude-resource"

// Lists reports whether fluxd looks at live objects of a kind, where excluded
// are the kinds that it is told to leave out ([Config.ExcludedKinds]). Of others
// it sees neither marks nor ignore annotations. It passes over what Kubernetes
// itself makes of other objects, and over what matches a glob, in which a star
// stands for any text and nothing else does (flux: pkg/cluster/kubernetes/sync.go).
func Lists(excluded []string, kind schema.GroupVersionKind) bool {
	if kind.Group == "" && (kind.Kind == "Endpoints" || kind.Kind == "ComponentStatus") {
		return false
	}
	name := kind.GroupVersion().String() + "/" + kind.Kind
	return !slices.ContainsFunc(excluded, func(glob string) bool {
		parts := strings.Split(glob, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		whole, err := regexp.Compile("^" + strings.Join(parts, ".*") + "$")
		return err == nil && whole.MatchString(name)
	})
}

// judge reports what stands in a hand-over's way in a configuration.
func judge(c *Config) []migrate.Finding {
	var findings []migrate.Finding
	add := func(code Code, flag, message string) {
		findings = append(findings, code.Finding("", "--"+flag, message))
	}
	if c.URL == "" && !slices.Contains(c.Unknown, "git.url") {
		add(NoURL, "git-url", "no Git repository is configured")
	}
	if c.URL != "" {
		if _, _, err := FluxV2URL(string(c.URL)); err != nil {
			add(UnsupportedURL, "git-url", fmt.Sprintf("the URL %s cannot be used: %v", c.URL, err))
		}
	}
	for _, p := range c.Paths {
		switch {
		case strings.HasPrefix(p, "/"):
			add(PathAbsolute, "git-path", fmt.Sprintf("path %q begins with a slash", p))
		case listAsText(p):
			add(PathList, "git-path", fmt.Sprintf("path %q is a YAML list printed as text", p))
		case !inside(p):
			add(PathOutside, "git-path", fmt.Sprintf("path %q leads out of the repository", p))
		}
	}
	if c.GitSecret {
		add(GitSecret, "git-secret", "files are decrypted with git-secret")
	}
	if c.VerifySignatures != "none" && c.VerifySignatures != "" {
		add(VerifySignatures, "git-verify-signatures-mode", fmt.Sprintf("signatures are verified (%s)", c.VerifySignatures))
	}
	if c.Connect {
		add(Notifications, "connect", "the agent reports to an upstream service")
	}
	if len(c.ExcludedKinds) > 0 {
		add(ExcludedKinds, excludeFlag, "the agent leaves "+strings.Join(c.ExcludedKinds, ", ")+" out of its view")
	}
	return findings
}

// listAsText reports whether a path is a YAML list that a template printed.
func listAsText(p string) bool {
	return strings.HasPrefix(p, "[") && strings.HasSuffix(p, "]")
}

// inside reports whether a path, relative to the root, stays below it.
func inside(p string) bool {
	clean := path.Clean(p)
	return clean != ".." && !strings.HasPrefix(clean, "../")
}

// CleanPath gives a --git-path as a name for [io/fs]: "." for the root.
func CleanPath(p string) string {
	return path.Clean("./" + p)
}
