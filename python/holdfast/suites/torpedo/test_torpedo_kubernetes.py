"""Kubernetes' own scenarios: its parts fail, and no volume may notice. Other runners have none of them.

They answer what is met there: a kubelet that restarts while a pod is deleted leaves a mount behind, or a volume that
no other node gets; one that restarts under a pod unmounts what that writes on; and where the control plane is away,
nothing that runs may end.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast import waiting
from holdfast._core import StorageTask
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
        early = waiting.until(lambda: any(end.done() for end in ending), torpedo.limits.pause)
        torpedo.expect(not early, "a pod ended, though its kubelet was dead")
        torpedo.undo()
        for end in ending:
            with torpedo.blaming("a pod does not end"):
                end.result()
    torpedo.expect_nothing_left()

    again = []
    for task in tasks:
        torpedo.expect_whole(task.volume, second)
        again.append(torpedo.run(task.volume, second, task.stage))
    torpedo.expect_progress(again)
    torpedo.finish(again)
    for task in again:
        torpedo.expect_whole(task.volume, second)
    torpedo.expect_nothing_left()


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
    first = torpedo.nodes[0]
    tasks = torpedo.start(first)
    before = [task.acknowledged for task in tasks]

    torpedo.harm(first, "kill_api_server", undo="start_api_server", under=tasks)
    torpedo.harm(first, "kill_etcd", undo="start_etcd")
    torpedo.sit(tasks, torpedo.limits.pause * 3)
    torpedo.expect_progress(tasks)
    torpedo.undo()

    _expect_unnoticed(torpedo, tasks, before, torpedo.other_node())


def _expect_unnoticed(torpedo: Scenario, tasks: Sequence[StorageTask], before: Sequence[int], node: str) -> None:
    """No task noticed anything since it had so many acknowledgements, and each volume is whole on a node after it."""
    torpedo.expect_progress(tasks)
    torpedo.expect_undisturbed(tasks, before)
    torpedo.finish(tasks)
    for task in tasks:
        torpedo.expect_whole(task.volume, node)
    torpedo.expect_nothing_left()


@pytest.mark.torpedo("T24")
def test_torpedo_24_drain_under_write(torpedo: Scenario) -> None:
    torpedo.need_second_node()
    first, second = torpedo.nodes[:2]
    tasks = torpedo.start(first)

    torpedo.harm(first, "drain", undo="uncordon", under=tasks)
    for task in tasks:
        torpedo.expect_dead(task)
    torpedo.expect_nothing_left()
    moved = []
    for task in tasks:
        torpedo.expect_whole(task.volume, second)
        moved.append(torpedo.run(task.volume, second, task.stage))
    torpedo.undo()

    torpedo.settle(tasks, moved)
