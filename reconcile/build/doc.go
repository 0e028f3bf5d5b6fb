// Package build renders a Flux v2 Kustomization: from a tree of files, the
// source's ignore rules and the Kustomization object to the Kubernetes objects
// that are to be applied. It is the only caller of kustomize in fluxover; the
// agent, the proof and the capacitor's check all render through it, so what is
// reviewed is what is applied.
//
// The contract is that of kustomize-controller 1.9 with
// github.com/fluxcd/pkg/kustomize v1.35: the artifact filter of
// source-controller, a kustomization file generated where there is none, the
// overlay fields of the Kustomization, `kustomize build`, variable
// substitution, the normalisation and the order of the server-side apply
// library, owner labels and common metadata. Tests hold it equal to that
// library over the fixtures in testdata.
//
// It refuses: to write into the tree or anywhere else, to run programs, to read
// outside the tree, to load remote bases unless asked to (from Git: ever), and
// to let an encrypted Secret pass. It keeps no state between calls; everything
// here is safe for concurrent use.
package build
