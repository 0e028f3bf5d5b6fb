package kubelet

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// firstProbes is how often a container that was not ready yet is probed: more
// often than its period, so that tests need not wait for it.
const firstProbes = 250 * time.Millisecond

// probeClient connects afresh each time, does not verify certificates and does
// not follow redirects to other places, as a kubelet's probe.
var probeClient = &http.Client{
	Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a probe asks whether it answers, not who
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// probed reports whether a probe is one that is run here: httpGet and
// tcpSocket. A container with any other probe is ready when it runs.
func probed(probe *corev1.Probe) bool {
	return probe != nil && (probe.HTTPGet != nil || probe.TCPSocket != nil)
}

// watchReadiness probes until ctx ends and tells each change of readiness.
func watchReadiness(ctx context.Context, ip string, c *corev1.Container, told func(ready bool)) {
	probe := c.ReadinessProbe
	period := seconds(probe.PeriodSeconds, 10)
	wait := time.NewTimer(seconds(probe.InitialDelaySeconds, 0))
	defer wait.Stop()
	ready, everReady := false, false
	var good, bad int32
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		if probeOnce(ctx, ip, c, probe) == nil {
			good, bad = good+1, 0
		} else {
			good, bad = 0, bad+1
		}
		if ctx.Err() != nil {
			return
		}
		if !ready && good >= max(1, probe.SuccessThreshold) {
			ready, everReady = true, true
			told(true)
		} else if threshold := probe.FailureThreshold; ready && bad >= max(1, threshold) {
			ready = false
			told(false)
		}
		if everReady {
			wait.Reset(period)
		} else {
			wait.Reset(min(period, firstProbes))
		}
	}
}

func probeOnce(ctx context.Context, ip string, c *corev1.Container, probe *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, seconds(probe.TimeoutSeconds, 1))
	defer cancel()
	if tcp := probe.TCPSocket; tcp != nil {
		port, err := probePort(c, tcp.Port)
		if err != nil {
			return err
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(orElse(tcp.Host, ip), port))
		if err != nil {
			return err
		}
		return conn.Close()
	}
	get := probe.HTTPGet
	port, err := probePort(c, get.Port)
	if err != nil {
		return err
	}
	path, query, _ := strings.Cut(get.Path, "?")
	target := url.URL{
		Scheme: strings.ToLower(orElse(string(get.Scheme), "http")),
		Host:   net.JoinHostPort(orElse(get.Host, ip), port),
		Path:   path, RawQuery: query,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "kube-probe/lab")
	for _, header := range get.HTTPHeaders {
		request.Header.Add(header.Name, header.Value)
	}
	response, err := probeClient.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("probe %s: %s", target.Redacted(), response.Status)
	}
	return nil
}

// probePort resolves a port, which may be named, to digits.
func probePort(c *corev1.Container, port intstr.IntOrString) (string, error) {
	if port.Type == intstr.Int {
		return strconv.Itoa(int(port.IntVal)), nil
	}
	for _, named := range c.Ports {
		if named.Name == port.StrVal {
			return strconv.Itoa(int(named.ContainerPort)), nil
		}
	}
	if _, err := strconv.Atoi(port.StrVal); err == nil {
		return port.StrVal, nil
	}
	return "", fmt.Errorf("probe: container %s has no port named %q", c.Name, port.StrVal)
}

func seconds(n, unset int32) time.Duration {
	if n == 0 {
		n = unset
	}
	return time.Duration(n) * time.Second
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
