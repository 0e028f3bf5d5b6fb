package discover

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// chartKind tells Flux v1's charts apart by chart and repository as Terraform
// has them: "flux", "helm-operator", or empty for any other.
func chartKind(name, repository string) string {
	base := path.Base(strings.TrimSuffix(strings.TrimSuffix(name, "/"), ".tgz"))
	kind, version, _ := strings.Cut(base, "-")
	switch {
	case base == "flux", base == "helm-operator":
		kind = base
	case kind == "flux" && version != "" && version[0] >= '0' && version[0] <= '9': // an archive
	default:
		return ""
	}
	// Charts of that name of Bitnami and of Flux's community are Flux v2.
	if from := repository + "/" + path.Dir(name); strings.Contains(from, "bitnami") || strings.Contains(from, "fluxcd-community") || slices.Contains(strings.Split(from, "/"), "flux2") {
		return ""
	}
	return kind
}

// givenGitURL says of a chart of another name why it may be Flux v1's.
const givenGitURL = "it is given a git.url, as the flux chart is"

// givenPart says the same of a chart that may have the flux chart as a part; empty of one that is given
// nothing for it.
func givenPart(values *terraform.Node) string {
	if part := values.FluxPart(); part != "" {
		return fmt.Sprintf("it is given %s.git.url, as one is that has the flux chart as a part", part)
	}
	return ""
}

// chartOfFluxd says of a chart of another name that it may install an agent, and why.
func (c *configuration) chartOfFluxd(h *terraform.HelmRelease, name, why string) {
	c.find(TerraformChartOfFluxd.About("", h.Address, place(h.Position), fmt.Sprintf("whether %s installs an agent is not known: chart %s has another name than the flux chart, and %s", h.Address, flux1.DisplayURL(name), why)))
}

// formerChart says of a chart that it is Flux v1's by a name that this had before 0.5, of which
// nothing is read; empty of any other.
func formerChart(name string) string {
	if base := path.Base(name); base == "weave-flux" || strings.HasPrefix(base, "weave-flux-") {
		return "it is what Flux v1's chart was called at first"
	}
	return ""
}

// archiveVersion is the version in the name of a packed flux chart; empty if there is none.
func archiveVersion(name string) string {
	base, packed := strings.CutSuffix(path.Base(name), ".tgz")
	version, ok := strings.CutPrefix(base, "flux-")
	if _, err := semver.StrictNewVersion(version); !packed || !ok || err != nil {
		return ""
	}
	return version
}

// unsureFlux is the kind of a chart named as Flux v1's is of which it is not
// known whether it installs that.
const unsureFlux = "flux?"

// stateChart is chartKind of a release in a state, which also tells the chart as
// it was asked for, and what it installs; it may be unsureFlux.
func stateChart(r *terraform.StateRelease) string {
	kind := chartKind(r.Chart, r.Repository+" "+r.Source)
	if kind == "flux" {
		kind, _ = whichFlux(r.AppVersion, r.Images, r.Values)
	}
	return kind
}

var (
	// flux1Values are values of Flux v1's chart, and flux2Values of Bitnami's,
	// that the other does not read (flux: chart/flux/values.yaml; bitnami/charts:
	// bitnami/flux/values.yaml).
	flux1Values = []string{
		"additionalArgs", "git", "helmOperator", "manifestGeneration", "memcached", "registry", "sops", "ssh", "sync", "syncGarbageCollection", "token",
	}
	flux2Values = []string{
		"helmController", "imageAutomationController", "imageReflectorController", "kustomizeController", "notificationController", "sourceController",
	}
)

// whichFlux tells what a chart installs that is named as Flux v1's is: that
// ("flux"), Flux v2 (""), or unsureFlux and why. The images that it was rendered
// to and the values that it is given tell it, else the version that it says it
// installs: charts of Flux v1 since 0.5.0 say 1.8 and later (flux:
// chart/flux/CHANGELOG.md), Bitnami's said 0.x, then 1.0 to 1.4, and says 2.x
// (bitnami/charts: bitnami/flux/Chart.yaml), and somebody's own copy of either
// says whatever they like. A chart that says nothing is taken for Flux v1's, as
// its name is.
func whichFlux(appVersion string, images []string, values ...*terraform.Node) (kind, why string) {
	one := slices.ContainsFunc(images, func(i string) bool { n := imageName(i); return n == "flux" || n == "fluxd" })
	two := slices.ContainsFunc(images, isFlux2Image)
	for _, n := range values {
		one = one || anyGiven(n, flux1Values)
		two = two || anyGiven(n, flux2Values)
	}
	switch {
	case one && two:
		return unsureFlux, "it has what speaks of Flux v1 and what speaks of Flux v2"
	case one:
		return "flux", ""
	case two:
		return "", ""
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(appVersion, "v"), ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(first)
	minor, noMinor := strconv.Atoi(second)
	if err != nil || major == 1 && (noMinor != nil || minor >= 8) {
		return "flux", ""
	}
	return unsureFlux, fmt.Sprintf("it installs version %.40s", appVersion)
}

// anyGiven reports whether one of some values is given.
func anyGiven(values *terraform.Node, names []string) bool {
	return values != nil && values.Kind == terraform.Map && slices.ContainsFunc(names, func(name string) bool {
		n := values.Map[name]
		return n != nil && (n.Kind != terraform.Scalar || n.Scalar != nil)
	})
}

// speaksOfFlux reports whether a name speaks of Flux, and not of Flux v2.
func speaksOfFlux(words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		w = strings.ToLower(w)
		return strings.Contains(w, "flux") && !strings.Contains(w, "flux2") && !strings.Contains(w, "fluxcloud") && !strings.Contains(w, "influx")
	})
}

// release makes an agent of a Helm release of the flux chart.
func (c *configuration) release(ctx context.Context, h *terraform.HelmRelease, matches []terraform.Match) {
	repository, _ := h.Repository.Str()
	if u, ok := h.RepositoryURL.Str(); ok {
		repository = u
	}
	name, ok := h.Chart.Str()
	kind := ""
	if !ok {
		// The state tells what was applied last.
		for _, m := range matches {
			if kind == "" && m.State != nil && m.Config != nil && !m.State.Deposed && m.State.Release != nil {
				name, kind = m.State.Release.Source, stateChart(m.State.Release)
			}
		}
	}
	if !ok && kind == "" {
		nameText, _ := h.Name.Str()
		if speaksOfFlux(h.Address, nameText, h.Chart.String()) || givesGitURL(h.Values) || givenPart(h.Values) != "" {
			c.find(TerraformChartUnknown.About("", h.Address, place(h.Position), fmt.Sprintf("the chart of %s is not known: %s", h.Address, causes(h.Chart))))
		}
		return
	}
	local := c.localChart(ctx, name)
	if ok { // else the state tells its name
		local, _ = c.localChartOf(ctx, h)
	}
	if kind == "" {
		if kind = local.kind; kind == "" {
			kind = chartKind(name, repository)
		}
	}
	switch {
	case local.holdsFlux:
		c.find(TerraformPartOfChart.About("", h.Address, place(h.Position), fmt.Sprintf("whether %s installs an agent is not known: chart %s has the flux chart as a part", h.Address, name)))
		return
	case kind == "helm-operator":
		c.find(HelmOperatorFound.About("", h.Address, place(h.Position), fmt.Sprintf("%s declares a helm-operator", h.Address)))
		return
	case kind != "flux" && kind != unsureFlux:
		if why := cmp.Or(local.runsFluxd, formerChart(name)); why != "" || local.kind == "" && givesGitURL(h.Values) {
			c.chartOfFluxd(h, name, cmp.Or(why, givenGitURL))
		} else if why := givenPart(h.Values); why != "" && local.kind == "" {
			c.chartOfFluxd(h, name, why)
		} else if local.left != "" {
			c.find(TerraformChartNotRead.About("", h.Address, place(h.Position), fmt.Sprintf("whether %s installs an agent is not known: of chart %s not all was read, since %s", h.Address, flux1.DisplayURL(name), local.left)))
		} else if what := h.Resource.Speaks(ctx); what != "" {
			c.find(TerraformNotRead.About("", h.Address, place(h.Position), fmt.Sprintf("%s speaks of %s, and what chart %s makes of that is not read", h.Address, what, flux1.DisplayURL(name))))
		}
		return
	}
	var state *terraform.StateResource
	for _, m := range matches {
		if m.State == nil || m.Config == nil || m.State.Release == nil || m.State.Deposed {
			continue
		}
		if n, ok := h.Name.Str(); ok && n != m.State.Release.Name {
			continue
		}
		if len(h.Unknown) == 0 {
			state = m.State
			continue
		}
		// The state tells which instances there are.
		c.declare(ctx, h, m.State, local)
	}
	if len(h.Unknown) > 0 {
		if state == nil && !slices.ContainsFunc(matches, func(m terraform.Match) bool { return m.State != nil && m.Config != nil }) {
			c.find(TerraformUncertain.About("", h.Address, place(h.Position), fmt.Sprintf("whether and how often %s declares an agent is not known: %s", h.Address, causeWords(h.Unknown))))
		}
		return
	}
	c.declare(ctx, h, state, local)
}

// declare adds the agent that a release of the flux chart is. state is what
// Terraform remembers of it; nil if that is not known.
func (c *configuration) declare(ctx context.Context, h *terraform.HelmRelease, state *terraform.StateResource, local localChart) {
	address, key := h.Address, h.Resource.Key
	if state != nil {
		address, key = state.Address, state.Key
	}
	kind, why := whichFluxOf(h, state, local)
	if kind == "" {
		return
	}
	d := &declared{cluster: c.result.Cluster(h.Provider), accounts: c.accountsOf(ctx), grants: c.grantsOf(ctx), maps: c.mapsOf(ctx)}
	d.Terraform = &migrate.TerraformPlace{Dir: c.dir, Address: address, Instance: instance(key), Where: place(h.Position), State: state != nil}
	d.InstalledBy = "terraform"
	d.Synced.Behind = -1
	release := chart.Release{ConfigMap: d.configMapTexts}
	var ok bool
	for _, part := range []struct {
		name string
		node *terraform.Node
		to   *string
		last func(*terraform.StateRelease) string
	}{
		{"namespace", h.Namespace, &release.Namespace, func(r *terraform.StateRelease) string { return r.Namespace }},
		{"release", h.Name, &release.Name, func(r *terraform.StateRelease) string { return r.Name }},
	} {
		if *part.to, ok = part.node.Str(); ok {
			continue
		}
		if state != nil && state.Release != nil {
			*part.to = part.last(state.Release)
			continue
		}
		release.Cause = causes(part.node)
		d.unknown(part.name)
		from := h.Position
		if part.node != nil {
			from = part.node.Origin.Position
		}
		d.find(TerraformName.Finding("", d.origin(from, ""), fmt.Sprintf("the %s of %s is not known: %s", part.name, address, release.Cause)))
	}
	d.Namespace, d.Release = release.Namespace, release.Name
	d.ID = d.Namespace + "/" + d.Release
	if d.Namespace == "" || d.Release == "" {
		d.ID = address
	}
	if kind == unsureFlux {
		d.find(TerraformUncertain.About("", address, d.Terraform.Where, fmt.Sprintf("whether %s is an agent is not known: its chart is named as Flux v1's is, and %s", address, why)))
	}

	versions, why := candidates(h.Version)
	chartName, _ := h.Chart.Str()
	switch archived := archiveVersion(chartName); {
	case local.version == "" && archived != "":
		versions, why = []string{archived}, "" // Helm takes it whatever version is asked for
	case local.version != "":
		versions, why = []string{local.version}, ""
		at := h.Position
		if h.Chart != nil {
			at = h.Chart.Origin.Position
		}
		says := fmt.Sprintf("the chart lies beside the configuration and says that it is version %s", local.version)
		if local.changed == "" {
			d.find(TerraformLocalChart.Finding("", d.origin(at, "chart"), says))
		} else {
			d.find(TerraformChartChanged.Finding("", d.origin(at, "chart"), says+"; "+local.changed))
		}
	case len(versions) > 1 && state != nil && slices.Contains(versions, state.Release.Version):
		versions, why = []string{state.Release.Version}, ""
	}
	values, applied := c.reused(h, state), appliedValues(state)
	if why == "" && isReused(values) && applied != nil && state.Release.Version != "" && state.Release.Version != versions[0] {
		versions, why = []string{state.Release.Version, versions[0]}, fmt.Sprintf("%s is declared, of which Helm renders the templates with the defaults of %s, since values are reused", versions[0], state.Release.Version)
	}
	var whole *terraform.Node // with the defaults of a copy of the chart
	decoded := func() chart.Rendered {
		whole = values.Over(local.defaults)
		r := decodeAny(release, versions, why, chartValues(whole), &c.tried)
		whereGiven(r.Settings, whole, address)
		return r
	}
	r := decoded()
	if _, gaps := values.Plain(); applied != nil && len(gaps) > 0 {
		alone := r.Settings
		values = filledFrom(values, applied)
		r = decoded()
		toldByState(r.Settings, alone, inState(state))
	}
	d.ChartVersion = r.Version
	d.setRendered(ctx, &r)
	for _, f := range r.Findings {
		if at := givenAt(whole, f.Where); f.Where != "" && at.File != "" {
			f.Where = d.origin(at, f.Where)
		} else {
			f.Where = strings.TrimSpace(d.Terraform.Where + " (" + address + ") " + f.Where)
		}
		d.find(f)
	}
	c.arguments(d, h)
	c.compareWithState(d, address)
	if state != nil && state.Release != nil {
		c.compareState(d, state, release, local)
	}
	c.agents = append(c.agents, d)
}

// whichFluxOf is whichFlux of a declared release, by what is known of it from
// the configuration, its state and a chart beside it.
func whichFluxOf(h *terraform.HelmRelease, state *terraform.StateResource, local localChart) (kind, why string) {
	if state == nil {
		state = h.State
	}
	if state == nil || state.Release == nil {
		return whichFlux(local.app, nil, h.Values)
	}
	last := state.Release
	return whichFlux(cmp.Or(local.app, last.AppVersion), last.Images, h.Values, last.Values)
}

// instance is the key of count or for_each without its brackets and quotes.
func instance(key string) string { return strings.Trim(key, `[]"`) }

// setRendered fills in what the chart makes of an agent's values.
func (d *declared) setRendered(ctx context.Context, r *chart.Rendered) {
	configure(&d.Flux1Agent, &r.Config, r.Settings)
	if d.DefaultNamespace == "" && !slices.Contains(d.Unknown, "defaultNamespace") {
		if d.DefaultNamespace = r.FallbackNamespace; r.FallbackNamespace == "" {
			d.unknown("defaultNamespace")
		}
	}
	d.Workload, d.Image, d.ServiceAccount = r.Workload, r.Image, r.ServiceAccount
	d.Confinement, d.Rights, d.Requests, d.Memcached = r.Confinement, r.Rights, r.Requests, r.Memcached
	for name, value := range map[string]string{"workload": r.Workload, "serviceAccount": r.ServiceAccount, "confinement": r.Confinement.Kind} {
		if value == "" {
			d.unknown(name)
		}
	}
	if r.Version == "" {
		d.unknown("chartVersion")
	}
	if r.Unknown["requests"] != "" {
		d.Requests = migrate.Requests{}
		d.unknown("requests")
	}
	if r.Unknown["memcached"] != "" {
		d.unknown("memcached")
	}
	d.boundRole = r.BoundClusterRole
	d.grantedBeside = r.Unknown["confinement"] == chart.GrantedByOthers
	if r.Version != "" && d.Namespace != "" && d.Release != "" { // else it is told why all is unknown that hangs on it
		d.rightsUnknown = r.Unknown["confinement"]
	}
	d.setGranted()
	where := d.where()
	if d.Replicas = 1; r.Replicas == nil {
		d.unknown("replicas")
	} else {
		d.Replicas = int32(min(*r.Replicas, 1<<30))
		switch {
		case d.Replicas == 0:
			d.find(AgentStopped.Finding("", where, "the agent is declared with no pods (replicas: 0)"))
		case d.Replicas > 1:
			d.find(ManyReplicas.Finding("", where, fmt.Sprintf("the agent is declared with %d pods", d.Replicas)))
		}
	}
	if why := r.Unknown["helmOperator"]; r.HelmOperator != "" {
		d.find(HelmOperator.Finding("", where, "the release also runs a helm-operator"))
	} else if why != "" && slices.ContainsFunc(r.Settings, func(s migrate.Setting) bool { return s.Name == "helmOperator.create" && s.Value == "true" }) {
		d.find(HelmOperator.Finding("", where, "the release also runs a helm-operator, or may: "+why))
	}
	if r.GitConfig {
		d.find(GitConfig.Finding("", where, "a git configuration is given"))
	}
	if r.SSHConfig {
		d.find(SSHConfig.Finding("", where, "an ssh configuration is given"))
	}
	for _, s := range r.Sidecars {
		code := Sidecar
		if n := imageName(s.Image); n == "flux-recv" || n == "fluxcloud" {
			code = flux1.Notifications
		}
		d.find(code.Finding("", where, fmt.Sprintf("container %s (%s) runs beside fluxd", s.Name, imageName(s.Image))))
	}
	if len(d.AllowedNamespaces) > 0 && d.Confinement.Kind == "cluster-admin" {
		d.find(Confined.Finding("", where, "the agent keeps to its list of namespaces by itself; its account is cluster-admin"))
	}
	pod := podOf(r)
	d.Parts = renderedParts(r, pod)
	d.setCredential(ctx, &r.Config, pod, func(more string) string { return strings.TrimSpace(where + " " + more) })
	account := rolesIn(r.Settings, []string{"serviceAccount.annotations"}, chart.AccountIdentities)
	beside := d.accountRoles()
	account = cloudRoles{append(account.known, beside.known...), append(account.perhaps, beside.perhaps...)}
	d.findRoles(&r.Config, rolesIn(r.Settings, chart.IdentityMaps, chart.PodIdentities), account, where)
}

// rolesIn are the roles in a cloud that values of the chart give by one of some
// keys of one of some mappings. What a role is called is hidden, as all texts of
// annotations are.
func rolesIn(settings []migrate.Setting, maps, keys []string) (roles cloudRoles) {
	for _, set := range maps {
		above, _, _ := strings.Cut(set, ".")
		for _, s := range settings {
			switch key, within := strings.CutPrefix(s.Name, set+"."); {
			case s.To == "a known value" && (s.Name == set || s.Name == set+".*" || s.Name == above+".*"):
				roles.perhaps = append(roles.perhaps, "what "+s.Name+" holds is not known: "+s.Why)
			case !within || !slices.Contains(keys, key) || s.Value == "" && s.Why == "" || s.Value == "null":
			case s.To == "a known value":
				roles.known = append(roles.known, key+", which is not known: "+s.Why)
			case s.Value != "":
				roles.known = append(roles.known, key)
			}
		}
	}
	return roles
}

// findRoles says which roles in a cloud the pods of an agent that is declared have,
// and its account.
func (d *declared) findRoles(config *flux1.Config, pods, account cloudRoles, where string) {
	a := &agent{Flux1Agent: d.Flux1Agent, config: *config}
	d.find(a.cloudRole("the agent's pods", "have", pods, where)...)
	d.find(a.cloudRole("the agent's account", "has", account, where)...)
}

// accountRoles are the roles in a cloud that the configuration gives to the account
// of an agent, by a resource of its own. Of an account of which it is not known whether
// it is the agent's, the agent may have the role.
func (d *declared) accountRoles() (roles cloudRoles) {
	own := &end{cluster: d.cluster}
	for _, a := range d.accounts {
		if a.Name == nil {
			continue
		}
		name, nameKnown := a.Name.Str()
		namespace, known := a.Namespace.Str()
		if a.Namespace == nil {
			namespace, known = metav1.NamespaceDefault, true
		}
		nameKnown, known = nameKnown && d.ServiceAccount != "", known && d.Namespace != ""
		its := &end{cluster: a.Cluster}
		if nameKnown && name != d.ServiceAccount || known && namespace != d.Namespace || (clusterGroup{own}).differs(clusterGroup{its}, (*namesake).isNot) {
			continue
		}
		to, unless := &roles.known, ""
		if !nameKnown || !known || len(a.Unknown) > 0 || own.key() != its.key() && (!own.agrees(its) || clusterGroup{own}.differs(clusterGroup{its}, (*namesake).isHardly)) {
			to, unless = &roles.perhaps, ", if that is of its account"
		}
		if n := a.Annotations; n != nil && (n.Kind != terraform.Map && n.Kind != terraform.Scalar || len(n.Causes) > 0) {
			roles.perhaps = append(roles.perhaps, "what annotations "+a.Address+" gives it is not known: "+causes(n))
		}
		for _, key := range chart.AccountIdentities {
			if a.Annotations == nil {
				break
			}
			switch role := a.Annotations.Map[key]; {
			case role == nil || role.Kind == terraform.Scalar && (role.Scalar == nil || role.Scalar == ""):
			case role.Kind == terraform.Scalar:
				*to = append(*to, key+" of "+a.Address+unless)
			default:
				*to = append(*to, key+" of "+a.Address+unless+", which is not known: "+causes(role))
			}
		}
	}
	if n := len(roles.perhaps); n > maxEnds {
		roles.perhaps = []string{listed(roles.perhaps, n, maxEnds)}
	}
	return roles
}

// accountsOf are the ServiceAccounts that the configuration speaks of or, without one, that
// its state holds.
func (c *configuration) accountsOf(ctx context.Context) []terraform.Account {
	switch {
	case c.accounts != nil:
	case c.alone != nil:
		c.accounts = append([]terraform.Account{}, c.alone.state.Accounts(c.alone.name, c.result)...)
	default:
		c.accounts = append([]terraform.Account{}, terraform.Accounts(ctx, c.result)...)
	}
	return c.accounts
}

// arguments accounts for the arguments of the resource itself, beside the
// chart's values.
func (c *configuration) arguments(d *declared, h *terraform.HelmRelease) {
	add := func(name, value string, fate migrate.Fate, why string, p terraform.Position) {
		to := ""
		if fate == migrate.Unknown {
			to = migrate.ByPerson
		}
		d.Settings = append(d.Settings, migrate.Setting{Name: "helm_release." + name, Value: value, Fate: fate, To: to, Why: why,
			From: []migrate.Origin{{Witness: "terraform", Where: d.origin(p, "")}}})
	}
	for _, m := range h.Resource.Meta {
		fate, why := metaFate(m)
		if m.Name == "lifecycle.ignore_changes" {
			fate, why = migrate.Dropped, whyLeft+namesLeft(h.Resource.Type, m)
		}
		add(m.Name, m.Text, fate, why, m.Position)
	}
	postRendered := func(name string, p terraform.Position) {
		const why = "a program changes what the chart has rendered, and what it makes of the agent is not known"
		add(name, "", migrate.Unknown, why, p)
		d.Settings[len(d.Settings)-1].To = migrate.ByFinding
		d.find(TerraformPostRendered.Finding("", d.origin(p, name), h.Address+" has a post-renderer: "+why))
	}
	for _, name := range sortedNames(h.Resource.Body.Attributes) {
		a := h.Resource.Body.Attributes[name]
		why, listed := releaseArguments[name]
		switch {
		case name == "postrender": // of provider 3, and of the others in JSON syntax
			if n := h.Resource.Field(name); n != nil && (n.Kind != terraform.List || len(n.List) > 0) {
				postRendered(name, a.Position)
			}
		case listed && why == "":
			continue // its content is accounted for, value by value
		case !listed:
			add(name, argumentValue(h.Resource.Field(name), name), migrate.Unknown, "helm_release has no argument of that name that is known here", a.Position)
		default:
			add(name, argumentValue(h.Resource.Field(name), name), migrate.Dropped, why, a.Position)
		}
	}
	for _, b := range h.Resource.Body.Blocks {
		switch why, listed := releaseArguments[b.Type]; {
		case b.Type == "postrender":
			postRendered(b.Type, b.Position)
		case !listed:
			add(b.Type, "", migrate.Unknown, "helm_release has no block of that name that is known here", b.Position)
		case why != "":
			add(b.Type, "", migrate.Dropped, why, b.Position)
		}
	}
}

// argumentValue shows an argument's value where it can hold no secret.
func argumentValue(n *terraform.Node, name string) string {
	switch {
	case n == nil:
		return "null"
	case n.Kind == terraform.Sensitive:
		return "***"
	case n.Kind != terraform.Scalar:
		return ""
	}
	s, isText := n.Scalar.(string)
	switch {
	case !isText:
		return fmt.Sprint(n.Scalar)
	case slices.Contains([]string{"name", "namespace", "chart", "version", "repository"}, name):
		return flux1.DisplayURL(s)
	case s == "":
		return ""
	}
	return "***"
}

const (
	whyHelm      = "concerns only how Terraform runs Helm"
	whyReused    = "says whether values that are not given stay as they were applied last, and they are read so"
	whyTerraform = "concerns only how Terraform treats the resource"
	whyLeft      = "what it names is as it was applied last, and is not known here unless the state tells it"
	whyNoneLeft  = "names nothing that says how the agent runs"
	whyChart     = "says which chart is installed, which goes with the release"
)

// releaseArguments are the arguments and blocks of helm_release, of the
// provider's versions 0.10 to 3; an empty text means that the content is
// accounted for otherwise.
var releaseArguments = map[string]string{
	"values": "", "set": "", "set_list": "", "set_string": "", "set_sensitive": "", "set_wo": "",
	"name": "is the agent's id", "namespace": "is the agent's id",
	"chart": whyChart, "repository": whyChart, "version": whyChart, "devel": whyChart, "verify": whyChart, "keyring": whyChart,
	"repository_key_file": whyChart, "repository_cert_file": whyChart, "repository_ca_file": whyChart, "repository_username": whyChart,
	"repository_password": whyChart, "pass_credentials": whyChart, "dependency_update": whyChart,
	"reuse_values": whyReused, "reset_values": whyReused,
	"timeout": whyHelm, "disable_webhooks": whyHelm, "reuse": whyHelm, "force_update": whyHelm,
	"recreate_pods": whyHelm, "cleanup_on_fail": whyHelm, "max_history": whyHelm, "atomic": whyHelm, "skip_crds": whyHelm,
	"render_subchart_notes": whyHelm, "disable_openapi_validation": whyHelm, "disable_crd_hooks": whyHelm, "wait": whyHelm,
	"wait_for_jobs": whyHelm, "description": whyHelm, "lint": whyHelm, "replace": whyHelm, "create_namespace": whyHelm,
	"upgrade_install": whyHelm, "take_ownership": whyHelm, "set_wo_revision": whyHelm, "metadata": whyHelm, "timeouts": whyHelm,
	"postrender": "",
}

// preventDestroy is what keeps Terraform from destroying a resource.
const preventDestroy = "lifecycle.prevent_destroy"

// metaFate is that of what belongs to Terraform's language in a resource.
func metaFate(m terraform.Meta) (fate migrate.Fate, why string) {
	switch {
	case m.Name == "lifecycle.ignore_changes" && m.Names == nil && m.Text != "[]":
		return migrate.Unknown, "what it names is as it was applied last, which may not be what is said here"
	case m.Name == "lifecycle.ignore_changes":
		return migrate.Dropped, whyNoneLeft
	case m.Name == preventDestroy && m.Text != "false":
		return migrate.Unknown, "Terraform refuses every plan that destroys the agent while it is set"
	}
	return migrate.Dropped, whyTerraform
}

// leavesNames are the attributes that ignore_changes names where it leaves the name of an
// object, or its namespace, as it is: of releases, and of other resources.
var leavesNames = map[bool]*regexp.Regexp{
	true:  regexp.MustCompile(`^(all|\*|name|namespace)$`),
	false: regexp.MustCompile(`^(all|\*|yaml_body|override_namespace|manifest|object|((manifest|object)\.)?metadata(\[0\]|\.0)?(\.(name|namespace))?)$`),
}

// namesLeft says of what ignore_changes names that the name or namespace of the agent is
// among it.
func namesLeft(typ string, m terraform.Meta) string {
	if m.Name != "lifecycle.ignore_changes" || !slices.ContainsFunc(m.Names, leavesNames[typ == "helm_release"].MatchString) {
		return ""
	}
	return "; what is there keeps the name and namespace that it was made with, which those of the configuration need not be"
}

// manifestArguments are those of the resources that hold a manifest, beside it
// (hashicorp/kubernetes: kubernetes_manifest; gavinbunney/kubectl: kubectl_manifest).
var manifestArguments = []string{
	"apply_only", "computed_fields", "delete_cascade", "field_manager", "force_conflicts", "force_new", "ignore_fields", "object", "sensitive_fields",
	"server_side_apply", "timeouts", "upgrade_api_version", "validate_schema", "wait", "wait_for", "wait_for_rollout",
}

// resourceSettings accounts for what a resource that declares a Deployment says
// beside the Deployment itself; leaves is whether it leaves anything that counts as
// the cluster has it.
func (d *declared) resourceSettings(r *terraform.Resource, leaves bool) {
	add := func(name, value string, fate migrate.Fate, why string, p terraform.Position) {
		s := migrate.Setting{Name: r.Type + "." + name, Value: value, Fate: fate, Why: why, From: []migrate.Origin{{Witness: "terraform", Where: d.origin(p, "")}}}
		if fate == migrate.Unknown {
			s.To = migrate.ByPerson
		}
		d.Settings = append(d.Settings, s)
	}
	for _, m := range r.Meta {
		fate, why := metaFate(m)
		if fate == migrate.Dropped && m.Name == "lifecycle.ignore_changes" && leaves {
			why = whyLeft
		}
		add(m.Name, m.Text, fate, why+namesLeft(r.Type, m), m.Position)
	}
	if r.Type != "kubernetes_manifest" && r.Type != "kubectl_manifest" {
		return // its arguments are fields of the Deployment
	}
	beside := func(name string, p terraform.Position) {
		switch {
		case name == "manifest", name == "yaml_body", name == "override_namespace":
		case leaves && (name == "ignore_fields" || name == "computed_fields"):
			add(name, "", migrate.Dropped, whyLeft, p)
		case slices.Contains(manifestArguments, name):
			add(name, "", migrate.Dropped, whyTerraform, p)
		default:
			add(name, "", migrate.Unknown, fmt.Sprintf("%s has no argument of that name that is known here", r.Type), p)
		}
	}
	for _, name := range sortedNames(r.Body.Attributes) {
		beside(name, r.Body.Attributes[name].Position)
	}
	for _, b := range r.Body.Blocks {
		beside(b.Type, b.Position)
	}
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// compareState reports where the configuration is not what was applied last.
func (c *configuration) compareState(d *declared, state *terraform.StateResource, release chart.Release, local localChart) {
	last := state.Release
	where := inState(state)
	if d.ChartVersion != "" && last.Version != "" && d.ChartVersion != last.Version {
		d.find(TerraformNotApplied.About(d.ID, "chartVersion", d.Terraform.Where, fmt.Sprintf("chart version %s is declared, and %s was applied last", d.ChartVersion, last.Version)))
	}
	if last.Values == nil || last.Version == "" {
		return
	}
	release.Version = last.Version
	if release.Name == "" || release.Namespace == "" {
		return
	}
	values := last.Values
	if last.Version == local.version {
		values = values.Over(local.defaults)
	}
	r := chart.Decode(release, chartValues(values))
	if r.Version == "" {
		return
	}
	for i := range r.Settings {
		for j := range r.Settings[i].From {
			r.Settings[i].From[j] = migrate.Origin{Witness: "terraform", Where: where}
		}
	}
	d.notApplied(r.Settings, renderedParts(&r, podOf(&r)), where)
}

// inState is the place of an instance in a state, for people.
func inState(state *terraform.StateResource) string {
	return "state (" + state.Unmoved().Address + ")"
}

// notApplied reports what of an agent is not as it was applied last; where is the place
// of that in the state.
func (d *declared) notApplied(settings []migrate.Setting, parts map[string]migrate.Part, where string) {
	for _, x := range differences(
		side{d.Settings, "in the configuration", migrate.Origin{Witness: "terraform", Where: d.Terraform.Where}},
		side{settings, "was applied last", migrate.Origin{Witness: "terraform", Where: where}}) {
		d.find(TerraformNotApplied.About(d.ID, x.name, x.where, fmt.Sprintf("%s is %s", x.name, x.says)))
	}
	for _, x := range partDifferences(d.Parts, parts) {
		d.find(TerraformNotApplied.About(d.ID, x.name, "terraform: "+d.Terraform.Where+"; terraform: "+where, fmt.Sprintf("%s is %s", x.name, x.says("in the configuration", "was applied last"))))
	}
}
