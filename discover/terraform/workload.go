package terraform

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// Workload is an object of Kubernetes that the configuration declares without
// Helm: a kubernetes_deployment, a kubernetes_manifest, a kubectl_manifest, or
// another whose pods may run a fluxd.
type Workload struct {
	Address  string
	Resource *Resource
	Unknown  []Cause // set when it is not known whether it exists

	Kind      *Node
	Name      *Node
	Namespace *Node
	// Object is the manifest. For kubernetes_deployment it is nil, since the
	// resource's arguments are not the object's fields; Containers has what
	// they say.
	Object     *Node
	Containers []Container
	Provider   ProviderRef
	Position   Position
}

// Container is what a pod template says about one container.
type Container struct {
	Name     *Node
	Image    *Node
	Command  *Node
	Args     *Node
	Env      []EnvVar
	Position Position
	Unknown  []Cause // set when it is not known whether it exists
}

// EnvVar is an environment variable of a container. From names the Secret or
// ConfigMap, and the key, that the value is taken from; Gap is the first of the
// two that is not known, and From has nothing in its place.
type EnvVar struct {
	Name    *Node
	Value   *Node
	From    string
	Gap     *Node
	Unknown []Cause // set when it is not known whether it exists
}

// taken says from where the value is taken: a kind of source, its name, and the
// key in it.
func (v *EnvVar) taken(kind string, name, key *Node) {
	texts := make([]string, 2)
	for i, n := range []*Node{name, key} {
		var ok bool
		if texts[i], ok = n.Str(); !ok && v.Gap == nil {
			if v.Gap = n; n == nil {
				v.Gap = &Node{Kind: Scalar}
			}
		}
	}
	v.From = kind + " " + texts[0] + "/" + texts[1]
}

// deploymentTypes are the resources whose blocks describe pods.
var deploymentTypes = map[string]string{
	"kubernetes_deployment": "Deployment", "kubernetes_deployment_v1": "Deployment",
	"kubernetes_stateful_set": "StatefulSet", "kubernetes_stateful_set_v1": "StatefulSet",
	"kubernetes_daemonset": "DaemonSet", "kubernetes_daemon_set_v1": "DaemonSet",
}

// podTypes are the resources whose blocks describe pods that no controller of
// deploymentTypes keeps, with the blocks that lead to the pod. An agent is none of
// them, but a fluxd may run there.
var podTypes = map[string]struct {
	kind string
	pod  []string
}{
	"kubernetes_pod": {"Pod", nil}, "kubernetes_pod_v1": {"Pod", nil},
	"kubernetes_replication_controller": {"ReplicationController", []string{"spec", "template"}}, "kubernetes_replication_controller_v1": {"ReplicationController", []string{"spec", "template"}},
	"kubernetes_job": {"Job", []string{"spec", "template"}}, "kubernetes_job_v1": {"Job", []string{"spec", "template"}},
	"kubernetes_cron_job": {"CronJob", []string{"spec", "job_template", "spec", "template"}}, "kubernetes_cron_job_v1": {"CronJob", []string{"spec", "job_template", "spec", "template"}},
}

// PodOf leads in an object of a kind to its pod, by the names of the fields.
func PodOf(kind string) []string {
	switch kind {
	case "Pod":
		return nil
	case "CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}
	}
	return []string{"spec", "template"}
}

// workloadKinds are the kinds of objects that a fluxd can run as.
var workloadKinds = []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"}

// Workloads returns the objects declared without Helm, by address: every
// workload, and every manifest of any kind.
func Workloads(ctx context.Context, r *Result) []*Workload {
	defer r.during(ctx)()
	var out []*Workload
	for _, x := range r.Resources {
		if x.Mode != "managed" {
			continue
		}
		w := &Workload{Address: x.Address, Resource: x, Unknown: x.Unknown, Provider: x.Provider, Position: x.Position}
		switch {
		case deploymentTypes[x.Type] != "":
			w.Kind = &Node{Kind: Scalar, Scalar: deploymentTypes[x.Type], Origin: Origin{Position: x.Position}}
			w.fromBlocks(x, []string{"spec", "template"})
		case podTypes[x.Type].kind != "":
			w.Kind = &Node{Kind: Scalar, Scalar: podTypes[x.Type].kind, Origin: Origin{Position: x.Position}}
			w.fromBlocks(x, podTypes[x.Type].pod)
		case x.Type == "kubernetes_manifest":
			w.Object = x.Field("manifest")
			w.fromObject()
			w.takeObject("manifest")
		case x.Type == "kubectl_manifest":
			w.Object = x.manifest("yaml_body")
			w.fromObject()
			w.takeObject("yaml_body")
			w.overrideNamespace(x.Field("override_namespace"))
		default:
			continue
		}
		out = append(out, w)
	}
	return out
}

// fromBlocks reads the blocks of a resource; pod are those that lead to its pod.
func (w *Workload) fromBlocks(x *Resource, pod []string) {
	l := x.scope.l
	w.Name, w.Namespace = x.Metadata("name"), x.Metadata("namespace")
	var walk func(b *Body, path []string, unknown []Cause)
	walk = func(b *Body, path []string, unknown []Cause) {
		for _, n := range b.nested(path[0]) {
			causes := slices.Concat(unknown, n.Unknown)
			if len(path) > 1 && !n.open() {
				walk(n.Body, path[1:], causes)
				continue
			}
			k := container(l, n)
			k.Unknown = sortCauses(slices.Concat(causes, k.Unknown))
			w.Containers = append(w.Containers, k)
		}
	}
	walk(x.Body, slices.Concat(pod, []string{"spec", "container"}), nil)
}

func container(l *loader, c *Block) Container {
	out := Container{
		Name: c.field(l, "name"), Image: c.field(l, "image"), Command: c.field(l, "command").spliced(), Args: c.field(l, "args").spliced(),
		Position: c.Position, Unknown: c.Unknown,
	}
	for _, e := range c.Body.nested("env") {
		v := EnvVar{Name: e.field(l, "name"), Value: e.field(l, "value"), Unknown: e.Unknown}
		for _, from := range e.Body.nested("value_from") {
			if from.open() {
				v.From, v.Gap = "field ", from.unknown("value_from")
			}
			for _, ref := range from.Body.Blocks {
				v.taken(strings.TrimSuffix(ref.Type, "_ref"), ref.Body.field(l, "name"), ref.Body.field(l, "key"))
				if unknown := slices.Concat(from.Unknown, ref.Unknown); len(unknown) > 0 {
					v.Gap = &Node{Kind: Unknown, Causes: sortCauses(unknown), Origin: Origin{Position: ref.Position}}
				}
			}
		}
		out.Env = append(out.Env, v)
	}
	return out
}

// manifest parses an argument that holds a manifest as YAML.
func (r *Resource) manifest(argument string) *Node {
	a := r.Body.Attributes[argument]
	if a == nil {
		return nil
	}
	m := &valueMerger{l: r.scope.l, resource: r}
	origin := Origin{Argument: argument, Position: a.Position}
	v := a.partial(m.l, &m.blanks)
	text := stringOr(v, "")
	texts, _, _ := m.blanks.split(text)
	if n := nodeOf(v, &m.blanks, origin); n.Kind != Scalar && strings.Join(texts, "") == "" {
		return n // nothing is known of it
	}
	var probe any
	if !hasBlankMarks(text) && (checkYAML(text, m.l.limits.Nesting) != nil || yaml.Unmarshal([]byte(text), &probe) != nil) {
		m.l.diags.error(a.Position, "a manifest is not read", argument+" is not YAML")
		return &Node{Kind: Unknown, Causes: []Cause{{CauseError, argument, a.Position}}, Origin: origin}
	}
	return m.document(text, origin)
}

// overrideNamespace lays the argument override_namespace of a kubectl_manifest
// over the namespace that the manifest names. Empty, it counts as not set
// (gavinbunney/kubectl 1.19, kubernetes/resource_kubectl_manifest.go).
func (w *Workload) overrideNamespace(n *Node) {
	if n == nil || n.Kind == Scalar && (n.Scalar == nil || n.Scalar == "") {
		return
	}
	w.Namespace = n
}

// takeObject takes which object it is whose manifest an argument gives, where that is
// hidden and its kind and name need not be.
func (w *Workload) takeObject(argument string) {
	a := w.Resource.Body.Attributes[argument]
	if a == nil {
		return
	}
	for _, of := range []struct {
		text string
		to   **Node
	}{{a.object.kind, &w.Kind}, {a.object.name, &w.Name}, {a.object.namespace, &w.Namespace}} {
		if of.text != "" {
			*of.to = &Node{Kind: Scalar, Scalar: of.text, Origin: Origin{Argument: argument, Position: a.Position}}
		}
	}
}

func (w *Workload) fromObject() {
	o := w.Object
	if o == nil {
		return
	}
	w.Kind, w.Name, w.Namespace = o.Lookup("kind"), o.Lookup("metadata", "name"), o.Lookup("metadata", "namespace")
	kind, known := w.Kind.Str()
	if kind == "Secret" || !known {
		o.hideSecret()
	}
	pod := o.Lookup(slices.Concat(PodOf(kind), []string{"spec", "containers"})...)
	if pod == nil || pod.Kind != List {
		return
	}
	for _, c := range pod.List {
		out := Container{Name: c.Lookup("name"), Image: c.Lookup("image"), Command: c.Lookup("command"), Args: c.Lookup("args"), Position: c.Origin.Position}
		if env := c.Lookup("env"); env != nil && env.Kind == List {
			for _, e := range env.List {
				v := EnvVar{Name: e.Lookup("name"), Value: e.Lookup("value")}
				for kind, key := range map[string]string{"secret_key": "secretKeyRef", "config_map_key": "configMapKeyRef"} {
					switch from := e.Lookup("valueFrom", key); {
					case from == nil || v.From != "":
					case from.Kind == Map:
						v.Gap = nil
						v.taken(kind, from.Lookup("name"), from.Lookup("key"))
					case from.Kind != Scalar:
						v.Gap = from
					}
				}
				if from := e.Lookup("valueFrom"); v.From == "" && from != nil && (from.Kind != Scalar || from.Scalar != nil) {
					v.From = "field " // or whatever it is: no value that is written here
				}
				out.Env = append(out.Env, v)
			}
		}
		w.Containers = append(w.Containers, out)
	}
}

// accountTypes are the resources that make a ServiceAccount, or annotate objects.
var accountTypes = []string{"kubernetes_service_account", "kubernetes_service_account_v1", "kubernetes_default_service_account", "kubernetes_default_service_account_v1", "kubernetes_annotations"}

// Account is what a resource says of a ServiceAccount. A nil Node means that it does
// not say; without a namespace it is in that which its provider takes.
type Account struct {
	Address                      string
	Name, Namespace, Annotations *Node
	Cluster                      Cluster
	Unknown                      []Cause // set when it is not known whether it exists
	Position                     Position
}

// Accounts returns what a configuration says of ServiceAccounts, by address.
func Accounts(ctx context.Context, r *Result) []Account {
	var out []Account
	for _, w := range Workloads(ctx, r) {
		if kind, _ := w.Kind.Str(); kind == "ServiceAccount" {
			out = append(out, w.account(r))
		}
	}
	defer r.during(ctx)()
	for _, x := range r.Resources {
		if x.Mode != "managed" || !slices.Contains(accountTypes, x.Type) {
			continue
		}
		a := Account{Address: x.Address, Cluster: r.Cluster(x.Provider), Unknown: x.Unknown, Position: x.Position}
		a.Name, a.Namespace, a.Annotations = x.Metadata("name"), x.Metadata("namespace"), x.Metadata("annotations")
		switch kind, _ := x.Field("kind").Str(); {
		case strings.Contains(x.Type, "_default_service_account") && a.Name == nil:
			a.Name = &Node{Kind: Scalar, Scalar: "default", Origin: Origin{Position: x.Position}}
		case x.Type != "kubernetes_annotations":
		case kind != "ServiceAccount":
			continue
		default:
			a.Annotations = x.Field("annotations")
		}
		a.leave(x.leaves(func(path []string) bool {
			return isWithin(path, "metadata", "annotations") || x.Type == "kubernetes_annotations" && isWithin(path, "annotations")
		}))
		out = append(out, a)
	}
	return out
}

// Accounts returns what the state says of ServiceAccounts, by address; r tells to which
// clusters its providers lead.
func (s *State) Accounts(file string, r *Result) []Account {
	var out []Account
	for _, w := range s.told(file, "ServiceAccount") {
		a := w.account(r)
		if annotations := w.Object.Lookup("annotations"); w.Resource.Type == "kubernetes_annotations" {
			a.Annotations = annotations
		}
		out = append(out, a)
	}
	for _, x := range s.Resources {
		if x.Mode != "managed" || x.Deposed || x.Object == nil || x.Object.Kind != "ServiceAccount" || x.Object.manifest != nil {
			continue
		}
		p := Position{File: file} // of a manifest that is hidden the provider tells the name
		text := func(s string) *Node { return &Node{Kind: Scalar, Scalar: s, Origin: Origin{Position: p}} }
		a := Account{Address: x.Address, Name: text(x.Object.Name), Namespace: text(x.Object.Namespace), Annotations: untold("annotations", x), Cluster: r.Cluster(providerRef(x.Provider)), Position: p}
		if x.Object.Name == "" {
			a.Name = untold("name", x)
		}
		if x.Object.Namespace == "" {
			a.Namespace = nil
		}
		out = append(out, a)
	}
	return out
}

// account is a ServiceAccount that is declared as a manifest.
func (w *Workload) account(r *Result) Account {
	a := Account{w.Address, w.Name, w.Namespace, w.Object.Lookup("metadata", "annotations"), r.Cluster(w.Provider), w.Unknown, w.Position}
	for _, l := range w.Leaves() {
		if isWithin(l.Path, "metadata", "annotations") {
			a.leave([]Cause{l.Cause})
		}
	}
	return a
}

// leave notes that the cluster may have other annotations than are said here.
func (a *Account) leave(causes []Cause) {
	switch {
	case len(causes) == 0:
	case a.Annotations == nil:
		a.Annotations = &Node{Kind: Unknown, Causes: causes, Origin: Origin{Position: a.Position}}
	default:
		n := *a.Annotations
		n.Causes = slices.Concat(n.Causes, causes)
		a.Annotations = &n
	}
}

// leaves says why parts of a resource of blocks are not what the configuration says, if
// ignore_changes names all of it or a path that counts.
func (r *Resource) leaves(counts func(path []string) bool) (out []Cause) {
	for _, m := range r.Meta {
		for _, name := range m.Names {
			if m.Name == "lifecycle.ignore_changes" && (name == "all" || name == "*" || counts(blockPath(fieldPath(name)))) {
				out = append(out, Cause{CauseIgnored, name, m.Position})
			}
		}
	}
	return out
}

// isWithin reports whether a path leads to a part of a tree, or into it, or is of what holds it.
func isWithin(path []string, part ...string) bool {
	n := min(len(path), len(part))
	return slices.Equal(path[:n], part[:n])
}

// ConfigMap is what a configuration says of a ConfigMap. Without a namespace it is in that
// which its provider takes.
type ConfigMap struct {
	Address         string
	Name, Namespace *Node
	Data            *Node // a map, of texts; nil if it holds none
	Cluster         Cluster
	Unknown         []Cause // set when it is not known whether it exists
	Part            bool    // it sets keys of one that is declared elsewhere, or not at all
}

// configMapTypes are the resources that make a ConfigMap, or "part" of one.
var configMapTypes = map[string]string{"kubernetes_config_map": "whole", "kubernetes_config_map_v1": "whole", "kubernetes_config_map_v1_data": "part"}

// ConfigMaps returns what a configuration says of ConfigMaps, by address.
func ConfigMaps(ctx context.Context, r *Result) []ConfigMap {
	var out []ConfigMap
	for _, w := range Workloads(ctx, r) {
		if kind, _ := w.Kind.Str(); kind != "ConfigMap" {
			continue
		}
		m := w.configMap(r)
		for _, l := range w.Leaves() { // what the cluster has of it counts
			m.Unknown = append(m.Unknown, l.Cause)
		}
		out = append(out, m)
	}
	defer r.during(ctx)()
	for _, x := range r.Resources {
		of := configMapTypes[x.Type]
		if x.Mode != "managed" || of == "" {
			continue
		}
		m := ConfigMap{Address: x.Address, Data: x.Field("data"), Cluster: r.Cluster(x.Provider), Unknown: x.Unknown, Part: of == "part"}
		m.Name, m.Namespace = x.Metadata("name"), x.Metadata("namespace")
		if c := x.ignores("data"); c != nil {
			m.Data = &Node{Kind: Unknown, Causes: []Cause{*c}, Origin: Origin{Argument: "data", Position: c.Position}}
		}
		out = append(out, m)
	}
	return out
}

// ConfigMaps returns what the state says of ConfigMaps, by address; r tells to which
// clusters its providers lead.
func (s *State) ConfigMaps(file string, r *Result) []ConfigMap {
	var out []ConfigMap
	for _, w := range s.told(file, "ConfigMap") {
		m := w.configMap(r)
		m.Part = configMapTypes[w.Resource.Type] == "part"
		out = append(out, m)
	}
	return out
}

// configMap is a ConfigMap that is declared as a manifest.
func (w *Workload) configMap(r *Result) ConfigMap {
	return ConfigMap{w.Address, w.Name, w.Namespace, w.Object.Lookup("data"), r.Cluster(w.Provider), w.Unknown, false}
}

// told are the objects of a kind that the state holds.
func (s *State) told(file, kind string) []*Workload {
	return slices.DeleteFunc(s.Workloads(file), func(w *Workload) bool {
		k, _ := w.Kind.Str()
		return k != kind
	})
}

// Left is a part of a declared object that Terraform leaves as the cluster has it,
// whatever the configuration says: its path, by the names of fields and the places in
// lists, and why. Without a path it is all of the object.
type Left struct {
	Path  []string
	Cause Cause
}

// Leaves returns what Terraform leaves alone of an object: what ignore_changes names
// and, of a resource that holds a manifest, what its own arguments say.
func (w *Workload) Leaves() []Left {
	if w.Resource.scope == nil {
		return nil // of a state, which has what was applied
	}
	var out []Left
	for _, m := range w.Resource.Meta {
		if m.Name != "lifecycle.ignore_changes" {
			continue
		}
		for _, name := range m.Names {
			path := fieldPath(name)
			switch {
			case name == "all" || name == "*": // the last up to Terraform 0.11
				path = nil
			case w.Object == nil && (deploymentTypes[w.Resource.Type] != "" || podTypes[w.Resource.Type].kind != ""):
				path = blockPath(path)
			case len(path) > 0 && slices.Contains(manifestArguments, path[0]):
				path = path[1:]
			default:
				continue
			}
			out = append(out, Left{path, Cause{CauseIgnored, name, m.Position}})
		}
	}
	for _, argument := range []string{"ignore_fields", "computed_fields"} {
		if w.Resource.Type != "kubectl_manifest" && w.Resource.Type != "kubernetes_manifest" {
			break
		}
		switch n := w.Resource.Field(argument); {
		case n == nil:
		case n.Kind != List:
			for _, c := range n.Causes {
				out = append(out, Left{nil, c})
			}
		default:
			for _, e := range n.List {
				if field, ok := e.Str(); ok {
					out = append(out, Left{fieldPath(field), Cause{CauseLive, field, n.Origin.Position}})
					continue
				}
				for _, c := range e.Causes {
					out = append(out, Left{nil, c})
				}
			}
		}
	}
	return out
}

// manifestArguments are those by which the resources that hold a manifest have the
// whole of it, declared or live.
var manifestArguments = []string{"manifest", "object", "yaml_body", "yaml_body_parsed", "yaml_incluster", "live_manifest_incluster"}

// fieldPath takes a path apart: spec.template, spec[0].template, spec.0.template,
// annotations["a.b/c"], annotations.a.b/c.
func fieldPath(text string) []string {
	var out []string
	for text != "" {
		if len(out) > 0 && text[0] != '[' && (out[len(out)-1] == "annotations" || out[len(out)-1] == "labels") {
			return append(out, text) // a key, which may have dots
		}
		if rest, ok := strings.CutPrefix(text, "["); ok {
			end := "]"
			if strings.HasPrefix(rest, `"`) {
				rest, end = rest[1:], `"]`
			}
			key, after, _ := strings.Cut(rest, end)
			out, text = append(out, key), strings.TrimPrefix(after, ".")
			continue
		}
		i := strings.IndexAny(text, ".[")
		if i < 0 {
			return append(out, text)
		}
		if i > 0 {
			out = append(out, text[:i])
		}
		if text = text[i:]; text[0] == '.' {
			text = text[1:]
		}
	}
	return out
}

// blockPath makes of a path through blocks, of which each is a list, one through the
// fields of the object that they describe.
func blockPath(path []string) []string {
	var out []string
	inList := false
	for i, step := range path {
		_, err := strconv.Atoi(step)
		list, isList := repeated[step]
		switch {
		case err == nil && !inList:
		case err == nil:
			out = append(out, step)
		case isList:
			out = append(out, list)
		case step == "annotations" || step == "labels":
			return append(append(out, step), path[i+1:]...) // of which the keys are names of their own
		default:
			out = append(out, camel(step))
		}
		inList = isList
	}
	return out
}

// repeated are the blocks of a Deployment's resource that stand for lists, with
// the names of the lists.
var repeated = map[string]string{
	"container": "containers", "init_container": "initContainers", "volume": "volumes", "volume_mount": "volumeMounts", "env": "env",
	"env_from": "envFrom", "port": "ports", "toleration": "tolerations", "items": "items", "image_pull_secrets": "imagePullSecrets",
	"host_aliases": "hostAliases", "match_expressions": "matchExpressions", "sources": "sources", "http_header": "httpHeaders",
	"topology_spread_constraint": "topologySpreadConstraints", "readiness_gate": "readinessGates", "option": "options",
}

// Tree returns the object that is declared as maps and lists, by the names of
// its fields. What is not known in it is a map with the key "$unknown", what is
// sensitive one with "$sensitive", and a map that may hold further keys has the
// key "$open", and a variable or a mount that may be there or not "$perhaps"; under
// these, but for "$sensitive", stand the causes in words.
func (w *Workload) Tree() map[string]any {
	if w.Object == nil {
		return blockTree(w.Resource.scope.l, w.Resource.Body)
	}
	if tree, ok := w.Object.tree().(map[string]any); ok {
		return tree
	}
	return map[string]any{}
}

// blockTree makes of a resource's blocks the object that they describe.
func blockTree(l *loader, b *Body) map[string]any {
	out := map[string]any{}
	for name, a := range b.Attributes {
		if list, ok := repeated[name]; ok && !a.Value.IsWhollyKnown() { // in the place of blocks
			out[list] = ValueTree(a.Value)
			continue
		}
		out[camel(name)] = ValueTree(a.Value)
		if list, ok := out[camel(name)].([]any); ok {
			out[camel(name)] = spliced(list)
		}
		if name != "annotations" && name != "labels" {
			continue
		}
		if n := b.field(l, name); n != nil && n.Kind == Map && len(n.Causes) > 0 { // of which some keys are known
			out[camel(name)] = n.tree()
		}
	}
	for _, x := range b.Blocks {
		block := blockTree(l, x.Body)
		switch {
		case len(x.Unknown) == 0:
		case x.open():
			block = map[string]any{"$unknown": causeTexts(x.Unknown)}
		case x.Type == "env" || x.Type == "volume_mount": // of which the name or the place may tell that it does not matter
			block["$perhaps"] = causeTexts(x.Unknown)
		default:
			block = map[string]any{"$unknown": causeTexts(x.Unknown)}
		}
		if list, ok := repeated[x.Type]; ok {
			items, ok := out[list].([]any)
			if before := out[list]; !ok && before != nil {
				items = []any{before}
			}
			out[list] = append(items, block)
			continue
		}
		out[camel(x.Type)] = block
	}
	return out
}

// spliced puts the elements of lists that stand in a list in their place. In blocks no
// list is of lists; up to Terraform 0.11 ["${var.list}"] was the list itself.
func spliced(list []any) []any {
	out := list[:0:0]
	for _, e := range list {
		if inner, ok := e.([]any); ok {
			out = append(out, inner...)
			continue
		}
		out = append(out, e)
	}
	return out
}

// spliced is a list with the elements of lists that stand in it in their place.
func (n *Node) spliced() *Node {
	if n == nil || n.Kind != List {
		return n
	}
	out := *n
	out.List = nil
	for _, e := range n.List {
		if e.Kind == List {
			out.List = append(out.List, e.List...)
			continue
		}
		out.List = append(out.List, e)
	}
	return &out
}

// spelled are the names of the provider's that are those of their fields in capitals.
var spelled = map[string]string{"host_ipc": "hostIPC", "host_pid": "hostPID"}

// camel turns a name of the provider's into the field's.
func camel(name string) string {
	if field := spelled[name]; field != "" {
		return field
	}
	parts := strings.Split(name, "_")
	for i := 1; i < len(parts); i++ {
		if parts[i] != "" {
			parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
		}
	}
	return strings.Join(parts, "")
}
