"""Volumes that are taken from a node which cannot be asked, what tasks do on another, and the way back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from holdfast import waiting
from holdfast.exceptions import ExpectationFailed
from holdfast.storage import keeping, together

if TYPE_CHECKING:
    from holdfast._core import StorageTask
    from holdfast.storage.scenario import Scenario


def move(torpedo: Scenario, tasks: Iterable[StorageTask], node: str) -> list[StorageTask]:
    """Each task's volume is taken from its node, which cannot be asked, and its next life runs on another."""
    if torpedo.lab.keeps_tasks:
        return keeping.move(torpedo, tasks, node)
    seconds = torpedo.limits.deadline
    end = time.monotonic() + seconds

    def take(task: StorageTask) -> None:
        with torpedo.blaming(f"the task ({task.stage}) does not run on {node} within {seconds} s", ExpectationFailed):
            torpedo.lab.evict(task.volume, task.node, timeout=waiting.left(end))

    def run(task: StorageTask) -> StorageTask:
        with torpedo.blaming(f"the task ({task.stage}) does not run on {node} within {seconds} s", ExpectationFailed):
            return torpedo.begin(task.volume, node, task.stage, timeout=waiting.left(end))

    tasks = list(tasks)
    together.all_of(torpedo.each(take, tasks))  # all of them first: who takes volumes may do so side by side
    with torpedo.blaming(f"the tasks do not run on {node} within {seconds} s", ExpectationFailed):
        torpedo.expect_all_whole(tasks, node, end=end)
    moved = list(torpedo.each(run, tasks))
    for task in moved:
        with torpedo.blaming(f"the task ({task.stage}) writes nothing on {node} within {seconds} s", ExpectationFailed):
            task.wait_acknowledged(torpedo.limits.enough, timeout=waiting.left(end))
    torpedo.note_recovery()
    return moved


def run_again(torpedo: Scenario, tasks: Iterable[StorageTask], node: str) -> list[StorageTask]:
    """A new task on each one's volume, in the same stage, once each has written some."""
    return torpedo.written(torpedo.each(lambda task: torpedo.begin(task.volume, node, task.stage), tasks))


def lose_unmount(torpedo: Scenario, task: StorageTask) -> None:
    """Let go of a task's volume while the plugin is dead: the provider refuses, or nobody hears of it."""
    if torpedo.provider.tells_unmounts:
        with torpedo.refused("an unmount by a plugin that is dead"):
            torpedo.lab.release(task, timeout=torpedo.limits.call)
    lose_unmount_by_engine(torpedo, task)


def lose_unmount_by_engine(torpedo: Scenario, task: StorageTask) -> None:
    """An engine that crashed, or whose plugin was dead, never asks for the unmount again: what stays is its own. A
    kubelet asks until it is done.
    """
    asks_again = torpedo.provider.tells_unmounts or torpedo.provider.runner == "kubernetes"
    if not asks_again and task.node not in torpedo.unmounts_lost:
        torpedo.unmounts_lost.add(task.node)
        why = f"the runner {torpedo.provider.runner} lost the unmounts"
        torpedo.unchecked(f"what stays mounted on {task.node}", why)


def settle(
    torpedo: Scenario, old: Sequence[StorageTask], moved: Sequence[StorageTask], *, lost_power: bool = False
) -> None:
    """After a failover the old node comes in order, the new tasks go on, nothing was lost or is left; then back.

    A container engine asks for no unmount of what it had before a power cut: a plugin of its protocol is asked for
    half of that at the end alone.
    """
    late = old[1::2] if lost_power and _by_engines(torpedo) else []
    _reconcile(torpedo, [task for task in old if task not in late])
    torpedo.expect_progress(moved)
    torpedo.finish(moved)
    torpedo.expect_all_whole(moved)
    torpedo.expect_nothing_left()
    back = _go_back(torpedo, old, moved)
    _reconcile(torpedo, late)
    torpedo.expect_nothing_left()
    torpedo.expect_all_whole(back)
    torpedo.expect_nothing_left()


def _by_engines(torpedo: Scenario) -> bool:
    """Whether its plugins are for container engines, which we stand in for: no call may be repeated there."""
    return torpedo.provider.tells_unmounts and "Repeats" not in torpedo.provider.capabilities


def _reconcile(torpedo: Scenario, tasks: Iterable[StorageTask]) -> None:
    for task in tasks:
        torpedo.lab.reconcile(task.volume, task.node, timeout=torpedo.limits.call)


def _go_back(torpedo: Scenario, old: Sequence[StorageTask], moved: Sequence[StorageTask]) -> list[StorageTask]:
    """Each volume runs a task on the node that it was taken from: that node is as good as any other again."""
    pairs = list(zip(old, moved, strict=True))
    back = torpedo.written(torpedo.each(lambda pair: torpedo.begin(pair[1].volume, pair[0].node, pair[1].stage), pairs))
    torpedo.expect_progress(back)
    torpedo.finish(back)
    return back
