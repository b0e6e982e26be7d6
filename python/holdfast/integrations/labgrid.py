"""labgrid: a device as a resource, a driver that holds the session, and a strategy that brings it into a state.

    targets:
      main:
        resources: {GnoiDevice: {address: "192.0.2.1:9339", username: admin, tls: {ca: signers.pem}}}
        drivers: {HoldfastDriver: {}, FailoverStrategy: {}}
    imports: [holdfast.integrations.labgrid]

A resource has every field that a testbed says of how to reach a device. The password is the environment variable
HOLDFAST_PASSWORD, or what `password_env` or `password_file` names: an environment file is no place for it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import attr
from labgrid.driver import Driver
from labgrid.factory import target_factory
from labgrid.resource import Resource
from labgrid.step import step
from labgrid.strategy import Strategy, StrategyError

from holdfast.secret import from_environment
from holdfast.testbed import settings

if TYPE_CHECKING:
    from holdfast import Device
    from holdfast.results import Reboot, Switchover


def _attributes() -> dict[str, Any]:
    """A resource's: `address`, and whatever else a testbed says of a session; `ca` is `tls: {ca: …}`, written short."""
    optional = (key for key in (*settings.KEYS, "ca") if key != "address")
    return {
        "address": attr.ib(validator=attr.validators.instance_of(str)),
        **{key: attr.ib(default=None) for key in optional},
    }


@target_factory.reg_resource
@attr.s(eq=False, these=_attributes())
class GnoiDevice(Resource):
    """Where a device is reached by gNMI and gNOI, and how: with the fields of a testbed, and its meanings.

    `ca` is who signs its certificate.
    """

    address: Any
    ca: Any

    def connect(self) -> Device:
        """A session with it. Raises what `holdfast.connect` raises, and `TestbedError` where a field makes no sense."""
        given = {key: getattr(self, key) for key in settings.KEYS}
        if self.ca is not None and not given["insecure"]:
            given["tls"] = {**(given["tls"] or {}), "ca": self.ca}
        stated = given["password_env"] or given["password_file"]
        password = None if stated or given["username"] is None else from_environment("HOLDFAST_PASSWORD")
        return settings.connect(f"GnoiDevice {self.address}", given, password=password)


@target_factory.reg_driver
@attr.s(eq=False)
class HoldfastDriver(Driver):
    """Holds a session while it is active: `driver.dut` is a `holdfast.Device`."""

    bindings = {"device": GnoiDevice}  # noqa: RUF012 - labgrid's way

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._dut: Device | None = None

    def on_activate(self) -> None:
        """Open the session."""
        self._dut = self.device.connect()

    def on_deactivate(self) -> None:
        """Close it."""
        if self._dut is not None:
            self._dut.close()
            self._dut = None

    @property
    @Driver.check_active
    def dut(self) -> Device:
        """The connected device."""
        assert self._dut is not None
        return self._dut

    @Driver.check_active
    @step(result=True)
    def switchover(self, *, redundant: bool = False) -> Switchover:
        """Fail the active control processor."""
        return self.dut.switchover(redundant=redundant)

    @Driver.check_active
    @step(result=True)
    def reboot(self) -> Reboot:
        """Reboot the chassis, cold."""
        return self.dut.reboot()


class Status(enum.Enum):
    """States of a device, as far as a test wants one."""

    unknown = 0
    off = 1
    redundant = 2
    failed_over = 3


@target_factory.reg_driver
@attr.s(eq=False)
class FailoverStrategy(Strategy):
    """`redundant`: one control processor active and another in step. `failed_over`: as that, and then the active one
    failed and the other serves. `off`: no session.
    """

    bindings = {"driver": "HoldfastDriver"}  # noqa: RUF012 - labgrid's way
    status: Status = attr.ib(default=Status.unknown)

    @step(args=["status"])
    def transition(self, status: Status | str, *, step: Any) -> None:
        """Bring the device into a state, from wherever it is."""
        wanted = Status[status] if isinstance(status, str) else status
        if wanted == Status.unknown:
            raise StrategyError("nothing can be brought into the state unknown")
        if wanted == self.status:
            step.skip("nothing to do")
            return
        if wanted == Status.off:
            self.target.deactivate(self.driver)
        else:
            self.target.activate(self.driver)
            self._await_redundancy()
            if wanted == Status.failed_over:
                self.driver.switchover()
        self.status = wanted

    def _await_redundancy(self) -> None:
        dut = self.driver.dut
        primaries = [cp.name for cp in dut.control_processors() if cp.role == "PRIMARY"]
        if len(primaries) != 1:
            raise StrategyError(f"{len(primaries)} control processors are PRIMARY")
        dut.expect_redundant(primaries[0])
