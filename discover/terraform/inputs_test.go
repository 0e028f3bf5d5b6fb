package terraform

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

// branchOf is a variable with a default, as a root module with these arguments has it.
func branchOf(t *testing.T, files map[string]string, arguments ...Argument) (cty.Value, []Diagnostic) {
	t.Helper()
	all := map[string]string{"infra/main.tf": "variable \"branch\" { default = \"master\" }\n"}
	for name, text := range files {
		all[name] = text
	}
	dir := writeTree(t, all)
	for i := range arguments {
		arguments[i].File = strings.ReplaceAll(arguments[i].File, "TREE", dir)
	}
	r, err := Load(t.Context(), Options{Dir: filepath.Join(dir, "infra"), Root: filepath.Join(dir, "infra"), Arguments: arguments, Limits: Limits{FileBytes: 1 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Variables[0].Value, r.Diagnostics
}

// As Terraform has it, of -var and -var-file the last one counts.
func TestTheLastArgumentCounts(t *testing.T) {
	files := map[string]string{"infra/prod.tfvars": `branch = "file"`, "infra/later.tfvars": `branch = "later"`}
	file, later, argument := Argument{File: "prod.tfvars"}, Argument{File: "later.tfvars"}, Argument{Name: "branch", Value: "argument"}
	for _, c := range []struct {
		want      string
		arguments []Argument
	}{
		{"master", nil},
		{"argument", []Argument{file, argument}},
		{"file", []Argument{argument, file}},
		{"later", []Argument{argument, file, later}},
		{"file", []Argument{later, file}},
	} {
		if got, _ := branchOf(t, files, c.arguments...); !got.IsKnown() || got.AsString() != c.want {
			t.Errorf("%v: %#v, want %s", c.arguments, got, c.want)
		}
	}
}

// A file that somebody names may lie anywhere.
func TestAVariablesFileOutsideOfTheTreeIsRead(t *testing.T) {
	files := map[string]string{"secure/prod.tfvars": `branch = "prod"`, "secure/prod.tfvars.json": `{"branch": "prod"}`}
	for _, name := range []string{"TREE/secure/prod.tfvars", "../secure/prod.tfvars", "TREE/secure/prod.tfvars.json"} {
		if got, said := branchOf(t, files, Argument{File: name}); !got.IsKnown() || got.AsString() != "prod" {
			t.Errorf("%s: %#v, %v", name, got, said)
		}
	}
}

// A variables file that is not read could set any variable: neither a default nor what
// was given before it is known to count.
func TestAVariablesFileThatIsNotReadLeavesVariablesUnknown(t *testing.T) {
	const large = "branch = \"prod\" # "
	for name, text := range map[string]string{
		"missing.tfvars":        "",
		"broken.tfvars":         "other = \"x\"\n}\nbranch = \"prod\"\n",
		"half.tfvars":           "branch = \"prod\"\nother = \"",
		"broken.tfvars.json":    `{"branch": "prod"`,
		"list.tfvars.json":      `["prod"]`,
		"large.tfvars":          large + strings.Repeat("x", 2<<10),
		"terraform.tfvars":      "branch = ",
		"env.auto.tfvars":       "branch = ",
		"gone.auto.tfvars":      "-> ../elsewhere.tfvars",
		"terraform.tfvars.json": "{",
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			if text != "" {
				files["infra/"+name] = text
			}
			arguments := []Argument{{Name: "branch", Value: "earlier"}, {File: name}}
			if strings.Contains(name, "auto") || strings.HasPrefix(name, "terraform.") {
				arguments = nil
			}
			got, said := branchOf(t, files, arguments...)
			if got.IsKnown() || len(said) == 0 {
				t.Errorf("%#v, %v", got, said)
			}
			causes := Causes(got)
			if len(causes) == 0 || causes[0].Kind != CauseFile || !strings.HasSuffix(causes[0].Name, name) {
				t.Errorf("unknown because of %v", causes)
			}
			got, _ = branchOf(t, files, append(arguments, Argument{Name: "branch", Value: "later"})...)
			if bare, _ := got.Unmark(); !bare.IsKnown() || bare.AsString() != "later" {
				t.Errorf("given after it: %#v", got)
			}
		})
	}
}

// A module is not the one that "terraform init" installed where the call asks for
// another one since.
func TestModulesThatHaveChangedSinceTerraformInitAreNotRead(t *testing.T) {
	for _, c := range []struct {
		installed, version, source, wants string
		stale                             bool
	}{
		{"registry.terraform.io/a/flux/kubernetes", "1.2.0", "a/flux/kubernetes", "~> 1.0", false},
		{"registry.terraform.io/a/flux/kubernetes", "1.2.0", "a/flux/kubernetes", "", false},
		{"registry.terraform.io/a/flux/kubernetes", "1.2.0", "a/flux/kubernetes", "2.0.0", true},
		{"registry.terraform.io/a/flux/kubernetes", "1.2.0", "b/flux/kubernetes", "1.2.0", true},
		{"registry.terraform.io/a/flux/kubernetes//modules/x", "1.2.0", "a/flux/kubernetes//modules/y", "1.2.0", true},
		{"git::https://github.com/a/modules.git//flux?ref=v1", "", "github.com/a/modules//flux?ref=v1", "", false},
		{"git::ssh://git@github.com/a/modules.git?ref=v1", "", "git@github.com:a/modules.git?ref=v1", "", false},
		{"git::ssh://git@github.com/a/m.git//flux?ref=flux%2Fv1.2", "", "git@github.com:a/m.git//flux?ref=flux/v1.2", "", false},
		{"git::https://example.com/m.git?depth=1&ref=v1", "", "git::https://example.com/m.git?ref=v1&depth=1", "", false},
		{"s3::https://s3-eu-west-1.amazonaws.com/bucket/x.zip", "", "bucket.s3-eu-west-1.amazonaws.com/x.zip", "", false},
		{"s3::https://s3-eu-west-1.amazonaws.com/bucket/m-v1.zip", "", "bucket.s3-eu-west-1.amazonaws.com/m-v2.zip", "", true},
		{"git::https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/m?ref=v1", "", "git::https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/m?ref=v2", "", true},
		{"git::https://example.com/modules.git?ref=v1", "", "git::https://example.com/modules.git?ref=v2", "", true},
		{"git::https://example.com/modules.git", "", "git::https://example.com/others.git", "", true},
	} {
		m := installedModule{Source: c.installed, Version: c.version}
		if why := m.stale(c.source, c.wants); (why != "") != c.stale {
			t.Errorf("%+v: %q", c, why)
		}
	}
	dir := writeTree(t, map[string]string{
		"main.tf":                            "module \"flux\" {\n  source = \"git::https://u:MARKED-SECRET@example.com/modules.git?ref=v2\"\n}\noutput \"branch\" { value = module.flux.branch }\n",
		".terraform/modules/modules.json":    `{"Modules": [{"Key": "flux", "Source": "git::https://u:MARKED-SECRET@example.com/modules.git?ref=v1", "Dir": ".terraform/modules/flux"}]}`,
		".terraform/modules/flux/outputs.tf": `output "branch" { value = "of v1" }`,
	})
	r, err := Load(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Outputs[0].Value; got.IsKnown() || r.Modules[0].Missing == nil {
		t.Errorf("%#v, %+v", got, r.Modules[0])
	}
	said := ""
	for _, d := range r.Diagnostics {
		said += d.String() + "\n"
	}
	if !strings.Contains(said, "main.tf:1") || !strings.Contains(said, "changed since terraform init") || strings.Contains(said, "MARKED-SECRET") {
		t.Error(said)
	}
}
