package chart

import (
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// Paths lists every value that some version of the chart reads, with dots,
// sorted.
func Paths() []string {
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		out = append(out, k.path)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Explain says what becomes of a value if it is given, in the newest version
// of the chart that reads it, whatever else is given; ok is false if no version
// does. The setting's own value means nothing.
func Explain(path string) (s migrate.Setting, ok bool) {
	k := keyNamed(path)
	if k == nil {
		return s, false
	}
	var sample any
	switch k.kind {
	case text:
		sample = "value"
	case boolean:
		sample = true
	case number:
		sample = float64(1)
	case list:
		sample = []any{"value"}
	default:
		sample = tree{"value": "value"}
	}
	parts := strings.Split(path, ".")
	for _, name := range slices.Backward(parts) {
		sample = tree{name: sample}
	}
	for _, name := range slices.Backward(released) {
		at := v(name)
		if !k.readBy(at) {
			continue
		}
		for _, s := range Decode(Release{Version: name}, sample).Settings {
			if s.Name == path || strings.HasPrefix(s.Name, path+".") || strings.HasPrefix(s.Name, path+"[") {
				return s, true
			}
		}
	}
	return s, false
}
