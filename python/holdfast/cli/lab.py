"""`holdfast lab status`: the devices of a testbed in a table: who has each, whether it is fit, what came of it last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast import journal, progress, visible
from holdfast.cli import reach
from holdfast.cli.shared import Command, SharedOptions, show
from holdfast.exceptions import HoldfastError
from holdfast.tables import counted

if TYPE_CHECKING:
    from holdfast.testbed import Target

# So many devices are looked at side by side.
SIDE_BY_SIDE = 16
FREE, IN_USE, UNKNOWN = "nobody", "in use", "-"


@dataclass(frozen=True)
class DeviceStatus:
    """A row: `reserved_by` and `since` of who has it, `fit` as doctor says it, `last` of the last run that was kept."""

    device: str
    tags: tuple[str, ...]
    reserved_by: str
    since: str
    fit: str
    last: str


@click.command(cls=Command)
@click.option(
    "--artifacts", multiple=True, metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="What runs kept by --dut-artifacts, for the last verdicts; may be given several times.",
)  # fmt: skip
@click.option("--no-doctor", is_flag=True, help="Reach no device.")
@click.pass_obj
def status(given: SharedOptions, artifacts: tuple[Path, ...], no_doctor: bool) -> None:
    """Each device of a testbed: who has it and since when, whether it is fit for the tests, and its last verdict."""
    targets = reach.listed(given)
    last = _last(artifacts)
    looking = progress.during(f"looking at {counted(len(targets), 'device')}")
    with looking, ThreadPoolExecutor(max_workers=min(SIDE_BY_SIDE, len(targets))) as pool:
        rows = list(pool.map(lambda target: _row(target, last, looks=not no_doctor), targets))
    if given.as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    columns = ("device", "tags", "reserved by", "since", "fit", "last")
    show(given, rows, {column: _cell(column) for column in columns})


def _cell(column: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - of a row, any
    name = column.replace(" ", "_")
    return lambda row: " ".join(getattr(row, name)) if name == "tags" else getattr(row, name) or UNKNOWN


def _row(target: Target, last: Mapping[str, str], *, looks: bool) -> DeviceStatus:
    held = journal.held_by(target.address)
    who, since = _holder(target, held)
    if target.maintenance:
        fit = str(target.maintenance)
    elif held is not None:
        fit = IN_USE  # what a run has there now is nothing that an earlier one left
    else:
        fit = _fitness(target) if looks else UNKNOWN
    return DeviceStatus(target.name, target.tags, who, since, visible.line(fit), last.get(target.name, UNKNOWN))


def _holder(target: Target, held: tuple[str, float] | None) -> tuple[str, str]:
    """Who has a device: by the coordinator that gives it out, else who `held` it by this machine's locks."""
    from holdfast.testbed import places

    if target.reserve is None:
        return (FREE, "") if held is None else (f"process {held[0]} here", _moment(held[1]))
    try:
        coordinator = places.reserver(target.reserve).coordinator
        holder = coordinator.holder(target.name)
        coordinator.close()
    except HoldfastError as error:
        return f"unknown: {visible.line(error.message)}", ""
    if holder is None:
        return FREE, ""
    return holder.owner, _moment(holder.since) if holder.since else ""


def _moment(seconds: float) -> str:
    """Seconds since 1970, as a clock here shows them."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc).astimezone():%Y-%m-%d %H:%M}"


def _fitness(target: Target) -> str:
    """What doctor says, in a word, and of what is unfit the first."""
    from holdfast import doctor

    findings = list(doctor.examine(target.connect))
    unfit = next((found for found in findings if found.fit is False), None)
    return "fit" if unfit is None else f"UNFIT: {unfit.what}: {unfit.seen}"


def _last(folders: Sequence[Path]) -> dict[str, str]:
    """Of each device, how many cases came to what in the last run that was kept, and when that ended."""
    from collections import Counter

    from holdfast.report.matrix import word
    from holdfast.verdicts import store

    cases = [case for folder in folders for case in store.read_verdicts(folder)]
    found = {}
    for device in {case.place for case in cases}:
        own = [case for case in cases if case.place == device]
        session = max(own, key=lambda case: case.ended).session
        ended = max(case.ended for case in own if case.session == session)
        counts = Counter(word(case) for case in own if case.session == session)
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
        found[device] = f"{told} ({ended[:16].replace('T', ' ')} UTC)"
    return found
