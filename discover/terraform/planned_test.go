package terraform

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/tfprovider"
)

// planned is what Terraform and the real providers plan to make of the forms
// that declare workloads without Helm, run scripts or bind accounts: of each
// instance, by its address, the arguments. What is null or empty is left out.
type planned struct {
	Terraform string                              `json:"terraform"`
	Providers string                              `json:"providers"`
	Forms     map[string]map[string]plannedObject `json:"forms"`
}

type plannedObject struct {
	Values  map[string]any `json:"values"`
	Unknown map[string]any `json:"unknown,omitempty"` // true where it is known after the apply
	// Provisioners are the scripts that an apply would run, in order.
	Provisioners []plannedProvisioner `json:"provisioners,omitempty"`
}

// plannedProvisioner is what a plan holds of a provisioner: its arguments that
// name nothing else, as they are in the configuration. Of the others it has the
// names that they use, and evaluates them when it is applied.
type plannedProvisioner struct {
	Type        string                    `json:"type"`
	Expressions map[string]map[string]any `json:"expressions,omitempty"`
}

const plannedFile = "testdata/planned.json"

// found are the configurations found in public that declare a workload, with
// what they need to be planned; of their blocks, those are left out that need
// a provider which cannot be built.
var found = map[string]form{
	"../testdata/real/rtlnl__terraform-kubernetes-flux": {
		RunVars: map[string]string{"git_url": "git@github.com:myname/repo", "install_helm_operator": "true"},
		Runs: map[string]map[string]string{"": {
			"data.template_file.crds": "the module proxy does not have its provider, template",
			"null_resource.crds":      "its trigger is of data.template_file.crds",
		}},
	},
}

// plannedRuns are the runs that plan.
func plannedRuns(t *testing.T) []run {
	t.Helper()
	_, out, _ := formRuns(t)
	for _, folder := range sortedKeys(found) {
		out = append(out, found[folder].runs(folder)...)
	}
	return out
}

// plannedHere is what is evaluated of an instance that is planned.
type plannedHere struct {
	*Resource
	workload *Workload // nil if it is none
}

// otherPlanned are the types that are compared and are no workloads: what runs a
// script whenever its triggers change, and what says what an account may do. Of
// the latter, what is planned with given providers was not recorded.
func (r run) otherPlanned(typ string) bool {
	return typ == "null_resource" || typ == "terraform_data" || r.Given == nil && grantKinds[typ] != ""
}

// plannedIn evaluates what is planned in a run.
func plannedIn(t *testing.T, of run) map[string]plannedHere {
	t.Helper()
	r, err := Load(t.Context(), of.options(t))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]plannedHere{}
	for _, x := range r.Resources {
		if x.Mode == "managed" && of.otherPlanned(x.Type) && !of.leaves(x.Address) {
			if len(x.Unknown) > 0 {
				t.Errorf("whether %s exists is unknown: %v", x.Address, x.Unknown)
			}
			out[x.Address] = plannedHere{Resource: x}
		}
	}
	for _, w := range Workloads(t.Context(), r) {
		if !of.leaves(w.Address) {
			out[w.Address] = plannedHere{w.Resource, w}
		}
	}
	return out
}

// blockOf is the block of the root module that makes an instance.
func blockOf(address string) string {
	block, _, _ := strings.Cut(address, "[")
	return block
}

// What is evaluated of each workload declared without Helm, of each script's
// resource and of each binding equals what Terraform and the real providers plan
// to make of it.
func TestWhatIsEvaluatedIsWhatTerraformPlans(t *testing.T) {
	want := planned{}
	readRecording(t, plannedFile, &want)
	types, instances, scripts := map[string]bool{}, 0, 0
	runs := map[string]bool{}
	for _, run := range plannedRuns(t) {
		runs[run.Name] = true
		t.Run(run.Name, func(t *testing.T) {
			recorded, ok := want.Forms[run.Name]
			if !ok {
				t.Fatalf("%s is not recorded; run this package's tests with -update where terraform is on PATH", run.Name)
			}
			comparePlan(t, plannedIn(t, run), recorded)
			instances += len(recorded)
			for address, x := range recorded {
				typ, _, _ := strings.Cut(address, ".")
				types[typ] = true
				scripts += len(x.Provisioners)
			}
			for block := range run.LeftOut {
				if _, ok := recorded[block]; ok {
					t.Errorf("%s is left out, and recorded all the same", block)
				}
			}
		})
	}
	for name := range want.Forms {
		if !runs[name] {
			t.Errorf("%s holds %q, which nothing runs", plannedFile, name)
		}
	}
	if len(types) < 20 || instances < 65 || scripts < 17 {
		t.Errorf("only %d instances are compared, of %d types, with %d provisioners", instances, len(types), scripts)
	}
}

// Each type of resource that can be a workload is among what Terraform planned,
// and what is left out of a run is in the form, and says why.
func TestEachTypeOfWorkloadIsPlanned(t *testing.T) {
	want := planned{}
	readRecording(t, plannedFile, &want)
	is := map[string]bool{}
	for _, instances := range want.Forms {
		for address := range instances {
			typ, _, _ := strings.Cut(address, ".")
			is[typ] = true
		}
	}
	for _, typ := range slices.Concat(sortedKeys(deploymentTypes), sortedKeys(podTypes), []string{"kubectl_manifest", "kubernetes_manifest"}) {
		if !is[typ] {
			t.Errorf("no %s is planned", typ)
		}
	}
	applied, planned, _ := formRuns(t)
	for _, run := range append(applied, planned...) {
		_, opts := readForm(t, run.Folder)
		r, err := Load(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		blocks := map[string]bool{"import": len(r.Moves) > 0}
		for _, b := range r.Blocks {
			blocks[b.Address] = true
		}
		for _, p := range r.Providers {
			blocks["provider."+p.Ref.Name] = true
		}
		for _, m := range r.Modules {
			blocks[blockOf(m.Address)] = true
		}
		for _, o := range r.Outputs {
			blocks["output."+o.Name] = true
		}
		for block, why := range run.LeftOut {
			if why == "" || !blocks[block] {
				t.Errorf("%s leaves out %s (%q): it has no such block, or no reason", run.Name, block, why)
			}
		}
	}
}

// comparePlan demands the same instances, with the same arguments.
func comparePlan(t *testing.T, ours map[string]plannedHere, want map[string]plannedObject) {
	t.Helper()
	if d := cmp.Diff(sortedKeys(want), sortedKeys(ours)); d != "" {
		t.Errorf("the instances differ (-terraform +here):\n%s", d)
	}
	for address, x := range ours {
		p, ok := want[address]
		if !ok {
			continue
		}
		problems := compareProvisioners(x.Resource, p.Provisioners)
		switch w := x.workload; {
		case w == nil:
			problems = append(problems, compareBody(address, x.Body, p.Values, p.Unknown)...)
		case w.Object != nil:
			problems = append(problems, compareManifest(t, w, p)...)
		default:
			problems = append(problems, compareBody(address, x.Body, p.Values, p.Unknown)...)
			problems = append(problems, compareContainers(w, containersOfBlocks(p.Values, x.Type))...)
			problems = append(problems, compareNames(w, inside(p.Values, "metadata", 0), inside(p.Unknown, "metadata", 0))...)
		}
		for _, x := range problems {
			t.Errorf("%s: %s", address, x)
		}
	}
}

// compareProvisioners demands the same scripts in the same order, with the same
// arguments where the plan has them.
func compareProvisioners(x *Resource, want []plannedProvisioner) (problems []string) {
	here := x.provisioners()
	if len(here) != len(want) {
		return []string{fmt.Sprintf("%d provisioners here, %d planned", len(here), len(want))}
	}
	for i, p := range want {
		where := fmt.Sprintf("provisioner[%d]", i)
		if typ := strings.Join(here[i].Labels, " "); typ != p.Type {
			problems = append(problems, fmt.Sprintf("%s is %s here, %s planned", where, typ, p.Type))
		}
		arguments := here[i].Body.Attributes
		for name, there := range p.Expressions {
			a := arguments[name]
			if a == nil {
				problems = append(problems, fmt.Sprintf("%s.%s is not set here", where, name))
				continue
			}
			if constant, ok := there["constant_value"]; ok {
				problems = append(problems, compareValue(where+"."+name, ValueTree(a.Value), constant, nil)...)
			}
		}
		for name := range arguments {
			if _, ok := p.Expressions[name]; !ok && name != "when" {
				problems = append(problems, fmt.Sprintf("%s.%s is set here alone", where, name))
			}
		}
	}
	return problems
}

// compareNames compares what tells which object it is.
func compareNames(w *Workload, metadata, unknown any) (problems []string) {
	for field, n := range map[string]*Node{"name": w.Name, "namespace": w.Namespace} {
		got, _ := n.Str()
		want, _ := inside(metadata, field).(string)
		if field == "namespace" && got == "" {
			got = "default" // as the provider has it
		}
		if field == "namespace" && want == "" {
			want = "default" // as the API server has it
		}
		if inside(unknown, field) == true && got != "" {
			continue // see compareValue
		}
		if got != want {
			problems = append(problems, fmt.Sprintf("%s is %q here, %q planned", field, got, want))
		}
	}
	return problems
}

// schemaDefaults are the arguments that the provider's schema fills in where
// a configuration has none.
var schemaDefaults = map[string]any{
	"replicas": 1.0, "min_ready_seconds": 0.0, "paused": false, "progress_deadline_seconds": 600.0, "revision_history_limit": 10.0,
	"dns_policy": "ClusterFirst", "enable_service_links": true, "host_ipc": false, "host_network": false, "host_pid": false,
	"share_process_namespace": false, "termination_grace_period_seconds": 30.0,
	"stdin": false, "stdin_once": false, "tty": false, "termination_message_path": "/dev/termination-log",
	"mount_propagation": "None", "read_only": false, "protocol": "TCP", "default_mode": "0644",
	"failure_threshold": 3.0, "initial_delay_seconds": 0.0, "period_seconds": 10.0, "success_threshold": 1.0, "timeout_seconds": 1.0, "scheme": "HTTP",
	"backoff_limit": 6.0, "completions": 1.0, "parallelism": 1.0, "concurrency_policy": "Allow", "failed_jobs_history_limit": 1.0, "successful_jobs_history_limit": 3.0,
	"starting_deadline_seconds": 0.0, "suspend": false,
	"allow_privilege_escalation": true, "privileged": false, "read_only_root_filesystem": false, "type": "RollingUpdate",
}

// schemaChoices are those that it fills in by the type, or by its version: a pod
// gets the token of its account since kubernetes 2.
var schemaChoices = map[string]bool{"wait_for_rollout": true, "wait_for_completion": true, "restart_policy": true, "automount_service_account_token": true}

// compareBody says where a block differs from what is planned: each argument
// that is set here is planned so, there are as many blocks of each type, and
// what else is planned is a default of the provider's.
func compareBody(where string, b *Body, values, unknown map[string]any) (problems []string) {
	seen := map[string]bool{}
	for name, a := range b.Attributes {
		if v := ValueTree(a.Value); v != nil {
			seen[name] = true
			problems = append(problems, compareValue(where+"."+name, v, values[name], unknown[name])...)
		}
	}
	blocks := map[string][]*Block{}
	for _, n := range b.Blocks {
		blocks[n.Type] = append(blocks[n.Type], n)
	}
	for typ, here := range blocks {
		seen[typ] = true
		there, _ := values[typ].([]any)
		if len(there) != len(here) {
			problems = append(problems, fmt.Sprintf("%s has %d blocks %s here, %d planned", where, len(here), typ, len(there)))
			continue
		}
		for i, n := range here {
			v, _ := there[i].(map[string]any)
			u, _ := inside(unknown[typ], i).(map[string]any)
			problems = append(problems, compareBody(fmt.Sprintf("%s.%s[%d]", where, typ, i), n.Body, v, u)...)
		}
	}
	for name, v := range values {
		if d, ok := schemaDefaults[name]; !seen[name] && !(ok && v == d) && !(name == "namespace" && v == "default") && !schemaChoices[name] {
			problems = append(problems, fmt.Sprintf("%s.%s is not set here, %v planned", where, name, v))
		}
	}
	return problems
}

// compareValue says where a value differs. Scalars are compared as text: the
// provider's schema makes numbers of texts, and the other way round. What is a
// map here and a block of this version of the provider, such as requests in
// JSON syntax, is compared with that one block.
func compareValue(where string, here, there, unknown any) (problems []string) {
	isUnknown := inside(here, "$unknown") != nil
	switch h := here.(type) {
	case map[string]any:
		if inside(here, "$sensitive") != nil && there != nil {
			return nil // a plan shows it, and no more than that it is set is known here
		}
		if isUnknown {
			break
		}
		if l, ok := there.([]any); ok && len(l) == 1 {
			there, unknown = l[0], inside(unknown, 0)
		}
		t, _ := there.(map[string]any)
		for _, k := range sortedKeys(h) {
			problems = append(problems, compareValue(where+"."+k, h[k], t[k], inside(unknown, k))...)
		}
		for _, k := range sortedKeys(t) {
			if _, ok := h[k]; !ok {
				problems = append(problems, fmt.Sprintf("%s.%s is not here, %v planned", where, k, t[k]))
			}
		}
		return problems
	case []any:
		if unknown == true && slices.ContainsFunc(h, func(e any) bool { return inside(e, "$unknown") != nil }) {
			return nil // the provider's library makes one unknown element the whole list
		}
		t, _ := there.([]any)
		if len(t) != len(h) {
			return []string{fmt.Sprintf("%s has %d elements here, %d planned", where, len(h), len(t))}
		}
		for i := range h {
			problems = append(problems, compareValue(fmt.Sprintf("%s[%d]", where, i), h[i], t[i], inside(unknown, i))...)
		}
		return problems
	}
	switch {
	case isUnknown && unknown != true:
		return []string{fmt.Sprintf("%s is not known here, %v planned", where, there)}
	case isUnknown:
	case unknown == true && here != "" && strings.HasSuffix(where, ".namespace"):
		// The id of a namespace is computed for Terraform; here it is its name.
	case unknown == true:
		return []string{fmt.Sprintf("%s is %v here, and known only after the apply", where, here)}
	case fmt.Sprint(here) != fmt.Sprint(there):
		return []string{fmt.Sprintf("%s is %v here, %v planned", where, here, there)}
	}
	return nil
}

// inside looks up keys and indices; nil where there is no such thing.
func inside(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// containerText is a container as both sides write it.
type containerText struct {
	Name, Image   string
	Command, Args []string
	Env           []string // NAME=value, or NAME<-kind name/key
}

func textList(v any) (out []string) {
	l, _ := v.([]any)
	for _, e := range l {
		out = append(out, fmt.Sprint(e))
	}
	return out
}

func word(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// containersOfBlocks reads the containers of a planned workload.
func containersOfBlocks(values map[string]any, typ string) (out []containerText) {
	path := []any{}
	for _, block := range append(podBlocks(typ), "spec") {
		path = append(path, block, 0)
	}
	containers, _ := inside(values, append(path, "container")...).([]any)
	for _, c := range containers {
		x := containerText{Name: word(inside(c, "name")), Image: word(inside(c, "image")), Command: textList(inside(c, "command")), Args: textList(inside(c, "args"))}
		env, _ := inside(c, "env").([]any)
		for _, e := range env {
			from, _ := inside(e, "value_from", 0).(map[string]any)
			text := word(inside(e, "name")) + "=" + word(inside(e, "value"))
			for kind, ref := range from {
				text = fmt.Sprintf("%s<-%s %s/%s", word(inside(e, "name")), strings.TrimSuffix(kind, "_ref"), word(inside(ref, 0, "name")), word(inside(ref, 0, "key")))
			}
			x.Env = append(x.Env, text)
		}
		out = append(out, x)
	}
	return out
}

// podBlocks are the blocks that lead to the pod of a type of resource.
func podBlocks(typ string) []string {
	if deploymentTypes[typ] != "" {
		return []string{"spec", "template"}
	}
	return slices.Clone(podTypes[typ].pod)
}

// containersOfObject reads those of a manifest.
func containersOfObject(object map[string]any) (out []containerText) {
	containers, _ := inside(object, "spec", "template", "spec", "containers").([]any)
	for _, c := range containers {
		x := containerText{Name: word(inside(c, "name")), Image: word(inside(c, "image")), Command: textList(inside(c, "command")), Args: textList(inside(c, "args"))}
		env, _ := inside(c, "env").([]any)
		for _, e := range env {
			text := word(inside(e, "name")) + "=" + word(inside(e, "value"))
			for field, kind := range map[string]string{"secretKeyRef": "secret_key", "configMapKeyRef": "config_map_key"} {
				if ref := inside(e, "valueFrom", field); ref != nil {
					text = fmt.Sprintf("%s<-%s %s/%s", word(inside(e, "name")), kind, word(inside(ref, "name")), word(inside(ref, "key")))
				}
			}
			x.Env = append(x.Env, text)
		}
		out = append(out, x)
	}
	return out
}

// compareContainers compares what an agent is read from.
func compareContainers(w *Workload, want []containerText) []string {
	var got []containerText
	text := func(n *Node) string {
		s, _ := n.Str()
		return s
	}
	texts := func(n *Node) (out []string) {
		if n != nil {
			for _, e := range n.List {
				if e.Kind == Sensitive {
					e = &Node{Scalar: hiddenValue}
				}
				out = append(out, fmt.Sprint(e.Scalar))
			}
		}
		return out
	}
	for _, c := range w.Containers {
		x := containerText{Name: text(c.Name), Image: text(c.Image), Command: texts(c.Command), Args: texts(c.Args)}
		for _, e := range c.Env {
			if e.From != "" {
				x.Env = append(x.Env, text(e.Name)+"<-"+e.From)
			} else {
				x.Env = append(x.Env, text(e.Name)+"="+text(e.Value))
			}
		}
		got = append(got, x)
	}
	for i := range min(len(want), len(got)) {
		if want[i].Args == nil && slices.Contains(got[i].Args, fmt.Sprint(nil)) {
			want[i].Args = got[i].Args // see compareValue
		}
		for j := range min(len(want[i].Args), len(got[i].Args)) {
			if got[i].Args[j] == hiddenValue && want[i].Args[j] != "" {
				want[i].Args[j] = hiddenValue
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		return []string{"the containers differ (-planned +here):\n" + d}
	}
	return nil
}

// compareManifest compares the object of a kubectl_manifest.
func compareManifest(t *testing.T, w *Workload, p plannedObject) []string {
	t.Helper()
	var problems []string
	got := w.Tree()
	if object, ok := p.Values["manifest"].(map[string]any); ok {
		if d := cmp.Diff(generic(t, object), generic(t, withoutEmpty(got))); d != "" {
			problems = append(problems, "the manifest differs (-planned +here):\n"+d)
		}
		return append(problems, compareContainers(w, containersOfObject(object))...)
	}
	text, _ := p.Values["yaml_body_parsed"].(string)
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		return []string{err.Error()}
	}
	if metadata, ok := object["metadata"].(map[string]any); ok && p.Values["override_namespace"] != nil {
		// The provider writes it into the object; here it lies over it.
		delete(metadata, "namespace")
		if own := inside(got, "metadata", "namespace"); own != nil {
			metadata["namespace"] = own
		}
	}
	if d := cmp.Diff(generic(t, object), generic(t, got)); d != "" {
		problems = append(problems, "the manifest differs (-planned +here):\n"+d)
	}
	for field, n := range map[string]*Node{"kind": w.Kind, "name": w.Name, "namespace": w.Namespace} {
		s, _ := n.Str()
		if s != word(p.Values[field]) {
			problems = append(problems, fmt.Sprintf("%s is %q here, %v planned", field, s, p.Values[field]))
		}
	}
	return append(problems, compareContainers(w, containersOfObject(object))...)
}

// TestTheRecordedPlansAreThoseOfTheRealProviders plans the forms with the
// terraform that TERRAFORM names and the real providers, beside a real control
// plane.
func TestTheRecordedPlansAreThoseOfTheRealProviders(t *testing.T) {
	program := terraformProgram(t, plannedFile, *update)
	lab := newTerraformLab(t, program, tfprovider.All...)
	got := planned{Terraform: lab.version(t), Providers: providersText(tfprovider.All), Forms: map[string]map[string]plannedObject{}}
	want := planned{}
	readRecording(t, plannedFile, &want)
	for _, run := range plannedRuns(t) {
		if was, ok := want.Forms[run.Name]; ok && *update && want.Terraform == got.Terraform {
			got.Forms[run.Name] = was // where TERRAFORM_PLUGINS does not give what it needs, or -run leaves it out
		}
		t.Run(run.Name, func(t *testing.T) {
			got.Forms[run.Name] = lab.with(t, run, plannedFile).plan(t, run)
			comparePlan(t, plannedIn(t, run), got.Forms[run.Name])
			if !*update {
				if d := cmp.Diff(generic(t, want.Forms[run.Name]), generic(t, got.Forms[run.Name])); d != "" {
					t.Errorf("%s is planned otherwise than recorded (-%s, %s +now):\n%s", run.Name, want.Terraform, want.Providers, d)
				}
			}
		})
	}
	if *update && !t.Failed() {
		record(t, plannedFile, got)
	}
}

// plan plans a copy of a folder without what is left out of it, and returns
// what would be made of each instance that is compared.
func (l *terraformLab) plan(t *testing.T, of run) map[string]plannedObject {
	t.Helper()
	tree, dir := of.copy(t)
	opts := of.options(t)
	r, err := Load(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	l.giveCharts(t, of, r, tree, dir)
	env, args := inputs(opts)
	l.init(t, dir, dir)
	l.run(t, dir, env, append([]string{"plan", "-input=false", "-no-color", "-out=plan"}, args...)...)
	var shown struct {
		Changes []struct {
			Address, Mode, Type, Name string
			ModuleAddress             string `json:"module_address"`
			Index                     any
			Change                    struct {
				After   map[string]any
				Unknown map[string]any `json:"after_unknown"`
			}
		} `json:"resource_changes"`
		Configuration struct {
			Root struct {
				Resources []struct {
					Address      string
					Provisioners []plannedProvisioner
				}
			} `json:"root_module"`
		}
	}
	if err := json.Unmarshal(l.run(t, dir, nil, "show", "-json", "plan"), &shown); err != nil {
		t.Fatal(err)
	}
	provisioners := map[string][]plannedProvisioner{}
	for _, x := range shown.Configuration.Root.Resources {
		provisioners[x.Address] = x.Provisioners
	}
	out := map[string]plannedObject{}
	for _, c := range shown.Changes {
		if c.Mode == "managed" && (deploymentTypes[c.Type] != "" || podTypes[c.Type].kind != "" || strings.HasSuffix(c.Type, "_manifest") || of.otherPlanned(c.Type)) {
			// What the API server makes of a kubernetes_manifest is not what is declared.
			delete(c.Change.After, "object")
			delete(c.Change.Unknown, "object")
			values, _ := withoutEmpty(c.Change.After).(map[string]any)
			unknown, _ := withoutEmpty(c.Change.Unknown).(map[string]any)
			address := c.Address
			if short := stateAddress(&StateResource{Mode: c.Mode, Type: c.Type, Name: c.Name, Module: c.ModuleAddress, Key: indexKey(c.Index)}); strings.Contains(short, `["sha256:`) {
				address = short // a whole manifest for a key
			}
			out[address] = plannedObject{Values: values, Unknown: unknown, Provisioners: provisioners[blockOf(c.Address)]}
		}
	}
	return out
}

// withoutEmpty leaves out the entries of maps that are null or empty: arguments
// that are not set.
func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			e = withoutEmpty(e)
			m, isMap := e.(map[string]any)
			l, isList := e.([]any)
			if e != nil && e != "" && !(isMap && len(m) == 0) && !(isList && len(l) == 0) {
				out[k] = e
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = withoutEmpty(e)
		}
		return out
	}
	return v
}

// leaveOut takes blocks, by their addresses, out of a root module, and out of
// the dependencies that others name.
func leaveOut(t *testing.T, dir string, blocks map[string]string) {
	t.Helper()
	if len(blocks) == 0 {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tf*"))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, name := range files {
		if !strings.HasSuffix(name, ".tf") && !strings.HasSuffix(name, ".tf.json") {
			continue
		}
		text := readText(t, name)
		if strings.HasSuffix(name, ".tf") {
			file, diags := hclwrite.ParseConfig([]byte(text), name, hcl.InitialPos)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			for _, b := range file.Body().Blocks() {
				address := strings.Join(b.Labels(), ".")
				switch {
				case address == "":
					address = b.Type()
				case b.Type() != "resource":
					address = b.Type() + "." + address
				}
				if blocks[address] != "" {
					left[address] = file.Body().RemoveBlock(b)
					continue
				}
				if a := b.Body().GetAttribute("depends_on"); a != nil {
					for block := range blocks {
						if strings.Contains(string(a.Expr().BuildTokens(nil).Bytes()), block) {
							b.Body().RemoveAttribute("depends_on")
						}
					}
				}
			}
			text = string(file.Bytes())
		} else {
			var content map[string]any
			if err := json.Unmarshal([]byte(text), &content); err != nil {
				t.Fatal(err)
			}
			for block := range blocks {
				typ, label, _ := strings.Cut(block, ".")
				if of, ok := inside(content, "resource", typ).(map[string]any); ok && of[label] != nil {
					if delete(of, label); len(of) == 0 {
						delete(inside(content, "resource").(map[string]any), typ)
					}
					left[block] = true
				}
			}
			changed, err := json.Marshal(content)
			if err != nil {
				t.Fatal(err)
			}
			text = string(changed)
		}
		writeFile(t, name, text)
	}
	if got, want := sortedKeys(left), sortedKeys(blocks); !slices.Equal(got, want) {
		t.Fatalf("left out are %q, want %q", got, want)
	}
}
