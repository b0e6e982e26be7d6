"""`holdfast failpoints`, `failpoint` and `quirks`: what can be made to go wrong, here and in another process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.shared import Command, Group, SharedOptions, done, show

if TYPE_CHECKING:
    from holdfast.failpoint import Failpoints


@click.command("failpoints", cls=Command)
@click.option("--provider", type=click.Choice(("emulator", "cni-bridge-fp", "storage")), help="Those of one provider.")
@click.pass_obj
def failpoints(given: SharedOptions, provider: str | None) -> None:
    """Every failpoint's name, with a line on each."""
    from holdfast import _core

    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda row: row["name"],
        "PROVIDER": lambda row: row["provider"],
        "WHAT HAPPENS": lambda row: row["help"],
    }
    keys = ("provider", "name", "help")
    rows = [dict(zip(keys, row, strict=True)) for row in _core.failpoint_names() if provider in {None, row[0]}]
    show(given, rows, columns)


@click.group("failpoint", cls=Group)
@click.option(
    "--control", required=True, metavar="PATH", help="An emulated device's state folder, or its control socket."
)
@click.pass_obj
def failpoint(given: SharedOptions, control: str) -> None:
    """The failpoints of an emulated device that runs in another process."""
    given.said["control"] = control


def _far_failpoints(given: SharedOptions) -> Failpoints:
    from holdfast.failpoint import control

    return control(given.said["control"])


@failpoint.command("arm")
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=TERMS…")
@click.pass_obj
def failpoint_arm(given: SharedOptions, pairs: Sequence[str]) -> None:
    """Arm failpoints until they are disarmed."""
    from holdfast.failpoint import read_environment

    armed = read_environment("\n".join(pairs))
    for name, terms in armed:
        _far_failpoints(given).arm(name, terms)
    done(given, "\n".join(f"armed {name}={terms}" for name, terms in armed), armed=dict(armed))


@failpoint.command("disarm")
@click.argument("name")
@click.pass_obj
def failpoint_disarm(given: SharedOptions, name: str) -> None:
    """Disarm a failpoint, and say how often it was hit."""
    hits = _far_failpoints(given).disarm(name)
    done(given, f"disarmed {name}: {hits} hits", disarmed=name, hits=hits)


@failpoint.command("release")
@click.argument("name")
@click.pass_obj
def failpoint_release(given: SharedOptions, name: str) -> None:
    """Let the calls that wait at a pause go on."""
    _far_failpoints(given).release(name)
    done(given, f"released {name}", released=name)


@failpoint.command("list")
@click.pass_obj
def failpoint_list(given: SharedOptions) -> None:
    """The failpoints that are armed."""
    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda row: row["name"],
        "TERMS": lambda row: row["terms"],
        "HITS": lambda row: row["hits"],
    }
    show(given, [vars(armed) for armed in _far_failpoints(given).armed()], columns)


@click.command("quirks", cls=Command)
@click.pass_obj
def quirks(given: SharedOptions) -> None:
    """Every quirk of the emulated device, with a line on each."""
    from holdfast import _core

    show(given, _core.quirk_names(), {"NAME": lambda row: row[0], "WHAT IT DOES": lambda row: row[1]})
