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
from holdfast.storage.provider.introduction import Introduction, introduce

# Of what it printed, so much is kept, in bytes, and so many lines of that are shown.
_SHOWN = 4096
_LINES = 10
# What the path of a socket may have, in bytes.
_LONGEST_SOCKET = 107
# As root, all that it starts ends with it, and its mounts are nobody else's.
_APART = ("unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "--mount", "--")


def ask_started(command: str, folder: Path, *, timeout: float) -> Introduction:
    """Start a plugin by a shell line, as `start` has it, and ask it; `folder` is where its `./` is."""
    mask = concealed.mask({"start": command}, {})
    with _started(command, folder) as (process, socket, printed):
        found: list[Introduction] = []
        last: list[HoldfastError] = []

        def answers() -> bool:
            if process.poll() is not None:
                raise InvalidArgumentError(
                    f"the command ended at once, with {_ending(process)}{mask.hide(str(printed))}"
                )
            if not Path(socket).exists():
                return False
            try:
                found.append(introduce(socket, mask))
            except HoldfastError as error:
                last.append(error)
                return False
            return True

        if not waiting.until(answers, timeout):
            why = f"the last try: {last[-1]}" if last else "it made no socket: is {socket} in the line?"
            raise InvalidArgumentError(f"the plugin did not answer in {timeout} s; {why}{mask.hide(str(printed))}")
        return found[-1]


@contextmanager
def _started(command: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, _Printed]]:
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
    words = [*apart, "sh", "-c", command]
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
        yield process, socket, printed
    finally:
        _end(process)
        printed.close()
        shutil.rmtree(own, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """All of its process group; what `unshare` started is killed with it."""
    with suppress(ProcessLookupError):  # it ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ending(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"signal {-code}" if code < 0 else f"exit code {code}"


class _Printed:
    """The last of what a process printed, however much it is."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._last = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while some := os.read(self._pipe.fileno(), 1 << 16):
            self._last = (self._last + some)[-_SHOWN:]

    def __str__(self) -> str:
        lines = self._last.decode("utf-8", errors="replace").strip().splitlines()[-_LINES:]
        text = "\n".join(lines)
        return f"\n{visible.lines(text)}" if text else ", and printed nothing"

    def close(self) -> None:
        """Once all who could print are gone; who is not keeps the thread, which ends with them."""
        self._reader.join(1)
        if not self._reader.is_alive():
            self._pipe.close()
