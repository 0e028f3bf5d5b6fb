package migrate

import (
	"cmp"
	"fmt"
	"slices"
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
	Code    string `json:"code"`
	Subject string `json:"subject"`
	// Reason is kept in the plan. It may be empty on the command line; the
	// decisions file demands one.
	Reason string `json:"reason,omitempty"`
}

// Accepts reports whether one of the decisions names the finding's code and
// subject. A subject of "*" accepts the code for every subject.
func Accepts(decisions []Decision, f Finding) bool {
	if !f.Acceptable {
		return false
	}
	return slices.ContainsFunc(decisions, func(d Decision) bool {
		return d.Code == f.Code && (d.Subject == f.Subject || d.Subject == "*")
	})
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
