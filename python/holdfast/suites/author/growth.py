"""Whether a row of sizes goes on growing, as opposed to having grown until it was full."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import median

# A row in no order is called growing less often than once in so many.
CHANCE = 1000
# How many sizes it takes to tell a trend from that: of fewer, not even a row that always grows is rare enough.
ENOUGH = 8


def later_half(sizes: Sequence[float]) -> Sequence[float]:
    """What is judged: at first a volume may fill, with files that are made once."""
    return sizes[len(sizes) // 2 :]


def slope(sizes: Sequence[float]) -> float:
    """By how much it grows from one size to the next: the median over all pairs (Theil and Sen)."""
    pairs = combinations(enumerate(sizes), 2)
    return median((second - first) / (right - left) for (left, first), (right, second) in pairs)


def goes_on(sizes: Sequence[float]) -> bool | None:
    """Whether it grows throughout (Mann and Kendall's test, and each third above the one before); None where there
    are too few to tell.

    >>> goes_on([4, 6, 8, 9, 9, 9, 9, 9])
    False
    >>> goes_on([1, 2, 3, 4, 5, 6, 7, 8, 9])
    True
    >>> goes_on([1, 2, 3]) is None
    True
    """
    if len(sizes) > 1 and max(sizes) <= sizes[0]:
        return False
    if len(sizes) < ENOUGH:
        return None
    rises = sum((second > first) - (second < first) for first, second in combinations(sizes, 2))
    third = len(sizes) // 3
    middles = [median(part) for part in (sizes[:third], sizes[third:-third], sizes[-third:])]
    return middles[0] < middles[1] < middles[2] and _likelihood(sizes, rises) < 1 / CHANCE


def _likelihood(sizes: Sequence[float], rises: int) -> float:
    """How likely a row in no order has as many rises, by the normal approximation, with equal sizes allowed for."""
    count = len(sizes)
    equal = [sizes.count(each) for each in set(sizes)]
    variance = (count * (count - 1) * (2 * count + 5) - sum(n * (n - 1) * (2 * n + 5) for n in equal)) / 18
    if variance <= 0 or rises <= 0:
        return 1.0
    return math.erfc((rises - 1) / math.sqrt(variance) / math.sqrt(2)) / 2
