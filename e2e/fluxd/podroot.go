package main

import (
	"os"
	"path/filepath"
)

// Paths that are fixed inside the fluxd container (reference 1.1, 2.2, 6.1).
const (
	keygenMount         = "/var/fluxd/keygen"
	serviceAccountMount = "/var/run/secrets/kubernetes.io/serviceaccount"
	homeInImage         = "/root"
	knownHostsInImage   = "/root/.ssh/known_hosts"
	sshConfigInImage    = "/root/.ssh/config"
)

// podRoot is the directory that plays the container's root file system; empty
// when the program runs by hand.
type podRoot string

// path returns where a fixed in-container path lies on this machine.
func (r podRoot) path(inContainer string) string {
	if r == "" {
		return inContainer
	}
	return filepath.Join(string(r), inContainer)
}

// home returns the daemon's home directory: the image runs as root.
func (r podRoot) home() string {
	if r == "" {
		return os.Getenv("HOME")
	}
	return r.path(homeInImage)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}
