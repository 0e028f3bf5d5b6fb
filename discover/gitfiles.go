package discover

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
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

// kubeconfigIn is the file that KUBECONFIG names; empty if it names none, or that is
// not known.
func kubeconfigIn(c *corev1.Container) string {
	for _, v := range slices.Backward(c.Env) {
		if v.Name != "KUBECONFIG" {
			continue
		}
		if v.ValueFrom != nil || knownText(v.Value) == "" || len(flux1.Symbols(v.Value)) > 0 {
			return ""
		}
		return path.Clean(v.Value)
	}
	return ""
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

// netrcLogin is the login that git takes out of a .netrc for its server. Its place is
// for people, and empty if no .netrc is mounted.
type netrcLogin struct {
	*migrate.Login // nil if there is none
	place          string
	// secret is where the .netrc stands, if that is a Secret, and alone is true if it
	// has this login for the host whoever is asked for.
	secret *migrate.SecretKey
	alone  bool
}

// netrc reads the login for a URL without a password from the .netrc of the agent's
// home folder, for use and not for keeping. A file that may not be read, or that the
// API does not tell, is errUnreadable.
func (e *environment) netrc(ctx context.Context, bare, user string) (netrcLogin, error) {
	u, err := url.Parse(bare)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return netrcLogin{}, nil
	}
	home, err := e.home(ctx)
	if err != nil || home == "" {
		return netrcLogin{}, err // a finding says that it is not known
	}
	file := path.Join(home, netrcName)
	for i, m := range e.container.VolumeMounts {
		if !bringsFile(e.pod, e.container, i, file) {
			continue
		}
		if volume, _, _ := e.mount(file); volume == nil || opaque(volume) {
			return netrcLogin{place: "volume " + m.Name}, errUnreadable
		}
		content, value, place, err := e.read(ctx, file, "whether a .netrc holds the password of the Git server")
		found := netrcLogin{place: place}
		if err != nil || value == nil {
			return found, err
		}
		found.secret, found.Login = value.Secret, migrate.NetrcLogin(string(content), u.Hostname(), user)
		first := migrate.NetrcLogin(string(content), u.Hostname(), "")
		found.alone = found.Login != nil && *found.Login == *first
		return found, nil
	}
	return netrcLogin{}, nil
}

// netrcWhy is what the ledger says of a .netrc until it was read.
const netrcWhy = "git looks in a .netrc there for a password of its server that the URL lacks"

// readNetrc finds whether git takes the password of the agent's server out of a
// .netrc: carried is true if its login can be copied from there. The .netrc as a whole
// never is. known is false if the URL has a user of which nothing is known.
func (w *witness) readNetrc(ctx context.Context, a *agent, bare, user string, known bool) (carried bool, err error) {
	found, err := a.env.netrc(ctx, bare, user)
	place := found.place
	settle := func(fate migrate.Fate, to, why string) {
		for i := range a.Settings {
			if s := &a.Settings[i]; s.Why == netrcWhy {
				s.Fate, s.To, s.Why = fate, to, why
			}
		}
	}
	code, says := CredentialPlace, ""
	switch {
	case errors.Is(err, errUnreadable) && a.env.declared:
		code, says = CredentialInCluster, "whether git takes the password for its server from a .netrc is not known: "+place+" is not at hand"
		place = a.where("volumeMounts")
	case errors.Is(err, errUnreadable) && strings.HasPrefix(place, "volume "):
		says = fmt.Sprintf("git may take the password for its server from a .netrc: %s, in which it would stand, cannot be read", place)
	case errors.Is(err, errUnreadable): // reported as a missing right
	case err != nil:
		return false, err
	case found.Login == nil:
		settle(migrate.Dropped, "", "it is a .netrc, and has no password for the agent's server")
		return false, nil
	case found.secret == nil:
		says = "git takes the password for its server from a .netrc outside of a Secret (" + place + ")"
	case found.User == "":
		says = "git takes the password for its server from a .netrc that names no user for it (" + place + "), which Flux v2 needs"
	case !found.alone || !known:
		says = "git takes the password for its server from a .netrc (" + place + ") that may have another user for it as well"
	default:
		u, _ := url.Parse(bare) // which netrc has parsed
		value := migrate.Value{Secret: found.secret, Netrc: u.Hostname()}
		a.Credential = migrate.AgentCredential{Kind: "basic", Username: value, Password: value, CA: a.Credential.CA, Proxy: a.Credential.Proxy}
		settle(migrate.Carried, "GitRepository.spec.secretRef", "it is a .netrc, of which the login for the agent's server is copied")
		return true, nil
	}
	a.Credential.Kind = "basic"
	settle(migrate.Unknown, migrate.ByFinding, netrcWhy)
	if says != "" {
		w.find(code.Finding(a.ID, place, says))
	}
	return false, nil
}
