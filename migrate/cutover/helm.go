package cutover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/chart"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// Kinds of engine.
const (
	engineBundled  = "bundled"
	engineFlux2    = "flux2"
	engineExisting = "existing"
)

// Engine says how step 0 brings the ClusterAgent into the cluster. Which
// engine it is says the plan.
type Engine struct {
	// Image of the bundled agent as pushed by the user, "repository[:tag]" or
	// "repository@digest".
	Image string
	// Chart replaces the embedded one; required for the engine "flux2".
	Chart *helmchart.Chart
	// Values for the chart; the flags that the plan demands stand over them.
	Values map[string]any
	// Limit until it is Ready; 0 means 5 m.
	Limit time.Duration

	// definitions of the chart, as step 0 found them.
	definitions []definition
}

// install is step 0: the ClusterAgent is there, by us or found, and Ready.
func (e Engine) install(ctx context.Context, s *session, want migrate.ClusterAgent) (err error) {
	begun := time.Now()
	s.emit(Event{At: begun, Step: "agent", State: EventStarted})
	defer func() {
		event := Event{At: time.Now(), Step: "agent", State: EventDone, Elapsed: time.Since(begun)}
		if err != nil {
			event.State, event.Message = EventFailed, err.Error()
			err = fmt.Errorf("install the ClusterAgent: %w", err)
		}
		s.emit(event)
	}()
	if want.Engine == engineExisting {
		if err := e.found(ctx, s, want); err != nil {
			return err
		}
		return s.noteAgent(ctx, func(a *agentRecord) { a.Engine, a.State = engineExisting, Done })
	}
	config, err := helmConfig(s.c, want.Namespace)
	if err != nil {
		return err
	}
	last, err := lastRelease(config, want.Release)
	if err != nil {
		return err
	}
	if last != nil {
		if err := e.checkChart(want, last); err != nil {
			return err
		}
	}
	found, err := installedEngines(ctx, s.c)
	if err != nil {
		return err
	}
	if others := otherEngines(found, want, last != nil); len(others) > 0 {
		return fmt.Errorf("%w: Flux v2 controllers already run (%s): use them with --engine existing, or remove them", ErrBlocked, strings.Join(others, ", "))
	}
	loaded, err := e.chart(want)
	if err != nil {
		return err
	}
	if e.definitions, err = judgeDefinitions(ctx, s, loaded, want); err != nil {
		return err
	}
	if err := s.dies("agent", BeforeStarted); err != nil {
		return err
	}
	switch {
	case last == nil || last.Version == 1 && last.Info.Status != release.StatusDeployed || installed(s.record.Agent, want) && s.record.Agent.State == Undoing:
		err = e.installRelease(ctx, s, config, want, last)
	default:
		err = e.useRelease(ctx, s, config, want, last, lacking(releaseEngines(found, want), want))
	}
	if err != nil {
		return err
	}
	if err := e.awaitReady(ctx, s.c, want); err != nil {
		return err
	}
	// What runs counts, not what was asked for.
	if found, err = installedEngines(ctx, s.c); err != nil {
		return err
	}
	if lacks := lacking(releaseEngines(found, want), want); len(lacks) > 0 {
		return fmt.Errorf("%w: %s, although the Helm release %s/%s was to see to it: look at the release's values", ErrBlocked, listed(lacks), want.Namespace, want.Release)
	}
	if err := s.noteAgent(ctx, func(a *agentRecord) { a.State = Done }); err != nil {
		return err
	}
	return s.dies("agent", AfterDone)
}

func (s *session) noteAgent(ctx context.Context, change func(*agentRecord)) error {
	record, err := s.store.changeRun(ctx, func(r *runRecord) {
		change(&r.Agent)
		r.Agent.At, r.Agent.By = time.Now().UTC(), s.who.who()
	})
	if err == nil {
		s.record = record
	}
	return err
}

// found checks that somebody else's engine can be used: that its kinds are
// served in the version that is written, with the fields that count, that it is
// at work for the namespace in which objects are made (within e.Limit), and that
// it keeps tenants apart as the plan demands. Nothing of somebody else's is
// changed.
func (e Engine) found(ctx context.Context, s *session, want migrate.ClusterAgent) error {
	for _, name := range neededCRDs {
		crd, err := s.c.Get(ctx, crdKind, "", name)
		if cluster.IsGone(err) {
			return fmt.Errorf("%w: the engine is to be an existing one, and the cluster does not serve %s", ErrBlocked, name)
		}
		if err != nil {
			return err
		}
		if err := usable(crd); err != nil {
			return err
		}
	}
	var found []engine
	limit := e.limit()
	err := cluster.Wait(ctx, 200*time.Millisecond, limit, func(ctx context.Context) (bool, string, error) {
		var err error
		if found, err = installedEngines(ctx, s.c); err != nil {
			return false, "", err
		}
		missing, passing := atWork(found, want.Namespace)
		if missing == "" {
			return true, "", nil
		}
		if !passing {
			return false, "", fmt.Errorf("%w: the engine is to be an existing one, and %s", ErrBlocked, missing)
		}
		return false, "the engine is to be an existing one, and " + missing, nil
	})
	if err != nil {
		return err
	}
	if lacks := lacking(found, want); len(lacks) > 0 {
		return fmt.Errorf("%w: some agents are confined, so no tenant may reach beyond its own: %s; add it to the arguments where the engine is declared (Flux calls this its multi-tenancy lockdown) and run again", ErrBlocked, listed(lacks))
	}
	return nil
}

// checkChart refuses a release of the wanted name that is of another chart:
// it is somebody's, and neither upgraded nor taken for the ClusterAgent.
func (e Engine) checkChart(want migrate.ClusterAgent, last *release.Release) error {
	name := ""
	if last.Chart != nil {
		name = last.Chart.Name()
	}
	expected := bundledAgent
	switch {
	case e.Chart != nil:
		expected = e.Chart.Name()
	case want.Engine == engineFlux2:
		expected = "flux2"
	}
	if name == expected {
		return nil
	}
	return fmt.Errorf("%w: the Helm release %s/%s is of the chart %q, not of %q: it is not the ClusterAgent's; remove it, or install it under another name", ErrBlocked, want.Namespace, want.Release, name, expected)
}

// Descriptions of the revisions that fluxover wrote.
const (
	installedByUs = "installed by fluxover"
	upgradedByUs  = "upgraded by fluxover"
)

// isOurs reports whether a release is for fluxover to change: it was
// installed by it in the run under way, or fluxover wrote its newest finished
// revision. A release that a person or Terraform installed or changed since
// is theirs, though the chart is ours: an upgrade would be undone by them.
func isOurs(config *action.Configuration, record agentRecord, want migrate.ClusterAgent) (bool, error) {
	finished, err := finishedRelease(config, want.Release)
	if err != nil {
		return false, err
	}
	if finished == nil {
		// A first install that did not come to its end: only the record knows.
		return record.Installed && record.Namespace == want.Namespace && record.Release == want.Release && record.State != Undone && record.State != "", nil
	}
	return finished.Info.Description == installedByUs || finished.Info.Description == upgradedByUs, nil
}

// finishedRelease is the newest revision that is or was deployed; nil if
// there is none.
func finishedRelease(config *action.Configuration, name string) (*release.Release, error) {
	history, err := config.Releases.History(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the Helm release %s: %w", name, err)
	}
	var newest *release.Release
	for _, r := range history {
		if s := r.Info.Status; (s == release.StatusDeployed || s == release.StatusSuperseded) && (newest == nil || r.Version > newest.Version) {
			newest = r
		}
	}
	return newest, nil
}

// useRelease takes a release that is there. One of ours that lacks a flag, or
// whose upgrade was cut off, is upgraded; somebody else's is refused then.
func (e Engine) useRelease(ctx context.Context, s *session, config *action.Configuration, want migrate.ClusterAgent, last *release.Release, lacks []lack) error {
	deployed := last.Info.Status == release.StatusDeployed
	take := func() error {
		if s.record.Agent.State != "" && s.record.Agent.State != Undone {
			return nil
		}
		return s.noteAgent(ctx, func(a *agentRecord) {
			*a = agentRecord{Engine: want.Engine, State: Started, Namespace: want.Namespace, Release: want.Release}
		})
	}
	if deployed && len(lacks) == 0 {
		if err := take(); err != nil {
			return err
		}
		return writeDefinitions(ctx, s, e.definitions)
	}
	ours, err := isOurs(config, s.record.Agent, want)
	if err != nil {
		return err
	}
	switch {
	case !ours && !deployed:
		return fmt.Errorf("%w: the Helm release %s/%s is %s and was not installed by fluxover: repair or remove it", ErrBlocked, want.Namespace, want.Release, last.Info.Status)
	case last.Info.Status.IsPending() && s.record.Agent.State != Started:
		return fmt.Errorf("%w: revision %d of the Helm release %s/%s is %s, and not by fluxover: somebody upgrades it now, or was cut off (\"helm rollback\" ends that)", ErrBlocked, last.Version, want.Namespace, want.Release, last.Info.Status)
	case !ours:
		return fmt.Errorf("%w: some agents are confined, so no tenant may reach beyond its own: %s; the Helm release %s/%s was not installed by fluxover: set the flags in its values where it is declared (agent.defaultServiceAccount, agent.noCrossNamespaceRefs) and run again",
			ErrBlocked, listed(lacks), want.Namespace, want.Release)
	}
	for _, l := range lacks {
		if l.flag == flagDefaultAccount && l.have != "" {
			return fmt.Errorf("%w: %s: somebody chose that account, and whoever relies on it would lose it; take the flag out of the values of the Helm release %s/%s and run again", ErrBlocked, l, want.Namespace, want.Release)
		}
	}
	if err := take(); err != nil {
		return err
	}
	return e.upgradeRelease(ctx, s, config, want, last)
}

// upgradeRelease upgrades our own release to the plan's flags. What it was
// given before stays, and so does each confining flag that its Deployments run
// with, whoever set it.
func (e Engine) upgradeRelease(ctx context.Context, s *session, config *action.Configuration, want migrate.ClusterAgent, last *release.Release) error {
	found, err := installedEngines(ctx, s.c)
	if err != nil {
		return err
	}
	finished, err := finishedRelease(config, want.Release)
	if err != nil {
		return err
	}
	before := map[string]any{}
	if finished != nil {
		maps.Copy(before, finished.Config)
	}
	wanted := want
	wanted.Args = keptFlags(releaseEngines(found, want), want.Args)
	loaded, values, err := e.chartAndValues(wanted)
	if err != nil {
		return err
	}
	if agent, ok := before["agent"].(map[string]any); ok {
		if extra, ok := agent["extraArgs"].([]any); ok {
			// They have values of their own, and what stands last would count.
			agent = maps.Clone(agent)
			agent["extraArgs"] = withoutFlags(extra, []any{flagDefaultAccount, flagOwnNamespace})
			before["agent"] = agent
		}
	}
	if image, ok := before["image"].(map[string]any); ok && e.Image != "" && want.Engine == engineBundled {
		image = maps.Clone(image)
		delete(image, "tag")
		delete(image, "digest") // it would count more than the new tag
		before["image"] = image
	}
	values = overRelease(before, values)
	if err := s.noteAgent(ctx, func(a *agentRecord) { a.State = Started }); err != nil {
		return err
	}
	if err := s.dies("agent", AfterStarted); err != nil {
		return err
	}
	if err := writeDefinitions(ctx, s, e.definitions); err != nil {
		return err
	}
	if last.Info.Status.IsPending() {
		// Our own, cut off in the middle: Helm would refuse for ever.
		if _, err := config.Releases.Delete(last.Name, last.Version); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
			return fmt.Errorf("clear the unfinished revision %d of %s/%s: %w", last.Version, want.Namespace, want.Release, err)
		}
	}
	upgrade := action.NewUpgrade(config)
	upgrade.Namespace, upgrade.ResetValues = want.Namespace, true
	upgrade.Description = upgradedByUs
	upgrade.SkipCRDs = true // see writeDefinitions
	upgrade.MaxHistory = 10
	if _, err := upgrade.RunWithContext(ctx, want.Release, loaded, values); err != nil {
		return fmt.Errorf("helm upgrade %s/%s: %w", want.Namespace, want.Release, err)
	}
	return s.dies("agent", BeforeDone)
}

// keptFlags are the plan's flags and those confining ones that the engines
// run with and that the plan says nothing of.
func keptFlags(found []engine, args []string) []string {
	kept := slices.Clone(args)
	has := func(flag string) bool {
		return slices.ContainsFunc(kept, func(arg string) bool { name, _, _ := strings.Cut(arg, "="); return name == flag })
	}
	for _, g := range found {
		if account, _ := g.flag(flagDefaultAccount, false); account != "" && !has(flagDefaultAccount) {
			kept = append(kept, flagDefaultAccount+"="+account)
		}
		if g.isOn(flagOwnNamespace, false, true) && !has(flagOwnNamespace) {
			kept = append(kept, flagOwnNamespace+"=true")
		}
	}
	return kept
}

// overRelease puts values over those that a release was given. In lists of
// arguments a flag of the new ones takes the place of the old one.
func overRelease(before, values map[string]any) map[string]any {
	out := map[string]any{}
	maps.Copy(out, before)
	for key, value := range values {
		out[key] = value
		switch now := value.(type) {
		case map[string]any:
			if old, ok := before[key].(map[string]any); ok {
				out[key] = overRelease(old, now)
			}
		case []any:
			if old, ok := before[key].([]any); ok && (key == "extraArgs" || key == "additionalArgs") {
				out[key] = append(withoutFlags(old, now), now...)
			}
		}
	}
	return out
}

// withoutFlags leaves out the arguments whose flags stand among others.
func withoutFlags(args, others []any) []any {
	flag := func(v any) string {
		text, _ := v.(string)
		name, _, _ := strings.Cut(text, "=")
		return name
	}
	return slices.DeleteFunc(slices.Clone(args), func(v any) bool {
		return slices.ContainsFunc(others, func(o any) bool { return flag(o) == flag(v) })
	})
}

func (e Engine) installRelease(ctx context.Context, s *session, config *action.Configuration, want migrate.ClusterAgent, last *release.Release) error {
	ours := installed(s.record.Agent, want)
	if last != nil && !ours {
		return fmt.Errorf("%w: the Helm release %s/%s is %s and was not installed by fluxover: repair or remove it", ErrBlocked, want.Namespace, want.Release, last.Info.Status)
	}
	loaded, values, err := e.chartAndValues(want)
	if err != nil {
		return err
	}
	if !ours {
		record := agentRecord{Engine: want.Engine, State: Started, Installed: true, Namespace: want.Namespace, Release: want.Release}
		for _, name := range neededCRDs {
			live, err := s.c.Get(ctx, crdKind, "", name)
			if err != nil && !cluster.IsGone(err) {
				return err
			}
			if err != nil || madeBy(live, s.run, want.Namespace, want.Release) {
				record.MadeCRDs = append(record.MadeCRDs, name)
			}
		}
		if _, err := s.c.Kube.CoreV1().Namespaces().Get(ctx, want.Namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			record.MadeNamespace = true
		} else if err != nil {
			return fmt.Errorf("read namespace %s: %w", want.Namespace, err)
		}
		if err := s.noteAgent(ctx, func(a *agentRecord) { *a = record }); err != nil {
			return err
		}
	} else if err := s.noteAgent(ctx, func(a *agentRecord) { a.State = Started }); err != nil {
		return err
	}
	if err := s.dies("agent", AfterStarted); err != nil {
		return err
	}
	if err := s.store.ensureNamespace(ctx, want.Namespace); err != nil {
		return err
	}
	if last != nil {
		if err := forgetRelease(config, want.Release); err != nil {
			return err
		}
	}
	if err := writeDefinitions(ctx, s, e.definitions); err != nil {
		return err
	}
	install := action.NewInstall(config)
	install.Namespace, install.ReleaseName = want.Namespace, want.Release
	install.SkipCRDs = true // see writeDefinitions
	install.TakeOwnership = ours
	install.Description = installedByUs
	if _, err := install.RunWithContext(ctx, loaded, values); err != nil {
		return fmt.Errorf("helm install %s/%s: %w", want.Namespace, want.Release, err)
	}
	s.c.Refresh()
	return s.dies("agent", BeforeDone)
}

// installed reports whether this run installed the release that is wanted, or
// was cut off while it did, or while it uninstalled it.
func installed(a agentRecord, want migrate.ClusterAgent) bool {
	return a.Installed && a.Namespace == want.Namespace && a.Release == want.Release && (a.State == Started || a.State == Done || a.State == Undoing)
}

// forgetRelease removes what Helm keeps of a release of our own that was cut
// off in the middle: Helm would call it pending, or uninstalling, for ever. Its
// objects stay, and the install that follows takes them over.
func forgetRelease(config *action.Configuration, name string) error {
	history, err := config.Releases.History(name)
	if err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return fmt.Errorf("read the unfinished release %s: %w", name, err)
	}
	for _, r := range history {
		if _, err := config.Releases.Delete(r.Name, r.Version); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
			return fmt.Errorf("clear the unfinished release %s/%s: %w", r.Namespace, name, err)
		}
	}
	return nil
}

// chartAndValues gives what is installed.
func (e Engine) chartAndValues(want migrate.ClusterAgent) (*helmchart.Chart, map[string]any, error) {
	loaded, err := e.chart(want)
	if err != nil {
		return nil, nil, err
	}
	if loaded == nil {
		return nil, nil, errors.New("the engine flux2 needs its chart: give --engine-chart")
	}
	values := map[string]any{}
	if want.Engine == engineBundled && e.Image != "" {
		values["image"] = imageValues(e.Image)
	}
	return loaded, overRelease(mergeValues(values, e.Values), flagValues(want)), nil
}

// chart is the one that is installed; nil where a flux2 chart is wanted and
// none was given.
func (e Engine) chart(want migrate.ClusterAgent) (*helmchart.Chart, error) {
	switch want.Engine {
	case engineBundled:
		if e.Chart == nil {
			return chart.Load()
		}
	case engineFlux2:
	default:
		return nil, fmt.Errorf("no engine is called %q: bundled, flux2 or existing", want.Engine)
	}
	return e.Chart, nil
}

// flagValues are the chart values that make the engine run with the plan's
// flags.
func flagValues(want migrate.ClusterAgent) map[string]any {
	values := map[string]any{}
	if want.Engine == engineFlux2 {
		for name, controller := range map[string]string{
			"kustomizeController": kustomizeController, "helmController": "helm-controller",
			"notificationController": "notification-controller", "imageAutomationController": "image-automation-controller",
		} {
			var args []any
			for _, a := range want.Args {
				if flag, _, _ := strings.Cut(a, "="); slices.Contains(demanded(flag), controller) {
					args = append(args, a)
				}
			}
			if args != nil {
				values[name] = map[string]any{"container": map[string]any{"additionalArgs": args}}
			}
		}
		return values
	}
	agent := map[string]any{}
	var extra []any
	for _, arg := range want.Args {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case flagDefaultAccount:
			agent["defaultServiceAccount"] = value
		case flagOwnNamespace:
			agent["noCrossNamespaceRefs"] = value != "false"
		default:
			extra = append(extra, arg)
		}
	}
	if extra != nil {
		agent["extraArgs"] = extra
	}
	if len(agent) > 0 {
		values["agent"] = agent
	}
	return values
}

func mergeValues(into, over map[string]any) map[string]any {
	for key, value := range over {
		a, okA := into[key].(map[string]any)
		b, okB := value.(map[string]any)
		if okA && okB {
			into[key] = mergeValues(a, b)
		} else {
			into[key] = value
		}
	}
	return into
}

func imageValues(image string) map[string]any {
	values := map[string]any{}
	if name, digest, ok := strings.Cut(image, "@"); ok {
		image = name
		values["digest"] = digest
	}
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		values["tag"] = image[i+1:]
		image = image[:i]
	}
	values["repository"] = image
	return values
}

func (e Engine) limit() time.Duration {
	if e.Limit == 0 {
		return 5 * time.Minute
	}
	return e.Limit
}

// awaitReady waits until all Deployments of the release are available.
func (e Engine) awaitReady(ctx context.Context, c *cluster.Client, want migrate.ClusterAgent) error {
	return cluster.Wait(ctx, 200*time.Millisecond, e.limit(), func(ctx context.Context) (bool, string, error) {
		list, err := c.Kube.AppsV1().Deployments(want.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", fmt.Errorf("read the ClusterAgent's Deployments: %w", err)
		}
		found := false
		for _, d := range list.Items {
			if d.Annotations["meta.helm.sh/release-name"] != want.Release {
				continue
			}
			found = true
			if d.Spec.Replicas != nil && *d.Spec.Replicas == 0 {
				return false, "", fmt.Errorf("%w: Deployment %s/%s of the ClusterAgent is scaled to 0: scale it up", ErrBlocked, d.Namespace, d.Name)
			}
			if !available(&d) {
				return false, fmt.Sprintf("Deployment %s/%s of the ClusterAgent is not available: look at its pods", d.Namespace, d.Name), nil
			}
		}
		return found, "the ClusterAgent's Deployment was not made", nil
	})
}

// available reports whether all pods of a Deployment are there, of its newest
// template, and no others.
func available(d *appsv1.Deployment) bool {
	replicas := int32(1)
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas >= max(replicas, 1) &&
		d.Status.UpdatedReplicas >= replicas && d.Status.Replicas == d.Status.UpdatedReplicas
}

// otherEngines are engines with pods that are not of the wanted release.
// Without a release nothing is, whatever its annotations say.
func otherEngines(found []engine, want migrate.ClusterAgent, installed bool) []string {
	ours := []engine{}
	if installed {
		ours = releaseEngines(found, want)
	}
	var others []string
	for _, g := range found {
		applies := g.controller == bundledAgent || g.controller == kustomizeController || g.controller == sourceController
		if applies && g.replicas() > 0 && !slices.Contains(ours, g) {
			others = append(others, g.deployment.Namespace+"/"+g.deployment.Name)
		}
	}
	return others
}

// releaseEngines are the engines that the wanted release made.
func releaseEngines(found []engine, want migrate.ClusterAgent) []engine {
	var ours []engine
	for _, g := range found {
		named := g.deployment.Namespace == want.Namespace && g.deployment.Annotations["meta.helm.sh/release-name"] == want.Release
		if named && (want.Engine != engineBundled || g.controller == bundledAgent) {
			ours = append(ours, g)
		}
	}
	return ours
}

// uninstallEngine removes the ClusterAgent if this run installed it and
// nothing is left for it to do. Its CRDs go if this run made them and none of
// the kind is left; its namespace stays.
func uninstallEngine(ctx context.Context, s *session) error {
	agent := s.record.Agent
	if !agent.removable() {
		return nil
	}
	for _, name := range neededCRDs {
		left, err := objectsOf(ctx, s.c, name)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fmt.Errorf("the ClusterAgent stays: %s still use it", strings.Join(left[:min(3, len(left))], ", "))
		}
	}
	if err := s.dies("undo-agent", BeforeStarted); err != nil {
		return err
	}
	if err := s.noteAgent(ctx, func(a *agentRecord) { a.State = Undoing }); err != nil {
		return err
	}
	if err := s.dies("undo-agent", AfterStarted); err != nil {
		return err
	}
	config, err := helmConfig(s.c, agent.Namespace)
	if err != nil {
		return err
	}
	if err := markUninstalling(config, agent.Release); err != nil {
		return err
	}
	if err := endEngine(ctx, s.c, agent); err != nil {
		return err
	}
	if err := s.dies("undo-agent-pods", AfterDone); err != nil {
		return err
	}
	uninstall := action.NewUninstall(config)
	uninstall.IgnoreNotFound = true
	if _, err := uninstall.Run(agent.Release); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return fmt.Errorf("uninstall the ClusterAgent: %w", err)
	}
	if err := s.dies("undo-agent-release", AfterDone); err != nil {
		return err
	}
	for _, name := range agent.MadeCRDs {
		left, err := objectsOf(ctx, s.c, name)
		if err != nil {
			return err
		}
		crd, err := s.c.Get(ctx, crdKind, "", name)
		if cluster.IsGone(err) {
			continue
		}
		if err != nil {
			return err
		}
		if len(left) > 0 || !slices.Contains(neededCRDs, name) || !madeBy(crd, s.run, agent.Namespace, agent.Release) {
			continue
		}
		if err := s.c.Delete(ctx, crd, cluster.DeleteOptions{ExactVersion: true}); err != nil {
			return fmt.Errorf("remove the definition %s: %w", name, err)
		}
	}
	s.c.Refresh()
	if err := s.dies("undo-agent", BeforeDone); err != nil {
		return err
	}
	if err := s.noteAgent(ctx, func(a *agentRecord) { a.State = Undone }); err != nil {
		return err
	}
	return s.dies("undo-agent", AfterDone)
}

// markUninstalling lets the release say that it is going before anything of it
// goes. Helm does that too, but goes on in silence where it may not: whoever is
// cut off then leaves a release that calls itself deployed, half of whose
// objects are gone.
func markUninstalling(config *action.Configuration, name string) error {
	last, err := lastRelease(config, name)
	if err != nil || last == nil {
		return err
	}
	last.Info.Status = release.StatusUninstalling
	last.Info.Description = "being uninstalled by fluxover"
	if err := config.Releases.Update(last); err != nil {
		return fmt.Errorf("uninstall the ClusterAgent, of which nothing is removed yet: mark its Helm release %s/%s as being uninstalled: %w", last.Namespace, name, err)
	}
	return nil
}

// endLimit bounds the wait for the ClusterAgent's pods to end.
const endLimit = 2 * time.Minute

// endEngine lets the ClusterAgent end while it still has its rights: it gives
// its leases back then, which the next one would have to wait out otherwise.
func endEngine(ctx context.Context, c *cluster.Client, agent agentRecord) error {
	found, err := installedEngines(ctx, c)
	if err != nil {
		return err
	}
	for _, g := range releaseEngines(found, migrate.ClusterAgent{Engine: agent.Engine, Namespace: agent.Namespace, Release: agent.Release}) {
		d := g.deployment
		_, err := c.Kube.AppsV1().Deployments(d.Namespace).Patch(ctx, d.Name, types.MergePatchType, []byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{FieldManager: migrate.FieldManager})
		if err != nil {
			return fmt.Errorf("stop the ClusterAgent: %w", err)
		}
		pods := metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector)}
		err = cluster.Wait(ctx, 200*time.Millisecond, endLimit, func(ctx context.Context) (bool, string, error) {
			left, err := c.Kube.CoreV1().Pods(d.Namespace).List(ctx, pods)
			if err != nil || len(left.Items) == 0 {
				return err == nil, "", err
			}
			return false, fmt.Sprintf("Pod/%s/%s has not ended", d.Namespace, left.Items[0].Name), nil
		})
		if err != nil {
			return fmt.Errorf("stop the ClusterAgent: %w", err)
		}
	}
	return nil
}

// objectsOf lists the objects of a definition, in all namespaces.
func objectsOf(ctx context.Context, c *cluster.Client, crd string) ([]string, error) {
	resource, group, _ := strings.Cut(crd, ".")
	list, err := c.Dynamic.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", crd, err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, cluster.Describe(&list.Items[i]))
	}
	return out, nil
}

// releasePayload reads the old agent's Helm release as Helm stores it,
// wherever and by whichever driver: the revision that is live and each newer
// one; nil where it was not installed by Helm.
func releasePayload(ctx context.Context, c *cluster.Client, agent agentFacts) ([]*unstructured.Unstructured, error) {
	if agent.Release == "" {
		return nil, nil
	}
	failed := func(err error) ([]*unstructured.Unstructured, error) {
		return nil, fmt.Errorf("read the Helm release %s/%s: %w", agent.Namespace, agent.Release, err)
	}
	objects, err := metadata.NewForConfig(c.Config)
	if err != nil {
		return failed(err)
	}
	storage, err := helm.Read(ctx, objects, []string{agent.Namespace})
	if err != nil {
		return failed(err)
	}
	if unread := storage.Unread[agent.Namespace]; len(unread) > 0 {
		return failed(fmt.Errorf("you may not list %s in namespace %s, where Helm may keep it", strings.Join(unread, " and "), agent.Namespace))
	}
	var kept []*unstructured.Unstructured
	for _, revisions := range storage.Of(agent.Namespace, agent.Release) {
		live := helm.Live(revisions)
		if live.Helm == 2 || live.Namespace != agent.Namespace {
			// Perhaps another release of the same name.
			record, err := live.Open(ctx, c.Kube)
			if errors.Is(err, helm.ErrCorrupt) || errors.Is(err, helm.ErrGone) {
				continue
			}
			if err != nil {
				return failed(err)
			}
			if !record.Owns("Deployment", agent.Namespace, agent.Workload) {
				continue
			}
		}
		for _, r := range revisions {
			obj, err := c.Get(ctx, schema.GroupVersionKind{Version: "v1", Kind: r.Kind}, r.Namespace, r.Name)
			if err != nil {
				return failed(err)
			}
			kept = append(kept, obj)
			if r == live {
				break
			}
		}
	}
	return kept, nil
}

func lastRelease(config *action.Configuration, name string) (*release.Release, error) {
	last, err := config.Releases.Last(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the Helm release %s: %w", name, err)
	}
	return last, nil
}

// helmConfig lets Helm use our connection.
func helmConfig(c *cluster.Client, namespace string) (*action.Configuration, error) {
	config := &action.Configuration{}
	quiet := func(string, ...any) {}
	if err := config.Init(connection{c, namespace}, namespace, "secret", quiet); err != nil {
		return nil, fmt.Errorf("prepare Helm: %w", err)
	}
	return config, nil
}

// connection is what Helm and cli-runtime call a RESTClientGetter.
type connection struct {
	c         *cluster.Client
	namespace string
}

func (g connection) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.c.Config), nil }

func (g connection) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.c.Discovery, nil
}

func (g connection) ToRESTMapper() (meta.RESTMapper, error) { return g.c.Mapper, nil }

func (g connection) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}})
}
