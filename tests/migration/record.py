"""python tests/migration/record.py LIBRARY...: the peers' numbers of docs/migration.md.

Runs the peer's cell of each row of the libraries named, in an environment that has them, and
writes value and gradients to peers.json beside this file; the other libraries' stay. Names are
those on the package index, which the page has in its headings. Three environments of Python 3.11
have had them all, each with what its libraries import:

    tensorflow-cpu==2.15.* tensorflow-addons==0.23.0, and without their dependencies
        tensorflow-similarity==0.17.1 tensorflow-ranking==0.5.5; then tabulate 'pandas<2.3'
        matplotlib umap-learn distinctipy bokeh tensorflow-datasets 'protobuf<5' 'numpy<2'
    tensorflow-cpu==2.21.* keras-rs==0.4.0
    torch==2.13.0 pytorch-metric-learning==2.9.0 sentence-transformers==6.2.0

A row that is new or changed on the page is recorded by running its library again.
"""

import importlib.metadata
import json
import sys

import page


def of_tensorflow(code, names):
    import tensorflow as tf

    return page.tensorflow_numbers(code, tf, names)


def of_torch(code, names):
    import torch

    return page.torch_numbers(code, torch, names)


def addons():
    import tensorflow_addons as tfa

    return of_tensorflow, {"tfa": tfa}


def similarity():
    import tensorflow_similarity as tfsim

    return of_tensorflow, {"tfsim": tfsim}


def ranking():
    import tensorflow_ranking as tfr

    return of_tensorflow, {"tfr": tfr}


def keras_rs():
    import keras_rs

    return of_tensorflow, {"keras_rs": keras_rs}


def metric_learning():
    from pytorch_metric_learning import distances, losses, miners, reducers

    names = {"distances": distances, "losses": losses, "miners": miners, "reducers": reducers}
    return of_torch, names


def sentence_transformers():
    """Its losses call a model on features: here the embeddings themselves pass through it."""
    import torch
    from sentence_transformers.sentence_transformer import losses

    class Embedded(torch.nn.Module):
        def forward(self, features):
            return features

    def columns(*embeddings):
        return [{"sentence_embedding": x} for x in embeddings]

    return of_torch, {"losses": losses, "model": Embedded(), "columns": columns}


LIBRARIES = {
    "tensorflow-addons": addons,
    "tensorflow-similarity": similarity,
    "tensorflow-ranking": ranking,
    "keras-rs": keras_rs,
    "pytorch-metric-learning": metric_learning,
    "sentence-transformers": sentence_transformers,
}


def main(asked):
    unknown = [name for name in asked if name not in LIBRARIES]
    if unknown or not asked:
        raise SystemExit(f"got {unknown or 'nothing'}, expected of {', '.join(LIBRARIES)}")
    recorded = page.recorded() if page.PEERS.exists() else {}
    for library in asked:
        numbers_of, names = LIBRARIES[library]()
        made = {peer: numbers_of(peer, names) for peer, _ in page.rows()[library]}
        version = importlib.metadata.version(library)
        recorded[library] = {"version": version, "rows": made}
        print(f"{library} {version}: {len(made)} rows")
    page.PEERS.write_text(json.dumps(dict(sorted(recorded.items())), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
