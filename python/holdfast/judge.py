"""`holdfast judge DIR`: verdicts derived again from what a run kept, beside what the run itself said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from holdfast.exceptions import InvalidArgumentError
from holdfast.verdicts import DEPTH, INCONCLUSIVE, PROCEDURE, CaseRecord, outcome_of, store


@dataclass(frozen=True)
class Judged:
    """A case with its outcome derived again, and where the run said otherwise."""

    case: CaseRecord
    differs: tuple[str, ...]


def again(folder: Path, judged: str | None = None) -> list[Judged]:
    """Every case of a folder, as its run judged it, or as `judged` says (procedure or depth).

    Raises `InvalidArgumentError` where there is none, or one is damaged.
    """
    found = [
        _again(place, store.read_case(place), judged)
        for place in sorted(file.parent for file in folder.glob(f"*/{store.VERDICT}"))
    ]
    if not found:
        raise InvalidArgumentError(
            f"{folder}: there is no case in it", hint="give a folder that a run with --dut-artifacts wrote"
        )
    return sorted(found, key=lambda each: (each.case.device, each.case.plan_id, each.case.test))


def _again(place: Path, kept: CaseRecord, judged: str | None) -> Judged:
    case = replace(kept, judged=judged or kept.judged)
    if case.steps:  # one that never began has no more than what the run said of it
        case = replace(case, outcome=outcome_of(case.steps, case.judged))
    return Judged(case, tuple(_differences(store.read_json(place / store.VERDICT), kept, case)))


def _differences(told: dict[str, object], kept: CaseRecord, case: CaseRecord) -> Iterator[str]:
    for what in (PROCEDURE, DEPTH):
        said, derived = told.get(what), getattr(case, what)
        if said is not None and said != derived:
            yield f"{what} was {said}, and its steps say {derived}"
    if case.judged == kept.judged and kept.verdict != INCONCLUSIVE and case.outcome != kept.outcome:
        yield f"it was {kept.outcome}, and its steps say {case.outcome}"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--judge", type=click.Choice([PROCEDURE, DEPTH]), help="Which verdict counts (default: as the run had it)."
)
@click.pass_context
def judge(ctx: click.Context, folder: Path, judge: str | None) -> None:
    """The verdicts again, from what --dut-artifacts kept; 1 where a case failed or the run said otherwise."""
    from holdfast.render import terminal

    found = again(folder, judge)
    if ctx.obj["as_json"]:
        rows = [{**store.said(each.case), **_row(each)} for each in found]
        click.echo(json.dumps(rows, indent=2))
    else:
        for device in dict.fromkeys(each.case.device for each in found):
            click.echo(device)
            for line in terminal.table([each.case for each in found if each.case.device == device]):
                click.echo(line)
        for each in found:
            for line in each.differs:
                click.echo(f"OTHERWISE: {each.case.plan_id}: {line}")
        agreed = sum(not each.differs for each in found)
        click.echo(f"{len(found)} cases; of {agreed} the run said the same")
    failed = any(each.differs or each.case.outcome in ("failed", "error") for each in found)
    ctx.exit(1 if failed else 0)


def _row(each: Judged) -> dict[str, object]:
    case = each.case
    about = {"case": case.plan_id, "test": case.test, "device": case.device, "outcome": case.outcome}
    return {**about, "differs": each.differs, "steps": [asdict(step) for step in case.steps]}
