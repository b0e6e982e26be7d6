"""A case on disk: a folder for each, with its steps in one JSON file, and its evidence beside it.

What is kept under `procedure`, `depth`, `checked`, `not_checked` and `failures` is what the run said, for other
programs; whoever reads a case here derives it from the steps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast.exceptions import InvalidArgumentError
from holdfast.results import Event, Timeline
from holdfast.verdicts.case import CaseRecord
from holdfast.verdicts.step import DEPTH, KINDS, OUTCOMES, Step

VERSION = 2
# How a file ends that is not whole yet.
PART = ".part"
VERDICT, TIMELINE, DEVICE = "verdict.json", "timeline.json", "device.json"
# What a client asked and saw, where a case has that, and the step that is derived from it.
HISTORY, HISTORY_STEP = "history.json", "what was seen is what may be"


def encode(case: CaseRecord) -> dict[str, Any]:
    """What is kept of a case, but for its evidence."""
    return {
        "version": VERSION,
        "plan_id": case.plan_id,
        "test": case.test,
        "device": case.device,
        "outcome": case.outcome,
        "why": case.why,
        "suite": case.suite,
        "title": case.title,
        "variant": case.variant,
        "judged": case.judged,
        "steps": [asdict(step) for step in case.steps],
        "outages": case.outages,
        "outages_known_after": case.outages_known_after,
        "noted": case.noted,
        "facts": dict(case.facts),
        "vendor": case.vendor,
        "software": case.software,
        "round": case.round,
        "held": dict(case.held),
        "session": case.session,
        "command": case.command,
        "began": case.began,
        "ended": case.ended,
        "plan": dict(case.plan),
        "target": case.target,
        **said(case),
    }


def said(case: CaseRecord) -> dict[str, Any]:
    """Of a case, what follows from its steps, as its run says it."""
    failures = [
        {"verdict": step.kind, "step": step.name, "message": step.words, "known_after": step.seconds}
        for step in case.failures
    ]
    return {
        "procedure": case.procedure,
        "depth": case.depth,
        "checked": case.checked,
        "not_checked": case.not_checked,
        "failures": failures,
    }


def decode(stored: Mapping[str, Any], **evidence: Any) -> CaseRecord:
    """A case from what was kept of it. Raises KeyError, TypeError or ValueError where that is none."""
    if stored["version"] != VERSION:
        raise ValueError(f"version {stored['version']}")
    outages, known = stored.get("outages", ()), stored.get("outages_known_after", ())
    if known and len(known) != len(outages):
        raise ValueError(f"{len(outages)} outages, of which {len(known)} were known")
    return CaseRecord(
        plan_id=str(stored["plan_id"]),
        test=str(stored["test"]),
        device=str(stored["device"]),
        outcome=str(stored["outcome"]),
        steps=tuple(_step(step) for step in stored["steps"]),
        suite=str(stored.get("suite", "")),
        title=str(stored.get("title", "")),
        variant=str(stored.get("variant", "")),
        judged=str(stored.get("judged", DEPTH)),
        outages=tuple(float(seconds) for seconds in outages),
        outages_known_after=tuple(float(seconds) for seconds in known),
        noted=tuple(str(line) for line in stored.get("noted", ())),
        facts={str(name): str(value) for name, value in stored.get("facts", {}).items()},
        why=str(stored.get("why", "")),
        vendor=str(stored.get("vendor", "")),
        software=str(stored.get("software", "")),
        round=stored.get("round"),
        held=dict(stored.get("held", {})),
        session=str(stored.get("session", "")),
        command=str(stored.get("command", "")),
        began=str(stored.get("began", "")),
        ended=str(stored.get("ended", "")),
        plan=dict(stored.get("plan", {})),
        target=str(stored.get("target", "")),
        **evidence,
    )


def _step(stored: Mapping[str, Any]) -> Step:
    if stored["kind"] not in KINDS or stored["outcome"] not in OUTCOMES:
        raise ValueError(f"a step of the kind {stored['kind']!r} with the outcome {stored['outcome']!r}")
    return Step(
        stored["kind"],
        str(stored["name"]),
        stored["outcome"],
        str(stored["words"]),
        float(stored["seconds"]),
        str(stored.get("reason", "")),
    )


def write(folder: Path, case: CaseRecord) -> None:
    """Keep a case in its folder."""
    write_whole(folder / VERDICT, json.dumps(encode(case), indent=2) + "\n")


def write_whole(file: Path, text: str) -> None:
    """Write a file so that whoever reads it, even after this process was killed meanwhile, has all of it or the old."""
    part = file.with_name(f".{file.name}.{os.getpid()}{PART}")
    try:
        with part.open("w", encoding="utf-8") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def read(folder: Path) -> list[CaseRecord]:
    """The cases of a folder of folders. Raises `InvalidArgumentError` where one of them is damaged."""
    return [read_case(file.parent) for file in sorted(folder.glob(f"*/{VERDICT}"))]


def read_verdicts(folder: Path) -> list[CaseRecord]:
    """The same without their evidence, which is most of what is kept."""
    return [_decoded(file.parent) for file in sorted(folder.glob(f"*/{VERDICT}"))]


def read_case(folder: Path) -> CaseRecord:
    """A case from its folder, with its evidence. Raises `InvalidArgumentError`."""
    logs = {log.stem: log.read_text(encoding="utf-8") for log in sorted(folder.glob("*.log"))}
    return _decoded(folder, about=read_json(folder / DEVICE), timeline=_timeline(folder / TIMELINE), logs=logs)


def _decoded(folder: Path, **evidence: Any) -> CaseRecord:
    stored = read_json(folder / VERDICT)
    try:
        return decode(stored, **evidence)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{folder / VERDICT}: it is no account of a case: {error!r}",
            hint="another version of holdfast may have written it",
        ) from None


def read_json(file: Path) -> dict[str, Any]:
    """An object from a file; empty where there is no such file. Raises `InvalidArgumentError`."""
    if not file.exists():
        return {}
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidArgumentError(f"{file}: {error}", hint="it was cut short, or is another's") from None
    return stored if isinstance(stored, dict) else {}


def _timeline(file: Path) -> Timeline:
    """Empty where a case shares that of another. Raises `InvalidArgumentError`."""
    if not file.exists():
        return Timeline()
    try:
        events = json.loads(file.read_text(encoding="utf-8"))
        return Timeline(Event(**{**event, "time": datetime.fromisoformat(event["time"])}) for event in events)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{file}: it is no timeline: {error!r}", hint="it was cut short, or is another's"
        ) from None
