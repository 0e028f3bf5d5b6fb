// Package fleet makes fleets of teams whose repositories are synced by Flux v1,
// in the shape platform engineers know: a repository per team, a folder per
// environment, a folder per application, plain manifests as CI renders them,
// and one Flux v1 agent per repository, installed by Helm.
//
// Generate is pure: the same options give the same bytes. Install puts a
// generated fleet on a Git server and a cluster. The package knows nothing of
// the program that hands such a fleet over, so that its shape is not that
// program's belief.
package fleet

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AgentNamespace is the namespace of every Flux v1 release.
const AgentNamespace = "flux"

// environment is the folder of a repository that the agent syncs.
const environment = "production"

// Options say which fleet to make. The zero value of a field takes its default.
type Options struct {
	// Seed picks one of many fleets of the same shape.
	Seed int64
	// Teams is the number of repositories, each with one agent. At least 1.
	Teams int
	// Apps is the number of applications in each repository. At least 1.
	Apps int
	// Profile names a fleet's habits. Default "uniform": what the flux chart's
	// documentation recommends, without oddities.
	Profile string
	// PollInterval is how often an agent asks Git for news. Default 1m.
	PollInterval time.Duration
	// SyncInterval is how often an agent applies without news. Default 5m.
	SyncInterval time.Duration
}

// Team is one repository with its agent.
type Team struct {
	// Name is unique in the fleet and a DNS label.
	Name string `json:"name"`
	// Repo is the repository's name on the Git server, without ".git".
	Repo string `json:"repo"`
	// Branch is the branch the agent syncs.
	Branch string `json:"branch"`
	// Environment is the folder the agent syncs; others are for other clusters.
	Environment string `json:"environment"`
	// Path is the agent's git.path.
	Path string `json:"path"`
	// Namespace is where the team's workloads run.
	Namespace string `json:"namespace"`
	// Release is the Helm release of the agent, and its Deployment's name.
	Release string `json:"release"`
	// AgentNamespace is the namespace of the release.
	AgentNamespace string `json:"agentNamespace"`
	// GarbageCollection says whether the agent deletes what left Git.
	GarbageCollection bool `json:"garbageCollection"`
	// SSH says whether the agent uses a deploy key; otherwise it uses HTTP with
	// user and password.
	SSH bool `json:"ssh"`
	// Values are the values of the agent's release, without what is known only
	// once a Git server runs; ChartValues adds that.
	Values map[string]any `json:"-"`
	// Files are the repository's first commit: content by path.
	Files map[string][]byte `json:"-"`
	// Objects is how many Kubernetes objects the agent applies.
	Objects int `json:"objects"`
}

// profile is a kind of fleet: it fills in one team, whose Name is set.
type profile func(team *Team, index int, options Options, random *rand.Rand)

// profiles are the kinds of fleets by name.
var profiles = map[string]profile{
	"uniform": uniform,
}

// Generate makes a fleet. The same options give the same teams, and a team of a
// smaller fleet has the same files in a larger one.
func Generate(options Options) ([]Team, error) {
	if options.Teams < 1 || options.Apps < 1 {
		return nil, errors.New("generate fleet: ask for at least one team and one application")
	}
	if options.Profile == "" {
		options.Profile = "uniform"
	}
	if options.PollInterval == 0 {
		options.PollInterval = time.Minute
	}
	if options.SyncInterval == 0 {
		options.SyncInterval = 5 * time.Minute
	}
	if options.PollInterval < 0 || options.SyncInterval < 0 {
		return nil, errors.New("generate fleet: intervals must be positive")
	}
	fill, found := profiles[options.Profile]
	if !found {
		known := slices.Sorted(maps.Keys(profiles))
		return nil, fmt.Errorf("generate fleet: no profile %q; there is %s", options.Profile, strings.Join(known, ", "))
	}
	teams := make([]Team, options.Teams)
	for i := range teams {
		teams[i].Name = teamName(i)
		fill(&teams[i], i, options, randomFor(options.Seed, teams[i].Name))
	}
	return teams, nil
}

// randomFor is the source of chance for one team, or one act of a team, so that
// neither order nor number of the others matters.
func randomFor(seed int64, words ...string) *rand.Rand {
	sum := fnv.New64a()
	for _, word := range words {
		_, _ = sum.Write([]byte(word + "\x00")) // never fails
	}
	return rand.New(rand.NewPCG(uint64(seed), sum.Sum64()))
}

// uniform is a fleet without oddities: explicit namespaces, no autoscalers, the
// chart's default rights. Of each three agents one collects garbage, and of each
// four one uses HTTP, starting with the second, so that small fleets have both.
func uniform(team *Team, index int, options Options, random *rand.Rand) {
	team.Repo = team.Name
	team.Branch = []string{"main", "main", "master"}[random.IntN(3)]
	team.Environment, team.Path = environment, environment
	team.Namespace = team.Name
	team.Release, team.AgentNamespace = "flux-"+team.Name, AgentNamespace
	team.GarbageCollection = index%3 == 0
	team.SSH = index%4 != 1
	team.Files = map[string][]byte{"README.md": readme(team)}
	apps := applications(team.Name, options.Apps, random)
	for _, env := range []string{environment, "staging"} {
		namespace := team.Namespace
		if env != environment {
			namespace += "-" + env
		}
		objects := team.addFiles(env+"/namespace", layoutHelm, "namespace", []manifest{namespaceManifest(team.Name, namespace, env)})
		for _, app := range apps {
			objects += team.addFiles(env+"/"+app.Name, app.layout, app.Name, app.manifests(namespace, env))
		}
		if env == environment {
			team.Objects = objects
		}
	}
	team.Values = uniformValues(team, options)
}

// uniformValues are chart values as a platform team writes them: only what
// differs from the chart's defaults.
func uniformValues(team *Team, options Options) map[string]any {
	git := map[string]any{
		"path":         team.Path,
		"pollInterval": options.PollInterval.String(),
		"user":         "flux-" + team.Name,
		"email":        "flux-" + team.Name + "@example.com",
	}
	if team.Branch != "master" {
		git["branch"] = team.Branch
	}
	values := map[string]any{
		"git": git,
		// The default of 1m is short where many agents start on a small machine; a
		// sync that misses it is tried again only after the interval.
		"sync":      map[string]any{"interval": options.SyncInterval.String(), "timeout": "5m"},
		"registry":  map[string]any{"disableScanning": true},
		"resources": map[string]any{"requests": map[string]any{"cpu": "1", "memory": "512Mi"}},
	}
	if team.SSH {
		git["secretName"] = team.KeySecret()
	} else {
		values["env"] = map[string]any{"secretName": team.CredentialsSecret()}
	}
	if team.GarbageCollection {
		values["syncGarbageCollection"] = map[string]any{"enabled": true}
	}
	return values
}

// KeySecret is the Secret with the team's deploy key, key "identity".
func (t *Team) KeySecret() string { return t.Release + "-key" }

// CredentialsSecret is the Secret with the team's user and password for HTTP,
// keys GIT_AUTHUSER and GIT_AUTHKEY, percent-encoded as they go into a URL.
func (t *Team) CredentialsSecret() string { return t.Release + "-credentials" }

// GitAddresses are what a Git server tells about itself.
type GitAddresses interface {
	HTTPURL(repo string) string
	SSHURL(repo string) string
	KnownHosts() string
}

// ChartValues are the values of the team's release for a Git server.
func (t *Team) ChartValues(server GitAddresses) map[string]any {
	values := maps.Clone(t.Values)
	git := maps.Clone(t.Values["git"].(map[string]any))
	values["git"] = git
	if t.SSH {
		git["url"] = server.SSHURL(t.Repo)
		values["ssh"] = map[string]any{"known_hosts": server.KnownHosts()}
	} else {
		scheme, rest, _ := strings.Cut(server.HTTPURL(t.Repo), "://")
		git["url"] = scheme + "://$(GIT_AUTHUSER):$(GIT_AUTHKEY)@" + rest
	}
	return values
}

var teamWords = []string{
	"payments", "checkout", "search", "catalog", "identity", "shipping", "pricing", "inventory", "billing", "notifications",
	"recommendations", "fraud", "loyalty", "returns", "orders", "media", "messaging", "analytics", "reporting", "risk",
	"onboarding", "accounts", "subscriptions", "promotions", "reviews", "content", "delivery", "warehouse", "support", "marketing",
	"ledger", "treasury", "compliance", "partners", "marketplace", "mobile", "storefront", "geo", "scheduling", "documents",
	"consent", "experiments", "invoicing", "logistics", "merchants", "profiles", "sourcing", "tracking", "vouchers", "wallet",
}

// teamName is the name of the i-th team: words, then words with a region, then
// with a number.
func teamName(i int) string {
	word, round := teamWords[i%len(teamWords)], i/len(teamWords)
	regions := []string{"", "-eu", "-us", "-apac"}
	if round < len(regions) {
		return word + regions[round]
	}
	return word + "-" + strconv.Itoa(round)
}

var appWords = []string{
	"api", "web", "worker", "gateway", "scheduler", "notifier", "importer", "exporter", "frontend", "events",
	"reports", "cache-warmer", "admin", "webhooks", "sync", "rules", "indexer", "auditlog", "adapter", "batch",
}

func readme(team *Team) []byte {
	return fmt.Appendf(nil, "# %s\n\nManifests of team %s, rendered by CI. Flux syncs `%s/` of branch `%s`.\n\n"+
		"Each folder below an environment is one application. Do not edit by hand.\n", team.Name, team.Name, team.Path, team.Branch)
}
