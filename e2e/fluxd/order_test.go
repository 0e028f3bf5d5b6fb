package main

import (
	"math/rand"
	"strings"
	"testing"
)

func TestApplyOrderIsByRankThenName(t *testing.T) {
	t.Parallel()
	want := strings.Fields(`namespace/b namespace/z
		service/a clusterrole/b role/c serviceaccount/d persistentvolume/e customresourcedefinition/f
		configmap/a secret/b ingress/c rolebinding/d clusterrolebinding/e resourcequota/f limitrange/g persistentvolumeclaim/h
		deployment/a statefulset/b daemonset/c job/d cronjob/e replicaset/f replicationcontroller/g
		helmrelease/a networkpolicy/b pod/c widget/d`)
	names := func(changes []change) string {
		var out []string
		for _, c := range changes {
			out = append(out, c.id.kind+"/"+c.id.name)
		}
		return strings.Join(out, " ")
	}
	var changes []change
	for _, w := range want {
		kind, name, _ := strings.Cut(w, "/")
		changes = append(changes, change{id: identity{kind: kind, name: name}})
	}
	rand.New(rand.NewSource(1)).Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	sortForApply(changes)
	if got := names(changes); got != strings.Join(want, " ") {
		t.Errorf("apply order\n got %s\nwant %s", got, strings.Join(want, " "))
	}
	sortForDelete(changes)
	var reversed []string
	for i := len(want) - 1; i >= 0; i-- {
		reversed = append(reversed, want[i])
	}
	if got := names(changes); got != strings.Join(reversed, " ") {
		t.Errorf("delete order\n got %s\nwant %s", got, strings.Join(reversed, " "))
	}
}

func TestIgnoreHasEffectOnlyForTrueAndSyncOnly(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"fluxcd.io/", "flux.weave.works/"} {
		for value, want := range map[string]string{
			"true": ignoreTrue, "sync_only": ignoreSyncOnly, "1": "", "yes": "", "True": "", "": "", "false": "",
		} {
			if got := ignorePolicy(map[string]string{prefix + "ignore": value}); got != want {
				t.Errorf("%signore: %q has effect %q, want %q", prefix, value, got, want)
			}
		}
	}
	if got := ignorePolicy(map[string]string{"example.com/ignore": "true"}); got != "" {
		t.Errorf("a foreign prefix has effect %q", got)
	}
}
