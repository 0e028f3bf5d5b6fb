package migrate

import "testing"

func TestAnIDThatDoesNotTellTheNamespaceIsNotTornApart(t *testing.T) {
	for id, want := range map[string]string{
		"shop_web_apps_Deployment":                                "Deployment/shop/web",
		"_shop__Namespace":                                        "Namespace/shop",
		"_no_rbac__PriorityClass":                                 "PriorityClass/no_rbac",
		"team_shop_web__ConfigMap":                                "ConfigMap/team_shop_web", // of either one
		"shop_view_all_rbac.authorization.k8s.io_Role":            "Role/shop/view_all",      // whose names may hold it
		"shop_system__view_rbac.authorization.k8s.io_RoleBinding": "RoleBinding/shop/system:view",
		"no id": "no id",
	} {
		if got := DisplayID(id); got != want {
			t.Errorf("%s is shown as %s, want %s", id, got, want)
		}
		if got := DisplaySubject("flux/shop " + id); id != "no id" && got != "flux/shop "+want {
			t.Errorf("as a subject %s is shown as %s", id, got)
		}
	}
}
