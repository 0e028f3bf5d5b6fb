package auditor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// followInterval is how often a followed log is looked at again.
const followInterval = 100 * time.Millisecond

// Reader yields the events of an audit log one by one. It holds one line at a
// time. It is not safe for concurrent use.
type Reader struct {
	// Follow makes Next wait for more at the end of the log, until its context
	// ends. The log must not be truncated or replaced meanwhile.
	Follow bool
	// Unreadable counts whole lines that are no audit event; they are skipped.
	Unreadable int
	// Torn tells, after io.EOF, that the log ends in the middle of a line.
	Torn bool

	in   *bufio.Reader
	line []byte
}

// NewReader reads the log from in.
func NewReader(in io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, 1<<20)}
}

// Next returns the next event whose response is complete. It returns io.EOF at
// the end, the context's error when that ends first, and any other error of
// reading as it is.
func (r *Reader) Next(ctx context.Context) (Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Event{}, err
		}
		part, err := r.in.ReadSlice('\n')
		r.line = append(r.line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && r.Follow:
			if err := pause(ctx, followInterval); err != nil {
				return Event{}, err
			}
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return Event{}, fmt.Errorf("read audit log: %w", err)
		}
		atEnd := err != nil
		line := bytes.TrimSpace(r.line)
		event, parseErr := Event{}, error(nil)
		if len(line) > 0 {
			event, parseErr = ParseEvent(line)
		}
		empty := len(line) == 0
		r.line = r.line[:0]
		switch {
		case empty && atEnd:
			return Event{}, io.EOF
		case empty:
		case parseErr != nil && atEnd:
			// The API server was writing, or was killed while it wrote.
			r.Torn = true
			return Event{}, io.EOF
		case parseErr != nil:
			r.Unreadable++
		case event.Stage == "ResponseComplete":
			return event, nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
