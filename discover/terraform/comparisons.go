package terraform

import (
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// comparisons counts what the libraries do to make values be of one type, before
// they do it. For a list of a tuple they compare the type of each element with that
// of each other one, attribute by attribute, and note each pair of which one is more
// general. Each value that is made counts as 64 comparisons, which are one unit of
// the budget. Counting stops soon after limit.
type comparisons struct {
	n, limit int64
}

// foresee charges what f counts.
func (b *budget) foresee(f func(*comparisons)) error {
	c := &comparisons{limit: clampMul(max(b.left, 0), 64)}
	f(c)
	return b.charge((c.n + 63) / 64)
}

// convert is v as a value of type ty.
func (b *budget) convert(v cty.Value, ty cty.Type) (cty.Value, error) {
	if err := b.foresee(func(c *comparisons) { c.convert(v, ty) }); err != nil {
		return cty.NilVal, err
	}
	return convert.Convert(v, ty)
}

// add reports whether to go on counting.
func (c *comparisons) add(n int64) bool {
	c.n = min(c.n+n, 1<<50)
	return c.n <= c.limit
}

// value counts one that is made.
func (c *comparisons) value() bool { return c.add(64) }

// unify counts what finding one type for several takes (go-cty: cty/convert, unify.go).
func (c *comparisons) unify(types []cty.Type) {
	n := int64(len(types))
	if n == 0 || !c.add(n) {
		return
	}
	kinds := map[kind]int64{}
	for _, ty := range types {
		kinds[kindOf(ty)]++
	}
	only := func(of ...kind) bool { // if there is the first
		sum := int64(0)
		for _, k := range of {
			sum += kinds[k]
		}
		return kinds[of[0]] > 0 && sum == n
	}
	across := func(of func(cty.Type) cty.Type) bool {
		parts := make([]cty.Type, n)
		for i, ty := range types {
			parts[i] = of(ty)
		}
		c.unify(parts)
		return c.n <= c.limit
	}
	parts := func(of kind) {
		var out []cty.Type
		for _, ty := range types {
			if kindOf(ty) == of {
				out = append(out, partTypes(ty)...)
			}
		}
		c.unify(out)
	}
	switch first := types[0]; {
	case kinds[kindDynamic] > 0 && (only(kindMap, kindDynamic) || only(kindList, kindDynamic) || only(kindSet, kindDynamic) || only(kindObject, kindDynamic) || only(kindTuple, kindDynamic)):
		return // as of one that is not known nothing can be foreseen
	case only(kindMap), only(kindList), only(kindSet):
		across(cty.Type.ElementType)
		return
	case only(kindMap, kindObject, kindDynamic):
		parts(kindObject) // are they maps?
	case only(kindList, kindTuple, kindDynamic):
		parts(kindTuple)
	case only(kindObject) && !slices.ContainsFunc(types, func(ty cty.Type) bool { return !sameNames(ty, first) }):
		for name := range first.AttributeTypes() {
			if !across(func(ty cty.Type) cty.Type { return ty.AttributeType(name) }) {
				return
			}
		}
		return
	case only(kindTuple) && !slices.ContainsFunc(types, func(ty cty.Type) bool { return ty.Length() != first.Length() }):
		for i := range first.Length() {
			if !across(func(ty cty.Type) cty.Type { return ty.TupleElementType(i) }) {
				return
			}
		}
		return
	case only(kindObject):
		parts(kindObject)
		return
	case only(kindTuple):
		parts(kindTuple)
		return
	case kinds[kindObject] > 0 && kinds[kindTuple] > 0:
		return // they never are of one
	}
	c.sort(types)
}

// sort counts what comparing each type with each other takes, which looks into those of
// one kind and length (go-cty: cty/convert, compare_types.go).
func (c *comparisons) sort(types []cty.Type) {
	type form struct {
		kind   kind
		length int
	}
	many, sizes, pairs := map[form]int64{}, map[form]int64{}, int64(1)
	for _, ty := range types {
		f := form{kind: kindOf(ty)}
		if f.kind == kindObject || f.kind == kindTuple {
			f.length = len(partTypes(ty))
		}
		size := int64(0)
		c.size(ty, &size)
		many[f], sizes[f] = many[f]+1, sizes[f]+size
		if !ty.Equals(types[0]) {
			pairs = 4 // they are noted
		}
	}
	sum := clampMul(int64(len(types)), int64(len(types)))
	for f, n := range many {
		sum = min(sum+clampMul(n, sizes[f]), 1<<50)
	}
	c.add(clampMul(sum, pairs) / 2)
}

// kind is what of a type decides how it is brought to one with others.
type kind int

const (
	kindOther kind = iota
	kindDynamic
	kindList
	kindSet
	kindMap
	kindObject
	kindTuple
)

func kindOf(ty cty.Type) kind {
	switch {
	case ty == cty.DynamicPseudoType:
		return kindDynamic
	case ty.IsListType():
		return kindList
	case ty.IsSetType():
		return kindSet
	case ty.IsMapType():
		return kindMap
	case ty.IsObjectType():
		return kindObject
	case ty.IsTupleType():
		return kindTuple
	}
	return kindOther
}

// sameNames reports whether two objects' types have the same attributes.
func sameNames(a, b cty.Type) bool {
	for name := range a.AttributeTypes() {
		if !b.HasAttribute(name) {
			return false
		}
	}
	return len(a.AttributeTypes()) == len(b.AttributeTypes())
}

// partTypes are the types of the elements of a tuple, or the attributes of an
// object; nil of any other.
func partTypes(ty cty.Type) []cty.Type {
	switch {
	case ty.IsTupleType():
		return ty.TupleElementTypes()
	case ty.IsObjectType():
		var out []cty.Type
		for _, part := range ty.AttributeTypes() {
			out = append(out, part)
		}
		return out
	}
	return nil
}

// size adds how many parts a type has, and parts of parts.
func (c *comparisons) size(ty cty.Type, n *int64) {
	if *n++; *n > c.limit {
		return
	}
	switch {
	case ty.IsCollectionType():
		c.size(ty.ElementType(), n)
	case ty.IsTupleType():
		for _, part := range ty.TupleElementTypes() {
			c.size(part, n)
		}
	case ty.IsObjectType():
		for _, part := range ty.AttributeTypes() {
			c.size(part, n)
		}
	}
}

// convert counts what making v be of another type takes.
func (c *comparisons) convert(v cty.Value, to cty.Type) {
	v, _ = v.Unmark()
	from := v.Type()
	if !c.value() || to == cty.DynamicPseudoType || to.IsPrimitiveType() || from.Equals(to) {
		return
	}
	known := v.IsKnown() && !v.IsNull() && v.CanIterateElements()
	switch {
	case to.IsCollectionType():
		of, parts := to.ElementType(), partTypes(from)
		if of.HasDynamicTypes() {
			c.unify(parts)
		}
		if !known {
			return
		}
		same := map[int]int64{} // elements of a set by hash: each is compared with those of the same one
		for it := v.ElementIterator(); it.Next() && c.n <= c.limit; {
			_, e := it.Element()
			if c.convert(e, of); to.IsSetType() && e.IsWhollyKnown() && !e.ContainsMarked() {
				hash := e.Hash()
				c.add(same[hash])
				same[hash]++
			}
		}
		// What was converted is brought to one type again.
		switch n := int64(v.LengthInt()); {
		case to.IsSetType(), to.IsListType() && parts == nil:
		case of.HasDynamicTypes() && parts != nil:
			c.unify(parts)
		default:
			c.alike(n, of)
		}
	case !known:
	case to.IsObjectType():
		for name, aty := range to.AttributeTypes() {
			switch {
			case !c.value():
				return
			case from.IsObjectType() && from.HasAttribute(name):
				c.convert(v.GetAttr(name), aty)
			case from.IsMapType() && v.HasIndex(cty.StringVal(name)).True():
				c.convert(v.Index(cty.StringVal(name)), aty)
			}
		}
	case to.IsTupleType():
		for i, it := 0, v.ElementIterator(); it.Next() && i < to.Length(); i++ {
			_, e := it.Element()
			c.convert(e, to.TupleElementType(i))
		}
	}
}

// alike counts what bringing n values of a type to one type takes.
func (c *comparisons) alike(n int64, ty cty.Type) {
	size := int64(0)
	c.size(ty, &size)
	c.add(clampMul(clampMul(n, n), size) / 2)
}

// defaults counts what filling in the default values of optional attributes
// takes.
func (c *comparisons) defaults(v cty.Value, d *typeexpr.Defaults) {
	v, _ = v.Unmark()
	if d == nil || !c.value() || !v.IsKnown() || v.IsNull() || !v.CanIterateElements() || !c.add(64*int64(len(d.DefaultValues))) {
		return
	}
	child := func(key cty.Value) *typeexpr.Defaults {
		switch {
		case d.Type.IsObjectType() && key.Type() == cty.String:
			return d.Children[key.AsString()]
		case d.Type.IsTupleType() && key.Type() == cty.Number:
			i, _ := key.AsBigFloat().Int64()
			return d.Children[strconv.FormatInt(i, 10)]
		}
		return d.Children[""]
	}
	ty := v.Type()
	for it := v.ElementIterator(); it.Next() && c.n <= c.limit; {
		k, e := it.Element()
		c.defaults(e, child(k))
	}
	for name, x := range d.DefaultValues {
		if of := d.Children[name]; of != nil {
			c.defaults(x, of)
		}
	}
	if ty.IsCollectionType() {
		c.alike(int64(v.LengthInt()), ty.ElementType())
		c.alike(int64(v.LengthInt()), d.Type)
	}
}

// either counts what a condition takes for its two results to be of one type
// (hcl: hclsyntax, expression.go, ConditionalExpr).
func (c *comparisons) either(a, b cty.Value) {
	nothing := cty.NullVal(cty.DynamicPseudoType)
	if a.Type() == cty.DynamicPseudoType || b.Type() == cty.DynamicPseudoType || a.RawEquals(nothing) || b.RawEquals(nothing) {
		return
	}
	types := []cty.Type{a.Type(), b.Type()}
	c.unify(types)
	if types[0].Equals(types[1]) {
		return
	}
	c.unify(types) // of what was made of the one that is taken
	c.maps(a)
	c.maps(b)
}

// maps counts what bringing the elements of the maps of a value to one type takes.
func (c *comparisons) maps(v cty.Value) {
	v, _ = v.Unmark()
	if !c.value() || v.Type().IsPrimitiveType() || !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
		return
	}
	if ty := v.Type(); ty.IsMapType() && !ty.ElementType().IsPrimitiveType() {
		c.alike(int64(v.LengthInt()), ty.ElementType())
	}
	for it := v.ElementIterator(); it.Next() && c.n <= c.limit; {
		_, e := it.Element()
		c.maps(e)
	}
}
