package emit

import (
	"slices"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
)

// noiseRule is one kind of difference that every hand-over makes, or the API
// server by itself, and that a person need not read of each object. A rule
// looks at the place and at both values, so that it hides nothing but what it
// says: another value at the same place is shown.
type noiseRule struct {
	// why is told with how many differences it hid.
	why string
	// rendering rules apply between the renderings as well; the others only
	// between the live object and what becomes of it.
	rendering bool
	hides     func(c *noiseContext, steps []step, before, after any) bool
}

// noiseContext is what a rule may know of the object.
type noiseContext struct {
	application string
	// added are the annotations that the plan puts on it on purpose.
	added map[string]string
	// rendersStatus is true if Git holds a status, which is then more than the
	// cluster's own word.
	rendersStatus bool
}

// noise is the whole list: what no rule names is shown.
var noise = []noiseRule{
	{
		why: "bookkeeping of the API server (managedFields, resourceVersion, generation)",
		hides: func(_ *noiseContext, steps []step, _, _ any) bool {
			return len(steps) >= 2 && steps[0].field == "metadata" && slices.Contains([]string{"managedFields", "resourceVersion", "generation"}, steps[1].field)
		},
	},
	{
		why: "status, which Git does not hold and controllers write",
		hides: func(c *noiseContext, steps []step, _, _ any) bool {
			return !c.rendersStatus && len(steps) > 0 && steps[0].field == "status"
		},
	},
	{
		why: "marks of Flux v1 and kubectl that go",
		hides: func(_ *noiseContext, steps []step, before, after any) bool {
			return before != nil && after == nil && len(steps) == 3 && steps[0].field == "metadata" && proof.RemovedMark(steps[1].field, steps[2].field)
		},
	},
	{
		why: "labels by which the new agent knows its objects", rendering: true,
		hides: func(c *noiseContext, steps []step, before, after any) bool {
			if before != nil || len(steps) != 3 || steps[0].field != "metadata" || steps[1].field != "labels" {
				return false
			}
			switch steps[2].field {
			case proof.LabelOwnerName:
				return after == c.application && c.application != ""
			case proof.LabelOwnerNamespace:
				return after == migrate.AgentNamespace
			}
			return false
		},
	},
	{
		why: "annotations that the plan puts on on purpose (named under adds)", rendering: true,
		hides: func(c *noiseContext, steps []step, before, after any) bool {
			if len(steps) != 3 || steps[0].field != "metadata" || steps[1].field != "annotations" {
				return false
			}
			value, added := c.added[steps[2].field]
			return added && before == nil && after == value
		},
	},
	{
		why: "an empty list of labels or annotations, which is as none", rendering: true,
		hides: func(_ *noiseContext, steps []step, before, after any) bool {
			return splits(steps) && empty(before) && empty(after)
		},
	},
}

func empty(v any) bool {
	m, ok := v.(map[string]any)
	return v == nil || ok && len(m) == 0
}

// hidden gives the reason for which a difference is not shown, or "".
func (c *noiseContext) hidden(rendering bool, steps []step, before, after any) string {
	for _, rule := range noise {
		if (rule.rendering || !rendering) && rule.hides(c, steps, before, after) {
			return rule.why
		}
	}
	return ""
}
