package discover

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/source"
	"golang.org/x/net/http/httpproxy"
)

// reach fills in how an agent's pod gets to its HTTP server beside URL and
// credential: the certificates it is given and the proxy it is told to use. A
// proxy of our own environment counts before the agent's.
func (a *agent) reach(ctx context.Context, to string, auth *source.Auth) error {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil // ssh knows neither; that the URL is bad was reported
	}
	if auth.CAFile, err = a.certificates(ctx); err != nil {
		return err
	}
	if own, err := http.ProxyFromEnvironment(&http.Request{URL: u}); own != nil || err != nil {
		return nil
	}
	// libcurl takes http_proxy in small letters alone, and the others in both.
	var config httpproxy.Config
	for _, v := range []struct {
		to    *string
		names []string
	}{
		{&config.HTTPProxy, []string{"http_proxy", "all_proxy", "ALL_PROXY"}},
		{&config.HTTPSProxy, []string{"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}},
		{&config.NoProxy, []string{"no_proxy", "NO_PROXY"}},
	} {
		for _, name := range v.names {
			if *v.to != "" {
				break
			}
			value, set, err := a.env.fill(ctx, "$("+name+")")
			if err != nil {
				return err
			}
			if set {
				*v.to = value
			}
		}
	}
	proxy, err := config.ProxyFunc()(u)
	if err != nil || proxy == nil {
		return nil // what is no URL is no proxy to libcurl either
	}
	auth.ProxyUsername = proxy.User.Username()
	auth.ProxyPassword, _ = proxy.User.Password()
	proxy.User = nil
	auth.ProxyURL = proxy.String()
	return nil
}

// certificates are those that the agent's pod is given to trust.
func (a *agent) certificates(ctx context.Context) ([]byte, error) {
	const unknown = "the certificates that the agent trusts"
	var files []string
	for _, name := range flux1.CAVariables {
		v, err := a.env.look(ctx, name)
		if err != nil {
			return nil, err
		}
		if v != nil && v.plain {
			files = []string{path.Clean(v.value)}
			break
		}
	}
	for _, m := range a.env.container.VolumeMounts {
		if !flux1.IsCAFolder(m.MountPath) {
			continue
		}
		names, err := a.env.filesOf(ctx, m, unknown)
		if err != nil && !errors.Is(err, errUnreadable) {
			return nil, err
		}
		files = append(files, names...)
	}
	var out []byte
	for _, file := range files {
		content, _, found, err := a.env.file(ctx, file, unknown)
		if err != nil && !errors.Is(err, errUnreadable) {
			return nil, err
		}
		if found && strings.Contains(string(content), "-----BEGIN CERTIFICATE-----") {
			out = append(append(out, content...), '\n')
		}
	}
	return out, nil
}
