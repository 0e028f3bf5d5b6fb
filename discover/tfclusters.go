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
	// Of its name there may be others: see [LookedAt.namesakes].
	if name, ok := c.Name.Str(); ok && l.hasName(name) && l.place().Contradicts(c.Place) {
		return false, true
	}
	return false, false
}

// hasName reports whether a cluster's name for its cloud is that of this one, after
// whose place a kubeconfig may have it, behind a slash or an underscore.
func (l *LookedAt) hasName(name string) bool {
	if l == nil || l.Name == "" || name == "" {
		return false
	}
	own, place := terraform.CloudName(l.Name)
	return own == name || place == nil && (strings.HasSuffix(l.Name, "/"+name) || strings.HasSuffix(l.Name, "_"+name))
}

// place is what the kubeconfig's name of the cluster tells of where it is.
func (l *LookedAt) place() terraform.Place {
	if l == nil {
		return nil
	}
	_, place := terraform.CloudName(l.Name)
	return place
}

// String says in words what the kubeconfig names.
func (l *LookedAt) String() string {
	words := "the server " + terraform.ServerURL(l.Server)
	if l.place() != nil {
		words += " of the cluster " + l.Name
	}
	return words
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
// alias, a provider configuration, a server or a context. See also isCalled.
func (e *end) named(word string) bool {
	c := e.cluster
	if len(c.Provider.Unknown) > 0 {
		return false // it may be any of several
	}
	if c.Provider.Alias == word || e.key() == word || c.Provider.String() == word || word == "default" && e.isDefault() {
		return true
	}
	if s := c.ServerURL(); s != "" && s == terraform.ServerURL(word) {
		return true
	}
	s, ok := c.Context.Str()
	return ok && s == word
}

// isCalled reports whether a word is the name of the end's cluster, alone or after
// its place.
func (e *end) isCalled(word string) bool {
	name, ok := e.cluster.Name.Str()
	return ok && (name == word || strings.Contains(word, "/") && strings.HasSuffix("/"+e.cluster.FullName(), "/"+word))
}

// agrees reports whether two ends say the same of their cluster by something that
// both say and that counts most.
func (e *end) agrees(other *end) bool {
	theirs := other.cluster.Says()
	for what, text := range e.cluster.Says() {
		if text != "" && theirs[what] != "" {
			return text == theirs[what]
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
func clusterGroups(all []*declared, at *LookedAt) []clusterGroup {
	g := &grouping{at: at}
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
		g.server = append(g.server, e.cluster.ServerURL())
	}
	g.joinSame()
	g.joinNamesakes(func(e *end) string { return e.dir + "\x00" + e.key() })
	g.joinNamesakes((*end).key)
	return g.groups()
}

// grouping joins ends to groups, in about the time that their number takes.
type grouping struct {
	at   *LookedAt
	ends []*end
	says [][3]string // by the index of the end, like the others
	// first leads to the first end of the group, itself in the end; said has,
	// for that one, a bit for each of what any end of the group says, and server
	// the server.
	first  []int
	said   []uint8
	server []string
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
	g.server[i] = cmp.Or(g.server[i], g.server[j])
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

// joinSame joins the ends that say that they lead to one cluster: see
// [terraform.Cluster.Says]; those of one root module whose server is read from one
// place first. What two ends share joins neither if of what counts more they say
// different things.
func (g *grouping) joinSame() {
	sources := map[[2]string]int{}
	for i, e := range g.ends {
		from := [2]string{e.dir, e.cluster.Source}
		if j, ok := sources[from]; ok && e.cluster.Source != "" {
			g.join(i, j)
		}
		sources[from] = i
	}
	for what := range len(terraform.Cluster{}.Says()) {
		before := uint8(1)<<what - 1
		exact := map[string][]int{}
		for i := range g.ends {
			if text := g.says[i][what]; text != "" {
				exact[text] = append(exact[text], i)
			}
		}
		for _, text := range sortedNames(exact) {
			switch {
			case what == saysName:
				g.joinNamed(text, exact[text])
			case !g.joinUnlessDifferent(exact[text], before):
				silent := slices.DeleteFunc(slices.Clone(exact[text]), func(i int) bool { return g.said[g.group(i)]&before != 0 })
				g.joinUnlessDifferent(silent, before)
			}
		}
	}
}

// saysName is the index of the name in [terraform.Cluster.Says].
const saysName = 1

// joinNamed joins the groups that have a cluster's name, but for those of which it
// is known that they lead to different ones, by their servers or their places, and
// for those which may be of one as well as of another: what is not known of a place
// neither joins two of one name nor tells them apart. The cluster looked at is one
// of them, so that none is said to be of another which may be of it.
func (g *grouping) joinNamed(name string, ends []int) {
	byGroup := map[int]*namesake{}
	var all []*namesake
	for _, i := range ends {
		first := g.group(i)
		n := byGroup[first]
		if n == nil {
			n = &namesake{server: g.server[first], place: terraform.Place{}}
			byGroup[first] = n
			all = append(all, n)
		}
		n.ends = append(n.ends, i)
		n.add(g.ends[i].cluster.Place)
	}
	// Those that say the same are one to begin with.
	same := map[string]*namesake{}
	for _, n := range all {
		key := n.server + "\x00" + n.place.String()
		if same[key] == nil {
			same[key] = n
			continue
		}
		same[key].ends = append(same[key].ends, n.ends...)
	}
	var kinds []*namesake
	for _, key := range sortedNames(same) {
		kinds = append(kinds, same[key])
		for _, i := range same[key].ends {
			g.join(i, same[key].ends[0])
		}
	}
	if len(kinds) == 1 || len(kinds) > maxNamesakes {
		return
	}
	if g.at.hasName(name) {
		kinds = append(kinds, &namesake{place: g.at.place()})
	}
	fits := make([]string, len(kinds)) // which of them it may be, as a text of bits
	for i, a := range kinds {
		bits := make([]byte, len(kinds))
		for j, b := range kinds {
			bits[j] = '0'
			if a.mayBe(b) {
				bits[j] = '1'
			}
		}
		fits[i] = string(bits)
	}
	for i, a := range kinds {
		for j, b := range kinds[:i] {
			if fits[i] == fits[j] && a.mayBe(b) && len(a.ends) > 0 && len(b.ends) > 0 {
				g.join(a.ends[0], b.ends[0])
			}
		}
	}
}

// maxNamesakes bounds how many clusters of one name are told apart; of more, only
// those that say the same are one.
const maxNamesakes = 256

// namesake is what the ends of a group say that have one name for their cluster.
type namesake struct {
	ends   []int
	server string
	place  terraform.Place
	odd    map[string]bool // parts of the place of which they say different things
}

// add takes what an end says of its place.
func (n *namesake) add(place terraform.Place) {
	for part, text := range place {
		switch had := n.place[part]; {
		case text == "" || n.odd[part]:
		case had != "" && !strings.EqualFold(had, text):
			delete(n.place, part)
			if n.odd == nil {
				n.odd = map[string]bool{}
			}
			n.odd[part] = true
		default:
			n.place[part] = strings.ToLower(text)
		}
	}
}

// mayBe reports whether nothing that is known says that two are different.
func (n *namesake) mayBe(other *namesake) bool {
	return (n.server == "" || other.server == "" || n.server == other.server) && !n.place.Contradicts(other.place)
}

// isHardly is the opposite of mayBe, and isNot reports whether two are known to be
// different.
func (n *namesake) isHardly(other *namesake) bool { return !n.mayBe(other) }

func (n *namesake) isNot(other *namesake) bool {
	return n.server != "" && other.server != "" && n.server != other.server || n.place.Differs(other.place)
}

// called is what the ends of a group say by the names that they have for their
// cluster.
func (g clusterGroup) called() map[string]*namesake {
	out := map[string]*namesake{}
	for _, e := range g {
		if name, _ := e.cluster.Name.Str(); name != "" {
			if out[name] == nil {
				out[name] = &namesake{place: terraform.Place{}}
			}
			out[name].add(e.cluster.Place)
		}
	}
	for _, n := range out {
		n.server = g.server()
	}
	return out
}

// server is the server that the ends of a group have; "" if it is not known.
func (g clusterGroup) server() string {
	for _, e := range g {
		if server := e.cluster.ServerURL(); server != "" {
			return server
		}
	}
	return ""
}

// differs reports whether two groups are known to lead to different clusters, by
// their servers, or by the names of their clusters and what tells two of one name apart.
func (g clusterGroup) differs(other clusterGroup, apart func(a, b *namesake) bool) bool {
	if a, b := g.server(), other.server(); a != "" && b != "" && a != b {
		return true
	}
	ours, theirs := g.called(), other.called()
	differ := len(ours) > 0 && len(theirs) > 0
	for name, n := range ours {
		if theirs[name] == nil {
			continue
		}
		if differ = apart(n, theirs[name]); differ {
			return true
		}
	}
	return differ
}

// namesakes are the groups that are of this cluster by its name, beside those that
// are already known to be: of those that may be, there are no two that are known to
// be different, and none of them may be one that this is not.
func (l *LookedAt) namesakes(gs []clusterGroup, known []int) (mine []int) {
	type one struct {
		*namesake
		group int
	}
	isKnown := indexSet(known)
	here, may, not := map[string]*namesake{}, map[string][]one{}, map[string][]one{}
	for i, g := range gs {
		open := map[string]bool{} // the names of those of which nothing else tells it
		for _, e := range g {
			if name, _ := e.cluster.Name.Str(); l.hasName(name) {
				_, told := l.is(e.cluster)
				open[name] = open[name] || !told
			}
		}
		if len(open) == 0 {
			continue
		}
		called := g.called()
		for _, name := range sortedNames(open) {
			if here[name] == nil {
				here[name] = &namesake{place: terraform.Place{}}
				here[name].add(l.place())
			}
			switch {
			case isKnown[i]:
				here[name].add(called[name].place)
			case open[name]:
				may[name] = append(may[name], one{called[name], i})
			default:
				not[name] = append(not[name], one{called[name], i})
			}
		}
	}
	for _, name := range sortedNames(may) {
		var fit []one
		other := not[name]
		for _, o := range may[name] {
			if here[name].mayBe(o.namesake) {
				fit = append(fit, o)
			} else {
				other = append(other, o)
			}
		}
		if len(fit) > maxNamesakes || slices.ContainsFunc(fit, func(a one) bool { return slices.ContainsFunc(fit, func(b one) bool { return !a.mayBe(b.namesake) }) }) {
			continue
		}
		for _, o := range fit {
			if !slices.ContainsFunc(other, func(x one) bool { return o.mayBe(x.namesake) }) {
				mine = append(mine, o.group)
			}
		}
	}
	return mine
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
	gs := clusterGroups(all, o.LookedAt)
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
		open := slices.IndexFunc(g, func(e *end) bool { return len(e.cluster.Provider.Unknown) > 0 })
		notSaid := !isMine[i] && (open >= 0 || perhaps(g))
		for _, e := range g {
			for _, d := range e.agents {
				through := clusterGroup{e}.String()
				switch {
				case isMine[i]:
					out = append(out, d)
				case notSaid:
					why := "which does not say its cluster"
					if open >= 0 {
						why = "of which it is not known which it is: " + causeWords(g[open].cluster.Provider.Unknown)
					} else if e.cluster.FullName() != "" {
						why = "and there may be several clusters of that name, of which it does not say which"
					}
					find(TerraformClusterNotSaid.About("", d.ID+" of "+d.Terraform.Address, d.Terraform.Where, fmt.Sprintf("%s (%s) is declared through %s, %s", d.ID, d.Terraform.Address, through, why)))
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
// clusters differ, nor has a person said which is meant. So may one that calls its
// cluster as this one's is called.
func (g clusterGroup) perhapsOf(o TerraformOptions) func(clusterGroup) bool {
	names, said, called := map[string]bool{}, uint8(0), g.called()
	for _, e := range g {
		names[e.key()] = true
		said |= e.said()
	}
	return func(other clusterGroup) bool {
		if o.Provider != "" || slices.ContainsFunc(other, func(e *end) bool { _, known := o.LookedAt.is(e.cluster); return known }) {
			return false
		}
		if slices.ContainsFunc(other, func(e *end) bool { return names[e.key()] }) && !slices.ContainsFunc(other, func(e *end) bool { return e.said()&said != 0 }) {
			return true
		}
		for name, n := range other.called() {
			if called[name] != nil && called[name].mayBe(n) {
				return true
			}
		}
		return false
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
		mine = where(func(e *end) bool { return e.named(o.Provider) || e.isCalled(o.Provider) })
		for n, i := range mine[:min(len(mine), maxNamesakes)] {
			for _, j := range mine[:n] {
				switch {
				case gs[i].differs(gs[j], (*namesake).isNot):
					return nil, fmt.Sprintf("several clusters are meant by %q", o.Provider)
				case gs[i].differs(gs[j], (*namesake).isHardly):
					return nil, fmt.Sprintf("several clusters may be meant by %q: the roles that give tokens are of different accounts", o.Provider)
				}
			}
		}
		if len(mine) == 0 {
			why = fmt.Sprintf("none is declared through %q", o.Provider)
		}
		return mine, why
	}
	mine = where(func(e *end) bool { same, known := o.LookedAt.is(e.cluster); return same && known })
	if mine = append(mine, o.LookedAt.namesakes(gs, mine)...); len(mine) > 0 {
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
	case len(gs) == 0:
		return nil, ""
	case len(open) == 0:
		return nil, "the kubeconfig names " + o.LookedAt.String() + ", and the configuration names others"
	case len(gs) == 1:
		return open, ""
	case len(defaults) == 1:
		return defaults, ""
	}
	return nil, "it is not known which of them is this cluster"
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
