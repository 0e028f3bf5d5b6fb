// Package tfprovider builds real Terraform providers, and lays them out so that
// "terraform init -plugin-dir" takes them, and that of OpenTofu: no provider
// registry is asked.
package tfprovider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"

	"github.com/fluxover/fluxover/e2e/built"
)

// Provider is one that is built from its Go module: the newest version that the
// module proxy has and that builds with few replaced modules.
type Provider struct {
	// Source as in required_providers, such as hashicorp/helm.
	Source string
	// Version that the nested module of the same name requires.
	Version string
	// module is the provider's own, with its main package.
	module string
}

// The providers that can be built. Helm speaks Helm 3 and has set_sensitive, but
// neither set_list nor the list syntax of version 3. Kubernetes has neither
// kubernetes_manifest nor names that end in a version, such as
// kubernetes_deployment_v1, which came with version 2. Local has no
// local_sensitive_file.
var (
	Helm       = Provider{"hashicorp/helm", "1.3.2", "github.com/hashicorp/terraform-provider-helm"}
	Kubernetes = Provider{"hashicorp/kubernetes", "1.13.4", "github.com/hashicorp/terraform-provider-kubernetes"}
	Kubectl    = Provider{"gavinbunney/kubectl", "1.19.0", "github.com/gavinbunney/terraform-provider-kubectl"}
	Local      = Provider{"hashicorp/local", "1.4.0", "github.com/terraform-providers/terraform-provider-local"}
	Null       = Provider{"hashicorp/null", "1.0.0", "github.com/terraform-providers/terraform-provider-null"}
)

// All are the providers that can be built.
var All = []Provider{Helm, Kubernetes, Kubectl, Local, Null}

func (p Provider) String() string { return p.Source + " " + p.Version }

func (p Provider) name() string { return path.Base(p.Source) }

// source is the nested module, by its path in the checkout.
func (p Provider) source() string { return "e2e/tfprovider/" + p.name() }

// Plugins returns folders, each for one -plugin-dir, that hold the providers.
// They are taken from the user's cache folder, fluxover/tfprovider, and built
// into it once: that needs Go, the module proxy and a minute or two for each,
// told to log.
func Plugins(ctx context.Context, log io.Writer, providers ...Provider) ([]string, error) {
	if log == nil {
		log = io.Discard
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the providers: %w", err)
	}
	var dirs []string
	for _, p := range providers {
		dir := filepath.Join(cache, "fluxover", "tfprovider", p.name()+"-"+p.Version)
		if err := p.ensure(ctx, dir, log); err != nil {
			return nil, err
		}
		if err := p.offer(dir); err != nil {
			return nil, fmt.Errorf("offer the provider %s to OpenTofu: %w", p, err)
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

func (p Provider) ensure(ctx context.Context, dir string, log io.Writer) error {
	program := filepath.Join(p.place("registry.terraform.io"), "terraform-provider-"+p.name()+"_v"+p.Version)
	return built.Ensure(ctx, dir, []string{program}, "the provider "+p.String(), log, func(part string) error {
		source, err := built.Module(ctx, p.source())
		if err != nil {
			return err
		}
		fmt.Fprintf(log, "building the provider %s, once; a minute or two\n", p)
		_, err = built.Go(ctx, source, nil, "build", "-ldflags", "-s -w", "-o", filepath.Join(part, program), p.module)
		return err
	})
}

// place is the folder of the program, below that of -plugin-dir, by the registry
// that a source without a host stands for.
func (p Provider) place(registry string) string {
	return filepath.Join(registry, filepath.FromSlash(p.Source), p.Version, runtime.GOOS+"_"+runtime.GOARCH)
}

// offer names the program by OpenTofu's registry, too.
func (p Provider) offer(dir string) error {
	at := filepath.Join(dir, p.place("registry.opentofu.org"))
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	target, err := filepath.Rel(filepath.Dir(at), filepath.Join(dir, p.place("registry.terraform.io")))
	if err != nil {
		return err
	}
	if err := os.Symlink(target, at); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
