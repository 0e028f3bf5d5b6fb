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

// sourceFile is a file of configuration as it is written.
type sourceFile struct {
	content []byte
	blocks  map[int]*hclsyntax.Block // by the line on which they begin
}

// block is the block that begins at a position, as it is written. Without it, as in
// JSON syntax, the body is nil.
func (c *configuration) block(p terraform.Position) (*hclsyntax.Body, string) {
	s := c.sources[p.File]
	if s == nil {
		s = c.source(p.File)
		if c.sources == nil {
			c.sources = map[string]*sourceFile{}
		}
		c.sources[p.File] = s
	}
	b := s.blocks[p.Line]
	if b == nil {
		return nil, ""
	}
	return b.Body, string(b.Range().SliceBytes(s.content))
}

// source reads a file once more; one that cannot be read has no blocks.
func (c *configuration) source(file string) *sourceFile {
	out := &sourceFile{}
	root, err := os.OpenRoot(c.root)
	if err != nil {
		return out
	}
	defer func() { _ = root.Close() }()
	name := filepath.FromSlash(file)
	if info, err := root.Stat(name); err != nil || !info.Mode().IsRegular() || info.Size() > maxSource {
		return out
	}
	content, err := root.ReadFile(name)
	if err != nil {
		return out
	}
	// What was wrong in the file has been reported.
	parsed, _ := hclsyntax.ParseConfig(content, file, hcl.InitialPos)
	if parsed == nil {
		return out
	}
	body, ok := parsed.Body.(*hclsyntax.Body)
	if !ok {
		return out
	}
	out.content, out.blocks = content, map[int]*hclsyntax.Block{}
	for _, b := range body.Blocks {
		if line := b.TypeRange.Start.Line; out.blocks[line] == nil {
			out.blocks[line] = b
		}
	}
	return out
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
