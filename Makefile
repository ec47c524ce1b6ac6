# Every target works on a fresh clone: `setup` fetches what is missing.
SHELL := /bin/bash
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FORGE := bin/forge
REPORT ?= devnet-report.json
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
KILLS ?= 50
ROUNDS ?= 1
SEEDS ?= 10000
FAULTS ?= all
TRIALS ?= 50
SEED ?=
CHAOS ?= chaos
INSTANCES ?= 0
ONLY ?=
DAYS ?= 50

.PHONY: help setup build demo test lint bench contracts bindings chaos sim day guards

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install redis-server and the npm parts where missing
	@.ci/setup

build: ## bin/causeway
	go build -ldflags '-X main.version=0.1.0+$(COMMIT)' -o bin/causeway ./cmd/causeway

demo: setup build ## a whole bridge on this machine: both directions, then a report
	bin/causeway devnet --once --report $(REPORT)

test: ## every check, phase by phase, with a count at the end
	@.ci/test

lint: setup ## format, vet, staticcheck, forge fmt and lint
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not gofmt-ed:"; echo "$$out"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	cd contracts && $(FORGE) fmt --check
	@cd contracts && out=$$($(FORGE) lint 2>&1) || { echo "$$out"; exit 1; }; echo "$$out"; ! grep -qE '^(error|warning|note)\[' <<<"$$out"

bench: setup ## rates, latencies, gas and memory as JSON, also in bench/; BENCH=-short measures less, BENCH='-only queue' one part
	@go run ./test/bench -out bench/bench.json $(BENCH)

contracts: setup ## compile the contracts and run their tests
	node contracts/build.js
	cd contracts && $(FORGE) test --offline

bindings: setup ## make the Go bindings again
	node contracts/build.js
	go run ./contracts/gen
	node contracts/build.js --out=../test/stranger/testdata/contracts.json test/stranger

chaos: setup ## break it on purpose, FAULTS=F1,F5 TRIALS=50 each (SEED, KILLS, ROUNDS, INSTANCES=20m); goes on after an interruption
	CAUSEWAY_KILLS=$(KILLS) CAUSEWAY_ROUNDS=$(ROUNDS) CAUSEWAY_SEED=$(SEED) go test -count=1 -timeout 120m -v -run KilledEverywhere ./test/chaos/
	go run ./test/chaos $(if $(SEED),-seed $(SEED)) -faults $(FAULTS) -trials $(TRIALS) -state $(CHAOS) -instances $(INSTANCES)

sim: ## run the whole relayer against SEEDS random worlds, on a clock of its own
	go test -count=1 -timeout 120m -v ./test/sim -seeds $(SEEDS)

day: setup ## a simulated day of the root, DAYS of them, whose endpoints are at fault in turn
	go test -count=1 -timeout 120m -v ./test/root -run ADay -epochs 2880 -seeds $(DAYS)

guards: setup ## take every guard out, one place at a time, and see a test fail; ONLY='batch freeze' some of them
	go run ./test/guards -only '$(ONLY)'
