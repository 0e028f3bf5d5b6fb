package gitserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// handshakeLimit bounds how long a client may take to log in.
const handshakeLimit = 10 * time.Second

// fingerprintKey names the deploy key among a connection's permissions.
const fingerprintKey = "fingerprint"

// serveSSH takes connections until the listener closes.
func (s *Server) serveSSH() {
	for {
		conn, err := s.sshListener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.stopped {
			s.mu.Unlock()
			_ = conn.Close()
			return
		}
		s.sshConns[conn] = struct{}{}
		s.mu.Unlock()
		s.work.Go(func() {
			s.serveSSHConn(conn)
			_ = conn.Close()
			s.mu.Lock()
			delete(s.sshConns, conn)
			s.mu.Unlock()
		})
	}
}

// serveSSHConn logs a client in by its key and serves its sessions. Any key
// known to some repository may log in, as on a Git host; which repository it
// opens is checked when the client names one.
func (s *Server) serveSSHConn(conn net.Conn) {
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			fingerprint := ssh.FingerprintSHA256(key)
			if !s.keyKnown(fingerprint) {
				return nil, errors.New("unknown key")
			}
			return &ssh.Permissions{Extensions: map[string]string{fingerprintKey: fingerprint}}, nil
		},
	}
	config.AddHostKey(s.hostKey)
	// A connection whose deadline cannot be set is broken; the handshake says so.
	_ = conn.SetDeadline(time.Now().Add(handshakeLimit))
	login, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "only sessions are served")
			continue
		}
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		s.work.Go(func() {
			s.serveSession(login, channel, requests)
			_ = channel.Close()
		})
	}
}

func (s *Server) keyKnown(fingerprint string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.state.Repositories {
		if _, found := a.Keys[fingerprint]; found {
			return true
		}
	}
	return false
}

// serveSession runs the one command of a session.
func (s *Server) serveSession(login *ssh.ServerConn, channel ssh.Channel, requests <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	protocol := ""
	for request := range requests {
		switch request.Type {
		case "env":
			var variable struct{ Name, Value string }
			accepted := ssh.Unmarshal(request.Payload, &variable) == nil && variable.Name == "GIT_PROTOCOL"
			if accepted {
				protocol = variable.Value
			}
			reply(request, accepted)
		case "exec":
			var command struct{ Line string }
			if err := ssh.Unmarshal(request.Payload, &command); err != nil {
				reply(request, false)
				return
			}
			reply(request, true)
			go func() { // the client going away ends the command
				for request := range requests {
					reply(request, false)
				}
				cancel()
			}()
			status, hangUp := s.runService(ctx, login, channel, command.Line, protocol)
			if hangUp {
				_ = login.Close()
				return
			}
			// The client may be gone; then nobody wants the status.
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			return
		default:
			reply(request, false)
		}
	}
}

// reply answers a request if the client wants an answer; one that went away needs none.
func reply(request *ssh.Request, ok bool) {
	if request.WantReply {
		_ = request.Reply(ok, nil)
	}
}

// runService runs git upload-pack or receive-pack for a client. It returns the
// exit status to report, or hangUp when the connection is to be cut instead.
func (s *Server) runService(ctx context.Context, login *ssh.ServerConn, channel ssh.Channel, line, protocol string) (status uint32, hangUp bool) {
	deny := func(words string) (uint32, bool) {
		fmt.Fprintln(channel.Stderr(), "git server: "+words)
		return 128, false
	}
	service, repo, err := parseCommand(line)
	if err != nil {
		return deny(err.Error())
	}
	write, found := s.keyMay(repo, login.Permissions.Extensions[fingerprintKey])
	if !found {
		s.count(repo, func(c *Stats) { c.Denied++ })
		return deny("repository not found, or this key may not read it")
	}
	if service == receivePack && !write {
		s.count(repo, func(c *Stats) { c.Denied++ })
		return deny("this key may only read")
	}
	switch s.fault(repo) {
	case Refuse:
		return 0, true
	case Hang:
		s.hang(ctx)
		return 0, true
	case InternalError:
		return deny("internal error")
	}

	command := exec.CommandContext(ctx, s.gitPath, strings.TrimPrefix(service, "git-"), s.repoDir(repo))
	command.Env = s.gitEnv()
	if protocol != "" {
		command.Env = append(command.Env, "GIT_PROTOCOL="+protocol)
	}
	command.Stdout = io.MultiWriter(channel, s.answerCounter(repo, service))
	command.Stderr = channel.Stderr()
	// Not command.Stdin = channel: Wait would then wait for the client to close its side.
	input, err := command.StdinPipe()
	if err != nil {
		return deny("cannot start git: " + err.Error())
	}
	if err := command.Start(); err != nil {
		return deny("cannot start git: " + err.Error())
	}
	var from io.Reader = channel
	if service == uploadPack {
		if !strings.Contains(protocol, "version=2") {
			s.count(repo, func(c *Stats) { c.Advertisements++ })
		}
		from = io.TeeReader(channel, s.requestCounter(repo))
	}
	go func() {
		// An error means that one side ended, which Wait reports.
		_, _ = io.Copy(input, from)
		_ = input.Close()
	}()
	if err := command.Wait(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() >= 0 {
			return uint32(exit.ExitCode()), false
		}
		return 255, false
	}
	return 0, false
}

// keyMay says whether a key opens a repository and whether it may push.
func (s *Server) keyMay(repo, fingerprint string) (write, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.state.Repositories[repo]
	if a == nil {
		return false, false
	}
	write, found = a.Keys[fingerprint]
	return write, found
}

// parseCommand reads what git asks an SSH server to run, such as
// git-upload-pack '/payments.git'.
func parseCommand(line string) (service, repo string, err error) {
	name, argument, _ := strings.Cut(strings.Replace(line, "git ", "git-", 1), " ")
	if name != uploadPack && name != receivePack {
		return "", "", errors.New("only git is served here")
	}
	argument = strings.Trim(strings.TrimSpace(argument), "'")
	repo = strings.TrimSuffix(strings.Trim(argument, "/"), ".git")
	if !repositoryName.MatchString(repo) {
		return "", "", errors.New("repository not found, or this key may not read it")
	}
	return name, repo, nil
}
