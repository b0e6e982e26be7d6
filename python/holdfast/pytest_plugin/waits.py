"""What a long test waits for, and how long that may take: while it runs, for whoever watches.

On a terminal that is one line, drawn anew each second below what pytest wrote, and gone when the test goes on. Where
output is a file or a pipe, `-v` or `-s` gives a line after ten seconds and then one each minute. Neither is part of
what pytest captures, and a worker of pytest-xdist, which has no terminal, shows nothing.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import pytest

from holdfast import visible
from holdfast.progress import spoken
from holdfast.pytest_plugin import options, rounds
from holdfast.pytest_plugin.doing import Doing
from holdfast.pytest_plugin.plans import plan_of, round_of

# From a phase's beginning to the first line, and from one to the next, in seconds: on a terminal, and elsewhere.
ON_TERMINAL, ELSEWHERE = (2.0, 1.0), (10.0, 60.0)


def install(config: pytest.Config) -> None:
    """Watch over this run, in the process that runs and prints; not where nobody looks."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(config, "workerinput") or reporter is None:
        return
    is_open = config.getoption("capture", "fd") == "no" or bool(config.getini("log_cli"))
    live = sys.stdout.isatty() and not is_open and os.environ.get("TERM") != "dumb"
    if not live and config.get_verbosity() <= 0 and not is_open:
        return
    with suppress(OSError, ValueError, io.UnsupportedOperation):  # standard output is no file
        out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="replace")
        shown = OneLine(out, reporter) if live else Lines(out, reporter)
        config.pluginmanager.register(Waits(shown), "holdfast-waits")


class OneLine:
    """A line below the one that pytest writes, which is left as it was."""

    pace = ON_TERMINAL

    def __init__(self, out: TextIO, reporter: pytest.TerminalReporter) -> None:
        self._out, self._writer = out, reporter._tw
        self._drawn = False

    def show(self, text: str) -> None:
        """Draw it, or draw it anew."""
        begin = "\r\x1b[2K" if self._drawn else "\r\n"
        self._drawn = True
        self._out.write(begin + _cut(text, self._writer.fullwidth - 1))
        self._out.flush()

    def clear(self) -> None:
        """Remove it, and go back to where pytest goes on."""
        if self._drawn:
            column = self._writer.width_of_current_line % self._writer.fullwidth  # what is wider goes on below
            self._out.write("\r\x1b[2K\x1b[1A\r" + (f"\x1b[{column}C" if column else ""))
            self._out.flush()
        self._drawn = False

    def close(self) -> None:
        """The run is over."""
        self._out.close()


class Lines:
    """A line for each time, which stays."""

    pace = ELSEWHERE

    def __init__(self, out: TextIO, reporter: pytest.TerminalReporter) -> None:
        self._out, self._reporter = out, reporter
        self._began = False

    def show(self, text: str) -> None:
        """Write it, on a line of its own."""
        self._out.write(f"\n  {text}")
        self._out.flush()
        self._began = True

    def clear(self) -> None:
        """Have pytest go on in a new line, with the name of the test where it writes names."""
        if self._began:
            self._reporter.currentfspath = None
            if self._reporter.verbosity <= 0:
                self._out.write("\n")
                self._out.flush()
        self._began = False

    def close(self) -> None:
        """The run is over."""
        self._out.close()


class Waits:
    """Looks each second at what the test of ours that runs is about."""

    def __init__(self, shown: OneLine | Lines) -> None:
        self._shown = shown
        self._paused = threading.Event()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """While its device is reached, or its lab comes up."""
        with self._watched(item, "setup"):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """While it runs."""
        with self._watched(item, "the test"):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """While what it made is removed."""
        with self._watched(item, "clean-up"):
            return (yield)

    @pytest.hookimpl
    def pytest_enter_pdb(self) -> None:
        """Somebody types."""
        self._paused.set()
        self._shown.clear()

    @pytest.hookimpl
    def pytest_leave_pdb(self) -> None:
        """And types no more."""
        self._paused.clear()

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """The run is over."""
        self._shown.close()

    @contextmanager
    def _watched(self, item: pytest.Item, phase: str) -> Iterator[None]:
        if not options.is_ours(item):
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(item, phase, over), name="holdfast-waits", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._shown.clear()

    def _watch(self, item: pytest.Item, phase: str, over: threading.Event) -> None:
        began = time.monotonic()
        first, later = self._shown.pace
        pause = first
        while not over.wait(pause):
            pause = later
            if not self._paused.is_set():
                self._shown.show(told(item, phase, time.monotonic() - began))


def told(item: pytest.Item, phase: str, seconds: float) -> str:
    """What a test waits for, in a line; of a test that cannot be asked, what pytest does with it."""
    try:
        what = _of_device(item) or _of_lab(item) or phase
    except Exception:  # noqa: BLE001 - its device or lab is being closed; no verdict depends on this line
        what = phase
    return visible.line(f"{_named(item)}, {spoken(seconds)}: {what}")


def _named(item: pytest.Item) -> str:
    plan = next((found for suite in options.SUITE_NAMES if (found := item.get_closest_marker(suite))), None)
    name = str(plan.args[0]) if plan is not None and plan.args else item.name
    number = round_of(item)
    return name if number is None else f"{name}, round {number} ({rounds.words(item.config)})"


def _of_device(item: pytest.Item) -> str:
    run: Any = getattr(item, "funcargs", {}).get("holdfast_run")
    if run is None or not run.doing.step:
        return ""
    plan = plan_of(item)
    return step(run.doing, run.limits, reboots=bool(plan is not None and plan.kwargs.get("reboots")))


def step(doing: Doing, limits: Mapping[str, float], *, reboots: bool) -> str:
    """The step that a case is at, how long that may take, and what was seen last of its device.

    `limits` are those of `Device.deadlines`, in seconds; `reboots` says which of them holds for its failover.
    """
    if doing.step.startswith("failover: "):
        limit = limits["reboot"] if reboots else limits["ready"] + limits["switchover"]
    else:
        limit = limits["redundant" if doing.step.endswith("in step") else "verification"]
    return f"{doing.step} (at most {spoken(limit)})" + (f": {doing.seen}" if doing.seen else "")


def _of_lab(item: pytest.Item) -> str:
    scenario: Any = getattr(item, "funcargs", {}).get("torpedo")
    if scenario is None:
        return ""
    last = [event.text for event in scenario.lab.timeline()[-1:]]
    limit = f"tasks are to recover within {spoken(scenario.limits.deadline)}"
    return f"{limit}; last: {last[0]}" if last else limit


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"
