package laboratory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/fluxover/fluxover/e2e/built"
	"github.com/fluxover/fluxover/e2e/kubelet"
)

const module = "github.com/fluxover/fluxover"

// Environment variables that name real programs.
const (
	fluxdVariable               = "FLUXD"
	sourceControllerVariable    = "SOURCE_CONTROLLER"
	kustomizeControllerVariable = "KUSTOMIZE_CONTROLLER"
)

// Build puts the programs that Pods run into dir, for Options.BinDir. With
// faults fluxover has its crash points built in: then the environment variable
// FLUXOVER_CRASH kills it at a place, which a released program does not know. It
// needs go and a working directory in the checkout. What go linked stays in the
// user's cache folder, fluxover/programs, so that it links again only what changed.
func Build(ctx context.Context, dir string, faults bool) error {
	if err := build(ctx, dir, faults); err != nil {
		return fmt.Errorf("build the laboratory's programs (run in the checkout, or give a folder with them): %w", err)
	}
	return nil
}

func build(ctx context.Context, dir string, faults bool) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	linked := filepath.Join(cache, "fluxover", "programs")
	args := []string{"build", "-ldflags=-s -w"} // without what debuggers read, which takes most of the time
	if faults {
		linked += "-faults"
		args = append(args, "-tags=faults")
	}
	for _, folder := range []string{linked, dir} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	lock, err := built.AwaitLock(ctx, linked+".lock", io.Discard)
	if err != nil {
		return err
	}
	defer lock.Close()
	programs := []string{"e2e/fluxd", "e2e/gitserver/gitssh", "cmd/fluxover"}
	args = append(args, "-o", linked+string(filepath.Separator))
	for _, program := range programs {
		args = append(args, module+"/"+program)
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	// Copies: what runs must not change when another checkout builds.
	for _, program := range programs {
		name := path.Base(program)
		if err := copyProgram(filepath.Join(linked, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// copyProgram copies an executable over one that may be running.
func copyProgram(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// images tells which images run as processes: fluxd for repository flux, and
// the programs behind fluxover and, if named, the stock controllers.
func (l *Lab) images(options Options) (func(string) (kubelet.Image, bool), error) {
	known := map[string]kubelet.Image{}
	agent := filepath.Join(l.BinDir, "fluxover")
	if _, err := os.Stat(agent); err == nil {
		known["fluxover"] = kubelet.Image{Exec: agent}
	}
	var err error
	if known["flux"], err = l.fluxd(options.Fluxd); err != nil {
		return nil, err
	}
	// Without addresses of their own, controllers would meet on one machine's ports.
	// Leader election they start only where a container's token is mounted, at a
	// fixed path that is none of a Pod's here.
	addresses := []string{"--metrics-addr=$(POD_IP):8080", "--health-addr=$(POD_IP):9440", "--events-addr=", "--enable-leader-election=false"}
	for name, controller := range map[string]kubelet.Image{
		"source-controller": {
			Exec: os.Getenv(sourceControllerVariable),
			Args: append([]string{"--storage-addr=$(POD_IP):9090", "--storage-adv-addr=$(POD_IP):9090"}, addresses...),
		},
		"kustomize-controller": {Exec: os.Getenv(kustomizeControllerVariable), Args: addresses},
	} {
		if controller.Exec != "" {
			known[name] = controller
		}
	}
	for name, image := range options.Images {
		known[name] = image
	}
	for name, image := range known {
		if _, err := os.Stat(image.Exec); err != nil {
			return nil, fmt.Errorf("program behind image %s: %w", name, err)
		}
	}
	return func(image string) (kubelet.Image, bool) {
		program, found := known[repositoryName(image)]
		return program, found
	}, nil
}

// repositoryName is the last part of an image's repository: flux for
// docker.io/fluxcd/flux:1.25.4.
func repositoryName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	name := image[strings.LastIndex(image, "/")+1:]
	name, _, _ = strings.Cut(name, ":")
	return name
}

// fluxd is what runs for image flux: the stand-in, or the real program behind
// a script.
func (l *Lab) fluxd(program string) (kubelet.Image, error) {
	if program == "" {
		program = os.Getenv(fluxdVariable)
	}
	gitssh := filepath.Join(l.BinDir, "gitssh")
	const identity, knownHosts = "/etc/fluxd/ssh/identity", "/root/.ssh/known_hosts" // where the chart mounts them
	if program == "" {
		return kubelet.Image{
			Exec: filepath.Join(l.BinDir, "fluxd"),
			Args: []string{"--listen=$(POD_IP):3030"},
			// It gives git as little of its environment as the real one.
			Env: []string{"FLUXD_SSH_COMMAND=" + quoted(gitssh) + " -i '$(POD_ROOT)" + identity + "' -o 'UserKnownHostsFile=$(POD_ROOT)" + knownHosts + "'"},
		}, nil
	}
	program, err := filepath.Abs(program)
	if err != nil {
		return kubelet.Image{}, fmt.Errorf("find the real fluxd: %w", err)
	}
	// The real fluxd passes little of its environment to git, HOME among it, so
	// the ssh command stands in git's own configuration.
	script := filepath.Join(l.BinDir, "fluxd-real")
	text := "#!/bin/sh\nset -e\n" +
		`git config --file "$HOME/.gitconfig" core.sshCommand "` + quoted(gitssh) +
		` -i '$POD_ROOT` + identity + `' -o 'UserKnownHostsFile=$POD_ROOT` + knownHosts + `'"` + "\n" +
		"exec " + quoted(program) + ` "$@"` + "\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		return kubelet.Image{}, fmt.Errorf("prepare the real fluxd: %w", err)
	}
	return kubelet.Image{
		Exec: script,
		Args: []string{"--listen=$(POD_IP):3030", "--k8s-secret-volume-mount-path=$(POD_ROOT)/etc/fluxd/ssh"},
		// Kubectl, which it runs, must not take the chart's kubeconfig, which
		// names no cluster: in a Pod that means the cluster it runs in.
		Env: []string{"KUBECONFIG=$(POD_ROOT)/root/.kube/config"},
	}, nil
}

// quoted is a word for the shell.
func quoted(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
