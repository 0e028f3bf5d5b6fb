package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// In fluxcd/multi-tenancy the cluster's agent makes the team's namespace, its
// account with its rights, and its agent; the team's agent reads a repository of
// its own, and may act in that namespace alone.
func TestATenantComesAfterWhoMakesItsNamespaceAndGainsNothing(t *testing.T) {
	inv := readReal(t, "multi-tenancy")
	inv, err := Repositories(t.Context(), inv, []Folder{{URL: "git@github.com:org/dev-team1", Dir: "testdata/real/fluxcd__multi-tenancy-team1"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	team := agentNamed(t, inv, "team1/flux")
	if team.Counts.Objects == 0 {
		t.Fatalf("nothing of the team's repository was read: %v", inv.Findings)
	}
	plan := migrate.Build(inv, migrate.Options{})
	r := plan.Repository("team1/flux")
	if want := (migrate.Dependency{Name: "flux-system/flux", Why: "it defines Namespace team1"}); !slices.Contains(r.After, want) {
		t.Errorf("it comes after %+v, want %+v", r.After, want)
	}
	if first := plan.Repository("flux-system/flux"); len(first.After) > 0 {
		t.Errorf("the cluster's repository comes after %+v", first.After)
	}
	// Its objects are its own: the cluster's Kustomizations hold none of them,
	// and its Kustomization acts as its own account.
	own := map[string]bool{}
	for _, o := range r.Objects {
		own[o.ID] = true
		if !strings.HasPrefix(o.ID, "team1_") {
			t.Errorf("%s lies outside of the team's namespace", o.ID)
		}
	}
	for _, o := range plan.Repository("flux-system/flux").Objects {
		if own[o.ID] {
			t.Errorf("%s is of both", o.ID)
		}
	}
	accounts := map[string]string{}
	for _, repo := range plan.Repositories {
		for _, k := range repo.Kustomizations {
			spec := k.Object["spec"].(map[string]any)
			account, _ := spec["serviceAccountName"].(string)
			if other := accounts[account]; account == "" || other != "" && other != repo.ID {
				t.Errorf("%s of %s acts as %q, which is %s's", k.GetName(), repo.ID, account, other)
			}
			accounts[account] = repo.ID
		}
	}
	// With the facts that only a cluster knows, the team's is in a later wave.
	for i := range inv.Agents {
		a := &inv.Agents[i]
		a.Unknown, a.Synced.Commit, a.Confinement.Kind = nil, strings.Repeat("c", 40), "namespaces"
		a.Credential = migrate.AgentCredential{Kind: "none"}
	}
	inv.Findings = nil
	plan = migrate.Build(inv, migrate.Options{})
	cluster, tenant := plan.Repository("flux-system/flux"), plan.Repository("team1/flux")
	if cluster.Blocked || tenant.Blocked || cluster.Wave >= tenant.Wave {
		t.Errorf("the cluster's is in wave %d (held back: %t), the team's in wave %d (held back: %t): %v", cluster.Wave, cluster.Blocked, tenant.Wave, tenant.Blocked, plan.Findings)
	}
	if !slices.Contains(plan.ClusterAgent.Args, "--no-cross-namespace-refs=true") {
		t.Errorf("the ClusterAgent runs with %q", plan.ClusterAgent.Args)
	}
}
