"""Tasks that the cluster keeps: what it does for those whose node is lost, and what is done for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from holdfast import waiting
from holdfast.exceptions import ExpectationFailed, SchedulerError
from holdfast.storage import together

if TYPE_CHECKING:
    from holdfast._core import StorageTask
    from holdfast.storage.scenario import Scenario

# A pod with a claim takes some seconds until it writes, and one more than there may be is looked for so long.
_SECOND_LIFE = 15.0


def hand_over(torpedo: Scenario, tasks: Iterable[StorageTask], node: str) -> list[StorageTask]:
    """The next life of each task, which the cluster runs on `node` once that task is gone."""
    following = []
    for task in tasks:
        following.append(torpedo.lab.hand_over(task, node, timeout=torpedo.limits.deadline))
        torpedo.tasks.append(following[-1])
    return following


def expect_one_writer(following: Sequence[StorageTask], *, within: float = _SECOND_LIFE) -> None:
    """No next life writes within so many seconds, for nobody knows that the last is dead. Raises `SchedulerError` where
    one does.
    """
    if waiting.until(lambda: any(task.acknowledged for task in following), within):
        raise SchedulerError(
            "the cluster ran a task's next life while nobody knew that the last had ended: two write one volume",
            hint="kubernetes/kubernetes#61832 is one of that kind",
        )


def expect_running(torpedo: Scenario, following: Sequence[StorageTask], seconds: float) -> None:
    """Each next life runs, and writes, within so many seconds."""
    end = time.monotonic() + seconds
    for task in following:
        with torpedo.blaming(f"the task ({task.stage}) does not run on {task.node}", ExpectationFailed, SchedulerError):
            task.wait_running(timeout=waiting.left(end))
        with torpedo.blaming(f"the task ({task.stage}) writes nothing on {task.node}", ExpectationFailed):
            task.wait_acknowledged(torpedo.limits.enough, timeout=waiting.left(end))


def take_over(torpedo: Scenario, tasks: Sequence[StorageTask], following: Sequence[StorageTask]) -> None:
    """Each task's volume is taken from its node, which cannot be asked, and the cluster runs its next life."""
    end = time.monotonic() + torpedo.limits.deadline

    def take(task: StorageTask) -> None:
        with torpedo.blaming(f"the volume of the task ({task.stage}) is not taken from {task.node}", ExpectationFailed):
            torpedo.lab.evict(task.volume, task.node, timeout=waiting.left(end))

    together.all_of(torpedo.each(take, tasks))
    expect_running(torpedo, following, waiting.left(end))
    torpedo.note_recovery()


def move(torpedo: Scenario, tasks: Iterable[StorageTask], node: str) -> list[StorageTask]:
    """Both, one after the other."""
    tasks = list(tasks)
    following = hand_over(torpedo, tasks, node)
    take_over(torpedo, tasks, following)
    return following
