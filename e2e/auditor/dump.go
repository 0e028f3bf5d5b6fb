package auditor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// notDumped are resources that change by themselves, or that only repeat
// others, by resource.group.
var notDumped = []string{
	"events", "events.events.k8s.io", // expire
	"leases.coordination.k8s.io", "leasecandidates.coordination.k8s.io", // heartbeats
	"endpoints", "endpointslices.discovery.k8s.io", // follow Services and Pods
	"componentstatuses",                           // computed on request
	"pods.metrics.k8s.io", "nodes.metrics.k8s.io", // measurements
	"storageversions.internal.apiserver.k8s.io", "storageversionmigrations.storagemigration.k8s.io", // the API server's own
}

// exceptedMetadata are the fields of metadata that may differ between two
// dumps of a cluster that is as it was: design, section 7. The UID is not
// among them: an object made again is not the same.
var exceptedMetadata = []string{"resourceVersion", "generation", "creationTimestamp", "selfLink"}

// DumpOptions say what is left out of a dump.
type DumpOptions struct {
	// Ignore tells, by inventory id, that an object is left out. Nil ignores
	// none beyond the list of this package.
	Ignore func(id string) bool
}

// Dump is the content of a cluster in comparable form: inventory id → content.
// Status, resourceVersion, generation and times are left out; managedFields are
// reduced to manager, operation, subresource and the set of fields, those of
// the subresource status left out with status itself. Values of Secrets are
// hashes. Pods that a controller made have random names, and are one entry per
// controller that says how many there are.
type Dump map[string]map[string]any

// TakeDump reads every resource that can be listed. A group whose discovery
// fails, or a resource that cannot be listed, is an error: what was not read
// would look as if it had not changed.
func TakeDump(ctx context.Context, config *rest.Config, opts DumpOptions) (Dump, error) {
	dump := Dump{}
	pods := map[string]int64{}
	err := listAll(ctx, config, notDumped, func(r resource, o *unstructured.Unstructured) error {
		if r.kind == "Pod" && r.gvr.Group == "" {
			if owner := metav1.GetControllerOfNoCopy(o); owner != nil {
				id := inventoryID(o.GetNamespace(), owner.Kind+":"+owner.Name, "", "Pod")
				if opts.Ignore != nil && opts.Ignore(id) {
					return nil
				}
				pods[id]++
				return nil
			}
		}
		id := inventoryID(o.GetNamespace(), o.GetName(), r.gvr.Group, r.kind)
		if opts.Ignore != nil && opts.Ignore(id) {
			return nil
		}
		content, err := dumpObject(o, r.kind == "Secret" && r.gvr.Group == "")
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		dump[id] = content
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dump cluster: %w", err)
	}
	for id, n := range pods {
		dump[id] = map[string]any{"pods": json.Number(strconv.FormatInt(n, 10))}
	}
	return dump, nil
}

func dumpObject(o *unstructured.Unstructured, secret bool) (map[string]any, error) {
	b := plainBody(o)
	if b == nil {
		return nil, fmt.Errorf("the object cannot be read as JSON")
	}
	out := map[string]any{}
	for k, v := range b {
		if k != "status" && k != "metadata" {
			out[k] = v
		}
	}
	meta := map[string]any{}
	for k, v := range child(b, "metadata") {
		if k != "managedFields" && !slices.Contains(exceptedMetadata, k) {
			meta[k] = v
		}
	}
	fields, err := fieldOwners(list(b, "metadata", "managedFields"))
	if err != nil {
		return nil, err
	}
	if len(fields) > 0 {
		meta["managedFields"] = fields
	}
	out["metadata"] = meta
	if secret {
		hideSecret(out)
	}
	return out, nil
}

// fieldOwners reduces managedFields to "manager operation subresource" → field →
// true, entries with equal keys united.
func fieldOwners(entries []any) (map[string]any, error) {
	out := map[string]any{}
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		subresource := text(entry, "subresource")
		if subresource == "status" {
			continue
		}
		owner := strings.TrimSpace(text(entry, "manager") + " " + text(entry, "operation") + " " + subresource)
		set, ok := out[owner].(map[string]any)
		if !ok {
			set = map[string]any{}
			out[owner] = set
		}
		tree, ok := entry["fieldsV1"].(map[string]any)
		if !ok && entry["fieldsV1"] != nil {
			return nil, fmt.Errorf("managedFields of %s hold no fieldsV1 map", owner)
		}
		flattenFields("", tree, set)
	}
	return out, nil
}

// flattenFields lists the leaves of a FieldsV1 tree, and the members "." that
// say that the item itself is owned.
func flattenFields(prefix string, tree map[string]any, into map[string]any) {
	for k, v := range tree {
		sub, _ := v.(map[string]any)
		if len(sub) == 0 {
			into[prefix+k] = true
			continue
		}
		flattenFields(prefix+k+" ", sub, into)
	}
}

// listAll calls visit for every object of every resource that can be listed,
// in its preferred version, but those in skip.
func listAll(ctx context.Context, config *rest.Config, skip []string, visit func(resource, *unstructured.Unstructured) error) error {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst, config.WarningHandler = 200, 400, rest.NoWarnings{}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	lists, err := disco.ServerPreferredResources()
	if err != nil {
		return fmt.Errorf("discover resources: %w", err)
	}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return fmt.Errorf("discover resources: %w", err)
		}
		for _, r := range l.APIResources {
			one := resource{gvr: gv.WithResource(r.Name), kind: r.Kind}
			if strings.Contains(r.Name, "/") || !slices.Contains([]string(r.Verbs), "list") || slices.Contains(skip, one.String()) {
				continue
			}
			if err := listOne(ctx, client, one, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func listOne(ctx context.Context, client dynamic.Interface, r resource, visit func(resource, *unstructured.Unstructured) error) error {
	options := metav1.ListOptions{Limit: 500}
	for {
		page, err := client.Resource(r.gvr).List(ctx, options)
		if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			return nil // a kind that went since discovery, or that answers no list
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", r, err)
		}
		for i := range page.Items {
			if err := visit(r, &page.Items[i]); err != nil {
				return err
			}
		}
		if page.GetContinue() == "" {
			return nil
		}
		options.Continue = page.GetContinue()
	}
}

// Difference is one way in which two dumps differ.
type Difference struct {
	// ID is the inventory id of the object.
	ID string `json:"id"`
	// Kind is added, removed or changed.
	Kind string `json:"kind"`
	// Fields are what changed; none for an object added or removed.
	Fields []Field `json:"fields,omitempty"`
}

// Diff lists what b has that a has not, and the reverse, in the order of ids.
// Equal dumps give none.
func Diff(a, b Dump) []Difference {
	var out []Difference
	ids := map[string]bool{}
	for id := range a {
		ids[id] = true
	}
	for id := range b {
		ids[id] = true
	}
	for _, id := range sortedNames(ids) {
		before, had := a[id]
		after, has := b[id]
		switch {
		case !had:
			out = append(out, Difference{ID: id, Kind: "added"})
		case !has:
			out = append(out, Difference{ID: id, Kind: "removed"})
		default:
			if fields := differences(before, after); len(fields) > 0 {
				out = append(out, Difference{ID: id, Kind: "changed", Fields: fields})
			}
		}
	}
	return out
}

// WriteDifferences writes them for people, one field a line.
func WriteDifferences(w io.Writer, differences []Difference) error {
	for _, d := range differences {
		if _, err := fmt.Fprintf(w, "%s %s\n", d.Kind, d.ID); err != nil {
			return err
		}
		for _, f := range d.Fields {
			before, after := f.Before, f.After
			if before == "" {
				before = "none"
			}
			if after == "" {
				after = "none"
			}
			if _, err := fmt.Fprintf(w, "    %s: %s → %s\n", f.Path, before, after); err != nil {
				return err
			}
		}
	}
	return nil
}

// ParseDump reads a dump that was written as JSON.
func ParseDump(raw []byte) (Dump, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // as in a dump just taken
	var d Dump
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("read dump: %w", err)
	}
	return d, nil
}
