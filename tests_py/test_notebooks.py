"""The example notebooks, executed by a real kernel; and a kernel that is interrupted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from conftest import wait_until

NOTEBOOKS = Path(__file__).parent.parent / "examples" / "notebooks"


def executed(name: str, folder: Path) -> list[dict[str, str]]:
    """What each code cell of an example gave, by MIME type."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return [gave(cell) for cell in notebook.cells if cell.cell_type == "code"]


def gave(cell: Any) -> dict[str, str]:
    told: dict[str, str] = {}
    for output in cell.outputs:
        for kind, text in (*output.get("data", {}).items(), (output.get("name", "stream"), output.get("text", ""))):
            told[kind] = told.get(kind, "") + text
    return told


def test_explore_a_device(tmp_path: Path) -> None:
    cells = executed("explore_a_device", tmp_path)
    assert "<table" in cells[1]["text/html"]
    assert "PRIMARY" in cells[1]["text/html"]
    assert "containers: none" in cells[1]["text/html"]
    assert re.search(r"<progress value=\"(\d+)\" max=\"\1\">", cells[3]["text/html"]), cells[3]
    assert '<td style="text-align:left">web</td>' in cells[4]["text/html"]
    assert "Container(" in cells[4]["text/plain"]
    assert "listening" in cells[6]["text/plain"]
    assert "redundant-role" in cells[7]["text/html"]
    assert "cntrsrv_image" in cells[8]["text/html"]
    assert "NOT_FOUND" in cells[9]["stdout"]
    assert "RUNNING" in cells[10]["text/html"]


def test_a_failover_by_hand(tmp_path: Path) -> None:
    cells = executed("a_failover_by_hand", tmp_path)
    failover = cells[3]
    assert "<svg" in failover["text/html"]
    assert re.search(r"switchover <progress value=\"1\" max=\"1\"></progress> \d s: ", failover["text/html"])
    assert "Supervisor2" in failover["text/html"]
    assert "Switchover(" in failover["text/plain"]
    assert "before the failover" in cells[4]["text/plain"]
    assert "no container web is listed" in cells[6]["stdout"]
    assert "away" in cells[7]["image/svg+xml"]


def test_read_a_suite(tmp_path: Path) -> None:
    cells = executed("read_a_suite", tmp_path)
    assert "nothing was done" in cells[1]["stdout"]
    assert "2 passed" in cells[2]["stdout"]
    assert "CNTR-3.2" in cells[3]["text/html"]
    assert "<svg" in cells[4]["text/html"]
    assert "1 failed" in cells[5]["stdout"]
    assert "FAIL" in cells[6]["text/html"]
    assert "<!DOCTYPE html>" in (tmp_path / "faulty.html").read_text()


class Kernel:
    """A kernel that a notebook would have, by its protocol."""

    def __init__(self, folder: Path) -> None:
        self._manager, self._client = start_new_kernel(cwd=str(folder))

    def run(self, source: str) -> dict[str, str]:
        """What a cell gives, by MIME type or the name of the stream."""
        told: dict[str, str] = {}

        def take(message: dict[str, Any]) -> None:
            told.update(message["content"].get("data", {}))
            if message["msg_type"] == "stream":
                told[message["content"]["name"]] = message["content"]["text"]

        reply = self._client.execute_interactive(source, timeout=60, output_hook=take)
        assert reply["content"]["status"] == "ok", reply["content"]
        return told

    def begin(self, source: str) -> None:
        """Begin a cell, and do not wait."""
        self._client.execute(source)

    def interrupt(self) -> None:
        """As the button does."""
        self._manager.interrupt_kernel()

    def end(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    started = Kernel(tmp_path)
    yield started
    started.end()


def test_an_interrupt_stops_a_call_at_once_and_leaves_the_session_usable(kernel: Kernel, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    kernel.run(
        "import holdfast, pathlib\n"
        "chassis = holdfast.emulator()\n"
        "dut = holdfast.connect(chassis.address, insecure=True)"
    )
    kernel.begin(
        f"pathlib.Path({str(begun)!r}).touch()\n"
        "try:\n"
        "    dut.containerz.expect_container('nobody', within=3600)\n"
        "except KeyboardInterrupt:\n"
        "    ended = 'interrupted'"
    )
    wait_until(begun.exists, what="the call")
    kernel.interrupt()
    assert kernel.run("print(ended)")["stdout"].strip() == "interrupted"
    assert "PRIMARY" in kernel.run("dut")["text/html"]
    kernel.run("dut.close(); chassis.stop()")


def test_blocking_calls_work_beside_a_running_event_loop(kernel: Kernel) -> None:
    told = kernel.run(
        "import asyncio, holdfast\n"
        "asyncio.get_running_loop()\n"
        "with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:\n"
        "    blocking = dut.control_processors()\n"
        "    async with holdfast.aio.connect(chassis.address, insecure=True) as other:\n"
        "        awaited = await other.control_processors()\n"
        "print(blocking == awaited)"
    )
    assert told["stdout"].strip() == "True"
