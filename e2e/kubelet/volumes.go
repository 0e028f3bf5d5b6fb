package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type refKind string

const (
	secretRef    refKind = "secret"
	configMapRef refKind = "configmap"
)

// ref names a Secret or ConfigMap of the Pod's namespace.
type ref struct {
	kind refKind
	name string
}

func (r ref) String() string { return fmt.Sprintf("%s %q", r.kind, r.name) }

// file is one file of a volume.
type file struct {
	content []byte
	mode    fs.FileMode
}

// volume is what a volume of a Pod holds now.
type volume struct {
	dir     string
	managed bool            // files are ours and are refreshed; else an empty folder for the process
	files   map[string]file // by path below dir
	version int
}

// token is a service account token and when to replace it.
type token struct {
	value string
	renew time.Time
}

// references lists the Secrets and ConfigMaps that a Pod uses.
func references(object *corev1.Pod) map[ref]bool {
	refs := map[ref]bool{}
	for _, v := range object.Spec.Volumes {
		if v.Secret != nil {
			refs[ref{secretRef, v.Secret.SecretName}] = true
		}
		if v.ConfigMap != nil {
			refs[ref{configMapRef, v.ConfigMap.Name}] = true
		}
		if v.Projected != nil {
			for _, source := range v.Projected.Sources {
				if source.Secret != nil {
					refs[ref{secretRef, source.Secret.Name}] = true
				}
				if source.ConfigMap != nil {
					refs[ref{configMapRef, source.ConfigMap.Name}] = true
				}
			}
		}
	}
	for _, c := range append(append([]corev1.Container{}, object.Spec.InitContainers...), object.Spec.Containers...) {
		for _, from := range c.EnvFrom {
			if from.SecretRef != nil {
				refs[ref{secretRef, from.SecretRef.Name}] = true
			}
			if from.ConfigMapRef != nil {
				refs[ref{configMapRef, from.ConfigMapRef.Name}] = true
			}
		}
		for _, v := range c.Env {
			if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
				refs[ref{secretRef, v.ValueFrom.SecretKeyRef.Name}] = true
			}
			if v.ValueFrom != nil && v.ValueFrom.ConfigMapKeyRef != nil {
				refs[ref{configMapRef, v.ValueFrom.ConfigMapKeyRef.Name}] = true
			}
		}
	}
	return refs
}

// refreshVolumes brings all volumes to what Secrets, ConfigMaps and tokens are
// now. Volumes that did not change are not touched. A volume that fails, with
// errMissing if what it refers to is not there, stays as it was and keeps no other
// from being refreshed.
func (p *pod) refreshVolumes(ctx context.Context, object *corev1.Pod) error {
	var errs []error
	for i := range object.Spec.Volumes {
		declared := &object.Spec.Volumes[i]
		if err := p.refreshVolume(ctx, object, declared); err != nil {
			errs = append(errs, fmt.Errorf("volume %q: %w", declared.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (p *pod) refreshVolume(ctx context.Context, object *corev1.Pod, declared *corev1.Volume) error {
	v := p.volumes[declared.Name]
	if v == nil {
		v = &volume{dir: filepath.Join(p.root, ".volumes", declared.Name)}
		if err := os.MkdirAll(v.dir, 0o755); err != nil {
			return err
		}
		p.volumes[declared.Name] = v
	}
	files, managed, err := p.volumeFiles(ctx, object, declared)
	if err != nil {
		return err
	}
	v.managed = managed
	if !managed {
		return nil
	}
	return v.write(files)
}

// volumeFiles returns the files that a volume should hold; false for a volume
// whose content is the processes' own.
func (p *pod) volumeFiles(ctx context.Context, object *corev1.Pod, declared *corev1.Volume) (map[string]file, bool, error) {
	files := map[string]file{}
	switch {
	case declared.Secret != nil:
		s := declared.Secret
		return files, true, p.addContent(files, ref{secretRef, s.SecretName}, s.Items, s.DefaultMode, isTrue(s.Optional))
	case declared.ConfigMap != nil:
		c := declared.ConfigMap
		return files, true, p.addContent(files, ref{configMapRef, c.Name}, c.Items, c.DefaultMode, isTrue(c.Optional))
	case declared.DownwardAPI != nil:
		return files, true, p.addFields(files, object, declared.DownwardAPI.Items, declared.DownwardAPI.DefaultMode)
	case declared.Projected != nil:
		mode := declared.Projected.DefaultMode
		for _, source := range declared.Projected.Sources {
			var err error
			switch {
			case source.Secret != nil:
				err = p.addContent(files, ref{secretRef, source.Secret.Name}, source.Secret.Items, mode, isTrue(source.Secret.Optional))
			case source.ConfigMap != nil:
				err = p.addContent(files, ref{configMapRef, source.ConfigMap.Name}, source.ConfigMap.Items, mode, isTrue(source.ConfigMap.Optional))
			case source.DownwardAPI != nil:
				err = p.addFields(files, object, source.DownwardAPI.Items, mode)
			case source.ServiceAccountToken != nil:
				err = p.addToken(ctx, files, object, declared.Name, source.ServiceAccountToken, mode)
			default:
				err = errors.New("this projected source is not supported here")
			}
			if err != nil {
				return nil, true, err
			}
		}
		return files, true, nil
	}
	return nil, false, nil
}

func (p *pod) addContent(files map[string]file, r ref, items []corev1.KeyToPath, mode *int32, optional bool) error {
	content, err := p.content(r, optional)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		for key, value := range content {
			files[key] = file{value, fileMode(mode, nil)}
		}
		return nil
	}
	for _, item := range items {
		value, ok := content[item.Key]
		if !ok && optional {
			continue
		}
		if !ok {
			return fmt.Errorf("key %q of %s: %w", item.Key, r, errMissing)
		}
		files[filepath.Clean(item.Path)] = file{value, fileMode(mode, item.Mode)}
	}
	return nil
}

func (p *pod) addFields(files map[string]file, object *corev1.Pod, items []corev1.DownwardAPIVolumeFile, mode *int32) error {
	for _, item := range items {
		if item.FieldRef == nil {
			return errors.New("a downwardAPI volume can hold fields only here")
		}
		value, err := p.field(object, item.FieldRef.FieldPath)
		if err != nil {
			return err
		}
		files[filepath.Clean(item.Path)] = file{[]byte(value), fileMode(mode, item.Mode)}
	}
	return nil
}

// addToken adds a token of the Pod's account, bound to the Pod, and asks for
// another one when four fifths of its life are over, as a kubelet does.
func (p *pod) addToken(ctx context.Context, files map[string]file, object *corev1.Pod, volume string, wanted *corev1.ServiceAccountTokenProjection, mode *int32) error {
	id := volume + "/" + wanted.Path
	have, ok := p.tokens[id]
	if !ok || !time.Now().Before(have.renew) {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: wanted.ExpirationSeconds,
			BoundObjectRef: &authenticationv1.BoundObjectReference{
				Kind: "Pod", APIVersion: "v1", Name: object.Name, UID: object.UID,
			},
		}}
		if wanted.Audience != "" {
			request.Spec.Audiences = []string{wanted.Audience}
		}
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		asked := time.Now()
		answer, err := p.kubelet.client.CoreV1().ServiceAccounts(object.Namespace).CreateToken(ctx, object.Spec.ServiceAccountName, request, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("token of service account %s/%s: %w", object.Namespace, object.Spec.ServiceAccountName, err)
		}
		life := answer.Status.ExpirationTimestamp.Sub(asked)
		have = token{answer.Status.Token, asked.Add(max(min(life*4/5, 24*time.Hour), 10*time.Second))}
		p.tokens[id] = have
	}
	files[filepath.Clean(wanted.Path)] = file{[]byte(have.value), fileMode(mode, nil)}
	return nil
}

func fileMode(mode, own *int32) fs.FileMode {
	switch {
	case own != nil:
		return fs.FileMode(*own) & fs.ModePerm
	case mode != nil:
		return fs.FileMode(*mode) & fs.ModePerm
	}
	return 0o644
}

// dataLink is the link that is turned to make a new set of files visible at
// once; the names in the volume lead through it. Programs that watch mounted
// Secrets rely on this layout.
const dataLink = "..data"

// write makes the volume hold exactly files, in one step for a reader.
func (v *volume) write(files map[string]file) error {
	if v.files != nil && sameFiles(v.files, files) {
		return nil
	}
	v.version++
	generation := fmt.Sprintf("..%d_%d", time.Now().UnixNano(), v.version)
	for path, f := range files {
		if !filepath.IsLocal(path) {
			return fmt.Errorf("path %q leads out of the volume", path)
		}
		target := filepath.Join(v.dir, generation, path)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, f.content, 0o600); err != nil {
			return err
		}
		if err := os.Chmod(target, f.mode); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(v.dir, generation), 0o755); err != nil {
		return err
	}
	before, err := os.Readlink(filepath.Join(v.dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := relink(generation, filepath.Join(v.dir, dataLink)); err != nil {
		return err
	}
	wanted := map[string]bool{}
	for path := range files {
		first, _, _ := strings.Cut(filepath.ToSlash(path), "/")
		wanted[first] = true
	}
	for name := range wanted {
		if err := relink(filepath.Join(dataLink, name), filepath.Join(v.dir, name)); err != nil {
			return err
		}
	}
	for path := range v.files {
		first, _, _ := strings.Cut(filepath.ToSlash(path), "/")
		if !wanted[first] {
			if err := os.Remove(filepath.Join(v.dir, first)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	v.files = files
	if before != "" {
		return os.RemoveAll(filepath.Join(v.dir, before))
	}
	return nil
}

func sameFiles(a, b map[string]file) bool {
	if len(a) != len(b) {
		return false
	}
	for path, f := range a {
		g, ok := b[path]
		if !ok || f.mode != g.mode || !bytes.Equal(f.content, g.content) {
			return false
		}
	}
	return true
}

// relink makes link point to target, replacing what is there in one step.
func relink(target, link string) error {
	if current, err := os.Readlink(link); err == nil && current == target {
		return nil
	}
	next := link + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	return os.Rename(next, link)
}

// mount makes the volumes of one container visible at their mount paths below
// the Pod's root. Mounting again is harmless. A subPath of a Secret or ConfigMap
// is a copy that is not refreshed, as in Kubernetes.
func (p *pod) mount(c *corev1.Container, env *environment) error {
	mounts := append([]corev1.VolumeMount{}, c.VolumeMounts...)
	sort.SliceStable(mounts, func(i, j int) bool { return len(mounts[i].MountPath) < len(mounts[j].MountPath) })
	for _, m := range mounts {
		if err := p.mountOne(m, env); err != nil {
			return fmt.Errorf("mount volume %q at %s: %w", m.Name, m.MountPath, err)
		}
	}
	return nil
}

func (p *pod) mountOne(m corev1.VolumeMount, env *environment) error {
	v := p.volumes[m.Name]
	if v == nil {
		return errors.New("the pod has no such volume")
	}
	at := filepath.Join(p.root, m.MountPath)
	if at == p.root {
		return errors.New("a mount at / cannot be played here")
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	sub := m.SubPath
	if m.SubPathExpr != "" {
		sub = expand(m.SubPathExpr, env.lookup)
	}
	if sub == "" || sub == "." {
		return replaceByLink(v.dir, at)
	}
	if !filepath.IsLocal(sub) {
		return fmt.Errorf("subPath %q leads out of the volume", sub)
	}
	if f, ok := v.files[filepath.Clean(sub)]; ok && v.managed {
		if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(at, f.content, 0o600); err != nil {
			return err
		}
		return os.Chmod(at, f.mode)
	}
	if v.managed {
		return fmt.Errorf("subPath %q: %w", sub, errMissing)
	}
	source := filepath.Join(v.dir, sub)
	if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(source, 0o755); err != nil {
			return err
		}
	}
	return replaceByLink(source, at)
}

// replaceByLink puts a link at a mount path, in place of an empty folder made
// for something else.
func replaceByLink(source, at string) error {
	if info, err := os.Lstat(at); err == nil && info.IsDir() {
		if err := os.Remove(at); err != nil {
			return fmt.Errorf("%w: another mount lies below it and was made first", err)
		}
	}
	return relink(source, at)
}
