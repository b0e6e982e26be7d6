"""`holdfast emulate`: an emulated device, or many, in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast import options
from holdfast._version import __version__
from holdfast.cli import fleet
from holdfast.cli.shared import Function
from holdfast.secret import from_environment

if TYPE_CHECKING:
    from holdfast import Emulator

# What ends the command.
ENDS = (signal.SIGINT, signal.SIGTERM)


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
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help=f"So many devices, each on an address of its own of the network that --listen IP/PREFIX:PORT is then"
    f" [default: {fleet.NETWORK}].",
)
@click.option(
    "--testbed-out", type=click.Path(dir_okay=False), metavar="FILE", help="Write a testbed with them once all listen."
)
@click.option("--failpoint", "failpoints", multiple=True, metavar="NAME=TERMS", help="Arm a failpoint.")
@click.option(
    "--failpoint-file", type=click.Path(dir_okay=False), help='Arm the failpoints of a JSON file: {"NAME": "TERMS"}.'
)
@click.option("--tls", type=click.Path(file_okay=False), help="TLS; what a client needs is written into this folder.")
@click.option("--mutual", is_flag=True, help="With --tls: clients must show a certificate.")
@click.option("--user", metavar="NAME", help="Who may log in, with the password in HOLDFAST_PASSWORD.")
def emulate(
    count: int | None,
    testbed_out: str | None,
    failpoints: Sequence[str],
    failpoint_file: str | None,
    tls: str | None,
    mutual: bool,
    user: str | None,
    **given: Any,
) -> None:
    """An EMULATED dual-supervisor device, or --count of them, until Ctrl-C or SIGTERM."""
    from holdfast import failpoint

    if mutual and not tls:
        raise click.UsageError("--mutual goes with --tls DIR")
    password = from_environment("HOLDFAST_PASSWORD")
    if user and not password:
        raise click.UsageError(f"--user {user}: no password: set HOLDFAST_PASSWORD")
    settings = _settings(given, many=count is not None)
    listen = settings["listen"]
    if count is None and fleet.is_network(listen):
        raise click.UsageError(f"--listen {listen}: that is a network: say how many devices, with --count NUMBER")
    armed = failpoint.read_environment("\n".join(failpoints))
    armed += failpoint.read_file(failpoint_file) if failpoint_file else []
    armed += failpoint.read_environment(os.environ.get("HOLDFAST_FAILPOINTS", ""))
    settings |= {
        "tls": ("mutual" if mutual else True) if tls else False,
        "certificates": tls,
        "users": {user: password} if user and password else None,
    }
    each = [settings]
    if count is not None:
        each = fleet.of_each(settings, fleet.addresses(listen, count))
        fleet.make_room(count, settings, listen)
    testbed = Path(testbed_out) if testbed_out else None
    if testbed is not None:
        fleet.claim(testbed)
    _run(each, armed, testbed, user, many=count is not None)


class _Ended(BaseException):
    """A signal came that ends the command; no Exception, for libraries pass over any that comes while they work."""


def _run(
    each: Sequence[dict[str, Any]],
    armed: Sequence[tuple[str, str]],
    testbed: Path | None,
    user: str | None,
    *,
    many: bool,
) -> None:
    """Run devices until a signal comes; it is heeded at any moment, and all that had begun is stopped."""
    import holdfast

    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # before any thread starts, so that none of them takes these
    with ExitStack() as running, suppress(_Ended):
        started: list[Emulator] = []
        running.callback(_stop, started)
        for settings in each:
            if signal.sigpending() & set(ENDS):
                return
            started.append(holdfast.emulator(**settings))
            for name, terms in armed:
                started[-1].arm(name, terms)
        names = fleet.names(len(each))
        if testbed is not None:
            rows = [fleet.fields(chassis, given, user=user) for chassis, given in zip(started, each, strict=True)]
            fleet.write_testbed(testbed, zip(names, rows, strict=True))
        with _interrupted_by_signals():  # whoever started this may not read what it says
            if many:
                _introduce_all(names, started, testbed)
            else:
                _introduce(started[0], apart="gnoi_port" in each[0], testbed=testbed)
        signal.sigwait(ENDS)


def _stop(started: Sequence[Emulator]) -> None:
    """Stop all of them, several side by side: most of what a stop takes on a busy machine is waiting for its turn."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        for stopping in [pool.submit(chassis.stop) for chassis in started]:
            stopping.result()


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """A signal ends what is written in here, by `_Ended`: a pipe that nobody reads is full at some time."""
    came = False

    def end(*_: object) -> None:
        nonlocal came
        came = True
        for each in ENDS:
            signal.signal(each, signal.SIG_IGN)
        with Path(os.devnull).open("wb") as nowhere:  # what is left unsaid would be written, and wait, at the very end
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        raise _Ended

    for each in ENDS:
        signal.signal(each, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    if came:  # where it was raised in what passes over everything, such as a finalizer
        raise _Ended


def _settings(given: dict[str, Any], *, many: bool) -> dict[str, Any]:
    """What `holdfast.emulator` is given; what nobody said is left out. Raises `InvalidArgumentError`."""
    found: dict[str, Any] = options.emulator_environment()
    quirks = found.pop("quirks", [])
    for setting in options.SETTINGS:
        said = given[setting.parameter]
        if setting.name == "listen":
            said = said or (fleet.NETWORK if many else setting.default)
        if said not in (None, ()):
            found[setting.parameter] = setting.read(said, f"--{setting.name}") if isinstance(said, str) else said
    if quirks:
        found["quirks"] = [*quirks, *found.get("quirks", ())]
    return found


def _introduce_all(names: Sequence[str], started: Sequence[Emulator], testbed: Path | None) -> None:
    """Say where each is, in a line; all of them serve by then."""
    click.echo(f"EMULATED devices, holdfast {__version__}: {len(names)}", err=True)
    if testbed is not None:
        click.echo(f"pytest -k cntr3 --testbed {testbed} tests them", err=True)
    for name, chassis in zip(names, started, strict=True):
        click.echo(f"{name} listening on {chassis.address}, failpoints over {chassis.control}")
    sys.stdout.flush()


def _introduce(chassis: Emulator, *, apart: bool, testbed: Path | None) -> None:
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
    if testbed is not None:
        click.echo(f"it is {fleet.names(1)[0]} of the testbed {testbed}", err=True)
    click.echo(f"listening on {chassis.address}")
    sys.stdout.flush()
