//go:build !faults

package cutover

import "testing"

func TestNoVariableKillsAReleasedProgram(t *testing.T) {
	// A program that listened would end this very process.
	t.Setenv("FLUXOVER_CRASH", "||")
	for _, when := range []When{BeforeStarted, AfterStarted, BeforeDone, AfterDone} {
		if (&env{}).crashed("flux/a", "adopt", when) {
			t.Errorf("%s: a crash that nobody asked for", when)
		}
	}
}
