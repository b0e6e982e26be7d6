"""Which services a device has: each command and each case needs some of them, and few need all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from holdfast.exceptions import RpcError, Unauthenticated, Unimplemented

if TYPE_CHECKING:
    from holdfast import Device

GNMI, SYSTEM, CONTAINERZ = "gNMI", "gNOI System", "gNOI Containerz"
_Seconds = float | timedelta | None
# RPCs of each that change nothing. Devices lack single ones, so one is not enough.
_ASKED: dict[str, tuple[Callable[[Device, _Seconds], object], ...]] = {
    GNMI: (
        lambda device, limit: device.gnmi.capabilities(timeout=limit),
        lambda device, limit: device.control_processors(timeout=limit),
    ),
    SYSTEM: (
        lambda device, limit: device.system.reboot_status(timeout=limit),
        lambda device, limit: device.system.time(timeout=limit),
    ),
    CONTAINERZ: (
        lambda device, limit: device.containerz.volumes(timeout=limit),
        lambda device, limit: device.containerz.containers(timeout=limit),
        lambda device, limit: device.containerz.images(timeout=limit),
    ),
}


@dataclass(frozen=True)
class Services:
    """Those that a device has, and what it says to who asks for one of the others."""

    there: tuple[str, ...]
    absent: Mapping[str, str] = field(default_factory=dict)

    def lack(self, *services: str) -> str:
        """Why what needs these cannot be done; empty where it can."""
        missing = [service for service in services if service in self.absent]
        return f"the device does not serve {' or '.join(missing)}" if missing else ""


def of(device: Device, *wanted: str, timeout: _Seconds = None) -> Services:
    """Ask a device for `wanted`, or for all. A service is absent whose RPCs are all UNIMPLEMENTED.

    Raises what says that the device cannot be reached, or does not know who asks (`Unauthenticated`).
    """
    there, absent = [], {}
    for service in wanted or _ASKED:
        words = _refusal(device, service, timeout)
        if words is None:
            there.append(service)
        else:
            absent[service] = words
    return Services(tuple(there), absent)


def _refusal(device: Device, service: str, timeout: _Seconds) -> str | None:
    """What the device says first where it has none of the service's RPCs."""
    first = None
    for ask in _ASKED[service]:
        try:
            ask(device, timeout)
        except Unimplemented as error:
            first = first or error.message
            continue
        except Unauthenticated:
            raise
        except RpcError:
            pass  # it is there, and something else is wrong
        return None
    return first
