package cutover

import (
	"context"

	"github.com/fluxover/fluxover/migrate"
)

// Capacitor is what the last step, and its undo, ask of the generated
// repository. It is used only where the caller gives one; then the phase is
// "settling" until the Repository's files are merged and applied.
type Capacitor interface {
	// Settle brings the Repository's files (final values, never suspended)
	// into the path that the capacitor's Kustomization applies, and returns
	// when its status inventory lists them. Calling it again is harmless.
	Settle(ctx context.Context, repository migrate.Repository) error
	// Withdraw takes the files out again and returns when the status
	// inventory no longer lists them. Without access to Git it fails, and the
	// control objects are parked: suspended and left alone.
	Withdraw(ctx context.Context, repository migrate.Repository) error
}
