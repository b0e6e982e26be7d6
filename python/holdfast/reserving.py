"""Who has a device: a seam with two ends, the lock of this machine and the places of a lab that many share.

A `Reserver` gives out claims. `DeviceLocks` knows the processes of one account on one machine; the places of a labgrid
coordinator (`holdfast.integrations.labgrid_places`) are everybody's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from holdfast import journal


class Claim(Protocol):
    """A device is ours until it is released."""

    def release(self) -> None:
        """Let others have it."""


class Reserver(Protocol):
    """Who gives out devices."""

    def claim(self, device: str, *, patience: float, tell: Callable[[str], object]) -> Claim:
        """Have a device, which may take `patience` seconds; `tell` is told meanwhile for whom one waits.

        Raises `DeviceOccupied` where another has it to the last.
        """


class DeviceLocks:
    """Locks of files in this machine's state folder: a device is its address."""

    def claim(self, device: str, *, patience: float = 0, tell: Callable[[str], object] = lambda _: None) -> Claim:
        """A lock that ends with this process too."""
        if patience and (holder := journal.holder(device)):
            tell(f"{device}: process {holder} of this machine uses it; waiting")
        return journal.lock(device, patience=patience)
