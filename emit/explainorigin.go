package emit

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// given names the settings of the agents that decide a field: those of a row,
// and those that their ledger says are carried to it. Where none is given, the
// default of fluxd holds.
func given(o writtenObject, row fieldRow, path string) (from []string) {
	var silent []string
	for _, a := range o.agents {
		told := false
		for _, s := range a.Settings {
			if !slices.ContainsFunc(row.settings, func(flag string) bool { return isOf(s.Name, flag) }) && !carriedTo(s, o.object.GetKind(), path) {
				continue
			}
			told = true
			for _, place := range s.From {
				from = append(from, fmt.Sprintf("%s %s=%s (%s)", a.ID, s.Name, s.Value, origin(place)))
			}
		}
		for _, name := range row.settings {
			f := flux1.FlagNamed(name)
			switch {
			case told || f == nil:
			case name == "git-branch" && a.Git.Branch != "" && a.Git.Branch != f.Default:
				from = append(from, fmt.Sprintf("%s gives no --%s: the branch that is checked out, %s", a.ID, name, a.Git.Branch))
			case f.Default != "":
				from = append(from, fmt.Sprintf("%s does not give --%s: fluxd's default, %s", a.ID, name, f.Default))
			default:
				silent = append(silent, fmt.Sprintf("%s does not give --%s", a.ID, name))
			}
		}
	}
	if len(from) == 0 && row.of == nil {
		return silent
	}
	return from
}

// isOf reports whether a setting is a flag, or the chart value that gives it.
func isOf(setting, flag string) bool {
	f := flux1.FlagNamed(flag)
	return setting == "--"+flag || f != nil && f.Chart != "" && setting == f.Chart
}

// carriedTo reports whether the ledger says that a setting is carried to a
// field of objects of a kind, or to what holds the field.
func carriedTo(s migrate.Setting, kind, field string) bool {
	to, ok := strings.CutPrefix(s.To, kind+".")
	// As in "Kustomization.spec.path and spec.patches".
	return ok && s.Fate == migrate.Carried && slices.ContainsFunc(strings.Split(to, " and "), func(at string) bool {
		at = "." + at
		return field == at || strings.HasPrefix(field, at+".") || strings.HasPrefix(field, at+"[")
	})
}

// deployed names the agents that an object is for.
func (e *explainer) deployed(o writtenObject, _ string) (from []string) {
	for _, a := range o.agents {
		from = append(from, declared(a)...)
	}
	return from
}

// declared names an agent by what runs it and what declares it.
func declared(a *migrate.Flux1Agent) []string {
	reads := "reads"
	if a.Workload != "" {
		reads = fmt.Sprintf("Deployment/%s/%s reads", a.Namespace, a.Workload)
	}
	from := []string{fmt.Sprintf("%s: %s %s, branch %s", a.ID, reads, a.Git.URL, a.Git.Branch)}
	if a.Terraform != nil {
		from = append(from, fmt.Sprintf("%s: declared at %s as %s", a.ID, a.Terraform.Where, a.Terraform.Address))
	}
	return from
}

// application is that which became a Kustomization; nil if there is none.
func (o writtenObject) application() *migrate.Application {
	if o.object.GetKind() != kustomizationKind().Kind || o.repository == nil {
		return nil
	}
	i := slices.IndexFunc(o.repository.Applications, func(app migrate.Application) bool { return app.Name == o.object.GetName() })
	if i < 0 {
		return nil
	}
	return &o.repository.Applications[i]
}

// applicationAt names the folder of a Kustomization, and why it is an
// application of its own.
func (e *explainer) applicationAt(o writtenObject, _ string) []string {
	app := o.application()
	if app == nil {
		return nil
	}
	return []string{fmt.Sprintf("git: %s at %s: %s", app.Path, shortCommit(o.repository.Commit), app.Why)}
}

// needed says why a Kustomization depends on others.
func (e *explainer) needed(o writtenObject, path string) (from []string) {
	app := o.application()
	if app == nil {
		return nil
	}
	for i, d := range app.DependsOn {
		at := fmt.Sprintf(".spec.dependsOn[%d]", i)
		if path == ".spec.dependsOn" || path == at || strings.HasPrefix(path, at+".") {
			from = append(from, fmt.Sprintf("Kustomization/%s/%s: %s", migrate.AgentNamespace, d.Name, d.Why))
		}
	}
	return from
}

// oldAccount names the accounts whose rights the new one gets.
func (e *explainer) oldAccount(o writtenObject, _ string) (from []string) {
	for _, a := range o.agents {
		from = append(from, fmt.Sprintf("%s: the bindings of ServiceAccount/%s/%s", a.ID, a.Namespace, a.ServiceAccount))
	}
	return from
}

// boundAs names the binding or role of the old account that an object of RBAC
// is the counterpart of.
func (e *explainer) boundAs(o writtenObject, _ string) (from []string) {
	kind, name := o.object.GetKind(), o.object.GetName()
	was := name[strings.LastIndex(name, ":")+1:]
	if parts := strings.SplitN(name, ":", 3); len(parts) == 3 { // "fluxover:shop:system:basic"
		was = parts[2]
	}
	for _, a := range o.agents {
		for _, b := range a.Rights {
			binding, bound := "ClusterRoleBinding/"+b.Name, b.Role.Kind+"/"+b.Role.Name
			if b.Namespace != "" {
				binding = "RoleBinding/" + b.Namespace + "/" + b.Name
			}
			if b.Role.Kind == "Role" {
				bound = "Role/" + b.Namespace + "/" + b.Role.Name
			}
			of := b.Name
			if !strings.HasSuffix(kind, "Binding") {
				of = b.Role.Name
			}
			at := o.object.GetNamespace()
			narrower := at != "" && b.Namespace == "" && was == migrate.NarrowerBinding+b.Name
			if !narrower && (of != was || at != "" && at != b.Namespace) {
				continue
			}
			text := fmt.Sprintf("%s: %s, which binds %s", a.ID, binding, bound)
			if narrower {
				text += ", and --k8s-allow-namespace"
			}
			if b.Group != "" {
				text += " for group " + b.Group
			}
			from = append(from, text)
		}
	}
	return from
}

// copied names the places of the values of a Secret, or of one that is
// referred to.
func (e *explainer) copied(o writtenObject, path string) (from []string) {
	name := o.object.GetName()
	if o.object.GetKind() != "Secret" {
		field := strings.TrimPrefix(path, ".spec.")
		field, _, _ = strings.Cut(field, ".")
		name, _, _ = unstructured.NestedString(o.object.Object, "spec", field, "name")
		if field == "decryption" {
			name, _, _ = unstructured.NestedString(o.object.Object, "spec", field, "secretRef", "name")
		}
	}
	for i := range e.report.Plan.Credentials {
		c := &e.report.Plan.Credentials[i]
		if c.To.Name != name {
			continue
		}
		one := func(key string) bool {
			at := pathOf([]step{{field: "data"}, {field: key}})
			return o.object.GetKind() != "Secret" || path == ".data" || path == at
		}
		for _, key := range slices.Sorted(maps.Keys(c.From)) {
			if one(key) {
				from = append(from, fmt.Sprintf("%s: %s is %s", c.Agent, key, c.From[key].String()))
			}
		}
		if c.KnownHosts != "" && one("known_hosts") {
			from = append(from, c.Agent+": known_hosts holds the lines that the agent is given, and those of its image")
		}
	}
	return from
}

// encrypted names the keys and the files of a Kustomization that decrypts.
func (e *explainer) encrypted(o writtenObject, path string) []string {
	from := e.copied(o, path)
	count := 0
	for _, a := range o.agents {
		for _, object := range e.objectsOf(o, a) {
			if !object.Encrypted {
				continue
			}
			if count++; count <= 3 {
				from = append(from, gitPlace(o.repository, object)+" is encrypted")
			}
		}
	}
	if count > 3 {
		from = append(from, fmt.Sprintf("git: and %d more", count-3))
	}
	return from
}

// objectsOf are the objects of an agent that a Kustomization builds: those that
// it applies, and those that it leaves alone and that no other builds.
func (e *explainer) objectsOf(o writtenObject, a *migrate.Flux1Agent) (out []*migrate.Object) {
	own := map[string]bool{}
	for _, p := range o.repository.Objects {
		own[p.ID] = own[p.ID] || p.Application == o.object.GetName() || p.Application == ""
	}
	for i := range a.Objects {
		if own[a.Objects[i].ID] {
			out = append(out, &a.Objects[i])
		}
	}
	return out
}

// gitPlace names an object with its place in Git.
func gitPlace(r *migrate.Repository, o *migrate.Object) string {
	return fmt.Sprintf("git: %s:%d at %s: %s", o.File, o.Line, shortCommit(r.Commit), migrate.DisplayID(o.ID))
}

// patchIndex is the number in the path of a patch of a Kustomization.
var patchIndex = regexp.MustCompile(`^\.spec\.patches\[(\d+)\]`)

// patched names the objects that a patch of a Kustomization is about, with what
// Flux v1 does to them.
func (e *explainer) patched(o writtenObject, at string) (from []string) {
	list, _, _ := unstructured.NestedSlice(o.object.Object, "spec", "patches")
	if m := patchIndex.FindStringSubmatch(at); m != nil {
		if i, err := strconv.Atoi(m[1]); err == nil && i < len(list) {
			list = list[i : i+1]
		}
	}
	for _, p := range list {
		patch, _ := p.(map[string]any)
		text, _ := patch["patch"].(string)
		if name, _, _ := unstructured.NestedString(patch, "target", "name"); name == "" {
			kind, _, _ := unstructured.NestedString(patch, "target", "kind")
			from = append(from, fmt.Sprintf("%s: it prunes where Flux v1 did not, and no %s must go",
				e.settings.override(e.report.Capacitor.Cluster, TeamName(o.repository), o.object, ".spec.prune"), strings.Trim(kind, "^$")))
			continue
		}
		for _, a := range o.agents {
			for _, object := range e.objectsOf(o, a) {
				if object.Manifest != nil && selects(patch, object) {
					for _, why := range e.patchReasons(o.repository, object, text) {
						from = append(from, gitPlace(o.repository, object)+": "+why)
					}
				}
			}
		}
	}
	return slices.Compact(from)
}

// selects reports whether a patch is about an object. A folder's prefix and
// suffix come after its patches.
func selects(patch map[string]any, o *migrate.Object) bool {
	kind, _, _ := unstructured.NestedString(patch, "target", "kind")
	name, _, _ := unstructured.NestedString(patch, "target", "name")
	group, _, _ := unstructured.NestedString(patch, "target", "group")
	namespace, _, _ := unstructured.NestedString(patch, "target", "namespace")
	written := o.Manifest.GetNamespace()
	if o.NamespaceFilled {
		written = "default" // as which Kustomize selects what Git writes without one
	}
	if o.Build == nil && namespace != "" && namespace != "^"+regexp.QuoteMeta(written)+"$" ||
		group != "^"+regexp.QuoteMeta(o.Manifest.GroupVersionKind().Group)+"$" {
		return false
	}
	plain := strings.TrimSuffix(strings.TrimPrefix(name, "^"), "$")
	return kind == "^"+regexp.QuoteMeta(o.Manifest.GetKind())+"$" &&
		(plain == regexp.QuoteMeta(o.Manifest.GetName()) || o.Build != nil && strings.Contains(regexp.QuoteMeta(o.Manifest.GetName()), plain))
}

// patchReasons say why an object is patched with a text.
func (e *explainer) patchReasons(r *migrate.Repository, o *migrate.Object, text string) (why []string) {
	if strings.Contains(text, "path: /metadata/namespace") {
		if o.NamespaceDropped {
			why = append(why, "its kind knows no namespace, and it names one")
		} else if o.NamespaceFilled {
			why = append(why, "it names no namespace, and fluxd puts it into "+o.Manifest.GetNamespace())
		}
	}
	for _, add := range r.Adds {
		if add.Object == o.ID && (strings.Contains(text, strings.ReplaceAll(add.Key, "/", "~1")) || strings.Contains(text, add.Key)) {
			why = append(why, add.Why)
		}
	}
	if len(why) == 0 && o.Build != nil && len(o.Patches) > 0 {
		why = append(why, o.Build.PatchFile+" changes it")
	}
	return why
}

// wentTo names the fields that a carried setting of an agent decides, as they
// are written.
func (e *explainer) wentTo(a *migrate.Flux1Agent, s migrate.Setting) (to []string) {
	kind, _, _ := strings.Cut(s.To, ".")
	if s.Fate != migrate.Carried || kind != sourceKind().Kind && kind != kustomizationKind().Kind {
		return nil
	}
	const most = 3
	count := 0
	for _, o := range e.writtenObjects() {
		if o.object.GetKind() != kind || !slices.Contains(o.agents, a) { // nor what syncs the flux-capacitor
			continue
		}
		for _, f := range fieldsWritten(o.object) {
			if !carriedTo(s, kind, f.path) {
				continue
			}
			if count++; count > most {
				continue
			}
			text := fmt.Sprintf("%s %s = %s", migrate.DisplayID(migrate.ObjectID(o.object)), f.path, shorten(strings.Join(strings.Fields(f.value), " "), 60))
			if by := e.settings.override(e.report.Capacitor.Cluster, TeamName(o.repository), o.object, f.path); by != "" && o.file != "" {
				text += ", as " + by + " overrules it"
			}
			to = append(to, text)
		}
	}
	if count > most {
		to = append(to, fmt.Sprintf("and %d more of these fields", count-most))
	}
	if count == 0 {
		to = append(to, "no object of the plan has this field")
	}
	return to
}
