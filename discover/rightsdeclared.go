package discover

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rightsFor are the roles and bindings that count for the account of an agent which an object of a set declares.
type rightsFor func(set declaration, agent flux1.Parsed, namespace, account string) *rights

// givingRights are what of several sets may give rights, in their order. Bindings are looked up by whom they
// bind, since of thousands of them each agent has few.
type givingRights struct {
	objects []flux1.Parsed
	set     []int // of each
	// bindings are those among them, which are numbers, of clusters and of namespaces.
	bindings            *rights
	ofCluster, ofSpaces []int
	byKey               map[string][]int  // by roleKey, what has one
	ofAny               []int             // what may be of any account
	found               map[account][]int // what was found of each account
	defaultNamespace    string
}

// indexed tells of each of objects what it is looked up by; rewritten are those that may give something else.
func (g *givingRights) indexed(rewritten map[*unstructured.Unstructured]string, read decoded) {
	g.bindings, g.byKey, g.found = &rights{}, map[string][]int{}, map[account][]int{}
	for i, o := range g.objects {
		u := o.Manifest
		if u.GroupVersionKind().Group != rbacv1.GroupName {
			g.ofAny = append(g.ofAny, i)
			continue
		}
		key := keyOfRole(u, g.defaultNamespace)
		g.byKey[key] = append(g.byKey[key], i)
		if rewritten[u] != "" && isBinding(u) {
			g.ofAny = append(g.ofAny, i)
		}
		switch u.GetKind() {
		case "ClusterRoleBinding":
			if b := typedOnce[rbacv1.ClusterRoleBinding](read, u); b != nil {
				g.bindings.clusterRoleBindings, g.ofCluster = append(g.bindings.clusterRoleBindings, *b), append(g.ofCluster, i)
			}
		case "RoleBinding":
			if b := typedOnce[rbacv1.RoleBinding](read, u); b != nil {
				g.bindings.roleBindings, g.ofSpaces = append(g.bindings.roleBindings, inNamespace(b, g.defaultNamespace)), append(g.ofSpaces, i)
			}
		}
	}
}

// of are the objects that say something of an account: what binds it, or may, the roles that it is bound to, and
// what has the name of one of these.
func (g *givingRights) of(namespace, name string) []int {
	of := account{namespace, name}
	if found, known := g.found[of]; known {
		return found
	}
	keys := map[string]bool{}
	for n := range g.bindings.bound(namespace, name, groupsOf(namespace)) {
		key, space, ref := "", "", rbacv1.RoleRef{}
		if n < len(g.ofCluster) {
			ref, key = g.bindings.clusterRoleBindings[n].RoleRef, keyOfRole(g.objects[g.ofCluster[n]].Manifest, g.defaultNamespace)
		} else {
			b := &g.bindings.roleBindings[n-len(g.ofCluster)]
			space, ref, key = b.Namespace, b.RoleRef, keyOfRole(g.objects[g.ofSpaces[n-len(g.ofCluster)]].Manifest, g.defaultNamespace)
		}
		keys[key], keys[roleKey(ref.Kind, space, ref.Name)], keys[roleKey("Role", space, ref.Name)] = true, true, true
	}
	out := slices.Clone(g.ofAny)
	for key := range keys {
		out = append(out, g.byKey[key]...)
	}
	slices.Sort(out)
	g.found[of] = slices.Compact(out)
	return g.found[of]
}

// perhapsThere is a role or binding of which it is not known that it is in an agent's
// cluster; elsewhere is true if by its folder's name it is of another environment.
type perhapsThere struct {
	flux1.Parsed
	elsewhere bool
}

// rightsOf tells what counts for each agent of a repository, which may declare what several
// clusters get. What goes into a cluster together with the agent is known: what is built with
// it, the plain manifests beside it, and what the described agent applies from the paths
// that it is given. What is built with, or lies beside, another declaration of the very same
// agent is that one's, as no cluster has both. Of all else it is not known in which cluster
// it is, so that a binding in it leaves the rights of the account not known; but a role is
// the one that a binding means which the repository declares under that name, as the binding
// gives nothing without it, unless it is of another environment.
func (c *checkout) rightsOf(ctx context.Context, sets []declaration) rightsFor {
	beside := c.configMapsBeside(sets)
	charts, tools := c.boundByCharts(ctx, sets, beside), c.boundByTools(ctx)
	type place struct{ dir, file string }
	// By identity: the folders and plain files that build an agent, with the folders above these, and what is called like one.
	installs, declares := map[string]map[place]bool{}, map[string][]place{}
	together := map[string]*unstructured.Unstructured{} // what the described agent applies
	if len(c.agent.Git.Paths) > 0 {
		for _, o := range c.applied {
			together[identity(o.Manifest)] = o.Manifest
		}
	}
	// isApplied goes by what an object gives to whom: a build may say other things of it.
	appliedSo := map[*unstructured.Unstructured]bool{}
	isApplied := func(o flux1.Parsed) bool {
		is, known := appliedSo[o.Manifest]
		if !known && len(together) > 0 {
			m := together[identity(o.Manifest)]
			is = m != nil && !slices.ContainsFunc(fieldsOfRights, func(field string) bool {
				return !equality.Semantic.DeepEqual(m.Object[field], o.Manifest.Object[field])
			})
			appliedSo[o.Manifest] = is
		}
		return is
	}
	giving := &givingRights{defaultNamespace: c.agent.DefaultNamespace}
	looks, read := 0, decoded{}
	for _, set := range sets {
		for _, o := range set.objects {
			if mayInstall(o.Manifest) {
				declares[identity(o.Manifest)] = nil
			}
		}
	}
	for i, set := range sets {
		for _, o := range set.objects {
			id, at := identity(o.Manifest), place{set.dir, o.File}
			if declaresAgent(o.Manifest) && !set.unbuilt {
				if installs[id] == nil {
					installs[id] = map[place]bool{}
				}
				if set.dir != "" {
					installs[id][place{dir: set.dir}] = true
				} else {
					for above := o.File; above != "." && above != "/"; above = path.Dir(above) {
						installs[id][place{file: above}] = true
					}
				}
			}
			if places, is := declares[id]; is {
				declares[id] = append(places, at)
			}
			if mayGiveRights(o.Manifest) && (o.Manifest.GroupVersionKind().Group == rbacv1.GroupName || len(charts[o.Manifest]) > 0 || givenOnce(read, o) != nil) {
				giving.objects, giving.set = append(giving.objects, o), append(giving.set, i)
			}
		}
	}
	rewritten := sync.OnceValue(func() map[*unstructured.Unstructured]string {
		out := map[*unstructured.Unstructured]string{}
		defer func() { giving.indexed(out, read) }()
		var set declaration
		for n, o := range giving.objects {
			if i := giving.set[n]; n == 0 || i != giving.set[n-1] {
				set = sets[i].withBeside(beside(sets[i]))
			}
			if ctx.Err() != nil || !c.look(0) {
				break // the caller ends with its context
			}
			if why := c.rewritesRights(set, o); why != "" {
				out[o.Manifest] = why
			}
		}
		return out
	})
	return func(own declaration, a flux1.Parsed, namespace, account string) *rights {
		its := installs[identity(a.Manifest)]
		// ofAnother reports whether something is of another declaration of this agent: what one set declares, and
		// of plain manifests what lies beside another.
		ofAnother := func(set declaration) func(o flux1.Parsed) bool {
			if own.dir != "" || set.dir != "" {
				is := !own.unbuilt && own.dir != "" && set.dir != "" && set.dir != own.dir && its[place{dir: set.dir}]
				return func(flux1.Parsed) bool { return is }
			}
			return func(o flux1.Parsed) bool {
				other, ours := parted(o.File, a.File)
				return other != ours && its[place{file: other}]
			}
		}
		// ofOneEnvironment reports whether something lies with this agent in the folder of one
		// environment or cluster, which declares the agent once.
		once := map[string]bool{}
		ofOneEnvironment := func(set declaration, o flux1.Parsed) bool {
			dir := inEnvironment(o.File, a.File)
			holds := func(set declaration, o flux1.Parsed) bool {
				return below(o.File, dir) && (set.dir == "" || below(set.dir, dir))
			}
			if dir == "" || !holds(set, o) || !holds(own, a) {
				return false
			}
			is, known := once[dir]
			if !known {
				is = !slices.ContainsFunc(declares[identity(a.Manifest)], func(p place) bool {
					return (p.dir != own.dir || p.file != a.File) && (below(p.file, dir) || p.dir != "" && below(p.dir, dir))
				})
				once[dir] = is
			}
			return is
		}
		why, tooMany := rewritten(), fmt.Sprintf("one of %d objects that may bind accounts, which are too many to be looked at for each of so many agents,", len(giving.objects))
		// enough reports whether so many looks are left.
		enough := func(n int) bool {
			looks += n
			return looks <= maxBindingLooks && c.look(n)
		}
		untold := &rights{given: []givenToChart{{what: tooMany, more: true}}}
		if !enough(0) {
			return untold
		}
		of := giving.of(namespace, account)
		if !enough(len(of)) {
			return untold
		}
		applied, madeOf := isApplied(a), map[string]bool{} // the folders that an unbuilt one is made of
		if own.unbuilt {
			for _, r := range c.reached(own.dir) {
				madeOf[r.dir] = true
			}
		}
		var with []flux1.Parsed
		var perhaps []perhapsThere
		var another func(flux1.Parsed) bool
		for at, n := range of {
			o, i := giving.objects[n], giving.set[n]
			set := sets[i]
			if at == 0 || i != giving.set[of[at-1]] {
				another = ofAnother(set)
			}
			if set.dir == own.dir && set.dir != "" || madeOf[set.dir] || applied && isApplied(o) {
				with = append(with, o)
				continue
			}
			if another(o) {
				continue
			}
			environment := ofOtherEnvironment(o.File, a.File)
			if !environment && (set.dir == "" && own.dir == "" || ofOneEnvironment(set, o)) {
				with = append(with, o)
			} else {
				perhaps = append(perhaps, perhapsThere{o, environment})
			}
		}
		if !enough(perBinding * (len(with) + len(perhaps))) {
			return untold
		}
		r := rightsIn(with, perhaps, charts, c.agent.DefaultNamespace, read)
		r.rewrite(why, with, perhaps, c.agent.DefaultNamespace)
		r.given = append(r.given, tools...)
		return r
	}
}

// maxBindingLooks are the looks (see look) at objects that may bind the accounts of agents that a repository
// declares: one at each, and perBinding more where it counts. They leave some to all else, so that an agent
// beyond them is told, and not its rights. It is a variable for tests.
var maxBindingLooks = 10_000_000

const perBinding = 24

// decoded is what was made of objects, since each is looked at for every agent.
type decoded map[decodedAs]any

type decodedAs struct {
	u  *unstructured.Unstructured
	as reflect.Type
}

// remember makes something of an object, the first time that it is asked for.
func remember[T any](d decoded, u *unstructured.Unstructured, of func() T) T {
	key := decodedAs{u, reflect.TypeFor[T]()}
	made, ok := d[key].(T)
	if !ok {
		made = of()
		d[key] = made
	}
	return made
}

// givenOnce is what [givenIn] finds, but in pods, whose commands count for themselves.
func givenOnce(d decoded, o flux1.Parsed) *givenToChart {
	return remember(d, o.Manifest, func() *givenToChart {
		if len(podIn(o.Manifest)) > 0 {
			return nil
		}
		return givenIn(o)
	})
}

// typedOnce is what [typed] makes of an object; nil if it is none.
func typedOnce[T any](d decoded, u *unstructured.Unstructured) *T {
	return remember(d, u, func() *T {
		if made, ok := typed[T](u); ok {
			return made
		}
		return nil
	})
}

// parted are the files or folders at which two paths part; the same, where the paths are.
func parted(a, b string) (ofA, ofB string) {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	n := 0
	for n < min(len(x), len(y))-1 && x[n] == y[n] {
		n++
	}
	return path.Join(x[:n+1]...), path.Join(y[:n+1]...)
}

// environmentName is what a folder is called that holds what is for one environment of several.
var environmentName = regexp.MustCompile(`(?i)(?:^|[-_.])(?:dev|devel|development|test|testing|qa|ci|int|integration|uat|acc|acceptance|sandbox|sbx|demo|stage|staging|stg|preprod|pre-?production|canary|prod|prd|production|live|dr)(?:$|[-_.])`)

// environmentWords are words for an environment that has another, shorter one.
var environmentWords = map[string]string{
	"devel": "dev", "development": "dev", "testing": "test", "integration": "int", "acceptance": "acc", "sbx": "sandbox", "stage": "staging", "stg": "staging",
	"pre-production": "preprod", "preproduction": "preprod", "prd": "prod", "production": "prod",
}

// environmentOf is the name of a folder with one word for each environment.
func environmentOf(name string) string {
	return environmentName.ReplaceAllStringFunc(strings.ToLower(name), func(found string) string {
		word := strings.Trim(found, "-_.")
		return strings.Replace(found, word, cmp.Or(environmentWords[word], word), 1)
	})
}

// holdsClusters is what a folder is called that holds one folder for each of several clusters.
var holdsClusters = regexp.MustCompile(`(?i)^(?:clusters|environments|envs|overlays|regions)$`)

// ofOtherEnvironment reports whether a file lies in a folder that is called like an
// environment, and another file does not lie in one of that name; or whether the folders in
// which they lie stand side by side as those of clusters do.
func ofOtherEnvironment(file, other string) bool {
	its, ours := parted(file, other)
	if its != file && ours != other && holdsClusters.MatchString(path.Base(path.Dir(its))) && environmentOf(path.Base(its)) != environmentOf(path.Base(ours)) {
		return true
	}
	return slices.ContainsFunc(strings.Split(path.Dir(file), "/"), func(name string) bool {
		return environmentName.MatchString(name) && !slices.ContainsFunc(strings.Split(path.Dir(other), "/"), func(its string) bool { return environmentOf(its) == environmentOf(name) })
	})
}

// inEnvironment is the innermost folder of one environment, or cluster, that holds two files;
// empty if there is none.
func inEnvironment(a, b string) string {
	its, ours := parted(a, b)
	if its == ours {
		return "" // one file
	}
	for dir := path.Dir(its); dir != "."; dir = path.Dir(dir) {
		if environmentName.MatchString(path.Base(dir)) || holdsClusters.MatchString(path.Base(path.Dir(dir))) {
			return dir
		}
	}
	return ""
}

// rightsIn are the bindings and roles among declared objects, and the role that
// each cluster has from the beginning and keeps as it is; charts are those that objects among
// them have installed, and what their pods run, by the object. What names no namespace is in the default one, if that is known. What else binds an account in the cluster is not
// known from here.
func rightsIn(objects []flux1.Parsed, perhaps []perhapsThere, charts map[*unstructured.Unstructured][]givenToChart, defaultNamespace string, read decoded) *rights {
	r := &rights{roles: map[string]*rbacv1.Role{}, clusterRoles: map[string]*rbacv1.ClusterRole{"cluster-admin": {Rules: rulesOfClusterAdmin()}}, several: map[string]bool{}, harmless: map[string]bool{}, elsewhere: map[string]string{}}
	r.perhaps = &rights{roles: r.roles, clusterRoles: r.clusterRoles, places: map[string][]string{}}
	seen := map[string]*unstructured.Unstructured{}
	add := func(to *rights, o flux1.Parsed, elsewhere bool) {
		u := o.Manifest
		if u.GroupVersionKind().Group != rbacv1.GroupName {
			if g := givenOnce(read, o); g != nil {
				r.given = append(r.given, *g)
			}
			r.given = append(r.given, charts[u]...)
			return
		}
		key, binds := keyOfRole(u, defaultNamespace), isBinding(u)
		if role := typedOnce[rbacv1.ClusterRole](read, u); role != nil && !binds {
			before, had := r.harmless[key]
			r.harmless[key] = (before || !had) && role.AggregationRule == nil && changesNothing(role.Rules)
		}
		switch other := seen[key]; {
		case other != nil && equality.Semantic.DeepEqual(other.Object, u.Object):
			return
		case other != nil && !elsewhere:
			r.several[key] = true
		case elsewhere && !binds:
			r.elsewhere[key] = cmp.Or(r.elsewhere[key], fileLine(o.File, o.Line))
			return
		}
		if to == r || !binds {
			seen[key] = u
		} else {
			to.places[key] = append(to.places[key], fileLine(o.File, o.Line))
		}
		switch u.GetKind() {
		case "ClusterRole":
			if role := typedOnce[rbacv1.ClusterRole](read, u); role != nil {
				r.clusterRoles[role.Name] = role
			}
		case "Role":
			if role := typedOnce[rbacv1.Role](read, u); role != nil {
				r.roles[cmp.Or(role.Namespace, defaultNamespace)+"/"+role.Name] = role
			}
		case "ClusterRoleBinding":
			if b := typedOnce[rbacv1.ClusterRoleBinding](read, u); b != nil {
				to.clusterRoleBindings = append(to.clusterRoleBindings, *b)
			}
		case "RoleBinding":
			if b := typedOnce[rbacv1.RoleBinding](read, u); b != nil {
				to.roleBindings = append(to.roleBindings, inNamespace(b, defaultNamespace))
			}
		}
	}
	for _, o := range objects {
		add(r, o, false)
	}
	for _, o := range perhaps {
		add(r.perhaps, o.Parsed, o.elsewhere)
	}
	return r
}

// inNamespace is a binding in its namespace.
func inNamespace(b *rbacv1.RoleBinding, defaultNamespace string) rbacv1.RoleBinding {
	in := *b
	in.Namespace = cmp.Or(b.Namespace, defaultNamespace, unknownNamespace)
	return in
}

// fieldsOfRights are those by which a role or binding gives something to whom.
var fieldsOfRights = []string{"roleRef", "subjects", "rules", "aggregationRule"}

// givesOthers is what a patch names that changes what an installer gives its chart, or a Kustomization makes of others.
var givesOthers = regexp.MustCompile(`(?i)values|parameters|postRenderers|source|chart|patch|substitute|components`)

// rewritesRights says by which Kustomization of Flux v2 a role or binding of a set, or what holds one, gives what
// is not known; empty if none changes what it gives.
func (c *checkout) rewritesRights(set declaration, o flux1.Parsed) string {
	u := o.Manifest
	if u.GroupVersionKind().Group != rbacv1.GroupName {
		for _, k := range c.appliedBy(set, o) {
			patches, known := c.patchesBy(set, k.Parsed, o)
			if !known || slices.ContainsFunc(patches, func(p apiskustomize.Patch) bool {
				return !isInstaller(u) && !isHelmRelease1(u) && !isKustomization2(u) || givesOthers.MatchString(p.Patch)
			}) {
				return c.changesIt(k.Parsed, []string{"patches"}, c.unsureOf(set, k).why)
			}
		}
		return "" // a variable counts as anybody in what it holds
	}
	cluster := strings.HasPrefix(u.GetKind(), "Cluster")
	for _, k := range c.appliedBy(set, o) {
		target, _, _ := unstructured.NestedString(k.Manifest.Object, "spec", "targetNamespace")
		by := slices.DeleteFunc(c.changes(set, k.Parsed, o), func(field string) bool {
			switch field {
			case "targetNamespace": // which a subject may be put into, with its account
				subjects, _ := u.Object["subjects"].([]any)
				return cluster && !slices.ContainsFunc(subjects, func(x any) bool {
					m, _ := x.(map[string]any)
					return m["kind"] == rbacv1.ServiceAccountKind && m["namespace"] != target
				})
			case "images", "commonMetadata":
				return true
			case "kubeConfig": // what fluxd applies is of this cluster
				return c.byFluxd(set, o) != nil
			}
			return false
		})
		if len(by) > 0 {
			return c.changesIt(k.Parsed, by, c.unsureOf(set, k).why)
		}
	}
	open := strings.Contains(u.GetName()+u.GetNamespace(), "${")
	for _, field := range fieldsOfRights {
		open = open || holds(u.Object[field], "${")
	}
	if open && c.mayFill(set, o) {
		return "it holds a variable, and " + maySubstitute
	}
	return ""
}

// rewrite has it not known what roles and bindings give of which that is said why: a binding, or what holds one,
// may be of any account then.
func (r *rights) rewrite(why map[*unstructured.Unstructured]string, with []flux1.Parsed, perhaps []perhapsThere, defaultNamespace string) {
	r.rewritten = map[string]string{}
	add := func(o flux1.Parsed) {
		u, cause := o.Manifest, why[o.Manifest]
		if cause == "" {
			return
		}
		held := u.GroupVersionKind().Group != rbacv1.GroupName
		if !held {
			r.rewritten[keyOfRole(u, defaultNamespace)] = cause
		}
		if held || isBinding(u) {
			r.given = append(r.given, givenToChart{what: fmt.Sprintf("%s %s in %s is not known as it is written (%s)", u.GetKind(), u.GetName(), fileLine(o.File, o.Line), cause), more: true})
		}
	}
	for _, o := range with {
		add(o)
	}
	for _, o := range perhaps { // a binding of these is said to bind it if it does
		if held := o.Manifest.GroupVersionKind().Group != rbacv1.GroupName; held || !o.elsewhere && !isBinding(o.Manifest) {
			add(o.Parsed)
		}
	}
}

// roleKey names a role or binding.
func roleKey(kind, namespace, name string) string {
	if strings.HasPrefix(kind, "Cluster") {
		return kind + "/" + name
	}
	return kind + "/" + namespace + "/" + name
}

// keyOfRole is the roleKey of an object.
func keyOfRole(u *unstructured.Unstructured, defaultNamespace string) string {
	return roleKey(u.GetKind(), cmp.Or(u.GetNamespace(), defaultNamespace, unknownNamespace), u.GetName())
}

func isBinding(u *unstructured.Unstructured) bool { return strings.HasSuffix(u.GetKind(), "Binding") }

// unknownNamespace is that of what names none, where the default is not known.
const unknownNamespace = "(not known)"

// declaredFor are the bindings of an account, and why not all that they give is told,
// empty if it is: where each of them holds, and the rules of its role, which is declared as well and not
// put together from others in the cluster. Of several that differ and have one name it is not
// told which the cluster has, nor whether it has those that may be of another one.
func (r *rights) declaredFor(namespace, account string) (bindings []migrate.Binding, untold string) {
	var why []string
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	of := func(r *rights) []migrate.Binding {
		return r.of(namespace, account, func(string, string, string, metav1.ObjectMeta) bool { return false })
	}
	kindOf := func(b migrate.Binding) string {
		if b.Namespace == "" {
			return "ClusterRoleBinding"
		}
		return "RoleBinding"
	}
	said := map[string]bool{}
	for _, b := range of(r) {
		kind, role := kindOf(b), roleKey(b.Role.Kind, b.Namespace, b.Role.Name)
		key := roleKey(kind, b.Namespace, b.Name)
		missing := b.Role.Kind == "ClusterRole" && r.clusterRoles[b.Role.Name] == nil || b.Role.Kind != "ClusterRole" && r.roles[b.Namespace+"/"+b.Role.Name] == nil
		switch {
		case r.rewritten[key] != "": // which is said of all
			said[key] = true
			continue
		case r.rewritten[role] != "":
			say("%s %s, which %s %s gives it, is not known as it is written (%s)", b.Role.Kind, b.Role.Name, kind, b.Name, r.rewritten[role])
			continue
		case r.saysNothing(b):
		case b.Namespace == unknownNamespace:
			say("in which namespace %s %s holds is not known", kind, b.Name)
			continue
		case r.several[key], r.several[role]:
			said[key] = true
			say("%s %s, or the role that it gives, is declared in several ways", kind, b.Name)
			continue
		case missing && r.elsewhere[role] != "":
			say("%s %s, which %s %s gives it, is declared in %s, which may be for another cluster", b.Role.Kind, b.Role.Name, kind, b.Name, r.elsewhere[role])
		case missing:
			say("%s %s, which %s %s gives it, is not declared there", b.Role.Kind, b.Role.Name, kind, b.Name)
		case b.Aggregated:
			say("%s %s is made of other roles in the cluster", b.Role.Kind, b.Role.Name)
		}
		bindings = append(bindings, b)
	}
	for _, g := range r.given {
		if g.mayBind(namespace, account) {
			say("%s and may bind it", g.what)
		}
	}
	if r.perhaps == nil {
		return bindings, firstFew(why)
	}
	for _, b := range of(r.perhaps) {
		key := roleKey(kindOf(b), b.Namespace, b.Name)
		if !said[key] && !r.saysNothing(b) {
			said[key] = true
			say("%s %s in %s binds it, which may be for another cluster", kindOf(b), b.Name, strings.Join(r.perhaps.places[key], " or "))
		}
	}
	return bindings, firstFew(why)
}

// saysNothing reports whether a binding says nothing about one account: it is of everybody,
// and lets nobody change anything, as do all roles of the name that are declared.
func (r *rights) saysNothing(b migrate.Binding) bool {
	return ofEverybody(b.Group) && (readsOrAsks(b.Role) || r.harmless[roleKey(b.Role.Kind, b.Namespace, b.Role.Name)])
}

// bindsItself reports whether some of the bindings are of more than everybody: an agent is
// bound by one, so that without any the one that is meant was not read.
func bindsItself(bindings []migrate.Binding) bool {
	return slices.ContainsFunc(bindings, func(b migrate.Binding) bool { return !ofEverybody(b.Group) })
}

// readsOrAsks reports whether a role is one that each cluster has from the beginning, and that
// lets nobody change anything: to read, or to ask what the asker may do.
func readsOrAsks(role rbacv1.RoleRef) bool {
	return role.Kind == "ClusterRole" && slices.Contains([]string{"view", "system:basic-user", "system:discovery", "system:public-info-viewer",
		"system:service-account-issuer-discovery", "system:auth-delegator", "system:monitoring", "system:image-puller"}, role.Name)
}
