package discover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// memcachedHost is where fluxd looks for memcached if it is not told; maxPods bounds
// how many pods of one are counted.
const (
	memcachedHost = "memcached"
	maxPods       = 1000
)

// countMemcacheds finds what the memcached of each agent asks for: that of its
// release, or, where fluxd is of none, one of none that it is told of, in its
// namespace. One that several have is counted with the first of them. It returns the
// agents that have one. The pods are those that run, by namespace, as far as they are known.
func countMemcacheds(found []*agent, deployments []appsv1.Deployment, pods map[string]*podList) (map[*agent]bool, error) {
	counted, has := map[*appsv1.Deployment]bool{}, map[*agent]bool{}
	for _, a := range slices.SortedStableFunc(slices.Values(found), func(a, b *agent) int { return strings.Compare(a.ID, b.ID) }) {
		namespace, name := releaseOf(a.deployment.ObjectMeta)
		host := memcachedHost
		var its []*corev1.PodSpec
		for _, s := range a.Settings {
			if s.Name == "--memcached-hostname" && s.Fate != migrate.Unknown {
				host = s.Value
			}
		}
		for i := range deployments {
			d := &deployments[i]
			ns, of := releaseOf(d.ObjectMeta)
			goes := of == name && ns == namespace
			if name == "" {
				goes = goes && d.Namespace == a.Namespace && d.Name == strings.Split(host, ".")[0]
			}
			containers := d.Spec.Template.Spec.Containers
			if !goes || !slices.ContainsFunc(containers, func(c corev1.Container) bool { return imageName(c.Image) == "memcached" || c.Name == "memcached" }) {
				continue
			}
			has[a] = true
			if counted[d] {
				continue
			}
			counted[d] = true
			pod, err := pods[d.Namespace].livePod(d)
			if err != nil {
				return nil, fmt.Errorf("read the selector of Deployment %s/%s: %w", d.Namespace, d.Name, err)
			}
			its = append(its, slices.Repeat([]*corev1.PodSpec{pod}, int(min(replicas(d), maxPods)))...)
		}
		a.Memcached = requests(its...)
	}
	return has, nil
}

// countDeclaredMemcacheds is countMemcacheds of agents that manifests declare, with the
// Deployments beside them. What else runs in a cluster nobody has asked, so that an agent
// without one may have one all the same.
func countDeclaredMemcacheds(found []*agent, beside []appsv1.Deployment) {
	has, _ := countMemcacheds(found, beside, nil) // without pods there is no selector to fail at
	for _, a := range found {
		told := !slices.ContainsFunc(a.Settings, func(s migrate.Setting) bool { return s.Name == "--memcached-hostname" && s.Fate == migrate.Unknown })
		if told && has[a] && a.Namespace != "" {
			continue
		}
		if a.Memcached = (migrate.Requests{}); !slices.Contains(a.Unknown, "memcached") {
			a.Unknown = append(a.Unknown, "memcached")
		}
	}
}

// deployedBeside is a Deployment that a configuration declares and of which all that counts is known.
type deployedBeside struct {
	cluster    terraform.Cluster
	deployment appsv1.Deployment
}

// noteBeside keeps a Deployment that may be the memcached of an agent.
func (c *configuration) noteBeside(w *terraform.Workload, tree map[string]any, d *appsv1.Deployment) {
	name, named := w.Name.Str()
	namespace, placed := w.Namespace.Str()
	if w.Namespace == nil {
		namespace, placed = metav1.NamespaceDefault, true
	}
	pod := at(tree, "spec", "template", "spec")
	if kind, _ := w.Kind.Str(); kind != "Deployment" || !named || !placed || len(w.Unknown) > 0 || len(w.Leaves()) > 0 || openGap(pod) != "" ||
		slices.ContainsFunc(items(at(pod, "containers")), asksUnknown) || slices.ContainsFunc(w.Containers, func(k terraform.Container) bool { return len(k.Unknown) > 0 }) {
		return
	}
	beside := *d
	beside.Name, beside.Namespace = name, namespace
	if count := at(tree, "spec", "replicas"); count != nil {
		n, err := strconv.ParseInt(scalarText(count), 10, 32)
		if err != nil {
			return
		}
		pods := int32(n)
		beside.Spec.Replicas = &pods
	}
	c.beside = append(c.beside, deployedBeside{c.result.Cluster(w.Provider), beside})
}

// countMemcacheds finds what is asked for by the memcached that is declared beside each
// agent that is declared without Helm, in the same cluster.
func (c *configuration) countMemcacheds() {
	left := slices.DeleteFunc(slices.Clone(c.agents), func(d *declared) bool { return !d.pod })
	for len(left) > 0 {
		first := left[0]
		var its []*agent
		var of []*declared
		var others []*declared
		for _, d := range left {
			if d != first && !first.isHere(d.cluster) {
				others = append(others, d)
				continue
			}
			its, of = append(its, &agent{Flux1Agent: d.Flux1Agent, deployment: &appsv1.Deployment{}}), append(of, d)
		}
		var beside []appsv1.Deployment
		for _, b := range c.beside {
			if first.isHere(b.cluster) {
				beside = append(beside, b.deployment)
			}
		}
		countDeclaredMemcacheds(its, beside)
		for i, d := range of {
			d.Memcached, d.Unknown = its[i].Memcached, its[i].Unknown
		}
		left = others
	}
}
