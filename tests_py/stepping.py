"""A process that stops at each of its system calls: a test can do something at every moment of its work."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

# From <sys/ptrace.h>.
TRACE_ME, SYSTEM_CALL, DETACH, SET_OPTIONS = 0, 24, 17, 0x4200
TELL_SYSTEM_CALLS_FROM_SIGNALS = 1
AT_A_SYSTEM_CALL = signal.SIGTRAP | 0x80

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long


class Stepped:
    """A process that stands still at its first instruction. What it starts itself is not stopped."""

    def __init__(self, command: list[str | Path], *, stdin: bytes, env: Mapping[str, str], cwd: Path) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            preexec_fn=lambda: _ptrace(TRACE_ME, 0, None, None),  # noqa: PLW1509 (it takes no lock)
        )
        self._wait()
        self._ask(SET_OPTIONS, TELL_SYSTEM_CALLS_FROM_SIGNALS)
        assert self._process.stdin is not None
        self._process.stdin.write(stdin)  # a pipe holds that much
        self._process.stdin.close()
        self._process.stdin = None

    def step(self, times: int) -> bool:
        """Go on until it enters or leaves a system call for the `times`th time; whether it is still there then."""
        for _ in range(times):
            signals = 0
            while True:
                self._ask(SYSTEM_CALL, signals)
                if not self._wait():
                    return False
                if self._stopped_by == AT_A_SYSTEM_CALL:
                    break
                signals = self._stopped_by
        return True

    def end(self) -> subprocess.CompletedProcess[bytes]:
        """Let it go on to its end."""
        if self._process.returncode is None:
            self._ask(DETACH, 0)
        output, errors = self._process.communicate(timeout=60)
        return subprocess.CompletedProcess(self._process.args, self._process.returncode, output, errors)

    def kill(self) -> None:
        """End it where it stands."""
        if self._process.returncode is None:
            self._process.kill()
        self._process.communicate(timeout=60)

    def _ask(self, what: int, data: int) -> None:
        if _ptrace(what, self._process.pid, None, data) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace {what}")

    def _wait(self) -> bool:
        """Until it stops; whether it does, and has not ended."""
        _, status = os.waitpid(self._process.pid, 0)
        if os.WIFSTOPPED(status):
            self._stopped_by = os.WSTOPSIG(status)
            return True
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return False

    def __enter__(self) -> Stepped:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
