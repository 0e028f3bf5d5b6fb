package flux1

import (
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// FlagType is how a flag's value is read.
type FlagType string

const (
	TypeString   FlagType = "string"
	TypeBool     FlagType = "bool"
	TypeDuration FlagType = "duration"
	TypeInt      FlagType = "int"
	TypeUint     FlagType = "uint"
	TypeFloat    FlagType = "float"
	// TypeList splits on commas with CSV quoting; the first occurrence
	// replaces the default, later ones append.
	TypeList FlagType = "list"
)

// Flag is one flag of fluxd and what becomes of it.
type Flag struct {
	Name, Short string
	Type        FlagType
	// Default is the daemon's, as written on a command line.
	Default string
	// Chart is the chart value that renders it; empty if only additionalArgs
	// can.
	Chart string
	// Fate, To and Why say what becomes of a value that was given. For flags
	// whose fate hangs on their value, this is the common case; see fateOf.
	Fate migrate.Fate
	To   string
	Why  string
	// Secret values are never shown.
	Secret bool
}

// Reasons that many flags share.
const (
	whyV1Only     = "concerns only how fluxd itself runs"
	whyImages     = "image automation is not carried over"
	whyCommits    = "Flux v2's sources make no commits; only image automation did"
	whyCache      = "the image cache goes with fluxd"
	whyKeygen     = "the key is copied, not made again"
	whyNoListing  = "Flux v2 does not list every kind of the cluster"
	whyVisibility = "the rights of the agent's account are carried over instead"
)

// Flags is fluxd's flag set, sorted as fluxd defines it (flux:
// cmd/fluxd/main.go; chart: chart/flux/templates/deployment.yaml,
// chart/flux/values.yaml at 1.13.3).
var Flags = []Flag{
	{Name: "log-format", Type: TypeString, Default: "fmt", Chart: "logFormat", Fate: migrate.Dropped, Why: whyV1Only},
	{Name: "listen", Short: "l", Type: TypeString, Default: ":3030", Fate: migrate.Dropped, Why: whyV1Only},
	{Name: "listen-metrics", Type: TypeString, Fate: migrate.Dropped, Why: whyV1Only},
	{Name: "kubernetes-kubectl", Type: TypeString, Fate: migrate.Dropped, Why: whyV1Only},
	{Name: "version", Type: TypeBool, Default: "false", Fate: migrate.Dropped, Why: whyV1Only},

	{Name: "git-url", Type: TypeString, Chart: "git.url", Fate: migrate.Carried, To: "GitRepository.spec.url"},
	{Name: "git-branch", Type: TypeString, Default: "master", Chart: "git.branch", Fate: migrate.Carried, To: "GitRepository.spec.ref.branch"},
	{Name: "git-path", Type: TypeList, Chart: "git.path", Fate: migrate.Carried, To: "Kustomization.spec.path"},
	{Name: "git-readonly", Type: TypeBool, Default: "false", Chart: "git.readonly", Fate: migrate.Dropped, Why: "a GitRepository only ever reads"},
	{Name: "git-user", Type: TypeString, Default: "Weave Flux", Chart: "git.user", Fate: migrate.Dropped, Why: whyCommits},
	{Name: "git-email", Type: TypeString, Default: "support@weave.works", Chart: "git.email", Fate: migrate.Dropped, Why: whyCommits},
	{Name: "git-set-author", Type: TypeBool, Default: "false", Chart: "git.setAuthor", Fate: migrate.Dropped, Why: whyCommits},
	{Name: "git-label", Type: TypeString, Chart: "git.label", Fate: migrate.Dropped, Why: "names the sync mark, which Flux v2 keeps in its status; the tag is read to find what was synced last"},
	{Name: "git-secret", Type: TypeBool, Default: "false", Chart: "git.secret.enabled", Fate: migrate.Dropped, Why: "off"},
	{Name: "sops", Type: TypeBool, Default: "false", Chart: "sops.enabled", Fate: migrate.Dropped, Why: "off"},
	{Name: "git-sync-tag", Type: TypeString, Default: "flux-sync", Fate: migrate.Dropped, Why: "names the sync mark, which Flux v2 keeps in its status; the tag is read to find what was synced last"},
	{Name: "git-notes-ref", Type: TypeString, Default: "flux", Fate: migrate.Dropped, Why: whyCommits},
	{Name: "git-ci-skip", Type: TypeBool, Default: "false", Chart: "git.ciSkip", Fate: migrate.Dropped, Why: whyCommits},
	{Name: "git-ci-skip-message", Type: TypeString, Fate: migrate.Dropped, Why: whyCommits},
	{Name: "git-poll-interval", Type: TypeDuration, Default: "5m0s", Chart: "git.pollInterval", Fate: migrate.Carried, To: "GitRepository.spec.interval"},
	{Name: "git-timeout", Type: TypeDuration, Default: "20s", Chart: "git.timeout", Fate: migrate.Carried, To: "GitRepository.spec.timeout"},
	{Name: "git-gpg-key-import", Type: TypeList, Chart: "gpgKeys", Fate: migrate.Dropped, Why: "keys are used for signatures, SOPS and git-secret, which have findings of their own"},
	{Name: "git-signing-key", Type: TypeString, Chart: "git.signingKey", Fate: migrate.Dropped, Why: whyCommits},
	{Name: "git-verify-signatures", Type: TypeBool, Default: "false", Chart: "git.verifySignatures", Fate: migrate.Dropped, Why: "off"},
	{Name: "git-verify-signatures-mode", Type: TypeString, Chart: "git.verifySignaturesMode", Fate: migrate.Dropped, Why: "off"},

	{Name: "sync-interval", Type: TypeDuration, Default: "5m0s", Chart: "sync.interval", Fate: migrate.Carried, To: "Kustomization.spec.interval"},
	{Name: "sync-timeout", Type: TypeDuration, Default: "1m0s", Chart: "sync.timeout", Fate: migrate.Carried, To: "Kustomization.spec.timeout"},
	{Name: "sync-garbage-collection", Type: TypeBool, Default: "false", Chart: "syncGarbageCollection.enabled", Fate: migrate.Carried, To: "Kustomization.spec.prune"},
	{Name: "sync-garbage-collection-dry", Type: TypeBool, Default: "false", Chart: "syncGarbageCollection.dry", Fate: migrate.Carried, To: "Kustomization.spec.prune", Why: "dry collection deletes nothing, so prune is off"},
	{Name: "sync-state", Type: TypeString, Default: "git", Chart: "sync.state", Fate: migrate.Dropped, Why: "Flux v2 keeps what it synced in its status"},

	{Name: "memcached-hostname", Type: TypeString, Default: "memcached", Chart: "memcached.hostnameOverride", Fate: migrate.Dropped, Why: whyCache},
	{Name: "memcached-port", Type: TypeInt, Default: "11211", Fate: migrate.Dropped, Why: whyCache},
	{Name: "memcached-timeout", Type: TypeDuration, Default: "1s", Fate: migrate.Dropped, Why: whyCache},
	{Name: "memcached-service", Type: TypeString, Default: "memcached", Chart: "memcached.createClusterIP", Fate: migrate.Dropped, Why: whyCache},
	{Name: "registry-disable-scanning", Type: TypeBool, Default: "false", Chart: "registry.disableScanning", Fate: migrate.Dropped, Why: whyImages},
	{Name: "automation-interval", Type: TypeDuration, Default: "5m0s", Chart: "registry.automationInterval", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-poll-interval", Type: TypeDuration, Default: "5m0s", Chart: "registry.pollInterval", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-rps", Type: TypeFloat, Default: "50", Chart: "registry.rps", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-burst", Type: TypeInt, Default: "10", Chart: "registry.burst", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-trace", Type: TypeBool, Default: "false", Chart: "registry.trace", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-insecure-host", Type: TypeList, Chart: "registry.insecureHosts", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-exclude-image", Type: TypeList, Default: "k8s.gcr.io/*", Chart: "registry.excludeImage", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-include-image", Type: TypeList, Chart: "registry.includeImage", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-use-labels", Type: TypeList, Default: "index.docker.io/weaveworks/*,index.docker.io/fluxcd/*", Chart: "registry.useTimestampLabels", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-ecr-region", Type: TypeList, Chart: "registry.ecr.region", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-ecr-include-id", Type: TypeList, Chart: "registry.ecr.includeId", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-ecr-exclude-id", Type: TypeList, Default: "602401143452,918309763551", Chart: "registry.ecr.excludeId", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-require", Type: TypeList, Chart: "registry.ecr.require", Fate: migrate.Dropped, Why: whyImages},
	{Name: "registry-cache-expiry", Type: TypeDuration, Default: "0s", Chart: "registry.cacheExpiry", Fate: migrate.Dropped, Why: "has had no effect for long"},
	{Name: "docker-config", Type: TypeString, Chart: "registry.dockercfg.configFileName", Fate: migrate.Dropped, Why: whyImages},

	{Name: "k8s-in-cluster", Type: TypeBool, Default: "true", Fate: migrate.Dropped, Why: "has no effect since 1.18; where the agent may write to another cluster, a finding says so"},
	{Name: "k8s-secret-name", Type: TypeString, Default: "flux-git-deploy", Chart: "git.secretName", Fate: migrate.Carried, To: "GitRepository.spec.secretRef", Why: "a copy, in the shape that Flux v2 reads"},
	{Name: "k8s-secret-volume-mount-path", Type: TypeString, Default: "/etc/fluxd/ssh", Fate: migrate.Dropped, Why: whyV1Only},
	{Name: "k8s-secret-data-key", Type: TypeString, Default: "identity", Chart: "git.secretDataKey", Fate: migrate.Carried, To: "GitRepository.spec.secretRef", Why: "the key that is copied"},
	{Name: "k8s-namespace-whitelist", Type: TypeList, Fate: migrate.Carried, To: "Kustomization.spec.serviceAccountName", Why: whyVisibility},
	{Name: "k8s-allow-namespace", Type: TypeList, Chart: "allowedNamespaces", Fate: migrate.Carried, To: "Kustomization.spec.serviceAccountName", Why: whyVisibility},
	{Name: "k8s-default-namespace", Type: TypeString, Chart: "defaultNamespace", Fate: migrate.Carried, To: "the namespaces of the objects that name none"},
	{Name: "k8s-unsafe-exclude-resource", Type: TypeList, Default: "*metrics.k8s.io/*,webhook.certmanager.k8s.io/*,v1/Event", Fate: migrate.Dropped, Why: whyNoListing},
	{Name: "k8s-verbosity", Type: TypeInt, Default: "0", Fate: migrate.Dropped, Why: whyV1Only},
	{Name: "kube-config", Type: TypeString, Fate: migrate.Dropped, Why: "the new agent writes to the cluster that it runs in; where this one may write to another, a finding says so"},

	{Name: "ssh-keygen-bits", Type: TypeUint, Default: "0", Fate: migrate.Dropped, Why: whyKeygen},
	{Name: "ssh-keygen-type", Type: TypeString, Fate: migrate.Dropped, Why: whyKeygen},
	{Name: "ssh-keygen-format", Type: TypeString, Chart: "ssh.keygen.format", Fate: migrate.Dropped, Why: whyKeygen},
	{Name: "ssh-keygen-dir", Type: TypeString, Fate: migrate.Dropped, Why: whyKeygen},

	{Name: "manifest-generation", Type: TypeBool, Default: "false", Chart: "manifestGeneration", Fate: migrate.Dropped, Why: "off"},

	{Name: "connect", Type: TypeString, Chart: "token", Fate: migrate.Dropped, Why: "Flux v2 reports through Providers and Alerts, which a finding names"},
	{Name: "token", Type: TypeString, Chart: "token", Fate: migrate.Dropped, Why: "belongs to --connect", Secret: true},
	{Name: "rpc-timeout", Type: TypeDuration, Default: "10s", Fate: migrate.Dropped, Why: "belongs to --connect"},
}

// FlagNamed returns the flag of that name, or nil.
func FlagNamed(name string) *Flag {
	for i := range Flags {
		if Flags[i].Name == name {
			return &Flags[i]
		}
	}
	return nil
}

// fateOf gives what becomes of a flag, given what all of them came to.
func fateOf(f *Flag, c *Config) (fate migrate.Fate, to, why string) {
	fate, to, why = f.Fate, f.To, f.Why
	switch f.Name {
	case "git-secret":
		if c.GitSecret {
			return migrate.Blocks, "", GitSecret.Consequence
		}
	case "sops":
		if c.SOPS {
			return migrate.Carried, "Kustomization.spec.decryption", "for files that are found encrypted, which have a finding of their own"
		}
	case "manifest-generation":
		if c.ManifestGeneration {
			return migrate.Carried, "Kustomization.spec.path and spec.patches", "paths under a .flux.yaml have a finding of their own"
		}
	case "git-verify-signatures", "git-verify-signatures-mode":
		switch c.VerifySignatures {
		case "none":
		case "":
			return migrate.Unknown, migrate.ByFinding, "whether signatures are verified hangs on another flag, which is unknown"
		default:
			// The finding holds back until a person accepts it, and nothing else does.
			return migrate.Dropped, "", VerifySignatures.Consequence + ", which a finding asks about"
		}
	case "git-url":
		if c.URL == "" {
			return migrate.Blocks, "", NoURL.Consequence
		}
		if _, _, err := FluxV2URL(string(c.URL)); err != nil {
			return migrate.Blocks, "", UnsupportedURL.Consequence
		}
	case "git-path":
		for _, p := range c.Paths {
			if strings.HasPrefix(p, "/") {
				return migrate.Blocks, "", PathAbsolute.Consequence
			}
			if listAsText(p) {
				return migrate.Blocks, "", PathList.Consequence
			}
			if !inside(p) {
				return migrate.Blocks, "", PathOutside.Consequence
			}
		}
	case "sync-garbage-collection":
		if c.GarbageCollection == migrate.CollectDry {
			return fate, to, "overridden by --sync-garbage-collection-dry, so prune is off"
		}
	case "k8s-secret-name", "k8s-secret-data-key":
		if c.HTTP() {
			return migrate.Dropped, "", "the URL is HTTP, so no SSH key is used"
		}
	}
	return fate, to, why
}
