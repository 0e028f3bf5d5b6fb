package auditor

import (
	"encoding/json"
	"fmt"
	"time"
)

// Status is what the auditor reads of the product's own status.
type Status struct {
	Repositories []struct {
		ID  string `json:"id"`
		Gap *Gap   `json:"gap"`
	} `json:"repositories"`
}

// Gap is a duration, written in Go's form ("1.2s") or as a number of seconds.
// An empty string is no gap.
type Gap struct{ time.Duration }

// UnmarshalJSON reads either form.
func (g *Gap) UnmarshalJSON(raw []byte) error {
	var s string
	if err := json.Unmarshal(raw, &s); err == nil {
		if s == "" {
			return nil
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("read gap: %w", err)
		}
		g.Duration = d
		return nil
	}
	var f float64
	if err := json.Unmarshal(raw, &f); err != nil {
		return fmt.Errorf("read gap %s: want a duration like \"1.2s\" or seconds", raw)
	}
	g.Duration = time.Duration(f * float64(time.Second))
	return nil
}

// ParseStatus reads the product's status. A repository whose gap is absent,
// null or empty tells none.
func ParseStatus(raw []byte) (*Status, error) {
	var s Status
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	for i, r := range s.Repositories {
		if r.Gap != nil && r.Gap.Duration == 0 {
			s.Repositories[i].Gap = nil
		}
	}
	return &s, nil
}

// ParsePlan reads a plan.
func ParsePlan(raw []byte) (*Plan, error) {
	var p Plan
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	if p.Repositories == nil {
		return nil, fmt.Errorf("read plan: it has no repositories")
	}
	return &p, nil
}

// ParseExpectations reads a JSON list of expectations.
func ParseExpectations(raw []byte) ([]Expectation, error) {
	var e []Expectation
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("read expectations: %w", err)
	}
	return e, nil
}
