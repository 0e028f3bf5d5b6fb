// Package laboratory puts a whole Flux v1 world on one machine: a real control
// plane, a real Git server, a fleet of teams, and their Flux v1 agents, installed
// by Helm and run as processes by a stand-in for the kubelet. Demo, tests and
// benchmarks stand on it.
//
// It refuses to be a cluster: applications never run, and all servers listen on
// loopback. It imports nothing of the program under test; that program takes part
// only as the binary behind an image.
package laboratory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluxover/fluxover/e2e/controlplane"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/gitserver"
	"github.com/fluxover/fluxover/e2e/kubelet"
)

const (
	// User and Password open every repository over HTTP, for people and tests.
	User     = "lab"
	Password = "lab"

	fleetFile = "fleet.json"

	// firstSyncs is how many agents make their first sync at a time.
	firstSyncs = 4
)

// Options say what Up starts. Only Dir, Teams and Apps are required.
type Options struct {
	// Dir keeps everything. A later Up in the same Dir, with the same fleet,
	// finds the same cluster and repositories. It is made if absent.
	Dir string
	// Teams, Apps, Seed, Profile, PollInterval and SyncInterval shape the fleet,
	// see fleet.Options.
	Teams, Apps                int
	Seed                       int64
	Profile                    string
	PollInterval, SyncInterval time.Duration
	// KubernetesVersion is the control plane's, see controlplane.Options.
	KubernetesVersion string
	// Controllers run beside controlplane.DefaultControllers; ManagerArgs are
	// appended to the arguments of kube-controller-manager.
	Controllers, ManagerArgs []string
	// WaitSynced makes Up return only when every agent has synced its repository.
	WaitSynced bool
	// Fluxd is the real fluxd; empty means the environment variable FLUXD, and
	// without that the stand-in.
	Fluxd string
	// BinDir holds fluxd, gitssh and, if image fluxover is to run, fluxover, built
	// beforehand, see Build. Empty means that Up builds all three.
	BinDir string
	// Images run as processes beside those the laboratory knows, by the last
	// part of the image's repository; they win over those.
	Images map[string]kubelet.Image
	// Stuck, for tests, is passed to the kubelet.
	Stuck func(namespace, pod string) bool
	// Log takes progress lines for people. Nil discards them.
	Log io.Writer
}

// Lab is a running laboratory.
type Lab struct {
	// Dir is the absolute form of Options.Dir, BinDir the folder of the binaries
	// behind the images.
	Dir, BinDir string
	// Kubeconfig is the path of a file with an admin's credentials.
	Kubeconfig string
	// Teams are the fleet, in the order of generation.
	Teams []fleet.Team

	ControlPlane *controlplane.ControlPlane
	Git          *gitserver.Server
	Kubelet      *kubelet.Kubelet

	seed       int64
	kubeletLog *os.File
	log        *progress
	down       sync.Once
	downErr    error
}

// Up starts a laboratory and returns when the fleet is installed, and with
// WaitSynced when it is synced. On failure, or when ctx ends first, nothing is
// left running. ctx bounds the start only; Down ends the laboratory.
func Up(ctx context.Context, options Options) (*Lab, error) {
	if options.Dir == "" {
		return nil, errors.New("start laboratory: Options.Dir is empty; name a folder")
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("start laboratory: %w", err)
	}
	shape := fleet.Options{
		Seed: options.Seed, Teams: options.Teams, Apps: options.Apps, Profile: options.Profile,
		PollInterval: options.PollInterval, SyncInterval: options.SyncInterval,
	}
	teams, err := fleet.Generate(shape)
	if err != nil {
		return nil, fmt.Errorf("start laboratory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("start laboratory: %w", err)
	}
	lab := &Lab{Dir: dir, BinDir: options.BinDir, Teams: teams, seed: options.Seed, log: &progress{to: options.Log, began: time.Now()}}
	if err := lab.start(ctx, options, shape); err != nil {
		return nil, errors.Join(fmt.Errorf("start laboratory: %w", err), lab.Down())
	}
	return lab, nil
}

// start does the work of Up; what it started is in lab for Down, whatever it returns.
func (l *Lab) start(ctx context.Context, options Options, shape fleet.Options) error {
	before, err := readFleet(filepath.Join(l.Dir, fleetFile))
	if err != nil {
		return err
	}
	if before != nil && before.Options != shape {
		return fmt.Errorf("%s holds another fleet (%+v); use another folder, or remove it", l.Dir, before.Options)
	}
	if l.BinDir == "" {
		l.BinDir = filepath.Join(l.Dir, "bin")
		l.log.line("building fluxd, gitssh and fluxover")
		if err := Build(ctx, l.BinDir, false); err != nil {
			return err
		}
	}
	images, err := l.images(options)
	if err != nil {
		return err
	}
	if l.ControlPlane, err = controlplane.Start(ctx, controlplane.Options{
		Dir: filepath.Join(l.Dir, "controlplane"), Version: options.KubernetesVersion, Log: l.log,
		Controllers: slices.Concat(controlplane.DefaultControllers, options.Controllers), ManagerArgs: options.ManagerArgs,
	}); err != nil {
		return err
	}
	l.Kubeconfig = l.ControlPlane.Kubeconfig

	// The agents' settings hold the addresses of the first start.
	git := gitserver.Options{Dir: filepath.Join(l.Dir, "git")}
	if before != nil {
		git.HTTPAddr, git.SSHAddr = before.HTTPAddr, before.SSHAddr
	}
	// Not under ctx, which bounds the start only.
	if l.Git, err = gitserver.Start(context.WithoutCancel(ctx), git); err != nil {
		return err
	}
	if l.kubeletLog, err = os.OpenFile(filepath.Join(l.Dir, "kubelet.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	if l.Kubelet, err = kubelet.Start(ctx, kubelet.Options{
		Config: l.ControlPlane.KubeletConfig(), Server: l.ControlPlane.Server, CAFile: l.ControlPlane.CAFile,
		Dir: filepath.Join(l.Dir, "kubelet"), Images: images, Path: []string{l.BinDir, l.ControlPlane.BinDir}, Stuck: options.Stuck,
		Log: slog.New(slog.NewTextHandler(l.kubeletLog, nil)),
	}); err != nil {
		return err
	}
	if before == nil {
		l.log.line("installing %d Flux v1 agents with Helm", len(l.Teams))
		if err := l.install(ctx, options, shape); err != nil {
			return err
		}
		l.log.line("installed %d repositories and agents", len(l.Teams))
	}
	if options.WaitSynced {
		return l.WaitSynced(ctx)
	}
	return nil
}

// install puts the fleet on server and cluster and notes that it is there: a
// later start must not bring back agents that were handed over meanwhile.
func (l *Lab) install(ctx context.Context, options Options, shape fleet.Options) error {
	if err := l.installTeams(ctx, options); err != nil {
		return err
	}
	for _, team := range l.Teams {
		if err := l.Git.AllowUser(team.Repo, User, Password, true); err != nil {
			return err
		}
	}
	content, err := json.MarshalIndent(installed{shape, l.Git.HTTPAddr(), l.Git.SSHAddr()}, "", "  ")
	if err != nil {
		return fmt.Errorf("note the installed fleet: %w", err)
	}
	if err := os.WriteFile(filepath.Join(l.Dir, fleetFile), content, 0o600); err != nil {
		return fmt.Errorf("note the installed fleet: %w", err)
	}
	return nil
}

// installTeams installs all at once, or, if each is to be synced anyway, a few
// at a time until each is: first syncs of many agents together would outlast
// their limits on a small machine, and later ones would stay in step.
func (l *Lab) installTeams(ctx context.Context, options Options) error {
	if !options.WaitSynced {
		return fleet.Install(ctx, l.ControlPlane.Config(), l.Git, l.Teams)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(firstSyncs)
	var done atomic.Int32
	for _, team := range l.Teams {
		group.Go(func() error {
			if err := fleet.Install(ctx, l.ControlPlane.Config(), l.Git, []fleet.Team{team}); err != nil {
				return err
			}
			if err := l.WaitSynced(ctx, team); err != nil {
				return err
			}
			if n := done.Add(1); n%firstSyncs == 0 {
				l.log.line("installed and synced %d of %d", n, len(l.Teams))
			}
			return nil
		})
	}
	return group.Wait()
}

// installed is what is kept about a fleet that was installed whole.
type installed struct {
	Options           fleet.Options
	HTTPAddr, SSHAddr string
}

// readFleet reads which fleet stands in a folder; nil means none does.
func readFleet(path string) (*installed, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read installed fleet: %w", err)
	}
	var found installed
	if err := json.Unmarshal(content, &found); err != nil {
		return nil, fmt.Errorf("read installed fleet %s: %w", path, err)
	}
	return &found, nil
}

// CommitNext makes the next commit of CI in a team's repository (see
// fleet.Change) and returns its hash. It works without a running laboratory.
func CommitNext(ctx context.Context, dir, team string) (string, error) {
	stands, err := readFleet(filepath.Join(dir, fleetFile))
	if err != nil {
		return "", err
	}
	if stands == nil {
		return "", fmt.Errorf("commit to %s: no fleet is installed in %s", team, dir)
	}
	teams, err := fleet.Generate(stands.Options)
	if err != nil {
		return "", err
	}
	repositories, err := gitserver.OpenRepositories(filepath.Join(dir, "git"))
	if err != nil {
		return "", err
	}
	var names []string
	for _, t := range teams {
		if t.Name == team {
			return commitNext(ctx, repositories, t, stands.Options.Seed)
		}
		names = append(names, t.Name)
	}
	return "", fmt.Errorf("commit to %s: no such team; there is %s", team, strings.Join(names, ", "))
}

// CommitNext makes the next commit of CI in a team's repository and returns its
// hash.
func (l *Lab) CommitNext(ctx context.Context, team fleet.Team) (string, error) {
	return commitNext(ctx, l.Git.Repositories, team, l.seed)
}

func commitNext(ctx context.Context, repositories *gitserver.Repositories, team fleet.Team, seed int64) (string, error) {
	n, err := repositories.Commits(ctx, team.Repo, team.Branch)
	if err != nil {
		return "", err
	}
	files, err := fleet.Change(team, n, seed)
	if err != nil {
		return "", err
	}
	return repositories.Commit(ctx, team.Repo, team.Branch, fmt.Sprintf("Deploy build %d", n), files)
}

// Down ends everything that Up started, Pods first and the control plane last,
// and keeps the data. Calling it again returns the same result.
func (l *Lab) Down() error {
	l.down.Do(func() {
		var problems []error
		if l.Kubelet != nil {
			problems = append(problems, l.Kubelet.Stop())
			l.log.line("stopped the kubelet and its Pods")
		}
		if l.Git != nil {
			problems = append(problems, l.Git.Stop())
			l.log.line("stopped the Git server")
		}
		if l.ControlPlane != nil {
			problems = append(problems, l.ControlPlane.Stop())
			l.log.line("stopped the control plane")
		}
		if l.kubeletLog != nil {
			problems = append(problems, l.kubeletLog.Close())
		}
		l.downErr = errors.Join(problems...)
	})
	return l.downErr
}

// progress writes lines for people, each with the seconds since the start.
type progress struct {
	to    io.Writer
	began time.Time
	mu    sync.Mutex
}

func (p *progress) line(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

func (p *progress) Write(text []byte) (int, error) {
	if p.to == nil {
		return len(text), nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := fmt.Fprintf(p.to, "%6.1fs  %s", time.Since(p.began).Seconds(), text); err != nil {
		return 0, err
	}
	return len(text), nil
}
