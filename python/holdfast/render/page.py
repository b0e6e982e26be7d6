"""The page: one HTML document with all in it, for a screen, for paper, and for a screen reader."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from holdfast._version import __version__
from holdfast.render.terminal import away
from holdfast.verdicts import DEPTH, PROCEDURE, CaseRecord
from holdfast.visible import html as escape

# The words of cases, as the title counts them.
COUNTED = ("FAIL", "error", "inconclusive", "pass", "not checked", "skipped")
# What a plan asks of a device, and what one of it is called.
FAILOVERS = {"switchovers": "switchover", "reboots": "reboot"}
STYLE = """
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; } h3 { font-size: 1.05rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #ddd; }
svg { max-width: 100%; height: auto; }
pre { overflow-x: auto; font-size: .8rem; line-height: 1.35; background: #f5f5f5; padding: .6rem; }
.pass { color: #1f6b24; } .FAIL, .error { color: #b3261e; font-weight: 700; }
.skipped, .not-checked, .inconclusive { color: #6b5900; }
section { border-top: 2px solid #ddd; }
@media print {
  body { max-width: none; margin: 0; font-size: 11px; } section { break-inside: avoid-page; }
  pre { white-space: pre-wrap; } a { color: inherit; text-decoration: none; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""


def html(cases: Sequence[CaseRecord], folder: Path) -> str:
    """The document for the cases that a folder keeps."""
    written = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M}"
    title = f"holdfast: {_counted(cases)}"
    body = [
        f"<h1>{escape(title)}</h1>",
        _sessions(cases),
        _devices(cases),
        _plan(cases),
        _verdicts(cases),
        *(_case(case) for case in cases),
        f"<footer><p>Written by holdfast {__version__} on {written} UTC, from {escape(str(folder))}.</p></footer>",
    ]
    inside = "\n".join(part for part in body if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main>\n{inside}\n</main></body></html>\n"
    )


def _counted(cases: Iterable[CaseRecord]) -> str:
    verdicts = [case.verdict for case in cases]
    counts = [
        (verdicts.count(name), name) for name in ("FAIL", "error", "inconclusive", "pass", "not checked", "skipped")
    ]
    return ", ".join(f"{count} {name}" for count, name in counts if count)


def _sessions(cases: Sequence[CaseRecord]) -> str:
    """Where a folder was used more than once: that what is told here was not one run."""
    count = len({case.session for case in cases})
    if count < 2:
        return ""
    ended = sorted(case.ended for case in cases if case.ended)
    when = f", which ended between {escape(ended[0])} and {escape(ended[-1])}" if ended else ""
    return f"<p>These cases are of {count} runs of pytest{when}: each is the last of its name in the folder.</p>"


def _devices(cases: Sequence[CaseRecord]) -> str:
    """Each device once, with what it said of itself."""
    about = {case.device: case.about for case in cases if case.about}
    rows = [
        (escape(device), escape(str(facts.get("profile", "-"))), escape(str(facts.get("written", "-"))))
        for device, facts in about.items()
    ] or [(escape(device), "-", "-") for device in dict.fromkeys(case.device for case in cases)]
    return _table("Devices", ("device", "profile", "last looked at"), rows)


def _plan(cases: Sequence[CaseRecord]) -> str:
    """What the plans of these cases ask of a device; several cases may share one failover."""
    rows, shared = [], set()
    for case in (case for case in cases if DEPTH in case.kinds):
        name = str(case.plan.get("shared", case.plan_id))
        asked = [_amount(case.plan[what], one) for what, one in FAILOVERS.items() if case.plan.get(what)]
        if (case.device, name) not in shared:
            shared.add((case.device, name))
            rows.append((escape(name), " and ".join(asked) or "nothing is failed over"))
    return _table("Plan", ("case", "asks for"), list(dict.fromkeys(rows))) if rows else ""


def _amount(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _verdicts(cases: Sequence[CaseRecord]) -> str:
    two = [case for case in cases if DEPTH in case.kinds]
    one = [case for case in cases if DEPTH not in case.kinds]
    rows = [
        (
            _link(case),
            _badge(case.shown(PROCEDURE)),
            _badge(case.shown(DEPTH)),
            away(case),
            str(len(case.checked)),
            str(len(case.not_checked)),
        )
        for case in two
    ]
    heads = ("case", "procedure", "depth", "device away", "steps checked", "not checked")
    tables = [_table("Verdicts: of what the plan asks, and of what lies deeper", heads, rows)] if two else []
    if one:
        rows_of_one = [(_link(case), _badge(case.verdict), str(len(case.not_checked))) for case in one]
        tables.append(_table("Verdicts", ("scenario", "verdict", "not checked"), rows_of_one))
    return "\n".join(tables)


def _link(case: CaseRecord) -> str:
    return f'<a href="#{_anchor(case)}">{escape(_titled(case))}</a>'


def _case(case: CaseRecord) -> str:
    parts = [
        f'<section id="{_anchor(case)}"><h2>{escape(_titled(case))}: {_badge(case.verdict)}</h2>',
        f"<p>{escape(case.device)}</p>",
        f"<p>{escape(case.why)}</p>" if case.why else "",
        _listed("Failed", [str(step) for step in case.failures]),
        f"<p>The device was away: {away(case)}.</p>" if case.outages else "",
        _listed("Measured", [f"{name}: {value}" for name, value in case.facts.items()]),
        _listed("Not checked", case.not_checked),
        _listed("Noted, where the plan leaves a device free", case.noted),
        _folded("Checked", f"<ol>{''.join(f'<li>{escape(step)}</li>' for step in case.checked)}</ol>", case.checked),
    ]
    if case.timeline:
        parts += ["<h3>Timeline</h3>", case.timeline.svg()]
        parts.append(_folded("Evidence: all that was asked and seen", _text(str(case.timeline)), case.timeline))
    elif case.plan.get("shared"):
        parts.append(
            f"<p>Judged by the failover of {escape(str(case.plan['shared']))}: its first has the timeline.</p>"
        )
    parts += [_folded(f"Log of container {name}", _text(text), text) for name, text in case.logs.items()]
    return "\n".join(part for part in parts if part) + "</section>"


def _titled(case: CaseRecord) -> str:
    words = f"{case.plan_id} {case.title}".rstrip() + (f" [{case.variant}]" if case.variant else "")
    return words if case.round is None else f"{words}, round {case.round}"


def _anchor(case: CaseRecord) -> str:
    return re.sub(r"[^\w-]+", "-", case.test)


def _badge(verdict: str) -> str:
    return f'<span class="{escape(verdict.replace(" ", "-"))}">{escape(verdict)}</span>'


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Of cells that are HTML already."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{value}</td>" for value in rest)}</tr>'
        for first, *rest in rows
    )
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _listed(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h3>{escape(title)}</h3><ul>{items}</ul>" if lines else ""


def _folded(title: str, inside: str, any_of_it: object) -> str:
    return f"<details><summary>{escape(title)}</summary>{inside}</details>" if any_of_it else ""


def _text(text: str) -> str:
    """Evidence, of which no line is left out."""
    shown = "\n".join(map(escape, text.splitlines()))
    return f"<pre>{shown}</pre>"
