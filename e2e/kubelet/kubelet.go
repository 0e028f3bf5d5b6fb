// Package kubelet plays the kubelet and the scheduler of a laboratory cluster.
// It keeps one Node, binds every unscheduled Pod to it, and runs Pods whose image
// it knows as real processes of this machine: with the container's arguments,
// environment, Secrets, ConfigMaps and a pod-bound service account token, with
// readiness, restarts and deletion grace. A Pod is gone from the API only when
// its processes are gone. All other Pods are hollow: Running and Ready at once,
// deleted at once.
//
// It refuses to isolate. There is no container: a process sees the whole machine
// as the user that runs it, so arguments and environment values below a mount path
// are rewritten to the Pod's own folder, and each Pod has a loopback address of
// its own. Liveness and startup probes, hooks, resource limits, security contexts
// and volumes other than secret, configMap, projected, downwardAPI and emptyDir
// are not honoured (other volumes are empty folders). It needs Linux.
package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	// startLimit bounds Start.
	startLimit = time.Minute
	// stopLimit is how long Stop gives processes after SIGTERM.
	stopLimit = 5 * time.Second
	// callLimit bounds each call to the API server.
	callLimit = 10 * time.Second
	// stuckPoll is how often Options.Stuck is asked about a Pod it holds.
	stuckPoll = 100 * time.Millisecond
	// syncWorkers is how many Pods are bound, reported or deleted at a time.
	syncWorkers = 8
)

// Image says how a container image runs on this machine.
type Image struct {
	// Exec is the path of the program. It takes the place of the first element
	// of the container's command; the others stay.
	Exec string
	// Args follow the container's arguments. $(NAME) is replaced from the
	// container's environment; $(POD_IP) and $(POD_ROOT) are always there. Paths
	// are those of the machine and are not rewritten.
	Args []string
	// Env holds KEY=VALUE added last, which wins over the container's own.
	// $(NAME) is replaced as in Args.
	Env []string
}

// Options says what Start runs. Config, Dir and Images are required.
type Options struct {
	// Config is how the kubelet itself reaches the API server. Its user needs
	// the rights of an admin; a user of its own tells its writes apart.
	Config *rest.Config
	// Server is the https address given to processes. Empty means Config.Host.
	Server string
	// CAFile is the certificate authority given to processes. Empty means the
	// one in the Pod's token volume.
	CAFile string
	// Dir holds pods/<namespace>_<pod>_<uid>, removed with each Pod, and
	// logs/<namespace>_<pod>.log, which stay. It is created.
	Dir string
	// Node is the name of the Node object. Empty means lab.
	Node string
	// Images tells which images run as processes. It must be quick and safe
	// for concurrent calls. A Pod is real if that of its first container is known.
	Images func(image string) (Image, bool)
	// Path holds folders that come before PATH in every process.
	Path []string
	// Log takes what the kubelet does. Nil discards it.
	Log *slog.Logger
	// Stuck, for tests, names Pods whose deletion is ignored: no signal is sent
	// and the Pod stays Terminating until it answers false. Nil means none.
	Stuck func(namespace, pod string) bool
	// RestartBackoff is the wait before the second restart of a container; the
	// first is immediate, later ones double it up to 5 minutes. Zero means 10 s,
	// as a kubelet has it.
	RestartBackoff time.Duration
}

// Kubelet is a running kubelet. Its methods are safe for concurrent use.
type Kubelet struct {
	opts   Options
	log    *slog.Logger
	client kubernetes.Interface
	host   string // of Options.Server
	port   string

	podLister       corelisters.PodLister
	secretLister    corelisters.SecretLister
	configMapLister corelisters.ConfigMapLister
	queue           workqueue.TypedRateLimitingInterface[types.NamespacedName]

	life  context.Context // ends with Stop
	end   context.CancelFunc
	tasks sync.WaitGroup
	stop  sync.Once

	mu       sync.Mutex
	pods     map[types.UID]*pod
	reported map[types.UID]bool // hollow Pods whose status was written
	ips      map[string]types.UID
	nextHost uint32 // of the address given to the next hollow Pod
}

// Start creates the Node and begins to play the kubelet. ctx bounds the start
// only. Pods that an earlier kubelet of the same Node left are taken over: their
// processes start again under the same address.
func Start(ctx context.Context, opts Options) (*Kubelet, error) {
	if opts.Config == nil || opts.Dir == "" || opts.Images == nil {
		return nil, errors.New("start kubelet: Options needs Config, Dir and Images")
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("start kubelet: %w", err)
	}
	opts.Dir = dir
	if opts.Node == "" {
		opts.Node = "lab"
	}
	if opts.Server == "" {
		opts.Server = opts.Config.Host
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.RestartBackoff == 0 {
		opts.RestartBackoff = 10 * time.Second
	}
	server, err := url.Parse(opts.Server)
	if err != nil || server.Hostname() == "" {
		return nil, fmt.Errorf("start kubelet: server %q is not an address like https://127.0.0.1:6443: %v", opts.Server, err)
	}
	for _, sub := range []string{"pods", "logs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("start kubelet: %w", err)
		}
	}
	config := rest.CopyConfig(opts.Config)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.UserAgent = "fluxover-lab-kubelet"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("start kubelet: %w", err)
	}
	k := &Kubelet{
		opts: opts, log: opts.Log, client: client,
		host: server.Hostname(), port: server.Port(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](50*time.Millisecond, 5*time.Second)),
		pods: map[types.UID]*pod{}, reported: map[types.UID]bool{}, ips: map[string]types.UID{},
	}
	if k.port == "" {
		k.port = "443"
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := k.ensureNode(ctx); err != nil {
		return nil, fmt.Errorf("start kubelet: %w", err)
	}
	k.life, k.end = context.WithCancel(context.WithoutCancel(ctx))

	factory := informers.NewSharedInformerFactory(client, 0)
	pods, secrets, configMaps := factory.Core().V1().Pods(), factory.Core().V1().Secrets(), factory.Core().V1().ConfigMaps()
	k.podLister, k.secretLister, k.configMapLister = pods.Lister(), secrets.Lister(), configMaps.Lister()
	if err := k.watch(pods.Informer(), secrets.Informer(), configMaps.Informer()); err != nil {
		k.end()
		return nil, fmt.Errorf("start kubelet: %w", err)
	}
	factory.StartWithContext(k.life)
	// Secrets and ConfigMaps are complete before the first Pod is looked at: else
	// one would seem missing.
	if !cache.WaitForCacheSync(ctx.Done(), pods.Informer().HasSynced, secrets.Informer().HasSynced, configMaps.Informer().HasSynced) {
		k.end()
		factory.Shutdown()
		return nil, fmt.Errorf("start kubelet: list pods, secrets and configmaps: %w: check that the API server answers and that the kubelet's user may list them", context.Cause(ctx))
	}
	k.tasks.Go(func() {
		<-k.life.Done()
		k.queue.ShutDown()
		factory.Shutdown()
	})
	for range syncWorkers {
		k.tasks.Go(k.work)
	}
	return k, nil
}

// Stop ends every process, by SIGTERM and after 5 seconds SIGKILL, and then
// everything else. Pods and Node stay in the API as they are. Calling it again is
// harmless.
func (k *Kubelet) Stop() error {
	k.stop.Do(k.end)
	k.tasks.Wait()
	return nil
}

// Logs returns what the processes of a Pod wrote to stdout and stderr, all
// restarts and all containers together, also after the Pod is gone.
func (k *Kubelet) Logs(namespace, pod string) ([]byte, error) {
	content, err := os.ReadFile(k.logPath(namespace, pod))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read log of pod %s/%s: no process of it ran here: %w", namespace, pod, err)
	}
	return content, err
}

func (k *Kubelet) logPath(namespace, pod string) string {
	return filepath.Join(k.opts.Dir, "logs", namespace+"_"+pod+".log")
}

// watch connects the caches with the work: Pods go through the queue, a changed
// Secret or ConfigMap wakes the Pods of its namespace that use it.
func (k *Kubelet) watch(pods, secrets, configMaps cache.SharedIndexInformer) error {
	enqueue := func(p *corev1.Pod) { k.queue.Add(types.NamespacedName{Namespace: p.Namespace, Name: p.Name}) }
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { enqueue(obj.(*corev1.Pod)) },
		UpdateFunc: func(before, after any) {
			if was := before.(*corev1.Pod); was.UID != after.(*corev1.Pod).UID {
				k.removed(was)
			}
			enqueue(after.(*corev1.Pod))
		},
		DeleteFunc: func(obj any) {
			if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = unknown.Obj
			}
			if p, ok := obj.(*corev1.Pod); ok {
				k.removed(p)
			}
		},
	})
	if err != nil {
		return err
	}
	changed := func(kind refKind) cache.ResourceEventHandlerFuncs {
		wake := func(obj any) {
			if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = unknown.Obj
			}
			if object, ok := obj.(metav1.Object); ok {
				k.wakeUsers(object.GetNamespace(), ref{kind, object.GetName()})
			}
		}
		return cache.ResourceEventHandlerFuncs{
			AddFunc:    wake,
			UpdateFunc: func(_, after any) { wake(after) },
			DeleteFunc: wake,
		}
	}
	if _, err := secrets.AddEventHandler(changed(secretRef)); err != nil {
		return err
	}
	_, err = configMaps.AddEventHandler(changed(configMapRef))
	return err
}

// removed notes that a Pod is gone from the API, whatever its processes do.
func (k *Kubelet) removed(was *corev1.Pod) {
	k.mu.Lock()
	p := k.pods[was.UID]
	delete(k.reported, was.UID)
	k.mu.Unlock()
	if p != nil {
		p.gone.Store(true)
		p.wake()
	}
}

func (k *Kubelet) wakeUsers(namespace string, changed ref) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pods {
		if p.namespace == namespace && p.refs[changed] {
			p.stale.Store(true)
			p.wake()
		}
	}
}

func (k *Kubelet) work() {
	for {
		key, ended := k.queue.Get()
		if ended {
			return
		}
		again, err := k.sync(key)
		switch {
		case err != nil && k.life.Err() == nil:
			k.log.Warn("pod not synced, trying again", "pod", key.String(), "error", err)
			k.queue.AddRateLimited(key)
		case again > 0:
			k.queue.AddAfter(key, again)
		default:
			k.queue.Forget(key)
		}
		k.queue.Done(key)
	}
}

// sync brings one Pod a step on. It asks to be called again after the returned
// time if that is not zero.
func (k *Kubelet) sync(key types.NamespacedName) (time.Duration, error) {
	object, err := k.podLister.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if object.Spec.NodeName != "" && object.Spec.NodeName != k.opts.Node {
		return 0, nil
	}
	if object.Spec.NodeName == "" {
		if object.DeletionTimestamp != nil || len(object.Spec.SchedulingGates) > 0 {
			return 0, nil // the API server deletes unscheduled Pods without a kubelet
		}
		if err := k.bind(object); err != nil {
			return 0, err
		}
	}
	if len(object.Spec.Containers) > 0 {
		if _, known := k.opts.Images(object.Spec.Containers[0].Image); known {
			k.runReal(object)
			return 0, nil
		}
	}
	if object.DeletionTimestamp != nil {
		if k.stuck(object) {
			return stuckPoll, nil
		}
		return 0, k.deletePod(k.life, object)
	}
	return 0, k.reportHollow(object)
}

func (k *Kubelet) stuck(object *corev1.Pod) bool {
	return k.opts.Stuck != nil && k.opts.Stuck(object.Namespace, object.Name)
}

func (k *Kubelet) bind(object *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(k.life, callLimit)
	defer cancel()
	err := k.client.CoreV1().Pods(object.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: object.Name, Namespace: object.Namespace, UID: object.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: k.opts.Node},
	}, metav1.CreateOptions{})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone, or bound already: the watch brings what is true now
	}
	return fmt.Errorf("bind pod %s/%s: %w", object.Namespace, object.Name, err)
}

// deletePod removes a Pod from the API at once, as a kubelet does when nothing
// of it runs any more. A Pod that is gone or replaced meanwhile is no error.
func (k *Kubelet) deletePod(ctx context.Context, object *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	options := metav1.NewDeleteOptions(0)
	options.Preconditions = metav1.NewUIDPreconditions(string(object.UID))
	err := k.client.CoreV1().Pods(object.Namespace).Delete(ctx, object.Name, *options)
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return fmt.Errorf("delete pod %s/%s: %w", object.Namespace, object.Name, err)
}

// writeStatus replaces the given fields of a Pod's status. A Pod that is gone
// or replaced is no error.
func (k *Kubelet) writeStatus(ctx context.Context, object *corev1.Pod, status corev1.PodStatus) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": object.UID},
		"status":   status,
	})
	if err != nil {
		return err
	}
	_, err = k.client.CoreV1().Pods(object.Namespace).Patch(ctx, object.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return fmt.Errorf("write status of pod %s/%s: %w", object.Namespace, object.Name, err)
}

// runReal makes sure that a goroutine plays this Pod and knows its newest form.
func (k *Kubelet) runReal(object *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.pods[object.UID]; p != nil {
		p.latest.Store(object)
		p.wake()
		return
	}
	if k.life.Err() != nil {
		return
	}
	p := newPod(k, object)
	k.pods[object.UID] = p
	k.tasks.Go(func() {
		p.run()
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.pods, p.uid)
		delete(k.ips, p.ip)
	})
}

// claimIP returns the loopback address of a Pod: the one its status names if it
// is free, else a new one. The caller holds k.mu. Addresses are taken at random
// so that kubelets of parallel tests do not meet.
func (k *Kubelet) claimIP(object *corev1.Pod) string {
	if ip := object.Status.PodIP; len(ip) > 4 && ip[:4] == "127." && k.ips[ip] == "" {
		k.ips[ip] = object.UID
		return ip
	}
	for {
		ip := fmt.Sprintf("127.%d.%d.%d", 10+rand.IntN(240), rand.IntN(256), 1+rand.IntN(254))
		if k.ips[ip] == "" {
			k.ips[ip] = object.UID
			return ip
		}
	}
}
