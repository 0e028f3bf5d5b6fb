package terraform

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What is sensitive of a backend is shown nowhere, though an earlier "terraform
// init" has written it down; that there may be several workspaces is told.
func TestWhatIsSensitiveOfABackendIsNotShown(t *testing.T) {
	const variables = "variable \"s\" {\n sensitive = true\n default = \"" + marker + "\"\n}\n"
	for name, c := range map[string]struct{ block, init, want string }{
		"one of the tags": {`cloud {
    organization = "o"
    workspaces { tags = ["app", var.s] }
  }`, `{"backend":{"type":"cloud","config":{"organization":"o","workspaces":{"tags":["app","` + marker + `"]}}}}`, "cloud: organization=o, workspace_tags=***"},
		"a map of tags": {`cloud {
    workspaces { tags = { app = var.s } }
  }`, "", "cloud: workspace_tags=***"},
		"all tags": {`cloud {
    workspaces { tags = split(",", var.s) }
  }`, "", "cloud: workspace_tags=***"},
		"a bucket": {`backend "gcs" {
    bucket = var.s
    prefix = "p"
  }`, `{"backend":{"type":"gcs","config":{"bucket":"` + marker + `","prefix":"p"}}}`, "gcs: prefix=p"},
		"the path": {`backend "local" {
    path = "${var.s}.tfstate"
  }`, `{"backend":{"type":"local","config":{"path":"` + marker + `.tfstate"}}}`, "local"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"main.tf": "terraform {\n  " + c.block + "\n}\n" + variables, "terraform.tfstate": `{"version":4}`}
			if c.init != "" {
				files[".terraform/terraform.tfstate"] = c.init
			}
			r, err := Load(t.Context(), Options{Dir: writeTree(t, files)})
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Backend.String(); got != c.want {
				t.Errorf("it is %q, want %q", got, c.want)
			}
			data, err := json.Marshal(r.Backend)
			if err != nil {
				t.Fatal(err)
			}
			if text := string(data) + fmt.Sprintf("%+v %#v", r.Backend, r.Backend); strings.Contains(text, marker) {
				t.Errorf("a secret is shown: %s", text)
			}
			// Another state than that of the backend is not read for it.
			f, file, err := r.LocalState()
			if err != nil || f != nil {
				t.Errorf("a state is read: %s, %v", file, err)
			}
		})
	}
}

// The workspaces of a backend are read as they are written: as a block, in JSON as an
// object or as a list of them, and up to Terraform 0.11 as a list in HCL.
func TestTheWorkspacesOfABackendAreReadInEachSyntax(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want, workspace, remote string }{
		"remote":                 {"main.tf", "terraform {\n backend \"remote\" {\n organization = \"o\"\n workspaces {\n name = \"shop\"\n }\n }\n}\n", "remote: organization=o, workspace_name=shop", "", "shop"},
		"remote, 0.11":           {"main.tf", "terraform {\n backend \"remote\" {\n organization = \"o\"\n workspaces = [{\n name = \"shop\"\n }]\n }\n}\n", "remote: organization=o, workspace_name=shop", "", "shop"},
		"remote, JSON":           {"main.tf.json", `{"terraform": {"backend": {"remote": {"organization": "o", "workspaces": {"name": "shop"}}}}}`, "remote: organization=o, workspace_name=shop", "", "shop"},
		"remote, JSON, lists":    {"main.tf.json", `{"terraform": [{"backend": [{"remote": [{"organization": "o", "workspaces": [{"prefix": "shop-"}]}]}]}]}`, "remote: organization=o, workspace_prefix=shop-", "", "shop-prod"},
		"cloud, JSON":            {"main.tf.json", `{"terraform": {"cloud": {"organization": "o", "workspaces": {"name": "shop"}}}}`, "cloud: organization=o, workspace_name=shop", "shop", ""},
		"cloud, JSON, lists":     {"main.tf.json", `{"terraform": [{"cloud": [{"organization": "o", "workspaces": [{"tags": ["b", "a"]}]}]}]}`, "cloud: organization=o, workspace_tags=a+b", "", ""},
		"cloud, JSON, a project": {"main.tf.json", `{"terraform": {"cloud": {"workspaces": [{"name": "shop", "project": "p"}]}}}`, "cloud: workspace_name=shop, workspace_project=p", "shop", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Load(t.Context(), Options{Dir: writeTree(t, map[string]string{c.file: c.text})})
			if err != nil {
				t.Fatal(err)
			}
			got := []string{r.Backend.String(), r.Workspace(), r.Backend.RemoteName("prod")}
			if want := []string{c.want, c.workspace, c.remote}; !slices.Equal(got, want) {
				t.Errorf("the backend, its workspace and its name there are %q, want %q", got, want)
			}
		})
	}
}

// The outputs of a state whose place is sensitive, in part or as a whole, are
// not read, neither from there nor from the usual place; the place is not shown.
func TestAStateOfWhichThePlaceIsSensitiveIsNotRead(t *testing.T) {
	state := `{"version":4,"outputs":{"a":{"value":"of another state","type":"string"}}}`
	for name, c := range map[string]struct{ backend, arguments string }{
		"the path":      {`"local"`, "config = { path = var.s }"},
		"all of it":     {`"local"`, "config = var.whole"},
		"all of a list": {`"remote"`, "config = var.cloud"},
		"the workspace": {`"local"`, "workspace = var.s"},
		"the backend":   {"var.s", "config = {}"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Load(t.Context(), Options{Dir: writeTree(t, map[string]string{
				"main.tf": "variable \"s\" {\n sensitive = true\n default = \"" + marker + "\"\n}\n" +
					"variable \"whole\" {\n sensitive = true\n default = { path = \"" + marker + "\", workspace_dir = \"" + marker + "\" }\n}\n" +
					"variable \"cloud\" {\n sensitive = true\n default = { organization = \"" + marker + "\", workspaces = [{ name = \"" + marker + "\" }] }\n}\n" +
					"data \"terraform_remote_state\" \"x\" {\n backend = " + c.backend + "\n " + c.arguments + "\n}\noutput \"o\" { value = data.terraform_remote_state.x.outputs.a }\n",
				"terraform.tfstate": state, marker: state, "terraform.tfstate.d/" + marker + "/terraform.tfstate": state,
			})})
			if err != nil {
				t.Fatal(err)
			}
			v := r.Outputs[0].Value
			if v.IsKnown() {
				t.Errorf("it is known: %v", ValueTree(v))
			}
			if text := fmt.Sprintf("%+v %v", r.RemoteStates(), Causes(v)); strings.Contains(text, marker) {
				t.Errorf("a secret is shown: %s", text)
			}
		})
	}
}
