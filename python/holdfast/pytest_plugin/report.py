"""What a run prints: which device, and for each case how long it was away, what was checked and what was not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast.pytest_plugin import options


def install(config: pytest.Config) -> None:
    """Report on this run, in the process that prints."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(), "holdfast-report")


class Reporter:
    """The header and the summary."""

    def __init__(self) -> None:
        self._cases: list[dict[str, Any]] = []

    @pytest.hookimpl
    def pytest_report_header(self, config: pytest.Config) -> str:
        """Which device."""
        from holdfast.pytest_plugin import run

        address = options.value(config, "dut")
        if options.flag(config, "dut-plan"):
            return "holdfast: a plan; no device is reached"
        if address is None:
            return "holdfast: EMULATED dual-supervisor device, in this process"
        device = run.connect(config, address)
        line = run.describe(device, device.control_processors())
        device.close()
        doubt = " (NOT VERIFIED: --dut-skip-verify)" if options.flag(config, "dut-skip-verify") else ""
        return f"holdfast: {line}{doubt}"

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a case's account."""
        properties = dict(report.user_properties)
        if report.when == "call" and "plan_id" in properties:
            self._cases.append({**properties, "outcome": report.outcome})

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """A line for each case, and what could not be checked."""
        if not self._cases:
            return
        write = terminalreporter.write_line
        terminalreporter.section("holdfast")
        write(str(self._cases[0]["device"]))
        write(f"{'case':<10} {'procedure':<10} {'depth':<6} {'away':<16} checked")
        for case in self._cases:
            outages = json.loads(case["outages"])
            away = " + ".join(f"{seconds:.2f} s" for seconds in outages) or "never"
            checked, unchecked = json.loads(case["checked"]), json.loads(case["not_checked"])
            write(f"{case['plan_id']:<10} {case['procedure']:<10} {case['depth']:<6} {away:<16} {len(checked)} steps")
            for line in unchecked:
                write(f"{'':<10} not checked: {line}")
            for line in json.loads(case["failures"]):
                write(f"{'':<10} {line.splitlines()[0]}")
