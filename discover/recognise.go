package discover

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate/flux1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// besideFluxd are images of what is told apart from fluxd, whatever else speaks
// for it.
var besideFluxd = []string{"memcached", "helm-operator", "fluxcloud", "flux-recv", "fluxctl", "flux-cli"}

// ownImage is the repository of fluxd's own images, as they were published or mirrored: releases,
// builds between them, and those before 1.0 (flux: docs/contributing/building.md, CHANGELOG.md).
var ownImage = regexp.MustCompile(`(?:^|/)(?:fluxcd|weaveworks)/(?:flux|flux-prerelease|fluxd)(?:[:@]|$)`)

// fluxdPort is where fluxd listens unless it is told otherwise (--listen).
const fluxdPort = 3030

// fluxd returns the container of a Deployment that runs a Flux v1 agent, or
// nil.
func fluxd(d *appsv1.Deployment) *corev1.Container {
	return fluxdIn(d.Labels, &d.Spec.Template)
}

// fluxdIn returns the container that runs a Flux v1 agent, or nil, of a
// workload with these labels. A --git-url is clue enough, whatever the labels
// and the other containers say; without one, two of image, name, port, probe, label and flags
// must speak for it (flux: chart/flux/templates/deployment.yaml,
// pkg/install/templates), or an image that is fluxd's own, since its arguments may stand in a
// script, unless its command is another program. Of several containers the one for which most speaks
// is it. A command that is fluxd's, or a shell's text or a variable that gives it its URL, is clue enough,
// too. memcached, helm-operator, fluxcloud, fluxctl and the controllers of Flux v2 are never taken for one.
func fluxdIn(labels map[string]string, pod *corev1.PodTemplateSpec) *corev1.Container {
	const byChance, byImage, byClues, byURL = 1, 2, 3, 4
	ofFlux2 := runsFlux2(&pod.Spec) || labels["app.kubernetes.io/part-of"] == "flux"
	var found *corev1.Container
	best := 0
	for _, c := range lasting(&pod.Spec) {
		name := imageName(c.Image)
		if slices.Contains(besideFluxd, name) || isFlux2Image(c.Image) {
			continue
		}
		if len(c.Command) > 0 && path.Base(c.Command[0]) == "fluxctl" {
			continue
		}
		clues := cluesOf(pod, c)
		if name == "flux" || name == "fluxd" {
			clues++
		}
		speaks := 0
		switch {
		case givesFlag(c, "--git-url"):
			speaks = byURL
		case startsFluxd(c):
			speaks = byClues
		case clues >= 2 && !ofFlux2 && !runsAnother(c):
			speaks = byClues
		case ownImage.MatchString(c.Image) && (len(c.Command) == 0 || namesFluxd(c)):
			speaks = byImage
		case givesURLByVariable(c) && !ofFlux2 && !runsAnother(c):
			speaks = byImage
		case ownImage.MatchString(c.Image) && !runsAnother(c):
			speaks = byChance
		}
		if speaks > best {
			found, best = c, speaks
		}
	}
	return found
}

// lasting are the containers of a pod that run as long as it does: also those among its init
// containers that are started again (sidecars, since Kubernetes 1.28).
func lasting(pod *corev1.PodSpec) []*corev1.Container {
	var out []*corev1.Container
	for i := range pod.Containers {
		out = append(out, &pod.Containers[i])
	}
	for i := range pod.InitContainers {
		if isSidecar(&pod.InitContainers[i]) {
			out = append(out, &pod.InitContainers[i])
		}
	}
	return out
}

// isSidecar reports whether an init container runs as long as its pod does.
func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// givesFlag reports whether a container is given a flag, alone or with its value.
func givesFlag(c *corev1.Container, flag string) bool {
	return slices.ContainsFunc(slices.Concat(c.Command, c.Args), func(a string) bool { return a == flag || strings.HasPrefix(a, flag+"=") })
}

// cluesOf counts what speaks for fluxd in a container, beside its image: its name, its port, a
// probe, a label of its pod, a flag.
func cluesOf(pod *corev1.PodTemplateSpec, c *corev1.Container) int {
	clues := 0
	if c.Name == "flux" || c.Name == "fluxd" {
		clues++
	}
	if slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == fluxdPort }) {
		clues++
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
		if p != nil && p.HTTPGet != nil && strings.HasPrefix(p.HTTPGet.Path, "/api/flux/") {
			clues++
			break
		}
	}
	if pod.Labels["app"] == "flux" || pod.Labels["name"] == "flux" {
		clues++
	}
	if slices.ContainsFunc(slices.Concat(c.Command, c.Args), func(a string) bool {
		name, _, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		return strings.HasPrefix(a, "--") && flux1.FlagNamed(name) != nil && (strings.HasPrefix(name, "git-") || strings.HasPrefix(name, "k8s-"))
	}) {
		clues++
	}
	return clues
}

var (
	// otherPrograms are those beside fluxd that its image holds, or that stand where a container is to do
	// nothing (flux: docker/Dockerfile.flux).
	otherPrograms = []string{
		"fluxctl", "kubectl", "kustomize", "sops", "git", "git-secret", "gpg", "gpg2", "ssh", "ssh-add", "ssh-keygen", "ssh-keyscan", "kubeyaml", "helm",
		"cat", "echo", "false", "sleep", "tail", "true",
	}
	// fluxdWord is fluxd where a program or its path may stand, also in a shell's text.
	fluxdWord = regexp.MustCompile("(?:^|[\\s/;&|('\"`])fluxd(?:$|[\\s;&|)'\"`])")
)

// runsAnother reports whether a container's command itself is another program than fluxd. What a shell, a
// script or a program that is not known starts is not looked into: it may be fluxd.
func runsAnother(c *corev1.Container) bool {
	return len(c.Command) > 0 && slices.Contains(otherPrograms, path.Base(c.Command[0])) && !namesFluxd(c)
}

// namesFluxd reports whether fluxd is seen in what a container is told to run.
func namesFluxd(c *corev1.Container) bool {
	return slices.ContainsFunc(slices.Concat(c.Command, c.Args), func(w string) bool { return !strings.HasPrefix(w, "-") && fluxdWord.MatchString(w) })
}

// fluxdCommand is a command of a shell's text that gives fluxd its URL.
var fluxdCommand = regexp.MustCompile("(?:^|[\\s/;&|('\"`])fluxd[ \\t\\\\](?:[^;&|\\n]|\\\\\\n)*--git-url[=\\s]")

// startsFluxd reports whether a container's command is fluxd itself, or a text that has a shell start it
// with its URL.
func startsFluxd(c *corev1.Container) bool {
	return len(c.Command) > 0 && path.Base(c.Command[0]) == "fluxd" || slices.ContainsFunc(slices.Concat(c.Command, c.Args), fluxdCommand.MatchString)
}

// urlWord is --git-url among the words of a text.
var urlWord = regexp.MustCompile(`(?:^|\s)--git-url(?:[=\s]|$)`)

// givesURLByVariable reports whether a variable that a container's command refers to holds a --git-url.
func givesURLByVariable(c *corev1.Container) bool {
	words := slices.Concat(c.Command, c.Args)
	return slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool {
		return urlWord.MatchString(v.Value) && slices.ContainsFunc(words, func(w string) bool {
			return strings.Contains(w, "$("+v.Name+")") || strings.Contains(w, "${"+v.Name+"}") || strings.Contains(w, "$"+v.Name)
		})
	})
}

// seenToRun says that a container that speaks for fluxd runs it, as far as that is seen, and what may be
// seen of it otherwise.
func seenToRun(c *corev1.Container) (runs, more string) {
	if _, _, hidden := commandLine(c); hidden != "" && !namesFluxd(c) {
		return "may run", ": " + hidden
	}
	return "runs", ""
}
