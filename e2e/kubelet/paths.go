package kubelet

import (
	"path/filepath"
	"regexp"
	"strings"
)

// rewritePath returns value with a container path below one of the mount paths
// replaced by the path below the Pod's root; other values come back unchanged.
func rewritePath(value, root string, mounts []string) string {
	for _, mount := range mounts {
		mount = strings.TrimSuffix(mount, "/")
		if mount != "" && (value == mount || strings.HasPrefix(value, mount+"/")) {
			return filepath.Join(root, mount) + value[len(mount):]
		}
	}
	return value
}

var portOnly = regexp.MustCompile(`^:[0-9]+$`)

// rewriteArg does for one argument, /path or --flag=/path, what rewritePath does,
// and turns an address without host, :3030 or --listen=:3030, into one of the
// Pod's own: all Pods share one machine.
func rewriteArg(arg, root, ip string, mounts []string) string {
	flag, value := "", arg
	if i := strings.IndexByte(arg, '='); i > 0 && arg[0] == '-' {
		flag, value = arg[:i+1], arg[i+1:]
	}
	if portOnly.MatchString(value) {
		return flag + ip + value
	}
	return flag + rewritePath(value, root, mounts)
}
