package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	kubesource "sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/fluxover/fluxover/reconcile/cluster"
	"github.com/fluxover/fluxover/reconcile/source"
)

// Names of indexes over Kustomizations in the cache.
const (
	bySource     = "source"
	byDependency = "dependency"
)

// stopLimit is how long reconciliations may go on after the agent is told to
// end. What is applied by then is complete; the rest is taken up by the next agent.
const stopLimit = 30 * time.Second

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(sourcev1.AddToScheme(s))
	utilruntime.Must(kustomizev1.AddToScheme(s))
	return s
}()

// logLevel reads --log-level; trace is below debug.
func logLevel(name string) (slog.Level, error) {
	if name == "trace" {
		return slog.LevelDebug - 4, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("--log-level %q: take trace, debug, info, warn or error", name)
	}
	return level, nil
}

// Run reconciles until ctx ends, and then returns nil after the work under way
// has ended (at most half a minute). It acts with cfg's rights, as other
// accounts where Kustomizations name them. It logs JSON to stderr. An error
// means that it could not start, or that it lost a lease; the process must end,
// and a new one may start at once.
func Run(ctx context.Context, cfg *rest.Config, opts Options) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	level, err := logLevel(opts.LogLevel)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	if err := registerMetrics(); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = opts.QPS, opts.Burst
	// The server warns about the finalizers of Flux each time they are written.
	cfg.WarningHandler = rest.NoWarnings{}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "fluxover-agent"
	}
	if err := definitionsServed(ctx, cfg, log); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return fmt.Errorf("start agent: %w", err)
	}
	a, err := newAgent(cfg, opts, log)
	if ctx.Err() != nil {
		return nil // whatever it was busy with
	}
	if err != nil {
		return fmt.Errorf("start agent: %w", err)
	}
	return a.run(ctx)
}

// patienceForDefinitions is how long the agent waits for the kinds that it
// reconciles: an API server serves them some time after they were created. It
// is not alive for probes meanwhile, so it ends before the kubelet would end it.
const patienceForDefinitions = 15 * time.Second

// definitionsServed waits until the API server serves the agent's kinds.
func definitionsServed(ctx context.Context, cfg *rest.Config, log *slog.Logger) error {
	client, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return err
	}
	told := false
	return cluster.Wait(ctx, time.Second, patienceForDefinitions, func(ctx context.Context) (bool, string, error) {
		for _, kind := range []schema.GroupVersionKind{
			sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind), kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind),
		} {
			served := &metav1.APIResourceList{}
			err := client.RESTClient().Get().AbsPath("/apis", kind.Group, kind.Version).Do(ctx).Into(served)
			if err != nil && !apierrors.IsNotFound(err) {
				return false, "", err
			}
			if err == nil && slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Kind == kind.Kind }) {
				continue
			}
			if !told {
				told = true
				log.Info("waiting for the API server to serve a kind", "kind", kind.Kind, "version", kind.GroupVersion().String())
			}
			return false, fmt.Sprintf("the API server does not serve %s of %s; install the CRDs of the agent", kind.Kind, kind.GroupVersion()), nil
		}
		return true, "", nil
	})
}

// agent holds the parts of one running agent.
type agent struct {
	manager        manager.Manager
	leases         *leases
	kustomizations *kustomizer
	sources        *gitSources
	controllers    []controller.Controller
	opts           Options
	log            *slog.Logger
	started        atomic.Bool // once its caches are filled
	acting         atomic.Bool
	wakeKs         chan event.TypedGenericEvent[types.NamespacedName]
	wakeSource     chan event.TypedGenericEvent[types.NamespacedName]
}

func newAgent(cfg *rest.Config, opts Options, log *slog.Logger) (*agent, error) {
	selector, err := labels.Parse(opts.WatchLabelSelector)
	if err != nil {
		return nil, err
	}
	cacheOptions := cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&sourcev1.GitRepository{}:    {Label: selector},
			&kustomizev1.Kustomization{}: {Label: selector},
		},
		DefaultTransform: cache.TransformStripManagedFields(),
	}
	namespace := ""
	if !opts.WatchAllNamespaces {
		namespace = opts.Namespace
		cacheOptions.DefaultNamespaces = map[string]cache.Config{namespace: {}}
	}
	mgr, err := ctrl.NewManager(cfg, manager.Options{
		Scheme:                  scheme,
		Cache:                   cacheOptions,
		Metrics:                 server.Options{BindAddress: orOff(opts.MetricsAddr)},
		HealthProbeBindAddress:  orOff(opts.HealthAddr),
		GracefulShutdownTimeout: ptr.To(stopLimit),
		Logger:                  logr.FromSlogHandler(log.Handler()),
	})
	if err != nil {
		return nil, err
	}
	store, err := source.Open(filepath.Join(opts.StoragePath, "trees"), source.Options{MaxTreeBytes: opts.MaxTreeBytes, Log: log})
	if err != nil {
		return nil, err
	}
	archives, err := newArtifacts(opts, log)
	if err != nil {
		return nil, err
	}
	held, err := newLeases(cfg, opts, log)
	if err != nil {
		return nil, err
	}
	metadataClient, err := metadata.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}

	a := &agent{
		manager: mgr, leases: held, opts: opts, log: log,
		wakeKs:     make(chan event.TypedGenericEvent[types.NamespacedName], 1024),
		wakeSource: make(chan event.TypedGenericEvent[types.NamespacedName], 1024),
	}
	content := &trees{}
	lanesOfSources := newLanes(opts.Concurrent, patience)
	lanesOfKs := newLanes(opts.Concurrent, patience)
	//lint:ignore SA1019 stock controllers write these events, and flux reads them
	sourceEvents := newEvents(mgr.GetEventRecorderFor(sourceController), scheme, sourceController, opts.EventsAddr, log)
	//lint:ignore SA1019 as above
	ksEvents := newEvents(mgr.GetEventRecorderFor(kustomizeController), scheme, kustomizeController, opts.EventsAddr, log)
	a.sources = &gitSources{
		client: mgr.GetClient(), live: mgr.GetAPIReader(), store: store, trees: content, artifacts: archives,
		events: sourceEvents, lanes: lanesOfSources, treeArrived: a.treeArrived, log: log,
		polls: &polls{now: time.Now, wake: func(name types.NamespacedName) { send(a.wakeSource, name) }},
	}
	drift := &driftWatch{
		client: metadataClient, mapper: mgr.GetRESTMapper(), namespace: namespace, log: log,
		wake: func(name types.NamespacedName) { send(a.wakeKs, name) },
	}
	a.kustomizations = &kustomizer{
		client: mgr.GetClient(), live: mgr.GetAPIReader(), trees: content, events: ksEvents, lanes: lanesOfKs,
		drift: drift, opts: opts, neighbourLimit: neighbourLimit, renderings: make(chan struct{}, max(opts.Concurrent, 1)), now: time.Now, log: log,
		accounts: &accounts{cfg: cfg, mapper: mgr.GetRESTMapper(), reader: mgr.GetAPIReader(), fallback: opts.DefaultServiceAccount},
	}
	if err := a.index(); err != nil {
		return nil, err
	}
	if err := a.watch(lanesOfSources.workers(), lanesOfKs.workers()); err != nil {
		return nil, err
	}
	for _, part := range []manager.Runnable{archives, sourceEvents, ksEvents, drift, manager.RunnableFunc(a.act)} {
		if err := mgr.Add(part); err != nil {
			return nil, err
		}
	}
	if err := mgr.AddHealthzCheck("ping", func(*http.Request) error { return nil }); err != nil {
		return nil, err
	}
	return a, mgr.AddReadyzCheck("acting", a.ready)
}

// ready answers /readyz: the agent acts, or stands by for another agent.
func (a *agent) ready(*http.Request) error {
	if a.acting.Load() || !a.opts.EnableLeaderElection {
		return nil
	}
	return a.leases.ready()
}

func (a *agent) run(ctx context.Context) error {
	defer func() {
		if err := a.sources.store.Close(); err != nil {
			a.log.Warn("what was fetched is not removed: the next start does it", "error", err)
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- a.manager.Start(ctx) }()
	select {
	case <-ctx.Done():
		if !a.started.Load() {
			// Nothing is under way, and controller-runtime goes on waiting for its
			// caches, however long the API server does not answer.
			a.log.Warn("told to end before the API server listed what there is: nothing was reconciled")
			return nil
		}
	case err := <-ended:
		ended <- err
	}
	err := <-ended
	if ctx.Err() != nil && !errors.Is(err, errLeaseLost) {
		return nil
	}
	if err == nil {
		return errors.New("agent ended by itself")
	}
	return err
}

// act starts the controllers once the leases are held.
func (a *agent) act(ctx context.Context) error {
	a.started.Store(true)
	work := func(ctx context.Context) error {
		a.acting.Store(true)
		defer a.acting.Store(false)
		a.log.Info("acting")
		group, ctx := errgroup.WithContext(ctx)
		for _, c := range a.controllers {
			group.Go(func() error { return c.Start(ctx) })
		}
		return group.Wait()
	}
	if !a.opts.EnableLeaderElection {
		return work(ctx)
	}
	err := a.leases.hold(ctx, work)
	if ctx.Err() != nil && !errors.Is(err, errLeaseLost) {
		return nil
	}
	return err
}

func (a *agent) index() error {
	fields := a.manager.GetFieldIndexer()
	err := fields.IndexField(context.Background(), &kustomizev1.Kustomization{}, bySource, func(o client.Object) []string {
		k, ok := o.(*kustomizev1.Kustomization)
		if !ok || k.Spec.SourceRef.Kind != sourcev1.GitRepositoryKind {
			return nil
		}
		return []string{sourceName(k).String()}
	})
	if err != nil {
		return fmt.Errorf("index Kustomizations by source: %w", err)
	}
	err = fields.IndexField(context.Background(), &kustomizev1.Kustomization{}, byDependency, func(o client.Object) []string {
		k, ok := o.(*kustomizev1.Kustomization)
		if !ok {
			return nil
		}
		var names []string
		for _, reference := range k.Spec.DependsOn {
			names = append(names, dependencyName(k, reference).String())
		}
		return names
	})
	if err != nil {
		return fmt.Errorf("index Kustomizations by dependency: %w", err)
	}
	return nil
}

// watch makes the two controllers and what wakes them.
func (a *agent) watch(sourceWorkers, ksWorkers int) error {
	limiter := func() workqueue.TypedRateLimiter[reconcile.Request] {
		return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, longestRetry)
	}
	logger := logr.FromSlogHandler(a.log.Handler())
	sources, err := controller.NewUnmanaged("gitrepository", controller.Options{
		Reconciler: a.sources, MaxConcurrentReconciles: sourceWorkers, RateLimiter: limiter(),
		RecoverPanic: ptr.To(true), SkipNameValidation: ptr.To(true),
		LogConstructor: func(*reconcile.Request) logr.Logger { return logger },
	})
	if err != nil {
		return err
	}
	kustomizations, err := controller.NewUnmanaged("kustomization", controller.Options{
		Reconciler: a.kustomizations, MaxConcurrentReconciles: ksWorkers, RateLimiter: limiter(),
		RecoverPanic: ptr.To(true), SkipNameValidation: ptr.To(true),
		LogConstructor: func(*reconcile.Request) logr.Logger { return logger },
	})
	if err != nil {
		return err
	}
	a.controllers = []controller.Controller{sources, kustomizations}
	objects := a.manager.GetCache()
	asked := askedFor{}
	return errors.Join(
		sources.Watch(kubesource.Kind[client.Object](objects, &sourcev1.GitRepository{}, &handler.EnqueueRequestForObject{}, asked)),
		sources.Watch(kubesource.Channel(a.wakeSource, named())),
		kustomizations.Watch(kubesource.Kind[client.Object](objects, &kustomizev1.Kustomization{}, &handler.EnqueueRequestForObject{}, asked)),
		kustomizations.Watch(kubesource.Kind[client.Object](objects, &kustomizev1.Kustomization{},
			handler.EnqueueRequestsFromMapFunc(a.dependents), standingChanged{})),
		kustomizations.Watch(kubesource.Kind[client.Object](objects, &sourcev1.GitRepository{},
			handler.EnqueueRequestsFromMapFunc(a.builders), artifactChanged{})),
		kustomizations.Watch(kubesource.Channel(a.wakeKs, named())),
	)
}

// dependents are the Kustomizations that depend on o.
func (a *agent) dependents(ctx context.Context, o client.Object) []reconcile.Request {
	return a.requests(ctx, byDependency, client.ObjectKeyFromObject(o))
}

// builders are the Kustomizations that build from o, those without
// dependencies first: the others would wait for them anyway.
func (a *agent) builders(ctx context.Context, o client.Object) []reconcile.Request {
	return a.requests(ctx, bySource, client.ObjectKeyFromObject(o))
}

func (a *agent) requests(ctx context.Context, index string, name types.NamespacedName) []reconcile.Request {
	list := &kustomizev1.KustomizationList{}
	if err := a.manager.GetClient().List(ctx, list, client.MatchingFields{index: name.String()}, client.UnsafeDisableDeepCopy); err != nil {
		a.log.Error("Kustomizations not woken", "index", index, "name", name.String(), "error", err)
		return nil
	}
	var first, later []reconcile.Request
	for i := range list.Items {
		request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])}
		if len(list.Items[i].Spec.DependsOn) == 0 {
			first = append(first, request)
		} else {
			later = append(later, request)
		}
	}
	return append(first, later...)
}

// treeArrived wakes those who build from a repository.
func (a *agent) treeArrived(ctx context.Context, repository types.NamespacedName) {
	for _, request := range a.requests(ctx, bySource, repository) {
		send(a.wakeKs, request.NamespacedName)
	}
}

// send queues a name for a controller. It waits while the queue is full, in a
// goroutine, so that nobody who tells of a change is held up by those who act on it.
func send(queue chan event.TypedGenericEvent[types.NamespacedName], name types.NamespacedName) {
	select {
	case queue <- event.TypedGenericEvent[types.NamespacedName]{Object: name}:
	default:
		go func() { queue <- event.TypedGenericEvent[types.NamespacedName]{Object: name} }()
	}
}

// named queues the name that an event holds.
func named() handler.TypedEventHandler[types.NamespacedName, reconcile.Request] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, name types.NamespacedName) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: name}}
	})
}

// askedFor lets pass what asks for a reconciliation: a new object, a new
// generation, a deletion, a request, or allowed deletions.
type askedFor struct{ predicate.Funcs }

func (askedFor) Update(e event.UpdateEvent) bool {
	if e.ObjectOld == nil || e.ObjectNew == nil {
		return false
	}
	before, _ := fluxmeta.ReconcileAnnotationValue(e.ObjectOld.GetAnnotations())
	now, _ := fluxmeta.ReconcileAnnotationValue(e.ObjectNew.GetAnnotations())
	return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || before != now ||
		e.ObjectOld.GetUID() != e.ObjectNew.GetUID() ||
		e.ObjectOld.GetAnnotations()[AllowDeletionsAnnotation] != e.ObjectNew.GetAnnotations()[AllowDeletionsAnnotation]
}

// standingChanged lets pass what dependents wait for.
type standingChanged struct{ predicate.Funcs }

func (standingChanged) Create(event.CreateEvent) bool { return false }
func (standingChanged) Delete(event.DeleteEvent) bool { return false }
func (standingChanged) Update(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*kustomizev1.Kustomization)
	now, okNow := e.ObjectNew.(*kustomizev1.Kustomization)
	return ok && okNow && standing(before) != standing(now)
}

// artifactChanged lets pass GitRepositories that appear and changes of what is
// built from: the revision, or the content under the same revision.
type artifactChanged struct{ predicate.Funcs }

func (artifactChanged) Delete(event.DeleteEvent) bool { return false }
func (artifactChanged) Create(e event.CreateEvent) bool {
	repository, ok := e.Object.(*sourcev1.GitRepository)
	return ok && repository.Status.Artifact != nil
}
func (artifactChanged) Update(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*sourcev1.GitRepository)
	now, okNow := e.ObjectNew.(*sourcev1.GitRepository)
	if !ok || !okNow || now.Status.Artifact == nil {
		return false
	}
	return !before.Status.Artifact.HasRevision(now.Status.Artifact.Revision) ||
		!before.Status.Artifact.HasDigest(now.Status.Artifact.Digest)
}

// orOff is controller-runtime's way to turn an endpoint off.
func orOff(address string) string {
	if strings.TrimSpace(address) == "" {
		return "0"
	}
	return address
}
