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
	canonical, _, err := withoutSeal(raw)
	if err != nil {
		return fmt.Errorf("seal the plan: %w", err)
	}
	p.Seal = sealOf(canonical)
	return nil
}

// CheckSeal checks the seal of a plan as it stands in a file, whichever version
// of fluxover wrote it: also fields that this one does not know are under it.
// It gives the JSON that the seal was found to fit, which is to be decoded: of a key
// that stands twice in the file, the seal counts the last, and a decoder into Go's
// structs may mix both. The error is [ErrSeal], with what is wrong.
func CheckSeal(raw []byte) (sealed []byte, err error) {
	sealed, held, err := withoutSeal(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrSeal, err)
	case held == "":
		return nil, fmt.Errorf("%w: there is none, so it is not known whether this is what was planned", ErrSeal)
	case held != sealOf(sealed):
		return nil, fmt.Errorf("%w: the plan was changed after it was made", ErrSeal)
	}
	return sealed, nil
}

// withoutSeal gives a plan's JSON without its seal, and the seal. The order of
// keys and white space do not matter; numbers stay as they are written.
func withoutSeal(raw []byte) (canonical []byte, held string, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var plan map[string]any
	if err := d.Decode(&plan); err != nil {
		return nil, "", err
	}
	held, _ = plan["seal"].(string)
	delete(plan, "seal")
	canonical, err = json.Marshal(plan)
	return canonical, held, err
}

// sealOf gives the seal that fits what withoutSeal gives.
func sealOf(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return "sha256:" + hex.EncodeToString(sum[:])
}
