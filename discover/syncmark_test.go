package discover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// Where an agent keeps its mark may not be known, and then its last commit is not;
// no name is no question for the API server, which refuses it.
func TestWhereTheMarkStandsMayNotBeKnown(t *testing.T) {
	for name, c := range map[string]struct {
		args    []string
		unknown bool
		never   bool
	}{
		"a tag":                      {nil, false, false},
		"a state that is not known":  {[]string{"--sync-state=$(OF_THE_POD)"}, true, false},
		"a tag that is not known":    {[]string{"--git-label=$(OF_THE_POD)"}, true, false},
		"a Secret that is not known": {[]string{"--git-readonly", "--k8s-secret-name=$(OF_THE_POD)"}, true, false},
		"a Secret without a name":    {[]string{"--git-readonly", "--k8s-secret-name="}, true, true},
		"ssh without a key":          {[]string{"--git-url=git@h:flux", "--k8s-secret-name="}, true, false},
		"ssh with an unknown key":    {[]string{"--git-url=git@h:flux", "--k8s-secret-name=$(OF_THE_POD)"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var args []string
			for _, a := range c.args {
				args = append(args, `"`+a+`"`)
			}
			commit := strings.Repeat("1", 40)
			dir := written(t, map[string]string{
				"cluster.yaml":                   "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, uid: the-uid}\n---\n" + fluxdNamed("flux", "", args...),
				"git.yaml":                       fmt.Sprintf("https://h/flux: {refs: {refs/heads/master: %q, refs/tags/flux-sync: %[1]q}}\n", commit),
				"commits/" + commit + "/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n",
			})
			f := open(t, dir)
			f.kube.PrependReactor("get", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
				if get, ok := a.(clienttesting.GetAction); ok && get.GetName() == "" {
					return true, nil, errors.New("resource name may not be empty") // client-go: rest/request.go
				}
				return false, nil, nil
			})
			inv, err := f.witness.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			a := inv.Agents[0]
			if slices.Contains(a.Unknown, "synced") != c.unknown || (a.Synced.Commit == "") != c.unknown {
				t.Errorf("synced %+v, unknown %v", a.Synced, a.Unknown)
			}
			if slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == NeverSynced.Name }) != c.never {
				t.Errorf("it never synced: %v", inv.Findings)
			}
			if strings.Contains(fmt.Sprint(c.args), "OF_THE_POD") {
				said(t, inv, "SYMBOLIC_FLAG")
			}
		})
	}
}

// How many objects an agent syncs is not known where it is not known which of the
// files and namespaces count.
func TestWhatAnAgentSyncsIsNotCountedWhereThatIsNotKnown(t *testing.T) {
	for flag, unknown := range map[string]bool{"--git-ci-skip": false, "--manifest-generation=$(OF_THE_POD)": true, "--k8s-allow-namespace=$(OF_THE_POD)": true} {
		commit := strings.Repeat("1", 40)
		inv, err := open(t, written(t, map[string]string{
			"cluster.yaml":                   "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, uid: the-uid}\n---\n" + fluxdNamed("flux", "", `"`+flag+`"`),
			"git.yaml":                       fmt.Sprintf("https://h/flux: {refs: {refs/heads/master: %q, refs/tags/flux-sync: %[1]q}}\n", commit),
			"commits/" + commit + "/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n",
		})).witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if a := inv.Agents[0]; slices.Contains(a.Unknown, "counts") != unknown || (a.Counts.Objects == 0) != unknown {
			t.Errorf("%s: counts %+v, unknown %v", flag, a.Counts, a.Unknown)
		}
	}
}

// What is not known of the branch's head is never taken for nothing: it is said, and nobody is
// told what Flux v1 would load there.
func TestWhatIsNotToldAtTheHeadIsNotTakenForNothing(t *testing.T) {
	const cm = "-- a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	const generated = "-- .flux.yaml --\nversion: 1\ncommandUpdated: {generators: [{command: kustomize build .}]}\n-- kustomization.yaml --\nresources: [a.yaml]\n"
	large := cm + "-- b.yaml --\n" + strings.Repeat("# filler\n", 17<<20/9)
	for name, c := range map[string]struct {
		mark, head string
		unknown    string
		code       string // none if nothing is said of the head
		problem    string
	}{
		"all is known":                      {mark: cm, head: cm},
		"what stands in Flux v2's way":      {mark: cm, head: cm + "---\nmetadata: {name: without-a-kind}\n"},
		"what is generated":                 {mark: cm, head: generated, code: HeadNotTold.Name, problem: "cannot be told"},
		"what is generated, as at the mark": {mark: generated, head: generated, problem: "cannot be told"},
		"a large file":                      {mark: cm, head: large, code: HeadNotTold.Name, problem: "larger than"},
		"a link that leads outside":         {mark: cm, head: cm + "-- b.yaml -> ../../b.yaml --\n", code: HeadNotTold.Name, problem: "outside the repository"},
		"one object twice, once hidden":     {mark: cm, head: cm + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n", code: HeadNotTold.Name, problem: "once without"},
		"what is broken":                    {mark: cm, head: generated + "-- a.yaml --\n[\n", code: HeadNotTold.Name, problem: "cannot be told"},
		"stuck":                             {mark: cm, head: cm + "-- b.yaml --\n[\n", code: StuckAtHead.Name, problem: "cannot be read"},
		"stuck, and a large file":           {mark: cm, head: large + "-- c.yaml --\n[\n", code: StuckAtHead.Name, problem: "cannot be read"},
		"a setting that is not known":       {mark: cm, head: cm, unknown: "manifestGeneration", problem: "manifestGeneration"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, atHead := range []bool{false, true} { // the mark may be the head
				w := &witness{}
				a := &agent{Flux1Agent: migrate.Flux1Agent{ID: "flux/flux", DefaultNamespace: "shop", ManifestGeneration: true}, deployment: &appsv1.Deployment{}}
				if c.unknown != "" {
					a.Unknown = []string{c.unknown}
				}
				mark := treeOf(c.mark)
				if atHead {
					mark = treeOf(c.head)
				}
				if err := w.loadTree(t.Context(), a, nil, migrate.Cluster{}, origin{git: fixedTree{mark}}, source0()); err != nil {
					t.Fatal(err)
				}
				if w.findings = nil; atHead {
					a.setHead(a.Objects, a.troubles)
				} else if err := w.checkHead(t.Context(), a, migrate.Cluster{}, origin{git: fixedTree{treeOf(c.head)}}, source0()); err != nil {
					t.Fatal(err)
				}
				if (a.HeadObjects == nil) != (c.problem != "") || !strings.Contains(a.HeadProblem, c.problem) || (a.HeadProblem == "") != (c.problem == "") {
					t.Errorf("the mark is the head: %v: %d objects, problem %q", atHead, len(a.HeadObjects), a.HeadProblem)
				}
				var codes []string
				for _, f := range w.findings {
					codes = append(codes, f.Code)
				}
				if says := slices.Contains(codes, c.code); !atHead && (says != (c.code != "") || len(codes) > 0 && !says) {
					t.Errorf("said is %v, want %q", codes, c.code)
				}
			}
		})
	}
}

// What a pod by an earlier template synced tells how far the Deployment's settings are synced only where
// it reads and applies the same, and keeps its mark in the same place.
func TestHowFarAPodByAnEarlierTemplateSynced(t *testing.T) {
	const before = `"--k8s-allow-namespace=shop", "--k8s-allow-namespace=pay", "--sync-interval=1m"`
	cluster := func(is, was string) string {
		earlier := strings.NewReplacer("kind: Deployment", "kind: ReplicaSet", "name: flux, namespace: flux, labels: {}", "name: old, namespace: flux, uid: old, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: flux, uid: u, controller: true}]").Replace(fluxdNamed("flux", "", was))
		return fluxdNamed("flux", "", is) + earlier + "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: flux, labels: {name: flux}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: old, uid: old, controller: true}]}\nspec: {containers: []}\nstatus: {phase: Running}\n"
	}
	for name, c := range map[string]struct {
		is    string
		alike bool
	}{
		"how often":               {`"--k8s-allow-namespace=shop", "--k8s-allow-namespace=pay"`, true},
		"in another order":        {`"--k8s-allow-namespace=pay", "--k8s-allow-namespace=shop"`, true},
		"fewer namespaces":        {`"--k8s-allow-namespace=shop"`, false},
		"all namespaces":          {`"--sync-interval=2m"`, false},
		"another for what has no": {before + `, "--k8s-default-namespace=shop"`, false},
		"what SOPS encrypted":     {before + `, "--sops"`, false},
		"what git-secret did":     {before + `, "--git-secret"`, false},
	} {
		findings := slices.DeleteFunc(liveIn(t, cluster(c.is, before)).Findings, func(f migrate.Finding) bool { return f.Code != RolloutUnfinished.Name })
		if len(findings) != 1 || strings.Contains(findings[0].Message, "not known how far it has synced") == c.alike {
			t.Errorf("%s: %+v", name, findings)
		}
	}
	// An error says what was tried.
	f := open(t, writtenCluster(t, strings.ReplaceAll(cluster(before, `"--git-branch=$(OF_THE_POD)"`), "fieldRef: {fieldPath: status.podIP}", "configMapKeyRef: {name: x, key: x}")))
	f.kube.PrependReactor("*", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return a.GetNamespace() != "", nil, errors.New("too busy")
	})
	if _, err := f.witness.inventory(t.Context()); err == nil || !strings.Contains(err.Error(), "compare pod flux/p with its Deployment: ") || strings.Contains(err.Error(), "selector") {
		t.Error(err)
	}
}
