# Everything a fresh machine needs is installed by these targets; `make help` lists them.

WASM_TARGET := wasm32-wasip1
WASM := dist/tse-route.wasm
# What rustc uses of WebAssembly on $(WASM_TARGET), and nothing more.
WASM_OPT := -O3 --enable-bulk-memory --enable-multivalue --enable-mutable-globals \
  --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext
# A tenth of what LLVM inlines by itself: all of it would make the filter larger than 700 KiB.
INLINING := -C llvm-args=-inline-threshold=25
VENV := target/venv
PYTHON := $(VENV)/bin/python

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: toolchain
toolchain: ## Install the parts of the Rust toolchain that are missing
	@tests/toolchain.sh

.PHONY: wasm
wasm: toolchain ## Build dist/tse-route.wasm
	cargo rustc --package tse-route --lib --profile filter --no-default-features --target $(WASM_TARGET) \
	  -- $(INLINING)
	@mkdir -p dist
	@tests/require.sh wasm-opt:binaryen || echo "without wasm-opt the filter works, but is an eighth larger"
	@if command -v wasm-opt >/dev/null; then \
	  wasm-opt $(WASM_OPT) target/$(WASM_TARGET)/filter/tse_route.wasm -o $(WASM); \
	else \
	  cp target/$(WASM_TARGET)/filter/tse_route.wasm $(WASM); \
	fi
	@ls -l $(WASM)

$(VENV)/.installed: tests/requirements.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: cli
cli: toolchain ## Build the command line, dist/tse-route
	cargo build --package tse-route-cli --release
	@mkdir -p dist
	@cp target/release/tse-route dist/tse-route
	@ls -l dist/tse-route

.PHONY: demo
demo: wasm $(VENV)/.installed ## Start Envoy with the filter, show the split, stop it
	$(PYTHON) tests/envoy/demo.py

.PHONY: run
run: wasm $(VENV)/.installed ## The example's Envoy, left running, with requests to try (PORT=…)
	$(PYTHON) tests/envoy/demo.py --keep $(if $(PORT),--port $(PORT))

# The runner must be of the version of wasm-bindgen that is locked.
BINDGEN_VERSION = $(shell awk '/^name = "wasm-bindgen"$$/ { getline; gsub(/"/, "", $$3); print $$3 }' Cargo.lock)
BINDGEN_RUNNER = target/tools/wasm-bindgen-$(BINDGEN_VERSION)/bin/wasm-bindgen-test-runner

.PHONY: test
test: test-rust test-node test-lua test-python test-playground ## Run all tests

.PHONY: test-rust
test-rust: wasm ## Unit and engine tests, and the built filter in a host harness
	@echo "== Rust"
	TSE_ROUTE_WASM=$(CURDIR)/$(WASM) cargo test

.PHONY: test-node
test-node: toolchain $(BINDGEN_RUNNER) ## The engine's tests on wasm32-unknown-unknown, under Node
	@echo "== The engine under Node"
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$(CURDIR)/$(BINDGEN_RUNNER) \
	  cargo test --package tse-route --no-default-features --target wasm32-unknown-unknown --test engine

target/tools/wasm-bindgen-%/bin/wasm-bindgen-test-runner:
	@tests/require.sh node:nodejs
	cargo install --quiet --debug --root target/tools/wasm-bindgen-$* --version =$* \
	  --bin wasm-bindgen --bin wasm-bindgen-test-runner wasm-bindgen-cli

PAGE := dist/playground
PAGE_ENGINE := target/wasm32-unknown-unknown/page/tse_route_playground.wasm

.PHONY: playground
playground: toolchain $(BINDGEN_RUNNER) playground/node_modules/.package-lock.json ## Build dist/playground, the page to try rules on
	cargo build --quiet --package tse-route-playground --profile page --target wasm32-unknown-unknown
	$(dir $(BINDGEN_RUNNER))wasm-bindgen --target web --remove-name-section --remove-producers-section \
	  --out-dir playground/engine $(PAGE_ENGINE)
	npm --prefix playground run --silent build

playground/node_modules/.package-lock.json: playground/package-lock.json
	@tests/require.sh npm
	npm --prefix playground ci --silent

.PHONY: playground-run
playground-run: playground ## Serve the page on a port of this machine (PORT=…)
	python3 -m http.server --bind 127.0.0.1 --directory $(PAGE) $(or $(PORT),8080)

.PHONY: test-playground
test-playground: playground $(VENV)/.installed ## The page in a real browser
	@echo "== The page to try rules on"
	@tests/require.sh chromium
	cargo build --quiet --package tse-route-cli
	npm --prefix playground test

.PHONY: test-lua
test-lua: ## The bridge plugin under LuaJIT
	@echo "== The bridge plugin"
	@tests/require.sh luajit
	luajit tests/lua/run.lua

# The types that the manifests of the examples are held against; outside of `tests/`, which the book copies.
MANIFESTS := target/manifests

$(MANIFESTS)/.installed: tests/examples/manifests/package-lock.json
	@tests/require.sh node:nodejs npm
	mkdir -p $(MANIFESTS)
	cp tests/examples/manifests/package.json tests/examples/manifests/package-lock.json $(MANIFESTS)
	npm --prefix $(MANIFESTS) ci --silent
	@touch $@

# The schema of SARIF 2.1.0, which a package of npm has.
SARIF_PACKAGE := @microsoft/jest-sarif@1.0.0-beta.0
SARIF_SHA256 := 748e2c3d1a842e7bb258416685c7ea3a0da40005b72267b2052c2856d48ad102
SARIF := target/sarif/package/package.json

$(SARIF):
	@tests/require.sh npm
	@mkdir -p target/sarif
	cd target/sarif && npm pack --silent $(SARIF_PACKAGE) >/dev/null && \
	  echo "$(SARIF_SHA256)  microsoft-jest-sarif-1.0.0-beta.0.tgz" | sha256sum --quiet --check && \
	  tar -xzmf microsoft-jest-sarif-1.0.0-beta.0.tgz

.PHONY: test-python
test-python: wasm $(VENV)/.installed $(MANIFESTS)/.installed $(SARIF) ## The built filter in the real Envoy, and the files that ship with it
	@echo "== The real Envoy"
	cargo build --quiet --package tse-route-cli
	$(PYTHON) -m pytest tests

.PHONY: soak
soak: wasm $(VENV)/.installed ## Ten million requests and 1 000 changes of each kind through the real Envoy (SOAK='--requests N --changes M --blue-green K')
	$(PYTHON) tests/hostile/soak.py $(SOAK)

.PHONY: blue-green
blue-green: wasm $(VENV)/.installed ## Switch 1 000 times between two versions under load in the real Envoy (SWITCHES=…)
	$(PYTHON) tests/hostile/soak.py --requests 0 --changes 0 --blue-green $(or $(SWITCHES),1000)

BENCH_BUILT := target/bench/build

.PHONY: bench
bench: wasm $(VENV)/.installed ## Measure a request in the real Envoy beside native routes, other filters and Lua
	for filter in empty smallest floor; do \
	  cargo build --quiet --release --target $(WASM_TARGET) --target-dir $(BENCH_BUILT) \
	    --manifest-path benches/filters/$$filter/Cargo.toml || exit 1; done
	cargo build --quiet --release --target-dir $(BENCH_BUILT) --manifest-path benches/load/Cargo.toml
	$(PYTHON) benches/envoy/bench.py $(BENCH)

.PHONY: bench-simulate
bench-simulate: cli ## Measure `tse-route simulate` on ten million requests
	python3 benches/simulate.py

.PHONY: bench-release
bench-release: toolchain ## Simulate releases beside Flagger's and Argo's analysis (BENCH=… of them)
	cargo bench --package tse-route-cli --bench release -- $(BENCH)

.PHONY: fuel
fuel: wasm ## Write what has changed of tests/fuel.txt: what the requests of tests/fuel.rs cost
	FUEL=write cargo test --quiet --package tse-route --test fuel

MDBOOK_VERSION := 0.5.4
MDBOOK := target/tools/mdbook-$(MDBOOK_VERSION)/bin/mdbook

.PHONY: docs
docs: $(MDBOOK) ## Build the book, target/book/index.html
	rm -rf target/book
	$(MDBOOK) build docs
	@# What its pages link to, where their links look for it.
	cp -R LICENSE benches examples kong tests target/book
	@echo '<meta http-equiv="refresh" content="0; url=docs/src/index.html">' > target/book/index.html
	@echo "the book is target/book/index.html"

$(MDBOOK): | toolchain
	cargo install --quiet --locked --root target/tools/mdbook-$(MDBOOK_VERSION) --version =$(MDBOOK_VERSION) \
	  --no-default-features --features search mdbook

# The pinned compiler builds the targets: only the sanitizers want a nightly one, and no code here is unsafe.
FUZZ_TARGETS := configuration decision body parts sources importers bridge
FUZZ_SECONDS := 60
FUZZ_VERSION := 0.13.2
FUZZER := target/tools/cargo-fuzz-$(FUZZ_VERSION)/bin/cargo-fuzz

$(FUZZER): | toolchain
	cargo install --quiet --locked --root target/tools/cargo-fuzz-$(FUZZ_VERSION) --version =$(FUZZ_VERSION) cargo-fuzz

.PHONY: fuzz
fuzz: $(FUZZER) ## Look for inputs on which something does not hold, a minute for each target (FUZZ_SECONDS=…)
	@tests/require.sh c++:g++
	for target in $(FUZZ_TARGETS); do \
	  echo "== $$target"; \
	  mkdir -p target/fuzz-corpus/$$target target/fuzz-dearest && \
	  FUZZ_DEAREST=$(CURDIR)/target/fuzz-dearest/$$target \
	  PATH=$(CURDIR)/$(dir $(FUZZER)):$$PATH CARGO_PROFILE_RELEASE_LTO=false \
	  CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_STRIP=false \
	  cargo fuzz run --sanitizer none --features fuzzing $$target \
	    target/fuzz-corpus/$$target fuzz/corpus/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=5 -print_final_stats=1 || exit 1; done

.PHONY: lint
lint: toolchain ## Check the format and the lints for all targets
	cargo fmt --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo clippy --package tse-route --lib --no-default-features --target $(WASM_TARGET) -- --deny warnings
	cargo clippy --package tse-route --lib --no-default-features --target wasm32-unknown-unknown -- --deny warnings

.PHONY: schema
schema: toolchain ## Write the schema for Kong and the tables of the reference, from the types
	UPDATE_SCHEMA=1 cargo test --quiet --package tse-route --test schema --test reference
