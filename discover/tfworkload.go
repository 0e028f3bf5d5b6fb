package discover

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// placeholder stands in an argument for what Terraform, or Git, does not tell: to the
// parser of fluxd's arguments, a variable that nobody provides.
const placeholder = "$(IT_IS_NOT_TOLD)"

// workload makes an agent of a Deployment that runs fluxd, tells a helm-operator
// apart, and names a fluxd that is no Deployment.
func (c *configuration) workload(ctx context.Context, w *terraform.Workload) {
	kind, ok := w.Kind.Str()
	hidden := w.Object != nil && w.Object.Kind == terraform.Sensitive && slices.Contains(installerKinds, kind)
	if ok && !hidden && !slices.Contains(workloadKinds, kind) && !slices.Contains(podKinds, kind) {
		c.installer(w, kind)
		if tree := asDeployment(w.Tree(), terraform.PodOf(kind)); at(tree, "spec", "template", "spec", "containers") != nil {
			if container := fluxd(deploymentOf(w, tree)); container != nil {
				c.elsewhere(w, kind, container, w.Unknown)
			}
		}
		return
	}
	if !ok || hidden {
		why := causes(w.Kind)
		if hidden {
			why = causes(w.Object)
		}
		switch {
		case !hidden && c.applied(ctx, w):
		case !hidden && !ofFlux2(w.Kind) && speaksOfFlux(w.Address, w.Kind.String()):
			c.find(TerraformUncertain.About("", w.Address, place(w.Position), fmt.Sprintf("what %s declares is not known: %s", w.Address, why)))
		case w.Kind != nil:
			c.unclear = append(c.unclear, unclear{w, why})
		}
		return
	}
	tree := w.Tree()
	if slices.Contains(podKinds, kind) {
		tree = asDeployment(tree, terraform.PodOf(kind))
	}
	deployment := deploymentOf(w, tree)
	pod := &deployment.Spec.Template.Spec
	for _, k := range pod.Containers {
		if imageName(k.Image) == "helm-operator" {
			c.find(HelmOperatorFound.About("", w.Address, place(w.Position), fmt.Sprintf("%s declares a helm-operator", w.Address)))
		}
	}
	c.noteUses(w, tree, pod)
	container := fluxd(deployment)
	if container == nil {
		c.noteBeside(w, tree, deployment)
		c.maybe(ctx, w, tree, deployment)
		return
	}
	which := slices.IndexFunc(pod.Containers, func(k corev1.Container) bool { return k.Name == container.Name && k.Image == container.Image })
	if which < 0 {
		c.elsewhere(w, "a sidecar among the init containers of a "+kind, container, w.Unknown)
		return
	}
	unsure := w.Unknown
	if which < len(w.Containers) {
		unsure = slices.Concat(unsure, w.Containers[which].Unknown)
	}
	if kind != "Deployment" {
		c.elsewhere(w, kind, container, unsure)
		return
	}
	held := c.heldAs(w)
	if len(unsure) > 0 && (len(held) == 0 || len(unsure) > len(w.Unknown)) {
		c.find(TerraformUncertain.About("", w.Address, place(w.Position), fmt.Sprintf("whether and how often %s declares an agent is not known: %s", w.Address, causeWords(unsure))))
		return
	}
	if which >= len(w.Containers) {
		c.find(TerraformUncertain.About("", w.Address, place(w.Position), fmt.Sprintf("%s declares a fluxd by arguments in the place of blocks, which are not read", w.Address)))
		return
	}
	w, leaving := leave(w, tree, which)
	add := func(w *terraform.Workload, d *declared) {
		d.resourceSettings(w.Resource, leaving)
		c.pods = append(c.pods, declaredOf{d, w})
		c.compareWithState(d, w.Address)
		c.agents = append(c.agents, d)
	}
	if len(held) == 0 {
		add(w, c.fluxdOf(ctx, w, tree, which))
	}
	for _, state := range held {
		one := *w
		if len(unsure) > 0 { // the state tells which instances there are
			one.Address = state.Address
		}
		d := c.withState(ctx, &one, tree, which, state)
		if len(unsure) > 0 {
			d.Terraform.Instance = instance(state.Key)
		}
		add(&one, d)
	}
}

// elsewhere names a fluxd of another kind than a Deployment.
func (c *configuration) elsewhere(w *terraform.Workload, kind string, container *corev1.Container, unsure []terraform.Cause) {
	perhaps := ""
	if len(unsure) > 0 {
		perhaps = ", if it is made at all: " + causeWords(unsure)
	}
	image := "of an image that is not known"
	if !strings.Contains(container.Image, placeholder) {
		image = "image " + flux1.DisplayURL(container.Image)
	}
	c.find(FluxdElsewhere.About("", w.Address, place(w.Position), fmt.Sprintf("%s declares a fluxd as %s (%s)%s", w.Address, kind, image, perhaps)))
}

// fluxdOf is the agent that a Deployment is, of which the container at a place runs fluxd.
func (c *configuration) fluxdOf(ctx context.Context, w *terraform.Workload, tree map[string]any, which int) *declared {
	deployment := deploymentOf(w, tree)
	pod := &deployment.Spec.Template.Spec
	container := &pod.Containers[which]
	source := w.Containers[which]
	d := &declared{pod: true, cluster: c.result.Cluster(w.Provider), accounts: c.accountsOf(ctx), grants: c.grantsOf(ctx), maps: c.mapsOf(ctx)}
	d.Terraform = &migrate.TerraformPlace{Dir: c.dir, Address: w.Address, Instance: instance(w.Resource.Key), Where: place(w.Position)}
	d.InstalledBy, d.Synced.Behind = "terraform", -1
	for _, part := range []struct {
		name string
		node *terraform.Node
		to   *string
	}{{"namespace", w.Namespace, &d.Namespace}, {"workload", w.Name, &d.Workload}} {
		var ok bool
		switch *part.to, ok = part.node.Str(); {
		case ok:
		case part.node == nil && part.name == "namespace":
			*part.to = metav1.NamespaceDefault
		default:
			d.unknown(part.name)
			d.find(TerraformName.Finding("", d.origin(w.Position, ""), fmt.Sprintf("the %s of %s is not known: %s", part.name, w.Address, causes(part.node))))
		}
	}
	d.ID = d.Namespace + "/" + d.Workload
	if d.Namespace == "" || d.Workload == "" {
		d.ID = w.Address
	}
	if d.Image = container.Image; strings.Contains(d.Image, placeholder) {
		d.Image = ""
		d.unknown("image")
	}
	d.Replicas = 1
	if n, err := strconv.ParseInt(scalarText(at(tree, "spec", "replicas")), 10, 32); err == nil {
		d.Replicas = int32(n)
	} else if gap(at(tree, "spec", "replicas")) != "" {
		d.unknown("replicas")
	}
	where := d.Terraform.Where + " (" + w.Address + ")"
	switch {
	case d.Replicas == 0:
		d.find(AgentStopped.Finding("", where, "the agent is declared with no pods (replicas: 0)"))
	case d.Replicas > 1:
		d.find(ManyReplicas.Finding("", where, fmt.Sprintf("the agent is declared with %d pods", d.Replicas)))
	}
	spec := at(tree, "spec", "template", "spec")
	gaps := gapsOf(spec, items(at(spec, "containers"))[which])
	config := d.setArguments(container, source, gaps)
	origin := func(more string) migrate.Origin {
		return migrate.Origin{Witness: "terraform", Where: d.origin(source.Position, more)}
	}
	readSurroundings(&d.Flux1Agent, &config, pod, container, nil, origin, func(findings ...migrate.Finding) { d.find(findings...) })
	d.ServiceAccount = accountOf(pod)
	// The old spelling counts only where the new one is not there.
	if gap(at(spec, "serviceAccountName")) != "" || pod.ServiceAccountName == "" && cmp.Or(gap(at(spec, "serviceAccount")), openGap(spec)) != "" {
		d.ServiceAccount = ""
		d.unknown("serviceAccount")
	}
	d.unknown("confinement") // unless something declares its roles
	d.rightsUnknown = nothingBinds
	if d.ServiceAccount == "" {
		d.rightsUnknown = "which account it has is not known"
	}
	d.grantedBeside = true
	d.setGranted()
	d.Requests = requests(pod)
	if slices.ContainsFunc(slices.Concat(items(at(spec, "containers")), items(at(spec, "initContainers"))), asksUnknown) {
		d.Requests = migrate.Requests{}
		d.unknown("requests")
	}
	d.uses = usedBy(pod, container, spec)
	p := declaredPod{spec: *pod, container: container, causes: map[int]string{}, podGaps: gaps, maps: d.wholeConfigMaps()}
	for i, e := range knownNames(source.Env) {
		switch {
		case e.Gap != nil:
			p.causes[i] = causes(e.Gap)
		case strings.Contains(textOf(e.Value), placeholder):
			p.causes[i] = causes(e.Value)
		}
	}
	d.setFallback(ctx, &p)
	d.Parts = d.declaredParts(spec, which, p)
	d.setCredential(ctx, &config, p, func(more string) string { return origin(more).Where })
	roles := cloudRoles{known: podRoles(&deployment.Spec.Template)}
	for i, role := range roles.known {
		roles.known[i] = strings.ReplaceAll(role, placeholder, "not known")
	}
	metadata := at(tree, "spec", "template", "metadata")
	for _, set := range []string{"annotations", "labels"} {
		if why := cmp.Or(openGap(at(tree, "spec", "template")), openGap(metadata), openGap(at(metadata, set))); why != "" {
			roles.perhaps = append(roles.perhaps, "what "+set+" they have is not known: "+why)
		}
	}
	d.findRoles(&config, roles, d.accountRoles(), where)
	// Everything else that the Deployment says.
	leaves, whole := c.leaves(tree)
	if !whole {
		d.find(TerraformProblem.Finding("", where, w.Address+" has more fields, or longer ones, than are listed one by one"))
	}
	for _, l := range append(leaves, leaf{path: "image", value: d.Image}) {
		s := migrate.Setting{Name: l.path, Value: l.value, Fate: migrate.Dropped, Why: "concerns only how fluxd itself runs",
			From: []migrate.Origin{{Witness: "terraform", Where: where}}}
		switch {
		case l.cut:
			s.Fate, s.To, s.Why = migrate.Unknown, migrate.ByFinding, "it holds fields that are not listed"
		case l.value+l.unknown != "" && slices.ContainsFunc(chart.PodIdentities, func(name string) bool {
			return l.path == "spec.template.metadata.annotations."+name || l.path == "spec.template.metadata.labels."+name
		}):
			s.Fate, s.To, s.Why = migrate.Unknown, migrate.ByFinding, "it gives the agent's pods a role in a cloud, and the new agent has pods of its own"
		case l.unknown != "" && countsElsewhere(l.path, which):
			s.Fate, s.To, s.Why = migrate.Unknown, "a known value", l.unknown
		case strings.HasSuffix(l.path, "spec.serviceAccountName"), strings.HasSuffix(l.path, "spec.serviceAccount"):
			s.Fate, s.To, s.Why = migrate.Carried, "Kustomization.spec.serviceAccountName", "the rights of the agent's account are carried over"
		default:
			if why, known := unknownField(l.path, which); !known {
				s.Fate, s.To, s.Why = migrate.Unknown, migrate.ByPerson, why
				if l.unknown != "" {
					s.Why += "; what it says is not known: " + l.unknown
				}
			}
		}
		d.Settings = append(d.Settings, s)
	}
	return d
}

// deploymentOf is the Deployment that is declared, as far as it is known.
func deploymentOf(w *terraform.Workload, tree map[string]any) *appsv1.Deployment {
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: podTemplate(tree)}}
	pod := &d.Spec.Template.Spec
	for i := range w.Containers {
		if i == len(pod.Containers) {
			pod.Containers = append(pod.Containers, corev1.Container{})
		}
		k := &pod.Containers[i]
		k.Name, k.Image = textOf(w.Containers[i].Name), imageText(w.Containers[i].Image)
		k.Command, k.Args = textsOf(w.Containers[i].Command), textsOf(w.Containers[i].Args)
		k.Env = k.Env[:0]
		for _, e := range knownNames(w.Containers[i].Env) {
			v := corev1.EnvVar{Name: textOf(e.Name), Value: textOf(e.Value)}
			if kind, ref, ok := strings.Cut(e.From, " "); ok {
				name, key, _ := strings.Cut(ref, "/")
				switch kind {
				case "secret_key":
					v.ValueFrom = &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}}
				case "config_map_key":
					v.ValueFrom = &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}}
				case "field":
					v.ValueFrom = &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{}}
				default:
					v.ValueFrom = &corev1.EnvVarSource{}
				}
			}
			k.Env = append(k.Env, v)
		}
	}
	return d
}

// leave makes what Terraform leaves as it is in the cluster something that is not
// known, wherever it counts, in the tree of the object and in what is returned: what
// the configuration says of it may have been so once. which is the place of fluxd's
// container; leaves is true if anything that counts is left.
func leave(w *terraform.Workload, tree map[string]any, which int) (out *terraform.Workload, leaves bool) {
	copied := *w
	out = &copied
	out.Containers = slices.Clone(w.Containers)
	k := &out.Containers[which]
	pod, container := podAndContainer(which)
	for _, l := range w.Leaves() {
		for _, field := range countingFields(l.Path, which) {
			leaves = true
			part := ""
			if len(field) > len(container) {
				part = field[len(container)]
			}
			if of, isMap := partAt(tree, field).(map[string]any); isMap && len(l.Path) > len(field) {
				field = l.Path[:len(field)+1] // the others are known
				for key := range of {
					if strings.HasPrefix(key, field[len(field)-1]+".") { // kubectl_manifest takes it for a field within
						unknownAt(tree, append(slices.Clone(field[:len(field)-1]), key), l.Cause)
					}
				}
			}
			unknownAt(tree, field, l.Cause)
			node := &terraform.Node{Kind: terraform.Unknown, Causes: []terraform.Cause{l.Cause}}
			switch part {
			case "args":
				k.Args = node
			case "command":
				k.Command = node
			case "image":
				k.Image = node
			case "env":
				k.Env = nil // of which the tree says that it is not known
			}
		}
		for _, whole := range [][]string{pod, container} {
			if n := len(l.Path); n <= len(whole) && slices.Equal(l.Path, whole[:n]) {
				openAt(tree, whole, l.Cause)
			}
		}
	}
	return out, leaves
}

// podAndContainer are the paths in a Deployment to its pods, and to a container of them.
func podAndContainer(which int) (pod, container []string) {
	return []string{"spec", "template", "spec"}, []string{"spec", "template", "spec", "containers", strconv.Itoa(which)}
}

// countingFields are the fields of a Deployment that count, of those below a path, or
// the one that it leads to or into. Of those that nobody knows, which count as well, it
// is only the one that the path names. which is the place of fluxd's container.
func countingFields(path []string, which int) [][]string {
	metadata := []string{"spec", "template", "metadata"}
	fields := [][]string{{"spec", "replicas"}, append(slices.Clone(metadata), "annotations"), append(slices.Clone(metadata), "labels")}
	pod, container := podAndContainer(which)
	for _, of := range []struct{ at, read, runs []string }{{pod, podReadElsewhere, podRuns}, {container, containerReadElsewhere, containerRuns}} {
		for _, name := range of.read {
			if name != "containers" && name != "name" {
				fields = append(fields, append(slices.Clone(of.at), name))
			}
		}
		if n := len(of.at); len(path) > n && slices.Equal(path[:n], of.at) && !slices.Contains(of.read, path[n]) && !slices.Contains(of.runs, path[n]) {
			fields = append(fields, path[:n+1])
		}
	}
	return slices.DeleteFunc(fields, func(field []string) bool {
		n := min(len(path), len(field))
		return !slices.Equal(path[:n], field[:n])
	})
}

// partAt is what stands at a path of a tree, through lists as well.
func partAt(v any, path []string) any {
	for _, step := range path {
		if list, ok := v.([]any); ok {
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(list) {
				return nil
			}
			v = list[i]
			continue
		}
		v = at(v, step)
	}
	return v
}

// unknownAt puts in the place of what stands at a path of a tree that it is not known,
// since it is left as it was.
func unknownAt(tree map[string]any, path []string, cause terraform.Cause) {
	last := len(path) - 1
	for i := range path[:last] {
		if m, ok := partAt(tree, path[:i]).(map[string]any); ok && m[path[i]] == nil {
			m[path[i]] = map[string]any{}
		}
	}
	if m, ok := partAt(tree, path[:last]).(map[string]any); ok {
		m[path[last]] = map[string]any{"$unknown": []string{cause.String()}, "$left": true}
	}
}

// openAt says of the map at a path of a tree that it may hold further keys.
func openAt(tree map[string]any, path []string, cause terraform.Cause) {
	if m, ok := partAt(tree, path).(map[string]any); ok && openGap(m) == "" {
		m["$open"] = []string{cause.String()}
	}
}

// podKinds are the kinds of objects with pods that a fluxd can run in, beside
// workloadKinds.
var podKinds = []string{"Pod", "Job", "CronJob"}

// asDeployment is an object whose pod stands at a path as a Deployment has its.
func asDeployment(tree map[string]any, path []string) map[string]any {
	var pod any = tree
	for _, field := range path {
		if gap(pod) == "" {
			pod = at(pod, field)
		}
	}
	return map[string]any{"spec": map[string]any{"template": pod}}
}

// knownNames are the variables of which the names are known; that there are others
// is a gap of the pod. The value of one that may not be there is not known.
func knownNames(env []terraform.EnvVar) []terraform.EnvVar {
	var out []terraform.EnvVar
	for _, e := range env {
		if _, ok := e.Name.Str(); !ok {
			continue
		}
		if len(e.Unknown) > 0 {
			unknown := &terraform.Node{Kind: terraform.Unknown, Causes: e.Unknown}
			e = terraform.EnvVar{Name: e.Name, Value: unknown, Gap: unknown}
		}
		out = append(out, e)
	}
	return out
}

// unclear is a workload of which it is not known what it is or runs, and why.
type unclear struct {
	*terraform.Workload
	why string
}

// maybe says of a workload in which no fluxd is seen that there may be one, where
// that is not known.
func (c *configuration) maybe(ctx context.Context, w *terraform.Workload, tree map[string]any, d *appsv1.Deployment) {
	why, whole := maybeFluxd(tree, w, &d.Spec.Template)
	if why == "" || c.applied(ctx, w) {
		return
	}
	words := []string{w.Address, textOf(w.Name), d.Spec.Template.Labels["app"], d.Spec.Template.Labels["name"]}
	for _, k := range d.Spec.Template.Spec.Containers {
		words = append(words, k.Name, imageName(k.Image))
	}
	switch {
	case speaksOfFlux(words...) && !speaksOfOperator(words...):
		c.find(TerraformUncertain.About("", w.Address, place(w.Position), fmt.Sprintf("whether %s runs a fluxd is not known: %s", w.Address, why)))
	case whole:
		c.unclear = append(c.unclear, unclear{w, why})
	}
}

// flux2Data is the address of a data source of Flux v2's own provider (fluxcd/flux below
// 1.0), whose content is what installs Flux v2, or has it sync.
var flux2Data = regexp.MustCompile(`^(.*\.)?data\.flux_(install|sync)\.`)

// ofFlux2 reports whether what is not known comes from Flux v2's own provider, so that it
// is named for Flux because of that.
func ofFlux2(n *terraform.Node) bool {
	return n != nil && slices.ContainsFunc(n.Causes, func(cause terraform.Cause) bool {
		return cause.Kind == terraform.CauseData && flux2Data.MatchString(cause.Name)
	})
}

// applied reads from the states a workload of which the configuration does not tell what
// it is or runs, and reports whether they tell that of all that was applied of it.
func (c *configuration) applied(ctx context.Context, w *terraform.Workload) bool {
	if w.Position.Line == 0 { // itself of a state
		return false
	}
	var found []*terraform.Workload
	told := map[string]bool{}
	for _, m := range c.matches[w.Address] {
		if m.State == nil || m.Config == nil || m.State.Deposed || told[m.Address] {
			continue
		}
		told[m.Address] = true
		o := m.State.Object
		switch x := c.inStates()[m.State.Unmoved()]; {
		case x != nil && !o.Hidden:
			found = append(found, m.State.Workload(x.Position.File))
		case o == nil || o.Hidden || o.Kind == "" || slices.Contains(workloadKinds, o.Kind) || slices.Contains(podKinds, o.Kind) || slices.Contains(installerKinds, o.Kind):
			return false
		}
	}
	for _, x := range found {
		c.workload(ctx, x)
	}
	return len(told) > 0
}

// inStates are the workloads that the states hold.
func (c *configuration) inStates() map[*terraform.StateResource]*terraform.Workload {
	if c.stateWorkloads == nil {
		c.stateWorkloads = map[*terraform.StateResource]*terraform.Workload{}
		for _, s := range c.states {
			at := map[string]*terraform.Workload{}
			for _, w := range s.state.Workloads(s.name) {
				at[w.Address] = w
			}
			for _, r := range s.state.Resources {
				if w := at[r.Address]; w != nil && !r.Deposed {
					c.stateWorkloads[r] = w
				}
			}
		}
	}
	return c.stateWorkloads
}

// saysUnclear names the workloads of which it is not known what they are or run.
func (c *configuration) saysUnclear() {
	if len(c.unclear) == 0 {
		return
	}
	var words []string
	unless := ""
	for _, u := range c.unclear {
		words = append(words, fmt.Sprintf("%s (%s)", u.Address, u.why))
		if ofFlux2(u.Kind) {
			unless = ", but for what comes from Flux v2's own provider"
		}
	}
	slices.Sort(words)
	first := c.unclear[0]
	c.find(TerraformObjectsUnknown.About("", first.Address, place(first.Position), "it is not known what these are or run, of which none is named as a Flux v1 agent is"+unless+": "+listed(words, len(words), maxHidden)))
}

// asksUnknown reports whether it is unknown what a container asks for.
func asksUnknown(container any) bool {
	if openGap(container) != "" {
		return true
	}
	resources := at(container, "resources")
	requests, limits := at(resources, "requests"), at(resources, "limits")
	for _, name := range []string{"cpu", "memory"} {
		of := at(requests, name) // a limit counts where there is no request
		if gap(of) != "" || of == nil && openGap(resources)+openGap(requests)+openGap(limits)+gap(at(limits, name)) != "" {
			return true
		}
	}
	return false
}

// setFallback tells the namespace of objects that name none: that of the kubeconfig that is
// given to the container, if it stands in a ConfigMap that is declared (flux:
// pkg/cluster/kubernetes/namespacer.go).
func (d *declared) setFallback(ctx context.Context, p *declaredPod) {
	container := p.container
	if d.DefaultNamespace != "" || slices.Contains(d.Unknown, "defaultNamespace") {
		return
	}
	given := slices.ContainsFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == "KUBECONFIG" }) ||
		slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool {
			return holdsKubeconfig(path.Clean(m.MountPath))
		})
	switch {
	case p.unnamed != "" || p.unsourced != "" || p.kubeconfig != "" || p.unmounted != "" || len(container.EnvFrom) > 0:
		d.unknown("defaultNamespace")
	case !given:
		d.DefaultNamespace = metav1.NamespaceDefault
	default:
		namespace, err := p.environment(&witness{}, d).fallbackNamespace(ctx)
		if err != nil || namespace == "" {
			d.unknown("defaultNamespace")
			return
		}
		d.DefaultNamespace = namespace
	}
}

// setArguments decodes a declared command line, whose arguments may be
// unknown.
func (d *declared) setArguments(container *corev1.Container, source terraform.Container, gaps podGaps) flux1.Config {
	args, offset, hidden := commandLine(container)
	args = slices.Clone(args) // what they refer to is asked for once more
	notTold := ""             // why the command is not known
	if len(container.Command) > 0 && hidden != "" && strings.Contains(container.Command[0], placeholder) {
		which := source.Command
		if which != nil && which.Kind == terraform.List {
			which = which.List[slices.IndexFunc(which.List, func(n *terraform.Node) bool { return strings.Contains(textOf(n), placeholder) })]
		}
		notTold, hidden = causes(which), ""
	}
	if hidden != "" {
		d.find(ShellArguments.Finding("", d.origin(source.Position, "command"), hidden))
	}
	// The variables whose values the configuration gives.
	plain, left := map[string]string{}, maxEnvironment
	add := func(name, value string) { // what may be a secret is not put into arguments, which are shown
		if left -= len(value); left >= 0 && !chart.NamesSecret(name) {
			plain[name] = value
		}
	}
	for _, f := range container.EnvFrom {
		m, whole := d.configMapOf(f)
		maps.DeleteFunc(plain, func(name, _ string) bool { return !whole && strings.HasPrefix(name, f.Prefix) }) // which it may set
		if gaps.unsourced == "" && m != nil {
			for key, value := range m.Data {
				add(f.Prefix+key, value)
			}
		}
	}
	for _, e := range container.Env {
		delete(plain, e.Name) // the last entry of a name counts
		switch value := filled(e.Value, plain); {
		case e.ValueFrom == nil && len(flux1.Symbols(value)) == 0:
			add(e.Name, flux1.Literal(value))
		case e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil:
			ref := e.ValueFrom.ConfigMapKeyRef
			if m, _ := d.configMap(ref.Name); m != nil {
				if value, ok := m.Data[ref.Key]; ok {
					add(e.Name, value)
				}
			}
		}
	}
	causesOf := map[int]string{} // why an argument is unknown
	for i := range args {
		if strings.Contains(args[i], placeholder) {
			causesOf[i] = argumentCause(source, args, i, offset)
			continue
		}
		before, keep, after := aroundCredentials(args, i)
		if whole := filled(before, plain) + keep + filled(after, plain); len(whole)-len(args[i]) <= left {
			left -= max(len(whole)-len(args[i]), 0)
			args[i] = whole
		}
	}
	config, settings, findings, anyFlag := parseOpen(args, causesOf)
	if notTold != "" && anyFlag == "" {
		anyFlag = notTold
		findings = append(findings, chart.ValueNotKnown.Finding("", "command", "the container's command is unknown, and may give fluxd any flag: "+notTold))
	}
	for i := range settings {
		for j := range settings[i].From {
			from := &settings[i].From[j]
			*from = migrate.Origin{Witness: "terraform", Where: d.origin(source.Position, argument(from.Where, offset))}
		}
	}
	for _, f := range findings {
		if f.Code == flux1.NoURL.Name && (hidden != "" || notTold != "") {
			continue
		}
		f.Where = d.origin(source.Position, argument(f.Where, offset))
		d.find(f)
	}
	if hidden != "" || anyFlag != "" {
		forgetAll(&config)
	}
	configure(&d.Flux1Agent, &config, settings)
	return config
}

// parseOpen parses arguments of which some are not known: these hold the placeholder, and causesOf
// says why. anyFlag says why one of them may set any flag, and then nothing that may be set is known.
func parseOpen(args []string, causesOf map[int]string) (config flux1.Config, settings []migrate.Setting, findings []migrate.Finding, anyFlag string) {
	args = slices.Clone(args)
	for i := range args {
		if causesOf[i] == "" {
			continue
		}
		name, _, assigned := strings.Cut(args[i], "=")
		flag := flux1.FlagNamed(strings.TrimPrefix(name, "--"))
		switch {
		case assigned && flag != nil && !strings.Contains(name, placeholder):
			args[i] = name + "=" + placeholder
		case i > 0 && strings.HasPrefix(args[i-1], "--") && flux1.FlagNamed(strings.TrimPrefix(args[i-1], "--")) != nil &&
			flux1.FlagNamed(strings.TrimPrefix(args[i-1], "--")).Type != flux1.TypeBool:
			args[i] = placeholder
		default:
			anyFlag = causesOf[i]
		}
	}
	config, settings, parsed := flux1.ParseArgs(args)
	index := func(where string) (int, bool) {
		var n int
		_, err := fmt.Sscanf(where, "args[%d]", &n)
		return n, err == nil
	}
	for i := range settings {
		s := &settings[i]
		for j := range s.From {
			n, ok := index(s.From[j].Where)
			for _, k := range []int{n, n + 1} { // the value may be the next argument
				if cause := causesOf[k]; ok && cause != "" && (k == n || n < len(args) && !strings.Contains(args[n], "=") && args[k] == placeholder) {
					s.Value, s.Fate, s.To, s.Why = "", migrate.Unknown, "a known value", cause
				}
			}
		}
	}
	for _, s := range settings {
		if s.Fate == migrate.Unknown && s.To == "a known value" {
			if s.Name == "--connect" {
				findings = append(findings, flux1.Notifications.Finding("", s.From[0].Where, "whether the agent reports to an upstream service is not known: "+s.Why))
			}
			if f := flux1.FlagNamed(strings.TrimPrefix(s.Name, "--")); f == nil || f.Fate != migrate.Dropped || slices.Contains(decisive, f.Name) {
				findings = append(findings, chart.ValueNotKnown.Finding("", s.From[0].Where, s.Name+" is unknown: "+s.Why))
			}
		}
	}
	for _, f := range parsed {
		if n, ok := index(f.Where); ok && (causesOf[n] != "" || causesOf[n+1] != "") && (f.Code == flux1.SymbolicFlag.Name || f.Code == flux1.BadFlag.Name || f.Code == flux1.UnknownFlag.Name) {
			continue // said above, with what would settle it
		}
		if f.Code == flux1.NoURL.Name && anyFlag != "" {
			continue
		}
		findings = append(findings, f)
	}
	if anyFlag != "" {
		findings = append(findings, chart.ValueNotKnown.Finding("", "args", "an argument is unknown and may set any flag: "+anyFlag))
	}
	return config, settings, findings, anyFlag
}

// filled puts in the variables of which the values are known.
func filled(text string, plain map[string]string) string {
	return flux1.Fill(text, func(name string) (string, flux1.Known) {
		if v, ok := plain[name]; ok {
			return v, flux1.IsSet
		}
		return "", flux1.NotKnown
	})
}

// decisive are flags that count although most of their values are dropped.
var decisive = []string{
	"git-secret", "sops", "manifest-generation", "git-verify-signatures", "git-verify-signatures-mode", "git-label", "git-readonly", "sync-state",
}

// argumentCause says why an argument is unknown.
func argumentCause(source terraform.Container, args []string, i, offset int) string {
	if i >= offset && source.Args != nil {
		if source.Args.Kind == terraform.List && i-offset < len(source.Args.List) {
			return causes(source.Args.List[i-offset])
		}
		return causes(source.Args)
	}
	return causes(source.Command)
}

// textOf is a node's text, with the placeholder where something is unknown.
func textOf(n *terraform.Node) string {
	switch {
	case n == nil:
		return ""
	case n.Kind == terraform.Scalar && n.Scalar == nil:
		return ""
	case n.Kind == terraform.Scalar:
		return fmt.Sprint(n.Scalar)
	case n.Text == "":
		return placeholder
	}
	// Only how it begins tells what it is.
	before, _, _ := strings.Cut(n.Text, "${")
	return before + placeholder
}

func textsOf(n *terraform.Node) []string {
	switch {
	case n == nil || n.Kind == terraform.Scalar && n.Scalar == nil:
		return nil
	case n.Kind == terraform.List:
		out := make([]string, len(n.List))
		for i, e := range n.List {
			out[i] = textOf(e)
		}
		return out
	}
	return []string{textOf(n)}
}

// leaf is what stands at the end of a path of a manifest, for the ledger.
type leaf struct {
	path, value string
	cut         bool   // it holds fields that are not listed
	unknown     string // why it is not known, or which more fields it has
}

// accounted are the parts of a Deployment that have settings of their own.
var accounted = regexp.MustCompile(`^(apiVersion|kind|metadata\.(name|namespace)|spec\.template\.spec\.(containers|initContainers)\[\d+\]\.(name|image|args|command|env|envFrom|volumeMounts))$`)

// maxLedger bounds what the fields of all Deployments of one configuration take
// in the ledger, in bytes, and maxShare those of one, so that it does not take
// the place of the others; fieldCost is what one takes beside its name.
const (
	maxLedger = 64 << 20
	maxShare  = maxLedger / 8
	fieldCost = 256
)

// leaves are the ends of a Deployment's fields. whole is false where they are
// too many, or their names too long: of what is not listed then, the field that
// holds it is.
func (c *configuration) leaves(tree map[string]any) (leaves []leaf, whole bool) {
	whole = true
	until := min(c.ledger+maxShare, maxLedger)
	var walk func(path string, v any)
	// each walks into one part of what stands at a path, if it can be afforded.
	each := func(path string, length int, name func() string, v any) bool {
		cost := len(path) + length + fieldCost
		if c.ledger+cost > until {
			whole = false
			return false
		}
		c.ledger += cost
		walk(strings.TrimPrefix(path+name(), "."), v)
		return true
	}
	walk = func(path string, v any) {
		if accounted.MatchString(path) {
			for _, g := range listGaps(path[strings.LastIndex(path, ".")+1:], v) {
				if g.at == "" {
					leaves = append(leaves, leaf{path: path, unknown: gap(v)})
					continue
				}
				each(path, len(g.at), func() string { return g.at }, g.part)
			}
			return
		}
		all := true
		switch v := v.(type) {
		case map[string]any:
			if len(v) == 0 || gap(v) != "" {
				leaves = append(leaves, leaf{path: path, value: hideText(path, v), unknown: gap(v)})
				return
			}
			for _, k := range sortedNames(v) {
				if k == "$open" {
					leaves = append(leaves, leaf{path: strings.TrimPrefix(path+".*", "."), unknown: openGap(v)})
					continue
				}
				all = each(path, 1+len(k), func() string { return "." + k }, v[k]) && all
			}
		case []any:
			for i := range v {
				all = each(path, len("[]")+len(strconv.Itoa(i)), func() string { return "[" + strconv.Itoa(i) + "]" }, v[i]) && all
			}
		default:
			leaves = append(leaves, leaf{path: path, value: hideText(path, v)})
		}
		if !all {
			leaves = append(leaves, leaf{path: cmp.Or(path, "…"), value: "***", cut: true})
		}
	}
	walk("", tree)
	return leaves, whole
}

// hideText shows what stands at a path of a Deployment. A text may be a secret,
// but for some places.
func hideText(path string, v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case map[string]any:
		if v["$unknown"] != nil {
			return ""
		}
	case string:
		_, within, ofVolume := strings.Cut(path, ".volumes[")
		_, within, _ = strings.Cut(within, "].")
		label := labelName.FindStringSubmatch(path)
		if v == "" || ofVolume && chart.NamesInVolume(within) || !ofVolume && plainly.MatchString(path) && (label == nil || !chart.NamesSecret(label[1])) {
			return flux1.DisplayURL(v)
		}
	case []any:
	default:
		return fmt.Sprint(v)
	}
	return "***"
}

// labelName finds the name of a label, of which a password may be the value.
var labelName = regexp.MustCompile(`(?:labels|matchLabels|nodeSelector)\.(.*)$`)

// plainly are the parts of a Deployment in which a text is no secret.
var plainly = regexp.MustCompile(`(labels|matchLabels|nodeSelector|resources|ports|strategy)\b|(serviceAccount(Name)?|imagePullPolicy|replicas|Probe\.httpGet\.(path|port)|restartPolicy|dnsPolicy)$`)

// at is what stands at a path of a tree; nil if nothing does.
func at(v any, path ...string) any {
	for _, k := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

// scalarText is a scalar as text: the placeholder if it is unknown, "***" if it
// is sensitive, and empty for anything but a scalar.
func scalarText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case map[string]any:
		if v["$sensitive"] != nil {
			return "***"
		}
		if v["$unknown"] != nil {
			return placeholder
		}
		return ""
	case []any:
		return ""
	}
	return fmt.Sprint(v)
}

func items(v any) []any {
	list, _ := v.([]any)
	return list
}

// podTemplate reads of a tree what discovery looks at; not more, so that an odd
// value elsewhere does no harm.
func podTemplate(tree map[string]any) corev1.PodTemplateSpec {
	var out corev1.PodTemplateSpec
	for field, to := range map[string]*map[string]string{"labels": &out.Labels, "annotations": &out.Annotations} {
		if texts, ok := at(tree, "spec", "template", "metadata", field).(map[string]any); ok {
			*to = map[string]string{}
			for k, v := range texts {
				(*to)[k] = scalarText(v)
			}
		}
	}
	spec := at(tree, "spec", "template", "spec")
	out.Spec.ServiceAccountName = cmp.Or(nameIn(spec, "serviceAccountName"), nameIn(spec, "serviceAccount"))
	container := func(v any) corev1.Container {
		c := corev1.Container{Name: scalarText(at(v, "name")), Image: scalarText(at(v, "image"))}
		for _, e := range items(at(v, "env")) {
			c.Env = append(c.Env, corev1.EnvVar{Name: scalarText(at(e, "name")), Value: scalarText(at(e, "value"))})
		}
		for _, e := range items(at(v, "envFrom")) {
			from := corev1.EnvFromSource{Prefix: nameIn(e, "prefix")}
			if n := nameIn(e, "secretRef", "name"); n != "" {
				from.SecretRef = &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: n}}
			}
			if n := nameIn(e, "configMapRef", "name"); n != "" {
				from.ConfigMapRef = &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: n}}
			}
			if gap(at(e, "prefix")) == "" && (from.SecretRef != nil || from.ConfigMapRef != nil) {
				c.EnvFrom = append(c.EnvFrom, from)
			}
		}
		for _, m := range items(at(v, "volumeMounts")) {
			mount := corev1.VolumeMount{Name: nameIn(m, "name"), MountPath: nameIn(m, "mountPath"), SubPath: nameIn(m, "subPath")}
			if mount.Name != "" && mount.MountPath != "" && gap(at(m, "subPath")) == "" && at(m, "$perhaps") == nil {
				c.VolumeMounts = append(c.VolumeMounts, mount)
			}
		}
		for _, p := range items(at(v, "ports")) {
			if port, err := strconv.ParseInt(nameIn(p, "containerPort"), 10, 32); err == nil {
				c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: int32(port)})
			}
		}
		for _, name := range []string{"livenessProbe", "readinessProbe"} {
			if p := scalarText(at(v, name, "httpGet", "path")); p != "" {
				c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: p}}}
			}
		}
		for field, to := range map[string]*corev1.ResourceList{"requests": &c.Resources.Requests, "limits": &c.Resources.Limits} {
			amounts, _ := at(v, "resources", field).(map[string]any)
			for k, v := range amounts {
				if q, err := resource.ParseQuantity(scalarText(v)); err == nil {
					if *to == nil {
						*to = corev1.ResourceList{}
					}
					(*to)[corev1.ResourceName(k)] = q
				}
			}
		}
		return c
	}
	for _, v := range items(at(spec, "containers")) {
		out.Spec.Containers = append(out.Spec.Containers, container(v))
	}
	for _, v := range items(at(spec, "initContainers")) {
		c := container(v)
		if always := corev1.ContainerRestartPolicyAlways; nameIn(v, "restartPolicy") == string(always) {
			c.RestartPolicy = &always
		}
		out.Spec.InitContainers = append(out.Spec.InitContainers, c)
	}
	for _, v := range items(at(spec, "volumes")) {
		volume := corev1.Volume{Name: nameIn(v, "name")}
		secret := func(v any, name string) *corev1.SecretProjection {
			if at(v, "secret") == nil {
				return nil
			}
			return &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: nameIn(v, "secret", name)}, Items: keysToPaths(at(v, "secret", "items"))}
		}
		configMap := func(v any) *corev1.ConfigMapProjection {
			if at(v, "configMap") == nil {
				return nil
			}
			return &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: nameIn(v, "configMap", "name")}, Items: keysToPaths(at(v, "configMap", "items"))}
		}
		if p := secret(v, "secretName"); p != nil {
			volume.Secret = &corev1.SecretVolumeSource{SecretName: p.Name, Items: p.Items}
		}
		if p := configMap(v); p != nil {
			volume.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: p.LocalObjectReference, Items: p.Items}
		}
		if sources := items(at(v, "projected", "sources")); len(sources) > 0 {
			volume.Projected = &corev1.ProjectedVolumeSource{}
			for _, s := range sources {
				volume.Projected.Sources = append(volume.Projected.Sources, corev1.VolumeProjection{Secret: secret(s, "name"), ConfigMap: configMap(s)})
			}
		}
		out.Spec.Volumes = append(out.Spec.Volumes, volume)
	}
	return out
}

// nameIn is a text at a path of a tree; empty if it is not known.
func nameIn(v any, path ...string) string {
	if gap(at(v, path...)) != "" {
		return ""
	}
	return scalarText(at(v, path...))
}

// keysToPaths are the files that a volume names.
func keysToPaths(n any) []corev1.KeyToPath {
	var out []corev1.KeyToPath
	for _, i := range items(n) {
		out = append(out, corev1.KeyToPath{Key: nameIn(i, "key"), Path: nameIn(i, "path")})
	}
	return out
}

// usedBy are the names of what the container of fluxd uses: the Secrets and ConfigMaps that
// it mounts or takes its variables from, those to pull its image with, and the cache that
// its arguments name.
func usedBy(pod *corev1.PodSpec, container *corev1.Container, spec any) []string {
	var out []string
	add := func(name string) {
		if name != "" && !strings.Contains(name, placeholder) {
			out = append(out, name)
		}
	}
	for _, m := range container.VolumeMounts {
		for _, v := range pod.Volumes {
			if v.Name != m.Name {
				continue
			}
			if v.Secret != nil {
				add(v.Secret.SecretName)
			}
			if v.ConfigMap != nil {
				add(v.ConfigMap.Name)
			}
			if v.Projected != nil {
				for _, s := range v.Projected.Sources {
					if s.Secret != nil {
						add(s.Secret.Name)
					}
					if s.ConfigMap != nil {
						add(s.ConfigMap.Name)
					}
				}
			}
		}
	}
	for _, f := range container.EnvFrom {
		if f.SecretRef != nil {
			add(f.SecretRef.Name)
		}
		if f.ConfigMapRef != nil {
			add(f.ConfigMapRef.Name)
		}
	}
	for _, e := range container.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			add(e.ValueFrom.SecretKeyRef.Name)
		}
		if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
			add(e.ValueFrom.ConfigMapKeyRef.Name)
		}
	}
	for _, s := range items(at(spec, "imagePullSecrets")) {
		add(nameIn(s, "name"))
	}
	cache := flux1.FlagNamed("memcached-hostname").Default
	for i, arg := range container.Args {
		if name, value, assigned := strings.Cut(arg, "="); name == "--memcached-hostname" {
			if cache = value; !assigned && i+1 < len(container.Args) {
				cache = container.Args[i+1]
			}
		}
	}
	host, _, _ := strings.Cut(cache, ".")
	add(host)
	return out
}

// maxListed bounds the names that a finding lists, in bytes.
const maxListed = 4 << 10

// listed names the first of total things, atMost so many and none that is too
// long, and says how many more there are.
func listed(names []string, total, atMost int) string { return listedBy(", ", names, total, atMost) }

// listedBy is [listed] with another separator.
func listedBy(separator string, names []string, total, atMost int) string {
	var shown []string
	length := 0
	for _, n := range names[:min(len(names), atMost)] {
		if length += len(n); length > maxListed {
			break
		}
		shown = append(shown, n)
	}
	words := strings.Join(shown, separator)
	switch more := total - len(shown); {
	case len(shown) == 0:
		return fmt.Sprintf("%d of which the names are too long to be listed", more)
	case more > 0:
		words += fmt.Sprintf(" and %d more", more)
	}
	return words
}
