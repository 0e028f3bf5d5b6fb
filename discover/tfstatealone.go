package discover

import (
	"cmp"
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/discover/terraform"
)

// stateAlone finds the agents of a state whose configuration is not at hand:
// what was applied last is what is known of them.
func stateAlone(ctx context.Context, s stateFile) (*configuration, error) {
	c := &configuration{result: &terraform.Result{}, alone: s.state}
	for _, d := range s.state.Diagnostics {
		c.find(TerraformProblem.About("", s.name, s.name, d.Summary+": "+d.Detail))
	}
	held := map[string]*terraform.StateResource{}
	for _, r := range s.state.Resources {
		if r.Deposed {
			continue
		}
		held[r.Address] = r
		if o := r.Object; o != nil && o.Hidden && o.Kind == "Deployment" && (runsFluxd(o) || speaksOfFlux(r.Address, o.Name) && !speaksOfOperator(r.Address, o.Name)) {
			c.find(TerraformStateHidden.About("", r.Address, s.name, fmt.Sprintf("%s is Deployment %s/%s, and the state marks as sensitive what it runs", r.Address, cmp.Or(o.Namespace, metav1.NamespaceDefault), o.Name)))
		}
	}
	for _, h := range s.state.HelmReleases(s.name) {
		c.release(h, nil)
	}
	for _, w := range s.state.Workloads(s.name) {
		c.workload(w)
	}
	for _, d := range c.agents {
		d.Terraform.State = true
		if held[d.Terraform.Address].Tainted {
			d.find(TerraformTainted.Finding("", s.name, d.Terraform.Address+" is tainted in the state"))
		}
	}
	told := ""
	switch {
	case s.state.Version == "plan" && len(s.state.Resources) == 0:
		told = "; it is a plan before which nothing is applied, and what it would make is not read"
	case s.state.Version == "show" || s.state.Version == "plan":
		told = `; "terraform show -json" does not print through which provider configuration each is managed, so agents of several clusters cannot be told apart`
	}
	c.find(TerraformStateAlone.About("", s.name, s.name, fmt.Sprintf("the state %s was read without a configuration%s", s.name, told)))
	return c, ctx.Err()
}
