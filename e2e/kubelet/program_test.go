package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// programImage is the image under which this test binary runs as a Pod.
const programImage = "example/program:1"

// shellImage runs the machine's shell.
const shellImage = "example/shell:1"

// programMark in the environment makes the test binary run as the program.
const programMark = "KUBELET_TEST_PROGRAM"

// dump is what the program tells about itself.
type dump struct {
	Args, Env []string
	Dir       string
	Pid       int
}

// program is a small server. Flags: --listen=ADDR; --exit=CODE ends at once;
// --on-term=ignore ignores SIGTERM; --on-term=work=DURATION goes on writing the
// ConfigMap "work" of its namespace that long after SIGTERM; --burn=DURATION uses
// that much CPU time first; --write=FILE writes a file and ends.
func program(args []string) int {
	flag := func(name string) string {
		for _, arg := range args {
			if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
				return value
			}
		}
		return ""
	}
	fmt.Println("program starts")
	if path := flag("write"); path != "" {
		if err := os.WriteFile(path, []byte("written"), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	if burn := flag("burn"); burn != "" {
		limit, err := time.ParseDuration(burn)
		if err != nil {
			return 64
		}
		for used := time.Duration(0); used < limit; {
			var usage syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
				return 1
			}
			used = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		}
	}
	if exit := flag("exit"); exit != "" {
		var code int
		if _, err := fmt.Sscan(exit, &code); err != nil {
			return 64
		}
		return code
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	http.HandleFunc("/dump", func(w http.ResponseWriter, _ *http.Request) {
		dir, err := os.Getwd()
		if err == nil {
			err = json.NewEncoder(w).Encode(dump{args, os.Environ(), dir, os.Getpid()})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	http.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, r.URL.Query().Get("path")) })
	failed := make(chan error, 1)
	go func() { failed <- http.ListenAndServe(flag("listen"), nil) }()
	for {
		select {
		case err := <-failed:
			fmt.Fprintln(os.Stderr, err)
			return 1
		case <-term:
		}
		work, works := strings.CutPrefix(flag("on-term"), "work=")
		if works {
			if err := workOn(work); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		if flag("on-term") != "ignore" {
			fmt.Println("program ends")
			return 0
		}
	}
}

// workOn writes to the ConfigMap "work" with the Pod's own credentials.
func workOn(limit string) error {
	lasts, err := time.ParseDuration(limit)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lasts)
	defer cancel()
	for i := 0; ctx.Err() == nil; i++ {
		patch := fmt.Sprintf(`{"data":{"n":"%d"}}`, i)
		if _, err := client.CoreV1().ConfigMaps(os.Getenv("NAMESPACE")).Patch(ctx, "work", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
