// Package source reads Git repositories over HTTP(S) and SSH, without a git
// program: which commit a reference names, the tree of a commit, and how far
// two commits are apart.
//
// A Store keeps what it fetched in one folder. Asking what a reference names
// is one small query; a commit is fetched once, with as little history as the
// server allows, and unpacked once, for all who ask for the same URL and
// commit with the same credential. What was fetched with one credential is
// never given to another.
//
// The package refuses: to talk to an SSH host whose key is not in known_hosts,
// to send a credential anywhere but to the host of the URL, to write to a
// repository otherwise than by Push, which only adds a commit to a branch, to
// retry (but for Push, when somebody was faster), to follow a link out of a
// tree, to fetch submodules or LFS files, and to exceed its size limits. No
// error or log line of it holds a secret.
package source
