"""Whether a device can be failed over, or rebooted: where it cannot, such cases cannot be judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from holdfast import profiles, services, waiting
from holdfast.exceptions import RpcError
from holdfast.pytest_plugin.plans import plan_of

if TYPE_CHECKING:
    from holdfast.pytest_plugin.run import Run
    from holdfast.results import ControlProcessor

# Under which a run remembers why it has no standby; empty where it has one.
KEY = "standby"
# From one look to the next, in seconds.
LOOK = 0.1


def skip_without(run: Run, item: pytest.Item) -> None:
    """Skip a case that fails over, on a device that had one control processor, or none, before the first failover.

    A standby that is lost later is not asked for here: that is a failure of the device. A case that reboots needs the
    service for that.
    """
    plan = plan_of(item)
    if plan is None:
        return
    if (plan.kwargs.get("reboots") or plan.kwargs.get("switchovers")) and (why := lack(run, services.SYSTEM)):
        pytest.skip(f"{why}, and {plan.args[0]} needs it: it cannot be judged here")
    if not plan.kwargs.get("switchovers"):
        return
    if KEY not in run.shared:
        run.shared[KEY] = _why_none(run)
    if run.shared[KEY]:
        pytest.skip(f"{run.shared[KEY]}, and {plan.args[0]} fails over to a second: it cannot be judged here")


def lack(run: Run, service: str) -> str:
    """Why a device does not have a service, asked once in a run; empty where it has."""
    known: dict[str, str] = run.shared.setdefault("services", {})
    if service not in known:
        known[service] = services.of(run.device, service).lack(service)
    return known[service]


def _why_none(run: Run) -> str:
    """Why there is none, once that has lasted for the limit `settle`: a standby may be on its way."""
    why = ""
    for _ in waiting.looks(run.limits["settle"], look=LOOK):
        try:
            why = _lack(run.device.control_processors())
        except RpcError as refusal:
            if not profiles.hides(refusal):
                raise
            why = lack(run, services.GNMI) or f"the device does not tell its roles ({refusal.message})"
        if not why:
            break
    return why


def _lack(found: Sequence[ControlProcessor]) -> str:
    if not found:
        return "the device reports no control processor with a redundant-role"
    if len(found) == 1 and found[0].role == "PRIMARY":
        return f"the device has one control processor, {found[0].name}"
    return ""
