package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

func TestProxyCertificatesAndRolesAreFoundByPlace(t *testing.T) {
	objects := []runtime.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "net"}, Data: map[string][]byte{"proxy": []byte("http://u:MARKED-SECRET@p:1")}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "ca"}, Data: map[string]string{"ca.pem": "-----BEGIN CERTIFICATE-----\n"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "two"}, Data: map[string]string{"x.pem": "-----BEGIN CERTIFICATE-----\n", "y.pem": "-----BEGIN CERTIFICATE-----\n"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "plain"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "role", Annotations: map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}}},
	}
	variable := func(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }
	fromSecret := corev1.EnvVar{Name: "HTTPS_PROXY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "net"}, Key: "proxy"}}}
	piece := fromSecret
	piece.Name = "PIECE"
	volumes := []corev1.Volume{
		{Name: "two", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "two"}}}},
		{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/etc/ssl/certs"}}},
		{Name: "link", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "ca"}, Items: []corev1.KeyToPath{{Key: "ca.pem", Path: "cert.pem"}, {Key: "ca.pem", Path: "openssl.cnf"}}}}},
		{Name: "ca", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "ca"}}}},
	}
	place := migrate.Value{ConfigMap: &migrate.SecretKey{Namespace: "flux", Name: "ca", Key: "ca.pem"}}
	for name, c := range map[string]struct {
		url, account string
		image        string
		sops         bool
		env          []corev1.EnvVar
		mounts       []corev1.VolumeMount
		want         migrate.AgentCredential
		codes        []string
	}{
		"nothing":                                {url: "https://git.example.com/a", account: "plain"},
		"a proxy":                                {url: "https://git.example.com/a", env: []corev1.EnvVar{variable("HTTPS_PROXY", "p:3128")}, want: migrate.AgentCredential{Proxy: migrate.Value{Literal: "p:3128"}}, codes: []string{"PROXY"}},
		"a proxy with a password":                {url: "https://git.example.com/a", env: []corev1.EnvVar{variable("https_proxy", "http://u:MARKED-SECRET@p:1")}, want: migrate.AgentCredential{Proxy: migrate.Value{Variable: "https_proxy"}}, codes: []string{"PROXY"}},
		"a proxy in a Secret":                    {url: "https://git.example.com/a", env: []corev1.EnvVar{fromSecret}, want: migrate.AgentCredential{Proxy: migrate.Value{Secret: &migrate.SecretKey{Namespace: "flux", Name: "net", Key: "proxy"}}}, codes: []string{"PROXY"}},
		"a proxy that is set again":              {url: "https://git.example.com/a", env: []corev1.EnvVar{variable("HTTPS_PROXY", "http://u:MARKED-SECRET@p:1"), variable("PLAIN", "u:MARKED-SECRET"), variable("HTTPS_PROXY", "http://$(PLAIN)@p:1")}, codes: []string{"PROXY_UNKNOWN"}},
		"a proxy of several pieces":              {url: "https://git.example.com/a", env: []corev1.EnvVar{piece, variable("HTTPS_PROXY", "http://$(PIECE)@p")}, codes: []string{"PROXY_UNKNOWN"}},
		"a proxy whose name stands for nothing":  {url: "https://git.example.com/a", env: []corev1.EnvVar{variable("HTTPS_PROXY", "http://$(USER)@p")}, want: migrate.AgentCredential{Proxy: migrate.Value{Variable: "HTTPS_PROXY"}}, codes: []string{"PROXY"}},
		"a proxy that SSH does not use":          {url: "ssh://git@git.example.com/a", env: []corev1.EnvVar{variable("HTTPS_PROXY", "p:3128"), variable("GIT_SSL_NO_VERIFY", "1")}},
		"certificates instead of the system's":   {url: "https://git.example.com/a", mounts: []corev1.VolumeMount{{Name: "two", MountPath: "/etc/ssl/certs/more", SubPath: ""}, {Name: "ca", MountPath: "/etc/ssl/certs/ca-certificates.crt", SubPath: "ca.pem"}}, want: migrate.AgentCredential{CA: place}},
		"certificates in the folder above":       {url: "https://git.example.com/a", mounts: []corev1.VolumeMount{{Name: "link", MountPath: "/etc/ssl"}}, want: migrate.AgentCredential{CA: place}},
		"certificates at the link":               {url: "https://git.example.com/a", mounts: []corev1.VolumeMount{{Name: "ca", MountPath: "/etc/ssl/cert.pem", SubPath: "ca.pem"}}, want: migrate.AgentCredential{CA: place}},
		"variables that git never saw":           {url: "https://git.example.com/a", env: []corev1.EnvVar{variable("GIT_SSL_CAINFO", "/ca/ca.pem"), variable("CURL_CA_BUNDLE", "/ca/ca.pem"), variable("SSL_CERT_FILE", "/ca/ca.pem"), variable("GIT_SSL_NO_VERIFY", "1"), variable("ALL_PROXY", "p:1"), variable("HTTP_PROXY", "p:1")}, mounts: []corev1.VolumeMount{{Name: "two", MountPath: "/ca"}}},
		"certificates beside a variable":         {url: "https://git.example.com/a", env: []corev1.EnvVar{variable("SSL_CERT_FILE", "/reg/x.pem")}, mounts: []corev1.VolumeMount{{Name: "two", MountPath: "/reg"}, {Name: "ca", MountPath: "/etc/ssl/certs/ca-certificates.crt", SubPath: "ca.pem"}}, want: migrate.AgentCredential{CA: place}},
		"a proxy that an old git never saw":      {url: "https://git.example.com/a", image: "fluxcd/flux:1.16.0", env: []corev1.EnvVar{variable("HTTPS_PROXY", "p:3128")}},
		"a proxy without its exception":          {url: "https://git.example.com/a", image: "fluxcd/flux:1.16.0", env: []corev1.EnvVar{variable("https_proxy", "p:3128"), variable("NO_PROXY", ".example.com")}, want: migrate.AgentCredential{Proxy: migrate.Value{Literal: "p:3128"}}, codes: []string{"PROXY"}},
		"certificates among the system's":        {url: "https://git.example.com/a", mounts: []corev1.VolumeMount{{Name: "ca", MountPath: "/etc/ssl/certs/own.pem", SubPath: "ca.pem"}}, want: migrate.AgentCredential{CA: place}},
		"certificates of which nothing is known": {url: "https://git.example.com/a", mounts: []corev1.VolumeMount{{Name: "node", MountPath: "/etc/ssl/certs"}}, codes: []string{"CUSTOM_CA"}},
		"a role that nothing needs":              {url: "https://git.example.com/a", account: "role", codes: []string{"CLOUD_IDENTITY"}},
		"a role that may decrypt":                {url: "https://git.example.com/a", account: "role", sops: true, codes: []string{"CLOUD_IDENTITY_USED"}},
		"a role that may fetch":                  {url: "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/a", account: "role", codes: []string{"CLOUD_IDENTITY_USED"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &witness{kube: fake.NewClientset(objects...)}
			container := &corev1.Container{Name: "flux", Image: c.image, Env: c.env, VolumeMounts: c.mounts}
			a := &agent{Flux1Agent: migrate.Flux1Agent{ID: "flux/flux", Namespace: "flux", Workload: "flux", ServiceAccount: c.account, SOPS: c.sops}}
			a.config.URL = "https://x/y"
			if c.account != "" {
				a.config.URL, a.Credential.Kind = flux1.RawURL(c.url), "none"
				c.want.Kind = "none"
			}
			a.env = w.environmentOf("flux", a.ID, &corev1.PodSpec{Containers: []corev1.Container{*container}, Volumes: volumes}, container)
			if err := w.reach(t.Context(), a, c.url); err != nil {
				t.Fatal(err)
			}
			if c.account != "" {
				if err := w.readIdentity(t.Context(), a); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(c.want, a.Credential); d != "" {
				t.Error(d)
			}
			var codes []string
			for _, f := range w.findings {
				codes = append(codes, f.Code)
			}
			slices.Sort(codes)
			if d := cmp.Diff(c.codes, codes); d != "" {
				t.Error(d)
			}
			if text := dump(t, migrate.Inventory{Agents: []migrate.Flux1Agent{a.Flux1Agent}, Findings: w.findings}); strings.Contains(text, "MARKED") {
				t.Errorf("a secret is told: %s", text)
			}
		})
	}
}
