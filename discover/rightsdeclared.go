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

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// rightsFor are the roles and bindings that count for an agent which an object of a set declares.
type rightsFor func(set declaration, agent flux1.Parsed) *rights

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
	installs, declares := map[string][]place{}, map[string][]place{} // by identity: agents that are built, and what is called like an agent
	together := map[string]*unstructured.Unstructured{}              // what the described agent applies
	if len(c.agent.Git.Paths) > 0 {
		for _, o := range c.applied {
			together[identity(o.Manifest)] = o.Manifest
		}
	}
	// isApplied goes by what an object gives to whom: a build may say other things of it.
	isApplied := func(o flux1.Parsed) bool {
		m := together[identity(o.Manifest)]
		return m != nil && !slices.ContainsFunc(fieldsOfRights, func(field string) bool {
			return !equality.Semantic.DeepEqual(m.Object[field], o.Manifest.Object[field])
		})
	}
	giving := make([][]flux1.Parsed, len(sets)) // of each set, what may give rights
	count, looks, read := 0, 0, decoded{}
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
				installs[id] = append(installs[id], at)
			}
			if places, is := declares[id]; is {
				declares[id] = append(places, at)
			}
			if mayGiveRights(o.Manifest) && (o.Manifest.GroupVersionKind().Group == rbacv1.GroupName || len(charts[o.Manifest]) > 0 || givenOnce(read, o) != nil) {
				giving[i] = append(giving[i], o)
				count++
			}
		}
	}
	rewritten := sync.OnceValue(func() map[*unstructured.Unstructured]string {
		out := map[*unstructured.Unstructured]string{}
		for i, set := range sets {
			if len(giving[i]) == 0 {
				continue
			}
			set = set.withBeside(beside(set))
			for _, o := range giving[i] {
				if ctx.Err() != nil || !c.look(0) {
					return out // the caller ends with its context
				}
				if why := c.rewritesRights(set, o); why != "" {
					out[o.Manifest] = why
				}
			}
		}
		return out
	})
	return func(own declaration, a flux1.Parsed) *rights {
		its := installs[identity(a.Manifest)]
		// ofAnother reports whether something is of another declaration of this agent: what one set declares, and
		// of plain manifests what lies beside another.
		ofAnother := func(set declaration) func(o flux1.Parsed) bool {
			if own.dir != "" || set.dir != "" {
				is := !own.unbuilt && own.dir != "" && set.dir != "" && set.dir != own.dir && slices.ContainsFunc(its, func(p place) bool { return p.dir == set.dir })
				return func(flux1.Parsed) bool { return is }
			}
			return func(o flux1.Parsed) bool {
				c.look(len(its) / 2)
				return slices.ContainsFunc(its, func(p place) bool {
					other, ours := parted(p.file, a.File)
					return p.dir == "" && other != ours && below(o.File, other) && !below(o.File, ours)
				})
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
		if looks += count; looks > maxBindingLooks {
			return &rights{given: []givenToChart{{what: fmt.Sprintf("one of %d objects that may bind accounts, which are too many to be looked at for each of so many agents,", count), more: true}}}
		}
		applied, madeOf := isApplied(a), map[string]bool{} // the folders that an unbuilt one is made of
		if own.unbuilt {
			for _, r := range c.reached(own.dir) {
				madeOf[r.dir] = true
			}
		}
		var with []flux1.Parsed
		var perhaps []perhapsThere
		for i, set := range sets {
			another := ofAnother(set)
			for _, o := range giving[i] {
				environment := ofOtherEnvironment(o.File, a.File)
				switch {
				case set.dir == own.dir && set.dir != "", madeOf[set.dir], applied && isApplied(o):
					with = append(with, o)
				case another(o):
				case !environment && (set.dir == "" && own.dir == "" || ofOneEnvironment(set, o)):
					with = append(with, o)
				default:
					perhaps = append(perhaps, perhapsThere{o, environment})
				}
			}
		}
		r := rightsIn(with, perhaps, charts, c.agent.DefaultNamespace, read)
		r.rewrite(rewritten(), with, perhaps, c.agent.DefaultNamespace)
		r.given = append(r.given, tools...)
		return r
	}
}

// maxBindingLooks is how often an object that may bind accounts is looked at for an agent that a
// repository declares, as for a thousand agents with a binding each, where nobody has more than some dozens.
// An agent beyond it is told, and not its rights. It is a variable for tests.
var maxBindingLooks = 1_000_000

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

// mayGiveRights reports whether an object is a role or a binding, may hold one as a value
// of a chart that it has installed, is one of which somebody makes bindings, or holds one, or has pods, which may.
func mayGiveRights(u *unstructured.Unstructured) bool {
	return u.GroupVersionKind().Group == rbacv1.GroupName || isHelmRelease1(u) || isInstaller(u) || bindsSubjects(u) || len(podIn(u)) > 0 || holdsBinding(u)
}

// makesNothing are kinds of objects that somebody has to read before anything is made of what they hold.
var makesNothing = []string{"ConfigMap", "Secret", "CustomResourceDefinition"}

// roleRefInText is one of a binding in a text.
var roleRefInText = regexp.MustCompile(`(?m)^[\s-]*["']?roleRef["']?\s*:`)

// holdsBinding reports whether a roleRef stands anywhere in an object, as of a binding that somebody makes of it:
// a Template of OpenShift, an Object of Crossplane, a ResourceSet, a policy of Kyverno.
func holdsBinding(u *unstructured.Unstructured) bool {
	var holds func(v any) bool
	holds = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				if k == "roleRef" || holds(e) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(v, holds)
		case string:
			return strings.Contains(v, "roleRef") && roleRefInText.MatchString(v)
		}
		return false
	}
	switch group := u.GroupVersionKind().Group; {
	case slices.Contains(makesNothing, u.GetKind()), isKustomization2(u), group == "constraints.gatekeeper.sh": // of the patches of a Kustomization rewritesRights tells
		return false
	case group == "kyverno.io": // which else compares with it
		rules, _, _ := unstructured.NestedSlice(u.Object, "spec", "rules")
		return slices.ContainsFunc(rules, func(rule any) bool {
			its, _ := rule.(map[string]any)
			return holds(its["generate"]) || holds(its["mutate"])
		})
	}
	return holds(u.Object)
}

// ofBindings is what a kind, or its group, is called of which an operator makes bindings, as
// RBACDefinition of rbacmanager.reactiveops.io.
var ofBindings = regexp.MustCompile(`(?i)rbac|rolebinding`)

// bindsSubjects reports whether an object is of such a kind.
func bindsSubjects(u *unstructured.Unstructured) bool {
	gvk := u.GroupVersionKind()
	return gvk.Group != rbacv1.GroupName && ofBindings.MatchString(gvk.Group+" "+gvk.Kind)
}

// givenToChart is whom a chart may bind that an object has installed, as what says: by the
// bindings that it is given, in namespace where they name none; filled are those who are subjects
// in its templates, by its values, or in its values alone. There may be more.
type givenToChart struct {
	what, namespace string
	subjects        []rbacv1.Subject
	filled          []terraform.Subject
	more            bool
}

// mayBind reports whether an account may be bound.
func (g *givenToChart) mayBind(namespace, account string) bool {
	_, binds := bindingSubject(g.subjects, g.namespace, namespace, account)
	d := &declared{Flux1Agent: migrate.Flux1Agent{Namespace: namespace, ServiceAccount: account}}
	may, _, _ := d.boundBy(&terraform.Grant{Subjects: g.filled})
	return binds || may || g.more
}

// filledIn is what stands where somebody fills in a value: Helm, Flux v2, a parameter of OpenShift or Tekton, an
// input of a ResourceSet.
var filledIn = regexp.MustCompile(`\{\{|\$[{(]|<<`)

// notBound are what is called that names an account to change or to compare it.
var notBound = []string{"target", "targets", "ignoreDifferences", "healthChecks"}

// givenIn looks for bindings, and for subjects of some, among what an object gives a chart, or
// what makes bindings of it.
func givenIn(o flux1.Parsed) *givenToChart {
	u := o.Manifest
	g := &givenToChart{namespace: u.GetNamespace()}
	node := func(v any) *terraform.Node {
		text, isText := v.(string)
		if !isText || filledIn.MatchString(text) {
			return &terraform.Node{Kind: terraform.Unknown}
		}
		return &terraform.Node{Kind: terraform.Scalar, Scalar: text}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			kind, _ := v["kind"].(string)
			role, _ := v["roleRef"].(map[string]any)
			switch {
			case bindingInText.MatchString(kind) && v["roleRef"] != nil, kind == "" && role != nil && len(asList(v["subjects"])) > 0: // as Kyverno generates it
				b, ok := typed[rbacv1.ClusterRoleBinding](&unstructured.Unstructured{Object: v})
				g.more = g.more || !ok || filledIn.MatchString(fmt.Sprint(v["subjects"]))
				if ok {
					g.subjects = append(g.subjects, b.Subjects...)
				}
				walk(v["userNames"]) // of OpenShift's own
				g.more = g.more || len(asList(v["groupNames"])) > 0
				return
			case kind == rbacv1.ServiceAccountKind && v["name"] != nil && v["apiVersion"] == nil:
				g.filled = append(g.filled, terraform.Subject{Kind: node(kind), Name: node(v["name"]), Namespace: node(v["namespace"])})
				return
			}
			for _, k := range sortedNames(v) {
				if !slices.Contains(notBound, k) {
					walk(v[k])
				}
			}
		case []any:
			var words []string
			for _, e := range v {
				word, _ := e.(string)
				words = append(words, word)
				walk(e)
			}
			if i := slices.Index(words, "--serviceaccount"); i >= 0 { // its value is the next
				g.filled = append(g.filled, terraform.BoundByKubectl(strings.Join(words[i:], " "))...)
			}
		case string:
			if account, is := strings.CutPrefix(v, "system:serviceaccount:"); is {
				if namespace, name, ok := strings.Cut(account, ":"); ok {
					g.filled = append(g.filled, terraform.Subject{Kind: node(rbacv1.ServiceAccountKind), Name: node(name), Namespace: node(namespace)})
				}
			}
			g.more = g.more || bindingInText.MatchString(v) && strings.Contains(v, "roleRef")
			g.filled = append(g.filled, terraform.BoundByKubectl(v)...)
			var given any
			if strings.Contains(v, rbacv1.ServiceAccountKind) && strings.Contains(v, "kind") && len(v) <= maxValueText && sigsyaml.Unmarshal([]byte(v), &given) == nil {
				if _, isText := given.(string); !isText { // values as a text
					walk(given)
				}
			}
		}
	}
	for _, field := range sortedNames(u.Object) {
		if field != "metadata" && field != "status" {
			walk(u.Object[field])
		}
	}
	g.what = resourceName(u) + " in " + fileLine(o.File, o.Line)
	has := " holds"
	if isHelmRelease1(u) || isInstaller(u) {
		has = " gives its chart"
	}
	switch {
	case g.more || len(g.subjects) > 0:
		g.what += has + " bindings, which are not read,"
	case len(g.filled) > 0 && bindsSubjects(u):
		g.what += " is made into bindings of its subjects, which are not read,"
	case len(g.filled) > 0:
		g.what += has + " subjects, of which it is not known to what they are bound,"
	default:
		return nil
	}
	return g
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
				in := *b
				in.Namespace = cmp.Or(b.Namespace, defaultNamespace, unknownNamespace)
				to.roleBindings = append(to.roleBindings, in)
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

// fieldsOfRights are those by which a role or binding gives something to whom.
var fieldsOfRights = []string{"roleRef", "subjects", "rules", "aggregationRule"}

// rewritesRights says by which Kustomization of Flux v2 a role or binding of a set gives what is not known;
// empty if none changes what it gives.
func (c *checkout) rewritesRights(set declaration, o flux1.Parsed) string {
	u := o.Manifest
	if u.GroupVersionKind().Group != rbacv1.GroupName {
		return ""
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

// rewrite has it not known what roles and bindings give of which that is said why: a binding may be of
// any account then.
func (r *rights) rewrite(why map[*unstructured.Unstructured]string, with []flux1.Parsed, perhaps []perhapsThere, defaultNamespace string) {
	r.rewritten = map[string]string{}
	add := func(o flux1.Parsed) {
		u, cause := o.Manifest, why[o.Manifest]
		if cause == "" {
			return
		}
		if r.rewritten[keyOfRole(u, defaultNamespace)] = cause; isBinding(u) {
			r.given = append(r.given, givenToChart{what: fmt.Sprintf("%s %s in %s is not known as it is written (%s)", u.GetKind(), u.GetName(), fileLine(o.File, o.Line), cause), more: true})
		}
	}
	for _, o := range with {
		add(o)
	}
	for _, o := range perhaps { // a binding of these is said to bind it if it does
		if !o.elsewhere && !isBinding(o.Manifest) {
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
