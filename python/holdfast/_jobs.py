"""The one thread in which the core runs Python: completions, callbacks and logs."""

from __future__ import annotations

import asyncio
import atexit
import threading
from typing import Any


def start() -> None:
    """Start the thread; it ends when the interpreter does."""
    from holdfast import _core

    thread = threading.Thread(target=_core._run_jobs, name="holdfast", daemon=True)
    thread.start()

    def end() -> None:
        _core._stop()
        thread.join(timeout=1)

    atexit.register(end)


def settle(promise: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    """Give `promise` its outcome, on its own loop, unless it was cancelled meanwhile."""
    if promise.done():
        return
    if isinstance(error, StopAsyncIteration) or error is not None:
        promise.set_exception(error)
    else:
        promise.set_result(value)
