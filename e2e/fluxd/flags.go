package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// version is what the stand-in calls itself where fluxd prints its version.
const version = "1.25.4-stand-in"

var errHelp = errors.New("help was asked for")

// settings are the flags that have an effect here, with fluxd's meaning and
// defaults (reference 1.3).
type settings struct {
	showVersion bool
	logFormat   string

	listen, listenMetrics string

	gitURL, gitBranch        string
	gitPaths                 []string
	gitUser, gitEmail        string
	gitPollInterval          time.Duration
	gitTimeout               time.Duration
	gitReadonly              bool
	gitSyncTag, gitLabel     string
	gitSecret                bool
	gitSigningKey            string
	gitGPGKeyImport          []string
	verifySignatures         bool
	verifySignaturesMode     string
	syncInterval             time.Duration
	syncTimeout              time.Duration
	syncState                string
	garbageCollection        bool
	garbageCollectionDry     bool
	manifestGeneration, sops bool

	kubectl                 string
	kubeConfig              string
	allowNamespaces         []string
	namespaceWhitelist      []string
	defaultNamespace        string
	excludeResources        []string
	secretName              string
	secretDataKey           string
	secretVolumeMountPath   string
	sshKeygenDir            string
	sshKeygenBits           uint
	sshKeygenType           string
	sshKeygenFormat         string
	registryDisableScanning bool

	// explicit tells which flags stood on the command line.
	explicit map[string]bool
}

func flagSet(s *settings) *pflag.FlagSet {
	fs := pflag.NewFlagSet("fluxd", pflag.ContinueOnError)
	fs.SortFlags = true
	fs.Usage = func() {}

	fs.BoolVar(&s.showVersion, "version", false, "Get version number")
	fs.StringVar(&s.logFormat, "log-format", "fmt", "Log format: fmt or json")
	fs.StringVarP(&s.listen, "listen", "l", ":3030", "Address of the API and of /metrics")
	fs.StringVar(&s.listenMetrics, "listen-metrics", "", "Separate address of /metrics")

	fs.StringVar(&s.gitURL, "git-url", "", "URL of the Git repository")
	fs.StringVar(&s.gitBranch, "git-branch", "master", "Branch to sync")
	fs.StringSliceVar(&s.gitPaths, "git-path", nil, "Relative paths to sync; none is the whole repository")
	fs.StringVar(&s.gitUser, "git-user", "Weave Flux", "Committer's name")
	fs.StringVar(&s.gitEmail, "git-email", "support@weave.works", "Committer's address")
	fs.DurationVar(&s.gitPollInterval, "git-poll-interval", 5*time.Minute, "Period of fetching")
	fs.DurationVar(&s.gitTimeout, "git-timeout", 20*time.Second, "Limit of one Git operation")
	fs.BoolVar(&s.gitReadonly, "git-readonly", false, "Never push; implies --sync-state=secret")
	fs.StringVar(&s.gitSyncTag, "git-sync-tag", "flux-sync", "Tag that marks the commit last synced")
	fs.StringVar(&s.gitLabel, "git-label", "", "Overrides --git-sync-tag and --git-notes-ref")
	fs.BoolVar(&s.gitSecret, "git-secret", false, "Run git secret in each checkout")
	fs.StringVar(&s.gitSigningKey, "git-signing-key", "", "Sign the sync tag with this GPG key")
	fs.StringSliceVar(&s.gitGPGKeyImport, "git-gpg-key-import", nil, "Files or directories of GPG keys to import")
	fs.BoolVar(&s.verifySignatures, "git-verify-signatures", false, "Same as --git-verify-signatures-mode=all")
	fs.StringVar(&s.verifySignaturesMode, "git-verify-signatures-mode", "", "none, all or first-parent")

	fs.DurationVar(&s.syncInterval, "sync-interval", 5*time.Minute, "Apply at least this often")
	fs.DurationVar(&s.syncTimeout, "sync-timeout", time.Minute, "Limit of one sync")
	fs.StringVar(&s.syncState, "sync-state", "git", "Where the commit last synced is kept: git or secret")
	fs.BoolVar(&s.garbageCollection, "sync-garbage-collection", false, "Delete marked objects that left Git")
	fs.BoolVar(&s.garbageCollectionDry, "sync-garbage-collection-dry", false, "Only log what would be deleted")
	fs.BoolVar(&s.manifestGeneration, "manifest-generation", false, "Honour .flux.yaml")
	fs.BoolVar(&s.sops, "sops", false, "Decrypt manifest files with sops")

	fs.StringVar(&s.kubectl, "kubernetes-kubectl", "", "Path of kubectl")
	fs.StringVar(&s.kubeConfig, "kube-config", "", "Path of a kubeconfig, used outside a cluster")
	fs.StringSliceVar(&s.allowNamespaces, "k8s-allow-namespace", nil, "The only namespaces to act in")
	fs.StringSliceVar(&s.namespaceWhitelist, "k8s-namespace-whitelist", nil, "Old name of --k8s-allow-namespace")
	fs.StringVar(&s.defaultNamespace, "k8s-default-namespace", "", "Namespace of manifests that name none")
	fs.StringSliceVar(&s.excludeResources, "k8s-unsafe-exclude-resource",
		[]string{"*metrics.k8s.io/*", "webhook.certmanager.k8s.io/*", "v1/Event"}, "Kinds never listed, as globs of group/version/kind")
	fs.StringVar(&s.secretName, "k8s-secret-name", "flux-git-deploy", "Secret with the deploy key")
	fs.StringVar(&s.secretDataKey, "k8s-secret-data-key", "identity", "Data key of the deploy key")
	fs.StringVar(&s.secretVolumeMountPath, "k8s-secret-volume-mount-path", "/etc/fluxd/ssh", "Where that Secret is mounted")
	fs.StringVar(&s.sshKeygenDir, "ssh-keygen-dir", "", "Where a new key is made")
	fs.UintVar(&s.sshKeygenBits, "ssh-keygen-bits", 0, "ssh-keygen -b")
	fs.StringVar(&s.sshKeygenType, "ssh-keygen-type", "", "ssh-keygen -t")
	fs.StringVar(&s.sshKeygenFormat, "ssh-keygen-format", "", "ssh-keygen -m (default RFC4716)")
	fs.BoolVar(&s.registryDisableScanning, "registry-disable-scanning", false, "Scan no image registry (never done here)")

	addFlagsWithoutEffect(fs)
	return fs
}

// addFlagsWithoutEffect declares fluxd's remaining flags: images, upstream
// service, notes and deprecated names. Their values are checked for type only.
func addFlagsWithoutEffect(fs *pflag.FlagSet) {
	for name, value := range map[string]string{
		"connect": "", "token": "", "docker-config": "",
		"git-notes-ref": "flux", "git-ci-skip-message": "",
		"memcached-hostname": "memcached", "memcached-service": "memcached",
	} {
		fs.String(name, value, "No effect here")
	}
	for name, value := range map[string]time.Duration{
		"automation-interval": 5 * time.Minute, "registry-poll-interval": 5 * time.Minute,
		"memcached-timeout": time.Second, "rpc-timeout": 10 * time.Second,
		"registry-cache-expiry": 0,
	} {
		fs.Duration(name, value, "No effect here")
	}
	for _, name := range []string{"git-ci-skip", "git-set-author", "registry-trace"} {
		fs.Bool(name, false, "No effect here")
	}
	fs.Bool("k8s-in-cluster", true, "No effect")
	for name, value := range map[string]int{"memcached-port": 11211, "registry-burst": 10, "k8s-verbosity": 0} {
		fs.Int(name, value, "No effect here")
	}
	fs.Float64("registry-rps", 50, "No effect here")
	for name, value := range map[string][]string{
		"registry-exclude-image": {"k8s.gcr.io/*"}, "registry-include-image": nil,
		"registry-use-labels": {"index.docker.io/weaveworks/*", "index.docker.io/fluxcd/*"},
		"registry-require":    nil, "registry-insecure-host": nil, "registry-ecr-region": nil,
		"registry-ecr-include-id": nil, "registry-ecr-exclude-id": {"602401143452", "918309763551"},
	} {
		fs.StringSlice(name, value, "No effect here")
	}
}

func usage() string {
	return "DESCRIPTION\n  fluxd is the agent of flux (stand-in for tests).\n\nFLAGS\n" + flagSet(&settings{}).FlagUsages()
}

// parseFlags reads a command line as pflag does: --x=v, --x v, bare booleans,
// the last scalar wins, list flags split like CSV and append. It prints the
// usage and returns errHelp on --help.
func parseFlags(args []string, stderr io.Writer) (*settings, error) {
	s := &settings{explicit: map[string]bool{}}
	fs := flagSet(s)
	err := fs.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprint(stderr, usage())
		return nil, errHelp
	}
	if err != nil {
		return nil, err
	}
	fs.Visit(func(f *pflag.Flag) { s.explicit[f.Name] = true })
	return s, nil
}

// check reports settings that fluxd refuses at start-up, and fills in those
// that follow from others.
func (s *settings) check() error {
	for _, p := range s.gitPaths {
		if strings.HasPrefix(p, "/") {
			return errors.New("subdirectory given as --git-path should not have leading forward slash")
		}
	}
	switch s.syncState {
	case "git", "secret":
	default:
		return fmt.Errorf("unknown sync state mode %q: give git or secret", s.syncState)
	}
	if s.gitReadonly {
		s.syncState = "secret"
	}
	if s.gitLabel != "" {
		s.gitSyncTag = s.gitLabel
	}
	if s.verifySignaturesMode == "" {
		s.verifySignaturesMode = "none"
		if s.verifySignatures {
			s.verifySignaturesMode = "all"
		}
	}
	switch s.verifySignaturesMode {
	case "none", "all", "first-parent":
	default:
		return fmt.Errorf("unknown --git-verify-signatures-mode %q: give none, all or first-parent", s.verifySignaturesMode)
	}
	return nil
}

// sshKeyringDisabled tells whether fluxd leaves SSH keys alone for this URL.
func (s *settings) sshKeyringDisabled() bool {
	return strings.HasPrefix(s.gitURL, "http://") || strings.HasPrefix(s.gitURL, "https://")
}

// allowedNamespaces is the union of both flags; empty allows every namespace.
func (s *settings) allowedNamespaces() []string {
	return append(append([]string(nil), s.allowNamespaces...), s.namespaceWhitelist...)
}
