package reconcile

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
)

func ready(r *sourcev1.GitRepository) bool {
	return conditions.IsReady(r) && r.Status.ObservedGeneration == r.Generation
}

func TestArtifactIsServedUnderThePathOfFlux(t *testing.T) {
	e := newTeam(t, map[string]string{"app/a.yaml": "x: 1\n"})
	repository := until(e, e.repository("app"), "ready", ready)
	commit, err := e.git.Head(e.ctx, e.repo, "main")
	e.must(err)
	artifact := repository.Status.Artifact
	if want := "http://" + e.artifacts + "/gitrepository/" + e.namespace + "/app/" + commit + ".tar.gz"; artifact.URL != want {
		t.Fatalf("URL %s, want %s", artifact.URL, want)
	}
	response, err := http.Get(artifact.URL)
	e.must(err)
	body, err := io.ReadAll(response.Body)
	e.must(err)
	e.must(response.Body.Close())
	sum := sha256.Sum256(body)
	if got := "sha256:" + hex.EncodeToString(sum[:]); got != artifact.Digest || int64(len(body)) != *artifact.Size {
		t.Errorf("served %s with %d bytes, status says %s with %d", got, len(body), artifact.Digest, *artifact.Size)
	}
	if artifact.Revision != "main@sha1:"+commit {
		t.Errorf("revision %s", artifact.Revision)
	}
	e.must(e.client.Delete(e.ctx, repository))
	e.untilGone(repository)
	response, err = http.Get(artifact.URL)
	e.must(err)
	e.must(response.Body.Close())
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("after deletion: %s", response.Status)
	}
}

func TestCredentialsAreToldApartFromOtherFailures(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*team, *sourcev1.GitRepository)
		reason  string
		message string
	}{
		"secret is missing": {func(_ *team, r *sourcev1.GitRepository) { r.Spec.SecretRef.Name = "absent" },
			sourcev1.AuthenticationFailedReason, "failed to get secret"},
		"ssh without known_hosts": {func(e *team, r *sourcev1.GitRepository) {
			r.Spec.URL = e.git.SSHURL(e.repo)
			e.create(&corev1.Secret{ObjectMeta: e.meta("ssh"), StringData: map[string]string{"identity": "x"}})
			r.Spec.SecretRef.Name = "ssh"
		}, sourcev1.AuthenticationFailedReason, "'known_hosts' is required"},
		"password is wrong": {func(e *team, r *sourcev1.GitRepository) {
			e.create(&corev1.Secret{ObjectMeta: e.meta("wrong"), StringData: map[string]string{"username": gitUser, "password": "swordfish-1"}})
			r.Spec.SecretRef.Name = "wrong"
		}, sourcev1.GitOperationFailedReason, "failed to checkout and determine revision"},
		"branch is missing": {func(_ *team, r *sourcev1.GitRepository) { r.Spec.Reference.Branch = "absent" },
			sourcev1.GitOperationFailedReason, "failed to checkout and determine revision"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTeam(t, map[string]string{"a.yaml": "x"})
			repository := e.repository("second")
			c.change(e, repository)
			e.create(repository)
			until(e, repository, "failed", func(r *sourcev1.GitRepository) bool {
				return conditions.IsTrue(r, sourcev1.FetchFailedCondition) && conditions.IsFalse(r, fluxmeta.ReadyCondition)
			})
			if got := conditions.GetReason(repository, sourcev1.FetchFailedCondition); got != c.reason {
				t.Errorf("reason %s, want %s", got, c.reason)
			}
			message := conditions.GetMessage(repository, fluxmeta.ReadyCondition)
			if !strings.Contains(message, c.message) || strings.Contains(message, "swordfish") {
				t.Errorf("message %q", message)
			}
			if repository.Status.ObservedGeneration == repository.Generation {
				t.Error("a failed generation counts as observed")
			}
		})
	}
}

func TestAURLThatCannotBeUsedStallsUntilItIsAnother(t *testing.T) {
	e := newTeam(t, map[string]string{"a.yaml": "x"})
	repository := e.repository("second")
	good := repository.Spec.URL
	repository.Spec.URL = "https://" // the definition's pattern lets it pass
	e.create(repository)
	until(e, repository, "stalled", func(r *sourcev1.GitRepository) bool { return conditions.IsTrue(r, fluxmeta.StalledCondition) })
	for _, condition := range []string{fluxmeta.StalledCondition, sourcev1.FetchFailedCondition, fluxmeta.ReadyCondition} {
		if got := conditions.GetReason(repository, condition); got != sourcev1.URLInvalidReason {
			t.Errorf("%s: reason %q", condition, got)
		}
	}
	if !strings.Contains(conditions.GetMessage(repository, fluxmeta.ReadyCondition), "host and path are needed") {
		t.Errorf("message %q", conditions.GetMessage(repository, fluxmeta.ReadyCondition))
	}
	e.patch(repository, func() { repository.Spec.URL = good })
	until(e, repository, "ready", ready)
}

func TestAnArtifactThatCannotBeKeptIsTold(t *testing.T) {
	e := newTeam(t, map[string]string{"a.yaml": "x: 1\n"})
	dir := t.TempDir()
	address, err := freeAddress()
	e.must(err)
	stop, err := startAgent(e.ctx, e.plane.Config(), withFlags(t, dir, "--storage-addr="+address, "--watch-label-selector="+shardKey+"="+e.namespace))
	e.must(err)
	t.Cleanup(stop)
	// Where the archives of this namespace would be, something else stands.
	inTheWay := filepath.Join(dir, "artifacts", "gitrepository", e.namespace)
	e.must(os.MkdirAll(filepath.Dir(inTheWay), 0o750))
	e.must(os.WriteFile(inTheWay, nil, 0o600))
	repository := e.repository("second")
	repository.Labels = map[string]string{shardKey: e.namespace}
	e.create(repository)
	until(e, repository, "failed", func(r *sourcev1.GitRepository) bool { return conditions.IsFalse(r, fluxmeta.ReadyCondition) })
	if got := conditions.GetReason(repository, sourcev1.StorageOperationFailedCondition); got != sourcev1.ArchiveOperationFailedReason {
		t.Errorf("reason %q", got)
	}
	if repository.Status.Artifact != nil {
		t.Errorf("an artifact that is not there: %+v", repository.Status.Artifact)
	}
	e.must(os.Remove(inTheWay))
	e.request(repository, "again")
	until(e, repository, "ready", ready)
	if conditions.Has(repository, sourcev1.StorageOperationFailedCondition) {
		t.Error("the failure stays after the repair")
	}
}

func TestATreeLargerThanTheFlagAllowsIsNotFetched(t *testing.T) {
	e := newTeam(t, map[string]string{"a.yaml": "x: 1\n"})
	stop, err := startAgent(e.ctx, e.plane.Config(), withFlags(t, t.TempDir(), "--max-tree-bytes=9", "--watch-label-selector="+shardKey+"="+e.namespace))
	e.must(err)
	t.Cleanup(stop)
	repository := e.repository("second")
	repository.Labels = map[string]string{shardKey: e.namespace}
	e.create(repository)
	until(e, repository, "ready", ready)
	e.push("more", map[string]string{"b.yaml": "y: 2\n"}) // ten bytes with the other
	e.request(repository, "more")
	until(e, repository, "failed", func(r *sourcev1.GitRepository) bool { return conditions.IsTrue(r, sourcev1.FetchFailedCondition) })
	if message := conditions.GetMessage(repository, fluxmeta.ReadyCondition); !strings.Contains(message, "too large") {
		t.Errorf("message %q", message)
	}
}

func TestDeployKeyOverSSHAndItsRepair(t *testing.T) {
	e := newTeam(t, map[string]string{"a.yaml": "x: 1\n"})
	public, private, err := ed25519.GenerateKey(rand.Reader)
	e.must(err)
	key, err := ssh.NewPublicKey(public)
	e.must(err)
	block, err := ssh.MarshalPrivateKey(private, "")
	e.must(err)
	secret := &corev1.Secret{ObjectMeta: e.meta("key"), StringData: map[string]string{
		"identity": string(pem.EncodeToMemory(block)), "known_hosts": e.git.KnownHosts()}}
	e.create(secret)
	repository := e.repository("ssh")
	repository.Spec.URL, repository.Spec.SecretRef.Name = e.git.SSHURL(e.repo), "key"
	e.create(repository)
	until(e, repository, "refused", func(r *sourcev1.GitRepository) bool { return conditions.IsTrue(r, sourcev1.FetchFailedCondition) })
	e.must(e.git.AllowKey(e.repo, key, false))
	until(e, repository, "ready", ready)
	for _, condition := range repository.Status.Conditions {
		if condition.Type != fluxmeta.ReadyCondition && condition.Type != sourcev1.ArtifactInStorageCondition {
			t.Errorf("condition %s stays after the repair", condition.Type)
		}
	}
}

func TestReferencesResolveToTheRevisionsOfFlux(t *testing.T) {
	e := newTeam(t, map[string]string{"a.yaml": "x: 1\n"})
	commit, err := e.git.Head(e.ctx, e.repo, "main")
	e.must(err)
	for name, c := range map[string]struct {
		ref  *sourcev1.GitRepositoryRef
		want string
	}{
		"branch":            {&sourcev1.GitRepositoryRef{Branch: "main"}, "main@sha1:" + commit},
		"commit":            {&sourcev1.GitRepositoryRef{Commit: commit}, "sha1:" + commit},
		"commit-and-branch": {&sourcev1.GitRepositoryRef{Branch: "main", Commit: commit}, "main@sha1:" + commit},
		"name":              {&sourcev1.GitRepositoryRef{Name: "refs/heads/main"}, "refs/heads/main@sha1:" + commit},
	} {
		t.Run(name, func(t *testing.T) {
			e := &team{laboratory: e.laboratory, t: t, ctx: e.ctx, namespace: e.namespace, repo: e.repo}
			repository := e.repository(name)
			repository.Spec.Reference = c.ref
			e.create(repository)
			until(e, repository, "ready", ready)
			if repository.Status.Artifact.Revision != c.want {
				t.Errorf("revision %s, want %s", repository.Status.Artifact.Revision, c.want)
			}
		})
	}
}

func TestChangedIgnoreRebuildsTheArtifactAndItsKustomizations(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1"), "app/b.yaml": configMapYAML(namespace, "b", "1")})
	repository := until(e, e.repository("app"), "ready", ready)
	k := e.kustomization("app", "./app")
	e.create(k)
	commit, err := e.git.Head(e.ctx, e.repo, "main")
	e.must(err)
	e.untilReady(k, commit)
	digest := repository.Status.Artifact.Digest
	ignore := "/app/b.yaml\n"
	e.patch(repository, func() { repository.Spec.Ignore = &ignore })
	until(e, repository, "other artifact", func(r *sourcev1.GitRepository) bool {
		return ready(r) && r.Status.Artifact.Digest != digest && r.Status.ObservedIgnore != nil
	})
	e.untilGone(e.configMap("b"))
}
