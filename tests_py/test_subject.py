"""The hook on commit messages takes what the history has, and refuses a subject without a room."""

from __future__ import annotations

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
        ("Merge branch 'streams'", True),
        ("fixup! emulator: refuse a second start", True),
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
