package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/konfig"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

// Errors that callers tell apart; the others are faults of the manifests.
var (
	// ErrPathNotFound: spec.path is not a folder of the artifact. In
	// kustomize-controller the reason is ArtifactFailed, not BuildFailed.
	ErrPathNotFound = errors.New("kustomization path not found")
	// ErrRemoteBase: a kustomization file refers to something outside the
	// artifact.
	ErrRemoteBase = errors.New("remote bases are refused")
	// ErrEncrypted: a Secret is encrypted with SOPS and the Kustomization has
	// no spec.decryption.
	ErrEncrypted = errors.New("SOPS encrypted, configuring decryption is required for this secret to be reconciled")
	// ErrAliases: a YAML document's aliases contain themselves or grow beyond
	// any use. kustomize would exhaust the stack, which ends the process.
	ErrAliases = errors.New("YAML aliases contain themselves or expand without bound")
)

// Input is all that a rendering depends on.
type Input struct {
	// Tree is the source's tree at one commit, as source.Snapshot.Tree.
	// Unused if Artifact is given.
	Tree fs.FS
	// SpecIgnore is the source's spec.ignore; nil if it has none. An empty
	// text differs from none only in holding no pattern, that is, not at all.
	// Unused if Artifact is given.
	SpecIgnore *string
	// Artifact is the filtered tree, shared by the Kustomizations of one
	// source; nil makes one from Tree and SpecIgnore, which walks the whole
	// tree.
	Artifact *Artifact
	// Kustomization is the object to render; read only. Its metadata gives
	// the owner labels. Fields used: path, targetNamespace, namePrefix,
	// nameSuffix, patches, images, components, ignoreMissingComponents,
	// buildMetadata, commonMetadata, postBuild, decryption. Required.
	Kustomization *kustomizev1.Kustomization
	// Variables are those of postBuild.substituteFrom, resolved by the caller
	// (later references overrule earlier ones); postBuild.substitute
	// overrules them. Without spec.postBuild they are not used.
	Variables map[string]string
	// Keys are those of spec.decryption.secretRef, read by the caller; nil if
	// there are none. Without spec.decryption they are not used.
	Keys *Keys
	// StrictSubstitution makes a variable that has neither value nor default
	// an error (kustomize-controller's feature gate StrictPostBuildSubstitutions).
	StrictSubstitution bool
	// AllowRemoteBases lets kustomization files load single files over HTTP
	// and HTTPS. Bases in remote Git repositories are refused in any case,
	// because they need a git program and are not fixed by the revision.
	AllowRemoteBases bool
	// WithoutSchema are kinds of Kubernetes' own that Kustomize is to build as if
	// it had no schema of them, as an older one does that fluxd runs: then a list
	// in a strategic merge patch takes the place of the whole list. Such a build
	// has the process's schema to itself.
	WithoutSchema []schema.GroupVersionKind
	// Limits on what kustomize is let build; zero means [DefaultLimits].
	Limits Limits
	// Budget, if set, is what this build may take with others.
	Budget *Budget
}

// Rendering is what Render gives.
type Rendering struct {
	// Objects to apply, in the order in which they are applied. They belong
	// to the caller.
	Objects []*unstructured.Unstructured

	built []builtObject
	// decrypted are those of Objects that may hold what was decrypted.
	decrypted map[*unstructured.Unstructured]bool
}

// Decrypted reports whether one of Objects may hold what was decrypted: then all
// its values are secret, whatever its kind. It does if it was decrypted itself or
// in part. Where a file was decrypted that a generator or a patch reads, every
// object does: which of them it went into is not told.
func (r *Rendering) Decrypted(u *unstructured.Unstructured) bool { return r.decrypted[u] }

// Objects renders a Kustomization; see Render.
func Objects(ctx context.Context, in Input) ([]*unstructured.Unstructured, error) {
	r, err := Render(ctx, in)
	if err != nil {
		return nil, err
	}
	return r.Objects, nil
}

// Render renders a Kustomization as kustomize-controller 1.9 does. A folder
// without manifests gives no objects and no error: whether that may remove
// everything is the caller's decision. An error means nothing was rendered and
// names the file, and where one can be told the document, at fault; see the
// Err values. Nothing is written anywhere. The context is looked at between
// the stages and wherever kustomize reads a file; when it ends, kustomize is not
// waited for: it ends by itself at the next file, or with what [Limits] let it do.
//
// With spec.decryption, files that generators and patches read are decrypted
// before the build and objects after it, with [Input].Keys; MACs are not checked,
// since a build changes what they are taken over. No error holds a value.
//
// Two things are stricter than upstream: an encrypted Secret without
// spec.decryption is refused also when all its values stand in stringData,
// where upstream's normalisation drops the SOPS metadata before looking for it;
// and so is an object of any kind that still holds ciphertext, see [Undecrypted],
// and with spec.decryption a ConfigMap or a Secret with a value that is a whole
// encrypted file and is not decrypted.
// One is narrower: only PGP and age keys are used, and none from the environment.
// The context is looked at between the values that are decrypted, too.
func Render(ctx context.Context, in Input) (*Rendering, error) {
	ks := in.Kustomization
	if ks == nil {
		return nil, errors.New("render: no Kustomization given")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	a := in.Artifact
	if a == nil {
		var err error
		if a, err = NewArtifact(in.Tree, in.SpecIgnore); err != nil {
			return nil, err
		}
	}
	dir := Folder(ks.Spec.Path)
	if isFolder, ok := a.Has(dir); !ok {
		return nil, fmt.Errorf("%w: the artifact has no folder %q", ErrPathNotFound, ks.Spec.Path)
	} else if !isFolder {
		return nil, fmt.Errorf("%w: %q is a file; give the folder it is in", ErrPathNotFound, ks.Spec.Path)
	}

	built, plain := []builtObject(nil), false
	if marks, only := marksOf(ks.Spec.Patches); only && !hasOverlay(ks) && !decrypts(ks) {
		built, plain = buildPlain(ctx, a, dir, marks)
	}
	if !plain {
		var err error
		if built, err = buildKustomize(ctx, a, dir, in); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	r := &Rendering{built: built, decrypted: map[*unstructured.Unstructured]bool{}}
	if err := r.finish(ctx, ks); err != nil {
		s := &secretValues{read: a.read, pieces: map[string]bool{}}
		for _, b := range built {
			s.file(b.json, dir, false)
		}
		return nil, s.clean(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	return r, nil
}

// Folder is the folder of a spec.path inside the tree, slash-separated and
// clean, "." for the root. ".." never leads out of the tree (source:
// kustomize-controller joins the path securely below the root).
func Folder(specPath string) string {
	p := path.Clean("/" + specPath)
	if p == "/" {
		return "."
	}
	return p[1:]
}

// hasOverlay says whether the Kustomization changes what its folder builds other
// than by patches, before the build or with variables after it.
func hasOverlay(ks *kustomizev1.Kustomization) bool {
	s := &ks.Spec
	return s.TargetNamespace != "" || s.NamePrefix != "" || s.NameSuffix != "" ||
		len(s.Images) > 0 || len(s.Components) > 0 ||
		len(s.BuildMetadata) > 0 || s.PostBuild != nil
}

// builtObject is one object as the build gives it, before it is made ready
// for the apply.
type builtObject struct {
	json   []byte
	object *unstructured.Unstructured
	// decrypted is as Rendering.Decrypted.
	decrypted bool
}

// finish does what kustomize-controller does between build and apply (source:
// internal/controller/kustomization_controller.go): expand lists, drop what is
// no object, owner labels, normalisation, common metadata, order.
func (r *Rendering) finish(ctx context.Context, ks *kustomizev1.Kustomization) error {
	objects := make([]*unstructured.Unstructured, 0, len(r.built))
	add := func(u *unstructured.Unstructured, decrypted bool) {
		objects = append(objects, u)
		if decrypted {
			r.decrypted[u] = true
		}
	}
	for _, b := range r.built {
		if !b.object.IsList() {
			if ssautil.IsKubernetesObject(b.object) && !ssautil.IsKustomization(b.object) {
				add(b.object, b.decrypted)
			}
			continue
		}
		// kustomize expands kinds named …List; anything else with `items`
		// is expanded here.
		err := b.object.EachListItem(func(item runtime.Object) error {
			u, ok := item.(*unstructured.Unstructured)
			if !ok {
				return fmt.Errorf("an item is a %T", item)
			}
			add(u, b.decrypted)
			return nil
		})
		if err != nil {
			return fmt.Errorf("expand the items of %s: %w", ssautil.FmtUnstructured(b.object), err)
		}
	}
	for _, u := range objects {
		if isEncryptedSecret(u) && !decryptionDisabled(u) {
			return fmt.Errorf("%s is %w", ssautil.FmtUnstructured(u), ErrEncrypted)
		}
		err := Undecrypted(u, decrypts(ks))
		if err == nil && decrypts(ks) {
			err = undecryptedFile(ctx, u)
		}
		if err != nil {
			return fmt.Errorf("%s would be applied as ciphertext: %w", ssautil.FmtUnstructured(u), err)
		}
		labels := u.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[kustomizev1.GroupVersion.Group+"/name"] = ks.GetName()
		labels[kustomizev1.GroupVersion.Group+"/namespace"] = ks.GetNamespace()
		u.SetLabels(labels)
	}
	for _, u := range objects {
		err := Normalize(u)
		if err != nil && r.decrypted[u] {
			return fmt.Errorf("%s normalization error: what was decrypted does not fit its kind", ssautil.FmtUnstructured(u))
		}
		if err != nil {
			return err
		}
	}
	if m := ks.Spec.CommonMetadata; m != nil {
		ssautil.SetCommonMetadata(objects, m.Labels, m.Annotations)
	}
	sort.Sort(ssa.SortableUnstructureds(objects))
	r.Objects = objects
	return nil
}

// Normalize writes an object out through its kind's own type, if that is known,
// as upstream does before it is applied (fluxcd/pkg: ssa/normalize). An error is
// of an object that does not fit its kind, or of a kind that no cluster keeps.
func Normalize(u *unstructured.Unstructured) error {
	if typed, err := scheme.Scheme.New(u.GroupVersionKind()); err == nil {
		if _, ok := typed.(metav1.Object); !ok { // upstream has no answer to these
			return fmt.Errorf("%s is no object: no cluster keeps a %s of %s", ssautil.FmtUnstructured(u), u.GetKind(), u.GetAPIVersion())
		}
	}
	return normalize.UnstructuredList([]*unstructured.Unstructured{u})
}

func isEncryptedSecret(u *unstructured.Unstructured) bool {
	if u.GetKind() != "Secret" || u.GetAPIVersion() != "v1" {
		return false
	}
	_, found := u.Object["sops"]
	return found
}

// keyDecrypt is the annotation by which an object is kept encrypted.
var keyDecrypt = kustomizev1.GroupVersion.Group + "/decrypt"

// decryptionDisabled reports whether an annotation keeps an object encrypted. It is read
// by itself: another of Git's that is no text does not hide it.
func decryptionDisabled(u *unstructured.Unstructured) bool {
	value, _, _ := unstructured.NestedString(u.Object, "metadata", "annotations", keyDecrypt)
	return strings.EqualFold(value, kustomizev1.DisabledValue)
}

// kustomizationFile gives the kustomization file of a folder, if it has one.
func kustomizationFile(a *Artifact, dir string) (string, bool) {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		p := path.Join(dir, name)
		if isFolder, ok := a.Has(p); ok && !isFolder {
			return p, true
		}
	}
	return "", false
}
