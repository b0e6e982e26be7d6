"""`holdfast.connect`: a blocking session with one device."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from holdfast import _core
from holdfast.exceptions import InvalidArgumentError

Seconds = float | timedelta


def connect(
    address: str,
    *,
    username: str | None = None,
    password: str | None = None,
    insecure: bool = False,
    tls: None = None,
    name: str | None = None,
    profile: str = "generic",
    dial_timeout: Seconds | None = None,
    call_timeout: Seconds | None = None,
    deadlines: Mapping[str, Seconds] | None = None,
) -> _core.Device:
    """Reach the device at `HOST[:PORT][,HOST…]` (port 9339 if none is given).

    `insecure=True` means plaintext, the only transport so far. `deadlines` sets the limits of steps such as
    `switchover` or `reboot`. Raises `ConnectError` within `dial_timeout` (5 s if none is given), `Timeout`, and
    `InvalidArgumentError` for what makes no sense.
    """
    return _core.connect(address, **arguments(locals()))


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """The core's arguments for those of `connect`, checked."""
    if given["tls"] is not None:
        raise InvalidArgumentError("tls= is not built yet", hint="give insecure=True for plaintext")
    if given["profile"] != "generic":
        raise InvalidArgumentError(
            f"there is no profile {given['profile']!r}", hint="vendors' profiles are not built yet"
        )
    from holdfast._emulator import is_emulated

    passed = ("username", "password", "insecure", "name", "dial_timeout", "call_timeout")
    return {
        **{key: given[key] for key in passed},
        "deadlines": list((given["deadlines"] or {}).items()),
        "emulated": is_emulated(given["address"]),
    }
