package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The outputs in testdata are those of the scenario fleet. Of what discover and
// plan printed, two of the 40 agents were kept, and what is not judged was
// taken out: settings, manifests below their metadata, hashes.
var (
	recordedFleet = expected{agents: 2, objects: 50, applications: 14, terraform: true}
	wholeFleet    = expected{agents: 40, objects: 1000, applications: 280}
)

func recordedOutput(t *testing.T, name string) map[string]any {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// inside leads to a place in an output.
func inside(t *testing.T, v any, path ...any) map[string]any {
	t.Helper()
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	m, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("%v is no object", path)
	}
	return m
}

func shortened(v any) []any {
	l := v.([]any)
	return l[:len(l)-1]
}

func found(code string) []any {
	return []any{map[string]any{"severity": "blocker", "code": code, "subject": "flux/x", "message": "m"}}
}

// An answer is accepted as it was recorded, and with anything that is not so in
// it, it is not.
func TestAnAnswerCountsOnlyIfItIsWholeAndProven(t *testing.T) {
	type change struct {
		what string
		make func(*testing.T, map[string]any)
		says string // what is said of it; empty if it is accepted
	}
	same := change{"nothing", func(*testing.T, map[string]any) {}, ""}
	for _, c := range []struct {
		file    string
		judge   judge
		want    expected
		changes []change
	}{
		{"discover.json", judgeInventory, recordedFleet, []change{
			same,
			{"an agent is missing", func(t *testing.T, o map[string]any) { o["agents"] = shortened(o["agents"]) }, "1 agents, want 2"},
			{"an agent stands twice", func(t *testing.T, o map[string]any) { o["agents"].([]any)[1] = o["agents"].([]any)[0] }, "1 agents, want 2"},
			{"two agents of one repository", func(t *testing.T, o map[string]any) {
				inside(t, o, "agents", 1, "git")["url"] = inside(t, o, "agents", 0, "git")["url"]
			}, "1 repositories, want 2"},
			{"a mark was not read", func(t *testing.T, o map[string]any) { inside(t, o, "agents", 0, "synced")["commit"] = nil }, "1 agents whose repository was not read, want 0"},
			{"objects were not read", func(t *testing.T, o map[string]any) { inside(t, o, "agents", 0, "counts")["objects"] = nil }, "1 agents whose repository was not read, want 0"},
			{"a branch is not known", func(t *testing.T, o map[string]any) { inside(t, o, "agents", 0)["unknown"] = []any{"git.branch"} }, "1 agents whose repository was not read, want 0"},
			{"an object less", func(t *testing.T, o map[string]any) { inside(t, o, "agents", 0, "counts")["objects"] = 24 }, "49 objects, want 50"},
			{"an application more", func(t *testing.T, o map[string]any) { inside(t, o, "agents", 0, "counts")["applications"] = 8 }, "15 applications, want 14"},
			{"an instance is not found", func(t *testing.T, o map[string]any) { inside(t, o, "agents", 1)["terraform"] = nil }, "1 Terraform instances, want 2"},
			{"an instance of both", func(t *testing.T, o map[string]any) {
				inside(t, o, "agents", 1)["terraform"] = inside(t, o, "agents", 0)["terraform"]
			}, "1 Terraform instances, want 2"},
			{"a blocker", func(t *testing.T, o map[string]any) { o["findings"] = found("REPOSITORY_UNREADABLE") }, "1 findings REPOSITORY_UNREADABLE hold something back"},
			{"another kind", func(t *testing.T, o map[string]any) { o["kind"] = "Plan" }, `it printed "Plan", want "Inventory"`},
		}},
		{"plan.json", judgePlan, recordedFleet, []change{
			same,
			{"no server was asked", func(t *testing.T, o map[string]any) { o["proof"] = "offline" }, `the proof was made by "offline", want the server`},
			{"a repository is missing", func(t *testing.T, o map[string]any) { o["repositories"] = shortened(o["repositories"]) }, "1 repositories, want 2"},
			{"a Kustomization is missing", func(t *testing.T, o map[string]any) {
				r := inside(t, o, "repositories", 0)
				r["kustomizations"] = shortened(r["kustomizations"])
			}, "13 Kustomizations, want 14"},
			{"an object is missing", func(t *testing.T, o map[string]any) {
				r := inside(t, o, "repositories", 0)
				r["objects"] = shortened(r["objects"])
			}, "49 objects, want 50"},
			{"a verb is assumed", func(t *testing.T, o map[string]any) {
				inside(t, o, "repositories", 0, "objects", 0)["why"] = "not proven: you may not patch it"
			}, "1 objects whose verb is only assumed, want 0"},
			{"a repository is held back", func(t *testing.T, o map[string]any) { inside(t, o, "repositories", 1)["blocked"] = true }, "1 repositories held back, want 0"},
			{"a blocker", func(t *testing.T, o map[string]any) { o["findings"] = found("OBJECT_CONFLICT") }, "1 findings OBJECT_CONFLICT hold something back"},
			{"a blocker that was decided on", func(t *testing.T, o map[string]any) {
				o["findings"], o["accepted"] = found("CLUSTER_ADMIN"), []any{map[string]any{"code": "CLUSTER_ADMIN", "subject": "*"}}
			}, ""},
			{"one that nobody decided on", func(t *testing.T, o map[string]any) {
				o["findings"], o["accepted"] = found("CLUSTER_ADMIN"), []any{}
			}, "1 findings CLUSTER_ADMIN hold something back"},
		}},
		{"diff.json", judgeDiff, wholeFleet, []change{
			same,
			{"no server was asked", func(t *testing.T, o map[string]any) { o["proof"] = "offline" }, `the proof was made by "offline", want the server`},
			{"an object is missing", func(t *testing.T, o map[string]any) { o["objects"] = 999 }, "999 objects, want 1000"},
			{"one was not compared", func(t *testing.T, o map[string]any) { o["uncompared"] = 1 }, "1 objects that were not compared, want 0"},
			{"a verb is assumed", func(t *testing.T, o map[string]any) {
				o["differences"] = []any{map[string]any{"id": "a", "why": "not proven: no cluster was asked"}}
			}, "1 objects whose verb is only assumed, want 0"},
		}},
	} {
		for _, x := range c.changes {
			t.Run(c.file+" "+x.what, func(t *testing.T) {
				output := recordedOutput(t, c.file)
				x.make(t, output)
				content, err := json.Marshal(output)
				if err != nil {
					t.Fatal(err)
				}
				said, problems := c.judge(content, c.want)
				all := strings.Join(problems, "\n")
				if x.says == "" && all != "" || !strings.Contains(all, x.says) {
					t.Errorf("problems are %q, want %q", all, x.says)
				}
				if said == "" && x.what != "another kind" {
					t.Error("nothing is said of it")
				}
			})
		}
	}
	for _, output := range []string{"", "{", "42 agents"} {
		if _, problems := judgePlan([]byte(output), recordedFleet); len(problems) != 1 || !strings.Contains(problems[0], "not JSON") {
			t.Errorf("%q: %q", output, problems)
		}
	}
}

// Each limit fails the run, and a run that asks or fetches otherwise than a
// cache makes it is none of what it is called.
func TestARunIsHeldToItsLimitsAndItsCache(t *testing.T) {
	warm, cold := run{what: "w", warm: true, time: 3 * time.Second, memory: 512 << 20}, run{what: "c", time: 3 * time.Second, memory: 512 << 20}
	good := figures{wall: 2 * time.Second, memory: 100 << 20, queries: 2}
	for _, c := range []struct {
		what string
		run  run
		make func(*figures)
		says string
	}{
		{"warm", warm, func(*figures) {}, ""},
		{"cold", cold, func(f *figures) { f.fetches = 2 }, ""},
		{"slow", warm, func(f *figures) { f.wall = 3001 * time.Millisecond }, "it took 3.00 s, the limit is 3.00 s"},
		{"large", warm, func(f *figures) { f.memory = 513 << 20 }, "it held 513 MiB, the limit is 512 MiB"},
		{"warm, and cloned", warm, func(f *figures) { f.fetches = 1 }, "1 repositories were fetched, though the cache has them"},
		{"warm, and not asked", warm, func(f *figures) { f.queries = 1 }, "the Git server was asked 1 times, for 2 repositories"},
		{"cold, and cached", cold, func(f *figures) { f.fetches = 1 }, "1 repositories were fetched, want 2: the cache was not empty"},
	} {
		f := good
		c.make(&f)
		problems := c.run.judgeCost(f, recordedFleet)
		if all := strings.Join(problems, "\n"); all != c.says {
			t.Errorf("%s: %q, want %q", c.what, all, c.says)
		}
		rows := []row{{run: c.run, figures: f, fleet: "two", said: "50 objects", problems: problems}}
		var table strings.Builder
		if err := write(&table, rows); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"<= 3.00 s", "<= 512 MiB", "50 objects", "queries", c.says} {
			if !strings.Contains(table.String(), part) {
				t.Errorf("%s: the table does not say %q:\n%s", c.what, part, table.String())
			}
		}
		if err := verdict(rows); (err != nil) != (c.says != "") {
			t.Errorf("%s: the verdict is %v", c.what, err)
		}
	}
}

// Every run of every scenario has limits and is judged by what it prints; those
// that are promised stand in the project's design and its issues.
func TestEveryRunIsJudgedAndLimited(t *testing.T) {
	promised := map[string]time.Duration{
		"fleet discover with Terraform, warm": 3 * time.Second, "fleet plan with proof, warm": 10 * time.Second,
		"objects plan with proof, cold": 90 * time.Second, "agents discover, warm": 30 * time.Second,
	}
	for _, s := range scenarios {
		for i, r := range s.runs {
			if r.answer == nil || r.time == 0 || r.memory == 0 {
				t.Errorf("%s, %s has no judge, or no limit", s.name, r.what)
			}
			if r.warm != (i > 0) {
				t.Errorf("%s, %s: the first run's cache is empty, and that of no other", s.name, r.what)
			}
			if want, ok := promised[s.name+" "+r.what]; ok && r.time != want {
				t.Errorf("%s, %s may take %s, %s is promised", s.name, r.what, r.time, want)
			}
			delete(promised, s.name+" "+r.what)
		}
	}
	if len(promised) > 0 {
		t.Errorf("not measured are %v", promised)
	}
}
