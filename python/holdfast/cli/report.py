"""`holdfast report` and `holdfast compare`: what runs left in their folders."""

from __future__ import annotations

import json
import sys
import textwrap

import click

from holdfast.cli.shared import Command, SharedOptions, done, output_option, plain
from holdfast.exit_codes import DONE, FAILED
from holdfast.tables import counted


@click.command(cls=Command)
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@output_option("holdfast-report.html")
@click.pass_obj
def report(given: SharedOptions, folder: str, output: str) -> None:
    """A page about a run, from the folder that its --dut-artifacts wrote."""
    from holdfast import report as reports

    account = reports.read(folder)
    account.write(output)
    done(given, f"{output}: {counted(len(account.cases), 'case')}", report=output, cases=len(account.cases))


@click.command(cls=Command)
@click.argument("before", type=click.Path(exists=True, file_okay=False))
@click.argument("after", type=click.Path(exists=True, file_okay=False))
@click.pass_obj
def compare(given: SharedOptions, before: str, after: str) -> None:
    """What changed from one run to another; exit code 1 where a verdict got worse or a case that passed is gone."""
    from holdfast import report as reports

    found = reports.compare(before, after)
    if given.as_json:
        click.echo(json.dumps(plain(found.changes), indent=2))
    else:
        for change in found.changes:
            judged = {True: " (better)", False: " (WORSE)", None: ""}[change.better]
            was, now = (textwrap.shorten(text, 100, placeholder="…") for text in (change.before, change.after))
            click.echo(f"{change.case:<10} {change.what}: {was} -> {now}{judged}")
        click.echo(f"{len(found.changes)} changes" if found.changes else "nothing changed")
    sys.exit((FAILED if found.worse else DONE).command)
