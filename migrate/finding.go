package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a Finding means for the plan.
type Severity string

const (
	// Blocker: the Repository (or, with an empty subject, the cluster) cannot
	// be migrated until it is mended or, where the finding says so, accepted.
	Blocker Severity = "blocker"
	// Warning: a person should know before going on.
	Warning Severity = "warning"
	// Info: a fact worth a line in the review.
	Info Severity = "info"
)

// Finding is one thing that a person should know: a loss, a doubt, an
// obstacle. Findings are data, not errors; they are collected, sorted and
// shown together.
type Finding struct {
	Severity Severity `json:"severity"`
	// Code is stable and names the kind of finding, such as "CLUSTER_ADMIN".
	Code string `json:"code"`
	// Subject is what it is about: a Repository id, an object id prefixed by
	// its Repository id and a space, or empty for the whole cluster.
	Subject string `json:"subject"`
	// Where is the place that shows it: file and line in the repository, an
	// object in the cluster, a Terraform address. May be empty.
	Where string `json:"where,omitempty"`
	// Message says what is so, in one sentence without a full stop.
	Message string `json:"message"`
	// Hint says what to do about it.
	Hint string `json:"hint,omitempty"`
	// Acceptable is true if a person may decide to go on in spite of it, by
	// --accept CODE=SUBJECT or the decisions file.
	Acceptable bool `json:"acceptable,omitempty"`
	// Repository is the id of the Repository that it holds back; empty for
	// findings about the whole cluster.
	Repository string `json:"repository,omitempty"`
}

// Unread reports whether the finding says that something may not be read that a plan
// hangs on, and perhaps whether there are agents at all.
func (f Finding) Unread() bool {
	return f.Code == agentsUnknown || f.Code == "RBAC_MISSING" && f.Severity == Blocker
}

// unread names those of resources that may not be read by what findings say, of a repository or at all.
func unread(findings []Finding, repository string, resources ...string) []string {
	var out []string
	for _, f := range findings {
		if !f.Unread() || f.Repository != "" && f.Repository != repository {
			continue
		}
		for resource := range strings.SplitSeq(f.Where, ", ") {
			if slices.Contains(resources, resource) && !slices.Contains(out, resource) {
				out = append(out, resource)
			}
		}
	}
	slices.Sort(out)
	return out
}

// lacksRight reports whether findings say of an agent that objects of some resources may not be read.
func lacksRight(findings []Finding, repository string, resources ...string) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool {
		return f.Unread() && f.Repository == repository && slices.ContainsFunc(strings.Split(f.Where, ", "), func(of string) bool {
			kind, _, _ := strings.Cut(of, "/")
			return slices.Contains(resources, kind)
		})
	})
}

// Untold names what may not be read, by what findings say, and tells what the agent synced last: the Secret
// in which it notes it, and what opens its repository, which are what is read of an agent by name.
func (a *Flux1Agent) Untold(findings []Finding) []string {
	tells := []string{"secrets/" + a.Credential.Identity.Name}
	if a.Sync.State == "secret" {
		tells = append(tells, "secrets/"+a.Git.SecretName)
	}
	for _, f := range findings {
		if f.Repository == a.ID && f.Unread() {
			for resource := range strings.SplitSeq(f.Where, ", ") {
				if kind, _, byName := strings.Cut(resource, "/"); byName && (kind == "secrets" || kind == "configmaps") {
					tells = append(tells, resource)
				}
			}
		}
	}
	return unread(findings, a.ID, tells...)
}

// AgentsUnknown reports whether the findings say that there may be other agents than
// those that were found: who asked may not look for them.
func AgentsUnknown(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Code == agentsUnknown })
}

// Unread are the findings of a plan, about a Repository or the whole, that something may not
// be read which could be when another plan was made: what differs between the two may only
// not be seen.
func (p *Plan) Unread(before *Plan, id string) []Finding {
	var out []Finding
	for _, f := range p.Findings {
		if f.Unread() && (f.Repository == "" || f.Repository == id) &&
			!slices.ContainsFunc(before.Findings, func(was Finding) bool {
				return was.Code == f.Code && was.Repository == f.Repository && was.Message == f.Message
			}) {
			out = append(out, f)
		}
	}
	return out
}

// agentsUnknown is the code of the finding that it is not known which agents there are.
const agentsUnknown = "AGENTS_UNKNOWN"

// String gives the finding on one line, for errors and logs.
func (f Finding) String() string {
	s := fmt.Sprintf("%s %s", f.Severity, f.Code)
	if f.Subject != "" {
		s += " " + f.Subject
	}
	if f.Where != "" {
		s += " (" + f.Where + ")"
	}
	return s + ": " + f.Message
}

// Decision is a person's word on an acceptable finding.
type Decision struct {
	Code string `json:"code"`
	// Subject is the finding's, as in its JSON, or, when given to [Plan.Settle], as
	// it is shown (see [DisplaySubject]) where that is one finding's subject only;
	// "*" stands for every subject.
	Subject string `json:"subject"`
	// Reason is kept in the plan. It may be empty on the command line; the
	// decisions file demands one.
	Reason string `json:"reason,omitempty"`
}

// names reports whether a decision is about a finding.
func (d Decision) names(f Finding) bool {
	return d.Code == f.Code && (d.Subject == f.Subject || d.Subject == "*")
}

// meant is a decision with the subject of the plan's finding that is shown as the
// one it gives. If several are, as objects of one kind and name in two API groups, it
// is left as it is, since one word is not for all of them; several are their subjects.
func (p *Plan) meant(d Decision) (meant Decision, several []string) {
	var shown []string
	for _, f := range p.Findings {
		switch {
		case d.names(f):
			return d, nil
		case f.Code == d.Code && DisplaySubject(f.Subject) == d.Subject && !slices.Contains(shown, f.Subject):
			shown = append(shown, f.Subject)
		}
	}
	if len(shown) > 1 {
		return d, shown
	}
	for _, subject := range shown {
		d.Subject = subject
	}
	return d, nil
}

// Accepts reports whether one of the decisions names the finding's code and
// subject.
func Accepts(decisions []Decision, f Finding) bool {
	return f.Acceptable && slices.ContainsFunc(decisions, func(d Decision) bool { return d.names(f) })
}

// AcceptFlag is the flag that accepts the finding of a code about a subject, as a
// shell takes it.
func AcceptFlag(code, subject string) string {
	return "--accept '" + strings.ReplaceAll(code+"="+cmp.Or(subject, "*"), "'", `'\''`) + "'"
}

// Idle says of each decision that accepts nothing of the plan why not, so that a
// slip is seen. One about every subject may well find none, and one about a
// repository that was not planned finds none.
func (p *Plan) Idle(decisions []Decision) []string {
	var said []string
	for _, given := range decisions {
		d, several := p.meant(given)
		accepts, refused := false, false
		var subjects []string
		for _, f := range p.Findings {
			switch {
			case f.Code != d.Code:
			case d.names(f) && f.Acceptable:
				accepts = true
			case d.names(f):
				refused = true
			case f.Acceptable:
				subjects = append(subjects, cmp.Or(DisplaySubject(f.Subject), "*"))
			}
		}
		id, _, _ := strings.Cut(d.Subject, " ")
		_, known := p.Inputs.Agents[id]
		why := "it finds no " + d.Code + " that can be accepted"
		switch {
		case accepts, !refused && d.Subject == "*", known && p.Repository(id) == nil:
			continue
		case len(several) > 0:
			why = "it is shown so of several; give one as it stands in the plan's JSON: " + strings.Join(several, ", ")
		case refused:
			why = "what it is about cannot be accepted in this case"
		case len(subjects) > 0:
			why = "no " + d.Code + " is about that; " + NearIDs(d.Subject, slices.Compact(slices.Sorted(slices.Values(subjects))))
		}
		said = append(said, fmt.Sprintf("%s=%s accepts nothing: %s", given.Code, given.Subject, why))
	}
	return said
}

// SortFindings puts findings in the order in which they are shown: worst
// first, then by Repository, code, subject, place and message. Equal findings
// are reported once.
func SortFindings(findings []Finding) []Finding {
	rank := map[Severity]int{Blocker: 0, Warning: 1, Info: 2}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(rank[a.Severity], rank[b.Severity]),
			cmp.Compare(a.Repository, b.Repository),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Subject, b.Subject),
			cmp.Compare(a.Where, b.Where),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(findings)
}
