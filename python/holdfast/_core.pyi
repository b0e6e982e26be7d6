# Long because it documents the whole Rust core, and each class twice: blocking and awaitable.
"""The Rust core. Everything here is reached through `holdfast` and `holdfast.aio`; this file holds its documentation.

Durations are seconds as a number or a `timedelta`; `timeout` is a call's deadline in all, repetitions included, and
the session's own (60 s) where none is given. Methods of `Async…` classes are those of their blocking twins, awaited.
Every call raises the exceptions of `holdfast.exceptions`: `Timeout` when its deadline passed, `OutcomeUnknown` when
a request that changes the device was sent and not answered, or the class of the status the device answered with.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias, final

from holdfast.choices import (
    DataType,
    Encoding,
    Location,
    RemoteProtocol,
    StorageFault,
    StreamMode,
    TaskStage,
    VolumeAccess,
    VolumeDriver,
)
from holdfast.gnmi import Extension, SetResult, SubscribedPath
from holdfast.results import (
    Archive,
    Capabilities,
    ClusterRun,
    ComponentStatus,
    Container,
    ContainerDescription,
    ControlProcessor,
    Dialled,
    Downloaded,
    Image,
    Images,
    Leaves,
    LedgerVerdict,
    LogLine,
    PingSummary,
    Plugin,
    Reboot,
    RebootStatus,
    Record,
    Rows,
    StatInfo,
    StorageCalls,
    StorageLeftover,
    StorageProvider,
    StorageStatistics,
    Switchover,
    Timeline,
    Unchecked,
    Updates,
    Volume,
)
from holdfast.secret import Secret

__all__ = [
    "AsyncChassis",
    "AsyncContainerRuntime",
    "AsyncContainerz",
    "AsyncDevice",
    "AsyncFile",
    "AsyncGnmi",
    "AsyncHealthz",
    "AsyncLogLines",
    "AsyncSubscription",
    "AsyncSystem",
    "Chassis",
    "ContainerRuntime",
    "Containerz",
    "Device",
    "FailpointTerms",
    "File",
    "Gnmi",
    "Healthz",
    "LogLines",
    "Mask",
    "StorageLab",
    "StorageService",
    "StorageSnapshot",
    "StorageTask",
    "StorageVolume",
    "Subscription",
    "System",
    "_run_jobs",
    "_stop",
    "archive_choose",
    "archive_open",
    "cntrsrv_archive",
    "connect",
    "connect_async",
    "container_runtime",
    "container_runtime_async",
    "deadline_steps",
    "deadlines",
    "emulator",
    "emulator_async",
    "engine_leftovers",
    "failpoint_names",
    "image_written",
    "log_calls",
    "message_decoded",
    "message_encoded",
    "message_fields",
    "own_platform",
    "parse_terms",
    "proxy_shown",
    "quirk_names",
    "remedies",
    "remove_engine_leftovers",
    "same_image_id",
    "same_image_name",
    "storage_cluster",
    "storage_cluster_allows",
    "storage_cluster_end",
    "storage_cluster_members",
    "storage_cluster_runs",
    "storage_emulated",
    "storage_hosts",
    "storage_introduce",
    "storage_lab",
    "storage_lab_lacks",
    "storage_personalities",
    "storage_plugin",
    "storage_rpcs",
    "storage_server",
    "verify_records",
]

_Seconds: TypeAlias = float | timedelta
_Path: TypeAlias = str | os.PathLike[str]
_Image: TypeAlias = str | Any

def connect(address: str, options: Mapping[str, Any]) -> Device:
    """A session with one device; `holdfast.connect` says what the options are. Raises `InvalidArgumentError` or
    `ConnectError`.
    """

def connect_async(address: str, options: Mapping[str, Any]) -> Awaitable[AsyncDevice]:
    """As `connect`, to be awaited."""

def container_runtime(socket: str | os.PathLike[str]) -> ContainerRuntime:
    """The container runtime at a CRI socket, such as `/run/containerd/containerd.sock`; the first call dials it."""

def container_runtime_async(socket: str | os.PathLike[str]) -> AsyncContainerRuntime:
    """As `container_runtime`, to be awaited."""

def deadlines(*, emulated: bool, real_containers: bool = False) -> dict[str, float]:
    """The limit of each step, in seconds: of an emulated device, of one with real containers, or of a real one."""

def deadline_steps() -> list[str]:
    """The steps that have a deadline: roles, ready, switchover, verification, redundant, reboot and more."""

def proxy_shown(proxy: str | Secret) -> str:
    """A proxy as it may be shown, without user and password. Raises `InvalidArgumentError` where it is no proxy."""

def remedies() -> list[str]:
    """What `HoldfastError.remedy` may be."""

def emulator(options: Mapping[str, Any]) -> Chassis:
    """Powers an emulated device on; `holdfast.emulator` says what the options are."""

def emulator_async(options: Mapping[str, Any]) -> Awaitable[AsyncChassis]:
    """As `emulator`, to be awaited."""

def engine_leftovers(address: str) -> list[tuple[str, str, str, str]]:
    """What emulated devices have in the Docker engine at `unix:///PATH`, each by its kind (container, image or volume),
    its name there, the process that emulates the device (`holdfast.scratch`), and the folder that keeps its state,
    where one does. In the order in which they let go of each other. Raises `LabError`.
    """

def remove_engine_leftovers(address: str, things: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Removes some of them, by kind and name; the name of each that stays, and why. Raises `LabError`."""

def failpoint_names() -> list[tuple[str, str, str]]:
    """Every failpoint: its provider, its name, and a line on it."""

def message_fields(name: str) -> list[tuple[str, str | None]]:
    """The fields of a message, by its full name, and of which message each is, where it is one; none of an unknown."""

def log_calls() -> None:
    """Has all calls of this process told to `logging.getLogger("holdfast.calls")`, at level DEBUG; see `calls`."""

def message_encoded(name: str, fields: str) -> bytes:
    """A message by its full name, from its fields as JSON. Raises `InvalidArgumentError` for what it does not have."""

def message_decoded(name: str, encoded: bytes) -> str:
    """The fields of an encoded message as JSON, by the proto's names; what is not known is left out."""

def quirk_names() -> list[tuple[str, str]]:
    """Every quirk of the emulated device, with a line on each."""

def archive_open(path: _Path) -> Archive:
    """Reads and checks an archive; see `holdfast.Archive.open`. Raises `ImageError`."""

def archive_choose(path: _Path, images: Sequence[tuple[str, str]], platform: str | None) -> int:
    """Which of an archive's images is meant, each given as its platform and its name. Raises `ImageError`."""

def cntrsrv_archive(
    path: _Path,
    cntrsrv: _Path,
    *,
    name: str,
    tag: str,
    platform: str,
    labels: Mapping[str, str],
    environment: Mapping[str, str],
) -> None:
    """Writes the test container's archive from the executable at `cntrsrv`; see `holdfast.cntrsrv.write_archive`.
    Raises `ImageError`.
    """

def own_platform() -> str:
    """This machine's platform as images name it, such as `linux/amd64`."""

def image_written(text: str) -> tuple[str, str, str]:
    """The name, the tag and the digest of an image as a device writes it; what is not written is empty."""

def same_image_id(one: str, other: str) -> bool:
    """Whether two ids of images mean one: `app@sha256:…` is `sha256:…`, and twelve digits or more are enough."""

def same_image_name(one: str, other: str) -> bool:
    """Whether two names of images, without tags, mean one: `app` is `docker.io/library/app`."""

def parse_terms(text: str, *, strict: bool = False, seed: int = ..., name: str = ...) -> FailpointTerms:
    """Reads failpoint terms; `ValueError` says what is wrong with them. `strict`: containerd's own language."""

def verify_records(acknowledged: Sequence[Record], found: Sequence[Record]) -> list[str]:
    """Compares acknowledged records with those that are there; what must not be, a line each (docs/ledger.md)."""

def _run_jobs() -> None: ...
def _stop() -> None: ...

@final
class FailpointTerms:
    """Terms of the fault language, and what is left of their counts. `str()` prints them."""

    def fire(self) -> str | None:
        """One hit: the actions that fire, as text, or None; counts move on. A range of delays is drawn."""

@final
class LogLines:
    """A container's log, followed line by line; an iterator of `LogLine`, which is a `str`."""

    def __iter__(self) -> LogLines: ...
    def __next__(self) -> LogLine: ...

@final
class AsyncLogLines:
    """As `LogLines`, to be awaited."""

    def __aiter__(self) -> AsyncLogLines: ...
    def __anext__(self) -> Awaitable[LogLine]: ...

@final
class Device:
    """A device under test, over one session that outlives its connections."""

    @property
    def containerz(self) -> Containerz:
        """GNOI Containerz."""

    @property
    def system(self) -> System:
        """GNOI System."""

    @property
    def file(self) -> File:
        """GNOI File."""

    @property
    def healthz(self) -> Healthz:
        """GNOI Healthz."""

    @property
    def gnmi(self) -> Gnmi:
        """GNMI."""

    @property
    def name(self) -> str:
        """What reports call it: its address, unless `connect` was given a name."""

    @property
    def address(self) -> str:
        """Where it is reached, `HOST:PORT`, joined by commas."""

    @property
    def timeline(self) -> Timeline:
        """What was asked of it and seen so far."""

    def note(self, text: str) -> None:
        """Puts a note on the timeline."""

    def recording(
        self,
        run: str,
        *,
        labels: Mapping[str, str] | None = None,
        journal: _Path | None = None,
        name_label: str | None = None,
    ) -> Device:
        """The same device over the same session, with a record of its own.

        What is made through it and was not there before is in `made`, and as a line in the file `journal` with `run`,
        before it is asked for; containers and volumes bear `labels`, and their name as `name_label` where that is
        given, unless the device takes none (`labels_refused`). A record made from one that records is a part of it:
        an update of what either made keeps its labels. `holdfast.journal` reads the file.
        """

    @property
    def labels_refused(self) -> str | None:
        """What the device said where it refused the labels of `recording` and took the same without them; None where it
        did not. It is given none since; those that a caller names are sent all the same.
        """

    @property
    def made(self) -> list[tuple[str, str, str]]:
        """What was made through it since `recording`, oldest first: kind, name and tag (of an image; else empty).

        A kind is `container`, `image`, `volume`, `plugin` (an instance) or `plugin archive`. It may have been removed
        since, or never have come to be where the device did not answer.
        """

    def close(self) -> None:
        """Ends the session; every later call fails."""

    def control_processors(self, *, timeout: _Seconds | None = None) -> Rows[ControlProcessor]:
        """The components with a redundant-role: gNMI Subscribe ONCE, or Get, of leaves below
        `/components/component[name=*]/state`. Other cards with a role are left out where `type` tells them apart.
        Raises `RpcError`, `Timeout` or `ConnectError`.
        """

    def is_emulated(self) -> bool:
        """Whether the device says that it is EMULATED, by its components' software-version: asked once, and not at all
        where roles were read before. False where gNMI does not tell.
        """

    def deadlines(self) -> dict[str, float]:
        """The limit of each step on this device, in seconds: what `connect` was given, else what fits a real device of
        this profile, or an emulated one.
        """

    def switchover(
        self,
        to: str | None = None,
        *,
        redundant: bool = False,
        name_only: bool = False,
        trigger: str = ...,
        wait_ready: bool = True,
        progress: Callable[[float, str], object] | bool | None = None,
    ) -> Switchover:
        """Fails over to the standby, and gives the evidence that it happened.

        Waits for `switchover-ready` (unless `wait_ready` is False), asks, and returns when the roles are swapped, a
        second witness agrees, and the new primary serves Containerz. `redundant` waits until the old primary is back in
        step. `name_only` names the target by its bare name first. `trigger` is `gnoi` (System.SwitchControlProcessor),
        `reboot-active` (System.Reboot of the active), `kill:PROCESS` (System.KillProcess) or `command:…` (for the
        shell, with HOLDFAST_ACTIVE and HOLDFAST_STANDBY set). `progress` is told `(seconds, what)` now and then;
        False shows nothing. Raises a `SwitchoverError` with a class for each way to fail, or `RolesError`.

        >>> moved = dut.switchover(redundant=True)
        >>> moved.origin, moved.target, moved.outage.seconds > 0
        ('Supervisor1', 'Supervisor2', True)
        """

    def ask_for_switchover(self, to: str | None = None, *, name_only: bool = False) -> str:
        """Asks for a failover (System.SwitchControlProcessor), and returns with the new primary's name once the device
        agreed, without waiting for anything else: `switchover` does that. The path is put in each form that devices
        take; a device that is too busy is asked again. Raises a `SwitchoverError`, `RolesError` or `RpcError`.
        """

    def expect_redundant(self, primary: str) -> Unchecked | None:
        """Waits until `primary` has a standby in step: by `switchover-ready`, or by an `oper-status` of ACTIVE where
        the device has no such leaf. An `Unchecked` where it has neither, or where `oper-status` of its standbys was
        never ACTIVE: whether the standby is in step is not known then. `SwitchoverReversed` if another became primary
        meanwhile, `SwitchoverNeverRedundant` if the deadline passes.
        """

    def reboot(self, *, force: bool = False, progress: Callable[[float, str], object] | bool | None = None) -> Reboot:
        """GNOI System.Reboot(COLD) of the chassis, and the evidence that it happened: boot-times of the system and of
        each control processor. `progress` is as for `switchover`. Raises a `RebootError` with a class for each way to
        fail.
        """

    def ping_container(self, port: int, *, host: str | None = None, timeout: _Seconds | None = None) -> datetime:
        """Cntr.Ping over TLS (not verified) on a container's published port: the container's clock. Raises `RpcError`,
        `Timeout` or `ConnectError`.
        """

    def connect_container(self, port: int, *, host: str | None = None, timeout: _Seconds | None = None) -> None:
        """Connect to a container's published port over TCP, whatever it serves there; asks nothing.

        `ConnectError` where it is refused, or closed at once by a proxy that has no container behind it.
        """

    def dial_from_container(
        self,
        port: int,
        address: str,
        *,
        ask: str = ...,
        username: str | None = None,
        password: str | Secret | None = None,
        host: str | None = None,
        timeout: _Seconds | None = None,
    ) -> Dialled:
        """Has the test container on `port` dial `address` (`HOST:PORT`, TLS that verifies nobody) and ask there for
        `ping` (of another test container), `gnmi` (Capabilities), `gribi` (Get of everything) or `nothing`; what it was
        told. `username` and `password` are what it logs in with. Its failure is raised as its status is: Cntr.Dial
        (shared contract `openconfig.featureprofiles.cntr`). 12 s unless `timeout` says otherwise. Raises `RpcError`,
        `Timeout` or `ConnectError`.
        """

    def append_record(
        self, port: int, payload: bytes, *, host: str | None = None, timeout: _Seconds | None = None
    ) -> Record:
        """Appends to the ledger of the container on a published port (holdfast.ledger.v1.Ledger/Append).

        The record comes back once it is on the container's volume. `Unimplemented` where the image has no ledger.
        """

    def describe_container(
        self, port: int, *, host: str | None = None, timeout: _Seconds | None = None
    ) -> ContainerDescription:
        """What the test container on a published port sees of itself (holdfast.ledger.v1.Ledger/Describe). Raises
        `RpcError`, `Timeout` or `ConnectError`.
        """

    def read_records(self, port: int, *, host: str | None = None, timeout: _Seconds | None = None) -> Rows[Record]:
        """All records of that ledger (Ledger/Read). `DataLoss` where something follows that is no record."""

    def expect_answer(
        self,
        port: int,
        *,
        host: str | None = None,
        within: _Seconds | None = None,
        watch: _Seconds | None = None,
    ) -> None:
        """Waits until the container on `port` answers Ping, and watches that it goes on. Raises `ExpectationFailed`."""

    def _repr_html_(self) -> str:
        """For notebooks: its control processors, containers, images and volumes, asked of it now."""

    def __enter__(self) -> Device: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class AsyncDevice:
    """As `Device`, to be awaited."""

    @property
    def containerz(self) -> AsyncContainerz:
        """As `Device.containerz`."""

    @property
    def system(self) -> AsyncSystem:
        """As `Device.system`."""

    @property
    def file(self) -> AsyncFile:
        """As `Device.file`."""

    @property
    def healthz(self) -> AsyncHealthz:
        """As `Device.healthz`."""

    @property
    def gnmi(self) -> AsyncGnmi:
        """As `Device.gnmi`."""

    @property
    def name(self) -> str:
        """As `Device.name`."""

    @property
    def address(self) -> str:
        """As `Device.address`."""

    @property
    def timeline(self) -> Timeline:
        """As `Device.timeline`."""

    def note(self, text: str) -> None:
        """As `Device.note`."""

    def recording(
        self,
        run: str,
        *,
        labels: Mapping[str, str] | None = None,
        journal: _Path | None = None,
        name_label: str | None = None,
    ) -> Awaitable[AsyncDevice]:
        """As `Device.recording`."""

    @property
    def labels_refused(self) -> str | None:
        """As `Device.labels_refused`."""

    @property
    def made(self) -> list[tuple[str, str, str]]:
        """As `Device.made`."""

    def close(self) -> Awaitable[None]:
        """As `Device.close`."""

    def control_processors(self, *, timeout: _Seconds | None = None) -> Awaitable[Rows[ControlProcessor]]:
        """As `Device.control_processors`."""

    def is_emulated(self) -> Awaitable[bool]:
        """As `Device.is_emulated`."""

    def deadlines(self) -> Awaitable[dict[str, float]]:
        """As `Device.deadlines`."""

    def switchover(
        self,
        to: str | None = None,
        *,
        redundant: bool = False,
        name_only: bool = False,
        trigger: str = ...,
        wait_ready: bool = True,
        progress: Callable[[float, str], object] | bool | None = None,
    ) -> Awaitable[Switchover]:
        """As `Device.switchover`."""

    def ask_for_switchover(self, to: str | None = None, *, name_only: bool = False) -> Awaitable[str]:
        """As `Device.ask_for_switchover`."""

    def expect_redundant(self, primary: str) -> Awaitable[Unchecked | None]:
        """As `Device.expect_redundant`."""

    def reboot(
        self, *, force: bool = False, progress: Callable[[float, str], object] | bool | None = None
    ) -> Awaitable[Reboot]:
        """As `Device.reboot`."""

    def ping_container(
        self, port: int, *, host: str | None = None, timeout: _Seconds | None = None
    ) -> Awaitable[datetime]:
        """As `Device.ping_container`."""

    def connect_container(
        self, port: int, *, host: str | None = None, timeout: _Seconds | None = None
    ) -> Awaitable[None]:
        """As `Device.connect_container`."""

    def dial_from_container(
        self,
        port: int,
        address: str,
        *,
        ask: str = ...,
        username: str | None = None,
        password: str | Secret | None = None,
        host: str | None = None,
        timeout: _Seconds | None = None,
    ) -> Awaitable[Dialled]:
        """As `Device.dial_from_container`."""

    def append_record(
        self, port: int, payload: bytes, *, host: str | None = None, timeout: _Seconds | None = None
    ) -> Awaitable[Record]:
        """As `Device.append_record`."""

    def describe_container(
        self, port: int, *, host: str | None = None, timeout: _Seconds | None = None
    ) -> Awaitable[ContainerDescription]:
        """As `Device.describe_container`."""

    def read_records(
        self, port: int, *, host: str | None = None, timeout: _Seconds | None = None
    ) -> Awaitable[Rows[Record]]:
        """As `Device.read_records`."""

    def expect_answer(
        self, port: int, *, host: str | None = None, within: _Seconds | None = None, watch: _Seconds | None = None
    ) -> Awaitable[None]:
        """As `Device.expect_answer`."""

    def __aenter__(self) -> Awaitable[AsyncDevice]: ...
    def __aexit__(self, *_exception: object) -> Awaitable[None]: ...

@final
class Containerz:
    """gNOI Containerz of a device: all 17 RPCs, against every server the field has.

    An image is named by `NAME:TAG`, or by anything with `name` and `tag`.
    """

    def deploy(
        self,
        archive: _Path,
        *,
        name: str | None = None,
        tag: str | None = None,
        retag: str | None = None,
        platform: str | None = None,
        is_plugin: bool = False,
        replace: bool = False,
        lockstep: bool = False,
        retries: int = ...,
        progress: Callable[[int, int, int], object] | bool | None = None,
        timeout: _Seconds | None = None,
    ) -> Image:
        """Deploy of an archive on this machine, checked before the first byte goes out.

        The target is the archive's own name unless `name` and `tag` say otherwise; `retag` writes another name into
        the archive on its way (layers and id stay). Of an archive with several images `platform` chooses, such as
        `linux/arm64`. A name that another image has is refused unless `replace`: the one that is asked for, and those
        in the archive, which devices keep beside it.
        Several chunks are in flight unless `lockstep`. A transfer that a failover broke off is started over `retries`
        times. `progress` is told `(sent, received, total)` in bytes; False shows no bar. The deadline is an hour unless
        `timeout` says otherwise. Raises `ImageError`, and what the device answers; an error says whether the image is
        on the device all the same.
        """

    def deploy_remote(
        self, image: _Image, url: str, *, protocol: RemoteProtocol = "HTTPS", timeout: _Seconds | None = None
    ) -> None:
        """Deploy with `remote_download`: the device fetches `url` by SFTP, HTTP, HTTPS or SCP. Raises `RpcError`,
        `OutcomeUnknown`, `Timeout` or `ConnectError`.
        """

    def contract(self, *, timeout: _Seconds | None = None) -> str | None:
        """Which contract of Containerz the device serves, by its version: `0.2.0`, which all else here is for, or
        `0.1.1` (gNOI 0.2 to 0.4: Deploy, Remove, List, Start, Stop, Log), of which `deploy_remote` works; or None.
        Raises `RpcError`, `Timeout` or `ConnectError`.
        """

    def images(self, *, timeout: _Seconds | None = None) -> Images:
        """ListImage, all of it. `in` takes an id, `NAME:TAG`, or anything with an `id`. Raises `RpcError`, `Timeout` or
        `ConnectError`.
        """

    def remove_image(
        self, image: _Image, *, force: bool = False, missing_ok: bool = False, timeout: _Seconds | None = None
    ) -> bool:
        """RemoveImage. True where it was removed; with `missing_ok`, False where it was not there. In use is
        `FailedPrecondition`, however the device says it.
        """

    def start(
        self,
        name: str,
        *,
        image: _Image | None = None,
        command: str = "",
        ports: Mapping[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
        volumes: Mapping[str, str] | None = None,
        network: str = "",
        add_capabilities: Sequence[str] = ...,
        remove_capabilities: Sequence[str] = ...,
        restart: str = "ALWAYS",
        user: str = "",
        group: str = "",
        labels: Mapping[str, str] | None = None,
        max_cpu: float = 0.0,
        soft_memory: int = ...,
        hard_memory: int = ...,
        devices: Sequence[tuple[str, str, str]] = ...,
        location: Location | None = None,
        timeout: _Seconds | None = None,
    ) -> str:
        """StartContainer; the instance's name. Without `image`, a stopped container is started again.

        `ports` map inside to outside; `volumes` map a volume to the path where it is seen (`:ro` after it for read
        only); `restart` is ALWAYS, NONE, UNLESS_STOPPED or ON_FAILURE:ATTEMPTS; memory is in bytes, 0 for no limit;
        `devices` are (source, destination, letters of `rwm`); `location` is PRIMARY, BACKUP or ALL. A volume that is
        not there is `NotFound` before anything is asked. What a failed start leaves behind is removed.
        """

    def containers(self, *, all: bool = True, timeout: _Seconds | None = None) -> Rows[Container]:
        """ListContainer; the running ones alone with `all=False`. Raises `RpcError`, `Timeout` or `ConnectError`."""

    def container(self, name: str, *, timeout: _Seconds | None = None) -> Container:
        """ListContainer, one of them. Raises `NotFound`."""

    def stop(self, name: str, *, force: bool = False, restart: bool = False, timeout: _Seconds | None = None) -> None:
        """StopContainer. Some devices wait for ever without `force`: the deadline holds. Raises `RpcError`,
        `OutcomeUnknown`, `Timeout` or `ConnectError`.
        """

    def remove(
        self, name: str, *, force: bool = False, missing_ok: bool = False, timeout: _Seconds | None = None
    ) -> bool:
        """RemoveContainer. True where it was removed; with `missing_ok`, False where it was not there. Raises
        `RpcError`, `OutcomeUnknown`, `Timeout` or `ConnectError`.
        """

    def update(
        self,
        name: str,
        *,
        image: _Image,
        command: str = "",
        ports: Mapping[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
        volumes: Mapping[str, str] | None = None,
        network: str = "",
        restart: str = "ALWAYS",
        labels: Mapping[str, str] | None = None,
        run_async: bool = False,
        timeout: _Seconds | None = None,
    ) -> bool:
        """UpdateContainer to another image. True where the device goes on with it by itself (`run_async`). Raises
        `RpcError`, `OutcomeUnknown`, `Timeout` or `ConnectError`.
        """

    def logs(self, name: str, *, timeout: _Seconds | None = None) -> list[str]:
        """Log: all lines there are now, without their ends, whatever chunks they came in. Raises `RpcError`, `Timeout`
        or `ConnectError`.
        """

    def follow_logs(self, name: str, *, resume: bool = True, timeout: _Seconds | None = None) -> LogLines:
        """Log with `follow`: an iterator of lines that goes on until the container ends.

        The log outlives a failover: where it breaks off, and does not end by the device's word, it is asked for again,
        for as long as a reboot may take (`deadlines`). A line with `resumed=True` stands between; see `LogLine`. With
        `resume=False` it ends with `Unavailable` instead. `timeout` is for its beginning.

        Raises `Unavailable` too where the device does not come back in time, and what the device answers where it
        refuses to give the log again, such as `NotFound`.

        >>> for line in dut.containerz.follow_logs("web"):
        ...     if line.resumed:
        ...         print("what follows is the whole log anew")
        ...     if "listening" in line:
        ...         break
        """

    def create_volume(
        self,
        name: str,
        *,
        driver: VolumeDriver | None = None,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        look_first: bool = True,
        timeout: _Seconds | None = None,
    ) -> str:
        """CreateVolume; its name. `AlreadyExists` where it is there, whatever the device would say; with
        `look_first=False` the device says it.

        `driver` is None for the device's own choice (custom if `options` are given), `local` (options `mountpoint` and
        `options`), or `custom`.
        """

    def volumes(self, *, timeout: _Seconds | None = None) -> Rows[Volume]:
        """ListVolume, all of it. Raises `RpcError`, `Timeout` or `ConnectError`."""

    def remove_volume(
        self,
        name: str,
        *,
        force: bool = False,
        missing_ok: bool = False,
        look_first: bool = True,
        timeout: _Seconds | None = None,
    ) -> bool:
        """RemoveVolume. True where it was removed; absence is judged by the listing, with `look_first=False` by what
        the device answers. Raises `RpcError`, `OutcomeUnknown`, `Timeout` or `ConnectError`.
        """

    def start_plugin(self, name: str, instance_name: str, *, config: str = "", timeout: _Seconds | None = None) -> str:
        """StartPlugin of a tar that `deploy(…, is_plugin=True)` brought; the instance's name. Raises `RpcError`,
        `OutcomeUnknown`, `Timeout` or `ConnectError`.
        """

    def stop_plugin(self, instance_name: str, *, timeout: _Seconds | None = None) -> None:
        """StopPlugin. Raises `RpcError`, `OutcomeUnknown`, `Timeout` or `ConnectError`."""

    def plugins(self, *, timeout: _Seconds | None = None) -> Rows[Plugin]:
        """ListPlugins, all of them, without the `:latest` that some devices add. Raises `RpcError`, `Timeout` or
        `ConnectError`.
        """

    def remove_plugin(self, instance_name: str, *, missing_ok: bool = False, timeout: _Seconds | None = None) -> bool:
        """RemovePlugin. True where it was removed. Raises `RpcError`, `OutcomeUnknown`, `Timeout` or `ConnectError`."""

    def remove_plugin_tar(self, name: str, *, missing_ok: bool = False, timeout: _Seconds | None = None) -> bool:
        """RemovePluginTar. `Unimplemented` means that the tar stays on the device."""

    def expect_image(self, image: _Image, *, within: _Seconds | None = None, watch: _Seconds | None = None) -> Image:
        """Waits until the image is listed (by its id where it has one), then watches that it stays.
        Raises `ExpectationFailed`, here as in all that follow.
        """

    def expect_no_image(self, image: _Image, *, within: _Seconds | None = None, watch: _Seconds | None = None) -> None:
        """Waits until the image is listed neither by id nor by name, then watches that it stays away. Raises
        `ExpectationFailed`, or what the device answers (`RpcError`).
        """

    def expect_container(
        self,
        name: str,
        *,
        like: Container | None = None,
        within: _Seconds | None = None,
        watch: _Seconds | None = None,
    ) -> Container:
        """Waits until the container runs, with the image and labels of `like`, then watches that it goes on. Raises
        `ExpectationFailed`, or what the device answers (`RpcError`).

        >>> before = dut.containerz.expect_container("web")
        >>> moved = dut.switchover()
        >>> dut.containerz.expect_container("web", like=before).running
        True
        """

    def expect_no_container(self, name: str, *, within: _Seconds | None = None, watch: _Seconds | None = None) -> None:
        """Waits until the container is not listed at all, then watches that it stays away. Raises `ExpectationFailed`,
        or what the device answers (`RpcError`).
        """

    def expect_volume(
        self,
        name: str,
        *,
        like: Volume | None = None,
        within: _Seconds | None = None,
        watch: _Seconds | None = None,
    ) -> Volume:
        """Waits until the volume is listed, with the driver, options and labels of `like`, then watches it. Raises
        `ExpectationFailed`, or what the device answers (`RpcError`).
        """

    def expect_no_volume(self, name: str, *, within: _Seconds | None = None, watch: _Seconds | None = None) -> None:
        """Waits until the volume is not listed, then watches that it stays away. Raises `ExpectationFailed`, or what
        the device answers (`RpcError`).
        """

@final
class AsyncContainerz:
    """As `Containerz`, to be awaited."""

    def deploy(
        self,
        archive: _Path,
        *,
        name: str | None = None,
        tag: str | None = None,
        retag: str | None = None,
        platform: str | None = None,
        is_plugin: bool = False,
        replace: bool = False,
        lockstep: bool = False,
        retries: int = ...,
        progress: Callable[[int, int, int], object] | bool | None = None,
        timeout: _Seconds | None = None,
    ) -> Awaitable[Image]:
        """As `Containerz.deploy`."""

    def deploy_remote(
        self, image: _Image, url: str, *, protocol: RemoteProtocol = "HTTPS", timeout: _Seconds | None = None
    ) -> Awaitable[None]:
        """As `Containerz.deploy_remote`."""

    def contract(self, *, timeout: _Seconds | None = None) -> Awaitable[str | None]:
        """As `Containerz.contract`."""

    def images(self, *, timeout: _Seconds | None = None) -> Awaitable[Images]:
        """As `Containerz.images`."""

    def remove_image(
        self, image: _Image, *, force: bool = False, missing_ok: bool = False, timeout: _Seconds | None = None
    ) -> Awaitable[bool]:
        """As `Containerz.remove_image`."""

    def start(
        self,
        name: str,
        *,
        image: _Image | None = None,
        command: str = "",
        ports: Mapping[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
        volumes: Mapping[str, str] | None = None,
        network: str = "",
        add_capabilities: Sequence[str] = ...,
        remove_capabilities: Sequence[str] = ...,
        restart: str = "ALWAYS",
        user: str = "",
        group: str = "",
        labels: Mapping[str, str] | None = None,
        max_cpu: float = 0.0,
        soft_memory: int = ...,
        hard_memory: int = ...,
        devices: Sequence[tuple[str, str, str]] = ...,
        location: Location | None = None,
        timeout: _Seconds | None = None,
    ) -> Awaitable[str]:
        """As `Containerz.start`."""

    def containers(self, *, all: bool = True, timeout: _Seconds | None = None) -> Awaitable[Rows[Container]]:
        """As `Containerz.containers`."""

    def container(self, name: str, *, timeout: _Seconds | None = None) -> Awaitable[Container]:
        """As `Containerz.container`."""

    def stop(
        self, name: str, *, force: bool = False, restart: bool = False, timeout: _Seconds | None = None
    ) -> Awaitable[None]:
        """As `Containerz.stop`."""

    def remove(
        self, name: str, *, force: bool = False, missing_ok: bool = False, timeout: _Seconds | None = None
    ) -> Awaitable[bool]:
        """As `Containerz.remove`."""

    def update(
        self,
        name: str,
        *,
        image: _Image,
        command: str = "",
        ports: Mapping[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
        volumes: Mapping[str, str] | None = None,
        network: str = "",
        restart: str = "ALWAYS",
        labels: Mapping[str, str] | None = None,
        run_async: bool = False,
        timeout: _Seconds | None = None,
    ) -> Awaitable[bool]:
        """As `Containerz.update`."""

    def logs(self, name: str, *, timeout: _Seconds | None = None) -> Awaitable[list[str]]:
        """As `Containerz.logs`."""

    def follow_logs(self, name: str, *, resume: bool = True, timeout: _Seconds | None = None) -> AsyncLogLines:
        """As `Containerz.follow_logs`."""

    def create_volume(
        self,
        name: str,
        *,
        driver: VolumeDriver | None = None,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        look_first: bool = True,
        timeout: _Seconds | None = None,
    ) -> Awaitable[str]:
        """As `Containerz.create_volume`."""

    def volumes(self, *, timeout: _Seconds | None = None) -> Awaitable[Rows[Volume]]:
        """As `Containerz.volumes`."""

    def remove_volume(
        self,
        name: str,
        *,
        force: bool = False,
        missing_ok: bool = False,
        look_first: bool = True,
        timeout: _Seconds | None = None,
    ) -> Awaitable[bool]:
        """As `Containerz.remove_volume`."""

    def start_plugin(
        self, name: str, instance_name: str, *, config: str = "", timeout: _Seconds | None = None
    ) -> Awaitable[str]:
        """As `Containerz.start_plugin`."""

    def stop_plugin(self, instance_name: str, *, timeout: _Seconds | None = None) -> Awaitable[None]:
        """As `Containerz.stop_plugin`."""

    def plugins(self, *, timeout: _Seconds | None = None) -> Awaitable[Rows[Plugin]]:
        """As `Containerz.plugins`."""

    def remove_plugin(
        self, instance_name: str, *, missing_ok: bool = False, timeout: _Seconds | None = None
    ) -> Awaitable[bool]:
        """As `Containerz.remove_plugin`."""

    def remove_plugin_tar(
        self, name: str, *, missing_ok: bool = False, timeout: _Seconds | None = None
    ) -> Awaitable[bool]:
        """As `Containerz.remove_plugin_tar`."""

    def expect_image(
        self, image: _Image, *, within: _Seconds | None = None, watch: _Seconds | None = None
    ) -> Awaitable[Image]:
        """As `Containerz.expect_image`."""

    def expect_no_image(
        self, image: _Image, *, within: _Seconds | None = None, watch: _Seconds | None = None
    ) -> Awaitable[None]:
        """As `Containerz.expect_no_image`."""

    def expect_container(
        self, name: str, *, like: Container | None = None, within: _Seconds | None = None, watch: _Seconds | None = None
    ) -> Awaitable[Container]:
        """As `Containerz.expect_container`."""

    def expect_no_container(
        self, name: str, *, within: _Seconds | None = None, watch: _Seconds | None = None
    ) -> Awaitable[None]:
        """As `Containerz.expect_no_container`."""

    def expect_volume(
        self, name: str, *, like: Volume | None = None, within: _Seconds | None = None, watch: _Seconds | None = None
    ) -> Awaitable[Volume]:
        """As `Containerz.expect_volume`."""

    def expect_no_volume(
        self, name: str, *, within: _Seconds | None = None, watch: _Seconds | None = None
    ) -> Awaitable[None]:
        """As `Containerz.expect_no_volume`."""

@final
class System:
    """gNOI System of a device, call by call, without a look at what follows."""

    def time(self, *, timeout: _Seconds | None = None) -> datetime:
        """Time: the device's clock. Raises `RpcError`, `Timeout` or `ConnectError`."""

    def ping(self, destination: str, *, count: int = ..., timeout: _Seconds | None = None) -> PingSummary:
        """Ping, from the device. Raises `RpcError`, `Timeout` or `ConnectError`."""

    def switch_control_processor(
        self, target: str, *, name_only: bool = False, timeout: _Seconds | None = None
    ) -> None:
        """SwitchControlProcessor. Raises `RpcError`, `OutcomeUnknown`, `Timeout` or `ConnectError`."""

    def reboot(
        self,
        *,
        subcomponents: Sequence[str] = ...,
        message: str = "",
        force: bool = False,
        timeout: _Seconds | None = None,
    ) -> None:
        """Reboot(COLD) of the chassis, or of the components named. Raises `RpcError`, `OutcomeUnknown`, `Timeout` or
        `ConnectError`.
        """

    def reboot_status(self, *, timeout: _Seconds | None = None) -> RebootStatus:
        """RebootStatus. Raises `RpcError`, `Timeout` or `ConnectError`."""

    def kill_process(self, name: str, *, restart: bool = False, timeout: _Seconds | None = None) -> None:
        """KillProcess, with SIGKILL; `restart` asks the device to start it again. Raises `RpcError`, `OutcomeUnknown`,
        `Timeout` or `ConnectError`.
        """

    def cancel_reboot(self, *, message: str = "", timeout: _Seconds | None = None) -> None:
        """CancelReboot. Raises `RpcError`, `OutcomeUnknown`, `Timeout` or `ConnectError`."""

@final
class AsyncSystem:
    """As `System`, to be awaited."""

    def time(self, *, timeout: _Seconds | None = None) -> Awaitable[datetime]:
        """As `System.time`."""

    def ping(self, destination: str, *, count: int = ..., timeout: _Seconds | None = None) -> Awaitable[PingSummary]:
        """As `System.ping`."""

    def switch_control_processor(
        self, target: str, *, name_only: bool = False, timeout: _Seconds | None = None
    ) -> Awaitable[None]:
        """As `System.switch_control_processor`."""

    def reboot(
        self,
        *,
        subcomponents: Sequence[str] = ...,
        message: str = "",
        force: bool = False,
        timeout: _Seconds | None = None,
    ) -> Awaitable[None]:
        """As `System.reboot`."""

    def reboot_status(self, *, timeout: _Seconds | None = None) -> Awaitable[RebootStatus]:
        """As `System.reboot_status`."""

    def kill_process(self, name: str, *, restart: bool = False, timeout: _Seconds | None = None) -> Awaitable[None]:
        """As `System.kill_process`."""

    def cancel_reboot(self, *, message: str = "", timeout: _Seconds | None = None) -> Awaitable[None]:
        """As `System.cancel_reboot`."""

@final
class File:
    """gNOI File of a device: what lies there, and reading it. What writes or removes files there is left out."""

    def stat(self, path: str, *, timeout: _Seconds | None = None) -> Rows[StatInfo]:
        """Stat: of a file one row, of a folder a row for each thing in it, as the device gives them.

        `path` begins with `/`, or with a file system that the device has a name for, as in `harddisk:/core`. Raises
        `NotFound` where there is no such thing.
        """

    def get(
        self,
        path: str,
        to: _Path,
        *,
        limit: int | None = None,
        check: bool = True,
        timeout: _Seconds | None = None,
    ) -> Downloaded:
        """Get: a file of the device's into the file `to`, which is replaced once all has come.

        No more than `limit` bytes are taken (`ResourceExhausted`). What is not what its hash says is not kept
        (`DataLoss`), unless `check` is False; then `verified` tells it. An outage on the way begins it anew. `timeout`
        is 600 s where none is given.
        """

    def transfer_to_remote(
        self,
        path: str,
        remote: str,
        *,
        protocol: str = "SFTP",
        username: str = "",
        password: str | Secret | None = None,
        timeout: _Seconds | None = None,
    ) -> str:
        """TransferToRemote: the device itself sends a file of its own to `remote`, such as `HOST:PATH`.

        `protocol` is SFTP, SCP, HTTP or HTTPS. Returns the hash that the device gives, such as `SHA256:…`, or nothing.
        Raises `RpcError`, `OutcomeUnknown`, `Timeout` or `ConnectError`.
        """

@final
class AsyncFile:
    """As `File`, to be awaited."""

    def stat(self, path: str, *, timeout: _Seconds | None = None) -> Awaitable[Rows[StatInfo]]:
        """As `File.stat`."""

    def get(
        self, path: str, to: _Path, *, limit: int | None = None, check: bool = True, timeout: _Seconds | None = None
    ) -> Awaitable[Downloaded]:
        """As `File.get`."""

    def transfer_to_remote(
        self,
        path: str,
        remote: str,
        *,
        protocol: str = "SFTP",
        username: str = "",
        password: str | Secret | None = None,
        timeout: _Seconds | None = None,
    ) -> Awaitable[str]:
        """As `File.transfer_to_remote`."""

@final
class Healthz:
    """gNOI Healthz of a device.

    A `component` is its name, asked for in the forms that devices take, or a path such as
    `/components/component[name=Chassis]`, which is asked for as it is.
    """

    def get(self, component: str, *, timeout: _Seconds | None = None) -> ComponentStatus:
        """Get: the latest event of a component. Raises `NotFound` where the device has no health of it."""

    def list(
        self, component: str, *, include_acknowledged: bool = False, timeout: _Seconds | None = None
    ) -> Rows[ComponentStatus]:
        """List: the events of a component; those that somebody acknowledged only where they are asked for. Raises
        `RpcError`, `Timeout` or `ConnectError`.
        """

    def check(self, component: str, *, event_id: str = "", timeout: _Seconds | None = None) -> ComponentStatus:
        """Check: the device looks at a component now, or collects more on the event `event_id`.

        What it does for that is the vendor's, and may be expensive. Raises `RpcError`, `OutcomeUnknown`, `Timeout` or
        `ConnectError`.
        """

    def artifact(
        self,
        id: str,
        to: _Path,
        *,
        limit: int | None = None,
        check: bool = True,
        timeout: _Seconds | None = None,
    ) -> Downloaded:
        """Artifact: what was collected on an event, into the file `to`; as `File.get` takes it.

        An artifact of messages is each message (`google.protobuf.Any`) after its length, as protobuf delimits them.
        Raises `RpcError`, `Timeout` or `ConnectError`.
        """

@final
class AsyncHealthz:
    """As `Healthz`, to be awaited."""

    def get(self, component: str, *, timeout: _Seconds | None = None) -> Awaitable[ComponentStatus]:
        """As `Healthz.get`."""

    def list(
        self, component: str, *, include_acknowledged: bool = False, timeout: _Seconds | None = None
    ) -> Awaitable[Rows[ComponentStatus]]:
        """As `Healthz.list`."""

    def check(
        self, component: str, *, event_id: str = "", timeout: _Seconds | None = None
    ) -> Awaitable[ComponentStatus]:
        """As `Healthz.check`."""

    def artifact(
        self, id: str, to: _Path, *, limit: int | None = None, check: bool = True, timeout: _Seconds | None = None
    ) -> Awaitable[Downloaded]:
        """As `Healthz.artifact`."""

@final
class Gnmi:
    """gNMI of a device. Paths are text such as `/system/state/boot-time`, with origin `openconfig` unless they begin
    with another, as `cli:/…` does.

    What requests have in common: `prefix` stands before each path, and `target` names a device where several answer at
    one address; it comes back in `Leaf.target`. `origin` is that of a prefix, or of paths, that do not begin with one
    (`""` sends none). `encoding` is one of gNMI's; without it, reads take whichever the device serves. `extensions` are
    sent as they are, and those of the answer are its `extensions`. `qos` is a DSCP. What a device does not take is
    `Unimplemented` or `InvalidArgument`, in its own words, with a hint that names what was asked beside the paths.
    """

    def capabilities(
        self, *, extensions: Sequence[Extension | bytes] | None = None, timeout: _Seconds | None = None
    ) -> Capabilities:
        """Capabilities. Raises `RpcError`, `Timeout` or `ConnectError`."""

    def get(
        self,
        paths: str | Sequence[str],
        *,
        type: DataType = "ALL",
        prefix: str | None = None,
        target: str = "",
        origin: str | None = None,
        encoding: Encoding | None = None,
        extensions: Sequence[Extension | bytes] | None = None,
        timeout: _Seconds | None = None,
    ) -> Leaves:
        """Get, as leaves: all of them, or of one `type`. Raises `RpcError`, `Timeout` or `ConnectError`."""

    def set(
        self,
        *,
        update: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        replace: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        union_replace: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        delete: str | Sequence[str] | None = None,
        prefix: str | None = None,
        target: str = "",
        origin: str | None = None,
        encoding: Encoding | None = None,
        extensions: Sequence[Extension | bytes] | None = None,
        compare: bool = False,
        timeout: _Seconds | None = None,
    ) -> SetResult:
        """Set: all of it is done, or nothing. Values are by path, or pairs where one path comes twice.

        A value is anything that JSON can say, sent as it is in `encoding` JSON_IETF (if none is given) or JSON; PROTO
        takes leaves, ASCII texts, BYTES and PROTO bytes; with origin `cli` a text is a command line. `union_replace`
        replaces the whole configuration with all of its values together. `compare=True` reads the configuration (Get of
        type CONFIG) at the paths that are touched, before and after, and gives what changed as `changes`; where it
        cannot be read before, nothing is set. Raises `RpcError`, `OutcomeUnknown`, `Timeout` or `ConnectError`.
        """

    def once(
        self,
        paths: str | Sequence[str],
        *,
        prefix: str | None = None,
        target: str = "",
        origin: str | None = None,
        encoding: Encoding | None = None,
        extensions: Sequence[Extension | bytes] | None = None,
        qos: int | None = None,
        allow_aggregation: bool = False,
        timeout: _Seconds | None = None,
    ) -> Leaves:
        """Subscribe ONCE, as leaves. Raises `RpcError`, `Timeout` or `ConnectError`."""

    def stream(
        self,
        paths: str | SubscribedPath | Sequence[str | SubscribedPath],
        *,
        mode: StreamMode = "TARGET_DEFINED",
        interval: _Seconds | None = None,
        heartbeat_interval: _Seconds | None = None,
        suppress_redundant: bool = False,
        updates_only: bool = False,
        prefix: str | None = None,
        target: str = "",
        origin: str | None = None,
        encoding: Encoding | None = None,
        extensions: Sequence[Extension | bytes] | None = None,
        qos: int | None = None,
        allow_aggregation: bool = False,
        resume: bool = True,
        timeout: _Seconds | None = None,
    ) -> Subscription:
        """Subscribe STREAM; `mode` is TARGET_DEFINED, ON_CHANGE, or SAMPLE with an `interval`.

        `mode`, `interval`, `heartbeat_interval` and `suppress_redundant` go for paths that are text; a
        `holdfast.SubscribedPath` has its own. With `updates_only` what is there at the beginning is not told.

        The subscription outlives a failover: where it breaks off, and does not end by the device's word, it is made
        again, for as long as a reboot may take (`deadlines`). `Updates` with `resumed=True` stand between: what changed
        meanwhile is unknown. With `resume=False` it ends with `Unavailable` instead. `timeout` is for its beginning.
        """

    def poll(
        self,
        paths: str | Sequence[str],
        *,
        prefix: str | None = None,
        target: str = "",
        origin: str | None = None,
        encoding: Encoding | None = None,
        extensions: Sequence[Extension | bytes] | None = None,
        qos: int | None = None,
        allow_aggregation: bool = False,
        resume: bool = True,
        timeout: _Seconds | None = None,
    ) -> Subscription:
        """Subscribe POLL; `ask` for the current values. `resume` as for `stream`: what was asked for is asked again.
        Raises `RpcError`, `Timeout` or `ConnectError`.
        """

@final
class AsyncGnmi:
    """As `Gnmi`, to be awaited."""

    def capabilities(
        self, *, extensions: Sequence[Extension | bytes] | None = None, timeout: _Seconds | None = None
    ) -> Awaitable[Capabilities]:
        """As `Gnmi.capabilities`."""

    def get(
        self,
        paths: str | Sequence[str],
        *,
        type: DataType = "ALL",
        prefix: str | None = None,
        target: str = "",
        origin: str | None = None,
        encoding: Encoding | None = None,
        extensions: Sequence[Extension | bytes] | None = None,
        timeout: _Seconds | None = None,
    ) -> Awaitable[Leaves]:
        """As `Gnmi.get`."""

    def set(
        self,
        *,
        update: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        replace: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        union_replace: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        delete: str | Sequence[str] | None = None,
        prefix: str | None = None,
        target: str = "",
        origin: str | None = None,
        encoding: Encoding | None = None,
        extensions: Sequence[Extension | bytes] | None = None,
        compare: bool = False,
        timeout: _Seconds | None = None,
    ) -> Awaitable[SetResult]:
        """As `Gnmi.set`."""

    def once(
        self,
        paths: str | Sequence[str],
        *,
        prefix: str | None = None,
        target: str = "",
        origin: str | None = None,
        encoding: Encoding | None = None,
        extensions: Sequence[Extension | bytes] | None = None,
        qos: int | None = None,
        allow_aggregation: bool = False,
        timeout: _Seconds | None = None,
    ) -> Awaitable[Leaves]:
        """As `Gnmi.once`."""

    def stream(
        self,
        paths: str | SubscribedPath | Sequence[str | SubscribedPath],
        *,
        mode: StreamMode = "TARGET_DEFINED",
        interval: _Seconds | None = None,
        heartbeat_interval: _Seconds | None = None,
        suppress_redundant: bool = False,
        updates_only: bool = False,
        prefix: str | None = None,
        target: str = "",
        origin: str | None = None,
        encoding: Encoding | None = None,
        extensions: Sequence[Extension | bytes] | None = None,
        qos: int | None = None,
        allow_aggregation: bool = False,
        resume: bool = True,
        timeout: _Seconds | None = None,
    ) -> Awaitable[AsyncSubscription]:
        """As `Gnmi.stream`."""

    def poll(
        self,
        paths: str | Sequence[str],
        *,
        prefix: str | None = None,
        target: str = "",
        origin: str | None = None,
        encoding: Encoding | None = None,
        extensions: Sequence[Extension | bytes] | None = None,
        qos: int | None = None,
        allow_aggregation: bool = False,
        resume: bool = True,
        timeout: _Seconds | None = None,
    ) -> Awaitable[AsyncSubscription]:
        """As `Gnmi.poll`."""

@final
class Subscription:
    """An open Subscribe; iterating over it gives what comes. Who reads slowly loses nothing: the device is held up."""

    def next(self, *, timeout: _Seconds | None = None) -> Updates | None:
        """What comes next: leaves, an empty tuple once all there was at the start has come, None at the end.

        After a failover first one with `resumed=True`; see `Updates`. Raises `Timeout` where nothing comes in time, and
        may be called again then. Raises `Unavailable` where the subscription broke off and is not made again, and what
        the device answers where it refuses to make it again.
        """

    def ask(self) -> None:
        """Asks for the current values (POLL). Raises `RpcError`, `Timeout` or `ConnectError`."""

    def __iter__(self) -> Subscription: ...
    def __next__(self) -> Updates: ...

@final
class AsyncSubscription:
    """As `Subscription`, to be awaited."""

    def next(self, *, timeout: _Seconds | None = None) -> Awaitable[Updates | None]:
        """As `Subscription.next`."""

    def ask(self) -> Awaitable[None]:
        """As `Subscription.ask`."""

    def __aiter__(self) -> AsyncSubscription: ...
    def __anext__(self) -> Awaitable[Updates]: ...

@final
class Chassis:
    """The emulated device; `holdfast.Emulator` is its face."""

    def arm(self, name: str, terms: str) -> None:
        """Arms a failpoint. An unknown name is an error that names the nearest. Raises `InvalidArgumentError`."""

    def disarm(self, name: str) -> int:
        """Disarms a failpoint; how often it was hit. An unknown one is `InvalidArgumentError`."""

    def hits(self, name: str) -> int:
        """How often a term of a failpoint fired since it was armed. An unknown one is `InvalidArgumentError`."""

    def release(self, name: str) -> None:
        """Lets go on who waits at a failpoint's `pause`. An unknown one is `InvalidArgumentError`."""

    def reached(self, name: str, times: int, timeout: _Seconds) -> None:
        """Waits until a failpoint was hit `times` times. Raises `Timeout`."""

    def armed(self) -> list[tuple[str, str, int]]:
        """All that are armed: name, what is left of the terms, hits."""

    def certificates(self) -> str:
        """The folder with the certificates for clients, with TLS."""

    def control(self) -> str:
        """The path of the socket by which another process arms its failpoints."""

    def active(self) -> str:
        """The name of the control processor that is active now."""

    def management_address(self) -> str:
        """Where it is managed, `IP:PORT[,IP:PORT]`."""

    def gnoi_address(self) -> str:
        """Where its gNOI is served, as `management_address`."""

    def inner_gnmi_address(self) -> str:
        """Where its containers reach its gNMI, over TLS."""

    def inner_gribi_address(self) -> str:
        """Where its containers reach its gRIBI, over TLS."""

    def container_host(self) -> str | None:
        """Where its containers' ports are, if not on its own address."""

    def stop(self) -> None:
        """Powers it off and closes its sockets."""

@final
class AsyncChassis:
    """As `Chassis`, to be awaited."""

    def arm(self, name: str, terms: str) -> Awaitable[None]:
        """As `Chassis.arm`."""

    def disarm(self, name: str) -> Awaitable[int]:
        """As `Chassis.disarm`."""

    def hits(self, name: str) -> Awaitable[int]:
        """As `Chassis.hits`."""

    def release(self, name: str) -> Awaitable[None]:
        """As `Chassis.release`."""

    def reached(self, name: str, times: int, timeout: _Seconds) -> Awaitable[None]:
        """As `Chassis.reached`."""

    def armed(self) -> Awaitable[list[tuple[str, str, int]]]:
        """As `Chassis.armed`."""

    def certificates(self) -> Awaitable[str]:
        """As `Chassis.certificates`."""

    def control(self) -> Awaitable[str]:
        """As `Chassis.control`."""

    def active(self) -> Awaitable[str]:
        """As `Chassis.active`."""

    def management_address(self) -> Awaitable[str]:
        """As `Chassis.management_address`."""

    def gnoi_address(self) -> Awaitable[str]:
        """As `Chassis.gnoi_address`."""

    def inner_gnmi_address(self) -> Awaitable[str]:
        """As `Chassis.inner_gnmi_address`."""

    def inner_gribi_address(self) -> Awaitable[str]:
        """As `Chassis.inner_gribi_address`."""

    def container_host(self) -> Awaitable[str | None]:
        """As `Chassis.container_host`."""

    def stop(self) -> Awaitable[None]:
        """As `Chassis.stop`."""

@final
class ContainerRuntime:
    """A container runtime on this machine, by its CRI socket (runtime.v1.RuntimeService)."""

    def version(self, *, timeout: _Seconds | None = None) -> str:
        """Its name and version (RPC Version). Raises `RpcError`, `Timeout` or `ConnectError`."""

    def run_pod(
        self,
        name: str,
        *,
        namespace: str = ...,
        annotations: Mapping[str, str] = ...,
        labels: Mapping[str, str] = ...,
        timeout: _Seconds | None = None,
    ) -> str:
        """Runs a pod and gives its id (RunPodSandbox). Network plugins see `annotations`. Raises `RpcError`,
        `OutcomeUnknown`, `Timeout` or `ConnectError`.
        """

    def stop_pod(self, pod: str, *, timeout: _Seconds | None = None) -> None:
        """Stops a pod, by its id (StopPodSandbox). Raises `RpcError`, `OutcomeUnknown`, `Timeout` or `ConnectError`."""

    def remove_pod(self, pod: str, *, timeout: _Seconds | None = None) -> None:
        """Removes a pod, by its id (RemovePodSandbox). Raises `RpcError`, `OutcomeUnknown`, `Timeout` or
        `ConnectError`.
        """

    def pod_addresses(self, pod: str, *, timeout: _Seconds | None = None) -> list[str]:
        """The addresses of a pod, by its id (PodSandboxStatus). Raises `RpcError`, `Timeout` or `ConnectError`."""

    def pod_namespace(self, pod: str, *, timeout: _Seconds | None = None) -> str | None:
        """The path of a pod's network namespace, where the runtime tells it as containerd does (PodSandboxStatus).
        Raises `RpcError`, `Timeout` or `ConnectError`.
        """

    def pods(self, *, timeout: _Seconds | None = None) -> list[tuple[str, str, bool, dict[str, str]]]:
        """All pods: id, name, whether it is ready, labels (ListPodSandbox). Raises `RpcError`, `Timeout` or
        `ConnectError`.
        """

@final
class AsyncContainerRuntime:
    """As `ContainerRuntime`, to be awaited."""

    def version(self, *, timeout: _Seconds | None = None) -> Awaitable[str]:
        """As `ContainerRuntime.version`."""

    def run_pod(
        self,
        name: str,
        *,
        namespace: str = ...,
        annotations: Mapping[str, str] = ...,
        labels: Mapping[str, str] = ...,
        timeout: _Seconds | None = None,
    ) -> Awaitable[str]:
        """As `ContainerRuntime.run_pod`."""

    def stop_pod(self, pod: str, *, timeout: _Seconds | None = None) -> Awaitable[None]:
        """As `ContainerRuntime.stop_pod`."""

    def remove_pod(self, pod: str, *, timeout: _Seconds | None = None) -> Awaitable[None]:
        """As `ContainerRuntime.remove_pod`."""

    def pod_addresses(self, pod: str, *, timeout: _Seconds | None = None) -> Awaitable[list[str]]:
        """As `ContainerRuntime.pod_addresses`."""

    def pod_namespace(self, pod: str, *, timeout: _Seconds | None = None) -> Awaitable[str | None]:
        """As `ContainerRuntime.pod_namespace`."""

    def pods(self, *, timeout: _Seconds | None = None) -> Awaitable[list[tuple[str, str, bool, dict[str, str]]]]:
        """As `ContainerRuntime.pods`."""

@final
class Mask:
    """Values that no text may tell, in whatever way they are written. One of less than four characters is hidden only
    where it is a word of its own.
    """

    def __new__(cls, values: Sequence[str]) -> Mask: ...
    def hide(self, text: str) -> str:
        """The same text without them."""

@final
class StorageVolume:
    """A volume as its provider tells of it: `bytes`, `parameters` and `nodes` are None where it does not."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def parameters(self) -> dict[str, str] | None: ...
    @property
    def nodes(self) -> list[str] | None: ...
    @property
    def accessible(self) -> list[str] | None:
        """The nodes that can have it; None where all can."""

    def read_only(self) -> StorageVolume:
        """The same volume, to be mounted for reading alone."""

    def for_access(self, access: VolumeAccess) -> StorageVolume:
        """The same volume, to be used by another access mode that it was made for. Raises `InvalidArgumentError`."""

@final
class StorageSnapshot:
    """A snapshot of a volume, as its provider tells of it; `bytes` and `taken` are None where it does not.

    `taken` is when, in seconds since 1970.
    """

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def taken(self) -> float | None: ...

@final
class StorageTask:
    """A task that was started: it writes a ledger on its volume, and tells what is on the disk."""

    @property
    def name(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def volume(self) -> StorageVolume: ...
    @property
    def stage(self) -> TaskStage: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def id(self) -> str:
        """What its runtime calls it."""

    @property
    def pid(self) -> int | None: ...
    @property
    def acknowledged(self) -> int: ...
    @property
    def failed(self) -> str | None:
        """Why it could not go on, as it told itself. `LabError` where it cannot be followed."""

    def ended(self) -> str | None:
        """Why it is no more, as its runtime tells; None while it runs."""

    def longest_pause(self, since: int) -> float:
        """The longest time without an acknowledgement after so many, up to now, in seconds; an idle task has none."""

    def wait_acknowledged(self, many: int, *, timeout: _Seconds | None = None) -> None:
        """Waits for so many acknowledgements in all. Raises `Timeout`, `ExpectationFailed` where the task failed, or
        `LabError` where it cannot be followed.
        """

    def wait_syncing(self, *, timeout: _Seconds | None = None) -> None:
        """Waits until it waits for the disk once more. Raises as `wait_acknowledged`: `Timeout`, `ExpectationFailed`
        or `LabError`.
        """

    def wait_failed(self, *, timeout: _Seconds | None = None) -> str | None:
        """Waits until it could not go on, and says why; None where it still can. Raises `LabError` where it cannot be
        followed.
        """

    def wait_running(self, *, timeout: _Seconds | None = None) -> None:
        """Waits until it runs, where it was handed over. Raises `RpcError`, `Timeout`, `LabError` or `SchedulerError`,
        with what the cluster says of its pod.
        """

    def stop(self, *, kill: bool = False, timeout: _Seconds | None = None) -> None:
        """Ends it, at once or after what it is at. Raises `Timeout`, or `LabError` where its runtime does not do it."""

@final
class StorageLab:
    """A provider, tasks on its volumes, and what harms them.

    What asks the provider raises `RpcError` where it refuses, `ConnectError` where nobody is there, `Timeout` where it
    does not answer in time, and `ExpectationFailed` where it answers what its protocol does not allow, or something is
    not as it must be; `LabError` is of what the lab itself stands on: its tools, an engine, a host's command.
    """

    def provider(self) -> StorageProvider: ...
    def nodes(self) -> list[str]: ...
    @property
    def kubeconfig(self) -> _Path | None:
        """Of a Kubernetes in the lab: the kubeconfig that leads there, for as long as the lab lives."""

    def run_name(self) -> str:
        """What begins the names of this run's volumes and tasks."""

    def busy(self) -> float:
        """How long the provider, the runner and whoever does harm were waited for so far, in seconds."""

    def most_volumes(self, *, timeout: _Seconds | None = None) -> dict[str, int]:
        """How many volumes of the provider each node of a cluster takes beside those that it has
        (`CSINode.spec.drivers[].allocatable.count`); a node that does not tell is not there, nor is one of another lab.
        Raises `LabError`.
        """

    def create(
        self,
        node: str,
        name: str,
        bytes: int,
        *,
        filesystem: str = "",
        access: VolumeAccess = "SINGLE_NODE_WRITER",
        parameters: Mapping[str, str] = ...,
        block: bool = False,
        source: StorageSnapshot | StorageVolume | None = None,
        also: Sequence[VolumeAccess] = ...,
        timeout: _Seconds | None = None,
    ) -> StorageVolume:
        """Makes a volume, asked of the plugin on `node` where each node has one; the same name is the same volume.

        It is for `access`, and `also` for others at other times (`StorageVolume.for_access`). With `block` it is a
        device without a file system. With a `source` it is a copy of that, and must hold all that was acknowledged when
        the copy was asked for (CSI's CreateVolume with a content source). Raises `RpcError`, `Timeout`, `ConnectError`,
        `ExpectationFailed`, or `InvalidArgumentError` for an access mode that there is not.
        """

    def expand(
        self, volume: StorageVolume, bytes: int, *, tasks: Sequence[StorageTask] = ..., timeout: _Seconds | None = None
    ) -> int:
        """Makes a volume larger, and what these tasks have mounted of it; the size that it is said to have now.

        Where no task has it, the node of its next task is asked (ControllerExpandVolume, NodeExpandVolume). Raises
        `RpcError`, `Timeout`, `ConnectError` or `ExpectationFailed`.
        """

    def take_snapshot(self, volume: StorageVolume, name: str, *, timeout: _Seconds | None = None) -> StorageSnapshot:
        """Takes a snapshot (CSI's CreateSnapshot), and keeps what had been acknowledged, for volumes made from it.
        Raises `RpcError`, `Timeout`, `ConnectError` or `ExpectationFailed`.
        """

    def has_snapshot(self, snapshot: StorageSnapshot, *, timeout: _Seconds | None = None) -> bool | None:
        """Whether the provider knows a snapshot that is asked for by itself (CSI's ListSnapshots); None where it cannot
        be asked. Raises `RpcError`, `Timeout`, `ConnectError` or `ExpectationFailed`.
        """

    def remove_snapshot(self, snapshot: StorageSnapshot, *, timeout: _Seconds | None = None) -> None:
        """Removes a snapshot; one that is not there is removed already. Raises `RpcError`, `Timeout` or
        `ConnectError`.
        """

    def statistics(self, task: StorageTask, *, timeout: _Seconds | None = None) -> StorageStatistics:
        """What the plugin counts on a task's volume, or where that was mounted (CSI's NodeGetVolumeStats). Raises
        `RpcError`, `Timeout`, `ConnectError` or `ExpectationFailed`.
        """

    def confirm(
        self, node: str, volume: StorageVolume, parameters: Mapping[str, str], *, timeout: _Seconds | None = None
    ) -> dict[str, str] | None:
        """The parameters in force of a volume that was made with `parameters`, where the provider tells. Raises
        `ExpectationFailed` where it does not stand by what it made, `RpcError`, `Timeout` or `ConnectError`.
        """

    def repeat(
        self,
        node: str,
        name: str,
        bytes: int,
        *,
        filesystem: str = "",
        access: VolumeAccess = "SINGLE_NODE_WRITER",
        parameters: Mapping[str, str] = ...,
        timeout: _Seconds | None = None,
    ) -> None:
        """A volume's whole life on a node, each call made twice. Raises `ExpectationFailed` where a second call is not
        answered as the first was, `RpcError`, `Timeout`, `ConnectError` or `InvalidArgumentError`.
        """

    def calls(self) -> list[StorageCalls]:
        """How long the calls of each kind took so far; empty where nobody counts them."""

    def remove(self, node: str, volume: StorageVolume, *, timeout: _Seconds | None = None) -> None:
        """Removes a volume, asked of the plugin on `node`. Raises `RpcError`, `Timeout` or `ConnectError`."""

    def has(self, node: str, volume: StorageVolume, *, timeout: _Seconds | None = None) -> bool | None:
        """Whether the provider knows a volume that is asked for by itself (CSI's ControllerGetVolume), by the plugin on
        `node`; None where it cannot be asked. Raises `RpcError`, `Timeout`, `ConnectError` or `ExpectationFailed`.
        """

    def volumes(self, node: str, *, page: int = 0, timeout: _Seconds | None = None) -> list[StorageVolume]:
        """All volumes that the provider tells of, asked of the plugin on `node`; with a `page`, in pages of so many at
        most, where its lists have pages. Raises `RpcError`, `Timeout`, `ConnectError` or `ExpectationFailed`.
        """

    def attach(self, volume: StorageVolume, node: str, *, timeout: _Seconds | None = None) -> None:
        """Gives a volume to a node, as an orchestrator does that is not careful. Raises `RpcError`, `Timeout` or
        `ConnectError`.
        """

    def mount(self, volume: StorageVolume, node: str, task: str, *, timeout: _Seconds | None = None) -> None:
        """Mounts an attached and staged volume for a task, once more or for the first time. Raises `RpcError`,
        `Timeout`, `ConnectError`, `LabError`, or `ExpectationFailed` where what tasks wrote on it is not there.
        """

    def unmount(self, volume: StorageVolume, node: str, task: str, *, timeout: _Seconds | None = None) -> None:
        """Takes back what `mount` did. Raises `RpcError`, `Timeout`, `ConnectError`, `ExpectationFailed` or
        `LabError`.
        """

    def wait_ready(self, node: str, *, timeout: _Seconds | None = None) -> None:
        """Waits until the plugin on a node answers. Raises `Timeout`, what it answered last where that was an error
        (`RpcError`, `ConnectError`), or `ExpectationFailed` where its process ended.
        """

    def run(
        self,
        volume: StorageVolume,
        node: str,
        *,
        stage: TaskStage = "appending",
        kept: bool = False,
        timeout: _Seconds | None = None,
    ) -> StorageTask:
        """Runs the next incarnation of a volume's task: idle, appending, overwriting or mid-fsync. One that is `kept`
        can be handed over, where its runner is Kubernetes: it is of a StatefulSet, or what `workload` says. Raises
        `RpcError`, `Timeout`, `ConnectError`, `ExpectationFailed`, `LabError`, or `InvalidArgumentError` for another
        `stage`.
        """

    @property
    def keeps_tasks(self) -> bool:
        """Whether the runner keeps every task that it runs, as a StatefulSet or a Deployment does."""

    def hand_over(self, task: StorageTask, node: str, *, timeout: _Seconds | None = None) -> StorageTask:
        """Says what the next incarnation of a task is that is kept: the cluster runs it on `node` once the task's pod
        is gone. Where its node is lost, waits until the cluster has given that pod up. Raises `SchedulerError` where it
        does not, `RpcError`, `Timeout`, `LabError`, or `InvalidArgumentError` where nothing keeps the task.
        """

    def release(self, task: StorageTask, *, timeout: _Seconds | None = None) -> None:
        """Lets go of the volume of a task that ended. Raises `RpcError`, `Timeout`, `ConnectError`, `ExpectationFailed`
        or `LabError`.
        """

    def mount_again(self, task: StorageTask, *, timeout: _Seconds | None = None) -> str | None:
        """Mounts the volume of a task that runs once more for it, and takes that back; why not, if it cannot. Raises
        `RpcError`, `Timeout`, `ConnectError`, `ExpectationFailed` or `LabError`.
        """

    def see(self, task: StorageTask, *, timeout: _Seconds | None = None) -> bool:
        """Opens the ledger of a task that runs anew, where its volume is mounted; False where nobody can look there.
        Raises `ExpectationFailed` where it cannot be opened, `Timeout` or `LabError`.
        """

    def evict(self, volume: StorageVolume, node: str, *, timeout: _Seconds | None = None) -> None:
        """Takes a volume from a node that cannot be asked. Raises `RpcError`, `Timeout`, `ConnectError`,
        `ExpectationFailed` or `LabError`.
        """

    def reconcile(self, volume: StorageVolume, node: str, *, timeout: _Seconds | None = None) -> None:
        """Brings a node in order that a volume was taken from. Raises `RpcError`, `Timeout`, `ConnectError`,
        `ExpectationFailed` or `LabError`.
        """

    def verify(self, volume: StorageVolume, node: str, *, timeout: _Seconds | None = None) -> LedgerVerdict:
        """Compares what all tasks on a volume acknowledged with what a node finds there. Raises `ExpectationFailed`
        where the ledger cannot be read, `RpcError`, `Timeout`, `ConnectError` or `LabError`.
        """

    def inflict(self, node: str, fault: StorageFault, *, timeout: _Seconds | None = None) -> None:
        """Does harm to a node, or undoes it. Raises `LabError` where it did not take, `Timeout`, or
        `InvalidArgumentError` for a `fault` that there is not, or not here.
        """

    def lacks(self, fault: StorageFault) -> str | None:
        """Why a fault cannot be had here; None where it can. Raises `InvalidArgumentError`."""

    def trouble(self, *, timeout: _Seconds | None = None) -> str | None:
        """What is wrong with the lab itself, where nobody harmed it: then nothing can be said of the provider. It is
        the text of a `LabError`, which is not raised.
        """

    def leftovers(self, volumes: Sequence[StorageVolume], *, timeout: _Seconds | None = None) -> list[StorageLeftover]:
        """What is mounted, attached or running of these volumes. Raises `RpcError`, `Timeout`, `ConnectError` or
        `LabError`.
        """

    def timeline(self) -> Timeline: ...
    def close(self, *, timeout: _Seconds | None = None) -> None:
        """Ends what it is made of: sockets, namespaces, and what is mounted and runs in them.

        In a cluster of the user's, undoes and removes what the run made, within `timeout` (120 s). What stayed is a
        `LabError`, and is tried again by another call, or by `holdfast lab clean --kubeconfig FILE`.
        """

    def failpoint_hits(self) -> dict[str, int]:
        """How often each armed failpoint of the emulated provider was hit."""

def storage_emulated(
    *,
    nodes: Sequence[str],
    run: int,
    pace: _Seconds,
    seed: int = ...,
    failpoints: Sequence[tuple[str, str]] = ...,
    sync: _Seconds | None = None,
    attach: _Seconds | None = None,
    patience: _Seconds | None = None,
    served: tuple[str, str | os.PathLike[str]] | None = None,
    personalities: Sequence[str] = ...,
    limits: Mapping[str, _Seconds] = ...,
) -> StorageLab:
    """The emulated provider on emulated nodes, all of it in this process (`holdfast.storage.emulated`). Raises
    `InvalidArgumentError`.
    """

@final
class StorageService:
    """The lab's own driver, its server or its plugin on a node."""

    def close(self) -> None:
        """Ends it; what its plugin mounted stays."""

def storage_lab(given: Mapping[str, Any]) -> StorageLab:
    """Nodes as namespaces of this machine, with a provider on them (`holdfast.storage.lab`). Raises `LabError`,
    `InvalidArgumentError`, and where a plugin does not come up `Timeout`, `ConnectError` or `ExpectationFailed`.
    """

def storage_cluster(given: Mapping[str, Any]) -> StorageLab:
    """The user's own Kubernetes, with the volumes of a StorageClass there (`holdfast.storage.cluster`). Raises
    `LabError` and `InvalidArgumentError`, and what the API refuses as `PermissionDenied` and the like.
    """

def storage_cluster_runs(
    kubeconfig: _Path, context: str | None = None, *, timeout: _Seconds | None = None
) -> list[ClusterRun]:
    """The runs that a Kubernetes has something of. Raises `LabError`, `InvalidArgumentError` or `PermissionDenied`."""

def storage_cluster_allows(
    kubeconfig: _Path,
    context: str | None,
    asked: Sequence[tuple[str, str, str]],
    *,
    timeout: _Seconds | None = None,
) -> tuple[str, str, list[bool]]:
    """The version and address of a Kubernetes, and whether it allows each of these: API group, resource (`pods/log`)
    and verb (SelfSubjectAccessReview). Raises `LabError`, `InvalidArgumentError` or `PermissionDenied`.
    """

def storage_cluster_members(
    kubeconfig: _Path,
    context: str | None,
    nodes: Sequence[str],
    selector: str | None,
    storage_class: str,
    *,
    timeout: _Seconds | None = None,
) -> tuple[list[str], str]:
    """The nodes that a run would take, and the provisioner of a StorageClass. Raises `LabError`, `PermissionDenied`,
    and `InvalidArgumentError` where a node cannot have tasks, or there is no such class.
    """

def storage_cluster_end(
    kubeconfig: _Path, context: str | None, namespace: str, *, timeout: _Seconds | None = None
) -> None:
    """Undoes what a run did to nodes, and removes what it made. Raises `LabError`, which says what stayed."""

def storage_hosts(given: Mapping[str, Any]) -> StorageLab:
    """The user's own hosts, with a provider's plugins on them (`holdfast.storage.hosts`). Raises `LabError`,
    `InvalidArgumentError`, and where a plugin does not answer `Timeout`, `ConnectError` or `ExpectationFailed`.
    """

def storage_personalities() -> list[tuple[str, str]]:
    """The healthy ways of the emulated provider, by name, each with its line."""

def storage_rpcs() -> list[str]:
    """The RPCs of CSI that are asked, by name."""

def storage_lab_lacks() -> str | None:
    """Why there can be no lab on this machine; None where there can."""

def storage_introduce(address: str, *, mask: Mask, timeout: _Seconds) -> dict[str, Any]:
    """What the plugin at an address says of itself, of CSI or of Docker's plugin protocol: `holdfast.storage.provider`
    makes an `Introduction` of it. What `mask` hides is not in it. Nothing is made, mounted or removed. Raises
    `ConnectError`, `Timeout`, `InvalidArgumentError`, or `ExpectationFailed` where it speaks neither.
    """

def storage_server(listen: str, exports: str, folder: str | os.PathLike[str]) -> StorageService:
    """The server of the lab's own driver: volumes in `folder`, CSI on `listen`, their data on `exports`.
    Raises `InvalidArgumentError`.
    """

def storage_plugin(
    endpoint: str | os.PathLike[str],
    node: str,
    server: str,
    folder: str | os.PathLike[str],
    *,
    timeout: _Seconds,
) -> StorageService:
    """Its plugin on `node`: CSI on the unix socket `endpoint`, volumes from `server`, in time. Raises
    `InvalidArgumentError`, `Timeout` or `ConnectError`.
    """
