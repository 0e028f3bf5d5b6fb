package fleet

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	deploymentImage = regexp.MustCompile(`image: "?registry\.example\.com/[^:]+:(\d+\.\d+\.)(\d+)"?`)
	requestTimeout  = regexp.MustCompile(`REQUEST_TIMEOUT: (\d+)s`)
)

// Change is the n-th commit that CI makes to a team's repository, counted from
// 1: of one application in the environment that the agent syncs it raises the
// version in the Deployment's image tag, or, in one of four, a timeout in the
// ConfigMap. It returns the changed files. It is cumulative: the n-th change
// holds what earlier ones did to the same file, so the commits of one team must
// be made in order; the same team, seed and n give the same bytes.
func Change(team Team, n int, seed int64) (map[string][]byte, error) {
	if n < 1 {
		return nil, fmt.Errorf("change team %s: changes are counted from 1, not %d", team.Name, n)
	}
	files := maps.Clone(team.Files)
	var changed string
	for i := 1; i <= n; i++ {
		random := randomFor(seed, team.Name, "change", strconv.Itoa(i))
		pattern := deploymentImage
		if random.IntN(4) == 0 {
			pattern = requestTimeout
		}
		candidates := team.filesWith(files, pattern)
		if len(candidates) == 0 {
			return nil, fmt.Errorf("change team %s: no file below %s matches %s", team.Name, team.Path, pattern)
		}
		changed = candidates[random.IntN(len(candidates))]
		files[changed] = raise(files[changed], pattern)
	}
	return map[string][]byte{changed: files[changed]}, nil
}

// filesWith lists the files below the synced path that match, sorted. A CronJob
// runs the application's image too, but CI names the Deployment's first.
func (t *Team) filesWith(files map[string][]byte, pattern *regexp.Regexp) []string {
	var found []string
	for name, content := range files {
		if strings.HasPrefix(name, t.Path+"/") && pattern.Match(content) &&
			(pattern != deploymentImage || strings.Contains(string(content), "kind: Deployment\n")) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// raise adds one to the last number in the pattern's match that follows the
// object's kind; only the first match of a Deployment or ConfigMap changes.
func raise(content []byte, pattern *regexp.Regexp) []byte {
	from := 0
	if pattern == deploymentImage {
		from = max(0, strings.Index(string(content), "kind: Deployment\n"))
	}
	match := pattern.FindSubmatchIndex(content[from:])
	if match == nil {
		return content
	}
	start, end := from+match[len(match)-2], from+match[len(match)-1]
	number, err := strconv.Atoi(string(content[start:end]))
	if err != nil { // the pattern lets digits through, at most too many
		return content
	}
	return slices.Concat(content[:start], strconv.AppendInt(nil, int64(number)+1, 10), content[end:])
}
