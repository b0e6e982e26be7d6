"""Temporary folders that say whose they are, so that those of a process that was killed are found and removed."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Of a run of pytest, and of an emulated device, which the core makes.
RUN, EMULATED_DEVICE = "holdfast-run-", "holdfast-emulator-"
# Names the process that made the folder, when that began, and the namespace in which it has its number.
OWNER = "owner"
# The longest that this may be, in bytes.
_LONGEST = 200


def make(prefix: str) -> Path:
    """A new folder of this process."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    (folder / OWNER).write_text(this_process(), encoding="utf-8")
    return folder


def this_process() -> str:
    """Names this process, when it began, and the namespace in which it has its number."""
    return f"{os.getpid()} {_started(os.getpid())} {_namespace()}"


def is_gone(process: str) -> bool:
    """Whether a process of this machine, as `this_process` named it, is no more; not where nobody can say."""
    try:
        number, started, namespace = process.split(" ")
        return namespace == _namespace() and _started(int(number)) != started
    except (OSError, ValueError):
        return False


def remove(folder: Path) -> None:
    """A folder, with all that is in it, as far as that can be removed."""
    with suppress(OSError):
        remove_whole(folder)


def remove_whole(folder: Path) -> None:
    """A folder, with all that is in it. Raises `OSError`, also where something is mounted in it: that is not ours."""
    mounted = _mounted_in(folder)
    if mounted is not None:
        raise OSError(errno.EBUSY, f"something is mounted there: umount {mounted}")
    shutil.rmtree(folder)


def _mounted_in(folder: Path) -> str | None:
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # a system without
        return None
    inside = f"{folder.resolve()}/"
    places = (line.split(" ")[4].encode("latin-1", "surrogateescape").decode("unicode_escape") for line in lines)
    return next((place for place in places if f"{place}/".startswith(inside)), None)


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
    """Folders of this user's. In a folder where all may write, anything of anybody's may have such a name."""
    folders = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{prefix}*")):
        with suppress(OSError), _opened(folder, os.O_DIRECTORY):  # no folder of ours, or removed meanwhile
            folders.append(folder)
    return folders


def _is_abandoned(folder: Path) -> bool:
    """Whether the process that made it is no more: not where it lives out of sight, or nothing says which it was."""
    try:
        with _opened(folder, os.O_DIRECTORY) as held, _opened(OWNER, 0, held) as file:
            return is_gone(os.read(file, _LONGEST).decode("utf-8"))
    except (OSError, ValueError):
        return False


@contextmanager
def _opened(path: str | Path, flags: int, folder: int | None = None) -> Iterator[int]:
    """A folder (O_DIRECTORY) or regular file of this user's. Raises `OSError` where it is none.

    What it is is known before it is opened to be read, for a FIFO, a device or a link of somebody else's does what its
    maker wants when it is opened.
    """
    wanted = stat.S_ISDIR if flags & os.O_DIRECTORY else stat.S_ISREG
    known = os.lstat(path) if folder is None else os.stat(path, dir_fd=folder, follow_symlinks=False)
    if not wanted(known.st_mode):
        raise OSError(errno.EINVAL, "it is of another kind", str(path))
    held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags, dir_fd=folder)
    try:
        found = os.fstat(held)
        if not wanted(found.st_mode) or found.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "it is not this user's", str(path))
        yield held
    finally:
        os.close(held)


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
