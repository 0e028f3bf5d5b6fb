package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// fingerprint is one hash of a public key with its picture, as the API prints it.
type fingerprint struct {
	Hash      string `json:"hash"`
	Randomart string `json:"randomart"`
}

// publicKey is the answer of the API's identity.pub.
type publicKey struct {
	Key          string                 `json:"key"`
	Fingerprints map[string]fingerprint `json:"fingerprints"`
}

// keyring holds the deploy key: from the mounted Secret, or generated and
// written into that Secret (reference 6.1). A nil keyring knows no key.
type keyring struct {
	set       *settings
	secrets   dynamic.ResourceInterface
	mount     string // where the Secret is mounted
	keygenDir string
	mu        sync.Mutex
	public    publicKey
	private   string // path
}

// newKeyring takes the key from the mounted Secret, or makes one.
func newKeyring(ctx context.Context, set *settings, root podRoot, secrets dynamic.ResourceInterface) (*keyring, error) {
	k := &keyring{set: set, secrets: secrets, mount: mountOfKey(set, root), keygenDir: set.sshKeygenDir}
	if k.keygenDir == "" {
		k.keygenDir = k.mount
	}
	mounted := filepath.Join(k.mount, set.secretDataKey)
	if !isFile(mounted) {
		return k, k.regenerate(ctx)
	}
	public, err := describeKey(ctx, mounted)
	if err != nil {
		return nil, fmt.Errorf("read deploy key %s: %w", mounted, err)
	}
	k.public, k.private = public, mounted
	return k, nil
}

// mountOfKey is where the deploy key's Secret is mounted. A path given by flag
// has been rewritten by whoever plays the kubelet.
func mountOfKey(set *settings, root podRoot) string {
	if set.explicit["k8s-secret-volume-mount-path"] {
		return set.secretVolumeMountPath
	}
	return root.path(set.secretVolumeMountPath)
}

func (k *keyring) current() publicKey {
	if k == nil {
		return publicKey{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.public
}

var secretResource = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// regenerate makes a new key and writes it into the Secret as identity and
// identity.pub, whatever the configured data key.
func (k *keyring) regenerate(ctx context.Context) error {
	if k == nil {
		return nil
	}
	dir, err := os.MkdirTemp(k.keygenDir, "..weave-keygen")
	if err != nil {
		return fmt.Errorf("make deploy key: %w", err)
	}
	file := filepath.Join(dir, "identity")
	if err := makeKey(ctx, k.set, file); err != nil {
		return fmt.Errorf("make deploy key: %w", err)
	}
	private, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	public, err := describeKey(ctx, file)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]string{
		"identity":     base64.StdEncoding.EncodeToString(private),
		"identity.pub": base64.StdEncoding.EncodeToString([]byte(public.Key)),
	}})
	if err != nil {
		return err
	}
	if _, err := k.secrets.Patch(ctx, k.set.secretName, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("write deploy key into Secret %s: %w", k.set.secretName, err)
	}
	// Until the kubelet has brought the Secret's new content here, ssh reads the
	// copy below the keygen directory.
	link := filepath.Join(k.keygenDir, k.set.secretDataKey)
	if err := os.Symlink(file, link+".tmp"); err != nil {
		return err
	}
	if err := os.Rename(link+".tmp", link); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.public, k.private = public, link
	return nil
}

// makeKey runs ssh-keygen, or makes an ed25519 key where there is none.
func makeKey(ctx context.Context, set *settings, file string) error {
	tool, err := exec.LookPath("ssh-keygen")
	if err != nil {
		return makeKeyWithoutTool(file)
	}
	args := []string{"-q", "-N", "", "-f", file}
	if set.sshKeygenBits > 0 {
		args = append(args, "-b", strconv.FormatUint(uint64(set.sshKeygenBits), 10))
	}
	if set.sshKeygenType != "" {
		args = append(args, "-t", set.sshKeygenType)
	}
	if set.sshKeygenFormat != "" {
		args = append(args, "-m", set.sshKeygenFormat)
	}
	if out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-keygen: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func makeKeyWithoutTool(file string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
}

// describeKey reads the public half and the fingerprints of a private key.
func describeKey(ctx context.Context, file string) (publicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return publicKey{}, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return publicKey{}, errors.New("not a private key without a passphrase")
	}
	key := publicKey{
		Key: string(ssh.MarshalAuthorizedKey(signer.PublicKey())),
		Fingerprints: map[string]fingerprint{
			"md5":    {Hash: ssh.FingerprintLegacyMD5(signer.PublicKey())},
			"sha256": {Hash: strings.TrimPrefix(ssh.FingerprintSHA256(signer.PublicKey()), "SHA256:")},
		},
	}
	tool, err := exec.LookPath("ssh-keygen")
	if err != nil {
		return key, nil
	}
	for algorithm, hashed := range key.Fingerprints {
		out, err := exec.CommandContext(ctx, tool, "-l", "-v", "-E", algorithm, "-f", file).Output()
		if err != nil {
			continue // the picture is decoration
		}
		if _, art, ok := strings.Cut(string(out), "\n"); ok {
			hashed.Randomart = art
			key.Fingerprints[algorithm] = hashed
		}
	}
	return key, nil
}

// sshCommand is what git runs for SSH: strict host keys, the image's two places
// of the key, the pod's known_hosts.
func sshCommand(set *settings, root podRoot) string {
	identities := []string{filepath.Join(mountOfKey(set, root), "identity"), filepath.Join(root.path(keygenMount), "identity")}
	if set.sshKeygenDir != "" {
		identities = append(identities, filepath.Join(set.sshKeygenDir, "identity"))
	}
	args := []string{"ssh", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "LogLevel=error"}
	if root != "" {
		config := "/dev/null"
		if own := root.path(sshConfigInImage); isFile(own) {
			config = own
		}
		args = append(args, "-F", config, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
			"-o", "GlobalKnownHostsFile=/dev/null", "-o", "UserKnownHostsFile="+root.path(knownHostsInImage))
	}
	for _, identity := range identities {
		args = append(args, "-i", identity)
	}
	for i, arg := range args {
		args[i] = shellQuote(arg)
	}
	return strings.Join(args, " ")
}

func shellQuote(s string) string {
	if !strings.ContainsAny(s, " \t\n'\"\\$`;&|<>()*?[]#~") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// ageKeyFile is where sops looks for age keys if nothing names another file,
// below the home directory (sops: age/keysource.go).
const ageKeyFile = ".config/sops/age/keys.txt"

// decryptionKeys gives the private keys that sops finds: the PGP keys of the files
// that are imported, and the age keys of the environment. They are read anew for
// each load, which fluxd does with age keys alone: gpg keeps what it imported.
func decryptionKeys(set *settings, root podRoot) func() ([]string, error) {
	return func() ([]string, error) {
		var keys []string
		for _, path := range set.gitGPGKeyImport {
			files, err := keyFiles(path)
			if err != nil {
				continue // the import has said so
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					return nil, err
				}
				if bytes.Contains(text, []byte("PGP PRIVATE KEY")) {
					keys = append(keys, string(text))
				}
			}
		}
		// The first that is set counts alone (sops 3.7: age/keysource.go).
		if text, set := os.LookupEnv("SOPS_AGE_KEY"); set {
			return append(keys, text), nil
		}
		file := filepath.Join(root.home(), ageKeyFile)
		if named, set := os.LookupEnv("SOPS_AGE_KEY_FILE"); set {
			file = root.path(named)
		}
		text, err := os.ReadFile(file)
		if err == nil {
			keys = append(keys, string(text))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return keys, nil
	}
}

// keyFiles are a file of keys, or the files of a folder of such.
func keyFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if file := filepath.Join(path, entry.Name()); isFile(file) {
			files = append(files, file)
		}
	}
	return files, nil
}
