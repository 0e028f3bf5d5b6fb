package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
)

// portSet is where the parts listen, kept in Dir over restarts.
type portSet struct {
	APIServer         int `json:"apiServer"`
	ControllerManager int `json:"controllerManager"`
	EtcdClient        int `json:"etcdClient"`
	EtcdPeer          int `json:"etcdPeer"`
}

// Ports are chosen below the range from which the kernel takes those of
// outgoing connections (32768 up, on Linux), so that none of these gets in the way
// between choosing and listening.
const firstPort, lastPort = 20000, 32000

// choosePorts returns the ports written in path if all are free, else new ones,
// which it writes there.
func choosePorts(path string) (portSet, error) {
	var ports portSet
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return ports, fmt.Errorf("read ports: %w", err)
	}
	if err == nil {
		if err := json.Unmarshal(content, &ports); err != nil {
			return ports, fmt.Errorf("read ports %s: %w: remove the file to choose new ones", path, err)
		}
		if portFree(ports.APIServer) && portFree(ports.ControllerManager) && portFree(ports.EtcdClient) && portFree(ports.EtcdPeer) {
			return ports, nil
		}
	}
	chosen := map[int]bool{}
	for _, port := range []*int{&ports.APIServer, &ports.ControllerManager, &ports.EtcdClient, &ports.EtcdPeer} {
		if *port, err = freePort(chosen); err != nil {
			return ports, err
		}
	}
	if content, err = json.Marshal(ports); err != nil {
		return ports, err
	}
	return ports, writeWhole(path, content)
}

// freePort returns a port nobody listens on that is not in chosen, and adds it.
func freePort(chosen map[int]bool) (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if !chosen[port] && portFree(port) {
			chosen[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("choose a port: none between %d and %d is free", firstPort, lastPort)
}

func portFree(port int) bool {
	if port == 0 {
		return false
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
