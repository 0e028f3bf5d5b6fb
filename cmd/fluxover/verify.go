package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
)

// verifyPlan plans again from fresh facts, with the options and decisions of a
// plan file, and tells what is different.
func (p *planFlags) verifyPlan(ctx context.Context, w *witnessFlags, s streams, k *kube, file, output string) error {
	if err := checkFormat(output, "text", "json", "yaml"); err != nil {
		return err
	}
	stored, err := openPlanFile(file)
	if err != nil {
		return err
	}
	if err := (&migrateOptions{plan: *p}).selectable(stored); err != nil {
		return err
	}
	opts := stored.Inputs.Options
	opts.Decisions = stored.Accepted
	_, res, done, err := proveWith(ctx, w, s, k, opts)
	defer done()
	if err != nil {
		return err
	}
	v, err := cutover.Verify(stored, &res.Plan, p.repos)
	if err != nil {
		return err
	}
	if output == "text" {
		err = writeVerification(s.Out, v, file)
	} else {
		err = write(s.Out, output, v)
	}
	unread := func(f migrate.Finding) bool {
		return slices.ContainsFunc(v.Repositories, func(r cutover.VerifiedRepository) bool { return slices.Contains(r.Unknown, f.Message) })
	}
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(v.Repositories, func(r cutover.VerifiedRepository) bool { return r.State == cutover.VerifiedUnknown }):
		return &exitError{Code: exitBlocked, Err: errors.New("it is not known whether the plan holds"), Hints: rightsHints(res.Plan.Findings, unread)}
	case slices.ContainsFunc(v.Repositories, func(r cutover.VerifiedRepository) bool { return r.State == cutover.VerifiedBlocked }):
		return &exitError{Code: exitBlocked}
	case !v.Holds:
		return &exitError{Code: exitDifferences}
	}
	return nil
}

// writeVerification writes it for people; file is that of the plan.
func writeVerification(w io.Writer, v cutover.Verification, file string) error {
	held := 0
	for _, r := range v.Repositories {
		if r.State == cutover.VerifiedHolds {
			held++
		}
	}
	switch {
	case v.Holds:
		fmt.Fprintf(w, "%s holds: it can be carried out as it was reviewed\n", file)
	case len(v.Moved) == 0 && slices.ContainsFunc(v.Repositories, func(r cutover.VerifiedRepository) bool { return r.State == cutover.VerifiedUnknown }):
		fmt.Fprintf(w, "you may not read what tells whether %s still holds\n", file)
	case held == len(v.Repositories):
		fmt.Fprintf(w, "%s was made from what is no longer so: plan again\n", file)
	default:
		fmt.Fprintf(w, "%s holds for %d of %d repositories; plan again for the others\n", file, held, len(v.Repositories))
	}
	line := func(word, text string) { fmt.Fprintf(w, "  %-7s  %s\n", word, text) }
	for _, m := range v.Moved {
		line("moved", m)
	}
	for _, r := range v.Repositories {
		if len(r.Moved)+len(r.Taken)+len(r.Unknown) == 0 && r.State == cutover.VerifiedHolds {
			continue
		}
		fmt.Fprintf(w, "\n%s  %s\n", r.ID, map[cutover.VerifiedState]string{cutover.VerifiedHolds: "holds", cutover.VerifiedMoved: "moved", cutover.VerifiedBlocked: `held back by a finding: "fluxover plan" names it`, cutover.VerifiedUnknown: "it is not known whether its agent is still there"}[r.State])
		for _, u := range r.Unknown {
			line("unknown", u)
		}
		for _, m := range r.Moved {
			line("moved", m)
		}
		for _, t := range r.Taken {
			line("taken", t)
		}
	}
	return nil
}
