package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/e2e/gitserver"
	"golang.org/x/crypto/ssh"
)

// serve starts a Git server with one repository of one commit.
func (w *workshop) serve(repo string, files map[string][]byte) *gitserver.Server {
	w.t.Helper()
	server, err := gitserver.Start(w.t.Context(), gitserver.Options{Dir: w.t.TempDir()})
	w.must(err)
	w.t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			w.t.Error(err)
		}
	})
	w.must(server.CreateRepo(w.t.Context(), repo, "main"))
	revision, err := server.Commit(w.t.Context(), repo, "main", "first", files)
	w.must(err)
	w.commits = []string{revision}
	return server
}

func TestPodSyncsOverSSHWithItsDeployKeyAndKnownHosts(t *testing.T) {
	if os.Getenv("FLUXD") != "" {
		t.Skip("the real fluxd reads the ssh_config of its image, which is not here")
	}
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("needs ssh on PATH")
	}
	w := newWorkshop(t, "ssh")
	pod := w.enterPod("flux-ssh")
	server := w.serve("team", map[string][]byte{"a.yaml": []byte(configMap("flux-ssh", "a"))})
	public, private, err := ed25519.GenerateKey(rand.Reader)
	w.must(err)
	block, err := ssh.MarshalPrivateKey(private, "")
	w.must(err)
	w.must(os.WriteFile(filepath.Join(pod.root, "etc/fluxd/ssh/identity"), pem.EncodeToMemory(block), 0o600))
	key, err := ssh.NewPublicKey(public)
	w.must(err)
	w.must(server.AllowKey("team", key, true))
	knownHosts := filepath.Join(pod.root, knownHostsInImage)
	w.must(os.MkdirAll(filepath.Dir(knownHosts), 0o700))
	w.must(os.WriteFile(knownHosts, []byte(server.KnownHosts()), 0o600))

	w.url = server.SSHURL("team")
	w.startInPod(pod)
	w.succeededSyncs(1)
	if !w.exists("flux-ssh", "a") {
		t.Error("the object is missing")
	}
	if _, err := server.Tag(t.Context(), "team", "flux-sync"); err != nil {
		t.Errorf("the sync tag was not pushed: %v", err)
	}
	if err := w.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}

	w.must(os.WriteFile(knownHosts, nil, 0o600))
	w.startInPod(pod)
	w.waitFor("the unknown host key is refused", func() bool {
		return strings.Contains(w.get(t, "POST", "v9/git-repo-config", "false"), "Host key verification failed")
	})
}

func TestPasswordInTheURLIsUsedAndNeverShown(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "http")
	w.kubectl(namespaceManifest("over-http"), "create", "-f", "-")
	server := w.serve("team", map[string][]byte{"a.yaml": []byte(configMap("over-http", "a"))})
	w.must(server.AllowUser("team", "bot", "pass/word-1", true))
	withUser := strings.Replace(server.HTTPURL("team"), "://", "://bot:pass%2Fword-1@", 1)
	w.url = withUser
	w.start()
	w.succeededSyncs(1)
	if !w.exists("over-http", "a") {
		t.Error("the object is missing")
	}
	if err := w.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	shown := w.stderr.String()

	w.url = strings.Replace(withUser, "word-1", "word-2", 1)
	w.start()
	var config string
	w.waitFor("the wrong password is refused", func() bool {
		config = w.get(t, "POST", "v9/git-repo-config", "false")
		return strings.Contains(config, "Authentication failed")
	})
	if os.Getenv("FLUXD") != "" {
		return // whether the real one keeps a secret is not for this test to demand
	}
	if strings.Contains(shown+w.stderr.String()+config, "word-") {
		t.Errorf("the password is shown:\n%s%s\n%s", shown, w.stderr, config)
	}
}
