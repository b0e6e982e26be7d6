"""What a provider's volumes must be: as was asked for, and as its protocol has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from holdfast import waiting
from holdfast.exceptions import ConnectError, FailedPrecondition, InvalidArgument, Timeout, Unimplemented
from holdfast.storage.offer import ONE_WRITER, SIZE, Variation

if TYPE_CHECKING:
    from holdfast._core import StorageTask, StorageVolume
    from holdfast.storage.scenario import Scenario


def expect_refused(
    scenario: Scenario,
    what: str,
    *,
    name: str | None = None,
    size: int = SIZE,
    parameters: dict[str, str] | None = None,
    unless: str | None = None,
) -> None:
    """A volume that makes no sense is refused, and nothing is there of it after that. Where `unless` says why it may be
    accepted, that is listed as not checked.
    """
    lists = scenario.can("List", f"whether {what}, refused, changed nothing")

    def there() -> dict[str, int | None]:
        return {volume.id: volume.bytes for volume in scenario.lab.volumes(scenario.nodes[0])} if lists else {}

    before = there()
    with scenario.refused(what, but=(ConnectError, Timeout), unless=unless):
        scenario.create(name=name, size=size, parameters=parameters, refusable=True)
    if any(each.what == what for each in scenario.account.not_checked):
        return  # it was accepted, and may be
    changed = _changes(before, there(), {volume.id for volume in scenario.volumes})
    scenario.expect(not changed, f"{what} was refused, and changed something: {'; '.join(changed)}")


def _changes(before: dict[str, int | None], after: dict[str, int | None], own: set[str]) -> list[str]:
    """What is otherwise of a provider's volumes, by their ids and sizes in bytes. A list may be late to tell of our
    own, and what becomes of others' is theirs.
    """
    more = [f"new: {volume}" for volume in after if volume not in before and volume not in own]
    known = [volume for volume in before if volume in own]
    gone = [f"gone: {volume}" for volume in known if volume not in after]
    sizes = [(volume, before[volume], after[volume]) for volume in known if volume in after]
    return more + gone + [f"{volume}: {was} became {now} bytes" for volume, was, now in sizes if was != now]


def expect_unknown_parameter_refused(scenario: Scenario) -> None:
    """A parameter that nobody knows is refused, or taken by a provider that does not say that it refuses those.

    CSI has a plugin parse and validate its parameters, and no code that it must answer: many look at their own alone.
    Whoever refuses does so by an answer, and changes nothing.
    """
    what = "a parameter that does not exist"
    if not scenario.can("RefusesUnknownParameters", what):
        return
    taken = None if scenario.offer.refuses_unknown_parameters else f"{scenario.provider.name} takes it, and may"
    expect_refused(scenario, what, parameters={"nonsense": "yes"}, unless=taken)


def offered(scenario: Scenario, variations: Iterable[Variation]) -> Iterator[Variation]:
    """The variations of a volume that this provider is for."""
    for variation in scenario.offer.variations(variations, scenario.access):
        size, filesystem, access, parameters = variation
        why = f"{scenario.provider.name} is not asked for it"
        if parameters and not scenario.offer.knows_parameters:
            scenario.unchecked(f"parameters {parameters}", why)
            parameters = {}
        lacking = scenario.offer.lacks(filesystem, access, scenario.provider)
        if lacking:
            scenario.unchecked(" and ".join(lacking), why)
        else:
            yield size, filesystem, access, parameters


def expect_size(scenario: Scenario, volume: StorageVolume, size: int) -> None:
    """A volume is as large as was asked for, or larger, where its provider tells."""
    if volume.bytes is not None:
        scenario.expect(volume.bytes >= size, f"asked for {size} bytes, and got {volume.bytes}")
    elif scenario.can("Size", "the size of a volume"):
        scenario.unchecked("the size of a volume", f"{scenario.provider.name} says that it is unknown")


def expect_confirmed(scenario: Scenario, volume: StorageVolume, node: str) -> None:
    """The provider stands by a volume that it made, with the parameters that it was asked for."""
    sent = scenario.sent[volume.name]
    confirmed = scenario.lab.confirm(node, volume, sent, timeout=scenario.limits.call)
    if confirmed is not None:
        scenario.expect(sent.items() <= confirmed.items(), f"asked for {sent}, and got {confirmed}")


def expect_larger_refused(scenario: Scenario, volume: StorageVolume) -> None:
    """The name of a volume with a size that it cannot serve as it is."""
    what = "the same name with another size"
    if scenario.can("Size", what):
        if volume.bytes is None:
            scenario.unchecked(what, f"{scenario.provider.name} says that the size of a volume is unknown")
        else:
            expect_refused(scenario, what, name=volume.name, size=max(volume.bytes, scenario.offer.size(SIZE)) * 2)


def expect_for_one_node(scenario: Scenario, volume: StorageVolume, other: str) -> None:
    """A volume for one node is not attached to another as well."""
    what = "a volume for one node, given to a second"
    with scenario.refused(what, but=(ConnectError,)):
        try:
            scenario.lab.attach(volume, other, timeout=scenario.limits.refusal)
        except Timeout:  # a driver may wait for the first node to let go
            scenario.unchecked(what, f"no answer in {scenario.limits.refusal:g} s")
            raise
    # The specification asks for that after a call whose outcome is not known.
    scenario.lab.evict(volume, other, timeout=scenario.limits.call)


def expect_for_several_nodes(scenario: Scenario, task: StorageTask, other: str) -> None:
    """A volume that several nodes may write is mounted on another while the task's node has it, with what it holds."""
    if scenario.why_alone():
        scenario.unchecked("a volume for several nodes on a second", scenario.why_alone())
        return
    with scenario.blaming(f"a volume for several nodes is not to be had on {other} while {task.node} has it"):
        findings = scenario.look(task.volume, other).findings
    scenario.expect(
        not findings, f"what {task.node} wrote is not there on {other}: {'; '.join(map(str, findings[:3]))}"
    )


def expect_listed(scenario: Scenario, volumes: Iterable[StorageVolume], node: str) -> None:
    """Volumes that were made are in the provider's list, if it has one."""
    made = list(volumes)

    def missing() -> list[str]:
        there = {volume.id for volume in scenario.lab.volumes(node)}
        return [volume.name for volume in made if volume.id not in there]

    if scenario.can("List", "whether the provider lists what was made"):
        listed = waiting.until(lambda: not missing(), scenario.limits.settle)
        scenario.expect(listed, f"made, and not in the provider's list: {', '.join(missing())}")


def expect_read_only(scenario: Scenario, volume: StorageVolume, node: str) -> None:
    """A volume that is mounted for reading alone is there as it was written, and no task can write on it."""
    what = "a volume mounted for reading alone"
    if not scenario.can("ReadOnly", what):
        return
    reading = volume.read_only()
    try:
        scenario.lab.verify(reading, node, timeout=scenario.limits.call)
    except (FailedPrecondition, InvalidArgument, Unimplemented) as error:  # a refusal is no mount that can be written
        scenario.unchecked(what, f"refused: {error.reason}")
        return
    scenario.expect_whole(reading, node)
    task = scenario.begin(reading, node)
    ended = waiting.until(lambda: task.failed is not None or task.acknowledged > 0, scenario.limits.call)
    scenario.expect(ended, f"a task on {what} neither writes nor fails")
    scenario.expect(not task.acknowledged, f"accepted: a write on {what}")
    task.stop(kill=True, timeout=scenario.limits.call)
    scenario.lab.release(task, timeout=scenario.limits.call)
    scenario.expect_whole(volume, node)


def expect_removed(scenario: Scenario, volumes: Iterable[StorageVolume], node: str) -> None:
    """Volumes can be removed, and are gone after that."""
    lists = scenario.can("List", "whether what was removed is gone")
    removed = list(volumes)
    for volume in removed:
        scenario.remove(volume)

    def left() -> list[str]:
        there = {volume.id for volume in scenario.lab.volumes(node)}
        return [volume.name for volume in removed if volume.id in there]

    if lists:
        gone = waiting.until(lambda: not left(), scenario.limits.settle)
        scenario.expect(gone, f"removed, and there still: {', '.join(left())}")


def admits_two_paths(scenario: Scenario, volume: StorageVolume, node: str) -> bool:
    """Whether a volume that a task has can be mounted for another on its node. The specification lets a driver
    refuse that of a volume for one writer: then it is listed as not checked.
    """
    try:
        scenario.lab.mount(volume, node, "second-path", timeout=scenario.limits.call)
    except FailedPrecondition as error:
        if scenario.access not in ONE_WRITER:
            raise
        scenario.unchecked(f"two paths of a volume for {scenario.access} on a node", f"refused: {error.message}")
        return False
    scenario.lab.unmount(volume, node, "second-path", timeout=scenario.limits.call)
    return True


def expect_repeatable(scenario: Scenario, node: str) -> None:
    """Each call of a volume's life may be made twice, where the protocol says so."""
    if "Repeats" in scenario.provider.capabilities:
        name = scenario.unused_name()
        scenario.lab.repeat(
            node,
            name,
            scenario.offer.size(SIZE),
            access=scenario.access,
            parameters=scenario.parameters_of(name),
            timeout=scenario.limits.call,
        )
