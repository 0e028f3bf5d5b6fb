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
// script, unless another program runs of it. Of several containers the one for which most speaks
// is it. memcached, helm-operator, fluxcloud, fluxctl and the controllers of Flux v2 are never taken
// for one.
func fluxdIn(labels map[string]string, pod *corev1.PodTemplateSpec) *corev1.Container {
	const byImage, byClues, byURL = 1, 2, 3
	ofFlux2 := runsFlux2(&pod.Spec) || labels["app.kubernetes.io/part-of"] == "flux"
	var found *corev1.Container
	best := 0
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		name := imageName(c.Image)
		if slices.Contains(besideFluxd, name) || isFlux2Image(c.Image) {
			continue
		}
		another := runsAnother(c)
		if another && slices.ContainsFunc(slices.Concat(c.Command, c.Args), fluxctlWord.MatchString) {
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
		case clues >= 2 && !ofFlux2:
			speaks = byClues
		case ownImage.MatchString(c.Image) && !another:
			speaks = byImage
		}
		if speaks > best {
			found, best = c, speaks
		}
	}
	return found
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
	// otherPrograms are those beside fluxd that its image holds or that stand where a container is to do
	// something else once, or nothing (flux: docker/Dockerfile.flux).
	otherPrograms = []string{
		"fluxctl", "kubectl", "kustomize", "sops", "git", "git-secret", "gpg", "gpg2", "ssh", "ssh-add", "ssh-keygen", "ssh-keyscan", "kubeyaml", "helm",
		":", "[", "base64", "cat", "cd", "chmod", "chown", "cp", "curl", "cut", "date", "echo", "exit", "export", "false", "grep", "head", "jq", "ln",
		"ls", "mkdir", "mv", "nc", "printf", "pwd", "rm", "sed", "set", "sleep", "tail", "tee", "test", "touch", "tr", "trap", "true", "wait", "wget",
	}
	// starters are programs that run the one that they are told.
	starters = []string{"tini", "dumb-init", "env", "busybox", "exec", "nohup", "nice"}
	// keywords of a shell stand before a command, or end what holds some.
	keywords   = []string{"!", "{", "if", "then", "else", "elif", "while", "until", "do", "exec", "time"}
	endings    = []string{"", "}", "fi", "done"}
	quoted     = regexp.MustCompile(`'[^']*'|"[^"$` + "`" + `]*"`)
	redirected = regexp.MustCompile(`\d*>&\d*`)
	remark     = regexp.MustCompile(`(?m)(?:^|\s)#.*$`)
	commands   = regexp.MustCompile("[;&|\n()`]+")
	assigned   = regexp.MustCompile(`^\w+=`)

	fluxctlWord = regexp.MustCompile(`\bfluxctl\b`)
)

// runsAnother reports whether a container is told to run what is known to be another program than
// fluxd, whatever its image: of a script, a shell that names none, or a program that is not
// known, it is not.
func runsAnother(c *corev1.Container) bool {
	words := slices.Concat(c.Command, c.Args)
	if slices.ContainsFunc(words, func(w string) bool { return !strings.HasPrefix(w, "-") && strings.Contains(w, "fluxd") }) {
		return false
	}
	for len(words) > 1 && slices.Contains(starters, path.Base(words[0])) {
		for words = words[1:]; len(words) > 1 && (strings.HasPrefix(words[0], "-") || assigned.MatchString(words[0])); {
			words = words[1:]
		}
	}
	switch {
	case len(words) == 0:
		return false
	case !slices.Contains(shells, path.Base(words[0])):
		return slices.Contains(otherPrograms, path.Base(words[0]))
	}
	i := slices.IndexFunc(words, func(w string) bool {
		return strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "--") && strings.HasSuffix(w, "c")
	})
	return i > 0 && i+1 < len(words) && runsOthersOnly(words[i+1])
}

// runsOthersOnly reports whether each command of a shell's text is one of otherPrograms.
func runsOthersOnly(text string) bool {
	text = remark.ReplaceAllString(quoted.ReplaceAllString(text, "Q"), "")
	text = redirected.ReplaceAllString(strings.ReplaceAll(text, "\\\n", " "), "")
	for _, command := range commands.Split(text, -1) {
		words := strings.Fields(command)
		for len(words) > 0 && (slices.Contains(keywords, words[0]) || assigned.MatchString(words[0])) {
			words = words[1:]
		}
		if len(words) > 0 && !slices.Contains(endings, words[0]) && words[0] != "for" && !slices.Contains(otherPrograms, path.Base(words[0])) {
			return false
		}
	}
	return true
}
