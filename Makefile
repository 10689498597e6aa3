# make demo, make test: on a machine with Python 3.10-3.13, a C++17 compiler and make.
# Everything else comes into .venv; a second run builds only what has changed.

PYTHON ?= python3
VENV ?= .venv
TENSORFLOW ?= tensorflow-cpu>=2.21,<2.22
# Two pytest processes; a test that measures time or memory is marked for one of them.
PYTEST_FLAGS ?= -n 2 -q
BIN := $(VENV)/bin
# Each environment has its own build folder and wheel, being for its own Python and TensorFlow.
BUILD := build/$(patsubst .%,%,$(notdir $(VENV)))
DIST := $(if $(filter .venv,$(VENV)),dist,$(BUILD)/dist)
PIP := $(BIN)/python -m pip --disable-pip-version-check

export TF_CPP_MIN_LOG_LEVEL ?= 2
# The tests' GPU, made along with the C++ tests; where it is not, pytest makes its own.
export TF_PAIRWISE_FAKE_CUDA ?= $(abspath $(BUILD)/cmake/libfake_cuda.so)

CC_TESTS := $(wildcard cc/*/*_test.cc)
SOURCES := $(shell find cc cmake build_backend benchmarks python -type f \
             \( -name '*.h' -o -name '*.cc' -o -name '*.cmake' -o -name '*.map' -o -name '*.cu' -o -name '*.py' \) \
             2>/dev/null | LC_ALL=C sort) \
           $(wildcard tests/cuda_host/*.cc tests/cuda_host/*.h) \
           CMakeLists.txt setup.py pyproject.toml build_pip_pkg.sh $(wildcard README.md) LICENSE

.PHONY: help venv build install demo test test-all test-cc test-gpu gpu gpu-there asan tsan ubsan sanitize-quick fuzz accuracy bench docs types lint format clean distclean FORCE
help:
	@echo 'make demo      build, install into $(VENV), train on handwritten digits'
	@echo 'make test      build, install into $(VENV), run the tests'
	@echo 'make test-all  the same with the long sweeps'
	@echo 'make test-gpu  on a machine with a GPU, the tests of it: SANITIZER=memcheck or racecheck'
	@echo 'make gpu       the same, under all tools, and the benchmark, whose table goes into docs/gpu.md'
	@echo 'make asan      the kernels under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make tsan      the same under ThreadSanitizer'
	@echo 'make fuzz      random calls against the reference: MINUTES=10 SEED=0'
	@echo 'make build     the wheel, into dist/ (./build_pip_pkg.sh DEST for elsewhere)'
	@echo 'make bench     the benchmarks'
	@echo 'make accuracy  docs/accuracy.md, how exact results are'
	@echo 'make docs      docs/ as a site, into build/site/'
	@echo 'make types     mypy and basedpyright over a file that uses everything'
	@echo 'make lint      ruff and clang-format; make format mends what they find'
	@echo 'make clean     away with build/ and dist/; make distclean with $(VENV) too'

# ---- the environment ----

venv: $(VENV)/.ready
$(VENV)/.ready: requirements/build.txt requirements/test.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo '$(PYTHON) is not Python 3.10-3.13; choose one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'Python cannot make a virtual environment: apt-get install python3-venv' >&2; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || command -v g++ >/dev/null || \
	  { echo 'no C++ compiler: apt-get install g++' >&2; exit 1; }
	@echo "making $(VENV): $(TENSORFLOW) and the tools (several hundred MB, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -q --upgrade pip
	@$(PIP) install -q -r requirements/build.txt -r requirements/test.txt '$(TENSORFLOW)'
	@touch $@

$(VENV)/.lint: requirements/lint.txt $(VENV)/.ready
	@$(PIP) install -q -r requirements/lint.txt
	@touch $@

$(VENV)/.docs: requirements/docs.txt $(VENV)/.ready
	@$(PIP) install -q -r requirements/docs.txt
	@touch $@

# ---- the wheel ----

# Changes when a source file comes or goes.
$(BUILD)/sources.txt: FORCE
	@mkdir -p $(BUILD); echo '$(SOURCES)' | cmp -s - $@ || echo '$(SOURCES)' > $@

build: $(BUILD)/.wheel
$(BUILD)/.wheel: $(SOURCES) $(BUILD)/sources.txt $(VENV)/.ready
	@echo 'building the wheel (the first time takes minutes)'
	@PYTHON=$(abspath $(BIN))/python TF_PAIRWISE_BUILD_DIR=$(BUILD)/cmake \
	  TF_PAIRWISE_CMAKE_ARGS='$(if $(CC_TESTS),-DTF_PAIRWISE_TESTS=ON) $(TF_PAIRWISE_CMAKE_ARGS)' \
	  ./build_pip_pkg.sh $(DIST)
	@touch $@

install: $(VENV)/.installed
$(VENV)/.installed: $(BUILD)/.wheel
	@$(PIP) install -q --force-reinstall --no-deps $(DIST)/tf_pairwise-*.whl
	@touch $@

# ---- what to do with it ----

demo: install
	@$(BIN)/python examples/train_digits.py $(DEMO_FLAGS)

test: install $(if $(CC_TESTS),test-cc) sanitize-quick
	@$(BIN)/python -m pytest -m 'not slow' $(PYTEST_FLAGS)

test-all: install $(if $(CC_TESTS),test-cc)
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

# The C++ unit tests, made along with the wheel.
test-cc: $(BUILD)/.wheel
	@cd $(BUILD)/cmake && $(abspath $(BIN))/ctest --output-on-failure

# On a GPU what `make test` runs on the host, with whatever of PyTorch, CuPy, JAX and Numba is in
# the environment, and in TensorFlow if that sees the GPU; under a tool of compute-sanitizer with
# SANITIZER.
test-gpu: install
	@TF_PAIRWISE_TEST_GPU=1 $(if $(SANITIZER),compute-sanitizer --tool $(SANITIZER) --error-exitcode 1) \
	  $(BIN)/python -m pytest -q tests/test_gpu.py tests/gpu_ops.py $(GPU_FLAGS)

# On a GPU, all there is to ask of it: tests, sanitizers, the benchmark (GPU_BENCH=--quick for some
# minutes of it), for which PyTorch comes into the environment, if it is not there.
$(VENV)/.gpu: requirements/gpu.txt $(VENV)/.ready
	@$(PIP) install -q -r requirements/gpu.txt
	@touch $@

gpu-there:
	@nvidia-smi -L >/dev/null 2>&1 || \
	  { echo 'make gpu is for a machine with a GPU: nvidia-smi finds none' >&2; exit 1; }

gpu: gpu-there install $(VENV)/.gpu
	@benchmarks/gpu_all.sh $(BIN) $(BUILD)/gpu $(GPU_BENCH)

# Under sanitizers, each in a build of its own; the quick one is a part of `make test`.
asan tsan: venv
	@mkdir -p build
	@tests/sanitize.sh $@ $(BIN) build/$@

# UndefinedBehaviorSanitizer is in the build of AddressSanitizer.
ubsan: asan

sanitize-quick: venv
	@mkdir -p build
	@tests/sanitize.sh quick $(BIN) build/quick

# Random calls against the reference, for MINUTES from SEED on.
MINUTES ?= 1
SEED ?= 0
fuzz: install
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) --seed $(SEED) $(FUZZ_FLAGS)

# Warnings are errors; the notebook is run.
docs: install $(VENV)/.docs
	@$(BIN)/python -m mkdocs build --strict
	@echo 'written: build/site/index.html'

# docs/accuracy.md: how exact results are.
accuracy: install
	@$(BIN)/python -m benchmarks.accuracy

bench: install
	@$(BIN)/python -m tf_pairwise bench $(BENCH_FLAGS)

CC_FILES = $(wildcard cc/*.cc cc/*/*.h cc/*/*.cc cc/*/*.cu cmake/*.h cmake/*.cc)
PY_FILES = $(wildcard setup.py build_backend python tests benchmarks examples)

# Neither fetches anything when it runs: basedpyright's node comes with it.
types: install
	@$(BIN)/python -m pytest -q tests/test_typing.py

lint: $(VENV)/.lint
	@$(BIN)/ruff check $(PY_FILES)
	@$(BIN)/ruff format --check $(PY_FILES)
	@$(BIN)/clang-format --dry-run -Werror $(CC_FILES)

format: $(VENV)/.lint
	@$(BIN)/ruff check --fix $(PY_FILES)
	@$(BIN)/ruff format $(PY_FILES)
	@$(BIN)/clang-format -i $(CC_FILES)

clean:
	rm -rf build dist python/*.egg-info

distclean: clean
	rm -rf $(VENV)
