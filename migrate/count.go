package migrate

import (
	"strconv"
	"strings"
)

// Count is so many of something in words: "1 repository", "2 repositories".
func Count(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case strings.HasSuffix(word, "y"):
		word = strings.TrimSuffix(word, "y") + "ie"
	}
	return strconv.Itoa(n) + " " + word + "s"
}
