package emit

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
)

// capacitorObjects are the objects of agent/, with which the ClusterAgent syncs
// the flux-capacitor (docs/design.md, section 9), as they are written for the
// plan. What no flag says yet stands in them as the flag that says it.
func (e *explainer) capacitorObjects() []writtenObject {
	c := e.report.Capacitor
	if c.URL == "" {
		c.URL = "what --capacitor says"
	}
	if c.Branch == "" {
		c.Branch = "main"
	}
	var out []writtenObject
	if e.only == "" {
		for name, objects := range c.AgentObjects(e.settings) {
			for _, o := range objects {
				out = append(out, writtenObject{object: o, capacitor: true, file: AgentFile(c.Cluster, name)})
			}
		}
	}
	for _, r := range e.repositories() {
		if e.report.Plan.Incomplete(r) != "" {
			continue // no file is written for it
		}
		access, err := AccessOf(r)
		if err != nil {
			continue // no file is written for it either, and emitting says why
		}
		for _, o := range append(access, c.Child(r, e.settings)) {
			out = append(out, writtenObject{object: o, repository: r, capacitor: true, file: AgentTeamFile(r, c.Cluster)})
		}
	}
	slices.SortStableFunc(out, func(a, b writtenObject) int { return strings.Compare(a.file, b.file) })
	return out
}

// capacitorRow says where the fields of an object of agent/, at a path and
// below it, come from.
type capacitorRow struct {
	kind, path string
	// from is a flag, or a setting of capacitor.yaml; empty if nobody decides it:
	// it is of the repository that the object is for, or the same everywhere.
	from, why string
}

// capacitorRows are looked through as fieldRows are, for objects of agent/.
var capacitorRows = []capacitorRow{
	{"", ".apiVersion", "", "the API that serves the kind"},
	{"", ".kind", "", "what syncing the flux-capacitor takes: a source, what to apply of it, an account and its rights"},
	{"", ".metadata.name", "", "all with which the flux-capacitor is synced has this name; what is for one repository has its folder's behind it"},
	{"", ".metadata.namespace", "", "the ClusterAgent's namespace"},
	{"", ".metadata.labels", "", "marks it as made by fluxover, so that it is found again"},
	{"", `.metadata.annotations["` + pruneKey + `"]`, "", "the cluster must not lose its way to Git because a file went"},
	{"", ".metadata.annotations", "", "the repository that it is for"},
	{"GitRepository", ".spec.url", "--capacitor", "where the cluster reads the flux-capacitor"},
	{"GitRepository", ".spec.ref", "--capacitor-branch", "the branch of it"},
	{"GitRepository", ".spec.interval", "source.interval", "how often the cluster asks it for news"},
	{"GitRepository", ".spec.timeout", "", "how long one look may take"},
	{"GitRepository", ".spec.secretRef", "--capacitor-secret", "the Secret with which it is read"},
	{"Kustomization", ".spec.path", "--capacitor-cluster", "the cluster's folder, whose kustomization.yaml lists what of agent/ is applied; each repository's folder is applied by a Kustomization of its own, so that a bad file there stops no other"},
	{"Kustomization", ".spec.interval", "sync.interval", "how often it is looked at without news"},
	{"Kustomization", ".spec.retryInterval", "", "how soon it is tried again after a failure"},
	{"Kustomization", ".spec.timeout", "", "how long applying may take"},
	{"Kustomization", ".spec.prune", "", "a source or Kustomization whose file goes, goes; what it applied stays, by its own deletionPolicy"},
	{"Kustomization", ".spec.deletionPolicy", "", "nothing is deleted because this Kustomization itself goes"},
	{"Kustomization", ".spec.wait", "", "one repository that is not ready holds up no other"},
	{"Kustomization", ".spec.serviceAccountName", "", "an account that may write Flux's objects in this namespace, and by name the roles and bindings of the files"},
	{"Kustomization", ".spec.sourceRef", "", "the flux-capacitor itself"},
	{"Role", ".rules", "", "what applying the files of all repositories takes, in one namespace"},
	{"ClusterRole", ".rules", "", "what applying one repository's roles and bindings takes, on exactly these by name: Kubernetes lets nobody give more than he has without the verbs escalate and bind"},
	{"", ".roleRef", "", "the role in this file"},
	{"", ".subjects", "", "the account that applies the flux-capacitor"},
}

// capacitorOrigin explains one field of an object of agent/.
func (e *explainer) capacitorOrigin(o writtenObject, path string) (from []string, why string) {
	i := slices.IndexFunc(capacitorRows, func(r capacitorRow) bool { return about(r.kind, r.path, o.object, path) })
	if i < 0 {
		return nil, ""
	}
	row := capacitorRows[i]
	switch {
	case strings.HasPrefix(row.from, "--"):
		from = []string{row.from + " of plan and migrate"}
		if row.from == "--capacitor-secret" {
			from = []string{row.from + " of plan; a migration finds out by itself whether one is needed"}
		}
	case row.from != "":
		from = []string{e.settings.origin("/"+strings.ReplaceAll(row.from, ".", "/"), row.from)}
	case o.repository != nil && slices.Contains([]string{".metadata.name", ".metadata.annotations", ".rules", ".roleRef", ".spec.path"}, row.path):
		from = []string{"repository " + o.repository.ID + " and its files in " + TeamFolder(o.repository, e.report.Capacitor.Cluster)}
	default:
		from = []string{alike + "how every flux-capacitor is synced"}
	}
	return from, row.why
}

// origin names a setting of capacitor.yaml with its line; without one its
// default holds.
func (s *Settings) origin(path, name string) string {
	if line := s.lines[path]; line > 0 {
		return fmt.Sprintf("%s:%d %s", CapacitorFile, line, name)
	}
	return fmt.Sprintf("%s does not give %s: the default", CapacitorFile, name)
}

// override names the narrowest place of capacitor.yaml that gives a field of an
// application's Kustomization, or of a team's GitRepository; "" if none does.
func (s *Settings) override(cluster, team string, u *unstructured.Unstructured, path string) string {
	field, ok := strings.CutPrefix(path, ".spec.")
	if !ok {
		return ""
	}
	if end := strings.IndexAny(field, ".["); end > 0 {
		field = field[:end] // a setting gives a field whole
	}
	section := "gitRepository"
	below := "/clusters/" + cluster + "/teams/" + team
	places := []string{below, "/clusters/" + cluster, "/defaults"}
	if u.GetKind() == kustomizationKind().Kind {
		section = "kustomization"
		places = append([]string{below + "/applications/" + u.GetName()}, places...)
	}
	for _, place := range places {
		at := place + "/" + section + "/" + field
		if s.lines[at] > 0 {
			return s.origin(at, strings.ReplaceAll(strings.TrimPrefix(at, "/"), "/", "."))
		}
	}
	return ""
}

// files explains a file of the flux-capacitor by what stands in it.
func (e *explainer) files(name string) []Explanation {
	name = strings.TrimPrefix(name, "./")
	cluster := e.report.Capacitor.Cluster
	switch name {
	case CapacitorFile:
		return []Explanation{{Subject: name, From: []string{"written once, and yours to edit"}, To: []string{"every file that is written below clusters/"},
			Why: "one line here is a change everywhere: defaults, and what holds for one cluster, team or application"}}
	case IndexPath(cluster):
		return []Explanation{{Subject: name, From: []string{"the files of " + AgentFile(cluster, "")}, To: []string{"what the ClusterAgent applies of the cluster's folder as a whole"},
			Why: "each repository's file there applies its own folder, so that a bad file in one stops no other"}}
	}
	var out []Explanation
	for _, o := range e.writtenObjects() {
		if o.file != name {
			continue
		}
		x := Explanation{Subject: name + " " + migrate.DisplayID(migrate.ObjectID(o.object))}
		by := CapacitorName // which applies what the index lists
		if o.repository != nil && !o.capacitor {
			by = ChildName(TeamName(o.repository))
		}
		x.To = []string{fmt.Sprintf("applied by Kustomization/%s/%s", migrate.AgentNamespace, by)}
		if o.repository != nil {
			x.From = []string{"repository " + o.repository.ID}
		} else {
			x.From = []string{"how the ClusterAgent syncs the flux-capacitor"}
		}
		_, x.Why = e.fieldOrigin(o, ".kind")
		out = append(out, x)
	}
	return out
}
