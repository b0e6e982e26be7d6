"""Mounts of a volume beside that of a task that keeps it: whatever comes and goes, the task has its volume still."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast._core import StorageTask
    from holdfast.storage.scenario import Scenario


class Beside:
    """The mounts for other tasks of a node on the volume of `keeper`."""

    def __init__(self, scenario: Scenario, keeper: StorageTask) -> None:
        self._scenario = scenario
        self._keeper = keeper

    def mount_unevenly(self, order: Iterable[str]) -> None:
        """Mounts (M) and unmounts (U) by two tasks in turn, and at the end the unmounts that are missing.

        After each unmount the keeper still has its volume where it had it.
        """
        names = ("uneven-a", "uneven-b")
        counts = {"M": 0, "U": 0}
        for each in order:
            name = names[counts[each] % len(names)]
            counts[each] += 1
            if each == "M":
                self._mount(name)
            else:
                self.unmount(name)
        for name in names:
            self.unmount(name)

    def mount(self, name: str) -> None:
        """A mount for a second task on the volume of another."""
        self._mount(name)
        self._expect_seen(f"a mount for the task {name}")

    def _mount(self, name: str) -> None:
        scenario, keeper = self._scenario, self._keeper
        scenario.lab.mount(keeper.volume, keeper.node, name, timeout=scenario.limits.call)

    def unmount(self, name: str) -> None:
        """An unmount for a task of that name, which takes nothing from another task on the same volume."""
        scenario, keeper = self._scenario, self._keeper
        scenario.lab.unmount(keeper.volume, keeper.node, name, timeout=scenario.limits.call)
        self._expect_seen(f"an unmount for the task {name}")

    def mount_again(self) -> None:
        """A volume is mounted once more for a task that has it, and that is taken back: the task has it still."""
        scenario = self._scenario
        what = "a second mount for the task, taken back,"
        with scenario.blaming(f"{what} is not one of two"):
            refusal = scenario.lab.mount_again(self._keeper, timeout=scenario.limits.call)
        if refusal is not None:
            scenario.unchecked("two mounts for one task", refusal)
        self._expect_seen(what)

    def _expect_seen(self, after: str) -> None:
        """A task's volume is where it was mounted, for whoever opens it anew; what a task holds open tells less."""
        scenario = self._scenario
        with scenario.blaming(f"after {after} the volume of the task is not where it was mounted"):
            seen = scenario.lab.see(self._keeper, timeout=scenario.limits.call)
        if not seen:
            scenario.unchecked("where a task has its volume", "nobody can look there")
