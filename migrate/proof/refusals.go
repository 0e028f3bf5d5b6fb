package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// undeclared is how an API server names a field that its kind's schema does not
// have.
var undeclared = regexp.MustCompile(`(\.\S+): field not declared in schema`)

// mostUndeclared bounds how often an object is tried again without such a field.
const mostUndeclared = 20

// manyRefusals is a refusal with more to tell than the API server said at once.
type manyRefusals struct {
	text string
	err  error
}

func (r *manyRefusals) Error() string { return r.text }
func (r *manyRefusals) Unwrap() error { return r.err }

// allOf gives a refusal with all that is wrong with the object, in one order.
// Of several fields that the schema does not declare an API server names one of
// each map, and not always the same (structured-merge-diff: typed/validate.go ends
// at the first), so that the object is tried again without them, until it is
// refused for another reason or for none.
func (p *prover) allOf(ctx context.Context, account Account, object *unstructured.Unstructured, refused error) error {
	left := object.DeepCopy()
	var fields []string
	next := refused
	for range mostUndeclared {
		named := undeclared.FindAllStringSubmatch(next.Error(), -1)
		removed := false
		for _, m := range named {
			if removeField(left.Object, m[1]) {
				fields, removed = append(fields, m[1]), true
			}
		}
		if !removed {
			break
		}
		_, err := p.world.DryRun(ctx, account, left)
		if next = err; err == nil || ctx.Err() != nil {
			break
		}
	}
	text := inOrder(refused)
	if len(fields) > 0 {
		slices.Sort(fields)
		begin := undeclared.FindStringIndex(refused.Error())[0]
		before, _, _ := strings.Cut(refused.Error()[:begin], "errors:")
		text = fmt.Sprintf("%s%s: field not declared in schema", before, strings.Join(slices.Compact(fields), ", "))
		if apierrors.IsInvalid(next) || apierrors.IsForbidden(next) {
			text += "; without that: " + inOrder(next)
		}
	}
	if text == refused.Error() {
		return refused
	}
	return &manyRefusals{text, refused}
}

// inOrder writes an API server's refusal with the fields that it finds fault with
// in the order of their names: validation by a schema goes over maps (kube-openapi:
// validate/object_validator.go).
func inOrder(err error) string {
	text := err.Error()
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return text
	}
	var faults []string
	begin, end := len(text), 0
	for _, c := range status.Status().Details.Causes {
		fault := c.Field + ": " + c.Message
		at := strings.Index(text, fault)
		if at < 0 {
			return text
		}
		faults = append(faults, fault)
		begin, end = min(begin, at), max(end, at+len(fault))
	}
	if len(faults) < 2 {
		return text
	}
	slices.Sort(faults)
	return text[:begin] + strings.Join(slices.Compact(faults), ", ") + text[end:]
}

// step is one element of a path in an API server's words: a field, the keys of a
// list's item, or its place (structured-merge-diff: fieldpath/element.go).
var step = regexp.MustCompile(`^(?:\.([^.\[\]]+)|\[([^\]]+)\])`)

// removeField takes the field at a path out of an object. It reports whether it
// was there.
func removeField(object map[string]any, path string) bool {
	at := any(object)
	for {
		m := step.FindStringSubmatch(path)
		if m == nil {
			return false
		}
		path = path[len(m[0]):]
		switch in := at.(type) {
		case map[string]any:
			v, there := in[m[1]]
			if !there || m[1] == "" {
				return false
			}
			if path == "" {
				delete(in, m[1])
				return true
			}
			at = v
		case []any:
			i, err := strconv.Atoi(m[2])
			if err != nil {
				i = slices.IndexFunc(in, func(item any) bool { return isItem(item, m[2]) })
			}
			if i < 0 || i >= len(in) || path == "" {
				return false
			}
			at = in[i]
		default:
			return false
		}
	}
}

// itemKey is one key of a list's item, with its value as JSON.
var itemKey = regexp.MustCompile(`([^,=]+)=("(?:[^"\\]|\\.)*"|[^,]+)`)

// isItem reports whether an item of a list is the one with the keys; those that
// it does not say have the value that the schema gives them.
func isItem(item any, keys string) bool {
	fields, isMap := item.(map[string]any)
	named := itemKey.FindAllStringSubmatch(keys, -1)
	if !isMap || named == nil {
		return false
	}
	for _, key := range named {
		if v, there := fields[key[1]]; there {
			if text, err := json.Marshal(v); err != nil || string(text) != key[2] {
				return false
			}
		}
	}
	return true
}
