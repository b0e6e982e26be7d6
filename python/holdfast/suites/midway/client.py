"""A client that goes on changing things on a device while its active control processor fails, at a drawn moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from holdfast import Device, profiles, visible, waiting
from holdfast.exceptions import (
    AlreadyExists,
    ConnectError,
    ExpectationFailed,
    FailedPrecondition,
    HoldfastError,
    InvalidArgument,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    Timeout,
    Unavailable,
    Unimplemented,
)
from holdfast.failpoint import Failpoint
from holdfast.pytest_plugin.case import Case
from holdfast.suites.looks import LOOK
from holdfast.suites.midway.drawn import OPERATIONS, Change, Drawn, Subject
from holdfast.verdicts.history import ABSENT, MAKES, Entry, History, Outcome
from holdfast.verdicts.history import LOOK as LOOKED

# How long an operation may take, in seconds: it must come to an end by itself.
LONGEST = 60.0
# What refuses an operation for good: it was not executed. Of any other error nobody knows.
REFUSED = (AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unimplemented)


def look(subject: Subject) -> str:
    """What is there of it, or that it cannot be seen."""
    try:
        return subject.look()
    except (ConnectError, OutcomeUnknown, Timeout, Unavailable) as error:
        return f"not to be seen ({type(error).__name__})"


@dataclass
class Client:
    """Does what a seed draws with the subjects that are `changed`, one thing after the other, and keeps the history.

    What is `left` is made beforehand, and nobody changes it.
    """

    case: Case
    dut: Device
    seed: str
    changed: Sequence[Subject]
    left: Sequence[Subject]
    entries: list[Entry] = field(default_factory=list)
    _begin: float = field(default_factory=time.monotonic)
    _error: BaseException | None = None
    _failed: float | None = None
    _in_step: float | None = None
    _came_back: float | None = None
    _held: Failpoint | None = None

    def __post_init__(self) -> None:
        self._drawn = Drawn(self.seed, self.changed)
        self._reached, self._over = threading.Event(), threading.Event()
        self._failing, self._back, self._met = threading.Event(), threading.Event(), threading.Event()

    @property
    def subjects(self) -> list[Subject]:
        """All that is looked at in the end."""
        return [*self.left, *self.changed]

    @property
    def history(self) -> History:
        """So far."""
        return History(
            tuple(self.entries),
            self.seed,
            forgives=self._crashes,
            failed=self._failed,
            in_step=self._in_step,
            back=self._came_back,
        )

    @property
    def _crashes(self) -> bool:
        """Whether the failover comes without warning."""
        return self.case.run.trigger != "gnoi"

    def make_what_is_left(self) -> None:
        """Raises what the device says against it."""
        for subject in self.left:
            began = self._now()
            operation = making(subject)
            subject.do[operation]()
            self.entries.append(Entry(subject.kind, subject.name, operation, began, self._now()))

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Begin, come back at the moment for the failover, and in the end wait until all is done."""
        thread = threading.Thread(target=self._run, name="holdfast midway", daemon=True)
        thread.start()
        self._reached.wait(LONGEST * OPERATIONS)
        held = self._held
        if held is not None and self._drawn.holds_on:
            waiting.until(lambda: held.hits > 0 or self._met.is_set(), LONGEST, look=LOOK)
        self._over.wait(self._drawn.later)
        self._failed = self._now()
        self._failing.set()
        try:
            yield
        finally:
            self._came_back = self._now()
            self._back.set()
        thread.join(LONGEST * OPERATIONS)

    def expect_end(self) -> None:
        """All that it asked came to an end by itself."""
        if not self._over.is_set():
            raise ExpectationFailed(f"an operation did not end: {self.entries[-1].operation}")
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for number, change in enumerate(self._drawn.changes):
                if self._crashes and number == self._drawn.kept:
                    self._await_standby()
                with self._arranged(change) as arranged:
                    if number == self._drawn.met:
                        self._held = arranged
                        self._reached.set()
                    self._change(change)
                if number == self._drawn.met:
                    self._met.set()
        except BaseException as error:  # noqa: BLE001 - the test raises it again
            self._error = error
        finally:
            self._reached.set()
            self._met.set()
            self._over.set()

    def _await_standby(self) -> None:
        """What was done before the standby is in step, it has: no crash excuses its loss."""
        asked = self._now()
        try:
            primary = profiles.active(profiles.shown(self.dut, timeout=LONGEST))
            unseen = "no control processor is PRIMARY" if primary is None else self.dut.expect_redundant(primary)
        except HoldfastError as error:
            unseen = error.message
        if unseen is None:
            self._in_step = asked
        else:
            self.case.run.note(f"midway: whether the standby is in step is not known: {visible.line(str(unseen))}")

    def _arranged(self, change: Change) -> AbstractContextManager[Failpoint | None]:
        """The emulated device holds or refuses what comes next, unless another does at the same place; a real one does
        as it likes.
        """
        chassis = self.case.run.chassis
        if chassis is None or not change.site or any(armed.name == change.site for armed in chassis.armed()):
            return nullcontext()
        return chassis.failpoint(change.site, change.terms, may_stay_unhit=True)

    def _change(self, change: Change) -> None:
        subject = change.subject
        before = self.history.possible(subject.kind, subject.name)
        error = self._do(subject, change.operation)
        if not self._failing.is_set():
            self._look_before_the_failover(subject)
        elif is_told_otherwise(error, before):
            self._look_after_the_failover(subject)

    def _do(self, subject: Subject, operation: str) -> HoldfastError | None:
        began = self._now()
        outcome: Outcome = "executed"
        refused, said = None, ""
        try:
            subject.do[operation]()
        except HoldfastError as error:
            outcome = "not executed" if isinstance(error, REFUSED) else "unknown"
            refused, said = error, visible.line(f"{type(error).__name__}: {error.message}")
        self.entries.append(Entry(subject.kind, subject.name, operation, began, self._now(), outcome, said))
        return refused

    def _look_before_the_failover(self, subject: Subject) -> None:
        """What is listed while a new active loads proves nothing, so it is not looked at."""
        may_be = self.history.possible(subject.kind, subject.name)
        began = self._now()
        found = ""
        try:
            for _ in waiting.looks(self.case.run.limits["verification"], look=LOOK):
                found = subject.look()
                if found in may_be or self._failing.is_set():
                    break
        except HoldfastError:
            return  # the failover, or what the next operation is told
        if not self._failing.is_set():
            self.entries.append(Entry(subject.kind, subject.name, LOOKED, began, self._now(), found=found))

    def _look_after_the_failover(self, subject: Subject) -> None:
        """Before the next operation covers up what is there: once the device is back, and as long as in the end."""
        if self._back.wait(LONGEST):
            self._look_for(subject, self.history.possible(subject.kind, subject.name))

    def look_in_the_end(self) -> None:
        """What has come of each, once that is something that may be; then what came of it while all were watched."""
        began = self._now()
        may_be = [self.history.possible(subject.kind, subject.name) for subject in self.subjects]
        found = self._lasting([self._found(*each) for each in zip(self.subjects, may_be, strict=True)], may_be)
        for subject, seen in zip(self.subjects, found, strict=True):
            self._append_look(subject, began, seen)
        waiting.watch(
            lambda: all(look(subject) == before for subject, before in zip(self.subjects, found, strict=True)),
            self.case.run.limits["watch"],
            look=LOOK,
        )
        for subject, before in zip(self.subjects, found, strict=True):
            if (now := look(subject)) != before:
                self._append_look(subject, self._now(), now)

    def _lasting(self, found: Sequence[str], may_be: Sequence[frozenset[str]]) -> list[str]:
        """The same, once what is absent was so for the limit `absence`: a list may lack a row for a while, and of what
        may be there or not, nothing else tells.
        """
        lasting = list(found)
        unsure = [at for at, seen in enumerate(found) if seen == ABSENT and may_be[at] != {ABSENT}]
        for _ in waiting.looks(self.case.run.limits["absence"], look=LOOK) if unsure else ():
            for at in unsure:
                if (seen := look(self.subjects[at])) in may_be[at]:
                    lasting[at] = seen
            unsure = [at for at in unsure if lasting[at] == ABSENT]
            if not unsure:
                break
        return lasting

    def _look_for(self, subject: Subject, may_be: frozenset[str]) -> None:
        """Look for what may be."""
        began = self._now()
        self._append_look(subject, began, self._found(subject, may_be))

    def _found(self, subject: Subject, may_be: frozenset[str]) -> str:
        """What is found within the limit `verification`, of what may be if there is that."""
        found = ""
        for _ in waiting.looks(self.case.run.limits["verification"], look=LOOK):
            if (found := look(subject)) in may_be:
                break
        return found

    def _append_look(self, subject: Subject, began: float, found: str) -> None:
        self.entries.append(Entry(subject.kind, subject.name, LOOKED, began, self._now(), found=found))

    def entries_last(self, name: str) -> str:
        """What was found of an object at last."""
        return next(entry.found for entry in reversed(self.entries) if entry.name == name and entry.operation == LOOKED)

    def _now(self) -> float:
        return round(time.monotonic() - self._begin, 4)


def making(subject: Subject) -> str:
    """The operation that makes it."""
    return next(operation for operation in subject.do if operation in MAKES)


def is_told_otherwise(error: HoldfastError | None, may_be: frozenset[str]) -> bool:
    """Whether a refusal says that something is there, or is not, against all that may be."""
    if isinstance(error, NotFound):
        return ABSENT not in may_be
    return isinstance(error, AlreadyExists) and may_be == {ABSENT}
