"""Why a case failed, as pytest shows it: the reasons once, and in its last lines where, in one line."""

from __future__ import annotations

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


def say_where(reporter: pytest.TerminalReporter) -> None:
    """Let pytest's last lines say where each case failed.

    What else reads a report (JUnit) has read it by now: it would take this one line for all there is.
    """
    for report in reporter.stats.get("failed", []):
        reasons = getattr(report, "longrepr", None)
        if isinstance(reasons, Reasons) and reasons.where:
            reasons.reprcrash = Where(reasons.where)  # type: ignore[attr-defined]
