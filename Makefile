# Two commands do all the set-up: `make results` and `make test`. They need Python 3.11 or newer, make and git.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
CONFIG ?= config/default.yaml
CORES ?= all
RUN ?= default
STUDY ?= inducing_points
BIN := .venv/bin
READY := .venv/.ready
# The first interpreter that is new enough; `make PYTHON=/path/to/python results` chooses another one.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help results study test lint docs crosscheck lock publish clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

results: $(READY) ## run the benchmark (CONFIG=, CORES=) and print where the report is
	$(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG)
	@$(BIN)/gpex-bench show report --config $(CONFIG)

study: $(READY) ## run a study of config/studies/ (STUDY=, CORES=), see docs/studies.md
	$(BIN)/snakemake --cores $(CORES) --configfile config/studies/$(STUDY).yaml

test: lint ## run linters, type checks and all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/snakefmt --check Snakefile workflow gpex_bench/studies

docs: $(READY) ## build the site of docs in site/, offline, with warnings as errors
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --conf-dir docs --doctree-dir .doctrees --jobs 2 . site
	@echo "Open site/index.html"

crosscheck: $(READY) ## compare the metrics with those of Quantus and captum (installs Quantus into .crosscheck)
	rm -rf .crosscheck
	if command -v uv > /dev/null; then install="uv pip install --quiet --python $(BIN)/python"; \
	else install="$(BIN)/python -m pip install --quiet --disable-pip-version-check"; fi; \
		$$install --target .crosscheck --no-deps --require-hashes -r benchmarks/crosscheck/requirements.lock
	PYTHONPATH=.crosscheck $(BIN)/python benchmarks/crosscheck/compare.py

lock: ## resolve the dependencies again (needs uv)
	uv pip compile --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-annotate --all-extras --quiet pyproject.toml --output-file requirements.lock

publish: ## copy the tables of a finished run or study, with their provenance, to results/published (RUN=)
	mkdir -p results/published/$(RUN)
	if [ -d results/$(RUN)/tables ]; then \
		cp results/$(RUN)/tables/{*.csv,*.md,*costs.json,pairs.parquet} results/published/$(RUN)/; \
		rm results/published/$(RUN)/pairs.csv; \
		cp results/$(RUN)/{summary.md,ranking.tex} results/published/$(RUN)/; \
		cp results/$(RUN)/tables/outcomes.json results/published/$(RUN)/provenance.json; fi
	if [ -f results/$(RUN)/table.csv ]; then \
		find results/$(RUN) -maxdepth 1 -type f ! -name report.html ! -name strict.txt \
			-exec cp {} results/published/$(RUN)/ \; ; fi
	(cd results/$(RUN)/benchmarks && echo job,seconds && find . -name '*.tsv' | sort \
		| xargs awk 'FNR == 2 {print substr(FILENAME, 3) "," $$1}') > results/published/$(RUN)/jobs.csv

clean: ## remove the environment and unpublished results
	rm -rf .venv .snakemake .doctrees site $$(find results -mindepth 1 -maxdepth 1 ! -name published ! -name README.md)

# The environment: exactly what requirements.lock names, with hashes; by uv where it is installed, by pip elsewhere.
$(READY): requirements.lock pyproject.toml
	@case "$(CURDIR)" in *" "*) echo "Snakemake cannot run in a folder whose path holds a space; move this one." >&2; exit 1;; esac
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Install one, or run: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version); the first time downloads a few GB (PyTorch)."
	if command -v uv > /dev/null; then \
		uv venv --quiet --clear --python "$$(command -v $(PYTHON))" .venv; \
		export UV_COMPILE_BYTECODE=1 VIRTUAL_ENV="$(CURDIR)/.venv"; \
		uv pip install --quiet --no-deps --require-hashes -r requirements.lock; \
		uv pip install --quiet --no-deps --editable .; \
	else \
		$(PYTHON) -m venv --clear .venv; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .; \
	fi
	@touch $(READY)
