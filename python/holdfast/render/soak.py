"""The page of a soak: one HTML document that is written anew while its rounds go by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from holdfast import visible
from holdfast._version import __version__
from holdfast.render.case_section import whereabouts
from holdfast.render.markup import section, table
from holdfast.render.style import STYLE
from holdfast.report.soak import SHARES, DeviceSoak, Spread, by_device, spread
from holdfast.verdicts import CaseRecord

escape = visible.html
# How often a browser loads a running page again, in seconds.
RELOAD = 15
# So many failures are told with their words, the last ones.
TOLD = 50
# The picture of outages, in its own units.
WIDTH, HEIGHT = 720, 160
# So many points are drawn; of more, the longest of each part.
POINTS = 720
# Of the columns on outages, those that go where there is no room: all but the longest.
EXTRA = 1 + len(SHARES)
ORDER = ("FAIL", "error", "inconclusive", "pass", "not checked", "skipped")


def html(cases: Sequence[CaseRecord], state: str, *, running: bool) -> str:
    """The document for the cases that have ended; `state` says where the soak is."""
    soaks = by_device(cases)
    title = ", ".join((f"holdfast soak: {_counted(cases)}", *whereabouts(cases)))
    reload = f'<meta http-equiv="refresh" content="{RELOAD}">' if running else ""
    written = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}"
    foot = (
        "<code>holdfast report DIR</code> makes a page of each round with its evidence, of what --dut-artifacts keeps."
    )
    headline = f'<h1><span class="of">holdfast soak: </span>{_headline(cases)}</h1><p>{escape(state)}</p>'
    body = "\n".join([
        section("Devices", "devices", [_overview(soaks)]),
        *(section(soak.device, f"device-{number}", _device(soak)) for number, soak in enumerate(soaks, 1)),
    ])  # fmt: skip
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{reload}<title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><header>{headline}</header>\n<main>\n{body}\n</main>\n"
        f"<footer><p>Written by holdfast {__version__} at {written} UTC. {foot}</p></footer></body></html>\n"
    )


def _counted(cases: Iterable[CaseRecord]) -> str:
    verdicts = [case.verdict for case in cases]
    return ", ".join(f"{verdicts.count(name)} {name}" for name in ORDER if name in verdicts) or "no case has ended yet"


def _headline(cases: Sequence[CaseRecord]) -> str:
    """The same, each word in its colour."""
    verdicts = [case.verdict for case in cases]
    counts = [
        f'<span class="{name.replace(" ", "-")}">{verdicts.count(name)} {name}</span>'
        for name in ORDER
        if name in verdicts
    ]
    return ", ".join(counts) or escape(_counted(cases))


def _overview(soaks: Sequence[DeviceSoak]) -> str:
    heads = ("device", "rounds", "cases", "grew", *_heads())
    rows = [
        (
            escape(soak.device),
            str(soak.rounds),
            _bad(_counted(soak.cases), bool(soak.failures)),
            _grew(soak),
            *_cells(spread(seconds for _, seconds in soak.outages)),
        )
        for soak in soaks
    ]
    return table("How each did, and how long it was away", heads, rows, extra=EXTRA)


def _grew(soak: DeviceSoak) -> str:
    """What grew, in a word or two: the table of the device has the numbers."""
    found = [each.what for each in soak.growth if each.grew]
    unknown = bool(soak.growth) and all(each.trend is None for each in soak.growth)
    return _bad(", ".join(found), True) if found else "too few rounds" if unknown else "nothing"


def _device(soak: DeviceSoak) -> list[str]:
    rows = [
        (
            escape(name),
            _bad(_counted(cases), any(case.verdict in ("FAIL", "error") for case in cases)),
            *_cells(spread(seconds for case in cases for seconds in case.outages)),
        )
        for name, cases in soak.by_case().items()
    ]
    return [
        f"<p>{escape(soak.stopped)}</p>" if soak.stopped else "",
        _picture(soak),
        table("Cases", ("case", "verdicts", *_heads()), rows, extra=EXTRA),
        _growth(soak),
        _failures(soak.failures),
    ]


def _heads() -> tuple[str, ...]:
    """The longest first, for where there is no room for all."""
    return ("longest away", "outages", *(f"p{share}" for share in SHARES))


def _cells(found: Spread | None) -> tuple[str, ...]:
    if found is None:
        return ("never", "none", *("" for _ in SHARES))
    return (f"{found.largest:.2f} s", str(found.count), *(f"{value:.2f} s" for value in found.percentiles.values()))


def _growth(soak: DeviceSoak) -> str:
    rows = []
    for each in soak.growth:
        told = ("too few rounds", "-") if each.trend is None else (f"{each.trend.slope:.3g}", f"{each.trend.p:.2g}")
        rows.append(
            (escape(each.what), _bad("yes", True) if each.grew else "no", f"{each.first:g}", f"{each.last:g}", *told)
        )
    heads = ("what is there", "grew", "first round", "last round", "a round (Theil-Sen)", "chance (Mann-Kendall)")
    return table("Growth from round to round", heads, rows, extra=2) if rows else ""


def _failures(failed: Sequence[CaseRecord]) -> str:
    if not failed:
        return ""
    shown = failed[-TOLD:]
    rows = [
        (
            f"{escape(case.plan_id)}, round {case.round}",
            "<br>".join(escape(visible.short(str(step))) for step in case.failures) or escape(case.why),
            escape(case.ended or "-"),
        )
        for case in reversed(shown)
    ]
    of_all = f", the last {len(shown)} of {len(failed)}" if len(failed) > len(shown) else ""
    return table(f"Failures{of_all}", ("case", "what failed", "ended (UTC)"), rows, extra=1)


def _picture(soak: DeviceSoak) -> str:
    """Outages over rounds, a point for each."""
    points = soak.outages
    if len(points) < 2:
        return ""
    size = -(-len(points) // POINTS)
    points = [max(points[at : at + size], key=lambda point: point[1]) for at in range(0, len(points), size)]
    longest, rounds = max(seconds for _, seconds in points), soak.rounds
    right, high = (WIDTH - 60) / rounds, (HEIGHT - 40) / longest
    dots = "".join(
        f'<circle cx="{40 + number * right:.1f}" cy="{HEIGHT - 20 - seconds * high:.1f}" r="2" class="good"/>'
        for number, seconds in points
    )
    axis = f'<path d="M40 10V{HEIGHT - 20}H{WIDTH - 10}" fill="none" class="axis"/>'
    marks = (
        f'<text x="2" y="22" font-size="11" class="faint">{longest:.2f} s</text>'
        f'<text x="{WIDTH - 80}" y="{HEIGHT - 6}" font-size="11" class="faint">round {rounds}</text>'
    )
    what = f"{len(soak.outages)} outages over {rounds} rounds, the longest {longest:.2f} s"
    drawn = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{what}">{axis}{marks}{dots}</svg>'
    return f'<figure class="timeline">{drawn}<figcaption>{what}</figcaption></figure>'


def _bad(text: str, is_bad: bool) -> str:
    return f'<span class="FAIL">{escape(text)}</span>' if is_bad else escape(text)
