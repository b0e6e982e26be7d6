"""The Python API over a real session with the emulated device."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

import holdfast
from holdfast import aio, exceptions

from conftest import wait_until


def test_a_day_in_the_life_of_a_device(
    device: holdfast.Device, chassis_of_test: holdfast.Emulator, archive: Path
) -> None:
    seen: list[tuple[int, int, int]] = []
    image = device.containerz.deploy(archive, progress=lambda *state: seen.append(state))
    assert image in device.containerz.images()
    assert f"{image.name}:{image.tag}" in device.containerz.images()
    assert "absent:latest" not in device.containerz.images()
    assert seen
    assert seen[-1][0] == seen[-1][2] == archive.stat().st_size
    device.containerz.create_volume("ledger", labels={"of": "test"})
    device.containerz.start("web", image=image, volumes={"ledger": "/data"}, ports={60061: 60061}, labels={"a": "b"})
    before = device.containerz.expect_container("web")
    assert before.running
    assert before.labels["a"] == "b"
    moved = device.switchover(redundant=True)
    assert chassis_of_test.active == moved.target == "Supervisor2"
    assert moved.outage is not None
    assert moved.outage.seconds > 0
    assert "asking for Supervisor1 -> Supervisor2" in str(moved.timeline)
    assert device.containerz.expect_container("web", like=before).image == before.image
    device.expect_answer(60061)
    assert device.ping_container(60061).year >= 2026
    assert any("listening" in line for line in device.containerz.logs("web"))
    device.containerz.stop("web")
    assert not device.containerz.container("web").running
    device.containerz.start("web")
    assert device.containerz.container("web").running
    device.containerz.remove("web", force=True)
    assert device.containerz.remove("web", missing_ok=True) is False
    device.containerz.remove_volume("ledger")
    assert device.containerz.remove_volume("ledger", missing_ok=True) is False
    device.containerz.remove_image(image)
    device.containerz.expect_no_image(image, watch=0.1)


def test_the_timeline_tells_requests_and_changes_and_no_secret(device: holdfast.Device, archive: Path) -> None:
    image = device.containerz.deploy(archive)
    device.containerz.start("c", image=image, environment={"TOKEN": "hunter2"})
    device.containerz.create_volume("v", driver="custom", options={"password": "hunter2"})
    device.switchover()
    told = [f"{event.kind} {event.text}" for event in device.timeline]
    started = next(line for line in told if line.startswith("rpc StartContainerRequest"))
    assert '"environment":{"TOKEN":"(hidden)"}' in started
    assert any(line.startswith("gnmi Supervisor2: redundant-role PRIMARY") for line in told)
    assert "hunter2" not in "\n".join(told)


def test_update_moves_a_container_to_another_image(device: holdfast.Device, tmp_path: Path) -> None:
    for tag in ("one", "two"):
        path = tmp_path / f"{tag}.tar"
        holdfast.cntrsrv.write_archive(path, tag=tag, labels={"tag": tag})
        device.containerz.deploy(path)
    device.containerz.start("web", image="cntrsrv_image:one", ports={60061: 60061})
    assert device.containerz.update("web", image="cntrsrv_image:two", ports={60061: 60061}) is False
    assert device.containerz.container("web").image == "cntrsrv_image:two"
    with pytest.raises(exceptions.NotFound):
        device.containerz.update("web", image="absent:latest")
    assert device.containerz.container("web").running


def test_plugins_come_and_go(device: holdfast.Device, archive: Path) -> None:
    device.containerz.deploy(archive, name="plug", is_plugin=True)
    assert device.containerz.start_plugin("plug", "one", config="{}") == "one"
    assert [plugin.instance_name for plugin in device.containerz.plugins()] == ["one"]
    device.containerz.stop_plugin("one")
    device.containerz.remove_plugin("one")
    device.containerz.remove_plugin_tar("plug")
    with pytest.raises(exceptions.NotFound):
        device.containerz.start_plugin("plug", "one")


def test_gnmi_in_all_its_modes(device: holdfast.Device) -> None:
    assert "PROTO" in device.gnmi.capabilities().encodings
    role = "/components/component[name=Supervisor1]/state/redundant-role"
    assert [leaf.value for leaf in device.gnmi.get(role)] == ["PRIMARY"]
    assert [leaf.value for leaf in device.gnmi.once(role)] == ["PRIMARY"]
    device.gnmi.set(update={"/system/config/hostname": "dut-7"})
    assert [leaf.value for leaf in device.gnmi.get("/system/config/hostname")] == ["dut-7"]
    poll = device.gnmi.poll(role)
    poll.ask()
    first = poll.next(timeout=5)
    assert first
    assert first[0].value == "PRIMARY"
    stream = device.gnmi.stream("/components/component[name=*]/state/switchover-ready", mode="ON_CHANGE")
    values = [leaf.value for _ in range(2) for leaf in stream.next(timeout=5) or ()]
    assert values == [True, True]
    assert stream.next(timeout=5) == ()
    device.containerz.create_volume("v")
    changed = stream.next(timeout=5)
    assert changed
    assert all(leaf.value is False for leaf in changed)


def test_system_calls(device: holdfast.Device) -> None:
    before, told = time.time(), device.system.time().timestamp()
    assert before - 0.001 <= told <= time.time()
    assert device.system.ping("127.0.0.1", count=2).received == 2
    assert device.system.ping("192.0.2.1", count=2).received == 0
    assert device.system.reboot_status().active is False
    with pytest.raises(exceptions.NotFound):
        device.system.switch_control_processor("absent")


def test_a_volume_survives_a_reboot_and_restart_policies_hold(device: holdfast.Device, archive: Path) -> None:
    image = device.containerz.deploy(archive)
    device.containerz.create_volume("kept")
    device.containerz.start("always", image=image, ports={60061: 60061}, volumes={"kept": "/data"})
    device.containerz.start("never", image=image, ports={60061: 60062}, restart="NONE")
    rebooted = device.reboot()
    assert len(rebooted.witnesses) == 2
    device.containerz.expect_container("always")
    device.containerz.expect_volume("kept")
    assert device.containerz.container("never").status == "STOPPED"


def test_state_outlives_the_chassis(tmp_path: Path, archive: Path) -> None:
    for expected in (0, 1):
        with (
            holdfast.emulator(state=tmp_path / "state") as chassis,
            holdfast.connect(chassis.address, insecure=True) as dut,
        ):
            assert len(dut.containerz.images()) == expected
            if not expected:
                dut.containerz.deploy(archive)


def test_retag_keeps_the_id_and_a_moved_name_needs_replace(device: holdfast.Device, tmp_path: Path) -> None:
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    holdfast.cntrsrv.write_archive(one, labels={"n": "1"})
    holdfast.cntrsrv.write_archive(two, labels={"n": "2"})
    first = device.containerz.deploy(one, retag="app:v1")
    assert first.id == holdfast.Archive.open(one).images[0].id
    names = {(image.name, image.tag) for image in device.containerz.images()}
    assert names == {("app", "v1")}
    with pytest.raises(exceptions.AlreadyExists, match="names another image"):
        device.containerz.deploy(two, retag="app:v1")
    second = device.containerz.deploy(two, retag="app:v1", replace=True)
    device.containerz.expect_image(second, watch=0)


def test_a_failpoint_that_is_never_hit_fails(chassis_of_test: holdfast.Emulator, device: holdfast.Device) -> None:
    with pytest.raises(exceptions.ExpectationFailed, match="never hit"), chassis_of_test.failpoint("gnmi.Set", "1*off"):
        pass
    with chassis_of_test.failpoint("containerz.ListVolume", "1*error[RESOURCE_EXHAUSTED](full)") as armed:
        with pytest.raises(exceptions.ResourceExhausted, match="full"):
            device.containerz.volumes()
        assert armed.hits == 1
    with pytest.raises(exceptions.InvalidArgumentError, match=r"containerz\.Deploy"):
        chassis_of_test.arm("containerz.Deplox", "1*off")


def test_reads_are_repeated_and_changes_are_not(chassis_of_test: holdfast.Emulator, device: holdfast.Device) -> None:
    with chassis_of_test.failpoint("containerz.ListVolume", "3*error[UNAVAILABLE](busy)") as armed:
        assert device.containerz.volumes() == ()
        assert armed.hits == 3
    with (
        chassis_of_test.failpoint("containerz.StopContainer", "9*error[UNAVAILABLE](busy)") as armed,
        pytest.raises(exceptions.Unavailable),
    ):
        device.containerz.stop("web")
    assert armed.hits == 1


def test_a_change_whose_answer_is_lost_has_an_unknown_outcome(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device
) -> None:
    with chassis_of_test.failpoint("gnmi.Set", "1*panic(dies)"), pytest.raises(exceptions.OutcomeUnknown, match="sent"):
        device.gnmi.set(update={"/system/config/hostname": "x"})
    device.control_processors(timeout=10)


def test_a_control_processor_that_dies_is_survived(chassis_of_test: holdfast.Emulator, device: holdfast.Device) -> None:
    device.containerz.create_volume("kept")
    device.expect_redundant("Supervisor1")
    with chassis_of_test.failpoint("containerz.ListImage", "1*panic(dies)"):
        assert device.containerz.images(timeout=10) == ()
    assert chassis_of_test.active == "Supervisor2"
    device.containerz.expect_volume("kept")


@pytest.mark.parametrize("black_hole", [False, True])
def test_a_transfer_survives_a_failover_with_retries(archive: Path, *, black_hole: bool) -> None:
    with (
        holdfast.emulator(chunk_size=100_000, black_hole=black_hole) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        with (
            chassis.failpoint("containerz.Deploy.chunk", "5*off->1*panic(dies)"),
            pytest.raises(exceptions.OutcomeUnknown, match=r"of \d+ bytes"),
        ):
            dut.containerz.deploy(archive)
        dut.expect_redundant("Supervisor2")
        with chassis.failpoint("containerz.Deploy.chunk", "5*off->1*panic(dies)"):
            image = dut.containerz.deploy(archive, retries=1)
        assert image in dut.containerz.images()


def test_blocking_calls_end_at_ctrl_c(device: holdfast.Device, chassis_of_test: holdfast.Emulator) -> None:
    with chassis_of_test.failpoint("containerz.ListImage", "1*pause") as held:

        def press() -> None:
            held.wait_reached()
            os.kill(os.getpid(), signal.SIGINT)

        presser = threading.Thread(target=press)
        presser.start()
        with pytest.raises(KeyboardInterrupt):
            device.containerz.images(timeout=60)  # nobody answers while it is held
        presser.join()
    assert device.containerz.volumes() == ()


def _in_child(queue: multiprocessing.Queue[str], address: str) -> None:
    try:
        holdfast.connect(address, insecure=True)
    except RuntimeError as error:
        queue.put(str(error))


def test_a_forked_child_gets_an_error_instead_of_a_hang(chassis_of_test: holdfast.Emulator) -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[str] = context.Queue()
    child = context.Process(target=_in_child, args=(queue, chassis_of_test.address))
    child.start()
    assert "forked" in queue.get(timeout=10)
    child.join(timeout=10)


def test_the_core_logs_through_python(device: holdfast.Device, caplog: pytest.LogCaptureFixture) -> None:
    def logged() -> bool:
        return any("CreateVolume" in record.getMessage() for record in caplog.records)

    with caplog.at_level(logging.DEBUG, logger="holdfast"):
        device.containerz.create_volume("x")
        wait_until(logged, what="the line")


def test_a_progress_callback_may_call_back_in(device: holdfast.Device, archive: Path) -> None:
    volumes = []
    device.containerz.deploy(archive, progress=lambda *_: volumes.append(device.containerz.volumes()))
    assert volumes


def test_durations_are_seconds_or_timedeltas(device: holdfast.Device) -> None:
    assert device.containerz.images(timeout=timedelta(seconds=5)) == ()
    with pytest.raises(ValueError, match="no duration"):
        device.containerz.images(timeout=-1)
    with pytest.raises(TypeError, match="timedelta"):
        device.containerz.images(timeout="5")  # type: ignore[arg-type]


GAVE_UP = "a callback has not returned"


def test_a_callback_that_hangs_is_left_behind_and_told(
    device: holdfast.Device, archive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()
    image = device.containerz.deploy(archive, progress=lambda *_: go_on.wait(60))
    assert image in device.containerz.images()
    go_on.set()
    wait_until(lambda: GAVE_UP in caplog.text, what="the line")


@pytest.mark.asyncio
async def test_a_completion_does_not_wait_for_the_thread_that_it_runs_on(
    archive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with aio.emulator() as chassis, aio.connect(chassis.address, insecure=True) as dut:
        await dut.containerz.deploy(archive, progress=lambda *_: None)
    assert GAVE_UP not in caplog.text


@pytest.mark.asyncio
async def test_the_same_with_await(archive: Path) -> None:
    async with aio.emulator() as chassis, aio.connect(chassis.address, insecure=True) as dut:
        told: list[tuple[int, int, int]] = []
        image = await dut.containerz.deploy(archive, progress=lambda *state: told.append(state))
        assert told[-1][0] == told[-1][2]
        images, roles = await asyncio.gather(dut.containerz.images(), dut.control_processors())
        assert image in images
        assert {cp.role for cp in roles} == {"PRIMARY", "SECONDARY"}
        moved = await dut.switchover(redundant=True)
        assert moved.target == await chassis.active()
        with pytest.raises(exceptions.NotFound):
            await dut.containerz.container("absent")
        stream = await dut.gnmi.stream("/components/component[name=*]/state/redundant-role")
        async for leaves in stream:
            if leaves == ():
                break


@pytest.mark.asyncio
async def test_cancelling_an_awaitable_drops_the_call() -> None:
    async with aio.emulator() as chassis, aio.connect(chassis.address, insecure=True) as dut:
        async with chassis.failpoint("containerz.ListImage", "1*pause") as held:
            call = asyncio.ensure_future(dut.containerz.images(timeout=60))
            await held.wait_reached()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert await dut.containerz.volumes() == ()


def test_what_takes_long_says_what_it_is_at(chassis_of_test: holdfast.Emulator) -> None:
    told: list[tuple[float, str]] = []
    with holdfast.emulator(outage=0.8) as chassis, holdfast.connect(chassis.address, insecure=True) as device:
        device.switchover(redundant=True, progress=lambda seconds, what: told.append((seconds, what)))
    assert len(told) >= 2
    assert [seconds for seconds, _ in told] == sorted(seconds for seconds, _ in told)
    assert all(what for _, what in told)
    quiet: list[object] = []
    with holdfast.connect(chassis_of_test.address, insecure=True) as device:
        assert device.switchover(progress=False).target == "Supervisor2"
        with pytest.raises(holdfast.exceptions.InvalidArgumentError):
            device.switchover(to="nobody", progress=lambda *_: quiet.append(1))
