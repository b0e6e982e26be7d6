"""What the plugins of a lab printed: the end of it, however much it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast import visible

# Of each log so much is read, in bytes, and so many lines of that are shown.
_READ = 1 << 16
_LINES = 10


def tails(folder: Path, hide: Callable[[str], str]) -> str:
    """The last lines of each log in a lab's folder, after the name of its node; `hide` takes out what is secret."""
    lines = []
    for log in sorted((*folder.glob("*/log"), *folder.glob("*/runtime/log"))):
        # hidden as a whole: a secret may be split over lines
        last = hide(_end(log)).splitlines()[-_LINES:]
        lines += [f"{log.parent.relative_to(folder)}: {visible.line(line)}" for line in last]
    return "\n".join(lines)


def _end(log: Path) -> str:
    with log.open("rb") as file:
        begin = max(0, log.stat().st_size - _READ)
        file.seek(begin)
        text = file.read(_READ).decode("utf-8", errors="replace")
    return text.partition("\n")[2] if begin and "\n" in text else text
