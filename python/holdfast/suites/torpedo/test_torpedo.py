"""The ten Torpedo scenarios: does a volume hold what its task was promised, whatever fails under it?

Each runs with a task that is idle, one that appends, one that writes over the same places and one in the middle of an
fsync, each on a volume of its own.
"""

from __future__ import annotations

import time

import pytest

from holdfast.choices import StorageFault
from holdfast.storage import demands, failover, together
from holdfast.storage.beside import Beside, orders
from holdfast.storage.offer import MEBIBYTE, Variation
from holdfast.storage.scenario import STAGES, Scenario
from holdfast.suites.torpedo.lab import torpedo

__all__ = ["torpedo"]  # a fixture

# T1: sizes, file systems, parameters and access modes, each with another.
VARIATIONS: tuple[Variation, ...] = (
    (8 * MEBIBYTE, "", "SINGLE_NODE_WRITER", {}),
    (64 * MEBIBYTE, "ext4", "SINGLE_NODE_WRITER", {"media": "fast"}),
    (96 * MEBIBYTE, "xfs", "SINGLE_NODE_WRITER", {"media": "slow", "replicas": "2"}),
    (300 * MEBIBYTE, "ext4", "SINGLE_NODE_WRITER", {"replicas": "3"}),
    (16 * MEBIBYTE, "ext4", "MULTI_NODE_MULTI_WRITER", {}),
)


@pytest.mark.torpedo("T1")
def test_torpedo_1_dynamic_volumes(torpedo: Scenario) -> None:
    demands.expect_numbers(torpedo)
    first, second = torpedo.nodes[:2]
    in_use = torpedo.start(first)

    for variation in demands.offered(torpedo, VARIATIONS):  # one after the other: a node may take few volumes
        _expect_as_asked(torpedo, variation)

    demands.expect_listed(torpedo, torpedo.volumes, first)
    demands.expect_there(torpedo, torpedo.volumes, first)
    demands.expect_unknown_parameter_refused(torpedo)
    volume = in_use[0].volume
    demands.expect_known(torpedo, volume, first)
    demands.expect_larger_refused(torpedo, volume)
    if torpedo.access.startswith("SINGLE_NODE") and torpedo.can("Attach", "a volume for one node on a second"):
        demands.expect_for_one_node(torpedo, volume, second)

    torpedo.expect_progress(in_use)
    torpedo.finish(in_use)
    torpedo.expect_all_whole(in_use, first)
    demands.expect_read_only(torpedo, in_use[-1].volume, first)
    for access in torpedo.offer.readers:
        demands.expect_readers(torpedo, access, first, second)
    torpedo.expect_nothing_left()
    demands.expect_removed(torpedo, torpedo.volumes, first)


def _expect_as_asked(torpedo: Scenario, variation: Variation) -> None:
    """A volume has the size, the file system and the access that it is asked for, and holds what is written to it."""
    size, filesystem, access, parameters = variation
    first, second = torpedo.nodes[:2]
    volume = torpedo.create(first, size=size, filesystem=filesystem, access=access, parameters=parameters)
    task = torpedo.run(volume, first)
    demands.expect_for_one_pod(torpedo, task, access)
    if access == "MULTI_NODE_MULTI_WRITER":
        demands.expect_for_several_nodes(torpedo, task, second)
    else:
        task.stop()
    torpedo.lab.release(task, timeout=torpedo.limits.call)
    found = torpedo.look(volume, first)
    findings = "; ".join(map(str, found.findings[:3]))
    torpedo.expect(not found.findings, f"a new volume does not hold what is written to it: {findings}")
    demands.expect_size(torpedo, volume, size)
    demands.expect_usable(torpedo, found, size)
    if found.filesystem is not None and filesystem:
        torpedo.expect(found.filesystem == filesystem, f"asked for {filesystem}, and got {found.filesystem}")
    demands.expect_mount_flags(torpedo, found, filesystem)
    demands.expect_confirmed(torpedo, volume, first)


@pytest.mark.torpedo("T2")
def test_torpedo_2_uneven_mounts(torpedo: Scenario) -> None:
    torpedo.need_second_node()
    first, second = torpedo.nodes[:2]
    volume = torpedo.create(first)
    for uneven in orders(once=torpedo.mounts_once):
        keeper = torpedo.run(volume, first)
        if demands.admits_two_paths(torpedo, volume, first):
            for order in uneven:
                Beside(torpedo, keeper).mount_unevenly(order)
        Beside(torpedo, keeper).mount_again()
        torpedo.expect_progress([keeper])
        torpedo.finish([keeper])
        torpedo.expect_nothing_left()
        elsewhere = torpedo.run(volume, second)
        torpedo.finish([elsewhere])
        torpedo.expect_whole(volume, second)
        torpedo.expect_nothing_left()
    demands.expect_repeatable(torpedo, first)


@pytest.mark.torpedo("T3")
@pytest.mark.parametrize("fault", ["stop_plugin", "kill_plugin", "hang_plugin", "kill_server"])
def test_torpedo_3_plugin_down(torpedo: Scenario, fault: StorageFault) -> None:
    first = torpedo.nodes[0]
    of_server = fault == "kill_server"
    if of_server:
        torpedo.need("Server")
    tasks = torpedo.start(first)
    shared = tasks[STAGES.index("appending")]
    two_paths = demands.admits_two_paths(torpedo, shared.volume, first)
    if two_paths:
        Beside(torpedo, shared).mount("guest-before")
    before = [task.acknowledged for task in tasks]

    torpedo.harm(first, fault, undo="start_server" if of_server else "start_plugin", under=tasks)
    torpedo.sit(tasks, torpedo.limits.pause * (0.3 if of_server else 1.3))
    torpedo.expect_undisturbed(tasks, before)
    torpedo.undo()

    demands.expect_known(torpedo, shared.volume, first)
    if two_paths:
        Beside(torpedo, shared).mount("guest-after")
        for name in ("guest-before", "guest-after"):
            Beside(torpedo, shared).unmount(name)
    torpedo.expect_progress(tasks)
    torpedo.expect_undisturbed(tasks, before)
    torpedo.finish(tasks)
    torpedo.expect_nothing_left()
    other = torpedo.other_node()
    torpedo.expect_all_whole(tasks, other)


@pytest.mark.torpedo("T4")
def test_torpedo_4_plugin_down_task_dies(torpedo: Scenario) -> None:
    torpedo.need_second_node()
    first, second = torpedo.nodes[:2]
    tasks = torpedo.start(first)

    torpedo.harm(first, "kill_plugin", undo="start_plugin", under=tasks)
    for task in tasks:
        if not torpedo.lab.keeps_tasks:  # what is kept dies with its move: it would run again by itself
            task.stop(kill=True, timeout=torpedo.limits.call)
        failover.lose_unmount(torpedo, task)
    moved = failover.move(torpedo, tasks, second)
    torpedo.undo()

    failover.settle(torpedo, tasks, moved)


@pytest.mark.torpedo("T5")
def test_torpedo_5_node_powered_off(torpedo: Scenario) -> None:
    torpedo.need_second_node()
    first, second = torpedo.nodes[:2]
    tasks = torpedo.start(first)

    torpedo.harm(first, "power_off", undo="power_on", under=tasks)
    moved = failover.move(torpedo, tasks, second)
    torpedo.undo()

    failover.settle(torpedo, tasks, moved, lost_power=True)


@pytest.mark.torpedo("T6")
@pytest.mark.parametrize("fault", ["kill_plugin", "hang_plugin"])
def test_torpedo_6_create_with_plugin_down(torpedo: Scenario, fault: StorageFault) -> None:
    node = torpedo.nodes[1]
    held, name = torpedo.create(node), torpedo.unused_name()
    before = {volume.id for volume in torpedo.lab.volumes(node)}
    created = []

    torpedo.harm(node, fault, undo="start_plugin")
    began = time.monotonic()

    def run_on_new_volume() -> None:
        with torpedo.refused(f"a task with a new volume of a plugin that is down ({fault})"):
            created.append(torpedo.create(node, name=name, timeout=torpedo.limits.refusal))
            torpedo.begin(created[0], node, timeout=torpedo.limits.refusal)

    def run_on_held_volume() -> None:
        with torpedo.refused(f"a task with a volume of a plugin that is down ({fault})"):
            torpedo.begin(held, node, timeout=torpedo.limits.refusal)

    together.all_of(torpedo.each(lambda run: run(), (run_on_new_volume, run_on_held_volume)))
    took = time.monotonic() - began
    torpedo.expect(took <= torpedo.limits.deadline * 2, f"the errors came after {took:.1f} s")
    torpedo.undo()

    for volume in (held, *created):
        torpedo.lab.reconcile(volume, node)
    if torpedo.can("List", "what a create left with the plugin down"):
        demands.expect_as_answered(torpedo, name, before, created, node, may_be_left=fault == "hang_plugin")
    task = torpedo.run(torpedo.create(node, name=name), node)
    torpedo.finish([task])
    torpedo.expect_whole(task.volume, node)
    torpedo.lab.reconcile(held, node)  # an engine may have carried out since what it was asked for while all hung
    torpedo.expect_nothing_left()


@pytest.mark.torpedo("T7")
def test_torpedo_7_node_partitioned(torpedo: Scenario) -> None:
    _partition(torpedo, "cut")


@pytest.mark.torpedo("T8")
def test_torpedo_8_storage_partitioned(torpedo: Scenario) -> None:
    _partition(torpedo, "cut_storage")


def _partition(torpedo: Scenario, cut: StorageFault) -> None:
    """T7 and T8 are one procedure with another cut."""
    torpedo.need_second_node()
    torpedo.need("Fence")
    first, second = torpedo.nodes[:2]
    tasks = torpedo.start(first)

    torpedo.harm(first, cut, undo="heal", under=tasks)
    moved = failover.move(torpedo, tasks, second)
    torpedo.undo()

    torpedo.expect_errors(tasks)
    torpedo.expect_progress(moved)
    for task in tasks:
        task.stop(kill=True)
    failover.settle(torpedo, tasks, moved)


@pytest.mark.torpedo("T9")
def test_torpedo_9_runtime_crash(torpedo: Scenario) -> None:
    torpedo.need_fault("live_restore_off", "kill_runtime", "start_runtime")
    first = torpedo.nodes[0]
    torpedo.harm(first, "live_restore_off")
    tasks = torpedo.start(first)

    torpedo.harm(first, "kill_runtime", undo="start_runtime", under=tasks)
    torpedo.undo()
    for task in tasks:
        torpedo.expect_dead(task)
        failover.lose_unmount_by_engine(torpedo, task)
    for task in tasks:
        torpedo.lab.release(task)
    torpedo.expect_nothing_left()
    other = torpedo.other_node()
    torpedo.expect_all_whole(tasks, other)
    again = failover.run_again(torpedo, tasks, other)

    torpedo.expect_progress(again)
    torpedo.finish(again)
    torpedo.expect_all_whole(again, other)
    torpedo.expect_nothing_left()


@pytest.mark.torpedo("T10")
def test_torpedo_10_runtime_crash_live_restore(torpedo: Scenario) -> None:
    torpedo.need_fault("live_restore_on", "live_restore_off", "kill_runtime", "start_runtime")
    first = torpedo.nodes[0]
    torpedo.harm(first, "live_restore_on", undo="live_restore_off")
    tasks = torpedo.start(first)
    before = [task.acknowledged for task in tasks]
    lives = [(task.id, task.pid) for task in tasks]

    torpedo.harm(first, "kill_runtime", undo="start_runtime", under=tasks)
    torpedo.sit(tasks, torpedo.limits.pause * 1.3)
    torpedo.undo()

    torpedo.expect_progress(tasks)
    torpedo.expect_undisturbed(tasks, before)
    torpedo.expect([(task.id, task.pid) for task in tasks] == lives, "a task has another id or process")
    torpedo.finish(tasks)
    torpedo.expect_all_whole(tasks, first)
    torpedo.expect_nothing_left()
