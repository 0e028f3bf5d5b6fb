package emit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/migrate"
)

// provenance is the first line of every emitted file.
const provenance = "# Written by fluxover for %s. Edits are lost when it is written again.\n"

// Names of what stands in the flux-capacitor (docs/design.md, section 9).
const (
	// CapacitorFile is the one file that people edit.
	CapacitorFile = "capacitor.yaml"
	sourceFile    = "source.yaml"
	accountFile   = "rbac.yaml"
	indexFile     = "kustomization.yaml"
	agentFolder   = "agent"
)

// Tree gives the changes that bring the plan into a flux-capacitor that holds
// files (docs/design.md, section 9), by path; the content of a file that goes is
// nil. Per repository: source.yaml with its sources, rbac.yaml with its account
// and rights, and one file per application, with final values, what capacitor.yaml
// says of them, and credentials by name. Repositories that the plan does not hold,
// or of which it does not know all ([migrate.Plan.Incomplete]), keep their files. It is an error if capacitor.yaml speaks of what there is not.
func Tree(files fs.FS, plan *migrate.Plan, c Capacitor) (map[string][]byte, error) {
	changes, err := c.Edit(files, func(settings Settings, changes map[string][]byte) error {
		for i := range plan.Repositories {
			r := &plan.Repositories[i]
			if plan.Incomplete(r) != "" {
				continue
			}
			var sources []*unstructured.Unstructured
			for _, ref := range r.Sources {
				if s := plan.Source(ref); s != nil {
					sources = append(sources, s)
				}
			}
			if err := c.Add(files, settings, r, sources, changes); err != nil {
				return err
			}
		}
		clusters, applications, err := c.present(files, changes)
		if err != nil {
			return err
		}
		for i := range plan.Repositories {
			if r := &plan.Repositories[i]; plan.Incomplete(r) != "" { // what it will have is not known
				team := TeamName(r)
				applications[team] = append(applications[team], settings.applicationsOf(c.Cluster, team)...)
			}
		}
		if slips := settings.Unmatched(c.Cluster, clusters, applications); len(slips) > 0 {
			return errors.New(strings.Join(slips, "; "))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changes, nil
}

// present tells which clusters have a folder, and which applications the teams
// of this one have, in a tree after the changes.
func (c *Capacitor) present(files fs.FS, changes map[string][]byte) (clusters []string, applications map[string][]string, err error) {
	all, err := filesBelow(files, "clusters")
	if err != nil {
		return nil, nil, err
	}
	all = slices.DeleteFunc(all, func(p string) bool { _, changed := changes[p]; return changed })
	for p, content := range changes {
		if content != nil {
			all = append(all, p)
		}
	}
	applications = map[string][]string{}
	for _, p := range all {
		parts := strings.Split(p, "/")
		if len(parts) > 2 && !slices.Contains(clusters, parts[1]) {
			clusters = append(clusters, parts[1])
		}
		if len(parts) == 4 && parts[1] == c.Cluster && parts[2] != agentFolder {
			own := applications[parts[2]] // a team may have none
			if name := strings.TrimSuffix(parts[3], ".yaml"); !reserved(parts[3]) {
				own = append(own, strings.TrimPrefix(name, otherwise))
			}
			applications[parts[2]] = own
		}
	}
	slices.Sort(clusters)
	return clusters, applications, nil
}

// TeamName is the name of a repository's folder: that of its account, which
// is unique among all repositories; its id where it has none.
func TeamName(r *migrate.Repository) string {
	for _, s := range r.Supporting {
		if name := s.GetName(); s.GetKind() == "ServiceAccount" && name != "" && name != agentFolder {
			return name
		}
	}
	return strings.ReplaceAll(r.ID, "/", "_")
}

// ClusterFolder is where a cluster's files stand.
func ClusterFolder(cluster string) string { return path.Join("clusters", cluster) }

// TeamFolder is where a repository's files stand.
func TeamFolder(r *migrate.Repository, cluster string) string {
	return path.Join(ClusterFolder(cluster), TeamName(r))
}

// TeamFiles gives the files of one repository: final values, never suspended,
// credentials by name.
func TeamFiles(r *migrate.Repository, sources []*unstructured.Unstructured, cluster string) (map[string][]byte, error) {
	groups := map[string][]*unstructured.Unstructured{sourceFile: sources, accountFile: r.Supporting}
	for _, k := range r.Kustomizations {
		groups[applicationFile(k)] = []*unstructured.Unstructured{k}
	}
	files := map[string][]byte{}
	for name, objects := range groups {
		if len(objects) == 0 {
			continue
		}
		content, err := File(r.ID, objects)
		if err != nil {
			return nil, err
		}
		files[path.Join(TeamFolder(r, cluster), name)] = content
	}
	return files, nil
}

// applicationFile is the name of the file of one Kustomization, which no other
// file of the folder has.
func applicationFile(k *unstructured.Unstructured) string {
	name := k.GetName() + ".yaml"
	if reserved(name) {
		name = otherwise + name
	}
	return name
}

// otherwise begins the name of an application's file that would else be reserved.
// No Kustomization's name holds a low line, so that it is never that of another.
const otherwise = "application_"

// reserved reports whether a file of this name in a repository's folder is not
// that of an application.
func reserved(name string) bool {
	return name == sourceFile || name == accountFile || name == indexFile
}

// AgentFile is the path of a file that says how the ClusterAgent syncs the
// flux-capacitor, such as "source.yaml".
func AgentFile(cluster, name string) string {
	return path.Join(ClusterFolder(cluster), agentFolder, name)
}

// AgentTeamFile is the path of the file with which the ClusterAgent applies
// one repository's folder.
func AgentTeamFile(r *migrate.Repository, cluster string) string {
	return AgentFile(cluster, path.Join("teams", TeamName(r)+".yaml"))
}

// IndexPath is the path of the file that lists what of a cluster's folder is
// applied as a whole: the files of agent/, of which each repository's applies
// its own folder, so that a bad file there stops nobody else.
func IndexPath(cluster string) string { return path.Join(ClusterFolder(cluster), indexFile) }

// Index gives the content of that file for the files of agent/ among paths.
func Index(cluster, subject string, paths []string) []byte {
	below := AgentFile(cluster, "") + "/"
	var b bytes.Buffer
	fmt.Fprintf(&b, provenance, subject)
	b.WriteString("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n")
	for _, p := range slices.Compact(slices.Sorted(slices.Values(paths))) {
		if strings.HasPrefix(p, below) && path.Ext(p) == ".yaml" {
			fmt.Fprintf(&b, "- %s\n", strings.TrimPrefix(p, ClusterFolder(cluster)+"/"))
		}
	}
	return b.Bytes()
}

// File gives the content of a file that holds objects for a subject: a
// repository's id, or a cluster.
func File(subject string, objects []*unstructured.Unstructured) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, provenance, subject)
	if err := YAML(&b, objects); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// WrittenFor tells for which subject fluxover wrote a file; ok is false for a
// file that people wrote.
func WrittenFor(content []byte) (subject string, ok bool) {
	line, _, _ := strings.Cut(string(content), "\n")
	before, after, _ := strings.Cut(provenance, "%s")
	rest, ok := strings.CutPrefix(line, before)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, strings.TrimSuffix(after, "\n"))
}

// YAML writes objects as a stream of documents, keys sorted.
func YAML(w io.Writer, objects []*unstructured.Unstructured) error {
	for i, o := range objects {
		raw, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("write %s: %w", migrate.DisplayID(migrate.ObjectID(o)), err)
		}
		if i > 0 {
			raw = append([]byte("---\n"), raw...)
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}

// Paths gives the paths of emitted files, sorted.
func Paths(files map[string][]byte) []string {
	return slices.SortedFunc(maps.Keys(files), cmp.Compare)
}
