"""`holdfast emulate`: an emulated device in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from holdfast import options
from holdfast._version import __version__
from holdfast.cli.shared import Function
from holdfast.secret import from_environment


def _with_settings(function: Function) -> Function:
    """A command with an option for each setting of the emulated device."""
    for setting in reversed(options.SETTINGS):
        help_text = f"{setting.help[0].upper()}{setting.help[1:]}."
        more: dict[str, Any] = {"metavar": setting.shows or None, "help": help_text}
        if setting.kind == "flag":
            more = {"is_flag": True, "default": None, "help": help_text}
        elif setting.kind == "list":
            more["multiple"] = True
        elif setting.kind == "folder":
            more["type"] = click.Path(file_okay=False)
        elif setting.default:
            more["help"] = f"{help_text} [default: {setting.default}]"
        function = click.option(f"--{setting.name}", setting.parameter, **more)(function)
    return function


@click.command()
@_with_settings
@click.option("--failpoint", "failpoints", multiple=True, metavar="NAME=TERMS", help="Arm a failpoint.")
@click.option(
    "--failpoint-file", type=click.Path(dir_okay=False), help='Arm the failpoints of a JSON file: {"NAME": "TERMS"}.'
)
@click.option("--tls", type=click.Path(file_okay=False), help="TLS; what a client needs is written into this folder.")
@click.option("--mutual", is_flag=True, help="With --tls: clients must show a certificate.")
@click.option("--user", metavar="NAME", help="Who may log in, with the password in HOLDFAST_PASSWORD.")
def emulate(
    failpoints: Sequence[str],
    failpoint_file: str | None,
    tls: str | None,
    mutual: bool,
    user: str | None,
    **given: Any,
) -> None:
    """An EMULATED dual-supervisor device, until Ctrl-C or SIGTERM."""
    import holdfast
    from holdfast import failpoint

    if mutual and not tls:
        raise click.UsageError("--mutual goes with --tls DIR")
    password = from_environment("HOLDFAST_PASSWORD")
    if user and not password:
        raise click.UsageError(f"--user {user}: no password: set HOLDFAST_PASSWORD")
    settings = _settings(given)
    armed = failpoint.read_environment("\n".join(failpoints))
    armed += failpoint.read_file(failpoint_file) if failpoint_file else []
    armed += failpoint.read_environment(os.environ.get("HOLDFAST_FAILPOINTS", ""))
    ends = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before any thread starts, so that none of them takes these
    chassis = holdfast.emulator(
        **settings,
        tls=("mutual" if mutual else True) if tls else False,
        certificates=tls,
        users={user: password} if user and password else None,
    )
    with chassis:
        for name, terms in armed:
            chassis.arm(name, terms)
        _introduce(chassis, apart="gnoi_port" in settings)
        signal.sigwait(ends)


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """What `holdfast.emulator` is given; what nobody said is left out. Raises `InvalidArgumentError`."""
    found: dict[str, Any] = options.emulator_environment()
    quirks = found.pop("quirks", [])
    for setting in options.SETTINGS:
        said = given[setting.parameter]
        if setting.name == "listen":
            said = said or setting.default
        if said not in (None, ()):
            found[setting.parameter] = setting.read(said, f"--{setting.name}") if isinstance(said, str) else said
    if quirks:
        found["quirks"] = [*quirks, *found.get("quirks", ())]
    return found


def _introduce(chassis: Any, *, apart: bool) -> None:
    """Say where it is; the line that tells that it serves comes last."""
    click.echo(f"EMULATED device, holdfast {__version__}", err=True)
    click.echo(f"failpoints are armed over {chassis.control}", err=True)
    inner = chassis.inner
    click.echo(
        f"its containers dial gNMI on {inner.gnmi}, gRIBI on {inner.gribi}; to a run of CNTR-2 that is", err=True
    )
    said = " ".join(f"--dut-inner {name}={getattr(inner, name)}" for name in ("host", "gnmi", "gribi"))
    click.echo(f"  {said}", err=True)
    if chassis.container_host is not None:
        place = chassis.container_host
        click.echo(f"its containers' ports are on {place}: --dut-container-host {place}", err=True)
    if apart:
        click.echo(f"gNOI on {chassis.gnoi}", err=True)
    click.echo(f"listening on {chassis.address}")
    sys.stdout.flush()
