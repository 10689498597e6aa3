"""What property tests of labelled batches draw."""

from hypothesis import strategies as st

# Sizes around the edges of vectors and tiles.
EDGES = (0, 1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65)
BIG_EDGES = (95, 96, 97, 191, 192, 193, 255, 256, 257)


def batches(sizes=EDGES):
    """The arguments of a batch of points: its size, dimension, classes and seed."""
    return st.fixed_dictionaries(
        dict(
            n=st.sampled_from(sizes),
            d=st.sampled_from((1, 2, 3, 8, 17)),
            classes=st.sampled_from((1, 2, 3, 7, 70)),
            seed=st.integers(0, 1000),
        )
    )
