package terraform

import (
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// HelmReleases returns the releases that the state holds, by address, as
// [HelmReleases] does those of a configuration: with the values that Helm got.
// What is to be destroyed is not among them. file is what the state is called
// where it is named as their place.
func (s *State) HelmReleases(file string) []*HelmRelease {
	var out []*HelmRelease
	for _, x := range s.Resources {
		if x.Mode != "managed" || x.Deposed || x.Release == nil {
			continue
		}
		origin := Origin{Position: Position{File: file}}
		// What the provider always writes, and is not there, is hidden or of a
		// state that something else made.
		missing := func(what string) *Node {
			return &Node{Kind: Unknown, Causes: []Cause{{CauseState, what + " of " + x.Address, origin.Position}}, Origin: origin}
		}
		text := func(s, what string) *Node {
			if s == "" {
				return missing(what)
			}
			return &Node{Kind: Scalar, Scalar: s, Origin: origin}
		}
		r := x.resource(file)
		h := &HelmRelease{
			Address: x.Address, Resource: r, Provider: r.Provider, Position: r.Position, State: x,
			Name: text(x.Release.Name, "the name"), Namespace: text(x.Release.Namespace, "the namespace"), Chart: text(x.Release.Chart, "the chart"),
			Version: text(x.Release.Version, "the version"), Values: x.Release.Values.Placed(origin),
		}
		if x.Release.Repository != "" {
			h.Repository = text(x.Release.Repository, "")
			h.RepositoryURL = h.Repository
		}
		if h.Values == nil {
			h.Values = missing("the values")
		}
		out = append(out, h)
	}
	return out
}

// Workloads returns the workloads that the state holds, by address, as
// [Workloads] does those of a configuration. What is to be destroyed, and what
// the state hides, is not among them. file is what the state is called where
// it is named as their place.
func (s *State) Workloads(file string) []*Workload {
	var out []*Workload
	for _, x := range s.Resources {
		if w := x.Workload(file); w != nil && !x.Deposed {
			out = append(out, w)
		}
	}
	return out
}

// Workload is the workload that an instance made, as [State.Workloads] returns it; nil
// if it is none or the state hides it.
func (x *StateResource) Workload(file string) *Workload {
	if x.Mode != "managed" || x.Object == nil || x.Object.manifest == nil {
		return nil
	}
	r := x.resource(file)
	w := &Workload{Address: x.Address, Resource: r, Provider: r.Provider, Position: r.Position, Object: x.Object.manifest.Placed(Origin{Position: r.Position})}
	w.fromObject()
	return w
}

// resource is what the state says of an instance in the place of a
// configuration: no argument is in it.
func (x *StateResource) resource(file string) *Resource {
	return &Resource{
		Address: x.Address, Module: x.Module, Mode: x.Mode, Type: x.Type, Name: x.Name, Key: x.Key, Provider: providerRef(x.Provider),
		Position: Position{File: file}, Body: &Body{Attributes: map[string]*Attribute{}},
	}
}

// providerRef reads the name of a provider configuration as states write it,
// provider["registry.terraform.io/hashicorp/helm"].west or, up to Terraform
// 0.11, provider.helm.west, after the module that has it.
func providerRef(text string) ProviderRef {
	m := providerText.FindStringSubmatch(text)
	if m == nil {
		// "terraform show -json" has the source alone: which configuration of
		// that provider it was is not in it.
		return ProviderRef{Name: text[strings.LastIndex(text, "/")+1:]}
	}
	return ProviderRef{Module: strings.TrimSuffix(m[1], "."), Name: m[2][strings.LastIndex(m[2], "/")+1:] + m[3], Alias: m[4], Key: m[5]}
}

// providerText is a provider configuration in a state: the module, the source
// or the name, the alias, and the key of for_each (OpenTofu).
var providerText = regexp.MustCompile(`^((?:module\.[^."\[\]]+(?:\[(?:\d+|"(?:[^"\\]|\\.)*")\])?\.)*)provider(?:\["([^"]*)"\]|\.([^.\[]+))(?:\.([^.\[]+))?(\[.*\])?$`)

// Placed returns a copy of n with another origin all over.
func (n *Node) Placed(o Origin) *Node {
	if n == nil {
		return nil
	}
	out := *n
	out.Origin = o
	if n.Map != nil {
		out.Map = make(map[string]*Node, len(n.Map))
		for k, v := range n.Map {
			out.Map[k] = v.Placed(o)
		}
	}
	out.List = slices.Clone(n.List)
	for i := range out.List {
		out.List[i] = out.List[i].Placed(o)
	}
	return &out
}

// stateNode makes nodes of a decoded manifest. What is null in it is not set; a
// text of which a part is withheld is not known.
func stateNode(v any, origin Origin) *Node {
	switch v := v.(type) {
	case map[string]any:
		out := &Node{Kind: Map, Map: map[string]*Node{}, Origin: origin}
		for k, e := range v {
			if e != nil {
				out.Map[k] = stateNode(e, origin)
			}
		}
		return out
	case []any:
		out := &Node{Kind: List, Origin: origin}
		for _, e := range v {
			out.List = append(out.List, stateNode(e, origin))
		}
		return out
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return &Node{Kind: Scalar, Scalar: i, Origin: origin}
		}
		f, _ := v.Float64()
		return &Node{Kind: Scalar, Scalar: f, Origin: origin}
	case string:
		if before, after, part := strings.Cut(v, "(sensitive value)"); part && before+after != "" {
			return &Node{Kind: Unknown, Text: before + "${(sensitive value)}", Causes: []Cause{{Kind: CauseSensitive, Name: "a part that the state withholds"}}, Origin: origin}
		}
	case float64:
		if i := int64(v); float64(i) == v {
			return &Node{Kind: Scalar, Scalar: i, Origin: origin}
		}
	}
	return cloaked(v, origin)
}

// manifest is what a kubernetes_manifest holds, as nodes.
func (s *stateReader) manifest(x *StateResource, a attributes) *Node {
	out := &Node{Kind: Map, Map: map[string]*Node{}}
	for k, raw := range a.raw {
		switch v := s.decoded(x, raw); {
		case v != nil:
			out.Map[k] = stateNode(v, Origin{})
		case string(raw) != "null":
			out.Map[k] = untold(k, x)
		}
	}
	return out
}

// untold stands for a part of an instance that the state hides, or that is not read.
func untold(part string, x *StateResource) *Node {
	return &Node{Kind: Unknown, Causes: []Cause{{Kind: CauseState, Name: "the " + part + " of " + x.Address}}}
}

// ofBlocks is the manifest that the blocks of a resource describe; fields are those of it
// that are not metadata. What is empty, false or zero is what the provider writes for what
// is not set, but for the arguments of telling. metadata is nil if the state hides it.
func (x *StateResource) ofBlocks(metadata any, fields map[string]any) *Node {
	tree := map[string]any{"kind": x.Object.Kind}
	maps.Copy(tree, fields)
	written, ok := firstBlock(metadata).(map[string]any)
	meta := map[string]any{}
	for _, k := range []string{"name", "namespace", "labels", "annotations"} { // the others are the server's
		if v := written[k]; !unset(k, v) {
			meta[k] = v
		}
	}
	tree["metadata"] = meta
	out := stateNode(tree, Origin{})
	if !ok {
		out.Map["metadata"] = untold("metadata", x)
	}
	return out
}

// typedFields are the fields of an object that a resource of a type makes by its arguments
// and blocks, by their names, if it is one of which they are told: see [toldKinds]. Those of a
// workload, which are many, are read apart.
func typedFields(typ string) (map[string]string, bool) {
	switch kind := grantKinds[strings.TrimSuffix(typ, "_v1")]; {
	case strings.HasSuffix(kind, "Binding"):
		return map[string]string{"role_ref": "roleRef", "subject": "subjects"}, true
	case kind != "":
		return map[string]string{"rule": "rules", "aggregation_rule": "aggregationRule"}, true
	case typ == "kubernetes_annotations":
		return map[string]string{"annotations": "annotations"}, true
	case slices.Contains(accountTypes, typ):
		return nil, true
	case configMapTypes[typ] != "":
		return map[string]string{"data": "data"}, true
	}
	return nil, false
}

// ofFields is the kind and the manifest of an object of which a resource makes the fields
// that are named. What the state hides of it is not known.
func (s *stateReader) ofFields(x *StateResource, a attributes, fields map[string]string) (kind string, manifest *Node) {
	part := func(name string) (v any, hidden bool) {
		switch {
		case a.hidden["*"] || a.hidden[name]:
			return nil, true
		case a.flat == nil:
			v = s.decoded(x, a.raw[name])
			return v, v == nil && a.raw[name] != nil && string(a.raw[name]) != "null"
		}
		own := map[string]string{}
		for k, text := range a.flat {
			if rest, ok := strings.CutPrefix(k, name+"."); ok {
				own[rest] = text
			}
		}
		v = s.unflattened(x, own)
		return v, v == nil && len(own) > 0
	}
	kind = grantKinds[strings.TrimSuffix(x.Type, "_v1")]
	switch {
	case kind != "":
	case configMapTypes[x.Type] != "":
		kind = "ConfigMap"
	case x.Type == "kubernetes_annotations":
		kind = a.text("kind")
		if kind != "ServiceAccount" && !a.hidden["*"] && !a.hidden["kind"] {
			return kind, nil
		}
	default:
		kind = "ServiceAccount"
	}
	x.Object.Kind = kind
	metadata, hidden := part("metadata")
	if hidden {
		metadata = nil
	}
	manifest = x.ofBlocks(metadata, nil)
	for name, field := range fields {
		v, hidden := part(name)
		if hidden {
			manifest.Map[field] = untold(name, x)
			continue
		}
		list, isList := v.([]any)
		switch {
		case v == nil || isList && len(list) == 0:
		case !isList: // a map, whose keys are no names of fields
			manifest.Map[field] = stateNode(v, Origin{})
		case field == "roleRef" || field == "aggregationRule":
			manifest.Map[field] = stateNode(objectOfBlocks(list[0]), Origin{})
		default:
			all := make([]any, 0, len(list))
			for _, e := range list {
				all = append(all, objectOfBlocks(e))
			}
			manifest.Map[field] = stateNode(all, Origin{})
		}
	}
	return kind, manifest
}

func objectOfBlocks(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for name, v := range m {
		if unset(name, v) {
			continue
		}
		list, _ := v.([]any)
		blocks := slices.ContainsFunc(list, func(e any) bool { _, ok := e.(map[string]any); return ok })
		as, many := repeated[name]
		switch {
		case blocks && !many && len(list) == 1:
			out[camel(name)] = objectOfBlocks(list[0])
		case blocks:
			objects := make([]any, 0, len(list))
			for _, e := range list {
				objects = append(objects, objectOfBlocks(e))
			}
			out[cmp.Or(as, camel(name))] = objects
		default:
			out[camel(name)] = v
		}
	}
	return out
}

func firstBlock(v any) any {
	if list, ok := v.([]any); ok && len(list) > 0 {
		return list[0]
	}
	return v
}

// telling are the arguments of which false or zero is a value of its own: where
// they are not set, the provider writes another, or Kubernetes takes another
// (hashicorp/kubernetes 1.13, schema_pod_spec.go, schema_container.go,
// resource_kubernetes_deployment.go).
var telling = map[string]bool{
	"automount_service_account_token": true, "enable_service_links": true, "allow_privilege_escalation": true,
	"replicas": true, "revision_history_limit": true, "progress_deadline_seconds": true, "termination_grace_period_seconds": true,
}

// unset reports whether a provider writes such a value for what is not set.
func unset(name string, v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v && !telling[name]
	case json.Number:
		return v == "0" && !telling[name]
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// unitsOfMap are those of each map that unflatten makes, and that is made anew by what
// reads it further.
const unitsOfMap = 16

// unflattened is unflatten for a part of the state. It costs one for each step of each key,
// and more for the maps: one for each beginning of a key that no other shares.
func (s *stateReader) unflattened(x *StateResource, flat map[string]string) any {
	work, before := 0, ""
	for _, k := range sortedKeys(flat) {
		same := 0
		for same < min(len(k), len(before)) && k[same] == before[same] {
			same++
		}
		steps := min(strings.Count(k, "."), s.limits.Nesting)
		work += steps + len(k)/64 + unitsOfMap*max(0, steps-strings.Count(k[:same], "."))
		before = k
	}
	if s.budget.afford(int64(work)) != nil {
		s.diags.error(Position{}, "what an object of the state runs is not read", x.Address)
		return nil
	}
	return unflatten(flat, s.limits.Nesting)
}

// unflatten makes lists and maps of attributes that are flat, as in states of
// Terraform up to 0.11: args.# is the length of a list, labels.% that of a map
// whose keys may hold dots. What lies deeper than depth is null.
func unflatten(flat map[string]string, depth int) any {
	if len(flat) == 0 || depth == 0 {
		return nil
	}
	if _, isMap := flat["%"]; isMap {
		out := map[string]any{}
		for k, v := range flat {
			if k != "%" {
				out[k] = v
			}
		}
		return out
	}
	out, parts := map[string]any{}, map[string]map[string]string{}
	for k, v := range flat {
		first, rest, nested := strings.Cut(k, ".")
		switch {
		case first == "#":
		case !nested:
			out[first] = v
		default:
			if parts[first] == nil {
				parts[first] = map[string]string{}
			}
			parts[first][rest] = v
		}
	}
	for k, part := range parts {
		out[k] = unflatten(part, depth-1)
	}
	if _, isList := flat["#"]; !isList {
		return out
	}
	keys := sortedKeys(out)
	slices.SortStableFunc(keys, func(a, b string) int {
		i, _ := strconv.Atoi(a)
		j, _ := strconv.Atoi(b)
		return i - j
	})
	list := make([]any, 0, len(keys))
	for _, k := range keys {
		list = append(list, out[k])
	}
	return list
}
