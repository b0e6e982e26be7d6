"""What a run prints fits its terminal, is coloured only there, and says where a case failed in one line."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from holdfast.render import lines, terminal
from holdfast.storage import report as torpedo
from holdfast.verdicts import DEPTH, FAIL, NOT_CHECKED, PROCEDURE, CaseRecord, Step, outcome_of

from conftest import RunSuite, isolated
from torpedo_rows import row

SUITE = ("-k", "cntr3_2", "--dut-deadline", "verification=1s")
DEFECT = ("--dut-failpoint", "load.container.lost=1*error(x)")
COLOR = re.compile(r"\x1b\[[0-9;]*m")
WHY = "the container does not answer: 127.247.24.91:41339 container on 127.247.24.91:60061: connect: Connection refused"


def case(number: str, *steps: Step, **more: Any) -> CaseRecord:
    return CaseRecord(number, "test_x", "EMULATED device", outcome_of(steps, DEPTH), steps=steps, **more)


def long_cases(suite: str = "cntr3") -> list[CaseRecord]:
    steps = (
        Step(PROCEDURE, "ask"),
        Step(PROCEDURE, "the container runs on the new primary and serves what it served before it", FAIL, WHY, 3.0),
        Step(DEPTH, "it is the same container", FAIL, WHY, 4.0),
        Step(DEPTH, "it sees the same environment", NOT_CHECKED, WHY),
    )
    return [
        case("CNTR-3.2", *steps, suite=suite, outages=(0.23, 0.24), noted=(f"NOT_FOUND: {WHY}",)),
        case("CNTR-3.3", Step(PROCEDURE, "ask"), suite=suite, outages=(0.23,) * 9),
        case("a failover in the middle of an upload, between the first chunk and the last one", *steps, suite=suite),
        case("CNTR-3.4", Step(PROCEDURE, "x" * 300, NOT_CHECKED, "y" * 300), suite=suite, why="z" * 300),
    ]


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("suite", ["cntr3", "cni"])
@pytest.mark.parametrize("reasons_above", [True, False])
def test_the_table_fits_its_terminal_and_leaves_nothing_out(suite: str, reasons_above: bool, width: int) -> None:
    printed = list(terminal.table(long_cases(suite), reasons_above=reasons_above, width=width))
    assert [line for line in printed if len(line) > width] == []
    told = "".join(re.sub(r"\s+", "", line) for line in printed)
    for said in (
        f"NOT_FOUND: {WHY}",
        f"not checked: it sees the same environment: {WHY}",
        "x" * 300,
        "between the first",
    ):
        assert re.sub(r"\s+", "", said) in told, said


def test_what_is_no_terminal_gets_each_thing_in_a_line() -> None:
    printed = list(terminal.table(long_cases()))
    assert sum(line.strip().startswith("not checked: it sees") and line.endswith("refused") for line in printed) == 2


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize(
    ("verdict", "shown"),
    [("Fail", "FAIL"), ("Fail (scheduler)", "FAIL (scheduler)"), ("Inconclusive", "inconclusive"), ("Own", "Own")],
)
def test_the_table_of_scenarios_fits_its_terminal_in_the_words_of_pages(verdict: str, shown: str, width: int) -> None:
    rows = [
        row("T6", "hang_plugin", verdict=verdict, reason=WHY, not_checked=f'["what stays: {WHY}"]', recovery="0.18"),
        row("T10", acknowledged="1234567"),
    ]
    printed = list(torpedo.table(rows, width=width))
    assert [line for line in printed if len(line) > width] == []
    told = "".join(re.sub(r"\s+", "", line) for line in printed)
    assert re.sub(r"\s+", "", WHY) in told
    assert "(hang_plugin)" in told
    assert len({line.index(word) for line in printed for word in ("verdict", shown, "pass") if word in line}) == 1


@pytest.mark.parametrize("width", [80, 200])
def test_a_failing_case_says_where_in_one_line_of_the_table(width: int) -> None:
    printed = list(terminal.table(long_cases()[:1], reasons_above=True, width=width))
    (where,) = [line for line in printed if "procedure failed: " in line]
    assert printed.index(where) == 2, "right below its verdicts"
    assert "the container runs on the new primary" in where
    assert terminal.where(long_cases()[0]).endswith("served before it (and 1 more)")
    assert terminal.where(long_cases()[1]) == ""


def test_a_pipe_has_no_width_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pytest that was started by another has COLUMNS, which readline set."""
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert lines.width_of_terminal() is None
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert lines.width_of_terminal() == 70


def on_a_terminal(folder: Path, *words: str, columns: int = 80, **environment: str) -> str:
    """What a terminal of so many columns is sent."""
    folder.mkdir(exist_ok=True)
    ours, theirs = pty.openpty()
    import termios

    termios.tcsetwinsize(theirs, (50, columns)) if hasattr(termios, "tcsetwinsize") else _set_size(theirs, columns)
    kept = {name: value for name, value in isolated(folder, environment).items() if name not in ("CI", "COLUMNS")}
    given = {**kept, "TERM": "xterm", **environment}
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, cwd=folder, env=given, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        try:
            return _all(ours, process)
        finally:
            os.close(ours)


def _set_size(terminal_side: int, columns: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal_side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))


def _all(side: int, process: subprocess.Popen[bytes], seconds: float = 120.0) -> str:
    """Until it has ended and all was read, or nothing came for so long."""
    read: list[bytes] = []
    while select.select([side], [], [], seconds)[0]:
        try:
            piece = os.read(side, 65536)
        except OSError:  # the other side is closed
            piece = b""
        if not piece:
            return b"".join(read).decode(errors="replace")
        read.append(piece)
    process.kill()
    raise AssertionError(f"nothing came for {seconds} s after {read[-3:]}")


PYTEST = ("pytest", "-p", "no:cacheprovider")


def widest(printed: str) -> Sequence[str]:
    return [line for line in COLOR.sub("", printed).splitlines() if len(line) > 80]


def test_a_failing_run_on_a_terminal_fits_it_and_is_coloured(tmp_path: Path) -> None:
    printed = on_a_terminal(tmp_path, *PYTEST, *SUITE, *DEFECT)
    table = printed.partition(" holdfast ")[2].partition("short test summary")[0]
    assert COLOR.search(table), table
    assert widest(table) == []
    assert "procedure failed: the container runs on the new primary\r\n" in COLOR.sub("", table)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"NO_COLOR": "1", "TERM": "xterm-256color"}])
def test_who_wants_no_colour_gets_none(environment: dict[str, str], tmp_path: Path) -> None:
    printed = on_a_terminal(tmp_path, *PYTEST, *SUITE, *DEFECT, **environment)
    assert "procedure failed" in printed
    assert COLOR.findall(printed) == []


def last_lines(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("FAILED ")]


# In a pipe pytest has 80 columns, of which the name of a test leaves none; where CI is set it cuts nothing.
@pytest.mark.parametrize("environment", [{}, {"CI": "true"}, {"COLUMNS": "40"}], ids=["pipe", "CI", "narrow"])
def test_the_last_lines_say_where_each_case_failed(
    environment: dict[str, str], run_suite: RunSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    run = run_suite(*SUITE, *DEFECT, **environment)
    assert run.exit_code == 1, run.output
    (last,) = last_lines(run.output)
    assert last.endswith(" - procedure failed: the container runs on the new primary (and 2 more)")
    assert "no container holdfast-" in run.cases["2"].message, "JUnit has all of it"


@pytest.mark.parametrize("environment", [{}, {"CI": "true"}], ids=["pipe", "CI"])
def test_the_last_lines_say_why_each_scenario_failed(
    environment: dict[str, str], run_suite: RunSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    defect = ("--torpedo-failpoint", "storage.create.parameters_ignored=error(x)")
    run = run_suite("-k", "torpedo_1_", *defect, **environment)
    assert run.exit_code == 1, run.output
    (last,) = last_lines(run.output)
    assert last.endswith(" - FAIL: asked for {'media': 'fast'}, and got {}")


def test_the_last_lines_of_a_terminal_without_colours_say_it_too(tmp_path: Path) -> None:
    printed = on_a_terminal(tmp_path, *PYTEST, *SUITE, *DEFECT, NO_COLOR="1")
    assert [line for line in last_lines(printed) if "procedure failed: the container runs" in line], printed
    assert max(map(len, re.findall(r"^=.*=\r?$", printed, re.MULTILINE))) <= 81, "lines are as wide as they were"
