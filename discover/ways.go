package discover

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// readWays reports what the agent's ways out hang on beside its arguments and
// its account: policies for what leaves its pods, and roles that a cloud gives
// the pods.
func (w *witness) readWays(a *agent, egress []networkingv1.NetworkPolicy) error {
	pod := &a.deployment.Spec.Template
	for _, p := range egress {
		selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
		if err != nil {
			return fmt.Errorf("read the selector of NetworkPolicy %s/%s: %w", p.Namespace, p.Name, err)
		}
		if !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		place := "NetworkPolicy/" + p.Namespace + "/" + p.Name
		w.find(EgressPolicy.Finding(a.ID, place, fmt.Sprintf("%s limits what the agent's pods may reach (%s)", place, counted(len(p.Spec.Egress), "rule"))))
	}
	w.find(a.podRole(podRoles(pod), a.where("pod template"))...)
	return nil
}

// podRoles are the roles in a cloud that a pod, and not its account, has.
func podRoles(pod *corev1.PodTemplateSpec) []string {
	var roles []string
	for _, name := range chart.PodIdentities {
		for _, set := range []map[string]string{pod.Annotations, pod.Labels} {
			if role := set[name]; role != "" {
				roles = append(roles, name+": "+strings.ReplaceAll(role, placeholder, "not known"))
			}
		}
	}
	return roles
}

// podRole says that the agent's pods have roles in a cloud, if they have any.
func (a *agent) podRole(roles []string, where string) []migrate.Finding {
	return a.cloudRole("the agent's pods", "have", cloudRoles{known: roles}, where)
}

// cloudRoles are the roles in a cloud that something has, and those that it may
// have, since what would hold them is not known.
type cloudRoles struct{ known, perhaps []string }

// cloudRole says that something of the agent's has roles in a cloud, if it has or
// may have any.
func (a *agent) cloudRole(what, has string, roles cloudRoles, where string) []migrate.Finding {
	words := has + " a role in a cloud (" + strings.Join(append(roles.known, roles.perhaps...), ", ") + ")"
	switch {
	case len(roles.known)+len(roles.perhaps) == 0:
		return nil
	case len(roles.known) == 0:
		words = "may have a role in a cloud (" + strings.Join(roles.perhaps, ", ") + ")"
	}
	code := CloudIdentity
	if a.usesIdentity() != "" {
		code = CloudIdentityUsed
	}
	return []migrate.Finding{code.Finding(a.ID, where, what+" "+words)}
}

// egressPolicies lists the policies of a namespace that limit what leaves pods.
func (w *witness) egressPolicies(ctx context.Context, namespace string) ([]networkingv1.NetworkPolicy, error) {
	var policies []networkingv1.NetworkPolicy
	err := each(ctx, w, "networkpolicies.networking.k8s.io", namespace, unknownWays, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return w.kube.NetworkingV1().NetworkPolicies(namespace).List(ctx, o)
	}, func(p *networkingv1.NetworkPolicy) {
		if slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) || len(p.Spec.Egress) > 0 {
			policies = append(policies, *p)
		}
	})
	return policies, onlyReal(err)
}
