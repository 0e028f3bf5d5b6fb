package discover

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// podParts are the parts of a Deployment that an agent keeps to be compared by: all
// of partsOf but for those that stand in the agent itself.
func podParts(d *appsv1.Deployment, c *corev1.Container) map[string]migrate.Part {
	out := map[string]migrate.Part{}
	for name, p := range partsOf(d, c) {
		switch {
		case name == "image" || name == "serviceAccount":
		case strings.Contains(name, placeholder):
			prefix, _, _ := strings.Cut(name, ".")
			out[prefix+"."] = migrate.Part{Unknown: true}
		case strings.Contains(p.value, placeholder), strings.Contains(p.value, "***"):
			out[name] = migrate.Part{Unknown: true}
		default:
			out[name] = migrate.Part{Text: p.text(), Digest: migrate.Digest(p.value)}
		}
	}
	return out
}

// partDifference is a part in which two witnesses differ, and what either says.
type partDifference struct{ name, one, other string }

// partDifferences compares what two witnesses say of an agent's Deployment. What one
// of them does not know says nothing.
func partDifferences(one, other map[string]migrate.Part) []partDifference {
	if one == nil || other == nil {
		return nil
	}
	unknown := func(parts map[string]migrate.Part, name string) bool {
		p, ok := parts[name]
		prefix, _, _ := strings.Cut(name, ".")
		return p.Unknown || !ok && parts[prefix+"."].Unknown
	}
	all := maps.Clone(one)
	maps.Copy(all, other)
	var out []partDifference
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, b := one[name], other[name]
		if a.Digest == b.Digest || strings.HasSuffix(name, ".") || unknown(one, name) || unknown(other, name) {
			continue
		}
		for _, p := range []*migrate.Part{&a, &b} {
			if p.Digest == "" {
				p.Text = "not given"
			}
		}
		out = append(out, partDifference{name, a.Text, b.Text})
	}
	return out
}

// says is a difference in words: `"a" live, and "b" in Terraform`.
func (d partDifference) says(one, other string) string {
	if d.one == d.other {
		return "another " + one + " than " + other
	}
	return fmt.Sprintf("%s %s, and %s %s", d.one, one, d.other, other)
}

// renderedParts are the parts of the Deployment that a release makes; nil if its
// chart is not known.
func renderedParts(r *chart.Rendered, p declaredPod) map[string]migrate.Part {
	if r.Version == "" {
		return nil
	}
	container := *p.container
	container.Resources.Requests = corev1.ResourceList{}
	for name, text := range map[corev1.ResourceName]string{corev1.ResourceCPU: r.Requests.CPU, corev1.ResourceMemory: r.Requests.Memory} {
		if q, err := resource.ParseQuantity(text); err == nil {
			container.Resources.Requests[name] = q
		}
	}
	d := &appsv1.Deployment{}
	d.Spec.Template.Spec = p.spec
	if r.Replicas != nil {
		n := int32(min(*r.Replicas, 1<<30))
		d.Spec.Replicas = &n
	}
	parts := podParts(d, &container)
	open := func(names ...string) {
		for _, name := range names {
			parts[name] = migrate.Part{Unknown: true}
		}
	}
	for i := range p.causes {
		open("env." + container.Env[i].Name)
	}
	for _, m := range r.Mounts {
		switch {
		case m.Unknown != "" && m.Path == "":
			open("volume.")
		case m.Unknown != "":
			open("volume." + path.Clean(m.Path))
		}
	}
	for _, name := range r.InitContainers {
		open("container." + name)
	}
	for name, why := range map[string]string{
		"replicas": r.Unknown["replicas"], "env.": p.unnamed, "envFrom.": p.unsourced, "volume.": r.Unknown["extraMounts"],
		"container.": r.Unknown["sidecars"] + r.Unknown["initContainers"], "requests.": r.Unknown["requests"],
	} {
		if why != "" {
			open(name)
		}
	}
	return parts
}

// declaredParts are the parts of a Deployment that is declared, as far as it is
// known: spec is its pod's, which the place of fluxd's container is in.
func (d *declared) declaredParts(spec any, which int, p declaredPod) map[string]migrate.Part {
	deployment := &appsv1.Deployment{}
	deployment.Spec.Replicas, deployment.Spec.Template.Spec = &d.Replicas, p.spec
	parts := podParts(deployment, p.container)
	containers := at(spec, "containers")
	container := items(containers)[which]
	open := func(why string, names ...string) {
		for _, name := range names {
			if why != "" {
				parts[name] = migrate.Part{Unknown: true}
			}
		}
	}
	for i, v := range p.container.Env {
		if v.ValueFrom != nil && v.ValueFrom.FieldRef != nil && v.ValueFrom.FieldRef.FieldPath == "" {
			open("which field is not kept", "env."+v.Name)
		}
		open(p.causes[i], "env."+v.Name)
	}
	open(p.unnamed, "env.")
	open(p.unsourced, "envFrom.")
	volumes := openGap(container) + openGap(spec) + within(at(spec, "volumes"))
	if volumes != "" || len(listGaps("volumeMounts", at(container, "volumeMounts"))) > 0 {
		open("they are", "volume.")
	}
	for name := range parts {
		if strings.HasPrefix(name, "volume.") {
			open(volumes, name)
		}
	}
	if len(listGaps("envFrom", at(container, "envFrom"))) > 0 {
		open("it is", "envFrom.")
	}
	open(gap(containers)+gap(at(spec, "initContainers"))+openGap(spec), "container.")
	open(anyGap(containers, func(v any) string { return gap(at(v, "name")) + gap(at(v, "image")) }), "container.")
	open(gap(at(container, "command"))+openGap(container), "command")
	if asksUnknown(container) {
		open("it is", "requests.", "requests.cpu", "requests.memory")
	}
	if slices.Contains(d.Unknown, "replicas") {
		open("it is", "replicas")
	}
	return parts
}
