package reconcile

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

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
