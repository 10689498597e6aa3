#!/usr/bin/env bash
# The kernels and their callers under a sanitizer: sanitize.sh WHAT BIN BUILD [pytest's arguments].
#
# WHAT is one of
#   asan    AddressSanitizer and UndefinedBehaviorSanitizer: the C++ tests, and Python's of each
#           function and type, of tiles' edges, of hostile input, of the launches on the fake GPU
#   quick   the same sanitizers in minutes: the C++ tests, all functions of NumPy called at once and
#           with arrays that change, compiled for the smallest instruction set alone
#   tsan    ThreadSanitizer: the C++ tests, all functions of NumPy called at once
# BIN is the folder of an environment's python, cmake, ninja and ctest, BUILD what is built in.
set -euo pipefail

what=$1 bin=$(realpath "$2") build=$(realpath -m "$3")
shift 3
cd "$(dirname "$0")/.."

options=(-DTF_PAIRWISE_TENSORFLOW=OFF -DTF_PAIRWISE_CUDA=OFF)
sanitizers=address,undefined
# The runtimes come before Python, whose own memory is none of ours, and TensorFlow's neither.
runtimes=(libasan.so libubsan.so libstdc++.so.6)
case $what in
  asan) options=(-DTF_PAIRWISE_CUDA_ARCHITECTURES=sm_90) ;;
  quick) options+=(-DCMAKE_CXX_FLAGS=-DHWY_COMPILE_ONLY_STATIC) ;;
  tsan) sanitizers=thread runtimes=(libtsan.so libstdc++.so.6) ;;
  *) echo "sanitize.sh: got $what, expected asan, quick or tsan" >&2; exit 2 ;;
esac

"$bin/cmake" -S . -B "$build" -GNinja -DCMAKE_MAKE_PROGRAM="$bin/ninja" \
  -DTF_PAIRWISE_PYTHON="$bin/python" -DTF_PAIRWISE_SANITIZE=$sanitizers \
  -DTF_PAIRWISE_TESTS=ON "${options[@]}" > "$build.log"
"$bin/ninja" -C "$build" >> "$build.log" || { tail -n 40 "$build.log"; exit 1; }
"$bin/cmake" --install "$build" --prefix "$build/site" >> "$build.log"
(cd "$build" && "$bin/ctest" --output-on-failure -j2 | tail -n 3)

# What they say is kept, since pytest catches what is printed.
rm -f "$build"/report.*
export PYTHONPATH=$build/site:$PWD TF_CPP_MIN_LOG_LEVEL=3
export TF_PAIRWISE_FAKE_CUDA=$build/libfake_cuda.so
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=0:log_path=$build/report
export UBSAN_OPTIONS=print_stacktrace=1:log_path=$build/report
export TSAN_OPTIONS=log_path=$build/report
sanitized() {
  local library preload=""
  for library in "${runtimes[@]}"; do
    preload+="$(${CXX:-c++} -print-file-name="$library") "
  done
  LD_PRELOAD=$preload "$bin/python" "$@" ||
    { head -n 40 "$build"/report.* 2>/dev/null; exit 1; }
}

if [[ $what == asan ]]; then
  sanitized -m pytest -q -n 2 -p no:cacheprovider -m "not slow" \
    tests/test_numpy.py tests/test_tile_edges.py tests/test_hostile.py tests/test_gpu.py "$@"
  exit
fi
if [[ $what == quick ]]; then
  sanitized -m tests.callers 1 10
  exit
fi
# A caller's own races, with arrays that it changes, are no finding.
for isa in "" avx2 sse4; do
  TF_PAIRWISE_ISA=$isa sanitized -m tests.callers 3 0
done
