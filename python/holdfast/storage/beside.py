"""Mounts of a volume beside that of a task that keeps it: whatever comes and goes, the task has its volume still."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast._core import StorageTask
    from holdfast.storage.scenario import Scenario

# The tasks of uneven mounts, in turn.
UNEVEN = ("uneven-a", "uneven-b")


def orders(*, once: bool) -> list[list[tuple[str, ...]]]:
    """The orders of mounts (M) and unmounts (U) by two tasks in turn, in rounds: of one to three mounts with another
    number of unmounts. Where the mount of a task is asked for once and its unmount too, as of a pod, it is one round,
    of those alone that differ in what is done.

    >>> [len(round) for round in orders(once=False)], [len(round) for round in orders(once=True)]
    ([3, 4, 3, 10, 4, 10], [10])
    """
    rounds = [
        sorted(set(itertools.permutations("M" * mounts + "U" * unmounts)))
        for mounts, unmounts in itertools.permutations((1, 2, 3), 2)
    ]
    by_what_is_done = {_done(order): order for round_ in reversed(rounds) for order in reversed(round_)}
    return [list(by_what_is_done.values())] if once else rounds


def _turns(order: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each mount and unmount, with whose it is; and at the end the unmounts that may be missing."""
    counts = {"M": 0, "U": 0}
    for each in order:
        yield each, UNEVEN[counts[each] % len(UNEVEN)]
        counts[each] += 1
    for name in UNEVEN:
        yield "U", name


def _done(order: Iterable[str]) -> tuple[str, ...]:
    """What changes: mounts of who has none, and unmounts of who has one."""
    have: set[str] = set()
    changes = []
    for each, name in _turns(order):
        if (each == "M") != (name in have):
            have ^= {name}
            changes.append(f"{each} {name}")
    return tuple(changes)


class Beside:
    """The mounts for other tasks of a node on the volume of `keeper`."""

    def __init__(self, scenario: Scenario, keeper: StorageTask) -> None:
        self._scenario = scenario
        self._keeper = keeper

    def mount_unevenly(self, order: Iterable[str]) -> None:
        """Mounts (M) and unmounts (U) by two tasks in turn, and at the end the unmounts that are missing.

        After each unmount the keeper still has its volume where it had it.
        """
        for each, name in _turns(order):
            if each == "M":
                self._mount(name)
            else:
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
