package auditor

import (
	"path"
	"slices"
	"strings"
)

// Engine is who stands behind a write; see the package comment.
type Engine string

// The engines.
const (
	Flux1      Engine = "flux1"
	Flux2      Engine = "flux2"
	Executor   Engine = "executor"
	Controller Engine = "controller"
	Other      Engine = "other"
)

const (
	managerExecutor = "fluxover"
	managerFlux2    = "kustomize-controller"
	accountPrefix   = "system:serviceaccount:"
)

// workload is a Deployment as far as it tells accounts apart.
type workload struct {
	namespace, name string
	account         string // as a user name
	flux1           bool
	clusterAgent    bool
	// repository is the id of the Flux1Agent: namespace/release, or
	// namespace/deployment without Helm.
	repository string
}

// accounts says which engine stands behind a user.
type accounts struct {
	workloads  map[string]workload // by namespace/name
	podOwner   map[string]string   // namespace/pod → namespace/deployment
	agentUsers map[string]bool
	flux1Users map[string]string // user → repository id, given by options
	bystanders map[string]bool
}

func newAccounts() *accounts {
	return &accounts{
		workloads: map[string]workload{}, podOwner: map[string]string{}, agentUsers: map[string]bool{},
		flux1Users: map[string]string{}, bystanders: map[string]bool{},
	}
}

// learnDeployment reads the account and the role of a Deployment. What was
// once an old agent stays one, so that its last writes keep their name after
// its Deployment is gone or changed.
func (a *accounts) learnDeployment(b body) {
	pod := child(b, "spec", "template", "spec")
	name, namespace := text(b, "metadata", "name"), text(b, "metadata", "namespace")
	if pod == nil || name == "" {
		return
	}
	account := text(pod, "serviceAccountName")
	if account == "" {
		account = "default"
	}
	w := workload{
		namespace: namespace, name: name, account: accountPrefix + namespace + ":" + account,
		flux1: runsFlux1(pod), clusterAgent: b.label("app.kubernetes.io/part-of") == "flux" || runsClusterAgent(pod),
	}
	release := b.annotation("meta.helm.sh/release-name")
	if release == "" {
		release = b.label("release")
	}
	if release == "" {
		release = name
	}
	w.repository = namespace + "/" + release
	if old := a.workloads[namespace+"/"+name]; old.flux1 && !w.flux1 {
		return
	}
	a.workloads[namespace+"/"+name] = w
}

// learnPod remembers which Deployment a Pod belongs to and returns it, or
// empty when none is known.
func (a *accounts) learnPod(b body) string {
	namespace := text(b, "metadata", "namespace")
	for _, o := range list(b, "metadata", "ownerReferences") {
		owner, _ := o.(map[string]any)
		if text(owner, "kind") != "ReplicaSet" {
			continue
		}
		// The Deployment controller names a ReplicaSet <deployment>-<hash>.
		if i := strings.LastIndex(text(owner, "name"), "-"); i > 0 {
			deployment := namespace + "/" + text(owner, "name")[:i]
			a.podOwner[namespace+"/"+text(b, "metadata", "name")] = deployment
			return deployment
		}
	}
	return ""
}

func runsFlux1(pod map[string]any) bool {
	for _, word := range containerWords(pod) {
		if strings.HasPrefix(word, "--git-url=") || word == "--git-url" {
			return true
		}
	}
	return false
}

// runsClusterAgent recognises the bundled agent and a stock
// kustomize-controller that lost its labels.
func runsClusterAgent(pod map[string]any) bool {
	words := containerWords(pod)
	for _, word := range words {
		if strings.HasPrefix(word, "--storage-adv-addr") {
			return true
		}
	}
	if !slices.Contains(words, "agent") {
		return false
	}
	for _, c := range list(pod, "containers") {
		container, _ := c.(map[string]any)
		image := path.Base(text(container, "image"))
		if strings.HasPrefix(image, "fluxover") {
			return true
		}
		if command := list(container, "command"); len(command) > 0 {
			if s, _ := command[0].(string); path.Base(s) == "fluxover" {
				return true
			}
		}
	}
	return false
}

func containerWords(pod map[string]any) []string {
	var words []string
	for _, c := range list(pod, "containers") {
		container, _ := c.(map[string]any)
		for _, part := range []string{"command", "args"} {
			for _, w := range list(container, part) {
				if s, ok := w.(string); ok {
					words = append(words, s)
				}
			}
		}
	}
	return words
}

// owner returns the Deployment, out of those that use the account, that a
// request came from. A Pod name decides when it is known; without one the
// account must be used by a single Deployment, or by old agents only: then the
// first of them answers, and the second result is true.
func (a *accounts) owner(user, pod string) (workload, bool) {
	var using []workload
	for _, w := range a.workloads {
		if w.account == user {
			using = append(using, w)
		}
	}
	if len(using) == 0 {
		return workload{}, false
	}
	slices.SortFunc(using, func(x, y workload) int {
		return strings.Compare(x.namespace+"/"+x.name, y.namespace+"/"+y.name)
	})
	if pod != "" {
		deployment := a.podOwner[using[0].namespace+"/"+pod]
		if parts := strings.Split(pod, "-"); deployment == "" && len(parts) > 2 {
			deployment = using[0].namespace + "/" + strings.Join(parts[:len(parts)-2], "-")
		}
		w, ok := a.workloads[deployment]
		return w, ok && w.account == user
	}
	// Legacy tokens name no Pod. An old agent among the users is assumed, since
	// missing one of its writes is the worse mistake.
	for _, w := range using {
		if w.flux1 {
			return w, true
		}
	}
	return using[0], true
}

// engine says who stands behind a write and, for Flux v1, of which repository.
func (a *accounts) engine(w *Write) (Engine, string) {
	if repository, ok := a.flux1Users[w.User]; ok {
		return Flux1, repository
	}
	if a.agentUsers[w.User] || a.agentUsers[w.RequestedBy] {
		return Flux2, ""
	}
	if w.RequestedBy != "" {
		if owner, ok := a.owner(w.RequestedBy, w.requesterPod); ok && owner.clusterAgent {
			return Flux2, ""
		}
	}
	if owner, ok := a.owner(w.User, w.pod); ok {
		switch {
		case owner.flux1:
			return Flux1, owner.repository
		case owner.clusterAgent:
			return Flux2, ""
		}
	}
	switch {
	case w.Manager == managerExecutor:
		return Executor, ""
	case w.Manager == managerFlux2:
		return Flux2, ""
	case a.bystanders[w.User], isKubernetes(w.User):
		return Controller, ""
	}
	return Other, ""
}

func isKubernetes(user string) bool {
	if strings.HasPrefix(user, accountPrefix+"kube-system:") || strings.HasPrefix(user, "system:node:") {
		return true
	}
	switch user {
	case "system:kube-controller-manager", "system:kube-scheduler", "system:apiserver":
		return true
	}
	return false
}

// flux1Repositories lists the repositories that use the account, or the one
// whose Pod is named.
func (a *accounts) flux1Repositories(user, pod string) []string {
	if repository, ok := a.flux1Users[user]; ok {
		return []string{repository}
	}
	if pod != "" {
		if owner, ok := a.owner(user, pod); ok && owner.flux1 {
			return []string{owner.repository}
		}
		return nil
	}
	var out []string
	for _, w := range a.workloads {
		if w.flux1 && w.account == user {
			out = append(out, w.repository)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
