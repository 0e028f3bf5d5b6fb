package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/google/go-cmp/cmp"
)

func TestDefaultIgnoreIsThatOfTheLibrary(t *testing.T) {
	want := strings.Split(strings.Join([]string{sourceignore.ExcludeExt, sourceignore.ExcludeCI, sourceignore.ExcludeExtra}, ","), ",")
	if diff := cmp.Diff(want, strings.Fields(DefaultIgnore)); diff != "" {
		t.Error(diff)
	}
}

func TestLinksAndGitFilesAreNotVisible(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": "x", "d/b.yaml": "x", ".git/config": "x", "d/.git/config": "x", ".gitignore": "x", ".gitmodules": "x", ".sourceignore": "!/.git\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"link.yaml": "a.yaml", "folder": "d", "out": "/etc"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	got, err := Visible(root.FS(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".sourceignore", "a.yaml", "d/b.yaml"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheArchiveIsThatOfSourceController(t *testing.T) {
	for _, f := range fixtures(t) {
		checkout, filtered := t.TempDir(), t.TempDir()
		if err := os.CopyFS(checkout, f.tree); err != nil {
			t.Fatal(err)
		}
		upstreamArchive(t, checkout, filtered, f.in.SpecIgnore)
		a, err := NewArtifact(f.tree, f.in.SpecIgnore)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		got, err := a.Archive(&b)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b.Bytes())
		if want := (Archived{Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(b.Len())}); got != want {
			t.Errorf("%s: described as %+v, is %+v", f.name, got, want)
		}
		if diff := cmp.Diff(hashTree(t, os.DirFS(filtered)), hashTree(t, unpacked(t, b.Bytes()))); diff != "" {
			t.Errorf("%s: (-upstream +ours)\n%s", f.name, diff)
		}
		var again bytes.Buffer
		if d, err := a.Archive(&again); err != nil || d != got {
			t.Errorf("%s: a second archive differs: %v", f.name, err)
		}
	}
}

// TestTheArchiveBytesAreThoseOfTheHeaderRules writes the same tree with
// tar.FileInfoHeader and the header fields that source-controller resets, and
// compares byte for byte.
func TestTheArchiveBytesAreThoseOfTheHeaderRules(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"a.yaml": 0o644, "bin/run.sh": 0o755, "bin/" + strings.Repeat("long", 40) + ".yaml": 0o400, "ümläut.yaml": 0o600} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	zip := gzip.NewWriter(&want)
	out := tar.NewWriter(zip)
	err := filepath.Walk(dir, func(p string, info fs.FileInfo, err error) error {
		if err != nil {
			return err
		}
		h, err := tar.FileInfoHeader(info, p)
		if err != nil {
			return err
		}
		if h.Name, err = filepath.Rel(dir, p); err != nil {
			return err
		}
		h.Gid, h.Uid, h.Uname, h.Gname = 0, 0, "", ""
		h.ModTime, h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}, time.Time{}
		switch {
		case info.IsDir():
			h.Mode = 0o750
		case info.Mode()&0o111 != 0:
			h.Mode = 0o700
		default:
			h.Mode = 0o600
		}
		if err := out.WriteHeader(h); err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if err == nil {
			_, err = out.Write(data)
		}
		return err
	})
	if err := errors.Join(err, out.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	a, err := NewArtifact(os.DirFS(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := a.Archive(&got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want.Bytes(), got.Bytes()) {
		t.Error("the archives differ")
	}
}

func unpacked(t *testing.T, archive []byte) fs.FS {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return tree
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			tree[h.Name] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
			continue
		}
		tree[h.Name] = &fstest.MapFile{Data: data, Mode: 0o644}
	}
}

func TestFolderStaysInsideTheTree(t *testing.T) {
	for in, want := range map[string]string{
		"": ".", "./": ".", ".": ".", "/": ".", "apps": "apps", "./apps/": "apps", "/apps//web": "apps/web",
		"..": ".", "../../etc": "etc", "apps/../..": ".", "apps/../../x": "x", "./apps/./web/../db": "apps/db",
	} {
		if got := Folder(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestTheOverlayRefusesWrites(t *testing.T) {
	a, err := NewArtifact(fstest.MapFS{"apps/a.yaml": {Data: []byte("x")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &overlayFS{artifact: a, written: map[string][]byte{"apps/kustomization.yaml": []byte("k: 1\n")}}
	_, errCreate := o.Create("/artifact/x")
	for name, err := range map[string]error{
		"create": errCreate, "mkdir": o.Mkdir("/artifact/x"), "mkdirall": o.MkdirAll("/artifact/x/y"),
		"remove": o.RemoveAll("/artifact/apps"), "write": o.WriteFile("/artifact/apps/a.yaml", nil),
	} {
		if !errors.Is(err, errReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	names, err := o.ReadDir("/artifact/apps")
	if diff := cmp.Diff([]string{"a.yaml", "kustomization.yaml"}, names); err != nil || diff != "" {
		t.Error(err, diff)
	}
	var walked []string
	err = o.Walk("/artifact", func(p string, info fs.FileInfo, err error) error {
		walked = append(walked, p)
		return err
	})
	if diff := cmp.Diff([]string{"/artifact", "/artifact/apps", "/artifact/apps/a.yaml", "/artifact/apps/kustomization.yaml"}, walked); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, p := range []string{"/", "/artifactx", "/etc/passwd", "/artifact/../etc/passwd", "../etc/passwd"} {
		if o.Exists(p) {
			t.Errorf("%s exists", p)
		}
	}
}

func TestNamesStandInFilesUnlessAKustomizationFileMakesThem(t *testing.T) {
	a, err := NewArtifact(fstest.MapFS{
		"flat/a.yaml":                    {Data: []byte("kind: ConfigMap\nmetadata: {name: one}\n")},
		"flat/below/b.yaml":              {Data: []byte("kind: [\nname: two\n")},
		"flat/README.md":                 {Data: []byte("three\n")},
		"nested/web/kustomization.yaml":  {Data: []byte("resources: [../../base]\nnamePrefix: prod-\n")},
		"base/c.yaml":                    {Data: []byte("kind: ConfigMap\nmetadata: {name: four}\n")},
		"overlay/kustomization.yaml":     {Data: []byte("configMapGenerator: [{name: five}]\n")},
		"flat-beside/kustomization.yaml": {Data: []byte("resources: [six.yaml]\n")},
		"flat-beside/six.yaml":           {Data: []byte("kind: ConfigMap\nmetadata: {name: six}\n")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for folder, names := range map[string]map[string]bool{
		"flat":    {"one": true, "two": true, "three": false, "four": false, "six": false},
		"nested":  {"prod-four": true, "any": true},
		"overlay": {"five-abc": true},
		".":       {"any": true},
	} {
		for name, want := range names {
			if got, err := a.Names(folder, name); err != nil || got != want {
				t.Errorf("%s in %s: %t (%v), want %t", name, folder, got, err, want)
			}
		}
	}
}
