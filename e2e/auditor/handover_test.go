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

// The ClusterAgent answers a suspension within milliseconds, and its write may be
// logged before the executor's.
func TestASuspensionThatIsLoggedLateBeginsARollback(t *testing.T) {
	state := func(rv string, suspended bool) body {
		return body{
			"metadata": map[string]any{"resourceVersion": rv, "annotations": map[string]any{fluxoverPrefix + "id": "flux/shop"}},
			"spec":     map[string]any{"suspend": suspended},
		}
	}
	at := time.Now()
	for name, c := range map[string]struct {
		seen func(h *handovers)
		want bool
	}{
		"in order": {func(h *handovers) {
			h.observeKustomization(at, "a/b", state("10", false), true)
			h.observeKustomization(at, "a/b", state("11", true), true)
			h.observeKustomization(at, "a/b", state("12", true), false)
		}, true},
		"the agent's answer first": {func(h *handovers) {
			h.observeKustomization(at, "a/b", state("10", false), true)
			h.observeKustomization(at, "a/b", state("12", true), false)
			h.observeKustomization(at, "a/b", state("11", true), true)
		}, true},
		"staged long before": {func(h *handovers) {
			h.observeKustomization(at, "a/b", state("9", true), true)
			h.observeKustomization(at, "a/b", state("10", false), true)
			h.observeKustomization(at, "a/b", state("12", true), false)
			h.observeKustomization(at, "a/b", state("9", true), true)
		}, false},
		"suspended by somebody else": {func(h *handovers) {
			h.observeKustomization(at, "a/b", state("10", false), true)
			h.observeKustomization(at, "a/b", state("12", true), false)
		}, false},
	} {
		h := newHandovers()
		c.seen(h)
		if got := h.kustomization("a/b").rollbackAt(&Write{rv: 13}); got != c.want {
			t.Errorf("%s: a rollback is under way: %t", name, got)
		}
	}
}
