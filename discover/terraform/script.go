package terraform

import (
	"context"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Script is a command that the configuration runs on the machine of whoever
// applies or plans it, and that names a tool which could install Flux. It is
// named so that nobody believes the cluster is free of what it does; it is not
// converted.
type Script struct {
	Address string
	// Tools of helm, kubectl, fluxctl, flux and kustomize that it runs, in that
	// order.
	Tools []string
	// Flux is true if the script speaks of Flux: its command, what it is given,
	// a file that it runs, or the name of the resource.
	Flux bool
	// In says where the tools and Flux stand if not in the command itself:
	// "environment HELM", "trigger url", "file deploy.sh"; sorted.
	In []string
	// Unread are files that it runs and that could not be read.
	Unread   []string
	Destroy  bool // it runs when the resource is destroyed
	Command  *Node
	Unknown  []Cause // set when it is not known whether it runs
	Position Position
	// Open is true if it is not known which program it runs.
	Open bool
}

var (
	scriptTools = []string{"helm", "kubectl", "fluxctl", "flux", "kustomize"}
	// A tool stands where a command does: at the start of a line, or after a
	// separator, an assignment, or a program that runs another.
	toolPattern = regexp.MustCompile(`(?m)(?:^|[;&|(` + "`" + `{]|\b(?:sudo|exec|xargs|then|do|else|time)\s)\s*(?:\w+=(?:"[^"]*"|\S*)\s+)*(?:[\w./~-]*/)?(helm|kubectl|fluxctl|flux|kustomize)3?(?:\s|$|;)`)
	fluxPattern = regexp.MustCompile(`(?i)flux`)
	// variablePattern is a variable where a command stands.
	variablePattern = regexp.MustCompile(`(?m)(?:^|[;&|(])\s*\$(?:\w+|\{\w+\})`)
	// runPattern is a file where a command stands, or behind what runs one;
	// filePattern any word that looks like one.
	runPattern  = regexp.MustCompile(`(?m)(?:^|[;&|(` + "`" + `]|(?:^|\s)\.\s|\b(?:sudo|exec|time|then|do|else|source|sh|bash|zsh|dash|python[0-9.]*|ruby|perl|node|pwsh)\s+(?:-\S+\s+)*)\s*"?((?:[\w.-]*/)+[\w.-]+|[\w.-]+\.(?:sh|bash|zsh|py|rb|pl|js|ps1))`)
	filePattern = regexp.MustCompile(`(?:\.{0,2}/)?(?:[\w.-]+/)*[\w.-]+\.(?:sh|bash|zsh|py|rb|pl|js|ps1|ya?ml|json)\b|\.{1,2}/[\w./-]+`)
)

// Scripts returns, by address, the commands of provisioners and the programs of
// data "external" that run such a tool or speak of Flux, also by what they are
// given: triggers, environment, interpreter, or a file of the tree that they run.
func Scripts(ctx context.Context, r *Result) []*Script {
	defer r.during(ctx)()
	var out []*Script
	for _, x := range r.Resources {
		if x.Mode == "data" && x.Type == "external" {
			s := &Script{Address: x.Address, Unknown: x.Unknown, Position: x.Position, Command: x.Field("program")}
			k := s.reader(x, x.Body)
			k.program(s.Command)
			k.values("query", x.Field("query"))
			out = k.named(out)
			continue
		}
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
			k := s.reader(x, p.Body)
			k.program(p.Body.field(x.scope.l, "interpreter"))
			environment := p.Body.field(x.scope.l, "environment")
			k.command(commandText(s.Command), known(environment))
			k.values("environment", environment)
			for _, name := range []string{"triggers", "triggers_replace", "input"} { // of null_resource and terraform_data
				k.values(strings.TrimSuffix(name, "s"), x.Field(name))
			}
			for _, name := range []string{"script", "scripts"} { // of remote-exec
				for _, file := range strings.Split(commandText(p.Body.field(x.scope.l, name)), "\n") {
					k.file(file, true)
				}
			}
			out = k.named(out)
		}
	}
	return out
}

// scriptReader finds out what one script runs.
type scriptReader struct {
	*Script
	l *loader
	// folder in which it runs, in the tree.
	folder string
	in     map[string]bool
	files  map[string]bool
}

func (s *Script) reader(x *Resource, body *Body) *scriptReader {
	k := &scriptReader{Script: s, l: x.scope.l, folder: x.scope.l.dir, in: map[string]bool{}, files: map[string]bool{}}
	if dir, ok := body.field(k.l, "working_dir").Str(); ok {
		if at, err := k.l.tree.locate(k.folder, dir); err == nil {
			k.folder = at
		}
	}
	s.Flux = fluxPattern.MatchString(x.Address)
	return k
}

// named adds the script to those that are told of, if it is to be.
func (k *scriptReader) named(out []*Script) []*Script {
	if k.Command != nil && k.Command.Kind != Scalar && k.Command.Kind != List && k.Command.Text == "" {
		k.Open = true
	}
	slices.SortFunc(k.Tools, func(a, b string) int { return slices.Index(scriptTools, a) - slices.Index(scriptTools, b) })
	k.In = append(k.In, sortedKeys(k.in)...)
	if len(k.Tools) > 0 || k.Flux || k.Open || len(k.Unread) > 0 {
		out = append(out, k.Script)
	}
	return out
}

// found looks for tools and for Flux in a text; where it stands is empty for
// the command itself, and is told if nothing before it says the same.
func (k *scriptReader) found(text, where string) {
	is := fluxPattern.MatchString(text)
	news := is && !k.Flux
	k.Flux = k.Flux || is
	for _, m := range toolPattern.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(k.Tools, m[1]) {
			k.Tools, news = append(k.Tools, m[1]), true
		}
	}
	if news && where != "" {
		k.in[where] = true
	}
}

// command reads the text of a shell, with what its environment is known to hold.
func (k *scriptReader) command(text string, environment map[string]string) {
	k.found(text, "")
	filled := os.Expand(text, func(name string) string {
		if value, ok := environment[name]; ok {
			return value
		}
		return "${" + name + "}"
	})
	if filled != text {
		k.found(filled, "")
	}
	if variablePattern.MatchString(filled) {
		k.Open = true
	}
	for _, m := range runPattern.FindAllStringSubmatch(filled, -1) {
		k.file(m[1], true)
	}
	for _, name := range filePattern.FindAllString(filled, -1) {
		k.file(name, false)
	}
}

// program reads the words of a program that is run without a shell.
func (k *scriptReader) program(n *Node) {
	words := strings.Split(commandText(n), "\n")
	k.found(strings.Join(words, " "), "")
	for i, w := range words {
		if strings.ContainsAny(w, " \t") { // what a shell is given with -c
			k.command(w, nil)
		} else {
			k.file(w, i == 0 && strings.Contains(w, "/") || runPattern.MatchString(w))
		}
	}
}

// values reads the names and values that a script is given.
func (k *scriptReader) values(what string, n *Node) {
	if n == nil {
		return
	}
	if n.Kind != Map {
		n = &Node{Kind: Map, Map: map[string]*Node{"": n}}
	}
	for _, name := range sortedKeys(n.Map) {
		text, where := commandText(n.Map[name]), strings.TrimSpace(what+" "+name)
		if !strings.ContainsAny(text, " \t") { // a name, and no command
			if fluxPattern.MatchString(name+" "+text) && !k.Flux {
				k.Flux, k.in[where] = true, true
			}
			continue
		}
		k.found(text, where)
	}
}

// known are the texts among the values of a mapping.
func known(n *Node) map[string]string {
	out := map[string]string{}
	if n != nil {
		for name, v := range n.Map {
			if s, ok := v.Str(); ok {
				out[name] = s
			}
		}
	}
	return out
}

// file reads a file of the tree that a script names. One that it runs, and that
// cannot be read, is told of, unless it is a program of the machine.
func (k *scriptReader) file(name string, runs bool) {
	if name == "" || k.files[name] {
		return
	}
	k.files[name] = true
	at, err := k.l.tree.locate(k.folder, name)
	var data []byte
	if err == nil {
		data, err = k.l.tree.read(at)
	}
	switch {
	case err == nil:
		k.found(string(data), "file "+path.Base(name))
	case runs && !path.IsAbs(name):
		k.Unread = append(k.Unread, name)
	}
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
