package terraform

import (
	"strings"
	"testing"
)

// Terraform refuses two blocks that move one thing: the first counts, whether it can move it or not,
// so that an instance is not held against each of them.
func TestOneBlockMovesAThing(t *testing.T) {
	r, err := Load(t.Context(), Options{Dir: writeTree(t, map[string]string{"main.tf": each(3, "moved {\n from = x.a\n to = x.b$\n}\n") + "resource \"x\" \"b0\" {}\nresource \"x\" \"b1\" {}\n" +
		"removed {\n from = x.gone\n}\nremoved {\n from = x.gone[1]\n}\nmodule \"m\" { source = \"./m\" }\n", "m/main.tf": "removed {\n from = x.y\n}\nimport {\n to = x.z[\"k.l\"]\n id = \"i\"\n}\n"})})
	if err != nil {
		t.Fatal(err)
	}
	read := func(names ...string) *State {
		var its []string
		for _, name := range names {
			its = append(its, `{"mode":"managed","type":"x","name":"`+name+`","instances":[{}]}`)
		}
		s, err := ReadState(t.Context(), strings.NewReader(`{"version":4,"resources":[`+strings.Join(its, ",")+`]}`), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	free := read("a")
	if to := r.Moved(free)[free.Resources[0]]; to == nil || to.Address != "x.b0" {
		t.Errorf("it is moved to %+v", to)
	}
	taken := read("a", "b0")
	if to := r.Moved(taken); len(to) != 0 {
		t.Errorf("it is moved to %+v", to)
	}
	for address, line := range map[string]int{"x.gone": 15, "x.gone[0]": 15, "x.gone[1]": 15, "x.gone2": 0, "module.m.x.y": 1, `module.m.x.y["a"]`: 1, "x.y": 0} {
		m := r.MoveOf(address, "removed")
		if m == nil && line != 0 || m != nil && m.Position.Line != line {
			t.Errorf("%s: %+v", address, m)
		}
	}
	if m := r.MoveOf(`module.m.x.z["k.l"]`, "import"); m == nil || r.MoveOf("module.m.x.z", "import") != nil {
		t.Errorf("the import is %+v", m)
	}
}
