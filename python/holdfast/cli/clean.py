"""`holdfast clean`: what earlier runs left on a device."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from holdfast.cli import reach
from holdfast.cli.shared import Command, Given, show


@click.command(cls=Command)
@click.option("--yes", is_flag=True, help="Remove it.")
@click.pass_obj
def clean(given: Given, yes: bool) -> None:
    """List what earlier runs left on the device; with --yes, remove it."""
    from holdfast import journal

    device = reach.device(given)
    left = journal.left_overs(device)
    made = journal.made(device.address)
    columns: dict[str, Callable[[Any], object]] = {
        "RUN": lambda row: row.run,
        "KIND": lambda row: row.kind,
        "NAME": lambda row: f"{row.name}:{row.tag}" if row.tag else row.name,
        "MADE": lambda row: made.get(row.tag or row.name, "from elsewhere"),
    }
    show(given, left, columns)
    if yes and left:
        stayed = journal.clean(device, None)
        if not stayed:
            journal.forget(device.address)
        for line in stayed:
            click.echo(f"holdfast: could not remove {line}", err=True)
        sys.exit(1 if stayed else 0)
