package discover

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// TestManyThatShareAreCountedAndFewAreNamed: each of them has a finding of its own.
func TestManyThatShareAreCountedAndFewAreNamed(t *testing.T) {
	for n, want := range map[int]string{
		11: "flux/a01, flux/a02, flux/a03, flux/a04, flux/a05, flux/a06, flux/a07, flux/a08, flux/a09, flux/a10",
		14: "flux/a01, flux/a02, flux/a03, flux/a04, flux/a05, flux/a06, flux/a07, flux/a08, flux/a09, flux/a10 and 3 more",
	} {
		w := &witness{}
		users := &accountUse{users: map[string][]string{}}
		var agents []*agent
		for i := range n {
			workload := fmt.Sprintf("a%02d", i)
			a := &agent{Flux1Agent: migrate.Flux1Agent{
				ID: "flux/" + workload, Namespace: "flux", Workload: workload, ServiceAccount: "flux",
				Git:     migrate.AgentGit{URL: "https://h/r", SyncTag: "x", SecretName: "s"},
				Objects: []migrate.Object{{ID: "n_o__ConfigMap", Class: migrate.ClassApplied, File: "f", Line: 1}},
			}, set: "x"}
			a.Sync.State = []string{"git", "secret"}[n%2]
			agents = append(agents, a)
			users.users["flux/flux"] = append(users.users["flux/flux"], "Deployment/flux/"+workload)
		}
		slices.Reverse(agents) // the order of their names counts
		w.sameSets(agents)
		w.sharedMarks(agents)
		for _, a := range agents {
			w.sharedAccount(a, users)
		}
		slices.Reverse(agents)
		w.sharedObjects(agents)
		for code, said := range map[string]string{
			SameSet.Name:            want + " syncs the same URL",
			SharedTag.Name:          want + map[bool]string{true: " uses the tag x", false: " keeps its sync mark in Secret flux/s as well"}[n%2 == 0],
			SharedAccount.Name:      "by others as well: " + strings.ReplaceAll(want, "flux/", "Deployment/flux/") + "; they go on",
			TwoAgentsOneObject.Name: "is applied by " + strings.NewReplacer(",", " (f:1),", " and", " (f:1) and").Replace(want),
		} {
			var of []string
			for _, f := range w.findings {
				if f.Code == code {
					of = append(of, f.Repository)
					if f.Repository == "flux/a00" && !strings.Contains(f.Message, said) {
						t.Errorf("%d: %s: %s\nwant %s", n, code, f.Message, said)
					}
					if strings.Contains(f.Message, f.Repository+",") || strings.Contains(f.Message, f.Repository+" (") {
						t.Errorf("%d: %s of %s names itself: %s", n, code, f.Repository, f.Message)
					}
				}
			}
			if len(of) != n {
				t.Errorf("%d: %s of %d", n, code, len(of))
			}
		}
	}
}

// TestTheFewWhoApplyAnObjectAreTheFirstOfAll compares with a look at all pairs.
func TestTheFewWhoApplyAnObjectAreTheFirstOfAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	cut := 0
	for range 300 {
		var agents, claims []*agent
		var places, want []string
		for i := range random.IntN(20) {
			a := &agent{Flux1Agent: migrate.Flux1Agent{ID: fmt.Sprint("a", i), Namespace: []string{"", "n"}[random.IntN(2)], Workload: []string{"", "v", "w"}[random.IntN(3)]}}
			for line := range 1 + random.IntN(15)*random.IntN(2) {
				a.Objects = append(a.Objects, migrate.Object{ID: "n_o__ConfigMap", Class: migrate.ClassApplied, File: "f", Line: line})
				claims, places = append(claims, a), append(places, fmt.Sprint("f:", line))
			}
			agents = append(agents, a)
		}
		for _, a := range claims {
			var with []string
			for j, b := range claims {
				if a != b && !b.elsewhere(a) {
					with = append(with, b.ID+" ("+places[j]+")")
				}
			}
			if len(with) > 0 {
				want = append(want, a.ID+": "+few(with))
			}
			if len(with) > maxSharers {
				cut++
			}
		}
		w := &witness{}
		w.sharedObjects(agents)
		var got []string
		for _, f := range w.findings {
			_, by, _ := strings.Cut(f.Message, " is applied by ")
			got = append(got, f.Repository+": "+strings.TrimSuffix(by, " as well"))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q\nwant %q", got, want)
		}
	}
	if cut < 1000 {
		t.Errorf("%d are cut", cut)
	}
}

// Of hundreds of Secrets with tokens of an account, each agent names some and counts the others; one that
// it uses itself is named in any case.
func TestTokensOfAnAccountAreNamedUpToABound(t *testing.T) {
	for _, c := range []struct {
		secrets int // beside that which the agent uses, the last one
		shared  bool
		want    []any // findings of tokens, of the agent's own, and how many are counted
	}{
		{maxTokens - 1, false, []any{maxTokens, 0, ""}},
		{maxTokens, false, []any{maxTokens + 1, 0, "1"}},
		{500, false, []any{maxTokens + 1, 0, "481"}},
		{maxTokens, true, []any{maxTokens, 1, ""}},
		{500, true, []any{maxTokens + 1, 1, "480"}},
	} {
		a := &agent{Flux1Agent: migrate.Flux1Agent{ID: "flux/a", Namespace: "flux", Workload: "a", ServiceAccount: "flux"}, deployment: &appsv1.Deployment{}}
		a.deployment.Spec.Template.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "last"}}}}
		users, code := []string{"Deployment/flux/a"}, TokenSecret
		if c.shared {
			users, code = append(users, "Deployment/flux/b"), TokenPasses
		}
		var tokens []tokenSecret
		for i := range c.secrets {
			tokens = append(tokens, tokenSecret{name: fmt.Sprintf("t%03d", i)})
		}
		w := &witness{}
		w.sharedAccount(a, &accountUse{users: map[string][]string{"flux/flux": users}, tokens: map[string][]tokenSecret{"flux/flux": append(tokens, tokenSecret{name: "last"})}})
		found, counted := map[string]int{}, ""
		for _, f := range w.findings {
			found[f.Code]++
			if more, _, ok := strings.Cut(f.Message, " more Secrets hold tokens"); ok {
				counted = more
			}
		}
		equal(t, fmt.Sprintf("%d, shared %v", c.secrets, c.shared), []any{found[code.Name], found[AgentUsesToken.Name], counted}, c.want)
	}
}
