package main

import (
	"crypto/x509"
	"testing"
)

// In an image without certificates the agent has to know the public Git hosts.
func TestTheProgramBringsRootCertificates(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no fallback roots were set: where the machine has none, no public host is trusted")
		}
	}()
	x509.SetFallbackRoots(x509.NewCertPool()) // panics if they are set already
}
