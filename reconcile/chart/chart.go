// Package chart holds the Helm chart of the bundled agent inside the binary.
//
// The CustomResourceDefinitions stand in crds/, so Helm installs them when they
// are absent and never deletes or changes them: uninstalling the release leaves
// every GitRepository and Kustomization in place. Each says in an annotation
// which version it is of, so that who upgrades the release can bring them up to
// date. The package installs nothing itself.
package chart

import (
	"embed"
	"fmt"
	"io/fs"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// ReleaseName is the Helm release that the executor installs this chart as.
const ReleaseName = "flux-agent"

// DefinitionVersion is the annotation of the CustomResourceDefinitions with the
// version, such as v1.9.5, of the upstream API that they were generated from.
const DefinitionVersion = "fluxover.dev/definition-version"

// FS holds the files of the chart, Chart.yaml at its root.
//
//go:embed Chart.yaml values.yaml values.schema.json crds templates templates/_names.tpl
var FS embed.FS

// Load returns the embedded chart, its CustomResourceDefinitions included.
func Load() (*helmchart.Chart, error) {
	var files []*loader.BufferedFile
	err := fs.WalkDir(FS, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := FS.ReadFile(path)
		if err != nil {
			return err
		}
		files = append(files, &loader.BufferedFile{Name: path, Data: content})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded chart: %w", err)
	}
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("load the embedded chart: %w", err)
	}
	return loaded, nil
}
