package machine

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are chosen below the range from which the kernel takes those of outgoing
// connections and of listeners that name none (32768 up, on Linux), so that none of
// these gets in the way between choosing and listening, or while what listened is
// started again.
const firstPort, lastPort = 20000, 32000

// Listen listens on 127.0.0.1, on a port that is taken again only by who asks for it
// by number.
func Listen() (net.Listener, error) {
	for range 1000 {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("choose a port: none between %d and %d is free", firstPort, lastPort)
}

// FreeAddress is one that a program may be told to listen on: nobody does.
func FreeAddress() (string, error) {
	l, err := Listen()
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
