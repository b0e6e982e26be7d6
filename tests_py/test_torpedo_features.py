"""Expansion, snapshots, copies, devices and statistics by CSI's calls: healthy ways, and answers that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import storage
from holdfast.exceptions import InvalidArgument
from holdfast.storage.account import Limits, ScenarioNotRun
from holdfast.storage.scenario import Scenario
from holdfast.suites.torpedo.test_torpedo_features import _devices

from conftest import RunSuite
from test_torpedo import FEATURES, verdicts

SCENARIOS = " or ".join(f"torpedo_{name[1:]}_" for name in sorted(FEATURES))
# In which scenarios who is in a healthy way is not asked, and what is said of it.
NOT_RUN = {"node-topology": ({"T14"}, "a volume for node1 is accessible from node1 alone")}
# What is listed as not checked.
NOT_CHECKED = {"expands-offline": "an expansion under write"}


@pytest.mark.parametrize("name", ["expands-offline", "snapshots-settle", "node-topology", "one-controller", "no-stage"])
def test_who_is_in_a_healthy_way_passes_or_is_not_asked(name: str, run_suite: RunSuite) -> None:
    run = run_suite("-k", SCENARIOS, "--torpedo-face", "csi", "--torpedo-personality", name, "-n", "2")
    assert run.exit_code == 0, run.output
    unasked, reason = NOT_RUN.get(name, (set(), ""))
    for scenario, ((verdict, why),) in verdicts(run).items():
        assert verdict == ("NotRun" if scenario in unasked else "Pass"), (scenario, why)
        assert reason in why if scenario in unasked else True
    assert NOT_CHECKED.get(name, "") in run.output


def test_a_snapshot_that_settles_is_asked_for_until_it_is_ready(run_suite: RunSuite) -> None:
    run = run_suite(
        "-k", "torpedo_12_", "--torpedo-face", "csi", "--torpedo-personality", "snapshots-settle",
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    (calls,) = [line for line in run.output.splitlines() if line.startswith("CreateSnapshot:")]
    assert int(calls.split("; ")[1].split()[0]) >= 4 * 4, calls


def test_who_gives_no_devices_is_not_asked_though_it_gave_other_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a driver with a topology, which is asked for a volume to know who else can have it."""
    lab = storage.emulated()
    try:
        scenario = Scenario(lab, "T14", Limits(deadline=4, call=4, pause=1, settle=1, enough=1))
        scenario.create("node1")
        make = scenario.create

        def refusing(*arguments: Any, block: bool = False, **named: Any) -> Any:
            if block:
                raise InvalidArgument("mounts alone")
            return make(*arguments, **named)

        monkeypatch.setattr(scenario, "create", refusing)
        with pytest.raises(ScenarioNotRun, match="gives no devices: mounts alone"):
            _devices(scenario, "node1", 4)
    finally:
        lab.close()
