package flux1

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The cases are those of the kubelet's own rules (kubernetes:
// third_party/forked/golang/expansion/expand_test.go), with their variables.
func TestReferencesAreFilledInAsTheKubeletDoes(t *testing.T) {
	variables := map[string]string{"VAR_A": "A", "VAR_B": "B", "VAR_C": "C", "VAR_REF": "$(VAR_A)", "VAR_EMPTY": "", "VAR_DOLLARS": "p$$x$(VAR_A)"}
	lookup := func(name string) (string, Known) {
		if value, ok := variables[name]; ok {
			return value, IsSet
		}
		return "", NotSet
	}
	for in, want := range map[string]string{
		"":                                "",
		"$(VAR_A)":                        "A",
		"___$(VAR_B)___":                  "___B___",
		"___$(VAR_C)":                     "___C",
		"$(VAR_A)-$(VAR_A)":               "A-A",
		"$(VAR_A)-1":                      "A-1",
		"$(VAR_A)$(VAR_B)_$(VAR_C)":       "AB_C",
		"$(VAR_EMPTY)":                    "",
		"foo-$(VAR_EMPTY)-bar":            "foo--bar",
		"$(VAR_REF)":                      "$(VAR_A)", // filled in once
		"%%$(VAR_REF)--$(VAR_REF)%%":      "%%$(VAR_A)--$(VAR_A)%%",
		"foo$(VAR_DOLLARS)bar":            "foop$$x$(VAR_A)bar",
		"$$(VAR_A)":                       "$(VAR_A)",
		"$$$(VAR_A)":                      "$A",
		"$$$$(VAR_A)":                     "$$(VAR_A)",
		"f000-$$VAR_A":                    "f000-$VAR_A",
		"foo\\$(VAR_C)bar":                "foo\\Cbar",
		"foo\\\\$(VAR_C)bar":              "foo\\\\Cbar",
		"foo\\\\\\\\$(VAR_A)bar":          "foo\\\\\\\\Abar",
		"$(VAR_A$(VAR_B))":                "$(VAR_A$(VAR_B))", // the name ends with the first bracket
		"$(VAR_A$(VAR_B)":                 "$(VAR_A$(VAR_B)",
		"$(VAR_A":                         "$(VAR_A",
		"$(VAR_A)$(VAR_B":                 "A$(VAR_B",
		"$VAR_A":                          "$VAR_A",
		"VAR_A)":                          "VAR_A)",
		"$":                               "$",
		"$$":                              "$",
		"a$":                              "a$",
		"$$$":                             "$$",
		"$()":                             "$()",
		"$(NOT_SET)":                      "$(NOT_SET)",
		"$(NOT SET)x$(VAR_A)":             "$(NOT SET)xA",
		"$((VAR_A))":                      "$((VAR_A))",
		"$.$(VAR_A)":                      "$.A",
		"$-($(VAR_A))":                    "$-(A)",
		"$(VAR_A))":                       "A)",
		"https://u:$(VAR_A)$$x@h/$(NOPE)": "https://u:A$x@h/$(NOPE)",
	} {
		got := Fill(in, lookup)
		if left := Symbols(got); len(left) > 0 {
			t.Errorf("%q gave %q, which still refers to %v", in, got, left)
		}
		if got := Literal(got); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestWhatIsNotKnownStaysAReference(t *testing.T) {
	got := Fill("$$x-$(KNOWN)-$(OPEN)-$(UNSET)-$y", func(name string) (string, Known) {
		switch name {
		case "KNOWN":
			return "$(OPEN)", IsSet
		case "UNSET":
			return "", NotSet
		}
		return "", NotKnown
	})
	if want := "$$x-$$(OPEN)-$(OPEN)-$$(UNSET)-$y"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if left := Symbols(got); !slices.Equal(left, []string{"OPEN"}) {
		t.Errorf("it refers to %v", left)
	}
	if got := Literal(got); got != "$x-$(OPEN)-$(OPEN)-$(UNSET)-$y" {
		t.Errorf("it stands for %q", got)
	}
}

func TestAnEscapedReferenceIsTheTextOfIt(t *testing.T) {
	c, settings, findings := ParseArgs([]string{"--git-url=https://bot:pa$$word@host/a$$b", "--git-branch=$$(BRANCH)", "--git-path=a,$$(P)", "--git-label=x$$", "--sops=$$"})
	if c.Branch != "$(BRANCH)" || !slices.Equal(c.Paths, []string{"a", "$(P)"}) || c.SyncTag != "x$" {
		t.Errorf("%+v", c)
	}
	if string(c.URL) != "https://bot:pa$$word@host/a$b" { // its credentials are filled in later
		t.Errorf("the URL is %q", string(c.URL))
	}
	if !slices.Equal(c.Unknown, []string{"sops"}) {
		t.Errorf("unknown are %v: %v", c.Unknown, findings)
	}
	for _, s := range settings {
		if s.Name == "--git-branch" && s.Value != "$(BRANCH)" {
			t.Errorf("%+v", s)
		}
	}
}

func TestATextThatNoProgramCouldHaveIsNotKnown(t *testing.T) {
	values := map[string]string{"HALF": strings.Repeat("x", MaxValue/2), "LONG": strings.Repeat("x", MaxValue+1)}
	fill := func(text string) string {
		return Fill(text, func(name string) (string, Known) { return values[name], IsSet })
	}
	if got := fill("$(HALF)$(HALF)"); len(Symbols(got)) > 0 {
		t.Errorf("what a program can have is not known: %v", Symbols(got))
	}
	for text, want := range map[string][]string{"$(HALF)$(HALF)$(HALF)": {"HALF"}, "a$(LONG)b": {"LONG"}} {
		if got := Symbols(fill(text)); !slices.Equal(got, want) {
			t.Errorf("%s refers to %v", text, got)
		}
	}
	once := fill(strings.Repeat("$(HALF)", 10_000))
	if len(once) > 2*MaxValue {
		t.Errorf("it is %d bytes long", len(once))
	}
}

func TestSignsWithoutABracketAreReadOnce(t *testing.T) {
	for _, sign := range []string{"$a", "$(", "$$"} {
		start := time.Now()
		Literal(strings.Repeat(sign, 2<<20))
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s many times took %s", sign, d)
		}
	}
}
