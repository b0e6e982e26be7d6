"""One device of a testbed: where it is, how to get in, and its vendor's ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from holdfast.metadata import Metadata
from holdfast.secret import Secret
from holdfast.testbed.lab import Maintenance
from holdfast.tls import Tls

if TYPE_CHECKING:
    from holdfast import Device
    from holdfast.arguments import ConnectOptions


@dataclass(frozen=True)
class InnerNames:
    """How containers name devices: their own, its gNMI and gRIBI (`HOST:PORT`), and how another's containers name it.

    None where it is as usual: `localhost`, there the port of the device's gNMI and 9340, and the host where its
    containers' ports are reached from here.
    """

    host: str | None = None
    gnmi: str | None = None
    gribi: str | None = None
    link: str | None = None


@dataclass(frozen=True)
class Target:
    """Where a device is reached, and how. `address` is `HOST[:PORT][,HOST…]`; limits are seconds.

    `emulated` stands for a device of this process' own, made when the tests begin, and needs no address. `password`,
    `token` and `proxy` (which may have a password in it) are the secret itself or a function that fetches it, and
    `metadata` likewise; none of them appears in a repr.
    """

    name: str
    address: str = ""
    gnoi: str | None = None
    username: str | None = None
    password: str | Secret | Callable[[], str | Secret | None] | None = field(default=None, repr=False)
    token: str | Secret | Callable[[], str | Secret | None] | None = field(default=None, repr=False)
    metadata: Metadata | Callable[[], Metadata] = field(default_factory=Metadata, repr=False)
    proxy: str | Secret | Callable[[], str | Secret | None] | None = field(default=None, repr=False)
    insecure: bool = False
    tls: Tls | None = None
    profile: str = "auto"
    container_host: str | None = None
    silence: float | None = None
    dial_timeout: float | None = None
    deadlines: Mapping[str, float] = field(default_factory=dict)
    allow_disruption: bool = False
    emulated: bool = False
    inner: InnerNames = InnerNames()
    # Where it serves gRIBI, beside the port that is usual.
    gribi_port: int | None = None
    # What of a run it is left out of, and by what it is chosen: `workers` are ids of pytest-xdist's, none means all.
    maintenance: Maintenance | None = None
    workers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    # HOST:PORT of the labgrid coordinator that gives it out, as the place of its name.
    reserve: str | None = None

    def __post_init__(self) -> None:
        for name in ("password", "token", "proxy"):
            if not callable(getattr(self, name)):
                object.__setattr__(self, name, Secret.of(getattr(self, name)))

    def login(self) -> Secret | None:
        """The password, hidden; None without a username, for then it is sent nowhere."""
        if self.username is None:
            return None
        return _fetched(self.password)

    def bearer(self) -> Secret | None:
        """The token, hidden."""
        return _fetched(self.token)

    def way(self) -> Secret | None:
        """The proxy, hidden."""
        return _fetched(self.proxy)

    def sent(self) -> Metadata:
        """What is sent with each call, hidden. Raises `TestbedError` where a value is not where it should be."""
        return self.metadata() if callable(self.metadata) else self.metadata

    def secret(self) -> str | None:
        """The same for everybody to read."""
        found = self.login()
        return None if found is None else found.reveal()

    def connect(
        self, *, profile: str | None = None, deadlines: Mapping[str, float | timedelta] | None = None
    ) -> Device:
        """A session with it. Raises what `holdfast.connect` raises."""
        from holdfast import connect

        options = self.options()
        options["profile"] = profile or self.profile
        options["deadlines"] = {**self.deadlines, **(deadlines or {})}
        return connect(self.address, **options)

    def options(self) -> ConnectOptions:
        """What `holdfast.connect` takes beside the address. Fetches what is secret; raises what that raises."""
        return {
            "gnoi": self.gnoi,
            "name": self.name,
            "username": self.username,
            "password": self.login(),
            "token": self.bearer(),
            "metadata": self.sent(),
            "proxy": self.way(),
            "insecure": self.insecure,
            "tls": None if self.insecure else self.tls,
            "profile": self.profile,
            "container_host": self.container_host,
            "silence": self.silence,
            "dial_timeout": self.dial_timeout,
            "deadlines": self.deadlines,
        }


def _fetched(given: str | Secret | Callable[[], str | Secret | None] | None) -> Secret | None:
    return Secret.of(given() if callable(given) else given)
