"""The command `holdfast`; its exit codes are in `holdfast.exit_codes`."""

from __future__ import annotations

from typing import Any

import click

from holdfast import exit_codes, options
from holdfast._version import __version__
from holdfast.cli import (
    clean,
    cni,
    doctor,
    emulate,
    failpoints,
    files,
    gnmi,
    healthz,
    image,
    judge,
    lab,
    operations,
    report,
    run,
)
from holdfast.cli.shared import RootGroup, SharedOptions, device_options
from holdfast.storage import commands, provider_commands

__all__ = ["main"]


_VARIABLES = "\n".join(f"  {name:<21}  {meaning}" for name, meaning in options.VARIABLES.items())
_CODES = "\n".join(f"  {ending.command:<3} {ending.meaning}" for ending in exit_codes.ALL)
EPILOG = f"""\b
Environment, beside what stands in brackets above:
{_VARIABLES}

\b
Exit codes:
{_CODES}
"""


@click.group(
    cls=RootGroup,
    params=device_options(),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@click.version_option(__version__, prog_name="holdfast")
@click.pass_context
def main(ctx: click.Context, /, **said: Any) -> None:
    """Fail the thing under a container; prove that the container and its data held.

    These options may come before the command or after it. What they leave out is read from the environment.
    """
    ctx.obj = SharedOptions(said)


commands.lab.add_command(lab.status)
main.add_commands("Suites and their reports", (run.run, report.report, report.compare, judge.judge))
main.add_commands("One operation on a device", operations.ALL)
main.add_commands("gNMI, of one device or several", gnmi.ALL)
main.add_commands("A device's state", (doctor.doctor, clean.clean, files.files, healthz.healthz))
main.add_commands("Emulated devices and faults", (emulate.emulate, failpoints.failpoints, failpoints.failpoint))
main.add_commands("Emulated devices and faults", (failpoints.quirks, cni.cni))
main.add_commands("Archives", (image.image,))
main.add_commands("Storage providers", (commands.storage, provider_commands.provider, commands.lab, commands.ledger))
