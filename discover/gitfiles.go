package discover

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate/flux1"
	corev1 "k8s.io/api/core/v1"
)

// netrcName is the file of the home folder in which the curl of fluxd's git looks
// for the password of a server whose URL has none (git: http.c, CURLOPT_NETRC;
// curl: lib/netrc.c).
const netrcName = ".netrc"

// gitConfigs are the files that git takes its configuration from; home is empty if
// it is not known. It is not given XDG_CONFIG_HOME, GIT_CONFIG_GLOBAL or their like
// (flux: pkg/git/operations.go, allowedEnvVars).
func gitConfigs(home string) []string {
	if home == "" {
		return []string{"/etc/gitconfig"}
	}
	return []string{"/etc/gitconfig", path.Join(home, ".gitconfig"), path.Join(home, ".config/git/config")}
}

// homeIn is the home folder of the git of a container; empty if that is not known.
func homeIn(c *corev1.Container) string {
	if flux1.GitSees(c.Image, "HOME") {
		for _, v := range slices.Backward(c.Env) {
			switch {
			case v.Name != "HOME":
			case v.ValueFrom == nil && v.Value == "": // the runtime sets it
				return imageHome
			case v.ValueFrom != nil || knownText(v.Value) == "" || len(flux1.Symbols(v.Value)) > 0:
				return ""
			default:
				return path.Clean(v.Value)
			}
		}
	}
	return imageHome
}

// bringsFile reports whether one of the files is in what the container's mount i
// brings, or may be.
func bringsFile(pod *corev1.PodSpec, container *corev1.Container, i int, files ...string) bool {
	at := path.Clean(container.VolumeMounts[i].MountPath)
	return slices.ContainsFunc(files, func(file string) bool {
		if !isBelow(file, at) {
			return at == file
		}
		volume, mount, rest := (&environment{pod: pod, container: container}).mount(file)
		switch {
		case volume == nil:
			return true // of which nothing is known
		case mount != &container.VolumeMounts[i]:
			return false // another lies over it
		case opaque(volume):
			return !isEmpty(pod, container, volume)
		}
		return slices.ContainsFunc(provided(volume), func(p corev1.VolumeProjection) bool {
			var items []corev1.KeyToPath
			switch {
			case p.ConfigMap != nil:
				items = p.ConfigMap.Items
			case p.Secret != nil:
				items = p.Secret.Items
			default:
				return false
			}
			_, has := keyAt(items, rest)
			return has && (len(items) > 0 || !strings.Contains(rest, "/")) // a key is no path
		})
	})
}

// isEmpty reports whether a volume is an emptyDir that nothing else in the pod fills.
func isEmpty(pod *corev1.PodSpec, container *corev1.Container, volume *corev1.Volume) bool {
	return volume.EmptyDir != nil && !slices.ContainsFunc(slices.Concat(pod.InitContainers, pod.Containers), func(c corev1.Container) bool {
		return c.Name != container.Name && slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume.Name })
	})
}

// home is the home folder of the agent's git; empty if that is not known.
func (e *environment) home(ctx context.Context) (string, error) {
	if !flux1.GitSees(e.container.Image, "HOME") {
		return imageHome, nil
	}
	return e.homeOfPod(ctx)
}

// homeOfPod is the home folder of the agent's container; empty if that is not known. A
// source of envFrom that cannot be read, which has been reported, is not taken to set it.
func (e *environment) homeOfPod(ctx context.Context) (string, error) {
	v, err := e.look(ctx, "HOME")
	switch {
	case err != nil:
		return "", err
	case v == nil, v.assumed, v.unknown != "" && len(e.entries["HOME"]) == 0, v.plain && v.value == "": // which the runtime sets
		return imageHome, nil
	case !v.plain:
		return "", nil
	}
	return path.Clean(v.value), nil
}

// login is what a .netrc says of a server.
type login struct{ user, password string }

// netrc reads the login for a URL without a password from the .netrc of the agent's
// home folder, for use and not for keeping; nil if there is none. The place is for
// people, and empty if no .netrc is mounted. A file that may not be read, or that
// the API does not tell, is errUnreadable.
func (e *environment) netrc(ctx context.Context, bare, user string) (found *login, place string, err error) {
	u, err := url.Parse(bare)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, "", nil
	}
	home, err := e.home(ctx)
	if err != nil || home == "" {
		return nil, "", err // a finding says that it is not known
	}
	file := path.Join(home, netrcName)
	for i, m := range e.container.VolumeMounts {
		if !bringsFile(e.pod, e.container, i, file) {
			continue
		}
		if volume, _, _ := e.mount(file); volume == nil || opaque(volume) {
			return nil, "volume " + m.Name, errUnreadable
		}
		return e.netrcIn(ctx, file, u.Hostname(), user)
	}
	return nil, "", nil
}

func (e *environment) netrcIn(ctx context.Context, file, host, user string) (found *login, place string, err error) {
	content, place, there, err := e.file(ctx, file, "whether a .netrc holds the password of the Git server")
	if err != nil || !there {
		return nil, place, err
	}
	return loginFor(string(content), host, user), place, nil
}

// loginFor finds what a .netrc says of a host, to which a user of the URL must
// belong (curl: lib/netrc.c).
func loginFor(netrc, host, user string) *login {
	var found *login
	words := strings.Fields(netrc)
	for i := 0; i < len(words); i++ {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch words[i] {
		case "machine", "default":
			if found != nil && found.password != "" && (user == "" || found.user == user) {
				return found
			}
			if found = nil; words[i] == "default" || strings.EqualFold(next, host) {
				found = &login{}
			}
			if words[i] == "default" {
				continue
			}
		case "login":
			if found != nil {
				found.user = next
			}
		case "password":
			if found != nil {
				found.password = next
			}
		default:
			continue
		}
		i++
	}
	if found == nil || found.password == "" || user != "" && found.user != user {
		return nil
	}
	return found
}

// readNetrc finds whether git takes the password of the agent's server out of a
// .netrc, of which no part can be copied by itself.
func (w *witness) readNetrc(ctx context.Context, a *agent, bare, user string) error {
	found, place, err := a.env.netrc(ctx, bare, user)
	code, says := CredentialPlace, "git takes the password for its server from a .netrc ("+place+")"
	switch {
	case errors.Is(err, errUnreadable) && a.env.declared:
		code, says = CredentialInCluster, "whether git takes the password for its server from a .netrc is not known: "+place+" is not at hand"
		place = a.where("volumeMounts")
	case errors.Is(err, errUnreadable) && strings.HasPrefix(place, "volume "):
		says = fmt.Sprintf("git may take the password for its server from a .netrc: %s, in which it would stand, cannot be read", place)
	case errors.Is(err, errUnreadable):
		says = "" // reported as a missing right
	case err != nil:
		return err
	case found == nil:
		return nil
	}
	a.Credential.Kind = "basic"
	if says != "" {
		w.find(code.Finding(a.ID, place, says))
	}
	return nil
}
