package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/fluxover/fluxover/discover/terraform"
)

// maxSource bounds a file that is read again for what stands in a block.
const maxSource = 2 << 20

// absent reports agents that are written in the configuration and not
// declared, since their count or for_each comes to nothing: a fact that a
// person who expects them wants to know.
func (c *configuration) absent() {
	for _, b := range c.result.Blocks {
		if b.Mode != "managed" || b.Count > 0 || len(b.Unknown) > 0 {
			continue
		}
		deployment := strings.HasPrefix(b.Type, "kubernetes_deployment")
		if b.Type != "helm_release" && !deployment {
			continue
		}
		body, source := c.block(b.Position)
		name, repository := literal(body, "chart"), literal(body, "repository")
		switch {
		case b.Type == "helm_release" && name != "":
			if chartKind(name, repository) != "flux" {
				continue
			}
		case b.Type == "helm_release":
			if !speaksOfFlux(b.Address) || strings.Contains(b.Address, "operator") {
				continue
			}
		case !strings.Contains(source, "--git-url") && !strings.Contains(source, "/flux:"):
			continue
		}
		at, argument, why := place(b.Position), "count", "its count is 0"
		for _, n := range []string{"count", "for_each"} {
			if body == nil || body.Attributes[n] == nil {
				continue
			}
			r := body.Attributes[n].SrcRange
			at, argument = place(terraform.Position{File: b.Position.File, Line: r.Start.Line}), n
			if n == "for_each" {
				why = "its for_each is empty"
			}
		}
		if body != nil {
			for _, inner := range body.Blocks {
				if a := inner.Body.Attributes["enabled"]; a != nil && inner.Type == "lifecycle" && argument == "count" && body.Attributes["count"] == nil {
					at, argument, why = place(terraform.Position{File: b.Position.File, Line: a.SrcRange.Start.Line}), "lifecycle", "its enabled is false"
				}
			}
		}
		c.find(TerraformNoAgent.About("", b.Address, at, fmt.Sprintf("%s declares no Flux v1 agent: %s (%s at %s)", b.Address, why, argument, at)))
	}
}

// block reads the block that begins at a position once more, as it is written.
// Without it, as in JSON syntax, the body is nil.
func (c *configuration) block(p terraform.Position) (*hclsyntax.Body, string) {
	root, err := os.OpenRoot(c.root)
	if err != nil {
		return nil, ""
	}
	defer func() { _ = root.Close() }()
	name := filepath.FromSlash(p.File)
	if info, err := root.Stat(name); err != nil || !info.Mode().IsRegular() || info.Size() > maxSource {
		return nil, ""
	}
	content, err := root.ReadFile(name)
	if err != nil {
		return nil, ""
	}
	// What was wrong in the file has been reported.
	file, _ := hclsyntax.ParseConfig(content, p.File, hcl.InitialPos)
	if file == nil {
		return nil, ""
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil, ""
	}
	for _, b := range body.Blocks {
		if b.TypeRange.Start.Line == p.Line {
			return b.Body, string(b.Range().SliceBytes(content))
		}
	}
	return nil, ""
}

// literal is an argument's text if it is written out.
func literal(body *hclsyntax.Body, name string) string {
	if body == nil || body.Attributes[name] == nil {
		return ""
	}
	v, diags := body.Attributes[name].Expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type().FriendlyName() != "string" {
		return ""
	}
	return v.AsString()
}
