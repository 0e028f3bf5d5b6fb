package migrate

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"sync"
)

// digestKey is made anew by each process and leaves none.
var digestKey = sync.OnceValue(func() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails (crypto/rand)
	return key
})

// Digest is what stands for a value that is not shown, to compare it with others of
// the same process: equal values have one digest, and it tells nothing else of them.
func Digest(plain string) string {
	h := hmac.New(sha256.New, digestKey())
	h.Write([]byte(plain))
	return string(h.Sum(nil))
}

// Hidden reports whether Value does not tell the whole value.
func (s Setting) Hidden() bool { return s.Digest != "" || strings.Contains(s.Value, "***") }

// Compared is what to compare a setting's value by; not ok if the value is hidden and
// has no digest.
func (s Setting) Compared() (digest string, ok bool) {
	if s.Digest == "" && s.Hidden() {
		return "", false
	}
	if s.Digest != "" {
		return s.Digest, true
	}
	return Digest(s.Value), true
}

// Part is one thing that a witness says of an agent's Deployment.
type Part struct {
	// Text is what may be told of it.
	Text string
	// Digest is the [Digest] of what it is.
	Digest string
	// Unknown is true if what it is, or whether it is there, is not known.
	Unknown bool
}
