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
// and of others, of which it is not known whether they make it. Whom values of others name as
// subjects alone, they may bind.
func (h *HelmRelease) Grants(of Cluster) []Grant {
	f := grantFinder{address: h.Address, position: h.Position, of: of, namespace: h.Namespace, where: "the values of " + h.Address}
	if !h.MakesGiven() {
		f.node(h.Values)
		if len(f.named) > 0 {
			what := &Node{Kind: Unknown, Causes: []Cause{{Kind: CauseLimit, Name: "what " + h.Address + " makes of subjects among its values", Position: h.Position}}}
			f.found = append(f.found, Grant{Address: h.Address, What: what, RoleName: what, Subjects: f.named, Cluster: of, Position: h.Position})
		}
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
var moduleOfRights = regexp.MustCompile(`(?i)rbac|role[-_]?binding|(?:k8s|kube|kubernetes)[-_](?:role|auth|permission|service[-_]?account)`)

// roleOfCluster is what one is called that makes roles of clusters, unless it is of a cloud's
// identities (cloudIdentity), whose clusters have roles, too.
var (
	roleOfCluster = regexp.MustCompile(`(?i)cluster[-_]?roles?\b`)
	cloudIdentity = regexp.MustCompile(`(?i)\biam\b`)
)

// ofCloudModules is the source of a module by those who make them for clouds, and identities
// is what a module is called that makes roles in a cloud, which accounts of Kubernetes may take.
var (
	ofCloudModules = regexp.MustCompile(`(?:^|[/:])(?:terraform-(?:aws|google|azurerm|alicloud|oci|ibm)-modules|Azure)/`)
	identities     = regexp.MustCompile(`\b(?:iam|irsa)\b|\b(?:workload|pod)-identity`)
	registryModule = regexp.MustCompile(`^(?:[\w.-]+\.[\w-]+/)?[\w-]+/([\w-]+)/[\w-]+$`)
)

// moduleOfCloud reports whether a source is of a module that is made for a cloud's resources:
// it binds no accounts of Kubernetes in a cluster. What it is called says so, and none of the
// folders that it lies in.
func moduleOfCloud(source string) bool {
	name, _, _ := strings.Cut(source, "?")
	if m := registryModule.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	return ofCloudModules.MatchString(source) || identities.MatchString(path.Base(name))
}

// UnreadGrants returns what modules that were not read may make of roles and bindings: any,
// where they are called for them, or are given bindings; and else those of the accounts that
// they are given, also where it is not known which account an argument is that takes one
// (unknownAccount). Of the others, most of which are of clouds, it is not taken that they bind
// anybody, even in a namespace that they are given: what is installed there has, as charts
// have, an account of its own.
func (r *Result) UnreadGrants() []Grant {
	var out []Grant
	for _, m := range r.Modules {
		called := m.Address + " " + m.Source
		rights := moduleOfRights.MatchString(called) || roleOfCluster.MatchString(called) && !cloudIdentity.MatchString(called) || m.binds
		accounts := m.accounts
		switch {
		case m.Missing == nil:
			continue
		case !rights && moduleOfCloud(m.Source):
			accounts = m.subjects
		}
		add := func(accounts []*Node, causes ...Cause) {
			f := grantFinder{address: m.Address, position: m.Position}
			f.unknown(append([]Cause{{Kind: CauseLimit, Name: "the module (source " + m.Source + ") is not in the folder", Position: m.Position}}, causes...)...)
			for _, g := range f.found {
				g.Resource, g.Unknown = nil, m.Unknown
				if !rights {
					g.More = nil
				}
				for _, name := range accounts {
					g.Subjects = append(g.Subjects, Subject{Kind: &Node{Kind: Scalar, Scalar: "ServiceAccount"}, Name: name, Namespace: g.What})
				}
				out = append(out, g)
			}
		}
		if rights {
			add(nil)
			continue
		}
		var named, open []*Node
		var causes []Cause
		for _, n := range accounts {
			if n.Kind == Scalar {
				named = append(named, n)
			} else {
				open, causes = append(open, n), append(causes, n.Causes...)
			}
		}
		if len(named) > 0 {
			add(named)
		}
		if len(open) > 0 {
			add(open, sortCauses(causes)...)
		}
	}
	return out
}

// GivenObject is an object that a release is given among its values; without a namespace it
// is in that of the release, or in none. Tree is as [Workload.Tree] has it.
type GivenObject struct {
	Kind, Name, Namespace string
	Tree                  any
}

// MakesGiven reports whether a release is of a chart that makes whatever objects it is given.
func (h *HelmRelease) MakesGiven() bool {
	chart, _ := h.Chart.Str()
	return slices.Contains(rawCharts, path.Base(chart))
}

// Given are the objects that a release of a chart is given that makes any, as far as they
// have a name that is known.
func (h *HelmRelease) Given() []GivenObject {
	if !h.MakesGiven() {
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
				out = append(out, GivenObject{kind, name, namespace, n.tree()})
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
	// named are subjects that stand there without a binding.
	named []Subject
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
		case known && kind == "ServiceAccount" && !f.anything && n.Lookup("name") != nil:
			s := f.rendered(n)
			place := s.Lookup("namespace")
			if place == nil { // which the chart may fill in
				place = &Node{Kind: Unknown}
			}
			f.named = append(f.named, Subject{s.Lookup("kind"), s.Lookup("name"), place})
			return
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

// boundByKubectl is an account that a command of kubectl is given to bind: its namespace, and
// its name.
var boundByKubectl = regexp.MustCompile(`--serviceaccount[= ]["']?([\w.-]+):([\w.-]+)`)

// BoundByKubectl are the accounts that commands of kubectl in a text bind.
func BoundByKubectl(text string) (out []Subject) {
	node := func(text string) *Node { return &Node{Kind: Scalar, Scalar: text} }
	for _, m := range boundByKubectl.FindAllStringSubmatch(text, -1) {
		out = append(out, Subject{node("ServiceAccount"), node(m[2]), node(m[1])})
	}
	return out
}

// text reads the objects in a text of YAML, if a binding or role is one of them.
func (f *grantFinder) text(text string) {
	f.named = append(f.named, BoundByKubectl(text)...)
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

// toolStart is where a program stands that is run: where a command does, where a text may
// begin that a shell is given, and behind what runs another program or has another machine do so.
const toolStart = `(?:` + commandStart + `|["'()\[,@{][ \t]*|(?:\b(?:ssh|sudo|xargs|docker|podman|nerdctl|retry|parallel|watch|find|exec|run|su|chroot|nsenter|flock|env|timeout|nice|nohup|time|cmd|powershell|pwsh|eval|sh|bash|then|do|else)|[ \t]--)[ \t][^\n;&|]*?)(?:[\w./~-]*/)?\b`

// What a script may do with kubectl is not told of what a shell would run, which depends on
// its variables, conditions and the files of that moment: wherever kubectl is named, it may
// make any binding, but for commands that are written out and give nobody any rights.
var (
	commentPattern = regexp.MustCompile(`(?m)^[ \t]*#.*$`)
	// bindingTool names what makes whatever objects it is given: kubectl, also by a path, with
	// its version, or by a variable that is called so; whoever is told to apply a file or a
	// folder, as an alias is; and other programs for it. What installs one thing, as istioctl,
	// flux, and helm with a chart do, binds the accounts of that thing. What the groups match is
	// told, so that they hold programs and verbs alone: options and paths may hold secrets.
	bindingTool = regexp.MustCompile(`(?i:(kubectl))(?i:_?(?:bin|cmd|command|path|exe)\b|[_-]?v?\d|[^a-z_0-9]|$)|` +
		`(?m:` + toolStart + `)(oc|kubecolor|kapp|helmfile|helmsman|ansible(?:-playbook)?|pulumi|kubecfg|kluctl|skaffold|werf|garden|argocd[ \t]+app|(?:tk|ks|kpt[ \t]+live|fleet)[ \t]+apply)\b|` +
		`\b(terraform|tofu|terragrunt)[ \t]+(?:-\S+[ \t]+(?:[^-\s]\S*[ \t]+)?)*?(apply|run(?:-all)?)\b|` +
		`\b(apply)["']?[ \t][^\n;&|]*?(?:-[fkR]\b|--filename\b|--kustomize\b|--server-side\b)|` +
		`\b(k|kc|kctl)[ \t]+(?:-\S+[ \t]+(?:[^-\s]\S*[ \t]+)?)*?(?:apply|create|replace|patch|auth[ \t]+reconcile)\b`)
	// namesKubectl looks for kubectl, or fetches it, and tellsUser tells a text; neither runs it.
	namesKubectl = regexp.MustCompile(`(?m)(?:^|[;&]|\|\||\b(?:if|while|until|then|do|else)[ \t]|![ \t])[ \t]*(?:(?:sudo[ \t]+)?chmod|which|type|hash|command[ \t]+-[vV]|(?:gcloud|sudo[ \t]+gcloud)[ \t]+components[ \t]+install)(?:[ \t]+[\w./+~-]+)+[ \t]*(?:[;)]|&&|\|\||[12&]?>|$)`)
	tellsUser    = regexp.MustCompile(`(?m)^[ \t]*echo[ \t]+"[^"$\\` + "`" + `]*"[ \t]*$`)
	// shellOfInput is a shell that is given its commands by another program, and evaluated is
	// what a shell is told to run of what another prints, with the name of that; those of
	// printsVariables print settings of variables, and no commands.
	shellOfInput = regexp.MustCompile(`\|[ \t]*(?:(?:(?:sudo|env|exec|command|nohup|time)[ \t]+(?:-\S+[ \t]+)*|` + assignment + `[ \t]+))*(?:\S*/)?(?:ba|z|da|k)?sh(?:[ \t]+-[a-bd-z]+)*(?:[ \t]+(?:-s|/dev/stdin)\b|(?:[ \t]+-)?[ \t]*(?:[\n;&|)"'` + "`" + `]|$))|` +
		`\b(?:ba|z|k)?sh[ \t]+(?:<\(|<<<[ \t]*["']?(?:\$\(|` + "`" + `))|\b(?:ba|z|da|k)?sh[ \t]+(?:-\S+[ \t]+)*-\w*c[ \t]+["']?(?:\$\(|` + "`" + `)`)
	evaluated       = regexp.MustCompile(`(?m)(?:\beval[ \t]+["']?(?:\$\(|` + "`" + `)|(?:\bsource|(?:^|[\s;&|])\.)[ \t]+<\()[ \t]*([^\n)` + "`" + `]*)`)
	printsVariables = regexp.MustCompile(`^(?:ssh-agent|jq|minikube|docker-machine|direnv|(?:\S*/)?brew|\S+[ \t]+completion)\b`)
	// makePattern is make, or a program like it, and what it is told.
	makePattern = regexp.MustCompile(`(?m)` + commandStart + `(?:\S*/)?(make|gmake|just|task|rake)((?:[ \t]+[^\s=(:][^\n;&|]*)?)[ \t]*(?:[\n;&|)"'` + "`" + `]|$)`)
	// makesIn is what one is told by which it takes another folder, and makesOf another file.
	makesIn = regexp.MustCompile(`(?:^|[ \t])(?:-C[ \t]*|--directory[= ])["']?([^\s"']+)`)
	makesOf = regexp.MustCompile(`(?:^|[ \t])(?:-f[ \t]*|--file[= ]|--makefile[= ])["']?([^\s"']+)`)
	// goesElsewhere is what changes the folder in which the rest of a script runs.
	goesElsewhere = regexp.MustCompile(`(?m)` + commandStart + `(?:cd|pushd|popd)\b`)
	// In a file for make, makeItself is make, makeVariable another variable, makeSets what gives
	// one a value, and makeDefines what may make a recipe of any line, or by another sign.
	makeItself   = regexp.MustCompile(`\$[({]MAKE[)}]`)
	makeVariable = regexp.MustCompile(`\$\((\w+)\)`)
	makeSets     = regexp.MustCompile(`(?m)^(\w+)[ \t]*:{0,3}=[ \t]*([^\n$` + "`" + `]*)$`)
	makeDefines  = regexp.MustCompile(`(?m)^[ \t]*define\b|\.RECIPEPREFIX|\$[({]eval\b`)
	// includePattern is where one file for make takes in another.
	includePattern = regexp.MustCompile(`(?m)^[ \t]*-?s?include[ \t]`)
	// speaksOfRights is what a text says that makes or changes bindings or their roles, by
	// whatever program, or gives a chart objects to make.
	speaksOfRights = regexp.MustCompile(`(?i)rolebinding|clusterrole|cluster-admin|\badm[ \t]+policy\b|/(?:raw|any-resource)(?:["'\s]|$)`)
	// bindsNobody are commands that give nobody in the cluster any rights: those that make
	// nothing, those that make objects of kinds that give none, also where these are applied
	// as they were made, and the binding of a person, whom clouds name by an address.
	bindsNobody = func() *regexp.Regexp {
		const (
			kubectl = `\b(?:kubectl|oc)(?:\.exe)?["']?[ \t]+(?:(?:--[a-z-]+=[^\s;|&$]+|(?:-n|--namespace|--kubeconfig|--context)[ \t]+(?:[^\s;|&$-][^\s;|&$]*|\$\{[^}\n]*\}|\$\w+))[ \t]+)*`
			changes = `(?:get|describe|delete|wait|rollout|logs|version|cluster-info|config|explain|label|annotate|scale|taint|drain|cordon|uncordon|top|port-forward|auth[ \t]+can-i)\b`
			makes   = `create[ \t]+(?:namespace|ns|secret|configmap|cm|serviceaccount|sa|service|ingress|quota|token|priorityclass|pdb|poddisruptionbudget)[ \t]+(?:[^\n;|&$()` + "`" + `]|\$\{[^}\n]*\}|\$\w+)*`
			piped   = `\|[ \t]*` + kubectl + `apply[ \t]+(?:(?:-n|--namespace)[ \t]+[^\s;|&$-][^\s;|&$]*[ \t]+)?-f[ \t]*-[ \t]*(?:[\n;&|"')]|$)`
			person  = `create[ \t]+clusterrolebinding[ \t]+[\w.-]+[ \t]+--clusterrole[= ][\w.:-]+[ \t]+--user[= ]["']?(?:[^\s"'$,;|&]+@[^\s"'$,;|&]+|\$\(gcloud config get-value (?:core/)?account\)[^\s"'$,;|&]*)["']?[ \t]*(?:[\n;&|]|$)`
			patches = `patch[ \t]+(?:deploy(?:ment)?|statefulset|sts|daemonset|ds|service|svc|nodes?|storageclass|sc|namespace|ns|serviceaccount|sa|configmap|cm|secret)[/ \t]`
		)
		return regexp.MustCompile(kubectl + `(?:` + changes + `|` + patches + `|` + makes + `(?:` + piped + `)?|` + person + `)`)
	}()
)

// withoutHarmless is the text of a script without what binds nobody.
func withoutHarmless(text string) string {
	text = bindsNobody.ReplaceAllString(commentPattern.ReplaceAllString(oneLine(text), ""), "")
	text = namesKubectl.ReplaceAllString(text, "\n")
	text = tellsUser.ReplaceAllStringFunc(text, func(told string) string {
		if strings.Contains(strings.ToLower(told), "kubectl") || speaksOfRights.MatchString(told) {
			return told // which another may run
		}
		return ""
	})
	return text
}

// mayBindByText reports whether a text of commands may make roles and bindings.
func mayBindByText(text string) bool {
	text = withoutHarmless(text)
	return bindingTool.MatchString(text) || speaksOfRights.MatchString(text)
}

// whatBinds says what in a text of commands, of which what binds nobody is left out, may make roles
// and bindings; empty if nothing may.
func whatBinds(text string) string {
	switch tool := bindingTool.FindStringSubmatch(text); {
	case tool != nil:
		name := strings.Join(slices.DeleteFunc(tool[1:], func(group string) bool { return group == "" }), " ")
		if name == "apply" {
			name = `"apply"`
		}
		return "what " + strings.ToLower(name) + " makes in its script"
	case speaksOfRights.MatchString(text):
		return "what its script makes of roles and bindings"
	case shellOfInput.MatchString(text), slices.ContainsFunc(evaluated.FindAllStringSubmatch(text, -1), func(m []string) bool { return !printsVariables.MatchString(m[1]) }):
		return "what its script gives a shell to run"
	}
	return ""
}

// bindsNamed is a command that makes a binding by itself, without anything that is filled in.
var bindsNamed = regexp.MustCompile(`\b(?:kubectl|oc)["']?[ \t]+(?:(?:--[a-z-]+=|(?:-n|--namespace|--kubeconfig|--context)[ \t]+)[^\s;|&$]+[ \t]+)*create[ \t]+(?:cluster)?rolebinding[ \t][^\n;&|$()` + "`" + `]*(?:[\n;&|]|$)`)

// BoundByCommands are the accounts that a text of commands binds by their names, and what else in it
// may bind anybody; empty if nothing may.
func BoundByCommands(text string) (accounts []Subject, what string) {
	if len(text) > maxGrantText {
		return nil, "what its script, which is larger than is read, makes"
	}
	text = bindsNamed.ReplaceAllStringFunc(withoutHarmless(text), func(command string) string {
		named := BoundByKubectl(command)
		if len(named) == 0 || len(named) != strings.Count(command, "--serviceaccount") || strings.Contains(command, "--user") || strings.Contains(command, "--group") {
			return command // it may bind others, too
		}
		accounts = append(accounts, named...)
		return "\n"
	})
	return accounts, whatBinds(text)
}

// binds notes that a script may make roles and bindings.
func (k *scriptReader) binds(text string) {
	if !k.afford(text) {
		return
	}
	text = withoutHarmless(text)
	if what := whatBinds(text); what != "" {
		k.mayMake(what)
	}
	for _, m := range makePattern.FindAllStringSubmatchIndex(text, -1) {
		if words := strings.Fields(text[m[4]:m[5]]); len(words) > 0 && words[0] == "sure" {
			continue // as people are told
		}
		moved := k.moved || goesElsewhere.MatchString(text[:m[0]])
		k.makes(text[m[2]:m[3]], text[m[4]:m[5]], moved)
	}
}

// makes notes that a script may make roles and bindings by make, unless the file that this
// goes by is there and does not; moved is true if it is not known in which folder it runs.
func (k *scriptReader) makes(program, told string, moved bool) {
	in, of := makesIn.FindAllStringSubmatch(told, -1), makesOf.FindAllStringSubmatch(told, -1)
	if !moved && strings.HasSuffix(program, "make") && len(in) <= 1 && len(of) <= 1 && !strings.ContainsAny(told, "$`") && k.makesBy(in, of) {
		return
	}
	k.mayMake("what " + program + " runs in its script")
}

// makesBy reads the file that make goes by, and reports whether it could.
func (k *scriptReader) makesBy(in, of [][]string) bool {
	folder := k.folder
	if len(in) > 0 {
		at, err := k.l.tree.locate(k.folder, in[0][1])
		if err != nil {
			return false
		}
		folder = at
	}
	names := []string{"GNUmakefile", "makefile", "Makefile"}
	if len(of) > 0 {
		names = []string{of[0][1]}
	}
	for _, name := range names {
		at, err := k.l.tree.locate(folder, name)
		if err != nil {
			continue
		}
		if k.made[folder+" "+at] {
			return true // which may call itself
		}
		data, err := k.l.tree.read(at)
		if err != nil {
			continue
		}
		if includePattern.Match(data) {
			return false
		}
		k.made[folder+" "+at] = true
		before := k.folder
		k.folder = folder
		k.recipes(string(data))
		k.folder = before
		return true
	}
	return false
}

// recipes reads a file for make: each line of a recipe is a script, which a shell of its own
// runs, as is what the value of a variable is computed by.
func (k *scriptReader) recipes(text string) {
	if !k.afford(text) {
		return
	}
	text = makeItself.ReplaceAllString(oneLine(text), "make")
	text = makeVariable.ReplaceAllString(strings.ReplaceAll(text, "$(shell ", "$( "), "$${$1}")
	variables := map[string]string{}
	for _, m := range makeSets.FindAllStringSubmatch(text, -1) {
		if _, twice := variables[m[1]]; twice {
			m[2] = unknownText
		}
		variables[m[1]] = m[2]
	}
	all, lines := makeDefines.MatchString(text), strings.Split(text, "\n")
	if strings.Contains(text, ".ONESHELL") {
		all, lines = true, []string{text}
	}
	for _, line := range lines {
		if !all && !strings.HasPrefix(line, "\t") && !strings.Contains(line, "$( ") && !strings.Contains(line, "!=") {
			k.binds(line)
			continue
		}
		line = strings.ReplaceAll(strings.TrimLeft(line, "\t @+-"), "$$", "$")
		k.runs(line, k.filled(line, variables), variables)
	}
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
