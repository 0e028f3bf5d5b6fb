package discover

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// oldestKubernetes has ValidatingAdmissionPolicy in version v1, which the
// fence is made of. The chart of the bundled agent needs no newer one.
var oldestKubernetes = version.MustParseGeneric("1.30.0")

// oldestForFlux2 is what "flux check --pre" of Flux 2.9 asks for (flux2:
// cmd/flux/check.go).
var oldestForFlux2 = version.MustParseGeneric("1.33.0")

// fenceable reports an API server on which the fence could not be put up.
func (w *witness) fenceable(facts migrate.Cluster) {
	if v, err := version.ParseGeneric(facts.Version); err == nil && v.LessThan(oldestKubernetes) {
		w.find(KubernetesOld.Finding("", "", fmt.Sprintf("the API server is Kubernetes %s; without ValidatingAdmissionPolicy v1, which came with 1.30, the old agents cannot be fenced", facts.Version)))
		return
	}
	var missing []string
	for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} {
		if !slices.ContainsFunc(facts.Kinds, func(k migrate.ServedKind) bool {
			return k.Group == "admissionregistration.k8s.io" && k.Version == "v1" && k.Kind == kind
		}) {
			missing = append(missing, kind)
		}
	}
	if len(missing) > 0 {
		w.find(FenceNotServed.Finding("", "admissionregistration.k8s.io/v1", "the API server does not serve "+strings.Join(missing, " and ")+", so the old agents cannot be fenced"))
	}
}

// kubernetesFor says what the API server's version means for the engines, of
// which the fence is the first condition.
func (w *witness) kubernetesFor(facts migrate.Cluster) {
	w.fenceable(facts)
	if v, err := version.ParseGeneric(facts.Version); err == nil && !v.LessThan(oldestKubernetes) && v.LessThan(oldestForFlux2) {
		w.find(Flux2NeedsNewer.Finding("", "", fmt.Sprintf("the API server is Kubernetes %s; Flux 2.9 asks for %s or later: the bundled engine works, and so do the controllers of an older Flux 2 (--engine existing)", facts.Version, oldestForFlux2)))
	}
}

// otherOperators names what is installed beside Flux v1: controllers of
// Flux v2 and the bundled agent, by namespace, helm-operators, and what serves
// fluxd's notifications and webhooks.
func (w *witness) otherOperators(deployments []appsv1.Deployment) {
	engines := map[string][]string{}
	var agents, helmOperators, notifiers, takers []string
	for i := range deployments {
		d := &deployments[i]
		pause := ""
		if replicas(d) == 0 {
			pause = " (scaled to 0)"
		}
		ours := d.Labels["app.kubernetes.io/name"] == "fluxover-agent" && d.Labels["app.kubernetes.io/part-of"] == "fluxover" // as reconcile/chart writes them
		for _, c := range d.Spec.Template.Spec.Containers {
			place := "Deployment/" + d.Namespace + "/" + d.Name + " " + imageVersion(c.Image) + pause
			if ours || strings.TrimPrefix(imageName(c.Image), "fluxcd-") == "kustomize-controller" {
				if managers := overridden(&c); len(managers) > 0 && pause == "" {
					takers = append(takers, "Deployment/"+d.Namespace+"/"+d.Name+" takes over what "+strings.Join(managers, ", ")+" set")
				}
			}
			switch name := imageName(c.Image); {
			case ours:
				agents = append(agents, place)
			case isFlux2Image(c.Image):
				engines[d.Namespace] = append(engines[d.Namespace], d.Name+" "+imageVersion(c.Image)+pause)
			case name == "helm-operator":
				helmOperators = append(helmOperators, place)
			case (name == "fluxcloud" || name == "flux-recv") && fluxd(d) == nil: // beside fluxd it is a sidecar
				notifiers = append(notifiers, place+" ("+name+")")
			}
		}
	}
	// One finding each, since one that is about no repository stands for all
	// of its code where findings are shown.
	var places []string
	for _, ns := range slices.Sorted(maps.Keys(engines)) {
		slices.Sort(engines[ns])
		places = append(places, "in namespace "+ns+": "+strings.Join(engines[ns], ", "))
	}
	if len(places) > 0 {
		w.find(Flux2Found.Finding("", "namespace "+strings.Join(slices.Sorted(maps.Keys(engines)), ", "), strings.Join(places, "; ")))
	}
	if len(takers) > 0 {
		slices.Sort(takers)
		w.find(EngineTakesOver.Finding("", "", strings.Join(takers, "; ")))
	}
	if len(agents) > 0 {
		slices.Sort(agents)
		w.find(ClusterAgentFound.Finding("", "", "the ClusterAgent is installed: "+strings.Join(agents, ", ")))
	}
	if len(notifiers) > 0 {
		slices.Sort(notifiers)
		w.find(NotifierFound.Finding("", "", "fluxd's events or webhooks are served by "+strings.Join(notifiers, ", ")))
	}
	if len(helmOperators) > 0 {
		slices.Sort(helmOperators)
		w.find(HelmOperatorFound.Finding("", "", "helm-operator is installed: "+strings.Join(helmOperators, ", ")))
	}
}

// imageVersion is an image's tag, or the beginning of its digest.
func imageVersion(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	if _, tag, ok := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":"); ok {
		return tag
	}
	if digest != "" {
		return digest[:min(len(digest), len("sha256:")+12)]
	}
	return "of no tag"
}

// overridden are the field managers that an engine is told to take over beside
// those that it does by itself, sorted. Variables of the container's own that
// hold plain values are filled in, others stay as they are written.
func overridden(c *corev1.Container) []string {
	const flag = "--override-manager"
	var managers []string
	words := slices.Concat(c.Command, c.Args)
	for i := 0; i < len(words) && words[i] != "--"; i++ {
		name, value, given := strings.Cut(words[i], "=")
		if name != flag {
			continue
		}
		if !given {
			if i++; i == len(words) {
				break
			}
			value = words[i]
		}
		for _, v := range c.Env {
			if v.ValueFrom == nil {
				value = strings.ReplaceAll(value, "$("+v.Name+")", v.Value)
			}
		}
		managers = append(managers, value)
	}
	slices.Sort(managers)
	return slices.Compact(managers)
}
