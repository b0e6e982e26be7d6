"""Refuses a commit's subject that does not begin with a room's name: `emulator: refuse a second start of one name`.

python3 .ci/subject.py FILE    # with the message, as git's hook commit-msg has it
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# Rooms of up to three words, separated by commas; then what the commit does.
ROOM = r"[\w./+-]+( [\w./+-]+){0,2}"
SUBJECT = re.compile(rf"^{ROOM}(, {ROOM})*: \S")
# What git writes by itself.
BY_GIT = re.compile(r"^(Merge|Revert|fixup!|squash!|amend!) ?")


def is_right(subject: str) -> bool:
    """Whether it begins with rooms, or git wrote it."""
    return bool(SUBJECT.match(subject) or BY_GIT.match(subject))


def main() -> int:
    """Read the message, and say what is wrong."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    subject = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if is_right(subject):
        return 0
    words = "does not begin with a room's name, as `emulator: …` or `docs, tests: …` do (CONTRIBUTING.md has the rooms)"
    print(f"the subject {subject!r} {words}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
