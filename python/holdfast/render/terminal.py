"""Cases as lines of a terminal: the two verdicts of each, how long the device was away, what was not checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from holdfast.render import lines
from holdfast.verdicts import DEPTH, FAIL, PROCEDURE, CaseRecord

# Shows a verdict: the text, and whether it is a failure's.
Paint = Callable[[str, bool], str]
# Of many outages in one case the terminal shows how many there were.
MOST_OUTAGES = 2
AWAY = 16


def table(
    cases: Sequence[CaseRecord],
    paint: Paint = lambda text, _: text,
    *,
    reasons_above: bool = False,
    width: int | None = None,
) -> Iterator[str]:
    """A line for each case, and below it what there is to say of it, in `width` columns where that is given.

    `reasons_above`: why a test failed stands above already, so that the steps are but named here, each in one line.
    """
    names = [named(case) for case in cases]
    if all(DEPTH not in case.kinds for case in cases):
        first = lines.first_column(names, 21, width)
        yield f"{'case':<{first}} {'verdict':<12} {'seconds':>7}"
        for case in cases:
            seconds = sum(step.seconds for step in case.steps)
            yield from lines.row(named(case), first, f"{_painted(case.shown(PROCEDURE), 12, paint)} {seconds:>7.2f}")
            yield from _below(case, reasons_above, first, width)
        return
    procedure, depth = (max(least, *map(len, cells)) for least, cells in _columns(cases))
    first = lines.first_column(names, procedure + depth + AWAY + 3 + len("100 steps"), width)
    yield f"{'case':<{first}} {'procedure':<{procedure}} {'depth':<{depth}} {'away':<{AWAY}} checked"
    for case in cases:
        verdicts = f"{_painted(case.procedure, procedure, paint)} {_painted(case.depth, depth, paint)}"
        yield from lines.row(named(case), first, f"{verdicts} {_away(case):<{AWAY}} {len(case.checked)} steps")
        yield from _below(case, reasons_above, first, width)


def named(case: CaseRecord) -> str:
    """What a row is about: of a soak, with the round."""
    return case.plan_id if case.round is None else f"{case.plan_id}, round {case.round}"


def _painted(verdict: str, width: int, paint: Paint) -> str:
    return paint(verdict, verdict in (FAIL, "error")) + " " * (width - len(verdict))


def away(case: CaseRecord) -> str:
    """How long the device was away, each time."""
    return " + ".join(f"{seconds:.2f} s" for seconds in case.outages) or "never"


def _away(case: CaseRecord) -> str:
    """The same in as little room as a column has."""
    if len(case.outages) <= MOST_OUTAGES:
        return away(case)
    return f"{len(case.outages)}x, up to {max(case.outages):.1f} s"


def where(case: CaseRecord) -> str:
    """Where a case failed, in one line: its first step that did, and how many more; empty where none did."""
    if not case.failures:
        return ""
    first, *more = case.failures
    kind = f"{first.kind} failed" if DEPTH in case.kinds else "failed"
    others = f" (and {len(more)} more)" if more else ""
    return f"{kind}: {first.name}{others}"


def _columns(cases: Sequence[CaseRecord]) -> tuple[tuple[int, list[str]], ...]:
    return (10, [case.procedure for case in cases]), (6, [case.depth for case in cases])


def _below(case: CaseRecord, reasons_above: bool, first: int, width: int | None) -> Iterator[str]:
    above = reasons_above and case.outcome == "failed"
    for step in case.failures:
        if above:
            yield lines.one(f"{step.kind} failed: {step.name}", first, width)
        else:
            yield from lines.below(str(step).splitlines()[0], first, width)
    for text in _said(case):
        yield from lines.below(text, first, width)


def _said(case: CaseRecord) -> Iterator[str]:
    yield from (f"noted: {line}" for line in case.noted)
    yield from (f"not checked: {line}" for line in case.not_checked)
    if case.why and not case.not_checked:
        yield f"not checked: {case.why}"
