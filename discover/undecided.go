package discover

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// undecided reports whether a person is to decide what becomes of a setting, and no
// other finding tells of it.
func undecided(s migrate.Setting) bool {
	return s.Fate == migrate.Unknown && s.To == migrate.ByPerson
}

// maxUndecided bounds how many settings a finding names.
const maxUndecided = 20

// sayUndecided tells of what is undecided of each agent of an Inventory, in place of
// what was told before, and sorts the findings. What the settings are set to is not
// told: it may be secret.
func sayUndecided(inv *migrate.Inventory) {
	findings := slices.DeleteFunc(slices.Clone(inv.Findings), func(f migrate.Finding) bool {
		// Rights that were not known may have become so by what something else binds.
		return f.Code == Undecided.Name || f.Code == RightsUnknown.Name && slices.ContainsFunc(inv.Agents, func(a migrate.Flux1Agent) bool {
			return a.ID == f.Repository && !slices.Contains(a.Unknown, "confinement")
		})
	})
	for _, a := range inv.Agents {
		var names, bare []string
		where := ""
		for _, s := range a.Settings {
			if !undecided(s) {
				continue
			}
			name := fieldOf(s.Name)
			if len(s.From) > 0 {
				where = s.From[0].Where
			}
			placed := name
			if where != name { // of values that stand in no line of a file
				placed += " (" + where + ")"
			}
			if !slices.Contains(names, placed) {
				names, bare = append(names, placed), append(bare, name)
			}
		}
		switch len(names) {
		case 0:
			continue
		case 1:
			names = bare
		default:
			where = ""
		}
		f := Undecided.Finding(a.ID, where, fmt.Sprintf("a person is to decide what becomes of %s: %s",
			counted(len(names), "setting"), listed(names, len(names), maxUndecided)))
		kept := func(name string) bool { return strings.HasSuffix(name, preventDestroy) }
		if slices.ContainsFunc(bare, kept) { // which is not the agent's, but its resource's
			hint := "take " + preventDestroy + " out before the agent leaves Terraform, which refuses to destroy it otherwise"
			if f.Hint += "; " + hint; !slices.ContainsFunc(bare, func(name string) bool { return !kept(name) }) {
				f.Hint = hint
			}
		}
		findings = append(findings, f)
	}
	if inv.Findings = migrate.SortFindings(findings); inv.Findings == nil {
		inv.Findings = []migrate.Finding{}
	}
}
