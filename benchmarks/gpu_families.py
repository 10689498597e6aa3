"""What gpu_estimates.py has to be told of each kernel: what a unit of its work is, and where.

A kernel that no line of FAMILIES describes is an error there, and of tests/test_gpu_benchmark.py.
"""

from dataclasses import dataclass
from math import ceil

MULTIPLY_ADDS, COMPARISONS = "FFMA|DFMA", "FSETP|DSETP"


class Sizes:
    """What the functions below are of: rows, and bytes of a computed and of a given value."""

    def __init__(self, n=65536, d=128, k=10, items=512, kind="f32"):
        self.N = self.M = n
        self.D, self.K, self.L = d, k, items
        self.S = {"f16": 2, "bf16": 2, "f64": 8}.get(kind, 4)
        self.T = max(4, self.S)
        self.tile = 64 if self.T == 8 else 128
        self.lists = max(1, n // 64)  # as in gpu_cases.py, and so many points of a label:
        self.C = 8
        # tile/strip_walk_gpu.cc: a strip's rows, and the parts that its columns are split into.
        self.strip = max(1, 2**23 // n // 128) * 128
        tiles = self.strip // self.tile * ceil(d / self.tile)
        parts = max(min(ceil(n / 256), ceil(256 / tiles)), ceil(n / 1024))
        self.parts = max(1, min(parts, 4 * n // d))
        # tile/pair_walk_gpu.cc: the parts that a row's columns are split into, of pair tiles.
        self.stride = ceil(d / 16) * 16
        self.splits = 1
        while self.splits * ceil(n / 64) < 512 and self.splits * 64 < n:
            self.splits *= 2


@dataclass(frozen=True, kw_only=True)
class Family:
    """Where there is a function, it is of Sizes."""

    names: str  # of kernels, but for the type at their end
    unit: str
    units: object  # of a call, all its strips
    bytes: object  # that a unit reads and writes
    mark: str  # an instruction that the hottest loop has for a unit
    each: object = 1  # units to one of them; two numbers: of floats, of doubles
    turn: int = 0  # or units to a turn, whatever the marks
    nest: object = None  # the loop is one around others, which turn so often for a turn of it
    outermost: bool = False  # and around all
    rolled: bool = False  # it may be one that is not unrolled, beside some that are
    passes: object = 1  # loops like it that a unit goes through
    per: object = None  # units of a warp for what is around the loops; None: many
    ways: int = 1  # alternatives, metrics or options, in what is around the loops
    alone: bool = False  # it is one block
    # Of pair tiles: how often a loop within that over tiles turns, by Sizes, what is in it, and
    # whether it is the first that has the mark; and tiles from one storing of sums to the next.
    turns: object = None
    stores: int = 1


def moved(computed=0, given=0, more=0, by=1):
    """Bytes: so many values computed in and given, and more."""
    return lambda s: (computed * s.T + given * s.S + more) / by


def rows(s):
    return s.N


def elements(s):
    return s.N * s.D


def all_pairs(s):
    return s.N * s.M


def all_products(s):
    return s.N * s.M * s.D


def both_sides(s):
    return 2 * s.N * s.M * s.D


def list_items(s):
    return s.lists * s.L


def of_point(s):
    return s.D


def of_row(s):
    return s.M / 8


def of_tile(s):
    return s.tile**2 * s.D / 8


def weights_bytes(s):
    """Of gradient sums: weights once for each tile of coordinates, others once for each of own."""
    return s.T * (1 / min(s.D, s.tile) + 1 / s.tile)


def row_sums(mark, each=1):
    return dict(
        unit="pair x coordinate",
        units=all_products,
        bytes=lambda s: weights_bytes(s) + s.T * s.parts / s.M,
        mark=mark,
        each=each,
        nest=8,
        per=lambda s: s.tile * min(s.D, s.tile) * s.M / s.parts / 8,
    )


def column_sums(mark, each=1):
    return row_sums(mark, each) | dict(
        bytes=lambda s: weights_bytes(s) + 2 * s.T / s.strip,
        per=lambda s: s.tile * min(s.D, s.tile) * s.strip / 8,
    )


def distances(mark, each=1):
    return dict(
        unit="pair x coordinate",
        units=all_products,
        bytes=lambda s: s.T * (2 / s.tile + 1 / s.D),
        mark=mark,
        each=each,
        nest=lambda s: s.T,
        per=of_tile,
    )


def of_rows(bytes, mark="LDG", each=1, **more):
    """A block to a row of a strip."""
    made = dict(unit="pair", units=all_pairs, bytes=bytes, mark=mark, each=each, per=of_row)
    return made | more


def searches(bytes):
    """The same, whose columns are looked for among 7 sorted positives."""
    return of_rows(bytes, turn=1, nest=3, passes=1.5)


def of_points(bytes, unit="coordinate", units=elements, each=1 / 2, **more):
    """A warp to a pair of points."""
    made = dict(unit=unit, units=units, bytes=bytes, mark="LDG", each=each, per=of_point, ways=6)
    return made | more


def of_positives(bytes, **more):
    """An anchor's positives, 8 at the most, with all columns."""
    units = dict(unit="positive x column", units=lambda s: s.N * s.C * s.M)
    return dict(bytes=bytes, **units, **more)


def of_lists(bytes, mark, each=1):
    """All pairs of a list, for 32 items of which a block reads it once."""
    made = dict(unit="pair of items", units=lambda s: s.lists * s.L**2, per=lambda s: 4 * s.L)
    return made | dict(bytes=bytes, mark=mark, each=each)


def pair_tiles(width, mark, sums=True):
    """A warp's tile of 16 rows, by 4 warps with the same columns; of a D that it is for."""
    columns = 32 if width > 128 else 64

    def stride(s):
        return s.stride if (width > 128) <= (s.stride > 128) and s.stride <= width else width

    def turns(s, has, product):
        if product:
            return stride(s) / (8 if mark == "FFMA" else 16)
        return 4 if has[mark] else 1

    def bytes(s):
        points = 1 / 64 + s.splits / s.M
        return stride(s) * (4 * points + sums * 8 / 512)

    return dict(
        unit="pair",
        units=all_pairs,
        bytes=bytes,
        mark=mark,
        turn=columns // 2,
        turns=turns,
        stores=512 // columns,
        per=lambda s: 16 * s.M / s.splits,
    )


def over(unit, units, bytes, mark, each=1, **more):
    return dict(unit=unit, units=units, bytes=bytes, mark=mark, each=each, **more)


def one_block(unit, units, bytes, each=1, mark="LDG", **more):
    return over(unit, units, bytes, mark, each, alone=True, **more)


TENSOR = dict(nest=None)
PAIR_AND_LABEL = moved(1, more=8)
LIST_PAIR = moved(4, more=8, by=32)

OF = {
    # tile/
    "(deep_)?distances_((squared_)?euclidean|cosine|dot)": distances(MULTIPLY_ADDS),
    "(deep_)?distances_manhattan": distances("FADD|DADD", 1 / 2),
    "(deep_)?distances_chebyshev": distances("FADD|DADD", (1, 1 / 2)),
    "accumulate_rows": row_sums(MULTIPLY_ADDS),
    "accumulate_columns": column_sums(MULTIPLY_ADDS),
    "accumulate_parts_rows": row_sums(COMPARISONS, 1 / 2),
    "accumulate_parts_columns": column_sums(COMPARISONS, 1 / 2),
    # On tensor cores, 16 x 8 x 8 to an instruction of a warp: of three products, of two (weights,
    # with points that are tf32), of one.
    "tf32_distances_.*": distances("HMMA", 32) | TENSOR,
    "tf32x3_(deep_)?distances_.*": distances("HMMA", 32 / 3) | TENSOR,
    "tf32_accumulate_rows": row_sums("HMMA", 16) | TENSOR,
    "tf32x3_accumulate_rows": row_sums("HMMA", 32 / 3) | TENSOR,
    "tf32_accumulate_columns": column_sums("HMMA", 16) | TENSOR,
    "tf32x3_accumulate_columns": column_sums("HMMA", 32 / 3) | TENSOR,
    "near_(rows|columns)": over(
        *("point x tile, none close", lambda s: s.N * s.M / s.tile, lambda s: 4, "LDG"),
        **dict(turn=1, nest=0, outermost=True),
    ),
    "largest_(rows|columns)": of_points(moved(1), "pair x coordinate", both_sides, ways=1),
    "add_partials": over("sum x part", lambda s: elements(s) * s.parts, moved(1), "LDG"),
    "finish": of_points(moved(3), mark="STG", each=1, rolled=True),
    "prepare": of_points(moved(2), mark="STG", each=1, passes=2),
    "centre": one_block("sampled coordinate", lambda s: 64 * s.D, moved(1), passes=2),
    "convert": over("element", elements, moved(1, 1), "LDG"),
    # tile/pair_tiles_gpu-inl.h
    **{f"contrastive_pair_tiles_{width}": pair_tiles(width, "FFMA") for width in (64, 128, 256)},
    **{f"hard_pair_tiles_{width}": pair_tiles(width, "FFMA", False) for width in (128, 256)},
    **{
        f"{losses}_pair_tiles_tf32(x3)?_{width}": pair_tiles(width, "HMMA", sums)
        for losses, sums in (
            ("contrastive", True),
            ("(labelled_)?softmax", True),
            ("sigmoid", True),
            ("(labelled_)?logits", False),
            ("hard", False),
        )
        for width in (64, 128, 256)
        if width > 64 or losses == "contrastive"
    },
    "softmax_logits": over(
        *("row", rows, lambda s: 24 * s.splits + 92, "LDG"),
        **dict(turn=1, rolled=True, per=32),
    ),
    "hard_totals": over(
        *("row", rows, lambda s: 48 * s.splits + 64, "LDG"),
        **dict(turn=1, rolled=True, per=32),
    ),
    "hard_gradient": over(
        *("point x anchor", all_pairs, lambda s: 8, "LDG"),
        **dict(turn=1, nest=0, outermost=True),
    ),
    # distance/
    "store_strip": of_rows(moved(1, 1), "STG"),
    "upstream": of_rows(moved(2, 1), each=1 / 2, ways=6),
    "pairwise_rows": of_points(moved(0, 1), "pair x coordinate", all_products),
    "pairwise_firsts": of_points(moved(0, 2), "pair x coordinate", both_sides, passes=2),
    "pairwise_seconds": of_points(moved(0, 4), "pair x coordinate", both_sides, passes=2),
    "paired_distances": of_points(moved(0, 2)),
    "paired_gradients": of_points(moved(0, 4), passes=2),
    "paired_seconds": of_points(moved(0, 6), passes=3),
    # contrastive/, softmax/, neighbors/
    "contrastive_strip": of_rows(moved(2, more=8), each=1 / 2, ways=13),
    "contrastive_total": one_block("row", rows, lambda s: 40, 1 / 5),
    "contrastive_pairs": of_points(moved(2, 2), passes=2),
    "softmax_columns": of_rows(moved(1)),
    "softmax_info_nce": of_rows(moved(3), "STG", passes=2),
    "softmax_symmetric": of_rows(moved(5), "STG", passes=2),
    "softmax_supervised": of_rows(moved(3, more=16), "STG", passes=2),
    "softmax_nt_xent": of_rows(moved(4, more=24), "STG", passes=3),
    "softmax_sigmoid": of_rows(moved(2), "STG"),
    "softmax_count_positives": of_rows(lambda s: 1, each=8),
    "softmax_scalars": one_block("row", rows, moved(1)),
    "softmax_totals": one_block("row", rows, lambda s: 24, 1 / 3),
    "nearest_neighbors": of_rows(moved(4), passes=lambda s: 4 * ceil(s.K / 1024)),
    # triplet/
    "explicit_triplets": of_points(moved(3, 3), passes=3),
    "batch_triplet_hard": of_rows(moved(2, more=8), each=1 / 2),
    "batch_triplet_(all|semi_hard|(semi_)?hard_all)": searches(moved(4, more=24)),
    "batch_triplet_all_soft": of_positives(
        moved(3, more=24, by=8), mark="MUFU", each=1 / 2, nest=3, passes=2
    ),
    "count_triplets_(hard|semi_hard|all)": of_rows(PAIR_AND_LABEL, each=1 / 2),
    "count_triplets_(semi_)?hard_all": searches(moved(3, more=24)),
    "write_triplets_hard": of_rows(moved(2, more=16), each=1 / 2, passes=2),
    "write_triplets_semi_hard": of_positives(PAIR_AND_LABEL, mark="LDG", each=1 / 2),
    "write_triplets_((semi_)?hard_)?all": of_positives(moved(2, more=40), mark="LDG", each=1 / 4),
    "begin_triplets": one_block("row", rows, lambda s: 24, passes=2),
    # ranking/
    "ranking_pairs_.*": over("pair", lambda s: 64 * s.N, moved(2, 2), "STG", 1 / 3),
    "list_pairs_logistic_.*": of_lists(LIST_PAIR, "MUFU", (1 / 2, 1 / 3)),
    "list_pairs_soft_zero_one_.*": of_lists(LIST_PAIR, "MUFU", (1 / 2, 1)),
    "list_pairs_hinge_dcg": of_lists(LIST_PAIR, "LDS", 1 / 3),
    "list_pairs_hinge_(none|label_diff)": of_lists(LIST_PAIR, "LDS", 1 / 2),
    "list_ranks": of_lists(moved(1, more=8, by=32), "LDS", 1 / 2),
    "list_unequal": of_lists(moved(1, more=8, by=32), "LDS"),
    "list_squares": over("item", list_items, moved(4, more=24), "STG", turn=1),
    "list_gather": over("item", list_items, moved(3, 1, more=12), "BAR", turn=1),
    "list_scale": over("item", list_items, moved(2), "STG"),
    "list_splits": one_block("list", lambda s: s.lists, lambda s: 8, mark="STG"),
    "list_sums": over("part", lambda s: s.lists * (s.L / 32 + 1), lambda s: 24, "LDG", 1 / 3),
    "list_loss": one_block("part", lambda s: s.lists / 8, lambda s: 24, 1 / 3),
    # cuda/
    "scale": over("element", elements, moved(1, 1), "STG"),
    "multiply": over("element", elements, moved(3), "STG"),
    "scale_of_mean": one_block("row", rows, moved(1)),
    "reduce_sums": one_block("part", lambda s: min(s.N / 8, 4096), lambda s: 24, 1 / 3),
}
FAMILIES = [Family(names=names, **of) for names, of in OF.items()]
