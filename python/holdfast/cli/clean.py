"""`holdfast clean`: what earlier runs left on a device."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from holdfast.cli import reach
from holdfast.cli.shared import Command, SharedOptions, nothing_left, show
from holdfast.exit_codes import DONE, FAILED


@click.command(cls=Command)
@click.option("--yes", is_flag=True, help="Remove it.")
@click.option(
    "--from-elsewhere",
    is_flag=True,
    help="Also what other machines' runs left. None of them may still run.",
)
@click.pass_obj
def clean(given: SharedOptions, yes: bool, from_elsewhere: bool) -> None:
    """List what earlier runs left on the device; with --yes, remove it, and temporary folders of killed runs here.

    That is what this machine's journal has, or what bears a label holdfast.run. Names alone prove nothing.
    """
    from holdfast import journal, leftovers, scratch

    if yes:
        scratch.remove_left()
    device = reach.device(given)
    held = journal.lock(device.address) if yes else None
    seen = leftovers.survey(device)
    columns: dict[str, Callable[[Any], object]] = {
        "RUN": lambda row: row.run,
        "KIND": lambda row: row.kind,
        "NAME": lambda row: f"{row.name}:{row.tag}" if row.tag else row.name,
        "MADE": lambda row: row.made or {leftovers.ELSEWHERE: "from elsewhere"}.get(row.whose, "not known when"),
    }
    ours = seen.by(leftovers.HERE) + (seen.by(leftovers.ELSEWHERE) if from_elsewhere else [])
    rows = seen.found if given.as_json else [*seen.by(leftovers.HERE), *seen.by(leftovers.ELSEWHERE)]
    if rows or given.as_json:
        show(given, rows, columns)
    elif not seen.journal.warnings:
        nothing_left(f"nothing of an earlier run is left on {device.name}")
    alone = [leftovers.left_alone(thing) for thing in seen.found if thing not in ours]
    stayed = leftovers.clean(device, seen, ours) if held is not None else {}
    for line in (
        *seen.journal.warnings,
        *alone,
        *(f"could not remove {thing}: {why}" for thing, why in stayed.items()),
    ):
        click.echo(f"holdfast: {line}", err=True)
    if held is not None:
        held.release()
    sys.exit((FAILED if stayed else DONE).command)
