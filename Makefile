# Every check that continuous integration runs is a target here.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := $(CURDIR)/.bin
PACKAGES := ./...
FUZZTIME ?= 3000x
SOAK ?= 10m
SEED ?=

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: run
run: build ## Serve with the embedded store and demo apps
	@exec .bin/imquota serve --demo --store bolt:data/demo.db

.PHONY: build
build: ## Build the binary into .bin
	@test -x $(BIN)/imquota || echo "building imquota: the first time takes a minute or two"
	@go build -trimpath -o $(BIN)/imquota ./cmd/imquota

.PHONY: test
test: needs ## Run every test with the race detector; installs what they need
	go test -timeout 5m ./ratings # more random subscriptions than the race detector lets through
	go test -timeout 5m -run Mutants ./quota/redisstore # which the race detector has nothing to do with
	go test -timeout 5m -run Alloc ./cmd/imquota ./gather ./quota ./quota/redisstore ./server # nor with what is allocated
	go test -race -timeout 15m $(PACKAGES)

.PHONY: soak
soak: needs ## Prove, twice for SOAK (10m), that nothing is lost or counted twice, whatever breaks; SEED=N repeats what is drawn
	IMQUOTA_SOAK=$(SOAK) IMQUOTA_SEED=$(SEED) go test -race -count=1 -timeout 0 -v -run TestKilledUnder ./quota/boltstore | grep -Ev '^=== '
	IMQUOTA_SOAK=$(SOAK) IMQUOTA_SEED=$(SEED) go test -race -count=1 -timeout 0 -v ./proof | grep -Ev '^=== '

.PHONY: needs
needs: ## Install what the tests need, if it is missing: Redis, a C compiler
	@scripts/install-test-tools

.PHONY: fuzz
fuzz: needs ## Fuzz requests, stored values, replies and the catalog, FUZZTIME each: a count (1000x) or a duration (10s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: needs build ## Measure what imquota is to reach beside its floors, in a few minutes
	@$(BIN)/imquota bench --goals

.PHONY: microbench
microbench: needs ## Run the Go benchmarks: time, allocations, memory
	go test -run '^$$' -bench . -benchmem $(PACKAGES)

.PHONY: lint
lint: $(BIN)/golangci-lint $(BIN)/buf ## Lint the Go code and the contract
	$(BIN)/golangci-lint run
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf breaking --against proto/baseline.binpb

.PHONY: generate
generate: $(BIN)/buf $(BIN)/protoc-gen-go ## Generate the Go code of the contract
	$(BIN)/buf format --write
	$(BIN)/buf generate

.PHONY: baseline
baseline: $(BIN)/buf ## Make today's contract the one that later ones must not break
	$(BIN)/buf build -o proto/baseline.binpb

.PHONY: fresh
fresh: generate ## Fail if generated code or go.mod is not what it should be
	go mod tidy
	git diff --exit-code -- proto go.mod go.sum

.PHONY: ci
ci: test lint fresh fuzz ## Everything that continuous integration checks

.PHONY: tools
tools: $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/golangci-lint ## Build the pinned tools into .bin

$(BIN)/buf: tools/buf/go.mod
	@echo "building buf, once: this takes minutes"
	@cd tools/buf && go build -o $(BIN)/ tool && touch $@

$(BIN)/golangci-lint: tools/golangci-lint/go.mod
	@echo "building golangci-lint, once: this takes minutes"
	@cd tools/golangci-lint && go build -o $(BIN)/ tool && touch $@

$(BIN)/protoc-gen-go: tools/protoc/go.mod
	@cd tools/protoc && go build -o $(BIN)/ tool && touch $@

.PHONY: clean
clean: ## Remove what was built, and the demo store with all it counted
	rm -rf $(BIN) data
