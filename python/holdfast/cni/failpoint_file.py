"""The failpoint file of `cni-bridge-fp`: what fails, by the plugin's commands."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast import waiting
from holdfast.exceptions import CniError

ANNOTATION = "failpoint.cni.containerd.io/confpath"

# How long another holder of the lock is waited for, in seconds; each holds it for milliseconds.
_PATIENCE = 20.0
_STEP = 0.002


class FailpointFile:
    """`{"cmdAdd": "1*error(x)"}`, in a file that a pod's annotation names."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def annotations(self) -> dict[str, str]:
        """What a pod says to be met by these failpoints."""
        return {ANNOTATION: str(self.path)}

    def write(self, **points: str) -> None:
        """Replace what it says: `cmdAdd="1*error(x)"`, and so on.

        Raises `CniError` where another process holds the file's lock for 20 seconds.
        """
        draft = f".{self.path.name}.{secrets.token_hex(8)}.cni-bridge-fp"
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self._locked(folder):
                try:
                    _create(folder, draft, json.dumps(points))
                    os.replace(draft, self.path.name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    with suppress(FileNotFoundError):
                        os.unlink(draft, dir_fd=folder)
                    raise
        finally:
            os.close(folder)

    def left(self, point: str) -> str:
        """What is left of a point's terms."""
        return str(json.loads(self.path.read_text(encoding="utf-8")).get(point, ""))

    @contextmanager
    def _locked(self, folder: int) -> Iterator[None]:
        """The plugin's own lock (crates/cni/src/lock.rs), so that it does not store what it read before."""
        name = f".{self.path.name}.cni-bridge-fp.lock"
        tries = (_lock(folder, name) for _ in waiting.looks(_PATIENCE, look=_STEP))
        lock = next((held for held in tries if held is not None), None)
        if lock is None:
            message = f"{self.path} is locked by {self.path.with_name(name)} for {_PATIENCE:.0f} s"
            raise CniError(message, hint="end the process that holds it, or remove that file")
        try:
            yield
        finally:
            if _is_at(folder, name, lock):
                os.unlink(name, dir_fd=folder)
            os.close(lock)


def _create(folder: int, name: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o666, dir_fd=folder), "w", encoding="utf-8") as file:
        file.write(text)


def _lock(folder: int, name: str) -> int | None:
    """A descriptor of the lock, or None while another holds it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        lock = os.open(name, flags, 0o600, dir_fd=folder)
    except PermissionError:
        return None  # another user's, who holds it
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            return None
        raise
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(folder, name, lock):
            return lock
    except BlockingIOError:
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _is_at(folder: int, name: str, lock: int) -> bool:
    with suppress(FileNotFoundError):
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return stat.S_ISREG(there.st_mode) and os.path.samestat(there, os.fstat(lock))
    return False
