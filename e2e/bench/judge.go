package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// expected is what is known of a world, and so what a command must say of it.
type expected struct {
	agents, objects, applications int
	// terraform is true if a configuration declares each agent once.
	terraform bool
}

// judge reads what a command printed and returns, in a few words, what it says
// and each way in which that is not what is expected.
type judge func(output []byte, want expected) (said string, problems []string)

// finding is one of an inventory or a plan.
type finding struct {
	Severity, Code, Subject, Message string
	Acceptable                       bool
}

// obstacles are the findings that hold something back and that nobody has
// accepted, counted by code.
func obstacles(findings []finding, accepted []decision) map[string]int {
	out := map[string]int{}
	for _, f := range findings {
		if f.Severity == "blocker" && !slices.ContainsFunc(accepted, func(d decision) bool { return d.Code == f.Code && (d.Subject == "*" || d.Subject == f.Subject) }) {
			out[f.Code]++
		}
	}
	return out
}

// decision accepts the findings of a code, on a subject or on all ("*").
type decision struct{ Code, Subject string }

func none(found map[string]int) (problems []string) {
	for _, code := range slices.Sorted(maps.Keys(found)) {
		problems = append(problems, fmt.Sprintf("%d findings %s hold something back", found[code], code))
	}
	return problems
}

func exactly(what string, got, want int) []string {
	if got == want {
		return nil
	}
	return []string{fmt.Sprintf("%d %s, want %d", got, what, want)}
}

// read reads a command's JSON, which must be of a kind.
func read(output []byte, kind string, into any) error {
	var is struct{ Kind string }
	if err := json.Unmarshal(output, &is); err != nil {
		return fmt.Errorf("what it printed is not JSON: %w", err)
	}
	if is.Kind != kind {
		return fmt.Errorf("it printed %q, want %q", is.Kind, kind)
	}
	if err := json.Unmarshal(output, into); err != nil {
		return fmt.Errorf("its %s cannot be read: %w", kind, err)
	}
	return nil
}

// judgeInventory judges what discover printed: every agent, each with its own
// repository read at its mark, all of their objects, and, where a configuration
// declares them, each at an address of its own.
func judgeInventory(output []byte, want expected) (string, []string) {
	var got struct {
		Agents []struct {
			ID  string
			Git struct{ URL string }
			// What is not known is null.
			Synced    struct{ Commit *string }
			Counts    struct{ Objects, Applications *int }
			Terraform *struct{ Address string }
			Unknown   []string
		}
		Findings []finding
	}
	if err := read(output, "Inventory", &got); err != nil {
		return "", []string{err.Error()}
	}
	var problems []string
	ids, repositories, addresses := map[string]bool{}, map[string]bool{}, map[string]bool{}
	objects, applications, unread := 0, 0, 0
	for _, a := range got.Agents {
		ids[a.ID], repositories[a.Git.URL] = true, true
		if a.Terraform != nil {
			addresses[a.Terraform.Address] = true
		}
		guessed := slices.ContainsFunc(a.Unknown, func(name string) bool {
			part, _, _ := strings.Cut(name, ".")
			return slices.Contains([]string{"git", "sync", "synced", "counts"}, part)
		})
		if a.Synced.Commit == nil || a.Counts.Objects == nil || a.Counts.Applications == nil || guessed {
			unread++
			continue
		}
		objects += *a.Counts.Objects
		applications += *a.Counts.Applications
	}
	problems = append(problems, exactly("agents", len(ids), want.agents)...)
	problems = append(problems, exactly("repositories", len(repositories), want.agents)...)
	problems = append(problems, exactly("agents whose repository was not read", unread, 0)...)
	problems = append(problems, exactly("objects", objects, want.objects)...)
	problems = append(problems, exactly("applications", applications, want.applications)...)
	said := fmt.Sprintf("%d agents, %d repositories, %d objects", len(ids), len(repositories), objects)
	if want.terraform {
		problems = append(problems, exactly("Terraform instances", len(addresses), want.agents)...)
		said += fmt.Sprintf(", %d Terraform instances", len(addresses))
	}
	return said, append(problems, none(obstacles(got.Findings, nil))...)
}

// unproven begins the reason of a verb that is only assumed (docs/hazards.md).
const unproven = "not proven: "

// judgePlan judges what plan printed: every repository, each application as a
// Kustomization, what becomes of every object, proven by the API server, and
// nothing that holds a repository back.
func judgePlan(output []byte, want expected) (string, []string) {
	var got struct {
		Proof        string
		Accepted     []decision
		Repositories []struct {
			ID             string
			Kustomizations []struct{ Kind string }
			Objects        []struct{ ID, Why string }
			Blocked        bool
		}
		Findings []finding
	}
	if err := read(output, "Plan", &got); err != nil {
		return "", []string{err.Error()}
	}
	ids := map[string]bool{}
	kustomizations, objects, assumed, blocked := 0, 0, 0, 0
	for _, r := range got.Repositories {
		ids[r.ID] = true
		for _, k := range r.Kustomizations {
			if k.Kind == "Kustomization" {
				kustomizations++
			}
		}
		objects += len(r.Objects)
		for _, o := range r.Objects {
			if strings.HasPrefix(o.Why, unproven) {
				assumed++
			}
		}
		if r.Blocked {
			blocked++
		}
	}
	var problems []string
	if got.Proof != "server" {
		problems = append(problems, fmt.Sprintf("the proof was made by %q, want the server", got.Proof))
	}
	problems = append(problems, exactly("repositories", len(ids), want.agents)...)
	problems = append(problems, exactly("Kustomizations", kustomizations, want.applications)...)
	problems = append(problems, exactly("objects", objects, want.objects)...)
	problems = append(problems, exactly("objects whose verb is only assumed", assumed, 0)...)
	problems = append(problems, exactly("repositories held back", blocked, 0)...)
	problems = append(problems, none(obstacles(got.Findings, got.Accepted))...)
	return fmt.Sprintf("%d repositories, %d Kustomizations, %d objects, proof by %s, %d unproven", len(ids), kustomizations, objects, got.Proof, assumed), problems
}

// judgeDiff judges what diff printed: every object compared, with the API
// server's word.
func judgeDiff(output []byte, want expected) (string, []string) {
	var got struct {
		Proof               string
		Objects, Uncompared int
		Differences         []struct{ ID, Why string }
	}
	if err := read(output, "Diff", &got); err != nil {
		return "", []string{err.Error()}
	}
	assumed := 0
	for _, d := range got.Differences {
		if strings.HasPrefix(d.Why, unproven) {
			assumed++
		}
	}
	var problems []string
	if got.Proof != "server" {
		problems = append(problems, fmt.Sprintf("the proof was made by %q, want the server", got.Proof))
	}
	problems = append(problems, exactly("objects", got.Objects, want.objects)...)
	problems = append(problems, exactly("objects that were not compared", got.Uncompared, 0)...)
	problems = append(problems, exactly("objects whose verb is only assumed", assumed, 0)...)
	return fmt.Sprintf("%d objects, %d not compared, %d differences, proof by %s", got.Objects, got.Uncompared, len(got.Differences), got.Proof), problems
}

// judgeCost says which limits a run is over. A warm run asks the Git server for
// what is new, and gets nothing; a cold one gets every repository.
func (r run) judgeCost(f figures, want expected) (problems []string) {
	if f.wall > r.time {
		problems = append(problems, fmt.Sprintf("it took %s, the limit is %s", seconds(f.wall), seconds(r.time)))
	}
	if f.memory > r.memory {
		problems = append(problems, fmt.Sprintf("it held %s, the limit is %s", mebibytes(f.memory), mebibytes(r.memory)))
	}
	switch {
	case f.queries < want.agents:
		problems = append(problems, fmt.Sprintf("the Git server was asked %d times, for %d repositories", f.queries, want.agents))
	case r.warm && f.fetches > 0:
		problems = append(problems, fmt.Sprintf("%d repositories were fetched, though the cache has them", f.fetches))
	case !r.warm && f.fetches < want.agents:
		problems = append(problems, fmt.Sprintf("%d repositories were fetched, want %d: the cache was not empty", f.fetches, want.agents))
	}
	return problems
}
