# From nothing to a demonstration, a green test run, a wheel. Needed are make, a C compiler,
# and Python 3.10 or newer with its venv module and headers; the rest is installed into .venv.

PYTHON ?= python3
VENV   ?= .venv
OUT    ?= out
ARGS   ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SOURCES := pyproject.toml $(wildcard setup.py MANIFEST.in) \
           $(filter-out csrc/_core.c,$(wildcard csrc/*.* csrc/*/*.*))
TESTED := tests examples benchmarks docs pyproject.toml README.md
# The virtual environment of `make test` can run the demonstration too.
DEMO_VENV := $(or $(wildcard $(VENV)/.dev),$(VENV)/.examples)
# Two BLAS thread pools on small matrices cost more than they give.
ONE_THREAD := OPENBLAS_NUM_THREADS=1
# One process for each core; `make test TOGETHER=` has one for all, to see output as it comes.
TOGETHER ?= -n auto --dist worksteal

.PHONY: help demo test lint sanitize wheel-test bench bench-peers ulp names build clean
.NOTPARALLEL:

help: ## list what can be made
	@echo "make TARGET [PYTHON=python3.12] [VENV=folder] [ARGS='...'] [MNIST=folder]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | \
	    while IFS='|' read -r target text; do printf '  %-12s %s\n' "$$target" "$$text"; done

demo: $(DEMO_VENV) ## train the post's LSTM and variational auto-encoder; two pictures in out/
	@$(BIN)/python examples/demo.py --out $(OUT) $(ARGS)

test: $(VENV)/.dev ## all tests; ARGS='-k lstm -x' goes to pytest
	$(ONE_THREAD) $(BIN)/python -m pytest $(TOGETHER) $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy, cython-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(if $(wildcard csrc/*.pyx csrc/*.pxd),$(BIN)/cython-lint --no-pycodestyle csrc)

bench: $(VENV)/.dev ## our numbers against NumPy and C; ARGS='--quick --only lstm-post'
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(VENV)/.dev .venv-peers/.peers ## the same with PyTorch, JAX and others, in .venv-peers
	$(BIN)/python -m benchmarks --peers .venv-peers/bin/python $(ARGS)

ulp: $(VENV)/.dev ## measure the error bounds in docs/numerics.md; ARGS='--only exp --write'
	$(ONE_THREAD) $(BIN)/python -m benchmarks.ulp $(ARGS)

names: $(VENV)/.dev ## write docs/numpy.md: which of NumPy's and SciPy's functions take nodes
	$(ONE_THREAD) $(BIN)/python -m benchmarks.names $(ARGS)

build: $(VENV)/.dev ## compile the extension in place again, only what changed
	$(BIN)/python setup.py --quiet build_ext --inplace

# The wheel is built from the source distribution in a fresh environment, installed into an
# empty one, and tested from a folder in which there is no source: by tests that reach every module,
# kernel and kind of instruction. WHEEL_TESTS=tests runs all.
WHEEL_TESTS ?= tests/test_package.py tests/test_documents.py tests/test_protocols.py \
             tests/test_solvers.py tests/names tests/nn tests/transform tests/examples \
             tests/backend/test_kernels.py tests/program/test_ops.py tests/program/test_words.py
wheel-test: $(VENV)/.python ## source distribution -> wheel -> installed -> some tests pass
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -c "from setuptools import build_meta; build_meta.build_sdist('build/wheel')" \
	    > build/wheel/sdist.log 2>&1 || { cat build/wheel/sdist.log; exit 1; }
	$(PIP) wheel --no-deps --wheel-dir build/wheel build/wheel/autodiff-*.tar.gz
	$(BIN)/python -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip --quiet --disable-pip-version-check install \
	    "$$(ls build/wheel/autodiff-*.whl)[test]"
	python="$$PWD/build/wheel/venv/bin/python" && \
	outside=$$(mktemp -d) && trap 'rm -rf "$$outside"' EXIT && \
	cp -R $(wildcard $(TESTED)) "$$outside" && cd "$$outside" && \
	"$$python" -c "import autodiff._core as c; print('testing', c.__file__)" && \
	$(ONE_THREAD) "$$python" -m pytest -p no:cacheprovider $(TOGETHER) $(WHEEL_TESTS) $(ARGS)

# libstdc++ too: without it the sanitizer cannot follow the exceptions of others' C++ (matplotlib).
# An arena of words that are none may be larger than any memory: the loader must be told so.
SANITIZER := LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) \
             $$($(CC) -print-file-name=libstdc++.so.6)" PYTHONMALLOC=malloc \
             ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4000 \
             UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
sanitize: .venv-sanitize/.python ## the tests with address and undefined-behaviour sanitizers
	rm -rf build/sanitize && mkdir -p build/sanitize
	cp -R autodiff csrc $(wildcard $(TESTED) setup.py MANIFEST.in LICENSE) build/sanitize
	rm -f build/sanitize/autodiff/_core*.so build/sanitize/csrc/_core.c
	AUTODIFF_SANITIZE=1 .venv-sanitize/bin/python -m pip --quiet --disable-pip-version-check \
	    install --no-build-isolation --editable "./build/sanitize[test]"
	cd build/sanitize && $(SANITIZER) $(ONE_THREAD) ../../.venv-sanitize/bin/python -m pytest --capture=sys $(ARGS)

clean: ## remove whatever was made
	rm -rf $(VENV) .venv-sanitize .venv-peers build dist $(OUT) *.egg-info csrc/_core.c autodiff/_core*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- environments: each stamp is newer than what it was made from -----------------------

# Says what is missing before anything is installed.
define CHECK
import importlib.util, os, shutil, sys, sysconfig
missing = []
if sys.version_info < (3, 10):
    missing.append("Python 3.10 or newer; %s is %s. Name another: make PYTHON=python3.12"
                   % (sys.executable, sys.version.split()[0]))
if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
    missing.append("Python's venv module (on Debian and Ubuntu: apt install python3-venv)")
header = os.path.join(sysconfig.get_path("include"), "Python.h")
if not os.path.isfile(header):
    missing.append("Python's headers, %s (on Debian and Ubuntu: apt install python3-dev)" % header)
compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
if not shutil.which(compiler):
    missing.append("a C compiler: there is no %s (apt install gcc, or name one: make CC=clang)" % compiler)
if missing:
    sys.exit("autodiff cannot be built here. What is missing:\n  " + "\n  ".join(missing))
endef
export CHECK

%/.python:
	@command -v $(PYTHON) > /dev/null || \
	    { echo "There is no $(PYTHON) here; name a Python 3.10 or newer: make PYTHON=..."; exit 1; }
	@$(PYTHON) -c "$$CHECK"
	@echo "making the virtual environment $*"
	@$(PYTHON) -m venv $*
	@$*/bin/python -m pip --quiet --disable-pip-version-check install \
	    "setuptools>=77" "Cython>=3.1" "numpy>=2.0" # as in pyproject.toml, build-system
	@touch $@

$(VENV)/.examples: $(SOURCES) | $(VENV)/.python
	@echo "building autodiff and installing what the examples need (a minute or two, once)"
	@$(PIP) install --no-build-isolation --editable ".[examples]"
	@touch $@

$(VENV)/.dev: $(SOURCES) | $(VENV)/.python
	@echo "building autodiff and installing what tests and checks need (a minute or two, once)"
	@$(PIP) install --no-build-isolation --editable ".[test,lint]"
	@touch $@

.venv-peers/.peers: benchmarks/peers/requirements.txt | $(VENV)/.python .venv-peers/.python
	@echo "installing the rivals, one by one (some minutes, once)"
	@$(BIN)/python -m benchmarks.peers.install .venv-peers/bin/python
	@touch $@
