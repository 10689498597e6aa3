#!/usr/bin/env bash
# Makes the wheel: build_pip_pkg.sh [--tf VERSIONS] [DEST], DEST being dist/ if not given.
#
# It is built for the TensorFlow of the interpreter PYTHON (python3 if not set), or for that in
# TF_PAIRWISE_TF_ROOT. setup.py lists the other variables.
#
# With --tf 2.19,2.20,2.21 it is the wheel to give away: it has ops for each of these versions, which
# pip brings into environments under build/tensorflow/, asks for no newer system than manylinux_2_28
# names (cmake/portable.cmake), and is checked by auditwheel and tagged so. One for each Python.
set -euo pipefail

versions=""
if [[ ${1:-} == --tf ]]; then
  versions=${2:?--tf wants versions, as in --tf 2.20,2.21}
  shift 2
fi
if [[ $# -gt 1 || ${1:-} == -* ]]; then
  echo "usage: build_pip_pkg.sh [--tf 2.19,2.20,2.21] [DEST]" >&2
  exit 2
fi
dest=$(realpath -m "${1:-$(dirname "$0")/dist}")
cd "$(dirname "$0")"
python=${PYTHON:-python3}
mkdir -p "$dest"

# Makes an environment with what pip is told to install there, if there is none yet.
environment() {
  local folder=$1
  shift
  if [[ ! -e $folder/.ready ]]; then
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install -q --disable-pip-version-check "$@" >&2
    touch "$folder/.ready"
  fi
}

made=$dest
if [[ -n $versions ]]; then
  tag=$("$python" -c 'import sys; print(sys.implementation.cache_tag)')
  tensorflow=tensorflow
  [[ $(uname -m) == x86_64 ]] && tensorflow=tensorflow-cpu
  roots=()
  for version in ${versions//,/ }; do
    echo "TensorFlow $version"
    folder=$PWD/build/tensorflow/$tag-$version
    environment "$folder" "$tensorflow==$version.*"
    roots+=("$(echo "$folder"/lib/python*/site-packages/tensorflow)")
  done
  tools=$PWD/build/tensorflow/$tag-tools
  environment "$tools" -r requirements/build.txt -r requirements/wheel.txt
  TF_PAIRWISE_TF_ROOT=$(IFS=:; echo "${roots[*]}")
  TF_PAIRWISE_CMAKE_ARGS="-DTF_PAIRWISE_PORTABLE=ON ${TF_PAIRWISE_CMAKE_ARGS:-}"
  TF_PAIRWISE_BUILD_DIR=${TF_PAIRWISE_BUILD_DIR:-build/cmake-$tag-portable}
  export TF_PAIRWISE_TF_ROOT TF_PAIRWISE_CMAKE_ARGS TF_PAIRWISE_BUILD_DIR
  python=$tools/bin/python
  made=$PWD/build/tensorflow/$tag-wheel
fi

# In the interpreter's own environment if that has the tools, so that builds are
# incremental; else in a build environment that pip makes.
isolation=()
if "$python" -c 'import cmake, ninja, pybind11, setuptools
assert int(setuptools.__version__.split(".")[0]) >= 77' 2>/dev/null; then
  isolation=(--no-build-isolation)
fi

mkdir -p "$made"
rm -f "$dest"/tf_pairwise-*.whl "$made"/tf_pairwise-*.whl
"$python" -m pip wheel . --no-deps ${isolation[@]+"${isolation[@]}"} -w "$made" \
  --disable-pip-version-check ${PIP_VERBOSITY:--q}
if [[ -n $versions ]]; then
  PATH=$tools/bin:$PATH "$python" -m auditwheel repair "$made"/tf_pairwise-*.whl -w "$dest" \
    --plat "manylinux_2_28_$(uname -m)" \
    --exclude libtensorflow_framework.so.2 --exclude libtensorflow_cc.so.2
fi
ls "$dest"/tf_pairwise-*.whl
