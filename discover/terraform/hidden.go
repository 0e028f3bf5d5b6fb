package terraform

import (
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"sigs.k8s.io/yaml"
)

// hiddenArguments are those that the providers themselves mark as sensitive,
// whatever the configuration says: in blocks, or in lists of objects, after
// the dot.
var hiddenArguments = map[string][]string{
	"helm_release":                {"set_sensitive.value", "set_wo.value", "repository_password"},
	"data.helm_template":          {"set_sensitive.value", "repository_password"},
	"data.helm_repository":        {"password"},
	"helm_repository":             {"password"},
	"data.kubectl_path_documents": {"sensitive_vars"},
	"kubernetes_secret":           {"data", "binary_data", "data_wo", "binary_data_wo"},
	"kubernetes_secret_v1":        {"data", "binary_data", "data_wo", "binary_data_wo"},
}

// hiddenProviderArguments are the credentials in provider blocks.
var hiddenProviderArguments = []string{"password", "token", "client_key", "secret_key", "access_key", "client_secret"}

// hide marks what the provider of r keeps secret.
func (r *Resource) hide() {
	for _, path := range hiddenArguments[r.blockType()] {
		name, inner, nested := strings.Cut(path, ".")
		if a := r.Body.Attributes[name]; a != nil {
			if nested {
				a.hideIn(inner)
			} else {
				a.hide()
			}
		}
		for _, b := range r.Body.All(name) {
			for n, a := range b.Body.Attributes {
				if !nested || n == inner {
					a.hide()
				}
			}
		}
	}
	if r.blockType() == "data.terraform_remote_state" {
		r.hideBackend()
	}
	if r.Type == "kubernetes_manifest" || r.Type == "kubectl_manifest" {
		r.hideManifest()
	}
}

// hideBackend hides what the configuration of a backend says beside the place
// of the state: it is credentials, or may be.
func (r *Resource) hideBackend() {
	if a := r.Body.Attributes["config"]; a != nil {
		v, marks := a.raw.Unmark()
		if v.IsKnown() && !v.IsNull() && v.CanIterateElements() && (v.Type().IsObjectType() || v.Type().IsMapType()) {
			fields := v.AsValueMap()
			for k := range fields {
				if !slices.Contains(backendPlace, k) && k != "workspaces" || k == "address" {
					fields[k] = fields[k].Mark(secret{"config." + k})
				}
			}
			w := cty.ObjectVal(fields).WithMarks(marks)
			a.raw, a.Value, a.hidden = &w, redact(w), true
		} else {
			a.hide()
		}
	}
	for _, b := range r.Body.All("config") {
		for k, a := range b.Body.Attributes {
			if !slices.Contains(backendPlace, k) || k == "address" {
				a.hide()
			}
		}
	}
}

// hideManifest hides the whole manifest of a Secret, and a text that may hold one.
func (r *Resource) hideManifest() {
	for _, name := range []string{"yaml_body", "manifest"} {
		a := r.Body.Attributes[name]
		if a == nil {
			continue
		}
		v, marks := a.raw.UnmarkDeep()
		switch ty := v.Type(); {
		case ty == cty.String && v.IsKnown() && !v.IsNull() && strings.Contains(v.AsString(), "Secret"):
			of, plain := r.objectOf(v.AsString())
			if plain {
				continue
			}
			switch {
			case len(secretsOf(marks)) == 0:
				a.object = of
			case of.kind == "Secret":
				a.object.kind = of.kind
			}
			a.hide()
		case v.IsKnown() && !v.IsNull() && ty.IsObjectType() && ty.HasAttribute("kind") && isText(v.GetAttr("kind"), "Secret"):
			a.object.kind = "Secret"
			a.object.name, a.object.namespace = textAt(*a.raw, "metadata", "name"), textAt(*a.raw, "metadata", "namespace")
			a.hide()
		}
	}
}

// hiddenObject is what may be told of an object whose manifest is hidden; what is not known
// is empty.
type hiddenObject struct{ kind, name, namespace string }

// objectOf is the object of a manifest; empty if it is not certain which it is. plain is
// true if nothing in it speaks of a Secret but comments, and the field imagePullSecrets
// by its name.
func (r *Resource) objectOf(manifest string) (of hiddenObject, plain bool) {
	l := r.scope.l
	var tree map[string]any
	if strings.Contains(manifest, "\n---") || checkYAML(manifest, l.limits.Nesting) != nil || l.budget.afford(documentWork(manifest)) != nil ||
		yaml.Unmarshal([]byte(manifest), &tree) != nil {
		return of, false
	}
	of.kind, _ = tree["kind"].(string)
	metadata, _ := tree["metadata"].(map[string]any)
	of.name, _ = metadata["name"].(string)
	of.namespace, _ = metadata["namespace"].(string)
	return of, of.kind != "" && !speaksOfSecret(tree)
}

// textAt is a text at a path of an object; empty if it is not known, or secret.
func textAt(v cty.Value, path ...string) string {
	for _, step := range path {
		if !v.IsKnown() || v.IsNull() || v.IsMarked() || !v.Type().IsObjectType() || !v.Type().HasAttribute(step) {
			return ""
		}
		v = v.GetAttr(step)
	}
	if v.IsMarked() || v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
		return ""
	}
	return v.AsString()
}

func speaksOfSecret(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "Secret")
	case []any:
		return slices.ContainsFunc(v, speaksOfSecret)
	case map[string]any:
		for name, e := range v {
			if name != "imagePullSecrets" && strings.Contains(name, "Secret") || speaksOfSecret(e) {
				return true
			}
		}
	}
	return false
}

func isText(v cty.Value, s string) bool {
	return v.Type() == cty.String && v.IsKnown() && !v.IsNull() && v.AsString() == s
}

func (a *Attribute) hide() {
	v := a.raw.Mark(secret{a.Name})
	a.raw, a.Value, a.hidden = &v, redact(v), true
}

// hideIn hides one key of each object of a list.
func (a *Attribute) hideIn(key string) {
	v, marks := a.raw.Unmark()
	if !v.IsKnown() || v.IsNull() {
		return
	}
	if ty := v.Type(); !ty.IsTupleType() && !ty.IsListType() {
		a.hide()
		return
	}
	var out []cty.Value
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		e, m := e.Unmark()
		if e.IsKnown() && !e.IsNull() && (e.Type().IsObjectType() || e.Type().IsMapType()) {
			fields := e.AsValueMap()
			if fields[key] != cty.NilVal {
				fields[key] = fields[key].Mark(secret{a.Name})
			}
			e = cty.ObjectVal(fields)
		} else {
			e = e.Mark(secret{a.Name})
		}
		out = append(out, e.WithMarks(m))
	}
	w := cty.TupleVal(out).WithMarks(marks)
	a.raw, a.Value, a.hidden = &w, redact(w), true
}

// hideCredentials hides the credentials of a provider block.
func (b *Body) hideCredentials() {
	for n, a := range b.Attributes {
		v, marks := a.raw.Unmark()
		switch {
		case slices.Contains(hiddenProviderArguments, n):
			a.hide()
		case v.IsKnown() && !v.IsNull() && v.Type().IsObjectType():
			fields := v.AsValueMap()
			for _, k := range hiddenProviderArguments {
				if fields[k] != cty.NilVal {
					fields[k] = fields[k].Mark(secret{n + "." + k})
				}
			}
			if len(fields) > 0 {
				w := cty.ObjectVal(fields).WithMarks(marks)
				a.raw, a.Value, a.hidden = &w, redact(w), true
			}
		}
	}
	for _, n := range b.Blocks {
		n.Body.hideCredentials()
	}
}

// hideSecret makes what a Secret holds sensitive.
func (n *Node) hideSecret() {
	if n == nil || n.Kind != Map {
		return
	}
	for _, k := range []string{"data", "stringData"} {
		if x := n.Map[k]; x != nil {
			n.Map[k] = &Node{Kind: Sensitive, Origin: x.Origin}
		}
	}
}
