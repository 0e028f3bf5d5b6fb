package discover

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// release is the Helm release of an agent.
type release struct {
	*helm.Record
	name string
	// revision that is live: the one that was read.
	revision helm.Revision
	// revisions are all that Helm keeps, the newest first.
	revisions []helm.Revision
}

func (r *release) owns(kind, namespace, name string) bool {
	return r != nil && r.Owns(kind, namespace, name)
}

// readHelm finds the agent's release in Helm's storage and reads the revision
// that is live.
func (w *witness) readHelm(ctx context.Context, a *agent, storage *helm.Storage) error {
	namespace, name := releaseOf(a.deployment.ObjectMeta)
	if name == "" {
		return nil
	}
	a.ChartVersion = chartVersionOf(a.deployment.Labels)
	for _, revisions := range storage.Of(namespace, name) {
		live := helm.Live(revisions)
		mine := live.Helm == 3 && live.Namespace == namespace
		record, err := w.opts.Releases.Open(ctx, w.kube, live)
		switch {
		case errors.Is(err, helm.ErrGone):
			continue // by an upgrade just now, or by "helm uninstall"
		case errors.Is(err, helm.ErrCorrupt) && (mine || live.Helm == 2):
			w.find(ReleaseCorrupt.Finding(a.ID, live.Place(), fmt.Sprintf("%s: %v", live.Place(), err)))
			return nil
		case errors.Is(err, helm.ErrCorrupt):
			continue // somebody's of the same name
		case isForbidden(err):
			w.forbidden("get", strings.ToLower(live.Kind)+"s", live.Namespace, a.ID, unknownRelease(namespace, name))
			return nil
		case err != nil:
			return fmt.Errorf("read the Helm release %s/%s: %w", namespace, name, err)
		case !mine && !record.Owns("Deployment", a.Namespace, a.Workload):
			continue
		}
		a.release = &release{Record: record, name: name, revision: live, revisions: revisions}
		if chartKind(record.Chart, "") == "flux" {
			a.ChartVersion = record.ChartVersion
		}
		w.judgeRelease(a)
		return nil
	}
	here, elsewhere := storage.Unread[namespace], storage.Unread[""]
	switch {
	case len(here) > 0:
		for _, resource := range here {
			w.forbidden("list", resource, namespace, a.ID, unknownRelease(namespace, name))
		}
	case len(elsewhere) > 0:
		w.find(ReleaseMissing.Finding(a.ID, "namespace "+namespace, fmt.Sprintf("nothing in namespace %s holds release %s, and you may not list %s in others", namespace, name, strings.Join(elsewhere, " and "))))
	default:
		w.find(ReleaseMissing.Finding(a.ID, "namespace "+namespace, fmt.Sprintf("no Secret and no ConfigMap holds release %s/%s, in any namespace; Helm with HELM_DRIVER=sql keeps them outside of the cluster", namespace, name)))
	}
	return nil
}

// openReleases opens what readHelm will want for many agents.
func (w *witness) openReleases(ctx context.Context, found []*agent, storage *helm.Storage) {
	var live []helm.Revision
	for _, a := range found {
		namespace, name := releaseOf(a.deployment.ObjectMeta)
		if all := storage.Of(namespace, name); name != "" && len(all) > 0 {
			live = append(live, helm.Live(all[0])) // the one that is asked first
		}
	}
	if w.opts.Releases == nil {
		w.opts.Releases = &helm.Opened{}
	}
	w.opts.Releases.OpenDeployed(ctx, w.kube, live)
}

func unknownRelease(namespace, name string) string {
	return fmt.Sprintf("Helm release %s/%s: its values, what belongs to it, and whether the Deployment was edited since; the Deployment alone counts, with the chart's version that its labels hold", namespace, name)
}

// judgeRelease reports what is odd about a release and its newest revision.
func (w *witness) judgeRelease(a *agent) {
	r := a.release
	live, newest := r.revision, r.revisions[0]
	id := live.Namespace + "/" + r.name
	if live.Helm == 2 {
		w.find(Helm2Release.Finding(a.ID, live.Place(), fmt.Sprintf("release %s is one of Helm 2, of chart %s %s, revision %d (%s)", r.name, r.Chart, r.ChartVersion, live.Number, live.Status)))
	} else if live.Namespace != a.Namespace {
		w.find(ReleaseElsewhere.Finding(a.ID, live.Place(), fmt.Sprintf("Helm keeps the agent's release in namespace %s, and its Deployment is in %s", live.Namespace, a.Namespace)))
	}
	counts := ""
	if live.Number != newest.Number {
		counts = fmt.Sprintf("; revision %d, which is deployed, is compared with what is live", live.Number)
	}
	switch {
	case newest.Pending() || newest.Status == helm.Uninstalling:
		w.find(ReleasePending.Finding(a.ID, newest.Place(), fmt.Sprintf("revision %d of release %s is %s%s", newest.Number, id, newest.Status, counts)))
	case newest.Status != helm.Deployed:
		w.find(ReleaseNotDeployed.Finding(a.ID, newest.Place(), fmt.Sprintf("revision %d of release %s is %s%s", newest.Number, id, statusWord(newest.Status), counts)))
	}
	if chartKind(r.Chart, "") != "flux" {
		w.find(ReleaseOfOtherChart.Finding(a.ID, live.Place(), fmt.Sprintf("release %s is of chart %s %s", id, r.Chart, r.ChartVersion)))
	}
	for _, d := range r.Deployments() {
		for _, c := range d.Spec.Template.Spec.Containers {
			if imageName(c.Image) == "helm-operator" {
				w.find(HelmOperator.Finding(a.ID, "Deployment/"+d.Namespace+"/"+d.Name, "the release also runs a helm-operator"))
			}
		}
	}
}

// statusWord is a status, or what stands for one that Helm did not write.
func statusWord(status string) string {
	if status == "" {
		return "of no status"
	}
	return status
}

// readRelease compares what is live with what the release's manifest and its
// values say, and accounts for all they give. What is live counts, then the
// manifest, then the values with that chart version's defaults.
func (w *witness) readRelease(ctx context.Context, a *agent) error {
	if a.release == nil {
		return nil
	}
	place := a.release.revision.Place()
	sides := []side{{a.Settings, "live", migrate.Origin{Witness: "cluster", Where: a.where("")}}}
	settings := a.Settings
	edited := map[string]bool{}
	rendered, err := w.rendered(ctx, a)
	if err != nil {
		return err
	}
	if rendered != nil {
		sides = append(sides, side{rendered, "in the manifest of its release", migrate.Origin{Witness: "cluster", Where: place + " manifest"}})
		settings = combine(settings, rendered, notLive)
	}
	if values := a.release.settings(); values != nil {
		if values.Renders && values.Version != "" {
			sides = append(sides, side{values.Settings, "by the values of its release", migrate.Origin{Witness: chart.Witness, Where: place}})
		}
		settings = combine(settings, values.Settings, notLive)
	} else {
		settings = slices.Concat(settings, a.release.otherSettings())
	}
	if slices.Contains(a.Unknown, "git.url") {
		sides = nil // its arguments are hidden in a shell's command
	}
	if len(sides) > 1 {
		for _, d := range differences(sides[0], sides[1]) {
			edited[d.name] = true
		}
	}
	for _, d := range differences(sides...) {
		code := EditedByHand
		if !edited[d.name] {
			code = RenderedOtherwise
		}
		w.find(code.About(a.ID, d.name, d.where, fmt.Sprintf("%s of %s is %s", d.name, a.ID, d.says)))
	}
	a.Settings = settings
	return nil
}

// settings is what the chart makes of the values that the release was given;
// nil if it is of another chart or was given none.
func (r *release) settings() *chart.Rendered {
	if len(r.Values) == 0 || chartKind(r.Chart, "") != "flux" {
		return nil
	}
	namespace := r.Namespace
	if namespace == "" {
		namespace = r.revision.Namespace
	}
	out := chart.Decode(chart.Release{Name: r.name, Namespace: namespace, Version: r.ChartVersion}, runtime.DeepCopyJSON(r.Values))
	for i := range out.Settings {
		for j := range out.Settings[i].From {
			if o := &out.Settings[i].From[j]; !strings.Contains(o.Where, "chart "+out.Version) {
				o.Where = r.revision.Place() + " " + o.Where
			}
		}
	}
	return &out
}

// maxOtherValues bounds how many values of another chart are listed.
const maxOtherValues = 500

// otherSettings accounts for the values of a release whose chart is not the flux
// chart: what becomes of them in its templates is not known.
func (r *release) otherSettings() []migrate.Setting {
	var out []migrate.Setting
	add := func(name, value string) {
		out = append(out, migrate.Setting{
			Name: "values." + name, Value: value, Fate: migrate.Unknown, To: "the live arguments and the release's manifest, which count",
			Why:  fmt.Sprintf("what chart %s makes of it is not known", r.Chart),
			From: []migrate.Origin{{Witness: chart.Witness, Where: r.revision.Place() + " " + name}},
		})
	}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		m, _ := v.(map[string]any)
		switch {
		case len(out) > maxOtherValues:
		case len(out) == maxOtherValues:
			add("*", "")
		case len(m) > 0:
			for _, k := range sortedNames(m) {
				walk(strings.TrimPrefix(at+"."+k, "."), m[k])
			}
		case v == nil:
			add(at, "")
		default:
			add(at, "***")
		}
	}
	if len(r.Values) > 0 && chartKind(r.Chart, "") != "flux" {
		walk("", r.Values)
	}
	return out
}

// rendered gives the settings of the agent's command line as the manifest of
// its release has it, and reports in what else of it the Deployment differs;
// nil if the manifest does not hold the agent.
func (w *witness) rendered(ctx context.Context, a *agent) ([]migrate.Setting, error) {
	d := a.release.Deployment(a.Namespace, a.Workload)
	if d == nil {
		return nil, nil
	}
	container := fluxd(d)
	if container == nil {
		return nil, nil
	}
	place := a.release.revision.Place() + " manifest"
	w.compareWorkloads(a, d, container, place)
	args, offset, _ := commandLine(container)
	env := w.environmentOf(a.Namespace, a.ID, &d.Spec.Template.Spec, container)
	env.secrets, env.maps = a.env.secrets, a.env.maps
	expanded, _, err := env.expandArguments(ctx, args)
	if err != nil {
		return nil, err
	}
	_, settings, _ := flux1.ParseArgs(expanded)
	for i := range settings {
		for j := range settings[i].From {
			settings[i].From[j].Where = place + " " + argument(settings[i].From[j].Where, offset)
		}
	}
	return settings, nil
}

// imageName is the last part of an image's repository, without tag and
// digest: "flux" of "registry:5000/mirror/flux:1.25.4".
func imageName(image string) string {
	name, _, _ := strings.Cut(path.Base(image), "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// releaseOf names the Helm release that a Deployment's labels and annotations
// speak of; empty if they speak of none.
func releaseOf(meta metav1.ObjectMeta) (namespace, name string) {
	if n := meta.Annotations["meta.helm.sh/release-name"]; n != "" {
		ns := meta.Annotations["meta.helm.sh/release-namespace"]
		if ns == "" {
			ns = meta.Namespace
		}
		return ns, n
	}
	if h := meta.Labels["heritage"]; (h == "Helm" || h == "Tiller") && meta.Labels["release"] != "" {
		return meta.Namespace, meta.Labels["release"]
	}
	if meta.Labels["app.kubernetes.io/managed-by"] == "Helm" && meta.Labels["app.kubernetes.io/instance"] != "" {
		return meta.Namespace, meta.Labels["app.kubernetes.io/instance"]
	}
	return "", ""
}

// chartVersionOf reads the chart's version from a Deployment's labels, for
// releases that cannot be read.
func chartVersionOf(labels map[string]string) string {
	for _, key := range []string{"helm.sh/chart", "chart"} {
		if v, ok := strings.CutPrefix(labels[key], "flux-"); ok {
			return v
		}
	}
	return ""
}

func isForbidden(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) }
