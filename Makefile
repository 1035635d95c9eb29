# Everything that a developer types. Go is all that must be installed by hand; `make test` installs or starts the rest.

GO    ?= go
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Installed servers and linters, shared by all checkouts.
export ROLEBRIDGE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rolebridge

# What to test, and further flags: make test PKG=./creds/... FLAGS='-run Lease -v'
PKG   ?= ./...
FLAGS ?=
# How many packages at a time: several of them start a Kafka of their own, with 400 MB each.
JOBS  ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n : 4)))

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## everything in one process, with a walk through a real example (ARGS='--port 0')
	@echo "building; the first time this takes a minute or two"
	$(GO) build -o bin/devstack ./cmd/devstack
	@exec bin/devstack $(ARGS)

.PHONY: build
build: ## static binaries in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

.PHONY: test
test: provision bin/testservers ## all tests, with the race detector, against real servers (PKG=./creds/... FLAGS='-run Lease')
	bin/testservers -- $(GO) test -race -p $(JOBS) -timeout 20m $(FLAGS) $(PKG)

.PHONY: short
short: ## the tests that need no servers
	$(GO) test -short -timeout 5m $(FLAGS) $(PKG)

.PHONY: bench
bench: provision bin/testservers ## measured comparisons, one JSON line each
	bin/testservers -- $(GO) run ./bench $(ARGS)

.PHONY: servers
servers: provision bin/testservers ## the tests' servers alone, with their addresses, until interrupted
	bin/testservers

.PHONY: provision
provision: ## install the tests' servers
	$(GO) run ./internal/testenv/cmd/provision

# A binary and not `go run`, which would not pass a SIGTERM on.
.PHONY: bin/testservers
bin/testservers:
	$(GO) build -o $@ ./internal/testenv/cmd/testservers

# The linter takes minutes to build, so it is kept for as long as its pins and Go stay the same.
LINTER := $(ROLEBRIDGE_CACHE)/golangci-lint-$(shell cat tools/go.mod tools/go.sum | cksum | cut -d' ' -f1)-$(shell $(GO) env GOVERSION)
$(LINTER):
	mkdir -p $(@D)
	$(GO) build -C tools -o $@.part github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	mv $@.part $@

.PHONY: lint
lint: $(LINTER) ## golangci-lint, which includes go vet and the check of gofumpt's format
	$(LINTER) run $(PKG)

.PHONY: asyncapi
asyncapi: ## check events/asyncapi.yaml with the specification's parser (needs Node.js)
	scripts/check-asyncapi.sh

.PHONY: fmt
fmt: $(LINTER) ## format with gofumpt and sort imports
	$(LINTER) fmt

.PHONY: generate
generate: ## renew generated files
	$(GO) generate ./...
