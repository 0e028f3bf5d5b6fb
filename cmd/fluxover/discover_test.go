package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// runDiscover runs the command with no cluster to be found.
func runDiscover(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"discover"}, args...), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestDiscoverReadsTerraformWithoutACluster(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"infra/main.tf": "variable \"branch\" {}\nmodule \"shop\" {\n  source = \"../module\"\n  branch = var.branch\n  url    = var.url\n}\nvariable \"url\" {}\n",
		"module/main.tf": `variable "branch" {}
variable "url" {}
resource "helm_release" "flux" {
  name      = "shop"
  namespace = "flux"
  chart     = "flux"
  version   = "1.13.3"
  values    = [yamlencode({ git = { url = var.url, branch = var.branch } })]
}
`,
		"prod.tfvars": "branch = \"prod\"\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	saved := filepath.Join(dir, "inventory.json")
	args := []string{"--no-cluster", "--terraform", filepath.Join(dir, "infra"), "--terraform-root", dir, "--var-file", filepath.Join(dir, "prod.tfvars"),
		"--var", "url=https://user:MARKED-SECRET@git.example.com/shop.git"}
	code, out, errs := runDiscover(t, append(args, "-o", "json", "--save", saved)...)
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var inv migrate.Inventory
	if err := json.Unmarshal([]byte(out), &inv); err != nil {
		t.Fatal(err)
	}
	if len(inv.Agents) != 1 || inv.Agents[0].ID != "flux/shop" || inv.Agents[0].Git.Branch != "prod" || inv.Agents[0].Running != nil || inv.Cluster.From != "terraform" {
		t.Errorf("%+v", inv)
	}
	code, asYAML, errs := runDiscover(t, append(args, "-o", "yaml")...)
	var fromYAML, fromJSON any
	if err := yaml.UnmarshalStrict([]byte(asYAML), &fromYAML); err != nil || code != exitDone || strings.HasPrefix(asYAML, "{") {
		t.Fatalf("exit code %d, %v: %s%s", code, err, errs, asYAML)
	}
	if err := json.Unmarshal([]byte(out), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Errorf("YAML says something else than JSON: %s", diff)
	}
	_, opened, errs := runDiscover(t, "--inventory", saved, "-o", "json")
	if content, err := os.ReadFile(saved); err != nil || opened != out || strings.Contains(string(content), "MARKED-SECRET") {
		t.Errorf("what is saved is not what is said, or a secret: %v %s", err, errs)
	}
	_, text, _ := runDiscover(t, args...)
	_, wide, _ := runDiscover(t, append(args, "--wide")...)
	for _, want := range []string{"flux/shop", "prod", "1 declared Flux v1 agent", "module.shop.helm_release.flux at module/main.tf:3"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text does not say %q:\n%s", want, text)
		}
	}
	for _, want := range []string{"1.13.3", "flux-sync", "module/main.tf:3 module.shop.helm_release.flux"} {
		if !strings.Contains(wide, want) {
			t.Errorf("the wide text does not say %q:\n%s", want, wide)
		}
	}
	if all := out + asYAML + text + wide; strings.Contains(all, "MARKED-SECRET") {
		t.Error("a secret is shown")
	}
}

func TestDiscoverRefusesFlagsThatDoNotGoTogether(t *testing.T) {
	for _, args := range [][]string{
		{"--no-cluster"}, {"--var", "a=b"}, {"--terraform", ".", "--var", "novalue"}, {"--terraform-provider", "x"}, {"--state", "s.tfstate", "--workspace", "x"},
		{"--no-cluster", "--state", "data.terraform_remote_state.x=s.tfstate"}, {"--inventory", "x", "--state", "s.tfstate"},
		{"--terraform", ".", "--var-file", "no-such-file"}, {"--no-cluster", "--terraform", ".", "-o", "table"},
		{"--values", "x.yaml"}, {"--no-cluster", "--values", "no-such-file"}, {"--inventory", "no-such-file"}, {"--inventory", "x", "--no-cluster"},
		{"--no-cluster", "--terraform", ".", "--checkout", "git@h:a/b=.", "--git-branch", "x"}, {"--checkout", "git@h:a/b=.", "--git-branch", "x"},
	} {
		if code, _, errs := runDiscover(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d: %s", args, code, exitUsage, errs)
		}
	}
}

// The command heeds what the environment tells Terraform, and nothing else of it.
func TestDiscoverHeedsTheEnvironmentOfTerraform(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"main.tf": `variable "branch" { default = "default" }
resource "helm_release" "flux" {
  name      = "shop"
  namespace = "flux"
  chart     = "flux"
  version   = "1.13.3"
  values    = [yamlencode({ git = { url = "git@git.example.com:a", branch = var.branch, path = terraform.workspace } })]
}
`,
		"data/environment": "prod", "more.tfvars": `branch = "more"`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TF_CLI_ARGS_plan", "-var-file more.tfvars")
	t.Setenv("TF_CLI_ARGS_init", "-var branch=init")
	t.Setenv("TF_DATA_DIR", "data")
	code, out, errs := runDiscover(t, "--no-cluster", "--terraform", dir, "-o", "json")
	var inv migrate.Inventory
	if err := json.Unmarshal([]byte(out), &inv); err != nil || code != exitDone || len(inv.Agents) != 1 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, errs, out)
	}
	if git := inv.Agents[0].Git; git.Branch != "more" || !slices.Equal(git.Paths, []string{"prod"}) {
		t.Errorf("%+v", git)
	}
}

// That nothing was found where nobody may look is said so that nobody takes it for an answer.
func TestDiscoverSaysWhereItMayNotLookForAgents(t *testing.T) {
	flags := answering(t, map[string]string{
		"/version": `{"major":"1","minor":"34","gitVersion":"v1.34.0"}`,
		"/api":     `{"kind":"APIVersions","versions":[]}`, "/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
		"*": `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"no","code":403}`,
	})
	for _, also := range [][]string{nil, {"--wide"}, {"-n", "shop"}, {"-o", "json"}} {
		code, out, stderr := try(t, slices.Concat([]string{"discover"}, flags, also)...)
		if code != exitDone || strings.Contains(out, "0 Flux") || strings.Contains(stderr, "found 0") || !strings.Contains(out, "AGENTS_UNKNOWN") || !strings.Contains(out, "--namespace") {
			t.Errorf("%v ends with %d: %s%s", also, code, out, stderr)
		}
		if in := "in namespace shop"; strings.Contains(strings.Join(strings.Fields(out), " "), in) != slices.Contains(also, "shop") {
			t.Errorf("%v: %s", also, out)
		}
	}
	if code, out, stderr := try(t, slices.Concat([]string{"plan"}, flags)...); code == exitDone || strings.Contains(out+stderr, "NO_AGENTS") {
		t.Errorf("plan ends with %d: %s%s", code, out, stderr)
	}
	flags = answering(t, map[string]string{"/version": `{"major":"1","minor":"34","gitVersion":"v1.34.0"}`})
	if code, out, stderr := try(t, slices.Concat([]string{"discover", "-n", "nosuchns"}, flags)...); code != exitFailed || !strings.Contains(stderr, "nosuchns") || !strings.Contains(stderr, "no such namespace") {
		t.Errorf("a namespace that is not there: %d: %s%s", code, out, stderr)
	}
}

// A command that changes nothing leaves nothing to go back from.
func TestAnInterruptedDiscoverSaysThatNothingHasChanged(t *testing.T) {
	for command, back := range map[string]bool{"discover": false, "plan": false, "diff": false, "rollback": true} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		flags := answering(t, nil)
		var out, stderr bytes.Buffer
		code := run(ctx, append([]string{command}, flags...), strings.NewReader(""), &out, &stderr)
		if said := strings.Join(strings.Fields(stderr.String()), " "); code != exitInterrupted || strings.Contains(said, "fluxover rollback") != back || strings.Contains(said, "nothing has changed") == back {
			t.Errorf("%s ends with %d: %s", command, code, said)
		}
	}
}

// A plan needs all agents of the cluster, and its engines: the namespace that limits what
// discover looks at does not limit it in silence.
func TestAPlanIsOfAllNamespaces(t *testing.T) {
	flags := answering(t, map[string]string{"/version": `{"major":"1","minor":"34","gitVersion":"v1.34.0"}`})
	for _, command := range [][]string{{"plan"}, {"diff"}, {"migrate", "--image", "fluxover:1", "--yes"}} {
		code, _, stderr := try(t, slices.Concat(command, []string{"-n", "shop"}, flags)...)
		if code != exitUsage || !strings.Contains(stderr, "--namespace limits what discover looks at") {
			t.Errorf("%s -n shop ends with %d: %s", command[0], code, stderr)
		}
	}
}

// A server that goes away is one error, and no finding about each kind.
func TestAServerThatGoesAwayIsOneError(t *testing.T) {
	for _, command := range []string{"discover", "plan"} {
		flags := answering(t, map[string]string{"/version": `{"major":"1","minor":"34","gitVersion":"v1.34.0"}`, "gone": "yes"})
		code, out, stderr := try(t, append([]string{command}, flags...)...)
		says := strings.Join(strings.Fields(stderr), " ")
		if code != exitFailed || out != "" || strings.Count(says, "error:") != 1 || !strings.Contains(says, "the API server can no longer be reached: dial tcp") ||
			!strings.Contains(says, "hint: nothing has changed") || !strings.Contains(says, "run the same command again") {
			t.Errorf("%s ends with %d: %s%s", command, code, out, stderr)
		}
	}
}
