"""Verdicts derived again from what a run kept, beside what the run itself said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.exceptions import InvalidArgumentError
from holdfast.verdicts import DEPTH, FAIL, PASS, PROCEDURE, CaseRecord, Outcome, Step, outcome_of, store
from holdfast.verdicts.history import History


@dataclass(frozen=True)
class JudgedCase:
    """A case with its outcome derived again, and where the run said otherwise."""

    case: CaseRecord
    differs: tuple[str, ...]


def again(folder: Path, judged: str | None = None) -> list[JudgedCase]:
    """Every case of a folder, as its run judged it, or as `judged` says (procedure or depth).

    Raises `InvalidArgumentError` where there is no such folder or no case in it, or one is damaged.
    """
    if not folder.is_dir():
        raise InvalidArgumentError(f"{folder}: there is no such folder", hint="--dut-artifacts names one")
    found = [
        _again(place, store.read_case(place), judged)
        for place in sorted(file.parent for file in folder.glob(f"*/{store.VERDICT}"))
    ]
    if not found:
        raise InvalidArgumentError(
            f"{folder}: there is no case in it", hint="give a folder that a run with --dut-artifacts wrote"
        )
    return sorted(found, key=lambda each: (each.case.device, each.case.round or 0, each.case.plan_id, each.case.test))


def _again(place: Path, kept: CaseRecord, judged: str | None) -> JudgedCase:
    case = replace(kept, judged=judged or kept.judged)
    if (place / store.HISTORY).exists():
        case = replace(case, steps=_with_history(place / store.HISTORY, case.steps))
    if case.steps:  # one that never began has no more than what the run said of it
        case = replace(case, outcome=outcome_of(case.steps, case.judged, case.suite))
    return JudgedCase(case, tuple(_differences(store.read_json(place / store.VERDICT), kept, case)))


def _with_history(file: Path, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps, with the one that follows from a history derived from it again."""
    try:
        findings = History.decoded(store.read_json(file)).findings()
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{file}: it is no history: {error!r}", hint="another version of holdfast may have written it"
        ) from None
    outcome: Outcome = FAIL if findings else PASS
    return tuple(
        replace(step, outcome=outcome, words="; ".join(findings), reason="")
        if step.name == store.HISTORY_STEP and step.outcome != outcome
        else step
        for step in steps
    )


def _differences(stored: dict[str, object], kept: CaseRecord, case: CaseRecord) -> Iterator[str]:
    for what in (PROCEDURE, DEPTH):
        said, derived = stored.get(what), getattr(case, what)
        if said is not None and said != derived:
            yield f"{what} was {said}, and its steps say {derived}"
    if case.judged == kept.judged and case.outcome != kept.outcome:
        yield f"it was {kept.outcome}, and its steps say {case.outcome}"
