"""What gNMI takes and gives beside leaves: paths with a mode of their own, extensions, and what a Set did.

>>> stream = dut.gnmi.stream([
...     holdfast.SubscribedPath("/system/state/boot-time", mode="ON_CHANGE", heartbeat_interval=60),
...     holdfast.SubscribedPath("/system/state", mode="SAMPLE", sample_interval=10, suppress_redundant=True),
... ])
>>> stream.next()[0].path
'/system/state/boot-time'
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from holdfast.choices import StreamMode
from holdfast.deadlines import given
from holdfast.tables import Shown

Seconds = float | timedelta

_EXTENSION = "gnmi_ext.Extension"
# The numbers that have a name.
_REGISTERED = {"EID_UNSET": 0, "EID_EXPERIMENTAL": 999}


@dataclass(frozen=True, slots=True)
class SubscribedPath(Shown):
    """A path of a STREAM, and when it is told; intervals are seconds.

    SAMPLE needs a `sample_interval`: 0 is as often as the device can. `suppress_redundant` leaves samples out that
    equal the one before; after each `heartbeat_interval` a value is told again, changed or not.
    """

    path: str
    mode: StreamMode = "TARGET_DEFINED"
    sample_interval: Seconds | None = None
    heartbeat_interval: Seconds | None = None
    suppress_redundant: bool = False

    def __post_init__(self) -> None:
        """Raise `InvalidArgumentError` for an interval that is none."""
        for name in ("sample_interval", "heartbeat_interval"):
            if (interval := getattr(self, name)) is not None:
                given(interval, name)


@dataclass(frozen=True, slots=True)
class Extension(Shown):
    """An extension of a gNMI message: a `gnmi_ext.Extension`, `encoded`.

    What this version does not know of it is passed on as it is, to the device and from it.
    """

    encoded: bytes = field(repr=False)

    @classmethod
    def registered(cls, id: int, msg: bytes) -> Extension:
        """A registered one: its number (`EID_EXPERIMENTAL` is 999), and its own message, encoded."""
        return cls.of({"registered_ext": {"id": id, "msg": base64.b64encode(msg).decode("ascii")}})

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Extension:
        """One by its fields, named as in `gnmi_ext.proto`. Raises `InvalidArgumentError` for what it does not have.

        Extension.of({"master_arbitration": {"role": {"id": "lab"}, "election_id": {"high": 0, "low": 7}}})
        Extension.of({"history": {"snapshot_time": 1700000000000000000}})
        """
        from holdfast import _core

        return cls(_core.message_encoded(_EXTENSION, json.dumps(fields)))

    @property
    def id(self) -> int | None:
        """The number of a registered one; None of any other."""
        found = self.fields.get("registered_ext")
        if found is None:
            return None
        number = found.get("id", 0)
        return _REGISTERED[number] if isinstance(number, str) else int(number)

    @property
    def msg(self) -> bytes | None:
        """The message in a registered one, encoded; None of any other."""
        found = self.fields.get("registered_ext")
        return None if found is None else base64.b64decode(found.get("msg", ""))

    @property
    def fields(self) -> dict[str, Any]:
        """What is known of it, by the names of `gnmi_ext.proto`; bytes are base64."""
        from holdfast import _core

        found: dict[str, Any] = json.loads(_core.message_decoded(_EXTENSION, self.encoded))
        return found

    def __str__(self) -> str:
        return json.dumps(self.fields) if self.fields else f"an extension of {len(self.encoded)} bytes, not known here"

    def __repr__(self) -> str:
        return f"Extension({self})"


@dataclass(frozen=True, slots=True)
class Operation(Shown):
    """What a device says that it did: DELETE, REPLACE, UPDATE or UNION_REPLACE."""

    op: str
    path: str


@dataclass(frozen=True, slots=True)
class Change(Shown):
    """A leaf of the configuration that a Set changed; None where it was not there, or is not any more."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """As a difference: what was, with a minus, and what is, with a plus."""
        signed = (("-", self.before), ("+", self.after))
        return "\n".join(
            f"{sign} {self.path}: {json.dumps(value, default=str)}" for sign, value in signed if value is not None
        )


@dataclass(frozen=True, slots=True)
class SetResult(Shown):
    """What a Set was answered with: an operation for each that was asked, in the device's order.

    `timestamp` is the device's, in nanoseconds since 1970. `changes` is None unless `compare=True` asked for them.
    """

    timestamp: int
    operations: tuple[Operation, ...]
    prefix: str | None = None
    target: str = ""
    changes: tuple[Change, ...] | None = None
    extensions: tuple[Extension, ...] = ()

    @property
    def time(self) -> datetime | None:
        """The time stamp, to the microsecond; None where the device gives none."""
        return datetime.fromtimestamp(self.timestamp / 1e9, timezone.utc) if self.timestamp else None
