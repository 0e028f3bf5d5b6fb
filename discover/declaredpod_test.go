package discover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/google/go-cmp/cmp"
)

// The same environment as a Deployment has in TestProxyCertificatesAndRolesAreFoundByPlace
// means the same where Terraform declares it, as a release and as a manifest.
func TestADeclaredAgentReachesItsServerAsALiveOneDoes(t *testing.T) {
	const https = "https://git.example.com/a"
	inMap := migrate.Value{ConfigMap: &migrate.SecretKey{Namespace: "flux", Name: "ca", Key: "ca.pem"}}
	inSecret := func(key string) migrate.Value {
		return migrate.Value{Secret: &migrate.SecretKey{Namespace: "flux", Name: "net", Key: key}}
	}
	none := migrate.AgentCredential{Kind: "none"}
	with := func(proxy, ca migrate.Value) migrate.AgentCredential {
		return migrate.AgentCredential{Kind: "none", Proxy: proxy, CA: ca}
	}
	coded := func(v migrate.Value) migrate.Value { v.PercentEncoded = true; return v }
	const mapped = "{name: ca, configMap: {name: ca}}"
	for name, c := range map[string]struct {
		url, env, from, volumes, mounts string
		want                            migrate.AgentCredential
		codes                           []string
		fate                            migrate.Fate // of the first variable
	}{
		"nothing":                                  {url: https, want: none},
		"a proxy":                                  {url: https, env: "{name: HTTPS_PROXY, value: 'p:3128'}", want: with(migrate.Value{Literal: "p:3128"}, migrate.Value{}), codes: []string{"PROXY"}, fate: migrate.Carried},
		"a proxy with a password":                  {url: https, env: "{name: https_proxy, value: 'http://u:MARKED-SECRET@p:1'}", want: with(migrate.Value{Variable: "https_proxy"}, migrate.Value{}), codes: []string{"PROXY"}, fate: migrate.Carried},
		"a proxy in a Secret":                      {url: https, env: "{name: HTTPS_PROXY, valueFrom: {secretKeyRef: {name: net, key: proxy}}}", want: with(inSecret("proxy"), migrate.Value{}), codes: []string{"PROXY"}, fate: migrate.Carried},
		"a proxy in a ConfigMap":                   {url: https, env: "{name: HTTPS_PROXY, valueFrom: {configMapKeyRef: {name: net, key: proxy}}}", want: none, codes: []string{"PROXY_UNKNOWN"}, fate: migrate.Carried},
		"a proxy for another host":                 {url: https, env: "{name: HTTPS_PROXY, value: 'p:3128'}, {name: NO_PROXY, value: .example.com}", want: none, fate: migrate.Dropped},
		"a proxy that git does not take":           {url: https, env: "{name: HTTP_PROXY, value: 'p:3128'}", want: none, fate: migrate.Dropped},
		"certificates in a file":                   {url: https, volumes: mapped, mounts: "{name: ca, mountPath: /etc/ssl/cert.pem, subPath: ca.pem}", want: with(migrate.Value{}, inMap)},
		"certificates of one key":                  {url: https, volumes: "{name: ca, configMap: {name: ca, items: [{key: ca.pem, path: own}]}}", mounts: "{name: ca, mountPath: /etc/ssl/certs/own.pem, subPath: own}", want: with(migrate.Value{}, inMap)},
		"certificates of a projected volume":       {url: https, volumes: "{name: ca, projected: {sources: [{secret: {name: other, items: [{key: a, path: a}]}}, {configMap: {name: ca, items: [{key: ca.pem, path: own}]}}]}}", mounts: "{name: ca, mountPath: /etc/ssl/certs/own.pem, subPath: own}", want: with(migrate.Value{}, inMap)},
		"certificates of one Secret among several": {url: https, volumes: "{name: ca, projected: {sources: [{configMap: {name: ca}}, {secret: {name: net, items: [{key: ca, path: own}]}}]}}", mounts: "{name: ca, mountPath: /etc/ssl/certs/own.pem, subPath: own}", want: with(migrate.Value{}, inSecret("ca"))},
		"certificates among the system's":          {url: https, volumes: mapped, mounts: "{name: ca, mountPath: /etc/ssl/certs/own.pem, subPath: ca.pem}", want: with(migrate.Value{}, inMap)},
		"certificates of unknown names":            {url: https, volumes: mapped, mounts: "{name: ca, mountPath: /etc/ssl/certs}", want: none, codes: []string{"CUSTOM_CA"}},
		"certificates from nowhere":                {url: https, volumes: "{name: ca, hostPath: {path: /etc/ssl/certs}}", mounts: "{name: ca, mountPath: /etc/ssl/certs}", want: none, codes: []string{"CUSTOM_CA"}},
		"certificates that git never saw":          {url: https, env: "{name: GIT_SSL_CAINFO, value: /ca/ca.pem}, {name: GIT_SSL_NO_VERIFY, value: '1'}", volumes: mapped, mounts: "{name: ca, mountPath: /ca}", want: none, fate: migrate.Dropped},
		"a proxy that git never saw":               {url: https, env: "{name: ALL_PROXY, value: 'p:3128'}", want: none, fate: migrate.Dropped},
		"a .netrc":                                 {url: https, volumes: "{name: own, secret: {secretName: own}}", mounts: "{name: own, mountPath: /root/.netrc, subPath: netrc}", want: migrate.AgentCredential{Kind: "basic"}, codes: []string{"CREDENTIAL_IN_CLUSTER"}},
		"a user and password in a Secret": {url: "https://$(U):$(P)@git.example.com/a", from: "{secretRef: {name: net}}",
			want: migrate.AgentCredential{Kind: "basic", Username: coded(inSecret("U")), Password: coded(inSecret("P"))}},
	} {
		t.Run(name, func(t *testing.T) {
			values := fmt.Sprintf("git: {url: %q}\nextraEnvs: [%s]\nextraEnvsFrom: [%s]\nextraVolumes: [%s]\nextraVolumeMounts: [%s]\n", c.url, c.env, c.from, c.volumes, c.mounts)
			manifest := fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec: {template: {spec: {volumes: [%s], containers: [{name: flux, image: fluxcd/flux, args: [%q], env: [%s], envFrom: [%s], volumeMounts: [%s]}]}}}\n",
				c.volumes, "--git-url="+c.url, c.env, c.from, c.mounts)
			for form, text := range map[string]string{
				"release":  "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [" + strconv.Quote(values) + "]\n}\n",
				"manifest": "resource \"kubectl_manifest\" \"flux\" {\n yaml_body = " + strconv.Quote(manifest) + "\n}\n",
			} {
				inv := declaredBy(t, map[string]string{"main.tf": text})
				equal(t, form+": agents", agentIDs(inv), []string{"flux/flux"})
				if d := cmp.Diff(c.want, inv.Agents[0].Credential); d != "" {
					t.Errorf("%s: %s", form, d)
				}
				var codes []string
				for _, f := range inv.Findings {
					if slices.ContainsFunc(append(slices.Clone(reachCodes), CredentialMissing, CredentialPlace, CredentialInCluster), func(k flux1.Code) bool { return k.Name == f.Code }) {
						codes = append(codes, f.Code)
						if !strings.HasPrefix(f.Where, "main.tf:") {
							t.Errorf("%s: %s stands in %q", form, f.Code, f.Where)
						}
					}
				}
				if d := cmp.Diff(c.codes, codes); d != "" {
					t.Errorf("%s: %s", form, d)
				}
				for _, s := range inv.Agents[0].Settings {
					if first := s.Name == "extraEnvs[0].name" || form == "manifest" && strings.HasPrefix(s.Name, "env.") && !strings.EqualFold(s.Name, "env.no_proxy"); first && s.Fate != c.fate {
						t.Errorf("%s: %s is %s (%s), want %s", form, s.Name, s.Fate, s.Why, c.fate)
					}
				}
				if tells(asJSON(inv)) {
					t.Errorf("%s: a secret is told", form)
				}
			}
		})
	}
}

func TestAProxyThatNothingTellsIsSaid(t *testing.T) {
	release := func(version, values string) string {
		return "variable \"envs\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n" + version + " values = [" + values + "]\n}\n"
	}
	const pinned = " version = \"1.13.3\"\n"
	for name, c := range map[string]struct{ config, says string }{
		"unknown variables": {release(pinned, "yamlencode({git = {url = \"https://h/a\"}, extraEnvs = var.envs})"), "envs"},
		"an unknown value":  {release(pinned, "yamlencode({git = {url = \"https://h/a\"}, extraEnvs = [{name = \"HTTPS_PROXY\", value = var.envs}]})"), "envs"},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": c.config})
			wantFinding(t, inv, ProxyUnknown, "flux/flux", c.says)
		})
	}
	// Over SSH it does not matter.
	noFinding(t, declaredBy(t, map[string]string{"main.tf": release(pinned, "yamlencode({git = {url = \"git@h:a\"}, extraEnvs = var.envs})")}), ProxyUnknown)

	values := "git: {url: https://h/a}\nextraEnvs: [{name: HTTPS_PROXY, value: 'p:1'}]\n"
	inv, err := Values(t.Context(), []ValuesFile{{Name: "flux/flux", File: "v.yaml", Content: []byte(values)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := inv.Agents[0].Credential; got.Proxy.Literal != "p:1" || got.Kind != "none" {
		t.Errorf("%+v", got)
	}
	wantFinding(t, inv, Proxy, "flux/flux")
}

// What charts before 0.15.0 and 0.9.0 do not read is read where the version is not
// pinned, and what only the cluster tells is not missing.
func TestACredentialThatOnlyTheClusterTellsIsNotMissing(t *testing.T) {
	inSecret := func(name, key string) migrate.Value {
		return migrate.Value{Secret: &migrate.SecretKey{Namespace: "flux", Name: name, Key: key}, PercentEncoded: true}
	}
	known := migrate.AgentCredential{Kind: "basic", Username: inSecret("git-auth", "GIT_AUTHUSER"), Password: inSecret("git-auth", "GIT_AUTHKEY")}
	unknown := migrate.AgentCredential{Kind: "basic"}
	const pinned, git = "version = \"1.13.3\"", "git = {url = \"https://$(GIT_AUTHUSER):$(GIT_AUTHKEY)@git.example.com/a\"}, "
	for name, c := range map[string]struct {
		version, values string
		want            migrate.AgentCredential
		says            string // of CREDENTIAL_IN_CLUSTER; empty if there is none
	}{
		"no version is pinned":                {"", "env = {secretName = \"git-auth\"}", known, ""},
		"nor is one, with other mounts":       {"", "env = {secretName = \"git-auth\"}, extraVolumes = [{name = \"d\", configMap = {name = \"d\"}}], extraVolumeMounts = [{name = \"d\", mountPath = \"/etc/docker\"}]", known, ""},
		"nor is one, with two sources":        {"", "env = {secretName = \"git-auth\"}, extraEnvsFrom = [{secretRef = {name = \"more\"}}]", unknown, "which Secret or ConfigMap of envFrom sets it"},
		"two sources":                         {pinned, "env = {secretName = \"git-auth\"}, extraEnvsFrom = [{secretRef = {name = \"more\"}}]", unknown, "which Secret or ConfigMap of envFrom sets it"},
		"one key of a ConfigMap":              {pinned, "env = {secretName = \"git-auth\"}, extraEnvs = [{name = \"GIT_AUTHUSER\", valueFrom = {configMapKeyRef = {name = \"who\", key = \"user\"}}}]", migrate.AgentCredential{Kind: "basic", Password: known.Password}, "what ConfigMap who holds"},
		"a Secret of a name that is not told": {pinned, "env = {secretName = var.x}", unknown, "var.x"},
		"sources that are not told":           {pinned, "extraEnvsFrom = var.x", unknown, "var.x"},
		"variables that are not told":         {pinned, "extraEnvs = var.x", unknown, "var.x"},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n " + c.version + "\n values = [yamlencode({" + git + c.values + "})]\n}\n"})
			equal(t, "agents", agentIDs(inv), []string{"flux/flux"})
			if d := cmp.Diff(c.want, inv.Agents[0].Credential); d != "" {
				t.Error(d)
			}
			noFinding(t, inv, CredentialMissing)
			noFinding(t, inv, CustomCA)
			if c.says == "" {
				noFinding(t, inv, CredentialInCluster)
			} else {
				wantFinding(t, inv, CredentialInCluster, c.says)
			}
		})
	}

	// What is nowhere is missing as ever.
	inv := declaredBy(t, map[string]string{"main.tf": "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n values = [yamlencode({" + strings.TrimSuffix(git, ", ") + "})]\n}\n"})
	wantFinding(t, inv, CredentialMissing, "nothing provides $(GIT_AUTHUSER)")

	inv, err := Values(t.Context(), []ValuesFile{{Name: "flux/flux", File: "v.yaml", Content: []byte("git: {url: 'https://$(GIT_AUTHUSER):$(GIT_AUTHKEY)@git.example.com/a'}\nenv: {secretName: git-auth}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(known, inv.Agents[0].Credential); d != "" {
		t.Error(d)
	}
	noFinding(t, inv, CredentialMissing)
}
