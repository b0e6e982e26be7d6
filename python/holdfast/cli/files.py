"""Files on a device, by gNOI File: `holdfast files stat`, `holdfast files get`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import click

from holdfast.cli import reach
from holdfast.cli.shared import Group, SharedOptions, done, plain, show
from holdfast.results import Downloaded

# What a folder may be that is fetched from: it has no name to write it under.
NAMELESS = "file"


@click.group(cls=Group)
def files() -> None:
    """Files on a device: what is there, and fetching it (gNOI File)."""


@files.command()
@click.argument("path")
@click.pass_obj
def stat(given: SharedOptions, path: str) -> None:
    """A file, or what is in a folder; PATH begins with / or a disk such as flash:."""
    columns: dict[str, Callable[[Any], object]] = {
        "PATH": lambda row: row.path,
        "BYTES": lambda row: row.size,
        "PERMISSIONS": lambda row: row.permissions,
        "WRITTEN": lambda row: time_shown(row.last_modified),
    }
    show(given, reach.device(given).file.stat(path), columns)


def time_shown(time: datetime | None) -> str:
    """To the second; nothing where the device says nothing."""
    return time.isoformat(sep=" ", timespec="seconds") if time else ""


def download_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both commands take that fetch a file."""
    for option in (
        click.option("--timeout", type=float, metavar="SECONDS", help="How long it may be on its way (600)."),
        click.option("--limit", type=click.IntRange(min=0), metavar="BYTES", help="Take no more than that."),
        click.option("--unchecked", is_flag=True, help="Keep it too where it is not what its hash says."),
        click.option("-o", "--output", type=click.Path(dir_okay=False), help="Where to write it; its own name here."),
    ):
        command = option(command)
    return command


def came(given: SharedOptions, got: Downloaded) -> None:
    """Say what came, and whether it is what the device says of it."""
    checked = {True: f"it is as {got.hash.partition(':')[0]} says", False: "IT IS NOT WHAT THE DEVICE SAYS OF IT"}
    how = checked.get(bool(got.verified)) if got.verified is not None else "the device gives no hash to check it by"
    done(given, f"{got.name} -> {got.path}, {got.size} bytes: {how}", **plain(got))


@files.command("get")
@click.argument("path")
@download_options
@click.pass_obj
def get(
    given: SharedOptions, path: str, output: str | None, limit: int | None, timeout: float | None, unchecked: bool
) -> None:
    """Fetch a file; PATH begins with / or a disk such as flash:."""
    to = output or PurePosixPath(path).name or NAMELESS
    with reach.asking(given, f"fetching {path}") as device:
        got = device.file.get(path, to, limit=limit, check=not unchecked, timeout=timeout)
    came(given, got)
