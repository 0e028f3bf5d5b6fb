package discover

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	"helm.sh/helm/v3/pkg/strvals"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// fluxChart says whether a HelmRelease of the helm-operator installs the flux
// chart, by its name or its folder in Git. Another folder than the one that the
// chart has in its own repository must be given a git.url as well, as the flux chart is.
func fluxChart(u *unstructured.Unstructured) bool {
	name, _, _ := unstructured.NestedString(u.Object, "spec", "chart", "name")
	folder, _, _ := unstructured.NestedString(u.Object, "spec", "chart", "path")
	repository, _, _ := unstructured.NestedString(u.Object, "spec", "chart", "git")
	if repository != "" {
		folder = strings.Trim(path.Clean(folder), "/")
		url, _, _ := unstructured.NestedString(u.Object, "spec", "values", "git", "url")
		return folder == "chart/flux" || chartKind(chartFolder(folder), repository) == "flux" && url != ""
	}
	from, _, _ := unstructured.NestedString(u.Object, "spec", "chart", "repository")
	return chartKind(name, from) == "flux"
}

// fromHelmRelease makes an agent of a HelmRelease of the flux chart; nil if it
// is of another one. The operator merges valuesFrom before values (helm-operator:
// pkg/release/values.go).
func (c *checkout) fromHelmRelease(ctx context.Context, set declaration, o flux1.Parsed, rights rightsFor) *declaredAgent {
	u := o.Manifest
	if !fluxChart(u) {
		return nil
	}
	name, namespace := releaseOfHelmRelease(u)
	version, _, _ := unstructured.NestedString(u.Object, "spec", "chart", "version")
	version = cmp.Or(version, "*") // a chart from Git has none there
	from := c.valuesFrom(set.beside, u, cmp.Or(u.GetNamespace(), c.agent.DefaultNamespace))
	return c.fromRelease(ctx, set, o, rights, chart.Release{Name: name, Namespace: cmp.Or(namespace, c.agent.DefaultNamespace), Version: version}, from)
}

// fromRelease makes an agent of a HelmRelease object of the flux chart, by the release that
// is made of it and what it brings beside its own values.
func (c *checkout) fromRelease(ctx context.Context, set declaration, o flux1.Parsed, rights rightsFor, release chart.Release, from broughtValues) *declaredAgent {
	u, name, namespace := o.Manifest, release.Name, release.Namespace
	release.ConfigMap = func(name string) (map[string]string, bool) {
		if m, _ := configMapIn(set.beside, namespace, name); m != nil && namespace != "" {
			return m.Data, true
		}
		return nil, false
	}
	if namespace == "" {
		release.Cause = "the HelmRelease names no namespace"
	}
	given, _, _ := unstructured.NestedMap(u.Object, "spec", "values")
	if given == nil {
		given = map[string]any{}
	}
	var own any = floats(given)
	if from.own != nil {
		own = from.own
	}
	if p, open := own.(chart.Partial); open {
		own, from.unknown = p.Known, cmp.Or(from.unknown, p.Cause)
	}
	from.known = overlaid(from.known, own)
	var values any = from.known
	if from.unknown != "" {
		values = chart.Partial{Known: from.known, Cause: from.unknown}
	}
	versions, why := []string{release.Version}, ""
	if release.Version != "" { // a version, or a range of them
		versions, why = candidates(&terraform.Node{Kind: terraform.Scalar, Scalar: release.Version})
	}
	r := decodeAny(release, versions, why, values, &c.tried)
	place := func(name string) string {
		at := fileLine(o.File, c.lineOfValue(o, name))
		if where := from.place(name, given); where != "" {
			at = where
		}
		return strings.TrimSpace(at + " " + name)
	}
	for i := range r.Settings {
		for j := range r.Settings[i].From {
			from := &r.Settings[i].From[j]
			*from = migrate.Origin{Witness: "git", Where: place(from.Where)}
		}
	}
	d := &declared{at: fileLine(o.File, o.Line), beside: set.beside}
	d.Namespace, d.Release, d.ChartVersion = namespace, name, r.Version
	if len(versions) == 1 {
		d.ChartVersion = cmp.Or(r.Version, release.Version)
	}
	d.ID = cmp.Or(namespace, "unknown") + "/" + name
	d.setRendered(ctx, &r)
	if namespace != "" && d.ServiceAccount != "" {
		// What binds the account beside the release adds up.
		more, untold := rights(set, o, namespace, d.ServiceAccount).declaredFor(namespace, d.ServiceAccount)
		all := append(slices.Clone(d.Rights), more...)
		sum := confinement(all)
		known := untold == "" && (!slices.Contains(d.Unknown, "confinement") || d.grantedBeside && bindsItself(more))
		d.Unknown = slices.DeleteFunc(d.Unknown, func(name string) bool { return name == "confinement" })
		if known || sum.Kind == "cluster-admin" {
			d.Rights, d.Confinement = all, sum
		} else {
			d.Confinement = migrate.Confinement{}
			d.unknown("confinement")
			d.rightsUnknown = cmp.Or(untold, d.rightsUnknown)
		}
	}
	for _, f := range r.Findings {
		f.Where = place(f.Where)
		d.find(f)
	}
	a := &agent{Flux1Agent: d.Flux1Agent, config: r.Config}
	c.unsynced(a)
	return &declaredAgent{a, d.reported()}
}

// sourceGroup is that of the sources of Flux v2.
const sourceGroup = "source.toolkit.fluxcd.io"

func isHelmRelease2(u *unstructured.Unstructured) bool {
	return u.GetKind() == "HelmRelease" && u.GroupVersionKind().Group == "helm.toolkit.fluxcd.io"
}

// maxReleaseName is how long a name of Helm's may be; the helm-controller shortens longer ones.
const maxReleaseName = 53

// fromHelmRelease2 makes an agent of a HelmRelease of Flux v2 that is of the flux chart; nil
// if it is of another one, or if it is not known of which, or in which cluster, it is, which
// is reported (helm-controller: api/v2, helmrelease_types.go).
func (c *checkout) fromHelmRelease2(ctx context.Context, set declaration, o flux1.Parsed, rights rightsFor) *declaredAgent {
	u := o.Manifest
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, path...)...)
		return s
	}
	own := cmp.Or(u.GetNamespace(), c.agent.DefaultNamespace)
	name, from, version, inGit, files := c.chartOf2(set.beside, u, own)
	url := text("values", "git", "url")
	switch {
	case chartKind(name, from) == "" && from != "": // such as Bitnami's chart of Flux v2
		if chartKind(name, "") == "" {
			c.installer(o)
		}
		return nil
	case chartKind(name, from) != "flux", from == "" && url == "", inGit && name != "chart/flux" && url == "":
		c.installer(o)
		return nil
	case url == "" && laterThanFlux1(version):
		c.installer(o)
		return nil
	}
	say := func(format string, args ...any) {
		c.find(AgentByObject.About(c.agent.ID, migrate.ObjectID(u), fileLine(o.File, o.Line), resourceName(u)+" installs a chart, which is of chart "+flux1.DisplayURL(name)+", "+fmt.Sprintf(format, args...)))
	}
	release := chart.Release{Version: version}
	release.Name, release.Namespace = releaseOfHelmRelease2(u, own)
	spec, _ := u.Object["spec"].(map[string]any)
	switch {
	case text("kubeConfig", "configMapRef", "name") != "":
		say("in the cluster that ConfigMap %s tells of, which is not known", text("kubeConfig", "configMapRef", "name"))
		return nil
	case spec["kubeConfig"] != nil:
		say("in the cluster of the kubeconfig in Secret %s, which is not known", cmp.Or(text("kubeConfig", "secretRef", "name"), "(none is named)"))
		return nil
	case strings.Contains(release.Name+release.Namespace, "${") && c.mayFill(set, o):
		say("under a name, or in a namespace, that is not known: " + maySubstitute)
		return nil
	case len(release.Name) > maxReleaseName:
		say("under a name that is longer than Helm allows, and which the helm-controller shortens")
		return nil
	}
	if by := c.changedBy(set, o); by != "" {
		say("and %s", by)
		return nil
	}
	filled := c.mayFill(set, o)
	if filled && strings.Contains(version, "${") {
		release.Version = ""
	}
	values, _, _ := unstructured.NestedMap(u.Object, "spec", "values")
	if values == nil {
		values = map[string]any{}
	}
	given := floats(values)
	if filled {
		given = substituted(given)
	}
	brought := c.valuesFrom2(set.beside, u, own, files, given)
	d := c.fromRelease(ctx, set, o, rights, release, brought)
	at := fileLine(o.File, o.Line)
	var idle, once []string
	for _, k := range c.appliedBy(set, o) {
		switch name := c.nameOf(k.Parsed); {
		case c.leaves(madeOnce, set, k.Parsed, o):
			once = append(once, mayHaveMade(name))
		case suspended(k.Parsed):
			idle = append(idle, name)
		}
	}
	if len(once) > 0 {
		say("and %s: what is told of agent %s is what it says", firstFew(once), d.ID)
	}
	if len(idle) > 0 {
		say("and %s", suspendedBy(firstFew(idle), d.ID))
	}
	if suspended(o) {
		say("and is suspended: what is told of agent %s is what it says, and what is installed may be of an earlier commit, or nothing", d.ID)
	} else {
		d.found = append(d.found, managed(d.ID, at, fmt.Sprintf("Flux v2, by HelmRelease %s, keeps the Deployment of %s", strings.TrimPrefix(own+"/"+u.GetName(), "/"), d.ID), suspendHelmRelease))
	}
	if renderers, _, _ := unstructured.NestedSlice(u.Object, "spec", "postRenderers"); len(renderers) > 0 {
		d.found = append(d.found, ReleasePostRendered.Finding(d.ID, at, resourceName(u)+" has postRenderers, which change what the chart has rendered, and what they make of the agent is not known"))
	}
	return d
}

// releaseOfHelmRelease2 is releaseOfHelmRelease of a HelmRelease of Flux v2 in a namespace.
func releaseOfHelmRelease2(u *unstructured.Unstructured, own string) (name, namespace string) {
	name, _, _ = unstructured.NestedString(u.Object, "spec", "releaseName")
	target, _, _ := unstructured.NestedString(u.Object, "spec", "targetNamespace")
	return cmp.Or(name, strings.TrimPrefix(target+"-"+u.GetName(), "-")), cmp.Or(target, own)
}

// laterThanFlux1 reports whether a chart is of a later major version than any of Flux v1's.
func laterThanFlux1(version string) bool {
	v, err := semver.NewVersion(version)
	return err == nil && v.Major() > 1
}

// chartOf2 is the chart that a HelmRelease of Flux v2 names: its name, where it is from, as
// far as the repository holds the source, and its version; inGit is true of a folder of a Git
// repository, and files are those that take the place of the chart's own values.
func (c *checkout) chartOf2(objects []flux1.Parsed, u *unstructured.Unstructured, namespace string) (name, from, version string, inGit bool, files []string) {
	text := func(u *unstructured.Unstructured, path ...string) string {
		s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, path...)...)
		return s
	}
	chartSpec := []string{"chart", "spec"}
	if ref := text(u, "chartRef", "name"); ref != "" {
		at := cmp.Or(text(u, "chartRef", "namespace"), namespace)
		of := c.sourceIn(objects, text(u, "chartRef", "kind"), at, ref)
		switch {
		case of == nil:
			return ref, "", "", false, nil
		case of.GetKind() == "OCIRepository":
			version = cmp.Or(text(of, "ref", "semver"), text(of, "ref", "tag"))
			if text(of, "ref", "digest") != "" { // which comes before both
				version = ""
			}
			return path.Base(text(of, "url")), text(of, "url"), version, false, nil
		}
		u, namespace, chartSpec = of, at, nil // a HelmChart says it itself
	}
	spec := func(path ...string) string { return text(u, append(slices.Clone(chartSpec), path...)...) }
	name, version = spec("chart"), spec("version")
	of := c.sourceIn(objects, spec("sourceRef", "kind"), cmp.Or(spec("sourceRef", "namespace"), namespace), spec("sourceRef", "name"))
	if of != nil {
		from = cmp.Or(text(of, "url"), text(of, "endpoint"))
	}
	if substitutes(u) && strings.Contains(from, "${") {
		from = ""
	}
	files, _, _ = unstructured.NestedStringSlice(u.Object, append(append([]string{"spec"}, chartSpec...), "valuesFiles")...)
	if file := spec("valuesFile"); file != "" { // of v2beta1 and v2beta2, which is merged first
		files = append([]string{file}, files...)
	}
	switch spec("sourceRef", "kind") {
	case "GitRepository", "Bucket": // a folder, whose chart says its version itself
		return strings.Trim(path.Clean(name), "/"), from, "", true, files
	}
	if slices.Equal(files, []string{"values.yaml"}) { // which is the chart's own
		files = nil
	}
	return name, from, cmp.Or(version, "*"), false, files
}

// sourceIn is the one source of a kind and name among objects of Git; nil if none is, or
// several are that differ.
func (c *checkout) sourceIn(objects []flux1.Parsed, kind, namespace, name string) *unstructured.Unstructured {
	var found *unstructured.Unstructured
	for _, o := range objects {
		u := o.Manifest
		if u.GroupVersionKind().Group != sourceGroup || u.GetKind() != kind || u.GetName() != name || cmp.Or(u.GetNamespace(), c.agent.DefaultNamespace) != namespace {
			continue
		}
		if found != nil && !equality.Semantic.DeepEqual(found.Object["spec"], u.Object["spec"]) {
			return nil
		}
		found = u
	}
	return found
}

// literally has what Helm reads as the syntax of a value stand for itself.
var literally = strings.NewReplacer(`\`, `\\`, ",", `\,`, "[", `\[`, "]", `\]`, "{", `\{`, "}", `\}`)

// valuesFrom2 reads what a HelmRelease of Flux v2 merges before its own values, the later over
// the earlier: all of a key, or one value that it sets at a path (helm-controller:
// api/v2, reference_types.go, ValuesReference; fluxcd/pkg: chartutil, values.go). Before all of
// these come files.
//
// A path is set after the own values were merged in, and these once more at the end: which of the
// two stays hangs on whether the mapping that is set was the own values' alone, and so is one with
// theirs. So it is done here in the same way, in own.
func (c *checkout) valuesFrom2(objects []flux1.Parsed, u *unstructured.Unstructured, namespace string, files []string, own any) broughtValues {
	out := broughtValues{known: map[string]any{}, own: own}
	inline, _ := own.(map[string]any)
	if p, open := own.(chart.Partial); open {
		inline = p.Known
	}
	var causes []string
	notKnown := func(cause string) {
		out.known, out.places, out.each = map[string]any{}, nil, nil
		causes = append(causes, cause)
	}
	if len(files) > 0 {
		notKnown("the HelmRelease, or the HelmChart that it names, takes values of files (valuesFiles), which are not read: " + few(files))
	}
	list, _, _ := unstructured.NestedSlice(u.Object, "spec", "valuesFrom")
	for i, x := range list {
		m, _ := x.(map[string]any)
		kind, name := scalarText(m["kind"]), scalarText(m["name"])
		at := fmt.Sprintf("spec.valuesFrom[%d] of the HelmRelease brings values of ", i)
		if kind != "ConfigMap" {
			notKnown(at + kind + " " + name + ", which are in the cluster")
			continue
		}
		c.look(len(objects) / 10)
		from, o := configMapIn(objects, namespace, name)
		if from == nil {
			notKnown(at + "ConfigMap " + name + ", of which the repository does not hold exactly one")
			continue
		}
		key := cmp.Or(scalarText(m["valuesKey"]), "values.yaml")
		content, has := from.Data[key]
		c.look(len(content) / 10)
		if !has && m["optional"] == true {
			continue
		}
		values := map[string]any{}
		var err error
		target := scalarText(m["targetPath"])
		set := func(into map[string]any) error {
			switch {
			case m["literal"] == true:
				return strvals.ParseIntoString(target+"="+literally.Replace(content), into)
			case len(content) > 0 && strings.Contains(`"'`, content[:1]) && strings.HasSuffix(content, content[:1]):
				return strvals.ParseIntoString(target+"="+strings.Trim(content, `'"`), into)
			}
			return strvals.ParseInto(target+"="+content, into)
		}
		switch {
		case target == "":
			err = sigsyaml.Unmarshal([]byte(content), &values)
			values, _ = floats(values).(map[string]any)
		case strings.Contains(target, "["): // of a list that others give
			has = false
		default:
			err = set(values)
			has = has && len(values) > 0 // nothing, where the path names nothing
		}
		if !has || err != nil {
			notKnown(at + "key " + key + " of ConfigMap " + name + ", which holds none that can be read")
			continue
		}
		its, whole := values, true
		if substitutes(o.Manifest) {
			its, whole = substituted(values).(map[string]any)
		}
		if !whole {
			notKnown(at + "ConfigMap " + name + ", of which not all names are known: " + maySubstitute)
			continue
		}
		if target == "" {
			out.known = overlaid(out.known, its)
		} else {
			path := onePath(values)
			_, twice, err := unstructured.NestedFieldNoCopy(inline, path...)
			hides := strings.Contains(content, "${") && substitutes(o.Manifest)
			out.known = overlaid(out.known, inline)
			_, _, blocked := unstructured.NestedFieldNoCopy(out.known, path...)
			switch {
			case err != nil || twice && (len(causes) > 0 || hides):
				setAt(inline, path, chart.Unknown{Cause: at + "ConfigMap " + name + " for what the HelmRelease gives itself, and which of the two stays is not known"})
			case hides || blocked != nil:
				out.known = overlaid(out.known, its)
			default:
				_ = set(out.known) // it was set once above
			}
		}
		out.places, out.each = append(out.places, fileLine(o.File, o.Line)), append(out.each, its)
	}
	out.unknown = firstFew(causes)
	return out
}

// onePath leads to the first value in mappings.
func onePath(in map[string]any) (path []string) {
	for len(in) > 0 {
		name := slices.Sorted(maps.Keys(in))[0]
		path = append(path, name)
		in, _ = in[name].(map[string]any)
	}
	return path
}

// setAt sets a value at a path into mappings, over whatever else stands there.
func setAt(in map[string]any, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		next, isMap := in[name].(map[string]any)
		if !isMap {
			in[name] = v // and nothing of it is known
			return
		}
		in = next
	}
	in[path[len(path)-1]] = v
}

// broughtValues are those that a HelmRelease brings beside its own.
type broughtValues struct {
	// known are those of the ConfigMaps that are at hand, which stand at places, with
	// each one's own values, in the order in which they are merged.
	known  map[string]any
	places []string
	each   []map[string]any
	// unknown says what brings others that are not known.
	unknown string
	// own are the HelmRelease's own values after what is set among them; nil if they are as
	// they are written.
	own any
}

// place is that of a value which the last of the ConfigMaps gives; empty if the
// HelmRelease itself, or none, does.
func (b *broughtValues) place(name string, own map[string]any) string {
	name, _, _ = strings.Cut(name, "[") // a list is one value
	path := strings.Split(name, ".")
	now, _ := b.own.(map[string]any)
	if v, has, err := unstructured.NestedFieldNoCopy(own, path...); has || err != nil {
		if set, _, _ := unstructured.NestedFieldNoCopy(now, path...); now == nil || reflect.DeepEqual(floats(v), set) {
			return ""
		}
	}
	for i, values := range slices.Backward(b.each) {
		if _, has, err := unstructured.NestedFieldNoCopy(values, path...); has && err == nil {
			return b.places[i]
		}
	}
	return ""
}

// valuesFrom reads what a HelmRelease of the helm-operator merges before its own values,
// the later over the earlier: of what may set any value, those before it are not known
// (helm-operator: pkg/release/values.go; pkg/apis/helm.fluxcd.io/v1/types_helmrelease.go).
func (c *checkout) valuesFrom(objects []flux1.Parsed, u *unstructured.Unstructured, namespace string) broughtValues {
	out := broughtValues{known: map[string]any{}}
	var causes []string
	notKnown := func(cause string) {
		out.known, out.places, out.each = map[string]any{}, nil, nil
		causes = append(causes, cause)
	}
	secrets, _, _ := unstructured.NestedSlice(u.Object, "spec", "valueFileSecrets")
	for _, x := range secrets {
		m, _ := x.(map[string]any)
		name, _ := m["name"].(string)
		notKnown("spec.valueFileSecrets of the HelmRelease brings values of Secret " + name + ", which are in the cluster")
	}
	list, _, _ := unstructured.NestedSlice(u.Object, "spec", "valuesFrom")
	for i, x := range list {
		m, _ := x.(map[string]any)
		at := fmt.Sprintf("spec.valuesFrom[%d] of the HelmRelease brings values of ", i)
		text := func(path ...string) string {
			s, _, _ := unstructured.NestedString(m, path...)
			return s
		}
		switch {
		case m["configMapKeyRef"] != nil:
			name, key := text("configMapKeyRef", "name"), cmp.Or(text("configMapKeyRef", "key"), "values.yaml")
			c.look(len(objects) / 10)
			from, o := configMapIn(objects, cmp.Or(text("configMapKeyRef", "namespace"), namespace), name)
			if from == nil {
				notKnown(at + "ConfigMap " + name + ", of which the repository does not hold exactly one")
				continue
			}
			content, has := from.Data[key]
			c.look(len(content) / 10)
			if optional, _, _ := unstructured.NestedBool(m, "configMapKeyRef", "optional"); !has && optional {
				continue
			}
			var values map[string]any
			if err := sigsyaml.Unmarshal([]byte(content), &values); !has || err != nil {
				notKnown(at + "key " + key + " of ConfigMap " + name + ", which holds none that can be read")
				continue
			}
			its, _ := floats(values).(map[string]any)
			out.known = overlaid(out.known, its)
			out.places, out.each = append(out.places, fileLine(o.File, o.Line)), append(out.each, its)
		case m["secretKeyRef"] != nil:
			notKnown(at + "Secret " + text("secretKeyRef", "name") + ", which are in the cluster")
		case m["externalSourceRef"] != nil:
			notKnown(at + flux1.DisplayURL(text("externalSourceRef", "url")) + ", which is not read")
		case m["chartFileRef"] != nil:
			notKnown(at + "file " + text("chartFileRef", "path") + " of the chart, which is not read")
		default:
			notKnown(at + "something that is not known here")
		}
	}
	out.unknown = firstFew(causes)
	return out
}

// overlaid are values with others over them, as the helm-operator and Helm merge them:
// mappings are merged, and all else takes the place of what was there.
func overlaid(below map[string]any, over any) map[string]any {
	out := maps.Clone(below)
	top, _ := over.(map[string]any)
	for k, v := range top {
		under, isMap := out[k].(map[string]any)
		if above, both := v.(map[string]any); isMap && both {
			v = overlaid(under, above)
		}
		out[k] = v
	}
	return out
}

// installerGroups are the API groups of objects from which something installs a
// chart: Flux v2, Argo CD, k3s, Crossplane.
var installerGroups = []string{"helm.toolkit.fluxcd.io", "argoproj.io", "helm.cattle.io", "helm.crossplane.io"}

func isInstaller(u *unstructured.Unstructured) bool {
	return slices.Contains(installerGroups, u.GroupVersionKind().Group)
}

// installer names an object from which something may install an agent that is not
// read from it.
func (c *checkout) installer(o flux1.Parsed) {
	spec, _ := o.Manifest.Object["spec"].(map[string]any)
	if what := installs(spec, 0); what != "" {
		c.find(AgentByObject.About(c.agent.ID, migrate.ObjectID(o.Manifest), fileLine(o.File, o.Line), fmt.Sprintf("%s installs a chart, %s", resourceName(o.Manifest), what)))
	}
}

// floats makes numbers the type in which Helm has those of YAML.
func floats(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = floats(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = floats(e)
		}
		return out
	case int64:
		return float64(v)
	}
	return v
}

// lineOfValue finds a value's line in a HelmRelease by the names on its path,
// one below the other; the document's own where that does not lead to it.
func (c *checkout) lineOfValue(o flux1.Parsed, key string) int {
	lines := c.linesIn(o.File)
	if lines == nil || o.Line == 0 {
		return o.Line
	}
	key = strings.TrimPrefix(strings.TrimPrefix(key, "values "), "values.")
	return max(o.Line, lines.of(o.Line, append([]string{"values"}, strings.Split(key, ".")...)))
}
