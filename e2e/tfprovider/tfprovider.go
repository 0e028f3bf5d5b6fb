// Package tfprovider builds a real Terraform helm provider, and lays it out so
// that "terraform init -plugin-dir" takes it: no provider registry is asked.
package tfprovider

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/fluxover/fluxover/e2e/built"
)

// Version of the provider that the nested module provider requires. It is the
// newest that builds from the module proxy alone with few replaced modules; it
// speaks Helm 3, has set_sensitive, and has neither set_list nor the list
// syntax of version 3.
const Version = "1.3.2"

// module is the provider's own, with its main package.
const module = "github.com/hashicorp/terraform-provider-helm"

// Plugins returns a folder for -plugin-dir that holds the helm provider. It is
// taken from the user's cache folder, fluxover/tfprovider/<version>, and built
// into it once: that needs Go, the module proxy and about a minute, told to
// log.
func Plugins(ctx context.Context, log io.Writer) (string, error) {
	if log == nil {
		log = io.Discard
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the helm provider: %w", err)
	}
	dir := filepath.Join(cache, "fluxover", "tfprovider", Version)
	program := filepath.Join("registry.terraform.io", "hashicorp", "helm", Version, runtime.GOOS+"_"+runtime.GOARCH, "terraform-provider-helm_v"+Version)
	return dir, built.Ensure(ctx, dir, []string{program}, "the helm provider "+Version, log, func(part string) error {
		source, err := built.Module(ctx, "e2e/tfprovider/provider")
		if err != nil {
			return err
		}
		fmt.Fprintf(log, "building the helm provider %s, once; about a minute\n", Version)
		_, err = built.Go(ctx, source, nil, "build", "-ldflags", "-s -w", "-o", filepath.Join(part, program), module)
		return err
	})
}
