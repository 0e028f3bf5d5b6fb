package discover

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// combine puts the settings that a weaker witness read beside those of a
// stronger one, so that none disappears: the same flag gets the weaker
// witness's origins, and what only the weaker one has stands for itself.
func combine(strong, weak []migrate.Setting, why string) []migrate.Setting {
	out := slices.Clone(strong)
	for _, s := range weak {
		flag := strings.HasPrefix(s.Name, "--")
		if s.Fate == migrate.Blocks || undecided(s) && !strings.HasSuffix(s.Name, preventDestroy) && !strings.HasPrefix(s.Name, "serviceAccount.annotations.") {
			// What blocks, or is to be decided, is judged by what runs; of the account's
			// annotations the known ones alone are.
			s.Fate, s.To, s.Why = migrate.Dropped, "", "what runs counts, and is judged by itself; of the value alone: "+s.Why
		}
		i := slices.IndexFunc(out, func(o migrate.Setting) bool { return o.Name == s.Name })
		switch {
		case i < 0 && flag:
			s.Fate, s.To, s.Why = migrate.Dropped, "", why
			out = append(out, s)
		case i < 0:
			out = append(out, s)
		case flag || out[i].Value == s.Value && out[i].Fate == s.Fate && (!s.Hidden() || sameHidden(out[i], s)):
			out[i].From = slices.Clone(out[i].From)
			for _, o := range s.From {
				if !slices.Contains(out[i].From, o) {
					out[i].From = append(out[i].From, o)
				}
			}
		default:
			// A chart value that two sources give differently: both stay.
			out = append(out, s)
		}
	}
	return out
}

// sameInstallation reports whether a live agent is of the release or the Deployment
// that another is declared as.
func sameInstallation(live, declared *migrate.Flux1Agent) bool {
	return declared.Namespace != "" && declared.Namespace == live.Namespace &&
		(declared.Release != "" && declared.Release == live.Release || declared.Release == "" && declared.Workload == live.Workload)
}

// sameHidden reports whether two values that are not shown are known to be one.
func sameHidden(a, b migrate.Setting) bool {
	one, known := a.Compared()
	other, alsoKnown := b.Compared()
	return known && alsoKnown && one == other
}

// Merge puts together what the cluster and what Terraform say. An agent is the
// same in both if its namespace and release, or namespace and Deployment, are.
// Where both know a setting, the live arguments count; each setting in which
// they differ is a finding that names both places. Agents of only one of them
// are findings too; those that Terraform alone declares are not in the result,
// since there is nothing to hand over. Neither Inventory is changed.
func Merge(cluster, terraform migrate.Inventory) migrate.Inventory {
	out := cluster
	out.Agents = slices.Clone(cluster.Agents)
	out.Findings = slices.Clone(cluster.Findings)
	find := func(findings ...migrate.Finding) { out.Findings = append(out.Findings, findings...) }
	taken := map[string]bool{}
	for i := range out.Agents {
		a := &out.Agents[i]
		j := slices.IndexFunc(terraform.Agents, func(t migrate.Flux1Agent) bool { return sameInstallation(a, &t) })
		if j < 0 {
			j = slices.IndexFunc(terraform.Agents, func(t migrate.Flux1Agent) bool {
				return t.Namespace != "" && t.ID == a.ID && !slices.ContainsFunc(cluster.Agents, func(o migrate.Flux1Agent) bool { return sameInstallation(&o, &t) })
			})
		}
		if j < 0 {
			if k := slices.IndexFunc(terraform.StateOnly, func(s migrate.StateOnly) bool { return s.ID == a.ID }); k >= 0 {
				p := terraform.StateOnly[k].Place
				a.Terraform = &p
				find(LiveStateOnly.Finding(a.ID, p.Where, fmt.Sprintf("%s runs, the state holds it as %s, and no given configuration declares it", a.ID, p.Address)))
				continue
			}
			find(LiveNotDeclared.Finding(a.ID, "Deployment/"+a.Namespace+"/"+a.Workload, a.ID+" runs, and no given Terraform declares it"))
			continue
		}
		t := &terraform.Agents[j]
		taken[t.ID] = true
		a.Terraform = t.Terraform
		if a.InstalledBy == "manifest" {
			a.InstalledBy = "terraform"
		}
		for _, f := range disagreements(a, t,
			side{a.Settings, "live", migrate.Origin{Witness: "cluster", Where: "Deployment/" + a.Namespace + "/" + a.Workload}},
			side{t.Settings, "in Terraform", migrate.Origin{Witness: "terraform", Where: t.Terraform.Where}}) {
			out.Findings = withDisagreement(out.Findings, f)
		}
		a.Settings = combine(a.Settings, settledLive(t.Settings), notLive)
	}
	unsure := map[string]bool{} // agents of which Terraform does not know whether they are
	for _, f := range terraform.Findings {
		unsure[f.Repository] = unsure[f.Repository] || f.Repository != "" && f.Code == TerraformUncertain.Name
	}
	for i := range terraform.Agents {
		t := &terraform.Agents[i]
		if !taken[t.ID] {
			place, what := "", "is declared"
			if t.Terraform != nil {
				place = t.Terraform.Where
				switch {
				case t.Terraform.Dir == "":
					what = "is in the state as " + t.Terraform.Address
				case t.Terraform.State:
					what = "is declared and in the state as " + t.Terraform.Address
				}
			}
			f := DeclaredNotLive.About("", t.ID, place, fmt.Sprintf("%s %s, and the cluster has no such agent", t.ID, what))
			if unsure[t.ID] {
				f.Message += ", so it is of another cluster or none"
				f.Severity = migrate.Info
			}
			find(f)
		}
	}
	for _, f := range terraform.Findings {
		switch {
		case f.Code == TerraformStateOnly.Name && slices.ContainsFunc(out.Findings, func(o migrate.Finding) bool {
			return o.Code == LiveStateOnly.Name && o.Where == f.Where && strings.Contains(o.Message, " as "+f.Subject+",")
		}):
			// said of the live agent
		case f.Code == TerraformStatesTogether.Name && !seemOfSeveral(terraform.Agents, taken, unsure):
			// the cluster has all of them, or those of one state alone
		case f.Repository == "":
			find(f)
		case !taken[f.Repository]: // of an agent that is not here
		case fromValues(f):
			// What Terraform could not tell of this agent, the cluster does.
			f.Severity, f.Acceptable = migrate.Info, false
			find(f)
		case f.Code == TerraformNamespace.Name || f.Code == TerraformObjects.Name || f.Code == TerraformLocalChart.Name || f.Code == TerraformNotApplied.Name || f.Code == TerraformNotInState.Name || f.Code == TerraformTainted.Name || f.Code == TerraformTwice.Name:
			find(f)
		}
	}
	sayUndecided(&out)
	return out
}

// disagreements are what two witnesses say otherwise of one agent, each a finding with the
// places of both.
func disagreements(a, b *migrate.Flux1Agent, one, other side) []migrate.Finding {
	var out []migrate.Finding
	find := func(name, where, says string) {
		out = append(out, WitnessesDisagree.About(a.ID, name, where, fmt.Sprintf("%s of %s is %s", name, a.ID, says)))
	}
	for _, x := range differences(one, other) {
		find(x.name, x.where, x.says)
	}
	places := origins([]migrate.Origin{one.origin}, []migrate.Origin{other.origin})
	for _, x := range []struct{ name, one, other string }{
		{"chartVersion", a.ChartVersion, b.ChartVersion},
		{"serviceAccount", a.ServiceAccount, b.ServiceAccount},
		{"workload", a.Workload, b.Workload},
		{"defaultNamespace", a.DefaultNamespace, b.DefaultNamespace},
		{"image", a.Image, b.Image},
		{"confinement", confinementText(a.Confinement), confinementText(b.Confinement)},
	} {
		if x.name == "confinement" && x.one == "custom" && x.other == "none" {
			continue // what only looks around is none to the chart
		}
		if x.one != "" && x.other != "" && x.one != x.other && !slices.Contains(a.Unknown, x.name) && !slices.Contains(b.Unknown, x.name) {
			find(x.name, places, fmt.Sprintf("%s %s, and %s %s", x.one, one.says, x.other, other.says))
		}
	}
	for _, x := range partDifferences(a.Parts, b.Parts) {
		find(x.name, places, x.says(one.says, other.says))
	}
	return out
}

// withDisagreement adds a disagreement to findings: what a third witness says goes into the one
// finding that there is about the same.
func withDisagreement(findings []migrate.Finding, f migrate.Finding) []migrate.Finding {
	i := slices.IndexFunc(findings, func(o migrate.Finding) bool {
		return o.Code == f.Code && o.Repository == f.Repository && o.Subject == f.Subject
	})
	if i < 0 {
		return append(findings, f)
	}
	_, says, _ := strings.Cut(f.Message, " is ")
	findings[i].Message += "; " + says
	for _, place := range strings.Split(f.Where, "; ") {
		if !slices.Contains(strings.Split(findings[i].Where, "; "), place) {
			findings[i].Where += "; " + place
		}
	}
	return findings
}

// settledLive are settings that Terraform tells of an agent that runs: what it does not
// know of the fields of a Deployment, or of what a post-renderer made of them, is what the
// live one says, which is looked at by itself.
func settledLive(settings []migrate.Setting) []migrate.Setting {
	out := slices.Clone(settings)
	for i := range out {
		if s := &out[i]; s.Fate == migrate.Unknown && (strings.HasPrefix(s.Name, "spec.") || s.Name == "helm_release.postrender") {
			s.Fate, s.To, s.Why = migrate.Dropped, "", "what runs counts, and is looked at by itself; of the configuration alone: "+s.Why
		}
	}
	return out
}

// confinementText says what an account may do; empty if that is not known.
func confinementText(c migrate.Confinement) string {
	if len(c.Namespaces) > 0 {
		return c.Kind + " (" + strings.Join(c.Namespaces, ", ") + ")"
	}
	return c.Kind
}

// seemOfSeveral reports whether the states that some agents are of may be of
// several clusters: the cluster at hand has agents of more than one of them,
// and others it has not. Those that may be none do not count.
func seemOfSeveral(agents []migrate.Flux1Agent, taken, unsure map[string]bool) bool {
	missing, states := false, map[string]bool{}
	for _, a := range agents {
		switch {
		case taken[a.ID] && a.Terraform != nil:
			states[a.Terraform.Where] = true
		case !unsure[a.ID]:
			missing = true
		}
	}
	return missing && len(states) > 1
}

// fromValues reports a finding about chart values or names as they are
// declared, which says nothing of how the agent runs.
func fromValues(f migrate.Finding) bool {
	return f.Code == TerraformName.Name || slices.ContainsFunc(chart.Codes(), func(c flux1.Code) bool { return c.Name == f.Code })
}
