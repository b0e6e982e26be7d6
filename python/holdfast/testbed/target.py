"""One device of a testbed: where it is, how to get in, and its vendor's ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from holdfast.secret import Secret
from holdfast.tls import Tls

if TYPE_CHECKING:
    from holdfast import Device


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

    `emulated` stands for a device of this process' own, made when the tests begin, and needs no address. `password` is
    the secret itself or a function that fetches it; neither appears in a repr.
    """

    name: str
    address: str = ""
    gnoi: str | None = None
    username: str | None = None
    password: str | Secret | Callable[[], str | Secret | None] | None = field(default=None, repr=False)
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

    def __post_init__(self) -> None:
        if not callable(self.password):
            object.__setattr__(self, "password", Secret.of(self.password))

    def login(self) -> Secret | None:
        """The password, hidden; None without a username, for then it is sent nowhere."""
        if self.username is None:
            return None
        return Secret.of(self.password() if callable(self.password) else self.password)

    def secret(self) -> str | None:
        """The same for everybody to read."""
        found = self.login()
        return None if found is None else found.reveal()

    def connect(
        self, *, profile: str | None = None, deadlines: Mapping[str, float | timedelta] | None = None
    ) -> Device:
        """A session with it. Raises what `holdfast.connect` raises."""
        from holdfast import connect

        return connect(
            self.address,
            gnoi=self.gnoi,
            name=self.name,
            username=self.username,
            password=self.login(),
            insecure=self.insecure,
            tls=None if self.insecure else self.tls,
            profile=profile or self.profile,
            container_host=self.container_host,
            silence=self.silence,
            dial_timeout=self.dial_timeout,
            deadlines={**self.deadlines, **(deadlines or {})},
        )
