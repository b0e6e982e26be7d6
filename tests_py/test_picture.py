"""A timeline as a picture: what is on it, that it can be read without seeing it, and that nothing breaks it."""

from __future__ import annotations

from datetime import datetime, timezone
from xml.etree import ElementTree as ET

import pytest

import holdfast
from holdfast import visible
from holdfast.results import Event, Timeline

SVG = "{http://www.w3.org/2000/svg}"


def lanes(picture: ET.Element) -> dict[str, ET.Element]:
    return {lane.findtext(f"{SVG}text", ""): lane for lane in picture.findall(f"{SVG}g")}


def titles(lane: ET.Element) -> list[str]:
    return [title.text or "" for title in lane.iter(f"{SVG}title")]


def event(at: float, kind: str, text: str, **fields: str) -> Event:
    return Event(at=at, time=datetime.now(timezone.utc), kind=kind, text=text, fields=fields)


def test_a_failover_shows_roles_that_swap_and_the_absence(device: holdfast.Device) -> None:
    move = device.switchover()
    picture = ET.fromstring(move.timeline.svg())
    found = lanes(picture)
    assert list(found) == ["Supervisor1", "Supervisor2", "device", "calls", "done"]
    assert [text.split(" is ")[1].split()[0] for text in titles(found["Supervisor1"])] == ["PRIMARY", "SECONDARY"]
    assert [text.split(" is ")[1].split()[0] for text in titles(found["Supervisor2"])] == ["SECONDARY", "PRIMARY"]
    assert move.outage is not None
    away = next(
        float(bar.findall(f"{SVG}rect")[0].get("width", "0"))
        for bar in found["device"].findall(f"{SVG}g")
        if "answers again" in (bar.findtext(f"{SVG}title") or "") and bar.find(f"{SVG}rect") is not None
    )
    length = move.timeline[-1].at - move.timeline[0].at
    assert abs(away - 790 * move.outage.seconds / length) < 5, "drawn to scale"
    summary = picture.findtext(f"{SVG}title") or ""
    assert "Supervisor1: PRIMARY, then SECONDARY" in summary
    assert "away" in summary
    assert move.timeline._repr_svg_() == move.timeline.svg()


def test_a_call_that_failed_looks_otherwise_than_one_that_did_not() -> None:
    picture = ET.fromstring(
        Timeline([event(0, "call", "A.B", status="OK"), event(1, "call", "A.C: OK", status="NOT_FOUND")]).svg()
    )
    (good,), (bad,) = (list(picture.iter(f"{SVG}{shape}")) for shape in ("circle", "path"))
    assert good.get("fill") != bad.get("fill"), "and has another shape, for whom colours say nothing"


def test_what_a_device_says_cannot_break_the_picture() -> None:
    hostile = '</title><script>alert(1)</script> & "\u202e'
    role = event(0, "gnmi", hostile, control_processor=hostile, role="PRIMARY")
    picture = ET.fromstring(Timeline([event(0, "note", hostile), role]).svg())
    assert not list(picture.iter(f"{SVG}script"))
    assert any(visible.line(hostile) in title for title in titles(picture))


def test_events_have_fields_for_programs(device: holdfast.Device) -> None:
    move = device.switchover()
    assert move.outage is not None
    (outage,) = [event.fields["outage"] for event in move.timeline if event.kind == "outage" and event.fields]
    assert outage == pytest.approx(move.outage.seconds)
    calls = [event.fields for event in move.timeline if event.kind == "call"]
    assert {"call": "System.SwitchControlProcessor", "status": "OK"} in calls
    roles = {event.fields["control_processor"]: event.fields["role"] for event in move.timeline if event.kind == "gnmi"}
    assert roles == {"Supervisor1": "SECONDARY", "Supervisor2": "PRIMARY"}
    assert all("address" in event.fields for event in move.timeline if event.kind in ("dial", "connection"))


def test_an_empty_timeline_is_a_picture_as_well() -> None:
    assert ET.fromstring(Timeline().svg()).findtext(f"{SVG}title") == "a timeline on which nothing happened"
