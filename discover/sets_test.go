package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// hiddenAgent is an agent one of whose settings stands in a Secret of its own.
const hiddenAgent = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: flux}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - name: flux
        image: fluxcd/flux:1.25.4
        args: [--git-url=git@git.example.com:org/app, --git-branch=main, "--%[2]s=$(HIDDEN)", --registry-disable-scanning]
        env:
        - name: HIDDEN
          valueFrom: {secretKeyRef: {name: %[1]s, key: value}}
---
apiVersion: v1
kind: Secret
metadata: {name: %[1]s, namespace: flux}
data: {value: %[1]s}
`

func TestAgentsOfWhichABranchOrPathIsHiddenAreNotTakenForOne(t *testing.T) {
	for flag, setting := range map[string]string{"git-branch": "git.branch", "git-path": "git.paths"} {
		folder := t.TempDir()
		objects := "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, uid: the-uid}\n" + fmt.Sprintf(hiddenAgent, "aaaa", flag) + fmt.Sprintf(hiddenAgent, "bbbb", flag) + `---
apiVersion: v1
kind: ConfigMap
metadata:
  name: theirs
  namespace: default
  annotations: {test/mark-of: "git@git.example.com:org/app other"}
`
		if err := os.WriteFile(filepath.Join(folder, "cluster.yaml"), []byte(objects), 0o600); err != nil {
			t.Fatal(err)
		}
		inv, err := open(t, folder).witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var told string
		for _, f := range inv.Findings {
			switch f.Code {
			case SameSet.Name:
				t.Errorf("%s: two agents are said to sync the same, which nobody knows: %+v", flag, f)
			case ForeignMarks.Name:
				told = f.Message
			}
		}
		for _, id := range []string{"flux/aaaa", "flux/bbbb"} {
			if !strings.Contains(told, id+", without knowing "+setting) {
				t.Errorf("%s: whose the mark may be is not said: %q", flag, told)
			}
		}
		if len(inv.Agents) != 2 || inv.Agents[0].Marked != nil {
			t.Errorf("%s: %s", flag, dump(t, inv))
		}
	}
}

func TestAMarkIsOfNobodyWhereAllMarksCanBeTold(t *testing.T) {
	known := &agent{Flux1Agent: migrate.Flux1Agent{ID: "a"}, set: "x"}
	if got := perhapsOf([]*agent{known, {}}); got != "" {
		t.Errorf("said %q", got)
	}
	var hidden []*agent
	for i := range 7 {
		hidden = append(hidden, &agent{Flux1Agent: migrate.Flux1Agent{ID: fmt.Sprint("n", i)}, setMissing: "git.url"})
	}
	if got := perhapsOf(hidden); !strings.Contains(got, "n4, without") || strings.Contains(got, "n5") || !strings.Contains(got, "and 2 more") {
		t.Errorf("said %q", got)
	}
}

// What bears an agent's mark and is not in Git is an orphan, which the agent deletes, unless the
// object itself says that it is left alone, or another one owns it (flux: pkg/cluster/kubernetes/sync.go).
func TestWhatIsLeftAloneIsNoOrphan(t *testing.T) {
	kind := &listable{kind: "ConfigMap", namespaced: true}
	l := &live{marked: map[string]*liveObject{
		"shop_gone__ConfigMap":   {listable: kind, namespace: "shop", name: "gone"},
		"shop_kept__ConfigMap":   {listable: kind, namespace: "shop", name: "kept", ignore: "true"},
		"shop_synced__ConfigMap": {listable: kind, namespace: "shop", name: "synced", ignore: "sync_only"},
		"shop_owned__ConfigMap":  {listable: kind, namespace: "shop", name: "owned", ignore: "true", owned: true},
		"shop_there__ConfigMap":  {listable: kind, namespace: "shop", name: "there"},
	}}
	a := &agent{Flux1Agent: migrate.Flux1Agent{ID: "flux/flux", Image: "fluxcd/flux:1.25.4", Objects: []migrate.Object{{ID: "shop_there__ConfigMap"}}}, loaded: true}
	for id := range l.marked {
		a.Marked = append(a.Marked, id)
	}
	w := &witness{}
	w.orphans([]*agent{a}, l)
	equal(t, "orphans", a.Counts.Orphans, 1)
	if len(w.findings) != 1 || !strings.Contains(w.findings[0].Message, "gone") {
		t.Errorf("they are told as %+v", w.findings)
	}
}
