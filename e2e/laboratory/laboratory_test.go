package laboratory

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/fleet"
)

// binaries builds what Pods of Flux v1 run.
func binaries(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := Build(t.Context(), dir, false); err != nil {
		t.Fatal(err)
	}
	return dir
}

func up(t *testing.T, options Options) *Lab {
	t.Helper()
	log := &testLog{t: t}
	options.Log = log
	lab, err := Up(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Down(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(lab.Dir, "kubelet", "logs", "*"))
			for _, path := range logs {
				content, _ := os.ReadFile(path)
				t.Logf("%s:\n%s", filepath.Base(path), content)
			}
		}
	})
	return lab
}

type testLog struct{ t *testing.T }

func (l *testLog) Write(text []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(text)))
	return len(text), nil
}

func TestLaboratoryComesUpTakesCommitsAndGoesDown(t *testing.T) {
	options := Options{Dir: filepath.Join(t.TempDir(), "lab"), BinDir: binaries(t), Teams: 2, Apps: 2, PollInterval: 2 * time.Second, WaitSynced: true}
	lab := up(t, options)
	client, err := kubernetes.NewForConfig(lab.ControlPlane.Config())
	if err != nil {
		t.Fatal(err)
	}
	if lab.Teams[0].SSH == lab.Teams[1].SSH {
		t.Fatal("both teams use the same transport")
	}

	// Each agent is a Deployment of a Helm release whose Pod runs.
	for _, team := range lab.Teams {
		agent, err := client.AppsV1().Deployments(team.AgentNamespace).Get(t.Context(), team.Release, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if agent.Annotations["meta.helm.sh/release-name"] != team.Release {
			t.Errorf("deployment %s: annotations %v do not name its release", team.Release, agent.Annotations)
		}
		if _, err := client.CoreV1().Secrets(team.AgentNamespace).Get(t.Context(), "sh.helm.release.v1."+team.Release+".v1", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}

	for _, team := range lab.Teams {
		before := deploymentImages(t, client, team)
		head, err := lab.CommitNext(t.Context(), team)
		if err != nil {
			t.Fatal(err)
		}
		if err := lab.WaitSynced(t.Context(), team); err != nil {
			t.Fatal(err)
		}
		if tag, err := lab.Git.Tag(t.Context(), team.Repo, syncTag); err != nil || tag != head {
			t.Errorf("team %s: tag is at %s (%v), want %s", team.Name, tag, err, head)
		}
		files, err := lab.Git.Tree(t.Context(), team.Repo, head)
		if err != nil {
			t.Fatal(err)
		}
		after := deploymentImages(t, client, team)
		want := imagesInGit(t, files, team)
		for name, image := range want {
			if after[name] != image {
				t.Errorf("team %s: deployment %s runs %s, Git says %s (before: %s)", team.Name, name, after[name], image, before[name])
			}
		}
		if len(want) != 2 {
			t.Errorf("team %s: %d deployments in Git, want 2", team.Name, len(want))
		}
	}

	team := lab.Teams[0]
	if err := lab.Down(); err != nil {
		t.Fatal(err)
	}
	if left := processesNaming(t, lab.Dir); len(left) > 0 {
		t.Fatalf("processes left after down: %q", left)
	}

	other := options
	other.Teams = 3
	if _, err := Up(t.Context(), other); err == nil || !strings.Contains(err.Error(), "another fleet") {
		t.Errorf("another fleet in the same folder: error %v", err)
	}
	again := up(t, options)
	if again.Git.HTTPAddr() != lab.Git.HTTPAddr() || again.Git.SSHAddr() != lab.Git.SSHAddr() {
		t.Error("the Git server moved")
	}
	if _, err := again.CommitNext(t.Context(), team); err != nil {
		t.Fatal(err)
	}
	if err := again.WaitSynced(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestUpLeavesNothingRunningWhenItFails(t *testing.T) {
	options := Options{Dir: filepath.Join(t.TempDir(), "lab"), BinDir: binaries(t), Teams: 1, Apps: 1}
	// Somebody sits where the fleet's repositories should be.
	if err := os.MkdirAll(filepath.Join(options.Dir, "git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(options.Dir, "git", "payments.git"), []byte("no folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Up(t.Context(), options)
	if err == nil || !strings.Contains(err.Error(), "payments") {
		t.Errorf("error %v, want one about payments", err)
	}
	if left := processesNaming(t, options.Dir); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
}

func TestUpRefusesBadOptions(t *testing.T) {
	for name, options := range map[string]Options{
		"no folder":       {Teams: 1, Apps: 1},
		"no teams":        {Dir: t.TempDir()},
		"unknown profile": {Dir: t.TempDir(), Teams: 1, Apps: 1, Profile: "odd"},
		"no such program": {Dir: t.TempDir(), Teams: 1, Apps: 1, BinDir: t.TempDir()},
	} {
		if _, err := Up(t.Context(), options); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestImagesAreKnownByTheLastPartOfTheirRepository(t *testing.T) {
	for image, want := range map[string]string{
		"docker.io/fluxcd/flux:1.25.4":          "flux",
		"flux":                                  "flux",
		"example.com:5000/a/flux":               "flux",
		"example.com:5000/a/flux@sha256:abc":    "flux",
		"example.com/a/flux:1@sha256:abc":       "flux",
		"ghcr.io/fluxcd/source-controller:v1.9": "source-controller",
	} {
		if got := repositoryName(image); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}

// deploymentImages are the images of a team's Deployments, by name.
func deploymentImages(t *testing.T, client kubernetes.Interface, team fleet.Team) map[string]string {
	t.Helper()
	list, err := client.AppsV1().Deployments(team.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]string{}
	for _, deployment := range list.Items {
		images[deployment.Name] = deployment.Spec.Template.Spec.Containers[0].Image
	}
	return images
}

func imagesInGit(t *testing.T, files map[string][]byte, team fleet.Team) map[string]string {
	t.Helper()
	images := map[string]string{}
	for name, content := range files {
		if !strings.HasPrefix(name, team.Path+"/") {
			continue
		}
		for _, document := range bytes.Split(append([]byte("\n"), content...), []byte("\n---\n")) {
			var deployment appsv1.Deployment
			if err := yaml.Unmarshal(document, &deployment); err == nil && deployment.Kind == "Deployment" {
				images[deployment.Name] = deployment.Spec.Template.Spec.Containers[0].Image
			}
		}
	}
	return images
}

// processesNaming lists processes whose command line names a folder.
func processesNaming(t *testing.T, dir string) []string {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		t.Fatal("no processes in /proc; this test needs Linux")
	}
	var found []string
	for _, path := range lines {
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(dir)) {
			found = append(found, string(bytes.ReplaceAll(content, []byte{0}, []byte(" "))))
		}
	}
	return found
}
