package discover

// Form is one way in which an agent and its surroundings are met in a cluster,
// or its manifests in Git.
type Form struct {
	Group string
	Name  string
	// Golden is what is expected of the case, relative to this package: want.json
	// of a folder of testdata/cluster, want.yaml of one of
	// migrate/flux1/testdata/load, what testdata/checkout holds of a folder of
	// testdata/real, or a plan. A form has a test alone if none is given.
	Golden string
	// Shows is the text of it that is there because of the form. Of a form
	// without a golden it names the test, and says why no folder can have it.
	Shows string
}

// The folders of goldens.
const (
	inCluster  = "testdata/cluster/"
	inCheckout = "testdata/checkout/"
	inPlan     = "testdata/plan/"
	asLoaded   = "../migrate/flux1/testdata/load/"
	want       = "/want.json"
	loaded     = "/want.yaml"
)

// ClusterForms are the forms of what a cluster alone tells.
var ClusterForms = []Form{
	{"agents", "a Deployment without Helm: manifests, kubernetes_deployment", inCluster + "one-agent" + want, `"installedBy": "manifest"`},
	{"agents", "fluxctl install, with all its objects", inCluster + "fluxctl-install" + want, `"name": "--listen-metrics"`},
	{"agents", "two containers in a pod", inCluster + "confined" + want, "container recv (flux-recv) runs beside fluxd"},
	{"agents", "two fluxd in a pod", inCluster + "two-fluxd-in-a-pod" + want, `"SEVERAL_FLUXDS"`},
	{"agents", "an init container", inCluster + "confined" + want, "initContainer.tools"},
	{"agents", "repeated and comma-joined flags", inCluster + "lists-of-flags" + want, "\"c\",\n            \"a\",\n            \"b,b\",\n            \"d\"\n"},
	{"agents", "a scalar that is given twice", inCluster + "lists-of-flags" + want, "given more than once, the last one counts"},
	{"agents", "the old name of a flag beside the new one", inCluster + "lists-of-flags" + want, `"desk"`},
	{"agents", "a flag and its value in two words, behind another program", inCluster + "http-credentials" + want, `"id": "flux/from-env"`},
	{"agents", "flags of no fluxd", inCluster + "ordinary" + want, `"UNKNOWN_FLAG"`},
	{"agents", "arguments in a shell", inCluster + "git-failures" + want, `"ARGUMENTS_IN_SHELL"`},
	{"agents", "$(VAR) in a URL, of a Secret, a ConfigMap, a field", inCluster + "http-credentials" + want, `"https://$(GIT_AUTHUSER)@git.example.com/org/a.git"`},
	{"agents", "$(VAR) in a URL, that nothing provides", inCluster + "http-credentials" + want, "nothing provides $(U)"},
	{"agents", "a path that is a list of YAML", inCluster + "confined" + want, `"GIT_PATH_LIST"`},
	{"agents", "scaled to zero", inCluster + "stopped-and-many" + want, "no pod of the agent runs (replicas: 0)"},
	{"agents", "more than one pod", inCluster + "confined" + want, `"AGENT_REPLICAS"`},
	{"agents", "several in one namespace", inCluster + "stopped-and-many" + want, `"id": "flux/plain"`},
	{"agents", "several of one release", inCluster + "two-agents" + want, `"RELEASE_WITH_TWO_AGENTS"`},
	{"agents", "a mirrored image, by digest", inCluster + "surroundings" + want, `"Image": "mirror.example.com:5000/fluxcd/flux@sha256:0`},
	{"agents", "the first owner of the image", inCluster + "chart-0.5.0" + want, `"Image": "quay.io/weaveworks/flux:1.8.1"`},
	{"agents", "a StatefulSet, a DaemonSet, a bare pod", inCluster + "surroundings" + want, `"FLUXD_IS_NO_DEPLOYMENT"`},
	{"agents", "synced by another, by manifest", inCluster + "nested" + want, "this agent's own Deployment"},
	{"agents", "synced by another, by HelmRelease", inCluster + "nested" + want, "this agent's own HelmRelease"},
	{"agents", "declared by the repository of another, and not there", inCluster + "agent-in-git-only" + want, `"AGENT_IN_GIT_ONLY"`},
	{"agents", "kept by Argo CD", inCluster + "surroundings" + want, "Argo CD, by Application platform"},
	{"agents", "kept by Flux v2", inCluster + "surroundings" + want, "Flux v2, by Kustomization flux-system/agents"},
	{"agents", "kept by Flux v2, by a HelmRelease that another agent syncs", inCluster + "helmrelease-of-flux-v2" + want, "Flux v2, by HelmRelease flux-system/inner, keeps the Deployment of tenants/inner"},
	{"agents", "kept by Flux v2, by a HelmRelease that is otherwise in Git", inCluster + "helmrelease-of-flux-v2" + want, `--git-branch of tenants/inner is \"main\" live, and \"next\" in Git`},
	{"agents", "kept by a helm-operator", inCluster + "surroundings" + want, "a helm-operator, by HelmRelease tenants/three"},
	{"agents", "of another cluster", inCluster + "agent-of-another-cluster" + want, "names API server https://edge.example.com:6443"},

	{"releases", "Helm 3 in Secrets", inCluster + "chart-1.13.3" + want, "Secret/flux/sh.helm.release.v1.team.v1 git.url"},
	{"releases", "Helm 3 in ConfigMaps", inCluster + "helm-storage" + want, "ConfigMap/flux/sh.helm.release.v1.in-configmap.v2 git.url"},
	{"releases", "Helm 3 in SQL", inCluster + "helm-storage" + want, "no Secret and no ConfigMap holds release flux/in-sql"},
	{"releases", "in a namespace other than the agent's", inCluster + "helm-storage" + want, `"HELM_RELEASE_ELSEWHERE"`},
	{"releases", "superseded revisions", inCluster + "helm-storage" + want, "Secret/flux/sh.helm.release.v1.failed-upgrade.v10 git.branch"},
	{"releases", "failed upgrade", inCluster + "helm-storage" + want, "revision 11 of release flux/failed-upgrade is failed"},
	{"releases", "failed install", inCluster + "helm-storage" + want, "revision 1 of release flux/failed-install is failed"},
	{"releases", "pending install", inCluster + "helm-storage" + want, "is pending-install"},
	{"releases", "pending upgrade", inCluster + "helm-storage" + want, "revision 2 of release flux/pending-upgrade is pending-upgrade"},
	{"releases", "pending rollback", inCluster + "helm-storage" + want, "is pending-rollback"},
	{"releases", "uninstalling", inCluster + "helm-storage" + want, "is uninstalling"},
	{"releases", "uninstalled, and kept", inCluster + "helm-storage" + want, "is uninstalled"},
	{"releases", "edited by hand", inCluster + "helm-storage" + want, `"EDITED_BY_HAND"`},
	{"releases", "post-rendered", inCluster + "helm-storage" + want, "--git-branch of flux/post-rendered"},
	{"releases", "that cannot be read", inCluster + "helm-storage" + want, `"HELM_RELEASE_CORRUPT"`},
	{"releases", "Helm 2 in ConfigMaps", inCluster + "chart-0.5.0" + want, `"HELM2_RELEASE"`},
	{"releases", "Helm 2 in Secrets", inCluster + "helm-storage" + want, "release tiller-secret is one of Helm 2"},
	{"releases", "Helm 2, converted", inCluster + "helm-storage" + want, `"id": "flux/converted"`},
	{"releases", "without the right to list Secrets", inCluster + "no-right-to-list-secrets" + want, "you may not list secrets in namespace flux, so this is unknown: Helm release flux/team"},

	{"charts", "0.5", inCluster + "chart-0.5.0" + want, "registry.pollInterval"},
	{"charts", "0.16, with its helm-operator", inCluster + "chart-0.16.0" + want, "helmOperator.create"},
	{"charts", "1.0: the interval of a sync is that of a poll, a confined agent has one namespace", inCluster + "chart-1.0.0" + want, "chart 1.0.0 does not read it; charts from 1.1.0 do"},
	{"charts", "1.1: the interval of a sync is its own, a confined agent has further namespaces", inCluster + "chart-1.1.0" + want, "other/team-flux -\\u003e Role team-flux"},
	{"charts", "1.11.0: no flag says that an agent is confined", inCluster + "chart-1.11.0" + want, `"allowedNamespaces": [],`},
	{"charts", "1.13.3", inCluster + "chart-1.13.3" + want, "clusterRole.create, allowedNamespaces (default of chart 1.13.3)"},

	{"neighbours", "flux-recv, of its own", inCluster + "surroundings" + want, "(flux-recv)"},
	{"neighbours", "fluxcloud", inCluster + "ordinary" + want, "(fluxcloud)"},
	{"neighbours", "memcached", inCluster + "chart-1.13.3" + want, "\"memcached\": {\n          \"cpu\": \"50m\""},
	{"neighbours", "helm-operator, of its own", inCluster + "ordinary" + want, `"HELM_OPERATOR_FOUND"`},
	{"neighbours", "helm-operator, of the agent's release", inCluster + "helm-operator-in-the-release" + want, `"HELM_OPERATOR_IN_RELEASE"`},
	{"neighbours", "helm-operator, scaled to zero", inCluster + "stopped-and-many" + want, "Deployment/flux/helm-operator sha256:0123456789ab (scaled to 0)"},
	{"neighbours", "controllers of Flux v2 that run", inCluster + "ordinary" + want, "kustomize-controller v1.9.4"},
	{"neighbours", "controllers of Flux v2, scaled to zero or without a tag", inCluster + "stopped-and-many" + want, "source-controller of no tag"},
	{"neighbours", "the bundled agent", inCluster + "stopped-and-many" + want, `"CLUSTER_AGENT_FOUND"`},

	{"Kubernetes", "too old to fence an agent", inCluster + "old-kubernetes" + want, `"KUBERNETES_TOO_OLD"`},
	{"Kubernetes", "too old for Flux v2 as it is released", inCluster + "too-old-for-stock-flux2" + want, `"FLUX2_NEEDS_NEWER_KUBERNETES"`},
	{"Kubernetes", "without admission policies", inPlan + "cluster-no-admission-policies.yaml", "code: FENCE_NOT_SERVED"},
	{"Kubernetes", "with an API that is down", inPlan + "cluster-api-down.yaml", "code: API_GROUP_DOWN"},

	{"rights", "everything in the cluster", inCluster + "fluxctl-install" + want, `"kind": "cluster-admin"`},
	{"rights", "everything in some namespaces", inCluster + "one-agent" + want, "\"kind\": \"namespaces\",\n          \"namespaces\": [\n            \"shop\"\n"},
	{"rights", "none", inCluster + "stopped-and-many" + want, `"kind": "none"`},
	{"rights", "by a group, and a role that is put together of others", inCluster + "confined" + want, `group \"system:serviceaccounts:team\", owned false, aggregated true`},
	{"rights", "an account that others use", inCluster + "shared-accounts" + want, `"SHARED_ACCOUNT"`},
	{"rights", "tokens of an account", inCluster + "shared-accounts" + want, `"ACCOUNT_TOKEN_NOT_FENCED"`},

	{"marks", "of what is in Git", inCluster + "mark-handed-down" + want, "\"Marked\": [\n"},
	{"marks", "orphans", inCluster + "ordinary" + want, `"ORPHANS"`},
	{"marks", "unknown sets", inCluster + "left-behind" + want, `"MARKS_OF_UNKNOWN_SET"`},
	{"marks", "sets of nobody, where every agent's is known", inCluster + "mark-of-nobody" + want, `"MARKS_OF_UNKNOWN_SET"`},
	{"marks", "sets of settings that an agent had before", inCluster + "left-behind" + want, "other settings (git@git.example.com:org/moved.git, branch master, path .)"},
	{"marks", "sets of revisions of a release that is gone", inCluster + "left-behind" + want, "revision 3 of release flux/flux-gone"},
	{"marks", "one set of two agents", inCluster + "two-agents" + want, `"SAME_SYNC_SET"`},
	{"marks", "one object of two agents", inCluster + "two-agents" + want, `"OBJECT_IN_TWO_AGENTS"`},
	{"marks", "one repository of two agents", inCluster + "one-repository-two-paths" + want, `"SYNC_TAG_SHARED"`},
	{"marks", "handed down by an object to what it makes", inCluster + "handed-down" + want, `"MARK_HANDED_TO_PODS"`},
	{"marks", "fluxd before 1.14", inCluster + "marks-of-an-old-fluxd" + want, "\"shop_left__ConfigMap\""},
	{"marks", "of objects whose namespace is not there", inCluster + "unapplied" + want, `"NAMESPACE_NOT_THERE"`},
	{"marks", "of objects that fluxd failed to apply", inCluster + "unapplied" + want, `"FLUX1_APPLY_FAILED"`},
	{"marks", "told to be ignored in the cluster alone", inCluster + "ignored-in-the-cluster" + want, "ignored shop_a__ConfigMap"},

	{"ways", "a proxy in the environment", inCluster + "surroundings" + want, "a proxy is set by https_proxy"},
	{"ways", "a proxy in pieces, of which one is secret", inCluster + "proxy-in-pieces" + want, `"PROXY_UNKNOWN"`},
	{"ways", "certificates of a mount", inCluster + "surroundings" + want, "the certificates that the agent trusts, as ca.crt"},
	{"ways", "certificates of the node", inCluster + "surroundings" + want, `"CUSTOM_CA"`},
	{"ways", "egress policies of Kubernetes", inCluster + "surroundings" + want, "NetworkPolicy/flux/shop-only limits what the agent's pods may reach"},
	{"ways", "egress policies of network plugins", "", "TestPoliciesOfNetworkPluginsAreFound: they are read by a client that the fixtures have not"},
	{"ways", "cloud identity of the account", inCluster + "surroundings" + want, "eks.amazonaws.com/role-arn"},
	{"ways", "cloud identity of the pods", inCluster + "surroundings" + want, "iam.amazonaws.com/role: arn:aws:iam::1:role/kiam"},
	{"ways", "an ssh configuration", inCluster + "surroundings" + want, `"SSH_CONFIG"`},
	{"ways", "a git configuration", inCluster + "git-configuration" + want, `"GIT_CONFIG"`},
	{"ways", "known hosts of a ConfigMap", inCluster + "ordinary" + want, `"KnownHosts": "git.example.com ssh-ed25519`},
	{"ways", "a deploy key under a name of its own", inCluster + "surroundings" + want, "github-7h2k9"},
	{"ways", "a kubeconfig that gives the default namespace", inCluster + "ordinary" + want, `"defaultNamespace": "shop"`},
	{"ways", "a kubeconfig that no volume gives", inCluster + "git-failures" + want, `"DEFAULT_NAMESPACE_UNKNOWN"`},
}

// GitForms are the forms of repositories.
var GitForms = []Form{
	{"access", "over SSH, by the agent's key", inCluster + "ordinary" + want, "\"Kind\": \"ssh\",\n        \"Identity\": {\n          \"namespace\": \"flux\",\n          \"name\": \"flux-shop-git-deploy\""},
	{"access", "over HTTPS, by the agent's password", inCluster + "http-credentials" + want, `"Kind": "basic"`},
	{"access", "over HTTPS, without any", inCluster + "one-agent" + want, `"Kind": "none"`},
	{"access", "through the agent's proxy, with a private CA", "", "TestARepositoryIsReadThroughTheAgentsProxyWithItsCertificates: it needs servers that answer"},
	{"access", "around a proxy that is not there", "", "TestTheServerIsAskedDirectlyWhereTheAgentsProxyIsNotThere: it needs a server that answers"},
	{"access", "from a folder: --checkout", inCheckout + "flux-get-started.json", `"id": "checkout/flux-get-started"`},
	{"access", "from a working copy and a bare repository", "", "TestACheckoutIsReadAtItsBranchFromWorkingCopyAndBareRepository: they are made by Git, which keeps no repository in another"},
	{"access", "refused: no network", inCluster + "git-failures" + want, "(https://h/network): network"},
	{"access", "refused: another password", inCluster + "git-failures" + want, `"GIT_AUTH"`},
	{"access", "refused: another host key", inCluster + "confined" + want, `"GIT_HOST_KEY"`},
	{"access", "refused: no repository", inCluster + "git-failures" + want, "(https://h/notfound): not found"},
	{"access", "a URL that Flux v2 cannot use", inCluster + "git-failures" + want, `"URL_UNSUPPORTED"`},

	{"mark", "a tag, behind the head", inCluster + "ordinary" + want, `"behind": 3`},
	{"mark", "of a Secret", inCluster + "fluxctl-install" + want, "\"state\": \"secret\"\n        },\n        \"manifestGeneration\": true"},
	{"mark", "none", inCluster + "git-failures" + want, `"NEVER_SYNCED"`},
	{"mark", "not on the branch", inCluster + "two-agents" + want, `"SYNC_MARK_OFF_BRANCH"`},
	{"mark", "of a commit that is gone", inCluster + "two-agents" + want, `"SYNC_MARK_UNKNOWN"`},
	{"mark", "a head of which it cannot be told what fluxd makes", inCluster + "head-not-told" + want, `"HEAD_NOT_TOLD"`},
	{"mark", "a head that fluxd cannot load", inCluster + "stuck-behind-the-head" + want, `"FLUX1_STUCK_AT_HEAD"`},
	{"mark", "a branch that is not there", inCluster + "git-failures" + want, "the repository has no branch master; there are: main"},

	{"files", "plain ones, hidden folders, several documents", asLoaded + "ordinary" + loaded, "manifest prod/.hidden/cm.yml"},
	{"files", "a path that is a file", asLoaded + "path-is-a-file" + loaded, "manifest a/one.yaml"},
	{"files", "a path that is missing", asLoaded + "path-missing" + loaded, `path "gone" does not exist`},
	{"files", "that cannot be read", asLoaded + "unparsable" + loaded, "FLUX1_STUCK"},
	{"files", "that are no JSON", asLoaded + "not-json" + loaded, "NOT_JSON"},
	{"files", "links", asLoaded + "links" + loaded, "LINKED_FILE"},
	{"files", "kustomization files that fluxd does not honour", inPlan + "load-ordinary.yaml", "would leave out prod/.hidden/cm.yml"},
	{"files", ".sourceignore", inPlan + "hazard-sourceignore.yaml", "code: SOURCE_IGNORE"},
	{"files", "Lists", asLoaded + "lists" + loaded, "LIST_WITHOUT_ITEMS"},
	{"files", "charts", asLoaded + "charts" + loaded, "chart app/templates/d.yaml"},
	{"files", "submodules", inCluster + "submodules" + want, `"SUBMODULES"`},
	{"files", "Git LFS", inPlan + "hazard-git-lfs.yaml", "code: GIT_LFS"},
	{"files", "git-secret", inCluster + "git-secret" + want, `"GIT_SECRET_FILES"`},
	{"files", "SOPS", asLoaded + "sops" + loaded, "SOPS_ENCRYPTED"},
	{"files", "SOPS that hides kinds", asLoaded + "sops" + loaded, "SOPS_KIND_ENCRYPTED"},
	{"files", "SOPS without --sops", asLoaded + "sops-off" + loaded, "SOPS_CIPHERTEXT"},

	{".flux.yaml", "commandUpdated", asLoaded + "generation" + loaded, "gen/.flux.yaml (commandUpdated)"},
	{".flux.yaml", "patchUpdated", asLoaded + "generation" + loaded, "patch/.flux.yaml (patchUpdated)"},
	{".flux.yaml", "scanForFiles", asLoaded + "generation" + loaded, "applied demo_scanned__ConfigMap"},
	{".flux.yaml", "that fluxd refuses", asLoaded + "generation" + loaded, "patchUpdated has no list of generators"},
	{".flux.yaml", "without --manifest-generation", asLoaded + "generation-off" + loaded, "silent .flux.yaml"},
	{".flux.yaml", "above the path", inCheckout + "flux-kustomize-staging.json", "which stands above the path"},
	{".flux.yaml", "a patch file with images and annotations", inCheckout + "flux-kustomize-production.json", `"FLUX_PATCH_STATE"`},
	{".flux.yaml", "at the root", inCheckout + "multi-tenancy-team1.json", `the manifests of path \".\" are generated by .flux.yaml (patchUpdated)`},
	{".flux.yaml", "without updaters", inCheckout + "sdp-flux-dev.json", `"GENERATION_WITHOUT_UPDATERS"`},
	{".flux.yaml", "of what cannot be built", inCheckout + "sdp-flux-prod.json", `"GENERATION_NOT_TOLD"`},
	{".flux.yaml", "over bases of other repositories", inCheckout + "multi-tenancy-undescribed.json", `"KUSTOMIZE_REMOTE_BASE"`},
	{".flux.yaml", "a command that is not kustomize build", inPlan + "hazard-generated-by-another-command.yaml", "code: GENERATION_NOT_TOLD"},

	{"objects", "two of one name", asLoaded + "duplicates" + loaded, "demo:deployment/web is defined here and in b/groups.yaml:1"},
	{"objects", "one, of paths that overlap", asLoaded + "duplicates" + loaded, "is loaded twice, since the agent's paths overlap"},
	{"objects", "two of one name, of which one names no namespace", asLoaded + "hidden-duplicate" + loaded, "HIDDEN_DUPLICATE"},
	{"objects", `ignored by "true", of either prefix`, asLoaded + "classes" + loaded, "ignored demo_ignored-old-prefix__ConfigMap"},
	{"objects", "ignored by true, unquoted", asLoaded + "classes" + loaded, "ignored demo_ignored-unquoted__ConfigMap"},
	{"objects", "ignored by no other value", asLoaded + "classes" + loaded, "applied demo_ignored-by-a-string-of-no-effect__ConfigMap"},
	{"objects", "sync_only", asLoaded + "classes" + loaded, "sync_only demo_sync-only__ConfigMap"},
	{"objects", "of a namespace that the agent may not use", asLoaded + "classes" + loaded, "foreign other_foreign__ConfigMap"},
	{"objects", "of a kind that the set defines", asLoaded + "classes" + loaded, "applied demo_by-a-crd-of-the-set_example.org_Widget"},
	{"objects", "of a kind that nobody serves", asLoaded + "classes" + loaded, "unknown-kind _unknown_nowhere.org_Unknown"},
	{"objects", "of versions that Kubernetes has dropped", inCheckout + "eks-quickstart-app-dev.json", `"KINDS_REMOVED"`},
	{"objects", "without a namespace", asLoaded + "ordinary" + loaded, "applied default_no-namespace__ConfigMap prod/shop/all.yaml:23 filled"},
	{"objects", "without a name, of names that are numbers, of keys twice", asLoaded + "traps" + loaded, "NAMELESS_OBJECT"},
	{"objects", "automated, with filters", inCheckout + "flux-get-started.json", `"IMAGE_AUTOMATION"`},
	{"objects", "locked", inCheckout + "flux-get-started.json", "fluxcd.io/locked: true"},
	{"objects", "automated, by the old prefix", inCheckout + "flux-kustomize-staging.json", "flux.weave.works/automated: true"},
	{"objects", "HelmRelease v1, of a chart repository", inCheckout + "gitops-istio-before.json", `"HELMRELEASE_V1_RELEASE"`},
	{"objects", "HelmRelease v1, of a chart in the tree", inCheckout + "helm-operator-get-started.json", "of the chart in charts/podinfo"},
	{"objects", "HelmRelease v1, that a patch changes", inCheckout + "sdp-flux-undescribed.json", `"HELMRELEASE_V1_PATCH"`},
	{"objects", "SealedSecret", inCheckout + "sdp-flux-dev.json", `"SEALED_SECRETS"`},
	{"objects", "of Flux v2", inCheckout + "gitops-istio-after.json", `"FLUX2_OBJECT_IN_GIT"`},
	{"objects", "agents", inCheckout + "multi-tenancy.json", `"AGENT_IN_GIT"`},
}
