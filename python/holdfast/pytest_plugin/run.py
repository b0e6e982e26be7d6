"""One run on one device: who it is, what it made there, and how it leaves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import journal
from holdfast.exceptions import HoldfastError, RolesError, SwitchoverReversed
from holdfast.pytest_plugin import options

if TYPE_CHECKING:
    from holdfast import Device, Emulator, Tls
    from holdfast.results import ControlProcessor

DEFAULT_PORT = 60061
# Workers of one xdist run take turns on a device; a turn is at most a case with a reboot.
TURN = 3600.0


@dataclass(frozen=True)
class ImageUnderTest:
    """An image archive, what the device shall call it, and how a container of it runs."""

    name: str
    tag: str
    id: str
    archive: str
    retag: str | None
    command: str
    port: int
    network: str

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}"


class Run:
    """A session's run: its device, its id, its image."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.id = journal.new_run_id(_shared_id(config))
        self.judges_procedure_alone = options.value(config, "dut-judge") == "procedure"
        self.broken: str | None = None
        self.shared: dict[str, Any] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-")
        self._image: ImageUnderTest | None = None
        self._mark = 0.0
        self.chassis: Emulator | None = None
        self.address = options.value(config, "dut") or self._embedded()
        self.device = connect(config, self.address)
        self._shares_device = self.chassis is None and hasattr(config, "workerinput")
        self._lock: journal.Lock | None = None
        self._first_active: str | None = None
        self._left_something = False
        try:
            self._occupy()
        except HoldfastError as error:
            self.end()
            pytest.exit(str(error), returncode=3)

    def _embedded(self) -> str:
        if options.flag(self.config, "dut-required"):
            raise pytest.UsageError("--dut-required: no device is named; give --dut HOST:PORT")
        self.chassis = start_chassis(self.config)
        return self.chassis.address

    def _occupy(self) -> None:
        roles = self.device.control_processors()
        self._first_active = next((cp.name for cp in roles if cp.role == "PRIMARY"), None)
        self.description = describe(self.device, roles)
        if self.chassis is None and not self._shares_device:
            self._lock = journal.lock(self.address)
        journal.refuse_foreign(self.device, self.id)

    @property
    def image(self) -> ImageUnderTest:
        """The image under test, made on first use."""
        if self._image is None:
            self._image = self._make_image()
        return self._image

    def _make_image(self) -> ImageUnderTest:
        from holdfast import Archive, cntrsrv

        name, tag = "cntrsrv_image", f"{journal.PREFIX}{self.id}"
        journal.record(self.address, self.id, tag)
        given = options.value(self.config, "dut-image")
        if given is None:
            archive = Path(self._folder.name) / "cntrsrv.tar"
            cntrsrv.write_archive(archive, name=name, tag=tag, labels={"holdfast.run": self.id})
        else:
            archive, name = Path(given), "image_under_test"
        opened = Archive.open(archive)
        return ImageUnderTest(
            name=name,
            tag=tag,
            id=opened.images[0].id,
            archive=str(archive),
            retag=None if given is None else f"{name}:{tag}",
            command=options.value(self.config, "dut-command") or ("./cntrsrv" if given is None else ""),
            port=int(options.value(self.config, "dut-port") or DEFAULT_PORT),
            network=options.value(self.config, "dut-network") or "",
        )

    def name(self, what: str) -> str:
        """A name for something on the device; whose it is shows in it."""
        name = f"{journal.PREFIX}{self.id}-{what}"
        journal.record(self.address, self.id, name)
        return name

    @property
    def volume_options(self) -> dict[str, str]:
        """`--dut-volume-option`, as given."""
        pairs = (text.partition("=") for text in options.value(self.config, "dut-volume-option") or ())
        return {key: value for key, _, value in pairs}

    @property
    def pings(self) -> bool:
        """Whether the container's port can be reached from here."""
        return not options.flag(self.config, "dut-no-ping")

    def note(self, text: str) -> None:
        """Put a note on the device's timeline."""
        self.device.note(text)

    def begin_test(self, item: pytest.Item) -> Device:
        """Hand out the device, or skip where an earlier test left it broken."""
        if self.broken:
            pytest.skip(f"the device was left broken: {self.broken}")
        if self._shares_device:
            self._lock = journal.lock(self.address, patience=TURN)
        timeline = self.device.timeline
        self._mark = timeline[-1].at if timeline else 0.0
        self.note(f"{item.name} begins")
        return self.device

    def end_test(self, item: pytest.Item, *, failed: bool | None = None) -> None:
        """Remove what the test made, and look whether the device is fit for the next."""
        from holdfast.pytest_plugin import artifacts
        from holdfast.pytest_plugin.case import Case

        artifacts.keep(self, item)
        keep = options.value(self.config, "dut-keep")
        if failed is None:
            case = item.stash.get(Case.KEY, None)
            failed = case is not None and bool(case.failures)
        try:
            if keep != "always" and not (keep == "failed" and failed):
                left = journal.clean(self.device, self.id)
                self._left_something |= bool(left)
                if left:
                    self.note("could not be removed: " + "; ".join(left))
                    item.add_report_section("teardown", "holdfast", "could not be removed: " + "; ".join(left))
            if failed:
                self._look_whether_fit(item)
        except HoldfastError as error:
            self.broken = f"{item.name}: {error}"
        finally:
            if self._shares_device and self._lock is not None:
                self._lock.release()

    def _look_whether_fit(self, item: pytest.Item) -> None:
        """A failure may have left roles on the move: what counts is where they come to rest."""
        for attempt in (1, 2):
            try:
                primaries = [cp.name for cp in self.device.control_processors(timeout=10) if cp.role == "PRIMARY"]
                if len(primaries) != 1:
                    raise RolesError(f"{len(primaries)} control processors are PRIMARY")
                self.device.expect_redundant(primaries[0])
            except HoldfastError as error:
                if attempt == 1 and isinstance(error, SwitchoverReversed | RolesError):
                    continue
                self.broken = f"{item.name}: {error.message}"
            return

    def timeline_of_test(self) -> str:
        """What was asked and seen since the test began."""
        return "\n".join(str(event) for event in self.device.timeline if event.at >= self._mark)

    def unhit(self) -> list[str]:
        """Failpoints of the emulated device that were armed for the whole run and never hit."""
        armed = self.chassis.armed() if self.chassis is not None else ()
        return [failpoint.name for failpoint in armed if failpoint.hits == 0]

    def end(self) -> None:
        """Leave the device as it was, as far as that was asked for."""
        try:
            if not (self.broken or self._left_something or options.value(self.config, "dut-keep")):
                journal.forget(self.address)
            if options.flag(self.config, "dut-restore-active") and not self.broken:
                self._restore_active()
        finally:
            if self._lock is not None:
                self._lock.release()
            self.device.close()
            if self.chassis is not None:
                self.chassis.stop()
            self._folder.cleanup()

    def _restore_active(self) -> None:
        active = next((cp.name for cp in self.device.control_processors() if cp.role == "PRIMARY"), None)
        if self._first_active is not None and active != self._first_active:
            self.device.switchover(self._first_active, redundant=True)


def connect(config: pytest.Config, address: str) -> Device:
    """Reach the device, or end the run with one clear error."""
    import holdfast
    from holdfast import _emulator

    deadlines = dict(options.deadline(text) for text in options.value(config, "dut-deadline") or ())
    username, password = options.value(config, "dut-username"), _password(config)
    plaintext = options.value(config, "dut") is None or options.flag(config, "dut-insecure")
    tls = None if plaintext else _tls(config)

    def reach() -> Device:
        return holdfast.connect(
            address, insecure=plaintext, tls=tls, username=username, password=password, deadlines=deadlines
        )

    try:
        device = reach()
        if not _emulator.is_emulated(address) and is_emulated(device.control_processors(timeout=10)):
            _emulator._addresses.add(address)  # its limits are seconds, not minutes
            device.close()
            device = reach()
    except HoldfastError as error:
        pytest.exit(f"holdfast: {error}", returncode=3)
    return device


def is_emulated(roles: Sequence[ControlProcessor]) -> bool:
    """Whether a device says of itself that it is emulated."""
    return bool(roles) and all("EMULATED" in (cp.software_version or "") for cp in roles)


def start_chassis(config: pytest.Config) -> Emulator:
    """The embedded device, with the failpoints that the command line and the environment arm."""
    import holdfast
    from holdfast import failpoint

    quirks = [name for name in os.environ.get("HOLDFAST_QUIRKS", "").split(",") if name]
    armed = failpoint.read_environment(os.environ.get("HOLDFAST_FAILPOINTS", ""))
    armed += failpoint.read_environment("\n".join(options.value(config, "dut-failpoint") or ()))
    file = options.value(config, "dut-failpoint-file")
    armed += failpoint.read_file(file) if file else []
    chassis = holdfast.emulator(
        quirks=quirks,
        black_hole=os.environ.get("HOLDFAST_BLACK_HOLE") == "1",
        seed=int(options.value(config, "dut-seed") or 0),
    )
    try:
        for name, terms in armed:
            chassis.arm(name, terms)
    except HoldfastError:
        chassis.stop()
        raise
    return chassis


def describe(device: Device, roles: Sequence[ControlProcessor]) -> str:
    """A line that says which device this is."""
    cards = ", ".join(f"{cp.name} {cp.role}" for cp in roles) or "no control processors"
    software = next((cp.software_version for cp in roles if cp.software_version), "software unknown")
    return f"{'EMULATED device' if is_emulated(roles) else 'device'} {device.name} ({software}; {cards})"


def skip_unless_allowed(item: pytest.Item) -> None:
    """Skip a disruptive test on anything but loopback, unless the command line allows it."""
    from holdfast.addresses import is_loopback

    address = options.value(item.config, "dut")
    if address and not is_loopback(address) and not options.disruption_allowed(item.config):
        pytest.skip(f"would fail over {address}: say --dut-allow-disruption on the command line")


def _tls(config: pytest.Config) -> Tls:
    """TLS as the options say it."""
    from holdfast import Tls

    return Tls(
        ca=options.value(config, "dut-ca"),
        cert=options.value(config, "dut-cert"),
        key=options.value(config, "dut-key"),
        key_password=_secret(config, "dut-key-password-file") or os.environ.get("HOLDFAST_KEY_PASSWORD"),
        server_name=options.value(config, "dut-server-name"),
        skip_verify=options.flag(config, "dut-skip-verify"),
    )


def _password(config: pytest.Config) -> str | None:
    """The password of `--dut-username`; without that, none is sent anywhere."""
    if options.value(config, "dut-username") is None:
        return None
    given = _secret(config, "dut-password-file")
    return os.environ.get("HOLDFAST_PASSWORD") if given is None else given


def _secret(config: pytest.Config, name: str) -> str | None:
    """The first line of the file that an option names."""
    file = options.value(config, name)
    if not file:
        return None
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise pytest.UsageError(f"--{name}: {error}") from None
    return lines[0] if lines else ""


def _shared_id(config: pytest.Config) -> str | None:
    worker_input = getattr(config, "workerinput", None)
    return str(worker_input["testrunuid"]) if worker_input else None
