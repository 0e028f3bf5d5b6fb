package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	yamlv2 "gopkg.in/yaml.v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/controlplane"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/gitserver"
)

// world is a real control plane and Git server with a fleet on them, as its
// agents leave it after a sync: objects applied by kubectl and marked, the
// sync tag at the head. No agent and no workload runs, so that what is measured
// has the machine for itself.
type world struct {
	dir, program, cache string
	plane               *controlplane.ControlPlane
	git                 *gitserver.Server
	teams               []fleet.Team
	objects             int
}

// controllers leave out those that would make Pods of thousands of Deployments.
var controllers = []string{
	"namespace-controller", "serviceaccount-controller", "root-ca-certificate-publisher-controller", "clusterrole-aggregation-controller",
}

// auditPolicy logs each request without its bodies, as clusters mostly do:
// writing out what a whole fleet is tried with would be work for the API server
// that is measured with the program.
const auditPolicy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n"

// newWorld puts a fleet of teams, each with apps applications, below dir.
func newWorld(ctx context.Context, dir, program string, teams, apps int, log io.Writer) (w *world, err error) {
	w = &world{dir: dir, program: program, cache: filepath.Join(dir, "cache")}
	begun := w // a return with an error gives none
	defer func() {
		if err != nil {
			err = errors.Join(err, begun.down())
		}
	}()
	if w.teams, err = fleet.Generate(fleet.Options{Seed: 1, Teams: teams, Apps: apps}); err != nil {
		return nil, err
	}
	policy := filepath.Join(dir, "audit.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	if w.plane, err = controlplane.Start(ctx, controlplane.Options{
		Dir: filepath.Join(dir, "controlplane"), Controllers: controllers, APIServerArgs: []string{"--audit-policy-file=" + policy},
	}); err != nil {
		return nil, err
	}
	if w.git, err = gitserver.Start(context.WithoutCancel(ctx), gitserver.Options{Dir: filepath.Join(dir, "git")}); err != nil {
		return nil, err
	}
	fmt.Fprintf(log, "installing %d agents\n", teams)
	config := w.plane.Config()
	config.QPS, config.Burst = -1, -1
	if err := fleet.Install(ctx, config, w.git, w.teams); err != nil {
		return nil, err
	}
	fmt.Fprintln(log, "applying what they would have applied")
	return w, w.sync(ctx)
}

// down ends what newWorld started.
func (w *world) down() error {
	var problems []error
	if w.git != nil {
		problems = append(problems, w.git.Stop())
	}
	if w.plane != nil {
		problems = append(problems, w.plane.Stop())
	}
	return errors.Join(problems...)
}

// sync does what each agent's first sync does.
func (w *world) sync(ctx context.Context) error {
	config := w.plane.Config()
	config.QPS, config.Burst = -1, -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(core.Discovery()))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	counts := make([]int, len(w.teams))
	for i, team := range w.teams {
		group.Go(func() error {
			objects, err := w.manifests(team)
			if err != nil {
				return err
			}
			counts[i] = len(objects)
			if i == 0 { // a mark that no agent makes: where it comes from is looked for
				objects[0].SetLabels(map[string]string{"fluxcd.io/sync-gc-mark": "sha256.of-somebody"})
			}
			for _, o := range objects {
				gvk := o.GroupVersionKind()
				mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
				if err != nil {
					return err
				}
				if err := create(ctx, client, mapping.Resource, o); err != nil {
					return fmt.Errorf("apply %s %s of %s: %w", o.GetKind(), o.GetName(), team.Name, err)
				}
			}
			tag := exec.CommandContext(ctx, "git", "-C", filepath.Join(w.dir, "git", team.Repo+".git"), "tag", "flux-sync", team.Branch)
			if out, err := tag.CombinedOutput(); err != nil {
				return fmt.Errorf("tag %s: %w\n%s", team.Repo, err, out)
			}
			return nil
		})
	}
	err = group.Wait()
	for _, n := range counts {
		w.objects += n
	}
	return err
}

// manifests reads the objects that a team's agent applies, namespaces first,
// marked as by kubectl and fluxd.
func (w *world) manifests(team fleet.Team) ([]*unstructured.Unstructured, error) {
	mark, err := w.marks(team)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for name, content := range team.Files {
		if !strings.HasPrefix(name, team.Path+"/") || path.Ext(name) != ".yaml" || path.Base(name) == "kustomization.yaml" {
			continue
		}
		documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
		for {
			u := &unstructured.Unstructured{}
			if err := documents.Decode(&u.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("read %s of %s: %w", name, team.Name, err)
			}
			if u.GetKind() == "" {
				continue
			}
			applied, err := json.Marshal(u.Object)
			if err != nil {
				return nil, err
			}
			document, err := yamlv2.Marshal(u.Object)
			if err != nil {
				return nil, err
			}
			set := func(get map[string]string, key, value string) map[string]string {
				if get == nil {
					get = map[string]string{}
				}
				get[key] = value
				return get
			}
			u.SetAnnotations(set(set(u.GetAnnotations(), "kubectl.kubernetes.io/last-applied-configuration", string(applied)), "fluxcd.io/sync-checksum", fmt.Sprintf("%x", sha1.Sum(document))))
			u.SetLabels(set(u.GetLabels(), "fluxcd.io/sync-gc-mark", mark(u)))
			out = append(out, u)
		}
	}
	slices.SortStableFunc(out, func(a, b *unstructured.Unstructured) int {
		rank := func(u *unstructured.Unstructured) int {
			if u.GetKind() == "Namespace" {
				return 0
			}
			return 1
		}
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a.GetKind()+a.GetName(), b.GetKind()+b.GetName())
	})
	return out, nil
}

func create(ctx context.Context, client dynamic.Interface, resource schema.GroupVersionResource, o *unstructured.Unstructured) error {
	_, err := client.Resource(resource).Namespace(o.GetNamespace()).Create(ctx, o, metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// marks gives the mark that fluxd puts on an object of a team: a hash of what it
// syncs and of the object's name (fluxd: pkg/sync; pkg/cluster/kubernetes).
func (w *world) marks(team fleet.Team) (func(*unstructured.Unstructured) string, error) {
	git, ok := team.ChartValues(w.git)["git"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the values of %s have no git", team.Name)
	}
	address, ok := git["url"].(string)
	if !ok {
		return nil, fmt.Errorf("the values of %s have no git.url", team.Name)
	}
	address = strings.Replace(address, "$(GIT_AUTHUSER):$(GIT_AUTHKEY)@", "flux-"+team.Name+"@", 1)
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	set := hash(address + team.Branch + team.Path)
	return func(u *unstructured.Unstructured) string {
		id := fmt.Sprintf("%s:%s/%s", cmp.Or(u.GetNamespace(), "<cluster>"), strings.ToLower(u.GetKind()), u.GetName())
		return "sha256." + hash(set+id)
	}, nil
}

// terraform writes a configuration that declares the fleet: one resource with
// an instance per team.
func (w *world) terraform() (string, error) {
	dir := filepath.Join(w.dir, "terraform")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, team := range w.teams {
		values, err := yaml.Marshal(team.ChartValues(w.git))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, team.Name+".yaml"), values, 0o600); err != nil {
			return "", err
		}
	}
	var names []string
	for _, team := range w.teams {
		names = append(names, fmt.Sprintf("%q", team.Name))
	}
	config := fmt.Sprintf(`locals {
  teams = [%s]
}

resource "helm_release" "flux" {
  for_each   = toset(local.teams)
  name       = "flux-${each.key}"
  namespace  = %q
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [file("${path.module}/${each.key}.yaml")]
}
`, strings.Join(names, ", "), fleet.AgentNamespace)
	return dir, os.WriteFile(filepath.Join(dir, "main.tf"), []byte(config), 0o600)
}
