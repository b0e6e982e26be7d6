"""What is on a device beside the things of a run, and its clock: neither may change by a failover."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from holdfast import waiting
from holdfast.exceptions import ExpectationFailed, Unimplemented
from holdfast.pytest_plugin.case import NotChecked

if TYPE_CHECKING:
    from holdfast import Device
    from holdfast.pytest_plugin.run import Run

# From one look to the next, in seconds.
LOOK = 0.1
# By how much a clock may be set back without being called so: that of two control processors differs by a little.
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

    def _others(self) -> dict[tuple[str, ...], str]:
        """By what stays the same of it, what to call it."""
        containerz, own = self._dut.containerz, self._run.made
        containers = [name for kind, name, _ in own if kind == "container"]
        there = [
            ("container", row.name)
            for row in containerz.containers()
            if not any(row.is_named(name) for name in containers)
        ]
        there += [("volume", row.name) for row in containerz.volumes() if ("volume", row.name, "") not in own]
        found: dict[tuple[str, ...], str] = {key: " ".join(key) for key in there}
        images = [(name, tag) for kind, name, tag in own if kind == "image"]
        for row in containerz.images():
            bare = row.id.removeprefix("sha256:")[:12]
            for tag in row.tags if row.name else ():
                if not any(own_tag == tag and row.may_be(name, tag) for name, own_tag in images):
                    found["image", bare, tag] = f"image {row.name}:{tag}"
        return found

    def expect_unchanged(self) -> None:
        """Nothing of it went, and nothing came to it."""
        now = self._before
        for _ in waiting.looks(self._run.limits["verification"], look=LOOK):  # lists may be incomplete for a while
            now = self._others()
            if now.keys() == self._before.keys():
                return
        went = sorted(what for key, what in self._before.items() if key not in now)
        came = sorted(what for key, what in now.items() if key not in self._before)
        changes = [*(f"{what} is gone" for what in went), *(f"{what} came to be" for what in came)]
        raise ExpectationFailed("; ".join(changes), hint="none of it is this run's: nobody asked for that")

    def expect_clock_forward(self) -> None:
        """The device's clock went on."""
        if self._time is None:
            raise NotChecked("the device does not tell the time (System.Time)")
        now = self._dut.system.time()
        if now < self._time - JITTER:
            raise ExpectationFailed(f"the device's clock went back: from {self._time} to {now}")
