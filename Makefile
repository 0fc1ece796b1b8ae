# Everything a fresh machine needs is installed by these targets; `make help` lists them.

WASM_TARGET := wasm32-wasip1
WASM := dist/tse-route.wasm
VENV := target/venv
PYTHON := $(VENV)/bin/python

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: wasm
wasm: ## Build dist/tse-route.wasm
	cargo build --lib --release --no-default-features --target $(WASM_TARGET)
	@mkdir -p dist
	@cp target/$(WASM_TARGET)/release/tse_route.wasm $(WASM)
	@ls -l $(WASM)

$(VENV)/.installed: tests/requirements.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: demo
demo: wasm $(VENV)/.installed ## Start Envoy with the filter, show the split, stop it
	$(PYTHON) tests/envoy/demo.py

.PHONY: run
run: wasm $(VENV)/.installed ## The example's Envoy, left running, with requests to try (PORT=…)
	$(PYTHON) tests/envoy/demo.py --keep $(if $(PORT),--port $(PORT))

.PHONY: test-envoy
test-envoy: wasm $(VENV)/.installed ## Test the built filter in the real Envoy, over HTTP
	$(PYTHON) -m pytest -o cache_dir=target/.pytest_cache tests/envoy

.PHONY: test-observability
test-observability: wasm $(VENV)/.installed ## Test metrics, logs, alerts and the dashboard with a real Prometheus
	$(PYTHON) -m pytest -o cache_dir=target/.pytest_cache tests/observability
