"""Kubernetes' own scenarios: its parts fail, and no volume may notice. Other runners have none of them.

They answer what is met there: a kubelet that restarts while a pod is deleted leaves a mount behind, or a volume that
no other node gets; one that restarts under a pod unmounts what that writes on; and where the control plane is away,
nothing that runs may end.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from holdfast import waiting
from holdfast._core import StorageTask
from holdfast.storage import failover, keeping
from holdfast.storage.account import ScenarioNotRun
from holdfast.storage.scenario import Scenario
from holdfast.suites.torpedo.lab import torpedo

__all__ = ["torpedo"]  # a fixture
pytestmark = pytest.mark.torpedo_runner("kubernetes")


@pytest.mark.torpedo("T21")
def test_torpedo_21_kubelet_down_task_ends(torpedo: Scenario) -> None:
    torpedo.need_second_node()
    first, second = torpedo.nodes[:2]
    tasks = torpedo.start(first)

    torpedo.harm(first, "kill_kubelet", undo="start_kubelet", under=tasks)
    with ThreadPoolExecutor(len(tasks)) as pool:
        # their pods are deleted under write, and end once the kubelet is there again
        ending = [pool.submit(torpedo.lab.release, task, timeout=torpedo.limits.deadline) for task in tasks]
        try:
            early = waiting.until(lambda: any(map(_is_over, ending)), torpedo.limits.pause)
            torpedo.expect(not early, "a pod ended, though its kubelet was dead")
        finally:
            torpedo.undo()  # else nobody would see the end of the others
        for end in ending:
            with torpedo.blaming("a pod does not end"):
                end.result()
    torpedo.expect_nothing_left()

    torpedo.expect_all_whole(tasks, second)
    again = failover.run_again(torpedo, tasks, second)
    torpedo.expect_progress(again)
    torpedo.finish(again)
    torpedo.expect_all_whole(again, second)
    torpedo.expect_nothing_left()


def _is_over(ending: Future[None]) -> bool:
    """Whether a pod has ended: not whether asking for its end has failed."""
    return ending.done() and ending.exception() is None


@pytest.mark.torpedo("T22")
def test_torpedo_22_kubelet_down(torpedo: Scenario) -> None:
    first = torpedo.nodes[0]
    tasks = torpedo.start(first)
    before = [task.acknowledged for task in tasks]

    torpedo.harm(first, "kill_kubelet", undo="start_kubelet", under=tasks)
    torpedo.sit(tasks, torpedo.limits.pause)
    torpedo.undo()

    _expect_unnoticed(torpedo, tasks, before, first)


@pytest.mark.torpedo("T23")
def test_torpedo_23_control_plane_down(torpedo: Scenario) -> None:
    torpedo.need_fault("kill_api_server", "start_api_server", "kill_etcd", "start_etcd")
    first = torpedo.nodes[0]
    tasks = torpedo.start(first)
    before = [task.acknowledged for task in tasks]

    torpedo.harm(first, "kill_api_server", undo="start_api_server", under=tasks)
    torpedo.harm(first, "kill_etcd", undo="start_etcd")
    torpedo.sit(tasks, torpedo.limits.pause * 3)
    torpedo.expect_progress(tasks)
    torpedo.undo()
    # its controllers find their way again before they move a volume: at load 25 that took longer than a call may
    torpedo.limits = replace(torpedo.limits, call=torpedo.limits.deadline)

    _expect_unnoticed(torpedo, tasks, before, torpedo.other_node())


def _expect_unnoticed(torpedo: Scenario, tasks: Sequence[StorageTask], before: Sequence[int], node: str) -> None:
    """No task noticed anything since it had so many acknowledgements, and each volume is whole on a node after it."""
    torpedo.expect_progress(tasks)
    torpedo.expect_undisturbed(tasks, before)
    torpedo.finish(tasks)
    torpedo.expect_all_whole(tasks, node)
    torpedo.expect_nothing_left()


@pytest.mark.torpedo("T24")
def test_torpedo_24_drain_under_write(torpedo: Scenario) -> None:
    torpedo.need_second_node()
    first, second = torpedo.nodes[:2]
    tasks = torpedo.start(first)

    late = torpedo.ends_at_hand_over  # else it is the hand-over that ends the writers, and not the drain
    moved = keeping.hand_over(torpedo, tasks, second) if torpedo.lab.keeps_tasks and not late else []
    torpedo.harm(first, "drain", undo="uncordon", under=tasks)
    if late:
        moved = keeping.hand_over(torpedo, tasks, second)
    for task in tasks:
        torpedo.expect_dead(task)
    if moved:
        keeping.expect_running(torpedo, moved, torpedo.limits.deadline)
    else:
        torpedo.expect_nothing_left()
        torpedo.expect_all_whole(tasks, second)
        moved = failover.run_again(torpedo, tasks, second)
    torpedo.undo()

    failover.settle(torpedo, tasks, moved)


@pytest.mark.torpedo("T25")
def test_torpedo_25_statefulset_node_partitioned(torpedo: Scenario) -> None:
    torpedo.need_second_node()
    torpedo.need("Fence")
    if torpedo.ends_at_hand_over:
        raise ScenarioNotRun("tasks are of a Deployment here, which may run two at once: give workload: statefulset")
    first, second = torpedo.nodes[:2]
    tasks = torpedo.start(first, kept=True)

    torpedo.harm(first, "cut", undo="heal", under=tasks)
    moved = keeping.hand_over(torpedo, tasks, second)
    keeping.expect_one_writer(moved)
    keeping.take_over(torpedo, tasks, moved)
    torpedo.undo()

    torpedo.expect_errors(tasks)
    torpedo.expect_progress(moved)
    for task in tasks:
        task.stop(kill=True)
    failover.settle(torpedo, tasks, moved)
