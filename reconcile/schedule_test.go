package reconcile

import (
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
)

func TestDecideFindsWhatIsDue(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	in := inputs{uid: "u", generation: 3, revision: "main@sha1:a", digest: "d"}
	checked := func(ago time.Duration) *check { return &check{inputs: in, at: now.Add(-ago)} }
	for name, c := range map[string]struct {
		interval time.Duration
		last     *check
		drifted  bool
		notReady bool
		wait     bool
		want     action
		next     time.Duration
	}{
		"just checked":                     {interval: 5 * time.Minute, last: checked(time.Minute), want: idle, next: 5 * time.Minute},
		"interval passed":                  {interval: 5 * time.Minute, last: checked(6 * time.Minute), want: idle, next: 5 * time.Minute},
		"an hour passed":                   {interval: 10 * time.Minute, last: checked(time.Hour), want: verify, next: 10 * time.Minute},
		"twelve intervals passed":          {interval: time.Minute, last: checked(12 * time.Minute), want: verify, next: time.Minute},
		"full check before next interval":  {interval: 5 * time.Minute, last: checked(58 * time.Minute), want: idle, next: 2 * time.Minute},
		"interval longer than full check":  {interval: 2 * time.Hour, last: checked(61 * time.Minute), want: verify, next: 2 * time.Hour},
		"first after start, all as it was": {interval: time.Minute, want: verify, next: time.Minute},
		"first after start, not ready":     {interval: time.Minute, notReady: true, want: run, next: time.Minute},
		"drift":                            {interval: time.Minute, last: checked(time.Second), drifted: true, want: verify, next: time.Minute},
		"not ready":                        {interval: time.Minute, last: checked(time.Second), notReady: true, want: run, next: time.Minute},
		"failed a moment ago": {interval: time.Minute, notReady: true, want: idle, next: 10 * time.Second,
			last: &check{inputs: in, at: now, failed: true, retryAt: now.Add(10 * time.Second)}},
		"failed long ago": {interval: time.Minute, notReady: true, want: run, next: time.Minute,
			last: &check{inputs: in, at: now, failed: true, retryAt: now}},
		"failed a moment ago, new revision": {interval: time.Minute, notReady: true, want: run, next: time.Minute,
			last: &check{inputs: inputs{uid: "u", generation: 3, revision: "main@sha1:b", digest: "e"}, failed: true, retryAt: now.Add(time.Hour)}},
		"health is looked at each interval": {interval: time.Minute, last: checked(time.Second), wait: true, want: checkHealth, next: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			k := &kustomizev1.Kustomization{}
			k.Generation, k.Status.ObservedGeneration = 3, 3
			k.Status.LastAppliedRevision = in.revision
			k.Spec.Interval.Duration, k.Spec.Wait = c.interval, c.wait
			if !c.notReady {
				conditions.MarkTrue(k, fluxmeta.ReadyCondition, "x", "x")
			}
			got, why, next := decide(now, time.Hour, k, in, c.last, c.drifted)
			if got != c.want || next.Sub(now) != c.next {
				t.Errorf("action %d (%s), next in %s; want %d, %s", got, why, next.Sub(now), c.want, c.next)
			}
		})
	}
}

func TestAnyChangedInputRuns(t *testing.T) {
	base := inputs{uid: "u", generation: 1, revision: "r", digest: "d", requestedAt: "t", allowDeletions: "1", referred: "v"}
	for name, change := range map[string]func(*inputs){
		"uid": func(i *inputs) { i.uid = "x" }, "generation": func(i *inputs) { i.generation = 2 },
		"revision": func(i *inputs) { i.revision = "x" }, "digest": func(i *inputs) { i.digest = "x" },
		"request": func(i *inputs) { i.requestedAt = "x" }, "allowed deletions": func(i *inputs) { i.allowDeletions = "x" },
		"variables": func(i *inputs) { i.referred = "x" },
	} {
		k := &kustomizev1.Kustomization{}
		k.Spec.Interval.Duration = time.Minute
		conditions.MarkTrue(k, fluxmeta.ReadyCondition, "x", "x")
		changed := base
		change(&changed)
		if got, why, _ := decide(time.Now(), time.Hour, k, changed, &check{inputs: base, at: time.Now()}, false); got != run || why == "" {
			t.Errorf("%s: action %d, why %q", name, got, why)
		}
	}
}
