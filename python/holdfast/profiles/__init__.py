"""Vendors' ways, as data: one YAML file each, which a user may copy and change."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from holdfast.exceptions import (
    DataLoss,
    DeadlineExceeded,
    InvalidArgumentError,
    PermissionDenied,
    RpcError,
    Unauthenticated,
    Unavailable,
)
from holdfast.results import ControlProcessor

if TYPE_CHECKING:
    from datetime import timedelta

    from holdfast._core import Device

FOLDER = Path(__file__).parent
# Where core files lie on many devices, and what they are called, where a profile does not say.
CORE_FOLDERS = ("/var/core/",)
CORE_FILES = r"core[^/]*$"
GENERIC = "generic"
# Recognised from what the device says.
AUTO = "auto"
# Short names, and how other tools' testbeds call the vendors.
_ALIASES = {
    "arista": "arista-eos",
    "cisco": "cisco-iosxr",
    "iosxr": "cisco-iosxr",
    "juniper": "juniper-junos",
    "nokia": "nokia-srlinux",
    "eos": "arista-eos",
    "junos": "juniper-junos",
}


@dataclass(frozen=True)
class ConfigurationStep:
    """Something to configure: what it is for, and the vendor's own lines for it."""

    what: str
    cli: str


@dataclass(frozen=True)
class Profile:
    """A vendor's ways. Deadlines are seconds to add; `container_host` is where containers' ports
    are, `inner_host` how a container names its own device.
    """

    name: str
    vendor: str = "any"
    software: str = ""
    components: str = ""
    name_only: bool = False
    fresh_connection: bool = False
    deadlines: Mapping[str, float] = field(default_factory=dict)
    dial_interval: float | None = None
    silence: float | None = None
    container_host: str | None = None
    inner_host: str | None = None
    container_reachable: bool = True
    filter_per_supervisor: bool = False
    configure: tuple[ConfigurationStep, ...] = ()
    before_reboot: str | None = None
    unsupported: tuple[str, ...] = ()
    # Where core files lie, and a regular expression of their paths.
    core_folders: tuple[str, ...] = CORE_FOLDERS
    core_files: str = CORE_FILES
    # Whether the profile says where they lie: else a folder that is not there proves nothing.
    core_folders_known: bool = False
    emulator: Mapping[str, Any] = field(default_factory=dict)

    @property
    def testable(self) -> bool:
        """Whether its devices list containers: without that, no suite can run on them."""
        return "ListContainer" not in self.unsupported

    def recognises(self, roles: Sequence[ControlProcessor]) -> bool:
        """Whether what a device says of itself is this vendor's; names count where it says nothing of its software."""
        by_software = self.software and any(re.search(self.software, cp.software_version or "") for cp in roles)
        if by_software or any(cp.software_version for cp in roles):
            return bool(by_software)
        return bool(self.components and roles) and all(re.search(self.components, cp.name) for cp in roles)

    def configuration(self, port: str) -> tuple[str, str]:
        """What must be configured before a device serves Containerz, and the lines for it; both empty where nothing is.

        `port` is the container's.
        """
        lines = (step.cli.replace("{port}", port).split() for step in self.configure)
        return "; ".join(step.what for step in self.configure), " / ".join(map(" ".join, lines))

    def is_core_file(self, path: str) -> bool:
        """Whether a file of that path on the device is a core file."""
        return re.search(self.core_files, path) is not None


def names() -> list[str]:
    """All that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def testable() -> list[str]:
    """Those of devices on which suites run."""
    return [name for name in names() if load(name).testable]


@cache
def load(name: str) -> Profile:
    """The profile of that name, or in that file. Raises `InvalidArgumentError`."""
    known = _ALIASES.get(name, name)
    path = FOLDER / f"{known}.yaml" if known in names() else Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise InvalidArgumentError(
            f"there is no profile {name!r}", hint=f"one of {', '.join(names())}, or a YAML file like theirs"
        )
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidArgumentError(f"profile {path}: {error}", hint=f"copy one from {FOLDER}") from None
    return _read(path, data)


def recognise(roles: Sequence[ControlProcessor]) -> Profile:
    """The vendor's profile, by what its control processors say of themselves; `generic` where none fits."""
    vendors = (load(name) for name in names() if name != GENERIC)
    return next((profile for profile in vendors if profile.recognises(roles)), load(GENERIC))


def shown(device: Device, *, timeout: float | timedelta | None = None) -> Sequence[ControlProcessor]:
    """The control processors that gNMI shows; none where the device refuses to tell, whatever form it is asked in."""
    try:
        return device.control_processors(timeout=timeout)
    except RpcError as refusal:
        if not hides(refusal):
            raise
        return []


def active(shown: Sequence[ControlProcessor]) -> str | None:
    """The name of the first that is PRIMARY, if one is."""
    return next((cp.name for cp in shown if cp.role == "PRIMARY"), None)


def hides(refusal: RpcError) -> bool:
    """Whether a device that answers so does not show its roles, and may serve all else."""
    return not isinstance(refusal, (Unauthenticated, PermissionDenied, Unavailable, DeadlineExceeded, DataLoss))


def _read(path: Path, data: Any) -> Profile:
    def wrong(what: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"profile {path}: {what}", hint=f"docs/profiles.md has the fields; copy from {FOLDER}"
        )

    if not isinstance(data, dict):
        raise wrong("it is no mapping")
    known = {"name", "vendor", "recognise", "control_processor_path", "fresh_connection", "deadlines", "dial_interval",
             "silence", "container", "configure", "before_reboot", "unsupported", "core_files", "emulator"}  # fmt: skip
    if unknown := sorted(set(data) - known):
        raise wrong(f"it has unknown fields: {', '.join(unknown)}")
    if data.get("control_processor_path", "full") not in ("full", "name"):
        raise wrong(f"control_processor_path is {data['control_processor_path']!r}: full or name")
    recognised, container = data.get("recognise") or {}, data.get("container") or {}
    cores = data.get("core_files") or {}
    try:
        return Profile(
            name=str(data.get("name", path.stem)),
            vendor=str(data.get("vendor", "any")),
            software=re.compile(recognised.get("software", "")).pattern,
            components=re.compile(recognised.get("components", "")).pattern,
            name_only=data.get("control_processor_path") == "name",
            fresh_connection=bool(data.get("fresh_connection", False)),
            deadlines={step: float(seconds) for step, seconds in (data.get("deadlines") or {}).items()},
            dial_interval=data.get("dial_interval"),
            silence=data.get("silence"),
            container_host=container.get("host"),
            inner_host=container.get("inner"),
            container_reachable=bool(container.get("reachable", True)),
            filter_per_supervisor=bool(container.get("filter_per_supervisor", False)),
            configure=tuple(
                ConfigurationStep(str(step["what"]), str(step["cli"])) for step in data.get("configure") or ()
            ),
            before_reboot=data.get("before_reboot"),
            unsupported=tuple(data.get("unsupported") or ()),
            core_folders=tuple(str(folder) for folder in cores.get("folders", CORE_FOLDERS)),
            core_files=re.compile(cores.get("pattern", CORE_FILES)).pattern,
            core_folders_known="folders" in cores,
            emulator=dict(data.get("emulator") or {}),
        )
    except (AttributeError, KeyError, TypeError, ValueError, re.error) as error:
        raise wrong(f"{type(error).__name__}: {error}") from None
