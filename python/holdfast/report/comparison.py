"""Two runs side by side, such as two software releases: verdicts, outages, what came and went."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Literal, TypeAlias

from holdfast.exceptions import InvalidArgumentError
from holdfast.report.account import RunAccount, read
from holdfast.results import Rows, Shown
from holdfast.verdicts import INCONCLUSIVE, NOT_CHECKED, PASS, CaseRecord, Step

# By how much an outage must have changed to be told, in seconds and as a ratio: less is chance.
SECONDS, RATIO = 0.5, 1.25
# How long what follows a step may be and still be the same in each run, such as a status.
REASON = 30
# How many cases of a run are named where none is in the other.
SOME = 3
# What a change is of: that a case is there, its verdicts, what was not checked or noted of it, why it fails, outages.
ChangeKind: TypeAlias = Literal["case", "verdict", "account", "reason", "outage"]
# From the worst on; what was not checked may be anything, so that to get there from a failure is no gain.
WORSE = ("error", "FAIL", "inconclusive", "not checked", "pass")


@dataclass(frozen=True, slots=True)
class Change(Shown):
    """Something that is otherwise in the second run. `better` is None where that is not for a tool to say."""

    case: str
    kind: ChangeKind
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
        """Whether a verdict got worse, or a case is gone that had passed."""
        return any(change.kind in ("case", "verdict") and change.better is False for change in self.changes)

    def _repr_html_(self) -> str:
        from holdfast import tables

        return tables.of_rows(self.changes) if self.changes else "<p>nothing changed</p>"


def compare(before: str | os.PathLike[str] | RunAccount, after: str | os.PathLike[str] | RunAccount) -> Comparison:
    """What changed between two folders of `--dut-artifacts`. Raises `InvalidArgumentError`.

    Cases are matched by their number in the plan and the device's name in the test, all rounds together; two runs
    without a case in common have nothing to compare.
    """
    first, second = (run if isinstance(run, RunAccount) else read(run) for run in (before, after))
    old, new = _by_case(first), _by_case(second)
    if not old.keys() & new.keys():
        raise InvalidArgumentError(
            f"{first.folder} and {second.folder} have no case in common: {_some(old)}; {_some(new)}",
            hint="compare runs of the same cases, on devices that the testbed calls the same",
        )
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
    return f"{case.plan_id} [{case.variant}]" if case.variant else case.plan_id


def _changes(name: str, old: Sequence[CaseRecord], new: Sequence[CaseRecord]) -> list[Change]:
    if not old or not new:
        better = False if any(PASS in _verdicts(case) for case in old) else None
        return [Change(name, "case", "case", "there" if old else "absent", "there" if new else "absent", better)]
    found = []
    for kind in old[0].kinds:
        was, now = (_worst([case.shown(kind) for case in cases]) for cases in (old, new))
        if was != now:
            found.append(Change(name, "verdict", f"{kind} verdict", was, now, _better(was, now)))
    for what, lines_of in (("not checked", _not_checked), ("noted", lambda case: case.noted)):
        gone, come = ({line for case in cases for line in lines_of(case)} for cases in (old, new))
        if gone != come:
            found.append(Change(name, "account", what, _listed(gone - come), _listed(come - gone)))
    reasons = [{_reason(step) for case in cases for step in case.failures} for cases in (old, new)]
    if not reasons[0] and reasons[1]:
        found.append(Change(name, "reason", "fails with", "-", _listed(reasons[1]), better=False))
    return found + _outages(name, old, new)


def _verdicts(case: CaseRecord) -> list[str]:
    return [case.shown(kind) for kind in case.kinds]


def _some(cases: Iterable[str]) -> str:
    """So many names that one sees what they are of."""
    names = sorted(cases)
    return ", ".join(names[:SOME]) + (f" and {len(names) - SOME} more" if len(names) > SOME else "")


def _not_checked(case: CaseRecord) -> list[str]:
    """The steps without long reasons, which name addresses and times of their own run."""
    steps = [step for step in case.steps if step.outcome in (NOT_CHECKED, INCONCLUSIVE)]
    return [step.line if len(step.words) < REASON else step.name for step in steps]


def _reason(step: Step) -> str:
    """Why it failed, in one line."""
    return next(iter((step.reason or step.words).splitlines()), "")


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
        Change(name, "outage", what, f"{one:.2f} s", f"{other:.2f} s", other < one)
        for what, one, other in measures
        if abs(one - other) > SECONDS and max(one, other) > RATIO * min(one, other)
    ]
