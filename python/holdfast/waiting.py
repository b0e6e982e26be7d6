"""Waiting for a condition, always with a limit: the only file of Python's that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

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
    deadline = time.monotonic() + limit
    while True:
        left = deadline - time.monotonic()
        found = condition()
        if found or left <= 0:
            return found
        time.sleep(min(look, left))


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
