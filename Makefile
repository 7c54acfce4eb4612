# make book   environment + the built book (_build/html)      make test   everything is tried
# make lab    the chapters in JupyterLab                      make serve  the built book on localhost
# make verify what is recorded, held to its word              make reproduce  all of it, made again
SHELL := /bin/bash
.DEFAULT_GOAL := book

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
SEEDS ?= 3
REPRODUCED ?= reproduced
UV := uv==0.13.9
BIN := .venv/bin
ENV := .venv/.installed

# Notebooks run in their own folder, so a relative data folder is made absolute first.
ifneq ($(strip $(SPARQ_DATA_DIR)),)
export SPARQ_DATA_DIR := $(abspath $(SPARQ_DATA_DIR))
endif

# One worker a core; more threads inside each would only get in one another's way.
PARALLEL := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical
SCRIPTS := sparq_utils/widgets/*.js assets/static/*.js assets/static/lite/*.js
STRIP := $(BIN)/nbstripout --extra-keys="metadata.kernelspec metadata.language_info.version"

.PHONY: env book test unit notebooks browser lint format lab serve verify reproduce bench lock clean

env: $(ENV)

$(ENV): requirements.txt requirements-oracles.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements-oracles.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

# Pages are kept between builds; what the package computes on them is not, once the package or
# the results change. A build with warnings keeps nothing, so that the next one warns again.
book: _build/.sources
	$(BIN)/jupyter-book build . --warningiserror --nitpick --keep-going \
	  || { rm -f _build/.sources; exit 1; }
	@echo "The book: _build/html/index.html"

_build/.sources: $(ENV) _config.yml $(shell find sparq_utils results book/extensions assets \
    -type f -not -path '*/__pycache__/*' 2>/dev/null)
	rm -rf _build/.doctrees _build/html
	mkdir -p _build
	touch $@

test: unit notebooks browser

unit: $(ENV)
	$(PARALLEL) tests --ignore=tests/browser --ignore=tests/test_book.py

notebooks: $(ENV)
	$(PARALLEL) --nbmake --nbmake-timeout=600 notebooks

browser: book
	$(BIN)/python -m pytest tests/test_book.py tests/browser

lint: $(ENV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(STRIP) --verify notebooks/*.ipynb
	$(BIN)/codespell
	$(BIN)/oxlint --deny-warnings $(SCRIPTS)
	$(BIN)/oxfmt --check $(SCRIPTS)

format: $(ENV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(STRIP) notebooks/*.ipynb
	$(BIN)/oxfmt $(SCRIPTS)

lab: $(ENV)
	$(BIN)/jupyter lab notebooks

serve:
	@test -f _build/html/index.html || $(MAKE) book
	$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

# Every recorded file against its manifest, and samples of each trace from its weights.
verify: $(ENV)
	$(BIN)/python -m sparq_utils verify

# Everything that is recorded, made again in a folder of its own, then compared row by row. Hours
# on two cores, minutes to an hour on a GPU; stopped at any moment, it goes on where it was.
reproduce: $(ENV)
	$(BIN)/python -m sparq_utils run mlp-mnist --profile full --seeds $(SEEDS) --out $(REPRODUCED)
	$(BIN)/python -m sparq_utils run lenet-mnist --profile full --seeds $(SEEDS) --out $(REPRODUCED)
	$(BIN)/python -m sparq_utils run alexnet-cifar10 --profile full --seeds 1 --out $(REPRODUCED)
	$(BIN)/python -m sparq_utils compare $(REPRODUCED)

bench: $(ENV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks

lock: $(ENV)
	{ head -n 2 requirements.txt; $(BIN)/uv pip compile pyproject.toml --quiet --universal \
	  --python-version 3.11 --extra book --extra test --extra lint --extra deploy \
	  --extra sweep \
	  --no-header --no-annotate --no-emit-index-url --generate-hashes; } \
	  > requirements.partial
	mv requirements.partial requirements.txt

clean:
	rm -rf _build
