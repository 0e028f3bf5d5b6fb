package migrate

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// MarshalJSON writes null for what Unknown names: for a value, or for what an
// object that it names as a whole holds nothing of. The keys stay, so that
// "unknown" can be told from "none".
func (a Flux1Agent) MarshalJSON() ([]byte, error) {
	type plain Flux1Agent // without this method
	var raw bytes.Buffer
	encoder := json.NewEncoder(&raw)
	encoder.SetEscapeHTML(false) // whoever encodes what this is a part of decides
	if err := encoder.Encode(plain(a)); err != nil {
		return nil, err
	}
	names := slices.Clone(a.Unknown)
	if a.Synced.Behind < 0 {
		names = append(names, "synced.behind")
	}
	if len(names) == 0 {
		return raw.Bytes(), nil
	}
	return withNulls(raw.Bytes(), names, false)
}

// withNulls writes null for the members of a JSON object that names has, by
// their paths; empty also for all that hold nothing.
func withNulls(object []byte, names []string, empty bool) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if _, err := decoder.Token(); err != nil { // the opening brace
		return nil, err
	}
	out := bytes.NewBufferString("{")
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string)
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		var inside []string
		for _, n := range names {
			if rest, ok := strings.CutPrefix(n, name+"."); ok {
				inside = append(inside, rest)
			}
		}
		whole := slices.Contains(names, name)
		switch {
		case value[0] == '{':
			if whole || len(inside) > 0 {
				if value, err = withNulls(value, inside, whole); err != nil {
					return nil, err
				}
			}
		case whole, empty && slices.Contains([]string{`""`, `"0s"`, "0", "false", "[]"}, string(value)):
			value = json.RawMessage("null")
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		out.Write(quoted)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// UnmarshalJSON reads what MarshalJSON wrote, and what was written before null
// stood for the unknown: what is null stays zero, and Synced.Behind is -1.
func (a *Flux1Agent) UnmarshalJSON(raw []byte) error {
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return err
	}
	raw, err := json.Marshal(withoutNulls(tree)) // not every type takes null
	if err != nil {
		return err
	}
	type plain Flux1Agent
	read := plain{Synced: Synced{Behind: -1}}
	if err := json.Unmarshal(raw, &read); err != nil {
		return err
	}
	*a = Flux1Agent(read)
	return nil
}

func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if e == nil {
				delete(v, k)
				continue
			}
			v[k] = withoutNulls(e)
		}
	case []any:
		for i, e := range v {
			v[i] = withoutNulls(e)
		}
	}
	return v
}
