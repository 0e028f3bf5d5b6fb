package emit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// rightsView is the difference between what the old agents' accounts may do and
// what the new ones may, as every review shows it.
type rightsView struct {
	// Kept is what both may do, Lost what only the old ones may, Gained what only
	// the new ones may; what is the same for several repositories once.
	Kept, Lost, Gained []rightsGroup
	// Unknown are the repositories whose old account's rights are not known.
	Unknown []string
	// None stands where Kept, Lost or Gained are empty: that is nothing only as far
	// as rights are known.
	None string
	// Flags of the ClusterAgent that keep repositories apart, and FlagsWhy it
	// has them, or none.
	Flags    []string
	FlagsWhy string
}

// rightsGroup are repositories that may do the same, each in its own namespaces.
type rightsGroup struct {
	// What they may do: "everything in one namespace".
	What    string
	Members []rightsMember
}

type rightsMember struct {
	ID string
	// What with the namespaces by name: "everything in namespace shop".
	What string
	// Where are the namespaces that the group's words leave out, or what the
	// objects need of rights in the whole cluster; empty if there is no such.
	Where string
}

// String names a member with its place.
func (m rightsMember) String() string {
	if m.Where == "" {
		return m.ID
	}
	return m.ID + " (" + m.Where + ")"
}

// all gives one text for each repository of a group.
func (g rightsGroup) all() []string {
	out := make([]string, 0, len(g.Members))
	for _, m := range g.Members {
		out = append(out, m.String())
	}
	return out
}

// Text says what the group may do, and of how many it is said.
func (g rightsGroup) Text() string {
	if len(g.Members) == 1 {
		return g.Members[0].ID + ": " + g.Members[0].What
	}
	return fmt.Sprintf("%s (%d)", g.What, len(g.Members))
}

// Names are those of several members, with the places that Text leaves out.
func (g rightsGroup) Names() string {
	if len(g.Members) == 1 {
		return ""
	}
	return strings.Join(g.all(), ", ")
}

func (r *Report) rights() rightsView {
	var v rightsView
	for _, repo := range r.Plan.Repositories {
		if repo.Rights == nil {
			v.Unknown = append(v.Unknown, repo.ID)
			continue
		}
		v.Kept = withRights(v.Kept, repo.ID, repo.Rights.Kept, repo.Rights.Needs)
		v.Lost = withRights(v.Lost, repo.ID, repo.Rights.Lost, nil)
		v.Gained = withRights(v.Gained, repo.ID, repo.Rights.Gained, nil)
	}
	v.Flags, v.FlagsWhy = r.Plan.ClusterAgent.Args, r.flagsWhy()
	switch len(v.Unknown) {
	case 0:
		v.None = "nothing"
	case len(r.Plan.Repositories):
		v.None = notKnown
	default:
		v.None = "nothing that is known"
	}
	return v
}

// verdict sums the comparison up.
func (v rightsView) verdict() string {
	count := func(groups []rightsGroup) (n int) {
		for _, g := range groups {
			n += len(g.Members)
		}
		return n
	}
	if v.None == notKnown {
		return "what they gain and lose cannot be told"
	}
	gain := "no account gains any"
	if n := count(v.Gained); n > 0 {
		gain = fmt.Sprintf("%d would gain some", n)
	}
	lose := "none loses any"
	if n := count(v.Lost); n > 0 {
		lose = fmt.Sprintf("%d would lose some", n)
	}
	if n := len(v.Unknown); n > 0 {
		lose += fmt.Sprintf(", %d cannot be told", n)
	}
	return gain + ", " + lose
}

// notKnown stands where rights would, if those of no repository are known.
const notKnown = "not known"

// staysConfined is why the ClusterAgent has flags that keep repositories apart.
const staysConfined = "stays so: whoever may write Kustomizations gains nothing by leaving the account out or by naming another namespace's source"

func (r *Report) flagsWhy() string {
	if len(r.Plan.ClusterAgent.Args) == 0 {
		return "no agent is confined, so there is nothing that the new one must keep apart"
	}
	confined, open := 0, 0
	for _, a := range r.Inventory.Agents {
		switch {
		case a.Confinement.Kind == "":
			open++
		case a.Confined():
			confined++
		}
	}
	of := fmt.Sprintf("%d of %s", confined, migrate.Count(len(r.Inventory.Agents), "agent"))
	if open > 0 {
		of += fmt.Sprintf("; of %d it is not known", open)
	}
	return fmt.Sprintf("who is confined (%s) %s", of, staysConfined)
}

// withRights puts a repository to the others that may do the same.
func withRights(groups []rightsGroup, id string, scopes []migrate.ScopedRules, needs []migrate.ScopedKinds) []rightsGroup {
	if len(scopes) == 0 {
		return groups
	}
	what, member := rightsInWords(scopes)
	member.ID = id
	if member.Where == "" && scopes[0].Namespace == "" && len(needs) > 0 {
		member.Where = "needs only " + neededText(needs)
	}
	i := slices.IndexFunc(groups, func(g rightsGroup) bool { return g.What == what })
	if i < 0 {
		i, groups = len(groups), append(groups, rightsGroup{What: what})
	}
	groups[i].Members = append(groups[i].Members, member)
	return groups
}

// rightsInWords writes rights for people, the same in several namespaces once.
// what leaves the namespaces out if the same is said of all of them.
func rightsInWords(scopes []migrate.ScopedRules) (what string, member rightsMember) {
	var rules []string
	places := map[string][]string{}
	for _, s := range scopes {
		text := rulesInWords(s.Texts())
		if s.Namespace == "" {
			text += " in the whole cluster"
		}
		if places[text] == nil {
			rules = append(rules, text)
		}
		places[text] = append(places[text], s.Namespace)
	}
	several := 0
	var short, long []string
	for _, text := range rules {
		in := places[text]
		if in[0] == "" {
			short, long = append(short, text), append(long, text)
			continue
		}
		several++
		member.Where = strings.Join(in, ", ")
		if len(in) == 1 {
			short, long = append(short, text+" in one namespace"), append(long, text+" in namespace "+in[0])
		} else {
			short, long = append(short, fmt.Sprintf("%s in %d namespaces", text, len(in))), append(long, text+" in namespaces "+member.Where)
		}
	}
	member.What = strings.Join(long, "; ")
	if several > 1 {
		// What is said of which namespace would be lost without their names.
		member.Where = ""
		return member.What, member
	}
	return strings.Join(short, "; "), member
}

// mostRules of one account in one place are written where several accounts are
// spoken of; --explain and the page have all.
const mostRules = 5

func rulesInWords(texts []string) string {
	words := map[string]string{"* */*": "everything", "* core/*": "everything of the core group", "* *": "every URL"}
	var out []string
	for i, text := range texts {
		if i == mostRules && len(texts) > mostRules+1 {
			out = append(out, fmt.Sprintf("%d more rules", len(texts)-i))
			break
		}
		if word := words[text]; word != "" {
			text = word
		}
		out = append(out, text)
	}
	if len(out) > 1 {
		return strings.Join(out[:len(out)-1], "; ") + " and " + out[len(out)-1]
	}
	return strings.Join(out, "")
}

// neededText says what would be enough.
func neededText(needs []migrate.ScopedKinds) string {
	var parts, namespaces []string
	for _, n := range needs {
		if n.Namespace == "" {
			parts = append(parts, strings.Join(n.Kinds, ", "))
		} else {
			namespaces = append(namespaces, n.Namespace)
		}
	}
	switch {
	case len(namespaces) == 1:
		parts = append([]string{"namespace " + namespaces[0]}, parts...)
	case len(namespaces) > 1:
		parts = append([]string{"namespaces " + strings.Join(namespaces, ", ")}, parts...)
	}
	return strings.Join(parts, " and ")
}
