package flux1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/build"
	"gopkg.in/yaml.v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// document takes over the objects of one document: identities are compared
// here, before namespaces are filled in, as fluxd does.
func (l *loader) document(p string, d document) {
	if d.emptyList != "" {
		l.find(ListWithoutItems, place{p, d.line}, "the %s in %s has no items, so fluxd never applies it", d.emptyList, p)
	}
	for _, o := range d.objects {
		o.file = p
		metadata, _ := o.manifest.Object["metadata"].(map[string]any)
		for _, field := range []string{"name", "namespace"} {
			if _, ok := metadata[field].(string); !ok && metadata[field] != nil {
				o.noText = append(o.noText, field)
			}
		}
		if len(l.objects) >= l.cfg.Limits.Objects {
			l.tooMuch("it holds more than %d objects", l.cfg.Limits.Objects)
			return
		}
		id := ResourceID(o.Metadata.Namespace, o.Kind, o.Metadata.Name)
		key := identity{o.by, id}
		if first, ok := l.defined[key]; ok && first == o.place {
			l.find(Duplicate, o.place, "%s is loaded twice, since the agent's paths overlap", id)
			continue
		} else if ok {
			l.find(Duplicate, o.place, "%s is defined here and in %s", id, first)
			continue
		}
		l.defined[key] = o.place
		l.objects = append(l.objects, o)
	}
}

// classify fills in namespaces and says what fluxd does with each object, in
// fluxd's order: unknown kinds are left out at loading, foreign namespaces
// before ignore annotations are looked at (flux:
// pkg/cluster/kubernetes/manifests.go, sync.go, kubernetes.go).
func (l *loader) classify() []migrate.Object {
	served := map[schema.GroupVersionKind]bool{} // → namespaced
	for _, k := range l.cfg.Kinds {
		served[schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}] = k.Namespaced
	}
	defined := l.definedKinds()
	if l.cfg.KindsAssumed { // all that is known of kinds helps
		for _, of := range defined {
			for gvk, namespaced := range of {
				if _, ok := served[gvk]; !ok {
					served[gvk] = namespaced
				}
			}
		}
	}
	final := map[string]*loaded{}
	// twice reports an object that is generated, and is read elsewhere as well, once
	// namespaces are filled in: fluxd stops there.
	twice := func(o *loaded, known bool) bool {
		id := ResourceID(o.namespace, o.Kind, o.Metadata.Name)
		first, ok := final[id]
		switch {
		case ok && first.by != o.by && first.place == o.place:
			l.find(Duplicate, o.place, "%s is generated twice: two of the agent's paths lead to its definition", id)
			return true
		case ok && first.by != o.by:
			l.find(Duplicate, o.place, "%s is generated here, and generated or defined in %s", id, first.place)
			return true
		case ok && known:
			l.find(HiddenDuplicate, o.place, "%s is defined here and in %s, once with its namespace and once without", id, first.place)
		}
		final[id] = o
		return false
	}
	kinds := map[schema.GroupKind]bool{} // all versions of a kind have one scope
	for gvk, namespaced := range served {
		kinds[gvk.GroupKind()] = namespaced
	}
	l.isAssumed = map[schema.GroupKind]bool{}
	objects := make([]migrate.Object, 0, len(l.objects))
	for _, o := range l.objects {
		m := migrate.Object{File: o.file, Line: o.line, Manifest: o.manifest, Encrypted: o.decrypted}
		if !o.encrypted { // the checksum is of the plain text
			m.Checksum = o.checksum
		}
		if g := o.generated; g != nil {
			m.Build, m.Origin, m.Patches = g.Build, g.Origin, g.Patches
		}
		gvk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
		namespaced, known := served[gvk]
		if !known {
			namespaced, known = defined[o.by][gvk]
		}
		o.namespace = o.Metadata.Namespace
		if !known && l.cfg.KindsAssumed {
			l.assume(o, &m, kinds)
			m.NamespaceDropped = o.dropsNamespace()
			if twice(o, false) {
				continue
			}
			// A cluster serves anything but a kustomization file, and what is no
			// object of the core group, all of which are known: a List within a List.
			known = gvk.Group != kustomizeGroup && (gvk.Group != "" || slices.ContainsFunc(l.cfg.Kinds, func(k migrate.ServedKind) bool {
				return k.Group == "" && k.Kind == gvk.Kind
			}))
			m.Class = l.class(o, m.ID, known)
			l.inspect(o, m, known)
			if o.encrypted {
				m.Manifest = nil
			}
			objects = append(objects, m)
			continue
		}
		switch {
		case known && !namespaced:
			o.namespace = ""
		case known && o.namespace == "":
			l.fill(o, &m)
		}
		if known {
			setNamespace(o.manifest, o.namespace)
		}
		m.ID, m.NamespaceDropped = o.id(), o.dropsNamespace()
		m.Class = l.class(o, m.ID, known)
		if known {
			if twice(o, true) {
				continue
			}
		}
		l.inspect(o, m, known)
		if o.encrypted {
			m.Manifest = nil
		}
		objects = append(objects, m)
	}
	return objects
}

// kustomizeGroup is that of kustomization files, which are no objects to anybody
// but kustomize.
const kustomizeGroup = "kustomize.config.k8s.io"

// dropsNamespace reports whether Git names a namespace and the object has none.
func (o *loaded) dropsNamespace() bool {
	return o.Metadata.Namespace != "" && o.manifest.GetNamespace() == ""
}

// id is the object's, also where Git gives its name as no text: as fluxd reads it.
func (o *loaded) id() string {
	u := o.manifest
	if slices.Contains(o.noText, "name") {
		u = u.DeepCopy()
		u.SetName(o.Metadata.Name)
	}
	return migrate.ObjectID(u)
}

// fill gives an object the default namespace, if there is one.
func (l *loader) fill(o *loaded, m *migrate.Object) {
	o.namespace, m.NamespaceFilled = l.cfg.DefaultNamespace, l.cfg.DefaultNamespace != ""
	if m.NamespaceUnknown = !m.NamespaceFilled; m.NamespaceUnknown {
		l.homeless = append(l.homeless, o.Kind+" "+o.Metadata.Name)
	}
}

// namespacedGroups are groups of custom resources that repositories of Flux v1 often
// hold. All their kinds are namespaced but those that are named, as their own CRDs say.
var namespacedGroups = map[string][]string{
	"acme.cert-manager.io":  nil,
	"argoproj.io":           {"ClusterAnalysisTemplate", "ClusterWorkflowTemplate"},
	"bitnami.com":           nil,
	"cert-manager.io":       {"ClusterIssuer"},
	"certmanager.k8s.io":    {"ClusterIssuer"},
	"external-secrets.io":   {"ClusterExternalSecret", "ClusterPushSecret", "ClusterSecretStore"},
	"flagger.app":           nil,
	"flux.weave.works":      nil,
	"getambassador.io":      nil,
	"helm.fluxcd.io":        nil,
	alphaReleases:           nil,
	"kubernetes-client.io":  nil,
	"monitoring.coreos.com": nil,
	"networking.istio.io":   nil,
	"projectcontour.io":     nil,
	"security.istio.io":     nil,
	"split.smi-spec.io":     nil,
	"traefik.containo.us":   nil,
	"traefik.io":            nil,
}

// customScope tells whether a kind that no cluster was asked about is namespaced.
func customScope(gk schema.GroupKind) (namespaced, known bool) {
	if strings.HasSuffix(gk.Group, ".toolkit.fluxcd.io") {
		return true, true
	}
	cluster, known := namespacedGroups[gk.Group]
	return known && !slices.Contains(cluster, gk.Kind), known
}

// assume gives an object whose kind no cluster was asked about its id, and its
// namespace where it names none. Its scope is that of another version of the kind;
// where there is none, its namespace stays as it is.
func (l *loader) assume(o *loaded, m *migrate.Object, served map[schema.GroupKind]bool) {
	gk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind).GroupKind()
	namespaced, known := served[gk]
	if !known {
		custom := gk.Group != kustomizeGroup && gk.Group != ""
		if custom && !l.isAssumed[gk] {
			l.isAssumed[gk] = true
			l.assumed = append(l.assumed, gk.Kind+"."+gk.Group)
		}
		namespaced, known = customScope(gk)
		m.ScopeUnknown = custom && !known && o.namespace == "" && o.Metadata.Name != ""
	}
	switch {
	case m.ScopeUnknown:
		l.scopeless = append(l.scopeless, o.Kind+" "+o.Metadata.Name)
	case known && !namespaced:
		o.namespace = ""
	case known && o.namespace == "":
		l.fill(o, m)
	}
	if known {
		setNamespace(o.manifest, o.namespace)
	}
	m.ID = o.id()
}

func setNamespace(u *unstructured.Unstructured, namespace string) {
	if namespace == "" {
		unstructured.RemoveNestedField(u.Object, "metadata", "namespace")
		return
	}
	// A metadata that is no mapping stays as it is: the object has no name
	// then, which is reported.
	_ = unstructured.SetNestedField(u.Object, namespace, "metadata", "namespace")
}

// class says what fluxd does with an object.
func (l *loader) class(o *loaded, id string, known bool) migrate.ObjectClass {
	if !known {
		return migrate.ClassUnknownKind
	}
	if len(l.cfg.AllowedNamespaces) > 0 {
		ns := o.namespace
		if ns == "" && o.Kind == "Namespace" {
			ns = o.Metadata.Name
		}
		if ns != "" && !slices.Contains(l.cfg.AllowedNamespaces, ns) {
			return migrate.ClassForeign
		}
	}
	inGit := IgnoreValue(o.Metadata.Annotations)
	live := ""
	if l.cfg.LiveIgnored != nil {
		live = l.cfg.LiveIgnored(id)
	}
	switch {
	case inGit == "true" || live == "true":
		return migrate.ClassIgnored
	case inGit == "sync_only" || live == "sync_only":
		return migrate.ClassSyncOnly
	}
	return migrate.ClassApplied
}

// alphaReleases is the group of HelmReleases of the helm-operator's first API.
const alphaReleases = "helm.integrations.flux.weave.works"

// Automated tells whether fluxd gives the images of an object newer versions: it is
// of a kind that has some, marked so, and not locked. (flux: pkg/daemon/images.go,
// getAllowedAutomatedResources; pkg/cluster/kubernetes/resourcekinds.go)
func Automated(kind schema.GroupKind, annotations map[string]string) bool {
	switch kind.Kind {
	case "CronJob", "DaemonSet", "Deployment", "StatefulSet":
	case "FluxHelmRelease": // up to fluxd 1.18
		if kind.Group != alphaReleases {
			return false
		}
	case "HelmRelease":
		if kind.Group != "helm.fluxcd.io" && kind.Group != "flux.weave.works" {
			return false
		}
	default:
		return false
	}
	is := func(policy string) bool {
		return annotations["fluxcd.io/"+policy] == "true" || annotations["flux.weave.works/"+policy] == "true"
	}
	return is("automated") && !is("locked")
}

// IgnoreValue reads the ignore annotation under both of its names: "true",
// "sync_only", or "" for every other value, which has no effect (flux:
// pkg/policy/policy.go). If the two names disagree, "true" is assumed; fluxd
// takes one at random.
func IgnoreValue(annotations map[string]string) string {
	value := ""
	for _, key := range []string{"fluxcd.io/ignore", "flux.weave.works/ignore"} {
		switch v := annotations[key]; v {
		case "true":
			return v
		case "sync_only":
			value = v
		}
	}
	return value
}

// definedKinds are the kinds that CRDs among what fluxd reads together define, by
// [loaded.by], and whether they are namespaced: those of others do not count there
// (flux: pkg/cluster/kubernetes/manifests.go, getCRDScopes).
func (l *loader) definedKinds() map[int]map[schema.GroupVersionKind]bool {
	all := map[int]map[schema.GroupVersionKind]bool{}
	for _, o := range l.objects {
		if o.Kind != "CustomResourceDefinition" {
			continue
		}
		kinds := all[o.by]
		if kinds == nil {
			kinds = map[schema.GroupVersionKind]bool{}
			all[o.by] = kinds
		}
		spec, _, _ := unstructured.NestedMap(o.manifest.Object, "spec")
		group, _, _ := unstructured.NestedString(spec, "group")
		kind, _, _ := unstructured.NestedString(spec, "names", "kind")
		scope, _, _ := unstructured.NestedString(spec, "scope")
		versions, _, _ := unstructured.NestedSlice(spec, "versions")
		if len(versions) == 0 {
			versions = []any{map[string]any{"name": spec["version"]}}
		}
		for _, v := range versions {
			entry, _ := v.(map[string]any)
			if version, ok := entry["name"].(string); ok && kind != "" {
				kinds[schema.GroupVersionKind{Group: group, Version: version, Kind: kind}] = scope == "Namespaced"
			}
		}
	}
	return all
}

// inspect reports what of an object stands in a hand-over's way.
func (l *loader) inspect(o *loaded, m migrate.Object, known bool) {
	repository := l.cfg.Repository
	gvk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
	about := func(code Code, format string, args ...any) {
		l.findings = append(l.findings, code.About(repository, m.ID, o.place.String(), fmt.Sprintf(format, args...)))
	}
	shown := ResourceID(o.namespace, o.Kind, o.Metadata.Name)
	if gvk.Group == kustomizeGroup {
		return
	}
	if !known {
		about(UnknownKind, "%s is of a kind that the cluster does not serve: %s, %s", shown, o.APIVersion, o.Kind)
		l.findings[len(l.findings)-1].Hint = migrate.KindRemedy(gvk, l.cfg.Kinds, "remove the object from Git")
	}
	if since := l.cfg.Removed[gvk]; since != "" && (m.Class == migrate.ClassApplied || m.Class == migrate.ClassSyncOnly) {
		now := migrate.ServedAs(gvk, slices.DeleteFunc(slices.Clone(l.cfg.Kinds), func(k migrate.ServedKind) bool {
			return l.cfg.Removed[schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}] != ""
		}))
		if now != "" {
			now = ", now of " + now
		}
		if kind := fmt.Sprintf("%s of %s (gone in Kubernetes %s%s)", o.Kind, o.APIVersion, since, now); !slices.Contains(l.removed, kind) {
			l.removed = append(l.removed, kind)
		}
	}
	switch m.Class {
	case migrate.ClassForeign:
		about(Foreign, "%s lies in a namespace that the agent may not act in", shown)
		return
	case migrate.ClassUnknownKind:
	default:
		l.inspectManifest(o, about)
	}
	if strings.HasSuffix(gvk.Group, ".toolkit.fluxcd.io") || gvk.Group == "toolkit.fluxcd.io" {
		about(Flux2InGit, "%s is an object of Flux v2", shown)
	}
	if m.Class == migrate.ClassIgnored {
		return // fluxd neither applies it nor gives it a new image (flux: pkg/daemon/images.go)
	}
	if o.Kind == "HelmRelease" && (gvk.Group == "helm.fluxcd.io" || gvk.Group == "flux.weave.works") {
		l.releases = append(l.releases, shown)
	}
	if o.Kind == "FluxHelmRelease" && gvk.Group == alphaReleases && m.Class != migrate.ClassUnknownKind {
		l.alphaReleases = append(l.alphaReleases, shown)
	}
	if l.cfg.ImageAutomation && Automated(gvk.GroupKind(), o.Metadata.Annotations) {
		l.automated = append(l.automated, shown)
	}
}

// inspectManifest looks at what the new agent will have to build.
func (l *loader) inspectManifest(o *loaded, about func(Code, string, ...any)) {
	shown := ResourceID(o.namespace, o.Kind, o.Metadata.Name)
	if o.Metadata.Name == "" {
		about(Nameless, "a %s in %s has no name", o.Kind, o.place)
	}
	if o.noJSON {
		about(NoJSON, "%s in %s cannot be written as JSON", shown, o.place)
	}
	if o.keyNoText != "" && !o.encrypted {
		about(KeyNotText, "%s in %s has the key %s, which is a number", shown, o.place, o.keyNoText)
	}
	if !o.encrypted { // those have a finding for their file
		err := build.Undecrypted(o.manifest, false)
		_, bears := o.manifest.Object["sops"].(map[string]any)
		switch {
		case err == nil:
		case bears && o.generated != nil:
			about(Ciphertext, "%s in %s is applied as it stands, with the metadata of SOPS: the agent does not decrypt what it generates", shown, o.place)
		case bears && l.cfg.SOPS:
			about(Ciphertext, "%s in %s is applied as it stands, with the metadata of SOPS: the agent decrypts a file by its first document, which has none", shown, o.place)
		case bears:
			about(Ciphertext, "%s in %s is applied as it stands, with the metadata of SOPS: the agent decrypts no files", shown, o.place)
		default:
			about(Ciphertext, "%s in %s would be applied as ciphertext: %v", shown, o.place, err)
		}
	}
	for _, field := range o.noText {
		about(NotAString, "the %s of %s is not a string", field, shown)
	}
	metadata, _, _ := unstructured.NestedMap(o.manifest.Object, "metadata")
	for _, field := range []string{"annotations", "labels"} {
		values, _ := metadata[field].(map[string]any)
		for _, key := range sortedKeys(values) {
			if _, ok := values[key].(string); !ok {
				about(NotAString, "%s has a value that is not a string in %s, key %s", shown, field, key)
			}
		}
	}
	if v, ok := o.Metadata.Annotations["config.kubernetes.io/local-config"]; ok && v != "false" {
		about(LocalConfig, "%s is annotated as local configuration", shown)
	}
	labels, _ := metadata["labels"].(map[string]any)
	for _, key := range []string{MarkLabel, OldMarkLabel} {
		if _, ok := labels[key]; ok {
			about(CopiedMark, "%s carries the label %s in Git", shown, key)
		}
	}
	if fields := exported(o); len(fields) > 0 {
		about(Exported, "%s holds %s in Git, which a cluster writes", shown, strings.Join(fields, ", "))
	}
	switch size := noteSize(o.manifest); {
	case size > maxAnnotations:
		about(LargeObject, "kubectl's note of %s would bring its annotations to %d bytes of %d, so that fluxd cannot apply it", shown, size, maxAnnotations)
	case size > maxAnnotations/8*7:
		about(LargeObject, "kubectl's note of %s brings its annotations to %d bytes of %d, beyond which fluxd could not apply it", shown, size, maxAnnotations)
	}
}

// exported are the fields of a manifest that only a cluster or its clients
// write, by their places. CRDs are generated with an empty status, and so are
// other manifests: what says nothing does not count.
func exported(o *loaded) []string {
	var found []string
	metadata, _ := o.manifest.Object["metadata"].(map[string]any)
	for _, field := range []string{"creationTimestamp", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"} {
		if v := metadata[field]; v != nil && v != "" {
			found = append(found, "metadata."+field)
		}
	}
	for _, key := range []string{ChecksumAnnotation, OldChecksumAnnotation, LastApplied} {
		if _, ok := o.Metadata.Annotations[key]; ok {
			found = append(found, "the annotation "+key)
		}
	}
	if says(o.manifest.Object["status"]) && o.Kind != "CustomResourceDefinition" {
		found = append(found, "status")
	}
	return found
}

// says reports whether a value holds anything at all.
func says(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case map[string]any:
		for _, inner := range v {
			if says(inner) {
				return true
			}
		}
		return false
	case []any:
		return slices.ContainsFunc(v, says)
	case string:
		return v != ""
	}
	return true
}

const (
	// maxAnnotations is how many bytes the annotations of an object may hold,
	// keys and values (Kubernetes: apimachinery, pkg/api/validation/objectmeta.go).
	maxAnnotations = 256 << 10
	// marksSize is about what fluxd's own label and annotation add to both.
	marksSize = 256
)

// noteSize is how many bytes an object's annotations hold once kubectl has
// applied it: those of Git, and its note, which is the object as JSON (kubectl:
// pkg/util/apply.go).
func noteSize(u *unstructured.Unstructured) int {
	raw, err := json.Marshal(u.Object)
	if err != nil {
		return 0 // it came out of YAML; the build would fail on it
	}
	size := len(LastApplied) + len(raw) + marksSize
	for key, value := range migrate.Annotations(u) {
		if key != LastApplied {
			size += len(key) + len(value)
		}
	}
	return size
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// summarise reports what is better said once for all objects.
func (l *loader) summarise() {
	gatherAt := func(code Code, at place, what string, names []string) {
		if len(names) == 0 {
			return
		}
		slices.Sort(names)
		shown, more := names, ""
		if len(names) > 10 {
			shown, more = names[:10], fmt.Sprintf(" and %d more", len(names)-10)
		}
		l.find(code, at, "%s: %s%s", what, strings.Join(shown, ", "), more)
	}
	gather := func(code Code, what string, names []string) { gatherAt(code, place{}, what, names) }
	if len(l.gitCrypted) > 0 { // one finding for one cause
		gatherAt(Stuck, place{file: slices.Min(l.gitCrypted)}, "git-crypt encrypts what neither fluxd nor Flux v2 decrypts, so that it has to be encrypted with SOPS, or kept out of the agent's paths", l.gitCrypted)
	}
	gather(HelmRelease1, "the repository holds HelmRelease objects of the helm-operator", l.releases)
	gather(FluxHelmRelease, "the repository holds FluxHelmRelease objects, which a helm-operator up to 0.4 alone reads", l.alphaReleases)
	gather(ImageAutomation, "images are updated automatically", l.automated)
	encrypted := "files are encrypted with SOPS"
	if l.cfg.KindsAssumed {
		encrypted += ", and their keys were not read, since no cluster was asked"
	}
	gather(Encrypted, encrypted, l.encrypted)
	gather(KindsAssumed, "neither Kubernetes itself nor a CRD here tells of these kinds, and objects of them are taken for served", l.assumed)
	gather(KindsRemoved, "objects stand under API versions that Kubernetes has dropped", l.removed)
	gather(NamespaceNotGiven, "objects name no namespace, and none is known that the agent fills in", l.homeless)
	gather(ScopeNotKnown, "objects name no namespace, and whether their kinds have one is not known", l.scopeless)
}

// checkKeys reports mappings that hold a key twice, which yaml.v2 accepts and
// Kustomize does not.
func (l *loader) checkKeys(p string, content []byte, earlier *fault) {
	if earlier != nil {
		return
	}
	defer func() {
		_ = recover() // as in decode, which has read the same bytes without one
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.SetStrict(true)
	for {
		var value any
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			continue
		}
		var typeError *yaml.TypeError
		if !errors.As(err, &typeError) {
			return // decode would have found it
		}
		for _, text := range typeError.Errors {
			if strings.Contains(text, "already set in map") {
				line := errorLine(errors.New(text), 0, 0)
				l.find(DuplicateKey, place{p, line}, "%s holds the same key twice in one mapping", p)
			}
		}
	}
}
