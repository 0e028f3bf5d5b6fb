// Package migrate holds the nouns of a hand-over from Flux v1 to Flux v2 and
// the planner that turns one into the other.
//
// An [Inventory] is what discovery found; [Build] maps it to a [Plan]. Both
// are plain values: they can be printed, compared, stored and reviewed before
// anything happens. The package reads no clock, no file, no network and no
// cluster, and changes nothing: the same input gives the same plan, byte for
// byte.
package migrate

// APIVersion is the version of every JSON document that fluxover writes for
// people's scripts. Fields are only ever added under one version.
const APIVersion = "fluxover.dev/v1"

// Keys that fluxover puts on the control objects it makes (sources,
// Kustomizations, accounts, copies of credentials, journals), never on
// workloads. Removing them makes fluxover forget that it made the object.
const (
	// LabelNamespace and LabelRelease together name the Repository an object
	// belongs to; two labels, because a label value holds no slash.
	LabelNamespace = "fluxover.dev/namespace"
	LabelRelease   = "fluxover.dev/release"
	// LabelManaged marks every object made by fluxover ("true").
	LabelManaged = "fluxover.dev/managed"
	// AnnotationRepository holds the Repository's id, "namespace/release".
	// Objects shared by several Repositories hold all ids, sorted, joined by
	// commas.
	AnnotationRepository = "fluxover.dev/repository"
)

// FieldManager is the name under which fluxover's executor writes. It must
// not start with "kubectl": Flux v2 takes over the fields of such managers.
const FieldManager = "fluxover"

// FencePrefix begins the name of every fence: the admission policy that keeps
// an old agent from writing.
const FencePrefix = "fluxover-fence."

// Namespaces of the things fluxover makes.
const (
	// AgentNamespace holds the ClusterAgent and, unless a tenant has a
	// namespace of its own for them, the sources and Kustomizations.
	AgentNamespace = "flux-system"
	// StateNamespace holds the Lease, the journals (ConfigMaps) and the
	// Snapshots (Secrets).
	StateNamespace = "fluxover-system"
)
