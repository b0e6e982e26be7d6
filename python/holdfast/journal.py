"""Whose things are on a device: names that say so, a journal of what was made, one run at a time, and the clean-up."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from holdfast import waiting
from holdfast.exceptions import DeviceOccupied, HoldfastError, RpcError, Unimplemented

if TYPE_CHECKING:
    from holdfast import Device
    from holdfast.results import Plugin

PREFIX = "holdfast-"
_OURS = re.compile(rf"{PREFIX}([0-9a-z]+)(?:-.*)?$")


def new_run_id(seed: str | None = None) -> str:
    """An id that no other run has: the time, and the process or what `seed` stands for."""
    text = seed or f"{time.time_ns()}-{os.getpid()}"
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def run_of(name: str) -> str | None:
    """The run that made what has this name, or None for somebody else's."""
    found = _OURS.match(name)
    return found[1] if found else None


def _folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base) / "holdfast"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _file(address: str, suffix: str) -> Path:
    return _folder() / (re.sub(r"[^0-9A-Za-z.]+", "_", address) + suffix)


def record(address: str, run: str, name: str) -> None:
    """Write down, before it is made, what will be on the device."""
    line = json.dumps({"time": time.time(), "run": run, "name": name})
    with _file(address, ".jsonl").open("a", encoding="utf-8") as journal:
        journal.write(line + "\n")


def made(address: str) -> dict[str, str]:
    """When this machine made what, by name: local time in ISO 8601."""
    found = {}
    file = _file(address, ".jsonl")
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        entry = json.loads(line)
        found[entry["name"]] = datetime.fromtimestamp(entry["time"]).astimezone().isoformat(timespec="seconds")
    return found


def forget(address: str) -> None:
    """Nothing of what was written down is on the device any more."""
    _file(address, ".jsonl").unlink(missing_ok=True)


@dataclass
class Lock:
    """This machine's claim on a device."""

    _file: IO[str]

    def release(self) -> None:
        """Let others have it."""
        self._file.close()


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
            hint="wait until it has ended",
        )
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return Lock(file)


def _claimed(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class LeftOver:
    """Something of a run's on a device."""

    kind: str
    name: str
    tag: str
    run: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}:{self.tag}" if self.tag else f"{self.kind} {self.name}"


def left_overs(device: Device) -> list[LeftOver]:
    """All that runs of ours left on the device: containers, then images, then volumes."""
    found = []
    for container in device.containerz.containers():
        if (run := run_of(container.name)) is not None:
            found.append(LeftOver("container", container.name, "", run))
    for image in device.containerz.images():
        for tag in image.tags:
            if (run := run_of(tag)) is not None:
                found.append(LeftOver("image", image.name, tag, run))
    for volume in device.containerz.volumes():
        if (run := run_of(volume.name)) is not None:
            found.append(LeftOver("volume", volume.name, "", run))
    for plugin in _plugins(device):
        if (run := run_of(plugin.instance_name)) is not None:
            found.append(LeftOver("plugin", plugin.instance_name, "", run))
    return found


def _plugins(device: Device) -> tuple[Plugin, ...]:
    """Those that are listed; none where the device does not say."""
    try:
        return device.containerz.plugins()
    except RpcError:
        return ()


def refuse_foreign(device: Device, run: str) -> None:
    """`DeviceOccupied` where something of another run's is on the device."""
    foreign = [left for left in left_overs(device) if left.run != run]
    if foreign:
        runs = ", ".join(sorted({left.run for left in foreign}))
        what = "; ".join(str(left) for left in foreign[:5]) + ("; …" if len(foreign) > 5 else "")
        raise DeviceOccupied(
            f"{device.name}: things of another run ({runs}) are on the device: {what}",
            device=device.name,
            hint=f"if that run has ended: holdfast --dut {device.address} clean --yes, with your other options",
        )


def remove(device: Device, left: LeftOver) -> None:
    """Remove one thing, running or in use."""
    if left.kind == "container":
        device.containerz.remove(left.name, force=True, missing_ok=True)
    elif left.kind == "image":
        device.containerz.remove_image(f"{left.name}:{left.tag}", force=True, missing_ok=True)
    elif left.kind == "plugin":
        _remove_plugin(device, left.name)
    else:
        device.containerz.remove_volume(left.name, force=True, missing_ok=True)


def _remove_plugin(device: Device, name: str) -> None:
    """An instance, and the tar of the same name that it was started from."""
    with suppress(RpcError):  # it may not run
        device.containerz.stop_plugin(name)
    device.containerz.remove_plugin(name, missing_ok=True)
    with suppress(Unimplemented):  # then it stays, as on all devices of that service version
        device.containerz.remove_plugin_tar(name, missing_ok=True)


def clean(device: Device, run: str | None, named: Sequence[LeftOver] = ()) -> list[str]:
    """Remove what a run made (all runs where None is given); what could not be removed, and why.

    `named` may be there even if no list shows them, as after a failover.
    """
    listed = [left for left in left_overs(device) if run is None or left.run == run]
    known = {left.name for left in listed}
    hidden = [left for left in named if left.name not in known]
    removals = [(left, _removed(device, left)) for left in (*hidden, *listed)]
    return [f"{left}: {why}" for left, why in removals if why is not None and left not in hidden]


def _removed(device: Device, left: LeftOver) -> str | None:
    """Why it could not be removed, if it could not."""
    try:
        remove(device, left)
    except HoldfastError as error:
        return error.message
    return None
