package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/cluster"
	"github.com/fluxover/fluxover/reconcile/source"
)

// client connects to the cluster that kubectl's flags name.
func (k *kube) client() (*cluster.Client, error) {
	c, err := cluster.New(k.flags)
	if err != nil {
		return nil, &exitError{Code: exitFailed, Err: fmt.Errorf("connect to the cluster: %w", err), Hints: []string{
			"nothing has changed", "check --kubeconfig and --context",
		}}
	}
	return c, nil
}

// facts reads the cluster and its repositories, and keeps what it fetched in
// a cache of the user's.
type facts struct {
	client   *cluster.Client
	store    *source.Store
	progress func(string)
}

func newFacts(c *cluster.Client, progress func(string)) (*facts, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	store, err := source.Open(filepath.Join(dir, "fluxover", "git"), source.Options{})
	if err != nil {
		return nil, fmt.Errorf("open the Git cache: %w", err)
	}
	return &facts{client: c, store: store, progress: progress}, nil
}

// inventory discovers.
func (f *facts) inventory(ctx context.Context) (migrate.Inventory, error) {
	return discover.Cluster(ctx, f.client, discover.Options{Store: f.store, Progress: f.progress})
}

// prove discovers, plans and proves: the one path from facts to a plan.
func (f *facts) prove(ctx context.Context, opts migrate.Options) (migrate.Inventory, proof.Result, error) {
	inv, err := f.inventory(ctx)
	if err != nil {
		return inv, proof.Result{}, err
	}
	if f.progress != nil {
		f.progress("proving")
	}
	res, err := proof.Prove(ctx, inv, opts, proof.ClusterWorld(f.client))
	return inv, res, err
}

// close gives up the cache; what was read from it is no longer valid.
func (f *facts) close() {
	// Closing only frees what is on disk anyway.
	_ = f.store.Close()
}

// marks reads an agent's sync mark and its branch's head from Git.
func (f *facts) marks(ctx context.Context, agent cutover.AgentGit, credential map[string][]byte) (cutover.Marks, error) {
	remote := source.Remote{URL: agent.URL}
	if credential != nil {
		auth, err := source.AuthFromSecret(agent.URL, credential)
		if err != nil {
			return cutover.Marks{}, err
		}
		remote.Auth = auth
	}
	refs, err := f.store.Refs(ctx, remote)
	if err != nil {
		return cutover.Marks{}, err
	}
	return cutover.Marks{Synced: refs["refs/tags/"+agent.SyncTag], Head: refs["refs/heads/"+agent.Branch]}, nil
}
