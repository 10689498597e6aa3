"""Draws what each mining of `batch_triplet_loss` picks: `python docs/draw_mining.py`.

Points in the plane, three classes, and the triplets of `mine_triplets` for one anchor.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from tf_pairwise import numpy as tpn

MARGIN = 0.6
SEED, EACH, ANCHOR = 5, 5, 2
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c")
WORDS = {
    "all": "every positive with every negative",
    "hard": "farthest positive, nearest negative",
    "semi_hard": "each positive: the nearest negative beyond it",
    "semi_hard_all": "every negative beyond the positive,\nby less than the margin",
    "hard_all": "every negative nearer than the positive",
}


def points():
    rng = np.random.default_rng(SEED)
    centres = np.array([[0.0, 0.0], [1.3, 0.2], [0.5, 1.2]])
    x = np.concatenate([c + 0.45 * rng.normal(size=(EACH, 2)) for c in centres])
    return x.astype(np.float32), np.repeat(np.arange(3), EACH)


def main():
    x, labels = points()
    figure, axes = plt.subplots(1, 5, figsize=(15, 3.9), layout="constrained")
    for ax, (mining, words) in zip(axes, WORDS.items(), strict=True):
        triplets = tpn.mine_triplets(x, labels, mining=mining, margin=MARGIN)
        triplets = triplets[triplets[:, 0] == ANCHOR]
        farthest = np.linalg.norm(x[triplets[:, 1]] - x[ANCHOR], axis=1).max(initial=0)
        for radius, style in ((farthest, "-"), (farthest + MARGIN, ":")):
            ax.add_patch(plt.Circle(x[ANCHOR], radius, fill=False, color="0.75", linestyle=style))
        for _, positive, negative in triplets:
            ax.plot(*x[[ANCHOR, positive]].T, color="#2ca02c", linewidth=1.6, zorder=1)
            ax.plot(*x[[ANCHOR, negative]].T, color="#d62728", linewidth=0.9, zorder=1)
        for label in range(3):
            own = x[labels == label]
            ax.scatter(*own.T, s=46, color=COLOURS[label], edgecolor="white", zorder=2)
        ax.scatter(*x[ANCHOR], s=150, marker="*", color=COLOURS[0], edgecolor="black", zorder=3)
        ax.set_title(f'"{mining}": {len(triplets)}', loc="left", weight="bold", fontsize=11)
        ax.set_xlabel(words, fontsize=9)
        ax.set(xticks=[], yticks=[], aspect="equal", xlim=(-1.7, 2.5), ylim=(-1.9, 2.3))
        for side in ax.spines.values():
            side.set_color("0.85")
    figure.suptitle(
        "The triplets of one anchor (star): green to its positives, red to their negatives; "
        f"circles through the farthest positive, and the margin of {MARGIN} beyond it",
        fontsize=10,
        color="0.3",
    )
    path = Path(__file__).parent / "images" / "mining.png"
    figure.savefig(path, dpi=100)
    print(f"written: {path}")


if __name__ == "__main__":
    main()
