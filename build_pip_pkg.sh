#!/usr/bin/env bash
# Makes the wheel: build_pip_pkg.sh [DEST], DEST being dist/ if not given.
#
# It is built for the TensorFlow of the interpreter PYTHON (python3 if not set),
# or for that in TF_PAIRWISE_TF_ROOT. setup.py lists the other variables.
set -euo pipefail

dest=$(realpath -m "${1:-$(dirname "$0")/dist}")
cd "$(dirname "$0")"
python=${PYTHON:-python3}

# In the interpreter's own environment if that has the tools, so that builds are
# incremental; else in a build environment that pip makes.
isolation=()
if "$python" -c 'import cmake, ninja, pybind11, setuptools
assert int(setuptools.__version__.split(".")[0]) >= 77' 2>/dev/null; then
  isolation=(--no-build-isolation)
fi

mkdir -p "$dest"
rm -f "$dest"/tf_pairwise-*.whl
"$python" -m pip wheel . --no-deps ${isolation[@]+"${isolation[@]}"} -w "$dest" \
  --disable-pip-version-check ${PIP_VERBOSITY:--q}
ls "$dest"/tf_pairwise-*.whl
