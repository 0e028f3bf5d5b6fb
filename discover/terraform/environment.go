package terraform

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// Environment reports whether a variable of the environment changes what a
// configuration declares, or where Terraform keeps what it has installed.
func Environment(name string) bool {
	return strings.HasPrefix(name, "TF_VAR_") || slices.Contains([]string{"TF_WORKSPACE", "TF_DATA_DIR", "TF_CLI_ARGS", "TF_CLI_ARGS_plan", "TF_CLI_ARGS_apply"}, name)
}

// environmentArguments are -var and -var-file of TF_CLI_ARGS and its like, in the order
// in which Terraform puts them before those of the command line: those of one command
// first. Which command it is to be is not known: an error where that matters, or where
// they cannot be read. (terraform 1.11.4, tried)
func environmentArguments(env map[string]string) ([]Argument, error) {
	plan, err := argumentsOf(env, "TF_CLI_ARGS_plan")
	apply, errApply := argumentsOf(env, "TF_CLI_ARGS_apply")
	all, errAll := argumentsOf(env, "TF_CLI_ARGS")
	if err := errors.Join(err, errApply, errAll); err != nil {
		return nil, err
	}
	switch {
	case len(plan) == 0:
		plan = apply
	case len(apply) > 0 && !slices.Equal(plan, apply):
		return nil, errors.New("TF_CLI_ARGS_plan and TF_CLI_ARGS_apply give other variables")
	}
	return append(plan, all...), nil
}

// argumentsOf are -var and -var-file of one variable of the environment.
func argumentsOf(env map[string]string, name string) ([]Argument, error) {
	words, ok := split(env[name])
	if !ok {
		return nil, errors.New(name + " cannot be read")
	}
	var out []Argument
	for len(words) > 0 {
		flag, value, given := strings.Cut(words[0], "=")
		words = words[1:]
		if flag = strings.TrimPrefix(strings.TrimPrefix(flag, "-"), "-"); flag != "var" && flag != "var-file" {
			continue
		}
		if !given {
			if len(words) == 0 {
				return nil, errors.New(name + " ends with -" + flag)
			}
			value, words = words[0], words[1:]
		}
		a := Argument{File: value}
		if flag == "var" {
			if a.Name, a.Value, given = strings.Cut(value, "="); !given {
				return nil, errors.New(name + " gives a variable no value")
			}
			a.File = ""
		}
		out = append(out, a)
	}
	return out, nil
}

// split is a line in words, as Terraform splits TF_CLI_ARGS (mattn/go-shellwords);
// false where it refuses, or a substitution stands in it.
func split(line string) ([]string, bool) {
	var words []string
	var word strings.Builder
	var quote rune
	escaped, some := false, false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped, some = false, true
		case r == '\\' && quote != '\'':
			escaped = true
		case quote == 0 && strings.ContainsRune(" \t\r\n", r):
			if some {
				words = append(words, word.String())
			}
			word.Reset()
			some = false
		case r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, some = r, true
		case quote == 0 && strings.ContainsRune("`()", r):
			return nil, false
		case quote == 0 && strings.ContainsRune(";&|<>", r):
			if some {
				words = append(words, word.String())
			}
			return words, true
		default:
			word.WriteRune(r)
			some = true
		}
	}
	if some {
		words = append(words, word.String())
	}
	return words, !escaped && quote == 0
}

// dataFile reads a file of the folder in which Terraform keeps what it has installed
// and selected, and gives its name.
func (l *loader) dataFile(names ...string) (name string, data []byte, err error) {
	name = path.Join(append([]string{l.argumentFile(l.dataDir)}, names...)...)
	data, err = l.readAnywhere(name)
	return name, data, err
}
