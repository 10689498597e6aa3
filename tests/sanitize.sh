#!/usr/bin/env bash
# The kernels, the NumPy module and the ops' calls of them under AddressSanitizer
# and UndefinedBehaviorSanitizer: sanitize.sh BIN BUILD [pytest's arguments].
#
# BIN is the folder of an environment's python, cmake, ninja and ctest, BUILD what
# is built in. The C++ tests are whole, and of Python's those of each function and
# type, of tiles' edges, of hostile input, and of the launches on the fake GPU.
set -euo pipefail

bin=$(realpath "$1") build=$(realpath -m "$2")
shift 2
cd "$(dirname "$0")/.."

"$bin/cmake" -S . -B "$build" -GNinja -DCMAKE_MAKE_PROGRAM="$bin/ninja" \
  -DTF_PAIRWISE_PYTHON="$bin/python" -DTF_PAIRWISE_SANITIZE=address,undefined \
  -DTF_PAIRWISE_TESTS=ON -DTF_PAIRWISE_CUDA_ARCHITECTURES=sm_90 > "$build.log"
"$bin/ninja" -C "$build" >> "$build.log" || { tail -n 40 "$build.log"; exit 1; }
"$bin/cmake" --install "$build" --prefix "$build/site" >> "$build.log"
(cd "$build" && "$bin/ctest" --output-on-failure -j2 | tail -n 3)

# The sanitizers' runtimes come before Python, whose own memory is none of ours,
# and TensorFlow's neither.
runtimes=""
for library in libasan.so libubsan.so libstdc++.so.6; do
  runtimes+="$(${CXX:-c++} -print-file-name=$library) "
done
export PYTHONPATH=$build/site:$PWD TF_CPP_MIN_LOG_LEVEL=3
export TF_PAIRWISE_FAKE_CUDA=$build/libfake_cuda.so
# What they say is kept, since pytest catches what is printed.
rm -f "$build"/report.*
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=0:log_path=$build/report
export UBSAN_OPTIONS=print_stacktrace=1:log_path=$build/report
LD_PRELOAD=$runtimes "$bin/python" -m pytest -q -n 2 -p no:cacheprovider -m "not slow" \
  tests/test_numpy.py tests/test_tile_edges.py tests/test_hostile.py tests/test_gpu.py "$@" ||
  { head -n 40 "$build"/report.* 2>/dev/null; exit 1; }
