package migrate

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

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
		// A token may stand alone as the user name; Flux v2 then sends it with
		// an empty password, as fluxd's git does. A password needs a user name
		// (source: fluxcd/pkg git/options.go, Validate).
		for key, value := range map[string]Value{"username": c.Username, "password": c.Password} {
			if value != (Value{}) && !c.tokenInPlainText() {
				planned.From[key] = value
			}
		}
		if c.tokenInPlainText() {
			b.find(Finding{
				Severity: Blocker, Code: "TOKEN_IN_PLAIN_TEXT",
				Message: "a user name without password, which may be a token, stands in plain text in the agent's environment; a plan holds no secret",
				Hint:    "take it from a Secret (env valueFrom), as the chart does with git.secretName",
			})
		}
		if strings.Contains(b.agent.Git.URL, "://@") {
			b.find(Finding{
				Severity: Blocker, Code: "USERNAME_MISSING",
				Message: "the Git URL holds a password and no user name, which Flux v2 refuses",
				Hint:    "put a user name before the password in --git-url; for a token any will do with most servers",
			})
		}
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
