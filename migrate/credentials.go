package migrate

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// LastVariable is the entry of a container's env that sets a variable: of
// several of that name the last; nil without.
func LastVariable(container *corev1.Container, name string) *corev1.EnvVar {
	for i := len(container.Env) - 1; i >= 0; i-- {
		if container.Env[i].Name == name {
			return &container.Env[i]
		}
	}
	return nil
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

// credentials plans the copies of what the agent gives to its Git server and
// trusts of it, and gives the names of the new Secrets: for spec.secretRef and
// for spec.proxySecretRef. Empty means that none is needed.
func (b *repositoryBuilder) credentials() (secret, proxy string) {
	c := b.agent.Credential
	planned := Credential{To: ObjectRef{Namespace: AgentNamespace, Name: dnsName(b.name, "git")}, Kind: c.Kind, Agent: b.agent.ID, From: map[string]Value{}}
	switch c.Kind {
	case "ssh":
		b.sshCredential(&planned)
	case "basic":
		b.basicCredential(&planned)
	default:
		planned.Kind = "ca"
	}
	if c.Kind != "ssh" && c.CA != (Value{}) {
		planned.From["ca.crt"] = c.CA
	}
	if planned.Kind != "ca" || len(planned.From) > 0 {
		b.plan.Credentials, secret = append(b.plan.Credentials, b.owned(planned)), planned.To.Name
	}
	if c.Proxy != (Value{}) {
		to := ObjectRef{Namespace: AgentNamespace, Name: dnsName(b.name, "proxy")}
		b.plan.Credentials = append(b.plan.Credentials, b.owned(Credential{To: to, Kind: "proxy", Agent: b.agent.ID, From: map[string]Value{"address": c.Proxy}}))
		proxy = to.Name
	}
	return secret, proxy
}

// decryption plans the copy of the keys that decrypt the agent's files of SOPS,
// where one of the applications holds any, and gives the name of the new
// Secret.
func (b *repositoryBuilder) decryption(apps []application) string {
	if !slices.ContainsFunc(apps, func(a application) bool { return a.encrypted() }) {
		return ""
	}
	to := ObjectRef{Namespace: AgentNamespace, Name: dnsName(b.name, "sops")}
	from := map[string]Value{}
	for _, name := range b.agent.DecryptsWith {
		from[name] = b.agent.Decryption[name]
	}
	b.plan.Credentials = append(b.plan.Credentials, b.owned(Credential{To: to, Kind: KindDecryption, Agent: b.agent.ID, From: from}))
	return to.Name
}

// encrypted reports whether an object of the application stands encrypted in
// Git.
func (a *application) encrypted() bool {
	return slices.ContainsFunc(a.objects, func(o *Object) bool { return o.Encrypted })
}

func (b *repositoryBuilder) sshCredential(planned *Credential) {
	c := b.agent.Credential
	if c.Identity.Name != "" { // else the cluster alone tells it
		planned.From["identity"] = Value{Secret: &c.Identity}
	}
	host := ""
	if u, err := SourceURL(b.agent.Git.URL); err == nil {
		host = sshHost(u)
	}
	var unread int
	planned.KnownHosts, unread = ReadKnownHosts(c.KnownHosts)
	planned.KnownHosts = linesFor(planned.KnownHosts, host)
	known, more := hostKeys(c.KnownHosts, host)
	switch {
	case !known && lacksRight(b.plan.Findings, b.agent.ID, "configmaps", "secrets"):
		// A finding says what may not be read, and that may hold the line.
	case !known:
		message := fmt.Sprintf("no known_hosts line for %s was found, and Flux v2 connects to no server whose key it does not know", host)
		if unread > 0 {
			message += fmt.Sprintf("; lines that it cannot read, for which it would refuse the whole file, do not count: %d", unread)
		}
		b.find(Finding{
			Severity: Blocker, Code: "KNOWN_HOSTS_MISSING",
			Message: message,
			Hint:    "give the agent the line (chart value ssh.known_hosts), verified with the server's owner",
		})
	case unread > 0:
		b.find(Finding{
			Severity: Info, Code: "KNOWN_HOSTS_LEFT_OUT",
			Message: fmt.Sprintf("Flux v2 cannot read some lines of known_hosts, for which it would refuse the whole file, and they are not copied: %d; a key of %s stands in another one", unread, host),
			Hint:    "mend them where the agent has them (chart value ssh.known_hosts), if they are of use",
		})
	}
	if known && len(more) > 0 && cmp.Or(b.opts.Engine, "bundled") != "bundled" {
		b.find(Finding{
			Severity: Warning, Code: "KNOWN_HOSTS_FIRST_KEY",
			Message: fmt.Sprintf("known_hosts has several keys of %s of one type (%s), of which stock Flux v2 takes the first alone; fluxd takes each", host, strings.Join(more, ", ")),
			Hint:    "take the keys out of known_hosts that the server no longer shows (chart value ssh.known_hosts), or put the one that it shows first",
		})
	}
}

func (b *repositoryBuilder) basicCredential(planned *Credential) {
	c := b.agent.Credential
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
}

// owned says who keeps the Secret: who was named, else the configuration that
// declares the old agent, else somebody, which is worth a warning.
func (b *repositoryBuilder) owned(c Credential) Credential {
	named, given := b.opts.Owners[b.agent.ID]
	if !given {
		named, given = b.opts.Owners["*"]
	}
	switch {
	case given:
		c.Owner, c.OwnerWhy = named, "it was decided so"
	case b.agent.Terraform != nil:
		c.Owner, c.OwnerWhy = OwnerTerraform, "by default, since "+b.agent.Terraform.Address+" declares the old agent"
	default:
		c.Owner, c.OwnerWhy = OwnerExternal, "by default, since nobody was named"
		b.find(Finding{
			Severity: Info, Code: "CREDENTIAL_OWNER", Subject: b.agent.ID + " Secret/" + c.To.Namespace + "/" + c.To.Name,
			Message: fmt.Sprintf("nobody is named who makes Secret %s/%s anew; a cluster that is built again would lack it, and its sources with it", c.To.Namespace, c.To.Name),
			Hint:    fmt.Sprintf(`name who does, with "--credential-owner %s=terraform" or "=external" (or without the id, for all)`, b.agent.ID),
		})
	}
	if c.Owner == OwnerSOPS && cmp.Or(b.opts.Engine, "bundled") == "bundled" {
		b.find(Finding{
			Severity: Blocker, Code: "OWNER_NOT_SUPPORTED", Subject: b.agent.ID + " Secret/" + c.To.Namespace + "/" + c.To.Name,
			Message: "the Kustomizations of the flux-capacitor itself are made without decryption, so that an encrypted Secret in it would stop its team's folder",
			Hint:    "name another owner, or use an engine whose own Kustomization of the flux-capacitor decrypts (--engine existing)",
		})
	}
	return c
}
