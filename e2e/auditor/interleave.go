package auditor

import "time"

// Switch is a change of the engine that writes an object.
type Switch struct {
	Time  time.Time `json:"time"`
	From  Engine    `json:"from"`
	To    Engine    `json:"to"`
	Legal bool      `json:"legal"`
}

// switches lists the changes of engine between the writes of one object, in
// their order. rollback tells whether one is under way at a write.
func switches(writes []*Write, rollback func(*Write) bool) []Switch {
	var out []Switch
	var last *Write
	for _, w := range writes {
		if w.Engine != Flux1 && w.Engine != Flux2 {
			continue
		}
		if last != nil && last.Engine != w.Engine {
			out = append(out, Switch{
				Time: w.Time, From: last.Engine, To: w.Engine, Legal: rollback(w) == (w.Engine == Flux1),
			})
		}
		last = w
	}
	return out
}

// rollbackAt tells whether a rollback of the Kustomization was under way at a
// write. What is not known to be rolled back is not.
func (k *kustomization) rollbackAt(w *Write) bool {
	under := false
	if k == nil {
		return false
	}
	for _, p := range k.phases {
		before := p.at.Before(w.Time)
		if p.rv != 0 && w.rv != 0 {
			before = p.rv < w.rv
		}
		if before {
			under = p.rollback
		}
	}
	return under
}
