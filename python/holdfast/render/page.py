"""The page: one HTML document with all in it, for a screen of any width, for paper, and for a screen reader.

Verdicts come first, then what failed with its evidence, then the run (devices, plan, command line, times), then the
rest. What a device or a file said is escaped, always.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone

from holdfast._version import __version__
from holdfast.picture import BAD, OTHER_ROLE, PRIMARY, SECONDARY
from holdfast.render import case_section
from holdfast.render.case_section import MEASURED, devices, measured, moment, titled, whereabouts
from holdfast.render.markup import badge, facts, section, table
from holdfast.render.style import STYLE
from holdfast.render.terminal import away
from holdfast.verdicts import DEPTH, PROCEDURE, CaseRecord
from holdfast.visible import html as escape

# The words of cases, as the title counts them.
COUNTED = ("FAIL", "error", "inconclusive", "pass", "not checked", "skipped")
# Those of cases that somebody has to look at.
TROUBLE = ("FAIL", "error", "inconclusive")
# So many devices are named below the title.
MOST_NAMED = 4
# What a plan asks of a device, and what one of it is called.
FAILOVERS = {"switchovers": "switchover", "reboots": "reboot"}
# What of that is harm to data, where it is not 0.
HARM = ("lost", "altered", "stale")
# So many columns of numbers have room on a narrow screen.
MOST_NUMBERS = 3
WORDS = {
    "pass": "it was looked at, and nothing failed",
    "FAIL": "a step failed; the reason stands with the step",
    "not checked": "it could not be looked at, and why stands beside it: it is no pass",
    "inconclusive": "it ran and proves nothing, for something else was in the way: it is no pass",
    "error": "what a case needs could not be had before it, or could not be put away after it; why stands beside it",
    "skipped": "it was not to run here, and why stands beside it (terminals and tables of providers say NotRun)",
}
# What a judge's marks on a timeline are.
JUDGED = {"good": "; the judge (below) found all of a volume's data", "bad": ", something that the judge (below) found"}
# What only cases with two verdicts have.
WORDS_OF_TWO = {
    "procedure": "the verdict of what the test plan asks",
    "depth": "the verdict of everything else that must hold",
    "away": "from the last good answer of the device to the next",
}
# What only scenarios have.
WORDS_OF_ONE = {
    "judge": "compares what is on a volume with what tasks were told was written; each difference is a finding",
    "records": "what tasks wrote and were told was written (acknowledged)",
    "lost": "acknowledged records that are not there any more",
    "altered": "records that hold something else than what was written",
    "stale": "records of a task that another had already followed: they should have been refused",
    "recovery": "from the harm until a task could write to its volume again",
}


def html(cases: Sequence[CaseRecord]) -> str:
    """The document for these cases."""
    title = f"holdfast: {', '.join([*(f'{count} {name}' for count, name in _counted(cases)), *whereabouts(cases)])}"
    anchors = case_section.anchors(cases)
    links = {id(case): f"#{anchor}" for case, anchor in zip(cases, anchors, strict=True)}
    several = len({case.device for case in cases}) > 1
    trouble: list[str] = []
    rest: list[str] = []
    for case, anchor in zip(cases, anchors, strict=True):
        drawn = case_section.of(case, anchor, _elsewhere(case, cases, links), several=several)
        (trouble if case.verdict in TROUBLE else rest).append(drawn)
    sections = [
        section("Verdicts", "verdicts", _verdicts(cases, links)),
        section("What failed", "failed", trouble),
        section("The run", "run", _run(cases)),
        section("The other cases" if trouble else "The cases", "others", rest),
        section("Legend", "legend", _legend(cases)),
    ]
    written = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M}"
    inside = "\n".join(part for part in sections if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><header>{_headline(cases)}</header>\n<main>\n{inside}\n</main>\n"
        f"<footer><p>Written by holdfast {__version__} on {written} UTC.</p></footer></body></html>\n"
    )


def _counted(cases: Iterable[CaseRecord]) -> list[tuple[int, str]]:
    verdicts = [case.verdict for case in cases]
    return [(verdicts.count(name), name) for name in COUNTED if name in verdicts]


def _headline(cases: Sequence[CaseRecord]) -> str:
    counts = ", ".join(
        f'<span class="{name.replace(" ", "-")}">{count} {name}</span>' for count, name in _counted(cases)
    )
    named = "".join(f'<p class="faint">{escape(device)}</p>' for device in devices(cases, MOST_NAMED))
    return f'<h1><span class="of">holdfast: </span>{counts}</h1>{named}'


def _verdicts(cases: Sequence[CaseRecord], links: dict[int, str]) -> Iterator[str]:
    def link(case: CaseRecord) -> str:
        return f'<a href="{links[id(case)]}">{escape(titled(case))}</a>'

    two = [case for case in cases if DEPTH in case.kinds]
    one = [case for case in cases if DEPTH not in case.kinds]
    if two:
        heads = ("case", "procedure", "depth", "away", "steps checked", "not checked")
        rows = [
            (
                link(case),
                badge(case.shown(PROCEDURE)),
                badge(case.shown(DEPTH)),
                away(case).replace(" s", "\N{NO-BREAK SPACE}s"),
                str(len(case.checked)),
                str(len(case.not_checked)),
            )
            for case in two
        ]
        yield table(
            "Procedure: what the plan asks. Depth: all else that must hold", heads, rows, kind="verdicts", extra=2
        )
    if one:
        numbers, shown = _numbers(one)
        heads_of_one = ("scenario", "verdict", *(MEASURED[name] for name in numbers), "not checked")
        rows_of_one = [
            (
                link(case),
                badge(case.verdict),
                *(escape(measured(case, name)) for name in numbers),
                str(len(case.not_checked)),
            )
            for case in one
        ]
        extra = len(numbers) + 1 - shown
        yield table("One verdict for each scenario", heads_of_one, rows_of_one, kind="verdicts", extra=extra)


def _numbers(cases: Sequence[CaseRecord]) -> tuple[list[str], int]:
    """What was measured, harm first; and how many of that are shown where there is little room."""
    known = [name for name in MEASURED if any(name in case.facts for case in cases)]
    harm = [name for name in HARM if any(case.facts.get(name, "0") != "0" for case in cases)]
    first = [*harm, *(name for name in ("recovery", "lost") if name in known and name not in harm)]
    return [*first, *(name for name in known if name not in first)], min(len(first), MOST_NUMBERS)


def _elsewhere(case: CaseRecord, cases: Sequence[CaseRecord], links: dict[int, str]) -> str:
    """Of a case that shares the failover of others, where that is told."""
    shared = case.plan.get("shared")
    if case.timeline or not shared:
        return ""
    first = next(
        (
            other
            for other in cases
            if other.timeline and (other.plan.get("shared"), other.device) == (shared, case.device)
        ),
        None,
    )
    what = f"Judged by the failover of {escape(str(shared))}"
    return f"<p>{what}.</p>" if first is None else f'<p>{what}: <a href="{links[id(first)]}">its timeline</a>.</p>'


def _run(cases: Sequence[CaseRecord]) -> Iterator[str]:
    """When, how and on what it ran."""
    began = sorted(case.began for case in cases if case.began)
    ended = sorted(case.ended for case in cases if case.ended)
    commands = list(dict.fromkeys(case.command for case in cases if case.command))
    told = {}
    if began and ended:
        told = {"Started": escape(moment(began[0])), "Ended": escape(moment(ended[-1]))}
        told["Took"] = _took(began[0], ended[-1])
    elif ended:
        told = {"Ended": escape(moment(ended[-1]))}
    if commands:
        told["Command line"] = "<br>".join(f"<code>{escape(command)}</code>" for command in commands)
    yield _sessions(cases)
    yield facts(told) if told else ""
    yield _devices(cases)
    yield _plan(cases)


def _took(began: str, ended: str) -> str:
    try:
        seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    except (TypeError, ValueError):  # one of them is no time, or says no zone
        return "-"
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{max(seconds, 0):.1f} s"


def _sessions(cases: Sequence[CaseRecord]) -> str:
    """Where a folder was used more than once: that what is told here was not one run."""
    count = len({case.session for case in cases})
    return f"<p>These cases are of {count} runs of pytest: each is the last of its name in the folder.</p>" * (
        count > 1
    )


def _devices(cases: Sequence[CaseRecord]) -> str:
    """Each device once, with what it said of itself."""
    about = {case.device: case.about for case in cases if case.about}
    rows = [
        (escape(device), escape(str(told.get("profile", "-"))), escape(moment(str(told.get("written", "-")))))
        for device, told in about.items()
    ] or [(escape(device), "-", "-") for device in dict.fromkeys(case.device for case in cases)]
    return table("Devices", ("device", "profile", "last looked at"), rows)


def _plan(cases: Sequence[CaseRecord]) -> str:
    """What the plans of these cases ask of a device; several cases may share one failover."""
    rows, shared = [], set()
    for case in (case for case in cases if DEPTH in case.kinds):
        name = str(case.plan.get("shared", case.plan_id))
        asked = [_amount(case.plan[what], one) for what, one in FAILOVERS.items() if case.plan.get(what)]
        if (case.device, name) not in shared:
            shared.add((case.device, name))
            rows.append((escape(name), " and ".join(asked) or "nothing is failed over"))
    return table("Plan", ("case", "asks for"), list(dict.fromkeys(rows))) if rows else ""


def _amount(count: object, what: str) -> str:
    return escape(f"{count} {what}" if count == 1 else f"{count} {what}s")


def _legend(cases: Sequence[CaseRecord]) -> Iterator[str]:
    """What is drawn, beside a piece of it, and what the words of verdicts mean."""
    if any(case.timeline for case in cases):
        bar = '<rect width="34" height="16" rx="2" fill="{}"/>'
        roles = {
            bar.format(PRIMARY): "PRIMARY: the control processor is active, as far as it was reported last",
            bar.format(SECONDARY): "SECONDARY: it is the standby",
            bar.format(OTHER_ROLE): "another role",
        }
        judged = any(event.kind == "judge" for case in cases for event in case.timeline)
        of_judge = JUDGED if judged else dict.fromkeys(JUDGED, "")
        drawn = {
            bar.format(BAD): "the device is away, or harm is done to a node",
            '<circle class="good" cx="17" cy="8" r="5"/>': f"a call that was answered well{of_judge['good']}",
            '<path class="bad" d="M17 1 l7 7 l-7 7 l-7 -7 z"/>': f"an error, a lost connection{of_judge['bad']}",
            '<circle class="plain" cx="17" cy="8" r="5"/>': "a step, or something that was done",
            '<line class="bad" x1="17" x2="17" y1="0" y2="16" stroke-width="2"/>': (
                "a step failed: its number is that of the list above the timeline, and later ones are dotted"
            ),
            '<rect class="glass" width="34" height="16"/>': "a part that is drawn again below, enlarged",
        }
        if any("role" in event.fields for case in cases for event in case.timeline):
            drawn = roles | drawn
        picture = '<svg aria-hidden="true" width="34" height="16" viewBox="0 0 34 16">{}</svg>'
        items = "".join(
            f"<li>{picture.format(piece)}<span>{escape(words)}</span></li>" for piece, words in drawn.items()
        )
        yield f'<div class="legend timeline"><h3>On a timeline</h3><ul>{items}</ul></div>'
    yield "<h3>Words</h3>"
    of_two = WORDS_OF_TWO if any(DEPTH in case.kinds for case in cases) else {}
    of_one = WORDS_OF_ONE if any(DEPTH not in case.kinds for case in cases) else {}
    yield facts({name: escape(words) for name, words in (of_two | WORDS | of_one).items()})
