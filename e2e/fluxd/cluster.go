package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// cluster reads the API server the way fluxd does: every group version is
// discovered, every listable kind is listed, one request each (reference 2.1).
type cluster struct {
	config    *rest.Config
	dynamic   dynamic.Interface
	metadata  metadata.Interface
	discovery discovery.CachedDiscoveryInterface
	// discoveryStale asks for a new discovery before the next look at it.
	discoveryStale atomic.Bool

	allowed  map[string]bool
	excluded []string
	log      *logger
	// warnedNamespaces holds the allowed namespaces found inaccessible, to say it
	// once.
	warnedNamespaces map[string]bool
}

// restConfig finds the API server: in a pod by the service account below the
// root, by hand by the kubeconfig of the flag or of $HOME. inCluster tells which.
func restConfig(set *settings, root podRoot) (config *rest.Config, inCluster bool, err error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	tokenFile := filepath.Join(root.path(serviceAccountMount), "token")
	if host != "" && port != "" && isFile(tokenFile) {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return &rest.Config{
			Host:            "https://" + host + ":" + port,
			BearerTokenFile: tokenFile,
			TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(root.path(serviceAccountMount), "ca.crt")},
		}, true, nil
	}
	path := kubeConfigByHand(set, root)
	config, err = clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, false, fmt.Errorf("read kubeconfig %s: %w", path, err)
	}
	return config, false, nil
}

func kubeConfigByHand(set *settings, root podRoot) string {
	if set.kubeConfig != "" {
		return set.kubeConfig
	}
	return filepath.Join(root.home(), ".kube", "config")
}

// newCluster connects. Discovery is kept until a CRD changes, one minute has
// passed since the start, or five minutes since then, as in fluxd.
func newCluster(ctx context.Context, config *rest.Config, set *settings, log *logger) (*cluster, error) {
	config.QPS, config.Burst = 50, 100
	config.WarningHandler = rest.NoWarnings{}
	config.UserAgent = "fluxd/stand-in"
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	disco.UseLegacyDiscovery = true
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	c := &cluster{
		config: config, dynamic: dyn, metadata: meta, discovery: memory.NewMemCacheClient(disco),
		allowed: map[string]bool{}, excluded: set.excludeResources, log: log,
		warnedNamespaces: map[string]bool{},
	}
	c.discoveryStale.Store(true)
	for _, ns := range set.allowedNamespaces() {
		c.allowed[ns] = true
	}
	if err := c.watchCRDs(ctx); err != nil {
		return nil, err
	}
	go c.staleByTime(ctx)
	return c, nil
}

var crdResource = schema.GroupVersionResource{
	Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
}

func (c *cluster) watchCRDs(ctx context.Context) error {
	informer := metadatainformer.NewFilteredMetadataInformer(c.metadata, crdResource, "", 0, cache.Indexers{}, nil).Informer()
	// Only that something changed matters, so nothing of a CRD is kept.
	if err := informer.SetTransform(func(any) (any, error) { return &metav1.PartialObjectMetadata{}, nil }); err != nil {
		return err
	}
	stale := func() { c.discoveryStale.Store(true) }
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { stale() },
		UpdateFunc: func(any, any) { stale() },
		DeleteFunc: func(any) { stale() },
	}); err != nil {
		return err
	}
	go informer.RunWithContext(ctx)
	return nil
}

func (c *cluster) staleByTime(ctx context.Context) {
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			c.discoveryStale.Store(true)
			timer.Reset(5 * time.Minute)
		}
	}
}

func (c *cluster) resourcesOf(groupVersion string) (*metav1.APIResourceList, error) {
	if c.discoveryStale.Swap(false) {
		c.discovery.Invalidate()
	}
	return c.discovery.ServerResourcesForGroupVersion(groupVersion)
}

// namespaced implements scope by discovery.
func (c *cluster) namespaced(apiVersion, kind string) (bool, error) {
	list, err := c.resourcesOf(apiVersion)
	switch {
	case errors.Is(err, memory.ErrCacheNotFound):
		return false, fmt.Errorf("server resources for %s %w in cache", apiVersion, errUnknownKind)
	case err != nil:
		return false, fmt.Errorf("error looking up API resources for %s.%s: %w", kind, apiVersion, err)
	}
	for _, r := range list.APIResources {
		if r.Kind == kind {
			return r.Namespaced, nil
		}
	}
	return false, fmt.Errorf("resource %w for API %s, kind %s", errUnknownKind, apiVersion, kind)
}

// allows tells whether the agent may act on an object (reference 2.6).
func (c *cluster) allows(id identity) bool {
	switch {
	case len(c.allowed) == 0:
		return true
	case id.namespace != "":
		return c.allowed[id.namespace]
	case id.kind == "namespace":
		return c.allowed[id.name]
	default:
		return true
	}
}

// liveObject is what the rules need of an object in the cluster.
type liveObject struct {
	id          identity
	apiVersion  string
	kind        string
	labels      map[string]string
	annotations map[string]string
}

// list returns every live object of every listable kind in the allowed
// namespaces that matches the label selector. Left out are objects with owners,
// Endpoints and ComponentStatus, kinds excluded by flag, and kinds that may not
// be listed; any other trouble is an error.
func (c *cluster) list(ctx context.Context, selector string) (map[identity]liveObject, error) {
	groups, err := c.discovery.ServerGroups()
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, group := range groups.Groups {
		for _, v := range group.Versions {
			if !c.excludes(v.GroupVersion + "/") {
				versions = append(versions, v.GroupVersion)
			}
		}
	}
	type listable struct {
		schema.GroupVersionResource
		kind       string
		namespaced bool
	}
	var kinds []listable
	for _, groupVersion := range versions {
		resources, err := c.resourcesOf(groupVersion)
		if err != nil {
			return nil, err
		}
		gv, err := schema.ParseGroupVersion(groupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range resources.APIResources {
			if c.excludes(groupVersion+"/"+r.Kind) || !contains(r.Verbs, "list") {
				continue
			}
			kinds = append(kinds, listable{gv.WithResource(r.Name), r.Kind, r.Namespaced})
		}
	}

	live := map[identity]liveObject{}
	for _, k := range kinds {
		apiVersion := k.GroupVersion().String()
		items, err := c.listKind(ctx, k.GroupVersionResource, k.namespaced, selector)
		if apierrors.IsForbidden(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if apiVersion == "v1" && (k.kind == "ComponentStatus" || k.kind == "Endpoints") {
			continue
		}
		for _, item := range items {
			if len(item.OwnerReferences) > 0 {
				continue
			}
			id := newIdentity("", k.kind, item.Name)
			if k.namespaced {
				id.namespace = item.Namespace
			}
			live[id] = liveObject{id: id, apiVersion: apiVersion, kind: k.kind, labels: item.Labels, annotations: item.Annotations}
		}
	}
	return live, nil
}

// listKind asks for the metadata alone, which is all that is looked at: fluxd
// takes whole objects, for the same answers and many times the CPU.
func (c *cluster) listKind(ctx context.Context, resource schema.GroupVersionResource, namespaced bool, selector string) ([]metav1.PartialObjectMetadata, error) {
	options := metav1.ListOptions{LabelSelector: selector}
	if !namespaced || len(c.allowed) == 0 {
		found, err := c.metadata.Resource(resource).List(ctx, options)
		if err != nil {
			return nil, err
		}
		return found.Items, nil
	}
	var items []metav1.PartialObjectMetadata
	namespaces, err := c.accessibleNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	for _, ns := range namespaces {
		found, err := c.metadata.Resource(resource).Namespace(ns).List(ctx, options)
		if err != nil {
			return nil, err
		}
		items = append(items, found.Items...)
	}
	return items, nil
}

var namespaceResource = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// accessibleNamespaces gets each allowed namespace, before every listing, as
// fluxd does.
func (c *cluster) accessibleNamespaces(ctx context.Context) ([]string, error) {
	var names []string
	for name := range c.allowed {
		_, err := c.dynamic.Resource(namespaceResource).Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil:
			c.warnedNamespaces[name] = false
			names = append(names, name)
		case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err), apierrors.IsNotFound(err):
			if !c.warnedNamespaces[name] {
				c.log.line("warning", "cannot access allowed namespace", "namespace", name, "err", err)
				c.warnedNamespaces[name] = true
			}
		default:
			return nil, err
		}
	}
	return names, nil
}

func (c *cluster) excludes(name string) bool {
	for _, pattern := range c.excluded {
		if globMatches(pattern, name) {
			return true
		}
	}
	return false
}

// globMatches matches a pattern in which * stands for any text, slashes
// included.
func globMatches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return strings.HasSuffix(text, last)
}

func contains(list []string, s string) bool {
	for _, each := range list {
		if each == s {
			return true
		}
	}
	return false
}

// defaultNamespace is the namespace of manifests that name none (reference 2.4):
// the flag, the current context of the kubeconfig in use, or "default".
func defaultNamespace(set *settings, root podRoot) (string, error) {
	if set.defaultNamespace != "" {
		return set.defaultNamespace, nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{}
	if env := os.Getenv(clientcmd.RecommendedConfigPathEnvVar); env != "" {
		rules.Precedence = filepath.SplitList(env)
	} else {
		rules.Precedence = []string{filepath.Join(root.home(), ".kube", "config")}
	}
	config, err := rules.Load()
	if err != nil {
		return "", fmt.Errorf("read kubeconfig for its namespace: %w", err)
	}
	if current, ok := config.Contexts[config.CurrentContext]; ok && current.Namespace != "" {
		return current.Namespace, nil
	}
	return "default", nil
}
