package flux1

import "testing"

func TestMarksEqualThoseOfTheReference(t *testing.T) {
	for _, tc := range []struct {
		url, branch string
		paths       []string
		id, want    string
	}{
		{"git@github.com:org/app", "main", []string{"deploy"}, ResourceID("demo", "Deployment", "podinfo"), "sha256.k9L-nKM9beP_v-RyAgs0-gHnZF4p2s870B_of22Mvbw"},
		{"ssh://git@github.com/org/app", "main", []string{"deploy"}, ResourceID("demo", "Deployment", "podinfo"), "sha256.k9L-nKM9beP_v-RyAgs0-gHnZF4p2s870B_of22Mvbw"},
		{"git@github.com:org/app", "main", []string{"deploy"}, ResourceID("", "Namespace", "demo"), "sha256.vr7RdAym4poU_KE_KdWr-Ps8ew4mZlDrbjmqvtWc4NU"},
		{"git@github.com:org/app", "master", nil, ResourceID("demo", "Deployment", "podinfo"), "sha256.9oPCa0UWmUzOz-JUOoXU-K5VXP4EOAOTn4KVo49htQY"},
		{"https://bot:pw@github.com/org/app.git", "main", []string{"a", "b"}, ResourceID("demo", "Deployment", "podinfo"), "sha256.P-uDKP_2E8I1YBmuHnyhCKGiu0QZIUuaJJ-fufmY7YQ"},
	} {
		safe, err := SafeURL(tc.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := Mark(SetName(safe, tc.branch, tc.paths), tc.id); got != tc.want {
			t.Errorf("mark of %s by %s %s %v = %s, want %s", tc.id, safe, tc.branch, tc.paths, got, tc.want)
		}
	}
}
