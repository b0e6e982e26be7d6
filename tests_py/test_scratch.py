"""Temporary folders of processes that were killed go with the next run; those of others stay."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import holdfast
from holdfast import scratch
from holdfast.storage import leftovers

from conftest import isolated, wait_until

HOLDS = """
import signal, sys, holdfast
from holdfast import scratch
folder, device = scratch.make(scratch.RUN), holdfast.emulator()
device.__enter__()
print(folder, flush=True)
signal.pause()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary ones, of this test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(
    temporary: Path, tmp_path: Path
) -> None:
    mine = scratch.make(scratch.RUN)
    with holdfast.emulator():
        living = sorted(temporary.iterdir())
        assert len(living) == 2
        environment = {**isolated(tmp_path, {}), "TMPDIR": str(temporary)}
        with subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, env=environment) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline().strip()
            assert len(list(temporary.iterdir())) == 4
            assert scratch.remove_left() == []
            holder.send_signal(signal.SIGKILL)
            holder.wait(30)
        assert len(scratch.remove_left()) == 2
        assert sorted(temporary.iterdir()) == living
    wait_until(lambda: list(temporary.iterdir()) == [mine])


def test_a_lab_is_known_by_its_owner_and_not_by_its_name(temporary: Path) -> None:
    somebodys = temporary / f"{leftovers.PREFIX}notes"
    somebodys.mkdir()
    lab = leftovers.make()
    assert leftovers.find() == []
    (lab / scratch.OWNER).write_text(f"999999999 1 {Path('/proc/self/ns/pid').readlink()}")
    assert leftovers.find() == [lab]


def test_what_is_not_known_to_be_of_a_dead_process_of_ours_stays(temporary: Path) -> None:
    being_made = temporary / f"{scratch.RUN}being-made"
    elsewhere = temporary / f"{scratch.RUN}elsewhere"
    link = temporary / f"{scratch.RUN}link"
    damaged = temporary / f"{scratch.RUN}damaged"
    for folder in (being_made, elsewhere, damaged):
        folder.mkdir()
    (damaged / scratch.OWNER).write_text("999999999 ")
    (elsewhere / scratch.OWNER).write_text("999999999 1 pid:[1]")
    (target := temporary / "somebody").mkdir()
    (target / scratch.OWNER).write_text("999999999 1 ?")
    link.symlink_to(target)
    assert scratch.remove_left() == []
    dead = temporary / f"{scratch.RUN}dead"
    dead.mkdir()
    (dead / scratch.OWNER).write_text(f"999999999 1 {Path('/proc/self/ns/pid').readlink()}")
    assert scratch.remove_left() == [dead]
    assert sorted(temporary.iterdir()) == sorted([being_made, elsewhere, damaged, link, target])
