package terraform

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

// Script is a command that the configuration runs on the machine of whoever
// applies it, and that names a tool which could install Flux. It is named so
// that nobody believes the cluster is free of what it does; it is not read
// further.
type Script struct {
	Address  string
	Tools    []string // of helm, kubectl, fluxctl, flux and kustomize, in that order
	Flux     bool     // the command, a trigger or the name of the resource speaks of Flux
	Destroy  bool     // it runs when the resource is destroyed
	Command  *Node
	Unknown  []Cause // set when it is not known whether it runs
	Position Position
}

var (
	scriptTools = []string{"helm", "kubectl", "fluxctl", "flux", "kustomize"}
	// A tool stands where a command does: at the start of a line, or after a
	// separator, an assignment, or a program that runs another.
	toolPattern = regexp.MustCompile(`(?m)(?:^|[;&|(` + "`" + `{]|\b(?:sudo|exec|xargs|then|do|else|time)\s)\s*(?:\w+=(?:"[^"]*"|\S*)\s+)*(?:[\w./~-]*/)?(helm|kubectl|fluxctl|flux|kustomize)3?(?:\s|$|;)`)
	fluxPattern = regexp.MustCompile(`(?i)flux`)
)

// Scripts returns the local-exec commands that run such a tool, or that speak
// of Flux, by address.
func Scripts(ctx context.Context, r *Result) []*Script {
	defer r.during(ctx)()
	var out []*Script
	for _, x := range r.Resources {
		if x.Mode != "managed" {
			continue
		}
		for _, p := range x.provisioners() {
			if len(p.Labels) != 1 || p.Labels[0] != "local-exec" && p.Labels[0] != "remote-exec" {
				continue
			}
			s := &Script{Address: x.Address, Unknown: x.Unknown, Position: p.Position, Command: p.Body.field(x.scope.l, "command")}
			if s.Command == nil {
				s.Command = p.Body.field(x.scope.l, "inline")
			}
			if a := p.Body.Attributes["when"]; a != nil {
				s.Destroy = strings.Contains(stringOr(a.Value, ""), "destroy")
			}
			text := commandText(s.Command)
			for _, m := range toolPattern.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(s.Tools, m[1]) {
					s.Tools = append(s.Tools, m[1])
				}
			}
			slices.SortFunc(s.Tools, func(a, b string) int { return slices.Index(scriptTools, a) - slices.Index(scriptTools, b) })
			s.Flux = fluxPattern.MatchString(text) || fluxPattern.MatchString(x.Address)
			if len(s.Tools) > 0 || s.Flux || s.Command != nil && s.Command.Kind != Scalar && s.Command.Text == "" {
				out = append(out, s)
			}
		}
	}
	return out
}

// commandText is what is known of a command.
func commandText(n *Node) string {
	if n == nil {
		return ""
	}
	switch n.Kind {
	case Scalar:
		s, _ := n.Str()
		return s
	case List:
		var all []string
		for _, e := range n.List {
			all = append(all, commandText(e))
		}
		return strings.Join(all, "\n")
	}
	return n.Text
}
