"""The lab's own tools break, one at a time: nothing is said of the provider, the tool is named, and nothing is left."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from test_torpedo_lab import leftovers

from holdfast.storage.provider import read

from conftest import RunSuite, wait_until

LACKS = read("nbd", runner="docker").lacks()

pytestmark = pytest.mark.skipif(bool(LACKS), reason="; ".join(LACKS))

# What a tool does instead of its work.
MANNERS = {
    "fails": "echo broken >&2; exit 1",
    "hangs": "exec sleep 600",
    "is killed": "kill -KILL $$",
    "prints garbage": "printf '\\377garbage\\n'; exit 0",
    # in the middle of its work, from outside
    "dies soon": 'exec timeout -s KILL 1 "{real}" "$@"',
}


def shim(folder: Path, tool: str, manner: str, after: int) -> str:
    """A PATH on which a tool works so many times, and no longer."""
    real = shutil.which(tool)
    assert real is not None, tool
    script = folder / "shims" / tool
    script.parent.mkdir()
    counted = folder / "counted"
    script.write_text(
        f"#!/bin/sh\necho >> {counted}\n"
        f'[ "$(wc -l < {counted})" -le {after} ] && exec "{real}" "$@"\n'
        f"{MANNERS[manner].replace('{real}', real)}\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return str(script.parent)


@pytest.mark.parametrize(
    ("tool", "manner", "after", "scenario", "runner"),
    [
        # before there is a lab
        ("unshare", "fails", 2, "torpedo_5_", "own"),
        ("nsenter", "fails", 0, "torpedo_5_", "own"),
        ("nsenter", "hangs", 0, "torpedo_5_", "own"),
        ("ip", "hangs", 1, "torpedo_5_", "own"),
        ("mount", "is killed", 0, "torpedo_5_", "own"),
        ("dockerd", "fails", 1, "torpedo_9_", "docker"),
        # in the middle of a scenario: the lab takes 19 nsenter and 7 ip
        ("nsenter", "is killed", 21, "torpedo_5_", "own"),
        ("nsenter", "prints garbage", 20, "torpedo_5_", "own"),
        ("ip", "fails", 7, "torpedo_7_", "own"),
        ("ip", "prints garbage", 7, "torpedo_7_", "own"),
        ("kill", "prints garbage", 0, "torpedo_9_", "docker"),
        ("kill", "fails", 0, "torpedo_9_", "docker"),
        ("nbdkit", "fails", 2, "torpedo_5_", "own"),
        ("nbdkit", "dies soon", 1, "torpedo_4_", "own"),
        ("nbdfuse", "hangs", 1, "torpedo_5_", "own"),
        ("nbdfuse", "dies soon", 1, "torpedo_4_", "own"),
        ("losetup", "prints garbage", 0, "torpedo_5_", "own"),
        ("blkid", "fails", 1, "torpedo_5_", "own"),
        ("mkfs.ext4", "is killed", 1, "torpedo_5_", "own"),
        ("mount", "prints garbage", 4, "torpedo_5_", "own"),
        ("umount", "fails", 0, "torpedo_5_", "own"),
        ("fusermount3", "fails", 4, "torpedo_5_", "own"),
        ("dockerd", "fails", 3, "torpedo_9_", "docker"),
        ("dockerd", "hangs", 3, "torpedo_9_", "docker"),
        ("runc", "fails", 4, "torpedo_9_", "docker"),
    ],
)
def test_a_tool_that_breaks_is_nobodys_fault_but_the_labs(
    tool: str, manner: str, after: int, scenario: str, runner: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    path = f"{shim(tmp_path, tool, manner, after)}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory(prefix="hf-") as short:  # the path of a socket has 107 bytes
        report = tmp_path / "table"
        run = run_suite(
            *("-k", scenario, "--provider", "nbd", "--torpedo-runner", runner),
            *("--torpedo-report", str(report)),
            # whoever waits for what a broken tool never did waits for as long as calls and scenarios may take
            *("--torpedo-call", "default=10s", "--torpedo-deadline", f"T{scenario.split('_')[1]}=60s"),
            PATH=path,
            TMPDIR=short,
        )
        row = (report / "torpedo.md").read_text(encoding="utf-8").partition("|---|\n")[2].splitlines()[0]
        # a lab that did not come up has no scenario, and a row all the same
        told = {case.properties.get("verdict", "Inconclusive") for case in run.cases.values()}
        assert "Inconclusive" in row, run.output
        assert told == {"Inconclusive"}, run.output
        assert tool in row, row
        assert run.exit_code == 1
        wait_until(lambda: leftovers(short) == [], 20, "nothing left")
        assert list(Path(short).glob("holdfast-lab-*")) == []
