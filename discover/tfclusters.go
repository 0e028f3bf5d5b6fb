package discover

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// LookedAt is the cluster that is looked at, as the kubeconfig has it, so that
// what Terraform declares for another is not taken for its.
type LookedAt struct {
	Name   string // what the kubeconfig calls the cluster
	Server string
	// Contexts are all that the kubeconfig has, with the server of each.
	Contexts map[string]string
}

// is says whether a provider configuration leads to this cluster: known is
// false where that cannot be told.
func (l *LookedAt) is(c terraform.Cluster) (same, known bool) {
	if l == nil {
		return false, false
	}
	server := terraform.ServerURL(l.Server)
	if s := c.ServerURL(); s != "" && server != "" {
		return s == server, true
	}
	// A context of another file than the usual one may be of another cluster
	// than that of the same name here.
	file, given := c.Kubeconfig.Str()
	if name, ok := c.Context.Str(); ok && name != "" && (!given || strings.HasSuffix(file, ".kube/config")) {
		if s, ok := l.Contexts[name]; ok && server != "" {
			return terraform.ServerURL(s) == server, true
		}
	}
	// EKS and GKE write the name at the end of the kubeconfig's own, after a
	// slash or an underscore.
	if name, ok := c.Name.Str(); ok && name != "" && l.Name != "" {
		name = name[strings.LastIndex(name, "/")+1:]
		if l.Name == name || strings.HasSuffix(l.Name, "/"+name) || strings.HasSuffix(l.Name, "_"+name) {
			return true, true
		}
	}
	return false, false
}

// end is one provider configuration of one root module, with the agents that
// are declared through it.
type end struct {
	dir     string
	cluster terraform.Cluster
	agents  []*declared
}

// key names the configuration apart from its provider: helm.west and
// kubernetes.west are taken to lead to one cluster, unless what they say
// differs.
func (e *end) key() string {
	p := e.cluster.Provider
	p.Name = ""
	return strings.TrimPrefix(p.String(), ".")
}

func (e *end) isDefault() bool {
	p := e.cluster.Provider
	return p.Alias == "" && p.Module == "" && p.Key == ""
}

// named reports whether a person's word for a cluster means this one: an
// alias, a provider configuration, a server, a context or a cluster's name.
func (e *end) named(word string) bool {
	c := e.cluster
	if c.Provider.Alias == word || e.key() == word || c.Provider.String() == word || word == "default" && e.isDefault() {
		return true
	}
	if s := c.ServerURL(); s != "" && s == terraform.ServerURL(word) {
		return true
	}
	for _, n := range []*terraform.Node{c.Context, c.Name} {
		if s, ok := n.Str(); ok && s == word {
			return true
		}
	}
	return false
}

// clusterGroup is the ends that lead to one cluster.
type clusterGroup []*end

// relation says whether any two ends of two groups are known to be of one
// cluster, and whether any two are known to be of two.
func (g clusterGroup) relation(o clusterGroup) (same, different, namesake bool) {
	for _, a := range g {
		for _, b := range o {
			is, known := a.cluster.Same(b.cluster)
			same = same || known && is
			different = different || known && !is
			namesake = namesake || a.key() == b.key()
		}
	}
	return same, different, namesake
}

// String says in words which cluster it is.
func (g clusterGroup) String() string {
	var words []string
	for _, e := range g {
		s := "provider " + e.cluster.Provider.String()
		if more := e.cluster.String(); more != "" {
			s += " (" + more + ")"
		}
		if !slices.Contains(words, s) {
			words = append(words, s)
		}
	}
	return strings.Join(words, ", ")
}

// clusterGroups puts the ends together that lead to one cluster: those that say so
// and then, where it cannot be told, those of the same name.
func clusterGroups(all []*declared) []clusterGroup {
	var out []clusterGroup
	for _, d := range all {
		i := slices.IndexFunc(out, func(g clusterGroup) bool {
			return g[0].dir == d.Terraform.Dir && g[0].cluster.Provider.String() == d.cluster.Provider.String()
		})
		if i < 0 {
			i, out = len(out), append(out, clusterGroup{{dir: d.Terraform.Dir, cluster: d.cluster}})
		}
		out[i][0].agents = append(out[i][0].agents, d)
	}
	slices.SortStableFunc(out, func(a, b clusterGroup) int {
		return cmp.Or(cmp.Compare(a[0].dir, b[0].dir), cmp.Compare(a[0].cluster.Provider.String(), b[0].cluster.Provider.String()))
	})
	join := func(i, j int) {
		out[i] = append(out[i], out[j]...)
		out = slices.Delete(out, j, j+1)
	}
	for i := 0; i < len(out); i++ {
		for j := i + 1; j < len(out); j++ {
			if same, _, _ := out[i].relation(out[j]); same {
				join(i, j)
				i, j = -1, len(out) // what joins may lead to more
			}
		}
	}
	for i := 0; i < len(out); i++ {
		var candidates []int
		for j := range out {
			if _, different, namesake := out[i].relation(out[j]); j != i && namesake && !different {
				candidates = append(candidates, j)
			}
		}
		// With two candidates that differ it is not known which it is.
		if len(candidates) > 0 && !slices.ContainsFunc(candidates, func(j int) bool {
			return slices.ContainsFunc(candidates, func(k int) bool { _, different, _ := out[j].relation(out[k]); return different })
		}) {
			join(min(i, candidates[0]), max(i, candidates[0]))
			i = -1
		}
	}
	return out
}

// ofThisCluster leaves out the agents of other clusters than the one that is
// looked at, and names them. Which cluster that is, the person says or the
// kubeconfig; where neither tells, it is the one of the default provider
// configuration. Where that does not tell either, none is taken.
func ofThisCluster(all []*declared, o TerraformOptions, find func(...migrate.Finding)) []*declared {
	gs := clusterGroups(all)
	mine, why := chooseCluster(gs, o)
	if why != "" && len(gs) > 0 {
		var words []string
		for _, g := range gs {
			words = append(words, g.String())
		}
		find(TerraformClusters.Finding("", cmp.Or(strings.Join(o.Dirs, ", "), strings.Join(o.StateFiles, ", ")), why+"; agents are declared for "+strings.Join(words, "; ")))
	}
	var out []*declared
	for i, g := range gs {
		for _, e := range g {
			for _, d := range e.agents {
				if slices.Contains(mine, i) {
					out = append(out, d)
					continue
				}
				through := clusterGroup{e}.String()
				find(TerraformOtherCluster.About("", d.ID+" of "+d.Terraform.Address, d.Terraform.Where, fmt.Sprintf("%s (%s) is declared through %s", d.ID, d.Terraform.Address, through)))
			}
		}
	}
	return out
}

// chooseCluster returns the groups that are of the cluster looked at, or why
// that is not known.
func chooseCluster(gs []clusterGroup, o TerraformOptions) (mine []int, why string) {
	where := func(of func(*end) bool) []int {
		var out []int
		for i, g := range gs {
			if slices.ContainsFunc(g, of) {
				out = append(out, i)
			}
		}
		return out
	}
	if o.Provider != "" {
		if mine = where(func(e *end) bool { return e.named(o.Provider) }); len(mine) == 0 {
			why = fmt.Sprintf("none is declared through %q", o.Provider)
		}
		return mine, why
	}
	if mine = where(func(e *end) bool { same, known := o.LookedAt.is(e.cluster); return same && known }); len(mine) > 0 {
		return mine, ""
	}
	other := where(func(e *end) bool { _, known := o.LookedAt.is(e.cluster); return known })
	var open []int
	for i := range gs {
		if !slices.Contains(other, i) {
			open = append(open, i)
		}
	}
	defaults := where((*end).isDefault)
	defaults = slices.DeleteFunc(defaults, func(i int) bool { return slices.Contains(other, i) })
	switch {
	case len(open) == 0:
		return nil, "the kubeconfig names the server " + terraform.ServerURL(o.LookedAt.server()) + ", and the configuration names others"
	case len(gs) == 1:
		return open, ""
	case len(defaults) == 1:
		return defaults, ""
	}
	return nil, "it is not known which of them is this cluster"
}

func (l *LookedAt) server() string {
	if l == nil {
		return ""
	}
	return l.Server
}

// agentCluster is what a declared agent's provider configuration says of its
// cluster; nil if it says nothing.
func agentCluster(c terraform.Cluster) *migrate.AgentCluster {
	out := migrate.AgentCluster{Server: c.ServerURL(), From: "terraform"}
	for _, n := range []*terraform.Node{c.Name, c.Context} {
		if s, ok := n.Str(); ok && out.Name == "" {
			out.Name = s
		}
	}
	if out.Name == "" && out.Server == "" {
		return nil
	}
	return &out
}
