"""Core files: which lie on a device, and which of them came to be while it failed over.

Those that lay there before are nobody's: each control processor's are compared with what itself had when it was last
looked at. Where that is not known, as of one that was never active in the run and shows its own files alone, when a
file was written tells whether it is new, as far as its time can be believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import PurePosixPath
from time import monotonic
from typing import TYPE_CHECKING

from holdfast.exceptions import DeadlineExceeded, HoldfastError, NotFound, RpcError, Unavailable, Unimplemented
from holdfast.pytest_plugin.surroundings import JITTER

if TYPE_CHECKING:
    from holdfast import Device
    from holdfast.profiles import Profile

# How long a device may take for one answer, in seconds.
LOOK = 5.0
# Of a folder, so many things are asked whether they are folders with core files in them.
MOST_ASKED = 64
# Local times differ from the device's clock by a multiple of the first, and by no more than the second.
ZONE, FARTHEST_ZONE = timedelta(minutes=15), timedelta(hours=14)
# No device's clock is earlier; a time before it is none.
FIRST_TIME = datetime(2000, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class CoreFile:
    """A core file on the device; `written` by its clock, where it says when."""

    path: str
    size: int
    written: datetime | None = None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.path).name

    def __str__(self) -> str:
        when = f", written at {self.written.isoformat(sep=' ', timespec='seconds')}" if self.written else ""
        return f"{self.path} ({self.size} bytes{when})"


@dataclass
class CoreFiles:
    """What lies there, and why some of it cannot be seen; `active` is the control processor that showed it."""

    active: str | None = None
    # By the device's clock, where it tells the time.
    at: datetime | None = None
    found: list[CoreFile] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    # Those whose contents were told.
    folders: set[str] = field(default_factory=set)
    # When that was by our clock, which nobody sets.
    looked: float = field(default_factory=monotonic)


def look(dut: Device, profile: Profile, active: str | None, at: datetime | None) -> CoreFiles:
    """What lies in the folders that the profile names, and in folders right below them."""
    seen = CoreFiles(active, at)
    if not profile.core_folders:
        seen.unseen.append(f"profile {profile.name} does not say where core files lie")
    for folder in profile.core_folders:
        _look_into(dut, profile, folder, seen)
    return seen


def _look_into(dut: Device, profile: Profile, folder: str, seen: CoreFiles) -> None:
    try:
        seen.found += _in_folder(dut, profile, folder, seen.folders)
    except NotFound:
        if not profile.core_folders_known:
            seen.unseen.append(f"there is no {folder}, and profile {profile.name} names no other for core files")
    except HoldfastError as error:
        seen.unseen.append(f"File.Stat of {folder}: {said(error)}")
    except LookupError as why:
        seen.unseen.append(f"File.Stat of {folder}: {why.args[0]}")


def said(error: HoldfastError) -> str:
    """A status by its name, and the device's own words: they tell what no status does."""
    kind = error.code or type(error).__name__
    words = error.reason if error.device_message is None else error.device_message
    return f"{kind}: {words}" if words else kind


def _in_folder(dut: Device, profile: Profile, folder: str, listed: set[str]) -> Iterator[CoreFile]:
    below = _in_either_spelling(dut, folder)
    if _is_itself(folder, below):
        raise LookupError("it tells of the folder alone, and not of what is in it")
    listed.add(_normal(folder))
    asked = 0
    for entry in _without_itself(folder, below):
        matches, unclear = profile.is_core_file(entry.path), "." not in entry.name
        within: Sequence[CoreFile] = (entry,)
        if (matches or unclear) and asked < MOST_ASKED:
            asked += 1
            ask = _entries if matches else _in_either_spelling
            with suppress(RpcError):  # it went meanwhile, or is a folder that nobody may read
                within = ask(dut, entry.path)
        if within and not _is_itself(entry.path, within):
            listed.add(_normal(entry.path))
            yield from (each for each in _without_itself(entry.path, within) if profile.is_core_file(each.path))
        elif matches:  # where Stat gives no row for it: listed it was, and a device may tell of folders alone
            yield entry


def _in_either_spelling(dut: Device, folder: str) -> list[CoreFile]:
    """What is in a folder: there are devices that know it with a slash at its end alone, and others without one alone.

    So none is believed that has no such folder, or nothing in it, before it was asked in the other spelling too.
    """
    bare = folder.rstrip("/")
    other = bare if folder.endswith("/") else f"{bare}/"
    first: RpcError | None = None
    entries: list[CoreFile] = []
    try:
        entries = _entries(dut, folder)
    except RpcError as error:
        if isinstance(error, (Unimplemented, Unavailable, DeadlineExceeded)) or not bare:
            raise
        first = error
    if not bare or (entries and not _is_itself(folder, entries)):
        return entries
    try:
        return _entries(dut, other) or entries
    except RpcError:
        if first is not None:
            raise first from None
        return entries


def _normal(path: str, *, above: bool = False) -> str:
    whole = PurePosixPath(path)
    return str(whole.parent if above else whole)


def _entries(dut: Device, path: str) -> list[CoreFile]:
    """What Stat tells, with whole paths: some devices leave the folder out."""
    return [CoreFile(_whole(row.path, path), row.size, _time(row)) for row in dut.file.stat(path, timeout=LOOK)]


def _whole(path: str, folder: str) -> str:
    disk, named, _ = folder.partition(":")  # as in harddisk:/core
    if path.startswith("/") or (named and "/" not in disk and path.startswith(f"{disk}:")):
        return path
    return f"{folder.rstrip('/')}/{path}"


def _time(row: object) -> datetime | None:
    written: datetime | None = getattr(row, "last_modified", None)
    return written if written is not None and written >= FIRST_TIME else None


def _is_itself(path: str, rows: Sequence[CoreFile]) -> bool:
    """Whether Stat told of the thing itself: with its path, or of a device that leaves folders out with its name."""
    own = path.rstrip("/")
    return len(rows) == 1 and rows[0].path.rstrip("/") in (own, f"{own}/{PurePosixPath(own).name}")


def _without_itself(path: str, rows: Sequence[CoreFile]) -> list[CoreFile]:
    """What is in a folder: some devices tell of the folder too, and of the one above it."""
    own = PurePosixPath(path)
    return [row for row in rows if PurePosixPath(row.path) != own and row.name != ".."]


@dataclass
class Judged:
    """What came to be, and what may have."""

    new: list[CoreFile] = field(default_factory=list)
    doubtful: list[tuple[CoreFile, str]] = field(default_factory=list)


def judge(
    before: CoreFiles,
    after: CoreFiles,
    known: Sequence[CoreFile],
    run_began: datetime | None,
    last_shown: CoreFiles | None = None,
) -> Judged:
    """Of what lies there now: what came to be since `before`. `known` is what earlier cases of the run saw, and
    `last_shown` what the control processor that is active now showed when it last was.
    """
    judged = Judged()
    for core in after.found:
        if any(_same(core, other) for other in (*before.found, *known)):
            continue
        doubt = _doubt(core, before, after, run_began, last_shown)
        if doubt is None:
            judged.new.append(core)
        elif doubt:
            judged.doubtful.append((core, doubt))
    return judged


def _same(core: CoreFile, other: CoreFile) -> bool:
    """Whether it is that file: where it was, or from where another control processor has it."""
    if (core.name, core.size) != (other.name, other.size):
        return False
    return core.written == other.written or core.path != other.path


def _doubt(
    core: CoreFile, before: CoreFiles, after: CoreFiles, run_began: datetime | None, last_shown: CoreFiles | None
) -> str | None:
    """Why it may be old, or new; None where it is new, and nothing where it is old for sure."""
    earlier = next((other for other in before.found if other.path == core.path), None)
    if doubt := doubt_of_clocks(core.written, before.at, after.at, after.looked - before.looked):
        return doubt
    if core.written is None or before.at is None:
        return _doubt_without_times(before, after, earlier)
    if since(core.written, before.at):
        # It may have been in the making, or be a log that has such a name.
        return "it was there when the case began, and was written to since" if earlier is not None else None
    if run_began is not None and since(core.written, run_began):
        return "it was written during this run, before this case began"
    return _doubt_of_time(core, before, after, last_shown)


def _doubt_of_time(core: CoreFile, before: CoreFiles, after: CoreFiles, last_shown: CoreFiles | None) -> str:
    """Why one that is old by its time may be new all the same; empty where nothing speaks against its time."""
    folder, own_of = _normal(core.path, above=True), before
    if before.active != after.active:
        # What the standby had, where the active showed that before, lay in a folder of its name.
        name = (after.active or "").replace("/", "_")
        if name and any(PurePosixPath(each).name == name for each in before.folders):
            return _UNSEEN_BEFORE.format("the case began")
        if last_shown is None:
            return in_another_zone(core.written, before.at, after.at)
        own_of = last_shown
    if folder in own_of.folders and not any(other.path == core.path for other in own_of.found):
        return _UNSEEN_BEFORE.format("the case began" if own_of is before else f"{after.active} was active last")
    return ""


_UNSEEN_BEFORE = "it was not there when {}, and its time is from before: it may be of another time zone"


def in_another_zone(time: datetime | None, before: datetime | None, after: datetime | None) -> str:
    """Why a time from earlier than `before` may be a local one of between `before` and `after`; else empty."""
    if time is None or before is None or after is None:
        return ""
    steps = (before - time) // ZONE
    for shift in (steps * ZONE, (steps + 1) * ZONE):
        if shift <= FARTHEST_ZONE and since(time + shift, before) and time + shift <= after:
            return f"its time is of during the case if it is a local one, {shift} behind, and it was not seen before"
    return ""


def _doubt_without_times(before: CoreFiles, after: CoreFiles, earlier: CoreFile | None) -> str | None:
    unknown = "when it was written is not known"
    if before.active != after.active:
        return f"{unknown}, and another control processor answers now"
    if earlier is not None or before.unseen:
        return f"{unknown}, and {'something was there before' if earlier else 'what was there before was not seen'}"
    return None


def doubt_of_clocks(
    time: datetime | None, before: datetime | None, after: datetime | None, elapsed: float
) -> str | None:
    """Why a time that the device tells of something proves nothing: `before` and `after` are its clock's, and `elapsed`
    is what passed from one to the other by ours, in seconds.
    """
    if before is not None and after is not None and time is not None and after < before - JITTER:
        return "the device's clock went back"
    if before is not None and after is not None and time is not None and time >= before:
        ahead = after - before - timedelta(seconds=elapsed)
        if ahead > JITTER:
            return f"the device's clock went forward by {ahead.total_seconds():.0f} s more than ours: it may be old"
    if after is not None and time is not None and time > after + JITTER:
        return "its time is later than the device's clock: it may be of another time zone, and old"
    return None


def since(written: datetime, moment: datetime) -> bool:
    """Whether it was written since then; devices may tell whole seconds alone."""
    return written >= (moment.replace(microsecond=0) if written.microsecond == 0 else moment)
