package migrate

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func httpAgent() Flux1Agent {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	a.Git.URL = "https://git.example.com/team/deploy"
	a.Credential = AgentCredential{Kind: "none"}
	return a
}

func TestProxyAndCertificatesAreCarried(t *testing.T) {
	a := httpAgent()
	a.Credential.Proxy = Value{Variable: "HTTPS_PROXY"}
	a.Credential.CA = Value{ConfigMap: &SecretKey{Namespace: "flux", Name: "ca", Key: "ca.pem"}}
	p := planOf(a)
	want := []Credential{
		{To: ObjectRef{Namespace: AgentNamespace, Name: "team-git"}, Kind: "ca", From: map[string]Value{"ca.crt": a.Credential.CA}, Agent: a.ID, Owner: OwnerExternal, OwnerWhy: "by default, since nobody was named"},
		{To: ObjectRef{Namespace: AgentNamespace, Name: "team-proxy"}, Kind: "proxy", From: map[string]Value{"address": a.Credential.Proxy}, Agent: a.ID, Owner: OwnerExternal, OwnerWhy: "by default, since nobody was named"},
	}
	if d := cmp.Diff(want, p.Credentials); d != "" {
		t.Error(d)
	}
	for field, name := range map[string]string{"secretRef": "team-git", "proxySecretRef": "team-proxy"} {
		if got, _, _ := unstructured.NestedString(p.Sources[0].Object, "spec", field, "name"); got != name {
			t.Errorf("%s names %q, want %q", field, got, name)
		}
	}
	if plain := planOf(httpAgent()); len(plain.Credentials) > 0 || hasFinding(plain, "CREDENTIAL_OWNER") {
		t.Errorf("anonymous access needs no credential: %v", plain.Credentials)
	}
}

func TestEachCredentialHasAnOwner(t *testing.T) {
	declared := agentWith("flux/flux-declared", []string{"p"}, "p/shop/a.yaml")
	declared.Terraform = &TerraformPlace{Address: "helm_release.flux"}
	for name, c := range map[string]struct {
		agent Flux1Agent
		opts  Options
		want  Owner
		code  string
	}{
		"by default nobody in particular":  {agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml"), Options{}, OwnerExternal, "CREDENTIAL_OWNER"},
		"who declares the old agent":       {declared, Options{}, OwnerTerraform, ""},
		"who was named for it":             {declared, Options{Owners: map[string]Owner{"flux/flux-declared": OwnerExternal, "*": OwnerTerraform}}, OwnerExternal, ""},
		"who was named for all":            {declared, Options{Owners: map[string]Owner{"*": OwnerExternal}}, OwnerExternal, ""},
		"SOPS with an agent without it":    {declared, Options{Owners: map[string]Owner{"*": OwnerSOPS}}, OwnerSOPS, "OWNER_NOT_SUPPORTED"},
		"SOPS with controllers of Flux v2": {declared, Options{Engine: "existing", Owners: map[string]Owner{"*": OwnerSOPS}}, OwnerSOPS, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := Build(Inventory{Agents: []Flux1Agent{c.agent}}, c.opts)
			if got := p.Credentials[0]; got.Owner != c.want || got.OwnerWhy == "" {
				t.Errorf("owner %q (%s), want %q", got.Owner, got.OwnerWhy, c.want)
			}
			for _, code := range []string{"CREDENTIAL_OWNER", "OWNER_NOT_SUPPORTED"} {
				if hasFinding(p, code) != (code == c.code) {
					t.Errorf("finding %s: %v", code, !hasFinding(p, code))
				}
			}
		})
	}
}

func TestAnOwnerThatIsNamedForNobodyIsSaid(t *testing.T) {
	a := httpAgent()
	owners := map[string]Owner{"*": OwnerExternal, a.ID: OwnerTerraform, "flux/nosuch": OwnerTerraform}
	p := Build(Inventory{Agents: []Flux1Agent{a}}, Options{Owners: owners})
	var got []Finding
	for _, f := range p.Findings {
		if f.Code == UnknownRepository {
			got = append(got, f)
		}
	}
	if len(got) != 1 || got[0].Subject != "flux/nosuch" || got[0].Severity != Warning || !strings.Contains(got[0].Hint, a.ID) || !strings.Contains(got[0].Message, "--credential-owner flux/nosuch=terraform") {
		t.Errorf("%v", got)
	}
}

func TestTwoAgentsShareNoSource(t *testing.T) {
	// One repository, branch and key: still each is adopted at a commit of its
	// own, and so has a source of its own.
	a, b := agentWith("flux/flux-a", []string{"a"}, "a/shop/x.yaml"), agentWith("flux/flux-b", []string{"b"}, "b/shop/y.yaml")
	p := planOf(a, b)
	if len(p.Sources) != 2 || cmp.Equal(p.Repositories[0].Sources, p.Repositories[1].Sources) {
		t.Errorf("sources %v and %v", p.Repositories[0].Sources, p.Repositories[1].Sources)
	}
}

func TestWhatIsNotKnownIsNotGuessed(t *testing.T) {
	a := httpAgent()
	a.Unknown = []string{"git.pollInterval", "git.secretName", "sync.garbageCollection", "sync.interval", "synced"}
	p := planOf(a)
	if !hasFinding(p, "FACTS_UNKNOWN") || !p.Repositories[0].Blocked {
		t.Fatalf("it is not held back: %v", p.Findings)
	}
	for _, f := range p.Findings {
		if f.Code == "FACTS_UNKNOWN" && f.Where != "git.pollInterval, sync.interval, sync.garbageCollection, git.secretName" {
			t.Errorf("unknown are said to be %s", f.Where)
		}
	}
	raw, err := json.Marshal([]any{p.Sources, p.Repositories[0].Kustomizations})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{`"interval"`, `"prune"`, `"retryInterval"`} {
		if strings.Contains(string(raw), field) {
			t.Errorf("%s is guessed: %s", field, raw)
		}
	}
}

func TestWhatMustNotBePrunedIsProtectedAlsoWherePruningIsOff(t *testing.T) {
	protected := map[string]string{
		`{apiVersion: v1, kind: Namespace, metadata: {name: n}}`:                                                            "Namespace",
		`{apiVersion: v1, kind: PersistentVolume, metadata: {name: n}}`:                                                     "PersistentVolume",
		`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: n, namespace: x}}`:                                  "PersistentVolumeClaim",
		`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: n.x}}`:                      "CustomResourceDefinition",
		`{apiVersion: helm.fluxcd.io/v1, kind: HelmRelease, metadata: {name: n, namespace: x}}`:                             "HelmRelease",
		`{apiVersion: flux.weave.works/v1beta1, kind: HelmRelease, metadata: {name: m, namespace: x}}`:                      "HelmRelease",
		`{apiVersion: example.com/v1, kind: Namespace, metadata: {name: n}}`:                                                "",
		`{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: k, namespace: x}}`:                     "",
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: n, namespace: x}}`:                                              "",
		`{apiVersion: v1, kind: Namespace, metadata: {name: o, annotations: {kustomize.toolkit.fluxcd.io/prune: enabled}}}`: "",
	}
	for text, kind := range protected {
		a := repositoryOf(t, "flux/flux-team", 0, text)
		for _, gc := range []GarbageCollection{CollectOn, CollectOff, CollectDry} {
			a.Sync.GarbageCollection = gc
			adds := planOf(a).Repositories[0].Adds
			want := kind != ""
			if got := len(adds) == 1 && adds[0].Key == annotationPrune && adds[0].Value == disabled && adds[0].Why != ""; got != want || !want && len(adds) > 0 {
				t.Errorf("%s, collection %s: %v", text, gc, adds)
			}
		}
	}
}

func TestKeysForEncryptedFilesAreCopiedWhereTheyAreNeeded(t *testing.T) {
	a := httpAgent()
	needed := map[string]Value{"private.key.asc": {Secret: &SecretKey{Namespace: "flux", Name: "gpg", Key: "private.key"}}}
	a.Decryption = map[string]Value{"private.key.asc": needed["private.key.asc"], "signing.asc": {Secret: &SecretKey{Namespace: "flux", Name: "gpg", Key: "signing"}}}
	a.DecryptsWith = []string{"private.key.asc"}
	if p := planOf(a); len(p.Credentials) > 0 {
		t.Errorf("nothing is encrypted, and planned is %v", p.Credentials)
	}
	plain := a.Objects[0]
	plain.ID, plain.File = "p_other__ConfigMap", "p/other/b.yaml"
	a.Objects = append(a.Objects, plain)
	a.Files = append(a.Files, File{Path: plain.File, Kind: FileManifest, Root: "p"})
	a.Objects[0].Encrypted = true
	p := planOf(a)
	want := []Credential{{
		To: ObjectRef{Namespace: AgentNamespace, Name: "team-sops"}, Kind: KindDecryption, From: needed, Agent: a.ID,
		Owner: OwnerExternal, OwnerWhy: "by default, since nobody was named",
	}}
	if d := cmp.Diff(want, p.Credentials); d != "" {
		t.Error(d)
	}
	decrypting := map[string]string{}
	for _, k := range p.Repositories[0].Kustomizations {
		decrypting[k.GetName()], _, _ = unstructured.NestedString(k.Object, "spec", "decryption", "secretRef", "name")
	}
	if d := cmp.Diff(map[string]string{"team-shop": "team-sops", "team-other": ""}, decrypting); d != "" {
		t.Error(d)
	}
	moved := a
	moved.Decryption = map[string]Value{"private.key.asc": {Secret: &SecretKey{Namespace: "flux", Name: "gpg2", Key: "private.key"}}}
	if d := cmp.Diff(FingerprintOf(&a), FingerprintOf(&moved)); !strings.Contains(d, "gpg2") {
		t.Errorf("the fingerprint does not tell where the keys stand: %s", d)
	}
}

func TestADeployKeyThatOnlyTheClusterTellsIsNotPlanned(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	a.Credential.Identity = SecretKey{}
	p := planOf(a)
	if len(p.Credentials) != 1 || len(p.Credentials[0].From) > 0 || p.Credentials[0].KnownHosts == "" {
		t.Errorf("planned is %+v", p.Credentials)
	}
}
