package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
)

// inputs are the hashes of what was judged.
func inputs(evidence map[string]*Evidence) map[string]migrate.ObjectInputs {
	out := make(map[string]migrate.ObjectInputs, len(evidence))
	for id, e := range evidence {
		in := migrate.ObjectInputs{Rendered: digest(e.New, e.Encrypted), Live: digest(e.Live, e.Encrypted), Change: e.change, Replicas: replicasDigest(e)}
		if in != (migrate.ObjectInputs{}) {
			out[id] = in
		}
	}
	return out
}

// digest is a hash of an object as it is compared, without the values of a
// Secret, or without all values of an object that is encrypted in Git: a hash of
// a short password would tell it to whoever tries a few. It is empty if there is
// no object.
func digest(u *unstructured.Unstructured, encrypted bool) string {
	if u == nil {
		return ""
	}
	plain := reduced(u.Object, nil)
	if encrypted {
		for field := range plain {
			if field != "apiVersion" && field != "kind" && field != "metadata" {
				plain[field] = concealed(plain[field])
			}
		}
		if metadata, ok := plain["metadata"].(map[string]any); ok {
			metadata["annotations"] = concealed(metadata["annotations"])
		}
	}
	if gvk := u.GroupVersionKind(); gvk.Group == "" && gvk.Kind == "Secret" {
		for _, field := range []string{"data", "stringData"} {
			values, _ := plain[field].(map[string]any)
			for k := range values {
				values[k] = "***"
			}
		}
	}
	return hashOf(plain)
}

// replicasDigest is a hash of the number of replicas that Git says of an object in
// the cluster; empty if it says none, or not in the clear.
func replicasDigest(e *Evidence) string {
	if e.New == nil || e.Live == nil || e.Encrypted {
		return ""
	}
	replicas, says, err := unstructured.NestedFieldNoCopy(e.New.Object, "spec", "replicas")
	if err != nil || !says {
		return ""
	}
	return hashOf(replicas)
}

// hashOf is a hash of what was read from JSON.
func hashOf(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:12])
}

// changeDigest is a hash of the values that fields have and would get, as
// [differences] names them; of a Secret's and of an encrypted object's without
// these. It is empty if none would change. What moves by itself does not count: live
// replicas that an autoscaler set, and
// values that Git does not say, which admission may make anew at each try.
func changeDigest(live *unstructured.Unstructured, before, after, git map[string]any, encrypted bool) string {
	said := map[string]any{}
	walk("", before, git, func(path string, _, is any) { said[path] = is })
	secret := encrypted || live.GroupVersionKind().GroupKind().String() == "Secret"
	var changes [][3]any
	walk("", before, after, func(path string, was, is any) {
		if path == replicasPath && scaledLive(live) != "" {
			was = nil
		}
		if v, inGit := said[path]; !inGit || !Equal(v, is) {
			is = nil
		}
		if secret && !strings.HasPrefix(path, ".metadata.labels") {
			was, is = concealed(copyValue(was)), concealed(copyValue(is))
		}
		changes = append(changes, [3]any{path, was, is})
	})
	if len(changes) == 0 {
		return ""
	}
	slices.SortFunc(changes, func(a, b [3]any) int { return strings.Compare(a[0].(string), b[0].(string)) })
	return hashOf(changes)
}

// movesByItself reports whether a manager of the scale subresource is an autoscaler.
// A manager is called as its program: that of Kubernetes' own autoscaler may be the
// whole of a distribution (k3s, kubelite), and anybody may write one. So what people
// tell it by is known, and all else is an autoscaler.
func movesByItself(manager string) bool {
	name := strings.ToLower(manager)
	return name != "" && name != "oc" && !slices.ContainsFunc(toldByPeople, func(program string) bool { return strings.HasPrefix(name, program) })
}

// toldByPeople are programs with which people scale, by how what they call themselves
// begins: kubectl, consoles (node-fetch is Lens, bridge that of OpenShift, mozilla any
// in a browser), and what scripts send requests with.
var toldByPeople = []string{
	"kubectl", "k9s", "lens", "openlens", "freelens", "node-fetch", "headlamp", "dashboard", "kubernetes-dashboard", "rancher", "console", "bridge", "octant",
	"portainer", "kubesphere", "mozilla", "argocd", "curl", "python-requests", "openapi-generator", "go-http-client",
}

// concealed is a value with its keys, and with "***" for what they hold.
func concealed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = concealed(v[key])
		}
		return v
	case []any:
		for i := range v {
			v[i] = concealed(v[i])
		}
		return v
	case nil:
		return nil
	}
	return "***"
}
