"""Cases as procedures that stop where the device fails over, so that several can share one failover.

A procedure is a generator: it yields a `SwitchoverStep` or a `RebootStep`, and goes on with what that found out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
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
# pytest's own, which are no `Exception`.
_OUTCOMES = (pytest.fail.Exception, pytest.skip.Exception)


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
Accounts = dict["Procedure", "ProcedureAccount"]


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
    """What a procedure found, in common and for each part, and what ended it, if it did not come to its end."""

    def __init__(self, run: Run, procedure: Procedure, window: str) -> None:
        self.common = Case(run, window=window)
        self._parts = {name: Case(run) for name in procedure.parts}
        self._ended_by: BaseException | None = None

    def __getitem__(self, part: str) -> Case:
        return self._parts[part]

    @property
    def failed(self) -> bool:
        """Whether there is something to report."""
        ended = self._ended_by is not None and not isinstance(self._ended_by, pytest.skip.Exception)
        return ended or any(case.failures for case in (self.common, *self._parts.values()))

    @property
    def ended(self) -> bool:
        """Whether something ended the procedure before its end."""
        return self._ended_by is not None

    def end(self, error: BaseException) -> None:
        """The procedure did not come to its end; what comes of that, such as an error of its cleaning up, says less."""
        self._ended_by = self._ended_by or error

    @contextmanager
    def ending(self) -> Iterator[None]:
        """What is raised within ends this procedure and no other; what ends the whole run goes on."""
        try:
            yield
        except pytest.exit.Exception:
            raise
        except (Exception, *_OUTCOMES) as error:  # noqa: BLE001 - tests raise it again
            self.end(error)

    def raise_beyond(self, case: Case) -> None:
        """Raise what ended the procedure, unless a step of `case` tells it: what it was to look at yet, nobody saw."""
        error = self._ended_by
        if error is None or case.tells(error):
            return
        if not isinstance(error, _FAILURES):
            raise error
        word_for(error, "pytest")
        raise AssertionError(f"outside of its steps: {error}") from error


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
        standby.skip_without(run, request.node)
        number = round_of(request.node)
        accounts: Accounts = run.shared.setdefault((number, window), {})
        for over in [key for key in run.shared if isinstance(key, tuple) and (key[0] or 0) < (number or 0)]:
            del run.shared[over]  # a soak goes on for a night
        try:
            if done not in accounts:
                _go_through(request, run, done, window, accounts)
        finally:
            if (account := accounts.get(done)) is not None:
                for case in (account.common, *(account[part] for part in parts)):
                    own.include(case)
        accounts[done].raise_beyond(own)

    def plain(request: pytest.FixtureRequest, holdfast_run: Run, holdfast_case: Case) -> None:
        look(request, holdfast_run, holdfast_case)

    def windowed(request: pytest.FixtureRequest, holdfast_run: Run, holdfast_case: Case, window: str) -> None:
        look(request, holdfast_run, holdfast_case, window)

    test = windowed if done.windows else plain
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(test, attribute, getattr(named, attribute))
    setattr(test, PROCEDURE, done)
    return test


def _go_through(request: pytest.FixtureRequest, run: Run, wanted: Procedure, window: str, accounts: Accounts) -> None:
    """Go through a procedure, with those that share its failovers, and put what they found into `accounts`."""
    group = _group(request, wanted) if run.combines and wanted.combines else [wanted]
    dut = run.begin_test(request.node)
    found = {each: ProcedureAccount(run, each, window) for each in group}
    common = [account.common for account in found.values()]
    try:
        with crashes.watched(run, dut, request.node, common):
            together(run, [RunningProcedure(found[each], _steps(run, dut, each, found[each])) for each in group])
    except BaseException as error:  # whoever else shares them must not take what is half done for the whole
        for account in found.values():
            account.end(error)
        raise
    finally:
        accounts.update(found)
        end_test(run, request.node, failed=any(account.failed for account in found.values()))


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
    """A procedure on its way, and its account."""

    def __init__(self, account: ProcedureAccount, steps: Steps) -> None:
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
        with self.account.ending(), suppress(StopIteration):
            self.wants = resume()

    @contextmanager
    def meanwhile(self, wanted: Disruption) -> Iterator[None]:
        """What goes on during its failover. An error of that ends this procedure alone."""
        with ExitStack() as stack:
            with self.account.ending():
                stack.enter_context(wanted.during())
            yield
            with self.account.ending():
                stack.close()

    def tell(self, step: str, result: Any, error: BaseException | None) -> None:
        """Put what came of its failover on its account, and go on, if nothing ended it."""
        with self.account.ending(), self.account.common.failover(step) as failover:
            if error is not None:
                raise error
            failover.result = result
        if self.account.ended:
            self.end()
        else:
            self.go_on(failover)

    def end(self) -> None:
        """It does not go on."""
        self.wants = None
        with self.account.ending():
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
    run.since = time.monotonic()
    for step in dict.fromkeys(each.step for _, each in wanted):
        run.note(f"failover: {step}")
    result: Any = None
    error: BaseException | None = None
    with ExitStack() as meanwhile:
        for single, each in wanted:
            meanwhile.enter_context(single.meanwhile(each))
        for single in [single for single, _ in wanted if single.account.ended]:
            single.end()
        wanted = [(single, each) for single, each in wanted if single.wants is not None]
        if not wanted:
            return
        try:
            result = run.reboot() if isinstance(wanted[0][1], RebootStep) else run.switchover()
        except pytest.exit.Exception:
            raise
        except (Exception, *_OUTCOMES) as caught:  # noqa: BLE001 - all of them are told
            error = caught
    for single, each in wanted:
        single.tell(each.step, result, error)
