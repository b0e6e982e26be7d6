"""What a provider's volumes can be asked for: sizes, file systems, access modes, parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.choices import VolumeAccess
from holdfast.exceptions import OutOfRange, RpcError
from holdfast.storage.account import ScenarioNotRun

if TYPE_CHECKING:
    from holdfast._core import StorageTask, StorageVolume
    from holdfast.results import StorageProvider

MEBIBYTE = 1 << 20
# Of each volume, if nothing else is said; in bytes.
SIZE = 64 * MEBIBYTE
# Of a volume that is made for its access mode alone; in bytes.
SMALL = 16 * MEBIBYTE
# Size in bytes, file system, access mode, parameters.
Variation = tuple[int, str, VolumeAccess, dict[str, str]]
# In these a task can write, and others on its node are refused, or may be.
ONE_WRITER = ("SINGLE_NODE_WRITER", "SINGLE_NODE_SINGLE_WRITER")
# In these several tasks of one node can.
_MULTI_WRITER: VolumeAccess = "SINGLE_NODE_MULTI_WRITER"
# What a task's volume is for, the first that is offered: as few others as can be.
_WRITERS: tuple[VolumeAccess, ...] = (
    "SINGLE_NODE_WRITER", _MULTI_WRITER, "SINGLE_NODE_SINGLE_WRITER", "MULTI_NODE_SINGLE_WRITER",
    "MULTI_NODE_MULTI_WRITER",
)  # fmt: skip
_READERS: tuple[VolumeAccess, ...] = ("SINGLE_NODE_READER_ONLY", "MULTI_NODE_READER_ONLY")
# Those that the specification has for drivers with the capability SINGLE_NODE_MULTI_WRITER; a cluster asks for them
# whatever its driver has.
_BY_CAPABILITY = (_MULTI_WRITER, "SINGLE_NODE_SINGLE_WRITER")
# What of a driver shows through claims and pods; of all else nobody can say there whether it has it.
_OF_CLAIMS = ("Fence", "Local", "Topology", "Create", "List", "ListNodes", "RefusesUnknownParameters")


def not_asked_of_claims(runner: str, capability: str) -> str | None:
    """Why nobody is asked for a capability under Kubernetes."""
    if runner != "kubernetes" or capability in _OF_CLAIMS:
        return None
    return f"claims and pods are not asked for {capability} by this version"


def _tells_writers(provider: StorageProvider) -> bool:
    """Whether it can be said of a volume that it is for one writer, or for many on one node."""
    return "SingleNodeMultiWriter" in provider.capabilities or provider.runner == "kubernetes"


@dataclass
class Offer:
    """What may be asked of a provider, by its file and by what it says itself. Sizes are bytes."""

    filesystems: frozenset[str] = frozenset(("ext4", "xfs"))
    accesses: frozenset[str] = frozenset(("SINGLE_NODE_WRITER", "MULTI_NODE_MULTI_WRITER"))
    knows_parameters: bool = True
    # Of every volume.
    parameters: dict[str, str] = field(default_factory=dict)
    # Who does not may take one: the specification leaves to a driver which parameters it looks at.
    refuses_unknown_parameters: bool = True
    minimum: int = 0
    # That a node takes at a time, by its name, where it tells: 0 is none.
    most_volumes: dict[str, int] = field(default_factory=dict)
    # That each volume is mounted with, and those of one file system.
    mount_flags: tuple[str, ...] = ()
    filesystem_options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # Those of T1, instead of its own.
    sizes: tuple[int, ...] = ()

    def size(self, wanted: int) -> int:
        """As much as wanted, or the least there is."""
        return max(wanted, self.minimum)

    def flags(self, filesystem: str) -> list[str]:
        """What a volume of a file system is mounted with."""
        return [*self.mount_flags, *self.filesystem_options.get(filesystem, ())]

    @property
    def readers(self) -> list[VolumeAccess]:
        """The access modes in which nobody can write."""
        return [access for access in _READERS if access in self.accesses]

    def not_to_be_had(self, name: str, size: int, error: RpcError) -> ScenarioNotRun:
        """Why there is no volume of a size in bytes: the provider makes none, or its store has no room for one."""
        if isinstance(error, OutOfRange):
            hint = f"give its file `minimum` or `sizes`: {error.message}"
            return ScenarioNotRun(f"{name} makes no volume of {size} bytes: {hint}")
        return ScenarioNotRun(f"{name} has no room for a volume of {size} bytes: {error.message}")

    def expect_room(self, name: str, tasks: Iterable[StorageTask], volume: StorageVolume, node: str) -> None:
        """A node can have the volume, and takes one more beside those of the tasks that run there, or the scenario does
        not run: whoever asks for one must see to that (ControllerPublishVolume: "Max volumes attached").
        """
        if volume.accessible is not None and node not in volume.accessible:
            places = ", ".join(volume.accessible) or "no node"
            raise ScenarioNotRun(f"{name}: a volume for {node} is accessible from {places} alone")
        most = self.most_volumes.get(node, -1)
        if most >= 0:
            needed = {volume.id} | {task.volume.id for task in tasks if task.node == node and task.ended() is None}
            if len(needed) > most:
                raise ScenarioNotRun(f"{name}: a node takes {most} volumes at most, and this needs {len(needed)}")

    def access(self, provider: StorageProvider) -> VolumeAccess:
        """What a task's volume is for. A driver that tells one writer from many is told which, as orchestrators do."""
        knows = "SingleNodeMultiWriter" in provider.capabilities
        if knows and self.accesses & {"SINGLE_NODE_WRITER", _MULTI_WRITER}:
            return _MULTI_WRITER
        for access in _WRITERS:
            if access in self.accesses and (_tells_writers(provider) or access not in _BY_CAPABILITY):
                return access
        given = ", ".join(sorted(self.accesses))
        raise ScenarioNotRun(f"{provider.name}: no task can write by access_modes: {given}")

    def variations(self, own: Iterable[Variation], usual: VolumeAccess) -> Iterator[Variation]:
        """T1's own, of the sizes that the file gives and for the access that tasks' volumes have; then each access
        mode that is left, and each size.
        """
        left = list(self.sizes)
        asked: set[VolumeAccess] = set()
        for size, filesystem, access, parameters in own:
            meant = usual if access == "SINGLE_NODE_WRITER" else access
            asked.add(meant)
            # an access is asked for also where the file system is not
            is_for_access = meant in self.accesses and meant != usual and filesystem not in self.filesystems
            yield self.size(left.pop(0) if left else size), "" if is_for_access else filesystem, meant, parameters
        for other in _WRITERS:
            # the oldest too of who knows newer ones: "Plugins MUST accept and allow use of the SINGLE_NODE_WRITER"
            if other in self.accesses - asked:
                yield self.size(SMALL), "", other, {}
        for size in left:
            yield self.size(size), "", usual, {}

    def lacks(self, filesystem: str, access: VolumeAccess, provider: StorageProvider) -> list[str]:
        """What of these is not for this provider."""
        knows = "SingleNodeMultiWriter" in provider.capabilities
        may_ask = access in self.accesses or (knows and access == _MULTI_WRITER)
        lacking = []
        if filesystem and filesystem not in self.filesystems:
            lacking.append(f"the file system {filesystem}")
        if not may_ask or access not in _WRITERS or (access in _BY_CAPABILITY and not _tells_writers(provider)):
            lacking.append(f"access by {access}")
        return lacking
