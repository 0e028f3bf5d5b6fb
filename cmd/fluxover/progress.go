package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/fluxover/fluxover/migrate/cutover"
)

// progress shows what a migration or a rollback does: a live display on a
// terminal, plain lines elsewhere.
type progress interface {
	// Event shows one event. It may be called from several goroutines.
	Event(cutover.Event)
	// Close puts the terminal in order. It must be called before anything
	// else is written.
	Close()
}

// newProgress picks the display for w; total is how many repositories there
// are to do.
func newProgress(ctx context.Context, w io.Writer, total int) progress {
	if isTerminal(w) {
		return newLive(ctx, w, total)
	}
	return &plainProgress{w: w}
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
	done    chan struct{}
}

func newLive(ctx context.Context, w io.Writer, total int) *live {
	l := &live{done: make(chan struct{})}
	// Signals stay with main, which ends the context; keys are not read.
	l.program = tea.NewProgram(liveModel{total: total, rows: map[string]row{}, begun: time.Now()},
		tea.WithContext(ctx), tea.WithOutput(w), tea.WithInput(nil), tea.WithoutSignalHandler(), tea.WithFPS(10))
	go func() {
		defer close(l.done)
		// A display that cannot be drawn must not stop a migration.
		_, _ = l.program.Run()
	}()
	return l
}

func (l *live) Event(e cutover.Event) {
	if e.State == cutover.EventNote || e.State == cutover.EventFailed || e.State == cutover.EventBlocked {
		l.program.Println(eventLine(e))
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
