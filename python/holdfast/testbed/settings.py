"""A device from settings that a framework hands over one by one: every field that a testbed says of how to reach it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import holdfast
from holdfast import options
from holdfast.exceptions import TestbedError
from holdfast.secret import Secret, hidden
from holdfast.testbed import own, schema

if TYPE_CHECKING:
    from holdfast import Device

# What says nothing of a session, but of what a run of pytest may do.
_OF_A_RUN = ("allow_disruption", "emulated", "inner", "tags", "workers", *schema.STATE)
KEYS = tuple(key for key in schema.KEYS if key not in _OF_A_RUN)


def connect(
    where: str, given: Mapping[str, Any], *, password: Secret | None = None, token: Secret | None = None
) -> Device:
    """A session with the device that `given` describes, in which None means that nothing was said.

    Raises `TestbedError`, which begins with `where`, and what `holdfast.connect` raises.

    Keys are those of a testbed. What is below another may be written with a dot (`tls.ca`, `deadlines.reboot`), and a
    flag as a word. `password` and `token` are the secrets themselves, where the framework has them.
    """
    fields = nested(where, hidden({key: value for key, value in given.items() if value is not None}))
    own.refuse_unknown(where, "a device", fields, KEYS)
    target = own.target(where, "", fields, Path())
    described = target.options()
    described["name"] = None  # its address names it
    if password is not None:
        described["password"] = password
    if token is not None:
        described["token"] = token
    return holdfast.connect(target.address, **described)


def nested(where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a testbed, of keys with a dot where one is below another. Raises `TestbedError`."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        above, dot, below = key.partition(".")
        if not dot:
            found[key] = _read(where, key, value)
            continue
        inside = found.setdefault(above, {})
        if not isinstance(inside, dict):
            raise TestbedError(f"{where}: {above} is said as a whole and by {key}", hint="give one of them")
        inside[below] = _read(where, key, value)
    return found


def _read(where: str, key: str, value: Any) -> Any:
    """A flag may have come as a word."""
    is_flag = any(field.key == key and field.kind == "flag" for field in schema.FIELDS)
    return options.flag(value, f"{where}: {key}") if is_flag and isinstance(value, str) else value
