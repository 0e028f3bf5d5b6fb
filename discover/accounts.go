package discover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// accountUse says who acts under which account.
type accountUse struct {
	// users holds, per account "namespace/name", what runs under it, sorted:
	// "CronJob/namespace/name".
	users map[string][]string
	// tokens holds, per account, the Secrets with tokens bound to no pod.
	tokens map[string][]tokenSecret
}

// tokenSecret is a Secret of type kubernetes.io/service-account-token.
type tokenSecret struct {
	name string
	// used is the day of the last use, as the API server notes it; empty if
	// it was not used since it takes note (Kubernetes 1.28).
	used string
}

// Labels that the API server puts on token Secrets (source: Kubernetes,
// pkg/serviceaccount/legacy.go).
const (
	tokenLastUsed     = "kubernetes.io/legacy-token-last-used"
	tokenInvalidSince = "kubernetes.io/legacy-token-invalid-since"
)

// accountUsers finds who uses the accounts of namespaces in which an agent
// runs: every kind of workload by its template, pods that belong to none of
// these kinds, and token Secrets. What has ended and never runs again is left
// out. A right that is missing is a finding.
func (w *witness) accountUsers(ctx context.Context, deployments []appsv1.Deployment) (*accountUse, error) {
	use := &accountUse{users: map[string][]string{}, tokens: map[string][]tokenSecret{}}
	add := func(kind, namespace, name string, pod *corev1.PodSpec) {
		key, user := namespace+"/"+accountOf(pod), kind+"/"+namespace+"/"+name
		use.users[key] = append(use.users[key], user)
	}
	namespaces := map[string]bool{}
	for i := range deployments {
		d := &deployments[i]
		add("Deployment", d.Namespace, d.Name, &d.Spec.Template.Spec)
		if fluxd(d) != nil {
			namespaces[d.Namespace] = true
		}
	}
	var errs []error
	for ns := range namespaces {
		errs = append(errs, w.accountUsersIn(ctx, ns, add, func(account string, t tokenSecret) {
			use.tokens[ns+"/"+account] = append(use.tokens[ns+"/"+account], t)
		})...)
	}
	for account, list := range use.users {
		slices.Sort(list)
		use.users[account] = slices.Compact(list)
	}
	for _, list := range use.tokens {
		slices.SortFunc(list, func(a, b tokenSecret) int { return strings.Compare(a.name, b.name) })
	}
	return use, onlyReal(errors.Join(errs...))
}

// accountUsersIn looks at one namespace, at all but Deployments.
func (w *witness) accountUsersIn(ctx context.Context, ns string, add func(kind, namespace, name string, pod *corev1.PodSpec), token func(string, tokenSecret)) []error {
	const unknown = "who else uses an agent's account"
	apps, batch, core := w.kube.AppsV1(), w.kube.BatchV1(), w.kube.CoreV1()
	controlledBy := func(o metav1.Object, kinds ...string) bool {
		owner := metav1.GetControllerOf(o)
		return owner != nil && slices.Contains(kinds, owner.Kind)
	}
	return []error{
		each(ctx, w, "statefulsets.apps", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return apps.StatefulSets(ns).List(ctx, o)
		}, func(s *appsv1.StatefulSet) { add("StatefulSet", ns, s.Name, &s.Spec.Template.Spec) }),
		each(ctx, w, "daemonsets.apps", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return apps.DaemonSets(ns).List(ctx, o)
		}, func(s *appsv1.DaemonSet) { add("DaemonSet", ns, s.Name, &s.Spec.Template.Spec) }),
		each(ctx, w, "replicasets.apps", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return apps.ReplicaSets(ns).List(ctx, o)
		}, func(s *appsv1.ReplicaSet) {
			// Those of a Deployment are named by it, and emptied ones of other
			// controllers are only kept for going back.
			if !controlledBy(s, "Deployment") && (s.Spec.Replicas == nil || *s.Spec.Replicas > 0) {
				add("ReplicaSet", ns, s.Name, &s.Spec.Template.Spec)
			}
		}),
		each(ctx, w, "replicationcontrollers", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return core.ReplicationControllers(ns).List(ctx, o)
		}, func(s *corev1.ReplicationController) {
			if s.Spec.Template != nil {
				add("ReplicationController", ns, s.Name, &s.Spec.Template.Spec)
			}
		}),
		w.cronJobs(ctx, ns, unknown, func(s metav1.Object, job batchv1.JobTemplateSpec, _ *bool) {
			add("CronJob", ns, s.GetName(), &job.Spec.Template.Spec)
		}),
		each(ctx, w, "jobs.batch", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return batch.Jobs(ns).List(ctx, o)
		}, func(s *batchv1.Job) {
			if !jobEnded(s) && !controlledBy(s, "CronJob") {
				add("Job", ns, s.Name, &s.Spec.Template.Spec)
			}
		}),
		each(ctx, w, "pods", ns, unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return core.Pods(ns).List(ctx, o)
		}, func(p *corev1.Pod) {
			if !hasEnded(p) && !controlledBy(p, "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController") {
				add("Pod", ns, p.Name, &p.Spec)
			}
		}),
		each(ctx, w, "secrets", ns, "whether a Secret holds a token of an agent's account", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = "type=" + string(corev1.SecretTypeServiceAccountToken)
			return core.Secrets(ns).List(ctx, o)
		}, func(s *corev1.Secret) {
			account := s.Annotations[corev1.ServiceAccountNameKey]
			if s.Type != corev1.SecretTypeServiceAccountToken || account == "" || s.Labels[tokenInvalidSince] != "" {
				return // another Secret, or a token that the API server refuses
			}
			token(account, tokenSecret{name: s.Name, used: s.Labels[tokenLastUsed]})
		}),
	}
}

// jobEnded reports whether a Job is through with its work.
func jobEnded(j *batchv1.Job) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

// sharedAccount notes who else acts under the agent's account, and what that
// means for the fence: it refuses the account as a whole, or, where others use
// it, those tokens only that are bound to pods named as this Deployment's.
func (w *witness) sharedAccount(a *agent, accounts *accountUse) {
	self := "Deployment/" + a.Namespace + "/" + a.Workload
	account := "ServiceAccount/" + a.Namespace + "/" + a.ServiceAccount
	users := accounts.users[a.Namespace+"/"+a.ServiceAccount]
	i, found := slices.BinarySearch(users, self)
	if !found {
		i = -1
	}
	if a.SharedAccount = len(users) > 1 || len(users) == 1 && !found; a.SharedAccount {
		w.find(SharedAccount.Finding(a.ID, account, fmt.Sprintf(
			"the agent's account is used by others as well: %s; they go on writing, since the fence will refuse only pods named as those of %s", allBut(users, i), self)))
	}
	named, left := 0, 0
	for _, t := range accounts.tokens[a.Namespace+"/"+a.ServiceAccount] {
		secret := "Secret/" + a.Namespace + "/" + t.name
		uses := a.SharedAccount && usesSecret(&a.deployment.Spec.Template.Spec, t.name)
		if named >= maxTokens && !uses {
			left++
			continue
		}
		named++
		since := "not used since the API server takes note"
		if t.used != "" {
			since = "last used on " + t.used
		}
		switch {
		case uses:
			w.find(AgentUsesToken.Finding(a.ID, secret, fmt.Sprintf("the agent uses the token of %s, which is bound to no pod, and its account is shared: the fence, which goes by the names of pods, would not hold it", secret)))
		case a.SharedAccount:
			w.find(TokenPasses.Finding(a.ID, secret, fmt.Sprintf("%s holds a token of the agent's account (%s); who uses it passes the fence, which goes by the names of pods since the account is shared", secret, since)))
		default:
			w.find(TokenSecret.Finding(a.ID, secret, fmt.Sprintf("%s holds a token of the agent's account (%s); who uses it will be refused every write together with the old agent, since the account is fenced as a whole", secret, since)))
		}
	}
	if left > 0 {
		code, what := TokenSecret, "will be refused every write together with the old agent, since the account is fenced as a whole"
		if a.SharedAccount {
			code, what = TokenPasses, "passes the fence, which goes by the names of pods since the account is shared"
		}
		w.find(code.Finding(a.ID, account, fmt.Sprintf("%d more Secrets hold tokens of the agent's account, beside those that are named one by one; who uses one of them %s", left, what)))
	}
}

// maxTokens is how many Secrets with tokens of an account are told one by one for an agent.
const maxTokens = 20

// usesSecret reports whether a pod mounts a Secret or reads it into its
// environment.
func usesSecret(pod *corev1.PodSpec, name string) bool {
	for _, v := range pod.Volumes {
		if v.Secret != nil && v.Secret.SecretName == name {
			return true
		}
		if v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.Secret != nil && s.Secret.Name == name }) {
			return true
		}
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, f := range c.EnvFrom {
			if f.SecretRef != nil && f.SecretRef.Name == name {
				return true
			}
		}
		for _, v := range c.Env {
			if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil && v.ValueFrom.SecretKeyRef.Name == name {
				return true
			}
		}
	}
	return false
}
