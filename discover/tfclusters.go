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
	dir, provider string
	cluster       terraform.Cluster
	agents        []*declared
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

// said has a bit for each of what the end says of its cluster.
func (e *end) said() (bits uint8) {
	for what, text := range e.cluster.Says() {
		if text != "" {
			bits |= 1 << what
		}
	}
	return bits
}

// clusterGroup is the ends that lead to one cluster.
type clusterGroup []*end

// maxEnds bounds how many provider configurations or clusters a finding names.
const maxEnds = 20

// String says in words which cluster it is.
func (g clusterGroup) String() string {
	var words []string
	told := map[string]bool{}
	for _, e := range g {
		s := "provider " + e.cluster.Provider.String()
		if more := e.cluster.String(); more != "" {
			s += " (" + more + ")"
		}
		if !told[s] {
			told[s] = true
			words = append(words, s)
		}
	}
	return listed(words, len(words), maxEnds)
}

// clusterGroups puts the ends together that lead to one cluster: those that say
// so and then, where it cannot be told, those of the same name, first of one
// root module and then of all. Of several of one name of which two lead to
// different clusters it is not known which is which, so they stay apart.
func clusterGroups(all []*declared) []clusterGroup {
	g := &grouping{}
	byName := map[[2]string]*end{}
	for _, d := range all {
		name := [2]string{d.Terraform.Dir, d.cluster.Provider.String()}
		e := byName[name]
		if e == nil {
			e = &end{dir: name[0], provider: name[1], cluster: d.cluster}
			byName[name] = e
			g.ends = append(g.ends, e)
		}
		e.agents = append(e.agents, d)
	}
	slices.SortStableFunc(g.ends, func(a, b *end) int { return cmp.Or(cmp.Compare(a.dir, b.dir), cmp.Compare(a.provider, b.provider)) })
	for i, e := range g.ends {
		g.says = append(g.says, e.cluster.Says())
		g.first = append(g.first, i)
		g.said = append(g.said, e.said())
	}
	g.joinSame()
	g.joinNamesakes(func(e *end) string { return e.dir + "\x00" + e.key() })
	g.joinNamesakes((*end).key)
	return g.groups()
}

// grouping joins ends to groups, in about the time that their number takes.
type grouping struct {
	ends []*end
	says [][3]string // by the index of the end, like the others
	// first leads to the first end of the group, itself in the end; said has,
	// for that one, a bit for each of what any end of the group says.
	first []int
	said  []uint8
}

func (g *grouping) group(i int) int {
	for g.first[i] != i {
		g.first[i] = g.first[g.first[i]]
		i = g.first[i]
	}
	return i
}

func (g *grouping) join(i, j int) {
	i, j = g.group(i), g.group(j)
	if i > j {
		i, j = j, i
	}
	g.first[j] = i
	g.said[i] |= g.said[j]
}

// joinUnlessDifferent joins the groups of some ends, unless two of them say the
// same kind of thing, of those in by: they would be one if it were the same.
func (g *grouping) joinUnlessDifferent(ends []int, by uint8) bool {
	seen, counted := uint8(0), map[int]bool{}
	for _, i := range ends {
		first := g.group(i)
		if counted[first] {
			continue
		}
		if counted[first] = true; seen&g.said[first]&by != 0 {
			return false
		}
		seen |= g.said[first]
	}
	for _, i := range ends {
		g.join(i, ends[0])
	}
	return true
}

// maxPlaces bounds how many parts before a name are its place.
const maxPlaces = 64

// joinSame joins the ends that say that they lead to one cluster: see
// [terraform.Cluster.Says]. What two ends share joins neither if of what counts
// more they say different things, nor if one of them has its place before it
// and others have other places.
func (g *grouping) joinSame() {
	for what := range len(terraform.Cluster{}.Says()) {
		before := uint8(1)<<what - 1
		// The ends that say a text, and those that say it after a place.
		exact, placed := map[string][]int{}, map[string][]int{}
		for i := range g.ends {
			if text := g.says[i][what]; text != "" {
				exact[text] = append(exact[text], i)
			}
		}
		for i := range g.ends {
			text := g.says[i][what]
			for range maxPlaces {
				_, rest, ok := strings.Cut(text, "/")
				if !ok {
					break
				}
				if text = rest; exact[text] != nil {
					placed[text] = append(placed[text], i)
				}
			}
		}
		texts := sortedNames(exact)
		slices.SortStableFunc(texts, func(a, b string) int { return len(b) - len(a) }) // those with places first
		for _, text := range texts {
			ends := exact[text]
			if p := placed[text]; len(p) > 0 && !slices.ContainsFunc(p, func(i int) bool { return g.group(i) != g.group(p[0]) }) {
				ends = slices.Concat(ends, p)
			}
			if !g.joinUnlessDifferent(ends, before) {
				silent := slices.DeleteFunc(slices.Clone(exact[text]), func(i int) bool { return g.said[g.group(i)]&before != 0 })
				g.joinUnlessDifferent(silent, before)
			}
		}
	}
}

// joinNamesakes joins the groups that have ends of one name.
func (g *grouping) joinNamesakes(name func(*end) string) {
	named := map[string][]int{}
	for i, e := range g.ends {
		n := name(e)
		named[n] = append(named[n], i)
	}
	for _, n := range sortedNames(named) {
		g.joinUnlessDifferent(named[n], anything)
	}
}

// anything stands for all that an end may say of its cluster.
const anything = ^uint8(0)

// groups are the groups in the order of their first ends.
func (g *grouping) groups() []clusterGroup {
	var out []clusterGroup
	at := map[int]int{}
	for i, e := range g.ends {
		first := g.group(i)
		if _, ok := at[first]; !ok {
			at[first] = len(out)
			out = append(out, nil)
		}
		out[at[first]] = append(out[at[first]], e)
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
		for _, g := range gs[:min(len(gs), maxEnds)] {
			words = append(words, g.String())
		}
		find(TerraformClusters.Finding("", cmp.Or(strings.Join(o.Dirs, ", "), strings.Join(o.StateFiles, ", ")), why+"; agents are declared for "+listedBy("; ", words, len(gs), maxEnds)))
	}
	var taken clusterGroup
	for _, i := range mine {
		taken = append(taken, gs[i]...)
	}
	isMine := indexSet(mine)
	perhaps := taken.perhapsOf(o)
	var out []*declared
	for i, g := range gs {
		notSaid := !isMine[i] && perhaps(g)
		for _, e := range g {
			for _, d := range e.agents {
				through := clusterGroup{e}.String()
				switch {
				case isMine[i]:
					out = append(out, d)
				case notSaid:
					find(TerraformClusterNotSaid.About("", d.ID+" of "+d.Terraform.Address, d.Terraform.Where, fmt.Sprintf("%s (%s) is declared through %s, which does not say its cluster", d.ID, d.Terraform.Address, through)))
				default:
					find(TerraformOtherCluster.About("", d.ID+" of "+d.Terraform.Address, d.Terraform.Where, fmt.Sprintf("%s (%s) is declared through %s", d.ID, d.Terraform.Address, through)))
				}
			}
		}
	}
	return out
}

// perhapsOf tells of another group whether it may lead to the cluster of this
// one: an end of it has the same name as one of this, and nothing says that the
// clusters differ, nor has a person said which is meant.
func (g clusterGroup) perhapsOf(o TerraformOptions) func(clusterGroup) bool {
	names, said := map[string]bool{}, uint8(0)
	for _, e := range g {
		names[e.key()] = true
		said |= e.said()
	}
	return func(other clusterGroup) bool {
		return o.Provider == "" && slices.ContainsFunc(other, func(e *end) bool { return names[e.key()] }) &&
			!slices.ContainsFunc(other, func(e *end) bool {
				_, known := o.LookedAt.is(e.cluster)
				return known || e.said()&said != 0
			})
	}
}

func indexSet(list []int) map[int]bool {
	out := make(map[int]bool, len(list))
	for _, i := range list {
		out[i] = true
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
	elsewhere := indexSet(other)
	var open []int
	for i := range gs {
		if !elsewhere[i] {
			open = append(open, i)
		}
	}
	defaults := where((*end).isDefault)
	defaults = slices.DeleteFunc(defaults, func(i int) bool { return elsewhere[i] })
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
