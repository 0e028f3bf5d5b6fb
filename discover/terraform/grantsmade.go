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
// objects: those of charts that make any object, where what is not known may be a binding,
// and of others, of which it is not known whether they make it.
func (h *HelmRelease) Grants(of Cluster) []Grant {
	f := grantFinder{address: h.Address, position: h.Position, of: of, namespace: h.Namespace, where: "the values of " + h.Address}
	chart, _ := h.Chart.Str()
	if !slices.Contains(rawCharts, path.Base(chart)) {
		f.node(h.Values)
		for i := range f.found {
			f.found[i].Unknown = append(f.found[i].Unknown, Cause{Kind: CauseLimit, Name: "whether " + h.Address + " makes what it is given is not known", Position: h.Position})
		}
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

// moduleOfRights is what a module is called, or its source, that is made to bind accounts
// of Kubernetes.
var moduleOfRights = regexp.MustCompile(`(?i)rbac|role[-_]?binding|cluster[-_]?roles?\b|(?:k8s|kube|kubernetes)[-_](?:role|auth|permission|service[-_]?account)`)

// UnreadGrants returns what modules that were not read may make of roles and bindings: any,
// where they are called for them, and those of the accounts that they are given. Of the
// others, most of which are of clouds, it is not taken that they bind anybody.
func (r *Result) UnreadGrants() []Grant {
	var out []Grant
	for _, m := range r.Modules {
		rights := moduleOfRights.MatchString(m.Address + " " + m.Source)
		if m.Missing == nil || !rights && len(m.accounts) == 0 {
			continue
		}
		f := grantFinder{address: m.Address, position: m.Position}
		f.unknown(Cause{Kind: CauseLimit, Name: "the module (source " + m.Source + ") is not in the folder", Position: m.Position})
		for _, g := range f.found {
			g.Resource, g.Unknown = nil, m.Unknown
			if !rights {
				g.More = nil
				for _, name := range m.accounts {
					g.Subjects = append(g.Subjects, Subject{Kind: &Node{Kind: Scalar, Scalar: "ServiceAccount"}, Name: &Node{Kind: Scalar, Scalar: name}, Namespace: g.What})
				}
			}
			out = append(out, g)
		}
	}
	return out
}

// GivenObject is an object that a release is given among its values; without a namespace it
// is in that of the release, or in none.
type GivenObject struct{ Kind, Name, Namespace string }

// Given are the objects that a release of a chart is given that makes any, as far as they
// have a name that is known.
func (h *HelmRelease) Given() []GivenObject {
	chart, _ := h.Chart.Str()
	if !slices.Contains(rawCharts, path.Base(chart)) {
		return nil
	}
	var out []GivenObject
	var walk func(n *Node)
	walk = func(n *Node) {
		switch {
		case n == nil:
		case n.Kind == Map && n.Lookup("apiVersion") != nil:
			if name, ok := n.Lookup("metadata", "name").Str(); ok {
				kind, _ := n.Lookup("kind").Str()
				namespace, _ := n.Lookup("metadata", "namespace").Str()
				out = append(out, GivenObject{kind, name, namespace})
			}
			walk(n.Map["items"]) // of a List
		case n.Kind == Map:
			for _, k := range sortedKeys(n.Map) {
				walk(n.Map[k])
			}
		case n.Kind == List:
			for _, e := range n.List {
				walk(e)
			}
		case n.Kind == Scalar:
			text, _ := n.Str()
			if len(text) > maxGrantText || strings.Contains(text, "{{") {
				return
			}
			for _, document := range documentEnd.Split(text, -1) {
				var v any
				if checkYAML(document, maxGrantNesting) == nil && yaml.Unmarshal([]byte(document), &v) == nil {
					if _, object := v.(map[string]any); object {
						walk(stateNode(v, n.Origin))
					}
				}
			}
		}
	}
	for _, name := range rawValues {
		walk(h.Values.Lookup(name))
	}
	return out
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

// rendered is an object of which a text with a template of Helm in it is not known.
func (f *grantFinder) rendered(n *Node) *Node {
	if n == nil {
		return nil
	}
	out := *n
	switch text, isText := n.Str(); {
	case isText && strings.Contains(text, "{{"):
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
	// kubectlPattern is kubectl, or OpenShift's oc, with what it is given, up to the end of the
	// command.
	kubectlPattern = regexp.MustCompile(`\b(?:kubectl|oc)(?:\.exe)?["']?[ \t]+([^\n;|&]*)`)
	commentPattern = regexp.MustCompile(`(?m)^[ \t]*#.*$`)
	wordPattern    = regexp.MustCompile(`(?:[^\s"']|"[^"]*"|'[^']*')+`)
	// speaksOfRights is what a text says that makes or changes bindings or their roles, by
	// whatever program, or gives a chart objects to make.
	speaksOfRights = regexp.MustCompile(`(?i)rolebinding|clusterrole|cluster-admin|\badm[ \t]+policy\b|/(?:raw|any-resource)\b`)
	// kubectlVerbs are those that stand first and those that change nothing, and bindsNothing
	// are kinds that kubectl creates and that give no rights.
	kubectlVerbs    = []string{"create", "apply", "replace", "patch", "edit", "set", "auth", "run", "expose", "label", "annotate", "scale", "taint", "get", "describe", "delete", "wait", "rollout", "logs", "version", "cluster-info", "config", "explain", "exec", "port-forward", "drain", "cordon", "uncordon", "top"}
	changesNoRights = []string{"get", "describe", "delete", "wait", "rollout", "logs", "version", "cluster-info", "config", "explain", "label", "annotate", "scale", "taint", "drain", "cordon", "uncordon", "top"}
	bindsNothing    = []string{"namespace", "ns", "secret", "configmap", "cm", "serviceaccount", "sa", "deployment", "service", "job", "cronjob", "ingress", "quota", "token", "priorityclass", "pdb", "poddisruptionbudget"}
	// person is who is no account of a cluster: accounts of clouds are named by an address.
	person = regexp.MustCompile(`--user[= ]["']?\S*(?:@|gcloud)`)
)

// binds notes that a script may make roles and bindings. Which it makes is not told: what a
// shell runs depends on its variables, conditions and the files of that moment.
func (k *scriptReader) binds(text string) {
	if !k.afford(text) {
		return
	}
	text = commentPattern.ReplaceAllString(oneLine(text), "")
	rest, end, harmless := "", 0, false
	for _, m := range kubectlPattern.FindAllStringSubmatchIndex(text, -1) {
		between := text[end:m[0]]
		verb := ""
		verb, harmless = k.changesNone(text[m[2]:m[3]], harmless && strings.TrimSpace(between) == "|")
		if !harmless {
			k.mayMake("what kubectl makes by " + verb + " in its script")
			return
		}
		rest, end = rest+between, m[1]
	}
	if speaksOfRights.MatchString(rest + text[end:]) {
		k.mayMake("what its script makes of roles and bindings")
	}
}

// changesNone gives the verb of a command of kubectl, and whether it gives nobody any
// rights; piped is true if such a command gives it what it applies.
func (k *scriptReader) changesNone(command string, piped bool) (verb string, none bool) {
	var words []string
	for _, w := range wordPattern.FindAllString(command, -1) {
		words = append(words, strings.NewReplacer(`"`, "", `'`, "").Replace(w))
	}
	at := slices.IndexFunc(words, func(w string) bool { return slices.Contains(kubectlVerbs, w) })
	if at < 0 {
		return "a verb that is not known", !strings.Contains(command, "$") && !strings.Contains(command, "apply") && !speaksOfRights.MatchString(command)
	}
	// What stands behind an option may be its value.
	for strings.HasPrefix(words[max(at-1, 0)], "-") && !strings.Contains(words[at-1], "=") {
		next := slices.IndexFunc(words[at+1:], func(w string) bool { return slices.Contains(kubectlVerbs, w) })
		if next < 0 {
			break
		}
		at += 1 + next
	}
	verb = words[at]
	switch {
	case verb == "exec": // whatever runs in the pod has the pod's rights
		return verb, false
	case slices.Contains(changesNoRights, verb):
		return verb, true
	case verb == "apply" && piped && slices.Contains(words, "-"):
		return verb, true
	case verb == "create" && slices.ContainsFunc(words[at+1:], func(w string) bool { return slices.Contains(bindsNothing, w) }) && !speaksOfRights.MatchString(command):
		return verb, true
	case verb == "create" && person.MatchString(command) && !strings.Contains(command, "serviceaccount") && !strings.Contains(command, "--group") && !strings.Contains(command, unknownText):
		return verb, true
	case verb == "apply" || verb == "create" || verb == "replace" || verb == "auth":
		return verb, false
	}
	return verb, !speaksOfRights.MatchString(command)
}

// mayMake notes that a script may make any role or binding.
func (k *scriptReader) mayMake(what string) {
	if len(k.Grants) > 0 {
		return // which is said once
	}
	f := &grantFinder{address: k.Address, position: k.Position}
	f.unknown(Cause{Kind: CauseLimit, Name: what + " is not read", Position: k.Position})
	k.Grants = append(k.Grants, f.found...)
}

// mayBind notes that a script may make any role or binding, where it is not known what it
// runs.
func (k *scriptReader) mayBind() {
	if k.Open || len(k.Unread) > 0 || k.UnreadMore {
		k.mayMake("what its script runs")
	}
}
