"""The same work for several things at once, where whoever does it takes its time for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def at_once(work: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """What `work` makes of each, in their order, once all of it is done; else the first error, by that order.

    >>> list(at_once(str, [1, 2]))
    ['1', '2']
    """
    given = list(given)
    workers = ThreadPoolExecutor(max_workers=max(1, len(given)), thread_name_prefix="holdfast-together")
    try:
        begun = [workers.submit(work, each) for each in given]
        for each in begun:
            each.exception()
    finally:
        # whoever interrupts is not held up by what waits; each work has a limit of its own
        workers.shutdown(wait=False, cancel_futures=True)
    return (each.result() for each in begun)


def all_of(work: Iterable[object]) -> None:
    """Do work of which nothing is wanted."""
    for _ in work:
        pass
