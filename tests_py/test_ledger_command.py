"""`holdfast ledger`: a file of acknowledged records, and the comparison with what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import ledger

from conftest import wait_until


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "holdfast.cli", "ledger", *words]


def compared(file: Path, acknowledged: Path) -> subprocess.CompletedProcess[str]:
    words = command("verify", str(file), "--acknowledgements", str(acknowledged))
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_what_a_killed_writer_acknowledged_is_there(tmp_path: Path) -> None:
    file, acknowledged = tmp_path / "ledger", tmp_path / "acknowledged"
    for life in range(2):
        with acknowledged.open("ab") as told:
            before = acknowledged.stat().st_size
            writer = subprocess.Popen(command("write", str(file), "--run", "ab", "--pace", "1"), stdout=told)
            wait_until(lambda start=before: acknowledged.stat().st_size > start + 5000, what=f"life {life}")
            writer.kill()
            writer.wait()
        # the last line may have been cut off with its writer, who never finished telling
        lines = acknowledged.read_text().splitlines(keepends=True)
        acknowledged.write_text("".join(line for line in lines if line.endswith("\n")))
    done = subprocess.run(
        command("verify", str(file), "--acknowledgements", str(acknowledged)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " 0 lost, 0 findings" in done.stdout
    with file.open("r+b") as held:
        held.seek(3 * 4096 + 700)
        held.write(b"\0\0\0\0")
    done = subprocess.run(
        command("verify", str(file), "--acknowledgements", str(acknowledged)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "record 4 " in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("write",), 2, "say which file"),
        (("write", "x", "--pace", "fast"), 2, '--pace: "fast" is no number'),
        (("write", "x", "--run", "zz"), 2, "not hexadecimal"),
        (("write", "x", "--acknowledge", "udp:1"), 2, "none of -, unix:PATH"),
        (("write", "x", "--nonsense"), 2, "unknown argument"),
        (("verify", "x"), 2, "--acknowledgements"),
        (("write", "/nowhere/x", "--records", "1"), 1, "/nowhere/x"),
        ((), 2, "say what to do"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        command(*words), capture_output=True, text=True, check=False, cwd=tmp_path, stdin=subprocess.DEVNULL
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr


def test_the_executable_is_static(tmp_path: Path) -> None:
    path = ledger.executable()
    assert os.access(path, os.X_OK)
    assert b"/lib64/ld-linux" not in path.read_bytes()[:65536]


# Far more than it takes, and far less than a volume of 8 GiB.
MEMORY = 64 << 20
VOLUME = 8 << 30


def test_a_volume_of_8_gib_is_judged_in_bounded_memory(tmp_path: Path) -> None:
    """The kernel gives the judge no more than that; the file is sparse, and read all the same."""
    file, acknowledged = tmp_path / "ledger", tmp_path / "acknowledged"
    words = [str(ledger.executable()), "write", str(file), "--run", "ab", "--records", "2000", "--batch", "100"]
    with acknowledged.open("wb") as told, subprocess.Popen(words, stdout=told) as writer:
        wait_until(lambda: acknowledged.read_bytes().count(b"acknowledged ") == 2000, 60, "2000 records")
        writer.kill()
    with file.open("r+b") as held:
        held.seek(VOLUME - 4096)
        held.write(b"\xa5" * 4096)
    judge = [str(ledger.executable()), "verify", str(file), "--acknowledgements", str(acknowledged)]
    done = subprocess.run(["prlimit", f"--as={MEMORY}", *judge], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "after record 2000 comes what is no record",
        "2000 acknowledged, 0 lost, 1 findings",
    ], done.stderr
    assert done.returncode == 1
