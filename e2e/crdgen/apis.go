// Package crdgen pins the Flux API modules and the generator from which the
// CustomResourceDefinitions of the agent's chart are made. It is a module of
// its own so that the generator is no dependency of the product, and it holds
// no code: the versions here must equal those of the main module.
package crdgen

import (
	_ "github.com/fluxcd/kustomize-controller/api/v1"
	_ "github.com/fluxcd/source-controller/api/v1"
)
