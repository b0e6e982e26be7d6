"""`holdfast doctor`: is this device fit for the tests?"""

from __future__ import annotations

import json
import sys

import click

from holdfast.cli import reach
from holdfast.cli.shared import Command, SharedOptions, plain
from holdfast.exit_codes import DONE, FAILED, NO_DEVICE


@click.command(cls=Command)
@click.pass_obj
def doctor(given: SharedOptions) -> None:
    """Is this device fit for the tests? Each line says what to do when it is not."""
    from holdfast import doctor as surgery

    findings = list(surgery.examine(lambda: reach.device(given)))
    if given.as_json:
        click.echo(json.dumps(plain(tuple(findings)), indent=2))
    else:
        for found in findings:
            verdict = {True: "fit", False: "UNFIT", None: "not checked"}[found.fit]
            click.echo(f"{verdict:<12} {found.what:<38} {found.seen}")
            if found.hint:
                click.echo(f"{'':<12} try: {found.hint}")
    reached = findings[0].fit
    fit = all(found.fit is not False for found in findings)
    sys.exit((NO_DEVICE if not reached else DONE if fit else FAILED).command)
