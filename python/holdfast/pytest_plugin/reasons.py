"""Why a case failed, as pytest shows it: the reasons once, and in its last lines where, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Where:
    """What pytest's last lines say of a failure, after the name of its test."""

    message: str


class Reasons:
    """All reasons of a failure, which pytest prints as they are."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self.where = where

    def __str__(self) -> str:
        return self._text

    def toterminal(self, tw: Any) -> None:
        """As it is."""
        tw.line(self._text)


class LastLines:
    """pytest's last lines, in which each case that failed has where, beside other tests too.

    pytest leaves out what has no room in 80 columns beside the name of its test, in a pipe as well; where it prints in
    colour it does not, and at a verbosity of 2 it leaves out nothing.
    """

    NAME = "holdfast-last-lines"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self) -> Iterator[None]:
        """Around pytest's own, which prints those lines once all others are done."""
        asked = self._config.option.verbose
        try:
            return (yield)
        finally:
            self._config.option.verbose = asked


class Before:
    """What is done right before pytest's last lines.

    What else reads a report (JUnit) has read it by now: it would take this one line for all there is.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Let each report say where."""
        ours = [getattr(report, "longrepr", None) for report in terminalreporter.stats.get("failed", [])]
        told = [reasons for reasons in ours if isinstance(reasons, Reasons) and reasons.where]
        for reasons in told:
            reasons.reprcrash = Where(reasons.where)  # type: ignore[attr-defined]
        if told and not self._config.get_terminal_writer().hasmarkup:
            self._config.option.verbose = max(self._config.option.verbose, 2)


def install(config: pytest.Config) -> None:
    """Let pytest's last lines say where each case failed, in the process that prints them."""
    plugins = config.pluginmanager
    if not plugins.has_plugin(LastLines.NAME):
        plugins.register(LastLines(config), LastLines.NAME)
        plugins.register(Before(config))
