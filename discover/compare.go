package discover

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// side is what one source says of an agent's command line.
type side struct {
	settings []migrate.Setting
	// says ends a sentence about a value: "live".
	says string
	// origin is the source as a whole, for what it does not give.
	origin migrate.Origin
}

// difference is a flag about which sides of one agent differ.
type difference struct {
	name string
	// says names the value of every reading: `"a" live, and "b" in Terraform`.
	says string
	// where names the places of all sides.
	where string
}

// notLive is why a setting has no effect that only weaker sources have.
const notLive = "the live arguments do not have it, and they count"

// of finds a flag's setting. One that was taken over from a weaker source is
// not the side's own.
func (r side) of(name string) (migrate.Setting, bool) {
	i := slices.IndexFunc(r.settings, func(s migrate.Setting) bool { return s.Name == name && s.Why != notLive })
	if i < 0 {
		return migrate.Setting{}, false
	}
	return r.settings[i], true
}

// differences compares what sides of an agent's command line say of each
// flag. A flag that one of them does not give has the daemon's default there.
// Values that are not shown are compared by their digests. What one does not know says
// nothing; of flags that fluxd does not know it counts only whether they are given.
func differences(sides ...side) []difference {
	var names []string
	for _, flag := range flux1.Flags {
		names = append(names, "--"+flag.Name)
	}
	strange := map[string]bool{}
	for _, r := range sides {
		for _, s := range r.settings {
			if strings.HasPrefix(s.Name, "-") && !slices.Contains(names, s.Name) {
				strange[s.Name] = true
			}
		}
	}
	var out []difference
	for _, name := range slices.Concat(names, slices.Sorted(maps.Keys(strange))) {
		if d := differenceOf(name, sides); d != nil {
			out = append(out, *d)
		}
	}
	return out
}

func differenceOf(name string, sides []side) *difference {
	flag := flux1.FlagNamed(strings.TrimPrefix(name, "--"))
	var values, digests, words, says []string
	var places [][]migrate.Origin
	given, hidden := 0, false
	for _, r := range sides {
		s, ok := r.of(name)
		value, word := s.Value, ""
		var digest string
		switch {
		case flag == nil && ok:
			value, word = "given", "given"
		case flag == nil:
			value, word = "", "not given"
		case s.Fate == migrate.Unknown:
			continue
		case !ok:
			value = flag.Default
			word, digest = shown(value, ok), migrate.Digest(value)
		default:
			var known bool
			if digest, known = s.Compared(); !known {
				continue
			}
			word, hidden = shown(value, ok), hidden || s.Hidden()
		}
		from := []migrate.Origin{r.origin}
		if ok {
			given, from = given+1, s.From
		}
		values, digests, words, says, places = append(values, value), append(digests, digest), append(words, word), append(says, word+" "+r.says), append(places, from)
	}
	if hidden {
		values = digests
	}
	same := func(v string) bool { return v == values[0] || flag != nil && sameValue(flag.Type, v, values[0]) }
	if len(values) < 2 || given == 0 || !slices.ContainsFunc(values, func(v string) bool { return !same(v) }) {
		return nil
	}
	last := len(says) - 1
	d := &difference{name: name, says: strings.Join(says[:last], ", ") + ", and " + says[last], where: origins(places...)}
	for i := range words {
		if hidden && words[i] == words[0] && values[i] != values[0] {
			d.says += ", which differ in what is not shown"
			break
		}
	}
	return d
}

// sameValue compares two values of a flag as fluxd reads them.
func sameValue(kind flux1.FlagType, a, b string) bool {
	if a == b {
		return true
	}
	if kind == flux1.TypeDuration {
		x, errX := time.ParseDuration(a)
		y, errY := time.ParseDuration(b)
		return errX == nil && errY == nil && x == y
	}
	return false
}

func shown(value string, given bool) string {
	switch {
	case !given && value == "":
		return "not given"
	case !given:
		return fmt.Sprintf("%q (the daemon's default)", value)
	}
	return fmt.Sprintf("%q", value)
}

// origins names the places of all sides.
func origins(lists ...[]migrate.Origin) string {
	var out []string
	for _, list := range lists {
		for _, o := range list {
			if s := o.Witness + ": " + o.Where; !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return strings.Join(out, "; ")
}

// compareWorkloads reports in what the agent's Deployment differs from the
// manifest of its release, beside the arguments: whatever of it discovery
// reads. Values of variables are never told.
func (w *witness) compareWorkloads(a *agent, rendered *appsv1.Deployment, container *corev1.Container, place string) {
	live, now := partsOf(a.deployment, a.env.container), partsOf(rendered, container)
	for _, name := range slices.Sorted(maps.Keys(joined(live, now))) {
		l, r := live[name], now[name]
		if l == r || name == "replicas" && l.value == "0" { // that it is stopped has a finding of its own
			continue
		}
		says := fmt.Sprintf("%s live, and %s in the manifest of its release", l.text(), r.text())
		if l.text() == r.text() {
			says = "another live than in the manifest of its release"
		}
		w.find(EditedByHand.About(a.ID, name, "cluster: "+a.where("")+"; cluster: "+place, fmt.Sprintf("%s of %s is %s", name, a.ID, says)))
	}
}

// part is one thing that a Deployment says; the zero part is not there.
type part struct {
	value string
	// shown is what may be told of it; empty means the value.
	shown string
}

func (p part) text() string {
	switch {
	case p == part{}:
		return "not given"
	case p.shown != "":
		return p.shown
	}
	return fmt.Sprintf("%q", p.value)
}

func joined(a, b map[string]part) map[string]part {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// partsOf takes a Deployment apart, with the defaults that the API server
// fills in.
func partsOf(d *appsv1.Deployment, c *corev1.Container) map[string]part {
	pod := &d.Spec.Template.Spec
	parts := map[string]part{
		"image":          {value: c.Image},
		"replicas":       {value: fmt.Sprint(replicas(d))},
		"serviceAccount": {value: accountOf(pod)},
	}
	if len(c.Command) > 0 {
		parts["command"] = part{value: strings.Join(c.Command, "\x00"), shown: "a command of its own"}
	}
	for _, v := range c.Env {
		parts["env."+v.Name] = variablePart(v)
	}
	for _, f := range c.EnvFrom {
		if name := envFromName(f); name != "" {
			parts["envFrom."+name] = part{value: f.Prefix, shown: "given"}
		}
	}
	for _, m := range c.VolumeMounts {
		if at := path.Clean(m.MountPath); !strings.HasPrefix(at, "/var/run/secrets/") { // put there by admission
			parts["volume."+at] = part{value: volumeSource(pod, m)}
		}
	}
	for _, other := range slices.Concat(pod.InitContainers, pod.Containers) {
		if other.Name != c.Name {
			parts["container."+other.Name] = part{value: other.Image}
		}
	}
	all := asked(c)
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q := all[name]; q.Cmp(resource.Quantity{}) > 0 {
			parts["requests."+string(name)] = part{value: q.String()}
		}
	}
	return parts
}

func variablePart(v corev1.EnvVar) part {
	switch from := v.ValueFrom; {
	case from == nil:
		return part{value: "=" + v.Value, shown: "a plain value"}
	case from.SecretKeyRef != nil:
		return part{value: "key " + from.SecretKeyRef.Key + " of Secret " + from.SecretKeyRef.Name}
	case from.ConfigMapKeyRef != nil:
		return part{value: "key " + from.ConfigMapKeyRef.Key + " of ConfigMap " + from.ConfigMapKeyRef.Name}
	case from.FieldRef != nil:
		return part{value: "field " + from.FieldRef.FieldPath}
	}
	return part{value: "of the pod's resources"}
}

// envFromName names the Secret or ConfigMap whose keys a container gets.
func envFromName(f corev1.EnvFromSource) string {
	switch {
	case f.SecretRef != nil:
		return "Secret " + f.SecretRef.Name
	case f.ConfigMapRef != nil:
		return "ConfigMap " + f.ConfigMapRef.Name
	}
	return ""
}

// volumeSource says what stands behind a mount.
func volumeSource(pod *corev1.PodSpec, m corev1.VolumeMount) string {
	for _, v := range pod.Volumes {
		if v.Name != m.Name {
			continue
		}
		what := "volume " + v.Name
		switch {
		case v.Secret != nil:
			what = "Secret " + v.Secret.SecretName
		case v.ConfigMap != nil:
			what = "ConfigMap " + v.ConfigMap.Name
		}
		return strings.TrimSpace(what + " " + m.SubPath)
	}
	return ""
}
