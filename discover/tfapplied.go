package discover

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// reused are the values that Helm gets of a release: those of the configuration and,
// where it says so, or gives none, those that were applied last below them, which are
// not known here (helm: pkg/action/upgrade.go, reuseValues).
func (c *configuration) reused(h *terraform.HelmRelease, state *terraform.StateResource) *terraform.Node {
	if h.State != nil {
		return h.Values // of what was applied last
	}
	if _, first := c.missingFrom(h.Address); first && state == nil {
		return h.Values
	}
	keep := func(why string, p terraform.Position) *terraform.Node {
		return opened(h.Values, terraform.Cause{Kind: terraform.CauseReused, Name: why, Position: p})
	}
	reuse, reset := h.Resource.Field("reuse_values"), h.Resource.Field("reset_values")
	switch {
	case isTrue(reset):
		return h.Values
	case isTrue(reuse) && !mayBeTrue(reset):
		return keep("reuse_values is set", reuse.Origin.Position)
	case mayBeTrue(reuse):
		return keep("reuse_values may be set", reuse.Origin.Position)
	case appliedValues(state) != nil && h.Values != nil && h.Values.Kind == terraform.Map && len(h.Values.Map)+len(h.Values.Causes) == 0 && !mayBeTrue(reset):
		return keep(noValues, h.Position)
	}
	return h.Values
}

// noValues has Helm take the values that were applied last, and the defaults of the chart
// that is declared; for reuse_values it takes the defaults of the last one as well.
const noValues = "none are given"

// isReused reports whether values that Helm reuses are among some, with their defaults.
func isReused(values *terraform.Node) bool {
	return values != nil && slices.ContainsFunc(values.Causes, func(c terraform.Cause) bool { return c.Kind == terraform.CauseReused && c.Name != noValues })
}

func isTrue(n *terraform.Node) bool {
	return n != nil && n.Kind == terraform.Scalar && (n.Scalar == true || n.Scalar == "true")
}

func mayBeTrue(n *terraform.Node) bool {
	return n != nil && n.Kind != terraform.Scalar || isTrue(n)
}

// appliedValues are the values that a release was given last; nil if they are not known.
func appliedValues(state *terraform.StateResource) *terraform.Node {
	if state == nil || state.Release == nil || state.Release.Values == nil || state.Release.Values.Kind != terraform.Map {
		return nil
	}
	return state.Release.Values.Placed(terraform.Origin{Position: terraform.Position{File: "state"}})
}

// opened is a node of which every map may hold further keys.
func opened(n *terraform.Node, cause terraform.Cause) *terraform.Node {
	if n == nil || n.Kind != terraform.Map {
		return n
	}
	out := *n
	out.Causes = append(slices.Clone(n.Causes), cause)
	out.Map = make(map[string]*terraform.Node, len(n.Map))
	for k, v := range n.Map {
		out.Map[k] = opened(v, cause)
	}
	return &out
}

// filledFrom is a node in which what is not known is as another has it, that of what
// was applied last; nil if that has nothing in its place because it stays as it was.
// What was not applied yet is still not known.
func filledFrom(n, last *terraform.Node) *terraform.Node {
	switch {
	case n == nil || last != nil && (last.Kind == terraform.Unknown || last.Kind == terraform.Sensitive):
		return n
	case n.Kind == terraform.Sensitive && last == nil:
		return n // it is set, and to what is not kept
	case n.Kind == terraform.Unknown && last == nil && !stays(n.Causes):
		return n
	case n.Kind == terraform.Sensitive || n.Kind == terraform.Unknown:
		return last
	case n.Kind == terraform.Map && (last == nil || last.Kind == terraform.Map):
		out := *n
		out.Map, out.Causes = make(map[string]*terraform.Node, len(n.Map)), nil
		var lastMap map[string]*terraform.Node
		if last != nil {
			lastMap, out.Causes = last.Map, last.Causes
		}
		for k, v := range n.Map {
			if v = filledFrom(v, lastMap[k]); v != nil {
				out.Map[k] = v
			}
		}
		for k, v := range lastMap {
			if _, has := n.Map[k]; !has && len(n.Causes) > 0 {
				out.Map[k] = v
			}
		}
		return &out
	case n.Kind == terraform.List && last != nil && last.Kind == terraform.List && len(n.List) == len(last.List):
		out := *n
		out.List = slices.Clone(n.List)
		for i, v := range n.List {
			out.List[i] = filledFrom(v, last.List[i])
		}
		return &out
	}
	return n
}

// stays reports whether what was applied last is what counts, and not what the
// configuration says.
func stays(causes []terraform.Cause) bool {
	return slices.ContainsFunc(causes, func(c terraform.Cause) bool {
		return c.Kind == terraform.CauseIgnored || c.Kind == terraform.CauseReused || c.Kind == terraform.CauseLive
	})
}

// wordsFrom is filledFrom of a list of words, of which each begins as it is known to,
// wherever it stands in the other.
func wordsFrom(n, last *terraform.Node) *terraform.Node {
	if n == nil || last == nil || n.Kind != terraform.List || last.Kind != terraform.List {
		return filledFrom(n, last)
	}
	out := *n
	out.List = slices.Clone(n.List)
	for i, v := range n.List {
		if v.Kind == terraform.Scalar {
			continue
		}
		begins := func(word *terraform.Node) bool {
			return strings.HasPrefix(textOf(word), strings.TrimSuffix(textOf(v), placeholder))
		}
		of := slices.DeleteFunc(slices.Clone(last.List), func(word *terraform.Node) bool { return !begins(word) })
		switch {
		case len(n.List) == len(last.List) && begins(last.List[i]) && !slices.ContainsFunc(n.List, func(o *terraform.Node) bool {
			return o.Kind == terraform.Scalar && textOf(o) == textOf(last.List[i])
		}):
			out.List[i] = filledFrom(v, last.List[i])
		case len(of) == 1 && textOf(v) != placeholder:
			out.List[i] = filledFrom(v, of[0])
		}
	}
	return &out
}

// containerFrom is a container in which what is not known is as another has it. whole is
// false if it is not known which variables it has.
func containerFrom(k, last terraform.Container, whole bool) terraform.Container {
	k.Name, k.Image, k.Command, k.Args = filledFrom(k.Name, last.Name), filledFrom(k.Image, last.Image), filledFrom(k.Command, last.Command), wordsFrom(k.Args, last.Args)
	if !whole {
		k.Env = last.Env
		return k
	}
	k.Env = slices.Clone(k.Env)
	for i, e := range k.Env {
		name, _ := e.Name.Str()
		j := slices.IndexFunc(last.Env, func(o terraform.EnvVar) bool { n, ok := o.Name.Str(); return ok && n == name })
		if j >= 0 && len(e.Unknown) == 0 && (e.Gap != nil || e.Value != nil && e.Value.Kind != terraform.Scalar) {
			k.Env[i] = last.Env[j]
		}
	}
	return k
}

// treeFrom is filledFrom of a part of a declared object.
func treeFrom(v, last any) any {
	switch v := v.(type) {
	case map[string]any:
		switch {
		case gap(last) != "":
			return v
		case last == nil && gap(v) != "" && v["$left"] == nil:
			return v // not applied yet
		case gap(v) != "":
			return last
		}
		lastMap, isMap := last.(map[string]any)
		if !isMap && last != nil {
			return v
		}
		out := make(map[string]any, len(v))
		for k, e := range v {
			if e = treeFrom(e, lastMap[k]); e != nil && k != "$open" {
				out[k] = e
			}
		}
		if v["$open"] != nil {
			for k, e := range lastMap {
				if _, has := v[k]; !has {
					out[k] = e
				}
			}
		}
		return out
	case []any:
		lastList, isList := last.([]any)
		if !isList || len(v) != len(lastList) {
			return v
		}
		out := slices.Clone(v)
		for i := range v {
			out[i] = treeFrom(v[i], lastList[i])
		}
		return out
	}
	return v
}

// toldByState says of the settings of an agent, of which some are known from the state
// alone, where they are from. alone are those that the configuration tells, where is the
// place in the state.
func toldByState(settings, alone []migrate.Setting, where string) {
	for i := range settings {
		s := &settings[i]
		from := migrate.Origin{Witness: "terraform", Where: where}
		switch j := slices.IndexFunc(alone, func(o migrate.Setting) bool { return o.Name == s.Name }); {
		case j < 0:
			s.From = []migrate.Origin{from}
			s.Why = strings.TrimPrefix(s.Why+"; as the state has it", "; ")
		case alone[j].Fate == migrate.Unknown && s.Fate != migrate.Unknown:
			s.From = append(slices.Clone(alone[j].From), from)
			s.Why = strings.TrimPrefix(s.Why+"; as the state has it, since the configuration alone does not tell: "+alone[j].Why, "; ")
		}
	}
}

// withItems is a tree with another list at a path; the tree itself stays.
func withItems(tree map[string]any, list []any, path ...string) map[string]any {
	out := maps.Clone(tree)
	if len(path) == 1 {
		out[path[0]] = list
		return out
	}
	inner, _ := out[path[0]].(map[string]any)
	out[path[0]] = withItems(inner, list, path[1:]...)
	return out
}

// heldAs are the instances in states that a declared object is.
func (c *configuration) heldAs(w *terraform.Workload) []*terraform.StateResource {
	var out []*terraform.StateResource
	for _, m := range c.matches[w.Address] {
		if m.State == nil || m.Config == nil || m.State.Deposed || slices.Contains(out, m.State) {
			continue
		}
		if out = append(out, m.State); len(w.Unknown) == 0 {
			break // of several states of one folder
		}
	}
	return out
}

// withState is fluxdOf with what was applied last in the place of what the configuration
// does not tell, and says what of it is not applied.
func (c *configuration) withState(ctx context.Context, w *terraform.Workload, tree map[string]any, which int, state *terraform.StateResource) *declared {
	before := c.ledger
	alone := c.fluxdOf(ctx, w, tree, which)
	last := state.Workload("state")
	if last == nil {
		return alone
	}
	lastTree := last.Tree()
	deployment := deploymentOf(last, lastTree)
	container := fluxd(deployment)
	if container == nil {
		return alone
	}
	lastWhich := slices.IndexFunc(deployment.Spec.Template.Spec.Containers, func(k corev1.Container) bool { return k.Name == container.Name && k.Image == container.Image })
	lastContainers := items(at(lastTree, "spec", "template", "spec", "containers"))
	if lastWhich < 0 || lastWhich >= len(last.Containers) || lastWhich >= len(lastContainers) {
		return alone
	}
	c.ledger = before // which has the agent once
	was := c.fluxdOf(ctx, last, lastTree, lastWhich)
	full, fullTree := *w, tree
	if lastWhich == which {
		fullTree, _ = treeFrom(tree, lastTree).(map[string]any)
	}
	containers := items(at(fullTree, "spec", "template", "spec", "containers"))
	if which >= len(containers) {
		return alone
	}
	// What is filled in would tell of itself: the configuration is asked.
	own := items(at(tree, "spec", "template", "spec", "containers"))
	whole := which < len(own) && gap(at(own[which], "env"))+openGap(own[which]) == ""
	full.Name, full.Namespace = filledFrom(w.Name, last.Name), filledFrom(w.Namespace, last.Namespace)
	full.Containers = slices.Clone(w.Containers)
	full.Containers[which] = containerFrom(w.Containers[which], last.Containers[lastWhich], whole)
	containers = slices.Clone(containers)
	containers[which] = treeFrom(containers[which], lastContainers[lastWhich])
	fullTree = withItems(fullTree, containers, "spec", "template", "spec", "containers")
	c.ledger = before
	d := c.fluxdOf(ctx, &full, fullTree, which)
	where := inState(state)
	toldByState(d.Settings, alone.Settings, where)
	d.notApplied(was.Settings, was.Parts, where)
	for _, x := range []struct{ name, now, last string }{{"image", d.Image, was.Image}, {"serviceAccount", d.ServiceAccount, was.ServiceAccount}} {
		if x.now != x.last && !slices.Contains(d.Unknown, x.name) && !slices.Contains(was.Unknown, x.name) {
			d.find(TerraformNotApplied.About(d.ID, x.name, "terraform: "+d.Terraform.Where+"; terraform: "+where, fmt.Sprintf("%s is %s in the configuration, and %s was applied last", x.name, x.now, x.last)))
		}
	}
	return d
}
