package discover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
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
