package discover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate/flux1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// fluxdPods are the labels by which fluxctl itself looks for fluxd's pods
// (flux: cmd/fluxctl/root_cmd.go).
var fluxdPods = []string{"app=flux", "name in (flux, fluxd, weave-flux-agent)"}

// strays finds every fluxd that no Deployment runs: what it marks is known
// then, and it is reported. Pods of nobody are looked for by fluxctl's labels
// alone, since a cluster may hold a great many pods.
func (w *witness) strays(ctx context.Context) ([]*agent, error) {
	namespaces := w.opts.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	var found []*agent
	add := func(kind string, o metav1.Object, template corev1.PodTemplateSpec, count *int32) {
		c := fluxdIn(o.GetLabels(), &template)
		owner := metav1.GetControllerOf(o)
		if c == nil || owner != nil && slices.Contains(workloadKinds, owner.Kind) {
			return // of a workload that is looked at itself
		}
		d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: template, Replicas: count, Selector: &metav1.LabelSelector{}}}
		d.Name, d.Namespace = o.GetName(), o.GetNamespace()
		a := w.newAgent(d, c)
		a.ID = kind + "/" + d.Namespace + "/" + d.Name
		found = append(found, a)
	}
	for _, ns := range namespaces {
		if err := w.straysIn(ctx, ns, add); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b *agent) int { return strings.Compare(a.ID, b.ID) })
	found = slices.CompactFunc(found, func(a, b *agent) bool { return a.ID == b.ID }) // a pod with both labels
	for _, a := range found {
		config, env, err := w.configOf(ctx, a.deployment)
		if err != nil {
			return nil, err
		}
		a.config = config
		if a.set, a.setMissing, err = setOf(ctx, env, &config); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// workloadKinds are those whose pods are looked at by their template.
var workloadKinds = []string{"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController"}

func (w *witness) straysIn(ctx context.Context, ns string, add func(kind string, o metav1.Object, template corev1.PodTemplateSpec, count *int32)) error {
	const unknown = "whether a fluxd runs that is no Deployment"
	apps, core := w.kube.AppsV1(), w.kube.CoreV1()
	errs := []error{
		each(ctx, w, "statefulsets.apps", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return apps.StatefulSets(ns).List(ctx, o)
		}, func(s *appsv1.StatefulSet) { add("StatefulSet", s, s.Spec.Template, s.Spec.Replicas) }),
		each(ctx, w, "daemonsets.apps", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return apps.DaemonSets(ns).List(ctx, o)
		}, func(s *appsv1.DaemonSet) { add("DaemonSet", s, s.Spec.Template, nil) }),
		each(ctx, w, "replicationcontrollers", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return core.ReplicationControllers(ns).List(ctx, o)
		}, func(s *corev1.ReplicationController) {
			if s.Spec.Template != nil {
				add("ReplicationController", s, *s.Spec.Template, s.Spec.Replicas)
			}
		}),
	}
	for _, selector := range fluxdPods {
		errs = append(errs,
			each(ctx, w, "replicasets.apps", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				o.LabelSelector = selector
				return apps.ReplicaSets(ns).List(ctx, o)
			}, func(s *appsv1.ReplicaSet) { add("ReplicaSet", s, s.Spec.Template, s.Spec.Replicas) }),
			each(ctx, w, "pods", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				o.LabelSelector = selector
				return core.Pods(ns).List(ctx, o)
			}, func(p *corev1.Pod) {
				if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
					add("Pod", p, corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels}, Spec: p.Spec}, nil)
				}
			}))
	}
	return onlyReal(errors.Join(errs...))
}

// reportStrays names the fluxds that no Deployment runs, and what they marked.
func (w *witness) reportStrays(strays []*agent) {
	for _, a := range strays {
		syncs := "what it syncs is not known"
		if a.config.URL != "" {
			syncs = "it syncs " + described(&a.config)
		}
		asks := ""
		if a.Replicas == 0 {
			asks = ", scaled to 0"
		}
		w.find(FluxdElsewhere.About("", a.ID, a.ID, fmt.Sprintf("%s runs fluxd (image %s%s); %s; it has marked %s", a.ID, flux1.DisplayURL(a.Image), asks, syncs, counted(len(a.Marked), "live object"))))
	}
}
