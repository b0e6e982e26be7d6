"""The same API with `await`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

from holdfast import _core
from holdfast._connect import Seconds, arguments, recognised
from holdfast._core import AsyncContainerz as Containerz
from holdfast._core import AsyncDevice as Device
from holdfast._emulator import Emulator, bundle, chassis_options, inner_of
from holdfast.exceptions import ExpectationFailed
from holdfast.failpoint import ArmedFailpoint
from holdfast.testbed.target import Inner
from holdfast.tls import Tls

__all__ = ["Containerz", "Device", "Emulator", "connect", "emulator"]


class _Connecting:
    """`await` it for the device, or enter it with `async with`."""

    def __init__(self, address: str, given: dict[str, Any]) -> None:
        self._address = address
        self._given = given
        self._options = arguments({**given, "profile": "generic"} if given["profile"] == "auto" else given)
        self._device: Device | None = None

    def __await__(self) -> Generator[Any, None, Device]:
        return self._connect().__await__()

    async def _connect(self) -> Device:
        device = await _core.connect_async(self._address, self._options)
        if self._given["profile"] != "auto":
            return device
        async with device:
            profile = recognised(self._address, await device.control_processors())
        return await _core.connect_async(self._address, arguments({**self._given, "profile": profile}))

    async def __aenter__(self) -> Device:
        self._device = await self
        return self._device

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device is not None:
            await self._device.close()


def connect(
    address: str,
    *,
    gnoi: str | None = None,
    username: str | None = None,
    password: str | Callable[[], str] | None = None,
    insecure: bool = False,
    tls: Tls | bool | None = None,
    name: str | None = None,
    profile: str = "generic",
    container_host: str | None = None,
    dial_timeout: Seconds | None = None,
    call_timeout: Seconds | None = None,
    deadlines: Mapping[str, Seconds] | None = None,
) -> _Connecting:
    """As `holdfast.connect`; await it for the device, or enter it with `async with`."""
    return _Connecting(address, dict(locals()))


class _Emulating:
    """`await` it for the chassis, or enter it with `async with`."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._chassis: _core.AsyncChassis | None = None

    def __await__(self) -> Generator[Any, None, _AwaitableEmulator]:
        return self._start().__await__()

    async def _start(self) -> _AwaitableEmulator:
        core = await _core.emulator_async(self._options)
        encrypted = self._options["encryption"] != "none"
        tls = bundle(await core.certificates()) if encrypted else None
        return _AwaitableEmulator(core, await core.management_address(), tls)

    async def __aenter__(self) -> _AwaitableEmulator:
        started = await self._start()
        self._chassis = started._core
        return started

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._chassis is not None:
            await self._chassis.stop()


class _AwaitableFailpoint:
    """A failpoint that was armed for a while."""

    def __init__(self, emulator: _AwaitableEmulator, name: str) -> None:
        self._emulator = emulator
        self.name = name

    async def hits(self) -> int:
        """How often a term of it fired since it was armed."""
        return await self._emulator.hits(self.name)

    async def wait_reached(self, timeout: float = 10, *, times: int = 1) -> None:
        """Wait until it was hit `times` times, `timeout` seconds at most. Raises `Timeout`."""
        await self._emulator.wait_reached(self.name, timeout, times=times)

    async def release(self) -> None:
        """Let go on who waits at a `pause`."""
        await self._emulator.release(self.name)


class _AwaitableEmulator:
    """An emulated device, for an event loop."""

    def __init__(self, core: _core.AsyncChassis, address: str, tls: Tls | None) -> None:
        self._core = core
        self.address = address
        self.tls = tls

    async def active(self) -> str:
        """The name of the control processor that is active now."""
        return await self._core.active()

    async def inner(self) -> Inner:
        """How its containers name it, and its gNMI and gRIBI, on the control processor that is active now."""
        gnmi, gribi = await self._core.inner_gnmi_address(), await self._core.inner_gribi_address()
        return inner_of(gnmi, gribi, await self._core.container_host())

    async def arm(self, name: str, terms: str) -> None:
        """Arm a failpoint until `disarm`. Raises `InvalidArgumentError`, which names the nearest name."""
        await self._core.arm(name, terms)

    async def disarm(self, name: str) -> int:
        """Disarm a failpoint and release who waits there; how often it was hit."""
        return await self._core.disarm(name)

    async def hits(self, name: str) -> int:
        """How often a term of a failpoint fired since it was armed."""
        return await self._core.hits(name)

    async def release(self, name: str) -> None:
        """Let go on who waits at a `pause`."""
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
    async def failpoint(
        self, name: str, terms: str, *, may_stay_unhit: bool = False
    ) -> AsyncIterator[_AwaitableFailpoint]:
        """Arm a failpoint for a while. One that was never hit fails, since it proved nothing."""
        await self.arm(name, terms)
        try:
            yield _AwaitableFailpoint(self, name)
        finally:
            hits = await self.disarm(name)
        if hits == 0 and not may_stay_unhit:
            raise ExpectationFailed(f"failpoint {name} was armed and never hit", hint="or say may_stay_unhit=True")

    async def stop(self) -> None:
        """Power it off and close its sockets."""
        await self._core.stop()


def emulator(
    *,
    listen: str = "auto",
    gnoi_port: int | None = None,
    inner_gnmi_port: int | None = None,
    inner_gribi_port: int | None = None,
    profile: str = "generic",
    names: tuple[str, str] | None = None,
    outage: Seconds | None = None,
    load: Seconds | None = None,
    boot: Seconds | None = None,
    reboot: Seconds | None = None,
    replication: Seconds | None = None,
    black_hole: bool = False,
    state: str | os.PathLike[str] | None = None,
    space: int | None = None,
    chunk_size: int | None = None,
    quirks: Sequence[str] = (),
    seed: int = 0,
    tls: bool | str = False,
    certificates: str | os.PathLike[str] | None = None,
    users: Mapping[str, str] | None = None,
) -> _Emulating:
    """As `holdfast.emulator`."""
    return _Emulating(chassis_options(dict(locals())))
