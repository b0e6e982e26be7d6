"""`--torpedo-plan` says what a run would do to which nodes, and does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.storage.scenario import Scenario

from conftest import RunSuite

CLUSTER = """provider: {kind: csi, filesystems: [ext4], fencing: driver}
runner: {kind: kubernetes}
lab: {kind: cluster, kubeconfig: none-here, storage_class: mine, image: busybox, nodes: [first, second]}
faults: {power_off: ipmitool off, power_on: ipmitool on}
"""
# Of it, what harms nothing.
BARE = CLUSTER.partition("faults:")[0]


@pytest.mark.parametrize(("consent", "words"), [((), " if --torpedo-allow-disruption is said"), (("yes",), "")])
def test_what_would_harm_a_cluster_is_said_with_its_nodes(
    consent: tuple[str, ...], words: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(CLUSTER, encoding="utf-8")
    more = ["--torpedo-allow-disruption"] if consent else []
    found = run_suite("-k", "torpedo_5_ or torpedo_7_ or torpedo_2_", "--provider", str(file), "--torpedo-plan", *more)
    assert found.exit_code == 0, found.output
    assert "which is not this machine, the nodes first, second:" in found.output
    assert f"T5   node powered off               runs{words}; it does power_off" in found.output
    assert "T7   node partitioned               NotRun: the provider file has no command faults: cut" in found.output
    assert "T2   uneven mounts                  runs\n" in found.output
    assert "nothing was done" in found.output


def planned(suite: RunSuite, folder: Path, chosen: str, text: str) -> list[str]:
    """The lines of a plan."""
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    found = suite("-k", chosen, "--provider", str(file), "--torpedo-plan", "--torpedo-allow-disruption")
    assert found.exit_code == 0, found.output
    return [line.strip() for line in found.output.splitlines()]


def test_a_variant_that_is_not_chosen_does_nothing(run_suite: RunSuite) -> None:
    found = run_suite("-k", "torpedo_3_ and kill_plugin", "--provider", "nbd", "--torpedo-plan")
    assert "runs; it does kill_plugin\n" in found.output, found.output


ALL_OF_IT = """
faults:
  live_restore_on: a
  live_restore_off: b
  kill_runtime: c
  start_runtime: d
  power_off: e
  power_on: f
  cut: g
  heal: h
"""


def test_all_that_a_scenario_does_is_said_and_what_else_it_changes_in_a_cluster(
    run_suite: RunSuite, tmp_path: Path
) -> None:
    text = BARE.replace("nodes: [first, second]", "tester: 192.0.2.1, selector: 'disk=fast'")
    chosen = "torpedo_5_ or torpedo_7_ or torpedo_10_ or torpedo_24_"
    lines = planned(run_suite, tmp_path, chosen, text + ALL_OF_IT)
    assert "T10  runtime crash, live restore    runs; it does live_restore_on, kill_runtime" in lines
    assert any("all nodes with disk=fast that are Ready" in line for line in lines)
    assert "makes a namespace, with claims, pods and config maps in it" in lines
    assert "cordons the node that is drained, in T24" in lines
    assert "gives the lost node the taint out-of-service, in T5: every pod there ends" in lines
    assert "removes the VolumeAttachments of its own volumes to the lost node, in T7" in lines
    assert not any("DaemonSet" in line for line in lines)


def test_a_scenario_that_cannot_do_all_of_its_harm_is_planned_to_do_none(run_suite: RunSuite, tmp_path: Path) -> None:
    text = BARE.replace("nodes: [first, second]", "tester: 192.0.2.1")
    some = "faults: {live_restore_on: a, live_restore_off: b, kill_api_server: c, start_api_server: d}\n"
    lines = planned(run_suite, tmp_path, "torpedo_10_ or torpedo_23_", text + some)
    assert "T10  runtime crash, live restore    NotRun: the provider file has no command faults: kill_runtime" in lines
    assert "T23  control plane down             NotRun: the provider file has no command faults: kill_etcd" in lines


@pytest.mark.parametrize(
    ("recovery", "said"),
    [
        ("wait", []),
        ("force", ["removes the VolumeAttachments of its own volumes to the lost node, in T5, T7"]),
        ("taint", ["gives the lost node the taint out-of-service, in T5: every pod there ends"]),
    ],
)
def test_a_plan_says_how_a_volume_is_taken_from_a_lost_node(
    recovery: str, said: list[str], run_suite: RunSuite, tmp_path: Path
) -> None:
    text = BARE.replace("kind: kubernetes", f"kind: kubernetes, recovery: {recovery}")
    lines = planned(run_suite, tmp_path, "torpedo_5_ or torpedo_7_", text + ALL_OF_IT)
    told = [line for line in lines if "VolumeAttachments" in line or ("taint" in line and "recovery" not in line)]
    assert told == said


def test_agents_are_said_to_be_made(run_suite: RunSuite, tmp_path: Path) -> None:
    text = BARE.replace("image: busybox", "image: busybox, node_access: daemonset")
    lines = planned(run_suite, tmp_path, "torpedo_7_", text)
    assert "makes a DaemonSet, whose privileged pods harm their nodes" in lines
    assert "T7   node partitioned               runs; it does cut" in lines


def test_no_scenario_does_what_no_plan_says() -> None:
    scenario = object.__new__(Scenario)
    scenario.name = "T5"
    with pytest.raises(AssertionError, match="T5 does kill_etcd, which no plan says"):
        scenario.harm("node1", "kill_etcd")


def test_a_lab_of_this_machine_harms_nobody_else(run_suite: RunSuite) -> None:
    found = run_suite("-k", "torpedo_3_", "--provider", "nbd", "--torpedo-plan")
    assert found.exit_code == 0, found.output
    assert "in namespaces of this machine" in found.output
    assert "it does stop_plugin, kill_plugin, hang_plugin\n" in found.output


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
