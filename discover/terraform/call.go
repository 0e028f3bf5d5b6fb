package terraform

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// ModuleCall is one instance of a module block.
type ModuleCall struct {
	Address  string   `json:"address"`
	Source   string   `json:"source"` // as [migrate.DisplayURL] shows it
	Version  string   `json:"version,omitempty"`
	Dir      string   `json:"dir,omitempty"` // folder in the tree, "" when it was not read
	Position Position `json:"position"`
	Missing  *Cause   `json:"missing,omitempty"` // why it was not read
	Unknown  []Cause  `json:"unknown,omitempty"` // set when it is not known whether, or how often, it exists

	// accounts are those of Kubernetes, or what is named like one, that a module is given that
	// was not read, subjects are those among them that it says itself to be accounts; binds is
	// true if it is given a group of them, or a binding.
	accounts, subjects []*Node
	binds              bool
	// namespaces are what such a module is given as namespaces, as far as they are known.
	namespaces []*Node
}

// Given returns the accounts and the namespaces of Kubernetes that a module is given which was
// not read, where it may use them: one that is made for a cloud does not.
func (m *ModuleCall) Given() (accounts, namespaces []*Node) {
	if moduleOfCloud(m.Source) {
		return m.subjects, nil
	}
	return m.accounts, m.namespaces
}

// callExpansion is the instances of one module block.
type callExpansion struct {
	expansion *expansion
	scopes    []*scope
	missing   *Cause
	source    string
	version   string
	dir       string
}

// accountArgument is the name of an argument that may take an account of Kubernetes.
var accountArgument = regexp.MustCompile(`(?i)account|subject|bind|admin|permission|(?:^|[ _-])sa(?:$|[ _-])`)

// unknownAccount is the name of an argument, with those of the keys in it, whose value is an
// account of Kubernetes, a binding or a manifest if it is not known what it is. It is fewer
// than accountArgument: what clouds and people are called, such as account_id, service_account_arn
// and cluster_admins, is mostly not known before it is made, and no account of Kubernetes.
var unknownAccount = regexp.MustCompile(`(?i)(?:^|[ _-])(?:service[_-]?accounts?|sas?|subjects?|role[_-]?bindings?|manifests?|yaml[_-]?body)(?:[ _-]names?)?$`)

// namespaceArgument is the name of an argument that takes a namespace.
var namespaceArgument = regexp.MustCompile(`(?i)namespaces?$|(?:^|[ _-])ns$`)

// commandArgument is the name of one that takes a command, which is run, and kubectlBinds is
// what a text says that binds by kubectl, whatever takes it.
var (
	commandArgument = regexp.MustCompile(`(?i)(?:^|[ _-])(?:commands?|cmds?|scripts?|exec|inline|program)(?:[ _-]|$)`)
	kubectlBinds    = regexp.MustCompile(`\bcreate[ \t]+(?:cluster)?rolebinding\b`)
)

// isSwitch is what one is called that turns something on.
var isSwitch = regexp.MustCompile(`(?i)(?:^|[ _-])(?:create|enabled?|use|manage|automount|mount|with)[ _-]`)

// ofCloud is what an attribute is called that a cloud gives to what is its own.
var ofCloud = regexp.MustCompile(`(?:^|\.)(?:aws|google|azurerm|azuread|alicloud|oci|ibm|digitalocean)_`)

// takesAccounts notes the accounts that a module block names among its arguments.
func (m *ModuleCall) takesAccounts(s *scope, b *hclsyntax.Block, in iteration) {
	isText := func(n *Node, want string) bool { text, _ := n.Str(); return text == want }
	given := func(name string, n *Node) {
		m.accounts = append(m.accounts, &Node{Kind: Scalar, Scalar: name, Origin: n.Origin})
	}
	open := func(name string, n *Node) {
		cloud := len(n.Causes) > 0 && n.Text == "" && !slices.ContainsFunc(n.Causes, func(c Cause) bool {
			return c.Kind != CauseComputed && c.Kind != CauseData || !ofCloud.MatchString(c.Name)
		})
		if unknownAccount.MatchString(name) && !isSwitch.MatchString(name) && !cloud {
			m.accounts = append(m.accounts, &Node{Kind: Unknown, Text: afterPlace(n.Text), Causes: n.Causes, Origin: n.Origin})
		}
	}
	runs := func(name, text string) bool {
		return strings.ContainsAny(text, " \t") && (kubectlBinds.MatchString(text) || commandArgument.MatchString(name) && mayBindByText(text))
	}
	var walk func(name string, n *Node)
	walk = func(name string, n *Node) {
		switch {
		case n == nil:
		case n.Kind == Map:
			if len(n.Causes) > 0 {
				open(name, n)
			}
			if isText(n.Map["kind"], "ServiceAccount") && n.Map["name"] != nil {
				before := len(m.accounts)
				walk("subject name", n.Map["name"])
				m.subjects = append(m.subjects, m.accounts[before:]...)
			}
			for _, k := range sortedKeys(n.Map) {
				if accountArgument.MatchString(name) { // of a map by the accounts' names
					given(k, n)
				}
				walk(name+" "+k, n.Map[k])
			}
		case n.Kind == List:
			for _, e := range n.List {
				walk(name, e)
			}
			if commandArgument.MatchString(name) { // or of its words
				m.binds = m.binds || mayBindByText(strings.Join(words(n), " "))
			}
		case n.Kind == Scalar:
			text, isText := n.Str()
			if isText && namespaceArgument.MatchString(name) {
				m.namespaces = append(m.namespaces, n)
			}
			switch {
			case !isText:
			case runs(name, text):
				m.binds = true
			case strings.HasPrefix(text, "system:serviceaccounts"), bindingWord.MatchString(text):
				m.binds = true
			case strings.HasPrefix(text, "system:serviceaccount:"), accountArgument.MatchString(name):
				given(afterPlace(text), n)
			}
		case bindingWord.MatchString(n.Text), strings.HasPrefix(n.Text, "system:serviceaccounts"), runs(name, n.Text):
			m.binds = true
		default:
			open(name, n)
		}
	}
	body := s.body(b.Body, in, true)
	for _, name := range sortedKeys(body.Attributes) {
		if name != "source" && name != "version" {
			walk(name, body.field(s.l, name))
		}
	}
}

// afterPlace is a name without the namespace that is written before it.
func afterPlace(text string) string { return text[strings.LastIndexAny(text, ":/")+1:] }

// uncertain says why it is not known whether this module instance exists.
func (s *scope) uncertain() []Cause {
	var out []Cause
	for c := s; c.parent != nil; c = c.parent {
		out = append(out, c.of.unknown...)
	}
	return out
}

// call1 finds the instances of a module block, once.
func (s *scope) call1(name string, b *hclsyntax.Block) *callExpansion {
	if c, ok := s.calls[name]; ok {
		return c
	}
	pos := at(b.DefRange())
	c := &callExpansion{expansion: s.expand("module."+name, b.Body, pos)}
	s.calls[name] = c
	c.source, c.version = s.text(b.Body, "source"), s.text(b.Body, "version")
	fail := func(cause Cause) *callExpansion {
		c.missing = &cause
		return c
	}
	if c.source == "" {
		return fail(Cause{CauseModule, "module." + name, pos})
	}
	dir, ok := s.l.sourceDir(s, name, c.source, c.version)
	if !ok {
		return fail(Cause{CauseModule, migrate.DisplayURL(c.source), pos})
	}
	if s.depth >= s.l.limits.ModuleDepth {
		return fail(s.l.limit("modules nest deeper than is followed", pos))
	}
	for c := s; c != nil; c = c.parent {
		if c.mod.dir == dir {
			s.l.diags.error(pos, "the module calls itself", s.address("module."+name))
			return fail(Cause{CauseError, s.address("module." + name), pos})
		}
	}
	mod, err := s.l.module(dir)
	if err != nil {
		s.l.diags.error(pos, "the module is not read", err.Error())
		return fail(Cause{CauseModule, migrate.DisplayURL(c.source), pos})
	}
	c.dir = dir
	for i := range c.expansion.keys {
		if s.l.moduleInstances++; s.l.moduleInstances > s.l.limits.Modules {
			return fail(s.l.limit("more modules than are followed", pos))
		}
		child := s.l.newScope(mod)
		child.path = s.address("module."+name) + c.expansion.suffix(i)
		child.parent, child.call, child.in, child.of, child.depth, child.aliases = s, b, c.expansion.in[i], c.expansion, s.depth+1, s.passedProviders(b, c.expansion.in[i])
		c.scopes = append(c.scopes, child)
	}
	return c
}

// text evaluates an argument that must be a plain string; "" if it is not.
func (s *scope) text(b *hclsyntax.Body, name string) string {
	a, ok := b.Attributes[name]
	if !ok {
		return ""
	}
	v := s.eval(s.l.prepared(a), iteration{})
	if v.IsMarked() || !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}

// sourceDir finds the folder of a module: a local source in the tree, or what
// an earlier "terraform init" put there.
func (l *loader) sourceDir(s *scope, name, source, version string) (string, bool) {
	if strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../") || source == "." || source == ".." {
		dir, err := l.tree.locate(s.mod.dir, source)
		if err != nil {
			l.diags.warn(at(s.mod.calls[name].DefRange()), "the module is not read", err.Error())
			return "", false
		}
		return dir, true
	}
	key := name
	for c := s; c.parent != nil; c = c.parent {
		key = c.call.Labels[0] + "." + key
	}
	m, ok := l.installed[key]
	if m.outside != "" {
		l.diags.warn(at(s.mod.calls[name].DefRange()), "the module is not read", m.outside)
		return "", false
	}
	if why := m.stale(source, version); ok && why != "" {
		l.diags.warn(at(s.mod.calls[name].DefRange()), "the module is not read, since it has changed since terraform init", why)
		return "", false
	}
	return m.Dir, ok
}

// ProviderRef names the provider configuration that a resource uses.
type ProviderRef struct {
	Name    string  `json:"name"`             // local name, such as helm
	Alias   string  `json:"alias,omitempty"`  // "" is the default configuration
	Module  string  `json:"module,omitempty"` // the module instance whose configuration it is, "" for the root
	Key     string  `json:"key,omitempty"`    // instance of a provider with for_each (OpenTofu)
	Unknown []Cause `json:"unknown,omitempty"`
}

func (p ProviderRef) String() string {
	s := p.Name
	if p.Alias != "" {
		s += "." + p.Alias
	}
	s += p.Key
	if p.Module != "" {
		s = p.Module + "." + s
	}
	return s
}

// providerFor finds the provider of a resource: its own argument, or the
// default one of the first part of its type; then where that is configured.
func (s *scope) providerFor(b *hclsyntax.Block, typ string, it iteration) ProviderRef {
	name, _, _ := strings.Cut(typ, "_")
	ref := ProviderRef{Name: name}
	if a, ok := b.Body.Attributes["provider"]; ok {
		ref = s.providerRef(s.l.prepared(a), it)
	}
	return s.resolve(ref)
}

// providerRef reads helm, helm.alias, "helm.alias" and helm.alias["key"].
func (s *scope) providerRef(e *expression, it iteration) ProviderRef {
	inner := bare(e)
	ref := ProviderRef{}
	if x, ok := inner.(*hclsyntax.IndexExpr); ok {
		key := s.eval(e.part(x.Key), it)
		switch k, marks := key.Unmark(); {
		case !k.IsKnown():
			ref.Key, ref.Unknown = "[*]", sortCauses(causesOf(marks))
		case k.Type() == cty.String && !k.IsNull():
			ref.Key = "[" + quoteKey(k.AsString()) + "]"
		}
		inner = bare(x.Collection)
	}
	text := ""
	if t, diags := hcl.AbsTraversalForExpr(inner); !diags.HasErrors() {
		for i, st := range t {
			if x, ok := st.(hcl.TraverseIndex); ok && x.Key.Type() == cty.String && i >= 2 {
				ref.Key = "[" + quoteKey(x.Key.AsString()) + "]"
			}
		}
		text = strings.TrimSuffix(step2(t), ".")
	} else if v := s.l.constant(e); v.Type() == cty.String {
		text = v.AsString()
	}
	ref.Name, ref.Alias, _ = strings.Cut(text, ".")
	return ref
}

func step2(t hcl.Traversal) string { return t.RootName() + "." + step(t, 1) }

// resolve follows a reference up to the module that configures the provider:
// an alias that the call passes in, or the default configuration of a parent.
func (s *scope) resolve(ref ProviderRef) ProviderRef {
	for c := s; ; c = c.parent {
		passed, isPassed := c.aliases[ref.local()]
		if c.configures(ref, isPassed) {
			ref.Module = c.path
			return ref
		}
		if c.parent == nil {
			ref.Module = ""
			return ref
		}
		if isPassed {
			ref = passed
		}
	}
}

// configures reports whether the module has the provider configuration itself.
// In a child, a block without arguments only declares what the call passes in
// or, under an alias, is to pass in.
func (s *scope) configures(ref ProviderRef, passed bool) bool {
	if s.configs == nil {
		s.configs = map[string]*hclsyntax.Block{}
		for _, p := range s.mod.providers {
			key := ProviderRef{Name: p.Labels[0], Alias: s.text(p.Body, "alias")}.local()
			s.configs[key] = cmp.Or(s.configs[key], p)
		}
	}
	p := s.configs[ref.local()]
	if p == nil {
		return false
	}
	own := len(p.Body.Attributes) + len(p.Body.Blocks)
	for _, n := range []string{"alias", "version"} {
		if p.Body.Attributes[n] != nil {
			own--
		}
	}
	return own > 0 || s.parent == nil || ref.Alias == "" && !passed
}

// local is the name of a provider in a module.
func (p ProviderRef) local() string {
	if p.Alias == "" {
		return p.Name
	}
	return p.Name + "." + p.Alias
}

// passedProviders reads the providers argument of one instance of a module block:
// what the child calls by the name on the left is what the parent calls by the right.
func (s *scope) passedProviders(b *hclsyntax.Block, it iteration) map[string]ProviderRef {
	a, ok := b.Body.Attributes["providers"]
	if !ok {
		return nil
	}
	obj, ok := bare(a.Expr).(*hclsyntax.ObjectConsExpr)
	if !ok {
		return nil
	}
	out := map[string]ProviderRef{}
	for _, item := range obj.Items {
		key := ""
		if k, ok := bare(item.KeyExpr).(*hclsyntax.ObjectConsKeyExpr); ok {
			if t, diags := hcl.AbsTraversalForExpr(bare(k.Wrapped)); !diags.HasErrors() {
				key = strings.TrimSuffix(step2(t), ".")
			} else if v, diags := k.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() {
				key = v.AsString()
			}
		}
		if key != "" {
			out[key] = s.providerRef(s.l.prepared(a).part(item.ValueExpr), it)
		}
	}
	return out
}

// ProviderConfig is one provider block of a module instance.
type ProviderConfig struct {
	Ref      ProviderRef
	Body     *Body
	Position Position
}

// fromRoot writes a folder of the tree relative to the root module, as
// path.module does.
func (l *loader) fromRoot(dir string) string {
	if dir == l.dir {
		return "."
	}
	up, base := "", l.dir
	for base != "." && dir != base && !strings.HasPrefix(dir, base+"/") {
		up, base = up+"../", path.Dir(base)
	}
	if base == "." {
		return path.Join(up, dir)
	}
	return path.Join(up, strings.TrimPrefix(strings.TrimPrefix(dir, base), "/"))
}
