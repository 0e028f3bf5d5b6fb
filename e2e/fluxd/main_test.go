package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxover/fluxover/e2e/controlplane"
)

var update = flag.Bool("update", false, "rewrite testdata/real from the program that FLUXD names")

// The test binary plays three parts: the tests; the stand-in, when the variable
// below is set; and a kubectl that records what it is given, when it is called
// by that name.
const (
	playStandIn   = "FLUXD_PLAY_STAND_IN"
	recordDir     = "FLUXD_RECORD_KUBECTL"
	recordedTool  = "FLUXD_RECORDED_KUBECTL"
	holdFile      = "hold"
	holdLimit     = time.Minute
	syncLimit     = 90 * time.Second
	pollEvery     = 50 * time.Millisecond
	startUpBudget = 5 * time.Minute
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "kubectl" {
		os.Exit(recordKubectl())
	}
	if os.Getenv(playStandIn) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	flag.Parse()
	code := m.Run()
	if err := stopControlPlane(); err != nil {
		fmt.Fprintln(os.Stderr, "stop control plane:", err)
		code = 1
	}
	os.Exit(code)
}

// kubectlCall is one run of kubectl by the daemon.
type kubectlCall struct {
	Verb  string
	Stdin string
	OK    bool
	Args  []string
}

// recordKubectl runs the real kubectl and writes the call into the record
// directory; while a file named hold lies there, it waits before running.
func recordKubectl() int {
	stdin, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir := os.Getenv(recordDir)
	number, err := takeNumber(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for end := time.Now().Add(holdLimit); isFile(filepath.Join(dir, holdFile)) && time.Now().Before(end); {
		time.Sleep(pollEvery)
	}
	cmd := exec.Command(os.Getenv(recordedTool), os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), os.Stdout, os.Stderr
	runErr := cmd.Run()
	call := kubectlCall{Stdin: string(stdin), OK: runErr == nil, Args: os.Args[1:]}
	for _, arg := range os.Args[1:] {
		if !strings.HasPrefix(arg, "-") {
			call.Verb = arg
			break
		}
	}
	text, err := json.Marshal(call)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, number+".json"), text, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if runErr != nil {
		return 1
	}
	return 0
}

// takeNumber takes the next free number by making a file of that name.
func takeNumber(dir string) (string, error) {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%04d", n)
		file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL, 0o600)
		if os.IsExist(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		return name, file.Close()
	}
}

var laboratory struct {
	sync.Mutex
	plane *controlplane.ControlPlane
	dir   string
}

// controlPlane starts one real control plane for all tests of this run.
func controlPlane(t *testing.T) *controlplane.ControlPlane {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane; run without -short")
	}
	laboratory.Lock()
	defer laboratory.Unlock()
	if laboratory.plane != nil {
		return laboratory.plane
	}
	dir, err := os.MkdirTemp("", "fluxd-test-")
	if err != nil {
		t.Fatal(err)
	}
	laboratory.dir = dir
	ctx, cancel := context.WithTimeout(context.Background(), startUpBudget)
	defer cancel()
	plane, err := controlplane.Start(ctx, controlplane.Options{Dir: dir, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	laboratory.plane = plane
	return plane
}

func stopControlPlane() error {
	laboratory.Lock()
	defer laboratory.Unlock()
	if laboratory.dir == "" {
		return nil
	}
	defer os.RemoveAll(laboratory.dir)
	if laboratory.plane == nil {
		return nil
	}
	return laboratory.plane.Stop()
}
