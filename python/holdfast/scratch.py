"""Temporary folders that say whose they are, so that those of a process that was killed are found and removed."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

# Of a run of pytest, and of an emulated device, which the core makes.
RUN, EMULATED_DEVICE = "holdfast-run-", "holdfast-emulator-"
# Names the process that made the folder, when that began, and the namespace in which it has its number.
OWNER = "owner"


def make(prefix: str) -> Path:
    """A new folder of this process."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    (folder / OWNER).write_text(f"{os.getpid()} {_started(os.getpid())} {_namespace()}", encoding="utf-8")
    return folder


def remove(folder: Path) -> None:
    """A folder, with all that is in it, as far as that can be removed."""
    shutil.rmtree(folder, ignore_errors=True)


def left(prefix: str) -> list[Path]:
    """Those of this user's whose process is no more; not those of which nobody can say."""
    return [folder for folder in _own(prefix) if _is_abandoned(folder)]


def remove_left(prefixes: Iterable[str] = (RUN, EMULATED_DEVICE)) -> list[Path]:
    """Remove what killed processes left; which folders that were."""
    found = [folder for prefix in prefixes for folder in left(prefix)]
    for folder in found:
        remove(folder)
    return found


def _own(prefix: str) -> list[Path]:
    folders = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{prefix}*")):
        try:
            known = folder.lstat()
        except OSError:  # removed meanwhile
            continue
        if stat.S_ISDIR(known.st_mode) and known.st_uid == os.getuid():
            folders.append(folder)
    return folders


def _is_abandoned(folder: Path) -> bool:
    """Whether the process that made it is no more: not where it lives out of sight, or nothing says which it was."""
    try:
        process, started, namespace = (folder / OWNER).read_text(encoding="utf-8").split(" ")
        return namespace == _namespace() and _started(int(process)) != started
    except (OSError, ValueError):
        return False


def _namespace() -> str:
    """Containers that share a temporary folder number their processes each by itself."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "unknown"


def _started(process: int) -> str:
    """When a process began, in ticks since the machine did; empty where there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""
