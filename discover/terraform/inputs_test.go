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

// What the environment gives to Terraform's commands counts before their own arguments,
// and what it gives to one command before what it gives to all; what cannot be told
// leaves variables unknown. (terraform 1.11.4 was asked)
func TestArgumentsOfTheEnvironmentCount(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"main.tf": "variable \"x\" { default = \"default\" }\nvariable \"y\" { default = \"default\" }\n", "f.tfvars": `x = "file"`, "t.auto.tfvars": `x = "auto"`,
	})
	type env = map[string]string
	for _, c := range []struct {
		env       env
		arguments []Argument
		x, y      string // empty if not known
	}{
		{env{"TF_CLI_ARGS": "-var x=args"}, nil, "args", "default"},
		{env{"TF_CLI_ARGS": "-var x=args", "TF_CLI_ARGS_plan": "-var x=plan"}, nil, "args", "default"},
		{env{"TF_CLI_ARGS_plan": "-var x=plan"}, []Argument{{Name: "x", Value: "cmd"}}, "cmd", "default"},
		{env{"TF_CLI_ARGS": "-var x=args"}, []Argument{{Name: "x", Value: "cmd"}}, "cmd", "default"},
		{env{"TF_CLI_ARGS_plan": "-var 'x=a b' -var=\"y=c\""}, nil, "a b", "c"},
		{env{"TF_VAR_x": "env", "TF_CLI_ARGS_plan": "-var=x=args"}, nil, "args", "default"},
		{env{"TF_CLI_ARGS": "-var-file=f.tfvars", "TF_CLI_ARGS_plan": "-var x=plan"}, nil, "file", "default"},
		{env{"TF_CLI_ARGS_plan": "--var x=dd --var-file=f.tfvars"}, nil, "file", "default"},
		{env{"TF_CLI_ARGS_plan": `-var x=$Q -var y=a\ b`}, nil, "$Q", "a b"},
		{env{"TF_CLI_ARGS_apply": "-var x=apply", "TF_CLI_ARGS_plan": "-lock=false -out plan"}, nil, "apply", "default"},
		{env{"TF_CLI_ARGS_apply": "-var x=one", "TF_CLI_ARGS_plan": "-var x=one"}, nil, "one", "default"},
		{env{"TF_CLI_ARGS_init": "-var x=init"}, nil, "auto", "default"},
		{env{"TF_CLI_ARGS_plan": "-var x=1;2 -var y=3"}, nil, "1", "default"},
		{env{"TF_CLI_ARGS": "-var x="}, nil, "", "default"},
		// Terraform refuses these, or it hangs on the command.
		{env{"TF_CLI_ARGS_plan": `-var "x=a`}, nil, "?", "?"},
		{env{"TF_CLI_ARGS_plan": "-var"}, nil, "?", "?"},
		{env{"TF_CLI_ARGS_plan": "-var x"}, nil, "?", "?"},
		{env{"TF_CLI_ARGS_plan": "-var x=`date`"}, nil, "?", "?"},
		{env{"TF_CLI_ARGS_plan": "-var-file=gone.tfvars"}, nil, "?", "?"},
		{env{"TF_CLI_ARGS_plan": "-var x=plan", "TF_CLI_ARGS_apply": "-var x=apply"}, nil, "?", "?"},
		{env{"TF_CLI_ARGS_plan": "-var x=plan", "TF_CLI_ARGS_apply": "-var x=apply"}, []Argument{{Name: "x", Value: "cmd"}}, "cmd", "?"},
	} {
		r, err := Load(t.Context(), Options{Dir: dir, Env: c.env, Arguments: c.arguments})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{c.x, c.y} {
			got := "?"
			if v := r.Variables[i].Value; v.IsKnown() {
				got = v.AsString()
			} else if len(r.Diagnostics) == 0 {
				t.Errorf("%v: nothing is said", c.env)
			}
			if got != want {
				t.Errorf("%v, %v: %s is %q, want %q", c.env, c.arguments, r.Variables[i].Name, got, want)
			}
		}
	}
}

// TF_DATA_DIR says where the selected workspace and the installed modules are, also
// outside of the tree; a module that lies there is not read, and it is said why.
func TestTheDataFolderOfTheEnvironmentIsRead(t *testing.T) {
	const modules = `{"Modules":[{"Key":"","Source":"","Dir":"."},{"Key":"agent","Source":"git::https://example.com/m.git","Dir":"%s"}]}`
	dir := writeTree(t, map[string]string{
		"infra/main.tf":                "module \"agent\" { source = \"git::https://example.com/m.git\" }\noutput \"w\" { value = terraform.workspace }\noutput \"m\" { value = module.agent.is }\n",
		"infra/.terraform/environment": "usual", "infra/data/environment": "here", "data/environment": "there",
		"infra/data/modules/modules.json": strings.Replace(modules, "%s", "data/modules/agent", 1), "infra/data/modules/agent/o.tf": "output \"is\" { value = \"read\" }\n",
		"data/modules/modules.json": strings.Replace(modules, "%s", "../data/modules/agent", 1), "data/modules/agent/o.tf": "output \"is\" { value = \"read\" }\n",
	})
	for name, c := range map[string]struct{ workspace, module, says string }{
		"":                               {"usual", "?", ""},
		"data":                           {"here", "read", ""},
		filepath.Join(dir, "infra/data"): {"here", "read", ""},
		"../data":                        {"there", "?", "it is installed in ../data/modules/agent"},
		filepath.Join(dir, "data"):       {"there", "?", "it is installed in ../data/modules/agent"},
		"gone":                           {"?", "?", ""},
	} {
		r, err := Load(t.Context(), Options{Dir: filepath.Join(dir, "infra"), Env: map[string]string{"TF_DATA_DIR": name}})
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, d := range r.Diagnostics {
			said += d.Summary + ": " + d.Detail + "\n"
		}
		for i, want := range []string{c.module, c.workspace} {
			got := "?"
			if v := r.Outputs[i].Value; v.IsKnown() {
				got = v.AsString()
			}
			if got != want {
				t.Errorf("%q: %s is %q, want %q (%s)", name, r.Outputs[i].Name, got, want, said)
			}
		}
		if !strings.Contains(said, c.says) || c.says == "" && strings.Contains(said, "installed in") {
			t.Errorf("%q: said %s", name, said)
		}
	}
}

// A variable without a type is a text on the command line, as for Terraform; where its
// default is none, that is said.
func TestAnArgumentOfAVariableWithoutATypeIsAText(t *testing.T) {
	const text = "the value is a text"
	for declared, want := range map[string]bool{
		`{ default = {} }`: true, `{ default = ["a"] }`: true, `{ default = "a" }`: false, `{}`: false, "{\n default = {}\n type = map(string)\n }": false,
	} {
		dir := writeTree(t, map[string]string{"main.tf": "variable \"x\" " + declared + "\n", "x.tfvars": "x = { a = 1 }\n"})
		r, err := Load(t.Context(), Options{Dir: dir, Arguments: []Argument{{Name: "x", Value: `{ a = "1" }`}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(r.Diagnostics) == 1 && r.Diagnostics[0].Summary == text && strings.Contains(r.Diagnostics[0].Detail, "var.x has no type"); got != want {
			t.Errorf("%s: %v", declared, r.Diagnostics)
		}
		if r, err = Load(t.Context(), Options{Dir: dir, Arguments: []Argument{{File: "x.tfvars"}}}); err != nil || len(r.Diagnostics) != 0 {
			t.Errorf("%s, by a file: %v, %v", declared, r.Diagnostics, err)
		}
	}
}
