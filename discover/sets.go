package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// set is what one agent syncs, by the name that goes into its marks.
type set struct {
	name string
	// agents that sync it; more than one have the finding SAME_SYNC_SET.
	agents []*agent
	// earlier says under which earlier settings of its agents it was synced.
	earlier string
}

// attribute gives every marked object to the agents that would write its mark,
// and returns those of nobody, sorted by id: strange ones, and those that
// another object owns. A mark fits one set and one object only, so that a copied
// label fits none (flux: pkg/cluster/kubernetes/sync.go).
func attribute(l *live, sets []*set) (strange, owned []string) {
	by := func(a *agent, id string) { a.Marked = append(a.Marked, id) }
	for _, id := range slices.Sorted(maps.Keys(l.marked)) {
		o := l.marked[id]
		s := o.setAmong(sets)
		switch {
		case s != nil:
			// Objects of one agent follow each other, so it is asked first.
			i := slices.Index(sets, s)
			copy(sets[1:i+1], sets[:i])
			sets[0] = s
			for _, a := range s.agents {
				by(a, id)
			}
		case o.owned:
			owned = append(owned, id)
		default:
			strange = append(strange, id)
		}
	}
	return strange, owned
}

// reportCopies names the objects whose mark somebody copied to what belongs to
// them: operators that hand labels down, and hand down as well what the hand-over
// makes of them (reference H48). Kubernetes itself does so from a Service to its
// endpoints, where nothing comes of it.
func (w *witness) reportCopies(l *live, agents []*agent, owned []string) {
	type original struct{ agent, id string }
	originals := map[string]original{} // by mark
	for _, a := range agents {
		for _, id := range a.Marked {
			for _, mark := range l.marked[id].marks {
				if mark != "" {
					originals[mark] = original{a.ID, id}
				}
			}
		}
	}
	copies := map[original][]string{}
	for _, id := range owned {
		o := l.marked[id]
		if o.kind == "Endpoints" || o.kind == "EndpointSlice" {
			continue
		}
		for _, mark := range o.marks {
			if from, ok := originals[mark]; ok {
				copies[from] = append(copies[from], id)
				break
			}
		}
	}
	for from, ids := range copies { // findings are sorted later
		code := CopiedByOperator
		if slices.ContainsFunc(ids, func(id string) bool { return l.marked[id].kind == "Pod" }) {
			code = CopiedToPods
		}
		w.find(code.About(from.agent, from.id, "", fmt.Sprintf("the mark of %s is also on %s that it or its operator made: %s", migrate.DisplayID(from.id), counted(len(ids), "object"), examples(ids))))
	}
}

// setAmong finds the set whose mark an object carries; nil if none.
func (o *liveObject) setAmong(sets []*set) *set {
	resourceID := o.resourceID()
	for _, s := range sets {
		if o.markedBy(s.name, resourceID) {
			return s
		}
	}
	return nil
}

// setsOf are the sets of agents, in the order of the agents.
func setsOf(agents []*agent) []*set {
	var sets []*set
	byName := map[string]*set{}
	for _, a := range agents {
		switch s := byName[a.set]; {
		case a.set == "":
		case s != nil:
			s.agents = append(s.agents, a)
		default:
			byName[a.set] = &set{name: a.set, agents: []*agent{a}}
			sets = append(sets, byName[a.set])
		}
	}
	return sets
}

// setOf names the set of a configuration. It is empty if that cannot be
// known, and then missing says what would have to be; without a URL there is
// no set. The mark hashes the real user name, wherever it stands.
func setOf(ctx context.Context, env *environment, c *flux1.Config) (name, missing string, err error) {
	var unknown []string
	for _, part := range []string{"git.url", "git.branch", "git.paths"} {
		if slices.Contains(c.Unknown, part) {
			unknown = append(unknown, part)
		}
	}
	if len(unknown) > 0 {
		return "", strings.Join(unknown, " and "), nil
	}
	if c.URL == "" {
		return "", "", nil
	}
	_, inURL, err := flux1.FluxV2URL(string(c.URL))
	if err != nil {
		return "", "", nil // ParseArgs has reported it
	}
	full := string(c.URL)
	if info := credentialsIn(full); info != "" {
		user, ok, err := env.fill(ctx, inURL.Username)
		if err != nil {
			return "", "", err
		}
		if !ok {
			return "", "$(" + strings.Join(flux1.Symbols(inURL.Username), "), $(") + ") in the Git URL", nil
		}
		full = strings.Replace(full, info, user+strings.TrimPrefix(info, inURL.Username), 1)
	}
	safe, err := flux1.SafeURL(full)
	if err != nil {
		return "", "", nil
	}
	return flux1.SetName(safe, c.Branch, c.Paths), "", nil
}

// attributeAll gives the marked objects to agents and reports the others:
// those that an agent marked under earlier settings, which it collects no
// more, and those of agents that are not here.
func (w *witness) attributeAll(ctx context.Context, l *live, agents []*agent, storage *helm.Storage) error {
	sets := setsOf(agents)
	strange, owned := attribute(l, sets)
	w.reportCopies(l, agents, owned)
	if len(strange) == 0 || len(w.opts.Namespaces) > 0 {
		return nil // or agents that were not looked for may have marked them, which is said
	}
	before, err := w.earlierSets(ctx, agents, storage, sets)
	if err != nil {
		return err
	}
	before = carriedBy(before, l, strange)
	left := map[*set][]string{}
	var unknown []string
	for _, id := range strange {
		if s := l.marked[id].setAmong(before); s != nil {
			left[s] = append(left[s], id)
		} else {
			unknown = append(unknown, id)
		}
	}
	for _, s := range before {
		ids := left[s]
		repository := ""
		if len(s.agents) > 0 {
			repository = s.agents[0].ID
		}
		w.find(EarlierMarks.Finding(repository, "", fmt.Sprintf("%s with a mark of %s: %s", counted(len(ids), "live object"), s.earlier, examples(ids))))
	}
	if len(unknown) > 0 {
		w.find(ForeignMarks.Finding("", "", fmt.Sprintf("%s with a mark of no agent found here%s: %s", counted(len(unknown), "live object"), perhapsOf(agents), examples(unknown))))
	}
	return nil
}

// perhapsOf names the agents whose marks cannot be told, and what would settle
// it; empty if there are none.
func perhapsOf(agents []*agent) string {
	const named = 5
	var hidden []string
	for _, a := range agents {
		if a.setMissing != "" {
			hidden = append(hidden, fmt.Sprintf("%s, without knowing %s", a.ID, a.setMissing))
		}
	}
	if len(hidden) == 0 {
		return ""
	}
	more := ""
	if n := len(hidden) - named; n > 0 {
		hidden, more = hidden[:named], fmt.Sprintf("; and %d more", n)
	}
	return ", unless of an agent whose marks cannot be told (" + strings.Join(hidden, "; ") + more + ")"
}

// sampled is how many objects are compared with every earlier set; the sets
// that fit one of them are then compared with all.
const sampled = 500

// carriedBy are the sets of which one of the first objects carries a mark.
func carriedBy(sets []*set, l *live, ids []string) []*set {
	found := map[*set]bool{}
	for _, id := range ids[:min(sampled, len(ids))] {
		if s := l.marked[id].setAmong(sets); s != nil {
			found[s] = true
		}
	}
	return slices.DeleteFunc(sets, func(s *set) bool { return !found[s] })
}

// Bounds of what is read to explain marks.
const (
	// earlierRevisions of one release.
	earlierRevisions = 10
	// goneReleases that no agent belongs to.
	goneReleases = 50
)

// earlierSets are the sets that agents synced before, as far as it can be
// told: by earlier revisions of their releases, by releases of fluxd without
// an agent, and by settings that are often changed.
func (w *witness) earlierSets(ctx context.Context, agents []*agent, storage *helm.Storage, now []*set) ([]*set, error) {
	var sets []*set
	known := map[string]bool{}
	for _, s := range now {
		known[s.name] = true
	}
	add := func(a *agent, name, earlier string) {
		if name == "" || known[name] {
			return
		}
		known[name] = true
		s := &set{name: name, earlier: earlier}
		if a != nil {
			s.agents = []*agent{a}
		}
		sets = append(sets, s)
	}
	taken := map[string]bool{}
	for _, a := range agents {
		if a.release != nil {
			taken[a.release.revision.Namespace+"/"+a.release.name] = true
			for _, r := range a.release.revisions[:min(len(a.release.revisions), earlierRevisions)] {
				if err := w.setsInRevision(ctx, a, r, add); err != nil {
					return nil, err
				}
			}
		}
		for _, template := range a.outdated {
			name, config, err := w.setOfTemplate(ctx, a, template)
			if err != nil {
				return nil, err
			}
			if name != "" {
				add(a, name, fmt.Sprintf("%s as its pods run it, by an earlier template (%s)", a.ID, described(config)))
			}
		}
		if a.set != "" {
			if err := usualChanges(ctx, a, add); err != nil {
				return nil, err
			}
		}
	}
	looked := 0
	for _, name := range storage.Names() {
		if !strings.Contains(name, "flux") {
			continue
		}
		for _, revisions := range storage.Of("", name) {
			if r := helm.Live(revisions); !taken[r.Namespace+"/"+name] && looked < goneReleases {
				looked++
				if err := w.setsInRevision(ctx, nil, r, add); err != nil {
					return nil, err
				}
			}
		}
	}
	return sets, nil
}

// setsInRevision adds the sets of the agents in a release's manifest. A
// revision that cannot be read explains nothing.
func (w *witness) setsInRevision(ctx context.Context, a *agent, r helm.Revision, add func(a *agent, name, earlier string)) error {
	record, err := w.opts.Releases.Look(ctx, w.kube, r)
	if errors.Is(err, helm.ErrGone) || errors.Is(err, helm.ErrCorrupt) || isForbidden(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range record.Deployments() {
		if fluxd(d) == nil || a != nil && (d.Namespace != a.Namespace || d.Name != a.Workload) {
			continue
		}
		config, env, err := w.configOf(ctx, d)
		if err != nil {
			return err
		}
		name, _, err := setOf(ctx, env, &config)
		if err != nil {
			return err
		}
		add(a, name, fmt.Sprintf("revision %d of release %s/%s (%s)", r.Number, r.Namespace, r.Release, described(&config)))
	}
	return nil
}

// setOfTemplate is the set that an agent's pods sync by an earlier template, and by which settings; empty
// if they run no fluxd, or it is not known.
func (w *witness) setOfTemplate(ctx context.Context, a *agent, template corev1.PodTemplateSpec) (string, *flux1.Config, error) {
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: template}}
	d.Namespace, d.Name = a.Namespace, a.Workload
	if fluxd(d) == nil {
		return "", nil, nil
	}
	config, env, err := w.configOf(ctx, d)
	if err != nil {
		return "", nil, err
	}
	name, _, err := setOf(ctx, env, &config)
	return name, &config, err
}

// configOf reads the command line of a Deployment that is not live; what it
// lacks is not reported.
func (w *witness) configOf(ctx context.Context, d *appsv1.Deployment) (flux1.Config, *environment, error) {
	quiet := &witness{kube: w.kube, together: w.together}
	container := fluxd(d)
	env := quiet.environmentOf(d.Namespace, "", &d.Spec.Template.Spec, container)
	args, _, hidden := commandLine(container)
	expanded, _, err := env.expandArguments(ctx, args)
	if err != nil {
		return flux1.Config{}, nil, err
	}
	config, _, _ := flux1.ParseArgs(expanded)
	if hidden != "" {
		forgetAll(&config)
	}
	return config, env, nil
}

// usualChanges adds the sets of an agent with the branch, the paths or the
// ending of the URL that it may have had before.
func usualChanges(ctx context.Context, a *agent, add func(a *agent, name, earlier string)) error {
	url := string(a.config.URL)
	other := strings.TrimSuffix(url, ".git")
	if other == url {
		other += ".git"
	}
	for _, u := range []string{url, other} {
		for _, branch := range unique(a.config.Branch, "master", "main") {
			for _, paths := range [][]string{a.config.Paths, nil} {
				c := a.config
				c.URL, c.Branch, c.Paths = flux1.RawURL(u), branch, paths
				name, _, err := setOf(ctx, a.env, &c)
				if err != nil {
					return err
				}
				add(a, name, fmt.Sprintf("%s with other settings (%s)", a.ID, described(&c)))
			}
		}
	}
	return nil
}

func unique(words ...string) []string {
	var out []string
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// described names what a set is made of.
func described(c *flux1.Config) string {
	return fmt.Sprintf("%s, branch %s, path %s", c.URL, c.Branch, cmp.Or(strings.Join(c.Paths, ","), "."))
}

// orphans reports the objects that carry an agent's mark and that its
// repository does not hold.
func (w *witness) orphans(agents []*agent, l *live) {
	for _, a := range agents {
		if !a.loaded || slices.Contains(a.Unknown, "synced") {
			continue // what is in Git is not known, which has been reported
		}
		// By fluxd's names, which hold no API group: an object may be listed in
		// another one than Git has it in.
		inGit := map[string]bool{}
		for _, o := range a.Objects {
			if m, err := object.ParseObjMetadata(o.ID); err == nil { // nameless objects are not live
				inGit[flux1.ResourceID(m.Namespace, m.GroupKind.Kind, m.Name)] = true
			}
		}
		if marks, known := flux1.Marks(a.Image); known && !marks {
			continue // so that what it left behind bears no mark
		}
		var left []string
		for _, id := range a.Marked {
			if o := l.marked[id]; !inGit[o.resourceID()] && !o.owned && o.ignored() == "" {
				left = append(left, id)
			}
		}
		a.Counts.Orphans, a.orphansKnown = len(left), true
		if len(left) == 0 {
			continue
		}
		collection := map[migrate.GarbageCollection]string{
			migrate.CollectOn:  "collection is on, so the agent deletes them at its next sync unless something keeps it from that",
			migrate.CollectOff: "collection is off, so the agent leaves them", migrate.CollectDry: "collection is dry, so the agent only logs them",
		}[a.Sync.GarbageCollection]
		w.find(Orphans.Finding(a.ID, "commit "+short(a.Synced.Commit), fmt.Sprintf("%s with the mark of %s and not in its repository; %s: %s", counted(len(left), "live object"), a.ID, collection, examples(left))))
	}
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// examples sums objects up by namespace, and names some of each; ids are
// sorted.
func examples(ids []string) string {
	const namespaces, each = 5, 3
	byNamespace := map[string][]string{}
	for _, id := range ids {
		m, err := object.ParseObjMetadata(id)
		if err != nil { // live objects have names
			continue
		}
		byNamespace[m.Namespace] = append(byNamespace[m.Namespace], flux1.ResourceID(m.Namespace, m.GroupKind.Kind, m.Name))
	}
	keys := slices.SortedFunc(maps.Keys(byNamespace), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(byNamespace[b]), len(byNamespace[a])), cmp.Compare(a, b))
	})
	var parts []string
	for _, ns := range keys[:min(namespaces, len(keys))] {
		all := byNamespace[ns]
		text := fmt.Sprintf("%d in namespace %s", len(all), ns)
		if ns == "" {
			text = fmt.Sprintf("%d of the whole cluster", len(all))
		}
		shown := strings.Join(all[:min(each, len(all))], ", ")
		if len(all) > each {
			shown += " and others"
		}
		parts = append(parts, text+" ("+shown+")")
	}
	if n := len(keys) - namespaces; n > 0 {
		parts = append(parts, fmt.Sprintf("and in %s more", counted(n, "namespace")))
	}
	return strings.Join(parts, "; ")
}
