"""What a run prints: which device, and for each case how long it was away, what was checked and what was not."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast.exceptions import HoldfastError, InvalidArgumentError
from holdfast.pytest_plugin import artifacts, ending, not_run, options, reasons, soak, targets
from holdfast.pytest_plugin.case import KEPT
from holdfast.pytest_plugin.reasons import Reasons
from holdfast.render import lines, terminal
from holdfast.testbed import Target
from holdfast.verdicts import CaseRecord, store

# The marks of cases.
MARKERS = frozenset(options.SUITE_NAMES)


def install(config: pytest.Config, *, devices: bool) -> None:
    """Report on this run, in the process that prints; `devices` are told in its header."""
    if not hasattr(config, "workerinput"):
        if devices:
            config.pluginmanager.register(Header(), "holdfast-report")
        config.pluginmanager.register(Summary(config), "holdfast-summary")
        reasons.install(config)
        if options.value(config, "dut-report"):
            config.pluginmanager.register(Page(config), "holdfast-page")


class Page:
    """`--dut-report`: the page, once all is over."""

    def __init__(self, config: pytest.Config) -> None:
        self._file = Path(options.value(config, "dut-report"))
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if artifacts.place(config) is None:
            self._folder = tempfile.TemporaryDirectory(prefix="holdfast-report-")
            config.stash[artifacts.FOLDER] = self._folder.name

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Write it, and say where it is."""
        from holdfast.report.account import read_session

        try:
            found = read_session(Path(str(artifacts.place(config))), artifacts.session(config))
            if not found.cases:
                terminalreporter.write_line(f"no report {self._file}: no case ran, and it would be about cases")
                return
            found.write(self._file)
        except (InvalidArgumentError, OSError) as error:  # the verdicts do not depend on it
            terminalreporter.write_line(f"no report {self._file}: {error}")
        else:
            terminalreporter.write_line(f"report: {self._file}")

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """Remove what nobody asked for."""
        if self._folder is not None:
            self._folder.cleanup()


class Header:
    """The first lines of a run."""

    @pytest.hookimpl
    def pytest_report_header(self, config: pytest.Config) -> str:
        """Which device."""
        if options.flag(config, "dut-plan"):
            return "holdfast: a plan; no failover is made"
        lines = filter(None, (*_headers(config), soak.header(config)))
        return "\n".join(f"holdfast: {line}" for line in lines)


class Summary:
    """The last lines of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._cases: list[CaseRecord] = []
        # Why cases did not begin, and how many of each.
        self._skipped: Counter[str] = Counter()
        self._not_run = not_run.Account()

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a case's account."""
        if report.when == "setup" and report.skipped and MARKERS & set(report.keywords):
            reason = artifacts.reason(report)
            if not self._not_run.add(report, reason):
                self._skipped[reason] += 1
        stored = dict(report.user_properties).get(KEPT)
        if report.when == "call" and stored is not None:
            case = store.decode(json.loads(str(stored)))
            self._cases.append(case)
            if report.failed and isinstance(report.longrepr, str):
                report.longrepr = Reasons(report.longrepr, terminal.where(case))  # type: ignore[assignment]

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """A line for each case, what could not be checked, and why others did not begin."""
        skips = {} if "s" in terminalreporter.reportchars else self._skipped  # pytest shows them itself
        if not (self._cases or skips or self._not_run):
            return
        terminalreporter.write_sep("=", "holdfast")
        skipped = (f"{count} skipped: {why}" for why, count in skips.items())
        for line in (*self._tables(), *self._not_run.lines(), *self._rounds(), *skipped):
            terminalreporter.write_line(line)
        if any(case.failures for case in self._cases) and not self._shows_timelines():
            terminalreporter.write_line("timelines: -v shows them; --dut-artifacts DIR and --dut-report FILE keep them")

    def _tables(self) -> Iterator[str]:
        for device in dict.fromkeys(case.device for case in self._cases):
            yield from lines.unindented(device, lines.width_of_terminal())
            own = [case for case in self._cases if case.device == device]
            if all(case.suite in options.NUMBERED_SUITES for case in own):
                own.sort(key=lambda case: (case.round or 0, case.plan_id))  # workers end in any order
            yield from terminal.table(own, self._paint, reasons_above=True, width=lines.width_of_terminal())

    def _rounds(self) -> Iterable[str]:
        if all(case.round is None for case in self._cases):
            return ()
        from holdfast.report import soak

        return soak.summary(self._cases)

    def _paint(self, text: str, failed: bool) -> str:
        return self._config.get_terminal_writer().markup(text, red=True, bold=True) if failed else text

    def _shows_timelines(self) -> bool:
        kept = any(options.value(self._config, name) for name in ("dut-artifacts", "dut-report"))
        return kept or self._config.get_verbosity() > 0


def _headers(config: pytest.Config) -> list[str]:
    """A line for each device; those that are real are asked, side by side."""
    known = targets.of(config)
    with ThreadPoolExecutor(max_workers=min(16, len(known))) as pool:
        lines = list(pool.map(lambda target: _header(config, target, alone=len(known) == 1), known))
    trigger = options.value(config, "dut-trigger")
    return [*lines, f"the active control processor fails by {trigger}"] if trigger else lines


def _header(config: pytest.Config, target: Target, *, alone: bool) -> str:
    if (why := not_run.why(config, target)) is not None:
        return f"device {target.name}: NotRun: {why}"
    if not_run.reached_elsewhere(config, target):
        return f"device {target.name}: by worker {' or '.join(target.workers)}"
    if target.emulated:
        ways = "" if target.profile in ("generic", "auto") else f", playing {target.profile}"
        return f"EMULATED dual-supervisor device{' ' * bool(target.name)}{target.name}, in this process{ways}"
    from holdfast import profiles
    from holdfast.pytest_plugin import reach

    try:
        device, profile = reach.connect(config, target)
        with device:
            line = reach.describe(device, profiles.shown(device), profile)
    except HoldfastError as error:
        if alone:
            ending.refuse(config, error, begun=False)
        return f"device {target.name}: {error.message}"
    doubt = " (NOT VERIFIED: skip_verify)" if target.tls is not None and target.tls.skip_verify else ""
    return line + doubt
