package terraform

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net/netip"
	"net/url"

	"github.com/google/uuid"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"golang.org/x/text/encoding/ianaindex"
)

// notEvaluated are the functions of the language whose result is unknown here,
// each with the reason.
var notEvaluated = map[string]string{
	"bcrypt":          "its result differs each time",
	"uuid":            "its result differs each time",
	"timestamp":       "its result is the time of the apply",
	"plantimestamp":   "its result is the time of the plan",
	"rsadecrypt":      "it needs a private key and its result is a secret",
	"ephemeralasnull": "what is ephemeral is only known while Terraform runs",
}

// cidrsubnetsFunc hands out address ranges one after the other, each with so
// many bits more than the prefix.
var cidrsubnetsFunc = function.New(&function.Spec{
	Params:   []function.Parameter{{Name: "prefix", Type: cty.String}},
	VarParam: &function.Parameter{Name: "newbits", Type: cty.Number},
	Type:     function.StaticReturnType(cty.List(cty.String)),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		p, err := prefixOf(args[0])
		if err != nil {
			return cty.NilVal, err
		}
		total := p.Addr().BitLen()
		next := new(big.Int) // offset of the next free address
		var out []cty.Value
		for _, a := range args[1:] {
			bits, err := bigInt(a)
			if err != nil {
				return cty.NilVal, err
			}
			length := p.Bits() + int(bits.Int64())
			if !bits.IsInt64() || bits.Sign() <= 0 || bits.Int64() > 32 || length > total {
				return cty.NilVal, errors.New("the address range is too small for this subnet")
			}
			size := new(big.Int).Lsh(big.NewInt(1), uint(total-length))
			// A range begins at a multiple of its size.
			next.Add(next, new(big.Int).Sub(size, big.NewInt(1)))
			next.Div(next, size).Mul(next, size)
			at, err := addressAt(p, next)
			if err != nil {
				return cty.NilVal, err
			}
			out = append(out, cty.StringVal(netip.PrefixFrom(at, length).String()))
			next.Add(next, size)
		}
		if out == nil {
			return cty.ListValEmpty(cty.String), nil
		}
		return cty.ListVal(out), nil
	},
})

// cidrcontainsFunc is OpenTofu's: whether a range holds an address or another
// range.
var cidrcontainsFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "containing", Type: cty.String}, {Name: "contained", Type: cty.String}},
	Type:   function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		outer, err := prefixOf(args[0])
		if err != nil {
			return cty.NilVal, err
		}
		if a, err := netip.ParseAddr(args[1].AsString()); err == nil {
			return cty.BoolVal(outer.Contains(a)), nil
		}
		inner, err := prefixOf(args[1])
		if err != nil {
			return cty.NilVal, err
		}
		return cty.BoolVal(inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())), nil
	},
})

// uuidv5Spaces are the name spaces that have a word.
var uuidv5Spaces = map[string]uuid.UUID{"dns": uuid.NameSpaceDNS, "url": uuid.NameSpaceURL, "oid": uuid.NameSpaceOID, "x500": uuid.NameSpaceX500}

var uuidv5Func = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "namespace", Type: cty.String}, {Name: "name", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		space, ok := uuidv5Spaces[args[0].AsString()]
		if !ok {
			var err error
			if space, err = uuid.Parse(args[0].AsString()); err != nil {
				return cty.NilVal, errors.New("the name space is none that is known, and no UUID")
			}
		}
		return cty.StringVal(uuid.NewSHA1(space, []byte(args[1].AsString())).String()), nil
	},
})

var textencodebase64Func = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "encoding", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		e, err := ianaindex.IANA.Encoding(args[1].AsString())
		if err != nil || e == nil {
			return cty.NilVal, errors.New("the encoding is not known")
		}
		b, err := e.NewEncoder().Bytes([]byte(args[0].AsString()))
		if err != nil {
			return cty.NilVal, errors.New("the text cannot be written in this encoding")
		}
		return cty.StringVal(base64.StdEncoding.EncodeToString(b)), nil
	},
})

var textdecodebase64Func = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "encoding", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		e, err := ianaindex.IANA.Encoding(args[1].AsString())
		if err != nil || e == nil {
			return cty.NilVal, errors.New("the encoding is not known")
		}
		b, err := base64.StdEncoding.DecodeString(args[0].AsString())
		if err == nil {
			b, err = e.NewDecoder().Bytes(b)
		}
		if err != nil {
			return cty.NilVal, errors.New("the text is not base64 of this encoding")
		}
		return cty.StringVal(string(b)), nil
	},
})

// urldecodeFunc is OpenTofu's.
var urldecodeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "text", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		s, err := url.QueryUnescape(args[0].AsString())
		if err != nil {
			return cty.NilVal, errors.New("the text is not URL-encoded")
		}
		return cty.StringVal(s), nil
	},
})

// base64gunzipFunc is OpenTofu's. A short text can be very long when unpacked,
// so what comes out is charged as it comes.
func (l *loader) base64gunzipFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			notGzip := errors.New("the text is not base64 of gzip")
			r, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader([]byte(args[0].AsString()))))
			if err != nil {
				return cty.NilVal, notGzip
			}
			data, err := io.ReadAll(io.LimitReader(r, l.limits.FileBytes+1))
			if err != nil {
				return cty.NilVal, notGzip
			}
			if int64(len(data)) > l.limits.FileBytes {
				return cty.NilVal, errors.New("the text is too large when unpacked")
			}
			if err := l.budget.charge(int64(len(data) / 64)); err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(string(data)), nil
		},
	})
}
