package discover

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	corev1 "k8s.io/api/core/v1"
)

// declaredPod is the pod of an agent that is declared, as far as it is known.
type declaredPod struct {
	spec      corev1.PodSpec
	container *corev1.Container
	// causes are those of [environment].
	causes map[int]string
	podGaps
	// maps are the ConfigMaps of its namespace that are declared as a whole.
	maps map[string]*corev1.ConfigMap
	// knownHosts is the file of that name, if its content is known.
	knownHosts string
}

// podOf is the pod that a release makes.
func podOf(r *chart.Rendered) declaredPod {
	p := declaredPod{causes: map[int]string{}, knownHosts: r.KnownHosts}
	container := corev1.Container{Name: "flux", Image: r.Image}
	for _, a := range r.Args {
		if a.Unknown == "" {
			container.Args = append(container.Args, string(a.Written))
		}
	}
	for _, v := range r.Env {
		if v.Name == "" {
			p.unnamed = cmp.Or(v.Unknown, p.unnamed)
			continue
		}
		e := corev1.EnvVar{Name: v.Name, Value: string(v.Value)}
		switch {
		case v.Unknown != "":
			p.causes[len(container.Env)] = v.Unknown
		case v.Secret != nil:
			e.ValueFrom = &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: v.Secret.Name}, Key: v.Secret.Key}}
		case v.ConfigMap != "":
			e.ValueFrom = &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: v.ConfigMap}, Key: v.Key}}
		}
		container.Env = append(container.Env, e)
	}
	p.unnamed, p.unsourced, p.unmounted = cmp.Or(p.unnamed, r.Unknown["environment"]), r.Unknown["environmentFrom"], r.Unknown["extraMounts"]
	for _, s := range r.EnvFrom {
		if s.Unknown != "" {
			p.unsourced = cmp.Or(p.unsourced, s.Unknown)
			continue
		}
		from := corev1.EnvFromSource{Prefix: s.Prefix}
		if ref := (corev1.LocalObjectReference{Name: s.Name}); s.Kind == "ConfigMap" {
			from.ConfigMapRef = &corev1.ConfigMapEnvSource{LocalObjectReference: ref}
		} else {
			from.SecretRef = &corev1.SecretEnvSource{LocalObjectReference: ref}
		}
		container.EnvFrom = append(container.EnvFrom, from)
	}
	p.unkeyed = r.Unknown["keySecret"]
	mounts := r.Mounts
	if r.Version == "" && r.KeySecret != "" {
		mounts = append(slices.Clone(mounts), chart.Mount{Volume: "git-key", Path: "/etc/fluxd/ssh", Kind: "Secret", Name: r.KeySecret})
	}
	for _, m := range mounts {
		if m.Unknown != "" {
			if m.Path == path.Dir(keyFile) {
				p.unkeyed = m.Unknown
			}
			if m.Path == "" || flux1.IsCAFolder(m.Path) {
				p.unmounted = cmp.Or(p.unmounted, m.Unknown)
			}
			continue
		}
		volume := corev1.Volume{Name: m.Volume}
		switch m.Kind {
		case "Secret":
			volume.Secret = &corev1.SecretVolumeSource{SecretName: m.Name, Items: keyItems(m.Items)}
		case "ConfigMap":
			volume.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: m.Name}, Items: keyItems(m.Items)}
		}
		if m.Kind == "Projected" {
			volume.Projected = &corev1.ProjectedVolumeSource{}
			for _, part := range m.Projected {
				var source corev1.VolumeProjection
				switch ref := (corev1.LocalObjectReference{Name: part.Name}); part.Kind {
				case "Secret":
					source.Secret = &corev1.SecretProjection{LocalObjectReference: ref, Items: keyItems(part.Items)}
				case "ConfigMap":
					source.ConfigMap = &corev1.ConfigMapProjection{LocalObjectReference: ref, Items: keyItems(part.Items)}
				}
				volume.Projected.Sources = append(volume.Projected.Sources, source)
			}
		}
		if !slices.ContainsFunc(p.spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Volume }) {
			p.spec.Volumes = append(p.spec.Volumes, volume)
		}
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: m.Volume, MountPath: m.Path, SubPath: m.SubPath})
	}
	p.spec.Containers = []corev1.Container{container}
	for _, s := range r.Sidecars {
		p.spec.Containers = append(p.spec.Containers, corev1.Container{Name: s.Name, Image: s.Image})
	}
	p.container = &p.spec.Containers[0]
	return p
}

// keyItems are the files that a volume names, of their paths to their keys.
func keyItems(keys map[string]string) []corev1.KeyToPath {
	var out []corev1.KeyToPath
	for _, at := range sortedNames(keys) {
		out = append(out, corev1.KeyToPath{Key: keys[at], Path: at})
	}
	return out
}

// environment is what the container of a declared agent is given, as far as that is declared.
func (p *declaredPod) environment(w *witness, d *declared) *environment {
	e := w.environmentOf(d.Namespace, d.ID, &p.spec, p.container)
	e.fromManifests(d.beside, func(o flux1.Parsed) bool { return substitutes(o.Manifest) })
	maps.Copy(e.maps, p.maps)
	e.causes, e.podGaps = p.causes, p.podGaps
	return e
}

// setCredential says what the declared agent gives to its Git server, and what
// stands between them, by the same rules as of a live one. at makes a place of
// one in the pod.
func (d *declared) setCredential(ctx context.Context, config *flux1.Config, p declaredPod, at func(more string) string) {
	w := &witness{}
	a := &agent{Flux1Agent: d.Flux1Agent, config: *config}
	a.env = p.environment(w, d)
	args, _, _ := commandLine(p.container)
	for i := range args {
		if url, ok := gitURLArgument(args, i); ok {
			a.rawURL = url
		}
	}
	a.rawURL = cmp.Or(a.rawURL, string(config.URL))
	err := errors.Join(w.readAccess(ctx, a), w.readCluster(ctx, a))
	d.Credential = a.Credential
	if d.Credential.Kind == "ssh" {
		if bare, _, err := flux1.FluxV2URL(string(config.URL)); err == nil {
			d.Credential.KnownHosts = withPublishedKeys(p.knownHosts, bare)
		}
	}
	for _, f := range w.findings {
		if more, of := strings.CutPrefix(f.Where, a.where("")); of || strings.HasPrefix(f.Where, "env") {
			f.Where = at(strings.TrimSpace(more))
		}
		f.Repository, f.Subject = "", ""
		d.find(f)
	}
	if err != nil { // no cluster is asked, so that only an end of the work is one
		d.find(CredentialMissing.Finding("", at(""), "where the agent's credential stands was not found out: "+err.Error()))
	}
}
