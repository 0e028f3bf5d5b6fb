package tfprovider

import (
	"os"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/e2e/built"
)

// What is recorded with a provider names its version: it is the one that is
// built.
func TestEachProviderIsBuiltInTheVersionThatItNames(t *testing.T) {
	for _, p := range All {
		dir, err := built.Module(t.Context(), p.source())
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(dir + "/go.mod")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(content), p.module+" v"+p.Version) {
			t.Errorf("%s does not require %s v%s", p.source(), p.module, p.Version)
		}
	}
}
