package terraform

import (
	"iter"
	"strings"
)

// Moved are the managed instances of a state that the moved blocks of the configuration
// have moved, with the addresses that they have by now, as Terraform works them out before
// it compares the two. One stays where the state has something at the new address already.
// The state itself stays as it is: it may be read beside other configurations, whose blocks
// are others.
func (r *Result) Moved(s *State) map[*StateResource]*StateResource {
	moves := map[string]Move{} // by what they move, of which Terraform takes one each
	for _, m := range r.Moves {
		if m.Type != "moved" || m.From == "" || m.To == "" {
			continue
		}
		m.From, m.To = m.absolute(m.From), m.absolute(m.To)
		if _, had := moves[m.From]; !had {
			moves[m.From] = m
		}
	}
	if len(moves) == 0 {
		return nil
	}
	taken := map[string]bool{}
	for _, x := range s.Resources {
		taken[x.Address] = taken[x.Address] || !x.Deposed
	}
	// next is where an instance is moved: with its module first.
	next := func(address string, deposed bool) string {
		for from := range leading(address) {
			if m, is := moves[from]; is {
				if to, ok := m.moved(address); ok && to != address && (deposed || !taken[to]) {
					return to
				}
			}
		}
		return ""
	}
	out := map[*StateResource]*StateResource{}
	for _, x := range s.Resources {
		if x.Mode != "managed" {
			continue
		}
		is := x.Address
		for range maxMoves { // one may lead to another
			to := next(is, x.Deposed)
			if to == "" || to == x.Address {
				break
			}
			if !x.Deposed {
				delete(taken, is)
				taken[to] = true
			}
			is = to
		}
		if is != x.Address {
			y := *x
			y.Address, y.unmoved = is, x
			y.Module, y.Type, y.Name, y.Key = splitAddress(is)
			out[x] = &y
		}
	}
	return out
}

// maxMoves bounds how often one instance is moved: Terraform refuses moves in a circle.
const maxMoves = 100

// MoveOf is the removed or import block that is about a managed instance, the first of several; nil if there
// is none.
func (r *Result) MoveOf(address, typ string) *Move {
	first := len(r.Moves)
	for about := range leading(address) {
		if i, has := r.about[aboutMove{typ, about}]; has {
			if _, ok := (Move{From: about, To: about}).moved(address); ok {
				first = min(first, i)
			}
		}
	}
	if first == len(r.Moves) {
		return nil
	}
	return &r.Moves[first]
}

// aboutMove is what a block of some type is about, by its address from the root.
type aboutMove struct{ typ, address string }

// moveIndex tells by what a block is about which one of them it is, the first of several.
func moveIndex(moves []Move) map[aboutMove]int {
	out := map[aboutMove]int{}
	for i, m := range moves {
		about := m.From
		if m.Type == "import" {
			about = m.To
		}
		key := aboutMove{m.Type, m.absolute(about)}
		if _, had := out[key]; !had && about != "" {
			out[key] = i
		}
	}
	return out
}

// leading are the addresses of modules and resources that lead to an instance, and its own.
func leading(address string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range len(address) + 1 {
			if (i == len(address) || address[i] == '.' || address[i] == '[') && !yield(address[:i]) {
				return
			}
		}
	}
}

// absolute is an address of the module that a block stands in as the root module has it.
func (m Move) absolute(address string) string {
	if m.Module == "" {
		return address
	}
	return m.Module + "." + address
}

// moved is where a moved block leads an instance: one of the resource or of the module
// that it names, with all of their keys unless it names one itself.
func (m Move) moved(address string) (to string, ok bool) {
	rest, ok := strings.CutPrefix(address, m.From)
	switch {
	case !ok:
		return "", false
	case rest == "" || rest[0] == '.':
		return m.To + rest, true
	case rest[0] == '[' && !strings.HasSuffix(m.From, "]") && !strings.HasSuffix(m.To, "]"):
		return m.To + rest, true
	}
	return "", false
}

// splitAddress takes the address of a managed instance apart.
func splitAddress(address string) (module, typ, name, key string) {
	steps, quoted, start := []string{}, false, 0
	for i := 0; i < len(address); i++ {
		switch c := address[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '.' && !quoted:
			steps, start = append(steps, address[start:i]), i+1
		}
	}
	steps = append(steps, address[start:])
	last := len(steps) - 1
	if last < 1 {
		return "", "", address, ""
	}
	name, key, ok := strings.Cut(steps[last], "[")
	if ok {
		key = "[" + key
	}
	return strings.Join(steps[:last-1], "."), steps[last-1], name, key
}
