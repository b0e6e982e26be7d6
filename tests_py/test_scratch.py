"""Temporary folders of processes that were killed go with the next run; those of others stay."""

from __future__ import annotations

import os
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


def dead(temporary: Path, name: str) -> Path:
    """A lab's folder whose process is no more, with files of a lab in it."""
    lab = temporary / f"{leftovers.PREFIX}{name}"
    (lab / "node1").mkdir(parents=True)
    (lab / "node1" / "log").write_text("words")
    os.mkfifo(lab / "node1" / "fifo")
    (lab / scratch.OWNER).write_text(f"999999999 1 {Path('/proc/self/ns/pid').readlink()}")
    return lab


def clean(temporary: Path, tmp_path: Path, *before: str) -> subprocess.CompletedProcess[str]:
    words = [*before, sys.executable, "-m", "holdfast.cli", "lab", "clean", "--yes"]
    environment = {**isolated(tmp_path, {}), "TMPDIR": str(temporary)}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_lab_clean_opens_nothing_but_folders_and_files_of_its_user(temporary: Path, tmp_path: Path) -> None:
    """In a folder where all may write, anything may have such a name. A FIFO that is opened waits for ever."""
    temporary.chmod(0o777)
    ours = dead(temporary, "ours")
    fifo = temporary / f"{leftovers.PREFIX}fifo"
    os.mkfifo(fifo)
    file = temporary / f"{leftovers.PREFIX}file"
    file.write_text("words")
    owned_by_fifo = dead(temporary, "owned-by-fifo")
    (owned_by_fifo / scratch.OWNER).unlink()
    os.mkfifo(owned_by_fifo / scratch.OWNER)
    owned_by_link = dead(temporary, "owned-by-link")
    (owned_by_link / scratch.OWNER).rename(temporary / "told")
    (owned_by_link / scratch.OWNER).symlink_to(temporary / "told")
    endless = dead(temporary, "endless")
    (endless / scratch.OWNER).write_text(f"999999999 1 {'x' * 100_000}")
    elsewhere = temporary / "elsewhere"
    dead(temporary, "elsewhere").rename(elsewhere)
    link = temporary / f"{leftovers.PREFIX}link"
    link.symlink_to(elsewhere)
    stay = [fifo, file, owned_by_fifo, owned_by_link, endless, link, elsewhere, temporary / "told"]
    done = clean(temporary, tmp_path)
    assert (done.returncode, done.stdout.splitlines()) == (0, [str(ours)]), done.stderr
    assert sorted(temporary.iterdir()) == sorted(stay)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
@pytest.mark.parametrize("what", ["folder", "owner"])
def test_lab_clean_leaves_alone_what_is_of_another_user(temporary: Path, tmp_path: Path, what: str) -> None:
    lab, ours = dead(temporary, "theirs"), dead(temporary, "ours")
    os.chown(lab if what == "folder" else lab / scratch.OWNER, 65534, 65534)
    done = clean(temporary, tmp_path)
    assert (done.returncode, done.stdout.splitlines()) == (0, [str(ours)]), done.stderr
    assert list(temporary.iterdir()) == [lab]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_lab_clean_goes_on_after_one_that_it_cannot_remove_and_says_which(temporary: Path, tmp_path: Path) -> None:
    before, mounted, after = (dead(temporary, name) for name in ("1", "2 is mounted", "3"))
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "theirs").touch()
    script = f"mount --bind {kept} '{mounted}/node1' && exec \"$@\""
    done = clean(temporary, tmp_path, "unshare", "--mount", "sh", "-c", script, "sh")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [str(before), str(mounted), str(after)]
    assert done.stderr.count("could not remove") == 1
    assert f"umount {mounted}/node1" in done.stderr
    assert list(temporary.iterdir()) == [mounted]
    assert (kept / "theirs").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_lab_clean_says_what_the_system_refuses() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as reachable:
        temporary = Path(reachable)
        locked, other = dead(temporary, "locked"), dead(temporary, "other")
        for inner in (temporary, *temporary.rglob("*")):
            os.chown(inner, 65534, 65534)
        (locked / "node1").chmod(0o500)
        done = clean(temporary, temporary, "setpriv", "--reuid=65534", "--clear-groups")
        assert done.returncode == 1, done.stderr
        assert f"could not remove {locked}: Permission denied" in done.stderr
        assert [each for each in (locked, other) if each.exists()] == [locked]
