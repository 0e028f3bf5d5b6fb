package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"time"

	yamlv2 "gopkg.in/yaml.v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const configFileName = ".flux.yaml"

// configFile is a .flux.yaml (reference 3.1): one of the three ways is set.
type configFile struct {
	commandUpdated *commandUpdated
	patchUpdated   *patchUpdated
	scanForFiles   bool
	// workDir is the git-path: commands run there, the patch file is relative to it.
	workDir string
	// source names the file in messages, seen from the git-path.
	source string
}

type commandUpdated struct {
	Generators []command `yaml:"generators"`
	Updaters   []struct {
		ContainerImage command `yaml:"containerImage"`
		Policy         command `yaml:"policy"`
	} `yaml:"updaters"`
}

type patchUpdated struct {
	Generators []command `yaml:"generators"`
	PatchFile  string    `yaml:"patchFile"`
}

type command struct {
	Command string `yaml:"command"`
	Timeout string `yaml:"timeout"`
}

// loadConfigured loads each root by the .flux.yaml that governs it, or by
// scanning where there is none; an identity that occurs twice is an error.
func (l loader) loadConfigured(ctx context.Context, dir string, roots []string) (manifestSet, error) {
	var scanned []string
	var configs []*configFile
	for _, root := range roots {
		config, err := governingConfig(dir, root)
		if err != nil {
			return nil, err
		}
		if config == nil || config.scanForFiles {
			scanned = append(scanned, root)
			continue
		}
		configs = append(configs, config)
	}
	set, err := l.loadFiles(ctx, dir, scanned)
	if err != nil {
		return nil, err
	}
	for _, config := range configs {
		text, err := l.generateFrom(ctx, config)
		if err != nil {
			return nil, err
		}
		found, err := parseDocuments(text, config.source)
		if err != nil {
			return nil, err
		}
		if found, err = l.place(found); err != nil {
			return nil, err
		}
		if err := set.merge(found); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// governingConfig finds the .flux.yaml of a root: the root itself, or the first
// in its directory and those above it up to dir; nil when there is none.
func governingConfig(dir, root string) (*configFile, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("error finding a config file starting at path %q: %w", root, err)
	}
	workDir := root
	if !info.IsDir() {
		if filepath.Base(root) != configFileName {
			return nil, nil // another file is read as it is
		}
		workDir = filepath.Dir(root)
	}
	for at := workDir; ; at = filepath.Dir(at) {
		path := filepath.Join(at, configFileName)
		if exists(path) {
			config, err := readConfigFile(path)
			if err != nil {
				return nil, fmt.Errorf("cannot parse config file: %w", err)
			}
			config.workDir = workDir
			gitPath, errDir := filepath.Rel(dir, root)
			seen, errFile := filepath.Rel(workDir, path)
			if err := errors.Join(errDir, errFile); err != nil {
				return nil, err
			}
			config.source = gitPath + "/" + seen
			return config, nil
		}
		if at == dir || at == filepath.Dir(at) {
			return nil, nil
		}
	}
}

// readConfigFile reads a .flux.yaml. Exactly one way must be valid: commandUpdated
// and patchUpdated let further keys pass beside them but none inside;
// scanForFiles stands alone to be valid, and wins wherever it is given.
func readConfigFile(path string) (*configFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var parts map[string]any
	if err := yamlv2.Unmarshal(text, &parts); err != nil {
		return nil, fmt.Errorf("cannot parse: %w", err)
	}
	if parts["version"] != 1 {
		return nil, fmt.Errorf("config file is not valid: version must be 1, not %v", parts["version"])
	}
	commands, patches := &commandUpdated{}, &patchUpdated{}
	errCommands := readWay(parts, "commandUpdated", commands, "generators")
	errPatches := readWay(parts, "patchUpdated", patches, "generators", "patchFile")
	errScan := readWay(parts, "scanForFiles", &struct{}{})
	if errScan == nil && len(parts) != 2 {
		errScan = errors.New("scanForFiles has other keys beside it")
	}
	valid := 0
	for _, err := range []error{errCommands, errPatches, errScan} {
		if err == nil {
			valid++
		}
	}
	if valid != 1 {
		return nil, fmt.Errorf("config file is not valid: give exactly one of commandUpdated, patchUpdated, scanForFiles: %w",
			errors.Join(errCommands, errPatches, errScan))
	}
	switch {
	case parts["scanForFiles"] != nil:
		return &configFile{scanForFiles: true}, nil
	case errPatches == nil:
		return &configFile{patchUpdated: patches}, nil
	default:
		return &configFile{commandUpdated: commands}, nil
	}
}

// readWay decodes one key strictly and looks for the keys it must have.
func readWay(parts map[string]any, key string, into any, required ...string) error {
	part, ok := parts[key].(map[any]any)
	if !ok {
		return fmt.Errorf("%s is not there", key)
	}
	body, err := yamlv2.Marshal(part)
	if err != nil {
		return err
	}
	if err := yamlv2.UnmarshalStrict(body, into); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	for _, name := range required {
		if part[name] == nil {
			return fmt.Errorf("%s: %s is required", key, name)
		}
	}
	return nil
}

// generateFrom runs the generators of a configuration and applies its patches.
func (l loader) generateFrom(ctx context.Context, config *configFile) ([]byte, error) {
	if config.commandUpdated != nil {
		return l.runGenerators(ctx, config.commandUpdated.Generators, config.workDir)
	}
	text, err := l.runGenerators(ctx, config.patchUpdated.Generators, config.workDir)
	if err != nil {
		return nil, err
	}
	patchFile := filepath.Join(config.workDir, config.patchUpdated.PatchFile)
	patches, err := os.ReadFile(patchFile)
	switch {
	case os.IsNotExist(err):
		// It may not have been made yet; its directory must be there.
		if info, err := os.Stat(filepath.Dir(patchFile)); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("base directory of patchFile (%q) does not exist", config.patchUpdated.PatchFile)
		}
	case err != nil:
		return nil, fmt.Errorf("read patchFile: %w", err)
	}
	patched, err := applyPatches(text, patches, config)
	if err != nil {
		return nil, fmt.Errorf("processing %q, cannot apply patchFile %q to generated resources: %w",
			config.source, config.patchUpdated.PatchFile, err)
	}
	return patched, nil
}

// runGenerators runs each command in workDir and returns their outputs as one
// stream of documents. A command that fails, fails all.
func (l loader) runGenerators(ctx context.Context, generators []command, workDir string) ([]byte, error) {
	var out bytes.Buffer
	for _, g := range generators {
		limit := l.generatorTimeout
		if g.Timeout != "" {
			given, err := time.ParseDuration(g.Timeout)
			if err != nil {
				return nil, fmt.Errorf("generator %q: %w", g.Command, err)
			}
			if given >= time.Second {
				limit = given
			}
		}
		text, err := l.runShell(ctx, g.Command, workDir, limit)
		if err != nil {
			return nil, err
		}
		appendDocument(&out, text)
	}
	return out.Bytes(), nil
}

// appendDocument separates documents in a stream.
func appendDocument(out *bytes.Buffer, document []byte) {
	out.WriteString("---\n")
	out.Write(document)
	if !bytes.HasSuffix(document, []byte("\n")) {
		out.WriteByte('\n')
	}
}

func (l loader) runShell(ctx context.Context, line, workDir string, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.Dir = workDir
	cmd.Env = l.env
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("error executing generator command %q: %w\nerror output:\n%s", line, err, stderr.String())
	}
	return out, nil
}

// applyPatches merges the documents of patches into the objects of the same
// identity: strategically where the kind is a built-in one, else as a JSON merge
// patch. A patch without an object is an error.
func applyPatches(objects, patches []byte, config *configFile) ([]byte, error) {
	set, err := parseDocuments(objects, config.source)
	if err != nil {
		return nil, err
	}
	patchSet, err := parseDocuments(patches, config.patchUpdated.PatchFile)
	if err != nil {
		return nil, err
	}
	for id, patch := range patchSet {
		object, ok := set[id]
		if !ok {
			return nil, fmt.Errorf("patch refers to missing resource (%s)", id)
		}
		if object.body, err = mergePatch(object, patch.body); err != nil {
			return nil, fmt.Errorf("cannot apply patch for resource %s: %w", id, err)
		}
	}
	var ids []identity
	for id := range set {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i].String() < ids[j].String() })
	var out bytes.Buffer
	for _, id := range ids {
		appendDocument(&out, set[id].body)
	}
	return out.Bytes(), nil
}

func mergePatch(object *manifest, patch []byte) ([]byte, error) {
	objectJSON, err := yaml.YAMLToJSON(object.body)
	if err != nil {
		return nil, err
	}
	patchJSON, err := yaml.YAMLToJSON(patch)
	if err != nil {
		return nil, err
	}
	var merged []byte
	typed, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(object.apiVersion, object.kind))
	if err == nil {
		merged, err = strategicpatch.StrategicMergePatch(objectJSON, patchJSON, typed)
	} else {
		merged, err = mergeJSON(objectJSON, patchJSON)
	}
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(merged)
}

// mergeJSON applies a JSON merge patch (RFC 7386).
func mergeJSON(object, patch []byte) ([]byte, error) {
	to, err := decodeJSON(object)
	if err != nil {
		return nil, err
	}
	from, err := decodeJSON(patch)
	if err != nil {
		return nil, err
	}
	return json.Marshal(mergeValue(to, from))
}

// decodeJSON keeps numbers as they are written.
func decodeJSON(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	return value, err
}

func mergeValue(to, from any) any {
	fields, ok := from.(map[string]any)
	if !ok {
		return from
	}
	object, ok := to.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for key, value := range fields {
		if value == nil {
			delete(object, key)
			continue
		}
		object[key] = mergeValue(object[key], value)
	}
	return object
}
