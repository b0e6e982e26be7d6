"""Cases as lines of a terminal: the two verdicts of each, how long the device was away, what was not checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast import visible
from holdfast.verdicts import DEPTH, PROCEDURE, CaseRecord


def table(cases: Sequence[CaseRecord]) -> Iterator[str]:
    """A line for each case, and below it what there is to say of it; all of it harmless to a terminal."""
    yield from map(visible.line, _lines(cases))


def _lines(cases: Sequence[CaseRecord]) -> Iterator[str]:
    if all(DEPTH not in case.kinds for case in cases):
        yield from _short(cases)
        return
    first = max(10, *(len(case.plan_id) for case in cases))
    procedure, depth = (max(least, *map(len, cells)) for least, cells in _columns(cases))
    yield f"{'case':<{first}} {'procedure':<{procedure}} {'depth':<{depth}} {'away':<16} checked"
    for case in cases:
        verdicts = f"{case.procedure:<{procedure}} {case.depth:<{depth}}"
        yield f"{case.plan_id:<{first}} {verdicts} {away(case):<16} {len(case.checked)} steps"
        for line in _below(case):
            yield f"{'':<{first}} {line}"


def _short(cases: Sequence[CaseRecord]) -> Iterator[str]:
    """Of cases that come to one verdict each."""
    first = max(10, *(len(case.plan_id) for case in cases))
    yield f"{'case':<{first}} {'verdict':<12} {'seconds':>7}"
    for case in cases:
        seconds = sum(step.seconds for step in case.steps)
        yield f"{case.plan_id:<{first}} {case.shown(PROCEDURE):<12} {seconds:>7.2f}"
        for line in _below(case):
            yield f"{'':<{first}} {line}"


def away(case: CaseRecord) -> str:
    """How long the device was away, each time."""
    return " + ".join(f"{seconds:.2f} s" for seconds in case.outages) or "never"


def _columns(cases: Sequence[CaseRecord]) -> tuple[tuple[int, list[str]], ...]:
    return (10, [case.procedure for case in cases]), (6, [case.depth for case in cases])


def _below(case: CaseRecord) -> Iterator[str]:
    yield from (f"noted: {line}" for line in case.noted)
    yield from (f"not checked: {line}" for line in case.not_checked)
    if case.why and not case.not_checked:
        yield f"not checked: {case.why}"
    yield from (str(step).splitlines()[0] for step in case.failures)
