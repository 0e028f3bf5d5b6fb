package reconcile

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
)

// Options are the flags of `fluxover agent`. NewOptions fills in the defaults;
// the zero value is not usable. Flags that stock controllers have bear their
// names and meanings.
type Options struct {
	// StoragePath is the folder for unpacked trees and artifacts. It is created.
	// It may be lost at any time: what is needed is fetched again.
	StoragePath string
	// StorageAddr is where artifacts are served over HTTP; empty serves none, and
	// artifacts then have no URL.
	StorageAddr string
	// StorageAdvAddr is host[:port] under which others reach StorageAddr; empty
	// takes the host name of this machine and the port of StorageAddr.
	StorageAdvAddr string
	// MaxTreeBytes limits an unpacked tree and an artifact; 0 takes the default of
	// reconcile/source.
	MaxTreeBytes int64
	// MetricsAddr and HealthAddr are listening addresses; "0" or empty turns one off.
	MetricsAddr string
	HealthAddr  string
	// EventsAddr is the address of a notification-controller; empty sends no
	// events but those of Kubernetes.
	EventsAddr string
	// Concurrent is how many Kustomizations, and how many GitRepositories, are
	// worked on at the same time, and as many Kustomizations more that are applied
	// for the first time. One that takes longer than a few seconds makes room for
	// others (lanes.go).
	Concurrent int
	// ConcurrentSSA is how many objects of one Kustomization are dry-run at the same time.
	ConcurrentSSA int
	// RequeueDependency is the fallback with which a Kustomization whose source or
	// dependency is not ready looks again. Ordinarily an event wakes it.
	RequeueDependency time.Duration
	// FullCheck is the longest time after which every object is compared with the
	// cluster by dry-run although nothing told of a change. Twelve intervals of the
	// Kustomization are a second limit; the lower one holds.
	FullCheck time.Duration
	// NoCrossNamespaceRefs refuses a sourceRef or a dependency in another namespace.
	NoCrossNamespaceRefs bool
	// NoRemoteBases is always on: false is refused.
	NoRemoteBases bool
	// DefaultServiceAccount is the account, in a Kustomization's namespace, that is
	// impersonated when the Kustomization names none; empty acts as the agent itself.
	DefaultServiceAccount string
	// DeletionBudget is the largest number of objects that one reconciliation of a
	// Kustomization may delete; 0 is no limit. See AllowDeletionsAnnotation.
	DeletionBudget int
	// OverrideManagers are further field managers whose fields are taken over.
	OverrideManagers []string
	// EnableLeaderElection makes the agent wait for its own lease and those of
	// stock source-controller and kustomize-controller, and end when it loses one.
	EnableLeaderElection bool
	// LeaseDuration, RenewDeadline and RetryPeriod are those of client-go.
	LeaseDuration time.Duration
	RenewDeadline time.Duration
	RetryPeriod   time.Duration
	// WatchLabelSelector selects the GitRepositories and Kustomizations to reconcile.
	WatchLabelSelector string
	// WatchAllNamespaces false watches Namespace only.
	WatchAllNamespaces bool
	// Namespace is where the agent runs and its leases are.
	Namespace string
	// QPS and Burst limit requests to the API server; a negative QPS is no limit.
	QPS   float32
	Burst int
	// LogLevel is trace, debug, info, warn or error.
	LogLevel string
}

const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// NewOptions returns the defaults. Namespace is taken from RUNTIME_NAMESPACE,
// else from the pod's service account, else it is flux-system.
func NewOptions() Options {
	namespace := os.Getenv("RUNTIME_NAMESPACE")
	if namespace == "" {
		// Absent outside of a cluster, which is no error.
		content, err := os.ReadFile(namespaceFile)
		if err == nil {
			namespace = strings.TrimSpace(string(content))
		}
	}
	if namespace == "" {
		namespace = "flux-system"
	}
	return Options{
		StoragePath:       "/data",
		StorageAddr:       ":9090",
		MetricsAddr:       ":8080",
		HealthAddr:        ":9440",
		Concurrent:        4,
		ConcurrentSSA:     4,
		RequeueDependency: 30 * time.Second,
		FullCheck:         time.Hour,
		NoRemoteBases:     true,
		DeletionBudget:    250,
		// Stock Flux v2 has it off; here two engines at once are the worst that can be.
		EnableLeaderElection: true,
		LeaseDuration:        35 * time.Second,
		RenewDeadline:        30 * time.Second,
		RetryPeriod:          10 * time.Second,
		WatchAllNamespaces:   true,
		Namespace:            namespace,
		QPS:                  300,
		Burst:                600,
		LogLevel:             "info",
	}
}

// BindFlags makes flags that set o, with o's present values as defaults.
func (o *Options) BindFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.StoragePath, "storage-path", o.StoragePath, "folder for unpacked trees and artifacts")
	flags.StringVar(&o.StorageAddr, "storage-addr", o.StorageAddr, "address on which artifacts are served; empty serves none")
	flags.StringVar(&o.StorageAdvAddr, "storage-adv-addr", o.StorageAdvAddr, "host[:port] under which others reach --storage-addr")
	flags.Int64Var(&o.MaxTreeBytes, "max-tree-bytes", o.MaxTreeBytes, "largest unpacked tree of a commit; 0 takes the built-in limit")
	flags.StringVar(&o.MetricsAddr, "metrics-addr", o.MetricsAddr, "address of the metrics endpoint; 0 turns it off")
	flags.StringVar(&o.HealthAddr, "health-addr", o.HealthAddr, "address of /healthz and /readyz; 0 turns it off")
	flags.StringVar(&o.EventsAddr, "events-addr", o.EventsAddr, "address of a notification-controller")
	flags.IntVar(&o.Concurrent, "concurrent", o.Concurrent, "how many Kustomizations are worked on at the same time")
	flags.IntVar(&o.ConcurrentSSA, "concurrent-ssa", o.ConcurrentSSA, "how many objects of one Kustomization are dry-run at the same time")
	flags.DurationVar(&o.RequeueDependency, "requeue-dependency", o.RequeueDependency, "fallback for looking again at a dependency or source that is not ready")
	flags.DurationVar(&o.FullCheck, "full-check", o.FullCheck, "longest time between two full checks of every object (at most 12 intervals)")
	flags.BoolVar(&o.NoCrossNamespaceRefs, "no-cross-namespace-refs", o.NoCrossNamespaceRefs, "refuse references to other namespaces")
	flags.BoolVar(&o.NoRemoteBases, "no-remote-bases", o.NoRemoteBases, "always on: Kustomize bases are read from the source only")
	flags.StringVar(&o.DefaultServiceAccount, "default-service-account", o.DefaultServiceAccount, "account impersonated for a Kustomization that names none")
	flags.IntVar(&o.DeletionBudget, "deletion-budget", o.DeletionBudget, "most objects one reconciliation may delete; 0 is no limit")
	flags.StringArrayVar(&o.OverrideManagers, "override-manager", o.OverrideManagers, "field manager whose fields are taken over")
	flags.BoolVar(&o.EnableLeaderElection, "enable-leader-election", o.EnableLeaderElection, "act only while holding the leases of this agent and of the stock controllers")
	flags.DurationVar(&o.LeaseDuration, "leader-election-lease-duration", o.LeaseDuration, "how long a lease that is not renewed holds")
	flags.DurationVar(&o.RenewDeadline, "leader-election-renew-deadline", o.RenewDeadline, "how long renewing a lease is tried before the agent ends")
	flags.DurationVar(&o.RetryPeriod, "leader-election-retry-period", o.RetryPeriod, "time between two tries to take or renew a lease")
	flags.StringVar(&o.WatchLabelSelector, "watch-label-selector", o.WatchLabelSelector, "labels of the objects to reconcile (sharding.fluxcd.io/key=…)")
	flags.BoolVar(&o.WatchAllNamespaces, "watch-all-namespaces", o.WatchAllNamespaces, "false watches the agent's own namespace only")
	flags.StringVar(&o.Namespace, "runtime-namespace", o.Namespace, "namespace of the agent and its leases")
	flags.Float32Var(&o.QPS, "kube-api-qps", o.QPS, "requests per second to the API server; negative is no limit")
	flags.IntVar(&o.Burst, "kube-api-burst", o.Burst, "requests to the API server in a burst")
	flags.StringVar(&o.LogLevel, "log-level", o.LogLevel, "trace, debug, info, warn or error")
}

// Validate tells what is wrong with o, all of it.
func (o Options) Validate() error {
	var errs []error
	if o.StoragePath == "" {
		errs = append(errs, errors.New("--storage-path is empty: name a folder for unpacked trees"))
	}
	if o.Concurrent < 1 {
		errs = append(errs, errors.New("--concurrent must be at least 1"))
	}
	if o.ConcurrentSSA < 1 {
		errs = append(errs, errors.New("--concurrent-ssa must be at least 1"))
	}
	if o.FullCheck <= 0 {
		errs = append(errs, errors.New("--full-check must be a positive duration: objects that are never compared can drift unseen"))
	}
	if o.RequeueDependency <= 0 {
		errs = append(errs, errors.New("--requeue-dependency must be a positive duration"))
	}
	if o.DeletionBudget < 0 {
		errs = append(errs, errors.New("--deletion-budget must not be negative; 0 is no limit"))
	}
	if !o.NoRemoteBases {
		errs = append(errs, errors.New("--no-remote-bases=false is not supported: this agent reads Kustomize bases from the source only"))
	}
	if _, err := labels.Parse(o.WatchLabelSelector); err != nil {
		errs = append(errs, fmt.Errorf("--watch-label-selector: %w", err))
	}
	if o.EnableLeaderElection && (o.RenewDeadline >= o.LeaseDuration || o.RetryPeriod*6/5 >= o.RenewDeadline) {
		errs = append(errs, errors.New("leader election needs lease duration > renew deadline > 1.2 × retry period"))
	}
	if _, err := logLevel(o.LogLevel); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
