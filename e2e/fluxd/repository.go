package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// retryGit is how long fluxd waits after Git trouble before it tries again.
const retryGit = 10 * time.Second

var (
	errNotCloned  = errors.New("git repo has not been cloned yet")
	errClonedOnly = errors.New("git repo has been cloned but not yet checked for write access")
)

// States of a repository, as the API spells them.
const (
	repositoryNoConfig = "unconfigured"
	repositoryNew      = "new"
	repositoryCloned   = "cloned"
	repositoryReady    = "ready"
)

// repository is the mirror of the Git repository: made, kept fresh and checked
// for write access by its own loop (reference 2.1).
type repository struct {
	url, branch string
	readonly    bool
	interval    time.Duration
	timeout     time.Duration
	env         []string
	hide        func(string) string
	workDir     string // mirrors and checkouts lie below it

	// notify asks for a fetch now; refreshed tells that a fetch was made.
	notify, refreshed chan struct{}

	mu    sync.RWMutex
	state string
	err   error
	dir   string
}

// allowedVariables are what fluxd 1.25.4 gives to git of its own environment, and
// nothing else (flux: pkg/git/operations.go, allowedEnvVars).
var allowedVariables = []string{
	"http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "GIT_PROXY_COMMAND",
	"HOME", "GNUPGHOME", "SECRETS_DIR", "SECRETS_EXTENSION", "CLOUDSDK_CONFIG", "CLOUDSDK_PYTHON",
	"NSS_WRAPPER_PASSWD", "NSS_WRAPPER_GROUP", "LD_PRELOAD", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
}

// sshCommandVariable names the command that git runs for SSH in place of the
// image's ssh.
const sshCommandVariable = "FLUXD_SSH_COMMAND"

// gitEnvironment is the environment that git is run in: what fluxd gives it, and
// what stands for fluxd's image on a machine that is none.
func gitEnvironment(set *settings, root podRoot) []string {
	env := []string{"GIT_TERMINAL_PROMPT=0"}
	for _, name := range append([]string{"PATH", "TMPDIR"}, allowedVariables...) {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	if root != "" {
		env = append(env, "GIT_CONFIG_SYSTEM="+root.path("/etc/gitconfig"))
	}
	command := os.Getenv(sshCommandVariable)
	if command == "" {
		command = sshCommand(set, root)
	}
	return append(env, "GIT_SSH_COMMAND="+command,
		// A fetch without news starts fewer processes so, on both sides; there
		// may be dozens of agents on one machine.
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=protocol.version", "GIT_CONFIG_VALUE_0=0",
		"GIT_CONFIG_KEY_1=maintenance.auto", "GIT_CONFIG_VALUE_1=false")
}

// newRepository prepares the mirror below workDir; run makes it.
func newRepository(set *settings, root podRoot, workDir string) *repository {
	r := &repository{
		url: set.gitURL, branch: set.gitBranch, readonly: set.gitReadonly,
		interval: set.gitPollInterval, timeout: set.gitTimeout,
		hide: redact(set.gitURL), workDir: workDir,
		notify: make(chan struct{}, 1), refreshed: make(chan struct{}, 1),
		state: repositoryNew, err: errNotCloned,
	}
	if r.url == "" {
		r.state = repositoryNoConfig
	}
	r.env = gitEnvironment(set, root)
	return r
}

// run advances the repository until ctx ends: clone, check, fetch every
// interval; after trouble it clones anew, with a pause between tries.
func (r *repository) run(ctx context.Context) {
	for ctx.Err() == nil {
		if r.step(ctx) {
			continue
		}
		state, _ := r.status()
		switch state {
		case repositoryNoConfig:
			return
		case repositoryReady:
			if err := r.refreshLoop(ctx); err != nil {
				r.set(repositoryNew, err)
				continue
			}
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryGit):
		}
	}
}

// step makes the next step towards ready and tells whether it succeeded.
func (r *repository) step(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	switch state, _ := r.status(); state {
	case repositoryNew:
		dir, err := os.MkdirTemp(r.workDir, "flux-gitclone")
		if err != nil {
			r.set(repositoryNew, err)
			return false
		}
		if _, err := r.git(ctx, dir, "clone", "--mirror", r.url, dir); err != nil {
			r.set(repositoryNew, errors.Join(fmt.Errorf("git clone --mirror: %w", err), os.RemoveAll(dir)))
			return false
		}
		r.mu.Lock()
		old := r.dir
		r.dir = dir
		r.mu.Unlock()
		if old != "" {
			// The mirror given up may be in pieces; a new one stands in its place.
			_ = os.RemoveAll(old)
		}
		r.set(repositoryCloned, errClonedOnly)
		return true
	case repositoryCloned:
		if err := r.check(ctx); err != nil {
			r.set(repositoryCloned, err)
			return false
		}
		r.set(repositoryReady, nil)
		r.tellRefreshed()
		return true
	}
	return false
}

// check fetches, looks for the branch and, unless read-only, proves that a tag
// can be pushed and deleted.
func (r *repository) check(ctx context.Context) error {
	if err := r.fetch(ctx); err != nil {
		return err
	}
	if _, err := r.git(ctx, r.dir, "rev-parse", "--verify", "--quiet", "refs/heads/"+r.branch); err != nil {
		return fmt.Errorf("configured branch '%s' does not exist", r.branch)
	}
	if r.readonly {
		return nil
	}
	random := make([]byte, 5)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	tag := fmt.Sprintf("flux-write-check-%x", random)
	if _, err := r.git(ctx, r.dir, "tag", tag, r.branch); err != nil {
		return fmt.Errorf("tag for write check: %w", err)
	}
	if _, err := r.git(ctx, r.dir, "push", r.url, "tag", tag); err != nil {
		return fmt.Errorf("attempt to push tag: %w", err)
	}
	_, err := r.git(ctx, r.dir, "push", "--delete", r.url, "tag", tag)
	return err
}

func (r *repository) refreshLoop(ctx context.Context) error {
	timer := time.NewTimer(r.interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-r.notify:
		}
		fetchCtx, cancel := context.WithTimeout(ctx, r.timeout)
		err := r.refresh(fetchCtx)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		timer.Reset(r.interval)
	}
}

// refresh fetches now and tells the sync loop.
func (r *repository) refresh(ctx context.Context) error {
	if err := r.ready(); err != nil {
		return err
	}
	if err := r.fetch(ctx); err != nil {
		return err
	}
	r.tellRefreshed()
	return nil
}

func (r *repository) fetch(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.git(ctx, r.dir, "fetch", "--tags", "origin"); err != nil {
		return fmt.Errorf("git fetch --tags origin: %w", err)
	}
	return nil
}

func (r *repository) tellRefreshed() {
	select {
	case r.refreshed <- struct{}{}:
	default:
	}
}

// askForFetch makes the loop fetch soon.
func (r *repository) askForFetch() {
	select {
	case r.notify <- struct{}{}:
	default:
	}
}

func (r *repository) set(state string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state, r.err = state, err
}

func (r *repository) status() (string, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state, r.err
}

// ready returns an error while the repository cannot be synced from.
func (r *repository) ready() error {
	state, err := r.status()
	switch state {
	case repositoryReady:
		return nil
	case repositoryNoConfig:
		return errors.New("git repo does not have valid config")
	default:
		return fmt.Errorf("git repo not ready: %w", err)
	}
}

// revision resolves a reference in the mirror; "" when there is none of that name.
func (r *repository) revision(ctx context.Context, ref string) (string, error) {
	out, err := r.inMirror(ctx, "rev-list", "--max-count", "1", ref, "--")
	if err != nil {
		if strings.Contains(err.Error(), "bad revision") || strings.Contains(err.Error(), "unknown revision") {
			return "", nil
		}
		return "", err
	}
	return strings.TrimSpace(out), nil
}

// commit is one line of the log.
type commit struct {
	revision string
	// signature is git's one-letter verdict; G is good.
	signature string
	message   string
}

// commits lists those of a range that touch the paths, newest first.
func (r *repository) commits(ctx context.Context, span string, firstParent bool, paths []string) ([]commit, error) {
	args := []string{"log", "--pretty=format:%G?|%H|%s"}
	if firstParent {
		args = append(args, "--first-parent")
	}
	args = append(append(args, span, "--"), paths...)
	out, err := r.inMirror(ctx, args...)
	if err != nil {
		return nil, err
	}
	var list []commit
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if parts := strings.SplitN(line, "|", 3); len(parts) == 3 {
			list = append(list, commit{signature: parts[0], revision: parts[1], message: parts[2]})
		}
	}
	return list, nil
}

// export checks a revision out into a directory of its own, which the caller
// removes.
func (r *repository) export(ctx context.Context, revision string) (string, error) {
	dir, err := r.clone(ctx)
	if err != nil {
		return "", err
	}
	if _, err := r.git(ctx, dir, "checkout", revision, "--"); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// clone makes a working clone of the mirror.
func (r *repository) clone(ctx context.Context, args ...string) (string, error) {
	if err := r.ready(); err != nil {
		return "", err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	dir, err := os.MkdirTemp(r.workDir, "flux-working")
	if err != nil {
		return "", err
	}
	if _, err := r.git(ctx, dir, append(append([]string{"clone"}, args...), r.dir, dir)...); err != nil {
		return "", errors.Join(fmt.Errorf("git clone: %w", err), os.RemoveAll(dir))
	}
	return dir, nil
}

// pushTag moves an annotated tag to a revision and force-pushes it.
func (r *repository) pushTag(ctx context.Context, set *settings, tag, revision string) error {
	dir, err := r.clone(ctx, "--branch", r.branch)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for key, value := range map[string]string{"user.name": set.gitUser, "user.email": set.gitEmail} {
		if _, err := r.git(ctx, dir, "config", key, value); err != nil {
			return err
		}
	}
	args := []string{"tag", "--force", "-a", "-m", "Sync pointer"}
	if set.gitSigningKey != "" {
		args = append(args, "--local-user="+set.gitSigningKey)
	}
	if _, err := r.git(ctx, dir, append(args, tag, revision)...); err != nil {
		return fmt.Errorf("moving tag %s: %w", tag, err)
	}
	if _, err := r.git(ctx, dir, "push", "--force", r.url, "tag", tag); err != nil {
		return fmt.Errorf("pushing tag to origin: %w", err)
	}
	return nil
}

// inMirror runs git in the mirror.
func (r *repository) inMirror(ctx context.Context, args ...string) (string, error) {
	if err := r.ready(); err != nil {
		return "", err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.git(ctx, r.dir, args...)
}

// git runs git in dir and returns its output. Neither output nor error holds
// the URL's password.
func (r *repository) git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = r.env
	cmd.WaitDelay = time.Second
	var stdout, all bytes.Buffer
	cmd.Stdout = &stdout
	cmd.Stderr = &all
	dieWithParent(cmd)
	err := cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("running git command: git %s: %w", r.hide(strings.Join(args, " ")), ctx.Err())
	}
	full := strings.TrimSpace(all.String() + stdout.String())
	if full == "" {
		return "", fmt.Errorf("running git command: git %s: %w", r.hide(strings.Join(args, " ")), err)
	}
	for _, line := range strings.Split(full, "\n") {
		if strings.HasPrefix(line, "fatal: ") || strings.HasPrefix(line, "ERROR ") || strings.HasPrefix(line, "error: ") {
			return "", fmt.Errorf("%s, full output:\n %s", r.hide(line), r.hide(full))
		}
	}
	return "", errors.New(r.hide(full))
}

// importKeys gives GPG keys, or the files of a directory, to gpg, and trusts
// them if told so.
func importKeys(ctx context.Context, path string, env []string, trust bool) error {
	files, err := keyFiles(path)
	if err != nil {
		return err
	}
	for _, file := range files {
		cmd := exec.CommandContext(ctx, "gpg", "--batch", "--import", file)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("import %s: %w: %s", filepath.Base(file), err, bytes.TrimSpace(out))
		}
	}
	if !trust {
		return nil
	}
	list := exec.CommandContext(ctx, "gpg", "--batch", "--with-colons", "--list-keys", "--fingerprint")
	list.Env = env
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list imported keys: %w", err)
	}
	var trusted bytes.Buffer
	for _, line := range strings.Split(string(out), "\n") {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" && len(fields) > 9 {
			fmt.Fprintf(&trusted, "%s:6:\n", fields[9])
		}
	}
	give := exec.CommandContext(ctx, "gpg", "--batch", "--import-ownertrust")
	give.Env = env
	give.Stdin = &trusted
	if out, err := give.CombinedOutput(); err != nil {
		return fmt.Errorf("trust imported keys: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
