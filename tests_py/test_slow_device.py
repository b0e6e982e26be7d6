"""A device that is slow is not a dead one: its process stands still for a while, with a call under way, and goes on."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from fronts import dialled

import holdfast
from holdfast import waiting
from holdfast.exceptions import InvalidArgumentError, OutcomeUnknown

from conftest import RunSuite, isolated
from peers import listening, served

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


def test_after_a_failover_nobody_waits_for_what_the_new_active_never_heard_of() -> None:
    with (
        holdfast.emulator(black_hole=True, outage=0.3) as chassis,
        holdfast.connect(chassis.address, insecure=True, silence=SILENCE) as dut,
        ThreadPoolExecutor(1) as pool,
        chassis.failpoint("containerz.CreateVolume", "1*hang") as held,
    ):
        asked = pool.submit(dut.containerz.create_volume, "never", timeout=60)
        held.wait_reached()
        dut.switchover()
        with pytest.raises(OutcomeUnknown):
            asked.result(timeout=60)
        looks = [event.repeated for event in dut.timeline if "Containerz.ListVolume" in event.text]
        assert looks == [0], "it was looked for but once, before it was asked for: an outage was expected meanwhile"


@contextmanager
def forgetting(target: str, forgets: threading.Event, how: str) -> Iterator[str]:
    """What stands before a device. Once it forgets, connections that it had are answered by a reset, or by nothing."""

    def serve(client: socket.socket) -> None:
        known = not forgets.is_set()
        with dialled(target) as device:
            while True:
                for side in select.select([client, device], [], [], 60)[0]:
                    data = side.recv(65536)
                    if not data:
                        return
                    if known and forgets.is_set():
                        if how == "reset":
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                            return
                        continue
                    (device if side is client else client).sendall(data)

    with listening(serve) as found:
        yield found.address


STALE: dict[str, Callable[[holdfast.Device], object]] = {
    "gNMI Set": lambda dut: dut.gnmi.set(update={"/system/config/hostname": "after"}),
    "RemoveContainer": lambda dut: dut.containerz.remove("typo", missing_ok=True),
    "CancelReboot": lambda dut: dut.system.cancel_reboot(message="none"),
}


@pytest.mark.parametrize("how", ["reset", "silence"])
@pytest.mark.parametrize("change", STALE)
def test_a_change_is_not_lost_on_a_connection_that_was_forgotten_meanwhile(change: str, how: str) -> None:
    """As by a firewall, or by the control processor that took over (featureprofiles#5875)."""
    forgets = threading.Event()
    with (
        holdfast.emulator() as chassis,
        forgetting(chassis.address, forgets, how) as address,
        holdfast.connect(address, insecure=True, silence=0.2) as dut,
    ):
        dut.system.time()
        forgets.set()
        assert waiting.watch(lambda: True, 1.5) is None, "nobody asks anything"
        STALE[change](dut)


@pytest.mark.parametrize("quirk", ["path-form-internal", "path-form-not-found", "path-form-precondition"])
def test_a_switchover_is_asked_for_in_the_form_that_the_device_takes(quirk: str) -> None:
    with holdfast.emulator(quirks=[quirk]) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        standby = next(cp.name for cp in dut.control_processors() if cp.role == "SECONDARY")
        assert dut.ask_for_switchover() == standby
        with pytest.raises(InvalidArgumentError, match="is not the standby"):
            dut.ask_for_switchover("Supervisor9")


def test_what_nobody_knows_to_have_been_there_is_not_called_removed() -> None:
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True, silence=SILENCE) as dut:
        with chassis.failpoint("containerz.RemoveContainer", "1*hang"), pytest.raises(OutcomeUnknown) as caught:
            dut.containerz.remove("typo", timeout=10)
        assert "as if it was executed" in str(caught.value)


class Slow(grpc.GenericRpcHandler):
    """Serves one method of gNOI, slowly, and counts how often it was asked."""

    def __init__(self, method: str, seconds: float) -> None:
        self.method, self.seconds, self.asked = method, seconds, 0

    def service(self, call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """A handler for the one method."""
        if not call_details.method.endswith(self.method):
            return None

        def answer(_request: bytes, _context: grpc.ServicerContext) -> bytes:
            self.asked += 1
            waiting.watch(lambda: True, self.seconds)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


def test_a_graceful_goaway_lets_a_call_end() -> None:
    options = (("grpc.max_connection_age_ms", 500), ("grpc.max_connection_age_grace_ms", 20_000))
    with ExitStack() as stack:
        address = stack.enter_context(served(Slow("/CancelReboot", 2.0), *options))
        dut = stack.enter_context(holdfast.connect(address, insecure=True, silence=SILENCE))
        for _ in range(3):
            dut.system.cancel_reboot(timeout=20)


def test_a_slow_read_of_a_server_with_one_worker_is_asked_twice_at_most() -> None:
    handler = Slow("/Time", 2.0)
    with served(handler, workers=1) as address, holdfast.connect(address, insecure=True, silence=SILENCE) as dut:
        dut.system.time(timeout=30)
    assert handler.asked <= 4, "the read, once more, and the questions whether it is there"


def test_a_device_that_limits_streams_is_not_taken_for_dead() -> None:
    with ExitStack() as stack:
        address = stack.enter_context(served(Slow("/CancelReboot", 3.0), ("grpc.max_concurrent_streams", 1)))
        dut = stack.enter_context(holdfast.connect(address, insecure=True, silence=SILENCE))
        dut.system.cancel_reboot(timeout=30)


def test_roles_that_are_told_slowly_are_told() -> None:
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        dut.control_processors()
        with chassis.failpoint("gnmi.Subscribe", "delay(900ms)"):
            assert dut.switchover().target == "Supervisor2"


@pytest.mark.parametrize("name", ["silence", "dial_timeout", "call_timeout"])
def test_a_time_without_sense_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        holdfast.connect("127.0.0.1:1", insecure=True, **{name: -1})


def test_a_transfer_ends_where_the_silent_failover_was_over_before_its_silence_was_noticed(run_suite: RunSuite) -> None:
    options = ("black-hole=yes", "listen=auto,auto", "outage=0.477s")
    run = run_suite("-k", "midway_deploy_middle", *(f"--dut-emulator={option}" for option in options))
    assert run.exit_code == 0, run.output
