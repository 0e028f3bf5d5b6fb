package terraform

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// scriptsOf are the scripts of one file.
func scriptsOf(t *testing.T, files map[string]string, limits Limits) []*Script {
	t.Helper()
	r, err := Load(t.Context(), Options{Dir: writeTree(t, files), Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	return Scripts(t.Context(), r)
}

// What a script is given, or hands on, is no name of a file, though it may look
// like one.
func TestNoSecretIsTakenForAFileThatAScriptRuns(t *testing.T) {
	key := "-----BEGIN PRIVATE KEY-----\nhunter2/AAAA\nBBBB/hunter2/CCCC\n-----END PRIVATE KEY-----\n"
	local := func(body string) string {
		return "resource \"null_resource\" \"x\" {\n provisioner \"local-exec\" {\n" + body + "\n }\n}\n"
	}
	for name, text := range map[string]string{
		"a key in a variable":           local("command = \"echo \\\"$KEY\\\" > k; helm upgrade x\"\n environment = { KEY = file(\"key\") }"),
		"a key in a variable that runs": local("command = \"$KEY; helm upgrade x\"\n environment = { KEY = file(\"key\") }"),
		"a token in one":                local("command = \"bash $T; helm upgrade x\"\n environment = { T = \"./hunter2/hunter2.sh\" }"),
		"a key in a heredoc":            local("command = <<-EOT\ncat > k <<E\n" + key + "E\nhelm upgrade x\nEOT"),
		"a key in a file":               local("command = \"cat > k <<E\\n${file(\"key\")}E\\nhelm upgrade x\""),
		"an argument":                   "data \"external\" \"helm\" {\n program = [\"./get\", \"hunter2/dGVzdA\", \"./hunter2\"]\n}\n",
		"an interpreter's":              "data \"external\" \"flux\" {\n program = [\"bash\", \"./get.sh\", \"hunter2/hunter2.sh\"]\n}\n",
		"options of Terraform":          local("command = \"terraform -var=password=hunter2 apply\""),
		"those with a value":            local("command = \"tofu -no-color -var password=hunter2 -chdir=x apply\""),
		"a URL of Terragrunt":           local("command = \"terragrunt --terragrunt-source=git::https://u:hunter2@host/x run-all apply\""),
		"options of kubectl":            local("command = \"kubectl --token=hunter2 apply -f https://u:hunter2@host/x\""),
		"one by an alias":               local("command = \"k --token hunter2 create -f x\""),
		"a path of kubectl":             local("command = \"/opt/hunter2/kubectl apply -f x\""),
		"a variable for kubectl":        local("command = \"$${HUNTER2_KUBECTL} apply -f x\""),
		"what anything applies":         local("command = \"hunter2 apply --token=hunter2 -f x\""),
		"options of make":               local("command = \"make -C hunter2 TOKEN=hunter2 deploy\""),
		"a chart":                       local("command = \"helm install hunter2 incubator/raw --set a=hunter2\""),
		"a program":                     "data \"external\" \"x\" {\n program = [\"terraform\", \"-var=password=hunter2\", \"apply\"]\n}\n",
		"an inline command":             "resource \"null_resource\" \"x\" {\n provisioner \"remote-exec\" {\n inline = [\"cat > k <<E\", file(\"key\"), \"E\", \"helm upgrade x\"]\n }\n}\n",
	} {
		all := scriptsOf(t, map[string]string{"main.tf": text, "key": key}, Limits{})
		if len(all) != 1 {
			t.Errorf("%s: %d scripts", name, len(all))
			continue
		}
		told := fmt.Sprint(all[0].Unread, all[0].In, all[0].Tools)
		for _, g := range all[0].Grants {
			told += fmt.Sprint(g.What.Causes)
		}
		if strings.Contains(strings.ToLower(told), marker) {
			t.Errorf("%s is told: %s", name, told)
		}
	}
}

func TestTheFilesThatAScriptRunsAreNamedWithinBounds(t *testing.T) {
	var lines []string
	for i := range 50 {
		lines = append(lines, fmt.Sprintf("./step%02d", i))
	}
	long := strings.Repeat("x", 200)
	all := scriptsOf(t, map[string]string{"main.tf": "resource \"null_resource\" \"a\" {\n provisioner \"local-exec\" {\n command = \"" + strings.Join(lines, "\\n") + "\"\n }\n}\n" +
		"resource \"null_resource\" \"b\" {\n provisioner \"local-exec\" {\n command = \"./" + long + "\\nbin/install\\nbash deploy.sh && ../up\"\n }\n}\n" +
		"resource \"null_resource\" \"c\" {\n provisioner \"remote-exec\" {\n scripts = [\"./a.sh\", \"install\"]\n }\n}\n"}, Limits{})
	if len(all) != 3 {
		t.Fatalf("%d scripts", len(all))
	}
	if !slices.Equal(all[0].Unread, lines[:maxUnread]) || !all[0].UnreadMore {
		t.Errorf("of many: %q, more %v", all[0].Unread, all[0].UnreadMore)
	}
	if !slices.Equal(all[1].Unread, []string{"deploy.sh", "../up"}) || !all[1].UnreadMore {
		t.Errorf("of long ones: %q, more %v", all[1].Unread, all[1].UnreadMore)
	}
	if !slices.Equal(all[2].Unread, []string{"./a.sh"}) || !all[2].UnreadMore {
		t.Errorf("on another machine: %q, more %v", all[2].Unread, all[2].UnreadMore)
	}
}

func TestTheFileBehindAnInterpretersOptionsIsTheOneThatIsRun(t *testing.T) {
	for _, words := range []string{`"bash", "-euo", "pipefail", "./up.sh"`, `"/bin/bash", "-o", "pipefail", "-e", "./up.sh"`, `"bash", "./up.sh", "pipefail"`} {
		all := scriptsOf(t, map[string]string{"main.tf": "data \"external\" \"flux\" {\n program = [" + words + "]\n}\n"}, Limits{})
		if len(all) != 1 || !slices.Equal(all[0].Unread, []string{"./up.sh"}) || all[0].UnreadMore {
			t.Errorf("%s: %+v", words, all)
		}
	}
}

// A script that speaks of Flux by nothing but the name of its resource says so.
func TestAScriptIsOfFluxByItsNameAloneOrByWhatItRuns(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		by   bool
		in   []string
	}{
		"its name":        {"command = \"helm plugin install x\"", true, nil},
		"its command":     {"command = \"helm install fluxcd/flux\"", false, nil},
		"what it is told": {"command = \"helm install x\"\n environment = { URL = \"https://charts.fluxcd.io\" }", false, []string{"environment URL"}},
		"a file":          {"command = \"bash ./up.sh\"", false, []string{"file up.sh"}},
	} {
		all := scriptsOf(t, map[string]string{"up.sh": "helm install flux\n", "main.tf": "resource \"null_resource\" \"fluxcd_tools\" {\n provisioner \"local-exec\" {\n " + c.body + "\n }\n}\n"}, Limits{})
		if len(all) != 1 || !all[0].Flux || all[0].ByName != c.by || !slices.Equal(all[0].In, c.in) {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

func TestAToolIsFoundWhereverACommandStands(t *testing.T) {
	for _, command := range []string{
		`helm upgrade x`, `"helm" upgrade x`, `'helm' upgrade`, `bash -c 'helm upgrade x'`, `sh -ec \"helm upgrade x\"`, `/bin/bash -e -c \"A=b helm upgrade x\"`,
		`timeout 60 helm upgrade x`, `timeout -k 5 60s helm upgrade`, `env A=b helm upgrade x`, `if helm status x; then echo; fi`, `! helm status x`,
		`sudo -E helm upgrade`, `while ! helm status x; do sleep 1; done`, `x=$(helm list)`, `echo a | xargs -n 1 helm delete`,
		`\"$HELM\" upgrade`, `\"$${HELM}\" upgrade`, `bash -c \"$HELM upgrade\"`,
	} {
		if !strings.Contains(command, `\"`) {
			command = strings.ReplaceAll(command, `"`, `\"`)
		}
		all := scriptsOf(t, map[string]string{"main.tf": "resource \"null_resource\" \"a\" {\n provisioner \"local-exec\" {\n command = \"" + command + "\"\n environment = { HELM = \"/opt/helm\" }\n }\n}\n"}, Limits{})
		if len(all) != 1 || !slices.Equal(all[0].Tools, []string{"helm"}) {
			t.Errorf("%s: %d scripts", command, len(all))
		}
	}
	if all := scriptsOf(t, map[string]string{"main.tf": "resource \"null_resource\" \"a\" {\n provisioner \"local-exec\" {\n command = \"echo helm is gone; ./done.txt || cp helm.tgz x.sh $HOME\\n echo \\\\\\n -l 'helm' \\\\\\n -k 'a/b'\\n -x ./c.sh\"\n }\n}\n", "done.txt": ""}, Limits{}); len(all) > 0 {
		t.Errorf("it is said to run %v, open %v, unread %v", all[0].Tools, all[0].Open, all[0].Unread)
	}
}

func TestAScriptOfWhichTheProgramIsNotKnownIsTold(t *testing.T) {
	remote := func(body string) string {
		return "resource \"null_resource\" \"x\" {\n provisioner \"remote-exec\" {\n" + body + "\n }\n}\n"
	}
	local := func(body string) string { return strings.Replace(remote(body), "remote", "local", 1) }
	for name, text := range map[string]string{
		"a command":            local("command = var.tool"),
		"how a command begins": local("command = \"${var.tool} upgrade\""),
		"a secret command":     local("command = var.secret"),
		"a quoted variable":    local("command = \"\\\"$TOOL\\\" upgrade\"\n environment = { TOOL = var.tool }"),
		"a shell's text":       local("command = \"sh -c \\\"$TOOL\\\"\"\n environment = { TOOL = var.tool }"),
		"a shell's file":       local("command = \"bash $TOOL\"\n environment = { TOOL = var.tool }"),
		"an interpreter":       local("interpreter = [var.tool, \"-c\"]\n command = \"echo\""),
		"an inline command":    remote("inline = [\"echo\", var.tool]"),
		"inline commands":      remote("inline = var.tools"),
		"a script":             remote("script = var.tool"),
		"the place of one":     remote("script = \"${var.tool}/x\""),
		"one of the scripts":   remote("scripts = [\"known\", var.tool]"),
		"a program":            "data \"external\" \"x\" {\n program = [var.tool, \"a\"]\n}\n",
		"a program's file":     "data \"external\" \"x\" {\n program = [\"/usr/bin/env\", \"bash\", var.tool]\n}\n",
		"a program's shell":    "data \"external\" \"x\" {\n program = [\"bash\", \"-c\", var.tool]\n}\n",
	} {
		all := scriptsOf(t, map[string]string{"known": "", "main.tf": "variable \"tool\" {\n type = string\n}\nvariable \"tools\" {}\nvariable \"secret\" {\n sensitive = true\n}\n" + text}, Limits{})
		if len(all) != 1 || !all[0].Open {
			t.Errorf("%s that is not known is not told: %d scripts", name, len(all))
		}
	}
	for name, text := range map[string]string{
		"an argument of a command": local("command = \"echo ${var.tool}\""),
		"one of a program":         "data \"external\" \"x\" {\n program = [\"jq\", var.tool]\n}\n",
	} {
		if all := scriptsOf(t, map[string]string{"main.tf": "variable \"tool\" {\n type = string\n}\n" + text}, Limits{}); len(all) > 0 {
			t.Errorf("%s is taken for its program", name)
		}
	}
}

// The values of variables, and the files of many instances, are searched within
// the work that is allowed.
func TestScriptsAreSearchedWithinTheLimits(t *testing.T) {
	once := func(name, text string) {
		start := time.Now()
		// Smaller than the defaults, to be quick; the bounds are the same.
		all := scriptsOf(t, map[string]string{"main.tf": text, "value": strings.Repeat("v", 1<<20), "command": strings.Repeat("echo $A\n", 1<<15), "run.sh": strings.Repeat("echo\n", 25_000) + "helm x\n"}, Limits{Work: 250_000})
		if d := time.Since(start); d > time.Minute {
			t.Errorf("%s took %s", name, d)
		}
		if len(all) == 0 {
			t.Errorf("%s is not told", name)
		}
		for _, s := range all {
			if !s.Open && len(s.Tools) == 0 {
				t.Errorf("%s: %s is said to be known", name, s.Address)
			}
		}
	}
	once("a value many times over", "resource \"null_resource\" \"x\" {\n provisioner \"local-exec\" {\n command = file(\"command\")\n environment = { A = file(\"value\") }\n }\n}\n")
	once("a command of many instances", "resource \"null_resource\" \"x\" {\n count = 2000\n provisioner \"local-exec\" {\n command = \"helm x ${local.c}\"\n }\n}\nlocals {\n c = file(\"command\")\n}\n")
	once("a file of many instances", "resource \"null_resource\" \"x\" {\n count = 2000\n provisioner \"local-exec\" {\n command = \"./run.sh\"\n }\n}\n")
}
