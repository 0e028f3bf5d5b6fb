package migrate

import (
	"net/url"
	"regexp"
	"strings"
)

// hidden stands where something may be secret.
const hidden = "***"

// nextURL is where another URL begins in a list of them.
var nextURL = regexp.MustCompile(`,[A-Za-z][A-Za-z0-9+.:-]*://`)

// forcedGetter is what Terraform and kustomize take before a URL for the way to
// fetch it: "git::".
var forcedGetter = regexp.MustCompile(`^[A-Za-z0-9]+::`)

// DisplayURL is a URL as configured, or a list of them with commas, less
// everything in it that may be secret: the password, a user name that stands
// alone (with many hosts, a token) and the query, but for the parameters that
// say which version it is of. Symbols such as $(VAR) stay, and so does any other
// text that has nothing of a URL.
func DisplayURL(raw string) string {
	var out strings.Builder
	from := 0
	for _, at := range nextURL.FindAllStringIndex(raw, -1) {
		out.WriteString(displayOne(raw[from:at[0]]) + ",")
		from = at[0] + 1
	}
	return out.String() + displayOne(raw[from:])
}

// displayOne is DisplayURL of what holds one URL, and perhaps more behind
// commas that has no scheme.
func displayOne(raw string) string {
	getter := forcedGetter.FindString(raw)
	scheme, rest, ok := strings.Cut(raw[len(getter):], "://")
	if !ok {
		return getter + displayPath(raw[len(getter):])
	}
	shown := getter + scheme + "://"
	info, host, path := SplitAuthority(rest)
	port := strings.HasSuffix(strings.TrimRight(host, "0123456789"), ":") && !strings.HasSuffix(host, ":")
	_, err := url.Parse(raw[len(getter):])
	switch i := strings.LastIndex(rest, "@"); {
	case err != nil && i >= 0: // the password may hold an unescaped slash
		return shown + hidden + rest[i:]
	case err != nil, info == "" && port && strings.Contains(path, "@"):
		// Either host and port, or a user and a password of digits and more.
		return shown + hidden
	}
	where, query := path, ""
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		where, query = path[:i], displayQuery(path[i:])
	}
	// What follows a comma is the next in a list.
	parts := strings.Split(where, ",")
	for i, p := range parts {
		slashes := p[:len(p)-len(strings.TrimLeft(p, "/"))]
		parts[i] = slashes + displayPath(p[len(slashes):])
	}
	path = strings.Join(parts, ",") + query
	if !strings.HasPrefix(rest, info+"@") {
		return shown + host + path
	}
	user, password, _ := strings.Cut(info, ":")
	if UserMayBeToken(scheme, user, password) && SymbolForm.FindString(user) != user {
		user = hidden
	}
	return shown + user + "@" + host + path
}

// plainParameter is one that says which version of a repository to fetch, and how: a secret
// has no place in it.
var plainParameter = regexp.MustCompile(`^(?:ref|version|depth|archive)=[\w./+~-]{1,100}$`)

// displayQuery is a query or fragment less all that is not known to be no secret.
func displayQuery(query string) string {
	if query[0] != '?' {
		return query[:1] + hidden
	}
	var shown []string
	for _, p := range strings.Split(query[1:], "&") {
		if !plainParameter.MatchString(p) {
			p = hidden
		}
		if p != hidden || len(shown) == 0 || shown[len(shown)-1] != hidden {
			shown = append(shown, p)
		}
	}
	return "?" + strings.Join(shown, "&")
}

// displayPath hides what may be secret in a text without a scheme of its own.
// The scp form has no place for a password; anything else with a colon before
// its first sign is not that form.
func displayPath(text string) string {
	end := ""
	if i := strings.Index(text, "?"); i >= 0 && strings.Contains(text[i:], "=") {
		text, end = text[:i], displayQuery(text[i:])
	}
	if before, rest, ok := strings.Cut(text, "://"); ok { // a URL in a URL
		if i := strings.LastIndex(rest, "@"); i >= 0 {
			rest = hidden + rest[i:]
		}
		return before + "://" + rest + end
	}
	colon, at := strings.Index(text, ":"), strings.LastIndex(text, "@")
	if colon >= 0 && colon < strings.Index(text, "@") {
		text = hidden + text[at:]
	}
	return text + end
}

// UserMayBeToken reports whether a URL's user name may be a token: over anything
// but SSH and Git's own protocol it stands alone, or beside the password
// "x-oauth-basic" or an empty one.
func UserMayBeToken(scheme, user, password string) bool {
	switch strings.ToLower(scheme) {
	case "ssh", "git", "git+ssh":
		return false
	}
	return user != "" && (password == "" || password == "x-oauth-basic")
}
