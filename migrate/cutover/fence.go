package cutover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// The fence closes behind the last pod. It is put up first, with the pods that
// then run exempted by UID, and seen to be in force; only then, when it is the
// Repository's turn, is the old agent told to end. So a running sync may finish
// its writes, whoever is started in the pods' place is refused from the first
// moment, and nothing is left to be waited for once the last pod is gone: the
// gap is the adoption alone. Until the turn comes, which may take long, a pod
// that takes another's place is exempted too: somebody must sync. No form of
// the policy lets a pod in that did not run before the old agent was told to
// end, so none but the first must be seen to be in force.

// Extra keys of a pod's token (source: Kubernetes, serviceaccount token
// authentication).
const (
	extraPodName = "authentication.kubernetes.io/pod-name"
	extraPodUID  = "authentication.kubernetes.io/pod-uid"
)

// In force (or lifted) is believed after this many equal answers in a row, and
// after inForceSpread unless the cluster is known to have one API server only:
// each of them reads policies anew every second, and a probe proves one. The
// spread costs the gap nothing: it passes while the old agent still works.
const (
	inForceAnswers = 3
	inForceSpread  = 3 * time.Second
)

func fenceName(id string) string {
	return migrate.FencePrefix + strings.Replace(id, "/", ".", 1)
}

// A Deployment's pods are named after it: "-", the hash of the ReplicaSet (a
// number of 32 bits, so at most ten characters), "-", all of that cut at
// podBase characters, and five random ones. Hash and random characters are of
// an alphabet without vowels that hardly any word falls into (source:
// Kubernetes, pkg/controller/deployment/sync.go, apimachinery util/rand,
// apiserver storage/names).
const (
	podAlphabet = "[bcdfghjklmnpqrstvwxz2456789]"
	podHash     = 10
	podBase     = 58
)

// podNames is a regular expression (RE2) of the names that the Deployment's
// pods may have. Pods of Deployments whose names begin with this one's are
// others. Only Deployments whose names do not differ within podBase characters
// cannot be told apart.
func podNames(deployment string) string {
	random := podAlphabet + "{5}$"
	room := podBase - len(deployment) // for "-", hash and "-"
	switch {
	case room <= 0:
		return "^" + regexp.QuoteMeta(deployment[:podBase]) + random
	case room == 1:
		return "^" + regexp.QuoteMeta(deployment) + "-" + random
	}
	var middles []string
	if whole := min(podHash, room-2); whole > 0 {
		middles = append(middles, fmt.Sprintf("%s{1,%d}-", podAlphabet, whole))
	}
	if cut := room - 1; cut <= podHash {
		middles = append(middles, fmt.Sprintf("%s{%d}", podAlphabet, cut))
	}
	return "^" + regexp.QuoteMeta(deployment) + "-(" + strings.Join(middles, "|") + ")" + random
}

// noPod is the name of a pod that the Deployment might have and hardly has.
func noPod(deployment string) string {
	base := deployment + "-bbbbbbbbbb-"
	return base[:min(len(base), podBase)] + "bbbbb"
}

// subjectExpression is CEL that is true for requests of the old agent. It
// never errs for other users' requests.
func (f agentFacts) subjectExpression() string {
	who := fmt.Sprintf("request.userInfo.username == %q", cluster.ServiceAccountUser(f.Namespace, f.ServiceAccount))
	if !f.SharedAccount {
		return who
	}
	return fmt.Sprintf("%s && has(request.userInfo.extra) && %q in request.userInfo.extra && request.userInfo.extra[%q].exists(n, n.matches(%q))",
		who, extraPodName, extraPodName, podNames(f.Workload))
}

// fencePolicy refuses every write by the old agent, but for pods that are
// exempt.
func (r *repository) fencePolicy(exempt []types.UID) (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding) {
	name := fenceName(r.id)
	meta := metav1.ObjectMeta{
		Name: name, Labels: repositoryLabels(r.id, "fence"),
		Annotations: map[string]string{migrate.AnnotationRepository: r.id, annotationRun: r.run},
	}
	expression := "false"
	if len(exempt) > 0 {
		uids := make([]string, len(exempt))
		for i, uid := range exempt {
			uids[i] = fmt.Sprintf("%q", string(uid))
		}
		expression = fmt.Sprintf("has(request.userInfo.extra) && %q in request.userInfo.extra && request.userInfo.extra[%q].exists(u, u in [%s])",
			extraPodUID, extraPodUID, strings.Join(uids, ", "))
	}
	fail, all := admissionv1.Fail, admissionv1.AllScopes
	reason := metav1.StatusReasonForbidden
	policy := &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: meta,
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &fail,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete},
					Rule:       admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}, Scope: &all},
				},
			}}},
			MatchConditions: []admissionv1.MatchCondition{{Name: "old-agent", Expression: r.j.Agent.subjectExpression()}},
			Validations: []admissionv1.Validation{{
				Expression: expression, Reason: &reason,
				Message: fmt.Sprintf("%s was handed over to Flux v2 by fluxover; to go back run: fluxover rollback --repo %s", r.id, r.id),
			}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: *meta.DeepCopy(),
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	return policy, binding
}

// errNoPolicies: nothing could keep an old agent out that comes back.
var errNoPolicies = errors.New("this API server knows no ValidatingAdmissionPolicy (Kubernetes before 1.30), so the old agent cannot be kept from coming back: upgrade it first")

// raise writes policy and binding. Passing trouble of the API server is
// outlasted.
func (r *repository) raise(ctx context.Context, exempt []types.UID) error {
	return r.outlast(ctx, "fence", func(ctx context.Context) error { return r.raiseOnce(ctx, exempt) })
}

func (r *repository) raiseOnce(ctx context.Context, exempt []types.UID) error {
	policy, binding := r.fencePolicy(exempt)
	api := r.c.Kube.AdmissionregistrationV1()
	write := metav1.CreateOptions{FieldManager: migrate.FieldManager}
	err := retryConflict(ctx, func(ctx context.Context) error {
		live, err := api.ValidatingAdmissionPolicies().Get(ctx, policy.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = api.ValidatingAdmissionPolicies().Create(ctx, policy, write)
			return err
		}
		if err != nil {
			return err
		}
		if live.Annotations[annotationRun] != r.run {
			return fmt.Errorf("ValidatingAdmissionPolicy/%s exists and was not made by fluxover: rename or remove it", live.Name)
		}
		live.Spec = policy.Spec
		_, err = api.ValidatingAdmissionPolicies().Update(ctx, live, metav1.UpdateOptions{FieldManager: migrate.FieldManager})
		return err
	})
	if apierrors.IsNotFound(err) {
		return errNoPolicies
	}
	if err != nil {
		return fmt.Errorf("put up the fence %s: %w", policy.Name, err)
	}
	err = retryConflict(ctx, func(ctx context.Context) error {
		_, err := api.ValidatingAdmissionPolicyBindings().Create(ctx, binding, write)
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		live, err := api.ValidatingAdmissionPolicyBindings().Get(ctx, binding.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if live.Annotations[annotationRun] != r.run {
			return fmt.Errorf("ValidatingAdmissionPolicyBinding/%s exists and was not made by fluxover: rename or remove it", live.Name)
		}
		live.Spec = binding.Spec
		_, err = api.ValidatingAdmissionPolicyBindings().Update(ctx, live, metav1.UpdateOptions{FieldManager: migrate.FieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("put up the fence %s: %w", policy.Name, err)
	}
	return nil
}

// lower deletes binding, then policy, where this run made them.
func (r *repository) lower(ctx context.Context) error {
	name := fenceName(r.id)
	api := r.c.Kube.AdmissionregistrationV1()
	binding, err := api.ValidatingAdmissionPolicyBindings().Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		if binding.Annotations[annotationRun] != r.run {
			return fmt.Errorf("delete ValidatingAdmissionPolicyBinding/%s: %w", name, ErrBudget)
		}
		err = api.ValidatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &binding.UID}})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("lift the fence %s: %w", name, err)
	}
	policy, err := api.ValidatingAdmissionPolicies().Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		if policy.Annotations[annotationRun] != r.run {
			return fmt.Errorf("delete ValidatingAdmissionPolicy/%s: %w", name, ErrBudget)
		}
		err = api.ValidatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &policy.UID}})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("lift the fence %s: %w", name, err)
	}
	return nil
}

// probe tries a write as the old agent, which is never carried out, and tells
// whether the fence refuses it.
type probe struct {
	as *cluster.Client
	// target is a live object that the old agent may write.
	target *unstructured.Unstructured
}

// probes are tried in order: the first that is not refused for another reason
// counts. The objects are those that the old agent applied, so it may write
// them.
func (r *repository) probes(ctx context.Context) ([]probe, error) {
	extra := map[string][]string(nil)
	if r.j.Agent.SharedAccount {
		extra = map[string][]string{extraPodName: {noPod(r.j.Agent.Workload)}}
	}
	as, err := r.c.As(cluster.ServiceAccountUser(r.j.Agent.Namespace, r.j.Agent.ServiceAccount), cluster.ServiceAccountGroups(r.j.Agent.Namespace), extra)
	if err != nil {
		return nil, err
	}
	snap, err := r.snapshotOf(ctx)
	if err != nil {
		return nil, err
	}
	var list []probe
	seen := map[string]bool{}
	for _, o := range snap.Objects {
		if namespace := o.Object.GetNamespace(); !seen[namespace] && len(list) < 5 {
			seen[namespace] = true
			list = append(list, probe{as: as, target: o.Object})
		}
	}
	scratch := &unstructured.Unstructured{}
	scratch.SetAPIVersion("v1")
	scratch.SetKind("ConfigMap")
	scratch.SetNamespace(r.j.Agent.Namespace)
	scratch.SetName("fluxover-probe")
	return append(list, probe{as: as, target: scratch}), nil
}

// refused tells whether the fence refuses the probe; err is set if something
// else did.
func (p probe) refused(ctx context.Context, fence string) (bool, error) {
	resource, err := p.as.Resource(p.target.GroupVersionKind(), p.target.GetNamespace())
	if err != nil {
		return false, err
	}
	if p.target.GetUID() == "" {
		_, err = resource.Create(ctx, p.target, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: migrate.FieldManager})
	} else {
		_, err = resource.Patch(ctx, p.target.GetName(), types.MergePatchType, []byte(`{"metadata":{"annotations":{"fluxover.dev/probe":"true"}}}`),
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: migrate.FieldManager})
	}
	if err == nil || apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	if strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+fence+"'") {
		return true, nil
	}
	return false, err
}

// fenceGone reports whether neither policy nor binding is stored.
func (r *repository) fenceGone(ctx context.Context) (bool, error) {
	api := r.c.Kube.AdmissionregistrationV1()
	_, err := api.ValidatingAdmissionPolicyBindings().Get(ctx, fenceName(r.id), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.ValidatingAdmissionPolicies().Get(ctx, fenceName(r.id), metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return false, err
}

// awaitFence waits until the fence is in force (or lifted), as its answers to
// probes say, several times in a row. Where no probe can answer, because its
// object or the old agent's account is gone, a fence counts as lifted when
// policy and binding have been gone for inForceSpread.
func (r *repository) awaitFence(ctx context.Context, inForce bool) error {
	probes, err := r.probes(ctx)
	if err != nil {
		return err
	}
	spread := time.Duration(0)
	if several, err := r.severalServers(ctx); several || err != nil {
		spread = inForceSpread
	}
	return r.awaitAnswers(ctx, probes, inForce, spread)
}

// awaitAnswers is awaitFence with the probes to try and the time to go on
// after the first right answer.
func (r *repository) awaitAnswers(ctx context.Context, probes []probe, inForce bool, spread time.Duration) error {
	var usable *probe
	answers := 0
	var since, gone time.Time
	name := fenceName(r.id)
	limit := r.limits.fence + spread
	if !inForce {
		limit = r.limits.fence + inForceSpread
	}
	return cluster.Wait(ctx, 50*time.Millisecond, limit, func(ctx context.Context) (bool, string, error) {
		var refused bool
		var err error
		if usable != nil {
			refused, err = usable.refused(ctx, name)
		} else {
			for i := range probes {
				if refused, err = probes[i].refused(ctx, name); err == nil {
					usable = &probes[i]
					break
				}
			}
		}
		if err != nil {
			answers, usable = 0, nil
			if !inForce {
				lifted, goneErr := r.fenceGone(ctx)
				switch {
				case goneErr != nil:
					err, gone = errors.Join(err, goneErr), time.Time{}
				case !lifted:
					gone = time.Time{}
				case gone.IsZero():
					gone = time.Now()
				}
				if goneErr == nil && lifted && time.Since(gone) >= inForceSpread {
					return true, "", nil
				}
			}
			return false, fmt.Sprintf("tried a write as the old agent, and something else than the fence refused it: %v", err), nil
		}
		if refused != inForce {
			answers = 0
			if inForce {
				return false, "a write as the old agent is not refused yet", nil
			}
			return false, "a write as the old agent is still refused", nil
		}
		if answers++; answers == 1 {
			since = time.Now()
		}
		return answers >= inForceAnswers && time.Since(since) >= spread, "not all API servers can have answered yet", nil
	})
}

// Each API server keeps a Lease that says that it is there (source:
// Kubernetes, apiserver identity, on since 1.26).
const serverLeases = "apiserver.kubernetes.io/identity=kube-apiserver"

// severalServers reports whether the cluster may have more than one API
// server. It is known to have one only where one is registered under one
// address: behind the one address of a load balancer there may be several.
func (r *repository) severalServers(ctx context.Context) (bool, error) {
	servers, err := r.c.Kube.CoordinationV1().Leases(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: serverLeases})
	if err != nil {
		return true, fmt.Errorf("count the API servers: %w", err)
	}
	if len(servers.Items) != 1 {
		return true, nil
	}
	endpoints, err := r.c.Kube.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"})
	if err != nil {
		return true, fmt.Errorf("count the API servers: %w", err)
	}
	addresses := map[string]bool{}
	for _, s := range endpoints.Items {
		for _, e := range s.Endpoints {
			for _, a := range e.Addresses {
				addresses[a] = true
			}
		}
	}
	return len(addresses) > 1, nil
}

// noteReplicas notes what the fence is about to change.
func noteReplicas(ctx context.Context, r *repository) error {
	if r.j.Fence.StoppedAt != nil {
		return nil // an earlier try got further: its before-values hold
	}
	d, err := r.c.Kube.AppsV1().Deployments(r.j.Agent.Namespace).Get(ctx, r.j.Agent.Workload, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the old agent's Deployment: %w", err)
	}
	if err := r.sameAgent(d); err != nil {
		return err
	}
	r.j.Agent.Replicas = 1
	if d.Spec.Replicas != nil {
		r.j.Agent.Replicas = *d.Spec.Replicas
	}
	r.j.Agent.Selector = d.Spec.Selector
	r.j.Fence = fenceFacts{}
	return nil
}

// sameAgent fails with ErrMoved where the Deployment is not the one that the
// fence is made for: it knows the agent by its account, and its pods by the
// selector.
func (r *repository) sameAgent(d *appsv1.Deployment) error {
	var moved []string
	const unset = "default"
	if was, is := cmp.Or(r.j.Agent.ServiceAccount, unset), cmp.Or(d.Spec.Template.Spec.ServiceAccountName, unset); was != is {
		moved = append(moved, fmt.Sprintf("account (%s, now %s)", was, is))
	}
	if r.j.Agent.Selector != nil && d.Spec.Selector != nil {
		if was, is := metav1.FormatLabelSelector(r.j.Agent.Selector), metav1.FormatLabelSelector(d.Spec.Selector); was != is {
			moved = append(moved, fmt.Sprintf("selector of the pods (%s, now %s)", was, is))
		}
	}
	if len(moved) == 0 {
		return nil
	}
	return fmt.Errorf("%w: Deployment %s/%s: %s; %s", ErrMoved, d.Namespace, d.Name, strings.Join(moved, "; "), r.j.afterMove())
}

// lookAgain is sameAgent for the live Deployment; one that is gone stops
// nobody.
func (r *repository) lookAgain(ctx context.Context) error {
	var d *appsv1.Deployment
	err := r.outlast(ctx, "fence", func(ctx context.Context) (err error) {
		d, err = r.c.Kube.AppsV1().Deployments(r.j.Agent.Namespace).Get(ctx, r.j.Agent.Workload, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the old agent's Deployment: %w", err)
	}
	return r.sameAgent(d)
}

// fence keeps the old agent from writing: policy in force, replicas 0, no pod.
func fence(ctx context.Context, r *repository) error {
	if err := r.lookAgain(ctx); err != nil {
		return err
	}
	if r.j.Fence.StoppedAt != nil {
		// An earlier try got further: nobody is exempted who was not then.
		if err := r.raiseInForce(ctx); err != nil {
			return err
		}
		if err := r.goneMeanwhile(ctx); err != nil {
			return err
		}
	} else {
		if err := r.approachGap(ctx); err != nil {
			return err
		}
		if err := r.lookAgain(ctx); err != nil { // the turn may have been long in coming
			return err
		}
		if err := r.sameKeys(ctx); err != nil {
			return err
		}
		now := time.Now().UTC()
		r.j.Fence.StoppedAt = &now
		// Before the act: who comes after a crash must not take 0 for the
		// number of replicas that was there.
		if r.crashed(r.id, fenceStopped, BeforeDone) {
			return errCrash
		}
		if err := r.save(ctx, "fence"); err != nil {
			return err
		}
		if r.crashed(r.id, fenceStopped, AfterDone) {
			return errCrash
		}
	}
	if err := r.scale(ctx, 0); err != nil {
		return err
	}
	if err := r.awaitNoPods(ctx); err != nil {
		return err
	}
	r.fenced = true
	return nil
}

// goneMeanwhile notes that the old agent, told to end by an earlier try, ended
// while no process looked: who takes the time of this look instead reports next to
// no gap, however long the Repository has been without an engine. A pod that the
// fence does not exempt is none.
func (r *repository) goneMeanwhile(ctx context.Context) error {
	if r.j.Fence.GoneAt != nil {
		return nil
	}
	var pods []corev1.Pod
	err := r.outlast(ctx, "fence", func(ctx context.Context) (err error) {
		pods, err = r.exemptPods(ctx)
		return err
	})
	if err != nil || len(pods) > 0 {
		return err
	}
	r.j.Fence.GoneAt, r.j.Fence.GoneUnseen = r.j.Fence.StoppedAt, true
	r.note("fence", "the old agent, which an earlier run told to end at %s, ended while nobody looked: the gap is counted from then", r.j.Fence.StoppedAt.Format(time.RFC3339))
	return nil
}

// fenceStopped names the points, before and after it is written down that the
// old agent is told to end, at which tests crash.
const fenceStopped = "fence-stopped"

// raiseInForce puts the fence up and waits until it is in force.
func (r *repository) raiseInForce(ctx context.Context) error {
	if err := r.raise(ctx, r.j.Fence.ExemptPods); err != nil {
		return err
	}
	if err := r.awaitFence(ctx, true); err != nil {
		return fmt.Errorf("wait for the fence %s to be in force: %w", fenceName(r.id), err)
	}
	return nil
}

// turnRounds bounds how often a turn is waited for, because the old agent was
// busy again when it came.
const turnRounds = 3

// approachGap brings the Repository to the point at which its old agent is told
// to end: fence in force behind the pods that run, its turn in the gap held,
// and a good moment. Until then the old agent works on, also in a new pod.
func (r *repository) approachGap(ctx context.Context) error {
	pods, err := r.oldPods(ctx)
	if err != nil {
		return err
	}
	r.j.Fence.ExemptPods = nil
	for _, p := range pods {
		r.j.Fence.ExemptPods = append(r.j.Fence.ExemptPods, p.GetUID())
	}
	if err := r.raiseInForce(ctx); err != nil {
		return err
	}
	// The journal is written by the one goroutine alone.
	side := &repository{env: r.env, id: r.id, interruptible: r.interruptible, j: &journal{Agent: r.j.Agent, Fence: r.j.Fence}}
	approaching, end := context.WithCancelCause(ctx)
	var watched sync.WaitGroup
	watched.Go(func() {
		if err := side.exemptNewPods(approaching); err != nil && approaching.Err() == nil {
			end(fmt.Errorf("keep an eye on the pods of the old agent: %w", err))
		}
	})
	watched.Go(func() { end(side.holdUp(approaching)) })
	err = r.awaitTurn(approaching)
	if err == nil {
		err = r.heldUp(approaching)
	}
	arrived := errors.New("the turn has come, or will not")
	end(arrived)
	watched.Wait()
	r.j.Fence.ExemptPods = side.j.Fence.ExemptPods
	if cause := context.Cause(approaching); ctx.Err() == nil && !errors.Is(cause, arrived) {
		return cause
	}
	return err
}

// errPaused: the run was paused while nothing was stopped yet.
var errPaused = errors.New("paused")

// holdUp waits until the run is interrupted, paused or to be aborted, or ctx
// ends, and says which.
func (r *repository) holdUp(ctx context.Context) error {
	for {
		if err := r.heldUp(ctx); errors.Is(err, errPaused) || errors.Is(err, ErrAborted) || r.interruptedBy() != nil {
			return err
		}
		var interrupted <-chan struct{}
		if r.interruptible != nil {
			interrupted = r.interruptible.Done()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-interrupted:
		case <-time.After(time.Second):
		}
	}
}

// heldUp fails when the run was interrupted, paused or is to be aborted.
func (r *repository) heldUp(ctx context.Context) error {
	if err := r.interruptedBy(); err != nil {
		return err
	}
	paused, err := r.pausedBy(ctx)
	if err == nil && paused != "" {
		return fmt.Errorf("%w by %s", errPaused, paused)
	}
	return err
}

// interruptedBy is the error of who interrupted the run; nil if nobody did.
func (r *repository) interruptedBy() error {
	if r.interruptible == nil || r.interruptible.Err() == nil {
		return nil
	}
	return fmt.Errorf("nothing was stopped yet: %w", r.interruptible.Err())
}

// awaitTurn waits for a good moment and for the turn. Whatever takes time is
// waited for without the turn, which others need; so one look is taken with
// it, and if the old agent is busy again, the turn is given back.
func (r *repository) awaitTurn(ctx context.Context) error {
	due := time.Now()
	if r.j.Agent.Replicas > 0 { // else nobody syncs
		due = due.Add(r.syncWait)
	}
	for round := 1; ; round++ {
		if err := r.awaitSyncEnd(ctx, due); err != nil {
			return err
		}
		if err := r.enterGap(ctx); err != nil {
			return err
		}
		if round == turnRounds || !r.knowsMarks() {
			return nil
		}
		m, err := r.readMarks(ctx)
		if err != nil {
			return err
		}
		if !r.moved(m) && (!m.syncDue() || !time.Now().Before(due)) {
			return nil
		}
		r.leaveGap()
	}
}

// scale sets the old Deployment's replicas. A Deployment that is gone is as
// good as one with none.
func (r *repository) scale(ctx context.Context, replicas int32) error {
	body := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	err := r.outlast(ctx, "fence", func(ctx context.Context) error {
		_, err := r.c.Kube.AppsV1().Deployments(r.j.Agent.Namespace).Patch(ctx, r.j.Agent.Workload, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: migrate.FieldManager})
		return err
	})
	if apierrors.IsNotFound(err) && replicas == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set replicas of Deployment %s/%s to %d: %w", r.j.Agent.Namespace, r.j.Agent.Workload, replicas, err)
	}
	return nil
}

// oldPods are the old agent's pods that may still run something.
func (r *repository) oldPods(ctx context.Context) ([]corev1.Pod, error) {
	selector, err := r.j.Agent.podSelector()
	if err != nil {
		return nil, err
	}
	list, err := r.c.Kube.CoreV1().Pods(r.j.Agent.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list the old agent's pods: %w", err)
	}
	var running []corev1.Pod
	for _, p := range list.Items {
		if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			running = append(running, p)
		}
	}
	return running, nil
}

// exemptPods are those of the old agent's pods that may write behind the fence.
func (r *repository) exemptPods(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := r.oldPods(ctx)
	return slices.DeleteFunc(pods, func(p corev1.Pod) bool { return !slices.Contains(r.j.Fence.ExemptPods, p.UID) }), err
}

// followOldPods calls done with the old agent's pods that may still run
// something, by name, until it says true or fails; see follow.
func (r *repository) followOldPods(ctx context.Context, done func(running objects) (bool, string, error)) error {
	selector, err := r.j.Agent.podSelector()
	if err != nil {
		return err
	}
	resource, err := r.c.Resource(corev1.SchemeGroupVersion.WithKind("Pod"), r.j.Agent.Namespace)
	if err != nil {
		return err
	}
	return follow(ctx, resource, metav1.ListOptions{LabelSelector: selector}, func(now objects) (bool, string, error) {
		running := objects{}
		for name, p := range now {
			phase, _, _ := unstructured.NestedString(p.Object, "status", "phase")
			if phase != string(corev1.PodSucceeded) && phase != string(corev1.PodFailed) {
				running[name] = p
			}
		}
		return done(running)
	})
}

// exemptNewPods lets pods that take the place of others write until ctx ends:
// a node may be drained while the Repository waits for its turn. It ends
// before only with an error.
func (r *repository) exemptNewPods(ctx context.Context) error {
	return r.followOldPods(ctx, func(running objects) (bool, string, error) {
		var uids []types.UID
		var newcomer string
		for _, name := range sortedKeys(running) {
			uids = append(uids, running[name].GetUID())
			if !slices.Contains(r.j.Fence.ExemptPods, running[name].GetUID()) {
				newcomer = name
			}
		}
		if newcomer == "" {
			return false, "the turn has not come", nil
		}
		r.note("fence", "Pod/%s/%s of the old agent took the place of another: it may write until the old agent is stopped", r.j.Agent.Namespace, newcomer)
		if err := r.raise(ctx, uids); err != nil {
			return false, "", err
		}
		r.j.Fence.ExemptPods = uids
		return false, "the turn has not come", nil
	})
}

// awaitNoPods waits until no pod of the old agent is left and notes when. A
// pod is never deleted by force: its process might still write. Others need
// not be quiet all that time.
func (r *repository) awaitNoPods(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, r.limits.pods)
	defer cancel()
	if r.hushed && r.limits.pods > silencePatience {
		soon, cancel := context.WithTimeout(limited, silencePatience)
		err := r.noPods(soon)
		cancel()
		if err == nil || soon.Err() == nil || limited.Err() != nil {
			return err
		}
		r.endHush()
		if err := r.noPods(limited); err != nil {
			return err
		}
		r.hush(ctx, silenceAgain)
		return nil
	}
	return r.noPods(limited)
}

func (r *repository) noPods(ctx context.Context) error {
	err := r.followOldPods(ctx, func(running objects) (bool, string, error) {
		if len(running) == 0 {
			return true, "", nil
		}
		name := sortedKeys(running)[0]
		state := "runs"
		if told := toldToEnd(running[name]); told != nil {
			state = "is terminating since " + told.UTC().Format(time.RFC3339)
		}
		return false, fmt.Sprintf("Pod/%s/%s of the old agent %s; if its node is lost, make sure that its process is, and delete the pod by hand", r.j.Agent.Namespace, name, state), nil
	})
	if err != nil {
		return fmt.Errorf("wait until the old agent has ended: %w", err)
	}
	if r.j.Fence.GoneAt == nil {
		now := time.Now().UTC()
		r.j.Fence.GoneAt = &now
	}
	return nil
}

// toldToEnd is when the pod was told to end: its deletionTimestamp is when its
// grace ends. Nil if it was not.
func toldToEnd(pod *unstructured.Unstructured) *time.Time {
	end := pod.GetDeletionTimestamp()
	if end == nil {
		return nil
	}
	told := end.Time
	if grace := pod.GetDeletionGracePeriodSeconds(); grace != nil {
		told = told.Add(-time.Duration(*grace) * time.Second)
	}
	return &told
}

// knowsMarks reports whether anybody can tell what the old agent has synced.
func (r *repository) knowsMarks() bool { return r.marks != nil || r.j.Agent.SyncState == "secret" }

// moved reports whether the old agent synced another commit than is pinned.
func (r *repository) moved(m Marks) bool { return m.Synced != "" && m.Synced != r.j.Commit }

// syncDue reports whether the branch is ahead of the mark.
func (m Marks) syncDue() bool { return m.Head != "" && m.Head != m.Synced }

// readMarks reads the old agent's sync mark and the branch's head; zero where
// nobody can tell.
func (r *repository) readMarks(ctx context.Context) (Marks, error) {
	git, err := r.agentGit()
	if err != nil {
		return Marks{}, err
	}
	var m Marks
	if r.marks != nil {
		credential, err := r.readCredential(ctx)
		if err != nil {
			return Marks{}, err
		}
		if m, err = r.marks(ctx, git, credential); err != nil {
			return Marks{}, fmt.Errorf("read the sync mark of %s: %w", r.id, err)
		}
	}
	if git.State == "secret" {
		secret, err := r.c.Kube.CoreV1().Secrets(git.Namespace).Get(ctx, git.SecretName, metav1.GetOptions{})
		if err != nil {
			return Marks{}, fmt.Errorf("read the sync mark of %s: %w", r.id, err)
		}
		m.Synced = secret.Annotations[flux1.SyncMarkAnnotation]
	}
	return m, nil
}

// awaitSyncEnd waits for a good moment: the mark at the branch's head means
// that the old agent has nothing to do. A sync that is due is waited for until
// the time given; then any moment is good. A mark that moved is pinned before
// the old agent is stopped, so that the gap does not pay for it.
func (r *repository) awaitSyncEnd(ctx context.Context, until time.Time) error {
	if !r.knowsMarks() {
		return nil
	}
	begun := time.Now()
	told := false
	for {
		m, err := r.readMarks(ctx)
		if err != nil {
			return err
		}
		if r.moved(m) {
			done, err := r.beLoud(ctx, "fence") // as the steps that planned before
			if err != nil {
				return err
			}
			err = r.repin(ctx, "fence")
			done()
			if err == nil {
				err = r.awaitSources(ctx, r.limits.source)
			}
			if err != nil {
				return err
			}
			continue
		}
		left := time.Until(until)
		if !m.syncDue() || left <= 0 {
			return nil
		}
		if !told {
			r.note("fence", "commit %s is to be synced by the old agent: waiting up to %s for the end of that", short(m.Head), left.Round(time.Second))
			told = true
		}
		// The longer it takes, the less it matters to see the end at once.
		next := min(max(500*time.Millisecond, time.Since(begun)/20), 5*time.Second)
		if !pause(ctx, min(left, next)) {
			return waitEnded(ctx, begun, fmt.Sprintf("the old agent has not synced %s", short(m.Head)))
		}
	}
}

// repin takes the old agent's new mark for the commit to adopt at, if that
// plans to the same. The new agent has yet to fetch it.
func (r *repository) repin(ctx context.Context, step string) error {
	before := r.j.Commit
	predict := r.predictAtRest
	if r.j.Fence.StoppedAt != nil {
		predict = r.predictAgain
	}
	if err := predict(ctx, step); err != nil {
		return err
	}
	if r.j.Commit == before {
		return fmt.Errorf("%w: the old agent's mark moved from %s, and planning again does not see it", ErrMoved, short(before))
	}
	r.note(step, "the old agent synced %s meanwhile: adopting at that", short(r.j.Commit))
	// That commit may need other keys, or the first.
	if err := r.copyKeys(ctx); err != nil {
		return err
	}
	if err := r.putSources(ctx, true); err != nil {
		return err
	}
	if err := r.putKustomizations(ctx, staged, nil); err != nil {
		return err
	}
	if r.j.Fence.StoppedAt == nil {
		// What that sync changed would look like a change since the snapshot,
		// and be planned for once more in the gap.
		if err := r.snapshotAgain(ctx, step); err != nil {
			return err
		}
	}
	return r.save(ctx, step)
}

// fencedStill confirms that the old agent cannot write.
func fencedStill(ctx context.Context, r *repository) error {
	pods, err := r.oldPods(ctx)
	if err != nil {
		return err
	}
	if len(pods) > 0 {
		return fmt.Errorf("Pod/%s/%s of the old agent runs", pods[0].Namespace, pods[0].Name)
	}
	if err := r.awaitFence(ctx, true); err != nil {
		return err
	}
	r.fenced = true
	return nil
}

// unfence lets the old agent work again: as letIn, and a pod Ready.
func unfence(ctx context.Context, r *repository) error {
	if err := letIn(ctx, r); err != nil {
		return err
	}
	if r.j.Fence.StoppedAt != nil {
		if err := r.awaitOldAgent(ctx); err != nil {
			return err
		}
	}
	r.j.Fence = fenceFacts{}
	return nil
}

// letIn lifts the fence and puts the replicas back, and the ownership of the
// Deployment's fields, where the old agent was stopped.
func letIn(ctx context.Context, r *repository) error {
	if err := r.outlast(ctx, "undo-fence", r.lower); err != nil {
		return err
	}
	if len(r.j.Snapshot.Secrets) > 0 {
		if err := r.awaitFence(ctx, false); err != nil {
			return fmt.Errorf("wait for the fence %s to be lifted: %w", fenceName(r.id), err)
		}
	}
	r.fenced = false
	if r.j.Fence.StoppedAt == nil {
		return nil
	}
	return r.outlast(ctx, "undo-fence", r.restoreDeployment)
}

// restoreDeployment puts replicas back, and the ownership of that field.
func (r *repository) restoreDeployment(ctx context.Context) error {
	gvk := appsv1.SchemeGroupVersion.WithKind("Deployment")
	live, err := r.c.Get(ctx, gvk, r.j.Agent.Namespace, r.j.Agent.Workload)
	if cluster.IsGone(err) {
		return fmt.Errorf("the old agent's Deployment %s/%s is gone: install its Helm release again, then run this once more", r.j.Agent.Namespace, r.j.Agent.Workload)
	}
	if err != nil {
		return err
	}
	replicas, _, _ := unstructured.NestedInt64(live.Object, "spec", "replicas")
	if replicas == 0 && r.j.Agent.Replicas != 0 {
		if err := r.scale(ctx, r.j.Agent.Replicas); err != nil {
			return err
		}
	}
	if len(r.j.Snapshot.Secrets) == 0 {
		return nil
	}
	snap, err := r.snapshotOf(ctx)
	if err != nil {
		return err
	}
	if snap.Deployment == nil || snap.Deployment.GetUID() != live.GetUID() {
		return nil
	}
	return retryConflict(ctx, func(ctx context.Context) error {
		live, err := r.c.Get(ctx, gvk, r.j.Agent.Namespace, r.j.Agent.Workload)
		if err != nil {
			return err
		}
		want, err := returnedOwnership(snap.Deployment.GetManagedFields(), live.GetManagedFields())
		if err != nil {
			return err
		}
		return r.writeOwnership(ctx, live, want)
	})
}

// returnedOwnership gives what the executor owns back to who owned it before.
func returnedOwnership(before, live []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error) {
	ours, err := union(live, executors)
	if err != nil {
		return nil, err
	}
	out := &ownership{}
	for _, e := range live {
		if executors(e) {
			continue
		}
		set, err := fieldsOf(e)
		if err != nil {
			return nil, err
		}
		out.add(e, set)
	}
	for _, e := range before {
		if executors(e) {
			continue
		}
		set, err := fieldsOf(e)
		if err != nil {
			return nil, err
		}
		out.add(e, set.Intersection(ours))
	}
	return out.list()
}

// awaitOldAgent waits until the old agent is Ready again.
func (r *repository) awaitOldAgent(ctx context.Context) error {
	if r.j.Agent.Replicas == 0 {
		return nil
	}
	return cluster.Wait(ctx, 200*time.Millisecond, r.limits.ready, func(ctx context.Context) (bool, string, error) {
		d, err := r.c.Kube.AppsV1().Deployments(r.j.Agent.Namespace).Get(ctx, r.j.Agent.Workload, metav1.GetOptions{})
		if err != nil {
			return false, "", fmt.Errorf("read the old agent's Deployment: %w", err)
		}
		ready := d.Status.ObservedGeneration >= d.Generation && d.Status.ReadyReplicas >= 1
		return ready, fmt.Sprintf("Deployment %s/%s is not Ready yet: the fence is lifted and its replicas are %d", d.Namespace, d.Name, r.j.Agent.Replicas), nil
	})
}
