"""What runs left on a device: found by this machine's journal and by labels, and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast import journal, visible, waiting
from holdfast.exceptions import (
    Aborted,
    DeviceOccupied,
    HoldfastError,
    Internal,
    ResourceExhausted,
    RpcError,
    Unavailable,
    Unimplemented,
    Unknown,
)
from holdfast.journal import MACHINE_LABEL, RUN_LABEL, Entry, Journal

if TYPE_CHECKING:
    from holdfast import Device
    from holdfast._core import Containerz
    from holdfast.results import Image, Plugin

HERE, ELSEWHERE, UNKNOWN = "this machine", "another machine", "unknown"
# The order in which things let go of each other. No RPC lists the archives of plugins.
KINDS = ("container", "image", "volume", "plugin", ARCHIVE := "plugin archive")
# What runs called their images when the journal did not say so.
_EARLIER_NAMES = ("cntrsrv_image", "image_under_test")
# How long a device may list what it has removed, in seconds, and from one look to the next.
PATIENCE, LOOK = 5.0, 0.1
# How long a device may go on with what was under way when its run was interrupted, in seconds.
UNDER_WAY = 2.0


@dataclass(frozen=True)
class LeftOver:
    """Something on a device. `whose` is unknown, and `run` empty, where its name alone looks like a run's."""

    kind: str
    name: str
    tag: str
    run: str
    whose: str = HERE
    # When, where this machine's journal says so: local time in ISO 8601.
    made: str = ""

    def __str__(self) -> str:
        return visible.line(f"{self.kind} {self.name}:{self.tag}" if self.tag else f"{self.kind} {self.name}")


@dataclass(frozen=True)
class Listed:
    """All that a device lists at one time."""

    images: tuple[Image, ...]
    # Kind and name to labels; an image is in `images`.
    others: Mapping[tuple[str, str], Mapping[str, str]]

    @classmethod
    def of(cls, device: Device) -> Listed:
        """Ask it."""
        others: dict[tuple[str, str], Mapping[str, str]] = {}
        for container in device.containerz.containers():
            # A name with a slash is a link's: whoever removes that has removed the container.
            for name in (container.name, *(alias for alias in container.aliases if "/" not in alias)):
                others["container", name] = container.labels
        for volume in device.containerz.volumes():
            others["volume", volume.name] = volume.labels
        for plugin in _plugins(device):
            others["plugin", plugin.instance_name] = {}
        return cls(tuple(device.containerz.images()), others)

    @classmethod
    def within(cls, device: Device, limit: float) -> Listed:
        """Ask it until it answers, `limit` seconds at most: one refusal in passing is not the device's last word."""
        told = waiting.until(lambda: cls._unless_refused(device), limit, look=0.5)
        return told or cls.of(device)

    @classmethod
    def _unless_refused(cls, device: Device) -> Listed | None:
        with suppress(Internal, Unknown, Unavailable, Aborted, ResourceExhausted):
            return cls.of(device)
        return None

    def has(self, thing: LeftOver) -> bool:
        """Whether it is listed, or may be: some servers give an image one row, of one name and the tags of all."""
        if thing.kind != "image":
            return (thing.kind, thing.name) in self.others
        return any(row.may_be(thing.name, thing.tag) for row in self.images)

    def surely_has(self, thing: LeftOver) -> bool:
        """Whether nothing else can be meant."""
        if thing.kind != "image":
            return self.has(thing)
        return any(not _is_joined(row) and row.may_be(thing.name, thing.tag) for row in self.images)

    def named_for(self, run: str) -> Iterator[tuple[str, str, str]]:
        """Kind, name and tag of what has the run's id in its name. Of a row of several names none is sure."""
        for kind, name in self.others:
            if journal.run_in(name) == run:
                yield kind, name, ""
        for row in self.images:
            if len(row.tags) == 1 and journal.run_in(row.tag) == run:
                yield "image", row.name, row.tag

    def is_somebody_elses(self, thing: LeftOver) -> bool:
        """Whether it has labels, and none of the thing's run, nor the run's id in its name."""
        labels = self.others.get((thing.kind, thing.name))
        return bool(labels) and _run_on(labels or {}) != thing.run != journal.run_in(thing.name)

    def times(self, tag: str) -> int:
        """How many images have this tag."""
        return sum(row.tags.count(tag) for row in self.images)


def _run_on(labels: Mapping[str, str]) -> str:
    """Of an image for some purpose, the label has that after the run's id; its containers inherit it."""
    return labels.get(RUN_LABEL, "").partition("-")[0]


def _is_joined(row: Image) -> bool:
    return len(row.tags) > 1


def _plugins(device: Device) -> tuple[Plugin, ...]:
    """Those that are listed; none where the device does not say."""
    try:
        return device.containerz.plugins()
    except RpcError:
        return ()


@dataclass(frozen=True)
class Survey:
    """What runs left on a device, as far as this machine's journal and the labels there say."""

    # All that a list shows, in the order in which it is removed.
    found: list[LeftOver]
    # What the journal has and no list shows.
    unlisted: list[LeftOver]
    journal: Journal = field(repr=False)

    def by(self, whose: str) -> list[LeftOver]:
        """What a run of this or of another machine made, or what looks so."""
        return [thing for thing in self.found if thing.whose == whose]


def survey(device: Device) -> Survey:
    """Look at a device."""
    known = Journal(device.address)
    entries, listed = known.entries(), Listed.of(device)
    found = [*_images(listed, entries), *_others(listed, entries)]
    noted = [LeftOver(entry.kind, entry.name, entry.tag, entry.run, HERE, entry.made) for entry in entries]
    unlisted = [thing for thing in noted if thing.kind in KINDS and not listed.has(thing)]
    return Survey(sorted(found, key=_rank), sorted(unlisted, key=_rank), known)


def _rank(thing: LeftOver) -> int:
    return KINDS.index(thing.kind)


def _others(listed: Listed, entries: Sequence[Entry]) -> Iterator[LeftOver]:
    runs = {entry.run for entry in entries}
    for (kind, name), labels in listed.others.items():
        entry = next((entry for entry in reversed(entries) if entry.is_of(kind, name, "")), None)
        run = _run_on(labels)
        made = entry.made if entry else ""
        if run:
            here = run in runs or labels.get(MACHINE_LABEL) == journal.machine()
            yield LeftOver(kind, name, "", run, HERE if here else ELSEWHERE, made)
        # Nobody but a run of this machine can know its id, and a device that muddles what it made.
        elif (named := journal.run_in(name)) in runs:
            yield LeftOver(kind, name, "", named or "", HERE, made)
        # What has labels, and none of ours, is another thing of that name.
        elif entry and not labels:
            yield LeftOver(kind, name, "", entry.run, HERE, made)
        elif entry or named:
            yield LeftOver(kind, name, "", "", UNKNOWN)


def _images(listed: Listed, entries: Sequence[Entry]) -> Iterator[LeftOver]:
    found: dict[tuple[str, str], LeftOver] = {}
    runs = {entry.run for entry in entries}
    for row in listed.images:
        for tag in dict.fromkeys(row.tags):
            ours = {name: entry for entry in entries for name in _names(entry, row, tag)}
            for name, entry in ours.items():
                found[name, tag] = LeftOver("image", name, tag, entry.run, HERE, entry.made)
            named = journal.run_in(tag)
            if not ours and named in runs and not _is_joined(row):
                found[row.name, tag] = LeftOver("image", row.name, tag, named or "", HERE)
            elif not ours and named:
                found[row.name, tag] = LeftOver("image", row.name, tag, "", UNKNOWN)
    yield from found.values()


def _names(entry: Entry, row: Image, tag: str) -> Iterable[str]:
    """What the row's image of that tag is called, if the entry tells of it."""
    if entry.kind == "image" and entry.tag == tag and row.may_be(entry.name, tag):
        return (entry.name,)
    if not entry.kind and entry.name == tag:
        return (row.name, *_EARLIER_NAMES) if _is_joined(row) else (row.name,)
    return ()


def refuse_foreign(device: Device, run: str) -> list[str]:
    """`DeviceOccupied` where something of another run's is on the device; else what to tell of the rest."""
    seen = survey(device)
    foreign = [thing for thing in seen.found if thing.whose != UNKNOWN and thing.run != run]
    if not foreign:
        return [*seen.journal.warnings, *map(left_alone, seen.by(UNKNOWN))]
    runs = ", ".join(sorted({thing.run for thing in foreign}))
    what = "; ".join(str(thing) for thing in foreign[:5]) + ("; …" if len(foreign) > 5 else "")
    far = any(thing.whose == ELSEWHERE for thing in foreign)
    where = "; of another machine" if far else ""
    raise DeviceOccupied(
        f"{device.name}: things of another run ({runs}{where}) are on the device: {what}",
        device=device.name,
        hint=f"if that run has ended: {command(device, far=far)}, with your other options",
    )


def command(device: Device, *, far: bool) -> str:
    """What removes it."""
    return f"holdfast --dut {device.address} clean {'--from-elsewhere ' if far else ''}--yes"


def left_alone(thing: LeftOver) -> str:
    """Why what looks like a run's is not removed."""
    if thing.whose == ELSEWHERE:
        return f"left alone: {thing} is of another machine's run {thing.run}; --from-elsewhere removes it, too"
    return f"left alone: {thing} is not in this machine's journal and bears no label {RUN_LABEL}"


def late(device: Device, listed: Listed, run: str) -> tuple[Listed, LeftOver | None]:
    """What a device lists once that has come about which was under way when `run` was interrupted; and what that is,
    where it has not come by then, for it may yet.
    """
    newest = next((LeftOver(*thing, run) for thing in reversed(device.made)), None)
    if newest is None or newest.kind == ARCHIVE or listed.has(newest):
        return listed, None

    def look() -> Listed | None:
        now = Listed._unless_refused(device)
        return now if now is not None and now.has(newest) else None

    came = waiting.until(look, UNDER_WAY, look=LOOK)
    return (listed, newest) if came is None else (came, None)


def remove(device: Device, things: Iterable[LeftOver], before: Listed | None = None) -> dict[LeftOver, str]:
    """Remove things, running or in use, and look whether they are gone. What is not, and why.

    What no list shows, of `before` or now, is tried all the same, for lists are incomplete after a failover.
    """
    wanted = sorted(dict.fromkeys(things), key=_rank)
    if not wanted:
        return {}
    before = before or Listed.of(device)
    outcomes = {thing: _removed(device, thing) for thing in wanted}
    stayed: dict[LeftOver, str] = {}
    for last in waiting.looks(PATIENCE, look=LOOK):
        seen = any(outcome is True or before.has(thing) for thing, outcome in outcomes.items())
        stayed = _stayed(before, Listed.of(device) if seen else before, outcomes)
        again = [thing for thing in stayed if outcomes[thing] is True]
        if not again:
            break
        for thing in again if not last else ():  # it may be there twice
            outcomes[thing] = _removed(device, thing) or True
    return stayed


def clean(device: Device, seen: Survey, things: Sequence[LeftOver]) -> dict[LeftOver, str]:
    """Remove `things`, and what the journal has and no list shows; what stays, and why. Needs the device's lock."""
    stayed = remove(device, [*things, *seen.unlisted])
    there = list(stayed)
    gone = [entry for entry in seen.journal.entries() if not any(_tells_of(entry, thing) for thing in there)]
    seen.journal.strike(gone)
    seen.journal.tidy()
    return stayed


def _tells_of(entry: Entry, thing: LeftOver) -> bool:
    return entry.run == thing.run and entry.is_of(thing.kind, thing.name, thing.tag)


def strike(known: Journal, gone: Iterable[LeftOver]) -> None:
    """Take what is gone out of the journal. Only for who holds the device's lock."""
    things = list(gone)
    known.strike(entry for entry in known.entries() if any(_tells_of(entry, thing) for thing in things))
    known.tidy()


def _removed(device: Device, thing: LeftOver) -> bool | str:
    """Whether the device says that it removed it, or why it did not."""
    try:
        return _REMOVALS[thing.kind](device.containerz, thing)
    except HoldfastError as error:
        return error.message


def _remove_image(containerz: Containerz, thing: LeftOver) -> bool:
    return containerz.remove_image(f"{thing.name}:{thing.tag}", force=True, missing_ok=True)


def _remove_plugin(containerz: Containerz, thing: LeftOver) -> bool:
    with suppress(RpcError):  # it may not run
        containerz.stop_plugin(thing.name)
    return containerz.remove_plugin(thing.name, missing_ok=True)


def _remove_archive(containerz: Containerz, thing: LeftOver) -> bool:
    with suppress(Unimplemented, Unknown):  # then it stays, or the server says so of one that is not there
        return containerz.remove_plugin_tar(thing.name, missing_ok=True)
    return False


_REMOVALS: dict[str, Callable[[Containerz, LeftOver], bool]] = {
    "container": lambda containerz, thing: containerz.remove(thing.name, force=True, missing_ok=True),
    "image": _remove_image,
    "volume": lambda containerz, thing: containerz.remove_volume(thing.name, force=True, missing_ok=True),
    "plugin": _remove_plugin,
    ARCHIVE: _remove_archive,
}


def _stayed(before: Listed, after: Listed, outcomes: Mapping[LeftOver, bool | str]) -> dict[LeftOver, str]:
    stayed = {}
    for thing, outcome in outcomes.items():
        unseen = thing.kind == ARCHIVE and isinstance(outcome, str)
        if unseen or after.surely_has(thing) or (after.has(thing) and _may_be_there(thing, before, after, outcomes)):
            stayed[thing] = _why(outcome)
    return stayed


def _may_be_there(thing: LeftOver, before: Listed, after: Listed, outcomes: Mapping[LeftOver, bool | str]) -> bool:
    """Whether an image is one of those that a row of several names has: by how many of its tag have gone."""
    if outcomes[thing] is not True:
        return isinstance(outcomes[thing], str) or journal.run_in(thing.tag) is not None
    same = [other for other, outcome in outcomes.items() if (other.kind, other.tag) == ("image", thing.tag)]
    gone = sum(outcomes[other] is True for other in same)
    return after.times(thing.tag) > before.times(thing.tag) - gone


def _why(outcome: bool | str) -> str:
    if isinstance(outcome, str):
        return outcome
    return f"the device says that it {'removed it' if outcome else 'is not there'}, and lists it"
