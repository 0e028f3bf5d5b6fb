package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answering is an API server in name alone: it gives the answers by path, and
// says of everything else that it is not there, or where one is for "*", that it is forbidden; where one is for
// "gone", it breaks off and is gone. The flags lead to it.
func answering(t *testing.T, answers map[string]string) (flags []string) {
	t.Helper()
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.URL.Path]
		if rest := answers["*"]; !ok && rest != "" {
			w.WriteHeader(http.StatusForbidden)
			answer, ok = rest, true
		}
		if !ok && answers["gone"] != "" {
			server.Config.SetKeepAlivesEnabled(false)
			_ = server.Listener.Close() // the first of several requests does it
			panic(http.ErrAbortHandler)
		}
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`
		}
		if _, err := fmt.Fprint(w, answer); err != nil {
			t.Errorf("answer %s: %v", r.URL.Path, err)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	err := os.WriteFile(kubeconfig, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],
"clusters":[{"name":"c","cluster":{"server":%q}}]}`, server.URL), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--kubeconfig", kubeconfig, "--cache-dir", filepath.Join(dir, "cache")}
}

func TestAPasswordInTheServersAddressIsShownByNoCommand(t *testing.T) {
	const secret = "MARKED-SECRET"
	reached := answering(t, map[string]string{"/version": `{"major":"1","minor":"34","gitVersion":"v1.34.0"}`})
	terraform := t.TempDir()
	if err := os.WriteFile(filepath.Join(terraform, "main.tf"), []byte("provider \"helm\" {\n kubernetes {\n  host = \"https://elsewhere\"\n }\n}\n"+
		"resource \"helm_release\" \"flux\" {\n name = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [\"git: {url: 'git@h:a'}\"]\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kubeconfig := range []string{reached[1], nowhere(t)} {
		content, err := os.ReadFile(kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range []string{"ops:" + secret, secret, "ops:" + secret + "%zz", "ops:" + secret + "/x"} {
			with := strings.ReplaceAll(string(content), "://", "://"+info+"@")
			if err := os.WriteFile(kubeconfig, []byte(with), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, command := range [][]string{
				{"discover"}, {"discover", "-o", "json"}, {"discover", "--terraform", terraform}, {"plan"}, {"migrate"}, {"diff"}, {"status"},
				{"rollback", "--yes"}, {"abort"}, {"pause"}, {"resume"}, {"rbac", "--for", "discover"},
			} {
				code, out, stderr := try(t, append(command, "--kubeconfig", kubeconfig, "--cache-dir", reached[3])...)
				if shown := out + stderr; strings.Contains(shown, secret) {
					t.Errorf("%v with %s ends with %d and shows: %s", command, info, code, shown)
				}
			}
		}
	}
}

// No error shows the address of a proxy that is no URL, and no log line, metric or error
// of the agent a token that stands alone before the server's host.
func TestATokenInAnAddressIsNotShownByTheAgent(t *testing.T) {
	const secret = "MARKED-SECRET"
	var asked atomic.Int32
	kinds := func(group, kind, resource string) string {
		return fmt.Sprintf(`{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"%s/v1","resources":[{"name":%q,"kind":%q,"namespaced":true,"verbs":["list","watch","get"]}]}`, group, resource, kind)
	}
	group := func(name string) string {
		return fmt.Sprintf(`{"name":%q,"versions":[{"groupVersion":"%s/v1","version":"v1"}],"preferredVersion":{"groupVersion":"%s/v1","version":"v1"}}`, name, name, name)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := r.BasicAuth(); user != secret {
			t.Errorf("%s is asked as %q", r.URL.Path, user)
		}
		w.Header().Set("Content-Type", "application/json")
		var err error
		switch r.URL.Path {
		case "/api":
			_, err = io.WriteString(w, `{"kind":"APIVersions","versions":["v1"]}`)
		case "/apis":
			_, err = io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[`+group("source.toolkit.fluxcd.io")+","+group("kustomize.toolkit.fluxcd.io")+`]}`)
		case "/apis/source.toolkit.fluxcd.io/v1":
			_, err = io.WriteString(w, kinds("source.toolkit.fluxcd.io", "GitRepository", "gitrepositories"))
		case "/apis/kustomize.toolkit.fluxcd.io/v1":
			_, err = io.WriteString(w, kinds("kustomize.toolkit.fluxcd.io", "Kustomization", "kustomizations"))
		default:
			asked.Add(1)
			var connection net.Conn
			if connection, _, err = w.(http.Hijacker).Hijack(); err == nil {
				_, err = io.WriteString(connection, "no HTTP\r\n\r\n") // which the client tells with the address
				_ = connection.Close()
			}
		}
		if err != nil {
			t.Errorf("answer %s: %v", r.URL.Path, err)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of one that speaks TLS
	t.Cleanup(server.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	write := func(address, more string) {
		t.Helper()
		if err := os.WriteFile(kubeconfig, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],
"clusters":[{"name":"c","cluster":{"server":%q%s}}]}`, address, more), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	agent := func(limit time.Duration) string {
		t.Helper()
		heard := heardOnStderr(t)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		var out, stderr bytes.Buffer
		run(ctx, []string{"agent", "--kubeconfig", kubeconfig, "--storage-path", t.TempDir(), "--storage-addr", "", "--metrics-addr", "0", "--health-addr", "0", "--leader-election-retry-period", "1s"},
			strings.NewReader(""), &out, &stderr)
		return strings.Join(strings.Fields(out.String()+stderr.String()+heard()), " ") // lines are broken by width
	}
	with := func(info string) string { return strings.Replace(server.URL, "://", "://"+info+"@", 1) }
	const notShown = "is not shown, since it may hold a password"
	for name, c := range map[string]struct{ address, more, says string }{
		"no server of TLS":   {strings.Replace(with(secret), "http:", "https:", 1), "", "HTTP response to HTTPS client"},
		"no URL":             {with("ops:" + secret + "%zz"), "", notShown},
		"a proxy of no URL":  {server.URL, `,"proxy-url":"http://ops:` + secret + `%zz@proxy"`, notShown},
		"a proxy of nothing": {server.URL, `,"proxy-url":"ops:` + secret + `@proxy:8080"`, notShown},
	} {
		write(c.address, c.more)
		if said := agent(20 * time.Second); strings.Contains(said, secret) || !strings.Contains(said, c.says) {
			t.Errorf("%s: is said: %s", name, said)
		}
		code, out, stderr := try(t, "discover", "--kubeconfig", kubeconfig)
		if said := strings.Join(strings.Fields(out+stderr), " "); strings.Contains(said, secret) || c.says == notShown && !strings.Contains(said, c.says) {
			t.Errorf("%s: discover ends with %d and says: %s", name, code, said)
		}
	}
	// While the server does not answer, what is asked and why it failed is logged.
	write(with(secret), "")
	metrics := reserved(t)
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$", "agent", "--kubeconfig", kubeconfig, "--storage-path", t.TempDir(), "--storage-addr", "",
		"--metrics-addr", metrics, "--health-addr", "0", "--leader-election-retry-period", "1s")
	process.Env = append(os.Environ(), asProgram+"=1")
	var heard bytes.Buffer
	process.Stdout, process.Stderr = &heard, &heard
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(server.URL, "http://")
	var measured string // it listens, and has asked, at some moment that nothing tells
	for begun := time.Now(); !strings.Contains(measured, host) && time.Since(begun) < time.Minute; time.Sleep(100 * time.Millisecond) {
		if answer, err := http.Get("http://" + metrics + "/metrics"); err == nil { // else it does not listen yet
			text, _ := io.ReadAll(answer.Body) // asked again
			_ = answer.Body.Close()
			measured = string(text)
		}
	}
	for before, begun := asked.Load(), time.Now(); asked.Load() < before+5; time.Sleep(100 * time.Millisecond) { // it asks again, late and later
		if time.Since(begun) > time.Minute {
			t.Fatalf("it asked %d times in a minute", asked.Load()-before)
		}
	}
	if err := process.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("asked to end, the agent ends with %v: %s", err, heard.String())
		}
	case <-time.After(20 * time.Second):
		t.Error("asked to end while the server does not answer, the agent does not")
		if err := process.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-ended
	}
	if !strings.Contains(heard.String(), "nothing was reconciled") {
		t.Errorf("that it did nothing is not in the logs: %s", heard.String())
	}
	for what, said := range map[string]string{"logs": heard.String(), "metrics": measured} {
		if !strings.Contains(said, host) {
			t.Errorf("nothing of the server is in the %s: %s", what, said)
		}
		if i := strings.Index(said, secret); i >= 0 {
			t.Errorf("a token is in the %s: %s", what, said[max(0, i-200):min(len(said), i+100)])
		}
	}
}

// asProgram is the variable by which the tests' own program is fluxover.
const asProgram = "FLUXOVER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Args = append(os.Args[:1], os.Args[2:]...) // without the flag of tests
		main()
	}
	os.Exit(m.Run())
}

// reserved is a local address on which nobody listens.
func reserved(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // so that another may
	return l.Addr().String()
}

// heardOnStderr takes what the process writes to its stderr until it is asked for.
func heardOnStderr(t *testing.T) (heard func() string) {
	t.Helper()
	before := os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = w
	all := make(chan string)
	go func() {
		text, _ := io.ReadAll(r) // what was read by then counts
		all <- string(text)
	}()
	return func() string {
		os.Stderr = before
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		return <-all
	}
}
