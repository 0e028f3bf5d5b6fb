package emit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/migrate"
)

// CapacitorName is [migrate.CapacitorName].
const CapacitorName = migrate.CapacitorName

// pruneKey keeps an object from being deleted when its file goes.
const pruneKey = "kustomize.toolkit.fluxcd.io/prune"

func sourceKind() schema.GroupVersionKind {
	return sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind)
}

func kustomizationKind() schema.GroupVersionKind {
	return kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind)
}

// Capacitor is one cluster's part of a flux-capacitor: what whoever writes its
// files must know. `plan --emit` writes them to a folder, a migration into a
// Git repository; both through Edit, so that they write the same.
type Capacitor struct {
	// URL and Branch by which the ClusterAgent reads the flux-capacitor. Without
	// a URL nothing says how it does, and the files of agent/ are left out.
	URL, Branch string
	// Cluster names the folder clusters/<cluster>; Identity is the UID of that
	// cluster, if it is known.
	Cluster, Identity string
	// Credential is true if the ClusterAgent reads it with the Secret
	// CapacitorName.
	Credential bool
	// Stamp, if set, gives the objects as they are to be written: with marks of
	// whoever writes them. It must not change what it is given.
	Stamp func([]*unstructured.Unstructured) []*unstructured.Unstructured
}

func (c *Capacitor) stamped(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	if c.Stamp == nil {
		return objects
	}
	return c.Stamp(objects)
}

// Subject names the cluster in the first line of its files: by its name in the
// repository and, where it is known, its identity, so that two clusters cannot
// share one folder by mistake.
func (c *Capacitor) Subject() string {
	subject := "cluster " + c.Cluster
	if c.Identity != "" {
		subject += " (" + c.Identity + ")"
	}
	return subject
}

// SettingsOf reads capacitor.yaml of a tree; there is false if it has none,
// and then the settings are the defaults.
func SettingsOf(files fs.FS) (s Settings, there bool, err error) {
	content, err := fs.ReadFile(files, CapacitorFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, false, fmt.Errorf("read %s of the flux-capacitor: %w", CapacitorFile, err)
	}
	there = err == nil
	s, err = ReadSettings(content)
	return s, there, err
}

// Edit gives the changes that bring a flux-capacitor's tree to what it is to
// be: those that change makes, with what is common to all repositories: the
// first capacitor.yaml, the files of agent/ and the list of them. The content of
// a file that goes is nil. It is an error, and nothing is to be written, if a
// file would be overwritten or removed that was not written for the same
// subject.
func (c *Capacitor) Edit(files fs.FS, change func(settings Settings, changes map[string][]byte) error) (map[string][]byte, error) {
	settings, there, err := SettingsOf(files)
	if err != nil {
		return nil, err
	}
	changes := map[string][]byte{}
	if !there {
		changes[CapacitorFile] = []byte(FirstSettings)
	}
	if c.URL != "" {
		for name, objects := range c.AgentObjects(settings) {
			if changes[AgentFile(c.Cluster, name)], err = File(c.Subject(), c.stamped(objects)); err != nil {
				return nil, err
			}
		}
	}
	if err := change(settings, changes); err != nil {
		return nil, err
	}
	kept, err := filesBelow(files, AgentFile(c.Cluster, ""))
	if err != nil {
		return nil, err
	}
	kept = slices.DeleteFunc(kept, func(p string) bool { content, changed := changes[p]; return changed && content == nil })
	for p, content := range changes {
		if content != nil {
			kept = append(kept, p)
		}
	}
	index := IndexPath(c.Cluster)
	changes[index] = nil
	if slices.ContainsFunc(kept, func(p string) bool { return strings.HasPrefix(p, AgentFile(c.Cluster, "")+"/") }) {
		changes[index] = Index(c.Cluster, c.Subject(), kept)
	}
	for _, p := range slices.Sorted(maps.Keys(changes)) {
		if err := mayWrite(files, p, changes[p]); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// Add puts the files of one repository, with what capacitor.yaml says of them,
// into the changes; files that were written for it and are no more go. sources
// are the GitRepositories that it uses.
func (c *Capacitor) Add(files fs.FS, settings Settings, r *migrate.Repository, sources []*unstructured.Unstructured, changes map[string][]byte) error {
	if err := c.Remove(files, r, changes); err != nil {
		return err
	}
	team := TeamName(r)
	own := *r
	own.Kustomizations, own.Supporting = nil, c.stamped(r.Supporting)
	for _, k := range r.Kustomizations {
		own.Kustomizations = append(own.Kustomizations, settings.apply(c.Cluster, team, k.GetName(), k))
	}
	own.Kustomizations = c.stamped(own.Kustomizations)
	var read []*unstructured.Unstructured
	for _, s := range sources {
		read = append(read, settings.apply(c.Cluster, team, "", s))
	}
	written, err := TeamFiles(&own, c.stamped(read), c.Cluster)
	if err != nil {
		return err
	}
	maps.Copy(changes, written)
	if c.URL == "" {
		return nil
	}
	access, err := AccessOf(r)
	if err != nil {
		return err
	}
	changes[AgentTeamFile(r, c.Cluster)], err = File(r.ID, c.stamped(append(access, c.Child(r, settings))))
	return err
}

// Remove marks the files that fluxover wrote for a repository as going.
func (c *Capacitor) Remove(files fs.FS, r *migrate.Repository, changes map[string][]byte) error {
	found, err := filesBelow(files, TeamFolder(r, c.Cluster))
	if err != nil {
		return err
	}
	for _, p := range append(found, AgentTeamFile(r, c.Cluster)) {
		content, err := fs.ReadFile(files, p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s of the flux-capacitor: %w", p, err)
		}
		if id, written := WrittenFor(content); written && id == r.ID {
			changes[p] = nil
		}
	}
	return nil
}

// mayWrite refuses to overwrite or remove what fluxover did not write for the
// same subject.
func mayWrite(files fs.FS, p string, content []byte) error {
	held, err := fs.ReadFile(files, p)
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(held) == string(content) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s of the flux-capacitor: %w", p, err)
	}
	was, written := WrittenFor(held)
	now, _ := WrittenFor(content)
	switch {
	case !written:
		return fmt.Errorf("%s of the flux-capacitor was not written by fluxover: move it elsewhere, since that is where this cluster's own file stands", p)
	case content != nil && was != now && !strings.HasPrefix(now, was+" ("): // whose identity was not known then
		return fmt.Errorf("%s of the flux-capacitor was written for %s, not for %s: choose another --capacitor-cluster, or remove the file", p, was, now)
	}
	return nil
}

// filesBelow lists the files in a folder and those below it.
func filesBelow(files fs.FS, dir string) ([]string, error) {
	var found []string
	err := fs.WalkDir(files, dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && p == dir {
			return fs.SkipAll
		}
		if err == nil && !d.IsDir() {
			found = append(found, p)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s of the flux-capacitor: %w", dir, err)
	}
	return found, nil
}

// AgentObjects are the objects with which the ClusterAgent syncs the
// flux-capacitor, by the file of agent/ in which they stand.
func (c *Capacitor) AgentObjects(s Settings) map[string][]*unstructured.Unstructured {
	meta := map[string]any{
		"namespace": migrate.AgentNamespace, "name": CapacitorName,
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
		"url": c.URL, "ref": map[string]any{"branch": c.Branch},
		"interval": s.Source.Interval.String(), "timeout": "1m0s",
	}
	if c.Credential {
		spec["secretRef"] = map[string]any{"name": CapacitorName}
	}
	const rbac = "rbac.authorization.k8s.io"
	return map[string][]*unstructured.Unstructured{
		"rbac.yaml": {
			object("v1", "ServiceAccount", nil),
			// The account that applies the flux-capacitor writes Flux's objects
			// and their accounts in one namespace. What else a repository's
			// files hold, its roles and bindings, is granted by name when the
			// repository settles (AccessOf). Of its own role and binding it may
			// write what it finds: Kubernetes lets nobody give himself more.
			//
			// This keeps a slip in a file from reaching the rest of the
			// cluster. It is no wall against who may push to the repository:
			// who writes Kustomizations in this namespace may name any account
			// in it.
			object(rbac+"/v1", "Role", map[string]any{"rules": []any{
				rule(sourceKind().Group, []string{"gitrepositories"}, nil, "get", "list", "watch", "create", "patch", "delete"),
				rule(kustomizationKind().Group, []string{"kustomizations"}, nil, "get", "list", "watch", "create", "patch", "delete"),
				rule("", []string{"serviceaccounts"}, nil, "get", "list", "watch", "create", "patch", "delete"),
				rule(rbac, []string{"rolebindings", "roles"}, []string{CapacitorName}, "get", "patch"),
			}}),
			object(rbac+"/v1", "RoleBinding", map[string]any{
				"roleRef":  map[string]any{"apiGroup": rbac, "kind": "Role", "name": CapacitorName},
				"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": migrate.AgentNamespace, "name": CapacitorName}},
			}),
		},
		"source.yaml": {object(sourceKind().GroupVersion().String(), sourceKind().Kind, map[string]any{"spec": spec})},
		"sync.yaml": {object(kustomizationKind().GroupVersion().String(), kustomizationKind().Kind, map[string]any{
			"spec": syncSpec("./"+ClusterFolder(c.Cluster), s),
		})},
	}
}

// syncSpec is what the capacitor's own Kustomization and those of the teams
// have in common: they delete control objects whose files go, and never
// anything because they themselves go.
func syncSpec(path string, s Settings) map[string]any {
	return map[string]any{
		"path": path, "interval": s.Sync.Interval.String(), "retryInterval": "1m0s", "timeout": "5m0s",
		"prune": true, "deletionPolicy": "Orphan", "wait": false, "serviceAccountName": CapacitorName,
		"sourceRef": map[string]any{"kind": sourceKind().Kind, "name": CapacitorName},
	}
}

func rule(group string, resources, names []string, verbs ...string) map[string]any {
	r := map[string]any{"apiGroups": []any{group}, "resources": anys(resources), "verbs": anys(verbs)}
	if len(names) > 0 {
		names = slices.Compact(slices.Sorted(slices.Values(names)))
		r["resourceNames"] = anys(names)
	}
	return r
}

// anys is a list of texts as it stands in an object.
func anys(items []string) []any {
	out := make([]any, 0, len(items))
	for _, i := range items {
		out = append(out, i)
	}
	return out
}

// ChildName is the name of the Kustomization that applies one repository's
// folder, and of the rights that it needs.
func ChildName(team string) string {
	name := CapacitorName + "-" + strings.ReplaceAll(team, "_", ".")
	if len(name) > 63 { // it becomes a label's value
		sum := sha256.Sum256([]byte(team))
		name = strings.TrimRight(name[:54], "-.") + "-" + hex.EncodeToString(sum[:4])
	}
	return name
}

// Child is the Kustomization that applies one repository's folder.
func (c *Capacitor) Child(r *migrate.Repository, s Settings) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": kustomizationKind().GroupVersion().String(), "kind": kustomizationKind().Kind,
		"metadata": map[string]any{
			"namespace": migrate.AgentNamespace, "name": ChildName(TeamName(r)),
			"labels":      map[string]any{migrate.LabelManaged: "true"},
			"annotations": map[string]any{migrate.AnnotationRepository: r.ID},
		},
		"spec": syncSpec("./"+TeamFolder(r, c.Cluster), s),
	}}
}

// AccessOf are the rights that applying one repository's files needs beyond
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
func AccessOf(r *migrate.Repository) ([]*unstructured.Unstructured, error) {
	const group = rbacv1.GroupName
	name := ChildName(TeamName(r))
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
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": migrate.AgentNamespace, "name": CapacitorName}},
		}),
	}, nil
}
