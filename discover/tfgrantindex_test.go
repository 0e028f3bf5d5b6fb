package discover

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// What is looked up by names is what a look at each role and binding finds.
func TestGrantsAreFoundByTheirNames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	one := func(words ...string) *terraform.Node {
		switch w := words[random.IntN(len(words))]; w {
		case "":
			return nil
		case "?":
			return &terraform.Node{Kind: terraform.Unknown}
		default:
			return &terraform.Node{Kind: terraform.Scalar, Scalar: w}
		}
	}
	bound, roles := 0, 0
	for range 200 {
		list := make([]granted, 30)
		for i := range list {
			g := &list[i].Grant
			g.Kind = []string{"ClusterRoleBinding", "RoleBinding", "ClusterRole", "Role", "Role", ""}[random.IntN(6)]
			g.Name, g.Namespace, g.RoleName = one("r", "s", "?"), one("a", "b", "default", "?", ""), one("r", "s", "?", "")
			for range random.IntN(3) {
				g.Subjects = append(g.Subjects, terraform.Subject{
					Kind:      one("ServiceAccount", "ServiceAccount", "User", "Group", "Other", "?", ""),
					Name:      one("f", "g", "system:serviceaccount:a:f", "system:serviceaccounts", "system:serviceaccounts:b", "system:authenticated", "?", ""),
					Namespace: one("a", "b", "?", ""),
				})
			}
			if random.IntN(8) == 0 {
				g.More = []terraform.Cause{{}}
			}
		}
		x := newGrantIndex(list)
		for _, namespace := range []string{"a", "b", ""} {
			for _, account := range []string{"f", "g", ""} {
				d := &declared{Flux1Agent: migrate.Flux1Agent{Namespace: namespace, ServiceAccount: account}, grants: x}
				found := x.thatMayBind(namespace, account)
				for i := range list {
					if may, _, _ := d.boundBy(&list[i].Grant); may && list[i].mayBind() {
						bound++
						if !slices.Contains(found, i) {
							t.Fatalf("%s/%s may be bound by %+v, which is not found", namespace, account, list[i].Subjects)
						}
					}
				}
			}
		}
		for _, of := range []grantedRole{{"Role", "r", "a"}, {"Role", "r", "default"}, {"Role", "s", ""}, {"ClusterRole", "r", ""}} {
			placed := of.kind == "ClusterRole" || of.namespace != ""
			var want []int
			for i := range list {
				name, named := list[i].Name.Str()
				own, known := list[i].Place()
				if list[i].Kind == of.kind && named && name == of.name && (of.kind != "Role" || !placed || !known || own == of.namespace) {
					want = append(want, i)
				}
			}
			roles += len(want)
			equal(t, fmt.Sprint(of), fmt.Sprint(x.rolesOf(of, placed)), fmt.Sprint(want))
		}
	}
	if bound < 1000 || roles < 1000 {
		t.Errorf("%d bindings and %d roles are found", bound, roles)
	}
}

// Agents that are declared by their thousands, and as many bindings, end in a finding; those that
// have an account together, or are each named by one binding, are looked up.
func TestHostileGrantsEndInAFinding(t *testing.T) {
	const agents = "resource \"helm_release\" \"flux\" {\n count = 30\n name = \"f${count.index}\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.3.0\"\n" +
		" values = [\"{git: {url: 'git@h:a'}, rbac: {create: false}, serviceAccount: {create: false, name: NAME}}\"]\n}\n"
	const bindings = "resource \"kubernetes_cluster_role_binding\" \"b\" {\n count = 300\n metadata {\n name = \"b${count.index}\"\n }\n role_ref {\n kind = \"ClusterRole\"\n name = \"view\"\n }\n subject {\n SUBJECT\n }\n}\n"
	defer func(n int) { maxBindingLooks = n }(maxBindingLooks)
	maxBindingLooks = 9_000
	for name, c := range map[string]struct {
		account, subject string
		tooMany          bool
	}{
		"one account":      {"f", `kind = "ServiceAccount"` + "\n" + `name = "f"` + "\n" + `namespace = "flux"`, false},
		"an account each":  {"f${count.index}", `kind = "ServiceAccount"` + "\n" + `name = "f${count.index}"` + "\n" + `namespace = "flux"`, false},
		"of all accounts":  {"f${count.index}", `kind = "Group"` + "\n" + `name = "system:serviceaccounts:flux"`, true},
		"of nobody's name": {"f${count.index}", `kind = "User"` + "\n" + `name = "me"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": strings.Replace(agents, "NAME", c.account, 1) + strings.Replace(bindings, "SUBJECT", c.subject, 1)})
			if len(inv.Agents) != 30 {
				t.Errorf("%d agents", len(inv.Agents))
			}
			if c.tooMany {
				wantFinding(t, inv, RightsUnknown, "flux/f29", "one of 300 bindings, which are too many to be looked at for each of so many agents")
				return
			}
			for _, f := range findingsOf(inv, RightsUnknown) {
				if strings.Contains(f, "too many") {
					t.Error(f)
				}
			}
		})
	}
}
