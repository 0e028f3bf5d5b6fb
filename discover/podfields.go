package discover

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// What a pod says beside what its containers run. A field that is in none of
// these lists may change what fluxd does, in a way that nobody here knows, and
// is listed as unknown.
var (
	// podReadElsewhere and containerReadElsewhere have settings of their own.
	podReadElsewhere       = []string{"containers", "initContainers", "serviceAccountName", "serviceAccount", "volumes"}
	containerReadElsewhere = []string{"args", "command", "env", "envFrom", "image", "name", "volumeMounts", "resources"}
	// podRuns and containerRuns concern only where and how fluxd runs.
	podRuns = []string{
		"activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "enableServiceLinks", "hostIPC", "hostPID", "hostUsers", "hostname",
		"imagePullSecrets", "nodeName", "nodeSelector", "os", "overhead", "preemptionPolicy", "priority", "priorityClassName", "readinessGates",
		"resources", "restartPolicy", "runtimeClassName", "schedulerName", "schedulingGates", "securityContext", "setHostnameAsFQDN",
		"shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints",
	}
	containerRuns = []string{
		"imagePullPolicy", "livenessProbe", "ports", "readinessProbe", "resizePolicy", "restartPolicy", "securityContext", "startupProbe", "stdin",
		"stdinOnce", "terminationMessagePath", "terminationMessagePolicy", "tty",
	}
	// workloadRuns are those of a Deployment, beside its pods.
	workloadRuns = []string{"minReadySeconds", "paused", "progressDeadlineSeconds", "replicas", "revisionHistoryLimit", "selector", "strategy"}
	// resolving changes how names are found.
	resolving = []string{"dnsConfig", "dnsPolicy", "hostAliases", "hostNetwork"}
)

// podField is a field of a pod, or of fluxd's container, of which it is not
// known what it changes.
type podField struct{ name, value, why string }

// unknownPodFields are those that are set, in the order of their names.
func unknownPodFields(pod *corev1.PodSpec, container *corev1.Container) []podField {
	var out []podField
	for _, part := range []struct {
		prefix string
		object any
		known  [][]string
	}{
		{"pod.", pod, [][]string{podReadElsewhere, podRuns}},
		{"container.", container, [][]string{containerReadElsewhere, containerRuns}},
	} {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(part.object)
		if err != nil {
			out = append(out, podField{part.prefix + "*", "***", "its fields cannot be listed"})
			continue
		}
		for _, name := range sortedNames(fields) {
			if slices.ContainsFunc(part.known, func(names []string) bool { return slices.Contains(names, name) }) || unset(fields[name]) {
				continue
			}
			why, known := whyUnknown(name)
			if name == "dnsPolicy" && fields[name] == string(corev1.DNSClusterFirst) {
				continue // as without it
			}
			value := "***" // nobody knows what stands in it
			if raw, err := json.Marshal(fields[name]); err == nil && known && !strings.Contains(string(raw), placeholder) {
				value = string(raw)
			}
			out = append(out, podField{part.prefix + name, value, why})
		}
	}
	return out
}

// whyUnknown says why it is not known what a field changes; known is false if
// nothing at all is known about it.
func whyUnknown(name string) (why string, known bool) {
	if slices.Contains(resolving, name) {
		return "it may change how the Git server is found, and the new agent has no such setting", true
	}
	return "it may change what fluxd does, and the new agent has no such setting", false
}

func unset(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

var (
	podPath       = regexp.MustCompile(`^spec\.template\.spec\.(\w+)`)
	containerPath = regexp.MustCompile(`^spec\.template\.spec\.containers\[(\d+)\]\.(\w+)`)
	workloadPath  = regexp.MustCompile(`^spec\.(\w+)`)
)

// fieldOf is the path of the field of a pod or a container that a path in a Deployment
// is below, or that path if there is none.
func fieldOf(path string) string {
	return cmp.Or(containerPath.FindString(path), podPath.FindString(path), path)
}

// unknownField says why it is not known what a field of a declared Deployment
// changes, by its path; which is the place of fluxd's container. known is true
// if it concerns only how fluxd runs, or is read elsewhere.
func unknownField(path string, which int) (why string, known bool) {
	var name string
	var lists [][]string
	if m := containerPath.FindStringSubmatch(path); m != nil {
		if m[1] != strconv.Itoa(which) {
			return "", true // a container beside it, which has a setting of its own
		}
		name, lists = m[2], [][]string{containerReadElsewhere, containerRuns}
	} else if m := podPath.FindStringSubmatch(path); m != nil {
		name, lists = m[1], [][]string{podReadElsewhere, podRuns}
	} else if m := workloadPath.FindStringSubmatch(path); m != nil && m[1] != "template" {
		name, lists = m[1], [][]string{workloadRuns}
	} else {
		return "", true // labels and the like
	}
	if slices.ContainsFunc(lists, func(names []string) bool { return slices.Contains(names, name) }) {
		return "", true
	}
	why, _ = whyUnknown(name)
	return why, false
}

// countsElsewhere reports whether a field of a declared Deployment, by its path,
// is one that has a setting of its own, or a part of one, or may hold such.
func countsElsewhere(path string, which int) bool {
	whole, more := strings.CutSuffix(path, ".*")
	if more && strings.HasPrefix("spec.template.spec", whole) || path == "spec.replicas" {
		return true
	}
	if whole == "spec.template.metadata" || whole == "spec.template.metadata.annotations" || whole == "spec.template.metadata.labels" {
		return true // a role in a cloud
	}
	if m := containerPath.FindStringSubmatch(path); m != nil {
		return m[1] == strconv.Itoa(which) && m[2] != "resources" && slices.Contains(containerReadElsewhere, m[2])
	}
	m := podPath.FindStringSubmatch(path)
	return m != nil && slices.Contains(podReadElsewhere, m[1])
}
