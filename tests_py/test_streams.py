"""What is followed, a log or gNMI, outlives a failover with a marker between, or ends with UNAVAILABLE."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import aio, waiting
from holdfast.exceptions import HoldfastError, InvalidArgumentError, NotFound, PermissionDenied, Unavailable

from conftest import isolated

ROLE = "/components/component[name=*]/state/redundant-role"
# How long an emulated failover may take, in seconds.
LIMIT = 20

Failover = Callable[[holdfast.Device, holdfast.Emulator], object]
FAILOVERS: dict[str, tuple[dict[str, Any], Failover]] = {
    "switchover": ({}, lambda dut, _: dut.switchover()),
    "reboot": ({}, lambda dut, _: dut.reboot()),
    "black hole": ({"black_hole": True}, lambda dut, _: dut.switchover()),
    "crash": ({}, lambda _, chassis: crash(chassis)),
}


def crash(chassis: holdfast.Emulator) -> None:
    """The active dies, and nobody expected it."""
    with (
        chassis.failpoint("system.Time", "1*crash"),
        holdfast.connect(chassis.address, insecure=True) as other,
        suppress(HoldfastError),
    ):
        other.system.time(timeout=1)


class Reader(threading.Thread):
    """Reads until the end, on a thread of its own."""

    def __init__(self, stream: Iterator[Any]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.came: list[Any] = []
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Read."""
        try:
            for item in self._stream:
                self.came.append(item)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def resumed(self) -> bool:
        """Whether a marker came."""
        return any(item.resumed for item in self.came)

    def after_marker(self) -> list[Any]:
        """What came after the first marker."""
        at = next((at for at, item in enumerate(self.came) if item.resumed), len(self.came))
        return self.came[at + 1 :]


@contextmanager
def device(archive: Path, **options: Any) -> Iterator[tuple[holdfast.Emulator, holdfast.Device]]:
    """An emulated device with a container."""
    with (
        holdfast.emulator(**options) as chassis,
        holdfast.connect(chassis.address, insecure=True, silence=0.5) as dut,
    ):
        dut.containerz.deploy(archive, retag="app:1", progress=False)
        dut.containerz.start("web", image="app:1")
        primary = next(each.name for each in dut.control_processors() if each.role == "PRIMARY")
        dut.expect_redundant(primary)  # what the standby has not got yet, a crash takes away
        yield chassis, dut


@pytest.mark.parametrize("failover", FAILOVERS)
def test_a_subscription_outlives_a_failover(failover: str, archive: Path) -> None:
    options, fail = FAILOVERS[failover]
    with device(archive, **options) as (chassis, dut):
        reader = Reader(iter(dut.gnmi.stream(ROLE, mode="ON_CHANGE")))
        assert waiting.until(lambda: () in reader.came, LIMIT), reader.came
        assert not reader.resumed()
        fail(dut, chassis)
        assert waiting.until(lambda: () in reader.after_marker(), LIMIT), (reader.came, reader.error)
        marker = next(item for item in reader.came if item.resumed)
        assert marker != ()
        assert list(marker) == []
        assert marker.why
        assert "made again" in str(marker)
        anew = [leaf.value for item in reader.after_marker() for leaf in item]
        assert "PRIMARY" in anew, "the current values come anew"
        assert any("the stream was made again" in event.text for event in dut.timeline)
        dut.close()
        reader.join(LIMIT)
        assert isinstance(reader.error, InvalidArgumentError), reader.error


@pytest.mark.parametrize("failover", FAILOVERS)
def test_a_log_outlives_a_failover(failover: str, archive: Path) -> None:
    options, fail = FAILOVERS[failover]
    with device(archive, **options) as (chassis, dut):
        reader = Reader(iter(dut.containerz.follow_logs("web")))
        assert waiting.until(lambda: any("listening" in line for line in reader.came), LIMIT), reader.came
        fail(dut, chassis)
        assert waiting.until(lambda: any("listening" in line for line in reader.after_marker()), LIMIT), (
            reader.came,
            reader.error,
        )
        marker = next(line for line in reader.came if line.resumed)
        assert "read anew" in marker
        assert marker.why
        assert all(isinstance(line, str) for line in reader.came)
        dut.containerz.stop("web")
        reader.join(LIMIT)
        assert not reader.is_alive(), "a container that stopped is the log's end"
        assert reader.error is None


@pytest.mark.parametrize("failover", FAILOVERS)
def test_who_wants_no_marker_is_told_that_the_stream_ended(failover: str, archive: Path) -> None:
    options, fail = FAILOVERS[failover]
    with device(archive, **options) as (chassis, dut):
        readers = [
            Reader(iter(dut.gnmi.stream(ROLE, mode="ON_CHANGE", resume=False))),
            Reader(iter(dut.containerz.follow_logs("web", resume=False))),
        ]
        assert waiting.until(lambda: all(reader.came for reader in readers), LIMIT)
        fail(dut, chassis)
        for reader in readers:
            reader.join(LIMIT)
            assert isinstance(reader.error, Unavailable), (reader.came, reader.error)
            assert "the stream broke off" in str(reader.error)
            assert "resume" in str(reader.error.hint)
            assert not reader.resumed()


async def to_the_end(stream: Any) -> None:
    """Read what comes until nothing comes any more."""
    while await stream.next() is not None:
        pass


def test_streams_that_are_awaited_outlive_a_failover(archive: Path) -> None:
    async def follow(address: str) -> None:
        async with await aio.connect(address, insecure=True) as dut:
            await dut.control_processors()
            ready, again = asyncio.Event(), []

            async def log() -> None:
                lines = []
                async for line in dut.containerz.follow_logs("web"):
                    lines.append(line)
                    ready.set()
                    if any(line.resumed for line in lines) and "listening" in line:
                        again.append("log")
                        return

            async def subscription() -> None:
                resumed = False
                async for updates in await dut.gnmi.stream(ROLE, mode="ON_CHANGE"):
                    resumed = resumed or updates.resumed
                    if resumed and updates == ():
                        again.append("subscription")
                        return

            tasks = [asyncio.create_task(log()), asyncio.create_task(subscription())]
            await asyncio.wait_for(ready.wait(), LIMIT)
            await dut.switchover()
            await asyncio.wait_for(asyncio.gather(*tasks), LIMIT)
            assert sorted(again) == ["log", "subscription"]
            stream = await dut.gnmi.stream(ROLE, mode="ON_CHANGE", resume=False)
            await stream.next()
            await dut.switchover()
            with pytest.raises(Unavailable):
                await asyncio.wait_for(to_the_end(stream), LIMIT)

    with device(archive) as (chassis, _):
        asyncio.run(follow(chassis.address))


def test_a_new_active_that_refuses_is_the_error(archive: Path) -> None:
    with device(archive) as (chassis, dut):
        readers = [
            Reader(iter(dut.gnmi.stream(ROLE, mode="ON_CHANGE"))),
            Reader(iter(dut.containerz.follow_logs("web"))),
        ]
        assert waiting.until(lambda: all(reader.came for reader in readers), LIMIT)
        with (
            chassis.failpoint("containerz.Log", "error[NOT_FOUND](no such container)"),
            chassis.failpoint("gnmi.Subscribe", "error[PERMISSION_DENIED](not you)"),
        ):
            crash(chassis)
            for reader in readers:
                reader.join(LIMIT)
        assert isinstance(readers[0].error, PermissionDenied), readers[0].error
        assert isinstance(readers[1].error, NotFound), readers[1].error
        for reader in readers:
            assert "refuses to make it again" in str(reader.error)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["logs", "web", "--follow"], "is read anew"),
        (["subscribe", ROLE, "--mode", "ON_CHANGE"], "was made again"),
        (["--json", "logs", "web", "--follow"], '"resumed": true'),
        (["--json", "subscribe", ROLE, "--mode", "ON_CHANGE"], '"resumed": true'),
    ],
)
def test_the_command_follows_over_a_failover(words: list[str], wanted: str, tmp_path: Path, archive: Path) -> None:
    with (
        device(archive) as (chassis, dut),
        command(tmp_path, chassis.address, *words) as (process, lines),
    ):
        assert waiting.until(lambda: bool(lines), LIMIT)
        dut.switchover()
        assert waiting.until(lambda: any(wanted in line for line in lines), LIMIT), lines
        process.terminate()
        if "--json" in words:
            assert all(isinstance(json.loads(line), dict) for line in lines)


def test_the_command_ends_with_the_stream_where_that_is_wanted(tmp_path: Path, archive: Path) -> None:
    words = ["subscribe", ROLE, "--mode", "ON_CHANGE", "--no-resume"]
    with (
        device(archive) as (chassis, dut),
        command(tmp_path, chassis.address, *words) as (process, lines),
    ):
        assert waiting.until(lambda: bool(lines), LIMIT)
        dut.switchover()
        assert process.wait(LIMIT) == 1
        assert process.stderr is not None
        errors = process.stderr.read()
        assert "UNAVAILABLE" in errors
        assert "let it resume" in errors


@contextmanager
def command(folder: Path, address: str, *words: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`holdfast`, and the lines that it wrote so far."""
    told = [sys.executable, "-m", "holdfast.cli", "--dut", address, "--dut-insecure", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(told, stdout=pipe, stderr=pipe, text=True, env=isolated(folder, {})) as process:
        lines: list[str] = []

        def read() -> None:
            lines.extend(iter(process.stdout.readline, "")) if process.stdout else None

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield process, lines
        finally:
            process.kill()
            thread.join(LIMIT)
