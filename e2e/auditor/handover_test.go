package auditor

import (
	"strconv"
	"testing"
	"time"
)

func TestAStateThatIsLoggedLateDoesNotEndARollback(t *testing.T) {
	state := func(rv int, suspended bool) body {
		return body{
			"metadata": map[string]any{"resourceVersion": strconv.Itoa(rv), "annotations": map[string]any{"fluxover.dev/repository": "flux/a"}},
			"spec":     map[string]any{"suspend": suspended, "sourceRef": map[string]any{"name": "a"}},
		}
	}
	h, now := newHandovers(), time.Now()
	const name = "flux-system/a"
	h.observeKustomization(now, name, state(1, false), true)
	h.observeKustomization(now, name, state(3, true), true)
	// The new agent wrote its status just before, and was answered just after.
	h.observeKustomization(now, name, state(2, false), false)
	h.observeKustomization(now, name, state(4, true), false)
	k := h.kustomization(name)
	if !k.rollbackAt(&Write{Time: now.Add(time.Second), rv: 5}) {
		t.Errorf("a rollback is under way, and is not seen: %+v", k.phases)
	}
}
