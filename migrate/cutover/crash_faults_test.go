//go:build faults

package cutover

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

func TestWithFaultsBuiltInTheVariableKillsAtItsPointAlone(t *testing.T) {
	const inner = "FLUXOVER_CUTOVER_INNER"
	if os.Getenv(inner) != "" {
		(&env{}).crashed("flux/a", "adopt", AfterStarted)
		return
	}
	for point, dies := range map[string]bool{
		"||": true, "|adopt|after-started": true, "flux/a|adopt": true, "flux/b||": false, "|adopt|before-done": false, "|fence|": false, "": false,
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), inner+"=1", crashVariable+"="+point)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		died := errors.As(err, &exit) && exit.ExitCode() == -1
		if died != dies || err != nil && !died {
			t.Errorf("%q: killed is to be %v: %v\n%s", point, dies, err, out)
		}
	}
}
