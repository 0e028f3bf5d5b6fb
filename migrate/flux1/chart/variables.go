package chart

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// maxEnvironment is what all variables of a program can take, in bytes (linux: three
// quarters of _STK_LIM).
const maxEnvironment = 6 << 20

// filling is the text of a variable.
type filling struct {
	text string
	// keys are the values that it was made of.
	keys []string
	// secret is true if it may be one: it is sensitive, or its name says so.
	secret bool
}

// variables are those of fluxd's environment whose texts are known, as the kubelet has
// them: env comes before envFrom, and the last of a name counts.
func (d *decoder) variables() map[string]filling {
	known, left := map[string]filling{}, maxEnvironment
	add := func(name string, f filling) {
		if left -= len(f.text); left >= 0 {
			f.secret = f.secret || NamesSecret(name)
			known[name] = f
		}
	}
	configMap := func(name string) (map[string]string, bool) {
		if d.scope.release.ConfigMap == nil || name == "" {
			return nil, false
		}
		return d.scope.release.ConfigMap(name)
	}
	for i, from := range d.out.EnvFrom {
		data, whole := map[string]string(nil), false
		if from.Kind == "ConfigMap" && from.Unknown == "" {
			data, whole = configMap(from.Name)
		}
		for name := range known { // which it may set
			if !whole && (from.Unknown != "" || strings.HasPrefix(name, from.Prefix)) {
				delete(known, name)
			}
		}
		for _, key := range sortedKeys(data) {
			add(from.Prefix+key, filling{text: data[key], keys: []string{fmt.Sprintf("extraEnvsFrom[%d]", i)}})
		}
	}
	for i, x := range d.out.Env {
		if x.Name == "" { // it may be any of them
			return nil
		}
		f := filling{}
		if i > 0 { // the first is the chart's own
			f.keys = []string{fmt.Sprintf("extraEnvs[%d]", i-1)}
			f.secret = d.given.isHidden(f.keys[0] + ".value")
		}
		before := known[x.Name]
		delete(known, x.Name)
		switch {
		case x.Unknown != "" || x.Secret != nil:
		case x.ConfigMap != "":
			data, _ := configMap(x.ConfigMap)
			text, has := data[x.Key]
			if f.text = text; has {
				add(x.Name, f)
			}
		default:
			text := flux1.Fill(string(x.Value), func(name string) (string, flux1.Known) {
				of, ok := known[name]
				if name == x.Name { // as it was set before
					of, ok = before, before.text != ""
				}
				if !ok {
					return "", flux1.NotKnown
				}
				f.keys, f.secret = slices.Concat(f.keys, of.keys), f.secret || of.secret
				return of.text, flux1.IsSet
			})
			if f.text = flux1.Literal(text); len(flux1.Symbols(text)) == 0 {
				add(x.Name, f)
			}
		}
	}
	return known
}

// fill puts what is known of the variables into the arguments, as the kubelet does, and
// into nothing else: Kubernetes expands no other field that the chart fills. The
// credentials of the Git URL stay as they are written, since they name their places.
// What is not shown of a variable is not filled in where the flag would show it.
func (d *decoder) fill() {
	known := d.variables()
	for i := range d.out.Args {
		a := &d.out.Args[i]
		a.Written = a.Text
		before, credentials, after := aroundCredentials(a)
		filled := func(text string) string {
			return flux1.Fill(text, func(name string) (string, flux1.Known) {
				of, ok := known[name]
				if !ok || !fillsOpenly(a.Flag, of) {
					return "", flux1.NotKnown
				}
				for _, key := range of.keys {
					if !slices.Contains(a.Keys, key) {
						a.Keys = append(slices.Clone(a.Keys), key)
					}
				}
				return of.text, flux1.IsSet
			})
		}
		if strings.Contains(string(a.Text), "$") {
			a.Text = Text(filled(before) + credentials + filled(after))
		}
	}
}

// fillsOpenly reports whether the text of a variable, which itself is not shown, may be
// shown as the value of a flag: it is too plain for a secret, or is what the flag hands to
// objects of Flux v2, in which it stands in plain text.
func fillsOpenly(flag string, f filling) bool {
	if f.secret {
		return false
	}
	_, noBool := strconv.ParseBool(f.text)
	_, noDuration := time.ParseDuration(f.text)
	return noBool == nil || noDuration == nil || harmless.MatchString(f.text) || flux1.HandedOn(flag)
}

// aroundCredentials splits an argument at the credentials in a Git URL; of every other one
// all is after them.
func aroundCredentials(a *Argument) (before, credentials, after string) {
	text := string(a.Text)
	scheme, rest, ok := strings.Cut(text, "://")
	if a.Flag != "git-url" || !ok {
		return "", "", text
	}
	info, _, _ := migrate.SplitAuthority(rest)
	return scheme + "://", info, strings.TrimPrefix(rest, info)
}

// usedBy are the flags of the arguments that refer to a variable, whose name fits, also by
// way of others; credential is true if one does where the Git URL has its credentials. An
// argument that is no flag of fluxd has the empty name.
func (d *decoder) usedBy(fits func(name string) bool) (flags []string, credential bool) {
	var uses func(text string, seen []string) bool
	uses = func(text string, seen []string) bool {
		return slices.ContainsFunc(flux1.Symbols(text), func(name string) bool {
			switch {
			case fits(name):
				return true
			case slices.Contains(seen, name):
				return false
			}
			seen = append(seen, name)
			return slices.ContainsFunc(d.out.Env, func(v Variable) bool { return v.Name == name && uses(string(v.Value), seen) })
		})
	}
	for i := range d.out.Args {
		a := d.out.Args[i]
		if a.Text = a.Written; !strings.Contains(string(a.Text), "$(") || !uses(string(a.Text), nil) {
			continue
		}
		if !slices.Contains(flags, a.Flag) {
			flags = append(flags, a.Flag)
		}
		_, credentials, _ := aroundCredentials(&a)
		credential = credential || uses(credentials, nil)
	}
	return flags, credential
}

// fateOfUsed is that of a variable to which arguments refer: that of their flags.
func (d *decoder) fateOfUsed(flags []string, credential bool) (fate migrate.Fate, to, why string) {
	if credential {
		return migrate.Carried, "GitRepository.spec.secretRef", "stands in the URL"
	}
	var words []string
	fate = migrate.Dropped
	for _, flag := range flags {
		switch s, known := d.flags[flag]; {
		case flag == "":
			words = append(words, "an argument that is no flag of fluxd")
			fate = migrate.Carried
		default:
			words = append(words, "--"+flag)
			if !known || s.Fate != migrate.Dropped {
				fate = migrate.Carried
			}
		}
	}
	why = "is filled in for " + strings.Join(words, ", ")
	if fate == migrate.Dropped {
		return fate, "", why + ", which nothing takes the place of"
	}
	return fate, "the settings whose arguments refer to it", why
}
