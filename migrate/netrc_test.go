package migrate

import "testing"

func TestNetrcLoginIsCurls(t *testing.T) {
	const machine = "machine git.example.com login ci password p2\n"
	for name, c := range map[string]struct {
		netrc, user string
		want        *Login
	}{
		"one line":        {machine, "", &Login{"ci", "p2"}},
		"several lines":   {"machine git.example.com\n  login ci\n  password p2\n", "", &Login{"ci", "p2"}},
		"a comment":       {"# machine git.example.com login old password p1\n" + machine, "", &Login{"ci", "p2"}},
		"a macro":         {"macdef init\nmachine git.example.com login old password p1\n\n" + machine, "", &Login{"ci", "p2"}},
		"a sharp inside":  {"machine git.example.com login ci password #p2\n", "", &Login{"ci", "#p2"}},
		"another user's":  {"machine git.example.com login old password p1\n" + machine, "ci", &Login{"ci", "p2"}},
		"nobody's":        {machine, "other", nil},
		"another host's":  {"machine example.com login ci password p2\n", "", nil},
		"by default":      {"machine example.com login a password b\ndefault login ci password p2\n", "", &Login{"ci", "p2"}},
		"of no password":  {"machine git.example.com login ci\n", "", nil},
		"nothing at all":  {"", "", nil},
		"an unended line": {"machine git.example.com login ci password", "", nil},
	} {
		got := NetrcLogin(c.netrc, "git.example.com", c.user)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
