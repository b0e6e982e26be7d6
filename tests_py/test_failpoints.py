"""Every action at every kind of site of the emulated device, and every way to arm one."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import holdfast
from holdfast import aio, exceptions, failpoint
from holdfast._core import failpoint_names

from conftest import RunSuite, emulate, isolated, wait_until
from peers import command

QUICK = {"outage": 0.03, "load": 0.01, "boot": 0.03, "reboot": 0.05}
STEPS = (
    "switchover.leave",
    "switchover.take_over",
    "switchover.come_back",
    "switchover.sync.image",
    "switchover.sync.container",
    "switchover.sync.volume",
    "switchover.sync.plugin",
    "load.image",
    "load.container",
    "load.volume",
    "load.plugin",
    "reboot.leave",
    "reboot.boot",
)
ACTIONS = (
    "off",
    "error[UNAVAILABLE](no)",
    "delay(20ms..40ms)",
    "pause(50ms)",
    "drop",
    "hang",
    "crash",
    "panic(x)",
    "exit(3)",
    "corrupt(truncate)",
    "corrupt(flip:3)",
    "corrupt(garbage)",
    'return{"details":"said so"}',
    "print(words)",
)


@contextmanager
def running(**settings: object) -> Iterator[tuple[holdfast.Emulator, holdfast.Device]]:
    with (
        holdfast.emulator(**{**QUICK, **settings}) as chassis,  # type: ignore[arg-type]
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        yield chassis, dut


def volume_names(dut: holdfast.Device) -> list[str]:
    return [volume.name for volume in dut.containerz.volumes()]


def names_or_nothing(dut: holdfast.Device) -> list[str]:
    """What a listing gives that may be corrupted beyond reading."""
    with contextlib.suppress(exceptions.HoldfastError):
        return volume_names(dut)
    return []


# --- RPCs ---------------------------------------------------------------------------------------------------------


def test_an_error_before_keeps_it_from_being_done_and_one_after_does_not(
    device: holdfast.Device, chassis_of_test: holdfast.Emulator
) -> None:
    for point, there in (("containerz.CreateVolume", []), ("containerz.CreateVolume.after", ["v"])):
        with chassis_of_test.failpoint(point, "1*error[RESOURCE_EXHAUSTED](full)") as fp:
            with pytest.raises(exceptions.ResourceExhausted, match="full"):
                device.containerz.create_volume("v")
            assert fp.hits == 1
        assert volume_names(device) == there


@pytest.mark.parametrize(
    ("terms", "error", "words"),
    [
        ("error(m)", exceptions.Unknown, "m"),
        ("error[EIO](m)", exceptions.Unknown, "EIO: m"),
        ("error[11]{a) b}", exceptions.Unknown, r"11: a\) b"),
        ("error[DATA_LOSS](m)", exceptions.DataLoss, "m"),
        ("delay(1)+error[ABORTED](m)", exceptions.Aborted, "m"),
    ],
)
def test_the_codes_of_errors(
    device: holdfast.Device, chassis_of_test: holdfast.Emulator, terms: str, error: type[Exception], words: str
) -> None:
    with chassis_of_test.failpoint("containerz.CreateVolume", terms), pytest.raises(error, match=words):
        device.containerz.create_volume("v")


def test_a_delay_delays_and_ends(device: holdfast.Device, chassis_of_test: holdfast.Emulator) -> None:
    with chassis_of_test.failpoint("containerz.ListVolume", "1*delay(60m..90m)->1*delay(20ms..30ms)") as fp:
        with pytest.raises(exceptions.Timeout):
            device.containerz.volumes(timeout=0.5)
        assert volume_names(device) == []
        assert fp.hits == 2


def test_a_pause_is_seen_and_released(device: holdfast.Device, chassis_of_test: holdfast.Emulator) -> None:
    with (
        chassis_of_test.failpoint("containerz.ListVolume", "1*pause") as fp,
        ThreadPoolExecutor() as threads,
    ):
        asked = threads.submit(volume_names, device)
        fp.wait_reached(timeout=5)
        assert not asked.done()
        fp.release()
        assert asked.result(timeout=5) == []
        with pytest.raises(exceptions.Timeout, match="1 of 2 times"):
            fp.wait_reached(timeout=0.05, times=2)


def test_who_waits_is_released_when_it_is_disarmed(device: holdfast.Device, chassis_of_test: holdfast.Emulator) -> None:
    with ThreadPoolExecutor() as threads:
        with chassis_of_test.failpoint("containerz.ListVolume", "pause") as fp:
            asked = threads.submit(volume_names, device)
            fp.wait_reached()
        assert asked.result(timeout=5) == []


@pytest.mark.parametrize("terms", ["drop", "hang"])
@pytest.mark.parametrize(("after", "there"), [("", []), (".after", ["v"])])
def test_no_answer_comes_and_the_session_lives_on(terms: str, after: str, there: list[str]) -> None:
    with running() as (chassis, dut):
        with (
            chassis.failpoint(f"containerz.CreateVolume{after}", f"1*{terms}"),
            pytest.raises((exceptions.OutcomeUnknown, exceptions.Timeout)),
        ):
            dut.containerz.create_volume("v", timeout=0.3)
        with holdfast.connect(chassis.address, insecure=True) as another:
            assert volume_names(another) == there
        assert volume_names(dut) == there  # a session that hangs is given up, and made again


@pytest.mark.parametrize("terms", ["crash", "panic(kernel)", "exit(1)"])
def test_a_control_processor_dies_and_the_other_takes_over(terms: str) -> None:
    with running() as (chassis, dut):
        dut.containerz.create_volume("kept")
        dut.expect_redundant("Supervisor1")
        with (
            chassis.failpoint("containerz.CreateVolume", f"1*{terms}"),
            pytest.raises((exceptions.OutcomeUnknown, exceptions.Unavailable)),
        ):
            dut.containerz.create_volume("v", timeout=5)
        dut.expect_redundant("Supervisor2")
        assert chassis.active == "Supervisor2"
        assert volume_names(dut) == ["kept"]


def test_a_corrupted_request_and_a_corrupted_answer(
    device: holdfast.Device, chassis_of_test: holdfast.Emulator
) -> None:
    with (
        chassis_of_test.failpoint("containerz.CreateVolume", "1*corrupt(garbage)"),
        contextlib.suppress(exceptions.RpcError),
    ):
        device.containerz.create_volume("v" * 40)
    assert "v" * 40 not in volume_names(device)
    device.containerz.create_volume("w" * 40)
    with chassis_of_test.failpoint("containerz.ListVolume.after", "corrupt(truncate)"):
        assert "w" * 40 not in names_or_nothing(device)


def test_return_answers_instead_and_changes_what_is_answered(
    device: holdfast.Device, chassis_of_test: holdfast.Emulator
) -> None:
    with chassis_of_test.failpoint("containerz.ListVolume", '1*return{"name": "ghost", "driver": "custom"}'):
        assert [(volume.name, volume.driver) for volume in device.containerz.volumes()] == [("ghost", "custom")]
    device.containerz.create_volume("v", labels={"a": "b"})
    with chassis_of_test.failpoint("containerz.ListVolume.after", '1*return{"labels": {"c": "d"}}'):
        assert [(volume.name, volume.labels) for volume in device.containerz.volumes()] == [("v", {"c": "d"})]
    with chassis_of_test.failpoint("system.Time", '1*return{"time": 1000000000}'):
        assert device.system.time().year == 1970


def test_print_is_a_line_in_the_log(
    device: holdfast.Device, chassis_of_test: holdfast.Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="holdfast"):
        with chassis_of_test.failpoint("containerz.ListVolume", "1*print(here I am)"):
            assert volume_names(device) == []
        wait_until(lambda: "here I am" in caplog.text)


# --- messages of a stream -----------------------------------------------------------------------------------------


def test_each_row_of_an_answer(device: holdfast.Device, chassis_of_test: holdfast.Emulator) -> None:
    for name in ("a", "b", "c"):
        device.containerz.create_volume(name)
    row = "containerz.ListVolume.row"
    with chassis_of_test.failpoint(row, "1*off->1*drop"):
        assert volume_names(device) == ["a", "c"]
    with chassis_of_test.failpoint(row, '2*off->1*return{"name": "z"}'):
        assert volume_names(device) == ["a", "b", "z"]
    with chassis_of_test.failpoint(row, "1*off->1*error[ABORTED](midway)"), pytest.raises(exceptions.Aborted):
        volume_names(device)
    with chassis_of_test.failpoint(f"{row}.after", "3*delay(30)") as fp:
        assert volume_names(device) == ["a", "b", "c"]
        assert fp.hits == 3
    with chassis_of_test.failpoint(f"{row}.after", "1*off->1*delay(60m)"), pytest.raises(exceptions.Timeout):
        device.containerz.volumes(timeout=0.5)
    with chassis_of_test.failpoint(f"{row}.after", '1*drop->1*return{"name": "y"}'):
        assert volume_names(device) == ["y", "c"]
    with chassis_of_test.failpoint(f"{row}.after", "1*corrupt(garbage)"):
        assert names_or_nothing(device) != ["a", "b", "c"]
    with chassis_of_test.failpoint(row, "1*hang"), pytest.raises(exceptions.Timeout):
        device.containerz.volumes(timeout=0.3)
    assert volume_names(device) == ["a", "b", "c"]


def test_each_chunk_of_a_transfer(archive: Path) -> None:
    chunk = "containerz.Deploy.chunk"
    for terms, error in (
        ("1*off->1*error[RESOURCE_EXHAUSTED](full)", exceptions.ResourceExhausted),
        ("1*corrupt(flip:1)", exceptions.InvalidArgument),
        ("1*corrupt(garbage)", exceptions.HoldfastError),
        ("1*drop", exceptions.HoldfastError),
        ("1*hang", exceptions.HoldfastError),
        ("1*off->1*crash", exceptions.HoldfastError),
        ('1*return{"content": "bm8="}', exceptions.InvalidArgument),
    ):
        with running() as (chassis, dut):
            with chassis.failpoint(chunk, terms), pytest.raises(error):
                dut.containerz.deploy(archive, timeout=1.5)
            assert dut.containerz.images() == ()
    for terms in ("1*delay(10)", "1*pause(20ms)", "1*print(x)", "off"):
        with running() as (chassis, dut), chassis.failpoint(f"{chunk}.after", terms):
            assert dut.containerz.deploy(archive) in dut.containerz.images()


def test_after_deploy_the_image_is_there_and_the_answer_is_lost(archive: Path) -> None:
    with running() as (chassis, dut):
        with (
            chassis.failpoint("containerz.Deploy.after", "1*error[INTERNAL](lost)"),
            pytest.raises(exceptions.Internal),
        ):
            dut.containerz.deploy(archive)
        assert [image.name for image in dut.containerz.images()] == ["cntrsrv_image"]


def test_each_update_of_a_subscription(device: holdfast.Device, chassis_of_test: holdfast.Emulator) -> None:
    update = "gnmi.Subscribe.update"
    path = "/components/component[name=Supervisor1]/state/redundant-role"

    def roles() -> list[object]:
        return [leaf.value for leaf in device.gnmi.once(path, timeout=0.5)]

    assert roles() == ["PRIMARY"]
    with chassis_of_test.failpoint(update, '1*return{"redundant-role": "TERTIARY"}'):
        assert roles() == ["TERTIARY"]
    with chassis_of_test.failpoint(update, "1*corrupt(truncate)"):
        assert roles() == ["PRI"]
    with chassis_of_test.failpoint(f"{update}.after", "1*corrupt(truncate)"):
        assert roles() == ["PRI"]
    for point in (update, f"{update}.after"):
        with chassis_of_test.failpoint(point, "1*drop"):
            assert roles() == []
    for terms in ("1*delay(10)", "1*pause(10ms)", "1*print(x)"):
        with chassis_of_test.failpoint(update, terms), chassis_of_test.failpoint(f"{update}.after", terms):
            assert roles() == ["PRIMARY"]
    for terms, error in (("1*error[ABORTED](x)", exceptions.Aborted), ("1*hang", exceptions.Timeout)):
        with chassis_of_test.failpoint(update, terms), pytest.raises(error):
            roles()


def test_the_containers_own_port(archive: Path) -> None:
    with running() as (chassis, dut):
        image = dut.containerz.deploy(archive)
        dut.containerz.start("web", image=image, ports={60061: 60061})
        dut.ping_container(60061)
        for point, terms, error in (
            ("cntr.Ping", "error[INTERNAL](x)", exceptions.Internal),
            ("cntr.Ping", "drop", exceptions.HoldfastError),
            ("cntr.Ping.after", "hang", exceptions.HoldfastError),
            ("cntr.Ping", "corrupt(garbage)", None),
            ("cntr.Ping.after", "corrupt(truncate)", exceptions.HoldfastError),
            ("cntr.accept", "error(x)", exceptions.HoldfastError),
            ("cntr.accept", "corrupt(garbage)", exceptions.HoldfastError),
            ("cntr.accept", 'return{"not": "TLS"}', exceptions.HoldfastError),
            ("cntr.accept", "drop", exceptions.HoldfastError),
            ("cntr.accept.after", "hang", exceptions.HoldfastError),
            ("cntr.accept", "delay(20ms)+print(x)", None),
            ("cntr.Ping", "pause(20ms)", None),
        ):
            refused = pytest.raises(error) if error else contextlib.nullcontext()
            with chassis.failpoint(point, terms), refused:
                dut.ping_container(60061, timeout=0.5)
        with chassis.failpoint("cntr.Ping.after", 'return{"timestamp": "1970-01-01T00:00:05Z"}'):
            assert dut.ping_container(60061).year == 1970
        dut.expect_redundant("Supervisor1")
        with chassis.failpoint("cntr.Ping", "1*crash"), contextlib.suppress(exceptions.HoldfastError):
            dut.ping_container(60061, timeout=0.5)
        dut.expect_redundant("Supervisor2")


# --- the chassis' own steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["", ".after"])
@pytest.mark.parametrize("step", STEPS)
def test_every_action_at_every_step(step: str, after: str, archive: Path) -> None:
    with ThreadPoolExecutor(max_workers=4) as threads:
        for done in [threads.submit(act_at_step, step + after, action, archive) for action in ACTIONS]:
            done.result(timeout=60)


def act_at_step(site: str, action: str, archive: Path) -> None:
    """It is hit; and unless it stops for good, the chassis answers and is redundant again."""
    with running(listen="auto") as (chassis, dut):
        if "image" in site or "container" in site or "plugin" in site:
            prepare(site, dut, archive)
        dut.containerz.create_volume("kept")
        dut.expect_redundant("Supervisor1")
        with chassis.failpoint(site, f"1*{action}") as fp:
            provoke(site, dut, archive)
            fp.wait_reached(timeout=10)
        stopped = action.startswith(("hang", "drop", "error", "corrupt", "return"))
        if stopped and not site.startswith(("load", "switchover.sync")):
            return
        wait_until(lambda: answers(dut), what=f"{site}={action}: the chassis answers")
        if not action.startswith("hang"):
            wait_until(lambda: all(cp.ready is not False for cp in dut.control_processors()), what=f"{site}={action}")
        if site == "load.volume" and action.startswith(("error", "drop")):
            assert volume_names(dut) == []


def answers(dut: holdfast.Device) -> bool:
    try:
        return any(cp.role == "PRIMARY" for cp in dut.control_processors(timeout=1))
    except exceptions.HoldfastError:
        return False


def prepare(site: str, dut: holdfast.Device, archive: Path) -> None:
    if "plugin" in site:
        dut.containerz.deploy(archive, name="plug", is_plugin=True)
        if site.startswith("load"):
            dut.containerz.start_plugin("plug", "one")
        return
    image = dut.containerz.deploy(archive) if "container" in site or site.startswith("load") else None
    if image is not None and site.startswith("load.container"):
        dut.containerz.start("web", image=image, ports={60061: 60061})


def provoke(site: str, dut: holdfast.Device, archive: Path) -> None:
    with contextlib.suppress(exceptions.HoldfastError):  # what it does to who asks is seen elsewhere
        if site.startswith("switchover.sync.image"):
            dut.containerz.deploy(archive, timeout=5)
        elif site.startswith("switchover.sync.container"):
            dut.containerz.start("web", image="cntrsrv_image:latest", ports={60061: 60061}, timeout=5)
        elif site.startswith("switchover.sync.volume"):
            dut.containerz.create_volume("another", timeout=5)
        elif site.startswith("switchover.sync.plugin"):
            dut.containerz.start_plugin("plug", "one", timeout=5)
        elif site.startswith("reboot"):
            dut.system.reboot(timeout=5)
        else:
            dut.system.switch_control_processor("Supervisor2", timeout=5)


def test_what_a_step_is_given_can_be_changed() -> None:
    with running() as (chassis, dut):
        dut.containerz.create_volume("v", labels={"a": "b"})
        dut.expect_redundant("Supervisor1")
        with chassis.failpoint("load.volume", 'return{"driver": "other", "labels": {}}'):
            dut.switchover(redundant=True)
        assert [(volume.driver, volume.labels) for volume in dut.containerz.volumes()] == [("other", {})]


def after_switchover(site: str, terms: str, active: str) -> list[str]:
    """Which volumes are there, once a step was hit so and `active` is in charge."""
    with running() as (chassis, dut):
        dut.containerz.create_volume("kept")
        dut.expect_redundant("Supervisor1")
        with chassis.failpoint(site, terms) as fp:
            dut.system.switch_control_processor("Supervisor2")
            fp.wait_reached()
            wait_until(lambda: chassis.active == active and answers(dut))
            volumes = volume_names(dut)  # asked until the runtime has loaded
            assert chassis.active == active
            return volumes


def test_what_the_actions_do_to_a_step() -> None:
    for terms in ("1*error(no)", "1*drop"):
        assert after_switchover("switchover.leave", terms, "Supervisor1") == ["kept"]
        assert after_switchover("load.volume", terms, "Supervisor2") == []
    for terms in ("1*crash", "1*panic(x)", "1*exit(1)"):
        assert after_switchover("switchover.leave", terms, "Supervisor2") == ["kept"]
    assert after_switchover("switchover.take_over", "1*delay(40)", "Supervisor2") == ["kept"]
    assert after_switchover("load.volume", "1*corrupt(garbage)", "Supervisor2") != ["kept"]
    assert after_switchover("load.volume", "1*corrupt(truncate)", "Supervisor2") == ["ke"]
    with running() as (chassis, dut):
        with chassis.failpoint("switchover.take_over", "1*hang") as fp:
            dut.system.switch_control_processor("Supervisor2")
            fp.wait_reached()
        with pytest.raises(exceptions.HoldfastError):
            dut.control_processors(timeout=1)


def test_the_standby_is_in_step_only_once_it_has_the_last_change() -> None:
    with running() as (chassis, dut):
        dut.expect_redundant("Supervisor1")

        def ready() -> bool:
            return all(cp.ready is not False for cp in dut.control_processors())

        with chassis.failpoint("switchover.sync.volume", "2*pause") as fp:
            dut.containerz.create_volume("a")
            fp.wait_reached()
            dut.containerz.create_volume("b")
            fp.release()
            fp.wait_reached(times=2)
            assert not ready()
            fp.release()
            wait_until(ready)


def test_a_crash_in_the_middle_of_a_switchover_is_a_restart_of_both() -> None:
    with running() as (chassis, dut):
        dut.containerz.create_volume("kept")
        dut.expect_redundant("Supervisor1")
        with chassis.failpoint("switchover.take_over", "1*crash") as fp:
            dut.system.switch_control_processor("Supervisor2")
            fp.wait_reached()
        wait_until(lambda: answers(dut))
        assert volume_names(dut) == ["kept"]
        dut.expect_redundant("Supervisor1")


# --- the names, and arming them -----------------------------------------------------------------------------------


def test_an_unknown_name_is_refused_with_the_nearest(chassis_of_test: holdfast.Emulator) -> None:
    with pytest.raises(exceptions.InvalidArgumentError, match=r'the nearest is "containerz\.Deploy\.chunk"'):
        chassis_of_test.arm("containerz.Deploy.chunks", "off")


@pytest.mark.parametrize(
    ("name", "terms", "words"),
    [
        ("containerz.ListVolume", "1*OFF", "invalid type format: OFF"),
        ("containerz.ListVolume", 'return{"colour": 1}', 'no field "colour"'),
        ("containerz.ListVolume.row", 'return{"name": 1}', "ListVolumeResponse"),
        ("containerz.Deploy.chunk", 'return{"image_size": 1}', "no field"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_armed(
    chassis_of_test: holdfast.Emulator, name: str, terms: str, words: str
) -> None:
    with pytest.raises(exceptions.InvalidArgumentError) as caught:
        chassis_of_test.arm(name, terms)
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert chassis_of_test.armed() == ()


def test_one_that_was_never_hit_fails_unless_told_otherwise(chassis_of_test: holdfast.Emulator) -> None:
    with pytest.raises(exceptions.ExpectationFailed, match="never hit"), chassis_of_test.failpoint("gnmi.Set", "off"):
        pass
    with chassis_of_test.failpoint("gnmi.Set", "off", may_stay_unhit=True):
        pass
    with pytest.raises(ZeroDivisionError), chassis_of_test.failpoint("gnmi.Set", "off"):
        raise ZeroDivisionError  # what went wrong first is what is told


def test_equal_seeds_draw_equally() -> None:
    def drawn(seed: int) -> list[bool]:
        with running(seed=seed) as (chassis, dut):
            chassis.arm("containerz.CreateVolume", "40%error[ABORTED](x)")
            for number in range(20):
                with contextlib.suppress(exceptions.Aborted):
                    dut.containerz.create_volume(f"v{number}")
            chassis.disarm("containerz.CreateVolume")
            made = set(volume_names(dut))
            return [f"v{number}" in made for number in range(20)]

    first = drawn(1)
    assert first == drawn(1)
    assert first != drawn(2)
    assert 0 < sum(first) < 20


def test_what_is_armed_is_listed_with_what_is_left(
    device: holdfast.Device, chassis_of_test: holdfast.Emulator, tmp_path: Path
) -> None:
    file = tmp_path / "failpoints.json"
    file.write_text(json.dumps({"containerz.ListVolume": "2*off->1*delay(1)", "gnmi.Set": "drop"}))
    chassis_of_test.arm_file(file)
    volume_names(device)
    found = {armed.name: (armed.terms, armed.hits) for armed in chassis_of_test.armed()}
    assert found == {"containerz.ListVolume": ("1*off->1*delay(1)", 1), "gnmi.Set": ("drop", 0)}
    assert chassis_of_test.disarm("containerz.ListVolume") == 1
    for text in ("{", "[]", '{"a": 1}'):
        file.write_text(text)
        with pytest.raises(exceptions.InvalidArgumentError, match=r"failpoints\.json"):
            chassis_of_test.arm_file(file)


def test_awaited() -> None:
    import asyncio

    async def use() -> None:
        async with aio.emulator() as chassis, aio.connect(chassis.address, insecure=True) as dut:
            async with chassis.failpoint("containerz.ListVolume", "1*pause") as fp:
                asked = asyncio.ensure_future(dut.containerz.volumes())
                await fp.wait_reached()
                assert await fp.hits() == 1
                assert [armed.terms for armed in await chassis.armed()] == ["0*pause"]
                assert failpoint.control(await chassis.control()).hits("containerz.ListVolume") == 1
                await fp.release()
                assert await asked == ()
            with pytest.raises(exceptions.ExpectationFailed):
                async with chassis.failpoint("gnmi.Set", "off"):
                    pass

    asyncio.run(use())


def test_in_another_process(tmp_path: Path) -> None:
    state = tmp_path / "device"
    with emulate(tmp_path, "--state", str(state)) as address, holdfast.connect(address, insecure=True) as dut:
        socket = state / failpoint.SOCKET
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        far = failpoint.control(state)
        with (
            far.failpoint("containerz.ListVolume", "1*pause") as fp,
            ThreadPoolExecutor() as threads,
        ):
            asked = threads.submit(volume_names, dut)
            fp.wait_reached(timeout=10)
            assert [armed.name for armed in far.armed()] == ["containerz.ListVolume"]
            fp.release()
            assert asked.result(timeout=10) == []
            assert fp.hits == 1
        with pytest.raises(exceptions.InvalidArgumentError, match="the nearest is"):
            failpoint.control(socket).arm("containerz.Deplo", "off")
        with pytest.raises(exceptions.Timeout):
            far.wait_reached("gnmi.Set", timeout=0.05)
    with pytest.raises(exceptions.Unreachable, match=r"control\.sock"):
        failpoint.control(socket)


def test_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "armed.json"
    file.write_text('{"gnmi.Set": "drop"}')
    options = ("--failpoint", "containerz.ListVolume=1*error[ABORTED](x)", "--failpoint-file", str(file), "--seed", "7")
    state = tmp_path / "device"
    with emulate(tmp_path, "--state", str(state), *options, HOLDFAST_FAILPOINTS="gnmi.Get=off") as address:
        far = failpoint.control(state)
        assert {armed.name for armed in far.armed()} == {"containerz.ListVolume", "gnmi.Set", "gnmi.Get"}
        with holdfast.connect(address, insecure=True) as dut, pytest.raises(exceptions.Aborted):
            dut.containerz.volumes()

        def tell(*words: str) -> subprocess.CompletedProcess[str]:
            return command(tmp_path, "--json", "failpoint", "--control", str(state), *words)

        assert tell("arm", "system.Time=delay(1s)", "system.Ping=drop").returncode == 0
        listed = json.loads(tell("list").stdout)
        assert {"name": "system.Time", "terms": "delay(1s)", "hits": 0} in listed
        assert json.loads(tell("disarm", "containerz.ListVolume").stdout)["hits"] == 1
        assert tell("release", "system.Ping").returncode == 0
        refused = tell("arm", "system.Tim=off")
        assert refused.returncode == 2
        assert "system.Time" in refused.stderr


def test_who_waits_for_a_file_of_failpoints_can_be_ended(tmp_path: Path) -> None:
    fifo = tmp_path / "armed"
    os.mkfifo(fifo)
    words = [sys.executable, "-m", "holdfast.cli", "emulate", "--listen", "auto", "--failpoint-file", str(fifo)]
    waiting_for_it = subprocess.Popen(words, env=isolated(tmp_path, {}))
    ends: list[int] = []

    def is_read() -> bool:
        try:
            ends.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    try:
        wait_until(is_read, what="somebody who reads it")
        waiting_for_it.terminate()
        assert waiting_for_it.wait(timeout=20) == -signal.SIGTERM
    finally:
        waiting_for_it.kill()
        waiting_for_it.wait()
        for end in ends:
            os.close(end)


def test_the_suite_with_failpoints_of_its_own_command_line(run_suite: RunSuite, tmp_path: Path) -> None:
    file = tmp_path / "armed.json"
    file.write_text('{"gnmi.Set": "drop"}')
    run = run_suite(
        "-k", "cntr3_1", "--dut-failpoint", "switchover.ignored=1*error(x)", "--dut-failpoint-file", str(file)
    )
    assert run.cases["1"].outcome == "failure"
    assert "SwitchoverIgnored" in run.output
    assert "failpoint gnmi.Set was armed and never hit" in run.output


def test_a_test_that_arms_and_never_hits_fails(run_suite: RunSuite, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "test_mine.py").write_text(
        "def test_unhit(chassis):\n    chassis.arm('gnmi.Set', 'off')\n"
        "def test_hit(chassis, dut):\n    chassis.arm('containerz.ListVolume', 'off')\n    dut.containerz.volumes()\n"
        "def test_left_disarmed(chassis):\n    assert chassis.armed() == ()\n"
    )
    run = run_suite("test_mine.py")
    assert {name: case.outcome for name, case in run.cases.items()} == {
        "test_unhit": "error",
        "test_hit": "passed",
        "test_left_disarmed": "passed",
    }, run.output
    assert "gnmi.Set was armed and never hit" in run.output


def test_every_site_has_a_line_of_help() -> None:
    names = failpoint_names()
    assert len({name for _, name, _ in names}) == len(names)
    assert all(text and not text.endswith(".") for _, _, text in names)
    assert {provider for provider, _, _ in names} == {"emulator", "cni-bridge-fp", "storage"}


# --- the language -------------------------------------------------------------------------------------------------


def test_terms_are_read_counted_and_printed() -> None:
    terms = failpoint.parse("02*error(a)->1*off")
    assert str(terms) == "2*error(a)->1*off"
    assert [terms.fire() for _ in range(4)] == ["error(a)", "error(a)", "off", None]
    assert str(terms) == "0*error(a)->0*off"
    assert failpoint.parse("delay(1s)+drop").fire() == "delay(1s)+drop"
    for text in ("off", "50%1*off", "1*drop", "1*error[EIO](x)", '1*return{"a":1}'):
        assert str(failpoint.parse(text)) == text
        with pytest.raises(ValueError, match=r"failed to parse int64|invalid type format"):
            failpoint.parse(text, strict=True)
    with pytest.raises(ValueError, match=r"^failed to parse int64 because of invalid terminate byte: 50%off$"):
        failpoint.parse("50%off", strict=True)


def test_draws_go_by_seed_and_name() -> None:
    def drawn(**key: object) -> list[str | None]:
        terms = failpoint.parse("50%off", **key)  # type: ignore[arg-type]
        return [terms.fire() for _ in range(40)]

    assert drawn(seed=1, name="x") == drawn(seed=1, name="x")
    assert len({tuple(drawn(seed=1, name="x")), tuple(drawn(seed=2, name="x")), tuple(drawn(seed=1, name="y"))}) == 3


# --- what the world sends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["truncate", "flip:1", "flip:9", "garbage"])
def test_corrupted_answers_and_requests_break_nobody(how: str, archive: Path) -> None:
    """Whatever comes, the client raises its own errors, and the emulated device goes on."""
    with running(seed=len(how)) as (chassis, dut):
        image = dut.containerz.deploy(archive)
        dut.containerz.create_volume("v", labels={"a": "b"})
        dut.containerz.start("web", image=image, ports={60061: 60061}, labels={"c": "d"})
        ask: dict[str, Callable[[], object]] = {
            "containerz.ListImage": dut.containerz.images,
            "containerz.ListContainer": dut.containerz.containers,
            "containerz.ListVolume": dut.containerz.volumes,
            "containerz.Log": lambda: dut.containerz.logs("web"),
            "gnmi.Subscribe": lambda: dut.control_processors(timeout=2),
            "gnmi.Get": lambda: dut.gnmi.get("/components/component[name=*]/state", timeout=2),
            "system.Time": dut.system.time,
            "system.RebootStatus": dut.system.reboot_status,
        }
        messages = {"containerz.ListImage": ".row", "containerz.Log": ".line", "gnmi.Subscribe": ".update"}
        for name, call in ask.items():
            for point in (name, f"{name}.after", *([name + messages[name]] if name in messages else ())):
                # Roles may be asked for in another form by then.
                with chassis.failpoint(point, f"corrupt({how})", may_stay_unhit=name == "gnmi.Subscribe"):
                    for _ in range(60):
                        with contextlib.suppress(exceptions.HoldfastError):
                            call()
        for name, call in ask.items():
            assert call() is not None, name
