package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestWhatWasNotDoneIsNotMeasured(t *testing.T) {
	agent := func(id, terraform, commit string, objects int, unknown string) string {
		return fmt.Sprintf(`{"id":%q,"terraform":%s,"synced":{"commit":%q,"behind":0},"counts":{"objects":%d},"unknown":[%s]}`, id, terraform, commit, objects, unknown)
	}
	commit := strings.Repeat("a", 40)
	good := []string{agent("flux/a", `{"address":"r[0]"}`, commit, 3, ""), agent("flux/b", `{"address":"r[1]"}`, commit, 3, "")}
	inv := func(findings string, agents ...string) string {
		return `{"agents":[` + strings.Join(agents, ",") + `],"findings":[` + findings + `]}`
	}
	for name, c := range map[string]struct {
		out     string
		fetches int
		want    string
	}{
		"all of it":            {inv(`{"severity":"blocker","code":"CLUSTER_ADMIN"}`, good...), 0, ""},
		"nothing":              {"", 0, "read its inventory"},
		"no agent":             {inv(""), 0, "0 agents of 2"},
		"one agent less":       {inv("", good[0]), 0, "1 agents of 2"},
		"a repository unread":  {inv("", good[0], agent("flux/b", `{"address":"r[1]"}`, "", 0, `"synced"`)), 0, "flux/b"},
		"objects unread":       {inv("", good[0], agent("flux/b", `{"address":"r[1]"}`, commit, 0, "")), 0, "0 objects"},
		"not all known":        {inv("", good[0], agent("flux/b", `{"address":"r[1]"}`, commit, 3, `"git.branch"`)), 0, "git.branch"},
		"not in Terraform":     {inv("", good[0], agent("flux/b", "null", commit, 3, "")), 0, "declares flux/b"},
		"one instance for two": {inv("", good[0], agent("flux/b", `{"address":"r[0]"}`, commit, 3, "")), 0, "both declared by r[0]"},
		"a server that failed": {inv(`{"severity":"blocker","code":"GIT_UNREADABLE","message":"m"}`, good...), 0, "GIT_UNREADABLE"},
		"a right that lacks":   {inv(`{"severity":"blocker","code":"RBAC_MISSING","message":"m"}`, good...), 0, "RBAC_MISSING"},
		"a cache that is cold": {inv("", good...), 2, "2 packs"},
	} {
		err := inventory(declared, fetchedNothing)(scenario{teams: 2}, figures{out: []byte(c.out), fetches: c.fetches})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for _, s := range scenarios {
		for _, r := range s.runs {
			if strings.HasPrefix(r.what, "discover") && r.whole == nil {
				t.Errorf("%s: %s is measured whatever it tells", s.name, r.what)
			}
		}
	}
}
