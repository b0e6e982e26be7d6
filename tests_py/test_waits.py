"""What a long test waits for is shown while it runs, where somebody looks, and spoils nothing."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_terminal import PYTEST, on_a_terminal

from holdfast import progress
from holdfast.pytest_plugin import waits
from holdfast.pytest_plugin.doing import Doing

from conftest import RunSuite, emulate
from peers import command

LIMITS = {"ready": 300.0, "switchover": 900.0, "reboot": 1800.0, "verification": 300.0, "redundant": 900.0}
# A device that is away for so long that people begin to ask what goes on.
SLOW = ("-k", "cntr3_1", "--dut-emulator", "outage=4s")
# As a plugin: what is said after ten seconds elsewhere is said at once.
AT_ONCE = "from holdfast.pytest_plugin import waits\n\nwaits.Lines.pace = (0.3, 0.3)\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.6, "1 min"), (90, "1 min 30 s"), (900, "15 min"), (3600, "1 h"), (7320, "2 h 2 min")],
)
def test_how_long_something_takes_is_said_as_people_do(seconds: float, words: str) -> None:
    assert progress.spoken(seconds) == words


@pytest.mark.parametrize(
    ("noted", "seen", "reboots", "words"),
    [
        (["failover: switch over"], "", False, "failover: switch over (at most 20 min)"),
        (
            ["procedure: ask", "failover: switch over", "a remark"],
            "lost 192.0.2.1",
            False,
            "failover: switch over (at most 20 min): lost 192.0.2.1",
        ),
        (["failover: reboot it"], "", True, "failover: reboot it (at most 30 min)"),
        (["failover: x", "procedure: the image is listed"], "", True, "procedure: the image is listed (at most 5 min)"),
        (
            ["depth: the old primary is back in step"],
            "",
            False,
            "depth: the old primary is back in step (at most 15 min)",
        ),
    ],
)
def test_a_step_says_how_long_it_may_take_and_what_was_seen_last(
    noted: list[str], seen: str, reboots: bool, words: str
) -> None:
    doing = Doing()
    for text in noted:
        doing.note(text)
    if seen:
        doing(1.0, seen)
    assert waits.step(doing, LIMITS, reboots=reboots) == words
    doing.note("depth: another")
    assert doing.seen == "", "that was of the step before"
    doing.begin()
    assert doing == Doing()


class Screen:
    """What is seen of a terminal in the end, as far as pytest and we draw on it."""

    def __init__(self, sent: str, columns: int = 80) -> None:
        self.rows: list[str] = [""]
        self._row = self._column = 0
        for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", sent):
            if piece == "\n":
                self._down()
            elif piece == "\r":
                self._column = 0
            elif piece == "\x1b[2K":
                self.rows[self._row] = ""
            elif moved := re.fullmatch(r"\x1b\[(\d+)([AC])", piece):
                self._row -= int(moved[1]) * (moved[2] == "A")
                self._column += int(moved[1]) * (moved[2] == "C")
            elif not piece.startswith("\x1b"):
                if self._column == columns:
                    self._down()
                    self._column = 0
                held = self.rows[self._row].ljust(self._column)
                self.rows[self._row] = held[: self._column] + piece + held[self._column + 1 :]
                self._column += 1

    def _down(self) -> None:
        self._row += 1
        self.rows += [""] * (self._row + 1 - len(self.rows))


def reporter(width: int = 0) -> Any:
    writer = SimpleNamespace(fullwidth=40, width_of_current_line=width)
    return SimpleNamespace(_tw=writer, currentfspath="x", verbosity=1)


@pytest.mark.parametrize("begun", ["", "test_x.py ..", "x" * 39, "x" * 50])
def test_one_line_leaves_what_pytest_wrote_as_it_was(begun: str) -> None:
    out = io.StringIO(begun)
    out.seek(0, io.SEEK_END)
    line = waits.OneLine(out, reporter(len(begun)))
    line.clear()
    assert out.getvalue() == begun, "nothing was drawn"
    for text in ("a long time " * 10, "short"):
        line.show(text)
    rows = [begun[:40], begun[40:]] if len(begun) > 40 else [begun]
    assert Screen(out.getvalue(), 40).rows == [*rows, "short"]
    line.clear()
    out.write("F")
    assert Screen(out.getvalue(), 40).rows == [*rows[:-1], f"{rows[-1]}F", ""]


def test_lines_have_pytest_go_on_in_a_new_one() -> None:
    out, pytests = io.StringIO(), reporter()
    line = waits.Lines(out, pytests)
    line.clear()
    assert (out.getvalue(), pytests.currentfspath) == ("", "x")
    line.show("one")
    line.show("two")
    line.clear()
    assert (out.getvalue(), pytests.currentfspath) == ("\n  one\n  two", None), "the name of the test comes next"


def test_on_a_terminal_the_line_is_there_while_it_waits_and_gone_then(tmp_path: Path) -> None:
    sent = on_a_terminal(tmp_path, *PYTEST, *SLOW, "-v")
    waited = re.findall(r"\x1b\[2K(CNTR-3\.1, \d+ s: failover: [^\r\x1b]*)|\n(CNTR-3\.1, \d+ s: [^\r\x1b]*)", sent)
    shown = [first or second for first, second in waited]
    assert any(re.search(r"failover: switch over to the standby \(at most \d+ s\): \S", line) for line in shown), sent
    rows = Screen(sent).rows
    assert not [row for row in rows if "at most" in row], rows
    assert "::test_cntr3_1_image_persistence PASSED" in "".join(rows), rows


@pytest.fixture
def quick(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "at_once.py").write_text(AT_ONCE)
    return {"PYTHONPATH": ":".join([str(tmp_path), *(path for path in sys.path if path)])}


@pytest.mark.parametrize("option", ["-v", "-s"])
def test_where_output_is_a_pipe_lines_are_told_on_demand(
    option: str, run_suite_apart: RunSuite, quick: dict[str, str]
) -> None:
    run = run_suite_apart(*SLOW, "-p", "at_once", option, **quick)
    assert run.exit_code == 0, run.output
    assert re.search(r"^  CNTR-3\.1, \d+ s: failover: switch over to the standby \(at most", run.output, re.MULTILINE)
    assert "\x1b" not in run.output
    assert "1 passed" in run.output
    if option == "-v":
        assert re.search(r"^\S*::test_cntr3_1_image_persistence PASSED", run.output, re.MULTILINE), run.output


@pytest.mark.parametrize("options", [(), ("-v", "-n", "1")], ids=["quietly", "xdist"])
def test_nobody_is_told_who_did_not_ask_nor_by_a_worker(
    options: tuple[str, ...], run_suite_apart: RunSuite, quick: dict[str, str]
) -> None:
    run = run_suite_apart(*SLOW, "-p", "at_once", *options, **quick)
    assert run.exit_code == 0, run.output
    assert "at most" not in run.output


def test_a_scenario_says_what_was_done_last_and_its_limit(run_suite_apart: RunSuite, quick: dict[str, str]) -> None:
    run = run_suite_apart("-k", "torpedo_3_ and hang_plugin", "-p", "at_once", "-v", **quick)
    assert run.exit_code == 0, run.output
    assert re.search(
        r"^  T3, \d+ s: tasks are to recover within 4 s; last: Hang\(Plugin\) on node1$", run.output, re.MULTILINE
    )


def test_a_soak_says_in_which_round_it_is(run_suite_apart: RunSuite, quick: dict[str, str]) -> None:
    run = run_suite_apart(*SLOW, "--dut-repeat", "2", "-p", "at_once", "-v", **quick)
    assert run.exit_code == 0, run.output
    assert {"1", "2"} == set(re.findall(r"^  CNTR-3\.1, round (\d) \(2 rounds\), \d+ s: ", run.output, re.MULTILINE))


OWN = """
import sys

def test_that_prints(dut):
    print("printed by the test")
    dut.switchover()
    print("and to the other", file=sys.stderr)
    raise SystemError("on purpose")
"""


def test_what_pytest_captures_of_a_test_is_its_own(
    run_suite_apart: RunSuite, tmp_path: Path, quick: dict[str, str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "test_mine.py").write_text(OWN)
    emulated = ("--dut-emulator", "outage=2s")
    run = run_suite_apart("test_mine.py", *emulated, "-p", "at_once", "-v", "-o", "junit_logging=all", **quick)
    assert run.exit_code == 1, run.output
    assert re.search(r"^  test_that_prints, \d+ s: the test$", run.output, re.MULTILINE), run.output
    captured = run.output.partition("Captured stdout call")[2].partition("Captured stderr call")
    assert captured[0].strip(" -\n") == "printed by the test"
    assert captured[2].partition("\n")[2].startswith("and to the other\n")
    whole = (tmp_path / "report.xml").read_text()
    assert "printed by the test" in whole
    assert "the test\n" not in whole.partition("<system-out>")[2].partition("</system-out>")[0].replace(
        "by the test\n", ""
    )


@pytest.mark.parametrize("words", ["switchover", "reboot"])
def test_the_command_says_how_long_it_may_take(words: str, tmp_path: Path) -> None:
    with emulate(tmp_path, "--outage", "2s") as address:
        program = ("holdfast.cli", "--dut", address, "--dut-insecure", words, "--yes")
        sent = on_a_terminal(tmp_path / "terminal", *program)
    assert re.search(rf"{words} \(at most \d+ (s|min)[^)]*\), \d+ s: ", sent), sent


SLOW_STOP = ("--failpoint", "containerz.StopContainer=delay(4s)")


def test_a_command_that_waits_for_a_device_says_so_after_a_while(tmp_path: Path) -> None:
    with emulate(tmp_path, *SLOW_STOP) as address:
        way = ("holdfast.cli", "--dut", address, "--dut-insecure")
        waiting = on_a_terminal(tmp_path / "terminal", *way, "stop", "app")
        at_once = on_a_terminal(tmp_path / "terminal", *way, "remove-volume", "data")
        told = command(tmp_path, *way[1:], "stop", "app")
    assert re.search(r"stop app, [23] s: no answer yet", waiting), waiting
    assert "no answer yet" not in at_once
    assert "no answer yet" not in told.stderr


@pytest.mark.parametrize("words", [("doctor",), ("--testbed", "lab.yaml", "lab", "status")])
def test_what_looks_at_devices_says_so(words: tuple[str, ...], tmp_path: Path) -> None:
    slow = ("--failpoint", "gnmi.Capabilities=delay(4s)", "--failpoint", "gnmi.Get=delay(4s)")
    with emulate(tmp_path, *slow) as address:
        folder = tmp_path / "terminal"
        folder.mkdir()
        (folder / "lab.yaml").write_text(f"devices: {{a: {{address: '{address}', insecure: true}}}}\n")
        way = () if "lab" in words else ("--dut", address, "--dut-insecure")
        sent = on_a_terminal(folder, "holdfast.cli", *way, *words)
    if words == ("doctor",):
        assert sent.index("reachable") < sent.index("no answer yet"), "what is known is said at once"
    assert re.search(r"\w+, [23] s: no answer yet", sent), sent
