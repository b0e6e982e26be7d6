"""Tests of suites that come to one verdict each, as cases: for the same table, page, comparison and artifacts."""

from __future__ import annotations

import json

import pytest

from holdfast.pytest_plugin import artifacts
from holdfast.pytest_plugin.case import KEPT
from holdfast.render import junit
from holdfast.verdicts import FAIL, NOT_CHECKED, PASS, PROCEDURE, CaseRecord, Step, store


def annotate_cni(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Put a scenario of a pod's network on its report, and keep it."""
    if report.when != "call" and not (report.when == "setup" and not report.passed):
        return
    runtime = getattr(getattr(item, "callspec", None), "id", "by hand")
    began = report.when == "call"
    declared = item.get_closest_marker("cni")
    case = CaseRecord(
        plan_id=str(declared.args[0]) if declared is not None and declared.args else item.name,
        test=item.name,
        device=f"CNI, {runtime}",
        outcome=report.outcome if began or report.skipped else "error",
        suite="cni",
        steps=(_step(call, report),) if began else (),
        why="" if report.passed or (began and report.failed) else artifacts.reason(report),
    )
    artifacts.keep_case(item, case)
    if began:
        item.user_properties.extend(junit.properties(case, item.name))
        report.user_properties.append((KEPT, json.dumps(store.encode(case))))


def _step(call: pytest.CallInfo[None], report: pytest.TestReport) -> Step:
    name, seconds = "the scenario", call.duration
    if hasattr(report, "wasxfail"):
        return Step(PROCEDURE, name, NOT_CHECKED, f"a known defect: {report.wasxfail}", seconds)
    if report.skipped:
        return Step(PROCEDURE, name, NOT_CHECKED, artifacts.reason(report), seconds)
    if call.excinfo is not None:
        return Step(PROCEDURE, name, FAIL, call.excinfo.exconly(), seconds)
    return Step(PROCEDURE, name, PASS, seconds=seconds)
