package terraform

import (
	"encoding/json"

	"github.com/zclconf/go-cty/cty"
)

// ValueTree returns a value of the configuration as maps, lists and scalars.
// What is not known is an object with the key "$unknown" and its causes.
func ValueTree(v cty.Value) any { return valueTree(redact(v), nil) }

func valueTree(v cty.Value, above []Cause) any {
	if v == cty.NilVal {
		return nil
	}
	bare, marks := v.Unmark()
	own := causesOf(marks)
	if len(own) == 0 {
		own = above
	}
	ty := bare.Type()
	switch {
	case !bare.IsKnown():
		return map[string]any{"$unknown": causeTexts(sortCauses(own))}
	case bare.IsNull():
		return nil
	case ty == cty.String:
		return bare.AsString()
	case ty == cty.Bool:
		return bare.True()
	case ty == cty.Number:
		return json.Number(bare.AsBigFloat().Text('f', -1))
	case ty.IsObjectType() || ty.IsMapType():
		out := map[string]any{}
		for it := bare.ElementIterator(); it.Next(); {
			k, e := it.Element()
			out[k.AsString()] = valueTree(e, own)
		}
		return out
	case bare.CanIterateElements():
		out := []any{}
		for it := bare.ElementIterator(); it.Next(); {
			_, e := it.Element()
			out = append(out, valueTree(e, own))
		}
		return out
	}
	return map[string]any{"$unknown": causeTexts(sortCauses(own))}
}

// MarshalJSON writes the arguments by name, and under "$blocks" the blocks.
func (b *Body) MarshalJSON() ([]byte, error) {
	out := map[string]any{}
	for n, a := range b.Attributes {
		out[n] = valueTree(a.Value, nil)
	}
	if len(b.Blocks) > 0 {
		out["$blocks"] = b.Blocks
	}
	return json.Marshal(out)
}

// MarshalJSON writes the block with its body.
func (b *Block) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type    string   `json:"type"`
		Labels  []string `json:"labels,omitempty"`
		Unknown []Cause  `json:"unknown,omitempty"`
		Body    *Body    `json:"body"`
	}{b.Type, b.Labels, b.Unknown, b.Body})
}

// MarshalJSON writes what the release is, without its resource.
func (h *HelmRelease) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Address         string   `json:"address"`
		Unknown         []string `json:"unknown,omitempty"`
		Name            *Node    `json:"name"`
		Namespace       *Node    `json:"namespace"`
		Chart           *Node    `json:"chart"`
		Repository      *Node    `json:"repository,omitempty"`
		RepositoryURL   *Node    `json:"repositoryURL,omitempty"`
		Version         *Node    `json:"version,omitempty"`
		CreateNamespace *Node    `json:"createNamespace,omitempty"`
		Provider        string   `json:"provider"`
		Position        string   `json:"position"`
		Values          *Node    `json:"values"`
	}{h.Address, causeTexts(h.Unknown), h.Name, h.Namespace, h.Chart, h.Repository, h.RepositoryURL, h.Version, h.CreateNamespace, h.Provider.String(), h.Position.String(), h.Values})
}
