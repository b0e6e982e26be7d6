"""Beyond Torpedo's ten, for providers that have what they ask of: expansion, snapshots, copies, devices, statistics.

As there, each runs with a task in every stage, each on a volume of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from holdfast.exceptions import (
    ConnectError,
    ExpectationFailed,
    FailedPrecondition,
    HoldfastError,
    InvalidArgument,
    LabError,
    OutOfRange,
    Timeout,
    Unimplemented,
)
from holdfast.storage import demands, failover
from holdfast.storage.account import ScenarioNotRun
from holdfast.storage.offer import MEBIBYTE, SIZE
from holdfast.storage.scenario import STAGES, Scenario
from holdfast.suites.torpedo.lab import torpedo

if TYPE_CHECKING:
    from holdfast._core import StorageSnapshot, StorageTask, StorageVolume

__all__ = ["torpedo"]  # a fixture

# Records that a task writes after a copy of its volume was made: none of them may be in it.
LATER = 64
# Records before a volume is counted: more than file systems take for themselves by and by.
COUNTED = 512
# By how much two counts of one file system may differ.
COUNT = MEBIBYTE
# The part of a file system that ext4 keeps for root alone: some count it among what is used, since nobody else can have
# it, and nothing says which is right.
RESERVED = 20
# By how much two times of one snapshot may differ, in seconds.
TAKEN = 1.0


@pytest.mark.torpedo("T11")
def test_torpedo_11_expansion_under_write(torpedo: Scenario) -> None:
    torpedo.need("Expand")
    first, second = torpedo.nodes[0], torpedo.other_node()
    tasks = torpedo.start(first)
    acknowledged = [task.acknowledged for task in tasks]

    in_use = torpedo.can("ExpandInUse", "an expansion under write")
    if not in_use:
        torpedo.finish(tasks)
    sizes = {task.volume.id: task.volume.bytes or torpedo.offer.size(SIZE) for task in tasks}
    for task in tasks:
        _expand(torpedo, task, sizes[task.volume.id] * 2, [task] if in_use else [])
    if not in_use:
        tasks = [torpedo.run(task.volume, first, task.stage) for task in tasks]

    torpedo.expect_progress(tasks)
    if in_use:
        torpedo.expect_undisturbed(tasks, acknowledged)
    torpedo.finish(tasks)
    for task in tasks:
        size = sizes[task.volume.id]
        for node in (first, second):
            found = torpedo.expect_whole(task.volume, node)
            usable = found.bytes
            grown = usable is None or usable > size
            torpedo.expect(grown, f"a volume of {size} bytes was made twice as large, and has {usable} on {node}")
    torpedo.expect_nothing_left()


def _expand(torpedo: Scenario, task: StorageTask, size: int, tasks: Sequence[StorageTask]) -> None:
    """Make a volume larger; again, which changes nothing; and to less, which changes nothing either."""

    def expand(asked: int) -> None:
        reported = torpedo.lab.expand(task.volume, asked, tasks=tasks, timeout=torpedo.limits.call)
        torpedo.expect(
            reported >= size, f"made {size} bytes large, and asked for {asked} bytes is said to have {reported}"
        )

    try:
        expand(size)
    except OutOfRange as error:
        raise ScenarioNotRun(f"{torpedo.provider.name} expands no volume to {size} bytes: {error.reason}") from None
    expand(size)
    try:
        expand(size // 2)
    except (ConnectError, ExpectationFailed, LabError, Timeout):
        raise
    except HoldfastError as error:  # it should be answered, and need not be
        torpedo.unchecked("an expansion to less than there is", f"refused: {error.reason}")


@pytest.mark.torpedo("T12")
def test_torpedo_12_snapshot_under_write(torpedo: Scenario) -> None:
    torpedo.need("Snapshot")
    first, second = torpedo.nodes[0], torpedo.other_node()
    tasks = torpedo.start(first)
    acknowledged = [task.acknowledged for task in tasks]

    snapshots, in_use = torpedo.snapshots, True
    try:
        _take(torpedo, tasks)
    except FailedPrecondition as error:  # as of a clone: no row of the specification's has a driver take one then
        torpedo.unchecked("a snapshot of a volume in use", error.message)
        in_use = False
    torpedo.expect_progress(tasks, LATER)
    torpedo.expect_undisturbed(tasks, acknowledged)
    if not in_use:
        torpedo.finish(tasks)
        _take(torpedo, tasks[len(snapshots) :])
    _expect_same(torpedo, tasks[0].volume, snapshots[0])
    for snapshot in snapshots:
        demands.expect_snapshot(torpedo, snapshot, there=True)
    with torpedo.refused("the name of a snapshot of another volume"):
        torpedo.lab.take_snapshot(tasks[1].volume, snapshots[0].name, timeout=torpedo.limits.call)
    if in_use:
        torpedo.finish(tasks)

    copies = [_copy(torpedo, second, task.volume, snapshot) for task, snapshot in zip(tasks, snapshots, strict=True)]
    with torpedo.refused("the name of a volume from one snapshot, with another snapshot"):
        _copy(torpedo, second, tasks[1].volume, snapshots[1], name=copies[0].name)
    _expect_copies(torpedo, tasks, copies)
    _expect_same(torpedo, tasks[0].volume, snapshots[0])
    last = tasks[-1].volume
    demands.expect_copy_may_be_larger(torpedo, last, snapshots[-1], second)
    if demands.expect_outlives(torpedo, last, copies[-1:], second):
        with torpedo.blaming("a volume is made from a snapshot whose source was removed"):
            torpedo.expect_whole(_copy(torpedo, second, last, snapshots[-1]), second)
    try:
        for snapshot in snapshots:
            torpedo.lab.remove_snapshot(snapshot, timeout=torpedo.limits.call)
    except FailedPrecondition as error:
        torpedo.unchecked("a snapshot removed before the volumes that were made from it", error.message)
    else:
        with torpedo.blaming("a snapshot is removed, and removed again"):
            torpedo.lab.remove_snapshot(snapshots[0], timeout=torpedo.limits.call)
        demands.expect_snapshot(torpedo, snapshots[0], there=False)
    torpedo.expect_nothing_left()


def _take(torpedo: Scenario, tasks: Sequence[StorageTask]) -> None:
    """A snapshot of each task's volume."""
    for task in tasks:
        name = torpedo.unused_name()
        torpedo.snapshots.append(torpedo.lab.take_snapshot(task.volume, name, timeout=torpedo.limits.call))


def _expect_same(torpedo: Scenario, volume: StorageVolume, snapshot: StorageSnapshot) -> None:
    """Asked for again by its name it is the same one, of the same time; a driver may know that to the second alone."""
    again = torpedo.lab.take_snapshot(volume, snapshot.name, timeout=torpedo.limits.call)
    torpedo.expect(again.id == snapshot.id, f"{again.name} asked for again became another: {again.id}")
    if again.taken is not None and snapshot.taken is not None:
        torpedo.expect(
            abs(again.taken - snapshot.taken) < TAKEN,
            f"{again.name} asked for again was taken at another time: {snapshot.taken:.3f} became {again.taken:.3f}",
        )


@pytest.mark.torpedo("T13")
def test_torpedo_13_clone_under_write(torpedo: Scenario) -> None:
    torpedo.need("Clone")
    first = torpedo.nodes[0]
    tasks = torpedo.start(first)
    acknowledged = [task.acknowledged for task in tasks]

    copies = []
    try:
        copies = [_clone(torpedo, task) for task in tasks]
    except FailedPrecondition as error:
        torpedo.unchecked("a clone of a volume in use", error.message)
    torpedo.expect_progress(tasks, LATER)
    torpedo.expect_undisturbed(tasks, acknowledged)
    torpedo.finish(tasks)
    copies = copies or [_clone(torpedo, task) for task in tasks]

    _expect_copies(torpedo, tasks, copies)
    second, last = torpedo.other_node(), tasks[-1].volume
    demands.expect_copy_may_be_larger(torpedo, last, last, second)
    demands.expect_outlives(torpedo, last, copies[-1:], second)
    torpedo.expect_nothing_left()


def _clone(torpedo: Scenario, task: StorageTask) -> StorageVolume:
    return _copy(torpedo, task.node, task.volume, task.volume)


def _copy(
    torpedo: Scenario,
    node: str,
    volume: StorageVolume,
    source: StorageSnapshot | StorageVolume,
    *,
    name: str | None = None,
) -> StorageVolume:
    """A volume from a snapshot of another, or from that itself: as large as it, and as its snapshot says it must be."""
    size = max(volume.bytes or SIZE, source.bytes or 0)
    copy = torpedo.create(node, name=name, size=size, source=source)
    demands.expect_size(torpedo, copy, size)
    return copy


def _expect_copies(torpedo: Scenario, tasks: Sequence[StorageTask], copies: Sequence[StorageVolume]) -> None:
    """Each copy holds what its source held and goes on by itself; the source does not notice."""
    second = torpedo.other_node()
    for task, copy in zip(tasks, copies, strict=True):
        torpedo.expect(copy.id != task.volume.id, f"the copy of {task.volume.name} is that volume itself")
        torpedo.expect_whole(copy, second)
        own = torpedo.run(copy, second, task.stage)
        torpedo.finish([own])
        torpedo.expect_whole(copy, second)
        torpedo.expect_whole(task.volume, second)


@pytest.mark.torpedo("T14")
def test_torpedo_14_block_volumes(torpedo: Scenario) -> None:
    torpedo.need("Block")
    if torpedo.provider.runner != "own":
        raise ScenarioNotRun(f"the runner {torpedo.provider.runner} gives its tasks no devices")
    torpedo.need_second_node()
    first, second = torpedo.nodes[:2]
    devices = _devices(torpedo, first, len(STAGES))
    tasks = [torpedo.run(device, first, stage) for device, stage in zip(devices, STAGES, strict=True)]
    torpedo.expect_progress(tasks)
    torpedo.finish(tasks)

    again = []
    for task in tasks:
        found = torpedo.expect_whole(task.volume, second)
        torpedo.expect(found.bytes is None or found.bytes >= SIZE, f"a device of {SIZE} bytes has {found.bytes}")
        torpedo.expect(not found.filesystem, f"a device came with a file system: {found.filesystem}")
        again.append(torpedo.run(task.volume, first, task.stage))

    torpedo.harm(first, "power_off", undo="power_on", under=again)
    moved = failover.move(torpedo, again, second)
    torpedo.undo()
    failover.settle(torpedo, again, moved)


def _devices(torpedo: Scenario, node: str, many: int) -> list[StorageVolume]:
    """So many; a provider that refuses the first gives none, for no capability of CSI's tells."""
    try:
        first = torpedo.create(node, block=True)
    except (InvalidArgument, Unimplemented) as error:
        raise ScenarioNotRun(f"{torpedo.provider.name} gives no devices: {error.message}") from None
    return [first, *(torpedo.create(node, block=True) for _ in range(many - 1))]


@pytest.mark.torpedo("T15")
def test_torpedo_15_statistics(torpedo: Scenario) -> None:
    torpedo.need("Statistics")
    first = torpedo.nodes[0]
    task = torpedo.run(torpedo.create(first), first, "mid-fsync")
    task.wait_acknowledged(COUNTED, timeout=torpedo.limits.deadline)
    task.stop(timeout=torpedo.limits.call)
    statistics = torpedo.lab.statistics(task, timeout=torpedo.limits.call)
    torpedo.lab.release(task, timeout=torpedo.limits.call)
    with torpedo.refused("statistics of a volume where it is not mounted"):
        torpedo.lab.statistics(task, timeout=torpedo.limits.call)

    found = torpedo.expect_whole(task.volume, first)
    if statistics.bytes is None:
        torpedo.unchecked("bytes of a volume", "the plugin counts none")
    elif found.bytes is None or found.used is None:
        torpedo.unchecked("bytes of a volume", f"nobody else counts them on {first}")
    else:
        margin = max(COUNT, found.bytes // 50)
        space = statistics.bytes
        torpedo.expect(
            abs(space.total - found.bytes) <= margin or space.total == task.volume.bytes,
            f"{space.total} bytes in all are told, and the node sees {found.bytes}",
        )
        # either may be left out; what is told must be so
        if space.used or space.available:
            free = found.bytes - found.used
            torpedo.expect(
                space.available <= free + margin,
                f"{space.available} available bytes are told, and the node sees {free} that are not used",
            )
        else:
            torpedo.unchecked("available bytes of a volume", "the plugin does not tell")
        if space.used:
            torpedo.expect(
                found.used - margin <= space.used <= found.used + found.bytes // RESERVED + margin,
                f"{space.used} used bytes are told, and the node sees {found.used}",
            )
        else:
            torpedo.unchecked("used bytes of a volume", "the plugin does not tell")
    if torpedo.can("Condition", "the condition of a volume"):
        torpedo.expect(
            not statistics.abnormal, f"a volume that nobody harmed is said to be abnormal: {statistics.message}"
        )
    torpedo.expect_nothing_left()
