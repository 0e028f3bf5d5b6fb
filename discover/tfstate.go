package discover

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/source"
)

// stateFile is a state, and the root module that it is of.
type stateFile struct {
	name  string
	dir   string // as it was named; "" if that was not said
	state *terraform.State
}

// remoteStatePrefix begins what names a data source that reads another state.
const remoteStatePrefix = "data.terraform_remote_state."

// splitStates tells the states of the root modules from those that data
// sources read: NAME=FILE, where NAME is a folder or an address. A file without
// a name that lies in one of the folders is of that folder.
func (o *TerraformOptions) splitStates() (own []stateFile, remote map[string]string) {
	remote = map[string]string{}
	for _, s := range o.StateFiles {
		name, file, named := strings.Cut(s, "=")
		switch {
		case named && strings.Contains(name, remoteStatePrefix):
			remote[name] = file
		case named && slices.Contains(o.Dirs, name):
			own = append(own, stateFile{name: file, dir: name})
		default:
			f := stateFile{name: s, dir: o.holding(s)}
			if len(o.Dirs) == 1 {
				f.dir = o.Dirs[0]
			}
			own = append(own, f)
		}
	}
	return own, remote
}

// holding is the one root module whose folder holds a file; "" if none or
// several do.
func (o *TerraformOptions) holding(file string) string {
	abs, err := filepath.Abs(file)
	if err != nil {
		return ""
	}
	best := ""
	for _, d := range o.Dirs {
		dir, err := filepath.Abs(d)
		if err == nil && strings.HasPrefix(abs, dir+string(filepath.Separator)) && len(d) > len(best) {
			best = d
		}
	}
	return best
}

func readState(ctx context.Context, name string) (s *terraform.State, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the Terraform state: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	if s, err = terraform.ReadState(ctx, f, terraform.Limits{}); err != nil {
		return nil, fmt.Errorf("read the Terraform state %s: %w", name, err)
	}
	return s, nil
}

const (
	showLimit = 5 * time.Minute // a backend can be far away
	showBytes = 64 << 20
)

// showState asks a terraform program for the state of a folder, with
// "terraform show -json". The folder has to be initialised. Nothing is changed;
// but the program runs, with the credentials of whoever calls it.
func showState(ctx context.Context, o *TerraformOptions, dir string, backend terraform.Backend) (*terraform.State, error) {
	program, err := terraformProgram()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, showLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "show", "-json", "-no-color")
	cmd.Dir = dir
	// Arguments of the environment may be of other commands, which this one refuses.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "TF_CLI_ARGS") }), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0")
	if o.Workspace != "" {
		cmd.Env = append(cmd.Env, "TF_WORKSPACE="+backend.CLIName(o.Workspace))
	}
	cmd.WaitDelay = 5 * time.Second
	out := &boundedBuffer{left: showBytes}
	said := &boundedBuffer{left: 1 << 16}
	cmd.Stdout, cmd.Stderr = out, said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("run %s show -json in %s: %w: %s", filepath.Base(program), dir, err, errorText(source.SafeText(said.String())))
	}
	if out.full {
		return nil, fmt.Errorf("run %s show -json in %s: it printed more than %d bytes", filepath.Base(program), dir, showBytes)
	}
	s, err := terraform.ReadState(ctx, &out.Buffer, terraform.Limits{})
	if err != nil {
		return nil, fmt.Errorf("read what %s show -json printed in %s: %w", filepath.Base(program), dir, err)
	}
	return s, nil
}

// terraformProgram finds terraform or tofu.
func terraformProgram() (string, error) {
	for _, name := range []string{"terraform", "tofu"} {
		program, err := exec.LookPath(name)
		if err == nil {
			return filepath.Abs(program)
		}
	}
	return "", errors.New("ask for the Terraform state: neither terraform nor tofu is on PATH; give the output of \"terraform show -json\" with --terraform-state instead")
}

// boundedBuffer takes at most left bytes, and remembers that there were more.
type boundedBuffer struct {
	bytes.Buffer
	left int
	full bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	n := len(p)
	if n > b.left {
		b.full, p = true, p[:b.left]
	}
	b.left -= len(p)
	_, err := b.Buffer.Write(p)
	return n, err
}

// errorLines and errorBytes bound how much is told of what a program said.
const (
	errorLines = 14
	errorBytes = 1500
)

// quotedSource is a line of a configuration as Terraform repeats it below an error.
var quotedSource = regexp.MustCompile(`^\d+:( |$)`)

// errorText shortens what a terraform program said as it failed: from its first error on, behind
// warnings, without the lines of the configuration and the values that it repeats, which may be
// secrets. It says so if more was left out.
func errorText(said string) string {
	const frame = "│╷╵ \t\r\n"
	lines := strings.Split(said, "\n")
	isError := func(line string) bool { return strings.HasPrefix(strings.TrimLeft(line, frame), "Error:") }
	framed := false // as a program of today does that is not asked to leave out colours
	if i := slices.IndexFunc(lines, isError); i >= 0 {
		lines, framed = lines[i:], strings.HasPrefix(strings.TrimSpace(lines[i]), "│")
	}
	var out []string
	values := false
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if framed {
			line = strings.TrimSpace(strings.TrimPrefix(line, "│"))
		}
		if values = strings.HasPrefix(line, "├") || values && strings.HasPrefix(line, "│"); values {
			continue
		}
		if line = strings.Trim(line, frame); line != "" && !quotedSource.MatchString(line) {
			out = append(out, line)
		}
	}
	more := len(out) - errorLines
	text := strings.Join(out[:min(len(out), errorLines)], " ")
	if len(text) > errorBytes {
		return strings.ToValidUTF8(text[:errorBytes], "") + " … (it said more)"
	}
	if more > 0 {
		return fmt.Sprintf("%s … (%d more lines)", text, more)
	}
	return text
}

// statesOf collects what is known of the state of one root module: the files
// that were given, what a running terraform shows or, without either, the state
// that its own local backend keeps in the folder.
func (c *configuration) statesOf(ctx context.Context, o *TerraformOptions, given []stateFile) error {
	for _, s := range given {
		if s.dir == "" || s.dir == c.dir {
			c.states = append(c.states, s)
		}
	}
	if o.Show {
		if o.Progress != nil {
			o.Progress("asking terraform for the state of " + c.dir)
		}
		s, err := showState(ctx, o, c.dir, c.result.Backend)
		if err != nil {
			return err
		}
		c.states = append(c.states, stateFile{"terraform show in " + c.dir, c.dir, s})
	}
	if len(c.states) > 0 {
		return nil
	}
	f, name, err := c.result.LocalState()
	if err != nil || f == nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	s, err := terraform.ReadState(ctx, f, terraform.Limits{})
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.find(TerraformProblem.About("", name, name, "the state is not read: "+err.Error()))
		return nil
	}
	c.states = append(c.states, stateFile{name, c.dir, s})
	return nil
}

// stateAgent is an instance in a state that is a Flux v1 agent.
type stateAgent struct {
	*terraform.StateResource
	id string // as of a Flux1Agent
	// what it is, for people.
	what string
}

// stateAgents are the instances in a state that are releases of Flux v1's
// chart, or may be, or Deployments that run fluxd. A Deployment of which the
// state hides what it runs is one if it is named for Flux.
func stateAgents(s *terraform.State) []stateAgent {
	var out []stateAgent
	for _, r := range s.Resources {
		switch o := r.Object; {
		case r.Mode != "managed":
		case r.Release != nil:
			id := r.Release.Namespace + "/" + r.Release.Name
			switch stateChart(r.Release) {
			case "flux":
				out = append(out, stateAgent{r, id, "release " + id})
			case unsureFlux:
				_, why := whichFlux(r.Release.AppVersion, r.Release.Images, r.Release.Values)
				out = append(out, stateAgent{r, id, "release " + id + ", of which it is not known whether it is Flux v1: its chart is named as that is, and " + why})
			}
		case o == nil || o.Kind != "Deployment":
		case runsFluxd(o):
			id := cmp.Or(o.Namespace, metav1.NamespaceDefault) + "/" + o.Name
			out = append(out, stateAgent{r, id, "Deployment " + id})
		case o.Hidden && len(o.Containers) == 0 && speaksOfFlux(r.Address, o.Name) && !speaksOfOperator(r.Address, o.Name):
			id := cmp.Or(o.Namespace, metav1.NamespaceDefault) + "/" + o.Name
			out = append(out, stateAgent{r, id, "Deployment " + id + ", of which the state hides what it runs"})
		}
	}
	return out
}

func speaksOfOperator(words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(w), "operator") })
}

// runsFluxd judges a Deployment in a state by the same clues as a live one.
func runsFluxd(o *terraform.StateObject) bool {
	d := &appsv1.Deployment{}
	d.Spec.Template.Labels = o.PodLabels
	for _, c := range o.Containers {
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: c.Name, Image: c.Image, Args: c.Flags})
	}
	return fluxd(d) != nil
}

// stateElsewhere says where the state is, if it is not at hand and would tell
// more: which instances there are, and what was applied last.
func (c *configuration) stateElsewhere() {
	if len(c.states) > 0 || len(c.agents) == 0 || c.result.Backend.Type == "local" && c.result.Backend.PlaceKnown() {
		return
	}
	c.find(TerraformStateElsewhere.About("", c.dir, place(c.result.Backend.Position), fmt.Sprintf("the state of %s is kept by backend %s", c.dir, c.result.Backend)))
}

// workspacesElsewhere says that the backend knows of workspaces that cannot be
// listed here, where there is a sign that several are used.
func (c *configuration) workspacesElsewhere() {
	b, selected := c.result.Backend, c.result.Workspace()
	several := c.result.UsesWorkspace() || selected != "" && selected != "default" || b.Place["workspace_prefix"] != "" || b.Place["workspace_tags"] != ""
	ofFlux := len(c.agents) > 0 || slices.ContainsFunc(c.said, func(f migrate.Finding) bool {
		return f.Code == TerraformNoAgent.Name || f.Code == TerraformUncertain.Name
	})
	if remote := b.RemoteName(selected); ofFlux && selected != "" && remote != "" && remote != selected && c.result.UsesWorkspace() {
		c.find(TerraformWorkspaceRemote.About("", c.dir, place(b.Position), fmt.Sprintf("terraform.workspace was read as %q, which it is where terraform runs on one's own machine; where HCP Terraform runs it, it is %q", selected, remote)))
	}
	if b.OneWorkspace() || !several || !ofFlux {
		return
	}
	read := "no workspace is named"
	if selected != "" {
		read = "only workspace " + selected + " was read"
	}
	if spoken := c.result.SpokenWorkspaces(); len(spoken) > 0 {
		read += "; the configuration speaks of " + strings.Join(spoken, ", ")
	}
	c.find(TerraformWorkspacesElsewhere.About("", c.dir, place(b.Position), fmt.Sprintf("the workspaces of %s are kept by backend %s; %s", c.dir, b, read)))
}

// remoteStates reports the states of others that something here depends on and
// that are not at hand.
func (c *configuration) remoteStates() {
	for _, r := range c.result.RemoteStates() {
		if r.Read || !c.dependsOn(r.Address+".") {
			continue
		}
		c.find(TerraformRemoteState.About("", r.Address, place(r.Position), fmt.Sprintf("%s reads the outputs of another state, kept by backend %s", r.Address, r.Backend)))
	}
}

// varFiles names the variables files that would settle what is unknown of an
// agent.
func (c *configuration) varFiles() {
	for _, f := range c.result.VarFiles() {
		var sets []string
		for _, name := range f.Sets {
			if c.dependsOn(`"var.` + name + `"`) {
				sets = append(sets, "var."+name)
			}
		}
		if len(sets) > 0 {
			c.find(TerraformVarFile.About("", f.File, f.File, fmt.Sprintf("%s sets %s, without which something is unknown", f.File, strings.Join(sets, ", "))))
		}
	}
}

// dependsOn reports whether something that is unknown here names an address.
func (c *configuration) dependsOn(address string) bool {
	for _, d := range c.agents {
		for _, s := range d.Settings {
			if strings.Contains(s.Why, address) {
				return true
			}
		}
		if slices.ContainsFunc(d.findings, func(f migrate.Finding) bool { return strings.Contains(f.Message, address) }) {
			return true
		}
	}
	return slices.ContainsFunc(c.said, func(f migrate.Finding) bool { return strings.Contains(f.Message, address) })
}

// otherWorkspaces lists the agents of the workspaces that are not selected:
// what the configuration declares in each of them, and what each of their
// states holds.
func (c *configuration) otherWorkspaces(ctx context.Context, o *TerraformOptions) error {
	names := c.result.Workspaces()
	selected := c.result.Workspace()
	if c.result.UsesWorkspace() && selected == "" && (len(names) > 0 || c.dependsOn("the workspace is not named")) {
		more := ""
		if len(names) > 0 {
			more = "; the folder has states of " + strings.Join(names, ", ")
		} else if spoken := c.result.SpokenWorkspaces(); len(spoken) > 0 {
			more = "; it speaks of " + strings.Join(spoken, ", ")
		}
		if remote := c.result.Backend.RemoteName(""); remote != "" {
			more += fmt.Sprintf("; of this backend it is \"default\" where terraform runs on one's own machine, and %q where HCP Terraform runs it", remote)
		}
		c.find(TerraformWorkspace.About("", c.dir, c.dir, "the configuration asks for the name of the workspace, and which one is selected is not known"+more))
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return name == selected || selected == "" && name == "default" && !c.result.UsesWorkspace()
	})
	left := workOfWorkspaces
	for i, name := range names {
		other := *o
		other.Workspace, other.Show = name, false
		w, err := c.quiet(ctx, &other, left)
		if err != nil {
			return fmt.Errorf("workspace %s: %w", name, err)
		}
		if left -= w.result.Work(); w.result.WorkSpent() || left <= 0 && i+1 < len(names) {
			rest := names[i:]
			if !w.result.WorkSpent() {
				rest = names[i+1:]
			}
			f := TerraformProblem.About("", "workspaces of "+c.dir, c.dir, fmt.Sprintf("of %d workspaces of %s not all is read, since together they take more work than is allowed: %s", len(rest), c.dir, listed(rest, len(rest), maxEnds)))
			f.Hint = "read each of them by itself (--workspace)"
			c.find(f)
			left = 0
		}
		told := map[string]bool{}
		for _, s := range w.states {
			for _, a := range stateAgents(s.state) {
				told[a.id] = true
				c.find(TerraformOtherWorkspace.About("", a.Address+" of workspace "+name, s.name, fmt.Sprintf("%s (%s) is in the state of workspace %s", a.what, a.Address, name)))
			}
		}
		for _, d := range w.agents {
			if c.result.UsesWorkspace() && !told[d.ID] {
				c.find(TerraformOtherWorkspace.About("", d.Terraform.Address+" of workspace "+name, d.Terraform.Where, fmt.Sprintf("%s (%s) is declared in workspace %s", d.ID, d.Terraform.Address, name)))
			}
		}
		if left <= 0 {
			break
		}
	}
	return nil
}

// workOfWorkspaces is what reading all workspaces that are not selected may take together. It is
// a variable for tests.
var workOfWorkspaces = 2 * terraform.DefaultWork()

// quiet reads the same folder with other options and at most so much work, and reports nothing.
func (c *configuration) quiet(ctx context.Context, o *TerraformOptions, work int64) (*configuration, error) {
	result, err := o.load(ctx, c.dir, nil, work)
	if err != nil {
		return nil, err
	}
	w := &configuration{dir: c.dir, root: c.root, result: result}
	if err := w.statesOf(ctx, o, nil); err != nil {
		return nil, err
	}
	return w, w.read(ctx)
}
