package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	// retryAfter is when a step that failed for a reason that no event will
	// announce (API server away, disk) is tried again.
	retryAfter = time.Second
	// missingRetry is when a Pod looks again for a Secret or ConfigMap that is
	// missing, should the watch not have woken it.
	missingRetry = 5 * time.Second
	// maxBackoff bounds the wait between restarts.
	maxBackoff = 5 * time.Minute
	// goneGrace is what processes get whose Pod was removed from the API by force.
	goneGrace = time.Second
	// killPoll is how often a process that SIGKILL did not end yet is looked at.
	killPoll = 20 * time.Millisecond
	// accountMount is where admission mounts the token volume.
	accountMount = "/var/run/secrets/kubernetes.io/serviceaccount"
	// idle stands for no time at which something is due.
	idle = time.Hour
)

// pod plays one real Pod. Its goroutine, run, is the only one that steps it; wake
// and the atomic fields are for others.
type pod struct {
	kubelet         *Kubelet
	uid             types.UID
	namespace, name string
	root, ip        string
	refs            map[ref]bool
	latest          atomic.Pointer[corev1.Pod]
	gone            atomic.Bool // removed from the API
	stale           atomic.Bool // something it refers to changed
	kick            chan struct{}

	volumes    map[string]*volume
	tokens     map[string]token // by volume/path
	kubeconfig string           // path, empty without token
	prepared   bool
	init       []*container
	containers []*container
	startTime  metav1.Time
	sent       corev1.PodStatus // as last written
	killAt     time.Time        // set when deletion was first seen
	grace      time.Duration    // that killAt was computed from

	// mu guards proc and cpuEnded of all containers for Usage.
	mu sync.Mutex
}

// container is one container of a real Pod.
type container struct {
	spec      corev1.Container
	image     Image
	real      bool // its image is known; else it is hollow
	sidecar   bool // an init container that stays
	proc      *process
	unready   context.CancelFunc // ends the probing of proc
	ready     atomic.Bool
	last      *corev1.ContainerStateTerminated
	done      bool // ended and will not run again
	restarts  int32
	runs      int // starts by this kubelet
	backoff   time.Duration
	nextStart time.Time
	waiting   corev1.ContainerStateWaiting
	cpuEnded  time.Duration // of runs that ended
}

// newPod makes the player of a Pod. The caller holds k.mu.
func newPod(k *Kubelet, object *corev1.Pod) *pod {
	p := &pod{
		kubelet: k, uid: object.UID, namespace: object.Namespace, name: object.Name,
		root: filepath.Join(k.opts.Dir, "pods", fmt.Sprintf("%s_%s_%s", object.Namespace, object.Name, object.UID)),
		ip:   k.claimIP(object), refs: references(object), kick: make(chan struct{}, 1),
		volumes: map[string]*volume{}, tokens: map[string]token{}, startTime: metav1.Now(),
	}
	if object.Status.StartTime != nil {
		p.startTime = *object.Status.StartTime
	}
	p.latest.Store(object)
	add := func(spec corev1.Container, before []corev1.ContainerStatus, sidecar bool) *container {
		c := &container{spec: spec, sidecar: sidecar}
		c.image, c.real = k.opts.Images(spec.Image)
		c.waiting = corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
		for _, status := range before {
			// What ran under an earlier kubelet counts as a restart.
			if status.Name == spec.Name && status.Started != nil && *status.Started {
				c.restarts = status.RestartCount + 1
			}
		}
		return c
	}
	for _, spec := range object.Spec.InitContainers {
		if spec.RestartPolicy != nil && *spec.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			p.containers = append(p.containers, add(spec, object.Status.InitContainerStatuses, true))
		} else {
			p.init = append(p.init, add(spec, nil, false))
		}
	}
	for _, spec := range object.Spec.Containers {
		p.containers = append(p.containers, add(spec, object.Status.ContainerStatuses, false))
	}
	return p
}

// wake asks for a step; many calls before it make one.
func (p *pod) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// run steps the Pod whenever something happened, until it is gone or the
// kubelet stops.
func (p *pod) run() {
	log := p.kubelet.log.With("pod", p.namespace+"/"+p.name)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.kubelet.life.Done():
			p.abandon(log.Warn)
			return
		case <-p.kick:
		case <-timer.C:
		}
		finished, next, err := p.step()
		if finished {
			return
		}
		if err != nil {
			if p.kubelet.life.Err() == nil {
				log.Warn("pod step failed, trying again", "error", err)
			}
			if !errors.Is(err, errMissing) {
				next = min(next, retryAfter)
			}
		}
		timer.Reset(next)
	}
}

// step does all that is due now. It returns true when nothing is left to do for
// this Pod, else when to step again at the latest.
func (p *pod) step() (finished bool, next time.Duration, err error) {
	object := p.latest.Load()
	p.noteExits(object)
	if p.gone.Load() || object.DeletionTimestamp != nil {
		return p.terminate(object)
	}
	if object.Status.Phase == corev1.PodSucceeded || object.Status.Phase == corev1.PodFailed {
		return false, idle, nil
	}
	next, err = p.advance(object)
	return false, next, errors.Join(err, p.report(object))
}

// advance brings volumes and containers to where they should be.
func (p *pod) advance(object *corev1.Pod) (time.Duration, error) {
	var errs []error
	if !p.prepared || p.stale.Swap(false) || p.tokenDue() {
		err := p.prepare(p.kubelet.life, object)
		switch {
		case err == nil:
			p.prepared = true
		case !p.prepared:
			p.setWaiting("ContainerCreating", err.Error())
			if errors.Is(err, errMissing) {
				return missingRetry, nil // the watch wakes it before, when it comes
			}
			return retryAfter, err
		default:
			// What was mounted once stays as it was; containers go on.
			p.stale.Store(true)
			errs = append(errs, err)
		}
	}
	next := max(p.untilToken(), 0)
	if len(errs) > 0 {
		next = missingRetry
	}
	for _, c := range p.init {
		if c.done && c.last != nil && c.last.ExitCode != 0 {
			return next, errors.Join(errs...) // failed for good
		}
		if c.done {
			continue
		}
		if !c.real {
			now := metav1.Now()
			c.done, c.last = true, &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now, ContainerID: "lab://hollow-" + c.spec.Name}
			continue
		}
		due, err := p.startDue(object, c)
		return min(next, due), errors.Join(append(errs, err)...) // one after the other
	}
	for _, c := range p.containers {
		due, err := p.startDue(object, c)
		next, errs = min(next, due), append(errs, err)
	}
	return next, errors.Join(errs...)
}

// prepare makes the Pod's folder and volumes. Done again it refreshes them.
func (p *pod) prepare(ctx context.Context, object *corev1.Pod) error {
	for _, dir := range []string{p.root, filepath.Join(p.root, "root"), filepath.Join(p.root, "tmp"), filepath.Join(p.root, ".volumes")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return p.refreshVolumes(ctx, object)
}

func (p *pod) tokenDue() bool { return p.untilToken() <= 0 }

func (p *pod) untilToken() time.Duration {
	until := idle
	for _, t := range p.tokens {
		until = min(until, time.Until(t.renew))
	}
	return until
}

func (p *pod) setWaiting(reason, message string) {
	for _, c := range append(append([]*container{}, p.init...), p.containers...) {
		if c.proc == nil && !c.done {
			c.waiting = corev1.ContainerStateWaiting{Reason: reason, Message: message}
		}
	}
}

// startDue starts a container that should run and does not, if its back-off is
// over. It returns when it will be due.
func (p *pod) startDue(object *corev1.Pod, c *container) (time.Duration, error) {
	if !c.real || c.done || c.proc != nil {
		return idle, nil
	}
	if wait := time.Until(c.nextStart); wait > 0 {
		return wait, nil
	}
	if err := p.start(object, c); err != nil {
		if errors.Is(err, errMissing) {
			c.waiting = corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: err.Error()}
			return idle, nil // the watch wakes it when it comes
		}
		c.waiting = corev1.ContainerStateWaiting{Reason: "RunContainerError", Message: err.Error()}
		c.delay(p.kubelet.opts.RestartBackoff)
		return time.Until(c.nextStart), fmt.Errorf("start container %s: %w", c.spec.Name, err)
	}
	return idle, nil
}

// delay sets when the container may start again: at once after the first end,
// later after a wait that doubles.
func (c *container) delay(first time.Duration) {
	switch {
	case c.backoff == 0 && c.runs == 1:
		c.nextStart = time.Now()
		c.backoff = first
		return
	case c.backoff == 0:
		c.backoff = first
	}
	c.nextStart = time.Now().Add(c.backoff)
	c.backoff = min(2*c.backoff, maxBackoff)
}

// start mounts the container's volumes and runs its process.
func (p *pod) start(object *corev1.Pod, c *container) error {
	declared, err := p.declaredEnvironment(object, &c.spec)
	if err != nil {
		return err
	}
	if err := p.mount(&c.spec, declared); err != nil {
		return err
	}
	var mounts []string
	for _, m := range c.spec.VolumeMounts {
		mounts = append(mounts, m.MountPath)
	}
	sort.Slice(mounts, func(i, j int) bool { return len(mounts[i]) > len(mounts[j]) }) // the innermost mount decides
	if err := p.writeKubeconfig(object, &c.spec, mounts); err != nil {
		return err
	}
	env := p.processEnvironment(declared, c.image, mounts, os.Getenv("PATH"))
	argv := []string{c.image.Exec}
	given := c.spec.Args
	if len(c.spec.Command) > 0 {
		given = append(append([]string{}, c.spec.Command[1:]...), given...)
	}
	for _, arg := range given {
		argv = append(argv, rewriteArg(expand(arg, declared.lookup), p.root, p.ip, mounts))
	}
	for _, arg := range c.image.Args {
		argv = append(argv, expand(arg, env.lookup))
	}
	log := p.kubelet.log.With("pod", p.namespace+"/"+p.name, "container", c.spec.Name)
	proc, err := startProcess(argv, env.list(), p.root, p.kubelet.logPath(p.namespace, p.name), func(err error) {
		if err != nil {
			log.Warn("process end was not clean", "error", err)
		}
		p.wake()
	})
	if err != nil {
		return err
	}
	log.Info("process started", "pid", proc.cmd.Process.Pid)
	p.mu.Lock()
	c.proc = proc
	p.mu.Unlock()
	if c.runs > 0 {
		c.restarts++
	}
	c.runs++
	if !probed(c.spec.ReadinessProbe) {
		c.ready.Store(true)
		return nil
	}
	ctx, cancel := context.WithCancel(p.kubelet.life)
	c.unready = cancel
	p.kubelet.tasks.Go(func() {
		watchReadiness(ctx, p.ip, &c.spec, func(ready bool) {
			c.ready.Store(ready)
			p.wake()
		})
	})
	return nil
}

// writeKubeconfig writes a kubeconfig for the Pod's account where kubectl looks
// for it, since the fixed path of in-cluster configuration does not lead into the
// Pod's folder. Without token volume none is written, and none over a mount.
func (p *pod) writeKubeconfig(object *corev1.Pod, c *corev1.Container, mounts []string) error {
	const inContainer = "/root/.kube/config"
	path := filepath.Join(p.root, inContainer)
	hasToken := false
	for _, m := range c.VolumeMounts {
		hasToken = hasToken || filepath.Clean(m.MountPath) == accountMount
	}
	if !hasToken || p.kubeconfig != "" || rewritePath(inContainer, "/pod", mounts) != inContainer {
		return nil
	}
	ca := p.kubelet.opts.CAFile
	if ca == "" {
		ca = filepath.Join(p.root, accountMount, "ca.crt")
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["lab"] = &clientcmdapi.Cluster{Server: p.kubelet.opts.Server, CertificateAuthority: ca}
	config.AuthInfos["pod"] = &clientcmdapi.AuthInfo{TokenFile: filepath.Join(p.root, accountMount, "token")}
	config.Contexts["pod"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: "pod", Namespace: object.Namespace}
	config.CurrentContext = "pod"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	p.kubeconfig = path
	return nil
}

// noteExits takes over the results of processes that ended.
func (p *pod) noteExits(object *corev1.Pod) {
	deleting := p.gone.Load() || object.DeletionTimestamp != nil
	for i, c := range append(append([]*container{}, p.init...), p.containers...) {
		if c.proc == nil || !c.proc.ended() {
			continue
		}
		ended := c.proc
		if c.unready != nil {
			c.unready()
			c.unready = nil
		}
		c.ready.Store(false)
		p.mu.Lock()
		c.cpuEnded += ended.cpu
		c.proc = nil
		p.mu.Unlock()
		c.last = &corev1.ContainerStateTerminated{
			ExitCode: int32(ended.exitCode), Signal: int32(ended.signal), Reason: "Completed",
			StartedAt: metav1.NewTime(ended.started), FinishedAt: metav1.NewTime(ended.finished),
			ContainerID: c.id(p),
		}
		if ended.exitCode != 0 {
			c.last.Reason = "Error"
		}
		p.kubelet.log.Info("process ended", "pod", p.namespace+"/"+p.name, "container", c.spec.Name, "code", ended.exitCode)
		isInit := i < len(p.init)
		policy := object.Spec.RestartPolicy
		switch {
		case deleting,
			isInit && ended.exitCode == 0,
			isInit && policy == corev1.RestartPolicyNever,
			!isInit && !c.sidecar && policy == corev1.RestartPolicyNever,
			!isInit && !c.sidecar && policy == corev1.RestartPolicyOnFailure && ended.exitCode == 0:
			c.done = true
		default:
			if ended.finished.Sub(ended.started) > 10*time.Minute {
				c.backoff, c.nextStart = 0, time.Time{}
			}
			c.delay(p.kubelet.opts.RestartBackoff)
			c.waiting = corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "waits before it is started again"}
		}
	}
}

// terminate brings a Pod that is being deleted a step on: SIGTERM, after the
// grace SIGKILL, and when no process is left the Pod leaves the API.
func (p *pod) terminate(object *corev1.Pod) (finished bool, next time.Duration, err error) {
	gone := p.gone.Load()
	if !gone && p.kubelet.stuck(object) {
		return false, stuckPoll, nil
	}
	grace := goneGrace
	if !gone && object.DeletionGracePeriodSeconds != nil {
		grace = time.Duration(*object.DeletionGracePeriodSeconds) * time.Second
	}
	// A later deletion may shorten the grace, counted from then; never lengthen it.
	if p.killAt.IsZero() || grace < p.grace {
		p.grace, p.killAt = grace, time.Now().Add(grace)
	}
	var errs []error
	running := false
	for _, c := range append(append([]*container{}, p.init...), p.containers...) {
		if c.proc == nil {
			continue
		}
		running = true
		errs = append(errs, c.proc.terminate())
		if !time.Now().Before(p.killAt) {
			errs = append(errs, c.proc.kill())
		}
	}
	if running {
		return false, max(time.Until(p.killAt), killPoll), errors.Join(errs...)
	}
	if !gone {
		if err := p.kubelet.deletePod(p.kubelet.life, object); err != nil {
			return false, retryAfter, err
		}
	}
	if err := os.RemoveAll(p.root); err != nil {
		p.kubelet.log.Warn("pod folder not removed", "pod", p.namespace+"/"+p.name, "error", err)
	}
	return true, 0, nil
}

// abandon ends the processes because the kubelet stops.
func (p *pod) abandon(warn func(string, ...any)) {
	var running []*process
	for _, c := range append(append([]*container{}, p.init...), p.containers...) {
		if c.proc == nil {
			continue
		}
		running = append(running, c.proc)
		if err := c.proc.terminate(); err != nil {
			warn("process not asked to end", "error", err)
		}
	}
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	for _, proc := range running {
		select {
		case <-proc.exited:
			continue
		case <-limit.C:
		}
		for _, left := range running {
			if err := left.kill(); err != nil {
				warn("process not killed", "error", err)
			}
		}
		break
	}
	for _, proc := range running {
		<-proc.exited
	}
}

func (c *container) id(p *pod) string {
	return fmt.Sprintf("lab://%s/%s/%d", p.uid, c.spec.Name, c.restarts)
}

// status is what the container's part of the Pod's status should be.
func (c *container) status(p *pod, isInit bool) corev1.ContainerStatus {
	if !c.real && !isInit {
		return hollowRunning(c.spec, p.startTime)
	}
	started := c.proc != nil
	s := corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, ImageID: c.spec.Image,
		RestartCount: c.restarts, Started: &started,
	}
	switch {
	case c.proc != nil:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.proc.started).Rfc3339Copy()}
		s.ContainerID = c.id(p)
		s.Ready = c.ready.Load() && !isInit
	case c.done:
		s.State.Terminated = c.last
		s.ContainerID = c.last.ContainerID
		s.Ready = isInit && c.last.ExitCode == 0
	default:
		waiting := c.waiting
		s.State.Waiting = &waiting
	}
	if c.last != nil && !c.done {
		s.LastTerminationState.Terminated = c.last
	}
	return s
}

// report writes the Pod's status if it is not what was last written.
func (p *pod) report(object *corev1.Pod) error {
	status := corev1.PodStatus{Phase: corev1.PodPending, PodIP: p.ip, StartTime: &p.startTime}
	for _, c := range p.init {
		status.InitContainerStatuses = append(status.InitContainerStatuses, c.status(p, true))
	}
	finished, failed, ran := true, false, false
	for _, c := range p.containers {
		s := c.status(p, false)
		if c.sidecar {
			status.InitContainerStatuses = append(status.InitContainerStatuses, s)
		} else {
			status.ContainerStatuses = append(status.ContainerStatuses, s)
			finished = finished && c.done
		}
		ran = ran || c.runs > 0
		failed = failed || c.done && c.last.ExitCode != 0
	}
	for _, c := range p.init {
		if c.done && c.last.ExitCode != 0 {
			finished, failed = true, true
		}
	}
	switch {
	case finished && failed:
		status.Phase = corev1.PodFailed
	case finished:
		status.Phase = corev1.PodSucceeded
	case ran:
		status.Phase = corev1.PodRunning
	}
	was := object.DeepCopy()
	if p.sent.Phase != "" {
		was.Status = p.sent // the watch may lag behind what was written
	}
	finishStatus(was, &status, metav1.Now().Rfc3339Copy())
	if reflect.DeepEqual(status, p.sent) {
		return nil
	}
	if err := p.kubelet.writeStatus(p.kubelet.life, object, status); err != nil {
		return err
	}
	p.sent = status
	return nil
}
