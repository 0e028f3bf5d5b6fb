package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubectl runs the real kubectl (reference 2.5).
type kubectl struct {
	path string
	// connect is how the API server is found; no token is ever an argument.
	connect []string
	env     []string
}

// newKubectl finds kubectl and, in a pod, writes a kubeconfig into dir that
// names the token's file. It names no namespace: every object carries its own.
func newKubectl(set *settings, root podRoot, dir string) (*kubectl, error) {
	path := set.kubectl
	if path == "" {
		found, err := exec.LookPath("kubectl")
		if err != nil {
			return nil, fmt.Errorf("find kubectl: %w", err)
		}
		path = found
	} else if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("find kubectl: %w", err)
	}
	k := &kubectl{path: path, env: append(os.Environ(), "HOME="+root.home())}

	config, inCluster, err := restConfig(set, root)
	if err != nil {
		return nil, err
	}
	if !inCluster {
		k.connect = []string{"--kubeconfig=" + kubeConfigByHand(set, root)}
		return k, nil
	}
	access := clientcmdapi.NewConfig()
	access.AuthInfos["fluxd"] = &clientcmdapi.AuthInfo{TokenFile: config.BearerTokenFile}
	access.Contexts["fluxd"] = &clientcmdapi.Context{AuthInfo: "fluxd"}
	access.CurrentContext = "fluxd"
	file := filepath.Join(dir, "kubectl-access")
	if err := clientcmd.WriteToFile(*access, file); err != nil {
		return nil, fmt.Errorf("write kubectl's access: %w", err)
	}
	k.connect = []string{
		"--kubeconfig=" + file,
		"--server=" + config.Host,
		"--certificate-authority=" + config.CAFile,
	}
	return k, nil
}

// mergedByOpenAPI finds documents of built-in kinds of which kubectl has no type
// (kubectl: pkg/scheme has the groups of k8s.io/api and no others): without the
// server's OpenAPI it would replace their lists, finalizers for one, and not
// merge them. Documents are encoded anew before, so keys stand as searched for.
var mergedByOpenAPI = regexp.MustCompile(`(?m)^apiVersion: "?(apiextensions|apiregistration)\.k8s\.io/`)

// run gives documents to "kubectl <verb> -f -". It is not ended by the sync's
// limit, nor by a stop of the daemon.
func (k *kubectl) run(log *logger, verb string, documents []byte) error {
	args := append(append([]string(nil), k.connect...), verb, "-f", "-")
	if verb == "apply" && !mergedByOpenAPI.Match(documents) {
		// The merge keys of built-in kinds are those of its own types, of which
		// the server's OpenAPI is made too; custom kinds are merged without any.
		// Reading the OpenAPI of each group at each sync takes two thirds of
		// the time.
		args = append(args, "--openapi-patch=false")
	}
	cmd := exec.Command(k.path, args...)
	cmd.Env = k.env
	cmd.Stdin = bytes.NewReader(documents)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	dieWithParent(cmd)
	started := time.Now()
	err := cmd.Run()
	var reported any
	if err != nil {
		err = fmt.Errorf("running kubectl: %w, stderr: %s", err, strings.TrimSpace(stderr.String()))
		reported = err
	}
	log.line("cmd", "kubectl "+verb+" -f -", "took", time.Since(started), "err", reported,
		"output", strings.TrimSpace(stdout.String()))
	return err
}

// objectError is one object that kubectl refused.
type objectError struct {
	id     identity
	source string
	err    error
}

// objectErrors are all objects of one sync that kubectl refused.
type objectErrors []objectError

func (e objectErrors) Error() string {
	var parts []string
	for _, one := range e {
		parts = append(parts, fmt.Sprintf("%s: %v", one.id, one.err))
	}
	return strings.Join(parts, "; ")
}

// apply gives the changes, in their order, to one kubectl; if that fails, each
// to one of its own, so that the good ones get in. Objects in failedBefore go
// alone from the start, and first.
func (k *kubectl) apply(log *logger, verb string, changes []change, failedBefore map[identity]bool) objectErrors {
	if len(changes) == 0 {
		return nil
	}
	log.line("cmd", verb, "args", "", "count", len(changes))
	var together, alone []change
	for _, c := range changes {
		if failedBefore[c.id] {
			alone = append(alone, c)
		} else {
			together = append(together, c)
		}
	}
	if len(together) > 0 {
		var stream bytes.Buffer
		for _, c := range together {
			appendDocument(&stream, c.document)
		}
		if err := k.run(log, verb, stream.Bytes()); err != nil {
			alone = append(alone, together...)
		}
	}
	var failed objectErrors
	for _, c := range alone {
		if err := k.run(log, verb, c.document); err != nil {
			failed = append(failed, objectError{id: c.id, source: c.source, err: err})
		}
	}
	return failed
}
