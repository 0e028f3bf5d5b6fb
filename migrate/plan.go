package migrate

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Plan says what a migration will do: which objects will be made, which
// credentials copied, and what will happen to every workload object. It holds
// no secret value. Its JSON form is a contract (docs/schemas).
type Plan struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"` // "Plan"
	Inputs     PlanInputs `json:"inputs"`
	// Proof is "server" if server-side dry-runs were made, under the accounts
	// concerned, of at least one repository for which no right to make them
	// lacked, else "offline". An object that was not tried all the same says
	// so in its "why"; where a right lacked or nothing was built, a blocker
	// holds its repository back.
	Proof        string       `json:"proof"`
	ClusterAgent ClusterAgent `json:"clusterAgent"`
	// Sources are complete GitRepository manifests.
	Sources      []*unstructured.Unstructured `json:"sources"`
	Credentials  []Credential                 `json:"credentials"`
	Accepted     []Decision                   `json:"accepted"`
	Repositories []Repository                 `json:"repositories"`
	Findings     []Finding                    `json:"findings"`
	// Seal is a hash over all of the above; see [Plan.SealUp].
	Seal string `json:"seal,omitempty"`
}

// PlanInputs identifies what the plan was made from. A plan is used only
// where they still hold.
type PlanInputs struct {
	// Cluster is the UID of the cluster's kube-system namespace.
	Cluster string `json:"cluster,omitempty"`
	Server  string `json:"server,omitempty"`
	Version string `json:"version,omitempty"`
	// Agents holds, per Repository id, what must be as planned of its agent.
	Agents map[string]Fingerprint `json:"agents"`
	// Options the plan was made with.
	Options Options `json:"options"`
	// Tool is the version of fluxover that made the plan.
	Tool string `json:"tool,omitempty"`
	// Objects holds, per Repository id and object id, hashes of what each verb
	// was judged from.
	Objects map[string]map[string]ObjectInputs `json:"objects,omitempty"`
}

// ObjectInputs are hashes of the forms of one object, taken without the values
// of Secrets. They tell that a form is another now, never what it was.
type ObjectInputs struct {
	// Rendered is what the new agent applies, Live the object in the cluster
	// less what its API server keeps about it; empty if there is none.
	Rendered string `json:"rendered,omitempty"`
	Live     string `json:"live,omitempty"`
	// Change is the values that the object's fields have and would get, where
	// some would change.
	Change string `json:"change,omitempty"`
	// Replicas is the number of replicas that Git says, if it says one of an
	// object that is in the cluster, in the clear.
	Replicas string `json:"replicas,omitempty"`
}

// Options of the planner, as given on the command line.
type Options struct {
	// Repositories limits the plan to these ids; empty means all.
	Repositories []string `json:"repositories,omitempty"`
	// GroupBy is "application" (default) or "path".
	GroupBy string `json:"groupBy,omitempty"`
	// Engine is "bundled" (default), "flux2" or "existing".
	Engine string `json:"engine,omitempty"`
	// WaveSize is how many Repositories a wave holds after the first, which
	// is a canary of one; 0 means 8.
	WaveSize int `json:"waveSize,omitempty"`
	// Owners of copied credentials, by Repository id; "*" is for all others.
	Owners map[string]Owner `json:"owners,omitempty"`
	// Decisions on acceptable findings.
	Decisions []Decision `json:"-"`
	// Staged: the accounts of the plan are made, and objects are tried as the one
	// that will apply them; else as the old agent's, unless a fence refuses that.
	Staged bool `json:"-"`
}

// ClusterAgent is the one agent that replaces the Flux1Agents.
type ClusterAgent struct {
	// Engine is "bundled", "flux2" or "existing".
	Engine    string `json:"engine"`
	Namespace string `json:"namespace"`
	// Release is the Helm release that installs it; empty if it exists.
	Release string `json:"release,omitempty"`
	// Args are flags it runs with beyond its chart's defaults.
	Args []string `json:"args,omitempty"`
}

// KindDecryption is the kind of the credential that holds the keys of
// spec.decryption.
const KindDecryption = "decryption"

// Credential is one copy of a Flux v1 agent's Git credential, or of its keys for
// files of SOPS, into a Secret of the shape that Flux v2 reads. It names places,
// never values.
type Credential struct {
	// To is the Secret to make.
	To ObjectRef `json:"to"`
	// Kind is "ssh", "basic", "ca" (anonymous access to a server whose
	// certificate is not the system's to know), "proxy", or "decryption" (keys
	// for files of SOPS, under names that end in .asc and .agekey).
	Kind string `json:"kind"`
	// From says, per key of the new Secret, where its value stands.
	From map[string]Value `json:"from"`
	// KnownHosts is the value of the key known_hosts, for "ssh".
	KnownHosts string `json:"knownHosts,omitempty"`
	// Agent is the Repository id whose Deployment's argument holds values
	// marked Argument.
	Agent string `json:"agent"`
	// Owner is who makes the Secret anew for a rebuilt cluster, since no file of
	// the flux-capacitor holds it, and OwnerWhy how that was decided.
	Owner    Owner  `json:"owner"`
	OwnerWhy string `json:"ownerWhy"`
}

// Owner is who keeps a Secret that the migration makes.
type Owner string

const (
	// OwnerTerraform: the configuration that declared the old agent.
	OwnerTerraform Owner = "terraform"
	// OwnerSOPS: an encrypted file in the flux-capacitor. Only an engine whose own
	// Kustomization of it decrypts can apply it.
	OwnerSOPS Owner = "sops"
	// OwnerExternal: whoever restores Secrets otherwise, such as a backup or a
	// Secret operator.
	OwnerExternal Owner = "external"
)

// ObjectRef names one object.
type ObjectRef struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Repository is the plan for one Flux1Agent and what it syncs.
type Repository struct {
	ID string `json:"id"`
	// Commit is what the old agent applied last, at which the new one adopts.
	Commit string `json:"commit"`
	// Wave, from 1, in which it is cut over.
	Wave int `json:"wave"`
	// After are the repositories that bring what it needs, and so have an
	// earlier wave.
	After []Dependency `json:"after,omitempty"`
	// Sources name the GitRepositories used, which may be shared.
	Sources []ObjectRef `json:"sources"`
	// Kustomizations are complete manifests with their final values, one per
	// application, in the order in which they are resumed.
	Kustomizations []*unstructured.Unstructured `json:"kustomizations"`
	// Supporting are complete manifests of what the Kustomizations need:
	// accounts, roles, bindings.
	Supporting []*unstructured.Unstructured `json:"supporting"`
	// Rights compare the old account with the new one; nil if the old one's are
	// not known.
	Rights *Rights `json:"rights,omitempty"`
	// Applications say which folder became which Kustomization, and why.
	Applications []Application `json:"applications"`
	// Objects say what will happen to each workload object.
	Objects []ObjectPlan `json:"objects"`
	// Adds are labels and annotations put on objects on purpose.
	Adds []Addition `json:"adds"`
	// Blocked is true if a finding holds it back.
	Blocked bool `json:"blocked"`
}

// Application is a part of a Repository that becomes one Kustomization.
type Application struct {
	// Name of the Kustomization.
	Name string `json:"name"`
	// Path is the Kustomization's path: a folder, from the repository's root,
	// written "./production/shop".
	Path string `json:"path"`
	// Source is the name of the GitRepository it reads.
	Source string `json:"source"`
	// Why it is an application of its own.
	Why string `json:"why"`
	// DependsOn are the applications that have to be there first.
	DependsOn []Dependency `json:"dependsOn,omitempty"`
}

// Verb says what happens to an object when the new agent adopts it.
type Verb string

const (
	// Adopt: labels, annotations and ownership change, nothing else.
	Adopt Verb = "adopt"
	// Change: the named fields change.
	Change Verb = "change"
	// Restart: the pod template changes, so pods are replaced.
	Restart Verb = "restart"
	// Create: it is not live and will be made.
	Create Verb = "create"
	// Skip: it is ignored by annotation, and stays so.
	Skip Verb = "skip"
	// Unmanage: Flux v1 manages it, the new agent will not. It stays.
	Unmanage Verb = "unmanage"
	// Stale: it carries the agent's mark but is no longer in Git. It stays.
	Stale Verb = "stale"
	// Conflict: something else claims it.
	Conflict Verb = "conflict"
)

// ObjectPlan is the prediction for one object.
type ObjectPlan struct {
	// ID is the Flux inventory id.
	ID string `json:"id"`
	// Application is the Kustomization's name; empty if none will own it.
	Application string `json:"application,omitempty"`
	Verb        Verb   `json:"verb"`
	// Fields that will change or go, as JSON paths such as
	// ".spec.template.metadata.annotations"; never values.
	Fields []string `json:"fields,omitempty"`
	// Why the verb is known, or what is not proven.
	Why string `json:"why,omitempty"`
}

// Addition is a label or annotation that fluxover puts on a live object on
// purpose.
type Addition struct {
	Object string `json:"object"`
	// Type is "label" or "annotation".
	Type  string `json:"type"`
	Key   string `json:"key"`
	Value string `json:"value"`
	Why   string `json:"why"`
}

// Repository returns the plan of one Repository, or nil.
func (p *Plan) Repository(id string) *Repository {
	for i := range p.Repositories {
		if p.Repositories[i].ID == id {
			return &p.Repositories[i]
		}
	}
	return nil
}

// Incomplete says why the manifests of a Repository of the plan are not those
// that a migration would make, but lack what could not be told; it is empty if
// they are whole. Files that stand somewhere are not replaced by such.
func (p *Plan) Incomplete(r *Repository) string {
	if len(r.Kustomizations) == 0 {
		return "nothing is planned of it"
	}
	for _, f := range p.Findings {
		if f.Repository != r.ID || f.Code == factsUnknown && f.Where == whereSynced {
			continue // no manifest hangs on the last commit
		}
		switch f.Code {
		case tooLarge:
			if ofKustomization(f) { // whose own manifest is whole
				continue
			}
			fallthrough
		case factsUnknown, urlUnsupported, notGenerated, stuck, sopsEncrypted, patchNotCarried:
			return f.Code + ": " + f.Message
		}
	}
	return ""
}

// ofKustomization reports whether a finding is about a Kustomization of the plan.
func ofKustomization(f Finding) bool {
	return strings.HasPrefix(f.Subject, "Kustomization/") || strings.Contains(f.Subject, " Kustomization/")
}

// Unrendered names the Repositories of which nothing is planned, and what of the others could not
// be rendered, by either engine, each with the place and code of the finding that says why: what
// it makes is not among their Objects. Of an application, if one is named, what builds another is
// left out.
func (p *Plan) Unrendered(application string) []string {
	var out []string
	for _, r := range p.Repositories {
		if len(r.Kustomizations) == 0 {
			out = append(out, r.ID)
			continue
		}
		for _, f := range p.Findings {
			switch {
			case f.Repository != r.ID:
				continue
			case f.Code == buildFailed, f.Code == tooLarge && ofKustomization(f):
				if application != "" && f.Subject != "Kustomization/"+application && !strings.HasSuffix(f.Subject, " Kustomization/"+application) {
					continue
				}
			case f.Code != notGenerated && f.Code != tooLarge && f.Code != stuck:
				continue
			}
			what := f.Subject
			if f.Where != "" {
				what += " " + f.Where
			}
			out = append(out, fmt.Sprintf("%s (%s)", what, f.Code))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Source returns the manifest of a GitRepository, or nil.
func (p *Plan) Source(ref ObjectRef) *unstructured.Unstructured {
	for _, s := range p.Sources {
		if s.GetName() == ref.Name && s.GetNamespace() == ref.Namespace {
			return s
		}
	}
	return nil
}
