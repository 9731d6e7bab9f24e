# Each target does its own set-up. `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PROTOS := protos/ecsgateway/v1/image_share_permission.proto protos/ecsgateway/v1/error_details.proto
IMPORTS := $(addprefix protos/,buf/validate/validate.proto google/api/field_behavior.proto google/rpc/code.proto google/rpc/error_details.proto google/rpc/status.proto)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/project ## Make the environment in .venv

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.venv/dependencies: requirements/build.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=python3.11 setup"; exit 1; }
	@echo "Making .venv (once; about a minute) ..."
	@$(PYTHON) -m venv .venv
	@$(PIP) --require-hashes --requirement requirements/build.txt
	@$(PIP) --require-hashes --no-build-isolation --requirement requirements/dev.txt
	@touch $@

.venv/project: .venv/dependencies pyproject.toml
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: run
run: setup ## Serve on an embedded fake upstream, and show one streamed call
	@$(BIN)/ecsgateway serve --demo

.PHONY: test
test: setup ## Run the test suite
	@$(BIN)/pytest

.PHONY: test-long
test-long: setup ## Many more random walks over changing lists (some minutes)
	@LISTING_WALKS=2000 $(BIN)/pytest tests/test_listing_model.py

.PHONY: conformance
conformance: setup ## Run the vendor's Node.js client against the fake (needs Node.js 20)
	@cd tests/conformance/npm && npm ci --ignore-scripts --no-audit --no-fund --silent
	@cd tests/conformance/npm && FAKEECS=$(CURDIR)/$(BIN)/fakeecs node --test

.PHONY: interop
interop: setup ## Run the examples, grpcurl and buf curl on a gateway
	@$(BIN)/pytest examples/interop

.PHONY: bench
bench: setup ## Measure the stream beside the vendor's SDK; fails when it misses a bound
	@$(BIN)/python -m bench

MINUTES ?= 2
.PHONY: soak
soak: setup ## Run in mixed faults and cancellations (MINUTES=2); fails when anything leaks
	@$(BIN)/python -m bench.soak --minutes $(MINUTES)

.PHONY: check
check: setup ## Lint, types, protos, and whether the generated code is current
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/buf breaking --against protos/released.binpb
	$(BIN)/buf format --diff --exit-code --path protos/ecsgateway
	$(MAKE) --no-print-directory generate OUT=build/generated
	diff -r build/generated/ecsgateway/v1 src/ecsgateway/v1 --exclude __pycache__
	cmp build/generated/ecsgateway/clients/descriptors.binpb src/ecsgateway/clients/descriptors.binpb
	diff -r build/generated/buf src/buf --exclude __pycache__

OUT ?= src
.PHONY: generate
generate: setup ## Generate the Python code from protos/
	@mkdir -p $(OUT)
	@$(BIN)/python -m grpc_tools.protoc -I protos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --python_out=$(OUT) --mypy_out=$(OUT) $(PROTOS) protos/buf/validate/validate.proto
	@$(BIN)/python -m grpc_tools.protoc -I protos --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --grpc_python_out=$(OUT) --mypy_grpc_out=async_only:$(OUT) protos/ecsgateway/v1/image_share_permission.proto
	@mkdir -p $(OUT)/ecsgateway/clients build
	@$(BIN)/python -m grpc_tools.protoc -I protos --include_imports --descriptor_set_out=build/imports.binpb $(IMPORTS)
	@$(BIN)/python -m grpc_tools.protoc -I protos --include_source_info --descriptor_set_out=build/own.binpb $(PROTOS)
	@cat build/imports.binpb build/own.binpb > $(OUT)/ecsgateway/clients/descriptors.binpb

.PHONY: release-contract
release-contract: setup ## Record the protos as the baseline of compatibility
	$(BIN)/buf build --exclude-source-info --output protos/released.binpb

.PHONY: lock
lock: setup ## Lock the dependencies of pyproject.toml in requirements/
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" pyproject.toml --output-file requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" pyproject.toml --group dev --output-file requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" requirements/build.in --constraints requirements/dev.txt --output-file requirements/build.txt

.PHONY: image
image: ## Build the container image (IMAGE=name BASE=base to choose)
	@deploy/build-image.sh

.PHONY: image-test
image-test: image ## Build the container image and try it
	@deploy/test-image.sh

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf .venv build dist
