package cutover

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// longVariable asks for whole series instead of a sample of them, as in all
// tests.
const longVariable = "LONG"

type crashPoint struct {
	step string
	when When
}

// seedVariable takes another sample, as in all tests.
const seedVariable = "SEED"

// crashPoints are all points around all journal entries, forward or back, and
// around the one that is written in the middle of a step; a sample of n unless
// the whole series is asked for.
func crashPoints(t *testing.T, prefix string, n int) []crashPoint {
	t.Helper()
	var all []crashPoint
	for _, s := range steps {
		for _, when := range []When{BeforeStarted, AfterStarted, BeforeDone, AfterDone} {
			all = append(all, crashPoint{prefix + s.Name, when})
		}
	}
	if prefix == "" {
		all = append(all, crashPoint{fenceStopped, BeforeDone}, crashPoint{fenceStopped, AfterDone})
	}
	if os.Getenv(longVariable) != "" {
		return all
	}
	seed := uint64(7)
	if given := os.Getenv(seedVariable); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	rand.New(rand.NewPCG(seed, 11)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	t.Logf("a sample of %d of %d points, %s=%d; %s=1 runs all", n, len(all), seedVariable, seed, longVariable)
	return all[:n]
}

func TestLONGAsksForEveryCrashPoint(t *testing.T) {
	t.Setenv("LONG", "1")
	if got, want := len(crashPoints(t, "", 1)), 4*len(steps)+2; got != want {
		t.Errorf("%d points of %d", got, want)
	}
	if got, want := len(crashPoints(t, "undo-", 1)), 4*len(steps); got != want {
		t.Errorf("%d points back of %d", got, want)
	}
	t.Setenv("LONG", "")
	if got := len(crashPoints(t, "", 3)); got != 3 {
		t.Errorf("%d points, want a sample of 3", got)
	}
}

func TestSEEDAsksForAnotherSampleOfCrashPoints(t *testing.T) {
	t.Setenv(longVariable, "")
	samples := map[string]bool{}
	for _, seed := range []string{"1", "2", "3", "3"} {
		t.Setenv(seedVariable, seed)
		samples[fmt.Sprint(crashPoints(t, "", 6))] = true
	}
	if len(samples) != 3 {
		t.Errorf("3 seeds gave %d samples", len(samples))
	}
}

// at gives a hook that crashes once, at the point.
func (p crashPoint) at(hit *bool) func(string, string, When) bool {
	return func(_, step string, when When) bool {
		if !*hit && step == p.step && when == p.when {
			*hit = true
			return true
		}
		return false
	}
}

func TestAMigrationThatCrashedAnywhereIsEndedByTheNext(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	tm.must(tm.migrate())
	whole := withoutRun(tm.picture())
	tm.must(tm.rollback())
	tm.same("before the series", before, tm.picture())
	for _, p := range crashPoints(t, "", 5) {
		t.Run(fmt.Sprintf("%s %s", p.step, p.when), func(t *testing.T) {
			tm.t = t
			hit := false
			tm.crash = p.at(&hit)
			if err := tm.migrate(); !errors.Is(err, errCrash) || !hit {
				t.Fatalf("want a crash, got %v", err)
			}
			tm.crash = nil
			tm.breakLease()
			tm.must(tm.migrate())
			tm.same("the crashed and resumed migration ends as an unbroken one", whole, withoutRun(tm.picture()))
			tm.must(tm.rollback())
			tm.same("and goes back to the beginning", before, tm.picture())
		})
	}
}

func TestAMigrationThatCrashedAnywhereIsRolledBackExactly(t *testing.T) {
	tm := newTeam(t)
	before, uids := tm.picture(), tm.uids()
	for _, p := range crashPoints(t, "", 6) {
		t.Run(fmt.Sprintf("%s %s", p.step, p.when), func(t *testing.T) {
			tm.t = t
			hit := false
			tm.crash = p.at(&hit)
			if err := tm.migrate(); !errors.Is(err, errCrash) || !hit {
				t.Fatalf("want a crash, got %v", err)
			}
			tm.crash = nil
			tm.breakLease()
			tm.must(tm.rollback())
			tm.same("rolled back", before, tm.picture())
			for id, uid := range tm.uids() {
				if uids[id] != uid {
					t.Errorf("%s was made anew", id)
				}
			}
		})
	}
}

func TestARollbackThatCrashedAnywhereIsEndedByTheNext(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	for _, p := range crashPoints(t, "undo-", 5) {
		t.Run(fmt.Sprintf("%s %s", p.step, p.when), func(t *testing.T) {
			tm.t = t
			tm.must(tm.migrate())
			hit := false
			tm.crash = p.at(&hit)
			if err := tm.rollback(); !errors.Is(err, errCrash) || !hit {
				t.Fatalf("want a crash, got %v", err)
			}
			tm.crash = nil
			tm.breakLease()
			tm.must(tm.rollback())
			tm.same("rolled back", before, tm.picture())
		})
	}
}
