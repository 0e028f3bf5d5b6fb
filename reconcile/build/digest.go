package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// Digest is the digest of the built manifests that kustomize-controller keeps
// in status.history: "sha256:" and the hash of the printed build. It is
// computed when called, from the build before normalisation.
func (r *Rendering) Digest() (string, error) {
	return digest(r.built)
}

// digest hashes the build as kustomize prints it: YAML documents in build
// order, with a separator line between them.
func digest(built []builtObject) (string, error) {
	hash := sha256.New()
	first := true
	for _, b := range built {
		if b.json == nil {
			continue
		}
		text, err := yaml.JSONToYAML(b.json)
		if err != nil {
			return "", fmt.Errorf("print the build: %w", err)
		}
		if !first {
			_, _ = io.WriteString(hash, "---\n") // a hash never fails
		}
		first = false
		_, _ = hash.Write(text)
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}
