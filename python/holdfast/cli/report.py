"""`holdfast report` and `holdfast compare`: what runs left in their folders."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from holdfast import visible
from holdfast.cli.shared import Command, SharedOptions, done, output_option, plain
from holdfast.exit_codes import DONE, FAILED
from holdfast.tables import counted


@click.command(cls=Command)
@click.argument("folder", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False))
@output_option("holdfast-report.html")
@click.option("--soak", is_flag=True, help="About the rounds of the last soak in it: percentiles, what grew, failures.")
@click.pass_obj
def report(given: SharedOptions, folder: tuple[str, ...], output: str, soak: bool) -> None:
    """A page about a run, from the folder that its --dut-artifacts wrote; of several, cases by devices and releases."""
    from holdfast import report as reports

    if soak and len(folder) > 1:
        raise click.UsageError("--soak is about one soak: give one folder.")
    if soak:
        _soak(given, Path(folder[0]), Path(output))
        return
    if len(folder) > 1:
        _matrix(given, [Path(each) for each in folder], Path(output))
        return
    account = reports.read(folder[0])
    account.write(output)
    done(given, f"{output}: {counted(len(account.cases), 'case')}", report=output, cases=len(account.cases))
    if not given.as_json and any(case.round is not None for case in account.cases):
        click.echo("these are rounds of a soak: with --soak it is a page about all of them")


def _matrix(given: SharedOptions, folders: Sequence[Path], output: Path) -> None:
    from holdfast.render import matrix as page
    from holdfast.report import matrix

    found, counts = matrix.read(folders)
    output.write_text(page.html(found, counts), encoding="utf-8")
    for each in () if given.as_json else found.broken:
        click.echo(f"BROKEN: {visible.line(str(each))}")
    what = f"{counted(len(found.cases), 'case')}, {counted(len(found.devices), 'device')}"
    told = f"{output}: {what}, {counted(len(found.releases), 'release')}"
    done(given, told, report=str(output), cases=len(found.cases), broken=[asdict(each) for each in found.broken])


def _soak(given: SharedOptions, folder: Path, output: Path) -> None:
    from holdfast.render import soak as page
    from holdfast.report import soak

    cases = soak.read(folder)
    ended = max(case.ended for case in cases)[:19].replace("T", " ")
    last = f": its last case ended at {ended} UTC" if ended else ""
    state = f"Of the last soak in {folder}, as far as it was kept{last}."
    output.write_text(page.html(cases, state, running=False), encoding="utf-8")
    for line in () if given.as_json else soak.summary(cases):
        click.echo(line)
    done(given, f"{output}: {counted(len(cases), 'case')}", report=str(output), cases=len(cases))


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
