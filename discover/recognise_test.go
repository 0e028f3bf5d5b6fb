package discover

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Each clue by itself, and what is no fluxd although something speaks for it.
func TestWhatSpeaksForFluxd(t *testing.T) {
	const own, mirror, flux = "docker.io/fluxcd/flux:1.25.4", "mirror/gitops/weave:1", "mirror/gitops/flux:1"
	port := func(image string, number int32) corev1.Container {
		return corev1.Container{Name: "c", Image: image, Ports: []corev1.ContainerPort{{ContainerPort: number}}}
	}
	runs := func(image string, command ...string) corev1.Container {
		return corev1.Container{Name: "c", Image: image, Command: command}
	}
	args := func(image string, words ...string) corev1.Container {
		return corev1.Container{Name: "c", Image: image, Args: words}
	}
	probed := func(image string) corev1.Container {
		return corev1.Container{Name: "c", Image: image, ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/api/flux/v6/identity.pub"}}}}
	}
	for name, c := range map[string]struct {
		label     string
		container corev1.Container
		fluxd     bool
	}{
		"one clue: the image's name": {"", args(flux), false},
		"and the pod's label":        {"flux", args(flux), true},
		"and another label":          {"sync", args(flux), false},
		"and the port":               {"", port(flux, 3030), true},
		"and another port":           {"", port(flux, 3031), false},
		"and a probe":                {"", probed(flux), true},
		"and a flag":                 {"", args(flux, "--git-branch=b"), true},
		"the label alone":            {"flux", args(mirror), false},
		"the port alone":             {"", port(mirror, 3030), false},
		"label and port":             {"flux", port(mirror, 3030), true},

		"--git-url":                   {"", args(mirror, "--git-url=a"), true},
		"--git-url, a word by itself": {"", args(mirror, "--git-url", "a"), true},
		"another such flag":           {"", args(mirror, "--git-urls=a"), false},

		"its own image":            {"", args(own), true},
		"of its first owner":       {"", args("quay.io/weaveworks/flux:1.8.1"), true},
		"without a registry":       {"", args("fluxcd/flux"), true},
		"a mirror of it":           {"", args("registry:5000/hub/fluxcd/flux@sha256:00"), true},
		"a build between releases": {"", args("fluxcd/flux-prerelease:master-1"), true},
		"before 1.0":               {"", args("quay.io/weaveworks/fluxd:master-1"), true},
		"Flux v2's":                {"", args("ghcr.io/fluxcd/flux-cli:v2.1.0"), false},
		"Flux v2's controller":     {"", args("fluxcd/source-controller:v1.0.0"), false},
		"another flux":             {"", args("physics/flux:2"), false},
		"of a like owner":          {"", args("notfluxcd/flux:2"), false},
		"of its helm-operator":     {"flux", args("fluxcd/helm-operator:1.4.4", "--git-timeout=20s"), false},

		"in a shell":                {"", runs(own, "/bin/sh", "-c", "exec fluxd --git-url=a"), true},
		"in a shell, by a script":   {"", runs(own, "sh", "/start.sh"), true},
		"in a shell, by its words":  {"", runs(own, "sh", "-c", "sleep 3; exec \"$@\"", "--"), true},
		"in a shell, by a variable": {"", runs(own, "sh", "-ec", "$PROGRAM"), true},
		"in a shell, evaluated":     {"", runs(own, "sh", "-c", "eval \"$(cat /arguments)\""), true},
		"a script":                  {"", runs(own, "/entry.sh"), true},
		"behind tini":               {"", runs(own, "/sbin/tini", "--", "/entry.sh"), true},
		"its whole path":            {"", runs(own, "/usr/local/bin/fluxd"), true},

		"its program, of another image":      {"", runs(mirror, "/usr/local/bin/fluxd"), true},
		"in a shell, of another image":       {"", runs(mirror, "sh", "-c", "exec fluxd --git-url=git@h:a"), true},
		"a shell that speaks of it":          {"", runs(mirror, "sh", "-c", "echo fluxd is gone"), false},
		"its URL in a variable":              {"", corev1.Container{Name: "c", Image: mirror, Args: []string{"$(ARGS)"}, Env: []corev1.EnvVar{{Name: "ARGS", Value: "--git-url=git@h:a"}}}, true},
		"a variable that nothing refers to":  {"", corev1.Container{Name: "c", Image: mirror, Args: []string{"--verbose"}, Env: []corev1.EnvVar{{Name: "ARGS", Value: "--git-url=git@h:a"}}}, false},
		"a variable of another flag":         {"", corev1.Container{Name: "c", Image: mirror, Args: []string{"$(ARGS)"}, Env: []corev1.EnvVar{{Name: "ARGS", Value: "--foo --git-urls-file=/x"}}}, false},
		"a variable, told to a sleep":        {"", corev1.Container{Name: "c", Image: mirror, Command: []string{"sleep", "$(ARGS)"}, Env: []corev1.EnvVar{{Name: "ARGS", Value: "--git-url=git@h:a"}}}, false},
		"a variable of a shell":              {"", corev1.Container{Name: "c", Image: mirror, Command: []string{"sh", "-c", "exec $BIN $ARGS"}, Env: []corev1.EnvVar{{Name: "ARGS", Value: "--sync-gc --git-url git@h:a"}}}, true},
		"fluxctl's URL, beside fluxd's name": {"", runs(mirror, "sh", "-c", "while true; do fluxctl install --git-url=git@h:a; pgrep fluxd; done"), false},
		"fluxd on several lines":             {"", runs(mirror, "sh", "-c", "set -e\nfluxd \\\n  --sync-gc \\\n  --git-url=git@h:a\n"), true},
		"fluxd, and another's URL":           {"", runs(mirror, "sh", "-c", "pgrep fluxd\nfluxctl install --git-url=git@h:a"), false},

		"fluxctl":                        {"", runs(own, "fluxctl", "sync"), false},
		"fluxctl, under fluxd's names":   {"flux", corev1.Container{Name: "flux", Image: own, Command: []string{"fluxctl", "install", "--git-url=a"}}, false},
		"kubectl":                        {"", runs(own, "/usr/local/bin/kubectl", "proxy"), false},
		"kubectl, under fluxd's names":   {"flux", corev1.Container{Name: "flux", Image: "mirror/flux:1", Command: []string{"kubectl"}, Args: []string{"proxy"}}, false},
		"kubectl, behind tini":           {"", runs(own, "/sbin/tini", "--", "kubectl", "proxy"), true}, // not looked into
		"others in a shell":              {"", runs(own, "sh", "-ec", "while true; do ssh-keyscan h; sleep 60; done"), true},
		"git, which is told of fluxd":    {"", runs(own, "git", "daemon", "/usr/local/bin/fluxd"), true},
		"a scanner of its image":         {"flux", corev1.Container{Name: "trivy", Image: "aquasec/trivy:1", Args: []string{"image", "fluxcd/flux:1.25.4"}}, false},
		"a sleep, told fluxd's own flag": {"", corev1.Container{Name: "c", Image: own, Command: []string{"sleep"}, Args: []string{"--git-url=a"}}, true},
	} {
		pod := &corev1.PodTemplateSpec{}
		if c.label != "" {
			pod.Labels = map[string]string{"app": c.label}
		}
		pod.Spec.Containers = []corev1.Container{c.container}
		if got := fluxdIn(nil, pod) != nil; got != c.fluxd {
			t.Errorf("%s: %t, want %t", name, got, c.fluxd)
		}
	}
	// A variable says less than what is given itself.
	beside := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "report", Image: "mirror/report:1", Args: []string{"$(ARGS)"}, Env: []corev1.EnvVar{{Name: "ARGS", Value: "--git-url=git@h:a"}}},
		{Name: "flux", Image: flux, Args: []string{"--git-branch=prod"}},
	}}}
	if got := fluxdIn(nil, beside); got != &beside.Spec.Containers[1] {
		t.Errorf("beside a report: %+v", got)
	}
	// Of several, the one for which most speaks.
	pod := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{runs(own, "/other.sh"), {Name: "flux", Image: flux}, args(mirror, "--git-url=a")}}}
	for _, want := range []int{2, 1, 0} {
		if got := fluxdIn(nil, pod); got != &pod.Spec.Containers[want] {
			t.Errorf("of %d: %+v", want+1, got)
		}
		pod.Spec.Containers = pod.Spec.Containers[:want]
	}
}
