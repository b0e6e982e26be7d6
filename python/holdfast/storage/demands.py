"""What a provider's volumes must be: as was asked for, and as its protocol has it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast import waiting
from holdfast.choices import VolumeAccess
from holdfast.exceptions import (
    ConnectError,
    ExpectationFailed,
    FailedPrecondition,
    HoldfastError,
    InvalidArgument,
    OutOfRange,
    ResourceExhausted,
    SchedulerError,
    Timeout,
    Unimplemented,
)
from holdfast.storage.offer import ONE_WRITER, SIZE, Variation

if TYPE_CHECKING:
    from holdfast._core import StorageSnapshot, StorageTask, StorageVolume
    from holdfast.results import LedgerVerdict
    from holdfast.storage.scenario import Scenario


# The flags of which a kernel tells by these names at each mount (mount(8), proc(5)).
OF_THE_KERNEL = ("noatime", "nodiratime", "nodev", "noexec", "nosuid", "sync", "dirsync")
# How a volume is told of that was not there before.
_NEW = "new: "
# What external-attacher says of a volume for readers on many nodes that was made for a writer as well.
_NOT_BOTH = "does not support ReadOnlyMany and ReadWriteOnce"


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

    def refuse(again: int) -> list[str]:
        """What is otherwise after a refusal, and was not before it."""
        before = there()
        asked = name or scenario.unused_name()
        with scenario.refused(what, but=(ConnectError, Timeout), unless=unless):
            scenario.create(name=asked, size=size * again, parameters=parameters, refusable=True)
        if any(each.what == what for each in scenario.account.not_checked):
            return []  # it was accepted, and may be
        return _changes(before, there(), {volume.id for volume in scenario.volumes})

    changed = refuse(1)
    if changed and all(each.startswith(_NEW) for each in changed):
        # somebody else may have made a volume at that moment, who makes others when nothing is refused
        before = there()
        own = {volume.id for volume in scenario.volumes}
        if _changes(before, there(), own) or not (again := refuse(2)):
            scenario.unchecked(f"whether {what}, refused, changed nothing", "others make volumes there meanwhile")
            return
        changed += again
    scenario.expect(not changed, f"{what} was refused, and changed something: {'; '.join(changed)}")


def _changes(before: dict[str, int | None], after: dict[str, int | None], own: set[str]) -> list[str]:
    """What is otherwise of a provider's volumes, by their ids and sizes in bytes. A list may be late to tell of our
    own, and what becomes of others' is theirs.
    """
    more = [f"{_NEW}{volume}" for volume in after if volume not in before and volume not in own]
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


def expect_numbers(scenario: Scenario) -> None:
    """What a driver says of each node is no number that cannot be."""
    for node, most in scenario.offer.most_volumes.items():
        scenario.expect(most >= 0, f"NodeGetInfo on {node} tells of {most} volumes at most")


def expect_usable(scenario: Scenario, found: LedgerVerdict, size: int) -> None:
    """A volume has the room that was asked for, but for what a file system takes for itself: less than half."""
    scenario.expect(
        found.bytes is None or found.bytes * 2 >= size, f"asked for {size} bytes, and a task has {found.bytes} of them"
    )


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


def expect_known(scenario: Scenario, volume: StorageVolume, node: str) -> None:
    """The name of a volume that is there is that volume, for whoever asks for it again."""
    again = scenario.create(node, name=volume.name)
    scenario.expect(again.id == volume.id, f"{volume.name} is there, and asked for again became another: {again.id}")


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
    is_had = scenario.blaming(f"a volume for several nodes is not to be had on {other} while {task.node} has it")
    with is_had, _held(scenario, task.volume, task.node):
        task.stop()  # what is read elsewhere is not written meanwhile
        findings = scenario.look(task.volume, other).findings
    scenario.expect(
        not findings, f"what {task.node} wrote is not there on {other}: {'; '.join(map(str, findings[:3]))}"
    )


def expect_for_one_pod(scenario: Scenario, task: StorageTask, access: VolumeAccess) -> None:
    """While a pod has a claim of ReadWriteOncePod, no other gets it, on its own node either. It is the cluster that
    sees to that: "only one pod across the whole cluster can read that PVC or write to it".
    """
    if scenario.provider.runner != "kubernetes" or access != "SINGLE_NODE_SINGLE_WRITER":
        return
    what = "a second pod with a claim of ReadWriteOncePod"
    try:
        scenario.lab.mount(task.volume, task.node, "second-pod", timeout=scenario.limits.refusal)
    except SchedulerError:
        return
    except Timeout:
        scenario.unchecked(what, f"no answer in {scenario.limits.refusal:g} s")
        return
    scenario.lab.unmount(task.volume, task.node, "second-pod", timeout=scenario.limits.call)
    raise ExpectationFailed(f"accepted: {what}") from SchedulerError("the cluster ran both")


def expect_mount_flags(scenario: Scenario, found: LedgerVerdict, filesystem: str) -> None:
    """What the file has volumes mounted with is so, as far as the node's kernel tells of it."""
    flags = scenario.offer.flags(filesystem)
    known = [flag for flag in flags if flag in OF_THE_KERNEL]
    other = [flag for flag in flags if flag not in OF_THE_KERNEL]
    if other:
        scenario.unchecked(f"the mount flags {', '.join(other)}", "they are the file system's own")
    if known and found.mount_options is None:
        scenario.unchecked(f"the mount flags {', '.join(known)}", "nobody can look how it is mounted")
    elif known:
        options = found.mount_options or ()
        lacking = [flag for flag in known if flag not in options]
        scenario.expect(
            not lacking, f"asked to mount with {', '.join(lacking)}, and it is mounted with {', '.join(options)}"
        )


def expect_there(scenario: Scenario, volumes: Iterable[StorageVolume], node: str) -> None:
    """Volumes that were made are known one by one, of a provider that can be asked so."""
    for volume in volumes:
        known = scenario.lab.has(node, volume, timeout=scenario.limits.call)
        scenario.expect(known is not False, f"{volume.name} is there, and asked for by itself is not known")


def expect_snapshot(scenario: Scenario, snapshot: StorageSnapshot, *, there: bool) -> None:
    """A snapshot is known by itself, or gone, of a provider that can be asked so; it may say so a moment later."""
    answers: list[bool | None] = []

    def so() -> bool:
        answers.append(scenario.lab.has_snapshot(snapshot, timeout=scenario.limits.call))
        return answers[-1] in (None, there)

    found = waiting.until(so, scenario.limits.settle)
    scenario.expect(
        found,
        f"{snapshot.name} {'is there, and asked for by itself is not known' if there else 'was removed, and is known'}",
    )


def expect_listed(scenario: Scenario, volumes: Iterable[StorageVolume], node: str) -> None:
    """Volumes that were made are in the provider's list, if it has one."""
    made = list(volumes)

    def missing(page: int = 0) -> list[str]:
        there = {volume.id for volume in scenario.lab.volumes(node, page=page)}
        return [volume.name for volume in made if volume.id not in there]

    if scenario.can("List", "whether the provider lists what was made"):
        listed = waiting.until(lambda: not missing(), scenario.limits.settle)
        scenario.expect(listed, f"made, and not in the provider's list: {', '.join(missing())}")
        # a few pages, however many others there are
        page = max(2, len(scenario.lab.volumes(node)) // 3)
        listed = waiting.until(lambda: not missing(page), scenario.limits.settle)
        scenario.expect(listed, f"made, and not in the provider's list in pages of {page}: {', '.join(missing(page))}")


def expect_as_answered(
    scenario: Scenario,
    name: str,
    before: Collection[str],
    created: Sequence[StorageVolume],
    node: str,
    *,
    may_be_left: bool,
) -> None:
    """A volume that was to be created while the plugin was down is there if that went well, and is not if it failed,
    unless it `may_be_left`: a call that was not answered may have been carried out. `before` are the ids of volumes
    that were there before.
    """

    def there() -> set[str]:
        # a CSI driver's list has no names
        return {volume.id for volume in scenario.lab.volumes(node) if volume.name in ("", name)} - set(before)

    if created:
        listed = waiting.until(lambda: created[0].id in there(), scenario.limits.settle)
        scenario.expect(listed, "a volume was created while the plugin was down, and is not there")
    elif not may_be_left:
        gone = waiting.until(lambda: not there(), scenario.limits.settle)
        scenario.expect(gone, f"a create that failed left {', '.join(there())}")


def expect_read_only(scenario: Scenario, volume: StorageVolume, node: str) -> None:
    """A volume that is mounted for reading alone is there as it was written, and no task can write on it."""
    what = "a volume mounted for reading alone"
    if scenario.can("ReadOnly", what):
        _expect_read_only(scenario, volume, volume.read_only(), node, what)


def _expect_read_only(
    scenario: Scenario, volume: StorageVolume, reading: StorageVolume, node: str, what: str, *, also: str | None = None
) -> None:
    """The same of a volume that is `reading` for readers; where a second node is named, both have it at once."""
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
    if also is not None:
        with scenario.blaming(f"{what} is not to be had on {also} while {node} has it"), _held(scenario, reading, node):
            scenario.expect_whole(reading, also)
    task.stop(kill=True, timeout=scenario.limits.call)
    scenario.lab.release(task, timeout=scenario.limits.call)
    scenario.expect_whole(volume, node)


@contextmanager
def _held(scenario: Scenario, volume: StorageVolume, node: str) -> Iterator[None]:
    """A node has a volume meanwhile, whose task has ended: under Kubernetes the volume goes with the task."""
    if scenario.provider.runner != "kubernetes":
        yield
        return
    scenario.lab.mount(volume, node, "reader", timeout=scenario.limits.call)
    yield
    scenario.lab.unmount(volume, node, "reader", timeout=scenario.limits.call)


def expect_readers(scenario: Scenario, access: VolumeAccess, node: str, other: str) -> None:
    """A volume that one task writes and that others read after that: it is made for both, as the specification has it
    ("another with access mode MULTI_NODE_READER_ONLY"), and for several nodes it is on two of them at once.
    """
    what = f"a volume for {access}"
    try:
        volume = scenario.create(node, also=(access,))
    except (FailedPrecondition, InvalidArgument, Unimplemented) as error:
        scenario.unchecked(what, f"refused: {error.reason}")
        return
    try:
        task = scenario.run(volume, node)
    except HoldfastError as error:
        if _NOT_BOTH not in str(error):
            raise
        scenario.unchecked(what, f"external-attacher attaches none that is for one writer too: {error.message}")
        return
    scenario.finish([task])
    several = access.startswith("MULTI_NODE") and not scenario.why_alone()
    reading = volume.for_access(access)
    _expect_read_only(scenario, volume, reading, node, what, also=other if several else None)


def expect_copy_may_be_larger(
    scenario: Scenario, volume: StorageVolume, source: StorageSnapshot | StorageVolume, node: str
) -> None:
    """A copy that is larger than its source is so for its task too, or is refused with OUT_OF_RANGE: "MUST provide a
    volume that, when presented to a workload by `NodePublish` call, has both the requested (larger) size and contains
    data from the snapshot".
    """
    what, size = "a copy that is larger than its source", max(volume.bytes or SIZE, source.bytes or 0)
    try:
        copy = scenario.create(node, size=size * 2, source=source, refusable=True)
    except (OutOfRange, ResourceExhausted) as error:
        scenario.unchecked(what, f"refused: {error.reason}")
        return
    expect_size(scenario, copy, size * 2)
    usable = scenario.expect_whole(copy, node).bytes
    scenario.expect(
        usable is None or usable > size, f"a copy of {size} bytes was made twice as large, and has {usable} on {node}"
    )


def expect_outlives(scenario: Scenario, source: StorageVolume, copies: Sequence[StorageVolume], node: str) -> bool:
    """What was made from a volume is whole without it; false where the volume is not to be removed before."""
    try:
        scenario.lab.remove(scenario.nodes[0], source, timeout=scenario.limits.refusal)
    except FailedPrecondition as error:
        scenario.unchecked("a volume removed before what was made from it", f"refused: {error.message}")
        return False
    scenario.volumes = [volume for volume in scenario.volumes if volume.id != source.id]
    for copy in copies:
        with scenario.blaming(f"{source.name}, which {copy.name} was made from, was removed"):
            scenario.expect_whole(copy, node)
    return True


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
    for volume in removed[:1]:
        known = scenario.lab.has(node, volume, timeout=scenario.limits.call)
        scenario.expect(not known, f"{volume.name} was removed, and asked for by itself is known")


def admits_two_paths(scenario: Scenario, volume: StorageVolume, node: str) -> bool:
    """Whether a volume that a task has can be mounted for another on its node. The specification lets a driver
    refuse that of a volume for one writer: then it is listed as not checked.
    """
    try:
        scenario.lab.mount(volume, node, "second-path", timeout=scenario.limits.call)
    except (FailedPrecondition, SchedulerError) as error:
        if scenario.access not in ONE_WRITER or (isinstance(error, SchedulerError) and not _is_for_one_pod(scenario)):
            raise
        scenario.unchecked(f"two paths of a volume for {scenario.access} on a node", f"refused: {error.message}")
        return False
    scenario.lab.unmount(volume, node, "second-path", timeout=scenario.limits.call)
    return True


def _is_for_one_pod(scenario: Scenario) -> bool:
    return scenario.access == "SINGLE_NODE_SINGLE_WRITER"


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
