package terraform

import (
	"maps"
	"net"
	"net/url"
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
	// Name is that of the cluster for the cloud that runs it: of the data source or
	// resource of a cluster that Server is taken from, or of the program that gives
	// the token.
	Name *Node
	// Place is where the cluster of that name is, as far as it is known.
	Place Place
	// Source is the data source or resource of one cluster that Server is taken
	// from, when Terraform runs; "" if it is none, or not known which.
	Source   string
	Position Position
}

// Place is where a cluster is: the parts of it that are known, by what they are.
// Names of clusters are unique within a place, and no further.
type Place map[string]string

// The parts of a place, in the order in which [Cluster.FullName] has them. That
// of the role is where the role is that the program assumes which gives the token: it
// may be another than the cluster's.
const (
	partAccount       = "account"
	partRole          = "account of the role"
	partSubscription  = "subscription"
	partProject       = "project"
	partResourceGroup = "resource group"
	partRegion        = "region"
	partLocation      = "location"
	partCloud         = "cloud" // in no name
)

var placeParts = []string{partAccount, partRole, partSubscription, partProject, partResourceGroup, partRegion, partLocation}

// Contradicts reports whether two places are known to be different: both know some
// part, and it is not the same. What one of them does not know tells nothing.
func (p Place) Contradicts(other Place) bool {
	for part, text := range p {
		if o := other[part]; o != "" && text != "" && !strings.EqualFold(o, text) {
			return true
		}
	}
	return false
}

// Differs is Contradicts without the account of the program's role: one cluster may
// give tokens to roles of several.
func (p Place) Differs(other Place) bool {
	own := maps.Clone(p)
	delete(own, partRole)
	return own.Contradicts(other)
}

// Says is what the configuration says of its cluster, in the order in which it
// counts: the server, the name, the context; "" where it says nothing. Two of
// which one says nothing that the other says cannot be compared. Else the first
// that both say tells whether they lead to one cluster: they do if it is the
// same and, of a name, if their places do not contradict each other.
func (c Cluster) Says() [3]string { return [3]string{c.ServerURL(), c.name(), c.context()} }

// FullName is the cluster's name after what is known of its place, as
// ACCOUNT/REGION/NAME; "" without a name.
func (c Cluster) FullName() string {
	if c.name() == "" {
		return ""
	}
	var words []string
	for _, part := range placeParts {
		if text := c.Place[part]; text != "" {
			words = append(words, text)
		}
	}
	return strings.Join(append(words, c.name()), "/")
}

// String is every part of a place with what it is; the same for places that are.
func (p Place) String() string {
	var words []string
	for _, part := range append([]string{partCloud}, placeParts...) {
		if text := p[part]; text != "" {
			words = append(words, part+" "+text)
		}
	}
	return strings.Join(words, ", ")
}

// CloudName takes the place out of a name that clouds' programs write into a
// kubeconfig: arn:aws:eks:REGION:ACCOUNT:cluster/NAME, NAME.REGION.eksctl.io and
// gke_PROJECT_LOCATION_NAME. Any other name stays as it is.
func CloudName(text string) (name string, place Place) {
	if parts := strings.SplitN(text, ":", 6); len(parts) == 6 && parts[0] == "arn" && parts[2] == "eks" {
		if name, ok := strings.CutPrefix(parts[5], "cluster/"); ok {
			return name, Place{partCloud: "aws", partRegion: parts[3], partAccount: parts[4]}
		}
	}
	if parts := strings.SplitN(text, "_", 4); len(parts) == 4 && parts[0] == "gke" {
		return parts[3], Place{partCloud: "google", partProject: parts[1], partLocation: parts[2]}
	}
	if whole, ok := strings.CutSuffix(text, ".eksctl.io"); ok {
		if name, region, ok := strings.Cut(whole, "."); ok {
			return name, Place{partCloud: "aws", partRegion: region}
		}
	}
	return text, nil
}

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
	if full := c.FullName(); full != "" {
		parts = append(parts, "cluster "+full)
	} else {
		add("cluster", c.Name)
	}
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
	p := r.configuration(ref)
	if p == nil {
		return out
	}
	out.Configured, out.Position = true, p.Position
	if len(p.Ref.Unknown) > 0 {
		return out // one block stands for several configurations
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

// configuration is the block of a provider configuration; nil if there is none.
func (r *Result) configuration(ref ProviderRef) *ProviderConfig {
	var several *ProviderConfig
	for i := range r.Providers {
		p := &r.Providers[i]
		if p.Ref.Name != ref.Name || p.Ref.Alias != ref.Alias || p.Ref.Module != ref.Module || p.Ref.Key != ref.Key && p.Ref.Key != "[*]" {
			continue
		}
		if len(p.Ref.Unknown) == 0 {
			return p
		}
		several = p
	}
	return several
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
// cluster: aws, aws-iam-authenticator. roleFlags tell them the role to assume, and
// regionVariables the region, as --region does.
var (
	clusterFlags    = []string{"--cluster-name", "--cluster-id", "-i"}
	roleFlags       = []string{"--role-arn", "--role", "-r"}
	regionVariables = []string{"AWS_REGION", "AWS_DEFAULT_REGION"}
)

// tokenCluster is the cluster that the program which gives the token is asked
// for, and what it is told of its place.
func (c connection) tokenCluster() (name *Node, place Place) {
	var region, role *Node
	if env := c.field("exec", "env"); env != nil && env.Kind == Map {
		for _, variable := range regionVariables {
			if region == nil {
				region = env.Map[variable]
			}
		}
	}
	args := c.field("exec", "args")
	if args == nil || args.Kind != List {
		return nil, nil
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
		switch {
		case slices.Contains(clusterFlags, flag) && name == nil:
			name = to
		case slices.Contains(roleFlags, flag):
			role = to
		case flag == "--region":
			region = to
		}
	}
	place = Place{}
	place[partRegion], _ = region.Str()
	arn, _ := role.Str()
	place[partRole] = accountOf(arn)
	return name, place
}

// accountOf is the account in the name of a role; "" if it is no such name.
func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[0] == "arn" {
		return parts[4]
	}
	return ""
}

// name finds the name of the cluster for its cloud, and its place. The data source
// or resource of the cluster that the server is taken from tells both; without one,
// what the program is told that gives the token, whose region counts as well where
// only that of a cluster in its cloud is not known.
func (r *Result) name(out *Cluster, c connection) {
	name, place := c.tokenCluster()
	if of := r.serverOf(out.Server); of != nil {
		region := place[partRegion]
		if place = r.placeOf(of); place[partRegion] == "" && of.Type == "aws_eks_cluster" {
			place[partRegion] = region
		}
		if len(of.Unknown) == 0 { // else it may be several
			out.Source = of.Address
		}
		if own := of.Body.field(r.loader, "name"); own != nil && own.Kind == Scalar {
			name = own
		}
	}
	out.Name = name
	text, ok := name.Str()
	if !ok {
		return
	}
	bare, within := CloudName(text)
	if within != nil {
		out.Name = &Node{Kind: Scalar, Scalar: bare, Origin: name.Origin}
	}
	out.Place = Place{}
	for _, p := range []Place{place, within} {
		for part, text := range p {
			if text != "" {
				out.Place[part] = text
			}
		}
	}
}

// clusterTypes are the data sources and resources of which each is one cluster, with
// its name. Others may tell the servers of several.
var clusterTypes = []string{
	"aws_eks_cluster", "google_container_cluster", "azurerm_kubernetes_cluster", "digitalocean_kubernetes_cluster", "civo_kubernetes_cluster",
	"scaleway_k8s_cluster", "oci_containerengine_cluster", "ovh_cloud_project_kube", "exoscale_sks_cluster", "ibm_container_cluster",
	"ibm_container_vpc_cluster", "yandex_kubernetes_cluster", "kind_cluster", "k3d_cluster",
}

// serverOf is the one data source or resource of a cluster that a server is taken
// from, when Terraform runs; nil if it is none.
func (r *Result) serverOf(server *Node) *Resource {
	if server == nil || server.Kind != Unknown || len(server.Causes) != 1 {
		return nil
	}
	cause := server.Causes[0]
	if cause.Kind != CauseData && cause.Kind != CauseComputed {
		return nil
	}
	for _, x := range r.Resources {
		if slices.Contains(clusterTypes, x.Type) && strings.HasPrefix(cause.Name, x.Address+".") {
			return x
		}
	}
	return nil
}

// placeOf is where a cluster is: as its resource or data source says and, for the
// rest, as the configuration of that one's provider does, where that settles it.
// A profile tells nothing of it, and a role in which account it is.
func (r *Result) placeOf(x *Resource) Place {
	cloud, _, _ := strings.Cut(x.Type, "_")
	provider := &Body{}
	if p := r.configuration(x.Provider); p != nil && len(p.Ref.Unknown) == 0 {
		provider = p.Body
	}
	// first is the first of some arguments that is set; "" if it is not known.
	first := func(b *Body, names ...string) (text string, set bool) {
		for _, name := range names {
			if n := b.field(r.loader, name); n != nil {
				if text, known := n.Str(); !known || text != "" {
					return text, true
				}
			}
		}
		return "", false
	}
	place := Place{}
	take := func(part string, own []string, ofProvider ...string) {
		text, set := first(x.Body, own...)
		if !set {
			text, _ = first(provider, ofProvider...)
		}
		place[part] = text
	}
	take(partProject, []string{"project"})
	take(partResourceGroup, []string{"resource_group_name"})
	take(partRegion, []string{"region"})
	take(partLocation, []string{"location", "zone"})
	switch cloud {
	case "aws":
		take(partRegion, []string{"region"}, "region")
		place[partAccount] = r.accountOf(provider)
	case "google":
		// The provider's region is not where clusters are looked for.
		take(partProject, []string{"project"}, "project")
		take(partLocation, []string{"location", "region", "zone"}, "zone")
		delete(place, partRegion)
	case "azurerm":
		delete(place, partLocation) // which has several spellings, and its group tells as much
		take(partSubscription, nil, "subscription_id")
	default:
		return place // a cluster may be known to several of them
	}
	place[partCloud] = cloud
	return place
}

// accountOf is the account that a configuration of the provider aws works in, as the
// last role that it assumes tells it, or the only account that is allowed; "" if
// that is not known.
func (r *Result) accountOf(provider *Body) string {
	for _, way := range []string{"assume_role", "assume_role_with_web_identity"} {
		roles := provider.All(way)
		if len(roles) == 0 {
			continue
		}
		for _, role := range roles {
			if len(role.Unknown) > 0 {
				return ""
			}
		}
		arn, _ := roles[len(roles)-1].Body.field(r.loader, "role_arn").Str()
		return accountOf(arn)
	}
	if allowed := provider.field(r.loader, "allowed_account_ids"); allowed != nil && allowed.Kind == List && len(allowed.List) == 1 {
		account, _ := allowed.List[0].Str()
		return account
	}
	return ""
}
