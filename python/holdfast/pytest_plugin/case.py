"""A case while it runs: its steps, as they come, and what becomes of them in the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from holdfast.exceptions import HoldfastError, word_for
from holdfast.pytest_plugin import artifacts, targets
from holdfast.pytest_plugin.plans import plan_id, plan_of, round_of, title, variant
from holdfast.render import junit
from holdfast.results import Reboot, Switchover
from holdfast.verdicts import (
    DEPTH,
    FAIL,
    INCONCLUSIVE,
    NOT_CHECKED,
    PASS,
    PROCEDURE,
    CaseRecord,
    Kind,
    Outcome,
    Step,
    counted,
    outcome_of,
    store,
)

if TYPE_CHECKING:
    from holdfast.pytest_plugin.run import Run

# The property of a test's report that carries its case to the process that prints.
KEPT = "holdfast_case"


class NotChecked(Exception):
    """The device, or the command line, gives no means for a check."""

    outcome: Outcome = NOT_CHECKED


class Inconclusive(NotChecked):
    """A check was made, and what came of it proves nothing."""

    outcome: Outcome = INCONCLUSIVE


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
        for each in found.not_checked:
            self.case.leave_out(each.what, each.why)
        if found.outage is not None:
            self.case.outages[time.monotonic() - self.case.run.since] = found.outage.seconds

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
    steps: list[Step] = field(default_factory=list)
    # What the device did where the plan leaves it free.
    noted: list[str] = field(default_factory=list)
    # How long its device was away, each by when that was known, in seconds since the run began.
    outages: dict[float, float] = field(default_factory=dict)
    # Whether its device was asked to fail over.
    failed_over: bool = False
    # Which of the windows that a parametrised case names, if it does.
    window: str = ""
    # The errors that its steps tell.
    _reported: list[BaseException] = field(default_factory=list, repr=False)

    KEY = pytest.StashKey["Case"]()

    @property
    def failures(self) -> list[Step]:
        """The steps that failed."""
        return [step for step in self.steps if step.outcome == FAIL]

    @contextmanager
    def procedure(self, step: str) -> Iterator[None]:
        """A step of the procedure; its failure ends the case."""
        with self._step(PROCEDURE, step, ends=True):
            yield

    @contextmanager
    def recorded_procedure(self, step: str) -> Iterator[None]:
        """A last step of the procedure: others do not build on it, so they go on after its failure."""
        with self._step(PROCEDURE, step):
            yield

    @contextmanager
    def depth(self, step: str) -> Iterator[None]:
        """A check beyond the procedure; the case goes on after its failure."""
        with self._step(DEPTH, step):
            yield

    @contextmanager
    def failover(self, step: str) -> Iterator[Failover]:
        """A switchover or reboot: the error itself says which verdict it belongs to."""
        failover = Failover(self)
        self.failed_over = True
        try:
            yield failover
        except HoldfastError as error:
            self._failed(PROCEDURE if error.fails_procedure else DEPTH, step, error)
            if error.fails_procedure:
                raise
        else:
            self._add(PROCEDURE, step)

    def leave_out(self, what: str, why: str = "") -> None:
        """Say that something beyond the procedure cannot be looked at."""
        self._add(DEPTH, what, NOT_CHECKED, why)

    def tells(self, error: BaseException) -> bool:
        """Whether a step says that it failed by this error."""
        return any(known is error for known in self._reported)

    def include(self, shared: Case) -> None:
        """Take over what a shared part of the procedure found."""
        self._reported.extend(shared._reported)
        self.steps.extend(shared.steps)
        self.noted.extend(shared.noted)
        self.outages |= shared.outages

    @contextmanager
    def _step(self, kind: Kind, name: str, *, ends: bool = False) -> Iterator[None]:
        self.run.note(f"{kind}: {name}")
        try:
            yield
        except NotChecked as why:
            self._add(kind, name, why.outcome, str(why))
        except (HoldfastError, AssertionError) as error:
            self._failed(kind, name, error)
            if ends:
                raise
        else:
            self._add(kind, name)

    def _add(self, kind: Kind, name: str, outcome: Outcome = PASS, words: str = "", reason: str = "") -> None:
        self.steps.append(Step(kind, name, outcome, words, time.monotonic() - self.run.since, reason))

    def _failed(self, kind: Kind, name: str, error: BaseException) -> None:
        word_for(error, "pytest")
        words, reason = str(error), ""
        if isinstance(error, HoldfastError):
            reason = f"{type(error).__name__}: {error.reason}"
            if error.device == self.run.device.name:  # of which the case is
                words = error.without_device()
        self._reported.append(error)
        self._add(kind, name, FAIL, f"{type(error).__name__}: {words}", reason)
        self.run.note(f"{kind} failed at: {name}")


def end_test(run: Run, item: pytest.Item, *, failed: bool | None = None) -> None:
    """Keep what is known of a test that has ended, while what it made is still there; then have its run remove that."""
    artifacts.keep(run, item)
    if failed is None:
        case = item.stash.get(Case.KEY, None)
        failed = case is not None and bool(case.failures)
    run.end_test(item, failed=failed)


def judge(item: pytest.Item) -> None:
    """Fail a test whose case went through with failures that count; skip one of which nothing that counts was seen."""
    case = item.stash.get(Case.KEY, None)
    if case is None:
        return
    kinds = counted(case.run.judged)
    outcome = outcome_of(case.steps, case.run.judged)
    if outcome == "failed":
        failure = pytest.fail.Exception(_listed([step for step in case.failures if step.kind in kinds]), pytrace=False)
        case._reported.append(failure)
        raise failure
    if not case.steps:
        pytest.fail("the case checked nothing", pytrace=False)
    if outcome == "skipped":
        lines = dict.fromkeys(step.line for step in case.steps if step.kind in kinds)
        pytest.skip(f"not checked: {'; '.join(lines) or f'no step of {kinds[0]} was looked at'}")


def annotate(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Put what is known of the case on its report: for the summary, for JUnit, and a timeline for a failure."""
    case = item.stash.get(Case.KEY, None)
    if case is None or report.when != "call":
        return
    if call.excinfo is not None and not report.skipped and not case.tells(call.excinfo.value):
        case.steps.append(Step(PROCEDURE, "the case itself", FAIL, call.excinfo.exconly()))
    record = _record(item, case, report)
    artifacts.keep_case(item, record)
    item.user_properties.extend(junit.properties(record, item.name))  # JUnit reads them at the end
    report.user_properties.append((KEPT, json.dumps(store.encode(record))))
    known = HoldfastError | AssertionError | pytest.fail.Exception
    if report.failed and case.failures and call.excinfo is not None:
        if isinstance(call.excinfo.value, known):
            report.longrepr = _listed(case.failures)
        elif len(case.failures) > 1:  # pytest shows where the last came from
            report.sections.append(("holdfast failures", _listed(case.failures)))
    if case.failures and item.config.get_verbosity() > 0:
        report.sections.append(("holdfast timeline", case.run.timeline_of_test()))


def _record(item: pytest.Item, case: Case, report: pytest.TestReport) -> CaseRecord:
    """What is known of a case that has ended."""
    plan = plan_of(item)
    number = round_of(item)
    return CaseRecord(
        plan_id=plan_id(item),
        title=title(item),
        variant=variant(item),
        test=item.name,
        device=case.run.description,
        outcome=report.outcome,
        steps=tuple(case.steps),
        suite=plan.name if plan else "",
        judged=case.run.judged,
        outages=tuple(round(seconds, 3) for seconds in case.outages.values()),
        outages_known_after=tuple(round(after, 6) for after in case.outages),
        noted=tuple(case.noted),
        why=artifacts.reason(report) if report.skipped else "",
        vendor=case.run.profile.vendor,
        software=case.run.software,
        round=number,
        target=targets.of_item(item).name or artifacts.EMULATED,
        held={} if number is None else case.run.held(),
    )


def _listed(failures: Sequence[Step]) -> str:
    """Each failure, and a reason that several have once: they differ by how long it took alone."""
    first_at: dict[str, str] = {}
    lines = []
    for step in failures:
        reason = step.reason or step.words
        lines.append(f"{step.kind}: {step.name}: as at {first_at[reason]!r}" if reason in first_at else str(step))
        first_at.setdefault(reason, step.name)
    return "\n".join(lines)


def shorten(error: BaseException, report: pytest.TestReport) -> None:
    """A failure to reach or prepare a device needs no traceback: it says what and what to try."""
    if isinstance(error, HoldfastError) and report.when != "call":
        report.longrepr = f"{type(error).__name__}: {error}"
