package discover

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate/flux1"
	"k8s.io/client-go/tools/clientcmd"
)

// readCluster reports an agent that writes to another cluster than its pods run in,
// or may: fluxd takes the API server from the kubeconfig of --kube-config, else of
// KUBECONFIG, else of its home, and from its pod where that names none (flux:
// cmd/fluxd/main.go).
func (w *witness) readCluster(ctx context.Context, a *agent) error {
	files, by, given := []string{a.config.KubeConfig}, "--kube-config", true
	if a.config.KubeConfig == "" {
		v, err := a.env.look(ctx, "KUBECONFIG")
		switch {
		case err != nil:
			return err
		case v == nil || v.assumed:
			files, by, given = []string{"/root/.kube/config"}, "volumeMounts", false
		case !v.plain && a.env.declared:
			return nil
		case !v.plain:
			w.find(OtherCluster.Finding(a.ID, a.where("env KUBECONFIG"), "which kubeconfig the agent takes its cluster from is not known"))
			return nil
		default:
			files, by, given = strings.Split(v.value, ":"), "env KUBECONFIG", false
		}
	}
	for _, file := range files {
		if err := w.readKubeconfig(ctx, a, file, by, given); err != nil {
			return err
		}
	}
	return nil
}

// readKubeconfig reports the cluster of one kubeconfig. Of one that is given by a
// flag fluxd needs it to be there.
func (w *witness) readKubeconfig(ctx context.Context, a *agent, file, by string, given bool) error {
	unknown := func(why string) error {
		w.find(OtherCluster.Finding(a.ID, a.where(by), fmt.Sprintf("which cluster the agent writes to is not known: %s", why)))
		return nil
	}
	volume, _, _ := a.env.mount(file)
	switch {
	case len(flux1.Symbols(file)) > 0:
		return unknown("the place of its kubeconfig hangs on what is not known")
	case volume == nil && given:
		return unknown("its kubeconfig " + file + " comes from no volume")
	case volume == nil:
		return nil // of the image itself, which names no server, or none
	case opaque(volume):
		return unknown(fmt.Sprintf("its kubeconfig %s would stand in volume %s, which is neither a ConfigMap nor a Secret", file, volume.Name))
	}
	content, place, found, err := a.env.file(ctx, file, "the cluster that the agent writes to")
	switch {
	case errors.Is(err, errUnreadable) && a.env.declared && (given || volume.Secret != nil):
		return unknown(fmt.Sprintf("what %s holds, in which its kubeconfig %s stands, is not known without the cluster", place, file))
	case errors.Is(err, errUnreadable): // reported as a missing right, or the chart's own
		return nil
	case err != nil:
		return err
	case !found && given:
		return unknown(fmt.Sprintf("its kubeconfig %s is not in %s", file, place))
	case !found:
		return nil
	}
	config, err := clientcmd.Load(content)
	if err != nil {
		return unknown("the kubeconfig in " + place + " cannot be read") // the error may quote it
	}
	current := config.Contexts[config.CurrentContext]
	if current == nil || config.Clusters[current.Cluster] == nil {
		return nil
	}
	if server := config.Clusters[current.Cluster].Server; !w.isOwnServer(server) {
		w.find(OtherCluster.Finding(a.ID, place, fmt.Sprintf("the agent's kubeconfig %s (%s) names API server %s", file, by, flux1.DisplayURL(server))))
	}
	return nil
}

// isOwnServer reports whether an API server's URL is that of the cluster at hand, by
// the name that pods have for it or as it was given here.
func (w *witness) isOwnServer(server string) bool {
	trimmed := strings.TrimSuffix(server, "/")
	if trimmed == "" || trimmed == strings.TrimSuffix(w.server, "/") {
		return true
	}
	u, err := url.Parse(trimmed)
	if err != nil {
		return false
	}
	labels := strings.Split(u.Hostname(), ".")
	service := []string{"kubernetes", "default", "svc"}
	n := min(len(labels), len(service))
	return slices.Equal(labels[:n], service[:n])
}
