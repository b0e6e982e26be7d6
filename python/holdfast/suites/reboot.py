"""A container, its image and its volume through a cold reboot: CNTR-1.8 and CNTR-3.8 are one procedure."""

from __future__ import annotations

from holdfast import Device
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.pytest_plugin.ledger import Ledger
from holdfast.pytest_plugin.procedure import RebootStep, Steps
from holdfast.pytest_plugin.run import ImageUnderTest
from holdfast.suites.made import container_as_asked, image_as_sent, note_unlisted, volume_as_asked
from holdfast.suites.steps import RECORDS, create_volume, deploy, expect_answer, expect_standby_in_step, start


def expect_in_step(dut: Device) -> None:
    """Both control processors, where there are two."""
    roles = dut.control_processors()
    if len(roles) < 2:
        raise NotChecked("the device has one control processor")
    expect_standby_in_step(dut, next(cp.name for cp in roles if cp.role == "PRIMARY"))


def reboot_with_container(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    """Start a container with a volume, reboot the chassis, and look at all of it."""
    name, volume = case.run.name("rebooted"), case.run.name("kept")
    with case.procedure("create the volume"):
        asked_volume = create_volume(case, dut, volume)
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("start the container with the volume"):
        asked = start(dut, image, name, {volume: "/data"}, {"HOLDFAST_RUN": case.run.id})
    with case.procedure("the container runs"):
        container_before = dut.containerz.expect_container(name, watch=0)
    with case.procedure("the volume is there"):
        volume_before = dut.containerz.expect_volume(volume, watch=0)
    image_as_sent(case, dut, image)
    with case.depth("the container answers on its port"):
        expect_answer(case, dut, image)
    container_as_asked(case, dut, asked)
    note_unlisted(case)
    volume_as_asked(case, dut, asked_volume)
    ledger = Ledger(case.run, dut, image.port)
    with case.depth("the ledger on the volume takes records"):
        ledger.write(RECORDS)
    with case.depth("the container describes itself"):
        ledger.describe()
    with case.procedure("both control processors are in step before"):
        expect_in_step(dut)
    yield RebootStep("reboot the chassis, cold", during=ledger.writing)
    with case.procedure("the container runs again"):
        dut.containerz.expect_container(name, watch=0)
    with case.procedure("the volume is still there"):
        dut.containerz.expect_volume(volume, watch=0)
    with case.depth("it is the same container"):
        dut.containerz.expect_container(name, like=container_before)
    with case.depth("its image is the same"):
        dut.containerz.expect_image(image)
    with case.depth("it answers on its port again"):
        expect_answer(case, dut, image)
    with case.depth("it is the same volume"):
        dut.containerz.expect_volume(volume, like=volume_before)
    with case.depth("it sees the same environment"):
        ledger.expect_same_environment()
    with case.depth("it sees its volume mounted as before"):
        ledger.expect_same_mount()
    with case.depth("the volume takes records again"):
        ledger.write_on(RECORDS)
    with case.depth("both control processors are in step"):
        expect_in_step(dut)
    with case.depth("the volume has all that was written to it"):
        ledger.compare()
    with case.depth("the container was started once, and not once more"):
        ledger.expect_one_start()
