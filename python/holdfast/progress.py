"""Progress of an upload, and of work that takes minutes: on a terminal, in a notebook, a callback, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from holdfast import visible
from holdfast.visible import html as escape

Callback = Callable[[int, int, int], object]
Watcher = Callable[[float, str], object]
# From one drawing of a notebook's bar to the next, in seconds.
REDRAW = 0.1
# How long something may take before a line says that it does, in seconds.
BEFORE_A_LINE = 2.0
MEGA = 1_000_000


def open_sink(progress: Any, label: str) -> Callback | None:
    """What is told `(sent, received, total)` in bytes, or None for nobody.

    `progress` is a callable, False for nothing, or None for a bar where somebody can see it.
    """
    chosen: Callback | None = _chosen(progress, label, NotebookBar, Bar)
    return chosen


def open_watch(progress: Any, label: str) -> Watcher | None:
    """What is told `(seconds, what)` a few times a second while something takes its time, or None for nobody.

    `progress` is a callable, False for nothing, or None for a line where somebody can see it.
    """
    chosen: Watcher | None = _chosen(progress, label, NotebookWatch, Watch)
    return chosen


def limited(what: str, seconds: float) -> Watcher | bool:
    """For `progress` of a call that may take so long: a line that says so where somebody can see it, or nothing."""
    return open_watch(None, f"{what} (at most {spoken(seconds)})") or False


@contextmanager
def during(what: str, seconds: float | None = None) -> Iterator[None]:
    """While something takes its time and tells nothing of it: after two seconds a terminal shows for how long by now,
    drawn anew each second. `seconds` is the most that it takes, where that is known.
    """
    if "pytest" in sys.modules or not sys.stderr.isatty():
        yield
        return
    began, over = time.monotonic(), threading.Event()
    limit = "no answer yet" if seconds is None else f"at most {spoken(seconds)}"

    def tell() -> None:
        if over.wait(BEFORE_A_LINE):
            return
        watch = Watch(visible.line(what))
        watch(time.monotonic() - began, limit)
        while not over.wait(1.0):
            watch(time.monotonic() - began, limit)
        watch.close()

    thread = threading.Thread(target=tell, name="holdfast-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def spoken(seconds: float) -> str:
    """How long something takes, as people say it.

    >>> spoken(4.2), spoken(90), spoken(900), spoken(7320)
    ('4 s', '1 min 30 s', '15 min', '2 h 2 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    small = f"{minutes} min" if hours else f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{hours} h {small}" if hours and minutes else f"{hours} h" if hours else small


def _chosen(progress: Any, label: str, notebook: type, terminal: type) -> Any:
    if progress is False:
        return None
    if callable(progress):
        return progress
    if progress is None and "pytest" in sys.modules:
        return None
    if "ipykernel" in sys.modules:
        return notebook(label)
    return terminal(label) if progress is True or sys.stderr.isatty() else None


class NotebookWatch:
    """A bar that says what goes on and how long it has, and is full when it is over."""

    def __init__(self, label: str) -> None:
        shown: Any = import_module("IPython.display")  # it has no types
        self._html = shown.HTML
        self._label = label
        self._last = (0.0, "begins")
        self._handle = shown.display(self._html(self._drawing("")), display_id=True)

    def __call__(self, seconds: float, what: str) -> None:
        """Say it."""
        self._last = (seconds, what)
        self._handle.update(self._html(self._drawing("")))

    def close(self) -> None:
        """It is over."""
        self._handle.update(self._html(self._drawing('value="1" max="1"')))

    def _drawing(self, state: str) -> str:
        seconds, what = self._last
        label = escape(self._label)
        return f"<label>{label} <progress {state}></progress> {seconds:.0f} s: {escape(what)}</label>"


class Watch:
    """A line on a terminal."""

    def __init__(self, label: str) -> None:
        from rich.console import Console

        self._label = label
        self._status = Console(stderr=True).status(label)
        self._status.start()

    def __call__(self, seconds: float, what: str) -> None:
        """Say it."""
        from rich.markup import escape as plain

        self._status.update(f"{self._label}, {seconds:.0f} s: {plain(what)}")

    def close(self) -> None:
        """It is over, and the line goes."""
        self._status.stop()


class NotebookBar:
    """A bar that a notebook draws: HTML's own, which needs no widgets and stays in the saved notebook."""

    def __init__(self, label: str) -> None:
        shown: Any = import_module("IPython.display")  # it has no types
        self._html = shown.HTML
        self._label = label
        self._last = (0, 0)
        self._began = time.monotonic()
        self._drawn = 0.0
        self._handle = shown.display(self._html(self._drawing()), display_id=True)

    def __call__(self, sent: int, _received: int, total: int) -> None:
        """Move the bar; not more often than an eye can follow."""
        self._last = (sent, total)
        now = time.monotonic()
        if now - self._drawn >= REDRAW or sent == total:
            self._drawn = now
            self._handle.update(self._html(self._drawing()))

    def close(self) -> None:
        """Leave it as it is."""
        self._handle.update(self._html(self._drawing()))

    def _drawing(self) -> str:
        sent, total = self._last
        speed = sent / max(time.monotonic() - self._began, 0.001)
        amount = f"{sent / MEGA:.1f}/{total / MEGA:.1f} MB, {speed / MEGA:.1f} MB/s" if total else "…"
        label = escape(self._label)
        return f'<label>{label} <progress value="{sent}" max="{total or 1}">{amount}</progress> {amount}</label>'


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
