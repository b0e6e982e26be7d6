"""A device that is slow is not a dead one: its process stands still for a while, with a call under way, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

import holdfast
from holdfast import waiting
from holdfast.exceptions import InvalidArgumentError, OutcomeUnknown

from conftest import isolated

# How long the process stands still, and how long the session waits before it dials beside, in seconds.
STILL, SILENCE = 2.5, 0.4

Change = Callable[[holdfast.Device, Path], object]
CHANGES: dict[str, tuple[str, Change]] = {
    "deploy": ("containerz.Deploy", lambda dut, archive: dut.containerz.deploy(archive, progress=False)),
    "create a volume": ("containerz.CreateVolume", lambda dut, _: dut.containerz.create_volume("fresh")),
    "remove a volume": ("containerz.RemoveVolume", lambda dut, _: dut.containerz.remove_volume("kept")),
    "start": ("containerz.StartContainer", lambda dut, _: dut.containerz.start("web", image="app:1", command="serve")),
    "ask the time": ("system.Time", lambda dut, _: dut.system.time(timeout=20)),
}


@contextmanager
def emulated(folder: Path, failpoints: str) -> Iterator[tuple[int, str]]:
    """`holdfast emulate`: its process and its address."""
    command = [sys.executable, "-m", "holdfast.cli", "emulate", "--listen", "auto"]
    environment = isolated(folder, {"HOLDFAST_FAILPOINTS": failpoints})
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.pid, process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """The process does nothing, and then goes on; its kernel takes connections all the while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("change", CHANGES)
def test_a_process_that_stands_still_ends_no_call(change: str, tmp_path: Path, archive: Path) -> None:
    site, do = CHANGES[change]
    # What it is asked takes it a moment, in which it falls still.
    with ExitStack() as stack:
        pid, address = stack.enter_context(emulated(tmp_path, f"{site}=1*delay(300ms)"))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        with holdfast.connect(address, insecure=True, silence=SILENCE) as dut:
            if change == "remove a volume":
                dut.containerz.create_volume("kept")
            if change == "start":
                dut.containerz.deploy(archive, retag="app:1", progress=False)
            asked = pool.submit(do, dut, archive)
            assert waiting.until(asked.running, 5)
            assert waiting.watch(lambda: not asked.done(), 0.15) is None
            with standing_still(pid):
                assert waiting.watch(lambda: not asked.done(), STILL) is None, asked
            asked.result(timeout=30)
            assert any("silent" in event.text for event in dut.timeline if event.kind == "connection")
            dut.containerz.volumes()


def test_what_a_device_forgot_is_looked_for(tmp_path: Path) -> None:
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True, silence=SILENCE) as dut:
        with chassis.failpoint("containerz.CreateVolume.after", "1*hang"):
            assert dut.containerz.create_volume("done", timeout=30) == "done"
        assert any("it was executed" in event.text for event in dut.timeline)
        with chassis.failpoint("containerz.CreateVolume", "1*hang"), pytest.raises(OutcomeUnknown) as caught:
            dut.containerz.create_volume("never", timeout=5)
        assert "it was not executed" in str(caught.value)


class Slow(grpc.GenericRpcHandler):
    """Serves gNOI System CancelReboot, for longer than the connection may be old."""

    def service(self, call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """A handler for the one method."""
        if not call_details.method.endswith("/CancelReboot"):
            return None

        def answer(_request: bytes, _context: grpc.ServicerContext) -> bytes:
            waiting.watch(lambda: True, 2.0)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


def test_a_graceful_goaway_lets_a_call_end() -> None:
    options = [("grpc.max_connection_age_ms", 500), ("grpc.max_connection_age_grace_ms", 20_000)]
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, handlers=[Slow()], options=options)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with holdfast.connect(f"127.0.0.1:{port}", insecure=True, silence=SILENCE) as dut:
                for _ in range(3):
                    dut.system.cancel_reboot(timeout=20)
        finally:
            server.stop(None).wait()


@pytest.mark.parametrize("name", ["silence", "dial_timeout", "call_timeout"])
def test_a_time_without_sense_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        holdfast.connect("127.0.0.1:1", insecure=True, **{name: -1})
