"""The page about a run: its order, headings and pictures, and how well it can be read (`nox -s page`: in a browser)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from holdfast import picture, report
from holdfast.pytest_plugin import command_line
from holdfast.render import page, soak, style
from holdfast.results import Event, Timeline
from holdfast.verdicts import DEPTH, FAIL, INCONCLUSIVE, NOT_CHECKED, PROCEDURE, CaseRecord, Step, outcome_of, store

from conftest import RunSuite

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</style></title><script>alert(1)</script>"><img src=x onerror=alert(1)>&\u202e'
BEGAN = datetime(2026, 11, 30, 8, tzinfo=timezone.utc)


def event(at: float, kind: str, text: str, **fields: str | float) -> Event:
    return Event(at=at, time=BEGAN + timedelta(seconds=at), kind=kind, text=text, fields=fields)


def role(at: float, name: str, held: str) -> Event:
    return event(at, "gnmi", f"{name}: redundant-role {held}", control_processor=name, role=held)


def failover(outage: float, length: float, *more: Event) -> Timeline:
    """A switchover at 10 s; the device is away for so long."""
    back = 10.0 + outage
    events = [
        role(0.0, "Supervisor1", "PRIMARY"),
        role(0.0, "Supervisor2", "SECONDARY"),
        event(9.0, "note", "procedure: ask"),
        event(10.0, "connection", "lost 192.0.2.1:9339"),
        event(back, "outage", f"the device answers again after {outage:.3f} s", outage=outage),
        role(back, "Supervisor1", "SECONDARY"),
        role(back, "Supervisor2", "PRIMARY"),
        *more,
        event(length, "note", "the end"),
    ]
    return Timeline(sorted(events, key=lambda each: each.at))


FAILED_AT = (
    event(12.0, "note", "procedure: the container runs"),
    event(12.1, "call", "Containerz.ListContainer: OK", call="Containerz.ListContainer", status="OK"),
    event(13.0, "note", "procedure failed at: the container runs"),
    event(13.1, "note", "depth: it answers"),
    event(13.5, "note", "depth failed at: it answers"),
)
STEPS = (
    Step(PROCEDURE, "ask", seconds=0.5),
    Step(PROCEDURE, "the container runs", FAIL, "ExpectationFailed: no container web\n  try: start it", 3.0),
    Step(DEPTH, "it answers", FAIL, "Connection refused", 3.5),
    Step(DEPTH, "its command", NOT_CHECKED, "no means"),
)


def case(number: str = "CNTR-3.2", *steps: Step, **more: Any) -> CaseRecord:
    told = {
        "suite": "cntr3", "title": "container persistence", "device": "EMULATED device", "session": "s",
        "command": "pytest -k cntr3 --dut-report run.html", "plan": {"switchovers": 1},
        "began": BEGAN.isoformat(), "ended": (BEGAN + timedelta(seconds=95)).isoformat(), **more,
    }  # fmt: skip
    return CaseRecord(number, f"test_{number}", outcome=outcome_of(steps, DEPTH), steps=steps, **told)


def run() -> list[CaseRecord]:
    """One that passes, and one that fails while its device is away for a moment."""
    good = case("CNTR-3.1", Step(PROCEDURE, "ask"), timeline=failover(0.2, 12.0), outages=(0.2,))
    about = {"profile": "generic", "written": "2026-11-30T08:01:00+00:00"}
    bad = case("CNTR-3.2", *STEPS, timeline=failover(0.2, 600.0, *FAILED_AT), outages=(0.2,), about=about)
    return [good, bad]


def scenarios() -> list[CaseRecord]:
    events = Timeline([
        event(0.0, "storage", "create v-1 of 67108864 bytes on node1"),
        event(1.0, "storage", "PowerOff on node1"),
        event(1.1, "storage", "know that node1 is lost"),
        event(1.2, "storage", "run t-2 with v-1 on node2"),
        event(61.0, "storage", "PowerOn on node1"),
        event(62.0, "storage", "release v-1 from t-2 on node2: Timeout"),
        event(63.0, "judge", "v-1: 24 acknowledged, 2 findings"),
    ])  # fmt: skip
    lost = Step(PROCEDURE, "node powered off", FAIL, "2 records are lost", 63.0)
    unclear = Step(PROCEDURE, "runtime crash", INCONCLUSIVE, "the lab was late", 1.0)
    more: dict[str, Any] = {"suite": "torpedo", "title": "", "device": "EMULATED storage", "plan": {}}
    return [
        case("T5 node powered off", lost, facts={"recovery": "60.2", "lost": "2"}, timeline=events, **more),
        case("T9 runtime crash", unclear, **more),
    ]


class Read(HTMLParser):
    """What of a page a test asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[tuple[int, str]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tags.append((tag, told))
        self._open.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        self.ids += [told["id"] or ""] if "id" in told else []
        self.links += [told["href"] or ""] if "href" in told else []
        self.labels += [told["aria-labelledby"] or ""] if "aria-labelledby" in told else []

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if any(re.fullmatch(r"h[1-6]", tag) for tag in self._open):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)


PAGES = {"cases": run, "scenarios": scenarios}


@pytest.fixture(params=PAGES)
def shown(request: pytest.FixtureRequest) -> str:
    return page.html(PAGES[request.param]())


def test_verdicts_come_first_then_what_failed_then_the_run() -> None:
    headings = Read(page.html(run())).headings
    assert headings[0] == (1, "holdfast: 1 FAIL, 1 pass")
    parts = [text for level, text in headings if level == 2]
    assert parts == ["Verdicts", "What failed", "The run", "The other cases", "Legend"]
    cases = [text for level, text in headings if level == 3]
    assert cases[:2] == ["CNTR-3.2 container persistence: FAIL", "CNTR-3.1 container persistence: pass"]
    good = [text for level, text in Read(page.html(run()[:1])).headings if level == 2]
    assert good == ["Verdicts", "The run", "The cases", "Legend"], "nothing failed, and no heading says so"


def test_a_screen_reader_finds_its_way(shown: str) -> None:
    read = Read(shown)
    levels = [level for level, _ in read.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), read.headings
    assert all(text.strip() for _, text in read.headings)
    assert len(read.ids) == len(set(read.ids))
    assert {link.removeprefix("#") for link in read.links} <= set(read.ids)
    assert set(read.labels) <= set(read.ids)
    tags = [tag for tag, _ in read.tags]
    assert tags.count("table") == tags.count("caption")
    assert all(told.get("scope") in ("col", "row") for tag, told in read.tags if tag == "th")
    pictures = [told for tag, told in read.tags if tag == "svg"]
    assert pictures
    assert all(told.get("role") == "img" or told.get("aria-hidden") == "true" for told in pictures)
    assert shown.count('role="img"') == shown.count('role="img" style') == shown.count("><title>a timeline of")
    assert all(tag in tags for tag in ("header", "main", "footer"))
    assert '<html lang="en">' in shown


def test_the_page_of_a_soak_can_be_read_like_the_others() -> None:
    rounds = [
        replace(each, round=number, outages=(number / 10,), held={"our open files": 30.0 + number})
        for number in range(1, 13)
        for each in run()
    ]
    shown = soak.html(rounds, HOSTILE, running=False)
    read = Read(shown)
    assert [text for level, text in read.headings] == ["holdfast soak: 12 FAIL, 12 pass", "Devices", "EMULATED device"]
    tags = [tag for tag, _ in read.tags]
    assert tags.count("table") == tags.count("caption") == 4
    assert set(read.labels) <= set(read.ids)
    assert len(read.ids) == len(set(read.ids))
    assert not {"script", "img", "link"} & set(tags)
    assert "@media screen and (prefers-color-scheme: dark)" in shown
    assert ">our open files, outage, s</span>" in shown, "what grew, in few words"
    wide = [name for name, told in read.tags if name == "th" and told.get("class") == "extra"]
    assert len(wide) == 2 * soak.EXTRA + 2 + 1, "what goes where there is no room"


def test_names_that_look_alike_have_places_of_their_own() -> None:
    alike = [case("CNTR-3.1", Step(PROCEDURE, "ask")), case("CNTR-3 1", Step(PROCEDURE, "ask"))]
    read = Read(page.html(alike))
    assert len(read.ids) == len(set(read.ids))
    assert len({link for link in read.links if link.startswith("#test")}) == 2


def luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 has it: 4.5 is what text needs, 3 what else must be seen."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("colors", [style.LIGHT, style.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("behind", ["paper", "panel"])
def test_all_text_can_be_read_by_whom_contrast_matters(colors: dict[str, str], behind: str) -> None:
    low = {
        name: round(contrast(colors[name], colors[behind]), 2)
        for name in ("ink", "faint", "link", "pass", "FAIL", "doubt")
        if contrast(colors[name], colors[behind]) < 4.5
    }
    assert low == {}
    used = {style.PICTURE[name] for name in ("good", "bad", "plain")}
    assert all(contrast(colors[name], colors[behind]) >= 3 for name in used)


def test_what_is_on_a_bar_can_be_read_and_bars_told_apart() -> None:
    for color in (picture.PRIMARY, picture.BAD):
        assert contrast("#ffffff", color) >= 4.5
    for color in (picture.SECONDARY, picture.OTHER_ROLE):
        assert contrast("#000000", color) >= 4.5
    assert contrast(picture.PRIMARY, picture.SECONDARY) >= 3
    assert all(contrast(picture.CLASSES[name], "#ffffff") >= 4.5 for name in ("ink", "faint", "good", "bad", "plain"))
    assert set(style.PICTURE) == set(picture.CLASSES), "each has a colour in the dark"


def test_the_dark_paper_and_narrow_screens_have_rules(shown: str) -> None:
    assert "@media screen and (prefers-color-scheme: dark)" in shown, "paper stays white"
    assert "color-scheme: light dark" in shown
    printed = shown.partition("@media print {")[2]
    assert "details::details-content { content-visibility: visible" in printed, "what failed is open on paper"
    narrow = shown.partition("@media screen and (max-width: 40rem) {")[2].partition("@media")[0]
    assert ".wide, .extra { display: none; }" in narrow
    assert ".narrow { display: block; }" in narrow
    assert f'viewBox="0 0 {picture.NARROW.width} ' in shown
    assert "white-space: pre-wrap" in shown, "evidence needs no scrolling aside, which a keyboard could not do"


def test_the_run_says_when_how_and_on_what_it_ran() -> None:
    said = page.html(run()).partition('id="run"')[2].partition("</section>")[0]
    for told in (
        "<dt>Started</dt><dd>2026-11-30 08:00:00 UTC", "<dt>Ended</dt><dd>2026-11-30 08:01:35 UTC", "1 min 35 s",
        "<code>pytest -k cntr3 --dut-report run.html</code>", "EMULATED device", "generic", "1 switchover",
    ):  # fmt: skip
        assert told in said, told


def test_why_a_case_could_not_begin_keeps_its_lines_and_its_device() -> None:
    error = "Unreachable: c: connect: 192.0.2.1:9339\n  try: is the device up?"
    cases = [*run(), case("CNTR-3.3", device="rack1", why=error), case("CNTR-3.4", device="EMULATED device 2", why="x")]
    cases[2:] = [CaseRecord(**{**_fields(each), "outcome": "error"}) for each in cases[2:]]
    shown = page.html(cases)
    assert f"<pre>{error}</pre>" in shown
    header = shown.partition("<header>")[2].partition("</header>")[0]
    assert all(f">{name}</p>" in header for name in ("EMULATED device", "rack1", "EMULATED device 2"))
    many = [case("CNTR-3.1", Step(PROCEDURE, "ask"), device=f"{'EMULATED ' * (n < 2)}device {n}") for n in range(9)]
    assert "9 devices, 2 of them EMULATED" in page.html(many)


def test_what_an_older_run_kept_has_a_page_too() -> None:
    old = [case("CNTR-3.1", Step(PROCEDURE, "ask"), command="", began="", ended="")]
    assert "Started" not in page.html(old)
    odd = [case("CNTR-3.1", Step(PROCEDURE, "ask"), began="yesterday", ended="2026-11-30T08:00:00")]
    assert "<dd>yesterday</dd>" in page.html(odd)


def test_each_failed_step_has_its_reason_and_what_led_to_it() -> None:
    section = page.html(run()).partition("Steps that failed</h4>")[2].partition("</section>")[0]
    first, second = section.partition("</ol>")[0].split("<li>")[1:]
    assert "<strong>the container runs</strong> (procedure, at 13.00 s on the timeline)" in first
    assert "no container web\n  try: start it" in first
    assert "What led to it: 3 events" in first
    assert "ListContainer" in first.partition("<details")[2]
    assert first.partition("<details")[2].startswith(" open>"), "of the first that failed"
    assert "it answers" in second
    assert "What led to it: 2 events" in second
    assert "ListContainer" not in second


def drawn(events: Sequence[Event], layout: picture.Layout = picture.WIDE, failed: str = "") -> ET.Element:
    return ET.fromstring(picture.svg(events, layout, failed=failed))


def texts(of: ET.Element) -> list[str]:
    return [text.text or "" for text in of.iter(f"{SVG}text")]


@pytest.mark.parametrize("layout", [picture.WIDE, picture.NARROW], ids=["wide", "narrow"])
def test_the_timeline_marks_each_step_that_failed(layout: picture.Layout) -> None:
    found = drawn(failover(5.0, 20.0, *FAILED_AT), layout)
    (flags,) = [group for group in found.iter(f"{SVG}g") if group.get("class") == "lane failed"]
    assert [text for text in texts(flags) if text.isdigit()] == ["1", "2"]
    assert any("the container runs" in text for text in texts(flags))
    lines = [float(line.get("x1", "0")) for line in flags.iter(f"{SVG}line")]
    width = layout.width - layout.left - picture.MARGIN
    assert lines == [pytest.approx(layout.left + width * at / 20.0, abs=0.1) for at in (13.0, 13.5)]
    places = [float(square.get("x", "0")) for square in flags.iter(f"{SVG}rect")]
    assert places[1] - places[0] >= 16, "flags do not cover each other"
    assert "failed at 13.00 s: the container runs" in (found.findtext(f"{SVG}title") or "")
    fine = drawn(failover(5.0, 20.0), layout)
    assert not [group for group in fine.iter(f"{SVG}g") if group.get("class") == "lane failed"]


def test_a_scenario_that_names_no_step_is_marked_where_it_ended() -> None:
    events = scenarios()[0].timeline
    found = drawn(events, failed="node powered off")
    (flags,) = [group for group in found.iter(f"{SVG}g") if group.get("class") == "lane failed"]
    (line,) = flags.iter(f"{SVG}line")
    assert float(line.get("x1", "0")) == pytest.approx(picture.WIDE.width - picture.MARGIN)


@pytest.mark.parametrize("layout", [picture.WIDE, picture.NARROW], ids=["wide", "narrow"])
def test_a_short_outage_is_drawn_once_more_so_that_it_can_be_seen(layout: picture.Layout) -> None:
    short = drawn(failover(0.2, 600.0), layout)
    (lens,) = [group for group in short.iter(f"{SVG}g") if group.get("class") == "lens"]
    assert "away 0.20 s" in texts(lens)
    assert "enlarged: 9.80 to 10.40 s" in texts(lens)
    widest = max(float(bar.get("width", "0")) for bar in lens.iter(f"{SVG}rect") if bar.get("fill") == picture.BAD)
    assert widest > 0.3 * (layout.width - layout.left - picture.MARGIN)
    assert texts(lens).count("PRIMARY") == texts(lens).count("SECONDARY") == 2, "before it and after"
    long = drawn(failover(8.0, 20.0), layout)
    assert not [group for group in long.iter(f"{SVG}g") if group.get("class") == "lens"]
    assert "away 8.00 s" in texts(long)


def test_two_outages_have_a_lens_each_and_many_no_more_than_three() -> None:
    def away(at: float) -> Event:
        return event(at, "outage", "the device answers again", outage=0.1)

    for count, lenses in ((2, 2), (9, 3)):
        events = [
            event(0, "note", "x"),
            *(away(50.0 * number) for number in range(1, count + 1)),
            event(900, "note", "x"),
        ]
        found = drawn(events)
        assert len([group for group in found.iter(f"{SVG}g") if group.get("class") == "lens"]) == lenses


def test_the_roles_before_the_failover_are_on_the_picture_and_in_its_words() -> None:
    found = drawn(failover(5.0, 20.0))
    lanes = {texts(group)[0]: group for group in found.iter(f"{SVG}g") if group.get("class") == "lane"}
    assert texts(lanes["Supervisor1"])[1:] == ["PRIMARY", "SECONDARY"]
    first = next(lanes["Supervisor1"].iter(f"{SVG}rect"))
    assert float(first.get("x", "0")) == picture.WIDE.left, "from the beginning on"
    assert "Supervisor1: PRIMARY, then SECONDARY" in picture.summary(failover(5.0, 20.0))


@pytest.mark.parametrize(
    ("asked", "before"),
    [
        ("asking for RP 0 -> RP 1", {"RP 0": "PRIMARY, then SECONDARY", "RP 1": "SECONDARY, then PRIMARY"}),
        ("failing RP 0: Reboot", {"RP 0": "PRIMARY, then SECONDARY", "RP 1": "PRIMARY"}),
    ],
)
def test_a_switchover_of_its_own_shows_the_roles_before_it(asked: str, before: dict[str, str]) -> None:
    """What was asked before it is not on its timeline."""
    events = [event(1.0, "switchover", asked), role(2.0, "RP 0", "SECONDARY"), role(2.0, "RP 1", "PRIMARY")]
    assert f"; RP 0: {before['RP 0']}; RP 1: {before['RP 1']}" in picture.summary([*events, event(3.0, "note", "x")])
    known = [role(0.5, "RP 0", "ACTIVE"), *events]
    assert "RP 0: ACTIVE, then SECONDARY" in picture.summary(known), "what was reported counts more"


def test_a_lab_has_a_lane_for_each_node_and_its_harm() -> None:
    events = scenarios()[0].timeline
    found = drawn(events)
    lanes = {texts(group)[0]: group for group in found.iter(f"{SVG}g") if group.get("class") == "lane"}
    assert list(lanes) == ["node1", "node2", "judge"]
    assert "power off 60.00 s" in texts(lanes["node1"])
    assert len(list(lanes["node2"].iter(f"{SVG}path"))) == 1, "a call that failed has corners"
    assert len(list(lanes["judge"].iter(f"{SVG}path"))) == 1
    assert "node1: power off 60.00 s" in picture.summary(events)


@pytest.mark.parametrize(
    ("harm", "undone", "shown"),
    [
        ("Kill(Plugin)", "Start(Plugin)", "plugin killed"), ("Cut(All)", "Heal", "all networks cut"),
        ("Hang(Server)", "Start(Server)", "storage server hangs"), ("Drain", "Uncordon", "tasks drained"),
    ],
)  # fmt: skip
def test_harm_lasts_until_that_very_harm_is_undone(harm: str, undone: str, shown: str) -> None:
    others = (event(2.0, "storage", "Start(Runtime) on node1"), event(2.5, "storage", f"{undone} on node2"))
    events = [event(1.0, "storage", f"{harm} on node1"), *others, event(4.0, "storage", f"{undone} on node1")]
    assert f"node1: {shown} 3.00 s" in picture.summary([*events, event(9.0, "note", "the end")])
    assert f"node1: {shown} 8.00 s" in picture.summary([*events[:-1], event(9.0, "note", "the end")])


@pytest.mark.parametrize("layout", [picture.WIDE, picture.NARROW], ids=["wide", "narrow"])
def test_the_name_of_each_flag_stands_below_all_of_them_with_its_number(layout: picture.Layout) -> None:
    """Beside the last flag, the name of the first reads as that one's."""
    for count, listed in ((1, 1), (3, 3), (9, picture._MOST_NAMES)):
        notes = [event(12.0 + number, "note", f"depth failed at: step {number}") for number in range(count)]
        found = drawn(failover(5.0, 30.0, *notes), layout)
        (flags,) = [group for group in found.iter(f"{SVG}g") if group.get("class") == "lane failed"]
        heights = {text.text or "": float(text.get("y", "0")) for text in flags.iter(f"{SVG}text")}
        names = [text for text in heights if " failed: " in text]
        assert names == [f"{number + 1} failed: step {number}" for number in range(listed)]
        assert min(heights[name] for name in names) > max(heights[str(number + 1)] for number in range(count)) + 16
        assert (f"and {count - listed} more" in heights) == (count > listed)


@pytest.mark.parametrize(
    ("first", "last", "most", "shown"),
    [
        (0.04, 21.7, 8, ["5 s", "10 s", "15 s", "20 s"]),
        (0.0, 600.0, 8, ["0 s", "100 s", "200 s", "300 s", "400 s", "500 s", "600 s"]),
        (9.8, 10.4, 3, ["9.8 s", "10.0 s", "10.2 s", "10.4 s"]),
        (0.0, 0.0, 8, ["0.00000 s"]),
        (2.1, 18.0, 3, ["5 s", "10 s", "15 s"]),
        (1e6, 1e6 + 0.5, 3, ["1000000.0 s", "1000000.2 s", "1000000.4 s"]),
        (0.0, 1e6, 3, ["0 s", "500000 s", "1000000 s"]),
        (2.74, 8.14, 3, ["4 s", "6 s", "8 s"]),
    ],
)
def test_times_on_the_axis_are_round(first: float, last: float, most: int, shown: list[str]) -> None:
    drawn_at = picture._ticks(first, last, most)
    assert [label for _, label in drawn_at][: len(shown)] == shown
    assert all(first - 1e-4 <= at <= last + 2e-3 for at, _ in drawn_at)
    assert len(drawn_at) <= most + 1


def test_one_event_has_one_time_on_the_page() -> None:
    shown = page.html([*run(), *scenarios()])
    assert "(procedure, at 13.00 s on the timeline)" in shown
    assert "(at 63.00 s on the timeline)" in shown
    assert "failed at 13.00 s: the container runs" in shown
    assert "Times are in seconds since the session began" in shown
    assert "Times are in seconds since the lab began" in shown
    untold = [replace(each, timeline=Timeline()) for each in run()]
    assert "(procedure, 3.00 s after the last failover was asked for)" in page.html(untold)
    assert "(procedure, 3.00 s after the case began)" in page.html([replace(each, outages=()) for each in untold])


def test_a_scenario_that_failed_says_in_which_way_and_not_its_name_again() -> None:
    shown = page.html(scenarios())
    assert "<strong>2 records are lost</strong>" in shown
    assert "<strong>node powered off</strong>" not in shown
    assert shown.count("1 failed: 2 records are lost") == 2, "on the picture of each width"
    assert "PowerOff" not in shown
    assert "know that" not in shown
    assert "24 records acknowledged, 2 findings" in shown
    assert "<li>recovery: 60.20 s</li>" in shown


def test_a_narrow_screen_shows_how_much_was_lost() -> None:
    altered = replace(scenarios()[0], facts={"acknowledged": "9", "lost": "0", "altered": "3", "stale": "0"})
    for cases, seen in ((scenarios(), ["lost", "recovery"]), ([altered], ["altered", "lost"])):
        table = page.html(cases).partition("One verdict for each scenario")[2].partition("</table>")[0]
        heads = re.findall(r'<th scope="col"(.*?)>(.*?)</th>', table)
        assert [name for kind, name in heads if not kind] == ["scenario", "verdict", *seen]


def test_each_column_and_word_is_in_the_legend() -> None:
    for cases in (run(), scenarios()):
        shown = page.html(cases)
        legend = set(re.findall("<dt>(.*?)</dt>", shown.partition('id="legend"')[2]))
        heads = set(re.findall(r'<th scope="col".*?>(.*?)</th>', shown.partition('id="run"')[0]))
        plain = {"case", "scenario", "verdict", "steps checked"}
        assert heads - plain - legend == set()
        assert ("judge" in legend) == ("judge" in shown.partition('id="legend"')[2].partition("<dl>")[0])
    assert {"lost", "altered", "stale", "recovery", "records"}.isdisjoint(
        re.findall("<dt>(.*?)</dt>", page.html(run()).partition('id="legend"')[2])
    )


def test_the_title_says_on_what_and_when_it_ran() -> None:
    assert "<title>holdfast: 1 FAIL, 1 pass, EMULATED device, 2026-11-30</title>" in page.html(run())
    assert "1 pass, EMULATED device, 2026-11-30</title>" in soak.html(
        [replace(each, round=1) for each in run()], "", running=True
    )
    assert "<title>holdfast soak: no case has ended yet</title>" in soak.html([], "", running=True)
    two = [run()[0], replace(run()[1], device="rack1")]
    assert "<title>holdfast: 1 FAIL, 1 pass, 2 devices, 1 of them EMULATED, 2026-11-30</title>" in page.html(two)


def test_no_part_of_a_case_is_called_as_a_part_of_the_page(shown: str) -> None:
    headings = Read(shown).headings
    assert {text for level, text in headings if level == 2}.isdisjoint(text for level, text in headings if level > 2)


def test_what_anybody_said_is_data_on_every_part_of_the_page() -> None:
    steps = (Step(PROCEDURE, HOSTILE, FAIL, HOSTILE), Step(DEPTH, HOSTILE, NOT_CHECKED, HOSTILE))
    more = (event(61.0, "storage", f"PowerOff on {HOSTILE}"), event(62.0, "note", f"procedure failed at: {HOSTILE}"))
    events = Timeline((role(0.0, HOSTILE, HOSTILE), *failover(0.2, 60.0), *more))
    hostile = case(
        HOSTILE, *steps, device=HOSTILE, title=HOSTILE, variant=HOSTILE, command=HOSTILE, began=HOSTILE, ended=HOSTILE,
        noted=(HOSTILE,), why=HOSTILE, facts={"recovery": HOSTILE, HOSTILE: HOSTILE}, logs={HOSTILE: HOSTILE},
        timeline=events, about={"profile": HOSTILE, "written": HOSTILE}, session=HOSTILE,
        plan={"shared": HOSTILE, "switchovers": HOSTILE},
    )  # fmt: skip
    for suite in ("cntr3", "torpedo"):
        text = page.html([CaseRecord(**{**_fields(hostile), "suite": suite}), case("CNTR-3.1", steps[1])])
        tags = {tag for tag, _ in Read(text).tags}
        assert not tags & {"script", "img", "link", "iframe", "object"}
        assert text.count("<style>") == text.count("</style>") == 1
        assert "\u202e" not in text
        attributes = {name for _, told in Read(text).tags for name in told}
        assert not {name for name in attributes if name.startswith("on")} | (attributes & {"src"})


def _fields(of: CaseRecord) -> dict[str, Any]:
    return {name: getattr(of, name) for name in CaseRecord.__dataclass_fields__}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--dut-metadata", "key=abc"], "--dut-metadata 'key=(hidden)'"),
        (["--dut-metadata=key=abc"], "'--dut-metadata=key=(hidden)'"),
        (["--dut-metadata", "key=env:KEY"], "--dut-metadata key=env:KEY"),
        (["--dut-volume-option", "o=abc"], "--dut-volume-option 'o=(hidden)'"),
        (["--dut-proxy", "http://me:abc@192.0.2.1:1"], "--dut-proxy 'http://(hidden)@192.0.2.1:1'"),
        (["--dut-proxy=socks5://me:abc@192.0.2.1:1"], "'--dut-proxy=socks5://(hidden)@192.0.2.1:1'"),
        (["--lab-password", "abc"], "--lab-password '(hidden)'"),
        (["--other-token=abc"], "'--other-token=(hidden)'"),
        (["--dut-password-file", "abc.txt"], "--dut-password-file abc.txt"),
        (["--dut-key-password-file=abc.txt"], "--dut-key-password-file=abc.txt"),
        (["-k", "cntr3 and token", "--dut", "192.0.2.1"], "-k 'cntr3 and token' --dut 192.0.2.1"),
    ],
)
def test_the_command_line_is_kept_without_its_secrets(given: list[str], shown: str) -> None:
    assert command_line.joined(given) == f"pytest {shown}"


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_run_keeps_when_and_how_it_was_run(workers: str, run_suite: RunSuite, tmp_path: Path) -> None:
    kept, file = tmp_path / "kept", tmp_path / "run.html"
    before = datetime.now(timezone.utc)
    options = ("--dut-artifacts", str(kept), "--dut-report", str(file), "--dut-metadata", "key=hunter2", "-n", workers)
    assert run_suite("-k", "cntr1_5", *options).exit_code == 0
    (found,) = report.read(kept).cases
    began, ended = (datetime.fromisoformat(time) for time in (found.began, found.ended))
    assert before - timedelta(seconds=1) <= began < ended <= datetime.now(timezone.utc)
    assert "-k cntr1_5" in found.command
    assert "key=(hidden)" in found.command
    whole = file.read_text() + "".join(each.read_text() for each in kept.rglob("*.json"))
    assert "hunter2" not in whole
    assert "<dt>Command line</dt>" in file.read_text()


def test_scenarios_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in ("T10 x", "T2 x", "T1 x"):
        one = case(number, Step(PROCEDURE, "x"), suite="torpedo")
        (tmp_path / one.test).mkdir()
        store.write(tmp_path / one.test, one)
    assert [each.plan_id for each in report.read(tmp_path).cases] == ["T1 x", "T2 x", "T10 x"]
