# Long because it is a class for each thing that calls return, and callers find all of them here.
"""What calls return: small, frozen, with equality and a useful repr. Durations are seconds, sizes are bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from holdfast import visible
from holdfast.picture import svg
from holdfast.tables import Rows as Rows  # noqa: PLC0414 - callers find it here
from holdfast.tables import Shown as Shown  # noqa: PLC0414

if TYPE_CHECKING:
    from holdfast.gnmi import Extension


def same_id(one: str, other: str) -> bool:
    """Whether two image ids name the same image; listings may shorten them to twelve digits or more."""
    from holdfast import _core

    return _core.same_image_id(one, other)


@dataclass(frozen=True, slots=True)
class ControlProcessor(Shown):
    """A control processor, by gNMI. What the device does not report is None."""

    name: str
    role: str
    ready: bool | None = None
    boot_time: datetime | None = None
    last_switchover_time: datetime | None = None
    software_version: str | None = None


@dataclass(frozen=True, slots=True)
class Image(Shown):
    """A row of ListImage. Where a device joins the tags of several names into one row, `tags` has several; where it
    joins whole names, `app:1,other:2`, each is a row here.

    `id` is what the device lists. `digests` are others that mean the same image (of its configuration, manifest or
    index), as far as its name says or the archives show that were deployed in this session.
    """

    id: str
    name: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def tag(self) -> str:
        """The only tag, or the first of several."""
        return self.tags[0] if self.tags else ""

    def has_id(self, image_id: str) -> bool:
        """Whether `image_id` is a digest of this image, as listed or known by its archive; it may be shortened."""
        return any(same_id(known, image_id) for known in (self.id, *self.digests))

    def may_be(self, name: str, tag: str) -> bool:
        """Whether this row may be of that name: written short or in full, or one of several that a device joined."""
        from holdfast import _core

        return tag in self.tags and (len(self.tags) > 1 or _core.same_image_name(self.name, name))


class Images(Rows[Image]):
    """The rows of ListImage; `in` takes an id, `name:tag`, or anything with an `id`."""

    __slots__ = ()

    def __contains__(self, wanted: object) -> bool:
        wanted_id = getattr(wanted, "id", None)
        if wanted_id:
            return any(image.has_id(wanted_id) for image in self)
        if isinstance(wanted, str):
            if any(image.has_id(wanted) for image in self):
                return True
            name, _, tag = wanted.rpartition(":")
            named = (name, tag) if name and "/" not in tag else (wanted, "latest")
            return any(image.may_be(*named) for image in self)
        return super().__contains__(wanted)


@dataclass(frozen=True, slots=True)
class Container(Shown):
    """A row of ListContainer. `status` is RUNNING, STOPPED, PRESENT, NOT_FOUND or UNSPECIFIED.

    `aliases` are further names, such as `other/alias`, by which a link of Docker's knows it.
    """

    id: str
    name: str
    image: str
    status: str
    labels: dict[str, str] = field(default_factory=dict, hash=False)
    aliases: tuple[str, ...] = field(default=(), repr=False)

    def is_named(self, name: str) -> bool:
        """Whether that is its name, or one of its further ones."""
        return name == self.name or name in self.aliases

    @property
    def running(self) -> bool:
        """Whether the listing says RUNNING."""
        return self.status == "RUNNING"


@dataclass(frozen=True, slots=True)
class Volume(Shown):
    """A row of ListVolume."""

    name: str
    created: datetime | None = None
    driver: str = ""
    options: dict[str, str] = field(default_factory=dict, hash=False)
    labels: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Plugin(Shown):
    """A row of ListPlugins."""

    id: str
    instance_name: str
    config: str = ""


@dataclass(frozen=True, slots=True)
class Event(Shown):
    """Something on a timeline, and how often it was repeated; `at` is in seconds since the timeline began.

    `text` is for people. Programs take `fields`, which go by `kind`: of a `call` there are `call` and `status` (`OK`
    or a gRPC status by its name), of a `dial` or `connection` its `address`, of `gnmi` a `control_processor` and its
    `role`, and of an `outage` that ended its length in seconds, `outage`.
    """

    at: float
    time: datetime
    kind: str
    text: str
    repeated: int = 0
    fields: Mapping[str, str | float] = field(default_factory=dict, repr=False, hash=False)

    def __str__(self) -> str:
        again = f" (and {self.repeated} times more)" if self.repeated else ""
        return f"{self.at:9.3f} s  {self.kind:<12} {visible.line(self.text)}{again}"


class Timeline(tuple[Event, ...]):
    """What was asked of a device and what was seen, oldest first. A notebook shows it as a picture."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(str(event) for event in self)

    def svg(self) -> str:
        """As a picture: a lane for each control processor, absences, calls, what was done; what it is, on hover."""
        return svg(self)

    _repr_svg_ = svg


@dataclass(frozen=True, slots=True)
class Outage(Shown):
    """From the last good answer to the first good answer, in seconds on the timeline."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long nothing answered."""
        return self.ended - self.began

    def __str__(self) -> str:
        return f"{self.seconds:.3f} s"


@dataclass(frozen=True, slots=True)
class Unchecked(Shown):
    """Something that was not looked at, and why; as text `what: why`."""

    what: str
    why: str = ""

    def __str__(self) -> str:
        return visible.line(f"{self.what}: {self.why}" if self.why else self.what)


@dataclass(frozen=True, slots=True)
class Switchover(Shown):
    """A switchover that really happened. `outage` is None where the device never was away."""

    origin: str
    target: str
    outage: Outage | None
    witnesses: tuple[str, ...]
    not_checked: tuple[Unchecked, ...]
    timeline: Timeline = field(repr=False, compare=False, default=Timeline())


@dataclass(frozen=True, slots=True)
class Reboot(Shown):
    """A reboot that really happened."""

    outage: Outage | None
    witnesses: tuple[str, ...]
    not_checked: tuple[Unchecked, ...]
    timeline: Timeline = field(repr=False, compare=False, default=Timeline())


@dataclass(frozen=True, slots=True)
class RebootStatus(Shown):
    """RebootStatus; `wait` is in seconds."""

    active: bool
    wait: float
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class StatInfo(Shown):
    """A row of gNOI File.Stat. `size` is in bytes; `permissions` and `umask` are octal, in decimal digits: 644.

    `path` is as the device gives it; `last_modified` is None where it gives none.
    """

    path: str
    size: int
    last_modified: datetime | None = None
    permissions: int = 0
    umask: int = 0


@dataclass(frozen=True, slots=True)
class Downloaded(Shown):
    """A file of the device's that is on this machine now, at `path`; `name` is what the device calls it.

    `size` is in bytes. `hash` is what the device says of it (`SHA256:…`), or empty; `verified` whether it is that, or
    None where the device gives no hash of a known kind. `kind` is file, or for an artifact of Healthz what that is of:
    file, proto, custom or unknown.
    """

    path: str
    name: str
    kind: str
    size: int
    hash: str = ""
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Artifact(Shown):
    """What the device collected on an event of Healthz. `kind` is file, proto, custom or unknown.

    Of a file it says its `name`, its `path` on the device, its `mimetype` and its `size` in bytes, as far as it does.
    """

    id: str
    kind: str
    name: str = ""
    path: str = ""
    mimetype: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class ComponentStatus(Shown):
    """An event of gNOI Healthz, or a component's health now. `status` is HEALTHY, UNHEALTHY or UNSPECIFIED.

    `component` is its name, or its path where that is of something else. `expires` is when the device removes what it
    collected. `subcomponents` are what the status is made of.
    """

    component: str
    status: str
    id: str = ""
    created: datetime | None = None
    expires: datetime | None = None
    acknowledged: bool = False
    artifacts: tuple[Artifact, ...] = ()
    subcomponents: tuple[ComponentStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class PingSummary(Shown):
    """The summary of gNOI System.Ping; times are in seconds."""

    sent: int
    received: int
    min_time: float
    avg_time: float
    max_time: float


@dataclass(frozen=True, slots=True)
class Capabilities(Shown):
    """gNMI Capabilities; `models` are (name, version)."""

    version: str
    encodings: tuple[str, ...]
    models: tuple[tuple[str, str], ...]
    extensions: tuple[Extension, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Record(Shown):
    """A record of the test container's ledger; `hash` binds it to all before it, `block` is its 4 KiB on the disk."""

    number: int
    writer: str
    payload: bytes
    hash: str
    block: bytes = field(repr=False, compare=False, default=b"")


@dataclass(frozen=True, slots=True)
class StorageProvider(Shown):
    """Who gives volumes: what it can do, what of it is our own (`emulated`), and who runs tasks (`runner`).

    `tells_unmounts`: whether the runner tells what came of an unmount. A container engine keeps that to itself.
    `lacks` says why it cannot be qualified, and is empty where it can; `fault` what it did wrong before it could be
    asked for anything, and is empty where it did not; `minimum` is its smallest volume in bytes, 0 where it does not
    tell; `unasked` are capabilities of its protocol that it has and no scenario asks for.
    """

    name: str
    version: str
    capabilities: frozenset[str]
    emulated: str
    runner: str
    tells_unmounts: bool
    lacks: str = ""
    fault: str = ""
    minimum: int = 0
    unasked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StorageCalls(Shown):
    """The calls of one RPC to a provider: their `limit` and the `slowest` that was answered, in seconds, all attempts
    together; how many there were, and how many attempts beside the first ones (`repeated`).
    """

    name: str
    limit: float
    calls: int
    repeated: int
    slowest: float


@dataclass(frozen=True, slots=True)
class StorageSpace(Shown):
    """How much there is `total`, `used` and `available` of bytes, or of inodes.

    `used` and `available` are 0 also where the provider does not tell.
    """

    total: int
    used: int
    available: int


@dataclass(frozen=True, slots=True)
class StorageStatistics(Shown):
    """What a node's plugin counts on a mounted volume (CSI's NodeGetVolumeStats); None what it does not tell.

    `abnormal` is the volume's condition as the plugin sees it, and `message` what it says of that.
    """

    bytes: StorageSpace | None
    inodes: StorageSpace | None
    abnormal: bool | None
    message: str


@dataclass(frozen=True, slots=True)
class ClusterRun(Shown):
    """A run that a Kubernetes has something of, by its namespace: its id, the machine it was started on, that
    machine's word for its process, and since when, as the cluster says.
    """

    namespace: str
    run: str
    machine: str
    process: str
    since: str


@dataclass(frozen=True, slots=True)
class StorageLeftover(Shown):
    """What is left of a volume or its tasks, and on which node: a `mount`, `process`, `container`, `device`,
    `attachment`, or the `path` that it was mounted at.

    `name` is what it is called: a mount by its place or its volume, a path by its place, an attachment by its volume.
    As text, its `words`.
    """

    kind: str
    name: str
    node: str
    words: str = field(repr=False, compare=False, default="")

    def __str__(self) -> str:
        return visible.line(self.words)


@dataclass(frozen=True, slots=True)
class LedgerFinding(Shown):
    """Something that must not be on a volume (docs/ledger.md says what each `kind` means); as text, its `words`.

    `record` is the number of the record that it is about: of a loss at the end, the last one before; None where none
    is left.
    """

    kind: str
    record: int | None
    words: str = field(repr=False, compare=False, default="")

    def __str__(self) -> str:
        return visible.line(self.words)


@dataclass(frozen=True, slots=True)
class LedgerVerdict(Shown):
    """What the judge found on a volume (docs/ledger.md): counts of records, and each finding.

    `bytes`, how many of them are `used`, `filesystem` and `mount_options` are the volume's, as far as its node can
    tell.
    """

    acknowledged: int
    lost: int
    altered: int
    stale: int
    findings: tuple[LedgerFinding, ...]
    bytes: int | None
    used: int | None
    filesystem: str | None
    mount_options: tuple[str, ...] | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its findings."""
        return frozenset(finding.kind for finding in self.findings)


@dataclass(frozen=True, slots=True)
class ContainerDescription(Shown):
    """What the test container sees of itself.

    `writer` is its incarnation, `environment` its variables whose names begin with HOLDFAST_; `mounted` and `writable`
    are about the volume that its ledger is on.
    """

    writer: str
    environment: dict[str, str]
    mounted: bool
    writable: bool


@dataclass(frozen=True, slots=True)
class Dialled(Shown):
    """What a container was told where it dialled; `asked` is `ping`, `gnmi`, `gribi` or `nothing`.

    `time` is the clock of the container that it pinged, `capabilities` are gNMI's, `response` is the first message of
    gRIBI's Get in bytes. What was not asked for is None.
    """

    asked: str
    time: datetime | None = None
    capabilities: Capabilities | None = None
    response: bytes | None = None


@dataclass(frozen=True, slots=True)
class Leaf(Shown):
    """A leaf of gNMI; `value` is None where it was deleted.

    `timestamp` is the device's, in nanoseconds since 1970, and `time` the same to the microsecond. `target` is the
    device that it is of, where the request named one.
    """

    path: str
    value: Any
    time: datetime | None = None
    timestamp: int | None = field(default=None, repr=False, compare=False)
    target: str = field(default="", repr=False)


class Leaves(Rows[Leaf]):
    """What a Get or a Subscribe ONCE was answered with, and the extensions of the answer."""

    extensions: tuple[Extension, ...] = ()


class Updates(Rows[Leaf]):
    """What came over a subscription at once: leaves; none where all there was at the start has come (it equals `()`).

    Where `resumed`, none came: the subscription broke off (`why`) and was made again. What changed meanwhile is
    unknown; the current values come anew.
    """

    resumed: bool = False
    why: str = ""
    extensions: tuple[Extension, ...] = ()

    @classmethod
    def marker(cls, why: str) -> Updates:
        """That the subscription was made again."""
        made = cls()
        made.resumed, made.why = True, why
        return made

    def __eq__(self, other: object) -> bool:
        return self.resumed == getattr(other, "resumed", False) and super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple(self), self.resumed))

    def __str__(self) -> str:
        if not self.resumed:
            return super().__str__()
        return f"-- the subscription broke off ({self.why!r}) and was made again; what was missed is unknown --"

    def __repr__(self) -> str:
        return f"Updates(resumed=True, why={self.why!r})" if self.resumed else super().__repr__()


class LogLine(str):  # noqa: SLOT000 - what a marker knows beside its text
    """A line of a container's log.

    Where `resumed`, it is none of the log: the log broke off (`why`) and is read anew, from its beginning, for Log
    cannot ask for less. What came before comes again, and what the container logged meanwhile may be missing. `cut` is
    the beginning of a line whose end never came. The text says the same, for people.
    """

    resumed: bool = False
    why: str = ""
    cut: str | None = None

    @classmethod
    def marker(cls, why: str, cut: str | None = None) -> LogLine:
        """That the log is read anew."""
        within = f", in the middle of the line {cut!r}" if cut is not None else ""
        made = cls(f"-- the log broke off{within} ({why!r}) and is read anew; what was missed is unknown --")
        made.resumed, made.why, made.cut = True, why, cut
        return made


@dataclass(frozen=True, slots=True)
class Layer(Shown):
    """A layer in an archive."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class ArchiveImage(Shown):
    """An image in an archive.

    `id` is the digest of its configuration; `digests` has all that runtimes may list it by: that, and those of its
    manifest and index where the archive has them. `platform` is empty where the configuration names none. `not_names`
    stand among its names and can be no target, such as `app@sha256:…` or `<none>:<none>`.
    """

    id: str
    names: tuple[str, ...]
    platform: str
    layers: tuple[Layer, ...]
    command: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict, hash=False)
    not_names: tuple[str, ...] = ()
    digests: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Archive(Shown):
    """An image archive that was read to its end and found sound.

    `size` and `unpacked` are in bytes, of the file and of the tar in it. `compression` is none, gzip, bzip2, xz or
    zstd. `layout` is `docker-save` or `OCI`. `notes` say in words what is odd about the file and does no harm.
    """

    path: str
    size: int
    unpacked: int
    compression: str
    layout: str
    images: tuple[ArchiveImage, ...]
    notes: tuple[str, ...] = ()

    @property
    def gzip(self) -> bool:
        """Whether the file is compressed with gzip."""
        return self.compression == "gzip"

    def image(self, platform: str | None = None) -> ArchiveImage:
        """The only image, or that for a platform such as `linux/arm64`.

        Raises `ImageError`, which names what there is, where that is none or several.
        """
        from holdfast import _core

        named = [(image.platform, next(iter(image.names), image.id)) for image in self.images]
        chosen = _core.archive_choose(self.path, named, platform)
        return self.images[chosen]

    @staticmethod
    def open(path: str | os.PathLike[str]) -> Archive:
        """Read and check an archive (docker-save or OCI layout; plain, gzip, bzip2, xz or zstd).

        Raises `ImageError` for what is no archive, cut short, damaged or hostile.

        >>> holdfast.cntrsrv.write_archive("cntrsrv.tar")
        >>> [image.names for image in holdfast.Archive.open("cntrsrv.tar").images]
        [('cntrsrv_image:latest',)]
        """
        from holdfast import _core

        return _core.archive_open(path)
