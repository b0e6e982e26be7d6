"""A timeline as a picture: SVG that needs no script, a lane for each control processor, what is in it said on hover.

What a page wants in other colours, in the dark, has a class (`CLASSES`); by itself the picture is on white.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from xml.etree import ElementTree as ET

from holdfast import lab_words, visible

_LANE = 30
_TOP = 14
_BOTTOM = 30  # of an axis: its ticks
_FONT = "font-family:system-ui,sans-serif;font-size:12px"
# Told apart without seeing colours: by lightness, and by words where there is room.
PRIMARY, SECONDARY, OTHER_ROLE = "#1b6ca8", "#a9cfe8", "#cccccc"
_ROLES = {"PRIMARY": PRIMARY, "SECONDARY": SECONDARY}
GOOD, BAD, PLAIN = "#2e7d32", "#b3261e", "#555555"
# The classes of what has another colour in the dark, and its own here.
CLASSES = {
    "paper": "#ffffff",
    "ink": "#000000",
    "faint": PLAIN,
    "grid": "#dddddd",
    "glass": "#eef3f8",
    "good": GOOD,
    "bad": BAD,
    "plain": PLAIN,
}
# Of a letter, in pixels. What is too short for its words is enlarged, and at most so often.
_LETTER = 7
_MOST_LENSES = 3
# Names of what failed are listed below the lanes, each in so many pixels, and at most so many.
_ROW = 16
_MOST_NAMES = 6
# A window that is more of the whole than this would hardly be larger.
_WORTH = 0.6
# What harm to a node ends by; of a part, that part's own.
_UNDONE = {"PowerOff": "PowerOn", "Cut": "Heal", "Stop": "Start", "Kill": "Start", "Hang": "Start", "Drain": "Uncordon"}
_HARM = re.compile(r"(?P<what>(?P<word>[A-Z][A-Za-z]+)(?:\((?P<part>\w+)\))?) on (?P<node>\S+)")
_NODE = re.compile(r".*\b(?:on|from|that) (?P<node>[^\s:]+)(?: is lost)?(?:: .*)?", re.DOTALL)
# Who is asked for a switchover was PRIMARY then; whom it is asked for, the standby.
_ASKED = re.compile(r"(?:asking for (?P<primary>.+?) -> (?P<secondary>.+)|failing (?P<failing>.+?): .*)", re.DOTALL)
_FAILED = re.compile(r"(?:procedure|depth) failed at: (.*)", re.DOTALL)


@dataclass(frozen=True)
class Layout:
    """How wide a picture is, in pixels, how much of that the names of lanes have, and how many ticks fit."""

    width: int
    names: int
    ticks: int

    @property
    def lane(self) -> int:
        """The height of a lane: without room for its name beside it, that is above it."""
        return _LANE if self.names else _LANE + 16

    @property
    def left(self) -> int:
        """Where lanes begin."""
        return self.names or 8


MARGIN = 20
WIDE = Layout(width=960, names=150, ticks=8)
NARROW = Layout(width=400, names=0, ticks=3)


class Event(Protocol):
    """Something on a timeline (`holdfast.results.Event`); `at` is in seconds since the timeline began."""

    @property
    def at(self) -> float: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102
    @property
    def fields(self) -> Mapping[str, str | float]: ...  # noqa: D102


@dataclass(frozen=True)
class _Bar:
    """Something that lasts, in seconds on the timeline."""

    began: float
    ended: float
    color: str
    label: str
    text: str

    def has_room(self, width: float) -> bool:
        """Whether its words fit into so many pixels."""
        return width > _LETTER * len(self.label) + 8


@dataclass
class _Lane:
    name: str
    bars: list[_Bar]
    marks: list[Event]


@dataclass(frozen=True)
class Failure:
    """What failed, and when that was known, in seconds on the timeline."""

    at: float
    name: str


def svg(events: Sequence[Event], layout: Layout = WIDE, *, failed: str = "") -> str:
    """The picture, as an SVG document: control processors by role, absences, harm to nodes, calls, what was done, and
    which steps failed. What is short is shown once more, enlarged.

    `events` are a device's (`Device.timeline`, `Switchover.timeline`) or a storage lab's, oldest first. `failed` is
    what failed at their end, where none of them says it.
    """
    return ET.tostring(_Picture(events, layout, failed).drawn(), encoding="unicode")


def summary(events: Sequence[Event], *, failed: str = "") -> str:
    """What is on the picture, in a sentence."""
    if not events:
        return "a timeline on which nothing happened"
    away = [bar.label for bar in _absences(events)]
    roles = [f"{name}: {', then '.join(bar.label for bar in bars)}" for name, bars in _roles(events).items()]
    harm = [f"{node}: {bar.label}" for node, bars in _harm(events).items() for bar in bars]
    length = events[-1].at - events[0].at
    told = [f"failed at {each.at:.2f} s: {each.name}" for each in failures(events, failed)]
    told = [f"a timeline of {length:.2f} s, {len(events)} events", *roles, *away, *harm, *told]
    return visible.line("; ".join(told))


class _Scale:
    """Seconds to pixels."""

    def __init__(self, first: float, last: float, layout: Layout) -> None:
        self.first, self.last, self._layout = first, last, layout
        self.seconds = max(last - first, 0.001)

    def x(self, at: float) -> float:
        width = self._layout.width - self._layout.left - MARGIN
        return round(self._layout.left + width * (at - self.first) / self.seconds, 1)

    def has(self, at: float) -> bool:
        return self.first <= at <= self.last


class _Picture:
    def __init__(self, events: Sequence[Event], layout: Layout, failed: str) -> None:
        self._layout = layout
        self._failures = failures(events, failed)
        self._lanes = _lanes(events)
        first = events[0].at if events else 0.0
        last = max((event.at for event in events), default=0.0)
        self._scale = _Scale(first, last, layout)
        self._root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "style": _FONT})
        ET.SubElement(self._root, "title").text = summary(events, failed=failed)

    def drawn(self) -> ET.Element:
        background = ET.SubElement(self._root, "rect", {"width": "100%", "height": "100%", **_filled("paper")})
        windows = self._windows()
        bottom = self._panel(self._root, self._scale, _TOP, self._lanes, windows)
        for window in windows:
            bottom = self._lens(window, bottom)
        size = {"width": str(self._layout.width), "height": str(bottom)}
        self._root.attrib.update({"viewBox": f"0 0 {self._layout.width} {bottom}", **size})
        background.attrib.update(size)
        for element in self._root.iter():
            if element.text is not None:
                element.text = visible.line(element.text)
        return self._root

    def _windows(self) -> list[tuple[float, float]]:
        """What is to be enlarged: around what is too short to be seen, one window where two would overlap."""
        short = [
            bar
            for lane in self._lanes
            for bar in lane.bars
            if bar.color == BAD and not bar.has_room(self._scale.x(bar.ended) - self._scale.x(bar.began))
        ]
        windows: list[tuple[float, float]] = []
        for bar in sorted(short, key=lambda bar: bar.began):
            around = max(bar.ended - bar.began, 0.02)
            began, ended = max(bar.began - around, self._scale.first), min(bar.ended + around, self._scale.last)
            if windows and began <= windows[-1][1]:
                windows[-1] = (windows[-1][0], max(ended, windows[-1][1]))
            else:
                windows.append((began, ended))
        worth = [(began, ended) for began, ended in windows if ended - began < self._scale.seconds * _WORTH]
        return worth[:_MOST_LENSES]

    def _panel(
        self,
        parent: ET.Element,
        scale: _Scale,
        top: int,
        lanes: Sequence[_Lane],
        windows: Sequence[tuple[float, float]] = (),
    ) -> int:
        """Lanes over an axis; where its lower edge is."""
        flagged = self._failures if parent is self._root else []
        height = self._layout.lane * len(lanes) + (_LANE if flagged else 0)
        named = _ROW * min(len(flagged), _MOST_NAMES + 1)
        for began, ended in windows:
            left, right = scale.x(max(began, scale.first)), scale.x(min(ended, scale.last))
            place = {"x": str(left), "width": str(max(round(right - left, 1), 2.0))}
            tall = {"y": str(top - 6), "height": str(height + 14 + _BOTTOM + named)}
            ET.SubElement(parent, "rect", {**place, **tall, **_filled("glass")})
        self._axis(parent, scale, top, height)
        for number, lane in enumerate(lanes):
            self._lane(parent, scale, top + self._layout.lane * number, lane)
        if flagged:
            group = self._flags(scale, top, top + self._layout.lane * len(lanes))
            self._names(group, top + height + 8 + _BOTTOM)
        return top + height + 8 + _BOTTOM + named

    def _axis(self, parent: ET.Element, scale: _Scale, top: int, height: int) -> None:
        bottom = top + height + 8
        for at, label in _ticks(scale.first, scale.last, self._layout.ticks):
            x = scale.x(at)
            place = {"x1": str(x), "x2": str(x), "y1": str(top), "y2": str(bottom)}
            ET.SubElement(parent, "line", {**place, "stroke": CLASSES["grid"], "class": "grid"})
            half = _LETTER * len(label) / 2
            anchor = "start" if x < half else "end" if x + half > self._layout.width else "middle"
            words_at = {"x": str(x), "y": str(bottom + 15), "text-anchor": anchor, **_filled("faint")}
            ET.SubElement(parent, "text", words_at).text = label

    def _lane(self, parent: ET.Element, scale: _Scale, top: int, lane: _Lane) -> None:
        group = ET.SubElement(parent, "g", {"class": "lane"})
        top = self._name(group, top, lane.name)
        shown = [bar for bar in lane.bars if bar.ended >= scale.first and bar.began <= scale.last]
        labels = [self._bar(group, scale, top, bar) for bar in shown]
        for event in lane.marks:
            if scale.has(event.at):
                _mark(group, scale.x(event.at), top + _LANE // 2, event)
        group.extend(label for label in labels if label is not None)  # over the marks

    def _bar(self, group: ET.Element, scale: _Scale, top: int, bar: _Bar) -> ET.Element | None:
        """Draws it; its words, if it has room for them."""
        left, right = scale.x(max(bar.began, scale.first)), scale.x(min(bar.ended, scale.last))
        width = max(round(right - left, 1), 1.0)
        held = ET.SubElement(group, "g")
        ET.SubElement(held, "title").text = bar.text
        place = {"x": str(left), "y": str(top + 5), "width": str(width), "height": str(_LANE - 10), "rx": "2"}
        ET.SubElement(held, "rect", {**place, "fill": bar.color})
        if not bar.has_room(width):
            return None
        ink = "black" if bar.color in (SECONDARY, OTHER_ROLE) else "white"
        edge = {"stroke": bar.color, "stroke-width": "3", "paint-order": "stroke"}
        place = {"x": str(round(left + width / 2, 1)), "y": str(top + _LANE // 2 + 4), "text-anchor": "middle"}
        label = ET.Element("text", {**place, "fill": ink, **edge})
        label.text = bar.label
        return label

    def _name(self, group: ET.Element, top: int, name: str) -> int:
        """Beside the lane, or above it; where the lane itself begins."""
        shown = name if len(name) <= 20 or not self._layout.names else f"{name[:19]}…"
        place = {"x": "8", "y": str(top + (_LANE // 2 + 4 if self._layout.names else 13)), **_filled("ink")}
        ET.SubElement(group, "text", place).text = shown
        return top if self._layout.names else top + 16

    def _flags(self, scale: _Scale, top: int, below: int) -> ET.Element:
        """A line through all lanes where a step failed, and a numbered flag below them."""
        group = ET.SubElement(self._root, "g", {"class": "lane failed"})
        if self._layout.names:
            self._name(group, below, "failed")
        middle, taken = below + _LANE // 2, 0.0
        for number, failure in enumerate(self._failures, 1):
            at = scale.x(failure.at)
            x = max(at, taken + 17) if taken else at
            x = min(x, self._layout.width - 9.0)
            flag = ET.SubElement(group, "g")
            ET.SubElement(flag, "title").text = f"{failure.at:9.3f} s  failed: {failure.name}"
            line = {"x1": str(at), "x2": str(at), "y1": str(top), "y2": str(middle), "class": "bad"}
            dashes = {} if number == 1 else {"stroke-dasharray": "2 4"}
            ET.SubElement(flag, "line", {**line, **dashes, "stroke": BAD, "stroke-width": "2"})
            square = {"x": str(round(x - 8, 1)), "y": str(middle - 8), "width": "16", "height": "16", "rx": "3"}
            ET.SubElement(flag, "rect", {**square, "fill": BAD})
            inside = {"x": str(x), "y": str(middle + 4), "text-anchor": "middle", "fill": "white"}
            ET.SubElement(flag, "text", inside).text = str(number)
            taken = x
        return group

    def _names(self, group: ET.Element, top: int) -> None:
        """What the numbers of the flags are, a line for each."""
        room = int((self._layout.width - self._layout.left - MARGIN) / 6.5)
        named = [f"{number} failed: {failure.name}" for number, failure in enumerate(self._failures, 1)]
        left_out = len(named) - _MOST_NAMES
        if left_out > 0:
            named[_MOST_NAMES:] = [f"and {left_out} more"]
        for number, name in enumerate(named):
            place = {"x": str(self._layout.left), "y": str(top + _ROW * number + 8), "class": "bad", "fill": BAD}
            ET.SubElement(group, "text", place).text = name if len(name) <= room else f"{name[: room - 1]}…"

    def _lens(self, window: tuple[float, float], top: int) -> int:
        """A window of the axis over the whole width, with what lasts in it."""
        began, ended = window
        lens = _Scale(began, ended, self._layout)
        group = ET.SubElement(self._root, "g", {"class": "lens"})
        left, right = (self._scale.x(min(max(at, self._scale.first), self._scale.last)) for at in window)
        wide = (self._layout.left, self._layout.width - MARGIN)
        above, below = top, top + 22
        corners = f"{left},{above} {right},{above} {wide[1]},{below} {wide[0]},{below}"
        lanes = [replace(lane) for lane in self._lanes if lane.bars]
        height = self._layout.lane * len(lanes) + 14
        ET.SubElement(group, "polygon", {"points": corners, **_filled("glass")})
        frame = {"x": str(wide[0]), "y": str(below), "width": str(wide[1] - wide[0]), "height": str(height)}
        ET.SubElement(group, "rect", {**frame, **_filled("glass")})
        label = {"x": "8", "y": str(below - 4), **_filled("faint")}
        ET.SubElement(group, "text", label).text = f"enlarged: {began:.2f} to {ended:.2f} s"
        return self._panel(group, lens, below + 6, lanes)


def _ticks(first: float, last: float, most: int) -> list[tuple[float, str]]:
    """Round times from the first to the last, one more than `most` at most, and what they are called."""
    power = math.floor(math.log10(max(last - first, 0.001) / most)) - 1
    for exponent in range(power, power + 4):
        for factor in (1, 2, 5):
            step = factor * 10.0**exponent
            # what is a multiple but for an error of rounding is one
            numbers = range(math.ceil(first / step - 1e-6), math.floor(last / step + 1e-6) + 1)
            if len(numbers) <= most + 1:
                return [(number * step, f"{number * step:.{max(0, -exponent)}f} s") for number in numbers]
    raise AssertionError(f"no step fits {most} times into {first} to {last}")


def _filled(name: str) -> dict[str, str]:
    return {"class": name, "fill": CLASSES[name]}


def _mark(group: ET.Element, x: float, y: int, event: Event) -> None:
    """What went well is round, what did not has corners: so that nobody needs to see colours."""
    mark = ET.SubElement(group, "g")
    ET.SubElement(mark, "title").text = lab_words.line(event).strip()
    name = _class_of(event)
    edge = {**_filled(name), "stroke": CLASSES["paper"]}
    if name == "bad":
        ET.SubElement(mark, "path", {"d": f"M{x} {y - 6} l6 6 l-6 6 l-6 -6 z", **edge})
    else:
        ET.SubElement(mark, "circle", {"cx": str(x), "cy": str(y), "r": "4", **edge})


def _lanes(events: Sequence[Event]) -> list[_Lane]:
    lanes = [_Lane(name, bars, []) for name, bars in _roles(events).items()]
    kinds = (
        ("device", ("outage", "connection", "dial")),
        ("calls", ("call",)),
        ("done", ("switchover", "reboot", "note")),
        ("judge", ("judge",)),
    )
    lanes += _nodes(events)
    for name, kept in kinds:
        marks = [event for event in events if event.kind in kept]
        if marks:
            lanes.append(_Lane(name, _absences(marks), marks))
    return lanes


def _nodes(events: Sequence[Event]) -> list[_Lane]:
    """A lane for each node of a storage lab: what was done there, and how long harm lasted."""
    harm = _harm(events)
    lanes: dict[str, _Lane] = {}
    for event in events:
        if event.kind == "storage":
            found = _NODE.fullmatch(event.text)
            node = found["node"] if found else "lab"
            lanes.setdefault(node, _Lane(node, harm.get(node, []), [])).marks.append(event)
    return sorted(lanes.values(), key=lambda lane: lane.name)


def _harm(events: Sequence[Event]) -> dict[str, list[_Bar]]:
    """Harm to each node, from when it took until it was undone, or the timeline ends."""
    last = max((event.at for event in events), default=0.0)
    known = [(event, found) for event in events if event.kind == "storage" if (found := _HARM.fullmatch(event.text))]
    bars: dict[str, list[_Bar]] = {}
    for number, (event, found) in enumerate(known):
        undone = _UNDONE.get(found["word"])
        if undone is None:
            continue
        part = found["part"] if undone == "Start" else None
        wanted = (undone, part, found["node"])
        later = (each for each, other in known[number:] if (other["word"], other["part"], other["node"]) == wanted)
        ended = next((each.at for each in later), last)
        lasting = lab_words.lasting(found["what"])
        text = f"{found['node']}: {lasting} from {event.at:.3f} s, for {ended - event.at:.2f} s"
        label = f"{lasting} {ended - event.at:.2f} s"
        bars.setdefault(found["node"], []).append(_Bar(event.at, ended, BAD, label, text))
    return bars


def _roles(events: Iterable[Event]) -> dict[str, list[_Bar]]:
    """The role of each control processor, from when it was reported until another was, or the timeline ends."""
    reported: dict[str, list[tuple[float, str]]] = {}
    last = 0.0
    for event in events:
        last = max(last, event.at)
        for name, role in _told(event, reported):
            changes = reported.setdefault(name, [])
            if not changes or changes[-1][1] != role:
                changes.append((event.at, role))
    return {
        name: [
            _Bar(began, ended, _ROLES.get(role, OTHER_ROLE), role, f"{name} is {role} from {began:.3f} s on")
            for (began, role), (ended, _) in zip(changes, [*changes[1:], (last, "")], strict=True)
        ]
        for name, changes in reported.items()
    }


def _told(event: Event, known: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The roles that an event tells; of those that nothing told before it, what was asked for tells them too."""
    if event.kind == "gnmi" and "role" in event.fields:
        yield str(event.fields["control_processor"]), str(event.fields["role"])
    elif event.kind == "switchover" and (asked := _ASKED.fullmatch(event.text)):
        before = {asked["primary"] or asked["failing"]: "PRIMARY", asked["secondary"]: "SECONDARY"}
        yield from ((name, role) for name, role in before.items() if name is not None and name not in known)


def _absences(events: Iterable[Event]) -> list[_Bar]:
    bars = []
    for event in events:
        if event.kind == "outage" and "outage" in event.fields:
            seconds = float(event.fields["outage"])
            bars.append(_Bar(event.at - seconds, event.at, BAD, f"away {seconds:.2f} s", event.text))
    return bars


def failures(events: Sequence[Event], failed: str = "") -> list[Failure]:
    """The steps that failed, as the timeline has them; else what is said to have failed, at its end."""
    found = [
        Failure(event.at, told[1])
        for event in events
        if event.kind == "note"
        if (told := _FAILED.fullmatch(event.text))
    ]
    if not found and failed and events:
        found = [Failure(max(event.at for event in events), failed)]
    return found


def _class_of(event: Event) -> str:
    """A call that was answered with an error, a loss, and a judge's finding are bad; plans and notes are neither."""
    if event.kind == "call":
        return "good" if event.fields.get("status") == "OK" else "bad"
    if event.kind == "judge":
        return "good" if event.text.endswith(", 0 findings") else "bad"
    if event.kind == "storage" and ": " in event.text:
        return "bad"
    if event.kind == "connection" or (event.kind == "outage" and "outage" not in event.fields):
        return "bad"
    return "good" if event.kind in ("dial", "outage") else "plain"
