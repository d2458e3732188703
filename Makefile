# Everything starts here: `make help` lists what there is. A machine needs python3, make and a network; nothing else.

PORT ?= 8000
ROWS ?= 5000
DATA_DIR ?= data
SEEDS ?= 20
ARGS ?=
# The demo keeps apart from a real site, unless it is told where to live.
DEMO_DIR = "$(if $(filter file,$(origin DATA_DIR)),data/demo,$(DATA_DIR))"

PYTHON ?= python3
BIN := .venv/bin
UV := .tools/bin/uv
LOCKS := requirements.lock requirements-embedded.lock requirements-dev.lock
STAMP := .venv/.installed
# Never fetch a Python; use the one that is here.
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help demo run test test-fast check bench bench-peers faults screens picture fix lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP) ## the whole site with a stand-in provider (PORT=8000 ROWS=5000 DATA_DIR=data/demo)
	@exec $(BIN)/python manage.py demo --port $(PORT) --rows $(ROWS) --data-dir $(DEMO_DIR) $(ARGS)

run: $(STAMP) ## the site for your own connections (PORT=8000 DATA_DIR=data)
	@exec $(BIN)/python manage.py up --port $(PORT) --data-dir "$(DATA_DIR)" $(ARGS)

test: $(STAMP) ## every test: SQLite beside PostgreSQL with Redis/Valkey, then Chromium
	@exec $(BIN)/python -m tests $(ARGS)

test-fast: $(STAMP) ## the inner loop: SQLite, no browser, nothing slow (ARGS="-k name")
	@exec $(BIN)/python -m pytest -q -m "not browser and not slow" $(ARGS)

check: $(STAMP) ## lint, formatting, types, imports, templates, migrations, deployment checks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/djade --check --target-version 5.2 $$(git ls-files --cached --others --exclude-standard 'templates/*.html')
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run
	SITE_URL=https://portal.example.com $(BIN)/python manage.py check --deploy --fail-level WARNING

bench: $(STAMP) ## measure sync, memory, kills, runs and the pane (ARGS="--quick sync", ARGS="pane --rows 100000")
	@exec $(BIN)/python -m tests.bench $(ARGS)

bench-peers: $(STAMP) $(UV) ## measure the pane beside Arize Phoenix and MLflow (ARGS="--rows 2000")
	@exec $(BIN)/python -m tests.bench peers $(ARGS)

faults: $(STAMP) ## the fault matrix with many random seeds (SEEDS=20)
	@exec $(BIN)/python -m tests.faults --seeds $(SEEDS) $(ARGS)

screens: $(STAMP) ## photograph and check every page of the demo that runs (DATA_DIR=data/demo)
	@exec $(BIN)/python -m tests.screens $(DEMO_DIR) $(ARGS)

picture: $(STAMP) ## take the picture of the README from the demo that runs (DATA_DIR=data/demo)
	@exec $(BIN)/python -m tests.screens $(DEMO_DIR) --picture docs/pane.png

fix: $(STAMP) ## format and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/djade --target-version 5.2 $$(git ls-files --cached --others --exclude-standard 'templates/*.html')

lock: $(UV) ## compile the lock files from pyproject.toml
	$(UV) pip compile -q pyproject.toml --universal --generate-hashes --no-emit-index-url --extra postgres -o requirements.lock $(ARGS)
	$(UV) pip compile -q pyproject.toml --universal --generate-hashes --no-emit-index-url --extra embedded -c requirements.lock -o requirements-embedded.lock $(ARGS)
	$(UV) pip compile -q pyproject.toml --universal --generate-hashes --no-emit-index-url --extra parquet -c requirements.lock -o requirements-parquet.lock $(ARGS)
	$(UV) pip compile -q pyproject.toml --universal --generate-hashes --no-emit-index-url --extra tokens -c requirements.lock -o requirements-tokens.lock $(ARGS)
	$(UV) pip compile -q --group dev --universal --generate-hashes --no-emit-index-url -c requirements.lock -o requirements-dev.lock $(ARGS)

clean: ## remove what was installed and cached; your data stays
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .cache

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=/path/to/python3" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .tools
	@.tools/bin/pip install -q --disable-pip-version-check 'uv>=0.9' || echo "uv could not be had; pip will do, more slowly"

# uv does not read pip's configuration, so a machine whose index stands only there is served by pip.
$(STAMP): $(LOCKS) | $(UV)
	@echo "installing what is locked ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@{ test -x $(UV) && $(UV) pip sync -q --python $(BIN)/python --require-hashes $(LOCKS); } \
	  || $(BIN)/pip install -q --disable-pip-version-check --require-hashes $(foreach lock,$(LOCKS),-r $(lock))
	@touch $@
