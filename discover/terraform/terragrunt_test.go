package terraform

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What Terragrunt gives to terraform is known where its rules tell it, and
// unknown where they do not: what it merges, in which order, and which file is
// meant (gruntwork-io/terragrunt, config/include.go and config_helpers.go).
func TestTerragruntsRulesAreKept(t *testing.T) {
	const parent, child = "live/root.hcl", "live/app/terragrunt.hcl"
	const root = "include \"root\" {\n path = find_in_parent_folders(\"root.hcl\")\n}\n"
	const module = "terraform {\n source = \"../../modules//m\"\n}\n"
	for name, c := range map[string]struct {
		files map[string]string
		env   map[string]string
		want  string // of the variables a and b: JSON, or ? and the cause
	}{
		"a file's own inputs count, and the last include before others": {map[string]string{
			"live/one.hcl": `inputs = { a = "one", b = "one" }`, "live/two.hcl": `inputs = { a = "two", b = "two" }`,
			child: "include \"one\" {\n path = \"../one.hcl\"\n}\ninclude \"two\" {\n path = \"../two.hcl\"\n}\n" + module + "inputs = { b = \"own\" }",
		}, nil, `"two" "own"`},
		"the source of the last include": {map[string]string{
			"live/one.hcl": "terraform {\n source = \"../../modules//other\"\n}\n", "live/two.hcl": module + `inputs = { a = "a" }`,
			child: "include \"one\" {\n path = \"../one.hcl\"\n}\ninclude \"two\" {\n path = \"../two.hcl\"\n}\n",
		}, nil, `"a" "default"`},
		"what is included is only for others to read": {map[string]string{
			parent: "locals { x = \"exposed\" }\ninputs = { a = \"merged\" }",
			child:  "include \"root\" {\n path = \"../root.hcl\"\n merge_strategy = \"no_merge\"\n expose = true\n}\n" + module + "inputs = { b = include.root.locals.x }",
		}, nil, `"default" "exposed"`},
		"maps and lists are merged deeply": {map[string]string{
			parent: `inputs = { a = { x = 1, y = { z = "parent", w = "w" } }, b = ["parent"] }`,
			child:  "include \"root\" {\n path = \"../root.hcl\"\n merge_strategy = \"deep\"\n}\n" + module + `inputs = { a = { y = { z = "own" } }, b = ["own"] }`,
		}, nil, `{"x":1,"y":{"w":"w","z":"own"}} ["parent","own"]`},
		"what is empty is merged deeply": {map[string]string{
			parent: `inputs = { a = true, b = "parent" }`,
			child:  "include \"root\" {\n path = \"../root.hcl\"\n merge_strategy = \"deep\"\n}\n" + module + `inputs = { a = false, b = "own" }`,
		}, nil, `?limit "own"`},
		"a strategy that is not known": {map[string]string{
			parent: `inputs = { a = "parent", b = "parent" }`,
			child:  "include \"root\" {\n path = \"../root.hcl\"\n merge_strategy = get_env(\"S\")\n}\n" + module + `inputs = { b = "own" }`,
		}, nil, `?input "own"`},
		"maps and lists merged deeply with what is not known": {map[string]string{
			parent: `inputs = dependency.x.outputs`,
			child:  "include \"root\" {\n path = \"../root.hcl\"\n merge_strategy = \"deep\"\n}\n" + module + `inputs = { a = { y = 1 }, b = "own" }`,
		}, nil, `?input "own"`},
		"scalars and maps merged deeply with what is of another kind": {map[string]string{
			parent: `inputs = { a = { x = 1 }, b = "parent" }`,
			child:  "include \"root\" {\n path = \"../root.hcl\"\n merge_strategy = \"deep\"\n}\n" + module + `inputs = { a = "own", b = { y = 1 } }`,
		}, nil, `"own" ?limit`},
		"what is merged deeply with a file that is not there": {map[string]string{
			child: "include \"root\" {\n path = \"../gone.hcl\"\n merge_strategy = \"deep\"\n}\n" + module + `inputs = { a = ["own"], b = true }`,
		}, nil, `?file true`},
		"own inputs that are not known may be any": {map[string]string{
			parent: `inputs = { a = "parent" }`, child: root + module + "inputs = dependency.x.outputs",
		}, nil, `?input ?input`},
		"an include cannot include": {map[string]string{
			"live/top.hcl": `inputs = { a = "top" }`, parent: "include \"top\" {\n path = \"../top.hcl\"\n}\ninputs = { b = \"parent\" }", child: root + module,
		}, nil, `?limit "parent"`},
		"a block before the include that it speaks of": {map[string]string{
			parent: "locals { x = 1 }", child: "terraform {\n source = \"${get_parent_terragrunt_dir()}/../modules//m\"\n}\n" + root + "inputs = { a = path_relative_to_include(), b = path_relative_to_include(\"other\") }",
		}, nil, `"app" "app"`},
		"two includes, and none is named": {map[string]string{
			parent: "", "other.hcl": "", child: root + "include \"other\" {\n path = \"../../other.hcl\"\n}\n" + module + "inputs = { a = path_relative_to_include(), b = path_relative_to_include(\"other\") }",
		}, nil, `?input "live/app"`},

		"a file that reads itself": {map[string]string{ // Terragrunt runs out of stack
			"live/own.hcl": "locals {\n x = \"x\"\n self = read_terragrunt_config(\"${get_terragrunt_dir()}/own.hcl\")\n}\n",
			child:          "locals {\n own = read_terragrunt_config(\"../own.hcl\")\n}\n" + module + `inputs = { a = local.own.locals.x, b = local.own.locals.self.locals.x }`,
		}, nil, `"x" ?error`},
		"a fallback for what is in no folder above": {map[string]string{
			child: module + `inputs = { a = find_in_parent_folders("none.hcl", "fallback"), b = "b" }`,
		}, nil, `"fallback" "b"`},
		"a link out of the tree may be what is looked for": {map[string]string{
			"live/none.hcl": "-> /etc/hostname", "none.hcl": "", child: module + `inputs = { a = find_in_parent_folders("none.hcl", "fallback"), b = "b" }`,
		}, nil, `?file "b"`},
		"a folder stands for the file in it": {map[string]string{
			"live/other/terragrunt.hcl": `inputs = { x = "read" }`, child: module + `inputs = { a = read_terragrunt_config("../other", { inputs = { x = "fallback" } }).inputs.x, b = read_terragrunt_config("../none", { inputs = { x = "fallback" } }).inputs.x }`,
		}, nil, `"read" "fallback"`},
		"files that read each other": {map[string]string{
			"live/x.hcl": `locals { y = read_terragrunt_config("y.hcl").locals.x }`, "live/y.hcl": `locals { x = read_terragrunt_config("x.hcl").locals.y }`,
			child: module + `inputs = { a = read_terragrunt_config("../x.hcl").locals.y, b = "b" }`,
		}, nil, `?error "b"`},
		"the nearest checkout": {map[string]string{
			"live/.git": "gitdir: elsewhere", child: module + `inputs = { a = get_path_to_repo_root(), b = get_path_from_repo_root() }`,
		}, nil, `".." "app"`},

		"the environment counts before inputs, and extra arguments before it": {map[string]string{
			child: "terraform {\n source = \"../../modules//m\"\n extra_arguments \"x\" {\n commands = [\"apply\"]\n env_vars = { TF_VAR_b = \"extra\" }\n }\n}\ninputs = { a = \"own\", b = \"own\" }",
		}, map[string]string{"TF_VAR_a": "environment", "TF_VAR_b": "environment"}, `"environment" "extra"`},
		"arguments": {map[string]string{
			"live/x.tfvars": "a = \"file\"\nb = \"file\"", child: "terraform {\n source = \"../../modules//m\"\n extra_arguments \"x\" {\n commands = [\"plan\"]\n arguments = [\"-lock=false\", \"-var-file=${get_terragrunt_dir()}/../x.tfvars\", \"-var\", \"b=k=v\"]\n }\n}\n",
		}, nil, `"file" "k=v"`},
		"arguments of one name stand for those that are included": {map[string]string{
			"live/x.tfvars": `a = "x"`, "live/y.tfvars": `b = "y"`,
			parent: "terraform {\n extra_arguments \"v\" {\n commands = [\"apply\"]\n required_var_files = [\"${get_terragrunt_dir()}/../x.tfvars\"]\n }\n}\n",
			child:  root + "terraform {\n source = \"../../modules//m\"\n extra_arguments \"v\" {\n commands = [\"apply\"]\n required_var_files = [\"${get_terragrunt_dir()}/../y.tfvars\"]\n }\n}\n",
		}, nil, `"default" "y"`},
		"a file that is not there may set any variable": {map[string]string{
			child: "terraform {\n source = \"../../modules//m\"\n extra_arguments \"v\" {\n commands = [\"apply\"]\n required_var_files = [\"gone.tfvars\"]\n }\n}\ninputs = { a = \"own\" }",
		}, nil, `?file ?file`},
		"a file whose name is not known may set any variable": {map[string]string{
			child: "terraform {\n source = \"../../modules//m\"\n extra_arguments \"v\" {\n commands = [\"apply\"]\n optional_var_files = [\"${get_env(\"E\")}.tfvars\"]\n }\n}\ninputs = { a = \"own\" }",
		}, nil, `?input ?input`},
		"a file of the module": {map[string]string{
			"modules/m/x.tfvars": `a = "module"`, "modules/m/y.tfvars": `b = "module"`,
			child: "terraform {\n source = \"../../modules//m\"\n extra_arguments \"v\" {\n commands = [\"apply\"]\n required_var_files = [\"x.tfvars\"]\n optional_var_files = [\"y.tfvars\"]\n }\n}\n",
		}, nil, `"module" "default"`},
		"a relative path that leads out of the copy of the module": {map[string]string{
			"live/x.tfvars": `a = "x"`, child: "terraform {\n source = \"../../modules//m\"\n extra_arguments \"v\" {\n commands = [\"apply\"]\n required_var_files = [\"../x.tfvars\"]\n }\n}\n",
		}, nil, `?file ?file`},
		"arguments that are given perhaps": {map[string]string{
			"live/x.tfvars": `b = "file"`, child: "terraform {\n source = \"../../modules//m\"\n extra_arguments \"x\" {\n commands = split(\",\", get_env(\"C\"))\n required_var_files = [\"../x.tfvars\"]\n }\n extra_arguments \"y\" {\n commands = [get_env(\"C\")]\n required_var_files = [\"${get_terragrunt_dir()}/../x.tfvars\"]\n }\n}\ninputs = { a = \"own\", b = \"own\" }",
		}, nil, `?file ?input`},
		"variables of arguments that are given perhaps": {map[string]string{
			"live/x.tfvars": `b = "file"`, child: "terraform {\n source = \"../../modules//m\"\n extra_arguments \"x\" {\n commands = [get_env(\"C\")]\n env_vars = { TF_VAR_c = \"c\" }\n optional_var_files = [\"${get_terragrunt_dir()}/../x.tfvars\"]\n }\n}\ninputs = { a = \"own\", b = \"own\" }",
		}, nil, `"own" ?input`},
		"variables in the environment that are given perhaps": {map[string]string{
			child: "terraform {\n source = \"../../modules//m\"\n extra_arguments \"x\" {\n commands = get_env(\"C\")\n env_vars = { TF_VAR_b = \"b\" }\n }\n}\ninputs = { a = \"own\" }",
		}, nil, `"own" ?input`},
		"arguments of commands that Terragrunt names": {map[string]string{
			child: "terraform {\n source = \"../../modules//m\"\n extra_arguments \"x\" {\n commands = get_terraform_commands_that_need_locking()\n arguments = [\"-var\", \"a=locking\"]\n }\n extra_arguments \"y\" {\n commands = concat(get_terraform_commands_that_need_input(), get_terraform_commands_that_need_parallelism())\n arguments = [\"-var\", \"b=input\"]\n }\n}\ninputs = { a = \"own\", b = \"own\" }",
		}, nil, `"locking" "input"`},
		"files of variables beside Terragrunt's": {map[string]string{
			"live/app/terraform.tfvars": `a = "here"`, "modules/m/terraform.tfvars": "a = \"module\"\nb = \"module\"", "modules/m/x.auto.tfvars": `b = "auto"`, child: module,
		}, nil, `"here" "auto"`},
	} {
		t.Run(name, func(t *testing.T) {
			typed := "" // else all that is given is text
			if strings.ContainsAny(c.want, "{[") || strings.Contains(c.want, "true") || strings.Contains(c.want, "false") {
				typed = " type = any\n"
			}
			c.files["modules/m/main.tf"] = "variable \"a\" {\n" + typed + " default = \"default\"\n}\nvariable \"b\" {\n" + typed + " default = \"default\"\n}\n"
			c.files["modules/other/main.tf"] = ""
			dir := writeTree(t, c.files)
			r, err := Load(t.Context(), Options{Dir: filepath.Join(dir, "live/app"), Root: dir, Env: c.env})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range r.Variables {
				text, err := json.Marshal(ValueTree(v.Value))
				if err != nil {
					t.Fatal(err)
				}
				if causes := Causes(v.Value); len(causes) > 0 {
					text = []byte("?" + string(causes[0].Kind))
				}
				got = append(got, string(text))
			}
			if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
				t.Errorf("(-want +got): %s\n%v", d, r.Diagnostics)
			}
		})
	}
}

// What Terragrunt adds to a module, and is not read, is said.
func TestWhatTerragruntAddsIsSaid(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"modules/m/main.tf":       "",
		"live/app/providers.tf":   "",
		"live/app/terragrunt.hcl": "terraform {\n source = \"../../modules//m\"\n}\ngenerate \"provider\" {\n path = \"provider.tf\"\n if_exists = \"overwrite\"\n contents = dependency.x.outputs.y\n}\n",
	})
	r, err := Load(t.Context(), Options{Dir: filepath.Join(dir, "live/app"), Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"live/app/providers.tf", "generate provider"} {
		if !slices.ContainsFunc(r.Diagnostics, func(d Diagnostic) bool { return strings.Contains(d.String(), want) }) {
			t.Errorf("nothing is said of %s: %v", want, r.Diagnostics)
		}
	}
}

// A source in the tree may name a version, as one of a Git server does.
func TestASourceInTheTreeMayNameAVersion(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"modules/m/main.tf":       "resource \"null_resource\" \"one\" {\n}\n",
		"live/app/terragrunt.hcl": "terraform { source = \"../../modules//m?ref=master\" }\n",
	})
	r, err := Load(t.Context(), Options{Dir: filepath.Join(dir, "live/app"), Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Resources) != 1 {
		t.Errorf("%d resources, want that of the module", len(r.Resources))
	}
}

// What Terragrunt writes beside a module is read as a file of it, at the place where it is
// written out.
func TestFilesThatTerragruntWritesAreRead(t *testing.T) {
	const resource = "resource \"null_resource\" \"NAME\" {\n}\n"
	generate := func(name, more string) string {
		return "generate \"" + name + "\" {\n path = \"" + name + ".tf\"\n if_exists = \"overwrite\"\n" + more + "}\n"
	}
	named := func(name string) string { return strings.Replace(resource, "NAME", name, 1) }
	heredoc := func(text string) string { return " contents = <<EOF\n" + text + "EOF\n" }
	for name, c := range map[string]struct {
		child, parent string
		want          string // addresses and places
		said          string
	}{
		"written out":        {generate("a", heredoc(named("one"))), "", "null_resource.one live/app/terragrunt.hcl:9", ""},
		"in text":            {generate("a", " contents = \"resource \\\"null_resource\\\" \\\"one\\\" {}\"\n"), "", "null_resource.one live/app/terragrunt.hcl:8", ""},
		"of a local":         {"locals {\n n = \"one\"\n}\n" + generate("a", heredoc(named("${local.n}"))), "", "null_resource.one live/app/terragrunt.hcl:12", ""},
		"included":           {"", generate("a", heredoc(named("one"))), "null_resource.one live/root.hcl:5", ""},
		"over what is above": {generate("a", heredoc(named("one"))), generate("a", heredoc(named("two"))), "null_resource.one live/app/terragrunt.hcl:9", ""},
		"beside it":          {generate("a", heredoc(named("one"))), generate("b", heredoc(named("two"))), "null_resource.one live/app/terragrunt.hcl:9, null_resource.two live/root.hcl:5", ""},
		"in place of a file": {generate("main", heredoc(named("one"))), "", "null_resource.one live/app/terragrunt.hcl:9", ""},
		"not in its place":   {strings.Replace(generate("main", heredoc(named("one"))), "overwrite", "skip", 1), "", "null_resource.of_module modules/m/main.tf:1", ""},
		"turned off":         {generate("a", " disable = true\n"+heredoc(named("one"))), generate("a", heredoc(named("two"))), "", ""},
		"not known":          {generate("a", " contents = dependency.x.outputs.y\n"), generate("a", heredoc(named("two"))), "", "generate a: its contents are not known"},
		"of no module":       {strings.Replace(generate("a", heredoc(named("one"))), "a.tf", "a.txt", 1), "", "", "generate a: it is no file of configuration"},
		"elsewhere":          {strings.Replace(generate("a", heredoc(named("one"))), "a.tf", "../a.tf", 1), "", "", "generate a: it is no file of configuration"},
		"broken":             {generate("a", heredoc("resource {{\n")), "", "", "live/app/terragrunt.hcl:"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeTree(t, map[string]string{
				"modules/m/main.tf":       named("of_module"),
				"live/root.hcl":           c.parent,
				"live/app/terragrunt.hcl": "include {\n path = \"../root.hcl\"\n}\nterraform { source = \"../../modules//m\" }\n" + c.child,
			})
			r, err := Load(t.Context(), Options{Dir: filepath.Join(dir, "live/app"), Root: dir})
			if err != nil {
				t.Fatal(err)
			}
			if inError := len(r.Broken) > 0; inError != (name == "broken") {
				t.Errorf("files in error: %v", r.Broken)
			}
			var got []string
			for _, x := range r.Resources {
				if at := fmt.Sprintf("%s %s:%d", x.Address, x.Position.File, x.Position.Line); x.Name != "of_module" || name == "not in its place" {
					got = append(got, at)
				}
			}
			if d := cmp.Diff(c.want, strings.Join(got, ", ")); d != "" {
				t.Errorf("(-want +got): %s\n%v", d, r.Diagnostics)
			}
			said := slices.ContainsFunc(r.Diagnostics, func(d Diagnostic) bool { return c.said != "" && strings.Contains(d.String(), c.said) })
			if said != (c.said != "") || c.said == "" && len(r.Diagnostics) > 0 {
				t.Errorf("said: %v", r.Diagnostics)
			}
			if name == "in place of a file" && slices.ContainsFunc(r.Resources, func(x *Resource) bool { return x.Name == "of_module" }) {
				t.Error("the file is read that is written over")
			}
		})
	}
}

// Where Terragrunt keeps the state counts as the backend block does that it writes, or
// completes.
func TestTheBackendThatTerragruntWrites(t *testing.T) {
	const s3 = "remote_state {\n backend = \"s3\"\n config = {\n bucket = \"states\"\n key = \"${path_relative_to_include()}/terraform.tfstate\"\n secret_key = \"" + marker + "\"\n }\n"
	const writes = " generate = {\n path = \"backend.tf\"\n if_exists = \"overwrite\"\n }\n}\n"
	for name, c := range map[string]struct {
		root, child, module string
		want                string
	}{
		"written":               {s3 + writes, "", "", "s3: bucket=states, key=app/terraform.tfstate"},
		"completed":             {s3 + "}\n", "", "terraform {\n backend \"s3\" {}\n}\n", "s3: bucket=states, key=app/terraform.tfstate"},
		"of no block":           {s3 + "}\n", "", "", "local"},
		"of a block of another": {s3 + "}\n", "", "terraform {\n backend \"gcs\" {\n bucket = \"b\"\n }\n}\n", "gcs: bucket=b"},
		"in the place of one":   {s3 + writes, "", "terraform {\n backend \"gcs\" {\n bucket = \"b\"\n }\n}\n", "s3: bucket=states, key=app/terraform.tfstate"},
		"over what is included": {s3 + writes, "remote_state {\n backend = \"gcs\"\n config = { bucket = \"own\" }\n" + writes, "", "gcs: bucket=own"},
		"not known":             {"remote_state {\n backend = \"s3\"\n config = dependency.x.outputs.y\n" + writes, "", "", "s3"},
		"not known in part":     {"remote_state {\n backend = \"s3\"\n config = { bucket = \"states\", key = dependency.x.outputs.y }\n" + writes, "", "", "s3: bucket=states"},
		"of a type not known":   {"remote_state {\n backend = dependency.x.outputs.y\n config = {}\n" + writes, "", "", "unknown"},
		"in the folder":         {"remote_state {\n backend = \"local\"\n config = { path = \"x.tfstate\" }\n" + writes, "", "", "local"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeTree(t, map[string]string{
				"modules/m/main.tf": c.module, "live/root.hcl": c.root, "modules/m/x.tfstate": "{}", "live/app/x.tfstate": "{}",
				"live/app/terragrunt.hcl": "include {\n path = \"../root.hcl\"\n}\nterraform { source = \"../../modules//m\" }\n" + c.child,
			})
			r, err := Load(t.Context(), Options{Dir: filepath.Join(dir, "live/app"), Root: dir})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, r.Backend.String()); d != "" {
				t.Errorf("(-want +got): %s\n%v", d, r.Diagnostics)
			}
			// Terraform runs in a copy of the module, so that no state lies beside it.
			if f, at, err := r.LocalState(); err != nil || f != nil {
				t.Errorf("%s is taken for the state: %v", at, err)
			}
		})
	}
}

// Files that include and read one another many times over are read so often
// and no more, which is said.
func TestTerragruntFilesAreReadSoOften(t *testing.T) {
	var includes, reads strings.Builder
	for i := range 100 {
		fmt.Fprintf(&includes, "include \"i%d\" {\n path = \"root.hcl\"\n}\n", i)
		fmt.Fprintf(&reads, "locals { r%d = read_terragrunt_config(\"r%d.hcl\") }\n", i, i)
	}
	files := map[string]string{"main.tf": "variable \"a\" { default = 1 }", "terragrunt.hcl": includes.String() + reads.String(), "root.hcl": includes.String() + reads.String()}
	for i := range 100 {
		files[fmt.Sprintf("r%d.hcl", i)] = reads.String() + includes.String()
	}
	r, err := Load(t.Context(), Options{Dir: writeTree(t, files)})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Diagnostics, func(d Diagnostic) bool { return strings.Contains(d.String(), "files of Terragrunt are read") }) {
		t.Errorf("nothing is said of the limit: %v", r.Diagnostics)
	}
	if causes := Causes(r.Variables[0].Value); len(causes) == 0 {
		t.Error("what the files that are not read would set is taken as known")
	}
}

// The inputs of a file are read in time that grows with their number.
func TestManyInputsAreReadInTime(t *testing.T) {
	var b strings.Builder
	b.WriteString("inputs = {\n")
	for i := range 60_000 {
		fmt.Fprintf(&b, " k%d = 1\n", i)
	}
	b.WriteString("}\n")
	begun := time.Now()
	r, err := Load(t.Context(), Options{Dir: writeTree(t, map[string]string{"main.tf": "variable \"k59999\" {}", "terragrunt.hcl": b.String()})})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if v := r.Variables[0]; !v.Value.IsKnown() || v.From.Line != 60_001 {
		t.Errorf("the last of them is %+v", v)
	}
}

// Terragrunt writes inputs into the environment, of which Terraform makes texts for
// variables without a type, and expressions for all others (terraform 1.11:
// TF_VAR_a=false gives variable "a" {} the text "false").
func TestInputsAreTextsToVariablesWithoutAType(t *testing.T) {
	for inputs, want := range map[string][2]string{
		`false`: {`"false"`, `false`}, `5`: {`"5"`, `5`}, `"text"`: {`"text"`, `"text"`}, `{ x = 1 }`: {`"{\"x\":1}"`, `{"x":1}`}, `["a", true]`: {`"[\"a\",true]"`, `["a",true]`},
	} {
		dir := writeTree(t, map[string]string{
			"terragrunt.hcl": "inputs = {\n a = " + inputs + "\n b = " + inputs + "\n}\n",
			"main.tf":        "variable \"a\" {}\nvariable \"b\" {\n type = any\n}\n",
		})
		r, err := Load(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range r.Variables {
			text, err := json.Marshal(ValueTree(v.Value))
			if err != nil || string(text) != want[i] {
				t.Errorf("%s: %s is %s, want %s (%v)", inputs, v.Name, text, want[i], err)
			}
		}
	}
}
