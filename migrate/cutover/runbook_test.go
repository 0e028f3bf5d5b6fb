package cutover

import (
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func TestTheRunbookIsAScriptOfEachStep(t *testing.T) {
	of := func(kind, name, key string) migrate.Value {
		v := &migrate.SecretKey{Namespace: "flux", Name: name, Key: key}
		if kind == "ConfigMap" {
			return migrate.Value{ConfigMap: v}
		}
		return migrate.Value{Secret: v}
	}
	encoded := of("Secret", "password", "p")
	encoded.PercentEncoded = true
	agent := migrate.Flux1Agent{ID: "flux/a", Namespace: "flux", Release: "a", Workload: "a", ServiceAccount: "a", Replicas: 2, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "flux"}}}
	object := func(kind, name string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": "flux-system"}, "spec": map[string]any{}}}
	}
	source := object("GitRepository", "a")
	netrc := of("Secret", "netrc", ".netrc")
	netrc.Netrc = "git.example.com"
	plan := migrate.Plan{
		Sources: []*unstructured.Unstructured{source},
		Credentials: []migrate.Credential{
			{Agent: "flux/a", Kind: "ssh", To: migrate.ObjectRef{Namespace: "flux-system", Name: "a-git"}, From: map[string]migrate.Value{"identity": of("Secret", "a-git-deploy", "identity")}, KnownHosts: "git.example.com ssh-ed25519 AAAA\nEOF\ntouch /tmp/x\n"},
			{Agent: "flux/a", Kind: "basic", To: migrate.ObjectRef{Namespace: "flux-system", Name: "a-basic"}, From: map[string]migrate.Value{
				"username": {Literal: "it's me"}, "bot": {Literal: "bot%40example.com", PercentEncoded: true}, "password": encoded, "token": {Argument: true}, "env": {Variable: "GIT_TOKEN"}, "login": netrc, "ca.crt": of("ConfigMap", "ca", "ca.pem"),
			}},
			{Agent: "flux/a", Kind: "proxy", To: migrate.ObjectRef{Namespace: "flux-system", Name: "a-proxy"}, From: map[string]migrate.Value{"address": {Literal: "http://proxy:3128"}}},
			{Agent: "flux/b", Kind: "ssh", To: migrate.ObjectRef{Namespace: "flux-system", Name: "b-git"}},
		},
		Repositories: []migrate.Repository{{
			ID: "flux/a", Commit: commitA, Sources: []migrate.ObjectRef{{Namespace: "flux-system", Name: "a"}},
			Supporting:     []*unstructured.Unstructured{object("ServiceAccount", "a")},
			Kustomizations: []*unstructured.Unstructured{object("Kustomization", "a-web")},
			Objects:        []migrate.ObjectPlan{{ID: "shop_web_apps_Deployment"}, {ID: "shop_api_apps_Deployment"}, {ID: "_shop__Namespace"}, {ID: "shop_x_odd.io_X;touch"}},
		}},
	}
	rows, err := Runbook(Planned{Plan: plan, Agent: agent})
	if err != nil || len(rows) != len(steps) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	by := map[string]StepInfo{}
	for i, row := range rows {
		by[row.Name] = row
		if row.Leaves == "" || row.Manual == "" {
			t.Errorf("%s does not say what to do, or what a failure leaves behind", row.Name)
		}
		if undone := steps[i].Undo != nil && !strings.Contains("snapshot settle", row.Name); undone != (row.ManualUndo != "") {
			t.Errorf("%s: the way back is %q", row.Name, row.ManualUndo)
		}
		for _, lines := range []string{row.Manual, row.ManualUndo} {
			cmd := exec.CommandContext(t.Context(), "sh", "-n")
			cmd.Stdin = strings.NewReader(lines)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s is no script: %s\n%s", row.Name, out, lines)
			}
		}
	}
	for step, parts := range map[string][]string{
		"lock": {`test -z "$(kubectl -n fluxover-system get lease fluxover --ignore-not-found -o 'jsonpath={.spec.holderIdentity}')"`},
		"snapshot": {
			"kubectl -n shop get Deployment.apps api web -o yaml --show-managed-fields --ignore-not-found >> before.yaml",
			"kubectl get Namespace shop ", "get 'X;touch.odd.io' x ", "test ! -e deployment.yaml\n", "get secret,configmap -l owner=helm,name=a ",
		},
		"credentials": {
			`kubectl -n flux get secret a-git-deploy -o go-template='{{with index .data "identity"}}{{.}}{{end}}' > value` + "\ntest -s value\nbase64 -d < value > a-git/identity\nrm value && test -s a-git/identity",
			`kubectl -n flux get configmap ca -o go-template='{{with index .data "ca.pem"}}{{.}}{{end}}' > value` + "\ntest -s value\ncat value > a-basic/ca.crt",
			`printf %s 'it'\''s me' > a-basic/username`,
			"printf %s bot@example.com > a-basic/bot",
			`test -e a-git.made || test -z "$(kubectl -n flux-system get secret a-git --ignore-not-found -o name)"` + "\n: > a-git.made\n",
			`base64 -d < value | perl -0777 -pe 's/^\s+|\s+$//g; s/%([0-9A-Fa-f]{2})/chr hex $1/ge' > a-basic/password`,
			"the token of the --git-url of Deployment/flux/a.\ntest -s a-basic/token",
			`the login of the login for git.example.com in the .netrc that Secret/flux/netrc holds under ".netrc".` + "\ntest -s a-basic/login",
			`the value of the variable "GIT_TOKEN" of Deployment/flux/a.` + "\ntest -s a-basic/env",
			"printf '%s\\n' 'git.example.com ssh-ed25519 AAAA\nEOF\ntouch /tmp/x' > a-git/known_hosts", "test -s a-proxy/address",
			"kubectl -n flux-system create secret generic a-git --from-file=a-git --dry-run=client -o yaml | kubectl apply --server-side -f -",
		},
		"stage":   {"commit: " + commitA, "suspend: true", "prune: false", "kind: ServiceAccount", "# Left out: fluxover migrate tries every object here as the account that its Kustomization names"},
		"recheck": {"fluxover plan --repo flux/a -o json > now.json || test $? = 3\ngrep -q '\"commit\": \"" + commitA + "\"' now.json"},
		"fence":   {"kubectl -n flux scale deployment a --replicas=0", "kubectl -n flux wait pod -l app=flux --for=delete", "system:serviceaccount:flux:a", "kind: ValidatingAdmissionPolicyBinding"},
		"adopt":   {`kubectl -n flux-system patch kustomizations.kustomize.toolkit.fluxcd.io a-web --type=merge -p '{"spec":{"suspend":false}}'`},
		"unpin":   {`kubectl -n flux-system patch gitrepository a --type=json -p '[{"op":"remove","path":"/spec/ref/commit"}]'`},
	} {
		for _, part := range parts {
			if !strings.Contains(by[step].Manual, part) {
				t.Errorf("%s does not say %q:\n%s", step, part, by[step].Manual)
			}
		}
	}
	if fence := by["fence"]; !strings.Contains(fence.ManualUndo, "--replicas=2") || strings.Contains(fence.Leaves, "was taken down") {
		t.Errorf("the fence by hand leaves behind: %s; the way back is\n%s", fence.Leaves, fence.ManualUndo)
	}
	if undo := by["credentials"].ManualUndo; !strings.Contains(undo, "test ! -e a-git.made || kubectl -n flux-system delete secret a-git --ignore-not-found") {
		t.Errorf("the way back takes somebody else's Secret away:\n%s", undo)
	}
	agent.Replicas = 0
	agent.Sync.State, agent.Git.SecretName = "secret", "a-git-deploy"
	if rows, err = Runbook(Planned{Plan: plan, Agent: agent}); err != nil || !strings.Contains(rows[1].Manual, "get secret a-git-deploy") || strings.Contains(rows[5].ManualUndo, "--replicas=0") {
		t.Errorf("the mark in a Secret is not looked at, or a stopped agent is started with none: %v", err)
	}
	if strings.Contains(by["credentials"].Manual, "b-git") {
		t.Error("another repository's credential is copied")
	}
}

// Of a .netrc the login of one host is copied; what is not there is an error that shows
// nothing of the rest.
func TestALoginIsTakenOutOfANetrc(t *testing.T) {
	v := migrate.Value{Secret: &migrate.SecretKey{Namespace: "flux", Name: "netrc", Key: ".netrc"}, Netrc: "git.example.com"}
	r := &repository{env: &env{c: &cluster.Client{Kube: fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "netrc"},
		Data: map[string][]byte{".netrc": []byte("machine other.example.com login x password y\nmachine git.example.com login b%40t password p%40ss\n")}})}}}
	for key, want := range map[string]string{"username": "b%40t", "password": "p%40ss"} {
		if got, err := r.value(t.Context(), key, v); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	v.Netrc = "gone.example.com"
	if got, err := r.value(t.Context(), "password", v); got != nil || err == nil || !strings.Contains(err.Error(), "gone.example.com") || strings.Contains(err.Error(), "p%40ss") {
		t.Errorf("%q, %v", got, err)
	}
}
