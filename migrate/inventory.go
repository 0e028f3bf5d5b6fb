package migrate

import (
	"io/fs"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/reconcile/build"
)

// Inventory is what discovery found: every Flux v1 agent with its settings,
// each with its origin, and what is known of the cluster. Its JSON form is a
// contract (docs/schemas); fields tagged "-" live only in memory.
type Inventory struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"` // "Inventory"
	Cluster    Cluster      `json:"cluster"`
	Agents     []Flux1Agent `json:"agents"`
	Findings   []Finding    `json:"findings"`
	// StateOnly are the agents that a Terraform state holds and no
	// configuration declares.
	StateOnly []StateOnly `json:"-"`
}

// Twice is the id of an agent that the Inventory holds more than once, empty if it holds
// none: whatever is planned, counted or accepted is so by the id.
func (inv *Inventory) Twice() string {
	seen := map[string]bool{}
	for _, a := range inv.Agents {
		if seen[a.ID] {
			return a.ID
		}
		seen[a.ID] = true
	}
	return ""
}

// StateOnly is an agent that a Terraform state alone holds.
type StateOnly struct {
	ID    string // as of Flux1Agent
	Place TerraformPlace
}

// Cluster identifies a cluster and says what it serves.
type Cluster struct {
	// Name is the kubeconfig's name for it; Server its URL.
	Name   string `json:"name,omitempty"`
	Server string `json:"server,omitempty"`
	// From says which witness the facts come from: "cluster" or "terraform".
	From string `json:"from,omitempty"`
	// UID is the UID of the namespace kube-system, the only identity that a
	// cluster keeps.
	UID string `json:"uid,omitempty"`
	// Version is the API server's, such as "v1.33.2".
	Version string `json:"version,omitempty"`
	// Flux2 lists controllers of Flux v2 found running, "namespace/name".
	Flux2 []string `json:"flux2,omitempty"`
	// Kinds is what the cluster serves, for every group, version and kind.
	Kinds []ServedKind `json:"-"`
	// Namespaces that exist.
	Namespaces []string `json:"-"`
	// Home are bindings that others made, and that give rights to accounts of
	// AgentNamespace.
	Home []HomeBinding `json:"-"`
	// Control are the objects in AgentNamespace whose names a plan must keep
	// or leave alone.
	Control []ControlObject `json:"-"`
}

// ServedKind is one kind that the API server serves.
type ServedKind struct {
	Group, Version, Kind string
	Namespaced           bool
}

// Flux1Agent is one fluxd with what it syncs. Values are effective: the
// chart's and the daemon's defaults are filled in. What could not be known is
// zero and named in Unknown; in JSON it is null.
type Flux1Agent struct {
	// ID is "namespace/release", or "namespace/deployment" without Helm.
	ID           string `json:"id"`
	Namespace    string `json:"namespace"`
	Release      string `json:"release"`
	ChartVersion string `json:"chartVersion"`
	// InstalledBy is "helm", "manifest", "terraform" or "flux1".
	InstalledBy string `json:"installedBy"`
	// Workload is the Deployment's name in Namespace.
	Workload string `json:"workload"`
	// Running is nil without a cluster, and where pods may not be listed.
	Running *bool `json:"running"`
	// Cluster is the one that the agent is of, as far as its witnesses say; nil
	// if none does.
	Cluster *AgentCluster `json:"cluster"`

	Git                AgentGit    `json:"git"`
	Sync               AgentSync   `json:"sync"`
	ManifestGeneration bool        `json:"manifestGeneration"`
	SOPS               bool        `json:"sops"`
	AllowedNamespaces  []string    `json:"allowedNamespaces"`
	DefaultNamespace   string      `json:"defaultNamespace"`
	ImageAutomation    bool        `json:"imageAutomation"`
	ServiceAccount     string      `json:"serviceAccount"`
	Confinement        Confinement `json:"confinement"`
	// Terraform is where a Terraform configuration declares the agent; nil if
	// none does, or none was read.
	Terraform *TerraformPlace `json:"terraform"`
	Synced    Synced          `json:"synced"`
	Counts    Counts          `json:"counts"`
	Requests  Requests        `json:"requests"`
	// Memcached is what all pods of the memcached ask for that goes with the agent;
	// nothing if none does. One that goes with several is told of one of them.
	Memcached Requests  `json:"memcached"`
	Settings  []Setting `json:"settings"`
	// Unknown names what is not known, as in JSON: "git.url"; "image" and "replicas"
	// are the Deployment's, which JSON does not have. Of an object that is named as a
	// whole, such as "synced", what it holds nothing of is unknown.
	Unknown []string `json:"unknown"`

	// Replicas is the Deployment's spec.replicas as found.
	Replicas int32 `json:"-"`
	// Image of the fluxd container.
	Image string `json:"-"`
	// Parts are what the Deployment says beside its arguments, by name
	// ("env.HTTPS_PROXY", "volume./etc/fluxd/ssh"), to compare witnesses by; nil if it
	// is not known. One that is named by a beginning with a dot at its end and is
	// unknown stands for all of that beginning that are not there.
	Parts map[string]Part `json:"-"`
	// Selector of the Deployment's pods.
	Selector *metav1.LabelSelector `json:"-"`
	// Rights are the bindings of the agent's account, with their rules.
	Rights []Binding `json:"-"`
	// Identity is what the agent's account is to a cloud: its annotations that
	// give it a role there, by name. Empty without.
	Identity map[string]string `json:"-"`
	// SharedAccount is true when another workload uses the same account.
	SharedAccount bool `json:"-"`
	// Credential says where the agent's Git credentials stand.
	Credential AgentCredential `json:"-"`
	// Decryption says where the keys stand with which the agent decrypts files
	// of SOPS, by the key that each gets in the Secret of spec.decryption; empty
	// if none is known.
	Decryption map[string]Value `json:"-"`
	// DecryptsWith are those of Decryption that decrypt a file of the agent, at
	// Synced.Commit or Synced.Head; sorted. The others are not copied.
	DecryptsWith []string `json:"-"`
	// Keys are the keys of DecryptsWith themselves, for rendering in memory; nil
	// if no cluster was asked for them.
	Keys *build.Keys `json:"-"`
	// Tree is the repository's content at Synced.Commit; nil if it could not
	// be read (a finding says why).
	Tree fs.FS `json:"-"`
	// Files are the files below the agent's paths at Synced.Commit, and what
	// fluxd makes of each; sorted by path.
	Files []File `json:"-"`
	// Builds are the folders that fluxd has Kustomize build for those of the
	// agent's paths that a .flux.yaml governs, in the order of paths and
	// generators; also those whose build fails, which a finding says. A path
	// whose generators do anything else has none, and a finding.
	Builds []*KustomizeBuild `json:"-"`
	// Objects are what fluxd would apply, or knowingly leaves alone, at
	// Synced.Commit; in the order of files and documents.
	Objects []Object `json:"-"`
	// HeadObjects are Objects as fluxd would load them at Synced.Head; nil if
	// it could not, and then HeadProblem says why.
	HeadObjects []Object `json:"-"`
	HeadProblem string   `json:"-"`
	// Marked are live objects that carry this agent's garbage-collection
	// mark, whether in Git or not.
	Marked []string `json:"-"`
}

// AgentCluster says which cluster an agent is of.
type AgentCluster struct {
	// Name is the kubeconfig's or the cloud's; Server the API server's URL.
	// Either may be empty.
	Name   string `json:"name,omitempty"`
	Server string `json:"server,omitempty"`
	// From is the witness: "cluster" or "terraform".
	From string `json:"from"`
}

// AgentGit is what an agent reads.
type AgentGit struct {
	// URL as configured, less its password.
	URL    string `json:"url"`
	Branch string `json:"branch"`
	// Paths as configured and in order; empty means the whole repository.
	Paths        []string        `json:"paths"`
	PollInterval metav1.Duration `json:"pollInterval"`
	Timeout      metav1.Duration `json:"timeout"`
	ReadOnly     bool            `json:"readonly"`
	SecretName   string          `json:"secretName"`
	// SyncTag is the tag that marks the last synced commit.
	SyncTag string `json:"syncTag"`
}

// GarbageCollection is Flux v1's setting for deleting what left Git.
type GarbageCollection string

const (
	CollectOn  GarbageCollection = "on"
	CollectOff GarbageCollection = "off"
	// CollectDry only logs what it would delete; for a plan it is off.
	CollectDry GarbageCollection = "dry"
)

// AgentSync is how an agent syncs.
type AgentSync struct {
	Interval          metav1.Duration   `json:"interval"`
	Timeout           metav1.Duration   `json:"timeout"`
	GarbageCollection GarbageCollection `json:"garbageCollection"`
	// State is where the last synced commit is kept: "git" (a tag) or
	// "secret" (an annotation on the deploy key's Secret).
	State string `json:"state"`
}

// Confinement sums up an agent's rights.
type Confinement struct {
	// Kind is "cluster-admin" (every verb on every resource), "namespaces"
	// (rights in the listed namespaces only), "custom" or "none".
	Kind       string   `json:"kind"`
	Namespaces []string `json:"namespaces,omitempty"`
}

// Confined reports whether an agent is kept to a part of the cluster, by its account
// or by itself.
func (a *Flux1Agent) Confined() bool {
	return a.Confinement.Kind != "cluster-admin" || len(a.AllowedNamespaces) > 0
}

// TerraformPlace is where a configuration declares an agent.
type TerraformPlace struct {
	// Dir is the root module as it was named to discovery.
	Dir string `json:"dir"`
	// Address is that of the resource instance, as Terraform writes it.
	Address string `json:"address"`
	// Instance is the key of count or for_each, such as 0 or "shop"; empty
	// without one.
	Instance string `json:"instance,omitempty"`
	// Where is the file and line, the file relative to the tree that was read.
	Where string `json:"where,omitempty"`
	// State is true if a given state holds the instance.
	State bool `json:"state,omitempty"`
}

// Synced says how far an agent got.
type Synced struct {
	// Commit is the agent's sync mark; unknown as well where it left none, which
	// the finding NEVER_SYNCED says.
	Commit string `json:"commit"`
	// Behind counts commits of the branch's head that are not in Commit; -1
	// if not known, which is null in JSON.
	Behind int `json:"behind"`
	// Head is the branch's head when it was read.
	Head string `json:"head,omitempty"`
}

// Counts of what an agent syncs at Synced.Commit.
type Counts struct {
	Objects      int `json:"objects"`
	Applications int `json:"applications"`
	// Orphans are live objects that carry the agent's mark and that its
	// repository does not hold.
	Orphans int `json:"orphans"`
}

// Requests is what a pod of the agent holds, with its sidecars and the defaults of its
// namespace where one runs that may be read, as Kubernetes quantities; empty where it
// asks for nothing.
type Requests struct {
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
}

// Fate says what becomes of a setting.
type Fate string

const (
	Carried Fate = "carried"
	Dropped Fate = "dropped"
	Blocks  Fate = "blocks"
	Unknown Fate = "unknown"
)

// What Setting.To says where a person settles what becomes of a setting: one that no
// other finding tells of is told of by SETTINGS_UNDECIDED.
const (
	ByPerson  = "a person's decision"
	ByFinding = "a person's decision, which a finding tells of"
)

// Setting is one flag, chart value or attribute that was read.
type Setting struct {
	Name string `json:"name"`
	// Value is "***" where it is secret.
	Value string   `json:"value"`
	Fate  Fate     `json:"fate"`
	To    string   `json:"to,omitempty"`
	Why   string   `json:"why,omitempty"`
	From  []Origin `json:"from"`

	// Digest is the [Digest] of the value where Value hides some of it and the value
	// is known; it never leaves the process.
	Digest string `json:"-"`
}

// Origin is one place where a setting was read.
type Origin struct {
	Witness string `json:"witness"` // cluster, terraform, git, values
	Where   string `json:"where"`
}

// Binding is one RoleBinding or ClusterRoleBinding that names an agent's
// account or one of its groups.
type Binding struct {
	// Namespace is empty for a ClusterRoleBinding.
	Namespace string
	Name      string
	// Role is what it binds, with its rules.
	Role  rbacv1.RoleRef
	Rules []rbacv1.PolicyRule
	// Aggregated is true if the role's rules are gathered by labels.
	Aggregated bool
	// ReleaseOwned is true if the agent's Helm release owns the role, so that
	// it goes when the release is removed.
	ReleaseOwned bool
	// Group is the group through which the account is bound; empty if it is
	// named itself.
	Group string
}

// AgentCredential says where an agent's Git credentials stand, by name and
// key, never by value.
type AgentCredential struct {
	// Kind is "ssh", "basic" or "none" (anonymous).
	Kind string
	// Identity is the private key, for "ssh".
	Identity SecretKey
	// Username and Password, for "basic". The zero Value means that the URL
	// holds none: a token often stands alone as the user name.
	Username, Password Value
	// KnownHosts are the lines the agent trusts beside those of its image;
	// public, so held by value.
	KnownHosts string
	// CA is where certificates (PEM) stand that the agent trusts for its Git
	// server; zero if it trusts those of its image alone.
	CA Value `json:",omitzero"`
	// Proxy is where the address of the proxy stands through which the agent
	// reaches its Git server, with the proxy's own user and password, if it has
	// any; zero if it uses none.
	Proxy Value `json:",omitzero"`
}

// tokenInPlainText reports whether the user name is held by value and stands
// alone, so that it may be a token: then it must not be shown or stored.
func (c AgentCredential) tokenInPlainText() bool {
	return c.Kind == "basic" && c.Username.Literal != "" && c.Password == Value{}
}

// SecretKey names one key of a Secret, or of a ConfigMap.
type SecretKey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Key       string `json:"key"`
}

// Value says where a value stands.
type Value struct {
	// Secret holds it, if set.
	Secret *SecretKey `json:"secret,omitempty"`
	// ConfigMap holds it, if set.
	ConfigMap *SecretKey `json:"configMap,omitempty"`
	// Literal is a user name that stands in the URL itself, or the address of a
	// proxy; never a password.
	Literal string `json:"literal,omitempty"`
	// Argument is true if it stands in the Deployment's --git-url argument:
	// the executor reads it there, the plan does not hold it.
	Argument bool `json:"argument,omitempty"`
	// Variable names the variable of the Deployment's container in which it
	// stands in plain text: the executor reads it there, the plan does not hold
	// it.
	Variable string `json:"variable,omitempty"`
	// Netrc is set where the Secret holds a .netrc: the host of the login of which this
	// is the user name or the password, whichever the credential has it for.
	Netrc string `json:"netrc,omitempty"`
	// PercentEncoded is true if it must be decoded before use outside a URL.
	PercentEncoded bool `json:"percentEncoded,omitempty"`
}

// FileKind says what fluxd makes of a file.
type FileKind string

const (
	// FileManifest: fluxd loads it and finds at least one object in it.
	FileManifest FileKind = "manifest"
	// FileSilent: fluxd loads it and finds no object (no document has a kind).
	FileSilent FileKind = "silent"
	// FileUnread: what it holds is not known, since it cannot be read or is too
	// large; fluxd may or may not find objects in it once it is mended.
	FileUnread FileKind = "unread"
	// FileChart: inside a Helm chart's folder, which fluxd skips.
	FileChart FileKind = "chart"
	// FileLink: a symbolic link to a file, which fluxd reads through and
	// Flux v2 drops.
	FileLink FileKind = "link"
	// FileEncrypted: a SOPS file.
	FileEncrypted FileKind = "sops"
)

// File is one .yaml or .yml file below an agent's paths.
type File struct {
	// Path from the repository's root, with slashes.
	Path string
	Kind FileKind
	// Root is the agent's path (as configured) that reaches it.
	Root string
	// Kustomization is true if it is a file that kustomize builds its folder
	// from (kustomization.yaml, kustomization.yml, Kustomization).
	Kustomization bool
}

// ObjectClass says what fluxd does with an object of a repository.
type ObjectClass string

const (
	ClassApplied ObjectClass = "applied"
	// ClassIgnored: an ignore annotation of "true", in Git or live.
	ClassIgnored ObjectClass = "ignored"
	// ClassSyncOnly: applied, never collected.
	ClassSyncOnly ObjectClass = "sync_only"
	// ClassForeign: in a namespace the agent may not act in.
	ClassForeign ObjectClass = "foreign"
	// ClassUnknownKind: not served and not defined by a CRD of the set.
	ClassUnknownKind ObjectClass = "unknown-kind"
)

// Object is one object of an agent's repository at the planned commit, as
// fluxd would send it to the API server, less its marks.
type Object struct {
	// ID is the Flux inventory id, see [ObjectID].
	ID    string
	Class ObjectClass
	// File and Line where its document begins.
	File string
	Line int
	// Manifest with the namespace filled in; nil for an encrypted file that is
	// not carried over.
	Manifest *unstructured.Unstructured
	// Encrypted is true if SOPS encrypted it in Git and the new agent decrypts it
	// too. Manifest is then in plain text: all its values are secret.
	Encrypted bool
	// NamespaceFilled is true if Git names no namespace and fluxd fills it.
	NamespaceFilled bool
	// NamespaceUnknown is true if Git names no namespace and fluxd fills in its
	// default one, which is not known: the object stands without one.
	NamespaceUnknown bool
	// NamespaceDropped is true if Git names a namespace and the kind knows none:
	// the API server passes over it.
	NamespaceDropped bool
	// ScopeUnknown is true if Git names no namespace, and nothing that was read tells
	// whether the kind has one: the object stands as one of the cluster.
	ScopeUnknown bool
	// Build is the folder that Kustomize makes it of, where a .flux.yaml has it
	// do so; nil for an object that is loaded from its file. File is then where
	// the object comes from, as far as Kustomize tells.
	Build *KustomizeBuild
	// Origin is Kustomize's note of where the object comes from, where Build is
	// set; short YAML.
	Origin string
	// Checksum is what fluxd 1.12 and later notes on the object when it applies it;
	// empty where that is not known, as of an object that is generated or encrypted.
	Checksum string
	// Patches of the .flux.yaml's patch file, which fluxd applies to the object
	// after the build, in order. Manifest is the object with them.
	Patches []*unstructured.Unstructured
}

// KustomizeBuild is one folder that a generator of a .flux.yaml has Kustomize
// build, and nothing more. (flux: docs/references/fluxyaml-config-files.md)
type KustomizeBuild struct {
	// Root is the agent's path, as configured, whose manifests are generated;
	// File is the .flux.yaml.
	Root, File string
	// Folder from the repository's root; "." is the root itself.
	Folder string
	// PatchFile of the .flux.yaml, from the repository's root; empty without.
	PatchFile string
	// Namespace, NamePrefix and NameSuffix are what the folder's own
	// kustomization file sets on all that it builds, after its patches.
	Namespace, NamePrefix, NameSuffix string
	// Reads are the files that it is made of, in the order of their paths: of one
	// that cannot be built those that were read until then, or "." if none was.
	Reads []string
	// NoResources is true if the folder's kustomization file names none under
	// resources; it may have bases, components or generators.
	NoResources bool
}
