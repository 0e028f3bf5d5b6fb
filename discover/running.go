package discover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// podList is what runs in one namespace.
type podList struct {
	unknown bool
	pods    []corev1.Pod
	// sets are the ReplicaSets: a pod has the template of its own, which another template of
	// the Deployment does not change, and into which admission has put nothing.
	sets map[types.UID]*appsv1.ReplicaSet
}

func (w *witness) pods(ctx context.Context, namespace string) (*podList, error) {
	l := &podList{sets: map[types.UID]*appsv1.ReplicaSet{}}
	err := each(ctx, w, "pods", namespace, "which agents run", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return w.kube.CoreV1().Pods(namespace).List(ctx, o)
	}, func(p *corev1.Pod) { l.pods = append(l.pods, *p) })
	l.unknown = errors.Is(err, errUnreadable)
	if l.unknown || err != nil {
		return l, onlyReal(err)
	}
	slices.SortFunc(l.pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	err = each(ctx, w, "replicasets.apps", namespace, "whether the agents' pods run what their Deployments say", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return w.kube.AppsV1().ReplicaSets(namespace).List(ctx, o)
	}, func(s *appsv1.ReplicaSet) { l.sets[s.UID] = s })
	return l, onlyReal(err)
}

// setOf is the ReplicaSet of a pod; nil if it has none, or none that is known.
func (l *podList) setOf(p *corev1.Pod) *appsv1.ReplicaSet {
	if owner := metav1.GetControllerOf(p); owner != nil {
		return l.sets[owner.UID]
	}
	return nil
}

// of are the pods of a Deployment that may still act: those of its selector, less those that
// are known to be another one's.
func (l *podList) of(d *appsv1.Deployment) ([]*corev1.Pod, error) {
	s, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, err
	}
	var out []*corev1.Pod
	for i := range l.pods {
		p := &l.pods[i]
		if !s.Matches(labels.Set(p.Labels)) || hasEnded(p) {
			continue
		}
		if set := l.setOf(p); set != nil {
			if owner := metav1.GetControllerOf(set); owner != nil && owner.Name != d.Name {
				continue
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// livePod is a pod of a Deployment as it runs, into which admission has put defaults and sidecars; its template
// where none runs that is known to stay, and to be no earlier template's.
func (l *podList) livePod(d *appsv1.Deployment) (*corev1.PodSpec, error) {
	template := &d.Spec.Template.Spec
	if l == nil {
		return template, nil
	}
	pods, err := l.of(d)
	if err != nil {
		return nil, err
	}
	same := map[types.UID]bool{} // of each set once, which may have many pods
	for _, p := range pods {
		controlled, set := metav1.GetControllerOf(p) != nil, l.setOf(p)
		if set != nil {
			if _, known := same[set.UID]; !known {
				same[set.UID] = sameTemplate(&set.Spec.Template, &d.Spec.Template)
			}
		}
		if p.DeletionTimestamp != nil || controlled && (set == nil || !same[set.UID]) {
			continue
		}
		lacks := func(c corev1.Container) bool {
			return !slices.ContainsFunc(p.Spec.Containers, func(of corev1.Container) bool { return of.Name == c.Name })
		}
		if !slices.ContainsFunc(template.Containers, lacks) { // or it is another's
			return &p.Spec, nil
		}
	}
	return template, nil
}

// sameTemplate reports whether a ReplicaSet is of a Deployment's template, as Kubernetes tells
// (pkg/controller/deployment/util: EqualIgnoreHash).
func sameTemplate(set, deployment *corev1.PodTemplateSpec) bool {
	set, deployment = set.DeepCopy(), deployment.DeepCopy()
	delete(set.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	delete(deployment.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return equality.Semantic.DeepEqual(set, deployment)
}

// hasEnded reports whether a pod is through with its work.
func hasEnded(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// readRunning finds whether the agent runs, and how its pods stand to its Deployment.
func (w *witness) readRunning(ctx context.Context, a *agent, l *podList) error {
	pods, err := l.of(a.deployment)
	if err != nil {
		return fmt.Errorf("read the selector of Deployment/%s/%s: %w", a.Namespace, a.Workload, err)
	}
	running := len(pods) > 0
	message := fmt.Sprintf("no pod of the agent runs (replicas: %d)", a.Replicas)
	if l.unknown {
		a.Unknown = append(a.Unknown, "running")
		message = "the Deployment asks for no pods (replicas: 0); whether one still runs is not known"
	} else {
		a.Running = &running
	}
	ends := w.endOf(a)
	switch {
	case ends != "":
		if !l.unknown {
			ends += map[bool]string{true: "; a pod of it still runs", false: "; no pod of it runs"}[running]
		}
		w.find(AgentDeleted.Finding(a.ID, a.where(""), ends))
	case !running && (!l.unknown || a.Replicas == 0):
		if a.release != nil {
			if d := a.release.Deployment(a.Namespace, a.Workload); d != nil && replicas(d) > 0 && a.Replicas == 0 {
				message += fmt.Sprintf("; the manifest of its release asks for %d, so that the next upgrade starts it again", replicas(d))
			}
		}
		w.find(AgentStopped.Finding(a.ID, a.where(""), message))
	case running && !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return a.unready(p) == "" }):
		w.find(AgentNotReady.Finding(a.ID, a.where(""), fmt.Sprintf("pod %s/%s: %s", a.Namespace, pods[0].Name, a.unready(pods[0]))))
	}
	return w.compareRunning(ctx, a, l, pods)
}

// endOf says what is being deleted of the agent; empty if nothing is.
func (w *witness) endOf(a *agent) string {
	switch {
	case a.deployment.DeletionTimestamp != nil:
		return "the agent's Deployment is being deleted"
	case w.terminating[a.Namespace]:
		return fmt.Sprintf("the agent's namespace %s is being deleted, with all that is in it", a.Namespace)
	}
	return ""
}

// unready says why fluxd of a pod does not work; empty if it does, as far as it is known.
// It tells the reasons that Kubernetes gives, and none of its messages.
func (a *agent) unready(p *corev1.Pod) string {
	statuses := slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses)
	i := slices.IndexFunc(statuses, func(s corev1.ContainerStatus) bool { return s.Name == a.env.container.Name })
	if i < 0 {
		if p.Status.Phase != corev1.PodPending {
			return ""
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return "it waits for a node (" + c.Reason + ")"
			}
		}
		return "it has not begun (Pending)"
	}
	s := statuses[i]
	restarts := ""
	if s.RestartCount > 0 {
		restarts = fmt.Sprintf(", after %s", counted(int(s.RestartCount), "restart"))
	}
	switch {
	case s.Ready, s.State.Running != nil && s.RestartCount == 0:
		return "" // or it has just begun: one that hangs is started anew by its probe
	case s.State.Waiting != nil:
		return fmt.Sprintf("container %s waits (%s)%s", s.Name, s.State.Waiting.Reason, restarts)
	case s.State.Terminated != nil:
		return fmt.Sprintf("container %s has ended (%s, exit code %d)%s", s.Name, s.State.Terminated.Reason, s.State.Terminated.ExitCode, restarts)
	}
	return fmt.Sprintf("container %s is not ready%s", s.Name, restarts)
}

// compareRunning names the pods that run fluxd by another template than the Deployment has
// now, as where its rollout is paused or the new pod does not start: what is said of the
// agent's settings is not what it does.
func (w *witness) compareRunning(ctx context.Context, a *agent, l *podList, pods []*corev1.Pod) error {
	seen := map[types.UID]bool{}
	for _, p := range pods {
		set := l.setOf(p)
		if set == nil || seen[set.UID] {
			continue
		}
		seen[set.UID] = true
		differs := differsFrom(a, &set.Spec.Template)
		if len(differs) == 0 {
			continue
		}
		a.outdated = append(a.outdated, set.Spec.Template)
		why := "its rollout has not ended"
		if a.deployment.Spec.Paused {
			why = "its rollout is paused"
		}
		alike, err := w.syncsAlike(ctx, a, set.Spec.Template)
		if err != nil {
			return fmt.Errorf("compare pod %s/%s with its Deployment: %w", a.Namespace, p.Name, err)
		}
		says := ""
		if !alike {
			a.syncedOtherwise, says = true, ", so that it is not known how far it has synced what the Deployment asks for"
		}
		w.find(RolloutUnfinished.About(a.ID, p.Name, a.where(""), fmt.Sprintf("pod %s/%s has other settings than its Deployment (%s): %s%s", a.Namespace, p.Name, why, strings.Join(differs, ", "), says)))
	}
	return nil
}

// syncsAlike reports whether pods by another template sync the set of the agent's Deployment, read its
// files alike, apply as much of them, and keep their mark in the same place.
func (w *witness) syncsAlike(ctx context.Context, a *agent, template corev1.PodTemplateSpec) (bool, error) {
	name, c, err := w.setOfTemplate(ctx, a, template)
	if err != nil || name == "" || name != a.set {
		return false, err
	}
	namespaces := func(c *flux1.Config) []string {
		return slices.Compact(slices.Sorted(slices.Values(c.AllowedNamespaces)))
	}
	return slices.Equal(namespaces(c), namespaces(&a.config)) && c.DefaultNamespace == a.config.DefaultNamespace &&
		c.SOPS == a.config.SOPS && c.GitSecret == a.config.GitSecret && c.State == a.config.State && c.SyncTag == a.config.SyncTag && c.SecretName == a.config.SecretName &&
		c.ManifestGeneration == a.config.ManifestGeneration && slices.Equal(c.Unknown, a.config.Unknown), nil
}

// differsFrom names in what a template runs another fluxd than the agent's Deployment asks
// for. What does not decide what fluxd does is left out: what it asks for, what runs beside it.
func differsFrom(a *agent, template *corev1.PodTemplateSpec) []string {
	was := fluxdIn(nil, template)
	if was == nil {
		return []string{"it runs no fluxd"}
	}
	is := a.env.container
	before := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: *template}}
	then, now := partsOf(before, was), partsOf(a.deployment, is)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(joined(then, now))) {
		kind, _, _ := strings.Cut(name, ".")
		if kind != "replicas" && kind != "requests" && kind != "container" && then[name].value != now[name].value {
			out = append(out, name)
		}
	}
	settings := func(c *corev1.Container) side {
		args, _, _ := commandLine(c)
		_, settings, _ := flux1.ParseArgs(args)
		return side{settings: settings, origin: migrate.Origin{Witness: "cluster"}}
	}
	flags := differences(settings(is), settings(was))
	for _, d := range flags {
		out = append(out, d.name)
	}
	if len(flags) == 0 && !slices.Equal(is.Args, was.Args) && !slices.Contains(out, "command") {
		out = append(out, "args")
	}
	return out
}
