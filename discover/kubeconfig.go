package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate/flux1"
	"k8s.io/client-go/tools/clientcmd"
)

// readCluster reports an agent that writes to another cluster than its pods run in,
// or may: fluxd takes the API server from the kubeconfig of --kube-config, else of its
// home, else, where that flag is given empty, from those of KUBECONFIG, and from its
// pod where that names none. Up to 1.17 it always takes it from its pod, unless
// --k8s-in-cluster is false, and never looks at KUBECONFIG. (flux: cmd/fluxd/main.go;
// client-go: tools/clientcmd, BuildConfigFromFlags)
func (w *witness) readCluster(ctx context.Context, a *agent) error {
	always, flag := flux1.TakesKubeConfig(a.env.container.Image), a.config.KubeConfig
	if !always && !a.config.OutOfCluster {
		return nil
	}
	unknown := func(where string) error {
		if !a.env.declared {
			w.find(OtherCluster.Finding(a.ID, a.where(where), "which kubeconfig the agent takes its cluster from is not known"))
		}
		return nil
	}
	var files []string
	by, given := "--kube-config", true
	switch {
	case flag != nil && *flag != "":
		files = []string{*flag}
	case flag != nil && !always:
		return nil
	case flag != nil:
		v, err := a.env.look(ctx, "KUBECONFIG")
		switch {
		case err != nil:
			return err
		case v != nil && !v.assumed && !v.plain:
			return unknown("env KUBECONFIG")
		case v != nil && !v.assumed && v.value != "":
			files, by, given = strings.Split(v.value, ":"), "env KUBECONFIG", false
		}
	}
	if files == nil {
		home, err := a.env.homeOfPod(ctx)
		switch {
		case err != nil:
			return err
		case home == "":
			return unknown("env HOME")
		}
		files, by, given = []string{path.Join(home, ".kube/config")}, "volumeMounts", false
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
	u, err := url.Parse(trimmed)
	switch {
	case trimmed == "":
		return true
	case err != nil, u.Hostname() == "localhost", net.ParseIP(u.Hostname()).IsLoopback(): // each machine's and pod's own
		return false
	case trimmed == strings.TrimSuffix(w.server, "/"):
		return true
	}
	labels := strings.Split(u.Hostname(), ".")
	service := []string{"kubernetes", "default", "svc"}
	n := min(len(labels), len(service))
	return slices.Equal(labels[:n], service[:n])
}
