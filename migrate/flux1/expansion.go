package flux1

import "strings"

// Known says what is known of a variable that an argument refers to.
type Known int

const (
	// NotKnown may be set, and to what is not known.
	NotKnown Known = iota
	// IsSet has a value that is known.
	IsSet
	// NotSet is a variable that the container does not have.
	NotSet
	// Refers is set to a value in the kubelet's syntax that refers to variables
	// which are not known.
	Refers
)

// MaxValue is how long a variable's value or an argument can be, in bytes: Linux
// starts no program with a longer one (linux: MAX_ARG_STRLEN, with the zero that
// ends it and, of a variable, its name).
const MaxValue = 128<<10 - 1

// Fill puts what is known of the variables into an argument, or into the value
// of a variable, as the kubelet does, and leaves it in the kubelet's syntax:
// references whose values are not known stay, and what came out of a variable,
// or refers to none that is set, is escaped, so that it is filled in no more
// (kubernetes: third_party/forked/golang/expansion). What would make the whole
// longer than [MaxValue] is taken for not known.
func Fill(text string, variable func(name string) (value string, known Known)) string {
	added := 0
	return walk(text, func(name string) string {
		value, known := variable(name)
		if known == IsSet || known == Refers {
			if added+len(value) > MaxValue {
				return "$(" + name + ")"
			}
			added += len(value)
		}
		switch known {
		case IsSet:
			return escaped(value)
		case NotSet:
			return escaped("$(" + name + ")")
		case Refers:
			return value
		}
		return "$(" + name + ")"
	}, "$$")
}

// Literal is the text that an argument in the kubelet's syntax stands for;
// references in it stay as they are.
func Literal(text string) string {
	return walk(text, func(name string) string { return "$(" + name + ")" }, "$")
}

// Symbols lists the variables that an argument refers to as $(VAR), in order.
func Symbols(arg string) []string {
	var names []string
	walk(arg, func(name string) string {
		names = append(names, name)
		return ""
	}, "")
	return names
}

func escaped(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// walk writes a text anew with what stands for each reference and for each
// escaped sign. Two signs are one that is escaped; a reference ends with the
// next bracket, whatever stands before it; every other sign is only that.
func walk(text string, reference func(name string) string, sign string) string {
	var out strings.Builder
	closed := true // a bracket may come that ends a reference
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:i])
		rest := text[i+1:]
		end := -1
		if closed && rest[0] == '(' {
			end = strings.IndexByte(rest, ')')
			closed = end >= 0
		}
		switch {
		case rest[0] == '$':
			out.WriteString(sign)
			text = rest[1:]
		case end > 0:
			out.WriteString(reference(rest[1:end]))
			text = rest[end+1:]
		default:
			out.WriteString(text[i : i+2])
			text = rest[1:]
		}
	}
}
