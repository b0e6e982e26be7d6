"""The same API with `await`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from holdfast import _core
from holdfast._connect import Connection
from holdfast._core import AsyncContainerz as Containerz
from holdfast._core import AsyncDevice as Device
from holdfast._emulator import Chassis, bundle, host_of, inner_of
from holdfast.arguments import ConnectOptions, EmulatorArguments, hide_secrets, hide_users, shown
from holdfast.exceptions import ExpectationFailed, RpcError
from holdfast.failpoint import ArmedFailpoint, read_file
from holdfast.results import ControlProcessor
from holdfast.testbed.target import InnerNames
from holdfast.tls import Tls

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Containerz", "Device", "Emulator", "connect", "emulator"]


class _Connecting:
    """`await` it for the device, or enter it with `async with`."""

    def __init__(self, asked: Connection) -> None:
        self._asked = asked
        self._recognises = asked.profile == "auto"
        self._options = asked.without_profile().options() if self._recognises else asked.options()
        self._device: Device | None = None

    def __await__(self) -> Generator[Any, None, Device]:
        return self._connect().__await__()

    async def _connect(self) -> Device:
        from holdfast import profiles

        device = await _core.connect_async(self._asked.address, self._options)
        if not self._recognises:
            return device
        async with device:
            roles: Sequence[ControlProcessor] = ()
            try:
                roles = await device.control_processors(timeout=self._asked.call_timeout)
            except RpcError as refusal:
                if not profiles.hides(refusal):
                    raise
            recognised = self._asked.recognising(roles)
        return await _core.connect_async(self._asked.address, recognised.options())

    async def __aenter__(self) -> Device:
        self._device = await self
        return self._device

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device is not None:
            await self._device.close()


@shown(ConnectOptions, Connection, "address")
def connect(address: str, **options: Unpack[ConnectOptions]) -> _Connecting:
    """As `holdfast.connect`; await it for the device, or enter it with `async with`."""
    options = hide_secrets(options)
    return _Connecting(Connection.of(address, options))


class _Emulating:
    """`await` it for the chassis, or enter it with `async with`."""

    def __init__(self, asked: Chassis) -> None:
        self._options = asked.options()
        self._encrypted = bool(asked.tls)
        self._started: Emulator | None = None

    def __await__(self) -> Generator[Any, None, Emulator]:
        return self._start().__await__()

    async def _start(self) -> Emulator:
        core = await _core.emulator_async(self._options)
        return Emulator(
            core,
            address=await core.management_address(),
            gnoi=await core.gnoi_address(),
            container_host=await core.container_host(),
            tls=bundle(await core.certificates()) if self._encrypted else None,
        )

    async def __aenter__(self) -> Emulator:
        self._started = await self._start()
        return self._started

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._started is not None:
            await self._started.stop()


class Failpoint:
    """A failpoint that was armed for a while."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        self._emulator = emulator
        self.name = name

    async def hits(self) -> int:
        """How often a term of it fired since it was armed."""
        return await self._emulator.hits(self.name)

    async def wait_reached(self, timeout: float = 10, *, times: int = 1) -> None:
        """Wait until it was hit `times` times, `timeout` seconds at most. Raises `Timeout`."""
        await self._emulator.wait_reached(self.name, timeout, times=times)

    async def release(self) -> None:
        """Let the calls that wait at a `pause` go on."""
        await self._emulator.release(self.name)


class Emulator:
    """An emulated device, for an event loop."""

    def __init__(
        self, core: _core.AsyncChassis, *, address: str, gnoi: str, container_host: str | None, tls: Tls | None
    ) -> None:
        self._core = core
        self.address = address
        # What `connect(tls=…)` takes to reach it; None where it speaks plaintext.
        self.tls = tls
        # Where its gNOI is served; the same, unless `gnoi_port` said otherwise.
        self.gnoi = gnoi
        # Where its containers' ports are, if not on its own address.
        self.container_host = container_host

    @property
    def host(self) -> str:
        """The (first) address without its port; containers publish theirs there."""
        return host_of(self.address)

    async def active(self) -> str:
        """The name of the control processor that is active now."""
        return await self._core.active()

    async def inner(self) -> InnerNames:
        """How its containers name it, and its gNMI and gRIBI, on the control processor that is active now."""
        gnmi, gribi = await self._core.inner_gnmi_address(), await self._core.inner_gribi_address()
        return inner_of(gnmi, gribi, self.container_host)

    async def arm(self, name: str, terms: str) -> None:
        """Arm a failpoint until `disarm`. Raises `InvalidArgumentError`, which names the nearest name."""
        await self._core.arm(name, terms)

    async def arm_file(self, path: str | os.PathLike[str]) -> None:
        """Arm all failpoints of a JSON file: `{"name": "terms"}`."""
        for name, terms in read_file(path):
            await self.arm(name, terms)

    async def disarm(self, name: str) -> int:
        """Disarm a failpoint and release who waits there; how often it was hit."""
        return await self._core.disarm(name)

    async def hits(self, name: str) -> int:
        """How often a term of a failpoint fired since it was armed."""
        return await self._core.hits(name)

    async def release(self, name: str) -> None:
        """Let the calls that wait at a `pause` go on."""
        await self._core.release(name)

    async def wait_reached(self, name: str, timeout: float = 10, *, times: int = 1) -> None:
        """Wait until a failpoint was hit `times` times, `timeout` seconds at most. Raises `Timeout`."""
        await self._core.reached(name, times, timeout)

    async def armed(self) -> tuple[ArmedFailpoint, ...]:
        """All failpoints that are armed."""
        return tuple(ArmedFailpoint(*row) for row in await self._core.armed())

    async def control(self) -> str:
        """The socket by which `holdfast.failpoint.control` arms failpoints from another process."""
        return await self._core.control()

    @asynccontextmanager
    async def failpoint(self, name: str, terms: str, *, may_stay_unhit: bool = False) -> AsyncIterator[Failpoint]:
        """Arm a failpoint for a while. One that was never hit fails, since it proved nothing."""
        await self.arm(name, terms)
        try:
            yield Failpoint(self, name)
        finally:
            hits = await self.disarm(name)
        if hits == 0 and not may_stay_unhit:
            raise ExpectationFailed(f"failpoint {name} was armed and never hit", hint="or say may_stay_unhit=True")

    async def stop(self) -> None:
        """Power it off and close its sockets."""
        await self._core.stop()

    async def __aenter__(self) -> Emulator:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<Emulator (EMULATED) at {self.address}>"


@shown(EmulatorArguments, Chassis)
def emulator(**options: Unpack[EmulatorArguments]) -> _Emulating:
    """As `holdfast.emulator`; await it for the device, or enter it with `async with`."""
    options = hide_users(options)
    return _Emulating(Chassis.of(options))
