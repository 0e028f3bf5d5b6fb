package discover

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/discover/terraform"
)

// mapsOf are the ConfigMaps that the configuration declares or, without one, that its state
// holds.
func (c *configuration) mapsOf(ctx context.Context) []terraform.ConfigMap {
	switch {
	case c.maps != nil:
	case c.alone != nil:
		c.maps = append([]terraform.ConfigMap{}, c.alone.state.ConfigMaps(c.alone.name, c.result)...)
	default:
		c.maps = append([]terraform.ConfigMap{}, terraform.ConfigMaps(ctx, c.result)...)
	}
	return c.maps
}

// configMap is a ConfigMap of the agent's namespace as it is declared, with what is known
// of its texts; nil if none is, or if something else may set any of them. whole is false if
// there may be others in it.
func (d *declared) configMap(name string) (m *corev1.ConfigMap, whole bool) {
	var parts []*terraform.ConfigMap
	for i := range d.maps {
		of := &d.maps[i]
		n, named := of.Name.Str()
		namespace, placed := placeOf(of)
		if !of.Part || named && n != name || placed && d.Namespace != "" && namespace != d.Namespace || !d.mayBeHere(of.Cluster) {
			continue
		}
		if of.Data == nil || of.Data.Kind != terraform.Map || len(of.Data.Causes) > 0 {
			return nil, false // it may set any key
		}
		parts = append(parts, of)
	}
	for i := range d.maps {
		of := &d.maps[i]
		namespace, placed := placeOf(of)
		if n, ok := of.Name.Str(); of.Part || !ok || n != name || !placed || namespace != d.Namespace || len(of.Unknown) > 0 || !d.isHere(of.Cluster) {
			continue
		}
		first := m == nil
		if first {
			m, whole = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Data: map[string]string{}}, true
		}
		texts := map[string]string{}
		if of.Data != nil {
			whole = whole && of.Data.Kind == terraform.Map && len(of.Data.Causes) == 0
			for key, value := range of.Data.Map {
				if value.Kind != terraform.Scalar {
					whole = false
					continue
				}
				texts[key] = textOf(value)
			}
		}
		if first {
			m.Data = texts
		} else if !maps.Equal(m.Data, texts) { // of several of one name it is not known which the cluster has
			whole = false
			maps.DeleteFunc(m.Data, func(key, text string) bool { other, has := texts[key]; return !has || other != text })
		}
	}
	if m == nil {
		return nil, false
	}
	for _, of := range parts { // of a key that both set it is not known which is in force
		for key, value := range of.Data.Map {
			if had, has := m.Data[key]; !has || value.Kind != terraform.Scalar || textOf(value) != had {
				delete(m.Data, key)
				whole = false
			}
		}
	}
	return m, whole
}

// placeOf is the namespace of a ConfigMap, and whether it is known.
func placeOf(of *terraform.ConfigMap) (namespace string, known bool) {
	if of.Namespace == nil { // as the provider fills it in
		return metav1.NamespaceDefault, true
	}
	return of.Namespace.Str()
}

// configMapOf is the ConfigMap that a source of envFrom is.
func (d *declared) configMapOf(f corev1.EnvFromSource) (m *corev1.ConfigMap, whole bool) {
	if f.ConfigMapRef == nil {
		return nil, false
	}
	return d.configMap(f.ConfigMapRef.Name)
}

// wholeConfigMaps are those of the agent's namespace of which all is known, by name.
func (d *declared) wholeConfigMaps() map[string]*corev1.ConfigMap {
	out := map[string]*corev1.ConfigMap{}
	for i := range d.maps {
		if name, ok := d.maps[i].Name.Str(); ok {
			if m, whole := d.configMap(name); whole {
				out[name] = m
			}
		}
	}
	return out
}

// configMapTexts is configMap as the chart asks for it.
func (d *declared) configMapTexts(name string) (texts map[string]string, whole bool) {
	m, whole := d.configMap(name)
	if m == nil {
		return nil, false
	}
	return m.Data, whole
}
