"""Waiting for a condition, always with a limit: the only file of Python's that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar, cast

# From one look to the next, in seconds, unless a caller says otherwise.
LOOK = 0.05

Found = TypeVar("Found")


def until(condition: Callable[[], Found], limit: float, *, look: float = LOOK) -> Found:
    """Look until `condition()` is true or `limit` seconds have passed; what it returned last.

    It is called at least once, and once more after the limit. `look` is the seconds from one look to the next.

    >>> until(lambda: "ready", limit=1)
    'ready'
    >>> until(lambda: None, limit=0.01) is None
    True
    """
    found = None
    for _ in looks(limit, look=look):
        found = condition()
        if found:
            break
    return cast("Found", found)


def looks(limit: float, *, look: float = LOOK) -> Iterator[bool]:
    """Come round once for each look until `limit` seconds have passed; whether it is the last, which comes after that.

    >>> list(looks(limit=0))
    [True]
    """
    deadline = time.monotonic() + limit
    while (left := deadline - time.monotonic()) > 0:
        yield False
        time.sleep(min(look, left))
    yield True


def left(end: float) -> float:
    """Seconds until `end` on the monotonic clock, as the limit of one more call: never so few that it could not answer.

    >>> left(end=0)
    0.05
    """
    return max(0.05, end - time.monotonic())


def watch(condition: Callable[[], object], limit: float, *, look: float = LOOK) -> float | None:
    """Look for `limit` seconds whether `condition()` stays true; after how many seconds it ended, or None.

    >>> watch(lambda: True, limit=0.01) is None
    True
    """
    begin = time.monotonic()
    while condition():
        left = begin + limit - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(look, left))
    return time.monotonic() - begin
