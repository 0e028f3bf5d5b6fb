package discover

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// inGit is what an agent applies of others.
type inGit struct {
	agents []appliedAgent
	// installers are the objects from which something may install an agent that is not read
	// from them, or that run fluxd and are no Deployments.
	installers []installer
}

// appliedAgent is an agent that another one applies, and the object that declares it.
type appliedAgent struct {
	*declaredAgent
	of flux1.Parsed
}

// installer is an object that may install an agent, and the finding that says so.
type installer struct {
	of    *unstructured.Unstructured
	id    string
	found migrate.Finding
}

// applied finds the agents among what the agent applies of what was just loaded.
func (r *reading) applied(ctx context.Context) (inGit, error) {
	set := declaration{}
	for _, o := range r.agent.Objects {
		if applies(o) && o.Manifest != nil {
			set.objects = append(set.objects, flux1.Parsed{File: o.File, Line: o.Line, Manifest: o.Manifest, Build: o.Build})
		}
	}
	if !slices.ContainsFunc(set.objects, func(o flux1.Parsed) bool { return mayInstall(o.Manifest) }) {
		return inGit{}, nil // as with almost all
	}
	if err := r.makeIndex(ctx); err != nil {
		return inGit{}, err
	}
	c := r.search(nil)
	c.applied = set.objects
	set = set.withBeside(append(slices.Clone(set.objects), c.flux2Beside(ctx, set)...))
	its := r.rightsApplied(ctx, set.objects)
	made, of, err := c.agentsOf(ctx, set, func(declaration, flux1.Parsed, string, string) *rights { return its })
	if err != nil {
		return inGit{}, err
	}
	var out inGit
	for i, d := range made {
		out.agents = append(out.agents, appliedAgent{d, of[i]})
	}
	for _, f := range c.findings {
		if f.Code == flux1.TooLarge.Name { // of what it declares not all is looked at
			r.find(f)
		}
		_, id, _ := strings.Cut(f.Subject, " ")
		i := slices.IndexFunc(set.objects, func(o flux1.Parsed) bool { return migrate.ObjectID(o.Manifest) == id })
		if i >= 0 {
			out.installers = append(out.installers, installer{set.objects[i].Manifest, id, f})
		}
	}
	return out, nil
}

// flux2Beside are the Kustomizations and sources of Flux v2 in the repository, which may apply an agent
// of a set as well; none where it has none.
func (c *checkout) flux2Beside(ctx context.Context, set declaration) (out []flux1.Parsed) {
	if !slices.ContainsFunc(set.objects, func(o flux1.Parsed) bool {
		return isDeployment(o.Manifest) && mayInstall(o.Manifest) || isHelmRelease2(o.Manifest)
	}) ||
		!slices.ContainsFunc(c.index.files, func(name string) bool {
			return slices.Contains([]string{".yaml", ".yml"}, path.Ext(name)) && !c.inChart(name) && slices.ContainsFunc(c.objectsIn(name), func(o flux1.Parsed) bool { return isKustomization2(o.Manifest) })
		}) {
		return nil
	}
	for _, other := range c.search(nil).declarations(ctx) { // what is found about them is told where they are read
		for _, o := range other.objects {
			if isKustomization2(o.Manifest) || o.Manifest.GroupVersionKind().Group == sourceGroup {
				out = append(out, o)
			}
		}
	}
	return out
}

// gitWitness compares agents with what the repositories of others, or their own, declare of them,
// of which a stronger witness tells, and adds the origins in Git to their settings.
func (w *witness) gitWitness(agents []*agent) {
	for _, b := range agents {
		for _, d := range b.declares.agents {
			a := oneNamed(agents, d.agent)
			if a == nil || a.deployment == nil && a.Terraform == nil { // it is found in Git alone
				continue
			}
			strong := side{a.Settings, "live", migrate.Origin{Witness: "cluster", Where: a.where("")}}
			if a.deployment == nil {
				strong = side{a.Settings, "in Terraform", migrate.Origin{Witness: "terraform", Where: a.Terraform.Where}}
			}
			declared := d.Flux1Agent
			if d.deployment != nil {
				declared.Parts = podParts(d.deployment, d.env.container)
			}
			weak := side{declared.Settings, "in Git", migrate.Origin{Witness: "git", Where: fileLine(d.of.File, d.of.Line)}}
			differ := map[string]bool{}
			for _, f := range disagreements(&a.Flux1Agent, &declared, strong, weak) {
				differ[f.Subject] = true
				w.find(f)
			}
			agreed := slices.DeleteFunc(settledLive(declared.Settings), func(s migrate.Setting) bool { return differ[a.ID+" "+s.Name] })
			a.Settings = combine(a.Settings, agreed, weaker(strong))
		}
	}
}

// weaker is why a setting has no effect that the stronger of two witnesses does not have.
func weaker(strong side) string {
	if strong.origin.Witness == "cluster" {
		return notLive
	}
	return "Terraform, which declares the agent as well, does not have it"
}

// oneNamed is the agent that a manifest in Git declares; nil if there is none, or if it is not
// told which of several it is.
func oneNamed(agents []*agent, d *agent) *agent {
	var named []*agent
	for _, a := range agents {
		if a.named(d) {
			named = append(named, a)
		}
	}
	if len(named) > 1 {
		named = slices.DeleteFunc(named, func(a *agent) bool { return !a.readsAlike(d) })
	}
	if len(named) != 1 {
		return nil
	}
	return named[0]
}

// agentsInGitOnly reports the agents that the repositories of others declare and that were not found:
// the next sync may start them.
func (w *witness) agentsInGitOnly(agents []*agent) {
	for _, b := range agents {
		said := map[string]bool{}
		tell := func(in inGit, at string) {
			for _, d := range in.agents {
				if said[d.ID] || slices.ContainsFunc(agents, func(a *agent) bool { return a.named(d.agent) }) {
					continue
				}
				said[d.ID] = true
				known := "and no such agent was found"
				if !w.seesDeployments(d.Namespace) {
					known = "and whether it runs is not known, since the Deployments of its namespace were not listed"
				}
				w.find(AgentInGitOnly.About(b.ID, d.ID, fileLine(d.of.File, d.of.Line),
					fmt.Sprintf("the repository of %s declares%s agent %s (%s), which is to sync %s, %s", b.ID, at, d.ID, resourceName(d.of.Manifest), cmp.Or(flux1.DisplayURL(d.Git.URL), "a repository that is not known"), known)))
			}
			for _, i := range in.installers {
				if w.kube == nil && at == "" || i.found.Code != AgentByObject.Name {
					continue // without a cluster it is said of each; and what else runs fluxd is told of where it runs
				}
				if said[i.id] || slices.ContainsFunc(agents, func(a *agent) bool { return a.installedBy(i.of) }) {
					continue
				}
				said[i.id] = true
				w.find(AgentInGitOnly.About(b.ID, i.id, i.found.Where, i.found.Message+strings.TrimSuffix(at, ",")+", and no agent that was found is known to be of it"))
			}
		}
		tell(b.declares, "")
		tell(b.atHead, fmt.Sprintf(", at the branch's head (commit %s, not synced yet),", short(b.Synced.Head)))
	}
}

// seesDeployments reports whether all Deployments of a namespace were listed, or none was to be.
func (w *witness) seesDeployments(namespace string) bool {
	return !slices.Contains(w.unlisted, "") && !slices.Contains(w.unlisted, namespace) &&
		(len(w.opts.Namespaces) == 0 || slices.Contains(w.opts.Namespaces, namespace))
}

// installedBy reports whether an agent may be what an object of another installer makes: it bears
// the installer's note of it, or a name that the object gives its release.
func (a *agent) installedBy(u *unstructured.Unstructured) bool {
	if a.deployment != nil {
		manager, _, _ := managerOf(a.deployment.ObjectMeta)
		if strings.HasSuffix(manager, " "+u.GetNamespace()+"/"+u.GetName()+",") || strings.HasSuffix(manager, " "+u.GetName()+",") {
			return true
		}
	}
	release, _ := releaseOfHelmRelease(u)
	target, _, _ := unstructured.NestedString(u.Object, "spec", "targetNamespace")
	for _, name := range []string{release, u.GetName(), target + "-" + u.GetName()} {
		if name == a.Release || name == a.Workload {
			return true
		}
	}
	return false
}
