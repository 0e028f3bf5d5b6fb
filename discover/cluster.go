package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
	"github.com/fluxover/fluxover/reconcile/source"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
)

// Options of a discovery.
type Options struct {
	// Namespaces to look for agents in, which must be there; empty means all.
	Namespaces []string
	// Repositories limits whose Git repositories are read to these ids; empty
	// means all. The cluster's facts about the others are read all the same.
	Repositories []string
	// Store fetches the agents' repositories. Needed unless SkipGit is set.
	Store *source.Store
	// Parallel is how many repositories are read at a time; 0 means 8.
	Parallel int
	// Folders hold repositories that are read from disk in place of the server.
	Folders []Folder
	// Down are kinds ("resource.group") that the API server is known not to give, which somebody has accepted: they
	// are asked for once and not waited for.
	Down []string
	// Releases keeps what Helm keeps of the agents, for those who discover one
	// cluster again and again; nil reads it each time.
	Releases *helm.Opened
	// Progress, if set, is called with a line for people as work goes on. It
	// is called from several goroutines, one call at a time.
	Progress func(string)
	// SkipGit leaves the repositories unread: no commits, files and objects.
	SkipGit bool
	// Log takes what is of interest to developers; nil discards it.
	Log *slog.Logger
}

const (
	// fromCluster is what a migrate.Cluster says whose facts a cluster gave.
	fromCluster     = "cluster"
	defaultParallel = 8
	// patience is for how long, all kinds together, those are asked for again that the
	// API server does not give: one that just started, or has much to do, is over it by then.
	patience = 20 * time.Second
	// pageSize of lists, so that no answer is too large for the API server.
	pageSize = 500
)

// witness is one discovery under way.
type witness struct {
	kube  kubernetes.Interface
	meta  metadata.Interface
	dyn   dynamic.Interface // nil where no kinds of others are read
	disco discovery.DiscoveryInterface
	git   gitReader
	opts  Options
	// patience is for how long kinds that the API server does not give are asked for again.
	patience *cluster.Patience
	// server is the API server's URL, as it was given.
	server string
	// folders are read in place of git.
	folders folders

	// kinds are those that the cluster serves.
	kinds []migrate.ServedKind
	// home are the bindings for accounts where the new agent's will be.
	home []migrate.HomeBinding

	// terminating are the namespaces that are being deleted.
	terminating map[string]bool

	// unlisted are the namespaces whose Deployments may not be listed, empty for all.
	unlisted []string

	// together is what agents of one namespace use, by namespace; not written
	// once agents are read.
	together map[string]together

	mu       sync.Mutex
	findings []migrate.Finding
	// lacks are rights that are missing, with the namespaces by what is unknown thereby.
	lacks map[lacking]map[lost][]string
	// down is what was reported of kinds that the API server does not give.
	down map[string]bool
	talk sync.Mutex
}

// Cluster finds all Flux v1 agents of a cluster and what they sync. Agents and
// findings are sorted, so that the same cluster gives the same Inventory. An
// error means that the cluster could not be asked; what it does not let you
// read is a finding instead.
func Cluster(ctx context.Context, c *cluster.Client, o Options) (migrate.Inventory, error) {
	meta, err := metadata.NewForConfig(c.Config)
	if err != nil {
		return migrate.Inventory{}, fmt.Errorf("prepare the connection to %s: %w", c.Config.Host, err)
	}
	w := &witness{kube: c.Kube, meta: meta, dyn: c.Dynamic, disco: c.Discovery, opts: o, server: c.Config.Host}
	if !o.SkipGit {
		if o.Store == nil {
			return migrate.Inventory{}, errors.New("discover: no store for repositories is given")
		}
		w.git = storeReader{o.Store}
		if w.folders, err = openFolders(o.Folders); err != nil {
			return migrate.Inventory{}, err
		}
	}
	inv, err := w.inventory(ctx)
	if err != nil {
		return migrate.Inventory{}, fmt.Errorf("discover %s: %w", c.Config.Host, w.ending(ctx, err))
	}
	inv.Cluster.Server = c.Config.Host
	return inv, nil
}

func (w *witness) inventory(ctx context.Context) (migrate.Inventory, error) {
	if w.opts.Parallel <= 0 {
		w.opts.Parallel = defaultParallel
	}
	if w.opts.Log == nil {
		w.opts.Log = slog.New(slog.DiscardHandler)
	}
	if w.patience == nil {
		w.patience = &cluster.Patience{Limit: patience, Say: func(what string, err error) {
			w.say(fmt.Sprintf("waiting for %s, which the API server cannot give now, for up to %s: %s", what, patience, words(err)))
		}}
	}
	inv := migrate.Inventory{APIVersion: migrate.APIVersion, Kind: "Inventory", Agents: []migrate.Flux1Agent{}}
	w.say("reading the cluster, and the marks of Flux v1 on live objects")
	if err := w.checkNamespaces(ctx); err != nil {
		return inv, err
	}
	facts, resources, err := w.facts(ctx)
	if err != nil {
		return inv, err
	}
	inv.Cluster, w.kinds = facts, facts.Kinds
	var live *live
	var found, strays []*agent
	var storage *helm.Storage
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		live, err = w.marked(gctx, resources)
		return err
	})
	group.Go(func() (err error) {
		found, strays, storage, err = w.runners(gctx, &inv)
		return err
	})
	if err := group.Wait(); err != nil {
		return inv, err
	}
	if err := w.attributeAll(ctx, live, slices.Concat(found, strays), storage); err != nil {
		return inv, err
	}
	w.reportStrays(strays)
	if w.git != nil {
		if err := w.readRepositories(ctx, found, live, inv.Cluster); err != nil {
			return inv, err
		}
		w.unusedFolders()
		w.orphans(found, live)
		w.reportNoNamespace(found, inv.Cluster.Namespaces)
		if err := w.reportUnapplied(ctx, found, live); err != nil {
			return inv, err
		}
	}
	w.merge(found)
	for _, a := range found {
		inv.Agents = append(inv.Agents, a.finished())
	}
	slices.SortFunc(inv.Agents, func(a, b migrate.Flux1Agent) int { return strings.Compare(a.ID, b.ID) })
	inv.Findings = append(w.findings, w.lacked()...)
	sayUndecided(&inv)
	agents := migrate.Count(len(inv.Agents), "agent")
	if len(w.unlisted) > 0 {
		agents = "an unknown number of agents"
	}
	w.say(fmt.Sprintf("done: %s, %s", agents, migrate.Count(len(inv.Findings), "finding")))
	return inv, nil
}

// runners are the agents, and what else may sync as they do.
func (w *witness) runners(ctx context.Context, inv *migrate.Inventory) (found, strays []*agent, storage *helm.Storage, err error) {
	deployments, err := w.deployments(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	inv.Cluster.Flux2 = flux2Controllers(deployments)
	w.otherOperators(deployments)
	w.kubernetesFor(inv.Cluster)
	if found, storage, err = w.agents(ctx, deployments); err != nil {
		return nil, nil, nil, err
	}
	inv.Cluster.Home = w.home
	if strays, err = w.strays(ctx); err != nil {
		return nil, nil, nil, err
	}
	if n := len(found); n > 0 || len(w.unlisted) == 0 {
		w.say(fmt.Sprintf("found %s", migrate.Count(n, "Flux v1 agent")))
	} else {
		w.say("which Flux v1 agents there are is unknown: you may not list Deployments")
	}
	return found, strays, storage, nil
}

func (w *witness) say(line string) {
	if w.opts.Progress == nil {
		return
	}
	w.talk.Lock()
	defer w.talk.Unlock()
	w.opts.Progress(line)
}

// sayAfter is how long an answer is waited for before that is said.
const sayAfter = 10 * time.Second

// awaiting says what is waited for, once that takes long and unless it is stopped.
func (w *witness) awaiting(what string) *time.Timer {
	return time.AfterFunc(sayAfter, func() {
		w.say(fmt.Sprintf("waiting for %s: the API server has not answered for %s", what, sayAfter))
	})
}

func (w *witness) find(findings ...migrate.Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.findings = append(w.findings, findings...)
}

// lacking is a right that is missing: of the agent of a repository, or for all agents where that is empty.
type lacking struct {
	verb, resource, repository string
	// ways is true of what tells of policies alone, which weighs less.
	ways bool
}

// lost is what is unknown without a right, and for which object, if it is one by name.
type lost struct{ unknown, name string }

// forbidden notes a right that is missing and what is unknown without it, to be told
// once of all that it is missing for. The repository is empty where it concerns all of them;
// the resource of one names an object as well: secrets/NAME.
func (w *witness) forbidden(verb, resource, namespace, repository, unknown string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lacks == nil {
		w.lacks = map[lacking]map[lost][]string{}
	}
	kind, name, _ := strings.Cut(resource, "/")
	key, of := lacking{verb, kind, repository, unknown == unknownWays}, lost{unknown, name}
	if w.lacks[key] == nil {
		w.lacks[key] = map[lost][]string{}
	}
	if in := w.lacks[key][of]; !slices.Contains(in, namespace) {
		w.lacks[key][of] = append(in, namespace)
	}
}

// lacked tells of each right that is missing: where, and what is unknown thereby.
func (w *witness) lacked() []migrate.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []migrate.Finding
	for _, key := range slices.SortedFunc(maps.Keys(w.lacks), func(a, b lacking) int {
		return cmp.Or(strings.Compare(a.repository, b.repository), strings.Compare(a.resource, b.resource), strings.Compare(a.verb, b.verb))
	}) {
		unknown := w.lacks[key]
		var in, on []string
		for of, namespaces := range unknown {
			in = append(in, namespaces...)
			on = append(on, strings.TrimSuffix(key.resource+"/"+of.name, "/"))
		}
		slices.Sort(in)
		slices.Sort(on)
		in, on = slices.Compact(in), slices.Compact(on)
		var says []string
		for of := range unknown {
			says = append(says, of.unknown)
			if len(on) > 1 && of.name != "" {
				says[len(says)-1] += " (" + of.name + ")"
			}
		}
		slices.Sort(says)
		resources := strings.Join(on, ", ")
		what := key.verb + " " + resources
		switch everywhere := in[0] == ""; { // sorted, it is the first
		case everywhere && slices.Contains(clusterScoped, key.resource):
		case everywhere && len(in) == 1:
			what += " in all namespaces"
		case everywhere:
			what += fmt.Sprintf(" in all namespaces, nor in %s alone (%s)", migrate.Count(len(in)-1, "namespace"), listed(in[1:], len(in)-1, maxNamespaces))
		case len(in) == 1:
			what += " in namespace " + in[0]
		default:
			what += fmt.Sprintf(" in %s (%s)", migrate.Count(len(in), "namespace"), listed(in, len(in), maxNamespaces))
		}
		f := RBACMissing.Finding(key.repository, resources, fmt.Sprintf("you may not %s, so this is unknown: %s", what, strings.Join(slices.Compact(says), "; ")))
		if key.ways {
			f.Severity = migrate.Warning // as what it would tell: see EgressPolicy
		}
		out = append(out, f)
	}
	return out
}

// unknownWays is what is unknown without policies of any kind, and all that they tell.
const unknownWays = "whether the agents' ways out are limited"

// clusterScoped are the resources that discovery reads and that lie in no namespace.
var clusterScoped = []string{
	"namespaces", "clusterroles", "clusterrolebindings", "ciliumclusterwidenetworkpolicies.cilium.io", "globalnetworkpolicies.projectcalico.org",
	"globalnetworkpolicies.crd.projectcalico.org", "adminnetworkpolicies.policy.networking.k8s.io", "baselineadminnetworkpolicies.policy.networking.k8s.io",
	"clusternetworkpolicies.policy.networking.k8s.io", "clusternetworkpolicies.crd.antrea.io",
}

// facts reads what the cluster is and serves. The resources returned are the
// listable ones, each kind in the version that the server prefers.
func (w *witness) facts(ctx context.Context) (migrate.Cluster, []listable, error) {
	facts := migrate.Cluster{From: fromCluster}
	w.terminating = map[string]bool{}
	version, err := cluster.Ask(ctx, w.disco.ServerVersion)
	if err != nil {
		return facts, nil, fmt.Errorf("ask for the version: %w", err)
	}
	facts.Version = version.GitVersion
	system, err := cluster.Ask(ctx, func() (*corev1.Namespace, error) {
		return w.kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	})
	switch {
	case err == nil:
		facts.UID = string(system.UID)
	case isForbidden(err):
		w.forbidden("get", "namespaces", "", "", "the cluster's identity (the UID of kube-system)")
	default:
		return facts, nil, fmt.Errorf("read namespace %s: %w", metav1.NamespaceSystem, err)
	}
	err = each(ctx, w, "namespaces", "", "which namespaces there are", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return w.kube.CoreV1().Namespaces().List(ctx, o)
	}, func(n *corev1.Namespace) {
		facts.Namespaces = append(facts.Namespaces, n.Name)
		if n.DeletionTimestamp != nil || n.Status.Phase == corev1.NamespaceTerminating {
			w.terminating[n.Name] = true
		}
	})
	if err := onlyReal(err); err != nil {
		return facts, nil, err
	}
	slices.Sort(facts.Namespaces)

	var groups []*metav1.APIGroup
	lists, err := cluster.Ask(ctx, func() (lists []*metav1.APIResourceList, err error) {
		groups, lists, err = w.disco.ServerGroupsAndResources()
		return lists, err
	})
	if err != nil {
		var failed *discovery.ErrGroupDiscoveryFailed
		if !errors.As(err, &failed) {
			return facts, nil, fmt.Errorf("ask which kinds are served: %w", err)
		}
		for _, gv := range slices.SortedFunc(maps.Keys(failed.Groups), func(a, b schema.GroupVersion) int { return strings.Compare(a.String(), b.String()) }) {
			err := failed.Groups[gv]
			if cluster.IsCut(err) {
				if silent := w.answers(ctx); silent != nil {
					return facts, nil, silent
				}
			} else if cluster.IsUnreachable(err) {
				return facts, nil, fmt.Errorf("ask what %s serves: %w", gv, err)
			}
			f := APIGroupDown.About("", gv.String(), "", fmt.Sprintf("the API server does not say what %s serves", gv))
			if strings.HasSuffix(gv.Group, "metrics.k8s.io") {
				// fluxd leaves these out of its view, and nobody keeps them in Git.
				f.Severity, f.Acceptable = migrate.Warning, false
			}
			w.find(f)
		}
	}
	preferred := map[string]bool{}
	for _, g := range groups {
		preferred[g.PreferredVersion.GroupVersion] = true
	}
	all := map[schema.GroupKind]bool{}
	var resources, others []listable
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return facts, nil, fmt.Errorf("ask which kinds are served: %w", err)
		}
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") {
				continue // a subresource
			}
			facts.Kinds = append(facts.Kinds, migrate.ServedKind{Group: gv.Group, Version: gv.Version, Kind: r.Kind, Namespaced: r.Namespaced})
			if !slices.Contains(r.Verbs, "list") {
				continue
			}
			l := listable{gvr: gv.WithResource(r.Name), kind: r.Kind, namespaced: r.Namespaced}
			if preferred[list.GroupVersion] {
				all[schema.GroupKind{Group: gv.Group, Kind: r.Kind}] = true
				resources = append(resources, l)
			} else {
				others = append(others, l)
			}
		}
	}
	for _, l := range others { // kinds that the preferred version does not hold
		if gk := (schema.GroupKind{Group: l.gvr.Group, Kind: l.kind}); !all[gk] {
			all[gk] = true
			resources = append(resources, l)
		}
	}
	slices.SortFunc(facts.Kinds, func(a, b migrate.ServedKind) int {
		return strings.Compare(a.Group+"/"+a.Version+"/"+a.Kind, b.Group+"/"+b.Version+"/"+b.Kind)
	})
	return facts, resources, nil
}

// deployments lists the Deployments in which agents are looked for.
func (w *witness) deployments(ctx context.Context) ([]appsv1.Deployment, error) {
	namespaces := w.opts.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	var deployments []appsv1.Deployment
	var errs []error
	for _, ns := range namespaces {
		err := list(ctx, w, "deployments.apps", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return w.kube.AppsV1().Deployments(ns).List(ctx, o)
		}, func(d *appsv1.Deployment) { deployments = append(deployments, *d) })
		if isForbidden(err) {
			w.unlisted = append(w.unlisted, ns)
			continue
		}
		errs = append(errs, err)
	}
	if len(w.unlisted) > 0 {
		in := "in all namespaces"
		if len(w.opts.Namespaces) > 0 {
			in = "in namespace " + listed(w.unlisted, len(w.unlisted), maxNamespaces)
		}
		w.find(AgentsUnknown.Finding("", "deployments.apps", fmt.Sprintf("you may not list deployments.apps %s, so this is unknown: which Flux v1 agents there are", in)))
	}
	if n := len(w.opts.Namespaces); n > 0 {
		w.find(OneNamespace.Finding("", "", "agents were looked for in namespace "+listed(w.opts.Namespaces, n, maxNamespaces)+" alone, so it is unknown which there are in others"))
	}
	return deployments, errors.Join(errs...)
}

// maxNamespaces bounds how many namespaces a finding names.
const maxNamespaces = 5

// checkNamespaces refuses namespaces to look in that are not there. Of one that may
// not be read it is not known, and a finding will tell of what is not seen in it.
func (w *witness) checkNamespaces(ctx context.Context) error {
	for _, ns := range w.opts.Namespaces {
		_, err := cluster.Ask(ctx, func() (*corev1.Namespace, error) {
			return w.kube.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		})
		switch {
		case notFound(err):
			return fmt.Errorf("look for agents in namespace %s: %w", ns, ErrNoNamespace)
		case err != nil && !isForbidden(err):
			return fmt.Errorf("read namespace %s: %w", ns, err)
		}
	}
	return nil
}

// ErrNoNamespace says that a namespace to look in is not there.
var ErrNoNamespace = errors.New("there is no such namespace")

// flux2Controllers names the controllers of Flux v2 that ask for pods.
func flux2Controllers(deployments []appsv1.Deployment) []string {
	var names []string
	for _, d := range deployments {
		if isFlux2(&d) && replicas(&d) > 0 {
			names = append(names, d.Namespace+"/"+d.Name)
		}
	}
	slices.Sort(names)
	return names
}

var flux2Images = []string{
	"source-controller", "kustomize-controller", "helm-controller", "notification-controller",
	"image-reflector-controller", "image-automation-controller", "source-watcher",
}

// isFlux2Image reports whether an image is of a controller of Flux v2, also as
// Bitnami builds them (bitnami/charts: bitnami/flux/Chart.yaml).
func isFlux2Image(image string) bool {
	return slices.Contains(flux2Images, strings.TrimPrefix(imageName(image), "fluxcd-"))
}

// isFlux2 reports whether a Deployment is a controller of Flux v2, by its images or,
// where these are mirrored under other names, by the labels that Flux gives it (flux2:
// manifests/bases).
func isFlux2(d *appsv1.Deployment) bool {
	return runsFlux2(&d.Spec.Template.Spec) ||
		d.Labels["app.kubernetes.io/part-of"] == "flux" && slices.Contains(flux2Images, d.Labels["app.kubernetes.io/component"])
}

// runsFlux2 reports whether a container of a pod is a controller of Flux v2.
func runsFlux2(pod *corev1.PodSpec) bool {
	return slices.ContainsFunc(pod.Containers, func(c corev1.Container) bool { return isFlux2Image(c.Image) })
}

func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// notFound reports whether an object is not there.
func notFound(err error) bool { return apierrors.IsNotFound(err) }
