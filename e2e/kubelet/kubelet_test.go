package kubelet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fluxover/fluxover/e2e/controlplane"
)

var (
	plane  *controlplane.ControlPlane
	client *kubernetes.Clientset
	lab    *Kubelet
	// stuckPods holds the namespace/name of Pods whose deletion lab ignores.
	stuckPods atomic.Value
)

func TestMain(m *testing.M) {
	if os.Getenv(programMark) != "" {
		os.Exit(program(os.Args[1:]))
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "kubelet-test-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx := context.Background()
	plane, err = controlplane.Start(ctx, controlplane.Options{Dir: filepath.Join(dir, "plane"), Log: os.Stderr})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	if client, err = kubernetes.NewForConfig(plane.Config()); err != nil {
		return 1, err
	}
	stuckPods.Store("")
	options := labOptions(filepath.Join(dir, "lab"))
	options.Stuck = func(namespace, pod string) bool { return stuckPods.Load() == namespace+"/"+pod }
	if lab, err = Start(ctx, options); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, lab.Stop()) }()
	return m.Run(), nil
}

func labOptions(dir string) Options {
	return Options{
		Config: plane.KubeletConfig(), CAFile: plane.CAFile, Dir: dir,
		Images: func(image string) (Image, bool) {
			if image == shellImage {
				return Image{Exec: "/bin/sh"}, true
			}
			return Image{
				Exec: os.Args[0],
				Args: []string{"--own-address=$(POD_IP)", "--own-root=$(POD_ROOT)"},
				Env:  []string{programMark + "=1", "FROM_IMAGE=$(POD_ROOT)/x"},
			}, image == programImage
		},
		Path:           []string{plane.BinDir},
		RestartBackoff: time.Second,
		Log:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// patience is the least limit of a wait: a machine that does much else besides
// makes everything late.
const patience = 30 * time.Second

// eventually fails the test unless check succeeds within the limit.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	limit = max(limit, patience)
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

func newNamespace(t *testing.T) string {
	t.Helper()
	namespace, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error {
		_, err := client.CoreV1().ServiceAccounts(namespace.Name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return namespace.Name
}

// createPod creates a Pod of one container that runs the program, unless edit
// says otherwise, and deletes it when the test ends.
func createPod(t *testing.T, namespace, name string, edit func(*corev1.Pod, *corev1.Container), args ...string) {
	t.Helper()
	grace := int64(0)
	object := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "a"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "main", Image: programImage, Args: append([]string{"--listen=:3030"}, args...)}},
		},
	}
	if edit != nil {
		edit(object, &object.Spec.Containers[0])
	}
	if _, err := client.CoreV1().Pods(namespace).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := client.CoreV1().Pods(namespace).Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{GracePeriodSeconds: &grace})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
}

func getPod(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	object, err := client.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func isReady(object *corev1.Pod) bool {
	for _, condition := range object.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// ready waits until the Pod is ready and returns it.
func ready(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	var object *corev1.Pod
	eventually(t, 15*time.Second, func() error {
		if object = getPod(t, namespace, name); !isReady(object) {
			return fmt.Errorf("pod is not ready: %+v", object.Status)
		}
		return nil
	})
	return object
}

func get(ctx context.Context, ip, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ip+":3030"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

// describe asks the program in a Pod about itself.
func describe(t *testing.T, object *corev1.Pod) dump {
	t.Helper()
	var d dump
	eventually(t, 10*time.Second, func() error {
		body, err := get(t.Context(), object.Status.PodIP, "/dump")
		if err != nil {
			return err
		}
		return json.Unmarshal(body, &d)
	})
	return d
}

func (d dump) env(name string) string {
	value := "(unset)"
	for _, assignment := range d.Env {
		if rest, ok := strings.CutPrefix(assignment, name+"="); ok {
			value = rest
		}
	}
	return value
}

// content reads a file as the program in the Pod sees it.
func content(t *testing.T, object *corev1.Pod, path string) (string, error) {
	t.Helper()
	body, err := get(t.Context(), object.Status.PodIP, "/file?path="+url.QueryEscape(path))
	return string(body), err
}

func createSecret(t *testing.T, namespace, name string, values map[string]string) {
	t.Helper()
	if _, err := client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: values,
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func secretEnv(name, secret, key string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key,
	}}}
}

func fieldEnv(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func TestARealPodGetsItsEnvironmentArgumentsAndMounts(t *testing.T) {
	namespace := newNamespace(t)
	createSecret(t, namespace, "git", map[string]string{"identity": "key material", "user": "bob"})
	if _, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"A": "1", "known_hosts": "host key"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	yes, mode := true, int32(0o400)
	local := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	createPod(t, namespace, "web", func(p *corev1.Pod, c *corev1.Container) {
		c.Command = []string{"/bin/program", "--first"}
		c.EnvFrom = []corev1.EnvFromSource{
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: local("settings")}, Prefix: "S_"},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: local("absent"), Optional: &yes}},
		}
		c.Env = []corev1.EnvVar{
			{Name: "GREETING", Value: "hello $(S_A) $$(S_A) $(UNKNOWN)"},
			secretEnv("GIT_USER", "git", "user"),
			fieldEnv("NAMESPACE", "metadata.namespace"), fieldEnv("NAME", "metadata.name"),
			fieldEnv("IP", "status.podIP"), fieldEnv("ACCOUNT", "spec.serviceAccountName"), fieldEnv("TEAM", "metadata.labels['team']"),
			{Name: "KEY_FILE", Value: "/etc/git/secret/identity"},
			{Name: "MEMORY", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory"}}},
		}
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
		p.Spec.Volumes = []corev1.Volume{
			{Name: "git", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "git", DefaultMode: &mode, Items: []corev1.KeyToPath{{Key: "identity", Path: "identity"}}}}},
			{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: local("settings")}}},
			{Name: "absent", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "absent", Optional: &yes}}},
			{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		}
		c.VolumeMounts = []corev1.VolumeMount{
			{Name: "git", MountPath: "/etc/git/secret"},
			{Name: "settings", MountPath: "/root/.ssh/known_hosts", SubPath: "known_hosts"},
			{Name: "absent", MountPath: "/etc/absent"},
			{Name: "work", MountPath: "/scratch/"},
		}
		p.Spec.InitContainers = []corev1.Container{
			{Name: "hollow", Image: "example/unknown"},
			{Name: "fill", Image: programImage, Args: []string{"--write=/scratch/from-init"}, VolumeMounts: []corev1.VolumeMount{{Name: "work", MountPath: "/scratch"}}},
		}
	}, "--user=$(GIT_USER)", "--key=/etc/git/secret/identity", "/scratch/from-init", "/etc/other")
	createPod(t, namespace, "web2", nil) // the same port on the same machine

	object := ready(t, namespace, "web")
	d := describe(t, object)
	root, ip := d.Dir, object.Status.PodIP
	if want := fmt.Sprintf("%s_web_%s", namespace, object.UID); filepath.Base(root) != want {
		t.Errorf("working folder %s, want one named %s", root, want)
	}
	wantArgs := []string{
		"--first", "--listen=" + ip + ":3030", "--user=bob", "--key=" + root + "/etc/git/secret/identity", root + "/scratch/from-init",
		"/etc/other", "--own-address=" + ip, "--own-root=" + root,
	}
	if !slices.Equal(d.Args, wantArgs) {
		t.Errorf("arguments\n%q, want\n%q", d.Args, wantArgs)
	}
	for name, want := range map[string]string{
		"S_A": "1", "GREETING": "hello 1 $(S_A) $(UNKNOWN)", "GIT_USER": "bob", "NAMESPACE": namespace, "NAME": "web",
		"IP": ip, "POD_IP": ip, "ACCOUNT": "default", "TEAM": "a", "KEY_FILE": root + "/etc/git/secret/identity",
		"MEMORY": "67108864", "HOME": root + "/root", "POD_ROOT": root, "FROM_IMAGE": root + "/x",
		"KUBECONFIG": root + "/root/.kube/config", "KUBERNETES_SERVICE_HOST": "127.0.0.1",
	} {
		if got := d.env(name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	if first, _, _ := strings.Cut(d.env("PATH"), ":"); first != plane.BinDir {
		t.Errorf("PATH begins with %s, want %s", first, plane.BinDir)
	}
	for path, want := range map[string]string{
		"/etc/git/secret/identity": "key material", "/root/.ssh/known_hosts": "host key", "/scratch/from-init": "written",
		accountMount + "/namespace": namespace,
	} {
		if got, err := content(t, object, root+path); err != nil || got != want {
			t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
		}
	}
	if info, err := os.Stat(root + "/etc/git/secret/identity"); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("key file: %v, %v, want mode 0400", info, err)
	}
	if _, err := os.Stat(root + "/etc/git/secret/user"); err == nil {
		t.Error("a key that items leaves out is mounted")
	}
	if other := ready(t, namespace, "web2"); other.Status.PodIP == ip || describe(t, other).env("HOSTNAME") != "web2" {
		t.Errorf("web2 at %s answers as %s", other.Status.PodIP, describe(t, other).env("HOSTNAME"))
	}
	if logs, err := lab.Logs(namespace, "web"); err != nil || !strings.Contains(string(logs), "program starts") {
		t.Errorf("logs %q, %v", logs, err)
	}
	if _, err := lab.Logs(namespace, "no-such"); err == nil {
		t.Error("logs of a pod that never ran: no error")
	}
}

func TestAPodWaitsForAMissingSecretAndSeesItsChanges(t *testing.T) {
	namespace := newNamespace(t)
	createPod(t, namespace, "late", func(p *corev1.Pod, c *corev1.Container) {
		p.Spec.Volumes = []corev1.Volume{{Name: "key", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "late"}}}}
		c.VolumeMounts = []corev1.VolumeMount{
			{Name: "key", MountPath: "/etc/key"}, {Name: "key", MountPath: "/etc/copy", SubPath: "k"},
		}
		c.Env = []corev1.EnvVar{secretEnv("LATER", "later", "k")}
	})
	waiting := func(reason string) func() error {
		return func() error {
			object := getPod(t, namespace, "late")
			if object.Status.Phase != corev1.PodPending || len(object.Status.ContainerStatuses) != 1 ||
				object.Status.ContainerStatuses[0].State.Waiting == nil || object.Status.ContainerStatuses[0].State.Waiting.Reason != reason {
				return fmt.Errorf("want pending, waiting with %s: %+v", reason, object.Status)
			}
			return nil
		}
	}
	eventually(t, 10*time.Second, waiting("ContainerCreating"))
	createSecret(t, namespace, "late", map[string]string{"k": "first", "old": "x"})
	eventually(t, 10*time.Second, waiting("CreateContainerConfigError"))
	createSecret(t, namespace, "later", map[string]string{"k": "v"})
	object := ready(t, namespace, "late")
	running, root := describe(t, object).Pid, describe(t, object).Dir
	if got, err := content(t, object, root+"/etc/key/k"); err != nil || got != "first" {
		t.Errorf("mounted %q, %v", got, err)
	}
	patch := []byte(`{"stringData":{"k":"second","new":"y"},"data":{"old":null}}`)
	if _, err := client.CoreV1().Secrets(namespace).Patch(t.Context(), "late", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	const byTheWatch = missingRetry - time.Second // and not by looking again
	// The content changes at once, and then the names (kubelet: volume/util/atomic_writer.go).
	eventually(t, byTheWatch, func() error {
		if got, err := content(t, object, root+"/etc/key/k"); err != nil || got != "second" {
			return fmt.Errorf("mounted %q, %v", got, err)
		}
		entries, err := os.ReadDir(root + "/etc/key")
		if err != nil {
			return err
		}
		var names []string
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), "..") {
				names = append(names, entry.Name())
			}
		}
		if !slices.Equal(names, []string{"k", "new"}) {
			return fmt.Errorf("the volume holds %q, want k and new", names)
		}
		return nil
	})
	if got, err := content(t, object, root+"/etc/copy"); err != nil || got != "first" {
		t.Errorf("the subPath copy holds %q (%v), want first", got, err)
	}
	if err := client.CoreV1().Secrets(namespace).Delete(t.Context(), "late", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	createSecret(t, namespace, "late", map[string]string{"k": "third"})
	eventually(t, byTheWatch, func() error {
		if got, err := content(t, object, root+"/etc/key/k"); err != nil || got != "third" {
			return fmt.Errorf("mounted %q, %v", got, err)
		}
		return nil
	})
	if pid := describe(t, object).Pid; pid != running {
		t.Errorf("the process changed from %d to %d while its secret was away", running, pid)
	}
}

func TestAProcessActsAsItsAccountWithATokenBoundToItsPod(t *testing.T) {
	namespace := newNamespace(t)
	grant(t, namespace, "worker", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list"}})
	createPod(t, namespace, "worker", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.ServiceAccountName = "worker" })
	object := ready(t, namespace, "worker")
	config, err := clientcmd.BuildConfigFromFlags("", describe(t, object).env("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	worker, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	self, err := worker.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	account := "system:serviceaccount:" + namespace + ":worker"
	if self.Status.UserInfo.Username != account {
		t.Errorf("the process is %s, want %s", self.Status.UserInfo.Username, account)
	}
	eventually(t, 5*time.Second, func() error {
		_, err := worker.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
		return err
	})
	if _, err := worker.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("list of secrets: %v, want forbidden", err)
	}
	log, err := os.ReadFile(plane.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(log) {
		var event struct {
			User struct {
				Username string
				Extra    map[string][]string
			}
			ObjectRef struct{ Resource string }
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatal(err)
		}
		if event.User.Username == account && event.ObjectRef.Resource == "configmaps" {
			if pod := event.User.Extra["authentication.kubernetes.io/pod-name"]; !slices.Equal(pod, []string{"worker"}) {
				t.Errorf("pod-name in the audit log is %q, want worker", pod)
			}
			return
		}
	}
	t.Error("the audit log has no request of the process's account")
}

// grant makes an account with one role in the namespace.
func grant(t *testing.T, namespace, account string, rule rbacv1.PolicyRule) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: account}
	if _, err := client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: account}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutATokenVolumeThereIsNoKubeconfig(t *testing.T) {
	namespace := newNamespace(t)
	no := false
	createPod(t, namespace, "bare", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.AutomountServiceAccountToken = &no })
	d := describe(t, ready(t, namespace, "bare"))
	if d.env("KUBECONFIG") != "(unset)" {
		t.Errorf("KUBECONFIG=%s, want it unset", d.env("KUBECONFIG"))
	}
	if _, err := os.Stat(d.Dir + "/root/.kube"); err == nil {
		t.Error("a kubeconfig was written")
	}
}

func TestADeletedPodStaysTerminatingWhileItsProcessStillWrites(t *testing.T) {
	namespace := newNamespace(t)
	grant(t, namespace, "worker", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"patch"}})
	configMaps := client.CoreV1().ConfigMaps(namespace)
	if _, err := configMaps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "work"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	createPod(t, namespace, "worker", func(p *corev1.Pod, c *corev1.Container) {
		p.Spec.ServiceAccountName = "worker"
		c.Env = []corev1.EnvVar{fieldEnv("NAMESPACE", "metadata.namespace")}
	}, "--on-term=work=1500ms")
	object := ready(t, namespace, "worker")
	pid := describe(t, object).Pid // it serves, so it handles SIGTERM
	if err := client.CoreV1().Pods(namespace).Delete(t.Context(), "worker", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	written := func() string {
		configMap, err := configMaps.Get(t.Context(), "work", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return configMap.Data["n"]
	}
	eventually(t, 5*time.Second, func() error {
		if written() == "" {
			return errors.New("the process wrote nothing after SIGTERM")
		}
		return nil
	})
	if now := getPod(t, namespace, "worker"); now.DeletionTimestamp == nil {
		t.Error("the pod is not terminating while its process writes")
	}
	podGone(t, namespace, "worker", 10*time.Second)
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the pod is gone and its process is not: %v", err)
	}
	if _, err := os.Stat(filepath.Join(lab.opts.Dir, "pods", fmt.Sprintf("%s_worker_%s", namespace, object.UID))); err == nil {
		eventually(t, 10*time.Second, func() error {
			if _, err := os.Stat(filepath.Join(lab.opts.Dir, "pods", fmt.Sprintf("%s_worker_%s", namespace, object.UID))); err == nil {
				return errors.New("the pod's folder is still there")
			}
			return nil
		})
	}
}

func podGone(t *testing.T, namespace, name string, limit time.Duration) {
	t.Helper()
	eventually(t, limit, func() error {
		_, err := client.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("pod %s is still there: %v", name, err)
	})
}

func TestAProcessThatIgnoresSIGTERMIsKilledWhenTheGraceEnds(t *testing.T) {
	namespace := newNamespace(t)
	createPod(t, namespace, "deaf", nil, "--on-term=ignore")
	object := ready(t, namespace, "deaf")
	describe(t, object) // it serves, so it ignores SIGTERM by now
	grace := int64(2)
	began := time.Now()
	if err := client.CoreV1().Pods(namespace).Delete(t.Context(), "deaf", metav1.DeleteOptions{GracePeriodSeconds: &grace}); err != nil {
		t.Fatal(err)
	}
	podGone(t, namespace, "deaf", 10*time.Second)
	// Without a grace of its own it would have the 30 s of Kubernetes.
	if took := time.Since(began); took < 2*time.Second || took > 20*time.Second {
		t.Errorf("the pod was gone after %s, want a little more than 2 s", took)
	}
}

func TestSIGTERMReachesTheFirstProcessOnlyAndNothingOutlivesIt(t *testing.T) {
	namespace := newNamespace(t)
	const script = `
		sh -c "trap 'echo child was signalled' TERM; echo child runs; sleep 1; echo child is done" & child=$!
		sh -c "sleep 1000; echo never" & stray=$!; echo stray=$stray
		trap "" TERM
		wait $child
		exit 0`
	createPod(t, namespace, "family", func(_ *corev1.Pod, c *corev1.Container) {
		c.Image, c.Command, c.Args = shellImage, []string{"sh", "-c"}, []string{script}
	})
	logs := func() string {
		content, err := lab.Logs(namespace, "family")
		if err != nil {
			return err.Error()
		}
		return string(content)
	}
	eventually(t, 10*time.Second, func() error {
		if !strings.Contains(logs(), "child runs") || !strings.Contains(logs(), "stray=") {
			return errors.New(logs())
		}
		return nil
	})
	if err := client.CoreV1().Pods(namespace).Delete(t.Context(), "family", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	podGone(t, namespace, "family", 10*time.Second)
	if !strings.Contains(logs(), "child is done") || strings.Contains(logs(), "child was signalled") {
		t.Errorf("the child should end its work unsignalled: %s", logs())
	}
	_, rest, _ := strings.Cut(logs(), "stray=")
	var stray int
	if _, err := fmt.Sscan(rest, &stray); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() error {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", stray))
		if errors.Is(err, os.ErrNotExist) || strings.Contains(string(state), ") Z ") {
			return nil // gone, or dead and not yet collected by its new parent
		}
		return fmt.Errorf("a process outlived its pod: %s %v", state, err)
	})
}

func TestAStuckPodStaysTerminatingAndRunsUntilItIsReleased(t *testing.T) {
	namespace := newNamespace(t)
	stuckPods.Store(namespace + "/stuck")
	t.Cleanup(func() { stuckPods.Store("") })
	createPod(t, namespace, "stuck", nil)
	object := ready(t, namespace, "stuck")
	describe(t, object)
	grace := int64(1)
	if err := client.CoreV1().Pods(namespace).Delete(t.Context(), "stuck", metav1.DeleteOptions{GracePeriodSeconds: &grace}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		if getPod(t, namespace, "stuck").DeletionTimestamp == nil {
			t.Fatal("the pod is not terminating")
		}
		describe(t, object)
	}
	stuckPods.Store("")
	podGone(t, namespace, "stuck", 15*time.Second)
}

func TestPodsOfAnUnknownImageAreReadyAtOnceAndGoAtOnce(t *testing.T) {
	namespace := newNamespace(t)
	replicas := int32(30)
	labels := map[string]string{"app": "web"}
	deployments := client.AppsV1().Deployments(namespace)
	began := time.Now()
	if _, err := deployments.Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "web", Image: "example/web:1",
					ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(80)}}},
				}}},
			},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		deployment, err := deployments.Get(t.Context(), "web", metav1.GetOptions{})
		if err == nil && deployment.Status.AvailableReplicas != replicas {
			err = fmt.Errorf("%d of %d available", deployment.Status.AvailableReplicas, replicas)
		}
		return err
	})
	t.Logf("%d hollow pods available after %s", replicas, time.Since(began).Round(time.Millisecond))
	if err := deployments.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		pods, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("%d pods left", len(pods.Items))
		}
		return err
	})
}

func TestAContainerThatEndsIsRestartedWithBackOff(t *testing.T) {
	namespace := newNamespace(t)
	createPod(t, namespace, "crash", nil, "--exit=3")
	eventually(t, 15*time.Second, func() error {
		statuses := getPod(t, namespace, "crash").Status.ContainerStatuses
		if len(statuses) != 1 || statuses[0].RestartCount < 2 || statuses[0].LastTerminationState.Terminated == nil {
			return fmt.Errorf("no second restart: %+v", statuses)
		}
		if code := statuses[0].LastTerminationState.Terminated.ExitCode; code != 3 {
			t.Errorf("exit code in the status is %d, want 3", code)
		}
		return nil
	})
	eventually(t, 5*time.Second, func() error {
		object := getPod(t, namespace, "crash")
		if waiting := object.Status.ContainerStatuses[0].State.Waiting; isReady(object) || waiting == nil || waiting.Reason != "CrashLoopBackOff" {
			return fmt.Errorf("want not ready, waiting: %+v", object.Status)
		}
		return nil
	})
}

func TestAPodThatNeverRestartsEndsWithItsContainer(t *testing.T) {
	namespace := newNamespace(t)
	for name, want := range map[string]corev1.PodPhase{"0": corev1.PodSucceeded, "1": corev1.PodFailed} {
		createPod(t, namespace, "exit-"+name, func(p *corev1.Pod, _ *corev1.Container) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }, "--exit="+name)
		eventually(t, 10*time.Second, func() error {
			if phase := getPod(t, namespace, "exit-"+name).Status.Phase; phase != want {
				return fmt.Errorf("phase %s, want %s", phase, want)
			}
			return nil
		})
	}
}

func TestAPodIsReadyOnlyWhileItsProbeSucceeds(t *testing.T) {
	namespace := newNamespace(t)
	file := filepath.Join(t.TempDir(), "ready")
	createPod(t, namespace, "probed", func(_ *corev1.Pod, c *corev1.Container) {
		c.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 3030}}
		c.ReadinessProbe = &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/file?path=" + file, Port: intstr.FromString("http")}},
			PeriodSeconds: 1, FailureThreshold: 1,
		}
	})
	eventually(t, 10*time.Second, func() error {
		object := getPod(t, namespace, "probed")
		if object.Status.Phase != corev1.PodRunning || isReady(object) {
			return fmt.Errorf("want running and not ready: %+v", object.Status)
		}
		return nil
	})
	if err := os.WriteFile(file, []byte("yes"), 0o600); err != nil {
		t.Fatal(err)
	}
	ready(t, namespace, "probed")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error {
		if isReady(getPod(t, namespace, "probed")) {
			return errors.New("the pod is ready and its probe fails")
		}
		return nil
	})
}

func TestUsageCountsTheProcessesOfAPod(t *testing.T) {
	namespace := newNamespace(t)
	createPod(t, namespace, "busy", nil, "--burn=300ms")
	describe(t, ready(t, namespace, "busy")) // it serves after it burned
	usage, err := lab.Usage()
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range usage {
		if u.Namespace == namespace && u.Pod == "busy" {
			if u.CPU < 250*time.Millisecond || u.CPU > time.Minute || u.RSS < 1<<20 || u.RSS > 4<<30 {
				t.Errorf("usage %+v, want some hundred milliseconds and some megabytes", u)
			}
			return
		}
	}
	t.Errorf("no usage of the pod in %+v", usage)
}

func TestAKubeletThatStartsAgainTakesItsPodsOver(t *testing.T) {
	namespace := newNamespace(t)
	options := labOptions(t.TempDir())
	options.Node = "second"
	first, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := first.Stop(); err != nil {
			t.Error(err)
		}
	})
	createPod(t, namespace, "kept", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.NodeName = "second" })
	before := ready(t, namespace, "kept")
	pid := describe(t, before).Pid
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("a process outlived its kubelet: %v", err)
	}
	second, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := second.Stop(); err != nil {
			t.Error(err)
		}
	})
	if again := describe(t, before); again.Pid == pid {
		t.Error("no new process answers at the pod's address")
	}
	eventually(t, 5*time.Second, func() error {
		after := getPod(t, namespace, "kept")
		if after.Status.ContainerStatuses[0].RestartCount != 1 || after.Status.PodIP != before.Status.PodIP {
			return fmt.Errorf("want one restart at %s: %+v", before.Status.PodIP, after.Status)
		}
		return nil
	})
}
