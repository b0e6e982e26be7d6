"""One thing asked of several devices at once: each answers under its name, and one that fails hides no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from holdfast import exit_codes, visible, waiting
from holdfast.cli.shared import complain
from holdfast.exceptions import HoldfastError

if TYPE_CHECKING:
    from holdfast import Device

Answer = TypeVar("Answer")
# How many answers of all devices wait to be shown; then the devices are held up.
WAITING = 64
# How long they may take to end, in seconds: one that is being dialled takes a while.
ENDING = 6


@dataclass(frozen=True)
class Place:
    """Where a device is; its name is empty where no other is asked beside it."""

    name: str
    connect: Callable[[], Device]


@dataclass(frozen=True)
class Reply(Generic[Answer]):
    """What came of a device: an answer, or why no further comes."""

    place: Place
    answer: Answer | None = None
    error: BaseException | None = None
    over: bool = False


def answers(places: Sequence[Place], ask: Callable[[Device], Iterator[Answer]]) -> Iterator[Reply[Answer]]:
    """What all of them answer, as it comes; each has a thread. Who stops reading ends their sessions."""
    came: Queue[Reply[Answer]] = Queue(WAITING)
    sessions: list[Device] = []

    def follow(place: Place) -> None:
        try:
            device = place.connect()
            sessions.append(device)
            for answer in ask(device):
                came.put(Reply(place, answer))
        except BaseException as error:  # noqa: BLE001 - whoever reads raises it
            came.put(Reply(place, error=error, over=True))
        else:
            came.put(Reply(place, over=True))

    threads = [threading.Thread(target=follow, args=(place,), daemon=True) for place in places]
    for thread in threads:
        thread.start()
    try:
        left = len(places)
        while left:
            reply = came.get()
            left -= reply.over
            if reply.error is not None and (len(places) == 1 or not isinstance(reply.error, HoldfastError)):
                raise reply.error
            if reply.error is not None or not reply.over:
                yield reply
    finally:
        end(sessions, threads, came)


def end(sessions: Sequence[Device], threads: Sequence[threading.Thread], came: Queue[Any]) -> None:
    """Close the sessions, so that the threads end: one that outlived the interpreter would take the process down."""

    def ended() -> bool:
        with suppress(Empty):
            while True:
                came.get_nowait()  # else one that has something to say waits for who reads no more
        return not any(thread.is_alive() for thread in threads)

    for session in sessions:
        session.close()
    waiting.until(ended, ENDING, look=0.01)


def one_each(places: Sequence[Place], ask: Callable[[Device], Answer]) -> list[Reply[Answer]]:
    """One answer of each, in their order."""
    came = {reply.place.name: reply for reply in answers(places, lambda device: iter((ask(device),)))}
    return [came[place.name] for place in places]


def fail(failed: Sequence[Reply[Answer]]) -> None:
    """Say what failed, each under its name, and end with the gravest exit code; nothing where all went well."""
    codes = []
    for reply in failed:
        if isinstance(reply.error, HoldfastError):
            complain(reply.error, visible.line(reply.place.name))
            codes.append(exit_codes.ending_of(reply.error).command)
    if codes:
        click.get_current_context().exit(max(codes))
