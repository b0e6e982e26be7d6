"""The end of a scenario: harm undone, tasks ended, all that was made removed, whatever state its provider is in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from holdfast.exceptions import HoldfastError
from holdfast.storage.account import ScenarioInconclusive

if TYPE_CHECKING:
    from holdfast._core import StorageVolume
    from holdfast.storage.scenario import Scenario

# What failed after longer than this was not answered, and whoever should have is not waited for again. In seconds.
SOON = 2.0
# So long is one waited for who did not answer before, in seconds.
LESS = 1.0
# Whom the lab's own work and that of the provider for all nodes are for, where nodes are told apart by name.
_LAB, _PROVIDER = "", "\0"


class Leaving:
    """Goes on after what fails. Whoever did not answer is asked for the rest as well, but hardly waited for again: a
    driver that hangs holds nobody up for long.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._late: set[str] = set()
        self._troubles: list[str] = []
        # All of it ends then, but for harm and tasks: there are few, and they are ours.
        self._end = time.monotonic() + scenario.limits.leave
        self._left: list[str] = []

    def leave(self) -> list[str]:
        """What could not be done, each once; first what was left when the time for all was over."""
        scenario, lab = self._scenario, self._scenario.lab
        while scenario.harmed:
            self._try(_LAB, lambda timeout: scenario.undo(within=timeout))
        for task in scenario.tasks:
            self._try(_LAB, task.stop, kill=True)
        for volume in scenario.volumes:
            for node in scenario.nodes:
                self._try_in_time(f"the mounts of {volume.name} on {node}", node, lab.reconcile, volume, node)
        # a provider may keep what another is made from
        copies = [volume for volume in scenario.volumes if volume.id in scenario.copies]
        for volume in copies:
            self._remove(volume)
        for snapshot in scenario.snapshots:
            self._try_in_time(f"the snapshot {snapshot.id}", _PROVIDER, lab.remove_snapshot, snapshot)
        for volume in scenario.volumes:
            if volume not in copies:
                self._remove(volume)
        if self._left:
            self._troubles.insert(0, f"it ended after {scenario.limits.leave:g} s; left: {', '.join(self._left)}")
        return list(dict.fromkeys(self._troubles))

    def _remove(self, volume: StorageVolume) -> None:
        scenario = self._scenario
        self._try_in_time(f"the volume {volume.name}", _PROVIDER, scenario.lab.remove, scenario.nodes[0], volume)

    def _try_in_time(self, what: str, whom: str, work: Callable[..., object], *arguments: Any) -> None:
        """The same while there is time for it, else `what` is left."""
        if time.monotonic() < self._end:
            self._try(whom, work, *arguments)
        else:
            self._left.append(what)

    def _try(self, whom: str, work: Callable[..., object], *arguments: Any, **named: Any) -> None:
        seconds = LESS if whom in self._late else self._scenario.limits.call
        seconds = max(LESS, min(seconds, self._end - time.monotonic()))
        began = time.monotonic()
        try:
            work(*arguments, **named, timeout=seconds)
        except (HoldfastError, ScenarioInconclusive) as error:
            self._troubles.append(str(error))
            if time.monotonic() - began > SOON:
                self._late.add(whom)
