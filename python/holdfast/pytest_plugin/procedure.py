"""Cases as procedures that stop where the device fails over, so that several can share one failover.

A procedure is a generator: it yields a `SwitchoverStep` or a `RebootStep`, and goes on with what that found out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.exceptions import HoldfastError, word_for
from holdfast.pytest_plugin import crashes, standby
from holdfast.pytest_plugin.case import Case, Failover, end_test
from holdfast.pytest_plugin.plans import round_of

if TYPE_CHECKING:
    from holdfast import Device
    from holdfast.pytest_plugin.run import ImageUnderTest, Run

# The attribute by which a test knows its procedure.
PROCEDURE = "holdfast_procedure"
_FAILURES = (HoldfastError, AssertionError)


@dataclass(frozen=True)
class Disruption:
    """Something that a procedure wants done to its device, and what goes on meanwhile."""

    step: str
    during: Callable[[], AbstractContextManager[None]] = nullcontext


class SwitchoverStep(Disruption):
    """The active control processor fails."""


class RebootStep(Disruption):
    """The chassis reboots, cold."""


Steps = Generator[Disruption, Failover, None]
Test = Callable[..., None]


@dataclass(frozen=True)
class Procedure:
    """Steps, the parts that have verdicts of their own, and how it gets on with others under `--dut-combine`."""

    steps: Callable[..., Steps]
    parts: tuple[str, ...] = ()
    combines: bool = False
    # Whether it wants the container's port before others do.
    first: bool = False
    # Whether it removes its image, and so needs one of its own where others keep theirs.
    removes_image: bool = False
    # Whether its test is parametrised by `window`.
    windows: bool = False


class ProcedureAccount:
    """What a procedure found: in common, and for each part."""

    def __init__(self, run: Run, procedure: Procedure, window: str) -> None:
        self.common = Case(run, window=window)
        self._parts = {name: Case(run) for name in procedure.parts}

    def __getitem__(self, part: str) -> Case:
        return self._parts[part]

    @property
    def failed(self) -> bool:
        """Whether there is something to report."""
        return any(case.failures for case in (self.common, *self._parts.values()))


def procedure(*parts: str, combines: bool = False) -> Callable[[Callable[..., Steps]], Procedure]:
    """Make a procedure of a generator that takes the device, the image and the account, for several cases."""
    return lambda steps: Procedure(steps, parts, combines)


def case(
    *, combines: bool = False, first: bool = False, removes_image: bool = False, windows: bool = False
) -> Callable[[Callable[[Device, ImageUnderTest, Case], Steps | None]], Test]:
    """Make a test of a generator, or of a function that fails nothing over: of the device, the image and the case."""

    def decorate(steps: Callable[[Device, ImageUnderTest, Case], Steps | None]) -> Test:
        def common(dut: Device, image: ImageUnderTest, account: ProcedureAccount) -> Steps:
            going = steps(dut, image, account.common)
            if going is not None:
                yield from going

        return _test(steps, Procedure(common, (), combines, first, removes_image, windows), ())

    return decorate


def case_of(shared: Procedure, *parts: str) -> Callable[[Callable[[], None]], Test]:
    """Make a test of some parts of a procedure, which runs once for all of them."""
    return lambda named: _test(named, shared, parts)


def _test(named: Callable[..., Any], done: Procedure, parts: tuple[str, ...]) -> Test:
    def look(request: pytest.FixtureRequest, run: Run, own: Case, window: str = "") -> None:
        own.window = window
        account = _account(request, run, done, window)
        own.include(account.common)
        for part in parts:
            own.include(account[part])

    def plain(request: pytest.FixtureRequest, holdfast_run: Run, holdfast_case: Case) -> None:
        look(request, holdfast_run, holdfast_case)

    def windowed(request: pytest.FixtureRequest, holdfast_run: Run, holdfast_case: Case, window: str) -> None:
        look(request, holdfast_run, holdfast_case, window)

    test = windowed if done.windows else plain
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(test, attribute, getattr(named, attribute))
    setattr(test, PROCEDURE, done)
    return test


def _account(request: pytest.FixtureRequest, run: Run, wanted: Procedure, window: str) -> ProcedureAccount:
    """What the procedure found: in this test, or before in another that shares it."""
    standby.skip_without(run, request.node)
    done: dict[Procedure, ProcedureAccount] = run.shared.setdefault((round_of(request.node), window), {})
    if wanted not in done:
        group = _group(request, wanted) if run.combines and wanted.combines else [wanted]
        dut = run.begin_test(request.node)
        accounts = {each: ProcedureAccount(run, each, window) for each in group}
        common = [accounts[each].common for each in group]
        try:
            with crashes.watched(run, dut, request.node, common):
                together(
                    run,
                    [RunningProcedure(accounts[each].common, _steps(run, dut, each, accounts[each])) for each in group],
                )
        finally:
            done.update(accounts)
            end_test(run, request.node, failed=any(account.failed for account in accounts.values()))
    return done[wanted]


def _steps(run: Run, dut: Device, each: Procedure, account: ProcedureAccount) -> Steps:
    apart = run.combines and each.removes_image
    return each.steps(dut, run.image_to_remove if apart else run.image, account)


def _group(request: pytest.FixtureRequest, wanted: Procedure) -> list[Procedure]:
    """All procedures of this session, for this device and round, that can share failovers."""
    own = getattr(request.node, "callspec", None)
    found = [wanted]
    for item in request.session.items:
        such = getattr(getattr(item, "function", None), PROCEDURE, None)
        callspec = getattr(item, "callspec", None)
        if such is not None and such.combines and (callspec and callspec.params) == (own and own.params):
            found.append(such)
    return sorted(dict.fromkeys(found), key=lambda each: not each.first)


class RunningProcedure:
    """A procedure on its way, and the case that keeps its account."""

    def __init__(self, account: Case, steps: Steps) -> None:
        self.account = account
        self._steps = steps
        self.wants: Disruption | None = None

    def begin(self) -> None:
        """Go on until it wants a failover, fails, or ends."""
        self._go_on(lambda: next(self._steps))

    def go_on(self, failover: Failover) -> None:
        """Go on with what the failover found out, until the next."""
        self._go_on(lambda: self._steps.send(failover))

    def _go_on(self, resume: Callable[[], Disruption]) -> None:
        self.wants = None
        try:
            self.wants = resume()
        except StopIteration:
            pass
        except _FAILURES as error:
            if not self.account.failures:
                word_for(error, "pytest")
                raise AssertionError(f"outside of a step: {error}") from error

    def end(self) -> None:
        """Its failover failed: it ends here."""
        self.wants = None
        self._steps.close()


def together(run: Run, singles: list[RunningProcedure]) -> None:
    """Go through all of them, with as few failovers as they need."""
    for single in singles:
        single.begin()
    while waiting := [single for single in singles if single.wants is not None]:
        _fail_over(run, waiting)


def _fail_over(run: Run, waiting: Iterable[RunningProcedure]) -> None:
    """Do what all of them want, once, and let each go on with what was found out."""
    wanted = [(single, single.wants) for single in waiting if single.wants is not None]
    result: Any = None
    error: HoldfastError | None = None
    run.since = time.monotonic()
    for step in dict.fromkeys(each.step for _, each in wanted):
        run.note(f"failover: {step}")
    with ExitStack() as meanwhile:
        for _, each in wanted:
            meanwhile.enter_context(each.during())
        try:
            result = run.reboot() if isinstance(wanted[0][1], RebootStep) else run.switchover()
        except HoldfastError as caught:
            error = caught
    for single, each in wanted:
        _tell(single, each.step, result, error)


def _tell(single: RunningProcedure, step: str, result: Any, error: HoldfastError | None) -> None:
    try:
        with single.account.failover(step) as failover:
            if error is not None:
                raise error
            failover.result = result
    except HoldfastError:
        single.end()
    else:
        single.go_on(failover)
