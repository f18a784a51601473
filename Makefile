# Needs make and a python3 of 3.10 or newer with its venv module; everything else goes into .venv, here.

SHELL := /bin/sh
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 python3.10
BIN := .venv/bin
ARGS ?=
MINUTES ?= 30

.DEFAULT_GOAL := help
.PHONY: help demo test chaos model lint types format bench clean FORCE

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: .venv/installed-embedded ## See it work: analyse Python's library, kill a worker half-way (ARGS="--files 200")
	@$(BIN)/python -m awa demo $(ARGS)

test: .venv/installed-test ## Run the tests (ARGS="-k claim")
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

chaos: .venv/installed-test ## Kill, cut and stop everything for a while, and see that no job is lost (MINUTES=30 SEED=7)
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

model: .venv/installed-test ## Check the model of the queue in every interleaving; needs spin and a C compiler (ARGS=cursor)
	@$(BIN)/python -m tests.model $(ARGS)

lint: .venv/installed-test ## Check style and formatting
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

types: .venv/installed-test ## Check types, strictly
	@$(BIN)/python -m mypy

format: .venv/installed-test ## Format the code
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

bench: .venv/installed-bench ## Measure (ARGS="drain --rounds 1")
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove .venv and all that was made here
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find awa tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The packages of one extra, and awa itself, editable: installed again only when pyproject.toml has changed.
.venv/installed-%: pyproject.toml .venv/made-in
	@echo "installing awa-supervisor[$*] into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch "$@"

# An environment knows where it stands: moved or copied, or with its Python gone, it is made anew.
ifneq ($(shell $(BIN)/python -c "" 2>/dev/null && cat .venv/made-in 2>/dev/null),$(CURDIR))
.venv/made-in: FORCE
endif

.venv/made-in:
	@found=; \
	for python in $(PYTHON) $(PYTHONS); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || continue; \
	  found=$$python; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null && break; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "error: Python 3.10 or newer is needed, and none of $(PYTHONS) is one." >&2; \
	  echo "Install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "error: $$found comes without the venv module (on Debian and Ubuntu: apt-get install python3-venv)." >&2; \
	  echo "Install it, or name another: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	echo "making .venv with $$("$$found" --version) ..."; \
	rm -rf .venv && "$$found" -m venv .venv && printf '%s\n' "$(CURDIR)" > .venv/made-in
