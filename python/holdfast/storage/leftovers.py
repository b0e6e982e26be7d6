"""Folders that labs left behind: their namespaces, mounts and processes go with pytest, their files may not."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from holdfast import scratch, waiting

PREFIX = "holdfast-lab-"
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
# How long the kernel may take to bury the last process of a control group, in seconds.
LONGEST_DEATH = 30.0


def make() -> Path:
    """A folder for a lab of this process. It is short: the path of a socket has 107 bytes."""
    return scratch.make(PREFIX)


def find() -> list[Path]:
    """Those of this user's whose process is no more."""
    return scratch.left(PREFIX)


def remove(folder: Path) -> None:
    """One of them, with all that is in it; and the control groups of the engines that ran in it. Raises `OSError`."""
    remove_control_groups(folder.name)
    scratch.remove_whole(folder)


def remove_all(folders: Iterable[Path]) -> dict[Path, str]:
    """Each of them; those that stay, and why."""
    stayed = {}
    for folder in folders:
        why = _why_it_stays(folder)
        if why is not None:
            stayed[folder] = why
    return stayed


def _why_it_stays(folder: Path) -> str | None:
    try:
        remove(folder)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{where}"
    return None


def remove_control_groups(name: str) -> None:
    """Those of engines that are no more, under one name at the root of each hierarchy."""
    for group in [*_CONTROL_GROUPS.glob(name), *_CONTROL_GROUPS.glob(f"*/{name}")]:
        for inner, _, _ in os.walk(group, topdown=False):
            _remove_control_group(Path(inner))


def _remove_control_group(group: Path) -> None:
    """One that holds no other; its files go with it. It is busy for a moment after its last process was killed."""

    def removed() -> bool:
        try:
            group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    if not waiting.until(removed, LONGEST_DEATH):
        group.rmdir()  # says why not
