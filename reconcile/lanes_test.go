package reconcile

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestSlowWorkMakesRoomForOthers(t *testing.T) {
	l := newLanes(1, 20*time.Millisecond)
	slow, err := l.enter(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	quick, err := l.enter(ctx)
	if err != nil {
		t.Fatal("slow work holds the only fast lane for ever")
	}
	quick()
	quick()
	slow()
	if len(l.fast) != 0 || len(l.slow) != 0 {
		t.Errorf("%d fast and %d slow places are still taken", len(l.fast), len(l.slow))
	}
}

func TestWorkIsBounded(t *testing.T) {
	l := newLanes(2, time.Hour)
	for range 2 {
		if _, err := l.enter(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.enter(ctx); err == nil {
		t.Error("a third entered two lanes")
	}
}

func TestFirstApplicationsPassTheOthers(t *testing.T) {
	synctest.Test(t, testFirstApplications) // in a time that no busy machine can stretch
}

func testFirstApplications(t *testing.T) {
	const within = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	l := newLanes(1, time.Hour)
	l.linger = 20 * time.Millisecond
	busy, err := l.enter(ctx)
	if err != nil {
		t.Fatal(err)
	}
	first, err := l.enterFirst(ctx)
	if err != nil {
		t.Fatal("a first application waits for work of another kind")
	}
	busy()

	entered := make(chan func())
	go func() {
		leave, err := l.enter(ctx)
		if err != nil {
			t.Error(err)
		}
		entered <- leave
	}()
	select {
	case <-entered:
		t.Fatal("other work went on beside a first application")
	case <-time.After(50 * time.Millisecond):
	}
	first()
	time.Sleep(l.linger / 2)         // synthetic time: others are held back for the whole of linger, and not for less
	second, err := l.enterFirst(ctx) // what depends on the first
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-entered:
		t.Fatal("other work got between two first applications")
	case <-time.After(100 * time.Millisecond):
	}
	second()
	second()
	select {
	case leave := <-entered:
		leave()
	case <-ctx.Done():
		t.Fatal("other work never went on")
	}
	if len(l.fast)+len(l.first)+len(l.slow) != 0 || l.firsts != 0 {
		t.Errorf("places are still taken: %d fast, %d first, %d slow; %d first applications", len(l.fast), len(l.first), len(l.slow), l.firsts)
	}
}

func TestFirstApplicationsHoldOthersUpForAWhileOnly(t *testing.T) {
	l := newLanes(1, 20*time.Millisecond)
	if _, err := l.enterFirst(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.linger = 0
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := l.enter(ctx); err != nil {
		t.Error("a first application that does not end holds up all others")
	}
	for passing := l.letPass(); passing != nil; passing = l.letPass() {
		select {
		case <-passing:
		case <-ctx.Done():
			t.Fatal("a first application that does not end holds up each of the others for a while")
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	l.first <- struct{}{} // the place that the first one left for a slow one
	if _, err := l.enterFirst(ended); err == nil || l.firsts != 0 {
		t.Errorf("a first application that was given up is still waited for: %d, error %v", l.firsts, err)
	}
}

func TestAKustomizationIsAppliedFirstWithoutWaitingForOthers(t *testing.T) {
	const shard = "crowded"
	var l *lanes
	opts := testOptions(t.TempDir())
	opts.WatchLabelSelector, opts.Concurrent = shardKey+"="+shard, 1
	stop, err := startAgent(t.Context(), inLab(t).plane.Config(), opts, func(a *agent) {
		l = a.kustomizations.lanes
		l.patience = time.Hour
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	labels := map[string]string{shardKey: shard}
	files := func(value string) map[string]string {
		return map[string]string{"one/map.yaml": configMapYAML("", "one", value), "two/map.yaml": configMapYAML("", "two", value)}
	}
	e := newTeam(t, files("a"), func(r *sourcev1.GitRepository) { r.Labels = labels })
	mine := func(k *kustomizev1.Kustomization) { k.Labels, k.Spec.TargetNamespace = labels, e.namespace }
	one, two := e.kustomization("one", "./one", mine), e.kustomization("two", "./two", mine)
	e.create(one)
	until(e, one, "applied", func(k *kustomizev1.Kustomization) bool { return k.Status.LastAppliedRevision != "" })

	leave, err := l.enter(e.ctx) // whatever it is, it takes the place of all later applications
	if err != nil {
		t.Fatal(err)
	}
	e.create(two)
	until(e, two, "applied", func(k *kustomizev1.Kustomization) bool { return k.Status.LastAppliedRevision != "" })
	commit := e.push("second", files("b"))
	e.request(e.repository("app"), "now")
	until(e, e.repository("app"), "at "+commit, func(r *sourcev1.GitRepository) bool {
		return r.Status.Artifact != nil && r.Status.Artifact.Revision == "main@sha1:"+commit
	})
	time.Sleep(200 * time.Millisecond) // nothing tells that it was not applied; an application takes a tenth of this
	if e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(two), two)); two.Status.LastAppliedRevision == "main@sha1:"+commit {
		t.Error("a later application has a place of its own, too: the number of those is not bounded")
	}
	leave()
	e.untilReady(one, commit)
	e.untilReady(two, commit)
}
