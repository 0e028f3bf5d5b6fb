package chart

// kind is the shape that the chart's templates expect of a value.
type kind string

const (
	text    kind = "text"
	boolean kind = "true or false"
	number  kind = "a number"
	list    kind = "a list"
	// free is copied into a manifest as it is.
	free kind = "a list or mapping"
)

// role says what a value that renders no argument is for, and so what becomes
// of it; see fates.
type role string

const (
	pod         role = "pod"
	names       role = "names"
	rights      role = "rights"
	allowed     role = "allowed"
	identity    role = "identity"
	additional  role = "additional"
	environment role = "environment"
	volumes     role = "volumes"
	sidecars    role = "sidecars"
	prepares    role = "prepares"
	resolving   role = "resolving"
	hostKeys    role = "hostKeys"
	sshConfig   role = "sshConfig"
	gitConfig   role = "gitConfig"
	keySecret   role = "keySecret"
	kubeconfig  role = "kubeconfig"
	registries  role = "registries"
	cache       role = "cache"
	metrics     role = "metrics"
	operator    role = "operator"
)

// chartKey is one value that some version of the chart reads.
type chartKey struct {
	// path with dots, as people write it.
	path string
	kind kind
	// flag of fluxd that it renders, alone or together with others; else role.
	flag string
	role role
	// since is the first version whose templates read it, until the first that
	// no longer do; zero means from the first version known and to the last.
	since, until version
	// defaults by the version that brought them, ascending; before the first
	// one the chart has none.
	defaults []chartDefault
}

type chartDefault struct {
	since version
	value any
}

type tree = map[string]any

// Defaults that are written often.
var (
	empty = tree{}
	none  = []any{}
)

// missing marks a default that a version took away.
type missing struct{}

var absent = missing{}

// defaultKubeconfig is the meaning of the chart's own kubeconfig: one context,
// current, whose namespace is "default" (flux: chart/flux/values.yaml).
const defaultKubeconfig = `{"apiVersion":"v1","kind":"Config","current-context":"default","contexts":[{"name":"default","context":{"namespace":"default"}}]}`

// from makes defaults of pairs: a version, the default it brought.
func from(pairs ...any) []chartDefault {
	var out []chartDefault
	for i := 0; i+1 < len(pairs); i += 2 {
		s, _ := pairs[i].(string)
		out = append(out, chartDefault{since: v(s), value: pairs[i+1]})
	}
	return out
}

// readBy reports whether a version's templates read the value.
func (k *chartKey) readBy(at version) bool {
	return !at.before(k.since) && (k.until == version{} || at.before(k.until))
}

// byDefault is the value that a version gives when the user gives none.
func (k *chartKey) byDefault(at version) (any, bool) {
	if (k.until != version{}) && !at.before(k.until) {
		return nil, false
	}
	for i := len(k.defaults) - 1; i >= 0; i-- {
		if !at.before(k.defaults[i].since) {
			_, gone := k.defaults[i].value.(missing)
			return k.defaults[i].value, !gone
		}
	}
	return nil, false
}

// keyNamed returns the key of that path, or nil.
func keyNamed(path string) *chartKey {
	for i := range keys {
		if keys[i].path == path {
			return &keys[i]
		}
	}
	return nil
}

// keys is every value that the templates of charts 0.5.0 to 1.13.3 read,
// sorted, with each version's default (flux: chart/flux/values.yaml and
// chart/flux/templates at the tags chart-0.5.0 to chart-1.13.3).
var keys = []chartKey{
	{path: "additionalArgs", kind: list, role: additional},
	{path: "affinity", kind: free, role: pod, defaults: from("0.5.0", empty)},
	{path: "allowedNamespaces", kind: list, role: allowed, since: v("1.1.0"), defaults: from("1.1.0", none)},
	{path: "annotations", kind: free, role: pod, since: v("0.6.3"), defaults: from("0.6.3", empty)},
	{path: "clusterRole.create", kind: boolean, role: rights, since: v("0.11.0"), defaults: from("0.11.0", true)},
	{path: "clusterRole.name", kind: text, role: rights, since: v("0.12.0"), defaults: from("0.12.0", nil)},
	{path: "dashboards.enabled", kind: boolean, role: metrics, since: v("1.4.0"), defaults: from("1.4.0", false)},
	{path: "dashboards.nameprefix", kind: text, role: metrics, since: v("1.5.0"), defaults: from("1.5.0", "dashboard")},
	{path: "dashboards.namespace", kind: text, role: metrics, since: v("1.5.0"), defaults: from("1.5.0", nil)},
	{path: "defaultNamespace", kind: text, flag: "k8s-default-namespace", since: v("1.9.0"), defaults: from("1.9.0", "")},
	{path: "dnsConfig", kind: free, role: resolving, since: v("0.10.0")},
	{path: "dnsPolicy", kind: text, role: resolving, since: v("0.10.0")},
	{path: "env.secretName", kind: text, role: environment, since: v("0.15.0"), defaults: from("0.15.0", "")},
	{path: "extraContainers", kind: free, role: sidecars, since: v("0.10.0"), defaults: from("0.10.0", none)},
	{path: "extraEnvs", kind: free, role: environment, defaults: from("0.5.0", none)},
	{path: "extraEnvsFrom", kind: free, role: environment, since: v("1.6.0"), defaults: from("1.6.0", none)},
	{path: "extraVolumeMounts", kind: free, role: volumes, since: v("0.9.0"), defaults: from("0.9.0", none)},
	{path: "extraVolumes", kind: free, role: volumes, since: v("0.9.0"), defaults: from("0.9.0", none)},
	{path: "fullnameOverride", kind: text, role: names},
	{path: "git.branch", kind: text, flag: "git-branch", defaults: from("0.5.0", "master")},
	{path: "git.ciSkip", kind: boolean, flag: "git-ci-skip", defaults: from("0.5.0", false)},
	{path: "git.config.data", kind: text, role: gitConfig, since: v("0.9.2"), defaults: from("0.9.2", "")},
	{path: "git.config.enabled", kind: boolean, role: gitConfig, since: v("0.9.2"), defaults: from("0.9.2", false)},
	{path: "git.config.secretName", kind: text, role: gitConfig, since: v("0.9.2"), defaults: from("0.9.2", "")},
	{path: "git.email", kind: text, flag: "git-email", defaults: from("0.5.0", "support@weave.works")},
	{path: "git.label", kind: text, flag: "git-label", defaults: from("0.5.0", nil)},
	{path: "git.path", kind: text, flag: "git-path", defaults: from("0.5.0", "")},
	{path: "git.pollInterval", kind: text, flag: "git-poll-interval", defaults: from("0.5.0", "5m")},
	{path: "git.readonly", kind: boolean, flag: "git-readonly", since: v("0.13.0"), defaults: from("0.13.0", false)},
	{path: "git.secret.enabled", kind: boolean, flag: "git-secret", since: v("1.3.0"), defaults: from("1.3.0", false)},
	{path: "git.secretDataKey", kind: text, flag: "k8s-secret-data-key", since: v("1.5.0"), defaults: from("1.5.0", "")},
	{path: "git.secretName", kind: text, flag: "k8s-secret-name", defaults: from("0.5.0", "")},
	{path: "git.setAuthor", kind: boolean, flag: "git-set-author", defaults: from("0.5.0", false)},
	{path: "git.signingKey", kind: text, flag: "git-signing-key", since: v("0.7.0"), defaults: from("0.7.0", "")},
	{path: "git.timeout", kind: text, flag: "git-timeout", defaults: from("0.5.0", "20s")},
	{path: "git.url", kind: text, flag: "git-url", defaults: from("0.5.0", "")},
	{path: "git.user", kind: text, flag: "git-user", defaults: from("0.5.0", "Weave Flux")},
	{path: "git.verifySignatures", kind: boolean, flag: "git-verify-signatures", since: v("0.10.0"), defaults: from("0.10.0", false)},
	{path: "git.verifySignaturesMode", kind: text, flag: "git-verify-signatures-mode", since: v("1.13.0"), defaults: from("1.13.0", "")},
	{path: "gpgKeys.configMapName", kind: text, flag: "git-gpg-key-import", since: v("0.10.0"), defaults: from("0.10.0", "")},
	{path: "gpgKeys.secretName", kind: text, flag: "git-gpg-key-import", since: v("0.7.0"), defaults: from("0.7.0", "")},
	{path: "helmOperator.affinity", kind: free, role: operator, until: v("1.0.0"), defaults: from("0.5.0", empty)},
	{path: "helmOperator.allowNamespace", kind: text, role: operator, since: v("0.6.1"), until: v("1.0.0"), defaults: from("0.6.1", nil)},
	{path: "helmOperator.annotations", kind: free, role: operator, since: v("0.6.3"), until: v("1.0.0"), defaults: from("0.6.3", empty)},
	{path: "helmOperator.chartsSyncInterval", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "3m")},
	{path: "helmOperator.configureRepositories.cacheVolumeName", kind: text, role: operator, since: v("0.6.1"), until: v("1.0.0"), defaults: from("0.6.1", "repositories-cache")},
	{path: "helmOperator.configureRepositories.enable", kind: boolean, role: operator, since: v("0.6.1"), until: v("1.0.0"), defaults: from("0.6.1", false)},
	{path: "helmOperator.configureRepositories.repositories", kind: free, role: operator, since: v("0.8.0"), until: v("1.0.0"), defaults: from("0.8.0", nil)},
	{path: "helmOperator.configureRepositories.secretName", kind: text, role: operator, since: v("0.6.1"), until: v("1.0.0"), defaults: from("0.6.1", "flux-helm-repositories")},
	{path: "helmOperator.configureRepositories.volumeName", kind: text, role: operator, since: v("0.6.1"), until: v("1.0.0"), defaults: from("0.6.1", "repositories-yaml")},
	{path: "helmOperator.create", kind: boolean, role: operator, until: v("1.0.0"), defaults: from("0.5.0", false)},
	{path: "helmOperator.createCRD", kind: boolean, role: operator, until: v("1.0.0"), defaults: from("0.5.0", true, "0.11.0", false)},
	{path: "helmOperator.extraEnvs", kind: free, role: operator, until: v("1.0.0"), defaults: from("0.5.0", none)},
	{path: "helmOperator.git.pollInterval", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "")},
	{path: "helmOperator.git.secretName", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "")},
	{path: "helmOperator.git.timeout", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "")},
	{path: "helmOperator.logReleaseDiffs", kind: boolean, role: operator, until: v("1.0.0"), defaults: from("0.5.0", false)},
	{path: "helmOperator.namespace", kind: text, role: operator, since: v("0.6.1"), until: v("0.6.2")},
	{path: "helmOperator.nodeSelector", kind: free, role: operator, until: v("1.0.0"), defaults: from("0.5.0", empty)},
	{path: "helmOperator.pullPolicy", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "IfNotPresent")},
	{path: "helmOperator.pullSecret", kind: text, role: operator, since: v("0.6.2"), until: v("1.0.0"), defaults: from("0.6.2", nil)},
	{path: "helmOperator.replicaCount", kind: number, role: operator, since: v("0.6.0"), until: v("1.0.0"), defaults: from("0.6.0", float64(1))},
	{path: "helmOperator.repository", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "quay.io/weaveworks/helm-operator", "0.9.1", "docker.io/weaveworks/helm-operator", "0.11.0", "docker.io/fluxcd/helm-operator")},
	{path: "helmOperator.resources", kind: free, role: operator, until: v("1.0.0"), defaults: from("0.5.0", empty, "0.5.2", tree{"requests": tree{"cpu": "50m", "memory": "64Mi"}})},
	{path: "helmOperator.tag", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "0.5.0", "0.5.1", "0.5.1", "0.5.2", "0.5.2", "0.6.0", "0.5.3", "0.6.1", "0.6.0", "0.7.0", "0.7.1", "0.9.0", "0.8.0", "0.9.3", "0.9.0", "0.9.4", "0.9.1", "0.10.0", "0.9.2", "0.11.0", "0.10.0", "0.12.0", "0.10.1")},
	{path: "helmOperator.tillerHost", kind: text, role: operator, since: v("0.12.0"), until: v("1.0.0"), defaults: from("0.12.0", nil)},
	{path: "helmOperator.tillerNamespace", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "kube-system")},
	{path: "helmOperator.tillerPort", kind: number, role: operator, since: v("0.12.0"), until: v("1.0.0"), defaults: from("0.12.0", float64(44134))},
	{path: "helmOperator.tls.caContent", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "")},
	{path: "helmOperator.tls.certFile", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "tls.crt")},
	{path: "helmOperator.tls.enable", kind: boolean, role: operator, until: v("1.0.0"), defaults: from("0.5.0", false)},
	{path: "helmOperator.tls.hostname", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "")},
	{path: "helmOperator.tls.keyFile", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "tls.key")},
	{path: "helmOperator.tls.secretName", kind: text, role: operator, until: v("1.0.0"), defaults: from("0.5.0", "helm-client-certs")},
	{path: "helmOperator.tls.verify", kind: boolean, role: operator, until: v("1.0.0"), defaults: from("0.5.0", false)},
	{path: "helmOperator.tolerations", kind: free, role: operator, until: v("1.0.0"), defaults: from("0.5.0", none)},
	{path: "helmOperator.updateChartDeps", kind: boolean, role: operator, until: v("1.0.0"), defaults: from("0.5.0", true)},
	{path: "helmOperator.workers", kind: number, role: operator, since: v("0.11.0"), until: v("1.0.0"), defaults: from("0.11.0", nil)},
	{path: "hostAliases", kind: free, role: resolving, since: v("1.1.0"), defaults: from("1.1.0", empty)},
	{path: "image.pullPolicy", kind: text, role: pod, defaults: from("0.5.0", "IfNotPresent")},
	{path: "image.pullSecret", kind: text, role: pod, since: v("0.6.2"), defaults: from("0.6.2", nil)},
	{path: "image.repository", kind: text, role: pod, defaults: from("0.5.0", "quay.io/weaveworks/flux", "0.9.1", "docker.io/weaveworks/flux", "0.11.0", "docker.io/fluxcd/flux")},
	{path: "image.tag", kind: text, role: pod, defaults: from("0.5.0", "1.8.1", "0.5.2", "1.8.2", "0.6.0", "1.9.0", "0.6.1", "1.10.0", "0.6.3", "1.10.1", "0.7.0", "1.11.0", "0.8.0", "1.11.1", "0.9.0", "1.12.0", "0.9.2", "1.12.1", "0.9.3", "1.12.2", "0.9.5", "1.12.3", "0.10.0", "1.13.0", "0.10.2", "1.13.1", "0.11.0", "1.13.2", "0.12.0", "1.13.3", "0.13.0", "1.14.0", "0.14.0", "1.14.1", "0.14.1", "1.14.2", "0.15.0", "1.15.0", "0.16.0", "1.16.0", "1.0.0", "1.17.0", "1.1.0", "1.17.1", "1.2.0", "1.18.0", "1.3.0", "1.19.0", "1.4.0", "1.20.0", "1.4.1", "1.20.1", "1.5.0", "1.20.2", "1.6.0", "1.21.0", "1.6.1", "1.21.1", "1.6.2", "1.21.2", "1.7.0", "1.22.0", "1.8.0", "1.22.1", "1.9.0", "1.22.2", "1.10.0", "1.23.0", "1.10.1", "1.23.1", "1.10.2", "1.23.2", "1.11.0", "1.24.0", "1.11.1", "1.24.1", "1.11.3", "1.24.2", "1.11.4", "1.24.3", "1.12.0", "1.25.0", "1.13.0", "1.25.1", "1.13.1", "1.25.2", "1.13.2", "1.25.3", "1.13.3", "1.25.4")},
	{path: "initContainers", kind: free, role: prepares, since: v("0.9.0"), defaults: from("0.9.0", empty)},
	{path: "kube.config", kind: text, role: kubeconfig, defaults: from("0.5.0", defaultKubeconfig)},
	{path: "kube.externalConfig", kind: boolean, role: kubeconfig, since: v("1.4.1"), defaults: from("1.4.1", false)},
	{path: "logFormat", kind: text, flag: "log-format", since: v("0.10.0"), defaults: from("0.10.0", "fmt")},
	{path: "manifestGeneration", kind: boolean, flag: "manifest-generation", since: v("0.12.0"), defaults: from("0.12.0", false)},
	{path: "memcached.addSecurityContext", kind: boolean, role: cache, since: v("1.2.0"), defaults: from("1.2.0", true)},
	{path: "memcached.affinity", kind: free, role: cache, defaults: from("0.5.0", empty)},
	{path: "memcached.annotations", kind: free, role: cache, since: v("1.0.0")},
	{path: "memcached.createClusterIP", kind: boolean, flag: "memcached-service", since: v("0.6.0"), defaults: from("0.6.0", true)},
	{path: "memcached.enabled", kind: boolean, role: cache, since: v("0.14.0"), defaults: from("0.14.0", true)},
	{path: "memcached.hostnameOverride", kind: text, flag: "memcached-hostname", since: v("0.14.0"), defaults: from("0.14.0", nil)},
	{path: "memcached.maxItemSize", kind: text, role: cache, defaults: from("0.5.0", "1m", "0.7.0", "5m")},
	{path: "memcached.maxMemory", kind: number, role: cache, defaults: from("0.5.0", float64(64), "0.7.0", float64(128), "0.8.0", float64(512))},
	{path: "memcached.nodeSelector", kind: free, role: cache, defaults: from("0.5.0", empty)},
	{path: "memcached.priorityClassName", kind: text, role: cache, since: v("1.3.0"), defaults: from("1.3.0", "")},
	{path: "memcached.pullSecret", kind: text, role: cache, since: v("0.6.2"), defaults: from("0.6.2", nil)},
	{path: "memcached.repository", kind: text, role: cache, since: v("0.5.2"), defaults: from("0.5.2", "memcached")},
	{path: "memcached.resources", kind: free, role: cache, defaults: from("0.5.0", empty, "1.3.0", tree{"requests": tree{"cpu": "50m", "memory": "64Mi"}})},
	{path: "memcached.securityContext", kind: free, role: cache, since: v("0.6.0"), defaults: from("0.10.0", tree{"runAsUser": float64(11211), "runAsGroup": float64(11211), "allowPrivilegeEscalation": false})},
	{path: "memcached.tag", kind: text, role: cache, since: v("0.5.2"), defaults: from("0.5.2", "1.4.25", "0.10.0", "1.5.15", "1.0.0", "1.5.20", "1.8.0", "1.6.9-alpine", "1.11.0", "1.6.10-alpine", "1.11.3", "1.6.12-alpine")},
	{path: "memcached.tolerations", kind: free, role: cache, defaults: from("0.5.0", none)},
	{path: "memcached.verbose", kind: boolean, role: cache, defaults: from("0.5.0", false)},
	{path: "nameOverride", kind: text, role: names},
	{path: "nodeSelector", kind: free, role: pod, defaults: from("0.5.0", empty)},
	{path: "podLabels", kind: free, role: pod, since: v("1.2.0"), defaults: from("1.2.0", empty)},
	{path: "priorityClassName", kind: text, role: pod, since: v("1.3.0"), defaults: from("1.3.0", "")},
	{path: "prometheus.enabled", kind: boolean, role: metrics, defaults: from("0.5.0", false)},
	{path: "prometheus.serviceMonitor.additionalLabels", kind: free, role: metrics, since: v("1.0.0"), defaults: from("1.0.0", empty)},
	{path: "prometheus.serviceMonitor.create", kind: boolean, role: metrics, since: v("1.0.0"), defaults: from("1.0.0", false)},
	{path: "prometheus.serviceMonitor.interval", kind: text, role: metrics, since: v("1.0.0"), defaults: from("1.0.0", nil)},
	{path: "prometheus.serviceMonitor.namespace", kind: text, role: metrics, since: v("1.0.0"), defaults: from("1.0.0", nil)},
	{path: "prometheus.serviceMonitor.scrapeTimeout", kind: text, role: metrics, since: v("1.0.0"), defaults: from("1.0.0", nil)},
	{path: "rbac.create", kind: boolean, role: rights, defaults: from("0.5.0", true)},
	{path: "rbac.pspEnabled", kind: boolean, role: rights, since: v("0.11.0"), defaults: from("0.11.0", false)},
	{path: "registry.acr.enabled", kind: boolean, role: registries, since: v("0.6.3"), defaults: from("0.6.3", false)},
	{path: "registry.acr.hostPath", kind: text, role: registries, since: v("0.6.3"), defaults: from("0.6.3", "/etc/kubernetes/azure.json")},
	{path: "registry.acr.secretName", kind: text, role: registries, since: v("0.15.0"), defaults: from("0.15.0", "")},
	{path: "registry.automationInterval", kind: text, flag: "automation-interval", since: v("0.16.0"), defaults: from("0.16.0", "5m")},
	{path: "registry.burst", kind: number, flag: "registry-burst", defaults: from("0.5.0", float64(125))},
	{path: "registry.cacheExpiry", kind: text, flag: "registry-cache-expiry", defaults: from("0.5.0", nil)},
	{path: "registry.disableScanning", kind: boolean, flag: "registry-disable-scanning", since: v("1.2.0"), defaults: from("1.2.0", false)},
	{path: "registry.dockercfg.configFileName", kind: text, flag: "docker-config", since: v("0.9.0"), defaults: from("0.9.0", "/dockercfg/config.json")},
	{path: "registry.dockercfg.enabled", kind: boolean, flag: "docker-config", since: v("0.7.0"), defaults: from("0.7.0", false)},
	{path: "registry.dockercfg.secretName", kind: text, role: registries, since: v("0.7.0"), defaults: from("0.7.0", "")},
	{path: "registry.ecr.excludeId", kind: text, flag: "registry-ecr-exclude-id", since: v("0.6.0"), defaults: from("0.6.0", nil)},
	{path: "registry.ecr.includeId", kind: text, flag: "registry-ecr-include-id", since: v("0.6.0"), defaults: from("0.6.0", nil)},
	{path: "registry.ecr.region", kind: text, flag: "registry-ecr-region", since: v("0.6.0"), defaults: from("0.6.0", nil)},
	{path: "registry.ecr.require", kind: boolean, flag: "registry-require", since: v("0.12.0"), defaults: from("0.12.0", false)},
	{path: "registry.excludeImage", kind: text, flag: "registry-exclude-image", since: v("0.6.1"), defaults: from("0.6.1", nil)},
	{path: "registry.includeImage", kind: text, flag: "registry-include-image", since: v("1.3.0"), defaults: from("1.3.0", nil)},
	{path: "registry.insecureHosts", kind: text, flag: "registry-insecure-host", defaults: from("0.5.0", nil)},
	{path: "registry.pollInterval", kind: text, flag: "automation-interval", defaults: from("0.5.0", "5m", "0.16.0", absent)},
	{path: "registry.rps", kind: number, flag: "registry-rps", defaults: from("0.5.0", float64(200))},
	{path: "registry.trace", kind: boolean, flag: "registry-trace", defaults: from("0.5.0", false)},
	{path: "registry.useTimestampLabels", kind: text, flag: "registry-use-labels", since: v("0.11.0"), defaults: from("0.11.0", nil)},
	{path: "replicaCount", kind: number, role: pod, defaults: from("0.5.0", float64(1))},
	{path: "resources", kind: free, role: pod, defaults: from("0.5.0", empty, "0.5.2", tree{"requests": tree{"cpu": "50m", "memory": "64Mi"}})},
	{path: "service.createClusterIP", kind: boolean, role: pod, since: v("1.9.0"), defaults: from("1.9.0", true)},
	{path: "service.port", kind: number, role: pod, defaults: from("0.5.0", float64(3030))},
	{path: "service.type", kind: text, role: pod, defaults: from("0.5.0", "ClusterIP")},
	{path: "serviceAccount.annotations", kind: free, role: identity, since: v("1.0.0"), defaults: from("1.0.0", empty)},
	{path: "serviceAccount.create", kind: boolean, role: rights, defaults: from("0.5.0", true)},
	{path: "serviceAccount.name", kind: text, role: rights, defaults: from("0.5.0", nil)},
	{path: "sops.enabled", kind: boolean, flag: "sops", since: v("1.2.0"), defaults: from("1.2.0", false)},
	{path: "ssh.config", kind: text, role: sshConfig, since: v("1.4.0"), defaults: from("1.4.0", "")},
	{path: "ssh.keygen.format", kind: text, flag: "ssh-keygen-format", since: v("1.3.0"), defaults: from("1.3.0", "RFC4716")},
	{path: "ssh.known_hosts", kind: text, role: hostKeys, defaults: from("0.5.0", "")},
	{path: "ssh.secret.annotations", kind: free, role: keySecret, since: v("1.4.0"), defaults: from("1.4.0", empty)},
	{path: "sync.interval", kind: text, flag: "sync-interval", since: v("1.1.0")},
	{path: "sync.state", kind: text, flag: "sync-state", since: v("0.13.0"), defaults: from("0.13.0", "git")},
	{path: "sync.timeout", kind: text, flag: "sync-timeout", since: v("0.15.0"), defaults: from("0.15.0", nil)},
	{path: "syncGarbageCollection.dry", kind: boolean, flag: "sync-garbage-collection-dry", since: v("0.10.0"), defaults: from("0.10.0", false)},
	{path: "syncGarbageCollection.enabled", kind: boolean, flag: "sync-garbage-collection", since: v("0.9.3"), defaults: from("0.9.3", false)},
	{path: "token", kind: text, flag: "token", defaults: from("0.5.0", "")},
	{path: "tolerations", kind: free, role: pod, defaults: from("0.5.0", none)},
}
