package discover

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// Bindings that other objects hold, and of which somebody makes them, or changes them, in the cluster.

// mayGiveRights reports whether an object is a role or a binding, may hold one as a value
// of a chart that it has installed or of what it patches, is one of which somebody makes bindings, or by which
// somebody changes them, or holds one, or has pods, which may.
func mayGiveRights(u *unstructured.Unstructured) bool {
	return u.GroupVersionKind().Group == rbacv1.GroupName || isHelmRelease1(u) || isInstaller(u) || isKustomization2(u) || bindsSubjects(u) || len(podIn(u)) > 0 ||
		changesBindings(u) || holdsBinding(u)
}

// makesNothing are kinds of objects that somebody has to read before anything is made of what they hold.
var makesNothing = []string{"ConfigMap", "Secret", "CustomResourceDefinition"}

// roleRefInText is one of a binding in a text.
var roleRefInText = regexp.MustCompile(`(?m)^[\s-]*["']?roleRef["']?\s*:`)

// holdsBinding reports whether a roleRef stands anywhere in what is made of an object, as of a binding:
// a Template of OpenShift, an Object of Crossplane, a ResourceSet, a policy of Kyverno.
func holdsBinding(u *unstructured.Unstructured) bool {
	var binds func(v any) bool
	binds = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				if k == "roleRef" || binds(e) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(v, binds)
		case string:
			return strings.Contains(v, "roleRef") && roleRefInText.MatchString(v)
		}
		return false
	}
	return !slices.Contains(makesNothing, u.GetKind()) && !compares(u) && slices.ContainsFunc(madeOf(u), binds)
}

// compares reports whether an object is of those by which Gatekeeper holds others against what it allows,
// whatever its kind is called.
func compares(u *unstructured.Unstructured) bool {
	return u.GroupVersionKind().Group == "constraints.gatekeeper.sh"
}

// madeOf is what of an object may come into the cluster: of a policy of Kyverno what it generates, and what it
// changes others to, without what it compares with; of a Kustomization the patches as they are read.
func madeOf(u *unstructured.Unstructured) (out []any) {
	switch {
	case u.GroupVersionKind().Group == "kyverno.io":
		for _, rule := range rulesOf(u) {
			out = append(out, rule["generate"], rule["mutate"])
		}
		return out
	case isKustomization2(u):
		spec, _ := u.Object["spec"].(map[string]any)
		for _, field := range sortedNames(spec) {
			if !slices.Contains(patchesFields, field) {
				out = append(out, spec[field])
				continue
			}
			for _, x := range asList(spec[field]) {
				patch := x // of patchesStrategicMerge
				if m, ok := x.(map[string]any); ok && field != "patchesStrategicMerge" {
					patch = m["patch"]
				}
				out = append(out, patchRead(patch)...)
			}
		}
		return out
	}
	for _, field := range sortedNames(u.Object) {
		if field != "metadata" && field != "status" {
			out = append(out, u.Object[field])
		}
	}
	return out
}

// patchesFields are those of a Kustomization that hold patches, the last two of before v1.
var patchesFields = []string{"patches", "patchesStrategicMerge", "patchesJson6902"}

// patchRead is what the text of a patch says, or the text, where it cannot be read.
func patchRead(patch any) (out []any) {
	text, isText := patch.(string)
	if !isText || len(text) > maxValueText {
		return []any{patch}
	}
	for _, document := range documentEnd.Split(text, -1) {
		var read any
		if sigsyaml.Unmarshal([]byte(document), &read) != nil {
			return []any{patch}
		}
		out = append(out, read)
	}
	return out
}

// rulesOf are the rules of a policy of Kyverno.
func rulesOf(u *unstructured.Unstructured) (out []map[string]any) {
	rules, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "rules")
	for _, x := range asList(rules) {
		if rule, ok := x.(map[string]any); ok {
			out = append(out, rule)
		}
	}
	return out
}

// bindingKinds are the kinds and resources of bindings.
var bindingKinds = []string{"ClusterRoleBinding", "RoleBinding", "clusterrolebindings", "rolebindings"}

// ofBindingKind reports whether a kind or resource, as a policy names it (group/version/kind, with wildcards), may
// be one of bindings.
func ofBindingKind(name string) bool {
	return filledIn.MatchString(name) || slices.ContainsFunc(bindingKinds, func(kind string) bool {
		is, err := path.Match(path.Base(name), kind)
		return is || err != nil
	})
}

// changesBindings reports whether a policy has its operator, or the API server, make or change bindings, to what
// is not read of it: of Kyverno, Gatekeeper or Kubernetes itself.
func changesBindings(u *unstructured.Unstructured) bool {
	// named reports whether one of the texts under a key is a kind, or resource, of bindings.
	var named func(v any, key string) bool
	named = func(v any, key string) bool {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				text, _ := e.(string)
				if k == key && (ofBindingKind(text) || slices.ContainsFunc(asList(e), func(x any) bool {
					text, _ := x.(string)
					return ofBindingKind(text)
				})) || named(e, key) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(v, func(e any) bool { return named(e, key) })
		}
		return false
	}
	// bindsBy reports whether a change names what binds by.
	bindsBy := func(v any) bool { return holds(v, "subjects") || holds(v, "roleRef") }
	generates := func(v any) bool {
		its, _ := v.(map[string]any)
		data, _ := its["data"].(map[string]any)
		text, _ := its["kind"].(string)
		clones, _ := its["cloneList"].(map[string]any)
		return text != "" && ofBindingKind(text) && data["roleRef"] == nil || named(clones, "kinds") // data is read
	}
	spec, _ := u.Object["spec"].(map[string]any)
	switch kind := u.GetKind(); u.GroupVersionKind().Group {
	case "kyverno.io":
		return slices.ContainsFunc(rulesOf(u), func(rule map[string]any) bool {
			generate, _ := rule["generate"].(map[string]any)
			mutate, _ := rule["mutate"].(map[string]any)
			return generates(generate) || slices.ContainsFunc(asList(generate["foreach"]), generates) ||
				bindsBy(mutate) && (named(rule["match"], "kinds") || named(mutate["targets"], "kind"))
		})
	case "mutations.gatekeeper.sh":
		return bindsBy(spec) && named(spec["applyTo"], "kinds")
	case "policies.kyverno.io", "admissionregistration.k8s.io":
		names := named(spec, "resources") || slices.ContainsFunc(bindingKinds, func(kind string) bool { return holds(spec, kind) })
		return names && (strings.Contains(kind, "Mutating") && bindsBy(spec) || strings.Contains(kind, "Generating"))
	}
	return false
}

// ofBindings is what a kind, or its group, is called of which an operator makes bindings, as
// RBACDefinition of rbacmanager.reactiveops.io.
var ofBindings = regexp.MustCompile(`(?i)rbac|rolebinding`)

// bindsSubjects reports whether an object is of such a kind.
func bindsSubjects(u *unstructured.Unstructured) bool {
	gvk := u.GroupVersionKind()
	return gvk.Group != rbacv1.GroupName && !compares(u) && ofBindings.MatchString(gvk.Group+" "+gvk.Kind)
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

// isHeldBinding reports whether something is a binding: by its kind, or without one, as Kyverno generates it.
func isHeldBinding(v map[string]any) bool {
	kind, _ := v["kind"].(string)
	if _, isRole := v["roleRef"].(map[string]any); kind == "" && isRole {
		return slices.ContainsFunc([]string{"subjects", "userNames", "groupNames"}, func(field string) bool {
			text, _ := v[field].(string)
			return len(asList(v[field])) > 0 || filledIn.MatchString(text)
		})
	}
	return v["roleRef"] != nil && bindingInText.MatchString(kind)
}

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
	bind := func(v map[string]any) {
		b, ok := typed[rbacv1.ClusterRoleBinding](&unstructured.Unstructured{Object: v})
		of := []any{v["subjects"], v["userNames"], v["groupNames"]} // the last two of OpenShift's own
		g.more = g.more || !ok || filledIn.MatchString(fmt.Sprint(of...))
		for _, s := range b.Subjects {
			s.Kind = strings.TrimPrefix(s.Kind, "System") // as OpenShift calls them
			g.subjects = append(g.subjects, s)
		}
		for i, kind := range []string{rbacv1.UserKind, rbacv1.GroupKind} {
			for _, x := range asList(of[1+i]) {
				if name, isText := x.(string); isText {
					g.subjects = append(g.subjects, rbacv1.Subject{Kind: kind, Name: name})
				}
			}
		}
	}
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			kind, _ := v["kind"].(string)
			name, _ := v["name"].(string)
			switch {
			case isHeldBinding(v):
				bind(v)
				return
			case kind == rbacv1.ServiceAccountKind && v["name"] != nil && v["apiVersion"] == nil:
				g.filled = append(g.filled, terraform.Subject{Kind: node(kind), Name: node(v["name"]), Namespace: node(v["namespace"])})
				return
			case strings.TrimPrefix(kind, "System") == rbacv1.GroupKind && ofAccounts(name) && v["apiVersion"] == nil:
				g.filled = append(g.filled, terraform.Subject{Kind: node(rbacv1.GroupKind), Name: node(name)})
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
	changes := changesBindings(u)
	if g.more = changes; isHeldBinding(u.Object) {
		bind(u.Object)
	} else {
		for _, v := range madeOf(u) {
			walk(v)
		}
	}
	g.what = resourceName(u) + " in " + fileLine(o.File, o.Line)
	has := " holds"
	if isHelmRelease1(u) || isInstaller(u) {
		has = " gives its chart"
	}
	switch {
	case changes:
		g.what += " has bindings made or changed, to what is not read,"
	case isHeldBinding(u.Object) && (g.more || len(g.subjects) > 0):
		g.what += " is a binding, which is not read,"
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
