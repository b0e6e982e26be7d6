"""Times as people write them: `20m`, `1.5s`, or a number of seconds."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_LONGEST = 366 * 24 * 3600.0


def seconds(time: str | float) -> float:
    """The seconds of a time such as `20m` or `0.5`. Raises `ValueError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", str(time))
    if not found:
        raise ValueError(f"{time!r} is no time: write a number and ms, s, m or h")
    length = float(found[1]) * _UNITS[found[2]]
    if length > _LONGEST:
        raise ValueError("that is longer than a year")
    return length
