package terraform

import "strings"

// Moved are the managed instances of a state that the moved blocks of the configuration
// have moved, with the addresses that they have by now, as Terraform works them out before
// it compares the two. One stays where the state has something at the new address already.
// The state itself stays as it is: it may be read beside other configurations, whose blocks
// are others.
func (r *Result) Moved(s *State) map[*StateResource]*StateResource {
	moves := map[string][]Move{} // by what they move
	for _, m := range r.Moves {
		if m.Type == "moved" && m.From != "" && m.To != "" {
			m.From, m.To = m.absolute(m.From), m.absolute(m.To)
			moves[m.From] = append(moves[m.From], m)
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
		for i := range len(address) + 1 {
			if i < len(address) && address[i] != '.' && address[i] != '[' {
				continue
			}
			for _, m := range moves[address[:i]] {
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

// MoveOf is the removed or import block that is about a managed instance; nil if there is
// none.
func (r *Result) MoveOf(address, typ string) *Move {
	for i := range r.Moves {
		m := &r.Moves[i]
		about := m.From
		if typ == "import" {
			about = m.To
		}
		if m.Type != typ || about == "" {
			continue
		}
		at := Move{From: m.absolute(about), To: m.absolute(about)}
		if _, ok := at.moved(address); ok {
			return m
		}
	}
	return nil
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
