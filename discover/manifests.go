package discover

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	sigsyaml "sigs.k8s.io/yaml"
)

// declaration is a set of objects that go into a cluster together: one
// kustomization folder as it is built, or all manifests that no kustomization
// file names.
type declaration struct {
	// dir is the kustomization folder, empty for plain manifests.
	dir     string
	objects []flux1.Parsed
	// unbuilt is true of a folder that cannot be built: objects are those of its own
	// files, as they stand.
	unbuilt bool
	// beside are its objects, the ConfigMaps and sources of charts of others that are the
	// only ones of their names, and all Kustomizations of Flux v2.
	beside []flux1.Parsed
	// by are the Kustomizations of Flux v2 among these.
	by *kustomizations2
}

// configMapsBeside tells what stands beside the objects of a set: of several ConfigMaps, or sources of charts, of
// one name, such as those of overlays for several clusters, each goes with its own set alone. Of
// Kustomizations of Flux v2 any may apply what a set is made of.
func (c *checkout) configMapsBeside(sets []declaration) func(declaration) []flux1.Parsed {
	all := map[string][]flux1.Parsed{}
	isMap := func(o flux1.Parsed) bool {
		gvk := o.Manifest.GroupVersionKind()
		return gvk.Group == "" && gvk.Kind == "ConfigMap" || gvk.Group == sourceGroup || isKustomization2(o.Manifest)
	}
	for _, set := range sets {
		for _, o := range set.objects {
			if isMap(o) {
				all[identity(o.Manifest)] = append(all[identity(o.Manifest)], o)
			}
		}
	}
	names := sortedNames(all)
	return func(set declaration) []flux1.Parsed {
		if !c.look((len(set.objects) + len(names)) / 10) {
			return nil
		}
		out := slices.Clone(set.objects) // which come first
		for _, of := range names {
			if len(all[of]) == 1 || isKustomization2(all[of][0].Manifest) {
				out = append(out, all[of]...)
			}
		}
		return out
	}
}

// declared finds the agents that the repository's own manifests declare:
// Deployments of fluxd, effective after the overlays over them, and HelmRelease
// objects of the flux chart.
func (c *checkout) declared(ctx context.Context) error {
	sets := c.declarations(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	rights := c.rightsOf(ctx, sets)
	taken := map[string]string{} // id → folder
	first := map[string]*declaredAgent{}
	for _, k := range append(slices.Clone(c.known), c.agent) {
		first[k.ID], taken[k.ID] = &declaredAgent{agent: k}, elsewhere
	}
	applied := map[string]bool{}
	for _, o := range c.applied {
		applied[identity(o.Manifest)] = true
	}
	beside := c.configMapsBeside(sets)
	for _, set := range sets {
		set = set.withBeside(beside(set))
		made, of, err := c.agentsOf(ctx, set, rights)
		if err != nil {
			return err
		}
		for i, a := range made {
			o := of[i]
			if c.told(set, o) || slices.ContainsFunc(c.known, func(k *agent) bool { return k.ofManifest(a.agent) }) {
				continue
			}
			if k := slices.IndexFunc(c.known, func(k *agent) bool { return k.named(a.agent) && k.readsAlike(a.agent) }); k >= 0 {
				c.find(a.ofFlux2(c.known[k].ID)...)
				continue
			}
			if dir, ok := taken[a.ID]; ok {
				if dir == set.dir && dir != "" && !set.unbuilt || sameDeclaration(first[a.ID].Flux1Agent, a.Flux1Agent) {
					continue // the same one twice, which Load reports; or as it is rendered, and of what
				}
				// Overlays, or files, of several clusters declare one of the same name.
				where := cmp.Or(set.dir, "manifests")
				if dir == set.dir {
					where = o.File
				}
				a.apart(where, func(id string) bool { return first[id] != nil })
			}
			taken[a.ID], first[a.ID] = set.dir, a
			c.find(a.found...)
			if set.unbuilt {
				c.find(flux1.KustomizeFails.Finding(a.ID, fileLine(o.File, o.Line), fmt.Sprintf("folder %s, which declares this agent, cannot be built: what it would make of it is not known", set.dir)))
			}
			a.InstalledBy = "manifest"
			if applied[identity(o.Manifest)] {
				a.InstalledBy = "flux1"
				if !isHelmRelease2(o.Manifest) { // which has a finding of its own
					c.find(AgentInGit.Finding(a.ID, fileLine(o.File, o.Line), fmt.Sprintf("the repository of %s holds this agent's own %s", c.agent.ID, o.Manifest.GetKind())))
				}
			}
			c.nested = append(c.nested, a.agent)
		}
	}
	c.nameOthers()
	return nil
}

var (
	// helmfile is what files of Helmfile are called, and ofFluxChart what one says of a release.
	helmfile    = regexp.MustCompile(`(^|/)(helmfile\.d/[^/]*|helmfile[^/]*)\.ya?ml(\.gotmpl)?$`)
	ofFluxChart = regexp.MustCompile(`(?m)\bchart:\s*["']?([\w:./-]*/flux)["']?\s*(?:[,}#].*)?$`)
	// comment is how one begins in a line of YAML or Jsonnet.
	comment = regexp.MustCompile(`(?:^|\s)(?:#|//|/\*)`)
	// fluxdInText is what makes a template or a program look as if it declared fluxd.
	fluxdInText = regexp.MustCompile(`--git-url\b|\b(?:fluxcd|weaveworks)/flux:`)
)

// nameOthers names what may install an agent that is none of an object of the repository:
// releases of Helmfile, programs of Jsonnet, charts that hold fluxd or have the flux chart as
// a part, and those that Kustomize is to render.
func (c *checkout) nameOthers() {
	name := func(file string, line int, format string, args ...any) {
		c.find(AgentByObject.Finding(c.agent.ID, fileLine(file, line), fmt.Sprintf(format, args...)))
	}
	each := func(file string, of *regexp.Regexp, visit func(found string, line int)) {
		content, err := c.contentOf(file)
		if err != nil {
			return
		}
		for _, at := range of.FindAllSubmatchIndex(content, -1) {
			begin, end := at[len(at)-2], at[len(at)-1]
			line := content[bytes.LastIndexByte(content[:begin], '\n')+1 : begin]
			if !comment.Match(line) {
				visit(string(content[begin:end]), 1+bytes.Count(content[:begin], []byte("\n")))
			}
		}
	}
	ofText := func(file string, of *regexp.Regexp) (found string, line int) {
		each(file, of, func(text string, n int) {
			if line == 0 { // the first one
				found, line = text, n
			}
		})
		return found, line
	}
	dependency := func(file string) {
		content, err := c.contentOf(file)
		var doc struct {
			Dependencies []struct{ Name, Repository, Version string }
		}
		if err != nil || sigsyaml.Unmarshal(content, &doc) != nil {
			return
		}
		for _, d := range doc.Dependencies {
			if chartKind(d.Name, d.Repository) == "flux" {
				name(file, 0, "chart %s has the flux chart as a part (%s)", path.Dir(file), strings.TrimSpace(d.Name+" "+d.Version))
			}
		}
	}
	inCharts := map[string]bool{}
	for _, file := range c.index.files {
		base, ext := path.Base(file), path.Ext(file)
		switch {
		case helmfile.MatchString(file):
			each(file, ofFluxChart, func(chart string, line int) {
				if chartKind(chart, "") == "flux" {
					name(file, line, "%s names a release of chart %s, which Helmfile installs", file, chart)
				}
			})
		case ext == ".jsonnet" || ext == ".libsonnet":
			if text, line := ofText(file, fluxdInText); text != "" {
				name(file, line, "%s holds what looks like fluxd (%s), in Jsonnet, which is not evaluated", file, strings.TrimSuffix(text, ":"))
			}
		case base == "Chart.yaml" || base == "requirements.yaml":
			dependency(file)
		case !c.inChart(file):
		case archiveVersion(base) != "":
			name(file, 0, "%s is the packed flux chart", file)
		case strings.Contains(file, "/templates/") && !inCharts[path.Dir(file)]:
			if text, line := ofText(file, fluxdInText); text != "" {
				inCharts[path.Dir(file)] = true // once
				name(file, line, "a template of a chart holds what looks like fluxd (%s)", strings.TrimSuffix(text, ":"))
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(c.index.folders)) {
		o := c.index.folders[dir]
		var doc struct {
			HelmCharts []struct{ Name, Repo, Version string }
		}
		if !o.generates || sigsyaml.Unmarshal(o.content, &doc) != nil {
			continue
		}
		for _, h := range doc.HelmCharts {
			if chartKind(h.Name, h.Repo) == "flux" {
				name(o.file, lineWith(o.content, "helmCharts:"), "%s has Kustomize render the flux chart (%s)", o.file, strings.TrimSpace(h.Name+" "+h.Version))
			}
		}
	}
}

// mayInstall says whether an object can declare an agent at all.
func mayInstall(u *unstructured.Unstructured) bool {
	if isDeployment(u) {
		if d, ok := typed[appsv1.Deployment](u); ok && fluxd(d) != nil || !ok && holds(u.Object, "${") { // in the place of numbers
			return true
		}
	}
	return isHelmRelease1(u) || isInstaller(u) || operatorOf(u) != nil || fluxdElsewhere(u) != nil || runsInstaller(u) != "" || holdsInstaller(u) != ""
}

// declaresAgent says whether an object by itself is an agent's: a Deployment of fluxd, or a
// HelmRelease of the flux chart for a helm-operator.
func declaresAgent(u *unstructured.Unstructured) bool {
	return mayInstall(u) && (!isInstaller(u) || fluxdElsewhere(u) != nil) && (!isHelmRelease1(u) || fluxChart(u)) && holdsInstaller(u) == ""
}

func isDeployment(u *unstructured.Unstructured) bool {
	group := u.GroupVersionKind().Group
	return u.GetKind() == "Deployment" && (group == "apps" || group == "extensions")
}

// fluxdElsewhere is the container of fluxd of an object of another kind than a Deployment
// that has, or makes, pods; nil if it has none.
func fluxdElsewhere(u *unstructured.Unstructured) *corev1.Container {
	if isDeployment(u) {
		return nil
	}
	template := templateOf(u)
	if template == nil {
		return nil
	}
	return fluxdIn(u.GetLabels(), template)
}

// templateOf is the pod that an object is, or makes; nil if it has none.
func templateOf(u *unstructured.Unstructured) *corev1.PodTemplateSpec {
	pod := u.Object
	for _, field := range terraform.PodOf(u.GetKind()) {
		pod, _ = pod[field].(map[string]any)
	}
	if spec, _ := pod["spec"].(map[string]any); spec["containers"] == nil {
		return nil
	}
	template, ok := typed[corev1.PodTemplateSpec](&unstructured.Unstructured{Object: pod})
	if !ok {
		return nil
	}
	return template
}

// runsInstaller says what of Flux v1 the pods of an object install by their commands; empty if nothing.
func runsInstaller(u *unstructured.Unstructured) string {
	template := templateOf(u)
	if template == nil {
		return ""
	}
	for _, c := range slices.Concat(template.Spec.InitContainers, template.Spec.Containers) {
		if what := terraform.TextSpeaks(strings.Join(slices.Concat(c.Command, c.Args), " ")); what != "" {
			return what
		}
	}
	return ""
}

// operators are what runs a fluxd for an object of a kind that names a repository: eksctl, whose
// later gitops.flux is of Flux v2 (eksctl: ClusterConfig, git.repo), the flux-operator
// (github.com/justinbarrick/flux-operator), and Azure Arc, whose FluxConfiguration is of Flux v2.
var operators = []fluxdOperator{
	{"eksctl", "eksctl.io", "ClusterConfig", []string{"git", "repo", "url"}},
	{"the flux-operator", "flux.codesink.net", "Flux", []string{"spec", "gitUrl"}},
	{"Azure Arc", "clusterconfig.azure.com", "GitConfig", []string{"spec", "giturl"}},
}

type fluxdOperator struct {
	name, group, kind string
	url               []string // where an object names its repository
}

// operatorOf is what runs a fluxd for an object; nil if nothing does.
func operatorOf(u *unstructured.Unstructured) *fluxdOperator {
	for i, o := range operators {
		url, _, _ := unstructured.NestedString(u.Object, o.url...)
		if url != "" && u.GetKind() == o.kind && u.GroupVersionKind().Group == o.group {
			return &operators[i]
		}
	}
	return nil
}

// holdsInstaller says what an object holds from which something may install an agent: a text with
// "fluxctl install" in a ConfigMap, or what looks like fluxd in a Template of OpenShift, whose
// parameters are not filled in. It is empty of another.
func holdsInstaller(u *unstructured.Unstructured) string {
	switch group := u.GroupVersionKind().Group; {
	case u.GetKind() == "ConfigMap" && group == "":
		texts, _ := u.Object["data"].(map[string]any)
		for _, name := range sortedNames(texts) {
			if text, _ := texts[name].(string); strings.Contains(text, "fluxctl") && terraform.TextSpeaks(text) == "fluxctl install" {
				return name + ", which speaks of fluxctl install"
			}
		}
	case u.GetKind() == "Template" && (group == "template.openshift.io" || group == ""):
		objects, err := json.Marshal(u.Object["objects"])
		if text := fluxdInText.FindString(string(objects)); err == nil && text != "" {
			return "what looks like fluxd (" + strings.TrimSuffix(text, ":") + ")"
		}
	}
	return ""
}

// agentOf is the agent that an object declares; nil if it declares none. What else may
// install one is reported.
func (c *checkout) agentOf(ctx context.Context, set declaration, o flux1.Parsed, rights rightsFor) (*declaredAgent, error) {
	operator, holds := operatorOf(o.Manifest), holdsInstaller(o.Manifest)
	switch {
	case isDeployment(o.Manifest):
		if a, err := c.fromDeployment(ctx, set, o, rights); a != nil || err != nil {
			return a, err
		}
	case isHelmRelease1(o.Manifest):
		if a := c.fromHelmRelease(ctx, set, o, rights); a != nil {
			return a, nil
		}
		if spec, _ := o.Manifest.Object["spec"].(map[string]any); spec["chart"] != nil { // or it is a patch of one
			c.installer(o)
		}
	case isHelmRelease2(o.Manifest):
		if a := c.fromHelmRelease2(ctx, set, o, rights); a != nil {
			return a, nil
		}
	case isInstaller(o.Manifest):
		c.installer(o)
	case operator != nil:
		url, _, _ := unstructured.NestedString(o.Manifest.Object, operator.url...)
		c.find(AgentByObject.About(c.agent.ID, migrate.ObjectID(o.Manifest), fileLine(o.File, o.Line), fmt.Sprintf("%s has %s install a fluxd that syncs %s", resourceName(o.Manifest), operator.name, flux1.DisplayURL(url))))
	case holds != "":
		c.find(AgentByObject.About(c.agent.ID, migrate.ObjectID(o.Manifest), fileLine(o.File, o.Line), fmt.Sprintf("%s holds %s", resourceName(o.Manifest), holds)))
	}
	if container := fluxdElsewhere(o.Manifest); container != nil {
		runs, more := seenToRun(container)
		c.find(FluxdElsewhere.About(c.agent.ID, migrate.ObjectID(o.Manifest), fileLine(o.File, o.Line), fmt.Sprintf("%s %s fluxd (image %s)%s", resourceName(o.Manifest), runs, flux1.DisplayURL(container.Image), more)))
	} else if what := runsInstaller(o.Manifest); what != "" {
		c.find(AgentByObject.About(c.agent.ID, migrate.ObjectID(o.Manifest), fileLine(o.File, o.Line), fmt.Sprintf("%s runs a command that speaks of %s", resourceName(o.Manifest), what)))
	}
	return nil, nil
}

// maxDeclared is how many agents of one repository are read: for each the others, and what binds its
// account, are looked at.
const maxDeclared = 1_000

// tooManyLooks tells that from an object on agents are not looked at, once.
func (c *checkout) tooManyLooks(o flux1.Parsed) {
	if c.index.toldOfLooks {
		return
	}
	c.index.toldOfLooks = true
	f := flux1.TooLarge.Finding(c.agent.ID, fileLine(o.File, o.Line), fmt.Sprintf("what the repository declares is too much to be held against each other, of what binds accounts, of charts and of Kustomizations of Flux v2 (more than %d looks): what is declared there, and in what is read after it, is not looked at", maxLooks))
	f.Hint = notOfOne
	c.find(f)
}

// notOfOne is the remedy where not all of a repository is looked at.
const notOfOne = "give discovery a folder of the repository that declares fewer, as a checkout of its own (--checkout DIR)"

// agentsOf are the agents that a set of objects declares, and the objects that they are
// made of.
func (c *checkout) agentsOf(ctx context.Context, set declaration, rights rightsFor) (made []*declaredAgent, of []flux1.Parsed, err error) {
	for _, o := range set.objects {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if len(c.nested)+len(made) >= maxDeclared {
			if !c.tooMany {
				c.tooMany = true
				f := flux1.TooLarge.Finding(c.agent.ID, fileLine(o.File, o.Line), fmt.Sprintf("the repository declares %d agents or more; what else is declared there, and in what is read after it, is not looked at", maxDeclared))
				f.Hint = notOfOne
				c.find(f)
			}
			break
		}
		a, err := c.agentOf(ctx, set, o, rights)
		if err != nil {
			return nil, nil, err
		}
		if !c.look(0) {
			c.tooManyLooks(o)
			break
		}
		if a != nil {
			made, of = append(made, a), append(of, o)
		}
	}
	c.countDeclared(set, made)
	return made, of, nil
}

// told reports whether an object of a set is one that an agent which is known applies: what
// it declares is told by that.
func (c *checkout) told(set declaration, o flux1.Parsed) bool {
	for _, k := range c.known {
		if k.read == nil || !k.sameTree(c.agent) {
			continue
		}
		if slices.ContainsFunc(k.declares.agents, func(d appliedAgent) bool {
			if m := d.of.Manifest; d.of.File != o.File || m.GetKind() != o.Manifest.GetKind() || m.GetName() != o.Manifest.GetName() ||
				m.GetNamespace() != o.Manifest.GetNamespace() && m.GetNamespace() != "" && o.Manifest.GetNamespace() != "" {
				return false
			}
			if d.of.Build != nil {
				return d.of.Build.Folder == set.dir
			}
			return set.dir == "" || set.dir == path.Dir(o.File)
		}) {
			return true
		}
	}
	return false
}

// elsewhere is the folder of what another declaration than the repository's own has named.
const elsewhere = "\x00"

// named reports whether an agent that is known may be one that a manifest declares, by
// their names: where the namespace of either is not known, by what they read as well.
func (a *agent) named(d *agent) bool {
	if a.Namespace != d.Namespace && a.Namespace != "" && d.Namespace != "" {
		return false
	}
	return (d.Workload != "" && a.Workload == d.Workload || d.Release != "" && a.Release == d.Release) &&
		(a.Namespace != "" && d.Namespace != "" || a.readsAlike(d))
}

// ofManifest reports whether a known agent and a declared one are of one manifest: they say
// the same at the same places, and neither its namespace nor what it reads need be known.
func (a *agent) ofManifest(d *agent) bool {
	return a.Namespace == d.Namespace && a.Workload == d.Workload && a.Release == d.Release && len(d.Settings) > 0 && reflect.DeepEqual(a.Settings, d.Settings)
}

// readsAlike reports whether two agents read the same of one repository, as far as it is
// known of both what they read of it.
func (a *agent) readsAlike(b *agent) bool {
	open := func(name string) bool { return slices.Contains(a.Unknown, name) || slices.Contains(b.Unknown, name) }
	return SameRepository(a.Git.URL, b.Git.URL) && (a.Git.Branch == b.Git.Branch || open("git.branch")) && (slices.Equal(a.Git.Paths, b.Git.Paths) || open("git.paths"))
}

// appliedAgents are the agents among what an agent applies from its repository, without
// those that are known.
func (w *witness) appliedAgents(a *agent, known []*agent) []*agent {
	if a.read == nil {
		return nil
	}
	var out []*agent
	for _, d := range a.declares.agents {
		all := slices.Concat(known, out)
		if k := slices.IndexFunc(all, func(k *agent) bool { return k.named(d.agent) }); k >= 0 {
			w.find(d.ofFlux2(all[k].ID)...)
			continue
		}
		taken := func(id string) bool { return slices.ContainsFunc(all, func(k *agent) bool { return k.ID == id }) }
		if taken(d.ID) { // of several that name no namespace, or of a release of that name
			d.apart(path.Join(path.Base(a.Git.URL), d.of.File), taken)
		}
		w.find(d.found...)
		d.InstalledBy = "flux1"
		out = append(out, &agent{Flux1Agent: d.finished()})
	}
	for _, i := range a.declares.installers {
		w.find(i.found)
	}
	return out
}

// search looks for agents in a repository that was read, beside those that are known.
func (r *reading) search(known []*agent) *checkout {
	with := *r
	with.findings = nil
	return &checkout{reading: &with, known: known}
}

// agentsBeside are the agents that an agent's repository declares in files which that one
// does not apply, without those that are known. Who applies them is not known from here.
func (w *witness) agentsBeside(ctx context.Context, a *agent, known []*agent) ([]*agent, error) {
	if a.read == nil || slices.ContainsFunc(known, func(k *agent) bool { return k != a && k.searched && k.sameTree(a) }) {
		return nil, nil
	}
	a.searched = true
	c := a.read.search(known)
	beside := *a
	beside.DefaultNamespace = "" // which holds for what the agent applies
	c.agent = &beside
	if err := c.declared(ctx); err != nil {
		return nil, err
	}
	w.find(slices.DeleteFunc(c.findings, func(f migrate.Finding) bool {
		return slices.ContainsFunc(w.findings, func(o migrate.Finding) bool { return o.Code == f.Code && o.Where == f.Where && o.Message == f.Message })
	})...)
	var out []*agent
	for _, d := range c.nested {
		out = append(out, &agent{Flux1Agent: d.finished()})
	}
	return out, nil
}

// sameTree reports whether two agents read one repository at one commit.
func (a *agent) sameTree(b *agent) bool {
	return a.read != nil && b.read != nil && SameRepository(a.Git.URL, b.Git.URL) && cmp.Or(a.Synced.Commit, a.Synced.Head) == cmp.Or(b.Synced.Commit, b.Synced.Head)
}

// countDeclared finds what is asked for by the memcacheds that are declared together
// with the agents that are Deployments.
func (c *checkout) countDeclared(set declaration, made []*declaredAgent) {
	var its []*agent
	for _, a := range made {
		if a.deployment != nil {
			its = append(its, a.agent)
		}
	}
	if len(its) == 0 {
		return
	}
	var beside []appsv1.Deployment
	for _, o := range set.objects {
		if o.Manifest.GetKind() != "Deployment" {
			continue
		}
		if d, ok := typed[appsv1.Deployment](o.Manifest); ok {
			d.Namespace = cmp.Or(d.Namespace, c.agent.DefaultNamespace)
			beside = append(beside, *d)
		}
	}
	countDeclaredMemcacheds(its, beside)
}

// sameDeclaration reports whether two declarations of one agent say the same, but
// for the places where they say it.
func sameDeclaration(a, b migrate.Flux1Agent) bool {
	unplaced := func(settings []migrate.Setting) []migrate.Setting {
		settings = slices.Clone(settings)
		for i := range settings {
			settings[i].From = nil
		}
		return settings
	}
	a.Settings, b.Settings = unplaced(a.Settings), unplaced(b.Settings)
	a.InstalledBy, b.InstalledBy = "", ""
	return reflect.DeepEqual(a, b)
}

func identity(u *unstructured.Unstructured) string {
	return flux1.ResourceID(u.GetNamespace(), u.GetKind(), u.GetName())
}

// declarations builds every kustomization folder that no other one is made of,
// and reads what none of them names. Where a folder cannot be built, those that
// it is made of are built in its place, and its own files stand as they are.
func (c *checkout) declarations(ctx context.Context) []declaration {
	var sets, unbuilt []declaration
	var outside []string // folders that nobody is told of one by one
	done := map[string]bool{}
	var visit func(dir string)
	visit = func(dir string) {
		if done[dir] || ctx.Err() != nil {
			return
		}
		done[dir] = true
		objects, err := c.build(ctx, dir)
		if err == nil {
			sets = append(sets, declaration{dir: dir, objects: objects})
			return
		}
		if ctx.Err() != nil {
			return
		}
		o := c.index.folders[dir]
		if o == nil {
			return
		}
		notRead := c.agentNotRead(o)
		switch {
		case notRead != "":
			f := flux1.KustomizeFails.Finding(c.agent.ID, o.file, fmt.Sprintf("%s: an agent may be declared here that is not read (%v)", notRead, err))
			f.Hint = fmt.Sprintf("build folder %s where the base can be fetched and commit what comes of it, commit the base itself, or ask the cluster as well", dir)
			c.find(f)
		case len(o.remote) > 0 && slices.Contains(c.inUse, o): // has a finding of its own
		case slices.Contains(c.failed, dir): // reported with its .flux.yaml
		case errors.Is(err, build.ErrTooLarge): // reported as such
		case len(o.remote) == 0 && !slices.Contains(c.inUse, o) && !c.inPaths(o.file, true) && !c.changesAnAgent(o): // the agent does not read it, and what it is made of is looked at as it stands
			if o.generates || slices.ContainsFunc(c.reached(dir), func(r *overlay) bool { return len(r.remote) > 0 }) {
				outside = append(outside, dir)
			}
		default:
			c.about(flux1.KustomizeFails, o.file, "folder %s cannot be built: %v", dir, err)
		}
		for _, f := range o.folders {
			visit(f)
		}
		own := declaration{dir: dir, unbuilt: true}
		for _, f := range o.files {
			own.objects = append(own.objects, c.objectsIn(f)...)
		}
		unbuilt = append(unbuilt, own)
	}
	for _, dir := range c.tops() {
		visit(dir)
	}
	if len(outside) > 0 {
		c.about(flux1.KustomizeFails, "", "folders beside the agent's paths cannot be built, and what they generate or fetch, where an agent may be declared, is not looked at (%d): %s", len(outside), few(outside))
	}
	return append(append(sets, declaration{objects: c.loose()}), unbuilt...)
}

// fluxInGit is where the manifests of Flux v1 are kept, and fluxdFlags are what a patch that
// names no object gives fluxd alone.
var (
	fluxInGit  = regexp.MustCompile(`(?i)\b(?:fluxcd|weaveworks)/flux(?:\.git)?(?:[/?]|$)`)
	fluxdFlags = regexp.MustCompile(`--git-(?:url|branch|path)\b`)
)

// agentNotRead says by what a folder may declare an agent that is not read, empty if by nothing:
// it is made of the manifests of Flux v1 elsewhere, or patches what looks like fluxd in
// something that is not fetched. What comes of it, after the patches of others, a build alone tells.
func (c *checkout) agentNotRead(o *overlay) string {
	var remote, patches []string
	here, deleted := map[string]bool{}, map[string]bool{}
	for _, r := range c.reached(o.dir) {
		for _, base := range r.remote {
			remote = append(remote, flux1.DisplayURL(base))
		}
		for _, f := range r.files {
			for _, d := range c.objectsIn(f) {
				here[d.Manifest.GetName()] = here[d.Manifest.GetName()] || d.Manifest.GetKind() == "Deployment"
			}
		}
	}
	if len(remote) == 0 {
		return ""
	}
	var names []string
	for _, p := range o.patches {
		objects := c.patchObjects(o, p)
		if len(objects) == 0 {
			text := []byte(p.inline)
			if p.file != "" {
				text, _ = c.contentOf(p.file)
			}
			if fluxdFlags.Match(text) {
				patches = append(patches, "flags of fluxd in "+cmp.Or(p.file, o.file))
			}
		}
		for _, d := range objects {
			switch u := d.Manifest; {
			case u.GetKind() != "Deployment":
			case u.Object["$patch"] == "delete":
				deleted[u.GetName()] = deleted[u.GetName()] || !p.targeted // else it is for another name
			case looksLikeFluxd(u) && (p.targeted || !here[u.GetName()]):
				names = append(names, u.GetName())
			}
		}
	}
	for _, name := range names {
		if !deleted[name] {
			patches = append(patches, "Deployment "+name)
		}
	}
	slices.Sort(patches)
	switch of := few(remote); {
	case len(patches) > 0:
		return fmt.Sprintf("folder %s is made of %s, which is not fetched, and patches what looks like fluxd in it (%s)", o.dir, of, few(slices.Compact(patches)))
	case slices.ContainsFunc(o.remote, fluxInGit.MatchString) && !deleted["flux"]:
		return fmt.Sprintf("folder %s is made of the manifests of Flux v1 (%s), which are not fetched", o.dir, of)
	}
	return ""
}

// changesAnAgent reports whether a folder patches or renames what it is made of, and an
// agent may be among that.
func (c *checkout) changesAnAgent(o *overlay) bool {
	reached := c.reached(o.dir)
	return slices.ContainsFunc(reached, func(r *overlay) bool { return r.namespace+r.prefix+r.suffix != "" || len(r.patches) > 0 }) &&
		slices.ContainsFunc(reached, func(r *overlay) bool {
			return slices.ContainsFunc(r.files, func(file string) bool {
				return slices.ContainsFunc(c.objectsIn(file), func(p flux1.Parsed) bool { return declaresAgent(p.Manifest) })
			})
		})
}

// looksLikeFluxd reports whether a patch of a Deployment may be of one of fluxd, of which it need
// not say much.
func looksLikeFluxd(u *unstructured.Unstructured) bool {
	named := func(name string) bool { return name == "flux" || name == "fluxd" }
	d, ok := typed[appsv1.Deployment](u)
	return named(u.GetName()) || ok && (fluxd(d) != nil || slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(k corev1.Container) bool { return named(k.Name) }))
}

// loose are the objects of files that no kustomization file names and that lie
// in no chart.
func (c *checkout) loose() []flux1.Parsed {
	named := map[string]bool{}
	for _, o := range c.index.folders {
		for _, f := range o.files {
			named[f] = true
		}
		for _, p := range o.patches {
			named[p.file] = true
		}
	}
	for _, g := range c.generations {
		named[g.PatchFile] = true
	}
	var out []flux1.Parsed
	for _, name := range c.index.files {
		ext := path.Ext(name)
		if ext != ".yaml" && ext != ".yml" || named[name] || c.index.folders[path.Dir(name)] != nil && path.Base(name) == path.Base(c.index.folders[path.Dir(name)].file) {
			continue
		}
		if c.inChart(name) {
			continue
		}
		out = append(out, c.objectsIn(name)...)
	}
	return out
}

// declaredAgent is an agent of a manifest, and what was found about it.
type declaredAgent struct {
	*agent
	found []migrate.Finding
}

// rename gives an agent another id, and what was found about it.
func (d *declaredAgent) rename(id string) {
	for i := range d.found {
		d.found[i].Repository, d.found[i].Subject = id, strings.Replace(d.found[i].Subject, d.ID, id, 1)
	}
	d.ID = id
}

// ofFlux2 is what was found about what Flux v2 makes of an agent, as about one of another id that it is.
func (d *declaredAgent) ofFlux2(id string) []migrate.Finding {
	var out []migrate.Finding
	for _, f := range d.found {
		if f.Code == AgentManaged.Name || f.Code == ReleasePostRendered.Name {
			f.Subject, f.Repository = strings.Replace(f.Subject, d.ID, id, 1), id
			out = append(out, f)
		}
	}
	return out
}

// typed decodes an object; fields of wrong types make it fail.
func typed[T any](u *unstructured.Unstructured) (*T, bool) {
	out := new(T)
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out)
	return out, err == nil
}

// bareDeployment is as much of a Deployment as tells which of its containers runs fluxd, whatever
// the types of its other fields are.
func bareDeployment(u *unstructured.Unstructured) *appsv1.Deployment {
	d := &appsv1.Deployment{}
	d.Name, d.Labels = u.GetName(), u.GetLabels()
	containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
	for _, x := range containers {
		m, _ := x.(map[string]any)
		k := corev1.Container{Name: scalarText(m["name"]), Image: scalarText(m["image"])}
		for field, into := range map[string]*[]string{"command": &k.Command, "args": &k.Args} {
			words, _ := m[field].([]any)
			for _, word := range words {
				*into = append(*into, scalarText(word))
			}
		}
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, k)
	}
	return d
}

// fromDeployment makes an agent of a Deployment of fluxd; nil if it is none.
func (c *checkout) fromDeployment(ctx context.Context, set declaration, o flux1.Parsed, rights rightsFor) (*declaredAgent, error) {
	say := func(what string) {
		c.find(AgentByObject.About(c.agent.ID, migrate.ObjectID(o.Manifest), fileLine(o.File, o.Line), resourceName(o.Manifest)+" runs fluxd, "+what))
	}
	written := fluxd(bareDeployment(o.Manifest))
	if d, ok := typed[appsv1.Deployment](o.Manifest); written == nil && (!ok || fluxd(d) == nil) && !holds(o.Manifest.Object, "${") {
		return nil, nil // as almost all
	}
	m := c.madeOf(ctx, set, o)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	as := cmp.Or(m.object, o.Manifest)
	d, open := deploymentIn(as)
	if d == nil {
		if written != nil {
			say("and cannot be read: fields of it are not of the types that a Deployment has, as it stands or with what Flux v2 puts in the place of variables")
		}
		return nil, nil
	}
	container := fluxd(d)
	for i := range d.Spec.Template.Spec.Containers {
		if k := &d.Spec.Template.Spec.Containers[i]; written != nil && k.Name == written.Name && holds(as.Object, placeholder) {
			container = k // which need not say so any more
		}
	}
	if container == nil {
		return nil, nil
	}
	if strings.Contains(d.Name+d.Namespace, placeholder) {
		say("under a name, or in a namespace, that is not known: " + m.why)
		return nil, nil
	}
	if m.notRead != "" {
		say("and " + m.notRead)
		return nil, nil
	}
	if len(m.apart) > 0 {
		say("and " + firstFew(m.apart))
	}
	if strings.Contains(container.Image, placeholder) {
		container.Image, open = "", append(open, "image")
	}
	if strings.Contains(d.Labels["helm.sh/chart"]+d.Labels["chart"], placeholder) {
		open = append(open, "chartVersion")
	}
	if d.Namespace == "" {
		d.Namespace = c.agent.DefaultNamespace
	}
	// A witness of its own, so that the places of what it finds can be told.
	w := &witness{}
	a := &agent{deployment: d}
	a.Namespace, a.Workload, a.Image = d.Namespace, d.Name, container.Image
	a.ID = cmp.Or(d.Namespace, "unknown") + "/" + d.Name
	a.ChartVersion = knownText(chartVersionOf(d.Labels))
	a.Unknown = open
	a.Replicas, a.Selector, a.ServiceAccount = replicas(d), d.Spec.Selector, accountOf(&d.Spec.Template.Spec)
	if strings.Contains(a.ServiceAccount, placeholder) {
		a.ServiceAccount, a.Unknown = "", append(a.Unknown, "serviceAccount")
	}
	a.env = w.environmentOf(d.Namespace, a.ID, &d.Spec.Template.Spec, container)
	a.env.fromManifests(set.beside, func(o flux1.Parsed) bool { return c.mayFill(set, o) })
	left := a.env.notSubstituted(m.why)
	if err := w.readArguments(ctx, a); err != nil {
		return nil, err
	}
	if err := w.readContainer(ctx, a); err != nil {
		return nil, err
	}
	for _, field := range left {
		a.Settings = append(a.Settings, migrate.Setting{Name: field, Fate: migrate.Unknown, To: "a known value", Why: m.why,
			From: []migrate.Origin{{Witness: "git", Where: a.where(field)}}})
	}
	if err := w.readAccess(ctx, a); err != nil {
		return nil, err
	}
	if err := w.readCluster(ctx, a); err != nil {
		return nil, err
	}
	w.find(a.podRole(podRoles(&d.Spec.Template), a.where("pod template"))...)
	if d.Namespace == "" {
		a.Unknown = append(a.Unknown, "namespace", "confinement")
		w.find(rightsNotKnown(a.ID, a.where(""), "its manifest names no namespace, and --default-namespace gives none"))
	} else if a.ServiceAccount == "" {
		a.Unknown = append(a.Unknown, "confinement")
		w.find(rightsNotKnown(a.ID, a.where(""), "the name of its account is not known: "+m.why))
	} else if m.placed != "" {
		a.Unknown = append(a.Unknown, "confinement")
		w.find(rightsNotKnown(a.ID, a.where(""), fmt.Sprintf("Kustomization %s puts what it applies into namespace %s, and what of that binds the account is not followed there", m.placed, a.Namespace)))
	} else {
		var untold string
		if a.Rights, untold = rights(set, o, a.Namespace, a.ServiceAccount).declaredFor(a.Namespace, a.ServiceAccount); untold == "" && bindsItself(a.Rights) || confinement(a.Rights).Kind == "cluster-admin" {
			a.Confinement = confinement(a.Rights)
		} else {
			a.Unknown = append(a.Unknown, "confinement")
			w.find(rightsNotKnown(a.ID, a.where(""), cmp.Or(untold, nothingBinds)))
		}
		if len(a.AllowedNamespaces) > 0 && a.Confinement.Kind == "cluster-admin" {
			w.find(Confined.Finding(a.ID, a.where("--k8s-allow-namespace"), "the agent keeps to its list of namespaces by itself; its account is cluster-admin"))
		}
	}
	switch {
	case slices.Contains(a.Unknown, "replicas"):
	case a.Replicas == 0:
		w.find(AgentStopped.Finding(a.ID, a.where(""), "the agent is declared with no pods (replicas: 0)"))
	case a.Replicas > 1:
		w.find(ManyReplicas.Finding(a.ID, a.where(""), fmt.Sprintf("the Deployment asks for %d pods", a.Replicas)))
	}
	if !slices.Contains(a.Unknown, "requests") {
		a.Requests = requests(&d.Spec.Template.Spec)
	}
	c.unsynced(a)
	for _, k := range m.kept {
		says := fmt.Sprintf("Flux v2, by Kustomization %s, keeps the Deployment of %s", k, a.ID)
		if m.both {
			says += ", which a fluxd applies as well, and they may make different things of it: which of them is live is not known"
			if c.folder != nil && len(c.o.Paths) == 0 {
				says += "; no path of that fluxd is given, so that it is taken to read all of the repository (--git-path)"
			}
		}
		w.find(managed(a.ID, fileLine(o.File, o.Line), says, suspendKustomization))
	}
	if len(m.perhaps) > 0 {
		say(fmt.Sprintf("and %s: what is told of agent %s is what it says", firstFew(m.perhaps), a.ID))
	}
	if len(m.suspended) > 0 {
		say("and " + suspendedBy(firstFew(m.suspended), a.ID))
	}

	lines := c.linesOf(set, o)
	for i := range a.Settings {
		for j := range a.Settings[i].From {
			from := &a.Settings[i].From[j]
			*from = migrate.Origin{Witness: "git", Where: lines.place(a, from.Where)}
		}
	}
	for i := range w.findings {
		f := &w.findings[i]
		withoutCluster(f)
		if strings.HasPrefix(f.Where, "Deployment/") || strings.HasPrefix(f.Where, "env") || f.Where == "" {
			f.Where = lines.place(a, f.Where)
		}
	}
	return &declaredAgent{a, w.findings}, nil
}

// unsynced says what manifests alone do not tell.
func (c *checkout) unsynced(a *agent) {
	a.Synced.Behind = -1
	a.Unknown = append(a.Unknown, "running", "synced")
}

// fromManifests lets an environment be looked up among objects of Git in place
// of a cluster. What a ConfigMap holds that is not among them, or may be filled in, is not known.
func (e *environment) fromManifests(objects []flux1.Parsed, filled func(flux1.Parsed) bool) {
	configMap := func(name string) {
		if m, of := configMapIn(objects, e.namespace, name); m != nil && !(holds(of.Manifest.Object["data"], "${") && filled(of)) {
			e.maps[name] = m
		}
	}
	e.declared = true // what a Secret of Git holds is not what runs
	for _, v := range e.pod.Volumes {
		for _, p := range provided(&v) {
			if p.ConfigMap != nil {
				configMap(p.ConfigMap.Name)
			}
		}
	}
	for _, v := range e.container.Env {
		if from := v.ValueFrom; from != nil && from.ConfigMapKeyRef != nil {
			configMap(from.ConfigMapKeyRef.Name)
		}
	}
	for _, s := range e.container.EnvFrom {
		if s.ConfigMapRef != nil {
			configMap(s.ConfigMapRef.Name)
		}
	}
}

// configMapIn is a ConfigMap of a namespace among objects of Git, and the object that it
// is; nil if none is, or several are that differ: which one is applied last is not told.
func configMapIn(objects []flux1.Parsed, namespace, name string) (*corev1.ConfigMap, flux1.Parsed) {
	var found *corev1.ConfigMap
	var of flux1.Parsed
	for _, o := range objects {
		u := o.Manifest
		if u.GetKind() != "ConfigMap" || u.GetName() != name || u.GetNamespace() != namespace || u.GroupVersionKind().Group != "" {
			continue
		}
		m, ok := typed[corev1.ConfigMap](u)
		if !ok || found != nil && !reflect.DeepEqual([]any{m.Data, m.BinaryData}, []any{found.Data, found.BinaryData}) {
			return nil, flux1.Parsed{}
		}
		if found == nil {
			found, of = m, o
		}
	}
	return found, of
}

// lines finds where in Git the words of a built Deployment stand: in the
// patches over it, nearest first, then in the manifest itself.
type lines struct {
	c      *checkout
	object flux1.Parsed
	// parts are the documents that the object is made of.
	parts []flux1.Parsed
}

func (c *checkout) linesOf(set declaration, o flux1.Parsed) *lines {
	l := &lines{c: c, object: o}
	if set.dir != "" {
		for _, overlay := range c.reached(set.dir) {
			for _, p := range overlay.patches {
				if p.file == "" {
					continue
				}
				for _, d := range c.objectsIn(p.file) {
					if d.Manifest.GetKind() == o.Manifest.GetKind() && d.Manifest.GetName() == o.Manifest.GetName() &&
						(d.Manifest.GetNamespace() == "" || d.Manifest.GetNamespace() == o.Manifest.GetNamespace()) {
						l.parts = append(l.parts, d)
					}
				}
			}
		}
	}
	l.parts = append(l.parts, o)
	return l
}

var argumentPlace = regexp.MustCompile(`(command argument|args\[)\s*(\d+)`)

// place puts file and line in the place of a Deployment's name.
func (l *lines) place(a *agent, where string) string {
	rest := strings.TrimSpace(strings.TrimPrefix(where, "Deployment/"+a.Namespace+"/"+a.Workload))
	var word string
	container := a.env.container
	if written, ok := typed[appsv1.Deployment](l.object.Manifest); ok { // before variables are filled in
		container = cmp.Or(fluxd(written), container)
	}
	switch m := argumentPlace.FindStringSubmatch(rest); {
	case m != nil:
		n, err := strconv.Atoi(m[2])
		words := container.Args
		if m[1] == "command argument" {
			args, offset, _ := commandLine(container)
			words = args[:max(offset, 0)]
		}
		if err == nil && n < len(words) {
			word = words[n]
		}
	case strings.HasPrefix(rest, "--"):
		for _, arg := range container.Args {
			if arg == rest || strings.HasPrefix(arg, rest+"=") {
				word = arg
			}
		}
	default:
		if _, name, ok := strings.Cut(rest, " "); ok { // "env NAME", "container NAME", "volumeMount PATH"
			word = name
		}
	}
	for _, p := range l.parts {
		if n := l.c.lineWithWord(p, word); word != "" && n > 0 {
			return strings.TrimSpace(fileLine(p.File, n) + " " + rest)
		}
	}
	return strings.TrimSpace(fileLine(l.object.File, l.object.Line) + " " + rest)
}

// lineWithWord is the line of a document that holds a word alone, as an entry
// of a list or a value; 0 if there is none.
func (c *checkout) lineWithWord(p flux1.Parsed, word string) int {
	if p.Line == 0 || word == "" {
		return 0
	}
	lines := c.linesIn(p.File)
	if lines == nil {
		return 0
	}
	for i, line := range lines.from(p.Line - 1) {
		text := strings.TrimSpace(line)
		if i+1 > p.Line && (text == "---" || text == "...") {
			return 0
		}
		text = strings.TrimSpace(strings.TrimPrefix(text, "- "))
		if key, value, ok := strings.Cut(text, ": "); ok && key != "" && !strings.HasPrefix(text, "-") {
			text = strings.TrimSpace(value)
		}
		if unquote(text) == word {
			return i + 1
		}
	}
	return 0
}

func unquote(s string) string {
	if len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// contentOf reads a file; it counts once against the limits.
func (r *reading) contentOf(file string) ([]byte, error) {
	if content, ok := r.index.contents[file]; ok {
		return content, nil
	}
	content, err := r.readFile(r.index, file)
	if err != nil {
		return nil, err
	}
	r.index.contents[file] = content
	return content, nil
}

// linesIn are the lines of a file, taken apart once; nil if it cannot be read.
func (r *reading) linesIn(file string) *textLines {
	lines, known := r.index.lines[file]
	if !known {
		if content, err := r.contentOf(file); err == nil {
			lines = splitLines(content)
		}
		r.index.lines[file] = lines
	}
	return lines
}
