package fleet

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func mustGenerate(t *testing.T, options Options) []Team {
	t.Helper()
	teams, err := Generate(options)
	if err != nil {
		t.Fatal(err)
	}
	return teams
}

// objectsBelow reads every object below a folder, by file.
func objectsBelow(t *testing.T, team Team, folder string) map[string][]map[string]any {
	t.Helper()
	found := map[string][]map[string]any{}
	for name, content := range team.Files {
		if !strings.HasPrefix(name, folder+"/") {
			continue
		}
		for _, document := range strings.Split("\n"+string(content), "\n---\n") {
			var object map[string]any
			if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
				t.Fatalf("%s %s: %v\n%s", team.Name, name, err, document)
			}
			if object != nil {
				found[name] = append(found[name], object)
			}
		}
	}
	return found
}

func TestSameOptionsGiveTheSameFleet(t *testing.T) {
	options := Options{Seed: 7, Teams: 12, Apps: 3}
	first, second := mustGenerate(t, options), mustGenerate(t, options)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
	options.Seed = 8
	if other := mustGenerate(t, options); cmp.Equal(first, other) {
		t.Error("another seed gives the same fleet")
	}
}

func TestLargerFleetKeepsTheTeamsOfASmallerOne(t *testing.T) {
	small, large := mustGenerate(t, Options{Teams: 5, Apps: 2}), mustGenerate(t, Options{Teams: 50, Apps: 2})
	if diff := cmp.Diff(small, large[:5]); diff != "" {
		t.Errorf("the first five teams differ:\n%s", diff)
	}
}

func TestFortyTimesSixHasTheShapeOfTheMission(t *testing.T) {
	teams := mustGenerate(t, Options{Teams: 40, Apps: 6})
	folders, objects, collecting, http := map[string]bool{}, 0, 0, 0
	repositories, layouts := map[string]bool{}, map[int]bool{}
	for _, team := range teams {
		repositories[team.Repo] = true
		if team.GarbageCollection {
			collecting++
		}
		if !team.SSH {
			http++
		}
		inTeam := 0
		seen := map[string]bool{}
		perFolder := map[string]int{}
		for name, found := range objectsBelow(t, team, team.Path) {
			folder := path.Dir(name)
			folders[team.Repo+"/"+folder] = true
			perFolder[folder] += len(found)
			layouts[len(found)] = true
			inTeam += len(found)
			for _, object := range found {
				meta, _ := object["metadata"].(map[string]any)
				id := fmt.Sprint(object["kind"], "/", meta["namespace"], "/", meta["name"])
				if seen[id] {
					t.Errorf("%s: %s is there twice", team.Name, id)
				}
				seen[id] = true
				switch object["kind"] {
				case "Namespace":
					if meta["name"] != team.Namespace {
						t.Errorf("%s: namespace is %v, want %s", team.Name, meta["name"], team.Namespace)
					}
				case "HorizontalPodAutoscaler":
					t.Errorf("%s: %s in a uniform fleet", team.Name, id)
				default:
					if meta["namespace"] != team.Namespace {
						t.Errorf("%s: %s is in namespace %v, want it written out as %s", team.Name, id, meta["namespace"], team.Namespace)
					}
				}
			}
		}
		for folder, count := range perFolder {
			want := 4
			if folder == team.Path+"/namespace" {
				want = 1
			}
			if count != want {
				t.Errorf("%s: %s has %d objects, want %d", team.Name, folder, count, want)
			}
		}
		if inTeam != team.Objects {
			t.Errorf("%s: Objects = %d, files hold %d", team.Name, team.Objects, inTeam)
		}
		objects += inTeam
	}
	got := []int{len(repositories), objects, len(folders), collecting, http}
	if want := []int{40, 1000, 280, 14, 10}; !cmp.Equal(got, want) {
		t.Errorf("repositories, objects, folders, collecting, http = %v, want %v", got, want)
	}
	if !layouts[1] || !layouts[4] {
		t.Errorf("objects per file: %v, want files of one object and of four", layouts)
	}
}

func TestOtherEnvironmentsStandBesideTheSyncedOne(t *testing.T) {
	team := mustGenerate(t, Options{Teams: 1, Apps: 2})[0]
	for name, objects := range objectsBelow(t, team, "staging") {
		for _, object := range objects {
			meta, _ := object["metadata"].(map[string]any)
			if namespace := meta["namespace"]; namespace != nil && namespace != team.Namespace+"-staging" {
				t.Errorf("%s: namespace %v", name, namespace)
			}
		}
	}
	if len(objectsBelow(t, team, "staging")) == 0 {
		t.Error("no staging folder")
	}
}

func TestTeamNamesAreUniqueAtAnySize(t *testing.T) {
	seen := map[string]bool{}
	for i := range 1000 {
		name := teamName(i)
		if seen[name] {
			t.Fatalf("team %d is called %s again", i, name)
		}
		seen[name] = true
	}
}

func TestGenerateRefusesWhatItCannotMake(t *testing.T) {
	for name, options := range map[string]Options{
		"no teams":          {Apps: 1},
		"no apps":           {Teams: 1},
		"unknown profile":   {Teams: 1, Apps: 1, Profile: "odd"},
		"negative interval": {Teams: 1, Apps: 1, PollInterval: -1},
	} {
		if _, err := Generate(options); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestChangeRaisesOneNumberInOneFile(t *testing.T) {
	for _, team := range mustGenerate(t, Options{Teams: 8, Apps: 3}) {
		files := team.Files
		for n := 1; n <= 12; n++ {
			changed, err := Change(team, n, 1)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Change(team, n, 1)
			if err != nil || !cmp.Equal(changed, again) {
				t.Fatalf("%s: change %d is not the same twice (%v)", team.Name, n, err)
			}
			if len(changed) != 1 {
				t.Fatalf("%s: change %d touches %d files", team.Name, n, len(changed))
			}
			for name, content := range changed {
				before, after := strings.Split(string(files[name]), "\n"), strings.Split(string(content), "\n")
				var differ []string
				for i := range max(len(before), len(after)) {
					if i >= len(before) || i >= len(after) || before[i] != after[i] {
						differ = append(differ, after[i])
					}
				}
				if len(differ) != 1 || !(deploymentImage.MatchString(differ[0]) || requestTimeout.MatchString(differ[0])) {
					t.Errorf("%s: change %d of %s differs in %q, want one image or timeout", team.Name, n, name, differ)
				}
				files = withFile(files, name, content)
			}
		}
		if cmp.Equal(files, team.Files) {
			t.Errorf("%s: twelve changes changed nothing", team.Name)
		}
	}
}

func withFile(files map[string][]byte, name string, content []byte) map[string][]byte {
	next := map[string][]byte{name: bytes.Clone(content)}
	for other, kept := range files {
		if other != name {
			next[other] = kept
		}
	}
	return next
}

func TestACommitOfCIChangesTheImageOrTheTimeoutOfOneObject(t *testing.T) {
	teams, err := Generate(Options{Seed: 8, Teams: 4, Apps: 6})
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{"Deployment": "spec.template.spec.containers.0.image", "ConfigMap": "data.REQUEST_TIMEOUT"}
	seen := map[string]bool{}
	for _, team := range teams {
		before := team.Files
		for n := 1; n <= 6; n++ {
			files, err := Change(team, n, 8)
			if err != nil {
				t.Fatal(err)
			}
			after := maps.Clone(before)
			maps.Copy(after, files)
			changes, err := Changes(before, after, team.Path)
			if err != nil {
				t.Fatal(err)
			}
			if len(changes) != 1 || !slices.Equal(changes[0].Fields, []string{fields[changes[0].Kind]}) {
				t.Errorf("commit %d of %s changes %v", n, team.Name, changes)
				continue
			}
			seen[changes[0].Kind] = true
			before = after
		}
	}
	if len(seen) != len(fields) {
		t.Errorf("only %v were changed", seen)
	}
	one := teams[0].Files
	less := maps.Clone(one)
	maps.DeleteFunc(less, func(name string, content []byte) bool { return bytes.Contains(content, []byte("kind: Deployment\n")) })
	for _, pair := range [][2]map[string][]byte{{one, less}, {less, one}} {
		if changes, err := Changes(pair[0], pair[1], teams[0].Path); err == nil {
			t.Errorf("objects that come or go are taken for changes: %v", changes)
		}
	}
}
