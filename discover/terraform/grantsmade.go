package terraform

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// What makes roles and bindings beside the resources that are made for it: releases of
// charts that make whatever objects they are given, and scripts.

// rawCharts make the objects that their values hold (incubator/raw, itscontained/raw,
// bedag/raw, kiwigrid/any-resource), and rawValues are the values that hold them.
var (
	rawCharts = []string{"raw", "any-resource"}
	rawValues = []string{"resources", "templates", "anyResources"}
)

// bindingWord is what a text has that holds a binding as an object.
var bindingWord = regexp.MustCompile(`\b(?:Cluster)?RoleBinding\b`)

// Grants returns the roles and bindings that are given to a release among its values, as
// objects: those of charts that make any object, and of others that are given more than
// their own. What such a chart is given that is not known may be a binding.
func (h *HelmRelease) Grants(of Cluster) []Grant {
	f := grantFinder{address: h.Address, position: h.Position, of: of, namespace: h.Namespace, where: "the values of " + h.Address}
	chart, _ := h.Chart.Str()
	if !slices.Contains(rawCharts, path.Base(chart)) {
		f.node(h.Values)
	} else {
		f.anything = true
		for _, name := range rawValues {
			f.node(h.Values.Lookup(name))
		}
	}
	for i := range f.found {
		f.found[i].Unknown, f.found[i].Resource, f.found[i].State = slices.Concat(h.Unknown, f.found[i].Unknown), h.Resource, h.State
	}
	return f.found
}

// grantFinder finds roles and bindings that something makes of objects that it is given.
type grantFinder struct {
	address  string
	position Position
	of       Cluster
	// namespace is that of objects that name none, and where is what is searched, in words.
	namespace *Node
	where     string
	// anything is true if whatever is found is made, so that what is not known may be a binding.
	anything bool
	found    []Grant
}

// unknown notes that there may be any role or binding.
func (f *grantFinder) unknown(causes ...Cause) {
	if len(causes) == 0 {
		causes = []Cause{{Kind: CauseSensitive, Name: f.where, Position: f.position}}
	}
	w := &Workload{Address: f.address, Position: f.position, Object: &Node{Kind: Unknown, Causes: causes, Origin: Origin{Position: f.position}}}
	w.fromObject()
	f.add(w)
}

func (f *grantFinder) add(w *Workload) {
	if w.Resource == nil {
		w.Resource = &Resource{}
	}
	if g, ok := w.grant(f.of); ok {
		if g.Namespace == nil {
			g.Namespace = f.namespace
		}
		f.found = append(f.found, g)
	}
}

func (f *grantFinder) node(n *Node) {
	switch {
	case n == nil:
	case n.Kind == Map:
		kind, known := n.Lookup("kind").Str()
		switch {
		case known && isGrant(kind) && (n.Lookup("roleRef") != nil || n.Lookup("rules") != nil || n.Lookup("aggregationRule") != nil),
			!known && f.anything && n.Lookup("kind") != nil:
			w := &Workload{Address: f.address, Position: f.position, Object: f.rendered(n)}
			w.fromObject()
			f.add(w)
			return
		case known && kind != "List" && n.Lookup("apiVersion") != nil:
			return // another object
		case len(n.Causes) > 0 && f.anything:
			f.unknown(n.Causes...)
		}
		for _, k := range sortedKeys(n.Map) {
			f.node(n.Map[k])
		}
	case n.Kind == List:
		for _, e := range n.List {
			f.node(e)
		}
	case n.Kind == Scalar:
		text, _ := n.Str()
		f.text(text)
	case f.anything || bindingWord.MatchString(n.Text):
		f.unknown(n.Causes...)
	}
}

// maxGrantText and maxGrantNesting bound a text of which the objects are read.
const (
	maxGrantText    = 1 << 20
	maxGrantNesting = 100
)

// text reads the objects in a text of YAML, if a binding or role is one of them.
func (f *grantFinder) text(text string) {
	if !bindingWord.MatchString(text) && !strings.Contains(text, rbacGroup) {
		return
	}
	notRead := func(why string) {
		f.unknown(Cause{Kind: CauseLimit, Name: "there are bindings in " + f.where + ", and " + why, Position: f.position})
	}
	switch {
	case strings.Contains(text, "{{"):
		notRead("templates of Helm in them are not rendered here")
		return
	case len(text) > maxGrantText:
		notRead("they are larger than is read")
		return
	}
	for _, document := range documentEnd.Split(text, -1) {
		if !bindingWord.MatchString(document) && !strings.Contains(document, rbacGroup) {
			continue
		}
		var v any
		if checkYAML(document, maxGrantNesting) != nil || yaml.Unmarshal([]byte(document), &v) != nil {
			notRead("they are no YAML")
			return
		}
		if _, isText := v.(string); !isText {
			f.node(stateNode(v, Origin{Position: f.position}))
		}
	}
}

// documentEnd parts the documents of a text of YAML.
var documentEnd = regexp.MustCompile(`(?m)^---(?:\s.*)?$`)

// rendered is an object of which a text with a template of Helm, or a variable of a shell, in
// it is not known.
func (f *grantFinder) rendered(n *Node) *Node {
	if n == nil {
		return nil
	}
	out := *n
	switch text, isText := n.Str(); {
	case isText && (strings.Contains(text, "{{") || strings.Contains(text, "${")):
		shown := templatePart.ReplaceAllString(text, "$${template}")
		return &Node{Kind: Unknown, Text: shown, Causes: []Cause{{Kind: CauseLimit, Name: "a template in " + f.where + " is not rendered here", Position: f.position}}, Origin: n.Origin}
	case n.Kind == Map:
		out.Map = make(map[string]*Node, len(n.Map))
		for k, v := range n.Map {
			out.Map[k] = f.rendered(v)
		}
	case n.Kind == List:
		out.List = slices.Clone(n.List)
		for i := range out.List {
			out.List[i] = f.rendered(out.List[i])
		}
	}
	return &out
}

var templatePart = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

var (
	// kubectlPattern is kubectl with what it is given, up to the end of the command.
	kubectlPattern = regexp.MustCompile(`\bkubectl(?:\.exe)?["']?[ \t]+([^\n;|&]*)`)
	wordPattern    = regexp.MustCompile(`(?:[^\s"']|"[^"]*"|'[^']*')+`)
	// given is a text that a shell gives to a program: a here-string, or what echo prints.
	givenPattern   = regexp.MustCompile(`(?m)<<<[ \t]*(.*)$|\b(?:echo|printf)[ \t]+([^|\n]*)\|`)
	heredocPattern = regexp.MustCompile(`(?:^|[^<])<<-?[ \t]*(["']?)(\w+)["']?`)
	shellVariable  = regexp.MustCompile(`\$(\w+)|\$\{([^}]*)\}|\$\(|` + "`")
	// created are the words by which kubectl creates a role or binding.
	created = map[string]string{"clusterrolebinding": "ClusterRoleBinding", "rolebinding": "RoleBinding", "clusterrole": "ClusterRole", "role": "Role"}
	makes   = []string{"create", "apply", "replace", "reconcile", "patch", "edit", "set"}
)

// binds reads from a text of a shell the roles and bindings that kubectl makes by it. What
// kubectl applies and is not read may be any.
func (k *scriptReader) binds(text string) {
	if !strings.Contains(text, "kubectl") || !k.afford(text) {
		return
	}
	f := &grantFinder{address: k.Address, position: k.Position, where: "what the script of " + k.Address + " applies"}
	notRead := func(what string) {
		f.unknown(Cause{Kind: CauseLimit, Name: what + " is not read", Position: k.Position})
	}
	text = oneLine(text)
	bodies, rest := heredocs(text)
	stdin := false
	for _, m := range kubectlPattern.FindAllStringSubmatchIndex(rest, -1) {
		var words []string
		for _, w := range wordPattern.FindAllString(rest[m[2]:m[3]], -1) {
			words = append(words, strings.NewReplacer(`"`, "", `'`, "").Replace(w))
		}
		verb := slices.IndexFunc(words, func(w string) bool { return slices.Contains(makes, w) })
		if verb < 0 {
			continue
		}
		after := words[verb+1:]
		if len(after) > 0 {
			what, _, _ := strings.Cut(after[0], "/")
			kind := created[strings.TrimSuffix(strings.ToLower(what), "s")]
			switch {
			case kind != "" && words[verb] == "create":
				f.create(kind, append(slices.Clone(words[:verb]), after[1:]...))
				continue
			case kind != "" || words[verb] == "set" && what == "subject":
				notRead("what kubectl makes of a role or binding by " + words[verb])
				continue
			}
		}
		for _, file := range options(after, "-f", "--filename") {
			switch {
			case file == "-":
				switch from := pipedFrom(rest[:m[0]]); {
				case kubectlCreates.MatchString(from): // of which is told already
				case from != "" && !givesText.MatchString(from):
					notRead("what another program gives to kubectl")
				default:
					stdin = true
				}
			case !k.applies(f, file):
				notRead("a file that kubectl applies")
			}
		}
		if len(options(after, "-k", "--kustomize")) > 0 {
			notRead("what kubectl builds by kustomize")
		}
	}
	if stdin {
		k.given(f, text, rest, bodies, notRead)
	}
	k.Grants = append(k.Grants, f.found...)
}

// pipedFrom is the command of which the output goes to one that follows; empty if none does.
func pipedFrom(before string) string {
	before = strings.TrimRight(before, " \t\n")
	if !strings.HasSuffix(before, "|") || strings.HasSuffix(before, "||") {
		return ""
	}
	before = strings.TrimRight(before, "| \t")
	return before[strings.LastIndexAny(before, "\n;&|")+1:]
}

var (
	// kubectlCreates has kubectl print an object that it makes of options, and givesText has a
	// shell print a text of its own.
	kubectlCreates = regexp.MustCompile(`\bkubectl\b.*\screate\s`)
	givesText      = regexp.MustCompile(`<<|^\s*(?:echo|printf)\s`)
)

// mayBind notes that a script may make any role or binding, where it is not known what it
// runs.
func (k *scriptReader) mayBind() {
	if k.Open || len(k.Unread) > 0 || k.UnreadMore {
		f := &grantFinder{address: k.Address, position: k.Position}
		f.unknown(Cause{Kind: CauseLimit, Name: "what its script runs is not read", Position: k.Position})
		k.Grants = append(k.Grants, f.found...)
	}
}

// given reads what a script gives to kubectl by itself.
func (k *scriptReader) given(f *grantFinder, text, rest string, bodies []string, notRead func(string)) {
	for _, m := range givenPattern.FindAllStringSubmatch(rest, -1) {
		bodies = append(bodies, strings.Trim(m[1]+m[2], ` "'`))
	}
	told := len(bodies) > 0
	for _, body := range bodies {
		for _, m := range shellVariable.FindAllStringSubmatch(body, -1) {
			name := m[1] + m[2] // of which the value stands in the text, if it is set there
			told = told && name != "" && regexp.MustCompile(`(?m)(?:^|[\s;&(])`+regexp.QuoteMeta(name)+`=["']?[^$"']`).MatchString(text)
		}
	}
	before := len(f.found)
	for _, body := range bodies {
		f.text(body)
	}
	switch found := len(f.found) > before; {
	case !told:
		notRead("a part of what kubectl is given")
	case !found && (bindingWord.MatchString(text) || strings.Contains(text, unknownText)):
		notRead("what kubectl is given by a variable")
	}
}

// heredocs takes the texts out of a script that it gives to programs.
func heredocs(text string) (bodies []string, rest string) {
	for {
		m := heredocPattern.FindStringSubmatchIndex(text)
		if m == nil {
			return bodies, rest + text
		}
		line, after, _ := strings.Cut(text[m[1]:], "\n")
		rest += text[:m[1]] + line + "\n"
		end := regexp.MustCompile(`(?m)^[ \t]*` + text[m[4]:m[5]] + `[ \t]*$`).FindStringIndex(after)
		if end == nil {
			return append(bodies, after), rest
		}
		bodies, text = append(bodies, after[:end[0]]), after[end[1]:]
	}
}

// options are the values that an option has among words.
func options(words []string, short, long string) []string {
	var out []string
	for i, w := range words {
		switch {
		case (w == short || w == long) && i+1 < len(words):
			out = append(out, strings.Split(words[i+1], ",")...)
		case strings.HasPrefix(w, long+"="):
			out = append(out, strings.Split(strings.TrimPrefix(w, long+"="), ",")...)
		case strings.HasPrefix(w, short) && !strings.HasPrefix(w, "--") && len(w) > len(short):
			out = append(out, strings.TrimPrefix(strings.TrimPrefix(w, short), "="))
		}
	}
	return out
}

// create is a role or binding that kubectl creates by options.
func (f *grantFinder) create(kind string, words []string) {
	word := func(text string) *Node {
		if !shellVariable.MatchString(text) {
			return &Node{Kind: Scalar, Scalar: text, Origin: Origin{Position: f.position}}
		}
		return &Node{Kind: Unknown, Text: shellVariable.ReplaceAllString(text, "$${variable}"), Causes: []Cause{{Kind: CauseLimit, Name: "a variable in the script of " + f.address + " is not known", Position: f.position}}}
	}
	metadata, ref := map[string]*Node{}, map[string]*Node{}
	if i := slices.IndexFunc(words, func(w string) bool { return !strings.HasPrefix(w, "-") }); i >= 0 {
		metadata["name"] = word(words[i])
	}
	for _, namespace := range options(words, "-n", "--namespace") {
		metadata["namespace"] = word(namespace)
	}
	if metadata["namespace"] == nil {
		metadata["namespace"] = &Node{Kind: Unknown, Causes: []Cause{{Kind: CauseLimit, Name: "the namespace in the context of kubectl", Position: f.position}}}
	}
	object := map[string]*Node{"kind": {Kind: Scalar, Scalar: kind}, "metadata": {Kind: Map, Map: metadata}}
	if !strings.HasSuffix(kind, "Binding") {
		object["rules"] = &Node{Kind: Unknown, Causes: []Cause{{Kind: CauseLimit, Name: "the rules that kubectl is given are not read", Position: f.position}}}
	} else {
		for option, of := range map[string]string{"--clusterrole": "ClusterRole", "--role": "Role"} {
			for _, name := range options(words, option, option) {
				ref["kind"], ref["name"] = &Node{Kind: Scalar, Scalar: of}, word(name)
			}
		}
		if ref["name"] == nil {
			ref["name"] = word("$role")
		}
		subjects := &Node{Kind: List}
		for option, of := range map[string]string{"--serviceaccount": "ServiceAccount", "--user": "User", "--group": "Group"} {
			for _, name := range options(words, option, option) {
				subject := map[string]*Node{"kind": {Kind: Scalar, Scalar: of}, "name": word(name)}
				if namespace, account, ok := strings.Cut(name, ":"); ok && of == "ServiceAccount" {
					subject["namespace"], subject["name"] = word(namespace), word(account)
				}
				subjects.List = append(subjects.List, &Node{Kind: Map, Map: subject})
			}
		}
		object["roleRef"], object["subjects"] = &Node{Kind: Map, Map: ref}, subjects
	}
	w := &Workload{Address: f.address, Position: f.position, Object: &Node{Kind: Map, Map: object}}
	w.fromObject()
	f.add(w)
}

// applies reads the objects of a file, or of the files of a folder, that kubectl applies, and
// reports whether it could.
func (k *scriptReader) applies(f *grantFinder, name string) bool {
	at, err := k.l.tree.locate(k.folder, name)
	if err != nil || shellVariable.MatchString(name) {
		return false
	}
	if data, err := k.l.tree.read(at); err == nil && k.afford(string(data)) {
		f.text(string(data))
		return true
	}
	files, err := k.l.tree.walk(at)
	if err != nil || len(files) == 0 {
		return false
	}
	for _, file := range files {
		if ext := path.Ext(file); ext != ".yaml" && ext != ".yml" && ext != ".json" {
			continue
		}
		data, err := k.l.tree.read(path.Join(at, file))
		if err != nil || !k.afford(string(data)) {
			return false
		}
		f.text(string(data))
	}
	return true
}
