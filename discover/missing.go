package discover

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	corev1 "k8s.io/api/core/v1"
)

// missingSecrets reports the Secrets, and keys of them, without which a new pod of
// the agent does not start and that are not there, less those that are reported as
// its Git credential. Where Secrets may not be read it says nothing.
func (w *witness) missingSecrets(ctx context.Context, a *agent) error {
	type need struct{ key, by string } // the whole Secret where key is empty
	needs := map[string][]need{}
	add := func(name string, optionally *bool, n need) {
		if name != "" && !optional(optionally) {
			needs[name] = append(needs[name], n)
		}
	}
	for _, v := range a.env.container.Env {
		if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
			ref := v.ValueFrom.SecretKeyRef
			add(ref.Name, ref.Optional, need{ref.Key, "env " + v.Name})
		}
	}
	for _, f := range a.env.container.EnvFrom {
		if f.SecretRef != nil {
			add(f.SecretRef.Name, f.SecretRef.Optional, need{"", "envFrom"})
		}
	}
	mounts := func(volume, name string, items []corev1.KeyToPath, optionally *bool) {
		add(name, optionally, need{"", "volume " + volume})
		for _, i := range items {
			add(name, optionally, need{i.Key, "volume " + volume})
		}
	}
	for _, v := range a.env.pod.Volumes {
		if v.Secret != nil {
			mounts(v.Name, v.Secret.SecretName, v.Secret.Items, v.Secret.Optional)
		}
		if v.Projected == nil {
			continue
		}
		for _, p := range v.Projected.Sources {
			if p.Secret != nil {
				mounts(v.Name, p.Secret.Name, p.Secret.Items, p.Secret.Optional)
			}
		}
	}
	for _, name := range sortedNames(needs) {
		s, err := a.env.secretThere(ctx, name)
		if err == errUnreadable {
			return nil
		}
		if err != nil {
			return err
		}
		var keys, by []string
		for _, n := range needs[name] {
			if _, there := dataOf(s)[n.key]; s != nil && (n.key == "" || there) {
				continue
			}
			keys, by = append(keys, n.key), append(by, n.by)
		}
		where := "Secret/" + a.Namespace + "/" + name
		if len(by) == 0 || w.said(CredentialMissing.Name, a.ID, where) {
			continue
		}
		slices.Sort(keys)
		slices.Sort(by)
		what := "is not there"
		if s != nil {
			what = "has no " + strings.Join(slices.Compact(keys), ", ")
		}
		w.find(AgentSecretMissing.Finding(a.ID, where, fmt.Sprintf("Secret %s/%s %s; it is named by %s", a.Namespace, name, what, strings.Join(slices.Compact(by), ", "))))
	}
	return nil
}

// said reports whether there is a finding of a code about a place of an agent.
func (w *witness) said(code, id, where string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.findings, func(f migrate.Finding) bool {
		return f.Code == code && f.Repository == id && f.Where == where
	})
}
