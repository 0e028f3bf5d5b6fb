package discover

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// Of a file that is in error, what stands before is known, and nothing behind.
func TestWhatStandsBehindAnErrorInAFileIsNotKnown(t *testing.T) {
	release := func(name, more string) string {
		return fmt.Sprintf("resource \"helm_release\" %q {\n name = %[1]q\n namespace = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\n set {\n name = \"git.url\"\n value = \"git@h:a\"\n }\n%[2]s}\n", name, more)
	}
	set := func(value string) string { return " set {\n name = \"git.branch\"\n value = " + value + "\n }\n" }
	for name, c := range map[string]struct {
		text   string
		line   int
		agents []string
	}{
		"a quote that is not closed": {release("before", "") + release("within", set("\"prod")) + release("behind", ""), 22, []string{"flux/before"}},
		"a bracket too many":         {release("before", "") + release("within", "}\n"+set("\"prod\"")) + release("behind", ""), 20, []string{"flux/before"}},
		"a bracket too few":          {release("before", "") + strings.TrimSuffix(release("within", ""), "}\n") + release("behind", ""), 0, []string{"flux/before"}},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": c.text})
			equal(t, "agents", agentIDs(inv), c.agents)
			f := said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "what main.tf declares from line ")
			if c.line > 0 && !strings.Contains(f.Message, fmt.Sprintf("from line %d on", c.line)) {
				t.Errorf("it begins at line %d: %s", c.line, f.Message)
			}
			equal(t, "severity", []any{f.Severity, f.Acceptable}, []any{migrate.Blocker, true})
			said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "helm_release.within", "the file is in error (main.tf:")
		})
	}

	// What a local value or an override is there is not known either.
	inv := declaredBy(t, map[string]string{
		"a.tf": strings.Replace(release("flux", ""), "git@h:a", "${local.url}", 1),
		"b.tf": "locals {\n good = \"x\"\n url = \"git@h:a\"}\n}\n",
	})
	said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "what b.tf declares from line 3 on")
	equal(t, "its URL is not known", slices.Contains(inv.Agents[0].Unknown, "git.url"), true)
	inv = declaredBy(t, map[string]string{"main.tf": release("flux", ""), "x_override.tf": "resource \"helm_release\" \"flux\" {\n version = \"1.0.0\n}\n"})
	equal(t, "overridden", agentIDs(inv), []string{})
	said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "helm_release.flux", "the file is in error (x_override.tf:2)")
	// Nor is that of a file that cannot be read at all.
	inv = declaredBy(t, map[string]string{"main.tf": release("flux", ""), "more.tf.json": "{"})
	said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "what more.tf.json declares is not known: it cannot be read")
	equal(t, "the others are", agentIDs(inv), []string{"flux/flux"})
}
