package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	"github.com/fluxover/fluxover/reconcile/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// variable is one variable of a container's environment.
type variable struct {
	// value, unless secret.
	value string
	// secret names the key that holds it.
	secret *migrate.SecretKey
	// refers is true if value is put together with others that are secret or
	// unknown: it is in the kubelet's syntax then, and as a whole unknown.
	refers bool
	// plain is true if the Deployment itself or a ConfigMap holds it.
	plain bool
	// hidden is true if it is plain and may be a secret all the same, as its name says: it
	// is put into nothing that is shown.
	hidden bool
	// where it stands, for people.
	where string
	// why it could not be read; then it is unknown.
	unknown string
	// assumed is true if it is not known whether it is set: only a Secret or
	// ConfigMap whose keys are not known can set it.
	assumed bool
	// unreadable is true if that is for lack of a right, which has been reported.
	unreadable bool
}

// environment looks variables up as the kubelet would: env before envFrom,
// the last entry of a name counts.
type environment struct {
	w         *witness
	namespace string
	id        string
	pod       *corev1.PodSpec
	container *corev1.Container
	// entries are the places of a name in env, in order; entry and from are
	// what was found of an entry, and of a name in envFrom.
	entries map[string][]int
	entry   map[int]*variable
	from    map[string]*variable
	// bytes is how much was put together.
	bytes   int
	secrets map[string]*corev1.Secret
	maps    map[string]*corev1.ConfigMap
	// declared is true if no cluster is asked: what Secrets and ConfigMaps hold
	// that are not at hand is not known.
	declared bool
	// causes say of entries of env why their values are not known, and why says so of what holds
	// the placeholder.
	causes map[int]string
	why    string
	podGaps
}

// podGaps say why it is not known which variables of env (unnamed), sources of
// envFrom (unsourced) or certificates (unmounted) a declared pod has, in which of its
// volumes the deploy key stands (unkeyed), and whether one brings a kubeconfig.
type podGaps struct{ unnamed, unsourced, unmounted, unkeyed, kubeconfig string }

func (w *witness) environmentOf(namespace, id string, pod *corev1.PodSpec, c *corev1.Container) *environment {
	e := &environment{w: w, namespace: namespace, id: id, pod: pod, container: c,
		entry: map[int]*variable{}, from: map[string]*variable{}, secrets: map[string]*corev1.Secret{}, maps: map[string]*corev1.ConfigMap{}}
	e.enter()
	return e
}

// enter notes the places of names in env.
func (e *environment) enter() {
	e.entries = map[string][]int{}
	for i, v := range e.container.Env {
		e.entries[v.Name] = append(e.entries[v.Name], i)
	}
}

// secret reads a Secret of the agent's namespace; nil if it is not there. What
// would be unknown without it is said when reading is not allowed, and the
// error is errUnreadable then.
func (e *environment) secret(ctx context.Context, name, unknown string) (*corev1.Secret, error) {
	s, err := e.secretThere(ctx, name)
	if err == errUnreadable && !e.declared {
		e.w.forbidden("get", "secrets/"+name, e.namespace, e.id, unknown)
	}
	return s, err
}

// secretThere is secret, and says nothing.
func (e *environment) secretThere(ctx context.Context, name string) (*corev1.Secret, error) {
	if s, ok := e.secrets[name]; ok {
		return s, nil
	}
	if read := e.w.together[e.namespace].secrets; read != nil {
		return read[name], nil
	}
	if e.declared {
		return nil, errUnreadable
	}
	if name == "" { // none is named, which the API server is not asked about
		return nil, nil
	}
	s, err := cluster.Ask(ctx, func() (*corev1.Secret, error) {
		return e.w.kube.CoreV1().Secrets(e.namespace).Get(ctx, name, metav1.GetOptions{})
	})
	switch {
	case notFound(err):
		s = nil
	case isForbidden(err):
		return nil, errUnreadable
	case err != nil:
		return nil, fmt.Errorf("read Secret %s/%s: %w", e.namespace, name, err)
	}
	e.secrets[name] = s
	return s, nil
}

// configMap is like secret.
func (e *environment) configMap(ctx context.Context, name, unknown string) (*corev1.ConfigMap, error) {
	if m, ok := e.maps[name]; ok {
		return m, nil
	}
	if read := e.w.together[e.namespace].maps; read != nil {
		return read[name], nil
	}
	if e.declared {
		return nil, errUnreadable
	}
	if name == "" {
		return nil, nil
	}
	m, err := cluster.Ask(ctx, func() (*corev1.ConfigMap, error) {
		return e.w.kube.CoreV1().ConfigMaps(e.namespace).Get(ctx, name, metav1.GetOptions{})
	})
	switch {
	case notFound(err):
		m = nil
	case isForbidden(err):
		e.w.forbidden("get", "configmaps/"+name, e.namespace, e.id, unknown)
		return nil, errUnreadable
	case err != nil:
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", e.namespace, name, err)
	}
	e.maps[name] = m
	return m, nil
}

// look finds a variable; nil if there is none of that name.
func (e *environment) look(ctx context.Context, name string) (*variable, error) {
	return e.lookUp(ctx, name, len(e.container.Env))
}

// lookUp finds a variable among the first entries of env, and in envFrom.
func (e *environment) lookUp(ctx context.Context, name string, entries int) (*variable, error) {
	places := e.entries[name]
	before, _ := slices.BinarySearch(places, entries)
	var v *variable
	var err error
	if before == 0 {
		v, err = once(e.from, name, func() (*variable, error) { return e.inSources(ctx, name) })
	} else {
		i := places[before-1]
		v, err = once(e.entry, i, func() (*variable, error) { return e.inEntry(ctx, i) })
	}
	if v != nil && v.plain && chart.NamesSecret(name) {
		v.hidden = true
	}
	return v, err
}

// once gives what was found before, or finds it.
func once[K comparable](found map[K]*variable, key K, find func() (*variable, error)) (*variable, error) {
	if v, ok := found[key]; ok {
		return v, nil
	}
	v, err := find()
	if err == nil {
		found[key] = v
	}
	return v, err
}

// inEntry is what an entry of env sets its variable to. One that may be missing
// leaves what stands before it.
func (e *environment) inEntry(ctx context.Context, i int) (*variable, error) {
	entry := e.container.Env[i]
	if cause := e.causes[i]; cause != "" {
		return &variable{unknown: cause, where: "env " + entry.Name}, nil
	}
	unknown := "the value of $(" + entry.Name + ")"
	from := entry.ValueFrom
	switch {
	case from == nil:
		return e.composed(ctx, i)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		if optional(ref.Optional) {
			s, err := e.secret(ctx, ref.Name, unknown)
			if err == errUnreadable {
				return e.unread("Secret", ref.Name), nil
			}
			if err != nil {
				return nil, err
			}
			if _, ok := dataOf(s)[ref.Key]; !ok {
				return e.lookUp(ctx, entry.Name, i)
			}
		}
		return &variable{secret: &migrate.SecretKey{Namespace: e.namespace, Name: ref.Name, Key: ref.Key},
			where: "Secret/" + e.namespace + "/" + ref.Name}, nil
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		m, err := e.configMap(ctx, ref.Name, unknown)
		if err == errUnreadable {
			return e.unread("ConfigMap", ref.Name), nil
		}
		if err != nil {
			return nil, err
		}
		if m != nil {
			if value, ok := m.Data[ref.Key]; ok {
				return &variable{value: value, plain: true, where: "ConfigMap/" + e.namespace + "/" + m.Name}, nil
			}
		}
		switch {
		case optional(ref.Optional):
			return e.lookUp(ctx, entry.Name, i)
		case m == nil:
			return &variable{unknown: "its ConfigMap " + ref.Name + " is not there"}, nil
		}
		return &variable{unknown: "its ConfigMap " + ref.Name + " has no such key"}, nil
	case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.namespace":
		return &variable{value: e.namespace, plain: true, where: "env " + entry.Name}, nil
	case from.FieldRef != nil && from.FieldRef.FieldPath == "spec.serviceAccountName":
		return &variable{value: accountOf(e.pod), plain: true, where: "env " + entry.Name}, nil
	}
	return &variable{unknown: "it depends on the running pod"}, nil
}

// unread is a variable of a Secret or ConfigMap that is not read, which is
// reported unless no cluster is asked.
func (e *environment) unread(kind, name string) *variable {
	if e.declared {
		return &variable{unknown: "what " + kind + " " + name + " holds is not known without the cluster"}
	}
	return &variable{unknown: "its " + kind + " may not be read", unreadable: true}
}

func optional(is *bool) bool { return is != nil && *is }

// dataOf are the values of a Secret, which may not be there.
func dataOf(s *corev1.Secret) map[string][]byte {
	if s == nil {
		return nil
	}
	return s.Data
}

// inSources finds a variable in envFrom.
func (e *environment) inSources(ctx context.Context, name string) (*variable, error) {
	unknown := "the value of $(" + name + ")"
	var perhaps []*variable // of sources whose keys are not known
	for i := len(e.container.EnvFrom) - 1; i >= 0; i-- {
		source := e.container.EnvFrom[i]
		key, ok := strings.CutPrefix(name, source.Prefix)
		if !ok {
			continue
		}
		if ref := source.SecretRef; ref != nil {
			s, err := e.secret(ctx, ref.Name, unknown)
			switch {
			case err == errUnreadable && e.declared:
				v := e.unread("Secret", ref.Name)
				if ref.Name != "" {
					v = &variable{secret: &migrate.SecretKey{Namespace: e.namespace, Name: ref.Name, Key: key}, where: "envFrom"}
				}
				perhaps = append(perhaps, v)
			case err == errUnreadable:
				return e.unread("Secret", ref.Name), nil
			case err != nil:
				return nil, err
			case s == nil && !optional(ref.Optional):
				return &variable{unknown: "Secret " + ref.Name + ", which may set it, is not there"}, nil
			}
			if _, ok := dataOf(s)[key]; ok {
				return &variable{secret: &migrate.SecretKey{Namespace: e.namespace, Name: ref.Name, Key: key},
					where: "Secret/" + e.namespace + "/" + ref.Name}, nil
			}
		}
		if ref := source.ConfigMapRef; ref != nil {
			m, err := e.configMap(ctx, ref.Name, unknown)
			switch {
			case err == errUnreadable && e.declared:
				perhaps = append(perhaps, e.unread("ConfigMap", ref.Name))
				continue
			case err == errUnreadable:
				return e.unread("ConfigMap", ref.Name), nil
			case err != nil:
				return nil, err
			case m == nil && !optional(ref.Optional):
				return &variable{unknown: "ConfigMap " + ref.Name + ", which may set it, is not there"}, nil
			case m == nil:
				continue
			}
			if value, ok := m.Data[key]; ok {
				return &variable{value: value, plain: true, where: "ConfigMap/" + e.namespace + "/" + ref.Name}, nil
			}
		}
	}
	if e.unsourced != "" {
		perhaps = append(perhaps, &variable{unknown: e.unsourced})
	}
	if len(perhaps) == 0 && e.unnamed != "" {
		perhaps = append(perhaps, &variable{unknown: e.unnamed})
	}
	switch {
	case len(perhaps) == 1:
		perhaps[0].assumed = true
		return perhaps[0], nil
	case len(perhaps) > 1:
		return &variable{unknown: "which Secret or ConfigMap of envFrom sets it, if one does, is not known without the cluster", assumed: true}, nil
	}
	if serviceVariable.MatchString(name) {
		return &variable{unknown: "a Service of the namespace may set it"}, nil
	}
	return nil, nil
}

// listedVariable is one that envFrom brings.
type listedVariable struct {
	corev1.EnvVar
	from string // the source, as envFromName has it
}

// listed are the variables that ConfigMaps bring by envFrom and env does not set,
// sorted, with HOME where a Secret brings it. Of one that may not be read none is
// listed, which is said.
func (e *environment) listed(ctx context.Context) ([]listedVariable, error) {
	found := map[string]listedVariable{}
	for _, source := range e.container.EnvFrom {
		if source.ConfigMapRef == nil {
			continue
		}
		m, err := e.configMap(ctx, source.ConfigMapRef.Name, "the variables that it sets")
		if err == errUnreadable {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		for key, value := range m.Data {
			if name := source.Prefix + key; len(e.entries[name]) == 0 {
				found[name] = listedVariable{corev1.EnvVar{Name: name, Value: value}, envFromName(source)}
			}
		}
	}
	home, err := e.look(ctx, "HOME")
	if err != nil {
		return nil, err
	}
	if home != nil && home.secret != nil && !home.assumed && len(e.entries["HOME"]) == 0 {
		key := &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: home.secret.Name}, Key: home.secret.Key}
		found["HOME"] = listedVariable{corev1.EnvVar{Name: "HOME", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: key}}, "Secret " + home.secret.Name}
	}
	var out []listedVariable
	for _, name := range sortedNames(found) {
		out = append(out, found[name])
	}
	return out, nil
}

// serviceVariable is the name of what the kubelet tells of a Service
// (kubernetes: pkg/kubelet/envvars/envvars.go).
var serviceVariable = regexp.MustCompile(`^[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// maxEnvironment is what all variables of a program can take, in bytes (linux:
// three quarters of _STK_LIM); maxReferences how many variables a message names.
const (
	maxEnvironment = 6 << 20
	maxReferences  = 10
)

// composed is the entry of env with a value in the manifest, which may refer to
// entries before it and to envFrom.
func (e *environment) composed(ctx context.Context, i int) (*variable, error) {
	entry := e.container.Env[i]
	var failed error
	filled := flux1.Fill(entry.Value, fillWith(func(name string) (*variable, error) { return e.lookUp(ctx, name, i) }, &failed))
	if failed != nil {
		return nil, failed
	}
	if filled != entry.Value {
		if e.bytes += len(filled); e.bytes > maxEnvironment {
			return &variable{unknown: "the environment is larger than a program can have", where: "env " + entry.Name}, nil
		}
	}
	if of := flux1.Symbols(filled); len(of) > 0 {
		var names []string
		again := false // a name that is set again below means something else there
		for n, name := range of {
			switch found, err := e.lookUp(ctx, name, i); {
			case err != nil:
				return nil, err
			case found != nil && (found.plain && !found.hidden || found.refers):
				return &variable{unknown: "it is longer than a program can have", where: "env " + entry.Name}, nil
			}
			if n < maxReferences {
				names = append(names, "$("+name+")")
			}
			places := e.entries[name]
			again = again || len(places) > 0 && places[len(places)-1] >= i
		}
		v := &variable{unknown: "it is put together with " + listed(names, len(of), maxReferences) + ", which is secret or not known", where: "env " + entry.Name}
		if !again {
			v.value, v.refers = filled, true
		}
		return v, nil
	}
	return &variable{value: flux1.Literal(filled), plain: true, where: "env " + entry.Name}, nil
}

// reveal gives a secret key's value, for use and not for keeping; ok is false
// if it is not there or may not be read.
func (e *environment) reveal(ctx context.Context, key migrate.SecretKey, unknown string) (value []byte, ok bool, err error) {
	s, err := e.secret(ctx, key.Name, unknown)
	if err == errUnreadable {
		return nil, false, nil
	}
	if err != nil || s == nil {
		return nil, false, err
	}
	value, ok = s.Data[key.Key]
	return value, ok && len(value) > 0, nil
}

// fill puts in every variable, secret ones too: for use only. It is not ok if
// one of them is not known, or not set.
func (e *environment) fill(ctx context.Context, text string) (filled string, ok bool, err error) {
	ok = true
	text = flux1.Fill(text, func(name string) (string, flux1.Known) {
		v, failed := e.look(ctx, name)
		switch {
		case failed != nil:
			err = failed
		case v != nil && v.refers:
			value, whole, failed := e.fill(ctx, v.value)
			err, ok = errors.Join(err, failed), ok && whole
			return value, flux1.IsSet
		case v == nil || v.unknown != "":
			ok = false
		case v.plain:
			return v.value, flux1.IsSet
		default:
			value, found, failed := e.reveal(ctx, *v.secret, "the Git credential")
			if err = errors.Join(err, failed); found {
				return string(value), flux1.IsSet
			}
			ok = false
		}
		return "", flux1.NotKnown
	})
	return flux1.Literal(text), ok && len(flux1.Symbols(text)) == 0, err
}

// fillWith says of each variable what flux1.Fill asks: its text where that holds no
// secret and is not hidden. What look fails with is kept in failed.
func fillWith(look func(name string) (*variable, error), failed *error) func(name string) (string, flux1.Known) {
	return func(name string) (string, flux1.Known) {
		v, err := look(name)
		switch {
		case err != nil:
			*failed = err
		case v == nil:
			return "", flux1.NotSet
		case v.refers:
			return v.value, flux1.Refers
		case v.plain && !v.hidden:
			return v.value, flux1.IsSet
		}
		return "", flux1.NotKnown
	}
}

// expand fills in the variables that hold no secret, as the kubelet does.
// Secret, hidden and unknown ones stay symbols.
func (e *environment) expand(ctx context.Context, arg string) (filled string, err error) {
	filled = flux1.Fill(arg, fillWith(func(name string) (*variable, error) { return e.look(ctx, name) }, &err))
	return filled, err
}

// expandArguments expands a command line. What stands before the host in the
// Git URL stays as it is written, since it names the places of the
// credentials; rawURL is the whole URL as it is written.
func (e *environment) expandArguments(ctx context.Context, args []string) (expanded []string, rawURL string, err error) {
	expanded = make([]string, len(args))
	left := maxEnvironment // which is for the arguments too
	for i := range args {
		if url, ok := gitURLArgument(args, i); ok {
			rawURL = url
		}
		before, keep, after := aroundCredentials(args, i)
		for _, part := range []*string{&before, &after} {
			filled, err := e.expand(ctx, *part)
			if err != nil {
				return nil, "", err
			}
			if added := len(filled) - len(*part); added <= left {
				*part, left = filled, left-max(added, 0)
			}
		}
		expanded[i] = before + keep + after
	}
	return expanded, rawURL, nil
}

// gitURLArgument is the Git URL, where argument i gives it.
func gitURLArgument(args []string, i int) (url string, ok bool) {
	if url, ok = strings.CutPrefix(args[i], "--git-url="); ok {
		return url, true
	}
	return args[i], i > 0 && args[i-1] == "--git-url"
}

// aroundCredentials splits an argument at what stands before the host in the
// Git URL; of every other argument all is after it.
func aroundCredentials(args []string, i int) (before, keep, after string) {
	if url, ok := gitURLArgument(args, i); ok {
		keep = credentialsIn(url)
	}
	if keep == "" {
		return "", "", args[i]
	}
	before, after, _ = strings.Cut(args[i], keep)
	return before, keep, after
}

// mount finds the volume behind a path of the container, and the path within
// it ("" for the whole volume).
func (e *environment) mount(file string) (volume *corev1.Volume, mount *corev1.VolumeMount, rest string) {
	best := -1
	for i := range e.container.VolumeMounts {
		m := &e.container.VolumeMounts[i]
		at := path.Clean(m.MountPath)
		if at != file && !strings.HasPrefix(file, strings.TrimSuffix(at, "/")+"/") || len(at) <= best {
			continue
		}
		for j := range e.pod.Volumes {
			if v := &e.pod.Volumes[j]; v.Name == m.Name {
				best, volume, mount = len(at), v, m
				rest = path.Join(m.SubPath, strings.TrimPrefix(strings.TrimPrefix(file, at), "/"))
			}
		}
	}
	return volume, mount, rest
}

// keyFile is where the ssh of fluxd's image looks for the deploy key (flux:
// docker/ssh_config).
const keyFile = "/etc/fluxd/ssh/identity"

// mountedKey is the Secret, and the key in it, that is mounted as the deploy key.
// Where none is, it is the one that the arguments name, in which the daemon keeps a
// key that it made.
func mountedKey(pod *corev1.PodSpec, container *corev1.Container, config *flux1.Config) (name, key string) {
	volume, _, rest := (&environment{pod: pod, container: container}).mount(keyFile)
	name, key = config.SecretName, config.SecretKey
	for _, p := range provided(volume) {
		if p.Secret == nil {
			continue
		}
		at, has := keyAt(p.Secret.Items, rest)
		switch {
		case !has:
		case at == path.Base(keyFile):
			name, key = p.Secret.Name, config.SecretKey
		default:
			name, key = p.Secret.Name, at
		}
	}
	return name, key
}

// provided are the ConfigMaps and Secrets behind a volume, each as a projected
// volume names its own; none behind a volume of another kind.
func provided(v *corev1.Volume) []corev1.VolumeProjection {
	switch {
	case v == nil:
	case v.ConfigMap != nil:
		return []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: v.ConfigMap.LocalObjectReference, Items: v.ConfigMap.Items}}}
	case v.Secret != nil:
		return []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: v.Secret.SecretName}, Items: v.Secret.Items}}}
	case v.Projected != nil:
		return v.Projected.Sources
	}
	return nil
}

// opaque reports whether the API does not tell what files a volume has.
func opaque(v *corev1.Volume) bool {
	return v != nil && v.ConfigMap == nil && v.Secret == nil && v.Projected == nil
}

// sshConfig is where ssh reads a configuration of its user.
const sshConfig = "/root/.ssh/config"

// opaqueSSH names the volume in which an ssh configuration would stand, if its
// files cannot be told; empty if they can. An emptyDir that nothing else in the pod
// fills is empty.
func opaqueSSH(pod *corev1.PodSpec, container *corev1.Container) string {
	volume, _, _ := (&environment{pod: pod, container: container}).mount(sshConfig)
	if !opaque(volume) || isEmpty(pod, container, volume) {
		return ""
	}
	return volume.Name
}

func opaqueSSHWords(volume string) string {
	return fmt.Sprintf("volume %s, behind %s, holds neither a ConfigMap nor a Secret: whether an ssh configuration or known_hosts stand there cannot be told", volume, path.Dir(sshConfig))
}

// read finds what provides a file of the container, with its content; value is nil
// if nothing does. Of several that project to one path the last counts, as it does
// for the kubelet. The place is for people.
func (e *environment) read(ctx context.Context, name, unknown string) (content []byte, value *migrate.Value, place string, err error) {
	volume, _, rest := e.mount(name)
	for _, p := range provided(volume) {
		switch {
		case p.ConfigMap != nil:
			at := "ConfigMap/" + e.namespace + "/" + p.ConfigMap.Name
			m, err := e.configMap(ctx, p.ConfigMap.Name, unknown)
			if err != nil {
				return nil, nil, at, err
			}
			if key, has := keyAt(p.ConfigMap.Items, rest); has && m != nil {
				if v, found := m.Data[key]; found {
					content, value = []byte(v), &migrate.Value{ConfigMap: &migrate.SecretKey{Namespace: e.namespace, Name: p.ConfigMap.Name, Key: key}}
					place = at + " key " + key
				}
			}
			place = cmp.Or(place, at)
		case p.Secret != nil:
			at := "Secret/" + e.namespace + "/" + p.Secret.Name
			s, err := e.secret(ctx, p.Secret.Name, unknown)
			if err != nil {
				return nil, nil, at, err
			}
			if key, has := keyAt(p.Secret.Items, rest); has && s != nil {
				if v, found := s.Data[key]; found {
					content, value = v, &migrate.Value{Secret: &migrate.SecretKey{Namespace: e.namespace, Name: p.Secret.Name, Key: key}}
					place = at + " key " + key
				}
			}
			place = cmp.Or(place, at)
		}
	}
	return content, value, place, nil
}

// locate is read without the content. Where what a ConfigMap or Secret holds is not
// at hand, a file stands where it would, if the volume has it; named is false then
// unless the volume names the file.
func (e *environment) locate(ctx context.Context, name, unknown string) (value *migrate.Value, named bool, place string, err error) {
	if e.declared {
		if value, named, place := e.declaredFile(name); value != nil {
			return value, named, place, nil
		}
	}
	_, value, place, err = e.read(ctx, name, unknown)
	return value, value != nil, place, err
}

func (e *environment) declaredFile(name string) (value *migrate.Value, named bool, place string) {
	volume, mount, rest := e.mount(name)
	sources := provided(volume)
	for _, p := range slices.Backward(sources) {
		var source string
		var items []corev1.KeyToPath
		var known bool
		var at migrate.SecretKey
		var v migrate.Value
		switch {
		case p.ConfigMap != nil:
			source, items, v.ConfigMap = p.ConfigMap.Name, p.ConfigMap.Items, &at
			_, known = e.maps[source]
			place = "ConfigMap/"
		case p.Secret != nil:
			source, items, v.Secret = p.Secret.Name, p.Secret.Items, &at
			_, known = e.secrets[source]
			place = "Secret/"
		}
		key, has := keyAt(items, rest)
		if !has || known || source == "" || len(sources) > 1 && len(items) == 0 {
			continue
		}
		at = migrate.SecretKey{Namespace: e.namespace, Name: source, Key: key}
		named = len(items) > 0 || mount.SubPath != "" && path.Clean(mount.MountPath) == name
		return &v, named, place + e.namespace + "/" + source + " key " + key
	}
	return nil, false, ""
}

// file reads a file of the container that a ConfigMap or Secret provides. The
// place is for people; found is false if nothing provides the file.
func (e *environment) file(ctx context.Context, name, unknown string) (content []byte, place string, found bool, err error) {
	content, value, place, err := e.read(ctx, name, unknown)
	return content, place, value != nil, err
}

// filesOf are the files that a mount of ConfigMaps and Secrets brings, sorted.
func (e *environment) filesOf(ctx context.Context, m corev1.VolumeMount, unknown string) ([]string, error) {
	if m.SubPath != "" {
		return []string{path.Clean(m.MountPath)}, nil
	}
	names := map[string]bool{}
	for i := range e.pod.Volumes {
		if e.pod.Volumes[i].Name != m.Name {
			continue
		}
		for _, p := range provided(&e.pod.Volumes[i]) {
			var files []string
			switch {
			case p.ConfigMap != nil:
				c, err := e.configMap(ctx, p.ConfigMap.Name, unknown)
				if err != nil {
					return nil, err
				}
				if c != nil {
					files = projected(p.ConfigMap.Items, c.Data)
				}
			case p.Secret != nil:
				s, err := e.secret(ctx, p.Secret.Name, unknown)
				if err != nil {
					return nil, err
				}
				if s != nil {
					files = projected(p.Secret.Items, s.Data)
				}
			}
			for _, f := range files {
				names[path.Join(m.MountPath, f)] = true
			}
		}
	}
	return sortedNames(names), nil
}

// projected are the paths of a volume's files: those that are named, or all keys.
func projected[V any](items []corev1.KeyToPath, data map[string]V) []string {
	var names []string
	for _, i := range items {
		names = append(names, i.Path)
	}
	if len(items) == 0 {
		names = sortedNames(data)
	}
	return names
}

// keyAt is the key that a volume projects to a path: one that is named, or where
// none are the one of the path's own name.
func keyAt(items []corev1.KeyToPath, at string) (key string, has bool) {
	for _, i := range items {
		if i.Path == at {
			return i.Key, true
		}
	}
	return at, len(items) == 0
}

// fallbackNamespace is the namespace of objects that name none, when no flag
// says: that of the kubeconfig in use, else "default" (flux:
// pkg/cluster/kubernetes/namespacer.go, chart/flux/templates/kube.yaml).
// It is empty if it cannot be known, which has then been reported.
func (e *environment) fallbackNamespace(ctx context.Context) (string, error) {
	const unknown = "the namespace of objects that name none"
	file := "/root/.kube/config" // of the image itself, which says "default"
	v, err := e.look(ctx, "KUBECONFIG")
	if err != nil {
		return "", err
	}
	if v != nil && v.assumed { // a source of envFrom that may set any variable
		v = nil
	}
	if v != nil {
		if !v.plain {
			e.w.find(FallbackUnknown.Finding(e.id, "env KUBECONFIG", "the place of the agent's kubeconfig is not known"))
			return "", nil
		}
		file = v.value
	}
	if volume, _, _ := e.mount(file); volume == nil {
		if v == nil || strings.HasPrefix(file, "/root/.kube/") {
			return metav1.NamespaceDefault, nil
		}
		e.w.find(FallbackUnknown.Finding(e.id, "env KUBECONFIG", fmt.Sprintf("the agent's kubeconfig %s comes from no volume", file)))
		return "", nil
	}
	content, place, found, err := e.file(ctx, file, unknown)
	if err == errUnreadable {
		if e.declared {
			e.w.find(FallbackUnknown.Finding(e.id, place, fmt.Sprintf("what %s holds, in which the agent's kubeconfig %s stands, is not known without the cluster", place, file)))
		}
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !found {
		e.w.find(FallbackUnknown.Finding(e.id, place, fmt.Sprintf("the agent's kubeconfig %s is not in %s", file, place)))
		return "", nil
	}
	config, err := clientcmd.Load(content)
	if err != nil {
		e.w.find(FallbackUnknown.Finding(e.id, place, "the agent's kubeconfig cannot be read"))
		return "", nil
	}
	if c := config.Contexts[config.CurrentContext]; c != nil && c.Namespace != "" {
		return c.Namespace, nil
	}
	return metav1.NamespaceDefault, nil
}

// accountOf is the account of a pod: serviceAccount is the old name of the field,
// which Kubernetes still takes where the other is empty.
func accountOf(pod *corev1.PodSpec) string {
	return cmp.Or(pod.ServiceAccountName, pod.DeprecatedServiceAccount, "default")
}
