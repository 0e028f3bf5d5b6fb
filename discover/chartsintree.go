package discover

import (
	"cmp"
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate/flux1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// chartInTree is a chart of the repository that an object of it has installed.
type chartInTree struct {
	dir string
	installed
}

// boundByCharts are whom the templates of charts of the repository bind that objects of some
// sets have installed, by the object; beside tells what stands beside those of a set.
func (c *checkout) boundByCharts(ctx context.Context, sets []declaration, beside func(declaration) []flux1.Parsed) map[*unstructured.Unstructured][]givenToChart {
	out := map[*unstructured.Unstructured][]givenToChart{}
	for _, set := range sets {
		for _, o := range set.objects {
			if !isHelmRelease1(o.Manifest) && !isInstaller(o.Manifest) {
				continue
			}
			for _, release := range c.chartsOf(o.Manifest, func() []flux1.Parsed { return beside(set) }) {
				local := c.readChart(ctx, release.dir)
				g := givenToChart{what: resourceName(o.Manifest) + " in " + fileLine(o.File, o.Line) + " installs the chart in " + release.dir, filled: local.binds.of(release.installed)}
				switch {
				case local.left != "" && local.kind == "":
					g.what, g.more = g.what+", of which not all was read, since "+local.left+",", true
				case len(g.filled) > 0:
					g.what += ", in whose templates there are bindings, which are not rendered here,"
				default:
					continue
				}
				out[o.Manifest] = append(out[o.Manifest], g)
			}
		}
	}
	return out
}

// readChart reads a chart of the repository, once.
func (r *reading) readChart(ctx context.Context, dir string) localChart {
	if r.index.read == nil {
		r.index.read = map[string]localChart{}
	}
	local, ok := r.index.read[dir]
	if !ok {
		local = readChart(ctx, limitedTree{r.tree, r}, dir)
		r.index.read[dir] = local
	}
	return local
}

// limitedTree is the tree of a repository of which what is read counts against the limits.
type limitedTree struct {
	fs.FS
	r *reading
}

func (c limitedTree) ReadFile(name string) ([]byte, error)       { return c.r.readFile(c.r.index, name) }
func (c limitedTree) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(c.FS, name) }
func (c limitedTree) Lstat(name string) (fs.FileInfo, error)     { return fs.Lstat(c.FS, name) }
func (c limitedTree) ReadLink(name string) (string, error)       { return fs.ReadLink(c.FS, name) }

// chartsOf are the charts that an object has installed from a folder of this repository, by
// the helm-operator, Flux v2 or Argo CD; beside is called for what stands beside it, if need be.
func (c *checkout) chartsOf(u *unstructured.Unstructured, beside func() []flux1.Parsed) []chartInTree {
	text := func(of map[string]any, path ...string) string {
		s, _, _ := unstructured.NestedString(of, path...)
		return s
	}
	node := func(text string) *terraform.Node {
		if text == "" || strings.Contains(text, "{{") || strings.Contains(text, "${") {
			return &terraform.Node{Kind: terraform.Unknown}
		}
		return &terraform.Node{Kind: terraform.Scalar, Scalar: text}
	}
	values := func(cause string, of ...any) *terraform.Node {
		out := nodeOf(of, terraform.Origin{})
		if cause != "" {
			out.List = append(out.List, &terraform.Node{Kind: terraform.Unknown})
		}
		return out
	}
	isHere := func(dir, url string) bool {
		return isFile(c.tree, path.Join(dir, "Chart.yaml")) && c.mayBeThis(url)
	}
	folder := func(dir string) string { return cmp.Or(strings.TrimPrefix(path.Clean("/"+dir), "/"), ".") }
	spec, _ := u.Object["spec"].(map[string]any)
	own := cmp.Or(u.GetNamespace(), c.agent.DefaultNamespace)
	switch {
	case isHelmRelease1(u):
		url, dir := text(spec, "chart", "git"), folder(text(spec, "chart", "path"))
		if url == "" || !isHere(dir, url) {
			return nil
		}
		name, namespace := releaseOfHelmRelease(u)
		from := c.valuesFrom(beside(), u, own)
		return []chartInTree{{dir, installed{node(name), node(cmp.Or(namespace, own)), values(from.unknown, from.known, spec["values"])}}}
	case isHelmRelease2(u):
		if text(spec, "chart", "spec", "sourceRef", "kind") != "GitRepository" && text(spec, "chartRef", "kind") != "HelmChart" {
			return nil
		}
		objects := beside()
		dir, url, _, inGit, files := c.chartOf2(objects, u, own)
		if dir = folder(dir); !inGit || !isHere(dir, url) {
			return nil
		}
		name, namespace := releaseOfHelmRelease2(u, own)
		from := c.valuesFrom2(objects, u, own, files, spec["values"])
		return []chartInTree{{dir, installed{node(name), node(namespace), values(from.unknown, from.known, from.own)}}}
	case u.GroupVersionKind().Group == "argoproj.io":
		if template, _, _ := unstructured.NestedMap(spec, "template", "spec"); u.GetKind() == "ApplicationSet" {
			spec = template
		}
		sources, _, _ := unstructured.NestedSlice(spec, "sources")
		var out []chartInTree
		for _, x := range append(sources, spec["source"]) {
			source, _ := x.(map[string]any)
			dir := folder(text(source, "path"))
			if text(source, "path") == "" || !isHere(dir, text(source, "repoURL")) {
				continue
			}
			given := values("", source["helm"])
			files, _, _ := unstructured.NestedStringSlice(source, "helm", "valueFiles")
			for _, file := range files {
				var v any
				content, err := c.contentOf(path.Join(dir, file))
				if err != nil || sigsyaml.Unmarshal(content, &v) != nil { // as of another source
					given.List = append(given.List, &terraform.Node{Kind: terraform.Unknown})
					continue
				}
				given.List = append(given.List, nodeOf(v, terraform.Origin{}))
			}
			out = append(out, chartInTree{dir, installed{node(cmp.Or(text(source, "helm", "releaseName"), u.GetName())), node(text(spec, "destination", "namespace")), given}})
		}
		return out
	}
	return nil
}

// mayBeThis reports whether a URL may be of the repository that is read.
func (c *checkout) mayBeThis(url string) bool {
	own := []string{c.agent.Git.URL}
	if c.agent.Git.URL == "" {
		own = nil
		if c.folder != nil {
			own = c.folder.remotes
		}
	}
	if url == "" || len(own) == 0 {
		return true
	}
	return slices.ContainsFunc(own, func(o string) bool { return SameRepository(o, url) })
}
