package cutover

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// StepInfo is a step of the runbook for one Repository, for people.
type StepInfo struct {
	Name string
	// Manual are lines for a POSIX shell that do the same with kubectl, run one
	// step after the other in one folder; ManualUndo those that take it back, run
	// from the last step to the first. What only a person can do or judge is a
	// comment. Neither holds a secret.
	Manual, ManualUndo string
	// Leaves says what a failure by hand leaves behind.
	Leaves string
}

// Runbook gives the steps for one planned Repository with the equal manual
// commands. The agent of Flux v2 must be there.
func Runbook(p Planned) ([]StepInfo, error) {
	slice, err := slicePlan(&p.Plan, p.Agent.ID)
	if err != nil {
		return nil, err
	}
	r := &repository{env: &env{}, id: p.Agent.ID, j: &journal{Repository: p.Agent.ID, Agent: factsOf(&p.Agent), plan: slice, Commit: slice.Repository.Commit}}
	var out []StepInfo
	for i := range steps {
		info := StepInfo{Name: steps[i].Name, Leaves: steps[i].Leaves}
		if info.Manual, err = steps[i].Manual(r); err == nil && steps[i].ManualUndo != nil {
			info.ManualUndo, err = steps[i].ManualUndo(r)
		}
		if err != nil {
			return nil, fmt.Errorf("write the step %s of %s by hand: %w", steps[i].Name, r.id, err)
		}
		if steps[i].Retreat {
			info.Leaves = "the old agent is stopped: go on, or take the steps back as far as this one" // nobody does it by himself
		}
		out = append(out, info)
	}
	return out, nil
}

// script are lines for a shell. What stands in them is quoted where it is added.
type script []string

func (s *script) add(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

func (s script) done() (string, error) { return strings.Join(s, "\n"), nil }

// apply adds objects for kubectl to apply. What a patch set before does not
// stand in the way. No line of them can be the last one: values are indented.
func (s *script) apply(flags string, objects ...*unstructured.Unstructured) error {
	s.add("kubectl apply --server-side --force-conflicts%s -f - <<'EOF'", flags)
	for i, u := range objects {
		raw, err := yaml.Marshal(u.Object)
		if err != nil {
			return fmt.Errorf("encode %s: %w", cluster.Describe(u), err)
		}
		if i > 0 {
			s.add("---")
		}
		s.add("%s", strings.TrimRight(string(raw), "\n"))
	}
	s.add("EOF")
	return nil
}

// ShellWord writes a word as a shell reads it.
func ShellWord(word string) string {
	plain := func(c rune) bool {
		return c < 128 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_./:=,@", c))
	}
	if word != "" && strings.IndexFunc(word, func(c rune) bool { return !plain(c) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// in is kubectl in a namespace.
func in(namespace string) string { return "kubectl -n " + ShellWord(namespace) }

// manualObjects adds commands that write each managed object to a file.
func (s *script) manualObjects(r *repository, file string) error {
	type of struct{ namespace, kind string }
	names := map[of][]string{}
	for _, o := range r.j.plan.Repository.Objects {
		namespace, name, kind, err := migrate.ParseObjectID(o.ID)
		if err != nil {
			return err
		}
		k := of{namespace, strings.TrimSuffix(kind.Kind+"."+kind.Group, ".")}
		names[k] = append(names[k], ShellWord(name))
	}
	s.add(": > %s", file)
	separate := false
	for _, k := range slices.SortedFunc(maps.Keys(names), func(a, b of) int { return strings.Compare(a.namespace+" "+a.kind, b.namespace+" "+b.kind) }) {
		where := "kubectl"
		if k.namespace != "" {
			where = in(k.namespace)
		}
		slices.Sort(names[k])
		if separate {
			s.add("echo --- >> %s", file)
		}
		separate = true
		s.add("%s get %s %s -o yaml --show-managed-fields --ignore-not-found >> %s", where, ShellWord(k.kind), strings.Join(names[k], " "), file)
	}
	return nil
}

func manualRecheck(r *repository) (string, error) {
	var s script
	s.add("# If what Git or the cluster holds may have changed since this was printed, print it again, and compare.")
	s.manualMark(r)
	return s.done()
}

// manualMark adds commands that fail unless the old agent synced last the commit
// that the plan is about.
func (s *script) manualMark(r *repository) {
	a := r.j.Agent
	s.add("# What the old agent synced last must be what is adopted, or the objects would go back to it: if this fails, start anew.")
	if a.SyncState == "secret" {
		s.add("test \"$(%s get secret %s -o go-template='{{index .metadata.annotations \"%s\"}}')\" = %s", in(a.Namespace), ShellWord(a.Git.SecretName), flux1.SyncMarkAnnotation, r.j.Commit)
		return
	}
	s.add("fluxover plan --repo %s -o json > now.json || test $? = 3", ShellWord(r.id))
	s.add("grep -q '\"commit\": \"%s\"' now.json", r.j.Commit)
}

func manualSnapshot(r *repository) (string, error) {
	var s script
	a := r.j.Agent
	s.add("# Not over an earlier snapshot: what failed is gone on with at its step, not from the top.")
	s.add("test ! -e deployment.yaml")
	s.add("%s get deployment %s -o yaml --show-managed-fields > deployment.yaml", in(a.Namespace), ShellWord(a.Workload))
	if a.Release != "" {
		s.add("%s get secret,configmap -l owner=helm,name=%s -o yaml > release.yaml", in(a.Namespace), ShellWord(a.Release))
	}
	if err := s.manualObjects(r, "before.yaml"); err != nil {
		return "", err
	}
	return s.done()
}

func manualCredentials(r *repository) (string, error) {
	var s script
	a := r.j.Agent
	for _, c := range r.j.plan.Credentials {
		dir := ShellWord(c.To.Name)
		s.add("mkdir -p %s # for the %s", dir, whatIs(c))
		for _, key := range sortedKeys(c.From) {
			s.manualValue(c, key, a, dir+"/"+ShellWord(key))
		}
		if c.KnownHosts != "" {
			s.add("printf '%%s\\n' %s > %s/known_hosts", ShellWord(strings.TrimRight(c.KnownHosts, "\n")), dir)
		}
		s.add("# Not over somebody else's Secret.")
		s.add(`test -e %[1]s.made || test -z "$(%[2]s get secret %[1]s --ignore-not-found -o name)"`, dir, in(c.To.Namespace))
		s.add(": > %s.made", dir)
		s.add("%s create secret generic %s --from-file=%s --dry-run=client -o yaml | kubectl apply --server-side -f -", in(c.To.Namespace), ShellWord(c.To.Name), dir)
	}
	if len(r.j.plan.Credentials) == 0 {
		s.add("# Anonymous access: there is nothing to copy.")
	}
	return s.done()
}

// manualValue adds commands that write one value of a credential to a file, or
// fail. None of them shows it.
func (s *script) manualValue(c migrate.Credential, key string, a agentFacts, to string) {
	v := c.From[key]
	byHand := ""
	switch {
	case c.Kind == kindProxy:
		byHand = "the parts of the proxy's address: address, and where it has them username and password, each in a file of its own"
	case v.Argument:
		byHand = fmt.Sprintf("the %s of the --git-url of Deployment/%s/%s", key, a.Namespace, a.Workload)
	case v.Netrc != "" && v.Secret != nil:
		byHand = fmt.Sprintf("the %s of the login for %s in the .netrc that Secret/%s/%s holds under %q", key, v.Netrc, v.Secret.Namespace, v.Secret.Name, v.Secret.Key)
	case v.Variable != "":
		byHand = fmt.Sprintf("the value of the variable %q of Deployment/%s/%s", v.Variable, a.Namespace, a.Workload)
	case v.Secret == nil && v.ConfigMap == nil:
		literal := v.Literal
		if plain, err := url.PathUnescape(strings.TrimSpace(literal)); v.PercentEncoded && err == nil {
			literal = plain
		}
		s.add("printf %%s %s > %s", ShellWord(literal), to)
		return
	}
	if byHand != "" {
		s.add("# By hand, without a line break at the end: %s.", byHand)
		s.add("test -s %s", to)
		return
	}
	kind, at, decode := "secret", v.Secret, "base64 -d < value"
	if at == nil {
		kind, at, decode = "configmap", v.ConfigMap, "cat value"
	}
	if v.PercentEncoded {
		decode += ` | perl -0777 -pe 's/^\s+|\s+$//g; s/%([0-9A-Fa-f]{2})/chr hex $1/ge'`
	}
	s.add(`%s get %s %s -o go-template='{{with index .data "%s"}}{{.}}{{end}}' > value`, in(at.Namespace), kind, ShellWord(at.Name), at.Key)
	s.add("test -s value")
	s.add("%s > %s", decode, to)
	s.add("rm value && test -s %s", to)
}

func manualCredentialsUndo(r *repository) (string, error) {
	var s script
	for _, c := range r.j.plan.Credentials {
		s.add("test ! -e %[1]s.made || %[2]s delete secret %[1]s --ignore-not-found", ShellWord(c.To.Name), in(c.To.Namespace))
	}
	return s.done()
}

func manualStage(r *repository) (string, error) {
	var s script
	if err := s.apply("", r.j.plan.Repository.Supporting...); err != nil {
		return "", err
	}
	sources, err := r.j.plan.sources()
	if err != nil {
		return "", err
	}
	for _, u := range sources {
		if err := unstructured.SetNestedField(u.Object, r.j.Commit, "spec", "ref", "commit"); err != nil {
			return "", fmt.Errorf("pin %s: %w", cluster.Describe(u), err)
		}
	}
	if err := s.apply("", sources...); err != nil {
		return "", err
	}
	if err := s.apply("", r.shaped(staged)...); err != nil {
		return "", err
	}
	for _, u := range sources {
		s.add("%s wait gitrepository %s --for=condition=Ready --timeout=2m", in(u.GetNamespace()), ShellWord(u.GetName()))
	}
	s.add("# Left out: fluxover migrate tries every object here as the account that its Kustomization names, and compares what comes out")
	s.add("# with what the old agent's account gets. By hand, what RBAC, a policy or a webhook refuses or changes for that account alone")
	s.add("# shows first when it applies, with the old agent stopped: see that none of them tells the two apart.")
	s.add("# The new agent must answer for each, or nobody would follow the old one.")
	s.manualAnswer(r)
	return s.done()
}

// shaped are the planned Kustomizations in a form.
func (r *repository) shaped(f form) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, k := range r.j.plan.Repository.Kustomizations {
		out = append(out, shape(k, f))
	}
	return out
}

// manualAnswer adds commands that ask the new agent about each Kustomization,
// and wait until it has answered.
func (s *script) manualAnswer(r *repository) {
	s.add("now=$(date -u +%%Y-%%m-%%dT%%H:%%M:%%SZ)")
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add("%s annotate --overwrite kustomizations.kustomize.toolkit.fluxcd.io %s %s=\"$now\"", in(k.GetNamespace()), ShellWord(k.GetName()), requestedAt)
	}
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add("%s wait kustomizations.kustomize.toolkit.fluxcd.io %s --for=jsonpath='{.status.lastHandledReconcileAt}'=\"$now\" --timeout=2m", in(k.GetNamespace()), ShellWord(k.GetName()))
	}
}

func manualStageUndo(r *repository) (string, error) {
	var s script
	remove := func(u *unstructured.Unstructured) {
		where := "kubectl"
		if u.GetNamespace() != "" {
			where = in(u.GetNamespace())
		}
		s.add("%s delete %s %s --ignore-not-found", where, strings.TrimSuffix(u.GetKind()+"."+u.GroupVersionKind().Group, "."), ShellWord(u.GetName()))
	}
	for _, k := range r.j.plan.Repository.Kustomizations {
		remove(k)
	}
	sources, err := r.j.plan.sources()
	if err != nil {
		return "", err
	}
	for _, u := range slices.Concat(sources, r.j.plan.Repository.Supporting) {
		remove(u)
	}
	return s.done()
}

func manualFence(r *repository) (string, error) {
	var s script
	a := r.j.Agent
	policy, binding := r.fencePolicy(nil)
	policy.Spec.Validations[0].Message = r.id + " was handed over to Flux v2 by hand"
	s.add("# The fence: whoever starts the old agent again can write nothing. It does so with its binding, below.")
	if err := s.applyTyped("", policy); err != nil {
		return "", err
	}
	if err := s.applyTyped(" --dry-run=server", binding); err != nil {
		return "", err
	}
	s.add("# In the pause between two syncs of the old agent, as its log shows them. From here to the adoption nobody syncs.")
	s.add("%s scale deployment %s --replicas=0", in(a.Namespace), ShellWord(a.Workload))
	s.add("%s wait pod -l %s --for=delete --timeout=5m", in(a.Namespace), ShellWord(metav1.FormatLabelSelector(a.Selector)))
	if err := s.applyTyped("", binding); err != nil {
		return "", err
	}
	return s.done()
}

// applyTyped is apply for an object of a Go type.
func (s *script) applyTyped(flags string, typed any) error {
	raw, err := yaml.Marshal(typed)
	if err != nil {
		return fmt.Errorf("encode the fence: %w", err)
	}
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(raw, &u.Object); err != nil {
		return fmt.Errorf("encode the fence: %w", err)
	}
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(u.Object, "status")
	return s.apply(flags, u)
}

func manualFenceUndo(r *repository) (string, error) {
	var s script
	a := r.j.Agent
	s.add("kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy %s --ignore-not-found", fenceName(r.id))
	if a.Replicas == 0 {
		s.add("# It was stopped already when this was printed: start it with as many replicas as its release says.")
	} else {
		s.add("%s scale deployment %s --replicas=%d", in(a.Namespace), ShellWord(a.Workload), a.Replicas)
	}
	s.add("# The old agent puts its marks back with its next sync.")
	return s.done()
}

func manualTopUp(r *repository) (string, error) {
	var s script
	s.manualMark(r)
	if err := s.manualObjects(r, "fenced.yaml"); err != nil {
		return "", err
	}
	return s.done()
}

func manualAdopt(r *repository) (string, error) {
	var s script
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add(`%s patch kustomizations.kustomize.toolkit.fluxcd.io %s --type=merge -p '{"spec":{"suspend":false}}'`, in(k.GetNamespace()), ShellWord(k.GetName()))
	}
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add("%s wait kustomizations.kustomize.toolkit.fluxcd.io %s --for=condition=Ready --timeout=5m", in(k.GetNamespace()), ShellWord(k.GetName()))
	}
	return s.done()
}

func manualAdoptUndo(r *repository) (string, error) {
	var s script
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add(`%s patch kustomizations.kustomize.toolkit.fluxcd.io %s --type=merge -p '{"spec":{"suspend":true,"prune":false,"deletionPolicy":"Orphan"}}'`, in(k.GetNamespace()), ShellWord(k.GetName()))
	}
	s.add("# Nothing may be in flight.")
	s.manualAnswer(r)
	return s.done()
}

func manualVerify(r *repository) (string, error) {
	var s script
	if err := s.manualObjects(r, "after.yaml"); err != nil {
		return "", err
	}
	s.add("diff fenced.yaml after.yaml > changes.txt || true")
	s.add("# Look at changes.txt before you go on: marks, managers and versions differ; specs, data and UIDs must not, but as the plan says.")
	s.add("# From the next command on, what leaves Git is deleted again where Flux v1 did so.")
	if err := s.apply("", r.shaped(final)...); err != nil {
		return "", err
	}
	return s.done()
}

func manualUnpin(r *repository) (string, error) {
	var s script
	for _, ref := range r.j.plan.Repository.Sources {
		s.add(`%s patch gitrepository %s --type=json -p '[{"op":"remove","path":"/spec/ref/commit"}]'`, in(ref.Namespace), ShellWord(ref.Name))
	}
	return s.done()
}

func manualHold(r *repository) (string, error) {
	var s script
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add("%s get kustomizations.kustomize.toolkit.fluxcd.io %s", in(k.GetNamespace()), ShellWord(k.GetName()))
	}
	return s.done()
}
