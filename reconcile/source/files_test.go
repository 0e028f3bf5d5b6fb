package source

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"
)

// TestFilesKeepTheLimitsOfAFetch: what is put into a tree may come from elsewhere than a fetch.
func TestFilesKeepTheLimitsOfAFetch(t *testing.T) {
	deep := strings.Repeat("d/", maxDepth)
	files := NewFiles(time.Time{})
	if err := files.PutContent(deep+"x.yaml", 0o644, nil); err != nil {
		t.Error(err)
	}
	if err := files.PutContent(deep+"d/x.yaml", 0o644, nil); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "nested deeper than 512") {
		t.Errorf("got %v", err)
	}
	long := strings.Repeat("d", maxNames/16)
	if err := files.PutContent(strings.Repeat(long+"/", 6)+"x.yaml", 0o644, nil); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "longer than 134217728 bytes together") {
		t.Errorf("got %v", err)
	}
}

// TestFindIsTheWalkAlongThePath: a lookup of the whole path first leaves the answers as they are.
func TestFindIsTheWalkAlongThePath(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	name := func() string {
		parts := make([]string, 1+random.IntN(4))
		for i := range parts {
			parts[i] = string("abc"[random.IntN(3)])
		}
		return path.Join(parts...)
	}
	found, missing := 0, 0
	for range 500 {
		files := NewFiles(time.Time{})
		for range 1 + random.IntN(6) {
			mode, content := fs.FileMode(0o644), ""
			switch random.IntN(4) {
			case 0:
				mode, content = fs.ModeSymlink|0o777, []string{".", "..", "../a", "b/c", "a", "/a", "../../b"}[random.IntN(7)]
			case 1:
				mode = fs.ModeDir | 0o755
			}
			_ = files.PutContent(name(), mode, []byte(content)) // what does not fit is left out
		}
		for range 50 {
			asked, follow := name(), random.IntN(2) == 0
			got, err := files.find("stat", asked, follow)
			want, wantErr := files.walk("stat", asked, follow)
			if got != want || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Fatalf("%s (%t): got %v, %v, want %v, %v", asked, follow, got, err, want, wantErr)
			}
			if err == nil {
				found++
			} else {
				missing++
			}
		}
	}
	if found < 1000 || missing < 1000 {
		t.Errorf("%d are there, %d are not", found, missing)
	}
}
