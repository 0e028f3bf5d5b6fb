package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/yaml"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"
)

// buildKustomize generates the kustomization file, runs kustomize over it and
// substitutes variables.
func buildKustomize(ctx context.Context, a *Artifact, dir string, in Input) ([]builtObject, error) {
	limits := in.Limits
	if limits == (Limits{}) {
		limits = DefaultLimits
	}
	generated, name, err := generate(ctx, a, dir, in.Kustomization)
	if err != nil {
		return nil, err
	}
	files := &overlayFS{artifact: a, written: map[string][]byte{name: generated}, allowHTTP: in.AllowRemoteBases, limits: limits}
	if err = in.Budget.left(); err == nil {
		err = in.Budget.afford(costOf(files, dir, limits))
	}
	if err != nil {
		return nil, fmt.Errorf("folder %s is not built: %w", dir, cleanError(err))
	}
	var decrypted []string
	if decrypts(in.Kustomization) {
		if decrypted, err = decryptSources(ctx, files, name, in.Keys); err != nil {
			return nil, fmt.Errorf("error decrypting sources: %w", err)
		}
	}
	safe := func(err error) error { return withoutSecrets(cleanError(err), files.content, files.reads...) }
	resources, err := awaitKustomize(ctx, files, dir, in.WithoutSchema)
	var ended stopped
	if errors.As(err, &ended) {
		return nil, err
	}
	if err != nil {
		if len(decrypted) > 0 && quotes(ctx, err, a, dir, name, generated, in.AllowRemoteBases) {
			return nil, fmt.Errorf("kustomize build failed over the plain text of %s; what it says may quote that, and is not told", some(decrypted))
		}
		return nil, fmt.Errorf("kustomize build failed: %w", safe(err))
	}
	substitute, err := substitution(in)
	if err != nil {
		return nil, err
	}
	built := make([]builtObject, 0, resources.Size())
	// secret: what is built may quote what was decrypted.
	secret := len(decrypted) > 0
	opened := make([]bool, resources.Size()) // what takes an object's place keeps its index
	for i, r := range resources.Resources() {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("render: %w", err)
		}
		if r.GetName() == "" || r.GetKind() == "" || r.GetApiVersion() == "" {
			return nil, fmt.Errorf("failed to decode Kubernetes apiVersion, kind and name from: %s", r.CurId())
		}
		if decrypts(in.Kustomization) {
			// Before the object changes: what is decrypted may have any name.
			id := fmt.Sprintf("%s/%s", r.GetGvk(), r.GetName())
			if opened[i], err = decryptResource(ctx, resources, r, in.Keys); err != nil {
				return nil, fmt.Errorf("decryption failed for '%s': %w", id, err)
			}
			secret = secret || opened[i]
		}
		if substitute != nil {
			changed, err := substitute(ctx, r)
			if err != nil && secret {
				// It names what stands where a variable may stand.
				return nil, fmt.Errorf("post build failed for '%s/%s': a variable in what was decrypted has no value or cannot be substituted", r.GetGvk(), r.GetName())
			}
			if err != nil {
				return nil, fmt.Errorf("post build failed for '%s/%s': %w", r.GetGvk(), r.GetName(), safe(err))
			}
			if changed != nil {
				if _, err := resources.Replace(changed); err != nil {
					return nil, fmt.Errorf("post build failed for '%s/%s': %w", r.GetGvk(), r.GetName(), safe(err))
				}
			}
		}
	}
	for i, r := range resources.Resources() {
		b, err := readBack(r)
		if err != nil && secret {
			return nil, fmt.Errorf("read %s: what was decrypted is no object", r.CurId())
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", r.CurId(), safe(err))
		}
		b.decrypted = opened[i] || len(decrypted) > 0
		built = append(built, b)
	}
	return built, nil
}

// readBack prints a built resource and reads it again, as kustomize-controller
// does between build and apply.
func readBack(r *resource.Resource) (builtObject, error) {
	data, err := r.MarshalJSON()
	if err != nil {
		return builtObject{}, err
	}
	text, err := yaml.JSONToYAML(data)
	if err != nil {
		return builtObject{}, err
	}
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, u); err != nil {
		return builtObject{}, err
	}
	return builtObject{json: data, object: u}, nil
}

// schema guards kustomize's process-wide OpenAPI schema, which is why the
// upstream library builds one at a time: a build reads it without a lock while
// another may still be filling or replacing it (kubernetes-sigs/kustomize#3659).
// Once the built-in schema is loaded, builds only read it, with one exception:
// a kustomization file with an `openapi` field replaces it for the whole
// process. So builds share the lock, and only such a build, or one that is to
// lack a part of the schema, holds it alone and puts the built-in schema back.
var schemaLock sync.RWMutex

// errOwnSchema stops a shared build that comes upon an `openapi` field.
var errOwnSchema = errors.New("the kustomization brings its own OpenAPI schema")

// stopped is the end of a build that was not waited for.
type stopped struct{ error }

func (s stopped) Unwrap() error { return s.error }

// awaitKustomize runs kustomize until the context ends, or its time. Then nothing of
// files may be touched: kustomize may go on with what it has read, which is bounded,
// and ends where it reads the next file.
func awaitKustomize(ctx context.Context, files *overlayFS, dir string, without []schema.GroupVersionKind) (resmap.ResMap, error) {
	working, cancel := context.WithTimeout(ctx, files.limits.Time)
	defer cancel()
	files.ctx = working
	type result struct {
		resources resmap.ResMap
		err       error
	}
	done := make(chan result, 1)
	go func() {
		m, err := runKustomize(files, dir, without)
		done <- result{m, err}
	}()
	select {
	case r := <-done:
		if working.Err() == nil {
			return r.resources, r.err
		}
	case <-working.Done():
	}
	if err := ctx.Err(); err != nil {
		return nil, stopped{fmt.Errorf("the build of folder %s was stopped, and nothing of it is used: %w", dir, err)}
	}
	return nil, stopped{fmt.Errorf("folder %s: %w: the build was stopped after %s, and nothing of it is used: build parts of it apart", dir, ErrTooLarge, files.limits.Time)}
}

func runKustomize(files *overlayFS, dir string, without []schema.GroupVersionKind) (resmap.ResMap, error) {
	if len(without) == 0 {
		resources, err := runShared(files, dir)
		if !errors.Is(err, errOwnSchema) {
			return resources, err
		}
	}
	schemaLock.Lock()
	defer schemaLock.Unlock()
	openapi.ResetOpenAPI()
	_ = openapi.Schema()
	defer func() {
		openapi.ResetOpenAPI()
		_ = openapi.Schema()
	}()
	if err := forget(without); err != nil {
		return nil, err
	}
	files.ownSchema, files.refused, files.bytes = true, nil, 0
	return run(files, dir)
}

// forget puts a schema without any field in the place of those of some kinds: of
// such an object Kustomize knows as much as of one without a schema.
func forget(kinds []schema.GroupVersionKind) error {
	definitions := map[string]any{}
	for _, k := range kinds {
		definitions["fluxover."+k.String()] = map[string]any{"type": "object", "x-kubernetes-group-version-kind": []any{
			map[string]any{"group": k.Group, "version": k.Version, "kind": k.Kind}}}
	}
	data, err := json.Marshal(map[string]any{"definitions": definitions})
	if err == nil {
		err = openapi.AddSchema(data)
	}
	if err != nil {
		return fmt.Errorf("leave out the schemas of %d kinds: %w", len(kinds), err)
	}
	return nil
}

func runShared(files *overlayFS, dir string) (resmap.ResMap, error) {
	schemaLock.RLock()
	defer schemaLock.RUnlock()
	// Loads the built-in schema the first time; later it only looks.
	_ = openapi.Schema()
	return run(files, dir)
}

func run(files *overlayFS, dir string) (m resmap.ResMap, err error) {
	// kustomize panics on some malformed objects.
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("recovered from kustomize build panic: %v (the last file read is %s)", r, some(files.reads[max(0, len(files.reads)-1):]))
		}
	}()
	k := krusty.MakeKustomizer(&krusty.Options{
		// Bases beside the folder are allowed; the file system holds
		// nothing but the artifact.
		LoadRestrictions: kustypes.LoadRestrictionsNone,
		PluginConfig:     kustypes.DisabledPluginConfig(),
	})
	m, err = k.Run(files, path.Join(virtualRoot, dir))
	// kustomize replaces some errors of the file system by its own.
	if files.refused != nil {
		return nil, files.refused
	}
	return m, err
}

// generate gives the content and path of the kustomization file that is built:
// the one of the folder, or one that names all manifests below it, with the
// fields of the Kustomization merged in (source: fluxcd/pkg
// kustomize/kustomize_generator.go).
func generate(ctx context.Context, a *Artifact, dir string, ks *kustomizev1.Kustomization) (content []byte, name string, err error) {
	k := kustypes.Kustomization{
		TypeMeta: kustypes.TypeMeta{APIVersion: kustypes.KustomizationVersion, Kind: kustypes.KustomizationKind},
	}
	name, exists := kustomizationFile(a, dir)
	if exists {
		text, err := a.read(name)
		if err != nil {
			return nil, "", fmt.Errorf("read %s: %w", name, err)
		}
		if err := yaml.Unmarshal(text, &k); err != nil {
			return nil, "", fmt.Errorf("parse %s: %w", name, err)
		}
		if len(k.Resources) == 0 {
			// Else kustomize refuses the file as empty, though components,
			// patches or generators may come.
			k.BuildMetadata = []string{kustypes.OriginAnnotations}
		}
	} else {
		name = path.Join(dir, konfig.DefaultKustomizationFileName())
		if k.Resources, err = scan(ctx, a, dir); err != nil {
			return nil, "", err
		}
		if len(k.Resources) == 0 {
			// Also against "empty"; there is nothing it could apply to.
			k.Namespace = "_placeholder"
		}
	}

	s := &ks.Spec
	if s.TargetNamespace != "" {
		k.Namespace = s.TargetNamespace
	}
	if s.NamePrefix != "" {
		k.NamePrefix = s.NamePrefix
	}
	if s.NameSuffix != "" {
		k.NameSuffix = s.NameSuffix
	}
	for _, p := range s.Patches {
		k.Patches = append(k.Patches, kustypes.Patch{Patch: p.Patch, Target: selector(p.Target)})
	}
	for _, c := range s.Components {
		if !kustomize.IsLocalRelativePath(c) {
			return nil, "", fmt.Errorf("component path '%s' must be local and relative", c)
		}
		if _, ok := a.Has(Folder(path.Join(dir, c))); !ok && s.IgnoreMissingComponents {
			continue
		}
		k.Components = append(k.Components, c)
	}
	for _, image := range s.Images {
		k.Images = mergeImage(k.Images, image)
	}
	if len(s.BuildMetadata) > 0 {
		k.BuildMetadata = nil
		for _, m := range s.BuildMetadata {
			k.BuildMetadata = append(k.BuildMetadata, string(m))
		}
	}
	content, err = yaml.Marshal(k)
	if err != nil {
		return nil, "", fmt.Errorf("write the kustomization file of %s: %w", dir, err)
	}
	return content, name, nil
}

// mergeImage overrides the fields that are set. Tag and digest choose the
// version together: setting one drops the other.
func mergeImage(images []kustypes.Image, set apiskustomize.Image) []kustypes.Image {
	for i := range images {
		if images[i].Name != set.Name {
			continue
		}
		if set.NewName != "" {
			images[i].NewName = set.NewName
		}
		if set.NewTag != "" || set.Digest != "" {
			images[i].NewTag, images[i].Digest = set.NewTag, set.Digest
		}
		return images
	}
	return append(images, kustypes.Image{Name: set.Name, NewName: set.NewName, NewTag: set.NewTag, Digest: set.Digest})
}

func selector(s *apiskustomize.Selector) *kustypes.Selector {
	if s == nil {
		return nil
	}
	out := &kustypes.Selector{LabelSelector: s.LabelSelector, AnnotationSelector: s.AnnotationSelector}
	out.Group, out.Version, out.Kind = s.Group, s.Version, s.Kind
	out.Name, out.Namespace = s.Name, s.Namespace
	return out
}

// scan lists what a generated kustomization file names, as paths relative to
// the folder: every manifest, and every folder that has a kustomization file
// of its own, which is not looked into. Each manifest must parse; the error
// names file and document.
func scan(ctx context.Context, a *Artifact, dir string) ([]string, error) {
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
	var resources []string
	var walk func(folder string) error
	walk = func(folder string) error {
		for _, c := range a.children[folder] {
			p := path.Join(folder, c.name)
			if c.folder {
				if _, has := kustomizationFile(a, p); has {
					resources = append(resources, relative(dir, p))
					continue
				}
				if err := walk(p); err != nil {
					return err
				}
				continue
			}
			if !isManifest(p) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("read %s: %w", p, err)
			}
			data, err := a.read(p)
			if err != nil {
				return fmt.Errorf("read %s: %w", p, err)
			}
			if values := roughly(data).Values; values > DefaultLimits.Values {
				return fmt.Errorf("%s: %w", p, Cost{Values: values}.Exceeds(DefaultLimits))
			}
			if err := parse(factory, data); err != nil {
				return fmt.Errorf("failed to decode Kubernetes YAML from %s%s: %w", p, faultyDocument(factory, data), withoutSecrets(cleanError(err), a.read, p))
			}
			resources = append(resources, relative(dir, p))
		}
		return nil
	}
	return resources, walk(dir)
}

func relative(dir, p string) string {
	if dir == "." {
		return "./" + p
	}
	return "." + strings.TrimPrefix(p, dir)
}

func parse(factory *resource.Factory, data []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("recovered from panic while parsing YAML: %v", r)
		}
	}()
	_, err = factory.SliceFromBytes(data)
	return err
}

// faultyDocument is " (document 3)" for the first document of a file that does
// not parse by itself, counted from 1; empty if the file has only one or the
// fault is not in one document.
func faultyDocument(factory *resource.Factory, data []byte) string {
	documents := strings.Split(strings.ReplaceAll("\n"+string(data), "\r\n", "\n"), "\n---")
	if strings.TrimSpace(documents[0]) == "" {
		// A file may begin with the separator.
		documents = documents[1:]
	}
	if len(documents) < 2 {
		return ""
	}
	for i, text := range documents {
		// What follows the dashes on their line is a comment or nothing.
		if _, rest, ok := strings.Cut(text, "\n"); ok {
			text = rest
		}
		if parse(factory, []byte(text+"\n")) != nil {
			return fmt.Sprintf(" (document %d)", i+1)
		}
	}
	return ""
}

// substitution gives the function that substitutes variables in one resource,
// nil if the Kustomization asks for none.
func substitution(in Input) (func(context.Context, *resource.Resource) (*resource.Resource, error), error) {
	post := in.Kustomization.Spec.PostBuild
	if post == nil {
		return nil, nil
	}
	// The library takes values from the cluster by itself; ours are resolved
	// already, so it is given all of them as inline values.
	values := map[string]any{}
	for k, v := range in.Variables {
		values[k] = v
	}
	for k, v := range post.Substitute {
		values[k] = v
	}
	ks := unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"postBuild": map[string]any{"substitute": values}},
	}}
	always := post.SubstituteStrategy == kustomizev1.SubstituteStrategyAlways
	return func(ctx context.Context, r *resource.Resource) (*resource.Resource, error) {
		return kustomize.SubstituteVariables(ctx, nil, ks, r,
			kustomize.SubstituteWithDryRun(true),
			kustomize.SubstituteWithStrict(in.StrictSubstitution),
			kustomize.SubstituteWithAlways(always))
	}, nil
}
