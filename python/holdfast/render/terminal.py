"""Cases as lines of a terminal: the two verdicts of each, how long the device was away, what was not checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from holdfast import visible
from holdfast.verdicts import DEPTH, FAIL, PROCEDURE, CaseRecord

# Shows a verdict: the text, and whether it is a failure's.
Paint = Callable[[str, bool], str]


def table(
    cases: Sequence[CaseRecord], paint: Paint = lambda text, _: text, *, reasons_above: bool = False
) -> Iterator[str]:
    """A line for each case, and below it what there is to say of it.

    `reasons_above`: why a test failed stands above already, so that the steps are but named here.
    """
    if all(DEPTH not in case.kinds for case in cases):
        yield from _short(cases, paint, reasons_above)
        return
    first = max(10, *(len(case.plan_id) for case in cases))
    procedure, depth = (max(least, *map(len, cells)) for least, cells in _columns(cases))
    yield f"{'case':<{first}} {'procedure':<{procedure}} {'depth':<{depth}} {'away':<16} checked"
    for case in cases:
        verdicts = f"{_painted(case.procedure, procedure, paint)} {_painted(case.depth, depth, paint)}"
        yield f"{visible.line(case.plan_id):<{first}} {verdicts} {away(case):<16} {len(case.checked)} steps"
        for line in _below(case, reasons_above):
            yield f"{'':<{first}} {line}"


def _short(cases: Sequence[CaseRecord], paint: Paint, reasons_above: bool) -> Iterator[str]:
    """Of cases that come to one verdict each."""
    first = max(10, *(len(case.plan_id) for case in cases))
    yield f"{'case':<{first}} {'verdict':<12} {'seconds':>7}"
    for case in cases:
        seconds = sum(step.seconds for step in case.steps)
        yield f"{visible.line(case.plan_id):<{first}} {_painted(case.shown(PROCEDURE), 12, paint)} {seconds:>7.2f}"
        for line in _below(case, reasons_above):
            yield f"{'':<{first}} {line}"


def _painted(verdict: str, width: int, paint: Paint) -> str:
    return paint(verdict, verdict in (FAIL, "error")) + " " * (width - len(verdict))


def away(case: CaseRecord) -> str:
    """How long the device was away, each time."""
    return " + ".join(f"{seconds:.2f} s" for seconds in case.outages) or "never"


def _columns(cases: Sequence[CaseRecord]) -> tuple[tuple[int, list[str]], ...]:
    return (10, [case.procedure for case in cases]), (6, [case.depth for case in cases])


def _below(case: CaseRecord, reasons_above: bool) -> Iterator[str]:
    yield from map(visible.line, _said(case, reasons_above))


def _said(case: CaseRecord, reasons_above: bool) -> Iterator[str]:
    above = reasons_above and case.outcome == "failed"
    yield from (f"{step.kind} failed: {step.name}" if above else str(step).splitlines()[0] for step in case.failures)
    yield from (f"noted: {line}" for line in case.noted)
    yield from (f"not checked: {line}" for line in case.not_checked)
    if case.why and not case.not_checked:
        yield f"not checked: {case.why}"
