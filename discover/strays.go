package discover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate/flux1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	batchv1beta1 "k8s.io/api/batch/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// strays finds every fluxd that no Deployment runs: what it marks is known
// then, and it is reported. Of pods and ReplicaSets, of which a cluster may hold a great
// many, the metadata is read first: those of Deployments and other workloads are not looked at.
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
	found = slices.CompactFunc(found, func(a, b *agent) bool { return a.ID == b.ID }) // of a namespace that is given twice
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
var workloadKinds = []string{"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController", "Job", "CronJob"}

func (w *witness) straysIn(ctx context.Context, ns string, add func(kind string, o metav1.Object, template corev1.PodTemplateSpec, count *int32)) error {
	const unknown = "whether a fluxd runs that is no Deployment"
	apps, batch, core := w.kube.AppsV1(), w.kube.BatchV1(), w.kube.CoreV1()
	suspended := func(is *bool) *int32 {
		if is != nil && *is {
			return new(int32)
		}
		return nil
	}
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
		w.cronJobs(ctx, ns, unknown, func(s metav1.Object, job batchv1.JobTemplateSpec, suspend *bool) {
			add("CronJob", s, job.Spec.Template, suspended(suspend))
		}),
	}
	// ofOthers reads the namespaces that hold an object of a kind which no workload controls.
	ofOthers := func(gvr schema.GroupVersionResource, read func(ns string) error) {
		namespaces, err := w.namespacesOfOthers(ctx, gvr, ns, unknown)
		errs = append(errs, err)
		for _, ns := range namespaces {
			errs = append(errs, read(ns))
		}
	}
	ofOthers(batchv1.SchemeGroupVersion.WithResource("jobs"), func(ns string) error {
		return each(ctx, w, "jobs.batch", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return batch.Jobs(ns).List(ctx, o)
		}, func(s *batchv1.Job) {
			if !jobEnded(s) {
				add("Job", s, s.Spec.Template, suspended(s.Spec.Suspend))
			}
		})
	})
	ofOthers(corev1.SchemeGroupVersion.WithResource("pods"), func(ns string) error {
		return each(ctx, w, "pods", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return core.Pods(ns).List(ctx, o)
		}, func(p *corev1.Pod) {
			if !hasEnded(p) {
				add("Pod", p, corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels}, Spec: p.Spec}, nil)
			}
		})
	})
	ofOthers(appsv1.SchemeGroupVersion.WithResource("replicasets"), func(ns string) error {
		return each(ctx, w, "replicasets.apps", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return apps.ReplicaSets(ns).List(ctx, o)
		}, func(s *appsv1.ReplicaSet) {
			if metav1.GetControllerOf(s) == nil || s.Spec.Replicas == nil || *s.Spec.Replicas > 0 { // others are kept for going back
				add("ReplicaSet", s, s.Spec.Template, s.Spec.Replicas)
			}
		})
	})
	return onlyReal(errors.Join(errs...))
}

// cronJobs visits CronJobs in the version that the server has, which is batch/v1 since Kubernetes
// 1.21, with whether they are suspended.
func (w *witness) cronJobs(ctx context.Context, ns, unknown string, visit func(o metav1.Object, job batchv1.JobTemplateSpec, suspend *bool)) error {
	err := each(ctx, w, "cronjobs.batch", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return w.kube.BatchV1().CronJobs(ns).List(ctx, o)
	}, func(s *batchv1.CronJob) { visit(s, s.Spec.JobTemplate, s.Spec.Suspend) })
	if !notFound(err) {
		return err
	}
	return each(ctx, w, "cronjobs.batch", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return w.kube.BatchV1beta1().CronJobs(ns).List(ctx, o)
	}, func(s *batchv1beta1.CronJob) {
		visit(s, batchv1.JobTemplateSpec{ObjectMeta: s.Spec.JobTemplate.ObjectMeta, Spec: s.Spec.JobTemplate.Spec}, s.Spec.Suspend)
	})
}

// namespacesOfOthers are the namespaces with objects of a kind that no workload of workloadKinds controls.
func (w *witness) namespacesOfOthers(ctx context.Context, gvr schema.GroupVersionResource, namespace, unknown string) ([]string, error) {
	found := map[string]bool{}
	err := w.listMeta(ctx, &listable{gvr: gvr, namespaced: true}, namespace, "", func(m *metav1.PartialObjectMetadata) {
		if owner := metav1.GetControllerOf(m); owner == nil || !slices.Contains(workloadKinds, owner.Kind) {
			found[m.Namespace] = true
		}
	})
	if isForbidden(err) {
		w.forbidden("list", gvr.GroupResource().String(), namespace, "", unknown)
		return nil, fmt.Errorf("%w %s", errUnreadable, gvr.Resource)
	}
	return sortedNames(found), err
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
			if kind, _, _ := strings.Cut(a.ID, "/"); kind == "CronJob" || kind == "Job" {
				asks = ", suspended"
			}
		}
		runs, more := seenToRun(a.env.container)
		w.find(FluxdElsewhere.About("", a.ID, a.ID, fmt.Sprintf("%s %s fluxd (image %s%s)%s; %s; it has marked %s", a.ID, runs, flux1.DisplayURL(a.Image), asks, more, syncs, counted(len(a.Marked), "live object"))))
	}
}
