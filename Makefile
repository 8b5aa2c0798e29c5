# Everything a developer or CI runs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test soak autobahn bench bench-growth bench-micro bench-cql check fmt fmt-check clippy deny doc clients bench-peers cassandra cassandra3 clean

# Arguments for the server (make run) or for cargo test (make test).
ARGS ?=

help: ## this table
	@printf '%-12s %s\n' target 'what it does'
	@printf '%-12s %s\n' ------------ ------------------------------------------------------
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and start the server; flags with ARGS="--listen 127.0.0.1:9000"
	cargo run --release -- $(ARGS)

test: clients ## every test, with Node and Python clients against the real binary
	@tools/run-tests $(ARGS)

soak: clients ## the long forms, with their progress: 20 kills, then an hour of everything at once
	@FANFARE_SOAK=1 tools/run-tests --workspace --test system -- --nocapture --test-threads=1 kill9 mixed

autobahn: ## the Autobahn testsuite against our WebSocket (needs Python 2.7), about a minute
	@tools/run-autobahn

bench: ## the table of docs/performance.md: Fanfare beside the limit and nats-server, ~40 min on idle cores
	@tools/run-bench

bench-growth: ## what a delivery costs as rooms, members and connections grow, ~20 min on idle cores
	@tools/run-growth

bench-micro: ## time codec, room step, journal batch and shard write, each beside something barer
	cargo bench --workspace --bench codec --bench room_step --bench journal_batch --bench shard_write

bench-cql: ## durable appends to a CQL server of its own, beside single inserts and the embedded store
	@tools/run-bench-cql

check: fmt-check deny clippy doc ## format, dependencies, lints and docs: what must hold before a commit

fmt: ## format everything
	cargo fmt --all

fmt-check:
	@tools/phase "check: format" cargo fmt --all --check

deny:
	@tools/phase "check: dependencies" tools/check-dependencies

clippy:
	@tools/phase "check: clippy" cargo clippy --workspace --all-targets -- -D warnings

doc:
	@RUSTDOCFLAGS="-D warnings" tools/phase "check: docs" cargo doc --workspace --no-deps --document-private-items

clients: ## install the packages that the Node and Python clients need
	@tools/phase "test: clients" tools/install-clients

bench-peers: ## install the servers that fanfare-bench measures Fanfare beside
	@tools/phase "bench: peers" bench/peers/install

cassandra: ## a CQL server on 127.0.0.1:9042 (Apache Cassandra, JDK 17) until Ctrl-C
	@tools/cassandra hold .cache/cassandra-one 127.0.0.1

cassandra3: ## three of them, on 127.0.0.1 to 127.0.0.3, until Ctrl-C
	@tools/cassandra hold .cache/cassandra-three 127.0.0.1 127.0.0.2 127.0.0.3

clean: ## remove what was built or installed, but no data
	rm -rf target .venv tests/node/node_modules bench/peers/node_modules
