"""What a scenario may take, and what it can say of itself at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.results import Unchecked


class ScenarioNotRun(Exception):
    """The provider or the lab lacks what a scenario needs."""


class ScenarioInconclusive(Exception):
    """A fault did not take, or there was trouble with the lab itself, so nothing can be said."""


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds.

    `deadline` is the scenario's own; `call` is for one call to the provider; `pause` the longest time without an
    acknowledgement where nothing should be noticed; `settle` for what must be gone to be gone. `enough` is how many
    records a task writes before and after a fault. `refusal` is for a call that is to be refused, or that nobody can
    answer. `leave` is for the whole clean-up at the end.
    """

    deadline: float
    call: float
    pause: float
    settle: float
    enough: int
    refusal: float = 10.0
    leave: float = 120.0


@dataclass
class ScenarioAccount:
    """What a scenario can say of itself."""

    acknowledged: int = 0
    lost: int = 0
    altered: int = 0
    stale: int = 0
    recovery: float | None = None
    faults: list[str] = field(default_factory=list)
    not_checked: list[Unchecked] = field(default_factory=list)
