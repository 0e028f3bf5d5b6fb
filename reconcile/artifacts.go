package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"time"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxover/fluxover/reconcile/build"
	"k8s.io/apimachinery/pkg/types"
)

// keptArtifacts is how many artifacts of a GitRepository stay on disk: the
// present one, and the one before it for those who are just downloading it.
const keptArtifacts = 2

// artifacts writes the archives of sources and serves them over HTTP under the
// paths that stock source-controller uses. With no address nothing is written:
// the agent itself builds from the unpacked tree.
type artifacts struct {
	dir     string // "" writes nothing
	address string
	host    string // host[:port] that others use
	log     *slog.Logger
}

func newArtifacts(opts Options, log *slog.Logger) (*artifacts, error) {
	a := &artifacts{address: opts.StorageAddr, host: opts.StorageAdvAddr, log: log}
	if a.address == "" {
		return a, nil
	}
	a.dir = filepath.Join(opts.StoragePath, "artifacts")
	if err := os.MkdirAll(a.dir, 0o750); err != nil {
		return nil, fmt.Errorf("make folder for artifacts: %w", err)
	}
	if a.host == "" {
		host, port, err := net.SplitHostPort(a.address)
		if err != nil {
			return nil, fmt.Errorf("read --storage-addr %q: %w", a.address, err)
		}
		if host == "" || host == "0.0.0.0" || host == "::" {
			if host, err = os.Hostname(); err != nil {
				return nil, fmt.Errorf("name the host of artifacts: %w: set --storage-adv-addr", err)
			}
		}
		a.host = net.JoinHostPort(host, port)
	}
	return a, nil
}

// pathOf is where the archive of a commit stands, below the storage and in the URL.
func pathOf(repository types.NamespacedName, sha string) string {
	return "gitrepository/" + repository.Namespace + "/" + repository.Name + "/" + sha + ".tar.gz"
}

// store archives content and describes it. before is the present artifact of the
// repository: if it describes the same archive it is returned unchanged, so that
// a lost file is written again without anybody noticing.
func (a *artifacts) store(repository types.NamespacedName, revision, sha string, content *build.Artifact, before *fluxmeta.Artifact) (*fluxmeta.Artifact, error) {
	path := pathOf(repository, sha)
	archived, err := a.archive(path, content)
	if err != nil {
		return nil, fmt.Errorf("unable to archive artifact to storage: %w", err)
	}
	artifact := &fluxmeta.Artifact{Digest: archived.Digest, Path: path, URL: a.url(path), Revision: revision, Size: &archived.Size}
	artifact.LastUpdateTime.Time = time.Now().UTC().Truncate(time.Second)
	if before != nil && before.Digest == artifact.Digest && before.Revision == artifact.Revision && before.Path == artifact.Path {
		artifact = before.DeepCopy()
		artifact.URL = a.url(path)
	}
	return artifact, nil
}

func (a *artifacts) url(path string) string {
	if a.dir == "" {
		return ""
	}
	return "http://" + a.host + "/" + path
}

// archive writes the archive whole or not at all.
func (a *artifacts) archive(path string, content *build.Artifact) (build.Archived, error) {
	if a.dir == "" {
		return content.Archive(io.Discard)
	}
	target := filepath.Join(a.dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return build.Archived{}, err
	}
	part, err := os.CreateTemp(filepath.Dir(target), ".part-")
	if err != nil {
		return build.Archived{}, err
	}
	archived, err := content.Archive(part)
	err = errors.Join(err, part.Chmod(0o640), part.Close())
	if err == nil {
		err = os.Rename(part.Name(), target)
	}
	if err != nil {
		return build.Archived{}, errors.Join(err, os.Remove(part.Name()))
	}
	return archived, nil
}

// present tells whether the archive of an artifact can be downloaded, or need
// not be because nothing is served.
func (a *artifacts) present(artifact *fluxmeta.Artifact) bool {
	if a.dir == "" {
		return true
	}
	info, err := os.Stat(filepath.Join(a.dir, filepath.FromSlash(artifact.Path)))
	return err == nil && (artifact.Size == nil || info.Size() == *artifact.Size)
}

// tidy removes all but the newest archives of a repository, and with keep 0 its
// folder.
func (a *artifacts) tidy(repository types.NamespacedName, keep int) error {
	if a.dir == "" {
		return nil
	}
	folder := filepath.Dir(filepath.Join(a.dir, filepath.FromSlash(pathOf(repository, "x"))))
	if keep == 0 {
		return os.RemoveAll(folder)
	}
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	type file struct {
		name string
		time time.Time
	}
	var files []file
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // gone meanwhile
		}
		files = append(files, file{entry.Name(), info.ModTime()})
	}
	sort.Slice(files, func(i, j int) bool { return files[i].time.After(files[j].time) })
	var errs []error
	for _, old := range files[min(keep, len(files)):] {
		errs = append(errs, os.Remove(filepath.Join(folder, old.name)))
	}
	return errors.Join(errs...)
}

// Start serves the archives until ctx ends. Folders are not listed.
func (a *artifacts) Start(ctx context.Context) error {
	if a.dir == "" {
		return nil
	}
	listener, err := net.Listen("tcp", a.address)
	if err != nil {
		return fmt.Errorf("serve artifacts: %w", err)
	}
	files := http.FileServer(http.Dir(a.dir))
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if filepath.Ext(r.URL.Path) != ".gz" {
				http.NotFound(w, r)
				return
			}
			files.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	stopped := context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		// A download that takes longer is cut off; its client tries again.
		_ = server.Shutdown(limited)
	})
	defer stopped()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve artifacts: %w", err)
	}
	return nil
}
