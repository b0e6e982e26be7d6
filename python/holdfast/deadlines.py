"""Times as people write them: `20m`, `1.5s`, or a number of seconds; and as programs give them."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any

from holdfast.exceptions import InvalidArgumentError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
# A year: what is longer was meant otherwise.
LONGEST = 366 * 24 * 3600.0


def seconds(time: str | float) -> float:
    """The seconds of a time such as `20m` or `0.5`. Raises `ValueError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", str(time))
    if not found:
        raise ValueError(f"{time!r} is no time: write a number and ms, s, m or h")
    length = float(found[1]) * _UNITS[found[2]]
    if length > LONGEST:
        raise ValueError("that is longer than a year")
    return length


def shown(length: float) -> str:
    """A time as people write it.

    >>> shown(90), shown(600), shown(0.5)
    ('90s', '10m', '500ms')
    """
    if length < 1:
        return f"{length * 1000:g}ms"
    unit, size = next(((unit, size) for unit, size in (("h", 3600), ("m", 60)) if length % size == 0), ("s", 1))
    return f"{length / size:g}{unit}"


def given(value: Any, where: str) -> float:
    """The seconds of a time that a program gave: a number, or a timedelta. Raises `InvalidArgumentError`.

    >>> given(timedelta(minutes=1), "outage")
    60.0
    """
    try:
        length = value.total_seconds() if isinstance(value, timedelta) else _number(value)
    except (TypeError, ValueError, OverflowError):
        length = math.nan
    if not 0 <= length <= LONGEST:
        raise InvalidArgumentError(
            f"{where}={value!r}: give seconds from 0 to {LONGEST:.0f}, as a number or a timedelta"
        )
    return length


def _number(value: Any) -> float:
    if isinstance(value, str | bytes | bool):
        raise TypeError
    return float(value)
