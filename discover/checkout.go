package discover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
	"github.com/fluxover/fluxover/reconcile/source"
)

// CheckoutOptions say where a repository lies on disk and how an agent reads
// it. What is not given is unknown, and named so in the Inventory.
type CheckoutOptions struct {
	// Dir is a working copy, a bare repository or a plain folder. FS may be
	// given in its place.
	Dir string
	FS  fs.FS
	// ID of the agent that is described; empty makes "checkout/NAME" after the
	// URL or the folder.
	ID string
	// URL and Branch as the agent has them. A Git repository is read at
	// Branch; without one, a working copy is read as its files are and a bare
	// repository at its HEAD.
	URL, Branch string
	// Paths as the agent has them; none means the whole repository.
	Paths []string
	// ManifestGeneration and SOPS as the agent has them. Where nil, a
	// .flux.yaml holds and encrypted files are decrypted, as whoever wrote
	// them meant; the setting stays unknown if there are such files.
	ManifestGeneration, SOPS *bool
	// DefaultNamespace of objects that name none.
	DefaultNamespace string
	// AllowedNamespaces limits the agent; none means everywhere.
	AllowedNamespaces []string
	// Kinds that a cluster serves; none means that no cluster was asked, see
	// [flux1.LoadConfig].
	Kinds []migrate.ServedKind
	// Limits on what is read; zero means flux1.DefaultLimits.
	Limits flux1.Limits
	// Builds are limits on each build of a folder; zero means build.DefaultLimits.
	Builds build.Limits
	// Progress, if set, is called with a line for people.
	Progress func(string)
}

// Checkout reads a repository from disk as fluxd would, with no network and no
// cluster; it runs nothing, decrypts nothing and reads nothing outside of the
// folder. Its Inventory holds one agent for the reader that is described, with
// the files and objects it would load, and one for each agent that the
// repository's own manifests declare (InstalledBy "flux1" where the reader
// applies them, else "manifest"); they are one where a declared agent reads this
// repository in the very way that is described. Kustomize folders are built in memory with
// the Kustomize of Flux v2, which may differ from fluxd's. An error means that
// the folder cannot be read at all; what is wrong in it is a finding.
func Checkout(ctx context.Context, o CheckoutOptions) (migrate.Inventory, error) {
	inv := migrate.Inventory{APIVersion: migrate.APIVersion, Kind: "Inventory", Agents: []migrate.Flux1Agent{}, Findings: []migrate.Finding{}}
	t := &checkoutTree{FS: o.FS}
	var tooLarge error
	if o.FS == nil {
		if o.Dir == "" {
			return inv, errors.New("discover checkout: no folder is given")
		}
		var err error
		if t, err = openCheckout(ctx, o.Dir, o.Branch); errors.Is(err, source.ErrTooLarge) {
			tooLarge = err
		} else if err != nil {
			return inv, fmt.Errorf("discover checkout: %w", err)
		}
	}
	if o.Limits == (flux1.Limits{}) {
		o.Limits = flux1.DefaultLimits
	}
	if o.Progress != nil {
		o.Progress("reading the repository in " + o.place())
	}
	c := &checkout{reading: &reading{tree: t.FS, builds: o.Builds}, o: o, folder: t}
	if tooLarge != nil {
		c.unread(tooLarge)
	} else if err := c.read(ctx); err != nil {
		return inv, fmt.Errorf("discover checkout: %w", err)
	}
	inv.Cluster.Kinds = o.Kinds
	if o.Kinds == nil {
		inv.Cluster.Kinds = ownKinds().served
	}
	found := c.nested
	if c.agent != nil {
		found = append(found, c.agent)
	}
	for _, a := range found {
		inv.Agents = append(inv.Agents, a.finished())
	}
	slices.SortFunc(inv.Agents, func(a, b migrate.Flux1Agent) int { return strings.Compare(a.ID, b.ID) })
	inv.Findings = c.findings
	sayUndecided(&inv)
	return inv, nil
}

// checkout is the reading of one repository on disk under way. Its agent is the
// reader that the options describe.
type checkout struct {
	*reading
	o      CheckoutOptions
	folder *checkoutTree
	nested []*agent
	// known are agents that others have told of, which are not found again.
	known []*agent
	// tooMany is true once it is told that more agents are declared than are read.
	tooMany bool
	// given is what sources give of the repository, by their patterns; compared is what that took (maxCompared).
	given    map[string]*given
	compared int
	// places are those of the repository's files, which have so many parts and characters; ignores are
	// its .sourceignore files, and steps what it takes to hold their patterns against all.
	places                       map[string]int
	parts, chars, ignores, steps int
	tried                        int // see [decodeAny]
	// applied are the objects that the reader applies, with their manifests.
	applied []flux1.Parsed
}

func (o *CheckoutOptions) place() string {
	if o.Dir == "" {
		return "memory"
	}
	return filepath.Base(filepath.Clean(o.Dir))
}

// unread describes the agent of a repository that holds more than is read.
func (c *checkout) unread(why error) {
	c.describe()
	f := flux1.TooLarge.Finding(c.agent.ID, c.o.place(), fmt.Sprintf("nothing of the repository is read: %v", why))
	f.Hint = wholeTooLarge
	c.find(f)
}

func (c *checkout) read(ctx context.Context) error {
	c.describe()
	if c.folder.otherBranch {
		c.find(flux1.BranchNotThere.Finding(c.agent.ID, c.o.place(), fmt.Sprintf("the checkout has no branch %s; its files were read as they are", c.o.Branch)))
	}
	if err := c.loadDescribed(ctx); err != nil {
		return err
	}
	if len(c.o.Paths) == 0 {
		for i := range c.findings {
			if f := &c.findings[i]; f.Code == flux1.NotGenerated.Name && strings.Contains(f.Message, "no kustomization file") {
				f.Hint = "no path of the agent was given, so the whole repository was taken: where it reads folders of it alone, name them (--git-path), as a .flux.yaml above them runs its commands in these; else " + f.Hint
			}
		}
	}
	if err := c.survey(ctx); err != nil {
		return err
	}
	if err := c.declared(ctx); err != nil {
		return err
	}
	c.recogniseReader()
	return nil
}

// recogniseReader makes one agent of the described reader and of the one agent
// that the repository declares with the same URL, branch and paths: an agent
// that syncs its own repository.
func (c *checkout) recogniseReader() {
	r := c.agent
	urls := []string{r.Git.URL}
	if r.Git.URL == "" {
		urls = c.folder.remotes
	}
	// What the tree holds nothing of makes no difference, unless it was given.
	generates := c.o.ManifestGeneration != nil || len(c.generations) > 0
	decrypts := c.o.SOPS != nil || r.SOPS
	same := func(a *agent) bool {
		return slices.ContainsFunc(urls, func(url string) bool { return SameRepository(a.Git.URL, url) }) &&
			!slices.Contains(a.Unknown, "git.branch") && !slices.Contains(a.Unknown, "git.paths") &&
			(r.Git.Branch == "" || a.Git.Branch == r.Git.Branch) && slices.Equal(a.Git.Paths, r.Git.Paths) &&
			(!generates || a.ManifestGeneration == r.ManifestGeneration) && (!decrypts || a.SOPS == r.SOPS) &&
			(r.DefaultNamespace == "" || a.DefaultNamespace == r.DefaultNamespace)
	}
	i := slices.IndexFunc(c.nested, same)
	if i < 0 || slices.ContainsFunc(c.nested[i+1:], same) {
		return
	}
	a := c.nested[i]
	a.Tree, a.Files, a.Builds, a.Objects, a.Synced = r.Tree, r.Files, r.Builds, r.Objects, r.Synced
	a.count()
	for j := range c.findings {
		f := &c.findings[j]
		f.Message = strings.Replace(f.Message, "the repository of "+r.ID+" ", "the repository of "+a.ID+" ", 1)
		if f.Repository == r.ID {
			f.Repository, f.Subject = a.ID, a.ID+strings.TrimPrefix(f.Subject, r.ID)
		}
	}
	c.agent = nil
}

// describe makes the agent that the options describe. Its settings go through
// the same rules as a command line.
func (c *checkout) describe() {
	var args []string
	given := map[string]bool{}
	add := func(name, flag string, values ...string) {
		for _, v := range values {
			if v != "" {
				args, given[name] = append(args, "--"+flag+"="+v), true
			}
		}
	}
	add("git.url", "git-url", c.o.URL)
	add("git.branch", "git-branch", c.o.Branch)
	for _, p := range c.o.Paths { // one that holds a comma is quoted, as pflag reads lists
		if strings.ContainsAny(p, ",\"\n") {
			p = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
		}
		add("git.paths", "git-path", p)
	}
	if value := c.o.ManifestGeneration; value != nil {
		add("manifestGeneration", "manifest-generation", fmt.Sprint(*value))
	}
	if value := c.o.SOPS; value != nil {
		add("sops", "sops", fmt.Sprint(*value))
	}
	add("defaultNamespace", "k8s-default-namespace", c.o.DefaultNamespace)
	add("allowedNamespaces", "k8s-allow-namespace", c.o.AllowedNamespaces...)
	config, settings, findings := flux1.ParseArgs(args)
	for i := range settings {
		for j := range settings[i].From {
			settings[i].From[j] = migrate.Origin{Witness: "values", Where: "description of the checkout, " + settings[i].Name}
		}
	}
	a := &agent{config: config}
	c.agent = a
	a.ID = c.o.ID
	if a.ID == "" {
		name := c.o.place()
		if u, err := migrate.SourceURL(c.o.URL); err == nil && c.o.URL != "" {
			name = strings.TrimSuffix(path.Base(u), ".git")
		}
		a.ID = "checkout/" + name
	}
	for _, f := range findings {
		if f.Code == flux1.NoURL.Name {
			continue // it is not given, which says nothing about the agent
		}
		f.Subject, f.Repository = a.ID, a.ID
		c.find(f)
	}
	a.Settings = append([]migrate.Setting{}, settings...)
	a.Git = migrate.AgentGit{URL: config.URL.String(), Branch: c.o.Branch, Paths: append([]string{}, config.Paths...)}
	if a.Git.Branch == "" {
		a.Git.Branch = c.folder.branch
	}
	a.DefaultNamespace = c.o.DefaultNamespace
	a.AllowedNamespaces = append([]string{}, config.AllowedNamespaces...)
	a.Synced = migrate.Synced{Head: c.folder.head, Behind: -1}
	a.Unknown = append(config.Unknown,
		"installedBy", "chartVersion", "workload", "git.pollInterval", "git.timeout", "git.readonly", "git.secretName", "git.syncTag",
		"sync.interval", "sync.timeout", "sync.garbageCollection", "sync.state", "imageAutomation", "serviceAccount", "confinement",
		"synced", "requests", "memcached")
	for _, name := range []string{"git.url", "defaultNamespace", "allowedNamespaces"} {
		if !given[name] {
			a.Unknown = append(a.Unknown, name)
		}
	}
	if a.Git.Branch == "" {
		a.Unknown = append(a.Unknown, "git.branch")
	}
	a.Tree = c.tree
}

// loadDescribed reads the repository as the described agent would. What the
// description leaves open is as whoever wrote the files meant.
func (c *checkout) loadDescribed(ctx context.Context) error {
	a := c.agent
	c.config = flux1.LoadConfig{
		Repository: a.ID, Paths: a.Git.Paths, ManifestGeneration: true, SOPS: true, ImageAutomation: true,
		DefaultNamespace: a.DefaultNamespace, AllowedNamespaces: a.AllowedNamespaces,
		Kinds: c.o.Kinds, Limits: c.o.Limits,
	}
	if c.config.Kinds == nil {
		assumeKinds(&c.config)
	}
	if a.DefaultNamespace == "" {
		c.config.KindsAssumed = true
	}
	if c.o.ManifestGeneration != nil {
		c.config.ManifestGeneration = *c.o.ManifestGeneration
	}
	if c.o.SOPS != nil {
		c.config.SOPS = *c.o.SOPS
	}
	if err := c.load(ctx); err != nil {
		return err
	}
	a.ManifestGeneration = c.config.ManifestGeneration && (c.o.ManifestGeneration != nil || len(c.generations) > 0)
	if c.o.ManifestGeneration == nil && len(c.generations) > 0 {
		a.Unknown = append(a.Unknown, "manifestGeneration")
	}
	encrypted := slices.ContainsFunc(a.Files, func(f migrate.File) bool { return f.Kind == migrate.FileEncrypted })
	a.SOPS = c.config.SOPS && (c.o.SOPS != nil || encrypted)
	if c.o.SOPS == nil && encrypted {
		a.Unknown = append(a.Unknown, "sops")
	}
	for _, o := range a.Objects {
		if applies(o) && o.Manifest != nil {
			c.applied = append(c.applied, flux1.Parsed{File: o.File, Line: o.Line, Manifest: o.Manifest, Build: o.Build})
		}
	}
	if !slices.Contains(a.Unknown, "manifestGeneration") { // on which it hangs what is applied
		a.count()
	}
	return nil
}
