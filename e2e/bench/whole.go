package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// told is what the bench reads of an Inventory.
type told struct {
	Agents []struct {
		ID        string
		Terraform *struct{ Address string }
		Synced    struct{ Commit string }
		Counts    struct{ Objects int }
		Unknown   []string
	}
	Findings []struct{ Severity, Code, Message string }
}

// inventory demands of a discovery that it found the whole fleet and read each
// repository, and what else is asked for.
func inventory(more ...func(told, figures) error) func(scenario, figures) error {
	return func(s scenario, f figures) error {
		var inv told
		if err := json.Unmarshal(f.out, &inv); err != nil {
			return fmt.Errorf("read its inventory: %w", err)
		}
		if len(inv.Agents) != s.teams {
			return fmt.Errorf("it found %d agents of %d", len(inv.Agents), s.teams)
		}
		for _, a := range inv.Agents {
			unread := slices.DeleteFunc(a.Unknown, func(name string) bool {
				part, _, _ := strings.Cut(name, ".")
				return !slices.Contains([]string{"git", "sync", "synced", "counts"}, part)
			})
			if len(a.Synced.Commit) != 40 || a.Counts.Objects == 0 || len(unread) > 0 {
				return fmt.Errorf("of %s it tells commit %q, %d objects, and does not know %q", a.ID, a.Synced.Commit, a.Counts.Objects, unread)
			}
		}
		for _, x := range inv.Findings {
			if x.Severity == "blocker" && (strings.HasPrefix(x.Code, "GIT_") || strings.HasPrefix(x.Code, "RBAC_")) {
				return fmt.Errorf("it could not read all: %s: %s", x.Code, x.Message)
			}
		}
		for _, demand := range more {
			if err := demand(inv, f); err != nil {
				return err
			}
		}
		return nil
	}
}

// declared demands that each agent was found in Terraform, as an instance of
// its own.
func declared(inv told, _ figures) error {
	seen := map[string]string{}
	for _, a := range inv.Agents {
		if a.Terraform == nil {
			return fmt.Errorf("it did not find in Terraform what declares %s", a.ID)
		}
		if other, twice := seen[a.Terraform.Address]; twice {
			return fmt.Errorf("%s and %s are both declared by %s", other, a.ID, a.Terraform.Address)
		}
		seen[a.Terraform.Address] = a.ID
	}
	return nil
}

// fetchedNothing demands that all was in the cache.
func fetchedNothing(_ told, f figures) error {
	if f.fetches > 0 {
		return fmt.Errorf("it fetched %d packs, and all was in the cache", f.fetches)
	}
	return nil
}
