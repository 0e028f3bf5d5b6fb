package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxover/fluxover/e2e/built"
)

// kubernetesModule is the module that holds three of the four programs.
const kubernetesModule = "k8s.io/kubernetes"

// etcdModule is the module whose main package is the etcd server.
const etcdModule = "go.etcd.io/etcd/server/v3"

// packages are the main packages that the programs are built from, and what the
// go command names what it makes of each.
var packages = map[string]struct{ path, output string }{
	"etcd":                    {etcdModule, "server"},
	"kube-apiserver":          {kubernetesModule + "/cmd/kube-apiserver", "kube-apiserver"},
	"kube-controller-manager": {kubernetesModule + "/cmd/kube-controller-manager", "kube-controller-manager"},
	"kubectl":                 {kubernetesModule + "/cmd/kubectl", "kubectl"},
}

// build compiles the named programs of a Kubernetes version into dir.
func build(ctx context.Context, dir, version string, names []string, log io.Writer) error {
	module, err := os.MkdirTemp(dir, "module-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(module)
	if err := writeModule(ctx, module, version, log); err != nil {
		return err
	}
	fmt.Fprintf(log, "building Kubernetes %s, once; about 8 minutes on two cores when nothing is cached\n", version)
	numbers := strings.Split(strings.TrimPrefix(version, "v"), ".")
	const stamp = "k8s.io/component-base/version."
	flags := fmt.Sprintf("-s -w -X %sgitVersion=%s -X %sgitMajor=%s -X %sgitMinor=%s",
		stamp, version, stamp, numbers[0], stamp, numbers[1])
	// All at once, so that no processor waits while a program is linked, and with
	// the flags of an ordinary build, so that what this module has in common with
	// them is compiled once.
	args := []string{"build", "-v", "-ldflags", flags, "-o", dir + string(filepath.Separator)}
	for _, name := range names {
		args = append(args, packages[name].path)
	}
	began := time.Now()
	if _, err := built.Go(ctx, module, &compiled{log: log, began: began, told: began}, args...); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(dir, packages[name].output), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	fmt.Fprintf(log, "built Kubernetes %s in %.0f s\n", version, time.Since(began).Seconds())
	return nil
}

// compiled tells how a build goes on: "go build -v" writes a line per package.
type compiled struct {
	log         io.Writer
	began, told time.Time
	packages    int
}

func (c *compiled) Write(p []byte) (int, error) {
	c.packages += bytes.Count(p, []byte("\n"))
	if now := time.Now(); now.Sub(c.told) > 30*time.Second {
		c.told = now
		fmt.Fprintf(c.log, "building Kubernetes: %d packages after %.0f s\n", c.packages, now.Sub(c.began).Seconds())
	}
	return len(p), nil
}

// writeModule writes go.mod and go.sum of a module from which the programs can
// be built: the committed one for DefaultVersion, else one derived for version.
func writeModule(ctx context.Context, dir, version string, log io.Writer) error {
	if version != DefaultVersion {
		fmt.Fprintf(log, "resolving the modules of Kubernetes %s\n", version)
		return deriveModule(ctx, dir, version)
	}
	source, err := built.Module(ctx, "e2e/controlplane/kubernetes")
	if err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// goMod is what is needed of the output of "go mod edit -json".
type goMod struct {
	Require []struct{ Path, Version string }
	Replace []struct {
		Old struct{ Path string }
		New struct{ Path string }
	}
}

// deriveModule writes a module for any Kubernetes version. That version's own
// go.mod says which staging modules it has (each replaced by a folder there, by
// the published module here) and which etcd it was made for.
func deriveModule(ctx context.Context, dir, version string) error {
	out, err := built.Go(ctx, dir, nil, "mod", "download", "-json", kubernetesModule+"@"+version)
	if err != nil {
		return err
	}
	var download struct{ GoMod string }
	if err := json.Unmarshal(out, &download); err != nil {
		return fmt.Errorf("read go mod download: %w", err)
	}
	if out, err = built.Go(ctx, dir, nil, "mod", "edit", "-json", download.GoMod); err != nil {
		return err
	}
	var upstream goMod
	if err := json.Unmarshal(out, &upstream); err != nil {
		return fmt.Errorf("read go mod edit: %w", err)
	}
	etcd := ""
	for _, require := range upstream.Require {
		if require.Path == "go.etcd.io/etcd/client/v3" {
			etcd = require.Version
		}
	}
	if etcd == "" {
		return fmt.Errorf("derive module of Kubernetes %s: its go.mod names no etcd client", version)
	}
	var text strings.Builder
	// From 1.17 on the version of a staging module is v0 with minor and patch.
	staging := "v0." + strings.SplitN(version, ".", 2)[1]
	fmt.Fprintf(&text, "module controlplane\n\ngo 1.26.0\n\nrequire (\n\t%s %s\n\t%s %s\n)\n\n", kubernetesModule, version, etcdModule, etcd)
	for _, replace := range upstream.Replace {
		if strings.HasPrefix(replace.New.Path, "./staging/") {
			fmt.Fprintf(&text, "replace %s => %s %s\n", replace.Old.Path, replace.Old.Path, staging)
		}
	}
	text.WriteString("\ntool (\n")
	for _, name := range programs {
		fmt.Fprintf(&text, "\t%s\n", packages[name].path)
	}
	text.WriteString(")\n")
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text.String()), 0o644); err != nil {
		return err
	}
	_, err = built.Go(ctx, dir, nil, "mod", "tidy")
	return err
}
