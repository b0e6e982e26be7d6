"""What no case may leave behind where a device fails over: a new core file, a process that crashed.

A device that serves neither File nor Healthz is not checked. What came to be is fetched into `--dut-artifacts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from holdfast import profiles
from holdfast.exceptions import ExpectationFailed, HoldfastError
from holdfast.pytest_plugin import core_files, fetched, process_health, processes
from holdfast.pytest_plugin.case import Case, Inconclusive, NotChecked
from holdfast.pytest_plugin.core_files import LOOK, CoreFile
from holdfast.pytest_plugin.process_health import Ailment

if TYPE_CHECKING:
    import pytest

    from holdfast import Device
    from holdfast.pytest_plugin.run import Run

# The names of the steps.
NO_CORE, NO_CRASH = "no new core file", "no process crashed"
# Triggers that end a process, or do what they like: a core file may be theirs.
RUDE = ("kill:", "command:")


@dataclass
class Known:
    """What earlier cases of a run saw, and when the first of them began, by the device's clock."""

    began: datetime | None = None
    cores: list[CoreFile] = field(default_factory=list)
    ailments: list[Ailment] = field(default_factory=list)
    # What each control processor showed when it was last looked at as the active one, by its name.
    shown: dict[str, core_files.CoreFiles] = field(default_factory=dict)

    def note(self, cores: core_files.CoreFiles) -> None:
        """Keeps what was seen."""
        self.cores += cores.found
        if cores.active is not None:
            self.shown[cores.active] = cores


@contextmanager
def watched(run: Run, dut: Device, item: pytest.Item, cases: Sequence[Case]) -> Iterator[None]:
    """Look before and after what is done within, and add what was found to those cases that failed over."""
    if item.get_closest_marker("disruptive") is None:
        yield
        return
    before = Look.at(run, dut)
    try:
        yield
    except Exception:
        _judge(run, dut, item, cases, before)
        raise
    else:
        _judge(run, dut, item, cases, before)


@dataclass
class Look:
    """What lies on a device, and what ails it, at one moment."""

    cores: core_files.CoreFiles
    health: process_health.Health
    control_processors: list[str]

    @classmethod
    def at(cls, run: Run, dut: Device) -> Look:
        """Now. What cannot be seen is said; nothing is raised."""
        try:
            roles = profiles.shown(dut, timeout=LOOK)
        except HoldfastError as error:  # it does not answer: nothing else of it need be asked
            why = f"the device does not show its control processors: {core_files.said(error)}"
            return cls(core_files.CoreFiles(unseen=[why]), process_health.Health(unseen=[why]), [])
        time = None
        with suppress(HoldfastError):
            time = dut.system.time(timeout=LOOK)
        active = profiles.active(roles)
        control_processors = [cp.name for cp in roles]
        cores = core_files.look(dut, run.profile, active, time)
        return cls(cores, process_health.look(dut, control_processors, time, active), control_processors)


def _judge(run: Run, dut: Device, item: pytest.Item, cases: Sequence[Case], before: Look) -> None:
    concerned = [case for case in cases if case.failed_over]
    if not concerned:
        return
    known: Known = run.shared.setdefault(Known, Known())
    known.began = known.began or before.cores.at
    if not any(case.failures for case in concerned):
        _await_standby(dut)
    after = Look.at(run, dut)
    control_processors = [*before.control_processors, *after.control_processors]
    last_shown = known.shown.get(after.cores.active or "")
    cores = core_files.judge(before.cores, after.cores, known.cores, known.began, last_shown)
    signs = process_health.Signs(run.profile.is_core_file, partial(processes.is_process, dut, control_processors))
    crashes = process_health.judge(before.health, after.health, control_processors, known.ailments, signs)
    if run.trigger.startswith(RUDE):
        why = f"--dut-trigger {run.trigger} may have made it"
        cores.doubtful += [(core, why) for core in cores.new]
        crashes.doubtful += [(ailment, why) for ailment in crashes.crashed]
        cores.new, crashes.crashed = [], []
    known.note(before.cores)
    known.note(after.cores)
    known.ailments += [*before.health.found, *after.health.found]
    came = fetched.fetch(
        run,
        dut,
        item,
        [*cores.new, *(core for core, _ in cores.doubtful)],
        [*crashes.crashed, *(ailment for ailment, _ in crashes.doubtful)],
    )
    for case in concerned:
        case.noted.extend(came)
        with case.depth(NO_CORE):
            _expect_none("a core file came to be", cores.new, cores.doubtful, after.cores.unseen)
        with case.depth(NO_CRASH):
            _expect_none("a process crashed", crashes.crashed, crashes.doubtful, after.health.unseen)


def _await_standby(dut: Device) -> None:
    """What the old active left is seen once it is back; whether it comes back is another step's."""
    with suppress(HoldfastError):
        roles = profiles.shown(dut, timeout=LOOK)
        primary = profiles.active(roles)
        if primary is not None and len(roles) > 1:
            dut.expect_redundant(primary)


def _expect_none(
    what: str, new: Sequence[object], doubtful: Sequence[tuple[object, str]], unseen: Sequence[str]
) -> None:
    if new:
        raise ExpectationFailed(f"{what}: {_listed(new)}")
    if doubtful:
        raise Inconclusive(_listed(f"{it}: {why}" for it, why in doubtful))
    if unseen:
        raise NotChecked("; ".join(unseen))


def _listed(things: Iterable[object]) -> str:
    return "; ".join(str(thing) for thing in things)
