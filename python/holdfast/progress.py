"""Progress of an upload: a bar on a terminal or in a notebook, a callback, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Callback = Callable[[int, int, int], object]


def open_sink(progress: Any, label: str) -> Callback | None:
    """What is told `(sent, received, total)` in bytes, or None for nobody.

    `progress` is a callable, False for nothing, or None for a bar where somebody can see it.
    """
    if progress is False:
        return None
    if callable(progress):
        return progress  # type: ignore[no-any-return]
    if progress is None and not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        return None
    if "pytest" in sys.modules and progress is None:
        return None
    return Bar(label)


class Bar:
    """A bar by rich, which knows terminals and notebooks."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=False)
        self._task = self._progress.add_task(label, total=None)
        self._progress.start()

    def __call__(self, sent: int, _received: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=sent, total=total)

    def close(self) -> None:
        """End the bar."""
        self._progress.stop()
