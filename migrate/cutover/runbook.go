package cutover

import (
	"fmt"
	"maps"
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
	// Leaves says what a failure leaves behind.
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
		if info.Name == "stage" {
			info.Manual = sharedSources(&p.Plan, slice.Repository) + info.Manual
		}
		out = append(out, info)
	}
	return out, nil
}

// sharedSources warns of sources that other Repositories use as well: what is
// pinned for one is pinned for all.
func sharedSources(plan *migrate.Plan, repo migrate.Repository) string {
	var s strings.Builder
	for _, ref := range repo.Sources {
		var others []string
		for _, other := range plan.Repositories {
			if other.ID != repo.ID && slices.Contains(other.Sources, ref) {
				others = append(others, other.ID)
			}
		}
		if len(others) > 0 {
			fmt.Fprintf(&s, "# GitRepository/%s/%s is a source of %s too. Where that is handed over already, the source stays as it is:\n# leave it out below, and go on only while its commit is the one in spec.ref.commit.\n",
				ref.Namespace, ref.Name, strings.Join(others, ", "))
		}
	}
	return s.String()
}

// script are lines for a shell. What stands in them is quoted where it is added.
type script []string

func (s *script) add(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

func (s script) done() (string, error) { return strings.Join(s, "\n"), nil }

// apply adds objects for kubectl to apply. What a patch set before does not
// stand in the way.
func (s *script) apply(objects ...*unstructured.Unstructured) error {
	s.add("kubectl apply --server-side --force-conflicts -f - <<'EOF'")
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

// quoted is a word of a shell.
func quoted(word string) string {
	plain := func(c rune) bool {
		return c < 128 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_./:=,@", c))
	}
	if word != "" && strings.IndexFunc(word, func(c rune) bool { return !plain(c) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// in is kubectl in a namespace.
func in(namespace string) string { return "kubectl -n " + quoted(namespace) }

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
		names[k] = append(names[k], quoted(name))
	}
	s.add(": > %s", file)
	for _, k := range slices.SortedFunc(maps.Keys(names), func(a, b of) int { return strings.Compare(a.namespace+" "+a.kind, b.namespace+" "+b.kind) }) {
		where := "kubectl"
		if k.namespace != "" {
			where = in(k.namespace)
		}
		slices.Sort(names[k])
		s.add("%s get %s %s -o yaml --show-managed-fields --ignore-not-found >> %s", where, k.kind, strings.Join(names[k], " "), file)
	}
	return nil
}

func manualRecheck(r *repository) (string, error) {
	var s script
	s.add("# It must say what the plan that was agreed on says; the commit is %s.", r.j.Commit)
	s.add("fluxover diff --repo %s || test $? = 2", quoted(r.id))
	return s.done()
}

func manualSnapshot(r *repository) (string, error) {
	var s script
	a := r.j.Agent
	s.add("%s get deployment %s -o yaml --show-managed-fields > deployment.yaml", in(a.Namespace), quoted(a.Workload))
	s.add("%s get deployment %s -o jsonpath='{.spec.replicas}' > replicas", in(a.Namespace), quoted(a.Workload))
	if a.Release != "" {
		s.add("%s get secret,configmap -l owner=helm,name=%s -o yaml > release.yaml", in(a.Namespace), quoted(a.Release))
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
		dir := quoted(c.To.Name)
		s.add("mkdir -p %s # for the %s", dir, whatIs(c))
		for _, key := range sortedKeys(c.From) {
			v, to := c.From[key], dir+"/"+quoted(key)
			byHand := ""
			switch {
			case c.Kind == kindProxy:
				byHand = fmt.Sprintf("the parts of the proxy's address: address, and where it has them username and password, each in a file of %s", dir)
			case v.Argument:
				byHand = fmt.Sprintf("the %s of the --git-url of Deployment/%s/%s", key, a.Namespace, a.Workload)
			}
			decoded := ""
			if v.PercentEncoded {
				decoded = " | perl -pe 's/%([0-9A-Fa-f]{2})/chr hex $1/ge'"
			}
			switch {
			case byHand != "":
				s.add("# By hand: %s.", byHand)
				s.add("test -s %s", to)
			case v.Secret != nil:
				s.add(`%s get secret %s -o go-template='{{index .data "%s"}}' | base64 -d%s > %s`, in(v.Secret.Namespace), quoted(v.Secret.Name), v.Secret.Key, decoded, to)
			case v.ConfigMap != nil:
				s.add(`%s get configmap %s -o go-template='{{index .data "%s"}}'%s > %s`, in(v.ConfigMap.Namespace), quoted(v.ConfigMap.Name), v.ConfigMap.Key, decoded, to)
			case v.Variable != "":
				s.add(`%s get deployment %s -o go-template='{{range .spec.template.spec.containers}}{{range .env}}{{if eq .name "%s"}}{{.value}}{{end}}{{end}}{{end}}'%s > %s`,
					in(a.Namespace), quoted(a.Workload), v.Variable, decoded, to)
			default:
				s.add("printf %%s %s%s > %s", quoted(v.Literal), decoded, to)
			}
		}
		if c.KnownHosts != "" {
			s.add("cat > %s/known_hosts <<'EOF'\n%s\nEOF", dir, strings.TrimRight(c.KnownHosts, "\n"))
		}
		s.add("%s create secret generic %s --from-file=%s --dry-run=client -o yaml | kubectl apply --server-side -f -", in(c.To.Namespace), quoted(c.To.Name), dir)
	}
	if len(r.j.plan.Credentials) == 0 {
		s.add("# Anonymous access: there is nothing to copy.")
	}
	return s.done()
}

func manualCredentialsUndo(r *repository) (string, error) {
	var s script
	for _, c := range r.j.plan.Credentials {
		s.add("%s delete secret %s", in(c.To.Namespace), quoted(c.To.Name))
	}
	return s.done()
}

func manualStage(r *repository) (string, error) {
	var s script
	if err := s.apply(r.j.plan.Repository.Supporting...); err != nil {
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
	if err := s.apply(sources...); err != nil {
		return "", err
	}
	if err := s.apply(r.shaped(staged)...); err != nil {
		return "", err
	}
	for _, u := range sources {
		s.add("%s wait gitrepository %s --for=condition=Ready --timeout=2m", in(u.GetNamespace()), quoted(u.GetName()))
	}
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
		s.add("%s annotate --overwrite kustomizations.kustomize.toolkit.fluxcd.io %s %s=\"$now\"", in(k.GetNamespace()), quoted(k.GetName()), requestedAt)
	}
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add("%s wait kustomizations.kustomize.toolkit.fluxcd.io %s --for=jsonpath='{.status.lastHandledReconcileAt}'=\"$now\" --timeout=2m", in(k.GetNamespace()), quoted(k.GetName()))
	}
}

func manualStageUndo(r *repository) (string, error) {
	var s script
	remove := func(u *unstructured.Unstructured) {
		where := "kubectl"
		if u.GetNamespace() != "" {
			where = in(u.GetNamespace())
		}
		s.add("%s delete %s %s", where, strings.TrimSuffix(u.GetKind()+"."+u.GroupVersionKind().Group, "."), quoted(u.GetName()))
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
	s.add("# In the pause between two syncs of the old agent, as its log shows them. From here to the adoption nobody syncs.")
	s.add("%s scale deployment %s --replicas=0", in(a.Namespace), quoted(a.Workload))
	s.add("%s wait pod -l %s --for=delete --timeout=5m", in(a.Namespace), quoted(metav1.FormatLabelSelector(a.Selector)))
	s.add("# The fence: whoever starts it again can write nothing.")
	policy, binding := r.fencePolicy(nil)
	policy.Spec.Validations[0].Message = r.id + " was handed over to Flux v2 by hand"
	for _, typed := range []any{policy, binding} {
		raw, err := yaml.Marshal(typed)
		if err != nil {
			return "", fmt.Errorf("encode the fence: %w", err)
		}
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(raw, &u.Object); err != nil {
			return "", fmt.Errorf("encode the fence: %w", err)
		}
		unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
		unstructured.RemoveNestedField(u.Object, "status")
		if err := s.apply(u); err != nil {
			return "", err
		}
	}
	return s.done()
}

func manualFenceUndo(r *repository) (string, error) {
	var s script
	a := r.j.Agent
	s.add("kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy %s", fenceName(r.id))
	s.add(`%s scale deployment %s --replicas="$(cat replicas)"`, in(a.Namespace), quoted(a.Workload))
	s.add("# The old agent puts its marks back with its next sync.")
	return s.done()
}

func manualTopUp(r *repository) (string, error) {
	var s script
	mark := "the tag " + r.j.Agent.Git.SyncTag + " in Git"
	if r.j.Agent.SyncState == "secret" {
		mark = fmt.Sprintf("the annotation %s of Secret/%s/%s", flux1.SyncMarkAnnotation, r.j.Agent.Namespace, r.j.Agent.Git.SecretName)
	}
	s.add("# What the old agent synced last (%s) must still be %s;", mark, r.j.Commit)
	s.add("# otherwise set spec.ref.commit of the source to what it says, and wait until it is Ready.")
	if err := s.manualObjects(r, "fenced.yaml"); err != nil {
		return "", err
	}
	return s.done()
}

func manualAdopt(r *repository) (string, error) {
	var s script
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add(`%s patch kustomizations.kustomize.toolkit.fluxcd.io %s --type=merge -p '{"spec":{"suspend":false}}'`, in(k.GetNamespace()), quoted(k.GetName()))
	}
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add("%s wait kustomizations.kustomize.toolkit.fluxcd.io %s --for=condition=Ready --timeout=5m", in(k.GetNamespace()), quoted(k.GetName()))
	}
	return s.done()
}

func manualAdoptUndo(r *repository) (string, error) {
	var s script
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add(`%s patch kustomizations.kustomize.toolkit.fluxcd.io %s --type=merge -p '{"spec":{"suspend":true,"prune":false,"deletionPolicy":"Orphan"}}'`, in(k.GetNamespace()), quoted(k.GetName()))
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
	s.add("# Marks, managers and versions differ; specs, data and UIDs must not, but as the plan says.")
	s.add("diff fenced.yaml after.yaml > changes.txt || true")
	s.add("# From here on, what leaves Git is deleted again where Flux v1 did so.")
	if err := s.apply(r.shaped(final)...); err != nil {
		return "", err
	}
	return s.done()
}

func manualUnpin(r *repository) (string, error) {
	var s script
	for _, ref := range r.j.plan.Repository.Sources {
		s.add(`%s patch gitrepository %s --type=json -p '[{"op":"remove","path":"/spec/ref/commit"}]'`, in(ref.Namespace), quoted(ref.Name))
	}
	return s.done()
}

func manualHold(r *repository) (string, error) {
	var s script
	for _, k := range r.j.plan.Repository.Kustomizations {
		s.add("%s get kustomizations.kustomize.toolkit.fluxcd.io %s", in(k.GetNamespace()), quoted(k.GetName()))
	}
	return s.done()
}
