"""`holdfast.connect`: a blocking session with one device."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from holdfast import _core, proxies
from holdfast.arguments import ConnectOptions, Seconds, hide_secrets, refuse_unknown, shown
from holdfast.deadlines import given
from holdfast.exceptions import InvalidArgumentError
from holdfast.metadata import Metadata
from holdfast.secret import Secret
from holdfast.tls import Tls

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from holdfast._core import Device
    from holdfast.profiles import Profile
    from holdfast.results import ControlProcessor


@dataclass(frozen=True)
class Connection:
    """What `connect` was given; a password or the like that is a function was called for."""

    address: str
    gnoi: str | None = None
    username: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    metadata: Metadata = field(default_factory=Metadata)
    proxy: Secret | None = None
    insecure: bool = False
    tls: Tls | bool | None = None
    name: str | None = None
    profile: str = "generic"
    container_host: str | None = None
    silence: Seconds | None = None
    dial_timeout: Seconds | None = None
    call_timeout: Seconds | None = None
    deadlines: Mapping[str, Seconds] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("silence", "dial_timeout", "call_timeout"):
            time = getattr(self, name)
            if time is not None and given(time, name) <= 0:
                raise InvalidArgumentError(f"{name}={time!r}: give seconds, more than none")
        if not isinstance(self.deadlines, Mapping):
            raise InvalidArgumentError(f"deadlines={self.deadlines!r}: give a mapping of steps to seconds")
        for step, time in self.deadlines.items():
            given(time, f"deadlines[{step!r}]")
        if self.tls is False:
            raise InvalidArgumentError(
                "tls=False does not say what to use instead of TLS", hint="give insecure=True for plaintext"
            )
        object.__setattr__(self, "metadata", Metadata.of(self.metadata.revealed()))
        for name, what in (("password", "a password"), ("token", "a token"), ("proxy", "a proxy")):
            secret = getattr(self, name)
            if secret is not None:
                object.__setattr__(self, name, secret.fetched())
                getattr(self, name).reveal(what)

    @classmethod
    def of(cls, address: str, options: ConnectOptions) -> Connection:
        """What `connect` was given, whose secrets are hidden. Raises `InvalidArgumentError`."""
        refuse_unknown("connect", ConnectOptions, options)
        told: dict[str, Any] = {
            **options,
            "metadata": options.get("metadata") or Metadata(),
            "deadlines": options.get("deadlines") or {},
        }
        return cls(address, **told)

    def options(self) -> dict[str, Any]:
        """The core's options. Raises `InvalidArgumentError`, and what reading the profile raises."""
        from holdfast import profiles

        tls = None if isinstance(self.tls, bool) else self.tls
        if tls is not None and tls.skip_verify:
            logging.getLogger("holdfast").warning("%s: skip_verify: whoever answers is trusted", self.address)
        profile = profiles.load(self.profile)
        return {
            "username": self.username,
            "password": self.password,
            "token": self.token,
            "metadata": self.metadata.pairs(),
            "proxy": proxies.chosen(self.proxy, self.address, *((self.gnoi,) if self.gnoi else ())),
            "insecure": self.insecure,
            "tls": tls,
            "name": self.name,
            "gnoi": self.gnoi,
            "dial_timeout": self.dial_timeout,
            "call_timeout": self.call_timeout,
            "more_time": more_time(profile),
            "deadlines": list(self.deadlines.items()),
            "dial_interval": profile.dial_interval,
            "silence": self.silence if self.silence is not None else profile.silence,
            "name_only": profile.name_only,
            "container_host": self.container_host or profile.container_host,
            "fresh_connection": profile.fresh_connection,
        }

    def without_profile(self) -> Connection:
        """The same to a device of which nothing is known."""
        return replace(self, profile="generic")

    def recognising(self, roles: Sequence[ControlProcessor]) -> Connection:
        """The same with the profile that fits what a device says of its control processors."""
        from holdfast import profiles

        return replace(self, profile=profiles.recognise(roles).name)


def more_time(profile: Profile) -> list[tuple[str, float]]:
    """What a profile adds to the limits of real devices, in seconds. Raises `InvalidArgumentError`."""
    if unknown := sorted(set(profile.deadlines) - set(_core.deadline_steps())):
        raise InvalidArgumentError(f"profile {profile.name}: there is no step {unknown[0]!r}")
    return list(profile.deadlines.items())


@shown(ConnectOptions, Connection, "address")
def connect(address: str, **options: Unpack[ConnectOptions]) -> Device:
    """Reach the device at `HOST[:PORT][,HOST…]` (port 9339 if none is given).

    Several addresses are one for each control processor: the session finds the one in charge and follows it. `gnoi` is
    where gNOI is served, if that is elsewhere. TLS is the default, with the system's trusted signers;
    `tls=holdfast.Tls(…)` says otherwise, `insecure=True` means plaintext. `token` is a bearer token (`authorization:
    Bearer …`), beside a user or without one; `metadata` is sent with each call as it is, bytes for keys in `-bin`.
    `proxy` is `http://[USER:PASSWORD@]HOST:PORT` (CONNECT) or `socks5://…`: it resolves the device's name, and is on
    the way to all its addresses and containers; `environment` takes what HTTPS_PROXY, ALL_PROXY and NO_PROXY say, which
    are not heeded without it. A password, token, value or proxy that is a function is called for it, once, and none is
    ever shown. `profile` is a vendor's, by name, as a YAML file, or `auto` for what the device says it is (one more
    request). `container_host` is where containers' ports are, if not on the device's own address. `silence` is how long
    it may say nothing to a call, outside of a failover, before the session dials beside it (2 s, or the profile's); the
    call itself ends only once the device is proved gone, or by its timeout. `deadlines` sets the limits of steps such
    as `switchover` or `reboot`, in place of the profile's; without, an emulated device's are shorter. Raises
    `ConnectError` within `dial_timeout` (5 s if none is given), `CertificateError`, `ProxyError`, `Timeout`, and
    `InvalidArgumentError` for what makes no sense.

    >>> with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
    ...     [cp.role for cp in dut.control_processors()]
    ['PRIMARY', 'SECONDARY']
    """
    options = hide_secrets(options)
    asked = Connection.of(address, options)
    if asked.profile == "auto":
        from holdfast import profiles

        with _core.connect(address, asked.without_profile().options()) as dut:
            asked = asked.recognising(profiles.shown(dut, timeout=asked.call_timeout))
    return _core.connect(address, asked.options())
