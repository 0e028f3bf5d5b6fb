package fleet

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// chartFiles is a Flux v1 chart with the value names of the public one and the
// objects it makes (reference 1.1 to 1.3 and 7.1).
//
//go:embed all:chart
var chartFiles embed.FS

// Chart loads the Flux v1 chart. Each call returns a chart of its own, because
// Helm changes charts while it works with them.
func Chart() (*chart.Chart, error) {
	var files []*loader.BufferedFile
	err := fs.WalkDir(chartFiles, "chart", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := chartFiles.ReadFile(path)
		files = append(files, &loader.BufferedFile{Name: strings.TrimPrefix(path, "chart/"), Data: content})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load flux chart: %w", err)
	}
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("load flux chart: %w", err)
	}
	return loaded, nil
}
