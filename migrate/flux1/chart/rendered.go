package chart

import (
	"cmp"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/migrate"
)

// Object is one object that the release makes, or may make.
type Object struct {
	Kind string
	// Namespace is empty for kinds of the whole cluster.
	Namespace, Name string
	// Unknown says why it is unknown whether it is made, or how it is named;
	// what is not known of the above is empty then.
	Unknown string
}

// Mount is a volume in fluxd's container.
type Mount struct {
	Volume, Path string
	// SubPath is the part of the volume that is mounted; empty for all of it.
	SubPath string
	// Items are the keys of a Secret or ConfigMap by the paths that the volume
	// gives them; without any, each key is a file of its name.
	Items map[string]string
	// Kind is "Secret", "ConfigMap", "EmptyDir", "HostPath", "Projected", or empty
	// for a volume of extraVolumes of another kind.
	Kind string
	// Projected are the Secrets and ConfigMaps of a volume of that kind, each with
	// Kind, Name and Items.
	Projected []Mount
	// Name of the Secret or ConfigMap.
	Name string
	// Unknown says why it is unknown whether it is there, or what it holds.
	Unknown string
}

// Variable is one variable of fluxd's environment.
type Variable struct {
	Name  string
	Value Text
	// Secret, if it comes from one.
	Secret *migrate.SecretKey
	// ConfigMap and Key, if it comes from one.
	ConfigMap, Key string
	// Unknown says why neither is known.
	Unknown string
}

// Source is a Secret or ConfigMap whose keys are all in fluxd's environment.
type Source struct {
	Kind, Name string
	// Prefix of the variables' names.
	Prefix string
	// Unknown says why it is unknown what it is.
	Unknown string
}

// Sidecar is another container of the agent's pod.
type Sidecar struct{ Name, Image string }

// objects are all that the release makes, in no order that matters.
func (s *scope) objects() []Object {
	var out []Object
	own := s.namespace()
	add := func(when truth, kind string, namespace, name value) {
		if when.no() {
			return
		}
		o := Object{Kind: kind, Unknown: when.unknown}
		for _, part := range []struct {
			to *string
			x  value
		}{{&o.Namespace, namespace}, {&o.Name, s.word(name)}} {
			if part.x.unknown != "" {
				o.Unknown = part.x.unknown
			} else if part.x.of != nil {
				*part.to = fmt.Sprint(part.x.of)
			}
		}
		out = append(out, o)
	}
	always, cluster := truth{is: true}, value{}
	since := func(at string) truth { return truth{is: !s.at.before(v(at))} }

	s.word(s.name()) // every object's labels hold it
	add(always, "Deployment", own, s.named(""))
	add(always, "Service", own, s.named(""))
	if since("1.9.0").is && s.equals("service.type", "ClusterIP").yes() {
		s.equals("service.createClusterIP", false)
	}
	if makes := s.is("serviceAccount.create"); !makes.no() {
		add(makes, "ServiceAccount", own, s.account())
	}
	add(s.hasKubeconfig(), "ConfigMap", own, s.named("-kube-config"))
	add(s.hasKnownHosts(), "ConfigMap", own, s.named("-ssh-config"))
	add(s.is("git.secretName").not(), "Secret", own, s.named("-git-deploy"))
	if on := s.hasGitConfig(); !on.no() {
		add(on, "Secret", own, s.gitConfigSecret())
		s.textual("git.config.data", true)
	}
	s.kubeconfigNamespace()
	if s.hasKnownHosts().yes() {
		s.textual("ssh.known_hosts", false)
		if since("1.4.0").is {
			s.textual("ssh.config", false)
		}
	}

	for _, b := range s.bindings() {
		if !b.existing {
			add(b.when, b.roleKind, b.namespace, b.role)
		}
		add(b.when, b.roleKind+"Binding", b.namespace, b.binding)
	}

	if hasCache := s.hasMemcached(); !hasCache.no() {
		add(hasCache, "Deployment", own, s.named("-memcached"))
		add(hasCache, "Service", own, s.named("-memcached"))
		if since("0.6.0").is {
			s.equals("memcached.createClusterIP", false)
		}
	}
	if since("0.11.0").is {
		psp := s.is("rbac.pspEnabled")
		add(psp, "PodSecurityPolicy", cluster, s.named(""))
		add(psp, "ClusterRole", cluster, s.named("-psp"))
		add(psp, "ClusterRoleBinding", cluster, s.named("-psp"))
	}
	if since("1.0.0").is {
		if makes := s.is("prometheus.serviceMonitor.create"); !makes.no() {
			add(makes, "ServiceMonitor", s.word(s.get("prometheus.serviceMonitor.namespace").or(own)), s.named(""))
		}
	}
	if since("1.4.0").is {
		if makes := s.is("dashboards.enabled"); !makes.no() {
			name, at := value{of: "flux-dashboards-flux-dashboard"}, own
			if since("1.5.0").is {
				name, at = s.get("dashboards.nameprefix"), s.word(s.get("dashboards.namespace").or(own))
				if printed, unknown := name.printed(); unknown == "" {
					name.of = printed + "-flux"
				}
			}
			add(makes, "ConfigMap", at, name)
		}
	}
	if s.at.before(v("1.0.0")) {
		s.operatorObjects(add, own)
	}
	return out
}

// operatorObjects are those of a helm-operator in the same release (flux:
// chart/flux/templates/helm-operator-deployment.yaml, helm-operator-crd.yaml,
// helm-tls.yaml, flux-helm-repositories.yaml).
func (s *scope) operatorObjects(add func(truth, string, value, value), own value) {
	s.get("helmOperator.git.timeout") // read even when none is made
	makes := s.is("helmOperator.create")
	add(makes, "Deployment", own, s.named("-helm-operator"))
	if !makes.no() {
		crd := makes.and(s.is("helmOperator.createCRD"))
		add(crd, "CustomResourceDefinition", value{}, value{of: "helmreleases.flux.weave.works"})
		if s.at.before(v("0.11.0")) {
			add(crd, "CustomResourceDefinition", value{}, value{of: "fluxhelmreleases.helm.integrations.flux.weave.works"})
		}
	}
	ca := s.is("helmOperator.tls.enable").and(s.is("helmOperator.tls.verify"))
	if !s.at.before(v("0.6.0")) {
		ca = ca.and(s.is("helmOperator.tls.caContent"))
	}
	if !ca.no() {
		s.textual("helmOperator.tls.caContent", true)
	}
	add(ca, "ConfigMap", own, s.named("-helm-tls-ca-config"))
	if !s.at.before(v("0.8.0")) {
		if listed := s.is("helmOperator.configureRepositories.repositories"); !listed.no() {
			add(listed, "Secret", own, s.get("helmOperator.configureRepositories.secretName"))
		}
	}
}

func (s *scope) hasKubeconfig() truth {
	if s.at.before(v("1.4.1")) {
		return truth{is: true}
	}
	return s.is("kube.externalConfig").not()
}

func (s *scope) hasKnownHosts() truth {
	if s.at.before(v("0.5.2")) {
		return truth{is: true}
	}
	return s.is("ssh.known_hosts")
}

func (s *scope) hasGitConfig() truth {
	if s.at.before(v("0.9.2")) {
		return truth{}
	}
	return s.is("git.config.enabled")
}

func (s *scope) gitConfigSecret() value {
	return s.word(s.get("git.config.secretName").or(s.named("-git-config")))
}

// hasMemcached follows the template, which from 1.2.0 on compares (flux:
// chart/flux/templates/memcached.yaml).
func (s *scope) hasMemcached() truth {
	switch {
	case s.at.before(v("0.14.0")):
		return truth{is: true}
	case s.at.before(v("1.2.0")):
		return s.is("memcached.enabled")
	}
	on := s.equals("memcached.enabled", true)
	if on.no() {
		return on
	}
	return on.and(s.equals("registry.disableScanning", false))
}

// chartBinding is a binding of the agent's account that the release makes.
type chartBinding struct {
	when      truth
	roleKind  string
	namespace value
	role      value
	binding   value
	// existing is true if the release binds a role that it does not make.
	existing bool
	// looksAround is true if the role only lists CRDs and namespaces, and policy is
	// the PodSecurityPolicy that it may only use; else it may do everything in its
	// namespace, or in the cluster.
	looksAround bool
	policy      value
}

// bindings are what the chart's RBAC objects grant (flux:
// chart/flux/templates/rbac.yaml, rbac-role.yaml, psp.yaml).
func (s *scope) bindings() []chartBinding {
	out := s.bindingsToRoles()
	if s.at.before(v("0.11.0")) {
		return out
	}
	// Kubernetes serves none since 1.25: whether it is bound matters to nobody where it
	// is not known.
	if psp := s.is("rbac.pspEnabled"); psp.yes() {
		out = append(out, chartBinding{when: psp, roleKind: "ClusterRole", role: s.named("-psp"), binding: s.named("-psp"), policy: s.word(s.named(""))})
	}
	return out
}

func (s *scope) bindingsToRoles() []chartBinding {
	var out []chartBinding
	makes := s.is("rbac.create")
	if makes.no() {
		return nil
	}
	cluster := value{}
	if s.at.before(v("0.11.0")) {
		return []chartBinding{{when: makes, roleKind: "ClusterRole", namespace: cluster, role: s.fullname(), binding: s.fullname()}}
	}
	create := s.is("clusterRole.create")
	if !create.no() {
		out = append(out, chartBinding{when: makes.and(create), roleKind: "ClusterRole", namespace: cluster, role: s.clusterRole(), binding: s.clusterRole()})
	}
	if !create.yes() && !s.at.before(v("0.12.0")) {
		if named := s.is("clusterRole.name"); !named.no() {
			out = append(out, chartBinding{when: makes.and(create.not()).and(named), roleKind: "ClusterRole", namespace: cluster,
				role: s.clusterRole(), binding: s.clusterRole(), existing: true})
		}
	}
	confined := s.equals("clusterRole.create", false)
	if confined.no() {
		return out
	}
	when := makes.and(confined)
	namespaces := s.namespaces()
	items, _ := namespaces.of.([]any)
	if namespaces.unknown != "" {
		items = []any{nil}
	}
	for _, item := range items {
		at := s.word(value{of: item, keys: []string{"allowedNamespaces"}, unknown: namespaces.unknown})
		out = append(out, chartBinding{when: when, roleKind: "Role", namespace: at, role: s.named(""), binding: s.named("")})
	}
	return append(out, chartBinding{when: when, roleKind: "ClusterRole", namespace: cluster, role: s.named("-crd"), binding: s.named(""), looksAround: true})
}

// grant is what the chart's RBAC objects give to the agent's account.
type grant struct {
	confinement migrate.Confinement
	rights      []migrate.Binding
	// boundRole is a ClusterRole that the release binds and does not make.
	boundRole string
}

func (b *chartBinding) usesPolicy() bool { return b.policy.of != nil }

// someName stands for that of a role or binding which is not known: the release makes
// both, so that they are copied, and the copies need a name only to be told apart.
const someName = "flux"

// rules are those of the roles that the chart makes (flux:
// chart/flux/templates/rbac.yaml, rbac-role.yaml).
func (b *chartBinding) rules() []rbacv1.PolicyRule {
	all := []string{"*"}
	rules := []rbacv1.PolicyRule{{APIGroups: all, Resources: all, Verbs: all}}
	switch {
	case b.looksAround:
		return []rbacv1.PolicyRule{
			{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"list"}},
		}
	case b.usesPolicy():
		policy, _ := b.policy.printed()
		return []rbacv1.PolicyRule{{APIGroups: []string{"policy"}, Resources: []string{"podsecuritypolicies"}, Verbs: []string{"use"}, ResourceNames: []string{policy}}}
	case b.roleKind == "ClusterRole":
		return append(rules, rbacv1.PolicyRule{NonResourceURLs: all, Verbs: all})
	}
	return rules
}

// GrantedByOthers is why the confinement of a release is unknown that gives its account no
// rights.
const GrantedByOthers = "rbac.create is off, so the account's rights were granted by others"

// granted sums the bindings up; unknown if they are not all known, or are made by
// someone else.
func (s *scope) granted() (g grant, unknown string) {
	if makes := s.is("rbac.create"); makes.unknown != "" {
		return grant{}, makes.unknown
	} else if !makes.is {
		return grant{}, GrantedByOthers
	}
	everywhere := false
	for _, b := range s.bindings() {
		if b.when.no() {
			continue
		}
		namespace, why := "", ""
		if b.roleKind == "Role" {
			namespace, why = b.namespace.printed()
		}
		role, whyNot := s.word(b.role).printed()
		if b.existing {
			g.boundRole, why = role, cmp.Or(why, whyNot)
		}
		if why = cmp.Or(b.when.unknown, why); why != "" {
			return grant{}, why
		}
		switch {
		case b.existing:
			continue
		case b.looksAround || b.usesPolicy():
		case b.roleKind == "ClusterRole":
			everywhere = true
		case slices.Contains(g.confinement.Namespaces, namespace):
			continue
		default:
			g.confinement.Namespaces = append(g.confinement.Namespaces, namespace)
		}
		name, _ := s.word(b.binding).printed()
		g.rights = append(g.rights, migrate.Binding{
			Namespace: namespace, Name: cmp.Or(name, someName), Rules: b.rules(), ReleaseOwned: true,
			Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: b.roleKind, Name: cmp.Or(role, someName)},
		})
	}
	slices.Sort(g.confinement.Namespaces)
	switch {
	case everywhere:
		g.confinement = migrate.Confinement{Kind: "cluster-admin"}
	case g.boundRole != "":
		return grant{boundRole: g.boundRole}, "the account is bound to ClusterRole " + g.boundRole + ", which the release does not make"
	case len(g.confinement.Namespaces) > 0:
		g.confinement.Kind = "namespaces"
	default:
		g.confinement.Kind = "none"
	}
	return g, ""
}

// kubeconfigNamespace is the namespace of objects that name none, when no flag
// says (flux: chart/flux/templates/kube.yaml).
func (s *scope) kubeconfigNamespace() value {
	switch has := s.hasKubeconfig(); {
	case has.unknown != "":
		return value{unknown: has.unknown, keys: []string{"kube.externalConfig"}}
	case !has.is:
		return value{unknown: "the kubeconfig is not the chart's (kube.externalConfig)", keys: []string{"kube.externalConfig"}}
	}
	switch confined := s.confined(); {
	case confined.unknown != "":
		return value{unknown: confined.unknown, keys: []string{"clusterRole.create"}}
	case confined.is:
		return s.namespace()
	}
	config := s.textual("kube.config", false)
	if config.unknown != "" {
		return config
	}
	namespace := contextNamespace(config.of)
	if namespace == "" {
		return value{unknown: "the kubeconfig cannot be read", keys: config.keys}
	}
	config.of = namespace
	return config
}

// contextNamespace is that of the current context of a kubeconfig; empty if it cannot be
// read.
func contextNamespace(config any) string {
	text, _ := config.(string)
	var parsed struct {
		CurrentContext string `json:"current-context"`
		Contexts       []struct {
			Name    string
			Context struct{ Namespace string }
		}
	}
	if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
		return ""
	}
	namespace := "default"
	for _, c := range parsed.Contexts {
		if c.Name == parsed.CurrentContext && c.Context.Namespace != "" {
			namespace = c.Context.Namespace
		}
	}
	return namespace
}

// mounts are the volumes in fluxd's container (flux:
// chart/flux/templates/deployment.yaml).
func (s *scope) mounts() []Mount {
	var out []Mount
	add := func(when truth, volume, path, kind string, name func() value) {
		if when.no() {
			return
		}
		m := Mount{Volume: volume, Path: path, Kind: kind, Unknown: when.unknown}
		if printed, unknown := name().printed(); unknown != "" {
			m.Unknown = unknown
		} else {
			m.Name = printed
		}
		out = append(out, m)
	}
	always := truth{is: true}
	nothing := func() value { return value{} }
	named := func(ending string) func() value { return func() value { return s.word(s.named(ending)) } }
	word := func(key string) func() value { return func() value { return s.word(s.get(key)) } }
	add(s.hasKubeconfig(), "kubedir", "/root/.kubectl", "ConfigMap", named("-kube-config"))
	add(s.hasKnownHosts(), "sshdir", "/root/.ssh", "ConfigMap", named("-ssh-config"))
	if on := s.hasGitConfig(); !on.no() {
		add(on, "git-config", "/root/.gitconfig", "Secret", s.gitConfigSecret)
	}
	add(always, "git-key", "/etc/fluxd/ssh", "Secret", s.keySecret)
	add(always, "git-keygen", "/var/fluxd/keygen", "EmptyDir", nothing)
	if !s.at.before(v("0.6.3")) {
		if on := s.is("registry.acr.enabled"); !on.no() {
			secret := truth{}
			if !s.at.before(v("0.15.0")) {
				secret = s.is("registry.acr.secretName")
			}
			if !secret.no() {
				add(on.and(secret), "acr-credentials", "/etc/kubernetes/", "Secret", word("registry.acr.secretName"))
			}
			add(on.and(secret.not()), "acr-credentials", "/etc/kubernetes/azure.json", "HostPath", nothing)
		}
	}
	if !s.at.before(v("0.7.0")) {
		add(s.is("registry.dockercfg.enabled"), "docker-credentials", "/dockercfg/", "Secret", func() value { return s.get("registry.dockercfg.secretName") })
		at := "/root/gpg-import/private"
		if s.at.before(v("0.10.0")) {
			at = "/root/gpg-import"
		}
		add(s.is("gpgKeys.secretName"), "gpg-keys", at, "Secret", word("gpgKeys.secretName"))
	}
	if !s.at.before(v("0.10.0")) {
		add(s.is("gpgKeys.configMapName"), "gpg-public-keys", "/root/gpg-import/public", "ConfigMap", word("gpgKeys.configMapName"))
	}
	if !s.at.before(v("0.9.0")) {
		out = append(out, s.extraMounts()...)
	}
	return out
}

// projectedIn are the Secrets and ConfigMaps of a projected volume, in order; what
// else it may hold, such as a token, has a part of no kind.
func projectedIn(volume tree, unknown string) ([]Mount, string) {
	list, _ := volume["sources"].([]any)
	if c, ok := unknownIn(volume["sources"]); ok && unknown == "" {
		unknown = cause(c)
	}
	var out []Mount
	for _, x := range list {
		source, _ := x.(tree)
		if c, ok := unknownIn(x); ok && unknown == "" {
			unknown = cause(c)
		}
		part := Mount{}
		for key, kind := range map[string]string{"secret": "Secret", "configMap": "ConfigMap"} {
			if of, ok := source[key].(tree); ok {
				part.Kind = kind
				part.Name, unknown = textIn(of, "name", unknown)
				part.Items, unknown = itemsIn(of, unknown)
			}
		}
		out = append(out, part)
	}
	return out, unknown
}

// extraMounts are those that the user adds.
func (s *scope) extraMounts() []Mount {
	volumes := s.copied("extraVolumes")
	if s.at.before(v("0.10.0")) && volumes.truth().yes() {
		s.fail("extraVolumes", "chart %s prints it with an indentation that is no YAML", s.at)
	}
	mounts := s.copied("extraVolumeMounts")
	if mounts.unknown != "" {
		return []Mount{{Unknown: mounts.unknown}}
	}
	items, _ := mounts.of.([]any)
	var out []Mount
	for _, item := range items {
		m, ok := item.(tree)
		if !ok {
			c, _ := unknownIn(item)
			out = append(out, Mount{Unknown: cause(c)})
			continue
		}
		mount := Mount{}
		mount.Volume, mount.Unknown = textIn(m, "name", mount.Unknown)
		mount.Path, mount.Unknown = textIn(m, "mountPath", mount.Unknown)
		mount.SubPath, mount.Unknown = textIn(m, "subPath", mount.Unknown)
		if volumes.unknown != "" {
			mount.Unknown = volumes.unknown
		}
		list, _ := volumes.of.([]any)
		for _, x := range list {
			volume, _ := x.(tree)
			if c, ok := unknownIn(x); ok && mount.Unknown == "" {
				mount.Unknown = c
			}
			if name, _ := volume["name"].(string); name != mount.Volume {
				continue
			}
			if secret, ok := volume["secret"].(tree); ok {
				mount.Kind = "Secret"
				mount.Name, mount.Unknown = textIn(secret, "secretName", mount.Unknown)
				mount.Items, mount.Unknown = itemsIn(secret, mount.Unknown)
			}
			if configMap, ok := volume["configMap"].(tree); ok {
				mount.Kind = "ConfigMap"
				mount.Name, mount.Unknown = textIn(configMap, "name", mount.Unknown)
				mount.Items, mount.Unknown = itemsIn(configMap, mount.Unknown)
			}
			if projected, ok := volume["projected"].(tree); ok {
				mount.Kind = "Projected"
				mount.Projected, mount.Unknown = projectedIn(projected, mount.Unknown)
			}
			if _, ok := volume["emptyDir"]; ok {
				mount.Kind = "EmptyDir"
			}
			if _, ok := volume["hostPath"]; ok {
				mount.Kind = "HostPath"
			}
		}
		out = append(out, mount)
	}
	return out
}

// itemsIn reads the keys that a volume names, by the paths that it gives them.
func itemsIn(volume tree, why string) (keys map[string]string, unknown string) {
	unknown = why
	list, ok := volume["items"].([]any)
	if c, is := unknownIn(volume["items"]); is && !ok {
		return nil, c
	}
	for _, x := range list {
		item, _ := x.(tree)
		if c, is := unknownIn(x); is {
			return nil, c
		}
		var key, at string
		key, unknown = textIn(item, "key", unknown)
		at, unknown = textIn(item, "path", unknown)
		if keys == nil {
			keys = map[string]string{}
		}
		keys[at] = key
	}
	return keys, unknown
}

// copied reads a list that is copied into a list of the manifest.
func (s *scope) copied(key string) value {
	x := s.get(key)
	if x.unknown != "" || !x.truth().is {
		return x
	}
	if _, ok := x.of.([]any); !ok {
		return s.fail(key, "it is %s, and the chart prints it into a list", typeName(x.of))
	}
	return x
}

// textIn reads a text of a mapping; why is kept if there is one already.
func textIn(m tree, key, why string) (text, unknown string) {
	switch x := m[key].(type) {
	case string:
		return x, why
	case nil:
		return "", why
	case Unknown:
		return "", x.Cause
	default:
		if why == "" {
			why = key + " is " + typeName(x) + ", and text is expected"
		}
		return "", why
	}
}

// environment is fluxd's, as far as the values say.
func (s *scope) environment() ([]Variable, []Source) {
	vars := []Variable{{Name: "KUBECONFIG", Value: kubeconfigFile}}
	extra := s.copied("extraEnvs")
	if extra.unknown != "" {
		vars = append(vars, Variable{Unknown: extra.unknown})
	}
	items, _ := extra.of.([]any)
	for _, item := range items {
		m, ok := item.(tree)
		if !ok {
			c, _ := unknownIn(item)
			vars = append(vars, Variable{Unknown: cause(c)})
			continue
		}
		vars = append(vars, s.variable(m))
	}
	var sources []Source
	if !s.at.before(v("1.6.0")) {
		more := s.copied("extraEnvsFrom")
		if more.unknown != "" {
			sources = append(sources, Source{Unknown: more.unknown})
		}
		items, _ := more.of.([]any)
		for _, item := range items {
			m, _ := item.(tree)
			src := Source{}
			if c, ok := unknownIn(item); ok {
				src.Unknown = c
			}
			src.Prefix, src.Unknown = textIn(m, "prefix", src.Unknown)
			for key, kind := range map[string]string{"secretRef": "Secret", "configMapRef": "ConfigMap"} {
				if ref, ok := m[key].(tree); ok {
					src.Kind = kind
					src.Name, src.Unknown = textIn(ref, "name", src.Unknown)
				}
			}
			sources = append(sources, src)
		}
	}
	if !s.at.before(v("0.15.0")) {
		switch name := s.get("env.secretName"); {
		case name.truth().unknown != "":
			sources = append(sources, Source{Kind: "Secret", Unknown: name.truth().unknown})
		case name.truth().is:
			printed, unknown := s.word(name).printed()
			if printed == "" && unknown == "" {
				unknown = s.fail("env.secretName", "it is printed into the manifest unquoted, where it is empty").unknown
			}
			sources = append(sources, Source{Kind: "Secret", Name: printed, Unknown: unknown})
		}
	}
	return vars, sources
}

// kubeconfigFile is the one that the release mounts, and names.
const kubeconfigFile = "/root/.kubectl/config"

// otherKubeconfig says why it is not known which kubeconfig fluxd reads: of several
// variables of a name the last counts, so that extraEnvs may name another.
func otherKubeconfig(env []Variable) (why string) {
	for _, x := range env {
		switch {
		case x.Name == "" && x.Unknown != "":
			why = x.Unknown
		case x.Name == "KUBECONFIG" && x.Value == kubeconfigFile && x.Unknown == "":
			why = ""
		case x.Name == "KUBECONFIG":
			why = "extraEnvs names another kubeconfig (KUBECONFIG)"
		}
	}
	return why
}

func (s *scope) variable(m tree) Variable {
	var x Variable
	x.Name, x.Unknown = textIn(m, "name", "")
	if from, ok := m["valueFrom"]; ok {
		ref, _ := from.(tree)
		if c, ok := unknownIn(from); ok {
			x.Unknown = c
		}
		if key, ok := ref["secretKeyRef"].(tree); ok {
			k := migrate.SecretKey{Namespace: s.release.Namespace}
			k.Name, x.Unknown = textIn(key, "name", x.Unknown)
			k.Key, x.Unknown = textIn(key, "key", x.Unknown)
			x.Secret = &k
		} else if key, ok := ref["configMapKeyRef"].(tree); ok {
			x.ConfigMap, x.Unknown = textIn(key, "name", x.Unknown)
			x.Key, x.Unknown = textIn(key, "key", x.Unknown)
		} else if x.Unknown == "" {
			x.Unknown = "it depends on the running pod"
		}
		return x
	}
	text, unknown := textIn(m, "value", x.Unknown)
	x.Value, x.Unknown = Text(text), unknown
	return x
}

// containers are those beside fluxd's.
func (s *scope) containers() (sidecars []Sidecar, unknown string) {
	if s.at.before(v("0.10.0")) {
		return nil, ""
	}
	extra := s.copied("extraContainers")
	if extra.unknown != "" {
		return nil, extra.unknown
	}
	items, _ := extra.of.([]any)
	for _, item := range items {
		m, _ := item.(tree)
		c := Sidecar{}
		c.Name, unknown = textIn(m, "name", unknown)
		c.Image, unknown = textIn(m, "image", unknown)
		if m == nil {
			if why, ok := unknownIn(item); ok {
				unknown = why
			}
		}
		sidecars = append(sidecars, c)
	}
	return sidecars, unknown
}

// memcached is what the release's memcached asks for; nothing if it makes none.
func (s *scope) memcached() (migrate.Requests, string) {
	has := s.hasMemcached()
	r, unknown := s.requests("memcached.resources")
	switch {
	case has.no():
		return migrate.Requests{}, ""
	case has.unknown != "":
		return migrate.Requests{}, has.unknown
	case unknown != "":
		return migrate.Requests{}, unknown
	}
	return r, ""
}

// requests of the container whose resources stand at a path.
func (s *scope) requests(path string) (migrate.Requests, string) {
	all := s.get(path)
	if all.unknown != "" {
		return migrate.Requests{}, all.unknown
	}
	whole := scope{at: s.at, values: all.of}
	if all.of == nil {
		return migrate.Requests{}, ""
	}
	asked := func(name string) (text, unknown string) {
		for _, of := range []string{"requests", "limits"} { // a limit counts where there is no request
			section := whole.get(of)
			if section.unknown != "" || section.of == nil {
				if unknown = section.unknown; unknown != "" {
					return "", unknown
				}
				continue
			}
			if text, unknown = (&scope{at: s.at, values: section.of}).get(name).printed(); text+unknown != "" {
				return text, unknown
			}
		}
		return "", ""
	}
	cpu, unknown := asked("cpu")
	memory, unknownMemory := asked("memory")
	if unknown == "" {
		unknown = unknownMemory
	}
	if unknown == notRendered {
		unknown = "resources are of another form than Kubernetes expects"
	}
	return migrate.Requests{CPU: cpu, Memory: memory}, unknown
}
