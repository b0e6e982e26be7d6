"""Devices that a labgrid coordinator gives out: reserved when a run begins, refreshed while it goes on, given back."""

from __future__ import annotations

import time
from typing import Any

import pytest

from holdfast import options as table
from holdfast.exceptions import ConnectError, HoldfastError
from holdfast.pytest_plugin import ending, options, targets
from holdfast.testbed import Target, lab, places

# How long a device is waited for, unless --dut-wait says.
PATIENCE = 600.0
# A coordinator that said nothing is asked again after so many seconds.
AGAIN = 60.0
# What workers are told: who has the devices, and which could not be had, and why.
OWNER, LACKING = "holdfast_owner", "holdfast_not_reserved"
_KEY = pytest.StashKey["Reservations"]()
_DOUBT = pytest.StashKey[dict[str, float]]()


def install(config: pytest.Config) -> None:
    """Reserve what is to be reserved, in the process that prints."""
    if hasattr(config, "workerinput") or options.flag(config, "dut-plan") or config.getoption("collectonly", False):
        return
    if any(target.reserve for target in targets.of(config)):
        config.stash[_KEY] = Reservations(config)
        config.pluginmanager.register(config.stash[_KEY], "holdfast-reservations")


def tell(node: Any) -> None:
    """Tell a worker which devices are ours."""
    if (ours := node.config.stash.get(_KEY, None)) is not None:
        node.workerinput[OWNER], node.workerinput[LACKING] = ours.owner, dict(ours.lacking)


def why_not(config: pytest.Config, target: Target) -> str | None:
    """Why a device is not ours; None where it is, or nobody gives it out."""
    if not target.reserve:
        return None
    worker, ours = getattr(config, "workerinput", None), config.stash.get(_KEY, None)
    if worker is None and ours is None:
        return None
    lacking = worker.get(LACKING, {}) if worker is not None else ours.lacking  # type: ignore[union-attr]
    if target.name in lacking:
        return str(lacking[target.name])
    owner = str(worker.get(OWNER, "")) if worker is not None else ours.owner  # type: ignore[union-attr]
    return _lost(config, target, owner)


def _lost(config: pytest.Config, target: Target, owner: str) -> str | None:
    """Whether another has it now, as far as the coordinator answers."""
    assert target.reserve is not None
    silent = config.stash.setdefault(_DOUBT, {})
    if time.monotonic() < silent.get(target.reserve, 0.0):
        return None
    coordinator = places.reserver(target.reserve).coordinator
    try:
        holder = coordinator.holder(target.name)
    except ConnectError:
        silent[target.reserve] = time.monotonic() + AGAIN
        return None
    finally:
        coordinator.close()
    if holder is None or not owner or holder.owner == owner:
        return None
    return f"{target.name}: the labgrid coordinator {target.reserve} gave it to {holder} meanwhile"


class Reservations:
    """The devices of a run that a coordinator gives out."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._claims: list[Any] = []
        self.owner = ""
        # Which devices could not be had, and why.
        self.lacking: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Reserve all of them, in the order of their names: so no two runs wait for each other in a circle."""
        known = targets.of(self._config)
        said = options.value(self._config, "dut-device")
        wanted = [each for each in known if each.reserve and (not each.maintenance or lab.is_named(each, said))]
        for target in sorted(wanted, key=lambda each: each.name):
            self._try(target, alone=len(known) == 1)

    def _try(self, target: Target, *, alone: bool) -> None:
        try:
            self._claim(target)
        except HoldfastError as error:
            if alone:
                ending.refuse(self._config, error, begun=False)
            self.lacking[target.name] = error.message

    def _claim(self, target: Target) -> None:
        from holdfast.integrations import labgrid_places

        self.owner = labgrid_places.owner()
        patience = table.time(options.value(self._config, "dut-wait"), "--dut-wait")
        given = places.reserver(str(target.reserve))
        self._claims.append(
            given.claim(target.name, patience=PATIENCE if patience is None else patience, tell=self._tell)
        )
        self._tell(f"{target.name}: reserved at the labgrid coordinator {target.reserve} for {self.owner}")

    def _tell(self, text: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"holdfast: {text}")

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what befell them."""
        for claim in self._claims:
            for event in claim.events:
                terminalreporter.write_line(f"reservation: {event}")

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """Give them back."""
        while self._claims:
            self._claims.pop().release()
