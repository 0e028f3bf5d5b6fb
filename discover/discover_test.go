package discover

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/source"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	metadatafake "k8s.io/client-go/metadata/fake"
	sigsyaml "sigs.k8s.io/yaml"
)

// marked is in every secret value of the fixtures.
const markedSecret = "MARKED-SECRET"

// tells reports whether a text holds the marked secret: as it is, as a URL has
// it, or in base64, wherever in the encoded text it begins.
func tells(text string) bool {
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + markedSecret))
		// The first and last signs hang on what stands beside it.
		if strings.Contains(text, encoded[2*before:len(encoded)-2]) {
			return true
		}
	}
	return strings.Contains(text, markedSecret)
}

func TestASecretIsSeenInBase64(t *testing.T) {
	for _, text := range []string{markedSecret, "x" + markedSecret + "y", "user:" + markedSecret, "{\"a\":\"" + markedSecret + "\"}"} {
		for _, encoded := range []string{text, base64.StdEncoding.EncodeToString([]byte(text)), base64.RawURLEncoding.EncodeToString([]byte(text))} {
			if !tells("before " + encoded + " behind") {
				t.Errorf("%q is not seen in %q", text, encoded)
			}
		}
	}
	if tells("MARKED") || tells(base64.StdEncoding.EncodeToString([]byte("MARKED"))) {
		t.Error("seen where there is none")
	}
}

// served is what the fake API server serves.
var served = []*metav1.APIResourceList{
	{GroupVersion: "v1", APIResources: []metav1.APIResource{
		{Name: "namespaces", Kind: "Namespace", Verbs: []string{"list", "get"}},
		{Name: "configmaps", Kind: "ConfigMap", Namespaced: true, Verbs: []string{"list", "get"}},
		{Name: "secrets", Kind: "Secret", Namespaced: true, Verbs: []string{"list", "get"}},
		{Name: "pods", Kind: "Pod", Namespaced: true, Verbs: []string{"list", "get"}},
		{Name: "endpoints", Kind: "Endpoints", Namespaced: true, Verbs: []string{"list", "get"}},
		{Name: "pods/log", Kind: "Pod", Namespaced: true, Verbs: []string{"get"}},
		{Name: "bindings", Kind: "Binding", Namespaced: true, Verbs: []string{"create"}},
	}},
	{GroupVersion: "apps/v1", APIResources: []metav1.APIResource{
		{Name: "deployments", Kind: "Deployment", Namespaced: true, Verbs: []string{"list", "get"}},
	}},
	{GroupVersion: "batch/v1", APIResources: []metav1.APIResource{
		{Name: "jobs", Kind: "Job", Namespaced: true, Verbs: []string{"list", "get"}},
	}},
	{GroupVersion: "helm.fluxcd.io/v1", APIResources: []metav1.APIResource{
		{Name: "helmreleases", Kind: "HelmRelease", Namespaced: true, Verbs: []string{"list", "get"}},
	}},
	{GroupVersion: "helm.toolkit.fluxcd.io/v2", APIResources: []metav1.APIResource{
		{Name: "helmreleases", Kind: "HelmRelease", Namespaced: true, Verbs: []string{"list", "get"}},
	}},
	{GroupVersion: "source.toolkit.fluxcd.io/v1", APIResources: []metav1.APIResource{
		{Name: "helmrepositories", Kind: "HelmRepository", Namespaced: true, Verbs: []string{"list", "get"}},
	}},
	{GroupVersion: "admissionregistration.k8s.io/v1", APIResources: []metav1.APIResource{
		{Name: "validatingadmissionpolicies", Kind: "ValidatingAdmissionPolicy", Verbs: []string{"list", "get"}},
		{Name: "validatingadmissionpolicybindings", Kind: "ValidatingAdmissionPolicyBinding", Verbs: []string{"list", "get"}},
	}},
}

// fixture is a folder of testdata: cluster.yaml holds the cluster's objects,
// server.yaml what is special of its API server, git.yaml the repositories,
// commits their files.
type fixture struct {
	folder  string
	witness *witness
	kube    *fake.Clientset
	meta    *metadatafake.FakeMetadataClient
}

// serverFixture is server.yaml.
type serverFixture struct {
	// Version is v1.33.0 unless it is given.
	Version string
	// NotServed are groups with their versions that the others serve.
	NotServed []string
	// Forbidden is what nobody may do, as "VERB RESOURCE".
	Forbidden []string
}

// gitFixture is git.yaml: repositories by URL.
type gitFixture map[string]struct {
	// Refs by full name.
	Refs map[string]string
	// Auth is what the server demands: "user:password" or the private key.
	Auth string
	// Error is "network", "auth", "hostkey" or "notfound".
	Error string
	// Proxy is the one by which alone the server is reached, and CA what a client must
	// trust; "none" is a server that no proxy reaches.
	Proxy, CA string
	// Behind counts commits, by "from..to"; absent means not an ancestor.
	Behind map[string]int
	// Unknown commits are in no history.
	Unknown []string
	folder  string
}

func (g gitFixture) refs(_ context.Context, r source.Remote) (map[string]string, error) {
	repo, ok := g[r.URL]
	if !ok {
		return nil, fmt.Errorf("no such repository in the fixture: %s: %w", r.URL, source.ErrNotFound)
	}
	switch repo.Error {
	case "network":
		return nil, source.ErrNetwork
	case "hostkey":
		return nil, source.ErrKnownHosts
	case "notfound":
		return nil, source.ErrNotFound
	}
	if repo.Proxy == "none" && r.Auth.ProxyURL != "" || repo.Proxy != "none" && repo.Proxy != r.Auth.ProxyURL && repo.Proxy != "" || strings.TrimSpace(string(r.Auth.CAFile)) != repo.CA && repo.CA != "" {
		return nil, source.ErrNetwork
	}
	given := r.Auth.Username + ":" + r.Auth.Password
	if r.Auth.Identity != nil {
		given = string(r.Auth.Identity)
	}
	if repo.Error == "auth" || repo.Auth != "" && repo.Auth != given {
		return nil, source.ErrAuth
	}
	return repo.Refs, nil
}

func (g gitFixture) ancestry(_ context.Context, r source.Remote, from, to string) (int, bool, error) {
	if slices.Contains(g[r.URL].Unknown, from) {
		return 0, false, source.ErrReferenceNotFound
	}
	if from == to {
		return 0, true, nil
	}
	n, ok := g[r.URL].Behind[from+".."+to]
	return n, ok, nil
}

func (g gitFixture) tree(_ context.Context, r source.Remote, ref source.Reference) (fs.FS, func(), error) {
	dir := filepath.Join(g[r.URL].folder, "commits", ref.Commit)
	if _, err := os.Stat(dir); err != nil {
		return nil, nil, fmt.Errorf("commit %s: %w", ref.Commit, source.ErrReferenceNotFound)
	}
	return os.DirFS(dir), func() {}, nil
}

func open(t *testing.T, folder string) *fixture {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var typed, bare, policies []runtime.Object
	for i, doc := range strings.Split("\n"+string(content), "\n---\n") {
		var u unstructured.Unstructured
		if err := sigsyaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			t.Fatalf("document %d: %v", i, err)
		}
		if u.Object == nil {
			continue
		}
		if pluginPolicies[u.GroupVersionKind().GroupKind()] != "" {
			policies = append(policies, &u)
			continue
		}
		setMark(t, &u)
		o, err := scheme.Scheme.New(u.GroupVersionKind())
		if err != nil {
			t.Fatalf("document %d: %v", i, err)
		}
		asJSON, err := json.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(asJSON, o); err != nil {
			t.Fatalf("document %d: %v", i, err)
		}
		packRelease(t, o)
		typed = append(typed, o)
		p := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: u.GetAPIVersion(), Kind: u.GetKind()}}
		p.Name, p.Namespace, p.Labels, p.Annotations, p.OwnerReferences = u.GetName(), u.GetNamespace(), u.GetLabels(), u.GetAnnotations(), u.GetOwnerReferences()
		bare = append(bare, p)
	}
	// Of what lives in a namespace there is one, and default is always there.
	typed = append(typed, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	named := map[string]bool{"default": true}
	for _, p := range bare {
		m := p.(*metav1.PartialObjectMetadata)
		if m.Kind == "Namespace" {
			named[m.Name] = true
		}
	}
	for _, p := range bare {
		if ns := p.(*metav1.PartialObjectMetadata).Namespace; ns != "" && !named[ns] {
			named[ns] = true
			typed = append(typed, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
		}
	}
	f := &fixture{folder: folder, kube: fake.NewClientset(typed...)}
	server := serverFixture{Version: "v1.33.0"}
	readYAML(t, filepath.Join(folder, "server.yaml"), &server)
	disco := f.kube.Discovery().(*fakediscovery.FakeDiscovery)
	disco.Resources = slices.DeleteFunc(slices.Clone(served), func(l *metav1.APIResourceList) bool { return slices.Contains(server.NotServed, l.GroupVersion) })
	disco.FakedServerVersion = &version.Info{GitVersion: server.Version}
	s := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(s); err != nil {
		t.Fatal(err)
	}
	f.meta = metadatafake.NewSimpleMetadataClient(s, bare...)
	for _, forbidden := range server.Forbidden {
		verb, resource, _ := strings.Cut(forbidden, " ")
		f.refuse(verb, resource, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("no")))
	}
	f.witness = &witness{kube: f.kube, meta: f.meta, disco: disco}
	if len(policies) > 0 {
		f.serve(nil, policies...)
	}
	g := gitFixture{}
	if !readYAML(t, filepath.Join(folder, "git.yaml"), &g) {
		return f
	}
	for url, repo := range g {
		repo.folder = folder
		g[url] = repo
	}
	f.witness.git = g
	return f
}

// readYAML reads a file of a fixture, which need not be there.
func readYAML(t *testing.T, name string, into any) bool {
	t.Helper()
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := sigsyaml.UnmarshalStrict(content, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return true
}

// setMark gives an object the mark that the annotation test/mark-of says, "URL
// BRANCH PATH…": its own, or the one of another object, by fluxd's name of it in
// test/copied-from.
func setMark(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	labels := u.GetLabels()
	words := strings.Fields(u.GetAnnotations()["test/mark-of"])
	if len(words) == 0 {
		return
	}
	safe, err := flux1.SafeURL(words[0])
	if err != nil {
		t.Fatal(err)
	}
	if labels == nil {
		labels = map[string]string{}
	}
	of := flux1.ResourceID(u.GetNamespace(), u.GetKind(), u.GetName())
	if from := u.GetAnnotations()["test/copied-from"]; from != "" {
		of = from
	}
	labels[flux1.MarkLabel] = flux1.Mark(flux1.SetName(safe, words[1], words[2:]), of)
	u.SetLabels(labels)
}

// packRelease turns the annotations test/release and test/helm2 (YAML) into a
// payload as Helm 3 and Helm 2 pack it.
func packRelease(t *testing.T, o runtime.Object) {
	t.Helper()
	m, err := meta.Accessor(o)
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	if text, ok := m.GetAnnotations()["test/release"]; ok {
		if raw, err = sigsyaml.YAMLToJSON([]byte(text)); err != nil {
			t.Fatalf("%s: %v", m.GetName(), err)
		}
	} else if text, ok := m.GetAnnotations()["test/helm2"]; ok {
		raw = helm2Release(t, text)
	} else {
		return
	}
	m.SetAnnotations(nil)
	switch o := o.(type) {
	case *corev1.Secret:
		o.Data = map[string][]byte{"release": pack(t, raw)}
	case *corev1.ConfigMap:
		o.Data = map[string]string{"release": string(pack(t, raw))}
	}
}

// pack is gzip and base64, as Helm has it.
func pack(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := zw.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return []byte(base64.StdEncoding.EncodeToString(b.Bytes()))
}

// helm2Release is a release as Helm 2 writes it, a hapi.release.Release.
func helm2Release(t *testing.T, text string) []byte {
	t.Helper()
	var r struct {
		Namespace, Manifest string
		Config              map[string]any
		Chart               struct {
			Metadata struct{ Name, Version string }
		}
	}
	if err := sigsyaml.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	values, err := sigsyaml.Marshal(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	field := func(to []byte, number protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
	}
	metadata := field(field(nil, 1, []byte(r.Chart.Metadata.Name)), 4, []byte(r.Chart.Metadata.Version))
	out := field(nil, 3, field(nil, 1, metadata))
	out = field(field(field(out, 4, field(nil, 1, values)), 5, []byte(r.Manifest)), 8, []byte(r.Namespace))
	return protowire.AppendVarint(protowire.AppendTag(out, 7, protowire.VarintType), 1)
}

// dump is an Inventory with what its JSON leaves out.
func dump(t *testing.T, inv migrate.Inventory) string {
	t.Helper()
	type inMemory struct {
		ID            string
		Replicas      int32
		Image         string
		SharedAccount bool
		Credential    migrate.AgentCredential
		Rights        []string
		Files         []string
		Objects       []string
		Marked        []string
	}
	out := struct {
		Inventory  migrate.Inventory
		Namespaces []string
		InMemory   []inMemory
	}{Inventory: inv, Namespaces: inv.Cluster.Namespaces}
	for _, a := range inv.Agents {
		m := inMemory{ID: a.ID, Replicas: a.Replicas, Image: a.Image, SharedAccount: a.SharedAccount, Credential: a.Credential, Marked: a.Marked}
		for _, b := range a.Rights {
			m.Rights = append(m.Rights, fmt.Sprintf("%s/%s -> %s %s, %d rules, group %q, owned %v, aggregated %v",
				b.Namespace, b.Name, b.Role.Kind, b.Role.Name, len(b.Rules), b.Group, b.ReleaseOwned, b.Aggregated))
		}
		for _, f := range a.Files {
			m.Files = append(m.Files, fmt.Sprintf("%s %s", f.Kind, f.Path))
		}
		for _, o := range a.Objects {
			m.Objects = append(m.Objects, fmt.Sprintf("%s %s %s:%d", o.Class, o.ID, o.File, o.Line))
		}
		out.InMemory = append(out.InMemory, m)
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// TestClustersAreReadAsTheyAre runs each folder of testdata/cluster.
func TestClustersAreReadAsTheyAre(t *testing.T) {
	folders, err := filepath.Glob("testdata/cluster/*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no cases", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			f := open(t, folder)
			var progress []string
			f.witness.opts.Progress = func(line string) { progress = append(progress, line) }
			inv, err := f.witness.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := dump(t, inv)
			if tells(got + strings.Join(progress, "")) {
				t.Errorf("a secret is told:\n%s", got)
			}
			if len(progress) < 2 {
				t.Errorf("progress: %q", progress)
			}
			known := slices.Concat(Codes(), flux1.Codes())
			for _, finding := range inv.Findings {
				if !slices.ContainsFunc(known, func(c flux1.Code) bool { return c.Name == finding.Code }) || finding.Hint == "" {
					t.Errorf("finding of no table: %v", finding)
				}
			}
			for _, a := range inv.Agents {
				for _, s := range a.Settings {
					if s.Fate == "" || s.Fate != migrate.Carried && s.Why == "" || len(s.From) == 0 || s.From[0].Where == "" {
						t.Errorf("setting without an account: %+v", s)
					}
				}
			}
			equalsGolden(t, filepath.Join(folder, "want.json"), got)
		})
	}
}

func TestCodesAreWholeAndStandOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range slices.Concat(Codes(), flux1.Codes()) {
		if seen[c.Name] || c.Name == "" || c.Severity == "" || c.Cause == "" || c.Consequence == "" || c.Remedy == "" {
			t.Errorf("code %q is incomplete or stands twice", c.Name)
		}
		seen[c.Name] = true
	}
}
