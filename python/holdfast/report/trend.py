"""Whether a series grows: the Mann-Kendall test, and by how much: the slope of Theil and Sen.

Both are of ranks and medians: an outlier, or a value that was high at the start by chance, makes no growth. They are
written out here, in 40 lines: scipy and statsmodels, which have them, would be a hundred megabytes beside a tool of
ten, and every soak wants them. The tests compare them with scipy's results and, for few values, with all permutations.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

# Fewer values can hardly be told from chance.
LEAST = 8
# A series that grows by chance is taken for growth once in so many times.
CHANCE = 0.001
# So many points are compared, each with each: of a longer series, medians of parts.
MOST = 200


@dataclass(frozen=True)
class Trend:
    """What a series does from its first place to its last. `slope` is by place, `p` the chance of as much growth."""

    slope: float
    p: float
    first: float
    last: float

    @property
    def rises(self) -> bool:
        """Whether it grows, by more than chance."""
        return self.p < CHANCE and self.slope > 0


def of(places: Sequence[float], values: Sequence[float]) -> Trend | None:
    """The trend of values at their places, such as numbers of rounds; None where there are too few to tell."""
    if len(values) < LEAST:
        return None
    places, values = thinned(places, values)
    steps = [
        (later - earlier, one - other)
        for (earlier, other), (later, one) in combinations(zip(places, values, strict=True), 2)
    ]
    slope = median(rise / run for run, rise in steps)
    middle = median(values) - slope * median(places)
    return Trend(slope, chance(values), middle + slope * places[0], middle + slope * places[-1])


def chance(values: Sequence[float]) -> float:
    """The one-sided p value of Mann and Kendall, with their correction for ties: how often chance rises as much.

    >>> round(chance([1, 2, 3, 4, 5, 6, 7, 8]), 5)
    0.00042
    """
    count = len(values)
    score = sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))
    ties = sum(tied * (tied - 1) * (2 * tied + 5) for tied in Counter(values).values())
    variance = (count * (count - 1) * (2 * count + 5) - ties) / 18
    if score <= 0 or variance <= 0:
        return 1.0
    return math.erfc((score - 1) / math.sqrt(variance) / math.sqrt(2)) / 2


def thinned(places: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """At most `MOST` points: medians of parts of equal length."""
    size = -(-len(values) // MOST)
    parts = [slice(at, at + size) for at in range(0, len(values), size)]
    return [median(places[part]) for part in parts], [median(values[part]) for part in parts]
