package helm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
)

// metadataOf serves the metadata of what a fake cluster holds.
func metadataOf(t *testing.T, kube *fake.Clientset) *metadatafake.FakeMetadataClient {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var objects []runtime.Object
	add := func(kind string, m metav1.ObjectMeta) {
		objects = append(objects, &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: kind}, ObjectMeta: m})
	}
	secrets, err := kube.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets.Items {
		add("Secret", s.ObjectMeta)
	}
	maps, err := kube.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range maps.Items {
		add("ConfigMap", m.ObjectMeta)
	}
	return metadatafake.NewSimpleMetadataClient(scheme, objects...)
}

const someManifest = "---\n# Source: x\nkind: Role\nmetadata:\n  name: shop\n---\nkind: ClusterRole\nmetadata:\n  name: shop\n" +
	"---\nkind: Deployment\nmetadata:\n  name: shop\nspec:\n  replicas: 3\n---\n# only a comment\n---\nkind: Role\nmetadata: {name: far, namespace: away}\n"

// TestReleasesWrittenByHelmAreRead has Helm's own library write them.
func TestReleasesWrittenByHelmAreRead(t *testing.T) {
	kube := fake.NewClientset()
	for kind, storage := range map[string]driver.Driver{
		"Secret":    driver.NewSecrets(kube.CoreV1().Secrets("flux")),
		"ConfigMap": driver.NewConfigMaps(kube.CoreV1().ConfigMaps("flux")),
	} {
		name := "by-" + strings.ToLower(kind)
		for version, status := range []release.Status{release.StatusSuperseded, release.StatusDeployed, release.StatusFailed} {
			r := &release.Release{
				Name: name, Namespace: "flux", Version: version + 9, Info: &release.Info{Status: status},
				Chart:    &chart.Chart{Metadata: &chart.Metadata{Name: "flux", Version: fmt.Sprintf("1.%d.0", version)}},
				Manifest: someManifest, Config: map[string]any{"whole": 12000000, "half": 0.5, "list": []any{"a"}},
			}
			if err := storage.Create(fmt.Sprintf("sh.helm.release.v1.%s.v%d", name, version+9), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := Read(t.Context(), metadataOf(t, kube), nil)
	if err != nil {
		t.Fatal(err)
	}
	if names := s.Names(); !slices.Equal(names, []string{"by-configmap", "by-secret"}) {
		t.Errorf("releases: %v", names)
	}
	for _, kind := range []string{"Secret", "ConfigMap"} {
		name := "by-" + strings.ToLower(kind)
		all := s.Of("flux", name)
		if len(all) != 1 || len(all[0]) != 3 || all[0][0].Number != 11 || all[0][0].Status != Failed {
			t.Fatalf("%s: %+v", name, all)
		}
		live := Live(all[0])
		if want := kind + "/flux/sh.helm.release.v1." + name + ".v10"; live.Place() != want || live.Status != Deployed || live.Helm != 3 {
			t.Errorf("live is %s (%s), want %s", live.Place(), live.Status, want)
		}
		r, err := live.Open(t.Context(), kube)
		if err != nil {
			t.Fatal(err)
		}
		if r.Chart != "flux" || r.ChartVersion != "1.1.0" || r.Namespace != "flux" || r.Skipped != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if diff := cmp.Diff(map[string]any{"whole": int64(12000000), "half": 0.5, "list": []any{"a"}}, r.Values); diff != "" {
			t.Error(diff)
		}
		if !r.Owns("Role", "flux", "shop") || !r.Owns("ClusterRole", "", "shop") || !r.Owns("Role", "away", "far") || r.Owns("Role", "away", "shop") || r.Owns("ClusterRole", "flux", "shop") {
			t.Errorf("%s: owned %v", name, r.owned)
		}
		if d := r.Deployment("flux", "shop"); d == nil || *d.Spec.Replicas != 3 || len(r.Deployments()) != 1 {
			t.Errorf("%s: Deployment %v", name, d)
		}
	}
	if found := s.Of("flux", "other"); len(found) != 0 {
		t.Errorf("a release that is not there: %v", found)
	}
	gone := Revision{Kind: "Secret", Namespace: "flux", Name: "nowhere"}
	if _, err := gone.Open(t.Context(), kube); !errors.Is(err, ErrGone) {
		t.Errorf("want it gone, got %v", err)
	}
}

func TestAnOpenedRevisionIsFetchedAgainOnlyOnceItChanged(t *testing.T) {
	kube := fake.NewClientset()
	storage := driver.NewSecrets(kube.CoreV1().Secrets("flux"))
	r := &release.Release{Name: "shop", Namespace: "flux", Version: 1, Info: &release.Info{Status: release.StatusDeployed},
		Chart: &chart.Chart{Metadata: &chart.Metadata{Name: "flux", Version: "1.0.0"}}, Manifest: someManifest}
	if err := storage.Create("sh.helm.release.v1.shop.v1", r); err != nil {
		t.Fatal(err)
	}
	fetched := 0
	kube.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		fetched++
		return false, nil, nil
	})
	revision := Revision{Kind: "Secret", Namespace: "flux", Name: "sh.helm.release.v1.shop.v1", Helm: 3}
	opened := &Opened{}
	for _, c := range []struct {
		opened  *Opened
		content string
		want    int
	}{
		{opened, "uid/1", 1}, {opened, "uid/1", 1}, {opened, "uid/2", 2},
		{opened, "", 3}, {opened, "", 4}, {nil, "uid/2", 5},
	} {
		revision.content = c.content
		record, err := c.opened.Open(t.Context(), kube, revision)
		if err != nil || record.ChartVersion != "1.0.0" || fetched != c.want {
			t.Errorf("content %q: record %+v, error %v, fetched %d times, want %d", c.content, record, err, fetched, c.want)
		}
	}
	if a, b := contentOf("a", "1"), contentOf("a", "2"); a == b || a == "" {
		t.Errorf("versions of an object are told apart by %q and %q", a, b)
	}
	if c := contentOf("a", ""); c != "" {
		t.Errorf("what may have changed is known as %q", c)
	}
}

func TestManyRevisionsAreOpenedWithFewQuestions(t *testing.T) {
	kube := fake.NewClientset()
	const releases = 120
	for i := range releases {
		r := &release.Release{Name: fmt.Sprintf("shop-%d", i), Namespace: "flux", Version: 1, Info: &release.Info{Status: release.StatusDeployed},
			Chart: &chart.Chart{Metadata: &chart.Metadata{Name: "flux", Version: fmt.Sprintf("1.0.%d", i)}}, Manifest: someManifest}
		if err := driver.NewSecrets(kube.CoreV1().Secrets("flux")).Create(fmt.Sprintf("sh.helm.release.v1.shop-%d.v1", i), r); err != nil {
			t.Fatal(err)
		}
	}
	secrets := kube.CoreV1().Secrets("flux")
	list, err := secrets.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		s := &list.Items[i]
		s.UID, s.ResourceVersion = types.UID(s.Name), "1"
		switch s.Name {
		case "sh.helm.release.v1.shop-3.v1":
			s.Data["release"] = []byte("!")
		case "sh.helm.release.v1.shop-5.v1":
			s.Labels["status"] = "pending-upgrade"
		}
		if _, err := secrets.Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	storage, err := Read(t.Context(), metadataOf(t, kube), nil)
	if err != nil {
		t.Fatal(err)
	}
	var live []Revision
	for i := range releases {
		live = append(live, Live(storage.Of("flux", fmt.Sprintf("shop-%d", i))[0]))
	}
	var lists, gets int
	kube.PrependReactor("*", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		switch a.GetVerb() {
		case "list":
			lists++
		case "get":
			gets++
		}
		return false, nil, nil
	})
	opened := &Opened{}
	opened.OpenDeployed(t.Context(), kube, live)
	if lists != 3 || gets != 0 {
		t.Errorf("%d lists and %d gets, want 3 lists", lists, gets)
	}
	for i, r := range live {
		record, err := opened.Open(t.Context(), kube, r)
		switch {
		case i == 3 && !errors.Is(err, ErrCorrupt):
			t.Errorf("a corrupt one: %v", err)
		case i != 3 && (err != nil || record.ChartVersion != fmt.Sprintf("1.0.%d", i)):
			t.Errorf("release %d: %+v, %v", i, record, err)
		}
	}
	if gets != 2 {
		t.Errorf("%d were read alone, want the corrupt one and the one that is not deployed", gets)
	}
	lists = 0
	if opened.OpenDeployed(t.Context(), kube, live); lists != 0 {
		t.Errorf("%d questions about what is known", lists)
	}
	kube.PrependReactor("list", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", errors.New("no"))
	})
	narrow := &Opened{}
	narrow.OpenDeployed(t.Context(), kube, live)
	if record, err := narrow.Open(t.Context(), kube, live[0]); err != nil || record.ChartVersion != "1.0.0" {
		t.Errorf("without the right to list: %+v, %v", record, err)
	}
}

func TestTheLiveRevisionIsTheNewestDeployedOne(t *testing.T) {
	for name, c := range map[string]struct {
		statuses string // newest first
		want     int
	}{
		"one":                     {"deployed", 1},
		"an upgrade":              {"deployed superseded superseded", 3},
		"a failed upgrade":        {"failed deployed superseded", 2},
		"two failed upgrades":     {"failed failed deployed", 1},
		"a failed installation":   {"failed", 1},
		"an upgrade under way":    {"pending-upgrade deployed", 1},
		"a rollback under way":    {"pending-rollback deployed superseded", 2},
		"an installation":         {"pending-install", 1},
		"deployed twice":          {"deployed deployed", 2},
		"uninstalled, kept":       {"uninstalled superseded", 2},
		"nothing that Helm wrote": {" superseded", 2},
	} {
		statuses := strings.Split(c.statuses, " ")
		var revisions []Revision
		for i, s := range statuses {
			revisions = append(revisions, Revision{Number: len(statuses) - i, Status: s})
		}
		if got := Live(revisions); got.Number != c.want {
			t.Errorf("%s: revision %d, want %d", name, got.Number, c.want)
		}
	}
}

func labelled(kind, namespace, name string, created int64, labels map[string]string) runtime.Object {
	m := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, CreationTimestamp: metav1.Unix(created, 0)}
	if kind == "Secret" {
		return &corev1.Secret{ObjectMeta: m}
	}
	return &corev1.ConfigMap{ObjectMeta: m}
}

func helm3(version, status string) map[string]string {
	return map[string]string{"owner": "helm", "name": "flux", "version": version, "status": status}
}

func tiller(version, status string) map[string]string {
	return map[string]string{"OWNER": "TILLER", "NAME": "flux", "VERSION": version, "STATUS": status}
}

// TestTheReleaseOfANameIsLookedForNearestFirst: its own namespace, Tiller's,
// any other; and the driver that was used last.
func TestTheReleaseOfANameIsLookedForNearestFirst(t *testing.T) {
	kube := fake.NewClientset(
		labelled("Secret", "a", "elsewhere", 1, helm3("7", "deployed")),
		labelled("ConfigMap", "kube-system", "flux.v1", 1, tiller("1", "SUPERSEDED")),
		labelled("ConfigMap", "kube-system", "flux.v2", 2, tiller("2", "DEPLOYED")),
		labelled("Secret", "tiller", "flux.v1", 2, tiller("1", "DELETED")),
		labelled("ConfigMap", "tiller", "flux.v3", 1, tiller("3", "PENDING_UPGRADE")),
		labelled("Secret", "shop", "one", 10, helm3("1", "deployed")),
		labelled("ConfigMap", "shop", "nine", 5, helm3("9", "deployed")),
		labelled("Secret", "shop", "no-number", 1, helm3("x", "deployed")),
		labelled("Secret", "shop", "no-name", 1, map[string]string{"owner": "helm", "version": "1"}),
		labelled("Secret", "shop", "other-owner", 1, map[string]string{"owner": "me", "name": "flux", "version": "1"}),
	)
	s, err := Read(t.Context(), metadataOf(t, kube), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, revisions := range s.Of("shop", "flux") {
		for _, r := range revisions {
			got = append(got, fmt.Sprintf("%d %s %d %s", r.Helm, r.Place(), r.Number, r.Status))
		}
	}
	want := []string{
		"3 Secret/shop/one 1 deployed", "3 ConfigMap/shop/nine 9 deployed",
		"2 ConfigMap/kube-system/flux.v2 2 deployed", "2 ConfigMap/kube-system/flux.v1 1 superseded",
		"2 Secret/tiller/flux.v1 1 uninstalled", "2 ConfigMap/tiller/flux.v3 3 pending-upgrade",
		"3 Secret/a/elsewhere 7 deployed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestWithoutTheRightForAllNamespacesTheGivenOnesAreRead also tells what was
// not read.
func TestWithoutTheRightForAllNamespacesTheGivenOnesAreRead(t *testing.T) {
	kube := fake.NewClientset(labelled("Secret", "shop", "one", 1, helm3("1", "deployed")), labelled("Secret", "locked", "two", 1, helm3("1", "deployed")))
	meta := metadataOf(t, kube)
	meta.PrependReactor("list", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if ns := action.GetNamespace(); ns == "" || ns == "locked" || ns == "broken" {
			err := apierrors.NewForbidden(schema.GroupResource{Resource: action.GetResource().Resource}, "", nil)
			if ns == "broken" {
				return true, nil, apierrors.NewInternalError(errors.New("no"))
			}
			return true, nil, err
		}
		return false, nil, nil
	})
	s, err := Read(t.Context(), meta, []string{"locked", "shop"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"": {"secrets", "configmaps"}, "locked": {"secrets", "configmaps"}}, s.Unread); diff != "" {
		t.Error(diff)
	}
	if all := s.Of("shop", "flux"); len(all) != 1 || all[0][0].Name != "one" {
		t.Errorf("%+v", all)
	}
	if _, err := Read(t.Context(), meta, []string{"broken"}); err == nil || !strings.Contains(err.Error(), "list secrets") {
		t.Errorf("a failure must not look like an empty storage: %v", err)
	}
}
