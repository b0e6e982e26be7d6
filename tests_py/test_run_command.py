"""`holdfast run`: what is said to it is heeded or refused, and it reads the ini file of the folder it is started in."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import isolated, wait_until

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms", "-k", "cntr3_1")
TWO = "devices:\n  a: {emulated: true}\n  b: {emulated: true}\n"
BEFORE = [sys.executable, "-m", "holdfast.cli"]


def started(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`holdfast …`, started in a folder."""
    return subprocess.run(
        [*BEFORE, *words], cwd=folder, env=isolated(folder.parent, environment), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.mark.parametrize(
    "words",
    [
        ("--testbed", "lab.yaml", "--device", "b", "run", "cntr3"),
        ("--testbed", "lab.yaml", "run", "cntr3", "--device", "b"),
        ("run", "cntr3", "--testbed", "lab.yaml", "--dut-device=b"),
    ],
)
def test_only_the_device_that_is_named_is_failed_over(words: tuple[str, ...], folder: Path) -> None:
    (folder / "lab.yaml").write_text(TWO)
    done = started(folder, *words, "-v", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "device b, in this process" in done.stdout
    assert "device a, in this process" not in done.stdout


def test_of_several_devices_those_that_are_named_are_tested_in_that_order(folder: Path) -> None:
    (folder / "lab.yaml").write_text(TWO + "  c: {emulated: true}\n")
    done = started(folder, "--testbed", "lab.yaml", "--device", "c,a", "run", "cntr3", "--collect-only", "-q", *QUICK)
    cases = [line for line in done.stdout.splitlines() if "test_cntr3_1" in line]
    assert [line.rpartition("[")[2] for line in cases] == ["c]", "a]"], done.stdout


def test_a_device_that_the_testbed_does_not_have_is_a_usage_error(folder: Path) -> None:
    (folder / "lab.yaml").write_text("devices:\n  spine1: {emulated: true}\n")
    done = started(folder, "--testbed", "lab.yaml", "--device", "spin1", "run", "cntr3", *QUICK)
    assert done.returncode == 2
    assert "--dut-device spin1: did you mean spine1?" in done.stderr
    alone = started(folder, "--device", "spine1", "run", "cntr3", *QUICK)
    assert alone.returncode == 2
    assert "give --testbed FILE too" in alone.stderr


@pytest.mark.parametrize("word", ["--json", "--debug"])
def test_what_cannot_be_handed_on_is_refused(word: str, folder: Path) -> None:
    done = started(folder, word, "run", "cntr3", *QUICK)
    assert done.returncode == 2
    assert f"{word} is not for a run of tests" in done.stderr


def test_the_ini_file_of_the_folder_is_read(folder: Path) -> None:
    ini = folder / "pytest.ini"
    ini.write_text("[pytest]\nholdfast_dut_silence = abc\n")
    below = folder / "below"
    below.mkdir()
    for place in (folder, below):
        done = started(place, "run", "cntr3", *QUICK)
        assert done.returncode == 2, done.stdout
        assert "holdfast_dut_silence abc" in done.stderr
    (folder / "other.ini").write_text("[pytest]\n")
    assert started(folder, "run", "cntr3", "--collect-only", "-c", "other.ini", *QUICK).returncode == 0


@pytest.mark.parametrize("ini", ["", "[pytest]\npython_files = check_*.py\npython_functions = check_*\n"])
def test_the_folder_is_the_root_and_keeps_the_cache(ini: str, folder: Path) -> None:
    import holdfast

    if ini:
        (folder / "pytest.ini").write_text(ini)
    done = started(folder, "run", "cntr3", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"rootdir: {folder}" in done.stdout
    assert (folder / ".pytest_cache").is_dir()
    assert not list((Path(holdfast.__file__).parent / "suites").rglob(".pytest_cache"))


def test_it_ends_with_the_codes_of_the_command(folder: Path) -> None:
    assert started(folder, "run", "cntr3", "--no-such-option").returncode == 2
    assert started(folder, "--dut", "127.0.0.1:1", "--dut-insecure", "run", "cntr3").returncode == 3
    (folder / "broken").mkdir()
    (folder / "broken" / "test_it.py").write_text("import nothing_of_that_name\n")
    assert started(folder, "run", "cntr3", "broken", *QUICK).returncode == 1, "pytest's code is that of Ctrl-C"


def test_it_ends_with_130_at_ctrl_c(folder: Path) -> None:
    (folder / "test_slow.py").write_text(
        "from pathlib import Path\nfrom threading import Event\n"
        "def test_slow():\n    Path('begun').touch()\n    while True:\n        Event().wait(0.05)\n"
    )
    command = [*BEFORE, "run", "cntr3", "test_slow.py", "-k", "slow"]
    with subprocess.Popen(
        command, cwd=folder, env=isolated(folder.parent, {}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            wait_until((folder / "begun").exists, 60, "the test has begun")
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, told
