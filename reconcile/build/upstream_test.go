package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/kustomize"
	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

// upstream renders a fixture with the libraries that the controllers use, in
// the order in which they use them: source-controller's archive filter,
// the kustomize generator and build on disk, substitution with variables from
// the cluster, and the preparation for the apply.
func upstream(t testing.TB, f fixture) (objects []*unstructured.Unstructured, digest string, err error) {
	t.Helper()
	checkout, artifact := t.TempDir(), t.TempDir()
	if err := os.CopyFS(checkout, f.tree); err != nil {
		t.Fatal(err)
	}
	upstreamArchive(t, checkout, artifact, f.in.SpecIgnore)

	ks := f.in.Kustomization.DeepCopy()
	if f.in.Variables != nil && ks.Spec.PostBuild != nil && len(ks.Spec.PostBuild.SubstituteFrom) == 0 {
		ks.Spec.PostBuild.SubstituteFrom = []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "vars"}}
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(ks)
	if err != nil {
		t.Fatal(err)
	}
	u := unstructured.Unstructured{Object: content}
	dir := filepath.Join(artifact, filepath.Clean("/"+ks.Spec.Path))
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, "", fmt.Errorf("kustomization path not found: %s", ks.Spec.Path)
	}
	if _, err := kustomize.NewGenerator(artifact, u).WriteFile(dir); err != nil {
		return nil, "", err
	}
	m, err := kustomize.SecureBuild(artifact, dir, false)
	if err != nil {
		return nil, "", err
	}
	for _, res := range m.Resources() {
		if res.GetName() == "" || res.GetKind() == "" || res.GetApiVersion() == "" {
			return nil, "", fmt.Errorf("failed to decode Kubernetes apiVersion, kind and name from: %v", res.String())
		}
		if ks.Spec.PostBuild == nil {
			continue
		}
		out, err := kustomize.SubstituteVariables(context.Background(), variables{values: f.in.Variables}, u, res,
			kustomize.SubstituteWithStrict(f.in.StrictSubstitution),
			kustomize.SubstituteWithAlways(ks.GetSubstituteStrategy() == kustomizev1.SubstituteStrategyAlways))
		if err != nil {
			return nil, "", err
		}
		if out != nil {
			if _, err := m.Replace(res); err != nil {
				return nil, "", err
			}
		}
	}
	text, err := m.AsYaml()
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(text)
	objects, err = ssautil.ReadObjects(bytes.NewReader(text))
	if err != nil {
		return nil, "", err
	}
	manager := ssa.NewResourceManager(nil, nil, ssa.Owner{Field: "kustomize-controller", Group: kustomizev1.GroupVersion.Group})
	manager.SetOwnerLabels(objects, ks.GetName(), ks.GetNamespace())
	if err := normalize.UnstructuredList(objects); err != nil {
		return nil, "", err
	}
	if m := ks.Spec.CommonMetadata; m != nil {
		ssautil.SetCommonMetadata(objects, m.Labels, m.Annotations)
	}
	for _, o := range objects {
		_, sops := o.Object["sops"]
		if o.GetKind() == "Secret" && sops && !strings.EqualFold(o.GetAnnotations()["kustomize.toolkit.fluxcd.io/decrypt"], "disabled") {
			return nil, "", fmt.Errorf("%s is SOPS encrypted", ssautil.FmtUnstructured(o))
		}
	}
	sort.Sort(ssa.SortableUnstructureds(objects))
	return objects, "sha256:" + hex.EncodeToString(sum[:]), nil
}

// upstreamArchive copies what source-controller would archive.
func upstreamArchive(t testing.TB, from, to string, specIgnore *string) {
	t.Helper()
	domain := strings.Split(from, string(filepath.Separator))
	patterns, err := sourceignore.LoadIgnorePatterns(from, domain)
	if err != nil {
		t.Fatal(err)
	}
	if specIgnore != nil {
		patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(*specIgnore), domain)...)
	}
	matcher := sourceignore.NewDefaultMatcher(patterns, domain)
	if len(patterns) > 0 {
		matcher = sourceignore.NewMatcher(append(sourceignore.VCSPatterns(domain), patterns...))
	}
	err = filepath.Walk(from, func(p string, info fs.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() && !info.IsDir() {
			return nil
		}
		if matcher.Match(strings.Split(p, string(filepath.Separator)), info.IsDir()) {
			return nil
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if info.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// variables answers every read with a ConfigMap of the values.
type variables struct {
	client.Client
	values map[string]string
}

func (v variables) Get(_ context.Context, _ client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	if cm, ok := obj.(*corev1.ConfigMap); ok {
		cm.Data = v.values
	}
	return nil
}
