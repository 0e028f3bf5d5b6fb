package main

import (
	"bufio"
	"io"
	"log"
	"os"
	"strings"
)

// chatter begins the lines that kustomize writes to the process's stderr by
// itself, whoever calls it, naming neither file nor repository (kustomize:
// api/internal/target/kusttarget.go, api/internal/accumulator/resaccumulator.go,
// api/filters/refvar/expand.go; the last one prints values). Findings say what
// of this concerns people: KUSTOMIZE_OLD_FIELDS.
var chatter = []string{
	"# Warning: '", "well-defined vars that were never replaced: ", "MakePrimitiveReplacer: ",
}

// withoutChatter takes what libraries write to os.Stderr and the standard
// logger, and passes on what is not chatter. It must be called before anything
// else runs; rest passes on what is left and puts both back.
func withoutChatter(to *os.File) (rest func()) {
	r, w, err := os.Pipe()
	if err != nil {
		return func() {} // then the chatter is heard
	}
	os.Stderr = w
	log.SetOutput(w)
	done := make(chan struct{})
	go func() {
		defer close(done)
		passOn(to, r)
	}()
	return func() {
		os.Stderr = to
		log.SetOutput(to)
		_ = w.Close() // so that the reader ends
		<-done
		_ = r.Close()
	}
}

// passOn copies lines that are not chatter.
func passOn(to io.Writer, from io.Reader) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if !isChatter(line) {
			_, _ = io.WriteString(to, line) // there is nowhere left to say that it failed
		}
		if err != nil {
			return
		}
	}
}

func isChatter(line string) bool {
	for _, begin := range chatter {
		// The standard logger puts a date in front.
		if i := strings.Index(line, begin); i == 0 || i > 0 && i <= len("2006/01/02 15:04:05 ") {
			return true
		}
	}
	return false
}
