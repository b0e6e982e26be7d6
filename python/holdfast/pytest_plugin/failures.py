"""`--dut-stop-after-failures`: how many cases of each device failed, and which devices are done with for that."""

from __future__ import annotations

from collections import Counter

import pytest

from holdfast.pytest_plugin import options, targets

_KEY = pytest.StashKey["Failures"]()


def of(config: pytest.Config) -> Failures:
    """Those of this process."""
    return config.stash.setdefault(_KEY, Failures(config))


class Failures:
    """How many cases of each device failed, and which devices are done with for that."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._most = int(options.value(config, "dut-stop-after-failures") or 0)
        self._counts: Counter[str] = Counter()
        self._counted: set[str] = set()

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count each test once, however it failed."""
        if report.failed and report.nodeid not in self._counted:
            self._counted.add(report.nodeid)
            self._counts[self._device(report.nodeid)] += 1

    def _device(self, nodeid: str) -> str:
        target = targets.of_nodeid(self._config, nodeid)
        return "" if target is None else target.name

    def why_stopped(self, nodeid: str) -> str | None:
        """Why no further test of its device runs; None where they do."""
        count = self._counts[self._device(nodeid)]
        if not self._most or count < self._most:
            return None
        return f"stopped after {count} failure{'s' * (count > 1)} (--dut-stop-after-failures)"
