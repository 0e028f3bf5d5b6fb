# The whole interface of the project; "make help" lists it.
SHELL := /bin/bash
GO ?= go
LINT := $(CURDIR)/bin/lint
GENERATED := reconcile/chart/crds docs/findings.md docs/hazards.md docs/schemas cmd/schemas/go.mod cmd/schemas/go.sum
# Static programs: they run in any image, and are linked without a C compiler.
export CGO_ENABLED := 0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

.PHONY: help build image test test-journeys test-others race race-short verify vulns e2e long fuzz fleet demo generate coverage bench screenshots

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/fluxover
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/fluxover ./cmd/fluxover

ARCH ?= $(shell $(GO) env GOARCH)
IMAGE ?= fluxover:$(VERSION)
image: ## bin/fluxover-ARCH.tar, a container image to load or push (IMAGE=NAME:TAG, ARCH=amd64 or arm64)
	GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/linux-$(ARCH)/fluxover ./cmd/fluxover
	cd e2e/image && $(GO) run . --program $(CURDIR)/bin/linux-$(ARCH)/fluxover --arch $(ARCH) --tag $(IMAGE) --out $(CURDIR)/bin/fluxover-$(ARCH).tar
	@echo "bin/fluxover-$(ARCH).tar holds $(IMAGE): docker load -i it, or crane push or skopeo copy docker-archive:it to your registry"

test: ## unit and end-to-end tests on a real control plane (the first run builds Kubernetes)
	@$(GO) test -c -o /dev/null ./e2e/journey # or both below would compile what they share
	@$(MAKE) --no-print-directory -j2 test-journeys test-others
	@for v in $(REAL_PROGRAMS); do [ -n "$${!v}" ] || echo "not run: tests that need $$v (see docs/development.md)"; done
	@for p in $(ON_PATH); do command -v $${p//|/ } >/dev/null || echo "not run: tests that need $$p on PATH"; done

# What go test skips it does not say; make test does.
REAL_PROGRAMS := FLUXD SOURCE_CONTROLLER KUSTOMIZE_CONTROLLER STOCK_CRDS FLUX FLUX_CHARTS TERRAFORM TERRAFORM_PLUGINS
ON_PATH := 'chromium|chromium-browser|google-chrome' gpg ssh

# -count=1: go keeps the results of tests, and does not see that those which run the built
# programs depend on them.
# The journeys take longest, and wait as often as they work. Each has a
# laboratory of its own, so that several can run at a time.
JOURNEYS ?= 1
TIMEOUT ?= 60m
test-journeys:
	$(GO) test -count=1 -timeout $(TIMEOUT) -parallel $(JOURNEYS) -skip '$(RACED)' ./e2e/journey

test-others:
	$(GO) test -count=1 -timeout $(TIMEOUT) $$($(GO) list ./... | grep -v /e2e/journey$$)
	$(GO) test -tags faults -run WithFaultsBuiltIn ./migrate/cutover
	cd e2e/image && $(GO) test ./...
	@$(MAKE) --no-print-directory race-short

race: race-short ## the product's packages, and a journey, under the race detector (needs gcc)
	CGO_ENABLED=1 $(GO) test -race -timeout 60m ./migrate/... ./discover/... ./emit/... ./reconcile/... ./cmd/...

# What most goroutines are at work in: sources, the agent, and the whole program
# while several repositories are under way and operators interfere. That journey
# runs so alone.
RACED := ^TestOperatorsPauseResumeAndAbort$$
race-short:
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./reconcile ./reconcile/source
	CGO_ENABLED=1 GOFLAGS="$(GOFLAGS) -race" $(GO) test -count=1 -timeout 20m -run '$(RACED)' ./e2e/journey

long: ## every long series whole: all crash points, 40 repositories
	LONG=1 $(MAKE) --no-print-directory TIMEOUT=4h test-others
	LONG=1 $(MAKE) --no-print-directory TIMEOUT=8h test-journeys # after the others: its gaps are measured

fleet: ## 40 teams over and back while CI commits, three times, each gap 2 s at most (TEAMS=8, RUNS=1; on an idle machine)
	TEAMS=$(or $(TEAMS),40) $(GO) test -v -count=$(or $(RUNS),3) -timeout 4h -run '^TestAFleetIsHandedOverWhileTeamsCommitAndGoesBack$$' ./e2e/journey

# Minimizing takes longest where an input is large, and is not needed.
FUZZ ?= 5m
fuzz: ## each fuzz target for FUZZ (5m); an input that fails is kept in testdata/fuzz
	@git grep -oE --heading '^func Fuzz[A-Za-z0-9]+' -- '*_test.go' | while read -r line; do \
		case "$$line" in \
		*_test.go) package=./$$(dirname "$$line") ;; \
		*) target=$${line#func }; echo "$$package $$target"; \
			$(GO) test "$$package" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ) -fuzzminimizetime 3s </dev/null || exit 1 ;; \
		esac; done

e2e: ## the end-to-end tests alone
	$(GO) test -timeout 60m ./e2e/...

verify: ## formatting, vet, linters, generated files, import layers
	@out=$$(gofmt -l cmd migrate discover emit reconcile e2e); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	@! git grep -nE '^(<<<<<<<|>>>>>>>)( |$$)' -- . || { echo "the lines above are left of a merge"; exit 1; }
	@out=$$(git ls-files -z | xargs -0 -r find 2>/dev/null -maxdepth 0 -size +2M); if [ -n "$$out" ]; then echo "too large to be kept in Git:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags faults ./migrate/cutover ./cmd/fluxover
	cd e2e/image && $(GO) vet ./...
	cd e2e/lint && $(GO) build -o $(LINT)/ tool
	$(LINT)/staticcheck ./...
	$(LINT)/errcheck -ignoretests -exclude e2e/lint/errcheck.txt ./...
	$(GO) mod tidy -diff
	$(GO) test -run TestPackagesImportOnlyLowerLayers ./cmd/fluxover
	$(MAKE) --no-print-directory generate
	@git diff --exit-code -- $(GENERATED) || { echo "generated files are not up to date: run make generate and commit"; exit 1; }

vulns: ## known vulnerabilities of what the program is made of (asks vuln.go.dev)
	cd e2e/lint && $(GO) build -o $(LINT)/ tool
	$(LINT)/govulncheck ./cmd/fluxover

generate: ## what is made from code: the CRDs of the agent's chart, docs/findings.md, docs/hazards.md, docs/schemas
	@tmp=$$(mktemp -d) && cd e2e/crdgen && $(GO) tool controller-gen crd \
		paths="github.com/fluxcd/source-controller/api/v1;github.com/fluxcd/kustomize-controller/api/v1" output:crd:dir=$$tmp && \
		for crd in source.toolkit.fluxcd.io_gitrepositories kustomize.toolkit.fluxcd.io_kustomizations; do \
			version=$$($(GO) list -m -f '{{.Version}}' github.com/fluxcd/$${crd%%.*}-controller/api) && \
			awk -v v="$$version" '{print} /controller-gen.kubebuilder.io\/version/ {print "    fluxover.dev/definition-version: " v}' \
				$$tmp/$$crd.yaml >../../reconcile/chart/crds/$$crd.yaml || exit 1; \
		done && rm -r $$tmp
	cd cmd/schemas && $(GO) run -mod=mod . ../../docs/schemas
	$(GO) test -count=1 -run 'PageIsWhatTheCodeSays' ./cmd/fluxover -update-docs

coverage: ## what has no test or example: fields, reasons, hazards, findings, flags, chart values, forms of clusters and Git, Terraform's language
	@cd cmd/fluxover && $(GO) test -count=1 -run TestMeaningIsCovered -args -coverage

bench: ## time and memory of the program on a real control plane, beside what is promised (ONLY=fleet, objects or agents)
	$(GO) test -run '^$$' -bench . ./reconcile/build
	$(GO) run ./e2e/bench $(if $(ONLY),--only $(ONLY))

screenshots: ## the pictures of docs/screenshots: plan and diff in a terminal, and the report (needs Chromium)
	mkdir -p docs/screenshots
	SCREENSHOTS=$(CURDIR)/docs/screenshots $(GO) test -count=1 -timeout 15m -run 'TestScreenshots' ./emit

demo: ## the whole story on this machine: fleet, plan, migration, verdict (YES=1 unattended, TEAMS=40 for all)
	$(GO) run ./e2e/demo $(if $(YES),--yes) $(if $(TEAMS),--teams $(TEAMS))
