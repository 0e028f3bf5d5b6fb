package discover

import (
	"strings"
	"testing"
)

func TestPublishedKeysCompleteKnownHosts(t *testing.T) {
	const own = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n"
	for name, c := range map[string]struct {
		lines, url string
		want       []string // hosts of the lines, in order
	}{
		"a service":                           {"", "ssh://git@github.com/org/app", []string{"github.com", "github.com"}},
		"its default port":                    {"", "ssh://git@github.com:22/org/app", []string{"github.com", "github.com"}},
		"its door on port 443":                {"", "ssh://git@ssh.github.com:443/org/app", []string{"[ssh.github.com]:443", "[ssh.github.com]:443"}},
		"GitLab's door on port 443":           {"", "ssh://git@altssh.gitlab.com:443/org/app", []string{"[altssh.gitlab.com]:443", "[altssh.gitlab.com]:443"}},
		"a port of a service that it has not": {"", "ssh://git@github.com:2222/org/app", nil},
		"a door whose keys are not published": {"", "ssh://git@altssh.bitbucket.org:443/org/app", nil},
		"Google's port":                       {"", "ssh://u@source.developers.google.com:2022/p/x/r/y", []string{"[source.developers.google.com]:2022"}},
		"beside lines of the agent's own":     {strings.TrimSpace(own), "ssh://git@gitlab.com/org/app", []string{"git.example.com", "gitlab.com", "gitlab.com"}},
		"the agent's own lines count":         {"github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n", "ssh://git@github.com/org/app", []string{"github.com"}},
		"another server":                      {own, "ssh://git@git.example.com/org/app", []string{"git.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := withPublishedKeys(c.lines, c.url)
			var hosts []string
			for line := range strings.Lines(got) {
				fields := strings.Fields(line)
				if len(fields) != 3 {
					t.Fatalf("line %q", line)
				}
				hosts = append(hosts, fields[0])
			}
			if strings.Join(hosts, " ") != strings.Join(c.want, " ") {
				t.Errorf("lines for %q, want %q", hosts, c.want)
			}
		})
	}
}
