package cutover

import "github.com/fluxover/fluxover/migrate"

// codes are the kinds of findings that a run makes by itself.
var codes = []migrate.Code{
	{
		Name: "NO_CAPACITOR", Severity: migrate.Warning,
		Cause:       "a repository was handed over without a flux-capacitor",
		Consequence: "its sources and Kustomizations live in the cluster alone, and a rebuilt cluster would not have them",
		Remedy:      `migrate with --capacitor, or keep what "fluxover plan --emit DIR" writes in a repository of your own`,
	},
}

// Codes lists the kinds of findings of this package.
func Codes() []migrate.Code { return codes }
