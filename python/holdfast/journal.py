"""What this machine knows of devices: what its runs made there, and which run has one now."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from holdfast import waiting
from holdfast.exceptions import DeviceOccupied, HoldfastError

# What the names that a run gives begin with. It is for people: whose a thing is, no name says.
PREFIX = "holdfast-"
# On what can bear labels: which run made it, and on which machine.
RUN_LABEL, MACHINE_LABEL = "holdfast.run", "holdfast.machine"
# The same, with the name that its bearer was asked to have.
NAME_LABEL = "holdfast.name"
_OF_A_RUN = re.compile(rf"{PREFIX}([0-9a-z]+)(?:-.*)?$")


def new_run_id(seed: str | None = None) -> str:
    """An id that no other run has: the time, and the process or what `seed` stands for."""
    text = seed or f"{time.time_ns()}-{os.getpid()}"
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def run_in(name: str) -> str | None:
    """The run whose id a name seems to have in it. Anybody may give such a name: it proves nothing."""
    found = _OF_A_RUN.match(name)
    return found[1] if found else None


def folder() -> Path:
    """Where this machine keeps what it knows. Raises `HoldfastError` where there is no place to write."""
    for place in _places():
        if _is_writable(place):
            return place
    tried = ", ".join(str(place) for place in _places())
    raise HoldfastError(
        f"there is no place to write down what is made on the device: tried {tried}",
        hint="set XDG_STATE_HOME to a folder that can be written",
    )


def elsewhere() -> str | None:
    """What to tell of a state folder that cannot be written, where another has its place."""
    usual, other = _places()
    if _is_writable(usual):
        return None
    return f"{usual} cannot be written: what is made on devices is written down in {other}, as long as that lasts"


def _places() -> tuple[Path, Path]:
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "holdfast", Path(tempfile.gettempdir()) / f"holdfast-{os.getuid()}"


def _is_writable(place: Path) -> bool:
    """Made where it is missing. In a folder that all may write to, somebody else's may have its name."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.lstat()
    except OSError:
        return False
    ours = found.st_uid == os.getuid() and not stat.S_ISLNK(found.st_mode)
    return (ours or place == _places()[0]) and os.access(place, os.W_OK)


def machine() -> str:
    """This machine's id in labels: drawn once, and kept beside the journals."""
    file = folder() / "machine"
    try:
        if not file.exists():
            _draw(file)
        return file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise HoldfastError(f"{file}: {error}", hint="set XDG_STATE_HOME to a folder that can be written") from None


def _draw(file: Path) -> None:
    """Where another process is quicker, its id is this machine's."""
    drawn = file.with_name(f"machine.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        drawn.write_text(secrets.token_hex(8), encoding="ascii")
        with suppress(FileExistsError):
            os.link(drawn, file)
    finally:
        drawn.unlink(missing_ok=True)


@dataclass(frozen=True)
class Entry:
    """Something that a run of this machine made, or was about to make."""

    run: str
    # Empty where an older version wrote it: `name` is then a tag of an image, or a name of any kind.
    kind: str
    name: str
    tag: str
    # Local time in ISO 8601.
    made: str
    # Of the device that it is on, joined by commas; empty where an older version wrote it.
    device: str
    file: Path

    def is_of(self, kind: str, name: str, tag: str) -> bool:
        """Whether it tells of that thing."""
        if self.kind:
            return (self.kind, self.name, self.tag) == (kind, name, tag)
        return self.name == (tag if kind == "image" else name)


class Journal:
    """What this machine's runs made on one device and did not see go. Each line is written before its thing is made."""

    def __init__(self, address: str) -> None:
        self._addresses = set(address.split(","))
        self.file = _file(address, ".jsonl")
        # What a user must be told of what was read, once.
        self.warnings: list[str] = list(filter(None, [elsewhere()]))

    def entries(self) -> list[Entry]:
        """All that may still be there, oldest first.

        What was written of the device under another address counts where the name has the run's id in it: no other
        thing has that name.
        """
        files = sorted({file for place in _places() for file in _journals(place)} | {self.file})
        found = [entry for file in files for entry in self._read(file)]
        return [entry for entry in found if self._concerns(entry)]

    def _concerns(self, entry: Entry) -> bool:
        same = self._addresses & set(entry.device.split(",")) if entry.device else entry.file.name == self.file.name
        return bool(same) or entry.run in (run_in(entry.name), run_in(entry.tag))

    def strike(self, gone: Iterable[Entry]) -> None:
        """These are on the device no more."""
        for entry in gone:
            line = json.dumps({**_fields(entry), "time": time.time(), "gone": True})
            with suppress(OSError), entry.file.open("a", encoding="utf-8") as journal:
                journal.write(f"\n{line}\n")

    def tidy(self) -> None:
        """Remove the file if all in it is gone. Only for who holds the device's lock: another may be writing to it."""
        with suppress(OSError):
            if self.file.exists() and not self._read(self.file):
                self.file.unlink()

    def _read(self, file: Path) -> list[Entry]:
        try:
            lines = file.read_bytes().splitlines()
        except OSError:
            return []
        there: dict[tuple[str, ...], Entry] = {}
        good, damaged = [], []
        for line in filter(bytes.strip, lines):
            try:
                entry, gone = _parsed(line, file)
            except (ValueError, TypeError, KeyError, OverflowError, OSError):
                damaged.append(line)
                continue
            good.append(line)
            key = (entry.run, entry.kind, entry.name, entry.tag)
            there.pop(key, None)
            if not gone:
                there[key] = entry
        if damaged and file.name == self.file.name:  # others' may just be written to
            self._set_aside(file, good, damaged)
        return list(there.values())

    def _set_aside(self, file: Path, good: list[bytes], damaged: list[bytes]) -> None:
        aside = file.with_suffix(".damaged")
        lines = "1 line" if len(damaged) == 1 else f"{len(damaged)} lines"
        try:
            with aside.open("ab") as kept:
                kept.writelines(line + b"\n" for line in damaged)
            fresh = file.with_suffix(f".{os.getpid()}.fresh")
            fresh.write_bytes(b"".join(line + b"\n" for line in good))
            fresh.replace(file)
            what = f"kept in {aside}"
        except OSError as error:
            what = f"and not set aside ({error})"
        warning = f"{lines} of {file} could not be read: {what}; what bears a label is found all the same"
        if warning not in self.warnings:
            self.warnings.append(warning)


def _journals(place: Path) -> list[Path]:
    try:
        return sorted(place.glob("*.jsonl"))
    except OSError:
        return []


def _parsed(line: bytes, file: Path) -> tuple[Entry, bool]:
    """An entry, and whether it went."""
    record: dict[str, Any] = json.loads(line)
    run, name = record["run"], record["name"]
    kind, tag, device = (record.get(key, "") for key in ("kind", "tag", "device"))
    if not all(isinstance(text, str) for text in (run, kind, name, tag, device)):
        raise ValueError("not a journal's line")
    made = datetime.fromtimestamp(record["time"]).astimezone().isoformat(timespec="seconds")
    return Entry(run, kind, name, tag, made, device, file), record.get("gone") is True


def _fields(entry: Entry) -> dict[str, str]:
    record = {"run": entry.run, "device": entry.device, "kind": entry.kind, "name": entry.name, "tag": entry.tag}
    return {key: value for key, value in record.items() if value}


@dataclass
class Lock:
    """This machine's claim on a device."""

    _file: IO[str]

    def release(self) -> None:
        """Let others have it."""
        self._file.close()


def _file(address: str, suffix: str) -> Path:
    return folder() / (re.sub(r"[^0-9A-Za-z.]+", "_", address) + suffix)


def lock(address: str, *, patience: float = 0) -> Lock:
    """Claim a device for this process; `DeviceOccupied` where another process of this machine has it.

    `patience` is how many seconds to wait for it to let go.
    """
    file = _file(address, ".lock").open("a+", encoding="utf-8")
    if not waiting.until(lambda: _claimed(file), patience):
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise DeviceOccupied(
            f"{address}: another run uses this device now (process {holder})",
            device=address,
            hint="wait until it has ended; a suite does with --dut-wait TIME",
        )
    with suppress(OSError):  # on a full disk it is claimed all the same
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    return Lock(file)


def holder(address: str) -> str | None:
    """The process of this machine that has a device now; None where none has."""
    held = held_by(address)
    return None if held is None else held[0]


def held_by(address: str) -> tuple[str, float] | None:
    """The same, and since when, in seconds since 1970."""
    with _file(address, ".lock").open("a+", encoding="utf-8") as file:
        if _claimed(file):
            return None
        file.seek(0)
        return file.read().strip() or "unknown", os.fstat(file.fileno()).st_mtime


def _claimed(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
