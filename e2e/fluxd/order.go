package main

import "sort"

// applyRank is the place of a kind in fluxd's apply order (reference 2.5);
// deletion goes the other way.
func applyRank(kind string) int {
	switch kind {
	case "namespace":
		return 0
	case "customresourcedefinition", "serviceaccount", "clusterrole", "role", "persistentvolume", "service":
		return 1
	case "resourcequota", "limitrange", "secret", "configmap", "rolebinding", "clusterrolebinding",
		"persistentvolumeclaim", "ingress":
		return 2
	case "daemonset", "deployment", "replicationcontroller", "replicaset", "job", "cronjob", "statefulset":
		return 3
	default:
		return 4
	}
}

// change is one object on its way to kubectl.
type change struct {
	id       identity
	source   string
	document []byte
}

// sortForApply orders by rank, then by name. Objects equal in both come in no
// particular order in fluxd; here by their full identity.
func sortForApply(changes []change) {
	sort.Slice(changes, func(i, j int) bool { return appliedBefore(changes[i].id, changes[j].id) })
}

// sortForDelete is the reverse of sortForApply, names included.
func sortForDelete(changes []change) {
	sort.Slice(changes, func(i, j int) bool { return appliedBefore(changes[j].id, changes[i].id) })
}

func appliedBefore(a, b identity) bool {
	if ra, rb := applyRank(a.kind), applyRank(b.kind); ra != rb {
		return ra < rb
	}
	if a.name != b.name {
		return a.name < b.name
	}
	return a.String() < b.String()
}
