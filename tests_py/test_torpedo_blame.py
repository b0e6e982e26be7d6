"""Who is to blame where a cluster does its part and a pod does not end, and where its control plane was harmed."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.exceptions import ExpectationFailed, HoldfastError, LabError, Timeout
from holdfast.storage.account import Limits, ScenarioInconclusive
from holdfast.storage.report import ScenarioOutcome
from holdfast.storage.scenario import Scenario

from torpedo_labs import ScriptedLab

LIMITS = Limits(deadline=1, call=1, pause=1, settle=1, enough=1)


def scenario(lab: ScriptedLab) -> Scenario:
    """One of somebody's own, which may do any harm."""
    return Scenario(lab, "own", LIMITS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fault", "error", "means"),
    [
        ("drain", Timeout("the end of the Pod x did not come in time"), ExpectationFailed),
        ("drain", LabError("evict a Pod: no answer in time"), ScenarioInconclusive),
        ("power_off", Timeout("the node is there still"), ScenarioInconclusive),
    ],
)
def test_a_pod_that_does_not_end_is_not_the_drain_s_fault(
    fault: Any, error: HoldfastError, means: type[Exception]
) -> None:
    lab = ScriptedLab(fails={fault: error})
    with pytest.raises(means):
        scenario(lab).harm("node1", fault, undo="uncordon")
    assert lab.done == [fault, "uncordon"], "what may be done by half is undone"


def test_a_control_plane_that_was_harmed_is_back_before_anybody_is_blamed() -> None:
    lab = ScriptedLab(silent_after="kill_api_server", until="start_api_server")
    outcome = ScenarioOutcome(scenario(lab))
    outcome.scenario.harm("node1", "kill_api_server", undo="start_api_server")
    assert lab.trouble() is not None
    outcome.judge(ExpectationFailed("a task on node1 got an error"))
    assert outcome.verdict == "Fail"


def test_one_that_fell_silent_by_itself_is_trouble() -> None:
    lab = ScriptedLab(silent_after="kill_plugin", until="never")
    outcome = ScenarioOutcome(scenario(lab))
    outcome.scenario.harm("node1", "kill_plugin", undo="start_plugin")
    outcome.judge(ExpectationFailed("a task on node1 got an error"))
    assert outcome.verdict == "Inconclusive"
