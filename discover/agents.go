package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// agent is a Flux1Agent on its way, with what is not kept.
type agent struct {
	migrate.Flux1Agent
	deployment *appsv1.Deployment
	config     flux1.Config
	env        *environment
	release    *release
	// rawURL is --git-url before anything is filled in.
	rawURL string
	// set is the name of what it syncs, for marks; empty if it syncs nothing,
	// or if setMissing is not known, of which the set is made.
	set, setMissing string
	// loaded is true if all that fluxd would load at Synced.Commit is known.
	loaded bool
	// counted is true if the agent's Counts are known, orphansKnown if those of
	// orphans are as well.
	counted, orphansKnown bool
	// undecrypted says what fluxd cannot decrypt at Synced.Commit; empty if it can.
	undecrypted string
	// troubles are why it is not known what fluxd loads at Synced.Commit.
	troubles []trouble
	// unmarked are the live objects among those of its repository that carry no mark, nil for
	// what is not live; nothing of what could not be asked about.
	unmarked map[string]*liveObject
	// keysUnknown is true if the agent may have keys that could not be found out.
	keysUnknown bool
	// outdated are the templates of its pods that run where its Deployment's is another.
	outdated []corev1.PodTemplateSpec
	// syncedOtherwise is true where such pods sync something else than the Deployment asks for, or note it elsewhere.
	syncedOtherwise bool
	// declares are the agents that its repository declares among what the agent applies, and
	// atHead those at the branch's head, where that is another commit.
	declares, atHead inGit
	// read is the reading of its repository, where no cluster was asked. searched is true of one agent of
	// those that read the same: its repository was searched for agents that nobody applies.
	read     *reading
	searched bool
	// ring holds the agent's keys for files of SOPS until its repository was read.
	ring *keyring
}

// apart gives an agent whose id another one has an id of its own: by where it is declared
// and, where others are as well, a number.
func (d *declaredAgent) apart(where string, taken func(id string) bool) {
	id := d.ID + "@" + where
	for base, n := id, 2; taken(id); n++ {
		id = fmt.Sprintf("%s:%d", base, n)
	}
	d.rename(id)
}

// finished is the agent as an Inventory holds it.
func (a *agent) finished() migrate.Flux1Agent {
	a.Settings = slices.Clone(a.Settings)
	for i := range a.Settings {
		if s := &a.Settings[i]; s.Fate == migrate.Unknown && s.To == "a known value" && strings.Contains(s.Why, isSensitive) {
			s.To = "the agent's Deployment in the cluster" // whoever gives it, it is not kept
		}
	}
	a.Unknown = slices.DeleteFunc(slices.Clone(a.Unknown), func(name string) bool {
		return name == "counts" || name == "counts.orphans" || name == "synced.behind"
	})
	switch {
	case !a.counted:
		a.Unknown = append(a.Unknown, "counts")
	case !a.orphansKnown:
		a.Unknown = append(a.Unknown, "counts.orphans")
	}
	if a.Synced.Behind < 0 && !slices.Contains(a.Unknown, "synced") {
		a.Unknown = append(a.Unknown, "synced.behind")
	}
	slices.Sort(a.Unknown)
	a.Unknown = append([]string{}, slices.Compact(a.Unknown)...)
	return a.Flux1Agent
}

func (a *agent) where(more string) string {
	return strings.TrimSpace("Deployment/" + a.Namespace + "/" + a.Workload + " " + more)
}

// agents assembles every agent among the Deployments.
func (w *witness) agents(ctx context.Context, deployments []appsv1.Deployment) ([]*agent, *helm.Storage, error) {
	var found []*agent
	for i := range deployments {
		d := &deployments[i]
		c := fluxd(d)
		if c == nil {
			continue
		}
		found = append(found, w.newAgent(d, c))
	}
	storage, err := helm.Read(ctx, w.meta, namespacesOf(found))
	if err != nil || len(found) == 0 {
		return nil, storage, err
	}
	w.identify(found)
	around, err := w.surroundings(ctx, found, deployments)
	if err != nil {
		return nil, nil, err
	}
	w.home = around.rights.home(migrate.AgentNamespace)
	w.readTogether(ctx, found)
	w.openReleases(ctx, found, storage)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(w.opts.Parallel)
	for _, a := range found {
		group.Go(func() error {
			if err := w.assemble(gctx, a, storage, around); err != nil {
				return fmt.Errorf("agent %s: %w", a.ID, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return found, storage, err
	}
	_, err = countMemcacheds(found, deployments, around.pods)
	return found, storage, err
}

// newAgent is the agent that a Deployment's container runs, with what the
// Deployment alone says.
func (w *witness) newAgent(d *appsv1.Deployment, c *corev1.Container) *agent {
	a := &agent{deployment: d}
	a.Namespace, a.Workload, a.Image = d.Namespace, d.Name, c.Image
	a.Replicas, a.Selector, a.ServiceAccount = replicas(d), d.Spec.Selector, accountOf(&d.Spec.Template.Spec)
	a.env = w.environmentOf(d.Namespace, "", &d.Spec.Template.Spec, c)
	a.Parts = podParts(d, c)
	return a
}

// around is what stands around all agents, read once.
type around struct {
	rights   *rights
	accounts *accountUse
	// pods and egress are by namespace.
	pods   map[string]*podList
	egress map[string][]networkingv1.NetworkPolicy
	// plugins are the policies of network plugins, by namespace; "" of those for
	// all.
	plugins map[string][]*egressPolicy
}

func (w *witness) surroundings(ctx context.Context, found []*agent, deployments []appsv1.Deployment) (*around, error) {
	s := &around{pods: map[string]*podList{}, egress: map[string][]networkingv1.NetworkPolicy{}, plugins: map[string][]*egressPolicy{}}
	var err error
	if s.rights, err = w.readRights(ctx); err != nil {
		return nil, err
	}
	if s.accounts, err = w.accountUsers(ctx, deployments); err != nil {
		return nil, err
	}
	for _, a := range found {
		if s.pods[a.Namespace] != nil {
			continue
		}
		if s.pods[a.Namespace], err = w.pods(ctx, a.Namespace); err != nil {
			return nil, err
		}
		if s.egress[a.Namespace], err = w.egressPolicies(ctx, a.Namespace); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		return s, nil
	}
	for _, kind := range w.pluginKinds() {
		policies, err := w.pluginEgress(ctx, kind, sortedNames(s.pods))
		if err != nil {
			return nil, err
		}
		for _, p := range policies {
			s.plugins[p.namespace] = append(s.plugins[p.namespace], p)
		}
	}
	return s, nil
}

// namespacesOf are the namespaces of agents and of their releases, sorted.
func namespacesOf(agents []*agent) []string {
	var out []string
	for _, a := range agents {
		out = append(out, a.Namespace)
		if ns, name := releaseOf(a.deployment.ObjectMeta); name != "" {
			out = append(out, ns)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// identify gives every agent its id: namespace and release, or, without Helm or
// where another agent would have the same id, namespace and Deployment.
func (w *witness) identify(found []*agent) {
	for _, a := range found {
		_, name := releaseOf(a.deployment.ObjectMeta)
		a.InstalledBy = "manifest"
		if name != "" {
			a.InstalledBy, a.Release = "helm", name
		}
		a.ID = a.Namespace + "/" + cmp.Or(name, a.Workload)
	}
	byWorkload := func(a *agent) string { return a.Namespace + "/" + a.Workload }
	for more := true; more; { // one that moves may move another
		more = false
		for _, group := range groups(found, func(a *agent) string { return a.ID }) {
			for _, a := range group {
				if a.ID == byWorkload(a) {
					continue
				}
				what := "several agents carry the name of release %s/%s"
				if slices.ContainsFunc(group, func(o *agent) bool { return o.Release != a.Release }) {
					what = "another agent has the name of release %s/%s"
				}
				a.ID, more = byWorkload(a), true
				w.find(AmbiguousRelease.Finding(a.ID, a.where(""), fmt.Sprintf(what, a.Namespace, a.Release)))
			}
		}
	}
	for _, a := range found {
		a.env.id = a.ID
	}
}

// assemble fills in one agent from the cluster.
func (w *witness) assemble(ctx context.Context, a *agent, storage *helm.Storage, around *around) error {
	rights, pods := around.rights, around.pods[a.Namespace]
	if err := w.readHelm(ctx, a, storage); err != nil {
		return err
	}
	if err := w.readArguments(ctx, a); err != nil {
		return err
	}
	if err := w.readContainer(ctx, a); err != nil {
		return err
	}
	if err := w.readRelease(ctx, a); err != nil {
		return err
	}
	if err := w.readCredential(ctx, a); err != nil {
		return err
	}
	if err := w.readCluster(ctx, a); err != nil {
		return err
	}
	if err := w.readDecryption(ctx, a); err != nil {
		return err
	}
	if err := w.readIdentity(ctx, a); err != nil {
		return err
	}
	w.find(a.pluginEgressOf(slices.Concat(around.plugins[a.Namespace], around.plugins[""]))...)
	if err := w.readWays(a, around.egress[a.Namespace]); err != nil {
		return err
	}
	if err := w.missingSecrets(ctx, a); err != nil {
		return err
	}

	// Who it is and what it may do.
	if rights.unknown != "" {
		a.Unknown = append(a.Unknown, "confinement")
	} else {
		a.Rights = rights.of(a.Namespace, a.ServiceAccount, func(kind, namespace, name string, meta metav1.ObjectMeta) bool {
			if a.release.owns(kind, namespace, name) {
				return true
			}
			ns, rel := releaseOf(meta)
			return a.Release != "" && rel == a.Release && (ns == a.Namespace || ns == "")
		})
		a.Confinement = confinement(a.Rights)
	}
	self := "Deployment/" + a.Namespace + "/" + a.Workload
	w.sharedAccount(a, around.accounts)
	if len(a.AllowedNamespaces) > 0 && a.Confinement.Kind == "cluster-admin" {
		w.find(Confined.Finding(a.ID, a.where("--k8s-allow-namespace"), "the agent keeps to its list of namespaces by itself; its account is cluster-admin"))
	}

	if err := w.readRunning(ctx, a, pods); err != nil {
		return err
	}
	if a.Replicas > 1 {
		w.find(ManyReplicas.Finding(a.ID, self, fmt.Sprintf("the Deployment asks for %d pods", a.Replicas)))
	}
	holder, err := pods.livePod(a.deployment)
	if err != nil {
		return fmt.Errorf("read the selector of %s: %w", self, err)
	}
	a.Requests = requests(holder)
	a.Synced.Behind = -1
	return nil
}

// asked is what a container asks for: its limit of what it has no request for, as the
// API server takes it in Pods.
func asked(c *corev1.Container) corev1.ResourceList {
	out := corev1.ResourceList{}
	maps.Copy(out, c.Resources.Limits)
	maps.Copy(out, c.Resources.Requests)
	return out
}

// requests sums up what pods hold: their containers, with those sidecars that are init containers which
// go on, or an init container that asks for more beside the sidecars before it; or what the pod
// itself asks for in place of these; and what the pods themselves cost (kubernetes: component-helpers, resource/helpers.go).
func requests(pods ...*corev1.PodSpec) migrate.Requests {
	sum := corev1.ResourceList{}
	for _, p := range pods {
		for name, q := range reserved(p) {
			total := sum[name]
			total.Add(q)
			sum[name] = total
		}
	}
	text := func(name corev1.ResourceName) string {
		if q, ok := sum[name]; ok && q.Cmp(resource.Quantity{}) > 0 {
			return q.String()
		}
		return ""
	}
	return migrate.Requests{CPU: text(corev1.ResourceCPU), Memory: text(corev1.ResourceMemory)}
}

// reserved is what is reserved for a pod.
func reserved(p *corev1.PodSpec) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		var sidecars, most, held resource.Quantity
		for i := range p.InitContainers {
			c := &p.InitContainers[i]
			begins := asked(c)[name]
			begins.Add(sidecars)
			if isSidecar(c) {
				sidecars = begins
			}
			if begins.Cmp(most) > 0 {
				most = begins
			}
		}
		for i := range p.Containers {
			held.Add(asked(&p.Containers[i])[name])
		}
		held.Add(sidecars)
		if most.Cmp(held) > 0 {
			held = most
		}
		if own := p.Resources; own != nil { // counts in place of its containers
			if q, ok := own.Requests[name]; ok {
				held = q.DeepCopy()
			} else if q, ok := own.Limits[name]; ok && held.IsZero() {
				held = q.DeepCopy()
			}
		}
		held.Add(p.Overhead[name])
		out[name] = held
	}
	return out
}

// readArguments decodes the command line.
func (w *witness) readArguments(ctx context.Context, a *agent) error {
	args, offset, hidden := commandLine(a.env.container)
	if hidden != "" {
		w.find(ShellArguments.Finding(a.ID, a.where("command"), hidden))
	}
	open := map[int]string{} // why an argument is not known
	for i := range args {
		if a.env.declared && strings.Contains(args[i], placeholder) {
			open[i] = cmp.Or(a.env.why, maySubstitute)
		}
	}
	expanded, rawURL, err := a.env.expandArguments(ctx, args)
	if err != nil {
		return err
	}
	a.rawURL = knownText(rawURL)
	config, settings, findings, anyFlag := parseOpen(expanded, open)
	for i := range settings {
		for j := range settings[i].From {
			settings[i].From[j].Where = a.where(argument(settings[i].From[j].Where, offset))
		}
	}
	for _, f := range findings {
		if f.Code == flux1.NoURL.Name && hidden != "" {
			continue // hidden in what starts fluxd, which is reported
		}
		f.Subject, f.Repository, f.Where = a.ID, a.ID, a.where(argument(f.Where, offset))
		w.find(f)
	}
	if hidden != "" || anyFlag != "" {
		forgetAll(&config)
	}
	a.config = config
	configure(&a.Flux1Agent, &config, settings)
	if a.env.kubeconfig != "" && a.DefaultNamespace == "" {
		a.Unknown = append(a.Unknown, "defaultNamespace")
	} else if a.DefaultNamespace == "" && !slices.Contains(a.Unknown, "defaultNamespace") {
		ns, err := a.env.fallbackNamespace(ctx)
		if err != nil {
			return err
		}
		if ns == "" {
			a.Unknown = append(a.Unknown, "defaultNamespace")
		}
		a.DefaultNamespace = ns
	}
	return nil
}

// commandLine is what a container gives fluxd: what stands behind the program's
// name in its command, of which there are offset, and its args; where args name
// the program, what follows there, and offset is how many less than none. Where a
// shell or another program starts fluxd, hidden says so: then there may be
// arguments that are not seen, and those that are may have another meaning.
func commandLine(c *corev1.Container) (args []string, offset int, hidden string) {
	if len(c.Command) == 0 {
		return c.Args, 0, "" // the image's own entry point is fluxd
	}
	isFlag := func(s string) bool { return strings.HasPrefix(s, "--") && s != "--" }
	named := func(words []string) int {
		return slices.IndexFunc(words, func(s string) bool { return path.Base(s) == "fluxd" })
	}
	words := slices.Concat(c.Command, c.Args)
	// What starts it stands before the first flag, wherever that is.
	start := words
	if i := slices.IndexFunc(words, isFlag); i >= 0 {
		start = words[:i]
	}
	i := named(c.Command)
	if j := named(start) - len(c.Command); i < 0 && j >= 0 {
		i = j + len(c.Command)
		start, args, offset = words[:i], c.Args[j+1:], -(j + 1)
	} else if i >= 0 {
		start, args, offset = words[:i], slices.Concat(c.Command[i+1:], c.Args), len(c.Command)-i-1
	} else { // what looks like a flag
		for _, s := range c.Command {
			if isFlag(s) {
				args = append(args, s)
			}
		}
		offset = len(args)
		args = append(args, c.Args...)
		hidden = notFluxd(c.Command[0])
	}
	if slices.ContainsFunc(start, func(s string) bool { return slices.Contains(shells, path.Base(s)) }) {
		hidden = "fluxd is started by a shell"
		if !namesFluxd(c) {
			hidden = "the container's command is a shell, in which no fluxd is seen; " + notSeen
		}
	}
	return args, offset, hidden
}

// notFluxd says that a container runs a program that is not known to be fluxd. What may be
// secret in its name is not told.
func notFluxd(program string) string {
	switch {
	case knownText(program) == "":
		return "which program the container's command is, is not known; " + notSeen
	case strings.ContainsAny(program, " \t\n=$"):
		program = "another program"
	}
	return "the container's command is " + flux1.DisplayURL(program) + ", which is not fluxd; " + notSeen
}

// notSeen is what is unknown where a container's command is not fluxd itself.
const notSeen = "whether it starts fluxd, and with what arguments, is not known"

// shells are programs that may start fluxd with a line of their own language.
var shells = []string{"sh", "bash", "ash", "dash", "zsh", "ksh"}

// forgetAll makes all of a configuration unknown.
func forgetAll(c *flux1.Config) {
	for _, p := range configParts {
		c.Forget(p.name)
	}
}

// configure fills in what a configuration of fluxd says of an agent, from
// whichever witness it is. What the configuration does not know is added to
// the agent's Unknown.
func configure(a *migrate.Flux1Agent, c *flux1.Config, settings []migrate.Setting) {
	a.Settings = append([]migrate.Setting{}, settings...)
	a.Unknown = append(a.Unknown, c.Unknown...)
	a.Git = migrate.AgentGit{
		URL: c.URL.String(), Branch: c.Branch, Paths: c.Paths,
		PollInterval: metav1.Duration{Duration: c.PollInterval}, Timeout: metav1.Duration{Duration: c.GitTimeout},
		ReadOnly: c.ReadOnly, SecretName: c.SecretName, SyncTag: c.SyncTag,
	}
	if a.Git.Paths == nil {
		a.Git.Paths = []string{}
	}
	a.Sync = migrate.AgentSync{
		Interval: metav1.Duration{Duration: c.SyncInterval}, Timeout: metav1.Duration{Duration: c.SyncTimeout},
		GarbageCollection: c.GarbageCollection, State: c.State,
	}
	a.ManifestGeneration, a.SOPS, a.ImageAutomation = c.ManifestGeneration, c.SOPS, c.ImageAutomation
	a.AllowedNamespaces = c.AllowedNamespaces
	if a.AllowedNamespaces == nil {
		a.AllowedNamespaces = []string{}
	}
	a.DefaultNamespace = c.DefaultNamespace
}

// credentialsIn is the part "user:password@" of a URL.
func credentialsIn(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest[:strings.LastIndex(rest, "@")+1]
}

// argument renames "args[3]" where the command holds the first arguments.
func argument(where string, offset int) string {
	var n int
	if _, err := fmt.Sscanf(where, "args[%d]", &n); err != nil {
		return where
	}
	if n < offset {
		return fmt.Sprintf("command argument %d", n)
	}
	return fmt.Sprintf("args[%d]", n-offset)
}

// readContainer accounts for what stands around the arguments.
func (w *witness) readContainer(ctx context.Context, a *agent) error {
	listed, err := a.env.listed(ctx)
	if err != nil {
		return err
	}
	readSurroundings(&a.Flux1Agent, &a.config, &a.deployment.Spec.Template.Spec, a.env.container, listed, func(where string) migrate.Origin {
		return migrate.Origin{Witness: "cluster", Where: a.where(where)}
	}, w.find)
	return nil
}

// knownText is a text; empty if a part of it is not known.
func knownText(text string) string {
	if strings.Contains(text, placeholder) {
		return ""
	}
	return text
}

// withoutPlaceholder is a text for people, in which it is said what is not known.
func withoutPlaceholder(text string) string {
	return strings.ReplaceAll(text, placeholder, "(not known)")
}

// withReferred adds to each set of variables those that they refer to, which may themselves refer to some.
func withReferred(env []corev1.EnvVar, sets ...map[string]bool) {
	refers := map[string][]string{}
	for _, v := range env {
		refers[v.Name] = append(refers[v.Name], flux1.Symbols(v.Value)...)
	}
	for _, in := range sets {
		for todo := slices.Collect(maps.Keys(in)); len(todo) > 0; {
			name := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for _, s := range refers[name] {
				if !in[s] {
					in[s] = true
					todo = append(todo, s)
				}
			}
		}
	}
}

// readSurroundings accounts for what stands around an agent's arguments, from
// whichever witness it is: environment, volumes, other containers. Of what comes by
// envFrom, listed are the variables that are known.
func readSurroundings(a *migrate.Flux1Agent, config *flux1.Config, pod *corev1.PodSpec, container *corev1.Container, listed []listedVariable, origin func(where string) migrate.Origin, find func(...migrate.Finding)) {
	digest := ""
	add := func(name, value string, fate migrate.Fate, to, why, where string) {
		s := migrate.Setting{Name: name, Value: value, Fate: fate, To: to, Why: why, From: []migrate.Origin{origin(where)}}
		if value == "***" {
			s.Digest = digest
		}
		a.Settings = append(a.Settings, s)
	}
	byURL, inArguments := map[string]bool{}, map[string]bool{}
	for _, s := range flux1.Symbols(string(config.URL)) {
		byURL[s] = true
	}
	for _, arg := range slices.Concat(container.Command, container.Args) {
		for _, s := range flux1.Symbols(arg) {
			inArguments[s] = true
		}
	}
	withReferred(container.Env, byURL, inArguments)
	bare, inURL, _ := flux1.FluxV2URL(string(config.URL)) // one that cannot be used is reported with the arguments
	all := &corev1.Container{Image: container.Image}
	for _, v := range listed { // what stands in env counts before them
		all.Env = append(all.Env, v.EnvVar)
	}
	all.Env = append(all.Env, container.Env...)
	proxy := proxyVariable(bare, all)
	home := homeIn(all)
	if home == "" {
		find(GitConfig.Finding(a.ID, origin("env HOME").Where, "HOME, below which git looks for its configuration, is not known"))
	}
	variable := func(v corev1.EnvVar, where string) {
		value := "***"
		if digest = ""; strings.TrimPrefix(variablePart(v).value, "field ") != "" && !strings.Contains(v.Value, placeholder) {
			digest = migrate.Digest(variablePart(v).value)
		}
		fate, to, why, ofGit := flux1.GitVariable(container.Image, v.Name, proxy, a.SOPS || a.ManifestGeneration)
		switch {
		case v.Name == "KUBECONFIG":
			add("env."+v.Name, knownText(v.Value), migrate.Carried, "the namespaces of objects that name none", "names the kubeconfig whose namespace is the default", where)
		case byURL[v.Name]:
			add("env."+v.Name, value, migrate.Carried, "GitRepository.spec.secretRef", "stands in the URL", where)
		case inArguments[v.Name]:
			add("env."+v.Name, value, migrate.Carried, "the settings whose arguments refer to it", "", where)
		case ofGit:
			add("env."+v.Name, value, fate, to, why, where)
		case a.SOPS && (v.Name == ageKeyVariable || v.Name == ageKeyFileVariable):
			add("env."+v.Name, value, migrate.Unknown, settledByFiles, "sops looks for age keys there; one that decrypts a file is carried over where a Secret or the Deployment itself holds it", where)
		case a.ManifestGeneration || a.SOPS:
			add("env."+v.Name, value, migrate.Unknown, "the conversion of generated or encrypted files", "commands and decryption may read it", where)
		default:
			add("env."+v.Name, value, migrate.Dropped, "", "fluxd itself reads no such variable", where)
		}
	}
	for _, v := range container.Env {
		variable(v, "env "+v.Name)
	}
	for _, v := range listed {
		variable(v.EnvVar, "envFrom "+v.from)
	}
	// What env does not set may come out of envFrom.
	elsewhere := maps.Clone(inArguments)
	for _, v := range container.Env {
		delete(elsewhere, v.Name)
	}
	for _, f := range container.EnvFrom {
		name := envFromName(f)
		switch {
		case a.SOPS:
			add("envFrom", name, migrate.Unknown, settledByFiles, "decryption may read a variable of it", strings.TrimSpace("envFrom "+name))
		case a.ManifestGeneration:
			add("envFrom", name, migrate.Unknown, "the conversion of generated files", "commands may read a variable of it", strings.TrimSpace("envFrom "+name))
		case slices.ContainsFunc(slices.Collect(maps.Keys(elsewhere)), func(name string) bool { return strings.HasPrefix(name, f.Prefix) }):
			add("envFrom", name, migrate.Carried, "the settings whose arguments refer to it", "", strings.TrimSpace("envFrom "+name))
		case slices.ContainsFunc(listed, func(v listedVariable) bool { return v.from == name }):
			add("envFrom", name, migrate.Dropped, "", "no argument refers to it, and each variable of it is listed by itself", strings.TrimSpace("envFrom "+name))
		default:
			add("envFrom", name, migrate.Unknown, migrate.ByPerson, "no argument refers to it; a proxy of git's that it names is carried, and little else of it reaches git", strings.TrimSpace("envFrom "+name))
		}
	}
	for i, m := range container.VolumeMounts {
		at := path.Clean(m.MountPath)
		name, where := "volume."+m.Name, "volumeMount "+at
		switch {
		case at == path.Dir(keyFile) || at == keyFile:
			add(name, at, migrate.Carried, "GitRepository.spec.secretRef", "the deploy key", where)
		case at == "/var/fluxd/keygen":
			add(name, at, migrate.Dropped, "", "room for new keys", where)
		case at == "/root/.kubectl" || at == "/root/.kube":
			add(name, at, migrate.Carried, "the namespaces of objects that name none", "the kubeconfig", where)
		case kubeconfigIn(all) != "" && bringsFile(pod, container, i, kubeconfigIn(all)):
			add(name, at, migrate.Carried, "the namespaces of objects that name none", "the kubeconfig that KUBECONFIG names", where)
		case config.KubeConfig != nil && *config.KubeConfig != "" && bringsFile(pod, container, i, path.Clean(*config.KubeConfig)):
			add(name, at, migrate.Dropped, "", "the kubeconfig of --kube-config; where it may be of another cluster, a finding says so", where)
		case (at == "/root/.ssh" || isBelow(at, "/root/.ssh")) && m.Name == opaqueSSH(pod, container):
			add(name, at, migrate.Unknown, migrate.ByFinding, "it holds neither a ConfigMap nor a Secret, so that its files cannot be told", where)
		case at == "/root/.ssh" || isBelow(at, "/root/.ssh"):
			add(name, at, migrate.Carried, "GitRepository.spec.secretRef", "known_hosts", where)
		case bringsFile(pod, container, i, gitConfigs(home)...):
			add(name, at, migrate.Dropped, "", GitConfig.Consequence+", which a finding asks about", where)
			says := "a git configuration is mounted at " + at
			if !slices.Contains(gitConfigs(home), at) && path.Base(at) != "git" {
				says = "a git configuration may be in what is mounted at " + at
			}
			find(GitConfig.Finding(a.ID, origin(where).Where, says))
		case home != "" && strings.HasPrefix(bare, "ssh") && at == path.Join(home, netrcName):
			add(name, at, migrate.Dropped, "", "it is a .netrc, in which git looks for no key", where)
		case home != "" && strings.HasPrefix(bare, "http") && bringsFile(pod, container, i, path.Join(home, netrcName)) && inURL.Password != "":
			add(name, at, migrate.Dropped, "", "it is a .netrc, and git takes the password from the URL", where)
		case home != "" && strings.HasPrefix(bare, "http") && bringsFile(pod, container, i, path.Join(home, netrcName)):
			add(name, at, migrate.Unknown, migrate.ByPerson, netrcWhy, where)
		case home != "" && home != imageHome && slices.Contains(append(gitConfigs(imageHome), path.Join(imageHome, netrcName)), at):
			add(name, at, migrate.Dropped, "", "git never saw it: it looks below HOME, which is "+home, where)
		case flux1.IsCAFolder(at):
			add(name, at, migrate.Carried, "GitRepository.spec.secretRef", "the certificates that the agent trusts, as ca.crt", where)
		case givesKeys(a, at):
			add(name, at, migrate.Unknown, settledByFiles, "the agent looks for keys there; one that decrypts a file is carried over where a Secret holds it", where)
		case strings.HasPrefix(at, "/root/gpg-import"):
			add(name, at, migrate.Dropped, "", "keys for signatures and decryption, which have findings of their own where they are used", where)
		case strings.HasPrefix(at, "/dockercfg") || strings.HasPrefix(at, "/etc/kubernetes"):
			add(name, at, migrate.Dropped, "", "credentials for image registries", where)
		case strings.HasPrefix(at, "/var/run/secrets/"):
			add(name, at, migrate.Dropped, "", "an identity of the pod", where)
		default:
			add(name, at, migrate.Unknown, migrate.ByPerson, "fluxd itself reads nothing there; a command or another configuration may", where)
		}
	}
	for _, c := range lasting(pod) {
		if c.Name == container.Name {
			continue
		}
		name, image := withoutPlaceholder(c.Name), withoutPlaceholder(c.Image)
		add("container."+name, image, migrate.Dropped, "", "it ends with the agent; a finding says so", "container "+name)
		if alone := (&corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{*c}}}); fluxdIn(nil, alone) != nil {
			args, _, hidden := commandLine(c)
			other, _, _ := flux1.ParseArgs(args)
			if hidden != "" {
				forgetAll(&other)
			}
			runs, _ := seenToRun(c)
			find(SeveralFluxds.Finding(a.ID, origin("container "+name).Where, withoutPlaceholder(fmt.Sprintf("container %s %s a fluxd of its own, for %s, beside %s, for %s",
				name, runs, cmp.Or(other.URL.String(), "a repository that is not known"), container.Name, cmp.Or(config.URL.String(), "a repository that is not known")))))
			continue
		}
		code := Sidecar
		if n := imageName(image); n == "flux-recv" || n == "fluxcloud" {
			code = flux1.Notifications
		}
		find(code.Finding(a.ID, origin("container "+name).Where, fmt.Sprintf("container %s (%s) runs beside fluxd", name, imageName(image))))
	}
	for _, f := range unknownPodFields(pod, container) {
		add(f.name, f.value, migrate.Unknown, migrate.ByPerson, f.why, f.name)
	}
	for _, c := range pod.InitContainers {
		if isSidecar(&c) {
			continue // as the others that run
		}
		name := withoutPlaceholder(c.Name)
		add("initContainer."+name, withoutPlaceholder(c.Image), migrate.Unknown, migrate.ByPerson, "what it prepares for fluxd is not known", "initContainer "+name)
	}
}

// readCredential finds where the agent's Git credentials stand, and the name
// of the set that it marks.
func (w *witness) readCredential(ctx context.Context, a *agent) error {
	if slices.Contains(a.Unknown, "git.url") {
		a.setMissing = "git.url"
		return nil
	}
	if err := w.readAccess(ctx, a); err != nil {
		return err
	}
	var err error
	a.set, a.setMissing, err = setOf(ctx, a.env, &a.config)
	return err
}

// readAccess finds what the agent gives to its Git server, and what stands
// between them.
func (w *witness) readAccess(ctx context.Context, a *agent) error {
	if a.config.URL == "" || slices.Contains(a.Unknown, "git.url") {
		return nil
	}
	bare, inURL, err := flux1.FluxV2URL(string(a.config.URL))
	if err != nil {
		return nil // ParseArgs has reported it
	}
	if inURL.Scheme == "ssh" {
		if err := w.readKey(ctx, a, bare); err != nil {
			return err
		}
	} else {
		a.Credential.Kind = "none"
		if inURL.Password == "" {
			user, known, err := a.env.fill(ctx, inURL.Username)
			if err != nil {
				return err
			}
			if user, err = url.PathUnescape(user); err != nil || !known {
				user = "" // to whom any password of the server's may belong
			}
			carried, err := w.readNetrc(ctx, a, bare, user, known)
			if err != nil {
				return err
			}
			if carried {
				return w.reach(ctx, a, bare)
			}
		}
		if inURL.Username != "" || inURL.Password != "" {
			a.Credential.Kind = "basic"
			if a.Credential.Username, err = w.value(ctx, a, inURL.Username, true, inURL.UserMayBeToken()); err != nil {
				return err
			}
			if a.Credential.Password, err = w.value(ctx, a, inURL.Password, false, true); err != nil {
				return err
			}
		}
	}
	return w.reach(ctx, a, bare)
}

// value says where one part of the URL's credentials stands.
func (w *witness) value(ctx context.Context, a *agent, written string, isUser, secret bool) (migrate.Value, error) {
	names := flux1.Symbols(written)
	switch {
	case written == "":
		return migrate.Value{}, nil // a token alone: a user name without a password
	case len(names) == 0 && credentialsIn(a.rawURL) == "":
		// The whole URL came out of a variable that is no secret.
		w.find(CredentialPlace.Finding(a.ID, a.where("--git-url"), "the URL with its credentials stands in plain text in the agent's environment"))
		return migrate.Value{}, nil
	case len(names) == 0 && isUser && !secret:
		return migrate.Value{Literal: flux1.Literal(written), PercentEncoded: true}, nil
	case len(names) == 0:
		return migrate.Value{Argument: true, PercentEncoded: true}, nil
	case written != "$("+names[0]+")":
		w.find(CredentialPlace.Finding(a.ID, a.where("--git-url"), "a part of the URL's credentials is put together from several pieces"))
		return migrate.Value{}, nil
	}
	v, err := a.env.look(ctx, names[0])
	if err != nil {
		return migrate.Value{}, err
	}
	missing := func(where, message string) (migrate.Value, error) {
		w.find(CredentialMissing.Finding(a.ID, where, message))
		return migrate.Value{}, nil
	}
	switch {
	case v == nil:
		return missing(a.where("--git-url"), fmt.Sprintf("nothing provides $(%s)", names[0]))
	case v.unreadable:
		return migrate.Value{}, nil // reported as a missing right
	case v.unknown != "" && a.env.declared:
		w.find(CredentialInCluster.Finding(a.ID, a.where("env "+names[0]), fmt.Sprintf("where $(%s) stands is not known: %s", names[0], v.unknown)))
		return migrate.Value{}, nil
	case v.unknown != "":
		return missing(a.where("env "+names[0]), fmt.Sprintf("$(%s) is unknown: %s", names[0], v.unknown))
	case v.secret != nil && a.env.declared:
		return migrate.Value{Secret: v.secret, PercentEncoded: true}, nil
	case v.secret != nil:
		held, err := a.env.secret(ctx, v.secret.Name, "whether the Git credential is there")
		if err != nil && err != errUnreadable { // which is reported as a missing right
			return migrate.Value{}, err
		}
		if err == nil && (held == nil || len(held.Data[v.secret.Key]) == 0) {
			return missing("Secret/"+v.secret.Namespace+"/"+v.secret.Name, fmt.Sprintf("Secret %s/%s has no value under key %s", v.secret.Namespace, v.secret.Name, v.secret.Key))
		}
		return migrate.Value{Secret: v.secret, PercentEncoded: true}, nil
	}
	if isUser && !secret {
		return migrate.Value{Literal: v.value, PercentEncoded: true}, nil
	}
	w.find(CredentialPlace.Finding(a.ID, v.where, fmt.Sprintf("the password or token $(%s) stands in plain text (%s)", names[0], v.where)))
	return migrate.Value{}, nil
}

// readKey finds the deploy key and the trusted host keys.
func (w *witness) readKey(ctx context.Context, a *agent, bare string) error {
	a.Credential.Kind = "ssh"
	key := migrate.SecretKey{Namespace: a.Namespace}
	key.Name, key.Key = mountedKey(a.env.pod, a.env.container, &a.config)
	switch unknown := a.env.unkeyed; {
	case unknown != "", key.Name == "" && a.env.declared:
		key = migrate.SecretKey{}
		w.find(CredentialInCluster.Finding(a.ID, a.where("volumeMounts"), "which Secret holds the deploy key is not known"+strings.TrimSuffix(": "+unknown, ": ")))
	case key.Name == "" && !slices.Contains(a.Unknown, "git.secretName"):
		w.find(CredentialMissing.Finding(a.ID, a.where(""), "no Secret is named for the deploy key"))
	}
	s, err := a.env.secret(ctx, key.Name, "the deploy key")
	switch {
	case key.Name == "":
	case errors.Is(err, errUnreadable):
	case err != nil:
		return err
	case s == nil:
		w.find(CredentialMissing.Finding(a.ID, "Secret/"+key.Namespace+"/"+key.Name, fmt.Sprintf("there is no Secret %s/%s for the deploy key", key.Namespace, key.Name)))
	case len(s.Data[key.Key]) == 0 && len(s.Data["identity"]) > 0:
		key.Key = "identity" // where the daemon itself writes a key it made (flux: pkg/cluster/kubernetes/sshkeyring.go)
	case len(s.Data[key.Key]) == 0:
		w.find(CredentialMissing.Finding(a.ID, "Secret/"+key.Namespace+"/"+key.Name, fmt.Sprintf("Secret %s/%s has no key %q with a deploy key", key.Namespace, key.Name, key.Key)))
	}
	a.Credential.Identity = key
	known, _, _, err := a.env.file(ctx, "/root/.ssh/known_hosts", "the trusted host keys")
	if err != nil && !errors.Is(err, errUnreadable) {
		return err
	}
	_, found, at, err := a.env.locate(ctx, sshConfig, "the ssh configuration")
	if err != nil && !errors.Is(err, errUnreadable) {
		return err
	}
	if found {
		w.find(SSHConfig.Finding(a.ID, at, "an ssh configuration is mounted at "+sshConfig))
	}
	if name := opaqueSSH(a.env.pod, a.env.container); name != "" {
		w.find(SSHConfig.Finding(a.ID, a.where("volume "+name), opaqueSSHWords(name)))
	}
	a.Credential.KnownHosts = withPublishedKeys(string(known), bare)
	return nil
}
