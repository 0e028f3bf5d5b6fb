package build

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	kustypes "sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// ErrTooLarge: to build the folder would take more than [Limits] allow. Nothing was
// built, and nothing is known of what it holds.
var ErrTooLarge = errors.New("too large to be built")

// Limits bound what one build may take. Kustomize bounds nothing itself: it reads a
// folder again for each way that leads to it, compares each object with each, and
// cannot be interrupted but where it reads a file. So what a build would take is
// counted before it begins.
type Limits struct {
	// Steps is how much is done, in some microseconds of one processor each.
	Steps int
	// Folders is how many kustomization files are read, one as often as it is named.
	Folders int
	// FileBytes of one file, Bytes of all that is read, a file as often as it is named.
	FileBytes, Bytes int
	// Values in all YAML that is read.
	Values int
	// Time, after which the next file is no longer read and nothing is waited for.
	Time time.Duration
}

// DefaultLimits are far beyond what anybody builds: some 17,000 objects in one
// folder, where 10,000 take Kustomize minutes.
var DefaultLimits = Limits{Steps: 300_000_000, Folders: 5_000, FileBytes: maxFile, Bytes: 64 << 20, Values: 3_000_000, Time: 10 * time.Minute}

// maxFile is how many bytes a file has at most that is read; an object has at most
// 1.5 MiB in etcd.
const maxFile = 16 << 20

// Steps that Kustomize takes, as they were measured.
const (
	stepsOfFolder = 1000 // to read and configure
	stepsOfObject = 400  // to hash, and look at for references
	pairsInStep   = 3    // each object is compared with each where they come together
	stepsOfValue  = 5
	stepsOfPatch  = 400 // of one object by a patch that may fit all; more with each before it
	stepsOfMore   = 4   // of such a patch for each that came before
	stepsOfRule   = 30  // of one object by a transformer
	stepsOfMiss   = 10  // of one object that a patch is seen not to fit
	stepsOfConfig = 10  // of one object by a line of a configuration
	bytesInStep   = 4   // of a file that a generator reads
)

// Cost is what a build takes, counted as [Limits] are.
type Cost struct{ Steps, Folders, Bytes, Values int }

// Exceeds tells by what a cost is over the limits, nil by nothing; ErrTooLarge.
func (c Cost) Exceeds(l Limits) error {
	for _, x := range []struct {
		what       string
		got, limit int
	}{
		{"reads kustomization files %s times", c.Folders, l.Folders},
		{"reads %s bytes, each file as often as it is named", c.Bytes, l.Bytes},
		{"reads %s values of YAML, each file as often as it is named", c.Values, l.Values},
		{"takes %s steps, each of an object by a patch or another object", c.Steps, l.Steps},
	} {
		if x.got > x.limit {
			got := fmt.Sprint(x.got)
			if x.got == maxCount {
				got = "more than " + got
			}
			return fmt.Errorf("%w: it "+x.what+"; the limit is %d: name folders and files fewer times, or build parts of it apart", ErrTooLarge, got, x.limit)
		}
	}
	return nil
}

func (c *Cost) add(o Cost) {
	c.Steps, c.Folders, c.Bytes, c.Values = sum(c.Steps, o.Steps), sum(c.Folders, o.Folders), sum(c.Bytes, o.Bytes), sum(c.Values, o.Values)
}

// Budget is what several builds, which are not made at the same time, may take together.
type Budget struct {
	// Steps, as those of [Limits], of which those of counting what a build would take are some.
	Steps int
	spent int
}

// left says why nothing is built any more, nor counted what it would take; nil while there are steps left,
// or without a budget.
func (b *Budget) left() error {
	if b == nil || b.spent < b.Steps {
		return nil
	}
	return fmt.Errorf("%w: the builds of other folders, and to count what they take, took %d steps before; the limit for all is %d", ErrTooLarge, b.spent, b.Steps)
}

// afford takes what a build costs, if it may have that, and what it took to count it; err is what that told.
func (b *Budget) afford(c Cost, counting int, err error) error {
	if b == nil {
		return err
	}
	b.spent = sum(b.spent, counting)
	switch {
	case err != nil:
		return err
	case sum(b.spent, c.Steps) > b.Steps:
		return fmt.Errorf("%w: it takes %d steps, and the builds of other folders of the repository took %d before; the limit for all is %d", ErrTooLarge, c.Steps, b.spent, b.Steps)
	}
	b.spent += c.Steps
	return nil
}

// maxCount is where counting ends.
const maxCount = 1 << 50

func sum(a, b int) int { return min(a+b, maxCount) }

func product(a, b int) int {
	if a != 0 && b > maxCount/a {
		return maxCount
	}
	return a * b
}

// together is what it takes that objects come to others.
func together(objects, others int) int { return product(objects, sum(objects, others)) / pairsInStep }

// part is what a folder or file adds to a build.
type part struct {
	Cost
	objects int
	// before is how many times its objects were changed, at most: they remember it.
	before int
	// names is how many values may name other objects, beyond what objects have of them.
	names int
	// config is how many lines of configuration hold for all above.
	config int
	// spread is what a component costs for each object that is there already, and
	// components how many it consists of.
	spread, components int
}

// take adds what another holds.
func (p *part) take(o part) {
	p.objects, p.names, p.config = sum(p.objects, o.objects), sum(p.names, o.names), sum(p.config, o.config)
}

// accounting counts what a build takes, each folder once however often it is reached.
// It is never less than what Kustomize would do; at first it takes every few values of
// a file that may hold a list for an object, and exact has it read the file for that.
type accounting struct {
	files  *overlayFS
	limits Limits
	exact  bool
	known  map[string]*part
	err    error
	// counting are the steps that the accounting takes itself.
	counting int
}

// costOf counts what it takes to build a folder, and how many steps the counting took. An error is
// ErrTooLarge, or one of reading a file. What Kustomize will complain about is left to it.
func costOf(files *overlayFS, dir string, limits Limits) (c Cost, counting int, err error) {
	for _, exact := range []bool{false, true} {
		a := &accounting{files: files, limits: limits, exact: exact, known: map[string]*part{}}
		p := a.folder(dir)
		if counting = sum(counting, a.counting); a.err != nil {
			return c, counting, a.err
		}
		c = p.Cost
		// Kustomize looks at the whole once more, and for references at each pair.
		c.Steps = sum(c.Steps, product(p.objects, sum(sum(stepsOfObject, p.names), product(stepsOfConfig, p.config))))
		c.Steps = sum(c.Steps, product(together(p.objects, 0), sum(1, p.config)))
		if err = c.Exceeds(limits); err == nil {
			break
		}
	}
	return c, counting, err
}

// folder counts one folder; a folder that is open already leads in a circle, which
// Kustomize refuses.
func (a *accounting) folder(dir string) part {
	if p := a.known[dir]; p != nil {
		return *p
	}
	a.known[dir] = &part{}
	p := part{Cost: Cost{Steps: stepsOfFolder, Folders: 1}}
	name, ok := a.files.kustomization(dir)
	if !ok {
		return p
	}
	own, data := a.text(name)
	p.add(own.Cost)
	a.counting = sum(a.counting, stepsOfFolder+len(data)/bytesInStep)
	var k kustypes.Kustomization
	if data == nil || a.err != nil || yaml.Unmarshal(data, &k) != nil {
		return p
	}
	//lint:ignore SA1019 old kustomization files still have this field
	for _, list := range [][]string{k.Resources, k.Bases} {
		for _, e := range list {
			c := a.entry(dir, e)
			p.add(c.Cost)
			p.Steps = sum(p.Steps, together(c.objects, p.objects))
			p.take(c)
			p.before = max(p.before, c.before)
		}
	}
	for _, name := range append(append([]string(nil), k.Configurations...), k.Crds...) {
		c := a.entry(dir, name)
		p.add(c.Cost)
		p.config = sum(p.config, c.Values)
	}
	a.generators(dir, &k, &p)
	for _, name := range k.Components {
		c := a.entry(dir, name)
		p.add(c.Cost)
		p.take(c)
		p.before = sum(p.before, c.before)
		p.Steps = sum(p.Steps, sum(product(p.objects, c.spread), product(c.components, together(p.objects, 0))))
		p.spread, p.components = sum(p.spread, c.spread), sum(p.components, c.components)
	}
	each, before := a.transformers(dir, &k, &p)
	p.Steps = sum(p.Steps, product(each, p.objects))
	p.before, p.spread, p.components = sum(p.before, before), sum(p.spread, each), sum(p.components, 1)
	*a.known[dir] = p
	return p
}

// generators adds what the generators of a kustomization file read and make.
func (a *accounting) generators(dir string, k *kustypes.Kustomization, p *part) {
	made := 0
	var sources []string
	add := func(g *kustypes.GeneratorArgs) {
		made++
		sources = append(append(append(sources, g.FileSources...), g.EnvSources...), g.EnvSource)
	}
	for i := range k.ConfigMapGenerator {
		add(&k.ConfigMapGenerator[i].GeneratorArgs)
	}
	for i := range k.SecretGenerator {
		add(&k.SecretGenerator[i].GeneratorArgs)
	}
	for _, source := range sources {
		if _, name, named := strings.Cut(source, "="); named {
			source = name
		}
		size, err := a.files.size(path.Join(dir, source))
		if err != nil {
			a.fail(err)
			continue
		}
		p.Bytes = sum(p.Bytes, size)
		p.Steps = sum(p.Steps, size/bytesInStep)
	}
	for _, e := range k.Generators {
		c := a.config(dir, e)
		p.add(c.Cost)
		made = sum(made, sum(c.objects, 1))
	}
	p.Steps = sum(p.Steps, together(made, p.objects))
	p.objects = sum(p.objects, made)
}

// transformers adds what the patches and the like of a kustomization file read. It
// gives the steps that they take for each object, and how many changes they remember.
func (a *accounting) transformers(dir string, k *kustypes.Kustomization, p *part) (each, before int) {
	patch := func(file, text string, target *kustypes.Selector) {
		c := part{objects: 1}
		if file != "" {
			c, _ = a.text(path.Join(dir, file))
			p.add(c.Cost)
		} else {
			c = roughly([]byte(text))
		}
		if target == nil || literal(target.Name) {
			each = sum(each, product(max(c.objects, 1), sum(stepsOfMiss, p.before)))
			return
		}
		each = sum(each, sum(stepsOfPatch, sum(product(stepsOfMore, sum(p.before, before)), product(stepsOfValue, c.Values))))
		before++
	}
	//lint:ignore SA1019 old kustomization files still have this field
	for _, e := range append(append([]kustypes.Patch(nil), k.Patches...), k.PatchesJson6902...) {
		patch(e.Path, e.Patch, e.Target)
	}
	//lint:ignore SA1019 old kustomization files still have this field
	for _, e := range k.PatchesStrategicMerge {
		if strings.ContainsRune(string(e), '\n') {
			patch("", string(e), nil)
		} else {
			patch(string(e), "", nil)
		}
	}
	for _, e := range append(append([]string(nil), k.Transformers...), k.Validators...) {
		c := a.config(dir, e)
		p.add(c.Cost)
		each = sum(each, sum(product(max(c.objects, 1), sum(stepsOfPatch, product(stepsOfMore, sum(p.before, before)))), product(stepsOfValue, c.Values)))
		before = sum(before, c.objects)
	}
	for _, r := range k.Replacements {
		rules := 1
		for _, t := range r.Targets {
			if t != nil {
				rules += 1 + len(t.FieldPaths) + len(t.Reject)
			}
		}
		if r.Path != "" {
			c, _ := a.text(path.Join(dir, r.Path))
			p.add(c.Cost)
			rules = sum(rules, c.Values)
		}
		each = sum(each, product(rules, stepsOfMiss+stepsOfRule))
	}
	rules := len(k.Images) + len(k.Replicas) + len(k.CommonAnnotations)
	//lint:ignore SA1019 old kustomization files still have these fields
	rules += len(k.Vars) + len(k.CommonLabels)
	for _, l := range k.Labels {
		rules += 1 + len(l.Pairs) + len(l.FieldSpecs)
	}
	for _, change := range []string{k.Namespace, k.NamePrefix, k.NameSuffix} {
		if change != "" {
			rules++
			before++
		}
	}
	return sum(each, product(rules, stepsOfRule)), before
}

// entry counts what a resource, base or component names: a file or a folder.
func (a *accounting) entry(dir, e string) part {
	at := path.Join(dir, e)
	if _, isFolder, ok := a.files.look(path.Join(virtualRoot, at)); ok && isFolder {
		return a.folder(at)
	} else if !ok {
		return part{}
	}
	p, _ := a.text(at)
	p.Steps = sum(p.Steps, together(p.objects, 0))
	return p
}

// config counts the configuration of a generator or transformer: a text, file or folder.
func (a *accounting) config(dir, e string) part {
	if !strings.ContainsRune(e, '\n') {
		return a.entry(dir, e)
	}
	return roughly([]byte(e))
}

// text counts a file that is read as YAML.
func (a *accounting) text(name string) (p part, data []byte) {
	if p := a.known["file "+name]; p != nil && !isKustomizationFile(name) {
		return *p, nil
	}
	a.known["file "+name] = &p
	if isFolder, ok := a.files.artifact.Has(name); a.files.written[name] == nil && (!ok || isFolder) {
		return p, nil
	}
	data, err := a.files.content(name)
	if err != nil {
		a.fail(err)
		return p, nil
	}
	p.Bytes = len(data)
	c := roughly(data)
	if a.exact && c.Values <= a.limits.Values {
		a.counting = sum(a.counting, len(data)/bytesInStep)
		c = exactly(data, c)
	}
	p.Values, p.objects, p.names = c.Values, c.objects, c.names
	p.Steps = product(stepsOfValue, p.Values)
	return p, data
}

// fail keeps the first error that says that a file is not to be read at all.
func (a *accounting) fail(err error) {
	if a.err == nil && (errors.Is(err, ErrTooLarge) || errors.Is(err, ErrAliases)) {
		a.err = err
	}
}

// literal reports whether a selector's expression fits one name alone.
func literal(name string) bool {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "^"), "$")
	return name != "" && !strings.ContainsAny(strings.ReplaceAll(name, `\.`, ""), `\.*+?[](){}|^$`)
}

// ordinary is how many values an object has at most that names few others: each name is
// looked for among all objects.
const ordinary = 1000

// valuesInObject is how many an object in a list has, at least.
const valuesInObject = 4

// roughly is no less than how many values and objects a text has, without reading it.
func roughly(data []byte) part {
	p := part{}
	for document := range bytes.SplitSeq(data, []byte("\n---")) {
		values := 1
		for _, sign := range []string{"\n", ",", "[", "{"} {
			values += bytes.Count(document, []byte(sign))
		}
		p.Values += values
		p.objects++
		p.names += max(0, values-ordinary)
	}
	// Of a list every item is an object, and an escaped word may be "List".
	if bytes.Contains(data, []byte("List")) && bytes.Contains(data, []byte("items")) || bytes.ContainsRune(data, '\\') || bytes.ContainsRune(data, '*') && bytes.Contains(data, []byte("<<")) {
		p.objects += p.Values / valuesInObject
	}
	return p
}

// exactly counts the values and objects of a text; one that cannot be read has as many
// as it seems.
func exactly(data []byte, seems part) part {
	decoder := kyaml.NewDecoder(bytes.NewReader(data))
	p := part{}
	for {
		var document kyaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return p
		case err != nil:
			return seems
		}
		e := expansion{open: map[*kyaml.Node]bool{}, known: map[*kyaml.Node]extent{}}
		x, ok := e.measure(&document)
		if !ok {
			return seems
		}
		p.Values = sum(p.Values, x.nodes)
		if len(document.Content) > 0 {
			p.take(e.objects(document.Content[0]))
		}
	}
}

// objects are those that a node which was measured is expanded to.
func (e expansion) objects(n *kyaml.Node) part {
	if n.Kind == kyaml.AliasNode {
		return e.objects(n.Alias)
	}
	p := part{}
	for i := 0; n.Kind == kyaml.MappingNode && i+1 < len(n.Content); i += 2 {
		value := n.Content[i+1]
		if value.Kind == kyaml.AliasNode {
			value = value.Alias
		}
		switch {
		case n.Content[i].Value == "items" && value.Kind == kyaml.SequenceNode:
			for _, item := range value.Content {
				p.take(e.objects(item))
			}
		case n.Content[i].Value == "<<" && value.Kind == kyaml.MappingNode:
			if merged := e.objects(value); merged.objects > 1 {
				p.take(merged)
			}
		}
	}
	if p.objects == 0 {
		p = part{objects: 1, names: max(0, e.known[n].nodes-ordinary)}
	}
	return p
}
