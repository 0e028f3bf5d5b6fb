package terraform

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/big"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	resyntax "regexp/syntax"
	"slices"
	"strings"
	"time"

	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// functionTable returns the functions of the language that can be evaluated
// without running it. Those whose result differs each time, such as uuid, are
// left out, and so are unknown.
func (l *loader) functionTable() map[string]function.Function {
	t := map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "log": stdlib.LogFunc, "max": stdlib.MaxFunc,
		"min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc, "pow": stdlib.PowFunc, "signum": stdlib.SignumFunc,

		"chomp": stdlib.ChompFunc, "format": stdlib.FormatFunc, "formatlist": stdlib.FormatListFunc, "indent": stdlib.IndentFunc,
		"join": stdlib.JoinFunc, "lower": stdlib.LowerFunc, "regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc, "split": stdlib.SplitFunc,
		"strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc, "title": stdlib.TitleFunc, "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
		"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc,

		"chunklist": stdlib.ChunklistFunc, "coalescelist": stdlib.CoalesceListFunc, "compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc,
		"contains": stdlib.ContainsFunc, "distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc, "keys": stdlib.KeysFunc,
		"merge": stdlib.MergeFunc, "range": stdlib.RangeFunc, "reverse": stdlib.ReverseListFunc, "setintersection": stdlib.SetIntersectionFunc,
		"setproduct": stdlib.SetProductFunc, "setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc, "slice": stdlib.SliceFunc,
		"sort": stdlib.SortFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,

		"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,
		"yamlencode": ctyyaml.YAMLEncodeFunc, "formatdate": stdlib.FormatDateFunc, "timeadd": stdlib.TimeAddFunc,

		"tostring": stdlib.MakeToFunc(cty.String), "tonumber": stdlib.MakeToFunc(cty.Number), "tobool": stdlib.MakeToFunc(cty.Bool),
		"toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), "tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), "tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),

		"alltrue": everyBool(true), "anytrue": everyBool(false), "coalesce": coalesceFunc, "index": indexFunc, "length": lengthFunc, "list": listFunc, "lookup": lookupFunc,
		"map": mapFunc, "matchkeys": matchkeysFunc, "one": oneFunc, "sum": sumFunc, "transpose": transposeFunc,

		"basename": text1(path.Base), "dirname": text1(path.Dir), "urlencode": text1(url.QueryEscape),
		"base64encode": text1(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }), "base64decode": base64decodeFunc, "base64gzip": base64gzipFunc,
		"md5": digest(md5.New, hex.EncodeToString), "sha1": digest(sha1.New, hex.EncodeToString), "sha256": digest(sha256.New, hex.EncodeToString), "sha512": digest(sha512.New, hex.EncodeToString),
		"base64sha256": digest(sha256.New, base64.StdEncoding.EncodeToString), "base64sha512": digest(sha512.New, base64.StdEncoding.EncodeToString),
		"startswith": test2(strings.HasPrefix), "endswith": test2(strings.HasSuffix), "strcontains": test2(strings.Contains), "timecmp": timecmpFunc,

		"cidrhost": cidrhostFunc, "cidrnetmask": cidrnetmaskFunc, "cidrsubnet": cidrsubnetFunc, "cidrsubnets": cidrsubnetsFunc,
		"cidrcontains": cidrcontainsFunc, "urldecode": urldecodeFunc, "uuidv5": uuidv5Func, "textencodebase64": textencodebase64Func, "textdecodebase64": textdecodebase64Func,

		"sensitive": sensitiveFunc, "nonsensitive": nonsensitiveFunc, "issensitive": issensitiveFunc,
	}
	t["replace"] = l.replaceFunc()
	t["yamldecode"] = l.yamldecodeFunc()
	t["base64gunzip"] = l.base64gunzipFunc()
	t["setproduct"] = l.guard(t["setproduct"], productSize)
	t["join"] = l.guard(t["join"], joinSize)
	t["indent"] = l.guard(t["indent"], indentSize)
	t["format"] = l.guard(t["format"], formatSize)
	t["formatlist"] = l.guard(t["formatlist"], formatSize)
	t["coalesce"] = l.guard(t["coalesce"], unifiedSize)
	t["concat"] = l.guard(t["concat"], func(args []cty.Value) int64 {
		if slices.ContainsFunc(args, func(a cty.Value) bool { return !a.Type().IsListType() }) {
			return 0 // it makes a tuple, of any types
		}
		return unifiedSize(args)
	})
	t["distinct"] = l.guard(t["distinct"], distinctSize)
	t["flatten"] = l.guard(t["flatten"], flattenSize)
	t["matchkeys"] = l.guard(t["matchkeys"], matchkeysSize)
	t["regex"] = l.guard(t["regex"], func(args []cty.Value) int64 { return patternSize(args, false) })
	t["regexall"] = l.guard(t["regexall"], func(args []cty.Value) int64 { return patternSize(args, true) })
	for _, name := range []string{"setunion", "setintersection", "setsubtract", "toset"} {
		t[name] = l.guard(t[name], setSize)
	}
	t["csvdecode"] = l.guard(t["csvdecode"], func(args []cty.Value) int64 { return decodedSize(args[0]) })
	t["jsondecode"] = l.jsondecodeFunc()
	l.addFileFunctions(t)
	for name, f := range t {
		t["core::"+name] = f
	}
	return t
}

// unsupported stands in for a function that is not evaluated here.
func unsupported(name string) function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "arguments", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true},
		Type:     function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			return unknown(cty.DynamicPseudoType, Cause{Kind: CauseFunction, Name: name}), nil
		},
	})
}

// guard charges the budget for what a function is going to produce before it
// does, where that may be more than its arguments are.
func (l *loader) guard(f function.Function, size func(args []cty.Value) int64) function.Function {
	params, rest := slices.Clone(f.Params()), f.VarParam()
	for i := range params {
		params[i].AllowMarked, params[i].AllowUnknown, params[i].AllowDynamicType, params[i].AllowNull = true, true, true, true
	}
	if rest != nil {
		c := *rest
		c.AllowMarked, c.AllowUnknown, c.AllowDynamicType, c.AllowNull = true, true, true, true
		rest = &c
	}
	check := func(args []cty.Value) error {
		plain := make([]cty.Value, len(args))
		for i, a := range args {
			plain[i], _ = a.UnmarkDeep()
		}
		return l.budget.charge(size(plain) / 64)
	}
	return function.New(&function.Spec{
		Params: params, VarParam: rest,
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := check(args); err != nil {
				return cty.NilType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

func lengthOf(v cty.Value) int64 {
	switch {
	case !v.IsKnown() || v.IsNull():
		return 0
	case v.Type() == cty.String:
		return int64(len(v.AsString()))
	case v.CanIterateElements():
		return int64(v.LengthInt())
	}
	return 1
}

func clampMul(a, b int64) int64 {
	if a != 0 && b > (1<<40)/a {
		return 1 << 40
	}
	return a * b
}

func productSize(args []cty.Value) int64 {
	n := int64(64)
	for _, a := range args {
		n = clampMul(n, max(lengthOf(a), 1))
	}
	return clampMul(n, int64(max(len(args), 1)))
}

func joinSize(args []cty.Value) int64 {
	n := int64(0)
	for _, a := range args[min(1, len(args)):] {
		n += lengthOf(a)
	}
	if len(args) == 0 {
		return 0
	}
	return clampMul(n, lengthOf(args[0])+1)
}

func numberOf(v cty.Value) int64 {
	if !v.IsKnown() || v.IsNull() {
		return 0
	}
	n, err := convert.Convert(v, cty.Number)
	if err != nil {
		return 0
	}
	i, _ := n.AsBigFloat().Int64()
	return max(i, 0)
}

func indentSize(args []cty.Value) int64 {
	if len(args) != 2 || args[1].Type() != cty.String || !args[1].IsKnown() || args[1].IsNull() {
		return 0
	}
	return clampMul(numberOf(args[0]), int64(strings.Count(args[1].AsString(), "\n")+1))
}

var widths = regexp.MustCompile(`%[^a-zA-Z%]*`)

// formatSize bounds the widths and precisions that a format asks for.
func formatSize(args []cty.Value) int64 {
	if len(args) == 0 || args[0].Type() != cty.String || !args[0].IsKnown() || args[0].IsNull() {
		return 0
	}
	n, times, longest := int64(0), int64(1), int64(0)
	for _, a := range args[1:] {
		if a.IsKnown() && !a.IsNull() && a.CanIterateElements() {
			times = max(times, lengthOf(a))
			for it := a.ElementIterator(); it.Next(); {
				_, e := it.Element()
				longest = max(longest, printedSize(e))
			}
			continue
		}
		longest = max(longest, printedSize(a))
	}
	for _, verb := range widths.FindAllString(args[0].AsString(), -1) {
		digits := int64(0)
		for _, r := range verb {
			if r < '0' || r > '9' {
				n, digits = n+digits, 0
				continue
			}
			digits = min(digits*10+int64(r-'0'), 1<<40)
		}
		n = min(n+digits+longest, 1<<40)
	}
	return clampMul(n, times)
}

// printedSize is about how long a value is as text.
func printedSize(v cty.Value) int64 {
	if v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
		return lengthOf(v)
	}
	n := int64(0)
	sizeOf(v, &n, 1<<20)
	return n * 16
}

// distinctSize counts the comparisons: each element is compared with all that
// are kept.
func distinctSize(args []cty.Value) int64 {
	return clampMul(8*lengthOf(args[0]), partsOf(args[0]))
}

// partsOf counts the elements of a list with the elements of these.
func partsOf(list cty.Value) int64 {
	n := int64(0)
	if lengthOf(list) > 0 {
		sizeOf(list, &n, 1<<24)
	}
	return n
}

// flattenSize counts how often each value is copied: to each list that holds it.
func flattenSize(args []cty.Value) int64 { return 8 * copiesIn(args[0], 0) }

func copiesIn(v cty.Value, depth int64) int64 {
	ty := v.Type()
	if !v.IsKnown() || v.IsNull() || !ty.IsListType() && !ty.IsSetType() && !ty.IsTupleType() {
		return depth
	}
	n := depth
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		n = min(n+copiesIn(e, depth+1), 1<<40)
	}
	return n
}

// unifiedSize counts what finding one type for all arguments takes.
func unifiedSize(args []cty.Value) int64 {
	types := make([]cty.Type, len(args))
	for i, a := range args {
		types[i] = a.Type()
	}
	c := &comparisons{limit: 1 << 40}
	c.unify(types)
	return c.n
}

// setSize counts the elements, each of which is hashed and compared.
func setSize(args []cty.Value) int64 {
	n := int64(0)
	for _, a := range args {
		n += lengthOf(a)
	}
	return clampMul(8*64, n)
}

// decodedSize is what decoding a text of values costs.
func decodedSize(text cty.Value) int64 {
	if !text.IsKnown() || text.IsNull() || text.Type() != cty.String {
		return 0
	}
	return clampMul(4*64, documentWork(text.AsString()))
}

func matchkeysSize(args []cty.Value) int64 { return clampMul(8*lengthOf(args[1]), partsOf(args[2])) }

// patternSize bounds the steps that a pattern takes on a text, and with all
// those of looking for each match anew.
func patternSize(args []cty.Value, all bool) int64 {
	pattern, text := args[0], args[1]
	if !pattern.IsKnown() || pattern.IsNull() || pattern.Type() != cty.String {
		return 0
	}
	return searchSize(pattern.AsString(), lengthOf(text), all)
}

// maxPattern bounds the length of a pattern.
const maxPattern = 1 << 14

// searchSize is what looking for a pattern in n bytes of text costs, in bytes
// of text that are produced.
func searchSize(pattern string, n int64, all bool) int64 {
	if len(pattern) > maxPattern {
		return 1 << 40
	}
	states := int64(1)
	if re, err := resyntax.Parse(pattern, resyntax.Perl); err == nil {
		states = statesOf(re)
	}
	size := clampMul(n, states)
	if all {
		size = max(size, clampMul(n, n/64+1)/64)
	}
	return size + 8*states
}

// statesOf is about how many states a pattern has once its repetitions are
// written out.
func statesOf(re *resyntax.Regexp) int64 {
	n := int64(1)
	switch re.Op {
	case resyntax.OpLiteral:
		n = int64(len(re.Rune))
	case resyntax.OpCharClass:
		n = int64(len(re.Rune)/16 + 1)
	}
	for _, sub := range re.Sub {
		n += statesOf(sub)
	}
	if re.Op == resyntax.OpRepeat {
		n = clampMul(n, int64(max(re.Min+1, re.Max, 1)))
	}
	return min(n, 1<<40)
}

// jsondecodeFunc decodes JSON that is not nested too deep for the decoder.
func (l *loader) jsondecodeFunc() function.Function {
	f := l.guard(stdlib.JSONDecodeFunc, func(args []cty.Value) int64 { return decodedSize(args[0]) })
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if v, _ := args[0].Unmark(); v.IsKnown() && !v.IsNull() && nestsDeeper(v.AsString(), l.limits.Nesting) {
				return cty.NilType, errors.New("the JSON document is nested too deep")
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

// nestsDeeper reports whether a JSON text has more brackets inside brackets.
func nestsDeeper(text string, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > limit {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

func text1(f func(string) string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(f(args[0].AsString())), nil
		},
	})
}

func test2(f func(a, b string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "part", Type: cty.String}}, Type: function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(f(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

func digest(h func() hash.Hash, encode func([]byte) string) function.Function {
	return text1(func(s string) string {
		sum := h()
		_, _ = sum.Write([]byte(s)) // a hash never fails
		return encode(sum.Sum(nil))
	})
}

var base64decodeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "text", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		b, err := base64.StdEncoding.DecodeString(args[0].AsString())
		if err != nil {
			return cty.NilVal, errors.New("the text is not base64")
		}
		return cty.StringVal(string(b)), nil
	},
})

var base64gzipFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "text", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(args[0].AsString())); err != nil {
			return cty.NilVal, fmt.Errorf("compress: %w", err)
		}
		// Terraform flushes first, which leaves a block more.
		if err := cmp.Or(w.Flush(), w.Close()); err != nil {
			return cty.NilVal, fmt.Errorf("compress: %w", err)
		}
		return cty.StringVal(base64.StdEncoding.EncodeToString(b.Bytes())), nil
	},
})

// everyBool is alltrue, or anytrue with the other neutral element.
func everyBool(all bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}}, Type: function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			result := cty.BoolVal(all)
			for it := args[0].ElementIterator(); it.Next(); {
				_, v := it.Element()
				switch {
				case !v.IsKnown():
					result = cty.UnknownVal(cty.Bool)
				case v.IsNull() && all:
					return cty.False, nil
				case !v.IsNull() && v.True() != all:
					return cty.BoolVal(!all), nil
				}
			}
			return result, nil
		},
	})
}

// coalesceFunc returns the first argument that is neither null nor "".
var coalesceFunc = function.New(&function.Spec{
	VarParam: &function.Parameter{Name: "values", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowDynamicType: true, AllowNull: true},
	Type: func(args []cty.Value) (cty.Type, error) {
		types := make([]cty.Type, len(args))
		for i, a := range args {
			types[i] = a.Type()
		}
		ty, _ := convert.UnifyUnsafe(types)
		if ty == cty.NilType {
			return cty.NilType, errors.New("all arguments must have the same type")
		}
		return ty, nil
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		for _, a := range args {
			a, err := convert.Convert(a, ty)
			if err != nil {
				return cty.NilVal, err
			}
			if !a.IsKnown() {
				return cty.UnknownVal(ty), nil
			}
			if a.IsNull() || ty == cty.String && a.AsString() == "" {
				continue
			}
			return a, nil
		}
		return cty.NilVal, errors.New("no argument has a value")
	},
})

var indexFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}, {Name: "value", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		ty := args[0].Type()
		if !ty.IsListType() && !ty.IsTupleType() {
			return cty.NilVal, errors.New("the first argument must be a list")
		}
		for it := args[0].ElementIterator(); it.Next(); {
			i, v := it.Element()
			eq, err := stdlib.Equal(v, args[1])
			if err != nil {
				return cty.NilVal, err
			}
			if !eq.IsKnown() {
				return cty.UnknownVal(cty.Number), nil
			}
			if eq.True() {
				return i, nil
			}
		}
		return cty.NilVal, errors.New("the list does not have the item")
	},
})

var lengthFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true, AllowUnknown: true}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v := args[0]
		ty := v.Type()
		switch {
		case ty == cty.DynamicPseudoType:
			return cty.UnknownVal(cty.Number), nil
		case ty == cty.String:
			return stdlib.Strlen(v)
		case ty.IsTupleType():
			return cty.NumberIntVal(int64(ty.Length())), nil
		case ty.IsObjectType():
			return cty.NumberIntVal(int64(len(ty.AttributeTypes()))), nil
		case ty.IsListType() || ty.IsMapType() || ty.IsSetType():
			return v.Length(), nil
		}
		return cty.NilVal, errors.New("the argument must be a string, a list, a map or a set")
	},
})

// listFunc and mapFunc are of Terraform up to 0.11.
var listFunc = function.New(&function.Spec{
	VarParam: &function.Parameter{Name: "values", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowDynamicType: true, AllowNull: true, AllowMarked: true},
	Type: func(args []cty.Value) (cty.Type, error) {
		types := make([]cty.Type, len(args))
		for i, a := range args {
			types[i] = a.Type()
		}
		return cty.Tuple(types), nil
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return cty.TupleVal(args), nil },
})

var mapFunc = function.New(&function.Spec{
	VarParam: &function.Parameter{Name: "pairs", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowDynamicType: true, AllowNull: true},
	Type:     function.StaticReturnType(cty.DynamicPseudoType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if len(args)%2 != 0 {
			return cty.NilVal, errors.New("each key needs a value")
		}
		out := map[string]cty.Value{}
		for i := 0; i < len(args); i += 2 {
			if !args[i].IsKnown() {
				return cty.DynamicVal, nil
			}
			if args[i].IsNull() || args[i].Type() != cty.String {
				return cty.NilVal, errors.New("a key is not a string")
			}
			out[args[i].AsString()] = args[i+1]
		}
		return cty.ObjectVal(out), nil
	},
})

var lookupFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "map", Type: cty.DynamicPseudoType, AllowMarked: true, AllowUnknown: true},
		{Name: "key", Type: cty.String},
	},
	VarParam: &function.Parameter{Name: "default", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true},
	Type:     function.StaticReturnType(cty.DynamicPseudoType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if len(args) > 3 {
			return cty.NilVal, errors.New("lookup takes at most three arguments")
		}
		m, marks := args[0].Unmark()
		if !m.IsKnown() {
			return cty.DynamicVal.WithMarks(marks), nil
		}
		key := args[1].AsString()
		ty := m.Type()
		switch {
		case m.IsNull():
			return cty.NilVal, errors.New("the map is null")
		case ty.IsObjectType() && ty.HasAttribute(key):
			return m.GetAttr(key).WithMarks(marks), nil
		case ty.IsMapType() && m.HasIndex(args[1]).True():
			return m.Index(args[1]).WithMarks(marks), nil
		case !ty.IsObjectType() && !ty.IsMapType():
			return cty.NilVal, errors.New("the first argument must be a map")
		case len(args) == 3 && ty.IsMapType():
			out, err := convert.Convert(args[2], ty.ElementType())
			if err != nil {
				return cty.NilVal, errors.New("the default has another type than the map's elements")
			}
			return out.WithMarks(marks), nil
		case len(args) == 3:
			return args[2].WithMarks(marks), nil
		}
		return cty.NilVal, errors.New("the map has no such key, and there is no default")
	},
})

var matchkeysFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "values", Type: cty.List(cty.DynamicPseudoType)},
		{Name: "keys", Type: cty.List(cty.DynamicPseudoType)},
		{Name: "wanted", Type: cty.List(cty.DynamicPseudoType)},
	},
	Type: func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() || !args[1].IsWhollyKnown() || !args[2].IsWhollyKnown() {
			return cty.UnknownVal(ty), nil
		}
		values, keys, wanted := args[0].AsValueSlice(), args[1].AsValueSlice(), args[2].AsValueSlice()
		if len(values) != len(keys) {
			return cty.NilVal, errors.New("values and keys must have the same length")
		}
		var out []cty.Value
		for i, k := range keys {
			if slices.ContainsFunc(wanted, func(w cty.Value) bool { return w.RawEquals(k) }) {
				out = append(out, values[i])
			}
		}
		if out == nil {
			return cty.ListValEmpty(ty.ElementType()), nil
		}
		return cty.ListVal(out), nil
	},
})

var oneFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}}, Type: function.StaticReturnType(cty.DynamicPseudoType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v := args[0]
		if ty := v.Type(); !ty.IsListType() && !ty.IsSetType() && !ty.IsTupleType() {
			return cty.NilVal, errors.New("the argument must be a list, a set or a tuple")
		}
		switch n := v.LengthInt(); {
		case v.Type().IsSetType() && !v.IsWhollyKnown():
			return cty.DynamicVal, nil
		case n == 0:
			return cty.NullVal(cty.DynamicPseudoType), nil
		case n > 1:
			return cty.NilVal, errors.New("the list has more than one element")
		}
		it := v.ElementIterator()
		it.Next()
		_, e := it.Element()
		return e, nil
	},
})

var sumFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}}, Type: function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !args[0].CanIterateElements() || args[0].LengthInt() == 0 {
			return cty.NilVal, errors.New("the argument must be a list that is not empty")
		}
		sum := cty.Zero
		for it := args[0].ElementIterator(); it.Next(); {
			_, v := it.Element()
			n, err := convert.Convert(v, cty.Number)
			if err != nil || n.IsNull() {
				return cty.NilVal, errors.New("the list holds something that is not a number")
			}
			sum = sum.Add(n)
		}
		return sum, nil
	},
})

var transposeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "map", Type: cty.Map(cty.List(cty.String))}}, Type: function.StaticReturnType(cty.Map(cty.List(cty.String))),
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() {
			return cty.UnknownVal(ty), nil
		}
		lists := map[string][]cty.Value{}
		for it := args[0].ElementIterator(); it.Next(); {
			k, list := it.Element()
			for e := list.ElementIterator(); e.Next(); {
				_, v := e.Element()
				if v.IsNull() {
					return cty.NilVal, errors.New("a list holds null")
				}
				lists[v.AsString()] = append(lists[v.AsString()], k)
			}
		}
		if len(lists) == 0 {
			return cty.MapValEmpty(cty.List(cty.String)), nil
		}
		out := map[string]cty.Value{}
		for k, l := range lists {
			out[k] = cty.ListVal(l)
		}
		return cty.MapVal(out), nil
	},
})

// replaceFunc replaces text or, between slashes, what a pattern matches.
func (l *loader) replaceFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "from", Type: cty.String}, {Name: "to", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			text, from, to := args[0].AsString(), args[1].AsString(), args[2].AsString()
			count := func(n int) error { return l.budget.charge(clampMul(int64(n), int64(len(to)+1)) / 64) }
			if len(from) > 1 && strings.HasPrefix(from, "/") && strings.HasSuffix(from, "/") {
				if err := l.budget.charge(searchSize(from[1:len(from)-1], int64(len(text)), true) / 64); err != nil {
					return cty.NilVal, err
				}
				re, err := regexp.Compile(from[1 : len(from)-1])
				if err != nil {
					return cty.NilVal, errors.New("the pattern is not a regular expression")
				}
				refs := max(strings.Count(to, "$"), 1)
				if err := l.budget.charge(clampMul(clampMul(int64(len(text)), int64(len(text)/64+1)), int64(refs)) / 4096); err != nil {
					return cty.NilVal, err
				}
				if err := count(len(re.FindAllStringIndex(text, -1))); err != nil {
					return cty.NilVal, err
				}
				return cty.StringVal(re.ReplaceAllString(text, to)), nil
			}
			if err := count(strings.Count(text, from)); err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(strings.ReplaceAll(text, from, to)), nil
		},
	})
}

// yamldecodeFunc decodes YAML that is not nested too deep for the parser.
func (l *loader) yamldecodeFunc() function.Function {
	f := ctyyaml.YAMLDecodeFunc
	check := func(v cty.Value) error {
		v, _ = v.Unmark()
		if !v.IsKnown() || v.IsNull() {
			return nil
		}
		if err := checkYAML(v.AsString(), l.limits.Nesting); err != nil {
			return err
		}
		if err := l.budget.charge(decodedSize(v) / 64); err != nil {
			return err
		}
		if err := notDeeper(v.AsString(), l.limits.Nesting); err != nil {
			return err
		}
		return l.chargeAliases(v.AsString())
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := check(args[0]); err != nil {
				return cty.NilType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

// chargeAliases charges for what the aliases of a document expand to. The
// decoder used to count them refuses documents in which they multiply.
func (l *loader) chargeAliases(text string) error {
	if !strings.Contains(text, "*") || !strings.Contains(text, "&") {
		return nil
	}
	var tree any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		return errors.New("the text is not YAML, or has too many aliases")
	}
	n := int64(0)
	countNodes(tree, &n)
	return l.budget.charge(n)
}

func countNodes(v any, n *int64) {
	*n++
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			countNodes(e, n)
		}
	case []any:
		for _, e := range v {
			countNodes(e, n)
		}
	}
}

// notDeeper refuses YAML that is, or may be, nested deeper than limit. The
// parser behind yamldecode has no bound of its own, and looks at all levels for each
// word; the one used here has.
func notDeeper(text string, limit int) error {
	if strings.Count(text, "[")+strings.Count(text, "{") <= limit && strings.Count(text, "\n") <= limit {
		return nil
	}
	for d := yamlv3.NewDecoder(strings.NewReader(text)); ; {
		var n yamlv3.Node
		switch err := d.Decode(&n); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && strings.Count(text, "[")+strings.Count(text, "{") > limit: // how deep it is before the error is not known
			return errors.New(strings.TrimSpace("the YAML document may be nested too deep, and is in error, " + yamlLine.FindString(err.Error())))
		case err != nil:
			return nil // yamldecode says where
		case nodeDeeper(&n, limit):
			return errYAMLDepth
		}
	}
}

func nodeDeeper(n *yamlv3.Node, limit int) bool {
	return limit < 0 || slices.ContainsFunc(n.Content, func(n *yamlv3.Node) bool { return nodeDeeper(n, limit-1) })
}

var errYAMLDepth = errors.New("the YAML document is nested too deep")

// checkYAML refuses YAML whose nesting a recursive parser may not survive. It counts
// brackets wherever they stand, also in quotes, where no real document has as many.
func checkYAML(s string, limit int) error {
	depth := 0
	for line := range strings.Lines(s) {
		inline := 0
		trimmed := strings.TrimLeft(line, " ")
		for rest := trimmed; len(rest) > 1 && strings.IndexByte("-?:", rest[0]) >= 0 && strings.IndexByte(" \t", rest[1]) >= 0; rest = strings.TrimLeft(rest[2:], " \t") {
			inline++
		}
		for i := range len(line) {
			switch line[i] {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(depth-1, 0)
			}
		}
		if depth > limit || inline > limit || len(line)-len(trimmed) > 20*limit {
			return errYAMLDepth
		}
	}
	return nil
}

var timecmpFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "a", Type: cty.String}, {Name: "b", Type: cty.String}}, Type: function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		a, err := time.Parse(time.RFC3339, args[0].AsString())
		if err != nil {
			return cty.NilVal, errors.New("the first argument is not a time")
		}
		b, err := time.Parse(time.RFC3339, args[1].AsString())
		if err != nil {
			return cty.NilVal, errors.New("the second argument is not a time")
		}
		return cty.NumberIntVal(int64(a.Compare(b))), nil
	},
})

var sensitiveFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowMarked: true, AllowUnknown: true, AllowNull: true, AllowDynamicType: true}},
	Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return args[0].Mark(secret{"sensitive()"}), nil
	},
})

var nonsensitiveFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowMarked: true, AllowUnknown: true, AllowNull: true, AllowDynamicType: true}},
	Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, marks := args[0].Unmark()
		for m := range marks {
			if _, ok := m.(secret); !ok {
				v = v.Mark(m)
			}
		}
		return v, nil
	},
})

var issensitiveFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowMarked: true, AllowUnknown: true, AllowNull: true, AllowDynamicType: true}},
	Type:   function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		_, marks := args[0].Unmark()
		return cty.BoolVal(len(secretsOf(marks)) > 0), nil
	},
})

func prefixOf(v cty.Value) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(v.AsString())
	if err != nil {
		return p, errors.New("the address range is not in CIDR notation")
	}
	return p.Masked(), nil
}

// addressAt returns the n-th address of a range, from its end if n is negative.
func addressAt(p netip.Prefix, n *big.Int) (netip.Addr, error) {
	bits := p.Addr().BitLen()
	size := new(big.Int).Lsh(big.NewInt(1), uint(bits-p.Bits()))
	n = new(big.Int).Set(n)
	if n.Sign() < 0 {
		n.Add(n, size)
	}
	if n.Sign() < 0 || n.Cmp(size) >= 0 {
		return netip.Addr{}, errors.New("the address range is too small for this number")
	}
	sum := n.Add(n, new(big.Int).SetBytes(p.Addr().AsSlice()))
	a, _ := netip.AddrFromSlice(sum.FillBytes(make([]byte, bits/8)))
	return a, nil
}

func bigInt(v cty.Value) (*big.Int, error) {
	if !v.AsBigFloat().IsInt() || v.AsBigFloat().MantExp(nil) > 256 {
		return nil, errors.New("the number is not a whole number in range")
	}
	n, _ := v.AsBigFloat().Int(nil)
	return n, nil
}

var cidrhostFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "prefix", Type: cty.String}, {Name: "number", Type: cty.Number}}, Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		p, err := prefixOf(args[0])
		if err != nil {
			return cty.NilVal, err
		}
		n, err := bigInt(args[1])
		if err != nil {
			return cty.NilVal, err
		}
		a, err := addressAt(p, n)
		if err != nil {
			return cty.NilVal, err
		}
		return cty.StringVal(a.String()), nil
	},
})

var cidrnetmaskFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "prefix", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		p, err := prefixOf(args[0])
		if err != nil {
			return cty.NilVal, err
		}
		if !p.Addr().Is4() {
			return cty.NilVal, errors.New("only IPv4 has network masks")
		}
		mask := netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), p.Bits()).Masked()
		return cty.StringVal(mask.Addr().String()), nil
	},
})

var cidrsubnetFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "prefix", Type: cty.String}, {Name: "newbits", Type: cty.Number}, {Name: "number", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		p, err := prefixOf(args[0])
		if err != nil {
			return cty.NilVal, err
		}
		bits, err := bigInt(args[1])
		if err != nil {
			return cty.NilVal, err
		}
		n, err := bigInt(args[2])
		if err != nil {
			return cty.NilVal, err
		}
		length := p.Bits() + int(bits.Int64())
		if !bits.IsInt64() || bits.Sign() < 0 || length > p.Addr().BitLen() || n.Sign() < 0 || n.BitLen() > int(bits.Int64()) {
			return cty.NilVal, errors.New("the address range is too small for this subnet")
		}
		a, err := addressAt(p, n.Lsh(n, uint(p.Addr().BitLen()-length)))
		if err != nil {
			return cty.NilVal, err
		}
		return cty.StringVal(netip.PrefixFrom(a, length).String()), nil
	},
})
