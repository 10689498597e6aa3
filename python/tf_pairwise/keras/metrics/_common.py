"""What the metrics ask of their arguments."""

from __future__ import annotations

from tf_pairwise import _arguments


def integer(name, value):
    return _arguments.integer(name, value, least=1, below=2**31 - 1)
