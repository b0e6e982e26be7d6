"""`holdfast doctor`: is this device fit for the tests?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from holdfast import progress
from holdfast.cli import reach
from holdfast.cli.shared import Command, SharedOptions, plain
from holdfast.exit_codes import DONE, FAILED, NO_DEVICE

if TYPE_CHECKING:
    from holdfast.doctor import Finding


@click.command(cls=Command)
@click.pass_obj
def doctor(given: SharedOptions) -> None:
    """Is this device fit for the tests? Each line says what to do when it is not."""
    from holdfast import doctor as surgery

    findings = []
    for found in _as_they_come(surgery.examine(lambda: reach.device(given))):
        findings.append(found)
        if given.as_json:
            continue
        verdict = {True: "fit", False: "UNFIT", None: "not checked"}[found.fit]
        click.echo(f"{verdict:<12} {found.what:<38} {found.seen}")
        if found.hint:
            click.echo(f"{'':<12} try: {found.hint}")
    if given.as_json:
        click.echo(json.dumps(plain(tuple(findings)), indent=2))
    reached = findings[0].fit
    fit = all(found.fit is not False for found in findings)
    sys.exit((NO_DEVICE if not reached else DONE if fit else FAILED).command)


def _as_they_come(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Each; while one takes its time a terminal is told so, but for the first, which may ask for a password."""
    yield next(findings)
    while True:
        with progress.during("looking at the device"):
            found = next(findings, None)
        if found is None:
            return
        yield found
