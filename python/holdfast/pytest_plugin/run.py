"""One run on one device: who it is, what it made there, and how it leaves."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import addresses, journal, leftovers, profiles, reserving, scratch
from holdfast import options as all_options
from holdfast.choices import JudgedVerdict, VolumeDriver
from holdfast.exceptions import HoldfastError, RolesError, SwitchoverReversed, word_for
from holdfast.pytest_plugin import cancelling, ending, options, reach, targets
from holdfast.pytest_plugin.doing import Doing
from holdfast.results import Event, Reboot, Switchover
from holdfast.testbed import Target
from holdfast.testbed.target import InnerNames

if TYPE_CHECKING:
    from holdfast import Device, Emulator

# The test container's command: on its default port as the plans start it, and on any other.
CNTRSRV, CNTRSRV_ON = "./cntrsrv", "./cntrsrv --port={port}"
# Where gRIBI is, as IANA has it.
GRIBI_PORT = 9340
# Of an image that a container is updated to.
UPDATED = "-updated"
# Set on a test that did not pass, whether it is a case or a user's own.
FAILED = pytest.StashKey[bool]()
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
    # Empty for the image's own; `{port}` in it stands for the port that it shall serve.
    command_template: str
    port: int
    network: str
    # What its containers see as HOLDFAST_IMAGE: its own tag, where it is the wheel's.
    shown: str | None = None
    # Which image of an archive that has several.
    platform: str | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}"

    @property
    def command(self) -> str:
        """What a container runs to serve the image's port."""
        if self.command_template == CNTRSRV_ON and self.port == reach.DEFAULT_PORT:
            return CNTRSRV
        return self.command_template.replace("{port}", str(self.port))

    def published_on(self, port: int, *, explicit: bool = False) -> tuple[str, dict[int, int]]:
        """The command of a container that is reached on `port`, and its ports: what it serves, or a mapping."""
        if (explicit or port != self.port) and "{port}" in self.command_template:
            return self.command_template.replace("{port}", str(port)), {port: port}
        return self.command, {self.port: port}


class Run:
    """A session's run: its device, its id, its image."""

    def __init__(self, config: pytest.Config, target: Target) -> None:
        self.config = config
        scratch.remove_left()
        self.id = journal.new_run_id(_shared_id(config))
        self.judged: JudgedVerdict = options.value(config, "dut-judge") or "depth"
        self.broken: str | None = None
        self.shared: dict[Any, Any] = {}
        self.doing = Doing()
        self.evidence: dict[str, Any] = {}  # of the case that runs, by its file's name
        self._folder = scratch.make(scratch.RUN)
        self._images: dict[str, ImageUnderTest] = {}
        self._mark = 0.0
        self._numbers = 0
        # What earlier tests made, and of that what could not be removed.
        self._earlier: set[leftovers.LeftOver] = set()
        self._stayed: list[leftovers.LeftOver] = []
        self._kept: set[tuple[str, str, str]] = set()
        # When the device was last asked to fail over, or a test began.
        self.since = time.monotonic()
        self._lock: reserving.Claim | None = None
        self._first_active: str | None = None
        self.chassis: Emulator | None = None
        # Whether containers of the image serve Ping: the wheel's do; of one's own None until one was asked.
        self.image_pings: bool | None = True if options.value(config, "dut-image") is None else None
        self._port = reach.container_port(config, target)
        if target.emulated:
            target = self._embedded(target)
        self.target = target
        self.address = target.address
        self._shares_device = self.chassis is None and hasattr(config, "workerinput")
        device, self.profile = reach.connect(config, target)
        # The embedded device ends with this process: a journal would outlive it.
        self._journal = journal.Journal(device.address) if self.chassis is None else None
        self._machine = journal.machine() if self._journal is not None else secrets.token_hex(8)
        # What is made through the one is there until the run ends, through the other until the test does that runs.
        self.device_of_session = self.device = self._recording(device)
        self.configuring = reach.Configuring(config, self.device, self.profile, self._port)
        try:
            self._occupy()
        except HoldfastError:
            self.end()
            raise

    def _embedded(self, target: Target) -> Target:
        if options.flag(self.config, "dut-required"):
            raise pytest.UsageError("--dut-required: no device is named; give --dut HOST:PORT")
        self.chassis = reach.start_chassis(self.config, target)
        return replace(
            target,
            name=target.name or self.chassis.address,
            address=self.chassis.address,
            gnoi=None if self.chassis.gnoi == self.chassis.address else self.chassis.gnoi,
            container_host=self.chassis.container_host,
            insecure=True,
        )

    def _occupy(self) -> None:
        roles = profiles.shown(self.device)
        self._first_active = profiles.active(roles)
        self._alone = len(roles) < 2
        self.description = reach.describe(self.device, roles, self.profile, emulated=self.target.emulated)
        self.software = next((cp.software_version for cp in roles if cp.software_version), "unknown")
        if self.chassis is None and not self._shares_device:
            self._lock = reserving.DeviceLocks().claim(self.device.address, patience=self._patience, tell=self.note)
        self.configuring.before_tests()
        for warning in leftovers.refuse_foreign(self.device, self.id) if self._journal else ():
            self.note(warning)
            self.config.issue_config_time_warning(pytest.PytestWarning(f"{self.device.name}: {warning}"), stacklevel=2)

    def _recording(self, device: Device) -> Device:
        file = self._journal.file if self._journal is not None else None
        return device.recording(self.id, labels=self._labels(), journal=file, name_label=journal.NAME_LABEL)

    @property
    def labels(self) -> dict[str, str]:
        """What this run's containers and volumes bear."""
        return self._labels()

    def _labels(self, purpose: str = "") -> dict[str, str]:
        """What this run's things bear."""
        return {journal.RUN_LABEL: f"{self.id}{purpose}", journal.MACHINE_LABEL: self._machine}

    @property
    def image(self) -> ImageUnderTest:
        """The image under test, made on first use."""
        return self._image_for("")

    @property
    def image_to_update(self) -> ImageUnderTest:
        """Another image: of another id where it is the wheel's own."""
        return self._image_for(UPDATED)

    @property
    def image_to_remove(self) -> ImageUnderTest:
        """An image of its own for whoever removes it, where others keep theirs meanwhile."""
        return self._image_for("-removed")

    def _image_for(self, purpose: str) -> ImageUnderTest:
        if purpose not in self._images:
            self._images[purpose] = self._make_image(purpose)
        return self._images[purpose]

    @property
    def _patience(self) -> float:
        return all_options.time(options.value(self.config, "dut-wait"), "--dut-wait") or 0

    def _make_image(self, purpose: str) -> ImageUnderTest:
        from holdfast import Archive, cntrsrv

        name, tag = "cntrsrv_image", f"{journal.PREFIX}{self.id}{purpose}"
        given = options.value(self.config, "dut-image")
        if given is None:
            archive = self._folder / f"cntrsrv{purpose}.tar"
            labels = self._labels(purpose)
            cntrsrv.write_archive(archive, name=name, tag=tag, labels=labels, environment={"HOLDFAST_IMAGE": tag})
        else:
            archive, name = Path(given), "image_under_test"
        platform = options.value(self.config, "dut-platform") if given else None
        return ImageUnderTest(
            name=name,
            tag=tag,
            id=Archive.open(archive).image(platform).id,
            archive=str(archive),
            retag=None if given is None else f"{name}:{tag}",
            platform=platform,
            command_template=options.value(self.config, "dut-command") or (CNTRSRV_ON if given is None else ""),
            port=self._port,
            network=options.value(self.config, "dut-network") or "",
            shown=tag if given is None else None,
        )

    def name(self, what: str) -> str:
        """A name for something on the device; whose shows in it."""
        return f"{self.prefix}{what}"

    @property
    def prefix(self) -> str:
        """What all names of this run's things begin with."""
        return f"{journal.PREFIX}{self.id}-"

    @property
    def folder(self) -> str:
        """A folder for files of this run, removed at its end."""
        return str(self._folder)

    def fresh_name(self, what: str) -> str:
        """A name that nothing else of this run has or had."""
        self._numbers += 1
        return self.name(f"{what}-{self._numbers}")

    @property
    def inner(self) -> InnerNames:
        """How containers name this device, with what is usual where nothing is said."""
        if self.chassis is not None:
            return self.chassis.inner
        given = self.target.inner
        host = given.host or self.profile.inner_host or "localhost"
        return InnerNames(
            host=host,
            gnmi=given.gnmi or addresses.joined(host, addresses.port(self.address)),
            gribi=given.gribi or addresses.joined(host, self.target.gribi_port or GRIBI_PORT),
            link=given.link or self.target.container_host or addresses.hosts(self.address)[0],
        )

    @property
    def volume_options(self) -> dict[str, str]:
        """`--dut-volume-option`; else those of the plan's suite for a local volume, and some for our own device."""
        given = options.value(self.config, "dut-volume-option") or ()
        pairs = (text.partition("=") for text in given)
        own = {"kept": "yes", "made": "as asked"} if self.chassis is not None else {}
        if self.volume_driver == "local":
            own = {"mountpoint": "/tmp", "options": "bind"}  # noqa: S108
        return {key: value for key, _, value in pairs} or own

    @property
    def volume_driver(self) -> VolumeDriver | None:
        """`--dut-volume-driver`, as given."""
        given: VolumeDriver | None = options.value(self.config, "dut-volume-driver")
        return given

    @property
    def unreachable(self) -> str | None:
        """Why the container's port cannot be reached from here, if it cannot."""
        if options.flag(self.config, "dut-no-ping"):
            return "--dut-no-ping: the container's port cannot be reached from here"
        if not self.profile.container_reachable:
            return f"profile {self.profile.name}: the container's port cannot be reached from here"
        return None

    @property
    def unasked(self) -> str | None:
        """Why containers of the image under test cannot be asked anything, if they cannot."""
        if self.image_pings is False:
            return "the image under test does not serve Ping"
        return self.unreachable

    @property
    def silence_proves_nothing(self) -> bool:
        """Whether a container that is silent after a switchover may be behind a filter of the new active's own."""
        return self.profile.filter_per_supervisor and not self.configuring.allowed

    @property
    def combines(self) -> bool:
        """Whether several cases are judged by one switchover."""
        return options.flag(self.config, "dut-combine")

    @property
    def trigger(self) -> str:
        """What fails the active control processor."""
        return options.value(self.config, "dut-trigger") or "gnoi"

    @property
    def limits(self) -> dict[str, float]:
        """The limits of steps, in seconds."""
        return self.device.deadlines()

    def chunks(self, image: ImageUnderTest) -> int:
        """How many chunks an image comes in, on the emulated device."""
        return -(-Path(image.archive).stat().st_size // reach.CHUNK)

    def switchover(self) -> Switchover:
        """Fail the active control processor, as `--dut-trigger` says."""
        return self.device.switchover(trigger=self.trigger, progress=self.doing)

    def reboot(self) -> Reboot:
        """Reboot the chassis, cold; what was configured here is saved before."""
        self.configuring.before_reboot()
        return self.device.reboot(force=True, progress=self.doing)  # by force, as the plan's suite does

    def note(self, text: str) -> None:
        """Put a note on the device's timeline."""
        self.device.note(text)
        self.doing.note(text)

    def begin_test(self, item: pytest.Item) -> Device:
        """Hand out the device, or skip where an earlier test left it broken."""
        if self.broken:
            pytest.skip(f"the device was left broken: {self.broken}")
        if self._shares_device:
            self._lock = journal.lock(self.device.address, patience=TURN)
        timeline = self.device.timeline
        self._mark = timeline[-1].at if timeline else 0.0
        self.since = time.monotonic()
        self.doing.begin()
        self.note(f"{item.name} begins")
        self.evidence.clear()
        self.device = self._recording(self.device_of_session)
        return self.device

    def end_test(self, item: pytest.Item, *, failed: bool) -> None:
        """Remove what the test made, and look whether the device is fit for the next."""
        try:
            keeps = self._keeps(failed=failed or item.stash.get(FAILED, False))
            if keeps:
                self._kept.update(self.device.made)
            left = None if keeps else self._remove_what_was_made(besides={*self._kept, *self.device_of_session.made})
            if left is not None:
                self.note(left)
                item.warn(pytest.PytestWarning(f"{self.device.name}: {left}"))
            if failed:
                self._look_whether_fit(item)
        except HoldfastError as error:
            word_for(error, "pytest")
            self.broken = f"{item.name}: {error}"
        finally:
            self.device = self.device_of_session
            if self._shares_device and self._lock is not None:
                self._lock.release()

    def _keeps(self, *, failed: bool) -> bool:
        keep = options.value(self.config, "dut-keep")
        return keep == "always" or (keep == "failed" and failed)

    def _remove_what_was_made(self, *, besides: set[tuple[str, str, str]]) -> str | None:
        """What was made through the device that is handed out now; what to say of that which stays.

        A device that does not do what it is told may bring back what is gone, or have more things named for the run.
        """
        listed = leftovers.Listed.within(self.device, reach.LOOK)
        interrupted = cancelling.was_interrupted(self.config)
        listed, late = leftovers.late(self.device, listed, self.id) if interrupted else (listed, None)
        made = {leftovers.LeftOver(*thing, self.id) for thing in self.device.made}
        back = {thing for thing in self._earlier if listed.has(thing) and not listed.is_somebody_elses(thing)}
        others = self._journal.entries() if self._journal is not None else ()
        known = {(entry.kind, entry.name, entry.tag) for entry in others}  # another worker's may be among them
        strange = {leftovers.LeftOver(*thing, self.id) for thing in listed.named_for(self.id) if thing not in known}
        wanted = [
            thing
            for thing in {*self._stayed, *made, *back, *strange}
            if (thing.kind, thing.name, thing.tag) not in besides
        ]
        stayed = leftovers.remove(self.device, wanted, listed)
        self._earlier |= made
        self._stayed = list(stayed)
        if self._journal is not None:
            leftovers.strike(self._journal, [thing for thing in wanted if thing not in stayed and thing != late])
        if not stayed:
            return None
        return "could not be removed: " + "; ".join(f"{thing}: {why}" for thing, why in stayed.items())

    @property
    def made(self) -> set[tuple[str, str, str]]:
        """Kind, name and tag of what this test, or the run outside of tests, made on the device."""
        return {*self.device.made, *self.device_of_session.made}

    def _look_whether_fit(self, item: pytest.Item) -> None:
        """A failure may have left roles on the move: what counts is where they come to rest."""
        for attempt in (1, 2):
            try:
                primaries = [cp.name for cp in profiles.shown(self.device, timeout=10) if cp.role == "PRIMARY"]
                if self._alone and len(primaries) < 2:  # it never had a standby to lose
                    return
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
        return "\n".join(str(event) for event in self.events_of_test())

    def events_of_test(self) -> list[Event]:
        """The same as events, after what was known of the roles before."""
        roles: dict[str, Event] = {}
        for event in self.device.timeline:
            if event.at < self._mark and event.kind == "gnmi":
                roles[str(event.fields.get("control_processor"))] = replace(event, at=self._mark)
        return [*roles.values(), *(event for event in self.device.timeline if event.at >= self._mark)]

    def held(self) -> dict[str, int]:
        """What may grow from round to round: how much the device lists, and what this process holds open."""
        containerz = self.device.containerz
        found: dict[str, Callable[[], int]] = {
            "images": lambda: len(containerz.images(timeout=reach.LOOK)),
            "containers": lambda: len(containerz.containers(timeout=reach.LOOK)),
            "volumes": lambda: len(containerz.volumes(timeout=reach.LOOK)),
            "our open files": lambda: len(list(Path("/proc/self/fd").iterdir())),
        }
        counts = {what: _counted(count) for what, count in found.items()}
        return {what: count for what, count in counts.items() if count is not None}

    def unhit(self) -> list[str]:
        """Failpoints of the emulated device that were armed for the whole run and never hit."""
        armed = self.chassis.armed() if self.chassis is not None else ()
        return [failpoint.name for failpoint in armed if failpoint.hits == 0]

    def end(self) -> None:
        """Leave the device as it was, as far as that was asked for."""
        try:
            if not (self.broken or self._kept):
                self._remove_what_was_made_outside_tests()
            if options.flag(self.config, "dut-restore-active") and not self.broken:
                self._restore_active()
        finally:
            if self._lock is not None:
                self._lock.release()
            self.device.close()
            if self.chassis is not None:
                self.chassis.stop()
            scratch.remove(self._folder)

    def _remove_what_was_made_outside_tests(self) -> None:
        if not (self.device_of_session.made or self._stayed):
            return
        if self._shares_device:
            self._lock = journal.lock(self.device.address, patience=TURN)
        if (left := self._remove_what_was_made(besides=set())) is not None:
            self.config.issue_config_time_warning(pytest.PytestWarning(f"{self.device.name}: {left}"), stacklevel=2)

    def _restore_active(self) -> None:
        active = profiles.active(profiles.shown(self.device))
        if self._first_active is not None and active != self._first_active:
            self.device.switchover(self._first_active, redundant=True)


def _counted(count: Callable[[], int]) -> int | None:
    """None where it cannot be counted, and so not be compared."""
    try:
        return count()
    except (HoldfastError, OSError):
        return None


def begin(config: pytest.Config, target: Target) -> Run:
    """A run on a device. Where it cannot be, one device alone ends everything; of several, its own tests fail."""
    with _ending_where_alone(config):
        return Run(config, target)


def skip_unless_allowed(item: pytest.Item) -> None:
    """Skip a disruptive test that neither the command line nor the testbed allows, unless the device says EMULATED."""
    target = targets.of_item(item)
    if targets.is_allowed(item.config, target):
        return
    if "holdfast_run" in getattr(item, "fixturenames", ()):
        with _ending_where_alone(item.config):
            emulated = targets.says_emulated(item.config, target)
    else:  # it reaches the device by means of its own, if at all
        emulated = targets.surely_emulated(item.config, target)
    if not emulated:
        pytest.skip(f"would fail over {target.name}: say --dut-allow-disruption on the command line")


@contextmanager
def _ending_where_alone(config: pytest.Config) -> Iterator[None]:
    """An error about the one device there is ends everything."""
    try:
        yield
    except (HoldfastError, pytest.UsageError) as error:
        if len(targets.of(config)) == 1:
            ending.refuse(config, error, begun=True)
        raise


def _shared_id(config: pytest.Config) -> str | None:
    worker_input = getattr(config, "workerinput", None)
    return str(worker_input["testrunuid"]) if worker_input else None
