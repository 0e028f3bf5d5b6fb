package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var kustomizations = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}

type arrival struct {
	what string
	took time.Duration
}

// commitArrives pushes CI's next commit to the first team's repository and
// waits until each of its Kustomizations has applied it.
func (d *demo) commitArrives(ctx context.Context) (arrival, error) {
	team := d.lab.Teams[0]
	client, err := dynamic.NewForConfig(d.lab.ControlPlane.Config())
	if err != nil {
		return arrival{}, err
	}
	commit, err := d.lab.CommitNext(ctx, team)
	if err != nil {
		return arrival{}, err
	}
	pushed := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		list, err := client.Resource(kustomizations).Namespace(newNamespace).List(ctx, metav1.ListOptions{LabelSelector: "fluxover.dev/release=" + team.Release})
		if err != nil {
			return arrival{}, err
		}
		behind := 0
		for _, k := range list.Items {
			if revision, _, _ := unstructured.NestedString(k.Object, "status", "lastAppliedRevision"); !strings.HasSuffix(revision, commit) {
				behind++
			}
		}
		if behind == 0 && len(list.Items) > 0 {
			return arrival{what: fmt.Sprintf("commit %s of %s", commit[:7], team.Repo), took: time.Since(pushed)}, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return arrival{}, fmt.Errorf("commit %s of %s: %d of %d Kustomizations have not applied it: %w", commit[:7], team.Repo, behind, len(list.Items), ctx.Err())
		}
	}
}
