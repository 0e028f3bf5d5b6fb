package discover

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate/flux1"
	corev1 "k8s.io/api/core/v1"
)

// gap says why a part of a declared object is not known; empty if it is. A part
// that is sensitive is not kept, and so not known.
func gap(v any) string {
	m, _ := v.(map[string]any)
	switch {
	case m["$sensitive"] != nil:
		return isSensitive
	case m["$unknown"] != nil:
		return toldCauses(m["$unknown"])
	}
	return ""
}

// openGap is like gap, and says as well why a map may hold further keys.
func openGap(v any) string {
	m, _ := v.(map[string]any)
	if m["$open"] != nil {
		return cmp.Or(gap(v), toldCauses(m["$open"]))
	}
	return gap(v)
}

// column is the one in a place that a cause ends with.
var column = regexp.MustCompile(`(:\d+):\d+\)$`)

func toldCauses(list any) string {
	texts, _ := list.([]string)
	var words []string
	for _, t := range texts {
		if t = column.ReplaceAllString(t, "$1)"); !slices.Contains(words, t) {
			words = append(words, t)
		}
	}
	return cmp.Or(firstFew(words), "it is not known")
}

// anyGap is the first gap in a list, in its elements, or in what of gives of one.
func anyGap(list any, of func(any) string) string {
	why := gap(list)
	for _, e := range items(list) {
		why = cmp.Or(why, openGap(e), of(e))
	}
	return why
}

// listNames are, of the lists of a container that have settings of their own, the
// fields of an element by which it is accounted for.
var listNames = map[string][][]string{
	"env":          {{"name"}},
	"envFrom":      {{"prefix"}, {"secretRef"}, {"secretRef", "name"}, {"configMapRef"}, {"configMapRef", "name"}},
	"volumeMounts": {{"name"}, {"mountPath"}, {"subPath"}},
}

// listGap is a part of such a list that is not known, and so has no setting.
type listGap struct {
	at   string // in the list: "", "[2]", "[2].name"
	part any
	// perhaps is true if it is not known only whether the element is there.
	perhaps bool
}

func listGaps(name string, list any) []listGap {
	fields, ok := listNames[name]
	if !ok {
		return nil
	}
	var out []listGap
	if gap(list) != "" {
		out = append(out, listGap{part: list})
	}
	for i, e := range items(list) {
		of := "[" + strconv.Itoa(i) + "]"
		m, _ := e.(map[string]any)
		switch {
		case gap(e) != "":
			out = append(out, listGap{at: of, part: e})
		case m["$open"] != nil:
			out = append(out, listGap{at: of, part: map[string]any{"$open": m["$open"]}})
		case m["$perhaps"] != nil:
			out = append(out, listGap{of, map[string]any{"$unknown": m["$perhaps"]}, true})
		}
		for _, field := range fields {
			if part := at(e, field...); gap(part) != "" {
				out = append(out, listGap{at: of + "." + strings.Join(field, "."), part: part})
			}
		}
	}
	return out
}

// gapIn is the first of the gaps of a list by which it is not known what the names
// in it are.
func gapIn(container any, name string) string {
	gaps := listGaps(name, at(container, name))
	if i := slices.IndexFunc(gaps, func(g listGap) bool { return !g.perhaps }); i >= 0 {
		return openGap(gaps[i].part)
	}
	return ""
}

// mountGap says why it is not known what is mounted at some place, or whether
// anything is.
func mountGap(container any, there func(place string) bool) string {
	mounts := at(container, "volumeMounts")
	why := gap(mounts)
	for _, m := range items(mounts) {
		place := at(m, "mountPath")
		if _, known := place.(string); known && !there(path.Clean(scalarText(place))) {
			continue
		}
		for _, g := range listGaps("volumeMounts", []any{m}) {
			why = cmp.Or(why, openGap(g.part))
		}
	}
	return why
}

// keepsNothing are the fields of a volume that say nothing of what stands in it.
var keepsNothing = []string{"defaultMode", "mode", "optional"}

// within is the first gap anywhere in a volume, but for what says nothing of what
// stands in it.
func within(v any) string {
	why := openGap(v)
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedNames(v) {
			if !slices.Contains(keepsNothing, k) {
				why = cmp.Or(why, within(v[k]))
			}
		}
	case []any:
		why = cmp.Or(why, anyGap(v, within))
	}
	return why
}

// gapsOf looks at a pod and its container of fluxd, as they are declared.
func gapsOf(pod, container any) podGaps {
	rest := openGap(container)
	mounted := func(there func(string) bool) string { return cmp.Or(rest, mountGap(container, there)) }
	return podGaps{
		unnamed:    cmp.Or(rest, gapIn(container, "env")),
		unsourced:  cmp.Or(rest, gapIn(container, "envFrom")),
		unmounted:  mounted(flux1.IsCAFolder),
		unkeyed:    cmp.Or(mounted(holdsKey), keyGap(pod, container)),
		kubeconfig: mounted(holdsKubeconfig),
	}
}

// holdsKey reports whether the deploy key stands below a place, and holdsKubeconfig
// whether a kubeconfig would, where fluxd looks for either.
func holdsKey(place string) bool {
	return place == keyFile || strings.HasPrefix(keyFile, strings.TrimSuffix(place, "/")+"/")
}

func holdsKubeconfig(place string) bool {
	return strings.HasPrefix(place, "/root/.kube") || place == "/root"
}

// keyGap says why the volume in which the deploy key stands is not known.
func keyGap(pod, container any) string {
	volumes, why := at(pod, "volumes"), ""
	for _, m := range items(at(container, "volumeMounts")) {
		if !holdsKey(path.Clean(scalarText(at(m, "mountPath")))) {
			continue
		}
		i := slices.IndexFunc(items(volumes), func(v any) bool { return scalarText(at(v, "name")) == scalarText(at(m, "name")) })
		switch {
		case i >= 0:
			why = cmp.Or(why, within(items(volumes)[i]))
		default:
			why = cmp.Or(why, openGap(pod), anyGap(volumes, func(v any) string { return gap(at(v, "name")) }))
		}
	}
	return why
}

// maybeFluxd says why it is not known whether a workload that is declared runs a
// fluxd, where none is seen in it; empty if it is known. whole is true if it is
// not even known which images it runs, and nothing else speaks for another program.
func maybeFluxd(tree map[string]any, w *terraform.Workload, pod *corev1.PodTemplateSpec) (why string, whole bool) {
	var part any = tree
	for _, field := range []string{"spec", "template", "spec", "containers"} {
		next := at(part, field)
		if next == nil {
			return openGap(part), true
		}
		if why = gap(next); why != "" {
			return why, true
		}
		part = next
	}
	for i := range w.Containers {
		c := &w.Containers[i]
		image := imageName(imageText(c.Image))
		if slices.Contains(besideFluxd, image) || isFlux2Image(image) {
			continue
		}
		words := ""
		for _, list := range []*terraform.Node{c.Command, c.Args} {
			if list != nil && list.Kind == terraform.List {
				for _, n := range list.List {
					if n.Kind != terraform.Scalar {
						words = cmp.Or(words, causes(n))
					}
				}
			} else if list != nil && list.Kind != terraform.Scalar {
				words = cmp.Or(words, causes(list))
			}
		}
		if !strings.Contains(image, placeholder) {
			why = cmp.Or(why, words)
			continue
		}
		k := &pod.Spec.Containers[i]
		if words != "" || i >= len(items(part)) || mayHaveClues(tree, items(part)[i], pod, k) || mayStartFluxd(k) {
			return causes(c.Image), true
		}
		// With the image of fluxd it would be one that is given no repository: see fluxdIn.
		why = cmp.Or(why, causes(c.Image))
	}
	return why, false
}

// mayHaveClues reports whether anything beside its image and its words, which are
// known, speaks for fluxd in a container, or may.
func mayHaveClues(tree map[string]any, container any, pod *corev1.PodTemplateSpec, c *corev1.Container) bool {
	unsure := openGap(container) != "" || strings.Contains(c.Name, placeholder) || openGap(at(tree, "spec", "template")) != "" || openGap(at(tree, "spec", "template", "metadata")) != ""
	labels := at(tree, "spec", "template", "metadata", "labels")
	for _, name := range []string{"app", "name"} {
		unsure = unsure || gap(at(labels, name)) != "" || at(labels, name) == nil && openGap(labels) != ""
	}
	for _, probe := range []string{"livenessProbe", "readinessProbe"} {
		unsure = unsure || within(at(container, probe, "httpGet", "path")) != "" || openGap(at(container, probe)) != "" || openGap(at(container, probe, "httpGet")) != ""
	}
	unsure = unsure || gap(at(container, "ports")) != "" || slices.ContainsFunc(items(at(container, "ports")), func(p any) bool { return gap(at(p, "containerPort")) != "" })
	return unsure || cluesOf(pod, c) > 0
}

// mayStartFluxd reports whether a container whose image is not known is told to run what may start fluxd:
// a script, or a line that names it.
func mayStartFluxd(c *corev1.Container) bool {
	for _, word := range strings.Fields(strings.Join(slices.Concat(c.Command, c.Args), " ")) {
		if path.Base(word) == "fluxd" || path.Ext(word) == ".sh" {
			return true
		}
	}
	return false
}

// imageText is an image's text, with the placeholder in place of each part that
// is not known.
func imageText(n *terraform.Node) string {
	if n == nil || n.Kind != terraform.Unknown || n.Text == "" {
		return textOf(n)
	}
	return notKnown.ReplaceAllLiteralString(n.Text, placeholder)
}

// notKnown is what stands in a text for a part that is not known.
var notKnown = regexp.MustCompile(`\$\{[^}]*\}`)
