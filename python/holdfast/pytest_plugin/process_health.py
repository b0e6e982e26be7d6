"""Crashes of processes, as gNOI Healthz tells of them: which events came to be while a device failed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING

from holdfast.exceptions import HoldfastError, NotFound, RpcError
from holdfast.pytest_plugin import core_files
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
    """What Healthz tells of control processors, and why it tells nothing; `active` is the one that told it."""

    at: datetime | None = None
    found: list[Ailment] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    active: str | None = None
    # When it was asked by our clock, which nobody sets.
    asked: float = field(default_factory=monotonic)


def look(dut: Device, components: Sequence[str], at: datetime | None, active: str | None = None) -> Health:
    """The ailments of the control processors, and of what is below them."""
    health = Health(at, active=active)
    if not components:
        health.unseen.append("the device shows no control processor to ask about")
    for component in components:
        if not _ask(dut, component, health):
            break  # the next would say the same
    return health


def _ask(dut: Device, component: str, health: Health) -> bool:
    """Whether it is worth asking about others."""
    try:
        events = _events(dut, component)
    except HoldfastError as error:
        health.unseen.append(f"Healthz.List of {component}: {core_files.said(error)}")
        return isinstance(error, NotFound)
    health.found += [ailment for event in events for ailment in _ailments(event, component)]
    return True


def _events(dut: Device, component: str) -> Sequence[ComponentStatus]:
    """Its events; of a device that does not list them, the latest."""
    try:
        return dut.healthz.list(component, include_acknowledged=True, timeout=LOOK)
    except RpcError:
        with suppress(RpcError):
            return (dut.healthz.get(component, timeout=LOOK),)
        raise


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


@dataclass(frozen=True, slots=True)
class Signs:
    """By what a crash is known: a core file by its path, a process by what the device says of the component."""

    is_core: Callable[[str], bool]
    is_process: Callable[[str], bool]


def judge(
    before: Health, after: Health, control_processors: Sequence[str], known: Sequence[Ailment], signs: Signs
) -> Judged:
    """What came to ail since `before`: a crash, where a core file was collected or a process ails.

    A control processor that fails over, or is rebooted, may well call itself unhealthy meanwhile, and what is on it: no
    contract says what it must.
    """
    judged = Judged()
    seen = {_key(ailment) for ailment in (*before.found, *known)}
    for ailment in after.found:
        if _key(ailment) in seen:
            continue
        doubt = _doubt(ailment, before, after, control_processors, signs)
        if doubt is None:
            judged.crashed.append(ailment)
        elif doubt:
            judged.doubtful.append((ailment, doubt))
    return judged


def _doubt(
    ailment: Ailment, before: Health, after: Health, control_processors: Sequence[str], signs: Signs
) -> str | None:
    """Why it may be no crash, or an old one; None where it is a new one, and nothing where it is old for sure."""
    if doubt := core_files.doubt_of_clocks(ailment.created, before.at, after.at, after.asked - before.asked):
        return doubt
    if before.at and ailment.created and not since(ailment.created, before.at):
        seen_before = before.active == after.active
        return "" if seen_before else core_files.in_another_zone(ailment.created, before.at, after.at)
    if before.active != after.active and not (ailment.created and before.at and ailment.id):
        return "it has no time, or no id, and another control processor tells of it now"
    if before.unseen and not (ailment.created and before.at):
        return "what was there before was not seen"
    return _doubt_of_crash(ailment, before, control_processors, signs)


def _doubt_of_crash(ailment: Ailment, before: Health, control_processors: Sequence[str], signs: Signs) -> str | None:
    """Why something new may be no crash; None where it is one."""
    held = _cores(ailment, signs)
    earlier = [other for other in before.found if other.component == ailment.component]
    if held - {core for other in earlier for core in _cores(other, signs)}:
        return None
    if earlier:
        return "it was UNHEALTHY before"
    if ailment.component in control_processors:
        return "it failed over, or was rebooted"
    if not signs.is_process(ailment.component):
        return (
            "it is not known to be a process, and what failed over, or was rebooted, may call all of itself UNHEALTHY"
        )
    return None


def _cores(ailment: Ailment, signs: Signs) -> set[str]:
    """The core files that were collected on it."""
    return {name for held in ailment.artifacts if signs.is_core(name := held.path or held.name)}


def _key(ailment: Ailment) -> tuple[str, str, datetime | None]:
    return ailment.component, ailment.id, ailment.created
