package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	fluxreconcile "github.com/fluxcd/pkg/runtime/reconcile"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/fluxover/fluxover/reconcile/build"
	"github.com/fluxover/fluxover/reconcile/source"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

const (
	// defaultGitTimeout is that of the API; objects made before the default have none.
	defaultGitTimeout = time.Minute
	firstRetry        = 750 * time.Millisecond
	longestRetry      = 15 * time.Minute
)

// sourceSummary says how the conditions of a GitRepository make its Ready, in
// the order of source-controller: the first that speaks gives reason and message.
var sourceSummary = []conditions.MergeOption{
	conditions.WithConditions(
		sourcev1.StorageOperationFailedCondition,
		sourcev1.FetchFailedCondition,
		sourcev1.ArtifactOutdatedCondition,
		sourcev1.ArtifactInStorageCondition,
		fluxmeta.StalledCondition,
		fluxmeta.ReconcilingCondition,
	),
	conditions.WithNegativePolarityConditions(
		sourcev1.StorageOperationFailedCondition,
		sourcev1.FetchFailedCondition,
		sourcev1.ArtifactOutdatedCondition,
		fluxmeta.StalledCondition,
		fluxmeta.ReconcilingCondition,
	),
}

// gitSources reconciles GitRepositories: it asks the server for the commit,
// fetches it once for all who build from it, writes the archive and tells of it
// in status.
type gitSources struct {
	client    client.Client
	live      client.Reader
	store     *source.Store
	trees     *trees
	artifacts *artifacts
	events    *events
	lanes     *lanes
	polls     *polls
	// treeArrived wakes the Kustomizations of a repository whose tree came without
	// a change of its status.
	treeArrived func(context.Context, types.NamespacedName)
	log         *slog.Logger

	mu     sync.Mutex
	states map[types.NamespacedName]*sourceState
}

// sourceState is what is remembered of a GitRepository between two looks.
type sourceState struct {
	written  string // resource version of the last status written
	failures int
	lastFail string // message of the last failure that was told as an event
}

// failure is an attempt that did not succeed, with what status says about it.
type failure struct {
	condition string // FetchFailed or StorageOperationFailed
	reason    string
	stalled   bool // no use in trying again before the object changes
	err       error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fetchFailed(reason string, err error) *failure {
	return &failure{condition: sourcev1.FetchFailedCondition, reason: reason, err: err}
}

func (s *gitSources) state(name types.NamespacedName) *sourceState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.states[name] == nil {
		if s.states == nil {
			s.states = map[types.NamespacedName]*sourceState{}
		}
		s.states[name] = &sourceState{}
	}
	return s.states[name]
}

func (s *gitSources) forget(name types.NamespacedName) {
	s.mu.Lock()
	delete(s.states, name)
	s.mu.Unlock()
	s.trees.put(name, nil)
	s.polls.leave(name)
}

// Reconcile brings one GitRepository up to date.
func (s *gitSources) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	name := request.NamespacedName
	state := s.state(name)
	repository := &sourcev1.GitRepository{}
	if err := freshest(ctx, s.client, s.live, name, repository, state.written); err != nil {
		if apierrors.IsNotFound(err) {
			s.forget(name)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, err
	}
	if !repository.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, s.remove(ctx, repository)
	}
	if !controllerutil.ContainsFinalizer(repository, sourcev1.SourceFinalizer) {
		before := repository.DeepCopy()
		controllerutil.AddFinalizer(repository, sourcev1.SourceFinalizer)
		if err := setFinalizers(ctx, s.client, before, repository, sourceController); err != nil {
			return ctrl.Result{}, err
		}
	}
	before := repository.DeepCopy()
	if repository.Spec.Suspend {
		s.polls.leave(name)
		s.restoreTree(ctx, repository)
		s.echoRequest(repository)
		return ctrl.Result{}, s.write(ctx, state, before, repository)
	}

	after, err := s.attempt(ctx, state, before, repository)
	return s.conclude(ctx, state, before, repository, after, err)
}

// attempt does the work. It returns when to look again.
func (s *gitSources) attempt(ctx context.Context, state *sourceState, before, repository *sourcev1.GitRepository) (time.Duration, error) {
	name := client.ObjectKeyFromObject(repository)
	interval := repository.GetRequeueAfter()
	if message := unsupported(gitRepositoryFields, repository); message != "" {
		s.polls.leave(name)
		return 0, &failure{condition: sourcev1.FetchFailedCondition, reason: UnsupportedFieldReason, stalled: true, err: errors.New(message)}
	}
	// What status says if this attempt fails now.
	progress := progressOf(repository)
	remote, credential, err := s.remote(ctx, repository)
	if err != nil {
		progress(repository)
		return 0, err
	}
	reference := referenceOf(repository)

	revision, due, err := s.polls.resolve(ctx, s.store.Resolve, name, question{remote, reference, credential}, interval, s.mustAsk(repository))
	if err != nil {
		progress(repository)
		return 0, fetchFailed(sourcev1.GitOperationFailedReason, fmt.Errorf("failed to checkout and determine revision: %w", err))
	}
	if due < 0 {
		// The commit is fixed and known: there is nothing to ask for.
		due = interval
	}
	wanted := artifactRevision(repository, revision)
	artifact := repository.Status.Artifact
	unchanged := artifact != nil && artifact.Revision == wanted &&
		ptr.Equal(repository.Spec.Ignore, repository.Status.ObservedIgnore) && s.artifacts.present(artifact)
	if unchanged && s.trees.has(name, artifact.Revision, artifact.Digest) {
		observeSuccess(repository)
		return due, nil
	}

	if !unchanged {
		progress(repository)
		if artifact == nil || artifact.Revision != wanted {
			message := fmt.Sprintf("new upstream revision '%s'", wanted)
			if artifact != nil {
				conditions.MarkTrue(repository, sourcev1.ArtifactOutdatedCondition, "NewRevision", "%s", message)
			}
			fluxreconcile.ProgressiveStatus(true, repository, fluxmeta.ProgressingReason, "building artifact: %s", message)
		}
		if err := s.write(ctx, state, before, repository); err != nil {
			return 0, err
		}
		*before = *repository.DeepCopy()
	}
	leave, err := s.lanes.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	arrived, commit, err := s.fetch(ctx, repository, remote, pinned(reference, revision), wanted)
	if err != nil {
		return 0, err
	}
	changed := artifact == nil || artifact.Digest != arrived.Digest || artifact.Revision != arrived.Revision
	repository.Status.Artifact = arrived
	repository.Status.ObservedIgnore = repository.Spec.Ignore
	hadFailed := conditions.Has(before, sourcev1.FetchFailedCondition) || conditions.Has(before, sourcev1.StorageOperationFailedCondition)
	observeSuccess(repository)
	switch {
	case artifact == nil || artifact.Digest != arrived.Digest:
		s.tell(repository, severityInfo, "NewArtifact", fmt.Sprintf("stored artifact for commit '%s'", subject(commit)))
	case hadFailed:
		s.tell(repository, severityInfo, fluxmeta.SucceededReason, fmt.Sprintf("stored artifact for commit '%s'", subject(commit)))
	}
	if !changed {
		s.treeArrived(ctx, name)
	}
	if err := s.artifacts.tidy(name, keptArtifacts); err != nil {
		s.log.Warn("old artifacts stay", "repository", name.String(), "error", err)
	}
	return due, nil
}

// fetch brings the tree of a commit, and returns its artifact and message.
func (s *gitSources) fetch(ctx context.Context, repository *sourcev1.GitRepository, remote source.Remote, reference source.Reference, wanted string) (*fluxmeta.Artifact, string, error) {
	name := client.ObjectKeyFromObject(repository)
	snapshot, err := s.store.Fetch(ctx, remote, reference)
	if err != nil {
		return nil, "", fetchFailed(sourcev1.GitOperationFailedReason, fmt.Errorf("failed to checkout and determine revision: %w", err))
	}
	fetchesTotal.Inc()
	content, err := build.NewArtifact(snapshot.Tree, repository.Spec.Ignore)
	if err != nil {
		return nil, "", errors.Join(&failure{condition: sourcev1.StorageOperationFailedCondition, reason: "SourceIgnoreError",
			err: fmt.Errorf("failed to load source ignore patterns from repository: %w", err)}, snapshot.Close())
	}
	artifact, err := s.artifacts.store(name, wanted, snapshot.Revision.SHA, content, repository.Status.Artifact)
	if err != nil {
		return nil, "", errors.Join(&failure{condition: sourcev1.StorageOperationFailedCondition,
			reason: sourcev1.ArchiveOperationFailedReason, err: err}, snapshot.Close())
	}
	s.trees.put(name, &tree{revision: artifact.Revision, digest: artifact.Digest, artifact: content, snapshot: snapshot})
	return artifact, snapshot.Message, nil
}

// restoreTree fetches the tree of the present artifact of a suspended
// repository after a start, since its Kustomizations may go on building from
// it. Failing is logged only: a suspended object keeps its status.
func (s *gitSources) restoreTree(ctx context.Context, repository *sourcev1.GitRepository) {
	name := client.ObjectKeyFromObject(repository)
	artifact := repository.Status.Artifact
	if artifact == nil || s.trees.has(name, artifact.Revision, artifact.Digest) || unsupported(gitRepositoryFields, repository) != "" {
		return
	}
	_, sha, found := strings.Cut(artifact.Revision, "@sha1:")
	if !found {
		return
	}
	remote, _, err := s.remote(ctx, repository)
	if err == nil {
		reference := referenceOf(repository)
		reference.Commit = sha
		_, _, err = s.fetch(ctx, repository, remote, reference, artifact.Revision)
	}
	if err != nil {
		s.log.Warn("artifact of suspended repository not restored", "repository", name.String(), "error", err)
		return
	}
	s.treeArrived(ctx, name)
}

// conclude writes the outcome of an attempt.
func (s *gitSources) conclude(ctx context.Context, state *sourceState, before, repository *sourcev1.GitRepository, after time.Duration, err error) (ctrl.Result, error) {
	var failed *failure
	switch {
	case errors.As(err, &failed) && failed.stalled:
		conditions.MarkTrue(repository, failed.condition, failed.reason, "%s", failed.err)
		conditions.MarkStalled(repository, failed.reason, "%s", failed.err)
		repository.Status.ObservedGeneration = repository.Generation
	case errors.As(err, &failed):
		conditions.MarkTrue(repository, failed.condition, failed.reason, "%s", failed.err)
		conditions.Delete(repository, fluxmeta.StalledCondition)
		if reconciling := conditions.Get(repository, fluxmeta.ReconcilingCondition); reconciling != nil {
			reconciling.Reason = fluxmeta.ProgressingWithRetryReason
			conditions.Set(repository, reconciling)
		}
		state.failures++
		after = retryAfter(state.failures, repository.GetRequeueAfter())
	case err != nil:
		return ctrl.Result{}, err
	default:
		state.failures, state.lastFail = 0, ""
		repository.Status.ObservedGeneration = repository.Generation
	}
	if failed != nil {
		message := fmt.Sprintf("%s %d %s", failed.reason, repository.Generation, failed.err)
		if state.lastFail != message {
			// The same failure again is not news; status tells that it goes on.
			state.lastFail = message
			s.tell(repository, severityError, failed.reason, failed.err.Error())
			s.log.Error("source not reconciled", "repository", client.ObjectKeyFromObject(repository).String(), "reason", failed.reason, "error", failed.err)
		}
	}
	s.echoRequest(repository)
	conditions.SetSummary(repository, fluxmeta.ReadyCondition, sourceSummary...)
	if err := s.write(ctx, state, before, repository); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: after}, nil
}

// remove lets go of a repository that is being deleted. Workloads are not touched.
func (s *gitSources) remove(ctx context.Context, repository *sourcev1.GitRepository) error {
	name := client.ObjectKeyFromObject(repository)
	if err := s.artifacts.tidy(name, 0); err != nil {
		return fmt.Errorf("remove artifacts of %s: %w", name, err)
	}
	s.forget(name)
	if !controllerutil.ContainsFinalizer(repository, sourcev1.SourceFinalizer) {
		return nil
	}
	before := repository.DeepCopy()
	controllerutil.RemoveFinalizer(repository, sourcev1.SourceFinalizer)
	return setFinalizers(ctx, s.client, before, repository, sourceController)
}

func (s *gitSources) write(ctx context.Context, state *sourceState, before, repository *sourcev1.GitRepository) error {
	version, err := writeStatus(ctx, s.client, before, repository, sourceController)
	if version != "" {
		state.written = version
	}
	return err
}

// echoRequest notes that a requested reconciliation was seen.
func (s *gitSources) echoRequest(repository *sourcev1.GitRepository) {
	if value, ok := fluxmeta.ReconcileAnnotationValue(repository.GetAnnotations()); ok {
		repository.Status.SetLastHandledReconcileRequest(value)
	}
}

func (s *gitSources) tell(repository *sourcev1.GitRepository, severity, reason, message string) {
	metadata := map[string]string{}
	if artifact := repository.Status.Artifact; artifact != nil && severity == severityInfo {
		metadata[metaRevision], metadata[metaDigest] = artifact.Revision, artifact.Digest
	}
	s.events.send(repository, sourcev1.GroupVersion.Group, severity, reason, message, metadata)
}

// mustAsk tells that an answer given to another repository is not enough: the
// object changed, somebody asked, or the last attempt failed.
func (s *gitSources) mustAsk(repository *sourcev1.GitRepository) bool {
	requestedAt, _ := fluxmeta.ReconcileAnnotationValue(repository.GetAnnotations())
	return repository.Status.ObservedGeneration != repository.Generation ||
		requestedAt != repository.Status.GetLastHandledReconcileRequest() ||
		!conditions.IsReady(repository)
}

// remote reads the credential, each time: it may have been exchanged. With it
// comes a hash that tells credentials apart.
func (s *gitSources) remote(ctx context.Context, repository *sourcev1.GitRepository) (source.Remote, string, error) {
	remote := source.Remote{URL: repository.Spec.URL, Timeout: defaultGitTimeout}
	if repository.Spec.Timeout != nil {
		remote.Timeout = repository.Spec.Timeout.Duration
	}
	var data map[string][]byte
	if reference := repository.Spec.SecretRef; reference != nil {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: repository.Namespace, Name: reference.Name}
		if err := s.live.Get(ctx, key, secret); err != nil {
			return remote, "", fetchFailed(sourcev1.AuthenticationFailedReason, fmt.Errorf("failed to get secret '%s': %w", key, err))
		}
		data = secret.Data
	}
	auth, err := source.AuthFromSecret(repository.Spec.URL, data)
	if errors.Is(err, source.ErrURL) {
		return remote, "", &failure{condition: sourcev1.FetchFailedCondition, reason: sourcev1.URLInvalidReason, stalled: true, err: err}
	}
	if err != nil {
		return remote, "", fetchFailed(sourcev1.AuthenticationFailedReason, fmt.Errorf("failed to configure authentication options: %w", err))
	}
	remote.Auth = auth
	credential := fingerprint(data)
	if reference := repository.Spec.ProxySecretRef; reference != nil {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: repository.Namespace, Name: reference.Name}
		if err := s.live.Get(ctx, key, secret); err != nil {
			return remote, "", fetchFailed(sourcev1.AuthenticationFailedReason, fmt.Errorf("failed to configure proxy options: failed to get proxy secret '%s': %w", key, err))
		}
		if remote.Auth, err = auth.WithProxySecret(secret.Data); err != nil {
			return remote, "", fetchFailed(sourcev1.AuthenticationFailedReason, fmt.Errorf("failed to configure proxy options: invalid proxy secret '%s': %w", key, err))
		}
		credential += " " + fingerprint(secret.Data)
	}
	return remote, credential, nil
}

// progressOf returns what marks repository as being worked on, in the words of
// source-controller. It is called only when there is something to tell, so that
// a look that finds nothing new writes nothing.
func progressOf(repository *sourcev1.GitRepository) func(*sourcev1.GitRepository) {
	observed := repository.Status.ObservedGeneration
	return func(r *sourcev1.GitRepository) {
		fluxreconcile.ProgressiveStatus(false, r, fluxmeta.ProgressingReason, "reconciliation in progress")
		if r.Generation != observed {
			fluxreconcile.ProgressiveStatus(false, r, fluxmeta.ProgressingReason, "processing object: new generation %d -> %d", observed, r.Generation)
		}
		if r.Status.Artifact == nil {
			fluxreconcile.ProgressiveStatus(true, r, fluxmeta.ProgressingReason, "building artifact")
			conditions.Delete(r, sourcev1.ArtifactInStorageCondition)
		}
	}
}

// observeSuccess sets the conditions of a repository whose artifact is current.
func observeSuccess(repository *sourcev1.GitRepository) {
	for _, condition := range []string{
		sourcev1.FetchFailedCondition, sourcev1.StorageOperationFailedCondition,
		sourcev1.ArtifactOutdatedCondition, fluxmeta.ReconcilingCondition, fluxmeta.StalledCondition,
	} {
		conditions.Delete(repository, condition)
	}
	conditions.MarkTrue(repository, sourcev1.ArtifactInStorageCondition, fluxmeta.SucceededReason,
		"stored artifact for revision '%s'", repository.Status.Artifact.Revision)
}

// referenceOf translates spec.ref.
func referenceOf(repository *sourcev1.GitRepository) source.Reference {
	ref := repository.Spec.Reference
	if ref == nil {
		return source.Reference{}
	}
	return source.Reference{Branch: ref.Branch, Tag: ref.Tag, SemVer: ref.SemVer, Name: ref.Name, Commit: ref.Commit}
}

// pinned returns what to fetch: the commit that was announced even if the branch
// moves on meanwhile. Other references are resolved again when fetched.
func pinned(reference source.Reference, revision source.Revision) source.Reference {
	if reference.Commit == "" && reference.Name == "" && reference.SemVer == "" && reference.Tag == "" {
		return source.Reference{Branch: revision.Name, Commit: revision.SHA}
	}
	return reference
}

// artifactRevision is the revision as source-controller writes it. A branch
// pinned to its own head has the revision of the branch, so that pinning and
// unpinning there changes nothing.
func artifactRevision(repository *sourcev1.GitRepository, revision source.Revision) string {
	if ref := repository.Spec.Reference; ref != nil && ref.Name != "" {
		revision.Name = ref.Name
	}
	return revision.String()
}

// retryAfter is how long to wait after so many failures in a row.
func retryAfter(failures int, interval time.Duration) time.Duration {
	wait := firstRetry << min(failures-1, 20)
	return min(wait, interval, longestRetry)
}

// subject is the first line of a commit message, cut as source-controller cuts it.
func subject(message string) string {
	line, _, _ := strings.Cut(message, "\n")
	if runes := []rune(line); len(runes) > 50 {
		return string(runes[:50]) + "..."
	}
	return line
}

// fingerprint hashes the data of a Secret.
func fingerprint(data map[string][]byte) string {
	hash := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		fmt.Fprintf(hash, "%d:%s %d:%s ", len(key), key, len(data[key]), data[key])
	}
	return hex.EncodeToString(hash.Sum(nil))
}
