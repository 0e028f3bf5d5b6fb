package cutover

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
)

// capacitorName is the name of everything with which the ClusterAgent syncs
// the flux-capacitor: Secret, account, rights, GitRepository, Kustomization.
const capacitorName = "flux-capacitor"

// pruneKey keeps an object from being deleted when its file goes.
const pruneKey = "kustomize.toolkit.fluxcd.io/prune"

// capacitorSettings are what people decide in capacitor.yaml.
type capacitorSettings struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Source     struct {
		// Interval between two looks at the repository; default 1m.
		Interval metav1.Duration `json:"interval"`
	} `json:"source"`
	Sync struct {
		// Interval after which what was applied is looked at without news;
		// default 10m.
		Interval metav1.Duration `json:"interval"`
	} `json:"sync"`
}

// capacitorYAML is the first capacitor.yaml. It is written once.
const capacitorYAML = `# What people decide about this flux-capacitor. fluxover wrote this file once,
# reads it whenever it writes others, and never writes it again.
apiVersion: fluxover.dev/v1
kind: Capacitor
source:
  # how often the cluster asks this repository for news
  interval: 1m0s
sync:
  # how often it looks, without news, whether all is as written here
  interval: 10m0s
`

// readSettings reads capacitor.yaml; what it does not say has its default, and
// what this version does not know is left to others.
func readSettings(content []byte) (capacitorSettings, error) {
	var s capacitorSettings
	if err := yaml.Unmarshal(content, &s); err != nil {
		return s, fmt.Errorf("read %s of the flux-capacitor: %w", emit.CapacitorFile, err)
	}
	if len(bytes.TrimSpace(content)) > 0 && (s.Kind != "Capacitor" || s.APIVersion != migrate.APIVersion) {
		return s, fmt.Errorf("read %s of the flux-capacitor: want apiVersion %s and kind Capacitor, got %q and %q", emit.CapacitorFile, migrate.APIVersion, s.APIVersion, s.Kind)
	}
	s.Source.Interval.Duration = cmp.Or(s.Source.Interval.Duration, time.Minute)
	s.Sync.Interval.Duration = cmp.Or(s.Sync.Interval.Duration, 10*time.Minute)
	for name, d := range map[string]metav1.Duration{"source.interval": s.Source.Interval, "sync.interval": s.Sync.Interval} {
		if d.Duration < time.Second {
			return s, fmt.Errorf("read %s of the flux-capacitor: %s is %s, want 1s or more", emit.CapacitorFile, name, d.Duration)
		}
	}
	return s, nil
}

// capacitorObjects are the objects with which the ClusterAgent syncs the
// flux-capacitor, by the file of agent/ in which they stand.
func (g *GitCapacitor) objects(s capacitorSettings) map[string][]*unstructured.Unstructured {
	meta := map[string]any{
		"namespace": migrate.AgentNamespace, "name": capacitorName,
		"labels": map[string]any{migrate.LabelManaged: "true"},
		// The cluster must not lose its way to Git by a file that went.
		"annotations": map[string]any{pruneKey: "disabled"},
	}
	object := func(apiVersion, kind string, fields map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": runtime.DeepCopyJSON(meta)}}
		for key, value := range fields {
			u.Object[key] = value
		}
		return u
	}
	spec := map[string]any{
		"url": g.remote.URL, "ref": map[string]any{"branch": g.branch},
		"interval": s.Source.Interval.Duration.String(), "timeout": "1m0s",
	}
	if len(g.secret) > 0 {
		spec["secretRef"] = map[string]any{"name": capacitorName}
	}
	const rbac = "rbac.authorization.k8s.io"
	return map[string][]*unstructured.Unstructured{
		"rbac.yaml": {
			object("v1", "ServiceAccount", nil),
			// The account that applies the flux-capacitor writes Flux's objects
			// and their accounts in one namespace. What else a repository's
			// files hold, its roles and bindings, is granted by name when the
			// repository settles (accessOf). Of its own role and binding it may
			// write what it finds: Kubernetes lets nobody give himself more.
			//
			// This keeps a slip in a file from reaching the rest of the
			// cluster. It is no wall against who may push to the repository:
			// who writes Kustomizations in this namespace may name any account
			// in it.
			object(rbac+"/v1", "Role", map[string]any{"rules": []any{
				rule(sourceKind.Group, []string{"gitrepositories"}, nil, "get", "list", "watch", "create", "patch", "delete"),
				rule(kustomizationKind.Group, []string{"kustomizations"}, nil, "get", "list", "watch", "create", "patch", "delete"),
				rule("", []string{"serviceaccounts"}, nil, "get", "list", "watch", "create", "patch", "delete"),
				rule(rbac, []string{"rolebindings", "roles"}, []string{capacitorName}, "get", "patch"),
			}}),
			object(rbac+"/v1", "RoleBinding", map[string]any{
				"roleRef":  map[string]any{"apiGroup": rbac, "kind": "Role", "name": capacitorName},
				"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": migrate.AgentNamespace, "name": capacitorName}},
			}),
		},
		"source.yaml": {object(sourceKind.GroupVersion().String(), sourceKind.Kind, map[string]any{"spec": spec})},
		"sync.yaml": {object(kustomizationKind.GroupVersion().String(), kustomizationKind.Kind, map[string]any{
			"spec": syncSpec("./"+emit.ClusterFolder(g.cluster), s),
		})},
	}
}

// syncSpec is what the capacitor's own Kustomization and those of the teams
// have in common: they delete control objects whose files go, and never
// anything because they themselves go.
func syncSpec(path string, s capacitorSettings) map[string]any {
	return map[string]any{
		"path": path, "interval": s.Sync.Interval.Duration.String(), "retryInterval": "1m0s", "timeout": "5m0s",
		"prune": true, "deletionPolicy": "Orphan", "wait": false, "serviceAccountName": capacitorName,
		"sourceRef": map[string]any{"kind": sourceKind.Kind, "name": capacitorName},
	}
}

func rule(group string, resources, names []string, verbs ...string) map[string]any {
	list := func(items []string) []any {
		out := make([]any, 0, len(items))
		for _, i := range items {
			out = append(out, i)
		}
		return out
	}
	r := map[string]any{"apiGroups": []any{group}, "resources": list(resources), "verbs": list(verbs)}
	if len(names) > 0 {
		names = slices.Compact(slices.Sorted(slices.Values(names)))
		r["resourceNames"] = list(names)
	}
	return r
}

// childName is the name of the Kustomization that applies one repository's
// folder, and of the rights that it needs.
func childName(team string) string {
	name := capacitorName + "-" + strings.ReplaceAll(team, "_", ".")
	if len(name) > 63 { // it becomes a label's value
		sum := sha256.Sum256([]byte(team))
		name = strings.TrimRight(name[:54], "-.") + "-" + hex.EncodeToString(sum[:4])
	}
	return name
}

// child is the Kustomization that applies one repository's folder.
func (g *GitCapacitor) child(r *migrate.Repository, s capacitorSettings) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": kustomizationKind.GroupVersion().String(), "kind": kustomizationKind.Kind,
		"metadata": map[string]any{
			"namespace": migrate.AgentNamespace, "name": childName(emit.TeamName(r)),
			"labels":      map[string]any{migrate.LabelManaged: "true"},
			"annotations": map[string]any{migrate.AnnotationRepository: r.ID},
		},
		"spec": syncSpec("./"+emit.TeamFolder(r, g.cluster), s),
	}}
}

// accessOf are the rights that applying one repository's files needs beyond
// those of the capacitor's own role: on exactly these objects, by name.
//
// Writing a role needs more than the verbs on roles: Kubernetes refuses a role
// that grants what its writer has not, and a binding to such a role, unless
// the writer has the verbs "escalate" and "bind" on it. Giving the capacitor
// the repositories' rights themselves would make one account that has all of
// them; escalate and bind on the roles of these files, by name, are less, and
// make nothing possible that the files do not say. (Who is allowed to bind
// cluster-admin can be as strong as that; the name is there because the files
// bind it, which a person accepted.)
func accessOf(r *migrate.Repository) ([]*unstructured.Unstructured, error) {
	const group = rbacv1.GroupName
	name := childName(emit.TeamName(r))
	made, bound := map[string][]string{}, map[string][]string{}
	for _, o := range r.Supporting {
		gk := o.GroupVersionKind().GroupKind()
		resource := map[schema.GroupKind]string{
			{Kind: "ServiceAccount"}:                   "",
			{Group: group, Kind: "Role"}:               "roles",
			{Group: group, Kind: "RoleBinding"}:        "rolebindings",
			{Group: group, Kind: "ClusterRole"}:        "clusterroles",
			{Group: group, Kind: "ClusterRoleBinding"}: "clusterrolebindings",
		}
		plural, known := resource[gk]
		if !known || plural == "" && o.GetNamespace() != migrate.AgentNamespace {
			return nil, fmt.Errorf("%s: the flux-capacitor has no rule for what its account needs to apply it", migrate.DisplayID(migrate.ObjectID(o)))
		}
		if plural == "" {
			continue
		}
		made[plural] = append(made[plural], o.GetName())
		if role, found, _ := unstructured.NestedString(o.Object, "roleRef", "name"); found {
			kind, _, _ := unstructured.NestedString(o.Object, "roleRef", "kind")
			bound[strings.ToLower(kind)+"s"] = append(bound[strings.ToLower(kind)+"s"], role)
		}
	}
	var rules []any
	for _, resource := range []string{"clusterrolebindings", "clusterroles", "rolebindings", "roles"} {
		if names := made[resource]; len(names) > 0 {
			verbs := []string{"get", "create", "patch", "delete"}
			if resource == "roles" || resource == "clusterroles" {
				verbs = append(verbs, "escalate")
			}
			rules = append(rules, rule(group, []string{resource}, names, verbs...))
		}
		if names := bound[resource]; len(names) > 0 {
			rules = append(rules, rule(group, []string{resource}, names, "bind"))
		}
	}
	// These two stand in Git as well, for a cluster that is built anew.
	rules = append(rules, rule(group, []string{"clusterrolebindings", "clusterroles"}, []string{name}, "get", "patch"))
	object := func(kind string, fields map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": group + "/v1", "kind": kind,
			"metadata": map[string]any{
				"name": name, "labels": map[string]any{migrate.LabelManaged: "true"},
				// The account that would delete them needs them to do so.
				"annotations": map[string]any{migrate.AnnotationRepository: r.ID, pruneKey: "disabled"},
			},
		}}
		for key, value := range fields {
			u.Object[key] = value
		}
		return u
	}
	return []*unstructured.Unstructured{
		object("ClusterRole", map[string]any{"rules": rules}),
		object("ClusterRoleBinding", map[string]any{
			"roleRef":  map[string]any{"apiGroup": group, "kind": "ClusterRole", "name": name},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": migrate.AgentNamespace, "name": capacitorName}},
		}),
	}, nil
}
