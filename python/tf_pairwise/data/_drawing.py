"""What an epoch draws: rows of classes, pairs and triplets, in plain NumPy.

All of it is a function of the labels, a key and turns, and the same for every version of NumPy.
"""

import math

import numpy as np


class Classes:
    """Rows by their class: classes are numbered in the order in which they first come.

    labels, of_row: [n], a row's label and class.
    rows: [n], the rows by class, each class's in order.
    sizes, starts: [classes], how many there are, and where they start in rows.
    """

    def __init__(self, labels):
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        number = np.empty(len(first), np.int64)
        number[np.argsort(first)] = np.arange(len(first))
        self.labels = labels
        self.of_row = number[inverse.reshape(-1)]
        self.rows = np.argsort(self.of_row, kind="stable")
        self.sizes = np.bincount(self.of_row)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self._place = np.empty(len(labels), np.int64)
        self._place[self.rows] = np.arange(len(labels)) - self.starts[self.of_row[self.rows]]

    def positives(self, key, anchors, turns):
        """For each anchor another row of its class, drawn by its turn; the next for no key."""
        of_anchor = self.of_row[anchors]
        size, start = self.sizes[of_anchor], self.starts[of_anchor]
        step = 1 if key is None else 1 + _below(size - 1, key, turns)
        return self.rows[start + (self._place[anchors] + step) % size]

    def negatives(self, key, anchors, turns):
        """For each anchor a row of another class: its own class in a ring of all is passed over."""
        of_anchor = self.of_row[anchors]
        size, start = self.sizes[of_anchor], self.starts[of_anchor]
        others = len(self.rows) - size
        step = self._place[anchors] % others if key is None else _below(others, key, turns)
        return self.rows[(start + size + step) % len(self.rows)]


def hashed(*words):
    """A uint64 that looks random for each tuple of words: integers, or integer arrays [n].

    In place of a generator's state, it gives every number by its name: what an epoch draws does
    not depend on how much of it is drawn, nor on NumPy's version.
    """
    state = np.uint64(0)
    with np.errstate(over="ignore"):
        for word in words:
            if isinstance(word, int):
                word = np.uint64(word % 2**64)
            # splitmix64 (Steele, Lea, Flood 2014).
            state = (state ^ np.asarray(word).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def hashed_or_none(key, number):
    """A key made of another; None, of no shuffling, stays None."""
    return None if key is None else hashed(key, number)


def _below(bounds, key, turns):
    """A random integer in [0, bound) for each turn."""
    return (hashed(key, turns) % bounds.astype(np.uint64)).astype(np.int64)


def _ramp(counts):
    """0 .. counts[0], 0 .. counts[1], and so on, as one array."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _sorted(groups, number, keys):
    """The stable order by group, an integer below number, and by random keys in a group."""
    bits = np.uint64(max(int(number - 1).bit_length(), 1))
    code = groups.astype(np.uint64) << (np.uint64(64) - bits) | keys >> bits
    return np.argsort(code, kind="stable")


def passes(key, rows, count, descending=False):
    """count of the rows: all of them in a random order, all in another one, and so on."""
    passes = math.ceil(count / max(1, len(rows)))
    if key is None:
        return np.tile(rows[::-1] if descending else rows, passes)[:count]
    number = np.repeat(np.arange(passes), len(rows))
    rows = np.tile(rows, passes)
    keys = hashed(key, number, rows)
    return rows[_sorted(number, passes, ~keys if descending else keys)[:count]]


def deal(key, sizes, hand, visits):
    """Deals each stack of cards in hands: [sum of visits, hand] cards, numbers in a stack.

    Stack s has the cards 0 .. sizes[s] and gives visits[s] hands. Its cards are dealt all of
    them before any is dealt again, and none is twice in a hand; with fewer cards than a hand
    takes, each is in it equally often, or once more.

    Args:
      key: of the random orders, None for the order of the cards.
      sizes, visits: int64 [stacks].
      hand: the number of cards in a hand.
    """
    whole = np.where(sizes < hand, hand // sizes * sizes, 0)
    cards = _dealt(key, sizes, hand - whole, visits)
    if not whole.any():
        return cards.reshape(-1, hand)
    column = np.arange(hand)
    repeated = column < np.repeat(whole, visits)[:, None]
    hands = column % np.repeat(sizes, visits)[:, None]
    hands[~repeated] = cards
    return hands


def _dealt(key, sizes, hands, visits):
    """`deal` for hands [stacks], each smaller than its stack or as large, as one array."""
    counts = visits * hands
    if key is None:
        return _ramp(counts) % np.repeat(sizes, counts)
    cards = np.empty(counts.sum(), np.int64)
    stacks = np.flatnonzero(counts)
    at = (np.cumsum(counts) - counts)[stacks]
    sizes, hands, counts = sizes[stacks], hands[stacks], counts[stacks]
    # A stack is dealt pass by pass. Where a hand ends with a pass, a run starts that depends on
    # nothing before it: all runs of all stacks go side by side, one pass at a time.
    passes = hands // np.gcd(hands, sizes)
    runs = -(-counts // (passes * sizes))
    run = _ramp(runs)
    at, sizes, hands, counts, passes, stacks = (
        np.repeat(each, runs) for each in (at, sizes, hands, counts, passes, stacks)
    )
    at = at + run * passes * sizes
    left = np.minimum(counts - run * passes * sizes, passes * sizes)
    keys = hashed(key, stacks, run)
    order = None
    for number in range(passes.max(initial=0)):
        going = left > 0
        if not going.all():
            if order is not None:
                order = order[np.repeat(going, sizes)]
            at, sizes, hands, left, keys = (each[going] for each in (at, sizes, hands, left, keys))
        if len(sizes) == 0:
            break
        of, card = np.repeat(np.arange(len(sizes)), sizes), _ramp(sizes)
        random = hashed(hashed(keys, number)[of], card)
        begun = number * sizes % hands  # cards that the hand has from the pass before
        if begun.any():
            # Those may not complete their own hand: the cards that do are drawn from the others,
            # the rest of the pass from all that remain.
            first = np.cumsum(sizes) - sizes
            last = card >= (sizes - begun)[of]
            held = np.zeros(len(of), bool)
            held[first[of[last]] + order[last]] = True
            complete = np.where(begun > 0, hands - begun, 0)
            drawn = _sorted(2 * of + held, 2 * len(sizes), random)[card < complete[of]]
            rest = np.ones(len(of), bool)
            rest[drawn] = False
            order = card[_sorted(2 * of + rest, 2 * len(sizes), hashed(random, 1))]
        else:
            order = card[_sorted(of, len(sizes), random)]
        taken = card < left[of]
        cards[at[of[taken]] + card[taken]] = order[taken]
        at, left = at + sizes, left - sizes
    return cards


def balanced(waiting, key, last, classes_per_batch, samples_per_class):
    """(rows, the rows that leave, None) of a balanced batch; None where there is none."""
    classes = Classes(waiting)
    ready = np.flatnonzero(classes.sizes >= samples_per_class)
    if len(ready) < classes_per_batch:
        return None
    if key is not None:
        ready = ready[np.argsort(hashed(key, 0, ready), kind="stable")]
        if last:  # the largest first, which leaves the fewest rows
            ready = ready[np.argsort(-classes.sizes[ready], kind="stable")]
    chosen = ready[:classes_per_batch]
    sizes = classes.sizes[chosen]
    of, card = np.repeat(np.arange(len(chosen)), sizes), _ramp(sizes)
    rows = classes.rows[classes.starts[chosen][of] + card]
    if key is not None:
        rows = rows[_sorted(of, len(chosen), hashed(key, 1, rows))]
    rows = rows[card < samples_per_class]
    return rows, rows, None


def waiting_pairs(waiting, key, similar):
    """Pairs [b, 2] of the rows that wait, of different first rows; None where there are too few."""
    classes = Classes(waiting)
    sizes = classes.sizes[classes.of_row]
    rows = np.arange(len(waiting))
    if key is not None:
        rows = rows[np.argsort(hashed(key, 0, rows), kind="stable")]
    at, other = np.flatnonzero(similar), np.flatnonzero(~similar)
    firsts = rows[sizes[rows] > 1][: len(at)]
    left = np.ones(len(rows), bool)
    left[firsts] = False
    others = rows[left[rows]][: len(other)] if len(classes.sizes) > 1 else rows[:0]
    if len(firsts) < len(at) or len(others) < len(other):
        return None
    index = np.empty((len(similar), 2), np.int64)
    index[at, 0], index[other, 0] = firsts, others
    index[at, 1] = classes.positives(hashed_or_none(key, 1), firsts, at)
    index[other, 1] = classes.negatives(hashed_or_none(key, 2), others, other)
    return index


def waiting_triplets(waiting, key, count):
    """Triplets [count, 3] of the rows that wait, of different anchors, or None."""
    classes = Classes(waiting)
    rows = np.flatnonzero(classes.sizes[classes.of_row] > 1)
    if len(rows) < count or len(classes.sizes) < 2:
        return None
    if key is not None:
        rows = rows[np.argsort(hashed(key, 0, rows), kind="stable")]
    anchors, turns = rows[:count], np.arange(count)
    positives = classes.positives(hashed_or_none(key, 1), anchors, turns)
    negatives = classes.negatives(hashed_or_none(key, 2), anchors, turns)
    return np.stack([anchors, positives, negatives], axis=1)
