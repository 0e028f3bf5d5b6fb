package source

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// DefaultBranch is meant by a Reference with nothing set.
const DefaultBranch = "master"

// DefaultTimeout is that of a Remote without one.
const DefaultTimeout = time.Minute

// Remote is a repository on a server.
type Remote struct {
	// URL: http, https or ssh. A credential inside an http(s) URL is used if
	// Auth has none.
	URL string
	// Auth; nil for anonymous.
	Auth *Auth
	// Timeout of each operation, beside the context's; zero means
	// DefaultTimeout.
	Timeout time.Duration
}

func (r Remote) timeout() time.Duration {
	if r.Timeout > 0 {
		return r.Timeout
	}
	return DefaultTimeout
}

// key tells apart what may not be shared: repositories and credentials.
func (r Remote) key() string { return hashed(r.URL, r.Auth.key()) }

// Reference names a commit as GitRepository.spec.ref does: Commit overrules
// Name, which overrules SemVer, Tag and Branch in that order; nothing means
// the branch DefaultBranch.
type Reference struct {
	Branch, Tag string
	// SemVer is a version constraint over the tags.
	SemVer string
	// Name is a full reference, as "refs/pull/1/head".
	Name string
	// Commit is 40 hex digits. With Branch, it must be on that branch.
	Commit string
}

func (ref Reference) String() string {
	switch {
	case ref.Commit != "" && ref.Branch != "":
		return "commit " + ref.Commit + " on branch " + ref.Branch
	case ref.Commit != "":
		return "commit " + ref.Commit
	case ref.Name != "":
		return "reference " + ref.Name
	case ref.SemVer != "":
		return "version " + ref.SemVer
	case ref.Tag != "":
		return "tag " + ref.Tag
	case ref.Branch != "":
		return "branch " + ref.Branch
	}
	return "branch " + DefaultBranch
}

// Revision is a commit and how it was named.
type Revision struct {
	// SHA is the commit, 40 hex digits.
	SHA string
	// Name is what stands before the "@": a branch or tag by its short name,
	// a full reference when it was asked for by one; empty for a bare commit.
	Name string
}

// String is the revision as source-controller writes it: "main@sha1:<sha>",
// "sha1:<sha>" without a name.
func (r Revision) String() string {
	if r.Name == "" {
		return "sha1:" + r.SHA
	}
	return r.Name + "@sha1:" + r.SHA
}

// Resolve asks the server which commit a reference names, by its list of
// references alone; no object is fetched. A Commit is not looked up at all if
// it is given without a branch, and if given with one, the branch must exist:
// whether the commit is on it is known after Fetch.
func (s *Store) Resolve(ctx context.Context, r Remote, ref Reference) (Revision, error) {
	if ref.Commit != "" && ref.Branch == "" {
		return bareCommit(ref.Commit)
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	se, err := s.connect(ctx, r)
	if err != nil {
		return Revision{}, err
	}
	defer se.Close()
	rev, err := resolve(se.refs, ref)
	if err != nil {
		return Revision{}, fmt.Errorf("resolve %s of %s: %w", ref, SafeURL(r.URL), err)
	}
	return rev, nil
}

func bareCommit(sha string) (Revision, error) {
	if !plumbing.IsHash(sha) {
		return Revision{}, fmt.Errorf("%w: commit %q is not 40 hex digits", ErrReferenceNotFound, sha)
	}
	return Revision{SHA: strings.ToLower(sha)}, nil
}

func resolve(refs *packp.AdvRefs, ref Reference) (Revision, error) {
	if ref.Commit != "" {
		rev, err := bareCommit(ref.Commit)
		if err != nil || ref.Branch == "" {
			return rev, err
		}
		if _, ok := lookUp(refs, "refs/heads/"+ref.Branch); !ok {
			return Revision{}, fmt.Errorf("%w: branch %s", ErrReferenceNotFound, ref.Branch)
		}
		rev.Name = ref.Branch
		return rev, nil
	}
	var full, name string
	switch {
	case ref.Name != "":
		full, name = strings.TrimSuffix(ref.Name, "^{}"), ref.Name
	case ref.SemVer != "":
		tag, err := newestTag(refs, ref.SemVer)
		if err != nil {
			return Revision{}, err
		}
		full, name = "refs/tags/"+tag, tag
	case ref.Tag != "":
		full, name = "refs/tags/"+ref.Tag, ref.Tag
	default:
		name = ref.Branch
		if name == "" {
			name = DefaultBranch
		}
		full = "refs/heads/" + name
	}
	sha, ok := lookUp(refs, full)
	if !ok {
		return Revision{}, fmt.Errorf("%w: %s", ErrReferenceNotFound, full)
	}
	return Revision{SHA: sha.String(), Name: name}, nil
}

// lookUp gives the commit of a reference, through an annotated tag.
func lookUp(refs *packp.AdvRefs, full string) (plumbing.Hash, bool) {
	if sha, ok := refs.Peeled[full]; ok {
		return sha, true
	}
	if full == "HEAD" && refs.Head != nil {
		return *refs.Head, true
	}
	sha, ok := refs.References[full]
	return sha, ok
}

// newestTag picks the highest version that satisfies the constraint. Only
// three-part versions count, with or without "v" (source: fluxcd/pkg
// version/version.go).
func newestTag(refs *packp.AdvRefs, constraint string) (string, error) {
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return "", fmt.Errorf("%w: version constraint %q: %w", ErrReferenceNotFound, constraint, err)
	}
	var best *semver.Version
	var bestTag string
	for full := range refs.References {
		tag, ok := strings.CutPrefix(full, "refs/tags/")
		if !ok {
			continue
		}
		v, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
		if err != nil || !c.Check(v) {
			continue
		}
		// Equal versions ("1.0.0" and "v1.0.0") need a rule that does not
		// depend on map order.
		if best == nil || v.GreaterThan(best) || (v.Equal(best) && tag > bestTag) {
			best, bestTag = v, tag
		}
	}
	if best == nil {
		return "", fmt.Errorf("%w: no tag satisfies %q", ErrReferenceNotFound, constraint)
	}
	return bestTag, nil
}

// Refs asks the server for its branches and tags: full name ("refs/heads/main",
// "refs/tags/flux-sync") to commit; annotated tags give the commit they tag.
// Other references are left out.
func (s *Store) Refs(ctx context.Context, r Remote) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	se, err := s.connect(ctx, r)
	if err != nil {
		return nil, err
	}
	defer se.Close()
	found := map[string]string{}
	for full := range se.refs.References {
		if !strings.HasPrefix(full, "refs/heads/") && !strings.HasPrefix(full, "refs/tags/") {
			continue
		}
		if sha, ok := lookUp(se.refs, full); ok {
			found[full] = sha.String()
		}
	}
	return found, nil
}
