package migrate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrSeal: a plan is not as it was when it was made.
var ErrSeal = errors.New("the seal does not fit")

// SealUp seals a plan: a hash over all that it holds, so that a file that was
// edited or cut is not taken for the plan that was reviewed. It is no
// signature: who can run fluxover can make another plan, with a seal that fits.
// Protect the file as you would the decision that it stands for.
func (p *Plan) SealUp() error {
	p.Seal = ""
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("seal the plan: %w", err)
	}
	if p.Seal, _, err = sealOf(raw); err != nil {
		return fmt.Errorf("seal the plan: %w", err)
	}
	return nil
}

// CheckSeal checks the seal of a plan as it stands in a file, whichever version
// of fluxover wrote it: also fields that this one does not know are under it.
// The error is [ErrSeal], with what is wrong.
func CheckSeal(raw []byte) error {
	want, held, err := sealOf(raw)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrSeal, err)
	case held == "":
		return fmt.Errorf("%w: there is none, so it is not known whether this is what was planned", ErrSeal)
	case held != want:
		return fmt.Errorf("%w: the plan was changed after it was made", ErrSeal)
	}
	return nil
}

// sealOf gives the seal that fits a plan's JSON, and the one that it holds. The
// order of keys and white space do not matter; numbers count as they are
// written.
func sealOf(raw []byte) (seal, held string, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var plan map[string]any
	if err := d.Decode(&plan); err != nil {
		return "", "", err
	}
	held, _ = plan["seal"].(string)
	delete(plan, "seal")
	canonical, err := json.Marshal(plan)
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256(canonical)
	return "sha256:" + hex.EncodeToString(sum[:]), held, nil
}
