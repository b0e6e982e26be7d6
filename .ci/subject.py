"""Refuses a commit's subject that does not begin with a room's name: `emulator: refuse a second start of one name`.

python3 .ci/subject.py FILE    # with the message, as git's hook commit-msg has it

A room begins with a word that a folder or a file of the repository has in its name, in singular or plural, or that
stands in OTHERS.
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

# Rooms of up to three words, separated by commas; then what the commit does.
ROOM = r"[\w./+-]+(?: [\w./+-]+){0,2}"
SUBJECT = re.compile(rf"^({ROOM}(?:, {ROOM})*): \S")
# What git and its hosts write by themselves.
BY_GIT = re.compile(
    r"^(?:Merge (?:branch|branches|commit|pull request|remote-tracking branch|tag) |Revert \"|(?:fixup|squash|amend)! )"
)
# Rooms that no file is called after.
OTHERS = {"bench", "clean-up", "compare", "fuzz", "names", "nox", "workspace"}
SCENARIO = re.compile(r"^t\d+$")


@functools.cache
def known() -> frozenset[str]:
    """The words in the names of what git keeps here, in small letters; none where it keeps nothing."""
    root = Path(__file__).parent.parent
    listed = subprocess.run(["git", "-C", str(root), "ls-files"], capture_output=True, text=True, check=False)  # noqa: S603, S607
    parts = {part.lower() for line in listed.stdout.splitlines() for part in PurePosixPath(line).parts}
    names = parts | {part.lstrip(".").partition(".")[0] for part in parts}
    words = names | {word for name in names for word in re.split(r"[_-]", name)}
    return frozenset(word for word in words if len(word) > 1)


def is_room(name: str) -> bool:
    """Whether its first word is known, as it is, in singular or in plural."""
    word = name.partition(" ")[0].strip("/").rpartition("/")[2].lower()
    forms = {word, f"{word}s", word.removesuffix("s")} if len(word) > 1 else set()
    return bool(not known() or forms & (known() | OTHERS) or SCENARIO.match(word))


def is_right(subject: str) -> bool:
    """Whether it begins with rooms, or git wrote it."""
    found = SUBJECT.match(subject)
    return bool(BY_GIT.match(subject) or (found and all(is_room(room) for room in found[1].split(", "))))


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
