"""A run that is killed at any moment leaves nothing of its Kubernetes: no process, no mount, no control group."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from holdfast.storage import kubernetes

from conftest import isolated, wait_until

pytestmark = pytest.mark.skipif(bool(kubernetes.lacks()), reason=str(kubernetes.lacks()))
RUN = """
import sys
from holdfast.storage import standing
with standing.stand(standing.readable("nbd", "kubernetes"), start=180) as made:
    node = made.lab.nodes()[0]
    volume = made.lab.create(node, "data", 64 << 20, filesystem="ext4", timeout=60)
    made.lab.run(volume, node, timeout=60).wait_acknowledged(20, timeout=60)
    print("writes", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("moment", ["its API server begins", pytest.param("a task writes", marks=pytest.mark.sampled)])
def test_a_killed_run_leaves_nothing_of_a_lab_with_a_kubernetes(moment: str, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as short:  # the path of a socket has 107 bytes
        environment = isolated(tmp_path, {"TMPDIR": short, "PATH": f"{built()}{os.pathsep}{os.environ['PATH']}"})
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        run = subprocess.Popen([sys.executable, "-c", RUN], env=environment, text=True, **pipes)  # type: ignore[call-overload]
        try:
            if moment == "a task writes":
                assert run.stdout.readline() == "writes\n"
            else:
                wait_until(
                    lambda: any(f"{short}/" in each and "kube-apiserver" in each for each in words()), 60, moment
                )
            its = descendants(run.pid)
        finally:
            run.kill()
            run.communicate()
        wait_until(lambda: not its & set(living()), 30, "the end of all that it ran")
        assert not [line for line in Path("/proc/self/mounts").read_text().splitlines() if short in line]
        name = next(Path(short).glob("holdfast-lab-*")).name
        command = [sys.executable, "-m", "holdfast.cli", "lab", "clean"]
        for options, left in (((), 1), (("--yes",), 1), ((), 0)):
            done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=True)
            assert len(done.stdout.splitlines()) == left, done.stdout
        assert not list(Path(short).iterdir())
        assert not list(Path("/sys/fs/cgroup").rglob(name))


def built() -> str:
    """The folder of the Kubernetes that is used here: another home has a cache of its own."""
    found = kubernetes.find()
    assert found is not None
    return str(found.kubernetes.parent)


def living() -> dict[tuple[int, str], int]:
    """All processes, by their ids and when they began, each with its parent."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            _, _, rest = (process / "stat").read_text(errors="replace").rpartition(") ")
            state, parent, *more = rest.split()
            if state != "Z":
                found[int(process.name), more[17]] = int(parent)
    return found


def descendants(pid: int) -> set[tuple[int, str]]:
    """What a process began, and what that did."""
    there, known = living(), {pid}
    while more := {each for (each, _), parent in there.items() if parent in known} - known:
        known |= more
    return {(each, began) for each, began in there if each in known - {pid}}


def words() -> Iterator[str]:
    """The command lines of all processes."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
