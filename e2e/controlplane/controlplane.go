// Package controlplane runs a real Kubernetes control plane for laboratory and
// tests: etcd, kube-apiserver and kube-controller-manager, as child processes
// that listen on loopback only. RBAC is on, the ServiceAccount admission plugin
// is on, and an audit log tells who wrote what.
//
// It refuses to be a cluster: there is no scheduler and no kubelet (package
// kubelet plays that part), no DNS and no network. It is not hardened; anyone
// on the machine can reach etcd. Nothing outside the machine can.
package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fluxover/fluxover/e2e/built"
)

// Users that the control plane knows by token. All are in system:masters;
// they differ so that the audit log tells them apart.
const (
	AdminUser      = "admin"
	KubeletUser    = "system:node:lab"
	ControllerUser = "system:kube-controller-manager"
)

// DefaultControllers are the controllers that run when Options names none.
// clusterrole-aggregation is among them because without it the built-in roles
// admin, edit and view are empty.
var DefaultControllers = []string{
	"namespace-controller",
	"garbage-collector-controller",
	"serviceaccount-controller",
	"root-ca-certificate-publisher-controller",
	"clusterrole-aggregation-controller",
	"deployment-controller",
	"replicaset-controller",
}

const (
	// startLimit bounds Start from the first child to running controllers,
	// for a machine that is busy with other work.
	startLimit = 90 * time.Second
	// stopLimit bounds the orderly end of each child before it is killed.
	stopLimit = 15 * time.Second
	// portAttempts is how often Start tries again when somebody took a port
	// between choosing it and listening on it.
	portAttempts = 3
)

// Options says which control plane Start runs. Only Dir is required.
type Options struct {
	// Dir keeps data, certificates, tokens and logs. It is created. A later
	// Start in the same Dir finds the same cluster, CA and tokens, and the same
	// ports if they are still free.
	Dir string
	// Version is the Kubernetes version, for example v1.36.2. Empty means
	// KUBEBUILDER_ASSETS whatever its version, else DefaultVersion.
	Version string
	// Log takes progress lines for people. Nil discards them.
	Log io.Writer
	// Controllers replaces DefaultControllers.
	Controllers []string
	// AuditGroups names further API groups whose writes are logged with request
	// and response, for example those of a test's own custom resources.
	AuditGroups []string
	// APIServerArgs are appended to the arguments of kube-apiserver, ManagerArgs
	// to those of kube-controller-manager.
	APIServerArgs, ManagerArgs []string
}

// ControlPlane is a running control plane. Its fields are set by Start and do
// not change.
type ControlPlane struct {
	// Dir is the absolute form of Options.Dir.
	Dir string
	// Version is what kube-apiserver reports, for example v1.37.2.
	Version string
	// Server is the https address of the API server.
	Server string
	// Kubeconfig is the path of a file with the admin's credentials.
	Kubeconfig string
	// CAFile is the path of the certificate authority in PEM form.
	CAFile string
	// BinDir holds etcd, kube-apiserver, kube-controller-manager and kubectl.
	BinDir string
	// AuditLog is the path of the audit log: one JSON event a line, stage
	// ResponseComplete (and ResponseStarted for watches). An event is in the
	// file before its answer reaches the caller.
	AuditLog string

	tokens   map[string]string
	caPEM    []byte
	lock     *os.File
	children []*child // in the order started
	stop     sync.Once
	stopErr  error
}

// Start runs a control plane in opts.Dir and returns when it serves: /readyz is
// ok, the default namespace, its service account and its CA ConfigMap exist and
// every controller has started. ctx bounds the start only. On failure nothing
// is left running; the error holds the end of the log of the part that failed.
// The children end with the calling process (on Linux even if it is killed).
func Start(ctx context.Context, opts Options) (*ControlPlane, error) {
	if opts.Dir == "" {
		return nil, errors.New("start control plane: Options.Dir is empty")
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if opts.Controllers == nil {
		opts.Controllers = DefaultControllers
	}
	bin, err := Assets(ctx, opts.Version, opts.Log)
	if err != nil {
		return nil, err
	}
	version, err := serverVersion(ctx, filepath.Join(bin, "kube-apiserver"))
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"logs", "etcd", "audit"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("start control plane: %w", err)
		}
	}
	lock, err := built.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("start control plane in %s: %w: end the one that runs there first", dir, err)
	}
	cp := &ControlPlane{
		Dir: dir, Version: version, BinDir: bin, lock: lock,
		Kubeconfig: filepath.Join(dir, "admin.kubeconfig"),
		CAFile:     filepath.Join(dir, "pki", "ca.crt"),
		AuditLog:   filepath.Join(dir, "audit", "audit.log"),
	}
	if err := cp.prepare(opts); err != nil {
		return nil, errors.Join(err, cp.Stop())
	}
	for attempt := 1; ; attempt++ {
		err = cp.run(ctx, opts)
		if err == nil {
			return cp, nil
		}
		stopErr := cp.endChildren()
		if attempt < portAttempts && ctx.Err() == nil && strings.Contains(err.Error(), "address already in use") {
			fmt.Fprintln(opts.Log, "a chosen port was taken meanwhile, trying others")
			continue
		}
		return nil, errors.Join(err, stopErr, cp.Stop())
	}
}

// Stop ends all children, controllers first and etcd last, and keeps the data.
// A child that does not end in time is killed; that is not an error. Calling it
// again returns the same result.
func (cp *ControlPlane) Stop() error {
	cp.stop.Do(func() {
		cp.stopErr = cp.endChildren()
		if err := cp.lock.Close(); err != nil {
			cp.stopErr = errors.Join(cp.stopErr, fmt.Errorf("unlock %s: %w", cp.Dir, err))
		}
	})
	return cp.stopErr
}

// Config returns credentials of AdminUser, a member of system:masters, without
// a client-side limit worth noticing.
func (cp *ControlPlane) Config() *rest.Config { return cp.config(AdminUser) }

// KubeletConfig returns credentials of KubeletUser, with the rights of the admin,
// so that what a kubelet writes is told apart from what people and tests write.
func (cp *ControlPlane) KubeletConfig() *rest.Config { return cp.config(KubeletUser) }

func (cp *ControlPlane) config(user string) *rest.Config {
	return &rest.Config{
		Host:            cp.Server,
		BearerToken:     cp.tokens[user],
		TLSClientConfig: rest.TLSClientConfig{CAData: cp.caPEM},
		QPS:             2000,
		Burst:           4000,
	}
}

// prepare writes what stays the same over restarts: certificates, keys, tokens
// and the audit policy.
func (cp *ControlPlane) prepare(opts Options) error {
	pki := filepath.Join(cp.Dir, "pki")
	if err := ensureCertificates(pki); err != nil {
		return fmt.Errorf("prepare control plane: %w", err)
	}
	ca, err := os.ReadFile(cp.CAFile)
	if err != nil {
		return fmt.Errorf("prepare control plane: %w", err)
	}
	cp.caPEM = ca
	if cp.tokens, err = ensureTokens(filepath.Join(pki, "tokens.csv")); err != nil {
		return fmt.Errorf("prepare control plane: %w", err)
	}
	policy, err := auditPolicy(opts.AuditGroups)
	if err != nil {
		return fmt.Errorf("prepare control plane: %w", err)
	}
	if err := os.WriteFile(filepath.Join(cp.Dir, "audit", "policy.yaml"), policy, 0o600); err != nil {
		return fmt.Errorf("prepare control plane: %w", err)
	}
	return nil
}

// run starts the three children and waits until they serve.
func (cp *ControlPlane) run(ctx context.Context, opts Options) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	ports, err := choosePorts(filepath.Join(cp.Dir, "ports.json"))
	if err != nil {
		return fmt.Errorf("start control plane: %w", err)
	}
	pki := func(name string) string { return filepath.Join(cp.Dir, "pki", name) }
	etcdURL := fmt.Sprintf("http://127.0.0.1:%d", ports.EtcdClient)
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", ports.EtcdPeer)
	cp.Server = fmt.Sprintf("https://127.0.0.1:%d", ports.APIServer)
	if err := cp.writeKubeconfig(cp.Kubeconfig, AdminUser); err != nil {
		return err
	}
	controllerKubeconfig := pki("controller-manager.kubeconfig")
	if err := cp.writeKubeconfig(controllerKubeconfig, ControllerUser); err != nil {
		return err
	}

	began := time.Now()
	etcd, err := cp.spawn("etcd",
		"--name=lab",
		"--data-dir="+filepath.Join(cp.Dir, "etcd"),
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL,
		"--initial-cluster=lab="+peerURL,
		// A laboratory's data need not survive a power cut; fsync would cost
		// more than everything else.
		"--unsafe-no-fsync",
		"--quota-backend-bytes=8589934592",
		"--auto-compaction-mode=periodic", "--auto-compaction-retention=5m",
		"--log-level=warn",
	)
	if err != nil {
		return err
	}
	plain := &http.Client{Timeout: 2 * time.Second}
	if err := etcd.await(ctx, "serves", func() error { _, err := getOK(ctx, plain, etcdURL+"/health"); return err }); err != nil {
		return err
	}

	apiserver, err := cp.spawn("kube-apiserver", append([]string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", ports.APIServer),
		"--tls-cert-file=" + pki("server.crt"), "--tls-private-key-file=" + pki("server.key"),
		"--token-auth-file=" + pki("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + pki("service-account.key"),
		"--service-account-signing-key-file=" + pki("service-account.key"),
		"--service-cluster-ip-range=10.0.0.0/16",
		// The API server refuses to publish a loopback address as endpoint.
		"--endpoint-reconciler-type=none",
		"--allow-privileged=true",
		"--max-requests-inflight=3000", "--max-mutating-requests-inflight=1500",
		"--event-ttl=30m",
		"--audit-policy-file=" + filepath.Join(cp.Dir, "audit", "policy.yaml"),
		"--audit-log-path=" + cp.AuditLog,
		"--audit-log-format=json",
		// Blocking: an event is in the file before its answer is sent, and a
		// killed API server loses none.
		"--audit-log-mode=blocking",
		// In megabytes. Zero would mean a rotation each 100 MB.
		"--audit-log-maxsize=1000000",
		"--v=1",
	}, opts.APIServerArgs...)...)
	if err != nil {
		return err
	}
	config := cp.Config()
	config.Timeout = 5 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("start control plane: %w", err)
	}
	ready := func() error {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	}
	if err := apiserver.await(ctx, "is ready", ready); err != nil {
		return err
	}

	manager, err := cp.spawn("kube-controller-manager", append([]string{
		"--kubeconfig=" + controllerKubeconfig,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", ports.ControllerManager),
		"--tls-cert-file=" + pki("server.crt"), "--tls-private-key-file=" + pki("server.key"),
		"--controllers=" + strings.Join(opts.Controllers, ","),
		"--root-ca-file=" + cp.CAFile,
		"--use-service-account-credentials=false",
		"--leader-elect=false",
		"--kube-api-qps=1000", "--kube-api-burst=2000",
		"--concurrent-deployment-syncs=20", "--concurrent-replicaset-syncs=20", "--concurrent-namespace-syncs=20",
		"--v=1",
	}, opts.ManagerArgs...)...)
	if err != nil {
		return err
	}
	healthz := fmt.Sprintf("https://127.0.0.1:%d/healthz?verbose=1", ports.ControllerManager)
	transport, err := rest.HTTPClientFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: cp.caPEM}, Timeout: 2 * time.Second})
	if err != nil {
		return fmt.Errorf("start control plane: %w", err)
	}
	defer transport.CloseIdleConnections()
	if err := manager.await(ctx, "runs every controller", func() error {
		checks, err := getOK(ctx, transport, healthz)
		if err != nil {
			return err
		}
		// Each controller adds a health check of its own when it starts.
		for _, name := range opts.Controllers {
			if !strings.Contains(checks, "[+]"+name+" ok") {
				return fmt.Errorf("no %s among the health checks %q", name, checks)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := manager.await(ctx, "filled the default namespace", func() error {
		if _, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return err
		}
		_, err := client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		if apierrors.IsNotFound(err) && !contains(opts.Controllers, "root-ca-certificate-publisher-controller") {
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	fmt.Fprintf(opts.Log, "Kubernetes %s serves on %s after %.1f s\n", cp.Version, cp.Server, time.Since(began).Seconds())
	return nil
}

func contains(list []string, want string) bool {
	for _, s := range list {
		if s == want {
			return true
		}
	}
	return false
}

// spawn starts one program of BinDir and remembers it for Stop.
func (cp *ControlPlane) spawn(name string, args ...string) (*child, error) {
	c, err := startChild(filepath.Join(cp.BinDir, name), args, filepath.Join(cp.Dir, "logs", name+".log"))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	cp.children = append(cp.children, c)
	return c, nil
}

func (cp *ControlPlane) endChildren() error {
	var errs []error
	for i := len(cp.children) - 1; i >= 0; i-- {
		errs = append(errs, cp.children[i].end(stopLimit))
	}
	cp.children = nil
	return errors.Join(errs...)
}

// writeKubeconfig writes a self-contained kubeconfig for one user.
func (cp *ControlPlane) writeKubeconfig(path, user string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["lab"] = &clientcmdapi.Cluster{Server: cp.Server, CertificateAuthorityData: cp.caPEM}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: cp.tokens[user]}
	config.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: user, Namespace: metav1.NamespaceDefault}
	config.CurrentContext = "lab"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	return nil
}

// ensureTokens reads the token file of kube-apiserver, or writes one with new
// random tokens, and returns token by user.
func ensureTokens(path string) (map[string]string, error) {
	tokens := map[string]string{}
	content, err := os.ReadFile(path)
	if err == nil {
		for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
			if fields := strings.Split(line, ","); len(fields) >= 2 {
				tokens[fields[1]] = fields[0]
			}
		}
		for _, user := range []string{AdminUser, KubeletUser, ControllerUser} {
			if tokens[user] == "" {
				return nil, fmt.Errorf("read tokens %s: no token for %s: remove the folder of this control plane and start again", path, user)
			}
		}
		return tokens, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var lines strings.Builder
	for _, user := range []string{AdminUser, KubeletUser, ControllerUser} {
		random := make([]byte, 24)
		if _, err := rand.Read(random); err != nil {
			return nil, err
		}
		tokens[user] = hex.EncodeToString(random)
		fmt.Fprintf(&lines, "%s,%s,%s,system:masters\n", tokens[user], user, user)
	}
	return tokens, writeWhole(path, []byte(lines.String()))
}

// writeWhole writes a private file that is there complete or not at all.
func writeWhole(path string, content []byte) error {
	part := path + ".part"
	if err := os.WriteFile(part, content, 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// getOK returns what url answers, and fails unless it answers 200.
func getOK(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("GET %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return string(body), nil
}
