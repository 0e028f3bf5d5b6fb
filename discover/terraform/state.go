package terraform

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// State is what Terraform remembers: a state file of version 4, one of version
// 3 (Terraform up to 0.11), or what "terraform show -json" prints of a state or
// of a plan. Of the attributes only those that describe a Helm release or a
// workload are kept, and of these nothing that is sensitive.
type State struct {
	Version          string // format: 4, 3, show or plan
	TerraformVersion string
	Serial           int64
	Lineage          string
	Resources        []*StateResource
	Diagnostics      []Diagnostic
}

// StateResource is one instance in a state.
type StateResource struct {
	Address  string
	Module   string
	Mode     string // managed or data
	Type     string
	Name     string
	Key      string // "", [0] or ["a"]
	Provider string // as the state writes it
	Deposed  bool
	Tainted  bool
	ID       string

	Release *StateRelease // of a helm_release
	Object  *StateObject  // of a kubernetes_*, kubectl_manifest or kubernetes_manifest

	unmoved *StateResource // what was moved to the address, see [Result.Moved]
}

// Unmoved is the instance as its state has it, whatever was moved.
func (x *StateResource) Unmoved() *StateResource {
	return cmp.Or(x.unmoved, x)
}

// StateRelease is what the state says of a Helm release. Values that are
// sensitive, and the rendered manifest, are not in it.
type StateRelease struct {
	Name       string
	Namespace  string
	Chart      string // as the chart calls itself or, where the state has not that, Source
	Source     string // the chart as it was asked for: a name, REPOSITORY/NAME, a URL or a path
	Repository string
	Version    string // of the chart
	AppVersion string
	Revision   int64
	Status     string
	Values     *Node    // as Helm got them; nil if the state has none
	Sensitive  []string // names of set_sensitive values
	// Images are those of the workloads that the chart was rendered to, where
	// the provider keeps that (its experiment "manifest").
	Images []string `json:",omitempty"`
}

// StateObject names the object that a resource made and, of a workload, what
// its pods run.
type StateObject struct {
	APIVersion, Kind, Namespace, Name string

	// PodLabels and Containers are those of the pods. Hidden is true if the
	// state marks as sensitive what would tell them.
	PodLabels  map[string]string `json:",omitempty"`
	Containers []StateContainer  `json:",omitempty"`
	Hidden     bool              `json:",omitempty"`

	// manifest is that of an object of one of toldKinds, with the arguments and
	// environment of a workload; nil if the state hides it.
	manifest *Node
	// anyKind is true of an object of which the resource does not tell the kind.
	anyKind bool
}

// toldKinds are the kinds of objects of which the manifest is kept: those that may run
// fluxd or install it, and those that say what its account may do, and its variables.
var toldKinds = slices.Concat(workloadKinds, []string{
	"Pod", "Job", "CronJob", "HelmRelease", "HelmChart", "Application", "ApplicationSet", "Release",
	"ClusterRoleBinding", "RoleBinding", "ClusterRole", "Role", "ServiceAccount", "ConfigMap",
})

// StateContainer is a container of a pod. Of its arguments only the names of
// flags are kept, since their values may be secret.
type StateContainer struct {
	Name, Image string
	Flags       []string // "--git-url"
}

// objectsPerInstance is how many objects of JSON a state may hold for each
// instance that is allowed.
const objectsPerInstance = 50

// ReadState reads a state, at most limits.FileBytes × 32 of it. Secrets in it
// are in no error and in nothing returned.
func ReadState(ctx context.Context, r io.Reader, limits Limits) (*State, error) {
	limits = limits.withDefaults()
	bound := limits.FileBytes * 32
	data, err := io.ReadAll(io.LimitReader(r, bound+1))
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	if int64(len(data)) > bound {
		return nil, fmt.Errorf("read state: larger than %d bytes", bound)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	// Instances are decoded all at once, and even an empty one takes memory.
	if most := limits.Instances * objectsPerInstance; bytes.Count(data, []byte("{")) > most {
		return nil, fmt.Errorf("read state: it holds more than %d objects", most)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var head struct {
		Version          json.Number     `json:"version"`
		FormatVersion    string          `json:"format_version"`
		TerraformVersion string          `json:"terraform_version"`
		Serial           json.Number     `json:"serial"`
		Lineage          string          `json:"lineage"`
		Encrypted        json.RawMessage `json:"encrypted_data"`
		Resources        json.RawMessage `json:"resources"`
		Modules          json.RawMessage `json:"modules"`
		Values           json.RawMessage `json:"values"`
		PriorState       json.RawMessage `json:"prior_state"`
		PlannedValues    json.RawMessage `json:"planned_values"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("read state: it is not JSON of the expected form%s", where(err))
	}
	s := &stateReader{limits: limits, budget: &budget{ctx: ctx, left: limits.Work}}
	s.out = &State{TerraformVersion: head.TerraformVersion, Lineage: head.Lineage}
	s.out.Serial, _ = head.Serial.Int64()
	switch {
	case head.Encrypted != nil:
		return nil, errors.New(`read state: it is encrypted by OpenTofu; give the output of "tofu show -json" instead`)
	case head.FormatVersion != "" && head.PriorState != nil:
		s.out.Version = "plan"
		var prior struct {
			Values json.RawMessage `json:"values"`
		}
		if err := json.Unmarshal(head.PriorState, &prior); err != nil {
			return nil, fmt.Errorf("read state of a plan: it is not of the expected form%s", where(err))
		}
		err = s.show(prior.Values)
	case head.FormatVersion != "" && head.PlannedValues != nil:
		s.out.Version = "plan" // of a first apply: there is no state yet
	case head.FormatVersion != "":
		s.out.Version = "show"
		err = s.show(head.Values)
	case head.Version == "4":
		s.out.Version = "4"
		err = s.version4(head.Resources)
	case head.Version == "3":
		s.out.Version = "3"
		err = s.version3(head.Modules)
	default:
		return nil, fmt.Errorf("read state: version %q is neither 3 nor 4, and it is not the output of \"terraform show -json\"", clip(head.Version.String()))
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(s.out.Resources, func(a, b *StateResource) int { return cmp.Compare(a.Address, b.Address) })
	s.out.Diagnostics = s.diags.sorted()
	return s.out, nil
}

// where says at which byte JSON is wrong. The decoder's own message is not
// used, since it can quote what it read.
func where(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf(", at byte %d", syntax.Offset)
	}
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return fmt.Sprintf(", at byte %d (%s)", typ.Offset, typ.Field)
	}
	return ""
}

func clip(s string) string {
	if len(s) > 20 {
		return s[:20] + "…"
	}
	return s
}

type stateReader struct {
	out    *State
	limits Limits
	budget *budget
	diags  diagnostics
}

func (s *stateReader) add(r *StateResource) error {
	if len(s.out.Resources) >= s.limits.Instances {
		return fmt.Errorf("read state: more than %d instances", s.limits.Instances)
	}
	if err := s.budget.charge(1); err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	s.out.Resources = append(s.out.Resources, r)
	return nil
}

// version4 reads the resources of a state file of Terraform since 0.12.
func (s *stateReader) version4(raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	var list []struct {
		Module, Mode, Type, Name, Provider string
		Instances                          []struct {
			IndexKey   any                        `json:"index_key"`
			Status     string                     `json:"status"`
			Deposed    string                     `json:"deposed"`
			Attributes map[string]json.RawMessage `json:"attributes"`
			Flat       map[string]string          `json:"attributes_flat"`
			Sensitive  json.RawMessage            `json:"sensitive_attributes"`
			Provider   string                     `json:"provider"`
		}
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("read state: the resources are not of the expected form%s", where(err))
	}
	for _, r := range list {
		for _, i := range r.Instances {
			x := &StateResource{
				Module: r.Module, Mode: r.Mode, Type: r.Type, Name: r.Name, Key: indexKey(i.IndexKey), Provider: cmp.Or(i.Provider, r.Provider),
				Deposed: i.Deposed != "", Tainted: i.Status == "tainted",
			}
			x.Address = stateAddress(x)
			attrs := attributes{raw: i.Attributes, flat: i.Flat, hidden: sensitivePaths(i.Sensitive)}
			s.fill(x, attrs)
			if err := s.add(x); err != nil {
				return err
			}
		}
	}
	return nil
}

// indexKey writes an index key as in an address.
func indexKey(k any) string {
	switch k := k.(type) {
	case float64:
		return "[" + strconv.FormatFloat(k, 'f', -1, 64) + "]"
	case string:
		return "[" + quoteKey(k) + "]"
	}
	return ""
}

func stateAddress(x *StateResource) string {
	a := x.Type + "." + x.Name + x.Key
	if x.Mode == "data" {
		a = "data." + a
	}
	if x.Module != "" {
		a = x.Module + "." + a
	}
	return a
}

// sensitivePaths reads sensitive_attributes: the first attribute of each path
// is taken as sensitive as a whole, but for the values of set_sensitive, which
// are left out anyway.
func sensitivePaths(raw json.RawMessage) map[string]bool {
	out := map[string]bool{}
	var paths [][]struct {
		Type  string `json:"type"`
		Value any    `json:"value"`
	}
	if raw == nil {
		return out
	}
	if err := json.Unmarshal(raw, &paths); err != nil {
		out["*"] = true // what is not understood hides everything
		return out
	}
	for _, p := range paths {
		if len(p) == 0 {
			out["*"] = true
			continue
		}
		if name, ok := p[0].Value.(string); ok {
			out[name] = true
		} else {
			out["*"] = true
		}
	}
	return out
}

// show reads the values that "terraform show -json" prints.
func (s *stateReader) show(raw json.RawMessage) error {
	if raw == nil {
		return nil // an empty state
	}
	var v struct {
		Root json.RawMessage `json:"root_module"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("read state: the values are not of the expected form%s", where(err))
	}
	return s.showModule(v.Root, 0)
}

func (s *stateReader) showModule(raw json.RawMessage, depth int) error {
	if raw == nil {
		return nil
	}
	if depth > s.limits.ModuleDepth {
		return fmt.Errorf("read state: modules nest deeper than %d", s.limits.ModuleDepth)
	}
	var m struct {
		Address   string
		Resources []struct {
			Address, Mode, Type, Name string
			Index                     any
			ProviderName              string `json:"provider_name"`
			Values                    map[string]json.RawMessage
			SensitiveValues           json.RawMessage `json:"sensitive_values"`
			Tainted                   bool
			DeposedKey                string `json:"deposed_key"`
		}
		ChildModules []json.RawMessage `json:"child_modules"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("read state: a module is not of the expected form%s", where(err))
	}
	for _, r := range m.Resources {
		x := &StateResource{
			Address: r.Address, Module: m.Address, Mode: r.Mode, Type: r.Type, Name: r.Name, Key: indexKey(r.Index), Provider: r.ProviderName,
			Deposed: r.DeposedKey != "", Tainted: r.Tainted,
		}
		if ours := stateAddress(x); x.Address == "" || strings.Contains(ours, `["sha256:`) {
			x.Address = ours
		}
		s.fill(x, attributes{raw: r.Values, hidden: sensitiveValues(r.SensitiveValues)})
		if err := s.add(x); err != nil {
			return err
		}
	}
	for _, c := range m.ChildModules {
		if err := s.showModule(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// sensitiveValues reads sensitive_values: an object like the values, with true
// where something is sensitive.
func sensitiveValues(raw json.RawMessage) map[string]bool {
	out := map[string]bool{}
	if raw == nil {
		return out
	}
	var v map[string]json.RawMessage
	if err := json.Unmarshal(raw, &v); err != nil {
		out["*"] = true
		return out
	}
	for k, x := range v {
		if bytes.Contains(x, []byte("true")) {
			out[k] = true
		}
	}
	return out
}

// version3 reads the modules of a state of Terraform up to 0.11, whose
// attributes are flat: metadata.0.name.
func (s *stateReader) version3(raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	var modules []struct {
		Path      []string
		Resources map[string]struct {
			Type     string
			Provider string
			Primary  *struct {
				ID         string
				Attributes map[string]string
				Tainted    bool
			}
		}
	}
	if err := json.Unmarshal(raw, &modules); err != nil {
		return fmt.Errorf("read state: the modules are not of the expected form%s", where(err))
	}
	for _, m := range modules {
		module := ""
		for i, p := range m.Path {
			if i == 0 && p == "root" {
				continue
			}
			module = strings.TrimPrefix(module+".module."+p, ".")
		}
		for _, key := range sortedKeys(m.Resources) {
			r := m.Resources[key]
			x := &StateResource{Module: module, Mode: "managed", Provider: r.Provider}
			parts := strings.Split(key, ".")
			if parts[0] == "data" {
				x.Mode, parts = "data", parts[1:]
			}
			if len(parts) < 2 || len(parts) > 3 {
				s.diags.warn(Position{}, "a resource of the state is not understood", clip(key))
				continue
			}
			x.Type, x.Name = parts[0], parts[1]
			if len(parts) == 3 {
				x.Key = "[" + parts[2] + "]"
			}
			x.Address = stateAddress(x)
			if r.Primary != nil {
				x.Tainted = r.Primary.Tainted
				s.fill(x, attributes{flat: r.Primary.Attributes})
				x.ID = cmp.Or(x.ID, r.Primary.ID)
			}
			if err := s.add(x); err != nil {
				return err
			}
		}
	}
	return nil
}

// attributes are those of one instance, nested or flat.
type attributes struct {
	raw    map[string]json.RawMessage
	flat   map[string]string
	hidden map[string]bool // sensitive, by the first part of their path
}

func (a attributes) text(name string) string {
	if a.hidden["*"] || a.hidden[name] {
		return ""
	}
	if a.flat != nil {
		return a.flat[name]
	}
	var s string
	if json.Unmarshal(a.raw[name], &s) != nil {
		return ""
	}
	return s
}

// nested returns the first element of a block, or an object.
func (a attributes) nested(name string) attributes {
	if a.hidden["*"] || a.hidden[name] {
		return attributes{}
	}
	if a.flat != nil {
		out := attributes{flat: map[string]string{}}
		for k, v := range a.flat {
			if rest, ok := strings.CutPrefix(k, name+".0."); ok {
				out.flat[rest] = v
			}
		}
		return out
	}
	var list []map[string]json.RawMessage
	if json.Unmarshal(a.raw[name], &list) == nil && len(list) > 0 {
		return attributes{raw: list[0]}
	}
	var one map[string]json.RawMessage
	if json.Unmarshal(a.raw[name], &one) == nil {
		return attributes{raw: one}
	}
	return attributes{}
}

func (a attributes) number(name string) int64 {
	if a.flat != nil {
		n, _ := strconv.ParseInt(a.flat[name], 10, 64)
		return n
	}
	var n json.Number
	if json.Unmarshal(a.raw[name], &n) != nil {
		return 0
	}
	i, _ := n.Int64()
	return i
}

// fill keeps of the attributes what describes a release or an object.
func (s *stateReader) fill(x *StateResource, a attributes) {
	x.ID = a.text("id")
	switch {
	case x.Mode != "managed":
	case x.Type == "helm_release":
		x.Release = s.release(x, a)
	case otherManifests[x.Type] != "":
		x.Object = &StateObject{anyKind: true}
		argument := otherManifests[x.Type]
		if manifest := s.yamlManifest(x, a.text(argument)); manifest != nil {
			x.Object.read(manifest)
			if slices.Contains(toldKinds, x.Object.Kind) {
				x.Object.manifest = stateNode(manifest, Origin{})
			}
		}
		if x.Object.Kind == "Deployment" {
			x.Object.pods(x.Object.manifest.Lookup("spec").tree(), "containers")
		}
		x.Object.Hidden = x.Object.Kind == "" && (a.hidden["*"] || a.hidden[argument])
	case x.Type == "kubernetes_manifest":
		o := a.nested("object")
		if v := o.nested("value"); v.raw != nil && o.raw["type"] != nil {
			o = v // a value of any type is kept with its type
		}
		m := o.nested("metadata")
		x.Object = &StateObject{APIVersion: o.text("apiVersion"), Kind: o.text("kind"), Namespace: m.text("namespace"), Name: m.text("name"), anyKind: true}
		if x.Object.Kind == "Deployment" {
			x.Object.pods(s.decoded(x, o.raw["spec"]), "containers")
		}
		// The provider repeats in the object what the manifest marks.
		x.Object.Hidden = a.hidden["*"] || a.hidden["object"] || a.hidden["manifest"]
		if slices.Contains(toldKinds, x.Object.Kind) && !x.Object.Hidden {
			// What was written says it in fewer words than what the server made of it.
			written := a.nested("manifest")
			if v := written.nested("value"); v.raw != nil && written.raw["type"] != nil {
				written = v
			}
			if written.text("kind") != x.Object.Kind {
				written = o
			}
			x.Object.manifest = s.manifest(x, written)
		}
	case x.Type == "kubectl_manifest":
		x.Object = &StateObject{APIVersion: a.text("api_version"), Kind: a.text("kind"), Namespace: a.text("namespace"), Name: a.text("name"), anyKind: true}
		// The provider hides yaml_body, and repeats it less what is secret.
		for _, name := range []string{"yaml_body_parsed", "yaml_body"} {
			if !slices.Contains(toldKinds, x.Object.Kind) || x.Object.manifest != nil {
				continue
			}
			manifest := s.yamlManifest(x, a.text(name))
			if x.Object.Kind == "Deployment" {
				x.Object.pods(manifest["spec"], "containers")
			}
			if manifest != nil {
				x.Object.manifest = stateNode(manifest, Origin{})
			}
		}
		x.overrideNamespace(a)
		x.Object.Hidden = x.Object.manifest == nil && (a.hidden["*"] || a.hidden["yaml_body"])
	case strings.HasPrefix(x.Type, "kubernetes_"):
		m := a.nested("metadata")
		x.Object = &StateObject{Kind: deploymentTypes[x.Type], Namespace: m.text("namespace"), Name: m.text("name")}
		if fields, ok := typedFields(x.Type); ok {
			x.Object.Kind, x.Object.manifest = s.ofFields(x, a, fields)
			break
		}
		if x.Object.Kind == "" {
			break
		}
		x.Object.Hidden = a.hidden["*"] || a.hidden["spec"]
		var spec, metadata any
		switch {
		case a.flat != nil:
			x.Object.flatPods(a.nested("spec").nested("template").nested("spec"))
			spec, metadata = s.unflattened(x, a.nested("spec").flat), s.unflattened(x, m.flat)
		case !x.Object.Hidden:
			spec = s.decoded(x, a.raw["spec"])
			x.Object.pods(spec, "container")
			if !a.hidden["metadata"] {
				metadata = s.decoded(x, a.raw["metadata"])
			}
		}
		if spec != nil {
			x.Object.manifest = x.ofBlocks(metadata, map[string]any{"spec": objectOfBlocks(firstBlock(spec))})
		}
	}
}

// read takes what names an object from its manifest.
func (o *StateObject) read(manifest map[string]any) {
	o.APIVersion, _ = manifest["apiVersion"].(string)
	o.Kind, _ = manifest["kind"].(string)
	o.Namespace, _ = member(manifest["metadata"], "namespace").(string)
	o.Name, _ = member(manifest["metadata"], "name").(string)
}

// overrideNamespace lays the argument override_namespace of a kubectl_manifest
// over the namespace in its manifest: of what the provider keeps, yaml_body has
// it as it was written.
func (x *StateResource) overrideNamespace(a attributes) {
	namespace := &Node{Kind: Scalar, Scalar: a.text("override_namespace")}
	switch {
	case a.hidden["*"] || a.hidden["override_namespace"]:
		x.Object.Namespace = ""
		namespace = &Node{Kind: Unknown, Causes: []Cause{{Kind: CauseState, Name: "the namespace of " + x.Address}}}
	case namespace.Scalar == "":
		return
	default:
		x.Object.Namespace = a.text("override_namespace")
	}
	if meta := x.Object.manifest.Lookup("metadata"); meta != nil && meta.Kind == Map {
		meta.Map["namespace"] = namespace
	}
}

// decoded is a part of the state as maps, lists and scalars.
func (s *stateReader) decoded(x *StateResource, raw json.RawMessage) any {
	if raw == nil {
		return nil
	}
	var out any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if s.budget.afford(documentWork(string(raw))) != nil || d.Decode(&out) != nil {
		s.diags.error(Position{}, "what an object of the state runs is not read", x.Address)
		return nil
	}
	return out
}

// yamlManifest is a manifest in YAML; nil if there is none.
func (s *stateReader) yamlManifest(x *StateResource, text string) map[string]any {
	if text == "" {
		return nil
	}
	var manifest map[string]any
	if err := cmp.Or(checkYAML(text, s.limits.Nesting), s.budget.afford(documentWork(text))); err != nil {
		s.diags.error(Position{}, "what an object of the state runs is not read", x.Address)
		return nil
	}
	if yaml.Unmarshal([]byte(text), &manifest) != nil {
		s.diags.error(Position{}, "what an object of the state runs is not read", x.Address)
		return nil
	}
	return manifest
}

// maxContainers bounds how many containers of a pod are looked at.
const maxContainers = 100

// pods reads of a workload's spec what its pods run. A block is the first of a
// list, as the provider writes it.
func (o *StateObject) pods(spec any, containers string) {
	template := member(spec, "template")
	if labels, ok := member(member(template, "metadata"), "labels").(map[string]any); ok {
		o.PodLabels = map[string]string{}
		for k, v := range labels {
			o.PodLabels[k], _ = v.(string)
		}
	}
	list, _ := member(member(template, "spec"), containers).([]any)
	for _, c := range list[:min(len(list), maxContainers)] {
		out := StateContainer{Flags: []string{}}
		out.Name, _ = member(c, "name").(string)
		out.Image, _ = member(c, "image").(string)
		for _, argument := range []string{"command", "args"} {
			words, _ := member(c, argument).([]any)
			for _, w := range words {
				if word, ok := w.(string); ok {
					out.addFlag(word)
				}
			}
		}
		o.Containers = append(o.Containers, out)
	}
}

// member is what stands under a key of a map, or of the first map of a list.
func member(v any, key string) any {
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	m, _ := v.(map[string]any)
	return m[key]
}

// flatPods is pods for a state in which attributes are flat.
func (o *StateObject) flatPods(pod attributes) {
	n := min(pod.number("container.#"), maxContainers)
	for i := range n {
		prefix := fmt.Sprintf("container.%d.", i)
		out := StateContainer{Name: pod.flat[prefix+"name"], Image: pod.flat[prefix+"image"], Flags: []string{}}
		for _, argument := range []string{"command.", "args."} {
			for j := range pod.number(prefix + argument + "#") {
				word, ok := pod.flat[prefix+argument+strconv.FormatInt(j, 10)]
				if !ok {
					break
				}
				out.addFlag(word)
			}
		}
		o.Containers = append(o.Containers, out)
	}
}

var flagName = regexp.MustCompile(`^--[a-z][a-z0-9-]*$`)

func (c *StateContainer) addFlag(word string) {
	if name, _, _ := strings.Cut(word, "="); flagName.MatchString(name) {
		c.Flags = append(c.Flags, name)
	}
}

func (s *stateReader) release(x *StateResource, a attributes) *StateRelease {
	m := a.nested("metadata")
	r := &StateRelease{
		Name: cmp.Or(m.text("name"), a.text("name")), Namespace: cmp.Or(m.text("namespace"), a.text("namespace")), Chart: cmp.Or(m.text("chart"), a.text("chart")),
		Source: a.text("chart"), Repository: a.text("repository"), Version: cmp.Or(m.text("version"), a.text("version")), AppVersion: m.text("app_version"),
		Revision: m.number("revision"), Status: a.text("status"),
	}
	r.Sensitive, r.Images = a.setSensitive(), s.images(a.text("manifest"))
	origin := Origin{Argument: "state " + x.Address}
	if a.hidden["*"] || a.hidden["metadata"] || a.hidden["values"] || a.hidden["set"] || a.hidden["set_list"] {
		r.Values = &Node{Kind: Sensitive, Origin: origin}
		return r
	}
	text := m.text("values")
	if text == "" || a.number("set_wo_revision") > 0 {
		return r // with values of set_wo the provider keeps none, and writes {}
	}
	if err := cmp.Or(checkYAML(text, s.limits.Nesting), s.budget.afford(documentWork(text))); err != nil {
		s.diags.error(Position{}, "the values in the state are not read", x.Address)
		return r
	}
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		s.diags.error(Position{}, "the values in the state are not read", x.Address)
		return r
	}
	r.Values = cloaked(tree, origin)
	for _, name := range r.Sensitive {
		r.Values = withhold(r.Values, splitName(name))
	}
	return r
}

// images are the images of the workloads in a rendered chart, as the provider
// writes it: objects in JSON by a name. What is not understood has none.
func (s *stateReader) images(rendered string) []string {
	var objects map[string]json.RawMessage
	if rendered == "" || s.budget.afford(documentWork(rendered)) != nil || json.Unmarshal([]byte(rendered), &objects) != nil {
		return nil
	}
	var out []string
	for _, name := range sortedKeys(objects) {
		var o struct {
			Spec struct {
				Template struct {
					Spec struct{ Containers []struct{ Image string } }
				}
			}
		}
		if json.Unmarshal(objects[name], &o) != nil {
			continue
		}
		for _, c := range o.Spec.Template.Spec.Containers[:min(len(o.Spec.Template.Spec.Containers), maxContainers)] {
			out = append(out, c.Image)
		}
	}
	return out
}

// setSensitive returns the names of the set_sensitive values.
func (a attributes) setSensitive() []string {
	var out []string
	if a.flat != nil {
		for k, v := range a.flat {
			if strings.HasPrefix(k, "set_sensitive.") && strings.HasSuffix(k, ".name") {
				out = append(out, v)
			}
		}
	}
	var list []struct{ Name string }
	if json.Unmarshal(a.raw["set_sensitive"], &list) == nil {
		for _, e := range list {
			out = append(out, e.Name)
		}
	}
	slices.Sort(out)
	return out
}

// cloaked makes nodes of decoded values. The provider writes "(sensitive
// value)" for what set_sensitive set.
func cloaked(v any, origin Origin) *Node {
	switch v := v.(type) {
	case map[string]any:
		out := &Node{Kind: Map, Map: map[string]*Node{}, Origin: origin}
		for k, e := range v {
			out.Map[k] = cloaked(e, origin)
		}
		return out
	case []any:
		out := &Node{Kind: List, Origin: origin}
		for _, e := range v {
			out.List = append(out.List, cloaked(e, origin))
		}
		return out
	case string:
		if v == "(sensitive value)" {
			return &Node{Kind: Sensitive, Origin: origin}
		}
	}
	return &Node{Kind: Scalar, Scalar: v, Origin: origin}
}

// withhold makes the node at a path sensitive. The provider hides plain paths
// only: a name with an index or an escaped dot stays readable in its state.
func withhold(n *Node, path []string) *Node {
	switch {
	case n == nil:
		return nil
	case len(path) == 0:
		return &Node{Kind: Sensitive, Origin: n.Origin}
	case n.Kind == Map && n.Map[path[0]] != nil:
		n.Map[path[0]] = withhold(n.Map[path[0]], path[1:])
	case n.Kind == List:
		if i, err := strconv.Atoi(path[0]); err == nil && i >= 0 && i < len(n.List) {
			n.List[i] = withhold(n.List[i], path[1:])
		}
	}
	return n
}

var indexSuffix = regexp.MustCompile(`\[(\d+)\]`)

// splitName splits the name of a --set: a.b\.c[0].d is a, b.c, 0, d.
func splitName(name string) []string {
	name = indexSuffix.ReplaceAllString(name, ".$1")
	var out []string
	var part strings.Builder
	for i := 0; i < len(name); i++ {
		switch {
		case name[i] == '\\' && i+1 < len(name):
			i++
			part.WriteByte(name[i])
		case name[i] == '.':
			out = append(out, part.String())
			part.Reset()
		default:
			part.WriteByte(name[i])
		}
	}
	return append(out, part.String())
}

// Match pairs the instances of a configuration with those of a state.
type Match struct {
	Address string
	Config  *Resource      // nil: only in the state
	State   *StateResource // nil: only in the configuration
}

// MatchState pairs the managed instances of one type, by address. Where the
// configuration does not know its instances, each of the block's instances in
// the state is paired with the one that stands for all. A single instance is
// also found under the key 0, and the other way round, as Terraform does when
// count comes or goes.
func MatchState(r *Result, s *State, typ string) []Match {
	var out []Match
	used := map[string]bool{}
	state := map[string]*StateResource{} // by the address that the configuration has for it
	moved := r.Moved(s)
	for _, x := range s.Resources {
		if to := moved[x]; to != nil {
			x = to
		}
		if x.Mode == "managed" && x.Type == typ && !x.Deposed {
			state[x.Address] = x
		}
	}
	sorted := sortedKeys(state)
	blocks := map[string][]string{} // sorted, those that an open address may stand for
	for _, c := range r.Instances(typ) {
		found := false
		pair := func(address string) {
			if x := state[address]; x != nil && !used[address] {
				used[address], found = true, true
				out = append(out, Match{address, c, x})
			}
		}
		switch {
		case strings.Contains(c.Address, "[*]"):
			if len(blocks) == 0 {
				for _, a := range sorted {
					b := withoutKeys(a)
					blocks[b] = append(blocks[b], a)
				}
			}
			first, _, _ := strings.Cut(c.Address, "[*]")
			of := blocks[withoutKeys(c.Address)]
			if len(of) == 0 {
				break
			}
			pattern := openAddress(c.Address)
			from, _ := slices.BinarySearch(of, first)
			for _, a := range of[from:] {
				if !strings.HasPrefix(a, first) {
					break
				}
				if pattern.MatchString(a) {
					pair(a)
				}
			}
		default:
			pair(c.Address)
			if !found && c.Key == "" {
				pair(c.Address + "[0]")
			}
			if !found && c.Key == "[0]" {
				pair(strings.TrimSuffix(c.Address, "[0]"))
			}
		}
		if !found {
			out = append(out, Match{c.Address, c, nil})
		}
	}
	for _, a := range sorted {
		if !used[a] {
			out = append(out, Match{a, nil, state[a]})
		}
	}
	slices.SortStableFunc(out, func(a, b Match) int { return cmp.Compare(a.Address, b.Address) })
	return out
}

// withoutKeys is the address of the block that an instance is of.
func withoutKeys(address string) string {
	if !strings.Contains(address, "[") {
		return address
	}
	return instanceKey.ReplaceAllString(address, "")
}

const keyPattern = `\[(?:\d+|"(?:[^"\\]|\\.)*")\]`

var instanceKey = regexp.MustCompile(keyPattern + `|\[\*\]`)

// openAddress matches the addresses that one with [*] stands for.
func openAddress(a string) *regexp.Regexp {
	parts := strings.Split(a, "[*]")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, `(?:`+keyPattern+`)?`) + "$")
}
