"""What many rounds of the same cases come to: how verdicts and outages spread, and what grew from round to round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

from holdfast.exceptions import InvalidArgumentError
from holdfast.report import trend
from holdfast.report.trend import Trend
from holdfast.verdicts import CaseRecord, store

SHARES = (50, 90, 95, 99)
# Growth of an outage that matters to somebody: of its first length, and in seconds.
SHARE_OF_OUTAGE, SECONDS = 0.1, 0.05
OUTAGE = "outage, s"


@dataclass(frozen=True)
class Spread:
    """How values lie: percentiles by nearest rank, and the largest."""

    count: int
    percentiles: Mapping[int, float]
    largest: float


def spread(values: Iterable[float]) -> Spread | None:
    """Of values in any order; None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Spread(len(ordered), {share: percentile(ordered, share) for share in SHARES}, ordered[-1])


def percentile(ordered: Sequence[float], share: int) -> float:
    """The value that `share` percent of them do not exceed (nearest rank)."""
    return ordered[max(0, -(-share * len(ordered) // 100) - 1)]


@dataclass(frozen=True)
class Growth:
    """What one series did from round to round; `trend` is None where there were too few rounds to tell."""

    what: str
    first: float
    last: float
    trend: Trend | None
    grew: bool

    def __str__(self) -> str:
        if self.trend is None or not self.grew:
            return f"{self.what} from {self.first:g} to {self.last:g}"
        slope = f"by {self.trend.slope:.3g} a round"
        return f"{self.what} {slope}, from {self.trend.first:.3g} to {self.trend.last:.3g} (p = {self.trend.p:.1g})"


class DeviceSoak:
    """The rounds of one device."""

    def __init__(self, device: str, cases: Sequence[CaseRecord]) -> None:
        self.device = device
        self.cases = sorted(cases, key=lambda case: case.round or 0)

    @property
    def rounds(self) -> int:
        """The highest that a case came to an end in."""
        return max((case.round or 0 for case in self.cases), default=0)

    def verdicts(self, cases: Iterable[CaseRecord] | None = None) -> Counter[str]:
        """How many cases came to each."""
        return Counter(case.verdict for case in (self.cases if cases is None else cases))

    @property
    def failures(self) -> list[CaseRecord]:
        """The cases that failed, or could not begin for an error, in the order of their rounds."""
        return [case for case in self.cases if case.verdict in ("FAIL", "error", "inconclusive")]

    @property
    def outages(self) -> list[tuple[int, float]]:
        """Each with its round, in seconds: once, of cases that share a failover (`--dut-combine`)."""
        found: dict[object, tuple[int, float]] = {}
        for case in self.cases:
            # what older versions kept does not say which failover it was: each counts
            known: Sequence[object] = case.outages_known_after or [object() for _ in case.outages]
            for after, seconds in zip(known, case.outages, strict=True):
                found[case.round, after] = (case.round or 0, seconds)
        return list(found.values())

    def by_case(self) -> dict[str, list[CaseRecord]]:
        """The rounds of each case."""
        found: dict[str, list[CaseRecord]] = {}
        for case in self.cases:
            found.setdefault(f"{case.plan_id} {case.title}".strip(), []).append(case)
        return dict(sorted(found.items()))

    @cached_property
    def growth(self) -> list[Growth]:
        """Of all that was held in each round, and of the outages."""
        held = {what for case in self.cases for what in case.held}
        found = [
            _growth(what, ((case.round or 0, case.held[what]) for case in self.cases if what in case.held), max)
            for what in sorted(held)
        ]
        found.append(_growth(OUTAGE, self.outages, median))
        return [each for each in found if each is not None]

    @property
    def stopped(self) -> str:
        """Why its rounds ended before the time: what cases say that were not run any more."""
        return next((case.why for case in self.cases if case.why.startswith("stopped after")), "")


def _growth(
    what: str, values_of_rounds: Iterable[tuple[int, float]], whole: Callable[[list[float]], float]
) -> Growth | None:
    """Of values with their rounds; what `whole` makes of all those of a round is compared."""
    rounds: dict[int, list[float]] = {}
    for number, value in values_of_rounds:
        rounds.setdefault(number, []).append(value)
    if not rounds:
        return None
    numbers, values = list(rounds), [whole(each) for each in rounds.values()]
    found = trend.of(numbers, values)
    least = max(SECONDS, SHARE_OF_OUTAGE * values[0]) if what == OUTAGE else 1.0
    grew = found is not None and found.rises and found.last - found.first >= least
    return Growth(what, values[0], values[-1], found, grew)


def by_device(cases: Sequence[CaseRecord]) -> list[DeviceSoak]:
    """The soak of each device, in the order in which they came."""
    parts: dict[str, list[CaseRecord]] = {}
    for case in cases:
        parts.setdefault(case.place, []).append(case)
    return [DeviceSoak(next((case.device for case in own if case.steps), name), own) for name, own in parts.items()]


def read(folder: Path) -> list[CaseRecord]:
    """The cases with rounds that the last run in a folder of `--dut-artifacts` kept. Raises `InvalidArgumentError`."""
    cases = [case for case in store.read_verdicts(folder) if case.round is not None]
    if not cases:
        raise InvalidArgumentError(
            f"{folder}: there is no round of a soak in it",
            hint="give a folder that a run with --dut-artifacts and --dut-repeat or --dut-for wrote",
        )
    last = max(cases, key=lambda case: case.ended).session
    return [case for case in cases if case.session == last]


def summary(cases: Sequence[CaseRecord]) -> Iterator[str]:
    """Lines for the terminal: percentiles of outages by device, and what grew."""
    for soak in by_device(cases):
        yield f"{soak.rounds} rounds on {soak.device}"
        found = spread(seconds for _, seconds in soak.outages)
        if found is None:
            yield "  outages: none"
        else:
            marks = ", ".join(f"p{share} {value:.3f} s" for share, value in found.percentiles.items())
            yield f"  outages: {found.count}; {marks}, longest {found.largest:.3f} s"
        yield f"  {grown(soak.growth)}"


def grown(growth: Sequence[Growth]) -> str:
    """What grew, in a line; where that cannot be told yet, what was there."""
    if not growth:
        return "grew: nothing was counted"
    if all(each.trend is None for each in growth):
        return f"grew: too few rounds to tell ({trend.LEAST}): {'; '.join(map(str, growth))}"
    grew = [str(each) for each in growth if each.grew]
    return f"grew: {'; '.join(grew) or 'nothing of ' + ', '.join(each.what for each in growth)}"
