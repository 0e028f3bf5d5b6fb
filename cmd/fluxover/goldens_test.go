package main

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/build"
)

// goldenPlans reads the goldens of plans, of both packages that keep some, by
// their names.
func goldenPlans(t *testing.T) (plans map[string]migrate.Plan, texts map[string]string) {
	t.Helper()
	plans, texts = map[string]migrate.Plan{}, map[string]string{}
	for _, pattern := range []string{"discover/testdata/plan/*.yaml", "migrate/testdata/plan/*.yaml"} {
		goldens, err := filepath.Glob(filepath.Join(moduleRoot, pattern))
		if err != nil || len(goldens) < 14 {
			t.Fatalf("%d goldens of %s: %v", len(goldens), pattern, err)
		}
		for _, path := range goldens {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var plan migrate.Plan
			if err := yaml.Unmarshal(raw, &plan); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			name := strings.TrimSuffix(filepath.Base(path), ".yaml")
			if texts[name] != "" {
				t.Fatalf("two goldens are called %s", name)
			}
			plans[name], texts[name] = plan, string(raw)
		}
	}
	return plans, texts
}

// What holds of every plan, whatever the repository: the reference's checklist,
// as far as manifests and findings show it.
func TestEveryGoldenOfAPlanKeepsTheRulesOfAllPlans(t *testing.T) {
	plans, _ := goldenPlans(t)
	for name, plan := range plans {
		t.Run(name, func(t *testing.T) {
			made := map[string]bool{}
			for i := range plan.Repositories {
				r := &plan.Repositories[i]
				for _, u := range slices.Concat(r.Kustomizations, r.Supporting) {
					if id := migrate.ObjectID(u); made[id] {
						t.Errorf("%s is made twice", id)
					} else {
						made[id] = true
					}
				}
				checkBlocked(t, &plan, r)
				if plan.Incomplete(r) != "" {
					continue // the fields that would be a guess are left out
				}
				for _, k := range r.Kustomizations {
					checkKustomization(t, &plan, k)
				}
			}
			for _, s := range plan.Sources {
				if made[migrate.ObjectID(s)] {
					t.Errorf("%s is made twice", migrate.ObjectID(s))
				}
				made[migrate.ObjectID(s)] = true
			}
			for _, c := range plan.Credentials {
				checkCredential(t, &plan, c)
			}
			for _, f := range plan.Findings {
				if f.Message == "" || f.Hint == "" && f.Severity == migrate.Blocker || f.Repository != "" && !strings.HasPrefix(f.Subject, f.Repository) {
					t.Errorf("it does not say of what, why, and what to do: %v", f)
				}
			}
		})
	}
}

// A finding that can be accepted must not be held back once more by what goes
// with it, or accepting it would be of no use.
func TestWhatIsAcceptedHoldsNothingBack(t *testing.T) {
	plans, _ := goldenPlans(t)
	for name, code := range map[string]string{
		"hazard-signatures": "SIGNATURES_WEAKER", "hazard-image-automation": "IMAGE_AUTOMATION", "hazard-restarted-by-hand": "PODS_RESTART",
		"hazard-release-of-the-helm-operator": "HELMRELEASE_V1", "hazard-yaml-1-1": "RENDERING_DIFFERS", "cluster-mark-handed-down": "MARK_HANDED_TO_PODS",
		"cluster-git-configuration": "GIT_CONFIG", "cluster-one-repository-two-paths": "SYNC_TAG_SHARED",
	} {
		plan := plans[name]
		blocked := func() bool {
			return slices.ContainsFunc(plan.Repositories, func(r migrate.Repository) bool { return r.Blocked })
		}
		if !blocked() {
			t.Errorf("%s: nothing is held back", name)
		}
		plan.Settle([]migrate.Decision{{Code: code, Subject: "*", Reason: "r"}})
		if blocked() || len(plan.Accepted) == 0 {
			t.Errorf("%s: accepting %s lifts nothing: %v", name, code, plan.Findings)
		}
	}
}

// checkBlocked demands that exactly the repositories are held back of which a
// blocker speaks, or one that speaks of the whole cluster, that nobody accepted.
func checkBlocked(t *testing.T, plan *migrate.Plan, r *migrate.Repository) {
	t.Helper()
	blocked := slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool {
		return f.Severity == migrate.Blocker && (f.Repository == "" || f.Repository == r.ID)
	})
	if r.Blocked != blocked {
		t.Errorf("%s: held back %t, by a finding %t", r.ID, r.Blocked, blocked)
	}
}

func checkKustomization(t *testing.T, plan *migrate.Plan, k *unstructured.Unstructured) {
	t.Helper()
	field := func(path ...string) any {
		v, _, err := unstructured.NestedFieldNoCopy(k.Object, append([]string{"spec"}, path...)...)
		if err != nil {
			t.Errorf("%s: %v", k.GetName(), err)
		}
		return v
	}
	for _, never := range []string{"force", "targetNamespace", "postBuild", "suspend", "images", "components", "kubeConfig"} {
		if field(never) != nil {
			t.Errorf("%s: spec.%s is written", k.GetName(), never)
		}
	}
	for _, always := range []string{"interval", "timeout", "prune", "serviceAccountName"} {
		if field(always) == nil {
			t.Errorf("%s: spec.%s is not written", k.GetName(), always)
		}
	}
	if field("deletionPolicy") != "Orphan" {
		t.Errorf("%s: removing it would delete what it applies", k.GetName())
	}
	if path, _ := field("path").(string); !strings.HasPrefix(path, "./") || strings.Contains(path, "..") {
		t.Errorf("%s: path %q", k.GetName(), path)
	}
	if len(validation.IsDNS1123Label(k.GetName())) > 0 || k.GetNamespace() != migrate.AgentNamespace || field("sourceRef", "namespace") != nil {
		t.Errorf("%s/%s: its name, its namespace, or that of its source %v", k.GetNamespace(), k.GetName(), field("sourceRef", "namespace"))
	}
	source, _ := field("sourceRef", "name").(string)
	s := plan.Source(migrate.ObjectRef{Namespace: k.GetNamespace(), Name: source})
	if s == nil {
		t.Errorf("%s: its source %q is not in the plan", k.GetName(), source)
		return
	}
	checkSource(t, s)
}

var sourceURL = regexp.MustCompile(`^(http|https|ssh)://`) // as the definition of a GitRepository has it

func checkSource(t *testing.T, s *unstructured.Unstructured) {
	t.Helper()
	text := func(path ...string) string {
		v, _, err := unstructured.NestedString(s.Object, append([]string{"spec"}, path...)...)
		if err != nil {
			t.Errorf("%s: %v", s.GetName(), err)
		}
		return v
	}
	u, err := url.Parse(text("url"))
	if err != nil || !sourceURL.MatchString(text("url")) {
		t.Errorf("%s: url %q: %v", s.GetName(), text("url"), err)
	} else if _, password := u.User.Password(); password || u.User != nil && u.Scheme != "ssh" {
		t.Errorf("%s: the URL holds a credential", s.GetName())
	}
	if text("ref", "branch") == "" || text("interval") == "" || text("timeout") == "" {
		t.Errorf("%s: branch, interval or timeout is not written: %v", s.GetName(), s.Object["spec"])
	}
	if ignore := text("ignore"); ignore != "" && !strings.HasPrefix(ignore, build.DefaultIgnore) {
		t.Errorf("%s: the default exclusions are lost: %s", s.GetName(), ignore)
	}
}

// checkCredential demands that a copy has the keys that Flux v2 reads, or that a
// blocker says which it lacks.
func checkCredential(t *testing.T, plan *migrate.Plan, c migrate.Credential) {
	t.Helper()
	if c.To.Namespace != migrate.AgentNamespace || c.Owner == "" || c.OwnerWhy == "" {
		t.Errorf("%s: it is in another namespace than its source, or has no owner: %+v", c.To.Name, c)
	}
	keys := map[string][]string{"ssh": {"identity"}, "basic": {"username", "password"}, "ca": {"ca.crt"}, "proxy": {"address"}}[c.Kind]
	whole := c.Kind == migrate.KindDecryption || slices.ContainsFunc(keys, func(key string) bool { _, ok := c.From[key]; return ok })
	r := plan.Repository(c.Agent)
	if (!whole || c.Kind == "ssh" && c.KnownHosts == "") && !r.Blocked {
		t.Errorf("%s: a %s credential of %v, and nothing is held back", c.To.Name, c.Kind, c.From)
	}
}
