"""Results as a notebook shows them."""

from __future__ import annotations

from datetime import datetime, timezone

import holdfast
from holdfast import results, tables
from holdfast.results import Container, ControlProcessor, Outage, Rows, Switchover, Volume


def test_rows_are_a_tuple_that_shows_itself_as_a_table() -> None:
    rows = Rows([ControlProcessor("A", "PRIMARY", ready=True), ControlProcessor("B", "SECONDARY", ready=False)])
    assert rows == (ControlProcessor("A", "PRIMARY", ready=True), ControlProcessor("B", "SECONDARY", ready=False))
    page = rows._repr_html_()
    assert "2 control processors" in page
    assert page.count("<tr>") == 3
    assert ">yes<" in page
    assert ">no<" in page
    assert Rows()._repr_html_() == "<p>none</p>"


def test_what_a_device_says_is_escaped() -> None:
    page = Rows([Container("1", "<script>", "i:t", "RUNNING", {"a<b": "&"})])._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "a&lt;b=&amp;" in page


def test_values_are_shown_as_people_read_them() -> None:
    assert tables.cell(None) == tables.cell("") == tables.cell(()) == tables.cell({}) == "-"
    assert tables.cell(datetime(2026, 11, 22, 1, 2, 3, 4, tzinfo=timezone.utc)) == "2026-11-22 01:02:03+00:00"
    assert tables.cell(b"abc") == "3 bytes"
    assert tables.cell(True) == "yes"
    assert tables.cell(("a", "b")) == "a<br>b"
    digest = "sha256:" + "0" * 64
    assert f'title="{digest}"' in tables.cell(digest)
    assert tables.cell(Outage(1.0, 3.5)) == "2.500 s"
    assert tables.cell(Volume("v")).startswith("name: v<br>created: -")


def test_a_result_has_its_timeline_as_a_picture_below() -> None:
    moved = Switchover("A", "B", Outage(1.0, 2.0), ("seen",), (), results.Timeline())
    assert "<svg" not in moved._repr_html_()
    events = results.Timeline([results.Event(0.0, datetime.now(timezone.utc), "call", "x")])
    assert "<svg" in Switchover("A", "B", None, (), (), events)._repr_html_()


def test_a_device_shows_what_it_runs_and_what_it_does_not_answer(chassis_of_test: holdfast.Emulator) -> None:
    with holdfast.connect(chassis_of_test.address, insecure=True) as device:
        device.containerz.create_volume("kept")
        page = device._repr_html_()
        assert "kept" in page
        assert "PRIMARY" in page
        assert "images: none" in page
        with chassis_of_test.failpoint("containerz.ListImage", "error[INTERNAL](no <disk>)"):
            page = device._repr_html_()
    assert "images: " in page
    assert "no &lt;disk&gt;" in page
