package discover

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
)

// reading is one agent's repository at one commit: what the agent makes of it,
// and what else stands in it. An agent of a cluster and a folder on disk are
// read by it alike. It is used by one goroutine.
type reading struct {
	agent    *agent
	tree     fs.FS
	config   flux1.LoadConfig
	builds   build.Limits // zero means those of package build
	findings []migrate.Finding
	// index of the whole repository; nil until it is needed.
	index *index
	// governing are the .flux.yaml files that the agent reads, and generations what
	// those say that generate.
	governing   map[string]bool
	generations []flux1.Generation
	// untold are those whose objects cannot be told; failed their folders.
	untold []flux1.Generation
	failed []string
	// closed are the encrypted files that the agent cannot decrypt.
	closed []flux1.Closed
	// inUse are the kustomization files behind what the agent applies.
	inUse []*overlay
	// inBuilds are the patches of these, and inPatchFiles those of .flux.yaml files; nil until they are asked for.
	inBuilds, inPatchFiles *patchesByName
}

func (r *reading) find(findings ...migrate.Finding) { r.findings = append(r.findings, findings...) }

// load reads the repository as the agent would, and fills in the agent's files
// and objects.
func (r *reading) load(ctx context.Context) error {
	if r.config.Limits == (flux1.Limits{}) {
		r.config.Limits = flux1.DefaultLimits
	}
	r.generations, r.untold, r.closed, r.agent.Builds = nil, nil, nil, nil
	r.governing = map[string]bool{}
	r.config.Governs = func(file string) { r.governing[file] = true }
	r.config.Generate = func(g flux1.Generation) ([]flux1.Parsed, error) {
		r.generations = append(r.generations, g)
		err := r.makeIndex(ctx)
		var builds []*migrate.KustomizeBuild
		if err == nil {
			builds, err = r.buildsOf(g)
		}
		var objects []flux1.Parsed
		if err == nil {
			r.agent.Builds = append(r.agent.Builds, builds...)
			objects, err = r.generate(ctx, g, builds)
		}
		if err != nil {
			r.untold = append(r.untold, g)
			if with := r.decrypting(g); with != "" {
				err = flux1.Decrypts{Err: err, With: with}
			}
		}
		return objects, err
	}
	if keys := r.agent.Keys; keys != nil {
		r.config.Decrypt = func(content []byte) ([]byte, error) { return build.DecryptFile(ctx, content, keys) }
		r.config.Closed = func(c flux1.Closed) { r.closed = append(r.closed, c) }
	}
	files, objects, findings, err := flux1.Load(untilDone{r.tree, ctx}, r.config)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.find(findings...)
	r.agent.Files, r.agent.Objects = files, objects
	return nil
}

// untilDone is a tree of which nothing more is read once its context is done. What was
// made of it then is of no use.
type untilDone struct {
	fs.FS
	ctx context.Context
}

func (t untilDone) Open(name string) (fs.File, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	return t.FS.Open(name)
}

func (t untilDone) ReadFile(name string) ([]byte, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	return fs.ReadFile(t.FS, name)
}

func (t untilDone) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	return fs.ReadDir(t.FS, name)
}

func (t untilDone) Stat(name string) (fs.FileInfo, error)  { return fs.Stat(t.FS, name) }
func (t untilDone) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(t.FS, name) }
func (t untilDone) ReadLink(name string) (string, error)   { return fs.ReadLink(t.FS, name) }

// undecrypted says which files the agent cannot decrypt, at which fluxd gives up
// its whole sync; empty if there are none. It is not certain where the agent may
// have other keys than those that are known.
func (r *reading) undecrypted() (message string, certain bool) {
	if len(r.closed) == 0 {
		return "", true
	}
	if r.agent.keysUnknown || slices.ContainsFunc(r.closed, func(c flux1.Closed) bool { return c.OtherKeys }) {
		return fmt.Sprintf("whether the agent can decrypt %s is not known, since it may have other keys than were found (%v)", r.closed[0].File, r.closed[0].Err), false
	}
	return r.cannotDecrypt(), true
}

func (r *reading) cannotDecrypt() string {
	if len(r.closed) == 1 {
		return fmt.Sprintf("%s cannot be decrypted with the keys that the agent is known to have: %v", r.closed[0].File, r.closed[0].Err)
	}
	return fmt.Sprintf("%s, and %d other files, cannot be decrypted with the keys that the agent is known to have: %v", r.closed[0].File, len(r.closed)-1, r.closed[0].Err)
}

// mayGenerate reports whether a .flux.yaml stands where fluxd looks for one, at or above one
// of the agent's paths, so that it hangs on the agent whether its paths are scanned.
func (r *reading) mayGenerate() bool {
	paths := r.agent.Git.Paths
	if len(paths) == 0 {
		paths = []string{""}
	}
	return slices.ContainsFunc(r.index.files, func(name string) bool {
		return path.Base(name) == ".flux.yaml" && slices.ContainsFunc(paths, func(p string) bool { return below(flux1.CleanPath(p), path.Dir(name)) })
	})
}

// applies reports whether fluxd applies the object.
func applies(o migrate.Object) bool {
	return o.Class == migrate.ClassApplied || o.Class == migrate.ClassSyncOnly
}

// count fills in how much the agent syncs.
func (a *agent) count() {
	a.Counts, a.counted = migrate.Counts{}, true
	for _, o := range a.Objects {
		if applies(o) {
			a.Counts.Objects++
		}
	}
	// The planner alone knows what an application is.
	plan := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a.Flux1Agent}}, migrate.Options{})
	if p := plan.Repository(a.ID); p != nil {
		a.Counts.Applications = len(p.Applications)
	}
}
