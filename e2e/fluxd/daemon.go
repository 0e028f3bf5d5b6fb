package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// daemon is one running agent: a loop that keeps the mirror fresh, a loop that
// syncs, and the API.
type daemon struct {
	set        *settings
	log        *logger
	workDir    string
	repository *repository
	state      syncState
	loader     loader
	syncer     *syncer
	keys       *keyring
	metrics    *metrics
	setName    string

	// last is what this process synced: its revision, by which it knows that the
	// mark need not move, and its objects.
	lastRevision      string
	lastObjects       manifestSet
	warnedForeignMove bool
	listeners         []net.Listener
	listenErr         chan error
	syncSoon          chan struct{}
}

// newDaemon connects to the cluster and takes or makes the deploy key. Work
// files lie below a temporary directory, which close removes.
func newDaemon(ctx context.Context, set *settings, root podRoot, log *logger) (*daemon, error) {
	d := &daemon{set: set, log: log, metrics: newMetrics(), listenErr: make(chan error, 2), syncSoon: make(chan struct{}, 1)}
	if err := d.assemble(ctx, root); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *daemon) assemble(ctx context.Context, root podRoot) error {
	set, log := d.set, d.log
	var err error
	if d.workDir, err = os.MkdirTemp("", "fluxd-stand-in-"); err != nil {
		return err
	}
	env := append(os.Environ(), "HOME="+root.home())
	// Only where gpg itself is used: SOPS's keys are read from their
	// files, and the agent that gpg starts for private keys would outlive this
	// process.
	gpg := set.verifySignaturesMode != "none" || set.gitSigningKey != "" || set.gitSecret
	for _, path := range set.gitGPGKeyImport {
		if !gpg {
			if _, err := keyFiles(path); err != nil {
				log.line("error", "failed to import GPG key(s) from "+path, "err", err)
			}
			continue
		}
		if err := importKeys(ctx, path, env, set.verifySignaturesMode != "none"); err != nil {
			log.line("error", "failed to import GPG key(s) from "+path, "err", err)
		}
	}

	config, inCluster, err := restConfig(set, root)
	if err != nil {
		return err
	}
	cluster, err := newCluster(ctx, config, set, log)
	if err != nil {
		return err
	}
	serverVersion, err := cluster.discovery.ServerVersion()
	if err != nil {
		return fmt.Errorf("reach the API server %s: %w", config.Host, err)
	}
	namespace := ""
	if inCluster {
		text, err := os.ReadFile(filepath.Join(root.path(serviceAccountMount), "namespace"))
		if err != nil {
			return err
		}
		namespace = strings.TrimSpace(string(text))
	}
	secrets := cluster.dynamic.Resource(secretResource).Namespace(namespace)
	if inCluster && !set.sshKeyringDisabled() {
		if d.keys, err = newKeyring(ctx, set, root, secrets); err != nil {
			return err
		}
		log.line("component", "cluster", "identity", d.keys.private)
		log.line("component", "cluster", "identity.pub", strings.TrimSpace(d.keys.current().Key))
	}
	log.line("host", config.Host, "version", "kubernetes-"+serverVersion.GitVersion)

	kubectl, err := newKubectl(set, root, d.workDir)
	if err != nil {
		return err
	}
	log.line("kubectl", kubectl.path)
	fallback, err := defaultNamespace(set, root)
	if err != nil {
		return err
	}
	placer := &placer{scope: cluster, defaultNamespace: fallback, log: log, warned: map[identity]bool{}}
	d.loader = loader{
		generate: set.manifestGeneration, generatorTimeout: set.syncTimeout,
		env: env, place: placer.place,
	}
	if set.sops {
		d.loader.keys = decryptionKeys(set, root)
	}
	d.syncer = &syncer{
		cluster: cluster, kubectl: kubectl, log: log,
		collect: set.garbageCollection, dry: set.garbageCollectionDry,
	}
	d.repository = newRepository(set, root, d.workDir)
	d.setName = setName(safeURL(set.gitURL), set.gitBranch, set.gitPaths)
	log.line("url", safeURL(set.gitURL), "user", set.gitUser, "email", set.gitEmail, "signing-key", set.gitSigningKey,
		"verify-signatures-mode", set.verifySignaturesMode, "sync-tag", set.gitSyncTag, "state", set.syncState,
		"readonly", set.gitReadonly, "registry-disable-scanning", set.registryDisableScanning,
		"git-secret", set.gitSecret, "sops", set.sops)

	d.state = tagState{repository: d.repository, set: set}
	if set.syncState == "secret" {
		if namespace == "" {
			return errors.New("--sync-state=secret needs the namespace file of a service account")
		}
		d.state = secretState{secrets: secrets, namespace: namespace, name: set.secretName}
	}
	return d.listen()
}

// listen opens the API's and the metrics' addresses.
func (d *daemon) listen() error {
	api := d.handler()
	for _, at := range []struct {
		address string
		handler http.Handler
	}{{d.set.listen, api}, {d.set.listenMetrics, d.metricsHandler()}} {
		if at.address == "" {
			continue
		}
		listener, err := net.Listen("tcp", at.address)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", at.address, err)
		}
		d.log.line("addr", listener.Addr())
		d.listeners = append(d.listeners, listener)
		server := &http.Server{Handler: at.handler, ReadHeaderTimeout: 10 * time.Second}
		go func() {
			if err := server.Serve(listener); !errors.Is(err, net.ErrClosed) {
				d.listenErr <- err
			}
		}()
	}
	return nil
}

// close frees what newDaemon took.
func (d *daemon) close() {
	for _, listener := range d.listeners {
		// Nothing can be done about an address that does not close.
		_ = listener.Close()
	}
	if d.workDir != "" {
		_ = os.RemoveAll(d.workDir)
	}
}

// run syncs until ctx ends. A sync that runs then is finished first, kubectl,
// garbage collection and sync mark included (reference 2.1; design 7).
func (d *daemon) run(ctx context.Context) error {
	loops, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { d.repository.run(loops) })
	running.Go(func() { d.syncLoop(loops) })
	var err error
	select {
	case <-ctx.Done():
		d.log.line("exiting", "terminated")
	case err = <-d.listenErr:
	}
	stop()
	running.Wait()
	return err
}

// syncLoop syncs when asked: at the start, on a new head, every sync-interval.
func (d *daemon) syncLoop(ctx context.Context) {
	log := d.log.with("component", "sync-loop")
	timer := time.NewTimer(d.set.syncInterval)
	defer timer.Stop()
	head := ""
	d.askForSync()
	for {
		select {
		case <-ctx.Done():
			log.line("stopping", "true")
			return
		case <-timer.C:
			d.askForSync()
		case <-d.syncSoon:
			timer.Stop()
			started := time.Now()
			err := d.sync(context.WithoutCancel(ctx), head, log)
			d.metrics.synced(err == nil, time.Since(started))
			if err != nil {
				log.line("err", err)
			}
			timer.Reset(d.set.syncInterval)
		case <-d.repository.refreshed:
			newHead, err := d.newHead(context.WithoutCancel(ctx), log)
			if err != nil {
				log.line("url", safeURL(d.set.gitURL), "err", err)
				continue
			}
			log.line("event", "refreshed", "url", safeURL(d.set.gitURL), "branch", d.set.gitBranch, "HEAD", newHead)
			if newHead != head {
				head = newHead
				d.askForSync()
			}
		}
	}
}

func (d *daemon) askForSync() {
	select {
	case d.syncSoon <- struct{}{}:
	default:
	}
}

// newHead is the branch's head or, with signatures to verify, the last commit
// before the first bad one (reference 2.9).
func (d *daemon) newHead(ctx context.Context, log *logger) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.set.gitTimeout)
	defer cancel()
	head, err := d.repository.revision(ctx, "refs/heads/"+d.set.gitBranch)
	if err != nil || d.set.verifySignaturesMode == "none" {
		return head, err
	}
	synced, err := d.state.revision(ctx)
	if err != nil {
		return "", err
	}
	span := head
	if synced != "" {
		if _, err := d.repository.inMirror(ctx, "verify-commit", synced); err != nil {
			return "", fmt.Errorf("failed to verify signature of last sync'ed revision: %w", err)
		}
		span = synced + ".." + head
	}
	commits, err := d.repository.commits(ctx, span, d.set.verifySignaturesMode == "first-parent", nil)
	if err != nil {
		return synced, err
	}
	for i := len(commits) - 1; i >= 0; i-- {
		if commits[i].signature == "G" {
			continue
		}
		log.line("err", "found invalid GPG signature for commit", "revision", commits[i].revision)
		if i+1 < len(commits) {
			return commits[i+1].revision, nil
		}
		return synced, nil
	}
	return head, nil
}

// sync brings one revision to the cluster and moves the sync mark, even if
// single objects failed; any other error leaves the mark. The sync's limit ends
// Git operations and generators, not kubectl.
func (d *daemon) sync(ctx context.Context, revision string, log *logger) error {
	ctx, cancel := context.WithTimeout(ctx, d.set.syncTimeout)
	defer cancel()
	daemonLog := d.log.with("component", "daemon")

	before, err := d.lastSynced(ctx)
	if err != nil {
		daemonLog.line("warning", "failed to load last-synced resources. sync event may be inaccurate", "err", err)
	}
	oldRevision, err := d.state.revision(ctx)
	if err != nil {
		return err
	}
	commits, err := d.commitsOf(ctx, oldRevision, revision)
	if err != nil {
		return err
	}
	daemonLog.line("info", "trying to sync git changes to the cluster", "old", oldRevision, "new", revision)
	set, err := d.loadRevision(ctx, revision)
	if err != nil {
		return err
	}

	err = d.syncer.sync(ctx, d.setName, set)
	var failed objectErrors
	switch {
	case errors.As(err, &failed):
		daemonLog.line("err", failed)
	case err != nil:
		return err
	}
	d.metrics.applied(len(set)-len(failed), len(failed))

	if err := d.readNotes(ctx); err != nil {
		return err
	}
	if event := syncEvent(commits, changedObjects(before, set)); event != "" {
		daemonLog.line("event", event, "logupstream", "false")
	}
	return d.moveMark(ctx, oldRevision, revision, set, log)
}

// lastSynced is what the last sync loaded; after a start, what the commit at the
// sync mark holds.
func (d *daemon) lastSynced(ctx context.Context) (manifestSet, error) {
	if d.lastObjects != nil {
		return d.lastObjects, nil
	}
	revision, err := d.state.revision(ctx)
	if err != nil || revision == "" {
		return nil, err
	}
	return d.loadRevision(ctx, revision)
}

func (d *daemon) loadRevision(ctx context.Context, revision string) (manifestSet, error) {
	gitCtx, cancel := context.WithTimeout(ctx, d.set.gitTimeout)
	defer cancel()
	dir, err := d.repository.export(gitCtx, revision)
	if err != nil {
		return nil, fmt.Errorf("loading new resources: cloning repo: %w", err)
	}
	defer os.RemoveAll(dir)
	if d.set.gitSecret {
		if _, err := d.repository.git(gitCtx, dir, "secret", "reveal", "-f"); err != nil {
			return nil, fmt.Errorf("loading new resources: git secret reveal -f: %w", err)
		}
	}
	set, err := d.loader.load(ctx, dir, d.set.gitPaths)
	if err != nil {
		// Checkouts have random names; a message that repeats should be the same.
		return nil, fmt.Errorf("loading resources from repo: %w", hidePath{err, dir})
	}
	return set, nil
}

// hidePath is an error whose text does not name a temporary directory.
type hidePath struct {
	error
	dir string
}

func (e hidePath) Error() string { return strings.ReplaceAll(e.error.Error(), e.dir, ".") }
func (e hidePath) Unwrap() error { return e.error }

// commitsOf lists the commits of this sync: those since the sync mark, or all.
func (d *daemon) commitsOf(ctx context.Context, old, revision string) ([]commit, error) {
	ctx, cancel := context.WithTimeout(ctx, d.set.gitTimeout)
	defer cancel()
	span := revision
	if old != "" {
		span = old + ".." + revision
	}
	paths := d.set.gitPaths
	if d.set.manifestGeneration {
		paths = nil
	}
	return d.repository.commits(ctx, span, false, paths)
}

// readNotes asks Git for the notes, as fluxd does after applying: here a sync
// whose limit has passed meanwhile fails, and its mark stays.
func (d *daemon) readNotes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.set.gitTimeout)
	defer cancel()
	if _, err := d.repository.inMirror(ctx, "notes", "--ref", "flux", "list"); err != nil {
		return fmt.Errorf("loading notes from repo: %w", err)
	}
	return nil
}

// moveMark moves the sync mark, unless this process put it there already.
func (d *daemon) moveMark(ctx context.Context, old, revision string, set manifestSet, log *logger) error {
	if d.lastRevision != "" && old != d.lastRevision && !d.warnedForeignMove {
		log.line("warning", "detected external change in sync state; the sync state should not be shared by fluxd instances",
			"state", d.state)
		d.warnedForeignMove = true
	}
	if d.lastRevision == revision {
		return nil
	}
	if err := d.state.move(ctx, revision); err != nil {
		return err
	}
	d.lastRevision, d.lastObjects = revision, set
	log.line("state", d.state, "old", old, "new", revision)
	gitCtx, cancel := context.WithTimeout(ctx, d.set.gitTimeout)
	defer cancel()
	return d.repository.refresh(gitCtx)
}

// changedObjects are those whose document is not as it was.
func changedObjects(before, now manifestSet) []string {
	var changed []string
	for id, m := range now {
		if old, ok := before[id]; !ok || !bytes.Equal(old.body, m.body) {
			changed = append(changed, id.String())
		}
	}
	sort.Strings(changed)
	return changed
}

// syncEvent is the text of the event that fluxd would report upstream; "" when
// there is nothing to report.
func syncEvent(commits []commit, changed []string) string {
	if len(commits) == 0 {
		return ""
	}
	revisions := shortRevision(commits[0].revision)
	if len(commits) > 1 {
		revisions = shortRevision(commits[len(commits)-1].revision) + ".." + revisions
	}
	text := "no workloads changed"
	if len(changed) > 0 {
		text = strings.Join(changed, ", ")
	}
	return "Sync: " + revisions + ", " + text
}

func shortRevision(revision string) string {
	if len(revision) <= 7 {
		return revision
	}
	return revision[:7]
}
