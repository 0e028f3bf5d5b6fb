package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/fluxover/fluxover/e2e/machine"
)

// portSet is where the parts listen, kept in Dir over restarts.
type portSet struct {
	APIServer         int `json:"apiServer"`
	ControllerManager int `json:"controllerManager"`
	EtcdClient        int `json:"etcdClient"`
	EtcdPeer          int `json:"etcdPeer"`
}

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
	for _, port := range []*int{&ports.APIServer, &ports.ControllerManager, &ports.EtcdClient, &ports.EtcdPeer} {
		l, err := machine.Listen()
		if err != nil {
			return ports, err
		}
		defer func() { _ = l.Close() }() // once all are chosen
		*port = l.Addr().(*net.TCPAddr).Port
	}
	if content, err = json.Marshal(ports); err != nil {
		return ports, err
	}
	return ports, writeWhole(path, content)
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
