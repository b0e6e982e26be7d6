"""A container that dials: what it must reach, and what it must not."""

from __future__ import annotations

from datetime import datetime, timedelta

from holdfast import Device, addresses
from holdfast.exceptions import ExpectationFailed, HoldfastError, RpcError, Unimplemented
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.results import Dialled
from holdfast.secret import Secret
from holdfast.suites.looks import SILENT, look_port, settled

# A port where nothing listens (tcpmux, RFC 1078).
NOBODY = 1
# How far two clocks may be apart that are called one.
SKEW = timedelta(seconds=1)
# How long an answer may take that should come at once, in seconds.
SOON = 5.0


class Dialler:
    """The test container on a port of a device, told whom to dial."""

    def __init__(self, case: Case, dut: Device, port: int) -> None:
        self._case = case
        self._dut = dut
        self.port = port
        self.username = case.run.target.username

    def dial(self, address: str | None, ask: str = "ping", *, password: str | Secret | None = None) -> Dialled:
        """Have it dial; with the device's own credentials for the device's services."""
        services = ask in ("gnmi", "gribi") and self.username is not None
        password = Secret.of(password) or self._case.run.target.login()
        try:
            return self._dut.dial_from_container(
                self.port,
                str(address),
                ask=ask,
                username=self.username if services else None,
                password=password if services else None,
            )
        except Unimplemented:
            if not self._dials():
                raise NotChecked("the image under test does not dial") from None
            raise  # it is where it dialled that does not have it

    def _dials(self) -> bool:
        """Whether the image can, as its own port shows."""
        try:
            self._dut.dial_from_container(self.port, f"localhost:{self.port}", ask="nothing")
        except Unimplemented:
            return False
        except HoldfastError:
            return True
        return True

    def expect_reaches(self, other: Dialler, host: str | None) -> None:
        """It pings the other, and what it is told is the other's clock."""
        address = addresses.joined(str(host), other.port)
        before = other.clock()
        answer = self.dial(address).time
        after = other.clock()
        if answer is None or not before - SKEW <= answer <= after + SKEW:
            raise ExpectationFailed(
                f"the container that was dialled at {address} says {answer}; asked from here, it says "
                f"{before} before and {after} after that"
            )

    def expect_another(self, other: Dialler) -> None:
        """Another container than this one answers there."""
        try:
            own, others = (each._dut.describe_container(each.port).writer for each in (self, other))
        except Unimplemented:
            raise NotChecked("the image under test does not describe itself") from None
        if own == others:
            ports = [f"{each.port} of {each._dut.name}" for each in (self, other)]
            raise ExpectationFailed(f"one container answers on both ports, {' and '.join(ports)}")

    def expect_nobody(self, host: str | None) -> None:
        """Where nothing listens it must fail, or its other answers prove nothing."""
        self.expect_fails(addresses.joined(str(host), NOBODY))

    def expect_fails(self, address: str) -> None:
        """It reaches nobody there, and says so."""
        try:
            answer = self.dial(address)
        except RpcError:
            return
        raise ExpectationFailed(f"the container says {answer} of {address}, where nobody is")

    def expect_gone(self) -> None:
        """Nothing answers on its port any more."""
        settled(self._case, lambda: look_port(self._case, self._dut, self.port), (SILENT,), watch=0)

    def clock(self) -> datetime:
        """The container's, asked from here."""
        return self._dut.ping_container(self.port, timeout=SOON)
