"""The command `holdfast`.

Exit codes: 0, 1 (the device said no), 2 (usage), 3 (unreachable, or outcome unknown).
"""

from __future__ import annotations

from typing import Any

import click

from holdfast._version import __version__
from holdfast.cli import clean, cni, doctor, emulate, failpoints, image, judge, operations, report, run
from holdfast.cli.shared import Given, RootGroup, device_options
from holdfast.storage import commands

__all__ = ["main"]


@click.group(cls=RootGroup, params=device_options(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="holdfast")
@click.pass_context
def main(ctx: click.Context, /, **said: Any) -> None:
    """Fail the thing under a container; prove that the container and its data held.

    These options may come before the command or after it. What they leave out is read from the environment.
    """
    ctx.obj = Given(said)


for _command in (
    run.run,
    emulate.emulate,
    report.report,
    report.compare,
    judge.judge,
    cni.cni,
    image.image,
    failpoints.failpoints,
    failpoints.failpoint,
    failpoints.quirks,
    *operations.ALL,
    clean.clean,
    doctor.doctor,
    commands.storage,
    commands.provider,
    commands.lab,
    commands.ledger,
):
    main.add_command(_command)
