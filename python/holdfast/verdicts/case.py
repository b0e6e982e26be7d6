"""What is known of a case; its verdicts follow from its steps and are stored nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.results import Shown, Timeline
from holdfast.verdicts.step import DEPTH, FAIL, INCONCLUSIVE, NOT_CHECKED, PASS, PROCEDURE, Kind, Step

# Suites whose cases come to one verdict each.
ONE_VERDICT = ("cni", "torpedo")
# What a notebook shows of a case.
SHOWN = ("plan_id", "test", "device", "outcome", "procedure", "depth", "steps", "outages", "noted", "why")


def verdict_of(steps: Iterable[Step], kind: Kind) -> str:
    """`FAIL` where a step of this kind failed, `pass` where one was looked at and none failed, else `not checked`."""
    outcomes = {step.outcome for step in steps if step.kind == kind}
    return next((verdict for verdict in (FAIL, PASS) if verdict in outcomes), NOT_CHECKED)


def counted(judged: str) -> tuple[Kind, ...]:
    """The verdicts that fail a test, as `--dut-judge` says: `procedure` alone, or with `depth` both."""
    return (PROCEDURE,) if judged == PROCEDURE else (PROCEDURE, DEPTH)


def outcome_of(steps: Sequence[Step], judged: str, suite: str = "") -> str:
    """What a test comes to: failed, skipped where nothing that counts was looked at, or passed.

    Of a suite with one verdict for each case, what proves nothing fails: nobody shall take it for a pass.
    """
    if suite in ONE_VERDICT and any(step.outcome == INCONCLUSIVE for step in steps):
        return "failed"
    verdicts = {verdict_of(steps, kind) for kind in counted(judged)}
    if FAIL in verdicts:
        return "failed"
    return "skipped" if verdicts == {NOT_CHECKED} else "passed"


@dataclass(frozen=True, slots=True)
class CaseRecord(Shown):
    """One case on one device. `outcome` is passed, failed, skipped or error; `why` says why it came to no verdict.

    `plan_id` and `title` are as the case declares them: its number or name, and what it is about. `variant` is which of
    a test that runs with several parameters, where `plan_id` does not say: the device of a testbed among others.
    `judged` is what `--dut-judge` said. `outages` are in seconds; when each was known, in seconds since the run began,
    is in `outages_known_after`: cases that share a failover tell the same. `facts` are what was measured, by name.
    `plan` is what the case's plan asks: `switchovers`, `reboots`, `shared`. `round` is which of `--dut-repeat` it was,
    `held` what may grow from round to round. `session` is the run of pytest that it was part of and `command` that
    one's command line, without secrets; `began` and `ended` are times (ISO 8601, UTC). `target` is what the testbed
    calls the device; empty in what older versions kept. `about`, `timeline` and `logs` are its evidence.
    """

    plan_id: str
    test: str
    device: str
    outcome: str
    steps: tuple[Step, ...] = ()
    suite: str = ""
    title: str = ""
    variant: str = ""
    judged: str = DEPTH
    outages: tuple[float, ...] = ()
    outages_known_after: tuple[float, ...] = ()
    noted: tuple[str, ...] = ()
    why: str = ""
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)
    vendor: str = ""
    software: str = ""
    round: int | None = None
    held: Mapping[str, float] = field(default_factory=dict, repr=False, hash=False)
    session: str = ""
    command: str = ""
    began: str = ""
    ended: str = ""
    plan: Mapping[str, Any] = field(default_factory=dict, hash=False)
    target: str = ""
    about: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    timeline: Timeline = field(repr=False, compare=False, default=Timeline())
    logs: Mapping[str, str] = field(repr=False, hash=False, default_factory=dict)

    @property
    def place(self) -> str:
        """What its device is called, in all runs alike as far as it is known."""
        return self.target or self.device

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The verdicts that it comes to: of some suites there is one alone."""
        return (PROCEDURE,) if self.suite in ONE_VERDICT else (PROCEDURE, DEPTH)

    @property
    def procedure(self) -> str:
        """`pass`, `FAIL` or `not checked`: of what the plan asks."""
        return verdict_of(self.steps, PROCEDURE)

    @property
    def depth(self) -> str:
        """`pass`, `FAIL` or `not checked`: of what lies beyond it."""
        return verdict_of(self.steps, DEPTH)

    def shown(self, kind: Kind) -> str:
        """The verdict of a kind: `pass`, `FAIL`, `not checked`, or `error` where the device could not be had."""
        if self.outcome == "error" or (self.suite in ONE_VERDICT and self.verdict == INCONCLUSIVE):
            return self.verdict
        return verdict_of(self.steps, kind)

    @property
    def verdict(self) -> str:
        """In one word: pass, FAIL, inconclusive, not checked, skipped or error."""
        if self.outcome in ("skipped", "error"):
            return self.outcome
        if not self.failures and any(step.outcome == INCONCLUSIVE for step in self.steps) and self.outcome == "failed":
            return INCONCLUSIVE
        if FAIL in (self.procedure, self.depth) or self.outcome == "failed":
            return FAIL
        return PASS if PASS in (self.procedure, self.depth) else NOT_CHECKED

    @property
    def failures(self) -> tuple[Step, ...]:
        """The steps that failed."""
        return tuple(step for step in self.steps if step.outcome == FAIL)

    @property
    def checked(self) -> tuple[str, ...]:
        """The names of the steps that passed."""
        return tuple(step.name for step in self.steps if step.outcome == PASS)

    @property
    def not_checked(self) -> tuple[str, ...]:
        """What could not be looked at, or showed nothing, and why; each line once."""
        lines = {step.line for step in self.steps if step.outcome in (NOT_CHECKED, INCONCLUSIVE)}
        return tuple(sorted(lines))

    def _repr_html_(self) -> str:
        from holdfast import tables

        rows = [(name.replace("_", " "), getattr(self, name)) for name in SHOWN]
        return tables.table("case", ("field", "value"), rows) + (self.timeline.svg() if self.timeline else "")
