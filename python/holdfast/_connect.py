"""`holdfast.connect`: a blocking session with one device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from holdfast import _core
from holdfast.exceptions import InvalidArgumentError
from holdfast.tls import Tls

if TYPE_CHECKING:
    from holdfast.profiles import Profile
    from holdfast.results import ControlProcessor

Seconds = float | timedelta


def connect(
    address: str,
    *,
    gnoi: str | None = None,
    username: str | None = None,
    password: str | Callable[[], str] | None = None,
    insecure: bool = False,
    tls: Tls | bool | None = None,
    name: str | None = None,
    profile: str = "generic",
    container_host: str | None = None,
    dial_timeout: Seconds | None = None,
    call_timeout: Seconds | None = None,
    deadlines: Mapping[str, Seconds] | None = None,
) -> _core.Device:
    """Reach the device at `HOST[:PORT][,HOST…]` (port 9339 if none is given).

    Several addresses are one for each control processor: the session finds the one in charge and follows it. `gnoi` is
    where gNOI is served, if that is elsewhere. TLS is the default, with the system's trusted signers;
    `tls=holdfast.Tls(…)` says otherwise, `insecure=True` means plaintext. A `password` that is a function is called for
    it, once. `profile` is a vendor's, by name, as a YAML file, or `auto` for what the device says it is (one more
    request). `container_host` is where containers' ports are, if not on the device's own address. `deadlines` sets the
    limits of steps such as `switchover` or `reboot`. Raises `ConnectError` within `dial_timeout` (5 s if none is
    given), `CertificateError`, `Timeout`, and `InvalidArgumentError` for what makes no sense.
    """
    given = dict(locals())
    if profile == "auto":
        with _core.connect(address, arguments({**given, "profile": "generic"})) as dut:
            given["profile"] = recognised(address, dut.control_processors(timeout=call_timeout))
    return _core.connect(address, arguments(given))


def recognised(address: str, roles: Sequence[ControlProcessor]) -> str:
    """The profile that fits what a device says of its control processors; that it is emulated is remembered."""
    from holdfast import _emulator, profiles

    if _emulator.says_emulated(roles):
        _emulator.remember(address)
    return profiles.recognise(roles).name


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """The core's options for what `connect` was given, checked."""
    from holdfast import profiles
    from holdfast._emulator import is_emulated

    tls = given["tls"]
    if tls is False:
        raise InvalidArgumentError("tls=False says nothing of what then", hint="give insecure=True for plaintext")
    tls = None if tls is True else tls
    if tls is not None and tls.skip_verify:
        logging.getLogger("holdfast").warning("%s: skip_verify: whoever answers is trusted", given["address"])
    password = given["password"]
    emulated = is_emulated(given["address"])
    profile = profiles.load(given["profile"]) if given["profile"] != profiles.GENERIC else profiles.Profile("generic")
    passed = ("username", "insecure", "name", "gnoi", "dial_timeout", "call_timeout")
    return {
        **{key: given[key] for key in passed},
        "password": password() if callable(password) else password,
        "tls": tls,
        "emulated": emulated,
        "deadlines": _limits(profile, given["deadlines"] or {}, emulated),
        "dial_interval": profile.dial_interval,
        "name_only": profile.name_only,
        "container_host": given["container_host"] or profile.container_host,
        "fresh_connection": profile.fresh_connection,
    }


def _limits(profile: Profile, given: Mapping[str, Seconds], emulated: bool) -> list[tuple[str, Seconds]]:
    """What the profile adds to real devices' limits, and what the caller says instead."""
    limits: dict[str, Seconds] = {}
    if profile.deadlines and not emulated:
        defaults = _core.deadlines(emulated=False)
        if unknown := sorted(set(profile.deadlines) - set(defaults)):
            raise InvalidArgumentError(f"profile {profile.name}: there is no step {unknown[0]!r}")
        limits = {step: defaults[step] + more for step, more in profile.deadlines.items()}
    return list({**limits, **given}.items())
