"""`--torpedo-plan` says what a run would do to which nodes, and does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import RunSuite

CLUSTER = """provider: {kind: csi, filesystems: [ext4], fencing: driver}
runner: {kind: kubernetes}
lab: {kind: cluster, kubeconfig: none-here, storage_class: mine, image: busybox, nodes: [first, second]}
faults: {power_off: ipmitool off, power_on: ipmitool on}
"""


@pytest.mark.parametrize(("consent", "words"), [((), " if --torpedo-allow-disruption is said"), (("yes",), "")])
def test_what_would_harm_a_cluster_is_said_with_its_nodes(
    consent: tuple[str, ...], words: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(CLUSTER, encoding="utf-8")
    more = ["--torpedo-allow-disruption"] if consent else []
    found = run_suite("-k", "torpedo_5_ or torpedo_7_ or torpedo_2_", "--provider", str(file), "--torpedo-plan", *more)
    assert found.exit_code == 0, found.output
    assert "on the nodes first, second of the cluster of " in found.output
    assert "which is not this machine" in found.output
    assert f"T5   node powered off               runs{words}; it does power_off" in found.output
    assert "T7   node partitioned               NotRun: the provider file has no command faults: cut" in found.output
    assert "T2   uneven mounts                  runs\n" in found.output
    assert "nothing was done" in found.output


def test_a_lab_of_this_machine_harms_nobody_else(run_suite: RunSuite) -> None:
    found = run_suite("-k", "torpedo_3_", "--provider", "nbd", "--torpedo-plan")
    assert found.exit_code == 0, found.output
    assert "in namespaces of this machine" in found.output
    assert "it does stop_plugin, kill_plugin, hang_plugin, kill_server" in found.output


def test_the_emulated_provider_has_no_node(run_suite: RunSuite) -> None:
    found = run_suite("-k", "torpedo_10_ or torpedo_9_", "--torpedo-plan")
    assert found.exit_code == 0, found.output
    assert "plan for the EMULATED provider" in found.output
    assert "T9, T10" in found.output


@pytest.mark.parametrize(("plan", "chosen"), [("--torpedo-plan", "torpedo_10_"), ("--dut-plan", "cntr3_1")])
@pytest.mark.parametrize("workers", [("-n", "2"), ("-n2", "--dist", "loadfile"), ("--tx", "2*popen", "--dist", "load")])
def test_a_plan_runs_nothing_with_workers_either(
    plan: str, chosen: str, workers: tuple[str, ...], run_suite: RunSuite
) -> None:
    found = run_suite("-k", chosen, plan, *workers)
    assert found.exit_code == pytest.ExitCode.USAGE_ERROR, found.output
    assert f"{plan} says what would run, in one process" in found.output
    assert "-n 0" in found.output
    assert not found.cases


@pytest.mark.parametrize(("plan", "chosen"), [("--torpedo-plan", "torpedo_10_"), ("--dut-plan", "cntr3_1")])
def test_a_plan_is_told_where_no_workers_are_asked_for(plan: str, chosen: str, run_suite: RunSuite) -> None:
    found = run_suite("-k", chosen, plan, "-n", "0")
    assert found.exit_code == 0, found.output
    assert "plan for the EMULATED" in found.output
    assert "nothing was done" in found.output
