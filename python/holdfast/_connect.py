"""`holdfast.connect`: a blocking session with one device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from holdfast import _core
from holdfast.exceptions import InvalidArgumentError
from holdfast.tls import Tls

Seconds = float | timedelta


def connect(
    address: str,
    *,
    username: str | None = None,
    password: str | Callable[[], str] | None = None,
    insecure: bool = False,
    tls: Tls | bool | None = None,
    name: str | None = None,
    profile: str = "generic",
    dial_timeout: Seconds | None = None,
    call_timeout: Seconds | None = None,
    deadlines: Mapping[str, Seconds] | None = None,
) -> _core.Device:
    """Reach the device at `HOST[:PORT][,HOST…]` (port 9339 if none is given).

    TLS is the default, with the system's trusted signers; `tls=holdfast.Tls(…)` says otherwise, `insecure=True` means
    plaintext. A `password` that is a function is called for it, once. `deadlines` sets the limits of steps such as
    `switchover` or `reboot`. Raises `ConnectError` within `dial_timeout` (5 s if none is given), `CertificateError`,
    `Timeout`, and `InvalidArgumentError` for what makes no sense.
    """
    return _core.connect(address, **arguments(locals()))


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """The core's arguments for those of `connect`, checked."""
    tls = given["tls"]
    if tls is False:
        raise InvalidArgumentError("tls=False says nothing of what then", hint="give insecure=True for plaintext")
    tls = None if tls is True else tls
    if tls is not None and tls.skip_verify:
        logging.getLogger("holdfast").warning("%s: skip_verify: whoever answers is trusted", given["address"])
    if given["profile"] != "generic":
        raise InvalidArgumentError(
            f"there is no profile {given['profile']!r}", hint="vendors' profiles are not built yet"
        )
    from holdfast._emulator import is_emulated

    passed = ("username", "password", "insecure", "name", "dial_timeout", "call_timeout")
    password = given["password"]
    return {
        **{key: given[key] for key in passed},
        "password": password() if callable(password) else password,
        "tls": tls,
        "deadlines": list((given["deadlines"] or {}).items()),
        "emulated": is_emulated(given["address"]),
    }
