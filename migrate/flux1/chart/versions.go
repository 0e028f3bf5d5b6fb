package chart

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// version is a chart's: major, minor, patch.
type version [3]int

// released are the versions that are known, which is all from 0.5.0 to the
// chart's last (flux: the tags chart-0.5.0 to chart-1.13.3, and
// chart/flux/CHANGELOG.md).
var released = []string{
	"0.5.0", "0.5.1", "0.5.2", "0.6.0", "0.6.1", "0.6.2", "0.6.3", "0.7.0", "0.8.0", "0.9.0", "0.9.1", "0.9.2",
	"0.9.3", "0.9.4", "0.9.5", "0.10.0", "0.10.1", "0.10.2", "0.11.0", "0.12.0", "0.13.0", "0.14.0", "0.14.1",
	"0.15.0", "0.16.0", "1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.4.1", "1.5.0", "1.6.0", "1.6.1",
	"1.6.2", "1.7.0", "1.8.0", "1.9.0", "1.10.0", "1.10.1", "1.10.2", "1.11.0", "1.11.1", "1.11.2", "1.11.3",
	"1.11.4", "1.12.0", "1.13.0", "1.13.1", "1.13.2", "1.13.3",
}

// knownVersions are they in words: of those before, whose tags begin with chart-0.2.0,
// nothing is known here.
var knownVersions = "from " + released[0] + " to " + released[len(released)-1]

// Versions are the chart's versions that [Decode] knows, ascending. A
// constraint such as "~1.13" has to be resolved to one of them first.
func Versions() []string { return slices.Clone(released) }

// v is a version of the tables, which a test reads.
func v(s string) version {
	at, _ := parseVersion(s)
	return at
}

// parseVersion reads "1.13.3", also with a leading "v" or with build metadata.
func parseVersion(s string) (version, error) {
	bare, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "v"), "+")
	parts := strings.Split(bare, ".")
	if len(parts) != 3 {
		return version{}, fmt.Errorf("read chart version %q: not of the form 1.2.3", s)
	}
	var at version
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return version{}, fmt.Errorf("read chart version %q: not of the form 1.2.3", s)
		}
		at[i] = int(n)
	}
	return at, nil
}

func (a version) before(b version) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// in reports whether since <= a < until; a zero until never ends.
func (a version) in(since, until version) bool {
	return !a.before(since) && (until == version{} || a.before(until))
}

// known reports whether there is such a version of the chart.
func (a version) known() bool { return slices.Contains(released, a.String()) }

func (a version) String() string { return fmt.Sprintf("%d.%d.%d", a[0], a[1], a[2]) }
