package cutover

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// matcher is the pattern of pod names in the fence's own expression.
func matcher(t *testing.T, deployment string) *regexp.Regexp {
	t.Helper()
	facts := agentFacts{Namespace: "flux", ServiceAccount: "shared", SharedAccount: true, Workload: deployment}
	_, rest, found := strings.Cut(facts.subjectExpression(), "n.matches(")
	quoted, err := strconv.QuotedPrefix(rest)
	if !found || err != nil {
		t.Fatalf("no pattern in %s: %v", facts.subjectExpression(), err)
	}
	pattern, err := strconv.Unquote(quoted)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(pattern)
}

func TestAFenceOnASharedAccountKnowsThePodsOfLongDeploymentNames(t *testing.T) {
	tm := newTeam(t)
	// Lengths around those at which Kubernetes begins to cut.
	var names []string
	for _, length := range []int{4, 45, 46, 47, 48, 50, 55, 56, 57, 58, 59, 63} {
		names = append(names, fmt.Sprintf("d%02d-", length)+strings.Repeat("b", length-4))
	}
	names[0] = "d04x"
	// Names that begin with another's.
	names = append(names, names[0]+"-bcd", names[2]+"-b", names[5]+"-bcd", names[5]+"a")
	pods := map[string][]string{}
	for i, name := range names {
		labels := map[string]string{"number": fmt.Sprint(i)}
		one := int32(1)
		_, err := tm.lab.c.Kube.AppsV1().Deployments(tm.flux).Create(tm.ctx(), &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{ServiceAccountName: "flux", TerminationGracePeriodSeconds: new(int64), Containers: []corev1.Container{{Name: "flux", Image: "flux"}}},
			}},
		}, metav1.CreateOptions{})
		tm.must(err)
		t.Cleanup(func() {
			if err := tm.lab.c.Kube.AppsV1().Deployments(tm.flux).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
		})
	}
	for i, name := range names {
		tm.must(tm.await(func() bool {
			list, err := tm.lab.c.Kube.CoreV1().Pods(tm.flux).List(tm.ctx(), metav1.ListOptions{LabelSelector: fmt.Sprintf("number=%d", i)})
			tm.must(err)
			for _, p := range list.Items {
				pods[name] = append(pods[name], p.Name)
			}
			return len(list.Items) > 0
		}))
	}
	for _, name := range names {
		pattern := matcher(t, name)
		if !pattern.MatchString(noPod(name)) {
			t.Errorf("%s: the probe's pod %s is none of its", name, noPod(name))
		}
		for owner, its := range pods {
			for _, pod := range its {
				if got := pattern.MatchString(pod); got != (owner == name) {
					t.Errorf("Deployment %s (%d characters): pod %s (%d) of %s: matched %v\n%s", name, len(name), pod, len(pod), owner, got, pattern)
				}
			}
		}
	}
}

func TestAPodOfADeploymentWhoseNameBeginsAlikeIsNotFenced(t *testing.T) {
	for deployment, pods := range map[string]map[string]bool{
		"flux": {
			"flux-6d4cf56db6-x7k2p":       true,
			"flux-5b9-zzzzz":              true,
			"flux-a-6d4cf56db6-x7k2p":     false,
			"flux-bcd-6d4cf56db6-x7k2p":   false,
			"flux2-6d4cf56db6-x7k2p":      false,
			"a-flux-6d4cf56db6-x7k2p":     false,
			"flux-6d4cf56db6-x7k2p-x7k2p": false,
			"flux-6d4cf56db6x7k2p":        false,
			"flux-6d4cf56db6-x7k2":        false,
			"flux-6d4cf56db66-x7k2p":      false,
			"flux-6d4cf56db6-x7k2px":      false,
			"flux-memcached-5b9-zzzzz":    false,
			"flux-agent-x7k2p":            false,
			"":                            false,
		},
		"flux.a": {"flux.a-6d4cf56db6-x7k2p": true, "fluxxa-6d4cf56db6-x7k2p": false},
	} {
		pattern := matcher(t, deployment)
		for pod, want := range pods {
			if got := pattern.MatchString(pod); got != want {
				t.Errorf("Deployment %s, pod %q: got %v, want %v", deployment, pod, got, want)
			}
		}
	}
}
