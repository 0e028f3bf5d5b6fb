package gitserver

import (
	"context"
	"fmt"
	"time"
)

// Fault is a way in which a repository misbehaves, for tests.
type Fault string

const (
	// None is a repository that works.
	None Fault = ""
	// Refuse closes the connection without an answer.
	Refuse Fault = "refuse"
	// Hang takes the request and answers nothing for HangLimit, or until the
	// client gives up or the server stops; then it closes the connection.
	Hang Fault = "hang"
	// InternalError answers HTTP 500; over SSH the command fails with 128.
	InternalError Fault = "500"
)

// HangLimit bounds the fault Hang.
const HangLimit = 2 * time.Minute

// Fail makes every later request to a repository fail in the given way, until
// Fail is called with None. Requests already hanging stay so.
func (s *Server) Fail(repo string, how Fault) error {
	switch how {
	case None, Refuse, Hang, InternalError:
	default:
		return fmt.Errorf("make repository %s fail: unknown fault %q", repo, how)
	}
	if !s.serves(repo) {
		return fmt.Errorf("make repository %s fail: %w", repo, ErrNoRepository)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[repo] = how
	return nil
}

func (s *Server) fault(repo string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults[repo]
}

// hang waits as the fault Hang says.
func (s *Server) hang(ctx context.Context) {
	s.hanging.Add(1)
	defer s.hanging.Add(-1)
	timer := time.NewTimer(HangLimit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
