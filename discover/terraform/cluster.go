package terraform

import (
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
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
	// taken from; after its place, as REGION/NAME, where that is said.
	Name     *Node
	Position Position

	dir      string            // in which terraform runs, absolute
	place    map[string]string // the parts before the name, by [placeParts]
	unplaced string            // what tells Name from others where a part of its place is not known
}

// In is a part of the place of the cluster that [Cluster.Name] names: "region",
// "location", "project", "role_arn"; empty where it is not said.
func (c Cluster) In(part string) string { return c.place[part] }

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

func (c Cluster) name() string {
	s, ok := c.Name.Str()
	if ok && c.unplaced != "" {
		return c.unplaced + "/" + s
	}
	return s
}

// context is the kubeconfig's context; one of the same name in another file is
// another context.
func (c Cluster) context() string {
	s, ok := c.Context.Str()
	if !ok || s == "" {
		return ""
	}
	file, known := c.Kubeconfig.Str()
	switch {
	case c.Kubeconfig != nil && !known:
		file = c.dir + "?" + c.Kubeconfig.String() // whichever it is, one of another folder may be another
	case file != "" && !path.IsAbs(file) && !strings.HasPrefix(file, "~"):
		file = path.Join(c.dir, file)
	}
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
	if r.loader != nil {
		out.dir = r.loader.absolute(r.loader.dir)
	}
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
		r.name(&out, c)
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
// cluster: aws, aws-iam-authenticator. placeFlags and placeVariables tell them its
// place, by the arguments of the provider aws that say the same.
var (
	clusterFlags   = []string{"--cluster-name", "--cluster-id", "-i"}
	placeFlags     = map[string]string{"--region": "region", "--profile": "profile", "--role-arn": "role_arn", "--role": "role_arn", "-r": "role_arn"}
	placeVariables = map[string]string{"AWS_REGION": "region", "AWS_DEFAULT_REGION": "region", "AWS_PROFILE": "profile"}
)

// placeParts are the parts of a place, in the order in which they stand before a
// name: in whose account it is, then where. Names of clusters are unique within.
var placeParts = []string{"subscription_id", "profile", "role_arn", "project", "resource_group_name", "region", "location"}

// tokenCluster is the cluster that the program which gives the token is asked
// for, and its place.
func (c connection) tokenCluster() (name *Node, place map[string]*Node) {
	place = map[string]*Node{}
	if env := c.field("exec", "env"); env != nil && env.Kind == Map {
		for _, variable := range sortedKeys(placeVariables) {
			if n := env.Map[variable]; n != nil {
				place[placeVariables[variable]] = n
			}
		}
	}
	args := c.field("exec", "args")
	if args == nil || args.Kind != List {
		return nil, place
	}
	for i, n := range args.List {
		text, ok := n.Str()
		if !ok {
			continue
		}
		flag, value, given := strings.Cut(text, "=")
		to := &Node{Kind: Scalar, Scalar: value, Origin: n.Origin}
		if !given {
			if i+1 == len(args.List) {
				continue
			}
			to = args.List[i+1]
		}
		switch part := placeFlags[flag]; {
		case slices.Contains(clusterFlags, flag) && name == nil:
			name = to
		case part != "":
			place[part] = to
		}
	}
	return name, place
}

// name finds the name of the cluster for its cloud, and its place: as the program
// is told that gives the token, else as the data source or resource has it from
// which the server is taken. What the program is not told of the place, the other
// has; unless both are of different names.
func (r *Result) name(out *Cluster, c connection) {
	name, place := c.tokenCluster()
	of := r.serverOf(out.Server)
	if of != nil {
		own := of.Body.field(r.loader, "name")
		text, known := own.Str()
		switch asked, ok := name.Str(); {
		case name == nil && !known:
			return
		case name == nil:
			name = own
		case ok && known && asked != text:
			of = nil
		}
	}
	if of != nil {
		for part, n := range r.placeOf(of) {
			if place[part] == nil {
				place[part] = n
			}
		}
	}
	text, ok := name.Str()
	if out.Name = name; !ok {
		return
	}
	var words, open []string
	out.place = map[string]string{}
	for _, part := range placeParts {
		switch s, ok := place[part].Str(); {
		case ok && s != "":
			out.place[part] = s
			words = append(words, strings.ReplaceAll(s, "/", ":"))
		case place[part] != nil && place[part].Kind != Scalar:
			open = append(open, part+"="+place[part].String())
		}
	}
	if open != nil { // the same words in another folder may mean another place
		out.unplaced = strings.ReplaceAll("?"+out.dir+" "+strings.Join(open, " "), "/", ":")
	}
	out.Name = &Node{Kind: Scalar, Scalar: strings.Join(append(words, text), "/"), Origin: name.Origin}
}

// serverOf is the one data source or resource that a server is taken from, when
// Terraform runs; nil if it is none.
func (r *Result) serverOf(server *Node) *Resource {
	if server == nil || server.Kind != Unknown || len(server.Causes) != 1 {
		return nil
	}
	cause := server.Causes[0]
	if cause.Kind != CauseData && cause.Kind != CauseComputed {
		return nil
	}
	for _, x := range r.Resources {
		if strings.HasPrefix(cause.Name, x.Address+".") {
			return x
		}
	}
	return nil
}

// placeOf is where a cluster is: what it says itself and, for the rest, what the
// configuration of its provider says.
func (r *Result) placeOf(x *Resource) map[string]*Node {
	place := map[string]*Node{}
	take := func(b *Body, parts ...string) {
		for _, part := range parts {
			if n := b.field(r.loader, part); n != nil && place[part] == nil {
				place[part] = n
			}
		}
	}
	take(x.Body, "project", "resource_group_name", "region", "location")
	for i := range r.Providers {
		p := &r.Providers[i]
		if p.Ref.Name != x.Provider.Name || p.Ref.Alias != x.Provider.Alias || p.Ref.Module != x.Provider.Module || p.Ref.Key != x.Provider.Key {
			continue
		}
		take(p.Body, "subscription_id", "profile", "project")
		if place["region"] == nil && place["location"] == nil {
			take(p.Body, "region")
		}
		for _, role := range p.Body.All("assume_role") {
			take(role.Body, "role_arn")
		}
	}
	return place
}
