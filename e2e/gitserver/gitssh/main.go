// Gitssh is the part of an ssh client that git needs, for machines and Pods
// without one: name it in GIT_SSH_COMMAND or core.sshCommand. It logs in with
// one private key, checks the host key against known_hosts, runs one command
// and passes its input, output and exit status through.
//
// It takes the arguments git gives: -p PORT, -i KEY, -l USER, -F FILE,
// -o Key=Value, -G, [user@]host and the command. Of the settings it follows
// HostName, Port, User, IdentityFile, UserKnownHostsFile, StrictHostKeyChecking,
// SendEnv and ConnectTimeout, and Host blocks in a file; it fails on ProxyCommand
// and ProxyJump and ignores the rest. Without a setting the key comes from
// GIT_SSH_IDENTITY and the known_hosts file from GIT_SSH_KNOWN_HOSTS. It has no
// agent, no passwords, no passphrases and no terminal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

const (
	// exitFailed is what ssh clients exit with for a failure of their own.
	exitFailed = 255

	defaultConnectTimeout = 30 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gitssh: "+err.Error())
	}
	os.Exit(status)
}

// run does what the arguments say and returns the exit status.
func run(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	call, err := parseCall(args)
	if err != nil {
		return exitFailed, err
	}
	settings, err := call.resolve(env)
	if err != nil {
		return exitFailed, err
	}
	if call.printOnly {
		_, err := fmt.Fprintf(stdout, "user %s\nhostname %s\nport %d\n", settings.user, settings.host, settings.port)
		return 0, err
	}
	return connect(ctx, settings, call.command, env, stdin, stdout, stderr)
}

// call is the command line as given.
type call struct {
	host      string
	command   string
	options   []option // in order of precedence: the first that names a key holds
	files     []string
	printOnly bool
}

type option struct{ key, value string } // key in lower case

// parseCall reads arguments as ssh does; the first word that is no option is
// the host, the rest the command.
func parseCall(args []string) (call, error) {
	var c call
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if len(arg) < 2 || arg[0] != '-' {
			c.host = arg
			c.command = strings.Join(args[i+1:], " ")
			break
		}
		switch letter := arg[1]; letter {
		case 'p', 'i', 'l', 'F', 'o':
			value := arg[2:]
			if value == "" {
				i++
				if i == len(args) {
					return c, fmt.Errorf("option -%c needs a value", letter)
				}
				value = args[i]
			}
			switch letter {
			case 'F':
				c.files = append(c.files, value)
			case 'o':
				o, err := parseOption(value)
				if err != nil {
					return c, err
				}
				c.options = append(c.options, o)
			default:
				key := map[byte]string{'p': "port", 'i': "identityfile", 'l': "user"}[letter]
				c.options = append(c.options, option{key, value})
			}
		case 'G':
			c.printOnly = true
		case 'T', 'q', 'v', '4', '6', 'x', 'a', 'n', 'C':
		default:
			return c, fmt.Errorf("option %s is not supported", arg)
		}
	}
	if c.host == "" {
		return c, errors.New("no host given; usage: gitssh [-p PORT] [-i KEY] [-F FILE] [-o Key=Value] [user@]host command")
	}
	if user, host, found := strings.Cut(c.host, "@"); found {
		c.options = append(c.options, option{"user", user})
		c.host = host
	}
	return c, nil
}

// parseOption reads "Key=Value" or "Key Value".
func parseOption(text string) (option, error) {
	text = strings.TrimSpace(text)
	i := strings.IndexAny(text, "= \t")
	if i <= 0 {
		return option{}, fmt.Errorf("cannot read option %q; write Key=Value", text)
	}
	value := strings.Trim(strings.TrimLeft(text[i:], "= \t"), `"`)
	return option{strings.ToLower(text[:i]), value}, nil
}

// settings are what a connection needs.
type settings struct {
	host, user     string
	port           int
	identity       string
	knownHosts     []string
	checkHostKey   bool
	sendEnv        []string
	connectTimeout time.Duration
}

// resolve finds each setting: command line, then files in order, then defaults.
func (c call) resolve(env func(string) string) (settings, error) {
	options := c.options
	for _, file := range c.files {
		found, err := readConfig(file, c.host)
		if err != nil {
			return settings{}, err
		}
		options = append(options, found...)
	}
	first := func(key, otherwise string) string {
		for _, o := range options {
			if o.key == key {
				return o.value
			}
		}
		return otherwise
	}
	for _, refused := range []string{"proxycommand", "proxyjump"} {
		if value := first(refused, "none"); value != "none" {
			return settings{}, fmt.Errorf("%s is not supported", refused)
		}
	}
	s := settings{
		host:           first("hostname", c.host),
		user:           first("user", "git"),
		identity:       first("identityfile", env("GIT_SSH_IDENTITY")),
		knownHosts:     strings.Fields(first("userknownhostsfile", env("GIT_SSH_KNOWN_HOSTS"))),
		checkHostKey:   first("stricthostkeychecking", "yes") != "no",
		connectTimeout: defaultConnectTimeout,
	}
	var err error
	if s.port, err = strconv.Atoi(first("port", "22")); err != nil || s.port < 1 || s.port > 65535 {
		return s, fmt.Errorf("%q is no port", first("port", "22"))
	}
	if seconds := first("connecttimeout", ""); seconds != "" {
		n, err := strconv.Atoi(seconds)
		if err != nil || n < 1 {
			return s, fmt.Errorf("ConnectTimeout %q is no number of seconds", seconds)
		}
		s.connectTimeout = time.Duration(n) * time.Second
	}
	for _, o := range options {
		if o.key == "sendenv" {
			s.sendEnv = append(s.sendEnv, strings.Fields(o.value)...)
		}
	}
	return s, nil
}

// readConfig reads the settings of an ssh configuration file that hold for host.
func readConfig(file, host string) ([]option, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read ssh configuration: %w", err)
	}
	var found []option
	applies := true
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		o, err := parseOption(line)
		if err != nil {
			return nil, fmt.Errorf("read ssh configuration %s: %w", file, err)
		}
		switch {
		case o.key == "host":
			applies = matchesHost(host, strings.Fields(o.value))
		case o.key == "match":
			return nil, fmt.Errorf("read ssh configuration %s: Match is not supported", file)
		case applies:
			found = append(found, o)
		}
	}
	return found, nil
}

// matchesHost says whether one pattern matches and no negated one does.
func matchesHost(host string, patterns []string) bool {
	matched := false
	for _, pattern := range patterns {
		negated := strings.HasPrefix(pattern, "!")
		// A pattern that is not well formed matches nothing.
		if ok, _ := path.Match(strings.TrimPrefix(pattern, "!"), host); ok {
			if negated {
				return false
			}
			matched = true
		}
	}
	return matched
}

// connect logs in, runs the command and returns its exit status.
func connect(ctx context.Context, s settings, command string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	config, err := clientConfig(s)
	if err != nil {
		return exitFailed, err
	}
	address := net.JoinHostPort(s.host, strconv.Itoa(s.port))
	dialer := net.Dialer{Timeout: s.connectTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return exitFailed, fmt.Errorf("connect to %s: %w", address, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(s.connectTimeout)); err != nil {
		return exitFailed, fmt.Errorf("connect to %s: %w", address, err)
	}
	login, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		return exitFailed, fmt.Errorf("log in at %s: %w", address, errors.Join(err, conn.Close()))
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return exitFailed, fmt.Errorf("log in at %s: %w", address, err)
	}
	client := ssh.NewClient(login, channels, requests)
	defer func() { _ = client.Close() }() // the command's result is known by then
	session, err := client.NewSession()
	if err != nil {
		return exitFailed, fmt.Errorf("open session at %s: %w", address, err)
	}
	for _, name := range s.sendEnv {
		if value := env(name); value != "" {
			// A server may refuse variables; the command then runs without.
			_ = session.Setenv(name, value)
		}
	}
	session.Stdout, session.Stderr = stdout, stderr
	// A pipe, because the session would otherwise wait for stdin to end even
	// when the command is over.
	input, err := session.StdinPipe()
	if err != nil {
		return exitFailed, fmt.Errorf("open session at %s: %w", address, err)
	}
	if err := session.Start(command); err != nil {
		return exitFailed, fmt.Errorf("run command at %s: %w", address, err)
	}
	go func() {
		// An error means that the command ended, which Wait reports.
		_, _ = io.Copy(input, stdin)
		_ = input.Close()
	}()
	err = session.Wait()
	var exit *ssh.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	case err != nil:
		return exitFailed, fmt.Errorf("run command at %s: connection lost: %w", address, err)
	}
	return 0, nil
}

// clientConfig reads key and known hosts.
func clientConfig(s settings) (*ssh.ClientConfig, error) {
	if s.identity == "" {
		return nil, errors.New("no key given; use -i, IdentityFile or GIT_SSH_IDENTITY")
	}
	content, err := os.ReadFile(s.identity)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(content)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", s.identity, err)
	}
	config := &ssh.ClientConfig{
		User:            s.user,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // only with StrictHostKeyChecking=no
	}
	if s.checkHostKey {
		if len(s.knownHosts) == 0 {
			return nil, errors.New("no known hosts given; use UserKnownHostsFile or GIT_SSH_KNOWN_HOSTS")
		}
		if config.HostKeyCallback, err = knownhosts.New(s.knownHosts...); err != nil {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
	}
	return config, nil
}
