package discover

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate/flux1"
	corev1 "k8s.io/api/core/v1"
)

// TestWhatVariablesReferToIsFoundInAnyOrder compares with passes over all until none finds more.
func TestWhatVariablesReferToIsFoundInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	name := func() string { return fmt.Sprint("E", random.IntN(12)) }
	added := 0
	for range 500 {
		var env []corev1.EnvVar
		for range random.IntN(15) { // one name may stand there twice
			var value strings.Builder
			for range random.IntN(3) {
				value.WriteString([]string{"$", "", "x"}[random.IntN(3)] + "$(" + name() + ")")
			}
			env = append(env, corev1.EnvVar{Name: name(), Value: value.String()})
		}
		got := []map[string]bool{{name(): true}, {name(): true, name(): true}, {}}
		var want []map[string]bool
		for _, in := range got {
			in = maps.Clone(in)
			for more := true; more; {
				more = false
				for _, v := range env {
					for _, s := range flux1.Symbols(v.Value) {
						if in[v.Name] && !in[s] {
							in[s], more = true, true
							added++
						}
					}
				}
			}
			want = append(want, in)
		}
		withReferred(env, got...)
		equal(t, fmt.Sprint(env), got, want)
	}
	if added < 500 {
		t.Errorf("%d are added", added)
	}
}
