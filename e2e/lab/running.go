package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

const (
	serveCommand = "serve"
	// runningFile exists exactly while a laboratory is up; it is what scripts read.
	runningFile = "lab.json"
	logFile     = "lab.log"
)

// running describes a laboratory that is up. People script against its JSON.
type running struct {
	// PID is the process that serves, Executable its program.
	PID        int    `json:"pid"`
	Executable string `json:"executable"`

	Kubeconfig string `json:"kubeconfig"`
	Server     string `json:"server"`
	CAFile     string `json:"caFile"`
	Kubernetes string `json:"kubernetes"`
	// AuditLog holds one audit event a line.
	AuditLog string `json:"auditLog"`
	BinDir   string `json:"binDir"`

	Git struct {
		// HTTP is the address below which <repo>.git stands, opened by User and
		// Password; SSH the same for deploy keys.
		HTTP       string `json:"http"`
		SSH        string `json:"ssh"`
		KnownHosts string `json:"knownHosts"`
		User       string `json:"user"`
		Password   string `json:"password"`
		// Dir holds the bare repositories.
		Dir string `json:"dir"`
	} `json:"git"`

	Teams []fleet.Team `json:"teams"`
}

func describe(lab *laboratory.Lab, executable string) *running {
	r := &running{
		PID: os.Getpid(), Executable: executable,
		Kubeconfig: lab.Kubeconfig, Server: lab.ControlPlane.Server, CAFile: lab.ControlPlane.CAFile,
		Kubernetes: lab.ControlPlane.Version, AuditLog: lab.ControlPlane.AuditLog, BinDir: lab.BinDir, Teams: lab.Teams,
	}
	r.Git.HTTP, r.Git.SSH = "http://"+lab.Git.HTTPAddr(), "ssh://git@"+lab.Git.SSHAddr()
	r.Git.KnownHosts = lab.Git.KnownHosts()
	r.Git.User, r.Git.Password = laboratory.User, laboratory.Password
	r.Git.Dir = filepath.Join(lab.Dir, "git")
	return r
}

// print writes what scripts need to out and how to go on, for people, to words.
func (r *running) print(out, words io.Writer) {
	fmt.Fprintf(out, "KUBECONFIG=%s\nGIT=%s\n", r.Kubeconfig, r.Git.HTTP)
	objects := 0
	for _, team := range r.Teams {
		objects += team.Objects
	}
	fmt.Fprintf(words, "Kubernetes %s at %s, %d repositories with %d objects, process %d\n", r.Kubernetes, r.Server, len(r.Teams), objects, r.PID)
	if len(r.Teams) > 0 {
		fmt.Fprintf(words, "a repository: git clone %s/%s.git (user %s, password %s)\n", r.Git.HTTP, r.Teams[0].Repo, r.Git.User, r.Git.Password)
	}
	fmt.Fprintf(words, "audit log:    %s\n", r.AuditLog)
}

// write puts the description into a folder, whole or not at all.
func (r *running) write(dir string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("describe laboratory: %w", err)
	}
	path := filepath.Join(dir, runningFile)
	if err := os.WriteFile(path+".new", append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("describe laboratory: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("describe laboratory: %w", err)
	}
	return nil
}

// readRunning finds the laboratory that runs in a folder; nil means none. A
// description whose process is gone, or is another program's by now, counts as none.
func readRunning(dir string) (*running, error) {
	content, err := os.ReadFile(filepath.Join(dir, runningFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for a laboratory: %w", err)
	}
	var r running
	if err := json.Unmarshal(content, &r); err != nil {
		return nil, fmt.Errorf("look for a laboratory: %s: %w", filepath.Join(dir, runningFile), err)
	}
	if !r.alive() {
		return nil, nil
	}
	return &r, nil
}

// alive says whether the process is there and is the one that was started: its
// command line begins with the copied executable and the serve command.
func (r *running) alive() bool {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(r.PID) + "/cmdline")
	if err != nil {
		return false
	}
	words := bytes.Split(content, []byte{0})
	return len(words) > 2 && string(words[0]) == r.Executable &&
		slices.ContainsFunc(words[1:], func(word []byte) bool { return string(word) == serveCommand })
}
