package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/migrate/cutover"
)

func TestARepositoryThatIsHeldBackIsNoFailureOnTheDisplay(t *testing.T) {
	m := liveModel{total: 3, rows: map[string]row{}}
	for _, e := range []cutover.Event{
		{Repository: "flux/a", Step: "settle", State: cutover.EventDone},
		{Repository: "flux/b", State: cutover.EventBlocked, Message: "held back"},
		{Repository: "flux/c", Step: "fence", State: cutover.EventFailed},
	} {
		next, _ := m.Update(e)
		m = next.(liveModel)
	}
	if got := m.View().Content; !strings.Contains(got, "1 of 3 done, 1 failed, 1 held back") || strings.Contains(got, "flux/b") {
		t.Errorf("got %s", got)
	}
}

func TestPlainLinesNameWhatIsHeldBack(t *testing.T) {
	var text bytes.Buffer
	p := &plainProgress{w: &text}
	p.Event(cutover.Event{At: time.Now(), Repository: "flux/b", State: cutover.EventBlocked, Message: "held back: blocker X"})
	if !strings.Contains(text.String(), "flux/b") || !strings.Contains(text.String(), "blocked") || !strings.Contains(text.String(), "blocker X") {
		t.Errorf("got %s", text.String())
	}
}
