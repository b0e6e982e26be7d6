"""A plugin that is started to be asked, and gone afterwards with all that it started and mounted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from holdfast import visible, waiting
from holdfast.exceptions import HoldfastError, InvalidArgumentError
from holdfast.storage import concealed
from holdfast.storage.provider.introduction import TIMEOUT, Introduction, introduce

# Of what it printed, so much is kept, in bytes, and so many lines of that are shown.
_SHOWN = 4096
_LINES = 10
# What the path of a socket may have, in bytes.
_LONGEST_SOCKET = 107
# Tells how a command ended, and stays for what that left running: a plugin may be a daemon.
_KEEPER = 'sh -c "$1"; echo $? > "$2.part"; mv "$2.part" "$2"; exec sleep infinity > /dev/null 2>&1'
# As root, all that it starts ends with it, and its mounts are nobody else's.
_APART = ("unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "--mount", "--")


def ask_started(command: str, folder: Path, *, timeout: float) -> Introduction:
    """Start a plugin by a shell line, as `start` has it, and ask it; `folder` is where its `./` is."""
    mask = concealed.mask({"start": command}, {})
    with _started(command, folder) as (socket, ended, printed):
        found: list[Introduction] = []
        last: list[HoldfastError] = []

        def answers() -> bool:
            code = ended.read_text(encoding="ascii").strip() if ended.exists() else "0"
            if code != "0":
                printed.settle()
                raise InvalidArgumentError(f"the command ended at once, with exit code {code}{mask.hide(str(printed))}")
            if not Path(socket).exists():
                return False
            try:
                found.append(introduce(socket, mask, timeout=min(timeout, TIMEOUT)))
            except HoldfastError as error:
                last.append(error)
                return False
            return True

        if not waiting.until(answers, timeout):
            why = f"the last try: {last[-1]}" if last else "it made no socket: is {socket} in the line?"
            why += "; its command ended" if ended.exists() else ""
            raise InvalidArgumentError(f"the plugin did not answer in {timeout} s; {why}{mask.hide(str(printed))}")
        return found[-1]


@contextmanager
def _started(command: str, folder: Path) -> Iterator[tuple[str, Path, _Printed]]:
    own = Path(tempfile.mkdtemp(prefix="holdfast-ask-"))
    socket = str(own / "plugin.sock")
    if len(os.fsencode(socket)) > _LONGEST_SOCKET:
        own.rmdir()
        raise InvalidArgumentError(f"{socket}: that is too long for a socket", hint="set TMPDIR to a short path")
    filled = {
        "socket": f"unix://{socket}", "socket_path": socket, "node": "node1", "folder": str(own / "node1"),
        "control": "127.0.0.1", "storage": "127.0.0.1",
    }  # fmt: skip
    for name, value in filled.items():
        command = command.replace(f"{{{name}}}", value)
    (own / "node1").mkdir()
    apart = _APART if os.geteuid() == 0 and shutil.which("unshare") else ()
    ended = own / "ended"
    words = [*apart, "sh", "-c", _KEEPER, "sh", command, str(ended)]
    process = subprocess.Popen(  # noqa: S603
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        start_new_session=True,
    )
    assert process.stdout is not None
    printed = _Printed(process.stdout)
    try:
        yield socket, ended, printed
    finally:
        _end(process)
        printed.close()
        shutil.rmtree(own, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """All of its process group; what `unshare` started is killed with it."""
    with suppress(ProcessLookupError):  # it ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Printed:
    """The last of what a process printed, however much it is."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._last = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while some := os.read(self._pipe.fileno(), 1 << 16):
            held = self._last + some
            # whole lines alone: half a secret is not known for one
            self._last = held if len(held) <= _SHOWN else held[-_SHOWN:].partition(b"\n")[2]

    def __str__(self) -> str:
        lines = self._last.decode("utf-8", errors="replace").strip().splitlines()[-_LINES:]
        text = "\n".join(lines)
        return f"\n{visible.lines(text)}" if text else ", and printed nothing"

    def settle(self) -> None:
        """Until all is read of a command that ended, if nothing that it left may print more."""
        self._reader.join(1)

    def close(self) -> None:
        """Once all who could print are gone; who is not keeps the thread, which ends with them."""
        self.settle()
        if not self._reader.is_alive():
            self._pipe.close()
