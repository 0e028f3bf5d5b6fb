// Command fluxd is a stand-in for the Flux v1 daemon, for tests of a hand-over
// from Flux v1: it takes fluxd's command line and leaves on the cluster and in
// Git what fluxd 1.25.4 leaves there, by running the real git and kubectl from
// PATH. Its rules were written down from Flux v1's documented behaviour and are
// held against recordings of the real daemon (testdata/real).
//
// It refuses to do what the laboratory does not need: it scans no image
// registry, commits no image updates, writes no Git notes and connects to no
// upstream service; the flags for these are accepted and have no effect. It
// imports nothing of the program it helps to test, so that a wrong belief there
// cannot be repeated here.
//
// The environment variable POD_ROOT names the directory that plays the root of
// the pod's file system: every fixed in-container path (the deploy key, the
// service account's token, the kubeconfig of the image) is looked up below it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes, equal to fluxd's.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run starts the daemon and returns its exit code once SIGTERM or SIGINT has
// arrived and the sync then running, if any, has ended.
func run(args []string, stdout, stderr io.Writer) int {
	set, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, errHelp):
		return exitDone
	case err != nil:
		fmt.Fprintf(stderr, "Error: %v\n\n%s", err, usage())
		return exitUsage
	case set.showVersion:
		fmt.Fprintln(stdout, version)
		return exitDone
	}

	log := newLogger(stderr, set.logFormat)
	log.line("version", version)
	if err := set.check(); err != nil {
		log.line("err", err)
		return exitFailed
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	d, err := newDaemon(ctx, set, podRoot(os.Getenv("POD_ROOT")), log)
	if err != nil {
		log.line("err", err)
		return exitFailed
	}
	defer d.close()
	if err := d.run(ctx); err != nil {
		log.line("err", err)
		return exitFailed
	}
	return exitDone
}
