package terraform

import (
	"context"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Script is a program that the configuration runs on the machine of whoever
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
	// ByName is true if nothing but the name of the resource speaks of Flux.
	ByName bool
	// In says where the tools and Flux stand if not in the command itself:
	// "environment HELM", "trigger url", "file deploy.sh"; sorted.
	In []string
	// Unread are files that it runs and that could not be read: so many as
	// maxUnread, and of names that look like one and so are no secret.
	Unread []string
	// UnreadMore is true if there are others.
	UnreadMore bool
	Destroy    bool // it runs when the resource is destroyed
	Command    *Node
	Unknown    []Cause // set when it is not known whether it runs
	Position   Position
	// Open is true if it is not known which program it runs.
	Open bool
	// Grants are the roles and bindings that it may make.
	Grants []Grant
}

// Bounds of what is told and read of one script.
const (
	maxUnread     = 10
	maxUnreadName = 100
	// maxFilled is how much the values of variables may add to a command.
	maxFilled = 1 << 20
)

const (
	assignment = `\w+=(?:"[^"]*"|'[^']*'|\S*)`
	// commandStart is where a command stands: at the start of a line, after a
	// separator, an assignment, a word of the shell's, or a program that runs
	// another, with its options and durations.
	commandStart = `(?:(?:^|[;&|(` + "`" + `{]|\b(?:then|do|else|elif|if|while|until|eval)\s|(?:^|\s)!\s|(?:^|[\s;&|("'/])(?:ba|da|z|k)?sh\s+(?:-\S+\s+)*?-\w*c\s)\s*["']?(?:` + assignment + `\s+)*|` +
		`\b(?:sudo|exec|xargs|time|nohup|env|timeout|nice|command)\s+(?:(?:-\S+|\d\S*|` + assignment + `)\s+)*)["']?`
	// fileStart is where a file stands that is run: where a command does, or
	// behind what runs one.
	fileStart  = `(?:` + commandStart + `|(?:(?:^|\s)\.|(?:^|[\s;&|("'/])(?:source|` + interpreters + `))\s+(?:-\S+\s+)*["']?)`
	scriptName = `[\w.-]+\.(?:sh|bash|zsh|py|rb|pl|js|ps1)`

	interpreters = `sh|bash|zsh|dash|ksh|python[0-9.]*|ruby|perl|node|pwsh`
)

var (
	scriptTools = []string{"helm", "kubectl", "fluxctl", "flux", "kustomize"}
	toolPattern = regexp.MustCompile(`(?m)` + commandStart + `(?:[\w./~-]*/)?(helm|kubectl|fluxctl|flux|kustomize)3?["']?(?:[\s;&|)` + "`" + `]|$)`)
	fluxPattern = regexp.MustCompile(`(?i)flux`)
	// azurePattern is how Azure's programs have it run Flux v1 in a cluster; for Flux v2
	// it is "az k8s-configuration flux create".
	azurePattern = regexp.MustCompile(`(?i)\baz\s+k8s-?configuration\s+(?:create|update)\b|\b(?:New|Set)-AzKubernetesConfiguration\b`)
	// variablePattern is a variable where a command or a file that is run
	// stands, with what follows it; runPattern is a file there.
	variablePattern = regexp.MustCompile(`(?m)` + fileStart + `\$(?:(\w+)|\{([^}\n]*)\})([\w./-]*)`)
	runPattern      = regexp.MustCompile(`(?m)` + fileStart + `((?:[\w.-]*/)+[\w.-]+|` + scriptName + `)`)
	// filePattern is any word that looks like a file.
	filePattern = regexp.MustCompile(`(?:\.{0,2}/)?(?:[\w.-]+/)*[\w.-]+\.(?:sh|bash|zsh|py|rb|pl|js|ps1|ya?ml|json)\b|\.{1,2}/[\w./-]+`)
	// toldPattern are names of files that may be told: of any other word it is
	// not known that it is a name, and no part of a secret.
	toldPattern        = regexp.MustCompile(`^(?:\.{1,2}/[\w./-]+|(?:[\w.-]*/)*` + scriptName + `)$`)
	scriptFile         = regexp.MustCompile(`(?:^|/)` + scriptName + `$`)
	interpreterPattern = regexp.MustCompile(`^(?:` + interpreters + `)$`)
	assignmentPattern  = regexp.MustCompile(`^(?:\d|\w+=)`)
)

// Scripts returns, by address, the commands of provisioners and the programs that
// resources, data, ephemeral resources and actions run, which run such a tool or speak of
// Flux, also by what they are given: triggers, environment, interpreter, or a file of the
// tree that they run.
func Scripts(ctx context.Context, r *Result) []*Script {
	defer r.during(ctx)()
	var out []*Script
	seen := map[string]*scanned{}
	for _, x := range r.Resources {
		if ctx.Err() != nil {
			return out
		}
		if k := programOf(x, seen); k != nil {
			out = k.named(x, out)
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
			k := s.reader(x, p.Body, seen)
			interpreter, environment := p.Body.field(x.scope.l, "interpreter"), p.Body.field(x.scope.l, "environment")
			k.program(interpreter)
			k.command(commandText(s.Command), known(environment))
			if all := words(interpreter); len(all) > 0 && !interpreterPattern.MatchString(path.Base(all[0])) {
				// A program of its own, of which the command is the last argument.
				k.found(strings.Join(append(all, commandText(s.Command)), " "), "interpreter")
				k.binds(strings.Join(append(all, commandText(s.Command)), " "))
			}
			k.values("environment", environment)
			for _, name := range []string{"triggers", "triggers_replace", "input"} { // of null_resource and terraform_data
				k.values(strings.TrimSuffix(name, "s"), x.Field(name))
			}
			for _, name := range []string{"script", "scripts"} { // of remote-exec
				for _, file := range words(p.Body.field(x.scope.l, name)) {
					k.run(file, true)
				}
			}
			out = k.named(x, out)
		}
	}
	return out
}

// runnerTypes are resources that run a program of their own, which makes what a file or text
// has it make.
var runnerTypes = map[string]string{"ansible_playbook": "ansible-playbook", "helmfile_release_set": "helmfile"}

// requestTypes are resources that send a request to whatever API, with what tells which and what.
var requestTypes = map[string][]string{"terracurl_request": {"url", "request_body"}}

// programOf reads the program that a resource is there to run; nil if it is there for
// something else.
func programOf(x *Resource, seen map[string]*scanned) *scriptReader {
	s := &Script{Address: x.Address, Unknown: x.Unknown, Position: x.Position}
	body := x.Body
	for _, b := range x.Body.All("config") { // of an action
		body = b.Body
	}
	k := s.reader(x, body, seen)
	switch {
	case x.Type == "external" && x.Mode != "managed":
		s.Command = x.Field("program")
		k.program(s.Command)
		k.values("query", x.Field("query"))
	case x.Type == "local_command":
		s.Command = body.field(k.l, "command")
		all := &Node{Kind: List, List: []*Node{s.Command}}
		switch arguments := body.field(k.l, "arguments"); {
		case arguments == nil:
		case arguments.Kind == List:
			all.List = append(all.List, arguments.List...)
		default:
			all.List = append(all.List, arguments)
		}
		k.program(all)
		k.values("stdin", body.field(k.l, "stdin"))
	case strings.HasPrefix(x.Type, "shell_") && (x.Mode == "managed" || x.Mode == "data"): // scottwinkler/shell
		environment := x.Field("environment")
		k.program(x.Field("interpreter"))
		for _, name := range []string{"create", "read", "update"} { // by delete, it is gone
			command := k.lifecycle(x, name)
			k.command(commandText(command), known(environment))
			if s.Command == nil {
				s.Command = command
			}
		}
		k.values("environment", environment)
	case x.Mode == "managed" && runnerTypes[x.Type] != "":
		k.binds(runnerTypes[x.Type])
		for _, name := range sortedKeys(x.Body.Attributes) {
			k.values(name, x.Field(name))
		}
	case x.Mode == "managed" && requestTypes[x.Type] != nil:
		for _, name := range requestTypes[x.Type] {
			text := commandText(x.Field(name))
			k.found(text, name)
			k.binds(text)
		}
	default:
		return nil
	}
	return k
}

// lifecycle is one of the commands of a resource of the provider shell.
func (k *scriptReader) lifecycle(x *Resource, name string) *Node {
	for _, b := range x.Body.nested("lifecycle_commands") {
		if b.open() {
			return b.unknown(name)
		}
		if n := b.field(k.l, name); n != nil {
			return n
		}
	}
	return x.Field("lifecycle_commands").Lookup(name)
}

// scriptReader finds out what one script runs.
type scriptReader struct {
	*Script
	l *loader
	// folder in which it runs, in the tree.
	folder string
	in     map[string]bool
	// seen are the files that were read, for all scripts.
	seen map[string]*scanned
	// unread are the names of Unread, and of what is not told there; made are the files that
	// make goes by.
	unread, made map[string]bool
	// moved is true if it is not known in which folder it runs.
	moved bool
}

// scanned is what a text tells.
type scanned struct {
	flux  bool
	tools []string
	// failed is true if there is no such text.
	failed bool
}

// oneLine puts lines together that go on in the next.
func oneLine(text string) string { return strings.ReplaceAll(text, "\\\n", " ") }

func scan(text string) *scanned {
	text = oneLine(text)
	s := &scanned{flux: fluxPattern.MatchString(text) || azurePattern.MatchString(text)}
	for _, m := range toolPattern.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(s.tools, m[1]) {
			s.tools = append(s.tools, m[1])
		}
	}
	return s
}

func (s *Script) reader(x *Resource, body *Body, seen map[string]*scanned) *scriptReader {
	k := &scriptReader{Script: s, l: x.scope.l, folder: x.scope.l.dir, in: map[string]bool{}, seen: seen, unread: map[string]bool{}, made: map[string]bool{}}
	for _, name := range []string{"working_dir", "working_directory"} {
		dir := body.field(k.l, name)
		text, known := dir.Str()
		at, err := k.l.tree.locate(k.folder, text)
		switch {
		case dir == nil || known && text == "":
		case known && err == nil:
			k.folder = at
		default:
			k.moved = true
		}
	}
	s.Flux = fluxPattern.MatchString(x.Address)
	s.ByName = s.Flux
	return k
}

// named adds the script of a resource to those that are told of, if it is to be.
func (k *scriptReader) named(x *Resource, out []*Script) []*Script {
	k.mayBind()
	for i := range k.Grants {
		g := &k.Grants[i]
		g.Unknown, g.Resource = slices.Concat(x.Unknown, g.Unknown), x
	}
	slices.SortFunc(k.Tools, func(a, b string) int { return slices.Index(scriptTools, a) - slices.Index(scriptTools, b) })
	k.In = append(k.In, sortedKeys(k.in)...)
	if len(k.Tools) > 0 || k.Flux || k.Open || len(k.Unread) > 0 || k.UnreadMore || len(k.Grants) > 0 {
		out = append(out, k.Script)
	}
	return out
}

// searchWork is how many bytes of a text are searched for one unit of work:
// fewer than are produced, since looking for patterns is slower.
const searchWork = 4

// afford reports whether a text may still be searched; if not, what it says is
// not known.
func (k *scriptReader) afford(text string) bool {
	if k.l.budget.afford(int64(len(text)/searchWork)+1) != nil {
		k.Open = true
		return false
	}
	return true
}

// found looks for tools and for Flux in a text; where it stands is empty for
// the command itself, and is told if nothing before it says the same.
func (k *scriptReader) found(text, where string) {
	if k.afford(text) {
		k.tells(scan(text), where)
	}
}

func (k *scriptReader) tells(s *scanned, where string) {
	news := s.flux && (!k.Flux || k.ByName)
	k.Flux, k.ByName = k.Flux || s.flux, k.ByName && !s.flux
	for _, tool := range s.tools {
		if !slices.Contains(k.Tools, tool) {
			k.Tools, news = append(k.Tools, tool), true
		}
	}
	if news && where != "" {
		k.in[where] = true
	}
}

// command reads the text of a shell, with what its environment is known to
// hold. A shell takes no value apart into commands: what is run stands in the
// text as it is written, and a value is never told.
func (k *scriptReader) command(text string, environment map[string]string) {
	text = oneLine(text)
	k.found(text, "")
	filled := k.filled(text, environment)
	if filled != text {
		k.found(filled, "")
	}
	k.runs(text, filled, environment)
}

// filled is the text of a shell with what its environment is known to hold.
func (k *scriptReader) filled(text string, environment map[string]string) string {
	left := maxFilled
	return os.Expand(text, func(name string) string {
		value, ok := environment[name]
		if !ok {
			return "${" + name + "}"
		}
		if left -= len(value); left < 0 {
			k.Open = true
			return ""
		}
		return value
	})
}

// runs looks for what the text of a shell runs, and for what that makes; filled is the text
// with what its environment is known to hold.
func (k *scriptReader) runs(text, filled string, environment map[string]string) {
	k.binds(filled)
	if !k.afford(filled) {
		return
	}
	for _, m := range variablePattern.FindAllStringSubmatch(text, -1) {
		value, ok := environment[m[1]+m[2]]
		word := strings.Fields(value + m[3])
		if !ok || len(value) > maxUnreadName || len(word) == 0 {
			k.Open = true
			continue
		}
		if strings.Contains(word[0], "/") || toldPattern.MatchString(word[0]) {
			k.run(word[0], false)
		}
	}
	for _, m := range runPattern.FindAllStringSubmatch(text, -1) {
		k.run(m[1], true)
	}
	for _, name := range filePattern.FindAllString(filled, -1) {
		if k.file(name) && scriptFile.MatchString(name) { // which a shell may be given
			k.bindsIn(name)
		}
	}
}

// program reads the words of a program that is run without a shell. The first
// is the program; one that runs another, or a file, names it next.
func (k *scriptReader) program(n *Node) {
	all := words(n)
	k.found(strings.Join(all, " "), "")
	k.binds(strings.Join(all, " "))
	runs, shell := true, false // the next word is run; it is the text of a shell
	interpreter, option := false, false
	for _, w := range all {
		switch {
		case option: // of "-o pipefail"
			option = false
		case shell:
			k.command(w, nil)
			shell, runs = false, false
		case runs && interpreter && strings.HasPrefix(w, "-"):
			short := !strings.HasPrefix(w, "--")
			shell, option = short && strings.HasSuffix(w, "c"), short && strings.HasSuffix(w, "o")
		case runs && (strings.HasPrefix(w, "-") || assignmentPattern.MatchString(w)):
		case runs && strings.HasPrefix(w, "${"):
			k.Open, runs = true, false
		case runs && interpreterPattern.MatchString(path.Base(w)):
			interpreter = true
		case runs && slices.Contains([]string{"env", "sudo", "timeout", "nice", "nohup"}, path.Base(w)):
		case runs && (interpreter || strings.Contains(w, "/") || toldPattern.MatchString(w)):
			k.run(w, true)
			runs = false
		case runs: // a program of the machine
			runs = false
		case strings.ContainsAny(w, " \t"):
			k.found(w, "")
		default:
			k.file(w)
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
			if fluxPattern.MatchString(name+" "+text) && (!k.Flux || k.ByName) {
				k.Flux, k.ByName, k.in[where] = true, false, true
			}
			continue
		}
		k.found(text, where)
		k.binds(text)
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

// run reads a file that a script runs. One that cannot be read is told of,
// unless it is a program of the machine. It is named only if it was written as
// a word of the script.
func (k *scriptReader) run(name string, written bool) {
	switch {
	case name == "":
	case strings.HasPrefix(name, "${"):
		k.Open = true
	case k.file(name):
		k.bindsIn(name)
	case path.IsAbs(name) || k.unread[name]:
	case !written:
		k.Open = true
	default:
		k.unread[name] = true
		if len(k.Unread) == maxUnread || len(name) > maxUnreadName || !toldPattern.MatchString(name) {
			k.UnreadMore = true
		} else {
			k.Unread = append(k.Unread, name)
		}
	}
}

// bindsIn looks for bindings in a file of the tree that a script names.
func (k *scriptReader) bindsIn(name string) {
	if at, err := k.l.tree.locate(k.folder, name); err == nil {
		if data, err := k.l.tree.read(at); err == nil {
			k.binds(string(data))
		}
	}
}

// file reads a file of the tree that a script names, if it is there.
func (k *scriptReader) file(name string) bool {
	at, err := k.l.tree.locate(k.folder, name)
	if err != nil {
		return false
	}
	s := k.seen[at]
	if s == nil {
		data, err := k.l.tree.read(at)
		switch {
		case err != nil:
			s = &scanned{failed: true}
		case !k.afford(string(data)):
			return true
		default:
			s = scan(string(data))
		}
		k.seen[at] = s
	}
	if !s.failed {
		k.tells(s, "file "+path.Base(name))
	}
	return !s.failed
}

// unknownText stands for a text of which nothing is known: it reads as a
// variable that is not known.
const unknownText = "${unknown}"

// words are what is known of each text of a list, or of the one text.
func words(n *Node) []string {
	switch {
	case n == nil:
		return nil
	case n.Kind == List:
		var all []string
		for _, e := range n.List {
			all = append(all, commandText(e))
		}
		return all
	}
	return []string{commandText(n)}
}

// commandText is what is known of a command.
func commandText(n *Node) string {
	switch {
	case n == nil:
		return ""
	case n.Kind == Scalar:
		s, _ := n.Str()
		return s
	case n.Kind == List:
		return strings.Join(words(n), "\n")
	case n.Text == "":
		return unknownText
	}
	return n.Text
}
