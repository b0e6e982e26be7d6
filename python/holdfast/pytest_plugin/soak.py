"""A soak while it runs: its page, written anew as rounds go by, and the rule that ends it after failures."""

from __future__ import annotations

import json
import shlex
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from holdfast.pytest_plugin import failures, options, rounds
from holdfast.pytest_plugin.case import KEPT
from holdfast.verdicts import CaseRecord, store

# From one writing of the page to the next, in seconds at least, and as a share of the time that it takes.
PAUSE, SHARE = 5.0, 20


def is_soak(config: pytest.Config) -> bool:
    """Whether cases run more than once."""
    return len(rounds.collected(config)) > 0


def install(config: pytest.Config) -> None:
    """Count failures in every process, and write the page in the one that prints."""
    if is_soak(config) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(rounds.of(config), "holdfast-rounds")
    if options.value(config, "dut-stop-after-failures"):
        config.pluginmanager.register(failures.of(config), "holdfast-failures")
    if options.value(config, "dut-soak-report") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(RunningPage(config), "holdfast-soak-page")


def header(config: pytest.Config) -> str:
    """What to tell of a soak before it begins; empty where there is none."""
    if not is_soak(config):
        return ""
    kept = options.value(config, "dut-artifacts")
    doubt = "" if kept else "; nothing of it is left if it is killed: --dut-artifacts DIR keeps each case as it ends"
    return f"a soak: {rounds.words(config)}{doubt}"


def _made_again(page: Path, kept: str | None) -> str:
    """What to say of a page that nobody may write any more."""
    left = "nothing of it is kept: --dut-artifacts DIR keeps each case as it ends"
    if kept:
        left = f"`holdfast report {shlex.quote(kept)} --soak -o {shlex.quote(str(page))}` makes it of what was kept"
    return f"A run that was killed writes this page no more; {left}."


class RunningPage:
    """`--dut-soak-report`: written anew while rounds go by, each time as a whole, and once more at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._file = Path(options.value(config, "dut-soak-report"))
        self._words = rounds.words(config)
        self._again = _made_again(self._file, options.value(config, "dut-artifacts"))
        self._cases: list[CaseRecord] = []
        self._begun = datetime.now(timezone.utc)
        self._next = 0.0
        self._trouble: str | None = None

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A case has ended."""
        stored = dict(report.user_properties).get(KEPT)
        if report.when != "call" or stored is None:
            return
        ended = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._cases.append(store.decode({**json.loads(str(stored)), "ended": ended}))
        if time.monotonic() >= self._next:
            self._write(running=True)

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write it a last time, and say where it is."""
        if not self._cases:
            terminalreporter.write_line(f"no page {self._file}: no case ran, and it would be about cases")
            return
        self._write(running=False)
        told = f"no page {self._file}: {self._trouble}" if self._trouble else f"soak: {self._file}"
        terminalreporter.write_line(told)

    def _write(self, *, running: bool) -> None:
        from holdfast.render import soak as page

        began = time.monotonic()
        since = f"{self._begun:%Y-%m-%d %H:%M} UTC"
        ran = f"It ran from {since} on, {self._words}."
        state = f"It runs {self._words}, since {since}. {self._again}" if running else ran
        try:
            store.write_whole(self._file, page.html(self._cases, state, running=running))
            self._trouble = None
        except OSError as error:  # the verdicts do not depend on it
            self._trouble = str(error)
        took = time.monotonic() - began
        self._next = began + max(PAUSE, SHARE * took)
