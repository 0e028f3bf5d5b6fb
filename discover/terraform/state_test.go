package terraform

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each file in testdata/states is of one form that a state can have.
func TestEachFormOfAStateIsRead(t *testing.T) {
	entries, err := os.ReadDir("testdata/states")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".expected.json") {
			continue
		}
		read++
		t.Run(e.Name(), func(t *testing.T) {
			s := readStateFile(t, filepath.Join("testdata/states", e.Name()))
			golden(t, filepath.Join("testdata/states", e.Name()+".expected.json"), s)
			data, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), marker) {
				t.Errorf("a secret of the state is kept")
			}
		})
	}
	if read < 5 {
		t.Fatalf("testdata/states has only %d states", read)
	}
}

func TestAnAddressThatStandsForAllMatchesItsInstances(t *testing.T) {
	p := openAddress(`module.a[*].helm_release.flux[*]`)
	for address, want := range map[string]bool{
		`module.a["x"].helm_release.flux[0]`:     true,
		`module.a["x]\"y"].helm_release.flux`:    true,
		`module.a.helm_release.flux["b"]`:        true,
		`module.a["x"].helm_release.flux2[0]`:    false,
		`module.ab["x"].helm_release.flux[0]`:    false,
		`module.a["x"].b.helm_release.flux["c"]`: false,
	} {
		if got := p.MatchString(address); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}
