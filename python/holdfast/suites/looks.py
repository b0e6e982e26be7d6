"""What is on a device, in a word each, and waiting until it is so."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from holdfast import Device, waiting
from holdfast.exceptions import ConnectError, ExpectationFailed, HoldfastError, OutcomeUnknown, Timeout
from holdfast.pytest_plugin.case import Case
from holdfast.pytest_plugin.run import ImageUnderTest

# From one look to the next, in seconds.
LOOK = 0.05
ABSENT, THERE, RUNNING, STOPPED = "absent", "there", "running", "stopped"
SILENT, ANSWERING = "silent", "answering"


def look_image(dut: Device, image: ImageUnderTest) -> str:
    """Whether the image is wholly there: by its id and by its name."""
    listed = dut.containerz.images()
    rows = [row for row in listed if row.may_be(image.name, image.tag)]
    by_id = [row for row in listed if row.has_id(image.id)]
    if not rows and not by_id:
        return ABSENT
    if len(rows) == 1 and by_id:
        return THERE if rows[0].has_id(image.id) else "half there: its name is another image's"
    return f"half there: {len(rows)} rows of its name, {len(by_id)} of its id"


def look_container(dut: Device, name: str) -> str:
    """absent, running, stopped, or what else a listing says."""
    found = [held for held in dut.containerz.containers() if held.is_named(name)]
    if not found:
        return ABSENT
    return found[0].status.lower() if len(found) == 1 else f"there {len(found)} times"


def look_volume(dut: Device, name: str) -> str:
    """absent, or there."""
    return times(sum(held.name == name for held in dut.containerz.volumes()))


def look_plugin(dut: Device, name: str) -> str:
    """absent, or there."""
    return times(sum(held.instance_name == name for held in dut.containerz.plugins()))


def times(count: int) -> str:
    """absent, there, or how many times it is there."""
    return (ABSENT, THERE)[count] if count < 2 else f"there {count} times"


def look_port(case: Case, dut: Device, port: int) -> str:
    """answering, or silent: whether a container answers on a published port, as far as its image does."""
    if not case.run.image_pings:
        return look_connection(dut, port)
    try:
        dut.ping_container(port, timeout=1)
    except HoldfastError:
        return SILENT
    return ANSWERING


def look_connection(dut: Device, port: int) -> str:
    """answering, or silent: whether a published port takes connections, for whatever it serves."""
    try:
        dut.connect_container(port, timeout=1)
    except HoldfastError:
        return SILENT
    return ANSWERING


def settled(case: Case, look: Callable[[], str], wanted: tuple[str, ...], *, watch: float | None = None) -> str:
    """What `look` finds once that is one of `wanted`, and goes on to be the same; `ExpectationFailed` otherwise.

    It must be one of them by the limit `verification`, and then stay so for `watch` seconds (the limit of that name if
    None). One that changes into another of them is watched anew, until `watch` seconds after the limit.
    """
    limits = case.run.limits
    stays = limits["watch"] if watch is None else watch
    deadline = time.monotonic() + limits["verification"]
    while True:
        found = _first_of(wanted, look, deadline - time.monotonic())
        if not stays or waiting.watch(partial(_is_still, found, look), stays, look=LOOK) is None:
            return found
        if time.monotonic() > deadline + stays:
            raise ExpectationFailed(f"it changes again and again: it was {found}, and then it was not")


def _first_of(wanted: tuple[str, ...], look: Callable[[], str], limit: float) -> str:
    """The first of `wanted` that is found within `limit` seconds."""
    found = ""
    for _ in waiting.looks(limit, look=LOOK):
        found = _looked(look)
        if found in wanted:
            return found
    raise ExpectationFailed(f"it is {found}, where only {' or '.join(wanted)} would be whole")


def _is_still(found: str, look: Callable[[], str]) -> bool:
    return _looked(look) == found


def _looked(look: Callable[[], str]) -> str:
    try:
        return look()
    except (ConnectError, OutcomeUnknown, Timeout) as error:
        return f"not to be seen ({error.message})"
