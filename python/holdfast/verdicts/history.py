"""What a client asked of a device and saw there, and whether it may have seen that.

One client asks, one thing after the other. So what may be is a set of states for each object: an operation that was
executed moves them on, one that was not leaves them, and one of which nobody knows may take effect then, at any time
later (a device goes on with what its client has given up), or never. That is exact: a search through orders, as
checkers of concurrent histories make it, has nothing else to choose here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Outcome = Literal["executed", "not executed", "unknown"]

ABSENT, THERE, RUNNING, STOPPED = "absent", "there", "running", "stopped"
# How each operation moves a state on; what is not named here stays as it is.
MOVES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "image": {"deploy": {ABSENT: THERE}, "remove": {THERE: ABSENT}},
    "volume": {"create": {ABSENT: THERE}, "remove": {THERE: ABSENT}},
    "plugin": {"start": {ABSENT: THERE}, "remove": {THERE: ABSENT}},
    "container": {
        "start": {ABSENT: RUNNING},
        "stop": {RUNNING: STOPPED},
        "remove": {RUNNING: ABSENT, STOPPED: ABSENT},
    },
}
LOOK = "look"
# The operations that make something.
MAKES = ("create", "deploy", "start")


@dataclass(frozen=True)
class Entry:
    """An operation, and what the client knows of it; or a look (`operation` is `look`), and what it `found`.

    Times are seconds since the history began.
    """

    kind: str
    name: str
    operation: str
    began: float
    ended: float | None
    outcome: Outcome = "executed"
    said: str = ""
    found: str = ""


@dataclass(frozen=True)
class World:
    """A state that an object may be in, and the operations that may `late` take effect there."""

    state: str
    late: tuple[Entry, ...] = ()


Worlds: TypeAlias = frozenset[World]
NOTHING: Worlds = frozenset({World(ABSENT)})


@dataclass(frozen=True)
class History:
    """All of it, in its order. `forgives`: what was executed may have been lost, for the device crashed, `failed`
    seconds after the history began; so what was seen before that says nothing of what is there afterwards.

    What had ended when the standby was `in_step`, and what began when the device was `back`, no crash may take away.
    """

    entries: Sequence[Entry]
    seed: str = ""
    forgives: bool = False
    failed: float | None = None
    in_step: float | None = None
    back: float | None = None

    def encoded(self) -> dict[str, Any]:
        """As it is kept."""
        entries = [asdict(entry) for entry in self.entries]
        times = {"failed": self.failed, "in_step": self.in_step, "back": self.back}
        return {"seed": self.seed, "forgives": self.forgives, **times, "entries": entries}

    @staticmethod
    def decoded(stored: Mapping[str, Any]) -> History:
        """From what was kept. Raises KeyError, TypeError or ValueError where that is none."""
        entries = tuple(Entry(**entry) for entry in stored["entries"])
        for entry in entries:
            if entry.operation != LOOK and entry.operation not in MOVES[entry.kind]:
                raise ValueError(f"{entry.operation} of a {entry.kind}")
        times = {
            name: None if (time := stored.get(name)) is None else float(time) for name in ("failed", "in_step", "back")
        }
        return History(entries, str(stored.get("seed", "")), bool(stored.get("forgives", False)), **times)

    def possible(self, kind: str, name: str) -> frozenset[str]:
        """What an object may be after all of it."""
        worlds = NOTHING
        for entry in self._of(kind, name):
            worlds = self._after(worlds, entry)
        return _states(worlds)

    def findings(self) -> list[str]:
        """What was seen and could not be."""
        return [finding for kind, name in self.objects for finding in self._findings_of(kind, name)]

    @property
    def objects(self) -> list[tuple[str, str]]:
        """Kind and name of all that it is about."""
        return list(dict.fromkeys((entry.kind, entry.name) for entry in self.entries))

    def _of(self, kind: str, name: str) -> Iterable[Entry]:
        return (entry for entry in self.entries if (entry.kind, entry.name) == (kind, name))

    def _findings_of(self, kind: str, name: str) -> Iterator[str]:
        worlds, last = NOTHING, "nothing was asked of it"
        for entry in self._of(kind, name):
            states = _states(worlds)
            if entry.operation != LOOK:
                last = f"{entry.operation} was {entry.outcome}{f' ({entry.said})' if entry.said else ''}"
            elif entry.found not in states:
                yield f"{kind} {name} is {entry.found}, where only {' or '.join(sorted(states))} may be: {last}"
            worlds = self._after(worlds, entry)

    def _after(self, worlds: Worlds, entry: Entry) -> Worlds:
        if entry.operation == LOOK:
            return self._after_look(worlds, entry)
        if entry.outcome == "not executed":
            return worlds
        if entry.outcome == "unknown":
            return _with_late_effects(frozenset(World(world.state, (*world.late, entry)) for world in worlds))
        moves = MOVES[entry.kind][entry.operation]
        moved = frozenset(World(moves.get(world.state, world.state), world.late) for world in worlds)
        return _with_late_effects(moved | worlds if self._may_be_lost(entry) else moved)

    def _after_look(self, worlds: Worlds, entry: Entry) -> Worlds:
        seen = frozenset(world for world in worlds if world.state == entry.found) or {World(entry.found)}
        if self._may_be_lost(entry) and self._is_before_the_failure(entry):
            return frozenset(seen | worlds)
        if self.back is not None and entry.began >= self.back:  # what the old active was about, died with it
            seen = frozenset(
                World(world.state, tuple(filter(self._outlives_the_failure, world.late))) for world in seen
            )
        return _with_late_effects(seen)

    def _outlives_the_failure(self, entry: Entry) -> bool:
        return not self._is_before_the_failure(entry)

    def _may_be_lost(self, entry: Entry) -> bool:
        """Whether the crash may have taken it away."""
        if not self.forgives:
            return False
        is_kept = self.in_step is not None and entry.ended is not None and entry.ended <= self.in_step
        return not is_kept and (self.back is None or entry.began < self.back)

    def _is_before_the_failure(self, entry: Entry) -> bool:
        return self.failed is not None and entry.began < self.failed


def _states(worlds: Worlds) -> frozenset[str]:
    return frozenset(world.state for world in worlds)


def _with_late_effects(worlds: Iterable[World]) -> Worlds:
    """These, and what they become as operations take effect that may: each once, in any order."""
    reached: set[World] = set()
    waiting = list(worlds)
    while waiting:
        world = waiting.pop()
        if world in reached:
            continue
        reached.add(world)
        for at, entry in enumerate(world.late):
            moved = MOVES[entry.kind][entry.operation].get(world.state)
            if moved is not None:
                waiting.append(World(moved, world.late[:at] + world.late[at + 1 :]))
    return frozenset(reached)
