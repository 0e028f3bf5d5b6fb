package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func TestWhatKustomizeWritesToStderrByItselfReachesNobody(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	rest := withoutChatter(file)
	files := filesys.MakeFsInMemory()
	for name, content := range map[string]string{
		"/a/kustomization.yaml": "bases: [../b]\ncommonLabels: {a: b}\npatchesStrategicMerge: []\nvars: [{name: UNUSED, objref: {apiVersion: v1, kind: ConfigMap, name: c}}]\n",
		"/b/kustomization.yaml": "resources: [c.yaml]\n",
		"/b/c.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
	} {
		if err := files.WriteFile(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	_, buildErr := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/a")
	fmt.Fprintln(os.Stderr, "a library's word")
	log.Print("a logger's word")
	rest()
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	if os.Stderr != before && os.Stderr != file {
		t.Error("stderr was not put back")
	}
	os.Stderr = before
	log.SetOutput(before)
	content, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(content); strings.Contains(got, "deprecated") || strings.Contains(got, "never replaced") ||
		!strings.Contains(got, "a library's word\n") || !strings.Contains(got, "a logger's word\n") {
		t.Errorf("stderr holds:\n%s", got)
	}
}
