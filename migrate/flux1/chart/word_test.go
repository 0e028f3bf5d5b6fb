package chart

import (
	"testing"

	"sigs.k8s.io/yaml"
)

// A word that is taken as it is without the parser is what the parser makes of it.
func TestPlainWordsMeanThemselves(t *testing.T) {
	const signs = "aZ0-._/"
	words := []string{""}
	for n := 0; n < len(words); n++ {
		if w := words[n]; len(w) < 5 {
			for _, c := range signs {
				words = append(words, w+string(c))
			}
		}
	}
	words = append(words, "true-", "no-", "y-", "null-", "on-/", "e-1", "flux-git-deploy", "---", "a--- ")
	plain := 0
	for _, w := range words {
		if !plainWord.MatchString(w) {
			continue
		}
		plain++
		var got []any
		if err := yaml.Unmarshal([]byte("- "+w+"\n- end\n"), &got); err != nil || len(got) != 2 || got[0] != w {
			t.Errorf("%q: %v, %v", w, got, err)
		}
	}
	if plain < 1000 {
		t.Errorf("only %d words are plain", plain)
	}
}
