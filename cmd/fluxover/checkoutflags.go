package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/migrate"
)

// checkoutFlags describe repositories on disk and how an agent reads them.
type checkoutFlags struct {
	checkouts                     []string
	url, branch, defaultNamespace string
	paths, allowed                []string
	generation, sops              bool
	flags                         *pflag.FlagSet
}

func (c *checkoutFlags) add(flags *pflag.FlagSet) {
	c.flags = flags
	flags.StringArrayVar(&c.checkouts, "checkout", nil, "read the repository of URL from a folder (working copy, bare or plain), as `URL=DIR`, or as DIR, which is of its remotes; can be repeated")
	flags.StringVar(&c.url, "git-url", "", "with --no-cluster --checkout alone: the URL by which the agent reads it")
	flags.StringVar(&c.branch, "git-branch", "", "with --no-cluster --checkout alone: the branch that the agent reads (default: the files as they are)")
	flags.StringSliceVar(&c.paths, "git-path", nil, "with --no-cluster --checkout alone: the agent's paths (default: the whole repository)")
	flags.StringVar(&c.defaultNamespace, "default-namespace", "", "with --no-cluster --checkout alone: the namespace that the agent gives objects that name none")
	flags.StringSliceVar(&c.allowed, "allow-namespace", nil, "with --no-cluster --checkout alone: the namespaces that the agent is limited to")
	flags.BoolVar(&c.generation, "manifest-generation", false, "with --no-cluster --checkout alone: whether the agent follows .flux.yaml files (default: it does, and it is said)")
	flags.BoolVar(&c.sops, "sops", false, "with --no-cluster --checkout alone: whether the agent decrypts SOPS files (default: it does, and it is said)")
}

// given reports whether a checkout is to be read.
func (c *checkoutFlags) given() bool { return len(c.checkouts) > 0 }

// described reports whether flags say how the agent of a checkout reads it, beside its
// URL and branch.
func (c *checkoutFlags) described() bool {
	return slices.ContainsFunc([]string{"git-path", "default-namespace", "allow-namespace", "manifest-generation", "sops"}, c.flags.Changed)
}

// check refuses flags that would have no effect. alone is true if the checkouts
// are all that is read, so that they need describing.
func (c *checkoutFlags) check(alone bool) error {
	described := ""
	for _, name := range []string{"git-url", "git-branch", "git-path", "default-namespace", "allow-namespace", "manifest-generation", "sops"} {
		if c.flags.Changed(name) {
			described = name
		}
	}
	switch {
	case !c.given() && described != "":
		return usage("--%s describes a checkout; give --checkout with it", described)
	case !alone && described != "":
		return usage("--%s describes a checkout that nothing else describes; leave it out, or give --no-cluster and --checkout alone", described)
	case c.url != "" && len(c.checkouts) > 1:
		return usage("--git-url is one repository's; with several, write --checkout URL=DIR")
	}
	for _, entry := range c.checkouts {
		if url, dir := splitCheckout(entry); dir == "" || url != "" && c.url != "" {
			return usage("--checkout: write DIR, or URL=DIR without --git-url")
		}
	}
	return nil
}

// folders are the checkouts as repositories of agents.
func (c *checkoutFlags) folders() []discover.Folder {
	var out []discover.Folder
	for _, entry := range c.checkouts {
		url, dir := splitCheckout(entry)
		if url == "" {
			url = c.url // of the only one
		}
		out = append(out, discover.Folder{URL: url, Dir: dir})
	}
	return out
}

// splitCheckout takes apart "URL=DIR"; what stands before the last "=" is a URL
// only if it looks like one, since folders may hold the sign as well.
func splitCheckout(entry string) (url, dir string) {
	i := strings.LastIndex(entry, "=")
	if i < 0 {
		return "", entry
	}
	if _, err := migrate.SourceURL(entry[:i]); err != nil {
		return "", entry
	}
	return entry[:i], entry[i+1:]
}

// inventory reads the checkouts, one after the other.
func (c *checkoutFlags) inventory(ctx context.Context, progress func(string)) (migrate.Inventory, error) {
	all := migrate.Inventory{Findings: []migrate.Finding{}} // a list, also where nothing is found
	var named, readers []string                             // the ids of those that are described; empty where a declared one took its place
	for i, entry := range c.checkouts {
		url, dir := splitCheckout(entry)
		if url == "" {
			url = c.url
		}
		o := discover.CheckoutOptions{
			Dir: dir, URL: url, Branch: c.branch, Paths: c.paths, DefaultNamespace: c.defaultNamespace, AllowedNamespaces: c.allowed, Progress: progress,
		}
		if len(c.checkouts) > 1 {
			// Folders of one name are told apart by their number.
			o.ID = "checkout/" + filepath.Base(filepath.Clean(dir))
			for slices.Contains(named, o.ID) {
				o.ID = fmt.Sprintf("%s-%d", o.ID, i+1)
			}
			named = append(named, o.ID)
		}
		if c.flags.Changed("manifest-generation") {
			o.ManifestGeneration = &c.generation
		}
		if c.flags.Changed("sops") {
			o.SOPS = &c.sops
		}
		inv, err := discover.Checkout(ctx, o)
		if err != nil {
			return all, err
		}
		if i == 0 {
			all.APIVersion, all.Kind, all.Cluster = inv.APIVersion, inv.Kind, inv.Cluster
		}
		reader := ""
		has := func(agents []migrate.Flux1Agent, id string) bool {
			return slices.ContainsFunc(agents, func(a migrate.Flux1Agent) bool { return a.ID == id })
		}
		var agents []migrate.Flux1Agent
		for _, a := range inv.Agents {
			if has(all.Agents, a.ID) { // another repository declares an agent of the same name
				id := a.ID + "@" + strings.TrimPrefix(o.ID, "checkout/")
				for base, n := id, 2; has(all.Agents, id) || has(inv.Agents, id); n++ {
					id = fmt.Sprintf("%s:%d", base, n)
				}
				for j := range inv.Findings {
					if f := &inv.Findings[j]; f.Repository == a.ID {
						f.Repository, f.Subject = id, strings.Replace(f.Subject, a.ID, id, 1)
					}
				}
				a.ID = id
			}
			if isReader(a) {
				reader = a.ID
			}
			agents = append(agents, a)
		}
		readers = append(readers, reader)
		all.Agents, all.Findings = append(all.Agents, agents...), append(all.Findings, inv.Findings...)
	}
	all, err := c.readDeclared(ctx, all, readers, progress)
	slices.SortFunc(all.Agents, func(a, b migrate.Flux1Agent) int { return strings.Compare(a.ID, b.ID) })
	all.Findings = migrate.SortFindings(all.Findings)
	return all, err
}

// isReader reports whether an agent is what reads a checkout as it is described, and no
// manifest declares it.
func isReader(a migrate.Flux1Agent) bool {
	return a.InstalledBy == "" && slices.Contains(a.Unknown, "installedBy")
}

// readDeclared reads the repositories of the agents that a checkout declares, where one is
// given by their URL or is a clone of it, and by their branch where one is given: as those
// agents read them, and not as its reader, of which nothing but the folder is known. The
// readers are those of the checkouts, in their order.
func (c *checkoutFlags) readDeclared(ctx context.Context, all migrate.Inventory, readers []string, progress func(string)) (migrate.Inventory, error) {
	declared := migrate.Inventory{Cluster: all.Cluster}
	for _, a := range all.Agents {
		if !isReader(a) {
			declared.Agents = append(declared.Agents, a)
		}
	}
	type checkout struct {
		urls   []string
		reader string
	}
	of := func(a migrate.Flux1Agent, urls []string) bool {
		return slices.ContainsFunc(urls, func(url string) bool { return discover.SameRepository(a.Git.URL, url) })
	}
	var folders []discover.Folder
	var checkouts []checkout
	for i, f := range c.folders() {
		urls, err := f.URLs()
		if err != nil {
			return all, err
		}
		if f.Branch = c.branch; slices.ContainsFunc(declared.Agents, func(a migrate.Flux1Agent) bool {
			return a.Tree == nil && of(a, urls) && (f.Branch == "" || a.Git.Branch == f.Branch)
		}) {
			folders, checkouts = append(folders, f), append(checkouts, checkout{urls, readers[i]})
		}
	}
	if len(folders) == 0 {
		return all, nil
	}
	read, err := discover.Repositories(ctx, declared, folders, nil, progress)
	if err != nil {
		return all, err
	}
	for _, f := range checkouts {
		// Whoever says how an agent reads it gets that agent, too; and what no declared
		// agent could read is shown as it was read.
		if f.reader == "" || c.described() || !slices.ContainsFunc(read.Agents, func(a migrate.Flux1Agent) bool { return a.Tree != nil && of(a, f.urls) }) {
			continue
		}
		all.Findings = slices.DeleteFunc(all.Findings, func(found migrate.Finding) bool { return found.Repository == f.reader })
		forgetApplied(&all, &read, f.reader)
		all.Agents = slices.DeleteFunc(all.Agents, func(a migrate.Flux1Agent) bool { return a.ID == f.reader })
	}
	all.Agents = append(slices.DeleteFunc(all.Agents, func(a migrate.Flux1Agent) bool { return !isReader(a) }), read.Agents...)
	all.Findings = append(all.Findings, read.Findings...)
	return all, nil
}

// forgetApplied takes back that a reader applies agents which its repository declares:
// there is no such agent, and what applies them was found as they read it themselves.
func forgetApplied(all, read *migrate.Inventory, reader string) {
	all.Findings = slices.DeleteFunc(all.Findings, func(f migrate.Finding) bool {
		if f.Code != discover.AgentInGit.Name || !strings.HasPrefix(f.Message, "the repository of "+reader+" ") {
			return false
		}
		applied := slices.ContainsFunc(read.Findings, func(other migrate.Finding) bool { return other.Code == f.Code && other.Repository == f.Repository })
		for i := range read.Agents {
			if a := &read.Agents[i]; a.ID == f.Repository && !applied {
				a.InstalledBy = "manifest"
			}
		}
		return true
	})
}
