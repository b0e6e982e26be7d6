"""Reaching the device under test: the session, its vendor's ways, and what must be configured first."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from holdfast import _core, profiles, visible, waiting
from holdfast.exceptions import HoldfastError, OutcomeUnknown, Unavailable, Unimplemented
from holdfast.options import emulator_environment
from holdfast.profiles import Profile
from holdfast.pytest_plugin import options
from holdfast.testbed import Target

if TYPE_CHECKING:
    from holdfast import Device, Emulator
    from holdfast.results import ControlProcessor

# How long a device may take to say what it is, or to serve what was configured, in seconds.
LOOK = 10.0
# Where the test container serves, if it is not told otherwise.
DEFAULT_PORT = 60061
# Ports that this machine gives to nobody by itself, of which two neighbours are looked for, and how often.
PORTS, TRIES = range(20_000, 30_000), 100
# What the embedded device asks for in Deploy, in bytes: small, so that a transfer has a middle.
CHUNK = 1_000_000


def connect(config: pytest.Config, target: Target) -> tuple[Device, Profile]:
    """Reach the device with its vendor's ways, given or recognised. Raises `HoldfastError`."""
    # One of this process' own is known for what it is, whatever it serves.
    limits: dict[str, float] = {}
    if target.emulated:
        limits.update(_core.deadlines(emulated=True, real_containers=options.runs_real_containers(config)))
    limits.update(options.deadline(text) for text in options.value(config, "dut-deadline") or ())
    first = profiles.GENERIC if target.profile == profiles.AUTO else target.profile
    device = target.connect(profile=first, deadlines=limits)
    if target.profile != profiles.AUTO:
        return device, profiles.load(first)
    profile = profiles.recognise(profiles.shown(device, timeout=LOOK))
    if profile.name == first:
        return device, profile
    device.close()
    return target.connect(profile=profile.name, deadlines=limits), profile


def describe(device: Device, roles: Sequence[ControlProcessor], profile: Profile, *, emulated: bool = False) -> str:
    """A line that says which device this is."""
    listed = ", ".join(f"{cp.name} {cp.role}" for cp in roles) or "no control processors"
    software = next((cp.software_version for cp in roles if cp.software_version), "software unknown")
    ways = "" if profile.name == profiles.GENERIC else f", profile {profile.name}"
    kind = "EMULATED device" if emulated or device.is_emulated() else "device"
    return visible.line(f"{kind} {device.name} ({software}; {listed}{ways})")


def start_chassis(config: pytest.Config, target: Target) -> Emulator:
    """The embedded device, with the failpoints that the command line and the environment arm."""
    import holdfast
    from holdfast import failpoint

    variables, settings = emulator_environment(), options.emulator_settings(config)
    quirks = [*variables.pop("quirks", ()), *settings.pop("quirks")]
    armed = failpoint.read_environment(os.environ.get("HOLDFAST_FAILPOINTS", ""))
    armed += failpoint.read_environment("\n".join(options.value(config, "dut-failpoint") or ()))
    file = options.value(config, "dut-failpoint-file")
    armed += failpoint.read_file(file) if file else []
    chassis = holdfast.emulator(
        profile=profiles.GENERIC if target.profile == profiles.AUTO else target.profile,
        quirks=quirks,
        users={target.username: target.login() or ""} if target.username else None,
        seed=int(options.value(config, "dut-seed") or 0),
        **{"chunk_size": CHUNK, **variables, **settings},
    )
    try:
        for name, terms in armed:
            chassis.arm(name, terms)
    except HoldfastError:
        chassis.stop()
        raise
    return chassis


def container_port(config: pytest.Config, target: Target) -> int:
    """Where containers of the image under test serve. Real ones of an embedded device may be in the network of this
    machine, whose ports all such devices have in common: each takes one of its own, where the image can be told.
    """
    given, command = options.value(config, "dut-port"), options.value(config, "dut-command") or ""
    can_be_told = "{port}" in command or (not command and options.value(config, "dut-image") is None)
    if given is None and can_be_told and target.emulated and options.runs_real_containers(config):
        drawn = (secrets.choice(PORTS) for _ in range(TRIES))
        return next((port for port in drawn if _is_free(port) and _is_free(port + 1)), DEFAULT_PORT)
    return int(given or DEFAULT_PORT)


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("", port))
        except OSError:
            return False
    return True


class Configuring:
    """The vendor's own lines, sent where the command line allows it, and named where it does not."""

    def __init__(self, config: pytest.Config, device: Device, profile: Profile, port: int) -> None:
        self._device = device
        self._profile = profile
        self._port = port
        self.allowed = options.typed(config, "dut-configure")

    def before_tests(self) -> None:
        """Configure what the tests need, and wait until Containerz serves. Raises `HoldfastError`."""
        if self.allowed:
            for step in self._profile.configure:
                self._send(step.what, step.cli)
        try:
            self._await_containerz()
        except (Unimplemented, Unavailable) as error:
            if self.allowed or not self._profile.configure:
                raise
            missing, lines = self._profile.configuration(str(self._port))
            raise type(error)(
                f"{error.message}; profile {self._profile.name} would configure: {missing}",
                device=self._device.name,
                hint=f"say --dut-configure on the command line, or configure it by hand {lines}",
            ) from None

    def _await_containerz(self) -> None:
        """Until Containerz answers: what was configured takes its time to be served."""
        for last in waiting.looks(LOOK if self.allowed else 0, look=0.1):
            if self._serves_containerz(last=last):
                return

    def _serves_containerz(self, *, last: bool) -> bool:
        try:
            self._device.containerz.volumes(timeout=LOOK)
        except Unimplemented:
            if last:
                raise
            return False
        return True

    def before_dialling(self, port: int | None = None) -> None:
        """Open the container's port, or another, on the control processor that is active, where that is its own."""
        if self.allowed and self._profile.filter_per_supervisor:
            for step in (step for step in self._profile.configure if "{port}" in step.cli):
                self._send(step.what, step.cli, port)

    def before_reboot(self) -> None:
        """Save the configuration, where the vendor wants that and it was made here."""
        if self.allowed and self._profile.before_reboot:
            self._send("the configuration is saved", self._profile.before_reboot)

    def _send(self, what: str, cli: str, port: int | None = None) -> None:
        self._device.note(f"--dut-configure: {what}")
        try:
            self._device.gnmi.set(update={"cli:/": self._filled(cli, port)})
        except OutcomeUnknown as error:  # the agent that was configured may restart before it answers
            self._device.note(f"--dut-configure: {error.message}")

    def _filled(self, cli: str, port: int | None = None) -> str:
        return cli.replace("{port}", str(port or self._port)).strip()
