package discover

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// severalAgents in one namespace have what they use read at once.
	severalAgents = 3
	// objectsPerAgent is how many objects of a kind may be read at once for
	// each of them; in a namespace that holds more, each is read alone.
	objectsPerAgent = 5
)

// together is what the agents of one namespace use, read at once. A nil map
// means that each object is to be read alone, which also tells what is missing.
type together struct {
	secrets  map[string]*corev1.Secret
	maps     map[string]*corev1.ConfigMap
	accounts map[string]*corev1.ServiceAccount
}

// readTogether reads what many agents of one namespace use. What cannot be
// read so is left to be read alone.
func (w *witness) readTogether(ctx context.Context, found []*agent) {
	agents := map[string]int{}
	for _, a := range found {
		agents[a.Namespace]++
	}
	w.together = map[string]together{}
	for namespace, n := range agents {
		if n < severalAgents {
			continue
		}
		core, most := w.kube.CoreV1(), metav1.ListOptions{Limit: int64(n * objectsPerAgent)}
		var t together
		if list, err := core.ConfigMaps(namespace).List(ctx, most); err == nil && list.Continue == "" {
			t.maps = byName(list.Items, (*corev1.ConfigMap).GetName)
		}
		if list, err := core.ServiceAccounts(namespace).List(ctx, most); err == nil && list.Continue == "" {
			t.accounts = byName(list.Items, (*corev1.ServiceAccount).GetName)
		}
		most.FieldSelector = "type!=helm.sh/release.v1" // those are large, and not what an agent uses
		if list, err := core.Secrets(namespace).List(ctx, most); err == nil && list.Continue == "" {
			t.secrets = byName(list.Items, (*corev1.Secret).GetName)
		}
		w.together[namespace] = t
	}
}

func byName[T any](items []T, name func(*T) string) map[string]*T {
	all := make(map[string]*T, len(items))
	for i := range items {
		all[name(&items[i])] = &items[i]
	}
	return all
}
