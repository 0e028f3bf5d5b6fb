package gitserver

import (
	"bytes"
	"io"
)

// Stats counts what clients asked of one repository since the server started.
type Stats struct {
	// Advertisements counts how often the list of references was sent to a
	// client that wanted to read: what a poll costs.
	Advertisements int `json:"advertisements"`
	// Fetches counts packs sent: clones and fetches that had something to get.
	Fetches int `json:"fetches"`
	// Pushes counts packs and deletions received.
	Pushes int `json:"pushes"`
	// Denied counts requests with credentials that may not do what they asked.
	// An HTTP request without credentials is not counted: git always tries
	// that first.
	Denied int `json:"denied"`
	// BytesSent counts what git wrote to clients, in bytes.
	BytesSent int64 `json:"bytesSent"`
}

// Stats are the counts of each repository that was asked for anything.
func (s *Server) Stats() map[string]Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[string]Stats, len(s.stats))
	for repo, count := range s.stats {
		counts[repo] = *count
	}
	return counts
}

func (s *Server) count(repo string, add func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Repositories[repo] == nil {
		return
	}
	if s.stats[repo] == nil {
		s.stats[repo] = &Stats{}
	}
	add(s.stats[repo])
}

// Marks in the Git protocol from which requests are told apart: in protocol 2 a
// client asks for references with a command of its own; a pack starts with its
// version; a push that was taken is acknowledged.
var (
	markListReferences = []byte("command=ls-refs")
	markPack           = []byte("PACK\x00\x00\x00\x02")
	markPushTaken      = []byte("unpack ok")
)

// requestCounter watches what a client sends to upload-pack.
func (s *Server) requestCounter(repo string) io.Writer {
	return &scanner{mark: markListReferences, seen: func() {
		s.count(repo, func(c *Stats) { c.Advertisements++ })
	}}
}

// answerCounter watches what a git service sends to a client.
func (s *Server) answerCounter(repo, service string) io.Writer {
	watch := &scanner{wrote: func(n int) { s.count(repo, func(c *Stats) { c.BytesSent += int64(n) }) }}
	if service == uploadPack {
		watch.mark, watch.seen = markPack, func() { s.count(repo, func(c *Stats) { c.Fetches++ }) }
	} else {
		watch.mark, watch.seen = markPushTaken, func() { s.count(repo, func(c *Stats) { c.Pushes++ }) }
	}
	return watch
}

// scanner is a writer that reports each occurrence of a mark in what is
// written, also when it is split over several writes.
type scanner struct {
	mark  []byte
	seen  func()
	wrote func(n int) // may be nil
	tail  []byte      // the last bytes written, fewer than the mark has
}

func (s *scanner) Write(p []byte) (int, error) {
	if s.wrote != nil {
		s.wrote(len(p))
	}
	text := append(s.tail, p...)
	for {
		i := bytes.Index(text, s.mark)
		if i < 0 {
			break
		}
		s.seen()
		text = text[i+len(s.mark):]
	}
	s.tail = bytes.Clone(text[max(0, len(text)-len(s.mark)+1):])
	return len(p), nil
}
