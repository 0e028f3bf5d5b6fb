package migrate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestASealFitsOnlyThePlanThatWasSealed(t *testing.T) {
	p := Plan{APIVersion: APIVersion, Kind: "Plan", Proof: "server", Repositories: []Repository{{ID: "flux/a", Commit: "c", Wave: 1}}}
	if err := p.SealUp(); err != nil {
		t.Fatal(err)
	}
	raw, err := json.MarshalIndent(p, "", "   ")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	if _, err := CheckSeal(raw); err != nil {
		t.Errorf("as it was made: %v", err)
	}
	// Of a key that stands twice, what is sealed is what counts, whole.
	twice := strings.Replace(text, `{`, `{"repositories": [{"id": "flux/forged", "name": "forged"}], "inputs": {"tool": "forged"},`, 1)
	sealed, err := CheckSeal([]byte(twice))
	if err != nil || strings.Contains(string(sealed), "forged") || !strings.Contains(string(sealed), "flux/a") {
		t.Errorf("with keys that stand twice: %s, %v", sealed, err)
	}
	again := p
	if err := again.SealUp(); err != nil || again.Seal != p.Seal {
		t.Errorf("sealed twice it is %s, then %s (%v)", p.Seal, again.Seal, err)
	}
	for name, edited := range map[string]string{
		"a value":                  strings.Replace(text, `"wave": 1`, `"wave": 2`, 1),
		"a field nobody knows":     strings.Replace(text, `"wave": 1`, `"wave": 1, "more": true`, 1),
		"a field taken out":        strings.Replace(text, `"wave": 1,`, ``, 1),
		"the seal":                 strings.Replace(text, p.Seal[7:15], "00000000", 1),
		"no seal":                  strings.Replace(text, p.Seal, "", 1),
		"a number written another": strings.Replace(text, `"wave": 1`, `"wave": 1.0`, 1),
		"cut":                      text[:len(text)/2],
	} {
		if edited == text {
			t.Fatalf("%s: nothing was edited", name)
		}
		if _, err := CheckSeal([]byte(edited)); !errors.Is(err, ErrSeal) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
