package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/fluxover/fluxover/e2e/built"
)

// DefaultVersion is the Kubernetes version of the nested module kubernetes.
const DefaultVersion = "v1.37.2"

// programs are what an assets folder holds.
var programs = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"}

var versionPattern = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+$`)

// Assets returns a folder that holds etcd, kube-apiserver,
// kube-controller-manager and kubectl of one Kubernetes version.
//
// The folder named by KUBEBUILDER_ASSETS comes first, if its kube-apiserver has
// that version or version is empty; the envtest archives hold no
// kube-controller-manager (and maybe no kubectl), so what is missing is built.
// Otherwise, version empty meaning DefaultVersion, they are taken from the user's
// cache folder, fluxover/controlplane/<version>, and built into it once: that
// needs Go, a C compiler, the module proxy and some minutes, told to log. A build
// that breaks leaves nothing that a later call could take for a good one, and two
// processes do not build at once.
func Assets(ctx context.Context, version string, log io.Writer) (string, error) {
	if log == nil {
		log = io.Discard
	}
	if version != "" && !versionPattern.MatchString(version) {
		return "", fmt.Errorf("find Kubernetes %s: not a version: write it like %s", version, DefaultVersion)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find Kubernetes: %w", err)
	}
	cache = filepath.Join(cache, "fluxover", "controlplane")
	given := os.Getenv("KUBEBUILDER_ASSETS")
	if given != "" && len(built.Missing(given, "etcd", "kube-apiserver")) == 0 {
		if given, err = filepath.Abs(given); err != nil {
			return "", fmt.Errorf("find Kubernetes: %w", err)
		}
		has, err := serverVersion(ctx, filepath.Join(given, "kube-apiserver"))
		if err != nil {
			return "", fmt.Errorf("use KUBEBUILDER_ASSETS: %w", err)
		}
		if version == "" || version == has {
			absent := built.Missing(given, programs...)
			if len(absent) == 0 {
				return given, nil
			}
			sum := sha256.Sum256([]byte(given))
			dir := filepath.Join(cache, has+"-"+hex.EncodeToString(sum[:4]))
			return dir, built.Ensure(ctx, dir, programs, "Kubernetes "+has, log, func(part string) error {
				for _, name := range programs {
					if contains(absent, name) {
						continue
					}
					if err := os.Symlink(filepath.Join(given, name), filepath.Join(part, name)); err != nil {
						return err
					}
				}
				return build(ctx, part, has, absent, log)
			})
		}
		fmt.Fprintf(log, "KUBEBUILDER_ASSETS holds %s, not %s: not used\n", has, version)
	} else if given != "" {
		fmt.Fprintf(log, "KUBEBUILDER_ASSETS=%s holds no etcd and kube-apiserver: not used\n", given)
	}
	if version == "" {
		version = DefaultVersion
	}
	dir := filepath.Join(cache, version)
	return dir, built.Ensure(ctx, dir, programs, "Kubernetes "+version, log, func(part string) error {
		return build(ctx, part, version, programs, log)
	})
}

// serverVersion asks a kube-apiserver program for its version.
func serverVersion(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("run %s --version: %w", path, err)
	}
	version := strings.TrimPrefix(strings.TrimSpace(string(out)), "Kubernetes ")
	if !versionPattern.MatchString(version) {
		return "", fmt.Errorf("run %s --version: it says %q: its build was not stamped with a version", path, version)
	}
	return version, nil
}
