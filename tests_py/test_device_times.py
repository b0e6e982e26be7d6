"""Reboots of devices of another make, which tell when they booted in their own way, or tell it and never boot."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import holdfast
from holdfast import _core
from holdfast.exceptions import RebootIgnored

grpc = pytest.importorskip("grpc", reason="pip install grpcio")

DEADLINES = {"start": 1.5, "reboot": 30, "ready": 1.5, "settle": 0.5, "redundant": 5}
HOUR = 3600
DeviceTime = Callable[["Router"], int | None]


def message(name: str, content: dict[str, Any]) -> bytes:
    """A message in wire form."""
    return bytes(_core.message_encoded(name, json.dumps(content)))


def path(*names: str) -> dict[str, Any]:
    """A path; the component is RP0."""
    return {"elem": [{"name": name, **({"key": {"name": "RP0"}} if name == "component" else {})} for name in names]}


class Router(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A device with one card: `reported` is its boot-time as it says it, and `boots` whether a reboot is one."""

    def __init__(self, reported: DeviceTime, boots: bool, clock: bool) -> None:
        self.reported, self.boots, self.clock = reported, boots, clock
        self.booted = time.time() - HOUR
        self.reads = self.port = 0
        self.restarting: threading.Thread | None = None
        self.serve()

    @property
    def fresh(self) -> bool:
        """Whether it has booted."""
        return self.booted > time.time() - HOUR / 2

    def serve(self) -> None:
        """Listen where it did before."""
        self.server = grpc.server(ThreadPoolExecutor(8), handlers=[self], options=[("grpc.so_reuseport", 0)])
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def reboot(self) -> None:
        """Go away, and come back."""
        self.server.stop(0.1).wait()
        self.booted = time.time()
        self.serve()

    def end(self) -> None:
        """For good."""
        if self.restarting:
            self.restarting.join()
        self.server.stop(None).wait()

    def service(self, call: Any) -> Any:
        """The handler of a method."""
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        methods = {
            "/gnmi.gNMI/Capabilities": lambda: unary(
                lambda _request, _context: message("gnmi.CapabilityResponse", {"supported_encodings": ["PROTO"]})
            ),
            "/gnmi.gNMI/Subscribe": lambda: grpc.stream_stream_rpc_method_handler(self.subscribe),
            "/gnoi.system.System/Reboot": lambda: unary(self.take_reboot),
            "/gnoi.containerz.Containerz/ListImage": lambda: stream(lambda _request, _context: iter(())),
        }
        if self.clock:
            now = {"time": str(time.time_ns())}
            methods["/gnoi.system.System/Time"] = lambda: unary(
                lambda _request, _context: message("gnoi.system.TimeResponse", now)
            )
        method = methods.get(call.method)
        return method() if method else None

    def take_reboot(self, _request: bytes, _context: Any) -> bytes:
        """Agree."""
        if self.boots:
            self.restarting = threading.Thread(target=self.reboot)
            self.restarting.start()
        return b""

    def subscribe(self, requests: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        """A role, and the boot-time beside others of its container."""
        asked = json.loads(_core.message_decoded("gnmi.SubscribeRequest", next(requests)))
        updates = []
        for subscription in asked["subscribe"]["subscription"]:
            names = [element["name"] for element in subscription["path"]["elem"]]
            if names[-1] == "redundant-role":
                where = path("components", "component", "state", "redundant-role")
                updates.append({"path": where, "val": {"string_val": "PRIMARY"}})
            if names == ["system", "state", "boot-time"]:
                self.reads += 1
                reported = self.reported(self)
                updates.append({"path": path("system", "state", "a-count"), "val": {"uint_val": "7"}})
                if reported is not None:
                    updates.append({"path": path(*names), "val": {"uint_val": str(reported)}})
        notification = {"timestamp": str(time.time_ns()), "update": updates}
        yield message("gnmi.SubscribeResponse", {"update": notification})
        yield message("gnmi.SubscribeResponse", {"sync_response": True})


@pytest.fixture(params=[True, False], ids=["clock known", "clock unknown"])
def router(request: Any) -> Iterator[Callable[[DeviceTime, bool], Router]]:
    """Starts a router."""
    started: list[Router] = []

    def start(reported: DeviceTime, boots: bool) -> Router:
        started.append(Router(reported, boots, request.param))
        return started[-1]

    yield start
    for each in started:
        each.end()


def rebooted(device: Router) -> Any:
    """What comes of a reboot."""
    with holdfast.connect(f"127.0.0.1:{device.port}", insecure=True, deadlines=DEADLINES) as dut:
        return dut.reboot(progress=False)


def late(device: Router) -> int:
    """Nothing for a second after a boot."""
    return int(device.booted * 1e9) if not device.fresh or time.time() - device.booted > 1 else 0


def stale(device: Router) -> int:
    """That of before for a second."""
    wait = device.fresh and time.time() - device.booted < 1
    return int((device.booted - HOUR if wait else device.booted) * 1e9)


PROVEN: dict[str, DeviceTime] = {
    "nanoseconds": lambda device: int(device.booted * 1e9),
    "microseconds": lambda device: int(device.booted * 1e6),
    "milliseconds": lambda device: int(device.booted * 1e3),
    "seconds": lambda device: int(device.booted),
    "late": late,
    "stale": stale,
}


@pytest.mark.parametrize("way", PROVEN)
def test_a_reboot_is_proved_in_whatever_unit_its_time_is_reported(way: str, router: Any) -> None:
    assert "/system/state/boot-time moved on" in rebooted(router(PROVEN[way], True)).witnesses


UNREPORTED: dict[str, DeviceTime] = {
    "never": lambda _device: None,
    "1970": lambda device: 30_000_000_000 if device.fresh else int(device.booted * 1e9),
    "zero": lambda device: 0 if device.fresh else int(device.booted * 1e9),
    "set back": lambda device: int((device.booted - (2 * HOUR if device.fresh else 0)) * 1e9),
}


@pytest.mark.parametrize("way", UNREPORTED)
def test_a_time_that_is_none_is_not_checked_where_the_device_was_away(way: str, router: Any) -> None:
    reboot = rebooted(router(UNREPORTED[way], True))
    assert any("connection was lost" in witness for witness in reboot.witnesses)
    assert "/system/state/boot-time" in [unchecked.what for unchecked in reboot.not_checked]


IGNORED: dict[str, DeviceTime] = {
    "same": lambda device: int(device.booted * 1e9),
    "empty at first": lambda device: None if device.reads == 1 else int(device.booted * 1e9),
    "empty for long": lambda device: None if device.reads <= 3 else int(device.booted * 1e9),
    "later by a second": lambda device: int(device.booted * 1e9) + (0 if device.reads == 1 else 10**9),
    "to and fro": lambda device: int(device.booted * 1e9) + device.reads % 2 * 10**9,
    "never": lambda _device: None,
}


@pytest.mark.parametrize("way", IGNORED)
def test_a_device_that_never_boots_is_found_out_however_its_time_drifts(way: str, router: Any) -> None:
    with pytest.raises(RebootIgnored):
        rebooted(router(IGNORED[way], False))
