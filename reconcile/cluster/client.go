// Package cluster is how fluxover's commands talk to a Kubernetes API server:
// one client that can be impersonated, that dry-runs and applies on the server
// side, that finds objects by Flux inventory id, and that waits with a limit.
//
// It refuses to merge on the client side, to retry a refused write, to delete
// an object without knowing which one it is (UID), and to wait without saying
// what is missing. It holds no policy: who may be impersonated and what may be
// written is decided by its callers.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/fluxcd/cli-utils/pkg/object"
)

// Limits of a Client made by New from a configuration that sets none. They are
// far above client-go's 5 and 10, because the API server's own fairness is the
// better judge.
const (
	DefaultQPS   = 200
	DefaultBurst = 400
)

// ErrPreconditionRequired is returned by Delete for an object without a UID:
// such a delete could hit an object that was made anew under the same name.
var ErrPreconditionRequired = errors.New("the object has no uid; read it from the cluster first")

// Getter is the part of genericclioptions.RESTClientGetter (kubectl's
// connection flags) that a Client needs.
type Getter interface {
	ToRESTConfig() (*rest.Config, error)
}

// Client talks to one API server as one user. It is safe for concurrent use.
type Client struct {
	// Config is the connection. It is a copy; changing it has no effect on
	// the other fields.
	Config *rest.Config
	// Dynamic reads and writes any kind.
	Dynamic dynamic.Interface
	// Kube is the typed client of the built-in kinds.
	Kube kubernetes.Interface
	// Mapper finds the resource of a kind; see Refresh.
	Mapper meta.RESTMapper
	// Discovery is the cached discovery behind Mapper; see Refresh.
	Discovery discovery.CachedDiscoveryInterface

	mapper *restmapper.DeferredDiscoveryRESTMapper
}

// New makes a Client from kubectl's connection flags. It does not connect.
func New(getter Getter) (*Client, error) {
	cfg, err := ConfigOf(getter)
	if err != nil {
		return nil, err
	}
	return ForConfig(cfg)
}

// ConfigOf reads kubectl's connection flags. A user and password in the server's address
// are taken out of it, and are sent as before; an error shows neither them nor the
// address of a proxy.
func ConfigOf(getter Getter) (*rest.Config, error) {
	cfg, err := getter.ToRESTConfig()
	if err != nil {
		if strings.Contains(err.Error(), "invalid 'proxy-url'") { // client-go tells it whole
			err = errors.New("the proxy-url of the cluster is no URL of http, https or socks5; it is not shown, since it may hold a password")
		}
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	cfg = rest.CopyConfig(cfg)
	if err := takeUser(cfg); err != nil {
		return nil, err
	}
	return cfg, nil
}

// ForConfig makes a Client from a configuration, which is copied. A user and
// password in the server's address are taken out of it, and are sent as before.
// QPS and Burst are raised to the package's defaults unless they are set (a negative
// QPS means no limit, as in client-go). It does not connect.
func ForConfig(config *rest.Config) (*Client, error) {
	cfg := rest.CopyConfig(config)
	if err := takeUser(cfg); err != nil {
		return nil, err
	}
	if cfg.UserAgent == "" {
		// Clients that share an HTTP client do not fill it in, and the API
		// server's audit log would not tell whose requests these are.
		cfg.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	if cfg.QPS == 0 {
		cfg.QPS = DefaultQPS
	}
	if cfg.Burst == 0 {
		cfg.Burst = DefaultBurst
	}
	// Warnings of the server (deprecated versions) would be printed to
	// stderr in the middle of a live display, once per request.
	if cfg.WarningHandler == nil && cfg.WarningHandlerWithContext == nil {
		cfg.WarningHandler = rest.NoWarnings{}
	}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return unwaited{next} })
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to %s: %w", cfg.Host, err)
	}
	dyn, err := dynamic.NewForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to %s: %w", cfg.Host, err)
	}
	kube, err := kubernetes.NewForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to %s: %w", cfg.Host, err)
	}
	disco := memory.NewMemCacheClient(kube.Discovery())
	return newClient(cfg, dyn, kube, disco), nil
}

// takeUser moves a user and password out of the server's address: the address is
// shown, and stands in every error of a request.
func takeUser(cfg *rest.Config) error {
	if !strings.Contains(cfg.Host, "@") {
		return nil
	}
	address, bare := cfg.Host, !strings.Contains(cfg.Host, "://")
	if bare { // a host and port, as client-go takes them too
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("read the kubeconfig: the server's address is no URL; it is not shown, since it may hold a password")
	}
	if u.User == nil {
		return nil
	}
	// These come before a token: net/http takes them from the address first.
	cfg.Username, cfg.BearerToken, cfg.BearerTokenFile = u.User.Username(), "", ""
	cfg.Password, _ = u.User.Password()
	u.User = nil
	cfg.Host = u.String()
	if bare {
		cfg.Host = strings.TrimPrefix(cfg.Host, "https://")
	}
	return nil
}

func newClient(cfg *rest.Config, dyn dynamic.Interface, kube kubernetes.Interface, disco discovery.CachedDiscoveryInterface) *Client {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(disco)
	return &Client{Config: cfg, Dynamic: dyn, Kube: kube, Mapper: mapper, Discovery: disco, mapper: mapper}
}

// As returns a Client that acts as another user: every request carries the
// impersonation, which the API server allows only to users with the verb
// "impersonate". Discovery is shared with the parent and done as the parent's
// user, since it does not depend on who asks and a confined account need not
// be able to do it. For a service account pass ServiceAccountUser and
// ServiceAccountGroups.
func (c *Client) As(user string, groups []string, extra map[string][]string) (*Client, error) {
	if user == "" {
		return nil, errors.New("impersonate: no user name given")
	}
	cfg := rest.CopyConfig(c.Config)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups, Extra: extra}
	as, err := ForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("impersonate %s: %w", user, err)
	}
	as.Discovery, as.Mapper, as.mapper = c.Discovery, c.Mapper, c.mapper
	return as, nil
}

// ServiceAccountUser is the user name of a service account.
func ServiceAccountUser(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}

// ServiceAccountGroups are the groups that the API server gives a service
// account of the namespace.
func ServiceAccountGroups(namespace string) []string {
	return []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
}

// Refresh forgets what kinds the server has; the next look-up asks again. A
// look-up that finds nothing refreshes by itself once, so Refresh is needed
// only where a kind's definition was changed or deleted.
func (c *Client) Refresh() {
	c.mapper.Reset()
}

// Resource gives the interface for one kind and namespace. The namespace is
// left out for cluster-scoped kinds; a namespaced kind without one is an
// error. If the kind is not served the error satisfies meta.IsNoMatchError.
func (c *Client) Resource(gvk schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	var versions []string
	if gvk.Version != "" {
		versions = append(versions, gvk.Version)
	}
	mapping, err := c.mapping(gvk.GroupKind(), versions...)
	if err != nil {
		return nil, err
	}
	return c.forMapping(mapping, namespace)
}

// mapping looks a kind up, with no version given in the server's preferred
// one. DeferredDiscoveryRESTMapper asks the server again only if its cache is
// not fresh; a memory cache counts as fresh for ever once filled, so a kind
// made since is missed unless we reset and ask once more.
func (c *Client) mapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	mapping, err := c.Mapper.RESTMapping(gk, versions...)
	if meta.IsNoMatchError(err) && c.mapper != nil {
		c.mapper.Reset()
		mapping, err = c.Mapper.RESTMapping(gk, versions...)
	}
	if err != nil {
		return nil, fmt.Errorf("find the resource of kind %s: %w", gk, err)
	}
	return mapping, nil
}

func (c *Client) forMapping(mapping *meta.RESTMapping, namespace string) (dynamic.ResourceInterface, error) {
	resource := c.Dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return resource, nil
	}
	if namespace == "" {
		return nil, fmt.Errorf("kind %s %w", mapping.GroupVersionKind.Kind, ErrNoNamespace)
	}
	return resource.Namespace(namespace), nil
}

// Get reads an object by kind, namespace and name; with no version in gvk, in
// the version that the server prefers. An absent object's error satisfies
// apierrors.IsNotFound, an absent kind's meta.IsNoMatchError; IsGone tells
// both from real failures. It asks again as Ask does.
func (c *Client) Get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	resource, err := c.Resource(gvk, namespace)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", describe(gvk.Kind, namespace, name), err)
	}
	obj, err := Ask(ctx, func() (*unstructured.Unstructured, error) { return resource.Get(ctx, name, metav1.GetOptions{}) })
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", describe(gvk.Kind, namespace, name), err)
	}
	return obj, nil
}

// GetByID reads an object by its Flux inventory id
// ("<namespace>_<name>_<group>_<Kind>", ":" in names of RBAC objects written
// "__"), in the version that the server prefers. Errors as of Get.
func (c *Client) GetByID(ctx context.Context, id string) (*unstructured.Unstructured, error) {
	return c.GetByIDVersion(ctx, id, "")
}

// GetByIDVersion is GetByID with the API version (without group) to read in,
// as an inventory entry's "v"; empty means the server's preferred one.
func (c *Client) GetByIDVersion(ctx context.Context, id, version string) (*unstructured.Unstructured, error) {
	m, err := object.ParseObjMetadata(id)
	if err != nil {
		return nil, fmt.Errorf("parse object id %q: %w", id, err)
	}
	return c.Get(ctx, m.GroupKind.WithVersion(version), m.Namespace, m.Name)
}

// ErrNoNamespace is why an object that must lie in a namespace, and names none, can
// neither be read nor written.
var ErrNoNamespace = errors.New("is namespaced: give the object a namespace")

// IsGone says that the error means "there is no such object": neither the
// object nor, perhaps, its kind exists. Everything else (forbidden, timeout,
// no connection) is not an answer and must never be read as one.
func IsGone(err error) bool {
	return apierrors.IsNotFound(err) || isNoMatch(err)
}

// knownReasons are those that an API server gives; a webhook may give any.
var knownReasons = []metav1.StatusReason{
	metav1.StatusReasonUnauthorized, metav1.StatusReasonForbidden, metav1.StatusReasonNotFound, metav1.StatusReasonAlreadyExists,
	metav1.StatusReasonConflict, metav1.StatusReasonGone, metav1.StatusReasonInvalid, metav1.StatusReasonServerTimeout,
	metav1.StatusReasonTimeout, metav1.StatusReasonTooManyRequests, metav1.StatusReasonBadRequest, metav1.StatusReasonMethodNotAllowed,
	metav1.StatusReasonRequestEntityTooLarge, metav1.StatusReasonInternalError, metav1.StatusReasonServiceUnavailable,
}

// Wordless is an API server's refusal of an object with its reason and the fields
// that it names, and none of its words, which may quote values of the object. What
// an API server says without having looked at the object keeps its words, and so
// does any other error. It unwraps to err.
func Wordless(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || harmless(err) {
		return err
	}
	text := "refused"
	if reason := status.Status().Reason; slices.Contains(knownReasons, reason) {
		text = string(reason)
		var fields []string
		if d := status.Status().Details; d != nil {
			for _, c := range d.Causes {
				fields = append(fields, c.Field)
			}
			slices.Sort(fields) // validation by a schema goes over maps
		}
		if len(fields) > 0 {
			text += " (" + strings.Join(fields, ", ") + ")"
		}
	}
	return &wordless{text, err}
}

type wordless struct {
	text string
	err  error
}

func (w *wordless) Error() string { return w.text }
func (w *wordless) Unwrap() error { return w.err }

// harmless reports whether an API server said it without looking at the object:
// for want of a right or of the object, or under load. A policy or a webhook may
// say anything, under any reason.
func harmless(err error) bool {
	text := err.Error()
	switch {
	case strings.Contains(text, "denied"), strings.Contains(text, "webhook"), strings.Contains(text, "Policy"):
		return false
	case apierrors.IsForbidden(err):
		return strings.Contains(text, `is forbidden: User "`) && strings.Contains(text, `" cannot `)
	}
	return apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsUnauthorized(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
}

func isNoMatch(err error) bool {
	var noKind *meta.NoKindMatchError
	var noResource *meta.NoResourceMatchError
	return errors.As(err, &noKind) || errors.As(err, &noResource)
}

// Options of a server-side apply.
type Options struct {
	// FieldManager owns the fields that are applied; required.
	FieldManager string
	// Force takes fields over from other managers; without it a field that
	// another manager owns with another value is a conflict
	// (apierrors.IsConflict).
	Force bool
	// Strict refuses fields unknown to the schema and duplicate fields
	// instead of dropping them.
	Strict bool
}

// DryRunApply asks the server what Apply with the same manager would give:
// admission and authorisation included, nothing stored. The object given is
// not changed, and managedFields that it carries are refused, as they are where
// a manifest in Git has them. It asks again as Ask does.
func (c *Client) DryRunApply(ctx context.Context, obj *unstructured.Unstructured, fieldManager string, force bool) (*unstructured.Unstructured, error) {
	return Ask(ctx, func() (*unstructured.Unstructured, error) {
		return c.apply(ctx, obj, Options{FieldManager: fieldManager, Force: force}, []string{metav1.DryRunAll})
	})
}

// Apply applies an object on the server side, taking over the fields of other
// managers, and returns what is stored then. The object given is not changed.
// If it carries a resourceVersion or a uid, the server refuses the write when
// the live object is another or a newer one (apierrors.IsConflict). Applying
// the same again is harmless.
func (c *Client) Apply(ctx context.Context, obj *unstructured.Unstructured, fieldManager string) (*unstructured.Unstructured, error) {
	return c.ApplyWith(ctx, obj, Options{FieldManager: fieldManager, Force: true})
}

// ApplyWith is Apply with the choice of options.
func (c *Client) ApplyWith(ctx context.Context, obj *unstructured.Unstructured, o Options) (*unstructured.Unstructured, error) {
	return c.apply(ctx, obj, o, nil)
}

func (c *Client) apply(ctx context.Context, obj *unstructured.Unstructured, o Options, dryRun []string) (*unstructured.Unstructured, error) {
	what := "apply "
	if len(dryRun) > 0 {
		what = "dry-run apply "
	}
	what += Describe(obj)
	if o.FieldManager == "" {
		return nil, fmt.Errorf("%s: no field manager given", what)
	}
	if obj.GetName() == "" {
		return nil, fmt.Errorf("%s: the object has no name", what)
	}
	resource, err := c.Resource(obj.GroupVersionKind(), obj.GetNamespace())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	sent := obj.DeepCopy()
	if len(dryRun) == 0 { // an object that was read has them, and the server refuses them
		unstructured.RemoveNestedField(sent.Object, "metadata", "managedFields")
	}
	// A null creationTimestamp, which typed objects always print, means nothing.
	unstructured.RemoveNestedField(sent.Object, "metadata", "creationTimestamp")
	body, err := sent.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	validation := ""
	if o.Strict {
		validation = metav1.FieldValidationStrict
	}
	stored, err := resource.Patch(ctx, sent.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
		FieldManager: o.FieldManager, Force: &o.Force, DryRun: dryRun, FieldValidation: validation,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return stored, nil
}

// MergePatch sends a JSON merge patch for the object, which is not changed,
// and returns what is stored then. The uid and the resourceVersion that obj
// carries are added to the patch: the server then refuses it with a conflict
// (apierrors.IsConflict) if the live object is another or a newer one. To
// patch whatever version is live, remove the resourceVersion from obj.
func (c *Client) MergePatch(ctx context.Context, obj *unstructured.Unstructured, patch map[string]any, fieldManager string) (*unstructured.Unstructured, error) {
	what := "patch " + Describe(obj)
	resource, err := c.Resource(obj.GroupVersionKind(), obj.GetNamespace())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	p := (&unstructured.Unstructured{Object: patch}).DeepCopy()
	for field, value := range map[string]string{"uid": string(obj.GetUID()), "resourceVersion": obj.GetResourceVersion()} {
		if value == "" {
			continue
		}
		if err := unstructured.SetNestedField(p.Object, value, "metadata", field); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	body, err := json.Marshal(p.Object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	stored, err := resource.Patch(ctx, obj.GetName(), types.MergePatchType, body, metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return stored, nil
}

// Create stores a new object; an existing one of the name is an error that
// satisfies apierrors.IsAlreadyExists.
func (c *Client) Create(ctx context.Context, obj *unstructured.Unstructured, fieldManager string) (*unstructured.Unstructured, error) {
	resource, err := c.Resource(obj.GroupVersionKind(), obj.GetNamespace())
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", Describe(obj), err)
	}
	stored, err := resource.Create(ctx, obj, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", Describe(obj), err)
	}
	return stored, nil
}

// Update stores the whole object if its resourceVersion is still the live one
// (else apierrors.IsConflict); an object without resourceVersion is refused,
// because the write would then be unconditional.
func (c *Client) Update(ctx context.Context, obj *unstructured.Unstructured, fieldManager string) (*unstructured.Unstructured, error) {
	what := "update " + Describe(obj)
	if obj.GetResourceVersion() == "" {
		return nil, fmt.Errorf("%s: the object has no resourceVersion; read it from the cluster first", what)
	}
	resource, err := c.Resource(obj.GroupVersionKind(), obj.GetNamespace())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	stored, err := resource.Update(ctx, obj, metav1.UpdateOptions{FieldManager: fieldManager})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return stored, nil
}

// DeleteOptions of Delete.
type DeleteOptions struct {
	// ExactVersion also demands that the live object still has the
	// resourceVersion of the object given.
	ExactVersion bool
	// Propagation of the deletion to dependents; empty means background.
	Propagation metav1.DeletionPropagation
}

// Delete deletes the object that was read: the live object must have the same
// uid, or the server answers with a conflict (apierrors.IsConflict) and
// nothing is deleted. An object that is gone already is no error. Delete does
// not wait for finalizers.
func (c *Client) Delete(ctx context.Context, obj *unstructured.Unstructured, o DeleteOptions) error {
	what := "delete " + Describe(obj)
	uid := obj.GetUID()
	if uid == "" {
		return fmt.Errorf("%s: %w", what, ErrPreconditionRequired)
	}
	pre := &metav1.Preconditions{UID: &uid}
	if o.ExactVersion {
		version := obj.GetResourceVersion()
		if version == "" {
			return fmt.Errorf("%s: the object has no resourceVersion; read it from the cluster first", what)
		}
		pre.ResourceVersion = &version
	}
	propagation := o.Propagation
	if propagation == "" {
		propagation = metav1.DeletePropagationBackground
	}
	resource, err := c.Resource(obj.GroupVersionKind(), obj.GetNamespace())
	if isNoMatch(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	err = resource.Delete(ctx, obj.GetName(), metav1.DeleteOptions{Preconditions: pre, PropagationPolicy: &propagation})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// ErrWaitExpired is wrapped by the error of a Wait whose limit passed.
var ErrWaitExpired = errors.New("waited long enough")

// Wait calls cond at once and then every interval until it says true, fails,
// or the limit has passed; a limit of zero or less means one single call. A
// transient error (IsTransient) is no failure: cond is called again, and the
// error at the limit names it. cond
// gets a context that ends with the limit. When the limit passes the error
// wraps ErrWaitExpired and names what cond last said was missing; when ctx
// ends it wraps ctx's error and names it too.
func Wait(ctx context.Context, interval, limit time.Duration, cond func(context.Context) (bool, string, error)) error {
	if interval <= 0 {
		interval = 100 * time.Millisecond
	}
	limited, cancel := context.WithTimeout(ctx, max(limit, 0))
	defer cancel()
	if limit <= 0 {
		// The single call gets the caller's time.
		limited = ctx
	}
	missing := "nothing was answered yet"
	last := missing
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		done, lack, err := cond(limited)
		if done && err == nil {
			return nil
		}
		passing := limit > 0 && ctx.Err() == nil && limited.Err() == nil && IsTransient(err)
		if lack != "" {
			last = lack
		}
		if passing {
			missing = fmt.Sprintf("%s (%v)", last, err)
		} else if lack != "" {
			missing = lack
		}
		if cause := ctx.Err(); cause != nil {
			return fmt.Errorf("interrupted while waiting: %s: %w", missing, cause)
		}
		// An error that only says the limit was reached in the middle of a
		// request is the expiry, not a failure of its own.
		expired := limit <= 0 || limited.Err() != nil
		if err != nil && !expired && !passing {
			return err
		}
		if err != nil && limit <= 0 {
			return err
		}
		if expired {
			return fmt.Errorf("%w (%s): %s", ErrWaitExpired, max(limit, 0), missing)
		}
		timer.Reset(interval)
		select {
		case <-limited.Done():
		case <-timer.C:
		}
		if ctx.Err() == nil && limited.Err() != nil {
			return fmt.Errorf("%w (%s): %s", ErrWaitExpired, limit, missing)
		}
	}
}

// Describe names an object for people: "Deployment/shop/web", without
// namespace "Namespace/shop".
func Describe(obj *unstructured.Unstructured) string {
	return describe(obj.GetKind(), obj.GetNamespace(), obj.GetName())
}

func describe(kind, namespace, name string) string {
	parts := []string{kind}
	if namespace != "" {
		parts = append(parts, namespace)
	}
	return strings.Join(append(parts, name), "/")
}
