package kubelet

import (
	"testing"
	"time"
)

func TestExpandReplacesKnownNamesOnly(t *testing.T) {
	env := &environment{}
	env.set("A", "1")
	for text, want := range map[string]string{
		"": "", "plain": "plain", "$(A)": "1", "x$(A)y$(A)": "x1y1", "$(B)": "$(B)", "$$(A)": "$(A)", "$$$(A)": "$1",
		"$A": "$A", "cost $": "cost $", "$(A": "$(A", "a$$b": "a$b",
	} {
		if got := expand(text, env.lookup); got != want {
			t.Errorf("expand(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestArgumentsBelowAMountAreRewrittenAndOthersAreNot(t *testing.T) {
	mounts := []string{"/etc/git", "/data/"}
	for arg, want := range map[string]string{
		"/etc/git": "/pod/etc/git", "/etc/git/key": "/pod/etc/git/key", "/etc/gitconfig": "/etc/gitconfig",
		"--key=/etc/git/key": "--key=/pod/etc/git/key", "-k=/data/x": "-k=/pod/data/x", "--data=/data": "--data=/pod/data",
		"--url=ssh://host/etc/git/key": "--url=ssh://host/etc/git/key", "name=/etc/git": "name=/etc/git",
		"--listen=:3030": "--listen=127.1.2.3:3030", ":8080": "127.1.2.3:8080", "--listen=127.0.0.1:1": "--listen=127.0.0.1:1",
		"--ratio=:x": "--ratio=:x", "": "", "=": "=",
	} {
		if got := rewriteArg(arg, "/pod", "127.1.2.3", mounts); got != want {
			t.Errorf("rewriteArg(%q) = %q, want %q", arg, got, want)
		}
	}
}

func TestProcessStatIsReadWhateverTheProgramIsCalled(t *testing.T) {
	line := "42 (a) b (c) S 7 40 40 0 -1 4194560 100 0 0 0 150 50 30 20 20 0 5 0 1000 1000000 3 18446744073709551615"
	pid, process, err := parseStat(line)
	if err != nil {
		t.Fatal(err)
	}
	if pid != 42 || process.parent != 7 || process.group != 40 || process.cpu != 2500*time.Millisecond || process.rss%3 != 0 || process.rss == 0 {
		t.Errorf("read %d %+v", pid, process)
	}
	for _, bad := range []string{"", "42 S", "42 (x) S 1 2", "x (y) " + line[5:]} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q): no error", bad)
		}
	}
}

func TestBackOffIsImmediateOnceAndThenDoublesUpToALimit(t *testing.T) {
	c := &container{runs: 1}
	var waits []time.Duration
	for range 8 {
		c.delay(10 * time.Second)
		waits = append(waits, time.Until(c.nextStart).Round(time.Second))
		c.runs++
	}
	for i, want := range []time.Duration{0, 10, 20, 40, 80, 160, 300, 300} {
		if waits[i] != want*time.Second {
			t.Fatalf("waits %v, want 0 10 20 40 80 160 300 300 s", waits)
		}
	}
}
