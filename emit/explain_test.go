package emit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/fluxover/fluxover/e2e/answers"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// explained fails unless a subject is explained, each time with a reason and
// with a place on one side.
func explained(t *testing.T, r Report, subject string) []Explanation {
	t.Helper()
	found := Explain(r, subject)
	if len(found) == 0 {
		t.Errorf("%q has no explanation", subject)
	}
	for _, e := range found {
		if e.Why == "" {
			t.Errorf("%q is explained without a reason: %+v", subject, e)
		}
	}
	return found
}

// explaining asks for explanations of what a report is of.
func explaining(r Report) answers.Ask {
	explain := Explainer(r)
	return func(subject string) any { return explain(subject) }
}

func TestEverySettingOfFlux1IsExplained(t *testing.T) {
	r, inv := fleet(t, 2)
	report := Report{Plan: r.Plan, Inventory: inv}
	for _, f := range flux1.Flags {
		for _, e := range explained(t, report, "--"+f.Name) {
			if len(e.From) == 0 || len(e.To) == 0 {
				t.Errorf("--%s: %+v", f.Name, e)
			}
		}
	}
	for _, path := range chart.Paths() {
		for _, e := range explained(t, report, path) {
			if len(e.From) == 0 || len(e.To) == 0 {
				t.Errorf("%s: %+v", path, e)
			}
		}
	}
	for _, a := range inv.Agents {
		for _, s := range a.Settings {
			found := explained(t, report, a.ID+" "+s.Name)
			if len(found) != 1 || len(found[0].From) == 0 || found[0].Value != s.Value {
				t.Errorf("%s %s: %+v", a.ID, s.Name, found)
			}
		}
	}
	if found := Explain(report, "--no-such-flag"); found != nil {
		t.Errorf("what there is not is explained: %+v", found)
	}
}

// What is told with its place is found by that place.
func TestWhatIsOfAPlaceIsExplainedByIt(t *testing.T) {
	from := func(where string) []migrate.Origin { return []migrate.Origin{{Witness: "terraform", Where: where}} }
	report := Report{Inventory: migrate.Inventory{Agents: []migrate.Flux1Agent{{ID: "flux/shop", Settings: []migrate.Setting{
		{Name: "git.url", Value: "a", Fate: migrate.Carried, To: "x", From: from("main.tf:2 (helm_release.flux[\"a\"])")},
		{Name: "git.path", Value: "b", Fate: migrate.Carried, To: "x", From: from("main.tf:24 (helm_release.flux[\"a\"]) git.path")},
	}}}}}
	report.Plan.Findings = []migrate.Finding{
		{Code: "A", Repository: "flux/shop", Subject: "flux/shop", Where: "main.tf:24", Message: "m", Hint: "h"},
		{Code: "B", Subject: "helm_release.other", Where: "x.tf:24", Message: "n"},
	}
	for subject, want := range map[string][]string{
		"main.tf:24": {"flux/shop git.path", "A flux/shop"}, "main.tf:2": {"flux/shop git.url"}, `helm_release.flux["a"]`: {"flux/shop git.url", "flux/shop git.path"},
		"helm_release.other": {"B helm_release.other"}, "flux/shop main.tf:24": nil, "helm_release": nil, "main.tf:3": nil, "tf:24": nil,
	} {
		var got []string
		for _, e := range Explain(report, subject) {
			got = append(got, e.Subject)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", subject, got, want)
		}
	}
}

func TestEveryFieldThatAPlanWritesIsExplained(t *testing.T) {
	r, inv := fleet(t, 3)
	report := Report{Plan: r.Plan, Inventory: inv}
	e := newExplainer(&report)
	fields := 0
	for _, o := range e.writtenObjects() {
		name := migrate.DisplayID(migrate.ObjectID(o.object))
		all := explained(t, report, name)
		written := fieldsWritten(o.object)
		if len(all) < len(written) {
			t.Errorf("%s: %d of %d fields are explained", name, len(all), len(written))
		}
		for _, f := range written {
			fields++
			found := explained(t, report, name+" "+f.path)
			if !slices.ContainsFunc(found, func(e Explanation) bool { return strings.HasSuffix(e.Subject, f.path) && e.Value == f.value }) {
				t.Errorf("%s %s: %+v", name, f.path, found)
			}
		}
	}
	if fields < 300 {
		t.Errorf("only %d fields were tried", fields)
	}
	interval := explained(t, report, "Kustomization/flux-system/payments-web .spec.interval")
	if len(interval) != 1 || len(interval[0].From) != 1 || !strings.Contains(interval[0].From[0], "flux/flux-payments --sync-interval=5m0s (cluster: Deployment/flux/flux-payments container flux args[4])") {
		t.Errorf("the interval: %+v", interval)
	}
	timeout := explained(t, report, "Kustomization/payments-web.spec.timeout")
	if len(timeout) != 1 || !strings.Contains(strings.Join(timeout[0].From, ""), "fluxd's default, 1m0s") {
		t.Errorf("a default: %+v", timeout)
	}
	for _, arg := range r.Plan.ClusterAgent.Args {
		explained(t, report, strings.SplitN(arg, "=", 2)[0])
	}
}

// What is emitted with a URL holds the objects of agent/ as well, and whoever
// reads a line of any file must be able to ask for it.
func TestEveryLineOfTheFluxCapacitorIsExplained(t *testing.T) {
	r, inv := fleet(t, 3)
	const yaml = `apiVersion: fluxover.dev/v1
kind: Capacitor
source: {interval: 30s}
defaults:
  kustomization: {interval: 9m}
clusters:
  prod:
    gitRepository: {interval: 2m}
    teams:
      payments:
        kustomization: {timeout: 7m}
        applications:
          payments-web:
            kustomization: {timeout: 8m}
`
	files := fstest.MapFS{CapacitorFile: {Data: []byte(yaml)}}
	tree := treeOf(t, files, &r.Plan, prod)
	settings, _, err := SettingsOf(files)
	if err != nil {
		t.Fatal(err)
	}
	report := Report{Plan: r.Plan, Inventory: inv, Capacitor: prod, Settings: settings}
	agent := 0
	explaining(report).Lines(t, tree)
	if fields := explaining(report).Settings(t, inv); fields < 3*7 {
		t.Errorf("settings went to %d fields alone", fields)
	}
	for name, file := range tree {
		explained(t, report, name)
		if name == CapacitorFile || name == IndexPath("prod") {
			continue
		}
		decoder := yamlutil.NewYAMLToJSONDecoder(bytes.NewReader(file.Data))
		for {
			u := &unstructured.Unstructured{}
			if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, AgentFile("prod", "")) {
				agent++
			}
			// Of names that are given more than once, as those of Flux's objects
			// and of Kubernetes', the kind tells them apart.
			id := migrate.DisplayID(migrate.ObjectID(u))
			for _, f := range fieldsWritten(u) {
				found := explained(t, report, id+" "+f.path)
				if !slices.ContainsFunc(found, func(e Explanation) bool {
					return e.Subject == id+" "+f.path && e.Value == f.value && slices.Equal(e.To, []string{name + " of the flux-capacitor"})
				}) {
					t.Errorf("%s: %s %s = %s: %+v", name, id, f.path, f.value, found)
				}
			}
		}
	}
	if agent != 5+3*3 {
		t.Errorf("%d objects of agent/ were looked at", agent)
	}
	for subject, want := range map[string]string{
		"GitRepository/flux-system/flux-capacitor .spec.interval":                "capacitor.yaml:3 source.interval",
		"Kustomization/flux-system/flux-capacitor .spec.interval":                "capacitor.yaml does not give sync.interval: the default",
		"GitRepository/flux-system/flux-capacitor .spec.url":                     "--capacitor of plan and migrate",
		"Kustomization/flux-system/payments-api .spec.interval":                  "capacitor.yaml:5 defaults.kustomization.interval",
		"Kustomization/flux-system/payments-api .spec.timeout":                   "capacitor.yaml:11 clusters.prod.teams.payments.kustomization.timeout",
		"Kustomization/flux-system/payments-web .spec.timeout":                   "capacitor.yaml:14 clusters.prod.teams.payments.applications.payments-web.kustomization.timeout",
		"GitRepository/flux-system/checkout .spec.interval":                      "capacitor.yaml:8 clusters.prod.gitRepository.interval",
		"flux/flux-payments ClusterRole/flux-capacitor-payments .rules[0].verbs": "repository flux/flux-payments and its files in clusters/prod/payments",
	} {
		found := explained(t, report, subject)
		if len(found) == 0 || strings.Join(found[0].From, "") != want {
			t.Errorf("%s: %+v, want %s", subject, found, want)
		}
	}
	for subject, want := range map[string]string{
		"clusters/prod/payments/payments-web.yaml:1": "clusters/prod/payments/payments-web.yaml:1",
		"capacitor.yaml:5":                           "capacitor.yaml:5",
		"clusters/prod/kustomization.yaml:5":         "clusters/prod/agent/rbac.yaml ServiceAccount/flux-system/flux-capacitor",
	} {
		if found := explained(t, report, subject); len(found) == 0 || found[0].Subject != want {
			t.Errorf("%s: %+v, want %s", subject, found, want)
		}
	}
	if found := explained(t, report, "capacitor.yaml:5"); !slices.Contains(found[0].From, "says defaults.kustomization.interval") {
		t.Errorf("a setting of capacitor.yaml: %+v", found)
	}
	for _, subject := range []string{"clusters/prod/payments/source.yaml:0", "clusters/prod/payments/source.yaml:-1", "clusters/prod/no-such.yaml:1", "capacitor.yaml:x", "capacitor.yaml:99999999999999999999"} {
		if found := Explain(report, subject); found != nil {
			t.Errorf("%s: %+v", subject, found)
		}
	}
	// Where no URL is given yet, the flag that gives it stands in its place.
	report.Capacitor.URL = ""
	if found := explained(t, report, "GitRepository/flux-system/flux-capacitor .spec.url"); len(found) != 1 || found[0].Value != "what --capacitor says" {
		t.Errorf("without a URL: %+v", found)
	}
}

// What few agents have: proxies, certificates, encrypted files, names of
// namespaces that fluxd fills in, rights by groups and in the whole cluster,
// applications that need each other.
func TestEveryLineOfWhatIsSeldomIsExplained(t *testing.T) {
	inv := fleetInventory(t, 3)
	https, sops, admin := &inv.Agents[0], &inv.Agents[1], &inv.Agents[2]
	https.Git.URL = "https://git.example.com/payments/deploy.git"
	https.Credential = migrate.AgentCredential{
		Kind: "basic", Username: migrate.Value{Secret: &migrate.SecretKey{Namespace: "flux", Name: "git", Key: "user"}}, Password: migrate.Value{Argument: true},
		CA: migrate.Value{ConfigMap: &migrate.SecretKey{Namespace: "flux", Name: "ca", Key: "ca.pem"}}, Proxy: migrate.Value{Variable: "https_proxy"},
	}
	https.Terraform = &migrate.TerraformPlace{Address: `helm_release.flux["payments"]`, Where: "main.tf:3"}
	from := []migrate.Origin{{Witness: "cluster", Where: "Deployment/flux/flux-payments env"}}
	https.Settings = append(https.Settings,
		migrate.Setting{Name: "env.https_proxy", Value: "***", Fate: migrate.Carried, To: "GitRepository.spec.proxySecretRef", Why: "git takes the proxy from it", From: from},
		migrate.Setting{Name: "volume.ca", Value: "/etc/ssl/cert.pem", Fate: migrate.Carried, To: "GitRepository.spec.secretRef", Why: "as ca.crt", From: from})
	sops.SOPS = true
	sops.Settings = append(sops.Settings, migrate.Setting{Name: "--sops", Value: "true", Fate: migrate.Carried, To: "Kustomization.spec.decryption", Why: "x", From: from})
	sops.Decryption = map[string]migrate.Value{"identity.agekey": {Secret: &migrate.SecretKey{Namespace: "flux", Name: "keys", Key: "age"}}}
	sops.DecryptsWith = []string{"identity.agekey"}
	for i := range sops.Objects {
		sops.Objects[i].Encrypted = sops.Objects[i].Manifest.GetKind() == "ConfigMap"
	}
	for i := range admin.Objects {
		o := &admin.Objects[i]
		switch o.Manifest.GetKind() + "/" + o.Manifest.GetName() {
		case "ConfigMap/web":
			o.NamespaceFilled = true
		case "ConfigMap/api":
			o.Class = migrate.ClassIgnored
		case "ConfigMap/admin":
			o.Class = migrate.ClassSyncOnly
		}
	}
	admin.Files = append(admin.Files, migrate.File{Path: "production/web/values.yaml", Kind: migrate.FileSilent, Root: "production"})
	every := []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}
	admin.Rights = []migrate.Binding{
		{Name: "flux-catalog", Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "flux-catalog"}, Rules: every, ReleaseOwned: true},
		{Name: "admins", Group: "system:serviceaccounts:flux", Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}, Rules: every},
	}
	admin.Confinement.Kind = "cluster-admin"
	report := Report{Plan: migrate.Build(inv, migrate.Options{}), Inventory: inv, Capacitor: prod}
	tree := treeOf(t, fstest.MapFS{}, &report.Plan, prod)
	var all strings.Builder
	for _, f := range tree {
		all.Write(f.Data)
	}
	for _, field := range []string{"proxySecretRef:", "decryption:", "dependsOn:", "patches:", "ignore:", "secretRef:", "kind: ClusterRoleBinding", "kind: ClusterRole\n", "kind: RoleBinding", "kind: Role\n"} {
		if !strings.Contains(all.String(), field) {
			t.Errorf("%q is nowhere in the tree", field)
		}
	}
	explaining(report).Lines(t, tree)
	explaining(report).Settings(t, inv)
	for subject, want := range map[string]string{
		"GitRepository/flux-system/payments .spec.proxySecretRef.name":           "flux/flux-payments env.https_proxy=*** (cluster: Deployment/flux/flux-payments env)|flux/flux-payments: address is in the variable https_proxy",
		"Secret/flux-system/payments-git .data[\"ca.crt\"]":                      "flux/flux-payments: ca.crt is ConfigMap/flux/ca key ca.pem",
		"Kustomization/flux-system/checkout-web .spec.decryption.secretRef.name": "flux/flux-checkout --sops=true (cluster: Deployment/flux/flux-payments env)|flux/flux-checkout: identity.agekey is Secret/flux/keys key age|git: production/web/app.yaml:15 at d5491e7: ConfigMap/checkout/web is encrypted",
		"Kustomization/flux-system/catalog-web .spec.patches[0].patch":           "git: production/web/app.yaml",
		"Kustomization/flux-system/catalog-web .spec.dependsOn[0].name":          "Kustomization/flux-system/catalog-namespaces: ",
		"ClusterRoleBinding/fluxover:catalog:admins .roleRef.name":               "flux/flux-catalog: ClusterRoleBinding/admins, which binds ClusterRole/cluster-admin for group system:serviceaccounts:flux",
		"flux/flux-payments env.https_proxy":                                     "GitRepository/flux-system/payments .spec.proxySecretRef.name = payments-proxy",
		"ClusterAgent":                                                           "no --engine is given: the default",
		"ClusterAgent --no-cross-namespace-refs":                                 "flux/flux-payments has rights of kind namespaces",
	} {
		if found := explained(t, report, subject); !strings.Contains(strings.Join(found[0].From, "|")+strings.Join(found[0].To, "|"), want) {
			t.Errorf("%s: %+v, want %q", subject, found, want)
		}
	}
}

// Two objects may bear one name in two namespaces.
func TestThePatchOfAnObjectIsNotExplainedByItsNamesake(t *testing.T) {
	inv := fleetInventory(t, 1)
	a := &inv.Agents[0]
	ignored := func(namespace string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: twice, namespace: " + namespace + ", annotations: {fluxcd.io/ignore: 'true'}}\n"
	}
	a.Tree.(fstest.MapFS)["production/web/twice.yaml"] = &fstest.MapFile{Data: []byte(ignored("one") + "---\n" + ignored("two"))}
	var err error
	if a.Files, a.Objects, _, err = flux1.Load(a.Tree, flux1.LoadConfig{Repository: a.ID, Paths: a.Git.Paths, DefaultNamespace: "default", Kinds: inv.Cluster.Kinds}); err != nil {
		t.Fatal(err)
	}
	report := Report{Plan: migrate.Build(inv, migrate.Options{}), Inventory: inv}
	seen := 0
	for _, k := range report.Plan.Repositories[0].Kustomizations {
		patches, _, _ := unstructured.NestedSlice(k.Object, "spec", "patches")
		for i := range patches {
			if name, _, _ := unstructured.NestedString(patches[i].(map[string]any), "target", "name"); name != "^twice$" {
				continue
			}
			seen++
			namespace, _, _ := unstructured.NestedString(patches[i].(map[string]any), "target", "namespace")
			found := explained(t, report, fmt.Sprintf("Kustomization/flux-system/%s .spec.patches[%d].patch", k.GetName(), i))
			if len(found[0].From) != 1 || !strings.Contains(found[0].From[0], strings.Trim(namespace, "^$")) {
				t.Errorf("the patch of what is in %s is from %q", namespace, found[0].From)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d patches are of either", seen)
	}
}

func TestObjectsRepositoriesAndFindingsAreExplained(t *testing.T) {
	r, inv := fleet(t, 12)
	report := Report{Plan: r.Plan, Inventory: inv}
	for _, repo := range r.Plan.Repositories {
		explained(t, report, repo.ID)
		for _, o := range repo.Objects {
			found := explained(t, report, o.ID)
			if len(found) != 1 || len(found[0].From) == 0 || !strings.HasPrefix(found[0].To[0], string(o.Verb)) {
				t.Errorf("%s: %+v", o.ID, found)
			}
		}
	}
	if len(r.Plan.Findings) == 0 {
		t.Fatal("the plan has no findings")
	}
	for _, f := range r.Plan.Findings {
		explained(t, report, f.Code)
	}
	var b strings.Builder
	if err := WriteExplanations(&b, Explain(report, "Deployment/search/web"), Style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"production/web/app.yaml:1", "change by Kustomization/flux-system/search-web", ".spec.replicas"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

// The cache that goes with an agent is explained by what it asks for.
func TestMemcachedIsExplained(t *testing.T) {
	r := Report{Inventory: migrate.Inventory{Agents: []migrate.Flux1Agent{
		{ID: "flux/a", Memcached: migrate.Requests{CPU: "50m", Memory: "67108864"}, Settings: []migrate.Setting{{Name: "memcached.resources.requests.cpu", Value: "50m", Fate: migrate.Dropped}}},
		{ID: "flux/b", Unknown: []string{"memcached"}}, {ID: "flux/c"},
	}}}
	var got []string
	for _, x := range Explain(r, "memcached") {
		got = append(got, x.Subject+"="+x.Value)
	}
	if want := "flux/a memcached=50m CPU, 64Mi memory|flux/b memcached=unknown|flux/a memcached.resources.requests.cpu=50m"; strings.Join(got, "|") != want {
		t.Errorf("explained are %q", got)
	}
}
