"""What a run kept of its cases, read back from its artifacts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast.exceptions import InvalidArgumentError
from holdfast.results import Event, Rows, Shown, Timeline

VERDICT, TIMELINE, DEVICE = "verdict.json", "timeline.json", "device.json"


@dataclass(frozen=True, slots=True)
class CaseAccount(Shown):
    """One case on one device. `outcome` is passed, failed, skipped or error; `why` says why it came to no verdict.

    `procedure` and `depth` are `pass`, `FAIL`, or empty where there is none; `outages` are in seconds; `failures` are
    (verdict, step, message). `plan` is what the case's plan asks: `switchovers`, `reboots`, `shared`. `session` is
    the run of pytest that it was part of, `ended` when it ended (ISO 8601, UTC).
    """

    plan_id: str
    test: str
    device: str
    outcome: str
    procedure: str = ""
    depth: str = ""
    outages: tuple[float, ...] = ()
    checked: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()
    failures: tuple[tuple[str, str, str], ...] = ()
    why: str = ""
    software: str = ""
    session: str = ""
    ended: str = ""
    plan: Mapping[str, Any] = field(default_factory=dict, hash=False)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    timeline: Timeline = field(repr=False, compare=False, default=Timeline())
    logs: Mapping[str, str] = field(repr=False, hash=False, default_factory=dict)

    @property
    def verdict(self) -> str:
        """In one word: pass, FAIL, skipped or error."""
        if self.outcome in ("skipped", "error"):
            return self.outcome
        return "FAIL" if "FAIL" in (self.procedure, self.depth) or self.outcome == "failed" else "pass"


@dataclass(frozen=True)
class RunAccount:
    """All cases of a folder, in the order of their plans; of several runs where it was used for several."""

    folder: Path
    cases: Rows[CaseAccount]

    def html(self) -> str:
        """The page: one self-contained HTML document."""
        from holdfast.report import page

        return page.html(self)

    def write(self, file: str | os.PathLike[str]) -> None:
        """Write the page."""
        Path(file).write_text(self.html(), encoding="utf-8")

    def _repr_html_(self) -> str:
        from holdfast import tables

        heads = ("case", "device", "procedure", "depth", "away", "not checked", "failures")
        rows = [
            (
                case.plan_id,
                case.device,
                case.procedure or case.outcome,
                case.depth or case.why,
                tuple(f"{seconds:.2f} s" for seconds in case.outages),
                case.not_checked,
                tuple(f"{verdict}: {step}: {message}" for verdict, step, message in case.failures),
            )
            for case in self.cases
        ]
        return tables.table(f"{len(rows)} cases", heads, rows)


def read(folder: str | os.PathLike[str], *, session: str | None = None) -> RunAccount:
    """What `--dut-artifacts` kept in a folder, of all runs of pytest that used it or of one `session`.

    Raises `InvalidArgumentError` where that is no case.
    """
    root = Path(folder)
    kept = [_case(file) for file in sorted(root.glob(f"*/{VERDICT}"))]
    cases = [case for case in kept if session in (None, case.session)]
    if not cases:
        raise InvalidArgumentError(
            f"{root}: there is no case in it", hint="give a folder that a run with --dut-artifacts wrote"
        )
    return RunAccount(root, Rows(sorted(cases, key=lambda case: (case.device, case.plan_id, case.test))))


def _case(file: Path) -> CaseAccount:
    told = _json(file)
    try:
        return CaseAccount(
            plan_id=str(told["plan_id"]),
            test=str(told["test"]),
            device=str(told["device"]),
            outcome=str(told["outcome"]),
            procedure=str(told.get("procedure", "")),
            depth=str(told.get("depth", "")),
            outages=tuple(told.get("outages", ())),
            checked=tuple(told.get("checked", ())),
            not_checked=tuple(told.get("not_checked", ())),
            noted=tuple(told.get("noted", ())),
            failures=tuple((each["verdict"], each["step"], each["message"]) for each in told.get("failures", ())),
            why=str(told.get("why", "")),
            software=str(told.get("software", "")),
            session=str(told.get("session", "")),
            ended=str(told.get("ended", "")),
            plan=dict(told.get("plan", {})),
            about=_json(file.parent / DEVICE),
            timeline=_timeline(file.parent / TIMELINE),
            logs={log.stem: log.read_text(encoding="utf-8") for log in sorted(file.parent.glob("*.log"))},
        )
    except (KeyError, TypeError) as error:
        raise InvalidArgumentError(
            f"{file}: it is no account of a case: {error!r}", hint="another version of holdfast may have written it"
        ) from None


def _json(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidArgumentError(f"{file}: {error}", hint="it was cut short, or is another's") from None
    return told if isinstance(told, dict) else {}


def _timeline(file: Path) -> Timeline:
    """Empty where a case shares that of another."""
    if not file.exists():
        return Timeline()
    events = json.loads(file.read_text(encoding="utf-8"))
    return Timeline(Event(**{**event, "time": datetime.fromisoformat(event["time"])}) for event in events)
