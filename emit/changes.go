package emit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate/proof"
)

// step is one step of a path into an object: a field, or an item of a list.
type step struct {
	field string
	// keys name the item by the values of its merge keys; nil for a field and
	// for an item that is known by its index alone.
	keys  []keyValue
	index int
	item  bool
}

type keyValue struct {
	key   string
	value any
}

// String writes a step as it stands in a path.
func (s step) String() string {
	switch {
	case s.keys != nil:
		parts := make([]string, 0, len(s.keys))
		for _, k := range s.keys {
			value := fmt.Sprint(k.value)
			// A text that looks like a number or a truth is not the same key.
			if text, is := k.value.(string); is && (text == "" || strings.ContainsAny(text, "[]=,\" \n") || json.Valid([]byte(text))) {
				value = fmt.Sprintf("%q", text)
			}
			parts = append(parts, k.key+"="+value)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case s.item:
		return fmt.Sprintf("[%d]", s.index)
	case s.field == "" || strings.ContainsAny(s.field, "./[]\"= \n"):
		return fmt.Sprintf("[%q]", s.field)
	}
	return "." + s.field
}

func pathOf(steps []step) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString(s.String())
	}
	return b.String()
}

// at finds what stands at a path; nil if nothing does.
func at(v any, steps []step) any {
	for _, s := range steps {
		switch holder := v.(type) {
		case map[string]any:
			if s.item {
				return nil
			}
			v = holder[s.field]
		case []any:
			if v = s.in(holder); v == nil {
				return nil
			}
		default:
			return nil
		}
	}
	return v
}

// in finds the item of a list that a step names.
func (s step) in(list []any) any {
	if !s.item {
		return nil
	}
	if s.keys == nil {
		if s.index < len(list) {
			return list[s.index]
		}
		return nil
	}
	for _, item := range list {
		m, _ := item.(map[string]any)
		if m != nil && !slices.ContainsFunc(s.keys, func(k keyValue) bool { return !proof.Equal(keyOf(m, k.key), k.value) }) {
			return item
		}
	}
	return nil
}

// mergeKeys are the fields by which items of a list are known, those of
// Kubernetes' own merge keys first by what people call an item (source:
// k8s.io/api, the tags patchMergeKey and listMapKey of all kinds). Which are
// right for a list shows in its items: each must have the first of them, and no
// two the same values. A list where none is right is compared by position.
var mergeKeys = [][]string{
	{"name"}, {"containerPort", "protocol"}, {"port", "protocol"}, {"mountPath"}, {"devicePath"}, {"ip"}, {"topologyKey"},
	{"type"}, {"key"}, {"uid"}, {"resourceName"}, {"uuid"}, {"path"}, {"host"},
}

// keyOf is the value of a key of an item; a port without a protocol is of TCP,
// which the API server writes out.
func keyOf(item map[string]any, key string) any {
	if v, has := item[key]; has || key != "protocol" {
		return v
	}
	return "TCP"
}

// keyed gives the items of a list by their keys, in order; ok is false if the
// list has an item without them, or two of the same.
func keyed(list []any, keys []string) (steps []step, ok bool) {
	seen := map[string]bool{}
	for _, item := range list {
		m, _ := item.(map[string]any)
		if m == nil {
			return nil, false
		}
		s := step{item: true}
		for i, key := range keys {
			switch v := keyOf(m, key).(type) {
			case map[string]any, []any:
				return nil, false
			case nil:
				if i == 0 {
					return nil, false
				}
			default:
				s.keys = append(s.keys, keyValue{key, v})
			}
		}
		if seen[s.String()] {
			return nil, false
		}
		seen[s.String()] = true
		steps = append(steps, s)
	}
	return steps, true
}

// differing calls found for each place at which two values differ: the deepest
// fields that both have, and whole what only one has. A list whose items are
// known by keys is compared item by item, and another order of the same items
// is a difference of the list itself, given as the lists of keys. What differs
// by proof.Equal is always found, at one place or more.
func differing(steps []step, a, b any, found func(steps []step, a, b any)) {
	if proof.Equal(a, b) {
		return
	}
	ma, isA := a.(map[string]any)
	mb, isB := b.(map[string]any)
	if isA && isB || (isA && b == nil || a == nil && isB) && len(ma)+len(mb) > 0 && splits(steps) {
		keys := slices.Collect(maps.Keys(ma))
		for k := range mb {
			if _, both := ma[k]; !both {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			differing(append(slices.Clip(steps), step{field: k}), ma[k], mb[k], found)
		}
		return
	}
	la, isA := a.([]any)
	lb, isB := b.([]any)
	if isA && isB && len(la) > 0 && len(lb) > 0 && differingItems(steps, la, lb, found) {
		return
	}
	found(steps, a, b)
}

// splits reports whether a map that only one side has is looked at key by key:
// labels and annotations, of which some are marks that come and go on purpose.
func splits(steps []step) bool {
	return len(steps) == 2 && steps[0].field == "metadata" && (steps[1].field == "labels" || steps[1].field == "annotations")
}

// differingItems is differing for two lists whose items can be told apart; it
// reports whether they can.
func differingItems(steps []step, a, b []any, found func([]step, any, any)) bool {
	for _, keys := range mergeKeys {
		sa, okA := keyed(a, keys)
		sb, okB := keyed(b, keys)
		if !okA || !okB {
			continue
		}
		position := map[string]int{}
		for i, s := range sb {
			position[s.String()] = i
		}
		last, moved := -1, false
		inBoth := map[string]bool{}
		for i, s := range sa {
			below := append(slices.Clip(steps), s)
			j, both := position[s.String()]
			if !both {
				found(below, a[i], nil)
				continue
			}
			inBoth[s.String()] = true
			moved = moved || j < last
			last = j
			differing(below, a[i], b[j], found)
		}
		for j, s := range sb {
			if !inBoth[s.String()] {
				found(append(slices.Clip(steps), s), nil, b[j])
			}
		}
		if moved {
			found(append(slices.Clip(steps), step{field: orderField}), names(sa), names(sb))
		}
		return true
	}
	if len(a) != len(b) || slices.ContainsFunc(slices.Concat(a, b), func(v any) bool { _, ok := v.(map[string]any); return !ok }) {
		return false
	}
	for i := range a {
		differing(append(slices.Clip(steps), step{item: true, index: i}), a[i], b[i], found)
	}
	return true
}

// orderField stands at the end of a path where the same items come in another
// order.
const orderField = "(order)"

func names(steps []step) []any {
	out := make([]any, 0, len(steps))
	for _, s := range steps {
		out = append(out, strings.Trim(s.String(), "[]"))
	}
	return out
}

// owners names the field managers of a live object that set what stands at a
// path, or something below it; sorted.
func owners(live map[string]any, steps []step) []string {
	metadata, _ := live["metadata"].(map[string]any)
	entries, _ := metadata["managedFields"].([]any)
	var managers []string
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		fields, _ := entry["fieldsV1"].(map[string]any)
		if fields == nil || !owns(fields, steps) {
			continue
		}
		manager, _ := entry["manager"].(string)
		if sub, _ := entry["subresource"].(string); sub != "" {
			manager += " (" + sub + ")"
		}
		managers = append(managers, manager)
	}
	slices.Sort(managers)
	return slices.Compact(managers)
}

// owns follows a path through the fields of one manager (source:
// structured-merge-diff fieldpath, the form of FieldsV1). A manager that owns a
// whole value owns what is in it.
func owns(fields map[string]any, steps []step) bool {
	for _, s := range steps {
		if len(fields) == 0 {
			return true
		}
		next, found := map[string]any(nil), false
		for name, below := range fields {
			if s.isField(name) {
				next, _ = below.(map[string]any)
				found = true
				break
			}
		}
		if !found {
			return false
		}
		fields = next
	}
	return true
}

// isField reports whether a name of FieldsV1 is this step: "f:spec", or
// `k:{"name":"web"}` for an item known by keys.
func (s step) isField(name string) bool {
	if !s.item {
		return name == "f:"+s.field
	}
	text, isKey := strings.CutPrefix(name, "k:")
	if !isKey || s.keys == nil {
		return name == fmt.Sprintf("i:%d", s.index)
	}
	var keys map[string]any
	if err := json.Unmarshal([]byte(text), &keys); err != nil {
		return false
	}
	shared := false
	for _, k := range s.keys {
		if v, has := keys[k.key]; has {
			if !proof.Equal(v, k.value) {
				return false
			}
			shared = true
		}
	}
	return shared
}
