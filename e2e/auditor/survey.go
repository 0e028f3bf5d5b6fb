package auditor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// Survey is what the cluster itself says at the end of a log: who the engines
// are, and which managed objects live.
type Survey struct {
	// Managed are the live objects with a label of either engine, by inventory id.
	Managed map[string]Live

	deployments    []body
	kustomizations []body
	kinds          map[[2]string]string
}

// Live is one live object.
type Live struct {
	UID     string
	Created time.Time
}

// TakeSurvey reads the cluster. It needs list on all resources.
func TakeSurvey(ctx context.Context, config *rest.Config) (*Survey, error) {
	s := &Survey{Managed: map[string]Live{}, kinds: map[[2]string]string{}}
	err := listAll(ctx, config, notDumped, func(r resource, o *unstructured.Unstructured) error {
		s.kinds[[2]string{r.gvr.Group, r.gvr.Resource}] = r.kind
		labels := o.GetLabels()
		switch {
		case r.gvr.Group == "apps" && r.kind == "Deployment":
			s.deployments = append(s.deployments, plainBody(o))
		case r.gvr.Group == "kustomize.toolkit.fluxcd.io" && r.kind == "Kustomization":
			s.kustomizations = append(s.kustomizations, plainBody(o))
		}
		if (labels[labelFlux1Mark] != "" || labels[labelKSName] != "") && !isFluxGroup(r.gvr.Group) {
			s.Managed[inventoryID(o.GetNamespace(), o.GetName(), r.gvr.Group, r.kind)] = Live{
				UID: string(o.GetUID()), Created: o.GetCreationTimestamp().Time,
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("survey cluster: %w", err)
	}
	return s, nil
}

// plainBody gives a live object the form that a log has.
func plainBody(o *unstructured.Unstructured) body {
	raw, err := o.MarshalJSON()
	if err != nil {
		return nil
	}
	return decodeBody(raw)
}

// teach hands on what does not change with time. States are left to the log:
// the cluster shows only the last.
func (s *Survey) teach(a *Auditor) {
	for _, d := range s.deployments {
		a.accounts.learnDeployment(d)
	}
	for k, kind := range s.kinds {
		a.ledger.kinds[k] = kind
	}
	for _, b := range s.kustomizations {
		k := a.handover.kustomization(text(b, "metadata", "namespace") + "/" + text(b, "metadata", "name"))
		k.repository = repositoryID(b)
		for _, e := range list(b, "status", "inventory", "entries") {
			if entry, ok := e.(map[string]any); ok {
				k.inventory[text(entry, "id")] = true
			}
		}
	}
}

// resource is one kind of object that can be listed.
type resource struct {
	gvr  schema.GroupVersionResource
	kind string
}

func (r resource) String() string { return strings.TrimSuffix(r.gvr.Resource+"."+r.gvr.Group, ".") }
