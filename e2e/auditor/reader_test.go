package auditor

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const line = `{"stage":"ResponseComplete","verb":"get","requestURI":"/x","user":{"username":"a"},"stageTimestamp":"2026-11-22T10:00:00.000000Z"}`

func TestReaderSkipsOtherStagesAndCountsUnreadableLines(t *testing.T) {
	r := NewReader(strings.NewReader(strings.Join([]string{
		line, "", strings.Replace(line, "ResponseComplete", "ResponseStarted", 1), "not json", `{"a":1}`, line,
	}, "\n")))
	n := 0
	for {
		_, err := r.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	// The last line has no newline and is whole, so it counts.
	if n != 2 || r.Unreadable != 2 || r.Torn {
		t.Errorf("events %d, unreadable %d, torn %v; want 2, 2, false", n, r.Unreadable, r.Torn)
	}
}

func TestReaderReadsLinesLongerThanItsBuffer(t *testing.T) {
	long := strings.Replace(line, "/x", "/"+strings.Repeat("x", 3<<20), 1)
	r := NewReader(strings.NewReader(long + "\n" + line + "\n"))
	first, err := r.Next(context.Background())
	if err != nil || len(first.RequestURI) != 3<<20+1 {
		t.Fatalf("URI of %d bytes, error %v", len(first.RequestURI), err)
	}
	if second, err := r.Next(context.Background()); err != nil || second.RequestURI != "/x" {
		t.Fatalf("second event %q, error %v", second.RequestURI, err)
	}
}

func TestReaderFollowsALogThatGrowsInTheMiddleOfALine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	writer, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	log, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r := NewReader(log)
	r.Follow = true
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	events := make(chan error, 3)
	go func() {
		for range 2 {
			_, err := r.Next(ctx)
			events <- err
		}
		ended, stop := context.WithCancel(ctx)
		stop()
		_, err := r.Next(ended)
		events <- err
	}()
	parts := []string{line + "\n" + line[:40], line[40:] + "\n"}
	for _, part := range parts {
		if _, err := writer.WriteString(part); err != nil {
			t.Fatal(err)
		}
		if err := <-events; err != nil {
			t.Fatal(err)
		}
	}
	if err := <-events; !errors.Is(err, context.Canceled) {
		t.Errorf("after its context ended the reader gave %v", err)
	}
}
