"""A plugin, `pytest -p tests.cuda_host.in_xla`: what XLA compiles calls a GPU's kernels."""

import os

from tests import cuda_host

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

GPU, XLA = cuda_host.use_in_xla()
