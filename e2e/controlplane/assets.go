package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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
	if given != "" && len(missing(given, "etcd", "kube-apiserver")) == 0 {
		if given, err = filepath.Abs(given); err != nil {
			return "", fmt.Errorf("find Kubernetes: %w", err)
		}
		has, err := serverVersion(ctx, filepath.Join(given, "kube-apiserver"))
		if err != nil {
			return "", fmt.Errorf("use KUBEBUILDER_ASSETS: %w", err)
		}
		if version == "" || version == has {
			absent := missing(given, programs...)
			if len(absent) == 0 {
				return given, nil
			}
			sum := sha256.Sum256([]byte(given))
			dir := filepath.Join(cache, has+"-"+hex.EncodeToString(sum[:4]))
			return dir, ensure(ctx, dir, has, log, func(part string) error {
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
	return dir, ensure(ctx, dir, version, log, func(part string) error {
		return build(ctx, part, version, programs, log)
	})
}

// ensure makes dir hold all programs: if it does not, fill is called, under a
// lock, with an empty folder that becomes dir when fill succeeds.
func ensure(ctx context.Context, dir, version string, log io.Writer, fill func(part string) error) error {
	if len(missing(dir, programs...)) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("build Kubernetes %s: %w", version, err)
	}
	lock, err := awaitLock(ctx, dir+".lock", log)
	if err != nil {
		return fmt.Errorf("build Kubernetes %s: %w", version, err)
	}
	defer lock.Close()
	if len(missing(dir, programs...)) == 0 {
		return nil // another process built it while this one waited
	}
	part := dir + ".part"
	for _, stale := range []string{part, dir} {
		if err := os.RemoveAll(stale); err != nil {
			return fmt.Errorf("build Kubernetes %s: %w", version, err)
		}
	}
	if err := os.Mkdir(part, 0o755); err != nil {
		return fmt.Errorf("build Kubernetes %s: %w", version, err)
	}
	err = fill(part)
	if err == nil {
		if absent := missing(part, programs...); len(absent) > 0 {
			err = fmt.Errorf("it left no %s", strings.Join(absent, ", "))
		}
	}
	if err == nil {
		err = os.Rename(part, dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("build Kubernetes %s: %w", version, err), os.RemoveAll(part))
	}
	return nil
}

// missing returns those of names that are not executable files in dir.
func missing(dir string, names ...string) []string {
	var absent []string
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			absent = append(absent, name)
		}
	}
	return absent
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
