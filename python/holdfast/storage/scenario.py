"""A scenario under way: its volumes and tasks, the harm it does and undoes, and what it may say at the end."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from holdfast import waiting
from holdfast.choices import COMES_BACK, StorageFault, TaskStage, VolumeAccess
from holdfast.exceptions import (
    ExpectationFailed,
    HoldfastError,
    LabError,
    OutOfRange,
    ResourceExhausted,
    Timeout,
)
from holdfast.results import Unchecked
from holdfast.storage import together
from holdfast.storage.account import Limits, ScenarioAccount, ScenarioInconclusive, ScenarioNotRun
from holdfast.storage.harm import does
from holdfast.storage.leaving import Leaving
from holdfast.storage.offer import SIZE, Offer, not_asked_of_claims
from holdfast.storage.own_time import OwnTime

if TYPE_CHECKING:
    from holdfast._core import StorageLab, StorageSnapshot, StorageTask, StorageVolume
    from holdfast.results import LedgerVerdict, StorageLeftover, StorageProvider

Given = TypeVar("Given")
Made = TypeVar("Made")
# After these no pod's log can be read, or none that goes on.
SILENCES_LOGS = ("kill_kubelet", "kill_api_server", "kill_etcd", "kill_runtime", "live_restore_on")
STAGES: tuple[TaskStage, ...] = ("idle", "appending", "overwriting", "mid-fsync")
# From one look to the next, in seconds.
LOOK = 0.02


class Scenario:
    """The lab as a scenario uses it."""

    def __init__(self, lab: StorageLab, name: str, limits: Limits) -> None:
        self.lab = lab
        self.name = name
        self.folder = ""  # where the lab keeps its own files, if it has one
        self.forbidden = ""  # why no harm may be done here
        self.deaf = ""  # why nobody hears what a task tells whose node is lost
        self.limits = limits
        self.account = ScenarioAccount()
        self.provider: StorageProvider = lab.provider()
        self.nodes: list[str] = lab.nodes()
        self.volumes: list[StorageVolume] = []
        self.snapshots: list[StorageSnapshot] = []
        self.copies: set[str] = set()  # the ids of volumes that were made from others
        self.tasks: list[StorageTask] = []
        self.offer = Offer(minimum=self.provider.minimum)
        self.sent: dict[str, dict[str, str]] = {}  # what each volume was asked for, by its name
        self._alone: str | None = None  # why no second node can have a volume, once that is known
        self.unseen: Unchecked | None = None  # what of the nodes cannot be looked at
        self.plugin_unseen = ""  # why nobody can ask a plugin whether it is there
        self.runner = ""  # in words, where its name does not say all
        self.mounts_once = False  # whether nobody is asked for a task's mount that is there
        self.at_once = False  # whether what is alike for several volumes is asked for side by side
        self.ends_at_hand_over = False  # a task that the cluster keeps, once its next life is said
        self._undo: list[tuple[str, StorageFault]] = []
        self._numbers = itertools.count(1)  # of names; which several may ask for at once
        self._began = time.monotonic()
        self.own_time = OwnTime(lab.busy)
        self._harmed: float | None = None
        self.unmounts_lost: set[str] = set()

    # What there must be.

    def expect_introduced(self) -> None:
        """The provider said who it is and what it can do."""
        self.expect(not self.provider.fault, f"{self.provider.name} does not introduce itself: {self.provider.fault}")

    def need(self, *capabilities: str) -> None:
        """The provider can do all of that, or this does not run."""
        self.expect_introduced()
        for capability in capabilities:
            if capability not in self.provider.capabilities:
                raise ScenarioNotRun(self._why_not(capability))

    def _why_not(self, capability: str) -> str:
        why = not_asked_of_claims(self.provider.runner, capability)
        return why or f"{self.provider.name} does not have the capability {capability}"

    def why_alone(self) -> str:
        """Why no second node can have a volume of the first; empty where it can. A driver with a topology says so of
        a volume that it made.
        """
        if "Local" in self.provider.capabilities:
            return f"{self.provider.name}: its volumes are local"
        if "Topology" not in self.provider.capabilities:
            return ""
        if self._alone is None:
            first, second = self.nodes[:2]
            reach = self.create(first).accessible
            nodes = ", ".join(reach or ()) or "no node"
            self._alone = (
                ""
                if reach is None or second in reach
                else f"{self.provider.name}: a volume for {first} is accessible from {nodes} alone"
            )
        return self._alone

    def need_second_node(self) -> None:
        """Another node can have a volume, or this does not run."""
        if self.why_alone():
            raise ScenarioNotRun(self.why_alone())

    def other_node(self) -> str:
        """A node that has not had a volume: the second; where no second can have it, the first again."""
        if not self.why_alone():
            return self.nodes[1]
        self.unchecked("a volume on a second node", self.why_alone())
        return self.nodes[0]

    def unchecked(self, what: str, why: str) -> None:
        """List something as not checked, once."""
        unchecked = Unchecked(what, why.replace(self.folder, "…") if self.folder else why)
        if unchecked not in self.account.not_checked:
            self.account.not_checked.append(unchecked)

    def need_fault(self, *faults: StorageFault) -> None:
        """The lab can do all of that harm, or this does not run. Who does more than one is asked for all of them before
        the first.
        """
        for fault in faults:
            lacking = self.forbidden or (self.deaf if fault in SILENCES_LOGS else "") or self.lab.lacks(fault)
            if lacking is not None:
                raise ScenarioNotRun(lacking)

    def can(self, capability: str, what: str) -> bool:
        """Whether the provider can do that; if not, `what` is listed as not checked."""
        if capability in self.provider.capabilities:
            return True
        self.unchecked(what, self._why_not(capability))
        return False

    @property
    def access(self) -> VolumeAccess:
        """What a task's volume is for."""
        return self.offer.access(self.provider)

    # Volumes and tasks.

    def create(
        self,
        node: str | None = None,
        *,
        name: str | None = None,
        size: int = SIZE,
        filesystem: str = "",
        access: VolumeAccess | None = None,
        parameters: dict[str, str] | None = None,
        block: bool = False,
        source: StorageSnapshot | StorageVolume | None = None,
        also: Sequence[VolumeAccess] = (),
        refusable: bool = False,
        timeout: float | None = None,
    ) -> StorageVolume:
        """A volume, which is removed at the end; of a provider that makes none of this size, this does not run, unless
        it shall be refused.
        """
        self.expect_introduced()
        if self.provider.lacks:
            raise ScenarioNotRun(f"{self.provider.name}: {self.provider.lacks}")
        name = name or self.unused_name()
        sent = self.parameters_of(name, parameters)
        try:
            volume = self.lab.create(
                node or self.nodes[0],
                name,
                self.offer.size(size),
                filesystem=filesystem,
                access=access or self.access,
                parameters=sent,
                block=block,
                source=source,
                also=also,
                timeout=timeout or self.limits.call,
            )
        except (OutOfRange, ResourceExhausted) as error:
            if refusable:
                raise
            raise self.offer.not_to_be_had(self.provider.name, self.offer.size(size), error) from error
        self.sent.setdefault(name, sent)
        if source is not None and volume.id != source.id:
            self.copies.add(volume.id)
        if all(known.id != volume.id for known in self.volumes):
            self.volumes.append(volume)
        return volume

    def remove(self, volume: StorageVolume) -> None:
        """A volume that nobody has any more goes before the end."""
        self.lab.remove(self.nodes[0], volume, timeout=self.limits.call)
        self.volumes.remove(volume)

    def parameters_of(self, name: str, parameters: dict[str, str] | None = None) -> dict[str, str]:
        """Those of every volume, and its own."""
        always = {key: text.replace("{volume}", name) for key, text in self.offer.parameters.items()}
        return {**always, **(parameters or {})}

    def unused_name(self) -> str:
        """A name that no volume has."""
        return f"{self.lab.run_name()}-{self.name.lower()}-{next(self._numbers)}"

    def begin(
        self,
        volume: StorageVolume,
        node: str,
        stage: TaskStage = "appending",
        *,
        kept: bool = False,
        timeout: float | None = None,
    ) -> StorageTask:
        """A task that starts to write on a volume; one that is `kept` the cluster runs again."""
        self.offer.expect_room(self.provider.name, self.tasks, volume, node)
        task = self.lab.run(volume, node, stage=stage, kept=kept, timeout=timeout or self.limits.call)
        self.tasks.append(task)
        return task

    def run(
        self, volume: StorageVolume, node: str, stage: TaskStage = "appending", *, kept: bool = False
    ) -> StorageTask:
        """A task that writes on a volume, and has written some."""
        task = self.begin(volume, node, stage, kept=kept)
        task.wait_acknowledged(self.limits.enough, timeout=self.limits.call)
        return task

    def start(self, node: str, *, kept: bool = False) -> list[StorageTask]:
        """A task in each stage, each on a volume of its own; each has written some while the others came."""
        named = [(self.unused_name(), stage) for stage in STAGES]
        volumes = self.each(lambda pair: (self.create(node, name=pair[0]), pair[1]), named)
        return self.written(self.each(lambda pair: self.begin(pair[0], node, pair[1], kept=kept), volumes))

    def written(self, tasks: Iterable[StorageTask]) -> list[StorageTask]:
        """Those tasks, once each has written some."""
        tasks = list(tasks)
        for task in tasks:
            task.wait_acknowledged(self.limits.enough, timeout=self.limits.call)
        return tasks

    def expect_progress(self, tasks: Iterable[StorageTask], records: int | None = None) -> None:
        """Each task that writes goes on writing, so many records at least from now on."""
        more = records or self.limits.enough
        for task, number in [(task, task.acknowledged + more) for task in tasks if task.stage != "idle"]:
            task.wait_acknowledged(number, timeout=self.limits.call)

    def finish(self, tasks: Iterable[StorageTask]) -> None:
        """Each task stops, and gives its volume back."""

        def end(task: StorageTask) -> None:
            task.stop(timeout=self.limits.call)
            self.lab.release(task, timeout=self.limits.call)

        together.all_of(self.each(end, tasks))

    def each(self, work: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
        """What work makes of each, in their order: one after the other, or at once where whoever schedules works so and
        no node has room for so many volumes alone, of which each must be seen to go before the next comes.
        """
        at_once = self.at_once and not self.offer.most_volumes
        return together.at_once(work, given) if at_once else map(work, given)

    # Harm.

    def harm(
        self, node: str, fault: StorageFault, *, undo: StorageFault | None = None, under: Sequence[StorageTask] = ()
    ) -> None:
        """Do harm; where tasks are given, while one of them waits for the disk."""
        if not does(self.name, fault):
            raise AssertionError(f"{self.name} does {fault}, which no plan says: see holdfast.storage.harm")
        self.need_fault(fault, *([undo] if undo else []))
        for task in under:
            if task.stage == "mid-fsync":
                task.wait_syncing(timeout=self.limits.call)
        if undo is not None and not fault.startswith("live_restore"):  # a setting, which harms nobody
            self.own_time.harm()
        try:
            self._inflict(node, fault)
        except (ScenarioInconclusive, ExpectationFailed):
            if undo is not None and not self.folder:  # what was done by half to a host is undone all the same
                with suppress(HoldfastError):
                    self.lab.inflict(node, undo, timeout=self.limits.call)
            raise
        self._harmed = time.monotonic()
        if undo is not None:
            self._undo.append((node, undo))
        if undo == "start_plugin" and self.plugin_unseen:
            self.unchecked("whether the plugin was down", self.plugin_unseen)

    @property
    def harmed(self) -> bool:
        """Whether harm is left to be undone."""
        return bool(self._undo)

    def trouble(self) -> str | None:
        """What is wrong with the lab itself, if something is. A control plane that was harmed is brought back first:
        its silence is no trouble.
        """
        if any(undo in ("start_api_server", "start_etcd") for _, undo in self._undo):
            with suppress(HoldfastError, ScenarioInconclusive):
                self.undo(within=self.limits.call)
        return self.lab.trouble()

    def undo(self, *, within: float | None = None) -> None:
        """Undo all harm; what comes up again has so many seconds, the scenario's deadline if nothing else is said."""
        while self._undo:
            node, fault = self._undo.pop()
            self._inflict(node, fault)
            if fault in COMES_BACK:
                self.lab.wait_ready(node, timeout=within or self.limits.deadline)
        self.own_time.undone()

    def _inflict(self, node: str, fault: StorageFault) -> None:
        try:
            self.lab.inflict(node, fault, timeout=self.limits.call)
        except Timeout as error:
            if fault != "drain":
                raise ScenarioInconclusive(f"{fault} did not take on {node}: {error}") from error
            # the cluster did its part: what does not end is a pod, whose volume is not let go of
            raise ExpectationFailed(f"what was evicted from {node} does not end: {error}") from error
        except HoldfastError as error:
            raise ScenarioInconclusive(f"{fault} did not take on {node}: {error}") from error
        self.account.faults.append(f"{fault} on {node} at {time.monotonic() - self._began:.2f} s")

    def sit(self, tasks: Iterable[StorageTask], seconds: float) -> None:
        """Let so much time pass; a task that fails ends it."""
        end = time.monotonic() + seconds
        for task in tasks:
            why = task.wait_failed(timeout=max(0.0, end - time.monotonic()))
            if why is not None:
                raise ExpectationFailed(f"a task on {task.node} ({task.stage}) got an error: {why}")

    # The judge.

    def note_recovery(self) -> None:
        """All tasks that the harm ended go on by now."""
        if self._harmed is not None:
            self.account.recovery = time.monotonic() - self._harmed

    @contextmanager
    def blaming(self, what: str, *but: type[HoldfastError]) -> Iterator[None]:
        """An error within is the provider's, and said so; `but` those that are said as they are, as the lab's own."""
        try:
            yield
        except HoldfastError as error:
            if isinstance(error, (LabError, *but)):
                raise
            raise ExpectationFailed(f"{what}: {error}") from error

    def look(self, volume: StorageVolume, node: str, *, timeout: float | None = None) -> LedgerVerdict:
        """What the judge finds on a volume, as a node sees it; the node may have to get it first."""
        return self.lab.verify(volume, node, timeout=timeout or self.limits.call)

    def expect_whole(self, volume: StorageVolume, node: str, *, timeout: float | None = None) -> LedgerVerdict:
        """What the judge found: every acknowledged record, unaltered, in order, of the one writer that had it."""
        return self._add(volume, self.look(volume, node, timeout=timeout))

    def expect_all_whole(
        self, tasks: Iterable[StorageTask], node: str | None = None, *, end: float | None = None
    ) -> None:
        """The same of each task's volume, as a node sees it: its own, if no other is given. `end` is for all of them,
        on the monotonic clock.
        """

        def look(task: StorageTask) -> LedgerVerdict:
            timeout = None if end is None else waiting.left(end)
            return self.look(task.volume, node or task.node, timeout=timeout)

        tasks = list(tasks)
        for task, found in zip(tasks, self.each(look, tasks), strict=True):
            self._add(task.volume, found)

    def _add(self, volume: StorageVolume, found: LedgerVerdict) -> LedgerVerdict:
        account = self.account
        account.acknowledged += found.acknowledged
        account.lost += found.lost
        account.altered += found.altered
        account.stale += found.stale
        if found.findings:
            more = f"; and {len(found.findings) - 5} more" if len(found.findings) > 5 else ""
            findings = "; ".join(map(str, found.findings[:5]))
            raise ExpectationFailed(
                f"of {found.acknowledged} acknowledged records on {volume.name}: {findings}{more}",
                hint="docs/ledger.md says what each finding means",
            )
        return found

    def expect_errors(self, tasks: Iterable[StorageTask]) -> None:
        """Each task that writes is told that it cannot any more, or has ended: a kubelet ends whoever was evicted."""
        if self.deaf:
            self.unchecked("that the old writer is told an error", self.deaf)
        for task in tasks:
            if task.stage == "idle" or self.deaf:
                continue
            if not self._until(partial(_writes_no_more, task), self.limits.deadline):
                within = f"after {self.limits.deadline} s"
                raise ExpectationFailed(f"the old writer ({task.stage}) on {task.node} got no error {within}")
            if task.failed is None:
                self.unchecked("that the old writer is told an error", f"{self.provider.runner} ended it before it was")

    def expect_undisturbed(self, tasks: Sequence[StorageTask], since: Sequence[int]) -> None:
        """No task got an error, or waited too long for an acknowledgement since it had so many."""
        for task, before in zip(tasks, since, strict=True):
            why = task.failed
            if why is not None:
                raise ExpectationFailed(f"a task on {task.node} ({task.stage}) got an error: {why}")
            if self.deaf:
                self.unchecked("how long a task stood still", self.deaf)
                continue
            pause = task.longest_pause(before)
            if pause > self.limits.pause:
                stood = f"stood still for {pause:.2f} s, and may for {self.limits.pause} s"
                raise ExpectationFailed(f"a task on {task.node} ({task.stage}) {stood}")

    def expect_dead(self, task: StorageTask) -> None:
        """Whoever runs a task knows that it is dead."""
        if self._until(lambda: task.ended() is not None, self.limits.deadline):
            return
        raise ExpectationFailed(f"the task ({task.stage}) is not known to be dead after {self.limits.deadline} s")

    def expect_nothing_left(self) -> None:
        """Nothing of this scenario's volumes is mounted, attached or running."""
        left: list[StorageLeftover] = []
        if self.unseen:
            self.unchecked(self.unseen.what, self.unseen.why)
        if "Attach" in self.provider.capabilities:
            self.can("ListNodes", "what stays attached")

        def nothing() -> bool:
            found = self.lab.leftovers(self.volumes, timeout=self.limits.call)
            left[:] = [each for each in found if each.kind != "mount" or each.node not in self.unmounts_lost]
            return not left

        if not self._until(nothing, self.limits.settle):
            raise ExpectationFailed(f"left over: {'; '.join(map(str, left))}")

    def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        with self.own_time.waits_for_others():
            return waiting.until(holds, seconds, look=LOOK)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Something holds, or the scenario fails for that."""
        if not holds:
            raise ExpectationFailed(otherwise)

    @contextmanager
    def refused(
        self, what: str, *, but: tuple[type[HoldfastError], ...] = (), unless: str | None = None
    ) -> Iterator[None]:
        """The provider refuses what is done within, `but` by some errors: who hangs or dies refuses nothing. Where
        `unless` says why it may accept that, it is listed as not checked then.
        """
        try:
            yield
        except LabError:
            raise  # that was not the provider
        except HoldfastError as error:
            if isinstance(error, but):
                raise ExpectationFailed(f"{what} is not refused, but left without an answer: {error}") from error
            return
        if unless is None and self.plugin_unseen and any(fault == "start_plugin" for _, fault in self._undo):
            raise ScenarioInconclusive(f"accepted: {what}; whether it is down, nobody here sees: {self.plugin_unseen}")
        if unless is None:
            raise ExpectationFailed(f"accepted: {what}")
        self.unchecked(what, unless)

    # The end.

    def leave(self) -> list[str]:
        """Undo all harm, end all tasks, remove all volumes; what could not be is told."""
        return Leaving(self).leave()


def _writes_no_more(task: StorageTask) -> bool:
    """Whether a task was told of an error within a second, or has ended."""
    return task.wait_failed(timeout=1.0) is not None or task.ended() is not None
