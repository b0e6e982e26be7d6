"""A run that is ended by SIGTERM, as CI systems do: it gives back what it has as at Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import holdfast

from conftest import emulate, isolated, wait_until

END = signal.SIGTERM
SLOW = """
import signal
from pathlib import Path
from threading import Event

def test_slow({fixtures}):
    {begins}
    Path("begun").touch()
    while True:
        Event().wait(0.05)
"""


@contextmanager
def running(folder: Path, *words: str, once: Callable[[], bool], what: str) -> Iterator[subprocess.Popen[str]]:
    """A pytest in a process group of its own, once something holds."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    process = subprocess.Popen(
        command, cwd=folder, env=isolated(folder, {}), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        wait_until(once, 60, what)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """How it ended, and what it said."""
    told, _ = process.communicate(timeout=60)
    return process.returncode, told


def whole_group(process: subprocess.Popen[str]) -> None:
    """As GitLab does, and twice, as timeout(1) does."""
    os.killpg(process.pid, END)
    os.killpg(process.pid, END)


WAYS: dict[str, Callable[[subprocess.Popen[str]], None]] = {
    "pytest alone": lambda process: process.send_signal(END),
    "all of its processes": whole_group,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("workers", [(), ("-n", "1")])
@pytest.mark.parametrize("test", ["test_slow.py", "cntr3"])
def test_it_leaves_the_device_clean(tmp_path: Path, workers: Sequence[str], way: str, test: str) -> None:
    """In the middle of a case, and of a test that waits for something."""
    begun(tmp_path, "dut", "dut.containerz.create_volume('mine')")
    with emulate(tmp_path) as address, holdfast.connect(address, insecure=True) as dut:

        def made() -> bool:
            return bool(dut.containerz.volumes() or dut.containerz.containers())

        words = ("-k", test) if test == "cntr3" else (test,)
        reached = ("--dut", address, "--dut-insecure", *workers)
        with running(tmp_path, *words, *reached, once=made, what="something of the run's") as process:
            WAYS[way](process)
            code, told = ended(process)
        assert code == 2, told
        assert not made()
        assert dut.containerz.images() == ()
        assert "KeyboardInterrupt: SIGTERM" in told


def test_the_page_of_a_soak_says_that_it_is_over(tmp_path: Path) -> None:
    page = tmp_path / "soak.html"
    words = ("-k", "cntr3_1", "--dut-repeat", "1000", "--dut-soak-report", str(page))
    with running(tmp_path, *words, once=page.exists, what="a page") as process:
        process.send_signal(END)
        code, told = ended(process)
    assert code == 2, told
    assert "It ran from" in page.read_text()


def begun(folder: Path, fixtures: str, begins: str) -> Callable[[], bool]:
    (folder / "test_slow.py").write_text(SLOW.format(fixtures=fixtures, begins=begins))
    return (folder / "begun").exists


def succeeds(folder: Path, script: str) -> None:
    """Run a program in a process and a folder of its own; its asserts hold."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=isolated(folder, {}), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_without_devices_ends_as_pytest_does(tmp_path: Path) -> None:
    with running(tmp_path, "test_slow.py", once=begun(tmp_path, "", "pass"), what="a test") as process:
        process.send_signal(END)
        assert ended(process)[0] == -END


def test_who_has_set_a_handler_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(7))\n")
    with running(tmp_path, "test_slow.py", once=begun(tmp_path, "dut", "pass"), what="a test") as process:
        process.send_signal(END)
        assert ended(process)[0] == 7


def test_the_handler_is_there_while_a_run_with_devices_is_and_no_longer(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import signal\ndef test_it(dut):\n    assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL\n"
    )
    script = (
        "import pytest, signal, sys\n"
        "codes = [pytest.main(['-p', 'no:cacheprovider', 'test_mine.py']) for _ in range(2)]\n"
        "assert codes == [0, 0], codes\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
    )
    succeeds(tmp_path, script)


def test_elsewhere_than_in_the_main_thread_it_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_it(dut):\n    pass\n")
    script = (
        "import pytest, threading\n"
        "codes = []\n"
        "run = lambda: codes.append(pytest.main(['-p', 'no:cacheprovider', 'test_mine.py']))\n"
        "thread = threading.Thread(target=run)\n"
        "thread.start(), thread.join()\n"
        "assert codes == [0], codes\n"
    )
    succeeds(tmp_path, script)
