package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/fluxover/fluxover/reconcile/cluster"
)

func TestWhatMayPushToTheCapacitorIsWhatTheFlagsName(t *testing.T) {
	const secret = "MARKED-SECRET"
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	password, key, hosts := file("password", secret+"\r\n"), file("key", secret+"\n"), file("hosts", "git.example.com ssh-ed25519 AAAA\n")
	f := &facts{client: &cluster.Client{Kube: fake.NewClientset(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ci", Name: "push"}, Data: map[string][]byte{"username": []byte("robot"), "password": []byte(secret)}})}}
	for name, c := range map[string]struct {
		args []string
		want map[string]string
		// says is what a refusal says.
		says string
	}{
		"nothing":              {nil, map[string]string{}, ""},
		"user and password":    {[]string{"--capacitor-username", "robot", "--capacitor-password-file", password}, map[string]string{"username": "robot", "password": secret}, ""},
		"an SSH key":           {[]string{"--capacitor-identity", key, "--capacitor-known-hosts", hosts}, map[string]string{"identity": secret + "\n", "known_hosts": "git.example.com ssh-ed25519 AAAA\n"}, ""},
		"a Secret":             {[]string{"--capacitor-credentials", "ci/push"}, map[string]string{"username": "robot", "password": secret}, ""},
		"a Secret that is not": {[]string{"--capacitor-credentials", "ci/pull"}, nil, `secrets "pull" not found`},
		"a file that is not":   {[]string{"--capacitor-username", "robot", "--capacitor-password-file", password + "x"}, nil, "no such file"},
		"no password":          {[]string{"--capacitor-username", "robot"}, nil, "--capacitor-username and --capacitor-password-file go together"},
		"no user":              {[]string{"--capacitor-password-file", password}, nil, "--capacitor-username and --capacitor-password-file go together"},
		"no host keys":         {[]string{"--capacitor-identity", key}, nil, "--capacitor-identity and --capacitor-known-hosts go together"},
		"two kinds":            {[]string{"--capacitor-username", "robot", "--capacitor-password-file", password, "--capacitor-credentials", "ci/push"}, nil, "one kind of credential"},
		"no namespace":         {[]string{"--capacitor-credentials", "push"}, nil, "--capacitor-credentials push: want namespace/secret"},
		"a password in a URL":  {[]string{"--capacitor", "https://robot:" + secret + "@git.example.com/c"}, nil, "use --capacitor-username and --capacitor-password-file"},
		"a token in a URL":     {[]string{"--capacitor", "https://" + secret + "@git.example.com/c"}, nil, "use --capacitor-username and --capacitor-password-file"},
		"an SSH user in a URL": {[]string{"--capacitor", "ssh://git@git.example.com/c"}, map[string]string{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var flags capacitorFlags
			set := pflag.NewFlagSet("", pflag.ContinueOnError)
			flags.add(set)
			if err := set.Parse(c.args); err != nil {
				t.Fatal(err)
			}
			err := flags.check()
			var data map[string][]byte
			if err == nil {
				data, err = flags.secret(t.Context(), f)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the secret is told: %v", err)
			}
			if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("said: %v, want %q", err, c.says)
			}
			if err != nil {
				return
			}
			got := map[string]string{}
			for k, v := range data {
				got[k] = string(v)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
