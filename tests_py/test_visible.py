"""What a device says is data: it acts on no terminal, page, picture, report or file name."""

from __future__ import annotations

import logging
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from test_foreign_servers import CONTAINERZ, grpc, lists

import holdfast
from holdfast import tables, visible
from holdfast.exceptions import RpcError
from holdfast.render import junit, page, terminal
from holdfast.results import Event, Timeline
from holdfast.verdicts import DEPTH, FAIL, CaseRecord, Step

from peers import command, served

CLIPBOARD = "\x1b]52;c;cm0gLXJmIC8=\x07"
FORGED = "\nCNTR-3.1   pass       pass   never            9 steps"
DIRECTION = "\u202etxt.exe\u2066"
HOSTILE = f"web{CLIPBOARD}\x9b2J\r\x00{DIRECTION}<script>alert(1)</script>{FORGED}"


def harmless(text: str) -> bool:
    """Whether nothing in it moves a cursor, talks to the terminal, hides, or turns text around."""
    return all(unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or each in "\n\t" for each in text)


@pytest.mark.parametrize("text", [HOSTILE, "\ud800", "\u2028\u2029\x85\x0b\x0c", "\ufeff\u200b\u00ad", "\U000e0041"])
def test_a_line_is_one_line_and_harmless(text: str) -> None:
    shown = visible.line(text)
    assert harmless(shown)
    assert len(shown.splitlines()) == 1
    assert all(harmless(each) for each in (visible.lines(text), visible.html(text)))


def test_letters_of_all_scripts_stay() -> None:
    for text in ("größe", "コンテナ", "контейнер", "حاوية", "👍🏽", "a b\tc"):
        assert visible.line(text) == text


def test_a_megabyte_is_cut_and_its_length_told() -> None:
    shown = visible.line("x" * 1_000_000)
    assert len(shown) < 3000
    assert shown.endswith("(of 1000000 characters)")


def test_no_further_line_of_an_error_stands_where_a_table_does() -> None:
    error = RpcError(HOSTILE, hint="remove it")
    assert harmless(str(error))
    assert not any(line.startswith("CNTR") for line in str(error).splitlines())
    assert str(error).endswith("\n  try: remove it")
    assert error.message == HOSTILE


def case() -> CaseRecord:
    steps = (Step(DEPTH, "the container runs", FAIL, HOSTILE),)
    return CaseRecord(
        "CNTR-3.1", "test_x", HOSTILE, "failed", steps=steps, noted=(HOSTILE,), why=HOSTILE, software=HOSTILE
    )


def test_the_table_has_a_line_for_each_case_and_no_other() -> None:
    lines = list(terminal.table([case()]))
    assert all(harmless(line) and "\n" not in line for line in lines)
    assert [line for line in lines if line.startswith("CNTR")] == [lines[1]]


def test_the_page_the_tables_and_junit_are_harmless(tmp_path: Path) -> None:
    shown = page.html([case()])
    assert harmless(shown)
    assert "<script>" not in shown
    assert harmless(tables.cell(HOSTILE))
    assert "<script>" not in tables.cell(HOSTILE)
    assert all(harmless(value) for _, value in junit.properties(case(), "a case"))


def test_the_page_leaves_no_line_of_a_log_out(tmp_path: Path) -> None:
    log = "".join(f"line {number} of many\n" for number in range(5000))
    shown = page.html([replace(case(), logs={"web": log})])
    assert all(f"line {number} of many" in shown for number in (0, 4999))


def test_the_picture_is_well_formed() -> None:
    now = datetime.now(timezone.utc)
    roles = Event(0.0, now, "gnmi", HOSTILE, fields={"control_processor": HOSTILE, "role": "PRIMARY"})
    picture = Timeline((roles, Event(1.0, now, "call", HOSTILE), Event(2.0, now, "note", HOSTILE))).svg()
    assert harmless(picture)
    ET.fromstring(picture)
    assert harmless(str(Timeline((roles,))))
    assert len(str(roles).splitlines()) == 1


@pytest.fixture
def hostile_device(messages: Any) -> Any:
    """A device that lists one such container, and refuses to stop any in such words."""
    row = messages("gnoi.containerz.ListContainerResponse")(
        id="1", name=HOSTILE.replace("\x00", ""), image_name="app:1"
    )

    def refuse(_request: Any, context: Any) -> None:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, HOSTILE)

    methods = {
        f"{CONTAINERZ}ListContainer": lists(row),
        f"{CONTAINERZ}RemoveContainer": grpc.unary_unary_rpc_method_handler(refuse),
    }
    with served(methods) as address:
        yield address


@pytest.mark.parametrize(("words", "exit_code"), [(["containers"], 0), (["remove", "web"], 1)])
def test_the_command_shows_what_a_device_says_harmlessly(
    words: list[str], exit_code: int, hostile_device: str, tmp_path: Path
) -> None:
    run = command(tmp_path, "--dut", hostile_device, "--dut-insecure", *words)
    output = run.stdout + run.stderr
    assert run.returncode == exit_code, output
    assert harmless(output), output
    assert not any(line.startswith("CNTR") for line in output.splitlines())
    assert "\\x1b]52" in output


def test_logs_and_the_timeline_are_harmless(hostile_device: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="holdfast")
    with holdfast.connect(hostile_device, insecure=True) as dut:
        assert dut.containerz.containers()[0].name.startswith("web\x1b]52")
        with pytest.raises(RpcError) as refused:
            dut.containerz.remove("web")
        assert harmless(str(refused.value))
        assert harmless(str(dut.timeline))
    assert all(harmless(record.getMessage()) for record in caplog.records)
