"""The benchmarks: `python -m tf_pairwise bench` in an installation, `python -m benchmarks` here."""
