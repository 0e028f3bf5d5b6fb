package build

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

// decrypts says whether the Kustomization asks for decryption.
func decrypts(ks *kustomizev1.Kustomization) bool {
	return ks.Spec.Decryption != nil && ks.Spec.Decryption.Provider == "sops"
}

// sourceDecryption lays the plain text of encrypted files over the artifact:
// those that generators of Secrets and patches read, in the kustomization file
// that is built and in all that it refers to (source: kustomize-controller,
// internal/decryptor/decryptor.go). Nothing is written.
type sourceDecryption struct {
	ctx   context.Context
	files *overlayFS
	keys  *Keys
	// generated is the kustomization file that is laid over the artifact.
	generated string
	// seen are the files and folders that were looked at.
	seen map[string]bool
	// decrypted are the files whose plain text is laid over the artifact.
	decrypted []string
}

func decryptSources(ctx context.Context, files *overlayFS, generated string, keys *Keys) (decrypted []string, err error) {
	d := sourceDecryption{ctx: ctx, files: files, keys: keys, generated: generated, seen: map[string]bool{}}
	err = d.folder(path.Dir(generated))
	return d.decrypted, err
}

// folder decrypts what the kustomization file of a folder reads, and goes on to
// the folders that it names. What kustomize will complain about is left to it.
func (d *sourceDecryption) folder(dir string) error {
	if isFolder, ok := d.files.artifact.Has(dir); !ok || !isFolder || d.seen[dir] {
		return nil
	}
	d.seen[dir] = true
	name, found := kustomizationFile(d.files.artifact, dir)
	if dir == path.Dir(d.generated) {
		name, found = d.generated, true
	}
	if !found {
		return nil
	}
	// Not as kustomize reads it: what that one may not read is told by its build.
	text, laid := d.files.written[name]
	if !laid {
		var err error
		if text, err = d.files.artifact.read(name); err != nil {
			return err
		}
	}
	err := d.reads(dir, name, text)
	if err != nil && d.ctx.Err() == nil && slices.Contains(d.decrypted, name) {
		return fmt.Errorf("%s, which is encrypted, cannot be read as a kustomization file, or names what cannot be; what it says is not told", name)
	}
	return err
}

// reads decrypts what the text of a kustomization file says that it reads.
func (d *sourceDecryption) reads(dir, name string, text []byte) error {
	var k kustypes.Kustomization
	if err := yaml.Unmarshal(text, &k); err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	for _, g := range k.SecretGenerator {
		for _, source := range g.FileSources {
			key, file, renamed := strings.Cut(source, "=")
			if !renamed {
				file = key
			}
			if err := d.file(dir, file, formatOf(key)); err != nil {
				return err
			}
		}
		for _, file := range g.EnvSources {
			f := formatOf(file)
			if f == binary {
				f = dotenvFormat
			}
			if err := d.file(dir, file, f); err != nil {
				return err
			}
		}
	}
	for _, p := range k.Patches {
		if p.Path == "" || strings.Contains(p.Path, "://") {
			continue
		}
		if err := d.file(dir, p.Path, formatOf(p.Path)); err != nil {
			return err
		}
	}
	for _, r := range slices.Concat(k.Resources, k.Components) {
		if err := d.folder(Folder(path.Join(dir, r))); err != nil {
			return err
		}
	}
	return nil
}

// file decrypts one file, if it is encrypted.
func (d *sourceDecryption) file(dir, name string, f format) error {
	p := Folder(path.Join(dir, name))
	if d.seen[p] {
		return nil
	}
	isFolder, ok := d.files.artifact.Has(p)
	if !ok || isFolder {
		return fmt.Errorf("%s names %s, which is no file of the artifact", dir, name)
	}
	if info, err := fs.Stat(d.files.artifact.tree, p); err != nil {
		return fmt.Errorf("look at %s: %w", p, err)
	} else if info.Size() > maxEncryptedFile {
		return fmt.Errorf("%s has %d bytes; a file that may have to be decrypted has at most %d", p, info.Size(), maxEncryptedFile)
	}
	d.seen[p] = true
	text, err := fs.ReadFile(d.files.artifact.tree, p)
	if err != nil {
		return fmt.Errorf("read %s: %w", p, err)
	}
	if !strings.Contains(string(text), formats[f].marker) {
		return nil
	}
	plain, err := decryption{in: f, out: f, keys: d.keys}.decrypt(d.ctx, text)
	if err == nil {
		err = checkAliases(plain)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	d.files.written[p] = plain
	d.decrypted = append(d.decrypted, p)
	return nil
}

// decryptResource decrypts one built object: one with the metadata of SOPS, of
// whatever kind; of a Secret without, each value that is an encrypted file. It
// reports whether anything of the object was decrypted.
func decryptResource(ctx context.Context, built resmap.ResMap, r *resource.Resource, keys *Keys) (decrypted bool, err error) {
	if strings.EqualFold(r.GetAnnotations(keyDecrypt)[keyDecrypt], kustomizev1.DisabledValue) {
		return false, nil
	}
	sops := r.Field("sops")
	switch {
	case !sops.IsNilOrEmpty() && !sops.Value.Field("mac").IsNilOrEmpty():
		text, err := r.MarshalJSON()
		if err != nil {
			return false, errors.New("it cannot be printed")
		}
		plain, err := decryption{in: jsonFormat, out: jsonFormat, keys: keys}.decrypt(ctx, text)
		if err != nil {
			return false, err
		}
		if err := r.UnmarshalJSON(plain); err != nil {
			return false, errors.New("what was decrypted is no object")
		}
		decrypted = true
	case r.GetKind() == "Secret":
		if decrypted, err = decryptData(ctx, r, keys); err != nil {
			return false, err
		}
	default:
		return false, nil
	}
	if _, err := built.Replace(r); err != nil {
		return false, errors.New("what was decrypted is another object by kind, namespace or name")
	}
	return decrypted, nil
}

// decryptData decrypts the values of a Secret that are encrypted files. As
// upstream, it looks at data alone; a file that stands in stringData would be
// applied as it is, and is refused.
func decryptData(ctx context.Context, r *resource.Resource, keys *Keys) (decrypted bool, err error) {
	var texts map[string]any
	if f := r.Field("stringData"); !f.IsNilOrEmpty() && f.Value.YNode().Decode(&texts) != nil {
		texts = nil // what is no mapping is left to the build and the API server to refuse
	}
	for _, key := range sortedKeys(texts) {
		if text, ok := texts[key].(string); ok && isEncryptedFile(ctx, []byte(text)) {
			return false, fmt.Errorf("%w: its field '%s' in stringData is an encrypted file, which is decrypted in data alone; put it there, in base64", ErrCiphertext, key)
		}
	}
	data := r.GetDataMap()
	for _, key := range sortedKeys(data) {
		// What is not in base64 is left to the build to refuse.
		value, err := base64.StdEncoding.DecodeString(data[key])
		if err != nil {
			continue
		}
		in, encrypted := marked(value)
		if !encrypted {
			// What was written anew may have lost the mark that it is known by.
			if isEncryptedFile(ctx, value) {
				return false, fmt.Errorf("%w: its field '%s' in data is an encrypted file that is not written as SOPS writes it; encrypt it again", ErrCiphertext, key)
			}
			continue
		}
		plain, err := decryption{in: in, out: formatOf(key), keys: keys}.decrypt(ctx, value)
		if err != nil {
			return false, fmt.Errorf("its field '%s': %w", key, err)
		}
		decrypted = true
		data[key] = base64.StdEncoding.EncodeToString(plain)
	}
	// Also where nothing changed, as upstream: it drops a field that holds none.
	r.SetDataMap(data)
	return decrypted, nil
}

// quotes reports whether an error of kustomize over decrypted files may quote
// them: it does not if the same build over the encrypted files says the same.
func quotes(ctx context.Context, err error, a *Artifact, dir, generated string, content []byte, allowHTTP bool) bool {
	files := &overlayFS{artifact: a, written: map[string][]byte{generated: content}, allowHTTP: allowHTTP, limits: DefaultLimits}
	_, other := awaitKustomize(ctx, files, dir, nil)
	return other == nil || other.Error() != err.Error()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
