"""What a client does on a device while its active control processor fails, as a seed draws it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from holdfast.verdicts.history import ABSENT, MOVES

# How many operations a history has at most.
OPERATIONS = 14
# How long the emulated device holds the one that the failover meets, in milliseconds: a moment of at most so long, or,
# as often, until the failover ends it, on any machine.
MOMENT, UNTIL_IT_FAILS = 400, 30_000
# The longest from the begin of the operation that the failover meets until the failover is asked for, in seconds.
LATEST = 0.4
# How often something is asked for that is done already, which the device refuses, or which changes nothing.
ONCE_MORE = 0.2
# How often what the failover met is asked for again at once, as by a client that does not know what came of it.
RETRIED = 0.3
# How often something is changed after the failover too: what came of the rest, nothing covers up.
CHANGED_AFTERWARDS = 0.5
# How often the emulated device refuses an operation, before or after it is done; and what it says then. Two of
# these say that it was not done, so that a session asks again: ABORTED and UNAVAILABLE.
REFUSED = 0.15
BEFORE = ("ABORTED", "FAILED_PRECONDITION", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE")
AFTER = ("DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN")


@dataclass(frozen=True, eq=False)
class Subject:
    """Something that the client looks at, and changes: how each operation is done, and by which RPC."""

    kind: str
    name: str
    look: Callable[[], str]
    do: dict[str, Callable[[], object]]
    rpcs: dict[str, str]


@dataclass(frozen=True)
class Change:
    """An operation. `site` and `terms` are the failpoint by which the emulated device holds it or refuses it."""

    subject: Subject
    operation: str
    site: str = ""
    terms: str = ""


class Drawn:
    """A history to come: equal seeds, equal ones. `met` is which of the `changes` the failover meets, `later` seconds
    after it began or, with `holds_on`, after the emulated device holds it.
    """

    holds_on = False

    @property
    def kept(self) -> int:
        """Which of the `changes` a client begins only once the standby has what was done before it."""
        return self.met // 2

    def __init__(self, seed: str, subjects: Sequence[Subject]) -> None:
        self._random = random.Random(f"midway {seed}")  # noqa: S311 - equal seeds, equal histories
        self.met = self._random.randrange(2, OPERATIONS)
        self.later = self._random.random() * LATEST
        self.changes = list(self._changes(list(subjects)))

    def _changes(self, changed: list[Subject]) -> Iterator[Change]:
        """Operations that can be done, if all before were, and now and then one that is done already."""
        states = {subject.name: ABSENT for subject in changed}
        for number in range(OPERATIONS):
            if not changed:
                return
            subject = self._random.choice(changed)
            state = states[subject.name]
            operation = self._operation(subject.kind, state)
            states[subject.name] = MOVES[subject.kind][operation].get(state, state)
            if number != self.met:
                yield Change(subject, operation, *self._refusal(subject.rpcs[operation]))
                continue
            yield Change(subject, operation, *self._hold(subject.rpcs[operation]))
            if self._random.random() < RETRIED:
                yield Change(subject, operation)
            changed = [each for each in changed if self._random.random() < CHANGED_AFTERWARDS]

    def _operation(self, kind: str, state: str) -> str:
        """One that moves `state` on, or one that led to it."""
        moves = MOVES[kind]
        done = sorted(name for name, move in moves.items() if state not in move and state in move.values())
        if done and self._random.random() < ONCE_MORE:
            return self._random.choice(done)
        return self._random.choice(sorted(name for name, move in moves.items() if state in move))

    def _hold(self, rpc: str) -> tuple[str, str]:
        """Where the emulated device holds the operation that the failover meets, and for how long."""
        after = self._random.choice(("", ".after"))
        chunk = ".chunk" if rpc == "Deploy" and self._random.random() < 0.5 else ""
        held = self._random.choice((self._random.randint(1, MOMENT), UNTIL_IT_FAILS))
        self.holds_on = held == UNTIL_IT_FAILS
        return f"containerz.{rpc}{chunk}{after}", f"1*delay({held}ms)"

    def _refusal(self, rpc: str) -> tuple[str, str]:
        """Where it is refused, and what is said: nowhere, most of the time."""
        if self._random.random() >= REFUSED:
            return "", ""
        after, statuses = self._random.choice((("", BEFORE), (".after", AFTER)))
        return f"containerz.{rpc}{after}", f"1*error[{self._random.choice(statuses)}](drawn)"
