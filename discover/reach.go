package discover

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

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
	name, _, err := a.env.proxy(ctx, to)
	if err != nil || name == "" {
		return err
	}
	value, set, err := a.env.fill(ctx, "$("+name+")")
	if err != nil || !set {
		return err
	}
	config := httpproxy.Config{HTTPProxy: value, HTTPSProxy: value}
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
	files, _, err := a.env.trusted(ctx)
	if err != nil && !errors.Is(err, errUnreadable) {
		return nil, err
	}
	var out []byte
	for _, file := range files {
		content, _, found, err := a.env.file(ctx, file, unknownCA)
		if err != nil && !errors.Is(err, errUnreadable) {
			return nil, err
		}
		if found && strings.Contains(string(content), "-----BEGIN CERTIFICATE-----") {
			out = append(append(out, content...), '\n')
		}
	}
	return out, nil
}
