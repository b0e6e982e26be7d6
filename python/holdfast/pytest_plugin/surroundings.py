"""What is on a device beside the things of a run, and its clock: neither may change by a failover."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from holdfast import journal
from holdfast.exceptions import ExpectationFailed, Unimplemented
from holdfast.pytest_plugin.case import NotChecked

if TYPE_CHECKING:
    from holdfast import Device
    from holdfast.pytest_plugin.run import Run

# From one look to the next, in seconds.
LOOK = 0.1
# By how much a clock may be set back without being called so: that of two cards differs by a little.
JITTER = timedelta(seconds=5)


class Surroundings:
    """What is there that is not this run's, by kind and name, and what the device's clock said."""

    def __init__(self, run: Run, dut: Device) -> None:
        self._run = run
        self._dut = dut
        self._before = self._others()
        self._time = None
        with suppress(Unimplemented):
            self._time = dut.system.time()

    def _others(self) -> frozenset[str]:
        containerz = self._dut.containerz
        named = [(f"container {held.name}", held.name) for held in containerz.containers()]
        named += [(f"image {held.name}:{tag}", tag) for held in containerz.images() for tag in held.tags if held.name]
        named += [(f"volume {held.name}", held.name) for held in containerz.volumes()]
        return frozenset(what for what, name in named if journal.run_of(name) != self._run.id)

    def expect_unchanged(self) -> None:
        """Nothing of it went, and nothing came to it."""
        deadline = time.monotonic() + self._run.limits["verification"]
        tick = threading.Event()
        while True:
            now = self._others()
            if now == self._before:
                return
            if time.monotonic() >= deadline:  # lists may be incomplete for a while
                break
            tick.wait(LOOK)
        went, came = sorted(self._before - now), sorted(now - self._before)
        told = [*(f"{what} is gone" for what in went), *(f"{what} came to be" for what in came)]
        raise ExpectationFailed("; ".join(told), hint="none of it is this run's: nobody asked for that")

    def expect_clock_forward(self) -> None:
        """The device's clock went on."""
        if self._time is None:
            raise NotChecked("the device does not tell the time (System.Time)")
        now = self._dut.system.time()
        if now < self._time - JITTER:
            raise ExpectationFailed(f"the device's clock went back: from {self._time} to {now}")
