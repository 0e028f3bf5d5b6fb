package source

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"os/exec"
	"strings"
)

// object stores an object as given, however wrong, and returns its hash.
func (r *repository) object(kind, content string) string {
	r.t.Helper()
	cmd := exec.Command("git", "hash-object", "-w", "-t", kind, "--literally", "--stdin")
	cmd.Dir = r.bare
	cmd.Stdin = strings.NewReader(content)
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

type treeLine struct{ mode, name, sha string }

func (r *repository) tree(lines ...treeLine) string {
	r.t.Helper()
	var b bytes.Buffer
	for _, l := range lines {
		b.WriteString(l.mode + " " + l.name + "\x00")
		b.Write(must(hex.DecodeString(l.sha)))
	}
	return r.object("tree", b.String())
}

func pemOf(certificate []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
}
