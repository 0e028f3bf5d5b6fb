package flux1

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/migrate"
	gocmp "github.com/google/go-cmp/cmp"
)

func TestMissingFlagsTakeTheDaemonsDefaults(t *testing.T) {
	got, settings, findings := ParseArgs([]string{"--git-url=git@host:org/app"})
	want := Config{
		URL: "git@host:org/app", Branch: "master", Paths: []string{}, PollInterval: 5 * time.Minute, GitTimeout: 20 * time.Second,
		SecretName: "flux-git-deploy", SecretKey: "identity", SyncTag: "flux-sync", NotesRef: "flux",
		SyncInterval: 5 * time.Minute, SyncTimeout: time.Minute, GarbageCollection: migrate.CollectOff, State: "git",
		VerifySignatures: "none", ImageAutomation: true,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(settings) != 1 || len(findings) != 0 {
		t.Errorf("settings %v, findings %v", settings, findings)
	}
}

func TestArgumentsAreReadAsPflagReadsThem(t *testing.T) {
	base := "--git-url=git@host:org/app"
	for name, tc := range map[string]struct {
		args []string
		ok   func(Config) bool
	}{
		"value after =":         {[]string{"--git-branch=main"}, func(c Config) bool { return c.Branch == "main" }},
		"value as next word":    {[]string{"--git-branch", "main"}, func(c Config) bool { return c.Branch == "main" }},
		"value with dash":       {[]string{"--git-branch", "-odd"}, func(c Config) bool { return c.Branch == "-odd" }},
		"last scalar wins":      {[]string{"--git-branch=a", "--git-branch=b"}, func(c Config) bool { return c.Branch == "b" }},
		"bare boolean":          {[]string{"--git-readonly"}, func(c Config) bool { return c.ReadOnly && c.State == "secret" }},
		"false boolean":         {[]string{"--git-readonly=false"}, func(c Config) bool { return !c.ReadOnly && c.State == "git" }},
		"paths by comma":        {[]string{"--git-path=a,b"}, func(c Config) bool { return slices.Equal(c.Paths, []string{"a", "b"}) }},
		"paths by two flags":    {[]string{"--git-path=a", "--git-path=b"}, func(c Config) bool { return slices.Equal(c.Paths, []string{"a", "b"}) }},
		"quoted comma":          {[]string{`--git-path="a,b",c`}, func(c Config) bool { return slices.Equal(c.Paths, []string{"a,b", "c"}) }},
		"blank is kept":         {[]string{"--git-path=a, b"}, func(c Config) bool { return slices.Equal(c.Paths, []string{"a", " b"}) }},
		"empty path is root":    {[]string{"--git-path="}, func(c Config) bool { return len(c.Paths) == 0 }},
		"label overrides tag":   {[]string{"--git-sync-tag=x", "--git-label=y"}, func(c Config) bool { return c.SyncTag == "y" && c.NotesRef == "y" }},
		"allow lists unite":     {[]string{"--k8s-allow-namespace=a,b", "--k8s-namespace-whitelist=b,c"}, func(c Config) bool { return slices.Equal(c.AllowedNamespaces, []string{"a", "b", "c"}) }},
		"dry beats on":          {[]string{"--sync-garbage-collection", "--sync-garbage-collection-dry"}, func(c Config) bool { return c.GarbageCollection == migrate.CollectDry }},
		"collection on":         {[]string{"--sync-garbage-collection"}, func(c Config) bool { return c.GarbageCollection == migrate.CollectOn }},
		"old signature flag":    {[]string{"--git-verify-signatures"}, func(c Config) bool { return c.VerifySignatures == "all" }},
		"mode beats old flag":   {[]string{"--git-verify-signatures", "--git-verify-signatures-mode=first-parent"}, func(c Config) bool { return c.VerifySignatures == "first-parent" }},
		"short listen":          {[]string{"-l", ":1", "--git-branch=main"}, func(c Config) bool { return c.Branch == "main" }},
		"short listen joined":   {[]string{"-l:1", "--git-branch=main"}, func(c Config) bool { return c.Branch == "main" }},
		"no scanning":           {[]string{"--registry-disable-scanning"}, func(c Config) bool { return !c.ImageAutomation }},
		"durations":             {[]string{"--git-poll-interval=30s", "--sync-interval=2m"}, func(c Config) bool { return c.PollInterval == 30*time.Second && c.SyncInterval == 2*time.Minute }},
		"unknown goes past":     {[]string{"--whatever", "x", "--git-branch=main"}, func(c Config) bool { return c.Branch == "main" }},
		"unknown before a flag": {[]string{"--whatever", "--git-branch=main"}, func(c Config) bool { return c.Branch == "main" }},
	} {
		c, _, _ := ParseArgs(append([]string{base}, tc.args...))
		if !tc.ok(c) {
			t.Errorf("%s: %v gave %+v", name, tc.args, c)
		}
	}
}

func TestEveryArgumentBecomesASettingWithAFate(t *testing.T) {
	args := []string{
		"--log-format=json", "--git-url=https://bot:MARKED-SECRET@host/app", "--git-path=a", "--git-path=b", "--token=MARKED-SECRET",
		"--connect=ws://fluxcloud", "--new-flag=1", "--api-token=MARKED-SECRET", "stray", "--git-timeout=soon", "--git-branch", "--",
		"--x", "--manifest-generation", "--sops", "--git-secret",
	}
	c, settings, findings := ParseArgs(args)
	seen := map[string]bool{}
	for _, s := range settings {
		for _, o := range s.From {
			seen[o.Where] = true
		}
		if s.Fate == "" || s.Fate == migrate.Carried && s.To == "" || s.Fate == migrate.Dropped && s.Why == "" ||
			s.Fate == migrate.Blocks && s.Why == "" || s.Fate == migrate.Unknown && s.To == "" {
			t.Errorf("setting without an account: %+v", s)
		}
	}
	// args[10] takes args[11] as its value.
	for i := range args {
		if i != 11 && !seen[fmt.Sprintf("args[%d]", i)] {
			t.Errorf("argument %d (%s) is not accounted for", i, args[i])
		}
	}
	all, err := json.Marshal(struct {
		C Config
		S []migrate.Setting
		F []migrate.Finding
	}{c, settings, findings})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(all)+fmt.Sprintf("%v %+v", c, c), "MARKED") {
		t.Errorf("a secret is told: %s", all)
	}
	if !slices.Contains(c.Unknown, "git.timeout") {
		t.Errorf("unknown = %v", c.Unknown)
	}
	for _, code := range []Code{UnknownFlag, BadFlag, GitSecret, Notifications} {
		if !slices.ContainsFunc(findings, func(f migrate.Finding) bool { return f.Code == code.Name && f.Where != "" }) {
			t.Errorf("no finding %s in %v", code.Name, findings)
		}
	}
}

// What matters to fluxd alone goes with it, and says why, and stops nothing.
func TestWhatMattersToFluxdAloneIsDropped(t *testing.T) {
	args := []string{
		"--kubernetes-kubectl=/usr/bin/kubectl", "--git-notes-ref=notes", "--memcached-port=11212", "--memcached-timeout=2s", "--k8s-in-cluster=false",
		"--k8s-verbosity=9", "--ssh-keygen-bits=4096", "--ssh-keygen-type=rsa", "--rpc-timeout=20s",
	}
	c, settings, findings := ParseArgs(append(args, "--git-url=git@example.com:team/app"))
	if slices.ContainsFunc(findings, func(f migrate.Finding) bool { return f.Severity != migrate.Info }) || len(c.Unknown) > 0 {
		t.Errorf("%v, unknown %v", findings, c.Unknown)
	}
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		i := slices.IndexFunc(settings, func(s migrate.Setting) bool { return s.Name == "--"+name })
		if i < 0 {
			t.Errorf("%s is not accounted for", arg)
		} else if s := settings[i]; s.Fate != migrate.Dropped || s.Why == "" || s.Value != value {
			t.Errorf("%s: %+v", arg, s)
		}
	}
}

func TestConfigurationsThatCannotWorkAreFindings(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		code Code
	}{
		"no url":            {[]string{}, NoURL},
		"empty url":         {[]string{"--git-url="}, NoURL},
		"git protocol":      {[]string{"--git-url=git://host/x"}, UnsupportedURL},
		"url all symbol":    {[]string{"--git-url=$(URL)"}, SymbolicFlag},
		"symbolic host":     {[]string{"--git-url=https://u:p@$(HOST)/x"}, SymbolicFlag},
		"symbolic branch":   {[]string{"--git-url=git@h:x", "--git-branch=$(B)"}, SymbolicFlag},
		"symbolic duration": {[]string{"--git-url=git@h:x", "--git-timeout=$(B)"}, SymbolicFlag},
		"absolute path":     {[]string{"--git-url=git@h:x", "--git-path=/a"}, PathAbsolute},
		"list as text":      {[]string{"--git-url=git@h:x", "--git-path=[a b]"}, PathList},
		"path outside":      {[]string{"--git-url=git@h:x", "--git-path=a/../../b"}, PathOutside},
		"signatures":        {[]string{"--git-url=git@h:x", "--git-verify-signatures"}, VerifySignatures},
		"git-secret":        {[]string{"--git-url=git@h:x", "--git-secret"}, GitSecret},
		"capital scheme":    {[]string{"--git-url=HTTPS://h/x"}, UnsupportedURL},
		"missing value":     {[]string{"--git-url"}, BadFlag},
		"bad boolean":       {[]string{"--git-url=git@h:x", "--sops=maybe"}, BadFlag},
	} {
		_, _, findings := ParseArgs(tc.args)
		if !slices.ContainsFunc(findings, func(f migrate.Finding) bool { return f.Code == tc.code.Name }) {
			t.Errorf("%s: no %s in %v", name, tc.code.Name, findings)
		}
	}
	if _, _, findings := ParseArgs([]string{"--git-url=https://$(U):$(P)@host/x"}); len(findings) != 0 {
		t.Errorf("credentials from the environment are no finding: %v", findings)
	}
}

// fluxd reads these values and ends at its start (flux: cmd/fluxd/main.go).
func TestValuesAtWhichFluxdEndsAreFindings(t *testing.T) {
	for _, tc := range []struct {
		args string
		flag string // empty if fluxd runs with them
	}{
		{"--sync-state=bar", "sync-state"},
		{"--sync-state=", "sync-state"},
		{"--sync-state=bar --git-readonly", "sync-state"},
		{"--sync-state=secret", ""},
		{"--git-verify-signatures-mode=foo", "git-verify-signatures-mode"},
		{"--git-verify-signatures-mode=foo --git-verify-signatures", "git-verify-signatures-mode"},
		{"--git-verify-signatures-mode=none", ""},
		{"--git-verify-signatures-mode=", ""},
		{"--registry-require=gcr", "registry-require"},
		{"--registry-require=ecr,gcr", "registry-require"},
		{"--registry-require=ecr", ""},
		{"--registry-require=", ""},
		{"--registry-burst=0", "registry-burst"},
		{"--registry-burst=-1 --registry-disable-scanning=false", "registry-burst"},
		{"--registry-burst=0 --registry-disable-scanning", ""},
		{"--registry-burst=1", ""},
		{"--version", "version"},
		{"--version=false", ""},
		{"--listen=3030", "listen"},
		{"-l :99999", "listen"},
		{"--listen=localhost:http", ""},
		{"--listen=", ""},
		{"--listen-metrics=metrics", "listen-metrics"},
		{"--listen-metrics=:3030", "listen-metrics"},
		{"--listen-metrics=127.0.0.1:3030 --listen=0.0.0.0:3030", "listen-metrics"},
		{"--listen-metrics=127.0.0.1:3030 --listen=127.0.0.2:3030", ""},
		{"--listen-metrics=:3031", ""},
		{"--listen-metrics=:0 --listen=:0", ""},
		{"--listen-metrics=", ""},
		{"--connect=fluxcloud", "connect"},
		{"--connect=tcp://fluxcloud", "connect"},
		{"--connect=wss://fluxcloud", ""},
		{"--connect=$(UPSTREAM)", ""},
		{"--connect=", ""},
		{"--ssh-keygen-bits=many", "ssh-keygen-bits"}, // which pflag refuses
		{"--ssh-keygen-bits=0x800", ""},
	} {
		c, settings, findings := ParseArgs(append(strings.Fields(tc.args), "--git-url=git@host:org/app"))
		var told []string
		for _, f := range findings {
			if f.Code == BadFlag.Name {
				told = append(told, f.Message)
			}
		}
		if (len(told) == 1) != (tc.flag != "") || len(told) > 1 || tc.flag != "" && !strings.HasPrefix(told[0], "--"+tc.flag) {
			t.Errorf("%s: it is told %q", tc.args, told)
		}
		i := slices.IndexFunc(settings, func(s migrate.Setting) bool { return s.Name == "--"+tc.flag })
		if tc.flag != "" && (i < 0 || settings[i].Fate != migrate.Blocks && settings[i].Fate != migrate.Unknown) {
			t.Errorf("%s: settings %+v", tc.args, settings)
		}
		if slices.ContainsFunc(findings, func(f migrate.Finding) bool { return f.Code == VerifySignatures.Name }) {
			t.Errorf("%s: signatures are told to be verified", tc.args)
		}
		if tc.flag == "sync-state" && (c.State != "" || !slices.Contains(c.Unknown, "sync.state")) {
			t.Errorf("%s: the state is %q, unknown %q", tc.args, c.State, c.Unknown)
		}
	}
}

// What becomes of each flag, at its default and at another value: what the README and the
// reference promise of it changes with this file alone.
func TestWhatBecomesOfEachFlag(t *testing.T) {
	others := map[string]string{
		"git-url": "https://host/app", "git-path": "a,b", "sync-state": "secret", "git-verify-signatures-mode": "first-parent", "connect": "ws://fluxcloud",
		"listen": ":3031", "listen-metrics": ":3032", "registry-require": "ecr",
	}
	types := map[FlagType]string{
		TypeString: "other", TypeDuration: "7m0s", TypeInt: "7", TypeUint: "4096", TypeFloat: "7.5", TypeList: "one,two",
	}
	var b strings.Builder
	// tell writes what becomes of the flag that comes first.
	tell := func(args ...string) {
		fmt.Fprintln(&b, strings.Join(args, " "))
		name, _, _ := strings.Cut(args[0], "=")
		if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--git-url") }) {
			args = append(args, "--git-url=git@host:org/app")
		}
		_, settings, findings := ParseArgs(args)
		i := slices.IndexFunc(settings, func(s migrate.Setting) bool { return s.Name == name })
		if i < 0 {
			t.Fatalf("%s is not accounted for", args[0])
		}
		s := settings[i]
		fmt.Fprintf(&b, "\t%s", s.Fate)
		for _, part := range []string{s.To, s.Why} {
			if part != "" {
				b.WriteString(" | " + part)
			}
		}
		for _, found := range findings {
			fmt.Fprintf(&b, "\n\t%s %s", found.Severity, found.Code)
		}
		b.WriteString("\n")
	}
	for _, f := range Flags {
		other := cmp.Or(others[f.Name], types[f.Type])
		if f.Type == TypeBool {
			other = fmt.Sprint(f.Default != "true")
		}
		if other == f.Default {
			t.Errorf("--%s: %q is its default", f.Name, other)
		}
		for _, value := range []string{f.Default, other} {
			tell("--" + f.Name + "=" + value)
		}
	}
	// What hangs on another flag, or on what the value is.
	for _, args := range [][]string{
		{"--sync-garbage-collection", "--sync-garbage-collection-dry"},
		{"--k8s-secret-name", "other", "--git-url=https://host/app"},
		{"--k8s-secret-data-key", "other", "--git-url=https://host/app"},
		{"--git-verify-signatures", "--git-verify-signatures-mode=$(MODE)"},
		{"--git-url", "ftp://host/app"},
		{"--git-path", "/a"},
		{"--git-path", "[a b]"},
		{"--git-path", "../a"},
	} {
		tell(args...)
	}
	golden := filepath.Join("testdata", "flags.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatFollowsFromAnUnknownFlagIsUnknown(t *testing.T) {
	for name, tc := range map[string]struct {
		args    []string
		unknown string
	}{
		"read only":                        {[]string{"--git-readonly=$(RO)"}, "git.readonly imageAutomation sync.state"},
		"read only, with a bad value":      {[]string{"--git-readonly=perhaps"}, "git.readonly imageAutomation sync.state"},
		"read only, known at first":        {[]string{"--git-readonly", "--git-readonly=$(RO)"}, "git.readonly imageAutomation sync.state"},
		"state in a Secret anyhow":         {[]string{"--git-readonly=$(RO)", "--sync-state=secret"}, "git.readonly imageAutomation"},
		"no images anyhow":                 {[]string{"--git-readonly=$(RO)", "--registry-disable-scanning"}, "git.readonly sync.state"},
		"the state itself":                 {[]string{"--sync-state=$(S)"}, "sync.state"},
		"scanning":                         {[]string{"--registry-disable-scanning=$(S)"}, "imageAutomation"},
		"both of what may end scanning":    {[]string{"--registry-disable-scanning=$(S)", "--git-readonly=$(RO)"}, "git.readonly imageAutomation sync.state"},
		"what no Inventory has a name for": {[]string{"--k8s-secret-data-key=$(K)", "--git-verify-signatures-mode=$(M)"}, ""},
	} {
		c, _, findings := ParseArgs(append([]string{"--git-url=git@host:a"}, tc.args...))
		if got := strings.Join(slices.Sorted(slices.Values(c.Unknown)), " "); got != tc.unknown {
			t.Errorf("%s: unknown are %q", name, got)
		}
		if slices.Contains(c.Unknown, "sync.state") && c.State != "" || slices.Contains(c.Unknown, "imageAutomation") && c.ImageAutomation {
			t.Errorf("%s: a value is kept: %+v", name, c)
		}
		if len(findings) == 0 {
			t.Errorf("%s: nobody is told", name)
		}
	}
	c, settings, findings := ParseArgs([]string{"--git-url=git@host:a", "--k8s-secret-data-key=$(K)", "--git-verify-signatures", "--git-verify-signatures-mode=$(M)"})
	if c.SecretKey != "" || c.VerifySignatures != "" {
		t.Errorf("symbols stand for values: %+v", c)
	}
	for _, s := range settings {
		if s.Name != "--git-url" && s.Fate != migrate.Unknown {
			t.Errorf("%s is %s: %s", s.Name, s.Fate, s.Why)
		}
	}
	if slices.ContainsFunc(findings, func(f migrate.Finding) bool { return f.Code == VerifySignatures.Name }) {
		t.Errorf("an unknown mode is told as one that is known: %v", findings)
	}
	if c, _, _ := ParseArgs([]string{"--git-verify-signatures=$(V)", "--git-verify-signatures-mode=first-parent"}); c.VerifySignatures != "first-parent" {
		t.Errorf("the mode was given, and is %q", c.VerifySignatures)
	}
}

func TestTheFlagTableIsWhole(t *testing.T) {
	set := pflagSet()
	names := map[string]bool{}
	for _, f := range Flags {
		if names[f.Name] {
			t.Errorf("%s stands twice", f.Name)
		}
		names[f.Name] = true
		if f.Fate == migrate.Carried && f.To == "" || f.Fate == migrate.Dropped && f.Why == "" || f.Fate == "" {
			t.Errorf("%s has no account of its fate", f.Name)
		}
		if f.Default != "" {
			if err := pflagSet().Set(f.Name, f.Default); err != nil {
				t.Errorf("the default of %s cannot be read: %v", f.Name, err)
			}
		}
		if got := set.Lookup(f.Name).Value.Type(); got != map[FlagType]string{
			TypeString: "string", TypeBool: "bool", TypeDuration: "duration", TypeInt: "int", TypeUint: "uint64", TypeFloat: "float64", TypeList: "stringSlice",
		}[f.Type] {
			t.Errorf("%s is a %s", f.Name, got)
		}
		if f.Type == TypeDuration && f.Default != "" && set.Lookup(f.Name).DefValue != f.Default {
			t.Errorf("the default of %s is written %s, read %s", f.Name, f.Default, set.Lookup(f.Name).DefValue)
		}
	}
	for name := range inventoryNames {
		if !names[name] {
			t.Errorf("inventoryNames names no flag: %s", name)
		}
	}
}

func TestCodesAreWholeAndStandOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Codes() {
		if seen[c.Name] || c.Name == "" || c.Severity == "" || c.Cause == "" || c.Consequence == "" || c.Remedy == "" {
			t.Errorf("code %q is incomplete or stands twice", c.Name)
		}
		seen[c.Name] = true
	}
}

func FuzzNoCommandLineCrashesTheDecoder(f *testing.F) {
	f.Add("--git-url=x\n--git-path=\"a")
	f.Add("--\n-l\n-")
	f.Fuzz(func(_ *testing.T, joined string) {
		ParseArgs(strings.Split(joined, "\n"))
	})
}

func TestNoValueThatMayBeSecretIsShown(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, args := range [][]string{
		{"--git-url=https://u:" + secret + "@git.example.com/a"},
		{"--registry-insecure-host=https://u:" + secret + "@h,plain"},
		{"--registry-insecure-host", "plain", "--registry-insecure-host", "https://u:" + secret + "@h"},
		{"--git-poll-interval=https://u:" + secret + "@h"},
		{"--some-new-flag=" + secret},
		{"--some-new-flag", secret},
		{"--", secret},
		{secret},
		{"--token=" + secret},
		{"--token " + secret},
		{"--git-url https://u:" + secret + "@h/x"},
		{"--git-url https://u:" + secret + "@h/x?a=b"},
		{"--git-url=https://u:a," + secret + "@h/x"},
		{"--git-url=git+https://" + secret + "@h/x"},
		{"--git-poll-interval=https://u:a," + secret + "@h"},
		{"--registry-insecure-host=https://u:a," + secret + "@h,plain"},
		{"--registry-insecure-host=plain,u:" + secret + "@h"},
		{"--token\t" + secret},
		{"--token:" + secret + "=x"},
	} {
		config, settings, findings := ParseArgs(args)
		shown := fmt.Sprintf("%v %v %v", config, settings, findings)
		if strings.Contains(shown, secret) {
			t.Errorf("%q: shown in %s", args[0], shown)
		}
		if len(settings) == 0 {
			t.Errorf("%q: no setting is left of it", args[0])
		}
	}
}

func TestAFlagAndItsValueInOneWordAreSaidToBe(t *testing.T) {
	_, settings, findings := ParseArgs([]string{"--git-branch main", "--git-url=git@h:a"})
	if len(findings) != 1 || findings[0].Message != "--git-branch*** is not a flag of fluxd: a flag and its value are one word" {
		t.Errorf("findings: %v", findings)
	}
	if s := settings[0]; s.Name != "--git-branch***" || s.Why != "fluxd has no such flag: a flag and its value are one word" || s.Value != "" {
		t.Errorf("setting: %+v", s)
	}
}

func TestWhatCannotBeReadIsZeroAndNamed(t *testing.T) {
	config, _, _ := ParseArgs([]string{"--git-url=git@h:a", "--git-poll-interval=often", "--sync-garbage-collection=perhaps"})
	if config.PollInterval != 0 || config.GarbageCollection != "" {
		t.Errorf("a default stands in for what cannot be read: %s, %q", config.PollInterval, config.GarbageCollection)
	}
	if want := []string{"git.pollInterval", "sync.garbageCollection"}; !slices.Equal(config.Unknown, want) {
		t.Errorf("unknown: %q, want %q", config.Unknown, want)
	}
}

func TestKindsLeftOutOfTheAgentsViewAreNamed(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want bool
	}{
		{[]string{"--git-url=git@h:x", "--k8s-unsafe-exclude-resource=*metrics.k8s.io/*,v1/Event,apps/v1/Deployment"}, true},
		{[]string{"--git-url=git@h:x", "--k8s-unsafe-exclude-resource=v1/Event"}, false},
		{[]string{"--git-url=git@h:x"}, false},
	} {
		_, _, findings := ParseArgs(tc.args)
		if got := slices.ContainsFunc(findings, func(f migrate.Finding) bool { return f.Code == ExcludedKinds.Name }); got != tc.want {
			t.Errorf("%v: %s is %t in %v", tc.args, ExcludedKinds.Name, got, findings)
		}
	}
}

func TestAWordAfterAnUnknownFlagIsNotShown(t *testing.T) {
	for _, args := range [][]string{
		{"--some-token", "-hunter2"}, {"--some-token", "-hunter2=x"}, {"--some-token", "-lhunter2"}, {"--some-token", "-éhunter2"},
		{"--some-token", "hunter2"}, {"-hunter2"}, {"-p", "hunter2"}, {"--some-token=", "-lhunter2"},
	} {
		c, settings, findings := ParseArgs(append(args, "--git-url=git@host:a"))
		if text := fmt.Sprintf("%+v %+v", settings, findings); strings.Contains(text, "unter2") || strings.Contains(text, "\ufffd") {
			t.Errorf("of %q it shows %s", args, text)
		}
		if c.URL != "git@host:a" || len(settings) < 2 || len(findings) == 0 {
			t.Errorf("of %q: %+v %+v", args, settings, findings)
		}
	}
}

func TestOfAnUnknownFlagNothingIsShownThatMayBeItsValue(t *testing.T) {
	for name, want := range map[string]string{
		"--git-urlhttps://user:hunter2@host/a": "--git-url***",
		"--git-urlhunter":                      "--git-url***",
		"--sync-garbage-collection-dryhunter":  "--sync-garbage-collection-dry***",
		"--https://user:hunter2@host/a":        "--***",
		"--ghp_16C7e42F292c6912E7710c838347Ae": "--ghp_***",
		"--glpat-Hunter2xyz":                   "--glpat-***",
		"--password:hunter2":                   "--***",
		"--some-hunter2hunter2":                "--some-***",
		"--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaahunt": "--***",
		"--some.Hunter":                        "--some.***",
		"--é":                                  "--***",
		"--some-":                              "--some-",
		"--some--other":                        "--some-***",
		"--git-urls":                           "--git-url***",
		"--git-url-file":                       "--git-url-file",
		"--k8s-label":                          "--k8s-label",
		"--use-sha256_sums":                    "--use-sha256_sums",
		"--some-flag":                          "--some-flag",
		"-":                                    "-",
		"-hunter2":                             "-h",
	} {
		if got := ShownFlag(name); got != want {
			t.Errorf("of %s it shows %s, want %s", name, got, want)
		}
		for _, arg := range []string{name, name + "=x"} {
			_, settings, findings := ParseArgs([]string{"--git-url=git@host:a", arg})
			if text := fmt.Sprintf("%+v %+v", settings, findings); strings.Contains(text, "unt") || strings.Contains(text, "16C7") {
				t.Errorf("of %s it shows %s", arg, text)
			}
		}
	}
}
