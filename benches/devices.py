"""Any device: how soon a lost peer is noticed, what TLS costs an upload, what two workers and many devices take."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import grpc

import holdfast


def noticed(*, black_hole: bool, peer_patience: float) -> tuple[float, float | None]:
    """Seconds from the death of the active until it is noticed: by ours, and by grpcio with its defaults.

    Both wait for an answer that the device holds back when its active dies. Ours notices when its timeline says that
    the connection is lost or left: outside of a failover the call itself goes on until the loss is proved. grpcio
    notices when the call ends; None: not within `peer_patience`.
    """
    with (
        holdfast.emulator(outage=peer_patience, black_hole=black_hole) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
        grpc.insecure_channel(chassis.address) as channel,
    ):
        time_of = channel.unary_unary("/gnoi.system.System/CancelReboot")
        time_of(b"", timeout=5)
        ended: dict[str, float] = {}
        waited_from = datetime.now(timezone.utc)

        def peer() -> None:
            try:
                time_of(b"", timeout=peer_patience)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                    ended["grpcio"] = time.monotonic()

        def ours() -> None:
            with suppress(holdfast.HoldfastError):
                dut.system.cancel_reboot(timeout=peer_patience)

        with chassis.failpoint("system.CancelReboot", "2*delay(100s)") as held:
            threads = [threading.Thread(target=wait) for wait in (peer, ours)]
            for thread in threads:
                thread.start()
            held.wait_reached(times=2)
            with chassis.failpoint("system.Time", "1*crash"), holdfast.connect(chassis.address, insecure=True) as other:
                died, died_at = time.monotonic(), datetime.now(timezone.utc)
                with suppress(holdfast.HoldfastError):
                    other.system.time(timeout=0.5)
            for thread in threads:
                thread.join()
        left = next(event for event in dut.timeline if event.kind == "connection" and event.time >= waited_from)
        theirs = ended.get("grpcio")
        return (left.time - died_at).total_seconds(), None if theirs is None else theirs - died


def upload(path: Path, *, tls: bool) -> float:
    """Seconds to bring a file to the emulated device as a plugin."""
    with (
        holdfast.emulator(tls=tls, chunk_size=3_000_000) as chassis,
        holdfast.connect(chassis.address, insecure=not tls, tls=chassis.tls) as dut,
    ):
        began = time.monotonic()
        dut.containerz.deploy(path, name="bench", is_plugin=True, progress=False)
        return time.monotonic() - began


def sixteen(folder: Path, *options: str) -> float:
    """Seconds for CNTR-3.1 to 3.7 on sixteen emulated devices."""
    lab = folder / "lab.yaml"
    lab.write_text("devices:\n" + "".join(f"  dut{number}: {{emulated: true}}\n" for number in range(16)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--testbed", str(lab)]
    command += ["-k", "cntr3 and not cntr3_8", *options]
    began = time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def fleet(folder: Path, count: int, cases: str) -> tuple[float, float]:
    """CPU seconds for all of so many devices of one `holdfast emulate`: of the tests by two workers, of the devices."""
    lab = folder / f"lab{count}.yaml"
    words = ["--count", str(count), "--listen", "127.1.0.0/16:0", "--testbed-out", str(lab)]
    devices = subprocess.Popen(
        [sys.executable, "-m", "holdfast.cli", "emulate", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert devices.stdout is not None
    try:
        for _ in range(count):
            assert devices.stdout.readline()
        began = _used(devices.pid)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--testbed", str(lab)]
        subprocess.run([*command, "-k", cases, "-n", "2"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return ours, _used(devices.pid) - began
    finally:
        devices.terminate()
        devices.wait()
        devices.stdout.close()


def _used(process: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
