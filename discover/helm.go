package discover

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxover/fluxover/migrate/flux1/chart"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	sigsyaml "sigs.k8s.io/yaml"
)

// maxRelease bounds an unpacked release; Secrets hold 1 MiB packed.
const maxRelease = 64 << 20

// release is what is read of a Helm release.
type release struct {
	name, namespace string
	// secret is where it was read, "namespace/name".
	secret       string
	chart        string
	chartVersion string
	// owned holds "Kind/namespace/name" of every object of its manifest.
	owned map[string]bool
	// helmOperator is the Deployment of a helm-operator in it.
	helmOperator string
	// values are those that the user gave. They may hold secrets, and are kept
	// only for what the chart makes of them.
	values map[string]any
}

func (r *release) owns(kind, namespace, name string) bool {
	return r != nil && r.owned[kind+"/"+namespace+"/"+name]
}

// errNoRelease: no Secret of Helm's holds the release.
var errNoRelease = errors.New("no release Secret")

// errCorrupt: the Secret is there and cannot be read as a release.
var errCorrupt = errors.New("corrupt release")

// readRelease reads the newest revision of a release from Helm 3's storage
// (Secrets with the labels owner=helm and name). It returns the release's
// Secret by name also with errCorrupt.
func (w *witness) readRelease(ctx context.Context, namespace, name string) (*release, error) {
	secrets, err := w.kube.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=" + name})
	if err != nil {
		return nil, fmt.Errorf("list release secrets of %s/%s: %w", namespace, name, err)
	}
	var newest *corev1.Secret
	best := -1
	for i := range secrets.Items {
		if n, err := strconv.Atoi(secrets.Items[i].Labels["version"]); err == nil && n > best {
			best, newest = n, &secrets.Items[i]
		}
	}
	if newest == nil {
		return nil, errNoRelease
	}
	r, err := decodeRelease(newest.Data["release"])
	if err != nil {
		return &release{name: name, namespace: namespace, secret: namespace + "/" + newest.Name}, err
	}
	r.name, r.namespace, r.secret = name, namespace, namespace+"/"+newest.Name
	return r, nil
}

// decodeRelease unpacks base64 of gzip (or, from very old Helm, nothing) of
// JSON. Its errors never quote the content, which holds the user's values.
func decodeRelease(data []byte) (*release, error) {
	raw, err := base64.StdEncoding.DecodeString(string(data))
	if err != nil || len(raw) == 0 {
		return nil, fmt.Errorf("%w: not base64", errCorrupt)
	}
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b, 0x08}) {
		zr, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, fmt.Errorf("%w: not gzip", errCorrupt)
		}
		if raw, err = io.ReadAll(io.LimitReader(zr, maxRelease+1)); err != nil {
			return nil, fmt.Errorf("%w: gzip ends too early", errCorrupt)
		}
		if len(raw) > maxRelease {
			return nil, fmt.Errorf("%w: larger than %d bytes", errCorrupt, maxRelease)
		}
	}
	var stored struct {
		Namespace string
		Chart     struct {
			Metadata struct{ Name, Version string }
		}
		Manifest string
		Config   map[string]any
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&stored); err != nil {
		return nil, fmt.Errorf("%w: not JSON", errCorrupt)
	}
	if stored.Chart.Metadata.Version == "" || stored.Manifest == "" {
		return nil, fmt.Errorf("%w: it names no chart or holds no manifest", errCorrupt)
	}
	r := &release{chart: stored.Chart.Metadata.Name, chartVersion: stored.Chart.Metadata.Version, owned: map[string]bool{}}
	r.values, _ = numbers(stored.Config).(map[string]any)
	for _, doc := range strings.Split("\n"+stored.Manifest, "\n---") {
		var o struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
			Spec     struct {
				Template struct {
					Spec struct{ Containers []struct{ Image string } }
				}
			}
		}
		if err := sigsyaml.Unmarshal([]byte(doc), &o); err != nil || o.Kind == "" {
			// Of other kinds, spec may be of another shape: take the head alone.
			var head struct {
				Kind     string
				Metadata struct{ Name, Namespace string }
			}
			if sigsyaml.Unmarshal([]byte(doc), &head) != nil || head.Kind == "" {
				continue
			}
			o.Kind, o.Metadata = head.Kind, head.Metadata
		}
		ns := o.Metadata.Namespace
		if ns == "" && !strings.HasPrefix(o.Kind, "Cluster") {
			ns = stored.Namespace
		}
		r.owned[o.Kind+"/"+ns+"/"+o.Metadata.Name] = true
		for _, c := range o.Spec.Template.Spec.Containers {
			if o.Kind == "Deployment" && imageName(c.Image) == "helm-operator" {
				r.helmOperator = o.Metadata.Name
			}
		}
	}
	return r, nil
}

// numbers gives values the types that Helm has them in when it prints them:
// whole numbers as in --set, since one that was given as a larger float was
// printed with an exponent, with which fluxd does not start.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // JSON's numbers are floats; a larger one is infinite
		return f
	}
	return v
}

// readValues compares the values of the agent's release with its live
// arguments, which count, and accounts for every value that was given.
func (w *witness) readValues(a *agent) {
	r := a.release
	if r == nil || len(r.values) == 0 || chartKind(r.chart, "") != "flux" {
		return
	}
	rendered := chart.Decode(chart.Release{Name: r.name, Namespace: r.namespace, Version: r.chartVersion}, r.values)
	for i := range rendered.Settings {
		for j := range rendered.Settings[i].From {
			if o := &rendered.Settings[i].From[j]; !strings.Contains(o.Where, "chart "+rendered.Version) {
				o.Where = "Secret/" + r.secret + " " + o.Where
			}
		}
	}
	if rendered.Version != "" && rendered.Renders && !slices.Contains(a.Unknown, "git.url") {
		for _, x := range compareSettings(a.Settings, rendered.Settings) {
			w.find(EditedByHand.About(a.ID, x.name, x.where, fmt.Sprintf("%s of %s is %s live, and %s by the values of its release", x.name, a.ID, x.left, x.right)))
		}
	}
	a.Settings = combine(a.Settings, rendered.Settings, "the live arguments do not have it, and they count")
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
