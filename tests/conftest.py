"""Set-up of the tests, which are of the installed package."""

import os

import hypothesis

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The same examples on every run: a failure in CI is one that can be repeated.
hypothesis.settings.register_profile(
    "tf_pairwise", deadline=None, derandomize=True, database=None, max_examples=25
)
hypothesis.settings.load_profile("tf_pairwise")
