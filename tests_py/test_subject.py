"""The hook on commit messages takes what the history has, and refuses a subject without a room."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

HOOK = Path(__file__).parent.parent / ".ci" / "subject.py"


@pytest.mark.parametrize(
    ("message", "is_right"),
    [
        ("emulator: refuse a second start of one name", True),
        ("docs, tests: say what a profile is", True),
        ("lab up kubernetes: keep the lab\n\nWhy it is kept.", True),
        ("# a comment of git's\ncni: wait for the runtime's end", True),
        ("provider check: say which scenarios run", True),
        ("T12: a snapshot of a volume in use", True),
        ("nox, .ci: one check of all", True),
        ("Merge branch 'streams'", True),
        ("Merge pull request #7 from a/b", True),
        ('Revert "emulator: refuse a second start of one name"', True),
        ("fixup! emulator: refuse a second start", True),
        ("asdf: x", False),
        ("docs, asdf: x", False),
        ("fix: a second start", False),
        ("a: x", False),
        ("Reverting all", False),
        ("Mergesort is fast", False),
        ("Merge what was made", False),
        ("Refuse a second start of one name", False),
        ("wip", False),
        ("emulator:refuse", False),
        ("exit codes in one table, for the command: and more", False),
        ("", False),
    ],
)
def test_a_subject_begins_with_a_room(message: str, is_right: bool, tmp_path: Path) -> None:
    file = tmp_path / "COMMIT_EDITMSG"
    file.write_text(message)
    done = subprocess.run([sys.executable, HOOK, file], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is is_right, done.stderr
    assert is_right or "does not begin with a room's name" in done.stderr


def test_every_room_of_the_map_begins_a_subject() -> None:
    root = HOOK.parent.parent
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n| room | imports |")[0]
    rooms = {Path(path).name for path in re.findall(r"`([\w./]+)/`", text)}
    assert len(rooms) > 30
    hook = runpy.run_path(str(HOOK))
    assert [room for room in sorted(rooms) if not hook["is_right"](f"{room}: do something")] == []
