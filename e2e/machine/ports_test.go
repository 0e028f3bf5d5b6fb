package machine

import (
	"net"
	"testing"
)

func TestAPortThatIsGivenIsNotGivenTwice(t *testing.T) {
	taken := map[string]bool{}
	for range 50 {
		l, err := Listen()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		free, err := FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		if taken[l.Addr().String()] || taken[free] {
			t.Errorf("%s or %s is listened on", l.Addr(), free)
		}
		taken[l.Addr().String()] = true
		again, err := net.Listen("tcp", free)
		if err != nil {
			t.Fatalf("nobody can listen on %s: %v", free, err)
		}
		again.Close()
		if port := l.Addr().(*net.TCPAddr).Port; port < firstPort || port >= 32768 {
			t.Errorf("port %d is one that the kernel gives to anybody", port)
		}
	}
}
