package migrate

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// scpForm matches Git's short form "[user@]host:path".
var scpForm = regexp.MustCompile(`^(?:([^@/:]+)@)?([^/:@]+):(.*)$`)

// SourceURL rewrites a --git-url, without password, to the form that
// GitRepository.spec.url demands (reference 6.3): scp forms become ssh://, user
// and password leave http(s) URLs. Paths are kept verbatim; a number after the
// colon of an scp form is a path, not a port.
func SourceURL(raw string) (string, error) {
	if strings.Contains(raw, "://") {
		u, err := url.Parse(raw)
		if err != nil {
			return "", fmt.Errorf("the Git URL cannot be parsed")
		}
		switch u.Scheme {
		case "http", "https":
			u.User = nil
			return u.String(), nil
		case "ssh":
			if u.User != nil {
				u.User = url.User(u.User.Username())
			}
			return u.String(), nil
		}
		return "", fmt.Errorf("scheme %q of the Git URL is not supported", u.Scheme)
	}
	m := scpForm.FindStringSubmatch(raw)
	if m == nil {
		return "", fmt.Errorf("the Git URL %q is a path or of an unknown form", raw)
	}
	user := m[1]
	if user == "" {
		user = "git"
	}
	return "ssh://" + user + "@" + m[2] + "/" + strings.TrimPrefix(m[3], "/"), nil
}

// sshHost gives the host as it stands in known_hosts: "[host]:port" for a
// port other than 22.
func sshHost(sourceURL string) string {
	u, err := url.Parse(sourceURL)
	if err != nil {
		return ""
	}
	if p := u.Port(); p != "" && p != "22" {
		return "[" + u.Hostname() + "]:" + p
	}
	return u.Hostname()
}

// credential plans the copy of the agent's Git credential and gives the name
// of the new Secret; empty for anonymous access.
func (b *repositoryBuilder) credential() string {
	c := b.agent.Credential
	to := ObjectRef{Namespace: AgentNamespace, Name: dnsName(b.name, "git")}
	planned := Credential{To: to, Kind: c.Kind, Agent: b.agent.ID, From: map[string]Value{}}
	switch c.Kind {
	case "ssh":
		planned.From["identity"] = Value{Secret: &c.Identity}
		host := ""
		if u, err := SourceURL(b.agent.Git.URL); err == nil {
			host = sshHost(u)
		}
		planned.KnownHosts = c.KnownHosts
		if !knownHost(c.KnownHosts, host) {
			b.find(Finding{
				Severity: Blocker, Code: "KNOWN_HOSTS_MISSING",
				Message: fmt.Sprintf("no known_hosts line for %s was found, and Flux v2 connects to no server whose key it does not know", host),
				Hint:    "give the agent the line (chart value ssh.known_hosts), verified with the server's owner",
			})
		}
	case "basic":
		planned.From["username"] = c.Username
		planned.From["password"] = c.Password
	default:
		return ""
	}
	b.plan.Credentials = append(b.plan.Credentials, planned)
	return to.Name
}

// knownHost reports whether one of the lines is about the host. Hashed lines
// cannot be read and count as being about it.
func knownHost(lines, host string) bool {
	bare := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		bare = h
	}
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) < 3 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if strings.HasPrefix(fields[0], "@") {
			fields = fields[1:]
		}
		for name := range strings.SplitSeq(fields[0], ",") {
			if name == host || name == "*" || strings.HasPrefix(name, "|1|") || name == "["+bare+"]:*" {
				return true
			}
		}
	}
	return false
}
