package journey

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// markedSecret is a value that must be seen nowhere.
const markedSecret = "MARKED-SECRET-VALUE-5f1e"

func TestPlanningOnlyReadsAndSaysTheSameTwice(t *testing.T) {
	beside(t)
	w := up(t, laboratory.Options{Teams: 3, Apps: 1, Seed: 21, SyncInterval: 20 * time.Minute})
	w.plantSecret()
	reader := w.grant("discover", "default/reader")
	prover := w.grant("prove", "default/prover")
	file := filepath.Join(t.TempDir(), "plan.json")
	emitted := t.TempDir()
	begun := time.Now()

	var seen strings.Builder
	twice := func(p *printed, want int, args ...string) result {
		t.Helper()
		first, second := p.succeeds(w, want, args...), p.succeeds(w, want, args...)
		if first.out != second.out {
			t.Errorf("fluxover %s says two things about one cluster:\n%s\n%s", strings.Join(args, " "), first.out, second.out)
		}
		seen.WriteString(first.out + first.stderr + second.stderr)
		return first
	}
	if r := twice(reader, 0, "discover"); !strings.Contains(r.stderr, "read 3 of 3 repositories") || !strings.Contains(r.stderr, "reading 3 repositories") {
		t.Errorf("discover does not say how far it is:\n%s", r.stderr)
	}
	twice(reader, 0, "discover", "-o", "json")
	// The planted Secret is another one in the cluster, which needs a word.
	decided := func(more ...string) []string {
		return planArgs(append(more, "--accept", "OBJECT_CHANGES=*")...)
	}
	twice(prover, 3, planArgs()...)
	twice(prover, 0, decided("--out", file, "--emit", emitted)...)
	for _, output := range []string{"json", "yaml", "html", "markdown"} {
		twice(prover, 0, decided("-o", output)...)
	}
	for _, output := range []string{"html", "markdown"} {
		twice(prover, 2, append([]string{"diff", "-o", output, "--all"}, acceptAll...)...)
	}
	twice(prover, 0, decided("--explain", id(w.Teams[0]))...)
	direct := twice(prover, 2, append([]string{"diff", "-o", "json", "--all"}, acceptAll...)...)
	twice(prover, 2, append([]string{"diff", "--all"}, acceptAll...)...)
	if !strings.Contains(direct.out, "planted") {
		t.Error("the Secret that must not be shown is not compared at all")
	}
	if objects, marked := strings.Count(direct.out, `"verb":`), strings.Count(direct.out, `"marks of Flux v1 and kubectl that go": 3`); objects != marked {
		t.Errorf("%d of %d objects lose the mark of kubectl and the two of Flux v1:\n%s", marked, objects, direct.out)
	}
	twice(prover, 0, "plan", "--verify", file, "-o", "json")

	server := regexp.MustCompile(`"server": "[^"]*"`) // the proxy's address is another
	found := server.ReplaceAllString(twice(reader, 0, "discover", "-o", "json").out, "")
	if got := server.ReplaceAllString(w.throughProxy(reader, proxy{}).succeeds(w, 0, "discover", "-o", "json").out, ""); got != found {
		t.Errorf("through a proxy something else is found:\n%s", cmp.Diff(found, got))
	}
	proxied := w.throughProxy(prover, proxy{})
	if r := proxied.succeeds(w, 2, append([]string{"diff", "-o", "json", "--all"}, acceptAll...)...); r.out != direct.out {
		t.Errorf("through a proxy the difference is another:\n%s", cmp.Diff(direct.out, r.out))
	}
	proxied.succeeds(w, 0, decided()...)
	// Answers that break off are asked for again, and never taken for refusals.
	breaking := w.throughProxy(prover, proxy{breaks: 9})
	if r := breaking.succeeds(w, 2, append([]string{"diff", "-o", "json", "--all"}, acceptAll...)...); r.out != direct.out {
		t.Errorf("through a proxy whose answers break off the difference is another:\n%s", cmp.Diff(direct.out, r.out))
	} else if strings.Contains(r.stderr, "request.go") {
		t.Errorf("the chatter of client-go is heard:\n%s", r.stderr)
	}
	if r := w.throughProxy(prover, proxy{untrusted: true}).with(w, planArgs()...); r.code != 1 || !strings.Contains(r.stderr, "certificate") {
		t.Errorf("through a proxy whose CA is not trusted: exit code %d\n%s", r.code, r.stderr)
	}

	for _, name := range []string{file, emitted} {
		seen.WriteString(w.filesBelow(name))
	}
	secrets := w.secretValues()
	secrets["planted"] = markedSecret
	for name, value := range secrets {
		if forms := auditor.Shown(seen.String(), value); len(forms) > 0 {
			t.Errorf("the value of %s is shown %s", name, strings.Join(forms, ", "))
		}
	}
	for _, user := range []string{reader.user, prover.user} {
		n := w.onlyReads(user, begun)
		t.Logf("%s: %d dry-runs, and nothing that writes", user, n)
		if (n > 0) != (user == prover.user) {
			t.Errorf("%s made %d dry-runs", user, n)
		}
	}
	w.verifies(prover, file)
	if strings.Contains(seen.String(), "FLUX1_APPLY_FAILED") {
		t.Errorf("objects are told to be not applied, and all were:\n%s", seen.String())
	}
	w.testRefusedObjects(reader, w.Teams[1])
}

// testRefusedObjects: fluxd moves its mark on where the API server refuses some objects,
// and applies the others.
func (w *world) testRefusedObjects(reader *printed, team fleet.Team) {
	w.t.Helper()
	config := func(name, namespace, value string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s}\nimmutable: true\ndata: {of: %q}\n", name, namespace, value)
	}
	file := team.Path + "/refused/all.yaml"
	all := func(value string) map[string][]byte {
		return map[string][]byte{file: []byte(config("kept", team.Namespace, "ever") + config("changed", team.Namespace, value))}
	}
	w.commitFiles(team, "Add what cannot be changed", all("one"))
	w.synced(team)
	files := all("two")
	files[file] = append(files[file], config("lost", "nowhere", "one")...)
	commit := w.commitFiles(team, "Change it all the same", files)
	w.eventually(2*time.Minute, "commit "+commit+" of "+team.Name+" through the old agent", func(ctx context.Context) bool {
		tag, err := w.Git.Tag(ctx, team.Repo, "flux-sync")
		return err == nil && tag == commit
	})
	var found struct {
		Findings []struct{ Code, Subject, Message string }
	}
	if err := json.Unmarshal([]byte(reader.succeeds(w, 0, "discover", "-o", "json").out), &found); err != nil {
		w.t.Fatal(err)
	}
	var said []string
	for _, f := range found.Findings {
		if f.Code == "FLUX1_APPLY_FAILED" {
			said = append(said, f.Subject+": "+f.Message)
		}
	}
	want := fmt.Sprintf("%s: of the commit that %[1]s synced last, 1 object is not live: 1 in namespace nowhere (nowhere:configmap/lost); 1 object was last applied from another manifest: 1 in namespace %s (%[2]s:configmap/changed)", id(team), team.Namespace)
	if !slices.Equal(said, []string{want}) {
		w.t.Errorf("of commit %s, in which two objects are refused, discover says:\n%s\nwant:\n%s", commit, strings.Join(said, "\n"), want)
	}
}

// plantSecret puts a Secret with a marked value into a team's repository, and
// another one into the live object, so that both are compared.
func (w *world) plantSecret() {
	w.t.Helper()
	team := w.Teams[0]
	text := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: planted, namespace: %s}\nstringData: {password: %s, short: %s}\n", team.Namespace, markedSecret, markedSecret[:20])
	w.commitFiles(team, "Plant a secret", map[string][]byte{team.Path + "/planted/secret.yaml": []byte(text)})
	w.synced()
	patch := fmt.Sprintf(`{"stringData":{"password":"live-%s"}}`, markedSecret)
	if _, err := w.kube().CoreV1().Secrets(team.Namespace).Patch(w.t.Context(), "planted", types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		w.t.Fatal(err)
	}
}

// onlyReads demands that a user wrote nothing, and gives how many dry-runs were
// made.
func (w *world) onlyReads(user string, since time.Time) (dryRuns int) {
	w.t.Helper()
	asked := 0
	audited(w, func(e *auditor.Event) {
		if e.User.Username != user || e.StageTimestamp.Before(since) || e.ObjectRef == nil {
			return
		}
		asked++
		_, query, _ := strings.Cut(e.RequestURI, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			w.t.Fatal(err)
		}
		switch {
		case slices.Contains([]string{"get", "list", "watch"}, e.Verb):
		case e.ObjectRef.APIGroup == "authorization.k8s.io": // a question, though it is asked by a create
		case slices.Equal(values["dryRun"], []string{"All"}):
			dryRuns++
		default:
			w.t.Errorf("%s wrote: %s %s", user, e.Verb, e.RequestURI)
		}
	})
	if asked == 0 {
		w.t.Errorf("%s asked for nothing", user)
	}
	return dryRuns
}

// proxy is what lies between an account and the cluster: it ends TLS with a
// certificate of a private authority.
type proxy struct {
	// untrusted: the kubeconfig names the cluster's own authority.
	untrusted bool
	// breaks off each so many answers in the middle, but no question's more than
	// twice; none if zero.
	breaks int64
}

// questionKey finds in a request's context what is asked, and for whom.
type questionKey struct{}

// brokenBody ends before its end.
type brokenBody struct{ io.ReadCloser }

func (b brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// throughProxy gives an account the way to the cluster that leads through a
// proxy.
func (w *world) throughProxy(p *printed, way proxy) *printed {
	w.t.Helper()
	target, err := url.Parse(w.ControlPlane.Server)
	if err != nil {
		w.t.Fatal(err)
	}
	ca, err := os.ReadFile(w.ControlPlane.CAFile)
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	var (
		answers atomic.Int64
		broken  sync.Map // by question
	)
	server := httptest.NewTLSServer(&httputil.ReverseProxy{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			// A server closes the body of a request as soon as it answers, and a
			// transport that still looks for its end then breaks the answer off.
			body, err := io.ReadAll(r.In.Body)
			if err != nil {
				body = nil // the client went away
			}
			r.Out.Body = io.NopCloser(bytes.NewReader(body))
			question := strings.Join([]string{r.In.Method, r.In.URL.String(), r.In.Header.Get("Impersonate-User"), string(body)}, "\n")
			r.Out = r.Out.WithContext(context.WithValue(r.Out.Context(), questionKey{}, question))
		},
		ModifyResponse: func(r *http.Response) error {
			if way.breaks == 0 || answers.Add(1)%way.breaks != 0 {
				return nil
			}
			times, _ := broken.LoadOrStore(r.Request.Context().Value(questionKey{}), new(atomic.Int64))
			if times.(*atomic.Int64).Add(1) <= 2 {
				r.Body = brokenBody{r.Body}
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	})
	w.t.Cleanup(server.Close)
	text, err := os.ReadFile(p.kubeconfig)
	if err != nil {
		w.t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(text), w.ControlPlane.Server, server.URL)
	if !way.untrusted {
		file := filepath.Join(w.t.TempDir(), "private-ca.pem")
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		if err := os.WriteFile(file, block, 0o600); err != nil {
			w.t.Fatal(err)
		}
		changed = strings.ReplaceAll(changed, w.ControlPlane.CAFile, file)
	}
	out := *p
	out.kubeconfig = filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := os.WriteFile(out.kubeconfig, []byte(changed), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return &out
}

// filesBelow is the text of a file, or of all files of a folder.
func (w *world) filesBelow(name string) string {
	w.t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(name, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		text.Write(raw)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if text.Len() == 0 {
		w.t.Errorf("%s holds nothing", name)
	}
	return text.String()
}

// verifies looks again at a plan as what it was made from moves.
func (w *world) verifies(p *printed, file string) {
	w.t.Helper()
	type repository struct {
		ID, State    string
		Moved, Taken []string
	}
	look := func(want int, says string) {
		w.t.Helper()
		text := words(p.succeeds(w, want, "plan", "--verify", file).out)
		if !strings.Contains(text, says) {
			w.t.Errorf("plan --verify does not say %q:\n%s", says, text)
		}
		var v struct {
			Kind         string
			Holds        bool
			Repositories []repository
		}
		r := p.succeeds(w, want, "plan", "--verify", file, "-o", "json")
		if err := json.Unmarshal([]byte(r.out), &v); err != nil || v.Kind != "Verification" || v.Holds != (want == 0) || len(v.Repositories) != len(w.Teams) {
			w.t.Errorf("plan --verify -o json: %v\n%s", err, r.out)
		}
		w.matches("verification", r.out)
	}
	look(0, "plan.json holds")
	w.commit(w.Teams[1])
	w.synced()
	team := w.Teams[2]
	deployments := w.kube().AppsV1().Deployments(team.Namespace)
	list, err := deployments.List(w.t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) == 0 {
		w.t.Fatalf("no Deployment of %s: %v", team.Name, err)
	}
	name := list.Items[0].Name
	if _, err := deployments.Patch(w.t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"labels":{"by":"hand"}}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		w.t.Fatal(err)
	}
	look(2, "new: change Deployment/"+team.Namespace+"/"+name+" .metadata.labels.by")
	if _, err := deployments.Patch(w.t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"meta.helm.sh/release-name":"other"}}}`), metav1.PatchOptions{FieldManager: "helm"}); err != nil {
		w.t.Fatal(err)
	}
	look(3, "held back by a finding")
}
