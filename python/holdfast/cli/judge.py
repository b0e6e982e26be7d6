"""`holdfast judge`: the verdicts of a run again, from what it kept."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.choices import JudgedVerdict, words
from holdfast.cli.shared import Command, SharedOptions
from holdfast.exit_codes import DONE, FAILED
from holdfast.tables import counted
from holdfast.verdicts import store

if TYPE_CHECKING:
    from holdfast.judge import JudgedCase


@click.command(cls=Command)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--judge",
    type=click.Choice(words(JudgedVerdict)),
    help="Which verdict counts (default: as the run had it).",
)
@click.pass_obj
def judge(given: SharedOptions, folder: Path, judge: str | None) -> None:
    """The verdicts again, from what --dut-artifacts kept; 1 where a case failed or the run said otherwise."""
    from holdfast.judge import again
    from holdfast.render import lines, terminal

    found = again(folder, judge)
    if given.as_json:
        rows = [{**store.said(each.case), **_row(each)} for each in found]
        click.echo(json.dumps(rows, indent=2))
    else:
        for device in dict.fromkeys(each.case.device for each in found):
            click.echo(device)
            own = [each.case for each in found if each.case.device == device]
            for line in terminal.table(own, width=lines.width_of_terminal()):
                click.echo(line)
        for each in found:
            for line in each.differs:
                click.echo(f"OTHERWISE: {terminal.named(each.case)}: {line}")
        agreed = sum(not each.differs for each in found)
        click.echo(f"{counted(len(found), 'case')}; the run itself judged {agreed} of them alike")
    failed = any(each.differs or each.case.outcome in ("failed", "error") for each in found)
    sys.exit((FAILED if failed else DONE).command)


def _row(each: JudgedCase) -> dict[str, object]:
    case = each.case
    about = {
        "case": case.plan_id,
        "test": case.test,
        "device": case.device,
        "round": case.round,
        "outcome": case.outcome,
    }
    return {**about, "differs": each.differs, "steps": [asdict(step) for step in case.steps]}
