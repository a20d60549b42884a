# Every target first sets up in .venv what it needs, so each works alone in a clean clone.
# `make` lists them. Some variables narrow them:
#
#     FRAMEWORK=jax      pytorch, mxnet, jax or tensorflow; only that one is installed
#     CHAPTER=05         one chapter, by its number
#     CORPUS=file.txt    (run) train on this file, or folder, of source<TAB>target lines
#     LANGUAGE=zh_CN     (assignments) in Chinese
#
# PYTHON=python3.12 chooses the Python that makes .venv.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

ALL := pytorch mxnet jax tensorflow
ifneq ($(filter-out $(ALL),$(FRAMEWORK)),)
    $(error FRAMEWORK=$(FRAMEWORK): it must be one of $(ALL))
endif
FRAMEWORKS := $(or $(FRAMEWORK),$(ALL))
NARROW := $(FRAMEWORK:%=--framework %) $(CHAPTER:%=--chapter %)

# The tests read FRAMEWORK; TensorFlow's start-up log is of no use to readers.
export FRAMEWORK
export TF_CPP_MIN_LOG_LEVEL ?= 3

PY := .venv/bin/python
# pip, without its line for everything that is there already
INSTALL = install() { \
    $(PY) -m pip --disable-pip-version-check install "$$@" \
    | { grep --line-buffered -v '^Requirement already satisfied' || true; }; }; install

# --- Set-up ---------------------------------------------------------------------------------------
# A stamp in .venv says that a requirement file has been installed as it is now.

STAMPS := .venv/.stamps
PINS := requirements/base.txt requirements/constraints.txt
READ := $(STAMPS)/project $(FRAMEWORKS:%=$(STAMPS)/%)
WRITE := $(STAMPS)/project $(STAMPS)/test
BOOK := $(STAMPS)/project $(STAMPS)/book
TESTS ?= tests

$(STAMPS)/venv:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	    if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	        2>/dev/null; then break; fi; \
	    echo "$$python is not Python 3.11, 3.12 or 3.13" >&2; python=; \
	done; \
	[ -n "$$python" ] || { echo "no suitable Python: install one, or name it: make" \
	    "PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	echo "== .venv with $$("$$python" --version)"; \
	"$$python" -m venv .venv
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/base: $(STAMPS)/venv requirements/no-deps.txt $(PINS)
	@echo "== requirements/base.txt"
	@$(INSTALL) -r requirements/base.txt
	@$(INSTALL) --no-deps -r requirements/no-deps.txt
	@touch $@

$(STAMPS)/project: $(STAMPS)/base pyproject.toml
	@$(INSTALL) --no-deps -e .
	@touch $@

$(STAMPS)/%: requirements/%.txt $(STAMPS)/base
	@echo "== $<"
	@$(INSTALL) -r $<
	@touch $@

$(STAMPS)/mxnet: requirements/mxnet.txt requirements/mxnet-no-deps.txt $(STAMPS)/base
	@echo "== $<"
	@$(INSTALL) -r $<
	@$(INSTALL) --no-deps -r requirements/mxnet-no-deps.txt
	@touch $@

# --- For readers ----------------------------------------------------------------------------------

.PHONY: help run lab book test
help: ## list the targets (default)
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r target does; do \
	    printf '  make %-16s%s\n' "$$target" "$$does"; done
	@echo
	@sed -n '/^#     [A-Z]*=/s/^#   //p' Makefile

run: $(READ) ## run every chapter in every framework, into build/run
	$(PY) -m tabbook execute --out build/run $(NARROW) $(if $(CORPUS),--parameter CORPUS='$(CORPUS)')

lab: $(READ) ## open JupyterLab on the notebooks
	@# in a container one is often root, whom Jupyter refuses unless told
	$(PY) -m jupyterlab $$([ "$$(id -u)" != 0 ] || echo --allow-root) notebooks

book: $(BOOK) ## write the book, a static site, into build/book/html
	$(PY) -m tabbook book

test: lint check test-code test-notebooks test-book ## run all tests

# --- For authors ----------------------------------------------------------------------------------

.PHONY: install build notebooks check lint test-code test-notebooks test-book figures check-versions clean
.PHONY: mutants parity models grading decoders bottleneck transformer bench bench-scaling
.PHONY: bench-corpora bench-workers real-text gpu-check gpu-wheels
.PHONY: assignments colab colab-check picture translate
install: $(READ) $(WRITE) $(BOOK) ## set up .venv for everything below

build: $(WRITE) ## write the notebooks (not run) and the library from the chapters
	$(PY) -m tabbook build

notebooks: build $(READ) ## build, and run the notebooks in place: what gets committed
	$(PY) -m tabbook execute $(NARROW)

colab: $(WRITE) ## write the notebooks for Google Colab (build does that too)
	$(PY) -m tabbook colab $(NARROW)

translate: $(WRITE) ## bring the catalogs of translations up to date, and say what is wrong in them
	$(PY) -m tabbook translate $(CHAPTER:%=--chapter %)
	$(PY) -m tabbook translate --check $(CHAPTER:%=--chapter %)

assignments: $(WRITE) ## write the exercises for nbgrader, into build/assignments
	@# on the command line only: some systems have a LANGUAGE of their own
	$(PY) -m tabbook assignments $(NARROW) \
	    $(if $(findstring command,$(origin LANGUAGE)),--language '$(LANGUAGE)')

check: $(WRITE) ## compare the derived files with their sources
	$(PY) -m tabbook check

lint: $(WRITE) ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

test-code: $(READ) $(WRITE) $(BOOK) ## the tests in tests/, or TESTS="tests/tool ..." only
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/book $(TESTS)

test-notebooks: $(READ) $(WRITE) ## run the committed notebooks again and compare their outputs
	$(PY) -m pytest --nbval --nbval-current-env --nbval-cell-timeout 600 -n 2 --dist loadfile \
	    $(FRAMEWORKS:%=notebooks/%$(CHAPTER:%=/%_*.ipynb))

# A browser that hangs fails its test after five minutes.
test-book: $(WRITE) book ## read the book in a headless Chromium
	$(PY) -m pytest -n 2 --dist loadfile -o faulthandler_timeout=300 \
	    -o faulthandler_exit_on_timeout=true tests/book

mutants: $(READ) $(WRITE) ## make mistakes in the library: do the tests catch them?
	$(PY) -m tests.mutants --write $(FRAMEWORK:%=--framework %)

parity: $(READ) $(WRITE) ## compare the four frameworks' numbers and write docs/parity.md
	PARITY_PAGE=docs/parity.md $(PY) -m pytest -q tests/test_parity.py

models: $(STAMPS)/project $(STAMPS)/jax $(STAMPS)/pytorch ## train the models that come along
	@for framework in jax pytorch; do \
	    $(PY) -m d2l_ext train --framework $$framework --embed-size 32 --num-hiddens 64 \
	        --epochs 6 --out d2l_ext/pretrained/$$framework.safetensors; done
	$(PY) -m d2l_ext train --framework pytorch --kind transformer --num-layers 2 --num-hiddens 32 \
	    --ffn-num-hiddens 64 --warmup 200 --epochs 12 --out d2l_ext/pretrained/transformer.safetensors

grading: $(READ) $(WRITE) ## grade all answers of the tests with nbgrader and write docs/grading.md's table
	$(PY) -m tests.classroom.with_nbgrader $(FRAMEWORK)

decoders: $(READ) ## train all decoders of chapter 07 and write its tables: two hours
	@for what in $(if $(FRAMEWORK),,scores longer) $(FRAMEWORKS); do \
	    $(PY) -m benchmarks.decoders $$what; done

bottleneck: $(STAMPS)/project $(STAMPS)/pytorch ## learn sentences by heart, for chapter 05's table
	$(PY) -m benchmarks.bottleneck

transformer: $(STAMPS)/project $(STAMPS)/pytorch ## train chapter 09's models beside others, for its tables: two hours
	$(PY) -m benchmarks.transformer

bench: $(READ) ## train in every framework beside d2l's PyTorch and write docs/speed.md
	$(PY) -m benchmarks.speed $(FRAMEWORK:%=--framework %) $(if $(CORPUS),--corpus '$(CORPUS)')

bench-scaling: $(READ) ## the same by length, batch and width, and translation; docs/scaling.md
	$(PY) -m benchmarks.scaling

bench-corpora: $(STAMPS)/project ## load CORPUS's pairs, repeated up to a million; docs/large_corpora.md
	@[ -n '$(CORPUS)' ] || { echo "name a file of pairs: make $@ CORPUS=fra.txt" >&2; exit 1; }
	$(PY) -m benchmarks.corpora --corpus '$(CORPUS)'

real-text: $(READ) ## train on fra.txt and cmn.txt of the folder CORPORA, and write docs/real_text.md: two hours
	@[ -n '$(CORPORA)' ] || { echo "name the folder of both files: make $@ CORPORA=data" >&2; exit 1; }
	$(PY) -m benchmarks.real_text --corpora '$(CORPORA)'

bench-workers: $(READ) ## train with one process and two, kill some; its part of docs/scaling.md
	$(PY) -m benchmarks.workers $(FRAMEWORK:%=--framework %)

# Installs nothing: there may be no network where the GPU is
gpu-check: ## look at one GPU for at most 8 minutes, with PYTHON or python3; docs/gpu.md
	$(or $(PYTHON),python3) benchmarks/gpu_wheels.py
	PYTHONPATH=build/wheels/unpacked $(or $(PYTHON),python3) -m benchmarks.gpu

gpu-wheels: $(READ) ## download what gpu-check may lack where there is no network
	$(PY) benchmarks/gpu_wheels.py --download

figures: $(STAMPS)/project ## draw the conceptual figures again (notebooks/img/*.py)
	@for script in notebooks/img/*.py; do echo "$$script"; $(PY) "$$script"; done

picture: $(WRITE) ## draw the README's picture of the explorer, in Chromium
	$(PY) docs/img/explorer.py

check-versions: ## test on Python 3.12, 3.13 and as on Colab: 20 GB, half an hour or more
	python3 tests/check_versions.py

colab-check: $(STAMPS)/base ## run Colab's notebooks as Colab would: 15 GB, hours; docs/colab.md
	$(PY) -m tests.colab_check $(NARROW)

clean: ## remove what running and testing has left (not .venv)
	rm -rf build .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name .venv -prune -o -name __pycache__ -exec rm -rf {} +
