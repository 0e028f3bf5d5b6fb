package discover

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxover/fluxover/migrate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// merge looks at all agents together: whatever two of them claim.
func (w *witness) merge(agents []*agent) {
	w.sameSets(agents)
	w.sharedMarks(agents)
	w.sharedObjects(agents)
	w.agentsInGit(agents)
	w.gitWitness(agents)
	w.agentsInGitOnly(agents)
}

// groups finds what several agents have in common. Agents for which key is
// empty are left out.
func groups(agents []*agent, key func(*agent) string) [][]*agent {
	byKey := map[string][]*agent{}
	var keys []string
	for _, a := range agents {
		if k := key(a); k != "" {
			if byKey[k] == nil {
				keys = append(keys, k)
			}
			byKey[k] = append(byKey[k], a)
		}
	}
	var out [][]*agent
	for _, k := range keys {
		if len(byKey[k]) > 1 {
			out = append(out, byKey[k])
		}
	}
	return out
}

// others gives the agents of a group, by their names, and names the others of each.
func others(group []*agent) iter.Seq2[*agent, string] {
	group = slices.SortedStableFunc(slices.Values(group), func(a, b *agent) int { return strings.Compare(a.ID, b.ID) })
	ids := make([]string, len(group))
	for i, a := range group {
		ids[i] = a.ID
	}
	return func(yield func(*agent, string) bool) {
		for i, a := range group {
			if !yield(a, allBut(ids, i)) {
				return
			}
		}
	}
}

// maxSharers is how many others a finding of each names: where many share something, all of them in
// each would be their number squared.
const maxSharers = 10

// allBut names all but the one at i; i is -1 where none is left out.
func allBut(names []string, i int) string {
	first, total := names[:min(len(names), maxSharers+1)], len(names)
	if i >= 0 {
		total--
	}
	if i >= 0 && i < len(first) {
		first = slices.Delete(slices.Clone(first), i, i+1)
	}
	return listed(first, total, maxSharers)
}

func (w *witness) sameSets(agents []*agent) {
	for _, group := range groups(agents, func(a *agent) string { return a.set }) {
		for a, names := range others(group) {
			w.find(SameSet.Finding(a.ID, a.where("--git-url"), fmt.Sprintf("%s syncs the same URL, branch and paths", names)))
		}
	}
}

// sharedMarks finds agents that keep their sync mark in one place: a tag of one
// repository, or the annotation of a Secret, which fluxd writes whatever it syncs
// (flux: pkg/sync/secret.go).
func (w *witness) sharedMarks(agents []*agent) {
	for _, group := range groups(agents, func(a *agent) string {
		key := repositoryKey(a.Git.URL)
		if key == "" || a.Sync.State != "git" || a.Git.SyncTag == "" {
			return ""
		}
		return key + "\x00" + a.Git.SyncTag
	}) {
		for a, names := range others(group) {
			w.find(SharedTag.Finding(a.ID, a.where("--git-label"), fmt.Sprintf("%s uses the tag %s of the same repository", names, a.Git.SyncTag)))
		}
	}
	for _, group := range groups(agents, func(a *agent) string {
		if a.Sync.State != "secret" || a.Git.SecretName == "" || a.Namespace == "" {
			return ""
		}
		return a.Namespace + "/" + a.Git.SecretName
	}) {
		for a, names := range others(group) {
			w.find(SharedTag.Finding(a.ID, a.where("--k8s-secret-name"), fmt.Sprintf("%s keeps its sync mark in Secret %s/%s as well", names, a.Namespace, a.Git.SecretName)))
		}
	}
}

func (w *witness) sharedObjects(agents []*agent) {
	type claim struct {
		agent *agent
		place string
	}
	claims := map[string][]claim{}
	var ids []string
	for _, a := range agents {
		for _, o := range a.Objects {
			if !applies(o) {
				continue
			}
			if claims[o.ID] == nil {
				ids = append(ids, o.ID)
			}
			claims[o.ID] = append(claims[o.ID], claim{a, fmt.Sprintf("%s:%d", o.File, o.Line)})
		}
	}
	// apart is the same for agents of which one cluster has one at most.
	type apart struct {
		agent               *agent
		namespace, workload string
	}
	of := func(a *agent) apart {
		if a.elsewhere(a) {
			return apart{nil, a.Namespace, a.Workload}
		}
		return apart{agent: a}
	}
	for _, id := range ids {
		if len(claims[id]) == 1 {
			continue
		}
		count := map[apart]int{}
		var few []claim // of each, as many as a finding may name
		for _, c := range claims[id] {
			if count[of(c.agent)]++; count[of(c.agent)] <= maxSharers {
				few = append(few, c)
			}
		}
		for _, c := range claims[id] {
			var with []string
			for _, d := range few {
				if of(d.agent) != of(c.agent) {
					with = append(with, fmt.Sprintf("%s (%s)", d.agent.ID, d.place))
				}
				if len(with) == maxSharers {
					break
				}
			}
			if len(with) > 0 {
				w.find(TwoAgentsOneObject.About(c.agent.ID, id, c.place, fmt.Sprintf("%s is applied by %s as well",
					migrate.DisplayID(id), listed(with, len(claims[id])-count[of(c.agent)], maxSharers))))
			}
		}
	}
}

// agentsInGit finds agents that another (or the same) agent applies: from Git
// or by its mark, by their Deployment or by a HelmRelease that a helm-operator
// installs them from; and those that another controller keeps.
func (w *witness) agentsInGit(agents []*agent) {
	type keeper struct {
		deployment, manager, remedy string
		releases                    []string
	}
	keepers := make([]keeper, len(agents))
	ids := map[string]bool{}    // of all that keeps an agent
	several := map[string]int{} // agents of one Deployment
	for i, a := range agents {
		k := &keepers[i]
		k.deployment = object.ObjMetadata{Namespace: a.Namespace, Name: a.Workload, GroupKind: schema.GroupKind{Group: "apps", Kind: "Deployment"}}.String()
		if a.deployment != nil { // none of an agent that is only declared
			k.manager, k.remedy, k.releases = managerOf(a.deployment.ObjectMeta)
		}
		for _, id := range append(k.releases, k.deployment) {
			ids[id] = true
		}
		several[k.deployment]++
	}
	// Most agents sync no agent at all.
	type holder struct {
		*agent
		objects []migrate.Object
		marked  []string
	}
	var holders []holder
	for _, b := range agents {
		h := holder{agent: b}
		for _, o := range b.Objects {
			if applies(o) && (ids[o.ID] || isHelmRelease(o)) {
				h.objects = append(h.objects, o)
			}
		}
		ignored := map[string]bool{} // and marked from before: neither applied nor collected
		for _, o := range b.Objects {
			if o.Class == migrate.ClassIgnored {
				ignored[o.ID] = true
			}
		}
		for _, id := range b.Marked {
			if ids[id] && !ignored[id] {
				h.marked = append(h.marked, id)
			}
		}
		if len(h.objects)+len(h.marked)+len(b.declares.agents) > 0 {
			holders = append(holders, h)
		}
	}
	for i, a := range agents {
		k, inGit := keepers[i], false
		for _, b := range holders {
			place, what := "", "Deployment"
			if a.Namespace == "" || several[k.deployment] > 1 { // other repositories, or clusters, have one of that name
				for _, d := range b.declares.agents {
					if a.named(d.agent) && a.readsAlike(d.agent) {
						place, what = fileLine(d.of.File, d.of.Line), d.of.Manifest.GetKind()
					}
				}
			} else {
				for _, o := range b.objects {
					if o.ID == k.deployment || a.installedFrom(o) {
						place, what = fmt.Sprintf("%s:%d", o.File, o.Line), kindOf(o.ID)
					}
				}
			}
			for _, id := range append(k.releases, k.deployment) {
				if place == "" && slices.Contains(b.marked, id) {
					place, what = migrate.DisplayID(id), kindOf(id)
				}
			}
			if place == "" {
				continue
			}
			inGit = true
			if a.Release == "" || what == "HelmRelease" {
				a.InstalledBy = "flux1"
			}
			w.find(AgentInGit.Finding(a.ID, place, fmt.Sprintf("the repository of %s holds this agent's own %s", b.ID, what)))
		}
		if k.manager != "" && !inGit {
			w.find(managed(a.ID, a.where(""), fmt.Sprintf("%s keeps the Deployment of %s", k.manager, a.ID), k.remedy))
		}
	}
}

// elsewhere reports whether two agents have one name, so that one cluster does not have both.
func (a *agent) elsewhere(b *agent) bool {
	return a.Namespace != "" && a.Namespace == b.Namespace && a.Workload != "" && a.Workload == b.Workload
}

func kindOf(id string) string {
	m, err := object.ParseObjMetadata(id)
	if err != nil {
		return "object"
	}
	return m.GroupKind.Kind
}

// installedFrom reports whether an object is a HelmRelease of version 1 that
// installs the agent's release.
func (a *agent) installedFrom(o migrate.Object) bool {
	if a.Release == "" || !isHelmRelease(o) {
		return false
	}
	name, namespace := releaseOfHelmRelease(o.Manifest)
	return name == a.Release && namespace == a.Namespace
}

func isHelmRelease(o migrate.Object) bool {
	return o.Manifest != nil && o.Manifest.GetKind() == "HelmRelease" && slices.Contains(helmReleaseGroups, o.Manifest.GroupVersionKind().Group)
}

// helmReleaseGroups are the API groups of the helm-operator, the newer first.
var helmReleaseGroups = []string{"helm.fluxcd.io", "flux.weave.works"}

// managerOf says which controller keeps an object as it is, by what it writes
// on it, and what is to be done about it; empty if none is known. If it is a helm-operator, releases are the
// inventory ids that the HelmRelease may have (helm-operator:
// pkg/helm/v3, antecedent annotation; helm-controller and kustomize-controller:
// origin labels; Argo CD: tracking annotation).
func managerOf(meta metav1.ObjectMeta) (manager, remedy string, releases []string) {
	for _, key := range []string{"helm.fluxcd.io/antecedent", "flux.weave.works/antecedent"} {
		namespace, rest, ok := strings.Cut(meta.Annotations[key], ":")
		_, name, named := strings.Cut(rest, "/")
		if !ok || !named {
			continue
		}
		for _, group := range helmReleaseGroups {
			releases = append(releases, object.ObjMetadata{Namespace: namespace, Name: name, GroupKind: schema.GroupKind{Group: group, Kind: "HelmRelease"}}.String())
		}
		return fmt.Sprintf("a helm-operator, by HelmRelease %s/%s,", namespace, name), stopHelmOperator, releases
	}
	for _, m := range []struct{ prefix, what, remedy string }{
		{"helm.toolkit.fluxcd.io", "Flux v2, by HelmRelease", suspendHelmRelease}, {"kustomize.toolkit.fluxcd.io", "Flux v2, by Kustomization", suspendKustomization},
	} {
		if name := meta.Labels[m.prefix+"/name"]; name != "" {
			return fmt.Sprintf("%s %s/%s,", m.what, meta.Labels[m.prefix+"/namespace"], name), m.remedy, nil
		}
	}
	if id := meta.Annotations["argocd.argoproj.io/tracking-id"]; id != "" {
		application, _, _ := strings.Cut(id, ":")
		return fmt.Sprintf("Argo CD, by Application %s,", application), stopApplication, nil
	}
	return "", "", nil
}
