// Package differential compares what a plan foretells with what then happens,
// over repositories that nobody wrote by hand: a seed makes them, with the
// layouts, spellings and mishaps of real ones. For each the Flux v1 agent runs
// and syncs; people change things by hand; fluxover plans; and then a Flux v2
// agent really takes over, with no regard to what the plan holds back. Whatever
// happens that the plan does not tell is a silent difference. There must be
// none.
//
// The package knows the program under test by its command line and its JSON
// alone.
package differential

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// place stands for the case's own prefix of names, so that many cases live in
// one cluster.
const place = "PFX"

// Case is one repository with its agent, and what people did to its objects.
type Case struct {
	// Name is its seed, or what a kept case is about.
	Name string `json:"name"`
	// Why tells what once went wrong; for cases that are kept.
	Why string `json:"why,omitempty"`
	// Paths are the agent's.
	Paths            []string `json:"paths,omitempty"`
	DefaultNamespace string   `json:"defaultNamespace,omitempty"`
	// Allowed are the only namespaces that the agent acts in, besides its own;
	// they exist before it starts. Its account has the rights for these alone.
	Allowed []string `json:"allowed,omitempty"`
	// AdminAccount leaves the account of a confined agent every right: it keeps to
	// Allowed by itself, and its own namespace is not among these.
	AdminAccount      bool `json:"adminAccount,omitempty"`
	GarbageCollection bool `json:"garbageCollection,omitempty"`
	// ManifestGeneration makes the agent honour .flux.yaml files.
	ManifestGeneration bool `json:"manifestGeneration,omitempty"`
	// Encrypted files are so by SOPS, for a key that is made when the case is
	// played and that the agent has. Key is its kind: "age" or "pgp".
	Encrypted []string `json:"encrypted,omitempty"`
	Key       string   `json:"key,omitempty"`
	// Namespaces exist before the agent starts.
	Namespaces []string `json:"namespaces,omitempty"`
	// Admission is asked about each write of an object of the case.
	Admission []Admission `json:"admission,omitempty"`
	// Commits are made one after the other; each is synced before the next.
	Commits []Commit `json:"commits"`
	// Twin is a second agent with a repository of its own, which syncs after this
	// one's last commit. Its own Twin, Acts and Admission are not looked at.
	Twin *Case `json:"twin,omitempty"`
	// Acts are done by hand after the last sync, in this order, see Act.When.
	Acts []Act `json:"acts,omitempty"`
	// Verbs are what the plan must say of some objects, by inventory id; for cases
	// that are kept.
	Verbs map[string]string `json:"verbs,omitempty"`
}

// Commit changes files: text by path. A removed file is in Removed.
type Commit struct {
	Files   map[string]string `json:"files"`
	Removed []string          `json:"removed,omitempty"`
	// Links are symbolic: target by path. Submodules are commits of other
	// repositories, by path. Only the first commit has either.
	Links      map[string]string `json:"links,omitempty"`
	Submodules map[string]string `json:"submodules,omitempty"`
	// Ahead is one, the last, that the agent has not seen when it is planned.
	Ahead bool `json:"ahead,omitempty"`
}

// ahead reports whether Git holds a commit that the agent has not seen.
func (c *Case) ahead() bool { return c.Commits[len(c.Commits)-1].Ahead }

// Admission is a webhook.
type Admission struct {
	// Do is refuse (say no), label (add a label), sidecar (add a container to a pod
	// template) or note (write into an annotation who writes, at each write).
	Do string `json:"do"`
	// Group and Resource are whose writes it sees, in the case's namespaces.
	Group    string `json:"group,omitempty"`
	Resource string `json:"resource"`
	// Late is one that came after the agent's last sync.
	Late bool `json:"late,omitempty"`
}

// Act is one thing that a person or a controller does to a live object. If the
// object is not there, nothing happens.
type Act struct {
	// Do is patch (a JSON merge patch), apply (server-side), delete, create or
	// kubectl, which runs the real one with Args.
	Do string `json:"do"`
	// When is empty before it is planned; "planning" again and again while it is,
	// with the word ROUND in Body standing for 2 and 3 by turns; "planned" between
	// that and the take-over.
	When string `json:"when,omitempty"`
	// Args are kubectl's, less namespace and object; Edit is what sed does where
	// they call an editor.
	Args []string `json:"args,omitempty"`
	Edit string   `json:"edit,omitempty"`
	// Resource is "version/resource" or "group/version/resource".
	Resource    string `json:"resource"`
	Namespace   string `json:"namespace,omitempty"`
	Name        string `json:"name"`
	Subresource string `json:"subresource,omitempty"`
	// Manager is the field manager, as the tool in question would name itself.
	Manager string `json:"manager,omitempty"`
	// Body is JSON or YAML.
	Body string `json:"body,omitempty"`
}

// begins is what the object's inventory id begins with: all but its kind.
func (a Act) begins() string {
	return a.Namespace + "_" + a.Name + "_" + a.resource().Group + "_"
}

func (a Act) resource() schema.GroupVersionResource {
	parts := strings.Split(a.Resource, "/")
	gvr := schema.GroupVersionResource{Version: parts[0], Resource: parts[len(parts)-1]}
	if len(parts) == 3 {
		gvr.Group, gvr.Version = parts[0], parts[1]
	}
	return gvr
}

// at gives the case a prefix of its own.
func (c Case) at(prefix string) (Case, error) {
	raw, err := yaml.Marshal(c)
	if err != nil {
		return c, fmt.Errorf("case %s: %w", c.Name, err)
	}
	var out Case
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(string(raw), place, prefix)), &out); err != nil {
		return c, fmt.Errorf("case %s: %w", c.Name, err)
	}
	return out, nil
}

// kept reads the cases that once were divergences.
func kept(dir string) ([]Case, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var cases []Case
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var c Case
		if err := yaml.UnmarshalStrict(raw, &c); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if c.Name == "" || c.Why == "" || len(c.Commits) == 0 {
			return nil, fmt.Errorf("%s: a kept case needs name, why and commits", file)
		}
		cases = append(cases, c)
	}
	return cases, nil
}
