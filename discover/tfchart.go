package discover

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	sigsyaml "sigs.k8s.io/yaml"
)

// localChart is a chart that lies beside the configuration.
type localChart struct {
	version, app string
	kind         string // as of chartKind, by what it is; flux2 if it is Bitnami's
	holdsFlux    bool   // the flux chart is a part of it
	// runsFluxd says how it is seen that a chart of another name runs fluxd;
	// empty if it is not.
	runsFluxd string
}

// Bounds of what is read of a chart.
const (
	chartFiles     = 500
	chartFileBytes = 1 << 20
	chartBytes     = 16 << 20
)

var (
	// fluxdImage is fluxd's image where a chart names one.
	fluxdImage = regexp.MustCompile(`\b(?:fluxcd|weaveworks)/flux(?:["'\s:@]|$)`)
	// commentOrAddress is what names no image.
	commentOrAddress = regexp.MustCompile(`(?m)(?:^|\s)#.*$|https?://\S+`)
	// fluxdVersion is one that the flux chart installs.
	fluxdVersion = regexp.MustCompile(`^v?1\.\d+\.\d+$`)
	// fluxdArgument is one that no other program has beside --git-url.
	fluxdArgument = regexp.MustCompile(`--(?:git-branch|git-path|git-label|git-readonly|git-poll-interval|k8s-secret-name|ssh-keygen-dir|sync-garbage-collection|registry-disable-scanning|memcached-hostname)\b`)
)

// fluxChartValues are what the template of fluxd's Deployment reads in each
// version of the flux chart; a chart that was only written like it reads fewer.
var fluxChartValues = []string{
	".Values.git.url", ".Values.git.branch", ".Values.git.path", ".Values.git.user", ".Values.git.email", ".Values.git.pollInterval",
	".Values.registry.rps", ".Values.registry.burst",
}

// localChart is a chart that lies beside the configuration, as a folder or
// packed: empty if there is none. Each is read once.
func (c *configuration) localChart(name string) localChart {
	if strings.Contains(name, "://") {
		return localChart{}
	}
	at := path.Join(c.result.Dir, filepath.ToSlash(name))
	if filepath.IsAbs(name) {
		abs, err := filepath.Abs(c.root)
		if err != nil {
			return localChart{}
		}
		rel, err := filepath.Rel(abs, name)
		if err != nil {
			return localChart{}
		}
		at = filepath.ToSlash(rel)
	}
	if known, ok := c.charts[at]; ok {
		return known
	}
	if c.charts == nil {
		c.charts = map[string]localChart{}
	}
	c.charts[at] = c.readChart(at)
	return c.charts[at]
}

// readChart reads the chart at a path below the root.
func (c *configuration) readChart(at string) localChart {
	var out localChart
	root, err := os.OpenRoot(c.root)
	if err != nil {
		return out
	}
	defer func() { _ = root.Close() }()
	files := chartFolder(root, at)
	if isPacked(at) {
		files = chartArchive(root, at)
	}
	var meta struct{ Name, Version, AppVersion, Home string }
	if files["Chart.yaml"] == nil || sigsyaml.Unmarshal(files["Chart.yaml"], &meta) != nil {
		return out
	}
	for _, file := range sortedNames(files) {
		// The dependencies of charts for Helm 2 stand in a file of their own.
		if file == "Chart.yaml" || file == "requirements.yaml" {
			var parts struct {
				Dependencies []struct{ Name, Repository string }
			}
			if sigsyaml.Unmarshal(files[file], &parts) == nil {
				for _, p := range parts.Dependencies {
					out.holdsFlux = out.holdsFlux || chartKind(p.Name, p.Repository) == "flux"
				}
			}
		}
		if part, inside := strings.CutPrefix(file, "charts/"); inside {
			about := files[file]
			if isPacked(part) {
				about = unpacked(bytes.NewReader(about))["Chart.yaml"]
			} else if path.Base(part) != "Chart.yaml" {
				continue
			}
			var sub struct{ Name, Home string }
			out.holdsFlux = out.holdsFlux || sigsyaml.Unmarshal(about, &sub) == nil && chartKind(sub.Name, sub.Home) == "flux"
		}
	}
	if meta.Name == "flux" || meta.Name == "helm-operator" {
		out.version, out.app, out.kind = meta.Version, meta.AppVersion, cmp.Or(chartKind(meta.Name, meta.Home), "flux2")
		return out
	}
	var copied bool
	if copied, out.runsFluxd = fluxdOf(files); copied && slices.Contains(chart.Versions(), strings.TrimPrefix(meta.Version, "v")) && fluxdVersion.MatchString(meta.AppVersion) {
		// A copy of the flux chart that was given another name.
		out.version, out.app, out.kind = meta.Version, meta.AppVersion, "flux"
	}
	return out
}

// fluxdOf says how a chart's files show that it runs fluxd, empty if they do
// not, and whether that is a template as each version of the flux chart has it.
func fluxdOf(files map[string][]byte) (copied bool, why string) {
	for _, name := range sortedNames(files) {
		text := files[name]
		template := strings.HasPrefix(name, "templates/") || strings.Contains(name, "/templates/")
		switch {
		case template && bytes.Contains(text, []byte("--git-url")) && fluxdArgument.Match(text):
			return path.Dir(name) == "templates" && !slices.ContainsFunc(fluxChartValues, func(value string) bool { return !bytes.Contains(text, []byte(value)) }),
				"its " + name + " has arguments of fluxd"
		case (template || name == "values.yaml") && fluxdImage.Match(commentOrAddress.ReplaceAll(text, nil)):
			why = cmp.Or(why, fmt.Sprintf("its %s names fluxd's image", name))
		}
	}
	return false, why
}

// ofChart reports whether a file of a chart tells what it installs.
func ofChart(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".tpl", ".txt":
		return true
	}
	return isPacked(name)
}

// isPacked reports whether a file of a chart is a packed chart, by its name.
func isPacked(name string) bool { return path.Ext(name) == ".tgz" }

// chartFolder reads the files of a chart in a folder, as far as the bounds
// allow; links are not followed.
func chartFolder(root *os.Root, at string) map[string][]byte {
	files := map[string][]byte{}
	if at == ".." || strings.HasPrefix(at, "../") {
		return files
	}
	if info, err := root.Lstat(filepath.FromSlash(path.Join(at, "Chart.yaml"))); err != nil || !info.Mode().IsRegular() {
		return files
	}
	total := 0
	// What cannot be read tells nothing.
	_ = fs.WalkDir(root.FS(), at, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case len(files) >= chartFiles || total > chartBytes:
			return fs.SkipAll
		case !d.Type().IsRegular() || !ofChart(name):
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > chartFileBytes {
			return nil
		}
		content, err := root.ReadFile(filepath.FromSlash(name))
		if err == nil {
			files[strings.TrimPrefix(strings.TrimPrefix(name, at), "/")] = content
			total += len(content)
		}
		return nil
	})
	return files
}

// chartArchive is chartFolder of a packed chart.
func chartArchive(root *os.Root, at string) map[string][]byte {
	info, err := root.Lstat(filepath.FromSlash(at))
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	packed, err := root.Open(filepath.FromSlash(at))
	if err != nil {
		return nil
	}
	defer func() { _ = packed.Close() }()
	return unpacked(packed)
}

// unpacked are the files of a packed chart, as far as the bounds allow.
func unpacked(packed io.Reader) map[string][]byte {
	files := map[string][]byte{}
	unzipped, err := gzip.NewReader(io.LimitReader(packed, chartBytes))
	if err != nil {
		return files
	}
	for archive := tar.NewReader(io.LimitReader(unzipped, 4*chartBytes)); len(files) < chartFiles; {
		head, err := archive.Next()
		if err != nil {
			return files // the end, or no more can be read
		}
		_, name, ok := strings.Cut(path.Clean(head.Name), "/") // below the folder of the chart's name
		if !ok || head.Typeflag != tar.TypeReg || head.Size > chartFileBytes || !ofChart(name) {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(archive, chartFileBytes))
		if err != nil {
			return files
		}
		files[name] = content
	}
	return files
}

// givesGitURL reports whether values hold the one without which the flux chart
// installs nothing that works, in the place where no other chart has it.
func givesGitURL(values *terraform.Node) bool {
	if values == nil || values.Kind != terraform.Map {
		return false
	}
	git := values.Map["git"]
	if git == nil || git.Kind != terraform.Map {
		return false
	}
	url := git.Map["url"]
	return url != nil && (url.Kind != terraform.Scalar || url.Scalar != nil && url.Scalar != "")
}
