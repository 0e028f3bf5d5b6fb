package discover

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// stateAlone finds the agents of a state whose configuration is not at hand:
// what was applied last is what is known of them. grants are the roles and bindings of
// all that is read; nil for those of this state.
func stateAlone(ctx context.Context, s stateFile, grants *grantIndex) (*configuration, error) {
	c := &configuration{result: &terraform.Result{}, alone: &s, grants: grants}
	for _, d := range s.state.Diagnostics {
		c.find(TerraformProblem.About("", s.name, s.name, d.Summary+": "+d.Detail))
	}
	// No two of a state should have one address, but a file may say so.
	tainted := map[string]bool{}
	for _, r := range s.state.Resources {
		tainted[r.Address] = tainted[r.Address] || r.Tainted && !r.Deposed
	}
	if err := c.hidden(ctx, s); err != nil {
		return nil, err
	}
	for _, a := range stateAgents(s.state) {
		if a.Deposed {
			c.find(TerraformStateOnly.About("", a.Address, s.name, fmt.Sprintf("%s (%s) %s", a.Address, a.what, deposed)))
		}
	}
	for _, h := range s.state.HelmReleases(s.name) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r := h.State.Release
		if r.Chart == "" || stateChart(r) != "" {
			c.release(ctx, h, nil)
			continue
		}
		why := formerChart(r.Chart)
		if why == "" && givesGitURL(h.Values) && chartKind(r.Chart, "") == "" {
			why = givenGitURL
		}
		if chartKind(r.Chart, "") == "" {
			why = cmp.Or(why, givenPart(h.Values))
		}
		if why != "" {
			c.chartOfFluxd(h, r.Chart, why)
		}
	}
	for _, w := range s.state.Workloads(s.name) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.workload(ctx, w)
	}
	c.objectsOfPods(ctx)
	c.countMemcacheds()
	c.saysUnclear()
	for _, d := range c.agents {
		d.Terraform.State = true
		if tainted[d.Terraform.Address] {
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
	var scripts []string
	for _, r := range s.state.Resources {
		if r.Mode == "managed" && !r.Deposed && slices.Contains(scriptTypes, r.Type) {
			scripts = append(scripts, r.Address)
		}
	}
	if slices.Sort(scripts); len(scripts) > 0 {
		scripts = slices.Compact(scripts)
		told += "; which scripts these run is not read from it: " + listed(scripts, len(scripts), maxHidden)
	}
	c.find(TerraformStateAlone.About("", s.name, s.name, fmt.Sprintf("the state %s was read without a configuration%s", s.name, told)))
	return c, ctx.Err()
}

// scriptTypes are the resources that are made to run scripts.
var scriptTypes = []string{"null_resource", "terraform_data", "shell_script", "shell_sensitive_script", "local_command", "ansible_playbook"}

// maxHidden bounds how many workloads a finding names.
const maxHidden = 20

// hidden tells the workloads of which the state marks as sensitive what they
// run: those that are named for Flux one by one, and all others together.
func (c *configuration) hidden(ctx context.Context, s stateFile) error {
	var others []string
	for _, r := range s.state.Resources {
		if err := ctx.Err(); err != nil {
			return err
		}
		o := r.Object
		if o == nil || !o.Hidden || o.Kind != "" && !slices.Contains(workloadKinds, o.Kind) {
			continue
		}
		what := fmt.Sprintf("%s is %s %s/%s", r.Address, cmp.Or(o.Kind, "a manifest"), cmp.Or(o.Namespace, metav1.NamespaceDefault), o.Name)
		if r.Deposed {
			what += " (deposed, to be destroyed by the next apply)"
		}
		switch fluxNamed := speaksOfFlux(r.Address, o.Name) && !speaksOfOperator(r.Address, o.Name); {
		case o.Kind == "Deployment" && runsFluxd(o) || fluxNamed:
			c.find(TerraformStateHidden.About("", r.Address, s.name, what+", and the state marks as sensitive what it runs"))
		default:
			others = append(others, r.Address)
		}
	}
	slices.Sort(others)
	others = slices.Compact(others)
	if len(others) > 0 {
		c.find(TerraformStateHidden.About("", s.name, s.name, "the state marks as sensitive what these run, of which none is named as a Flux v1 agent is: "+listed(others, len(others), maxHidden)))
	}
	return nil
}

// statesTogether says that the agents of several states were taken to be of one
// cluster, where nobody has said so: a state does not tell to which cluster its
// provider configurations lead. Beside a cluster, [Merge] takes it back where
// the cluster tells.
func statesTogether(taken []*declared, o TerraformOptions, find func(...migrate.Finding)) {
	if len(o.Dirs) > 0 || o.Provider != "" {
		return
	}
	var files, words []string
	for _, d := range taken {
		e := end{cluster: d.cluster}
		files = append(files, d.Terraform.Where)
		if e.isDefault() {
			words = append(words, "default")
		} else {
			words = append(words, e.key())
		}
	}
	slices.Sort(files)
	slices.Sort(words)
	files, words = slices.Compact(files), slices.Compact(words)
	if len(files) < 2 {
		return
	}
	text := "the agents of " + strings.Join(files, ", ") + " were taken to be of one cluster"
	if len(words) == 1 {
		text += "; --terraform-provider " + words[0] + " says that they are"
	}
	find(TerraformStatesTogether.About("", strings.Join(files, ", "), files[0], text))
}
