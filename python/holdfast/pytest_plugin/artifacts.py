"""`--dut-artifacts DIR`: what a vendor's support can use of each case: timeline, verdict, device, container logs."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timezone
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast._version import __version__
from holdfast.exceptions import HoldfastError
from holdfast.pytest_plugin import command_line, options, targets
from holdfast.pytest_plugin.plans import plan_id, plan_of, round_of, title, variant
from holdfast.verdicts import CaseRecord, store
from holdfast.verdicts.store import DEVICE, HISTORY, TIMELINE, VERDICT

if TYPE_CHECKING:
    from holdfast.pytest_plugin.run import Run
    from holdfast.results import Event

# The timeline for people; programs read the other.
TIMELINE_TEXT = "timeline.txt"
# A folder that nobody asked for, made for a report.
FOLDER = pytest.StashKey[str]()
# Which run of pytest this is: its workers share it, and a folder may keep cases of several.
SESSION = pytest.StashKey[str]()
# When a test's setup began.
BEGAN = pytest.StashKey[datetime]()
# Set on a test whose folder has nothing of an earlier run any more.
EMPTIED = pytest.StashKey[bool]()
# Set once something could not be kept.
INCOMPLETE = pytest.StashKey[bool]()
# The folder of what was fetched from the device.
FETCHED = "fetched"
WRITTEN = (VERDICT, TIMELINE, TIMELINE_TEXT, DEVICE, HISTORY, "*.log", f"{FETCHED}/*", f".*{store.PART}")
# What a report calls the reason of who skipped its test.
SKIP_REASON = "holdfast_skip_reason"
# Of a plan's marker, what a report tells.
PLANNED = ("switchovers", "reboots", "shared")
# Of a file's name, in bytes: file systems take 255, and an ending may follow.
LONGEST_NAME = 200
# What the device of a run's own is called, where nothing names it.
EMULATED = "EMULATED"
# How long a look at the device may take for this, in seconds.
LOOK = 10.0


def keep(run: Run, item: pytest.Item) -> None:
    """Write what is known of a test that has ended, while what it made is still on the device."""
    with _as_far_as_there_is_room(item):
        folder = _folder(run.config, item)
        if folder is not None:
            _write(run, folder)


def keep_timeline(item: pytest.Item, events: Iterable[Event]) -> None:
    """Write what was asked and seen in a test that has no device under test."""
    with _as_far_as_there_is_room(item):
        folder = _folder(item.config, item)
        if folder is not None:
            _write_timeline(folder, list(events))


@contextmanager
def folder_of(config: pytest.Config, item: pytest.Item) -> Iterator[Path]:
    """The test's own folder, for what else is to be kept; a disk that is full is said, and ends what is done within."""
    with _as_far_as_there_is_room(item):
        folder = _folder(config, item)
        assert folder is not None, "a folder was asked for"
        yield folder


@contextmanager
def _as_far_as_there_is_room(item: pytest.Item) -> Iterator[None]:
    """A disk that is full, or a folder that is gone: the verdicts do not depend on it, so it is said once."""
    try:
        yield
    except OSError as error:
        if not item.config.stash.get(INCOMPLETE, False):
            item.config.stash[INCOMPLETE] = True
            what = f"--dut-artifacts: what is kept of {item.name}, and perhaps of later cases, is not whole: {error}"
            item.warn(pytest.PytestWarning(what))


def _write_timeline(folder: Path, events: Sequence[Event]) -> None:
    store.write_whole(folder / TIMELINE_TEXT, "\n".join(map(str, events)) + "\n")
    rows = [{**asdict(event), "time": event.time.isoformat()} for event in events]
    store.write_whole(folder / TIMELINE, json.dumps(rows) + "\n")


def _write(run: Run, folder: Path) -> None:
    _write_timeline(folder, run.events_of_test())
    about = {
        "device": run.description,
        "software": run.software,
        "profile": run.profile.name,
        "address": run.address,
        "holdfast": __version__,
        "run": run.id,
        "written": _now(),
        "control_processors": _answer(lambda: [repr(cp) for cp in run.device.control_processors(timeout=LOOK)]),
    }
    store.write_whole(folder / DEVICE, json.dumps(about, indent=2) + "\n")
    for file, document in run.evidence.items():
        store.write_whole(folder / file, json.dumps(document, indent=1) + "\n")
    for name in _answer(lambda: [container.name for container in run.device.containerz.containers(timeout=LOOK)]):
        if ("container", name, "") in run.made:
            lines = _answer(partial(run.device.containerz.logs, name, timeout=LOOK))
            store.write_whole(folder / f"{_plain(name)}.log", "\n".join(lines) + "\n")


def keep_case(item: pytest.Item, case: CaseRecord) -> None:
    """Write what is known of a case, with what its plan asks."""
    marker = plan_of(item)
    plan = {} if marker is None else {key: marker.kwargs[key] for key in PLANNED if key in marker.kwargs}
    with _as_far_as_there_is_room(item):
        folder = _folder(item.config, item)
        if folder is not None:
            now = datetime.now(timezone.utc)
            told = replace(case, plan=plan, session=session(item.config), command=command_line.shown(item.config))
            store.write(folder, replace(told, began=_written(item.stash.get(BEGAN, now)), ended=_written(now)))


def keep_end(item: pytest.Item, report: pytest.TestReport) -> None:
    """Write of a case that did not begin why: it was skipped, or its device could not be had."""
    marker = plan_of(item)
    if marker is None or report.when != "setup" or report.passed:
        return
    device = targets.of_item(item).name or "the emulated device"
    outcome = "skipped" if report.skipped else "error"
    case = CaseRecord(plan_id(item), item.name, device, outcome, suite=marker.name, why=reason(report))
    case = replace(case, title=title(item), variant=variant(item), round=round_of(item))
    keep_case(item, replace(case, target=targets.of_item(item).name or EMULATED))


def note_reason(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Put on a report why its test was skipped, in the words of who skipped it: pytest's own stand behind a mark.

    It crosses from a worker of pytest-xdist, as all attributes of a report do.
    """
    if call.excinfo is not None and isinstance(call.excinfo.value, pytest.skip.Exception):
        setattr(report, SKIP_REASON, call.excinfo.value.msg)


def reason(report: pytest.TestReport) -> str:
    """Why a test was skipped, or could not begin."""
    told: str | None = getattr(report, SKIP_REASON, None)
    return told or (report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or ""))


def place(config: pytest.Config) -> str | None:
    """The folder: `--dut-artifacts`, or one for `--dut-report` alone, which the process that prints made."""
    given: str | None = options.value(config, "dut-artifacts")
    worker: dict[str, str | None] = getattr(config, "workerinput", {})
    return given or config.stash.get(FOLDER, None) or worker.get("holdfast_artifacts")


def session(config: pytest.Config) -> str:
    """What this run of pytest is called in what is kept."""
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    return worker.get("holdfast_session", "") if worker else config.stash.setdefault(SESSION, uuid.uuid4().hex)


def _folder(config: pytest.Config, item: pytest.Item) -> Path | None:
    """The test's own, without what an earlier run kept there."""
    given = place(config)
    if given is None:
        return None
    folder = path_of(item)
    folder.mkdir(parents=True, exist_ok=True)
    if not item.stash.get(EMPTIED, False):
        item.stash[EMPTIED] = True
        for file in [file for name in WRITTEN for file in folder.glob(name)]:
            file.unlink()
    return folder


def path_of(item: pytest.Item) -> Path:
    """Where a test's artifacts are, in a run that keeps them."""
    return Path(str(place(item.config))) / _plain(item.name)


def _plain(name: str) -> str:
    """`name` as a file's, short enough for any file system."""
    plain = re.sub(r"[^\w.-]+", "_", name)
    encoded = plain.encode(errors="replace")
    if len(encoded) <= LONGEST_NAME:
        return plain
    digest = sha256(name.encode(errors="replace")).hexdigest()[:8]
    return f"{encoded[: LONGEST_NAME - 9].decode(errors='ignore')}-{digest}"


def note_began(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Keep when a test began, which its setup's report tells."""
    if call.when == "setup":
        item.stash[BEGAN] = datetime.fromtimestamp(call.start, timezone.utc)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _written(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


def _answer(ask: Callable[[], Iterable[str]]) -> list[str]:
    """What the device says, or why it does not."""
    try:
        return list(ask())
    except HoldfastError as error:
        return [f"not to be had: {error.message}"]
