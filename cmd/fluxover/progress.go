package main

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/fluxover/fluxover/migrate/cutover"
)

// progress shows what a migration or a rollback does: a live display on a
// terminal, plain lines elsewhere.
type progress interface {
	// Event shows one event, or will soon. It may be called from several goroutines.
	Event(cutover.Event)
	// Close puts the terminal in order. It must be called before anything
	// else is written.
	Close()
}

// newProgress picks the display for w; total is how many repositories there
// are to do. When ctx ends, the display says so and goes on: what must not stay
// half done is ended first.
//
// Nothing that happens to the display may hold up or end the run, in which a
// repository may be without an agent for the moment: not a terminal that takes
// no more, and not a pipe that nobody reads.
func newProgress(ctx context.Context, w io.Writer, total int) progress {
	signal.Ignore(syscall.SIGPIPE)
	var shown progress = &plainProgress{w: w}
	if isTerminal(w) {
		shown = newLive(w, total)
	}
	q := newQueued(shown)
	said := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(said)
		q.Event(cutover.Event{At: time.Now(), State: cutover.EventNote, Message: "interrupted: what must not stay half done is ended first"})
	})
	q.last = func() {
		if !stop() {
			<-said
		}
	}
	return q
}

// queued hands events to a display one after the other and keeps nobody waiting
// for it.
type queued struct {
	shown progress
	last  func() // called before no more events are taken
	done  chan struct{}

	mu     sync.Mutex
	more   sync.Cond
	events []cutover.Event
	closed bool
}

func newQueued(shown progress) *queued {
	q := &queued{shown: shown, last: func() {}, done: make(chan struct{})}
	q.more.L = &q.mu
	go q.show()
	return q
}

// show is the only one to talk to the display.
func (q *queued) show() {
	defer close(q.done)
	for {
		q.mu.Lock()
		for len(q.events) == 0 && !q.closed {
			q.more.Wait()
		}
		events := q.events
		q.events = nil
		q.mu.Unlock()
		if len(events) == 0 {
			q.shown.Close()
			return
		}
		for _, e := range events {
			q.shown.Event(e)
		}
	}
}

func (q *queued) Event(e cutover.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.events = append(q.events, e)
		q.more.Signal()
	}
}

func (q *queued) Close() {
	q.last()
	q.mu.Lock()
	q.closed = true
	q.more.Signal()
	q.mu.Unlock()
	<-q.done
}

// plainProgress writes a line per event that ends something.
type plainProgress struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *plainProgress) Event(e cutover.Event) {
	if e.State == cutover.EventStarted {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.w, eventLine(e))
}

func (p *plainProgress) Close() {}

// eventLine is one event on one line.
func eventLine(e cutover.Event) string {
	subject := e.Repository
	if subject == "" {
		subject = "cluster"
	}
	elapsed := ""
	if e.State != cutover.EventNote {
		elapsed = seconds(e.Elapsed)
	}
	return strings.TrimRight(fmt.Sprintf("%s  %-28s  %-11s  %-6s  %6s  %s",
		e.At.Local().Format(time.TimeOnly), subject, e.Step, e.State, elapsed, e.Message), " ")
}

// live is the display on a terminal: what is under way, redrawn in place;
// failures and notes scroll by above it.
type live struct {
	program *tea.Program
	done    chan struct{}  // closed when nothing is drawn any more
	plain   *plainProgress // which then takes its place
}

func newLive(w io.Writer, total int) *live {
	l := &live{done: make(chan struct{}), plain: &plainProgress{w: w}}
	// Signals stay with main, keys are not read.
	l.program = tea.NewProgram(liveModel{total: total, rows: map[string]row{}, begun: time.Now()},
		tea.WithOutput(w), tea.WithInput(nil), tea.WithoutSignalHandler(), tea.WithFPS(10))
	go func() {
		defer close(l.done)
		_, _ = l.program.Run() // what cannot be drawn is written, see Event
	}()
	return l
}

func (l *live) Event(e cutover.Event) {
	select {
	case <-l.done:
		l.plain.Event(e)
		return
	default:
	}
	if e.State == cutover.EventNote || e.State == cutover.EventFailed || e.State == cutover.EventBlocked {
		// Not by the program's own Println, which waits for ever once the program has ended.
		l.program.Send(tea.Println(eventLine(e))())
	}
	l.program.Send(e)
}

func (l *live) Close() {
	l.program.Quit()
	<-l.done
}

// row is a repository on its way.
type row struct {
	step  string
	since time.Time
	state cutover.EventState
}

type tick time.Time

// liveModel is what the live display shows.
type liveModel struct {
	total  int
	rows   map[string]row
	begun  time.Time
	now    time.Time
	height int
	width  int
}

func nextTick() tea.Cmd {
	return tea.Tick(200*time.Millisecond, func(t time.Time) tea.Msg { return tick(t) })
}

func (m liveModel) Init() tea.Cmd { return nextTick() }

func (m liveModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tick:
		m.now = time.Time(msg)
		return m, nextTick()
	case tea.WindowSizeMsg:
		m.height, m.width = msg.Height, msg.Width
	case cutover.Event:
		if msg.State != cutover.EventNote {
			m.rows[msg.Repository] = row{step: msg.Step, since: msg.At, state: msg.State}
		}
	}
	return m, nil
}

// lastSteps are the steps after which a repository is through: forward, and
// back.
var lastSteps = []string{"settle", "undo-lock"}

func (m liveModel) View() tea.View {
	var active []string
	finished, failed, blocked := 0, 0, 0
	for id, r := range m.rows {
		switch {
		case r.state == cutover.EventFailed:
			failed++
		case r.state == cutover.EventBlocked:
			blocked++
		case slices.Contains(lastSteps, r.step) && r.state != cutover.EventStarted:
			finished++
		case id != "" || r.state == cutover.EventStarted:
			active = append(active, id)
		}
	}
	slices.Sort(active)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d of %d done", bar(finished, m.total, 24), finished, m.total)
	if failed > 0 {
		fmt.Fprintf(&b, ", %d failed", failed)
	}
	if blocked > 0 {
		fmt.Fprintf(&b, ", %d held back", blocked)
	}
	if !m.now.IsZero() {
		fmt.Fprintf(&b, "  %s", m.now.Sub(m.begun).Round(time.Second))
	}
	b.WriteByte('\n')
	most := max(4, m.height-4)
	for i, id := range active {
		if i == most {
			fmt.Fprintf(&b, "  and %d more\n", len(active)-most)
			break
		}
		r := m.rows[id]
		if id == "" {
			id = "cluster"
		}
		fmt.Fprintf(&b, "  %-34s  %-11s  %s\n", id, r.step, m.now.Sub(r.since).Truncate(100*time.Millisecond))
	}
	return tea.NewView(b.String())
}

// bar draws how much is done.
func bar(done, total, width int) string {
	filled := 0
	if total > 0 {
		filled = min(width, done*width/total)
	}
	return strings.Repeat("█", filled) + strings.Repeat("░", width-filled)
}
