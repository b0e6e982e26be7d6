"""CNTR-1.1 to 1.8: the life of a container on one device, with one control processor or two.

`procedure` steps are what the plan asks, and look once; `depth` steps are what must hold beyond it, and watch on. What
a device may do as it likes is noted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from holdfast import Device
from holdfast.exceptions import (
    AlreadyExists,
    DeadlineExceeded,
    ExpectationFailed,
    FailedPrecondition,
    Internal,
    NotFound,
    OutcomeUnknown,
    RpcError,
    Timeout,
    Unimplemented,
    Unknown,
)
from holdfast.pytest_plugin import plugin
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.pytest_plugin.ledger import Ledger
from holdfast.pytest_plugin.procedure import Steps, case
from holdfast.pytest_plugin.run import ImageUnderTest
from holdfast.suites.looks import (
    ABSENT,
    RUNNING,
    SILENT,
    STOPPED,
    THERE,
    look_container,
    look_plugin,
    look_port,
    look_volume,
    settled,
)
from holdfast.suites.made import (
    AskedContainer,
    container_as_asked,
    expect_driver,
    expect_image_listed,
    expect_labels,
    expect_options,
    image_as_sent,
    names_image,
    plugin_as_asked,
    volume_as_asked,
)
from holdfast.suites.reboot import reboot_with_container
from holdfast.suites.refusals import expect_refused, expect_status, note_outcome, unless_unimplemented
from holdfast.suites.steps import RECORDS, create_volume, deploy, expect_answer, start

# How long a container may take to end when it is asked politely, in seconds: Docker kills it after 10.
POLITE = 30.0
# A name and a tag that nothing on a device has.
NOBODY = "holdfast-nobody"


def running(dut: Device) -> dict[str, str]:
    """What is listed where the running containers alone are asked for: the status of each."""
    return {container.name: container.status for container in dut.containerz.containers(all=False)}


def expect_not_running(dut: Device, name: str) -> None:
    """It is not among the running containers."""
    if name in running(dut):
        raise ExpectationFailed(f"{name} is listed among the running containers, as {running(dut)[name]}")


def look_log(dut: Device, name: str) -> str:
    """Whether there is anything in a container's log."""
    return THERE if any(line.strip() for line in dut.containerz.logs(name)) else ABSENT


@pytest.mark.cntr1("CNTR-1.1", "deploy and start")
@case()
def test_cntr1_1_deploy_and_start(dut: Device, image: ImageUnderTest, case: Case) -> None:
    name, refused = case.run.name("started"), case.run.name("refused")
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("the image is listed"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.procedure("start a container"):
        asked = start(dut, image, name)
    with case.procedure("the container runs"):
        before = dut.containerz.expect_container(name, watch=0)
    with case.procedure("the container answers on its published port"):
        expect_answer(case, dut, image)
    container_as_asked(case, dut, asked)
    with case.procedure("an image that is not there is not started"):
        unknown = replace(image, name=NOBODY)
        expect_refused(case, "start of an unknown image", lambda: start(dut, unknown, refused, port=image.port + 1))
    with case.procedure("a tag that is not there is not started"):
        untagged = replace(image, tag=NOBODY)
        expect_refused(case, "start of an unknown tag", lambda: start(dut, untagged, refused, port=image.port + 1))
    with case.depth("nothing of them is left"):
        dut.containerz.expect_no_container(refused)
    with case.depth("it is the image that was sent"):
        dut.containerz.expect_image(image)
    with case.depth("the container goes on as it was"):
        dut.containerz.expect_container(name, like=before)


@pytest.mark.cntr1("CNTR-1.2", "logs")
@case()
def test_cntr1_2_logs(dut: Device, image: ImageUnderTest, case: Case) -> None:
    name = case.run.name("logged")
    with case.procedure("deploy the image"):
        deploy(dut, image)
    image_as_sent(case, dut, image)
    with case.procedure("start a container"):
        asked = start(dut, image, name)
    with case.procedure("its log is not empty"):
        unless_unimplemented(lambda: settled(case, lambda: look_log(dut, name), (THERE,), watch=0))
    container_as_asked(case, dut, asked)
    with case.depth("it is what the container wrote"):
        unless_unimplemented(lambda: expect_own_log(dut, image, name))
    with case.procedure("a container that is not there has no log"):
        unless_unimplemented(
            lambda: expect_refused(
                case, "log of an unknown container", lambda: dut.containerz.logs(NOBODY), NotFound, Unknown
            )
        )
    with case.procedure("stop the container, by force"):
        dut.containerz.stop(name, force=True)
    with case.procedure("the log of a stopped container is whatever the device gives"):
        unless_unimplemented(lambda: note_log_of_stopped(case, dut, name))


def expect_own_log(dut: Device, image: ImageUnderTest, name: str) -> None:
    """The line that the wheel's own container writes when it listens."""
    if image.retag is not None:
        raise NotChecked("what an image of one's own writes is not known")
    lines = dut.containerz.logs(name)
    if not any("listening" in line for line in lines):
        raise ExpectationFailed(f"no line of its log says that it listens: {lines[:5]}")


def note_log_of_stopped(case: Case, dut: Device, name: str) -> None:
    """How many lines, or which status: one of those that the plan's suite takes."""
    try:
        lines = dut.containerz.logs(name)
    except (NotFound, FailedPrecondition, Unknown, Internal) as error:
        case.noted.append(f"log of a stopped container: {error.code}")
    else:
        case.noted.append(f"log of a stopped container: {len(lines)} lines")


@pytest.mark.cntr1("CNTR-1.3", "list")
@case()
def test_cntr1_3_list(dut: Device, image: ImageUnderTest, case: Case) -> None:
    name, stopped = case.run.name("listed"), case.run.name("stopped")
    with case.procedure("deploy the image"):
        deploy(dut, image)
    image_as_sent(case, dut, image)
    with case.procedure("start two containers"):
        asked, other = start(dut, image, name), start(dut, image, stopped, port=image.port + 1)
    container_as_asked(case, dut, asked)
    container_as_asked(case, dut, other, what="the other container")
    with case.procedure("stop one of them, by force"):
        dut.containerz.stop(stopped, force=True)
        settled(case, lambda: look_container(dut, stopped), (STOPPED, ABSENT), watch=0)
    with case.procedure("the running one is listed among the running"):
        settled(case, lambda: running(dut).get(name, ABSENT), ("RUNNING",), watch=0)
    with case.procedure("the stopped one is not"):
        expect_not_running(dut, stopped)
    with case.procedure("one that never was is not"):
        expect_not_running(dut, NOBODY)
    with case.depth("nor is it among all"):
        dut.containerz.expect_no_container(NOBODY, watch=0)
    with case.procedure("the image of the running one is the one under test"):
        expect_image_listed(dut, image, dut.containerz.container(name).image)
    with case.depth("both stay as they are"):
        settled(case, lambda: look_container(dut, name), (RUNNING,))
        settled(case, lambda: look_container(dut, stopped), (STOPPED, ABSENT))


@pytest.mark.cntr1("CNTR-1.4", "stop")
@case()
def test_cntr1_4_stop(dut: Device, image: ImageUnderTest, case: Case) -> None:
    name = case.run.name("ended")
    with case.procedure("deploy the image"):
        deploy(dut, image)
    image_as_sent(case, dut, image)
    with case.procedure("start a container"):
        asked = start(dut, image, name)
    with case.procedure("the container runs"):
        dut.containerz.expect_container(name, watch=0)
    container_as_asked(case, dut, asked)
    with case.procedure("stop it, by force"):
        dut.containerz.stop(name, force=True)
    with case.procedure("it is gone from the running ones"):
        settled(case, lambda: running(dut).get(name, ABSENT), (ABSENT,), watch=0)
    with case.procedure("it is stopped, or listed no more"):
        settled(case, lambda: look_container(dut, name), (STOPPED, ABSENT), watch=0)
    refusal: RpcError | None = None
    with case.procedure("a container that is not there is not stopped"):
        refusal = expect_refused(case, "stop of an unknown container", lambda: dut.containerz.stop(NOBODY))
    with case.depth("that is said of it"):
        expect_status("stop of an unknown container", refusal, NotFound)
    with case.procedure("stopping it again is success, or says that it does not run"):
        note_outcome(
            case, "stop of a stopped container", lambda: dut.containerz.stop(name), NotFound, FailedPrecondition
        )
    with case.depth("it stays stopped"):
        settled(case, lambda: look_container(dut, name), (STOPPED, ABSENT))
    with case.depth("another ends when it is asked politely"):
        expect_polite_end(case, dut, image)
    with case.depth("its port is closed"):
        expect_silence(case, dut, image.port)


def expect_polite_end(case: Case, dut: Device, image: ImageUnderTest) -> None:
    """A stop without force ends a container whose process heeds SIGTERM; `NotChecked` where that may not be so."""
    polite = case.run.name("polite")
    start(dut, image, polite, port=image.port + 1)
    dut.containerz.expect_container(polite, watch=0)
    try:
        dut.containerz.stop(polite, timeout=POLITE)
        settled(case, lambda: look_container(dut, polite), (STOPPED, ABSENT), watch=0)
    except (Timeout, OutcomeUnknown, DeadlineExceeded) as error:
        if image.retag is not None:
            raise NotChecked(f"the image under test may not heed SIGTERM: {error.message}") from None
        raise
    finally:
        dut.containerz.remove(polite, force=True, missing_ok=True)


def expect_silence(case: Case, dut: Device, port: int) -> None:
    """Nothing answers on a port where a container did."""
    if case.run.unreachable:
        raise NotChecked(case.run.unreachable)
    settled(case, lambda: look_port(case, dut, port), (SILENT,), watch=0)


@pytest.mark.cntr1("CNTR-1.5", "volume")
@case()
def test_cntr1_5_volume(dut: Device, image: ImageUnderTest, case: Case) -> None:
    name, other = case.run.name("volume"), case.run.name("other-volume")
    with case.procedure("create the volume"):
        asked = create_volume(case, dut, name)
    with case.procedure("it is listed"):
        found = dut.containerz.expect_volume(name, watch=0)
    with case.procedure("with its driver"):
        expect_driver(asked, found)
    with case.procedure("with its options"):
        expect_options(asked, found, by_plan=True)
    with case.depth("with its labels"):
        expect_labels(case, dut, name, found.labels)
    with case.depth("another is created beside it"):
        dut.containerz.create_volume(other)
        dut.containerz.expect_volume(other)
    with case.depth("creating it again leaves it as it is"):
        note_outcome(
            case,
            "creation of a volume that is there",
            lambda: dut.containerz.create_volume(name, look_first=False),
            AlreadyExists,
        )
        dut.containerz.expect_volume(name, like=found, watch=0)
    with case.procedure("remove it"):
        dut.containerz.remove_volume(name, force=True)
    with case.procedure("it is gone"):
        dut.containerz.expect_no_volume(name, watch=0)
    with case.procedure("removing one that is not there changes nothing"):
        note_outcome(
            case,
            "removal of an unknown volume",
            lambda: dut.containerz.remove_volume(NOBODY, force=True, look_first=False),
            NotFound,
        )
        settled(case, lambda: look_volume(dut, other), (THERE,), watch=0)
    with case.depth("it stays gone"):
        dut.containerz.expect_no_volume(name)


@pytest.mark.cntr1("CNTR-1.6", "update")
@case()
def test_cntr1_6_update(dut: Device, image: ImageUnderTest, case: Case) -> None:
    name, volume = case.run.name("updated"), case.run.name("updated-volume")
    newer = case.run.image_to_update
    with case.procedure("create the volume"):
        asked_volume = create_volume(case, dut, volume)
    with case.procedure("deploy both images"):
        deploy(dut, image)
        deploy(dut, newer)
    volume_as_asked(case, dut, asked_volume)
    image_as_sent(case, dut, image)
    image_as_sent(case, dut, newer)
    with case.procedure("start a container of the first"):
        asked = start(dut, image, name, {volume: "/data"})
    with case.procedure("it runs"):
        before = dut.containerz.expect_container(name, watch=0)
    container_as_asked(case, dut, asked)
    ledger = Ledger(case.run, dut, image.port)
    with case.depth("the ledger on its volume takes records"):
        ledger.write(RECORDS)
    with case.depth("it describes itself"):
        ledger.describe()
    refused: tuple[tuple[str, str, str, tuple[type[RpcError], ...]], ...] = (
        ("an unknown image", f"{NOBODY}:{newer.tag}", name, (NotFound,)),
        ("an unknown tag", f"{newer.name}:{NOBODY}", name, (NotFound,)),
        ("an unknown instance", str(newer), NOBODY, (NotFound,)),
    )
    for what, wanted, instance, statuses in refused:
        with case.procedure(f"an update of {what} is refused"):
            expect_refused(case, f"update of {what}", updating(dut, replace(asked, name=instance), wanted), *statuses)
        with case.procedure(f"after {what} the old one runs"):
            dut.containerz.expect_container(name, like=before, watch=0)
    with case.depth("it is the old one still, and not one more"):
        ledger.expect_same_incarnation()
    with case.procedure("update it to the second image"):
        asked.update_to(dut, str(newer))
    with case.procedure("it runs with the second image"):
        settled(case, lambda: image_of(dut, name, newer), (str(newer),), watch=0)
    with case.procedure("it answers on its port"):
        expect_answer(case, dut, image)
    container_as_asked(case, dut, replace(asked, image=newer), what="the updated container")
    with case.depth("the second image is what answers"):
        ledger.expect_image(newer)
    with case.depth("its volume is mounted as before"):
        ledger.expect_same_mount()
    with case.depth("all that was written is there, and more can be"):
        ledger.write_on(RECORDS)
        ledger.compare()
    with case.depth("it has its name, once, and no other came to be"):
        expect_alone(dut, case, name)
    with case.depth("it goes on"):
        settled(case, lambda: look_container(dut, name), (RUNNING,))


def updating(dut: Device, asked: AskedContainer, wanted: str) -> Callable[[], object]:
    """An update that keeps everything but the image."""
    return lambda: asked.update_to(dut, wanted)


def image_of(dut: Device, name: str, wanted: ImageUnderTest) -> str:
    """The image of a container that runs: the wanted one's name, however it is listed, or what is listed."""
    found = [held for held in dut.containerz.containers() if held.is_named(name)]
    if len(found) != 1 or not found[0].running:
        return f"there {len(found)} times, or not running"
    return str(wanted) if names_image(dut, wanted, found[0].image) else found[0].image


def expect_alone(dut: Device, case: Case, name: str) -> None:
    """Of this run's containers it is the only one."""
    own = [held.name for held in dut.containerz.containers() if held.name.startswith(case.run.prefix)]
    if own != [name]:
        raise ExpectationFailed(
            f"the containers of this run are {', '.join(own) or 'none'}, and {name} alone should be"
        )


@pytest.mark.cntr1("CNTR-1.7", "plugin")
@case()
def test_cntr1_7_plugin(dut: Device, image: ImageUnderTest, case: Case) -> None:
    name, refused = case.run.name("plugin"), case.run.name("refused-plugin")
    needs_plugins(dut)
    under_test = plugin.of(case.run)
    with case.procedure("deploy it"):
        dut.containerz.deploy(under_test.archive, name=name, is_plugin=True)
    with case.procedure("start it"):
        dut.containerz.start_plugin(name, name, config=under_test.config)
    with case.procedure("it is listed"):
        settled(case, lambda: look_plugin(dut, name), (THERE,), watch=0)
    plugin_as_asked(case, dut, name, under_test.config)
    with case.procedure("a plugin that is not there is not started"):
        expect_refused(
            case,
            "start of an unknown plugin",
            lambda: dut.containerz.start_plugin(NOBODY, refused),
            Unknown,
            NotFound,
            FailedPrecondition,
        )
    with case.procedure("it is not started twice"):
        expect_refused(
            case,
            "start of a plugin that runs",
            lambda: dut.containerz.start_plugin(name, name, config=under_test.config),
            Unknown,
            AlreadyExists,
        )
    with case.depth("it is there once, and the refused one is not"):
        settled(case, lambda: look_plugin(dut, name), (THERE,))
        settled(case, lambda: look_plugin(dut, refused), (ABSENT,), watch=0)
    with case.procedure("stop it"):
        dut.containerz.stop_plugin(name)
    with case.procedure("remove it"):
        dut.containerz.remove_plugin(name)
    with case.procedure("it is gone"):
        settled(case, lambda: look_plugin(dut, name), (ABSENT,), watch=0)
    with case.depth("it stays gone"):
        settled(case, lambda: look_plugin(dut, name), (ABSENT,))
    with case.depth("its archive is removed"):
        unless_unimplemented(lambda: dut.containerz.remove_plugin_tar(name))


def needs_plugins(dut: Device) -> None:
    """Skip on a device that has none."""
    try:
        dut.containerz.plugins()
    except Unimplemented as error:
        pytest.skip(f"the device has no plugins: {error.message}")


@pytest.mark.disruptive
@pytest.mark.cntr1("CNTR-1.8", "persistence over a cold reboot", reboots=1)
@case()
def test_cntr1_8_persistence_over_a_cold_reboot(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    yield from reboot_with_container(dut, image, case)
