#!/usr/bin/env bash
# All that a machine with a GPU is asked: gpu_all.sh BIN OUT [arguments of benchmarks/gpu.py].
#
#   tests                             make test-gpu
#   memcheck                          the same under compute-sanitizer
#   racecheck, initcheck, synccheck   and under its slower tools, each function once
#   benchmark                         benchmarks/gpu.py, whose table goes into docs/gpu.md, too
#
# BIN is the folder of an environment's python, which has the package and PyTorch. What the steps
# say is kept in OUT. One that fails stops no other; the last lines say how each ended.
set -uo pipefail

bin=$(realpath "$1") out=$(realpath -m "$2")
shift 2
cd "$(dirname "$0")/.." && mkdir -p "$out" || exit 2

"$bin/python" - <<'END' || exit 1
from tf_pairwise import _numpy
try:
    _numpy.require_gpu()
except Exception as error:
    raise SystemExit(f"make gpu is for a machine with a GPU: {error}")
END

results=() failed=0
step() {
  local name=$1 begin=$SECONDS result=passed
  shift
  echo "---- $name: $*"
  "$@" 2>&1 | tee "$out/$name.log" || { result=FAILED failed=1; }
  results+=("$(printf '%-10s %s, %d s: %s' "$name" $result $((SECONDS - begin)) "$out/$name.log")")
}

step tests make test-gpu
step memcheck make test-gpu SANITIZER=memcheck
for tool in racecheck initcheck synccheck; do
  step $tool make test-gpu SANITIZER=$tool GPU_FLAGS='-k test_the_same_bits_again'
done
step benchmark "$bin/python" benchmarks/gpu.py \
  --markdown "$out/gpu.md" --json "$out/gpu.json" --into docs/gpu.md "$@"

echo "----"
printf '%s\n' "${results[@]}"
exit $failed
