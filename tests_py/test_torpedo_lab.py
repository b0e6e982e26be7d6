"""The lab tier for real: namespaces, plugin processes, nbdkit, nbdfuse, loop devices, ext4. As root."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast import _core
from holdfast.storage import standing
from holdfast.storage.leftovers import remove_control_groups
from holdfast.storage.provider import read

from conftest import RunSuite, isolated, wait_until
from test_torpedo import verdicts

LACKS = read("nbd", runner="docker").lacks()

pytestmark = pytest.mark.skipif(bool(LACKS), reason="; ".join(LACKS))


def leftovers(folder: str) -> list[str]:
    """Mounts, loop devices and processes that have to do with a folder."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if folder in line]
    loops = [
        name
        for backing in Path("/sys/block").glob("loop*/loop/backing_file")
        if folder in (name := backing.read_text()) or name.startswith("/nbd")
    ]
    processes = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if folder in words:
            processes.append(words)
    return mounts + loops + processes


def control_groups(name: str) -> list[Path]:
    """Those of a lab's engines."""
    root = Path("/sys/fs/cgroup")
    return [*root.glob(name), *root.glob(f"*/{name}")]


def test_a_control_group_is_removed_when_its_last_process_is_dead() -> None:
    name = f"hf-{os.getpid()}-dying"
    group = (
        next(folder for folder in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")) if folder.is_dir()) / name
    )
    (group / "inner").mkdir(parents=True)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process, ThreadPoolExecutor(1) as pool:
        (group / "inner" / "cgroup.procs").write_text(str(process.pid), encoding="utf-8")
        removal = pool.submit(remove_control_groups, name)
        assert process.stdin is not None
        process.stdin.close()
        removal.result()
    assert control_groups(name) == []


# `nox -s providers` runs all of it; this is for developers, who run it all day.
@pytest.mark.parametrize(
    ("runner", "chosen", "verdict"),
    [
        ("own", "torpedo_5 or (torpedo_6 and kill)", {"T5": {"Pass"}, "T6": {"Pass"}}),
        ("own", "torpedo_7 or torpedo_9", {"T7": {"Pass"}, "T9": {"NotRun"}}),
        ("own", "torpedo_11 or torpedo_14", {"T11": {"Pass"}, "T14": {"Pass"}}),
        ("own", "torpedo_12 or torpedo_15", {"T12": {"Pass"}, "T15": {"Pass"}}),
        ("docker", "torpedo_9 or torpedo_10", {"T9": {"Pass"}, "T10": {"Pass"}}),
        ("swarm", "torpedo_8 or torpedo_10", {"T8": {"Pass"}, "T10": {"NotRun"}}),
    ],
)
def test_the_labs_own_driver_passes(
    runner: str, chosen: str, verdict: dict[str, set[str]], run_suite: RunSuite
) -> None:
    run = run_suite("-k", chosen, "--provider", "nbd", "--torpedo-runner", runner)
    assert {name: {each for each, _ in told} for name, told in verdicts(run).items()} == verdict, run.output
    assert run.exit_code == 0


def test_a_killed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "torpedo_2", "--provider", "nbd"]
    words += ["--torpedo-runner", "docker"]
    with tempfile.TemporaryDirectory(prefix="hf-") as short:  # the path of a socket has 107 bytes
        environment = isolated(tmp_path, {"TMPDIR": short})
        run = subprocess.Popen(
            words, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            found = Path(short).glob
            # plugins have control groups too: those of containers come later
            wait_until(lambda: any(found("holdfast-lab-*/*/published/*/*")), 60, "a published volume")
            assert any(control_groups(lab.name) for lab in found("holdfast-lab-*"))
        finally:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
        wait_until(lambda: leftovers(short) == [], 20, "nothing left")
        name = next(Path(short).glob("holdfast-lab-*")).name
        clean = [sys.executable, "-m", "holdfast.cli", "lab", "clean"]
        for words, left in ((clean, 1), ([*clean, "--yes"], 1), (clean, 0)):
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
            assert len(done.stdout.splitlines()) == left
        assert control_groups(name) == []


def test_a_driver_that_dies_at_once_is_told_with_what_it_said(tmp_path: Path, run_suite: RunSuite) -> None:
    provider = tmp_path / "provider.yaml"
    provider.write_text(
        "provider:\n  kind: csi\n  start: sh -c 'echo I need a licence; exit 3'\nlab: {nodes: 2}\n", encoding="utf-8"
    )
    run = run_suite("-k", "torpedo_1_", "--provider", str(provider), "--torpedo-start", "3s")
    assert run.exit_code == 1
    assert "the lab did not come up" in run.output
    assert "node1: I need a licence" in run.output
    assert _core.storage_lab_lacks() is None


def test_what_this_machine_had_mounted_is_nobody_s_leftover_wherever_it_is_moved(tmp_path: Path) -> None:
    """As pytest does with folders of earlier runs: one with a mount in it gets another name while a lab is up."""
    there = tmp_path / "old" / "mounted"
    there.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(there)], check=True)
    try:
        with standing.stand(read("nbd"), start=60.0) as made:
            (tmp_path / "old").rename(tmp_path / "new")
            assert made.lab.leftovers([], timeout=10) == []
    finally:
        for name in ("old", "new"):
            subprocess.run(["umount", str(tmp_path / name / "mounted")], check=False, capture_output=True)
