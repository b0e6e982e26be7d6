"""Crashes of processes, as gNOI Healthz tells of them: which events came to be while a device failed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from holdfast.exceptions import HoldfastError, NotFound
from holdfast.pytest_plugin.core_files import FIRST_TIME, LOOK, since
from holdfast.results import Artifact, ComponentStatus

if TYPE_CHECKING:
    from holdfast import Device

UNHEALTHY = "UNHEALTHY"


@dataclass(frozen=True, slots=True)
class Ailment:
    """An event that says UNHEALTHY of a component, and what the device collected on it."""

    component: str
    id: str
    created: datetime | None
    artifacts: tuple[Artifact, ...] = ()

    def __str__(self) -> str:
        when = f" at {self.created.isoformat(sep=' ', timespec='seconds')}" if self.created else ""
        return f"{self.component} is UNHEALTHY{when} (event {self.id or 'without an id'})"


@dataclass
class Health:
    """What Healthz tells of control processors, and why it tells nothing."""

    at: datetime | None = None
    found: list[Ailment] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def look(dut: Device, components: Sequence[str], at: datetime | None) -> Health:
    """The ailments of the control processors, and of what is below them."""
    health = Health(at)
    if not components:
        health.unseen.append("the device shows no control processor to ask about")
    for component in components:
        if not _ask(dut, component, health):
            break  # the next would say the same
    return health


def _ask(dut: Device, component: str, health: Health) -> bool:
    """Whether it is worth asking about others."""
    try:
        events = dut.healthz.list(component, include_acknowledged=True, timeout=LOOK)
    except HoldfastError as error:
        health.unseen.append(f"Healthz.List of {component}: {error.code or type(error).__name__}")
        return isinstance(error, NotFound)
    health.found += [ailment for event in events for ailment in _ailments(event, component)]
    return True


def _ailments(event: ComponentStatus, component: str) -> Iterator[Ailment]:
    """What ails: the innermost of what the event tells of."""
    below = [ailment for inner in event.subcomponents for ailment in _ailments(inner, event.component)]
    if below:
        yield from below
    elif event.status == UNHEALTHY:
        created = event.created if event.created and event.created >= FIRST_TIME else None
        yield Ailment(event.component or component, event.id, created, event.artifacts)


@dataclass
class Judged:
    """What crashed, and what may have."""

    crashed: list[Ailment] = field(default_factory=list)
    doubtful: list[tuple[Ailment, str]] = field(default_factory=list)


def judge(
    before: Health, after: Health, cards: Sequence[str], known: Sequence[Ailment], is_core: Callable[[str], bool]
) -> Judged:
    """What came to ail since `before`. Of the control processors themselves, `cards`, only a core file is a crash.

    One that fails over, or is rebooted, may well call itself unhealthy meanwhile: no contract says what it must.
    """
    judged = Judged()
    seen = {_key(ailment) for ailment in (*before.found, *known)}
    for ailment in after.found:
        if _key(ailment) in seen or (before.at and ailment.created and not since(ailment.created, before.at)):
            continue
        if ailment.component in cards and not any(is_core(held.path or held.name) for held in ailment.artifacts):
            judged.doubtful.append((ailment, "it failed over, or was rebooted"))
        elif not (ailment.created and before.at) and before.unseen:
            judged.doubtful.append((ailment, "what was there before was not seen"))
        else:
            judged.crashed.append(ailment)
    return judged


def _key(ailment: Ailment) -> tuple[str, str, datetime | None]:
    return ailment.component, ailment.id, ailment.created
