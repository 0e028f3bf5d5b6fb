package fleet

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// rendered is what the chart makes, by kind/namespace/name (namespace empty if
// the manifest names none).
type rendered map[string][]byte

// renderChart renders the chart as helm template does, for a release in namespace flux.
func renderChart(release, values string) (rendered, error) {
	var given map[string]any
	if err := yaml.Unmarshal([]byte(values), &given); err != nil {
		return nil, err
	}
	install := action.NewInstall(&action.Configuration{Capabilities: chartutil.DefaultCapabilities, Log: func(string, ...any) {}})
	install.DryRun, install.ClientOnly, install.Replace = true, true, true
	install.ReleaseName, install.Namespace = release, "flux"
	chart, err := Chart()
	if err != nil {
		return nil, err
	}
	made, err := install.Run(chart, given)
	if err != nil {
		return nil, err
	}
	objects := rendered{}
	for _, document := range strings.Split("\n"+made.Manifest, "\n---\n") {
		var header struct {
			Kind     string
			Metadata struct{ Namespace, Name string }
		}
		if err := yaml.Unmarshal([]byte(document), &header); err != nil {
			return nil, err
		}
		if header.Kind != "" {
			objects[header.Kind+"/"+header.Metadata.Namespace+"/"+header.Metadata.Name] = []byte(document)
		}
	}
	return objects, nil
}

func mustRender(t *testing.T, release, values string) rendered {
	t.Helper()
	objects, err := renderChart(release, values)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func get[T any](t *testing.T, objects rendered, id string) T {
	t.Helper()
	var object T
	content, found := objects[id]
	if !found {
		t.Fatalf("no %s among %q", id, objects.ids())
	}
	if err := yaml.UnmarshalStrict(content, &object); err != nil {
		t.Fatalf("%s: %v\n%s", id, err, content)
	}
	return object
}

func (r rendered) ids() []string {
	var ids []string
	for id := range r {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// defaultArgs are the arguments without any value set (reference 1.3).
var defaultArgs = []string{
	"--log-format=fmt",
	"--ssh-keygen-dir=/var/fluxd/keygen",
	"--ssh-keygen-format=RFC4716",
	"--k8s-secret-name=flux-git-deploy",
	"--memcached-hostname=flux-memcached",
	"--sync-state=git",
	"--memcached-service=",
	"--git-url=",
	"--git-branch=master",
	"--git-path=",
	"--git-readonly=false",
	"--git-user=Weave Flux",
	"--git-email=support@weave.works",
	"--git-verify-signatures=false",
	"--git-set-author=false",
	"--git-poll-interval=5m",
	"--git-timeout=20s",
	"--sync-interval=5m",
	"--git-ci-skip=false",
	"--automation-interval=5m",
	"--registry-rps=200",
	"--registry-burst=125",
	"--registry-trace=false",
}

func TestChartRendersArgumentsInTheReferencesOrder(t *testing.T) {
	everything := `
defaultNamespace: apps
clusterRole: {create: false}
allowedNamespaces: [a, b]
git: {url: "ssh://git@example.com/org/repo", branch: main, path: "a,b", readonly: true, user: bot, email: bot@example.com,
  signingKey: K, verifySignaturesMode: all, setAuthor: true, secret: {enabled: true}, pollInterval: 1m, timeout: 30s,
  ciSkip: true, label: mark, secretName: key, secretDataKey: id}
sync: {state: secret, timeout: 2m, interval: 10m}
gpgKeys: {secretName: private, configMapName: public}
sops: {enabled: true}
manifestGeneration: true
registry: {pollInterval: 2m, ecr: {require: true, region: r, includeId: i, excludeId: e}, insecureHosts: h, cacheExpiry: 1h,
  disableScanning: true, excludeImage: x, includeImage: in, useTimestampLabels: l, dockercfg: {enabled: true, secretName: d}}
memcached: {hostnameOverride: cache}
token: T
syncGarbageCollection: {enabled: true}
additionalArgs: [--git-path=c]
`
	for _, c := range []struct {
		name, release, values string
		want                  []string
		// change, if want is nil, is what differs from defaultArgs: an argument
		// replaces the one of the same flag; one that is new stands after after.
		change []string
		after  string
		absent string
	}{
		{name: "defaults", values: `{}`, want: defaultArgs},
		{name: "everything", values: everything, want: []string{
			"--k8s-allow-namespace=a,b,flux", "--k8s-default-namespace=apps", "--log-format=fmt",
			"--ssh-keygen-dir=/var/fluxd/keygen", "--ssh-keygen-format=RFC4716", "--k8s-secret-name=key", "--k8s-secret-data-key=id",
			"--memcached-hostname=cache", "--sync-state=secret", "--sync-timeout=2m", "--memcached-service=",
			"--git-url=ssh://git@example.com/org/repo", "--git-branch=main", "--git-path=a,b", "--git-readonly=true",
			"--git-user=bot", "--git-email=bot@example.com",
			"--git-gpg-key-import=/root/gpg-import/private,/root/gpg-import/public", "--git-signing-key=K",
			"--git-verify-signatures-mode=all", "--git-set-author=true", "--git-secret", "--git-poll-interval=1m", "--git-timeout=30s",
			"--sync-interval=10m", "--git-ci-skip=true", "--git-label=mark", "--sops=true", "--manifest-generation=true",
			"--automation-interval=2m", "--registry-rps=200", "--registry-burst=125", "--registry-trace=false", "--registry-require=ecr",
			"--registry-insecure-host=h", "--registry-cache-expiry=1h", "--registry-disable-scanning", "--registry-exclude-image=x",
			"--registry-include-image=in", "--registry-use-labels=l", "--registry-ecr-region=r", "--registry-ecr-include-id=i",
			"--registry-ecr-exclude-id=e", "--docker-config=/dockercfg/config.json", "--connect=wss://cloud.weave.works/api/flux",
			"--token=T", "--sync-garbage-collection=true", "--git-path=c",
		}},
		{name: "allowed namespaces are not read while the cluster role is made", values: `allowedNamespaces: [a, b]`, want: defaultArgs},
		{name: "sync interval follows the poll interval", values: `git: {pollInterval: 1m}`,
			change: []string{"--git-poll-interval=1m", "--sync-interval=1m"}},
		{name: "a list of paths is printed as Go prints it", values: `git: {path: [a, b]}`, change: []string{"--git-path=[a b]"}},
		{name: "collection off wins nothing over dry", values: `syncGarbageCollection: {enabled: true, dry: true}`,
			change: []string{"--sync-garbage-collection-dry=true"}, after: "--registry-trace=false"},
		{name: "only private keys", values: `gpgKeys: {secretName: private}`,
			change: []string{"--git-gpg-key-import=/root/gpg-import/private"}, after: "--git-email=support@weave.works"},
		{name: "only public keys", values: `gpgKeys: {configMapName: public}`,
			change: []string{"--git-gpg-key-import=/root/gpg-import/public"}, after: "--git-email=support@weave.works"},
		{name: "no service of memcached", values: `memcached: {createClusterIP: false}`, absent: "--memcached-service="},
		{name: "no log format", values: `logFormat: ""`, absent: "--log-format=fmt"},
		{name: "names follow the release", release: "team-a", values: `{}`,
			change: []string{"--k8s-secret-name=team-a-flux-git-deploy", "--memcached-hostname=team-a-flux-memcached"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			release := c.release
			if release == "" {
				release = "flux"
			}
			want := c.want
			if want == nil {
				want = slices.Clone(defaultArgs)
				for _, arg := range c.change {
					flag, _, _ := strings.Cut(arg, "=")
					at := slices.IndexFunc(want, func(a string) bool { return strings.HasPrefix(a, flag+"=") })
					if at >= 0 {
						want[at] = arg
					} else {
						want = slices.Insert(want, slices.Index(want, c.after)+1, arg)
					}
				}
				want = slices.DeleteFunc(want, func(a string) bool { return a == c.absent })
			}
			fullname := release
			if !strings.Contains(release, "flux") {
				fullname += "-flux"
			}
			agent := get[appsv1.Deployment](t, mustRender(t, release, c.values), "Deployment/flux/"+fullname)
			if diff := cmp.Diff(want, agent.Spec.Template.Spec.Containers[0].Args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChartGivesTheRightsOfTheReference(t *testing.T) {
	account := []string{"ServiceAccount/flux/flux"}
	admin := []string{"ClusterRole//flux", "ClusterRoleBinding//flux"}
	confined := []string{
		"ClusterRole//flux-crd", "ClusterRoleBinding//flux",
		"Role/a/flux", "Role/b/flux", "Role/flux/flux", "RoleBinding/a/flux", "RoleBinding/b/flux", "RoleBinding/flux/flux",
	}
	for _, c := range []struct {
		name, values, account string
		want                  []string
		roleRef               map[string]string // binding → role
	}{
		{"default", `{}`, "flux", slices.Concat(admin, account), map[string]string{"ClusterRoleBinding//flux": "flux"}},
		{"confined", `{clusterRole: {create: false}, allowedNamespaces: [a, b]}`, "flux", slices.Concat(confined, account),
			map[string]string{"ClusterRoleBinding//flux": "flux-crd", "RoleBinding/a/flux": "flux"}},
		{"confined with another role", `{clusterRole: {create: false, name: X}, allowedNamespaces: [a, b]}`, "flux",
			slices.Concat(confined, []string{"ClusterRoleBinding//X"}, account),
			map[string]string{"ClusterRoleBinding//X": "X", "ClusterRoleBinding//flux": "flux-crd"}},
		{"named role", `{clusterRole: {name: X}}`, "flux", slices.Concat([]string{"ClusterRole//X", "ClusterRoleBinding//X"}, account),
			map[string]string{"ClusterRoleBinding//X": "X"}},
		{"no rights made", `{rbac: {create: false}}`, "flux", account, nil},
		{"no account made", `{serviceAccount: {create: false}}`, "default", admin, nil},
		{"other account", `{serviceAccount: {create: false, name: mine}}`, "mine", admin, nil},
		{"named account", `{serviceAccount: {name: mine}}`, "mine", slices.Concat(admin, []string{"ServiceAccount/flux/mine"}), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := mustRender(t, "flux", c.values)
			var got []string
			for _, id := range objects.ids() {
				if strings.Contains(id, "Role") || strings.Contains(id, "Account") {
					got = append(got, id)
				}
			}
			slices.Sort(c.want)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			agent := get[appsv1.Deployment](t, objects, "Deployment/flux/flux")
			if agent.Spec.Template.Spec.ServiceAccountName != c.account {
				t.Errorf("account = %s, want %s", agent.Spec.Template.Spec.ServiceAccountName, c.account)
			}
			for id, role := range c.roleRef {
				binding := get[rbacv1.ClusterRoleBinding](t, objects, id) // a RoleBinding has the same fields
				subject := []rbacv1.Subject{{Kind: "ServiceAccount", Name: c.account, Namespace: "flux"}}
				if binding.RoleRef.Name != role || !cmp.Equal(binding.Subjects, subject) {
					t.Errorf("%s binds %v to %s, want %v to %s", id, binding.Subjects, binding.RoleRef.Name, subject, role)
				}
			}
			for _, id := range got {
				if !strings.HasPrefix(id, "Role/") && (!strings.HasPrefix(id, "ClusterRole/") || strings.HasSuffix(id, "-crd")) {
					continue
				}
				rules := get[rbacv1.ClusterRole](t, objects, id).Rules
				if len(rules) == 0 || !cmp.Equal(rules[0], rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}) {
					t.Errorf("%s: rules %v, want everything", id, rules)
				}
			}
		})
	}
}

func TestChartMountsWhatTheAgentNeeds(t *testing.T) {
	for _, c := range []struct {
		name, values string
		mounts       map[string]string // name → path
		secrets      map[string]string // volume → Secret
	}{
		{"default", `{}`, map[string]string{"kubedir": "/root/.kubectl", "git-key": "/etc/fluxd/ssh", "git-keygen": "/var/fluxd/keygen"},
			map[string]string{"git-key": "flux-git-deploy"}},
		{"known hosts", `{ssh: {known_hosts: "h ssh-ed25519 A"}}`,
			map[string]string{"kubedir": "/root/.kubectl", "sshdir": "/root/.ssh", "git-key": "/etc/fluxd/ssh", "git-keygen": "/var/fluxd/keygen"}, nil},
		{"ssh config alone is not mounted", `{ssh: {config: "Host x"}}`,
			map[string]string{"kubedir": "/root/.kubectl", "git-key": "/etc/fluxd/ssh", "git-keygen": "/var/fluxd/keygen"}, nil},
		{"own key, gpg, git config, docker, external kubeconfig",
			`{git: {secretName: key, config: {enabled: true}}, gpgKeys: {secretName: p, configMapName: q}, kube: {externalConfig: true},
			  registry: {dockercfg: {enabled: true, secretName: d}, acr: {enabled: true}}}`,
			map[string]string{"git-config": "/root/.gitconfig", "git-key": "/etc/fluxd/ssh", "git-keygen": "/var/fluxd/keygen",
				"gpg-keys": "/root/gpg-import/private", "gpg-public-keys": "/root/gpg-import/public", "docker-credentials": "/dockercfg/",
				"acr-credentials": "/etc/kubernetes/azure.json"},
			map[string]string{"git-key": "key", "git-config": "flux-git-config", "gpg-keys": "p", "docker-credentials": "d"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := get[appsv1.Deployment](t, mustRender(t, "flux", c.values), "Deployment/flux/flux").Spec.Template.Spec
			mounts, volumes := map[string]string{}, map[string]corev1.Volume{}
			for _, mount := range pod.Containers[0].VolumeMounts {
				mounts[mount.Name] = mount.MountPath
			}
			if diff := cmp.Diff(c.mounts, mounts); diff != "" {
				t.Errorf("mounts (-want +got):\n%s", diff)
			}
			for _, volume := range pod.Volumes {
				volumes[volume.Name] = volume
				if _, found := mounts[volume.Name]; !found {
					t.Errorf("volume %s is mounted nowhere", volume.Name)
				}
			}
			for name := range mounts {
				if _, found := volumes[name]; !found {
					t.Errorf("mount %s has no volume", name)
				}
			}
			for name, secret := range c.secrets {
				if source := volumes[name].Secret; source == nil || source.SecretName != secret {
					t.Errorf("volume %s is %+v, want Secret %s", name, source, secret)
				}
			}
		})
	}
}

func TestChartMakesTheOtherObjectsOfTheReference(t *testing.T) {
	const key, kube, ssh = "Secret/flux/flux-git-deploy", "ConfigMap/flux/flux-kube-config", "ConfigMap/flux/flux-ssh-config"
	const cache, cacheService, gitConfig = "Deployment/flux/flux-memcached", "Service/flux/flux-memcached", "Secret/flux/flux-git-config"
	for _, c := range []struct {
		name, values    string
		present, absent []string
	}{
		{"default", `{}`, []string{key, kube, cache, cacheService, "Service/flux/flux"}, []string{ssh, gitConfig}},
		{"own key", `{git: {secretName: mine}}`, nil, []string{key, "Secret/flux/mine"}},
		{"no scanning", `{registry: {disableScanning: true}}`, nil, []string{cache, cacheService}},
		{"no memcached", `{memcached: {enabled: false}}`, nil, []string{cache, cacheService}},
		{"known hosts", `{ssh: {known_hosts: h}}`, []string{ssh}, nil},
		{"git config", `{git: {config: {enabled: true, data: x}}}`, []string{gitConfig}, nil},
		{"external kubeconfig", `{kube: {externalConfig: true}}`, nil, []string{kube}},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := mustRender(t, "flux", c.values)
			for _, id := range c.present {
				if objects[id] == nil {
					t.Errorf("no %s", id)
				}
			}
			for _, id := range c.absent {
				if objects[id] != nil {
					t.Errorf("%s is there", id)
				}
			}
		})
	}
	hosts := "[127.0.0.1]:22 ssh-ed25519 AAAA\nother ssh-rsa BBBB\n"
	config := get[corev1.ConfigMap](t, mustRender(t, "flux", `{ssh: {known_hosts: "`+strings.ReplaceAll(hosts, "\n", `\n`)+`", config: "Host x"}}`), ssh)
	if want := map[string]string{"known_hosts": hosts, "config": "Host x"}; !cmp.Equal(config.Data, want) {
		t.Errorf("ssh config = %q, want %q", config.Data, want)
	}
	for values, namespace := range map[string]string{`{}`: "default", `{clusterRole: {create: false}}`: "flux"} {
		config := get[corev1.ConfigMap](t, mustRender(t, "flux", values), kube)
		if !strings.Contains(config.Data["config"], "namespace: "+namespace+"\n") {
			t.Errorf("values %s: kubeconfig %q, want namespace %s", values, config.Data["config"], namespace)
		}
	}
}

func TestChartMarksAndRunsTheAgentAsTheReferenceSays(t *testing.T) {
	objects := mustRender(t, "team-a", `{extraEnvs: [{name: A, value: b}], extraEnvsFrom: [{configMapRef: {name: more}}], env: {secretName: login},
  podLabels: {team: a}, resources: {requests: {cpu: "1", memory: 512Mi}}, replicaCount: 0}`)
	agent := get[appsv1.Deployment](t, objects, "Deployment/flux/team-a-flux")
	if want := map[string]string{"app": "flux", "chart": "flux-1.13.3", "release": "team-a", "heritage": "Helm"}; !cmp.Equal(agent.Labels, want) {
		t.Errorf("labels = %v, want %v", agent.Labels, want)
	}
	if want := map[string]string{"app": "flux", "release": "team-a"}; !cmp.Equal(agent.Spec.Selector.MatchLabels, want) {
		t.Errorf("selector = %v, want %v", agent.Spec.Selector.MatchLabels, want)
	}
	if want := map[string]string{"app": "flux", "release": "team-a", "team": "a"}; !cmp.Equal(agent.Spec.Template.Labels, want) {
		t.Errorf("pod labels = %v, want %v", agent.Spec.Template.Labels, want)
	}
	if agent.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || *agent.Spec.Replicas != 0 {
		t.Errorf("strategy %s, replicas %d, want Recreate and 0", agent.Spec.Strategy.Type, *agent.Spec.Replicas)
	}
	container := agent.Spec.Template.Spec.Containers[0]
	if container.Name != "flux" || container.Image != "docker.io/fluxcd/flux:1.25.4" {
		t.Errorf("container %s runs %s", container.Name, container.Image)
	}
	if want := []corev1.EnvVar{{Name: "KUBECONFIG", Value: "/root/.kubectl/config"}, {Name: "A", Value: "b"}}; !cmp.Equal(container.Env, want) {
		t.Errorf("env = %v, want %v", container.Env, want)
	}
	if len(container.EnvFrom) != 2 || container.EnvFrom[0].ConfigMapRef.Name != "more" || container.EnvFrom[1].SecretRef.Name != "login" {
		t.Errorf("envFrom = %+v, want ConfigMap more, then Secret login", container.EnvFrom)
	}
	for _, probe := range []*corev1.Probe{container.LivenessProbe, container.ReadinessProbe} {
		if probe == nil || probe.HTTPGet.Path != "/api/flux/v6/identity.pub" || probe.HTTPGet.Port.IntValue() != 3030 {
			t.Errorf("probe = %+v", probe)
		}
	}
	if got := container.Resources.Requests.Cpu().String() + " " + container.Resources.Requests.Memory().String(); got != "1 512Mi" {
		t.Errorf("requests = %s", got)
	}
}

func TestChartRefusesWhatItDoesNotMake(t *testing.T) {
	for _, values := range []string{`{rbac: {pspEnabled: true}}`, `{prometheus: {serviceMonitor: {create: true}}}`, `{dashboards: {enabled: true}}`} {
		if _, err := renderChart("flux", values); err == nil {
			t.Errorf("values %s: no error", values)
		}
	}
}

type addresses struct{}

func (addresses) HTTPURL(repo string) string { return "http://127.0.0.1:80/" + repo + ".git" }
func (addresses) SSHURL(repo string) string  { return "ssh://git@127.0.0.1:22/" + repo + ".git" }
func (addresses) KnownHosts() string         { return "[127.0.0.1]:22 ssh-ed25519 AAAA\n" }

func TestUniformTeamsGetTheirSettingsThroughTheChart(t *testing.T) {
	for _, team := range mustGenerate(t, Options{Teams: 9, Apps: 1, PollInterval: 90e9}) {
		values, err := yaml.Marshal(team.ChartValues(addresses{}))
		if err != nil {
			t.Fatal(err)
		}
		agent := get[appsv1.Deployment](t, mustRender(t, team.Release, string(values)), "Deployment/flux/"+team.Release)
		container := agent.Spec.Template.Spec.Containers[0]
		want := map[string]bool{
			"--git-branch=" + team.Branch:                            true,
			"--git-path=production":                                  true,
			"--git-poll-interval=1m30s":                              true,
			"--sync-interval=5m0s":                                   true,
			"--registry-disable-scanning":                            true,
			"--sync-garbage-collection=true":                         team.GarbageCollection,
			"--git-url=ssh://git@127.0.0.1:22/" + team.Repo + ".git": team.SSH,
			"--git-url=http://$(GIT_AUTHUSER):$(GIT_AUTHKEY)@127.0.0.1:80/" + team.Repo + ".git": !team.SSH,
			"--k8s-secret-name=" + team.KeySecret():                                              team.SSH,
		}
		for arg, present := range want {
			if slices.Contains(container.Args, arg) != present {
				t.Errorf("%s: argument %s present = %v in %q", team.Name, arg, !present, container.Args)
			}
		}
		if !team.SSH && container.EnvFrom[0].SecretRef.Name != team.CredentialsSecret() {
			t.Errorf("%s: envFrom = %v", team.Name, container.EnvFrom)
		}
	}
}
