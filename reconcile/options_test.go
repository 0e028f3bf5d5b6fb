package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// withFlags are the options of tests as the agent's command line changes them.
func withFlags(t *testing.T, dir string, args ...string) Options {
	t.Helper()
	opts := testOptions(dir)
	flags := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	opts.BindFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return opts
}

func TestEachFlagSetsItsOwnOption(t *testing.T) {
	cases := map[string]func(*Options){
		"--storage-path=/x":                   func(o *Options) { o.StoragePath = "/x" },
		"--storage-addr=:1":                   func(o *Options) { o.StorageAddr = ":1" },
		"--storage-adv-addr=x:1":              func(o *Options) { o.StorageAdvAddr = "x:1" },
		"--max-tree-bytes=7":                  func(o *Options) { o.MaxTreeBytes = 7 },
		"--metrics-addr=:1":                   func(o *Options) { o.MetricsAddr = ":1" },
		"--health-addr=:1":                    func(o *Options) { o.HealthAddr = ":1" },
		"--events-addr=http://x":              func(o *Options) { o.EventsAddr = "http://x" },
		"--concurrent=7":                      func(o *Options) { o.Concurrent = 7 },
		"--concurrent-ssa=7":                  func(o *Options) { o.ConcurrentSSA = 7 },
		"--requeue-dependency=7s":             func(o *Options) { o.RequeueDependency = 7 * time.Second },
		"--full-check=7s":                     func(o *Options) { o.FullCheck = 7 * time.Second },
		"--no-cross-namespace-refs":           func(o *Options) { o.NoCrossNamespaceRefs = true },
		"--no-remote-bases=false":             func(o *Options) { o.NoRemoteBases = false },
		"--default-service-account=x":         func(o *Options) { o.DefaultServiceAccount = "x" },
		"--deletion-budget=7":                 func(o *Options) { o.DeletionBudget = 7 },
		"--override-manager=x":                func(o *Options) { o.OverrideManagers = []string{"x"} },
		"--enable-leader-election":            func(o *Options) { o.EnableLeaderElection = true },
		"--leader-election-lease-duration=7s": func(o *Options) { o.LeaseDuration = 7 * time.Second },
		"--leader-election-renew-deadline=7s": func(o *Options) { o.RenewDeadline = 7 * time.Second },
		"--leader-election-retry-period=7s":   func(o *Options) { o.RetryPeriod = 7 * time.Second },
		"--watch-label-selector=x=y":          func(o *Options) { o.WatchLabelSelector = "x=y" },
		"--watch-all-namespaces=false":        func(o *Options) { o.WatchAllNamespaces = false },
		"--runtime-namespace=x":               func(o *Options) { o.Namespace = "x" },
		"--kube-api-qps=7":                    func(o *Options) { o.QPS = 7 },
		"--kube-api-burst=7":                  func(o *Options) { o.Burst = 7 },
		"--log-level=error":                   func(o *Options) { o.LogLevel = "error" },
	}
	given := map[string]bool{}
	for arg, change := range cases {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		given[name] = true
		want := testOptions("/data")
		change(&want)
		if d := cmp.Diff(want, withFlags(t, "/data", arg)); d != "" {
			t.Errorf("%s: %s", arg, d)
		}
	}
	opts, flags := NewOptions(), pflag.NewFlagSet("agent", pflag.ContinueOnError)
	opts.BindFlags(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		if !given[f.Name] {
			t.Errorf("--%s is tried by no case", f.Name)
		}
	})
}

func TestFlagsOfTheContractExistAndDefaultsAreValid(t *testing.T) {
	opts := NewOptions()
	flags := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	opts.BindFlags(flags)
	for _, name := range strings.Fields("storage-path storage-addr storage-adv-addr metrics-addr health-addr events-addr concurrent requeue-dependency " +
		"no-cross-namespace-refs no-remote-bases default-service-account enable-leader-election watch-label-selector log-level full-check deletion-budget") {
		if flags.Lookup(name) == nil {
			t.Errorf("flag --%s is missing", name)
		}
	}
	if err := flags.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if err := opts.Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	if !opts.EnableLeaderElection {
		t.Error("by default it acts beside an agent, or stock controllers, that run already")
	}
}

func TestWrongFlagsAreAllNamed(t *testing.T) {
	opts := NewOptions()
	flags := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	opts.BindFlags(flags)
	err := flags.Parse([]string{"--concurrent=0", "--full-check=0s", "--no-remote-bases=false", "--watch-label-selector==", "--log-level=loud",
		"--deletion-budget=-1", "--storage-path=", "--enable-leader-election", "--leader-election-renew-deadline=1m"})
	if err != nil {
		t.Fatal(err)
	}
	err = opts.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"--concurrent", "--full-check", "--no-remote-bases", "--watch-label-selector", "--log-level", "--deletion-budget", "--storage-path", "leader election"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in: %v", want, err)
		}
	}
}
