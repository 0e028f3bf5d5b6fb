package controlplane

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fluxover/fluxover/e2e/built"
)

// shared is the control plane of all tests that do not restart it.
var shared *ControlPlane

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "controlplane-test-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	shared, err = Start(context.Background(), Options{Dir: dir, Log: os.Stderr})
	if err != nil {
		return 1, err
	}
	fmt.Fprintf(os.Stderr, "control plane started in %s\n", time.Since(began).Round(time.Millisecond))
	defer func() { err = errors.Join(err, shared.Stop()) }()
	return m.Run(), nil
}

func clientOf(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// eventually fails the test unless check succeeds within the limit.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("after %s: %v", limit, err)
		case <-tick.C:
		}
	}
}

func newNamespace(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	namespace, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

func deployment(image string) *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
			},
		},
	}
}

// auditEvent is what these tests read of an audit event.
type auditEvent struct {
	Level, Verb, RequestURI string
	User                    struct{ Username string }
	ObjectRef               struct{ Resource, Namespace, Name, Subresource string }
	RequestObject           json.RawMessage
	ResponseObject          json.RawMessage
}

func auditEvents(t *testing.T, path string) []auditEvent {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var events []auditEvent
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var event auditEvent
		if err := json.Unmarshal(scanner.Bytes(), &event); err != nil {
			t.Fatalf("audit log line %q: %v", scanner.Text(), err)
		}
		events = append(events, event)
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

func TestAuditLogHoldsRequestAndResponseOfADeploymentPatchAsSoonAsItIsAnswered(t *testing.T) {
	client := clientOf(t, shared.Config())
	namespace := newNamespace(t, client)
	if _, err := client.AppsV1().Deployments(namespace).Create(t.Context(), deployment("example/web:1"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	patch := []byte(`{"metadata":{"annotations":{"from-the-request":"yes"}}}`)
	if _, err := client.AppsV1().Deployments(namespace).Patch(t.Context(), "web", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, event := range auditEvents(t, shared.AuditLog) {
		if event.Verb != "patch" || event.ObjectRef.Resource != "deployments" || event.ObjectRef.Namespace != namespace {
			continue
		}
		if event.User.Username != AdminUser {
			t.Errorf("patch logged for user %q, want %q", event.User.Username, AdminUser)
		}
		if !strings.Contains(string(event.RequestObject), "from-the-request") {
			t.Errorf("request in the audit log: %s", event.RequestObject)
		}
		var answer appsv1.Deployment
		if err := json.Unmarshal(event.ResponseObject, &answer); err != nil || answer.UID == "" || len(answer.ManagedFields) == 0 {
			t.Errorf("response in the audit log has no UID or no managed fields (%v): %s", err, event.ResponseObject)
		}
		return
	}
	t.Fatalf("no patch of the Deployment in %s", shared.AuditLog)
}

func TestAuditLogNeverHoldsASecretValueOrAToken(t *testing.T) {
	client := clientOf(t, shared.Config())
	namespace := newNamespace(t, client)
	const value = "value-that-must-not-be-logged"
	secrets := client.CoreV1().Secrets(namespace)
	if _, err := secrets.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "key"}, StringData: map[string]string{"k": value},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	patch := []byte(`{"stringData":{"other":"` + value + `"}}`)
	if _, err := secrets.Patch(t.Context(), "key", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	var token string
	eventually(t, 10*time.Second, func() error {
		request, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err == nil {
			token = request.Status.Token
		}
		return err
	})
	log, err := os.ReadFile(shared.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{value, "dmFsdWUtdGhhdC1tdXN0LW5vdC1iZS1sb2dnZW", token, shared.tokens[AdminUser]} {
		if strings.Contains(string(log), secret) {
			t.Errorf("the audit log holds a secret value")
		}
	}
	seen := map[string]bool{}
	for _, event := range auditEvents(t, shared.AuditLog) {
		if event.ObjectRef.Namespace == namespace && event.ObjectRef.Resource == "secrets" {
			seen[event.Verb] = true
			if event.Level != "Metadata" {
				t.Errorf("%s of a Secret logged at level %s", event.Verb, event.Level)
			}
		}
	}
	for _, verb := range []string{"create", "patch", "list"} {
		if !seen[verb] {
			t.Errorf("the audit log has no %s of the Secret", verb)
		}
	}
}

func TestADeploymentGetsPodsWithATokenVolume(t *testing.T) {
	client := clientOf(t, shared.Config())
	namespace := newNamespace(t, client)
	if _, err := client.AppsV1().Deployments(namespace).Create(t.Context(), deployment("example/web:1"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		pods, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return fmt.Errorf("%d pods", len(pods.Items))
		}
		for _, volume := range pods.Items[0].Spec.Volumes {
			if volume.Projected != nil {
				return nil
			}
		}
		return errors.New("the pod has no projected volume: ServiceAccount admission is off")
	})
}

func TestBuiltInRolesGrantWhatTheySay(t *testing.T) {
	client := clientOf(t, shared.Config())
	namespace := newNamespace(t, client)
	if _, err := client.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "edit"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "somebody"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	config := shared.Config()
	config.Impersonate = rest.ImpersonationConfig{UserName: "somebody"}
	somebody := clientOf(t, config)
	eventually(t, 10*time.Second, func() error {
		_, err := somebody.AppsV1().Deployments(namespace).List(t.Context(), metav1.ListOptions{})
		return err
	})
	if _, err := somebody.RbacV1().Roles(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("edit lists roles: %v, want forbidden", err)
	}
}

func TestRestartInTheSameFolderKeepsDataTokensAndAddress(t *testing.T) {
	dir := t.TempDir()
	first, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = first.Stop() // the failure that led here is the one to report
		}
	}()
	namespace := newNamespace(t, clientOf(t, first.Config()))
	if _, err := Start(t.Context(), Options{Dir: dir}); !errors.Is(err, built.ErrLocked) {
		t.Fatalf("second start in the same folder: %v, want %v", err, built.ErrLocked)
	}
	began := time.Now()
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped = true
	t.Logf("stopped in %s", time.Since(began).Round(time.Millisecond))

	began = time.Now()
	second, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("restarted in %s", time.Since(began).Round(time.Millisecond))
	defer func() {
		if err := second.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if second.Server != first.Server {
		t.Errorf("restarted at %s, was at %s", second.Server, first.Server)
	}
	config, err := clientcmd.BuildConfigFromFlags("", first.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientOf(t, config).CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{}); err != nil {
		t.Errorf("namespace made before the restart: %v", err)
	}
}

func TestAFailedStartShowsTheEndOfTheLogAndLeavesNothingRunning(t *testing.T) {
	dir := t.TempDir()
	_, err := Start(t.Context(), Options{Dir: dir, APIServerArgs: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") || !strings.Contains(err.Error(), "kube-apiserver.log") {
		t.Fatalf("start with a wrong flag: %v", err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		cmdline, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "no such process") {
			t.Fatal(err)
		}
		if strings.Contains(string(cmdline), dir) {
			t.Errorf("left running: %s", strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
}
