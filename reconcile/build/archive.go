package build

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
)

// Archived describes a written archive as status.artifact does.
type Archived struct {
	// Digest is "sha256:" and the hex hash of the compressed archive.
	Digest string
	// Size in bytes of the compressed archive.
	Size int64
}

// Archive writes the artifact as the tar.gz that source-controller would
// write: the same entries in the same order, without times and owners, with
// modes 0750 for folders, 0700 for executable and 0600 for other files, so the
// same content gives the same digest (source: fluxcd/pkg
// artifact/storage/archive.go). It reads each file once and holds none whole.
func (a *Artifact) Archive(w io.Writer) (Archived, error) {
	hash := sha256.New()
	count := &byteCount{}
	zip := gzip.NewWriter(io.MultiWriter(hash, count, w))
	out := tar.NewWriter(zip)
	for _, e := range a.entries {
		if err := a.archiveEntry(out, e); err != nil {
			return Archived{}, fmt.Errorf("archive %s: %w", e.path, err)
		}
	}
	if err := out.Close(); err != nil {
		return Archived{}, fmt.Errorf("finish the archive: %w", err)
	}
	if err := zip.Close(); err != nil {
		return Archived{}, fmt.Errorf("finish the archive: %w", err)
	}
	return Archived{Digest: "sha256:" + hex.EncodeToString(hash.Sum(nil)), Size: count.n}, nil
}

func (a *Artifact) archiveEntry(out *tar.Writer, e entry) error {
	if e.folder {
		return out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: e.path, Mode: 0o750})
	}
	f, err := a.tree.Open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o600)
	if info.Mode()&0o111 != 0 {
		mode = 0o700
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "read", Path: e.path, Err: fs.ErrInvalid}
	}
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: e.path, Mode: mode, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}

type byteCount struct{ n int64 }

func (c *byteCount) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
