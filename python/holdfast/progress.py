"""Progress of an upload: a bar on a terminal or in a notebook, a callback, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import Any

Callback = Callable[[int, int, int], object]
# From one drawing of a notebook's bar to the next, in seconds.
REDRAW = 0.1
MEGA = 1_000_000


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
    return NotebookBar(label) if "ipykernel" in sys.modules else Bar(label)


class NotebookBar:
    """A bar that a notebook draws: HTML's own, which needs no widgets and stays in the saved notebook."""

    def __init__(self, label: str) -> None:
        shown: Any = import_module("IPython.display")  # it has no types
        self._html = shown.HTML
        self._label = label
        self._told = (0, 0)
        self._began = time.monotonic()
        self._drawn = 0.0
        self._handle = shown.display(self._html(self._drawing()), display_id=True)

    def __call__(self, sent: int, _received: int, total: int) -> None:
        """Move the bar; not more often than an eye can follow."""
        self._told = (sent, total)
        now = time.monotonic()
        if now - self._drawn >= REDRAW or sent == total:
            self._drawn = now
            self._handle.update(self._html(self._drawing()))

    def close(self) -> None:
        """Leave it as it is."""
        self._handle.update(self._html(self._drawing()))

    def _drawing(self) -> str:
        sent, total = self._told
        speed = sent / max(time.monotonic() - self._began, 0.001)
        told = f"{sent / MEGA:.1f}/{total / MEGA:.1f} MB, {speed / MEGA:.1f} MB/s" if total else "…"
        label = escape(self._label)
        return f'<label>{label} <progress value="{sent}" max="{total or 1}">{told}</progress> {told}</label>'


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
