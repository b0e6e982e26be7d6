"""A case's two verdicts: what the procedure asks, and what lies deeper."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.exceptions import HoldfastError
from holdfast.pytest_plugin import artifacts
from holdfast.pytest_plugin.plans import plan_of
from holdfast.results import Reboot, Switchover

if TYPE_CHECKING:
    from holdfast.pytest_plugin.run import Run

PROCEDURE, DEPTH = "procedure", "depth"


class NotChecked(Exception):
    """The device, or the command line, gives no means for a check."""


@dataclass
class Failure:
    """A step that failed."""

    verdict: str
    step: str
    message: str
    # Seconds from when the device was last asked to fail over (or the case began) until this was known.
    known_after: float = 0.0


@dataclass
class Failover:
    """What a failover step found out."""

    case: Case
    _result: Switchover | Reboot | None = None

    @property
    def result(self) -> Switchover | Reboot | None:
        """What the device's switchover or reboot returned."""
        return self._result

    @result.setter
    def result(self, found: Switchover | Reboot) -> None:
        self._result = found
        self.case.not_checked.extend(found.not_checked)
        if found.outage is not None:
            self.case.outages.append(found.outage.seconds)

    @property
    def origin(self) -> str:
        """The old primary."""
        if not isinstance(self._result, Switchover):
            raise NotChecked("there was no switchover to go by")
        return self._result.origin

    @property
    def primary(self) -> str:
        """The new primary."""
        if not isinstance(self._result, Switchover):
            raise NotChecked("there was no switchover to go by")
        return self._result.target


@dataclass
class Case:
    """Keeps the account of one case while it runs."""

    run: Run
    failures: list[Failure] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    # What the device did where the plan leaves it free.
    noted: list[str] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)
    # Which of the windows that a parametrised case names, if it does.
    window: str = ""

    KEY = pytest.StashKey["Case"]()

    @contextmanager
    def procedure(self, step: str) -> Iterator[None]:
        """A step of the procedure; its failure ends the case."""
        self.run.note(f"procedure: {step}")
        try:
            yield
        except NotChecked as why:
            self.not_checked.append(f"{step}: {why}")
        except (HoldfastError, AssertionError) as error:
            self._failed(PROCEDURE, step, error)
            raise
        else:
            self.checked.append(step)

    @contextmanager
    def recorded_procedure(self, step: str) -> Iterator[None]:
        """A last step of the procedure: others do not build on it, so they go on after its failure."""
        self.run.note(f"procedure: {step}")
        try:
            yield
        except (HoldfastError, AssertionError) as error:
            self._failed(PROCEDURE, step, error)
        else:
            self.checked.append(step)

    @contextmanager
    def depth(self, step: str) -> Iterator[None]:
        """A check beyond the procedure; the case goes on after its failure."""
        self.run.note(f"depth: {step}")
        try:
            yield
        except NotChecked as why:
            self.not_checked.append(f"{step}: {why}")
        except (HoldfastError, AssertionError) as error:
            self._failed(DEPTH, step, error)
        else:
            self.checked.append(step)

    @contextmanager
    def failover(self, step: str) -> Iterator[Failover]:
        """A switchover or reboot: the error itself says which verdict it belongs to."""
        failover = Failover(self)
        try:
            yield failover
        except HoldfastError as error:
            self._failed(PROCEDURE if error.fails_procedure else DEPTH, step, error)
            if error.fails_procedure:
                raise
        else:
            self.checked.append(step)

    def include(self, shared: Case) -> None:
        """Take over what a shared part of the procedure found."""
        self.failures.extend(shared.failures)
        self.checked.extend(shared.checked)
        self.not_checked.extend(shared.not_checked)
        self.noted.extend(shared.noted)
        self.outages.extend(shared.outages)

    def verdict(self, which: str) -> str:
        """`pass` or `FAIL`."""
        return "FAIL" if any(failure.verdict == which for failure in self.failures) else "pass"

    def _failed(self, verdict: str, step: str, error: BaseException) -> None:
        known_after = time.monotonic() - self.run.since
        self.failures.append(Failure(verdict, step, f"{type(error).__name__}: {error}", known_after))
        self.run.note(f"{verdict} failed at: {step}")


def judge(item: pytest.Item) -> None:
    """Fail a test whose case went through with failures that count."""
    case = item.stash.get(Case.KEY, None)
    if case is None:
        return
    counted = (PROCEDURE,) if case.run.judges_procedure_alone else (PROCEDURE, DEPTH)
    failures = [failure for failure in case.failures if failure.verdict in counted]
    if not case.checked and not case.failures:
        pytest.fail("the case checked nothing", pytrace=False)
    if failures:
        pytest.fail("\n".join(f"{f.verdict}: {f.step}: {f.message}" for f in failures), pytrace=False)


def annotate(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Put the case's account on its report: for the summary, for JUnit, and a timeline for a failure."""
    case = item.stash.get(Case.KEY, None)
    if case is None or report.when != "call" or report.skipped:
        return
    if call.excinfo is not None and not case.failures:
        case.failures.append(Failure(PROCEDURE, "the case itself", call.excinfo.exconly()))
    plan = plan_of(item)
    number = getattr(getattr(item, "callspec", None), "params", {}).get("holdfast_round")
    plan_id = (plan.args[0] if plan and plan.args else item.name) + (f", {case.window}" if case.window else "")
    account: dict[str, Any] = {
        "plan_id": plan_id,
        "device": case.run.description,
        "procedure": case.verdict(PROCEDURE),
        "depth": case.verdict(DEPTH),
        "outages": [round(seconds, 3) for seconds in case.outages],
        "checked": case.checked,
        "not_checked": sorted(set(case.not_checked)),
        "noted": case.noted,
    }
    vendor, software = case.run.profile.vendor, case.run.software
    facts = {"outcome": report.outcome, "round": number, "vendor": vendor, "software": software}
    failures = [asdict(failure) for failure in case.failures]
    artifacts.keep_verdict(item, {**account, "failures": failures, **facts})
    properties = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in account.items()]
    properties += [
        *([] if number is None else [("round", str(number)), ("held", json.dumps(case.run.held()))]),
        ("failures", json.dumps([f"{f.verdict}: {f.step}: {f.message}" for f in case.failures])),
        ("known_after", json.dumps([round(f.known_after, 3) for f in case.failures])),
    ]
    # As featureprofiles' own runs name them, for the dashboards that read those.
    properties += [
        ("test.plan_id", plan_id),
        ("test.description", item.name),
        ("dut.vendor", vendor),
        ("dut.os_version", software),
    ]
    item.user_properties.extend(properties)  # for JUnit, which reads them at the end
    report.user_properties.extend(properties)
    if call.excinfo is not None and case.failures and isinstance(call.excinfo.value, HoldfastError | AssertionError):
        report.longrepr = "\n".join(f"{f.verdict}: {f.step}: {f.message}" for f in case.failures)
    if case.failures:
        report.sections.append(("holdfast timeline", case.run.timeline_of_test()))


def shorten(error: BaseException, report: pytest.TestReport) -> None:
    """A failure to reach or prepare a device needs no traceback: it says what and what to try."""
    if isinstance(error, HoldfastError) and report.when != "call":
        report.longrepr = f"{type(error).__name__}: {error}"
