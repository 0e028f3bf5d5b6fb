package discover

import (
	"fmt"
	"slices"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// trouble is why it is not known what fluxd loads of a commit.
type trouble struct {
	where, message, hint string
	// stuck is true if fluxd certainly gives up its whole sync there, said if a finding about
	// the agent itself tells of it.
	stuck, said bool
}

// loadedByFlux1 are the blockers of a load that stand in the new agent's way alone: what fluxd
// loads is known. All others, and those that are yet to come, leave that open.
var loadedByFlux1 = []flux1.Code{
	flux1.LinkedFile, flux1.KindlessDocument, flux1.Nameless, flux1.LocalConfig, flux1.NotAString, flux1.DirectiveLeft, flux1.NoJSON,
	flux1.KeyNotText, flux1.DuplicateKey, flux1.Ciphertext, flux1.HelmRelease1, flux1.FluxHelmRelease, flux1.ImageAutomation, flux1.Flux2InGit,
}

// troubles are the reasons why it is not known what fluxd loads of what was just loaded; none if
// it is known. Where fluxd gives up comes first.
func (r *reading) troubles() []trouble {
	var out, open []trouble
	closed := func(file string) bool {
		return slices.ContainsFunc(r.closed, func(c flux1.Closed) bool { return c.File == file })
	}
	for _, f := range r.findings {
		switch is := func(c flux1.Code) bool { return c.Name == f.Code }; {
		case is(flux1.Stuck), is(flux1.Duplicate):
			out = append(out, trouble{where: f.Where, message: f.Message, stuck: true})
		case f.Severity != migrate.Blocker, slices.ContainsFunc(loadedByFlux1, is), is(flux1.Encrypted) && closed(f.Where):
		default:
			open = append(open, trouble{where: f.Where, message: f.Message, hint: f.Hint})
		}
	}
	switch message, certain := r.undecrypted(); {
	case message == "":
	case certain:
		out = append(out, trouble{where: r.closed[0].File, message: message, stuck: true})
	default:
		open = append(open, trouble{where: r.closed[0].File, message: message, hint: flux1.Encrypted.Remedy})
	}
	for _, name := range []string{"manifestGeneration", "allowedNamespaces", "sops"} {
		if r.agent.deployment != nil && slices.Contains(r.agent.Unknown, name) {
			open = append(open, trouble{message: fmt.Sprintf("which files and objects the agent loads hangs on its %s, which is not known", name), said: true})
		}
	}
	return append(out, open...)
}
