"""A case on a page: what failed and its evidence, when, and what else is known of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

from holdfast import lab_words, picture, visible
from holdfast.render.markup import badge, folded, listed, text
from holdfast.render.terminal import away
from holdfast.results import Event
from holdfast.verdicts import DEPTH, CaseRecord, Step
from holdfast.visible import html as escape

# Of what led to a failure, so many events are shown without being asked for.
EXCERPT = 12
# What scenarios measure, and what pages call it.
MEASURED = {"lost": "lost", "altered": "altered", "stale": "stale", "recovery": "recovery", "acknowledged": "records"}
# What a list of them says instead.
LISTED = MEASURED | {"faults": "harm, in seconds since the scenario began"}


def anchors(cases: Sequence[CaseRecord]) -> list[str]:
    """The anchor of each case, of plain characters: no two are alike."""
    found: list[str] = []
    for number, case in enumerate(cases):
        plain = re.sub(r"[^\w-]+", "-", case.test) or "case"
        found.append(plain if plain not in found else f"{plain}-{number}")
    return found


def devices(cases: Iterable[CaseRecord], most: int) -> list[str]:
    """Their names; of more than so many, how many there are."""
    names = list(dict.fromkeys(case.device for case in cases))
    if len(names) <= most:
        return names
    emulated = sum("EMULATED" in name for name in names)
    return [f"{len(names)} devices{f', {emulated} of them EMULATED' if emulated else ''}"]


def whereabouts(cases: Sequence[CaseRecord]) -> list[str]:
    """On what and on which day, for who has many pages open."""
    days = sorted(moment(case.ended).partition(" ")[0] for case in cases if case.ended)
    return [*map(visible.line, devices(cases, 1)), *days[-1:]]


def moment(time: str) -> str:
    """A time of ISO 8601, for people; as it is, where it is none."""
    try:
        return f"{datetime.fromisoformat(time).astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return time


def titled(case: CaseRecord) -> str:
    """What a case is called, on which device of several and in which round."""
    name = f"{case.plan_id} {case.title}".rstrip() + (f" [{case.variant}]" if case.variant else "")
    return name if case.round is None else f"{name}, round {case.round}"


def of(case: CaseRecord, anchor: str, elsewhere: str, *, several: bool) -> str:
    """The section of a case, which names its device where there are `several`.

    `elsewhere` is a link to the case that has the timeline which this one shares.
    """
    failed = bool(case.failures) or case.verdict in ("FAIL", "error", "inconclusive")
    kind = ' class="failed"' if failed else ""
    heading = f'<h3 id="{anchor}">{escape(titled(case))}: {badge(case.verdict)}</h3>'
    parts = [
        f'<section{kind} aria-labelledby="{anchor}">{heading}',
        _verdicts(case),
        f'<p class="faint">{escape(case.device)}</p>' if several else "",
        text(case.why) if "\n" in case.why else f"<p>{escape(case.why)}</p>" if case.why else "",
        _failures(case),
        _picture(case) if failed else folded("Timeline", _picture(case)),
        elsewhere,
        listed("Not checked", case.not_checked),
        listed("Noted, where the plan leaves a device free", case.noted),
        listed("Measured", [f"{LISTED.get(name, name)}: {measured(case, name)}" for name in case.facts]),
        folded(f"Checked: {len(case.checked)}", _numbered(case.checked)),
        folded(f"Evidence: all {len(case.timeline)} events, as they were asked and seen", _lines(case.timeline)),
        *(folded(f"Log of container {name}", text(lines)) for name, lines in case.logs.items()),
    ]
    return "\n".join(part for part in parts if part) + "</section>"


def _verdicts(case: CaseRecord) -> str:
    if DEPTH not in case.kinds:
        return ""
    both = f"procedure {badge(case.shown('procedure'))}, depth {badge(case.shown('depth'))}"
    gone = f"; the device was away: {away(case)}" if case.outages else ""
    return f"<p>{both}{gone}</p>"


def measured(case: CaseRecord, name: str) -> str:
    """What was measured, for people; as it is, where that says nothing to this version."""
    value = case.facts.get(name, "-")
    if name == "faults":
        return "; ".join(map(lab_words.done, value.split("; ")))
    return f"{float(value):.2f} s" if name == "recovery" and re.fullmatch(r"\d+(\.\d*)?", value) else value


def _failures(case: CaseRecord) -> str:
    """Each step that failed, by the number of its flag on the timeline, with its reason and what led to it."""
    known = {each.name: each.at for each in picture.failures(case.timeline, _failed(case))}
    items = [
        f"<li><strong>{escape(_named(case, step))}</strong> ({_kind(case, step)}{_when(case, step, known)})"
        f"{text(_why(case, step))}{_excerpt(case, step, opened=number == 0)}</li>"
        for number, step in enumerate(case.failures)
    ]
    return f'<h4>Steps that failed</h4><ol class="failures">{"".join(items)}</ol>' if items else ""


def _named(case: CaseRecord, step: Step) -> str:
    """What a step is called: where a case is one step, which has its name, that says nothing and the reason does."""
    first = next(iter(step.words.splitlines()), "")
    return first if first and step.name in titled(case) else step.name


def _why(case: CaseRecord, step: Step) -> str:
    """What is left to say of a step."""
    return step.words if _named(case, step) == step.name else "\n".join(step.words.splitlines()[1:])


def _failed(case: CaseRecord) -> str:
    return _named(case, case.failures[0]) if case.failures else ""


def _when(case: CaseRecord, step: Step, known: Mapping[str, float]) -> str:
    """By the clock of the timeline, where that has it: nobody shall have to add up two."""
    at = known.get(step.name, known.get(_named(case, step)))
    if at is not None:
        return f"at {at:.2f} s on the timeline"
    since = "the last failover was asked for" if case.outages else "the case began"
    return f"{step.seconds:.2f} s after {since}"


def _kind(case: CaseRecord, step: Step) -> str:
    """Whose verdict it is, where there are two."""
    return f"{step.kind}, " if DEPTH in case.kinds else ""


def _excerpt(case: CaseRecord, step: Step, *, opened: bool) -> str:
    led = list(_led_to(case.timeline, step))
    return folded(f"What led to it: {len(led)} events", _lines(led), opened=opened) if led else ""


def _lines(events: Sequence[Event]) -> str:
    return text("\n".join(map(lab_words.line, events)))


def _led_to(events: Sequence[Event], step: Step) -> Sequence[Event]:
    """From the step's beginning until it failed; of a suite that tells no steps, the last there was."""
    notes = {number: event.text for number, event in enumerate(events) if event.kind == "note"}
    ended = [number for number, told in notes.items() if told == f"{step.kind} failed at: {step.name}"]
    if not ended:
        told = any(" failed at: " in note for note in notes.values())
        return () if told else events[-EXCERPT:]
    begins = (f"{step.kind}: {step.name}", f"failover: {step.name}")
    began = [number for number, told in notes.items() if told in begins and number < ended[0]]
    first = max(began[-1] if began else 0, ended[0] + 1 - EXCERPT)
    return events[first : ended[0] + 1]


def _picture(case: CaseRecord) -> str:
    """Twice, of which one is shown: for screens with room, and for those without."""
    if not case.timeline:
        return ""
    failed = _failed(case)
    wide, narrow = (picture.svg(case.timeline, layout, failed=failed) for layout in (picture.WIDE, picture.NARROW))
    told = escape(picture.summary(case.timeline, failed=failed))
    zero = "the lab began" if any(event.kind == "storage" for event in case.timeline) else "the session began"
    both = f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
    caption = f'{told}. Times are in seconds since {zero}. <a href="#legend">Legend</a>'
    return f'<figure class="timeline">{both}<figcaption>{caption}</figcaption></figure>'


def _numbered(lines: Sequence[str]) -> str:
    return f"<ol>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ol>" if lines else ""
