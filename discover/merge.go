package discover

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxover/fluxover/migrate"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// merge looks at all agents together: whatever two of them claim.
func (w *witness) merge(agents []*agent) {
	w.sameSets(agents)
	w.sharedTags(agents)
	w.sharedObjects(agents)
	w.agentsInGit(agents)
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

// others names the agents of a group but one.
func others(group []*agent, self *agent) string {
	var ids []string
	for _, a := range group {
		if a != self {
			ids = append(ids, a.ID)
		}
	}
	slices.Sort(ids)
	return strings.Join(ids, ", ")
}

func (w *witness) sameSets(agents []*agent) {
	for _, group := range groups(agents, func(a *agent) string { return a.set }) {
		for _, a := range group {
			w.find(SameSet.Finding(a.ID, a.where("--git-url"), fmt.Sprintf("%s syncs the same URL, branch and paths", others(group, a))))
		}
	}
}

// sharedTags compares host and path without ".git", as servers do.
func (w *witness) sharedTags(agents []*agent) {
	for _, group := range groups(agents, func(a *agent) string {
		source, err := migrate.SourceURL(a.Git.URL)
		if err != nil || a.Sync.State != "git" || a.Git.SyncTag == "" {
			return ""
		}
		_, rest, _ := strings.Cut(source, "://")
		return strings.TrimSuffix(rest[strings.Index(rest, "@")+1:], ".git") + "\x00" + a.Git.SyncTag
	}) {
		for _, a := range group {
			w.find(SharedTag.Finding(a.ID, a.where("--git-label"), fmt.Sprintf("%s uses the tag %s of the same repository", others(group, a), a.Git.SyncTag)))
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
	for _, id := range ids {
		for i, c := range claims[id] {
			var with []string
			for j, d := range claims[id] {
				if j != i && d.agent != c.agent {
					with = append(with, fmt.Sprintf("%s (%s)", d.agent.ID, d.place))
				}
			}
			if len(with) > 0 {
				w.find(TwoAgentsOneObject.About(c.agent.ID, id, c.place,
					fmt.Sprintf("%s is applied by %s as well", migrate.DisplayID(id), strings.Join(with, ", "))))
			}
		}
	}
}

// agentsInGit finds agents that another (or the same) agent applies: from Git,
// or by its mark.
func (w *witness) agentsInGit(agents []*agent) {
	for _, a := range agents {
		id := object.ObjMetadata{Namespace: a.Namespace, Name: a.Workload, GroupKind: schema.GroupKind{Group: "apps", Kind: "Deployment"}}.String()
		for _, b := range agents {
			place := ""
			for _, o := range b.Objects {
				if o.ID == id && applies(o) {
					place = fmt.Sprintf("%s:%d", o.File, o.Line)
				}
			}
			if place == "" && !slices.Contains(b.Marked, id) {
				continue
			}
			if a.Release == "" {
				a.InstalledBy = "flux1"
			}
			w.find(AgentInGit.Finding(a.ID, place, fmt.Sprintf("the repository of %s holds this agent's own Deployment", b.ID)))
		}
	}
}
