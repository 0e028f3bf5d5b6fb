package discover

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/source"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// savedVersion is that of the part of a saved Inventory that only fluxover
// reads.
const savedVersion = 1

// savedInventory is an Inventory as it is saved: its JSON form, and what that
// leaves out and a plan needs.
type savedInventory struct {
	migrate.Inventory
	Saved *savedFacts `json:"saved"`
}

type savedFacts struct {
	Version    int                     `json:"version"`
	Kinds      []migrate.ServedKind    `json:"kinds,omitempty"`
	Namespaces []string                `json:"namespaces,omitempty"`
	Control    []migrate.ControlObject `json:"control,omitempty"`
	Agents     map[string]savedAgent   `json:"agents"`
	Trees      map[string][]savedFile  `json:"trees"`
}

type savedAgent struct {
	Replicas      int32                   `json:"replicas"`
	Image         string                  `json:"image,omitempty"`
	Selector      *metav1.LabelSelector   `json:"selector,omitempty"`
	Rights        []migrate.Binding       `json:"rights,omitempty"`
	SharedAccount bool                    `json:"sharedAccount,omitempty"`
	Credential    migrate.AgentCredential `json:"credential"`
	// Decryption are the places of keys, which are not saved themselves.
	Decryption map[string]migrate.Value `json:"decryption,omitempty"`
	Marked     []string                 `json:"marked,omitempty"`
	// Ignored are the objects that fluxd is told to leave alone, live or in
	// Git, and how, by their id.
	Ignored map[string]string `json:"ignored,omitempty"`
	// Generates and Decrypts are how the repository was read where the agent's
	// manifestGeneration or sops is not known.
	Generates bool `json:"generates,omitempty"`
	Decrypts  bool `json:"decrypts,omitempty"`
	// Tree names one of the trees; empty if the repository was not read.
	Tree string `json:"tree,omitempty"`
}

// savedFile is a file or link of a repository.
type savedFile struct {
	Path string `json:"path"`
	// Text is the content, or Base64 is, where it is no text.
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"`
	// Link is where a link leads to.
	Link string `json:"link,omitempty"`
}

// Save writes an Inventory so that [Open] can read it where there is no cluster
// and no Git server, and the same plan can be made of it. Of each repository it
// holds what the agent reads and what is built of it. Values of Secrets stand
// in it as HMACs under a key that is forgotten, so that equal ones stay equal;
// passwords, tokens and values of queries in URLs likewise. Other values of manifests stand in it
// as they do in Git.
func Save(ctx context.Context, out io.Writer, inv migrate.Inventory) error {
	key := make([]byte, sha256.Size)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("save the inventory: %w", err)
	}
	s := &saver{mask: func(plain string) string {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(plain))
		return "hmac-sha256:" + hex.EncodeToString(h.Sum(nil))
	}, trees: map[string][]savedFile{}}
	saved := savedInventory{Inventory: inv, Saved: &savedFacts{
		Version: savedVersion, Namespaces: inv.Cluster.Namespaces, Control: inv.Cluster.Control, Agents: map[string]savedAgent{}, Trees: s.trees,
	}}
	if inv.Cluster.From == fromCluster { // else none was asked
		saved.Saved.Kinds = inv.Cluster.Kinds
	}
	saved.Findings = slices.Clone(inv.Findings)
	for i := range inv.Agents {
		a := &inv.Agents[i]
		entry, findings, err := s.agent(ctx, a, inv.Cluster)
		if err != nil {
			return fmt.Errorf("save the repository of %s: %w", a.ID, err)
		}
		saved.Saved.Agents[a.ID] = entry
		saved.Findings = append(saved.Findings, findings...)
	}
	saved.Findings = migrate.SortFindings(saved.Findings)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(saved); err != nil {
		return fmt.Errorf("save the inventory: %w", err)
	}
	return nil
}

type saver struct {
	mask  func(string) string
	trees map[string][]savedFile
}

func (s *saver) agent(ctx context.Context, a *migrate.Flux1Agent, facts migrate.Cluster) (savedAgent, []migrate.Finding, error) {
	entry := savedAgent{
		Replicas: a.Replicas, Image: a.Image, Selector: a.Selector, Rights: a.Rights, SharedAccount: a.SharedAccount,
		Credential: a.Credential, Decryption: a.Decryption, Marked: a.Marked, Ignored: map[string]string{}, Generates: a.ManifestGeneration, Decrypts: a.SOPS,
	}
	// A user name without a password may be a token.
	if user := &entry.Credential.Username; user.Literal != "" && entry.Credential.Password == (migrate.Value{}) {
		user.Literal = s.mask(user.Literal)
	}
	for _, o := range a.Objects {
		switch o.Class {
		case migrate.ClassIgnored:
			entry.Ignored[o.ID] = "true"
		case migrate.ClassSyncOnly:
			entry.Ignored[o.ID] = "sync_only"
		}
	}
	if a.Tree == nil {
		return entry, nil, nil
	}
	r := (&agent{Flux1Agent: *a}).reading(a.Tree, facts)
	r.config.Limits = flux1.DefaultLimits
	p := &packer{reading: r, mask: s.mask, kept: map[string]*savedFile{}, overlays: map[string]bool{}}
	if err := p.pack(ctx); err != nil {
		return entry, nil, err
	}
	files := p.files()
	text, err := json.Marshal(files)
	if err != nil {
		return entry, nil, err
	}
	if i := slices.IndexFunc(a.Objects, func(o migrate.Object) bool { return o.Encrypted }); i >= 0 {
		r.find(EncryptedNotSaved.Finding(a.ID, a.Objects[i].File, fmt.Sprintf("%s is encrypted with SOPS, and no key is in the saved inventory", a.Objects[i].File)))
	}
	// Agents that read the same files share them.
	sum := sha256.Sum256(text)
	entry.Tree = hex.EncodeToString(sum[:8])
	s.trees[entry.Tree] = files
	return entry, r.findings, nil
}

// packer chooses and masks the files of one repository.
type packer struct {
	*reading
	mask func(string) string
	kept map[string]*savedFile
	// overlays are the kustomization folders that were looked at.
	overlays map[string]bool
}

func (p *packer) pack(ctx context.Context) error {
	if err := p.makeIndex(ctx); err != nil {
		return err
	}
	for _, f := range p.agent.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch f.Kind {
		case migrate.FileChart:
			p.keep(f.Path, nil) // that it is there matters, and what it holds does not
		case migrate.FileSilent:
			if !f.Kustomization {
				// Values for Helm, settings of other programs: no object.
				p.keep(f.Path, []byte(keptNothing+", since it holds no object\n"))
			}
		default:
			p.keepManifest(f.Path)
		}
	}
	for _, dir := range p.index.charts {
		if p.inPaths(dir, true) {
			for _, name := range []string{"Chart.yaml", "values.yaml"} {
				p.keep(path.Join(dir, name), nil)
			}
		}
	}
	for _, name := range p.index.linkedFolders {
		p.keepLink(name)
	}
	for _, name := range p.index.files {
		switch path.Base(name) {
		case ".sourceignore", configFileName:
			if content, err := p.readFile(p.index, name); err == nil {
				p.keep(name, []byte(flux1.MaskURLs(string(content), p.mask)))
			}
		}
	}
	for _, dir := range sortedNames(p.index.folders) {
		if p.inPaths(dir, true) {
			p.keepOverlay(dir)
		}
	}
	// What is generated for a path may be built from a folder beside it.
	for _, g := range p.generationsOf() {
		for _, command := range g.Commands {
			if dir, err := kustomizeFolder(command, g.Dir); err == nil {
				p.keepOverlay(dir)
			}
		}
		if g.PatchFile != "" {
			p.keepManifest(g.PatchFile)
		}
	}
	for _, b := range p.agent.Builds {
		for _, name := range b.Reads {
			if f := p.kept[name]; isFile(p.tree, name) && (f == nil || strings.HasPrefix(f.Text, keptNothing)) {
				delete(p.kept, name)
				p.leftOut(name, errors.New("what configures a transformer or generator reads it, and what is secret in it is not known"))
				p.findings[len(p.findings)-1].Hint = "plan from the repository itself (without --inventory): of the saved inventory its folder cannot be built"
			}
		}
	}
	return ctx.Err()
}

// keptNothing stands where a file holds no object, and is not read for others.
const keptNothing = "kept: nothing"

// configFileName is that of the files that say how manifests are generated.
const configFileName = ".flux.yaml"

// generationsOf are the .flux.yaml files in effect.
func (p *packer) generationsOf() []flux1.Generation {
	if !p.config.ManifestGeneration {
		return nil
	}
	var found []flux1.Generation
	config := p.config
	config.Generate = func(g flux1.Generation) ([]flux1.Parsed, error) {
		found = append(found, g)
		return nil, nil
	}
	// What is wrong was reported when the repository was read.
	_, _, _, _ = flux1.Load(p.tree, config)
	return found
}

func (p *packer) keep(name string, content []byte) {
	if p.kept[name] != nil {
		return
	}
	f := &savedFile{Path: name}
	if utf8.Valid(content) {
		f.Text = string(content)
	} else {
		f.Base64 = base64.StdEncoding.EncodeToString(content)
	}
	p.kept[name] = f
}

// keepLink keeps a symbolic link, and reports whether it is one.
func (p *packer) keepLink(name string) bool {
	info, err := fs.Lstat(p.tree, name)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return false
	}
	if target, err := fs.ReadLink(p.tree, name); err == nil && p.kept[name] == nil {
		p.kept[name] = &savedFile{Path: name, Link: target}
		if at := path.Join(path.Dir(name), target); isFile(p.tree, at) {
			p.keepManifest(at)
		}
	}
	return true
}

// keepManifest keeps a file of manifests with its Secrets masked.
func (p *packer) keepManifest(name string) {
	if p.kept[name] != nil || p.keepLink(name) || !isFile(p.tree, name) {
		return
	}
	content, err := p.readFile(p.index, name)
	if err == nil {
		content, err = flux1.Mask(content, p.mask, p.config.Limits)
	}
	if err != nil {
		p.leftOut(name, err)
		return
	}
	p.keep(name, content)
}

// leftOut keeps a file's name alone.
func (p *packer) leftOut(name string, err error) {
	p.about(NotSaved, name, "%s is not in the saved inventory: %v", name, err)
	p.keep(name, []byte("{ not kept\n"))
}

// keepOverlay keeps a kustomization file and all that it is made of.
func (p *packer) keepOverlay(dir string) {
	for _, o := range p.reached(dir) {
		if p.overlays[o.dir] {
			continue
		}
		p.overlays[o.dir] = true
		p.keepManifest(o.file)
		var doc map[string]any
		if err := sigsyaml.Unmarshal(o.content, &doc); err != nil {
			continue // it fails to build, here as there
		}
		p.generatedSecrets(o, doc)
		for _, field := range []string{"patches", "patchesJson6902"} {
			list, _ := doc[field].([]any)
			for _, e := range list {
				entry, _ := e.(map[string]any)
				target, _ := entry["target"].(map[string]any)
				if file, _ := entry["path"].(string); target != nil && flux1.MayPatchSecret(target) && file != "" {
					p.keepMasked(path.Join(o.dir, file), func(content []byte) ([]byte, error) { return flux1.MaskPatch(content, target, p.mask) })
				}
			}
		}
		p.keepNamed(o.dir, doc)
	}
}

// generatedSecrets keeps the files that Secrets are generated from, masked.
func (p *packer) generatedSecrets(o *overlay, doc map[string]any) {
	list, _ := doc["secretGenerator"].([]any)
	for _, e := range append(slices.Clone(list), p.configuredGenerators(o, doc)...) {
		g, _ := e.(map[string]any)
		options, _ := g["options"].(map[string]any)
		if options["disableNameSuffixHash"] != true {
			p.about(SavedNames, o.file, "the name of Secret %v, which %s generates, ends in a hash of its values", g["name"], o.file)
		}
		for _, entry := range entriesOf(g["files"]) {
			if _, file, ok := strings.Cut(entry, "="); ok {
				entry = file
			}
			p.keepMasked(path.Join(o.dir, entry), func(content []byte) ([]byte, error) { return []byte(p.mask(string(content))), nil })
		}
		envs := entriesOf(g["envs"])
		if one, ok := g["env"].(string); ok {
			envs = append(envs, one)
		}
		for _, entry := range envs {
			p.keepMasked(path.Join(o.dir, entry), func(content []byte) ([]byte, error) { return flux1.MaskVariables(content, p.mask), nil })
		}
	}
}

// configuredGenerators are the SecretGenerators that a kustomization file names
// files of, or holds inline, in the form of an entry of secretGenerator.
func (p *packer) configuredGenerators(o *overlay, doc map[string]any) (out []any) {
	for _, entry := range entriesOf(doc["generators"]) {
		content := []byte(entry)
		if at := path.Join(o.dir, entry); isFile(p.tree, at) {
			var err error
			if content, err = p.readFile(p.index, at); err != nil {
				continue // which is said where it is kept
			}
		}
		for decoder := kyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
			var g map[string]any
			if err := decoder.Decode(&g); err != nil {
				break // the end, or what kustomize cannot read either
			}
			if metadata, ok := g["metadata"].(map[string]any); ok && g["kind"] == "SecretGenerator" {
				g["name"] = metadata["name"]
				out = append(out, g)
			}
		}
	}
	return out
}

func (p *packer) keepMasked(name string, mask func([]byte) ([]byte, error)) {
	if !isFile(p.tree, name) {
		return
	}
	content, err := p.readFile(p.index, name)
	if err == nil {
		content, err = mask(content)
	}
	delete(p.kept, name) // it is no manifest, whatever its name
	if err != nil {
		p.leftOut(name, err)
		return
	}
	p.keep(name, content)
}

// keepNamed keeps every file and folder of overlays that a document names.
func (p *packer) keepNamed(dir string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			p.keepNamed(dir, e)
		}
	case []any:
		for _, e := range v {
			p.keepNamed(dir, e)
		}
	case string:
		for _, name := range []string{v, v[strings.Index(v, "=")+1:]} {
			at := path.Join(dir, name)
			switch {
			case name == "" || !fs.ValidPath(at):
			case p.index.folders[at] != nil:
				p.keepOverlay(at)
			case !isFile(p.tree, at):
			case path.Ext(at) == ".yaml" || path.Ext(at) == ".yml":
				if f := p.kept[at]; f != nil && strings.HasPrefix(f.Text, keptNothing) {
					delete(p.kept, at) // a generator or patch takes it as it is
				}
				p.keepManifest(at)
			default:
				content, err := p.readFile(p.index, at)
				if err != nil {
					break
				}
				// kustomize takes a file of any name for manifests.
				masked, err := flux1.Mask(content, p.mask, p.config.Limits)
				switch {
				case err == nil:
					p.keep(at, masked)
				case p.kept[at] != nil:
				case flux1.MayHoldSecret(string(content)):
					p.leftOut(at, err)
				default:
					p.keep(at, []byte(flux1.MaskURLs(string(content), p.mask)))
				}
			}
		}
	}
}

// files are those kept, by path.
func (p *packer) files() []savedFile {
	out := make([]savedFile, 0, len(p.kept))
	for _, name := range sortedNames(p.kept) {
		out = append(out, *p.kept[name])
	}
	return out
}

// maxSaved bounds a saved Inventory that is read.
const maxSaved = 2 << 30

// ErrNotSaved: a file is no saved Inventory.
var ErrNotSaved = errors.New("no saved inventory")

// Open reads an Inventory that [Save] wrote. What the agents' repositories hold
// is made of the saved files anew, by the rules of fluxd. An error that wraps
// ErrNotSaved is about the file.
func Open(ctx context.Context, in io.Reader) (migrate.Inventory, error) {
	content, err := io.ReadAll(io.LimitReader(in, maxSaved+1))
	if err != nil {
		return migrate.Inventory{}, err
	}
	if len(content) > maxSaved {
		return migrate.Inventory{}, fmt.Errorf("%w: it holds more than %d bytes", ErrNotSaved, maxSaved)
	}
	var saved savedInventory
	decoder := json.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(&saved); err != nil {
		return migrate.Inventory{}, fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	inv := saved.Inventory
	switch {
	case inv.APIVersion != migrate.APIVersion || inv.Kind != "Inventory":
		return inv, fmt.Errorf("%w: want apiVersion %s and kind Inventory, got %q and %q", ErrNotSaved, migrate.APIVersion, inv.APIVersion, inv.Kind)
	case saved.Saved == nil:
		return inv, fmt.Errorf(`%w: it was printed with "-o json", which leaves out what a plan needs`, ErrNotSaved)
	case saved.Saved.Version != savedVersion:
		return inv, fmt.Errorf("%w of this version of fluxover: it is of version %d, and %d is read here", ErrNotSaved, saved.Saved.Version, savedVersion)
	}
	inv.Cluster.Kinds, inv.Cluster.Namespaces, inv.Cluster.Control = saved.Saved.Kinds, saved.Saved.Namespaces, saved.Saved.Control
	if inv.Cluster.From != fromCluster {
		inv.Cluster.Kinds = ownKinds().served
	}
	for i := range inv.Agents {
		a := &inv.Agents[i]
		entry, ok := saved.Saved.Agents[a.ID]
		if !ok {
			return inv, fmt.Errorf("%w: it says nothing more of agent %s", ErrNotSaved, a.ID)
		}
		if err := entry.open(ctx, a, inv.Cluster, saved.Saved.Trees); ctx.Err() != nil {
			return inv, ctx.Err()
		} else if err != nil {
			return inv, fmt.Errorf("%w: agent %s: %w", ErrNotSaved, a.ID, err)
		}
	}
	return inv, nil
}

func (s savedAgent) open(ctx context.Context, a *migrate.Flux1Agent, facts migrate.Cluster, trees map[string][]savedFile) error {
	a.Replicas, a.Image, a.Selector, a.Rights, a.SharedAccount = s.Replicas, s.Image, s.Selector, s.Rights, s.SharedAccount
	a.Credential, a.Decryption, a.Marked = s.Credential, s.Decryption, s.Marked
	a.ManifestGeneration, a.SOPS = a.ManifestGeneration || s.Generates, a.SOPS || s.Decrypts
	a.HeadProblem = "the inventory was read from a file, which does not hold the branch's head"
	if s.Tree == "" {
		return nil
	}
	files, ok := trees[s.Tree]
	if !ok {
		return errors.New("its repository is not in the file")
	}
	tree, err := newSavedTree(files)
	if err != nil {
		return err
	}
	a.Tree = tree
	read := &agent{Flux1Agent: *a}
	r := read.reading(tree, facts)
	if a.DefaultNamespace == "" && !r.config.KindsAssumed {
		return nil
	}
	r.config.LiveIgnored = func(id string) string { return s.Ignored[id] }
	if err := r.load(ctx); err != nil {
		return err
	}
	a.Files, a.Builds, a.Objects = read.Files, read.Builds, read.Objects
	return nil
}

// newSavedTree makes a tree of saved files.
func newSavedTree(files []savedFile) (fs.FS, error) {
	t := source.NewFiles(time.Time{})
	for _, f := range files {
		content := []byte(f.Text)
		if f.Base64 != "" {
			var err error
			if content, err = base64.StdEncoding.DecodeString(f.Base64); err != nil {
				return nil, fmt.Errorf("the content of %q cannot be decoded", f.Path)
			}
		}
		mode := fs.FileMode(0o644)
		if f.Link != "" {
			content, mode = []byte(f.Link), fs.ModeSymlink|0o777
		}
		if err := t.PutContent(f.Path, mode, content); err != nil {
			return nil, err
		}
	}
	t.Sort()
	return t, nil
}
