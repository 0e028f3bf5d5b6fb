package chart

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// account makes a setting of every value that was given, so that none is
// lost: one for each value that the chart reads, one for each leaf of what it
// copies into manifests or does not read at all.
func (d *decoder) account(x any, path string) {
	k := keyNamed(path)
	if k != nil {
		d.accountKey(k, x)
		return
	}
	if path != "" && !leadsToKeys(path) {
		d.accountUnread(x, path)
		return
	}
	what := path
	if what == "" {
		what = "values"
	}
	switch m := x.(type) {
	case tree:
		d.accountMapping(m, path)
		if len(m) == 0 && path != "" {
			d.set(path, "{}", migrate.Dropped, "", "it is empty", "")
		}
	case Partial:
		d.accountMapping(m.Known, path)
		d.set(join(path, "*"), "", migrate.Unknown, "a known value", m.Cause, what)
	case Unknown:
		d.set(join(path, "*"), "", migrate.Unknown, "a known value", m.Cause, what)
	default:
		// Helm puts it in the place of all the defaults below.
		d.set(what, d.show(path, x, false), migrate.Blocks, "", "it takes the place of a mapping of values that the chart reads", "")
		said := func(f failure) bool { return path != "" && f.key == path && f.lacks != "" }
		if !slices.ContainsFunc(d.scope.failures, said) {
			d.find(ValueShape, what, "%s is %s, and the chart expects a mapping", what, typeName(x))
		}
	}
}

// accountMapping accounts for what a mapping of the values holds. A name with a dot in it
// is no path, and no chart reads one.
func (d *decoder) accountMapping(m tree, path string) {
	for _, name := range sortedKeys(m) {
		if strings.Contains(name, ".") && path != "global" && !strings.HasPrefix(path, "global.") {
			d.accountUnread(m[name], join(path, strings.ReplaceAll(name, ".", `\.`)))
			continue
		}
		d.account(m[name], join(path, name))
	}
}

// leadsToKeys reports whether some chart reads values below a path.
func leadsToKeys(path string) bool {
	return slices.ContainsFunc(keys, func(k chartKey) bool { return strings.HasPrefix(k.path, path+".") })
}

func (d *decoder) set(name, value string, fate migrate.Fate, to, why, where string) {
	if where == "" {
		where = name
	}
	d.out.Settings = append(d.out.Settings, migrate.Setting{
		Name: name, Value: value, Fate: fate, To: to, Why: why,
		From: []migrate.Origin{{Witness: Witness, Where: where}},
	})
}

// accountUnread keeps what no chart reads, leaf by leaf.
func (d *decoder) accountUnread(x any, path string) {
	if path == "global" {
		leaves(x, path, func(at string, leaf any) {
			d.set(at, d.show(at, leaf, false), migrate.Dropped, "", "it is Helm's, for charts within a chart, of which the flux chart has none", "")
		})
		return
	}
	if f, ok := formerValues[path]; ok {
		d.accountFormer(x, path, f)
		return
	}
	none := "no flux chart"
	if d.out.Unknown["version"] != "" && d.scope.release.Version != "" { // one of those before may
		none += " " + knownVersions
	}
	of := ""
	if strings.Contains(path, `\.`) {
		of = ", of whose name the dot is a part"
	}
	d.find(UnknownValue, path, "%s reads %s%s%s", none, path, of, nearest(path))
	leaves(x, path, func(at string, leaf any) {
		d.set(at, d.show(at, leaf, false), migrate.Unknown, migrate.ByFinding, none+" reads it", "")
	})
}

// formerValues are those that only charts before the first one that is known read, with
// the first and last of these (flux: the tags chart-0.2.0 to chart-0.4.1).
var formerValues = map[string][2]string{"helmOperator.git.chartsPath": {"0.2.0", "0.4.1"}}

// accountFormer keeps what only charts did read that are not known.
func (d *decoder) accountFormer(x any, path string, span [2]string) {
	why := fmt.Sprintf("no flux chart %s reads it; charts from %s to %s did", knownVersions, span[0], span[1])
	given, err := parseVersion(d.scope.release.Version)
	fate, to := migrate.Unknown, migrate.ByFinding
	if reads := err == nil && !given.before(v(span[0])) && !v(span[1]).before(given); reads {
		to, why = "the chart's version", d.out.Unknown["version"]
	} else {
		d.find(UnknownValue, path, "no flux chart %s reads %s; charts from %s to %s did", knownVersions, path, span[0], span[1])
	}
	leaves(x, path, func(at string, leaf any) { d.set(at, d.show(at, leaf, false), fate, to, why, "") })
}

// leaves visits what stands in a value at the end of every path. An empty list
// or mapping is a leaf.
func leaves(x any, path string, visit func(path string, leaf any)) {
	switch t := x.(type) {
	case tree:
		for _, k := range sortedKeys(t) {
			leaves(t[k], join(path, k), visit)
		}
		if len(t) == 0 {
			visit(path, t)
		}
	case Partial:
		for _, k := range sortedKeys(t.Known) {
			leaves(t.Known[k], join(path, k), visit)
		}
		visit(join(path, "*"), Unknown{Cause: t.Cause})
	case []any:
		for i := range t {
			leaves(t[i], path+"["+strconv.Itoa(i)+"]", visit)
		}
		if len(t) == 0 {
			visit(path, t)
		}
	default:
		visit(path, x)
	}
}

// accountKey accounts for a value that some chart reads.
func (d *decoder) accountKey(k *chartKey, x any) {
	switch {
	case !d.whole:
		leaves(x, k.path, func(at string, leaf any) {
			d.set(at, d.showLeaf(k, at, leaf), migrate.Unknown, "the chart's version", d.out.Unknown["version"], "")
		})
		return
	case !k.readBy(d.scope.at):
		why := fmt.Sprintf("chart %s does not read it; charts from %s do", d.scope.at, k.since)
		if !d.scope.at.before(k.since) {
			why = fmt.Sprintf("chart %s does not read it; charts before %s did", d.scope.at, k.until)
		}
		d.find(IgnoredValue, k.path, "%s has no effect: %s", k.path, why)
		leaves(x, k.path, func(at string, leaf any) {
			d.set(at, d.showLeaf(k, at, leaf), migrate.Dropped, "", why, "")
		})
		return
	}
	d.checkType(k, x)
	switch {
	case k.role == additional:
		d.accountAdditional(x)
	case k.role == environment && k.kind == free:
		d.accountEnvironment(k, x)
	case k.kind == free:
		leaves(x, k.path, func(at string, leaf any) {
			fate, to, why := d.fateOf(k, x)
			if slices.Contains(IdentityMaps, k.path) && leaf != "" && slices.ContainsFunc(PodIdentities, func(name string) bool { return at == join(k.path, name) }) {
				fate, to, why = migrate.Unknown, migrate.ByFinding, "it gives the agent's pods a role in a cloud, and the new agent has pods of its own"
			}
			if k.role == identity && slices.ContainsFunc(AccountIdentities, func(name string) bool { return at == join(k.path, name) }) {
				to = migrate.ByFinding
			}
			if u, ok := leaf.(Unknown); ok && (fate != migrate.Dropped || slices.Contains(IdentityMaps, k.path)) {
				fate, to, why = migrate.Unknown, "a known value", u.Cause
			}
			d.set(at, d.showLeaf(k, at, leaf), fate, to, why, "")
		})
	default:
		fate, to, why := d.fateOf(k, x)
		d.set(k.path, d.show(k.path, x, true), fate, to, why, "")
	}
}

// PodIdentities are the annotations and labels by which a pod, and not its
// account, gets a role in a cloud (kube2iam, kiam; aad-pod-identity).
var PodIdentities = []string{"iam.amazonaws.com/role", "aadpodidbinding"}

// AccountIdentities are the annotations that give an account a role in a cloud, by the
// word of each cloud's own documentation.
var AccountIdentities = []string{"eks.amazonaws.com/role-arn", "iam.gke.io/gcp-service-account", "azure.workload.identity/client-id"}

// IdentityMaps are the values in which they stand.
var IdentityMaps = []string{"annotations", "podLabels"}

// showable are the roles whose copied texts hold no secrets.
var showable = map[role]bool{pod: true, resolving: true, cache: true, metrics: true, volumes: true}

// checkType reports a value that is not of the type that the chart expects.
func (d *decoder) checkType(k *chartKey, x any) {
	switch x.(type) {
	case nil, Unknown:
		return
	}
	container := false
	switch x.(type) {
	case []any, tree, Partial:
		container = true
	}
	fits := false
	switch k.kind {
	case text:
		_, fits = x.(string)
	case boolean:
		_, fits = x.(bool)
	case number:
		switch n := x.(type) {
		case int64:
			fits = true
		case float64:
			// Larger ones are printed with an exponent, which is no number to
			// what reads it.
			fits = !strings.ContainsAny(fmt.Sprint(n), "eNI")
		}
	case list:
		_, fits = x.([]any)
	case free:
		// An empty text stands for nothing, as in many examples.
		fits = container || x == ""
	}
	switch {
	case fits:
	case container != (k.kind == list || k.kind == free) || container && k.kind == list:
		d.find(ValueShape, k.path, "%s is %s, and the chart expects %s", k.path, typeName(x), k.kind)
	case k.kind == boolean && d.prints(k, x):
		d.find(ValueType, k.path, "%s is %s, and the chart expects true or false; it prints it as it is, and fluxd %s", k.path, typeName(x), readAsBool(x))
	case k.kind == boolean:
		d.find(ValueType, k.path, "%s is %s, and the chart expects true or false; it takes this one for %t", k.path, typeName(x), value{of: x}.truth().is)
	case k.kind == number && typeName(x) == string(k.kind):
		d.find(ValueType, k.path, "%s is printed as %q, which is no number to what reads it", k.path, d.show(k.path, x, true))
	default:
		d.find(ValueType, k.path, "%s is %s, and the chart expects %s; it prints it as %q", k.path, typeName(x), k.kind, d.show(k.path, x, true))
	}
}

// prints reports whether the chart hands a value to fluxd as it is given, so that
// fluxd, and not the chart, takes it for true or false.
func (d *decoder) prints(k *chartKey, x any) bool {
	return k.flag != "" && slices.ContainsFunc(d.out.Args, func(a Argument) bool {
		return a.Flag == k.flag && slices.Contains(a.Keys, k.path) && a.Written == Text("--"+k.flag+"="+fmt.Sprint(x))
	})
}

// readAsBool says what fluxd makes of a text that is to be true or false.
func readAsBool(x any) string {
	is, err := strconv.ParseBool(fmt.Sprint(x))
	if err != nil {
		return "refuses it"
	}
	return fmt.Sprintf("takes it for %t", is)
}

// fateOf says what becomes of a value that this version reads.
func (d *decoder) fateOf(k *chartKey, x any) (fate migrate.Fate, to, why string) {
	s := d.scope
	if u, ok := x.(Unknown); ok {
		return migrate.Unknown, "a known value", u.Cause
	}
	if k.flag != "" {
		return d.fateOfArgument(k)
	}
	is := func(path string) truth {
		if key := keyNamed(path); !key.readBy(s.at) {
			return truth{}
		}
		return s.is(path)
	}
	const decision = migrate.ByPerson
	switch k.role {
	case identity, resolving, environment, volumes, prepares:
		if (value{of: x}).truth().no() {
			return migrate.Dropped, "", "it is empty"
		}
	}
	switch k.role {
	case rights:
		return migrate.Carried, "Kustomization.spec.serviceAccountName", "the rights of the agent's account are carried over"
	case allowed:
		if s.confined().no() {
			return migrate.Dropped, "", "it has no effect while clusterRole.create is on"
		}
		return migrate.Carried, "Kustomization.spec.serviceAccountName", "the rights of the agent's account are carried over"
	case identity:
		return migrate.Unknown, decision, "it may give the account an identity in a cloud, and the new agent has an account of its own"
	case names:
		return migrate.Dropped, "", "it names the release's own objects"
	case resolving:
		return migrate.Unknown, decision, "it may change how the Git server is found, and the new agent has no such setting"
	case hostKeys:
		return migrate.Carried, "GitRepository.spec.secretRef", "the known hosts of the copied Secret"
	case sshConfig:
		if s.is("ssh.known_hosts").no() {
			return migrate.Dropped, "", "the chart uses it only together with ssh.known_hosts"
		}
		if (value{of: x}).truth().no() {
			return migrate.Dropped, "", "it is empty"
		}
		return migrate.Dropped, "", "it may change host and port or add a proxy, and Flux v2 reads none, which a finding asks about"
	case gitConfig:
		if is("git.config.enabled").no() {
			return migrate.Dropped, "", "git.config.enabled is off"
		}
		return migrate.Dropped, "", "it may rewrite the URL or fetch credentials, and Flux v2 reads none, which a finding asks about"
	case keySecret:
		return migrate.Dropped, "", "it stands on the release's own Secret; the key is copied"
	case kubeconfig:
		if s.confined().yes() && k.path == "kube.config" {
			return migrate.Dropped, "", "it has no effect while clusterRole.create is off: the kubeconfig names the release's namespace"
		}
		if is("kube.externalConfig").yes() {
			return migrate.Unknown, decision, "the kubeconfig, and with it the namespace of objects that name none, comes from elsewhere"
		}
		return migrate.Carried, "the namespaces of objects that name none", ""
	case environment: // env.secretName
		return d.fateOfVariables("")
	case volumes:
		return migrate.Unknown, decision, "fluxd itself reads nothing there; a command or another configuration may"
	case sidecars:
		return migrate.Dropped, "", "the container ends with the agent"
	case prepares:
		return migrate.Unknown, decision, "what it prepares for fluxd is not known"
	case registries:
		return migrate.Dropped, "", "credentials for image registries; image automation is not carried over"
	case cache:
		return migrate.Dropped, "", "the image cache goes with fluxd"
	case metrics:
		return migrate.Dropped, "", "metrics of fluxd end with it"
	case operator:
		if is("helmOperator.create").no() {
			return migrate.Dropped, "", "the release makes no helm-operator"
		}
		return migrate.Unknown, migrate.ByFinding, "the release also runs a helm-operator, which goes when it is removed"
	}
	return migrate.Dropped, "", "concerns only how fluxd itself runs"
}

// fateOfArgument is that of the flag which the value gives.
func (d *decoder) fateOfArgument(k *chartKey) (migrate.Fate, string, string) {
	if k.path == "git.secretName" && d.scope.at.before(v("0.6.1")) {
		return migrate.Carried, "GitRepository.spec.secretRef", "the Secret is mounted, though --k8s-secret-name names another one before chart 0.6.1"
	}
	var givenFlag string
	for _, a := range d.out.Args {
		if !slices.Contains(a.Keys, k.path) || givenFlag == k.flag {
			continue
		}
		givenFlag = a.Flag
		if a.Unknown != "" {
			return migrate.Unknown, "a known value", a.Unknown
		}
	}
	s, ok := d.flags[givenFlag]
	switch {
	case ok && s.Why != "":
		return s.Fate, s.To, "gives --" + givenFlag + ": " + s.Why
	case ok:
		return s.Fate, s.To, "gives --" + givenFlag
	case d.scope.is(k.path).no():
		return migrate.Dropped, "", "it is empty or off, so --" + k.flag + " is not given"
	}
	return migrate.Dropped, "", "another value decides, so that it gives no --" + k.flag
}

// accountAdditional accounts for the elements of additionalArgs one by one.
func (d *decoder) accountAdditional(x any) {
	items, ok := x.([]any)
	if !ok || len(items) == 0 {
		fate, why := migrate.Dropped, "it is empty"
		if (value{of: x}).truth().is {
			fate, why = migrate.Blocks, notRendered
		}
		if u, ok := x.(Unknown); ok {
			fate, why = migrate.Unknown, u.Cause
		}
		to := ""
		if fate == migrate.Unknown {
			to = "a known value"
		}
		d.set("additionalArgs", d.show("additionalArgs", x, false), fate, to, why, "")
		return
	}
	unheardOf := "" // the last argument that is no flag of fluxd, whose value may follow
	for _, a := range d.out.Args {
		if len(a.Keys) == 0 || !strings.HasPrefix(a.Keys[0], "additionalArgs[") {
			continue
		}
		given := a
		given.Text = a.Written
		shown := given.String()
		if d.given.isHidden(a.Keys[0]) {
			shown = hiddenText
		}
		s, ok := d.flags[a.Flag]
		switch {
		case a.Unknown == notRendered:
			d.set(a.Keys[0], hiddenText, migrate.Blocks, "", "an argument is text, and this is none", "")
		case a.Unknown != "":
			d.set(a.Keys[0], "", migrate.Unknown, "a known value", a.Unknown, "")
		case ok:
			if flag, _ := flux1.FlagOf(string(a.Text)); flag == nil || flag.Name != a.Flag {
				shown = s.Value
			}
			why := "gives --" + a.Flag
			if s.Why != "" {
				why += ": " + s.Why
			}
			d.set(a.Keys[0], shown, s.Fate, s.To, why, "")
		case slices.ContainsFunc(d.out.Findings, func(f migrate.Finding) bool { return f.Where == a.Keys[0] }):
			unheardOf = a.Keys[0]
			d.set(a.Keys[0], shown, migrate.Unknown, migrate.ByFinding, "fluxd has no such flag", "")
		case a.Text == "--":
			d.set(a.Keys[0], shown, migrate.Dropped, "", "it ends the flags", "")
		default:
			d.set(a.Keys[0], shown, migrate.Unknown, migrate.ByFinding, "it is the value of "+unheardOf+", which is no flag of fluxd", "")
		}
	}
}

// fateOfVariables is that of all variables of a Secret or ConfigMap, whose names
// have a prefix then: as of a Deployment's envFrom.
func (d *decoder) fateOfVariables(prefix string) (migrate.Fate, string, string) {
	const decision = migrate.ByPerson
	_, unknown := d.unknownFlags()["git-url"]
	flags, _ := d.usedBy(func(name string) bool {
		return strings.HasPrefix(name, prefix) && !slices.ContainsFunc(d.out.Env, func(v Variable) bool { return v.Name == name })
	})
	switch {
	case d.out.Config.SOPS:
		return migrate.Unknown, "the cluster and the files", "decryption may read a variable of it"
	case d.out.Config.ManifestGeneration:
		return migrate.Unknown, "the conversion of generated files", "commands may read a variable of it"
	case len(flags) > 0:
		return migrate.Carried, "the settings whose arguments refer to it", ""
	case unknown:
		return migrate.Unknown, "a known value of git.url", "the URL may refer to it"
	}
	return migrate.Unknown, decision, "no argument refers to it; a proxy of git's that it names is carried, and little else of it reaches git"
}

// accountEnvironment accounts for variables, each by its name.
func (d *decoder) accountEnvironment(k *chartKey, x any) {
	items, ok := x.([]any)
	if !ok {
		items = []any{x}
	}
	for i, item := range items {
		at := k.path
		if ok {
			at += "[" + strconv.Itoa(i) + "]"
		}
		entry, _ := item.(tree)
		prefix, _ := entry["prefix"].(string)
		fate, to, why := d.fateOfVariables(prefix)
		name, named := entry["name"].(string)
		if k.path == "extraEnvs" && named {
			fate, to, why = d.fateOfVariable(name)
		}
		leaves(item, at, func(at string, leaf any) {
			fate, to, why := fate, to, why
			if u, isUnknown := leaf.(Unknown); isUnknown && fate != migrate.Dropped {
				fate, to, why = migrate.Unknown, "a known value", u.Cause
			}
			d.set(at, d.showLeaf(k, at, leaf), fate, to, why, "")
		})
	}
	if ok && len(items) == 0 {
		d.set(k.path, "[]", migrate.Dropped, "", "it is empty", "")
	}
}

// reference is a place in extraEnvs or extraEnvsFrom that names something and
// holds no value.
var reference = regexp.MustCompile(`^extraEnvs(From)?\[\d+\]\.(name|prefix|valueFrom\.\w+\.(name|key|fieldPath|optional)|(secretRef|configMapRef)\.(name|optional))$`)

func (d *decoder) fateOfVariable(name string) (migrate.Fate, string, string) {
	const decision = migrate.ByPerson
	if flags, credential := d.usedBy(func(n string) bool { return n == name }); len(flags) > 0 {
		return d.fateOfUsed(flags, credential)
	}
	if _, unknown := d.unknownFlags()["git-url"]; unknown {
		return migrate.Unknown, "a known value of git.url", "the URL may refer to it"
	}
	if fate, to, why, ok := flux1.GitVariable(d.out.Image, name, d.proxyVariable(), d.out.Config.SOPS || d.out.Config.ManifestGeneration); ok {
		return fate, to, why
	}
	switch {
	case strings.ToUpper(name) == "KUBECONFIG":
		return migrate.Unknown, decision, "it may name another kubeconfig, and with it another namespace for objects that name none"
	case d.out.Config.ManifestGeneration || d.out.Config.SOPS:
		return migrate.Unknown, "the conversion of generated or encrypted files", "commands and decryption may read it"
	}
	return migrate.Dropped, "", "fluxd itself reads no such variable"
}

// proxyVariable names the variable from which git takes the proxy for the
// agent's URL; one whose value stands elsewhere counts as set.
func (d *decoder) proxyVariable() string {
	bare, _, err := flux1.FluxV2URL(string(d.out.Config.URL))
	if err != nil {
		return ""
	}
	return flux1.ProxyVariable(d.out.Image, bare, func(name string) (string, bool) {
		for _, v := range slices.Backward(d.out.Env) {
			switch {
			case v.Name != name:
			case v.Value == "" && (v.Secret != nil || v.ConfigMap != "" || v.Unknown != ""):
				return "unknown", true
			default:
				return string(v.Value), true
			}
		}
		return "", false
	})
}

// secretKeys are values that may hold a secret as a whole.
var secretKeys = map[string]bool{"token": true, "git.config.data": true, "ssh.config": true, "kube.config": true}

// secretName recognises names that speak of secrets.
var secretName = regexp.MustCompile(`(?i)token|pass|pwd|secret|key|auth|cred|(?:^|[_.-])pat(?:$|[_.-])`)

// NamesSecret reports whether the name of a variable or value speaks of a secret.
func NamesSecret(name string) bool { return secretName.MatchString(name) }

// harmless is text that can hardly be a secret: a number, a duration.
var harmless = regexp.MustCompile(`^-?[0-9]{0,6}(\.[0-9]{1,3})?(ns|us|ms|s|m|h|d|Mi|Gi|Ki)?$`)

// show gives a value without what may be secret. Texts in places that are not
// known to be safe are hidden, but for the plainest.
func (d *decoder) show(path string, x any, safe bool) string {
	if d.given.isHidden(path) || secretKeys[path] && (value{of: x}).truth().is {
		return hiddenText
	}
	switch t := x.(type) {
	case Unknown, Partial:
		return ""
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(t)
	case int64, float64:
		if !safe && NamesSecret(path) {
			return hiddenText
		}
		return fmt.Sprint(t)
	case string:
		switch {
		case t == "":
			return ""
		case safe || path == "git.url":
			return flux1.DisplayURL(t)
		case harmless.MatchString(t) && !NamesSecret(path):
			return t
		}
		return hiddenText
	case []any:
		parts := make([]string, len(t))
		for i := range t {
			// Lists belong to allowedNamespaces; elsewhere they are mistakes.
			parts[i] = d.show(path+"["+strconv.Itoa(i)+"]", t[i], safe && path != "additionalArgs" && path != "git.url")
		}
		return "[" + strings.Join(parts, " ") + "]"
	case tree:
		parts := make([]string, 0, len(t))
		for _, k := range sortedKeys(t) {
			parts = append(parts, k+": "+d.show(join(path, k), t[k], false))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return hiddenText
}

// volumeNames are the fields of a volume, or of its mount, that name something.
var volumeNames = regexp.MustCompile(`^(name|mountPath|subPath|subPathExpr|readOnly|mountPropagation|(projected\.sources\[\d+\]\.)?(secret|configMap)\.(secretName|name|optional|defaultMode|items\[\d+\]\.(key|path|mode))|projected\.defaultMode|persistentVolumeClaim\.(claimName|readOnly)|hostPath\.(path|type)|emptyDir\.(medium|sizeLimit)|csi\.(driver|readOnly))$`)

// NamesInVolume reports whether a field of a volume, or of its mount, names
// something and so is no secret; elsewhere in it, passwords may stand.
func NamesInVolume(path string) bool { return volumeNames.MatchString(path) }

// showLeaf shows what stands at the end of a path in a value that some chart
// reads: whole texts of their own, and copied ones in safe places.
func (d *decoder) showLeaf(k *chartKey, at string, leaf any) string {
	if arg, ok := leaf.(string); ok && k.role == additional && !d.given.isHidden(at) {
		return showArgument(arg)
	}
	if labels := strings.HasSuffix(k.path, "Labels") || strings.HasSuffix(k.path, "nodeSelector"); labels && NamesSecret(strings.TrimPrefix(at, k.path)) {
		return d.show(at, leaf, false)
	}
	whole := at == k.path && k.kind != free && k.kind != list
	copied := showable[k.role] && !strings.HasSuffix(k.path, "annotations")
	if k.role == volumes {
		_, within, _ := strings.Cut(strings.TrimPrefix(at, k.path), ".")
		copied = NamesInVolume(within)
	}
	return d.show(at, leaf, whole || copied || k.role == allowed || reference.MatchString(at))
}

// nearest suggests the value that a misspelt name may mean.
func nearest(path string) string {
	best, distance := "", 3
	for i := range keys {
		if n := editDistance(path, keys[i].path, distance); n < distance {
			best, distance = keys[i].path, n
		}
	}
	if best == "" {
		return ""
	}
	return "; is " + best + " meant?"
}

// editDistance counts the characters to change between two names, up to a
// limit. Letter case does not count.
func editDistance(a, b string, limit int) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(row[j]+1, row[j-1]+1, cost)
		}
	}
	return min(row[len(b)], limit)
}
