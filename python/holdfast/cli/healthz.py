"""The health of a device's components, by gNOI Healthz: `holdfast healthz list`, `get`, `check`, `artifact`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from holdfast.cli import reach
from holdfast.cli.files import came, download_options, time_shown
from holdfast.cli.shared import Group, SharedOptions, plain, show, written
from holdfast.results import ComponentStatus


@click.group(cls=Group)
def healthz() -> None:
    """The health of a device's components (gNOI Healthz).

    A COMPONENT is its name, such as that of a control processor, or a path such as
    /components/component[name=Chassis].
    """


def _each(events: Iterable[ComponentStatus]) -> Iterator[ComponentStatus]:
    """Each event, and after it what it is made of."""
    for event in events:
        yield event
        yield from _each(event.subcomponents)


def _show(given: SharedOptions, events: Iterable[ComponentStatus]) -> None:
    columns: dict[str, Callable[[Any], object]] = {
        "COMPONENT": lambda event: event.component,
        "STATUS": lambda event: event.status,
        "CREATED": lambda event: time_shown(event.created),
        "EVENT": lambda event: event.id,
        "ARTIFACTS": lambda event: ",".join(artifact.id for artifact in event.artifacts),
    }
    show(given, events if given.as_json else _each(events), columns)


def _show_one(given: SharedOptions, event: ComponentStatus) -> None:
    if given.as_json:
        click.echo(json.dumps(plain(event), default=written, indent=2))
    else:
        _show(given, (event,))


@healthz.command("list")
@click.argument("component")
@click.option("--acknowledged", is_flag=True, help="Those too that somebody acknowledged.")
@click.pass_obj
def list_command(given: SharedOptions, component: str, acknowledged: bool) -> None:
    """The events of a component."""
    _show(given, reach.device(given).healthz.list(component, include_acknowledged=acknowledged))


@healthz.command()
@click.argument("component")
@click.pass_obj
def get(given: SharedOptions, component: str) -> None:
    """The latest event of a component."""
    _show_one(given, reach.device(given).healthz.get(component))


@healthz.command()
@click.argument("component")
@click.option("--event", default="", metavar="ID", help="Collect more on this event.")
@click.pass_obj
def check(given: SharedOptions, component: str, event: str) -> None:
    """Have the device look at a component now. What it does for that is the vendor's, and may be expensive."""
    _show_one(given, reach.device(given).healthz.check(component, event_id=event))


@healthz.command()
@click.argument("id")
@download_options
@click.pass_obj
def artifact(
    given: SharedOptions, id: str, output: str | None, limit: int | None, timeout: float | None, unchecked: bool
) -> None:
    """Fetch what was collected on an event, by its ID among the ARTIFACTS."""
    to = output or re.sub(r"[^\w.-]+", "_", id).lstrip(".") or "artifact"
    with reach.asking(given, f"fetching {id}") as device:
        got = device.healthz.artifact(id, to, limit=limit, check=not unchecked, timeout=timeout)
    came(given, got)
