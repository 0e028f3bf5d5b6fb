package chart

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func decode(t *testing.T, version, values string) Rendered {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(values), &m); err != nil {
		t.Fatal(err)
	}
	return Decode(Release{Name: "flux", Namespace: "team-a", Version: version}, m)
}

func setting(r Rendered, name string) migrate.Setting {
	for _, s := range r.Settings {
		if s.Name == name {
			return s
		}
	}
	return migrate.Setting{}
}

func codes(r Rendered) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.Code+" "+f.Where)
	}
	return out
}

func hasCode(r Rendered, code flux1.Code, where string) bool {
	return slices.Contains(codes(r), code.Name+" "+where)
}

func argument(r Rendered, flag string) *Argument {
	for i := range r.Args {
		if r.Args[i].Flag == flag {
			return &r.Args[i]
		}
	}
	return nil
}

func TestTablesNameVersionsAndFlagsThatExist(t *testing.T) {
	for i, k := range keys {
		if i > 0 && keys[i-1].path >= k.path {
			t.Errorf("%s is out of order", k.path)
		}
		if (k.flag == "") == (k.role == "") {
			t.Errorf("%s has a flag %q and a role %q", k.path, k.flag, k.role)
		}
		if k.flag != "" && flux1.FlagNamed(k.flag) == nil {
			t.Errorf("%s gives --%s, which is no flag of fluxd", k.path, k.flag)
		}
		for j, d := range k.defaults {
			if (d.since == version{}) || j > 0 && !k.defaults[j-1].since.before(d.since) {
				t.Errorf("%s: default %d is of no later version", k.path, j)
			}
		}
	}
	for i, s := range Versions() {
		at, err := parseVersion(s)
		if err != nil || i > 0 && !v(released[i-1]).before(at) {
			t.Errorf("version %s is out of order: %v", s, err)
		}
	}
	inTables := func(at version, what string) {
		if (at != version{}) && !at.known() {
			t.Errorf("%s: there is no version %s", what, at)
		}
	}
	for _, k := range keys {
		inTables(k.since, k.path)
		inTables(k.until, k.path)
		for _, d := range k.defaults {
			inTables(d.since, k.path)
		}
	}
	for _, row := range rows {
		inTables(row.since, row.flag)
		inTables(row.until, row.flag)
		if flux1.FlagNamed(row.flag) == nil {
			t.Errorf("--%s is no flag of fluxd", row.flag)
		}
	}
	// The other way round: what flux1 says of chart values.
	for _, f := range flux1.Flags {
		if f.Chart != "" && keyNamed(f.Chart) == nil && !leadsToKeys(f.Chart) {
			t.Errorf("flux1 says that %s gives --%s, and no chart reads it", f.Chart, f.Name)
		}
	}
}

// recorded are the lines of those kinds of reads.txt: after a kind and a name, what they say.
func recorded(t *testing.T, kinds ...string) map[string][]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "reads.txt"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(content)) {
		if f := strings.SplitN(strings.TrimSpace(line), " ", 3); slices.Contains(kinds, f[0]) {
			out[f[0]+" "+f[1]] = append(out[f[0]+" "+f[1]], f[2])
		}
	}
	return out
}

// The defaults of each version of the chart are those of its own values.yaml.
func TestEachVersionHasTheDefaultsOfItsValues(t *testing.T) {
	got := map[string][]string{}
	for i := range keys {
		last := "-"
		for _, at := range released {
			is := "-"
			switch value, has := keys[i].byDefault(v(at)); {
			case has && keys[i].path == "kube.config":
				is = jsonOf(contextNamespace(value))
			case has:
				is = jsonOf(value)
			}
			if is != last {
				got["default "+keys[i].path] = append(got["default "+keys[i].path], at+" "+is)
			}
			last = is
		}
	}
	if diff := cmp.Diff(recorded(t, "default"), got); diff != "" {
		t.Error(diff)
	}
}

// What each version of the chart reads is that of its own templates.
func TestEachVersionReadsWhatItsTemplatesRead(t *testing.T) {
	want := recorded(t, "value", "argument")
	// No longer read, though a helper that no template includes names it; and read by all but
	// some, of the helm-operator alone.
	want["value helmOperator.configureRepositories.repositories"] = []string{"0.8.0 1.0.0"}
	want["value helmOperator.git.pollInterval"] = []string{"0.5.0 1.0.0"}
	read := map[string]func(version) bool{}
	for i := range keys {
		read["value "+keys[i].path] = keys[i].readBy
	}
	for _, row := range rows {
		earlier := read["argument "+row.flag]
		read["argument "+row.flag] = func(at version) bool {
			return at.in(row.since, row.until) || earlier != nil && earlier(at)
		}
	}
	got := map[string][]string{}
	for name, by := range read {
		since := ""
		for _, at := range released {
			switch is := by(v(at)); {
			case is && since == "":
				since = at
			case !is && since != "":
				got[name] = append(got[name], since+" "+at)
				since = ""
			}
		}
		if since != "" {
			got[name] = append(got[name], since+" -")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestValuesAtWhichFluxdEndsAreFindings(t *testing.T) {
	for values, flag := range map[string]string{
		"sync: {state: bar}":                          "sync-state",
		"git: {verifySignaturesMode: foo}":            "git-verify-signatures-mode",
		"registry: {burst: 0}":                        "registry-burst",
		"additionalArgs: [--version]":                 "version",
		"additionalArgs: ['-l', '3030']":              "listen",
		"additionalArgs: [--connect=cloud]":           "connect",
		"registry: {ecr: {require: true}}":            "", // which gives "ecr"
		"registry: {disableScanning: true, burst: 0}": "",
	} {
		r := decode(t, "1.13.3", values)
		told := slices.ContainsFunc(r.Findings, func(f migrate.Finding) bool {
			return f.Code == flux1.BadFlag.Name && strings.HasPrefix(f.Message, "--"+flag+":")
		})
		if told != (flag != "") {
			t.Errorf("%s: %v", values, r.Findings)
		}
	}
}

func TestQuirksOfOldVersionsHold(t *testing.T) {
	for name, tc := range map[string]struct {
		version, values string
		ok              func(Rendered) bool
	}{
		"sync interval is the poll interval before 1.1.0": {"1.0.0", "{git: {pollInterval: 7m}, sync: {interval: 3m}}",
			func(r Rendered) bool {
				return r.Config.SyncInterval == 7*time.Minute && hasCode(r, IgnoredValue, "sync.interval")
			}},
		"sync interval since 1.1.0":                       {"1.1.0", "{git: {pollInterval: 7m}, sync: {interval: 3m}}", func(r Rendered) bool { return r.Config.SyncInterval == 3*time.Minute }},
		"only the own namespace before 1.1.0":             {"1.0.0", "{clusterRole: {create: false}, allowedNamespaces: [x]}", allows("team-a")},
		"allowed namespaces since 1.1.0":                  {"1.1.0", "{clusterRole: {create: false}, allowedNamespaces: [x]}", allows("x", "team-a")},
		"no effect while the cluster role exists":         {"1.13.3", "{allowedNamespaces: [x]}", allows()},
		"1.11.0 without a list":                           {"1.11.0", "{clusterRole: {create: false}}", allows()},
		"1.11.1 with a list":                              {"1.11.1", "{clusterRole: {create: false}, allowedNamespaces: [x]}", allows("x", "team-a")},
		"1.11.2 undoes it":                                {"1.11.2", "{clusterRole: {create: false}}", allows("team-a")},
		"0.5 names another Secret than it mounts":         {"0.5.2", "{git: {secretName: own}}", func(r Rendered) bool { return r.Config.SecretName == "flux-git-deploy" && r.KeySecret == "own" }},
		"0.6.0 does so too":                               {"0.6.0", "{fullnameOverride: x, git: {secretName: own}}", func(r Rendered) bool { return r.Config.SecretName == "x-git-deploy" && r.KeySecret == "own" }},
		"0.6.1 names the mounted Secret":                  {"0.6.1", "{git: {secretName: own}}", func(r Rendered) bool { return r.Config.SecretName == "own" && r.KeySecret == "own" }},
		"helm-operator in the release":                    {"0.16.0", "{helmOperator: {create: true}}", func(r Rendered) bool { return r.HelmOperator == "flux-helm-operator" }},
		"a helm-operator in a release of unknown version": {"0.4.1", "{helmOperator: {create: true}}", func(r Rendered) bool { return r.Unknown["helmOperator"] != "" }},
		"none in a release of unknown version":            {"0.4.1", "{helmOperator: {create: false}}", func(r Rendered) bool { return r.Unknown["helmOperator"] == "" }},
		"the text false that is handed on is false": {"1.13.3", `{git: {readonly: "false", ciSkip: "no"}}`, func(r Rendered) bool {
			says := fmt.Sprint(r.Findings)
			return !r.Config.ReadOnly && strings.Contains(says, "git.readonly is text, and the chart expects true or false; it prints it as it is, and fluxd takes it for false") &&
				strings.Contains(says, "git.ciSkip is text, and the chart expects true or false; it prints it as it is, and fluxd refuses it")
		}},
		"the text false that turns a flag on": {"1.13.3", `{registry: {disableScanning: "false"}}`, func(r Rendered) bool {
			return strings.Contains(fmt.Sprint(r.Findings), "it takes this one for true")
		}},
		"no helm-operator since 1.0.0": {"1.0.0", "{helmOperator: {create: true}}", func(r Rendered) bool {
			return r.HelmOperator == "" && hasCode(r, IgnoredValue, "helmOperator.create")
		}},
		"no collection before 0.9.3":  {"0.9.2", "{syncGarbageCollection: {enabled: true}}", collects(migrate.CollectOff)},
		"collection since 0.9.3":      {"0.9.3", "{syncGarbageCollection: {enabled: true, dry: true}}", collects(migrate.CollectOn)},
		"dry collection since 0.10.0": {"0.10.0", "{syncGarbageCollection: {enabled: true, dry: true}}", collects(migrate.CollectDry)},
		"the text false counts as true": {"1.13.3", `{manifestGeneration: "false"}`, func(r Rendered) bool {
			return r.Config.ManifestGeneration && hasCode(r, ValueType, "manifestGeneration")
		}},
		"a list of paths is one bad path": {"1.13.3", "{git: {path: [a, b]}}", func(r Rendered) bool {
			return hasCode(r, flux1.PathList, "--git-path") && hasCode(r, ValueShape, "git.path")
		}},
		"paths by comma":              {"1.13.3", `{git: {path: "a,b"}}`, func(r Rendered) bool { return slices.Equal(r.Config.Paths, []string{"a", "b"}) }},
		"a number as branch":          {"1.13.3", "{git: {branch: 1.10}}", func(r Rendered) bool { return r.Config.Branch == "1.1" && hasCode(r, ValueType, "git.branch") }},
		"a comment is cut off":        {"1.13.3", `{git: {branch: "main # old"}}`, func(r Rendered) bool { return r.Config.Branch == "main" }},
		"a colon breaks the manifest": {"1.13.3", `{git: {user: "a: b"}}`, func(r Rendered) bool { return !r.Renders && hasCode(r, NotRendered, "git.user") }},
		"null takes a default away":   {"1.13.3", "{git: {branch: null}}", func(r Rendered) bool { return r.Config.Branch == "" && r.Renders }},
		"null for a mapping breaks it": {"1.13.3", "{git: null}", func(r Rendered) bool {
			return !r.Renders && hasCode(r, NotRendered, "git") && slices.Contains(r.Config.Unknown, "git.url")
		}},
		"limits keep default requests":                {"1.13.3", "{resources: {limits: {cpu: 1}}}", func(r Rendered) bool { return r.Requests.CPU == "50m" }},
		"no requests before 0.5.2":                    {"0.5.1", "{}", func(r Rendered) bool { return r.Requests == migrate.Requests{} }},
		"fallback is the own namespace when confined": {"1.13.3", "{clusterRole: {create: false}}", func(r Rendered) bool { return r.FallbackNamespace == "team-a" }},
		"rights that others granted":                  {"1.13.3", "{rbac: {create: false}}", func(r Rendered) bool { return r.Confinement.Kind == "" && r.Unknown["confinement"] != "" }},
		"a cluster role of others": {"1.13.3", "{clusterRole: {create: false, name: viewer}}", func(r Rendered) bool {
			return r.BoundClusterRole == "viewer" && r.Confinement.Kind == "" && r.Unknown["confinement"] != ""
		}},
		"build metadata in the version": {"v1.13.3+local", "{}", func(r Rendered) bool { return r.Version == "1.13.3" && r.Renders }},
	} {
		t.Run(name, func(t *testing.T) {
			if r := decode(t, tc.version, tc.values); !tc.ok(r) {
				t.Errorf("%s gave %+v", tc.values, r)
			}
		})
	}
}

func allows(want ...string) func(Rendered) bool {
	return func(r Rendered) bool { return slices.Equal(r.Config.AllowedNamespaces, want) }
}

func collects(want migrate.GarbageCollection) func(Rendered) bool {
	return func(r Rendered) bool { return r.Config.GarbageCollection == want }
}

func TestAnUnknownVersionMakesEverythingUnknown(t *testing.T) {
	for _, version := range []string{"", "latest", "~> 1.0", "0.4.1", "1.14.0", "2.0.0", "1.13.3-rc.1", "1.13", "0.9.6", "-1.0.0", "1.13.99999999999"} {
		r := decode(t, version, "{git: {url: git@host:a, branch: main}, foo: bar}")
		if len(r.Args) != 0 || r.Config.Branch != "" || r.Config.URL != "" || !slices.Contains(r.Config.Unknown, "git.branch") || !hasCode(r, VersionUnknown, "") {
			t.Errorf("%q: %+v", version, r)
		}
		says := "flux charts are known here from 0.5.0 to 1.13.3, and not version " + strconv.Quote(version) + ", and without"
		none := "no flux chart from 0.5.0 to 1.13.3 reads foo"
		if version == "" {
			says, none = "the chart's version is not known, and without", "no flux chart reads foo"
		}
		if text := fmt.Sprint(r.Findings); r.Unknown["requests"] == "" || !strings.Contains(text, says) || !strings.Contains(text, none) {
			t.Errorf("%q: %s", version, text)
		}
		for _, name := range []string{"git.url", "git.branch", "foo"} {
			if s := setting(r, name); s.Fate != migrate.Unknown {
				t.Errorf("%q: %s is %+v", version, name, s)
			}
		}
	}
}

// TestNoGivenValueDisappears feeds values at all depths, known, misspelt and
// invented, and looks for each in the settings.
func TestNoGivenValueDisappears(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	versions := []string{"0.5.0", "0.9.2", "0.16.0", "1.1.0", "1.11.0", "1.13.3", "no version"}
	for i := range 400 {
		version := versions[i%len(versions)]
		at := last
		if p, err := parseVersion(version); err == nil {
			at = p
		}
		in := g.releaseCase(at)
		invented := []string{"git.pol1Interval", "nope", "nope.a.b.c", "registry.ecr.regio", "syncGarbageCollection.enabld", "memcached.deep.er.still", "sync", "global.x", "git.secret.enable"}
		for range g.IntN(4) {
			put(in.Values, g.one(invented), []any{"text", true, float64(3), nil, []any{"a", map[string]any{"b": "c"}}, map[string]any{"x": map[string]any{"y": float64(1)}}, map[string]any{}, []any{}}[g.IntN(8)])
		}
		r := Decode(Release{Name: in.Release, Namespace: in.Namespace, Version: version}, in.Values)
		var names []string
		for _, s := range r.Settings {
			if s.Fate == "" || s.Fate == migrate.Carried && s.To == "" || s.Fate != migrate.Carried && s.Why == "" || s.Fate == migrate.Unknown && s.To == "" {
				t.Fatalf("%s: setting %+v says too little", version, s)
			}
			if len(s.From) == 0 || slices.ContainsFunc(s.From, func(o migrate.Origin) bool { return o.Witness != Witness || o.Where == "" }) {
				t.Fatalf("%s: setting %+v has no origin", version, s)
			}
			names = append(names, s.Name)
		}
		ends(any(in.Values), "", func(path string) {
			// A value that the chart takes as one stands for all that is in
			// it, and so does what takes the place of a mapping; anything
			// else is to be there itself.
			for p := path; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
				k := keyNamed(p)
				if (p == path || k != nil && k.kind != free || leadsToKeys(p)) && slices.Contains(names, p) {
					return
				}
			}
			t.Errorf("%s: %s disappeared\nvalues %s\nsettings %v", version, path, jsonOf(in.Values), names)
		})
	}
}

// What the ledger leaves to a finding has one: added arguments are read as pflag reads
// them, however they are written.
func TestWhatTheLedgerLeavesToAFindingHasOne(t *testing.T) {
	words := []string{"-l", ":4", "-l:4", "-l=:4", "--listen", "-x", "-xl", "--", "word", "--git-branch", "main", "--unheard", "--unheard=1", "--git-poll-interval=zz", "--sync-garbage-collection", "--token x"}
	g := rand.New(rand.NewPCG(7, 8))
	left := 0
	for range 500 {
		var args []any
		for range 1 + g.IntN(4) {
			args = append(args, words[g.IntN(len(words))])
		}
		r := Decode(Release{Name: "flux", Namespace: "flux", Version: "1.13.3"}, tree{"git": tree{"url": "git@host:a"}, "additionalArgs": args})
		for _, s := range r.Settings {
			if s.Fate != migrate.Unknown || s.To != migrate.ByFinding {
				continue
			}
			left++
			told := func(f migrate.Finding) bool {
				return strings.Contains(f.Message, s.Name) || slices.ContainsFunc(append(strings.FieldsFunc(s.Why, func(r rune) bool { return strings.ContainsRune(" ,:", r) }), s.Name), func(word string) bool {
					return f.Where == word || strings.HasPrefix(word, "--") && strings.Contains(f.Message, word)
				})
			}
			if !slices.ContainsFunc(r.Findings, told) {
				t.Errorf("%q: nothing tells of %s, %s\nfindings %v", args, s.Name, s.Why, r.Findings)
			}
		}
	}
	if left == 0 {
		t.Error("nothing is left to a finding")
	}
}

// ends visits every path at which a value ends, empty lists and mappings too.
func ends(x any, path string, visit func(path string)) {
	m, _ := x.(map[string]any)
	for k, v := range m {
		at := k
		if path != "" {
			at = path + "." + k
		}
		ends(v, at, visit)
	}
	l, _ := x.([]any)
	for i, v := range l {
		ends(v, fmt.Sprintf("%s[%d]", path, i), visit)
	}
	if len(m) == 0 && len(l) == 0 && path != "" {
		visit(path)
	}
}

// A name with a dot in it, as "git\\.path" of --set, is one that no chart reads, and not a path.
func TestANameWithADotIsNoPath(t *testing.T) {
	r := decode(t, "1.13.3", `{git.path: deploy, git: {url: "git@host:a", label.x: 7}, podLabels: {app.kubernetes.io/name: flux}, global: {a.b: 1}}`)
	for name, value := range map[string]string{`git\.path`: "***", `git.label\.x`: "7"} {
		s := setting(r, name)
		if s.Fate != migrate.Unknown || s.Value != value || !hasCode(r, UnknownValue, name) {
			t.Errorf("%s: %+v, findings %v", name, s, r.Findings)
		}
	}
	if !strings.Contains(fmt.Sprint(r.Findings), `reads git\.path, of whose name the dot is a part; is git.path meant?`) {
		t.Errorf("findings %v", r.Findings)
	}
	if len(r.Config.Paths) != 0 || slices.ContainsFunc(r.Settings, func(s migrate.Setting) bool { return s.Name == "git.path" }) {
		t.Errorf("it is taken for a path: %v, %v", r.Config.Paths, r.Settings)
	}
	if s := setting(r, "podLabels.app.kubernetes.io/name"); s.Fate != migrate.Dropped || hasCode(r, UnknownValue, "podLabels.app.kubernetes.io/name") {
		t.Errorf("a key of what is copied: %+v", s)
	}
	hidden := Decode(Release{Name: "flux", Namespace: "flux", Version: "1.13.3"}, map[string]any{"git.n": Sensitive{int64(4711)}})
	if s := setting(hidden, `git\.n`); strings.Contains(fmt.Sprint(hidden.Settings, hidden.Findings), "4711") || s.Value != hiddenText {
		t.Errorf("what is sensitive is shown: %+v", s)
	}
}

// What a git or ssh configuration does, a finding asks about, which a person can accept.
func TestAGitOrSSHConfigurationIsAskedAboutOnce(t *testing.T) {
	r := decode(t, "1.13.3", `{git: {url: "git@host:a", config: {enabled: true, secretName: gc}}, ssh: {known_hosts: "h ssh-rsa A", config: "Host *"}}`)
	if !r.GitConfig || !r.SSHConfig {
		t.Errorf("git configuration %t, ssh configuration %t", r.GitConfig, r.SSHConfig)
	}
	for _, name := range []string{"git.config.enabled", "git.config.secretName", "ssh.config"} {
		if s := setting(r, name); s.Fate != migrate.Dropped || !strings.HasSuffix(s.Why, ", which a finding asks about") {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// Kubernetes expands $(VAR) in what the chart makes arguments, and in nothing else.
func TestVariablesAreFilledInWhereKubernetesExpandsThem(t *testing.T) {
	values := `
git: {url: "git@example.org:$(ORG)/app", branch: "$(BRANCH)", user: "$(NAME)", label: "$(NAME)", secretName: "$(ORG)", pollInterval: "$(EVERY)", ciSkipMessage: "$(NAME)"}
sync: {interval: "$(EVERY)"}
additionalArgs: ["--git-email=$(NAME)", "--git-path=$(PASSWORD)"]
extraEnvs:
- {name: ORG, value: teams}
- {name: BRANCH, valueFrom: {configMapKeyRef: {name: flux, key: branch}}}
- {name: NAME, value: marked-4711}
- {name: EVERY, value: $(OF)m}
- {name: OF, value: "3"}
- {name: EVERY, value: $(OF)m}
- {name: PASSWORD, value: marked-4712}
- {name: OTHER, value: marked-4713}
extraEnvsFrom:
- configMapRef: {name: more}
`
	var m map[string]any
	if err := yaml.Unmarshal([]byte(values), &m); err != nil {
		t.Fatal(err)
	}
	maps := map[string]map[string]string{"flux": {"branch": "release"}, "more": {"ORG": "none", "FROM": "x"}}
	r := Decode(Release{Name: "flux", Namespace: "team-a", Version: "1.13.3", ConfigMap: func(name string) (map[string]string, bool) {
		return maps[name], maps[name] != nil
	}}, m)
	got := map[string]any{"url": string(r.Config.URL), "branch": r.Config.Branch, "poll": r.Config.PollInterval.String(), "sync": r.Config.SyncInterval.String(),
		"paths": len(r.Config.Paths), "secret": r.Config.SecretName, "mounted": r.KeySecret, "tag": r.Config.SyncTag, "not known": r.Config.Unknown}
	want := map[string]any{"url": "git@example.org:teams/app", "branch": "release", "poll": "3m0s", "sync": "3m0s",
		"paths": 0, "secret": "teams", "mounted": "$(ORG)", "tag": "", "not known": []string{"git.paths", "git.syncTag"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{
		"extraEnvs[0].value":                          "carried the settings whose arguments refer to it: is filled in for --k8s-secret-name, --git-url",
		"extraEnvs[1].valueFrom.configMapKeyRef.name": "carried the settings whose arguments refer to it: is filled in for --git-branch",
		"extraEnvs[2].value":                          "carried the settings whose arguments refer to it: is filled in for --git-user, --git-label, --git-email",
		"extraEnvs[4].value":                          "carried the settings whose arguments refer to it: is filled in for --git-poll-interval, --sync-interval",
		"extraEnvs[7].value":                          "dropped : fluxd itself reads no such variable",
	} {
		if s := setting(r, name); fmt.Sprintf("%s %s: %s", s.Fate, s.To, s.Why) != want {
			t.Errorf("%s: %s %s: %s, want %s", name, s.Fate, s.To, s.Why, want)
		}
	}
	if where := setting(r, "--git-branch").From[0].Where; where != "git.branch, extraEnvs[1]" {
		t.Errorf("the branch comes from %s", where)
	}
	all := fmt.Sprintf("%+v %#v", r.Settings, r.Findings)
	if text, err := json.Marshal(r); err != nil || strings.Contains(string(text)+all, "marked-") {
		t.Errorf("a variable that is not shown stands in the open (%v): %s", err, all)
	}
	// Of what may set any variable nothing is filled in.
	m["extraEnvs"] = append(m["extraEnvs"].([]any), Unknown{Cause: "x"})
	if r := Decode(Release{Name: "flux", Namespace: "team-a", Version: "1.13.3"}, m); r.Config.Branch != "" || r.Config.SyncInterval != 0 {
		t.Errorf("it is filled in all the same: %s, %s", r.Config.Branch, r.Config.SyncInterval)
	}
}

// What is looked for in one value that is no mapping is one mistake.
func TestAMappingThatIsNoneIsToldOnce(t *testing.T) {
	var said []string
	for _, f := range decode(t, "1.13.3", "git:\nregistry: {rps: 1000000}\n").Findings {
		said = append(said, f.Code+" "+f.Where+": "+f.Message)
	}
	want := []string{
		"CHART_NOT_RENDERED git: git: it is null, and the chart looks for branch, ciSkip, config, and 14 more values in it",
		`CHART_VALUE_TYPE registry.rps: registry.rps is printed as "1e+06", which is no number to what reads it`,
	}
	said = slices.DeleteFunc(said, func(s string) bool {
		return !strings.Contains(s, " git: ") && !strings.Contains(s, "rps") || strings.HasPrefix(s, "FLAG")
	})
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

// Values as the chart's own values.yaml has them ask nobody anything.
func TestEmptyValuesAreAsGoodAsNone(t *testing.T) {
	r := decode(t, "1.13.3", `
git: {url: "git@example.org:a/b"}
env: {secretName: ""}
extraEnvs: []
extraEnvsFrom: []
extraVolumes: []
extraVolumeMounts: []
hostAliases: {}
initContainers: {}
dnsConfig: {}
serviceAccount: {annotations: {}}
`)
	for _, s := range r.Settings {
		if s.Fate == migrate.Unknown {
			t.Errorf("%s: %s: %s", s.Name, s.To, s.Why)
		}
	}
	if s := setting(decode(t, "1.13.3", "extraVolumes: [{name: x, emptyDir: {}}]"), "extraVolumes[0].emptyDir"); s.Fate != migrate.Unknown {
		t.Errorf("a volume is passed over: %v", s)
	}
}

func TestAValueOfFormerChartsIsKnownAsThat(t *testing.T) {
	const values = "helmOperator: {git: {chartsPath: charts}}"
	for version, want := range map[string]string{
		"1.13.3": "no flux chart from 0.5.0 to 1.13.3 reads helmOperator.git.chartsPath; charts from 0.2.0 to 0.4.1 did",
		"0.4.1":  "",
	} {
		r, said, hint := decode(t, version, values), "", ""
		for _, f := range r.Findings {
			if f.Code == UnknownValue.Name {
				said = f.Message
			} else if f.Code == VersionUnknown.Name {
				hint = f.Hint
			}
		}
		if said != want || strings.Contains(hint, "in full") {
			t.Errorf("%s: %q, %q", version, said, hint)
		}
		if setting(r, "helmOperator.git.chartsPath").Fate != migrate.Unknown {
			t.Errorf("%s: %v", version, r.Settings)
		}
	}
}

func TestAMisspeltValueIsUnknownAndItsLikelyNameGiven(t *testing.T) {
	r := decode(t, "1.13.3", "{git: {url: git@host:a, pol1Interval: 1m}}")
	if s := setting(r, "git.pol1Interval"); s.Fate != migrate.Unknown || s.Value != "1m" || s.To == "" {
		t.Errorf("setting %+v", s)
	}
	if !hasCode(r, UnknownValue, "git.pol1Interval") || !strings.Contains(fmt.Sprint(r.Findings), "is git.pollInterval meant?") {
		t.Errorf("findings %v", r.Findings)
	}
	if r.Config.PollInterval != 5*time.Minute {
		t.Errorf("poll interval %v", r.Config.PollInterval)
	}
}

func TestAGivenValueSaysWhichSettingItBecame(t *testing.T) {
	r := decode(t, "1.13.3", `
git: {url: "git@host:team/app", branch: main, label: "", path: "a,b", verifySignatures: false, verifySignaturesMode: all}
registry: {pollInterval: 2m, automationInterval: 3m}
allowedNamespaces: [x]
additionalArgs: ["--git-branch=other", "--connect=ws://fluxcloud", "--whatever=1"]
`)
	for name, want := range map[string]struct {
		fate    migrate.Fate
		to, why string
	}{
		"git.url":                     {migrate.Carried, "GitRepository.spec.url", "gives --git-url"},
		"git.path":                    {migrate.Carried, "Kustomization.spec.path", "gives --git-path"},
		"git.label":                   {migrate.Dropped, "", "it is empty or off, so --git-label is not given"},
		"git.verifySignatures":        {migrate.Dropped, "", "it is empty or off, so --git-verify-signatures is not given"},
		"git.verifySignaturesMode":    {migrate.Dropped, "", "gives --git-verify-signatures-mode: " + flux1.VerifySignatures.Consequence + ", which a finding asks about"},
		"registry.automationInterval": {migrate.Dropped, "", "another value decides, so that it gives no --automation-interval"},
		"allowedNamespaces":           {migrate.Dropped, "", "it has no effect while clusterRole.create is on"},
		"additionalArgs[0]":           {migrate.Carried, "GitRepository.spec.ref.branch", "gives --git-branch: given more than once, the last one counts"},
		"additionalArgs[1]":           {migrate.Dropped, "", "gives --connect: " + flux1.FlagNamed("connect").Why},
		"additionalArgs[2]":           {migrate.Unknown, migrate.ByFinding, "fluxd has no such flag"},
	} {
		if s := setting(r, name); s.Fate != want.fate || s.To != want.to || s.Why != want.why {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if r.Config.Branch != "other" {
		t.Errorf("branch %s", r.Config.Branch)
	}
	from := setting(r, "--git-branch").From
	if len(from) != 2 || from[0].Where != "git.branch" || from[1].Where != "additionalArgs[0]" {
		t.Errorf("origins %v", from)
	}
	if from := setting(r, "--git-timeout").From; len(from) != 1 || from[0].Where != "git.timeout (default of chart 1.13.3)" {
		t.Errorf("origins %v", from)
	}
}

func TestOfAnUnknownArgumentNothingIsShownThatMayBeItsValue(t *testing.T) {
	r := decode(t, "1.13.3", `
git: {url: "git@host:team/app"}
additionalArgs: ["--git-urlhttps://user:hunter2@host/a=b", "-phunter2=x", "--tokenhunter2=x", "--some-flag=hunter2"]
`)
	if text := fmt.Sprintf("%+v %+v %+v", r.Settings, r.Findings, r.Args); strings.Contains(text, "unter2") || !strings.Contains(text, "--git-url***") || !strings.Contains(text, "--some-flag") {
		t.Errorf("it shows %s", text)
	}
}

func TestWhatDependsOnAnUnknownValueIsUnknown(t *testing.T) {
	cause := "variable x has no value"
	u := Unknown{Cause: cause}
	url := map[string]any{"url": "git@host:a"}
	for name, tc := range map[string]struct {
		values  any
		unknown []string // of the configuration
		fields  []string // of Rendered.Unknown
	}{
		"a branch":            {tree{"git": tree{"url": "git@host:a", "branch": u}}, []string{"git.branch"}, nil},
		"the URL":             {tree{"git": tree{"url": u}}, []string{"git.url"}, nil},
		"paths":               {tree{"git": tree{"url": "git@host:a", "path": u}}, []string{"git.paths"}, nil},
		"a part of a list":    {tree{"git": tree{"url": "git@host:a", "branch": []any{"a", u}}}, []string{"git.branch"}, nil},
		"a part of a mapping": {tree{"git": tree{"url": tree{"a": tree{"b": u}}}}, []string{"git.url"}, nil},
		"all but what is known, at depth": {Partial{Known: tree{"git": tree{"url": "git@host:a", "branch": "main"}, "clusterRole": tree{"create": true}, "nameOverride": "", "fullnameOverride": "flux", "additionalArgs": []any{}}, Cause: cause},
			[]string{"defaultNamespace", "git.paths", "git.pollInterval", "git.readonly", "git.secretName", "git.syncTag", "git.timeout", "imageAutomation", "manifestGeneration", "sops", "sync.garbageCollection", "sync.interval", "sync.state", "sync.timeout"},
			[]string{"serviceAccount", "confinement"}},
		"the poll interval":      {tree{"git": tree{"url": "git@host:a", "pollInterval": u}}, []string{"git.pollInterval", "sync.interval"}, nil},
		"a switch":               {tree{"git": url, "manifestGeneration": u}, []string{"manifestGeneration"}, nil},
		"dry collection":         {tree{"git": url, "syncGarbageCollection": tree{"enabled": true, "dry": u}}, []string{"sync.garbageCollection"}, nil},
		"collection":             {tree{"git": url, "syncGarbageCollection": tree{"enabled": u}}, []string{"sync.garbageCollection"}, nil},
		"the cluster role":       {tree{"git": url, "clusterRole": tree{"create": u}}, []string{"allowedNamespaces"}, []string{"confinement", "fallbackNamespace"}},
		"namespaces":             {tree{"git": url, "clusterRole": tree{"create": false}, "allowedNamespaces": []any{"a", u}}, []string{"allowedNamespaces"}, []string{"confinement"}},
		"the name":               {tree{"git": url, "nameOverride": u}, []string{"git.secretName"}, []string{"workload", "serviceAccount", "keySecret"}},
		"a Secret":               {tree{"git": tree{"url": "git@host:a", "secretName": u}}, []string{"git.secretName"}, []string{"keySecret"}},
		"read only":              {tree{"git": tree{"url": "git@host:a", "readonly": u}}, []string{"git.readonly", "imageAutomation", "sync.state"}, nil},
		"an added branch":        {tree{"git": url, "additionalArgs": []any{"--git-branch", u}}, []string{"git.branch"}, nil},
		"an added flag in part":  {tree{"git": url, "additionalArgs": []any{Unknown{Cause: cause, Prefix: "--git-branch="}}}, []string{"git.branch"}, nil},
		"requests":               {tree{"git": url, "resources": u}, nil, []string{"requests"}},
		"one request":            {tree{"git": url, "resources": tree{"requests": tree{"cpu": u}}}, nil, []string{"requests"}},
		"replicas":               {tree{"git": url, "replicaCount": u}, nil, []string{"replicas"}},
		"known hosts":            {tree{"git": url, "ssh": tree{"known_hosts": u}}, nil, []string{"knownHosts"}},
		"the kubeconfig":         {tree{"git": url, "kube": tree{"config": u}}, nil, []string{"fallbackNamespace"}},
		"behind a known one":     {tree{"git": tree{"url": "git@host:a", "branch": u}, "additionalArgs": []any{"--git-branch=x"}}, nil, nil},
		"dry wins over unknown":  {tree{"git": url, "syncGarbageCollection": tree{"enabled": u, "dry": true}}, nil, nil},
		"an unused interval":     {tree{"git": tree{"url": "git@host:a"}, "sync": tree{"interval": "3m"}, "registry": tree{"pollInterval": "3m", "automationInterval": u}}, nil, nil},
		"all of git but the URL": {tree{"git": Partial{Known: url, Cause: cause}}, []string{"git.branch", "git.paths", "git.pollInterval", "git.readonly", "git.secretName", "git.syncTag", "git.timeout", "imageAutomation", "sync.interval", "sync.state"}, []string{"keySecret", "gitConfig"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := Decode(Release{Name: "flux", Namespace: "team-a", Version: "1.13.3"}, tc.values)
			got := slices.Sorted(slices.Values(r.Config.Unknown))
			if !slices.Equal(got, tc.unknown) {
				t.Errorf("unknown are %v", got)
			}
			for _, f := range tc.fields {
				if !strings.Contains(r.Unknown[f], cause) {
					t.Errorf("%s is unknown for %q", f, r.Unknown[f])
				}
			}
			if len(tc.fields) == 0 && len(r.Unknown) > 0 {
				t.Errorf("unknown fields %v", r.Unknown)
			}
			if len(tc.unknown) > 0 && !strings.Contains(fmt.Sprint(r.Findings), cause) {
				t.Errorf("no finding tells the cause: %v", r.Findings)
			}
			// The same without the unknown value would be a default.
			if slices.Contains(tc.unknown, "git.branch") && r.Config.Branch != "" || slices.Contains(tc.unknown, "sync.garbageCollection") && r.Config.GarbageCollection != "" ||
				slices.Contains(tc.unknown, "git.pollInterval") && (r.Config.PollInterval != 0 || r.Config.SyncInterval != 0) ||
				slices.Contains(tc.unknown, "git.secretName") && r.Config.SecretName != "" || slices.Contains(tc.unknown, "sync.state") && r.Config.State != "" {
				t.Errorf("a default takes the place: %+v", r.Config)
			}
		})
	}
}

// TestAnUnknownValueMeansWhatAnUnknownArgumentMeans holds the two ways to a
// configuration against each other: a value that is unknown, and the argument
// that it becomes, filled in from an environment that is unknown.
func TestAnUnknownValueMeansWhatAnUnknownArgumentMeans(t *testing.T) {
	compared := 0
	for _, version := range released {
		for i := range keys {
			k := &keys[i]
			if k.flag == "" || k.path == "additionalArgs" {
				continue
			}
			values := tree{"git": tree{"url": "git@host:a"}, "syncGarbageCollection": tree{"dry": false}}
			at, parts := values, strings.Split(k.path, ".")
			for _, p := range parts[:len(parts)-1] {
				next, ok := at[p].(tree)
				if !ok {
					next = tree{}
					at[p] = next
				}
				at = next
			}
			at[parts[len(parts)-1]] = Unknown{Cause: "c"}
			r := Decode(Release{Name: "flux", Namespace: "ns", Version: version}, values)
			var args []string
			for _, a := range r.Args {
				switch {
				case a.Unknown == "":
					args = append(args, string(a.Text))
				case a.Flag == "connect" || a.Flag == "git-notes-ref" || flux1.FlagNamed(a.Flag).Type == flux1.TypeList && a.Flag != "git-path" && a.Flag != "k8s-allow-namespace":
					// Such a value counts as it is written: any upstream is one.
				default:
					args = append(args, "--"+a.Flag+"=$(UNKNOWN)")
					compared++
				}
			}
			want, _, _ := flux1.ParseArgs(args)
			slices.Sort(want.Unknown)
			got := r.Config
			slices.Sort(got.Unknown)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("chart %s, %s: arguments (-), values (+)\n%s", version, k.path, diff)
			}
		}
	}
	if compared < 100 {
		t.Errorf("%d values are compared", compared)
	}
}

func TestAnUnknownArgumentMayBeAnyFlag(t *testing.T) {
	r := Decode(Release{Name: "flux", Namespace: "team-a", Version: "1.13.3"}, tree{
		"git": tree{"url": "git@host:a"}, "additionalArgs": []any{Unknown{Cause: "module m is remote"}, "--git-branch=known"},
	})
	if slices.Contains(r.Config.Unknown, "git.branch") || r.Config.Branch != "known" {
		t.Errorf("the branch is set behind it: %+v", r.Config)
	}
	if !slices.Contains(r.Config.Unknown, "git.url") || r.Config.URL != "" || !hasCode(r, ValueNotKnown, "additionalArgs[0]") {
		t.Errorf("configuration %+v, findings %v", r.Config, r.Findings)
	}
}

func TestNothingIsGuessedOfAReleaseWithoutName(t *testing.T) {
	r := Decode(Release{Version: "1.13.3", Cause: "local.name is not known"}, tree{"git": tree{"url": "git@host:a"}, "clusterRole": tree{"create": false}})
	if r.Workload != "" || r.Unknown["workload"] != "local.name is not known" || !slices.Contains(r.Config.Unknown, "git.secretName") ||
		!slices.Contains(r.Config.Unknown, "allowedNamespaces") {
		t.Errorf("%+v", r)
	}
}

func TestAllValuesUnknownLeavesNothingKnown(t *testing.T) {
	r := Decode(Release{Name: "flux", Namespace: "ns", Version: "1.13.3"}, Unknown{Cause: "file f is not there"})
	for _, f := range flux1.Flags {
		if f.Name == "ssh-keygen-dir" {
			continue // the chart always gives it the same value
		}
		if a := argument(r, f.Name); a != nil && a.Unknown == "" {
			t.Errorf("%v is known", a)
		}
	}
	if s := setting(r, "*"); s.Fate != migrate.Unknown || s.Why != "file f is not there" {
		t.Errorf("settings %v", r.Settings)
	}
}

const marked = "MARKED-SECRET"

func TestNoSecretIsShown(t *testing.T) {
	where := []string{
		`git: {url: "https://bot:MARKED-SECRET@host/app"}`,
		`git: {url: "https://MARKED-SECRET@host/app?token=MARKED-SECRET"}`,
		`git: {url: ["https://bot:MARKED-SECRET@host/app"]}`,
		`git: {config: {enabled: true, data: "[credential] password = MARKED-SECRET"}}`,
		`git: {config: {enabled: false, data: {a: MARKED-SECRET}}}`,
		`git: MARKED-SECRET`,
		`git: [MARKED-SECRET]`,
		`token: MARKED-SECRET`,
		`token: "MARKED-SECRET: x"`,
		`token: {a: MARKED-SECRET}`,
		`additionalArgs: ["--token=MARKED-SECRET"]`,
		`additionalArgs: ["--token", "MARKED-SECRET"]`,
		`additionalArgs: ["--connect=https://u:MARKED-SECRET@host"]`,
		`additionalArgs: ["--api-key=MARKED-SECRET", "--whatever", "MARKED-SECRET", "MARKED-SECRET"]`,
		`additionalArgs: ["--token MARKED-SECRET"]`,
		`additionalArgs: ["--git-url https://u:MARKED-SECRET@host/app", "--git-url https://u:MARKED-SECRET@host/app?a=b"]`,
		`additionalArgs: ["--git-url=https://bot:a,MARKED-SECRET@host/app", "--registry-insecure-host=https://bot:a,MARKED-SECRET@host"]`,
		`git: {url: "https://bot:a,MARKED-SECRET@host/app"}`,
		`git: {url: "git::https://MARKED-SECRET@host/app"}`,
		`git: {url: "bot:MARKED-SECRET@host/app"}`,
		`registry: {insecureHosts: "https://bot:a,MARKED-SECRET@h,plain"}`,
		`extraVolumes: [{name: a, gitRepo: {repository: "https://MARKED-SECRET@host/a"}}]`,
		`extraVolumes: [{name: a, gitRepo: {repository: "bot:MARKED-SECRET@host/a"}}]`,
		`extraVolumes: [{name: a, csi: {driver: d, volumeAttributes: {clientSecret: MARKED-SECRET, plain: MARKED-SECRET}}}]`,
		`extraVolumes: [{name: a, flexVolume: {driver: d, options: {password: MARKED-SECRET}}}]`,
		`extraVolumes: [{name: a, azureFile: {shareName: MARKED-SECRET}}, {name: b, iscsi: {iqn: MARKED-SECRET}}]`,
		`hostAliases: [{ip: "https://MARKED-SECRET@host", hostnames: ["https://MARKED-SECRET@host"]}]`,
		`additionalArgs: [{a: MARKED-SECRET}]`,
		`additionalArgs: MARKED-SECRET`,
		`additionalArgs: {a: MARKED-SECRET}`,
		`extraEnvs: [{name: GIT_TOKEN, value: MARKED-SECRET}]`,
		`extraEnvs: [{name: GIT_TOKEN, value: {name: MARKED-SECRET}}]`,
		`extraEnvs: [MARKED-SECRET]`,
		`extraEnvs: MARKED-SECRET`,
		`extraEnvs: {GIT_TOKEN: MARKED-SECRET}`,
		`extraEnvsFrom: [MARKED-SECRET]`,
		`extraContainers: [{name: x, env: [{name: P, value: MARKED-SECRET}]}]`,
		`initContainers: {x: {args: [MARKED-SECRET]}}`,
		`annotations: {vault: MARKED-SECRET}`,
		`podLabels: {password: MARKED-SECRET, app-secret: MARKED-SECRET, secretName: MARKED-SECRET}`,
		`prometheus: {serviceMonitor: {additionalLabels: {api_token: MARKED-SECRET}}}`,
		`nodeSelector: {example.com/password: MARKED-SECRET}`,
		`memcached: {nodeSelector: {token: MARKED-SECRET}}`,
		`helmOperator: {nodeSelector: {token: MARKED-SECRET}}`,
		`ssh: {known_hosts: "h ssh-rsa A", config: "ProxyCommand x proxyauth=u:MARKED-SECRET"}`,
		`kube: {config: "users: [{user: {token: MARKED-SECRET}}]"}`,
		`kube: {config: "}{MARKED-SECRET"}`,
		`helmOperator: {create: true, configureRepositories: {repositories: [{name: r, url: "https://u:MARKED-SECRET@h", password: MARKED-SECRET}]}}`,
		`helmOperator: {extraEnvs: [{name: P, value: MARKED-SECRET}]}`,
		`git: {tokn: MARKED-SECRET}`,
		`unheard: {of: [{deep: MARKED-SECRET}]}`,
		`global: {password: MARKED-SECRET}`,
		`registry: {insecureHosts: "https://u:MARKED-SECRET@h"}`,
		`registry: {password: MARKED-SECRET}`,
		`serviceAccount: {annotations: {k: MARKED-SECRET}}`,
	}
	look := func(name string, r Rendered) {
		t.Helper()
		encoded, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{
			"%v": fmt.Sprintf("%v", r), "%+v": fmt.Sprintf("%+v", r), "%#v": fmt.Sprintf("%#v", r), "json": string(encoded),
			"args": fmt.Sprintf("%s %q %x %v", r.Args, r.Args, r.Env, r.EnvFrom),
		} {
			if strings.Contains(text, marked) || strings.Contains(text, fmt.Sprintf("%x", marked)) {
				at := strings.Index(text, marked)
				t.Errorf("%s: %s shows it: …%s…", name, what, text[max(at-150, 0):min(at+50, len(text))])
			}
		}
	}
	for _, values := range where {
		for _, version := range []string{"0.16.0", "1.13.3", ""} {
			look(version+" "+values, decode(t, version, values))
		}
	}
	// Values that are known to be sensitive are hidden wherever they stand.
	for i := range keys {
		values := tree{}
		put(values, keys[i].path, Sensitive{marked})
		if fmt.Sprintf("%v %+v %#v %s", values, values, values, jsonOf(values)) != strings.ReplaceAll(fmt.Sprintf("%v %+v %#v %s", values, values, values, jsonOf(values)), marked, "") {
			t.Fatalf("Sensitive shows its value")
		}
		for _, version := range []string{"0.16.0", "1.13.3"} {
			r := Decode(Release{Name: "flux", Namespace: "ns", Version: version}, values)
			for _, s := range r.Settings {
				if strings.Contains(s.Value, marked) || strings.Contains(s.Why, marked) {
					t.Errorf("%s %s: %+v", version, keys[i].path, s)
				}
			}
			if strings.Contains(fmt.Sprint(r.Findings), marked) {
				t.Errorf("%s %s: %v", version, keys[i].path, r.Findings)
			}
		}
	}
	u := Unknown{Cause: "c", Prefix: marked}
	if text := fmt.Sprintf("%v %+v %#v %s", u, u, u, u); strings.Contains(text, marked) {
		t.Error(text)
	}
	r := Decode(Release{Name: "flux", Namespace: "ns", Version: "1.13.3"}, tree{"additionalArgs": []any{Unknown{Cause: "c", Prefix: "--token=" + marked}}})
	look("prefix", r)
}

// What says which Secret or ConfigMap a volume is of is what people need to see.
func TestWhatAVolumeIsOfIsShown(t *testing.T) {
	r := decode(t, "1.13.3", `extraVolumes: [{name: keys, secret: {secretName: gpg, defaultMode: 256, items: [{key: a, path: b}]}}, {name: c, csi: {driver: d, readOnly: true}}]`)
	for name, want := range map[string]string{
		"extraVolumes[0].name": "keys", "extraVolumes[0].secret.secretName": "gpg", "extraVolumes[0].secret.defaultMode": "256",
		"extraVolumes[0].secret.items[0].key": "a", "extraVolumes[0].secret.items[0].path": "b",
		"extraVolumes[1].csi.driver": "d", "extraVolumes[1].csi.readOnly": "true",
	} {
		if s := setting(r, name); s.Value != want {
			t.Errorf("%s: %+v, want %q", name, s, want)
		}
	}
}

func TestTheRealTextsAreThereForUse(t *testing.T) {
	r := decode(t, "1.13.3", `{git: {url: "https://bot:MARKED-SECRET@host/app"}, extraEnvs: [{name: A, value: MARKED-SECRET}]}`)
	if a := argument(r, "git-url"); a == nil || string(a.Text) != "--git-url=https://bot:MARKED-SECRET@host/app" {
		t.Errorf("argument %v", a)
	}
	if string(r.Config.URL) != "https://bot:MARKED-SECRET@host/app" || string(r.Env[1].Value) != marked {
		t.Error("the values are lost")
	}
}

func TestHostileValuesAreBounded(t *testing.T) {
	var deep any = "x"
	for range 10000 {
		deep = tree{"a": deep}
	}
	wide := tree{}
	for i := range 3 * maxLeaves {
		wide[fmt.Sprint("k", i)] = "x"
	}
	for name, values := range map[string]any{"deep": tree{"git": deep}, "wide": wide, "a strange type": tree{"git": tree{"branch": struct{}{}}}, "nil": nil, "no mapping": "text"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		r := Decode(Release{Name: "flux", Namespace: "ns", Version: "1.13.3"}, values)
		runtime.ReadMemStats(&after)
		if d := time.Since(start); d > time.Minute {
			t.Errorf("%s: it took %s", name, d)
		}
		if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 1<<10 {
			t.Errorf("%s: it allocated %d MiB", name, grown)
		}
		t.Logf("%s: %s, %d MiB", name, time.Since(start).Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
		if name != "nil" && len(r.Findings) < 2 {
			t.Errorf("%s: findings %v", name, r.Findings)
		}
		if (name == "deep" || name == "wide") && !hasCode(r, TooLarge, "") {
			t.Errorf("%s: %v", name, codes(r)[:3])
		}
	}
}

func TestDecodingIsRepeatableAndLeavesItsInputAlone(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(3, 4))}
	for range 50 {
		in := g.releaseCase(last)
		before := jsonOf(in.Values)
		a := Decode(Release{Name: in.Release, Namespace: in.Namespace, Version: "1.13.3"}, in.Values)
		b := Decode(Release{Name: in.Release, Namespace: in.Namespace, Version: "1.13.3"}, in.Values)
		if diff := cmp.Diff(a, b); diff != "" || jsonOf(in.Values) != before {
			t.Fatalf("values %s: %s", before, diff)
		}
	}
}

func TestEveryCodeIsToldInFull(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range append(Codes(), flux1.Codes()...) {
		if c.Name == "" || c.Cause == "" || c.Consequence == "" || c.Remedy == "" || seen[c.Name] {
			t.Errorf("%+v", c)
		}
		seen[c.Name] = true
	}
}

func FuzzDecode(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(5, 6))}
	for i := range 20 {
		in := g.releaseCase(last)
		b, err := yaml.Marshal(in.Values)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]string{"0.5.0", "0.16.0", "1.13.3"}[i%3], string(b))
	}
	f.Add("1.13.3", "git: {url: !!binary aGFsbG8=, branch: &a [x, *a]}")
	f.Add("", "a: &a [1,1]\nb: [*a,*a]\n")
	f.Fuzz(func(t *testing.T, version, text string) {
		if len(text) > 1<<16 {
			t.Skip("longer than what is tried") // fuzz input; TooLarge has a test of its own
		}
		var values map[string]any
		if err := yaml.Unmarshal([]byte(text), &values); err != nil {
			return // no values
		}
		r := Decode(Release{Name: "flux", Namespace: "ns", Version: version}, values)
		if r.Version == "" {
			if !hasCode(r, VersionUnknown, "") {
				t.Error("an unknown version is not reported")
			}
		} else if !r.Renders && !slices.ContainsFunc(r.Findings, func(f migrate.Finding) bool { return f.Code == NotRendered.Name }) {
			t.Error("what does not render is not reported")
		}
		for _, s := range r.Settings {
			if s.Fate == "" || len(s.From) == 0 {
				t.Errorf("setting %+v says too little", s)
			}
		}
		if len(values) > 0 && len(r.Settings) == 0 {
			t.Error("the values disappeared")
		}
	})
}
