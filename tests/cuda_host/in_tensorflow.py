"""A plugin, `pytest -p tests.cuda_host.in_tensorflow`: TensorFlow sees a GPU, the fake one."""

import os

from tests import cuda_host

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

GPU = cuda_host.use_in_tensorflow()
