"""Failovers in the middle of something. After each the device is consistent: the thing is wholly there or wholly
absent, doing it again succeeds, nothing half-made is listed, and nothing else changed.

The emulated device holds each in the middle while the failover comes; on a real one the middle is where it happens to
be. `[unanswered]` needs the emulated device, which alone can hold an answer back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from holdfast import Device
from holdfast.exceptions import (
    AlreadyExists,
    ExpectationFailed,
    HoldfastError,
    NotFound,
    OutcomeUnknown,
    RebootRefused,
    SwitchoverRefused,
)
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.pytest_plugin.procedure import Steps, SwitchoverStep, case
from holdfast.pytest_plugin.run import ImageUnderTest
from holdfast.pytest_plugin.surroundings import Surroundings
from holdfast.suites.looks import ABSENT, RUNNING, STOPPED, THERE, look_container, look_image, look_volume, settled
from holdfast.suites.made import (
    AskedContainer,
    AskedVolume,
    container_as_asked,
    image_as_sent,
    names_image,
    volume_as_asked,
)
from holdfast.suites.midway.operation import LONGEST, Operation, tolerant
from holdfast.suites.steps import create_volume, deploy, expect_standby_in_step, start

pytestmark = pytest.mark.disruptive

# An operation is held before it is done, or when it is done and its answer is not out yet.
ASKED, UNANSWERED = "asked", "unanswered"
WINDOWS = pytest.mark.parametrize("window", [ASKED, UNANSWERED])


def site(case: Case, rpc: str) -> str:
    """Where the emulated device holds an RPC; a real one cannot hold its answer back."""
    if case.window == ASKED:
        return rpc
    needs_the_emulated_device(case)
    return f"{rpc}.after"


def needs_the_emulated_device(case: Case) -> None:
    """Skip on a real device, which cannot be held there."""
    if case.run.chassis is None:
        pytest.skip("needs the emulated device, which can hold the answer back")


def settle(
    case: Case, operation: Operation, look: Callable[[], str], again: Callable[[], object], *, was: str, done: str
) -> None:
    """What must hold after any operation that a failover met."""
    with case.procedure("it came to an end"):
        operation.expect_end()
    with case.procedure("it is wholly done or wholly not"):
        operation.expect_one_of(look, before=was, done=done)
    with case.procedure("doing it again succeeds"):
        tolerant(again, AlreadyExists, NotFound)
        settled(case, lambda: look_or_again(look, again, done), (done,))


def look_or_again(look: Callable[[], str], again: Callable[[], object], done: str) -> str:
    """What is there; done again where it is not that, for an incomplete list may have hidden it before."""
    found = look()
    if found != done:
        tolerant(again, AlreadyExists, NotFound)
    return found


def finish(case: Case, dut: Device, around: Surroundings, primary: str) -> None:
    """What must hold at the end of any case."""
    with case.depth("the old primary is back in step"):
        expect_standby_in_step(dut, primary)
    with case.depth("what else is on the device is as it was"):
        around.expect_unchanged()


def deploying(dut: Device, image: ImageUnderTest, case: Case, site: str, count: int = 1) -> Steps:
    """A transfer that a failover meets at `site`."""
    around = Surroundings(case.run, dut)
    operation = Operation(case, lambda: deploy(dut, image), site=site, count=count)
    failover = yield SwitchoverStep("switch over meanwhile", during=operation.under_way)
    settle(case, operation, lambda: look_image(dut, image), lambda: deploy(dut, image), was=ABSENT, done=THERE)
    with case.depth("it is the image that was sent"):
        dut.containerz.expect_image(image)
    finish(case, dut, around, failover.primary)


@pytest.mark.midway("midway deploy, first chunk", switchovers=1)
@case()
def test_midway_deploy_first_chunk(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    yield from deploying(dut, image, case, "containerz.Deploy.chunk")


@pytest.mark.midway("midway deploy, middle", switchovers=1)
@case()
def test_midway_deploy_middle(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    yield from deploying(dut, image, case, "containerz.Deploy.chunk", 3)


@pytest.mark.midway("midway deploy, last chunk", switchovers=1)
@case()
def test_midway_deploy_last_chunk(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    yield from deploying(dut, image, case, "containerz.Deploy.chunk", case.run.chunks(image))


@pytest.mark.midway("midway deploy, between End and Success", switchovers=1)
@case()
def test_midway_deploy_between_end_and_success(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    needs_the_emulated_device(case)
    yield from deploying(dut, image, case, "containerz.Deploy.after")


@pytest.mark.midway("midway StartContainer", switchovers=1)
@WINDOWS
@case(windows=True)
def test_midway_start_container(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    name = case.run.fresh_name("midway")
    with case.procedure("deploy the image"):
        deploy(dut, image)
    image_as_sent(case, dut, image)
    around = Surroundings(case.run, dut)
    operation = Operation(case, lambda: start(dut, image, name), site=site(case, "containerz.StartContainer"))
    failover = yield SwitchoverStep("switch over meanwhile", during=operation.under_way)
    again = lambda: start(dut, image, name)  # noqa: E731
    settle(case, operation, lambda: look_container(dut, name), again, was=ABSENT, done=RUNNING)
    container_as_asked(case, dut, AskedContainer(name, image))
    finish(case, dut, around, failover.primary)


@pytest.mark.midway("midway StopContainer", switchovers=1)
@WINDOWS
@case(windows=True)
def test_midway_stop_container(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    name = case.run.fresh_name("midway")
    with case.procedure("deploy the image and start a container"):
        deploy(dut, image)
        asked = start(dut, image, name)
        dut.containerz.expect_container(name, watch=0)
    image_as_sent(case, dut, image)
    container_as_asked(case, dut, asked)
    around = Surroundings(case.run, dut)
    operation = Operation(case, lambda: dut.containerz.stop(name), site=site(case, "containerz.StopContainer"))
    failover = yield SwitchoverStep("switch over meanwhile", during=operation.under_way)
    again = lambda: dut.containerz.stop(name)  # noqa: E731
    settle(case, operation, lambda: look_container(dut, name), again, was=RUNNING, done=STOPPED)
    finish(case, dut, around, failover.primary)


@pytest.mark.midway("midway RemoveContainer", switchovers=1)
@WINDOWS
@case(windows=True)
def test_midway_remove_container(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    name = case.run.fresh_name("midway")
    with case.procedure("deploy the image and start a container"):
        deploy(dut, image)
        asked = start(dut, image, name)
    image_as_sent(case, dut, image)
    container_as_asked(case, dut, asked)
    with case.procedure("stop it"):
        dut.containerz.stop(name)
    around = Surroundings(case.run, dut)
    operation = Operation(case, lambda: dut.containerz.remove(name), site=site(case, "containerz.RemoveContainer"))
    failover = yield SwitchoverStep("switch over meanwhile", during=operation.under_way)
    again = lambda: dut.containerz.remove(name, missing_ok=True)  # noqa: E731
    settle(case, operation, lambda: look_container(dut, name), again, was=STOPPED, done=ABSENT)
    finish(case, dut, around, failover.primary)


@pytest.mark.midway("midway CreateVolume", switchovers=1)
@WINDOWS
@case(windows=True)
def test_midway_create_volume(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    name = case.run.fresh_name("midway")
    around = Surroundings(case.run, dut)
    create = lambda: create_volume(case, dut, name)  # noqa: E731
    operation = Operation(case, create, site=site(case, "containerz.CreateVolume"))
    failover = yield SwitchoverStep("switch over meanwhile", during=operation.under_way)
    settle(case, operation, lambda: look_volume(dut, name), create, was=ABSENT, done=THERE)
    volume_as_asked(case, dut, AskedVolume.of(case.run, name))
    finish(case, dut, around, failover.primary)


@pytest.mark.midway("midway RemoveVolume", switchovers=1)
@WINDOWS
@case(windows=True)
def test_midway_remove_volume(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    name = case.run.fresh_name("midway")
    with case.procedure("create the volume"):
        asked = create_volume(case, dut, name)
        dut.containerz.expect_volume(name, watch=0)
    volume_as_asked(case, dut, asked)
    around = Surroundings(case.run, dut)
    operation = Operation(case, lambda: dut.containerz.remove_volume(name), site=site(case, "containerz.RemoveVolume"))
    failover = yield SwitchoverStep("switch over meanwhile", during=operation.under_way)
    again = lambda: dut.containerz.remove_volume(name, missing_ok=True)  # noqa: E731
    settle(case, operation, lambda: look_volume(dut, name), again, was=THERE, done=ABSENT)
    finish(case, dut, around, failover.primary)


@pytest.mark.midway("midway UpdateContainer", switchovers=1)
@WINDOWS
@case(windows=True)
def test_midway_update_container(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    name, other = case.run.fresh_name("midway"), case.run.image_to_remove
    with case.procedure("deploy two images and start a container of the first"):
        deploy(dut, image)
        deploy(dut, other)
        asked = start(dut, image, name)
        dut.containerz.expect_container(name, watch=0)
    image_as_sent(case, dut, image)
    image_as_sent(case, dut, other)
    container_as_asked(case, dut, asked)

    def look() -> str:
        listed = [held for held in dut.containerz.containers() if held.is_named(name)]
        of = {held.image: held.image for held in listed}
        of |= {listed: str(each) for listed in of for each in (image, other) if names_image(dut, each, listed)}
        return " and ".join(f"{held.status.lower()}, of {of[held.image]}" for held in listed) or ABSENT

    update = lambda: asked.update_to(dut, str(other))  # noqa: E731
    around = Surroundings(case.run, dut)
    operation = Operation(case, update, site=site(case, "containerz.UpdateContainer"))
    failover = yield SwitchoverStep("switch over meanwhile", during=operation.under_way)
    settle(case, operation, look, update, was=f"{RUNNING}, of {image}", done=f"{RUNNING}, of {other}")
    container_as_asked(case, dut, replace(asked, image=other), what="the updated container")
    finish(case, dut, around, failover.primary)


@pytest.mark.midway("midway Log", switchovers=1)
@case()
def test_midway_log_follow(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    name = case.run.fresh_name("midway")
    if "Log" in case.run.profile.unsupported:
        pytest.skip(f"profile {case.run.profile.name}: the device has no Log")
    with case.procedure("deploy the image and start a container"):
        deploy(dut, image)
        asked = start(dut, image, name)
        dut.containerz.expect_container(name, watch=0)
    image_as_sent(case, dut, image)
    container_as_asked(case, dut, asked)
    around = Surroundings(case.run, dut)
    lines: list[str] = []
    first, ended = threading.Event(), threading.Event()

    def follow() -> None:
        try:
            for line in dut.containerz.follow_logs(name, resume=False, timeout=LONGEST):
                lines.append(line)
                first.set()
        except HoldfastError as error:
            case.run.note(f"midway: the log broke off: {error.message}")
        first.set()
        ended.set()

    threading.Thread(target=follow, name="holdfast log", daemon=True).start()
    with case.procedure("the log is followed"):
        assert first.wait(LONGEST), "nothing came"
    failover = yield SwitchoverStep("switch over meanwhile")
    with case.procedure("following it comes to an end, or goes on"):
        came = len(lines)
        if not ended.wait(case.run.limits["verification"]) and len(lines) == came:
            raise ExpectationFailed("the log neither broke off nor went on: who follows it waits for ever")
    with case.procedure("the log can be read again"):
        dut.containerz.expect_container(name, watch=0)
        if not lines:
            raise NotChecked("the container had logged nothing")
        settled(case, lambda: THERE if dut.containerz.logs(name) else ABSENT, (THERE,))
    finish(case, dut, around, failover.primary)


@pytest.mark.midway("midway back to back", switchovers=2)
@case()
def test_midway_back_to_back(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    name = case.run.fresh_name("midway")
    with case.procedure("deploy the image and start a container"):
        deploy(dut, image)
        asked = start(dut, image, name)
        dut.containerz.expect_container(name, watch=0)
    image_as_sent(case, dut, image)
    container_as_asked(case, dut, asked)
    around = Surroundings(case.run, dut)
    there = yield SwitchoverStep("switch over")
    back = yield SwitchoverStep("and back, as soon as the device is ready")
    with case.procedure("the roles are as they were"):
        assert back.primary == there.origin, f"{back.primary} is primary now; {there.origin} was at the start"
    with case.procedure("the container runs and the image is there"):
        dut.containerz.expect_container(name, watch=0)
        dut.containerz.expect_image(image)
    finish(case, dut, around, back.primary)


@pytest.mark.midway("midway while the standby syncs", switchovers=1)
@case()
def test_midway_while_the_standby_syncs(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    volume = case.run.fresh_name("midway")
    around = Surroundings(case.run, dut)
    with case.procedure("deploy the image and create a volume"):
        deploy(dut, image)
        asked_volume = create_volume(case, dut, volume)
    with case.procedure("ask for a switchover at once: it may be refused, and then nothing happens"):
        try:
            primary = dut.switchover(wait_ready=False).target
        except SwitchoverRefused as error:
            case.run.note(f"midway: refused: {error.message}")
            primary = next(cp.name for cp in dut.control_processors() if cp.role == "PRIMARY")
    with case.procedure("what was acknowledged is there"):
        dut.containerz.expect_image(image)
        dut.containerz.expect_volume(volume, watch=0)
    volume_as_asked(case, dut, asked_volume)
    with case.procedure("the standby gets in step, and takes over with all of it"):
        expect_standby_in_step(dut, primary)
    failover = yield SwitchoverStep("switch over once the standby is in step")
    with case.procedure("all of it is there still"):
        dut.containerz.expect_image(image)
        dut.containerz.expect_volume(volume, watch=0)
    finish(case, dut, around, failover.primary)


@pytest.mark.midway("midway reboot during a switchover", switchovers=2, reboots=1)
@case()
def test_midway_reboot_during_a_switchover(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    name, volume = case.run.fresh_name("midway"), case.run.fresh_name("midway-volume")
    with case.procedure("deploy the image, create a volume, start a container"):
        deploy(dut, image)
        asked_volume = create_volume(case, dut, volume)
        asked = start(dut, image, name)
        dut.containerz.expect_container(name, watch=0)
    image_as_sent(case, dut, image)
    container_as_asked(case, dut, asked)
    volume_as_asked(case, dut, asked_volume)
    around = Surroundings(case.run, dut)
    roles = {cp.role: cp.name for cp in dut.control_processors()}
    dut.expect_redundant(roles["PRIMARY"])
    with case.procedure("ask for a switchover"):
        dut.ask_for_switchover(roles["SECONDARY"], name_only=case.run.profile.name_only)
    with case.procedure("reboot the chassis meanwhile, by force: it may be refused, or lost on the way"):
        try:
            dut.reboot(force=True)
        except (RebootRefused, OutcomeUnknown) as error:
            case.run.note(f"midway: {error.message}")
    yield SwitchoverStep("switch over once more, when the device is ready")
    with case.procedure("there is one primary, and a standby in step"):
        primaries = [cp.name for cp in dut.control_processors() if cp.role == "PRIMARY"]
        assert len(primaries) == 1, f"primaries: {', '.join(primaries) or 'none'}"
        expect_standby_in_step(dut, primaries[0])
    with case.procedure("the container runs, the image and the volume are there"):
        dut.containerz.expect_container(name, watch=0)
        dut.containerz.expect_image(image)
        dut.containerz.expect_volume(volume, watch=0)
    with case.depth("what else is on the device is as it was"):
        around.expect_unchanged()
