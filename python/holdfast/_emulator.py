"""`holdfast.emulator`: an emulated dual-supervisor device in this process, on real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from holdfast import _core, choices
from holdfast.arguments import EmulatorArguments, Encryption, Seconds, hide_users, refuse_unknown, shown
from holdfast.choices import ContainerRuntime
from holdfast.exceptions import InvalidArgumentError
from holdfast.failpoint import Failpoints
from holdfast.options import SETTINGS, nearest
from holdfast.secret import Secret
from holdfast.testbed.target import InnerNames
from holdfast.tls import Tls

if TYPE_CHECKING:
    from typing_extensions import Unpack


DOCKER_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Chassis:
    """What `emulator` was given; what is None is the vendor's personality's, or else usual."""

    listen: str = "auto"
    gnoi_port: int | None = None
    inner_gnmi_port: int | None = None
    inner_gribi_port: int | None = None
    profile: str = "generic"
    names: tuple[str, str] | None = None
    outage: Seconds | None = None
    load: Seconds | None = None
    boot: Seconds | None = None
    reboot: Seconds | None = None
    replication: Seconds | None = None
    runtime: ContainerRuntime = "emulated"
    engine: str | None = None
    black_hole: bool = False
    state: str | os.PathLike[str] | None = None
    space: int | None = None
    chunk_size: int | None = None
    quirks: Sequence[str] = ()
    seed: int = 0
    tls: Encryption = False
    certificates: str | os.PathLike[str] | None = None
    users: Mapping[str, Secret] = field(default_factory=dict)

    def __post_init__(self) -> None:
        usual = {each.name: each.default for each in fields(self)}
        for setting in SETTINGS:
            value = getattr(self, setting.parameter)
            if value is not None or usual[setting.parameter] is not None:
                setting.check(value)
        if not isinstance(self.tls, bool) and self.tls not in choices.words(choices.Encryption):
            raise InvalidArgumentError(f"tls={self.tls!r}: give True, False, 'server' or 'mutual'")
        if not isinstance(self.users, Mapping) or not all(isinstance(name, str) for name in self.users):
            raise InvalidArgumentError("users are names and passwords: give a mapping", hint='users={"admin": "…"}')
        for password in self.users.values():
            password.reveal()

    @classmethod
    def of(cls, options: EmulatorArguments) -> Chassis:
        """What `emulator` was given, whose secrets are hidden. Raises `InvalidArgumentError`."""
        refuse_unknown("emulator", EmulatorArguments, options)
        given: dict[str, Any] = dict(options)
        return cls(**given)

    def options(self) -> dict[str, Any]:
        """The core's options, with what the vendor's personality adds. Raises `InvalidArgumentError`."""
        from holdfast import profiles

        known = self.profile != profiles.GENERIC
        personality = dict(profiles.load(self.profile).emulator) if known else {}
        given = {name: value for name, value in vars(self).items() if name not in ("profile", "tls", "users")}
        chosen = {name: value for name, value in given.items() if value is not None}
        return {
            **dict.fromkeys(given),
            "software": None,
            "core_file": None,
            **personality,
            **chosen,
            "engine": self.engine or engine_address(),
            "names": tuple(self.names or personality.get("names") or ()) or None,
            "quirks": [*personality.get("quirks", ()), *known_quirks(self.quirks)],
            "listen": ",".join(_resolved(part.strip()) for part in self.listen.split(",")),
            "encryption": {False: "none", True: "server"}[self.tls] if isinstance(self.tls, bool) else self.tls,
            "users": list(self.users.items()),
        }


def engine_address() -> str:
    """Where the Docker engine of this machine is, as the `docker` command looks for it."""
    return os.environ.get("DOCKER_HOST") or DOCKER_SOCKET


def known_quirks(names: Sequence[str]) -> Sequence[str]:
    """The same names. Raises `InvalidArgumentError` with the nearest for one that there is not."""
    known = [name for name, _ in _core.quirk_names()]
    for name in (name for name in names if name not in known):
        advice = nearest(name, known, "`holdfast quirks` lists them")
        raise InvalidArgumentError(f"there is no quirk {name!r}", hint=advice)
    return names


def host_of(address: str) -> str:
    """The host of a chassis' (first) address."""
    return address.partition(",")[0].rpartition(":")[0]


def inner_of(gnmi: str, gribi: str, container_host: str | None) -> InnerNames:
    """How the containers of a chassis name it: by the address of their ports."""
    host = container_host or gnmi.rpartition(":")[0]
    return InnerNames(host=host, gnmi=gnmi, gribi=gribi, link=host)


class Emulator(Failpoints):
    """An emulated device that runs until it is stopped; a context manager. Its failpoints are armed on it."""

    def __init__(self, core: _core.Chassis, *, tls: bool = False) -> None:
        super().__init__(core)
        self._core = core
        # What `connect(tls=…)` takes to reach it; None where it speaks plaintext.
        self.tls = bundle(core.certificates()) if tls else None
        self.address = core.management_address()
        # Where its gNOI is served; the same, unless `gnoi_port` said otherwise.
        self.gnoi = core.gnoi_address()
        # Where its containers' ports are, if not on its own address.
        self.container_host = core.container_host()

    @property
    def host(self) -> str:
        """The (first) address without its port; containers publish theirs there."""
        return host_of(self.address)

    @property
    def inner(self) -> InnerNames:
        """How its containers name it, and its gNMI and gRIBI, on the control processor that is active now."""
        return inner_of(self._core.inner_gnmi_address(), self._core.inner_gribi_address(), self.container_host)

    @property
    def active(self) -> str:
        """The name of the control processor that is active now."""
        return self._core.active()

    @property
    def control(self) -> str:
        """The socket by which `holdfast.failpoint.control` arms failpoints from another process."""
        return self._core.control()

    def stop(self) -> None:
        """Power it off and close its sockets."""
        self._core.stop()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Emulator (EMULATED) at {self.address}>"


@shown(EmulatorArguments, Chassis)
def emulator(**options: Unpack[EmulatorArguments]) -> Emulator:
    """Power an emulated device on.

    `listen` is `IP:PORT` (port 0 takes a free one), or `auto` for a loopback address of its own; two of them, joined by
    a comma, give each control processor an address. `gnoi_port` serves gNOI apart from gNMI. Its
    containers dial its gNMI and gRIBI at `inner_gnmi_port` and `inner_gribi_port`, over TLS. `profile` makes it play a
    vendor's device; what else is given here goes before that. `outage`, `load`, `boot`, `reboot` and `replication` are
    its timings in seconds. `runtime="docker"` runs its containers in the Docker engine at `engine` (`unix:///PATH`;
    DOCKER_HOST, or else /var/run/docker.sock), where all that is the device's goes when it stops. `black_hole` makes an
    outage silence instead of closed sockets. `state` is a folder that keeps what it stores; `space` is in bytes.
    `quirks` are oddities of servers in the field, by name. `tls=True` serves TLS, `tls="mutual"` wants a client's
    certificate too; what a client needs is written into `certificates` (below `state` if none is given) and is
    `Emulator.tls`. `users` are names and passwords; without any, everybody may log in. Equal `seed`s make the
    failpoints' chance draw equally. Raises `InvalidArgumentError`, and `LabError` where the engine cannot be used.

    >>> with holdfast.emulator(names=("RP0", "RP1"), black_hole=True) as chassis:
    ...     chassis.active
    'RP0'
    """
    options = hide_users(options)
    asked = Chassis.of(options)
    return Emulator(_core.emulator(asked.options()), tls=bool(asked.tls))


def bundle(folder: str | os.PathLike[str]) -> Tls:
    """What a client needs, in a folder that an emulated device wrote it into."""
    place = Path(folder)
    return Tls(ca=place / "ca.pem", cert=place / "client.pem", key=place / "client-key.pem")


def _resolved(listen: str) -> str:
    host, colon, port = listen.rpartition(":")
    if colon and host == "localhost":
        return f"{socket.gethostbyname(host)}:{port}"
    return listen
