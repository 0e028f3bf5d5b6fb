package reconcile

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/fluxover/fluxover/reconcile/source"
	"k8s.io/apimachinery/pkg/types"
)

func TestOneQueryPerQuestionAndInterval(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var woken []types.NamespacedName
	p := &polls{now: func() time.Time { return now }, wake: func(n types.NamespacedName) { woken = append(woken, n) }}
	queries, head := 0, "a"
	ask := func(context.Context, source.Remote, source.Reference) (source.Revision, error) {
		queries++
		return source.Revision{SHA: head, Name: "main"}, nil
	}
	main := question{remote: source.Remote{URL: "https://git/x"}, reference: source.Reference{Branch: "main"}, credential: "c"}
	name := func(n string) types.NamespacedName { return types.NamespacedName{Namespace: "ns", Name: n} }
	resolve := func(n string, q question, force bool) (string, time.Duration) {
		t.Helper()
		revision, due, err := p.resolve(context.Background(), ask, name(n), q, time.Minute, force)
		if err != nil {
			t.Fatal(err)
		}
		return revision.SHA, due
	}

	resolve("one", main, true)
	now = now.Add(20 * time.Second)
	if sha, due := resolve("two", main, false); queries != 1 || sha != "a" || due != 40*time.Second {
		t.Errorf("second of the group: %d queries, %s, due in %s", queries, sha, due)
	}
	other := main
	other.credential = "d"
	if resolve("three", other, false); queries != 2 {
		t.Errorf("another credential got the answer of the first")
	}
	now, head = now.Add(40*time.Second), "b"
	if sha, _ := resolve("two", main, false); queries != 3 || sha != "b" {
		t.Errorf("after the interval: %d queries, %s", queries, sha)
	}
	if !slices.Equal(woken, []types.NamespacedName{name("one")}) {
		t.Errorf("woken %v", woken)
	}
	if sha, due := resolve("one", main, false); queries != 3 || sha != "b" || due != time.Minute {
		t.Errorf("the woken one: %d queries, %s, due in %s", queries, sha, due)
	}
	if resolve("one", main, true); queries != 4 {
		t.Error("a request was answered from memory")
	}
	fixed := main
	fixed.reference.Commit = "f"
	resolve("one", fixed, true)
	now = now.Add(time.Hour)
	if _, due := resolve("one", fixed, true); queries != 5 || due != -1 {
		t.Errorf("a known commit was asked for again: %d queries", queries)
	}
	p.leave(name("one"))
	p.leave(name("two"))
	p.leave(name("three"))
	if len(p.groups) != 0 || len(p.member) != 0 {
		t.Errorf("memory stays: %v", p.member)
	}
}

func TestFailedQueryIsNotRemembered(t *testing.T) {
	p := &polls{now: time.Now, wake: func(types.NamespacedName) {}}
	boom := errors.New("boom")
	fail := func(context.Context, source.Remote, source.Reference) (source.Revision, error) {
		return source.Revision{}, boom
	}
	for range 2 {
		if _, _, err := p.resolve(context.Background(), fail, types.NamespacedName{Name: "x"}, question{}, time.Minute, false); !errors.Is(err, boom) {
			t.Errorf("error %v", err)
		}
	}
}
