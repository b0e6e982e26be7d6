"""`--dut-repeat`: how outages spread over many rounds, and what grew."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from holdfast.verdicts import CaseRecord

# What may grow is compared between the first and the last so many of the rounds.
SHARE = 4
# By how much, to be worth a line.
NOTABLE = 1.25


def summary(cases: Sequence[CaseRecord]) -> Iterator[str]:
    """Lines for the terminal: percentiles of outages by device, and what was left or took longer at the end."""
    for device in dict.fromkeys(case.device for case in cases):
        own = [case for case in cases if case.device == device]
        rounds = max(case.round or 0 for case in own)
        yield f"{rounds} rounds on {device}"
        yield from _outages(own)
        yield from _growth(own)


def _outages(cases: Sequence[CaseRecord]) -> Iterator[str]:
    seconds = sorted(second for case in cases for second in case.outages)
    if not seconds:
        yield "  outages: none"
        return
    marks = {f"p{share}": percentile(seconds, share) for share in (50, 90, 99)}
    shown = ", ".join(f"{name} {value:.3f} s" for name, value in marks.items())
    yield f"  outages: {len(seconds)}; {shown}, longest {seconds[-1]:.3f} s"


def percentile(ordered: Sequence[float], share: int) -> float:
    """The value that `share` percent of them do not exceed (nearest rank)."""
    return ordered[max(0, -(-share * len(ordered) // 100) - 1)]


def _growth(cases: Sequence[CaseRecord]) -> Iterator[str]:
    series: dict[str, list[float]] = {}
    for case in sorted(cases, key=lambda case: case.round or 0):
        for what, value in case.held.items():
            series.setdefault(what, []).append(float(value))
    grew = []
    for what, values in series.items():
        length = max(1, len(values) // SHARE)
        first, last = statistics.median(values[:length]), statistics.median(values[-length:])
        if last > first * NOTABLE and last > first:
            grew.append(f"{what} from {first:g} to {last:g}")
    yield f"  grew: {'; '.join(grew) or 'nothing of ' + ', '.join(series)}"
