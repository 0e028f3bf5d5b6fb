package cutover

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// Controllers that step 0 looks for. The bundled agent does the work of the
// first two, and is named as its chart is.
const (
	sourceController    = "source-controller"
	kustomizeController = "kustomize-controller"
	bundledAgent        = "fluxover-agent"
)

var otherControllers = []string{"helm-controller", "notification-controller", "image-automation-controller", "image-reflector-controller", "source-watcher"}

// Flags that keep tenants apart.
const (
	flagDefaultAccount = "--default-service-account"
	flagOwnNamespace   = "--no-cross-namespace-refs"
)

// demanded are the controllers that must run with a flag of the plan's. Those
// whose objects may refer to a GitRepository or Kustomization of another
// namespace keep to their own; source-controller knows neither flag (flux2:
// website, installation/configuration/multitenancy.md).
func demanded(flag string) []string {
	list := []string{bundledAgent, kustomizeController}
	if flag == flagOwnNamespace {
		list = append(list, "helm-controller", "notification-controller", "image-automation-controller")
	}
	return list
}

// engine is one controller of Flux v2, or the bundled agent, as it is
// installed.
type engine struct {
	controller string
	deployment *appsv1.Deployment
	container  *corev1.Container
}

func (g engine) String() string {
	return "Deployment/" + g.deployment.Namespace + "/" + g.deployment.Name
}

func (g engine) replicas() int32 {
	if g.deployment.Spec.Replicas == nil {
		return 1
	}
	return *g.deployment.Spec.Replicas
}

// installedEngines finds every one of them in the cluster, those without pods too,
// sorted by place.
func installedEngines(ctx context.Context, c *cluster.Client) ([]engine, error) {
	list, err := c.Kube.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("look for Flux v2 controllers: %w", err)
	}
	var found []engine
	for i := range list.Items {
		if g, ok := engineOf(&list.Items[i]); ok {
			found = append(found, g)
		}
	}
	slices.SortFunc(found, func(a, b engine) int { return strings.Compare(a.String(), b.String()) })
	return found, nil
}

// engineOf recognises a controller by its image's name or its pods' label
// "app", as stock manifests have it, and the bundled agent by its image and
// command or by the labels of its chart.
func engineOf(d *appsv1.Deployment) (engine, bool) {
	pod := &d.Spec.Template
	stock := append([]string{sourceController, kustomizeController}, otherControllers...)
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		name := imageName(c.Image)
		if slices.Contains(stock, name) {
			return engine{name, d, c}, true
		}
		if name == "fluxover" && slices.Contains(slices.Concat(c.Command, c.Args), "agent") {
			return engine{bundledAgent, d, c}, true
		}
	}
	if len(pod.Spec.Containers) == 0 {
		return engine{}, false
	}
	if madeByOurChart(d.Labels) {
		return engine{bundledAgent, d, &pod.Spec.Containers[0]}, true
	}
	if app := pod.Labels["app"]; slices.Contains(stock, app) {
		return engine{app, d, &pod.Spec.Containers[0]}, true
	}
	return engine{}, false
}

// madeByOurChart reports whether labels are those that reconcile/chart writes.
func madeByOurChart(l map[string]string) bool {
	return l["app.kubernetes.io/name"] == bundledAgent && l["app.kubernetes.io/part-of"] == "fluxover"
}

// imageName is the last part of an image's name, without tag and digest.
func imageName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	image = image[strings.LastIndex(image, "/")+1:]
	image, _, _ = strings.Cut(image, ":")
	return image
}

// flag reads a flag of the engine's command line, "--name", as the program
// does: the last one counts. A boolean flag is "true" when it is given without
// a value. Variables of the container's own that hold plain values are filled
// in, others stay as they are written.
func (g engine) flag(name string, boolean bool) (value string, set bool) {
	words := slices.Concat(g.container.Command, g.container.Args)
	for i, word := range words {
		if word == "--" {
			break
		}
		flag, given, has := strings.Cut(word, "=")
		if flag != name {
			continue
		}
		switch {
		case has:
			value, set = given, true
		case boolean:
			value, set = "true", true
		case i+1 < len(words):
			value, set = words[i+1], true
		}
	}
	for _, v := range g.container.Env {
		if v.ValueFrom == nil {
			value = strings.ReplaceAll(value, "$("+v.Name+")", v.Value)
		}
	}
	return value, set
}

// isOn reads a boolean flag; a value that is none counts as the opposite of
// what is hoped for.
func (g engine) isOn(name string, byDefault, hoped bool) bool {
	value, set := g.flag(name, true)
	if !set {
		return byDefault
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return !hoped
	}
	return on
}

// watches reports whether the engine looks at a namespace.
func (g engine) watches(namespace string) bool {
	return g.deployment.Namespace == namespace || g.isOn("--watch-all-namespaces", true, true)
}

// lack is a flag that the plan demands and an engine does not run with.
type lack struct {
	engine engine
	flag   string
	// want and have are its values; have is empty where the flag is not set.
	want, have string
}

func (l lack) String() string {
	if l.have == "" {
		return fmt.Sprintf("%s runs without %s=%s", l.engine, l.flag, l.want)
	}
	return fmt.Sprintf("%s runs with %s=%s instead of %s=%s", l.engine, l.flag, l.have, l.flag, l.want)
}

// lacking are the flags of the plan's that the engines do not run with. An
// engine that is scaled to 0 does nothing, and one that cannot see the
// ClusterAgent's namespace cannot reach what is made there: neither is asked.
// A label selector excuses nobody, since tenants choose their labels.
func lacking(found []engine, want migrate.ClusterAgent) []lack {
	var out []lack
	for _, arg := range want.Args {
		flag, value, given := strings.Cut(arg, "=")
		if !given {
			value = "true"
		}
		_, notBoolean := strconv.ParseBool(value)
		boolean := notBoolean == nil
		for _, g := range found {
			if !slices.Contains(demanded(flag), g.controller) || g.replicas() == 0 || !g.watches(want.Namespace) {
				continue
			}
			have, _ := g.flag(flag, boolean)
			if boolean {
				wanted, _ := strconv.ParseBool(value)
				if g.isOn(flag, false, wanted) == wanted {
					continue
				}
			} else if have == value {
				continue
			}
			out = append(out, lack{g, flag, value, have})
		}
	}
	return out
}

// listed writes what is lacking for people.
func listed(lacks []lack) string {
	var out []string
	for _, l := range lacks {
		out = append(out, l.String())
	}
	return strings.Join(out, "; ")
}

// idle says why an engine will not act on what is made in the ClusterAgent's
// namespace; empty if it will. It is passing if waiting may help.
func (g engine) idle(namespace string) (why string, passing bool) {
	switch {
	case g.replicas() == 0:
		return "is scaled to 0", false
	case !g.watches(namespace):
		return "watches its own namespace only (--watch-all-namespaces=false)", false
	}
	if text, _ := g.flag("--watch-label-selector", false); text != "" {
		selector, err := labels.Parse(text)
		if err != nil || !selector.Matches(labels.Set{migrate.LabelManaged: "true"}) {
			return "leaves out objects without the labels of --watch-label-selector=" + text, false
		}
	}
	if !available(g.deployment) {
		return "has no pod that is available: look at its pods", true
	}
	return "", false
}

// atWork reports whether the roles that a ClusterAgent has are filled. What is
// missing is said in words; it is passing if waiting may help.
func atWork(found []engine, namespace string) (missing string, passing bool) {
	var problems []string
	passing = true
	for _, role := range []string{sourceController, kustomizeController} {
		var faults []string
		filled, hope := false, false
		for _, g := range found {
			if g.controller != role && g.controller != bundledAgent {
				continue
			}
			why, mayPass := g.idle(namespace)
			if why == "" {
				filled = true
				break
			}
			hope = hope || mayPass
			faults = append(faults, g.String()+" "+why)
		}
		switch {
		case filled:
			continue
		case faults == nil:
			problems = append(problems, fmt.Sprintf("no Deployment of %s (or of the bundled agent) was found in any namespace, by image or by the label app", role))
		default:
			problems = append(problems, fmt.Sprintf("no %s is at work for namespace %s: %s", role, namespace, strings.Join(faults, ", ")))
		}
		passing = passing && hope
	}
	return strings.Join(slices.Compact(problems), "; "), passing && len(problems) > 0
}
