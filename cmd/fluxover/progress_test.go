package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/creack/pty"

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

// terminal opens a pseudo-terminal; what is written to the second is read from
// the first.
func terminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, screen, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		screen.Close()
		keyboard.Close()
	})
	return keyboard, screen
}

// within fails the test if do does not return soon.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: not within 20 s", what)
	}
}

func note(text string) cutover.Event {
	return cutover.Event{At: time.Now(), Repository: "flux/a", Step: "adopt", State: cutover.EventNote, Message: text}
}

func TestAnInterruptedRunIsShownToItsEnd(t *testing.T) {
	keyboard, screen := terminal(t)
	var seen bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&seen, keyboard) // ends in an error when the screen is closed
	}()
	ctx, cancel := context.WithCancel(t.Context())
	p := newProgress(ctx, screen, 3)
	p.Event(note("before it"))
	cancel()
	within(t, "events after an interrupt", func() {
		for range 20 {
			p.Event(note("gap 0.9 s"))
		}
		p.Close()
	})
	screen.Close()
	<-read
	for _, want := range []string{"before it", "interrupted: what must not stay half done is ended first", "gap 0.9 s"} {
		if !strings.Contains(seen.String(), want) {
			t.Errorf("the display does not say %q: %q", want, seen.String())
		}
	}
}

func TestATerminalThatTakesNothingHoldsUpNothing(t *testing.T) {
	keyboard, screen := terminal(t)
	p := newProgress(t.Context(), screen, 3)
	within(t, "events to a terminal that nobody reads", func() {
		for range 5000 {
			p.Event(note(strings.Repeat("x", 70)))
		}
	})
	go func() { _, _ = io.Copy(io.Discard, keyboard) }()
	within(t, "the end of the display", p.Close)
}

func TestWhatCannotBeDrawnIsWritten(t *testing.T) {
	var text bytes.Buffer
	l := &live{program: tea.NewProgram(liveModel{}, tea.WithInput(nil)), done: make(chan struct{}), plain: &plainProgress{w: &text}}
	close(l.done) // as when drawing failed
	within(t, "an event", func() { l.Event(note("gap 0.9 s")) })
	if !strings.Contains(text.String(), "gap 0.9 s") {
		t.Errorf("got %q", text.String())
	}
}

func TestAPipeThatNobodyReadsDoesNotEndARun(t *testing.T) {
	if os.Getenv("FLUXOVER_TEST_PIPE") != "" {
		p := newProgress(t.Context(), os.Stderr, 3)
		for range 10 {
			p.Event(note("written to nobody"))
		}
		p.Close()
		fmt.Println("went on")
		os.Exit(0)
	}
	reading, writing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reading.Close()
	defer writing.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "FLUXOVER_TEST_PIPE=1")
	cmd.Stderr = writing
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "went on") {
		t.Errorf("%v, said %q", err, out)
	}
}

func TestAQuestionEndsWithAnInterrupt(t *testing.T) {
	keyboard, screen := terminal(t)
	go func() { _, _ = io.Copy(io.Discard, keyboard) }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	within(t, "the question", func() {
		err := confirm(ctx, streams{In: screen, Err: screen}, "hand over?")
		var exit *exitError
		if !errors.As(err, &exit) || exit.Code != exitInterrupted {
			t.Errorf("got %v", err)
		}
	})
}

func TestATerminalThatGoesAwayInterruptsUnlessTheUserSaidOtherwise(t *testing.T) {
	if !slices.Contains(interrupts(), os.Signal(syscall.SIGHUP)) && !signal.Ignored(syscall.SIGHUP) {
		t.Error("a terminal that goes away would end the program at once")
	}
	signal.Ignore(syscall.SIGHUP) // as nohup does
	defer signal.Reset(syscall.SIGHUP)
	if slices.Contains(interrupts(), os.Signal(syscall.SIGHUP)) {
		t.Error("nohup is not heeded")
	}
}

// A command that only reads ends after an interrupt even where what it works on cannot be
// interrupted; one that changes something ends what it has begun.
func TestACommandThatOnlyReadsEndsInTime(t *testing.T) {
	for args, want := range map[string]bool{"discover --wide": true, "--namespace x plan": true, "migrate plan.yaml": false, "rollback --dry-run": false, "agent": false, "": false} {
		if got := isOf(strings.Fields(args), onlyReading); got != want {
			t.Errorf("%q changes nothing: %v", args, got)
		}
	}
	for args, want := range map[string]bool{"discover": true, "plan --wide": true, "status --watch": false, "migrate": false} {
		if got := isOf(strings.Fields(args), bounded); got != want {
			t.Errorf("%q is bounded: %v", args, got)
		}
	}
	for _, twice := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			signals, ended := make(chan os.Signal, 1), false
			go endInTime(ctx, func() <-chan os.Signal { return signals }, func() { ended = true })
			synctest.Wait()
			cancel()
			synctest.Wait()
			if ended {
				t.Error("it has no time to end by itself")
			}
			if twice {
				signals <- os.Interrupt
			} else {
				time.Sleep(patienceToEnd) // in the time of the bubble
			}
			if synctest.Wait(); !ended {
				t.Errorf("interrupted twice %v: it goes on", twice)
			}
		})
	}
}
