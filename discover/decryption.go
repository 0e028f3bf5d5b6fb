package discover

import (
	"bytes"
	"context"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
)

// Where sops looks for age keys: in the first of these that is set, and in that
// one alone (sops 3.7, which fluxd is built with: age/keysource.go).
const (
	ageKeyVariable     = "SOPS_AGE_KEY"
	ageKeyFileVariable = "SOPS_AGE_KEY_FILE"
	// ageKeyFile is below the folder for configuration of the container's user.
	ageKeyFile = "sops/age/keys.txt"
)

// imageHome is the home of the image's user.
const imageHome = "/root"

// unknownKeys is what is not known where a Secret may not be read.
const unknownKeys = "the keys with which the agent decrypts files"

// settledByFiles is who settles what is said of places of keys before the files
// are known.
const settledByFiles = "the cluster and the files"

// ledgerEntry tells a setting by its name and value.
type ledgerEntry struct{ name, value string }

// keyring gathers the keys of an agent under the names that they get.
type keyring struct {
	places map[string]migrate.Value
	data   map[string][]byte
	// from are the settings that give a key, by its name.
	from map[string][]ledgerEntry
}

// add takes a key, unless it cannot be read as one of its kind; fluxd cannot use
// such a one either.
func (k *keyring) add(name, suffix string, at migrate.Value, content []byte, from ...ledgerEntry) {
	if _, err := build.ReadKeys(map[string][]byte{"key" + suffix: content}); err != nil {
		return
	}
	name = strings.TrimSuffix(name, suffix)
	unique := name + suffix
	for n := 2; k.data[unique] != nil; n++ {
		unique = name + "-" + strconv.Itoa(n) + suffix
	}
	k.places[unique], k.data[unique], k.from[unique] = at, content, from
}

// readDecryption finds the keys with which the agent decrypts files of SOPS: the
// PGP keys that it imports, and the age keys that its environment names. Keys of
// clouds need an identity there and are not looked for.
func (w *witness) readDecryption(ctx context.Context, a *agent) error {
	if !a.SOPS {
		return nil
	}
	a.ring = &keyring{places: map[string]migrate.Value{}, data: map[string][]byte{}, from: map[string][]ledgerEntry{}}
	if err := w.pgpKeys(ctx, a); err != nil {
		return err
	}
	if err := w.ageKeys(ctx, a); err != nil {
		return err
	}
	keys, err := build.ReadKeys(a.ring.data)
	if err != nil {
		return err // each was read before
	}
	a.Decryption, a.Keys = a.ring.places, keys
	return nil
}

// pgpKeys takes the private keys that the agent imports when it starts: the files
// that --git-gpg-key-import names, and those that lie directly in a folder that it
// names (flux: pkg/gpg/gpg.go), where Secrets provide them.
func (w *witness) pgpKeys(ctx context.Context, a *agent) error {
	imports, flag := keyImports(a.Settings)
	a.keysUnknown = a.keysUnknown || len(flux1.Symbols(flag.value)) > 0 // what it names is not known
	for _, m := range a.env.container.VolumeMounts {
		at := path.Clean(m.MountPath)
		if !slices.ContainsFunc(imports, func(named string) bool { return at == named || isBelow(at, named) || isBelow(named, at) }) {
			continue
		}
		files, err := a.env.filesOf(ctx, m, unknownKeys)
		if errors.Is(err, errUnreadable) {
			a.keysUnknown = true
			continue // reported as a missing right
		}
		if err != nil {
			return err
		}
		a.keysUnknown = a.keysUnknown || len(files) == 0 // a volume of another kind
		for _, file := range files {
			if !slices.ContainsFunc(imports, func(named string) bool { return file == named || path.Dir(file) == named }) {
				continue
			}
			if err := w.keyFile(ctx, a, file, build.PGPKeySuffix, flag); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyImports are the files and folders that --git-gpg-key-import names.
func keyImports(settings []migrate.Setting) (imports []string, flag ledgerEntry) {
	i := slices.IndexFunc(settings, func(s migrate.Setting) bool { return s.Name == "--git-gpg-key-import" && s.Value != "" })
	if i < 0 {
		return nil, ledgerEntry{}
	}
	for _, named := range strings.Split(settings[i].Value, ",") {
		imports = append(imports, path.Clean(named))
	}
	return imports, ledgerEntry{settings[i].Name, settings[i].Value}
}

// isBelow reports whether a path lies somewhere in a folder.
func isBelow(file, dir string) bool {
	return strings.HasPrefix(file, strings.TrimSuffix(dir, "/")+"/")
}

// keyFile takes a file of the container, if a Secret provides it.
func (w *witness) keyFile(ctx context.Context, a *agent, file, suffix string, from ...ledgerEntry) error {
	content, at, _, err := a.env.read(ctx, file, unknownKeys)
	if errors.Is(err, errUnreadable) || err == nil && at == nil {
		volume, _, _ := a.env.mount(file)
		a.keysUnknown = a.keysUnknown || err != nil || opaque(volume)
		return nil
	}
	if err != nil {
		return err
	}
	if at.Secret == nil { // public keys are no keys to decrypt with
		a.keysUnknown = a.keysUnknown || bytes.Contains(content, []byte("PRIVATE KEY")) || bytes.Contains(content, []byte("AGE-SECRET-KEY"))
		return nil
	}
	if _, m, _ := a.env.mount(file); m != nil {
		from = append(from, ledgerEntry{"volume." + m.Name, path.Clean(m.MountPath)})
	}
	a.ring.add(at.Secret.Key, suffix, *at, content, from...)
	return nil
}

// ageKeys takes the age keys that sops finds in the agent's environment. A
// variable that is set and whose value is not known leaves none.
func (w *witness) ageKeys(ctx context.Context, a *agent) error {
	inline, err := a.env.look(ctx, ageKeyVariable)
	if err != nil {
		return err
	}
	if inline != nil {
		return w.inlineAgeKey(ctx, a, inline)
	}
	named, err := a.env.look(ctx, ageKeyFileVariable)
	if err != nil {
		return err
	}
	if named != nil {
		if !named.plain || named.value == "" {
			a.keysUnknown = a.keysUnknown || !named.plain
			return nil
		}
		return w.keyFile(ctx, a, path.Clean(named.value), build.AgeKeySuffix, ledgerEntry{"env." + ageKeyFileVariable, "***"})
	}
	folder, err := a.env.configFolder(ctx)
	if err != nil || folder == "" {
		return err
	}
	return w.keyFile(ctx, a, path.Join(folder, ageKeyFile), build.AgeKeySuffix)
}

// configFolder is the folder for the configuration of the container's user (Go:
// os.UserConfigDir); empty if it is not known.
func (e *environment) configFolder(ctx context.Context) (string, error) {
	for _, v := range []struct{ name, below string }{{"XDG_CONFIG_HOME", ""}, {"HOME", ".config"}} {
		set, err := e.look(ctx, v.name)
		switch {
		case err != nil:
			return "", err
		case set == nil || set.plain && set.value == "":
		case !set.plain:
			return "", nil
		default:
			return path.Join(set.value, v.below), nil
		}
	}
	return path.Join(imageHome, ".config"), nil
}

// inlineAgeKey takes the age keys that a variable holds.
func (w *witness) inlineAgeKey(ctx context.Context, a *agent, v *variable) error {
	entry := ledgerEntry{"env." + ageKeyVariable, "***"}
	set := migrate.LastVariable(a.env.container, ageKeyVariable)
	switch {
	case v.plain && set != nil && set.Value == v.value: // which the cut-over reads there, as it stands
		a.ring.add(ageKeyVariable, build.AgeKeySuffix, migrate.Value{Variable: ageKeyVariable}, []byte(v.value), entry)
	case v.secret != nil:
		content, ok, err := a.env.reveal(ctx, *v.secret, unknownKeys)
		if err != nil || !ok {
			a.keysUnknown = true
			return err
		}
		from := []ledgerEntry{entry}
		for _, f := range a.env.container.EnvFrom {
			if f.SecretRef != nil && f.SecretRef.Name == v.secret.Name {
				from = append(from, ledgerEntry{"envFrom", envFromName(f)})
			}
		}
		a.ring.add(v.secret.Key, build.AgeKeySuffix, migrate.Value{Secret: v.secret}, content, from...)
	default:
		a.keysUnknown = true
	}
	return nil
}

// givesKeys reports whether sops may find keys where something is mounted.
func givesKeys(a *migrate.Flux1Agent, at string) bool {
	file := path.Join(imageHome, ".config", ageKeyFile)
	imports, _ := keyImports(a.Settings)
	return a.SOPS && (at == file || isBelow(file, at) || slices.ContainsFunc(imports, func(named string) bool {
		return at == named || isBelow(at, named) || isBelow(named, at)
	}))
}

// settleDecryption leaves of the keys those that decrypted a file of the agent,
// at the commit that it synced or at the branch's head, and says so in the ledger
// of its settings. It is called once the repository was read.
func (a *agent) settleDecryption() error {
	if a.ring == nil {
		return nil
	}
	a.DecryptsWith = a.Keys.Used()
	needed := map[string][]byte{}
	for _, name := range a.DecryptsWith {
		needed[name] = a.ring.data[name]
	}
	keys, err := build.ReadKeys(needed)
	if err != nil {
		return err // each was read before
	}
	a.Keys = keys
	for i := range a.Settings {
		s := &a.Settings[i]
		entry, gives, needed := ledgerEntry{s.Name, s.Value}, false, false
		for _, name := range sortedNames(a.ring.from) {
			if slices.Contains(a.ring.from[name], entry) {
				gives, needed = true, needed || slices.Contains(a.DecryptsWith, name)
			}
		}
		switch {
		case needed:
			s.Fate, s.To, s.Why = migrate.Carried, "Kustomization.spec.decryption", "a key that it gives decrypts the agent's files"
		case s.To != settledByFiles || a.Tree == nil:
		case gives:
			s.Fate, s.To, s.Why = migrate.Dropped, "", "no key that it gives decrypts a file of the agent"
		case a.undecrypted == "":
			s.Fate, s.To, s.Why = migrate.Dropped, "", "the agent's files are decrypted without it"
		}
	}
	a.ring = nil // the values are not kept
	return nil
}
