"""CNTR-3.1 to 3.8: what a device runs comes through a control processor failover, and a cold reboot.

`procedure` steps are what the plan asks, and look once; `depth` steps are what must hold beyond it, and watch on.
Where a case yields, the device fails over.
"""

from __future__ import annotations

import pytest

from holdfast import Device
from holdfast.pytest_plugin.case import Case
from holdfast.pytest_plugin.ledger import Ledger
from holdfast.pytest_plugin.procedure import ProcedureAccount, Steps, SwitchoverStep, case, case_of, procedure
from holdfast.pytest_plugin.run import ImageUnderTest
from holdfast.pytest_plugin.surroundings import Surroundings
from holdfast.suites.made import AskedVolume, container_as_asked, image_as_sent, note_unlisted, volume_as_asked
from holdfast.suites.reboot import reboot_with_container
from holdfast.suites.steps import RECORDS, create_volume, deploy, expect_answer, expect_standby_in_step, start

pytestmark = pytest.mark.disruptive


@pytest.mark.cntr3("CNTR-3.1", "image persistence", switchovers=1)
@case(combines=True)
def test_cntr3_1_image_persistence(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("the image is listed"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.depth("it is the image that was sent"):
        dut.containerz.expect_image(image)
    around = Surroundings(case.run, dut)
    failover = yield SwitchoverStep("switch over to the standby")
    with case.procedure("the new primary has the image"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.depth("it is the same image"):
        dut.containerz.expect_image(image)
    with case.depth("the old primary is back in step"):
        expect_standby_in_step(dut, failover.primary)
    with case.depth("what else is on the device is as it was"):
        around.expect_unchanged()
    with case.depth("its clock went on"):
        around.expect_clock_forward()


@procedure("container", "volume", combines=True)
def persist(dut: Device, image: ImageUnderTest, account: ProcedureAccount) -> Steps:
    """Create a volume, start a container with it, switch over, and look at both: 3.2, 3.3 and 3.4 are one procedure."""
    common, of_container, of_volume = account.common, account["container"], account["volume"]
    run = common.run
    name, volume = run.name("container"), run.name("volume")
    with common.procedure("create the volume"):
        asked_volume = create_volume(common, dut, volume)
    with common.procedure("deploy the image"):
        deploy(dut, image)
    with common.procedure("start the container with the volume"):
        asked = start(dut, image, name, {volume: "/data"}, {"HOLDFAST_RUN": run.id})
    with common.procedure("the container runs"):
        container_before = dut.containerz.expect_container(name, watch=0)
    with common.procedure("the volume is there"):
        volume_before = dut.containerz.expect_volume(volume, watch=0)
    image_as_sent(of_container, dut, image)
    with of_container.depth("the container answers on its port"):
        expect_answer(of_container, dut, image)
    container_as_asked(of_container, dut, asked)
    note_unlisted(of_container)
    volume_as_asked(of_volume, dut, asked_volume)
    ledger = Ledger(run, dut, image.port)
    with of_volume.depth("the ledger on the volume takes records"):
        ledger.write(RECORDS)
    with of_container.depth("the container describes itself"):
        ledger.describe()
    failover = yield SwitchoverStep("switch over to the standby", during=ledger.writing)
    with of_container.recorded_procedure("the container runs on the new primary"):
        dut.containerz.expect_container(name, watch=0)
    with of_container.depth("it is the same container"):
        dut.containerz.expect_container(name, like=container_before)
    with of_container.depth("its image is the same"):
        dut.containerz.expect_image(image)
    with of_container.depth("it answers on its port again"):
        expect_answer(of_container, dut, image, after_switchover=True)
    with of_volume.recorded_procedure("the volume is on the new primary"):
        dut.containerz.expect_volume(volume, watch=0)
    with of_volume.depth("it is the same volume"):
        dut.containerz.expect_volume(volume, like=volume_before)
    with of_container.depth("it sees the same environment"):
        ledger.expect_same_environment()
    with of_volume.depth("the container sees it mounted as before"):
        ledger.expect_same_mount()
    with of_volume.depth("it takes records again"):
        ledger.write_on(RECORDS)
    with common.depth("the old primary is back in step"):
        expect_standby_in_step(dut, failover.primary)
    with of_volume.depth("it has all that was written to it"):
        ledger.compare()
    with of_container.depth("it was started once, and not once more"):
        ledger.expect_one_start()


@pytest.mark.cntr3("CNTR-3.2", "container persistence", switchovers=1, shared="CNTR-3.2 to 3.4")
@case_of(persist, "container")
def test_cntr3_2_container_persistence() -> None:
    """What it found of the container."""


@pytest.mark.cntr3("CNTR-3.3", "volume persistence", switchovers=1, shared="CNTR-3.2 to 3.4")
@case_of(persist, "volume")
def test_cntr3_3_volume_persistence() -> None:
    """What it found of the volume."""


@pytest.mark.cntr3("CNTR-3.4", "container and volume persistence", switchovers=1, shared="CNTR-3.2 to 3.4")
@case_of(persist, "container", "volume")
def test_cntr3_4_container_and_volume_persistence() -> None:
    """What it found of both."""


@pytest.mark.cntr3("CNTR-3.5", "image removal persistence", switchovers=1)
@case(combines=True, removes_image=True)
def test_cntr3_5_image_removal_persistence(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("the image is listed"):
        dut.containerz.expect_image(str(image), watch=0)
    image_as_sent(case, dut, image)
    with case.procedure("remove the image"):
        dut.containerz.remove_image(image)
    with case.procedure("the image is gone"):
        dut.containerz.expect_no_image(str(image), watch=0)
    own = str(image) if image.retag is not None else image  # the user's may be there under another name, too
    with case.depth("by its id as well"):
        dut.containerz.expect_no_image(own, watch=0)
    failover = yield SwitchoverStep("switch over to the standby")
    with case.procedure("the image is still gone"):
        dut.containerz.expect_no_image(str(image), watch=0)
    with case.depth("it stays gone, by its name and by its id"):
        dut.containerz.expect_no_image(own)
    with case.depth("the old primary is back in step"):
        expect_standby_in_step(dut, failover.primary)


@pytest.mark.cntr3("CNTR-3.6", "container removal persistence", switchovers=1)
@case(combines=True, first=True)
def test_cntr3_6_container_removal_persistence(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    name, volume = case.run.name("removed"), case.run.name("removed-volume")
    with case.depth("create a volume"):
        create_volume(case, dut, volume)
    volume_as_asked(case, dut, AskedVolume.of(case.run, volume))
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("start a container"):
        asked = start(dut, image, name)
    with case.procedure("the container runs"):
        dut.containerz.expect_container(name, watch=0)
    image_as_sent(case, dut, image)
    container_as_asked(case, dut, asked)
    with case.procedure("remove the container while it runs, by force"):
        dut.containerz.remove(name, force=True)
    with case.procedure("the container is gone"):
        dut.containerz.expect_no_container(name, watch=0)
    with case.depth("remove the volume"):
        dut.containerz.remove_volume(volume)
    failover = yield SwitchoverStep("switch over to the standby")
    with case.procedure("the container is still gone"):
        dut.containerz.expect_no_container(name, watch=0)
    with case.depth("it stays gone"):
        dut.containerz.expect_no_container(name)
    with case.depth("the volume is gone too"):
        dut.containerz.expect_no_volume(volume, watch=0)
    with case.depth("the old primary is back in step"):
        expect_standby_in_step(dut, failover.primary)


@pytest.mark.cntr3("CNTR-3.7", "double failover image persistence", switchovers=2)
@case(combines=True)
def test_cntr3_7_double_failover_image_persistence(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("the image is listed"):
        dut.containerz.expect_image(str(image), watch=0)
    image_as_sent(case, dut, image)
    there = yield SwitchoverStep("switch over to the standby")
    with case.procedure("the new primary has the image"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.depth("it is the same image"):
        dut.containerz.expect_image(image)
    back = yield SwitchoverStep("switch back to the first")
    with case.procedure("the first has the image"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.depth("it is the same image still"):
        dut.containerz.expect_image(image)
    with case.depth("the roles swapped twice"):
        assert back.primary == there.origin, f"{back.primary} is primary now; {there.origin} was at the start"
    with case.depth("the other is back in step"):
        expect_standby_in_step(dut, back.primary)


@pytest.mark.cntr3("CNTR-3.8", "container persistence on cold reboot", reboots=1)
@case()
def test_cntr3_8_container_persistence_on_cold_reboot(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    yield from reboot_with_container(dut, image, case)
