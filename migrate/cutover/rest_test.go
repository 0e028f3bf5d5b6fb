package cutover

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/migrate"
)

// reading is what one planning again finds.
type reading struct {
	mark, head string
	verb       migrate.Verb
}

func TestASyncThatIsUnderWayIsNoMove(t *testing.T) {
	const object = "shop_web_apps_Deployment"
	planOf := func(r reading) migrate.Plan {
		return migrate.Plan{Repositories: []migrate.Repository{{ID: "flux/a", Commit: r.mark, Objects: []migrate.ObjectPlan{{ID: object, Verb: r.verb}}}}}
	}
	var (
		planned = reading{"one", "one", migrate.Adopt}
		midway  = reading{"one", "two", migrate.Restart} // applied, and not marked yet
		synced  = reading{"two", "two", migrate.Adopt}
		edited  = reading{"one", "one", migrate.Restart} // by somebody else
	)
	for name, c := range map[string]struct {
		found []reading // the last one stays
		wait  time.Duration
		moved bool
		reads int // 0 means that any number will do
		said  bool
	}{
		"at rest":                         {[]reading{planned}, time.Minute, false, 1, false},
		"in the middle of a sync":         {[]reading{midway, synced}, time.Minute, false, 2, true},
		"a whole sync between two looks":  {[]reading{edited, synced}, time.Minute, false, 2, false},
		"somebody else":                   {[]reading{edited}, time.Minute, true, 2, false},
		"a sync that does not end":        {[]reading{midway}, 50 * time.Millisecond, true, 0, true},
		"somebody else during a sync":     {[]reading{midway, edited}, time.Minute, true, 2, true},
		"no waiting where none is wanted": {[]reading{midway, synced}, 0, true, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			reads, said := 0, false
			r := &repository{id: "flux/a", j: &journal{Repository: "flux/a", Commit: "one"}, env: &env{
				commits: CommitsEquivalent, syncWait: c.wait,
				emit: func(e Event) { said = said || strings.Contains(e.Message, "is syncing another commit") },
				replan: func(context.Context, []string) (migrate.Inventory, migrate.Plan, error) {
					found := c.found[min(reads, len(c.found)-1)]
					reads++
					a := migrate.Flux1Agent{ID: "flux/a", Replicas: 1, Synced: migrate.Synced{Commit: found.mark, Head: found.head}}
					return migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, planOf(found), nil
				},
			}}
			before := planOf(planned)
			slice, err := slicePlan(&before, "flux/a")
			if err != nil {
				t.Fatal(err)
			}
			if err := r.j.setPlan(slice); err != nil {
				t.Fatal(err)
			}
			err = recheck(t.Context(), r)
			if errors.Is(err, ErrMoved) != c.moved || err != nil && !c.moved {
				t.Errorf("got %v, want a move: %v", err, c.moved)
			}
			if c.reads > 0 && reads != c.reads || c.reads == 0 && reads < 2 {
				t.Errorf("planned again %d times, want %d", reads, c.reads)
			}
			if said != c.said {
				t.Errorf("the waiting was said: %v", said)
			}
		})
	}
}
