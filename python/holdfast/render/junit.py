"""A case as properties of JUnit's report."""

from __future__ import annotations

import json
from collections.abc import Iterable

from holdfast import visible
from holdfast.verdicts import CaseRecord


def properties(case: CaseRecord, description: str) -> list[tuple[str, str]]:
    """The last four are as featureprofiles' own runs name them, for the dashboards that read those."""
    return [
        ("plan_id", case.plan_id),
        ("device", visible.line(case.device)),
        ("procedure", case.procedure),
        ("depth", case.depth),
        ("outages", json.dumps(case.outages)),
        ("checked", json.dumps(_short(case.checked))),
        ("not_checked", json.dumps(_short(case.not_checked))),
        ("noted", json.dumps(_short(case.noted))),
        *([] if case.round is None else [("round", str(case.round)), ("held", json.dumps(dict(case.held)))]),
        ("failures", json.dumps([str(step) for step in case.failures])),
        ("known_after", json.dumps([round(step.seconds, 3) for step in case.failures])),
        *([("why", visible.lines(case.why))] if case.why else []),
        ("test.plan_id", case.plan_id),
        ("test.description", description),
        ("dut.vendor", visible.line(case.vendor)),
        ("dut.os_version", visible.line(case.software)),
    ]


def _short(lines: Iterable[str]) -> list[str]:
    """For JSON, which escapes what does not print."""
    return [visible.short(line) for line in lines]
