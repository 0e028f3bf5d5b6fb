package chart

import (
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// The kinds of findings about chart values.
var (
	VersionUnknown = flux1.Code{
		Name: "CHART_VERSION_UNKNOWN", Severity: migrate.Blocker,
		Cause:       "the version of the agent's chart is missing, or is none of the flux chart's from 0.5.0 to 1.13.3",
		Consequence: "the chart's defaults are not known, so its values alone do not say how the agent runs",
		Remedy:      "give the chart's version in full, or let discovery read the agent's Deployment",
	}
	UnknownValue = flux1.Code{
		Name: "CHART_VALUE_UNRECOGNISED", Severity: migrate.Warning,
		Cause:       "a value is given that no version of the flux chart reads",
		Consequence: "it has no effect; it may be a misspelt name, and then what was meant is not in force",
		Remedy:      "compare its name with the chart's documentation, and correct or remove it",
	}
	IgnoredValue = flux1.Code{
		Name: "CHART_VALUE_IGNORED", Severity: migrate.Warning,
		Cause:       "a value is given that other versions of the flux chart read, but not this one",
		Consequence: "it has no effect on the agent as it runs now",
		Remedy:      "decide whether it was meant, and set it on the new objects if it was",
	}
	ValueType = flux1.Code{
		Name: "CHART_VALUE_TYPE", Severity: migrate.Warning,
		Cause:       "a value is of another type than the chart expects",
		Consequence: "the chart prints it all the same, and not always as it was written: any non-empty text counts as true, and a number loses its trailing zeros",
		Remedy:      "look at the setting that it gives, and write the value in its own type",
	}
	ValueShape = flux1.Code{
		Name: "CHART_VALUE_SHAPE", Severity: migrate.Blocker,
		Cause:       "a list or mapping is given where the chart expects a single value, or the other way round",
		Consequence: "the chart prints something that nobody meant, or does not render",
		Remedy:      "write the value in the form that the chart documents",
	}
	ValueNotKnown = flux1.Code{
		Name: "CHART_VALUE_NOT_KNOWN", Severity: migrate.Blocker,
		Cause:       "a value on which a setting of the agent depends is not known",
		Consequence: "that setting is unknown; no default is taken in its place",
		Remedy:      "give what the finding names, or let discovery read the agent's Deployment",
	}
	NotRendered = flux1.Code{
		Name: "CHART_NOT_RENDERED", Severity: migrate.Blocker,
		Cause:       "Helm cannot render the chart with these values, or Kubernetes refuses what it renders",
		Consequence: "no agent can have been installed in this way; what runs, if anything, was installed with other values",
		Remedy:      "correct the value that the finding names",
	}
	TooLarge = flux1.Code{
		Name: "CHART_VALUES_TOO_LARGE", Severity: migrate.Blocker,
		Cause:       "the chart values are nested too deep, or too many",
		Consequence: "not all of them were read",
		Remedy:      "remove what the flux chart does not read",
	}
)

// Codes lists every kind of finding of this package, by name.
func Codes() []flux1.Code {
	codes := []flux1.Code{
		VersionUnknown, UnknownValue, IgnoredValue, ValueType, ValueShape, ValueNotKnown, NotRendered, TooLarge,
	}
	slices.SortFunc(codes, func(a, b flux1.Code) int { return strings.Compare(a.Name, b.Name) })
	return codes
}
