"""A timeline as a picture: SVG that needs no script, a lane for each control processor, what is in it said on hover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from xml.etree import ElementTree as ET

from holdfast import visible

WIDTH = 960
_NAMES = 150  # the names of the lanes, in pixels from the left
_MARGIN = 20
_LANE = 30
_TOP = 14
_BOTTOM = 44
_TICKS = 8
_FONT = "font-family:system-ui,sans-serif;font-size:12px"
# Told apart without seeing colours: by lightness, and by words where there is room.
_ROLES = {"PRIMARY": "#1b6ca8", "SECONDARY": "#a9cfe8"}
_OTHER_ROLE = "#cccccc"
_GOOD, _BAD, _PLAIN = "#2e7d32", "#b3261e", "#555555"


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


def svg(events: Sequence[Event]) -> str:
    """The picture, as an SVG document of `WIDTH` pixels: control processors by role, absences, calls, what was done.

    `events` are a device's (`Device.timeline`, `Switchover.timeline`) or a storage lab's, oldest first.
    """
    lanes = _lanes(events)
    height = _TOP + _LANE * len(lanes) + _BOTTOM
    picture = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {height}",
            "width": str(WIDTH),
            "height": str(height),
            "role": "img",
            "style": _FONT,
        },
    )
    ET.SubElement(picture, "title").text = _summary(events)
    ET.SubElement(picture, "rect", {"width": "100%", "height": "100%", "fill": "white"})
    scale = _Scale(events)
    _axis(picture, scale, height)
    for number, (name, bars, marks) in enumerate(lanes):
        _lane(picture, scale, _TOP + _LANE * number, name, bars, marks)
    for element in picture.iter():
        if element.text is not None:
            element.text = visible.line(element.text)
    return ET.tostring(picture, encoding="unicode")


class _Scale:
    """Seconds to pixels."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.first = events[0].at if events else 0.0
        self.last = max((event.at for event in events), default=0.0)
        self.seconds = max(self.last - self.first, 0.001)

    def x(self, at: float) -> float:
        return round(_NAMES + (WIDTH - _NAMES - _MARGIN) * (at - self.first) / self.seconds, 1)


_Lane = tuple[str, list[_Bar], list[Event]]


def _lanes(events: Sequence[Event]) -> list[_Lane]:
    roles = _roles(events)
    lanes: list[_Lane] = [(name, bars, []) for name, bars in roles.items()]
    kinds = (
        ("device", ("outage", "connection", "dial")),
        ("calls", ("call",)),
        ("done", ("switchover", "reboot", "note", "storage", "judge")),
    )
    for name, kept in kinds:
        marks = [event for event in events if event.kind in kept]
        if marks:
            lanes.append((name, _absences(marks), marks))
    return lanes


def _roles(events: Iterable[Event]) -> dict[str, list[_Bar]]:
    """The role of each control processor, from when it was reported until another was, or the timeline ends."""
    reported: dict[str, list[tuple[float, str]]] = {}
    last = 0.0
    for event in events:
        last = max(last, event.at)
        if event.kind == "gnmi" and "role" in event.fields:
            name, role = str(event.fields["control_processor"]), str(event.fields["role"])
            changes = reported.setdefault(name, [])
            if not changes or changes[-1][1] != role:
                changes.append((event.at, role))
    return {
        name: [
            _Bar(began, ended, _ROLES.get(role, _OTHER_ROLE), role, f"{name} is {role} from {began:.3f} s on")
            for (began, role), (ended, _) in zip(changes, [*changes[1:], (last, "")], strict=True)
        ]
        for name, changes in reported.items()
    }


def _absences(events: Iterable[Event]) -> list[_Bar]:
    bars = []
    for event in events:
        if event.kind == "outage" and "outage" in event.fields:
            seconds = float(event.fields["outage"])
            bars.append(_Bar(event.at - seconds, event.at, _BAD, f"away {seconds:.2f} s", event.text))
    return bars


def _summary(events: Sequence[Event]) -> str:
    if not events:
        return "a timeline on which nothing happened"
    away = [bar.label for bar in _absences(events)]
    roles = [f"{name}: {', then '.join(bar.label for bar in bars)}" for name, bars in _roles(events).items()]
    length = events[-1].at - events[0].at
    return "; ".join([f"a timeline of {length:.2f} s, {len(events)} events", *roles, *away])


def _axis(picture: ET.Element, scale: _Scale, height: int) -> None:
    bottom = height - _BOTTOM + 8
    for tick in range(_TICKS + 1):
        at = scale.first + scale.seconds * tick / _TICKS
        place = {"x1": str(scale.x(at)), "x2": str(scale.x(at)), "y1": str(_TOP), "y2": str(bottom)}
        ET.SubElement(picture, "line", {**place, "stroke": "#dddddd"})
        label = {
            "x": str(scale.x(at)),
            "y": str(bottom + 16),
            "text-anchor": "end" if tick == _TICKS else "middle",
            "fill": _PLAIN,
        }
        ET.SubElement(picture, "text", label).text = f"{at:.2f} s"


def _lane(
    picture: ET.Element, scale: _Scale, top: int, name: str, bars: Iterable[_Bar], marks: Iterable[Event]
) -> None:
    lane = ET.SubElement(picture, "g")
    label = {"x": "8", "y": str(top + _LANE / 2 + 4), "fill": "black"}
    ET.SubElement(lane, "text", label).text = name if len(name) <= 20 else f"{name[:19]}…"
    for bar in bars:
        left, right = scale.x(max(bar.began, scale.first)), scale.x(bar.ended)
        width = max(round(right - left, 1), 1.0)
        held = ET.SubElement(lane, "g")
        ET.SubElement(held, "title").text = bar.text
        place = {"x": str(left), "y": str(top + 5), "width": str(width), "height": str(_LANE - 10), "rx": "2"}
        ET.SubElement(held, "rect", {**place, "fill": bar.color})
        if width > 7 * len(bar.label):
            dark = bar.color not in (_ROLES["SECONDARY"], _OTHER_ROLE)
            inside = {"x": str(left + width / 2), "y": str(top + _LANE / 2 + 4), "text-anchor": "middle"}
            ET.SubElement(held, "text", {**inside, "fill": "white" if dark else "black"}).text = bar.label
    for event in marks:
        mark = ET.SubElement(lane, "g")
        ET.SubElement(mark, "title").text = str(event).strip()
        place = {"cx": str(scale.x(event.at)), "cy": str(top + _LANE / 2), "r": "4"}
        ET.SubElement(mark, "circle", {**place, "fill": _color(event), "stroke": "white"})


def _color(event: Event) -> str:
    """A call that was answered with an error, and a loss, are bad; marks of plans and notes are neither."""
    if event.kind == "call":
        return _GOOD if event.fields.get("status") == "OK" else _BAD
    if event.kind == "connection" or (event.kind == "outage" and "outage" not in event.fields):
        return _BAD
    return _GOOD if event.kind in ("dial", "outage") else _PLAIN
