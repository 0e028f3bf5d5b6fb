package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func secretVolume(name string, items ...corev1.KeyToPath) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name, Items: items}}}
}

func TestAGitConfigurationIsFoundWhereGitLooks(t *testing.T) {
	volumes := []corev1.Volume{secretVolume("own"), secretVolume("part", corev1.KeyToPath{Key: "c", Path: ".config/git/config"}),
		{Name: "room", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "disk", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/x"}}}}
	at := func(volume, path string) corev1.VolumeMount { return corev1.VolumeMount{Name: volume, MountPath: path} }
	home := func(value string) []corev1.EnvVar { return []corev1.EnvVar{{Name: "HOME", Value: value}} }
	secret := []corev1.EnvVar{{Name: "HOME", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "k"}}}}
	for name, c := range map[string]struct {
		image  string
		env    []corev1.EnvVar
		mounts []corev1.VolumeMount
		want   string // in the finding; empty if there is none
		why    string // of the first mount's setting
	}{
		"nothing":                        {},
		"in the image's home":            {mounts: []corev1.VolumeMount{at("own", "/root/.gitconfig")}, want: "is mounted at /root/.gitconfig", why: "http.sslCAInfo"},
		"in a folder of it":              {mounts: []corev1.VolumeMount{at("own", "/root/.config/git")}, want: "is mounted at /root/.config/git"},
		"of the system":                  {mounts: []corev1.VolumeMount{at("own", "/etc/gitconfig")}, want: "is mounted at /etc/gitconfig"},
		"in another home":                {env: home("/home/flux"), mounts: []corev1.VolumeMount{at("own", "/home/flux/.gitconfig")}, want: "is mounted at /home/flux/.gitconfig"},
		"in a home that git is not in":   {env: home("/home/flux"), mounts: []corev1.VolumeMount{at("own", "/root/.gitconfig")}, why: "git never saw it: it looks below HOME, which is /home/flux"},
		"in a home that it never saw":    {image: "fluxcd/flux:1.9.0", env: home("/home/flux"), mounts: []corev1.VolumeMount{at("own", "/home/flux/.gitconfig")}},
		"in the home of one before that": {image: "fluxcd/flux:1.9.0", env: home("/home/flux"), mounts: []corev1.VolumeMount{at("own", "/root/.gitconfig")}, want: "is mounted at /root/.gitconfig"},
		"the whole home":                 {mounts: []corev1.VolumeMount{at("own", "/root")}, want: "may be in what is mounted at /root"},
		"the whole home, of names":       {mounts: []corev1.VolumeMount{at("part", "/root")}, want: "may be in what is mounted at /root"},
		"a folder whose keys are no way": {mounts: []corev1.VolumeMount{at("own", "/root/.config")}},
		"what is of the node":            {mounts: []corev1.VolumeMount{at("disk", "/root/.config")}, want: "may be in what is mounted at /root/.config"},
		"room":                           {env: home("/tmp"), mounts: []corev1.VolumeMount{at("room", "/tmp")}},
		"a home that is empty":           {env: home(""), mounts: []corev1.VolumeMount{at("own", "/root/.gitconfig")}, want: "/root/.gitconfig"},
		"a home that nobody knows":       {env: secret, want: "HOME, below which git looks"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.PodSpec{Volumes: volumes, Containers: []corev1.Container{{Name: "flux", Image: c.image, Env: c.env, VolumeMounts: c.mounts}}}
			a, w := &migrate.Flux1Agent{ID: "flux/flux"}, &witness{}
			readSurroundings(a, &flux1.Config{URL: "https://git.example.com/a"}, pod, &pod.Containers[0], nil, func(where string) migrate.Origin { return migrate.Origin{Where: where} }, w.find)
			f := find(w.findings, GitConfig.Name)
			if c.want == "" && len(w.findings) > 0 || c.want != "" && (f == nil || !strings.Contains(f.Message, c.want)) {
				t.Errorf("findings %v, want %q", w.findings, c.want)
			}
			if i := slices.IndexFunc(a.Settings, func(s migrate.Setting) bool { return strings.HasPrefix(s.Name, "volume.") }); c.why != "" && !strings.Contains(a.Settings[i].Why, c.why) {
				t.Errorf("the ledger says %+v, want %q", a.Settings[i], c.why)
			}
		})
	}
}

func TestAHomeThatAWholeSecretSetsIsNotKnown(t *testing.T) {
	for key, known := range map[string]bool{"OTHER": true, "HOME": false} {
		inv, err := open(t, writtenCluster(t, strings.ReplaceAll(`apiVersion: v1
kind: Secret
metadata: {name: whole, namespace: flux}
data: {KEY: L01BUktFRC1TRUNSRVQ=}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: flux}
spec:
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec:
      containers:
      - {name: flux, image: "fluxcd/flux:1.25.4", args: ["--git-url=https://h/x"], envFrom: [{secretRef: {name: whole}}]}
`, "KEY", key))).witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if known {
			noFinding(t, inv, GitConfig)
		} else {
			wantFinding(t, inv, GitConfig, "HOME, below which git looks")
			equal(t, "the setting", settingOf(t, inv.Agents[0], "env.HOME").Value, "***")
		}
		if strings.Contains(asJSON(inv), "MARKED") {
			t.Error("a secret is told")
		}
	}
}

func TestAPasswordInANetrcIsSaidAndUsed(t *testing.T) {
	const entry = "machine other.example.com login x password y\nmachine git.example.com\n login bot\n password MARKED-SECRET\n"
	mount := corev1.VolumeMount{Name: "netrc", MountPath: "/root/.netrc", SubPath: ".netrc"}
	for name, c := range map[string]struct {
		url, netrc, home, image string
		volume                  corev1.Volume
		mount                   corev1.VolumeMount
		code                    string
		carried                 bool
		user                    string // whom the server is told
	}{
		"one file":                  {netrc: entry, carried: true, user: "bot"},
		"the whole home":            {netrc: entry, mount: corev1.VolumeMount{Name: "netrc", MountPath: "/root"}, carried: true, user: "bot"},
		"another home":              {netrc: entry, home: "/home/flux", mount: corev1.VolumeMount{Name: "netrc", MountPath: "/home/flux/.netrc", SubPath: ".netrc"}, carried: true, user: "bot"},
		"a home that git is not in": {netrc: entry, home: "/home/flux"},
		"a home that it never saw":  {netrc: entry, home: "/home/flux", image: "fluxcd/flux:1.8.2", carried: true, user: "bot"},
		"another server's":          {netrc: "machine other.example.com login x password MARKED-SECRET"},
		"all servers'":              {netrc: "machine other.example.com login x password y default login all password MARKED-SECRET", carried: true, user: "all"},
		"another user's":            {url: "https://me@git.example.com/a", netrc: entry, user: "me"},
		"its own user's":            {url: "https://bot@git.example.com/a", netrc: entry, carried: true, user: "bot"},
		"its own user's, encoded":   {url: "https://%62ot@git.example.com/a", netrc: entry, carried: true, user: "bot"},
		"that of a variable":        {url: "https://$(HOME)@git.example.com/a", netrc: "machine git.example.com login /home/flux password MARKED-SECRET", home: "/home/flux", mount: corev1.VolumeMount{Name: "netrc", MountPath: "/home/flux/.netrc", SubPath: ".netrc"}, carried: true, user: "/home/flux"},
		"the URL's own":             {url: "https://me:MARKED-SECRET@git.example.com/a", netrc: entry, user: "me"},
		"over SSH":                  {url: "ssh://git@git.example.com/a", netrc: entry},
		"of two users":              {url: "https://bot@git.example.com/a", netrc: "machine git.example.com login x password y " + entry, code: "CREDENTIAL_PLACE", user: "bot"},
		"of no user":                {netrc: "machine git.example.com password MARKED-SECRET", code: "CREDENTIAL_PLACE"},
		"in a ConfigMap":            {netrc: entry, volume: corev1.Volume{Name: "netrc", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "netrc"}}}}, code: "CREDENTIAL_PLACE", user: "bot"},
		"of no sense":               {netrc: "machine git.example.com login bot password"},
		"on a disk":                 {volume: corev1.Volume{Name: "netrc", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/x"}}}, code: "CREDENTIAL_PLACE", user: "not asked"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.url == "" {
				c.url = "https://git.example.com/a"
			}
			if c.volume.Name == "" {
				c.volume = secretVolume("netrc")
			}
			if c.mount.Name == "" {
				c.mount = mount
			}
			container := corev1.Container{Name: "flux", Image: c.image, Args: []string{"--git-url=" + c.url}, VolumeMounts: []corev1.VolumeMount{c.mount}}
			if c.home != "" {
				container.Env = []corev1.EnvVar{{Name: "HOME", Value: c.home}}
			}
			pod := &corev1.PodSpec{Containers: []corev1.Container{container}, Volumes: []corev1.Volume{c.volume}}
			w := &witness{kube: fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "netrc"}, Data: map[string][]byte{".netrc": []byte(c.netrc)}},
				&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "netrc"}, Data: map[string]string{".netrc": c.netrc}})}
			a := agentOf(w, pod)
			a.config.URL, a.rawURL = flux1.RawURL(c.url), c.url
			if c.mount.MountPath != "/root" { // which may bring a configuration of git's, too
				readSurroundings(&a.Flux1Agent, &a.config, pod, &pod.Containers[0], nil, func(where string) migrate.Origin { return migrate.Origin{Where: where} }, w.find)
			}
			if err := w.readAccess(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if f := find(w.findings, c.code); c.code != "" && f == nil || c.code == "" && find(w.findings, CredentialPlace.Name) != nil {
				t.Errorf("findings %v, want %q", w.findings, c.code)
			}
			want := migrate.Value{}
			if c.carried {
				want = migrate.Value{Secret: &migrate.SecretKey{Namespace: "flux", Name: "netrc", Key: ".netrc"}, Netrc: "git.example.com"}
			}
			if got := a.Credential.Password; c.carried != (got.Netrc != "") || c.carried && (got.String() != want.String() || a.Credential.Username.String() != want.String() || a.Credential.Kind != "basic") {
				t.Errorf("the credential is %+v, want %s", a.Credential, want)
			}
			for _, s := range a.Settings {
				if s.Name == "volume.netrc" && (s.Fate == migrate.Carried) != c.carried || undecided(s) {
					t.Errorf("the ledger has %+v", s)
				}
			}
			remote, ok, err := w.remote(t.Context(), a)
			if err != nil || ok != (c.user != "not asked" && !strings.HasPrefix(c.url, "ssh")) {
				t.Fatalf("%v %v", ok, err)
			}
			if ok && (remote.Auth.Username != c.user || (remote.Auth.Password == "MARKED-SECRET") != (c.carried || c.code != "" || strings.Contains(c.url, "MARKED"))) {
				t.Errorf("the server is told %q and a password of %d characters", remote.Auth.Username, len(remote.Auth.Password))
			}
			if text := dump(t, migrate.Inventory{Agents: []migrate.Flux1Agent{a.Flux1Agent}, Findings: w.findings}); strings.Contains(text, "MARKED") {
				t.Errorf("a secret is told: %s", text)
			}
		})
	}
}
