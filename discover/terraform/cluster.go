package terraform

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Cluster is what a provider configuration says about the cluster that it talks
// to. A nil Node means that the configuration does not say.
type Cluster struct {
	Provider ProviderRef
	// Configured is false where the tree holds no block of that provider
	// configuration: then the environment decides, or whoever calls the module.
	Configured bool
	Server     *Node // host
	Context    *Node // config_context of a kubeconfig
	Kubeconfig *Node // config_path, or the first of config_paths
	// Name is that of the cluster for the cloud that runs it: of the program
	// that gives the token, or of the data source or resource that Server is
	// taken from.
	Name     *Node
	Position Position
}

// Says is what the configuration says of its cluster, in the order in which it
// counts: the server, the name, the context; "" where it says nothing. Two of
// which one says nothing that the other says cannot be compared. Else the first
// that both say tells whether they lead to one cluster: they do if it is the
// same, or if one of them has its place before it, as PROJECT/NAME has.
func (c Cluster) Says() [3]string { return [3]string{c.ServerURL(), c.name(), c.context()} }

// ServerURL is the API server's address in one spelling; "" if it is not known.
func (c Cluster) ServerURL() string {
	s, _ := c.Server.Str()
	return ServerURL(s)
}

// ServerURL brings the address of an API server to one spelling: with the
// scheme https, the port unless it is the scheme's own, and without a slash at
// the end. It returns "" for what is no address.
func ServerURL(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return ""
	}
	// Whoever writes a password before the host finds it left out here.
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		port = ""
	}
	if port != "" {
		host = net.JoinHostPort(host, port)
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host + strings.TrimRight(u.Path, "/")
}

func (c Cluster) name() string { s, _ := c.Name.Str(); return s }

// context is the kubeconfig's context; one of the same name in another file is
// another context.
func (c Cluster) context() string {
	s, ok := c.Context.Str()
	if !ok || s == "" {
		return ""
	}
	file, _ := c.Kubeconfig.Str()
	return file + "#" + s
}

// String says in words which cluster it is.
func (c Cluster) String() string {
	var parts []string
	add := func(what string, n *Node) {
		switch {
		case n == nil:
		case n.Kind == Scalar && n.Scalar != nil && n.Scalar != "":
			parts = append(parts, what+" "+n.String())
		case n.Kind == Unknown && n.Text != "":
			parts = append(parts, what+" "+n.Text)
		}
	}
	if c.ServerURL() != "" {
		parts = append(parts, "server "+c.ServerURL())
	}
	add("cluster", c.Name)
	add("context", c.Context)
	if len(parts) == 0 {
		add("kubeconfig", c.Kubeconfig)
	}
	if len(parts) == 0 && c.Server != nil && c.Server.Kind == Unknown {
		parts = append(parts, "server unknown: "+strings.Join(causeTexts(c.Server.Causes), "; "))
	}
	return strings.Join(parts, ", ")
}

// Cluster returns what the configuration of a provider that talks to
// Kubernetes says about its cluster: of helm, kubernetes, kubectl and others
// that use the same arguments.
func (r *Result) Cluster(ref ProviderRef) Cluster {
	out := Cluster{Provider: ref}
	for i := range r.Providers {
		p := &r.Providers[i]
		if p.Ref.Name != ref.Name || p.Ref.Alias != ref.Alias || p.Ref.Module != ref.Module || p.Ref.Key != ref.Key && p.Ref.Key != "[*]" {
			continue
		}
		out.Configured, out.Position = true, p.Position
		if len(p.Ref.Unknown) > 0 {
			continue // one block stands for several configurations
		}
		c := connection{r.loader, p.Body}
		out.Server, out.Context = c.field("host"), c.field("config_context")
		if out.Context == nil {
			out.Context = c.field("config_context_cluster")
		}
		if out.Kubeconfig = c.field("config_path"); out.Kubeconfig == nil {
			if list := c.field("config_paths"); list != nil && list.Kind == List && len(list.List) > 0 {
				out.Kubeconfig = list.List[0]
			}
		}
		if out.Name = c.tokenCluster(); out.Name == nil && out.Server != nil {
			out.Name = r.clusterName(out.Server)
		}
		return out
	}
	return out
}

// connection is the arguments of a provider that say where its cluster is: its
// own, those of its block kubernetes, or of the object of that name (helm
// provider 3).
type connection struct {
	l    *loader
	body *Body
}

func (c connection) field(path ...string) *Node {
	find := func(b *Body) *Node {
		n := b.field(c.l, path[0])
		if n == nil {
			for _, x := range b.All(path[0]) {
				if len(path) > 1 {
					n = x.Body.field(c.l, path[1])
				}
			}
			return n
		}
		return n.Lookup(path[1:]...)
	}
	if n := c.body.field(c.l, "kubernetes"); n != nil {
		return n.Lookup(path...)
	}
	for _, b := range c.body.All("kubernetes") {
		if n := find(b.Body); n != nil {
			return n
		}
	}
	return find(c.body)
}

// clusterFlags are those by which the programs that give tokens are told the
// cluster: aws, aws-iam-authenticator.
var clusterFlags = []string{"--cluster-name", "--cluster-id", "-i"}

// tokenCluster is the cluster that the program which gives the token is asked
// for.
func (c connection) tokenCluster() *Node {
	args := c.field("exec", "args")
	if args == nil || args.Kind != List {
		return nil
	}
	for i, n := range args.List {
		text, ok := n.Str()
		if !ok {
			continue
		}
		if flag, value, given := strings.Cut(text, "="); given && slices.Contains(clusterFlags, flag) {
			return &Node{Kind: Scalar, Scalar: value, Origin: n.Origin}
		}
		if slices.Contains(clusterFlags, text) && i+1 < len(args.List) {
			return args.List[i+1]
		}
	}
	return nil
}

// clusterName finds the name of the cluster whose server is read when Terraform
// runs: that of the one data source or resource which it is taken from. For
// clouds whose names are not unique, the place is part of the name.
func (r *Result) clusterName(server *Node) *Node {
	if server.Kind != Unknown || len(server.Causes) != 1 {
		return nil
	}
	cause := server.Causes[0]
	if cause.Kind != CauseData && cause.Kind != CauseComputed {
		return nil
	}
	for _, x := range r.Resources {
		if !strings.HasPrefix(cause.Name, x.Address+".") {
			continue
		}
		var parts []string
		for _, n := range []string{"project", "resource_group_name", "region", "location", "name"} {
			a := x.Body.Attributes[n]
			switch {
			case a == nil:
			case a.Value.IsKnown() && !a.Value.IsNull() && a.Value.Type() == cty.String:
				parts = append(parts, a.Value.AsString())
			case n == "name":
				return nil
			}
		}
		if len(parts) == 0 || x.Body.Attributes["name"] == nil {
			return nil
		}
		return &Node{Kind: Scalar, Scalar: strings.Join(parts, "/"), Origin: Origin{Position: x.Position}}
	}
	return nil
}
