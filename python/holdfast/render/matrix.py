"""The page of many runs: what releases broke, and cases by releases and by devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from holdfast._version import __version__
from holdfast.render.markup import badge, listed, section, table
from holdfast.render.style import STYLE
from holdfast.report.matrix import Matrix
from holdfast.visible import html as escape

# Wide tables of a lab scroll by themselves.
WIDE = ".wide { overflow-x: auto; }"


def html(matrix: Matrix, folders: Mapping[Path, int]) -> str:
    """The document."""
    devices, releases = len(matrix.devices), len(matrix.releases)
    title = f"holdfast: {len(matrix.cases)} cases on {devices} devices and {releases} releases"
    broken = listed("Passed on the release before, fails on this", [str(each) for each in matrix.broken])
    none = "<p>No case that passed on a release fails on the next.</p>" if releases > 1 else ""
    runs = table("Folders", ("folder", "cases"), [(escape(str(each)), str(count)) for each, count in folders.items()])
    inside = "\n".join([
        section("What releases broke", "broken", [broken or none]),
        section("By software release", "releases", [_table("release", matrix, matrix.releases, matrix.on_release)]),
        section("By device", "devices", [_table("device", matrix, matrix.devices, matrix.on_device)]),
        section("The runs", "runs", [runs]),
    ])  # fmt: skip
    counts = "The last verdict of each case on each device and release counts; of several devices, the worst."
    written = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M}"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}{WIDE}</style></head>\n'
        f"<body><header><h1>{escape(title)}</h1></header>\n<main>\n{inside}\n</main>\n"
        f"<footer><p>Written by holdfast {__version__} on {written} UTC. {counts}</p></footer></body></html>\n"
    )


def _table(what: str, matrix: Matrix, columns: Sequence[str], verdict: Callable[[str, str], str]) -> str:
    if not columns:
        return ""
    rows = [
        (escape(case), *(badge(found) if (found := verdict(case, column)) else "" for column in columns))
        for case in matrix.cases
    ]
    return f'<div class="wide" tabindex="0">{table(f"Verdicts by {what}", ("case", *columns), rows)}</div>'
