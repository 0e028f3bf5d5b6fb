package gitserver

import "testing"

func TestScannerFindsMarksSplitOverWrites(t *testing.T) {
	const text = "unpaunpack okunpack ok unpack o"
	for size := 1; size <= len(text); size++ {
		found := 0
		watch := &scanner{mark: markPushTaken, seen: func() { found++ }}
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if _, err := watch.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if found != 2 {
			t.Errorf("in writes of %d bytes found %d marks, want 2", size, found)
		}
	}
}
