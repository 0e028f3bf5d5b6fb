package gitserver

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrNoRepository says that the server has no repository of that name.
	ErrNoRepository = errors.New("no such repository; create it first")
	// ErrNotFound says that a branch, tag or file does not exist.
	ErrNotFound = errors.New("not found")
)

// repositoryName is what a repository may be called: it becomes a folder and a
// part of URLs.
var repositoryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// repositoryConfig is set in every repository. Pushes are open to who may
// write; nothing runs in the background after a push, so that Stop leaves no
// process; partial clones and reachable commits can be fetched as on large hosts.
var repositoryConfig = []string{
	"http.receivepack=true",
	"receive.autogc=false",
	"gc.auto=0",
	"uploadpack.allowFilter=true",
	"uploadpack.allowReachableSHA1InWant=true",
}

// Repositories are the bare repositories of a folder, whether a server serves
// them at the moment or not: several processes may use one folder at a time.
type Repositories struct {
	dir     string
	gitPath string
}

// OpenRepositories gives access to the repositories in a server's folder. It
// needs git on PATH.
func OpenRepositories(dir string) (*Repositories, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open repositories: %w", err)
	}
	gitPath, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("open repositories: find git on PATH: %w; install git", err)
	}
	return &Repositories{dir: dir, gitPath: gitPath}, nil
}

// CreateRepo makes an empty bare repository whose default branch is branch. A
// repository that exists keeps its content and gets that default branch.
func (s *Server) CreateRepo(ctx context.Context, repo, branch string) error {
	if !repositoryName.MatchString(repo) || strings.HasSuffix(repo, ".git") {
		return fmt.Errorf("create repository %q: use letters, digits, dot, dash and underscore, without .git at the end", repo)
	}
	dir := s.repoDir(repo)
	if _, err := s.git(ctx, s.dir, nil, "init", "--quiet", "--bare", "--initial-branch="+branch, dir); err != nil {
		return fmt.Errorf("create repository %s: %w", repo, err)
	}
	if _, err := s.git(ctx, dir, nil, "symbolic-ref", "HEAD", "refs/heads/"+branch); err != nil {
		return fmt.Errorf("create repository %s: %w", repo, err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "config"), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("create repository %s: %w", repo, err)
	}
	present, err := os.ReadFile(file.Name())
	if err == nil && !bytes.Contains(present, []byte("[http]")) {
		err = appendConfig(file, repositoryConfig)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("create repository %s: %w", repo, err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Repositories[repo] == nil {
		s.state.Repositories[repo] = &access{Users: map[string]userAccess{}, Keys: map[string]bool{}}
	}
	return s.saveState()
}

// appendConfig writes section.key=value settings at the end of a Git
// configuration file. One write is much cheaper than a git process per setting.
func appendConfig(file *os.File, settings []string) error {
	var text strings.Builder
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		section, key, _ := strings.Cut(name, ".")
		fmt.Fprintf(&text, "[%s]\n\t%s = %s\n", section, key, value)
	}
	if _, err := file.Seek(0, 2); err != nil {
		return err
	}
	_, err := file.WriteString(text.String())
	return err
}

// Commit puts one commit on a branch of a repository, without a work tree:
// files maps a path to its new content, or to nil to delete it. The branch is
// made if it does not exist. It returns the commit's hash. When another commit
// reaches the branch meanwhile, Commit tries again on top of it.
func (r *Repositories) Commit(ctx context.Context, repo, branch, message string, files map[string][]byte) (string, error) {
	return r.CommitLinks(ctx, repo, branch, message, files, nil, nil)
}

// CommitLinks is Commit with symbolic links and submodules beside the files: a
// link's target by its path, wherever it leads, and a submodule's commit by its
// path, whether anybody has that commit or not.
func (r *Repositories) CommitLinks(ctx context.Context, repo, branch, message string, files map[string][]byte, links, submodules map[string]string) (string, error) {
	entries := make(map[string]treeEntry, len(files)+len(links)+len(submodules))
	for name, content := range files {
		entries[name] = treeEntry{"100644", content}
	}
	for name, target := range links {
		entries[name] = treeEntry{"120000", []byte(target)}
	}
	for name, commit := range submodules {
		entries[name] = treeEntry{submodule, []byte(commit)}
	}
	names := make([]string, 0, len(entries))
	for name := range entries {
		if !fs.ValidPath(name) || name == "." || path.Clean(name) != name || strings.ContainsAny(name, "\"\n\\") {
			return "", fmt.Errorf("commit to %s: bad path %q", repo, name)
		}
		names = append(names, name)
	}
	slices.Sort(names)

	const tries = 5
	var problem error
	for range tries {
		head, err := r.Head(ctx, repo, branch)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return "", fmt.Errorf("commit to %s: %w", repo, err)
		}
		stream := commitStream(branch, message, head, names, entries)
		out, err := r.git(ctx, r.repoDir(repo), stream, "fast-import", "--quiet", "--date-format=raw")
		if err == nil {
			return strings.TrimSpace(string(out)), nil
		}
		now, headErr := r.Head(ctx, repo, branch)
		if headErr != nil || now == head {
			return "", fmt.Errorf("commit to %s: %w", repo, err)
		}
		problem = err
	}
	return "", fmt.Errorf("commit to %s: branch %s moved %d times meanwhile: %w", repo, branch, tries, problem)
}

// submodule is git's mode of a commit that stands in a tree.
const submodule = "160000"

// treeEntry is a file, a link or a submodule's commit as git keeps it; without
// content it is to be deleted.
type treeEntry struct {
	mode    string
	content []byte
}

// commitStream is the input of git fast-import for one commit on top of parent
// (none if empty); fast-import answers with the commit's hash.
func commitStream(branch, message, parent string, names []string, entries map[string]treeEntry) []byte {
	var stream bytes.Buffer
	fmt.Fprintf(&stream, "commit refs/heads/%s\nmark :1\n", branch)
	fmt.Fprintf(&stream, "committer ci <ci@example.com> %d +0000\n", time.Now().Unix())
	fmt.Fprintf(&stream, "data %d\n%s\n", len(message), message)
	if parent != "" {
		fmt.Fprintf(&stream, "from %s\n", parent)
	}
	for _, name := range names {
		entry := entries[name]
		if entry.content == nil {
			fmt.Fprintf(&stream, "D \"%s\"\n", name)
			continue
		}
		if entry.mode == submodule {
			fmt.Fprintf(&stream, "M %s %s \"%s\"\n", entry.mode, entry.content, name)
			continue
		}
		fmt.Fprintf(&stream, "M %s inline \"%s\"\ndata %d\n", entry.mode, name, len(entry.content))
		stream.Write(entry.content)
		stream.WriteByte('\n')
	}
	stream.WriteString("\nget-mark :1\n")
	return stream.Bytes()
}

// Head is the commit at the tip of a branch. The error wraps ErrNotFound when
// there is no such branch and ErrNoRepository when there is no repository.
func (r *Repositories) Head(ctx context.Context, repo, branch string) (string, error) {
	return r.Resolve(ctx, repo, "refs/heads/"+branch)
}

// Tag is the commit a tag points at, through the tag object if it is annotated.
// The error wraps ErrNotFound when there is no such tag.
func (r *Repositories) Tag(ctx context.Context, repo, tag string) (string, error) {
	return r.Resolve(ctx, repo, "refs/tags/"+tag)
}

// Resolve is the commit a revision names. The error wraps ErrNotFound when it
// names none and ErrNoRepository when there is no repository.
func (r *Repositories) Resolve(ctx context.Context, repo, revision string) (string, error) {
	if err := r.mustExist(repo); err != nil {
		return "", err
	}
	out, err := r.git(ctx, r.repoDir(repo), nil, "rev-parse", "--quiet", "--verify", "--end-of-options", revision+"^{commit}")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return "", fmt.Errorf("resolve %s in %s: %w", revision, repo, ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("resolve %s in %s: %w", revision, repo, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// File is the content of a file at a revision (a branch, tag or hash). The error
// wraps ErrNotFound when the revision does not hold it.
func (r *Repositories) File(ctx context.Context, repo, revision, name string) ([]byte, error) {
	commit, err := r.Resolve(ctx, repo, revision)
	if err != nil {
		return nil, err
	}
	out, err := r.git(ctx, r.repoDir(repo), []byte(commit+":"+name+"\n"), "cat-file", "--batch")
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", name, repo, err)
	}
	header, content, _ := bytes.Cut(out, []byte("\n"))
	fields := strings.Fields(string(header))
	if len(fields) != 3 || fields[1] != "blob" {
		return nil, fmt.Errorf("read %s at %s of %s: %w", name, revision, repo, ErrNotFound)
	}
	size, err := strconv.Atoi(fields[2])
	if err != nil || size > len(content) {
		return nil, fmt.Errorf("read %s of %s: git cat-file answered %q", name, repo, header)
	}
	return content[:size], nil
}

// Commits is how many commits a revision and its ancestors are.
func (r *Repositories) Commits(ctx context.Context, repo, revision string) (int, error) {
	commit, err := r.Resolve(ctx, repo, revision)
	if err != nil {
		return 0, err
	}
	out, err := r.git(ctx, r.repoDir(repo), nil, "rev-list", "--count", commit)
	if err != nil {
		return 0, fmt.Errorf("count commits of %s: %w", repo, err)
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

// Files lists the paths of all files at a revision, sorted.
func (r *Repositories) Files(ctx context.Context, repo, revision string) ([]string, error) {
	commit, err := r.Resolve(ctx, repo, revision)
	if err != nil {
		return nil, err
	}
	out, err := r.git(ctx, r.repoDir(repo), nil, "ls-tree", "-r", "-z", "--name-only", commit)
	if err != nil {
		return nil, fmt.Errorf("list files of %s: %w", repo, err)
	}
	names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(names) == 1 && names[0] == "" {
		return nil, nil
	}
	slices.Sort(names)
	return names, nil
}

// Tree is the content of all files at a revision, by path.
func (r *Repositories) Tree(ctx context.Context, repo, revision string) (map[string][]byte, error) {
	commit, err := r.Resolve(ctx, repo, revision)
	if err != nil {
		return nil, err
	}
	out, err := r.git(ctx, r.repoDir(repo), nil, "archive", "--format=tar", commit)
	if err != nil {
		return nil, fmt.Errorf("read tree of %s: %w", repo, err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(bytes.NewReader(out)); ; {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read tree of %s: %w", repo, err)
		}
		if entry.Typeflag != tar.TypeReg {
			continue
		}
		if files[entry.Name], err = io.ReadAll(archive); err != nil {
			return nil, fmt.Errorf("read tree of %s: %w", repo, err)
		}
	}
}

// serves says whether the server has a repository.
func (s *Server) serves(repo string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Repositories[repo] != nil
}

func (r *Repositories) mustExist(repo string) error {
	if !repositoryName.MatchString(repo) {
		return fmt.Errorf("repository %q: %w", repo, ErrNoRepository)
	}
	if _, err := os.Stat(filepath.Join(r.repoDir(repo), "HEAD")); err != nil {
		return fmt.Errorf("repository %s: %w", repo, ErrNoRepository)
	}
	return nil
}

func (r *Repositories) repoDir(repo string) string { return filepath.Join(r.dir, repo+".git") }

// git runs git in dir with the given input and returns its output. The error
// wraps *exec.ExitError and ends with git's own words.
func (r *Repositories) git(ctx context.Context, dir string, input []byte, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, r.gitPath, args...)
	command.Dir = dir
	command.Env = r.gitEnv()
	command.Stdin = bytes.NewReader(input)
	var out, problem bytes.Buffer
	command.Stdout, command.Stderr = &out, &problem
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(problem.String()))
	}
	return out.Bytes(), nil
}

// gitEnv is the environment of every git program that runs here: nothing from
// the user's own Git configuration may change what is served.
func (r *Repositories) gitEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + r.dir,
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"LC_ALL=C",
	}
}
