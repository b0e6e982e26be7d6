"""Two runs side by side, such as two software releases: verdicts, outages, what came and went."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from holdfast.report.account import RunAccount, read
from holdfast.results import Rows, Shown
from holdfast.verdicts import NOT_CHECKED, PASS, CaseRecord

# By how much an outage must have changed to be told, in seconds and as a ratio: less is chance.
SECONDS, RATIO = 0.5, 1.25
# How long what follows a step may be and still be the same in each run, such as a status.
REASON = 30
# From the worst on; what was not checked may be anything, so that to get there from a failure is no gain.
WORSE = ("error", "FAIL", "inconclusive", "not checked", "pass")


@dataclass(frozen=True, slots=True)
class Change(Shown):
    """Something that is otherwise in the second run. `better` is None where that is not for a tool to say."""

    case: str
    what: str
    before: str
    after: str
    better: bool | None = None


@dataclass(frozen=True)
class Comparison:
    """What changed from one run to another."""

    before: RunAccount
    after: RunAccount
    changes: Rows[Change]

    @property
    def worse(self) -> bool:
        """Whether a verdict got worse."""
        return any(change.what.endswith("verdict") and change.better is False for change in self.changes)

    def _repr_html_(self) -> str:
        from holdfast import tables

        return tables.of_rows(self.changes) if self.changes else "<p>nothing changed</p>"


def compare(before: str | os.PathLike[str] | RunAccount, after: str | os.PathLike[str] | RunAccount) -> Comparison:
    """What changed between two folders of `--dut-artifacts`. Raises `InvalidArgumentError`.

    Cases are matched by their number in the plan and the device's name in the test, all rounds together.
    """
    first, second = (run if isinstance(run, RunAccount) else read(run) for run in (before, after))
    old, new = _by_case(first), _by_case(second)
    changes: list[Change] = []
    for case in sorted({*old, *new}):
        changes += _changes(case, old.get(case, []), new.get(case, []))
    return Comparison(first, second, Rows(changes))


def _by_case(run: RunAccount) -> dict[str, list[CaseRecord]]:
    cases: dict[str, list[CaseRecord]] = {}
    for case in run.cases:
        cases.setdefault(_name(case), []).append(case)
    return cases


def _name(case: CaseRecord) -> str:
    """Its number, and of a testbed the device: rounds are one case."""
    _, bracket, inside = case.test.partition("[")
    parameters = [part for part in inside.removesuffix("]").split("-") if part and not part.startswith("round")]
    added = [part for part in parameters if part not in case.plan_id]
    return f"{case.plan_id} [{'-'.join(added)}]" if bracket and added else case.plan_id


def _changes(name: str, old: Sequence[CaseRecord], new: Sequence[CaseRecord]) -> list[Change]:
    if not old or not new:
        return [Change(name, "case", "there" if old else "absent", "there" if new else "absent")]
    found = []
    for kind in old[0].kinds:
        was, now = (_worst([case.shown(kind) for case in cases]) for cases in (old, new))
        if was != now:
            found.append(Change(name, f"{kind} verdict", was, now, _better(was, now)))
    for what in ("not_checked", "noted"):
        gone, come = ({_step(line) for case in cases for line in getattr(case, what)} for cases in (old, new))
        if gone != come:
            found.append(Change(name, what.replace("_", " "), _listed(gone - come), _listed(come - gone)))
    reasons = [{step.words.partition("\n")[0] for case in cases for step in case.failures} for cases in (old, new)]
    if not reasons[0] and reasons[1]:
        found.append(Change(name, "fails with", "-", _listed(reasons[1]), better=False))
    return found + _outages(name, old, new)


def _step(line: str) -> str:
    """A line without its reason, which names addresses and times of its own run."""
    step, _, reason = line.partition(": ")
    return line if len(reason) < REASON else step


def _better(was: str, now: str) -> bool | None:
    if now == NOT_CHECKED and was != PASS:
        return None
    return WORSE.index(now) > WORSE.index(was)


def _worst(verdicts: Sequence[str]) -> str:
    return min(verdicts, key=WORSE.index)


def _listed(lines: set[str]) -> str:
    return "; ".join(sorted(lines)) or "-"


def _outages(name: str, old: Sequence[CaseRecord], new: Sequence[CaseRecord]) -> list[Change]:
    """By more than chance: the longest, and with several rounds the median and the 95th percentile."""
    was, now = (sorted(seconds for case in cases for seconds in case.outages) for cases in (old, new))
    if not was or not now:
        return []
    measures = [("longest outage", was[-1], now[-1])]
    if min(len(was), len(now)) > 2:  # of two there is no median to speak of
        for what, at in (("median outage", 9), ("outage, 95th percentile", 18)):
            measures.append(
                (what, quantiles(was, n=20, method="inclusive")[at], quantiles(now, n=20, method="inclusive")[at])
            )
    return [
        Change(name, what, f"{one:.2f} s", f"{other:.2f} s", other < one)
        for what, one, other in measures
        if abs(one - other) > SECONDS and max(one, other) > RATIO * min(one, other)
    ]
