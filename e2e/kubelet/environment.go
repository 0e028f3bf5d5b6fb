package kubelet

import (
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
)

// errMissing marks what a Pod waits for: a Secret, ConfigMap or key that is
// not there (yet).
var errMissing = errors.New("not found")

// expand replaces $(NAME) by its value, as Kubernetes does in env, command and
// args: an unknown name stays as it is, and $$ stands for one $.
func expand(text string, lookup func(string) (string, bool)) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		switch text[i+1] {
		case '$':
			out.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(text[i:], ')')
			if end < 0 {
				out.WriteString(text[i:])
				return out.String()
			}
			reference := text[i : i+end+1]
			if value, ok := lookup(reference[2 : len(reference)-1]); ok {
				out.WriteString(value)
			} else {
				out.WriteString(reference)
			}
			i += end
		default:
			out.WriteByte('$')
		}
	}
	return out.String()
}

// environment is an ordered set of variables; a later one of a name replaces an
// earlier one.
type environment struct {
	names  []string
	values map[string]string
}

func (e *environment) set(name, value string) {
	if e.values == nil {
		e.values = map[string]string{}
	}
	if _, known := e.values[name]; !known {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

func (e *environment) lookup(name string) (string, bool) {
	value, ok := e.values[name]
	return value, ok
}

func (e *environment) list() []string {
	list := make([]string, 0, len(e.names))
	for _, name := range e.names {
		list = append(list, name+"="+e.values[name])
	}
	return list
}

// declaredEnvironment resolves what the container itself declares, in the order
// of Kubernetes: services, envFrom, env.
func (p *pod) declaredEnvironment(object *corev1.Pod, c *corev1.Container) (*environment, error) {
	env := &environment{}
	env.set("KUBERNETES_SERVICE_HOST", p.kubelet.host)
	env.set("KUBERNETES_SERVICE_PORT", p.kubelet.port)
	env.set("KUBERNETES_SERVICE_PORT_HTTPS", p.kubelet.port)
	for _, from := range c.EnvFrom {
		var content map[string][]byte
		var err error
		switch {
		case from.SecretRef != nil:
			content, err = p.content(ref{secretRef, from.SecretRef.Name}, isTrue(from.SecretRef.Optional))
		case from.ConfigMapRef != nil:
			content, err = p.content(ref{configMapRef, from.ConfigMapRef.Name}, isTrue(from.ConfigMapRef.Optional))
		}
		if err != nil {
			return nil, err
		}
		for _, key := range sortedKeys(content) {
			env.set(from.Prefix+key, string(content[key]))
		}
	}
	for _, v := range c.Env {
		if v.ValueFrom == nil {
			env.set(v.Name, expand(v.Value, env.lookup))
			continue
		}
		value, present, err := p.valueFrom(object, c, v.ValueFrom)
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", v.Name, err)
		}
		if present {
			env.set(v.Name, value)
		}
	}
	return env, nil
}

// valueFrom resolves one reference; false means optional and absent.
func (p *pod) valueFrom(object *corev1.Pod, c *corev1.Container, from *corev1.EnvVarSource) (string, bool, error) {
	switch {
	case from.SecretKeyRef != nil:
		return p.key(ref{secretRef, from.SecretKeyRef.Name}, from.SecretKeyRef.Key, isTrue(from.SecretKeyRef.Optional))
	case from.ConfigMapKeyRef != nil:
		return p.key(ref{configMapRef, from.ConfigMapKeyRef.Name}, from.ConfigMapKeyRef.Key, isTrue(from.ConfigMapKeyRef.Optional))
	case from.FieldRef != nil:
		value, err := p.field(object, from.FieldRef.FieldPath)
		return value, true, err
	case from.ResourceFieldRef != nil:
		value, err := resourceField(c, from.ResourceFieldRef)
		return value, true, err
	}
	return "", false, errors.New("this source of a value is not supported here: use a key of a Secret or ConfigMap, a field or a resource field")
}

func (p *pod) key(r ref, key string, optional bool) (string, bool, error) {
	content, err := p.content(r, optional)
	if err != nil {
		return "", false, err
	}
	value, ok := content[key]
	if !ok && !optional {
		return "", false, fmt.Errorf("key %q of %s: %w", key, r, errMissing)
	}
	return string(value), ok, nil
}

// content returns the data of a Secret or ConfigMap in the Pod's namespace.
func (p *pod) content(r ref, optional bool) (map[string][]byte, error) {
	var content map[string][]byte
	var err error
	switch r.kind {
	case secretRef:
		var secret *corev1.Secret
		if secret, err = p.kubelet.secretLister.Secrets(p.namespace).Get(r.name); err == nil {
			content = secret.Data
		}
	case configMapRef:
		var configMap *corev1.ConfigMap
		if configMap, err = p.kubelet.configMapLister.ConfigMaps(p.namespace).Get(r.name); err == nil {
			content = make(map[string][]byte, len(configMap.Data)+len(configMap.BinaryData))
			for key, value := range configMap.Data {
				content[key] = []byte(value)
			}
			for key, value := range configMap.BinaryData {
				content[key] = value
			}
		}
	}
	if apierrors.IsNotFound(err) {
		if optional {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: %w", r, errMissing)
	}
	return content, err
}

// field resolves a field of the Pod, as for fieldRef.
func (p *pod) field(object *corev1.Pod, path string) (string, error) {
	switch path {
	case "metadata.name":
		return object.Name, nil
	case "metadata.namespace":
		return object.Namespace, nil
	case "metadata.uid":
		return string(object.UID), nil
	case "metadata.labels":
		return quotedLines(object.Labels), nil
	case "metadata.annotations":
		return quotedLines(object.Annotations), nil
	case "spec.nodeName":
		return p.kubelet.opts.Node, nil
	case "spec.serviceAccountName":
		return object.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return "127.0.0.1", nil
	case "status.podIP", "status.podIPs":
		return p.ip, nil
	}
	if key, ok := subscript(path, "metadata.labels"); ok {
		return object.Labels[key], nil
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return object.Annotations[key], nil
	}
	return "", fmt.Errorf("field %q is not known", path)
}

func subscript(path, of string) (string, bool) {
	rest, ok := strings.CutPrefix(path, of+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

func quotedLines(m map[string]string) string {
	var out strings.Builder
	for _, key := range sortedKeys(m) {
		fmt.Fprintf(&out, "%s=%q\n", key, m[key])
	}
	return out.String()
}

// resourceField resolves limits.cpu and its like; a limit that is not set is
// what the Node offers.
func resourceField(c *corev1.Container, from *corev1.ResourceFieldSelector) (string, error) {
	kind, name, ok := strings.Cut(from.Resource, ".")
	list := c.Resources.Limits
	if kind == "requests" {
		list = c.Resources.Requests
	}
	quantity, set := list[corev1.ResourceName(name)]
	if !set && kind == "limits" {
		quantity, set = allocatable[corev1.ResourceName(name)]
	}
	if !ok || kind != "limits" && kind != "requests" {
		return "", fmt.Errorf("resource %q is not known", from.Resource)
	}
	if !set {
		return "0", nil
	}
	divisor := from.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	value, by := quantity.MilliValue(), divisor.MilliValue()
	return fmt.Sprint((value + by - 1) / by), nil
}

// processEnvironment adds to what the container declares what a process needs in
// place of a container: rewritten paths, folders of its own and a kubeconfig.
// image.Env comes last.
func (p *pod) processEnvironment(declared *environment, image Image, mounts []string, path string) *environment {
	env := &environment{}
	search := append(append([]string{}, p.kubelet.opts.Path...), path)
	env.set("PATH", strings.Join(search, string(filepath.ListSeparator)))
	env.set("HOME", filepath.Join(p.root, "root"))
	env.set("TMPDIR", filepath.Join(p.root, "tmp"))
	env.set("HOSTNAME", p.name)
	if p.kubeconfig != "" {
		env.set("KUBECONFIG", p.kubeconfig)
	}
	for _, name := range declared.names {
		if name == "PATH" {
			continue // folders of the image, which is not here
		}
		value := rewritePath(declared.values[name], p.root, mounts)
		if name == "HOME" && filepath.IsAbs(value) && !strings.HasPrefix(value, p.root) {
			value = filepath.Join(p.root, value)
		}
		env.set(name, value)
	}
	env.set("POD_ROOT", p.root)
	env.set("POD_IP", p.ip)
	for _, assignment := range image.Env {
		name, value, _ := strings.Cut(assignment, "=")
		env.set(name, expand(value, env.lookup))
	}
	return env
}

func isTrue(b *bool) bool { return b != nil && *b }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
