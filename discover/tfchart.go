package discover

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
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
	// defaults are what its values.yaml says otherwise than that of the published chart
	// of its version; nil if nothing.
	defaults *terraform.Node
	// changed says in what it is not the published chart, beside its defaults; empty if
	// it is, or is not the flux chart.
	changed string
	// binds is whom its templates bind, of a chart that is none of Flux'; nil if nobody.
	binds *templateBindings
	// commands are the accounts that the pods among its templates bind by commands, and runs what else
	// of these may bind anybody.
	commands []terraform.Subject
	runs     string
	// left says which part of it was not read first, and why; empty if all was.
	left string
	// size is how many bytes were read and unpacked of it.
	size int
}

// Bounds of what is read of a chart: the files that tell what it installs, the
// entries of its folder, bytes of one file and of all, bytes that its packed
// parts come to, and what all charts beside a configuration may come to.
const (
	chartFiles     = 500
	chartEntries   = 20_000
	chartFileBytes = 1 << 20
	chartBytes     = 16 << 20
	chartUnpacked  = 64 << 20
	chartsBytes    = 256 << 20
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
func (c *configuration) localChart(ctx context.Context, name string) localChart {
	if name == "" || strings.Contains(name, "://") {
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
	root, err := os.OpenRoot(c.root)
	if err != nil {
		return localChart{}
	}
	defer func() { _ = root.Close() }()
	local := localChart{left: fmt.Sprintf("the charts beside the configuration that are read before it have more than %d MiB", chartsBytes>>20)}
	if c.chartsSize <= chartsBytes {
		local = readChart(ctx, root.FS(), at)
		c.chartsSize += local.size
	}
	c.charts[at] = local
	return local
}

// localChartOf is the chart beside the configuration that a release is of, and its path, as far as
// it is known: by that, or by its name in a repository that is no URL, but a folder
// (terraform-provider-helm: resolveChartName).
func (c *configuration) localChartOf(ctx context.Context, h *terraform.HelmRelease) (localChart, string) {
	name, _ := h.Chart.Str()
	if repository, _ := h.Repository.Str(); repository != "" && name != "" && !strings.Contains(name, "/") {
		if _, err := url.ParseRequestURI(repository); err != nil {
			name = repository + "/" + name
		}
	}
	return c.localChart(ctx, name), name
}

// readChart reads the chart at a path of a tree, which leads nowhere outside of it: empty if
// there is none. It ends early with ctx, and then its caller does too.
func readChart(ctx context.Context, tree fs.FS, at string) (out localChart) {
	r := &chartReader{ctx: ctx, unpacked: chartUnpacked}
	defer func() { out.left, out.size = r.left, r.bytes+int(chartUnpacked-r.unpacked) }()
	files := map[string][]byte{}
	if isPacked(at) {
		r.archive(tree, at, files)
	} else {
		r.folder(tree, at, files)
	}
	var meta struct{ Name, Version, AppVersion, Home string }
	if files["Chart.yaml"] == nil {
		return out
	}
	if sigsyaml.Unmarshal(files["Chart.yaml"], &meta) != nil {
		r.leave("its Chart.yaml cannot be read")
		return out
	}
	if !isPacked(at) {
		r.partsBeside(tree, at, "", files, map[string]bool{path.Clean(at): true})
	}
	r.parts(files)
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
		if strings.HasPrefix(file, "charts/") && path.Base(file) == "Chart.yaml" {
			var sub struct{ Name, Home string }
			out.holdsFlux = out.holdsFlux || sigsyaml.Unmarshal(files[file], &sub) == nil && chartKind(sub.Name, sub.Home) == "flux"
		}
	}
	if meta.Name == "flux" || meta.Name == "helm-operator" {
		out.version, out.app, out.kind = meta.Version, meta.AppVersion, cmp.Or(chartKind(meta.Name, meta.Home), "flux2")
		if out.kind == "flux" {
			out.compare(path.Join(at, "values.yaml"), meta.Name, files, r.left)
		}
		return out
	}
	var copied bool
	if copied, out.runsFluxd = fluxdOf(ctx, files); copied && slices.Contains(chart.Versions(), strings.TrimPrefix(meta.Version, "v")) && fluxdVersion.MatchString(meta.AppVersion) {
		// A copy of the flux chart that was given another name.
		out.version, out.app, out.kind = meta.Version, meta.AppVersion, "flux"
		out.compare(path.Join(at, "values.yaml"), meta.Name, files, r.left)
	}
	if out.kind == "" {
		out.binds = boundByTemplates(meta.Name, files)
		out.commands, out.runs = boundByPodsOf(files)
	}
	return out
}

// compare says in what a copy of the flux chart is not the published one of its version.
// values is where its defaults stand, left what of it was not read.
func (l *localChart) compare(values, name string, files map[string][]byte, left string) {
	var defaults map[string]any
	text, has := files["values.yaml"]
	err := sigsyaml.Unmarshal(text, &defaults)
	if over := chart.DefaultsOf(l.version, defaults); has && err == nil && len(over) > 0 {
		l.defaults = nodeOf(over, terraform.Origin{Position: terraform.Position{File: values}})
	}
	switch part := slices.IndexFunc(sortedNames(files), func(name string) bool { return strings.HasPrefix(name, "charts/") }); {
	case err != nil:
		l.changed = "its values.yaml cannot be read"
	case left != "":
		l.changed = "not all of it was read, since " + left
	case !has:
		l.changed = "it has no values.yaml"
	case name != "flux":
		l.changed = fmt.Sprintf("its name is %.60q, of which the names of its objects are made", name)
	case part >= 0:
		l.changed = "it has a part of its own (" + sortedNames(files)[part] + ")"
	case !chart.AsPublished(l.version, files):
		l.changed = "its templates are not those of the published chart of that version"
	}
}

// nodeOf makes a node of decoded YAML.
func nodeOf(v any, origin terraform.Origin) *terraform.Node {
	out := &terraform.Node{Kind: terraform.Scalar, Scalar: v, Origin: origin}
	switch v := v.(type) {
	case map[string]any:
		out.Kind, out.Scalar, out.Map = terraform.Map, nil, make(map[string]*terraform.Node, len(v))
		for k, e := range v {
			out.Map[k] = nodeOf(e, origin)
		}
	case []any:
		out.Kind, out.Scalar = terraform.List, nil
		for _, e := range v {
			out.List = append(out.List, nodeOf(e, origin))
		}
	}
	return out
}

// fluxdOf says how a chart's files show that it runs fluxd, empty if they do
// not, and whether that is a template as each version of the flux chart has it.
func fluxdOf(ctx context.Context, files map[string][]byte) (copied bool, why string) {
	for _, name := range sortedNames(files) {
		if ctx.Err() != nil {
			break
		}
		text := files[name]
		template := strings.HasPrefix(name, "templates/") || strings.Contains(name, "/templates/")
		switch {
		case template && bytes.Contains(text, []byte("--git-url")) && fluxdArgument.Match(text):
			return path.Dir(name) == "templates" && !slices.ContainsFunc(fluxChartValues, func(value string) bool { return !bytes.Contains(text, []byte(value)) }),
				"its " + name + " has arguments of fluxd"
		case (template || name == "values.yaml" || path.Base(name) == "values.yaml" && strings.HasPrefix(name, "charts/")) && bytes.Contains(text, []byte("/flux")) && fluxdImage.Match(commentOrAddress.ReplaceAll(text, nil)):
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

// chartReader reads the files of one chart, as far as the bounds allow.
type chartReader struct {
	ctx      context.Context
	files    int   // that were read
	bytes    int   // in them
	unpacked int64 // bytes that packed parts may still come to
	left     string
}

// leave notes what is not read, if it is the first such thing.
func (r *chartReader) leave(format string, args ...any) {
	if r.left == "" {
		r.left = fmt.Sprintf(format, args...)
	}
}

// full reports whether a bound is reached, which it notes, or ctx has ended.
func (r *chartReader) full() bool {
	switch {
	case r.ctx.Err() != nil:
	case r.files >= chartFiles:
		r.leave("it has more than %d files", chartFiles)
	case r.bytes > chartBytes:
		r.leave("its files have more than %d MiB", chartBytes>>20)
	default:
		return false
	}
	return true
}

func (r *chartReader) read(files map[string][]byte, name string, content []byte) {
	files[name] = content
	r.files++
	r.bytes += len(content)
}

// parts puts beside the files of a chart those of its packed parts, and of theirs,
// below the names of these: of each what it is, before anything else of any.
func (r *chartReader) parts(files map[string][]byte) {
	isChart := func(name string) bool { return name == "Chart.yaml" }
	todo := slices.DeleteFunc(sortedNames(files), func(name string) bool { return !strings.HasPrefix(name, "charts/") || !isPacked(name) })
	for len(todo) > 0 {
		var inner []string
		for _, only := range []func(string) bool{isChart, nil} {
			for _, part := range todo {
				if only == nil && files[part+"/Chart.yaml"] == nil {
					continue // which is said
				}
				of := map[string][]byte{}
				r.unpack(bytes.NewReader(files[part]), part, of, only)
				if only != nil && of["Chart.yaml"] == nil {
					r.leave("its %s shows no Chart.yaml", part)
				}
				for _, name := range sortedNames(of) {
					whole := part + "/" + name
					if files[whole] = of[name]; only == nil && strings.HasPrefix(name, "charts/") && isPacked(name) {
						inner = append(inner, whole)
					}
				}
			}
		}
		todo = inner
	}
}

// partsBeside puts beside the files of a chart those of the charts in other folders of the tree that it
// names as its parts, below the names of these, as Helm packs them: under of the files are those of the
// chart at a path, and seen the charts that are read, which may name each other.
func (r *chartReader) partsBeside(tree fs.FS, at, under string, files map[string][]byte, seen map[string]bool) {
	for _, file := range []string{"Chart.yaml", "requirements.yaml"} {
		var chart struct {
			Dependencies []struct{ Name, Repository string }
		}
		if sigsyaml.Unmarshal(files[under+file], &chart) != nil {
			continue
		}
		for _, part := range chart.Dependencies {
			folder, beside := strings.CutPrefix(part.Repository, "file://")
			if !beside {
				continue
			}
			dir, name := path.Join(at, folder), under+"charts/"+part.Name
			if path.IsAbs(folder) {
				dir = folder
			}
			if seen[dir] {
				continue
			}
			seen[dir] = true
			its := map[string][]byte{}
			if fs.ValidPath(dir) {
				r.folder(tree, dir, its)
			}
			if its["Chart.yaml"] == nil {
				if !slices.ContainsFunc(sortedNames(files), func(name string) bool {
					rest, is := strings.CutPrefix(name, under+"charts/"+part.Name)
					return is && (rest == "" || strings.ContainsAny(rest[:1], "/-."))
				}) {
					r.leave("its part %.60q is not in the folder that it names", part.Name)
				}
				continue
			}
			for of, content := range its {
				files[name+"/"+of] = content
			}
			r.partsBeside(tree, dir, name+"/", files, seen)
		}
	}
}

// folder reads a chart's folder; links are not followed. It reads nothing where
// there is none.
func (r *chartReader) folder(tree fs.FS, at string, files map[string][]byte) {
	if info, err := fs.Lstat(tree, path.Join(at, "Chart.yaml")); err != nil || !info.Mode().IsRegular() {
		return
	}
	entries := 0
	_ = fs.WalkDir(tree, at, func(name string, d fs.DirEntry, err error) error {
		short := strings.TrimPrefix(strings.TrimPrefix(name, at), "/")
		if entries++; entries > chartEntries {
			r.leave("its folder has more than %d entries", chartEntries)
			return fs.SkipAll
		}
		switch {
		case err != nil:
			r.leave("its %s cannot be read", short)
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			if info, err := fs.Stat(tree, name); err != nil || info.IsDir() || ofChart(name) {
				r.leave("its %s is a link, which is not followed", short)
			}
			return nil
		case !d.Type().IsRegular() || !ofChart(name):
			return nil
		case r.full():
			return fs.SkipAll
		}
		info, err := d.Info()
		if err == nil && info.Size() > chartFileBytes {
			r.leave("its %s has more than %d MiB", short, chartFileBytes>>20)
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			r.leave("its %s cannot be read", short)
			return nil
		}
		r.read(files, short, content)
		return nil
	})
}

// archive is folder of a packed chart.
func (r *chartReader) archive(tree fs.FS, at string, files map[string][]byte) {
	info, err := fs.Lstat(tree, at)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	packed, err := tree.Open(at)
	if err != nil {
		r.leave("it cannot be read")
		return
	}
	defer func() { _ = packed.Close() }()
	r.unpack(packed, "", files, nil)
}

// unpack reads the files of a packed chart, which is a part of the chart unless
// part is empty, and nothing behind a file of which last says so.
func (r *chartReader) unpack(packed io.Reader, part string, files map[string][]byte, last func(name string) bool) {
	of := "it"
	if part != "" {
		of = "its " + part
	}
	unzipped, err := gzip.NewReader(io.LimitReader(packed, chartBytes))
	if err != nil {
		r.leave("%s cannot be unpacked", of)
		return
	}
	for archive := tar.NewReader(&budgeted{r, unzipped}); ; {
		head, err := archive.Next()
		switch {
		case err == io.EOF || r.ctx.Err() != nil:
			return
		case err != nil:
			r.leave("%s cannot be unpacked whole, or within %d MiB", of, chartUnpacked>>20)
			return
		}
		_, name, ok := strings.Cut(path.Clean(head.Name), "/") // below the folder of the chart's name
		if !ok || head.Typeflag != tar.TypeReg || !ofChart(name) {
			continue
		}
		if r.full() {
			return
		}
		if head.Size > chartFileBytes {
			r.leave("%s has a %s of more than %d MiB", of, name, chartFileBytes>>20)
			continue
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			r.leave("%s cannot be unpacked whole, or within %d MiB", of, chartUnpacked>>20)
			return
		}
		r.read(files, name, content)
		if last != nil && last(name) {
			return
		}
	}
}

// budgeted gives what is unpacked, as long as the reader may read more.
type budgeted struct {
	r    *chartReader
	from io.Reader
}

// errBudget: a chart comes to more, unpacked, than is read of one.
var errBudget = errors.New("it is too large, unpacked")

func (b *budgeted) Read(p []byte) (int, error) {
	if err := b.r.ctx.Err(); err != nil {
		return 0, err
	}
	if b.r.unpacked <= 0 {
		return 0, errBudget
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.r.unpacked)])
	b.r.unpacked -= int64(n)
	return n, err
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
