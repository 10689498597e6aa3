"""PEP 517 backend: setuptools, and for a wheel the TensorFlow it will meet.

A build in isolation sees only its own environment. A TensorFlow that the build
requirements put there may be another version than the one outside, and an op
library works with one version only. So the one outside is looked up (see
find_tensorflow.py) and built for; TensorFlow is required only if there is none,
or, for Highway's headers in its wheel, where they are nowhere else.
"""

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

import find_tensorflow

TOOLS = [
    "cmake>=3.26,<5",
    "ninja>=1.11",
    "pybind11>=2.13,<4",
    'nvidia-cuda-nvrtc-cu12==12.5.82; sys_platform == "linux"',
]


def _requirements():
    if not find_tensorflow.wanted():
        return TOOLS
    roots = find_tensorflow.find_roots()
    if not roots:
        return [*TOOLS, find_tensorflow.REQUIREMENT]
    if find_tensorflow.wants_highway(roots):
        return [*TOOLS, find_tensorflow.WITH_HIGHWAY]
    return TOOLS


def get_requires_for_build_wheel(config_settings=None):
    return build_meta.get_requires_for_build_wheel(config_settings) + _requirements()


def get_requires_for_build_editable(config_settings=None):
    return build_meta.get_requires_for_build_editable(config_settings) + _requirements()
