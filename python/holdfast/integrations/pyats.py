"""pyATS: a connection for the testbed file, as which a device offers all that `holdfast.Device` does.

    connections:
      holdfast: {class: holdfast.integrations.pyats.Connection, ip: 192.0.2.1, port: 9339}

    device.connect(via="holdfast", alias="holdfast")
    device.holdfast.switchover()

Credentials and TLS are spelled as in docs/testbeds.md. `holdfast.integrations.pyats_suite` has the cases for aetest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyats.connections import BaseConnection
from pyats.utils.secret_strings import SecretString, to_plaintext

from holdfast.secret import Secret, hidden
from holdfast.testbed.pyats import target_of
from holdfast.testbed.target import Target

if TYPE_CHECKING:
    from holdfast import Device


class Connection(BaseConnection):
    """A session with a device, by gNMI and gNOI. What is not pyATS' own is `holdfast.Device`'s."""

    _dut: Device | None = None

    @property
    def target(self) -> Target:
        """Where the device is and how to get in, as the testbed says."""
        device = self.device
        custom = {"custom": _plain(device.custom), "os": device.os, "credentials": _plain(device.credentials)}
        return target_of(f"device {device.name}", device.name, custom, _plain(self.connection_info), None, Path())

    def connect(self) -> None:
        """Open the session; nothing where it is open. Raises what `holdfast.connect` raises."""
        if self._dut is None:
            self._dut = self.target.connect()

    def disconnect(self) -> None:
        """Close it."""
        if self._dut is not None:
            self._dut.close()
            self._dut = None

    @property
    def connected(self) -> bool:
        """Whether there is a session; one that a failover broke makes itself anew."""
        return self._dut is not None

    def __getattr__(self, name: str) -> Any:
        if self._dut is None:
            raise AttributeError(f"{self.device.name} is not connected: device.connect(via={self.via!r}) first")
        return getattr(self._dut, name)


def _plain(value: Any) -> Any:
    """Pyats' mappings as plain ones; its secrets are hidden."""
    if isinstance(value, SecretString):
        return Secret(to_plaintext(value))
    if isinstance(value, Mapping):
        return hidden({str(key): _plain(held) for key, held in value.items()})
    return value
