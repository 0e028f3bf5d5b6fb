package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/cluster"
	"github.com/fluxover/fluxover/reconcile/source"
)

// facts reads the cluster and its repositories, and keeps what it fetched in
// a cache of the user's. Without a client there is no cluster to ask.
type facts struct {
	client      *cluster.Client
	clusterName string
	store       *source.Store
	progress    func(string)
	// releases are what was read of them, for the next time; nil keeps nothing.
	releases *helm.Opened
	// namespaces in which agents are looked for; empty means all.
	namespaces []string
	// folders hold repositories that are read in place of their servers.
	folders []discover.Folder
	// down are the kinds of which it is accepted that the API server does not give them.
	down []string
}

func newFacts(ctx context.Context, k *kube, progress func(string)) (*facts, error) {
	c, err := k.client(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	store, err := openStore(filepath.Join(dir, "fluxover", "git"))
	if err != nil {
		return nil, err
	}
	return &facts{client: c, clusterName: k.name(), store: store, progress: progress}, nil
}

// treesInMemory is how many bytes of repositories a command holds in memory; a
// fleet's manifests are a few MiB.
const treesInMemory = 64 << 20

// openStore opens the user's Git cache. Commands that run at the same time
// have one each.
func openStore(dir string) (*source.Store, error) {
	const most = 16
	for n := range most {
		store, err := source.Open(filepath.Join(dir, strconv.Itoa(n)), source.Options{MemoryBytes: treesInMemory})
		if errors.Is(err, source.ErrFolderInUse) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open the Git cache: %w", err)
		}
		return store, nil
	}
	return nil, fmt.Errorf("open the Git cache: %d commands use those below %s already", most, dir)
}

// inventory discovers. Only the Git repositories of ids are read; empty means
// all.
func (f *facts) inventory(ctx context.Context, ids []string) (migrate.Inventory, error) {
	inv, err := discover.Cluster(ctx, f.client, discover.Options{
		Store: f.store, Namespaces: f.namespaces, Folders: f.folders, Progress: f.progress, Repositories: ids, Releases: f.releases, Down: f.down,
	})
	inv.Cluster.Name = f.clusterName
	for i := range inv.Agents {
		inv.Agents[i].Cluster = &migrate.AgentCluster{Name: inv.Cluster.Name, Server: inv.Cluster.Server, From: "cluster"}
	}
	if err != nil {
		return inv, err
	}
	control, found, err := controlObjects(ctx, f.client)
	inv.Cluster.Control, inv.Findings = control, append(inv.Findings, found...)
	f.say("")
	return inv, err
}

func (f *facts) say(what string) {
	if f.progress != nil {
		f.progress(what)
	}
}

// controlObjects reads the objects of Flux v2, and what the accounts and Secrets are
// called, where the plan's will stand: a plan keeps their names, or leaves them
// alone. A kind that is not served has none.
func controlObjects(ctx context.Context, c *cluster.Client) ([]migrate.ControlObject, []migrate.Finding, error) {
	var control []migrate.ControlObject
	var findings []migrate.Finding
	for _, resource := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "serviceaccounts"},
		{Version: "v1", Resource: "secrets"},
		{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "gitrepositories"},
		{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"},
	} {
		var options metav1.ListOptions
		if resource.Resource == "secrets" {
			options.FieldSelector = "type!=helm.sh/release.v1" // which are large, and named by Helm
		}
		list, err := cluster.Ask(ctx, func() (*unstructured.UnstructuredList, error) {
			return c.Dynamic.Resource(resource).Namespace(migrate.AgentNamespace).List(ctx, options)
		})
		switch {
		case apierrors.IsNotFound(err):
		case apierrors.IsForbidden(err):
			findings = append(findings, migrate.Finding{
				Severity: migrate.Warning, Code: "NAMES_UNREAD", Subject: resource.Resource,
				Message: fmt.Sprintf("you may not list %s in namespace %s, so names that are taken there are not known", resource.GroupResource(), migrate.AgentNamespace),
				Hint:    "have the right granted, or use an account that has it (--context, --as)",
			})
		case err != nil:
			return nil, nil, fmt.Errorf("list %s in namespace %s: %w", resource.GroupResource(), migrate.AgentNamespace, err)
		default:
			for i := range list.Items {
				control = append(control, migrate.ControlOf(&list.Items[i]))
			}
		}
	}
	return control, findings, nil
}

// prove discovers, plans and proves: the one path from facts to a plan. Every
// repository is read, also those that are not planned: what two of them claim,
// or an agent that is itself in Git, shows only when all are looked at.
func (f *facts) prove(ctx context.Context, opts migrate.Options) (migrate.Inventory, proof.Result, error) {
	f.down = kindsDown(opts.Decisions)
	inv, err := f.inventory(ctx, nil)
	if err != nil {
		return inv, proof.Result{}, err
	}
	return f.proveThese(ctx, inv, opts)
}

// proveAgain is prove from fresh facts about the repositories of opts alone.
func (f *facts) proveAgain(ctx context.Context, opts migrate.Options) (migrate.Inventory, proof.Result, error) {
	f.down = kindsDown(opts.Decisions)
	inv, err := f.inventory(ctx, opts.Repositories)
	if err != nil {
		return inv, proof.Result{}, err
	}
	return f.proveThese(ctx, inv, opts)
}

func (f *facts) proveThese(ctx context.Context, inv migrate.Inventory, opts migrate.Options) (migrate.Inventory, proof.Result, error) {
	if len(opts.Repositories) > 0 {
		inv.Findings = slices.DeleteFunc(inv.Findings, func(f migrate.Finding) bool {
			return f.Repository != "" && !slices.Contains(opts.Repositories, f.Repository)
		})
	}
	f.say("proving")
	defer f.say("")
	var world proof.World // none without a cluster
	if f.client != nil {
		world = proof.ClusterWorld(f.client)
	}
	res, err := proof.Prove(ctx, inv, opts, world)
	return inv, res, err
}

// close gives up the cache; what was read from it is no longer valid.
func (f *facts) close() {
	// Closing only frees what is on disk anyway.
	_ = f.store.Close()
}

// reading discovers the repositories of ids; empty means all.
type reading func(ctx context.Context, ids []string) (migrate.Inventory, error)

// read is the reading by which a rollback asks what Flux v1 will find.
func (f *facts) read(ctx context.Context, ids []string) (migrate.Inventory, error) {
	return discover.Cluster(ctx, f.client, discover.Options{Store: f.store, Repositories: ids, Releases: f.releases, Down: f.down})
}

// kindsDown are the kinds of which somebody has accepted that the API server does not give them, each by its
// name: of all others it is waited for.
func kindsDown(decisions []migrate.Decision) []string {
	var kinds []string
	for _, d := range decisions {
		if d.Code == discover.APIKindDown.Name && d.Subject != "*" {
			kinds = append(kinds, d.Subject)
		}
	}
	return kinds
}

// headOnce tells what Flux v1 would load if it were started now, for a plan: the
// repositories of ids are read together, when the first is asked for.
func headOnce(read reading, ids []string) cutover.HeadFunc {
	var once sync.Once
	var inv migrate.Inventory
	var failed error
	return func(ctx context.Context, id string) ([]migrate.Object, error) {
		once.Do(func() { inv, failed = read(ctx, ids) })
		if failed != nil {
			return nil, failed
		}
		return headIn(inv, id)
	}
}

// headAnew tells the same for what is done: each time the one repository is
// read, since others may have committed while a question was waited for, or
// others' turns. What failed for one may succeed for the next.
func headAnew(read reading) cutover.HeadFunc {
	return func(ctx context.Context, id string) ([]migrate.Object, error) {
		inv, err := read(ctx, []string{id})
		if err != nil {
			return nil, err
		}
		return headIn(inv, id)
	}
}

// headIn are the objects at the branch's head of a repository.
func headIn(inv migrate.Inventory, id string) ([]migrate.Object, error) {
	i := slices.IndexFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.ID == id })
	switch {
	case i < 0 && migrate.AgentsUnknown(inv.Findings):
		return nil, fmt.Errorf("whether the Deployment of %s is there is not known: you may not look for it", id)
	case i < 0:
		return nil, fmt.Errorf("the Deployment of %s was not found", id)
	case inv.Agents[i].HeadProblem != "":
		return nil, errors.New(inv.Agents[i].HeadProblem)
	case inv.Agents[i].HeadObjects == nil:
		return nil, fmt.Errorf("the repository of %s could not be read at its branch's head", id)
	default:
		return inv.Agents[i].HeadObjects, nil
	}
}
