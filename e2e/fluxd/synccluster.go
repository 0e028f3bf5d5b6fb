package main

import (
	"context"
	"fmt"
	"strings"
)

// syncer makes the cluster equal to a set of manifests.
type syncer struct {
	cluster *cluster
	kubectl *kubectl
	// collect deletes marked objects that left Git; dry only logs them.
	collect, dry bool
	// failedBefore holds the objects that failed in the last sync.
	failedBefore map[identity]bool
	log          *logger
}

// sync applies the set and collects garbage. objectErrors tells which objects
// failed, the others being in place; any other error means that the sync was
// given up.
func (s *syncer) sync(ctx context.Context, setName string, set manifestSet) error {
	log := s.log.with("method", "Sync")
	// The sync's limit does not reach the cluster: an apply under way is finished.
	ctx = context.WithoutCancel(ctx)
	live, err := s.cluster.list(ctx, "")
	if err != nil {
		return fmt.Errorf("collating resources in cluster for sync: %w", err)
	}

	// checksums has every object that Git holds and the agent may touch, applied
	// or ignored: these are never collected.
	checksums := map[identity]string{}
	var changes []change
	var failed objectErrors
	var outside []string
	for _, m := range set {
		if !s.cluster.allows(m.id) {
			outside = append(outside, m.id.String())
			continue
		}
		checksums[m.id] = checksum(m.body)
		if ignorePolicy(m.annotations) == ignoreTrue {
			log.line("info", "not applying resource; ignore annotation in file", "resource", m.id, "source", m.source)
			continue
		}
		if there, ok := live[m.id]; ok && ignorePolicy(there.annotations) == ignoreTrue {
			log.line("info", "not applying resource; ignore annotation in cluster resource", "resource", m.id)
			continue
		}
		document, err := m.forKubectl(setName)
		if err != nil {
			failed = append(failed, objectError{id: m.id, source: m.source, err: err})
			continue
		}
		changes = append(changes, change{id: m.id, source: m.source, document: document})
	}
	if len(outside) > 0 {
		log.line("warning", "not applying resources; excluded by namespace constraints", "resources", strings.Join(outside, ","))
	}

	sortForApply(changes)
	failed = append(failed, s.kubectl.apply(log, "apply", changes, s.failedBefore)...)
	if s.collect || s.dry {
		notDeleted, err := s.collectGarbage(ctx, log, setName, checksums)
		if err != nil {
			return err
		}
		failed = append(failed, notDeleted...)
	}

	s.failedBefore = map[identity]bool{}
	for _, f := range failed {
		s.failedBefore[f.id] = true
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// collectGarbage deletes what carries this set's mark for its own identity and
// is not in Git any more (reference 2.7).
func (s *syncer) collectGarbage(ctx context.Context, log *logger, setName string, checksums map[identity]string) (objectErrors, error) {
	marked, err := s.cluster.list(ctx, markLabel)
	if err != nil {
		return nil, fmt.Errorf("collating resources in cluster for calculating garbage collection: %w", err)
	}
	var changes []change
	for id, object := range marked {
		if object.labels[markLabel] != mark(setName, id.String()) {
			continue // a copied label, or another agent's object
		}
		want, inGit := checksums[id]
		if inGit {
			if object.annotations[checksumAnnotation] != want {
				s.log.line("warning", "resource to be synced has not been updated; skipping", "dry-run", s.dry, "resource", id)
			}
			continue
		}
		if policy := ignorePolicy(object.annotations); policy != "" {
			s.log.line("info", "skipping GC of cluster resource; resource has ignore policy "+policy, "dry-run", s.dry, "resource", id)
			continue
		}
		s.log.line("info", "cluster resource not in resources to be synced; deleting", "dry-run", s.dry, "resource", id)
		if !s.dry {
			changes = append(changes, change{id: id, source: "<cluster>", document: object.identifying()})
		}
	}
	sortForDelete(changes)
	return s.kubectl.apply(log, "delete", changes, nil), nil
}

// identifying is as much of an object as kubectl delete needs.
func (o liveObject) identifying() []byte {
	return fmt.Appendf(nil, "apiVersion: %s\nkind: %s\nmetadata:\n  namespace: %q\n  name: %q\n",
		o.apiVersion, o.kind, o.id.namespace, o.id.name)
}
