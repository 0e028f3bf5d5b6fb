package discover

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// namedObject is a resource that makes an object of Kubernetes.
type namedObject struct {
	objectsNamed
	kind, module, address string
	cluster               terraform.Cluster
}

// objectsNamed are the objects that have a name: in a namespace, in none that is known, or
// themselves namespaces.
type objectsNamed struct {
	name, namespace string
	isNamespace     bool
}

// objects are those that the configuration declares or, without one, that its
// state holds.
func (c *configuration) objects(ctx context.Context) []namedObject {
	var out []namedObject
	seen := map[string]bool{}
	add := func(module, address, kind, name, namespace string, of terraform.Cluster) {
		if seen[address] = true; name != "" {
			out = append(out, namedObject{objectsNamed{name, namespace, kind == "Namespace"}, kind, module, address, of})
		}
	}
	// What a release of a chart that makes any object is given goes by its address.
	given := func(h *terraform.HelmRelease) {
		for _, o := range h.Given() {
			if o.Namespace == "" && isNamespaced(o.Kind) {
				o.Namespace, _ = h.Namespace.Str()
			}
			add(h.Resource.Module, h.Address, o.Kind, o.Name, o.Namespace, c.result.Cluster(h.Provider))
		}
	}
	if c.alone != nil {
		for _, r := range c.alone.state.Resources {
			if r.Mode == "managed" && r.Object != nil {
				add(r.Module, r.Address, r.Object.Kind, r.Object.Name, r.Object.Namespace, terraform.Cluster{})
			}
		}
		for _, h := range c.allReleases(ctx) {
			given(h)
		}
		return out
	}
	for _, w := range terraform.Manifests(ctx, c.result) {
		kind, _ := w.Kind.Str()
		name, _ := w.Name.Str()
		namespace, known := w.Namespace.Str()
		switch {
		case !known && w.Namespace == nil && w.Object == nil:
			namespace = metav1.NamespaceDefault // as the provider fills it in
		case !known && w.Namespace != nil && !ofFlux2(w.Object) && (kind == "" || isNamespaced(kind) || !isOwnKind(kind)):
			c.running = append(c.running, placed{address: w.Address, namespace: w.Namespace, cluster: c.result.Cluster(w.Provider)})
		}
		add(w.Resource.Module, w.Address, kind, name, namespace, c.result.Cluster(w.Provider))
	}
	for _, h := range c.allReleases(ctx) {
		given(h)
	}
	for _, r := range c.result.Resources {
		if r.Mode != "managed" || !strings.HasPrefix(r.Type, "kubernetes_") || seen[r.Address] {
			continue
		}
		kind := kindOfType(r.Type)
		if of, ok := r.Field("kind").Str(); ok { // what it says something of
			kind = of
		}
		for _, m := range r.Body.All("metadata") {
			name, _ := known(m.Body, "name")
			namespace, _ := known(m.Body, "namespace")
			if m.Body.Attributes["namespace"] == nil && isNamespaced(kind) {
				namespace = metav1.NamespaceDefault
			}
			if at := r.Metadata("namespace"); at != nil && at.Kind != terraform.Scalar {
				c.running = append(c.running, placed{address: r.Address, namespace: at, cluster: c.result.Cluster(r.Provider)})
			}
			add(r.Module, r.Address, kind, name, namespace, c.result.Cluster(r.Provider))
		}
	}
	return out
}

// allReleases are the releases of the configuration or, without one, of its state.
func (c *configuration) allReleases(ctx context.Context) []*terraform.HelmRelease {
	if c.alone != nil {
		return c.alone.state.HelmReleases(c.alone.name)
	}
	return c.releasesOf(ctx)
}

// isNamespaced reports whether objects of a kind of Kubernetes' own are in namespaces.
func isNamespaced(kind string) bool {
	return slices.ContainsFunc(ownKinds().served, func(k migrate.ServedKind) bool { return k.Kind == kind && k.Namespaced })
}

// isOwnKind reports whether a kind is one of Kubernetes' own.
func isOwnKind(kind string) bool {
	return slices.ContainsFunc(ownKinds().served, func(k migrate.ServedKind) bool { return k.Kind == kind })
}

// kindOfType is the kind of the object that a resource of the kubernetes provider makes, by
// the name of its type.
func kindOfType(typ string) string {
	words := strings.Split(strings.TrimPrefix(typeVersion.ReplaceAllString(strings.TrimPrefix(typ, "kubernetes_"), ""), "default_"), "_")
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}

var typeVersion = regexp.MustCompile(`_v\d+((alpha|beta)\d+)?(_data)?$`)

// maxObjects bounds how many resources of an agent a finding names.
const maxObjects = 50

// declaredOf is an agent and the workload that declares it.
type declaredOf struct {
	*declared
	workload *terraform.Workload
}

// placed is what is, or runs, in a namespace, which may not be known; why says what else of it
// is not, empty if nothing.
type placed struct {
	address   string
	namespace *terraform.Node
	cluster   terraform.Cluster
	why       string
}

// open says why it is not known whether it is in a namespace; empty if it is known.
func (p *placed) open() string {
	if _, known := p.namespace.Str(); !known && p.why == "" {
		return causes(p.namespace)
	}
	return p.why
}

// mayBeIn reports whether it may run in a namespace; in any, if its own is not known.
func (p *placed) mayBeIn(namespace string) bool { return fits(p.namespace, namespace) }

// noteUses notes what the pods of a workload refer to, and where they run.
func (c *configuration) noteUses(w *terraform.Workload, tree map[string]any, pod *corev1.PodSpec) {
	by := placed{address: w.Resource.Address, namespace: w.Namespace, cluster: c.result.Cluster(w.Provider)}
	if w.Namespace == nil && w.Object == nil {
		by.namespace = &terraform.Node{Kind: terraform.Scalar, Scalar: metav1.NamespaceDefault}
	} else if w.Namespace == nil { // that of the kubeconfig
		by.namespace = &terraform.Node{Kind: terraform.Unknown, Origin: terraform.Origin{Position: w.Position}}
	}
	c.running = append(c.running, by)
	c.noteUse(by, accountOf(pod), true)
	eachRef(at(tree, "spec", "template", "spec"), func(name string) { c.noteUse(by, name, false) })
}

func (c *configuration) noteUse(by placed, name string, account bool) {
	if c.usedIn == nil {
		c.usedIn = map[objectUsed][]placed{}
	}
	of := objectUsed{name, account}
	c.usedIn[of] = append(c.usedIn[of], by)
}

// eachRef finds the names of the Secrets and ConfigMaps that are given to a pod, to any of
// its containers.
func eachRef(v any, found func(name string)) {
	add := func(v any, field string) {
		if name := nameIn(v, field); name != "" {
			found(name)
		}
	}
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			eachRef(e, found)
		}
	case map[string]any:
		for k, e := range v {
			switch {
			case k == "secretName":
				add(v, k)
			case k == "imagePullSecrets":
				for _, s := range items(e) {
					add(s, "name")
				}
			case k == "secret" || k == "configMap" || strings.HasSuffix(k, "Ref"):
				add(e, "name")
			}
			eachRef(e, found)
		}
	}
}

// noteReleases notes where releases run, and which of the Secrets, ConfigMaps and accounts
// that agents have they are given: by their names, since what a chart makes of its values
// is not read here.
func (c *configuration) noteReleases(ctx context.Context) {
	wanted := map[string]bool{}
	for _, p := range c.pods {
		for _, name := range p.namesake() {
			wanted[name] = true
		}
	}
	c.noteModules()
	for _, h := range c.allReleases(ctx) {
		by := placed{address: h.Address, namespace: h.Namespace, cluster: c.result.Cluster(h.Provider)}
		if h.Namespace == nil {
			by.namespace = &terraform.Node{Kind: terraform.Scalar, Scalar: metav1.NamespaceDefault}
		}
		c.running = append(c.running, by)
		for _, o := range h.Given() {
			if o.Namespace != "" {
				by.namespace = &terraform.Node{Kind: terraform.Scalar, Scalar: o.Namespace}
			}
			if tree, ok := o.Tree.(map[string]any); ok && (slices.Contains(workloadKinds, o.Kind) || slices.Contains(podKinds, o.Kind)) {
				spec := at(asDeployment(tree, terraform.PodOf(o.Kind)), "spec", "template", "spec")
				c.noteUse(by, cmp.Or(nameIn(spec, "serviceAccountName"), nameIn(spec, "serviceAccount"), "default"), true)
				eachRef(spec, func(name string) { c.noteUse(by, name, false) })
			}
		}
		if !h.MakesGiven() {
			c.noteNames(by, h.Values, false, wanted)
		}
	}
}

// noteModules notes the namespaces and the accounts that modules are given which were not read:
// what these run is not known.
func (c *configuration) noteModules() {
	if c.alone != nil {
		return
	}
	for _, m := range c.result.Modules {
		if m.Missing == nil {
			continue
		}
		accounts, namespaces := m.Given()
		by := placed{address: m.Address, why: "the module (source " + m.Source + ") is not in the folder"}
		for _, by.namespace = range namespaces {
			c.running = append(c.running, by)
		}
		by.namespace = &terraform.Node{Kind: terraform.Unknown}
		for _, n := range accounts {
			c.given = append(c.given, accountGiven{n, by})
		}
	}
}

// accountGiven is an account, which need not be known, that something is given which was not read.
type accountGiven struct {
	name *terraform.Node
	to   placed
}

// notNames are values of charts that are names of something else than what is used.
var notNames = []string{"namespace", "fullnameoverride", "nameoverride", "releasename", "clustername", "image", "repository", "tag"}

// noteNames notes which of some names stand in values, of accounts where a key speaks of
// one.
func (c *configuration) noteNames(by placed, n *terraform.Node, account bool, wanted map[string]bool) {
	switch {
	case n == nil:
	case n.Kind == terraform.Map:
		for _, k := range sortedNames(n.Map) {
			word := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(k))
			if !slices.Contains(notNames, word) {
				c.noteNames(by, n.Map[k], account || strings.Contains(word, "serviceaccount"), wanted)
			}
		}
	case n.Kind == terraform.List:
		for _, e := range n.List {
			c.noteNames(by, e, account, wanted)
		}
	default:
		text, _ := n.Str()
		if len(text) > maxValueText {
			return
		}
		for _, word := range strings.FieldsFunc(text, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.')
		}) {
			if wanted[word] {
				c.noteUse(by, word, account)
			}
		}
	}
}

// maxValueText bounds a value in which names are looked for.
const maxValueText = 1 << 20

// objectUsed is a ServiceAccount, or a Secret or ConfigMap, by its name.
type objectUsed struct {
	name    string
	account bool
}

// usedElsewhere reports whether another workload than that of an agent, or a release, may
// refer to an object of a kind: to the account, Secret or ConfigMap of that name. Those of which
// it is not known are told to open.
func (c *configuration) usedElsewhere(d *declared, w *terraform.Workload, name, kind string, open func(placed)) bool {
	account := kind == "ServiceAccount"
	if !account && kind != "Secret" && kind != "ConfigMap" {
		return false
	}
	used := slices.ContainsFunc(c.usedIn[objectUsed{name, account}], func(by placed) bool {
		return by.address != w.Resource.Address && (d.Namespace == "" || by.mayBeIn(d.Namespace)) && d.mayBeHere(by.cluster)
	})
	for _, g := range c.given {
		if account && fits(g.name, name) {
			used = true
			open(g.to)
		}
	}
	return used
}

// objectsOfPods says of each agent that is declared without Helm what it is made of, once
// all workloads are read that may use the same.
func (c *configuration) objectsOfPods(ctx context.Context) {
	if len(c.pods) > 0 {
		c.noteReleases(ctx)
	}
	for _, p := range c.pods {
		c.objectsBeside(ctx, p.declared, p.workload)
	}
}

// namesake are the names of an agent, and of what it alone has most often.
func (d *declared) namesake() []string {
	names := []string{d.Workload, d.ServiceAccount, d.Git.SecretName}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
}

// objectsBeside lists the resources that belong to an agent declared without
// Helm: those that are named after it, or after what it uses, and what its account is bound
// by, wherever that is.
func (c *configuration) objectsBeside(ctx context.Context, d *declared, w *terraform.Workload) {
	if c.named == nil {
		c.named = map[objectsNamed][]*namedObject{}
		for _, o := range c.objects(ctx) {
			c.named[o.objectsNamed] = append(c.named[o.objectsNamed], &o)
			if o.namespace != "" {
				if c.within == nil {
					c.within = map[string][]*namedObject{}
				}
				c.within[o.namespace] = append(c.within[o.namespace], &o)
			}
		}
	}
	// named are the objects of a name that may be in the agent's namespace.
	named := func(name string) []*namedObject {
		var out []*namedObject
		for _, o := range c.named[objectsNamed{name: name}] { // in which namespace, its module tells at best
			if o.module == w.Resource.Module && d.mayBeHere(o.cluster) {
				out = append(out, o)
			}
		}
		if d.Namespace != "" {
			for _, o := range c.named[objectsNamed{name: name, namespace: d.Namespace}] {
				if d.mayBeHere(o.cluster) {
					out = append(out, o)
				}
			}
		}
		return out
	}
	made, others := map[string]bool{w.Address: true}, map[string]bool{}
	open := map[string]bool{} // what may use them, and why that is not known
	notKnown := func(p placed) {
		if why := p.open(); why != "" {
			open[p.address+" ("+why+")"] = true
		}
	}
	note := func(address string, shared bool) {
		if address != w.Address && shared {
			others[address] = true
			delete(made, address)
		} else if !others[address] {
			made[address] = true
		}
	}
	for _, name := range d.namesake() {
		for _, o := range named(name) {
			note(o.address, c.usedElsewhere(d, w, name, o.kind, notKnown))
		}
	}
	for _, name := range d.uses {
		for _, o := range named(name) {
			note(o.address, !made[o.address])
		}
	}
	c.bindingsOf(ctx, d, w, note)
	if its := c.named[objectsNamed{name: d.Namespace, isNamespace: true}]; d.Namespace != "" && len(its) > 0 {
		alone := true
		for _, p := range c.running {
			if !made[p.address] && !others[p.address] && p.mayBeIn(d.Namespace) && d.mayBeHere(p.cluster) {
				alone = false
				notKnown(p)
			}
		}
		alone = alone && !slices.ContainsFunc(c.within[d.Namespace], func(o *namedObject) bool {
			return !made[o.address] && !others[o.address] && d.mayBeHere(o.cluster)
		})
		for _, o := range its {
			if d.mayBeHere(o.cluster) {
				note(o.address, !alone)
			}
		}
	}
	text := "the agent is made of " + listed(sortedNames(made), len(made), maxObjects)
	if len(others) > 0 {
		text += "; it uses " + listed(sortedNames(others), len(others), maxObjects) + ", as others may"
	}
	if len(open) > 0 {
		text += "; whether these do is not known: " + listed(sortedNames(open), len(open), maxEnds)
	}
	d.find(TerraformObjects.Finding("", d.Terraform.Where, text))
}

// bindingsOf notes the bindings of an agent's account, and the roles that they give, in
// whatever namespace and by whatever name; shared are those that bind others as well.
func (c *configuration) bindingsOf(ctx context.Context, d *declared, w *terraform.Workload, note func(address string, shared bool)) {
	type roleRef struct{ kind, name, namespace string }
	given := map[roleRef][]bool{} // for each binding that gives it whether that is the agent's alone
	its := map[roleRef]bool{}
	account := c.usedElsewhere(d, w, d.ServiceAccount, "ServiceAccount", func(placed) {})
	for _, g := range c.grantsOf(ctx).list {
		made := g.Resource != nil && (g.Resource.Type != "helm_release" || len(g.Unknown) == 0)
		if c.alone != nil {
			made = g.state == c.alone.name
		} else if g.state != "" {
			made = false // of a configuration, which tells itself what it makes
		}
		role, named := g.RoleName.Str()
		if !made || !strings.HasSuffix(g.Kind, "Binding") || !named || !d.mayBeHere(g.Cluster) {
			continue
		}
		of := roleRef{kind: g.Binds(), name: role}
		if of.kind == "Role" {
			of.namespace, _ = g.Place()
		}
		_, binds, group := d.boundBy(&g.Grant)
		sole := binds && group == "" && !account && len(g.More) == 0 && len(g.Subjects) == 1
		given[of] = append(given[of], sole)
		if binds && group == "" {
			its[of] = true
			note(g.Address, !sole)
		}
	}
	for _, g := range c.grantsOf(ctx).list {
		name, named := g.Name.Str()
		of := roleRef{kind: g.Kind, name: name}
		if of.kind == "Role" {
			of.namespace, _ = g.Place()
		}
		if named && (c.alone == nil && g.state == "" || c.alone != nil && g.state == c.alone.name) && its[of] && d.mayBeHere(g.Cluster) {
			note(g.Address, slices.Contains(given[of], false))
		}
	}
}
